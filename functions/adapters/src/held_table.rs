//! Held items: rows that wait, for a retry at its time, or for their release.
//!
//! A row's `pk` is `<webhook>#<shard>`, so that one webhook's rows are spread over several partitions and no key is
//! shared by all webhooks; its `sk` is `<type>#<accepted at>#<item>`, so that a shard's rows of a type are read in
//! the order of acceptance, and holding an item again keeps its place. The index `due` finds what comes due, spread
//! by item over shards of its own.
//!
//! A row that waits for its release (the end of a block, its webhook being enabled) has no time of its own; one row
//! for all of a (webhook, type) does, in [`crate::release_row`]. The rows of replays, which bring dead items here, are
//! told in [`crate::replay_row`].
//!
//! The conditional writes are values of the core ([`carteiro_core::holding`]), which this makes.
//!
//! Moving a row on is: *claim* it (a conditional write with a lease, which returns the row), send, delete it on
//! condition that the claim is still ours. Guaranteed: a row is deleted only after what it held was sent or buried.
//! The window that remains: a mover that dies between sending and deleting leaves the row to the next one, and the
//! item is sent again, under the same id.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use carteiro_core::delivery::Delivery;
use carteiro_core::holding;
pub use carteiro_core::holding::HeldFor;
use carteiro_core::hop::Hop;
use carteiro_core::id::{ItemId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::replay::Replayed;
use carteiro_core::transition::Write;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::conditional::{self, Answer, Written};
use crate::config_table::Page;
use crate::error::AdapterError;
use crate::merged_rows::{MergedRows, Reading};
use crate::random;
use crate::release_row::ReleaseKey;
use crate::replay_row::ReplayKey;
use crate::row::{Reader, Row, bytes, milliseconds, number, seconds, sorted_digits, text};
use crate::unreadable::readable;

pub(crate) const TABLE: &str = "held";

/// Over how many partitions a webhook's held rows are spread.
pub const SHARDS: u8 = 8;

/// Over how many partitions the index of what comes due is spread.
pub const DUE_SHARDS: u8 = 16;

/// The item has no row, or one that waits for its release. A replay's transaction asks for it.
pub(crate) const HAS_NO_TIME: &str = "attribute_not_exists(due_at)";

/// Its network lets it be kept, or says nothing of it.
pub(crate) const MAY_BE_KEPT: &str = "attribute_not_exists(keep_until) OR keep_until > :now";

/// Items that wait.
#[derive(Clone, Debug)]
pub struct HeldTable {
    pub(crate) client: Client,
    pub(crate) name: String,
}

/// Where a held row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKey {
    pub(crate) pk: String,
    pub(crate) sk: String,
    /// Which time of holding this is, where the row was read; an index does not say.
    pub(crate) holding: String,
}

impl HeldKey {
    pub(crate) fn of_row(row: &Row) -> Result<Self, AdapterError> {
        let row = Reader { table: TABLE, row };
        let holding = row.text(holding::HOLDING).unwrap_or_default().to_owned();
        Ok(Self { pk: row.text("pk")?.to_owned(), sk: row.text("sk")?.to_owned(), holding })
    }
}

/// Where a page of what comes due ended.
#[derive(Clone, Debug)]
pub struct DueMark(Row);

/// What comes due: a held row, a release, or a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// A held row, at its own time.
    Item(HeldKey),
    /// The release of what is held for a webhook and type.
    Release {
        /// Which.
        release: ReleaseKey,
        /// When.
        due_at: Timestamp,
    },
    /// A replay that has not taken all its dead items yet.
    Replay {
        /// Which.
        replay: ReplayKey,
        /// When.
        due_at: Timestamp,
    },
}

/// A held item, as its owner may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What is held.
    pub delivery: Delivery,
    /// Why.
    pub reason: HeldFor,
    /// When it comes due; None while it waits for its release.
    pub due_at: Option<Timestamp>,
}

