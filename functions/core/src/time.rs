//! Times as callers write and read them: RFC 3339, in answers of UTC and with three decimals.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serializer;

/// The error text where a text is no time.
pub const EXPECTED: &str = "a time is expected, as 2026-12-31T23:59:59Z";

/// Up to where a date stands in a time: `2026-12-31`.
const DATE_BYTES: usize = 10;

/// Reads a time that a caller wrote. The last two days of the year 9999, which stand for "never" in some systems and
/// are beyond what a [`Timestamp`] holds, become its latest millisecond. None where the text is no time.
#[must_use]
pub fn read(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let (date, rest) = text.split_at_checked(DATE_BYTES)?;
        let date: Date = date.parse().ok()?;
        // Whether the rest is a time of day is asked of a date for which all of them can be held.
        let holds = |date: Date| format!("{date}{rest}").parse::<Timestamp>().is_ok();
        let latest = (9999, 12, 28);
        let past = (date.year(), date.month(), date.day()) > latest;
        (past && holds(jiff::civil::date(latest.0, latest.1, latest.2))).then_some(latest_time())
    })
}

/// The latest time in whole milliseconds, as tables keep times.
fn latest_time() -> Timestamp {
    Timestamp::from_millisecond(Timestamp::MAX.as_millisecond()).unwrap_or(Timestamp::MAX)
}

/// A time as answers show it. The three decimals are always there, so that texts sort as times do.
#[must_use]
pub fn shown(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Serialises a time as [`shown`] shows it.
///
/// # Errors
/// Those of the serialiser.
pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(*at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_year_9999_is_taken_as_the_latest_time() {
        for text in
            ["9999-12-31T23:59:59Z", "9999-12-31T00:00:00.000Z", "9999-12-31T23:59:59.999999999+00:00"]
        {
            assert_eq!(read(text), Some(latest_time()), "{text}");
        }
        assert_eq!(read("9999-12-30T12:00:00Z").map(shown).unwrap(), "9999-12-30T12:00:00.000Z");
        assert_eq!(read("2026-12-31T23:59:59+01:00").map(shown).unwrap(), "2026-12-31T22:59:59.000Z");
        for text in [
            "",
            "never",
            "9999-12-31",
            "9999-12-31Tnever",
            "9999-12-32T00:00:00Z",
            "9999-13-31T00:00:00Z",
            "é",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn every_time_is_shown_with_three_decimals() {
        for (ms, text) in [(0, "1970-01-01T00:00:00.000Z"), (1_795_000_000_120, "2026-11-18T11:06:40.120Z")] {
            assert_eq!(shown(Timestamp::from_millisecond(ms).unwrap()), text);
        }
        assert_eq!(shown(Timestamp::MAX).len(), shown(Timestamp::UNIX_EPOCH).len());
    }
}
