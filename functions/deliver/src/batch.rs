//! A batch of deliveries: read, attempt, settle.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use carteiro_adapters::runtime::clock::{InvocationClock, Stopwatch};
use carteiro_adapters::runtime::metrics;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::lane::Lane;
use futures_util::future::join;
use serde_json::json;

use crate::context::{ANSWER_RESERVE, Deliver, SETTLE_RESERVE};
use crate::received::{self, Received};
use crate::{attempt, counted, gone, log, read, record, settle, tally};

/// Handles a batch, and names the messages that the queue is to hand out again.
pub(crate) async fn handle(deliver: &Deliver, event: SqsEvent, clock: InvocationClock) -> SqsBatchResponse {
    let stopwatch = Stopwatch::start();
    let (lane, deliveries) = (lane(deliver, &event), event.records.len());
    let (batch, mut failed) = received::read(event);
    failed.extend(deliver_all(deliver, batch, lane, clock).await);
    metrics::log(
        clock.now(),
        "batch.settled",
        &[
            ("lane", json!(lane.as_str())),
            ("deliveries", json!(deliveries)),
            ("again", json!(failed.len())),
            ("latency_ms", json!(stopwatch.elapsed_ms())),
        ],
    );
    let mut response = SqsBatchResponse::default();
    for message in failed {
        response.add_failure(message);
    }
    response
}

/// The lane of a batch. All its messages are from one queue.
fn lane(deliver: &Deliver, event: &SqsEvent) -> Lane {
    let from = event.records.first().and_then(|record| record.event_source_arn.as_deref());
    if from == Some(&*deliver.slow_queue_arn) { Lane::Slow } else { Lane::Usual }
}

/// Reads, attempts, records and settles a batch. Returns the messages that the queue is to hand out again.
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
    let context = match read::context(deliver, &batch, seen_at).await {
        Ok(context) => context,
        Err(error) => {
            // No read, no attempt.
            tracing::error!(messages = batch.len(), error = error.chain(), "batch.webhooks_not_read");
            return all(&batch);
        }
    };
    if clock.left() < deliver.attempt + SETTLE_RESERVE {
        tracing::warn!(messages = batch.len(), "batch.out_of_time");
        return all(&batch);
    }
    let (processed, mut failed) = attempt::all(deliver, batch, lane, &context, clock).await;
    counted::attempts(&processed);
    let (left, disabled) =
        join(record::all(deliver, &processed, clock), gone::disable(deliver, &processed, clock)).await;
    let attempts = log::wanted(&processed);
    let unrecorded = left.messages;
    let processed = processed.into_iter().filter(|each| !unrecorded.contains(&each.message)).collect();
    let settled = settle::all(deliver, processed, lane, seen_at, clock).await;
    let dead = tally::count_deaths(deliver, &settled.deaths, settled.may_notify_deaths, clock).await;
    let notifying = notify(deliver, left.pending.iter().chain(&disabled).chain(&dead), clock);
    join(notifying, log::write(deliver, attempts, &settled, clock)).await;
    failed.extend(settled.unsettled);
    failed.extend(unrecorded);
    failed
}

/// Sends the notices that the batch left pending, after everything else. A tick sends those that there is no time for.
async fn notify(deliver: &Deliver, pending: impl Iterator<Item = &StreakKey>, clock: InvocationClock) {
    for key in pending {
        let left = clock.left().saturating_sub(ANSWER_RESERVE);
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
