//! Held items that their owner names: to cancel them, or to have one sent now.
//!
//! Cancelling *claims* a row as a mover does, so that no mover sends it meanwhile, and then deletes it. The claim
//! carries the canceller's id, so a repeated write recognises itself and each cancelled item is counted once. A row
//! that a mover has claimed is left alone: its item is in the queue, or is about to be.
//!
//! A replay of a held item ends its wait: the row loses its time and waits for the release of its type, in one
//! transaction with the replay's own row.
//!
//! Not guaranteed: a release sends a step before it deletes the step's rows. A row that is cancelled in that short
//! interval is counted as dropped, and its item is attempted once more.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use carteiro_core::id::{ItemId, ReplayId, WebhookId};
use carteiro_core::item::ItemType;
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::tables::StartKey;
use crate::tables::conditional::made;
use crate::tables::row::{Row, milliseconds, sorted_digits, text};
use crate::tables::rows::Rows;
use crate::tables::waiting::held::HeldRows;
use crate::tables::waiting::keys::{
    HeldKey, MAY_BE_KEPT, Replay, SHARDS, pk, shard_of_id, type_and_acceptance,
};

/// The row exists and is not claimed, or its claim expired, or this canceller holds the claim.
const IS_OURS_TO_CANCEL: &str = "attribute_exists(pk) AND (attribute_not_exists(claimed_until) OR \
                                 claimed_until <= :now OR cancelled_by = :canceller)";
/// The row was not held again since this canceller claimed it.
const IS_CANCELLED_BY_US: &str = "cancelled_by = :canceller";

/// The attributes that are read of a row. The item's bytes stay in the table.
const OF_ROW: &str = "pk, sk, replay, due_at, claimed_until, keep_until";

/// A held row without its item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPlace {
    pub(crate) key: HeldKey,
    /// The replay that its item belongs to.
    pub replay: Option<ReplayId>,
    /// When it comes due; None while it waits for its release.
    pub(crate) due_at: Option<Timestamp>,
    /// Until when a mover has it, if one does.
    claimed_until: Option<Timestamp>,
    /// Until when its network lets it be kept.
    pub(crate) keep_until: Option<Timestamp>,
}

impl HeldPlace {
    fn of(row: &Row) -> Result<Self, AdapterError> {
        let time = |name: &str| {
            let value = row.get(name)?.as_n().ok()?.parse().ok()?;
            Timestamp::from_millisecond(value).ok()
        };
        Ok(Self {
            key: HeldKey::of_row(row)?,
            replay: row.get("replay").and_then(|id| id.as_s().ok()?.parse().ok()),
            due_at: time("due_at"),
            claimed_until: time("claimed_until"),
            keep_until: time("keep_until"),
        })
    }

    /// Its place in the order.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.key.sk
    }

    /// Its type and when it was accepted. None where its key is not as this version writes it.
    #[must_use]
    pub fn type_and_acceptance(&self) -> Option<(ItemType, Timestamp)> {
        type_and_acceptance(&self.key.sk)
    }

    /// Its item. None where its key is not as this version writes it.
    #[must_use]
    pub fn item(&self) -> Option<ItemId> {
        self.key.sk.rsplit('#').next()?.parse().ok()
    }

    /// Whether a replay may end its wait: it has a time of its own, and no mover has it.
    #[must_use]
    pub fn waits_for_its_time(&self, now: Timestamp) -> bool {
        self.due_at.is_some() && self.claimed_until.is_none_or(|until| until <= now)
    }
}

