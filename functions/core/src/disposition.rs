//! Disposition: where a delivery goes next, and how its owner learns of it.

use std::time::Duration;

use jiff::Timestamp;

use crate::admission::Unattempted;
use crate::attempt_log::ItemFate;
use crate::delivery::Delivery;
use crate::holding::HeldFor;
use crate::item::ItemType;
use crate::item_state::DropCause;
use crate::lane::{self, Lane, OVERDUE_WAIT, ShortWait};
use crate::outcome::Outcome;
use crate::replay::Counts;
use crate::retention::{Retention, after};
use crate::settlement::{DISABLED_WAIT, DeathCause, Settlement, settle};
use crate::webhook::WhileBlocked;

/// The shortest wait of a notice for its next attempt, because a tick moves it.
const NOTICE_WAIT: Duration = Duration::from_secs(60);

/// The wait of an item for whose host the batch had no free place.
const HOST_BUSY_WAIT: Duration = Duration::from_secs(5);

/// Where a delivery goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Nowhere: it arrived.
    Arrived,
    /// Nowhere: it is dropped.
    Dropped(DropReason),
    /// To the queue of its lane, after this delay, for its next attempt.
    Requeue(Duration),
    /// To the queue of this lane, after this delay. No attempt was made, and it still belongs to its release step.
    Resend(Lane, Duration),
    /// Into a held row that comes due then.
    HoldUntil(Timestamp),
    /// Into a held row that waits for its release. The release is looked at then.
    HoldForRelease(HeldFor, Timestamp),
    /// To the dead items.
    Bury(DeathCause),
}

/// Why a delivery is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// Its webhook was deleted.
    WebhookDeleted,
    /// Its webhook no longer takes its type or source.
    NotTaken,
    /// Its type is blocked, and its webhook discards items meanwhile.
    Discarded,
    /// Its network does not allow it to be kept any longer.
    StorageExpired,
}

impl DropReason {
    /// The cause, as the item's row names it.
    #[must_use]
    pub fn cause(self) -> DropCause {
        match self {
            Self::WebhookDeleted => DropCause::WebhookDeleted,
            Self::NotTaken => DropCause::NotTaken,
            Self::Discarded => DropCause::Discarded,
            Self::StorageExpired => DropCause::StorageLimit,
        }
    }
}

/// The decision for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The number of its next attempt.
    pub attempt: u32,
    /// Where it goes.
    pub disposition: Disposition,
    /// Whether its release step counts it as failed.
    pub failed: bool,
}

impl Disposition {
    /// The disposition of an item that may be kept for a limited time: it is dropped after that, and held no longer.
    #[must_use]
    fn capped_at_keep_until(self, delivery: &Delivery, now: Timestamp) -> Self {
        match self {
            Self::Arrived | Self::Dropped(_) => self,
            _ if delivery.is_past_keep_until(now) => Self::Dropped(DropReason::StorageExpired),
            Self::HoldUntil(at) => Self::HoldUntil(delivery.capped_at_keep_until(at)),
            Self::HoldForRelease(reason, at) => {
                Self::HoldForRelease(reason, delivery.capped_at_keep_until(at))
            }
            Self::Requeue(_) | Self::Resend(..) | Self::Bury(_) => self,
        }
    }

    /// The queue that the delivery goes to, if any, and its delay. `here` is the lane of its batch.
    #[must_use]
    pub fn queue(self, here: Lane) -> Option<(Lane, Duration)> {
        match self {
            Self::Requeue(wait) => Some((here, wait)),
            Self::Resend(lane, wait) => Some((lane, wait)),
            _ => None,
        }
    }

    /// Whether the delivery still belongs to its release step.
    #[must_use]
    pub fn keeps_step(self) -> bool {
        matches!(self, Self::Resend(..))
    }

    /// The item's fate, and the time of its next attempt where that is known. None if no attempt was made.
    #[must_use]
    pub fn fate(self, now: Timestamp) -> Option<(ItemFate, Option<Timestamp>)> {
        Some(match self {
            Self::Arrived => (ItemFate::Delivered, None),
            Self::Dropped(_) => (ItemFate::Dropped, None),
            Self::Resend(..) => return None,
            Self::Requeue(wait) => (ItemFate::Retry, Some(after(now, wait))),
            Self::HoldUntil(at) => (ItemFate::Retry, Some(at)),
            Self::HoldForRelease(..) => (ItemFate::Held, None),
            Self::Bury(_) => (ItemFate::Dead, None),
        })
    }

