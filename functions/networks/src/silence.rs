//! Silence: a page that by its own habit should have brought something, and has not. A permission that was lost, or a
//! subscription to pushes that ended, sends nothing and says nothing; so a page's habit is all that shows it.
//!
//! # The rule
//! The hours in which something of the page was dispatched are known, for the [`HABIT_HOURS`] before the last of them.
//! A page has a habit where these are at least [`LEAST_HOURS`], on at least [`LEAST_DAYS`] days, and the first of them
//! is a week before the last, so that a weekend is in it. The longest gap between two of them is what is usual. The
//! page is silent once nothing came for three times that, and for a day at least. A page that would have to be watched
//! for longer than [`MOST_HOURS`] comes too seldom, and has no habit.
//!
//! What the rule cannot see: one kind of thing that is missing while others come.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::freshness::Hour;
use crate::page::{Page, TickResult};

/// For how many hours before the last in which something came a page's habit is looked at.
pub const HABIT_HOURS: u16 = 14 * 24;
/// In how many hours something came at least, for a habit.
pub const LEAST_HOURS: usize = 10;
/// On how many days these are at least.
pub const LEAST_DAYS: usize = 3;
/// How many hours the first of them is before the last at least.
pub const LEAST_SPAN_HOURS: u32 = 7 * 24;
/// How many times as long as usual a silence is.
pub const TIMES_AS_LONG: u32 = 3;
/// How many hours a silence lasts at least.
pub const LEAST_SILENCE_HOURS: u32 = 24;
/// For how many hours a page is watched at most.
pub const MOST_HOURS: u32 = 14 * 24;
/// For how many hours it is to be known whether something came: a habit, and then a silence.
pub const REMEMBERED_HOURS: u16 = 30 * 24;

/// A page's silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Since when nothing came.
    pub since: Timestamp,
    /// The longest time, in hours, that was usual without anything.
    pub usual_hours: u32,
}

/// What a poll does about its page's silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The page is not silent.
    NotSilent,
    /// What was known stays.
    Stays,
    /// It is looked at when something came last.
    Look,
}

/// What a poll does that ended with `result` and found `new` things, and before which silence was known or not. It is
/// looked at in the first poll of an hour, and in each while the page is silent.
#[must_use]
pub fn step(
    known: Option<&Silence>,
    (result, new): (TickResult, u32),
    last_poll: Option<Timestamp>,
    now: Timestamp,
) -> Step {
    match result {
        // What is wrong with its token is told by a notice of its own.
        TickResult::Token => Step::NotSilent,
        _ if new > 0 => Step::NotSilent,
        TickResult::Ok | TickResult::More if known.is_some() => Step::Look,
        TickResult::Ok | TickResult::More if last_poll.is_none_or(|last| Hour::of(last) != Hour::of(now)) => {
            Step::Look
        }
        // Where the network was not asked, nothing can be missed.
        _ => Step::Stays,
    }
}

/// Since when a page can be heard: since its token is what it is.
#[must_use]
pub fn heard_from(page: &Page) -> Timestamp {
    page.token_given_at().max(page.token.since.unwrap_or(page.created_at))
}

/// Whether a silence is over: something came in this hour.
#[must_use]
pub fn is_over(silence: &Silence, newest: Hour) -> bool {
    newest.end() > silence.since
}

/// Whether it is long enough since the newest thing for the habit to be looked at.
#[must_use]
pub fn may_be_silent(newest: Hour, now: Timestamp) -> bool {
    lasts(newest.end(), now) >= SignedDuration::from_hours(i64::from(LEAST_SILENCE_HOURS))
}

/// The silence of a page in whose hours something came, at `now`. Before `heard_from` nothing could come: its token was
/// another, or dead.
#[must_use]
pub fn silence(hours: &BTreeSet<Hour>, heard_from: Timestamp, now: Timestamp) -> Option<Silence> {
    let last = *hours.last()?;
    let usual_hours = usual_hours(hours, last)?;
    let most = usual_hours.saturating_mul(TIMES_AS_LONG).max(LEAST_SILENCE_HOURS);
    let since = last.end().max(heard_from);
    let is_silent = most <= MOST_HOURS && lasts(since, now) >= SignedDuration::from_hours(i64::from(most));
    is_silent.then_some(Silence { since, usual_hours })
}

/// The longest gap between hours of a habit; None where there is none.
fn usual_hours(hours: &BTreeSet<Hour>, last: Hour) -> Option<u32> {
    let habit: Vec<Hour> = hours.range(last.earlier(HABIT_HOURS)..).copied().collect();
    let days: BTreeSet<i64> = habit.iter().map(|hour| hour.day()).collect();
    let spans = habit.first().is_some_and(|first| last.since(*first) >= LEAST_SPAN_HOURS);
    if habit.len() < LEAST_HOURS || days.len() < LEAST_DAYS || !spans {
        return None;
    }
    habit.windows(2).map(|pair| pair[1].since(pair[0])).max()
}

