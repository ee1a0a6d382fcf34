//! Settling: each delivery of a batch is done with, or durably somewhere else, before its message is.

use std::sync::Arc;
use std::time::Duration;

use carteiro_adapters::clock::InvocationClock;
use carteiro_adapters::deliver_queue::Outgoing;
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::held_table::HeldFor;
use carteiro_adapters::random;
use carteiro_core::delivery::Delivery;
use carteiro_core::retention::after;
use carteiro_core::settlement::{DISABLED_WAIT, DeathCause, Settlement, settle};
use futures_util::StreamExt;
use futures_util::stream;
use jiff::Timestamp;

use crate::Deliver;
use crate::attempt::{AttemptResult, Finished};

/// What is to be stored for a delivery.
enum Store {
    /// A message that comes back after this delay.
    Requeue(Duration),
    /// A held row.
    Hold(HeldFor, Timestamp),
    /// A dead row.
    Bury(DeathCause),
}

/// Settles a batch. Answers the messages that could not be settled, `failed` among them.
pub(crate) async fn all(
    deliver: &Deliver,
    finished: Vec<Finished>,
    mut failed: Vec<String>,
    clock: InvocationClock,
) -> Vec<String> {
    let mut requeued = Vec::new();
    let mut stored = Vec::new();
    for one in finished {
        let (attempt, store) = match decide(deliver, &one, clock.now()) {
            Ok(Some(decided)) => decided,
            Ok(None) => continue,
            Err(error) => {
                tracing::error!(message = one.message, error = error.chain(), "settle.undecided");
                failed.push(one.message);
                continue;
            }
        };
        let delivery = Delivery { attempt, ..Arc::unwrap_or_clone(one.delivery) };
        match store {
            Store::Requeue(wait) => requeued.push((one.message, Outgoing::new(&delivery, wait))),
            store => stored.push((one.message, delivery, store)),
        }
    }
    failed.extend(requeue(deliver, requeued).await);
    let storing = stream::iter(stored).map(|(message, delivery, store)| async move {
        match write(deliver, &delivery, &store, clock.now()).await {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(message, error = error.chain(), "settle.not_stored");
                Some(message)
            }
        }
    });
    let unsettled: Vec<_> = storing.buffer_unordered(10).filter_map(std::future::ready).collect().await;
    failed.extend(unsettled);
    failed
}

/// What is to be stored, under which number of the next attempt; None where nothing is left to do.
fn decide(deliver: &Deliver, one: &Finished, now: Timestamp) -> Result<Option<(u32, Store)>, AdapterError> {
    let delivery = &one.delivery;
    let (outcome, ended_at) = match &one.result {
        AttemptResult::Attempted { outcome, ended_at, .. } => (outcome, *ended_at),
        AttemptResult::WebhookDeleted => {
            tracing::info!(
                webhook = delivery.webhook.as_str(),
                item = delivery.item.as_str(),
                "delivery.dropped"
            );
            return Ok(None);
        }
        AttemptResult::WebhookDisabled => {
            return Ok(Some((delivery.attempt, while_disabled(deliver, delivery, now))));
        }
    };
    let random = random::bits64()?;
    let settlement =
        settle(outcome, delivery.attempt, delivery.accepted_at, deliver.retention, ended_at, random);
    let store = match settlement {
        Settlement::Delivered => return Ok(None),
        Settlement::RetrySoon { wait } => Store::Requeue(wait),
        Settlement::Hold { until } => {
            let reason = if outcome.is_gone() { HeldFor::Disabled } else { HeldFor::Retry };
            Store::Hold(reason, until)
        }
        Settlement::Dead(cause) => Store::Bury(cause),
    };
    Ok(Some((delivery.attempt.saturating_add(1), store)))
}

fn while_disabled(deliver: &Deliver, delivery: &Delivery, now: Timestamp) -> Store {
    let end = deliver.retention.held_until(delivery.accepted_at);
    if now >= end {
        return Store::Bury(DeathCause::RetentionOver);
    }
    Store::Hold(HeldFor::Disabled, after(now, DISABLED_WAIT).min(end))
}

async fn requeue(deliver: &Deliver, requeued: Vec<(String, Outgoing)>) -> Vec<String> {
    if requeued.is_empty() {
        return Vec::new();
    }
    let (messages, outgoing): (Vec<_>, Vec<_>) = requeued.into_iter().unzip();
    let sent = deliver.queue.send(&outgoing).await;
    messages.into_iter().zip(sent).filter_map(|(message, sent)| sent.is_err().then_some(message)).collect()
}

async fn write(
    deliver: &Deliver,
    delivery: &Delivery,
    store: &Store,
    now: Timestamp,
) -> Result<(), AdapterError> {
    match *store {
        Store::Requeue(_) => Ok(()),
        Store::Hold(reason, due_at) => {
            let expires_at = deliver.retention.held_row_expires(delivery.accepted_at);
            deliver.held.hold(delivery, reason, due_at, expires_at).await
        }
        Store::Bury(cause) => {
            tracing::warn!(
                webhook = delivery.webhook.as_str(),
                item = delivery.item.as_str(),
                cause = cause.as_str(),
                "delivery.dead"
            );
            deliver.dead.bury(delivery, cause, now, deliver.retention.dead_until(now)).await
        }
    }
}
