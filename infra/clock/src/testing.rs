//! The instant at which the tests' time begins.
//!
//! Every test that moves the clock begins at an instant that is named, here or in the test, so none depends on the hour
//! at which it is run. [`VARIABLE`] moves all that name none of their own.

#![expect(clippy::expect_used, reason = "this is test code: what fails, fails the test, and says so")]

use jiff::Timestamp;

use crate::Clock;

/// The instant at which tests begin unless they name another one: a Tuesday, 10:07 in UTC and 02:07 in Pacific time, so
/// an ordinary test ends hours before a daily quota starts anew.
pub const START: &str = "2026-11-24T10:07:00Z";

/// The environment variable that names another start for a whole run, in RFC 3339.
pub const VARIABLE: &str = "CARTEIRO_TEST_START";

/// A clock that begins at [`START`], or where [`VARIABLE`] says.
///
/// # Panics
/// Where the variable is no instant.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests are told by their environment when to begin")]
pub fn clock() -> Clock {
    let named = std::env::var(VARIABLE).ok().filter(|named| !named.is_empty());
    clock_at(named.as_deref().unwrap_or(START))
}

/// A clock that begins at an instant in RFC 3339.
///
/// # Panics
/// Where this is no instant since the Unix epoch.
#[must_use]
pub fn clock_at(instant: &str) -> Clock {
    let start = instant.parse::<Timestamp>().expect("a start is an instant in RFC 3339");
    Clock::starting_at(u64::try_from(start.as_millisecond()).expect("a start is not before 1970"))
}
