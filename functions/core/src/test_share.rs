//! How many tests of its webhooks, lookups of items and alerts to its chats an account may have at once and in a
//! minute.
//!
//! A test holds a copy of the configuration API for as long as an attempt may take, an alert to a chat holds one of the
//! collector, and a lookup reads logs. Copies and cost are shared by all accounts, so each account has a few places for
//! each. A place is a lease with its owner's id: a repeat of the write that took it finds its own owner there, and a
//! place whose holder died is free when its lease is over.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::retention::after;

/// The most tests of an account that are under way at once. At the default concurrency of an AWS account (1,000), some
/// hundred accounts may test black holes all day, and others still have copies.
pub const TESTS_AT_ONCE: usize = 2;

/// The most tests of an account in a minute: more than a person starts, and no load for a receiver.
pub const TESTS_A_MINUTE: u32 = 30;

/// The most lookups of items of an account that are under way at once.
pub const LOOKUPS_AT_ONCE: usize = 4;

/// The most lookups of items of an account in a minute.
pub const LOOKUPS_A_MINUTE: u32 = 60;

/// The most alerts to an account's chats that are under way at once: as many as it may have addresses, so that one
/// event alerts all of them at once. A chat may keep each waiting for ten seconds.
pub const CHATS_AT_ONCE: usize = 5;

/// The most alerts to an account's chats in a minute.
pub const CHATS_A_MINUTE: u32 = 30;

crate::named! {
    /// What an account has places for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Shared {
        /// Tests of its webhooks.
        Tests = "tests",
        /// Lookups of its items.
        Lookups = "lookups",
        /// Alerts and codes to its chats.
        Chats = "chats",
    }
}

impl Shared {
    /// How many may be under way at once, and how many may begin in a minute.
    fn bounds(self) -> (usize, u32) {
        match self {
            Self::Tests => (TESTS_AT_ONCE, TESTS_A_MINUTE),
            Self::Lookups => (LOOKUPS_AT_ONCE, LOOKUPS_A_MINUTE),
            Self::Chats => (CHATS_AT_ONCE, CHATS_A_MINUTE),
        }
    }

    /// The answer where one may not begin now.
    #[must_use]
    pub fn problem(self, retry_after: u64) -> Problem {
        let (at_once, a_minute) = self.bounds();
        let detail = format!(
            "an account has at most {at_once} {what} under way at once and {a_minute} a minute; try again in \
             {retry_after} s",
            what = self.as_str()
        );
        Problem { retry_after: Some(retry_after), ..Problem::too_many_requests(detail) }
    }
}

/// How much longer a place is leased than an attempt may take: for the writes before and after it.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

const MINUTE: Duration = Duration::from_secs(60);

/// An account's tests, lookups or chats: those under way, and how many were begun in the current minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestShare {
    under_way: Vec<Place>,
    begun: u32,
    minute_ends: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    owner: String,
    until: Timestamp,
}

/// Whether a test may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MayTest {
    /// It may, once this is stored.
    Begin(TestShare),
    /// It may: this owner has a place already.
    HasBegun,
    /// It may not now; perhaps after this time.
    Refused {
        /// Seconds, at least one.
        retry_after: u64,
    },
}

impl TestShare {
    /// Whether `owner` may begin one that takes `lasts` at most.
    #[must_use]
    pub fn begin(&self, what: Shared, owner: &str, lasts: Duration, now: Timestamp) -> MayTest {
        let (at_once, a_minute) = what.bounds();
        if self.under_way.iter().any(|place| place.owner == owner && place.until > now) {
            return MayTest::HasBegun;
        }
        let mut under_way: Vec<Place> =
            self.under_way.iter().filter(|place| place.until > now).cloned().collect();
        if under_way.len() >= at_once {
            return refused(under_way.iter().map(|place| place.until).min(), now);
        }
        let minute_ends = self.minute_ends.filter(|end| *end > now);
        let begun = minute_ends.map_or(0, |_| self.begun);
        if begun >= a_minute {
            return refused(minute_ends, now);
        }
        under_way.push(Place { owner: owner.to_owned(), until: after(now, lasts + LEASE_MARGIN) });
        let minute_ends = Some(minute_ends.unwrap_or_else(|| after(now, MINUTE)));
        MayTest::Begin(Self { under_way, begun: begun + 1, minute_ends })
    }

