//! Replays: dead items are made to wait for their release, in the order of their acceptance
//! ([`carteiro_adapters::replay_row`]).
//!
//! One worker at a time has a replay, by a lease that it renews with every transaction. When its time is over it gives
//! the replay back as it is, and a tick that ran meanwhile has planned a successor for that moment; so it has for a
//! worker that died.
//!
//! Guaranteed: an item is in the dead or in the held table, in one of them, whatever dies; what was taken has a release
//! before the replay is said to have taken all. A replay sends the release of what it took, and no other work.

use std::collections::HashSet;
use std::time::Duration;

use carteiro_adapters::clock::InvocationClock;
use carteiro_adapters::dead_table::{DeadRow, DeadRows};
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::release_row::ReleaseKey;
use carteiro_adapters::replay_row::{ReplayClaim, ReplayKey, RunningReplay, Take};
use carteiro_adapters::work_queue::Work;
use carteiro_core::delivery::Delivery;
use carteiro_core::replay::{Counts, MAX_TAKEN, MAX_TAKEN_BYTES};
use carteiro_core::retention::after;

use crate::{Collect, CollectError, Progress};

/// How long a worker has a replay without renewing it: longer than a transaction and its repeats take.
const LEASE: Duration = Duration::from_secs(60);

/// Items are taken only with this much time left.
const STEP_TIME: Duration = Duration::from_secs(20);

/// How often a transaction is tried without those items that cannot be taken.
const TRIES: usize = 5;

/// Moves a replay on, as far as the time allows.
pub(crate) async fn replay(
    collect: &Collect,
    key: ReplayKey,
    clock: InvocationClock,
) -> Result<Progress, CollectError> {
    let now = clock.now();
    let claim = collect.held.claim_replay(&key, now, after(now, LEASE), after(now, clock.left())).await?;
    let ReplayClaim::Claimed(mut running) = claim else { return Ok(Progress::Done) };
    if collect.config.find_webhook(&running.replay.account, &key.webhook).await?.is_none() {
        collect.held.drop_replay(&running.replay).await?;
        return Ok(Progress::Done);
    }
    let mut rows = collect.dead.of_replay(&running.replay, running.place.as_deref());
    loop {
        let is_over = match take_some(collect, &running, &mut rows, clock).await? {
            Some((ours, is_last)) => {
                running = ours;
                is_last
            }
            None => return Ok(Progress::Done),
        };
        if is_over || clock.left() < STEP_TIME {
            release(collect, &running, clock).await?;
            return end(collect, &running, is_over, clock).await;
        }
    }
}

/// Takes the next dead items, and says whether they were the last. None where the replay is not ours any more.
async fn take_some(
    collect: &Collect,
    running: &RunningReplay,
    rows: &mut DeadRows,
    clock: InvocationClock,
) -> Result<Option<(Box<RunningReplay>, bool)>, CollectError> {
    const OPERATION: &str = "taking dead items";
    let now = clock.now();
    let part = collect.dead.next_part(rows, &running.replay, (MAX_TAKEN, MAX_TAKEN_BYTES), now).await?;
    let Some(place) = &part.place else { return Ok(Some((Box::new(running.clone()), part.is_last))) };
    let (mut wanted, mut passed) = (part.rows, 0);
    for _ in 0..TRIES {
        let times = (clock.now(), after(clock.now(), LEASE), collect.retention.held_row_expires(clock.now()));
        let take = collect.held.take_dead(running, &collect.dead, &wanted, (place, passed), times).await?;
        match take {
            Take::Taken(ours) => return Ok(Some((ours, part.is_last))),
            Take::NotOurs => return Ok(None),
            Take::Refused(refused) => {
                passed += refused.len() as u64;
                wanted = without(wanted, &refused);
            }
        }
    }
    Err(AdapterError::contended(OPERATION).into())
}

fn without(rows: Vec<DeadRow>, refused: &[usize]) -> Vec<DeadRow> {
    let refused: HashSet<_> = refused.iter().collect();
    rows.into_iter().enumerate().filter(|(index, _)| !refused.contains(index)).map(|(_, row)| row).collect()
}

/// Sees to it that what was taken is released, now.
async fn release(
    collect: &Collect,
    running: &RunningReplay,
    clock: InvocationClock,
) -> Result<(), CollectError> {
    if running.counts.taken == 0 {
        return Ok(());
    }
    let (webhook, item_type) = (running.replay.key.webhook.clone(), running.replay.item_type.clone());
    let key = ReleaseKey { webhook: webhook.clone(), item_type: item_type.clone() };
    collect.held.await_release(&key, &running.replay.account, clock.now()).await?;
    if let Err(error) = collect.work.send(&[(Work::Release { webhook, item_type }, Duration::ZERO)]).await {
        // The next tick finds it due.
        tracing::warn!(webhook = key.webhook.as_str(), error = error.chain(), "replay.release_not_hastened");
    }
    Ok(())
}

async fn end(
    collect: &Collect,
    running: &RunningReplay,
    is_over: bool,
    clock: InvocationClock,
) -> Result<Progress, CollectError> {
    if !is_over {
        collect.held.give_back_replay(running, clock.now()).await?;
        return Ok(Progress::Done);
    }
    if collect.held.end_replay(running, clock.now()).await? {
        let Counts { found, taken, .. } = running.counts;
        let (webhook, replay) = (running.replay.key.webhook.as_str(), running.replay.key.replay.as_str());
        tracing::info!(webhook, replay, found, taken, "replay.taken");
    }
    Ok(Progress::Done)
}

/// Counts a replayed item that died again. One that is not counted is missing in what the owner reads.
pub(crate) async fn count_dead(collect: &Collect, delivery: &Delivery, clock: InvocationClock) {
    let Some(replayed) = &delivery.replayed else { return };
    let key = ReplayKey { webhook: delivery.webhook.clone(), replay: replayed.replay.clone() };
    let (one, now) = (Counts { dead: 1, ..Counts::default() }, clock.now());
    let counting = collect.held.count_of_replay(&key, one, now, collect.retention.replay_expires(now));
    if counting.await.is_err() {
        tracing::warn!(webhook = key.webhook.as_str(), replay = key.replay.as_str(), "replay.not_counted");
    }
}
