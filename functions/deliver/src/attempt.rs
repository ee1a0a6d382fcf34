//! The attempts of a batch, or of a part of it, all at once: a slow URL delays no other.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use carteiro_adapters::error::chain;
use carteiro_adapters::http::sender::{Attempted, Labels, SIGNATURE, WebhookRequest, headers};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::address::WebhookUrl;
use carteiro_core::admission::{Admission, Target, Unattempted, admit};
use carteiro_core::attempt_log::{MAX_EXCERPT_BYTES, excerpt, shown_headers};
use carteiro_core::delivery::Delivery;
use carteiro_core::lane::Lane;
use carteiro_core::mask::Mask;
use carteiro_core::outcome::Outcome;
use carteiro_core::slow::{Place, slow_bound};
use carteiro_core::streak::State;
use carteiro_core::webhook::Webhook;
use futures_util::future::join;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinSet;

use crate::context::{Deliver, SETTLE_RESERVE};
use crate::read::{self, BatchContext};
use crate::received::Received;
use crate::slow::{self, SlowAttempt};

/// A delivery that was processed, for settling.
pub(crate) struct Processed {
    pub(crate) message: String,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) result: AttemptResult,
}

/// The result of processing a delivery.
#[expect(clippy::large_enum_variant, reason = "most deliveries are attempted, and one batch has few")]
pub(crate) enum AttemptResult {
    /// An attempt was made.
    Attempted {
        /// The webhook, as it was read before the attempt.
        webhook: Arc<Webhook>,
        /// The streak that the result belongs to.
        key: StreakKey,
        /// The streak's state before the attempt.
        before: State,
        /// The attempt's outcome.
        outcome: Outcome,
        /// When the attempt ended.
        ended_at: Timestamp,
        /// Details for the log.
        seen: Seen,
    },
    /// No attempt was made.
    NotMade(Unattempted),
}

/// Details of an attempt that decide nothing.
pub(crate) struct Seen {
    /// The attempt's duration.
    pub(crate) latency_ms: u64,
    /// The beginning of a failure's response, without credentials.
    pub(crate) response_body: Option<String>,
    /// Some headers of a failure's response, without credentials.
    pub(crate) response_headers: BTreeMap<String, String>,
}

/// An attempt to make.
struct Planned {
    received: Received,
    webhook: Arc<Webhook>,
    key: StreakKey,
    before: State,
}

/// The room that a batch has for attempts to each host.
pub(crate) struct Hosts {
    each: usize,
    rooms: Mutex<HashMap<(String, u16), Arc<Semaphore>>>,
}

impl Hosts {
    /// Room for this many attempts at once to each host.
    pub(crate) fn new(each: usize) -> Self {
        Self { each, rooms: Mutex::default() }
    }

