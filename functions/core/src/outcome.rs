//! The outcome of an attempt.
//!
//! A *success* is a 2xx whose response arrived whole within the deadline. Everything else is a *failure*. A request
//! that never left because of our own fault is no attempt, and has no outcome.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::mask::Mask;

/// The outcome of a finished attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A 2xx, whole and in time.
    Success {
        /// The status, 200 to 299.
        status: u16,
    },
    /// Anything else.
    Failure(Failure),
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The class of the failure.
    pub kind: FailureKind,
    /// The response's status, where one arrived.
    pub status: Option<u16>,
    /// How long the receiver asked to be left alone, with a 429 or 503.
    pub retry_after: Option<Duration>,
    /// Why it failed, where more is known than its class and status say.
    pub cause: Option<Cause>,
}

crate::named! {
    /// The classes of failures, by what their owner would do about them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum FailureKind {
        /// A status that is neither 2xx nor 3xx.
        Status = "status",
        /// A 3xx: redirects are not followed.
        Redirect = "redirect",
        /// The deadline passed, whatever was under way.
        Timeout = "timeout",
        /// The host's name could not be resolved.
        Dns = "dns",
        /// An address of the host is not public.
        ForbiddenAddress = "forbidden_address",
        /// The URL leads to the deployment itself ([`crate::own_hosts`]).
        OwnAddress = "own_address",
        /// No connection could be made.
        Connect = "connect",
        /// TLS could not be agreed on, or the certificate is not good.
        Tls = "tls",
        /// The connection broke, or carried no HTTP response.
        Protocol = "protocol",
    }
}

impl Outcome {
    /// The outcome of a response that arrived whole and in time. `retry_after` is what its header asked for.
    #[must_use]
    pub fn of_response(status: u16, retry_after: Option<Duration>) -> Self {
        let kind = match status {
            200..=299 => return Self::Success { status },
            300..=399 => FailureKind::Redirect,
            _ => FailureKind::Status,
        };
        let retry_after = retry_after.filter(|_| matches!(status, 429 | 503));
        Self::Failure(Failure { kind, status: Some(status), retry_after, cause: None })
    }

    /// The outcome of an attempt that got no whole response. `status` is that of one that broke off.
    #[must_use]
    pub fn failed(kind: FailureKind, status: Option<u16>) -> Self {
        Self::Failure(Failure { kind, status, retry_after: None, cause: None })
    }

    /// The same, with why it failed. A success has no cause.
    #[must_use]
    pub fn because(mut self, cause: Option<Cause>) -> Self {
        if let Self::Failure(failure) = &mut self {
            failure.cause = cause;
        }
        self
    }

    /// The same, with a cause that repeats no credential.
    #[must_use]
    pub fn masked(mut self, mask: &Mask) -> Self {
        if let Self::Failure(failure) = &mut self {
            failure.cause = failure.cause.take().map(|cause| cause.masked(mask));
        }
        self
    }

    /// The failure, where it is one.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Success { .. } => None,
            Self::Failure(failure) => Some(failure),
        }
    }

    /// Whether the deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Failure(Failure { kind: FailureKind::Timeout, .. }))
    }

    /// Whether the receiver said that it is gone for good: 410.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Failure(Failure { status: Some(410), kind: FailureKind::Status, .. }))
    }
}