    /// The share without this owner's place. None where it has none.
    #[must_use]
    pub fn ended(&self, owner: &str) -> Option<Self> {
        let mut share = self.clone();
        share.under_way.retain(|place| place.owner != owner);
        (share != *self).then_some(share)
    }
}

fn refused(until: Option<Timestamp>, now: Timestamp) -> MayTest {
    let left = until.map_or(0, |until| until.duration_since(now).as_millis()).max(0);
    MayTest::Refused { retry_after: u64::try_from(left).unwrap_or_default().div_ceil(1000).max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account_limit::Limited;
    use crate::fixtures::at;

    const ATTEMPT: Duration = Duration::from_secs(15);

    fn begun(share: &TestShare, owner: &str, now: Timestamp) -> TestShare {
        match share.begin(Shared::Tests, owner, ATTEMPT, now) {
            MayTest::Begin(share) => share,
            other => panic!("{owner}: {other:?}"),
        }
    }

    #[test]
    fn a_third_test_waits_for_the_end_or_lease_of_another() {
        let one = begun(&TestShare::default(), "a", at(0));
        let two = begun(&one, "b", at(3));
        assert_eq!(two.begin(Shared::Tests, "c", ATTEMPT, at(4)), MayTest::Refused { retry_after: 16 });
        assert_eq!(
            two.begin(Shared::Tests, "b", ATTEMPT, at(4)),
            MayTest::HasBegun,
            "a repeated write finds itself"
        );
        begun(&two.ended("b").unwrap(), "c", at(4));
        assert_eq!(two.ended("c"), None);
        // The first one's holder died.
        let third = begun(&two, "c", at(20));
        assert_eq!(third.begin(Shared::Tests, "d", ATTEMPT, at(20)), MayTest::Refused { retry_after: 3 });
    }

    #[test]
    fn a_minute_has_thirty_tests() {
        let mut share = TestShare::default();
        for n in 0..30 {
            share = begun(&share, &n.to_string(), at(n)).ended(&n.to_string()).unwrap();
        }
        assert_eq!(share.begin(Shared::Tests, "x", ATTEMPT, at(30)), MayTest::Refused { retry_after: 30 });
        begun(&share, "x", at(60));
    }

    #[test]
    fn lookups_have_places_of_their_own() {
        let mut share = TestShare::default();
        for owner in ["a", "b", "c", "d"] {
            let MayTest::Begin(begun) = share.begin(Shared::Lookups, owner, ATTEMPT, at(0)) else {
                panic!("{owner}")
            };
            share = begun;
        }
        assert_eq!(share.begin(Shared::Lookups, "e", ATTEMPT, at(0)), MayTest::Refused { retry_after: 20 });
    }

    #[test]
    fn an_event_alerts_all_chats_of_an_account_at_once() {
        let mut share = TestShare::default();
        for owner in 0..Limited::Alerts.most() {
            let MayTest::Begin(begun) = share.begin(Shared::Chats, &owner.to_string(), ATTEMPT, at(0)) else {
                panic!("{owner}")
            };
            share = begun;
        }
        assert_eq!(share.begin(Shared::Chats, "x", ATTEMPT, at(5)), MayTest::Refused { retry_after: 15 });
    }

    #[test]
    fn a_refusal_says_when_to_try_again() {
        for what in Shared::ALL {
            let problem = what.problem(7);
            assert_eq!((problem.status, problem.retry_after), (429, Some(7)));
            assert!(problem.detail.contains(what.as_str()), "{}", problem.detail);
        }
    }
}
