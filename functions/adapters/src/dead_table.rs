//! Dead items: rows of items that will not be attempted again by themselves, under the same keys as held ones.

use aws_sdk_dynamodb::Client;
use carteiro_core::delivery::Delivery;
use carteiro_core::id::WebhookId;
use carteiro_core::settlement::DeathCause;
use jiff::Timestamp;

use crate::config_table::Page;
use crate::error::AdapterError;
use crate::held_table::{HeldKey, Span, delivery_row, drop_row, keys_of, page, read_delivery};
use crate::row::{Reader, Row, milliseconds, seconds, text};

const TABLE: &str = "dead";

/// Every cause that a row may name.
const CAUSES: [DeathCause; 3] = [DeathCause::Exhausted, DeathCause::RetentionOver, DeathCause::DeadLetter];

/// A dead item, as its owner may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// What died.
    pub delivery: Delivery,
    /// Of what.
    pub cause: DeathCause,
    /// When.
    pub died_at: Timestamp,
    /// When it is forgotten. The table may show it longer.
    pub until: Timestamp,
}

/// Items that will not be attempted again by themselves.
#[derive(Clone, Debug)]
pub struct DeadTable {
    client: Client,
    name: String,
}

impl DeadTable {
    /// The table of this name.
    #[must_use]
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// Buries a delivery. Burying it again replaces the row.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn bury(
        &self,
        delivery: &Delivery,
        cause: DeathCause,
        died_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), AdapterError> {
        let mut row = delivery_row(delivery);
        row.insert("cause".to_owned(), text(cause.as_str()));
        row.insert("died_at".to_owned(), milliseconds(died_at));
        row.insert("expires_at".to_owned(), seconds(expires_at));
        let sent = self.client.put_item().table_name(&self.name).set_item(Some(row)).send().await;
        sent.map(|_| ()).map_err(|error| AdapterError::of_call("burying an item", error))
    }

    /// A page of a webhook's dead items, by type and then in the order of their acceptance.
    ///
    /// # Errors
    /// Where the table cannot be read, or a row of it.
    pub async fn list(&self, span: Span<'_>) -> Result<Page<Dead>, AdapterError> {
        page(&self.client, &self.name, span, dead).await
    }

    /// Up to `most` keys of a webhook's rows in a shard; there are [`crate::held_table::SHARDS`].
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
    let name = reader.text("cause")?;
    let cause = CAUSES.into_iter().find(|cause| cause.as_str() == name);
    let cause = cause.ok_or(AdapterError::Malformed { table: TABLE, attribute: "cause" })?;
    let died_at = reader.milliseconds("died_at")?;
    Ok(Dead { delivery, cause, died_at, until: reader.seconds("expires_at")? })
}
