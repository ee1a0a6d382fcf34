//! Planning what is asked: which pages of a shard are due, and how often each can be.

use std::collections::BTreeMap;
use std::time::Duration;

use carteiro_adapters::clock::InvocationClock;
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::poll_queue::{PageToAsk, Poll};
use carteiro_adapters::poll_table::Schedule;
use carteiro_core::network::Network;
use carteiro_core::page::TickResult;
use carteiro_core::poll::plan::{Due, PAGES_TOGETHER, calls, in_turns, share};
use jiff::Timestamp;

pub(super) use carteiro_core::poll::plan::least_calls;

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
    let (mut due, mut counted, mut mark) = (Vec::new(), BTreeMap::new(), None);
    loop {
        let (schedules, next) = collect.polls.tables.polls.schedules_of(shard, None, mark).await?;
        for schedule in schedules {
            let Some(next_at) = schedule.next_at else { continue };
            *counted.entry(schedule.network).or_insert(0) += 1;
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
    let connected = collect.polls.tables.polls.connected(shard, &counted).await?;
    let shares: BTreeMap<Network, Share> =
        counted.keys().map(|network| (*network, Share::of(collect, *network, &connected))).collect();
    let (pages, planned) = (counted.values().sum::<u64>(), due.len());
    let due = in_turns(due);
    for messages in due.chunks(PAGES_TOGETHER * MESSAGES_TOGETHER) {
        let message = |pages: &[Due]| {
            let pages = pages.iter().filter_map(|due| Some(shares.get(&due.network)?.of_page(due))).collect();
            Poll::Pages { at, now, pages }
        };
        let messages: Vec<Poll> = messages.chunks(PAGES_TOGETHER).map(message).collect();
        collect.polls.queue.send(&messages).await?;
    }
    tracing::info!(shard, pages, planned, "poll.planned");
    Ok(())
}

/// Whether a page waits for the end of a limit.
fn is_held_back(schedule: &Schedule) -> bool {
    schedule.last.as_ref().is_some_and(|last| last.result == TickResult::Limited)
}

/// What each page of a network's has of its limits.
struct Share {
    every: Duration,
    calls: u32,
    sweeps: u64,
}

impl Share {
    fn of(collect: &Collect, network: Network, connected: &BTreeMap<Network, u64>) -> Self {
        let polls = &collect.polls;
        let (limits, count) = (polls.settings.limits(network), connected.get(&network).copied().unwrap_or(1));
        let share = share(network, limits, count, polls.tick);
        let calls = calls(network, limits, count, share.every, polls.settings.calls);
        Self { every: share.every, calls, sweeps: share.sweeps }
    }

    fn of_page(&self, due: &Due) -> PageToAsk {
        let every = u32::try_from(self.every.as_secs().div_ceil(60)).unwrap_or(u32::MAX);
        let (page, network, sweeps) = (due.page.clone(), due.network, Some(self.sweeps));
        PageToAsk { page, network, every: Some(every), calls: self.calls, sweeps }
    }
}