/// Which rows of a webhook a page shows.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// Whose.
    pub webhook: &'a WebhookId,
    /// Of this type alone, or of all, the types in alphabetical order.
    pub item_type: Option<&'a ItemType>,
    /// Those after this place, which [`is_place`] must know.
    pub after: Option<&'a str>,
    /// How many rows at most; at least 1.
    pub most: u16,
    /// How many bytes of items at most. The first row is shown however large its item.
    pub most_bytes: usize,
}

/// Whether a text is a row's place in the order of a webhook's rows: its type, when its item was accepted, and the item.
#[must_use]
pub fn is_place(text: &str, item_type: Option<&ItemType>) -> bool {
    let mut parts = text.split('#');
    let (Some(kind), Some(accepted), Some(item), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    kind.parse::<ItemType>().is_ok_and(|kind| item_type.is_none_or(|wanted| *wanted == kind))
        && accepted.len() == 13
        && accepted.bytes().all(|byte| byte.is_ascii_digit())
        && item.parse::<ItemId>().is_ok()
}

/// How often holding for a release is tried anew while others hold, move and delete the same item's row.
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
    /// It is ours to move, until then.
    Claimed {
        /// What is held.
        delivery: Box<Delivery>,
        /// When it comes due.
        due_at: Timestamp,
        /// The claim, to be shown when it is deleted.
        claim: Claim,
    },
    /// It was moved, is being moved, or was held again for later.
    NotOurs,
}

