//! The inbox: the updates that networks pushed or answered, one row for each (page, thing, version).
//!
//! | what | `pk` | `sk` |
//! |---|---|---|
//! | an entry | `<page>#<shard>`, 8 shards by the thing | [`EntryKey`] |
//! | a part of an entry whose event is too large for a row | the same | `<entry key>#<digest of the event>#<number>` |
//! | what is nobody's, kept as it came | `unrecognised#<network>#<shard>` | its [`EntryKey`], and parts likewise |
//!
//! An entry waits while it has the attribute `waiting`: `ready#<shard>`, or `incomplete#<page>` where it came as ids
//! only. The index `waiting` finds it. A dispatched entry keeps neither that nor its event: it remains as a marker, by
//! which a network's retry and a later poll are recognised, and only then has it a time to live. A ready row has none,
//! so no ready entry can expire. An incomplete entry expires in the far future ([`INCOMPLETE`]), in case a deletion of
//! its page missed it; making it ready removes that time. A row that cannot be read is *quarantined*: it no longer
//! waits, keeps its event, and expires.
//!
//! **Storing** inserts each entry that is absent, 25 in a call (PartiQL). An existing row stays as it is, so a repeat
//! of a half-stored push stores the missing entries only, and a repeat of a call whose answer was lost changes nothing.
//! A call of `TransactWriteItems` would be refused as a whole for one existing entry, and costs twice as much. Single
//! `PutItem`s cost the same and take much more processor time, which is the scarcest in a function.
//!
//! **Versions.** A row that is there already may be an earlier state of its thing, to which somebody edited back, or
//! have had other attachments. [`InboxTable::store_versions`] compares with the thing's versions, which one consistent
//! query reads, and stores what is a version of its own under a key that is derived from the last version's
//! ([`versions`]). For a push, the query is made only for an edit whose key is there already, so that a new thing costs
//! no read. For an answer, it is made for each thing before that is stored; it is then not made again to tell an edit
//! from a new thing, and a known thing costs a read in place of a refused write. Not guaranteed: of two functions that
//! store edits of one thing in the same moment, each may compare without the other's.
//!
//! **Dispatching** is: *claim* (a conditional write with a lease, which returns the row), send, and *mark*, on
//! condition that the claim still stands. Guaranteed: an entry is marked only after its item was sent. Not guaranteed:
//! if a function dies between sending and marking, the next one sends the item again, under the same id.
//!
//! A dispatched row has the attribute `item`, the id of what it became, by which the index of that name finds it. It is
//! set by the write that marks the row, so that the index costs one write an entry.
//!
//! A page's rows are spread over shards, because the thousand entries of one push would use a full second of one
//! partition's writes. The parts of a large event are written before their row and deleted after it was marked. A
//! function that dies in between leaves parts that no row names; those of an entry that was ready are never deleted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementErrorCodeEnum, BatchStatementRequest, BatchStatementResponse, ReturnValue,
    Select,
};
use carteiro_core::hop::Hop;
use carteiro_core::id::{AccountId, ItemId, PageId};
use carteiro_core::retention::after;
use carteiro_networks::collected::By;
use carteiro_networks::inbox::{EntryKey, Event, REMEMBERED};
use carteiro_networks::network::{Network, NetworkId};
use carteiro_networks::storage_limit;
use carteiro_networks::versions::{self, Completion, Known, Sighting, Verdict, With};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::error::AdapterError;
use crate::runtime::random;
use crate::tables::StartKey;
use crate::tables::conditional::made;
use crate::tables::packed_event::PackedEvent;
use crate::tables::row::{Reader, Row, bytes, milliseconds, number, seconds, text};
use crate::tables::rows::{Rows, table};

const TABLE: &str = "inbox";

/// The number of partitions for each page's rows, and for unrecognised updates.
pub const SHARDS: u8 = 8;

/// The number of partitions of the index of ready entries.
pub const READY_SHARDS: u8 = 16;

/// How long an entry waits to be completed at most: longer than any token is left without a renewal.
pub const INCOMPLETE: Duration = Duration::from_secs(400 * 24 * 3600);

/// The prefix of the index's name for a page's incomplete entries.
const INCOMPLETE_NAME: &str = "incomplete#";

/// The most bytes of an event, packed, in one row. DynamoDB takes 400 KB of row.
pub const MAX_PART_BYTES: usize = 350_000;

/// The most statements of one call (DynamoDB).
const STATEMENTS: usize = 25;

/// The most bytes of events in one call.
const CALL_BYTES: usize = 1024 * 1024;

/// The most calls that read the versions of one thing. A version takes some hundred bytes, and an event until it is
/// dispatched, so that a mebibyte is thousands of them.
const VERSION_CALLS: usize = 8;

/// What is read of a version.
const OF_VERSION: &str = "sk, received_at, version_of, version_with, told_at, told_in, nth";

/// How many calls are under way at once.
const CONCURRENT_CALLS: usize = 16;

/// Rounds of statements that were throttled or failed for a moment.
const ROUNDS: u32 = 4;

/// The pause before the first such repeat; it doubles.
const PAUSE: Duration = Duration::from_millis(50);

/// The entry waits for its dispatch.
const IS_READY: &str = "waiting = :ready";
/// The entry is not claimed, or its claim expired.
const IS_FREE: &str = "attribute_not_exists(claimed_until) OR claimed_until <= :now";
/// This claim was already made, and its answer lost.
const IS_OURS: &str = "claim = :claim";
/// The row is a version of this thing's text.
const SAYS: &str = "says = :says";
/// The row was stored earlier.
const CAME_BEFORE: &str = "received_at < :at";
/// The entry waits for its completion.
const IS_INCOMPLETE: &str = "waiting = :incomplete";
/// The row exists.
const EXISTS: &str = "attribute_exists(pk)";

table! {
    /// The inbox.
    pub struct InboxTable;
}

/// A claim of entries, for their dispatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The claim's own id.
    pub id: String,
    /// When another may take over.
    pub until: Timestamp,
}

