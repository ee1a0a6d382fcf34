//! Planning what is asked: which pages of a shard are due, and how often each can be.

use std::collections::BTreeMap;
use std::time::Duration;

use carteiro_adapters::clock::InvocationClock;
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::poll_queue::{DuePage, Poll};
use carteiro_adapters::poll_table::{Connected, Schedule};
use carteiro_core::id::AccountId;
use carteiro_networks::network::Network;
use carteiro_networks::page::TickResult;
use carteiro_networks::poll::budget::LimitScope;
use carteiro_networks::poll::fair::{self, ByAccount, Part};
use carteiro_networks::poll::plan::{Due, PAGES_TOGETHER, calls, in_turns, share};
use jiff::Timestamp;

use crate::Collect;

/// How many messages are sent before more schedules are read: what one that dies leaves to the next tick.
const MESSAGES_TOGETHER: usize = 500;

/// Plans a shard: sends a message for each few of its pages that are due. With `now` all are that no limit holds back.
pub(super) async fn shard(
    collect: &Collect,
    shard: u8,
    at: Timestamp,
    now: bool,
    clock: InvocationClock,
) -> Result<(), AdapterError> {
    let (mut due, mut counted, mut mark) = (Vec::new(), Connected::default(), None);
    loop {
        let (schedules, next) = collect.polls.tables.polls.schedules_of(shard, None, mark).await?;
        for schedule in schedules {
            let Some(next_at) = schedule.next_at else { continue };
            count(collect, &mut counted, &schedule);
            if next_at <= clock.now() || now && !is_held_back(&schedule) {
                due.push(Due {
                    page: schedule.page,
                    account: schedule.account,
                    network: schedule.network,
                    began_at: schedule.began_at,
                });
            }
        }
        mark = next;
        if mark.is_none() {
            break;
        }
    }
    let polls = &collect.polls.tables.polls;
    polls.note_connected(shard, &counted).await?;
    let connected = polls.connected().await?;
    let mut shares: BTreeMap<(Network, AccountId), Share> = BTreeMap::new();
    for due in &due {
        let share = || Share::of(collect, due.network, &due.account, &connected);
        shares.entry((due.network, due.account.clone())).or_insert_with(share);
    }
    let (pages, planned) = (counted.pages.values().sum::<u64>(), due.len());
    let due = in_turns(due);
    for messages in due.chunks(PAGES_TOGETHER * MESSAGES_TOGETHER) {
        let message = |pages: &[Due]| {
            let share = |due: &Due| shares.get(&(due.network, due.account.clone()));
            let pages = pages.iter().filter_map(|due| Some(share(due)?.of_page(due))).collect();
            Poll::Pages { at, now, pages }
        };
        let messages: Vec<Poll> = messages.chunks(PAGES_TOGETHER).map(message).collect();
        collect.polls.queue.send(&messages).await?;
    }
    tracing::info!(shard, pages, planned, "poll.planned");
    Ok(())
}

/// Counts a page for its network, and where accounts share a limit of the network's, for its account.
fn count(collect: &Collect, counted: &mut Connected, schedule: &Schedule) {
    *counted.pages.entry(schedule.network).or_default() += 1;
    let limits = collect.polls.settings.limits(schedule.network);
    if limits.iter().any(|limit| limit.of == LimitScope::TheApp) {
        let accounts = counted.accounts.entry(schedule.network).or_default();
        let pages = accounts.entry(fair::key(&schedule.account)).or_default();
        if schedule.proven {
            pages.proven += 1;
        } else {
            pages.unproven += 1;
        }
    }
}

/// How many millionths of its network's limits of the app an account may use now.
pub(super) async fn millionths(
    collect: &Collect,
    network: Network,
    account: &AccountId,
) -> Result<Option<u32>, AdapterError> {
    let limits = collect.polls.settings.limits(network);
    if !limits.iter().any(|limit| limit.of == LimitScope::TheApp) {
        return Ok(None);
    }
    let connected = collect.polls.tables.polls.connected().await?;
    Ok(part(collect, network, account, &connected).millionths)
}

fn part(collect: &Collect, network: Network, account: &AccountId, connected: &Connected) -> Part {
    let (limits, none) = (collect.polls.settings.limits(network), ByAccount::new());
    let accounts = connected.accounts.get(&network).unwrap_or(&none);
    fair::part(network, limits, accounts, &fair::key(account), collect.polls.tick)
}

/// Whether a page waits for the end of a limit.
fn is_held_back(schedule: &Schedule) -> bool {
    schedule.last.as_ref().is_some_and(|last| last.result == TickResult::Limited)
}

/// What each page of an account's has of its network's limits.
struct Share {
    every: Duration,
    calls: u32,
    sweeps: u64,
    millionths: Option<u32>,
}

impl Share {
    fn of(collect: &Collect, network: Network, account: &AccountId, connected: &Connected) -> Self {
        let polls = &collect.polls;
        let (limits, part) = (polls.settings.limits(network), part(collect, network, account, connected));
        let share = share(network, limits, part.sharing, polls.tick);
        let calls = calls(network, limits, part.sharing, share.every, polls.settings.calls);
        Self { every: share.every, calls, sweeps: share.sweeps, millionths: part.millionths }
    }

    fn of_page(&self, due: &Due) -> DuePage {
        let every = u32::try_from(self.every.as_secs().div_ceil(60)).unwrap_or(u32::MAX);
        let (page, network, sweeps) = (due.page.clone(), due.network, Some(self.sweeps));
        let (calls, millionths) = (self.calls, self.millionths);
        DuePage { page, network, every: Some(every), calls, sweeps, millionths }
    }
}
