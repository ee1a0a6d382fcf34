//! The local stack's clock, which tests can move.
//!
//! Every part of the local stack that keeps time (queue delays, visibility, schedules, the deadlines that functions
//! are given) asks one [`Clock`], so that moving it moves all of them together. It runs at the pace of the machine's
//! own clock, at an offset from it that only grows: platform time never goes back.

pub mod testing;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// Platform time. Clones share one offset.
#[derive(Clone, Debug)]
pub struct Clock {
    offset_ms: Arc<watch::Sender<i64>>,
}

impl Default for Clock {
    #[expect(clippy::disallowed_methods, reason = "who names no start means the machine's time")]
    fn default() -> Self {
        Self::system()
    }
}

impl Clock {
    /// The machine's own time, until [`Clock::advance`] moves it.
    #[must_use]
    pub fn system() -> Self {
        Self::with_offset(0)
    }

    /// The time that is `start_ms` now (milliseconds since the Unix epoch), whatever the machine's time is.
    #[must_use]
    pub fn starting_at(start_ms: u64) -> Self {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        Self::with_offset(signed(start_ms).saturating_sub(signed(machine_ms())))
    }

    fn with_offset(offset_ms: i64) -> Self {
        Self { offset_ms: Arc::new(watch::Sender::new(offset_ms)) }
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        machine_ms().saturating_add_signed(*self.offset_ms.borrow())
    }

    /// Moves the time forward by `by`, and wakes every [`Clock::sleep_until`] that is due by then.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset_ms.send_modify(|offset| *offset = offset.saturating_add(by));
    }

    /// Returns when the time is `at_ms` (milliseconds since the Unix epoch) or later.
    pub async fn sleep_until(&self, at_ms: u64) {
        let mut moved = self.offset_ms.subscribe();
        loop {
            let left = at_ms.saturating_sub(self.now_ms());
            if left == 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(left)) => {}
                // The sender lives as long as `self`, so this ends only by a move.
                _ = moved.changed() => {}
            }
        }
    }

    /// Returns when `duration` of platform time has passed.
    pub async fn sleep(&self, duration: Duration) {
        let duration = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.sleep_until(self.now_ms().saturating_add(duration)).await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place where the local stack reads the machine's time"
)]
fn machine_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_move_wakes_who_sleeps_until_a_time_that_it_passes() {
        let clock = testing::clock();
        let sleeper = {
            let clock = clock.clone();
            tokio::spawn(async move { clock.sleep(Duration::from_secs(3600)).await })
        };
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(3599));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(2));
        tokio::time::timeout(Duration::from_secs(5), sleeper).await.unwrap().unwrap();
    }

    #[test]
    fn clones_share_the_time() {
        let clock = testing::clock();
        let before = clock.now_ms();
        clock.clone().advance(Duration::from_secs(60));
        assert!(clock.now_ms() >= before + 60_000);
    }

    #[test]
    fn a_test_begins_at_the_instant_that_it_names() {
        let now = testing::clock_at("2027-03-14T01:55:00-08:00").now_ms();
        assert!((1_805_018_100_000..1_805_018_160_000).contains(&now), "{now}");
    }

    #[test]
    fn a_clock_starts_at_a_named_instant_and_goes_on_from_there() {
        const HOUR_MS: u64 = 3_600_000;
        for start in [0, 1_772_236_800_000, 4_102_444_800_000] {
            let clock = Clock::starting_at(start);
            let now = clock.now_ms();
            assert!((start..start + HOUR_MS).contains(&now), "{now}");
            clock.advance(Duration::from_secs(24 * 3600));
            let later = clock.now_ms();
            assert!((start + 24 * HOUR_MS..start + 25 * HOUR_MS).contains(&later), "{later}");
        }
    }
}
