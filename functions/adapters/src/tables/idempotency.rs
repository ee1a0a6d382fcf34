//! Idempotency keys. The rule, its lease and the window that remains are in [`carteiro_core::idempotency`].

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use carteiro_core::idempotency::{Progress, Remembered};
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::tables::conditional::made;
use crate::tables::row::{Reader, Row, milliseconds, number, seconds, text};
use crate::tables::rows::{Rows, table};

const TABLE: &str = "idempotency";

/// The key was never used.
const IS_NEW: &str = "attribute_not_exists(pk)";
/// The key expired, and the table has not deleted it yet.
const IS_FORGOTTEN: &str = "expires_at <= :now";
/// The key still stands for the same item.
const IS_SAME_ITEM: &str = "#item = :item";
/// The lease is the one that was read: no other request took the key over.
const IS_SAME_LEASE: &str = "lease_until = :read";

table! {
    /// Which keys were answered, and how.
    pub struct IdempotencyTable;
}

/// How claiming a key ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyClaim {
    /// The caller has claimed the key.
    Claimed,
    /// Another request claimed it, or an earlier one of the same caller.
    Taken(Remembered),
}

impl IdempotencyTable {
    /// Claims a scoped key that is new or forgotten. `owner` is random, this claim's own.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn claim(
        &self,
        key: &str,
        claim: &Remembered,
        owner: u128,
        now: Timestamp,
    ) -> Result<KeyClaim, AdapterError> {
        let owner = text(format!("{owner:032x}"));
        let mut row = row(key, claim);
        row.insert("owner".to_owned(), owner.clone());
        let call = self
            .put_item(row)
            .condition_expression(format!("{IS_NEW} OR {IS_FORGOTTEN}"))
            .expression_attribute_values(":now", seconds(now))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = call.send().await else { return Ok(KeyClaim::Claimed) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                let none = Row::new();
                let old = refused.item().unwrap_or(&none);
                // The client repeats a call whose answer was lost. Then the row that refuses is this claim.
                let ours = old.get("owner") == Some(&owner);
                Ok(if ours { KeyClaim::Claimed } else { KeyClaim::Taken(remembered(old)?) })
            }
            _ => Err(AdapterError::of_call("claiming an idempotency key", error)),
        }
    }

    /// Takes over an interrupted request, as it was read. False where another request did.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn take_over(
        &self,
        key: &str,
        read: &Remembered,
        lease_until: Timestamp,
    ) -> Result<bool, AdapterError> {
        let Progress::Queueing { until } = read.progress else { return Ok(false) };
        let call = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(key))
            .condition_expression(format!("{IS_SAME_ITEM} AND {IS_SAME_LEASE}"))
            .update_expression("SET lease_until = :lease")
            .expression_attribute_names("#item", "item")
            .expression_attribute_values(":item", text(read.item.as_str()))
            .expression_attribute_values(":read", milliseconds(until))
            .expression_attribute_values(":lease", milliseconds(lease_until));
        Ok(made(call.send().await, "taking over an idempotency key")?.is_some())
    }

    /// Marks a request as completed, with the number of its webhooks.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn complete(&self, key: &str, claim: &Remembered, webhooks: usize) -> Result<(), AdapterError> {
        let call = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(key))
            .condition_expression(IS_SAME_ITEM)
            .update_expression("SET webhooks = :webhooks")
            .expression_attribute_names("#item", "item")
            .expression_attribute_values(":item", text(claim.item.as_str()))
            .expression_attribute_values(":webhooks", number(webhooks));
        // Refused: the key expired and was used again meanwhile. There is nothing to mark.
        made(call.send().await, "completing an idempotency key").map(|_| ())
    }
}

fn row(key: &str, remembered: &Remembered) -> Row {
    let mut row = Row::from([
        ("pk".to_owned(), text(key)),
        ("item".to_owned(), text(remembered.item.as_str())),
        ("accepted_at".to_owned(), milliseconds(remembered.accepted_at)),
        ("fingerprint".to_owned(), text(remembered.fingerprint.as_str())),
        ("expires_at".to_owned(), seconds(remembered.expires_at)),
    ]);
    match remembered.progress {
        Progress::Queueing { until } => row.insert("lease_until".to_owned(), milliseconds(until)),
        Progress::Done { webhooks } => row.insert("webhooks".to_owned(), number(webhooks)),
    };
    row
}

fn remembered(row: &Row) -> Result<Remembered, AdapterError> {
    let row = Reader { table: TABLE, row };
    let progress = match row.optional_number("webhooks")? {
        Some(webhooks) => Progress::Done { webhooks },
        None => Progress::Queueing { until: row.milliseconds("lease_until")? },
    };
    Ok(Remembered {
        item: row.parsed("item")?,
        accepted_at: row.milliseconds("accepted_at")?,
        fingerprint: row.text("fingerprint")?.to_owned(),
        progress,
        expires_at: row.seconds("expires_at")?,
    })
}

#[cfg(test)]
mod tests {
    use carteiro_core::id::ItemId;

    use super::*;

    #[test]
    fn what_is_remembered_survives_its_row() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        for progress in [Progress::Queueing { until: at(5) }, Progress::Done { webhooks: 3 }] {
            let before = Remembered {
                item: ItemId::from_bits(1),
                accepted_at: at(1_234),
                fingerprint: "f".to_owned(),
                progress,
                expires_at: at(86_400_000),
            };
            assert_eq!(remembered(&row("k", &before)).unwrap(), before);
        }
    }
}
