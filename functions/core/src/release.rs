//! Releases held items in steps, small at first, which grow while they succeed.
//!
//! A release takes the held items of one (webhook, item type) in the order of their acceptance. Nothing of a step is
//! requested before the previous step's items have finished; inside a step, any order. A step in which an attempt
//! failed ends the release, which begins again with the first step at the next tick: so a URL that still fails costs
//! one first step a tick. A failure in the first step does not use up the item's schedule.
//!
//! An owner's act (a block is ended, a webhook enabled or changed) releases everything that was held by the state
//! before it, retries too. Batches that read that state may still hold items while they run, so a second
//! look comes after that ([`SECOND_LOOK`]), and the release is kept until then ([`ending`]).

use std::time::Duration;

use jiff::Timestamp;

use crate::delivery::Delivery;
use crate::holding::Progress;
use crate::retention::{Retention, after};
use crate::settlement::DISABLED_WAIT;
use crate::streak::{Phase, State};
use crate::webhook::Webhook;

/// How many items the first step has.
pub const FIRST_STEP: u32 = 10;

/// How many items a step has at most.
pub const MAX_STEP: u32 = 1000;

/// How many bytes of items a step has at most, but for one item that is larger.
pub const MAX_STEP_BYTES: usize = 16 * 1024 * 1024;

/// How long a batch of deliveries may go on holding items by the state that it read: the function's timeout.
pub const LONGEST_BATCH: Duration = Duration::from_secs(30);

/// The largest difference between the clocks of two functions. They take the platform's time.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// How long after an owner's act its release is looked at a second time: when every batch that read the state before it
/// has ended, whatever the clocks say.
pub const SECOND_LOOK: Duration = Duration::from_secs(45);

/// A worker begins a step, or goes on waiting for one, only with this much time left.
pub const STEP_TIME: Duration = Duration::from_secs(20);

/// How long a step is waited for: longer than an attempt and two passages of its message through the queue.
const STEP_LIMIT: Duration = Duration::from_secs(600);

/// The longest that a worker waits for its gate. Where the gate is shut for longer, a later worker looks.
const WAIT_FOR_GATE: Duration = Duration::from_secs(90);

/// How often a worker looks whether its gate is open.
const LOOK_AT_GATE: Duration = Duration::from_secs(3);

/// How often a release whose oldest item was replayed is searched for expired items behind it. It is much sooner than
/// the table may delete such a row, and seldom, because it reads everything that was replayed.
const SEARCH_EVERY: Duration = Duration::from_secs(4 * 3600);

/// The bound of an owner's act at `now`: it releases all items that were held by a state that was read until then. A
/// batch that read before the act may have a clock that is ahead.
#[must_use]
pub fn released_until(now: Timestamp) -> Timestamp {
    after(now, CLOCK_SKEW)
}

/// When every item that an act's release takes has been held.
fn all_is_held_at(release_all_until: Timestamp) -> Timestamp {
    after(release_all_until, LONGEST_BATCH + CLOCK_SKEW)
}

/// Whether a release without waiting items may be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It may be ended.
    Now,
    /// The waiting items are to be read anew: one may have been held behind those that were read.
    ReadAnew,
    /// An item may still be held for it. The next look is due then.
    NotBefore(Timestamp),
}

/// Whether a release without waiting items may be ended at `now`, where reading them began at `read_at`.
#[must_use]
pub fn ending(release_all_until: Option<Timestamp>, read_at: Timestamp, now: Timestamp) -> Ending {
    match release_all_until.map(all_is_held_at) {
        Some(held_at) if now < held_at => Ending::NotBefore(held_at),
        Some(held_at) if read_at < held_at => Ending::ReadAnew,
        _ => Ending::Now,
    }
}

/// The next step after one that was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// A step of this size.
    Send(u32),
    /// None: items of the step failed.
    Failed,
}

/// Decides the next step after `step`, if there was one. `first` is the size of a first step.
#[must_use]
pub fn next_step(step: Option<&Progress>, first: u32, grown: impl Fn(u32) -> u32) -> NextStep {
    match step {
        // Its worker died before all of it was sent.
        Some(Progress { sent: false, size, .. }) => NextStep::Send(*size),
        Some(Progress { failed: 0, size, .. }) => NextStep::Send(grown(*size)),
        // Where items of it failed and the owner acted meanwhile, the release may begin again at once.
        None | Some(Progress { expedited: true, .. }) => NextStep::Send(first),
        Some(_) => NextStep::Failed,
    }
}

/// How far a release's step is for its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepStatus {
    /// No item of it is under way.
    Finished,
    /// Items of it are under way.
    UnderWay,
    /// Items of it are under way, and the worker's time is over.
    OutOfTime,
    /// It did not finish within its limit. The release begins again with a first step at the next tick.
    Overdue,
    /// It did not finish within its limit, and its owner acted meanwhile: the release begins again at once.
    OverdueExpedited,
}

