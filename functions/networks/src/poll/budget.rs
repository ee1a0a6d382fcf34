//! The networks' limits, and what may be asked within them.
//!
//! Nothing here counts: who makes the calls keeps what was [`Spent`] of each [`Limit`], for the network's page or for
//! the app, and asks [`Limit::may`] before each. [`IdleCost`] says what a page takes when little happens, and [`every`]
//! how often it can be polled with what there is.
//!
//! A window is taken as one of the clock's: minutes 0, 15, 30 and 45, the whole hour, UTC's or California's day. X
//! opens its windows with the first call; what its answers' headers say of the end goes before this.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::scope::after;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How rarely sweeps are made that nothing is left for.
const SELDOM: Duration = Duration::from_secs(1000 * 24 * 3600);

/// Whose calls a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitScope {
    /// Those for one page of the network's, by whichever accounts it is connected.
    TheNetworkPage,
    /// All of the deployment's.
    TheApp,
}

/// In what time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// A quarter of an hour.
    Quarter,
    /// An hour.
    Hour,
    /// A day that begins at midnight UTC.
    DayUtc,
    /// A day that begins at midnight in California.
    DayPacific,
}

/// One limit of a network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Which asks it counts: their [`operation`](super::NetworkRequest::operation)s; all, where empty.
    pub operations: &'static [&'static str],
    /// Whose.
    pub of: LimitScope,
    /// In what time.
    pub window: Window,
    /// How many units. A network that gives an app more has it set.
    pub units: u32,
}

/// What a page takes of its network's limits when little happens: what [`share`](super::plan::share) is found from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleCost {
    /// Units for each run: of what is new.
    pub per_run: u32,
    /// Thousandths of a unit for a day, however often there are runs: of the sweeps through what is older.
    pub sweeps: u64,
    /// How many of a thousand units are kept back, for what is asked in between, and where more happens.
    pub kept_back: u64,
}

/// What is kept back where a run takes little more when something happens: for checks.
pub(crate) const KEPT_BACK: u64 = 40;
/// What a sweep of some units takes a day, in thousandths of a unit.
pub(crate) const fn sweep_milliunits(units: u64, every: Duration) -> u64 {
    units * 1000 * DAY.as_secs() / every.as_secs()
}

/// How often a sweep of so many units is made: as often as is wanted, or as so many thousandths of a unit a day allow.
/// With none it is as good as never.
pub(crate) fn sweep_within(wanted: Duration, units: u32, a_day: u64) -> Duration {
    let needed = u128::from(units) * 1000 * DAY.as_millis() / u128::from(a_day.max(1));
    wanted.max(Duration::from_millis(u64::try_from(needed).unwrap_or(u64::MAX)).min(SELDOM))
}

/// What was spent of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// In the window that has this time in it.
    pub at: Timestamp,
    /// How many units.
    pub units: u32,
}

/// Whether something may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may, now.
    Now,
    /// Not before then.
    At(Timestamp),
    /// Never: it takes more than there is.
    Never,
}

impl Limit {
    /// A limit on some operations, or on all where none is named.
    pub(crate) const fn new(
        operations: &'static [&'static str],
        of: LimitScope,
        window: Window,
        units: u32,
    ) -> Self {
        Self { operations, of, window, units }
    }

    /// What it is called in settings and rows: `app` or `page`, and what it counts, where that is not all.
    #[must_use]
    pub fn name(&self) -> String {
        let of = match self.of {
            LimitScope::TheApp => "app",
            LimitScope::TheNetworkPage => "page",
        };
        self.operations.iter().fold(of.to_owned(), |name, what| format!("{name}/{what}"))
    }

    /// Whether it counts an ask of this kind.
    #[must_use]
    pub fn counts(&self, what: &str) -> bool {
        self.operations.is_empty() || self.operations.contains(&what)
    }

    /// Whether so many units may be spent now.
    #[must_use]
    pub fn may(&self, spent: Option<Spent>, units: u32, now: Timestamp) -> Admission {
        if units > self.units {
            return Admission::Never;
        }
        match spent {
            Some(spent) if self.window.of(spent.at) == self.window.of(now) => {
                if spent.units.saturating_add(units) <= self.units {
                    Admission::Now
                } else {
                    Admission::At(self.window.end(now))
                }
            }
            _ => Admission::Now,
        }
    }

    /// What is spent with so many units more.
    #[must_use]
    pub fn spend(&self, spent: Option<Spent>, units: u32, now: Timestamp) -> Spent {
        let same = spent.filter(|spent| self.window.of(spent.at) == self.window.of(now));
        let units = same.map_or(0, |spent| spent.units).saturating_add(units);
        Spent { at: now, units }
    }

    /// How many units there are in a day.
    #[must_use]
    pub fn a_day(&self) -> u64 {
        let windows = match self.window {
            Window::Quarter => 96,
            Window::Hour => 24,
            Window::DayUtc | Window::DayPacific => 1,
        };
        u64::from(self.units) * windows
    }
}

