//! Replays: one row for each, in the held items' table, and a row of its counts.
//!
//! A replay takes dead items in the order of their acceptance, many in one transaction: it writes their held rows,
//! deletes their dead rows, and notes its progress in its own row. So an item is always in exactly one of the two
//! tables, and a successor continues where a dead worker stopped. Taken items wait for their release
//! ([`release`](super::release)). The worker ensures the release before it ends the replay.
//!
//! Until a replay has taken all, it is in the index `due`, as releases are. A lease admits one worker at a time. A
//! second row makes it exclusive: `running#<type>` for a replay of a type, and `running#-item#<place>` for a replay of
//! one item, which limits those to the number of places.
//!
//! The counts of delivered, dead and dropped items are a row of their own, so that counting does not contend with
//! taking. They are for the owner to read: one may be missing or be counted twice, where a function died.

use std::collections::HashSet;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use carteiro_core::delivery::Delivery;
use carteiro_core::holding::HeldFor;
use carteiro_core::id::{ReplayId, WebhookId};
use carteiro_core::replay::{Counts, MAX_ITEMS_AT_ONCE, Replayed};
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::runtime::random;
use crate::tables::conditional::made;
use crate::tables::config::ListPage;
use crate::tables::row::{Reader, Row, milliseconds, number, seconds, text};
use crate::tables::rows::{Rows, table};
use crate::tables::transaction::{TRIES, Transacted, transact, transact_patiently};
use crate::tables::unreadable::readable;
use crate::tables::waiting::dead::{DeadRow, DeadRows};
use crate::tables::waiting::held_item::HeldPlace;
use crate::tables::waiting::keys::{
    DUE_SHARDS, HAS_NO_TIME, REPLAYS, Replay, ReplayKey, TABLE, due_shard_name, held_row, new_id, row_key,
    shard_of_id,
};
use crate::tables::waiting::reads::{AccountAndLease, drop_part, glance};

const COUNTS: &str = "#counts";

/// Nothing is at this key yet.
const IS_NEW: &str = "attribute_not_exists(pk)";
/// The row still has the due time that was read, and is not claimed, or its claim expired.
const WAITS_FOR_ITS_TIME: &str =
    "due_at = :due AND (attribute_not_exists(claimed_until) OR claimed_until <= :now)";
/// The replay has not taken all its dead items yet.
const IS_RUNNING: &str = "attribute_exists(due_at)";
/// No worker has the replay, or its lease expired.
const IS_FREE: &str = "(attribute_not_exists(lease_until) OR lease_until <= :now)";
/// No other worker has claimed it since this one did.
const IS_OURS: &str = "worker = :worker";
/// The running replay, of the type or in this place, is this one, or there is none.
const IS_THIS: &str = "attribute_not_exists(pk) OR replay = :replay";

/// Which row says that a replay is running, beside its own: the one of its type, or of the place that it has among
/// those of single items.
fn running_sk(replay: &Replay) -> String {
    match &replay.item {
        None => format!("running#{}", replay.item_type),
        Some(_) => running_item_sk(replay.place),
    }
}

/// The rows of single items. No type has this name.
const RUNNING_ITEM: &str = "running#-item#";

fn running_item_sk(place: usize) -> String {
    format!("{RUNNING_ITEM}{place:02}")
}

/// How far a replay is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayProgress {
    /// The request.
    pub replay: Replay,
    /// How many items it found, took, delivered and lost.
    pub counts: Counts,
    /// When it had taken all that it found; None before.
    pub taken_at: Option<Timestamp>,
    /// When one of its items was last counted.
    pub counted_at: Option<Timestamp>,
}

/// A replay that this worker has claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningReplay {
    /// The request.
    pub replay: Replay,
    /// The place of the last dead item that was read.
    pub place: Option<String>,
    /// How many items it found and took.
    pub counts: Counts,
    /// Which worker we are: drawn with the claim.
    pub worker: String,
}

/// How claiming a replay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayClaim {
    /// The caller has claimed it.
    Claimed(Box<RunningReplay>),
    /// Another worker has it.
    Taken,
    /// There is none, or it has taken all.
    Over,
}

