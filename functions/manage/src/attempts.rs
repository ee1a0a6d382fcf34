//! `GET /webhooks/{id}/attempts`: the logged attempts, the newest first.

use carteiro_adapters::runtime::http_api::{Request, json};
use carteiro_adapters::tables::attempts::{LogSpan, is_place};
use carteiro_core::attempt_log::{Entry, Filter};
use carteiro_core::item::ItemType;
use carteiro_core::message;
use carteiro_core::problem::FieldError;
use carteiro_core::time;

use crate::call::{Call, Response};
use crate::openapi::examples;
use crate::{answers, lists};

/// The query parameters that choose entries, by their names.
const FILTERS: [&str; 5] = ["type", "outcome", "item", "from", "to"];

/// List attempts
///
/// The attempts that were made of what goes to this webhook, as far as its `log` says: the failed ones, all, or none.
/// Kept for 14 days unless the deployment's operator chose otherwise. The newest first, by when they ended. The log
/// is for people to read: it is written last and never delays a delivery, so an attempt may be missing. A page may be
/// shorter than `limit`, even empty, and go on at `next`, where filters leave out much of what was read. Tests are
/// not in it.
#[utoipa::path(
    get,
    path = "/webhooks/{webhook}/attempts",
    operation_id = "listAttempts",
    tag = "webhooks",
    security(("accountKey" = []), ("adminKey" = [])),
    responses(
        (
            status = 200, description = "A page of them.",
            body = answers::AttemptList,
            example = json!(examples::attempts()),
        ),
    ),
)]
pub(crate) async fn list(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let webhook = call.webhook().await?;
    let (filter, errors) = filter(request);
    // The filter is part of the name, so that a cursor serves the same question alone.
    let asked = FILTERS.map(|name| request.query(name).unwrap_or_default()).join(" ");
    let list = format!("attempts {} {asked}", webhook.id);
    let position = lists::position_after(errors, request, &list, is_place)?;
    let after = position.after.as_deref();
    let span = LogSpan { webhook: &webhook.id, filter: &filter, after, most: position.limit };
    let page = manage.attempts.list(span, clock.now()).await?;
    Ok(json(200, &lists::page::<_, answers::AttemptList>(&list, page, |entry| view(&entry))))
}

/// The filter that a request asks for, and its errors.
fn filter(request: &Request) -> (Filter, Vec<FieldError>) {
    let mut errors = Vec::new();
    let mut wrong = |name: &str, detail: String| errors.push(FieldError::new(name, detail));
    let mut filter = Filter::default();
    if let Some(name) = request.query("type") {
        filter.item_type = ItemType::known(name);
        if filter.item_type.is_none() {
            wrong("type", ItemType::expected());
        }
    }
    match request.query("outcome") {
        None => {}
        Some("success") => filter.success = Some(true),
        Some("failure") => filter.success = Some(false),
        Some(_) => wrong("outcome", "success or failure is expected".to_owned()),
    }
    if let Some(item) = request.query("item") {
        match item.parse() {
            Ok(item) => filter.item = Some(item),
            Err(_) => wrong("item", "an item's id is expected".to_owned()),
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

/// An entry, as the webhook's owner sees it.
pub(crate) fn view(entry: &Entry) -> answers::Attempt {
    let Entry { status, cause, .. } = entry;
    answers::Attempt {
        item: entry.item.clone(),
        item_type: entry.item_type.clone(),
        attempt: entry.attempt,
        at: entry.at.into(),
        outcome: if entry.is_success() { "success" } else { "failure" },
        error: entry.error,
        status: *status,
        cause: cause.clone(),
        message: entry.error.map(|kind| message::because(kind, *status, cause.as_ref())),
        latency_ms: entry.latency_ms,
        response_body: entry.response_body.clone(),
        response_headers: entry.response_headers.clone(),
        revision: entry.revision,
        release_step: entry.release_step,
        replay: entry.replay.clone(),
        became: entry.became,
        next_at: entry.next_at.map(Into::into),
    }
}
