//! The held items of a release, in the order of their acceptance.

use carteiro_core::delivery::Delivery;
use carteiro_core::holding::{self, DUE_AT};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::tables::conditional::Answer;
use crate::tables::row::Row;
use crate::tables::unreadable::readable;
use crate::tables::waiting::held::HeldRows;
use crate::tables::waiting::keys::{HeldKey, ReleaseKey, TABLE, new_id, read_delivery};
use crate::tables::waiting::merged_rows::{MergedRows, RowQuery};
use crate::tables::waiting::reads::part_of_shard;

/// The items of a release, in the order of their acceptance, as they are read.
#[derive(Debug)]
pub struct HeldCursor {
    held: HeldRows,
    rows: MergedRows,
    /// Where an owner's act released items with due times, too: those that were held by a state read until this time.
    release_all_until: Option<Timestamp>,
    /// The next one.
    next: Option<WaitingItem>,
}

/// An item of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingItem {
    key: HeldKey,
    delivery: Delivery,
    /// Whether it waits for a time of its own, and has to be adopted before it is released.
    has_time: bool,
}

/// How many rows are made to wait for their release at once.
const CONCURRENT_ADOPTIONS: usize = 32;

impl HeldCursor {
    /// The items of a release, where reading begins at `now`: those that wait for it, and those that an owner's act
    /// released.
    pub(crate) fn new(
        held: &HeldRows,
        key: &ReleaseKey,
        release_all_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let reading = RowQuery {
            webhook: key.webhook.clone(),
            item_type: Some(key.item_type.clone()),
            only: Some(holding::is_of_release(release_all_until, now)),
            item: None,
        };
        Self { held: held.clone(), rows: MergedRows::new(reading, None), release_all_until, next: None }
    }

    /// The next item. It stays the next one until it is taken. `soon` is about how many will be taken. A row that
    /// cannot be read is skipped.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn peek(&mut self, soon: u32) -> Result<Option<&Delivery>, AdapterError> {
        let HeldRows { client, name } = &self.held;
        while self.next.is_none()
            && let Some(row) = self.rows.peek(client, name, part_of_shard(soon)).await?
        {
            self.next = readable(TABLE, row, waiting_item(row));
            self.rows.take();
        }
        Ok(self.next.as_ref().map(|next| &next.delivery))
    }

    /// Takes the item that [`peek`](Self::peek) answered.
    pub fn take(&mut self) -> Option<WaitingItem> {
        self.next.take()
    }

    /// Takes the next items to be released: up to `most`, and up to `most_bytes`, except that one larger item is
    /// allowed. Items that were moved or held again since they were read are left out.
    ///
    /// # Errors
    /// Where the table or a row cannot be read.
    pub async fn take_part(
        &mut self,
        (most, most_bytes): (u32, usize),
        now: Timestamp,
    ) -> Result<Vec<(HeldKey, Delivery)>, AdapterError> {
        let most_items = usize::try_from(most).unwrap_or(usize::MAX);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < most_items
            && let Some(next) = self.peek(most).await?
        {
            bytes += next.body.len();
            if bytes > most_bytes && !taken.is_empty() {
                break;
            }
            taken.extend(self.take());
        }
        self.adopt(taken, now).await
    }

    /// Makes items that have due times wait for their release instead. Items that a mover claimed, or that were held
    /// again, since they were read are left out.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn adopt(
        &self,
        items: Vec<WaitingItem>,
        now: Timestamp,
    ) -> Result<Vec<(HeldKey, Delivery)>, AdapterError> {
        let until = self.release_all_until;
        let adopting = stream::iter(items).map(|item| async move {
            let WaitingItem { mut key, delivery, has_time } = item;
            let Some(until) = until.filter(|_| has_time) else { return Ok(Some((key, delivery))) };
            key.holding = new_id()?;
            let write = holding::adopt(&key.holding, until, now);
            let adopted = self.held.write(&key, &write, Answer::Outcome).await?.is_made();
            Ok::<_, AdapterError>(adopted.then_some((key, delivery)))
        });
        let adopted: Vec<_> = adopting.buffered(CONCURRENT_ADOPTIONS).try_collect().await?;
        Ok(adopted.into_iter().flatten().collect())
    }
}

fn waiting_item(row: &Row) -> Result<WaitingItem, AdapterError> {
    let has_time = row.contains_key(DUE_AT);
    Ok(WaitingItem { key: HeldKey::of_row(row)?, delivery: read_delivery(TABLE, row)?, has_time })
}
