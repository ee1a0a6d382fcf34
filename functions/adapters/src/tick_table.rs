//! Which schedule slots were planned. A slot is claimed by a conditional write, for a lease, and marked when its plan
//! was sent, so that a tick that died is repeated and one that was invoked twice plans once.

use aws_sdk_dynamodb::Client;
use carteiro_core::slot::Slot;
use jiff::Timestamp;

use crate::config_table::is_refused_condition;
use crate::error::AdapterError;
use crate::row::{Row, milliseconds, seconds, text};

/// Nobody planned the slot,
const IS_NEW: &str = "attribute_not_exists(pk)";
/// or who did died before the end.
const WAS_CUT_SHORT: &str = "(attribute_not_exists(planned_at) AND lease_until <= :now)";

/// Which schedule slots were planned.
#[derive(Clone, Debug)]
pub struct TickTable {
    client: Client,
    name: String,
}

/// How claiming a slot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotClaim {
    /// It is ours to plan.
    Claimed,
    /// It is planned, or somebody is planning it.
    Taken,
}

impl TickTable {
    /// The table of this name.
    #[must_use]
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// Claims a slot, until `lease_until`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn claim(
        &self,
        slot: Slot,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<SlotClaim, AdapterError> {
        let mut row = row(slot, now);
        row.insert("lease_until".to_owned(), milliseconds(lease_until));
        let call = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(row))
            .condition_expression(format!("{IS_NEW} OR {WAS_CUT_SHORT}"))
            .expression_attribute_values(":now", milliseconds(now));
        match call.send().await {
            Ok(_) => Ok(SlotClaim::Claimed),
            Err(error) if is_refused_condition(&error) => Ok(SlotClaim::Taken),
            Err(error) => Err(AdapterError::of_call("claiming a schedule slot", error)),
        }
    }

    /// Marks a slot as planned. Planning the same slot again would do no harm: rows are claimed one by one.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn complete(&self, slot: Slot, now: Timestamp) -> Result<(), AdapterError> {
        let mut row = row(slot, now);
        row.insert("planned_at".to_owned(), milliseconds(now));
        let sent = self.client.put_item().table_name(&self.name).set_item(Some(row)).send().await;
        sent.map(|_| ()).map_err(|error| AdapterError::of_call("marking a schedule slot", error))
    }
}

fn row(slot: Slot, now: Timestamp) -> Row {
    let expires_at = now.checked_add(Slot::REMEMBERED).unwrap_or(Timestamp::MAX);
    Row::from([("pk".to_owned(), text(slot.name())), ("expires_at".to_owned(), seconds(expires_at))])
}
