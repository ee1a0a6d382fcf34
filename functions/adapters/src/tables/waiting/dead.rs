//! Dead items: rows of items that will not be attempted again by themselves, under the same keys as held ones.
//!
//! The index `item` finds an item's row by its id alone. A replay takes rows from here ([`replay`](super::replay)), on
//! condition that they are the rows that it read: an item that died again stays.

use aws_sdk_dynamodb::types::{Delete, TransactWriteItem};
use carteiro_core::delivery::Delivery;
use carteiro_core::id::{ItemId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::message::LastError;
use carteiro_core::settlement::DeathCause;
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::tables::config::ListPage;
use crate::tables::row::{Reader, Row, milliseconds, seconds, sorted_digits, text};
use crate::tables::rows::{Rows, table};
use crate::tables::waiting::keys::{
    HeldKey, Replay, delivery_row, last_error_of, read_delivery, type_and_acceptance,
};
use crate::tables::waiting::merged_rows::{MergedRows, RowQuery};
use crate::tables::waiting::reads::{Span, count_rows, drop_row, keys_of, page, part_of_shard};

const TABLE: &str = "dead";

/// The row is the one that was read: the item did not die once more since, having been replayed.
const IS_SAME_DEATH: &str = "died_at = :died_at AND attribute_not_exists(replay)";
/// Likewise, of one that had been replayed before.
const IS_SAME_LATER_DEATH: &str = "died_at = :died_at AND replay = :replay";

/// The row has not expired. The table may delete an expired row late.
const IS_NOT_FORGOTTEN: &str = "expires_at > :now";

/// Every cause that a row may name.
const CAUSES: [DeathCause; 3] = [DeathCause::Exhausted, DeathCause::RetentionOver, DeathCause::DeadLetter];

/// A dead item, as its owner may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// The dead delivery.
    pub delivery: Delivery,
    /// Why it died.
    pub cause: DeathCause,
    /// Its last failure, where it died of one.
    pub last_error: Option<LastError>,
    /// When.
    pub died_at: Timestamp,
    /// When it is forgotten. The table may show it longer.
    pub until: Timestamp,
}

/// Where a dead item is, by its id. A producer that repeats an id of its own may have several rows of one item, one for
/// each time that it was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadItem {
    /// Its type.
    pub item_type: ItemType,
    /// When the first of them was accepted.
    pub first_accepted: Timestamp,
    /// When the last of them was.
    pub last_accepted: Timestamp,
}

/// A dead item's row, to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadRow {
    key: HeldKey,
    died_at: Timestamp,
    /// The dead delivery.
    pub delivery: Delivery,
}

/// The dead items of a replay, in the order of their acceptance, as they are read.
#[derive(Debug)]
pub struct DeadCursor {
    rows: MergedRows,
    /// The place before which the span ends.
    end: String,
    item: Option<ItemId>,
}

impl DeadRow {
    /// Its place in the order.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.key.sk
    }
}

/// Some dead items of a replay.
#[derive(Debug)]
pub struct DeadPart {
    /// Those that can be taken.
    pub rows: Vec<DeadRow>,
    /// The place of the last row that was read; None where none was.
    pub place: Option<String>,
    /// Whether there are no more.
    pub is_last: bool,
    /// Places of rows that are not as this version writes them, and why: they stay where they are.
    pub unreadable: Vec<(String, AdapterError)>,
}

/// The most rows that are read for a part of a replay's dead items.
const LOOKED_AT: usize = 400;

table! {
    /// Items that will not be attempted again by themselves.
    pub struct DeadRows;
}

