//! Moments as text. They come in as milliseconds since the Unix epoch.

use jiff::Timestamp;
use jiff::tz::TimeZone;

fn timestamp(ms: u64) -> Timestamp {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

/// `2026-11-21T21:30:00Z`.
pub(crate) fn to_the_second(ms: u64) -> String {
    timestamp(ms).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-11-21T21:30:00.123Z`.
pub(crate) fn to_the_millisecond(ms: u64) -> String {
    timestamp(ms).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// `21/Nov/2026:21:34:10 +0000`, as API Gateway writes it.
pub(crate) fn common_log(ms: u64) -> String {
    timestamp(ms).to_zoned(TimeZone::UTC).strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_moment_is_written_in_the_three_ways() {
        let ms = 1_795_296_850_123;
        assert_eq!(super::to_the_second(ms), "2026-11-21T21:34:10Z");
        assert_eq!(super::to_the_millisecond(ms), "2026-11-21T21:34:10.123Z");
        assert_eq!(super::common_log(ms), "21/Nov/2026:21:34:10 +0000");
    }
}
