//! Planning of polls: the order of pages, and their intervals.
//!
//! Accounts take turns: first a page of each, then the second of each, so that an account with a thousand pages delays
//! nobody else's first. Within an account, and between accounts, whoever was asked about longest ago comes first, so
//! that where a limit ends a tick's work early the same pages are not left out again and again.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::budget::{IdleCost, KEPT_BACK, Limit, LimitScope, every};
use crate::network::Network;
use carteiro_core::id::{AccountId, PageId};

/// How many pages one message names: enough that a hundred thousand pages are some thousand invocations, few enough
/// that their calls end long before the next tick.
pub const PAGES_TOGETHER: usize = 25;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A page that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The page.
    pub page: PageId,
    /// Whose it is.
    pub account: AccountId,
    /// Its network.
    pub network: Network,
    /// When it was last asked about.
    pub began_at: Option<Timestamp>,
}

/// Brings due pages into the order in which they are asked about.
#[must_use]
pub fn in_turns(due: Vec<Due>) -> Vec<Due> {
    let mut accounts: BTreeMap<AccountId, Vec<Due>> = BTreeMap::new();
    for one in due {
        accounts.entry(one.account.clone()).or_default().push(one);
    }
    let mut turns: Vec<(usize, Due)> = Vec::new();
    for mut pages in accounts.into_values() {
        pages.sort_by(|a, b| (a.began_at, &a.page).cmp(&(b.began_at, &b.page)));
        turns.extend(pages.into_iter().enumerate());
    }
    turns.sort_by(|(turn, a), (other, b)| (turn, a.began_at, &a.page).cmp(&(other, b.began_at, &b.page)));
    turns.into_iter().map(|(_, due)| due).collect()
}

/// What each page of a network's has of its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The interval at which it can be polled: a tick, or as long as the limits need.
    pub every: Duration,
    /// How many thousandths of a unit its sweeps through what is older may take a day.
    pub sweeps: u64,
}

/// The share of each page in its network's limits, for the number of pages that are connected.
///
/// Runs, which bring in what is new, have at least half of the day's units. Of what is set apart beside them, and of
/// what they leave, four fifths are for sweeps, and a fifth for what more there is to ask where something happens.
#[must_use]
pub fn share(network: Network, limits: &[Limit], connected: u64, tick: Duration) -> Share {
    let Some(idle_cost) = network.spec().idle_cost else { return Share { every: tick, sweeps: u64::MAX } };
    let shares = limits.iter().map(|limit| share_of(limit, idle_cost, connected, tick));
    let least = |a: Share, b: Share| Share { every: a.every.max(b.every), sweeps: a.sweeps.min(b.sweeps) };
    let wanted = if idle_cost.sweeps > 0 { u64::MAX } else { 0 };
    shares.fold(Share { every: tick, sweeps: wanted }, least)
}

fn share_of(limit: &Limit, idle_cost: IdleCost, connected: u64, tick: Duration) -> Share {
    let sharing = if limit.of == LimitScope::TheApp { connected.max(1) } else { 1 };
    let there = usable(limit, idle_cost.kept_back) / sharing;
    let apart = idle_cost.sweeps.saturating_add(idle_cost.sweeps / 4).min(there / 2);
    let sweeps = idle_cost.sweeps.min(apart / 5 * 4);
    // Rounding takes nothing of what is wanted where there is enough.
    let sweeps = if apart < there / 2 { idle_cost.sweeps } else { sweeps };
    let every = every(tick, idle_cost.per_run, there - apart);
    // What the runs leave is for sweeps too, which take more where a network answers shorter pages than were asked for.
    let runs = DAY.as_millis() / every.as_millis().max(1) * u128::from(idle_cost.per_run) * 1000;
    let left = there.saturating_sub(u64::try_from(runs).unwrap_or(u64::MAX)) / 5 * 4;
    Share { every, sweeps: if sweeps < idle_cost.sweeps { sweeps } else { sweeps.max(left) } }
}

/// How many thousandths of a unit a limit has a day for planned runs.
pub(crate) fn usable(limit: &Limit, kept_back: u64) -> u64 {
    limit.a_day().saturating_mul(1000 - kept_back)
}

/// The interval at which each of the connected pages can be polled: a tick, or as long as the limits need.
#[must_use]
pub fn interval(network: Network, limits: &[Limit], connected: u64, tick: Duration) -> Duration {
    share(network, limits, connected, tick).every
}

/// How long it is until a page's next turn, after one that was planned for this time.
///
/// Pages that are asked about more rarely than ticks come have their turns spread evenly over that time, each always at
/// the same of it: many that were connected, or held back by a limit, at one time would otherwise take a day's units
/// together.
#[must_use]
pub fn until_turn(page: &PageId, at: Timestamp, every: Duration, tick: Duration) -> Duration {
    let (Ok(seconds @ 1..), true) = (i64::try_from(every.as_secs()), every > tick) else { return every };
    // FNV-1a.
    let digest = page.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let own = i64::try_from(digest >> 1).unwrap_or(0).rem_euclid(seconds);
    let left = Duration::from_secs((own - at.as_second()).rem_euclid(seconds).unsigned_abs());
    // The tick that is nearest to a turn is the turn's.
    if left <= tick / 2 { left + every } else { left }
}

/// The calls that a page has in one tick: its share of what the app's limits give in its interval, so that one page's
/// first collection does not use up the others' day. It is never less than a run takes, and one call for what is older.
#[must_use]
pub fn calls(network: Network, limits: &[Limit], connected: u64, every: Duration, most: u32) -> u32 {
    let share = |limit: &Limit| {
        let there = u128::from(usable(limit, KEPT_BACK)) * every.as_millis();
        let share = there / (1000 * DAY.as_millis()) / u128::from(connected.max(1));
        u32::try_from(share).unwrap_or(u32::MAX)
    };
    // Where each limit is of one operation, what one of them gives is not all that a run may make.
    let spec = network.spec();
    let least = match spec.idle_cost {
        Some(idle_cost) if spec.limit_header.is_none() => idle_cost.per_run + u32::from(idle_cost.sweeps > 0),
        _ => spec.least_calls,
    };
    let of_all = limits.iter().filter(|limit| limit.of == LimitScope::TheApp);
    of_all.map(share).min().unwrap_or(u32::MAX).max(least).min(most)
}
