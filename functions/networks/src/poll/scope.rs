//! The page that is collected, and how far back.

use std::time::Duration;

use jiff::Timestamp;

use crate::network::NetworkId;

/// How far back something is told that may have been told before: 45 days. It is less than an entry is
/// [remembered](crate::inbox::REMEMBERED), so that nothing that was delivered and forgotten is delivered again. What no
/// walk reached before is told however old it is.
pub const REACH: Duration = Duration::from_secs(45 * 24 * 3600);

/// The page that is collected, and how far back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The network's id of the page.
    pub owner: NetworkId,
    /// Which of the page's tokens is used. One that was not looked at yet is, before anything is asked with it.
    pub token_version: u64,
    /// What happened before is not brought in: the page's connection, or somewhat earlier.
    pub from: Timestamp,
    /// When the run begins.
    pub now: Timestamp,
}

impl Scope {
    /// Milliseconds since 1970 of [`Scope::from`].
    pub(crate) fn beginning_ms(&self) -> i64 {
        self.from.as_millisecond()
    }

    /// Milliseconds since 1970 of [`Scope::now`].
    pub(crate) fn now_ms(&self) -> i64 {
        self.now.as_millisecond()
    }

    /// The oldest that is told of what may have been told before.
    pub(crate) fn within_reach(&self) -> i64 {
        self.told_after(self.now_ms().saturating_sub(ms(REACH)))
    }

    /// What changed at this time or before it is not told, in a walk that goes down to a time.
    pub(crate) fn told_after(&self, down_to: i64) -> i64 {
        down_to.max(self.beginning_ms().saturating_sub(1))
    }
}

/// A duration in milliseconds.
pub(crate) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A time some seconds after `now`.
pub(crate) fn after(now: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(now.as_second().saturating_add(seconds)).unwrap_or(now)
}
