//! Replays: dead items are made to wait for their release, in the order of their acceptance
//! ([`carteiro_adapters::tables::waiting::replay`]).
//!
//! One worker at a time has a replay, by a lease that it renews with every transaction. When its time is over, or where
//! it fails, it gives the replay back as it is; a tick that ran meanwhile has planned a successor for the end of its
//! time, also where it died. While the tables are throttled it takes less at once, and waits.
//!
//! Guaranteed: an item is either in the dead or in the held table, whatever dies. Items that were taken have a release
//! before the replay is said to have taken all, and before a worker that did not die leaves it. A replay sends the
//! release of the items that it took, and no other work.

use std::collections::HashSet;
use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::work::Work;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::waiting::dead::DeadRow;
use carteiro_adapters::tables::waiting::held_item::HeldPlace;
use carteiro_adapters::tables::waiting::keys::ReleaseKey;
use carteiro_adapters::tables::waiting::keys::ReplayKey;
use carteiro_adapters::tables::waiting::replay::{ReplayClaim, RunningReplay, Take};
use carteiro_core::replay::{Counts, MAX_TAKEN, MAX_TAKEN_BYTES, Pace};
use carteiro_core::retention::after;
use carteiro_core::webhook::Webhook;

use crate::context::{Collect, CollectError, Progress};

/// How long a worker has a replay without renewing its lease: longer than a transaction and its repeats take.
const LEASE: Duration = Duration::from_secs(60);

/// Items are taken only with this much time left.
const STEP_TIME: Duration = Duration::from_secs(20);

/// How often the held rows of a single item are looked at, until none is left to take.
const HELD_TRIES: u32 = 20;

/// Moves a replay on, as far as the time allows.
pub(crate) async fn replay(
    collect: &Collect,
    key: ReplayKey,
    clock: InvocationClock,
) -> Result<Progress, CollectError> {
    let now = clock.now();
    let claim = collect.held.replays.claim(&key, now, after(now, LEASE), after(now, clock.left())).await;
    let running = match claim {
        Ok(ReplayClaim::Claimed(running)) => running,
        Ok(ReplayClaim::Taken | ReplayClaim::Over) => return Ok(Progress::Done),
        // It would be in the way of others of its type for ever.
        Err(error @ AdapterError::Malformed { .. }) => {
            if collect.held.abandon_replay(&key, now).await? {
                let (webhook, replay) = (key.webhook.as_str(), key.replay.as_str());
                tracing::error!(webhook, replay, error = error.chain(), "replay.abandoned");
            }
            return Ok(Progress::Done);
        }
        Err(error) => return Err(error.into()),
    };
    let mut worker = Worker { collect, clock, running: *running, pace: Pace::default(), found_held: false };
    match worker.go_on().await {
        Ok(Taking::Over) => worker.end().await,
        Ok(Taking::Paused) => worker.give_back().await,
        Ok(Taking::NotOurs) => Ok(Progress::Done),
        Err(error) => {
            // Items that were taken may not wait for the next worker, and the latest transaction may have been made.
            worker.give_back().await?;
            Err(error)
        }
    }
}

/// A worker on a replay.
struct Worker<'a> {
    collect: &'a Collect,
    clock: InvocationClock,
    running: RunningReplay,
    pace: Pace,
    /// Whether the single item was found among the held ones, whose release is due now.
    found_held: bool,
}

/// How far a worker came in taking items.
enum Taking {
    /// All items that were found were taken.
    Over,
    /// Items are left, and the time is over.
    Paused,
    /// Another worker has the replay, or its webhook was deleted.
    NotOurs,
}

