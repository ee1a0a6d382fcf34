//! Looking at a release or a replay that another worker may have, without claiming it.
//!
//! Who finds a worker on a release asks for a look at the end of that worker's lease, and leaves. The release's row
//! says when the next look comes (`look_at`), so that there is one at a time however many messages ask.

use std::time::Duration;

use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use carteiro_core::id::{AccountId, WebhookId};
use carteiro_core::retention::after;
use carteiro_core::work_share::ASK_GAP;
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::tables::conditional::made;
use crate::tables::row::{Reader, Row, milliseconds, seconds, text};
use crate::tables::waiting::held::{HeldTable, TABLE, new_id};
use crate::tables::waiting::release::ReleaseKey;
use crate::tables::waiting::replay::ReplayKey;

/// The release is there, and no look is to come, or this very call asked for it.
const IS_UNLOOKED: &str =
    "attribute_exists(pk) AND (attribute_not_exists(look_at) OR look_at <= :now OR look_by = :look)";

/// Nobody asked for looks a while ago, or this very call did.
const IS_UNASKED: &str = "attribute_not_exists(asked_at) OR asked_at <= :before OR asked_by = :ask";
/// The latest looks that were asked for have come, or this very call asked for the next.
const IS_BEHIND: &str = "asked_at < :before OR asked_by = :ask";

/// When the table forgets that looks were asked for.
const KEPT: Duration = Duration::from_secs(24 * 3600);

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
            .expression_attribute_values(":look", text(new_id()?));
        Ok(made(call.send().await, "asking for a look at a release")?.is_some())
    }

    /// Asks for looks at all releases of a webhook, and answers after how long they are to come; None where some come
    /// that were asked for before, later than now. So many acts of an owner, one soon after the other, send little work.
    ///
    /// Where two hosts' clocks differ a look may be taken to be still to come that has just come. Then the second look
    /// after the earlier act sees this one.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn ask_for_looks(
        &self,
        webhook: &WebhookId,
        now: Timestamp,
    ) -> Result<Option<Duration>, AdapterError> {
        let long_ago = now.checked_sub(ASK_GAP).unwrap_or(now);
        for (condition, before, delay) in [(IS_UNASKED, long_ago, Duration::ZERO), (IS_BEHIND, now, ASK_GAP)]
        {
            let call = self
                .client
                .update_item()
                .table_name(&self.name)
                .key("pk", text(format!("{webhook}#release")))
                .key("sk", text("asked"))
                .condition_expression(condition)
                .update_expression("SET asked_at = :at, asked_by = :ask, expires_at = :expires")
                .expression_attribute_values(":before", milliseconds(before))
                .expression_attribute_values(":at", milliseconds(after(now, delay)))
                .expression_attribute_values(":ask", text(new_id()?))
                .expression_attribute_values(":expires", seconds(after(now, KEPT)));
            if made(call.send().await, "asking for looks at releases")?.is_some() {
                return Ok(Some(delay));
            }
        }
        Ok(None)
    }

    /// Forgets that looks were asked for, with their webhook.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn forget_looks(&self, webhook: &WebhookId) -> Result<(), AdapterError> {
        let call = self.client.delete_item().table_name(&self.name);
        let call = call.key("pk", text(format!("{webhook}#release"))).key("sk", text("asked"));
        let sent = call.send().await;
        sent.map(|_| ()).map_err(|error| AdapterError::of_call("forgetting looks at releases", error))
    }
}
