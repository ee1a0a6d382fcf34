//! The attempt log: one row for each batch of a webhook of which something is logged.
//!
//! A row's `pk` is `<webhook>#<shard>`, so that one webhook's rows are spread over several partitions and no key is
//! shared by all webhooks; its `sk` is when it was written and some random digits. A row holds the entries as JSON. The
//! log is listed by when the attempts ended, the newest first ([`carteiro_core::attempt_order`]).
//!
//! Beside them, a dropped item has a row for each webhook that it was dropped for: `pk` is the item, `sk` the webhook.
//! It is written as the log is, at best, and for whoever asks where the item is.
//!
//! Guaranteed: a request reads a bounded number of rows, and beside them those again that were written while a batch
//! ran of which not all is listed. Not guaranteed: that an attempt is there.

use std::collections::VecDeque;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use carteiro_core::activity::Glimpse;
use carteiro_core::attempt_log::{Entry, Filter, MAX_ENTRIES};
use carteiro_core::attempt_order::{NewestFirst, Resume, RowKey};
use carteiro_core::delivery::Delivery;
use carteiro_core::id::{AccountId, ItemId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::item_state::DropCause;
use carteiro_core::webhook::MAX_WEBHOOKS_PER_ACCOUNT;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};

use crate::error::AdapterError;
use crate::runtime::random;
use crate::tables::config::ListPage;
use crate::tables::row::{Reader, Row, milliseconds, seconds, sorted_digits, text};
use crate::tables::rows::{Rows, table};
use crate::tables::unreadable::readable;
use crate::tables::waiting::reads::drop_part;

const TABLE: &str = "attempt";

/// Over how many partitions a webhook's rows are spread.
pub const SHARDS: u8 = 4;

/// The most rows that are read for a page, besides those that each shard reads ahead.
const MAX_ROWS: usize = 400;

/// How many rows of a shard are read at once.
const ROWS_AT_ONCE: i32 = 50;

/// How long after its first attempt has ended a row is written at most: as long as a batch takes.
const WRITTEN_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// How many rows of dropped items are written at once.
const CONCURRENT_DROPS: usize = 10;

/// The most rows of a shard that a look for an item passes from either end of the log; a read ends at 1 MB anyway.
const LOOKED_AT: i32 = 1000;

table! {
    /// The attempt logs of webhooks.
    pub struct AttemptTable;
}

/// A part of a webhook's log.
#[derive(Clone, Copy, Debug)]
pub struct LogSpan<'a> {
    /// The webhook.
    pub webhook: &'a WebhookId,
    /// Which entries.
    pub filter: &'a Filter,
    /// Those after this place, which [`is_place`] must know.
    pub after: Option<&'a str>,
    /// How many at most; at least 1.
    pub most: u16,
}

/// An item that was dropped for a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedItem {
    /// The account.
    pub account: AccountId,
    /// The webhook.
    pub webhook: WebhookId,
    /// The item.
    pub item: ItemId,
    /// Its type.
    pub item_type: ItemType,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Why it was dropped.
    pub cause: DropCause,
    /// When.
    pub at: Timestamp,
}

impl DroppedItem {
    /// A delivery that is dropped at `at`.
    #[must_use]
    pub fn of(delivery: &Delivery, cause: DropCause, at: Timestamp) -> Self {
        Self {
            account: delivery.account.clone(),
            webhook: delivery.webhook.clone(),
            item: delivery.item.clone(),
            item_type: delivery.item_type.clone(),
            accepted_at: delivery.accepted_at,
            cause,
            at,
        }
    }
}

/// The attempts of one item that were found in a webhook's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAttempts {
    /// The last of them.
    pub last: Option<Entry>,
    /// Whether all rows since the item's acceptance were looked at.
    pub is_whole: bool,
}

/// What was read of a log since a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGlimpse {
    /// The attempts, in no order.
    pub attempts: Vec<Glimpse>,
    /// From when on they are all of the log; the time that was asked for, where there was room for all.
    pub whole_since: Timestamp,
}

/// Whether a text is a place in a log, where a page goes on.
#[must_use]
pub fn is_place(text: &str) -> bool {
    text.parse::<Resume>().is_ok()
}