impl Worker<'_> {
    fn is_late(&self) -> bool {
        self.clock.left() < STEP_TIME
    }

    async fn go_on(&mut self) -> Result<Taking, CollectError> {
        let Self { collect, running, .. } = self;
        let webhook =
            collect.config.find_webhook(&running.replay.account, &running.replay.key.webhook).await?;
        let Some(webhook) = webhook else {
            collect.held.replays.forget(&running.replay).await?;
            return Ok(Taking::NotOurs);
        };
        // An earlier worker may have died after it took items and before it planned their release.
        if running.counts.taken > 0 {
            release(collect, running, self.clock).await?;
        }
        match self.take_dead(&webhook).await? {
            Taking::Over => self.take_held().await,
            other => Ok(other),
        }
    }

    /// Takes the single item where it is held. A row that waits for its release, is being moved, or belongs to another
    /// replay is found and not taken: it goes on as it is, with the release that is due now.
    async fn take_held(&mut self) -> Result<Taking, CollectError> {
        let mut passed = None;
        for _ in 0..HELD_TRIES {
            let now = self.clock.now();
            let found = self.collect.held.items.of_replay(&self.running.replay).await?;
            self.found_held |= !found.is_empty();
            let is_passed = |row: &HeldPlace| !row.waits_for_its_time(now);
            let left =
                *passed.get_or_insert_with(|| found.iter().filter(|row| is_passed(row)).count() as u64);
            let Some(place) = found.last().map(|row| row.place().to_owned()) else { return Ok(Taking::Over) };
            let mut rows: Vec<_> = found.into_iter().filter(|row| !is_passed(row)).collect();
            rows.truncate(MAX_TAKEN);
            if rows.is_empty() && left == 0 {
                return Ok(Taking::Over);
            }
            let times = (now, after(now, LEASE), self.collect.retention.held_row_expires(now));
            match self.collect.held.replays.take_held(&self.running, &rows, (&place, left), times).await? {
                Take::Taken(ours) => {
                    self.running = *ours;
                    passed = Some(0);
                }
                Take::NotOurs => return Ok(Taking::NotOurs),
                // It was moved, or held anew, since it was read.
                Take::Refused(_) => passed = None,
                Take::Throttled => self.wait(Pace::throttled).await?,
                Take::InTheWay => self.wait(Pace::in_the_way).await?,
            }
            if self.is_late() {
                break;
            }
        }
        Ok(Taking::Paused)
    }

    async fn take_dead(&mut self, webhook: &Webhook) -> Result<Taking, CollectError> {
        let mut rows = self.collect.dead.of_replay(&self.running.replay, self.running.place.as_deref());
        loop {
            let (limits, now) = ((MAX_TAKEN, MAX_TAKEN_BYTES), self.clock.now());
            let part = self.collect.dead.next_part(&mut rows, &self.running.replay, limits, now).await?;
            for (place, error) in &part.unreadable {
                let (webhook, error) = (self.running.replay.key.webhook.as_str(), error.chain());
                tracing::error!(webhook, place, error, "replay.row_unreadable");
            }
            let is_last = part.is_last;
            if let Some(place) = part.place {
                // An item that the webhook does not take would be dropped on its way: it stays among the dead.
                let is_accepted =
                    |row: &DeadRow| webhook.takes(&row.delivery.item_type, &row.delivery.source);
                let rows = part.rows.into_iter().filter(is_accepted).collect();
                match self.take_part(rows, &place).await? {
                    Taking::Over => {}
                    other => return Ok(other),
                }
            }
            if is_last {
                return Ok(Taking::Over);
            }
            if self.is_late() {
                return Ok(Taking::Paused);
            }
        }
    }

    /// Takes dead items, all at once or in smaller parts, and notes that they were looked at up to `end`.
    async fn take_part(&mut self, mut rows: Vec<DeadRow>, end: &str) -> Result<Taking, CollectError> {
        let mut passed = 0;
        loop {
            let count = rows.len().min(self.pace.most);
            let is_rest = count == rows.len();
            let place = if is_rest { end } else { rows[count - 1].place() };
            let now = self.clock.now();
            let times = (now, after(now, LEASE), self.collect.retention.held_row_expires(now));
            let Collect { held, dead, .. } = self.collect;
            match held.replays.take_dead(&self.running, dead, &rows[..count], (place, passed), times).await? {
                Take::Taken(ours) => {
                    self.running = *ours;
                    self.pace.taken();
                    if is_rest {
                        return Ok(Taking::Over);
                    }
                    rows.drain(..count);
                    passed = 0;
                }
                Take::NotOurs => return Ok(Taking::NotOurs),
                Take::Refused(refused) => {
                    passed += refused.len() as u64;
                    rows = without(rows, &refused);
                }
                Take::Throttled => self.wait(Pace::throttled).await?,
                Take::InTheWay => self.wait(Pace::in_the_way).await?,
            }
            if self.is_late() {
                return Ok(Taking::Paused);
            }
        }
    }

    async fn wait(&mut self, slower: fn(&mut Pace)) -> Result<(), AdapterError> {
        tokio::time::sleep(random::jittered(self.pace.pause)?).await;
        slower(&mut self.pace);
        Ok(())
    }

    /// Plans the release, and gives the replay back: the next tick finds it.
    async fn give_back(&self) -> Result<Progress, CollectError> {
        release(self.collect, &self.running, self.clock).await?;
        self.collect.held.replays.return_to_index(&self.running, self.clock.now()).await?;
        Ok(Progress::Done)
    }

    async fn end(&self) -> Result<Progress, CollectError> {
        if self.running.counts.taken > 0 || self.found_held {
            release(self.collect, &self.running, self.clock).await?;
        }
        if self.collect.held.replays.end(&self.running, self.clock.now()).await? {
            let Counts { found, taken, .. } = self.running.counts;
            let ReplayKey { webhook, replay } = &self.running.replay.key;
            let (webhook, replay) = (webhook.as_str(), replay.as_str());
            tracing::info!(webhook, replay, found, taken, "replay.taken");
        }
        Ok(Progress::Done)
    }
}

fn without(rows: Vec<DeadRow>, refused: &[usize]) -> Vec<DeadRow> {
    let refused: HashSet<_> = refused.iter().collect();
    rows.into_iter().enumerate().filter(|(index, _)| !refused.contains(index)).map(|(_, row)| row).collect()
}

/// Makes sure that the items that were taken are released now.
async fn release(
    collect: &Collect,
    running: &RunningReplay,
    clock: InvocationClock,
) -> Result<(), CollectError> {
    let (webhook, item_type) = (running.replay.key.webhook.clone(), running.replay.item_type.clone());
    let key = ReleaseKey { webhook: webhook.clone(), item_type: item_type.clone() };
    let work = Work::release(running.replay.account.clone(), webhook, item_type);
    if !collect.held.releases.plan(&key, &running.replay.account, clock.now()).await? {
        // The one who planned it has sent it as work.
        return Ok(());
    }
    if let Err(error) = collect.work.send(&[(work, Duration::ZERO)]).await {
        // The next tick finds it due.
        tracing::warn!(webhook = key.webhook.as_str(), error = error.chain(), "replay.release_not_hastened");
    }
    Ok(())
}
