//! The retention of items that wait.

use std::time::Duration;

use jiff::Timestamp;

/// How much longer than its retention a row stays before the table's own expiry may delete it, so that a tick moves
/// it first, even after a day without ticks.
const MARGIN: Duration = Duration::from_secs(7 * 24 * 3600);

/// `RetentionDays`: the longest time that an item is held, counted from its acceptance or its replay, and the time that
/// a dead item is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention(Duration);

impl Retention {
    /// The retention of a deployment. At most 365 days.
    #[must_use]
    pub fn from_days(days: u16) -> Self {
        Self(Duration::from_secs(u64::from(days.min(365)) * 24 * 3600))
    }

    /// When an item that is kept since then stops being held: since its acceptance, or its replay.
    #[must_use]
    pub fn held_until(self, kept_since: Timestamp) -> Timestamp {
        after(kept_since, self.0)
    }

    /// The latest start of a retention that is over at `now`.
    #[must_use]
    pub fn over_since(self, now: Timestamp) -> Timestamp {
        now.checked_sub(self.0).unwrap_or(Timestamp::MIN)
    }

    /// When a held row may be deleted by the table: later than any tick needs to move it.
    #[must_use]
    pub fn held_row_expires(self, kept_since: Timestamp) -> Timestamp {
        after(self.held_until(kept_since), MARGIN)
    }

    /// When an item that died then is forgotten.
    #[must_use]
    pub fn dead_until(self, died_at: Timestamp) -> Timestamp {
        after(died_at, self.0)
    }

    /// When a replay that was asked for then is forgotten: later than the last of its items can end.
    #[must_use]
    pub fn replay_expires(self, asked_at: Timestamp) -> Timestamp {
        after(after(asked_at, self.0), MARGIN)
    }

    /// When a row that could not be read is forgotten: somebody has to look at it first.
    #[must_use]
    pub fn unreadable_until(self, found_at: Timestamp) -> Timestamp {
        after(after(found_at, self.0), self.0)
    }
}

/// The time that is `wait` after `at`, or the last one that there is.
#[must_use]
pub fn after(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_row_outlives_its_retention() {
        let retention = Retention::from_days(14);
        let accepted: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        assert_eq!(retention.held_until(accepted), "2026-11-15T00:00:00Z".parse().unwrap());
        assert_eq!(retention.held_row_expires(accepted), "2026-11-22T00:00:00Z".parse().unwrap());
        assert_eq!(retention.dead_until(accepted), "2026-11-15T00:00:00Z".parse().unwrap());
        assert_eq!(retention.unreadable_until(accepted), "2026-11-29T00:00:00Z".parse().unwrap());
        assert_eq!(retention.held_until(Timestamp::MAX), Timestamp::MAX);
        assert_eq!(retention.over_since(retention.held_until(accepted)), accepted);
        assert_eq!(retention.over_since(Timestamp::MIN), Timestamp::MIN);
        assert!(retention.replay_expires(accepted) >= retention.held_row_expires(accepted));
    }
}