impl AttemptTable {
    /// Logs attempts of one webhook: a row, or several where they are more than a row has. The table forgets them after
    /// `expires_at`.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub async fn log(
        &self,
        webhook: &WebhookId,
        mut entries: Vec<Entry>,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), AdapterError> {
        const OPERATION: &str = "logging attempts";
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
        for of_row in entries.chunks(MAX_ENTRIES) {
            let entries = serde_json::to_string(of_row);
            let entries = entries.map_err(|error| AdapterError::unavailable(OPERATION, error))?;
            let random = random::bits64()?;
            let shard = u8::try_from(random % u64::from(SHARDS)).unwrap_or_default();
            let row = Row::from([
                ("pk".to_owned(), text(pk(webhook, shard))),
                ("sk".to_owned(), text(format!("{}#{random:016x}", sorted_digits(now)))),
                ("entries".to_owned(), text(entries)),
                ("expires_at".to_owned(), seconds(expires_at)),
            ]);
            self.put_item(row).send().await.map_err(AdapterError::in_call(OPERATION))?;
        }
        Ok(())
    }

    /// Notes that items were dropped, until `expires_at`, at best: what cannot be written within the time is logged.
    /// Noting one again replaces its row.
    pub async fn note_dropped(&self, dropped: &[DroppedItem], expires_at: Timestamp, within: Duration) {
        if dropped.is_empty() {
            return;
        }
        let failed = match tokio::time::timeout(within, self.write_dropped(dropped, expires_at)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.chain(),
            Err(_) => "out of time".to_owned(),
        };
        tracing::warn!(items = dropped.len(), error = failed, "delivery.drop_not_noted");
    }

    async fn write_dropped(
        &self,
        dropped: &[DroppedItem],
        expires_at: Timestamp,
    ) -> Result<(), AdapterError> {
        let writes = stream::iter(dropped).map(|one| async move {
            let row = Row::from([
                ("pk".to_owned(), text(one.item.as_str())),
                ("sk".to_owned(), text(one.webhook.as_str())),
                ("account".to_owned(), text(one.account.as_str())),
                ("type".to_owned(), text(one.item_type.as_str())),
                ("accepted_at".to_owned(), milliseconds(one.accepted_at)),
                ("cause".to_owned(), text(one.cause.as_str())),
                ("dropped_at".to_owned(), milliseconds(one.at)),
                ("expires_at".to_owned(), seconds(expires_at)),
            ]);
            let sent = self.put_item(row).send().await;
            sent.map(|_| ()).map_err(AdapterError::in_call("noting a dropped item"))
        });
        writes.buffer_unordered(CONCURRENT_DROPS).try_collect().await
    }

    /// The webhooks that an item was dropped for, up to as many as an account may have.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn dropped(&self, item: &ItemId, now: Timestamp) -> Result<Vec<DroppedItem>, AdapterError> {
        let call = self
            .query_rows()
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(item.as_str()))
            .limit(i32::try_from(MAX_WEBHOOKS_PER_ACCOUNT).unwrap_or(i32::MAX));
        let answer = call.send().await.map_err(AdapterError::in_call("finding a dropped item"))?;
        let rows = answer.items.unwrap_or_default();
        // The table deletes late.
        let is_kept =
            |row: &&Row| Reader { table: TABLE, row }.seconds("expires_at").is_ok_and(|end| now < end);
        let read = |row: &Row| readable(TABLE, row, dropped_item(row));
        Ok(rows.iter().filter(is_kept).filter_map(read).collect())
    }

    /// Looks for the attempts of an item in a webhook's log: from its newest row back, and, where that did not reach
    /// the item's acceptance, from there on. A read of each shard from either end is all: eight queries of up to 128
    /// reading units each.
    ///
    /// # Errors
    /// Where the table or a row cannot be read.
    pub async fn of_item(
        &self,
        webhook: &WebhookId,
        item: &ItemId,
        accepted_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<FoundAttempts, AdapterError> {
        let from = sorted_digits(accepted_at.unwrap_or(Timestamp::UNIX_EPOCH));
        let looks = (0..SHARDS).map(|shard| self.look_into(pk(webhook, shard), item, &from, accepted_at));
        let looks = try_join_all(looks).await?;
        let is_whole = looks.iter().all(|(_, is_whole)| *is_whole);
        let rows = looks.into_iter().flat_map(|(rows, _)| rows);
        let mut last: Option<Entry> = None;
        for row in rows {
            for entry in entries_of(&row, now).into_iter().filter(|entry| entry.item == *item) {
                if last.as_ref().is_none_or(|last| last.at <= entry.at) {
                    last = Some(entry);
                }
            }
        }
        Ok(FoundAttempts { last, is_whole })
    }

    /// What a webhook's log says of its attempts since a time, as far back as one read of each shard reaches: four
    /// queries of up to 1 MB, which are 128 reading units each, and half a unit each of a webhook that logs little.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn glimpse(
        &self,
        webhook: &WebhookId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<LogGlimpse, AdapterError> {
        let reads = (0..SHARDS).map(|shard| {
            self.query_rows()
                .key_condition_expression("pk = :pk AND sk >= :from")
                .expression_attribute_values(":pk", text(pk(webhook, shard)))
                .expression_attribute_values(":from", text(sorted_digits(since)))
                .scan_index_forward(false)
                .send()
        });
        let failed = |error| AdapterError::of_call("looking at a webhook's attempts", error);
        let (mut attempts, mut whole_since) = (Vec::new(), since);
        for read in try_join_all(reads).await.map_err(failed)? {
            if let Some(reached) = read.last_evaluated_key {
                // All that is not read was written no later than that row, and had ended before it was written.
                let written = Reader { table: TABLE, row: &reached }.text("sk").ok().and_then(written_at);
                let after = written.and_then(|at| at.checked_add(SignedDuration::from_millis(1)).ok());
                whole_since = whole_since.max(after.unwrap_or(now));
            }
            for row in read.items.unwrap_or_default() {
                let reader = Reader { table: TABLE, row: &row };
                let kept = reader.seconds("expires_at").is_ok_and(|end| now < end);
                let entries = if kept { reader.json::<Vec<Glimpse>>("entries") } else { Ok(Vec::new()) };
                attempts.extend(readable(TABLE, &row, entries).unwrap_or_default());
            }
        }
        Ok(LogGlimpse { attempts, whole_since })
    }

    /// The rows of a shard that name an item, and whether the rows that were looked at are all since `from`.
    async fn look_into(
        &self,
        pk: String,
        item: &ItemId,
        from: &str,
        accepted_at: Option<Timestamp>,
    ) -> Result<(Vec<Row>, bool), AdapterError> {
        let look = |newest_first: bool| {
            self.query_rows()
                .key_condition_expression("pk = :pk AND sk >= :from")
                .filter_expression("contains(entries, :item)")
                .expression_attribute_values(":pk", text(pk.as_str()))
                .expression_attribute_values(":from", text(from))
                .expression_attribute_values(":item", text(item.as_str()))
                .scan_index_forward(!newest_first)
                .limit(LOOKED_AT)
                .send()
        };
        let failed = |error| AdapterError::of_call("looking for an item's attempts", error);
        let newest = look(true).await.map_err(failed)?;
        let mut rows = newest.items.unwrap_or_default();
        let Some(reached) = newest.last_evaluated_key else { return Ok((rows, true)) };
        if accepted_at.is_none() {
            return Ok((rows, false));
        }
        let oldest = look(false).await.map_err(failed)?;
        rows.extend(oldest.items.unwrap_or_default());
        Ok((rows, meets(oldest.last_evaluated_key.as_ref(), &reached)))
    }

    /// Drops up to `most` rows of a shard of a deleted webhook's log, and answers how many; there are
    /// [`SHARDS`].
    ///
    /// # Errors
    /// Where the table cannot be read or written.
    pub async fn drop_rows(&self, webhook: &WebhookId, shard: u8, most: u16) -> Result<usize, AdapterError> {
        drop_part(&self.client, &self.name, pk(webhook, shard), most).await
    }

    /// A page of a webhook's log, the newest first. It may be shorter than requested, and go on, where few of the rows
    /// that were read match.
    ///
    /// # Errors
    /// Where the table or a row cannot be read.
    pub async fn list(&self, span: LogSpan<'_>, now: Timestamp) -> Result<ListPage<Entry>, AdapterError> {
        let resume = span.after.and_then(|after| after.parse::<Resume>().ok());
        let mut order = NewestFirst::new(resume.as_ref());
        let mut rows = NewestRows::new(span, resume.as_ref().map(Resume::from));
        let (mut data, mut read) = (Vec::new(), 0);
        loop {
            let next = rows.peek(&self.client, &self.name).await?;
            while order.is_ready(next.as_ref()) {
                if data.len() >= usize::from(span.most) {
                    return Ok(ListPage { data, last: order.resume().map(|resume| resume.to_string()) });
                }
                data.extend(order.take());
            }
            let Some((key, row)) = next.zip(rows.take()) else { return Ok(ListPage { data, last: None }) };
            if read >= MAX_ROWS {
                return Ok(ListPage { data, last: order.resume().map(|resume| resume.to_string()) });
            }
            let asked =
                entries_of(&row, now).into_iter().enumerate().filter(|(_, entry)| span.filter.takes(entry));
            let is_new =
                order.add(&key, asked.map(|(index, entry)| (index, entry.at.as_millisecond(), entry)));
            read += usize::from(is_new);
        }
    }
}