    /// The item's share in the counts of its replay. None while it is on its way.
    #[must_use]
    pub fn replay_counts(self) -> Option<Counts> {
        match self {
            Self::Arrived => Some(Counts { delivered: 1, ..Counts::default() }),
            Self::Dropped(_) => Some(Counts { dropped: 1, ..Counts::default() }),
            Self::Bury(_) => Some(Counts { dead: 1, ..Counts::default() }),
            Self::Requeue(_) | Self::Resend(..) | Self::HoldUntil(_) | Self::HoldForRelease(..) => None,
        }
    }
}

/// Decides for a delivery that was not attempted. It keeps the number of its next attempt.
#[must_use]
pub fn without_attempt(
    delivery: &Delivery,
    reason: &Unattempted,
    here: Lane,
    retention: Retention,
    now: Timestamp,
) -> Decision {
    let end = retention.held_until(delivery.kept_since());
    let hold =
        |disposition| if now >= end { Disposition::Bury(DeathCause::RetentionOver) } else { disposition };
    let hold_for_release = |reason, at: Timestamp| hold(Disposition::HoldForRelease(reason, at.min(end)));
    // An item of a release step returns to the release. Any other item waits for its own time.
    let look_again = |at: Timestamp| match &delivery.step {
        Some(_) => hold_for_release(HeldFor::Blocked, at),
        None => hold(Disposition::HoldUntil(at.min(end))),
    };
    let (disposition, failed) = match reason {
        Unattempted::StorageExpired => (Disposition::Dropped(DropReason::StorageExpired), false),
        Unattempted::WebhookDeleted => (Disposition::Dropped(DropReason::WebhookDeleted), false),
        Unattempted::NotTaken => (Disposition::Dropped(DropReason::NotTaken), false),
        Unattempted::Blocked { while_blocked: WhileBlocked::Discard, .. } => {
            (Disposition::Dropped(DropReason::Discarded), false)
        }
        Unattempted::Blocked { while_blocked: WhileBlocked::Hold, until, .. } => {
            (hold_for_release(HeldFor::Blocked, *until), true)
        }
        Unattempted::WebhookDisabled => {
            (hold_for_release(HeldFor::Disabled, after(now, DISABLED_WAIT)), true)
        }
        Unattempted::Slow => (Disposition::Resend(Lane::Slow, Duration::ZERO), false),
        // The next tick begins a new chain, and its first message is moved.
        Unattempted::SlowAtChainsEnd => (look_again(now), true),
        Unattempted::Overdue => (look_again(after(now, OVERDUE_WAIT)), true),
        Unattempted::HostBusy => match lane::short_wait(delivery.chain) {
            ShortWait::InQueue => (Disposition::Resend(here, HOST_BUSY_WAIT), false),
            ShortWait::Held => (look_again(after(now, HOST_BUSY_WAIT)), true),
        },
    };
    let disposition = disposition.capped_at_keep_until(delivery, now);
    Decision { attempt: delivery.attempt, disposition, failed }
}

