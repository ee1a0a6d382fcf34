//! The queues in SQLite: one file, or memory.
//!
//! A file is in WAL mode with `synchronous=NORMAL`: what a committed transaction wrote survives the end of the
//! process, however sudden; a power failure may lose the last transactions, but not damage the file. It is opened
//! with an exclusive lock, so that two processes cannot hand out the same message.
//!
//! A message is two rows: a small one that every receive rewrites, and its payload, written once. Queue ids and
//! sequence numbers carry the number of the opening in their upper bits, so that none is used twice in a store even
//! where rows were deleted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::attributes::QueueAttributes;
use crate::broker::{Change, MessageRow, QueueRow};
use crate::message::{Contents, DamagedAttributes, Payload};

const SCHEMA_VERSION: i64 = 1;
/// Sequence numbers of one opening: 2^40; openings of one store: 2^23.
const SEQ_BITS: u32 = 40;
const MAX_OPENINGS: i64 = 1 << (63 - SEQ_BITS);
/// How long an opening waits for another process, or this one's last handle, to let go of the file.
const LOCK_WAIT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS service (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        key BLOB NOT NULL,
        openings INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS queues (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        attributes TEXT NOT NULL,
        tags TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        modified_ms INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS messages (
        seq INTEGER PRIMARY KEY,
        queue INTEGER NOT NULL,
        sent_ms INTEGER NOT NULL,
        available_ms INTEGER NOT NULL,
        receive_count INTEGER NOT NULL,
        receives_before INTEGER NOT NULL,
        first_receive_ms INTEGER,
        dead_letter_source TEXT
    );
    CREATE TABLE IF NOT EXISTS payloads (
        seq INTEGER PRIMARY KEY,
        body TEXT NOT NULL,
        body_md5 TEXT NOT NULL,
        attributes BLOB NOT NULL,
        trace_header TEXT,
        group_id TEXT
    );
";

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite said so.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The file was written by a later version.
    #[error("the store has version {0}, and this program knows versions up to {SCHEMA_VERSION}")]
    Version(i64),
    /// A stored value cannot be read.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The store was opened as often as it can be.
    #[error("the store was opened too often; delete it to begin a new one")]
    Openings,
    /// A number does not fit; there are no such times or counts.
    #[error("a number does not fit the store")]
    Number(#[from] std::num::TryFromIntError),
}

impl From<DamagedAttributes> for StoreError {
    fn from(damaged: DamagedAttributes) -> Self {
        Self::Damaged(damaged.to_string())
    }
}

/// Where queues are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory, until the last handle is gone.
    Memory,
    /// In this file (and one beside it, with the suffix `-wal`). Its directory must exist.
    File(std::path::PathBuf),
}

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    db: Connection,
    in_transaction: bool,
}

/// What was in the store.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) key: [u8; 32],
    pub(crate) next_seq: u64,
    pub(crate) queues: Vec<QueueRow>,
    pub(crate) messages: Vec<MessageRow>,
}