    fn room(&self, url: &WebhookUrl) -> Arc<Semaphore> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let room = rooms.entry((url.host(), url.port()));
        Arc::clone(room.or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

/// Attempts deliveries. Answers the processed deliveries, in the order in which they finished, and the messages of
/// which no attempt could be made.
pub(crate) async fn all(
    deliver: &Deliver,
    batch: Vec<Received>,
    (lane, hosts): (Lane, &Hosts),
    context: &BatchContext,
    clock: InvocationClock,
) -> (Vec<Processed>, Vec<String>) {
    let (mut processed, mut failed) = (Vec::new(), Vec::new());
    let mut attempts = JoinSet::new();
    let mut messages = HashMap::new();
    let (slow, seen_slow) = mpsc::unbounded_channel();
    for received in batch {
        match plan(deliver, received, lane, context, clock.now()) {
            Plan::Attempt(planned) => {
                let message = planned.received.message.clone();
                let deliver = deliver.clone();
                let room = hosts.room(&planned.webhook.settings.url);
                let slow = slow.clone();
                // A task each, so that a panic in one is the failure of that one.
                let task =
                    attempts.spawn(async move { in_turn(&deliver, *planned, &room, &slow, clock).await });
                messages.insert(task.id(), message);
            }
            Plan::Settle(settled) => processed.push(*settled),
            Plan::GoBack(message) => failed.push(message),
        }
    }
    // From here on only the attempts report that they are slow.
    drop(slow);
    let attempting = async {
        while let Some(joined) = attempts.join_next_with_id().await {
            match joined {
                Ok((_, Ok(attempted))) => processed.push(attempted),
                Ok((_, Err(message))) => failed.push(message),
                Err(error) => {
                    tracing::error!(error = error.to_string(), "attempt.panicked");
                    failed.extend(messages.remove(&error.id()));
                }
            }
        }
    };
    join(attempting, slow::note(deliver, context, lane, seen_slow, clock)).await;
    (processed, failed)
}

/// The next step for a message.
enum Plan {
    /// An attempt.
    Attempt(Box<Planned>),
    /// Settling, without an attempt.
    Settle(Box<Processed>),
    /// Nothing: the queue hands it out again.
    GoBack(String),
}

fn plan(deliver: &Deliver, received: Received, lane: Lane, context: &BatchContext, now: Timestamp) -> Plan {
    let delivery = &received.delivery;
    let found = context.target(delivery);
    let (target, is_slow) = match &found {
        read::FoundWebhook::Webhook(webhook, _, before) => {
            let is_slow = context.is_slow(delivery, webhook, now)
                || deliver.dead_hosts().is_dead(&webhook.settings.url, now);
            (Target::Webhook(webhook, before), is_slow)
        }
        read::FoundWebhook::Deleted => (Target::Deleted, false),
        read::FoundWebhook::Unreadable(_) => (Target::Unreadable, false),
    };
    let waited = received.sent_at.and_then(|sent_at| now.duration_since(sent_at).try_into().ok());
    match (admit(delivery, target, lane, is_slow, waited.unwrap_or_default(), now), found) {
        (Admission::Attempt, read::FoundWebhook::Webhook(webhook, key, before)) => {
            let webhook = Arc::clone(webhook);
            Plan::Attempt(Box::new(Planned { received, webhook, key, before }))
        }
        (Admission::Settle(reason), _) => Plan::Settle(Box::new(received.not_attempted(reason))),
        (Admission::Attempt | Admission::GoBack, found) => {
            if let read::FoundWebhook::Unreadable(error) = found {
                tracing::error!(message_id = received.message, error = error.chain(), "webhook.unreadable");
            }
            Plan::GoBack(received.message)
        }
    }
}

impl Received {
    fn not_attempted(self, reason: Unattempted) -> Processed {
        let result = AttemptResult::NotMade(reason);
        Processed { message: self.message, delivery: self.delivery, result }
    }
}

/// Attempts one delivery when its host has room for it. An error is the message of which no attempt could be made.
async fn in_turn(
    deliver: &Deliver,
    planned: Planned,
    room: &Semaphore,
    slow: &UnboundedSender<SlowAttempt>,
    clock: InvocationClock,
) -> Result<Processed, String> {
    let latest = clock.left().saturating_sub(deliver.attempt + SETTLE_RESERVE);
    match tokio::time::timeout(latest, room.acquire()).await {
        Ok(Ok(_room)) => make(deliver, planned, slow, clock).await,
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(webhook = planned.webhook.id.as_str(), "attempt.no_turn");
            Ok(planned.received.not_attempted(Unattempted::HostBusy))
        }
    }
}

/// Makes an attempt. An error is the message of which no attempt could be made.
async fn make(
    deliver: &Deliver,
    planned: Planned,
    slow: &UnboundedSender<SlowAttempt>,
    clock: InvocationClock,
) -> Result<Processed, String> {
    let Planned { received: Received { message, delivery, .. }, webhook, key, before } = planned;
    let source = delivery.source.to_string();
    let labels = Labels {
        id: delivery.item.as_str(),
        item_type: delivery.item_type.as_str(),
        source: &source,
        attempt: delivery.attempt,
        hop: delivery.hop,
    };
    let now = clock.now();
    let headers = headers(&webhook, &labels, &delivery.body, now);
    let signature = headers.iter().find(|(name, _)| *name == SIGNATURE).map(|(_, value)| value.clone());
    let attempt =
        WebhookRequest { url: &webhook.settings.url, headers, body: Bytes::copy_from_slice(&delivery.body) };
    let attempting = deliver.sender.attempt(attempt, now);
    let attempted = match with_slow_callback(attempting, slow_bound(deliver.attempt), || {
        let place = Place::of(&webhook.id, &webhook.settings.url);
        let (account, webhook) = (delivery.account.clone(), webhook.id.clone());
        // Nobody listens where the batch was given up.
        let _ = slow.send(SlowAttempt { account, webhook, place });
    })
    .await
    {
        Ok(attempted) => attempted,
        Err(error) => {
            tracing::error!(webhook = webhook.id.as_str(), error = chain(&error), "attempt.not_made");
            return Err(message);
        }
    };
    if attempted.connected {
        deliver.dead_hosts().reached(&webhook.settings.url);
    } else if attempted.outcome.is_timeout() {
        deliver.dead_hosts().timed_out(&webhook.settings.url, clock.now());
    }
    let (outcome, seen) = without_credentials(attempted, &webhook, &signature.unwrap_or_default(), now);
    let (name, status, cause) = described(&outcome);
    tracing::debug!(
        account = delivery.account.as_str(),
        webhook = webhook.id.as_str(),
        revision = webhook.revision,
        item = delivery.item.as_str(),
        item_type = delivery.item_type.as_str(),
        attempt = delivery.attempt,
        outcome = name,
        status,
        cause,
        latency_ms = seen.latency_ms,
        "attempt.finished"
    );
    let ended_at = clock.now();
    let result = AttemptResult::Attempted { webhook, key, before, outcome, ended_at, seen };
    Ok(Processed { message, delivery, result })
}

/// Waits for an attempt, and calls `on_slow` if it takes longer than `bound`.
async fn with_slow_callback<T>(
    attempting: impl Future<Output = T>,
    bound: Duration,
    on_slow: impl FnOnce(),
) -> T {
    let mut attempting = pin!(attempting);
    if let Ok(attempted) = tokio::time::timeout(bound, &mut attempting).await {
        return attempted;
    }
    on_slow();
    attempting.await
}

/// An attempt's outcome and details, without any credential that the receiver repeated. A success has no details.
fn without_credentials(
    attempted: Attempted,
    webhook: &Webhook,
    signature: &str,
    now: Timestamp,
) -> (Outcome, Seen) {
    let latency_ms = attempted.latency_ms;
    if attempted.outcome.failure().is_none() {
        let seen = Seen { latency_ms, response_body: None, response_headers: BTreeMap::new() };
        return (attempted.outcome, seen);
    }
    let mask = Mask::of_webhook(webhook, signature, now);
    let seen = Seen {
        latency_ms,
        response_body: excerpt(&attempted.response_body, MAX_EXCERPT_BYTES, &mask),
        response_headers: shown_headers(attempted.headers(), &mask),
    };
    (attempted.outcome.masked(&mask), seen)
}

/// An outcome as the log has it: its class, status and cause.
fn described(outcome: &Outcome) -> (&'static str, Option<u16>, Option<&'static str>) {
    match outcome {
        Outcome::Success { status } => ("success", Some(*status), None),
        Outcome::Failure(failure) => {
            let cause = failure.cause.as_ref().map(|cause| cause.code.as_str());
            (failure.kind.as_str(), failure.status, cause)
        }
    }
}
