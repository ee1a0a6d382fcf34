//! Pages' freshness: rows of the inbox's table, one for each page and hour in which something of it was dispatched.
//!
//! | `pk` | `sk` | attributes |
//! |---|---|---|
//! | `<page>#fresh` | the hour, counted since 1970, in eight digits | `<kind>.<bucket>`: how many; `expires_at` |
//!
//! A write adds to what is there, and is repeated where its answer was lost: counts are for people, and decide nothing.
//! That a row exists shows that something came in its hour, which is what a page's habit is read from; so it is kept
//! for [`REMEMBERED_HOURS`].

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use carteiro_core::id::PageId;
use carteiro_core::retention::after;
use carteiro_networks::collected::Kind;
use carteiro_networks::freshness::{Counts, Hour, SHOWN_HOURS};
use carteiro_networks::silence::{HABIT_HOURS, REMEMBERED_HOURS};
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::tables::row::{Reader, Row, number, seconds, text};
use crate::tables::rows::{Rows, table};

const TABLE: &str = "inbox";

table! {
    /// Pages' freshness.
    pub struct FreshnessRows;
}

impl FreshnessRows {
    /// Adds the counts of a page in an hour.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub async fn add(&self, page: &PageId, hour: Hour, counts: &Counts) -> Result<(), AdapterError> {
        let kept = Duration::from_secs(u64::from(REMEMBERED_HOURS) * 3600);
        let (mut added, mut names, mut values) = (Vec::new(), HashMap::new(), HashMap::new());
        for (index, (kind, bucket, count)) in counts.buckets().enumerate() {
            added.push(format!("#c{index} :c{index}"));
            names.insert(format!("#c{index}"), format!("{}.{bucket}", kind.as_str()));
            values.insert(format!(":c{index}"), number(count));
        }
        values.insert(":expires".to_owned(), seconds(after(hour.end(), kept)));
        let mut update = "SET expires_at = :expires".to_owned();
        if !added.is_empty() {
            update.push_str(&format!(" ADD {}", added.join(", ")));
        }
        let key = [("pk".to_owned(), text(pk(page))), ("sk".to_owned(), text(hour.to_string()))];
        let call = self.update_item(Row::from(key));
        let call = call.update_expression(update).set_expression_attribute_values(Some(values));
        let call = call.set_expression_attribute_names((!names.is_empty()).then_some(names));
        call.send().await.map(|_| ()).map_err(AdapterError::in_call("counting what was dispatched"))
    }

    /// The counts of a page's last day.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn last_day(&self, page: &PageId, now: Timestamp) -> Result<Counts, AdapterError> {
        let first = Hour::of(now).earlier(SHOWN_HOURS);
        let mut counts = Counts::default();
        let answer = self.query(page, first).send().await.map_err(AdapterError::in_call("reading counts"))?;
        for row in answer.items.unwrap_or_default() {
            add_row(&mut counts, &row);
        }
        Ok(counts)
    }

    /// The last hour in which something of a page was dispatched, of those that are remembered.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn newest(&self, page: &PageId, now: Timestamp) -> Result<Option<Hour>, AdapterError> {
        let call = self.query(page, Hour::of(now).earlier(REMEMBERED_HOURS));
        let newest = hours(call.scan_index_forward(false).limit(1)).await?;
        Ok(newest.last().copied())
    }

    /// The hours in which something of a page was dispatched, of its habit before the newest of them.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn habit(&self, page: &PageId, newest: Hour) -> Result<BTreeSet<Hour>, AdapterError> {
        hours(self.query(page, newest.earlier(HABIT_HOURS))).await
    }

    /// Asks for the rows of a page from an hour on. One answer holds them all: at most 720, of a few hundred bytes.
    fn query(&self, page: &PageId, from: Hour) -> QueryFluentBuilder {
        let call = self.query_rows();
        call.key_condition_expression("pk = :pk AND sk >= :from")
            .expression_attribute_values(":pk", text(pk(page)))
            .expression_attribute_values(":from", text(from.to_string()))
    }
}

fn pk(page: &PageId) -> String {
    format!("{page}#fresh")
}

async fn hours(call: QueryFluentBuilder) -> Result<BTreeSet<Hour>, AdapterError> {
    let answer = call.projection_expression("sk").send().await;
    let answer = answer.map_err(AdapterError::in_call("reading a page's habit"))?;
    let hour = |row: &Row| Reader { table: TABLE, row }.parsed("sk");
    answer.items.unwrap_or_default().iter().map(hour).collect()
}

/// Adds the counters of a row. What another version wrote, and this one does not know, is left out.
fn add_row(counts: &mut Counts, row: &Row) {
    for (name, value) in row {
        let Some((kind, bucket)) = name.split_once('.') else { continue };
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
        let count = value.as_n().ok().and_then(|count| count.parse().ok());
        if let (Some(kind), Ok(bucket), Some(count)) = (kind, bucket.parse(), count) {
            counts.add(kind, bucket, count);
        }
    }
}
