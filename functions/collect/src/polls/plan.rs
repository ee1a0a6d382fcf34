//! Planning polls: which pages of a shard are due, and the share of its network's limits that each has.

use std::collections::BTreeMap;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::poll::{DuePage, Poll};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::poll::{Connected, Schedule};
use carteiro_core::id::AccountId;
use carteiro_networks::network::Network;
use carteiro_networks::poll::fair::{self, ByAccount};
use carteiro_networks::poll::page_poll::{Allotment, allot, is_due, is_shared};
use carteiro_networks::poll::plan::{Due, PAGES_TOGETHER, in_turns};
use jiff::Timestamp;

use super::operator;
use crate::Collect;

/// How many messages are built and sent at once.
const MESSAGES_TOGETHER: usize = 500;

/// Plans a shard: sends a message for each group of its pages that are due. With `now`, all are due that no limit holds
/// back.
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
            if is_due(next_at, schedule.last.as_ref(), now, clock.now()) {
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
    operator::tell_of_versions(collect, &counted, clock.now()).await?;
    let mut allotments: BTreeMap<(Network, AccountId), Allotment> = BTreeMap::new();
    for due in &due {
        let allotment = || allotment(collect, due.network, &due.account, &connected);
        allotments.entry((due.network, due.account.clone())).or_insert_with(allotment);
    }
    let (pages, planned) = (counted.pages.values().sum::<u64>(), due.len());
    let due = in_turns(due);
    for messages in due.chunks(PAGES_TOGETHER * MESSAGES_TOGETHER) {
        let message = |pages: &[Due]| {
            let allotment = |due: &Due| allotments.get(&(due.network, due.account.clone()));
            let pages = pages.iter().filter_map(|due| Some(due_page(due, *allotment(due)?)));
            Poll::Pages { at, now, pages: pages.collect() }
        };
        let messages: Vec<Poll> = messages.chunks(PAGES_TOGETHER).map(message).collect();
        collect.polls.queue.send(&messages).await?;
    }
    tracing::info!(shard, pages, planned, "poll.planned");
    Ok(())
}

/// Counts a page for its network, for its account where accounts share a limit of the network's, and for what the
/// operator has to mend of it.
fn count(collect: &Collect, counted: &mut Connected, schedule: &Schedule) {
    *counted.pages.entry(schedule.network).or_default() += 1;
    if let Some(fault) = schedule.last.as_ref().and_then(|last| last.cause) {
        *counted.faults.entry(schedule.network).or_default().entry(fault).or_default() += 1;
    }
    if is_shared(collect.polls.settings.limits(schedule.network)) {
        let accounts = counted.accounts.entry(schedule.network).or_default();
        let pages = accounts.entry(fair::key(&schedule.account)).or_default();
        if schedule.proven {
            pages.proven += 1;
        } else {
            pages.unproven += 1;
        }
    }
}

/// How many millionths of the app's limits an account may use now; None where it may use all.
pub(super) async fn millionths(
    collect: &Collect,
    network: Network,
    account: &AccountId,
) -> Result<Option<u32>, AdapterError> {
    if !is_shared(collect.polls.settings.limits(network)) {
        return Ok(None);
    }
    let connected = collect.polls.tables.polls.connected().await?;
    Ok(allotment(collect, network, account, &connected).millionths)
}

fn allotment(collect: &Collect, network: Network, account: &AccountId, connected: &Connected) -> Allotment {
    let (polls, none) = (&collect.polls, ByAccount::new());
    let accounts = connected.accounts.get(&network).unwrap_or(&none);
    allot(network, account, polls.settings.limits(network), accounts, polls.settings.calls, polls.tick)
}

fn due_page(due: &Due, allotment: Allotment) -> DuePage {
    let Allotment { every_minutes, calls, sweeps, millionths } = allotment;
    let (page, network) = (due.page.clone(), due.network);
    DuePage { page, network, every: Some(every_minutes), calls, sweeps: Some(sweeps), millionths }
}