impl Claim {
    /// A new claim.
    ///
    /// # Errors
    /// Where no randomness is to be had.
    pub fn new(until: Timestamp) -> Result<Self, AdapterError> {
        Ok(Self { id: format!("{:032x}", random::bits128()?), until })
    }
}

/// The state of a new entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// It waits for its dispatch.
    Ready,
    /// Its writer dispatches it. A tick does so where the writer does not.
    Claimed(Claim),
    /// To be completed.
    Incomplete,
}

/// An entry to be stored.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// Its page.
    pub page: PageId,
    /// The page's account.
    pub account: AccountId,
    /// The network's id by which it found its page.
    pub owner: NetworkId,
    /// Which version of which thing it is.
    pub key: EntryKey,
    /// Its event.
    pub event: PackedEvent,
    /// Whether it is a version of the thing's text. An earlier version makes it an edit.
    pub says: bool,
    /// What it is compared with other versions by; None where its key decides alone.
    pub sighting: Option<Sighting>,
    /// How often its event had passed through Carteiro.
    pub hop: Hop,
    /// Its state.
    pub waiting: EntryState,
}

impl NewEntry {
    /// When the table may delete it, if it may: no later than its network allows.
    fn expires_at(&self, received_at: Timestamp) -> Option<Timestamp> {
        let longest = || {
            let limit = self.event.read().ok().and_then(|event| storage_limit::longest(event.network));
            limit.map_or(INCOMPLETE, |limit| limit.min(INCOMPLETE))
        };
        matches!(self.waiting, EntryState::Incomplete).then(|| after(received_at, longest()))
    }

    /// The entry as its writer has claimed it, without reading it again.
    #[must_use]
    pub fn into_claimed(self, event: Event, received_at: Timestamp) -> Entry {
        let place = place(&self.page, &self.key);
        let is_large = self.event.bytes().len() > MAX_PART_BYTES;
        let parts = if is_large { Parts::of(&self.event).places(&place) } else { Vec::new() };
        let Self { page, account, owner, key, hop, .. } = self;
        let since = received_at;
        Entry { place, page, account, owner, key, event, hop, received_at, since, parts, is_later: None }
    }
}

/// An entry that was to be stored, under the key that it has now.
#[derive(Clone, Debug)]
pub struct StoredVersion {
    /// The entry.
    pub entry: NewEntry,
    /// How storing it ended.
    pub stored: Stored,
    /// Whether an earlier version of what its thing says was stored, where that was read.
    pub is_later: Option<bool>,
    nth: u32,
}

impl StoredVersion {
    /// The entry as its writer has claimed it, without reading it again.
    #[must_use]
    pub fn into_claimed(self, event: Event, received_at: Timestamp) -> Entry {
        Entry { is_later: self.is_later, ..self.entry.into_claimed(event, received_at) }
    }
}

/// How storing an entry ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is new.
    New,
    /// It existed: waiting, or dispatched.
    Known,
}

/// Where an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowKey {
    pk: String,
    sk: String,
}

/// A claimed entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it is.
    pub place: RowKey,
    /// Its page.
    pub page: PageId,
    /// The page's account.
    pub account: AccountId,
    /// The network's id by which it found its page.
    pub owner: NetworkId,
    /// Which version of which thing it is.
    pub key: EntryKey,
    /// Its event.
    pub event: Event,
    /// How often that had passed through Carteiro.
    pub hop: Hop,
    /// When it was stored first.
    pub received_at: Timestamp,
    /// When it became ready.
    pub since: Timestamp,
    /// Where its parts are, if it has any.
    pub parts: Vec<RowKey>,
    /// Whether an earlier version of what its thing says was stored, where its writer read that.
    pub is_later: Option<bool>,
}

impl Entry {
    /// The id of the item that it becomes.
    #[must_use]
    pub fn item(&self) -> ItemId {
        self.key.item(&self.page)
    }
}

/// The entry that became an item, as the index `item` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectedAs {
    /// The page's account.
    pub account: AccountId,
    /// Its page.
    pub page: PageId,
    /// When it was stored first.
    pub received_at: Timestamp,
    /// When it was queued for every webhook that takes it.
    pub handed_on_at: Timestamp,
}

/// The parts of a packed event, as their row names them.
struct Parts {
    digest: String,
    count: usize,
}

impl InboxTable {
    /// Stores entries that are not there, and says of each whether it was. No two of them may have the same place.
    ///
    /// # Errors
    /// Where not all of them are certainly stored. A repeat stores the missing ones.
    pub async fn store(
        &self,
        entries: &[NewEntry],
        received_at: Timestamp,
    ) -> Result<Vec<Stored>, AdapterError> {
        let entries: Vec<_> = entries.iter().map(|entry| (entry, 0)).collect();
        self.store_numbered(&entries, received_at).await
    }

    /// Stores entries with their numbers among the versions of their things.
    async fn store_numbered(
        &self,
        entries: &[(&NewEntry, u32)],
        received_at: Timestamp,
    ) -> Result<Vec<Stored>, AdapterError> {
        let large = entries.iter().filter(|(entry, _)| entry.event.bytes().len() > MAX_PART_BYTES);
        let parts = stream::iter(large).map(|(entry, _)| async move {
            let expires_at = entry.expires_at(received_at);
            self.put_parts(&place(&entry.page, &entry.key), &entry.event, expires_at).await
        });
        parts.buffer_unordered(CONCURRENT_CALLS).try_collect::<()>().await?;
        let rows: Vec<Row> = entries.iter().map(|(entry, nth)| entry_row(entry, *nth, received_at)).collect();
        let stored = self.insert(&rows).await?;
        for ((entry, _), stored) in entries.iter().zip(&stored) {
            if *stored == Stored::Known && entry.event.bytes().len() > MAX_PART_BYTES {
                self.drop_unnamed_parts(entry).await?;
            }
        }
        Ok(stored)
    }