impl HeldRows {
    /// A page of the rows that a webhook has of one item, mostly one in all. The rows of the item's shard are read for
    /// it, so where much is held many pages are empty.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn find(
        &self,
        webhook: &WebhookId,
        item: &ItemId,
        after: Option<StartKey>,
    ) -> Result<(Vec<HeldPlace>, Option<StartKey>), AdapterError> {
        let shard = shard_of_id(item.as_str(), SHARDS);
        let call = self
            .shard_rows(webhook, shard, after)
            .key_condition_expression("pk = :pk")
            .filter_expression("#item = :item")
            .expression_attribute_names("#item", "item")
            .expression_attribute_values(":item", text(item.as_str()));
        places(call).await
    }

    /// A page of up to `most` of a shard's rows of a type that may be kept at `now`.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn of_type(
        &self,
        webhook: &WebhookId,
        item_type: &ItemType,
        shard: u8,
        most: u16,
        after: Option<StartKey>,
        now: Timestamp,
    ) -> Result<(Vec<HeldPlace>, Option<StartKey>), AdapterError> {
        let call = self
            .shard_rows(webhook, shard, after)
            .key_condition_expression("pk = :pk AND begins_with(sk, :type)")
            .expression_attribute_values(":type", text(format!("{item_type}#")))
            .filter_expression(MAY_BE_KEPT)
            .expression_attribute_values(":now", milliseconds(now))
            .limit(i32::from(most));
        places(call).await
    }

    /// The rows of the one item that a replay asks for, but for those that it has taken.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn of_replay(&self, replay: &Replay) -> Result<Vec<HeldPlace>, AdapterError> {
        let (Some(item), Some(from), Some(to)) = (&replay.item, replay.from, replay.to) else {
            return Ok(Vec::new());
        };
        let place = |at| text(format!("{}#{}", replay.item_type, sorted_digits(at)));
        let (mut found, mut start) = (Vec::new(), None);
        loop {
            let call = self
                .shard_rows(&replay.key.webhook, shard_of_id(item.as_str(), SHARDS), start)
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
                .filter_expression("#item = :item")
                .expression_attribute_names("#item", "item")
                .expression_attribute_values(":item", text(item.as_str()))
                .expression_attribute_values(":from", place(from))
                .expression_attribute_values(":to", place(to));
            let (rows, next) = places(call).await?;
            found.extend(rows.into_iter().filter(|row| row.replay.as_ref() != Some(&replay.key.replay)));
            start = next;
            if start.is_none() {
                return Ok(found);
            }
        }
    }

    /// Cancels a held item, unless a mover has claimed it. `canceller` is an id of the request, and the claim ends at
    /// `lease`. False where the item was moved, is being moved, or was held again.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn cancel(
        &self,
        place: &HeldPlace,
        canceller: &str,
        (now, lease): (Timestamp, Timestamp),
    ) -> Result<bool, AdapterError> {
        const OPERATION: &str = "cancelling a held item";
        let HeldKey { pk, sk, .. } = &place.key;
        let claim = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(pk.as_str()))
            .key("sk", text(sk.as_str()))
            .condition_expression(IS_OURS_TO_CANCEL)
            .update_expression("SET claimed_until = :lease, cancelled_by = :canceller")
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":lease", milliseconds(lease))
            .expression_attribute_values(":canceller", text(canceller));
        if made(claim.send().await, OPERATION)?.is_none() {
            return Ok(false);
        }
        let delete = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key("pk", text(pk.as_str()))
            .key("sk", text(sk.as_str()))
            .condition_expression(IS_CANCELLED_BY_US)
            .expression_attribute_values(":canceller", text(canceller))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match delete.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                // A row that is gone was deleted by this call, whose first answer was lost: the claim excluded all
                // others. A row that exists was held again.
                Some(DeleteItemError::ConditionalCheckFailedException(refused)) => {
                    Ok(refused.item().is_none_or(Row::is_empty))
                }
                _ => Err(AdapterError::of_call(OPERATION, error)),
            },
        }
    }

    fn shard_rows(&self, webhook: &WebhookId, shard: u8, after: Option<StartKey>) -> QueryFluentBuilder {
        self.query_rows()
            .expression_attribute_values(":pk", text(pk(webhook, shard)))
            .projection_expression(OF_ROW)
            .consistent_read(true)
            .set_exclusive_start_key(after.map(|key| key.0))
    }
}

async fn places(call: QueryFluentBuilder) -> Result<(Vec<HeldPlace>, Option<StartKey>), AdapterError> {
    let answer = call.send().await.map_err(AdapterError::in_call("finding held items"))?;
    let rows: Result<Vec<_>, _> = answer.items.unwrap_or_default().iter().map(HeldPlace::of).collect();
    Ok((rows?, answer.last_evaluated_key.map(StartKey)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::row::number;

    #[test]
    fn a_row_with_a_time_may_be_taken_unless_a_mover_has_it() {
        let time = |ms| Timestamp::from_millisecond(ms).unwrap();
        let mut row = Row::from([
            ("pk".to_owned(), text("wh#00")),
            ("sk".to_owned(), text("event#1795000000123#item")),
            ("due_at".to_owned(), number(9_000_i64)),
        ]);
        let place = HeldPlace::of(&row).unwrap();
        assert_eq!(place.type_and_acceptance(), Some((ItemType::EVENT, time(1_795_000_000_123))));
        assert!(place.waits_for_its_time(time(5)));
        row.insert("claimed_until".to_owned(), number(6_i64));
        let claimed = HeldPlace::of(&row).unwrap();
        assert_eq!((claimed.waits_for_its_time(time(5)), claimed.waits_for_its_time(time(6))), (false, true));
        row.remove("due_at");
        assert!(!HeldPlace::of(&row).unwrap().waits_for_its_time(time(9)), "it waits for its release");
    }
}
