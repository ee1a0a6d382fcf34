//! Counts slow attempts, which choose the slow lane ([`crate::lane`]) beside the streaks.
//!
//! A URL that answers 200 after 13 s never times out, and holds a copy of the function as long as one that does. So
//! slow attempts are counted, whatever their outcome. Each account has one row, made by its first slow attempt. A
//! webhook at a host (a *place*) has three numbers in it:
//!
//! | attribute | meaning |
//! |---|---|
//! | `n/<place>` | how many attempts were slow |
//! | `b/<place>` | when the first of them was seen, in milliseconds; only where that was in the usual lane |
//! | `u/<place>` | until when this is remembered, in milliseconds |
//!
//! An attempt is slow once it has lasted for a fifth of its deadline ([`slow_bound`]). It is counted at that moment and
//! not at its end, so that the batches that begin meanwhile know it.
//!
//! # When a webhook is slow
//! - At [`SLOW_AFTER`] slow attempts, until no slow one came for [`LASTS`]. A quick answer, a quick failure, an unblock
//!   or a new revision end nothing. A URL at another host is another place, and begins with nothing.
//! - With its whole account, while the account's places that were new in the last [`LASTS`] have
//!   [`ACCOUNT_SLOW_AFTER`] slow attempts together, of which each place counts [`SLOW_AFTER`] at most. So nobody evades
//!   the lane by making webhooks or by moving them from host to host, and one slow webhook alone never makes its
//!   account slow.
//!
//! # What it costs
//! A batch reads the row in the call that reads its webhooks. Only slow attempts write: one write a batch and account
//! until a webhook is slow, then one for each half of [`LASTS`]. The writes have no conditions: one that is repeated or
//! lost makes a webhook slow an attempt earlier or later.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::address::WebhookUrl;
use crate::id::WebhookId;
use crate::lane::Lane;
use crate::retention::after;

/// How many slow attempts make a webhook slow. One may be a receiver that just started.
pub const SLOW_AFTER: u32 = 5;

/// How many slow attempts at places that are new make a whole account slow: those of six webhooks that became slow, or
/// single ones of thirty. That many webhooks of one account rarely become slow by chance within [`LASTS`].
pub const ACCOUNT_SLOW_AFTER: u32 = 30;

/// How long a slow attempt is remembered at most; at least half of it.
pub const LASTS: Duration = Duration::from_secs(600);

/// How many places one row remembers: more than an account has webhooks, and few enough for a small row.
pub const MAX_PLACES: usize = 128;

/// How many places one write forgets: more than a batch can add, and few enough for DynamoDB's bound of 4 KB and 300
/// operators for an expression.
const MAX_FORGOTTEN: usize = 20;

/// How long a row outlives its numbers.
const KEPT: Duration = Duration::from_secs(3600);

/// The shortest time after which an attempt is slow.
const LEAST_BOUND: Duration = Duration::from_secs(1);

const ATTEMPTS: &str = "n/";
const BEGAN_AT: &str = "b/";
const UNTIL: &str = "u/";
const EXPIRES_AT: &str = "expires_at";

/// After how long an attempt with this deadline is slow: a fifth of it, but a second where that is less.
#[must_use]
pub fn slow_bound(deadline: Duration) -> Duration {
    (deadline / 5).max(LEAST_BOUND).min(deadline * 4 / 5)
}

/// A webhook at the host of its URL, as a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(String);

impl Place {
    /// The place of a webhook whose URL this is.
    #[must_use]
    pub fn of(webhook: &WebhookId, url: &WebhookUrl) -> Self {
        let digest = Sha256::digest(format!("{webhook} {}:{}", url.host(), url.port()));
        Self(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The numbers of a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    attempts: i64,
    began_at: Option<i64>,
    until: i64,
}

/// The slow attempts of an account, as its row remembers them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlowAttempts {
    entries: BTreeMap<String, Entry>,
}

/// A change of one attribute of the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It gets this value.
    Set(String, i64),
    /// It gets this value if it is missing.
    SetIfMissing(String, i64),
    /// This is added to it; a missing one counts from zero.
    Add(String, i64),
    /// It is removed.
    Remove(String),
}

