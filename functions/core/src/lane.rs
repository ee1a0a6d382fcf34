//! The slow lane: a queue of its own, with little concurrency, for deliveries to webhooks that answer slowly.
//!
//! An attempt that takes long keeps its function waiting. A URL that swallows requests, or answers each after 13 s,
//! would use up the concurrency of all. So the batch that finds it slow *moves* its deliveries to the slow lane's queue
//! without an attempt. Three things make a webhook slow:
//! - Its attempts took long lately, or those of many webhooks of its account did ([`crate::slow`]). That ends with
//!   time, and neither with a quick answer nor with a new revision.
//! - Its last attempts of the item's type all [timed out](timed_out_only). The streak remembers that for as long as it
//!   lives, so that a black hole to which little goes stays in the slow lane.
//! - Its host took no connection from this copy of the function lately ([`crate::slow::DeadHosts`]).
//!
//! # How long a chain of invocations gets
//! A delivery's message may lead to another one, by a short retry or a move, and that to a third. Such a chain may have
//! at most [`MAX_CHAIN`] messages, so a delivery carries the number of messages before it. At its chain's end it is not
//! moved any more ([`choose`]), and its next short wait is spent in a held row ([`short_wait`]), with which a tick
//! begins a new chain. A retry stays in the lane of its attempt; messages in the slow lane whose webhook recovered are
//! attempted there.
//!
//! # How much it holds
//! A delivery that waited in the slow lane's queue for [`PATIENCE`] goes to a held row without an attempt, and comes
//! again later: the queue is for deliveries that are attempted soon, and a row has its retention and its end among the
//! dead.

use std::time::Duration;

use crate::streak::{Phase, State};

crate::named! {
    /// The two queues of deliveries.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub enum Lane {
        /// Where every item begins.
        #[default]
        Usual = "usual",
        /// Where what goes to slow webhooks is attempted.
        Slow = "slow",
    }
}

/// How many failures in a row, all of them time-outs, bring a type of a webhook into the slow lane.
pub const TIMED_OUT_AFTER: u32 = 5;

/// How many messages a chain may have: an item's first one, and those of its three short retries; or a move in place of
/// one of them.
pub const MAX_CHAIN: u32 = 4;

/// The longest wait in the slow lane's queue; after that a delivery waits in a row. A queue silently drops messages
/// after 14 days, and black holes may bring more than their lane can attempt.
pub const PATIENCE: Duration = Duration::from_secs(3600);

/// How long a delivery that was not attempted in that time waits in a row before it is queued again.
pub const OVERDUE_WAIT: Duration = Duration::from_secs(30 * 60);

/// Whether the streak of a type says that its attempts time out again and again.
#[must_use]
pub fn timed_out_only(state: &State) -> bool {
    matches!(state.phase, Phase::Failing { failures, timeouts_only: true, .. } if failures >= TIMED_OUT_AFTER)
}

/// The lane of a delivery's attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneChoice {
    /// Its current lane.
    Here,
    /// The slow lane, to which it is moved.
    ToSlowLane,
    /// The slow lane, to which it is moved by way of a row, because its chain has no room for another message.
    ToSlowLaneByRow,
    /// None yet: it waited too long, and waits in a row from now on.
    Overdue,
}

/// Chooses the lane of a delivery by its current lane, whether its webhook is slow, the messages before it in its
/// chain, and its time in the queue.
#[must_use]
pub fn choose(here: Lane, slow: bool, chain: u32, waited: Duration) -> LaneChoice {
    match here {
        Lane::Usual if slow && has_room(chain) => LaneChoice::ToSlowLane,
        Lane::Usual if slow => LaneChoice::ToSlowLaneByRow,
        Lane::Slow if slow && waited > PATIENCE => LaneChoice::Overdue,
        Lane::Usual | Lane::Slow => LaneChoice::Here,
    }
}

/// Where a short wait is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortWait {
    /// In the lane's queue, as a message's delay.
    InQueue,
    /// In a held row, until a tick sends it.
    Held,
}

