//! The tick: plans everything that comes due before the next one.
//!
//! Each part is planned by itself, and its findings are sent even where other parts failed: a table that throttles
//! stops its own part and nothing else. Where a part failed the tick fails in the end, so that its slot is not planned
//! and the platform's repeat, or the next tick, finds the rest. Work that was sent twice is done once, because it goes
//! by the rows that are there.

use std::time::Duration;

use carteiro_adapters::error::{AdapterError, chain};
use carteiro_adapters::queues::poll::Poll;
use carteiro_adapters::queues::work::Work;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::inbox::READY_SHARDS;
use carteiro_adapters::tables::poll;
use carteiro_adapters::tables::streak::{self, StreakKey};
use carteiro_adapters::tables::tick::SlotClaim;
use carteiro_adapters::tables::waiting::keys::DUE_SHARDS;
use carteiro_core::retention::after;
use carteiro_core::slot::Slot;
use futures_util::stream::{self, Stream, StreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::context::{Collect, CollectError};

/// How long a tick may take to plan before another may take its slot over: longer than the function runs.
const LEASE: Duration = Duration::from_secs(900);

/// How many streaks of a shard have their notices sent by one tick, at most.
const MAX_NOTICES: u16 = 500;

/// How many shards are read at once.
const CONCURRENT_LOOKS: usize = 8;

/// A tick's event. The schedule names the slot's time; without one the tick plans now, whatever was planned.
#[derive(Debug, Deserialize)]
pub(crate) struct Tick {
    scheduled_at: Option<Timestamp>,
}

/// A tick's plan, as its answer and in the log.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Planned {
    /// False where the slot was planned before.
    planned: bool,
    /// Shards of held items with rows that come due.
    due_shards: usize,
    /// Shards of the inbox with ready entries.
    ready_shards: usize,
    /// Streaks with pending notices.
    notices: usize,
    /// Whether there are dead letters to bring in.
    dead_letters: bool,
    /// Shards of schedules with pages to poll.
    page_shards: usize,
}

/// Runs a tick: claims its slot, plans everything that comes due before the next one, and completes the slot.
pub(crate) async fn tick(
    collect: &Collect,
    tick: &Tick,
    invocation: &str,
    clock: InvocationClock,
) -> Result<Planned, CollectError> {
    let now = clock.now();
    let slot = tick.scheduled_at.map(|at| Slot::containing(at, collect.minutes));
    if let Some(slot) = slot {
        match collect.ticks.claim(slot, invocation, now, after(now, LEASE)).await? {
            SlotClaim::Claimed => {}
            SlotClaim::Planned => return Ok(Planned::default()),
            // Not a success: if the other invocation died, the platform's repeat of this one plans.
            SlotClaim::BeingPlanned => return Err(CollectError::BeingPlanned),
        }
    }
    let planned = plan(collect, tick.scheduled_at, now).await?;
    if let Some(slot) = slot {
        collect.ticks.complete(slot, now).await?;
    }
    let Planned { due_shards, ready_shards, notices, dead_letters, page_shards, .. } = planned;
    tracing::info!(due_shards, ready_shards, notices, dead_letters, page_shards, "tick.planned");
    Ok(planned)
}