    /// Stores entries, compared with the stored versions of their things in this order. An entry whose key is there and
    /// that is a version of its own gets a derived key. The entries are returned in the same order, with their keys.
    ///
    /// # Errors
    /// Where not all of them are certainly stored. A repeat stores the missing ones.
    pub async fn store_versions(
        &self,
        entries: Vec<NewEntry>,
        received_at: Timestamp,
    ) -> Result<Vec<StoredVersion>, AdapterError> {
        let mut of_thing: HashMap<(String, String), u32> = HashMap::new();
        let mut seen = HashSet::new();
        let (mut all, mut first, mut compared) = (Vec::with_capacity(entries.len()), Vec::new(), Vec::new());
        for (index, entry) in entries.into_iter().enumerate() {
            let row = place(&entry.page, &entry.key);
            let nth = of_thing.entry((row.pk.clone(), entry.key.thing().to_owned())).or_default();
            let is_first = seen.insert(row);
            match &entry.sighting {
                Some(sighting) if sighting.by == By::Poll || !is_first => compared.push(index),
                _ if is_first => first.push(index),
                _ => {}
            }
            all.push(StoredVersion { entry, stored: Stored::Known, is_later: None, nth: *nth });
            *nth += 1;
        }
        self.store_some(&mut all, &first, received_at).await?;
        let may_be_edit = |index: &usize| {
            let StoredVersion { entry, stored, .. } = &all[*index];
            *stored == Stored::Known && entry.sighting.as_ref().is_some_and(Sighting::may_be_edit)
        };
        compared.extend(first.into_iter().filter(may_be_edit));
        compared.sort_unstable();
        let own = self.compare(&mut all, compared, received_at).await?;
        self.store_some(&mut all, &own, received_at).await?;
        Ok(all)
    }

    async fn store_some(
        &self,
        all: &mut [StoredVersion],
        which: &[usize],
        received_at: Timestamp,
    ) -> Result<(), AdapterError> {
        let entries: Vec<_> = which.iter().map(|&index| (&all[index].entry, all[index].nth)).collect();
        let stored = self.store_numbered(&entries, received_at).await?;
        for (&index, stored) in which.iter().zip(stored) {
            all[index].stored = stored;
        }
        Ok(())
    }

    /// Compares entries with the versions that are known of their things, gives those their keys that are versions of
    /// their own, and answers which these are.
    async fn compare(
        &self,
        all: &mut [StoredVersion],
        compared: Vec<usize>,
        now: Timestamp,
    ) -> Result<Vec<usize>, AdapterError> {
        let mut of_thing: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
        for index in compared {
            let entry = &all[index].entry;
            let thing = (place(&entry.page, &entry.key).pk, entry.key.thing().to_owned());
            of_thing.entry(thing).or_default().push(index);
        }
        let reads = stream::iter(of_thing).map(|((pk, thing), indexes)| async move {
            self.versions(&pk, &thing).await.map(|known| (known, indexes))
        });
        let read: Vec<_> = reads.buffer_unordered(CONCURRENT_CALLS).try_collect().await?;
        let mut own = Vec::new();
        for (mut known, indexes) in read {
            for index in indexes {
                let StoredVersion { entry, is_later, nth, .. } = &mut all[index];
                let Some(sighting) = &entry.sighting else { continue };
                *is_later = Some(!known.is_empty());
                match versions::decide(&known, sighting, now) {
                    Verdict::Repetition => {}
                    Verdict::Completes(completion) => {
                        if let Some(key) = entry.key.of_version(&completion.version) {
                            self.complete_version(&place(&entry.page, &key), &completion).await?;
                        }
                        completion.apply(&mut known);
                    }
                    Verdict::New(version) => {
                        let Some(key) = entry.key.of_version(&version) else { continue };
                        known.push(Known::stored(sighting, version, now, *nth));
                        entry.key = key;
                        own.push(index);
                    }
                }
            }
        }
        own.sort_unstable();
        Ok(own)
    }

    /// Notes what a version's row does not say yet: what is with it, and the push of it. What it says stays.
    async fn complete_version(&self, place: &RowKey, completion: &Completion) -> Result<(), AdapterError> {
        let with = completion.with.map(|with| ("version_with", ":with", bytes(&with.to_bytes())));
        let push = completion.push.map(|push| ("told_in", ":push", bytes(&push.to_be_bytes())));
        let mut sets = Vec::new();
        let mut call = self
            .update_item(place.row())
            .condition_expression(SAYS)
            .expression_attribute_values(":says", AttributeValue::Bool(true));
        for (name, placeholder, value) in [with, push].into_iter().flatten() {
            sets.push(format!("{name} = if_not_exists({name}, {placeholder})"));
            call = call.expression_attribute_values(placeholder, value);
        }
        let call = call.update_expression(format!("SET {}", sets.join(", ")));
        made(call.send().await, "completing a version").map(|_| ())
    }

    /// The versions of what a thing says.
    async fn versions(&self, pk: &str, thing: &str) -> Result<Vec<Known>, AdapterError> {
        let (mut known, mut from) = (Vec::new(), None);
        for _ in 0..VERSION_CALLS {
            let call = self.query_rows();
            let call = call
                .key_condition_expression("pk = :pk AND begins_with(sk, :thing)")
                .filter_expression(SAYS)
                .projection_expression(OF_VERSION)
                .expression_attribute_values(":pk", text(pk))
                .expression_attribute_values(":thing", text(format!("{thing}#")))
                .expression_attribute_values(":says", AttributeValue::Bool(true))
                .consistent_read(true)
                .set_exclusive_start_key(from);
            let answer = call.send().await.map_err(AdapterError::in_call("reading versions"))?;
            for row in answer.items.unwrap_or_default() {
                known.extend(version_of(&row)?);
            }
            from = answer.last_evaluated_key;
            if from.is_none() {
                break;
            }
        }
        Ok(known)
    }

