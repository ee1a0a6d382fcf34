//! `GET /webhooks/{id}/attempts`: the attempts that were made, as far as they are logged, the newest first.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::http_api::{Failure, Request, json};
use carteiro_adapters::tables::attempts::{LogSpan, is_place};
use carteiro_core::attempt_log::{Entry, Filter};
use carteiro_core::item::ItemType;
use carteiro_core::message;
use carteiro_core::problem::{FieldError, Problem};
use carteiro_core::time;
use carteiro_services::authentication::Caller;
use serde_json::{Value, json};

use crate::{Manage, lists, webhooks};

/// The query parameters that choose entries, by their names.
const FILTERS: [&str; 5] = ["type", "outcome", "item", "from", "to"];

pub(crate) async fn list(
    manage: &Manage,
    caller: Caller,
    request: &Request,
    clock: InvocationClock,
) -> Result<ApiGatewayV2httpResponse, Failure> {
    let webhook = webhooks::find(manage, &caller.account()?, request).await?;
    let (filter, mut errors) = filter(request);
    // What is asked for is part of the name, so that a cursor serves the same question alone.
    let asked = FILTERS.map(|name| request.query(name).unwrap_or_default()).join(" ");
    let list = format!("attempts {} {asked}", webhook.id);
    let position = match lists::position(request, &list, is_place) {
        Ok(position) if errors.is_empty() => position,
        Ok(_) => return Err(Problem::invalid_fields(errors).into()),
        Err(problem) => {
            errors.extend(problem.errors);
            return Err(Problem::invalid_fields(errors).into());
        }
    };
    let after = position.after.as_deref();
    let span = LogSpan { webhook: &webhook.id, filter: &filter, after, most: position.limit };
    let page = manage.attempts.list(span, clock.now()).await?;
    Ok(json(200, &lists::page(&list, page, |entry| view(&entry))))
}

/// What is asked for, and what is wrong with it.
fn filter(request: &Request) -> (Filter, Vec<FieldError>) {
    let mut errors = Vec::new();
    let mut wrong =
        |name: &str, expected: &str| errors.push(FieldError::new(name, format!("{expected} is expected")));
    let known = |name: &str| ItemType::KNOWN.into_iter().find(|one| one.as_str() == name);
    let mut filter = Filter::default();
    if let Some(name) = request.query("type") {
        filter.item_type = known(name);
        if filter.item_type.is_none() {
            wrong("type", &format!("one of {}", ItemType::KNOWN.map(|one| one.to_string()).join(", ")));
        }
    }
    match request.query("outcome") {
        None => {}
        Some("success") => filter.success = Some(true),
        Some("failure") => filter.success = Some(false),
        Some(_) => wrong("outcome", "success or failure"),
    }
    if let Some(item) = request.query("item") {
        match item.parse() {
            Ok(item) => filter.item = Some(item),
            Err(_) => wrong("item", "an item's id"),
        }
    }
    for (name, at) in [("from", &mut filter.from), ("to", &mut filter.to)] {
        if let Some(text) = request.query(name) {
            *at = time::read(text);
            if at.is_none() {
                errors.push(FieldError::new(name, time::EXPECTED));
            }
        }
    }
    (filter, errors)
}

/// An entry, as its owner sees it.
pub(crate) fn view(entry: &Entry) -> Value {
    json!({
        "item": entry.item,
        "type": entry.item_type,
        "attempt": entry.attempt,
        "at": time::shown(entry.at),
        "outcome": if entry.is_success() { "success" } else { "failure" },
        "error": entry.error,
        "status": entry.status,
        "cause": entry.cause,
        "message": entry.error.map(|kind| message::because(kind, entry.status, entry.cause.as_ref())),
        "latency_ms": entry.latency_ms,
        "response_body": entry.response_body,
        "response_headers": entry.response_headers,
        "revision": entry.revision,
        "release_step": entry.release_step,
        "replay": entry.replay,
        "became": entry.became,
        "next_at": entry.next_at.map(time::shown),
    })
}
