//! `GET /webhooks/{id}/held` and `/dead`: what waits for a webhook, and what will not be attempted again by itself.
//!
//! Rows come by type and then in the order of their acceptance, wherever they lie. A cursor is the place of the last
//! row that was shown, so paging neither repeats nor skips what stays; what comes and goes meanwhile may be seen or not.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::http_api::{Failure, Request, json};
use carteiro_adapters::tables::waiting::dead::Dead;
use carteiro_adapters::tables::waiting::held::Held;
use carteiro_adapters::tables::waiting::keys::is_place;
use carteiro_adapters::tables::waiting::reads::Span;
use carteiro_core::delivery::Delivery;
use carteiro_core::id::WebhookId;
use carteiro_core::item::ItemType;
use carteiro_core::problem::{FieldError, Problem};
use carteiro_core::time;
use carteiro_services::authentication::Caller;
use serde_json::{Value, json};

use crate::{Manage, lists, webhooks};

/// The most bytes of items of a page. An item that is quotes, backslashes or line breaks grows to twice its size as text
/// in the answer, which is JSON, and the answer likewise as text in what the platform takes of a function, JSON again
/// and at most 6 MB.
pub(crate) const MAX_PAGE_ITEM_BYTES: usize = 1024 * 1024;

pub(crate) async fn held(
    manage: &Manage,
    caller: Caller,
    request: &Request,
    clock: InvocationClock,
) -> Result<ApiGatewayV2httpResponse, Failure> {
    let webhook = webhooks::find(manage, &caller.account()?, request).await?;
    let asked = Asked::read(request, &format!("held {}", webhook.id))?;
    let mut page = manage.held.items.list(asked.span(&webhook.id)).await?;
    // What its network does not let be kept any more may still be there, to be dropped.
    page.data.retain(|one| !one.delivery.is_over_limit(clock.now()));
    let view = |one: Held| {
        let mut shown = item(&one.delivery, asked.with_items);
        shown["held_for"] = json!(one.reason.as_str());
        shown["due_at"] = json!(one.due_at.map(time::shown));
        shown
    };
    Ok(json(200, &lists::page(&asked.list, page, view)))
}

pub(crate) async fn dead(
    manage: &Manage,
    caller: Caller,
    request: &Request,
    clock: InvocationClock,
) -> Result<ApiGatewayV2httpResponse, Failure> {
    let webhook = webhooks::find(manage, &caller.account()?, request).await?;
    let asked = Asked::read(request, &format!("dead {}", webhook.id))?;
    let mut page = manage.dead.list(asked.span(&webhook.id)).await?;
    // The table deletes late. A page may so become shorter than its limit, and the next one goes on.
    page.data.retain(|one| clock.now() < one.until);
    let view = |one: Dead| {
        let mut shown = item(&one.delivery, asked.with_items);
        shown["cause"] = json!(one.cause.as_str());
        shown["died_at"] = json!(time::shown(one.died_at));
        shown
    };
    Ok(json(200, &lists::page(&asked.list, page, view)))
}

/// What is shown of a held and of a dead item alike.
pub(crate) fn item(delivery: &Delivery, with_item: bool) -> Value {
    let mut shown = json!({
        "id": delivery.item,
        "type": delivery.item_type,
        "source": delivery.source.to_string(),
        "accepted_at": time::shown(delivery.accepted_at),
        "attempt": delivery.attempt,
        "bytes": delivery.body.len(),
    });
    if with_item {
        shown["item"] = json!(String::from_utf8_lossy(&delivery.body));
    }
    shown
}

/// What a request asks for.
struct Asked {
    /// The list's name in cursors: one of another webhook, list or type is refused.
    list: String,
    item_type: Option<ItemType>,
    with_items: bool,
    position: lists::Position,
}

impl Asked {
    fn read(request: &Request, list: &str) -> Result<Self, Problem> {
        let mut errors = Vec::new();
        let item_type =
            request.query("type").map(|name| ItemType::KNOWN.into_iter().find(|one| one.as_str() == name));
        if item_type == Some(None) {
            let known = ItemType::KNOWN.map(|one| one.to_string()).join(", ");
            errors.push(FieldError::new("type", format!("one of {known} is expected")));
        }
        let with_items = match request.query("items") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                errors.push(FieldError::new("items", "true or false is expected"));
                false
            }
        };
        let item_type = item_type.flatten();
        let list = format!("{list} {}", item_type.as_ref().map_or("", ItemType::as_str));
        let position = lists::position(request, &list, |place| is_place(place, item_type.as_ref()));
        match position {
            Ok(position) if errors.is_empty() => Ok(Self { list, item_type, with_items, position }),
            Ok(_) => Err(Problem::invalid_fields(errors)),
            Err(problem) => {
                errors.extend(problem.errors);
                Err(Problem::invalid_fields(errors))
            }
        }
    }

    fn span<'a>(&'a self, webhook: &'a WebhookId) -> Span<'a> {
        Span {
            webhook,
            item_type: self.item_type.as_ref(),
            after: self.position.after.as_deref(),
            most: self.position.limit,
            most_bytes: MAX_PAGE_ITEM_BYTES,
        }
    }
}
