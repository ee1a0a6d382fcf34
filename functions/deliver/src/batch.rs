//! A batch of deliveries: read, attempt, settle.
//!
//! Its messages may carry more deliveries to one webhook than are attempted at once. Those follow in parts
//! ([`packing::shares`]), each read, attempted, recorded and settled as a batch of its own, as long as there is time.

use std::collections::HashMap;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::clock::{InvocationClock, Stopwatch};
use carteiro_adapters::runtime::metrics;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::delivery::packing::{self, Part, Share};
use carteiro_core::lane::Lane;
use futures_util::future::{join, join_all};
use jiff::Timestamp;
use serde_json::json;

use crate::attempt::Hosts;
use crate::context::{ANSWER_RESERVE, Deliver, SETTLE_RESERVE};
use crate::read::BatchContext;
use crate::received::{self, Received};
use crate::{attempt, counted, gone, log, read, record, settle, tally};

/// For how long what was read before a part of a batch serves the next part, where the part before it changed nothing.
const READ_SERVES: Duration = Duration::from_secs(1);

/// Handles a batch, and names the messages that the queue is to hand out again.
pub(crate) async fn handle(deliver: &Deliver, event: SqsEvent, clock: InvocationClock) -> SqsBatchResponse {
    let stopwatch = Stopwatch::start();
    let lane = lane(deliver, &event);
    let (batch, messages, mut failed) = received::read(event);
    let deliveries = batch.len();
    let hosts = Hosts::new(deliver.host_concurrency);
    let shares = packing::shares(batch, deliver.batch_size, |received| &received.delivery.webhook);
    let delivering = shares.into_iter().map(|share| deliver_share(deliver, share, (lane, &hosts), clock));
    let unfinished: HashMap<_, _> = join_all(delivering).await.into_iter().flatten().collect();
    let queue = if lane == Lane::Slow { &deliver.slow_queue } else { &deliver.queue };
    failed.extend(messages.settle_rest(&unfinished, queue, clock).await);
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

/// Delivers the parts of a share, one after the other. Returns the names of the deliveries that are not finished.
async fn deliver_share(
    deliver: &Deliver,
    share: Share<Received>,
    at: (Lane, &Hosts),
    clock: InvocationClock,
) -> Vec<(String, Part)> {
    let mut unfinished = Vec::new();
    let mut known = None;
    for (index, part) in share.into_iter().enumerate() {
        if index > 0 && clock.left() < deliver.attempt + SETTLE_RESERVE {
            unfinished.extend(part.into_iter().map(|received| (received.message, Part::NotBegun)));
            continue;
        }
        let (failed, read) = deliver_part(deliver, part, at, known, clock).await;
        unfinished.extend(failed.into_iter().map(|name| (name, Part::Failed)));
        known = read;
    }
    let not_begun = unfinished.iter().filter(|(_, part)| *part == Part::NotBegun).count();
    if not_begun > 0 {
        tracing::info!(deliveries = not_begun, "batch.rest_queued_again");
    }
    unfinished
}

/// What a part of a batch read before its attempts, and when it began to.
struct Read {
    context: BatchContext,
    seen_at: Timestamp,
}

impl Read {
    /// Reads what a part needs, unless what the part before it read still serves.
    async fn of(
        deliver: &Deliver,
        part: &[Received],
        known: Option<Self>,
        now: Timestamp,
    ) -> Result<Self, AdapterError> {
        if let Some(known) = known
            && now.duration_since(known.seen_at).unsigned_abs() < READ_SERVES
            && part.iter().all(|received| known.context.has_read(&received.delivery))
        {
            return Ok(known);
        }
        Ok(Self { context: read::context(deliver, part, now).await?, seen_at: now })
    }
}

/// Reads, attempts, records and settles a part of a batch. Returns the names of the deliveries that are not finished,
/// and what was read, where that is still so.
async fn deliver_part(
    deliver: &Deliver,
    part: Vec<Received>,
    at: (Lane, &Hosts),
    known: Option<Read>,
    clock: InvocationClock,
) -> (Vec<String>, Option<Read>) {
    let all = |part: &[Received]| part.iter().map(|received| received.message.clone()).collect();
    let read = match Read::of(deliver, &part, known, clock.now()).await {
        Ok(read) => read,
        Err(error) => {
            // No read, no attempt.
            tracing::error!(messages = part.len(), error = error.chain(), "batch.webhooks_not_read");
            return (all(&part), None);
        }
    };
    if clock.left() < deliver.attempt + SETTLE_RESERVE {
        tracing::warn!(messages = part.len(), "batch.out_of_time");
        return (all(&part), None);
    }
    let (processed, mut failed) = attempt::all(deliver, part, at, &read.context, clock).await;
    counted::attempts(&processed);
    let (left, disabled) =
        join(record::all(deliver, &processed, clock), gone::disable(deliver, &processed, clock)).await;
    let attempts = log::wanted(&processed);
    let unrecorded = left.messages;
    let processed = processed.into_iter().filter(|each| !unrecorded.contains(&each.message)).collect();
    let settled = settle::all(deliver, processed, at.0, read.seen_at, clock).await;
    let dead = tally::count_deaths(deliver, &settled.deaths, settled.may_notify_deaths, clock).await;
    let notifying = notify(deliver, left.pending.iter().chain(&disabled).chain(&dead), clock);
    join(notifying, log::write(deliver, attempts, &settled, clock)).await;
    failed.extend(settled.unsettled);
    failed.extend(unrecorded);
    (failed, left.found_no_streak.then_some(read))
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
