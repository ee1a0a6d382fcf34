//! A webhook's last hours, counted from its attempt log, for a small plot.
//!
//! It is for people to look at and decides nothing. A long log is read back for a part of the time alone: an hour of
//! which not all was read has no counts.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::attempt_log::ItemFate;
use crate::outcome::FailureKind;
use crate::time;
use crate::webhook::AttemptLog;

/// The most hours that are counted.
pub const MAX_HOURS: u16 = 24;

const HOUR_SECONDS: i64 = 3600;

/// A wait up to this long is in the queue; a longer one is held.
const QUEUED: Duration = Duration::from_secs(900);

/// What is counted of an entry of the attempt log ([`Entry`](crate::attempt_log::Entry)): the same fields, and none of
/// the others, which are long.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Glimpse {
    /// When it ended.
    pub at: Timestamp,
    /// The class of the failure; none, where it succeeded.
    #[serde(default)]
    pub error: Option<FailureKind>,
    /// The item's fate.
    pub became: ItemFate,
    /// When it is attempted again, where that is known.
    #[serde(default)]
    pub next_at: Option<Timestamp>,
}

impl Glimpse {
    /// Whether its item was held afterwards: for a release, or for a retry that is too far away for the queue.
    fn is_held(&self) -> bool {
        let is_far = |next: Timestamp| next.duration_since(self.at).unsigned_abs() > QUEUED;
        self.became == ItemFate::Held || self.became == ItemFate::Retry && self.next_at.is_some_and(is_far)
    }
}

/// What was counted of an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hour {
    /// When it began; an hour of UTC. The last one is not over.
    #[serde(serialize_with = "time::serialize")]
    pub hour: Timestamp,
    /// How many attempts failed; null where that is not logged, or not all of it was read.
    pub failed: Option<u64>,
    /// How many attempts succeeded; null where successes are not logged, or not all of it was read.
    pub delivered: Option<u64>,
    /// After how many attempts the item was held; null as for `failed`.
    pub held: Option<u64>,
}

/// When the first of these hours begins, of which the last is under way at `now`.
#[must_use]
pub fn begins(hours: u16, now: Timestamp) -> Timestamp {
    let current = now.as_second().div_euclid(HOUR_SECONDS) * HOUR_SECONDS;
    let first = current - i64::from(hours.saturating_sub(1)) * HOUR_SECONDS;
    Timestamp::from_second(first).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Counts attempts by hour, the oldest hour first. `whole_since` is from when on they are all of the log.
#[must_use]
pub fn count(
    attempts: &[Glimpse],
    log: AttemptLog,
    hours: u16,
    whole_since: Timestamp,
    now: Timestamp,
) -> Vec<Hour> {
    let first = begins(hours, now).as_second();
    let mut counted: Vec<[u64; 3]> = vec![[0; 3]; usize::from(hours)];
    for attempt in attempts {
        let hour = usize::try_from((attempt.at.as_second() - first).div_euclid(HOUR_SECONDS)).ok();
        // An attempt of a function whose clock is ahead is of the current hour.
        let Some(hour) = hour.map(|hour| hour.min(usize::from(hours.saturating_sub(1)))) else { continue };
        let Some([failed, delivered, held]) = counted.get_mut(hour) else { continue };
        match attempt.error {
            Some(_) => *failed += 1,
            None => *delivered += 1,
        }
        *held += u64::from(attempt.is_held());
    }
    let shown = |(index, [failed, delivered, held]): (i64, [u64; 3])| {
        let hour = Timestamp::from_second(first + index * HOUR_SECONDS).unwrap_or(Timestamp::UNIX_EPOCH);
        let is_whole = whole_since <= hour;
        let failures = (is_whole && log.takes(false)).then_some((failed, held));
        Hour {
            hour,
            failed: failures.map(|(failed, _)| failed),
            delivered: (is_whole && log.takes(true)).then_some(delivered),
            held: failures.map(|(_, held)| held),
        }
    };
    (0..).zip(counted).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }

    fn attempt(ended: &str, error: Option<FailureKind>, became: ItemFate, next: Option<&str>) -> Glimpse {
        Glimpse { at: at(ended), error, became, next_at: next.map(at) }
    }

    #[test]
    fn attempts_are_counted_by_the_hour_of_their_end() {
        let failed = Some(FailureKind::Status);
        let attempts = [
            attempt("10:59:59", failed, ItemFate::Retry, None),
            attempt("11:00:00", failed, ItemFate::Retry, Some("11:05:00")),
            attempt("11:59:59", failed, ItemFate::Retry, Some("13:30:00")),
            attempt("12:10:00", failed, ItemFate::Held, None),
            attempt("12:11:00", None, ItemFate::Delivered, None),
            attempt("13:00:01", None, ItemFate::Delivered, None),
        ];
        let now = at("12:30:00");
        let counts = |log, whole_since| -> Vec<_> {
            let hours = count(&attempts, log, 2, at(whole_since), now);
            hours.into_iter().map(|hour| (hour.failed, hour.delivered, hour.held)).collect()
        };
        let (all, failures) = (AttemptLog::All, AttemptLog::Failures);
        assert_eq!(counts(all, "11:00:00"), [(Some(2), Some(0), Some(1)), (Some(1), Some(2), Some(1))]);
        assert_eq!(counts(failures, "11:00:00"), [(Some(2), None, Some(1)), (Some(1), None, Some(1))]);
        assert_eq!(counts(AttemptLog::None, "11:00:00"), [(None, None, None); 2]);
        assert_eq!(counts(all, "11:00:01"), [(None, None, None), (Some(1), Some(2), Some(1))], "cut");
    }

    #[test]
    fn a_day_ends_with_the_hour_that_is_under_way() {
        let hours = count(&[], AttemptLog::All, MAX_HOURS, begins(MAX_HOURS, at("12:30:00")), at("12:30:00"));
        assert_eq!(hours.len(), 24);
        assert_eq!(
            (hours[0].hour, hours[23].hour),
            (at("12:00:00") - Duration::from_secs(23 * 3600), at("12:00:00"))
        );
        assert!(hours.iter().all(|hour| hour.failed == Some(0) && hour.delivered == Some(0)));
        let shown = serde_json::to_value(&hours[23]).unwrap();
        assert_eq!(shown["hour"], "2026-11-21T12:00:00.000Z");
    }

    #[test]
    fn an_entry_of_the_log_is_read_by_what_is_counted_of_it() {
        let stored = r#"{"item":"itm_1","type":"event","attempt":2,"at":"2026-11-21T12:10:00Z","revision":1,
            "error":"status","status":503,"latency_ms":41,"response_body":"x","became":"retry",
            "next_at":"2026-11-21T12:10:30Z"}"#;
        let read: Glimpse = serde_json::from_str(stored).unwrap();
        assert_eq!(read, attempt("12:10:00", Some(FailureKind::Status), ItemFate::Retry, Some("12:10:30")));
    }
}
