//! Repair of a release or a replay whose own row cannot be read.
//!
//! A release's row says when and how far its items are released, and can be written again from the held items. A
//! replay's row says which dead items are to be taken: where it cannot be read, no more are taken, the taken ones are
//! released, and another replay may be requested.

use carteiro_core::id::{AccountId, ReplayId};
use carteiro_core::item::ItemType;
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::tables::conditional::made;
use crate::tables::row::{Reader, Row, milliseconds, number, text};
use crate::tables::waiting::HeldTable;
use crate::tables::waiting::keys::{DUE_SHARDS, ReleaseKey, ReplayKey, TABLE, due_shard_name, shard_of_id};
use crate::tables::waiting::release::read_release;
use crate::tables::waiting::replay::read_running;

/// The lease is the one that was read.
const HAS_SAME_LEASE: &str = "lease_until = :lease";
/// No worker has claimed the row.
const HAS_NO_LEASE: &str = "attribute_not_exists(lease_until)";
/// It is of this replay.
const IS_OF_REPLAY: &str = "replay = :replay";

/// How many rows of running replays a webhook has at most: one for each type, and those of single items.
const MAX_RUNNING: usize = 100;

impl HeldTable {
    /// Replaces the row of a release that cannot be read, due at `now`: with its account as read there or on an item
    /// that waits, and without a step, so that it starts with the first. Where no waiting item can be read, the row is
    /// deleted. False where the row can be read by now, or is gone.
    ///
    /// # Errors
    /// Where the table cannot be read or written.
    pub async fn repair_release(&self, key: &ReleaseKey, now: Timestamp) -> Result<bool, AdapterError> {
        const OPERATION: &str = "writing a release anew";
        let Some(row) = self.row(key.row(), OPERATION).await? else { return Ok(false) };
        if can_be_read(key, &row) {
            return Ok(false);
        }
        let lease = row.get("lease_until").cloned();
        let condition = if lease.is_some() { HAS_SAME_LEASE } else { HAS_NO_LEASE };
        let values = lease.map(|lease| Row::from([(":lease".to_owned(), lease)]));
        let reader = Reader { table: TABLE, row: &row };
        let account = match reader.parsed("account") {
            Ok(account) => Some(account),
            Err(_) => self.account_of_waiting(key, now).await?,
        };
        let Some(account) = account else {
            let call = self.items.client.delete_item().table_name(&self.items.name).set_key(Some(key.row()));
            let call = call.condition_expression(condition).set_expression_attribute_values(values);
            return Ok(made(call.send().await, OPERATION)?.is_some());
        };
        let shard = due_shard_name(shard_of_id(key.webhook.as_str(), DUE_SHARDS));
        // Ending and postponing compare this count. An unreadable one is replaced by a count that no worker has read.
        let count = |name| reader.number::<u64>(name).unwrap_or_else(|_| now.as_millisecond().unsigned_abs());
        let mut anew = key.row();
        anew.extend([
            ("account".to_owned(), text(account.as_str())),
            ("due_shard".to_owned(), text(shard)),
            ("due_at".to_owned(), milliseconds(now)),
            ("touched".to_owned(), number(count("touched"))),
            ("hastened".to_owned(), number(count("hastened"))),
        ]);
        let released = reader.milliseconds("release_all_until").ok();
        anew.extend(released.map(|until| ("release_all_until".to_owned(), milliseconds(until))));
        let call = self.items.client.put_item().table_name(&self.items.name).set_item(Some(anew));
        let call = call.condition_expression(condition).set_expression_attribute_values(values);
        Ok(made(call.send().await, OPERATION)?.is_some())
    }

    /// Ends a replay whose row cannot be read: its taken items are released, its row is no longer due, and other
    /// replays of its type may be requested. False where the row can be read, or is gone.
    ///
    /// # Errors
    /// Where the table cannot be read or written.
    pub async fn abandon_replay(&self, key: &ReplayKey, now: Timestamp) -> Result<bool, AdapterError> {
        const OPERATION: &str = "ending a replay that cannot be read";
        let Some(row) = self.row(key.row(), OPERATION).await? else { return Ok(false) };
        if read_running(&row, "").is_ok() {
            return Ok(false);
        }
        let reader = Reader { table: TABLE, row: &row };
        let types =
            reader.parsed("type").map_or_else(|_| ItemType::KNOWN.to_vec(), |one: ItemType| vec![one]);
        for item_type in types {
            let release = ReleaseKey { webhook: key.webhook.clone(), item_type };
            if let Some(account) = self.account_of_waiting(&release, now).await? {
                self.releases.plan(&release, &account, now).await?;
            }
        }
        let (running, _) = self.replays.rows(&key.webhook, "running#", MAX_RUNNING, None).await?;
        for row in running {
            let reader = Reader { table: TABLE, row: &row };
            if reader.parsed::<ReplayId>("replay").ok().as_ref() != Some(&key.replay) {
                continue;
            }
            let call = self.items.client.delete_item().table_name(&self.items.name);
            let call = call
                .set_key(Some(key_of(&row)))
                .condition_expression(IS_OF_REPLAY)
                .expression_attribute_values(":replay", text(key.replay.as_str()));
            made(call.send().await, OPERATION)?;
        }
        let call = self
            .items
            .client
            .update_item()
            .table_name(&self.items.name)
            .set_key(Some(key.row()))
            .condition_expression("attribute_exists(pk)")
            .update_expression("REMOVE due_at, due_shard, lease_until, worker");
        Ok(made(call.send().await, OPERATION)?.is_some())
    }

    /// The account of the first item of a release that can be read, retries too; None where there is none.
    async fn account_of_waiting(
        &self,
        key: &ReleaseKey,
        now: Timestamp,
    ) -> Result<Option<AccountId>, AdapterError> {
        let mut waiting = self.of_release(key, Some(now), now);
        Ok(waiting.peek(1).await?.map(|delivery| delivery.account.clone()))
    }

    async fn row(&self, key: Row, operation: &'static str) -> Result<Option<Row>, AdapterError> {
        let call = self
            .items
            .client
            .get_item()
            .table_name(&self.items.name)
            .set_key(Some(key))
            .consistent_read(true);
        let answer = call.send().await.map_err(AdapterError::in_call(operation))?;
        Ok(answer.item)
    }
}

/// Whether a release's row can be read, once it is claimed.
fn can_be_read(key: &ReleaseKey, row: &Row) -> bool {
    const WORKER: &str = "any";
    let mut claimed = row.clone();
    claimed.entry("lease_until".to_owned()).or_insert_with(|| number(0_u32));
    claimed.insert("lease_by".to_owned(), text(WORKER));
    read_release(key, WORKER, &claimed).is_ok()
}

fn key_of(row: &Row) -> Row {
    row.iter()
        .filter(|(name, _)| matches!(name.as_str(), "pk" | "sk"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
