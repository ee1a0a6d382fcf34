//! `GET /webhooks/{id}/held` and `/dead`: the held and the dead items of a webhook.
//!
//! Rows come by type and then in the order of their acceptance, whatever their shards. A cursor is the place of the
//! last row that was shown, so paging neither repeats nor skips a row that stays; one that comes or goes meanwhile may
//! be seen or not.

use carteiro_adapters::runtime::http_api::{Request, json};
use carteiro_adapters::tables::waiting::dead::Dead;
use carteiro_adapters::tables::waiting::held::Held;
use carteiro_adapters::tables::waiting::keys::is_place;
use carteiro_adapters::tables::waiting::reads::Span;
use carteiro_core::delivery::Delivery;
use carteiro_core::id::WebhookId;
use carteiro_core::item::ItemType;
use carteiro_core::message::LastError;
use carteiro_core::problem::{FieldError, Problem};
use carteiro_core::time;
use serde_json::{Value, json};

use crate::call::{Call, Response};
use crate::lists;

/// The most bytes of items of a page. An item that is quotes, backslashes or line breaks grows to twice its size as
/// text in the answer, which is JSON, and the answer likewise as text in what the platform takes of a function, JSON
/// again and at most 6 MB.
pub(crate) const MAX_PAGE_ITEM_BYTES: usize = 1024 * 1024;

pub(crate) async fn held(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let webhook = call.webhook().await?;
    let asked = Asked::read(request, &format!("held {}", webhook.id))?.by(call)?;
    let mut page = manage.held.items.list(asked.span(&webhook.id)).await?;
    // An item past its storage term may still be there, to be dropped.
    page.data.retain(|held| !held.delivery.is_past_keep_until(clock.now()));
    let view = |held: Held| {
        let mut shown = item(&held.delivery, asked.with_items);
        shown["held_for"] = json!(held.reason.as_str());
        shown["due_at"] = json!(held.due_at.map(time::shown));
        shown["last_error"] = json!(held.last_error.as_ref().map(LastError::told));
        shown
    };
    Ok(json(200, &lists::page(&asked.list, page, view)))
}

pub(crate) async fn dead(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let webhook = call.webhook().await?;
    let asked = Asked::read(request, &format!("dead {}", webhook.id))?.by(call)?;
    let mut page = manage.dead.list(asked.span(&webhook.id)).await?;
    // The table deletes late. A page may so become shorter than its limit, and the next one goes on.
    page.data.retain(|dead| clock.now() < dead.until);
    let view = |dead: Dead| {
        let mut shown = item(&dead.delivery, asked.with_items);
        shown["cause"] = json!(dead.cause.as_str());
        shown["died_at"] = json!(time::shown(dead.died_at));
        shown["last_error"] = json!(dead.last_error.as_ref().map(LastError::told));
        shown
    };
    Ok(json(200, &lists::page(&asked.list, page, view)))
}

/// The fields that held and dead items share.
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

/// The parameters of a request.
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
        let item_type = request.query("type").map(ItemType::known);
        if item_type == Some(None) {
            errors.push(FieldError::new("type", ItemType::expected()));
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
        let is_key = |place: &str| is_place(place, item_type.as_ref());
        let position = lists::position_after(errors, request, &list, is_key)?;
        Ok(Self { list, item_type, with_items, position })
    }

    /// The same, unless the operator asks for items' bytes: those are their account's alone.
    fn by(self, call: &Call<'_>) -> Result<Self, Problem> {
        if self.with_items && call.is_operator() {
            return Err(Problem::forbidden("items' bytes are for their account's key; leave out items=true"));
        }
        Ok(self)
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
