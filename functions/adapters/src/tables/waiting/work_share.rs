//! An account's share in releases and replays ([`carteiro_core::work_share`]): its slots, and its work that waits for
//! one, as rows of the held items' table.
//!
//! A slot's row is written on condition that the slot is free or the worker's own, so a repeated write recognises
//! itself. Work that waits has one row, however often it is asked for, and keeps the time at which it was asked for
//! first. Rows expire a day after they were written: ticks find the same work by itself.
//!
//! Not guaranteed: work whose row was deleted by a call with a lost answer is left to the next tick.

use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnValue;
use carteiro_core::id::AccountId;
use carteiro_core::retention::after;
use carteiro_core::work_share::{SLOT_LEASE, Slot, free_places};
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::queues::work::Work;
use crate::runtime::random;
use crate::tables::conditional::made;
use crate::tables::row::{Reader, Row, milliseconds, seconds, text};
use crate::tables::rows::{Rows, table};
use crate::tables::unreadable::readable;

const TABLE: &str = "held";
const SLOT: &str = "slot#";
const WAITING: &str = "waiting#";

/// The slot is free, or its worker's lease expired, or it is this worker's.
const IS_FREE_OR_OURS: &str = "attribute_not_exists(until_at) OR until_at <= :now OR worker = :worker";
/// The slot is this worker's.
const IS_OURS: &str = "worker = :worker";
/// Nothing is at this key yet.
const IS_NEW: &str = "attribute_not_exists(pk)";
/// The row exists: no other worker took the work.
const EXISTS: &str = "attribute_exists(pk)";

/// How long a row that is not deleted is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);

table! {
    /// Accounts' shares in the collector's work.
    pub struct WorkShare;
}

fn key(account: &AccountId, sk: impl Into<String>) -> Row {
    Row::from([("pk".to_owned(), text(format!("{account}#work"))), ("sk".to_owned(), text(sk))])
}

fn slot_key(account: &AccountId, place: usize) -> Row {
    key(account, format!("{SLOT}{place:02}"))
}

impl WorkShare {
    /// Takes any free slot for a worker, and answers its place; None where all are taken.
    ///
    /// # Errors
    /// Where the table cannot be read or written.
    pub async fn take_slot(
        &self,
        account: &AccountId,
        worker: &str,
        now: Timestamp,
    ) -> Result<Option<usize>, AdapterError> {
        let rows = self.rows(account, SLOT).await?;
        let slots: Vec<_> = rows.iter().filter_map(|row| readable(TABLE, row, read_slot(row))).collect();
        for place in free_places(&slots, worker, now, random::bits64()?) {
            if self.write_slot((account, place), worker, now, IS_FREE_OR_OURS).await? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Renews a worker's slot. False where it is another worker's by now.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn renew_slot(
        &self,
        account: &AccountId,
        place: usize,
        worker: &str,
        now: Timestamp,
    ) -> Result<bool, AdapterError> {
        self.write_slot((account, place), worker, now, IS_OURS).await
    }

    async fn write_slot(
        &self,
        (account, place): (&AccountId, usize),
        worker: &str,
        now: Timestamp,
        condition: &str,
    ) -> Result<bool, AdapterError> {
        let call = self
            .update_item(slot_key(account, place))
            .condition_expression(condition)
            .update_expression("SET worker = :worker, until_at = :until, expires_at = :expires")
            .expression_attribute_values(":worker", text(worker))
            .expression_attribute_values(":until", milliseconds(after(now, SLOT_LEASE)))
            .expression_attribute_values(":expires", seconds(after(now, KEPT)));
        let call = match condition {
            IS_FREE_OR_OURS => call.expression_attribute_values(":now", milliseconds(now)),
            _ => call,
        };
        Ok(made(call.send().await, "taking a slot of an account")?.is_some())
    }

    /// Gives a worker's slot back.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn free_slot(
        &self,
        account: &AccountId,
        place: usize,
        worker: &str,
    ) -> Result<(), AdapterError> {
        let call = self
            .delete_item(slot_key(account, place))
            .condition_expression(IS_OURS)
            .expression_attribute_values(":worker", text(worker));
        made(call.send().await, "freeing a slot of an account").map(|_| ())
    }

    /// Adds work to the account's list of waiting work. Work that is in the list keeps its place.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn add_waiting(
        &self,
        account: &AccountId,
        work: &Work,
        now: Timestamp,
    ) -> Result<(), AdapterError> {
        const OPERATION: &str = "having work wait for a slot";
        let Some(name) = work.name() else { return Ok(()) };
        let json =
            serde_json::to_string(work).map_err(|error| AdapterError::unavailable(OPERATION, error))?;
        let mut row = key(account, format!("{WAITING}{name}"));
        row.extend([
            ("work".to_owned(), text(json)),
            ("asked_at".to_owned(), milliseconds(now)),
            ("expires_at".to_owned(), seconds(after(now, KEPT))),
        ]);
        let call = self.put_item(row);
        made(call.condition_expression(IS_NEW).send().await, OPERATION).map(|_| ())
    }

    /// Takes the work that has waited longest; None where none waits.
    ///
    /// # Errors
    /// Where the table cannot be read or written.
    pub async fn next(&self, account: &AccountId) -> Result<Option<Work>, AdapterError> {
        let mut rows = self.rows(account, WAITING).await?;
        let asked_at = |row: &Row| Reader { table: TABLE, row }.milliseconds("asked_at").unwrap_or_default();
        rows.sort_by_key(asked_at);
        for row in rows {
            let sk = row.get("sk").and_then(|sk| sk.as_s().ok()).cloned().unwrap_or_default();
            let call = self
                .delete_item(key(account, sk))
                .condition_expression(EXISTS)
                .return_values(ReturnValue::AllOld);
            let Some(taken) = made(call.send().await, "taking work that waited")? else { continue };
            let row = taken.attributes.unwrap_or(row);
            let work = Reader { table: TABLE, row: &row }.json("work");
            if let Some(work) = readable(TABLE, &row, work) {
                return Ok(Some(work));
            }
        }
        Ok(None)
    }

    /// Whether work waits for a slot.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn is_waiting(&self, account: &AccountId) -> Result<bool, AdapterError> {
        Ok(!self.rows(account, WAITING).await?.is_empty())
    }

    async fn rows(&self, account: &AccountId, prefix: &str) -> Result<Vec<Row>, AdapterError> {
        let (mut rows, mut start) = (Vec::new(), None);
        loop {
            let call = self
                .query_rows()
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":pk", text(format!("{account}#work")))
                .expression_attribute_values(":prefix", text(prefix))
                .consistent_read(true)
                .set_exclusive_start_key(start);
            let answer = call.send().await.map_err(AdapterError::in_call("reading an account's work"))?;
            rows.extend(answer.items.unwrap_or_default());
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(rows);
            }
        }
    }
}

fn read_slot(row: &Row) -> Result<Slot, AdapterError> {
    let row = Reader { table: TABLE, row };
    let malformed = || AdapterError::Malformed { table: TABLE, attribute: "sk" };
    let place = row.text("sk")?.strip_prefix(SLOT).and_then(|place| place.parse().ok());
    Ok(Slot {
        place: place.ok_or_else(malformed)?,
        worker: row.text("worker")?.to_owned(),
        until: row.milliseconds("until_at")?,
    })
}
