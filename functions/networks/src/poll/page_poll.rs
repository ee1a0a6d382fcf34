//! The decisions of polling one page, as functions over values.
//!
//! A poll renews the page's token where that is due, inspects it, makes the calls of a [`Collector`](super::Collector),
//! notes whether the page is proven, and completes entries that were pushed as ids alone. The caller reads, calls and
//! stores; its next step, and the outcome that it keeps, are decided here.

use std::collections::BTreeSet;
use std::time::Duration;

use carteiro_core::id::AccountId;
use carteiro_core::retention::after;
use jiff::{SignedDuration, Timestamp};

use super::budget::{Limit, LimitScope};
use super::fair::{self, ByAccount};
use super::plan::{calls, share, until_turn};
use super::refresh::{self, GrantType, Remedy, RenewalAttempt, Renewed};
use super::{CooldownScope, OperatorFault, TokenInspection, TokenTrouble, Verdict};
use crate::inbox::Event;
use crate::network::Network;
use crate::page::{
    AccessToken, Changed, LastTick, Login, Page, Set, TickResult, Token, TokenChange, TokenStatus,
};
use crate::token_state::{self, TokenObservation};

/// The longest time for which a page is polled in one tick.
pub const PAGE_TIME: Duration = Duration::from_secs(180);

/// The end of an invocation, in which no call is begun, so that the results of the last one are stored.
const RESERVE: Duration = Duration::from_secs(60);

/// How long a planned poll lasts without its page's lease: less than the shortest time between two ticks, a minute.
const UNLEASED_TIME: Duration = Duration::from_secs(30);

/// The age of a plan, at the least, from which it is not carried out.
const STALE: Duration = Duration::from_secs(15 * 60);

/// The operation that inspects a token. Its answer does not prove that the page is the account's.
const INSPECTION: &str = "token";

/// The time for which an inspection of a token counts.
const INSPECTION_LASTS: SignedDuration = SignedDuration::from_hours(24);

/// The pause after a failed renewal of a token that lasts for weeks.
const RENEWAL_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// The number of failed calls in a row after which the network is left alone until the next tick.
const MOST_FAILURES: u32 = 3;

/// The time for which a pushed id is asked for that the network does not answer as it answers others.
const COMPLETION_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// How a poll of a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollEnd {
    /// All calls were made.
    Complete,
    /// More calls are left for the next tick.
    More,
    /// A limit is used up: no call before this time.
    Limited(Timestamp),
    /// The network refused the token.
    Refused(TokenTrouble),
    /// The network refused to renew the token, and only its owner can help.
    RenewalRefused {
        /// Whether the new token may have been in an answer that was lost.
        lost: bool,
    },
    /// The token is good, and belongs to somebody else.
    NotThePages,
    /// The token was dead before the poll.
    Dead,
    /// The network failed.
    Unavailable,
    /// Only the deployment's operator can mend it.
    Operator(OperatorFault),
    /// The deployment is at fault.
    Fault,
}

impl PollEnd {
    /// How the page's owner sees this end.
    #[must_use]
    pub fn result(&self) -> TickResult {
        match self {
            Self::Complete => TickResult::Ok,
            Self::More => TickResult::More,
            Self::Limited(_) => TickResult::Limited,
            Self::Refused(_) | Self::RenewalRefused { .. } | Self::NotThePages | Self::Dead => {
                TickResult::Token
            }
            Self::Unavailable => TickResult::Unavailable,
            Self::Operator(_) => TickResult::Operator,
            Self::Fault => TickResult::Fault,
        }
    }

    /// What the operator has to mend, where that is why the poll ended.
    #[must_use]
    pub fn operator_fault(&self) -> Option<OperatorFault> {
        match self {
            Self::Operator(fault) => Some(*fault),
            _ => None,
        }
    }

    /// Whether further calls may be made after the page's collection ended so.
    #[must_use]
    pub fn allows_calls(&self) -> bool {
        match self {
            Self::Operator(fault) => fault.spares_others(),
            _ => matches!(self, Self::Complete | Self::More | Self::Unavailable),
        }
    }
}

