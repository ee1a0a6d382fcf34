//! The handle: typed operations for whoever lives in the same process.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use carteiro_clock::Clock;
use tokio::sync::watch;

use crate::attributes::queue_arn;
use crate::broker::{Broker, Effects, QueueDescription, QueuePage, Taken};
use crate::error::SqsError;
use crate::message::{
    Contents, MAX_MESSAGE_BYTES, MessageAttributes, Payload, ReceiveRequest, ReceivedMessage, SendMessage,
    SentMessage,
};
use crate::receipt::Names;
use crate::store::{Storage, Store, StoreError};
use crate::writer::Writer;

const MAX_BATCH_ENTRIES: usize = 10;
const MAX_ENTRY_ID: usize = 80;

/// Why the service could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened, read or written, or another process has it open.
    #[error("cannot open the queues' store: {0}")]
    Store(#[from] StoreError),
    /// The region is empty or has a character that no region's name has.
    #[error("{0:?} is no region's name")]
    Region(String),
    /// The machine gave no randomness for the key that receipt handles are made with.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The writer thread could not be started.
    #[error("cannot start the writer thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// An SQS. Clones are the same one; it lives until the last is gone or one is closed.
#[derive(Clone, Debug)]
pub struct Sqs {
    writer: Writer,
    clock: Clock,
    region: Arc<str>,
}

/// One entry of a batch, or what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEntry<T> {
    /// The caller's name for it: 1 to 80 of `A-Z a-z 0-9 _ -`, unique in the batch.
    pub id: String,
    /// What is asked, or answered.
    pub value: T,
}

/// The answer to a batch: one result an entry, in the order of the entries.
pub type BatchResults<T> = Vec<BatchEntry<Result<T, SqsError>>>;

/// What one look at a queue gave, to someone who may wait.
struct Looked {
    messages: Vec<(Taken, Payload)>,
    full: bool,
    wait_ms: u64,
    next_due: Option<u64>,
    door: watch::Receiver<()>,
}

impl Sqs {
    /// Opens the queues that are in `storage`, or none. What was in flight is visible; delays keep their time,
    /// messages their receive counts, and the newest receipt handle of each still deletes it.
    ///
    /// It reads every message's row, without payloads: some microseconds each.
    ///
    /// # Errors
    /// [`OpenError`]: among others where another process has the file open (after waiting 5 s for it).
    pub fn open(storage: &Storage, clock: Clock, region: &str) -> Result<Self, OpenError> {
        let form = !region.is_empty() && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !form {
            return Err(OpenError::Region(region.to_owned()));
        }
        let opened = Store::open(storage, fresh_key()?)?;
        let mut store = opened.store;
        let mut broker = Broker::new(region.to_owned(), Names::new(opened.key), opened.next_seq);
        for row in opened.queues {
            broker.restore_queue(row);
        }
        let now_ms = clock.now_ms();
        for row in opened.messages {
            broker.restore_message(row, now_ms);
        }
        let mut effects = Effects::default();
        broker.settle_all(now_ms, &mut effects);
        for change in &effects.changes {
            store.apply(change)?;
        }
        store.commit()?;
        let writer = Writer::start(broker, store, clock.clone()).map_err(OpenError::Thread)?;
        Ok(Self { writer, clock, region: region.into() })
    }

    /// Closes the store, for all clones: returns when what was asked before is done and the file is free.
    pub async fn close(&self) {
        let asked = self.writer.call(|desk| {
            desk.close();
            Ok(())
        });
        // An error says that it is closed already.
        let _ = asked.await;
        self.writer.closed().await;
    }