/// Decides where the short wait after a failed attempt is spent, by the messages before it in its chain.
#[must_use]
pub fn short_wait(chain: u32) -> ShortWait {
    if has_room(chain) { ShortWait::InQueue } else { ShortWait::Held }
}

/// Whether another message may follow one that `chain` others came before.
#[must_use]
pub fn has_room(chain: u32) -> bool {
    chain.saturating_add(1) < MAX_CHAIN
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failing(failures: u32, timeouts_only: bool) -> State {
        State { epoch: None, phase: Phase::Failing { streak: "s".to_owned(), failures, timeouts_only } }
    }

    #[test]
    fn five_time_outs_and_nothing_else_are_slow() {
        assert!(!timed_out_only(&failing(4, true)));
        assert!(timed_out_only(&failing(5, true)));
        assert!(timed_out_only(&failing(999, true)));
        assert!(!timed_out_only(&failing(999, false)));
        assert!(!timed_out_only(&State { epoch: None, phase: Phase::Open }));
    }

    #[test]
    fn a_slow_delivery_moves_once_and_a_recovered_one_stays() {
        let choose = |here, slow, chain| choose(here, slow, chain, PATIENCE);
        assert_eq!(choose(Lane::Usual, true, 0), LaneChoice::ToSlowLane);
        assert_eq!(choose(Lane::Slow, true, 0), LaneChoice::Here);
        assert_eq!(choose(Lane::Usual, false, 0), LaneChoice::Here);
        assert_eq!(choose(Lane::Slow, false, 0), LaneChoice::Here);
        assert_eq!(choose(Lane::Usual, true, 2), LaneChoice::ToSlowLane);
        assert_eq!(choose(Lane::Usual, true, 3), LaneChoice::ToSlowLaneByRow);
        assert_eq!(choose(Lane::Usual, false, 3), LaneChoice::Here);
    }

    #[test]
    fn a_delivery_that_waited_too_long_for_a_slow_url_is_held() {
        let long = PATIENCE + Duration::from_millis(1);
        assert_eq!(choose(Lane::Slow, true, 0, long), LaneChoice::Overdue);
        assert_eq!(choose(Lane::Slow, false, 0, long), LaneChoice::Here);
        assert_eq!(choose(Lane::Slow, false, 3, long), LaneChoice::Here);
        assert_eq!(choose(Lane::Usual, true, 0, long), LaneChoice::ToSlowLane);
    }

    #[test]
    fn three_short_retries_fit_into_a_chain_without_a_move() {
        assert_eq!([0, 1, 2, 3].map(short_wait)[..3], [ShortWait::InQueue; 3]);
        assert_eq!(short_wait(3), ShortWait::Held);
        assert_eq!(short_wait(u32::MAX), ShortWait::Held);
    }

    proptest! {
        /// Whatever is slow at each message, however long each waited, and whatever the number of the first attempt is.
        #[test]
        fn no_chain_has_more_than_four_messages(
            messages in prop::collection::vec((any::<bool>(), 0..2 * PATIENCE.as_secs()), 20), first in 1..12_u32,
        ) {
            let is_short = |attempt: u32| crate::retry::wait_after(attempt, None, 0)
                .is_some_and(|wait| wait <= crate::retry::MAX_QUEUE_DELAY);
            let (mut lane, mut attempt, mut chain) = (Lane::Usual, first, 0);
            for (slow, waited) in messages {
                let choice = choose(lane, slow, chain, Duration::from_secs(waited));
                prop_assert!(lane == Lane::Slow || !slow || choice != LaneChoice::Here, "a slow one is never attempted here");
                match choice {
                    LaneChoice::ToSlowLane => lane = Lane::Slow,
                    LaneChoice::Here if is_short(attempt) && short_wait(chain) == ShortWait::InQueue => attempt += 1,
                    LaneChoice::Here | LaneChoice::Overdue | LaneChoice::ToSlowLaneByRow => break,
                }
                chain += 1;
            }
            prop_assert!(chain < MAX_CHAIN, "{chain}");
        }
    }
}