/// Reads a `Retry-After` header (RFC 9110, 10.2.3): seconds, or a date in any of the three forms of HTTP, which is read
/// against `now`. A date in the past is no wait; any other text is ignored. How long a wait can be is up to
/// [`crate::retry`].
#[must_use]
pub fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a very long time, which is capped later.
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let now = now.to_zoned(TimeZone::UTC).datetime();
    Some(Duration::try_from(http_date(header)?.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// Reads a date of HTTP (RFC 9110, 5.6.7), which is in UTC: the form of today, and the obsolete ones of RFC 850 and of
/// `asctime`. As a civil date, for the last day of the year 9999, which stands for "never", is no timestamp any more.
fn http_date(text: &str) -> Option<DateTime> {
    let today = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let read = |format| jiff::fmt::strtime::parse(format, text).ok()?.to_datetime().ok();
    let of_today = today.parse_timestamp(text).ok().map(|date| date.to_zoned(TimeZone::UTC).datetime());
    of_today
        .or_else(|| read("%a, %d %b %Y %H:%M:%S GMT"))
        .or_else(|| read("%A, %d-%b-%y %H:%M:%S GMT"))
        .or_else(|| read("%a %b %e %H:%M:%S %Y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_2xx_is_a_success() {
        for status in [200, 201, 204, 299] {
            assert_eq!(Outcome::of_response(status, None), Outcome::Success { status });
        }
        for (status, kind) in [
            (199, FailureKind::Status),
            (301, FailureKind::Redirect),
            (308, FailureKind::Redirect),
            (404, FailureKind::Status),
            (500, FailureKind::Status),
        ] {
            assert_eq!(Outcome::of_response(status, None), Outcome::failed(kind, Some(status)));
        }
        assert!(Outcome::of_response(410, None).is_gone());
        assert!(!Outcome::of_response(404, None).is_gone());
        assert!(Outcome::failed(FailureKind::Timeout, None).is_timeout());
        assert!(!Outcome::of_response(504, None).is_timeout());
    }

    #[test]
    fn a_wait_counts_with_429_and_503_alone() {
        let minute = Some(Duration::from_secs(60));
        for (status, expected) in [(429, minute), (503, minute), (500, None)] {
            let Outcome::Failure(failure) = Outcome::of_response(status, minute) else { panic!("{status}") };
            assert_eq!(failure.retry_after, expected, "{status}");
        }
    }

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_wait_is_read_as_seconds() {
        assert_eq!(retry_after("120", now()), Some(Duration::from_secs(120)));
        assert_eq!(retry_after(" 0 ", now()), Some(Duration::ZERO));
        for absurd in ["99999999999999999999999", "18446744073709551616"] {
            assert_eq!(retry_after(absurd, now()), Some(Duration::from_secs(u64::MAX)));
        }
        for nonsense in ["", "-1", "+5", "soon", "1.5", "1e9", "0x10", "１２", "10 s", "120, 240"] {
            assert_eq!(retry_after(nonsense, now()), None, "{nonsense}");
        }
    }

    #[test]
    fn a_wait_is_read_as_a_date_in_each_form_of_http() {
        let minute = Some(Duration::from_secs(60));
        for date in [
            "Sat, 21 Nov 2026 12:01:00 GMT",
            "Saturday, 21-Nov-26 12:01:00 GMT",
            "Sat Nov 21 12:01:00 2026",
            // A wrong day of the week does not make another date of it.
            "Mon, 21 Nov 2026 12:01:00 GMT",
        ] {
            assert_eq!(retry_after(date, now()), minute, "{date}");
        }
        let one_digit = retry_after("Tue Dec  1 12:00:00 2026", now());
        assert_eq!(one_digit, Some(Duration::from_secs(10 * 24 * 3600)));
        for past in [
            "Sat, 21 Nov 2026 11:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(retry_after(past, now()), Some(Duration::ZERO), "{past}");
        }
        let far = retry_after("Fri, 31 Dec 9999 23:59:59 GMT", now()).unwrap();
        assert!(far > Duration::from_secs(7000 * 365 * 24 * 3600));
        for nonsense in
            ["Sat, 31 Feb 2026 12:00:00 GMT", "21 Nov", "2026-11-21", "Sat, 21 Nov 99999 12:00:00 GMT"]
        {
            assert_eq!(retry_after(nonsense, now()), None, "{nonsense}");
        }
    }

    #[test]
    fn no_wait_is_longer_than_a_day_whatever_was_asked_for() {
        for absurd in ["99999999999999999999999", "86401", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            let wait = crate::retry::wait_after(1, retry_after(absurd, now()), 0).unwrap();
            assert_eq!(wait, crate::retry::MAX_RETRY_AFTER, "{absurd}");
        }
        let past = retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now());
        assert_eq!(crate::retry::wait_after(1, past, 0), crate::retry::wait_after(1, None, 0));
    }
}
