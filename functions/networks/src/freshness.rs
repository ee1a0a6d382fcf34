//! Freshness: how long a page's things take from the network having them to their dispatch, counted by kind.
//!
//! Each hour of a page has a [`Counts`]: a histogram with 24 bounds for each kind. So its space is bounded, however
//! much a page brings, and a percentile is exact to a bound. [`Gathered`] collects counts in memory until they are
//! written, so that no item costs a write of its own.
//!
//! Counted is what is new: an edit or a deletion is not, because not every network says when it was made. Not counted
//! is what nobody could have dispatched in time: things from before the page was connected, or from a time in which its
//! token was dead. Counts are for people: a process that ends takes the counts of up to a minute with it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use carteiro_core::id::PageId;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::collected::Kind;
use crate::page::Page;
use crate::token_state;

/// The upper bounds of the histogram's buckets, in seconds. The last bucket has everything above its neighbour, too.
pub const BOUNDS: [u32; 24] = [
    1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 960, 1200, 1800, 2700, 3600, 7200, 14_400, 28_800, 57_600,
    86_400, 172_800, 345_600, 604_800,
];

/// Within how many seconds 95 % of a page's things are to be dispatched.
pub const P95_PROMISE_SECONDS: u32 = 900;
/// Within how many seconds 99 % of them are.
pub const P99_PROMISE_SECONDS: u32 = 86_400;

/// For how many hours, beside the current one, freshness is shown.
pub const SHOWN_HOURS: u16 = 24;

/// For how many hours of pages [`Gathered`] has room. Things of others are not counted then.
pub const MOST_GATHERED: usize = 2000;

/// How long a page's counts are gathered before they are written, where a write for each dispatch would be too many.
pub const GATHERED_FOR: SignedDuration = SignedDuration::from_secs(60);

const SECONDS: i64 = 3600;

/// An hour, counted since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

impl Hour {
    /// The hour that a time is in.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        Self(at.as_second().div_euclid(SECONDS))
    }

    /// When it begins.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp::from_second(self.0.saturating_mul(SECONDS)).unwrap_or(Timestamp::MAX)
    }

    /// When the next one begins.
    #[must_use]
    pub fn end(self) -> Timestamp {
        Self(self.0.saturating_add(1)).start()
    }

    /// The hour that is so many hours earlier.
    #[must_use]
    pub fn earlier(self, hours: u16) -> Self {
        Self(self.0.saturating_sub(i64::from(hours)))
    }

    /// How many hours an earlier one lies back.
    #[must_use]
    pub fn since(self, earlier: Self) -> u32 {
        u32::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default()
    }

    /// The day that it is in, counted since 1970.
    #[must_use]
    pub fn day(self) -> i64 {
        self.0.div_euclid(24)
    }
}

/// Eight digits, which sort as hours do.
impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.0.max(0))
    }
}

impl FromStr for Hour {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Which things of a page are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// All: they were pushed, and are dispatched at once.
    All,
    /// Those from this time on.
    Since(Timestamp),
    /// None: the page's token is dead.
    Nothing,
}

impl Counted {
    /// Of a page: things from after its connection, and from after its token last changed its state.
    #[must_use]
    pub fn of(page: &Page) -> Self {
        if token_state::is_dead(page.token.state) {
            return Self::Nothing;
        }
        let connected = page.created_at.max(page.token_given_at());
        Self::Since(page.token.since.map_or(connected, |since| since.max(connected)))
    }

