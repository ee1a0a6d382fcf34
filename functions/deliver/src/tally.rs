//! Counts items that ended without being delivered ([`carteiro_core::tally`]). The counts are for people to read: one
//! that cannot be written is missing there, and changes nothing else.

use std::collections::HashMap;

use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::admission::Unattempted;
use carteiro_core::tally::{self, Deaths};

use crate::attempt::{AttemptResult, Processed};
use crate::context::Deliver;

/// Counts the items that were dropped because their webhook no longer takes them.
pub(crate) async fn count_dropped(deliver: &Deliver, processed: &[Processed], clock: InvocationClock) {
    let mut counts: HashMap<StreakKey, u32> = HashMap::new();
    for each in processed {
        if matches!(each.result, AttemptResult::NotMade(Unattempted::NotTaken)) {
            let delivery = &each.delivery;
            let (account, webhook) = (delivery.account.clone(), delivery.webhook.clone());
            *counts.entry(StreakKey::tally(account, webhook, delivery.item_type.clone())).or_default() += 1;
        }
    }
    for (key, items) in counts {
        let write = tally::count_dropped(items, clock.now());
        if let Err(error) = deliver.streaks.write(&key, &write, clock).await {
            let webhook = key.webhook.as_str();
            tracing::warn!(webhook, items, error = error.chain(), "tally.not_counted");
        }
    }
}

/// Counts the deaths of a batch. Returns the tallies whose due notice this batch sends: none unless it may notify. A
/// tick sends the others.
pub(crate) async fn count_deaths(
    deliver: &Deliver,
    all: &[Deaths],
    may_notify: bool,
    clock: InvocationClock,
) -> Vec<StreakKey> {
    let mut due = Vec::new();
    for deaths in all {
        let key = StreakKey::tally(deaths.account.clone(), deaths.webhook.clone(), deaths.item_type.clone());
        match deliver.streaks.count_deaths(&key, deaths, clock).await {
            Ok(is_due) => due.extend((is_due && may_notify).then_some(key)),
            Err(error) => {
                let (webhook, items) = (key.webhook.as_str(), deaths.items);
                tracing::warn!(webhook, items, error = error.chain(), "tally.not_counted");
            }
        }
    }
    due
}
