//! Polling one page: its lease, its steps in their order, and its outcome.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::poll::DuePage;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::metrics;
use carteiro_adapters::tables::config::Replaced;
use carteiro_adapters::tables::poll::{Inspected, Next, PollOutcome, PollTrigger, PollTurn, Spender};
use carteiro_core::metrics::Metric;
use carteiro_core::retention::after;
use carteiro_networks::freshness::{Counted, Due};
use carteiro_networks::page::{AccessToken, LastTick, Page, TickResult};
use carteiro_networks::poll::page_poll::{
    self, Access, Findings, PAGE_TIME, PollEnd, Quota, every_minutes, next_poll,
};
use carteiro_networks::poll::refresh::GrantType;
use carteiro_networks::push::subscription::Subscription;
use carteiro_networks::token_state::{self, Observed};
use carteiro_services::dispatch::RoutingCache;
use jiff::Timestamp;

use super::proof::Proofs;
use crate::Collect;

/// How long a page is leased: longer than it is polled, with a last call and the storing of its results.
const LEASE: Duration = Duration::from_secs(300);

/// How often it is tried to note a page's proof while others change the page.
const PROOF_TRIES: usize = 5;

/// The interval, in minutes, of a page whose poll failed before its interval was known.
const FALLBACK_EVERY_MINUTES: u32 = 15;

/// The poll of one page.
pub(super) struct PagePoll<'a> {
    pub(super) collect: &'a Collect,
    pub(super) clock: InvocationClock,
    /// The schedule as it was read, how far the collection came, and whether the page is leased.
    pub(super) turn: &'a mut PollTurn,
    /// The page as it was last read or written.
    pub(super) page: Page,
    /// The token that is used.
    pub(super) access: Access,
    /// The token's last inspection, in this poll or before it.
    pub(super) inspected: Option<Inspected>,
    /// The page's subscription to its network's pushes.
    pub(super) push: Option<Subscription>,
    /// The calls and the time that the poll may use.
    pub(super) quota: Quota,
    /// The findings so far.
    pub(super) findings: Findings,
    /// The proofs of the app that calls carry.
    pub(super) proofs: Proofs,
    /// The routing that dispatching has read of the account and the page.
    pub(super) known: RoutingCache,
}

