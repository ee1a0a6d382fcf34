//! Releasing what is held: in steps, small first, growing while they succeed.
//!
//! A release takes the held items of one (webhook, item type) in the order of their acceptance. Nothing of a step is
//! requested before the previous step's items have finished; inside a step, any order. A step in which an attempt
//! failed ends the release, which begins again with the first step at the next tick: so a URL that still fails costs
//! one first step a tick. A failure in the first step does not use up the item's schedule.

use std::fmt;
use std::str::FromStr;

/// How many items the first step has.
pub const FIRST_STEP: u32 = 10;

/// How many items a step has at most.
pub const MAX_STEP: u32 = 1000;

/// How many bytes of items a step has at most, but for one item that is larger.
pub const MAX_STEP_BYTES: usize = 16 * 1024 * 1024;

/// How many items the step after one of `size` has, when all of it succeeded.
#[must_use]
pub fn grown(size: u32) -> u32 {
    size.saturating_mul(2).clamp(FIRST_STEP, MAX_STEP)
}

/// Which step of a release a delivery belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StepTag {
    /// The step's id, of random hexadecimal digits.
    pub id: String,
    /// Whether it is the first step.
    pub first: bool,
}

/// A text that names no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a step of a release")]
pub struct InvalidStep;

impl fmt::Display for StepTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", if self.first { "first" } else { "later" }, self.id)
    }
}

impl FromStr for StepTag {
    type Err = InvalidStep;

    fn from_str(text: &str) -> Result<Self, InvalidStep> {
        let (kind, id) = text.split_once('#').ok_or(InvalidStep)?;
        let first = match kind {
            "first" => true,
            "later" => false,
            _ => return Err(InvalidStep),
        };
        if id.is_empty() || id.len() > 64 { Err(InvalidStep) } else { Ok(Self { id: id.to_owned(), first }) }
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
        for tag in [StepTag { id: "ab".into(), first: true }, StepTag { id: "cd".into(), first: false }] {
            assert_eq!(tag.to_string().parse::<StepTag>().unwrap(), tag);
        }
        for text in ["", "first", "first#", "middle#a"] {
            assert!(text.parse::<StepTag>().is_err(), "{text}");
        }
    }
}
