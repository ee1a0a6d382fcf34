//! Logs the attempts of a batch for the owners of its webhooks, in one row for each webhook.
//!
//! It comes after everything else of the batch and is bounded in time. A row that cannot be written is missing in the
//! log and nowhere else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_core::attempt_log::{Entry, ItemFate, ReleaseStep};
use carteiro_core::outcome::Outcome;
use carteiro_core::retention::after;
use carteiro_core::webhook::Webhook;
use futures_util::future::{join, join_all};

use crate::attempt::{AttemptResult, Processed};
use crate::context::{ANSWER_RESERVE, Deliver};
use crate::settle::Settled;

/// The longest time for writing the log.
const TIMEOUT: Duration = Duration::from_secs(1);

/// An attempt to log.
pub(crate) struct AttemptEntry {
    message: String,
    webhook: Arc<Webhook>,
    entry: Entry,
}

/// The attempts of a batch that its webhooks' owners want to be logged, without the fates of the items.
pub(crate) fn wanted(processed: &[Processed]) -> Vec<AttemptEntry> {
    processed.iter().filter_map(entry).collect()
}

fn entry(processed: &Processed) -> Option<AttemptEntry> {
    let Processed { message, delivery, result } = processed;
    let AttemptResult::Attempted { webhook, outcome, ended_at, seen, .. } = result else { return None };
    let success = matches!(outcome, Outcome::Success { .. });
    if !webhook.settings.log.takes(success) {
        return None;
    }
    let (error, status, cause) = match outcome {
        Outcome::Success { status } => (None, Some(*status), None),
        Outcome::Failure(failure) => (Some(failure.kind), failure.status, failure.cause.clone()),
    };
    let step = |first| if first { ReleaseStep::First } else { ReleaseStep::Later };
    let entry = Entry {
        item: delivery.item.clone(),
        item_type: delivery.item_type.clone(),
        attempt: delivery.attempt,
        at: *ended_at,
        revision: webhook.revision,
        error,
        cause,
        status,
        latency_ms: seen.latency_ms,
        response_body: seen.response_body.clone(),
        response_headers: seen.response_headers.clone(),
        release_step: delivery.step.as_ref().map(|tag| step(tag.first)),
        replay: delivery.replayed.as_ref().map(|replayed| replayed.replay.clone()),
        became: ItemFate::Unsettled,
        next_at: None,
    };
    Some(AttemptEntry { message: message.clone(), webhook: Arc::clone(webhook), entry })
}

/// Writes the log, with the fates of the items, and notes which items were dropped.
pub(crate) async fn write(
    deliver: &Deliver,
    attempts: Vec<AttemptEntry>,
    settled: &Settled,
    clock: InvocationClock,
) {
    let within = clock.left().saturating_sub(ANSWER_RESERVE).min(TIMEOUT);
    let expires_at = after(clock.now(), deliver.log_kept);
    let noting = deliver.attempts.note_dropped(&settled.dropped, expires_at, within);
    join(write_attempts(deliver, attempts, settled, clock), noting).await;
}

async fn write_attempts(
    deliver: &Deliver,
    attempts: Vec<AttemptEntry>,
    settled: &Settled,
    clock: InvocationClock,
) {
    let mut by_webhook: HashMap<_, Vec<Entry>> = HashMap::new();
    for AttemptEntry { message, webhook, mut entry } in attempts {
        if let Some((fate, next_at)) = settled.fates.get(&message) {
            (entry.became, entry.next_at) = (*fate, *next_at);
        }
        by_webhook.entry(webhook.id.clone()).or_default().push(entry);
    }
    let now = clock.now();
    let expires_at = after(now, deliver.log_kept);
    let writing = by_webhook.into_iter().map(|(webhook, entries)| async move {
        let timeout = clock.left().saturating_sub(ANSWER_RESERVE).min(TIMEOUT);
        let attempts = entries.len();
        let logging = deliver.attempts.log(&webhook, entries, now, expires_at);
        let error = match tokio::time::timeout(timeout, logging).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.chain(),
            Err(_) => "no time left".to_owned(),
        };
        tracing::warn!(webhook = webhook.as_str(), attempts, error, "attempts.not_logged");
    });
    join_all(writing).await;
}

#[cfg(test)]
mod tests {
    use carteiro_core::delivery::Delivery;
    use carteiro_core::delivery::StepTag;

    use super::*;
    use crate::fixtures::{attempted, delivery, status};

    #[test]
    fn failures_are_logged_by_default_with_their_step() {
        let step = Some(StepTag { id: "s".to_owned(), first: true, index: Some(0) });
        let failed = attempted(Delivery { step, ..delivery(1) }, status(503));
        let entries = wanted(&[failed, attempted(delivery(2), status(200))]);
        let [AttemptEntry { message, entry, .. }] = entries.as_slice() else { panic!("one is wanted") };
        assert_eq!((message.as_str(), entry.status, entry.attempt), ("1", Some(503), 1));
        assert_eq!(entry.release_step, Some(ReleaseStep::First));
        assert_eq!((entry.became, entry.next_at), (ItemFate::Unsettled, None), "until it is settled");
    }
}