impl DeadRows {
    /// Buries a delivery until `expires_at`, or until its network's storage limit, and logs that. Burying it again
    /// replaces the row. `last_error` is the failure that it died of, as [`LastError`] is stored.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn bury(
        &self,
        delivery: &Delivery,
        (cause, last_error): (DeathCause, Option<&str>),
        died_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), AdapterError> {
        let mut row = delivery_row(delivery);
        row.extend(last_error.map(|error| ("last_error".to_owned(), text(error))));
        row.insert("cause".to_owned(), text(cause.as_str()));
        row.insert("died_at".to_owned(), milliseconds(died_at));
        row.insert("expires_at".to_owned(), seconds(delivery.capped_at_keep_until(expires_at)));
        self.put_item(row).send().await.map_err(AdapterError::in_call("burying an item"))?;
        tracing::warn!(
            account = delivery.account.as_str(),
            webhook = delivery.webhook.as_str(),
            item = delivery.item.as_str(),
            item_type = delivery.item_type.as_str(),
            cause = cause.as_str(),
            "delivery.dead"
        );
        Ok(())
    }

    /// A page of a webhook's dead items, by type and then in the order of their acceptance.
    ///
    /// # Errors
    /// Where the table or a row cannot be read.
    pub async fn list(&self, span: Span<'_>) -> Result<ListPage<Dead>, AdapterError> {
        page(&self.client, (TABLE, &self.name), span, dead).await
    }

    /// The number of items of a webhook and type that are dead and not expired at `now`. Counting ends once `most` is
    /// exceeded.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn count(
        &self,
        webhook: &WebhookId,
        item_type: &str,
        most: usize,
        now: Timestamp,
    ) -> Result<usize, AdapterError> {
        let not_forgotten = (IS_NOT_FORGOTTEN, seconds(now));
        let counted = count_rows(&self.client, &self.name, (webhook, item_type), most, not_forgotten).await;
        counted.map(|counted| counted.rows)
    }

    /// Up to `most` keys of a webhook's rows in a shard; there are [`crate::tables::waiting::keys::SHARDS`].
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn keys_of(
        &self,
        webhook: &WebhookId,
        shard: u8,
        most: u16,
    ) -> Result<Vec<HeldKey>, AdapterError> {
        keys_of(&self.client, &self.name, webhook, shard, most).await
    }

    /// A webhook's dead item; None where it has none of this id. The index lags behind the table by moments.
    ///
    /// # Errors
    /// Where the index or a row cannot be read.
    pub async fn find_item(
        &self,
        webhook: &WebhookId,
        item: &ItemId,
    ) -> Result<Option<DeadItem>, AdapterError> {
        let call = self
            .query_rows()
            .index_name("item")
            .key_condition_expression("#item = :item AND begins_with(pk, :webhook)")
            .expression_attribute_names("#item", "item")
            .expression_attribute_values(":item", text(item.as_str()))
            .expression_attribute_values(":webhook", text(format!("{webhook}#")));
        let answer = call.send().await.map_err(AdapterError::in_call("finding a dead item"))?;
        let mut found: Option<DeadItem> = None;
        for row in answer.items.unwrap_or_default() {
            let place = Reader { table: TABLE, row: &row }.text("sk")?.to_owned();
            // A row of another form is not found by its item.
            let Some((item_type, accepted_at)) = type_and_acceptance(&place) else { continue };
            match &mut found {
                Some(found) if found.item_type == item_type => {
                    found.first_accepted = found.first_accepted.min(accepted_at);
                    found.last_accepted = found.last_accepted.max(accepted_at);
                }
                // An id is drawn, or derived from the type too: no other type has it.
                Some(_) => {}
                None => {
                    found =
                        Some(DeadItem { item_type, first_accepted: accepted_at, last_accepted: accepted_at });
                }
            }
        }
        Ok(found)
    }

    /// The dead items that a replay asks for, after a place.
    #[must_use]
    pub fn of_replay(&self, replay: &Replay, after: Option<&str>) -> DeadCursor {
        let reading = RowQuery {
            webhook: replay.key.webhook.clone(),
            item_type: Some(replay.item_type.clone()),
            only: None,
            item: replay.item.clone(),
        };
        let place = |at: Timestamp| format!("{}#{}", replay.item_type, sorted_digits(at));
        // No row stands at these places, for they lack the item; a digit sorts before a colon.
        let begin = after.map(str::to_owned).or_else(|| replay.from.map(place));
        let end = replay.to.map_or_else(|| format!("{}#:", replay.item_type), place);
        DeadCursor { rows: MergedRows::new(reading, begin.as_deref()), end, item: replay.item.clone() }
    }

    /// The next part of a replay's dead items: up to `most`, and up to `most_bytes`, except that one larger item is
    /// allowed. Items that are expired at `now`, that died again in this replay, or that cannot be read are left out:
    /// one such row must not keep the others from being replayed.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn next_part(
        &self,
        rows: &mut DeadCursor,
        replay: &Replay,
        (most, most_bytes): (usize, usize),
        now: Timestamp,
    ) -> Result<DeadPart, AdapterError> {
        let mut part = DeadPart { rows: Vec::new(), place: None, is_last: false, unreadable: Vec::new() };
        let mut bytes = 0;
        for _ in 0..LOOKED_AT {
            let of_shard = part_of_shard(u32::try_from(most).unwrap_or(u32::MAX));
            let Some(row) = rows.rows.peek(&self.client, &self.name, of_shard).await? else {
                part.is_last = true;
                return Ok(part);
            };
            let place = Reader { table: TABLE, row }.text("sk")?.to_owned();
            if place >= rows.end {
                part.is_last = true;
                return Ok(part);
            }
            let found = match dead(row) {
                Ok(found) => found,
                Err(error) => {
                    part.unreadable.push((place.clone(), error));
                    part.place = Some(place);
                    rows.rows.take();
                    continue;
                }
            };
            let again = found.delivery.replayed.as_ref().is_some_and(|one| one.replay == replay.key.replay);
            let asked_for = rows.item.as_ref().is_none_or(|item| *item == found.delivery.item);
            if asked_for && !again && now < found.until {
                bytes += found.delivery.body.len();
                if part.rows.len() >= most || (bytes > most_bytes && !part.rows.is_empty()) {
                    return Ok(part);
                }
                let key = HeldKey::of_row(row)?;
                part.rows.push(DeadRow { key, died_at: found.died_at, delivery: found.delivery });
            }
            part.place = Some(place);
            rows.rows.take();
        }
        Ok(part)
    }

    /// The part of a transaction that takes a dead item.
    pub(crate) fn delete_taken(
        &self,
        row: &DeadRow,
        operation: &'static str,
    ) -> Result<TransactWriteItem, AdapterError> {
        let mut delete = Delete::builder()
            .table_name(&self.name)
            .key("pk", text(row.key.pk.as_str()))
            .key("sk", text(row.key.sk.as_str()))
            .expression_attribute_values(":died_at", milliseconds(row.died_at));
        delete = match &row.delivery.replayed {
            None => delete.condition_expression(IS_SAME_DEATH),
            Some(replayed) => delete
                .condition_expression(IS_SAME_LATER_DEATH)
                .expression_attribute_values(":replay", text(replayed.replay.as_str())),
        };
        let delete = delete.build().map_err(AdapterError::not_built(operation))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// Drops a row. For webhooks that were deleted.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn drop_row(&self, key: &HeldKey) -> Result<(), AdapterError> {
        drop_row(&self.client, &self.name, key).await
    }
}

fn dead(row: &Row) -> Result<Dead, AdapterError> {
    let delivery = read_delivery(TABLE, row)?;
    let reader = Reader { table: TABLE, row };
    let died_at = reader.milliseconds("died_at")?;
    let last_error = last_error_of(row);
    Ok(Dead { delivery, cause: cause_of(row)?, last_error, died_at, until: reader.seconds("expires_at")? })
}

/// Why the item of a row died.
pub(crate) fn cause_of(row: &Row) -> Result<DeathCause, AdapterError> {
    let reader = Reader { table: TABLE, row };
    let name = reader.text("cause")?;
    let cause = CAUSES.into_iter().find(|cause| cause.as_str() == name);
    cause.ok_or(AdapterError::Malformed { table: TABLE, attribute: "cause" })
}
