//! What each account has of the limits that a network sets for the whole app.
//!
//! **The rule.** Each account has of an app's limit what its pages need, but where there is not enough for all, no more
//! than the even part at which the limit is used up; what nobody needs is divided evenly. The parts together are the
//! limit, so whatever one account spends, what is another's is still there. An account that is alone has everything.
//!
//! **A page that is not proven** (no network took its token yet) counts for nobody else but as the
//! [small share](unproven) that all such pages of its account have together. Its own plan counts it in full, so that a
//! real page goes on at its own pace once it is proven. Nothing bounds the accounts: the operator alone creates them.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::budget::{IdleCost, Limit, LimitScope};
use super::plan::usable;
use crate::network::Network;
use carteiro_core::id::AccountId;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How many of a thousand units the pages of an account that are not proven have together.
const UNPROVEN_PER_MILLE: u32 = 20;

/// How many units they have at least: what proves a real page takes one or two, and its network may fail at first.
const UNPROVEN_LEAST: u32 = 10;

/// The parts of a limit of which a part is told.
const MILLION: u64 = 1_000_000;

/// How many pages of a network an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pages {
    /// Those whose token the network took.
    #[serde(rename = "p")]
    pub proven: u64,
    /// The others.
    #[serde(rename = "n")]
    pub unproven: u64,
}

/// The pages of a network by the accounts' [keys](key).
pub type ByAccount = BTreeMap<String, Pages>;

/// The name of an account in a [`ByAccount`]: a part of its id that is long enough to tell accounts apart.
#[must_use]
pub fn key(account: &AccountId) -> String {
    const PREFIX: usize = "acc_".len();
    const DIGITS: usize = 12;
    account.as_str().chars().skip(PREFIX).take(DIGITS).collect()
}

/// What an account has of its network's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// With as many pages at the app's limits as this, each would have what each page of the account has.
    pub sharing: u64,
    /// How many millionths of each of the app's limits the account may use; None where it may use all.
    pub millionths: Option<u32>,
}

/// What an account has of its network's limits.
#[must_use]
pub fn part(network: Network, limits: &[Limit], accounts: &ByAccount, mine: &str, tick: Duration) -> Part {
    let own = accounts.get(mine).copied().unwrap_or(Pages { proven: 0, unproven: 1 });
    let pages = (own.proven + own.unproven).max(1);
    let Some(idle_cost) = network.spec().idle_cost else { return Part { sharing: pages, millionths: None } };
    let others: Vec<Pages> =
        accounts.iter().filter(|(key, _)| *key != mine).map(|(_, pages)| *pages).collect();
    let mut part = Part { sharing: pages, millionths: None };
    let (mut enough, mut short) = (None, None);
    for limit in limits.iter().filter(|limit| limit.of == LimitScope::TheApp) {
        let there = usable(limit, idle_cost.kept_back);
        let need = need(limit, limits, idle_cost, tick);
        let few = there / 1000 * u64::from(UNPROVEN_PER_MILLE);
        let wants = |pages: &Pages| {
            let unproven = pages.unproven.saturating_mul(need).min(few);
            pages.proven.saturating_mul(need).saturating_add(unproven)
        };
        let wanted: Vec<u64> = others.iter().map(wants).collect();
        let needed = pages.saturating_mul(need);
        let planned = even_part(there, &wanted, needed).max(1);
        let all = u128::from(there) * u128::from(pages);
        // A limit that has what the pages need slows none of them; how much more it has says nothing of other limits.
        if planned >= needed {
            let sharing = u64::try_from(all / u128::from(planned)).unwrap_or(u64::MAX);
            enough = Some(enough.map_or(sharing, |least: u64| least.min(sharing)));
        } else {
            let sharing = u64::try_from(all.div_ceil(u128::from(planned))).unwrap_or(u64::MAX);
            short = Some(short.map_or(sharing, |most: u64| most.max(sharing)));
        }
        if !others.is_empty() {
            let kept = u128::from(even_part(there, &wanted, wants(&own))) * u128::from(MILLION);
            let millionths = u32::try_from(kept / u128::from(there.max(1))).unwrap_or(u32::MAX);
            part.millionths = Some(part.millionths.map_or(millionths, |least| least.min(millionths)));
        }
    }
    part.sharing = short.or(enough).unwrap_or(pages).max(pages);
    part
}

/// How many thousandths of a unit of an app's limit a page needs a day to be polled at each tick.
fn need(limit: &Limit, limits: &[Limit], idle_cost: IdleCost, tick: Duration) -> u64 {
    let ticks = u64::try_from(DAY.as_millis() / tick.as_millis().max(1)).unwrap_or(u64::MAX);
    let runs = (u64::from(idle_cost.per_run) * 1000).saturating_mul(ticks);
    let needed = runs.saturating_add(idle_cost.sweeps).saturating_add(idle_cost.sweeps / 4);
    // A page takes no more than a limit of its own allows.
    let own = limits
        .iter()
        .filter(|own| own.of == LimitScope::TheNetworkPage && own.operations == limit.operations);
    own.map(|own| usable(own, idle_cost.kept_back)).fold(needed, u64::min).max(1)
}

/// What one that wants `mine` has, where others want as much as they do of what is there.
fn even_part(there: u64, others: &[u64], mine: u64) -> u64 {
    let mut wants: Vec<u64> = others.iter().copied().chain([mine]).collect();
    wants.sort_unstable();
    let count = u64::try_from(wants.len()).unwrap_or(u64::MAX);
    let (mut left, mut sharing) = (there, count);
    for want in wants {
        let each = left / sharing;
        if want > each {
            // Not enough for this one and those who want more: each of them has the same.
            return mine.min(each);
        }
        left -= want;
        sharing -= 1;
    }
    mine + left / count
}

/// How many units of a limit the pages of an account that are not proven may use together in its window. They are so
/// few of the network page's own limit too, which its real owner needs.
#[must_use]
pub fn unproven(limit: &Limit) -> u32 {
    let few = u64::from(limit.units) * u64::from(UNPROVEN_PER_MILLE) / 1000;
    u32::try_from(few).unwrap_or(limit.units).max(UNPROVEN_LEAST).min(limit.units)
}

/// How many units of an app's limit an account may use in its window. At least one page can be proven.
#[must_use]
pub fn most(limit: &Limit, millionths: u32) -> u32 {
    let part = u64::from(limit.units) * u64::from(millionths) / MILLION;
    u32::try_from(part).unwrap_or(limit.units).max(UNPROVEN_LEAST).min(limit.units)
}
