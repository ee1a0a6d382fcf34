//! Streaks and blocks. The rule, the protocol and the argument for it are in [`carteiro_core::streak`]; this makes its
//! reads and writes.
//!
//! A row's `pk` is the webhook, its `sk` is `<revision>#<type>`. The table also has a row for each account with slow
//! attempts (`tables::slow`).
//!
//! A write that counts is made at most once: the client's own retries are off for it. A refusal that certainly changed
//! nothing (a throttle) is repeated while time is left; an answer that was lost counts as made.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::config::Config;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    Delete, KeysAndAttributes, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use carteiro_core::id::{AccountId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::notice;
use carteiro_core::slow;
use carteiro_core::streak::{self, ATTRIBUTES, Answer, DUE_AT, Recorded, Recording, Step};
use carteiro_core::tally::{self, Deaths};
use carteiro_core::transition::{Change, Effect, Row as CoreRow, Value, Write};
use futures_util::future::try_join_all;
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::runtime::clock::InvocationClock;
use crate::tables::expression::{Expressions, core_row};
use crate::tables::row::{Reader, Row, milliseconds, text};
use crate::tables::rows::{Rows, table};
use crate::tables::slow as slow_row;
use crate::tables::unhealthy::{self, Place, UNHEALTHY, shard_name};
use crate::tables::unreadable::readable;

const TABLE: &str = "streaks";

/// The most keys that one call reads.
const MAX_KEYS_READ: usize = 100;

/// The number of partitions of the index of pending notices.
pub const DUE_SHARDS: u8 = 16;

/// The first pause after a throttle; it doubles.
const PAUSE: Duration = Duration::from_millis(50);

/// The longest pause after a throttle.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Retries of a count of deaths while others count on the same tally.
const TALLY_TRIES: usize = 10;

/// Time reserved for settling. No record is begun or repeated with less time left.
const RESERVE: Duration = Duration::from_secs(4);

table! {
    /// Streaks and blocks.
    pub struct StreakTable;
}

/// How results were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HowRecorded {
    /// The result.
    pub recorded: Recorded,
    /// Whether a pending notice was left.
    pub has_notices: bool,
    /// Whether there was no row of the streak, and none was written.
    pub found_nothing: bool,
}

impl HowRecorded {
    /// Nothing was to be recorded, or no row was found so far.
    pub const NOTHING_FOUND: Self = Self { recorded: Recorded::Yes, has_notices: false, found_nothing: true };
}

/// Which row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreakKey {
    /// The webhook's account. It is no part of the row's key.
    pub account: AccountId,
    /// The webhook.
    pub webhook: WebhookId,
    /// Its revision.
    pub revision: u64,
    /// The item type.
    pub item_type: ItemType,
}

impl StreakKey {
    /// The row of the tally of a webhook and type: how many items ended undelivered ([`carteiro_core::tally`]).
    #[must_use]
    pub fn tally(account: AccountId, webhook: WebhookId, item_type: ItemType) -> Self {
        Self { account, webhook, revision: tally::REVISION, item_type }
    }

    fn sk(&self) -> String {
        format!("{:010}#{}", self.revision, self.item_type)
    }

    fn row(&self) -> Row {
        Row::from([("pk".to_owned(), text(self.webhook.as_str())), ("sk".to_owned(), text(self.sk()))])
    }
}

/// How one try of a write ended.
enum Tried {
    /// It is decided, or will never be known.
    Answered(Answer),
    /// It certainly changed nothing, and may be repeated.
    Throttled(AdapterError),
}

impl StreakTable {
    /// The table's name, and the keys of these rows, to be read together with others in one call.
    #[must_use]
    pub fn keys(
        &self,
        wanted: &[StreakKey],
    ) -> (String, Vec<HashMap<String, aws_sdk_dynamodb::types::AttributeValue>>) {
        (self.name.clone(), wanted.iter().map(StreakKey::row).collect())
    }

    /// Finds, among rows of this table, the one of a key.
    #[must_use]
    pub fn pick(rows: &[Row], key: &StreakKey) -> Option<CoreRow> {
        let wanted = key.row();
        let found =
            rows.iter().find(|row| row.get("pk") == wanted.get("pk") && row.get("sk") == wanted.get("sk"));
        found.map(|row| core_row(row, &ATTRIBUTES))
    }

