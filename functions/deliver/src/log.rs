//! Logging the attempts of a batch for the owners of its webhooks: a row for each webhook of which something is logged.
//!
//! It comes after everything else of the batch, is bounded in time, and what fails of it is missing in the log and
//! nowhere else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_core::attempt_log::{Became, Entry, ReleaseStep};
use carteiro_core::outcome::Outcome;
use carteiro_core::retention::after;
use carteiro_core::webhook::Webhook;
use futures_util::future::join_all;

use crate::Deliver;
use crate::attempt::{AttemptResult, Finished};
use crate::settle::Settled;

/// How long a log may take to be written.
const LIMIT: Duration = Duration::from_secs(1);

/// What the answer needs; nothing is waited for in the last of it.
const RESERVE: Duration = Duration::from_millis(1500);

/// Attempts that are to be logged.
pub(crate) struct Attempts(Vec<Attempt>);

struct Attempt {
    message: String,
    webhook: Arc<Webhook>,
    entry: Entry,
}

/// What is to be logged of a batch: what its webhooks' owners want, before it is known what becomes of the items.
pub(crate) fn wanted(finished: &[Finished]) -> Attempts {
    Attempts(finished.iter().filter_map(attempt).collect())
}

fn attempt(one: &Finished) -> Option<Attempt> {
    let AttemptResult::Attempted { webhook, outcome, ended_at, seen, .. } = &one.result else { return None };
    let success = matches!(outcome, Outcome::Success { .. });
    if !webhook.settings.log.takes(success) {
        return None;
    }
    let (error, status, cause) = match outcome {
        Outcome::Success { status } => (None, Some(*status), None),
        Outcome::Failure(failure) => (Some(failure.kind), failure.status, failure.cause.clone()),
    };
    let delivery = &one.delivery;
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
        became: Became::Unsettled,
        next_at: None,
    };
    Some(Attempt { message: one.message.clone(), webhook: Arc::clone(webhook), entry })
}

/// Writes the log, with what became of the items.
pub(crate) async fn write(deliver: &Deliver, attempts: Attempts, settled: &Settled, clock: InvocationClock) {
    let mut by_webhook: HashMap<_, Vec<Entry>> = HashMap::new();
    for Attempt { message, webhook, mut entry } in attempts.0 {
        if let Some((became, next_at)) = settled.became.get(&message) {
            (entry.became, entry.next_at) = (*became, *next_at);
        }
        by_webhook.entry(webhook.id.clone()).or_default().push(entry);
    }
    let now = clock.now();
    let expires_at = after(now, deliver.log_kept);
    let writing = by_webhook.into_iter().map(|(webhook, entries)| async move {
        let limit = clock.left().saturating_sub(RESERVE).min(LIMIT);
        let attempts = entries.len();
        match tokio::time::timeout(limit, deliver.attempts.log(&webhook, entries, now, expires_at)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    webhook = webhook.as_str(),
                    attempts,
                    error = error.chain(),
                    "attempts.not_logged"
                );
            }
            Err(_) => {
                tracing::warn!(
                    webhook = webhook.as_str(),
                    attempts,
                    error = "no time left",
                    "attempts.not_logged"
                );
            }
        }
    });
    join_all(writing).await;
}