/// How far a step is for a worker that has `left` to go on.
#[must_use]
pub fn step_status(step: Option<&Progress>, left: Duration, now: Timestamp) -> StepStatus {
    match step {
        Some(step) if step.sent && step.left > 0 => match now >= after(step.began_at, STEP_LIMIT) {
            true if step.expedited => StepStatus::OverdueExpedited,
            true => StepStatus::Overdue,
            false if left < STEP_TIME => StepStatus::OutOfTime,
            false => StepStatus::UnderWay,
        },
        _ => StepStatus::Finished,
    }
}

/// Whether the held items of a webhook may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They may be sent.
    Open {
        /// The webhook's revision.
        revision: u64,
    },
    /// They may not be sent before this time.
    ShutUntil(Timestamp),
    /// It was deleted, so its items are dropped.
    Deleted,
}

impl Gate {
    /// The gate of a webhook, without regard to blocks.
    #[must_use]
    pub fn of_webhook(webhook: Option<&Webhook>, now: Timestamp) -> Self {
        match webhook {
            None => Self::Deleted,
            Some(webhook) if webhook.disabled_by.is_some() => Self::ShutUntil(after(now, DISABLED_WAIT)),
            Some(webhook) => Self::Open { revision: webhook.revision },
        }
    }

    /// The same gate, shut by a block.
    #[must_use]
    pub fn with_state(self, state: &State) -> Self {
        match (self, &state.phase) {
            (Self::Open { .. }, Phase::Blocked { until, .. }) => Self::ShutUntil(*until),
            _ => self,
        }
    }

    /// How long a worker that has `left` waits before it looks at a shut gate again; None where it does not wait. The
    /// clock that planned the release for the end of a block may differ, and the next tick is far away.
    #[must_use]
    pub fn wait(self, left: Duration, now: Timestamp) -> Option<Duration> {
        let Self::ShutUntil(until) = self else { return None };
        let shut = Duration::try_from(until.duration_since(now)).unwrap_or_default();
        (shut <= WAIT_FOR_GATE && left >= shut + STEP_TIME).then_some(shut.min(LOOK_AT_GATE))
    }
}

/// The next act of a release at its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// It sends a step to this revision of the webhook.
    Send(u64),
    /// It drops items, because their webhook was deleted.
    Drop,
    /// It is given back until then.
    Pause(Timestamp),
    /// Nothing waits, so it may end.
    Finish,
}

/// Decides what a release does at its gate. `expiry` is when the oldest waiting item expires; None where nothing waits.
#[must_use]
pub fn next_move(gate: Gate, expiry: Option<Timestamp>) -> Move {
    match (gate, expiry) {
        (Gate::Deleted, _) => Move::Drop,
        (_, None) => Move::Finish,
        (Gate::Open { revision }, _) => Move::Send(revision),
        (Gate::ShutUntil(until), Some(expiry)) => Move::Pause(until.min(expiry)),
    }
}

/// When a release with this oldest item must look for expired items again. Behind one that was replayed others may
/// stand whose retention ends sooner.
#[must_use]
pub fn next_expiry(oldest: &Delivery, retention: Retention, now: Timestamp) -> Timestamp {
    let end = oldest.held_until(retention);
    if oldest.replayed.is_some() { end.min(after(now, SEARCH_EVERY)) } else { end }
}

/// Whether a search for expired items behind replayed ones is due.
#[must_use]
pub fn is_search_due(searched_at: Option<Timestamp>, now: Timestamp) -> bool {
    searched_at.is_none_or(|at| after(at, SEARCH_EVERY) <= now)
}

/// Whether expired items may stand behind this oldest item.
#[must_use]
pub fn may_hide_expired(oldest: &Delivery, retention: Retention, now: Timestamp) -> bool {
    oldest.replayed.is_some() && oldest.accepted_at <= retention.over_since(now)
}

