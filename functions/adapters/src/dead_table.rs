//! Dead items: rows of items that will not be attempted again by themselves, under the same keys as held ones.

use aws_sdk_dynamodb::Client;
use carteiro_core::delivery::Delivery;
use carteiro_core::settlement::DeathCause;
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::held_table::delivery_row;
use crate::row::{milliseconds, seconds, text};

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
}
