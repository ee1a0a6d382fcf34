//! Drops or buries items that wait for too long, counts them ([`carteiro_core::tally`]) and notifies their owners.

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::metrics;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_adapters::tables::waiting::keys::ReplayKey;
use carteiro_core::delivery::Delivery;
use carteiro_core::metrics::Metric;
use carteiro_core::replay::Counts;
use carteiro_core::settlement::DeathCause;
use carteiro_core::tally::Deaths;

use crate::context::Collect;

/// Drops an item past its storage term, or else buries it. `delete` removes its row. Answers whether it was buried.
pub(crate) async fn drop_or_bury(
    collect: &Collect,
    (delivery, cause): (&Delivery, DeathCause),
    delete: impl Future<Output = Result<(), AdapterError>>,
    clock: InvocationClock,
) -> Result<bool, AdapterError> {
    Ok(!drop_or_bury_all(collect, (std::slice::from_ref(delivery), cause), delete, clock).await?.is_empty())
}

/// Drops those of a message's items that are past their storage term, and buries the others. `delete` removes the
/// message. Answers those that were buried.
pub(crate) async fn drop_or_bury_all<'a>(
    collect: &Collect,
    (deliveries, cause): (&'a [Delivery], DeathCause),
    delete: impl Future<Output = Result<(), AdapterError>>,
    clock: InvocationClock,
) -> Result<Vec<&'a Delivery>, AdapterError> {
    let now = clock.now();
    let (over, dead): (Vec<&Delivery>, Vec<&Delivery>) =
        deliveries.iter().partition(|delivery| delivery.is_past_keep_until(now));
    for delivery in &dead {
        collect.dead.bury(delivery, (cause, None), now, collect.retention.dead_until(now)).await?;
    }
    // Only now that they are among the dead. An item that is not deleted is buried again, into the same row.
    delete.await?;
    for delivery in over {
        let (webhook, item) = (delivery.webhook.as_str(), delivery.item.as_str());
        tracing::warn!(webhook, item, "delivery.storage_limit");
        count_of_replay(collect, delivery, Counts { dropped: 1, ..Counts::default() }, clock).await;
    }
    for delivery in &dead {
        metrics::add(Metric::Dead, 1);
        count_of_replay(collect, delivery, Counts { dead: 1, ..Counts::default() }, clock).await;
    }
    Ok(dead)
}

/// Counts the end of a replayed item. A failed write is missing in what the owner reads.
async fn count_of_replay(collect: &Collect, delivery: &Delivery, counts: Counts, clock: InvocationClock) {
    let Some(replayed) = &delivery.replayed else { return };
    let key = ReplayKey { webhook: delivery.webhook.clone(), replay: replayed.replay.clone() };
    let now = clock.now();
    let counting = collect.held.replays.count(&key, counts, now, collect.retention.replay_expires(now));
    if counting.await.is_err() {
        tracing::warn!(webhook = key.webhook.as_str(), replay = key.replay.as_str(), "replay.not_counted");
    }
}

/// Counts deaths, and sends the notices that are due. Failures are logged: a death that is not counted is missing in
/// the notice alone, and a tick sends a notice that was not sent.
pub(crate) async fn count<'a>(
    collect: &Collect,
    dead: impl IntoIterator<Item = (&'a Delivery, DeathCause)>,
    clock: InvocationClock,
) {
    for deaths in Deaths::group(dead) {
        let key = StreakKey::tally(deaths.account.clone(), deaths.webhook.clone(), deaths.item_type.clone());
        let webhook = key.webhook.as_str();
        match collect.streaks.count_deaths(&key, &deaths, clock).await {
            Ok(false) => {}
            Ok(true) => {
                if let Err(error) = collect.notifier.notify(&key, clock).await {
                    tracing::warn!(webhook, error = error.chain(), "notices.not_queued");
                }
            }
            Err(error) => {
                tracing::warn!(webhook, items = deaths.items, error = error.chain(), "tally.not_counted");
            }
        }
    }
}