/// Whether a plan is too old to be carried out: a newer tick has planned the same anew.
#[must_use]
pub fn is_stale(planned_at: Timestamp, tick: Duration, now: Timestamp) -> bool {
    after(planned_at, STALE.max(tick)) < now
}

/// Whether a tick polls a page. A tick that was asked for polls every page that no limit holds back.
#[must_use]
pub fn is_due(next_at: Timestamp, last: Option<&LastTick>, asked_for: bool, now: Timestamp) -> bool {
    let is_limited = last.is_some_and(|last| last.result == TickResult::Limited);
    next_at <= now || asked_for && !is_limited
}

/// The parts of a page's schedule that decide whether a planned poll of it may begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnState {
    /// When the page is due; None while its token is dead.
    pub next_at: Option<Timestamp>,
    /// The plan that was served last, or is served under a lease.
    pub planned_at: Option<Timestamp>,
    /// When the lease of a worker ends; None where nobody has one.
    pub lease_until: Option<Timestamp>,
}

/// Whether a poll that was planned at a time may begin, with `asked_for` whatever the page's time is. A lease that is
/// over was a dead worker's, and its plan may be served again.
#[must_use]
pub fn is_its_turn(state: TurnState, planned_at: Timestamp, asked_for: bool, now: Timestamp) -> bool {
    let is_leased = state.lease_until.is_some_and(|until| until > now);
    let is_served = state
        .planned_at
        .is_some_and(|served| served > planned_at || served == planned_at && state.lease_until.is_none());
    let is_due = state.next_at.is_some_and(|next_at| asked_for || next_at <= now);
    is_due && !is_leased && !is_served
}

/// Whether a poll takes its page's lease before it goes on: from then on the next tick may plan the page again.
#[must_use]
pub fn needs_lease(began_at: Timestamp, now: Timestamp) -> bool {
    after(began_at, UNLEASED_TIME) <= now
}

/// Whether accounts share a limit of the network's.
#[must_use]
pub fn is_shared(limits: &[Limit]) -> bool {
    limits.iter().any(|limit| limit.of == LimitScope::TheApp)
}

/// The share of its network's limits that each page of an account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allotment {
    /// How often it is polled, in minutes.
    pub every_minutes: u32,
    /// The most calls in one poll.
    pub calls: u32,
    /// How many thousandths of a unit a day its sweeps through older things may take.
    pub sweeps: u64,
    /// How many millionths of the app's limits its account may use; None where it may use all.
    pub millionths: Option<u32>,
}

/// Divides a network's limits among the pages of all accounts, and answers the share of each page of one account.
#[must_use]
pub fn allot(
    network: Network,
    account: &AccountId,
    limits: &[Limit],
    accounts: &ByAccount,
    most_calls: u32,
    tick: Duration,
) -> Allotment {
    let part = fair::part(network, limits, accounts, &fair::key(account), tick);
    let share = share(network, limits, part.sharing, tick);
    Allotment {
        every_minutes: u32::try_from(share.every.as_secs().div_ceil(60)).unwrap_or(u32::MAX),
        calls: calls(network, limits, part.sharing, share.every, most_calls),
        sweeps: share.sweeps,
        millionths: part.millionths,
    }
}

/// Whether an invocation has enough time left to poll a page.
#[must_use]
pub fn has_time(left: Duration) -> bool {
    left >= RESERVE + PAGE_TIME
}

/// The calls and the time that a poll may use, and how many calls it made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many calls were made.
    pub calls: u32,
    /// The most calls of the page's collection.
    pub most_calls: u32,
    /// No call is begun after this time.
    pub until: Timestamp,
    /// How many thousandths of a unit a day sweeps through older things may take.
    pub sweeps: u64,
    /// How many millionths of the app's limits the page's account may use; None where it may use all.
    pub millionths: Option<u32>,
}

impl Quota {
    /// Whether the page's collection may make another call, with this much of the invocation's time left.
    #[must_use]
    pub fn has_room(&self, now: Timestamp, left: Duration) -> bool {
        self.calls < self.most_calls && now < self.until && left > RESERVE
    }
}

