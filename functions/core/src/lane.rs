//! The slow lane: a queue of its own, with little concurrency, for what goes to webhooks that time out again and again.
//!
//! An attempt that times out keeps its function waiting for the whole deadline. A URL that swallows requests and takes
//! its share of the traffic would so use up the concurrency of all. What goes to it is therefore *moved*: sent to the
//! slow lane's queue, without an attempt, by the batch that finds its type [slow](is_slow). The mark is the streak's, so
//! it ends with it: a success, an unblock or a new revision make the type usual again, and so does a failure of any
//! other kind, which came in time.
//!
//! # How long a chain of invocations gets
//! A delivery's message may lead to another one, by a short retry or a move, and that to a third. These chains are to be
//! no longer than [`MAX_CHAIN`] messages, so a delivery says how many came before. At its chain's end it is not moved any
//! more ([`turn`]), and its next short wait is spent in a held row ([`retry`]), with which a tick begins a new chain. A
//! retry stays in the lane of its attempt; what the slow lane holds of a webhook that recovered is attempted there.
//!
//! # How much it holds
//! What waited in the slow lane's queue for [`PATIENCE`] goes to a held row without an attempt, and comes again later:
//! the queue is for what is attempted soon, and a row has its retention and its end among the dead.

use std::time::Duration;

use crate::streak::{Phase, State};

/// The two queues of deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Where every item begins.
    #[default]
    Usual,
    /// Where what goes to slow webhooks is attempted.
    Slow,
}

/// How many failures in a row, all of them time-outs, make a type of a webhook slow.
pub const SLOW_AFTER: u32 = 5;

/// How many messages a chain may have: an item's first one, and those of its three short retries; or a move in place of
/// one of them.
pub const MAX_CHAIN: u32 = 4;

/// How long a delivery waits in the slow lane's queue for its attempt at most: then it waits in a row. A queue forgets
/// what is in it for 14 days without a word, and black holes may bring more than their lane can attempt.
pub const PATIENCE: Duration = Duration::from_secs(3600);

/// How long a delivery that was not attempted in that time waits in a row before it is queued again.
pub const OVERDUE_WAIT: Duration = Duration::from_secs(30 * 60);

/// Whether the streak of a type makes it slow.
#[must_use]
pub fn is_slow(state: &State) -> bool {
    matches!(state.phase, Phase::Failing { failures, timeouts_only: true, .. } if failures >= SLOW_AFTER)
}

/// Where a delivery is attempted that was found in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Where it is.
    Here,
    /// In the slow lane, to which it is moved.
    ToSlowLane,
    /// Later: it waited too long already, and waits in a row from now on.
    Overdue,
}

/// Where a delivery is attempted that was found `here`, whose type's state is `before`, after so many messages of its
/// chain, and after its message waited so long.
#[must_use]
pub fn turn(here: Lane, before: &State, chain: u32, waited: Duration) -> Turn {
    match here {
        Lane::Usual if is_slow(before) && has_room(chain) => Turn::ToSlowLane,
        Lane::Slow if is_slow(before) && waited > PATIENCE => Turn::Overdue,
        Lane::Usual | Lane::Slow => Turn::Here,
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

/// Where the short wait after a failed attempt is spent, after so many messages of its chain.
#[must_use]
pub fn retry(chain: u32) -> ShortWait {
    if has_room(chain) { ShortWait::InQueue } else { ShortWait::Held }
}

/// Whether one message more may follow the one that `chain` others came before.
fn has_room(chain: u32) -> bool {
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
        assert!(!is_slow(&failing(4, true)));
        assert!(is_slow(&failing(5, true)));
        assert!(is_slow(&failing(999, true)));
        assert!(!is_slow(&failing(999, false)));
        assert!(!is_slow(&State { epoch: None, phase: Phase::Open }));
    }

    #[test]
    fn what_is_slow_is_moved_once_and_what_recovered_is_attempted_where_it_is() {
        let (slow, usual) = (failing(5, true), failing(5, false));
        let turn = |here, before, chain| turn(here, before, chain, PATIENCE);
        assert_eq!(turn(Lane::Usual, &slow, 0), Turn::ToSlowLane);
        assert_eq!(turn(Lane::Slow, &slow, 0), Turn::Here);
        assert_eq!(turn(Lane::Usual, &usual, 0), Turn::Here);
        assert_eq!(turn(Lane::Slow, &usual, 0), Turn::Here);
        assert_eq!(turn(Lane::Usual, &slow, 2), Turn::ToSlowLane);
        assert_eq!(turn(Lane::Usual, &slow, 3), Turn::Here);
    }

    #[test]
    fn what_waited_too_long_for_a_slow_url_waits_in_a_row_and_for_one_that_recovered_is_attempted() {
        let long = PATIENCE + Duration::from_millis(1);
        assert_eq!(turn(Lane::Slow, &failing(5, true), 0, long), Turn::Overdue);
        assert_eq!(turn(Lane::Slow, &failing(5, false), 0, long), Turn::Here);
        assert_eq!(turn(Lane::Slow, &State { epoch: None, phase: Phase::Open }, 3, long), Turn::Here);
        assert_eq!(turn(Lane::Usual, &failing(5, true), 3, long), Turn::Here);
    }

    #[test]
    fn the_three_short_retries_of_an_item_that_is_never_moved_fit_into_its_chain() {
        assert_eq!([0, 1, 2, 3].map(retry)[..3], [ShortWait::InQueue; 3]);
        assert_eq!(retry(3), ShortWait::Held);
        assert_eq!(retry(u32::MAX), ShortWait::Held);
    }

    proptest! {
        /// Whatever the streak looks like at each message, and whatever the number of the first attempt is.
        #[test]
        fn no_chain_has_more_than_four_messages(
            slow in prop::collection::vec(any::<bool>(), 20), first in 1..12_u32,
        ) {
            let is_short = |attempt: u32| crate::retry::wait_after(attempt, None, 0)
                .is_some_and(|wait| wait <= crate::retry::MAX_QUEUE_DELAY);
            let (mut lane, mut attempt, mut chain) = (Lane::Usual, first, 0);
            for slow in slow {
                match turn(lane, &failing(9, slow), chain, Duration::ZERO) {
                    Turn::ToSlowLane => lane = Lane::Slow,
                    Turn::Here if is_short(attempt) && retry(chain) == ShortWait::InQueue => attempt += 1,
                    Turn::Here | Turn::Overdue => break,
                }
                chain += 1;
            }
            prop_assert!(chain < MAX_CHAIN, "{chain}");
        }
    }
}
