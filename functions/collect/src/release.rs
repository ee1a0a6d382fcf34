//! Releasing what is held for a webhook and type, step by step ([`carteiro_core::release`]).
//!
//! One worker at a time has a release, by a lease that it renews as it goes. It sends a step, waits until all of it
//! has finished, and goes on with a larger one. When its time is over it gives the release back as it is, and the next
//! tick goes on.

use std::time::Duration;

use carteiro_adapters::clock::InvocationClock;
use carteiro_adapters::deliver_queue::Outgoing;
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::random;
use carteiro_adapters::release_row::{Progress as StepProgress, Release, ReleaseClaim, ReleaseKey};
use carteiro_adapters::streak_table::StreakKey;
use carteiro_core::delivery::Delivery;
use carteiro_core::release::{FIRST_STEP, MAX_STEP_BYTES, StepTag, grown};
use carteiro_core::retention::after;
use carteiro_core::settlement::{DISABLED_WAIT, DeathCause};
use carteiro_core::streak::{Phase, State};
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::{Collect, CollectError, Progress};

/// How long a worker has a release without renewing it.
const LEASE: Duration = Duration::from_secs(90);

/// How often a worker looks whether its step has finished.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How long a step is waited for: longer than an attempt and two turns of its message through the queue.
const STEP_LIMIT: Duration = Duration::from_secs(600);

/// A step begins only with this much time left.
const STEP_TIME: Duration = Duration::from_secs(20);

/// How many rows are deleted at once.
const CONCURRENT_ROWS: usize = 16;

/// Whether a webhook may have its items.
enum Gate {
    /// It may. `revision` is its own.
    Open { revision: u64 },
    /// Not before then.
    ShutUntil(Timestamp),
    /// It was deleted: they are dropped.
    Deleted,
}

/// Moves a release on, as far as the time allows.
pub(crate) async fn release(
    collect: &Collect,
    key: ReleaseKey,
    clock: InvocationClock,
) -> Result<Progress, CollectError> {
    let now = clock.now();
    let claimed = collect.held.claim_release(&key, now, after(now, LEASE)).await?;
    let ReleaseClaim::Claimed(mut release) = claimed else { return Ok(Progress::Done) };
    let (mut steps, mut items) = (0_u32, 0_usize);
    loop {
        // A step that another worker sent, or this one.
        match finished_step(collect, release, clock).await? {
            Step::Finished(ours) => release = ours,
            Step::Over => return Ok(Progress::Done),
        }
        let size = match release.step {
            None => FIRST_STEP,
            Some(StepProgress { failed: 0, size, .. }) => grown(size),
            Some(StepProgress { failed, .. }) => {
                tracing::info!(
                    webhook = release.key.webhook.as_str(),
                    steps,
                    items,
                    failed,
                    "release.step_failed"
                );
                collect.held.postpone_release(&release, next_tick(collect, clock), false).await?;
                return Ok(Progress::Done);
            }
        };
        let oldest = bury_expired(collect, &release.key, clock).await?;
        let sent = match gate(collect, &release, clock.now()).await? {
            Gate::Open { revision } => send_step(collect, &release, revision, size, clock).await?,
            Gate::ShutUntil(_) if oldest.is_none() => 0,
            Gate::ShutUntil(until) => {
                // No later than the oldest item's retention ends.
                let until = oldest.map_or(until, |end| until.min(end));
                collect.held.postpone_release(&release, until, false).await?;
                return Ok(Progress::Done);
            }
            Gate::Deleted => drop_step(collect, &release, size).await?,
        };
        if sent == 0 && collect.held.end_release(&release).await? {
            tracing::info!(webhook = release.key.webhook.as_str(), steps, items, "release.ended");
            return Ok(Progress::Done);
        }
        (steps, items) = (steps + 1, items + sent);
        if clock.left() < STEP_TIME {
            collect.held.postpone_release(&release, clock.now(), true).await?;
            return Ok(Progress::Done);
        }
        let now = clock.now();
        match collect.held.renew_release(&release, after(now, LEASE)).await? {
            ReleaseClaim::Claimed(ours) => release = ours,
            ReleaseClaim::NotOurs => return Ok(Progress::Done),
        }
    }
}

fn next_tick(collect: &Collect, clock: InvocationClock) -> Timestamp {
    after(clock.now(), Duration::from_secs(u64::from(collect.minutes) * 60))
}

/// How waiting for a step ended.
enum Step {
    /// All of it has finished.
    Finished(Release),
    /// The time is over, or the release is somebody else's.
    Over,
}