impl Store {
    /// Opens it; `fresh_key` becomes the key of a store that is new.
    pub(crate) fn open(storage: &Storage, fresh_key: [u8; 32]) -> Result<Opened, StoreError> {
        let db = match storage {
            Storage::Memory => Connection::open_in_memory()?,
            Storage::File(path) => open_file(path)?,
        };
        db.set_prepared_statement_cache_capacity(32);
        let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version > SCHEMA_VERSION {
            return Err(StoreError::Version(version));
        }
        db.execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION};"))?;
        let (key, openings) = begin_opening(&db, fresh_key)?;
        db.execute_batch("COMMIT")?;
        let queues = load_queues(&db)?;
        let messages = load_messages(&db)?;
        let next_seq = (u64::try_from(openings)? << SEQ_BITS) + 1;
        Ok(Opened { store: Self { db, in_transaction: false }, key, next_seq, queues, messages })
    }

    /// Applies a change in the current transaction, or begins one.
    pub(crate) fn apply(&mut self, change: &Change) -> Result<(), StoreError> {
        if !self.in_transaction {
            self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            self.in_transaction = true;
        }
        match change {
            Change::QueueSet(row) => self.set_queue(row)?,
            Change::QueueDeleted { queue } => {
                self.empty_queue(*queue)?;
                self.run("DELETE FROM queues WHERE id = ?1", params![number(*queue)?])?;
            }
            Change::QueuePurged { queue } => self.empty_queue(*queue)?,
            Change::Sent { row, payload } => self.insert(row, payload)?,
            Change::Received { seq, receive_count, first_receive_ms } => self.run(
                "UPDATE messages SET receive_count = ?2, first_receive_ms = ?3 WHERE seq = ?1",
                params![number(*seq)?, receive_count, number(*first_receive_ms)?],
            )?,
            Change::Moved { seq, queue, receives_before, source } => self.run(
                "UPDATE messages SET queue = ?2, receives_before = ?3, dead_letter_source = ?4 WHERE seq = ?1",
                params![number(*seq)?, number(*queue)?, receives_before, source],
            )?,
            Change::Deleted { seq } => {
                let seq = number(*seq)?;
                self.run("DELETE FROM messages WHERE seq = ?1", params![seq])?;
                self.run("DELETE FROM payloads WHERE seq = ?1", params![seq])?;
            }
        }
        Ok(())
    }

    /// Makes all changes since the last commit durable.
    pub(crate) fn commit(&mut self) -> Result<(), StoreError> {
        if self.in_transaction {
            self.db.prepare_cached("COMMIT")?.execute([])?;
            self.in_transaction = false;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn has_uncommitted(&self) -> bool {
        self.in_transaction
    }

    /// A message's payload; changes of the current transaction are seen.
    pub(crate) fn payload(&self, seq: u64) -> Result<Payload, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT body, body_md5, attributes, trace_header, group_id FROM payloads WHERE seq = ?1",
        )?;
        let read = |row: &Row<'_>| {
            Ok(Payload {
                body: row.get(0)?,
                body_md5: row.get(1)?,
                attributes: row.get(2)?,
                trace_header: row.get(3)?,
                group_id: row.get(4)?,
            })
        };
        let payload = statement.query_row(params![number(seq)?], read).optional()?;
        payload.ok_or_else(|| StoreError::Damaged(format!("message {seq} has no payload")))
    }

    /// What is in the queues, whatever its state, oldest first, and at most so much.
    pub(crate) fn contents(&self, most: usize) -> Result<Vec<Contents>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT queues.name, payloads.body, payloads.attributes FROM messages
             JOIN payloads ON payloads.seq = messages.seq JOIN queues ON queues.id = messages.queue
             ORDER BY messages.seq LIMIT ?1",
        )?;
        let read =
            |row: &Row<'_>| Ok(Contents { queue: row.get(0)?, body: row.get(1)?, attributes: row.get(2)? });
        let rows = statement.query_map(params![i64::try_from(most)?], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn run(&self, sql: &str, values: impl rusqlite::Params) -> Result<(), StoreError> {
        self.db.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    fn set_queue(&self, row: &QueueRow) -> Result<(), StoreError> {
        let damaged = |error: serde_json::Error| StoreError::Damaged(error.to_string());
        self.run(
            "INSERT INTO queues (id, name, attributes, tags, created_ms, modified_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET attributes = ?3, tags = ?4, modified_ms = ?6",
            params![
                number(row.id)?,
                row.name,
                serde_json::to_string(&row.attributes).map_err(damaged)?,
                serde_json::to_string(&row.tags).map_err(damaged)?,
                number(row.created_ms)?,
                number(row.modified_ms)?,
            ],
        )
    }

    fn empty_queue(&self, queue: u64) -> Result<(), StoreError> {
        // Purges and deletions are rare: a scan of the small rows costs less than an index on every send.
        let queue = number(queue)?;
        self.run(
            "DELETE FROM payloads WHERE seq IN (SELECT seq FROM messages WHERE queue = ?1)",
            params![queue],
        )?;
        self.run("DELETE FROM messages WHERE queue = ?1", params![queue])
    }

    fn insert(&self, row: &MessageRow, payload: &Payload) -> Result<(), StoreError> {
        let seq = number(row.seq)?;
        self.run(
            "INSERT INTO messages (seq, queue, sent_ms, available_ms, receive_count, receives_before)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                seq,
                number(row.queue)?,
                number(row.sent_ms)?,
                number(row.available_ms)?,
                row.receive_count,
                row.receives_before,
            ],
        )?;
        self.run(
            "INSERT INTO payloads (seq, body, body_md5, attributes, trace_header, group_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                seq,
                payload.body,
                payload.body_md5,
                payload.attributes,
                payload.trace_header,
                payload.group_id
            ],
        )
    }
}

