//! Which pages a tick asks about: in which order, and how often.
//!
//! Accounts take turns: first a page of each, then the second of each, so that an account with a thousand pages delays
//! nobody else's first. Within an account, and between accounts, whoever was asked about longest ago comes first, so
//! that where a limit ends a tick's work early the same pages are not left out again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::budget::{Limit, Of, every, steady_units};
use crate::id::{AccountId, PageId};
use crate::network::Network;

/// How many pages one message names: enough that a hundred thousand pages are some thousand invocations, few enough that
/// their calls end long before the next tick.
pub const PAGES_TOGETHER: usize = 25;

/// How many of a thousand units are kept back for what is asked in between.
const KEPT_BACK: u32 = 50;

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

/// How often each page of a network's can be asked about, with so many of them connected: at each tick, or as rarely as
/// its limits need.
#[must_use]
pub fn interval(network: Network, limits: &[Limit], connected: u64, tick: Duration) -> Duration {
    let Some(units) = steady_units(network) else { return tick };
    let of = |limit: &Limit| {
        let sharing = if limit.of == Of::TheApp { connected.max(1) } else { 1 };
        every(tick, sharing, units, limit.a_day(), KEPT_BACK)
    };
    limits.iter().map(of).max().unwrap_or(tick).max(tick)
}

/// The fewest calls that a page has in a tick, whatever its share: what a tick takes when little happens, and some.
#[must_use]
pub fn least_calls(network: Network) -> u32 {
    match network {
        // Nothing counts them in numbers.
        Network::Facebook | Network::Instagram => u32::MAX,
        // Whose it is, and each list twice.
        Network::X => 7,
        Network::Youtube => 8,
        Network::GooglePlay => 4,
        Network::Linkedin => 6,
    }
}

/// How many calls a page has in one tick, with so many of them connected that are asked about so often: its share of
/// what the limits of all give in that time, so that one page's first collection does not use up the others' day.
#[must_use]
pub fn calls(network: Network, limits: &[Limit], connected: u64, every: Duration, most: u32) -> u32 {
    let share = |limit: &Limit| {
        let there = u128::from(limit.a_day()) * u128::from(1000 - KEPT_BACK) / 1000 * every.as_millis();
        let share = there / Duration::from_secs(24 * 3600).as_millis() / u128::from(connected.max(1));
        u32::try_from(share).unwrap_or(u32::MAX)
    };
    let of_all = limits.iter().filter(|limit| limit.of == Of::TheApp);
    of_all.map(share).min().unwrap_or(u32::MAX).max(least_calls(network)).min(most)
}

#[cfg(test)]
mod tests {
    use super::super::budget::limits;
    use super::*;

    const TICK: Duration = Duration::from_secs(900);

    fn due(account: u128, page: u128, began: Option<i64>) -> Due {
        Due {
            page: PageId::from_bits(page),
            account: AccountId::from_bits(account),
            network: Network::Facebook,
            began_at: began.map(|second| Timestamp::from_second(second).unwrap()),
        }
    }

    #[test]
    fn accounts_take_turns_and_who_waited_longest_comes_first() {
        let mut given: Vec<Due> = (10..20).map(|page| due(1, page, Some(5))).collect();
        given.push(due(2, 30, Some(9)));
        given.push(due(2, 31, Some(7)));
        given.push(due(3, 40, None));
        let order: Vec<(AccountId, PageId)> =
            in_turns(given).into_iter().map(|due| (due.account, due.page)).collect();
        let (account, page) = (AccountId::from_bits, PageId::from_bits);
        assert_eq!(order[..3], [(account(3), page(40)), (account(1), page(10)), (account(2), page(31))]);
        assert_eq!(order[3..5], [(account(1), page(11)), (account(2), page(30))]);
        assert_eq!(order.len(), 13);
    }

    #[test]
    fn pages_are_asked_about_at_each_tick_until_a_limit_is_shared_by_too_many() {
        let every = |network, connected| interval(network, limits(network), connected, TICK).as_secs() / 60;
        assert_eq!(every(Network::Facebook, 100_000), 15);
        assert_eq!((every(Network::X, 400), every(Network::X, 900)), (15, 45));
        // 3 units of 9,500 a day, 96 times.
        assert_eq!((every(Network::Youtube, 32), every(Network::Youtube, 330)), (15, 165));
        assert_eq!(every(Network::GooglePlay, 100_000), 15);
        // 100 units of a member's a day.
        assert_eq!((every(Network::Linkedin, 1), every(Network::Linkedin, 10)), (60, 105));
    }

    #[test]
    fn a_page_has_its_share_of_what_all_may_use_and_never_less_than_it_takes() {
        let calls = |network, connected| {
            let limits = limits(network);
            calls(network, limits, connected, interval(network, limits, connected, TICK), 60)
        };
        assert_eq!((calls(Network::Youtube, 1), calls(Network::Youtube, 5)), (60, 19));
        assert_eq!((calls(Network::Youtube, 1000), calls(Network::X, 1000)), (8, 7));
        assert_eq!((calls(Network::Facebook, 100_000), calls(Network::GooglePlay, 9)), (60, 60));
    }
}
