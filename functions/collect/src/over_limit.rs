//! What a network does not let be kept any more: it is deleted outright, wherever it waits, and not buried.

use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_core::delivery::Delivery;

use crate::{Collect, replay};

/// Notes that an item was dropped for its network's limit, in the log and in the counts of its replay.
pub(crate) async fn note(collect: &Collect, delivery: &Delivery, clock: InvocationClock) {
    let (webhook, item) = (delivery.webhook.as_str(), delivery.item.as_str());
    tracing::warn!(webhook, item, "delivery.storage_limit");
    replay::count_dropped(collect, delivery, clock).await;
}
