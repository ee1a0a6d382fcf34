//! What a batch reads before its attempts: its webhooks, the streaks of their current revisions, and which of them were
//! slow.

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

use crate::Deliver;
use crate::batch::Received;

/// What a batch knows before its attempts.
pub(crate) struct Known {
    webhooks: HashMap<WebhookId, Result<Arc<Webhook>, AdapterError>>,
    states: HashMap<StreakKey, State>,
    slow: HashMap<AccountId, SlowAttempts>,
}

/// What is known for one delivery.
pub(crate) enum Target<'a> {
    /// Its webhook, and the state of its type.
    Webhook(&'a Arc<Webhook>, StreakKey, State),
    /// Its webhook was deleted.
    Deleted,
    /// Its webhook's row cannot be read.
    Unreadable(&'a AdapterError),
}

impl Known {
    /// The slow attempts of an account.
    pub(crate) fn slow(&self, account: &AccountId) -> SlowAttempts {
        self.slow.get(account).cloned().unwrap_or_default()
    }

    /// Whether the attempts of a webhook, or those of its account, took long lately.
    pub(crate) fn is_slow(&self, delivery: &Delivery, webhook: &Webhook, now: Timestamp) -> bool {
        let place = || Place::of(&webhook.id, &webhook.settings.url);
        self.slow.get(&delivery.account).is_some_and(|slow| slow.is_slow(&place(), now))
    }

    /// What is known for a delivery.
    pub(crate) fn target(&self, delivery: &Delivery) -> Target<'_> {
        match self.webhooks.get(&delivery.webhook) {
            None => Target::Deleted,
            Some(Err(error)) => Target::Unreadable(error),
            Some(Ok(webhook)) => {
                let key = key(delivery, webhook.revision);
                let open = State::of(None, Timestamp::UNIX_EPOCH);
                let state = self.states.get(&key).cloned().unwrap_or(open);
                Target::Webhook(webhook, key, state)
            }
        }
    }
}

fn key(delivery: &Delivery, revision: u64) -> StreakKey {
    StreakKey {
        account: delivery.account.clone(),
        webhook: delivery.webhook.clone(),
        revision,
        item_type: delivery.item_type.clone(),
    }
}

/// Reads what a batch needs: in one call, where its messages name the revisions that the webhooks still have.
pub(crate) async fn known(
    deliver: &Deliver,
    batch: &[Received],
    now: Timestamp,
) -> Result<Known, AdapterError> {
    let wanted: BTreeSet<_> =
        batch.iter().map(|one| (&one.delivery.account, &one.delivery.webhook)).collect();
    let wanted: Vec<_> =
        wanted.into_iter().map(|(account, webhook)| (account.clone(), webhook.clone())).collect();
    let guessed = distinct(batch.iter().map(|one| key(&one.delivery, one.delivery.revision)));
    let found = deliver.config.find_webhooks(&wanted, &deliver.streaks, &guessed).await?;
    let mut rows = found.streaks;
    let current = batch.iter().filter_map(|one| {
        let webhook = found.webhooks.get(&one.delivery.webhook)?.as_ref().ok()?;
        Some(key(&one.delivery, webhook.revision))
    });
    let changed: Vec<_> = distinct(current).into_iter().filter(|key| !guessed.contains(key)).collect();
    rows.extend(deliver.streaks.read_all(&changed).await?);
    Ok(Known {
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
