//! Counts the fates of replayed items, for their owners to read.

use std::collections::HashMap;
use std::time::Duration;

use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::waiting::keys::ReplayKey;
use carteiro_core::delivery::Delivery;
use carteiro_core::replay::Counts;

use crate::context::{ANSWER_RESERVE, Deliver};

/// How long a count may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Counts items of replays, with one write for each replay. A failed write is missing in what the owner reads.
pub(crate) async fn count(
    deliver: &Deliver,
    ended: impl Iterator<Item = (&Delivery, Counts)>,
    clock: InvocationClock,
) {
    let mut counts: HashMap<ReplayKey, Counts> = HashMap::new();
    for (delivery, count) in ended {
        let Some(replayed) = &delivery.replayed else { continue };
        let key = ReplayKey { webhook: delivery.webhook.clone(), replay: replayed.replay.clone() };
        *counts.entry(key).or_default() += count;
    }
    for (key, count) in counts {
        let now = clock.now();
        let counting = deliver.held.replays.count(&key, count, now, deliver.retention.replay_expires(now));
        let limit = clock.left().saturating_sub(ANSWER_RESERVE).min(LIMIT);
        if !matches!(tokio::time::timeout(limit, counting).await, Ok(Ok(()))) {
            tracing::warn!(
                webhook = key.webhook.as_str(),
                replay = key.replay.as_str(),
                "replay.not_counted"
            );
        }
    }
}
