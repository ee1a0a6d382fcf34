//! The attempts of a batch, all at once: a slow URL delays no other.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use carteiro_adapters::error::chain;
use carteiro_adapters::http::sender::{Attempted, Labels, SIGNATURE, WebhookRequest, headers};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::address::WebhookUrl;
use carteiro_core::attempt_log::{MAX_EXCERPT_BYTES, excerpt, shown_headers};
use carteiro_core::delivery::Delivery;
use carteiro_core::lane::{self, Lane, Turn};
use carteiro_core::mask::Mask;
use carteiro_core::outcome::Outcome;
use carteiro_core::slow::{DeadHosts, Place, slow_bound};
use carteiro_core::streak::{Phase, State};
use carteiro_core::webhook::{Webhook, WhileBlocked};
use futures_util::future::join;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinSet;

use crate::Deliver;
use crate::batch::{RESERVE, Received};
use crate::read::{Known, Target};
use crate::slow::{self, SlowAttempt};

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
        /// Which streak its result belongs to,
        key: StreakKey,
        /// and how that stood before.
        before: State,
        /// What it came to.
        outcome: Outcome,
        /// When it ended.
        ended_at: Timestamp,
        /// What else is worth telling.
        seen: Seen,
    },
    /// None was made, for the webhook is disabled.
    WebhookDisabled,
    /// None was made, for the item's type is blocked.
    Blocked {
        /// What happens to the item meanwhile.
        meanwhile: WhileBlocked,
        /// Which streak,
        key: StreakKey,
        /// its block's id,
        epoch: Option<String>,
        /// and the block's end.
        until: Timestamp,
    },
    /// None was made here, for the webhook is slow.
    Slow,
    /// Likewise, at the end of a chain of messages.
    SlowAtChainsEnd,
    /// None was made in the slow lane, for it waited too long for one.
    Overdue,
    /// None was made, for its host had no room in time.
    NoTurn,
    /// None was made, for the webhook was deleted.
    WebhookDeleted,
    /// None was made, for the webhook does not take the item's type or source any more.
    NotTaken,
    /// None was made, for the item's network does not let it be kept any more.
    OverLimit,
}

/// What of an attempt decides nothing.
pub(crate) struct Seen {
    /// How long it took.
    pub(crate) latency_ms: u64,
    /// The beginning of a failure's response, without credentials.
    pub(crate) response_body: Option<String>,
    /// Some headers of a failure's response, likewise.
    pub(crate) response_headers: BTreeMap<String, String>,
}

/// An attempt that is to be made.
struct Planned {
    received: Received,
    webhook: Arc<Webhook>,
    key: StreakKey,
    before: State,
}

/// Attempts a batch. Answers what is to be settled, in the order in which it finished, and the messages of which no
/// attempt could be made.
pub(crate) async fn all(
    deliver: &Deliver,
    batch: Vec<Received>,
    lane: Lane,
    known: &Known,
    clock: InvocationClock,
) -> (Vec<Finished>, Vec<String>) {
    let (mut finished, mut failed) = (Vec::new(), Vec::new());
    let mut attempts = JoinSet::new();
    let mut messages = HashMap::new();
    let mut hosts: HashMap<_, Arc<Semaphore>> = HashMap::new();
    let (slow, seen_slow) = mpsc::unbounded_channel();
    for received in batch {
        match plan(deliver, received, lane, known, clock.now()) {
            Plan::Attempt(planned) => {
                let message = planned.received.message.clone();
                let deliver = deliver.clone();
                let room = hosts.entry(host(&planned.webhook.settings.url));
                let room = room.or_insert_with(|| Arc::new(Semaphore::new(deliver.host_concurrency)));
                let room = Arc::clone(room);
                let slow = slow.clone();
                // A task each, so that a panic of one is the failure of that one.
                let task =
                    attempts.spawn(async move { in_turn(&deliver, *planned, &room, &slow, clock).await });
                messages.insert(task.id(), message);
            }
            Plan::Settle(one) => finished.push(*one),
            Plan::GoBack(message) => failed.push(message),
        }
    }
    // From here on the attempts alone can say that they are slow.
    drop(slow);
    let attempting = async {
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
    };
    join(attempting, slow::note(deliver, known, lane, seen_slow, clock)).await;
    (finished, failed)
}

/// What is to be done with a message.
enum Plan {
    /// An attempt.
    Attempt(Box<Planned>),
    /// No attempt, but settling.
    Settle(Box<Finished>),
    /// Nothing: the queue hands it out again.
    GoBack(String),
}

