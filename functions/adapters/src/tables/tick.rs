//! Which schedule slots were planned. A slot is claimed by a conditional write, for a lease, and marked when its plan
//! was sent, so that a tick that died is repeated and one that was invoked twice plans once.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use carteiro_core::slot::Slot;
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::tables::row::{Row, milliseconds, seconds, text};
use crate::tables::rows::{Rows, table};

/// The slot was not planned.
const IS_NEW: &str = "attribute_not_exists(pk)";
/// The slot's planner died: its lease expired before it was planned.
const WAS_CUT_SHORT: &str = "(attribute_not_exists(planned_at) AND lease_until <= :now)";
/// This invocation has the claim: its answer was lost, or the platform repeats the invocation.
const IS_OURS: &str = "(attribute_not_exists(planned_at) AND #owner = :owner)";

table! {
    /// Which schedule slots were planned.
    pub struct TickTable;
}

/// How claiming a slot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotClaim {
    /// The caller plans it.
    Claimed,
    /// It is planned.
    Planned,
    /// Another invocation plans it, or died a moment ago.
    BeingPlanned,
}

impl TickTable {
    /// Claims a slot, until `lease_until`. `owner` names the invocation, the same when the platform repeats it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn claim(
        &self,
        slot: Slot,
        owner: &str,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<SlotClaim, AdapterError> {
        let mut row = row(slot, now);
        row.insert("owner".to_owned(), text(owner));
        row.insert("lease_until".to_owned(), milliseconds(lease_until));
        let call = self
            .put_item(row)
            .condition_expression(format!("{IS_NEW} OR {WAS_CUT_SHORT} OR {IS_OURS}"))
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":owner", text(owner))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = call.send().await else { return Ok(SlotClaim::Claimed) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                let planned = refused.item().is_some_and(|row| row.contains_key("planned_at"));
                Ok(if planned { SlotClaim::Planned } else { SlotClaim::BeingPlanned })
            }
            _ => Err(AdapterError::of_call("claiming a schedule slot", error)),
        }
    }

    /// Marks a slot as planned. Planning the same slot again would do no harm: rows are claimed one by one.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn complete(&self, slot: Slot, now: Timestamp) -> Result<(), AdapterError> {
        let mut row = row(slot, now);
        row.insert("planned_at".to_owned(), milliseconds(now));
        self.put_item(row).send().await.map(|_| ()).map_err(AdapterError::in_call("marking a schedule slot"))
    }
}

fn row(slot: Slot, now: Timestamp) -> Row {
    let expires_at = now.checked_add(Slot::REMEMBERED).unwrap_or(Timestamp::MAX);
    Row::from([("pk".to_owned(), text(slot.name())), ("expires_at".to_owned(), seconds(expires_at))])
}
