//! Releases: one row for each (webhook, item type) of which something waits for its release, in the held items' table.
//!
//! The row says when somebody is to look next (`due_at`, in the index `due`), who releases now (`lease_until`), and how
//! far the current step is. Holding an item *touches* the row after the item is stored, and a release ends the row only
//! if it was not touched since before it found nothing held: so no item is left without a release.
//!
//! One worker at a time releases, by the lease, which every step renews. What a worker that died had sent and not
//! deleted is sent again, under the same ids.

use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::types::ReturnValue;
use carteiro_core::delivery::Delivery;
use carteiro_core::id::{AccountId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::release::StepTag;
use jiff::Timestamp;

use crate::conditional::made;
use crate::error::AdapterError;
use crate::held_table::{
    DUE_SHARDS, HeldKey, HeldTable, SHARDS, due_shard_name, held_key, pk, read_delivery, shard_of_id,
};
use crate::row::{Reader, Row, milliseconds, number, text};

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

    fn row(&self) -> Row {
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
    touched: u64,
    /// The end of our lease.
    pub lease: Timestamp,
    /// The step under way, if one is.
    pub step: Option<Progress>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many items it has.
    pub size: u32,
    /// How many of them have not finished. Below zero where the queue handed some out twice.
    pub left: i64,
    /// How many of them failed.
    pub failed: u32,
    /// When it began.
    pub began_at: Timestamp,
}

/// How claiming a release ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseClaim {
    /// It is ours.
    Claimed(Release),
    /// It is somebody's, or over.
    NotOurs,
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
        const OPERATION: &str = "planning a release";
        for _ in 0..MAX_REFUSALS {
            // Mostly there is one by then, and one call will do.
            for (condition, due) in [(IS_EARLY_ENOUGH, ""), (IS_TOO_LATE, ", due_at = :due")] {
                let shard = shard_of_id(key.webhook.as_str(), DUE_SHARDS);
                let call = self
                    .client
                    .update_item()
                    .table_name(&self.name)
                    .set_key(Some(key.row()))
                    .condition_expression(condition)
                    .update_expression(format!(
                        "SET account = :account, due_shard = :shard{due} ADD touched :one"
                    ))
                    .expression_attribute_values(":account", text(account.as_str()))
                    .expression_attribute_values(":shard", text(due_shard_name(shard)))
                    .expression_attribute_values(":due", milliseconds(due_at))
                    .expression_attribute_values(":one", number(1_u32));
                if made(call.send().await, OPERATION)?.is_some() {
                    return Ok(());
                }
            }
        }
        Err(AdapterError::Contended { operation: OPERATION })
    }

    /// Claims a release for a lease.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn claim_release(
        &self,
        key: &ReleaseKey,
        now: Timestamp,
        lease: Timestamp,
    ) -> Result<ReleaseClaim, AdapterError> {
        let call = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key.row()))
            .condition_expression(format!("{EXISTS} AND {IS_FREE}"))
            .update_expression("SET lease_until = :lease")
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":lease", milliseconds(lease))
            .return_values(ReturnValue::AllNew);
        claimed(key, made(call.send().await, "claiming a release")?)
    }

    /// Renews the lease, and reads how far the release is.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn renew_release(
        &self,
        release: &Release,
        lease: Timestamp,
    ) -> Result<ReleaseClaim, AdapterError> {
        let call = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(release.key.row()))
            .condition_expression(IS_OURS)
            .update_expression("SET lease_until = :new")
            .expression_attribute_values(":lease", milliseconds(release.lease))
            .expression_attribute_values(":new", milliseconds(lease))
            .return_values(ReturnValue::AllNew);
        claimed(&release.key, made(call.send().await, "renewing a release")?)
    }

    /// Reads how far a release is, while its lease is ours.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn look_at_release(&self, release: &Release) -> Result<ReleaseClaim, AdapterError> {
        let call = self.client.get_item().table_name(&self.name).set_key(Some(release.key.row()));
        let answer = call.consistent_read(true).send().await;
        let answer = answer.map_err(|error| AdapterError::of_call("looking at a release", error))?;
        let ours = |row: &Row| row.get("lease_until") == Some(&milliseconds(release.lease));
        match answer.item.filter(ours) {
            Some(row) => read_release(&release.key, &row).map(ReleaseClaim::Claimed),
            None => Ok(ReleaseClaim::NotOurs),
        }
    }

    /// The oldest items that wait for this release, in the order of their acceptance.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn oldest_for_release(
        &self,
        key: &ReleaseKey,
        most: u32,
        most_bytes: usize,
    ) -> Result<Vec<(HeldKey, Delivery)>, AdapterError> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut found: Vec<(HeldKey, Delivery)> = Vec::new();
        for shard in 0..SHARDS {
            let call = self
                .client
                .query()
                .table_name(&self.name)
                .key_condition_expression("pk = :pk AND begins_with(sk, :type)")
                // What has a time of its own is retried at that time.
                .filter_expression("attribute_not_exists(due_at)")
                .expression_attribute_values(":pk", text(pk(&key.webhook, shard)))
                .expression_attribute_values(":type", text(format!("{}#", key.item_type)))
                .consistent_read(true);
            let mut pages = call.into_paginator().send();
            let (mut items, mut bytes) = (0, 0);
            'pages: while let Some(page) = pages.next().await {
                let page = page.map_err(|error| AdapterError::of_call("reading held items", error))?;
                for row in page.items.unwrap_or_default() {
                    let delivery = read_delivery(TABLE, &row)?;
                    (items, bytes) = (items + 1, bytes + delivery.body.len());
                    found.push((held_key(&row)?, delivery));
                    if items >= most || bytes >= most_bytes {
                        break 'pages;
                    }
                }
            }
        }
        found.sort_by(|(_, a), (_, b)| (a.accepted_at, &a.item).cmp(&(b.accepted_at, &b.item)));
        let mut bytes = 0;
        let mut within = |(_, delivery): &(HeldKey, Delivery)| {
            bytes += delivery.body.len();
            bytes <= most_bytes
        };
        let fitting = found.iter().take(most).take_while(|one| within(one)).count();
        found.truncate(fitting.max(1));
        Ok(found)
    }

    /// Begins a step, before anything of it is sent. False where the lease is not ours any more.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn begin_step(
        &self,
        release: &Release,
        tag: &StepTag,
        items: u32,
        size: u32,
        now: Timestamp,
    ) -> Result<bool, AdapterError> {
        let call = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(release.key.row()))
            .condition_expression(IS_OURS)
            .update_expression(
                "SET step_id = :step, step_size = :size, step_left = :items, step_failed = :zero, step_began_at = :now",
            )
            .expression_attribute_values(":lease", milliseconds(release.lease))
            .expression_attribute_values(":step", text(tag.id.as_str()))
            .expression_attribute_values(":size", number(size))
            .expression_attribute_values(":items", number(items))
            .expression_attribute_values(":zero", number(0_u32))
            .expression_attribute_values(":now", milliseconds(now));
        Ok(made(call.send().await, "beginning a step of a release")?.is_some())
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
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key.row()))
            .condition_expression(IS_STEP)
            .update_expression("ADD step_left :less, step_failed :failed")
            .expression_attribute_values(":step", text(tag.id.as_str()))
            .expression_attribute_values(":less", number(-i64::from(items)))
            .expression_attribute_values(":failed", number(failed));
        made(call.send().await, "counting a step of a release").map(|_| ())
    }

    /// Gives a release back, to be looked at again at `due_at`. Without `keep_step` it begins again with the first.
    ///
    /// Where something was held or the release was hastened since the worker looked, its time stays as it is: it has
    /// come, and what came meanwhile may not wait until `due_at`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn postpone_release(
        &self,
        release: &Release,
        due_at: Timestamp,
        keep_step: bool,
    ) -> Result<(), AdapterError> {
        let forget =
            if keep_step { "" } else { ", step_id, step_size, step_left, step_failed, step_began_at" };
        for untouched in [true, false] {
            let call = self
                .client
                .update_item()
                .table_name(&self.name)
                .set_key(Some(release.key.row()))
                .expression_attribute_values(":lease", milliseconds(release.lease));
            let call = if untouched {
                call.condition_expression(format!("{IS_OURS} AND {IS_UNTOUCHED}"))
                    .update_expression(format!("SET due_at = :due REMOVE lease_until{forget}"))
                    .expression_attribute_values(":touched", number(release.touched))
                    .expression_attribute_values(":due", milliseconds(due_at))
            } else {
                call.condition_expression(IS_OURS).update_expression(format!("REMOVE lease_until{forget}"))
            };
            if made(call.send().await, "postponing a release")?.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Brings a release's time forward: its block was ended, or its webhook enabled. False where there is none.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn hasten_release(&self, key: &ReleaseKey, due_at: Timestamp) -> Result<bool, AdapterError> {
        let call = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key.row()))
            .condition_expression(EXISTS)
            // A worker that looked before must neither postpone nor end it by what it saw.
            .update_expression("SET due_at = :due ADD touched :one")
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
        let call = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key("pk", text(held.pk.as_str()))
            .key("sk", text(held.sk.as_str()))
            .condition_expression(IS_SAME_HOLDING)
            .expression_attribute_values(":holding", text(held.holding.as_str()));
        made(call.send().await, "deleting a released item").map(|_| ())
    }
}

fn claimed(key: &ReleaseKey, made: Option<UpdateItemOutput>) -> Result<ReleaseClaim, AdapterError> {
    match made {
        Some(answer) => read_release(key, &answer.attributes.unwrap_or_default()).map(ReleaseClaim::Claimed),
        None => Ok(ReleaseClaim::NotOurs),
    }
}

fn read_release(key: &ReleaseKey, row: &Row) -> Result<Release, AdapterError> {
    let row = Reader { table: TABLE, row };
    let step = match row.optional_number("step_size")? {
        Some(size) => Some(Progress {
            size,
            left: row.number("step_left")?,
            failed: row.number("step_failed")?,
            began_at: row.milliseconds("step_began_at")?,
        }),
        None => None,
    };
    Ok(Release {
        key: key.clone(),
        account: row.parsed("account")?,
        touched: row.number("touched")?,
        lease: row.milliseconds("lease_until")?,
        step,
    })
}
