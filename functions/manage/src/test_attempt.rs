//! `POST /webhooks/{id}/test`: one attempt now, with its result in the answer. It counts for nothing, is not logged
//! as an attempt and never retried. It sends the test's own body, or an object that the request names; labelled as a
//! test either way, so that a receiver takes no example for an item.
//!
//! An account has places for a few tests at once and some a minute, so that tests of black holes do not hold the copies
//! of this function that other accounts need ([`Shared`]). A test has the deadline of an attempt: a shorter one
//! would call a receiver broken that deliveries reach.

use bytes::Bytes;
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::http::sender::{Attempted, Labels, SIGNATURE, WebhookRequest, headers};
use carteiro_adapters::runtime::http_api::json;
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::test_slots::TestPlace;
use carteiro_core::attempt_log::{excerpt, shown_headers};
use carteiro_core::id::ItemId;
use carteiro_core::mask::Mask;
use carteiro_core::message;
use carteiro_core::outcome::Outcome;
use carteiro_core::problem::{FieldError, Problem};
use carteiro_core::test_share::{Shared, TESTS_A_MINUTE, TESTS_AT_ONCE};
use carteiro_core::webhook::Webhook;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::call::{Call, Response};
use crate::openapi::{examples, refusals, requests};
use crate::{answers, body, webhooks};

/// How much of the response's body is shown.
const SHOWN_BYTES: usize = 4096;

/// Test a webhook
///
/// Makes one attempt now, with a signed test item of type `test` and source `carteiro`, and answers what came of it.
/// It counts for nothing and is never repeated, and is made while the webhook is disabled too. A failed attempt is
/// answered 200: the test itself succeeded. An account has at most 2 tests under way at once and 30 a minute; one
/// more is answered 429.
#[utoipa::path(
    post,
    path = "/webhooks/{webhook}/test",
    operation_id = "testWebhook",
    tag = "webhooks",
    security(("accountKey" = [])),
    request_body(
        content = Option<requests::TestRequest>,
        content_type = "application/json",
        description = "Nothing, or what to send.",
        example = json!({
            "item": {"content": "Olá!", "from": "5511999990000@example.com", "id": "m-1", "type": "text/plain"},
        }),
    ),
    responses(
        (
            status = 200, description = "What the attempt came to.",
            body = answers::TestResult,
            examples(("success" = (value = json!(examples::test_success()))), ("failure" = (value = json!(examples::test_failure()))), ),
        ),
        (status = 429, response = refusals::TooManyTests),
        (status = 508, response = refusals::LoopDetected),
    ),
    extensions(("x-max-tests-at-once" = json!(TESTS_AT_ONCE)), ("x-max-tests-a-minute" = json!(TESTS_A_MINUTE))),
)]
pub(crate) async fn make(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let account = call.account()?;
    let example = example(&body::optional_object(request)?).map_err(Problem::invalid_fields)?;
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
    let tested = attempt(call, &webhook, example).await;
    if let Err(error) = manage.config.give_place_back(&account, Shared::Tests, &place).await {
        // Its lease ends by itself; the test was made, and its answer stands.
        tracing::warn!(error = error.chain(), "test.place_not_given_back");
    }
    tested
}

/// The body that is to be sent in place of the test's own.
fn example(given: &Map<String, Value>) -> Result<Option<Value>, Vec<FieldError>> {
    let mut errors = body::only(given, &["item"]);
    let item = given.get("item").filter(|item| !item.is_null());
    if item.is_some_and(|item| !item.is_object()) {
        errors.push(FieldError::new("item", "a JSON object is expected"));
    }
    if errors.is_empty() { Ok(item.cloned()) } else { Err(errors) }
}

async fn attempt(call: &Call<'_>, webhook: &Webhook, example: Option<Value>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let item = ItemId::from_bits(random::bits128()?);
    let now = clock.now();
    // The form of Standard Webhooks: `type`, `timestamp`, `data`.
    let own = || {
        json!({
            "type": "carteiro.test",
            "timestamp": now.to_string(),
            "data": {"webhook": webhook.id, "revision": webhook.revision},
        })
    };
    let test = example.unwrap_or_else(own).to_string().into_bytes();
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
) -> answers::TestResult {
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
    answers::TestResult {
        webhook_id: webhook.id.clone(),
        item: item.clone(),
        outcome: if failure.is_none() { "success" } else { "failure" },
        error: failure.map(|failure| failure.kind),
        status,
        cause: cause.cloned(),
        message: failure.map(|failure| message::because(failure.kind, failure.status, cause)),
        latency_ms,
        response_body,
        response_headers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_sends_an_object_of_the_request_or_its_own() {
        let of = |given: Value| example(given.as_object().unwrap());
        assert_eq!(of(json!({})), Ok(None));
        assert_eq!(of(json!({"item": null})), Ok(None));
        assert_eq!(of(json!({"item": {"text": "Olá"}})), Ok(Some(json!({"text": "Olá"}))));
        let wrong = of(json!({"item": "text", "other": 1})).unwrap_err();
        let fields: Vec<_> = wrong.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["other", "item"]);
    }
}