impl HeldTable {
    /// The table of this name.
    #[must_use]
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// Holds a delivery until it comes due, or its network does not let it be kept any more. `seen_at` is when reading
    /// the state began by which it is held. The table may delete the row by itself after `expires_at`, or the network's
    /// end.
    ///
    /// Holding the same delivery again replaces the row: the item has one place in the order.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn hold(
        &self,
        delivery: &Delivery,
        reason: HeldFor,
        (due_at, seen_at): (Timestamp, Timestamp),
        expires_at: Timestamp,
    ) -> Result<(), AdapterError> {
        let shard = ("due_shard", text(due_shard_name(shard_of(delivery, DUE_SHARDS))));
        let row = held_row(delivery, reason, [shard], expires_at);
        let put = holding::hold(delivery.capped_at_keep_until(due_at), seen_at);
        conditional::put((&self.client, &self.name), &put, row).await.map(|_| ())
    }

    /// Holds a delivery until its release. Whoever does must then see to it that there is one:
    /// [`HeldTable::await_release`].
    ///
    /// Where the item has a row with a time of its own, it goes on waiting for that, and who moves the row now does not
    /// delete it: the queue may have handed one message out twice, the other one may have held the item and deleted the
    /// message, and this one may die before it has seen to a release.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn hold_for_release(
        &self,
        delivery: &Delivery,
        reason: HeldFor,
        seen_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), AdapterError> {
        let put = holding::hold_for_release(&new_id()?, seen_at);
        let row = held_row(delivery, reason, [], expires_at);
        let key = HeldKey::of_row(&row)?;
        for _ in 0..MAX_REFUSALS {
            if conditional::put((&self.client, &self.name), &put, row.clone()).await?
                || self.write_held(&key, &holding::keep_retry(), Answer::Outcome).await?.is_made()
            {
                return Ok(());
            }
        }
        Err(AdapterError::Contended { operation: put.name })
    }

    /// What comes due in a shard of the index until then, the earliest first. The index lags behind the table by
    /// moments; [`HeldTable::claim`] decides. With more than `limit` there is a mark, after which the next page begins.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub async fn due(
        &self,
        shard: u8,
        until: Timestamp,
        limit: u16,
        after: Option<DueMark>,
    ) -> Result<(Vec<Due>, Option<DueMark>), AdapterError> {
        let call = self
            .client
            .query()
            .table_name(&self.name)
            .index_name("due")
            .key_condition_expression("due_shard = :shard AND due_at <= :until")
            .expression_attribute_values(":shard", text(due_shard_name(shard)))
            .expression_attribute_values(":until", milliseconds(until))
            .set_exclusive_start_key(after.map(|mark| mark.0))
            .limit(i32::from(limit));
        let answer =
            call.send().await.map_err(|error| AdapterError::of_call("finding what comes due", error))?;
        let rows = answer.items.unwrap_or_default();
        let found = rows.iter().filter_map(|row| readable(TABLE, row, due(row))).collect();
        Ok((found, answer.last_evaluated_key.map(DueMark)))
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
        let Written::Made(row) = self.write_held(key, &write, Answer::Row).await? else {
            return Ok(HeldClaim::NotOurs);
        };
        let due_at = Reader { table: TABLE, row: &row }.milliseconds("due_at")?;
        Ok(HeldClaim::Claimed { delivery: Box::new(read_delivery(TABLE, &row)?), due_at, claim })
    }

    /// Deletes a row that was moved, if the claim still stands. What was held again meanwhile stays.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn finish(&self, key: &HeldKey, claim: &Claim) -> Result<(), AdapterError> {
        let write = holding::finish(&claim.id, claim.until);
        self.write_held(key, &write, Answer::Outcome).await.map(|_| ())
    }

    pub(crate) async fn write_held(
        &self,
        key: &HeldKey,
        write: &Write,
        answer: Answer,
    ) -> Result<Written, AdapterError> {
        let key =
            Row::from([("pk".to_owned(), text(key.pk.as_str())), ("sk".to_owned(), text(key.sk.as_str()))]);
        conditional::write((&self.client, &self.name), key, write, &[], answer).await
    }

    /// How many items of a webhook and type are held that may be kept at `now`. Counting ends when `most` are exceeded.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn count(
        &self,
        webhook: &WebhookId,
        item_type: &str,
        most: usize,
        now: Timestamp,
    ) -> Result<usize, AdapterError> {
        let may_be_kept = (MAY_BE_KEPT, milliseconds(now));
        count_rows(&self.client, &self.name, (webhook, item_type), most, may_be_kept).await
    }

    /// A page of a webhook's held items, by type and then in the order of their acceptance. What is being moved or
    /// released this moment may be missing or still there.
    ///
    /// # Errors
    /// Where the table cannot be read, or a row of it.
    pub async fn list(&self, span: Span<'_>) -> Result<Page<Held>, AdapterError> {
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

    /// Drops a row, whoever claims it. For webhooks that were deleted.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn drop_row(&self, key: &HeldKey) -> Result<(), AdapterError> {
        drop_row(&self.client, &self.name, key).await
    }
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
    let answer = call.send().await.map_err(|error| AdapterError::of_call("finding waiting items", error))?;
    answer.items.unwrap_or_default().iter().map(HeldKey::of_row).collect()
}

/// How many rows of a part are dropped at once.
const CONCURRENT_DROPS: usize = 4;

/// Drops up to `most` rows of a partition of any table whose keys are `pk` and `sk`, and answers how many.
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
    let answer = call.send().await.map_err(|error| AdapterError::of_call(OPERATION, error))?;
    let keys = answer.items.unwrap_or_default();
    let count = keys.len();
    let drops = stream::iter(keys).map(|key| async move {
        let sent = client.delete_item().table_name(table).set_key(Some(key)).send().await;
        sent.map(|_| ()).map_err(|error| AdapterError::of_call(OPERATION, error))
    });
    drops.buffer_unordered(CONCURRENT_DROPS).try_collect::<()>().await?;
    Ok(count)
}

/// Drops a row of the held or the dead items.
pub(crate) async fn drop_row(client: &Client, table: &str, key: &HeldKey) -> Result<(), AdapterError> {
    let call = client.delete_item().table_name(table);
    let sent = call.key("pk", text(key.pk.as_str())).key("sk", text(key.sk.as_str())).send().await;
    sent.map(|_| ()).map_err(|error| AdapterError::of_call("dropping a waiting item", error))
}