/// How taking dead items ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Take {
    /// They wait for their release now.
    Taken(Box<RunningReplay>),
    /// Nothing was changed, for of these nothing can be taken: they wait for a retry, or are not dead any more.
    Refused(Vec<usize>),
    /// Nothing was changed, for the replay is another worker's.
    NotOurs,
    /// Nothing was changed, for others changed the same rows at the same time.
    InTheWay,
    /// Nothing was changed, for that was more than the tables take now. Less may do.
    Throttled,
}

/// How creating a replay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreatedReplay {
    /// It is there.
    Done,
    /// One of this type is running.
    Running(ReplayId),
    /// It is of one item, and [`MAX_ITEMS_AT_ONCE`] such are running.
    TooMany,
}

table! {
    /// The rows of replays, in the held items' table.
    pub struct ReplayRows;
}

impl ReplayRows {
    /// Creates a replay, which comes due at once. There can be one of a type at a time, and beside it
    /// [`MAX_ITEMS_AT_ONCE`] of single items.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn create(&self, replay: &Replay) -> Result<CreatedReplay, AdapterError> {
        const OPERATION: &str = "creating a replay";
        for _ in 0..TRIES {
            let mut replay = replay.clone();
            if replay.item.is_some() {
                let Some(place) = self.free_place(&replay.key.webhook).await? else {
                    return Ok(CreatedReplay::TooMany);
                };
                replay.place = place;
            }
            let mut running = row_key(&replay.key.webhook, &running_sk(&replay));
            running.insert("replay".to_owned(), text(replay.key.replay.as_str()));
            running.insert("expires_at".to_owned(), seconds(replay.expires_at));
            let writes = [put_new(&self.name, replay_row(&replay)), put_new(&self.name, running)];
            let writes = writes.into_iter().collect::<Result<Vec<_>, _>>();
            let writes = writes.map_err(AdapterError::not_built(OPERATION))?;
            match transact_patiently(&self.client, &writes, OPERATION).await? {
                Transacted::Done => return Ok(CreatedReplay::Done),
                Transacted::Refused(_) if replay.item.is_none() => {
                    if let Some(running) = self.running(&replay).await? {
                        return Ok(CreatedReplay::Running(running));
                    }
                    // The other replay has ended meanwhile.
                }
                // Another one has this place by now.
                Transacted::Refused(_) => {}
                Transacted::InTheWay => break,
                Transacted::Throttled => return Err(AdapterError::Incomplete { operation: OPERATION }),
            }
        }
        Err(AdapterError::Contended { operation: OPERATION })
    }

    /// A place for a replay of a single item that no other one of the webhook has, any of those that there are.
    async fn free_place(&self, webhook: &WebhookId) -> Result<Option<usize>, AdapterError> {
        let (rows, _) = self.rows(webhook, RUNNING_ITEM, MAX_ITEMS_AT_ONCE, None).await?;
        let taken: HashSet<_> = rows.iter().filter_map(|row| row.get("sk")?.as_s().ok()).collect();
        let free: Vec<_> =
            (0..MAX_ITEMS_AT_ONCE).filter(|&place| !taken.contains(&running_item_sk(place))).collect();
        let any = usize::try_from(random::bits64()? >> 32).unwrap_or_default();
        Ok(free.get(any % free.len().max(1)).copied())
    }

    async fn running(&self, replay: &Replay) -> Result<Option<ReplayId>, AdapterError> {
        let key = row_key(&replay.key.webhook, &running_sk(replay));
        let call = self.get_item(key).consistent_read(true);
        let answer = call.send().await.map_err(AdapterError::in_call("finding a running replay"))?;
        answer.item.map(|row| Reader { table: TABLE, row: &row }.parsed("replay")).transpose()
    }

    /// Claims a replay for a lease. `due_at` is when the worker's time will be over, and a successor is to look.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn claim(
        &self,
        key: &ReplayKey,
        now: Timestamp,
        lease: Timestamp,
        due_at: Timestamp,
    ) -> Result<ReplayClaim, AdapterError> {
        use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
        let worker = new_id()?;
        let call = self
            .update_item(key.row())
            .condition_expression(format!("{IS_RUNNING} AND {IS_FREE}"))
            .update_expression("SET lease_until = :lease, due_at = :due, worker = :worker")
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":lease", milliseconds(lease))
            .expression_attribute_values(":worker", text(worker.as_str()))
            .expression_attribute_values(":due", milliseconds(due_at))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match call.send().await {
            Ok(answer) => {
                let running = read_running(&answer.attributes.unwrap_or_default(), &worker)?;
                Ok(ReplayClaim::Claimed(Box::new(running)))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    let Some(row) = refused.item().filter(|row| row.contains_key("due_at")) else {
                        return Ok(ReplayClaim::Over);
                    };
                    // The first answer was lost, and the call was repeated.
                    if row.get("worker") == Some(&text(worker.as_str())) {
                        return Ok(ReplayClaim::Claimed(Box::new(read_running(row, &worker)?)));
                    }
                    Ok(ReplayClaim::Taken)
                }
                _ => Err(AdapterError::of_call("claiming a replay", error)),
            },
        }
    }

    /// Takes dead items: they wait for their release as first attempts, and their retention counts from `now`. Notes
    /// that dead items were read up to `place`, and that `passed` more were found and left. The transaction is tried
    /// once.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn take_dead(
        &self,
        running: &RunningReplay,
        dead: &DeadRows,
        rows: &[DeadRow],
        (place, passed): (&str, u64),
        (now, lease, row_expires): (Timestamp, Timestamp, Timestamp),
    ) -> Result<Take, AdapterError> {
        const OPERATION: &str = "taking dead items";
        let mut counts = running.counts;
        counts.found += rows.len() as u64 + passed;
        counts.taken += rows.len() as u64;
        let next = RunningReplay { place: Some(place.to_owned()), counts, ..running.clone() };
        let mut writes = vec![self.advance(&next, lease, OPERATION)?];
        for row in rows {
            writes.push(self.hold_replayed(running, row, now, row_expires, OPERATION)?);
            writes.push(dead.delete_taken(row, OPERATION)?);
        }
        self.take(next, &writes, 2, OPERATION).await
    }

    /// Ends the wait of rows that have due times: they wait for their release instead. Rows of no other replay become
    /// first attempts of this one, with their retention counted from `now`. Notes the place of the last row, and that
    /// `passed` more were found and left. The transaction is tried once.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn take_held(
        &self,
        running: &RunningReplay,
        rows: &[HeldPlace],
        (place, passed): (&str, u64),
        (now, lease, row_expires): (Timestamp, Timestamp, Timestamp),
    ) -> Result<Take, AdapterError> {
        const OPERATION: &str = "taking held items";
        let own = rows.iter().filter(|row| row.replay.is_none()).count() as u64;
        let mut counts = running.counts;
        counts.found += rows.len() as u64 + passed;
        counts.taken += own;
        let place = running.place.as_deref().map_or(place, |before| before.max(place)).to_owned();
        let next = RunningReplay { place: Some(place), counts, ..running.clone() };
        let mut writes = vec![self.advance(&next, lease, OPERATION)?];
        for row in rows {
            writes.push(self.end_wait(running, row, (now, row_expires), OPERATION)?);
        }
        self.take(next, &writes, 1, OPERATION).await
    }

    /// Makes a transaction that moves a replay on: the write on its own row, then `each` writes for every item.
    async fn take(
        &self,
        next: RunningReplay,
        writes: &[TransactWriteItem],
        each: usize,
        operation: &'static str,
    ) -> Result<Take, AdapterError> {
        Ok(match transact(&self.client, writes, operation).await? {
            Transacted::Done => Take::Taken(Box::new(next)),
            Transacted::InTheWay => Take::InTheWay,
            Transacted::Throttled => Take::Throttled,
            Transacted::Refused(refused) if refused.contains(&0) => Take::NotOurs,
            Transacted::Refused(refused) => {
                let mut rows: Vec<_> = refused.into_iter().map(|write| (write - 1) / each).collect();
                rows.dedup();
                Take::Refused(rows)
            }
        })
    }

    fn end_wait(
        &self,
        running: &RunningReplay,
        row: &HeldPlace,
        (now, expires_at): (Timestamp, Timestamp),
        operation: &'static str,
    ) -> Result<TransactWriteItem, AdapterError> {
        let expires_at = row.keep_until.map_or(expires_at, |until| expires_at.min(until));
        let due = row.due_at.map_or(AttributeValue::Null(true), milliseconds);
        let mut set = "SET holding = :holding, held_for = :reason".to_owned();
        let mut update = Update::builder()
            .table_name(&self.name)
            .key("pk", text(row.key.pk.as_str()))
            .key("sk", text(row.key.sk.as_str()))
            .condition_expression(WAITS_FOR_ITS_TIME)
            .expression_attribute_values(":due", due)
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":holding", text(new_id()?))
            .expression_attribute_values(":reason", text(HeldFor::Replay.as_str()));
        if row.replay.is_none() {
            set.push_str(", attempt = :first, replay = :replay, replayed_at = :now, expires_at = :expires");
            update = update
                .expression_attribute_values(":first", number(1_u32))
                .expression_attribute_values(":replay", text(running.replay.key.replay.as_str()))
                .expression_attribute_values(":expires", seconds(expires_at));
        }
        let update = update
            .update_expression(format!("{set} REMOVE due_at, due_shard, claimed_until, claimed_by"))
            .build();
        let update = update.map_err(AdapterError::not_built(operation))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    fn advance(
        &self,
        next: &RunningReplay,
        lease: Timestamp,
        operation: &'static str,
    ) -> Result<TransactWriteItem, AdapterError> {
        let update = Update::builder()
            .table_name(&self.name)
            .set_key(Some(next.replay.key.row()))
            .condition_expression(IS_OURS)
            .update_expression(
                "SET lease_until = :lease, place = :place, found_items = :found, taken_items = :taken",
            )
            .expression_attribute_values(":worker", text(next.worker.as_str()))
            .expression_attribute_values(":lease", milliseconds(lease))
            .expression_attribute_values(":place", text(next.place.as_deref().unwrap_or_default()))
            .expression_attribute_values(":found", number(next.counts.found))
            .expression_attribute_values(":taken", number(next.counts.taken))
            .build();
        let update = update.map_err(AdapterError::not_built(operation))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    fn hold_replayed(
        &self,
        running: &RunningReplay,
        row: &DeadRow,
        now: Timestamp,
        expires_at: Timestamp,
        operation: &'static str,
    ) -> Result<TransactWriteItem, AdapterError> {
        let replayed = Some(Replayed { replay: running.replay.key.replay.clone(), at: now });
        let delivery = Delivery { attempt: 1, step: None, replayed, ..row.delivery.clone() };
        let own = [("holding", text(new_id()?))];
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(held_row(&delivery, HeldFor::Replay, own, expires_at)))
            .condition_expression(HAS_NO_TIME)
            .build();
        let put = put.map_err(AdapterError::not_built(operation))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Reads which account a replay belongs to and until when a worker has it; None where there is none.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn glance(&self, key: &ReplayKey) -> Result<Option<AccountAndLease>, AdapterError> {
        glance(self.table(), key.row()).await
    }

    /// Returns a replay to the index as it is, due at `due_at`, even if this worker does not know whether its latest
    /// transaction was made.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn return_to_index(
        &self,
        running: &RunningReplay,
        due_at: Timestamp,
    ) -> Result<(), AdapterError> {
        let call = self
            .update_item(running.replay.key.row())
            .condition_expression(IS_OURS)
            .update_expression("SET due_at = :due REMOVE lease_until, worker")
            .expression_attribute_values(":worker", text(running.worker.as_str()))
            .expression_attribute_values(":due", milliseconds(due_at));
        made(call.send().await, "giving a replay back").map(|_| ())
    }

    /// Says that a replay has taken all that it found, after there is a release for it. From then on another of its
    /// type may begin. False where it is another worker's.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn end(&self, running: &RunningReplay, now: Timestamp) -> Result<bool, AdapterError> {
        const OPERATION: &str = "ending a replay";
        let update = Update::builder()
            .table_name(&self.name)
            .set_key(Some(running.replay.key.row()))
            .condition_expression(IS_OURS)
            .update_expression("SET taken_at = :now REMOVE due_at, due_shard, lease_until, worker")
            .expression_attribute_values(":worker", text(running.worker.as_str()))
            .expression_attribute_values(":now", milliseconds(now))
            .build();
        let update = update.map_err(AdapterError::not_built(OPERATION))?;
        let update = TransactWriteItem::builder().update(update).build();
        let writes = [update, self.free_running(running, OPERATION)?];
        match transact_patiently(&self.client, &writes, OPERATION).await? {
            Transacted::Done => Ok(true),
            Transacted::Refused(_) => Ok(false),
            Transacted::InTheWay | Transacted::Throttled => Err(AdapterError::contended(OPERATION)),
        }
    }

    fn free_running(
        &self,
        running: &RunningReplay,
        operation: &'static str,
    ) -> Result<TransactWriteItem, AdapterError> {
        let key = &running.replay.key;
        let delete = Delete::builder()
            .table_name(&self.name)
            .set_key(Some(row_key(&key.webhook, &running_sk(&running.replay))))
            .condition_expression(IS_THIS);
        let delete = delete.expression_attribute_values(":replay", text(key.replay.as_str())).build();
        let delete = delete.map_err(AdapterError::not_built(operation))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// Deletes a replay whose webhook was deleted.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn forget(&self, replay: &Replay) -> Result<(), AdapterError> {
        let running = row_key(&replay.key.webhook, &running_sk(replay));
        let keys = [running, replay.key.row(), counts_key(&replay.key)];
        for key in keys {
            self.delete_item(key).send().await.map_err(AdapterError::in_call("dropping a replay"))?;
        }
        Ok(())
    }

    /// Deletes up to `most` rows of a deleted webhook's replays, also where workers have them, and answers how many.
    ///
    /// # Errors
    /// Where the table cannot be read or written.
    pub async fn drop_all(&self, webhook: &WebhookId, most: u16) -> Result<usize, AdapterError> {
        drop_part(&self.client, &self.name, format!("{webhook}{REPLAYS}"), most).await
    }

    /// Adds to a replay's counts of `delivered`, `dead` and `dropped` items.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn count(
        &self,
        key: &ReplayKey,
        counts: Counts,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), AdapterError> {
        let call = self.update_item(counts_key(key))
            .update_expression(
                "SET counted_at = :now, expires_at = :expires ADD delivered :delivered, dead :dead, dropped :dropped",
            )
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":expires", seconds(expires_at))
            .expression_attribute_values(":delivered", number(counts.delivered))
            .expression_attribute_values(":dead", number(counts.dead))
            .expression_attribute_values(":dropped", number(counts.dropped));
        call.send().await.map(|_| ()).map_err(AdapterError::in_call("counting a replay's items"))
    }

    /// A replay of a webhook.
    ///
    /// # Errors
    /// Where the table or a row cannot be read.
    pub async fn find(&self, key: &ReplayKey) -> Result<Option<ReplayProgress>, AdapterError> {
        let (rows, _) = self.rows(&key.webhook, key.replay.as_str(), 2, None).await?;
        Ok(read_progress(&rows).pop())
    }

    /// A page of a webhook's replays, the newest first.
    ///
    /// # Errors
    /// Where the table or a row cannot be read.
    pub async fn list(
        &self,
        webhook: &WebhookId,
        most: u16,
        after: Option<&str>,
    ) -> Result<ListPage<ReplayProgress>, AdapterError> {
        // Each has up to two rows, and the counts come before their replay.
        let rows = usize::from(most) * 2 + 1;
        let (rows, more) = self.rows(webhook, "rep_", rows, after).await?;
        let mut data = read_progress(&rows);
        let more = more || data.len() > usize::from(most);
        data.truncate(usize::from(most));
        let last = data.last().map(|one| one.replay.key.replay.as_str().to_owned()).filter(|_| more);
        Ok(ListPage { data, last })
    }

    /// The rows of replays whose `sk` has this prefix, the newest first, and whether there may be more.
    pub(crate) async fn rows(
        &self,
        webhook: &WebhookId,
        prefix: &str,
        most: usize,
        after: Option<&str>,
    ) -> Result<(Vec<Row>, bool), AdapterError> {
        let call = self
            .query_rows()
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(format!("{webhook}{REPLAYS}")))
            .expression_attribute_values(":prefix", text(prefix))
            .scan_index_forward(false)
            .consistent_read(true)
            .limit(i32::try_from(most).unwrap_or(i32::MAX))
            .set_exclusive_start_key(after.map(|sk| row_key(webhook, sk)));
        let answer = call.send().await.map_err(AdapterError::in_call("reading replays"))?;
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key.is_some()))
    }
}