    /// Keeps unrecognised updates until `expires_at`, and says of each whether it is new. No two of them may have the
    /// same key.
    ///
    /// # Errors
    /// Where not all of them are certainly stored. A repeat stores the missing ones.
    pub async fn store_unrecognised(
        &self,
        network: Network,
        events: &[(EntryKey, PackedEvent)],
        received_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Vec<Stored>, AdapterError> {
        let mut rows = Vec::with_capacity(events.len());
        for (key, event) in events {
            let (_, version) = key.thing_and_version();
            let pk = format!("unrecognised#{network}#{:02}", shard_of(version, SHARDS));
            let place = RowKey { pk, sk: key.as_str().to_owned() };
            if event.bytes().len() > MAX_PART_BYTES {
                self.put_parts(&place, event, Some(expires_at)).await?;
            }
            let mut row = place.row();
            row.insert("received_at".to_owned(), milliseconds(received_at));
            row.insert("expires_at".to_owned(), seconds(expires_at));
            name_event(&mut row, event);
            rows.push(row);
        }
        self.insert(&rows).await
    }

    async fn put_parts(
        &self,
        place: &RowKey,
        event: &PackedEvent,
        expires_at: Option<Timestamp>,
    ) -> Result<(), AdapterError> {
        let parts = Parts::of(event);
        for (at, part) in parts.places(place).into_iter().zip(event.bytes().chunks(MAX_PART_BYTES)) {
            let mut row = at.row();
            row.insert("part".to_owned(), bytes(part));
            row.extend(expires_at.map(|at| ("expires_at".to_owned(), seconds(at))));
            // The key is a digest of the part, so writing it again changes nothing.
            self.put_item(row).send().await.map_err(AdapterError::in_call("storing a part of an entry"))?;
        }
        Ok(())
    }

    /// Deletes the parts of an event that another one came before, unless its row names the same.
    async fn drop_unnamed_parts(&self, entry: &NewEntry) -> Result<(), AdapterError> {
        let place = place(&entry.page, &entry.key);
        let ours = Parts::of(&entry.event);
        let call = self.get_item(place.row());
        let answer = call.consistent_read(true).projection_expression("parts_of").send().await;
        let row = answer.map_err(AdapterError::in_call("reading an entry"))?.item;
        let named = row.as_ref().and_then(|row| row.get("parts_of")).and_then(|digest| digest.as_s().ok());
        if named != Some(&ours.digest) {
            self.delete_parts(&ours.places(&place)).await?;
        }
        Ok(())
    }

    async fn delete_parts(&self, parts: &[RowKey]) -> Result<(), AdapterError> {
        for part in parts {
            let sent = self.delete_item(part.row()).send().await;
            sent.map_err(AdapterError::in_call("deleting a part of an entry"))?;
        }
        Ok(())
    }

    /// Inserts rows that are not there.
    async fn insert(&self, rows: &[Row]) -> Result<Vec<Stored>, AdapterError> {
        let mut stored = Vec::with_capacity(rows.len());
        let calls = stream::iter(calls(rows)).map(|rows| self.insert_together(rows));
        let mut calls = calls.buffered(CONCURRENT_CALLS);
        let mut failed = None;
        while let Some(answered) = calls.next().await {
            // All are sent even if one fails: a repeat then has less to store.
            match answered {
                Ok(answered) => stored.extend(answered),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(stored), Err)
    }

    async fn insert_together(&self, rows: &[Row]) -> Result<Vec<Stored>, AdapterError> {
        const OPERATION: &str = "storing entries";
        let mut stored = vec![None; rows.len()];
        let mut pause = PAUSE;
        for round in 1..=ROUNDS {
            let left: Vec<usize> = (0..rows.len()).filter(|&index| stored[index].is_none()).collect();
            let statements: Result<Vec<_>, _> =
                left.iter().map(|&index| self.insertion(&rows[index])).collect();
            let statements = statements.map_err(|error| AdapterError::unavailable(OPERATION, error))?;
            let answer = self.client.batch_execute_statement().set_statements(Some(statements)).send().await;
            let answer = answer.map_err(AdapterError::in_call(OPERATION))?;
            for (index, response) in left.into_iter().zip(answer.responses.unwrap_or_default()) {
                stored[index] = inserted(&response)?;
            }
            if stored.iter().all(Option::is_some) {
                return Ok(stored.into_iter().flatten().collect());
            }
            if round < ROUNDS {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        Err(AdapterError::Incomplete { operation: OPERATION })
    }

    fn insertion(&self, row: &Row) -> Result<BatchStatementRequest, aws_sdk_dynamodb::error::BuildError> {
        let names: Vec<String> = row.keys().map(|name| format!("'{name}': ?")).collect();
        BatchStatementRequest::builder()
            .statement(format!("INSERT INTO \"{}\" VALUE {{{}}}", self.name, names.join(", ")))
            .set_parameters(Some(row.values().cloned().collect()))
            .build()
    }

    /// The entries that are ready in a shard of the index, the oldest first. The index lags behind the table by
    /// moments; [`InboxTable::claim`] decides. Where there are more than `limit`, a key is answered at which the next
    /// page starts.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub async fn ready(
        &self,
        shard: u8,
        limit: u16,
        after: Option<StartKey>,
    ) -> Result<(Vec<RowKey>, Option<StartKey>), AdapterError> {
        self.waiting(ready_name(shard), limit, after).await
    }

    /// The entries of a page that wait for their completion, the oldest first, paged as in [`InboxTable::ready`].
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub async fn incomplete(
        &self,
        page: &PageId,
        limit: u16,
        after: Option<StartKey>,
    ) -> Result<(Vec<RowKey>, Option<StartKey>), AdapterError> {
        self.waiting(incomplete_name(page), limit, after).await
    }

    /// Some entries of a page that wait for their completion: the oldest, or the newest.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub async fn some_incomplete(
        &self,
        page: &PageId,
        limit: u16,
        newest_first: bool,
    ) -> Result<Vec<RowKey>, AdapterError> {
        self.waiting_in(incomplete_name(page), limit, None, newest_first).await.map(|(places, _)| places)
    }

    async fn waiting(
        &self,
        name: String,
        limit: u16,
        after: Option<StartKey>,
    ) -> Result<(Vec<RowKey>, Option<StartKey>), AdapterError> {
        self.waiting_in(name, limit, after, false).await
    }

    async fn waiting_in(
        &self,
        name: String,
        limit: u16,
        after: Option<StartKey>,
        newest_first: bool,
    ) -> Result<(Vec<RowKey>, Option<StartKey>), AdapterError> {
        let call = self
            .query_rows()
            .index_name("waiting")
            .key_condition_expression("waiting = :waiting")
            .expression_attribute_values(":waiting", text(name))
            .scan_index_forward(!newest_first)
            .set_exclusive_start_key(after.map(|key| key.0))
            .limit(i32::from(limit));
        let answer = call.send().await.map_err(AdapterError::in_call("finding waiting entries"))?;
        let places: Result<_, _> = answer.items.unwrap_or_default().iter().map(RowKey::read).collect();
        Ok((places?, answer.last_evaluated_key.map(StartKey)))
    }

    /// Whether an earlier version of the entry's thing was stored, within the time that entries are remembered.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn says_something_new(&self, entry: &Entry) -> Result<bool, AdapterError> {
        let mut from = None;
        loop {
            let call = self.query_rows();
            let call = call
                .key_condition_expression("pk = :pk AND begins_with(sk, :thing)")
                .filter_expression(format!("{SAYS} AND {CAME_BEFORE}"))
                .expression_attribute_values(":pk", text(entry.place.pk()))
                .expression_attribute_values(":thing", text(format!("{}#", entry.key.thing())))
                .expression_attribute_values(":says", AttributeValue::Bool(true))
                .expression_attribute_values(":at", milliseconds(entry.received_at))
                .select(Select::Count)
                .consistent_read(true)
                .set_exclusive_start_key(from);
            let answer = call.send().await.map_err(AdapterError::in_call("finding earlier versions"))?;
            if answer.count > 0 {
                return Ok(true);
            }
            from = answer.last_evaluated_key;
            if from.is_none() {
                return Ok(false);
            }
        }
    }

    /// Claims an entry that is ready. None where it was dispatched, or another caller has claimed it.
    ///
    /// # Errors
    /// Where it cannot be written or read: then it comes again when the claim ends. [`AdapterError::Malformed`] where
    /// it will never be readable: see [`InboxTable::quarantine`].
    pub async fn claim(
        &self,
        place: &RowKey,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<Option<Entry>, AdapterError> {
        let call = self
            .update_item(place.row())
            .condition_expression(format!("{IS_READY} AND ({IS_FREE} OR {IS_OURS})"))
            .update_expression("SET claim = :claim, claimed_until = :until")
            .expression_attribute_values(":ready", text(place.ready_name()))
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":claim", text(claim.id.as_str()))
            .expression_attribute_values(":until", milliseconds(claim.until))
            .return_values(ReturnValue::AllNew);
        let claimed = made(call.send().await, "claiming an entry")?;
        match claimed.and_then(|answer| answer.attributes) {
            Some(row) => self.read(place, &row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn read(&self, place: &RowKey, row: &Row) -> Result<Entry, AdapterError> {
        let reader = Reader { table: TABLE, row };
        let malformed = |attribute| AdapterError::Malformed { table: TABLE, attribute };
        let parts = parts_of(place, row)?;
        let packed = if parts.is_empty() { reader.bytes("event")? } else { self.read_parts(&parts).await? };
        Ok(Entry {
            page: place.page().ok_or_else(|| malformed("pk"))?,
            key: EntryKey::from_stored(&place.sk).ok_or_else(|| malformed("sk"))?,
            account: reader.parsed("account")?,
            owner: reader.parsed("owner")?,
            event: PackedEvent::from_stored(packed).read().map_err(|_| malformed("event"))?,
            hop: Hop::of_count(reader.optional_number("hop")?.unwrap_or_default()),
            received_at: reader.milliseconds("received_at")?,
            since: reader.milliseconds("since")?,
            parts,
            is_later: None,
            place: place.clone(),
        })
    }

    async fn read_parts(&self, parts: &[RowKey]) -> Result<Vec<u8>, AdapterError> {
        let mut packed = Vec::new();
        for part in parts {
            let call = self.get_item(part.row());
            let answer = call.consistent_read(true).send().await;
            let row = answer.map_err(AdapterError::in_call("reading a part of an entry"))?.item;
            packed.extend(Reader { table: TABLE, row: &row.unwrap_or_default() }.bytes("part")?);
        }
        Ok(packed)
    }

    /// Marks an entry as dispatched, if the claim still stands: it is remembered for [`REMEMBERED`], without its event.
    ///
    /// # Errors
    /// Where it cannot be written. Then it is dispatched again, under the same id, when the claim ends.
    pub async fn mark(&self, entry: &Entry, claim: &Claim, now: Timestamp) -> Result<(), AdapterError> {
        let call = self
            .update_item(entry.place.row())
            .condition_expression(IS_OURS)
            .update_expression(
                "SET handed_on_at = :now, expires_at = :expires, #item = :item \
                 REMOVE waiting, since, event, parts, parts_of, claim, claimed_until",
            )
            .expression_attribute_names("#item", "item")
            .expression_attribute_values(":item", text(entry.item().as_str()))
            .expression_attribute_values(":claim", text(claim.id.as_str()))
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":expires", seconds(after(now, REMEMBERED)));
        if made(call.send().await, "marking an entry")?.is_some() {
            self.delete_parts(&entry.parts).await?;
        }
        Ok(())
    }

    /// The dispatched entry that became an item, by the item's id. Rows that an older version marked are not found.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub async fn of_item(&self, item: &ItemId) -> Result<Option<CollectedAs>, AdapterError> {
        let call = self
            .query_rows()
            .index_name("item")
            .key_condition_expression("#item = :item")
            .expression_attribute_names("#item", "item")
            .expression_attribute_values(":item", text(item.as_str()))
            .limit(1);
        let answer = call.send().await.map_err(AdapterError::in_call("finding a collected item"))?;
        let rows = answer.items.unwrap_or_default();
        let Some(row) = rows.first() else { return Ok(None) };
        let reader = Reader { table: TABLE, row };
        let page = RowKey::read(row)?.page();
        Ok(Some(CollectedAs {
            account: reader.parsed("account")?,
            page: page.ok_or(AdapterError::Malformed { table: TABLE, attribute: "pk" })?,
            received_at: reader.milliseconds("received_at")?,
            handed_on_at: reader.milliseconds("handed_on_at")?,
        }))
    }

    /// Releases the claim of an entry, if it still stands: others may claim the entry at once.
    ///
    /// # Errors
    /// Where it cannot be written. Then it is free when the claim is over.
    pub async fn release_claim(&self, entry: &Entry, claim: &Claim) -> Result<(), AdapterError> {
        let call = self
            .update_item(entry.place.row())
            .condition_expression(IS_OURS)
            .update_expression("REMOVE claim, claimed_until")
            .expression_attribute_values(":claim", text(claim.id.as_str()));
        made(call.send().await, "giving an entry back").map(|_| ())
    }

    /// Quarantines a claimed row that cannot be read, if the claim still stands: it no longer waits, and its event can
    /// be inspected until `expires_at`. False where the claim is over.
    ///
    /// # Errors
    /// Where it cannot be written. Then it comes again when the claim is over.
    pub async fn quarantine(
        &self,
        place: &RowKey,
        claim: &Claim,
        expires_at: Timestamp,
    ) -> Result<bool, AdapterError> {
        const OPERATION: &str = "setting an entry aside";
        let update = |place: &RowKey| {
            let call = self.update_item(place.row());
            call.expression_attribute_values(":expires", seconds(expires_at))
        };
        let call = update(place)
            .condition_expression(IS_OURS)
            .update_expression("SET expires_at = :expires REMOVE waiting, claim, claimed_until")
            .expression_attribute_values(":claim", text(claim.id.as_str()))
            .return_values(ReturnValue::AllNew);
        let Some(answer) = made(call.send().await, OPERATION)? else { return Ok(false) };
        // An entry without readable parts has no parts to keep.
        for part in parts_of(place, &answer.attributes.unwrap_or_default()).unwrap_or_default() {
            let call =
                update(&part).condition_expression(EXISTS).update_expression("SET expires_at = :expires");
            made(call.send().await, OPERATION)?;
        }
        Ok(true)
    }

    /// An entry that waits to be completed; None where it does so no more.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn read_incomplete(&self, place: &RowKey) -> Result<Option<Entry>, AdapterError> {
        let call = self.get_item(place.row());
        let answer = call.consistent_read(true).send().await;
        let row = answer.map_err(AdapterError::in_call("reading an entry"))?.item;
        let waits = |row: &Row| {
            let waiting = row.get("waiting").and_then(|value| value.as_s().ok());
            waiting.is_some_and(|waiting| waiting.starts_with(INCOMPLETE_NAME))
        };
        match row.filter(waits) {
            Some(row) => self.read(place, &row).await.map(Some),
            None => Ok(None),
        }
    }

    /// Makes an entry ready that waits to be completed, with `event` in the place of its own where that is given, and
    /// claimed. From then on it does not expire. None where it does not wait any more.
    ///
    /// # Errors
    /// Where it cannot be written. Then it waits as before, or is ready.
    pub async fn complete(
        &self,
        entry: Entry,
        event: Option<Event>,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<Option<Entry>, AdapterError> {
        let mut set = "SET waiting = :ready, since = :now, claim = :claim, claimed_until = :until".to_owned();
        let mut remove = "REMOVE expires_at".to_owned();
        let call = self.update_item(entry.place.row());
        let mut call = call
            .condition_expression(IS_INCOMPLETE)
            .expression_attribute_values(":incomplete", text(incomplete_name(&entry.page)))
            .expression_attribute_values(":ready", text(entry.place.ready_name()))
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":claim", text(claim.id.as_str()))
            .expression_attribute_values(":until", milliseconds(claim.until));
        let packed = event.as_ref().map(PackedEvent::of);
        let mut parts = entry.parts.clone();
        if let Some(packed) = &packed {
            if packed.bytes().len() > MAX_PART_BYTES {
                // No answer to an ask for one thing is as large.
                return Err(AdapterError::Malformed { table: TABLE, attribute: "event" });
            }
            set.push_str(", event = :event");
            remove.push_str(", parts, parts_of");
            call = call.expression_attribute_values(":event", bytes(packed.bytes()));
            parts.clear();
        }
        let call = call.update_expression(format!("{set} {remove}"));
        if made(call.send().await, "completing an entry")?.is_none() {
            return Ok(None);
        }
        if event.is_some() {
            self.delete_parts(&entry.parts).await?;
        }
        let event = event.unwrap_or_else(|| entry.event.clone());
        Ok(Some(Entry { event, since: now, parts, ..entry }))
    }

    /// Marks an incomplete entry as done with, without an item of its own: what it stood for was stored under another
    /// key, or there is nothing to tell. It is remembered for [`REMEMBERED`], without its event.
    ///
    /// # Errors
    /// Where it cannot be written. Then it waits as before.
    pub async fn resolve(&self, entry: &Entry, now: Timestamp) -> Result<(), AdapterError> {
        let call = self
            .update_item(entry.place.row())
            .condition_expression(IS_INCOMPLETE)
            .update_expression(
                "SET handed_on_at = :now, expires_at = :expires REMOVE waiting, since, event, parts, parts_of",
            )
            .expression_attribute_values(":incomplete", text(incomplete_name(&entry.page)))
            .expression_attribute_values(":now", milliseconds(now))
            .expression_attribute_values(":expires", seconds(after(now, REMEMBERED)));
        if made(call.send().await, "resolving an entry")?.is_some() {
            self.delete_parts(&entry.parts).await?;
        }
        Ok(())
    }

    /// Quarantines an incomplete entry that cannot be read: it no longer waits, and its event can be inspected until
    /// `expires_at`.
    ///
    /// # Errors
    /// Where it cannot be written. Then it waits as before.
    pub async fn set_aside_incomplete(
        &self,
        place: &RowKey,
        page: &PageId,
        expires_at: Timestamp,
    ) -> Result<(), AdapterError> {
        let call = self
            .update_item(place.row())
            .condition_expression(IS_INCOMPLETE)
            .update_expression("SET expires_at = :expires REMOVE waiting")
            .expression_attribute_values(":incomplete", text(incomplete_name(page)))
            .expression_attribute_values(":expires", seconds(expires_at));
        made(call.send().await, "setting an entry aside").map(|_| ())
    }

    /// Deletes an incomplete entry whose page was deleted. False where it is gone already.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn drop_incomplete(&self, place: &RowKey) -> Result<bool, AdapterError> {
        let call = self.delete_item(place.row());
        let call = call.condition_expression(EXISTS).return_values(ReturnValue::AllOld);
        let Some(deleted) = made(call.send().await, "dropping an entry")? else { return Ok(false) };
        let row = deleted.attributes.unwrap_or_default();
        self.delete_parts(&parts_of(place, &row)?).await?;
        Ok(true)
    }