/// How many rows of a webhook and type there are in the table of the held or the dead items. A filter names the rows
/// that count and its `:now`. Counting in a shard ends when `most` are exceeded.
pub(crate) async fn count_rows(
    client: &Client,
    table: &str,
    (webhook, item_type): (&WebhookId, &str),
    most: usize,
    (filter, now): (&str, AttributeValue),
) -> Result<usize, AdapterError> {
    let shards = (0..SHARDS).map(|shard| {
        let call = client
            .query()
            .table_name(table)
            .key_condition_expression("pk = :pk AND begins_with(sk, :type)")
            .expression_attribute_values(":pk", text(pk(webhook, shard)))
            .expression_attribute_values(":type", text(format!("{item_type}#")))
            .filter_expression(filter)
            .expression_attribute_values(":now", now.clone())
            .consistent_read(true)
            .select(Select::Count);
        async move {
            // A page ends at 1 MB of rows, which are counted with the items that they hold.
            let (mut rows, mut pages) = (0, call.into_paginator().send());
            while rows <= most
                && let Some(page) = pages.next().await
            {
                let page = page.map_err(|error| AdapterError::of_call("counting items", error))?;
                rows += usize::try_from(page.count).unwrap_or_default();
            }
            Ok::<_, AdapterError>(rows)
        }
    });
    Ok(try_join_all(shards).await?.into_iter().sum())
}

fn held(row: &Row) -> Result<Held, AdapterError> {
    let delivery = read_delivery(TABLE, row)?;
    let reader = Reader { table: TABLE, row };
    let name = reader.text("held_for")?;
    let reason = HeldFor::ALL.into_iter().find(|reason| reason.as_str() == name);
    let reason = reason.ok_or(AdapterError::Malformed { table: TABLE, attribute: "held_for" })?;
    let due_at = row.contains_key("due_at").then(|| reader.milliseconds("due_at")).transpose()?;
    Ok(Held { delivery, reason, due_at })
}

/// A page of a webhook's rows in the table of the held or the dead items. What is read of a shard at a time is little
/// more than its part of the page, for rows carry their items.
///
/// A row that cannot be read is left out, so a page may be shorter than what is asked for, and go on.
pub(crate) async fn page<T>(
    client: &Client,
    (name, table): (&'static str, &str),
    span: Span<'_>,
    read: impl Fn(&Row) -> Result<T, AdapterError>,
) -> Result<Page<T>, AdapterError> {
    let reading =
        Reading { webhook: span.webhook.clone(), item_type: span.item_type.cloned(), only: None, item: None };
    let mut rows = MergedRows::new(reading, span.after);
    let (mut data, mut bytes, mut last) = (Vec::new(), 0, None);
    while let Some(row) = rows.peek(client, table, part_of_shard(u32::from(span.most))).await? {
        bytes += row.get("body").and_then(|body| body.as_b().ok()).map_or(0, |body| body.as_ref().len());
        if data.len() >= usize::from(span.most) || (!data.is_empty() && bytes > span.most_bytes) {
            return Ok(Page { data, last });
        }
        data.extend(readable(name, row, read(row)));
        last = rows.take().and_then(|row| row.get("sk")?.as_s().ok().cloned());
    }
    Ok(Page { data, last: None })
}

/// How many of so many rows are read of a shard at once: ids spread them evenly.
pub(crate) fn part_of_shard(rows: u32) -> i32 {
    i32::try_from(rows.div_ceil(u32::from(SHARDS)) + 2).unwrap_or(i32::MAX)
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

/// What tells one claim, worker or time of holding from all others.
pub(crate) fn new_id() -> Result<String, AdapterError> {
    Ok(format!("{:032x}", random::bits128()?))
}

pub(crate) fn pk(webhook: &WebhookId, shard: u8) -> String {
    format!("{webhook}#{shard:02}")
}

pub(crate) fn due_shard_name(shard: u8) -> String {
    format!("due#{shard:02}")
}

/// The shard that an item's id falls into; ids are random or digests, so shards fill evenly.
fn shard_of(delivery: &Delivery, shards: u8) -> u8 {
    shard_of_id(delivery.item.as_str(), shards)
}

pub(crate) fn shard_of_id(digits: &str, shards: u8) -> u8 {
    let last_two = &digits[digits.len() - 2..];
    u8::from_str_radix(last_two, 16).unwrap_or_default() % shards
}

pub(crate) fn held_row(
    delivery: &Delivery,
    reason: HeldFor,
    own: impl IntoIterator<Item = (&'static str, AttributeValue)>,
    expires_at: Timestamp,
) -> Row {
    let mut row = delivery_row(delivery);
    row.insert("held_for".to_owned(), text(reason.as_str()));
    row.insert("expires_at".to_owned(), seconds(delivery.capped_at_keep_until(expires_at)));
    row.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value)));
    row
}

