//! Webhooks whose URL answered 410 Gone: they are disabled, and that is told.
//!
//! The change of the webhook and what is to be told of it are one transaction, so that neither is there without the
//! other. It is made only if nobody changed the webhook since the batch read it: a 410 of an old revision, or one that
//! comes after its owner did something about it, changes nothing. Where it cannot be stored now, the next 410 does it.

use std::collections::HashMap;

use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::config::Replaced;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::id::WebhookId;
use carteiro_core::item::ItemType;
use carteiro_core::notice;
use carteiro_core::webhook::Webhook;

use crate::Deliver;
use crate::attempt::{AttemptResult, Finished};
use crate::batch::RESERVE;
use crate::record::{TELLING_ATTEMPTS, error_of};

/// A webhook whose URL answered 410 Gone.
struct Gone<'a> {
    webhook: &'a Webhook,
    /// The response, as a streak remembers its last failure.
    last_error: String,
    /// Whether this batch may tell it. A tick does, where the attempt may be the last of a chain of invocations: where
    /// it was one of the last short retries, or of a notice. Else webhooks that take notices and are gone one after the
    /// other would each make the chain longer.
    is_told_here: bool,
}

/// Disables the webhooks of a batch whose URL answered 410 Gone, and answers of which this batch is to tell it.
pub(crate) async fn disable(
    deliver: &Deliver,
    finished: &[Finished],
    clock: InvocationClock,
) -> Vec<StreakKey> {
    let mut to_tell = Vec::new();
    for gone in gone(finished) {
        if clock.left() < RESERVE / 2 {
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
                to_tell.extend((replaced == Replaced::Done && gone.is_told_here).then_some(key));
            }
            Err(error) => {
                tracing::warn!(webhook = webhook.id.as_str(), error = error.chain(), "webhook.not_disabled");
            }
        }
    }
    to_tell
}

fn gone(finished: &[Finished]) -> impl Iterator<Item = Gone<'_>> {
    let mut found: HashMap<&WebhookId, Gone<'_>> = HashMap::new();
    for one in finished {
        let AttemptResult::Attempted { webhook, outcome, ended_at, .. } = &one.result else { continue };
        let Some(last_error) = error_of(outcome, *ended_at).filter(|_| outcome.is_gone()) else { continue };
        let is_told_here =
            one.delivery.attempt <= TELLING_ATTEMPTS && one.delivery.item_type != ItemType::NOTICE;
        let gone = found.entry(&webhook.id).or_insert(Gone { webhook, last_error, is_told_here });
        gone.is_told_here &= is_told_here;
    }
    found.into_values()
}
