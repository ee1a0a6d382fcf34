//! Counting what became of replayed items, for their owners to read.

use std::collections::HashMap;
use std::time::Duration;

use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::waiting::keys::ReplayKey;
use carteiro_core::delivery::Delivery;
use carteiro_core::replay::Counts;

use crate::Deliver;

/// How long a count may take.
const LIMIT: Duration = Duration::from_secs(2);

/// How a replayed item ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It arrived.
    Delivered,
    /// It died again.
    Dead,
    /// It was dropped.
    Dropped,
}

/// Counts the items that ended, once for each replay. One that is not counted is missing in what the owner reads.
pub(crate) async fn count(
    deliver: &Deliver,
    ended: impl Iterator<Item = (&Delivery, End)>,
    clock: InvocationClock,
) {
    let mut counts: HashMap<ReplayKey, Counts> = HashMap::new();
    for (delivery, end) in ended {
        let Some(replayed) = &delivery.replayed else { continue };
        let key = ReplayKey { webhook: delivery.webhook.clone(), replay: replayed.replay.clone() };
        let count = counts.entry(key).or_default();
        match end {
            End::Delivered => count.delivered += 1,
            End::Dead => count.dead += 1,
            End::Dropped => count.dropped += 1,
        }
    }
    for (key, count) in counts {
        let now = clock.now();
        let counting = deliver.held.replays.count(&key, count, now, deliver.retention.replay_expires(now));
        let limit = clock.left().saturating_sub(Duration::from_millis(1500)).min(LIMIT);
        if !matches!(tokio::time::timeout(limit, counting).await, Ok(Ok(()))) {
            tracing::warn!(
                webhook = key.webhook.as_str(),
                replay = key.replay.as_str(),
                "replay.not_counted"
            );
        }
    }
}