fn put_new(table: &str, row: Row) -> Result<TransactWriteItem, BuildError> {
    let put = Put::builder().table_name(table).set_item(Some(row)).condition_expression(IS_NEW).build()?;
    Ok(TransactWriteItem::builder().put(put).build())
}

fn counts_key(key: &ReplayKey) -> Row {
    row_key(&key.webhook, &format!("{}{COUNTS}", key.replay))
}

fn replay_row(replay: &Replay) -> Row {
    let shard = shard_of_id(replay.key.replay.as_str(), DUE_SHARDS);
    let mut row = replay.key.row();
    row.extend([
        ("account".to_owned(), text(replay.account.as_str())),
        ("webhook".to_owned(), text(replay.key.webhook.as_str())),
        ("replay".to_owned(), text(replay.key.replay.as_str())),
        ("type".to_owned(), text(replay.item_type.as_str())),
        ("created_at".to_owned(), milliseconds(replay.created_at)),
        ("expires_at".to_owned(), seconds(replay.expires_at)),
        ("found_items".to_owned(), number(0_u64)),
        ("taken_items".to_owned(), number(0_u64)),
        ("due_at".to_owned(), milliseconds(replay.created_at)),
        ("due_shard".to_owned(), text(due_shard_name(shard))),
    ]);
    row.extend(replay.item.as_ref().map(|item| ("of_item".to_owned(), text(item.as_str()))));
    row.extend(replay.item.as_ref().map(|_| ("item_place".to_owned(), number(replay.place))));
    row.extend(replay.from.map(|from| ("from_at".to_owned(), milliseconds(from))));
    row.extend(replay.to.map(|to| ("to_at".to_owned(), milliseconds(to))));
    row
}

