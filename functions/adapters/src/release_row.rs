//! Releases: one row for each (webhook, item type) of which something waits for its release, in the held items' table.
//!
//! The row says when somebody is to look next (`due_at`, in the index `due`), who releases now (`lease_until`), and how
//! far the current step is. Holding an item *touches* the row after the item is stored, and a release ends the row only
//! if it was not touched since before it found nothing held: so no item is left without a release.
//!
//! One worker at a time releases, by the lease, which every step renews. While it works, `due_at` is when its time
//! will be over, so that a tick plans its successor for then. A step is `step_sent` when all of it is in the queue:
//! whoever takes over from a worker that died before knows that no row of the step was deleted, and sends it anew.
//! What a worker that died had sent and not deleted is sent again, under the same ids.

use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use carteiro_core::delivery::Delivery;
use carteiro_core::id::{AccountId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::release::StepTag;
use jiff::Timestamp;

use crate::conditional::made;
use crate::error::AdapterError;
use crate::held_table::{
    DUE_SHARDS, HeldKey, HeldTable, due_shard_name, held_key, part_of_shard, pk, read_delivery, shard_of_id,
};
use crate::merged_rows::{MergedRows, Reading};
use crate::row::{Reader, Row, milliseconds, number, sorted_digits, text};
use crate::unreadable::readable;

const TABLE: &str = "held";
const SUFFIX: &str = "#release";

/// The row is there,
const EXISTS: &str = "attribute_exists(pk)";
/// and nobody releases, or who did died.
const IS_FREE: &str = "(attribute_not_exists(lease_until) OR lease_until <= :now)";
/// The lease is still the one that this worker has.
const IS_OURS: &str = "lease_until = :lease";
/// Nothing was held or hastened since the worker looked.
const IS_UNTOUCHED: &str = "touched = :touched";
/// The item was not held anew since it was read.
const IS_SAME_HOLDING: &str = "holding = :holding";
/// The release is looked at by then,
const IS_EARLY_ENOUGH: &str = "due_at <= :due";
/// or it is not, or there is none.
const IS_TOO_LATE: &str = "attribute_not_exists(due_at) OR due_at > :due";
/// The step is still the current one.
const IS_STEP: &str = "step_id = :step";

/// It waits for its release, and was accepted, or replayed, too long ago.
const KEPT_TOO_LONG: &str = "attribute_not_exists(due_at) AND \
                             (replayed_at <= :since OR (attribute_not_exists(replayed_at) AND accepted_at <= :since))";

/// What a row has of its step.
const STEP: &str = "step_id, step_size, step_left, step_failed, step_began_at, step_sent, step_hastened";

/// How often a release is planned anew whose time others move to and fro.
const MAX_REFUSALS: u32 = 5;

/// Which release.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReleaseKey {
    /// The webhook.
    pub webhook: WebhookId,
    /// The item type.
    pub item_type: ItemType,
}

impl ReleaseKey {
    pub(crate) fn of(key: &HeldKey) -> Option<Self> {
        let webhook = key.pk.strip_suffix(SUFFIX)?.parse().ok()?;
        Some(Self { webhook, item_type: key.sk.parse().ok()? })
    }

    pub(crate) fn row(&self) -> Row {
        Row::from([
            ("pk".to_owned(), text(format!("{}{SUFFIX}", self.webhook))),
            ("sk".to_owned(), text(self.item_type.as_str())),
        ])
    }
}

/// A release that is ours to move on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Which.
    pub key: ReleaseKey,
    /// Whose webhook it is.
    pub account: AccountId,
    /// How often something was held for it, or it was hastened.
    pub touched: u64,
    /// How often it was hastened: its block was ended, its webhook changed or enabled.
    pub hastened: u64,
    /// The end of our lease.
    pub lease: Timestamp,
    /// The step under way, if one is.
    pub step: Option<Progress>,
    /// When it was looked for what waited too long behind what was replayed: wholly, and last.
    pub looked_behind_at: Option<Timestamp>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many items it may have.
    pub size: u32,
    /// How many of them have not finished. Below zero where the queue handed some out twice.
    pub left: i64,
    /// How many of them failed.
    pub failed: u32,
    /// When it began.
    pub began_at: Timestamp,
    /// Whether all of it is in the queue. Without, none of its rows was deleted.
    pub sent: bool,
    /// Whether the release was hastened since it began.
    pub hastened: bool,
}

