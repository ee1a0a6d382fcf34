//! Polling networks for pages.
//!
//! A tick sends a message for each shard of the schedules. Its worker *plans* ([`plan`]), and sends a message for each
//! group of pages that are due, accounts in turns. The worker of a group polls its pages ([`page`]) at once, within the
//! networks' limits and each page's share of calls and time. [`page_poll`] decides; the files here read, call and
//! store.
//!
//! Guaranteed: the events of an answer are in the inbox before the next call, and a checkpoint names only what is
//! there; so a crash, a limit or a dead token repeats calls, and skips nothing. New events are dispatched at once; the
//! next tick dispatches those that are left. The window that remains is the inbox's own: a worker that dies between
//! sending and marking leaves an entry to be sent again, under the same id.
//!
//! No message comes back to its queue: a page that could not be polled is still due, and the next tick plans it.

mod complete;
mod drive;
mod ingest;
mod inspect;
mod networks;
mod operator;
mod page;
mod plan;
mod proof;
mod renew;
mod silence;
mod subscribe;

use std::time::Duration;

use carteiro_adapters::http::network_client::NetworkClient;
use carteiro_adapters::queues::poll::{DuePage, Poll, PollQueue};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::pages::PageTables;
use carteiro_adapters::tables::poll::PollTrigger;
use carteiro_networks::page::LastTick;
use carteiro_networks::poll::page_poll;
use carteiro_networks::poll::plan::PAGES_TOGETHER;
use carteiro_networks::poll::settings::NetworkSettings;
use futures_util::stream::{self, StreamExt};

use crate::Collect;
use crate::apps::Apps;
use page::PagePoll;
pub(crate) use subscribe::Pushes;

/// The tables, the queue, the client and the settings of polling.
pub(crate) struct Polls {
    /// Tokens, schedules, checkpoints, limits.
    pub(crate) tables: PageTables,
    pub(crate) queue: PollQueue,
    pub(crate) client: NetworkClient,
    pub(crate) settings: NetworkSettings,
    pub(crate) apps: Apps,
    pub(crate) pushes: Pushes,
    /// The time between two ticks.
    pub(crate) tick: Duration,
}

/// Does what a message says. Errors are logged.
pub(crate) async fn poll(collect: &Collect, poll: Poll, clock: InvocationClock) {
    if let Poll::Plan { at, .. } | Poll::Pages { at, .. } = &poll
        && page_poll::is_stale(*at, collect.polls.tick, clock.now())
    {
        tracing::warn!(planned_at = at.to_string(), "poll.too_late");
        return;
    }
    match poll {
        Poll::Plan { shard, at, now } => {
            if let Err(error) = plan::shard(collect, shard, at, now, clock).await {
                tracing::error!(shard, error = error.chain(), "poll.not_planned");
            }
        }
        Poll::Pages { at, now, pages } => {
            let trigger = if now { PollTrigger::Now(at) } else { PollTrigger::Planned(at) };
            // All of a message at once: they wait for the networks, and the waiting is paid once.
            let polls = stream::iter(&pages).map(|due| PagePoll::poll(collect, due, trigger, clock));
            let polled: Vec<_> = polls.buffer_unordered(PAGES_TOGETHER).collect().await;
            note_polled(&polled);
        }
        Poll::Check { page, network, account } => {
            let millionths = match plan::millionths(collect, network, &account).await {
                Ok(millionths) => millionths,
                Err(error) => {
                    tracing::error!(page = page.as_str(), error = error.chain(), "poll.failed");
                    return;
                }
            };
            let calls = network.spec().least_calls.min(collect.polls.settings.calls);
            let due = DuePage { page, network, every: None, calls, sweeps: None, millionths };
            note_polled(&[PagePoll::poll(collect, &due, PollTrigger::OutOfTurn, clock).await]);
        }
    }
}

/// Logs a message's polls in one line. Those that found something, or went wrong, have one each besides.
fn note_polled(polled: &[Option<LastTick>]) {
    let done = || polled.iter().flatten();
    let quiet = done().filter(|last| page::is_quiet(last.result, last.new)).count();
    let calls = done().map(|last| u64::from(last.calls)).sum::<u64>();
    tracing::info!(pages = polled.len(), polled = done().count(), quiet, calls, "poll.pages_asked");
}
