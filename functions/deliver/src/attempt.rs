//! The attempts of a batch, all at once: a slow URL delays no other.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use carteiro_adapters::clock::InvocationClock;
use carteiro_adapters::error::chain;
use carteiro_adapters::sender::{Attempt, Labels, headers};
use carteiro_core::delivery::Delivery;
use carteiro_core::id::WebhookId;
use carteiro_core::outcome::Outcome;
use carteiro_core::webhook::Webhook;
use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::Deliver;
use crate::batch::Received;

/// What came of a delivery, to be settled.
pub(crate) struct Finished {
    pub(crate) message: String,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) result: AttemptResult,
}

/// What came of a delivery.
pub(crate) enum AttemptResult {
    /// An attempt was made.
    Attempted {
        /// The webhook as it was read before.
        webhook: Arc<Webhook>,
        /// What it came to.
        outcome: Outcome,
        /// When it ended.
        ended_at: Timestamp,
    },
    /// None was made, for the webhook is disabled.
    WebhookDisabled,
    /// None was made, for the webhook was deleted.
    WebhookDeleted,
}

impl Finished {
    /// The webhook whose URL answered 410 Gone.
    pub(crate) fn gone(&self) -> Option<&Webhook> {
        match &self.result {
            AttemptResult::Attempted { webhook, outcome, .. } if outcome.is_gone() => Some(webhook),
            _ => None,
        }
    }
}

/// Attempts a batch. Answers what is to be settled, and the messages of which no attempt could be made.
pub(crate) async fn all(
    deliver: &Deliver,
    batch: Vec<Received>,
    webhooks: &HashMap<WebhookId, Arc<Webhook>>,
    clock: InvocationClock,
) -> (Vec<Finished>, Vec<String>) {
    let mut attempts = JoinSet::new();
    let mut messages = HashMap::new();
    for received in batch {
        let message = received.message.clone();
        let webhook = webhooks.get(&received.delivery.webhook).map(Arc::clone);
        let deliver = deliver.clone();
        // A task each, so that a panic of one is the failure of that one.
        let task = attempts.spawn(async move { one(&deliver, received, webhook, clock).await });
        messages.insert(task.id(), message);
    }
    let (mut finished, mut failed) = (Vec::new(), Vec::new());
    while let Some(joined) = attempts.join_next_with_id().await {
        match joined {
            Ok((_, Ok(one))) => finished.push(one),
            Ok((_, Err(message))) => failed.push(message),
            Err(error) => {
                tracing::error!(error = error.to_string(), "attempt.panicked");
                failed.extend(messages.remove(&error.id()));
            }
        }
    }
    (finished, failed)
}

/// Attempts one delivery. An error names the message of which no attempt could be made.
async fn one(
    deliver: &Deliver,
    received: Received,
    webhook: Option<Arc<Webhook>>,
    clock: InvocationClock,
) -> Result<Finished, String> {
    let Received { message, delivery } = received;
    let finished = |result| Finished { message: message.clone(), delivery: Arc::clone(&delivery), result };
    let Some(webhook) = webhook else { return Ok(finished(AttemptResult::WebhookDeleted)) };
    if webhook.disabled_by.is_some() {
        return Ok(finished(AttemptResult::WebhookDisabled));
    }
    let source = delivery.source.to_string();
    let labels = Labels {
        id: delivery.item.as_str(),
        item_type: delivery.item_type.as_str(),
        source: &source,
        attempt: delivery.attempt,
    };
    let now = clock.now();
    let attempt = Attempt {
        url: &webhook.settings.url,
        headers: headers(&webhook, &labels, &delivery.body, now),
        body: Bytes::copy_from_slice(&delivery.body),
    };
    let attempted = match deliver.sender.attempt(attempt, now).await {
        Ok(attempted) => attempted,
        Err(error) => {
            tracing::error!(webhook = webhook.id.as_str(), error = chain(&error), "attempt.not_made");
            return Err(message.clone());
        }
    };
    let (outcome, status) = described(&attempted.outcome);
    tracing::info!(
        account = delivery.account.as_str(),
        webhook = webhook.id.as_str(),
        revision = webhook.revision,
        item = delivery.item.as_str(),
        item_type = delivery.item_type.as_str(),
        attempt = delivery.attempt,
        outcome,
        status,
        latency_ms = attempted.latency_ms,
        "attempt.finished"
    );
    Ok(finished(AttemptResult::Attempted { webhook, outcome: attempted.outcome, ended_at: clock.now() }))
}

fn described(outcome: &Outcome) -> (&'static str, Option<u16>) {
    match outcome {
        Outcome::Success { status } => ("success", Some(*status)),
        Outcome::Failure(failure) => (failure.kind.as_str(), failure.status),
    }
}
