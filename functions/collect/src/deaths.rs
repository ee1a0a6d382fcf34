//! Counting the items that the collector buries, and telling their owners of it ([`carteiro_core::tally`]).

use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::delivery::Delivery;
use carteiro_core::settlement::DeathCause;
use carteiro_core::tally::Deaths;

use crate::Collect;

/// Counts deaths, and sends the notices that are due. What fails here is logged: a death that is not counted is missing
/// in the notice alone, and a notice that is not sent is sent by a tick.
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
