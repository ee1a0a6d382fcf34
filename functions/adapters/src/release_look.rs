//! Looking at a release or a replay that another worker may have, without claiming it.
//!
//! Who finds a worker on a release asks for a look at the end of that worker's lease, and leaves. The release's row
//! says when the next look comes (`look_at`), so that there is one at a time however many messages ask.

use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use carteiro_core::id::AccountId;
use jiff::Timestamp;

use crate::conditional::made;
use crate::error::AdapterError;
use crate::held_table::{HeldTable, TABLE};
use crate::random;
use crate::release_row::ReleaseKey;
use crate::replay_row::ReplayKey;
use crate::row::{Reader, Row, milliseconds, text};

/// The release is there, and no look is to come, or this very call asked for it.
const IS_UNLOOKED: &str =
    "attribute_exists(pk) AND (attribute_not_exists(look_at) OR look_at <= :now OR look_by = :look)";

/// What a glance at a release or a replay says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Whose it is, where that can be read.
    pub account: Option<AccountId>,
    /// Until when a worker has it, where one does.
    pub lease: Option<Timestamp>,
}

impl HeldTable {
    /// Glances at a release; None where there is none.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn glance_at_release(&self, key: &ReleaseKey) -> Result<Option<Glance>, AdapterError> {
        self.glance(key.row()).await
    }

    /// Glances at a replay; None where there is none.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn glance_at_replay(&self, key: &ReplayKey) -> Result<Option<Glance>, AdapterError> {
        self.glance(key.row()).await
    }

    async fn glance(&self, key: Row) -> Result<Option<Glance>, AdapterError> {
        let call = self.client.get_item().table_name(&self.name).set_key(Some(key)).consistent_read(true);
        let answer: GetItemOutput = call
            .projection_expression("account, lease_until")
            .send()
            .await
            .map_err(|error| AdapterError::of_call("glancing at work", error))?;
        Ok(answer.item.map(|row| {
            let row = Reader { table: TABLE, row: &row };
            Glance { account: row.parsed("account").ok(), lease: row.milliseconds("lease_until").ok() }
        }))
    }

    /// Notes that a release is looked at again at `at`. False where a look is to come already, or the release is gone:
    /// then none is to be sent.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn plan_look(
        &self,
        key: &ReleaseKey,
        now: Timestamp,
        at: Timestamp,
    ) -> Result<bool, AdapterError> {
        let call = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key.row()))
            .condition_expression(IS_UNLOOKED)
            .update_expression("SET look_at = :at, look_by = :look")
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":at", milliseconds(at))
            .expression_attribute_values(":look", text(format!("{:032x}", random::bits128()?)));
        Ok(made(call.send().await, "asking for a look at a release")?.is_some())
    }
}
