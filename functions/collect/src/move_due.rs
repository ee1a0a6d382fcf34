//! Moves held items that come due to the delivery queue, delayed to their time.
//!
//! From then on an item is in the queue with a delay of up to a tick, where an owner's act does not reach it.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::deliver::Outgoing;
use carteiro_adapters::queues::work::Work;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::waiting::held::{Claim, Due, HeldClaim};
use carteiro_adapters::tables::waiting::keys::HeldKey;
use carteiro_adapters::tables::waiting::keys::ReleaseKey;
use carteiro_adapters::tables::waiting::keys::ReplayKey;
use carteiro_core::delivery::Delivery;
use carteiro_core::retention::after;
use carteiro_core::settlement::DeathCause;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::context::{Collect, CollectError, Progress};
use crate::{deaths, share};

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

/// Divides what comes due into rows to move, and releases and replays, which are work of their own at their time.
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

/// Adds the accounts, which the index does not have. Where one cannot be read its work goes without.
async fn of_accounts(collect: &Collect, work: Vec<(Work, Duration)>) -> Vec<(Work, Duration)> {
    let named = stream::iter(work).map(|(mut work, delay)| async move {
        let glance = share::glance(collect, &work).await.ok().flatten();
        if let Work::Release { account, .. } | Work::Replay { account, .. } = &mut work {
            *account = glance.and_then(|glance| glance.account);
        }
        (work, delay)
    });
    named.buffered(CONCURRENT_ROWS).collect().await
}

/// The claims on a page of rows.
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

/// Sends a step's items to the queue, or drops or buries those that waited for too long, and deletes their rows.
async fn move_step(
    collect: &Collect,
    claimed: Vec<Claimed>,
    clock: InvocationClock,
) -> Result<(), CollectError> {
    let now = clock.now();
    let is_over = |claimed: &Claimed| claimed.delivery.held_until(collect.retention) <= now;
    let (over, alive): (Vec<_>, Vec<_>) = claimed.into_iter().partition(is_over);
    let outgoing: Vec<_> = alive
        .iter()
        .map(|claimed| {
            let delay = Duration::try_from(claimed.due_at.duration_since(now)).unwrap_or_default();
            Outgoing::new(claimed.delivery.clone(), delay)
        })
        .collect();
    let sent = collect.deliveries.send(&outgoing).await;
    let unsent = sent.iter().filter(|sent| sent.is_err()).count();
    let safe = alive.iter().zip(sent).filter_map(|(claimed, sent)| sent.is_ok().then_some(claimed));
    let finishing = stream::iter(safe).map(|claimed| finish(collect, claimed));
    finishing.buffer_unordered(CONCURRENT_ROWS).collect::<()>().await;
    bury(collect, &over, clock).await;
    if unsent > 0 {
        // Their claims run out, and the next mover moves them.
        return Err(AdapterError::NotQueued { operation: "queueing held items" }.into());
    }
    Ok(())
}

/// Drops or buries items that waited for too long, and deletes their rows.
async fn bury(collect: &Collect, over: &[Claimed], clock: InvocationClock) {
    let burying = stream::iter(over).map(|claimed| async move {
        let death = (&claimed.delivery, DeathCause::RetentionOver);
        let delete = async {
            finish(collect, claimed).await;
            Ok(())
        };
        let buried = deaths::drop_or_bury(collect, death, delete, clock).await.unwrap_or_else(|error| {
            tracing::error!(error = error.chain(), "held.not_buried");
            false
        });
        buried.then_some(death)
    });
    let buried: Vec<_> = burying.buffer_unordered(CONCURRENT_ROWS).collect().await;
    deaths::count(collect, buried.into_iter().flatten(), clock).await;
}

async fn finish(collect: &Collect, claimed: &Claimed) {
    if let Err(error) = collect.held.items.finish(&claimed.key, &claimed.claim).await {
        // The row is moved once more when its claim has run out: a duplicate, not a loss.
        let place = claimed.key.place();
        tracing::warn!(place, error = error.chain(), "held.not_deleted");
    }
}

#[cfg(test)]
mod tests {
    use carteiro_core::id::{ReplayId, WebhookId};
    use carteiro_core::item::ItemType;

    use super::*;

    #[test]
    fn releases_and_replays_are_work_at_their_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let (webhook, item_type) = (WebhookId::from_bits(1), ItemType::MESSAGE);
        let release = ReleaseKey { webhook: webhook.clone(), item_type: item_type.clone() };
        let replay = ReplayKey { webhook: webhook.clone(), replay: ReplayId::made_at(at(0), 1) };
        let found = vec![
            Due::Release { release, due_at: at(30) },
            Due::Replay { replay: replay.clone(), due_at: at(5) },
        ];
        let (items, work) = sorted(found, at(10));
        assert!(items.is_empty());
        let ReplayKey { replay, .. } = replay;
        assert_eq!(
            work,
            [
                (
                    Work::Release { webhook: webhook.clone(), item_type, account: None, looks: 0 },
                    Duration::from_secs(20)
                ),
                (Work::Replay { webhook, replay, account: None }, Duration::ZERO),
            ]
        );
    }
}