    /// How many seconds a thing took, if it is counted. A network's clock that is ahead of ours makes it none.
    #[must_use]
    pub fn seconds(self, occurred_at: Timestamp, dispatched_at: Timestamp) -> Option<u32> {
        let is_counted = match self {
            Self::All => true,
            Self::Since(since) => occurred_at >= since,
            Self::Nothing => false,
        };
        let milliseconds = dispatched_at.as_millisecond().saturating_sub(occurred_at.as_millisecond()).max(0);
        let seconds = milliseconds / 1000 + i64::from(milliseconds % 1000 > 0);
        is_counted.then(|| u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

/// How many things took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Histogram([u64; BOUNDS.len()]);

impl Histogram {
    fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The bound within which so many of a hundred are; None of nothing.
    fn percentile(&self, of_hundred: u64) -> Option<u32> {
        let rank = u128::from(self.count()) * u128::from(of_hundred);
        let rank = rank.div_ceil(100).max(1);
        let mut below = 0_u128;
        let reached = |(count, bound): (&u64, u32)| {
            below += u128::from(*count);
            (below >= rank).then_some(bound)
        };
        self.0.iter().zip(BOUNDS).find_map(reached)
    }
}

/// How long a page's things took, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Kind, Histogram>);

impl Counts {
    /// Counts a thing.
    pub fn note(&mut self, kind: Kind, seconds: u32) {
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len() - 1);
        self.add(kind, bucket, 1);
    }

    /// Adds to a bucket. One that there is not changes nothing.
    pub fn add(&mut self, kind: Kind, bucket: usize, count: u64) {
        if let Some(counted) = self.0.entry(kind).or_default().0.get_mut(bucket) {
            *counted = counted.saturating_add(count);
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets().next().is_none()
    }

    /// The buckets that something is in, with their numbers.
    pub fn buckets(&self) -> impl Iterator<Item = (Kind, usize, u64)> {
        let of_kind = |(kind, histogram): (&Kind, &Histogram)| {
            let kind = *kind;
            let counts = histogram.0.into_iter().enumerate();
            counts.filter(|(_, count)| *count > 0).map(move |(bucket, count)| (kind, bucket, count))
        };
        self.0.iter().flat_map(of_kind)
    }

    /// What people read: by kind, how many there were, and how long they took; beside it the promise.
    #[must_use]
    pub fn shown(&self) -> Value {
        let of_kind = |(kind, histogram): (&Kind, &Histogram)| {
            let median = histogram.percentile(50)?;
            let shown = json!({
                "count": histogram.count(),
                "median_seconds": median,
                "p95_seconds": histogram.percentile(95),
                "p99_seconds": histogram.percentile(99),
            });
            Some((kind.as_str().to_owned(), shown))
        };
        json!({
            "promise": {"p95_seconds": P95_PROMISE_SECONDS, "p99_seconds": P99_PROMISE_SECONDS},
            "kinds": self.0.iter().filter_map(of_kind).collect::<Map<_, _>>(),
        })
    }
}

/// Which of the gathered counts are written.
#[derive(Clone, Copy, Debug)]
pub enum Due<'a> {
    /// All.
    All,
    /// Those of a page.
    Of(&'a PageId),
    /// Those of up to so many pages whose last write is [`GATHERED_FOR`] ago.
    Rested(usize),
}

/// Counts that are not written yet, by page and hour. A page that brought something which is not counted has empty
/// ones: that it did is written, too.
#[derive(Debug, Default)]
pub struct Gathered {
    counts: BTreeMap<(PageId, Hour), Counts>,
    written: BTreeMap<PageId, Timestamp>,
}

impl Gathered {
    /// Notes that something of a page was dispatched: of a kind, in so many seconds, where that is counted.
    pub fn note(&mut self, page: &PageId, counted: Option<(Kind, u32)>, now: Timestamp) {
        let key = (page.clone(), Hour::of(now));
        if self.counts.len() >= MOST_GATHERED && !self.counts.contains_key(&key) {
            return;
        }
        let counts = self.counts.entry(key).or_default();
        if let Some((kind, seconds)) = counted {
            counts.note(kind, seconds);
        }
    }

    /// Takes what is to be written.
    pub fn take(&mut self, due: Due<'_>, now: Timestamp) -> Vec<(PageId, Hour, Counts)> {
        let rested = if let Due::Rested(most) = due { self.rested(most, now) } else { Vec::new() };
        let is_due = |page: &PageId| match due {
            Due::All => true,
            Due::Of(one) => page == one,
            Due::Rested(_) => rested.contains(page),
        };
        let (taken, kept) =
            std::mem::take(&mut self.counts).into_iter().partition(|((page, _), _)| is_due(page));
        self.counts = kept;
        let taken: BTreeMap<_, _> = taken;
        taken.into_iter().map(|((page, hour), counts)| (page, hour, counts)).collect()
    }

    /// The pages whose last write is long enough ago; from now on it is not.
    fn rested(&mut self, most: usize, now: Timestamp) -> Vec<PageId> {
        self.written.retain(|_, at| now.duration_since(*at) < GATHERED_FOR);
        let mut rested: Vec<PageId> = self.counts.keys().map(|(page, _)| page.clone()).collect();
        rested.dedup();
        rested.retain(|page| !self.written.contains_key(page));
        rested.truncate(most);
        self.written.extend(rested.iter().map(|page| (page.clone(), now)));
        rested
    }
}

#[cfg(test)]
mod tests {
    use carteiro_core::id::AccountId;

    use super::*;
    use crate::page::{NewPage, TokenState};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn percentiles(counts: &Counts, kind: Kind) -> Value {
        counts.shown()["kinds"][kind.as_str()].clone()
    }

    #[test]
    fn a_percentile_is_the_bound_that_covers_it() {
        let mut counts = Counts::default();
        assert_eq!(counts.shown()["kinds"], json!({}));
        for seconds in 1..=100 {
            counts.note(Kind::Comment, seconds * 9);
        }
        counts.note(Kind::Review, u32::MAX);
        let comments = json!({"count": 100, "median_seconds": 600, "p95_seconds": 900, "p99_seconds": 900});
        assert_eq!(percentiles(&counts, Kind::Comment), comments);
        let week = 604_800;
        let review = json!({"count": 1, "median_seconds": week, "p95_seconds": week, "p99_seconds": week});
        assert_eq!(percentiles(&counts, Kind::Review), review);
        counts.note(Kind::Comment, 901);
        assert_eq!(percentiles(&counts, Kind::Comment)["p99_seconds"], 900);
        counts.note(Kind::Comment, 1000);
        assert_eq!(percentiles(&counts, Kind::Comment)["p99_seconds"], 960);
        assert_eq!(counts.shown()["promise"], json!({"p95_seconds": 900, "p99_seconds": 86_400}));
    }

    #[test]
    fn bounds_rise_and_include_what_is_promised() {
        assert!(BOUNDS.is_sorted());
        assert!(BOUNDS.contains(&P95_PROMISE_SECONDS) && BOUNDS.contains(&P99_PROMISE_SECONDS));
        for bound in BOUNDS {
            let mut counts = Counts::default();
            counts.note(Kind::Post, bound);
            assert_eq!(percentiles(&counts, Kind::Post)["p99_seconds"], bound);
        }
    }

    #[test]
    fn buckets_make_the_same_counts_again() {
        let mut counts = Counts::default();
        for (kind, seconds) in [(Kind::Post, 3), (Kind::Post, 4), (Kind::Reply, 7000)] {
            counts.note(kind, seconds);
        }
        let mut again = Counts::default();
        for (kind, bucket, count) in counts.buckets() {
            again.add(kind, bucket, count);
        }
        assert_eq!(again, counts);
        again.add(Kind::Post, BOUNDS.len(), 1);
        assert_eq!(again, counts, "a bucket of another version");
    }

    #[test]
    fn what_nobody_could_dispatch_in_time_is_not_counted() {
        let given = json!({"network": "x", "network_id": "1", "name": "p", "access_token": "a"});
        let new = NewPage::from_json(given.as_object().unwrap()).unwrap();
        let page = new.create(PageId::from_bits(1), AccountId::from_bits(2), at(1000)).0;
        let seconds = |page: &Page, occurred| Counted::of(page).seconds(at(occurred), at(9000));
        assert_eq!(seconds(&page, 999), None);
        assert_eq!(seconds(&page, 1000), Some(8000));
        assert_eq!(seconds(&page, 9500), Some(0), "its network's clock is ahead");
        let mut recovered = page.clone();
        recovered.token.since = Some(at(8000));
        assert_eq!((seconds(&recovered, 7999), seconds(&recovered, 8000)), (None, Some(1000)));
        let mut dead = page;
        dead.token.state = TokenState::Revoked;
        assert_eq!(seconds(&dead, 8999), None);
        assert_eq!(Counted::All.seconds(at(1), at(2)), Some(1));
        let begun = Timestamp::from_millisecond(2001).unwrap();
        assert_eq!(Counted::All.seconds(at(1), begun), Some(2), "a second that has begun");
    }

    #[test]
    fn counts_are_written_at_once_and_then_each_minute() {
        let (mut gathered, pages) = (Gathered::default(), [1, 2, 3].map(PageId::from_bits));
        let mut written = |page: &PageId, second: i64| {
            gathered.note(page, Some((Kind::Reply, 1)), at(second));
            let taken = gathered.take(Due::Rested(2), at(second));
            taken.iter().map(|(page, _, counts)| (page.clone(), counts.clone())).collect::<Vec<_>>()
        };
        let replies = |count| {
            let mut counts = Counts::default();
            counts.add(Kind::Reply, 0, count);
            counts
        };
        assert_eq!(written(&pages[0], 0), [(pages[0].clone(), replies(1))]);
        assert_eq!(written(&pages[0], 1), []);
        assert_eq!(written(&pages[1], 30), [(pages[1].clone(), replies(1))]);
        assert_eq!(written(&pages[0], 59), []);
        assert_eq!(written(&pages[2], 60), [(pages[0].clone(), replies(2)), (pages[2].clone(), replies(1))]);
        assert_eq!(written(&pages[0], 61), []);
    }

    #[test]
    fn counts_keep_their_hour_and_have_bounded_room() {
        let (mut gathered, page) = (Gathered::default(), PageId::from_bits(0));
        gathered.note(&page, None, at(3599));
        gathered.note(&page, Some((Kind::Post, 1)), at(3600));
        for other in 1..=MOST_GATHERED {
            gathered.note(&PageId::from_bits(other as u128), None, at(3600));
        }
        let mine = gathered.take(Due::Of(&page), at(3600));
        let hours: Vec<_> = mine.iter().map(|(_, hour, counts)| (*hour, counts.buckets().count())).collect();
        assert_eq!(hours, [(Hour::of(at(0)), 0), (Hour::of(at(7199)), 1)]);
        assert_eq!(gathered.take(Due::All, at(3600)).len(), MOST_GATHERED - 2);
        assert!(gathered.take(Due::All, at(3600)).is_empty());
    }

    #[test]
    fn hours_are_read_as_they_are_written() {
        let hour = Hour::of("2026-11-30T13:59:59Z".parse().unwrap());
        assert_eq!(hour.to_string().parse(), Ok(hour));
        assert_eq!(hour.start().to_string(), "2026-11-30T13:00:00Z");
        assert_eq!(
            (hour.end(), hour.since(hour.earlier(30))),
            (hour.earlier(0).start() + SignedDuration::from_hours(1), 30)
        );
        assert!(hour.earlier(1).to_string() < hour.to_string());
    }
}