    /// Deletes an entry whose page is gone, if the claim still stands.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn drop_entry(&self, entry: &Entry, claim: &Claim) -> Result<(), AdapterError> {
        let call = self
            .delete_item(entry.place.row())
            .condition_expression(IS_OURS)
            .expression_attribute_values(":claim", text(claim.id.as_str()));
        if made(call.send().await, "dropping an entry")?.is_some() {
            self.delete_parts(&entry.parts).await?;
        }
        Ok(())
    }
}

/// The place of an entry.
#[must_use]
pub fn place(page: &PageId, key: &EntryKey) -> RowKey {
    let (thing, _) = key.thing_and_version();
    RowKey { pk: format!("{page}#{:02}", shard_of(thing, SHARDS)), sk: key.as_str().to_owned() }
}

impl RowKey {
    /// Its partition.
    #[must_use]
    pub fn pk(&self) -> &str {
        &self.pk
    }

    /// Its place in the partition.
    #[must_use]
    pub fn sk(&self) -> &str {
        &self.sk
    }

    fn row(&self) -> Row {
        Row::from([("pk".to_owned(), text(self.pk.as_str())), ("sk".to_owned(), text(self.sk.as_str()))])
    }

    fn read(row: &Row) -> Result<Self, AdapterError> {
        let row = Reader { table: TABLE, row };
        Ok(Self { pk: row.text("pk")?.to_owned(), sk: row.text("sk")?.to_owned() })
    }

