//! Asking about one page.

use std::collections::BTreeSet;
use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::poll::DuePage;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::config::Replaced;
use carteiro_adapters::tables::poll::{
    Inspected, Leased, Next, PollOutcome, PollTrigger, Progress, Schedule, Spender,
};
use carteiro_core::retention::after;
use carteiro_networks::page::{AccessToken, LastTick, Page, TickResult, Token};
use carteiro_networks::poll::TokenTrouble;
use carteiro_networks::poll::plan::until_turn;
use carteiro_networks::poll::refresh::RenewalAttempt;
use carteiro_networks::token_state::{self, Observed, TokenObservation};
use carteiro_services::dispatch::RoutingCache;
use jiff::Timestamp;

use crate::Collect;

/// How long a page is one's own: longer than it is asked about, with a call and the storing of what came of it.
const LEASE: Duration = Duration::from_secs(300);

/// How long a page is asked about in one tick.
const PAGE_TIME: Duration = Duration::from_secs(180);

/// Nothing is asked in the last of an invocation.
const RESERVE: Duration = Duration::from_secs(60);

/// What asking about a token is called, which proves nothing of whose the page is.
const INSPECTION: &str = "token";

/// How often it is tried to note whose a page is, when others change it.
const PROOF_TRIES: usize = 5;

/// The asking about one page.
pub(super) struct PagePoll<'a> {
    pub(super) collect: &'a Collect,
    pub(super) clock: InvocationClock,
    pub(super) schedule: Schedule,
    pub(super) page: Page,
    pub(super) token: Token,
    /// A renewal of it that was begun.
    pub(super) renewal: Option<RenewalAttempt>,
    /// What calls are made with: the access token, or what was given for a service account's key.
    pub(super) access: AccessToken,
    /// Whether a new one was fetched in this run.
    pub(super) renewed: bool,
    /// What was read of the account and the page.
    pub(super) known: RoutingCache,
    /// No call is begun after this.
    pub(super) until: Timestamp,
    /// How many calls there may be.
    pub(super) most_calls: u32,
    /// How many thousandths of a unit sweeps through what is older may take a day.
    pub(super) sweeps: u64,
    /// How many millionths of the app's limits its account may use.
    pub(super) millionths: Option<u32>,
    pub(super) calls: u32,
    pub(super) new: u32,
    /// Whether a renewal was refused, or failed, of a token that still lasts.
    pub(super) renewal_failed: bool,
    /// What was asked and answered well.
    pub(super) answered: BTreeSet<&'static str>,
    /// What the token may not do, and which permission that takes, where the network says so.
    pub(super) denied: Option<(&'static str, Option<String>)>,
    /// What asking about the token said.
    pub(super) inspected: Option<Inspected>,
    pub(super) taken: Option<TokenObservation>,
}

/// How asking about a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything was asked.
    Complete,
    /// More is left for the next tick.
    More,
    /// Nothing before then.
    Limited(Timestamp),
    /// The token was refused.
    Refused(TokenTrouble),
    /// It could not be renewed, and only its owner can help.
    RenewalRefused {
        /// Whether the new one may have been lost.
        lost: bool,
    },
    /// It is somebody else's.
    NotThePages,
    /// It was dead before.
    Dead,
    /// The network failed.
    Unavailable,
    /// The deployment is at fault.
    Fault,
}