    /// Reads rows consistently, in one call. At most 100.
    ///
    /// # Errors
    /// Where the table cannot be read, or only in part.
    pub async fn read_all(&self, wanted: &[StreakKey]) -> Result<HashMap<StreakKey, CoreRow>, AdapterError> {
        self.read_together(wanted, true).await
    }

    /// Reads rows for a list that people look at: as many as there are, in calls of 100, and as they were a moment ago,
    /// which costs half.
    ///
    /// # Errors
    /// Where the table cannot be read, or only in part.
    pub async fn read_listed(
        &self,
        wanted: &[StreakKey],
    ) -> Result<HashMap<StreakKey, CoreRow>, AdapterError> {
        let calls = wanted.chunks(MAX_KEYS_READ).map(|part| self.read_together(part, false));
        Ok(try_join_all(calls).await?.into_iter().flatten().collect())
    }

    async fn read_together(
        &self,
        wanted: &[StreakKey],
        consistent: bool,
    ) -> Result<HashMap<StreakKey, CoreRow>, AdapterError> {
        const OPERATION: &str = "reading streaks";
        let (name, keys) = self.keys(wanted);
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(consistent).build();
        let keys = keys.map_err(AdapterError::not_built(OPERATION))?;
        let mut left = HashMap::from([(name, keys)]);
        let mut rows: Vec<Row> = Vec::new();
        for _ in 0..5 {
            let answer = self.client.batch_get_item().set_request_items(Some(left)).send().await;
            let answer = answer.map_err(AdapterError::in_call(OPERATION))?;
            rows.extend(answer.responses.into_iter().flatten().flat_map(|(_, rows)| rows));
            left = answer.unprocessed_keys.unwrap_or_default();
            if left.is_empty() {
                let picked = wanted.iter().filter_map(|key| Some((key.clone(), Self::pick(&rows, key)?)));
                return Ok(picked.collect());
            }
        }
        Err(AdapterError::Incomplete { operation: OPERATION })
    }

