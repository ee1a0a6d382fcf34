//! Disables webhooks whose URL answered 410 Gone, and notifies their owners.
//!
//! One transaction changes the webhook and leaves the notice. It is made only if nobody changed the webhook since the
//! batch read it: a 410 of an old revision, or one that comes after its owner did something about it, changes nothing.
//! Where it cannot be stored now, the next 410 does it.

use std::collections::HashMap;

use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::config::Replaced;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::id::WebhookId;
use carteiro_core::item::ItemType;
use carteiro_core::notice;
use carteiro_core::webhook::Webhook;

use crate::attempt::{AttemptResult, Processed};
use crate::context::{Deliver, SETTLE_RESERVE};
use crate::record::{error_of, may_notify};

/// A webhook whose URL answered 410 Gone.
struct Gone<'a> {
    webhook: &'a Webhook,
    /// The response, as a streak remembers its last failure.
    last_error: String,
    /// Whether this batch may notify. A tick does instead after one of the last short retries or a notice, because the
    /// attempt may be the last of a chain of invocations, which each further webhook that is gone would make longer.
    notifies_here: bool,
}

/// Disables the webhooks of a batch whose URL answered 410 Gone. Answers those whose notice this batch sends.
pub(crate) async fn disable(
    deliver: &Deliver,
    processed: &[Processed],
    clock: InvocationClock,
) -> Vec<StreakKey> {
    let mut pending = Vec::new();
    for gone in gone(processed) {
        if clock.left() < SETTLE_RESERVE / 2 {
            break;
        }
        let webhook = gone.webhook;
        let now = clock.now();
        let Some(changed) = webhook.gone(webhook.revision, now) else { continue };
        let key = StreakKey {
            account: webhook.account.clone(),
            webhook: webhook.id.clone(),
            revision: webhook.revision,
            item_type: ItemType::WHOLE_WEBHOOK,
        };
        let notice = notice::disabled(changed.version, &gone.last_error, now);
        match deliver.config.disable_webhook(&changed, &deliver.streaks, &key, &notice).await {
            Ok(replaced) => {
                tracing::info!(webhook = webhook.id.as_str(), replaced = ?replaced, "webhook.gone");
                pending.extend((replaced == Replaced::Done && gone.notifies_here).then_some(key));
            }
            Err(error) => {
                tracing::warn!(webhook = webhook.id.as_str(), error = error.chain(), "webhook.not_disabled");
            }
        }
    }
    pending
}

fn gone(processed: &[Processed]) -> impl Iterator<Item = Gone<'_>> {
    let mut found: HashMap<&WebhookId, Gone<'_>> = HashMap::new();
    for each in processed {
        let AttemptResult::Attempted { webhook, outcome, ended_at, .. } = &each.result else { continue };
        let Some(last_error) = error_of(outcome, *ended_at).filter(|_| outcome.is_gone()) else { continue };
        let notifies_here = may_notify(each.delivery.attempt, each.delivery.chain)
            && each.delivery.item_type != ItemType::NOTICE;
        let gone = found.entry(&webhook.id).or_insert(Gone { webhook, last_error, notifies_here });
        gone.notifies_here &= notifies_here;
    }
    found.into_values()
}

#[cfg(test)]
mod tests {
    use carteiro_core::delivery::Delivery;

    use super::*;
    use crate::fixtures::{attempted, delivery, status};

    #[test]
    fn a_410_disables_and_a_batch_notifies_of_early_attempts_only() {
        let late = Delivery { attempt: crate::record::NOTIFYING_ATTEMPTS + 1, ..delivery(2) };
        let notice = Delivery { item_type: ItemType::NOTICE, ..delivery(2) };
        for (second, expected) in [(delivery(2), true), (late, false), (notice, false)] {
            let processed = [attempted(delivery(1), status(410)), attempted(second, status(410))];
            let found: Vec<_> = gone(&processed).collect();
            assert_eq!(found.len(), 1, "a webhook is disabled once");
            assert_eq!(found[0].notifies_here, expected);
            assert!(found[0].last_error.contains("410"));
        }
        let others = [attempted(delivery(1), status(404)), attempted(delivery(2), status(200))];
        assert_eq!(gone(&others).count(), 0);
    }
}