/// A delivery as a row of the held or the dead items: the same key in both.
pub(crate) fn delivery_row(delivery: &Delivery) -> Row {
    let shard = shard_of(delivery, SHARDS);
    let place = format!("{}#{}#{}", delivery.item_type, sorted_digits(delivery.accepted_at), delivery.item);
    let mut row = Row::from([
        ("pk".to_owned(), text(pk(&delivery.webhook, shard))),
        ("sk".to_owned(), text(place)),
        ("account".to_owned(), text(delivery.account.as_str())),
        ("webhook".to_owned(), text(delivery.webhook.as_str())),
        ("item".to_owned(), text(delivery.item.as_str())),
        ("type".to_owned(), text(delivery.item_type.as_str())),
        ("source".to_owned(), text(delivery.source.to_string())),
        ("accepted_at".to_owned(), milliseconds(delivery.accepted_at)),
        ("attempt".to_owned(), number(delivery.attempt)),
        ("revision".to_owned(), number(delivery.revision)),
        ("body".to_owned(), bytes(&delivery.body)),
    ]);
    if let Some(until) = delivery.keep_until {
        row.insert("keep_until".to_owned(), milliseconds(until));
    }
    if delivery.hop > Hop::default() {
        row.insert("hop".to_owned(), number(delivery.hop.count()));
    }
    if let Some(replayed) = &delivery.replayed {
        row.insert("replay".to_owned(), text(replayed.replay.as_str()));
        row.insert("replayed_at".to_owned(), milliseconds(replayed.at));
    }
    row
}

pub(crate) fn read_delivery(table: &'static str, row: &Row) -> Result<Delivery, AdapterError> {
    let row = Reader { table, row };
    let replayed = match row.row.contains_key("replay") {
        true => Some(Replayed { replay: row.parsed("replay")?, at: row.milliseconds("replayed_at")? }),
        false => None,
    };
    let keep_until =
        if row.row.contains_key("keep_until") { Some(row.milliseconds("keep_until")?) } else { None };
    Ok(Delivery {
        account: row.parsed("account")?,
        webhook: row.parsed("webhook")?,
        item: row.parsed("item")?,
        item_type: row.parsed("type")?,
        source: row.parsed("source")?,
        accepted_at: row.milliseconds("accepted_at")?,
        replayed,
        keep_until,
        hop: Hop::of_count(row.optional_number("hop")?.unwrap_or_default()),
        attempt: row.number("attempt")?,
        chain: 0,
        revision: row.number("revision")?,
        step: None,
        body: row.bytes("body")?,
    })
}

#[cfg(test)]
mod tests {
    use carteiro_core::id::{AccountId, ItemId, ReplayId};
    use carteiro_core::item::ItemType;

    use super::*;

    fn delivery(item: u128, accepted_ms: i64) -> Delivery {
        Delivery {
            account: AccountId::from_bits(1),
            webhook: WebhookId::from_bits(2),
            item: ItemId::from_bits(item),
            item_type: ItemType::CONTACT,
            source: "bot:b".parse().unwrap(),
            accepted_at: Timestamp::from_millisecond(accepted_ms).unwrap(),
            replayed: None,
            keep_until: None,
            hop: Hop::default(),
            attempt: 3,
            chain: 0,
            revision: 2,
            step: None,
            body: vec![0, 255],
        }
    }

