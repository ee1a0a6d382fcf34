//! When a failed delivery is attempted again.

use std::time::Duration;

/// The wait after the first, second, … failed attempt, before jitter.
pub const SCHEDULE: [Duration; 10] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// The longest wait that `Retry-After` can ask for.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The longest delay of a queue message. An item that waits longer is held.
pub const MAX_QUEUE_DELAY: Duration = Duration::from_secs(900);

/// The wait after the `attempt`-th attempt (1, 2, …) failed: the schedule's, by up to a fifth more or less as `random`
/// says, and not less than the receiver asked for. None when the schedule is exhausted.
#[must_use]
pub fn wait_after(attempt: u32, retry_after: Option<Duration>, random: u64) -> Option<Duration> {
    let index = usize::try_from(attempt.checked_sub(1)?).ok()?;
    let base = SCHEDULE.get(index)?;
    let base_ms = u64::try_from(base.as_millis()).unwrap_or(u64::MAX);
    // 800 to 1200 thousandths, each as likely.
    let wait = Duration::from_millis(base_ms / 1000 * (800 + random % 401));
    Some(wait.max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_schedule_is_the_documented_one_and_ends() {
        let middle = 200;
        let waits: Vec<_> = (1..=10).map(|attempt| wait_after(attempt, None, middle).unwrap()).collect();
        assert_eq!(waits, SCHEDULE);
        assert_eq!(wait_after(11, None, middle), None);
        assert_eq!(wait_after(0, None, middle), None);
    }

    #[test]
    fn only_the_first_three_waits_fit_into_a_queue_message() {
        for attempt in 1..=10 {
            let (shortest, longest) =
                (wait_after(attempt, None, 0).unwrap(), wait_after(attempt, None, 400).unwrap());
            assert_eq!(longest <= MAX_QUEUE_DELAY, attempt <= 3);
            assert_eq!(shortest <= MAX_QUEUE_DELAY, attempt <= 3);
        }
    }

    proptest! {
        #[test]
        fn jitter_is_at_most_a_fifth(attempt in 1..=10u32, random: u64) {
            let base = SCHEDULE[attempt as usize - 1];
            let wait = wait_after(attempt, None, random).unwrap();
            prop_assert!(wait >= base * 4 / 5 && wait <= base * 6 / 5);
        }

        #[test]
        fn a_receivers_wish_delays_and_never_changes_the_count(
            attempt in 0..=12u32, seconds: u64, random: u64,
        ) {
            let asked = Duration::from_secs(seconds);
            let (plain, wished) = (wait_after(attempt, None, random), wait_after(attempt, Some(asked), random));
            prop_assert_eq!(plain.is_some(), wished.is_some());
            if let (Some(plain), Some(wished)) = (plain, wished) {
                prop_assert!(wished >= plain && wished <= plain.max(MAX_RETRY_AFTER));
                prop_assert!(wished >= asked.min(MAX_RETRY_AFTER));
            }
        }
    }
}