impl SlowAttempts {
    /// Reads the numbers of a row. Other attributes are ignored.
    #[must_use]
    pub fn of<'a>(numbers: impl IntoIterator<Item = (&'a str, i64)>) -> Self {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for (name, number) in numbers {
            if let Some(place) = name.strip_prefix(ATTEMPTS) {
                entries.entry(place.to_owned()).or_default().attempts = number;
            } else if let Some(place) = name.strip_prefix(BEGAN_AT) {
                entries.entry(place.to_owned()).or_default().began_at = Some(number);
            } else if let Some(place) = name.strip_prefix(UNTIL) {
                entries.entry(place.to_owned()).or_default().until = number;
            }
        }
        Self { entries }
    }

    /// Whether deliveries to a place belong in the slow lane.
    #[must_use]
    pub fn is_slow(&self, place: &Place, now: Timestamp) -> bool {
        self.live(&place.0, now).is_some_and(Entry::is_slow) || self.is_account_slow(now)
    }

    /// Whether deliveries to all webhooks of the account belong in the slow lane.
    #[must_use]
    pub fn is_account_slow(&self, now: Timestamp) -> bool {
        let now_ms = now.as_millisecond();
        let since = now_ms.saturating_sub(milliseconds(LASTS));
        let new = self
            .entries
            .values()
            .filter(|entry| entry.until > now_ms && entry.began_at.is_some_and(|began_at| began_at > since));
        let attempts: i64 = new.map(|entry| entry.attempts.clamp(0, i64::from(SLOW_AFTER))).sum();
        attempts >= i64::from(ACCOUNT_SLOW_AFTER)
    }

    /// The changes by a batch that saw slow attempts in a lane, with their number at each place. None where the row
    /// says enough.
    #[must_use]
    pub fn note(&self, seen: &BTreeMap<Place, u32>, lane: Lane, now: Timestamp) -> Vec<Change> {
        let now_ms = now.as_millisecond();
        let until = after(now, LASTS).as_millisecond();
        let mut changes = Vec::new();
        for (Place(place), &attempts) in seen {
            let (attempts, began_at) = (i64::from(attempts), format!("{BEGAN_AT}{place}"));
            match self.entries.get(place) {
                Some(entry) if entry.until > now_ms && entry.is_slow() => {
                    if entry.until.saturating_sub(now_ms) >= milliseconds(LASTS / 2) {
                        continue;
                    }
                }
                Some(entry) if entry.until > now_ms => {
                    changes.push(Change::Add(format!("{ATTEMPTS}{place}"), attempts));
                }
                Some(_) => {
                    changes.push(Change::Set(format!("{ATTEMPTS}{place}"), attempts));
                    changes.push(match lane {
                        Lane::Usual => Change::Set(began_at, now_ms),
                        Lane::Slow => Change::Remove(began_at),
                    });
                }
                None => {
                    changes.push(Change::Add(format!("{ATTEMPTS}{place}"), attempts));
                    if lane == Lane::Usual {
                        changes.push(Change::SetIfMissing(began_at, now_ms));
                    }
                }
            }
            changes.push(Change::Set(format!("{UNTIL}{place}"), until));
        }
        if changes.is_empty() {
            return changes;
        }
        changes.extend(self.forgotten(seen, now_ms).into_iter().flat_map(|place| {
            [ATTEMPTS, BEGAN_AT, UNTIL].map(|prefix| Change::Remove(format!("{prefix}{place}")))
        }));
        let expires_at = after(after(now, LASTS), KEPT).as_second();
        changes.push(Change::Set(EXPIRES_AT.to_owned(), expires_at));
        changes
    }

    /// The places that are not needed any more: those whose time is over, and, where there is no room for those that
    /// were seen, those whose time is over first.
    fn forgotten(&self, seen: &BTreeMap<Place, u32>, now_ms: i64) -> BTreeSet<&str> {
        let others = self.entries.iter().filter(|(place, _)| !seen.contains_key(&Place((*place).clone())));
        let mut others: Vec<(i64, &str)> =
            others.map(|(place, entry)| (entry.until, place.as_str())).collect();
        others.sort_unstable();
        let beyond = (others.len() + seen.len()).saturating_sub(MAX_PLACES);
        let is_over =
            |(index, (until, place)): (usize, (i64, _))| (until <= now_ms || index < beyond).then_some(place);
        others.into_iter().enumerate().filter_map(is_over).take(MAX_FORGOTTEN).collect()
    }

    fn live(&self, place: &str, now: Timestamp) -> Option<&Entry> {
        self.entries.get(place).filter(|entry| entry.until > now.as_millisecond())
    }
}