/// How many items the step after one of `size` has, when all of it succeeded.
#[must_use]
pub fn grown(size: u32) -> u32 {
    size.saturating_mul(2).clamp(FIRST_STEP, MAX_STEP)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{at, delivery, webhook};
    use crate::id::ReplayId;
    use crate::replay::Replayed;

    #[test]
    fn steps_double_up_to_the_largest() {
        let sizes: Vec<u32> =
            std::iter::successors(Some(FIRST_STEP), |&size| Some(grown(size))).take(9).collect();
        assert_eq!(sizes, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn a_release_is_kept_until_all_is_held_that_an_act_released() {
        let until = Some(released_until(at(0)));
        assert_eq!(until, Some(at(5)));
        assert_eq!(ending(until, at(0), at(39)), Ending::NotBefore(at(40)));
        assert_eq!(ending(until, at(39), at(40)), Ending::ReadAnew);
        assert_eq!(ending(until, at(40), at(40)), Ending::Now);
        assert_eq!(ending(None, at(0), at(0)), Ending::Now);
        // The second look ends it, also where its clock is behind.
        assert!(at(40) <= after(at(0), SECOND_LOOK - CLOCK_SKEW));
    }

    #[test]
    fn a_step_is_waited_for_within_its_limit_and_the_workers_time() {
        let step =
            |left, sent, expedited| Progress { size: 10, left, failed: 0, began_at: at(0), sent, expedited };
        let (long, short) = (STEP_TIME, STEP_TIME - Duration::from_millis(1));
        for (step, left, now, expected) in [
            (None, short, 999, StepStatus::Finished),
            (Some(step(0, true, false)), short, 999, StepStatus::Finished),
            (Some(step(3, false, false)), short, 999, StepStatus::Finished),
            (Some(step(3, true, false)), long, 599, StepStatus::UnderWay),
            (Some(step(3, true, true)), long, 599, StepStatus::UnderWay),
            (Some(step(3, true, false)), short, 599, StepStatus::OutOfTime),
            (Some(step(3, true, false)), short, 600, StepStatus::Overdue),
            (Some(step(3, true, true)), short, 600, StepStatus::OverdueExpedited),
        ] {
            assert_eq!(step_status(step.as_ref(), left, at(now)), expected, "{step:?} {left:?} {now}");
        }
    }

    #[test]
    fn a_gate_is_shut_while_its_webhook_is_disabled_or_blocked() {
        let state = |phase| State { epoch: None, phase };
        let blocked = state(Phase::Blocked { at: at(0), until: at(50) });
        let open = webhook(json!({}));
        let disabled = open.gone(1, at(0)).unwrap();
        for (webhook, state, expected) in [
            (None, &blocked, Gate::Deleted),
            (Some(&disabled), &blocked, Gate::ShutUntil(at(1810))),
            (Some(&open), &blocked, Gate::ShutUntil(at(50))),
            (Some(&open), &state(Phase::Open), Gate::Open { revision: 1 }),
        ] {
            assert_eq!(Gate::of_webhook(webhook, at(10)).with_state(state), expected);
        }
    }

    #[test]
    fn a_worker_waits_at_a_gate_that_opens_soon() {
        let seconds = Duration::from_secs;
        for (gate, left, expected) in [
            (Gate::ShutUntil(at(12)), seconds(22), Some(seconds(2))),
            (Gate::ShutUntil(at(12)), seconds(21), None),
            (Gate::ShutUntil(at(100)), seconds(900), Some(seconds(3))),
            (Gate::ShutUntil(at(101)), seconds(900), None),
            (Gate::ShutUntil(at(5)), seconds(900), Some(seconds(0))),
            (Gate::Open { revision: 1 }, seconds(900), None),
            (Gate::Deleted, seconds(900), None),
        ] {
            assert_eq!(gate.wait(left, at(10)), expected, "{gate:?} {left:?}");
        }
    }

    #[test]
    fn a_release_sends_pauses_drops_or_ends_at_its_gate() {
        let (open, shut) = (Gate::Open { revision: 7 }, Gate::ShutUntil(at(50)));
        for (gate, expiry, expected) in [
            (open, Some(at(99)), Move::Send(7)),
            (open, None, Move::Finish),
            (shut, Some(at(99)), Move::Pause(at(50))),
            (shut, Some(at(40)), Move::Pause(at(40))),
            (shut, None, Move::Finish),
            (Gate::Deleted, Some(at(99)), Move::Drop),
            (Gate::Deleted, None, Move::Drop),
        ] {
            assert_eq!(next_move(gate, expiry), expected, "{gate:?} {expiry:?}");
        }
    }

    #[test]
    fn expired_items_are_searched_for_behind_replayed_ones() {
        let (day, hours) = (24 * 3600, 4 * 3600);
        let retention = Retention::from_days(14);
        let usual = delivery();
        let replayed = Replayed { replay: ReplayId::made_at(at(13 * day), 1), at: at(13 * day) };
        let replayed = Delivery { replayed: Some(replayed), ..delivery() };
        assert_eq!(next_expiry(&usual, retention, at(day)), at(14 * day));
        assert_eq!(next_expiry(&replayed, retention, at(14 * day)), at(14 * day + hours));
        assert_eq!(next_expiry(&replayed, retention, at(27 * day - 1)), at(27 * day));
        assert!(is_search_due(None, at(0)) && is_search_due(Some(at(0)), at(hours)));
        assert!(!is_search_due(Some(at(0)), at(hours - 1)));
        assert!(may_hide_expired(&replayed, retention, at(14 * day)));
        assert!(!may_hide_expired(&replayed, retention, at(14 * day - 1)));
        assert!(!may_hide_expired(&usual, retention, at(14 * day)));
    }

    #[test]
    fn steps_grow_while_they_succeed_and_begin_anew_after_an_act() {
        let began_at = Timestamp::UNIX_EPOCH;
        let step = Progress { size: 20, left: 0, failed: 0, began_at, sent: true, expedited: false };
        let next = |step: Option<Progress>| next_step(step.as_ref(), FIRST_STEP, grown);
        assert_eq!(next(None), NextStep::Send(10));
        assert_eq!(next(Some(step)), NextStep::Send(40));
        assert_eq!(next(Some(Progress { expedited: true, ..step })), NextStep::Send(40));
        assert_eq!(next(Some(Progress { sent: false, failed: 1, ..step })), NextStep::Send(20));
        assert_eq!(next(Some(Progress { failed: 1, ..step })), NextStep::Failed);
        assert_eq!(next(Some(Progress { failed: 1, expedited: true, ..step })), NextStep::Send(10));
    }
}