/// Whether a page cannot be polled with a token of this version; else None.
#[must_use]
pub fn not_pollable(page: &Page, token_version: u64) -> Option<PollEnd> {
    if page.token_version != token_version {
        // The token is being changed at this moment. The write that changes it sets the page's time, too.
        return Some(PollEnd::More);
    }
    // A dead token stays dead, also where somebody asked for a poll. A new token makes its state unknown.
    token_state::is_dead(page.token.state).then_some(PollEnd::Dead)
}

/// How a poll ends by the cooldowns of the app and of the page; None where both are over.
#[must_use]
pub fn cooldown(ends: [Option<Timestamp>; 2], now: Timestamp) -> Option<PollEnd> {
    ends.into_iter().flatten().filter(|end| *end > now).max().map(PollEnd::Limited)
}

/// When a token and its giver's consent end, as an inspection said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenEnds {
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
    /// When the consent ends.
    pub consent_ends_at: Option<Timestamp>,
}

/// The consequence of a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowUp {
    /// The next call is made.
    GoOn,
    /// The poll ends.
    End(PollEnd),
    /// The poll ends, and no other poll in this scope makes a call before then.
    CoolDown {
        /// Whom the cooldown concerns: the page, or the app.
        of: CooldownScope,
        /// Its end.
        until: Timestamp,
    },
}

/// What a poll shows of what the operator has to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperatorNews {
    /// What it met.
    pub met: Option<OperatorFault>,
    /// What is mended.
    pub mended: Option<OperatorFault>,
    /// What is known of the page from now on.
    pub known: Option<OperatorFault>,
}

/// The findings of one poll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The operations that were answered well.
    pub answered: BTreeSet<&'static str>,
    /// The first operation that the token may not do, and the missing permission, where the network names it.
    pub denied: Option<(&'static str, Option<String>)>,
    /// What the operator has to mend of some operations, where the others were asked for.
    pub operator: Option<OperatorFault>,
    /// What the operator has to mend of the app that renews and inspects tokens, where the collection went on.
    pub app: Option<OperatorFault>,
    /// The ends that an inspection named of a good token.
    pub ends: Option<TokenEnds>,
    /// How many items were new.
    pub new: u32,
}

impl Findings {
    /// Notes the verdict on the answer to an operation, and decides its consequence.
    pub fn follow(&mut self, operation: &'static str, verdict: Verdict, is_proven: bool) -> FollowUp {
        match verdict {
            Verdict::Fine => {
                self.answered.insert(operation);
                FollowUp::GoOn
            }
            Verdict::Token(TokenTrouble::Narrowed(which)) => {
                self.denied.get_or_insert((operation, which));
                FollowUp::GoOn
            }
            Verdict::Token(trouble) => FollowUp::End(PollEnd::Refused(trouble)),
            Verdict::NotThePages => FollowUp::End(PollEnd::NotThePages),
            Verdict::Wait { of: CooldownScope::ThisOperation, .. }
            | Verdict::Transient
            | Verdict::Gone
            | Verdict::Malformed => FollowUp::GoOn,
            Verdict::Wait { until, of } if self.is_proven(is_proven) => FollowUp::CoolDown { of, until },
            // A limit that is told to a token that no network took yet holds back no other page.
            Verdict::Wait { until, .. } => FollowUp::End(PollEnd::Limited(until)),
            Verdict::OurFault(fault) if fault.spares_others() => {
                self.operator.get_or_insert(fault);
                FollowUp::GoOn
            }
            Verdict::OurFault(fault) => FollowUp::End(PollEnd::Operator(fault)),
        }
    }

    /// Notes an inspection of the token. False where its answer says nothing of the token: the app's own token was
    /// refused, or the network failed. The page's collection then goes on without it.
    pub fn inspect(&mut self, seen: &TokenInspection) -> bool {
        if seen.verdict == Verdict::Fine {
            let (expires_at, consent_ends_at) = (seen.expires_at, seen.consent_ends_at);
            self.ends = Some(TokenEnds { expires_at, consent_ends_at });
        }
        !matches!(
            seen.verdict,
            Verdict::Malformed | Verdict::Transient | Verdict::OurFault(_) | Verdict::Gone
        )
    }

