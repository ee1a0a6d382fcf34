//! Admission: whether a delivery is attempted now, in the lane where it was found.

use std::time::Duration;

use jiff::Timestamp;

use crate::delivery::Delivery;
use crate::lane::{self, Lane, LaneChoice};
use crate::streak::{Phase, State};
use crate::webhook::{Webhook, WhileBlocked};

/// Why a delivery was not attempted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unattempted {
    /// The item's network does not allow it to be kept any longer.
    StorageExpired,
    /// The webhook was deleted.
    WebhookDeleted,
    /// The webhook no longer takes the item's type or source.
    NotTaken,
    /// The webhook is disabled.
    WebhookDisabled,
    /// The item's type is blocked.
    Blocked {
        /// What happens to items during the block.
        while_blocked: WhileBlocked,
        /// The webhook's revision, which is part of the streak's key.
        revision: u64,
        /// The block's id.
        epoch: Option<String>,
        /// The block's end.
        until: Timestamp,
    },
    /// The webhook is slow, so the delivery moves to the slow lane.
    Slow,
    /// The webhook is slow, and the chain of messages has no room for the move.
    SlowAtChainsEnd,
    /// The delivery waited in the slow lane for longer than [`lane::PATIENCE`].
    Overdue,
    /// The webhook's host had no free place for this batch in time.
    HostBusy,
}

/// The webhook of a delivery, as its batch read it.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// The webhook, and the streak of the item's type.
    Webhook(&'a Webhook, &'a State),
    /// There is no such webhook.
    Deleted,
    /// The webhook's row cannot be read.
    Unreadable,
}

/// Whether a delivery is attempted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is attempted.
    Attempt,
    /// It is settled without an attempt.
    Settle(Unattempted),
    /// Nothing is known, so the queue hands the message out again.
    GoBack,
}

/// Decides whether a delivery is attempted now. `is_slow` says that its webhook or host took long lately, and `waited`
/// is how long its message has been in the queue.
#[must_use]
pub fn admit(
    delivery: &Delivery,
    target: Target<'_>,
    lane: Lane,
    is_slow: bool,
    waited: Duration,
    now: Timestamp,
) -> Admission {
    if delivery.is_past_keep_until(now) {
        return Admission::Settle(Unattempted::StorageExpired);
    }
    let (webhook, state) = match target {
        Target::Webhook(webhook, state) => (webhook, state),
        Target::Deleted => return Admission::Settle(Unattempted::WebhookDeleted),
        Target::Unreadable => return Admission::GoBack,
    };
    if !webhook.takes(&delivery.item_type, &delivery.source) {
        return Admission::Settle(Unattempted::NotTaken);
    }
    if webhook.disabled_by.is_some() {
        return Admission::Settle(Unattempted::WebhookDisabled);
    }
    if let Phase::Blocked { until, .. } = state.phase {
        return Admission::Settle(Unattempted::Blocked {
            while_blocked: webhook.settings.while_blocked,
            revision: webhook.revision,
            epoch: state.epoch.clone(),
            until,
        });
    }
    let is_slow = is_slow || lane::timed_out_only(state);
    match lane::choose(lane, is_slow, delivery.chain, waited) {
        LaneChoice::Here => Admission::Attempt,
        LaneChoice::ToSlowLane => Admission::Settle(Unattempted::Slow),
        LaneChoice::ToSlowLaneByRow => Admission::Settle(Unattempted::SlowAtChainsEnd),
        LaneChoice::Overdue => Admission::Settle(Unattempted::Overdue),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{at, delivery, webhook};
    use crate::item::ItemType;
    use crate::lane::PATIENCE;

    fn state(phase: Phase) -> State {
        State { epoch: Some("e".to_owned()), phase }
    }

    fn failing(failures: u32) -> State {
        state(Phase::Failing { streak: "s".to_owned(), failures, timeouts_only: true })
    }

    #[test]
    fn the_first_obstacle_decides() {
        let open = state(Phase::Open);
        let blocked = state(Phase::Blocked { at: at(0), until: at(50) });
        let taken = webhook(json!({"while_blocked": "discard"}));
        let disabled = taken.gone(1, at(0)).unwrap();
        let of_others = webhook(json!({"sources": ["bot:other"]}));
        let expired = Delivery { keep_until: Some(at(10)), ..delivery() };
        let event = Delivery { item_type: ItemType::EVENT, ..delivery() };
        let a_block = Unattempted::Blocked {
            while_blocked: WhileBlocked::Discard,
            revision: 1,
            epoch: Some("e".to_owned()),
            until: at(50),
        };
        for (delivery, target, expected) in [
            (&delivery(), Target::Webhook(&taken, &open), Admission::Attempt),
            (&expired, Target::Webhook(&taken, &open), Admission::Settle(Unattempted::StorageExpired)),
            (&expired, Target::Unreadable, Admission::Settle(Unattempted::StorageExpired)),
            (&delivery(), Target::Unreadable, Admission::GoBack),
            (&delivery(), Target::Deleted, Admission::Settle(Unattempted::WebhookDeleted)),
            (&event, Target::Webhook(&disabled, &open), Admission::Settle(Unattempted::NotTaken)),
            (&delivery(), Target::Webhook(&of_others, &open), Admission::Settle(Unattempted::NotTaken)),
            (
                &delivery(),
                Target::Webhook(&disabled, &blocked),
                Admission::Settle(Unattempted::WebhookDisabled),
            ),
            (&delivery(), Target::Webhook(&taken, &blocked), Admission::Settle(a_block)),
        ] {
            let admission =
                admit(delivery, target, Lane::Usual, expected != Admission::Attempt, PATIENCE, at(10));
            assert_eq!(admission, expected);
        }
    }

    #[test]
    fn what_is_slow_leaves_the_usual_lane() {
        let webhook = webhook(json!({}));
        let long = PATIENCE + Duration::from_millis(1);
        for (lane, is_slow, failures, chain, waited, expected) in [
            (Lane::Usual, false, 4, 0, long, Admission::Attempt),
            (Lane::Usual, false, 5, 0, long, Admission::Settle(Unattempted::Slow)),
            (Lane::Usual, true, 1, 2, long, Admission::Settle(Unattempted::Slow)),
            (Lane::Usual, true, 1, 3, long, Admission::Settle(Unattempted::SlowAtChainsEnd)),
            (Lane::Slow, true, 1, 0, PATIENCE, Admission::Attempt),
            (Lane::Slow, true, 1, 0, long, Admission::Settle(Unattempted::Overdue)),
            (Lane::Slow, false, 1, 0, long, Admission::Attempt),
        ] {
            let state = failing(failures);
            let delivery = Delivery { chain, ..delivery() };
            let admission =
                admit(&delivery, Target::Webhook(&webhook, &state), lane, is_slow, waited, at(10));
            assert_eq!(admission, expected, "{lane:?} {is_slow} {failures} {chain}");
        }
    }
}
