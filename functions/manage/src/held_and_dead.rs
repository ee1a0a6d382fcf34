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

use crate::call::{Call, Response};
use crate::openapi::examples;
use crate::{answers, lists};

/// The most bytes of items of a page. An item that is quotes, backslashes or line breaks grows to twice its size as
/// text in the answer, which is JSON, and the answer likewise as text in what the platform takes of a function, JSON
/// again and at most 6 MB.
pub(crate) const MAX_PAGE_ITEM_BYTES: usize = 1024 * 1024;

/// List held items
///
/// What waits for this webhook: for the end of a block, for the webhook to be enabled, or for a retry more than 15
/// minutes away. By type, in alphabetical order, and then in the order of acceptance. A page ends early where its
/// items pass 1,048,576 bytes (1 MiB) in all, shown or not.
#[utoipa::path(
    get,
    path = "/webhooks/{webhook}/held",
    operation_id = "listHeld",
    tag = "webhooks",
    security(("accountKey" = []), ("adminKey" = [])),
    responses(
        (
            status = 200, description = "A page of them.",
            body = answers::HeldList,
            example = json!(examples::held()),
        ),
    ),
    extensions(("x-max-page-item-bytes" = json!(MAX_PAGE_ITEM_BYTES))),
)]
pub(crate) async fn held(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let webhook = call.webhook().await?;
    let asked = Asked::read(request, &format!("held {}", webhook.id))?.by(call)?;
    let mut page = manage.held.items.list(asked.span(&webhook.id)).await?;
    // An item past its storage term may still be there, to be dropped.
    page.data.retain(|held| !held.delivery.is_past_keep_until(clock.now()));
    let view = |held: Held| answers::HeldItem {
        item: asked.item(&held.delivery),
        bytes: held.delivery.body.len(),
        source: held.delivery.source.to_string(),
        accepted_at: held.delivery.accepted_at.into(),
        attempt: held.delivery.attempt,
        id: held.delivery.item,
        item_type: held.delivery.item_type,
        held_for: held.reason.as_str(),
        due_at: held.due_at.map(Into::into),
        last_error: held.last_error.as_ref().map(LastError::told),
    };
    Ok(json(200, &lists::page::<_, answers::HeldList>(&asked.list, page, view)))
}

/// List dead items
///
/// What will not be attempted again by itself. A dead item is kept as long again as an item is held at most (14 days
/// unless the deployment's operator chose otherwise), or until its webhook is deleted. By type, in alphabetical
/// order, and then in the order of acceptance. A page ends early where its items pass 1,048,576 bytes (1 MiB) in all,
/// shown or not.
#[utoipa::path(
    get,
    path = "/webhooks/{webhook}/dead",
    operation_id = "listDead",
    tag = "webhooks",
    security(("accountKey" = []), ("adminKey" = [])),
    responses(
        (
            status = 200, description = "A page of them.",
            body = answers::DeadList,
            example = json!(examples::dead()),
        ),
    ),
    extensions(("x-max-page-item-bytes" = json!(MAX_PAGE_ITEM_BYTES))),
)]
pub(crate) async fn dead(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let webhook = call.webhook().await?;
    let asked = Asked::read(request, &format!("dead {}", webhook.id))?.by(call)?;
    let mut page = manage.dead.list(asked.span(&webhook.id)).await?;
    // The table deletes late. A page may so become shorter than its limit, and the next one goes on.
    page.data.retain(|dead| clock.now() < dead.until);
    let view = |dead: Dead| answers::DeadItem {
        item: asked.item(&dead.delivery),
        bytes: dead.delivery.body.len(),
        source: dead.delivery.source.to_string(),
        accepted_at: dead.delivery.accepted_at.into(),
        attempt: dead.delivery.attempt,
        id: dead.delivery.item,
        item_type: dead.delivery.item_type,
        cause: dead.cause.as_str(),
        died_at: dead.died_at.into(),
        last_error: dead.last_error.as_ref().map(LastError::told),
    };
    Ok(json(200, &lists::page::<_, answers::DeadList>(&asked.list, page, view)))
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

    /// An item's bytes as text, where they are asked for.
    fn item(&self, delivery: &Delivery) -> Option<String> {
        self.with_items.then(|| String::from_utf8_lossy(&delivery.body).into_owned())
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
