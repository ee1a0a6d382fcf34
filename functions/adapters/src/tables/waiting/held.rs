//! Held items: rows that wait, for a retry at its time, or for their release.
//!
//! A row's `pk` is `<webhook>#<shard>`: one webhook's rows are spread over several partitions, and no partition is
//! shared by all webhooks. Its `sk` is `<type>#<accepted at>#<item>`: a shard's rows of a type are read in the order of
//! acceptance, and an item that is held again keeps its place. The index `due` finds rows that come due. It has shards
//! of its own, chosen by item. `keys::held_row` builds the row, to which
//! [`carteiro_core::holding`] adds its times and its condition.
//!
//! A row that waits for its release (the end of a block, or its webhook being enabled) has no due time. One row for all
//! of a (webhook, type) has it: see [`release`](super::release). Replays, which bring dead items here, have rows of
//! their own: see [`replay`](super::replay).
//!
//! The core describes the conditional writes as values ([`carteiro_core::holding`]); this module makes them.
//!
//! A mover *claims* a row (a conditional write with a lease, which returns the row), sends the item, and deletes the
//! row if the claim still stands. Guaranteed: a row is deleted only after its item was sent or buried. Not guaranteed:
//! if a mover dies between sending and deleting, the next one sends the item again, under the same id.

use std::time::Duration;

use carteiro_core::delivery::Delivery;
use carteiro_core::holding;
use carteiro_core::holding::HeldFor;
use carteiro_core::id::WebhookId;
use carteiro_core::message::LastError;
use carteiro_core::transition::Write;
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::tables::StartKey;
use crate::tables::conditional::{self, Answer, Written, made};
use crate::tables::config::ListPage;
use crate::tables::row::{Reader, Row, milliseconds, sorted_digits, text};
use crate::tables::rows::{Rows, table};
use crate::tables::unreadable::readable;
use crate::tables::waiting::keys::{
    DUE_SHARDS, HeldKey, MAY_BE_KEPT, ReleaseKey, ReplayKey, TABLE, due_shard_name, held_row, last_error_of,
    new_id, pk, read_delivery, shard_of,
};
use crate::tables::waiting::reads::{Counted, Span, count_rows, drop_row, keys_of, page};

/// It waits for its release, and was accepted, or replayed, too long ago.
const KEPT_TOO_LONG: &str = "attribute_not_exists(due_at) AND \
                             (replayed_at <= :since OR (attribute_not_exists(replayed_at) AND accepted_at <= :since))";
/// The claim is the one that this mover made.
const IS_CLAIMED_BY_US: &str = "claimed_until = :claim";

table! {
    /// The rows of held items.
    pub struct HeldRows;
}

/// A row that comes due: a held item, a release, or a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// A held row, at its own time.
    Item(HeldKey),
    /// The release of held items of a webhook and type.
    Release {
        /// The key of the release.
        release: ReleaseKey,
        /// When.
        due_at: Timestamp,
    },
    /// A replay that has not taken all its dead items yet.
    Replay {
        /// The key of the replay.
        replay: ReplayKey,
        /// When.
        due_at: Timestamp,
    },
}

/// A held item, as its owner may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The held delivery.
    pub delivery: Delivery,
    /// Why.
    pub reason: HeldFor,
    /// Its last failure, where it is held after one.
    pub last_error: Option<LastError>,
    /// When it comes due; None while it waits for its release.
    pub due_at: Option<Timestamp>,
}

/// Retries of a hold for release while others hold, move and delete the same item's row.
const MAX_REFUSALS: u32 = 5;

/// A mover's claim of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    id: String,
    /// When it ends.
    pub until: Timestamp,
}

/// How a claim of a held row ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldClaim {
    /// The caller may move it until the claim ends.
    Claimed {
        /// The held delivery.
        delivery: Box<Delivery>,
        /// When it comes due.
        due_at: Timestamp,
        /// The claim, to be shown when it is deleted.
        claim: Claim,
    },
    /// It was moved, is being moved, or was held again for later.
    NotOurs,
}

