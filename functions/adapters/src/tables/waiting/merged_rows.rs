//! A webhook's rows of the held or the dead items in the order of their places: type, acceptance, item.
//!
//! Each shard is in order; the shards are merged as they are read. Guaranteed: each row is answered once, and rows that
//! existed all the time come in order. Rows that are written behind the place that was reached are not found; they need
//! a new read.

use std::collections::VecDeque;

use aws_sdk_dynamodb::Client;
use carteiro_core::id::{ItemId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::transition::Condition;
use futures_util::future::try_join_all;

use crate::error::AdapterError;
use crate::tables::expression::Expressions;
use crate::tables::row::{Row, text};
use crate::tables::waiting::keys::{SHARDS, pk, shard_of_id};

/// A query for a webhook's rows.
#[derive(Clone, Debug)]
pub(crate) struct RowQuery {
    pub(crate) webhook: WebhookId,
    /// Of this type alone, or of all.
    pub(crate) item_type: Option<ItemType>,
    /// Only rows that satisfy this condition.
    pub(crate) only: Option<Condition>,
    /// Only the shard of this item.
    pub(crate) item: Option<ItemId>,
}

/// Rows in order, as they are read.
#[derive(Debug)]
pub(crate) struct MergedRows {
    reading: RowQuery,
    shards: Vec<ShardRows>,
}

/// A shard's rows: those that were read and not yet taken, and where reading continues.
#[derive(Debug)]
struct ShardRows {
    pk: String,
    read: VecDeque<Row>,
    /// Where the next read begins; None at the end. The row at the place itself is not read again.
    next: Option<Option<Row>>,
}

impl MergedRows {
    /// Those after a place, or all.
    pub(crate) fn new(reading: RowQuery, after: Option<&str>) -> Self {
        let shard = |shard| {
            let pk = pk(&reading.webhook, shard);
            let start = after.map(|place| {
                Row::from([("pk".to_owned(), text(pk.as_str())), ("sk".to_owned(), text(place))])
            });
            ShardRows { pk, read: VecDeque::new(), next: Some(start) }
        };
        let shards = match &reading.item {
            Some(item) => vec![shard(shard_of_id(item.as_str(), SHARDS))],
            None => (0..SHARDS).map(shard).collect(),
        };
        Self { reading, shards }
    }

    /// The next row, if there is one; it stays the next one until it is taken. Of a shard of which nothing is left,
    /// `of_shard` rows are read at once, or a page of 1 MB.
    pub(crate) async fn peek(
        &mut self,
        client: &Client,
        table: &str,
        of_shard: i32,
    ) -> Result<Option<&Row>, AdapterError> {
        let reading = &self.reading;
        try_join_all(self.shards.iter_mut().map(|shard| shard.fill(client, table, reading, of_shard)))
            .await?;
        Ok(self.first().and_then(|shard| shard.read.front()))
    }

    /// Takes the row that was the next one.
    pub(crate) fn take(&mut self) -> Option<Row> {
        self.first().and_then(|shard| shard.read.pop_front())
    }

    fn first(&mut self) -> Option<&mut ShardRows> {
        let begun = self.shards.iter_mut().filter(|shard| shard.place().is_some());
        begun.min_by(|a, b| a.place().cmp(&b.place()))
    }
}

impl ShardRows {
    /// Reads on once all rows that were read are taken.
    async fn fill(
        &mut self,
        client: &Client,
        table: &str,
        reading: &RowQuery,
        rows: i32,
    ) -> Result<(), AdapterError> {
        while self.read.is_empty()
            && let Some(start) = self.next.take()
        {
            let prefix = reading.item_type.as_ref().map(|item_type| format!("{item_type}#"));
            let condition = if prefix.is_some() { "pk = :pk AND begins_with(sk, :type)" } else { "pk = :pk" };
            let mut expressions = Expressions::default();
            let filter = reading.only.as_ref().map(|only| expressions.condition(only));
            let names = filter.as_ref().map(|_| expressions.names());
            let call = client
                .query()
                .table_name(table)
                .key_condition_expression(condition)
                .set_filter_expression(filter)
                .set_expression_attribute_names(names)
                .set_expression_attribute_values(expressions.values())
                .expression_attribute_values(":pk", text(self.pk.as_str()))
                .consistent_read(true)
                .limit(rows)
                .set_exclusive_start_key(start.clone());
            let call = match prefix {
                Some(prefix) => call.expression_attribute_values(":type", text(prefix)),
                None => call,
            };
            match call.send().await {
                Ok(answer) => {
                    self.read.extend(answer.items.unwrap_or_default());
                    self.next = answer.last_evaluated_key.map(Some);
                }
                Err(error) => {
                    self.next = Some(start);
                    return Err(AdapterError::of_call("listing waiting items", error));
                }
            }
        }
        Ok(())
    }

    /// The place of the next row.
    fn place(&self) -> Option<&str> {
        self.read.front().and_then(|row| row.get("sk")?.as_s().ok()).map(String::as_str)
    }
}
