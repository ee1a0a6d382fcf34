//! The rule of blocking as numbers: threshold, duration and warnings. [`block`](super::block) is the write that applies
//! it.

use std::time::Duration;

use crate::item::ItemType;
use crate::webhook::Settings;

/// Percentages of the threshold at which a warning is due.
pub const WARNINGS: [u32; 3] = [50, 70, 90];

/// When a block begins, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Failures in a row; at least 1.
    pub threshold: u32,
    /// How long a block lasts.
    pub block: Duration,
    /// Whether streaks raise notices. Streaks of notices raise none, or notices would trigger each other.
    pub raises_notices: bool,
}

impl Rule {
    /// The rule for an item type of a webhook. `self` is the deployment's, where the webhook sets no numbers.
    #[must_use]
    pub fn of_webhook(self, settings: &Settings, item_type: &ItemType) -> Self {
        let block = settings.block_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
        Self {
            threshold: settings.threshold.unwrap_or(self.threshold),
            block: block.unwrap_or(self.block),
            raises_notices: *item_type != ItemType::NOTICE,
        }
    }
}

/// The failures of a live streak, as they are shown: fewer than the threshold, also where that was lowered meanwhile.
/// One more failure blocks.
#[must_use]
pub fn shown_failures(failures: u32, threshold: u32) -> u32 {
    failures.min(threshold.saturating_sub(1))
}

/// How many of [`WARNINGS`] a count has passed. There is none at the threshold, where the block raises its own notice.
pub(super) fn warnings_passed(failures: u32, rule: Rule) -> usize {
    let bound = |percent: &u32| (u64::from(rule.threshold) * u64::from(*percent)).div_ceil(100);
    WARNINGS.iter().filter(|percent| u64::from(failures) >= bound(percent)).count()
}

/// The counts from which `more` failures stay below the threshold and pass the same warnings as from `known`.
pub(super) fn band(known: u32, more: u32, rule: Rule) -> (u32, u32) {
    let same = |count: u32| {
        count.saturating_add(more) < rule.threshold
            && warnings_passed(count, rule) == warnings_passed(known, rule)
            && warnings_passed(count.saturating_add(more), rule)
                == warnings_passed(known.saturating_add(more), rule)
    };
    // Where a band ends is where one of few bounds is, less what is added or not.
    let bounds = WARNINGS.iter().map(|percent| {
        u32::try_from((u64::from(rule.threshold) * u64::from(*percent)).div_ceil(100)).unwrap_or(u32::MAX)
    });
    let bounds: Vec<u32> =
        bounds.chain([rule.threshold]).flat_map(|bound| [bound, bound.saturating_sub(more)]).collect();
    let below = bounds.iter().copied().filter(|&bound| bound <= known).max().unwrap_or(1);
    let above = bounds.iter().copied().filter(|&bound| bound > known).min().unwrap_or(u32::MAX);
    let least = if same(below) { below.max(1) } else { known };
    let most = if above > 0 && same(above - 1) { above - 1 } else { known };
    (least, most)
}