async fn plan(
    collect: &Collect,
    scheduled_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Planned, CollectError> {
    let until = after(now, Duration::from_secs(u64::from(collect.minutes) * 60));
    let due = stream::iter(0..DUE_SHARDS).map(|shard| async move {
        let (first, _) = collect.held.items.due(shard, until, 1, None).await?;
        Ok(at_once((!first.is_empty()).then_some(Work::MoveDue { shard, until })))
    });
    let ready = stream::iter(0..READY_SHARDS).map(|shard| async move {
        let (first, _) = collect.dispatcher.inbox.ready(shard, 1, None).await?;
        Ok(at_once((!first.is_empty()).then_some(Work::Dispatch { shard })))
    });
    // The next tick finds those that there is no room for.
    let notices = stream::iter(0..streak::DUE_SHARDS).map(|shard| async move {
        let found = collect.streaks.due(shard, until, MAX_NOTICES).await?;
        Ok(found.into_iter().map(|found| notice(found, now)).collect())
    });
    let dead = stream::iter([()]).map(|()| async move {
        let depth = collect.dead_letters.depth().await?;
        Ok(at_once((depth > 0).then_some(Work::BuryDeadLetters)))
    });
    let pages = stream::iter(0..poll::SHARDS).map(|shard| async move {
        // A first row that cannot be read is left out of the answer; there may be others.
        let (first, more) = collect.polls.tables.polls.schedules_of(shard, Some(1), None).await?;
        let is_empty = first.is_empty() && more.is_none();
        let poll = Poll::Plan { shard, at: scheduled_at.unwrap_or(now), now: scheduled_at.is_none() };
        Ok(Vec::from_iter((!is_empty).then_some(poll)))
    });
    let due = part("held", due).await;
    let ready = part("inbox", ready).await;
    let notices = part("notices", notices).await;
    let dead = part("dead_letters", dead).await;
    let pages = part("pages", pages).await;
    let planned = Planned {
        planned: true,
        due_shards: due.work.len(),
        ready_shards: ready.work.len(),
        notices: notices.work.len(),
        dead_letters: !dead.work.is_empty(),
        page_shards: pages.work.len(),
    };
    let parts = [due, ready, notices, dead];
    let is_complete = pages.is_complete && parts.iter().all(|part| part.is_complete);
    let work: Vec<_> = parts.into_iter().flat_map(|part| part.work).collect();
    collect.work.send(&work).await?;
    collect.polls.queue.send(&pages.work).await?;
    if is_complete { Ok(planned) } else { Err(CollectError::PlannedInPart) }
}

/// Work, each piece with its delay.
type Planning = Vec<(Work, Duration)>;

fn at_once(work: Option<Work>) -> Planning {
    work.into_iter().map(|work| (work, Duration::ZERO)).collect()
}

/// The work of sending a streak's notices, at their time.
fn notice((key, due_at): (StreakKey, Timestamp), now: Timestamp) -> (Work, Duration) {
    let StreakKey { account, webhook, revision, item_type } = key;
    let delay = Duration::try_from(due_at.duration_since(now)).unwrap_or_default();
    (Work::Notify { account, webhook, revision, item_type }, delay)
}

/// A part of the plan.
struct Part<W> {
    work: Vec<W>,
    /// False where a look failed. The cause was logged.
    is_complete: bool,
}

/// Plans one part from its looks at the tables. A failed look does not stop the others.
async fn part<L, W>(name: &'static str, looks: impl Stream<Item = L>) -> Part<W>
where
    L: Future<Output = Result<Vec<W>, AdapterError>>,
{
    let (mut work, mut failed) = (Vec::new(), None);
    let mut looks = std::pin::pin!(looks.buffer_unordered(CONCURRENT_LOOKS));
    while let Some(look) = looks.next().await {
        match look {
            Ok(found) => work.extend(found),
            Err(error) => failed = Some(error),
        }
    }
    if let Some(error) = &failed {
        tracing::error!(part = name, error = chain(error), "tick.part_not_planned");
    }
    Part { work, is_complete: failed.is_none() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_names_its_slot_or_plans_now() {
        let scheduled: Tick = serde_json::from_str(r#"{"scheduled_at":"2026-11-21T21:30:00Z"}"#).unwrap();
        assert_eq!(scheduled.scheduled_at, Some("2026-11-21T21:30:00Z".parse().unwrap()));
        assert!(serde_json::from_str::<Tick>("{}").unwrap().scheduled_at.is_none());
        assert!(serde_json::from_str::<Tick>(r#"{"scheduled_at":"soon"}"#).is_err());
    }
}