fn lasts(since: Timestamp, now: Timestamp) -> SignedDuration {
    now.duration_since(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-02, a Monday.
    const MONDAY: i64 = 1_793_577_600 / 3600;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    fn hours(all: impl IntoIterator<Item = i64>) -> BTreeSet<Hour> {
        all.into_iter().map(|hour| Hour::of(at(MONDAY + hour))).collect()
    }

    /// When a page whose last thing came in the last of these hours is silent, in hours after that hour.
    fn silent_after(hours: &BTreeSet<Hour>) -> Option<u32> {
        let last = hours.last().unwrap().end();
        let heard_from = at(0);
        let is_silent = |wait: &u32| {
            silence(hours, heard_from, last + SignedDuration::from_hours(i64::from(*wait))).is_some()
        };
        (0..1000).find(is_silent)
    }

    #[test]
    fn a_page_is_silent_after_three_of_its_longest_gaps() {
        let each_hour = hours(0..15 * 24);
        assert_eq!(silent_after(&each_hour), Some(24), "and after a day at least");
        let each_half_day = hours((0..28).map(|n| 12 * n));
        assert_eq!(silent_after(&each_half_day), Some(36));
        let since = each_half_day.last().unwrap().end();
        let silent = silence(&each_half_day, at(0), since + SignedDuration::from_hours(36));
        assert_eq!(silent, Some(Silence { since, usual_hours: 12 }));
        let office =
            hours((0..12).filter(|day| day % 7 < 5).flat_map(|day| (9..18).map(move |hour| 24 * day + hour)));
        assert_eq!(silent_after(&office), Some(3 * 64), "a weekend is usual");
    }

    #[test]
    fn a_page_without_a_habit_is_never_silent() {
        assert_eq!(silence(&BTreeSet::new(), at(0), at(MONDAY)), None);
        for (name, hours) in [
            ("nine hours", hours((0..9).map(|n| 24 * n))),
            ("two days", hours((0..5).chain(200..205))),
            (
                "a week's work, no weekend",
                hours((0..5).flat_map(|day| (9..18).map(move |hour| 24 * day + hour))),
            ),
            (
                "ten hours each Monday",
                hours((0..3).flat_map(|week| (8..18).map(move |hour| 168 * week + hour))),
            ),
        ] {
            assert_eq!(silent_after(&hours), None, "{name}");
        }
    }

    #[test]
    fn a_page_is_not_silent_while_it_could_not_be_heard() {
        let hours = hours(0..15 * 24);
        let now = hours.last().unwrap().end() + SignedDuration::from_hours(100);
        let renewed = now - SignedDuration::from_hours(23);
        assert_eq!(silence(&hours, renewed, now), None);
        let later = now + SignedDuration::from_hours(1);
        assert_eq!(silence(&hours, renewed, later), Some(Silence { since: renewed, usual_hours: 1 }));
    }

    #[test]
    fn a_poll_looks_once_an_hour_and_ends_a_silence() {
        let silence = Silence { since: at(10), usual_hours: 1 };
        let half = |hour: i64| at(hour) + SignedDuration::from_mins(30);
        for (known, end, last, expected) in [
            (None, (TickResult::Ok, 0), None, Step::Look),
            (None, (TickResult::Ok, 0), Some(half(49)), Step::Look),
            (None, (TickResult::More, 0), Some(at(50)), Step::Stays),
            (None, (TickResult::Ok, 1), None, Step::NotSilent),
            (None, (TickResult::Unavailable, 0), None, Step::Stays),
            (Some(&silence), (TickResult::Ok, 0), Some(at(50)), Step::Look),
            (Some(&silence), (TickResult::Fault, 0), None, Step::Stays),
            (Some(&silence), (TickResult::Limited, 2), None, Step::NotSilent),
            (Some(&silence), (TickResult::Token, 0), None, Step::NotSilent),
        ] {
            assert_eq!(step(known, end, last, half(50)), expected, "{known:?} {end:?} {last:?}");
        }
        assert!(!is_over(&silence, Hour::of(at(9))) && is_over(&silence, Hour::of(at(10))));
        assert!(!may_be_silent(Hour::of(at(9)), half(33)) && may_be_silent(Hour::of(at(9)), at(34)));
    }

    /// A number below `below`, by a seed that is changed.
    fn draw(seed: &mut u64, below: u64) -> u64 {
        // SplitMix64, whose constants are those of its publication (Steele, Lea, Flood, 2014).
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = *seed;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % below
    }

    /// In how many of a thousand such hours something comes, by the hour of the week.
    type Habit = fn(i64) -> u64;

    const HABITS: [(&str, Habit, u32); 6] = [
        ("each hour", |hour| if (8..23).contains(&(hour % 24)) { 900 } else { 200 }, 0),
        ("office hours", |hour| if hour < 120 && (9..18).contains(&(hour % 24)) { 700 } else { 0 }, 0),
        ("five a day", |_| 208, 10),
        ("two a day, by day", |hour| if (8..22).contains(&(hour % 24)) { 143 } else { 0 }, 20),
        ("three in two days", |_| 62, 40),
        ("one day a week", |hour| if hour < 24 { 300 } else { 0 }, 0),
    ];

    /// False alarms in a hundred years of a page that is never silent, by fifty pages of a year.
    fn false_alarms(habit: Habit) -> u32 {
        const PAGES: u64 = 50;
        let mut alarms = 0;
        for page in 0..PAGES {
            let mut seed = page;
            let mut came = BTreeSet::new();
            for hour in 0..365 * 24 {
                if draw(&mut seed, 1000) >= habit(hour % 168) {
                    continue;
                }
                let now = at(MONDAY + hour);
                let is_alarm =
                    |last: &Hour| may_be_silent(*last, now) && silence(&came, at(0), now).is_some();
                alarms += u32::from(came.last().is_some_and(is_alarm));
                came.insert(Hour::of(at(MONDAY + hour)));
                let oldest = Hour::of(at(MONDAY + hour)).earlier(HABIT_HOURS);
                came = came.split_off(&oldest);
            }
        }
        alarms * 100 / u32::try_from(PAGES).unwrap()
    }

    /// Regular pages raise none. A page with a few things a day at random hours raises one false alarm in some years.
    #[test]
    fn habits_raise_few_false_alarms_in_a_year() {
        for (name, habit, most) in HABITS {
            let found = false_alarms(habit);
            println!("{name}: {found} false alarms in a hundred years of a page");
            assert!(found <= most, "{name}: {found}");
        }
    }
}