impl<'a> PagePoll<'a> {
    /// Polls a page if it is its turn, and answers what came of it. Errors are logged.
    pub(super) async fn poll(
        collect: &'a Collect,
        due: &DuePage,
        trigger: PollTrigger,
        clock: InvocationClock,
    ) -> Option<LastTick> {
        let page = due.page.as_str();
        if !page_poll::has_time(clock.left()) {
            tracing::warn!(page, "poll.no_time");
            return None;
        }
        let (polls, now) = (&collect.polls.tables.polls, clock.now());
        let mut turn = match polls.begin(&due.page, trigger, after(now, LEASE), now).await {
            Ok(Some(turn)) => turn,
            Ok(None) => {
                tracing::debug!(page, "poll.not_its_turn");
                return None;
            }
            Err(error) => {
                tracing::error!(page, error = error.chain(), "poll.not_leased");
                return None;
            }
        };
        let finished = match PagePoll::read(collect, &mut turn, due, clock).await {
            Ok(Some(poll)) => poll.run(due, trigger).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        collect.dispatcher.freshness.write(Due::Of(&due.page), clock.now()).await;
        let outcome = match finished {
            Ok(Some(outcome)) => outcome,
            Ok(None) => {
                // The page is gone.
                if let Err(error) = polls.drop_page(&due.page).await {
                    tracing::error!(page, error = error.chain(), "poll.not_finished");
                }
                return None;
            }
            Err(error) => {
                tracing::error!(page, error = error.chain(), "poll.failed");
                failed(&turn, due, collect.polls.tick, clock)
            }
        };
        match polls.finish(&turn, &outcome).await {
            Ok(true) => {}
            Ok(false) => tracing::info!(page, "poll.outcome_not_kept"),
            // The page is still due, and a lease ends by itself.
            Err(error) => tracing::error!(page, error = error.chain(), "poll.not_finished"),
        }
        Some(outcome.last)
    }

    /// Reads the page and its token; None where the page is gone.
    async fn read(
        collect: &'a Collect,
        turn: &'a mut PollTurn,
        due: &DuePage,
        clock: InvocationClock,
    ) -> Result<Option<Self>, AdapterError> {
        let schedule = &turn.schedule;
        // The token first: a page that is read after it is of the same version, or of a later one.
        let stored = collect.polls.tables.tokens.find(&schedule.page).await?;
        let page = collect.config.find_page(&schedule.account, &schedule.page).await?;
        let Some((page, stored)) = page.zip(stored) else { return Ok(None) };
        let mut known = RoutingCache::default();
        known.page_is_there(page.id.clone(), Counted::of(&page), clock.now());
        let quota = Quota {
            calls: 0,
            most_calls: due.calls,
            until: after(clock.now(), PAGE_TIME),
            sweeps: due.sweeps.unwrap_or(0),
            millionths: due.millionths,
        };
        Ok(Some(Self {
            collect,
            clock,
            inspected: schedule.inspected,
            push: schedule.push.clone(),
            turn,
            access: Access::new(stored.token, stored.renewal).by(page.login),
            page,
            quota,
            findings: Findings::default(),
            proofs: Proofs::default(),
            known,
        }))
    }

    /// Takes the steps of the poll, and answers the outcome to be kept.
    async fn run(mut self, due: &DuePage, trigger: PollTrigger) -> Result<PollOutcome, AdapterError> {
        let began_at = self.clock.now();
        let end = self.take_steps().await?;
        self.notify(&end, began_at).await?;
        let cause = self.tell_operator(&end).await;
        let silence = self.silence(&end).await;
        let (calls, new, result) = (self.quota.calls, self.findings.new, end.result());
        if !is_quiet(result, new) {
            let (page, network) = (self.page.id.as_str(), self.page.network.as_str());
            let shown = tracing::field::debug(result);
            tracing::info!(page, network, result = shown, calls, new, "poll.asked");
        }
        metrics::add(Metric::PagesPolled, 1);
        metrics::add(Metric::ThingsFound, usize::try_from(new).unwrap_or_default());
        let turn_at = match trigger {
            PollTrigger::Planned(at) | PollTrigger::Now(at) => at,
            PollTrigger::OutOfTurn => began_at,
        };
        let tick = self.collect.polls.tick;
        let every_minutes = every_minutes(due.every, self.turn.schedule.every_minutes, tick);
        let next = next_poll(&self.page, &end, turn_at, every_minutes, tick);
        Ok(PollOutcome {
            next: next.map_or(Next::WithANewToken, Next::At),
            every_minutes,
            last: LastTick { at: began_at, result, new, calls, cause },
            inspected: self.inspected,
            push: self.push,
            denied: self.findings.still_denied(&end, self.turn.schedule.denied.as_deref()),
            proven: self.page.proven,
            silence,
            used: self.access.token.version,
        })
    }

    async fn take_steps(&mut self) -> Result<PollEnd, AdapterError> {
        if let Some(end) = page_poll::not_pollable(&self.page, self.access.token.version) {
            return Ok(end);
        }
        let now = self.clock.now();
        let rests = self.collect.polls.tables.polls.before(self.turn).await?;
        if let Some(end) = page_poll::cooldown([rests.app_rests_until, rests.page_rests_until], now) {
            return Ok(end);
        }
        if let Some(end) = self.renew_if_due().await? {
            return Ok(end);
        }
        if let Some(end) = self.inspect().await? {
            return Ok(end);
        }
        let end = self.collect_page().await?;
        self.prove(&end).await?;
        if self.page.proven {
            self.release_pending_proof().await?;
        }
        if !end.allows_calls() {
            return Ok(end);
        }
        let end = match self.complete().await? {
            PollEnd::Complete => end,
            other => other,
        };
        if end.allows_calls() {
            self.subscribe().await?;
        }
        Ok(end)
    }

    /// Runs the page's collection, and once more with a new token where the old one's time is over.
    async fn collect_page(&mut self) -> Result<PollEnd, AdapterError> {
        let end = self.run_collection().await?;
        match &end {
            PollEnd::Refused(trouble) if self.access.may_renew(self.renewal_method(), trouble) => {}
            _ => return Ok(end),
        }
        match self.renew().await? {
            Some(end) => Ok(end),
            None => self.run_collection().await,
        }
    }

    /// Notes whether the page is proven, where the poll shows it.
    async fn prove(&mut self, end: &PollEnd) -> Result<(), AdapterError> {
        let Some(proven) = self.findings.proof(end) else { return Ok(()) };
        for _ in 0..PROOF_TRIES {
            let marked = page_poll::with_proof(&self.page, self.access.token.version, proven);
            let Some(marked) = marked else { return Ok(()) };
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

    /// Marks the page with what the poll has seen of its token, and notifies its account where that changes the token's
    /// state.
    async fn notify(&mut self, end: &PollEnd, begun_at: Timestamp) -> Result<(), AdapterError> {
        let (token_version, clock) = (self.access.token.version, self.clock);
        let renewable = self.access.is_renewable(self.renewal_method(), end);
        for sight in self.findings.observations(end, self.turn.schedule.denied.as_deref()) {
            let seen = Observed { sight, begun_at, renewable };
            if token_state::decide(&self.page, token_version, &seen, clock.now()).is_none() {
                continue;
            }
            let (account, page) = (&self.page.account, &self.page.id);
            let notifier = &self.collect.dispatcher.notifier;
            let marked = notifier.apply_observation(account, page, token_version, &seen, clock).await?;
            if let Some(page) = marked {
                self.page = page;
            }
        }
        Ok(())
    }

    /// Takes the page's lease, if the poll does not have it. False where another worker polls the page: then this poll
    /// ends, and its outcome is not kept.
    pub(super) async fn hold(&mut self) -> Result<bool, AdapterError> {
        let until = after(self.clock.now(), LEASE);
        self.collect.polls.tables.polls.hold(self.turn, until).await
    }

    /// Takes the page's lease where the poll lasts long, because the next tick may plan the page again. False as for
    /// [`Self::hold`].
    pub(super) async fn hold_if_long(&mut self) -> Result<bool, AdapterError> {
        if page_poll::needs_lease(self.turn.began_at, self.clock.now()) {
            self.hold().await
        } else {
            Ok(true)
        }
    }

    /// How the page's token is renewed; None where it cannot be.
    pub(super) fn renewal_method(&self) -> Option<GrantType> {
        let network = self.page.network;
        self.access.renewal_method(network, self.collect.polls.apps.client(network).is_some())
    }

    /// Whose units of a limit calls take.
    pub(super) fn spender(&self) -> Spender {
        let proven = self.findings.is_proven(self.page.proven);
        Spender { millionths: self.quota.millionths, proven }
    }

    /// The secrets that nothing that is stored or sent may hold.
    pub(super) fn tokens(&self) -> Vec<&AccessToken> {
        let app = self.collect.polls.apps.meta.as_ref();
        let token = &self.access.token;
        let of_page = [&self.access.call_token, &token.access_token];
        of_page.into_iter().chain(&token.refresh_token).chain(app).chain(self.made_proofs()).collect()
    }
}

/// Whether a poll went well and found nothing. Such a poll has no line of its own in the log.
pub(super) fn is_quiet(result: TickResult, new: u32) -> bool {
    result == TickResult::Ok && new == 0
}

/// The outcome of a poll that failed by an error of ours. The page is due at the next tick.
fn failed(turn: &PollTurn, due: &DuePage, tick: Duration, clock: InvocationClock) -> PollOutcome {
    let cause = turn.schedule.last.as_ref().and_then(|last| last.cause);
    let last = LastTick { at: clock.now(), result: TickResult::Fault, new: 0, calls: 0, cause };
    PollOutcome {
        next: Next::At(after(clock.now(), tick / 2)),
        every_minutes: due.every.or(turn.schedule.every_minutes).unwrap_or(FALLBACK_EVERY_MINUTES),
        last,
        inspected: turn.schedule.inspected,
        push: turn.schedule.push.clone(),
        denied: turn.schedule.denied.clone(),
        proven: turn.schedule.proven,
        silence: turn.schedule.silence.clone(),
        used: turn.schedule.token_version,
    }
}