impl Window {
    /// The beginning of the window that has a time in it.
    fn of(self, at: Timestamp) -> Timestamp {
        let whole = |seconds: i64| after(at, -at.as_second().rem_euclid(seconds));
        let second = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
        match self {
            Self::Quarter => second(whole(900)),
            Self::Hour => second(whole(3600)),
            Self::DayUtc => second(whole(24 * 3600)),
            Self::DayPacific => pacific_day(at, 0),
        }
    }

    /// When the window that has a time in it ends.
    #[must_use]
    pub fn end(self, at: Timestamp) -> Timestamp {
        match self {
            Self::Quarter => after(self.of(at), 900),
            Self::Hour => after(self.of(at), 3600),
            Self::DayUtc => after(self.of(at), 24 * 3600),
            Self::DayPacific => midnight_pacific(at),
        }
    }
}

/// The next midnight in California, when YouTube's quota is there again. The rule is the one in force since 2007
/// (Energy Policy Act of 2005, section 110); another one needs another version of Carteiro.
#[must_use]
pub fn midnight_pacific(now: Timestamp) -> Timestamp {
    pacific_day(now, 1)
}

/// The next whole hour.
#[must_use]
pub fn next_hour(now: Timestamp) -> Timestamp {
    Window::Hour.end(now)
}

/// The next midnight UTC.
#[must_use]
pub fn midnight_utc(now: Timestamp) -> Timestamp {
    Window::DayUtc.end(now)
}

/// The beginning of the day in California that has a time in it, or of one some days later.
fn pacific_day(at: Timestamp, days: i64) -> Timestamp {
    let begin = || {
        let zone = TimeZone::posix("PST8PDT,M3.2.0,M11.1.0").ok()?;
        let date = at.to_zoned(zone.clone()).date();
        let date = date.checked_add(jiff::Span::new().days(days)).ok()?;
        Some(date.to_zoned(zone).ok()?.timestamp())
    };
    // At the ends of time there is no next day.
    begin().unwrap_or(at)
}