    #[test]
    fn a_delivery_survives_its_row() {
        let mut delivery = delivery(7, 1_795_000_000_123);
        assert_eq!(read_delivery(TABLE, &delivery_row(&delivery)).unwrap(), delivery);
        let at = Timestamp::from_millisecond(1_796_000_000_123).unwrap();
        delivery.replayed = Some(Replayed { replay: ReplayId::made_at(at, 1), at });
        delivery.keep_until = Some(at);
        delivery.hop = Hop::of_count(2);
        assert_eq!(read_delivery(TABLE, &delivery_row(&delivery)).unwrap(), delivery);
    }

    #[test]
    fn no_row_outlives_what_its_network_allows() {
        let time = |ms| Timestamp::from_millisecond(ms).unwrap();
        let expiry = |delivery: &Delivery| {
            let row = held_row(delivery, HeldFor::Blocked, [], time(9_000));
            Reader { table: TABLE, row: &row }.seconds("expires_at").unwrap()
        };
        let limited = Delivery { keep_until: Some(time(5_999)), ..delivery(7, 1) };
        assert_eq!((expiry(&delivery(7, 1)), expiry(&limited)), (time(9_000), time(5_000)));
    }

    #[test]
    fn rows_sort_by_acceptance_and_an_item_has_one_place() {
        let sk = |delivery: &Delivery| match &delivery_row(delivery)["sk"] {
            AttributeValue::S(sk) => sk.clone(),
            other => panic!("{other:?}"),
        };
        assert!(sk(&delivery(9, 999_999_999_999)) < sk(&delivery(1, 1_000_000_000_000)));
        let mut again = delivery(9, 5);
        again.attempt = 8;
        assert_eq!(sk(&again), sk(&delivery(9, 5)));
    }

    #[test]
    fn a_rows_place_is_known_and_nothing_else_is() {
        let row = delivery_row(&delivery(7, 1_795_000_000_123));
        let place = row["sk"].as_s().unwrap().as_str();
        assert!(is_place(place, None) && is_place(place, Some(&ItemType::CONTACT)));
        assert!(!is_place(place, Some(&ItemType::EVENT)));
        let longer = format!("{place}#");
        let upper = place.to_uppercase();
        let item = "item_00000000000000000000000000000007";
        let others = ["", "contact", "contact#", &longer, &upper, &format!("contact#179500000012#{item}")];
        for other in others {
            assert!(!is_place(other, None), "{other}");
        }
        assert!(!is_place(&format!("contact#179500000012x#{item}"), None));
        assert!(!is_place("contact#1795000000123#item_7", None));
    }

    #[test]
    fn a_held_row_says_why_and_until_when() {
        let mut row = delivery_row(&delivery(7, 1));
        row.insert("held_for".to_owned(), text("blocked"));
        assert_eq!(
            held(&row).unwrap(),
            Held { delivery: delivery(7, 1), reason: HeldFor::Blocked, due_at: None }
        );
        let due_at = Timestamp::from_millisecond(5).unwrap();
        row.insert("due_at".to_owned(), milliseconds(due_at));
        assert_eq!(held(&row).unwrap().due_at, Some(due_at));
        row.insert("held_for".to_owned(), text("mood"));
        assert_eq!(held(&row).unwrap_err().to_string(), "a row of the held table cannot be read: held_for");
    }

    #[test]
    fn a_missing_attribute_is_named() {
        let mut row = delivery_row(&delivery(1, 1));
        row.remove("body");
        let error = read_delivery(TABLE, &row).unwrap_err();
        assert_eq!(error.to_string(), "a row of the held table cannot be read: body");
        assert!(!error.is_transient());
    }
}
