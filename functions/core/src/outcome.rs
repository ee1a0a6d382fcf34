//! What an attempt came to.
//!
//! A *success* is a 2xx whose response arrived whole within the deadline. Everything else is a *failure*. What never
//! left us because of our own fault is no attempt, and has no outcome.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a finished attempt came to.
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
}

/// The classes of failures, by what their owner would do about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// A status that is neither 2xx nor 3xx.
    Status,
    /// A 3xx: redirects are not followed.
    Redirect,
    /// The deadline passed, whatever was under way.
    Timeout,
    /// The host's name could not be resolved.
    Dns,
    /// An address of the host is not public.
    ForbiddenAddress,
    /// No connection could be made.
    Connect,
    /// TLS could not be agreed on, or the certificate is not good.
    Tls,
    /// The connection broke, or what came over it is no HTTP response.
    Protocol,
}

impl FailureKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Status,
        Self::Redirect,
        Self::Timeout,
        Self::Dns,
        Self::ForbiddenAddress,
        Self::Connect,
        Self::Tls,
        Self::Protocol,
    ];

    /// The name in logs and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Redirect => "redirect",
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::ForbiddenAddress => "forbidden_address",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
        }
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
        Self::Failure(Failure { kind, status: Some(status), retry_after })
    }

    /// The outcome of an attempt that got no whole response. `status` is that of one that broke off.
    #[must_use]
    pub fn failed(kind: FailureKind, status: Option<u16>) -> Self {
        Self::Failure(Failure { kind, status, retry_after: None })
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

/// Reads a `Retry-After` header in seconds (RFC 9110, 10.2.3). A date is read against `now`.
#[must_use]
pub fn retry_after(header: &str, now: jiff::Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a very long time, and what is done with it is bounded anyway.
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(header).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
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

    #[test]
    fn a_wait_is_read_as_seconds_or_as_a_date() {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sat, 21 Nov 2026 12:01:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Sat, 21 Nov 2026 11:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("99999999999999999999999", now), Some(Duration::from_secs(u64::MAX)));
        for nonsense in ["", "-1", "soon", "1.5"] {
            assert_eq!(retry_after(nonsense, now), None, "{nonsense}");
        }
    }
}