    /// What the poll shows of what the operator has to mend, given what was last known of it for this page.
    #[must_use]
    pub fn operator_news(&self, end: &PollEnd, before: Option<OperatorFault>) -> OperatorNews {
        let met = end.operator_fault().or(self.operator).or(self.app);
        // Where the network answered nothing, nobody knows whether it is mended.
        let is_over = |fault: &OperatorFault| Some(*fault) != met && (self.was_taken() || met.is_some());
        OperatorNews {
            met,
            mended: before.filter(is_over),
            known: met.or(before.filter(|one| !is_over(one))),
        }
    }

    /// Counts new items.
    pub fn add_new(&mut self, count: usize) {
        self.new = self.new.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Whether the network took the token as the page's in this poll. Every collection asks that first, so that any
    /// answer but an inspection's shows it.
    #[must_use]
    pub fn was_taken(&self) -> bool {
        self.answered.iter().any(|operation| *operation != INSPECTION)
    }

    /// Whether the page is proven, given whether it was before the poll.
    #[must_use]
    pub fn is_proven(&self, before: bool) -> bool {
        before || self.was_taken()
    }

    /// Whether the poll shows that the page is the account's (true) or somebody else's (false); None where it shows
    /// neither.
    #[must_use]
    pub fn proof(&self, end: &PollEnd) -> Option<bool> {
        match end {
            PollEnd::NotThePages => Some(false),
            _ => self.was_taken().then_some(true),
        }
    }

    /// Whether all calls were made and answered, also the operation that was denied in the last poll.
    #[must_use]
    pub fn is_complete(&self, end: &PollEnd, denied_before: Option<&str>) -> bool {
        let answers_denied = denied_before.is_none_or(|operation| self.answered.contains(operation));
        *end == PollEnd::Complete && self.denied.is_none() && answers_denied
    }

    /// The operation that counts as denied from now on.
    #[must_use]
    pub fn still_denied(&self, end: &PollEnd, denied_before: Option<&str>) -> Option<String> {
        let before = denied_before.filter(|_| !self.is_complete(end, denied_before));
        self.denied.as_ref().map(|(operation, _)| *operation).or(before).map(str::to_owned)
    }

    /// The observations of the token that the poll has made, in the order in which they count.
    #[must_use]
    pub fn observations(&self, end: &PollEnd, denied_before: Option<&str>) -> Vec<TokenObservation> {
        let refused = match end {
            PollEnd::Refused(trouble) => Some(TokenObservation::Refused(trouble.clone())),
            PollEnd::RenewalRefused { lost } => Some(TokenObservation::RenewalRefused { lost: *lost }),
            PollEnd::NotThePages => Some(TokenObservation::NotThePages),
            _ => None,
        };
        if let Some(refused) = refused {
            return vec![refused];
        }
        let narrowed = self
            .denied
            .as_ref()
            .map(|(_, permission)| TokenObservation::Refused(TokenTrouble::Narrowed(permission.clone())));
        let taken = match self.ends {
            // The ends that were named count, whatever the token may not do.
            Some(TokenEnds { expires_at, consent_ends_at }) => {
                let complete = narrowed.is_none();
                Some(TokenObservation::Taken { complete, expires_at, consent_ends_at })
            }
            None if narrowed.is_some() => None,
            None if self.answered.is_empty() => Some(TokenObservation::Time),
            None => {
                let complete = self.is_complete(end, denied_before);
                Some(TokenObservation::Taken { complete, expires_at: None, consent_ends_at: None })
            }
        };
        taken.into_iter().chain(narrowed).collect()
    }
}

/// The verdicts on one collection's calls, as far as they decide its end.
#[derive(Clone, Debug, Default)]
pub struct CallHistory {
    failures: u32,
    is_troubled: bool,
    is_limited: bool,
    is_refused: bool,
    limited_operations: BTreeSet<&'static str>,
}

impl CallHistory {
    /// The header in which the collection is told that our count of a limit is used up, as its network would tell it:
    /// where each limit is of one operation, the collection goes on with the others. None where the poll ends, also
    /// where the same operation is asked for again.
    pub fn limit_header(&mut self, network: Network, operation: &'static str) -> Option<&'static str> {
        network.spec().limit_header.filter(|_| self.limited_operations.insert(operation))
    }

    /// Notes the verdict on an answer with this status.
    pub fn note(&mut self, verdict: &Verdict, status: u16) {
        self.failures = if *verdict == Verdict::Transient { self.failures + 1 } else { 0 };
        self.is_troubled |= matches!(verdict, Verdict::Transient | Verdict::Malformed);
        // Limits, tokens and what is gone have verdicts of their own, whatever their status.
        self.is_refused |= *verdict == Verdict::Malformed && (400..500).contains(&status);
        self.is_limited |= matches!(verdict, Verdict::Wait { of: CooldownScope::ThisOperation, .. });
    }

    /// Whether too many calls failed in a row. A page that is not proven has few calls, and one failure is enough.
    #[must_use]
    pub fn gives_up(&self, is_proven: bool) -> bool {
        self.failures >= if is_proven { MOST_FAILURES } else { 1 }
    }

    /// How the poll ends where the collection has no further call to make.
    #[must_use]
    pub fn end(&self, findings: &Findings) -> PollEnd {
        if self.is_limited {
            // The checkpoint has the time of the limited operation. All others were asked for.
            PollEnd::More
        } else if let Some(fault) = findings.operator {
            PollEnd::Operator(fault)
        } else if self.is_refused && !findings.was_taken() {
            // Nothing of the page's own was asked yet, so it is the request that the network does not take.
            PollEnd::Operator(OperatorFault::RequestRefused)
        } else if self.is_troubled || findings.answered.is_empty() {
            PollEnd::Unavailable
        } else {
            PollEnd::Complete
        }
    }
}

/// The page with its proof as the poll found it. None where it has that already, or has a newer token than was used.
#[must_use]
pub fn with_proof(page: &Page, token_version: u64, proven: bool) -> Option<Page> {
    let is_new = page.proven != proven && page.token_version == token_version;
    is_new.then(|| Page { proven, version: page.version + 1, ..page.clone() })
}

/// How often a page is polled, in minutes: as was planned, else as before, else at each tick.
#[must_use]
pub fn every_minutes(planned: Option<u32>, before: Option<u32>, tick: Duration) -> u32 {
    planned.or(before).unwrap_or_else(|| u32::try_from(tick.as_secs() / 60).unwrap_or(1))
}

/// When a page is polled next, whose turn was at a time. None where its token is dead: the next poll is with a new one.
#[must_use]
pub fn next_poll(
    page: &Page,
    end: &PollEnd,
    turn_at: Timestamp,
    every_minutes: u32,
    tick: Duration,
) -> Option<Timestamp> {
    if token_state::is_dead(page.token.state) {
        return None;
    }
    let every = Duration::from_secs(u64::from(every_minutes) * 60);
    let turn = until_turn(&page.id, turn_at, every, tick);
    // Somewhat before that tick, so that the page is due whether the tick comes early or late.
    let soonest = after(turn_at, turn.saturating_sub(tick / 2));
    Some(match end {
        PollEnd::Limited(until) => soonest.max(*until),
        _ => soonest,
    })
}

/// For how long a token can be used while it is not renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// It cannot: its time is over, or not known.
    Nothing,
    /// Until its near end, which is an hour or two after it was given.
    Minutes,
    /// Until its end. It was given for weeks, and renewed well ahead.
    Days,
}

impl Remaining {
    /// How the poll ends after a renewal that failed so. None where the token is used until its end.
    #[must_use]
    pub fn end_after(self, failed: Option<PollEnd>) -> Option<PollEnd> {
        let is_lost = matches!(failed, Some(PollEnd::RenewalRefused { lost: true }));
        failed.filter(|_| self == Self::Nothing || is_lost)
    }
}

/// Whether a token is renewed before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalPlan {
    /// It is not.
    NotDue,
    /// It is not yet, because a renewal failed some hours ago.
    Postponed,
    /// It is. A failure leaves this much of the old token.
    Due(Remaining),
}

