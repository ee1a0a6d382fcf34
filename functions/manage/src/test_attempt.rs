//! `POST /webhooks/{id}/test`: one attempt now, with its result in the answer. It counts for nothing, is not logged
//! as an attempt and never retried.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use bytes::Bytes;
use carteiro_adapters::authentication::Caller;
use carteiro_adapters::clock::InvocationClock;
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::http_api::{Failure, Request, json};
use carteiro_adapters::random;
use carteiro_adapters::sender::{Attempt, Labels, headers};
use carteiro_core::id::ItemId;
use carteiro_core::outcome::Outcome;
use carteiro_core::problem::Problem;
use serde_json::{Value, json};

use crate::{Manage, body, webhooks};

/// How much of the response's body is shown.
const SHOWN_BYTES: usize = 4096;

pub(crate) async fn make(
    manage: &Manage,
    caller: Caller,
    request: &Request,
    clock: InvocationClock,
) -> Result<ApiGatewayV2httpResponse, Failure> {
    let account = caller.account()?;
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
    let webhook = webhooks::find(manage, &account, request).await?;
    let item = ItemId::from_bits(random::bits128()?);
    let now = clock.now();
    // The form of Standard Webhooks: `type`, `timestamp`, `data`.
    let test = json!({
        "type": "carteiro.test",
        "timestamp": now.to_string(),
        "data": {"webhook": webhook.id, "revision": webhook.revision},
    });
    let test = test.to_string().into_bytes();
    let labels = Labels { id: item.as_str(), item_type: "test", source: "carteiro", attempt: 1, hop };
    let attempt = Attempt {
        url: &webhook.settings.url,
        headers: headers(&webhook, &labels, &test, now),
        body: Bytes::from(test),
    };
    let attempted = match webhooks::refuse_own(manage, request, &webhook.settings.url) {
        Ok(()) => manage.sender.attempt(attempt, now).await,
        Err(own) => Ok(own.into()),
    };
    let attempted = attempted.map_err(|error| AdapterError::unavailable("testing a webhook", error))?;
    let shown = &attempted.response_body[..attempted.response_body.len().min(SHOWN_BYTES)];
    let (outcome, error, status) = match &attempted.outcome {
        Outcome::Success { status } => ("success", Value::Null, Some(*status)),
        Outcome::Failure(failure) => ("failure", json!(failure.kind), failure.status),
    };
    Ok(json(
        200,
        &json!({
            "webhook_id": item,
            "outcome": outcome,
            "error": error,
            "status": status,
            "latency_ms": attempted.latency_ms,
            "response_body": String::from_utf8_lossy(shown),
        }),
    ))
}
