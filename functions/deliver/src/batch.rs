//! A batch of deliveries: read, attempt, settle.
//!
//! Its messages may carry more deliveries to one webhook than are attempted at once. Those follow in parts
//! ([`packing::shares`]), each read, attempted, recorded and settled as a batch of its own, as long as there is time.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::deliver::DeliverQueue;
use carteiro_adapters::runtime::clock::{InvocationClock, Stopwatch};
use carteiro_adapters::runtime::metrics;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::delivery::packing::{self, Share};
use carteiro_core::lane::Lane;
use futures_util::future::{join, join_all};
use jiff::Timestamp;
use serde_json::json;

use crate::attempt::Hosts;
use crate::context::{ANSWER_RESERVE, Deliver, SETTLE_RESERVE};
use crate::read::BatchContext;
use crate::received::{self, Received};
use crate::{attempt, counted, gone, log, read, record, settle, tally};

/// How long a read is used again by the next part of a batch, if the part before it succeeded entirely and found no
/// streak. An owner's act is seen at most this much later.
const READ_REUSE: Duration = Duration::from_millis(250);

/// How long after a batch began the last of its parts begins. What is left is queued again, for other copies: a webhook
/// that answers late keeps no copy much longer than a batch of single deliveries would.
const PARTS_BEGIN_WITHIN: Duration = Duration::from_secs(5);

/// Handles a batch, and names the messages that the queue is to hand out again.
pub(crate) async fn handle(deliver: &Deliver, event: SqsEvent, clock: InvocationClock) -> SqsBatchResponse {
    let stopwatch = Stopwatch::start();
    let lane = lane(deliver, &event);
    let (mut batch, messages, mut failed) = received::read(event);
    // What a batch had no time for before goes first.
    batch.sort_by_key(|received| Reverse(received.delivery.chain));
    let deliveries = batch.len();
    let hosts = Hosts::new(deliver.host_concurrency);
    let shares = packing::shares(batch, deliver.batch_size, |received| &received.delivery.webhook);
    let delivering = shares.into_iter().map(|share| deliver_share(deliver, share, (lane, &hosts), clock));
    let unfinished: HashSet<_> = join_all(delivering).await.into_iter().flatten().collect();
    failed.extend(messages.settle_rest(&unfinished, queue(deliver, lane), clock).await);
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

/// Delivers the parts of a share, one after the other. Returns the names of the deliveries that are neither finished
/// nor queued again.
async fn deliver_share(
    deliver: &Deliver,
    share: Share<Received>,
    at: (Lane, &Hosts),
    clock: InvocationClock,
) -> Vec<String> {
    let began = clock.left();
    let mut parts = share.into_iter();
    let (mut unfinished, mut known) = (Vec::new(), None);
    let mut is_first = true;
    while let Some(part) = parts.next() {
        let has_time =
            clock.left() >= (deliver.attempt + SETTLE_RESERVE).max(began.saturating_sub(PARTS_BEGIN_WITHIN));
        if !is_first && !has_time {
            let left = part.into_iter().chain(parts.flatten()).collect();
            unfinished.extend(received::queue_again(left, queue(deliver, at.0), clock).await);
            break;
        }
        is_first = false;
        match deliver_part(deliver, part, at, known, clock).await {
            Delivered::Part { failed, read } => {
                unfinished.extend(failed);
                known = read;
            }
            Delivered::Nothing(part) => {
                unfinished.extend(part.into_iter().chain(parts.flatten()).map(|received| received.message));
                break;
            }
        }
    }
    unfinished
}

/// The queue of a lane.
fn queue(deliver: &Deliver, lane: Lane) -> &DeliverQueue {
    match lane {
        Lane::Usual => &deliver.queue,
        Lane::Slow => &deliver.slow_queue,
    }
}

/// How far a part of a batch came.
enum Delivered {
    /// Its deliveries are finished, but for those that failed, by their names.
    Part {
        failed: Vec<String>,
        /// What was read, where that is still so.
        read: Option<Read>,
    },
    /// Nothing was read, or there was no time for an attempt.
    Nothing(Vec<Received>),
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
            && now.duration_since(known.seen_at).unsigned_abs() < READ_REUSE
            && part.iter().all(|received| known.context.has_read(&received.delivery))
        {
            return Ok(known);
        }
        Ok(Self { context: read::context(deliver, part, now).await?, seen_at: now })
    }
}

/// Reads, attempts, records and settles a part of a batch.
async fn deliver_part(
    deliver: &Deliver,
    part: Vec<Received>,
    at: (Lane, &Hosts),
    known: Option<Read>,
    clock: InvocationClock,
) -> Delivered {
    let read = match Read::of(deliver, &part, known, clock.now()).await {
        Ok(read) => read,
        Err(error) => {
            // No read, no attempt.
            tracing::error!(messages = part.len(), error = error.chain(), "batch.webhooks_not_read");
            return Delivered::Nothing(part);
        }
    };
    if clock.left() < deliver.attempt + SETTLE_RESERVE {
        tracing::warn!(messages = part.len(), "batch.out_of_time");
        return Delivered::Nothing(part);
    }
    let (processed, mut failed) = attempt::all(deliver, part, at, &read.context, clock).await;
    counted::attempts(&processed, at.0);
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
    let is_still_so = left.found_no_streak && failed.is_empty();
    Delivered::Part { failed, read: is_still_so.then_some(read) }
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
