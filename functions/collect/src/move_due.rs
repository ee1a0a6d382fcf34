//! Moving held items that come due to the delivery queue, delayed to their time.
//!
//! From then on a row's item is in the queue with a delay of up to a tick, where an owner's act does not reach it.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::deliver::Outgoing;
use carteiro_adapters::queues::work::Work;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::waiting::held::{Claim, Due, HeldClaim};
use carteiro_adapters::tables::waiting::keys::{HeldKey, ReleaseKey, ReplayKey};
use carteiro_core::delivery::Delivery;
use carteiro_core::retention::after;
use carteiro_core::settlement::DeathCause;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::{Collect, CollectError, Progress, deaths, over_limit, replay};

/// How many rows are claimed, sent and deleted together.
const STEP: u16 = 100;

/// How many rows are claimed or deleted at once.
const CONCURRENT_ROWS: usize = 16;

/// How long a mover keeps a row to itself: longer than the function runs.
const LEASE: Duration = Duration::from_secs(900);

/// A step begins only with this much time left.
const STEP_TIME: Duration = Duration::from_secs(15);

/// A row that is ours to move.
struct Claimed {
    key: HeldKey,
    delivery: Delivery,
    due_at: Timestamp,
    claim: Claim,
}

/// Moves what comes due in a shard until then.
pub(crate) async fn shard(
    collect: &Collect,
    shard: u8,
    until: Timestamp,
    clock: InvocationClock,
) -> Result<Progress, CollectError> {
    let (mut moved, mut left_alone, mut mark) = (0, 0, None);
    loop {
        // Page by page: the index still shows rows that were moved a moment ago.
        let (found, next) = collect.held.items.due(shard, until, STEP, mark).await?;
        let (items, work) = sorted(found, clock.now());
        collect.work.send(&of_accounts(collect, work).await).await?;
        let claimed = claim(collect, items, until, clock).await;
        left_alone += claimed.failed;
        moved += claimed.rows.len();
        if !claimed.rows.is_empty() {
            move_step(collect, claimed.rows, clock).await?;
        }
        mark = next;
        if mark.is_none() || clock.left() < STEP_TIME {
            tracing::info!(shard, moved, left_alone, "held.moved");
            return Ok(if mark.is_none() && left_alone == 0 { Progress::Done } else { Progress::MoreIsLeft });
        }
    }
}

/// What comes due, as rows that are moved, and releases and replays, which are work of their own, delayed to their time.
fn sorted(found: Vec<Due>, now: Timestamp) -> (Vec<HeldKey>, Vec<(Work, Duration)>) {
    let (mut items, mut work) = (Vec::new(), Vec::new());
    let delay = |due_at: Timestamp| Duration::try_from(due_at.duration_since(now)).unwrap_or_default();
    for due in found {
        match due {
            Due::Item(key) => items.push(key),
            Due::Release { release, due_at } => {
                let ReleaseKey { webhook, item_type } = release;
                work.push((Work::Release { webhook, item_type, account: None, looks: 0 }, delay(due_at)));
            }
            Due::Replay { replay, due_at } => {
                let ReplayKey { webhook, replay } = replay;
                work.push((Work::Replay { webhook, replay, account: None }, delay(due_at)));
            }
        }
    }
    (items, work)
}

/// Reads whose work it is, which the index does not say. Where that cannot be read the work goes without.
async fn of_accounts(collect: &Collect, work: Vec<(Work, Duration)>) -> Vec<(Work, Duration)> {
    let named = stream::iter(work).map(|(mut work, delay)| async move {
        let held = &collect.held;
        match &mut work {
            Work::Release { webhook, item_type, account, .. } => {
                let key = ReleaseKey { webhook: webhook.clone(), item_type: item_type.clone() };
                let glance = held.releases.glance(&key).await.ok().flatten();
                *account = glance.and_then(|glance| glance.account);
            }
            Work::Replay { webhook, replay, account } => {
                let key = ReplayKey { webhook: webhook.clone(), replay: replay.clone() };
                let glance = held.replays.glance(&key).await.ok().flatten();
                *account = glance.and_then(|glance| glance.account);
            }
            _ => {}
        }
        (work, delay)
    });
    named.buffered(CONCURRENT_ROWS).collect().await
}

