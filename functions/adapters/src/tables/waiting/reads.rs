//! Reading and dropping rows of a webhook, whatever their kind.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::types::AttributeValue;
use carteiro_core::id::{AccountId, WebhookId};
use carteiro_core::item::ItemType;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::tables::config::ListPage;
use crate::tables::row::{Reader, Row, text};
use crate::tables::unreadable::readable;
use crate::tables::waiting::keys::{HeldKey, SHARDS, TABLE, pk};
use crate::tables::waiting::merged_rows::{MergedRows, RowQuery};

/// Which rows of a webhook a page shows.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The webhook.
    pub webhook: &'a WebhookId,
    /// Of this type alone, or of all, the types in alphabetical order.
    pub item_type: Option<&'a ItemType>,
    /// The rows after this key, which must be one of this kind of rows.
    pub after: Option<&'a str>,
    /// How many rows at most; at least 1.
    pub most: u16,
    /// How many bytes of items at most. The first row is shown however large its item.
    pub most_bytes: usize,
}

/// Up to `most` keys of a webhook's rows in a shard of the held or the dead items.
pub(crate) async fn keys_of(
    client: &Client,
    table: &str,
    webhook: &WebhookId,
    shard: u8,
    most: u16,
) -> Result<Vec<HeldKey>, AdapterError> {
    let call = client
        .query()
        .table_name(table)
        .key_condition_expression("pk = :pk")
        .expression_attribute_values(":pk", text(pk(webhook, shard)))
        .projection_expression("pk, sk")
        .consistent_read(true)
        .limit(i32::from(most));
    let answer = call.send().await.map_err(AdapterError::in_call("finding waiting items"))?;
    answer.items.unwrap_or_default().iter().map(HeldKey::of_row).collect()
}

/// A page of a webhook's rows in the table of the held or the dead items. Rows carry their items, so each shard's share
/// of the page is read with little more.
///
/// A row that cannot be read is left out. Then a page is shorter than requested although more follow.
pub(crate) async fn page<T>(
    client: &Client,
    (name, table): (&'static str, &str),
    span: Span<'_>,
    read: impl Fn(&Row) -> Result<T, AdapterError>,
) -> Result<ListPage<T>, AdapterError> {
    let reading = RowQuery {
        webhook: span.webhook.clone(),
        item_type: span.item_type.cloned(),
        only: None,
        item: None,
    };
    let mut rows = MergedRows::new(reading, span.after);
    let (mut data, mut bytes, mut last) = (Vec::new(), 0, None);
    while let Some(row) = rows.peek(client, table, part_of_shard(u32::from(span.most))).await? {
        bytes += row.get("body").and_then(|body| body.as_b().ok()).map_or(0, |body| body.as_ref().len());
        if data.len() >= usize::from(span.most) || (!data.is_empty() && bytes > span.most_bytes) {
            return Ok(ListPage { data, last });
        }
        data.extend(readable(name, row, read(row)));
        last = rows.take().and_then(|row| row.get("sk")?.as_s().ok().cloned());
    }
    Ok(ListPage { data, last: None })
}

/// Rows of a webhook and type that were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many there are.
    pub rows: usize,
    /// How many of them have a time of their own at which they come due.
    pub timed: usize,
    /// The first of these times.
    pub first_due: Option<Timestamp>,
}

impl Counted {
    fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            timed: self.timed + other.timed,
            first_due: self.first_due.into_iter().chain(other.first_due).min(),
        }
    }
}

