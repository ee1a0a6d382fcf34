//! The rows of one item among the held or the dead ones, whatever their webhooks.
//!
//! Both tables have the index `item`, which names the rows of an item and lags behind by moments. The rows are then
//! read without the item's bytes: one query and one read of keys for each table.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::KeysAndAttributes;
use carteiro_core::holding::HeldFor;
use carteiro_core::id::{AccountId, ItemId, WebhookId};
use carteiro_core::item::{ItemType, Source};
use carteiro_core::message::LastError;
use carteiro_core::settlement::DeathCause;
use carteiro_core::webhook::MAX_WEBHOOKS_PER_ACCOUNT;
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::tables::row::{Reader, Row, text};
use crate::tables::unreadable::readable;
use crate::tables::waiting::dead::{DeadRows, cause_of};
use crate::tables::waiting::held::{HeldRows, due_at_of, reason_of};
use crate::tables::waiting::keys::last_error_of;

const OPERATION: &str = "finding an item's rows";

/// The attributes that are read. The item's bytes stay in the table.
const ATTRIBUTES: [&str; 16] = [
    "pk",
    "sk",
    "account",
    "webhook",
    "item",
    "type",
    "source",
    "accepted_at",
    "attempt",
    "last_error",
    "keep_until",
    "held_for",
    "due_at",
    "cause",
    "died_at",
    "expires_at",
];

/// A row of an item, held or dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemRow<T> {
    /// The account.
    pub account: AccountId,
    /// The webhook.
    pub webhook: WebhookId,
    /// The item's type.
    pub item_type: ItemType,
    /// Its source.
    pub source: Source,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The number of its next attempt.
    pub attempt: u32,
    /// Its last failure, where an attempt led to the row.
    pub last_error: Option<LastError>,
    /// What the table has beside this.
    pub what: T,
}

/// What the row of a held item has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldAs {
    /// Why it is held.
    pub reason: HeldFor,
    /// When it comes due; None while it waits for its release.
    pub due_at: Option<Timestamp>,
}

/// What the row of a dead item has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadAs {
    /// Why it died.
    pub cause: DeathCause,
    /// When.
    pub died_at: Timestamp,
}

impl HeldRows {
    /// The held rows of an item that may be kept at `now`.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn of_item(&self, item: &ItemId, now: Timestamp) -> Result<Vec<ItemRow<HeldAs>>, AdapterError> {
        const TABLE: &str = "held";
        let rows = rows(&self.client, &self.name, item).await?;
        let held = |row: &Row| {
            let reader = Reader { table: TABLE, row };
            if row.contains_key("keep_until") && reader.milliseconds("keep_until")? <= now {
                return Ok(None);
            }
            item_row(TABLE, row, HeldAs { reason: reason_of(row)?, due_at: due_at_of(row)? }).map(Some)
        };
        Ok(rows.iter().filter_map(|row| readable(TABLE, row, held(row))?).collect())
    }
}

impl DeadRows {
    /// The dead rows of an item that are not forgotten at `now`.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn of_item(&self, item: &ItemId, now: Timestamp) -> Result<Vec<ItemRow<DeadAs>>, AdapterError> {
        const TABLE: &str = "dead";
        let rows = rows(&self.client, &self.name, item).await?;
        let dead = |row: &Row| {
            let reader = Reader { table: TABLE, row };
            if reader.seconds("expires_at")? <= now {
                return Ok(None);
            }
            let what = DeadAs { cause: cause_of(row)?, died_at: reader.milliseconds("died_at")? };
            item_row(TABLE, row, what).map(Some)
        };
        Ok(rows.iter().filter_map(|row| readable(TABLE, row, dead(row))?).collect())
    }
}

fn item_row<T>(table: &'static str, row: &Row, what: T) -> Result<ItemRow<T>, AdapterError> {
    let reader = Reader { table, row };
    Ok(ItemRow {
        account: reader.parsed("account")?,
        webhook: reader.parsed("webhook")?,
        item_type: reader.parsed("type")?,
        source: reader.parsed("source")?,
        accepted_at: reader.milliseconds("accepted_at")?,
        attempt: reader.number("attempt")?,
        last_error: last_error_of(row),
        what,
    })
}

/// The rows of an item, up to as many as an account may have webhooks.
async fn rows(client: &Client, table: &str, item: &ItemId) -> Result<Vec<Row>, AdapterError> {
    let call = client
        .query()
        .table_name(table)
        .index_name("item")
        .key_condition_expression("#item = :item")
        .expression_attribute_names("#item", "item")
        .expression_attribute_values(":item", text(item.as_str()))
        .limit(i32::try_from(MAX_WEBHOOKS_PER_ACCOUNT).unwrap_or(i32::MAX));
    let answer = call.send().await.map_err(AdapterError::in_call(OPERATION))?;
    let key = |row: &Row| {
        Row::from_iter(
            ["pk", "sk"].iter().filter_map(|name| Some(((*name).to_owned(), row.get(*name)?.clone()))),
        )
    };
    let keys: Vec<Row> = answer.items.unwrap_or_default().iter().map(key).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let names = ATTRIBUTES.map(|name| (format!("#{name}"), name.to_owned()));
    let keys = KeysAndAttributes::builder()
        .set_keys(Some(keys))
        .consistent_read(true)
        .projection_expression(ATTRIBUTES.map(|name| format!("#{name}")).join(", "))
        .set_expression_attribute_names(Some(HashMap::from(names)))
        .build();
    let mut left = HashMap::from([(table.to_owned(), keys.map_err(AdapterError::not_built(OPERATION))?)]);
    let mut rows = Vec::new();
    for _ in 0..5 {
        let answer = client.batch_get_item().set_request_items(Some(left)).send().await;
        let answer = answer.map_err(AdapterError::in_call(OPERATION))?;
        rows.extend(answer.responses.into_iter().flatten().flat_map(|(_, rows)| rows));
        left = answer.unprocessed_keys.unwrap_or_default();
        if left.is_empty() {
            return Ok(rows);
        }
    }
    Err(AdapterError::Incomplete { operation: OPERATION })
}
