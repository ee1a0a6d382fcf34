//! `POST /webhooks/{id}/test`: one attempt now, with its result in the answer. It counts for nothing, is not logged
//! as an attempt and never retried.
//!
//! An account has places for a few tests at once and some a minute, so that tests of black holes do not hold the copies
//! of this function that other accounts need ([`Shared`]). A test has the deadline of an attempt: a shorter one
//! would call a receiver broken that deliveries reach.

use bytes::Bytes;
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::http::sender::{Attempted, Labels, SIGNATURE, WebhookRequest, headers};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::http_api::{Request, json};
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::test_slots::TestPlace;
use carteiro_core::attempt_log::{excerpt, shown_headers};
use carteiro_core::id::ItemId;
use carteiro_core::mask::Mask;
use carteiro_core::message;
use carteiro_core::outcome::Outcome;
use carteiro_core::problem::Problem;
use carteiro_core::test_share::Shared;
use carteiro_core::webhook::Webhook;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::call::{Call, Response};
use crate::context::Manage;
use crate::{body, webhooks};

/// How much of the response's body is shown.
const SHOWN_BYTES: usize = 4096;

pub(crate) async fn make(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let account = call.account()?;
    let unknown = body::only(&body::optional_object(request)?, &[]);
    if !unknown.is_empty() {
        return Err(Problem::invalid_fields(unknown).into());
    }
    let hop = request.hop();
    if hop.is_at_limit() {
        tracing::warn!(account = account.as_str(), intake = "test", "loop.refused");
        let detail = "this test was asked for by deliveries that have passed through Carteiro too often";
        return Err(Problem::loop_detected(detail).into());
    }
    let webhook = call.webhook().await?;
    let place = match manage.config.take_place(&account, Shared::Tests, manage.attempt, clock.now()).await? {
        TestPlace::Taken(owner) => owner,
        TestPlace::Refused { retry_after } => return Err(Shared::Tests.problem(retry_after).into()),
    };
    let tested = attempt(manage, request, &webhook, clock).await;
    if let Err(error) = manage.config.give_place_back(&account, Shared::Tests, &place).await {
        // Its lease ends by itself; the test was made, and its answer stands.
        tracing::warn!(error = error.chain(), "test.place_not_given_back");
    }
    tested
}

async fn attempt(manage: &Manage, request: &Request, webhook: &Webhook, clock: InvocationClock) -> Response {
    let item = ItemId::from_bits(random::bits128()?);
    let now = clock.now();
    // The form of Standard Webhooks: `type`, `timestamp`, `data`.
    let test = json!({
        "type": "carteiro.test",
        "timestamp": now.to_string(),
        "data": {"webhook": webhook.id, "revision": webhook.revision},
    });
    let test = test.to_string().into_bytes();
    let labels =
        Labels { id: item.as_str(), item_type: "test", source: "carteiro", attempt: 1, hop: request.hop() };
    let headers = headers(webhook, &labels, &test, now);
    let signature = headers.iter().find(|(name, _)| *name == SIGNATURE).map(|(_, value)| value.clone());
    let attempt = WebhookRequest { url: &webhook.settings.url, headers, body: Bytes::from(test) };
    let attempted = match webhooks::refuse_own(manage, request, &webhook.settings.url) {
        Ok(()) => manage.sender.attempt(attempt, now).await,
        Err(own) => Ok(own.into()),
    };
    let attempted = attempted.map_err(|error| AdapterError::unavailable("testing a webhook", error))?;
    let answer = answer(&item, attempted, webhook, &signature.unwrap_or_default(), now);
    Ok(json(200, &answer))
}

/// The answer to a test, without any credential that the receiver repeated.
pub(crate) fn answer(
    item: &ItemId,
    attempted: Attempted,
    webhook: &Webhook,
    signature: &str,
    now: Timestamp,
) -> Value {
    let mask = Mask::of_webhook(webhook, signature, now);
    let response_headers = shown_headers(attempted.headers(), &mask);
    let response_body = excerpt(&attempted.response_body, SHOWN_BYTES, &mask).unwrap_or_default();
    let latency_ms = attempted.latency_ms;
    let outcome = attempted.outcome.masked(&mask);
    let failure = outcome.failure();
    let status = match &outcome {
        Outcome::Success { status } => Some(*status),
        Outcome::Failure(failure) => failure.status,
    };
    let cause = failure.and_then(|failure| failure.cause.as_ref());
    json!({
        "webhook_id": item,
        "outcome": if failure.is_none() { "success" } else { "failure" },
        "error": failure.map(|failure| failure.kind),
        "status": status,
        "cause": cause,
        "message": failure.map(|failure| message::because(failure.kind, failure.status, cause)),
        "latency_ms": latency_ms,
        "response_body": response_body,
        "response_headers": response_headers,
    })
}