impl HeldRows {
    /// Holds a delivery until it comes due, or its network does not let it be kept any more. `seen_at` is when reading
    /// the state began by which it is held. The table may delete the row by itself after `expires_at`, or the network's
    /// end.
    ///
    /// Holding the same delivery again replaces the row: the item has one place in the order. `last_error` is the
    /// failure after which it waits, as [`LastError`] is stored.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn hold(
        &self,
        delivery: &Delivery,
        (reason, last_error): (HeldFor, Option<&str>),
        (due_at, seen_at): (Timestamp, Timestamp),
        expires_at: Timestamp,
    ) -> Result<(), AdapterError> {
        let shard = ("due_shard", text(due_shard_name(shard_of(delivery, DUE_SHARDS))));
        let own = last_error.map(|error| ("last_error", text(error))).into_iter().chain([shard]);
        let row = held_row(delivery, reason, own, expires_at);
        let put = holding::hold(delivery.capped_at_keep_until(due_at), seen_at);
        conditional::put(self.table(), &put, row).await.map(|_| ())
    }

    /// Holds a delivery until its release. The caller must then ensure that there is one:
    /// [`ReleaseRows::ensure`](super::release::ReleaseRows::ensure).
    ///
    /// An item whose row has a due time keeps it, and the current mover does not delete the row. The queue may have
    /// delivered one message twice: the other function may have held the item and deleted the message, and this one may
    /// die before it ensures a release.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn hold_for_release(
        &self,
        delivery: &Delivery,
        (reason, last_error): (HeldFor, Option<&str>),
        seen_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), AdapterError> {
        let put = holding::hold_for_release(&new_id()?, seen_at);
        let own = last_error.map(|error| ("last_error", text(error)));
        let row = held_row(delivery, reason, own, expires_at);
        let key = HeldKey::of_row(&row)?;
        for _ in 0..MAX_REFUSALS {
            if conditional::put(self.table(), &put, row.clone()).await?
                || self.write(&key, &holding::keep_retry(), Answer::Outcome).await?.is_made()
            {
                return Ok(());
            }
        }
        Err(AdapterError::Contended { operation: put.name })
    }

    /// The rows that come due in a shard of the index by then, the earliest first. The index lags behind the table by
    /// moments; [`HeldRows::claim`] decides. Where there are more than `limit`, a key is answered at which the next
    /// page starts.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub async fn due(
        &self,
        shard: u8,
        until: Timestamp,
        limit: u16,
        after: Option<StartKey>,
    ) -> Result<(Vec<Due>, Option<StartKey>), AdapterError> {
        let call = self
            .query_rows()
            .index_name("due")
            .key_condition_expression("due_shard = :shard AND due_at <= :until")
            .expression_attribute_values(":shard", text(due_shard_name(shard)))
            .expression_attribute_values(":until", milliseconds(until))
            .set_exclusive_start_key(after.map(|key| key.0))
            .limit(i32::from(limit));
        let answer = call.send().await.map_err(AdapterError::in_call("finding what comes due"))?;
        let rows = answer.items.unwrap_or_default();
        let found = rows.iter().filter_map(|row| readable(TABLE, row, due(row))).collect();
        Ok((found, answer.last_evaluated_key.map(StartKey)))
    }

    /// Claims a row that is due by `due_until`, for a lease that ends at `lease_until`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn claim(
        &self,
        key: &HeldKey,
        due_until: Timestamp,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<HeldClaim, AdapterError> {
        let claim = Claim { id: new_id()?, until: lease_until };
        let write = holding::claim(&claim.id, due_until, now, lease_until);
        let Written::Made(row) = self.write(key, &write, Answer::Row).await? else {
            return Ok(HeldClaim::NotOurs);
        };
        let due_at = Reader { table: TABLE, row: &row }.milliseconds("due_at")?;
        Ok(HeldClaim::Claimed { delivery: Box::new(read_delivery(TABLE, &row)?), due_at, claim })
    }

    /// Deletes a row that was moved, if the claim still stands. An item that was held again meanwhile stays.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn finish(&self, key: &HeldKey, claim: &Claim) -> Result<(), AdapterError> {
        let write = holding::finish(&claim.id, claim.until);
        self.write(key, &write, Answer::Outcome).await.map(|_| ())
    }

    pub(crate) async fn write(
        &self,
        key: &HeldKey,
        write: &Write,
        answer: Answer,
    ) -> Result<Written, AdapterError> {
        let key =
            Row::from([("pk".to_owned(), text(key.pk.as_str())), ("sk".to_owned(), text(key.sk.as_str()))]);
        conditional::write(self.table(), key, write, &[], answer).await
    }

    /// How many items of a webhook and type are held that may be kept at `now`, and when the first of those comes due
    /// that have a time of their own. Counting ends when `most` are exceeded.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn count(
        &self,
        webhook: &WebhookId,
        item_type: &str,
        most: usize,
        now: Timestamp,
    ) -> Result<Counted, AdapterError> {
        let may_be_kept = (MAY_BE_KEPT, milliseconds(now));
        count_rows(&self.client, &self.name, (webhook, item_type), most, may_be_kept).await
    }

    /// A page of a webhook's held items, by type and then in the order of their acceptance. An item that is being moved
    /// or released at the moment may be missing or still listed.
    ///
    /// # Errors
    /// Where the table or a row cannot be read.
    pub async fn list(&self, span: Span<'_>) -> Result<ListPage<Held>, AdapterError> {
        page(&self.client, (TABLE, &self.name), span, held).await
    }

    /// Up to `most` keys of a webhook's rows in a shard.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn keys_of(
        &self,
        webhook: &WebhookId,
        shard: u8,
        most: u16,
    ) -> Result<Vec<HeldKey>, AdapterError> {
        keys_of(&self.client, &self.name, webhook, shard, most).await
    }

    /// Deletes a row, also where it is claimed. For webhooks that were deleted.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn drop_row(&self, key: &HeldKey) -> Result<(), AdapterError> {
        drop_row(&self.client, &self.name, key).await
    }

    /// Deletes a row whose item was sent, if it is still the row that was read. The item may already have been
    /// delivered, have failed, and be held again.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn delete_released(&self, held: &HeldKey) -> Result<(), AdapterError> {
        let write = holding::delete_released(&held.holding);
        self.write(held, &write, Answer::Outcome).await.map(|_| ())
    }

    /// A shard's rows that wait for a release and were kept since `over_since` or longer. Rows that were never replayed
    /// are ordered by age. A replayed row keeps the place of its acceptance, so rows behind it may reach the end of
    /// their retention first. Rows that were accepted later are not read. Where there are more, a key is answered at
    /// which the next page starts.
    ///
    /// # Errors
    /// Where the table or a row cannot be read.
    pub async fn kept_too_long(
        &self,
        key: &ReleaseKey,
        shard: u8,
        over_since: Timestamp,
        after: Option<StartKey>,
    ) -> Result<(Vec<(HeldKey, Delivery)>, Option<StartKey>), AdapterError> {
        let next = over_since.checked_add(Duration::from_millis(1)).unwrap_or(over_since);
        let call = self
            .query_rows()
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .filter_expression(KEPT_TOO_LONG)
            .expression_attribute_values(":pk", text(pk(&key.webhook, shard)))
            .expression_attribute_values(":first", text(format!("{}#", key.item_type)))
            .expression_attribute_values(":last", text(format!("{}#{}", key.item_type, sorted_digits(next))))
            .expression_attribute_values(":since", milliseconds(over_since))
            .consistent_read(true)
            .set_exclusive_start_key(after.map(|key| key.0));
        let answer = call.send().await.map_err(AdapterError::in_call("finding what waited too long"))?;
        let rows = answer.items.unwrap_or_default();
        let item = |row: &Row| Ok((HeldKey::of_row(row)?, read_delivery(TABLE, row)?));
        let rows = rows.iter().filter_map(|row| readable(TABLE, row, item(row))).collect();
        Ok((rows, answer.last_evaluated_key.map(StartKey)))
    }

    /// Removes the due time from a row that its mover cannot read. The row then waits for the release of its type,
    /// which skips it as long as it cannot be read. `claim` is the end of the mover's claim.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn quarantine(&self, key: &HeldKey, claim: Timestamp) -> Result<bool, AdapterError> {
        let call = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(key.pk.as_str()))
            .key("sk", text(key.sk.as_str()))
            .condition_expression(IS_CLAIMED_BY_US)
            .update_expression("SET holding = :holding REMOVE due_at, due_shard, claimed_until, claimed_by")
            .expression_attribute_values(":claim", milliseconds(claim))
            .expression_attribute_values(":holding", text(new_id()?));
        Ok(made(call.send().await, "setting a held item aside")?.is_some())
    }
}