/// Whether reads from both ends of a shard met: `up` is the last row that the one from the oldest on looked at, none
/// where it looked at all, and `down` that of the other.
fn meets(up: Option<&Row>, down: &Row) -> bool {
    let place = |key: &Row| key.get("sk").and_then(|sk| sk.as_s().ok()).cloned();
    up.is_none_or(|up| place(up) >= place(down))
}

/// When the row with this sort key was written.
fn written_at(sk: &str) -> Option<Timestamp> {
    let (digits, _) = sk.split_once('#')?;
    Timestamp::from_millisecond(digits.parse().ok()?).ok()
}

/// The entries of a row; none of one that cannot be read, or that the table has yet to delete.
fn entries_of(row: &Row, now: Timestamp) -> Vec<Entry> {
    let reader = Reader { table: TABLE, row };
    let entries = match reader.seconds("expires_at") {
        Ok(end) if end <= now => Ok(Vec::new()),
        Ok(_) => reader.json("entries"),
        Err(error) => Err(error),
    };
    readable(TABLE, row, entries).unwrap_or_default()
}

fn dropped_item(row: &Row) -> Result<DroppedItem, AdapterError> {
    let reader = Reader { table: TABLE, row };
    let name = reader.text("cause")?;
    let cause = DropCause::ALL.into_iter().find(|cause| cause.as_str() == name);
    Ok(DroppedItem {
        account: reader.parsed("account")?,
        webhook: reader.parsed("sk")?,
        item: reader.parsed("pk")?,
        item_type: reader.parsed("type")?,
        accepted_at: reader.milliseconds("accepted_at")?,
        cause: cause.ok_or(AdapterError::Malformed { table: TABLE, attribute: "cause" })?,
        at: reader.milliseconds("dropped_at")?,
    })
}