    fn page(&self) -> Option<PageId> {
        self.pk.rsplit_once('#')?.0.parse().ok()
    }

    /// The shard of the index in which it is while it is ready: by the version, for by the thing the partitions of a
    /// page would be those of the index.
    fn ready_name(&self) -> String {
        let version = self.sk.rsplit_once('#').map_or(self.sk.as_str(), |(_, version)| version);
        ready_name(shard_of(version, READY_SHARDS))
    }
}

impl Parts {
    fn of(event: &PackedEvent) -> Self {
        let digest = Sha256::digest(event.bytes());
        let digest = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { digest, count: event.bytes().len().div_ceil(MAX_PART_BYTES) }
    }

    fn places(&self, row: &RowKey) -> Vec<RowKey> {
        let sk = |number: usize| format!("{}#{}#{number}", row.sk, self.digest);
        (0..self.count).map(|number| RowKey { pk: row.pk.clone(), sk: sk(number) }).collect()
    }
}

/// Where the parts of an entry's event are; nowhere, where it stands in its row.
fn parts_of(place: &RowKey, row: &Row) -> Result<Vec<RowKey>, AdapterError> {
    let reader = Reader { table: TABLE, row };
    Ok(match reader.optional_number("parts")? {
        Some(count) => Parts { digest: reader.text("parts_of")?.to_owned(), count }.places(place),
        None => Vec::new(),
    })
}

