//! A batch of deliveries: read, attempt, settle.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::delivery::{Delivery, MessageError};
use carteiro_core::lane::Lane;
use futures_util::future::join;
use jiff::Timestamp;

use crate::Deliver;
use crate::{attempt, gone, log, read, record, settle, tally};

/// What settling needs after the attempts. With less time left than this and an attempt's deadline, none begins.
pub(crate) const RESERVE: Duration = Duration::from_secs(8);

/// A message of the batch and the delivery that it is.
pub(crate) struct Received {
    pub(crate) message: String,
    pub(crate) delivery: Arc<Delivery>,
    /// When the message was sent.
    pub(crate) sent_at: Option<Timestamp>,
}

/// Handles a batch, and names the messages that the queue is to hand out again.
pub(crate) async fn handle(deliver: &Deliver, event: SqsEvent, clock: InvocationClock) -> SqsBatchResponse {
    let lane = lane(deliver, &event);
    let mut failed = Vec::new();
    let mut batch = Vec::new();
    for record in event.records {
        // A message that cannot be named cannot be answered as failed by itself; the platform names them all.
        let message = record.message_id.clone().unwrap_or_default();
        match read(&record) {
            Ok(delivery) => {
                batch.push(Received { message, delivery: Arc::new(delivery), sent_at: sent_at(&record) });
            }
            Err(error) => {
                tracing::error!(message, error = error.to_string(), "delivery.unreadable");
                failed.push(message);
            }
        }
    }
    failed.extend(deliver_all(deliver, batch, lane, clock).await);
    let mut response = SqsBatchResponse::default();
    for message in failed {
        response.add_failure(message);
    }
    response
}

/// The lane that a batch is from: a mapping reads one queue.
fn lane(deliver: &Deliver, event: &SqsEvent) -> Lane {
    let from = event.records.first().and_then(|record| record.event_source_arn.as_deref());
    if from == Some(&*deliver.slow_queue_arn) { Lane::Slow } else { Lane::Usual }
}

fn sent_at(record: &SqsMessage) -> Option<Timestamp> {
    let milliseconds = record.attributes.get("SentTimestamp")?.parse().ok()?;
    Timestamp::from_millisecond(milliseconds).ok()
}

fn read(record: &SqsMessage) -> Result<Delivery, MessageError> {
    Delivery::from_message(record.body.as_deref().unwrap_or_default(), |name| {
        record.message_attributes.get(name).and_then(|value| value.string_value.as_deref())
    })
}

/// Answers the messages that could not be settled.
async fn deliver_all(
    deliver: &Deliver,
    batch: Vec<Received>,
    lane: Lane,
    clock: InvocationClock,
) -> Vec<String> {
    let all = |batch: &[Received]| batch.iter().map(|received| received.message.clone()).collect();
    if batch.is_empty() {
        return Vec::new();
    }
    let seen_at = clock.now();
    let known = match read::known(deliver, &batch, seen_at).await {
        Ok(known) => known,
        Err(error) => {
            // No read, no attempt.
            tracing::error!(messages = batch.len(), error = error.chain(), "batch.webhooks_not_read");
            return all(&batch);
        }
    };
    if clock.left() < deliver.attempt + RESERVE {
        tracing::warn!(messages = batch.len(), "batch.out_of_time");
        return all(&batch);
    }
    let (finished, mut failed) = attempt::all(deliver, batch, lane, &known, clock).await;
    let (left, disabled) =
        join(record::all(deliver, &finished, clock), gone::disable(deliver, &finished, clock)).await;
    let attempts = log::wanted(&finished);
    let unrecorded = left.messages;
    let finished = finished.into_iter().filter(|one| !unrecorded.contains(&one.message)).collect();
    let settled = settle::all(deliver, finished, lane, seen_at, clock).await;
    let dead = tally::count_deaths(deliver, &settled, clock).await;
    let telling = tell(deliver, left.to_tell.iter().chain(&disabled).chain(&dead), clock);
    join(telling, log::write(deliver, attempts, &settled, clock)).await;
    failed.extend(settled.unsettled);
    failed.extend(unrecorded);
    failed
}

/// Tells what recording left to be told, after everything else. What there is no time for, a tick tells.
async fn tell(deliver: &Deliver, to_tell: impl Iterator<Item = &StreakKey>, clock: InvocationClock) {
    for key in to_tell {
        let left = clock.left().saturating_sub(Duration::from_millis(1500));
        match tokio::time::timeout(left, deliver.notifier.notify(key, clock)).await {
            Ok(Ok(notices)) => {
                tracing::info!(webhook = key.webhook.as_str(), notices, "notices.queued");
            }
            Ok(Err(error)) => {
                tracing::warn!(webhook = key.webhook.as_str(), error = error.chain(), "notices.not_queued");
            }
            Err(_) => return,
        }
    }
}