    /// The region of its ARNs.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The ARN of the queue of that name, whether or not there is one.
    #[must_use]
    pub fn queue_arn(&self, name: &str) -> String {
        queue_arn(&self.region, name)
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    async fn apply<R: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Broker, u64, &mut Effects) -> Result<R, SqsError> + Send + 'static,
    ) -> Result<R, SqsError> {
        self.writer.call(|desk| desk.apply(operation)).await?
    }

    // --- queues ---

    /// Makes a queue, or finds it where it is there with the same values of these attributes.
    ///
    /// # Errors
    /// [`SqsError::QueueNameExists`], [`SqsError::QueueDeletedRecently`], and those of wrong names, attributes and
    /// tags.
    pub async fn create_queue(
        &self,
        name: &str,
        attributes: BTreeMap<String, String>,
        tags: BTreeMap<String, String>,
    ) -> Result<(), SqsError> {
        let name = name.to_owned();
        self.apply(move |broker, now, effects| broker.create_queue(now, &name, &attributes, tags, effects))
            .await
    }

    /// Deletes a queue with its messages, at once.
    ///
    /// # Errors
    /// [`SqsError::QueueDoesNotExist`].
    pub async fn delete_queue(&self, name: &str) -> Result<(), SqsError> {
        let name = name.to_owned();
        self.apply(move |broker, now, effects| broker.delete_queue(now, &name, effects)).await
    }

    /// A queue's attributes and counts.
    ///
    /// # Errors
    /// [`SqsError::QueueDoesNotExist`].
    pub async fn describe_queue(&self, name: &str) -> Result<QueueDescription, SqsError> {
        let name = name.to_owned();
        self.apply(move |broker, now, effects| broker.describe(now, &name, effects)).await
    }

    /// Sets attributes, all or none. A shorter retention counts for the messages that are there, a new delay or
    /// visibility timeout for what is sent or received from now on.
    ///
    /// # Errors
    /// [`SqsError::QueueDoesNotExist`], and those of wrong attributes.
    pub async fn set_queue_attributes(
        &self,
        name: &str,
        attributes: BTreeMap<String, String>,
    ) -> Result<(), SqsError> {
        let name = name.to_owned();
        self.apply(move |broker, now, effects| broker.set_attributes(now, &name, &attributes, effects)).await
    }

    /// Deletes all messages, at once.
    ///
    /// # Errors
    /// [`SqsError::QueueDoesNotExist`]; [`SqsError::PurgeQueueInProgress`] within 60 s of the last purge.
    pub async fn purge_queue(&self, name: &str) -> Result<(), SqsError> {
        let name = name.to_owned();
        self.apply(move |broker, now, effects| broker.purge(now, &name, effects)).await
    }

    /// Up to `limit` queues whose names begin with `prefix`, by name, from the one after `after`.
    ///
    /// # Errors
    /// [`SqsError::Unavailable`] only.
    pub async fn list_queues(
        &self,
        prefix: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<QueuePage, SqsError> {
        let prefix = prefix.to_owned();
        self.apply(move |broker, _, _| Ok(broker.list(&prefix, after.as_deref(), limit))).await
    }

    /// Up to `limit` queues that have this one as their dead-letter queue, by name, from the one after `after`.
    ///
    /// # Errors
    /// [`SqsError::QueueDoesNotExist`].
    pub async fn dead_letter_sources(
        &self,
        name: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<QueuePage, SqsError> {
        let name = name.to_owned();
        self.apply(move |broker, _, _| broker.dead_letter_sources(&name, after.as_deref(), limit)).await
    }

    /// A queue's tags.
    ///
    /// # Errors
    /// [`SqsError::QueueDoesNotExist`].
    pub async fn queue_tags(&self, name: &str) -> Result<BTreeMap<String, String>, SqsError> {
        let name = name.to_owned();
        self.apply(move |broker, _, _| broker.tags(&name)).await
    }

    /// Sets some tags of a queue and takes others away; it may have 50.
    ///
    /// # Errors
    /// [`SqsError::QueueDoesNotExist`]; [`SqsError::InvalidParameterValue`] for too many or too long ones.
    pub async fn change_queue_tags(
        &self,
        name: &str,
        set: BTreeMap<String, String>,
        remove: Vec<String>,
    ) -> Result<(), SqsError> {
        let name = name.to_owned();
        self.apply(move |broker, _, effects| broker.change_tags(&name, set, &remove, effects)).await
    }

    // --- messages ---

    /// Sends a message. When this returns, it is durable.
    ///
    /// # Errors
    /// [`SqsError::QueueDoesNotExist`], and those of a message that the service does not take.
    pub async fn send(&self, queue: &str, message: SendMessage) -> Result<SentMessage, SqsError> {
        let prepared = message.prepare()?;
        let queue = queue.to_owned();
        let sent =
            self.apply(move |broker, now, effects| broker.send(now, &queue, vec![prepared], effects)).await?;
        sent.into_iter().next().unwrap_or_else(|| Err(SqsError::Unavailable("no result".to_owned())))
    }

    /// Sends up to ten messages, together at most 1 MiB; each has its own result.
    ///
    /// # Errors
    /// [`SqsError::QueueDoesNotExist`], and those of a batch as a whole: then nothing was sent.
    pub async fn send_batch(
        &self,
        queue: &str,
        entries: Vec<BatchEntry<SendMessage>>,
    ) -> Result<BatchResults<SentMessage>, SqsError> {
        let read = |entry: BatchEntry<SendMessage>| BatchEntry { id: entry.id, value: Ok(entry.value) };
        self.send_batch_read(queue, entries.into_iter().map(read).collect()).await
    }

    /// As [`Sqs::send_batch`], where some entries could not be read as messages.
    pub(crate) async fn send_batch_read(
        &self,
        queue: &str,
        entries: Vec<BatchEntry<Result<SendMessage, SqsError>>>,
    ) -> Result<BatchResults<SentMessage>, SqsError> {
        check_batch("SendMessageBatch", &entries)?;
        let total: usize = entries.iter().flat_map(|entry| &entry.value).map(SendMessage::size).sum();
        if total > MAX_MESSAGE_BYTES {
            return Err(SqsError::BatchRequestTooLong(total));
        }
        let mut results = Vec::with_capacity(entries.len());
        let mut prepared = Vec::with_capacity(entries.len());
        for entry in entries {
            // Where it was taken this far, the queue's result takes the place of this one.
            let refused =
                entry.value.and_then(SendMessage::prepare).map(|message| prepared.push(message)).err();
            results.push((entry.id, refused));
        }
        let queue = queue.to_owned();
        let sent =
            self.apply(move |broker, now, effects| broker.send(now, &queue, prepared, effects)).await?;
        let mut sent = sent.into_iter();
        let missing = || SqsError::Unavailable("no result".to_owned());
        let merge = |(id, refused): (String, Option<SqsError>)| BatchEntry {
            id,
            value: refused.map_or_else(|| sent.next().unwrap_or_else(|| Err(missing())), Err),
        };
        Ok(results.into_iter().map(merge).collect())
    }

    /// Receives messages: at once if there are any, else the first that come within the time to wait (platform
    /// time; moving the clock makes it pass). None is no error.
    ///
    /// A message that was received for a caller who went away before the answer stays in flight until its
    /// visibility timeout, as with the real service.
    ///
    /// # Errors
    /// [`SqsError::QueueDoesNotExist`], also where it is deleted meanwhile; [`SqsError::OverLimit`] without waiting,
    /// where 120,000 messages are in flight; [`SqsError::InvalidParameterValue`].
    pub async fn receive(
        &self,
        queue: &str,
        request: ReceiveRequest,
    ) -> Result<Vec<ReceivedMessage>, SqsError> {
        let mut deadline = None;
        loop {
            let mut looked = self.look(queue, request).await?;
            let now = self.clock.now_ms();
            let until = *deadline.get_or_insert_with(|| now.saturating_add(looked.wait_ms));
            if !looked.messages.is_empty() {
                return looked.messages.into_iter().map(received).collect();
            }
            if looked.full && looked.wait_ms == 0 {
                return Err(SqsError::OverLimit);
            }
            if until <= now {
                return Ok(Vec::new());
            }
            let next = looked.next_due.map_or(until, |due| due.min(until));
            tokio::select! {
                // An error says that the queue is gone; the next look finds it so.
                _ = looked.door.changed() => {}
                () = self.clock.sleep_until(next) => {}
            }
        }
    }

    async fn look(&self, queue: &str, request: ReceiveRequest) -> Result<Looked, SqsError> {
        let queue = queue.to_owned();
        let job = move |desk: &mut crate::writer::Desk| -> Result<Result<Looked, SqsError>, StoreError> {
            let look =
                match desk.apply(|broker, now, effects| broker.receive(now, &queue, request, effects))? {
                    Ok(look) => look,
                    Err(error) => return Ok(Err(error)),
                };
            let mut messages = Vec::with_capacity(look.taken.len());
            for taken in look.taken {
                let payload = desk.store.payload(taken.seq)?;
                messages.push((taken, payload));
            }
            let door = desk.door(look.queue);
            Ok(Ok(Looked { messages, full: look.full, wait_ms: look.wait_ms, next_due: look.next_due, door }))
        };
        self.writer.call(job).await?
    }

    /// The messages of all queues in any state, oldest first, at most `most`. It receives nothing.
    ///
    /// # Errors
    /// Where the store is closed.
    pub async fn contents(&self, most: usize) -> Result<Vec<Contents>, SqsError> {
        self.writer.call(move |desk| desk.store.contents(most)).await
    }

    /// Deletes a message by the handle of its last receive, in flight or visible again. A handle of an earlier
    /// receive, or of a message that is gone, is taken and has no effect, as `DeleteMessage` documents it.
    ///
    /// # Errors
    /// [`SqsError::QueueDoesNotExist`]; [`SqsError::ReceiptHandleIsInvalid`] for what is no handle of this queue.
    pub async fn delete(&self, queue: &str, receipt_handle: &str) -> Result<(), SqsError> {
        let (queue, handle) = (queue.to_owned(), receipt_handle.to_owned());
        self.apply(move |broker, now, effects| broker.delete(now, &queue, &handle, effects)).await
    }

    /// Deletes up to ten messages; the values are receipt handles.
    ///
    /// # Errors
    /// [`SqsError::QueueDoesNotExist`], and those of a batch as a whole.
    pub async fn delete_batch(
        &self,
        queue: &str,
        entries: Vec<BatchEntry<String>>,
    ) -> Result<BatchResults<()>, SqsError> {
        check_batch("DeleteMessageBatch", &entries)?;
        let queue = queue.to_owned();
        self.apply(move |broker, now, effects| {
            each(entries, |handle| broker.delete(now, &queue, &handle, effects))
        })
        .await
    }

    /// Lets a message in flight become visible `seconds` from now: 0 for at once, and at most 12 h after its receive.
    ///
    /// # Errors
    /// [`SqsError::MessageNotInflight`] where it is visible; [`SqsError::InvalidParameterValue`] where the message is
    /// gone, the handle is not of its last receive, or the time too long; [`SqsError::ReceiptHandleIsInvalid`];
    /// [`SqsError::QueueDoesNotExist`].
    pub async fn change_visibility(
        &self,
        queue: &str,
        receipt_handle: &str,
        seconds: i32,
    ) -> Result<(), SqsError> {
        let (queue, handle) = (queue.to_owned(), receipt_handle.to_owned());
        self.apply(move |broker, now, effects| {
            broker.change_visibility(now, &queue, &handle, seconds, effects)
        })
        .await
    }

    /// Changes the visibility of up to ten messages; the values are receipt handles and seconds.
    ///
    /// # Errors
    /// [`SqsError::QueueDoesNotExist`], and those of a batch as a whole.
    pub async fn change_visibility_batch(
        &self,
        queue: &str,
        entries: Vec<BatchEntry<(String, i32)>>,
    ) -> Result<BatchResults<()>, SqsError> {
        check_batch("ChangeMessageVisibilityBatch", &entries)?;
        let queue = queue.to_owned();
        self.apply(move |broker, now, effects| {
            each(entries, |(handle, seconds)| {
                broker.change_visibility(now, &queue, &handle, seconds, effects)
            })
        })
        .await
    }
}

/// One result an entry, unless the queue is not there.
fn each<T>(
    entries: Vec<BatchEntry<T>>,
    mut act: impl FnMut(T) -> Result<(), SqsError>,
) -> Result<BatchResults<()>, SqsError> {
    let one = |entry: BatchEntry<T>| match act(entry.value) {
        Err(SqsError::QueueDoesNotExist) => Err(SqsError::QueueDoesNotExist),
        value => Ok(BatchEntry { id: entry.id, value }),
    };
    entries.into_iter().map(one).collect()
}

fn received((taken, payload): (Taken, Payload)) -> Result<ReceivedMessage, SqsError> {
    let attributes = MessageAttributes::decode(&payload.attributes)
        .map_err(|damaged| SqsError::Unavailable(damaged.to_string()))?;
    Ok(ReceivedMessage {
        message_id: taken.message_id,
        receipt_handle: taken.receipt_handle,
        body: payload.body,
        md5_of_body: payload.body_md5,
        attributes,
        sent_ms: taken.sent_ms,
        receive_count: taken.receive_count,
        first_receive_ms: taken.first_receive_ms,
        group_id: payload.group_id,
        trace_header: payload.trace_header,
        dead_letter_source: taken.dead_letter_source.map(|arn| arn.as_ref().to_owned()),
    })
}

fn check_batch<T>(action: &'static str, entries: &[BatchEntry<T>]) -> Result<(), SqsError> {
    if entries.is_empty() {
        return Err(SqsError::EmptyBatchRequest(action));
    }
    if entries.len() > MAX_BATCH_ENTRIES {
        return Err(SqsError::TooManyEntriesInBatchRequest(entries.len()));
    }
    let mut seen = HashSet::new();
    for BatchEntry { id, .. } in entries {
        let form = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if id.is_empty() || id.len() > MAX_ENTRY_ID || !form {
            return Err(SqsError::InvalidBatchEntryId);
        }
        if !seen.insert(id) {
            return Err(SqsError::BatchEntryIdsNotDistinct(id.clone()));
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one draw of the local queues: the key that a new store's ids and handles are made with"
)]
fn fresh_key() -> Result<[u8; 32], getrandom::Error> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    Ok(key)
}