/// How many rows of a webhook and type there are in the table of the held or the dead items. A filter names the rows
/// that count and its `:now`. Counting in a shard ends when `most` are exceeded.
pub(crate) async fn count_rows(
    client: &Client,
    table: &str,
    (webhook, item_type): (&WebhookId, &str),
    most: usize,
    (filter, now): (&str, AttributeValue),
) -> Result<Counted, AdapterError> {
    let shards = (0..SHARDS).map(|shard| {
        let call = client
            .query()
            .table_name(table)
            .key_condition_expression("pk = :pk AND begins_with(sk, :type)")
            .expression_attribute_values(":pk", text(pk(webhook, shard)))
            .expression_attribute_values(":type", text(format!("{item_type}#")))
            .filter_expression(filter)
            .expression_attribute_values(":now", now.clone())
            // What is read is paid for whole, whatever of it is answered.
            .projection_expression("due_at")
            .consistent_read(true);
        async move {
            // A page ends at 1 MB of rows, which are counted with the items that they hold.
            let (mut counted, mut pages) = (Counted::default(), call.into_paginator().send());
            while counted.rows <= most
                && let Some(page) = pages.next().await
            {
                let page = page.map_err(AdapterError::in_call("counting items"))?;
                let due = |row: &Row| Reader { table: TABLE, row }.milliseconds("due_at").ok();
                let due: Vec<Timestamp> = page.items.iter().flatten().filter_map(due).collect();
                counted = counted.and(Counted {
                    rows: usize::try_from(page.count).unwrap_or_default(),
                    timed: due.len(),
                    first_due: due.into_iter().min(),
                });
            }
            Ok::<_, AdapterError>(counted)
        }
    });
    Ok(try_join_all(shards).await?.into_iter().fold(Counted::default(), Counted::and))
}

/// The number of rows to read of each shard for this number of rows in all: ids spread them evenly.
pub(crate) fn part_of_shard(rows: u32) -> i32 {
    i32::try_from(rows.div_ceil(u32::from(SHARDS)) + 2).unwrap_or(i32::MAX)
}

/// Drops a row of the held or the dead items.
pub(crate) async fn drop_row(client: &Client, table: &str, key: &HeldKey) -> Result<(), AdapterError> {
    let call = client.delete_item().table_name(table);
    let sent = call.key("pk", text(key.pk.as_str())).key("sk", text(key.sk.as_str())).send().await;
    sent.map(|_| ()).map_err(AdapterError::in_call("dropping a waiting item"))
}

/// How many rows of a part are dropped at once.
const CONCURRENT_DROPS: usize = 4;

/// Deletes up to `most` rows of a partition of any table whose keys are `pk` and `sk`, and answers how many.
pub(crate) async fn drop_part(
    client: &Client,
    table: &str,
    pk: String,
    most: u16,
) -> Result<usize, AdapterError> {
    const OPERATION: &str = "dropping a deleted webhook's rows";
    let call = client
        .query()
        .table_name(table)
        .key_condition_expression("pk = :pk")
        .expression_attribute_values(":pk", text(pk))
        .projection_expression("pk, sk")
        .limit(i32::from(most));
    let answer = call.send().await.map_err(AdapterError::in_call(OPERATION))?;
    let keys = answer.items.unwrap_or_default();
    let count = keys.len();
    let drops = stream::iter(keys).map(|key| async move {
        let sent = client.delete_item().table_name(table).set_key(Some(key)).send().await;
        sent.map(|_| ()).map_err(AdapterError::in_call(OPERATION))
    });
    drops.buffer_unordered(CONCURRENT_DROPS).try_collect::<()>().await?;
    Ok(count)
}

/// The account of a release or a replay, and the lease of its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountAndLease {
    /// Its account, where that can be read.
    pub account: Option<AccountId>,
    /// The end of the lease, if a worker has one.
    pub lease: Option<Timestamp>,
}

pub(crate) async fn glance(
    (client, table): (&Client, &str),
    key: Row,
) -> Result<Option<AccountAndLease>, AdapterError> {
    let call = client.get_item().table_name(table).set_key(Some(key)).consistent_read(true);
    let answer: GetItemOutput = call
        .projection_expression("account, lease_until")
        .send()
        .await
        .map_err(AdapterError::in_call("glancing at work"))?;
    Ok(answer.item.map(|row| {
        let row = Reader { table: TABLE, row: &row };
        AccountAndLease { account: row.parsed("account").ok(), lease: row.milliseconds("lease_until").ok() }
    }))
}
