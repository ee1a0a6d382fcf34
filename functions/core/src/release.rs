//! Releasing what is held: in steps, small first, growing while they succeed.
//!
//! A release takes the held items of one (webhook, item type) in the order of their acceptance. Nothing of a step is
//! requested before the previous step's items have finished; inside a step, any order. A step in which an attempt
//! failed ends the release, which begins again with the first step at the next tick: so a URL that still fails costs
//! one first step a tick. A failure in the first step does not use up the item's schedule.
//!
//! An owner's act (a block is ended, a webhook enabled or changed) releases everything that was held by the state before
//! it, retries too. Batches that read that state may go on holding items for as long as they run, so somebody looks
//! again after that ([`SECOND_LOOK`]), and the release is kept until then ([`ending`]).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;

use crate::holding::Progress;
use crate::retention::after;

/// How many items the first step has.
pub const FIRST_STEP: u32 = 10;

/// How many items a step has at most.
pub const MAX_STEP: u32 = 1000;

/// How many bytes of items a step has at most, but for one item that is larger.
pub const MAX_STEP_BYTES: usize = 16 * 1024 * 1024;

/// How long a batch of deliveries may go on holding items by the state that it read: the function's timeout.
pub const LONGEST_BATCH: Duration = Duration::from_secs(30);

/// By how much the clocks of two functions differ at most. They take the platform's time.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// How long after an owner's act its release is looked at a second time: when every batch that read the state before it
/// has ended, whatever the clocks say.
pub const SECOND_LOOK: Duration = Duration::from_secs(45);

/// What an owner's act at `now` releases: everything that was held by a state that was read until then. A batch that
/// read before the act may have a clock that is ahead.
#[must_use]
pub fn released_until(now: Timestamp) -> Timestamp {
    after(now, CLOCK_SKEW)
}

/// When everything has been held that an act's release takes.
fn all_is_held_at(release_all_until: Timestamp) -> Timestamp {
    after(release_all_until, LONGEST_BATCH + CLOCK_SKEW)
}

/// Whether a release may be ended of which nothing more was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It may.
    Now,
    /// What waits is to be read anew: something may have been held behind what was read.
    ReadAnew,
    /// Something may still be held for it. It is to be looked at again then.
    NotBefore(Timestamp),
}

/// Whether a release of which nothing was found may be ended at `now`, where reading began at `read_at`.
#[must_use]
pub fn ending(release_all_until: Option<Timestamp>, read_at: Timestamp, now: Timestamp) -> Ending {
    match release_all_until.map(all_is_held_at) {
        Some(held_at) if now < held_at => Ending::NotBefore(held_at),
        Some(held_at) if read_at < held_at => Ending::ReadAnew,
        _ => Ending::Now,
    }
}

/// What comes after a step that was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// A step of this size.
    Send(u32),
    /// None: items of the step failed.
    Failed,
}

/// What comes after a step, or where there was none. `first` is the size of a first step.
#[must_use]
pub fn next_step(step: Option<&Progress>, first: u32, grown: impl Fn(u32) -> u32) -> NextStep {
    match step {
        // Whoever sent it died before all of it was sent.
        Some(Progress { sent: false, size, .. }) => NextStep::Send(*size),
        Some(Progress { failed: 0, size, .. }) => NextStep::Send(grown(*size)),
        // Where items of it failed and its owner acted meanwhile, it may begin again at once.
        None | Some(Progress { hastened: true, .. }) => NextStep::Send(first),
        Some(_) => NextStep::Failed,
    }
}

/// How many items the step after one of `size` has, when all of it succeeded.
#[must_use]
pub fn grown(size: u32) -> u32 {
    size.saturating_mul(2).clamp(FIRST_STEP, MAX_STEP)
}

/// Which item of which step of a release a delivery is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StepTag {
    /// The step's id, of random hexadecimal digits.
    pub id: String,
    /// Whether it is the first step.
    pub first: bool,
    /// Which of the step's items it is. An older version did not say: such an item is not counted.
    pub index: Option<u32>,
}

/// A text that names no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a step of a release")]
pub struct InvalidStep;

impl fmt::Display for StepTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", if self.first { "first" } else { "later" }, self.id)?;
        self.index.map_or(Ok(()), |index| write!(f, "#{index}"))
    }
}

impl FromStr for StepTag {
    type Err = InvalidStep;

    fn from_str(text: &str) -> Result<Self, InvalidStep> {
        let (kind, rest) = text.split_once('#').ok_or(InvalidStep)?;
        let (id, index) = match rest.split_once('#') {
            Some((id, index)) => (id, Some(index.parse().map_err(|_| InvalidStep)?)),
            None => (rest, None),
        };
        let first = match kind {
            "first" => true,
            "later" => false,
            _ => return Err(InvalidStep),
        };
        if id.is_empty() || id.len() > 64 {
            return Err(InvalidStep);
        }
        Ok(Self { id: id.to_owned(), first, index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_double_up_to_the_largest() {
        let sizes: Vec<u32> =
            std::iter::successors(Some(FIRST_STEP), |&size| Some(grown(size))).take(9).collect();
        assert_eq!(sizes, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn a_step_survives_its_text() {
        let tag = |id: &str, first, index| StepTag { id: id.to_owned(), first, index };
        for tag in [tag("ab", true, Some(0)), tag("cd", false, Some(999)), tag("ef", true, None)] {
            assert_eq!(tag.to_string().parse::<StepTag>().unwrap(), tag);
        }
        for text in ["", "first", "first#", "middle#a", "first#a#", "first#a#x", "first#a#1#2", "first##1"] {
            assert!(text.parse::<StepTag>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_release_is_kept_until_all_is_held_that_an_act_released() {
        let at = |second| Timestamp::from_second(second).unwrap();
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
    fn steps_grow_while_they_succeed_and_begin_anew_after_an_act() {
        let began_at = Timestamp::UNIX_EPOCH;
        let step = Progress { size: 20, left: 0, failed: 0, began_at, sent: true, hastened: false };
        let next = |step: Option<Progress>| next_step(step.as_ref(), FIRST_STEP, grown);
        assert_eq!(next(None), NextStep::Send(10));
        assert_eq!(next(Some(step)), NextStep::Send(40));
        assert_eq!(next(Some(Progress { hastened: true, ..step })), NextStep::Send(40));
        assert_eq!(next(Some(Progress { sent: false, failed: 1, ..step })), NextStep::Send(20));
        assert_eq!(next(Some(Progress { failed: 1, ..step })), NextStep::Failed);
        assert_eq!(next(Some(Progress { failed: 1, hastened: true, ..step })), NextStep::Send(10));
    }
}