/// How often a page can be polled: as often as ticks come, or as every so many ticks as its part of the day's units
/// allows. That part is in thousandths of a unit.
#[must_use]
pub fn every(tick: Duration, units_a_run: u32, a_day: u64) -> Duration {
    let needed = u128::from(units_a_run) * 1000 * DAY.as_millis();
    let ticks = needed.div_ceil(u128::from(a_day.max(1)).saturating_mul(tick.as_millis().max(1))).max(1);
    tick.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::Network;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn midnight_in_california_follows_daylight_saving_time() {
        for (now, midnight) in [
            ("2026-11-22T04:00:00Z", "2026-11-22T08:00:00Z"),
            ("2026-11-22T08:00:00Z", "2026-11-23T08:00:00Z"),
            ("2026-07-01T06:59:59Z", "2026-07-01T07:00:00Z"),
            ("2026-07-01T07:00:00Z", "2026-07-02T07:00:00Z"),
            ("2026-03-08T09:00:00Z", "2026-03-09T07:00:00Z"),
            ("2026-11-01T08:30:00Z", "2026-11-02T08:00:00Z"),
            ("2027-03-14T08:00:00Z", "2027-03-15T07:00:00Z"),
        ] {
            assert_eq!(midnight_pacific(at(now)), at(midnight), "{now}");
        }
    }

    #[test]
    fn a_window_ends_where_the_next_begins() {
        for window in [Window::Quarter, Window::Hour, Window::DayUtc, Window::DayPacific] {
            for now in ["2026-11-01T07:59:59.999Z", "2026-03-08T10:00:00Z", "2026-12-31T23:59:59.5Z"] {
                let (begin, end) = (window.of(at(now)), window.end(at(now)));
                assert!(begin <= at(now) && at(now) < end, "{window:?} {now}");
                assert_eq!(window.of(end), end, "{window:?} {now}");
                assert_eq!(window.of(begin), begin);
            }
        }
    }

    #[test]
    fn what_is_spent_is_there_again_with_the_next_window() {
        let messages = Network::X.spec().limits[5];
        let now = at("2026-11-22T12:14:59Z");
        let mut spent = None;
        for _ in 0..15 {
            assert_eq!(messages.may(spent, 1, now), Admission::Now);
            spent = Some(messages.spend(spent, 1, now));
        }
        assert_eq!(messages.may(spent, 1, now), Admission::At(at("2026-11-22T12:15:00Z")));
        assert_eq!(messages.may(spent, 1, at("2026-11-22T12:15:00Z")), Admission::Now);
        assert_eq!(messages.spend(spent, 1, at("2026-11-22T12:15:00Z")).units, 1);
        assert_eq!(messages.may(spent, 16, now), Admission::Never);
        assert!(messages.counts("messages") && !messages.counts("posts"));
        assert!(Network::Youtube.spec().limits[0].counts("threads"));
    }

    #[test]
    fn pages_are_polled_as_often_as_the_budget_allows() {
        let minutes = |units, a_day| every(Duration::from_secs(900), units, a_day).as_secs() / 60;
        // 96 runs of 2 units are 192.
        assert_eq!(
            [minutes(2, 192_000), minutes(2, 191_999), minutes(2, 48_000), minutes(2, 100)],
            [15, 30, 60, 28_800]
        );
        // With nothing, as good as never.
        assert_eq!(minutes(1, 0), 1000 * 24 * 60);
    }

    #[test]
    fn a_sweep_stays_within_its_units_and_interval() {
        let hour = Duration::from_secs(3600);
        assert_eq!(sweep_milliunits(20, 6 * hour), 80_000);
        assert_eq!(sweep_within(6 * hour, 20, 80_000), 6 * hour);
        assert_eq!(sweep_within(6 * hour, 20, 100_000), 6 * hour);
        assert_eq!(sweep_within(6 * hour, 20, 10_000), 48 * hour);
        assert_eq!(sweep_within(6 * hour, 20, 0), SELDOM);
    }

    proptest! {
        #[test]
        fn at_that_interval_the_day_suffices(units in 1_u32..20, a_day in 1_u64..2_000_000_000) {
            let tick = Duration::from_secs(900);
            let interval = every(tick, units, a_day);
            prop_assert_eq!(interval.as_secs() % 900, 0);
            let takes = |interval: Duration| u128::from(units) * 1000 * DAY.as_millis() <= u128::from(a_day) * interval.as_millis();
            prop_assert!(takes(interval));
            prop_assert!(interval == tick || !takes(interval.checked_sub(tick).unwrap()));
        }
    }

    #[test]
    fn every_network_with_numbers_has_limits_that_can_be_spent() {
        for network in Network::ALL {
            for limit in network.spec().limits {
                assert_eq!(
                    limit.may(None, limit.units, at("2026-11-22T12:00:00Z")),
                    Admission::Now,
                    "{network}"
                );
            }
        }
        assert_eq!(Network::GooglePlay.spec().limits[0].a_day(), 4800);
    }
}
