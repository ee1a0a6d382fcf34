//! Asking networks about pages.
//!
//! A tick sends a message for each shard of the schedules; that *plans* ([`plan`]) and sends a message for each few pages
//! that are due, accounts in turns; that asks about each of them ([`page`]), several at once. A page is asked about by
//! whoever has its lease, within the network's limits and its own share of calls and of time.
//!
//! Guaranteed: what an answer has in it is in the inbox before the next thing is asked, and a checkpoint names only what
//! is there; so a crash, a limit or a dead token repeats calls, and skips nothing. What is new is handed on at once;
//! what that leaves, the next tick hands on. The window that remains is the inbox's own: who dies between sending and
//! marking leaves an entry to be sent again, under the same id.
//!
//! No message comes back to its queue: what could not be done is still due, and the next tick plans it.

mod bring_in;
mod complete;
mod drive;
mod inspect;
mod networks;
mod page;
mod plan;
mod renew;

use std::time::Duration;

use carteiro_adapters::clock::InvocationClock;
use carteiro_adapters::config_pages::PageTables;
use carteiro_adapters::network_client::NetworkClient;
use carteiro_adapters::poll_queue::{DuePage, Poll, PollQueue};
use carteiro_adapters::poll_table::Turn;
use carteiro_core::retention::after;
use carteiro_networks::poll::settings::NetworkSettings;
use futures_util::stream::{self, StreamExt};

use crate::Collect;
use crate::apps::Apps;
use page::PagePoll;

/// How many pages an invocation asks about at once. Networks keep it waiting, not the processor.
const PAGES_AT_ONCE: usize = 10;

/// What networks are asked with.
pub(crate) struct Polls {
    /// Tokens, schedules, checkpoints, limits.
    pub(crate) tables: PageTables,
    pub(crate) queue: PollQueue,
    pub(crate) client: NetworkClient,
    pub(crate) settings: NetworkSettings,
    pub(crate) apps: Apps,
    /// The time between two ticks.
    pub(crate) tick: Duration,
}

/// How old a plan may be that is carried out; not less than a tick. What is older was planned anew, and would only
/// delay that.
const FRESH: Duration = Duration::from_secs(15 * 60);

/// Does what a message says. What fails is logged.
pub(crate) async fn poll(collect: &Collect, poll: Poll, clock: InvocationClock) {
    if let Poll::Plan { at, .. } | Poll::Pages { at, .. } = &poll
        && after(*at, FRESH.max(collect.polls.tick)) < clock.now()
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
            let turn = if now { Turn::Now(at) } else { Turn::Planned(at) };
            let requested = stream::iter(&pages).map(|due| PagePoll::about(collect, due, turn, clock));
            requested.buffer_unordered(PAGES_AT_ONCE).collect::<()>().await;
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
            PagePoll::about(collect, &due, Turn::OutOfTurn, clock).await;
        }
    }
}