async fn finished_step(
    collect: &Collect,
    mut release: Release,
    clock: InvocationClock,
) -> Result<Step, CollectError> {
    while let Some(step) = release.step.filter(|step| step.left > 0) {
        if clock.now() >= after(step.began_at, STEP_LIMIT) {
            // Some of it was not counted, or comes back late. It begins again with a first step, at the next tick.
            tracing::warn!(
                webhook = release.key.webhook.as_str(),
                left = step.left,
                "release.step_not_finished"
            );
            collect.held.postpone_release(&release, next_tick(collect, clock), false).await?;
            return Ok(Step::Over);
        }
        if clock.left() < STEP_TIME {
            collect.held.postpone_release(&release, clock.now(), true).await?;
            return Ok(Step::Over);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        let now = clock.now();
        let looked = if after(now, LEASE / 2) < release.lease {
            collect.held.look_at_release(&release).await?
        } else {
            collect.held.renew_release(&release, after(now, LEASE)).await?
        };
        match looked {
            ReleaseClaim::Claimed(ours) => release = ours,
            ReleaseClaim::NotOurs => return Ok(Step::Over),
        }
    }
    Ok(Step::Finished(release))
}

async fn gate(collect: &Collect, release: &Release, now: Timestamp) -> Result<Gate, CollectError> {
    let webhook = collect.config.find_webhook(&release.account, &release.key.webhook).await?;
    let Some(webhook) = webhook else { return Ok(Gate::Deleted) };
    if webhook.disabled_by.is_some() {
        return Ok(Gate::ShutUntil(after(now, DISABLED_WAIT)));
    }
    let item_type = release.key.item_type.clone();
    let key = StreakKey {
        account: webhook.account.clone(),
        webhook: webhook.id.clone(),
        revision: webhook.revision,
        item_type,
    };
    let row = collect.streaks.read(&key).await?;
    Ok(match State::of(row.as_ref(), now).phase {
        Phase::Blocked { until, .. } => Gate::ShutUntil(until),
        Phase::Open | Phase::Failing { .. } => Gate::Open { revision: webhook.revision },
    })
}

/// Buries what outlived its retention, whether it might be sent or not. Answers when the retention of the oldest of the
/// others ends; None where nothing is held.
async fn bury_expired(
    collect: &Collect,
    key: &ReleaseKey,
    clock: InvocationClock,
) -> Result<Option<Timestamp>, AdapterError> {
    let mut step = 1;
    loop {
        let oldest = collect.held.oldest_for_release(key, step, MAX_STEP_BYTES).await?;
        let now = clock.now();
        for (held, delivery) in oldest.iter() {
            let end = collect.retention.held_until(delivery.accepted_at);
            if end > now || clock.left() < STEP_TIME {
                return Ok(Some(end));
            }
            let until = collect.retention.dead_until(now);
            collect.dead.bury(delivery, DeathCause::RetentionOver, now, until).await?;
            collect.held.drop_row(held).await?;
        }
        if oldest.is_empty() {
            return Ok(None);
        }
        step = FIRST_STEP * 10;
    }
}

/// Sends a step, and answers how many items it had.
async fn send_step(
    collect: &Collect,
    release: &Release,
    revision: u64,
    size: u32,
    clock: InvocationClock,
) -> Result<usize, CollectError> {
    let oldest = collect.held.oldest_for_release(&release.key, size, MAX_STEP_BYTES).await?;
    if oldest.is_empty() {
        return Ok(0);
    }
    let tag = StepTag { id: format!("{:032x}", random::bits128()?), first: release.step.is_none() };
    let items = u32::try_from(oldest.len()).unwrap_or(u32::MAX);
    if !collect.held.begin_step(release, &tag, items, size, clock.now()).await? {
        return Ok(0);
    }
    // The rows go first to the queue, then from the table: a worker that dies in between sends them again.
    let outgoing: Vec<_> = oldest
        .iter()
        .map(|(_, delivery)| {
            let delivery = Delivery { revision, step: Some(tag.clone()), ..delivery.clone() };
            Outgoing::new(&delivery, Duration::ZERO)
        })
        .collect();
    let sent = collect.deliveries.send(&outgoing).await;
    let unsent = u32::try_from(sent.iter().filter(|sent| sent.is_err()).count()).unwrap_or(u32::MAX);
    let safe = oldest.iter().zip(sent).filter_map(|(one, sent)| sent.is_ok().then_some(one));
    let deleting = stream::iter(safe).map(|(key, _)| collect.held.delete_released(key));
    let mut deleting = deleting.buffer_unordered(CONCURRENT_ROWS);
    while let Some(deleted) = deleting.next().await {
        if let Err(error) = deleted {
            tracing::warn!(error = error.chain(), "held.not_deleted");
        }
    }
    if unsent > 0 {
        // They stay held, for a later step; this one does not wait for them.
        collect.held.finish_of_step(&release.key, &tag, unsent, 0).await?;
    }
    Ok(oldest.len())
}

/// Drops a step's items, whose webhook was deleted.
async fn drop_step(collect: &Collect, release: &Release, size: u32) -> Result<usize, AdapterError> {
    let oldest = collect.held.oldest_for_release(&release.key, size, MAX_STEP_BYTES).await?;
    for (key, _) in &oldest {
        collect.held.drop_row(key).await?;
    }
    Ok(oldest.len())
}