fn plan(deliver: &Deliver, received: Received, lane: Lane, known: &Known, now: Timestamp) -> Plan {
    let settle = |received: Received, result| {
        Plan::Settle(Box::new(Finished { message: received.message, delivery: received.delivery, result }))
    };
    if received.delivery.is_over_limit(now) {
        return settle(received, AttemptResult::OverLimit);
    }
    let (webhook, key, before) = match known.target(&received.delivery) {
        Target::Webhook(webhook, key, before) => (Arc::clone(webhook), key, before),
        Target::Deleted => return settle(received, AttemptResult::WebhookDeleted),
        Target::Unreadable(error) => {
            tracing::error!(message = received.message, error = error.chain(), "webhook.unreadable");
            return Plan::GoBack(received.message);
        }
    };
    if !webhook.takes(&received.delivery.item_type, &received.delivery.source) {
        return settle(received, AttemptResult::NotTaken);
    }
    if webhook.disabled_by.is_some() {
        return settle(received, AttemptResult::WebhookDisabled);
    }
    if let Phase::Blocked { until, .. } = before.phase {
        let meanwhile = webhook.settings.while_blocked;
        return settle(received, AttemptResult::Blocked { meanwhile, key, epoch: before.epoch, until });
    }
    let waited = received.sent_at.and_then(|sent_at| now.duration_since(sent_at).try_into().ok());
    let slow = lane::timed_out_only(&before)
        || known.is_slow(&received.delivery, &webhook, now)
        || dead_hosts(deliver).is_dead(&webhook.settings.url, now);
    match lane::turn(lane, slow, received.delivery.chain, waited.unwrap_or_default()) {
        Turn::ToSlowLane => settle(received, AttemptResult::Slow),
        Turn::ToSlowLaneByRow => settle(received, AttemptResult::SlowAtChainsEnd),
        Turn::Overdue => settle(received, AttemptResult::Overdue),
        Turn::Here => Plan::Attempt(Box::new(Planned { received, webhook, key, before })),
    }
}

/// What this copy knows of hosts. A panic in the middle leaves nothing half done in it.
fn dead_hosts(deliver: &Deliver) -> MutexGuard<'_, DeadHosts> {
    deliver.dead_hosts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one batch sends no more than so much to at once.
fn host(url: &WebhookUrl) -> (String, u16) {
    (url.host(), url.port())
}

/// Attempts one delivery when its host has room for it. An error names the message of which no attempt could be made.
async fn in_turn(
    deliver: &Deliver,
    planned: Planned,
    room: &Semaphore,
    slow: &UnboundedSender<SlowAttempt>,
    clock: InvocationClock,
) -> Result<Finished, String> {
    let latest = clock.left().saturating_sub(deliver.attempt + RESERVE);
    match tokio::time::timeout(latest, room.acquire()).await {
        Ok(Ok(_room)) => one(deliver, planned, slow, clock).await,
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(webhook = planned.webhook.id.as_str(), "attempt.no_turn");
            let Received { message, delivery, .. } = planned.received;
            Ok(Finished { message, delivery, result: AttemptResult::NoTurn })
        }
    }
}

/// Attempts one delivery. An error names the message of which no attempt could be made.
async fn one(
    deliver: &Deliver,
    planned: Planned,
    slow: &UnboundedSender<SlowAttempt>,
    clock: InvocationClock,
) -> Result<Finished, String> {
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
    let attempted = match noticed(attempting, slow_bound(deliver.attempt), || {
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
        dead_hosts(deliver).reached(&webhook.settings.url);
    } else if attempted.outcome.is_timeout() {
        dead_hosts(deliver).timed_out(&webhook.settings.url, clock.now());
    }
    let (outcome, seen) = without_credentials(attempted, &webhook, &signature.unwrap_or_default(), now);
    let (name, status, cause) = described(&outcome);
    tracing::info!(
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
    Ok(Finished { message, delivery, result })
}

/// Waits for an attempt, and says so once if it is not over after `bound`.
async fn noticed<T>(attempting: impl Future<Output = T>, bound: Duration, is_slow: impl FnOnce()) -> T {
    let mut attempting = pin!(attempting);
    if let Ok(attempted) = tokio::time::timeout(bound, &mut attempting).await {
        return attempted;
    }
    is_slow();
    attempting.await
}

/// What an attempt came to, without any credential that the receiver repeated. Of a success nothing is shown.
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

/// How an outcome is logged: its class, status and cause.
fn described(outcome: &Outcome) -> (&'static str, Option<u16>, Option<&'static str>) {
    match outcome {
        Outcome::Success { status } => ("success", Some(*status), None),
        Outcome::Failure(failure) => {
            let cause = failure.cause.as_ref().map(|cause| cause.code.as_str());
            (failure.kind.as_str(), failure.status, cause)
        }
    }
}
