//! The share of an account in the collector's releases and replays.
//!
//! Each of these occupies a copy of the function while its URL is slow, up to the whole time of an invocation. So an
//! account has a few *slots*, and a worker needs one of them: whatever one account asks for, the other copies are free
//! for its neighbours. Work that finds no slot waits in a list of its account, and a worker that has a slot takes the
//! next of that list when it is done. A worker that finds another one on the same release leaves as well, and asks for
//! a later look where nobody has.
//!
//! A slot is a lease: that of a worker that died is free again when it ends.

use std::time::Duration;

use jiff::Timestamp;

use crate::retention::after;

/// How many slots an account has: of the 50 copies that the work queue may wake, so that six accounts at their limit
/// leave some to the others.
pub const SLOTS: usize = 8;

/// How long a worker has a slot without renewing it: longer than three renewals take.
pub const SLOT_LEASE: Duration = Duration::from_secs(60);

/// How often a worker renews its slot.
pub const RENEW_EVERY: Duration = Duration::from_secs(15);

/// How much time a worker needs left to take the next of its account's work: most releases end within that.
pub const NEXT_NEEDS: Duration = Duration::from_secs(300);

/// How many looks at a release follow a message, one after the other, while other workers have it. Then a tick looks:
/// work may send work only so often, for the platform stops what looks like a loop.
pub const MAX_LOOKS: u8 = 3;

/// How long after an owner's act looks at the releases come that a further act asks for: acts that follow each other
/// faster are looked at together.
pub const ASK_GAP: Duration = Duration::from_secs(2);

/// How long after the end of a lease a look comes: clocks differ a little.
const LOOK_LATER: Duration = Duration::from_secs(1);

/// A slot that a worker has, or had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its number, below [`SLOTS`].
    pub place: usize,
    /// The worker that has it.
    pub worker: String,
    /// The end of its lease.
    pub until: Timestamp,
}

/// The places of the slots that a worker may take, the one that it has already first. The others come in an order that
/// begins at random, so that workers that look at the same time try different ones.
#[must_use]
pub fn free_places(slots: &[Slot], worker: &str, now: Timestamp, random: u64) -> Vec<usize> {
    let own = slots.iter().find(|slot| slot.worker == worker).map(|slot| slot.place);
    let is_taken = |place: usize| {
        slots.iter().any(|slot| slot.place == place && slot.worker != worker && slot.until > now)
    };
    let first = usize::try_from(random % SLOTS as u64).unwrap_or_default();
    let others = (0..SLOTS).map(|step| (first + step) % SLOTS).filter(|place| Some(*place) != own);
    own.into_iter().chain(others).filter(|&place| place < SLOTS && !is_taken(place)).collect()
}

/// When a release is looked at again that another worker has until `lease`, by a message that `looks` others came
/// before; None where enough were sent.
#[must_use]
pub fn next_look(looks: u8, lease: Timestamp, now: Timestamp) -> Option<Timestamp> {
    (looks < MAX_LOOKS).then(|| after(lease.max(now), LOOK_LATER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;

    fn slot(place: usize, worker: &str, until: i64) -> Slot {
        Slot { place, worker: worker.to_owned(), until: at(until) }
    }

    #[test]
    fn every_slot_is_free_once_and_begins_anywhere() {
        for random in 0..20 {
            let mut free = free_places(&[], "w", at(0), random);
            assert_eq!(free[0], usize::try_from(random).unwrap() % SLOTS);
            free.sort_unstable();
            assert_eq!(free, (0..SLOTS).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_slot_whose_lease_is_over_is_free_and_one_that_runs_is_not() {
        let taken: Vec<_> = (0..SLOTS).map(|place| slot(place, "other", 10)).collect();
        assert_eq!(free_places(&taken, "w", at(9), 3), Vec::<usize>::new());
        assert_eq!(free_places(&taken, "w", at(10), 3).len(), SLOTS);
        assert_eq!(free_places(&taken[1..], "w", at(9), 3), [0]);
    }

    #[test]
    fn a_worker_finds_the_slot_that_it_has() {
        let mut taken: Vec<_> = (0..SLOTS).map(|place| slot(place, "other", 10)).collect();
        taken[5].worker = "w".to_owned();
        assert_eq!(free_places(&taken, "w", at(9), 0), [5]);
        assert_eq!(free_places(&taken[4..6], "w", at(9), 0)[0], 5);
    }

    #[test]
    fn a_row_beyond_the_slots_gives_none() {
        let wrong = slot(SLOTS + 3, "w", 10);
        assert!(free_places(&[wrong], "w", at(9), 0).iter().all(|&place| place < SLOTS));
    }

    #[test]
    fn looks_come_when_the_lease_is_over_and_end() {
        assert_eq!(next_look(0, at(30), at(5)), Some(at(31)));
        assert_eq!(next_look(2, at(30), at(40)), Some(at(41)), "the lease ended while the row was read");
        assert_eq!(next_look(MAX_LOOKS, at(30), at(5)), None);
    }
}
