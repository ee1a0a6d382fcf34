//! The one place where functions get their time from.
//!
//! An invocation's deadline, less the function's timeout, is the platform's time at which the invocation began; the
//! machine's monotonic clock adds the time that has passed since. So the functions follow the platform's clock, also
//! one that a local stack moves, and the machine's own clock plays no part.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Time within one invocation.
#[derive(Clone, Copy, Debug)]
pub struct InvocationClock {
    began_at: Timestamp,
    began: Instant,
    timeout: Duration,
}

impl InvocationClock {
    /// The clock of an invocation that just began. `deadline_ms` is its deadline in milliseconds since the Unix epoch,
    /// as the runtime API gives it; `timeout` is the function's.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the monotonic clock measures what passed since the invocation began"
    )]
    pub fn start(deadline_ms: u64, timeout: Duration) -> Self {
        let deadline = i64::try_from(deadline_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let began_at = deadline.and_then(|deadline| deadline.checked_sub(timeout).ok());
        Self { began_at: began_at.unwrap_or(Timestamp::UNIX_EPOCH), began: Instant::now(), timeout }
    }

    /// The current time of the platform, in whole milliseconds, so that a stored time equals the one that was used.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let now = self.began_at.as_millisecond().saturating_add(passed);
        Timestamp::from_millisecond(now).unwrap_or(Timestamp::MAX)
    }

    /// How long the invocation may still run.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.began.elapsed())
    }
}

/// Measures how long something takes, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a duration is measured, no time is read")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time that has passed.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invocations_time_is_its_deadline_less_the_timeout() {
        let clock = InvocationClock::start(1_795_000_030_000, Duration::from_secs(30));
        let passed = clock.now().duration_since(Timestamp::from_millisecond(1_795_000_000_000).unwrap());
        assert!((0..5).contains(&passed.as_secs()));
        assert!(clock.left() <= Duration::from_secs(30) && clock.left() > Duration::from_secs(25));
    }
}