/// How claiming a release ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseClaim {
    /// It is ours.
    Claimed(Release),
    /// Another worker has it, until then if it does not renew its lease.
    Taken(Timestamp),
    /// There is none.
    Over,
}

/// Where a page of what waited too long ended.
#[derive(Clone, Debug)]
pub struct WaitingMark(Row);

/// The items that wait for a release, in the order of their acceptance, as they are read.
#[derive(Debug)]
pub struct Waiting {
    rows: MergedRows,
    /// The next one.
    next: Option<(HeldKey, Delivery)>,
}

impl Waiting {
    /// Takes the next one, where [`HeldTable::next_waiting`] answered it.
    pub fn take(&mut self) -> Option<(HeldKey, Delivery)> {
        self.next.take()
    }
}

impl HeldTable {
    /// Sees to it that what was just held is released: at `due_at`, where no earlier time is set.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn await_release(
        &self,
        key: &ReleaseKey,
        account: &AccountId,
        due_at: Timestamp,
    ) -> Result<(), AdapterError> {
        self.plan_release(key, account, due_at).await.map(|_| ())
    }

    /// Sees to it that what was just held is released, as [`HeldTable::await_release`], and says whether that planned
    /// it. Where it did not, somebody else did, for that time or an earlier one.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn plan_release(
        &self,
        key: &ReleaseKey,
        account: &AccountId,
        due_at: Timestamp,
    ) -> Result<bool, AdapterError> {
        const OPERATION: &str = "planning a release";
        for _ in 0..MAX_REFUSALS {
            // Mostly there is one by then, and one call will do.
            for (is_new, condition, due) in
                [(false, IS_EARLY_ENOUGH, ""), (true, IS_TOO_LATE, ", due_at = :due")]
            {
                let shard = shard_of_id(key.webhook.as_str(), DUE_SHARDS);
                let call = self
                    .update(key)
                    .condition_expression(condition)
                    .update_expression(format!(
                        "SET account = :account, due_shard = :shard{due} ADD touched :one"
                    ))
                    .expression_attribute_values(":account", text(account.as_str()))
                    .expression_attribute_values(":shard", text(due_shard_name(shard)))
                    .expression_attribute_values(":due", milliseconds(due_at))
                    .expression_attribute_values(":one", number(1_u32));
                if made(call.send().await, OPERATION)?.is_some() {
                    return Ok(is_new);
                }
            }
        }
        Err(AdapterError::Contended { operation: OPERATION })
    }

    /// Claims a release for a lease. `due_at` is when the worker's time will be over, and a successor is to look.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn claim_release(
        &self,
        key: &ReleaseKey,
        now: Timestamp,
        lease: Timestamp,
        due_at: Timestamp,
    ) -> Result<ReleaseClaim, AdapterError> {
        let call = self
            .update(key)
            .condition_expression(format!("{EXISTS} AND {IS_FREE}"))
            .update_expression("SET lease_until = :lease, due_at = :due")
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":lease", milliseconds(lease))
            .expression_attribute_values(":due", milliseconds(due_at))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match call.send().await {
            Ok(answer) => {
                read_release(key, &answer.attributes.unwrap_or_default()).map(ReleaseClaim::Claimed)
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => match refused.item() {
                    Some(row) if !row.is_empty() => {
                        Reader { table: TABLE, row }.milliseconds("lease_until").map(ReleaseClaim::Taken)
                    }
                    _ => Ok(ReleaseClaim::Over),
                },
                _ => Err(AdapterError::of_call("claiming a release", error)),
            },
        }
    }

    /// Renews the lease, and reads how far the release is. None where it is not ours any more.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn renew_release(
        &self,
        release: &Release,
        lease: Timestamp,
    ) -> Result<Option<Release>, AdapterError> {
        let call = self.update_ours(release, lease).update_expression("SET lease_until = :new");
        renewed(release, made(call.send().await, "renewing a release")?)
    }

    /// Notes that it was looked, at `now`, at everything that may have waited too long behind what was replayed, and
    /// renews the lease. None where it is not ours any more.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn looked_behind(
        &self,
        release: &Release,
        (now, lease): (Timestamp, Timestamp),
    ) -> Result<Option<Release>, AdapterError> {
        let call = self
            .update_ours(release, lease)
            .update_expression("SET lease_until = :new, looked_behind_at = :now")
            .expression_attribute_values(":now", milliseconds(now));
        renewed(release, made(call.send().await, "noting how far a release was looked at")?)
    }

    /// Reads how far a release is. None where it is not ours any more.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn look_at_release(&self, release: &Release) -> Result<Option<Release>, AdapterError> {
        let call = self.client.get_item().table_name(&self.name).set_key(Some(release.key.row()));
        let answer = call.consistent_read(true).send().await;
        let answer = answer.map_err(|error| AdapterError::of_call("looking at a release", error))?;
        let ours = |row: &Row| row.get("lease_until") == Some(&milliseconds(release.lease));
        answer.item.filter(ours).map(|row| read_release(&release.key, &row)).transpose()
    }

    /// What waits for a release, from the oldest on.
    #[must_use]
    pub fn waiting(&self, key: &ReleaseKey) -> Waiting {
        let reading = Reading {
            webhook: key.webhook.clone(),
            item_type: Some(key.item_type.clone()),
            // What has a time of its own is retried at that time.
            for_release: true,
            item: None,
        };
        Waiting { rows: MergedRows::new(reading, None), next: None }
    }

    /// The next one of what waits. It stays the next one until it is taken. `soon` is about how many will be taken. A row
    /// that cannot be read is passed over.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn next_waiting<'a>(
        &self,
        waiting: &'a mut Waiting,
        soon: u32,
    ) -> Result<Option<&'a Delivery>, AdapterError> {
        while waiting.next.is_none()
            && let Some(row) = waiting.rows.peek(&self.client, &self.name, part_of_shard(soon)).await?
        {
            waiting.next = readable(TABLE, row, key_and_delivery(row));
            waiting.rows.take();
        }
        Ok(waiting.next.as_ref().map(|(_, delivery)| delivery))
    }

    /// Takes the next items of what waits: up to `most`, and up to `most_bytes`, but for one item that is larger.
    ///
    /// # Errors
    /// Where the table cannot be read, or a row of it.
    pub async fn take_waiting(
        &self,
        waiting: &mut Waiting,
        most: u32,
        most_bytes: usize,
    ) -> Result<Vec<(HeldKey, Delivery)>, AdapterError> {
        let most_items = usize::try_from(most).unwrap_or(usize::MAX);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < most_items
            && let Some(next) = self.next_waiting(waiting, most).await?
        {
            bytes += next.body.len();
            if bytes > most_bytes && !taken.is_empty() {
                break;
            }
            taken.extend(waiting.take());
        }
        Ok(taken)
    }

    /// Of what waits for a release, a shard's rows that were kept since `over_since` or longer, wherever they stand. Of
    /// those that were never replayed the oldest stand first; a replayed one keeps the place of its acceptance, and may
    /// have others behind it whose retention is over sooner. What was accepted later is not read. With more there is a
    /// mark, after which the next page begins.
    ///
    /// # Errors
    /// Where the table cannot be read, or a row of it.
    pub async fn kept_too_long(
        &self,
        key: &ReleaseKey,
        shard: u8,
        over_since: Timestamp,
        after: Option<WaitingMark>,
    ) -> Result<(Vec<(HeldKey, Delivery)>, Option<WaitingMark>), AdapterError> {
        let next = over_since.checked_add(Duration::from_millis(1)).unwrap_or(over_since);
        let call = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .filter_expression(KEPT_TOO_LONG)
            .expression_attribute_values(":pk", text(pk(&key.webhook, shard)))
            .expression_attribute_values(":first", text(format!("{}#", key.item_type)))
            .expression_attribute_values(":last", text(format!("{}#{}", key.item_type, sorted_digits(next))))
            .expression_attribute_values(":since", milliseconds(over_since))
            .consistent_read(true)
            .set_exclusive_start_key(after.map(|mark| mark.0));
        let answer = call.send().await;
        let answer = answer.map_err(|error| AdapterError::of_call("finding what waited too long", error))?;
        let rows = answer.items.unwrap_or_default();
        let rows = rows.iter().filter_map(|row| readable(TABLE, row, key_and_delivery(row))).collect();
        Ok((rows, answer.last_evaluated_key.map(WaitingMark)))
    }

    /// Begins a step, before anything of it is sent, and renews the lease. None where it is not ours any more.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn begin_step(
        &self,
        release: &Release,
        tag: &StepTag,
        items: u32,
        size: u32,
        (now, lease): (Timestamp, Timestamp),
    ) -> Result<Option<Release>, AdapterError> {
        let call = self
            .update_ours(release, lease)
            .update_expression(
                "SET lease_until = :new, step_id = :step, step_size = :size, step_left = :items, step_failed = :zero, \
                 step_began_at = :now, step_hastened = :hastened REMOVE step_sent",
            )
            .expression_attribute_values(":step", text(tag.id.as_str()))
            .expression_attribute_values(":hastened", number(release.hastened))
            .expression_attribute_values(":size", number(size))
            .expression_attribute_values(":items", number(items))
            .expression_attribute_values(":zero", number(0_u32))
            .expression_attribute_values(":now", milliseconds(now));
        renewed(release, made(call.send().await, "beginning a step of a release")?)
    }

    /// Says that all of the step is in the queue, before a row of it is deleted, and renews the lease. None where it is
    /// not ours any more.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn step_sent(
        &self,
        release: &Release,
        lease: Timestamp,
    ) -> Result<Option<Release>, AdapterError> {
        let call = self
            .update_ours(release, lease)
            .update_expression("SET lease_until = :new, step_sent = :yes")
            .expression_attribute_values(":yes", AttributeValue::Bool(true));
        renewed(release, made(call.send().await, "noting that a step was sent")?)
    }

    /// Counts items of a step that have finished. One that is not the current step any more counts for nothing.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn finish_of_step(
        &self,
        key: &ReleaseKey,
        tag: &StepTag,
        items: u32,
        failed: u32,
    ) -> Result<(), AdapterError> {
        let call = self
            .update(key)
            .condition_expression(IS_STEP)
            .update_expression("ADD step_left :less, step_failed :failed")
            .expression_attribute_values(":step", text(tag.id.as_str()))
            .expression_attribute_values(":less", number(-i64::from(items)))
            .expression_attribute_values(":failed", number(failed));
        made(call.send().await, "counting a step of a release").map(|_| ())
    }

    /// Gives a release back, to be looked at again at `due_at`. Without `keep_step` it begins again with the first.
    ///
    /// False where it is not ours any more, or was touched since the worker looked: what came meanwhile may not wait
    /// until `due_at`, so the worker that still has it is to look again.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn postpone_release(
        &self,
        release: &Release,
        due_at: Timestamp,
        keep_step: bool,
    ) -> Result<bool, AdapterError> {
        let forget = if keep_step { String::new() } else { format!(", {STEP}") };
        let call = self
            .update(&release.key)
            .condition_expression(format!("{IS_OURS} AND {IS_UNTOUCHED}"))
            .update_expression(format!("SET due_at = :due REMOVE lease_until{forget}"))
            .expression_attribute_values(":lease", milliseconds(release.lease))
            .expression_attribute_values(":touched", number(release.touched))
            .expression_attribute_values(":due", milliseconds(due_at));
        Ok(made(call.send().await, "postponing a release")?.is_some())
    }

    /// Gives a release back as it is, to be looked at again at `due_at`, whoever touched it meanwhile.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn give_back_release(&self, release: &Release, due_at: Timestamp) -> Result<(), AdapterError> {
        let call = self
            .update(&release.key)
            .condition_expression(IS_OURS)
            .update_expression("SET due_at = :due REMOVE lease_until")
            .expression_attribute_values(":lease", milliseconds(release.lease))
            .expression_attribute_values(":due", milliseconds(due_at));
        made(call.send().await, "giving a release back").map(|_| ())
    }

    /// Brings a release's time forward: its block was ended, or its webhook enabled. False where there is none.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn hasten_release(&self, key: &ReleaseKey, due_at: Timestamp) -> Result<bool, AdapterError> {
        let call = self
            .update(key)
            .condition_expression(EXISTS)
            // A worker that looked before must neither postpone nor end it by what it saw.
            .update_expression("SET due_at = :due ADD touched :one, hastened :one")
            .expression_attribute_values(":one", number(1_u32))
            .expression_attribute_values(":due", milliseconds(due_at));
        Ok(made(call.send().await, "hastening a release")?.is_some())
    }

    /// Deletes a release, whoever has it: its webhook was deleted.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn drop_release(&self, key: &ReleaseKey) -> Result<(), AdapterError> {
        let sent = self.client.delete_item().table_name(&self.name).set_key(Some(key.row())).send().await;
        sent.map(|_| ()).map_err(|error| AdapterError::of_call("dropping a release", error))
    }

    /// Ends a release of which nothing is held any more. False where something was held meanwhile.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn end_release(&self, release: &Release) -> Result<bool, AdapterError> {
        let call = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(release.key.row()))
            .condition_expression(format!("{IS_OURS} AND {IS_UNTOUCHED}"))
            .expression_attribute_values(":lease", milliseconds(release.lease))
            .expression_attribute_values(":touched", number(release.touched));
        Ok(made(call.send().await, "ending a release")?.is_some())
    }

    /// Deletes a row whose item was sent, if it is still the row that was read. The item may have been delivered, have
    /// failed and be held again by now.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn delete_released(&self, held: &HeldKey) -> Result<(), AdapterError> {
        let holding = (":holding", text(held.holding.as_str()));
        self.delete_if(held, IS_SAME_HOLDING, holding, "deleting a released item").await
    }

    fn update(&self, key: &ReleaseKey) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.name).set_key(Some(key.row()))
    }

    /// An update on condition that the lease is ours, which gives it a new end, `:new`, and answers the row.
    fn update_ours(&self, release: &Release, lease: Timestamp) -> UpdateItemFluentBuilder {
        self.update(&release.key)
            .condition_expression(IS_OURS)
            .expression_attribute_values(":lease", milliseconds(release.lease))
            .expression_attribute_values(":new", milliseconds(lease))
            .return_values(ReturnValue::AllNew)
    }
}

