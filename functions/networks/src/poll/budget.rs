//! The networks' limits, and what may be asked within them.
//!
//! Nothing here counts: who makes the calls keeps what was [`Spent`] of each [`Limit`], for the network's page or for
//! the app, and asks [`Limit::may`] before each. [`IdleCost`] says what a page takes when little happens, and [`every`]
//! how often it can be polled with what there is.
//!
//! A window is taken as one of the clock's: minutes 0, 15, 30 and 45, the whole hour, UTC's or California's day. X
//! opens its windows with the first call; what its answers' headers say of the end goes before this.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::scope::after;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How rarely sweeps are made that nothing is left for.
const SELDOM: Duration = Duration::from_secs(1000 * 24 * 3600);

/// The calls that a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitScope {
    /// Those for one page of the network, whichever accounts connected it.
    TheNetworkPage,
    /// All of the deployment's.
    TheApp,
}

/// The time that a limit is for.
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

/// A limit of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The [operations](super::NetworkRequest::operation) that it counts; all where empty.
    pub operations: &'static [&'static str],
    /// Whether it counts for a page or for the app.
    pub of: LimitScope,
    /// The time that a limit is for.
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

/// When a list was last swept: walked through all that is older. Sweeps stay within what they may take a day, by the
/// pages that were answered, and not by how many elements were asked for: a network may give fewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sweeps {
    /// When a sweep began last.
    swept_at: Option<Timestamp>,
    /// How many pages of the list were answered since then, beyond the first of each walk.
    #[serde(rename = "swept_pages", skip_serializing_if = "Option::is_none")]
    pages: Option<u32>,
}

impl Sweeps {
    /// Whether one is due. It is wanted this often; a sweep of `units` fits into the thousandths of a unit for a day,
    /// and one that takes more comes as much later.
    pub(crate) fn is_due(&self, now: Timestamp, wanted: Duration, units: u32, a_day: u64) -> bool {
        let Some(swept_at) = self.swept_at else { return true };
        let taken = self.pages.unwrap_or(0).max(units);
        Duration::try_from(now.duration_since(swept_at))
            .is_ok_and(|passed| passed >= sweep_within(wanted, taken, a_day))
    }

    /// A sweep began.
    pub(crate) fn began(&mut self, now: Timestamp) {
        (self.swept_at, self.pages) = (Some(now), None);
    }

    /// A page of a walk was answered.
    pub(crate) fn answered(&mut self, is_first: bool) {
        if !is_first {
            self.pages = Some(self.pages.unwrap_or(0).saturating_add(1));
        }
    }
}

/// The interval of a sweep: what is wanted, or what its daily thousandths of a unit allow. With none of them it is as
/// good as never.
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

    /// Whether it counts calls of this operation.
    #[must_use]
    pub fn counts(&self, what: &str) -> bool {
        self.operations.is_empty() || self.operations.contains(&what)
    }

    /// Whether these units may be spent now.
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

    /// What is spent with these units more.
    #[must_use]
    pub fn spend(&self, spent: Option<Spent>, units: u32, now: Timestamp) -> Spent {
        let same = spent.filter(|spent| self.window.of(spent.at) == self.window.of(now));
        let units = same.map_or(0, |spent| spent.units).saturating_add(units);
        Spent { at: now, units }
    }

    /// How much of it is left where so many units are spent, in per cent, rounded down.
    #[must_use]
    pub fn left_percent(&self, spent: u32) -> u32 {
        let left = u64::from(self.units.saturating_sub(spent)) * 100 / u64::from(self.units.max(1));
        u32::try_from(left).unwrap_or(100)
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

/// The next midnight in California, when a daily quota of Google's is there again. The rule is the one in force since
/// 2007 (Energy Policy Act of 2005, section 110); another one needs another version of Carteiro.
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

/// The interval at which a page can be polled: a tick, or as many ticks as its part of the day's units needs. That part
/// is in thousandths of a unit.
#[must_use]
pub fn every(tick: Duration, units_a_run: u32, a_day: u64) -> Duration {
    let needed = u128::from(units_a_run) * 1000 * DAY.as_millis();
    let ticks = needed.div_ceil(u128::from(a_day.max(1)).saturating_mul(tick.as_millis().max(1))).max(1);
    tick.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
}