/// The token that a poll uses, and its renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The page's token, as it is stored.
    pub token: Token,
    /// The token that calls carry: the stored access token, or one that was fetched with a service account's key.
    pub call_token: AccessToken,
    /// How the page was connected, where its owner said so.
    pub login: Option<Login>,
    /// A renewal of the token that was begun.
    pub attempt: Option<RenewalAttempt>,
    /// Whether a new token was fetched in this poll.
    pub renewed: bool,
    /// Whether a renewal failed of a token that lasts for days.
    pub renewal_failed: bool,
}

impl Access {
    /// The access by a stored token.
    #[must_use]
    pub fn new(token: Token, attempt: Option<RenewalAttempt>) -> Self {
        let call_token = token.access_token.clone();
        Self { token, call_token, login: None, attempt, renewed: false, renewal_failed: false }
    }

    /// The same, for a page whose owner said how it was connected.
    #[must_use]
    pub fn by(self, login: Option<Login>) -> Self {
        Self { login, ..self }
    }

    /// How the token is renewed, given whether the deployment has an app at the network; None where it cannot be.
    #[must_use]
    pub fn renewal_method(&self, network: Network, has_app: bool) -> Option<GrantType> {
        let grant = (network.spec().token.grant)(&self.token.access_token, self.login)?;
        let is_possible = grant != GrantType::RefreshToken || self.token.refresh_token.is_some() && has_app;
        is_possible.then_some(grant)
    }

