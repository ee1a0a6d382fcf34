//! What a customer sees of a webhook.

use carteiro_adapters::error::AdapterError;
use carteiro_core::item::ItemType;
use carteiro_core::webhook::Webhook;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Map, Value, json};

use crate::Manage;

/// Up to how many held items are counted exactly.
const EXACT_HELD: usize = 1000;

/// A webhook, without its secrets.
pub(crate) fn webhook(webhook: &Webhook) -> Value {
    let settings = &webhook.settings;
    json!({
        "id": webhook.id,
        "url": settings.url,
        "items": settings.items,
        "sources": settings.sources,
        "headers": settings.headers,
        "while_blocked": settings.while_blocked,
        "log": settings.log,
        "description": settings.description,
        "enabled": settings.enabled,
        "disabled_by": webhook.disabled_by,
        "threshold": settings.threshold,
        "block_seconds": settings.block_seconds,
        "revision": webhook.revision,
        "created_at": webhook.created_at.to_string(),
        "updated_at": webhook.updated_at.to_string(),
    })
}

/// The state of each item type that the webhook takes.
pub(crate) async fn status(manage: &Manage, webhook: &Webhook) -> Result<Value, AdapterError> {
    let of_types = stream::iter(&webhook.settings.items).map(|item_type| of_type(manage, webhook, item_type));
    let of_types: Vec<(String, Value)> = of_types.buffered(3).try_collect().await?;
    Ok(Value::Object(Map::from_iter(of_types)))
}

async fn of_type(
    manage: &Manage,
    webhook: &Webhook,
    item_type: &ItemType,
) -> Result<(String, Value), AdapterError> {
    let held = manage.held.count(&webhook.id, item_type.as_str(), EXACT_HELD).await?;
    let state = if webhook.disabled_by.is_some() { "disabled" } else { "open" };
    let mut status = json!({
        "state": state,
        "threshold": webhook.settings.threshold.unwrap_or(manage.threshold),
        "held": held.min(EXACT_HELD),
    });
    if held > EXACT_HELD {
        status["held_more"] = Value::Bool(true);
    }
    Ok((item_type.as_str().to_owned(), status))
}