/// What a row says of its version; None of a row that is no version. A row of an older build has its key and its time.
fn version_of(row: &Row) -> Result<Option<Known>, AdapterError> {
    let reader = Reader { table: TABLE, row };
    let Some(key) = EntryKey::from_stored(reader.text("sk")?) else { return Ok(None) };
    let version = key.thing_and_version().1.to_owned();
    let bytes_of = |name: &str| match row.get(name) {
        Some(AttributeValue::B(bytes)) => Some(bytes.as_ref()),
        _ => None,
    };
    let of = match row.get("version_of") {
        Some(AttributeValue::S(of)) => of.clone(),
        _ => version.clone(),
    };
    let told_at: Option<i64> = reader.optional_number("told_at")?;
    Ok(Some(Known {
        version,
        of,
        with: bytes_of("version_with").and_then(With::from_bytes),
        at: told_at.and_then(|at| Timestamp::from_millisecond(at).ok()),
        push: bytes_of("told_in").and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes),
        arrived: reader.milliseconds("received_at")?,
        nth: reader.optional_number("nth")?.unwrap_or_default(),
    }))
}

/// Adds to a row what its version is compared by.
fn add_version(row: &mut Row, entry: &NewEntry, nth: u32) {
    let Some(sighting) = &entry.sighting else { return };
    if sighting.of != entry.key.thing_and_version().1 {
        row.insert("version_of".to_owned(), text(sighting.of.as_str()));
    }
    row.extend(sighting.with.map(|with| ("version_with".to_owned(), bytes(&with.to_bytes()))));
    row.extend(sighting.at.map(|at| ("told_at".to_owned(), milliseconds(at))));
    row.extend(sighting.push.map(|push| ("told_in".to_owned(), bytes(&push.to_be_bytes()))));
    if nth > 0 {
        row.insert("nth".to_owned(), number(nth));
    }
}