    /// Whether the page's token is renewed before it is used.
    #[must_use]
    pub fn plan_renewal(&self, page: &Page, method: Option<GrantType>, now: Timestamp) -> RenewalPlan {
        let Some(method) = method else { return RenewalPlan::NotDue };
        let (network, expires_at) = (page.network, self.token.expires_at);
        let begun = self.attempt.filter(|attempt| attempt.of == self.token.version);
        let is_due = match method {
            GrantType::ServiceAccount => true,
            // One that was begun and did not succeed comes first: the network may have refused the old token since.
            GrantType::RefreshToken => begun.is_some() || refresh::is_due(network, expires_at, now),
            GrantType::AccessToken => {
                let renewal = network.spec().token.self_renewal;
                renewal.is_some_and(|renewal| (renewal.is_due)(page.token_given_at(), expires_at, now))
            }
        };
        if !is_due {
            return RenewalPlan::NotDue;
        }
        let remaining = remaining(network, method, expires_at, now);
        match begun {
            // The token's end is told meanwhile, for it is near.
            Some(attempt) if remaining == Remaining::Days && after(attempt.at, RENEWAL_PAUSE) > now => {
                RenewalPlan::Postponed
            }
            _ => RenewalPlan::Due(remaining),
        }
    }

    /// Whether a renewal may help after the network refused the token.
    #[must_use]
    pub fn may_renew(&self, method: Option<GrantType>, trouble: &TokenTrouble) -> bool {
        let has_refresh_token = method == Some(GrantType::RefreshToken);
        refresh::help(trouble, has_refresh_token, self.renewed) == Remedy::Renew
    }

    /// Whether the token's end is no trouble, because we renew it. It is where a renewal failed, and where the network
    /// refuses a token that was renewed in this poll.
    #[must_use]
    pub fn is_renewable(&self, method: Option<GrantType>, end: &PollEnd) -> bool {
        let in_vain = self.renewed && matches!(end, PollEnd::Refused(_));
        method.is_some_and(|grant| grant != GrantType::AccessToken) && !in_vain && !self.renewal_failed
    }

    /// Uses a new token from now on, which is stored.
    pub fn take_over(&mut self, access_token: AccessToken, change: TokenChange) {
        self.token.access_token.clone_from(&access_token);
        if let Set::To(refresh_token) = change.refresh_token {
            self.token.refresh_token = Some(refresh_token);
        }
        (self.token.expires_at, self.token.version) = (change.expires_at, change.version);
        (self.call_token, self.renewed, self.attempt) = (access_token, true, None);
    }
}

