//! The attempt log: one row for each batch of a webhook of which something is logged.
//!
//! A row's `pk` is `<webhook>#<shard>`, so that one webhook's rows are spread over several partitions and no key is
//! shared by all webhooks; its `sk` is when it was written and some random digits. A row holds the entries as JSON. The
//! log is listed by when the attempts ended, the newest first ([`carteiro_core::attempt_order`]).
//!
//! Guaranteed: a request reads a bounded number of rows, and beside them those again that were written while a batch
//! ran of which not all is listed. Not guaranteed: that an attempt is there.

use std::collections::VecDeque;

use aws_sdk_dynamodb::Client;
use carteiro_core::attempt_log::{Entry, Filter, MAX_ENTRIES};
use carteiro_core::attempt_order::{NewestFirst, Resume, RowKey};
use carteiro_core::id::WebhookId;
use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};

use crate::error::AdapterError;
use crate::runtime::random;
use crate::tables::config::ListPage;
use crate::tables::row::{Reader, Row, seconds, sorted_digits, text};
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

/// The attempt logs of webhooks.
#[derive(Clone, Debug)]
pub struct AttemptTable {
    client: Client,
    name: String,
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

/// Whether a text is a place in a log, where a page goes on.
#[must_use]
pub fn is_place(text: &str) -> bool {
    text.parse::<Resume>().is_ok()
}

impl AttemptTable {
    /// The table of this name.
    #[must_use]
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

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
            let sent = self.client.put_item().table_name(&self.name).set_item(Some(row)).send().await;
            sent.map_err(|error| AdapterError::of_call(OPERATION, error))?;
        }
        Ok(())
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
            let reader = Reader { table: TABLE, row: &row };
            // The table deletes late.
            let entries = match reader.seconds("expires_at") {
                Ok(end) if end <= now => Ok(Vec::new()),
                Ok(_) => reader.json::<Vec<Entry>>("entries"),
                Err(error) => Err(error),
            };
            let entries = readable(TABLE, &row, entries).unwrap_or_default();
            let asked = entries.into_iter().enumerate().filter(|(_, entry)| span.filter.takes(entry));
            let is_new =
                order.add(&key, asked.map(|(index, entry)| (index, entry.at.as_millisecond(), entry)));
            read += usize::from(is_new);
        }
    }
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
            let answer =
                call.send().await.map_err(|error| AdapterError::of_call("reading an attempt log", error))?;
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