fn entry_row(entry: &NewEntry, nth: u32, received_at: Timestamp) -> Row {
    let place = place(&entry.page, &entry.key);
    let waiting = match entry.waiting {
        EntryState::Ready | EntryState::Claimed(_) => place.ready_name(),
        EntryState::Incomplete => incomplete_name(&entry.page),
    };
    let mut row = place.row();
    row.insert("account".to_owned(), text(entry.account.as_str()));
    row.insert("owner".to_owned(), text(entry.owner.as_str()));
    row.insert("received_at".to_owned(), milliseconds(received_at));
    row.insert("since".to_owned(), milliseconds(received_at));
    row.insert("waiting".to_owned(), text(waiting));
    row.extend(entry.expires_at(received_at).map(|at| ("expires_at".to_owned(), seconds(at))));
    if entry.hop > Hop::default() {
        row.insert("hop".to_owned(), number(entry.hop.count()));
    }
    if entry.says {
        row.insert("says".to_owned(), AttributeValue::Bool(true));
    }
    if let EntryState::Claimed(claim) = &entry.waiting {
        row.insert("claim".to_owned(), text(claim.id.as_str()));
        row.insert("claimed_until".to_owned(), milliseconds(claim.until));
    }
    add_version(&mut row, entry, nth);
    name_event(&mut row, &entry.event);
    row
}

/// An event stands in its row, or the row says where its parts are.
fn name_event(row: &mut Row, event: &PackedEvent) {
    if event.bytes().len() <= MAX_PART_BYTES {
        row.insert("event".to_owned(), bytes(event.bytes()));
    } else {
        let parts = Parts::of(event);
        row.insert("parts".to_owned(), number(parts.count));
        row.insert("parts_of".to_owned(), text(parts.digest));
    }
}

/// Cuts rows into calls.
fn calls(rows: &[Row]) -> Vec<&[Row]> {
    let event_bytes = |row: &Row| match row.get("event") {
        Some(AttributeValue::B(event)) => event.as_ref().len(),
        _ => 0,
    };
    let mut calls = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, row) in rows.iter().enumerate() {
        let more = event_bytes(row);
        if index > start && (index - start == STATEMENTS || bytes + more > CALL_BYTES) {
            calls.push(&rows[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += more;
    }
    if start < rows.len() {
        calls.push(&rows[start..]);
    }
    calls
}

/// How an insertion ended; None where it is to be tried again.
fn inserted(response: &BatchStatementResponse) -> Result<Option<Stored>, AdapterError> {
    use BatchStatementErrorCodeEnum::{
        DuplicateItem, InternalServerError, ProvisionedThroughputExceeded, RequestLimitExceeded,
        ThrottlingError, TransactionConflict,
    };
    let Some(error) = response.error() else { return Ok(Some(Stored::New)) };
    match error.code() {
        Some(DuplicateItem) => Ok(Some(Stored::Known)),
        Some(
            InternalServerError
            | ProvisionedThroughputExceeded
            | RequestLimitExceeded
            | ThrottlingError
            | TransactionConflict,
        ) => Ok(None),
        _ => Err(AdapterError::Refused {
            operation: "storing an entry",
            // The message may quote a value; the code does not.
            source: error.code().map_or("unknown", BatchStatementErrorCodeEnum::as_str).into(),
        }),
    }
}

fn ready_name(shard: u8) -> String {
    format!("ready#{shard:02}")
}

fn incomplete_name(page: &PageId) -> String {
    format!("{INCOMPLETE_NAME}{page}")
}

/// The shard of a hexadecimal digest.
fn shard_of(digest: &str, shards: u8) -> u8 {
    let last_two = digest.len().checked_sub(2).and_then(|start| digest.get(start..));
    last_two.and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap_or_default() % shards
}

#[cfg(test)]
mod tests {
    use carteiro_networks::inbox::Version;

    use super::*;

    #[test]
    fn shards_of_pages_and_of_the_index_fill_evenly() {
        let page = PageId::from_bits(1);
        let (mut pages, mut ready) = (BTreeMap::new(), BTreeMap::new());
        for number in 0..8000_u32 {
            let key = EntryKey::new(&number.to_string(), &Version::of_content(Some(&number.to_string()), []));
            let place = place(&page, &key);
            assert_eq!(place.page(), Some(page.clone()));
            *pages.entry(place.pk.clone()).or_insert(0) += 1;
            *ready.entry(place.ready_name()).or_insert(0) += 1;
        }
        assert_eq!((pages.len(), ready.len()), (usize::from(SHARDS), usize::from(READY_SHARDS)));
        assert!(pages.values().all(|count| (800..1200).contains(count)), "{pages:?}");
        assert!(ready.values().all(|count| (350..650).contains(count)), "{ready:?}");
    }

    #[test]
    fn versions_of_one_thing_stand_together() {
        let page = PageId::from_bits(1);
        let key = |text: &str| EntryKey::new("comment:1", &Version::of_content(Some(text), []));
        assert_eq!(place(&page, &key("a")).pk, place(&page, &key("b")).pk);
    }

    #[test]
    fn a_call_has_at_most_25_rows_and_a_mebibyte() {
        let row = |bytes_of_event: usize| Row::from([("event".to_owned(), bytes(&vec![0; bytes_of_event]))]);
        let rows: Vec<Row> = (0..60).map(|_| row(10)).chain((0..7).map(|_| row(MAX_PART_BYTES))).collect();
        let calls = calls(&rows);
        assert_eq!(calls.iter().map(|call| call.len()).sum::<usize>(), rows.len());
        let lengths: Vec<usize> = calls.iter().map(|call| call.len()).collect();
        assert_eq!(lengths, [25, 25, 12, 2, 2, 1]);
    }
}
