//! What a finished attempt leads to by the schedule and the retention alone. [`crate::disposition`] adds lanes,
//! releases and storage terms.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::retention::{Retention, after};
use crate::retry;

/// How long an item of a disabled webhook is held before its delivery is tried anew.
pub const DISABLED_WAIT: Duration = Duration::from_secs(30 * 60);

/// The settlement of a delivery after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It arrived. Nothing is left to do.
    Delivered,
    /// It goes back to the queue as a new message with this delay, at most [`retry::MAX_QUEUE_DELAY`].
    RetrySoon {
        /// The delay.
        wait: Duration,
    },
    /// It is held until then.
    Hold {
        /// When it comes due.
        until: Timestamp,
    },
    /// It will not be attempted again by itself.
    Dead(DeathCause),
}

crate::named! {
    /// Why an item will not be attempted again by itself.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum DeathCause {
        /// Every attempt of the schedule failed.
        Exhausted = "exhausted",
        /// Its retention ended while it waited.
        RetentionOver = "retention_over",
        /// The queue handed it out again and again, and no run of the delivery function could settle it.
        DeadLetter = "dead_letter",
    }
}

/// Settles a delivery whose `attempt`-th attempt (1, 2, …) had this outcome at `now`. Its retention counts from
/// `kept_since`; `random` is the retry's jitter.
#[must_use]
pub fn settle(
    outcome: &Outcome,
    attempt: u32,
    kept_since: Timestamp,
    retention: Retention,
    now: Timestamp,
    random: u64,
) -> Settlement {
    let Outcome::Failure(failure) = outcome else { return Settlement::Delivered };
    let end = retention.held_until(kept_since);
    if now >= end {
        return Settlement::Dead(DeathCause::RetentionOver);
    }
    let Some(wait) = retry::wait_after(attempt, failure.retry_after, random) else {
        return Settlement::Dead(DeathCause::Exhausted);
    };
    if outcome.is_gone() {
        // The webhook is being disabled, and a disabled webhook holds its items.
        return Settlement::Hold { until: after(now, DISABLED_WAIT).min(end) };
    }
    if wait <= retry::MAX_QUEUE_DELAY {
        Settlement::RetrySoon { wait }
    } else {
        // A tick buries an item that comes due at the end of its retention.
        Settlement::Hold { until: after(now, wait).min(end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Failure, FailureKind};

    const MIDDLE: u64 = 200;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn after_failure(attempt: u32, retry_after: Option<Duration>, now: &str) -> Settlement {
        let outcome = Outcome::Failure(Failure {
            kind: FailureKind::Status,
            status: Some(503),
            retry_after,
            cause: None,
        });
        settle(&outcome, attempt, at("2026-11-01T00:00:00Z"), Retention::from_days(14), at(now), MIDDLE)
    }

    #[test]
    fn short_waits_go_to_the_queue_and_long_ones_are_held() {
        let now = "2026-11-01T00:00:01Z";
        assert_eq!(after_failure(1, None, now), Settlement::RetrySoon { wait: Duration::from_secs(5) });
        assert_eq!(after_failure(3, None, now), Settlement::RetrySoon { wait: Duration::from_secs(300) });
        assert_eq!(after_failure(4, None, now), Settlement::Hold { until: at("2026-11-01T00:30:01Z") });
        let asked = Some(Duration::from_secs(901));
        assert_eq!(after_failure(1, asked, now), Settlement::Hold { until: at("2026-11-01T00:15:02Z") });
    }

    #[test]
    fn an_exhausted_schedule_or_an_ended_retention_is_death() {
        assert_eq!(after_failure(11, None, "2026-11-04T00:00:00Z"), Settlement::Dead(DeathCause::Exhausted));
        assert_eq!(
            after_failure(1, None, "2026-11-15T00:00:00Z"),
            Settlement::Dead(DeathCause::RetentionOver)
        );
    }

    #[test]
    fn nothing_is_held_beyond_its_retention() {
        let held = after_failure(10, None, "2026-11-14T12:00:00Z");
        assert_eq!(held, Settlement::Hold { until: at("2026-11-15T00:00:00Z") });
    }

    #[test]
    fn success_settles_and_gone_holds() {
        let settled = |outcome| {
            settle(
                &outcome,
                1,
                at("2026-11-01T00:00:00Z"),
                Retention::from_days(14),
                at("2026-11-01T00:00:00Z"),
                MIDDLE,
            )
        };
        assert_eq!(settled(Outcome::Success { status: 204 }), Settlement::Delivered);
        let gone = Outcome::failed(FailureKind::Status, Some(410));
        assert_eq!(settled(gone), Settlement::Hold { until: at("2026-11-01T00:30:00Z") });
    }
}