impl Entry {
    fn is_slow(&self) -> bool {
        self.attempts >= i64::from(SLOW_AFTER)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How many connections in a row to one host must time out before it counts as dead.
pub const DEAD_AFTER: u32 = 3;

/// How long a host counts as dead after the last of them.
pub const DEAD_FOR: Duration = Duration::from_secs(60);

/// How many hosts are remembered.
const MAX_HOSTS: usize = 1000;

/// The hosts that one copy of the function could not connect to in time, whatever their accounts. It is lost with the
/// copy, and needs no row that all webhooks at a popular host would share. How long a host takes to *answer* is not in
/// it: that may be one account's doing, and must not touch another's.
#[derive(Clone, Debug, Default)]
pub struct DeadHosts {
    timed_out: BTreeMap<(String, u16), (u32, Timestamp)>,
}

impl DeadHosts {
    /// Notes that a connection to the URL's host was made.
    pub fn reached(&mut self, url: &WebhookUrl) {
        self.timed_out.remove(&(url.host(), url.port()));
    }

    /// Notes that a connection to the URL's host timed out.
    pub fn timed_out(&mut self, url: &WebhookUrl, now: Timestamp) {
        self.timed_out.retain(|_, (_, last)| now < after(*last, DEAD_FOR));
        if self.timed_out.len() >= MAX_HOSTS {
            self.timed_out.clear();
        }
        let entry = self.timed_out.entry((url.host(), url.port())).or_insert((0, now));
        *entry = (entry.0.saturating_add(1), now);
    }

    /// Whether the URL's host counts as dead.
    #[must_use]
    pub fn is_dead(&self, url: &WebhookUrl, now: Timestamp) -> bool {
        self.timed_out
            .get(&(url.host(), url.port()))
            .is_some_and(|&(times, last)| times >= DEAD_AFTER && now < after(last, DEAD_FOR))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::address::PrivateTargets;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + seconds).unwrap()
    }

    fn url(host: &str) -> WebhookUrl {
        WebhookUrl::check(&format!("https://{host}/hook"), &PrivateTargets::default()).unwrap()
    }

    fn place(number: u128) -> Place {
        Place::of(&WebhookId::from_bits(number), &url("example.com"))
    }

    /// A row in memory.
    #[derive(Clone, Default)]
    struct Table(BTreeMap<String, i64>);

    impl Table {
        fn read(&self) -> SlowAttempts {
            SlowAttempts::of(self.0.iter().map(|(name, number)| (name.as_str(), *number)))
        }

        fn apply(&mut self, changes: Vec<Change>) {
            for change in changes {
                match change {
                    Change::Set(name, value) => _ = self.0.insert(name, value),
                    Change::SetIfMissing(name, value) => _ = self.0.entry(name).or_insert(value),
                    Change::Add(name, value) => *self.0.entry(name).or_default() += value,
                    Change::Remove(name) => _ = self.0.remove(&name),
                }
            }
        }

        /// One batch that read the row before its attempts; how many attributes it changed.
        fn batch(&mut self, places: &[(Place, u32)], lane: Lane, now: Timestamp) -> usize {
            let changes = self.read().note(&places.iter().cloned().collect(), lane, now);
            let count = changes.len();
            self.apply(changes);
            count
        }
    }

    #[test]
    fn an_attempt_is_slow_after_a_fifth_of_its_deadline() {
        for (deadline, bound) in [(15, 3000), (20, 4000), (5, 1000), (3, 1000), (1, 800)] {
            assert_eq!(slow_bound(Duration::from_secs(deadline)), Duration::from_millis(bound));
        }
    }

    #[test]
    fn five_slow_attempts_make_a_webhook_slow_for_ten_minutes() {
        let mut table = Table::default();
        for second in 0..4 {
            table.batch(&[(place(1), 1)], Lane::Usual, at(second));
            assert!(!table.read().is_slow(&place(1), at(second)));
        }
        table.batch(&[(place(1), 1)], Lane::Usual, at(4));
        assert!(table.read().is_slow(&place(1), at(603)));
        assert!(!table.read().is_slow(&place(1), at(604)));
        assert!(!table.read().is_slow(&place(2), at(5)), "no other webhook of its account");
    }

    #[test]
    fn batches_that_knew_nothing_of_each_other_are_all_counted() {
        let mut table = Table::default();
        let read = table.read();
        for _ in 0..5 {
            table.apply(read.note(&BTreeMap::from([(place(1), 1)]), Lane::Usual, at(0)));
        }
        assert!(table.read().is_slow(&place(1), at(1)));
    }

    #[test]
    fn a_slow_webhook_is_noted_again_in_its_second_half_only() {
        let mut table = Table::default();
        table.batch(&[(place(1), 9)], Lane::Usual, at(0));
        assert_eq!(table.batch(&[(place(1), 1)], Lane::Slow, at(300)), 0);
        assert!(table.batch(&[(place(1), 1)], Lane::Slow, at(301)) > 0);
        assert!(table.read().is_slow(&place(1), at(900)));
        assert!(!table.read().is_slow(&place(1), at(901)));
    }

    #[test]
    fn what_was_over_begins_anew() {
        let mut table = Table::default();
        table.batch(&[(place(1), 9)], Lane::Usual, at(0));
        table.batch(&[(place(1), 1)], Lane::Usual, at(600));
        assert!(!table.read().is_slow(&place(1), at(601)));
    }

    #[test]
    fn another_host_is_another_place_and_a_path_is_not() {
        let webhook = WebhookId::from_bits(1);
        let parse = |text: &str| WebhookUrl::check(text, &PrivateTargets::default()).unwrap();
        let here = Place::of(&webhook, &parse("https://example.com/a"));
        assert_eq!(here, Place::of(&webhook, &parse("https://example.com/b?c")));
        assert_ne!(here, Place::of(&webhook, &parse("https://example.org/a")));
        assert_ne!(here, Place::of(&webhook, &parse("https://example.com:8443/a")));
        assert_ne!(here, Place::of(&WebhookId::from_bits(2), &parse("https://example.com/a")));
    }

    #[test]
    fn many_new_slow_webhooks_make_an_account_slow_and_one_does_not() {
        let mut table = Table::default();
        table.batch(&[(place(1), 1000)], Lane::Usual, at(0));
        assert!(!table.read().is_account_slow(at(1)));
        for n in 2..=6 {
            table.batch(&[(place(n), 7)], Lane::Usual, at(1));
        }
        assert!(table.read().is_slow(&place(99), at(2)), "six webhooks became slow");
        assert!(!table.read().is_slow(&place(99), at(601)));
        let mut table = Table::default();
        for n in 0..29 {
            table.batch(&[(place(n), 1)], Lane::Usual, at(0));
        }
        assert!(!table.read().is_account_slow(at(1)));
        table.batch(&[(place(29), 1)], Lane::Usual, at(0));
        assert!(table.read().is_account_slow(at(1)), "thirty webhooks were slow once");
    }

    #[test]
    fn webhooks_that_stay_slow_do_not_keep_their_account_slow() {
        let mut table = Table::default();
        for second in (0..3000).step_by(30) {
            let lane = if second == 0 { Lane::Usual } else { Lane::Slow };
            let many: Vec<_> = (0..20).map(|n| (place(n), 5)).collect();
            table.batch(&many, lane, at(second));
        }
        assert!(table.read().is_slow(&place(3), at(3000)));
        assert!(!table.read().is_account_slow(at(3000)));
    }

    #[test]
    fn a_host_is_dead_after_three_connection_time_outs_in_a_row() {
        let mut hosts = DeadHosts::default();
        for second in 0..3 {
            assert!(!hosts.is_dead(&url("a.example"), at(second)));
            hosts.timed_out(&url("a.example"), at(second));
        }
        assert!(hosts.is_dead(&url("a.example"), at(3)));
        assert!(!hosts.is_dead(&url("b.example"), at(3)));
        assert!(!hosts.is_dead(&url("a.example"), at(62)));
        hosts.reached(&url("a.example"));
        assert!(!hosts.is_dead(&url("a.example"), at(3)));
    }

    #[test]
    fn no_more_hosts_are_remembered_than_the_bound() {
        let mut hosts = DeadHosts::default();
        for n in 0..5000 {
            hosts.timed_out(&url(&format!("h{n}.example")), at(0));
        }
        assert!(hosts.timed_out.len() <= MAX_HOSTS);
    }

    proptest! {
        /// Whatever batches come, a row stays small, and whoever moves from host to host is caught.
        #[test]
        fn a_row_has_a_bound_and_an_account_that_evades_is_slow(
            batches in prop::collection::vec((prop::collection::vec((0..400_u128, 1..4_u32), 1..10), 0..20_i64), 1..80),
        ) {
            let mut table = Table::default();
            let (mut now, mut new) = (0, BTreeMap::new());
            for (batch, wait) in &batches {
                now += wait;
                let places: Vec<_> = batch.iter().map(|&(n, attempts)| (place(n), attempts)).collect();
                let distinct: BTreeMap<_, _> = places.iter().cloned().collect();
                table.batch(&places, Lane::Usual, at(now));
                for (place, attempts) in distinct {
                    *new.entry(place).or_insert(0) += attempts;
                }
                prop_assert!(table.0.len() <= 3 * MAX_PLACES + 1);
                let counted: u32 = new.values().map(|&attempts: &u32| attempts.min(SLOW_AFTER)).sum();
                // In the first ten minutes everything is new.
                if now < 600 && new.len() <= MAX_PLACES {
                    prop_assert_eq!(table.read().is_account_slow(at(now)), counted >= ACCOUNT_SLOW_AFTER);
                }
                if now < 600 && new.len() > MAX_PLACES {
                    prop_assert!(table.read().is_account_slow(at(now)));
                }
            }
        }
    }
}
