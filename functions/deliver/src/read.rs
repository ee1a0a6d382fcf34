//! Reading before the attempts of a batch: its webhooks, the streaks of their current revisions, and slow attempts.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::delivery::Delivery;
use carteiro_core::id::{AccountId, WebhookId};
use carteiro_core::slow::{Place, SlowAttempts};
use carteiro_core::streak::State;
use carteiro_core::webhook::Webhook;
use jiff::Timestamp;

use crate::context::Deliver;
use crate::received::Received;

/// Webhooks, streaks and slow attempts that a batch read before its attempts.
pub(crate) struct BatchContext {
    webhooks: HashMap<WebhookId, Result<Arc<Webhook>, AdapterError>>,
    /// The streaks that were read, those that there are not included.
    read: Vec<StreakKey>,
    states: HashMap<StreakKey, State>,
    slow: HashMap<AccountId, SlowAttempts>,
}

/// The webhook of a delivery, as it was read.
pub(crate) enum FoundWebhook<'a> {
    /// The webhook, and the streak of the item's type.
    Webhook(&'a Arc<Webhook>, StreakKey, State),
    /// The webhook was deleted.
    Deleted,
    /// The webhook's row cannot be read.
    Unreadable(&'a AdapterError),
}

impl BatchContext {
    /// The slow attempts of an account.
    pub(crate) fn slow(&self, account: &AccountId) -> SlowAttempts {
        self.slow.get(account).cloned().unwrap_or_default()
    }

    /// Whether recent attempts of a webhook, or of its account, were slow.
    pub(crate) fn is_slow(&self, delivery: &Delivery, webhook: &Webhook, now: Timestamp) -> bool {
        let place = || Place::of(&webhook.id, &webhook.settings.url);
        self.slow.get(&delivery.account).is_some_and(|slow| slow.is_slow(&place(), now))
    }

    /// Whether the webhook of a delivery and the streak of its type were read.
    pub(crate) fn has_read(&self, delivery: &Delivery) -> bool {
        let webhook = self.webhooks.get(&delivery.webhook).and_then(|webhook| webhook.as_ref().ok());
        webhook.is_some_and(|webhook| self.read.contains(&key(delivery, webhook.revision)))
    }

    /// The webhook of a delivery.
    pub(crate) fn target(&self, delivery: &Delivery) -> FoundWebhook<'_> {
        match self.webhooks.get(&delivery.webhook) {
            None => FoundWebhook::Deleted,
            Some(Err(error)) => FoundWebhook::Unreadable(error),
            Some(Ok(webhook)) => {
                let key = key(delivery, webhook.revision);
                let open = State::of(None, Timestamp::UNIX_EPOCH);
                let state = self.states.get(&key).cloned().unwrap_or(open);
                FoundWebhook::Webhook(webhook, key, state)
            }
        }
    }
}

/// The streak of a delivery's type, at a revision of its webhook.
pub(crate) fn key(delivery: &Delivery, revision: u64) -> StreakKey {
    StreakKey {
        account: delivery.account.clone(),
        webhook: delivery.webhook.clone(),
        revision,
        item_type: delivery.item_type.clone(),
    }
}

/// Reads what a batch needs, in one call if its messages name the current revisions of their webhooks.
pub(crate) async fn context(
    deliver: &Deliver,
    batch: &[Received],
    now: Timestamp,
) -> Result<BatchContext, AdapterError> {
    let wanted: BTreeSet<_> =
        batch.iter().map(|received| (&received.delivery.account, &received.delivery.webhook)).collect();
    let wanted: Vec<_> =
        wanted.into_iter().map(|(account, webhook)| (account.clone(), webhook.clone())).collect();
    let guessed = distinct(batch.iter().map(|received| key(&received.delivery, received.delivery.revision)));
    let found = deliver.config.find_webhooks(&wanted, &deliver.streaks, &guessed).await?;
    let mut rows = found.streaks;
    let current = batch.iter().filter_map(|received| {
        let webhook = found.webhooks.get(&received.delivery.webhook)?.as_ref().ok()?;
        Some(key(&received.delivery, webhook.revision))
    });
    let changed: Vec<_> = distinct(current).into_iter().filter(|key| !guessed.contains(key)).collect();
    rows.extend(deliver.streaks.read_all(&changed).await?);
    Ok(BatchContext {
        read: [guessed, changed].concat(),
        webhooks: found.webhooks.into_iter().map(|(id, webhook)| (id, webhook.map(Arc::new))).collect(),
        states: rows.into_iter().map(|(key, row)| (key, State::of(Some(&row), now))).collect(),
        slow: found.slow,
    })
}

fn distinct(keys: impl Iterator<Item = StreakKey>) -> Vec<StreakKey> {
    let mut distinct = Vec::new();
    for key in keys {
        if !distinct.contains(&key) {
            distinct.push(key);
        }
    }
    distinct
}