fn open_file(path: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open(path)?;
    db.busy_timeout(LOCK_WAIT)?;
    // The order matters: with the lock held before WAL begins, SQLite needs no shared memory file.
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.pragma_update(None, "journal_size_limit", 67_108_864)?;
    Ok(db)
}

fn begin_opening(db: &Connection, fresh_key: [u8; 32]) -> Result<([u8; 32], i64), StoreError> {
    let mut statement = db.prepare(
        "INSERT INTO service (one, key, openings) VALUES (1, ?1, 0)
         ON CONFLICT (one) DO UPDATE SET openings = openings + 1
         RETURNING key, openings",
    )?;
    let (key, openings): (Vec<u8>, i64) =
        statement.query_row(params![fresh_key], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if openings >= MAX_OPENINGS {
        return Err(StoreError::Openings);
    }
    let key = key.try_into().map_err(|_| StoreError::Damaged("its key has a wrong length".to_owned()))?;
    Ok((key, openings))
}

fn load_queues(db: &Connection) -> Result<Vec<QueueRow>, StoreError> {
    let mut statement =
        db.prepare("SELECT id, name, attributes, tags, created_ms, modified_ms FROM queues")?;
    let mut rows = statement.query([])?;
    let mut queues = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        let damaged = |error: serde_json::Error| StoreError::Damaged(format!("queue {name}: {error}"));
        let attributes: QueueAttributes =
            serde_json::from_str(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)
                .map_err(damaged)?;
        let tags: BTreeMap<String, String> =
            serde_json::from_str(row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?)
                .map_err(damaged)?;
        queues.push(QueueRow {
            id: natural(row, 0)?,
            attributes,
            tags,
            created_ms: natural(row, 4)?,
            modified_ms: natural(row, 5)?,
            name,
        });
    }
    Ok(queues)
}

fn load_messages(db: &Connection) -> Result<Vec<MessageRow>, StoreError> {
    let mut statement = db.prepare(
        "SELECT messages.seq, queue, sent_ms, available_ms, receive_count, receives_before, first_receive_ms,
                dead_letter_source, group_id FROM messages LEFT JOIN payloads ON payloads.seq = messages.seq",
    )?;
    let mut rows = statement.query([])?;
    let mut messages = Vec::new();
    let mut last_source: Option<Arc<str>> = None;
    while let Some(row) = rows.next()? {
        // The messages of one dead-letter queue share the text.
        let source: Option<String> = row.get(7)?;
        let source = source.map(|text| match &last_source {
            Some(last) if **last == *text => Arc::clone(last),
            _ => Arc::<str>::from(text),
        });
        last_source = source.clone().or(last_source);
        let first: Option<i64> = row.get(6)?;
        messages.push(MessageRow {
            seq: natural(row, 0)?,
            queue: natural(row, 1)?,
            sent_ms: natural(row, 2)?,
            available_ms: natural(row, 3)?,
            receive_count: row.get(4)?,
            receives_before: row.get(5)?,
            first_receive_ms: first.map(u64::try_from).transpose()?,
            dead_letter_source: source,
            group: row.get::<_, Option<String>>(8)?.map(Arc::from),
        });
    }
    Ok(messages)
}

/// SQLite's integers are signed.
fn number(value: u64) -> Result<i64, StoreError> {
    Ok(i64::try_from(value)?)
}

fn natural(row: &Row<'_>, column: usize) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.get::<_, i64>(column)?)?)
}