impl<'a> PagePoll<'a> {
    /// Asks about a page, if it is its turn. What fails is logged.
    pub(super) async fn about(
        collect: &'a Collect,
        due: &DuePage,
        turn: PollTrigger,
        clock: InvocationClock,
    ) {
        if clock.left() < RESERVE + PAGE_TIME {
            tracing::warn!(page = due.page.as_str(), "poll.no_time");
            return;
        }
        let (polls, now) = (&collect.polls.tables.polls, clock.now());
        let leased = match polls.lease(&due.page, turn, after(now, LEASE), now).await {
            Ok(Some(leased)) => leased,
            Ok(None) => {
                tracing::debug!(page = due.page.as_str(), "poll.not_its_turn");
                return;
            }
            Err(error) => {
                tracing::error!(page = due.page.as_str(), error = error.chain(), "poll.not_leased");
                return;
            }
        };
        let finished = match Self::begin(collect, &leased, due, clock).await {
            Ok(Some(asking)) => asking.request(due, turn).await,
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        let done = match finished {
            Ok(Some(finished)) => polls.finish(&leased, &finished).await,
            // The page is gone.
            Ok(None) => polls.drop_page(&due.page).await,
            Err(error) => {
                tracing::error!(page = due.page.as_str(), error = error.chain(), "poll.failed");
                polls.finish(&leased, &failed(&leased, due, collect.polls.tick, clock)).await
            }
        };
        if let Err(error) = done {
            // Its lease ends by itself.
            tracing::error!(page = due.page.as_str(), error = error.chain(), "poll.not_finished");
        }
    }

    /// Reads what is needed; None where the page is gone.
    async fn begin(
        collect: &'a Collect,
        leased: &Leased,
        due: &DuePage,
        clock: InvocationClock,
    ) -> Result<Option<Self>, AdapterError> {
        let schedule = leased.schedule.clone();
        // The token first: a page that is read after it is of the same version, or of a later one.
        let stored = collect.polls.tables.tokens.find(&schedule.page).await?;
        let page = collect.config.find_page(&schedule.account, &schedule.page).await?;
        let Some((page, stored)) = page.zip(stored) else { return Ok(None) };
        let mut known = RoutingCache::default();
        known.page_is_there(page.id.clone(), clock.now());
        Ok(Some(Self {
            collect,
            clock,
            known,
            access: stored.token.access_token.clone(),
            token: stored.token,
            renewal: stored.renewal,
            renewed: false,
            until: after(clock.now(), PAGE_TIME),
            most_calls: due.calls,
            sweeps: due.sweeps.unwrap_or(0),
            millionths: due.millionths,
            calls: 0,
            new: 0,
            renewal_failed: false,
            answered: BTreeSet::new(),
            denied: None,
            inspected: schedule.inspected,
            taken: None,
            schedule,
            page,
        }))
    }

    /// Asks, and says what is to be kept of it. None where the page is gone.
    async fn request(
        mut self,
        due: &DuePage,
        turn: PollTrigger,
    ) -> Result<Option<PollOutcome>, AdapterError> {
        let began_at = self.clock.now();
        let ended = self.ask_all().await?;
        self.tell(&ended, began_at).await?;
        let next = self.next(&ended, due, turn, began_at);
        let last = LastTick { at: began_at, result: result(&ended), new: self.new, calls: self.calls };
        let (page, network) = (self.page.id.as_str(), self.page.network.as_str());
        let (calls, new, result) = (self.calls, self.new, tracing::field::debug(last.result));
        tracing::info!(page, network, result, calls, new, "poll.asked");
        let every_minutes = self.every_minutes(due);
        let denied = self.denied.take().map(|(what, _)| what.to_owned());
        let denied = denied.or_else(|| self.schedule.denied.clone().filter(|_| !self.is_complete(&ended)));
        let used = self.token.version;
        let (inspected, proven) = (self.inspected, self.page.proven);
        Ok(Some(PollOutcome { next, every_minutes, last, inspected, denied, proven, used }))
    }

    async fn ask_all(&mut self) -> Result<Ended, AdapterError> {
        let now = self.clock.now();
        if self.page.token_version != self.token.version {
            // It is being changed this moment; what set it going again stands in its schedule.
            return Ok(Ended::More);
        }
        // Also where somebody asked for it: what is dead stays dead until a new token is given, which makes it unknown.
        if token_state::is_dead(self.page.token.state) {
            return Ok(Ended::Dead);
        }
        let before = self.collect.polls.tables.polls.before(&self.schedule).await?;
        let rests = [before.app_rests_until, before.page_rests_until];
        if let Some(until) = rests.into_iter().flatten().filter(|until| *until > now).max() {
            return Ok(Ended::Limited(until));
        }
        if let Some(ended) = self.renew_if_due().await? {
            return Ok(ended);
        }
        if let Some(ended) = self.inspect().await? {
            return Ok(ended);
        }
        let mut progress = before.progress;
        let ended = self.collect_page(&mut progress).await?;
        self.prove(&ended).await?;
        if self.page.proven {
            self.free().await?;
        }
        if !matches!(ended, Ended::Complete | Ended::More | Ended::Unavailable) {
            return Ok(ended);
        }
        match self.complete().await? {
            Ended::Complete => Ok(ended),
            other => Ok(other),
        }
    }

    /// Collects; where the access token's time is over, once more with a new one.
    async fn collect_page(&mut self, progress: &mut Progress) -> Result<Ended, AdapterError> {
        let ended = self.run_collection(progress).await?;
        let Ended::Refused(trouble) = &ended else { return Ok(ended) };
        if !self.may_renew(trouble) {
            return Ok(ended);
        }
        match self.renew().await? {
            Some(ended) => Ok(ended),
            None => self.run_collection(progress).await,
        }
    }

    /// Notes whose the page is, where that became known: no run asks for anything before its network said that the
    /// token is this page's.
    async fn prove(&mut self, ended: &Ended) -> Result<(), AdapterError> {
        let proven = match ended {
            Ended::NotThePages => false,
            _ if self.was_taken() => true,
            _ => return Ok(()),
        };
        for _ in 0..PROOF_TRIES {
            if self.page.proven == proven || self.page.token_version != self.token.version {
                return Ok(());
            }
            let marked = Page { proven, version: self.page.version + 1, ..self.page.clone() };
            if self.collect.config.prove_page(&marked).await? == Replaced::Done {
                let (page, network) = (marked.id.as_str(), marked.network.as_str());
                tracing::info!(page, network, proven, "page.proven");
                self.page = marked;
                return Ok(());
            }
            let page = self.collect.config.find_page(&self.page.account, &self.page.id).await?;
            let Some(page) = page else { return Ok(()) };
            self.page = page;
        }
        Err(AdapterError::contended("noting whose a page is"))
    }

    /// Whether the network took the token in this run: no run asks for anything before its network said that the token
    /// is this page's.
    fn was_taken(&self) -> bool {
        self.answered.iter().any(|what| *what != INSPECTION)
    }

    /// Whose units calls take.
    pub(super) fn spender(&self) -> Spender {
        Spender { millionths: self.millionths, proven: self.page.proven || self.was_taken() }
    }

    /// What nothing that is stored or told may hold.
    pub(super) fn tokens(&self) -> Vec<&AccessToken> {
        let app = self.collect.polls.apps.meta.as_ref();
        let of_page = [&self.access, &self.token.access_token];
        of_page.into_iter().chain(&self.token.refresh_token).chain(app).collect()
    }

    /// Whether there is room for another call.
    pub(super) fn has_room(&self) -> bool {
        self.calls < self.most_calls && self.clock.now() < self.until && self.clock.left() > RESERVE
    }

    /// Whether all was asked and answered, also what was denied the last time.
    fn is_complete(&self, ended: &Ended) -> bool {
        let denied = self.schedule.denied.as_deref();
        *ended == Ended::Complete
            && self.denied.is_none()
            && denied.is_none_or(|what| self.answered.contains(what))
    }

    /// Says what was seen of the token, where that changes anything.
    async fn tell(&mut self, ended: &Ended, begun_at: Timestamp) -> Result<(), AdapterError> {
        // What was renewed a moment ago, and is refused all the same, is not renewed again.
        let in_vain = self.renewed && matches!(ended, Ended::Refused(_));
        let renewable = self.is_renewable() && !in_vain && !self.renewal_failed;
        for sight in self.observations(ended) {
            let seen = Observed { sight, begun_at, renewable };
            if token_state::decide(&self.page, self.token.version, &seen, self.clock.now()).is_none() {
                continue;
            }
            let page = (&self.page.account, &self.page.id, self.token.version);
            let told = self
                .collect
                .dispatcher
                .notifier
                .apply_observation(page.0, page.1, page.2, &seen, self.clock)
                .await?;
            if let Some(page) = told {
                self.page = page;
            }
        }
        Ok(())
    }

    /// What was seen of the token, in this order.
    fn observations(&mut self, ended: &Ended) -> Vec<TokenObservation> {
        let refused = match ended {
            Ended::Refused(trouble) => Some(TokenObservation::Refused(trouble.clone())),
            Ended::RenewalRefused { lost } => Some(TokenObservation::RenewalRefused { lost: *lost }),
            Ended::NotThePages => Some(TokenObservation::NotThePages),
            _ => None,
        };
        if let Some(refused) = refused {
            return vec![refused];
        }
        let narrowed = |which: Option<String>| TokenObservation::Refused(TokenTrouble::Narrowed(which));
        match (self.denied.clone(), self.taken.take()) {
            // The ends that were named count, whatever it may not do.
            (Some((_, which)), Some(TokenObservation::Taken { expires_at, consent_ends_at, .. })) => {
                vec![
                    TokenObservation::Taken { complete: false, expires_at, consent_ends_at },
                    narrowed(which),
                ]
            }
            (Some((_, which)), _) => vec![narrowed(which)],
            (None, Some(taken)) => vec![taken],
            (None, None) if self.answered.is_empty() => vec![TokenObservation::Time],
            (None, None) => {
                vec![TokenObservation::Taken {
                    complete: self.is_complete(ended),
                    expires_at: None,
                    consent_ends_at: None,
                }]
            }
        }
    }

    fn next(&self, ended: &Ended, due: &DuePage, turn: PollTrigger, began_at: Timestamp) -> Next {
        if token_state::is_dead(self.page.token.state) {
            return Next::WithANewToken;
        }
        let turn_at = match turn {
            PollTrigger::Planned(at) | PollTrigger::Now(at) => at,
            PollTrigger::OutOfTurn => began_at,
        };
        let every = Duration::from_secs(u64::from(self.every_minutes(due)) * 60);
        let tick = self.collect.polls.tick;
        let turn = until_turn(&self.page.id, turn_at, every, tick);
        // Somewhat before that tick, so that it is due then whether it comes early or late.
        let soonest = after(turn_at, turn.saturating_sub(tick / 2));
        match ended {
            Ended::Limited(until) => Next::At(soonest.max(*until)),
            _ => Next::At(soonest),
        }
    }

    fn every_minutes(&self, due: &DuePage) -> u32 {
        let tick = || u32::try_from(self.collect.polls.tick.as_secs() / 60).unwrap_or(1);
        due.every.or(self.schedule.every_minutes).unwrap_or_else(tick)
    }
}

fn result(ended: &Ended) -> TickResult {
    match ended {
        Ended::Complete => TickResult::Ok,
        Ended::More => TickResult::More,
        Ended::Limited(_) => TickResult::Limited,
        Ended::Refused(_) | Ended::RenewalRefused { .. } | Ended::NotThePages | Ended::Dead => {
            TickResult::Token
        }
        Ended::Unavailable => TickResult::Unavailable,
        Ended::Fault => TickResult::Fault,
    }
}

/// What is kept where something of ours failed: it is due again at the next tick.
fn failed(leased: &Leased, due: &DuePage, tick: Duration, clock: InvocationClock) -> PollOutcome {
    let last = LastTick { at: clock.now(), result: TickResult::Fault, new: 0, calls: 0 };
    PollOutcome {
        next: Next::At(after(clock.now(), tick / 2)),
        every_minutes: due.every.or(leased.schedule.every_minutes).unwrap_or(15),
        last,
        inspected: leased.schedule.inspected,
        denied: leased.schedule.denied.clone(),
        proven: leased.schedule.proven,
        used: leased.schedule.token_version,
    }
}