/// What was claimed of a page.
struct ClaimedPage {
    rows: Vec<Claimed>,
    /// How many rows could not be claimed or read, and are left for another time.
    failed: usize,
}

async fn claim(
    collect: &Collect,
    keys: Vec<HeldKey>,
    until: Timestamp,
    clock: InvocationClock,
) -> ClaimedPage {
    let claims = stream::iter(keys).map(|key| async move {
        let now = clock.now();
        match collect.held.items.claim(&key, until, now, after(now, LEASE)).await {
            Ok(HeldClaim::Claimed { delivery, due_at, claim }) => {
                Ok(Some(Claimed { key, delivery: *delivery, due_at, claim }))
            }
            Ok(HeldClaim::NotOurs) => Ok::<_, AdapterError>(None),
            // It would come due again at every tick.
            Err(error @ AdapterError::Malformed { .. }) => {
                if collect.held.items.quarantine(&key, after(now, LEASE)).await? {
                    tracing::error!(error = error.chain(), "held.set_aside");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    });
    let mut page = ClaimedPage { rows: Vec::new(), failed: 0 };
    let mut claims = claims.buffer_unordered(CONCURRENT_ROWS);
    while let Some(claimed) = claims.next().await {
        match claimed {
            Ok(claimed) => page.rows.extend(claimed),
            Err(error) => {
                page.failed += 1;
                tracing::error!(error = error.chain(), "held.not_claimed");
            }
        }
    }
    page
}

/// Sends a step's items to the queue, or buries those whose retention is over, then deletes the rows of what is safe, and
/// of what its network does not let be kept any more.
async fn move_step(
    collect: &Collect,
    claimed: Vec<Claimed>,
    clock: InvocationClock,
) -> Result<(), CollectError> {
    let now = clock.now();
    let (dropped, claimed): (Vec<_>, Vec<_>) =
        claimed.into_iter().partition(|claimed| claimed.delivery.is_over_limit(now));
    for claimed in &dropped {
        over_limit::note(collect, &claimed.delivery, clock).await;
    }
    let over = |claimed: &Claimed| collect.retention.held_until(claimed.delivery.kept_since()) <= now;
    let (over, alive): (Vec<_>, Vec<_>) = claimed.into_iter().partition(over);
    let outgoing: Vec<_> = alive
        .iter()
        .map(|claimed| {
            let delay = Duration::try_from(claimed.due_at.duration_since(now)).unwrap_or_default();
            Outgoing::new(&claimed.delivery, delay)
        })
        .collect();
    let sent = collect.deliveries.send(&outgoing).await;
    let unsent = sent.iter().filter(|sent| sent.is_err()).count();
    let safe = alive.into_iter().zip(sent).filter_map(|(claimed, sent)| sent.is_ok().then_some(claimed));
    let buried = stream::iter(over).map(|claimed| async move {
        let burial = collect.dead.bury(
            &claimed.delivery,
            DeathCause::RetentionOver,
            now,
            collect.retention.dead_until(now),
        );
        match burial.await {
            Ok(()) => {
                replay::count_dead(collect, &claimed.delivery, clock).await;
                Some(claimed)
            }
            Err(error) => {
                tracing::error!(error = error.chain(), "held.not_buried");
                None
            }
        }
    });
    let buried: Vec<_> =
        buried.buffer_unordered(CONCURRENT_ROWS).filter_map(std::future::ready).collect().await;
    let dead = buried.iter().map(|claimed| (&claimed.delivery, DeathCause::RetentionOver));
    deaths::count(collect, dead, clock).await;
    let finishing = stream::iter(safe.chain(buried).chain(dropped)).map(|claimed| finish(collect, claimed));
    finishing.buffer_unordered(CONCURRENT_ROWS).collect::<()>().await;
    if unsent > 0 {
        // Their claims run out, and the next one who looks moves them.
        return Err(AdapterError::NotQueued { operation: "queueing held items" }.into());
    }
    Ok(())
}

async fn finish(collect: &Collect, claimed: Claimed) {
    if let Err(error) = collect.held.items.finish(&claimed.key, &claimed.claim).await {
        // The row is moved once more when its claim has run out: a duplicate, not a loss.
        tracing::warn!(error = error.chain(), "held.not_deleted");
    }
}
