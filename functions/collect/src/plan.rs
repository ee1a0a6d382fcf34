//! The tick: plans everything that comes due before the next one.

use std::time::Duration;

use carteiro_adapters::clock::InvocationClock;
use carteiro_adapters::held_table::DUE_SHARDS;
use carteiro_adapters::inbox_table::READY_SHARDS;
use carteiro_adapters::streak_table::{self, StreakKey};
use carteiro_adapters::tick_table::SlotClaim;
use carteiro_adapters::work_queue::Work;
use carteiro_core::retention::after;
use carteiro_core::slot::Slot;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Collect, CollectError};

/// How long a tick may take to plan before another may take its slot over: longer than the function runs.
const LEASE: Duration = Duration::from_secs(900);

/// How many streaks of a shard are told of in a tick.
const TOLD_AT_MOST: u16 = 500;

/// How many shards are looked at at once.
const CONCURRENT_LOOKS: usize = 8;

/// What wakes a tick. The schedule names the slot's time; without one the tick plans now, whatever was planned.
#[derive(Debug, Deserialize)]
pub(crate) struct Tick {
    scheduled_at: Option<Timestamp>,
}

/// What a tick planned, as its answer and in the log.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Planned {
    /// False where the slot was planned before.
    planned: bool,
    /// Shards of held items in which something comes due.
    due_shards: usize,
    /// Shards of the inbox in which something is ready to be handed on.
    ready_shards: usize,
    /// Streaks of which something is to be told.
    notices: usize,
    /// Whether there are dead letters to bring in.
    dead_letters: bool,
}

/// Plans.
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
            // Not a success: should the other one have died, the platform's repeat of this one is what plans.
            SlotClaim::BeingPlanned => return Err(CollectError::BeingPlanned),
        }
    }
    let planned = plan(collect, now).await?;
    if let Some(slot) = slot {
        collect.ticks.complete(slot, now).await?;
    }
    let Planned { due_shards, ready_shards, notices, dead_letters, .. } = planned;
    tracing::info!(due_shards, ready_shards, notices, dead_letters, "tick.planned");
    Ok(planned)
}

async fn plan(collect: &Collect, now: Timestamp) -> Result<Planned, CollectError> {
    let until = after(now, Duration::from_secs(u64::from(collect.minutes) * 60));
    let looks = stream::iter(0..DUE_SHARDS).map(|shard| async move {
        let (first, _) = collect.held.due(shard, until, 1, None).await?;
        Ok::<_, CollectError>((!first.is_empty()).then_some(Work::MoveDue { shard, until }))
    });
    let found: Vec<_> = looks.buffer_unordered(CONCURRENT_LOOKS).try_collect().await?;
    let mut work: Vec<_> = found.into_iter().flatten().map(|work| (work, Duration::ZERO)).collect();
    let due_shards = work.len();
    let looks = stream::iter(0..READY_SHARDS).map(|shard| async move {
        let (first, _) = collect.hand_on.inbox.ready(shard, 1, None).await?;
        Ok::<_, CollectError>((!first.is_empty()).then_some(Work::HandOn { shard }))
    });
    let ready: Vec<_> = looks.buffer_unordered(CONCURRENT_LOOKS).try_collect().await?;
    work.extend(ready.into_iter().flatten().map(|work| (work, Duration::ZERO)));
    let ready_shards = work.len() - due_shards;
    let to_tell = to_tell(collect, now, until).await?;
    let notices = to_tell.len();
    work.extend(to_tell);
    let dead_letters = collect.dead_letters.depth().await? > 0;
    work.extend(dead_letters.then_some((Work::BuryDeadLetters, Duration::ZERO)));
    collect.work.send(&work).await?;
    Ok(Planned { planned: true, due_shards, ready_shards, notices, dead_letters })
}

/// What is to be told until then, each at its time. What there is no room for is left to the next tick.
async fn to_tell(
    collect: &Collect,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<(Work, Duration)>, CollectError> {
    let shards = 0..streak_table::DUE_SHARDS;
    let looks = stream::iter(shards).map(|shard| collect.streaks.due(shard, until, TOLD_AT_MOST));
    let found: Vec<_> = looks.buffer_unordered(CONCURRENT_LOOKS).try_collect().await?;
    let work = |(key, due_at): (StreakKey, Timestamp)| {
        let StreakKey { account, webhook, revision, item_type } = key;
        let delay = Duration::try_from(due_at.duration_since(now)).unwrap_or_default();
        (Work::Tell { account, webhook, revision, item_type }, delay)
    };
    Ok(found.into_iter().flatten().map(work).collect())
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