    /// The streaks in a shard of the index with notices due by then, and when they are due.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub async fn due(
        &self,
        shard: u8,
        until: Timestamp,
        limit: u16,
    ) -> Result<Vec<(StreakKey, Timestamp)>, AdapterError> {
        let call = self
            .query_rows()
            .index_name("due")
            .key_condition_expression("due_shard = :shard AND due_at <= :until")
            .expression_attribute_values(":shard", text(format!("due#{:x}", shard % DUE_SHARDS)))
            .expression_attribute_values(":until", milliseconds(until))
            .limit(i32::from(limit));
        let answer = call.send().await.map_err(AdapterError::in_call("finding what is to be told"))?;
        let due = |row: &Row| Ok((key_of(row)?, Reader { table: TABLE, row }.milliseconds("due_at")?));
        // One that cannot be read does not delay the others' notices.
        let rows = answer.items.unwrap_or_default();
        Ok(rows.iter().filter_map(|row| readable(TABLE, row, due(row))).collect())
    }

    /// A page of the rows in a part of the index of what is unhealthy, by their webhooks, and the place of the last one
    /// where there are more. The index is a hint: a block may be over, a revision replaced.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub async fn unhealthy(
        &self,
        part: u8,
        limit: u16,
        after: Option<&Place>,
    ) -> Result<(Vec<StreakKey>, Option<Place>), AdapterError> {
        let (rows, last) = unhealthy::page(&self.client, &self.name, part, limit, after).await?;
        let key = |row: &Row| key_of(row);
        Ok((rows.iter().filter_map(|row| readable(TABLE, row, key(row))).collect(), last))
    }

    /// Reads a row consistently.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn read(&self, key: &StreakKey) -> Result<Option<CoreRow>, AdapterError> {
        let call = self.get_item(key.row()).consistent_read(true);
        let answer = call.send().await.map_err(AdapterError::in_call("reading a streak"))?;
        Ok(answer.item.map(|row| core_row(&row, &ATTRIBUTES)))
    }

    /// Counts deaths on their tally, and answers whether a notice of them is due now.
    ///
    /// # Errors
    /// Where the table could not be read or written in the time that is left. Then they are not counted.
    pub async fn count_deaths(
        &self,
        key: &StreakKey,
        deaths: &Deaths,
        clock: InvocationClock,
    ) -> Result<bool, AdapterError> {
        let mut row = self.read(key).await?;
        for _ in 0..TALLY_TRIES {
            let now = clock.now();
            let write = tally::count_deaths(row.as_ref(), deaths, now);
            match self.write(key, &write, clock).await? {
                Answer::Refused(newer) => row = newer,
                Answer::Made | Answer::Lost | Answer::Row(_) => {
                    return Ok(notice::is_left_by_now(&write, now));
                }
            }
        }
        Err(AdapterError::Contended { operation: "counting deaths" })
    }

    /// Makes the reads and writes of a recording to its end.
    ///
    /// # Errors
    /// Where the table could not be read or written in the time that is left. Results that were not recorded then are
    /// not part of the history.
    pub async fn record(
        &self,
        key: &StreakKey,
        mut recording: Recording,
        mut step: Step,
        clock: InvocationClock,
    ) -> Result<HowRecorded, AdapterError> {
        let mut how = HowRecorded::NOTHING_FOUND;
        loop {
            let answer = match &step {
                Step::Done(recorded) => return Ok(HowRecorded { recorded: *recorded, ..how }),
                Step::Read => {
                    let row = self.read(key).await?;
                    how.found_nothing &= row.is_none();
                    Answer::Row(row)
                }
                Step::Write(write) => {
                    let answer = self.write(key, write, clock).await?;
                    how.found_nothing = false;
                    how.has_notices |= !matches!(answer, Answer::Refused(_)) && notice::is_left_by(write);
                    answer
                }
            };
            step = recording.next(&answer, clock.now());
        }
    }

    /// Changes the row of an account's slow attempts. A repeated write changes little, and decides nothing alone.
    ///
    /// # Errors
    /// Where the table cannot be written.
    pub async fn note_slow(&self, account: &AccountId, changes: &[slow::Change]) -> Result<(), AdapterError> {
        slow_row::write(&self.client, &self.name, account, changes).await
    }

    /// Makes a write, once, but for refusals that certainly changed nothing.
    ///
    /// # Errors
    /// Where it was throttled as long as time was left, or refused for another reason than its condition.
    pub async fn write(
        &self,
        key: &StreakKey,
        write: &Write,
        clock: InvocationClock,
    ) -> Result<Answer, AdapterError> {
        let mut pause = PAUSE;
        loop {
            match self.try_write(key, write).await? {
                Tried::Answered(answer) => return Ok(answer),
                Tried::Throttled(error) if clock.left() < RESERVE + pause => return Err(error),
                Tried::Throttled(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// A write as a part of a transaction.
    ///
    /// # Errors
    /// Where it cannot be built.
    pub(crate) fn in_transaction(
        &self,
        key: &StreakKey,
        write: &Write,
    ) -> Result<TransactWriteItem, AdapterError> {
        let mut expressions = Expressions::default();
        let condition = Some(expressions.condition(&write.condition)).filter(|text| !text.is_empty());
        let item = TransactWriteItem::builder();
        let item = match &write.effect {
            Effect::Update(changes) => {
                let update = Update::builder()
                    .table_name(&self.name)
                    .set_key(Some(key.row()))
                    .set_condition_expression(condition)
                    .update_expression(expressions.update(&indexed(key, changes), &[]))
                    .set_expression_attribute_names(Some(expressions.names()))
                    .set_expression_attribute_values(expressions.values());
                item.update(update.build().map_err(AdapterError::not_built(write.name))?)
            }
            Effect::Delete => {
                let delete = Delete::builder()
                    .table_name(&self.name)
                    .set_key(Some(key.row()))
                    .set_expression_attribute_names(condition.as_ref().map(|_| expressions.names()))
                    .set_condition_expression(condition)
                    .set_expression_attribute_values(expressions.values());
                item.delete(delete.build().map_err(AdapterError::not_built(write.name))?)
            }
        };
        Ok(item.build())
    }

    async fn try_write(&self, key: &StreakKey, write: &Write) -> Result<Tried, AdapterError> {
        let mut expressions = Expressions::default();
        // A write that always fits has no condition, and can show no row that refused it.
        let condition = Some(expressions.condition(&write.condition)).filter(|text| !text.is_empty());
        let old = condition.as_ref().map(|_| ReturnValuesOnConditionCheckFailure::AllOld);
        let once = Config::builder().retry_config(RetryConfig::disabled());
        match &write.effect {
            Effect::Delete => {
                let call = self
                    .delete_item(key.row())
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(Some(expressions.names()))
                    .set_expression_attribute_values(expressions.values())
                    .set_return_values_on_condition_check_failure(old);
                tried(call.customize().config_override(once).send().await.map(|_| ()), write.name, |error| {
                    match error {
                    aws_sdk_dynamodb::operation::delete_item::DeleteItemError::ConditionalCheckFailedException(
                        refused,
                    ) => Some(refused.item().cloned()),
                    _ => None,
                }
                })
            }
            Effect::Update(changes) => {
                let update = expressions.update(&indexed(key, changes), &[]);
                let call = self
                    .update_item(key.row())
                    .set_condition_expression(condition)
                    .update_expression(update)
                    .set_expression_attribute_names(Some(expressions.names()))
                    .set_expression_attribute_values(expressions.values())
                    .set_return_values_on_condition_check_failure(old);
                tried(call.customize().config_override(once).send().await.map(|_| ()), write.name, |error| {
                    match error {
                    aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(
                        refused,
                    ) => Some(refused.item().cloned()),
                    _ => None,
                }
                })
            }
        }
    }
}

/// These changes, with those of the attributes of the indexes: a row that becomes due, or that is listed as unhealthy,
/// is found through its webhook's part of an index.
fn indexed(key: &StreakKey, changes: &[Change]) -> Vec<Change> {
    let due = changes.iter().any(|change| matches!(change, Change::Set(DUE_AT, _)));
    let listing = streak::listing(changes);
    let last = key.webhook.as_str().chars().last().unwrap_or('0');
    let set = |name, value: String| Change::Set(name, Value::Text(value));
    let mut changes = changes.to_vec();
    if due {
        changes.push(set("due_shard", format!("due#{last}")));
    }
    if due || listing == Some(true) {
        changes.push(set("account", key.account.to_string()));
    }
    match listing {
        Some(true) => changes.push(set(UNHEALTHY, shard_name(last))),
        Some(false) => changes.push(Change::Remove(UNHEALTHY)),
        None => {}
    }
    changes
}

/// The key of a row, as an index with its account has it.
fn key_of(row: &Row) -> Result<StreakKey, AdapterError> {
    let row = Reader { table: TABLE, row };
    let (revision, item_type) = row.text("sk")?.split_once('#').unwrap_or_default();
    let malformed = || AdapterError::Malformed { table: TABLE, attribute: "sk" };
    Ok(StreakKey {
        account: row.parsed("account")?,
        webhook: row.parsed("pk")?,
        revision: revision.parse().map_err(|_| malformed())?,
        item_type: item_type.parse().map_err(|_| malformed())?,
    })
}

/// Sorts a call's outcome: made, refused by its condition, certainly not made, or unknown.
fn tried<E>(
    sent: Result<(), SdkError<E, aws_sdk_dynamodb::config::http::HttpResponse>>,
    operation: &'static str,
    refused: impl FnOnce(&E) -> Option<Option<Row>>,
) -> Result<Tried, AdapterError>
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let Err(error) = sent else { return Ok(Tried::Answered(Answer::Made)) };
    if let SdkError::ServiceError(service) = &error {
        if let Some(row) = refused(service.err()) {
            // The row that refused, or none: then nothing is there.
            let row = row.filter(|row| !row.is_empty()).map(|row| core_row(&row, &ATTRIBUTES));
            return Ok(Tried::Answered(Answer::Refused(row)));
        }
        let status = service.raw().status().as_u16();
        let error = AdapterError::of_call(operation, error);
        return match error {
            AdapterError::Refused { .. } => Err(error),
            // A throttle is answered with 400, before the write; a 5xx says nothing about the write.
            _ if status < 500 => Ok(Tried::Throttled(error)),
            _ => {
                tracing::warn!(operation, error = error.chain(), "streak.answer_lost");
                Ok(Tried::Answered(Answer::Lost))
            }
        };
    }
    if matches!(error, SdkError::ConstructionFailure(_)) {
        return Err(AdapterError::of_call(operation, error));
    }
    let error = AdapterError::of_call(operation, error);
    tracing::warn!(operation, error = error.chain(), "streak.answer_lost");
    Ok(Tried::Answered(Answer::Lost))
}