fn read_replay(row: &Row) -> Result<Replay, AdapterError> {
    let row = Reader { table: TABLE, row };
    let time = |name| row.row.contains_key(name).then(|| row.milliseconds(name)).transpose();
    Ok(Replay {
        key: ReplayKey { webhook: row.parsed("webhook")?, replay: row.parsed("replay")? },
        account: row.parsed("account")?,
        item_type: row.parsed("type")?,
        item: row.row.contains_key("of_item").then(|| row.parsed("of_item")).transpose()?,
        from: time("from_at")?,
        to: time("to_at")?,
        created_at: row.milliseconds("created_at")?,
        expires_at: row.seconds("expires_at")?,
        place: row.optional_number("item_place")?.unwrap_or_default(),
    })
}

pub(crate) fn read_running(row: &Row, worker: &str) -> Result<RunningReplay, AdapterError> {
    let replay = read_replay(row)?;
    let row = Reader { table: TABLE, row };
    let place = row.row.contains_key("place").then(|| row.text("place").map(str::to_owned)).transpose()?;
    let counts =
        Counts { found: row.number("found_items")?, taken: row.number("taken_items")?, ..Counts::default() };
    Ok(RunningReplay { replay, place, counts, worker: worker.to_owned() })
}

/// Reads rows of replays, each preceded by its counts where it has any. Counts without their replay and rows that
/// cannot be read are left out.
fn read_progress(rows: &[Row]) -> Vec<ReplayProgress> {
    let (mut read, mut before): (Vec<ReplayProgress>, Option<&Row>) = (Vec::new(), None);
    for row in rows {
        let sk = |row: &Row| row.get("sk").and_then(|sk| sk.as_s().ok()).cloned().unwrap_or_default();
        if sk(row).ends_with(COUNTS) {
            before = Some(row);
            continue;
        }
        let counted =
            before.take().filter(|counts| sk(counts).strip_suffix(COUNTS) == Some(sk(row).as_str()));
        let counted = counted.and_then(|row| readable(TABLE, row, read_counts(row)));
        read.extend(readable(TABLE, row, progress(row, counted)));
    }
    read
}

/// A replay with its counts, and when an item was last counted, where that is known.
fn progress(row: &Row, counted: Option<(Counts, Timestamp)>) -> Result<ReplayProgress, AdapterError> {
    let RunningReplay { replay, counts: taken, .. } = read_running(row, "")?;
    let reader = Reader { table: TABLE, row };
    let taken_at = row.contains_key("taken_at").then(|| reader.milliseconds("taken_at")).transpose()?;
    let (counts, counted_at) = match counted {
        Some((ended, at)) => (Counts { found: taken.found, taken: taken.taken, ..ended }, Some(at)),
        None => (taken, None),
    };
    Ok(ReplayProgress { replay, counts, taken_at, counted_at })
}

fn read_counts(row: &Row) -> Result<(Counts, Timestamp), AdapterError> {
    let row = Reader { table: TABLE, row };
    let counts = Counts {
        delivered: row.number("delivered")?,
        dead: row.number("dead")?,
        dropped: row.number("dropped")?,
        ..Counts::default()
    };
    Ok((counts, row.milliseconds("counted_at")?))
}