fn key_and_delivery(row: &Row) -> Result<(HeldKey, Delivery), AdapterError> {
    Ok((held_key(row)?, read_delivery(TABLE, row)?))
}

fn renewed(release: &Release, made: Option<UpdateItemOutput>) -> Result<Option<Release>, AdapterError> {
    made.map(|answer| read_release(&release.key, &answer.attributes.unwrap_or_default())).transpose()
}

pub(crate) fn read_release(key: &ReleaseKey, row: &Row) -> Result<Release, AdapterError> {
    let row = Reader { table: TABLE, row };
    let hastened = row.optional_number("hastened")?.unwrap_or_default();
    let step = match row.optional_number("step_size")? {
        Some(size) => Some(Progress {
            size,
            left: row.number("step_left")?,
            failed: row.number("step_failed")?,
            began_at: row.milliseconds("step_began_at")?,
            sent: row.row.contains_key("step_sent"),
            hastened: row.optional_number("step_hastened")? != Some(hastened),
        }),
        None => None,
    };
    Ok(Release {
        key: key.clone(),
        account: row.parsed("account")?,
        touched: row.number("touched")?,
        hastened,
        lease: row.milliseconds("lease_until")?,
        step,
        looked_behind_at: (row.row.contains_key("looked_behind_at"))
            .then(|| row.milliseconds("looked_behind_at"))
            .transpose()?,
    })
}
