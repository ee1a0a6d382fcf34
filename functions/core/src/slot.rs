//! Schedule slots: a tick plans each slot once, whoever invoked it.

use std::time::Duration;

use jiff::Timestamp;

/// A slot of the schedule, by its number since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    number: i64,
    minutes: i64,
}

impl Slot {
    /// The slot of a time, with a schedule of `minutes` (1 to 15).
    #[must_use]
    pub fn containing(at: Timestamp, minutes: u8) -> Self {
        let minutes = i64::from(minutes.clamp(1, 15));
        Self { number: at.as_second().div_euclid(minutes * 60), minutes }
    }

    /// The key under which the slot is claimed.
    #[must_use]
    pub fn name(self) -> String {
        format!("{}m#{}", self.minutes, self.number)
    }

    /// How long the claim of a slot is kept: a day, far longer than any retry of its tick.
    pub const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_in_a_slot_gives_its_name() {
        let at = |text: &str| Slot::containing(text.parse().unwrap(), 15);
        assert_eq!(at("2026-11-21T12:00:00Z"), at("2026-11-21T12:14:59.999Z"));
        assert_ne!(at("2026-11-21T12:00:00Z").name(), at("2026-11-21T12:15:00Z").name());
    }
}