/// Decides for a delivery whose attempt ended at `ended_at`. `random` is the retry's jitter.
#[must_use]
pub fn after_attempt(
    delivery: &Delivery,
    outcome: &Outcome,
    ended_at: Timestamp,
    retention: Retention,
    now: Timestamp,
    random: u64,
) -> Decision {
    let kept_since = delivery.kept_since();
    let end = retention.held_until(kept_since);
    let settlement = settle(outcome, delivery.attempt, kept_since, retention, ended_at, random);
    let mut attempt = delivery.attempt.saturating_add(1);
    let disposition = match (settlement, &delivery.step) {
        (Settlement::Delivered, _) => Disposition::Arrived,
        (Settlement::Dead(cause), _) => Disposition::Bury(cause),
        (Settlement::Hold { until }, _) if outcome.is_gone() => {
            Disposition::HoldForRelease(HeldFor::Disabled, until)
        }
        // It waits for the next step in its place. A queue would make the chain of invocations longer.
        (_, Some(step)) => {
            if step.first {
                // A failure in the first step does not use up the item's schedule.
                attempt = delivery.attempt;
            }
            Disposition::HoldForRelease(HeldFor::Blocked, after(now, DISABLED_WAIT).min(end))
        }
        (Settlement::RetrySoon { wait }, None) if delivery.item_type == ItemType::NOTICE => {
            // A delivery at the end of a chain may have sent it.
            Disposition::HoldUntil(after(now, wait.max(NOTICE_WAIT)).min(end))
        }
        (Settlement::RetrySoon { wait }, None) => match lane::short_wait(delivery.chain) {
            ShortWait::InQueue => Disposition::Requeue(wait),
            ShortWait::Held => Disposition::HoldUntil(after(now, wait).min(end)),
        },
        (Settlement::Hold { until }, None) => Disposition::HoldUntil(until),
    };
    let failed = disposition != Disposition::Arrived;
    Decision { attempt, disposition: disposition.capped_at_keep_until(delivery, now), failed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{at, delivery, of_step};
    use crate::outcome::FailureKind;

    const DAY: i64 = 24 * 3600;
    const NOW: i64 = 100;
    const MIDDLE: u64 = 200;

    fn retention() -> Retention {
        Retention::from_days(14)
    }

    fn unattempted(delivery: &Delivery, reason: &Unattempted, now: i64) -> (Disposition, bool) {
        let decision = without_attempt(delivery, reason, Lane::Slow, retention(), at(now));
        assert_eq!(decision.attempt, delivery.attempt, "no attempt was made");
        (decision.disposition, decision.failed)
    }

    fn blocked(while_blocked: WhileBlocked) -> Unattempted {
        Unattempted::Blocked { while_blocked, revision: 1, epoch: None, until: at(5000) }
    }

    fn failed(delivery: &Delivery, status: u16, now: i64) -> (u32, Disposition) {
        let outcome = Outcome::failed(FailureKind::Status, Some(status));
        let decision = after_attempt(delivery, &outcome, at(now), retention(), at(now), MIDDLE);
        assert!(decision.failed);
        (decision.attempt, decision.disposition)
    }

    #[test]
    fn every_reason_for_no_attempt_has_its_disposition() {
        use Disposition::{Dropped, HoldForRelease, HoldUntil, Resend};
        let chain_end = Delivery { chain: 3, ..delivery() };
        let stepped = of_step(false, chain_end.clone());
        let held = |reason, second| (HoldForRelease(reason, at(second)), true);
        let dropped = |reason| (Dropped(reason), false);
        for (delivery, reason, expected) in [
            (&delivery(), Unattempted::StorageExpired, dropped(DropReason::StorageExpired)),
            (&delivery(), Unattempted::WebhookDeleted, dropped(DropReason::WebhookDeleted)),
            (&delivery(), Unattempted::NotTaken, dropped(DropReason::NotTaken)),
            (&delivery(), blocked(WhileBlocked::Discard), dropped(DropReason::Discarded)),
            (&delivery(), blocked(WhileBlocked::Hold), held(HeldFor::Blocked, 5000)),
            (&delivery(), Unattempted::WebhookDisabled, held(HeldFor::Disabled, NOW + 1800)),
            (&delivery(), Unattempted::Slow, (Resend(Lane::Slow, Duration::ZERO), false)),
            (&chain_end, Unattempted::SlowAtChainsEnd, (HoldUntil(at(NOW)), true)),
            (&stepped, Unattempted::SlowAtChainsEnd, held(HeldFor::Blocked, NOW)),
            (&delivery(), Unattempted::Overdue, (HoldUntil(at(NOW + 1800)), true)),
            (&stepped, Unattempted::Overdue, held(HeldFor::Blocked, NOW + 1800)),
            (&delivery(), Unattempted::HostBusy, (Resend(Lane::Slow, HOST_BUSY_WAIT), false)),
            (&chain_end, Unattempted::HostBusy, (HoldUntil(at(NOW + 5)), true)),
            (&stepped, Unattempted::HostBusy, held(HeldFor::Blocked, NOW + 5)),
        ] {
            assert_eq!(unattempted(delivery, &reason, NOW), expected, "{reason:?}");
        }
    }

    #[test]
    fn nothing_is_held_beyond_its_retention() {
        let buried = (Disposition::Bury(DeathCause::RetentionOver), true);
        for reason in [blocked(WhileBlocked::Hold), Unattempted::WebhookDisabled, Unattempted::Overdue] {
            assert_eq!(unattempted(&delivery(), &reason, 14 * DAY), buried, "{reason:?}");
            let (disposition, _) = unattempted(&delivery(), &reason, 14 * DAY - 1);
            match disposition {
                Disposition::HoldUntil(until) => assert_eq!(until, at(14 * DAY)),
                Disposition::HoldForRelease(_, until) => assert!(until <= at(14 * DAY), "{until}"),
                other => panic!("{other:?}"),
            }
        }
        let moved = unattempted(&delivery(), &Unattempted::Slow, 14 * DAY);
        assert_eq!(moved, (Disposition::Resend(Lane::Slow, Duration::ZERO), false));
    }

    #[test]
    fn a_failed_attempt_waits_where_its_kind_waits() {
        use Disposition::{Bury, HoldForRelease, HoldUntil, Requeue};
        let of = |attempt, chain| Delivery { attempt, chain, ..delivery() };
        let notice = Delivery { item_type: ItemType::NOTICE, ..delivery() };
        let (later, soon) = (HoldForRelease(HeldFor::Blocked, at(NOW + 1800)), Duration::from_secs(5));
        for (delivery, status, expected) in [
            (of(1, 0), 500, (2, Requeue(soon))),
            (of(1, 3), 500, (2, HoldUntil(at(NOW + 5)))),
            (of(4, 0), 500, (5, HoldUntil(at(NOW + 1800)))),
            (of(11, 0), 500, (12, Bury(DeathCause::Exhausted))),
            (of(1, 0), 410, (2, HoldForRelease(HeldFor::Disabled, at(NOW + 1800)))),
            (of_step(true, of(1, 0)), 410, (2, HoldForRelease(HeldFor::Disabled, at(NOW + 1800)))),
            (of_step(true, of(1, 0)), 500, (1, later)),
            (of_step(true, of(4, 0)), 500, (4, later)),
            (of_step(false, of(1, 0)), 500, (2, later)),
            (of_step(false, of(11, 0)), 500, (12, Bury(DeathCause::Exhausted))),
            (notice, 500, (2, HoldUntil(at(NOW + 60)))),
        ] {
            assert_eq!(failed(&delivery, status, NOW), expected, "{delivery:?} {status}");
        }
    }

    #[test]
    fn a_success_arrives_whatever_its_step_or_storage_term() {
        let expired = Delivery { keep_until: Some(at(NOW)), ..of_step(true, delivery()) };
        let outcome = Outcome::Success { status: 200 };
        let decision = after_attempt(&expired, &outcome, at(NOW), retention(), at(NOW), MIDDLE);
        assert_eq!(decision, Decision { attempt: 2, disposition: Disposition::Arrived, failed: false });
    }

    #[test]
    fn a_storage_term_drops_items_and_shortens_waits() {
        let until = |second| Delivery { keep_until: Some(at(second)), ..delivery() };
        let expired = Disposition::Dropped(DropReason::StorageExpired);
        assert_eq!(failed(&until(NOW), 500, NOW).1, expired);
        assert_eq!(unattempted(&until(NOW), &Unattempted::Slow, NOW).0, expired);
        let late = Delivery { attempt: 4, ..until(NOW + 7) };
        assert_eq!(failed(&late, 500, NOW).1, Disposition::HoldUntil(at(NOW + 7)));
        let (held, _) = unattempted(&until(NOW + 7), &blocked(WhileBlocked::Hold), NOW);
        assert_eq!(held, Disposition::HoldForRelease(HeldFor::Blocked, at(NOW + 7)));
    }

    #[test]
    fn a_disposition_says_what_logs_replays_and_queues_need() {
        use Disposition::{Arrived, Bury, Dropped, HoldForRelease, HoldUntil, Requeue, Resend};
        let wait = Duration::from_secs(5);
        let counts =
            |delivered, dead, dropped| Some(Counts { delivered, dead, dropped, ..Counts::default() });
        for (disposition, fate, replay, queue) in [
            (Arrived, Some((ItemFate::Delivered, None)), counts(1, 0, 0), None),
            (Dropped(DropReason::NotTaken), Some((ItemFate::Dropped, None)), counts(0, 0, 1), None),
            (Requeue(wait), Some((ItemFate::Retry, Some(at(105)))), None, Some((Lane::Usual, wait))),
            (Resend(Lane::Slow, wait), None, None, Some((Lane::Slow, wait))),
            (HoldUntil(at(9)), Some((ItemFate::Retry, Some(at(9)))), None, None),
            (HoldForRelease(HeldFor::Blocked, at(9)), Some((ItemFate::Held, None)), None, None),
            (Bury(DeathCause::Exhausted), Some((ItemFate::Dead, None)), counts(0, 1, 0), None),
        ] {
            assert_eq!(disposition.fate(at(NOW)), fate);
            assert_eq!(disposition.replay_counts(), replay);
            assert_eq!(disposition.queue(Lane::Usual), queue);
            assert_eq!(disposition.keeps_step(), fate.is_none());
        }
    }
}