fn pk(webhook: &WebhookId, shard: u8) -> String {
    format!("{webhook}#{shard:02}")
}

/// Rows of a log, the newest first, merged as they are read.
struct NewestRows {
    first: String,
    last: String,
    shards: Vec<Shard>,
}

struct Shard {
    pk: String,
    read: VecDeque<Row>,
    /// Where the next read begins; None at the end.
    next: Option<Option<Row>>,
}

impl NewestRows {
    fn new(span: LogSpan<'_>, from: Option<&RowKey>) -> Self {
        let to = span.filter.to.map(|to| to.checked_add(WRITTEN_WITHIN).unwrap_or(Timestamp::MAX));
        // No row stands at a time alone; a digit sorts before a colon.
        let latest = to.map_or_else(|| ":".to_owned(), |to| format!("{}:", sorted_digits(to)));
        let last = from.map_or(latest.clone(), |from| from.as_str().to_owned().min(latest));
        let first = span.filter.from.map_or_else(|| "0".to_owned(), sorted_digits);
        let shard = |shard| Shard { pk: pk(span.webhook, shard), read: VecDeque::new(), next: Some(None) };
        Self { first, last, shards: (0..SHARDS).map(shard).collect() }
    }

    /// The key of the next row, if there is one; it stays the next one until it is taken.
    async fn peek(&mut self, client: &Client, table: &str) -> Result<Option<RowKey>, AdapterError> {
        if self.first > self.last {
            return Ok(None);
        }
        let (first, last) = (self.first.as_str(), self.last.as_str());
        try_join_all(self.shards.iter_mut().map(|shard| shard.fill(client, table, first, last))).await?;
        let Some(place) = self.newest().and_then(|shard| shard.place()) else { return Ok(None) };
        place.parse().map(Some).map_err(|_| AdapterError::Malformed { table: TABLE, attribute: "sk" })
    }

    /// Takes the row that was the next one.
    fn take(&mut self) -> Option<Row> {
        self.newest().and_then(|shard| shard.read.pop_front())
    }

    fn newest(&mut self) -> Option<&mut Shard> {
        let begun = self.shards.iter_mut().filter(|shard| shard.place().is_some());
        begun.max_by(|a, b| a.place().cmp(&b.place()))
    }
}

impl Shard {
    async fn fill(
        &mut self,
        client: &Client,
        table: &str,
        first: &str,
        last: &str,
    ) -> Result<(), AdapterError> {
        while self.read.is_empty()
            && let Some(start) = self.next.take()
        {
            let call = client
                .query()
                .table_name(table)
                .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
                .expression_attribute_values(":pk", text(self.pk.as_str()))
                .expression_attribute_values(":first", text(first))
                .expression_attribute_values(":last", text(last))
                .scan_index_forward(false)
                .limit(ROWS_AT_ONCE)
                .set_exclusive_start_key(start);
            let answer = call.send().await.map_err(AdapterError::in_call("reading an attempt log"))?;
            self.read.extend(answer.items.unwrap_or_default());
            self.next = answer.last_evaluated_key.map(Some);
        }
        Ok(())
    }

    /// The place of the next row.
    fn place(&self) -> Option<&str> {
        self.read.front().and_then(|row| row.get("sk")?.as_s().ok()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_from_both_ends_meet_where_none_is_left_between() {
        let key = |sk: &str| Row::from([("sk".to_owned(), text(sk))]);
        assert!(meets(None, &key("5")));
        assert!(meets(Some(&key("5")), &key("5")) && meets(Some(&key("6")), &key("5")));
        assert!(!meets(Some(&key("4")), &key("5")), "rows between were not looked at");
    }
}