fn held(row: &Row) -> Result<Held, AdapterError> {
    let delivery = read_delivery(TABLE, row)?;
    Ok(Held { delivery, reason: reason_of(row)?, last_error: last_error_of(row), due_at: due_at_of(row)? })
}

/// When the item of a row comes due; None while it waits for its release.
pub(crate) fn due_at_of(row: &Row) -> Result<Option<Timestamp>, AdapterError> {
    let reader = Reader { table: TABLE, row };
    row.contains_key("due_at").then(|| reader.milliseconds("due_at")).transpose()
}

/// Why the item of a row is held.
pub(crate) fn reason_of(row: &Row) -> Result<HeldFor, AdapterError> {
    let reader = Reader { table: TABLE, row };
    let name = reader.text("held_for")?;
    let reason = HeldFor::ALL.into_iter().find(|reason| reason.as_str() == name);
    reason.ok_or(AdapterError::Malformed { table: TABLE, attribute: "held_for" })
}

fn due(row: &Row) -> Result<Due, AdapterError> {
    let key = HeldKey::of_row(row)?;
    let due_at = || Reader { table: TABLE, row }.milliseconds("due_at");
    if let Some(release) = ReleaseKey::of(&key) {
        return Ok(Due::Release { release, due_at: due_at()? });
    }
    Ok(match ReplayKey::of(&key) {
        Some(replay) => Due::Replay { replay, due_at: due_at()? },
        None => Due::Item(key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::waiting::keys::delivery_row;
    use crate::tables::waiting::keys::tests::delivery;

    #[test]
    fn a_held_row_says_why_and_until_when() {
        let mut row = delivery_row(&delivery(7, 1));
        row.insert("held_for".to_owned(), text("blocked"));
        assert_eq!(
            held(&row).unwrap(),
            Held { delivery: delivery(7, 1), reason: HeldFor::Blocked, last_error: None, due_at: None }
        );
        let due_at = Timestamp::from_millisecond(5).unwrap();
        row.insert("due_at".to_owned(), milliseconds(due_at));
        assert_eq!(held(&row).unwrap().due_at, Some(due_at));
        row.insert("held_for".to_owned(), text("mood"));
        assert_eq!(held(&row).unwrap_err().to_string(), "a row of the held table cannot be read: held_for");
    }
}