fn remaining(
    network: Network,
    method: GrantType,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Remaining {
    let lasts = match method {
        GrantType::AccessToken => expires_at.is_none_or(|end| end > now),
        _ => expires_at.is_some_and(|end| end > now),
    };
    match network.spec().token.is_long_lived() {
        _ if !lasts => Remaining::Nothing,
        true => Remaining::Days,
        false => Remaining::Minutes,
    }
}

/// How a poll ends whose token was not renewed.
#[must_use]
pub fn not_renewed(renewed: &Renewed) -> PollEnd {
    match renewed {
        Renewed::Dead { lost } => PollEnd::RenewalRefused { lost: *lost },
        Renewed::Wait(until) => PollEnd::Limited(*until),
        Renewed::OurFault(fault) => PollEnd::Operator(*fault),
        Renewed::Unknown | Renewed::Fresh(_) => PollEnd::Unavailable,
    }
}

/// How a poll ends whose token Instagram did not refresh.
#[must_use]
pub fn not_refreshed(verdict: Verdict) -> PollEnd {
    match verdict {
        Verdict::Token(trouble) => PollEnd::Refused(trouble),
        Verdict::Wait { until, .. } => PollEnd::Limited(until),
        Verdict::OurFault(fault) => PollEnd::Operator(fault),
        _ => PollEnd::Unavailable,
    }
}

/// The page with a token that we renewed. For its owner it is the same token with another end.
#[must_use]
pub fn with_new_token(page: &Page, change: &TokenChange) -> Changed {
    let token = TokenStatus { expires_at: change.expires_at, ..page.token.clone() };
    let page = Page { token, token_version: change.version, version: page.version + 1, ..page.clone() };
    Changed { page, token: Some(change.clone()), rerouted: false }
}

/// Whether a page's token is to be inspected, which was inspected last at a time: once a day, and where its end has
/// come, which may have been put off since.
#[must_use]
pub fn inspection_is_due(page: &Page, last: Option<Timestamp>, now: Timestamp) -> bool {
    let ends = [page.token.expires_at, page.token.consent_ends_at];
    let has_ended = ends.into_iter().flatten().any(|end| end <= now);
    has_ended || last.is_none_or(|last| now.duration_since(last) >= INSPECTION_LASTS)
}

/// Whether a network's pages receive pushes, which may wait for the page's proof.
#[must_use]
pub fn is_pushed(network: Network) -> bool {
    network.spec().push.is_some()
}

/// Whether the newest of the entries that were pushed as ids is completed first. It alternates with the oldest, so that
/// no entry that fails again and again delays the others.
#[must_use]
pub fn completes_newest_first(last: Option<&LastTick>) -> bool {
    last.is_some_and(|last| last.at.as_second() / 900 % 2 == 0)
}

/// The outcome for an entry that was pushed as an id alone.
#[derive(Clone, Debug)]
pub enum Completion {
    /// It is ready to be dispatched, with this event in the place of the pushed one. Without an event it is dispatched
    /// as it was pushed.
    Ready(Option<Event>),
    /// There is nothing to tell.
    Nothing,
    /// The token may not see it, where it may see others.
    Denied,
    /// It waits for the next poll.
    Waits,
}

/// Whether an entry that was received at a time waited long enough for an answer that can be read.
#[must_use]
pub fn is_given_up(received_at: Timestamp, now: Timestamp) -> bool {
    after(received_at, COMPLETION_PATIENCE) < now
}

/// Decides the outcome for an entry by the answer to the call for it.
#[must_use]
pub fn completion(event: Option<Event>, verdict: &Verdict, is_given_up: bool) -> Completion {
    match (event, verdict) {
        // The answer is about this entry alone, for example about an author whose account is not public.
        (_, Verdict::Token(TokenTrouble::Narrowed(_))) => Completion::Denied,
        (Some(event), _) => Completion::Ready(Some(event)),
        (None, Verdict::Fine) => Completion::Nothing,
        (None, Verdict::Gone) => Completion::Ready(None),
        (None, Verdict::Malformed) if is_given_up => Completion::Ready(None),
        (None, _) => Completion::Waits,
    }
}

#[cfg(test)]
#[path = "page_poll/tests.rs"]
mod tests;
