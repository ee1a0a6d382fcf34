//! All queues as one pure state machine: operations in, answers and changes out.
//!
//! Time is an argument; nothing is read or written here. Every operation appends to [`Effects`] what a store has to
//! keep, in order, so that a store which applied all changes restores the same queues (what was in flight becomes
//! visible: no consumer of it can be alive).
//!
//! Guaranteed: a message is in one queue, in one state, until it is deleted, purged, expired or its queue deleted.
//! Expiry is found when a queue is next used or opened, so a queue that nobody uses keeps its old messages on disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::attributes::{
    MAX_VISIBILITY_SECONDS, QueueAttributes, RedriveAllowPolicy, name_in_arn, queue_arn,
};
use crate::error::SqsError;
use crate::message::{Payload, Prepared, ReceiveRequest, SentMessage, check_size, seconds_within};
use crate::queue::{Counts, MAX_IN_FLIGHT, Queue, State, Tracked};
use crate::receipt::{Names, Receipt};

/// How long after its deletion a queue's name is taken, and how long after a purge the next is refused.
const COOL_DOWN_MS: u64 = 60_000;
const MAX_QUEUE_NAME: usize = 80;
const MAX_TAGS: usize = 50;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;
const MAX_WAIT_SECONDS: u32 = 20;

/// What a store has to keep.
#[derive(Debug)]
pub(crate) enum Change {
    /// A queue is new, or its attributes or tags are.
    QueueSet(QueueRow),
    /// A queue is gone, with its messages.
    QueueDeleted { queue: u64 },
    /// A queue's messages are gone.
    QueuePurged { queue: u64 },
    /// A message is new.
    Sent { row: MessageRow, payload: Payload },
    /// A message was received.
    Received { seq: u64, receive_count: u32, first_receive_ms: u64 },
    /// A message is in its dead-letter queue.
    Moved { seq: u64, queue: u64, receives_before: u32, source: Arc<str> },
    /// A message is gone.
    Deleted { seq: u64 },
}

/// A queue, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueRow {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) attributes: QueueAttributes,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created_ms: u64,
    pub(crate) modified_ms: u64,
}

/// A message, as stored, without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MessageRow {
    pub(crate) seq: u64,
    pub(crate) queue: u64,
    pub(crate) sent_ms: u64,
    /// When it can first be received: `sent_ms` and its delay.
    pub(crate) available_ms: u64,
    pub(crate) receive_count: u32,
    pub(crate) receives_before: u32,
    pub(crate) first_receive_ms: Option<u64>,
    pub(crate) dead_letter_source: Option<Arc<str>>,
    /// `MessageGroupId`: whose message it is.
    pub(crate) group: Option<Arc<str>>,
}

/// What an operation changed.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// For the store, in this order.
    pub(crate) changes: Vec<Change>,
    /// Queues whose waiting receivers must look again.
    pub(crate) wake: Vec<u64>,
}

/// A message handed out, without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) seq: u64,
    pub(crate) message_id: String,
    pub(crate) receipt_handle: String,
    pub(crate) sent_ms: u64,
    pub(crate) receive_count: u32,
    pub(crate) first_receive_ms: u64,
    pub(crate) dead_letter_source: Option<Arc<str>>,
}

/// What one look at a queue gave.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) queue: u64,
    pub(crate) taken: Vec<Taken>,
    /// Nothing was handed out because the queue has too much in flight.
    pub(crate) full: bool,
    /// For how long the caller wants to wait, by its own word or the queue's.
    pub(crate) wait_ms: u64,
    /// When the next message becomes visible by itself.
    pub(crate) next_due: Option<u64>,
}

/// What there is to know about a queue. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueDescription {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its attributes.
    pub attributes: QueueAttributes,
    /// How many messages it has.
    pub counts: Counts,
    /// When its oldest message was sent, in whatever state that is.
    pub oldest_ms: Option<u64>,
    /// When it was made.
    pub created_ms: u64,
    /// When its attributes were last set.
    pub modified_ms: u64,
}

/// Names of queues, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueuePage {
    /// The names.
    pub names: Vec<String>,
    /// Where the next page begins (after this name), if there is one.
    pub next: Option<String>,
}

/// All queues.
#[derive(Debug)]
pub(crate) struct Broker {
    region: String,
    names: Names,
    queues: HashMap<u64, Queue>,
    by_name: BTreeMap<String, u64>,
    deleted: HashMap<String, u64>,
    /// For the next queue or message; never given twice in a store.
    next_seq: u64,
    now_ms: u64,
}

impl Broker {
    pub(crate) fn new(region: String, names: Names, next_seq: u64) -> Self {
        Self {
            region,
            names,
            queues: HashMap::new(),
            by_name: BTreeMap::new(),
            deleted: HashMap::new(),
            next_seq,
            now_ms: 0,
        }
    }

    pub(crate) fn restore_queue(&mut self, row: QueueRow) {
        self.by_name.insert(row.name.clone(), row.id);
        let mut queue = Queue::new(row.name, row.attributes, row.created_ms);
        queue.tags = row.tags;
        queue.modified_ms = row.modified_ms;
        self.queues.insert(row.id, queue);
    }

    pub(crate) fn restore_message(&mut self, row: MessageRow, now_ms: u64) {
        let Some(queue) = self.queues.get_mut(&row.queue) else { return };
        let state = if row.available_ms > now_ms {
            State::Delayed { until: row.available_ms }
        } else {
            State::Visible { since: row.available_ms }
        };
        queue.insert(
            row.seq,
            Tracked {
                sent_ms: row.sent_ms,
                state,
                receive_count: row.receive_count,
                receives_before: row.receives_before,
                first_receive_ms: row.first_receive_ms,
                dead_letter_source: row.dead_letter_source,
                group: row.group,
            },
        );
    }

    /// Drops what has expired in any queue; for after a restore.
    pub(crate) fn settle_all(&mut self, now_ms: u64, effects: &mut Effects) {
        for queue in self.queues.values_mut() {
            effects.changes.extend(queue.settle(now_ms).into_iter().map(|seq| Change::Deleted { seq }));
        }
    }

    pub(crate) fn has(&self, queue: u64) -> bool {
        self.queues.contains_key(&queue)
    }

    /// Time, as it goes: never back, whatever the clock says.
    fn tick(&mut self, now_ms: u64) -> u64 {
        self.now_ms = self.now_ms.max(now_ms);
        self.now_ms
    }

    fn seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq = self.next_seq.saturating_add(1);
        seq
    }

    fn find(&self, name: &str) -> Result<u64, SqsError> {
        self.by_name.get(name).copied().ok_or(SqsError::QueueDoesNotExist)
    }

    /// The queue of that name, as it is now.
    fn enter(
        &mut self,
        now_ms: u64,
        name: &str,
        effects: &mut Effects,
    ) -> Result<(u64, &mut Queue), SqsError> {
        let id = self.find(name)?;
        let queue = self.queues.get_mut(&id).ok_or(SqsError::QueueDoesNotExist)?;
        effects.changes.extend(queue.settle(now_ms).into_iter().map(|seq| Change::Deleted { seq }));
        Ok((id, queue))
    }

    fn note_stirred(&mut self, id: u64, effects: &mut Effects) {
        if self.queues.get_mut(&id).is_some_and(Queue::take_stirred) {
            effects.wake.push(id);
        }
    }

    fn row(&self, id: u64) -> Option<QueueRow> {
        let queue = self.queues.get(&id)?;
        Some(QueueRow {
            id,
            name: queue.name.clone(),
            attributes: queue.attributes.clone(),
            tags: queue.tags.clone(),
            created_ms: queue.created_ms,
            modified_ms: queue.modified_ms,
        })
    }

    // --- queues ---

    pub(crate) fn create_queue(
        &mut self,
        now_ms: u64,
        name: &str,
        attributes: &BTreeMap<String, String>,
        tags: BTreeMap<String, String>,
        effects: &mut Effects,
    ) -> Result<(), SqsError> {
        let now_ms = self.tick(now_ms);
        check_queue_name(name)?;
        let wanted = QueueAttributes::default().with(attributes)?;
        check_tags(&tags)?;
        if let Ok(id) = self.find(name) {
            let existing = self.queues.get(&id).map(|queue| &queue.attributes);
            let difference = existing.and_then(|e| e.first_difference(&wanted, attributes.keys()));
            return difference.map_or(Ok(()), |name| Err(SqsError::QueueNameExists(name.clone())));
        }
        self.deleted.retain(|_, deleted_ms| deleted_ms.saturating_add(COOL_DOWN_MS) > now_ms);
        if self.deleted.contains_key(name) {
            return Err(SqsError::QueueDeletedRecently);
        }
        self.check_redrive(name, &wanted)?;
        let id = self.seq();
        let mut queue = Queue::new(name.to_owned(), wanted, now_ms);
        queue.tags = tags;
        self.queues.insert(id, queue);
        self.by_name.insert(name.to_owned(), id);
        effects.changes.extend(self.row(id).map(Change::QueueSet));
        Ok(())
    }

    /// The dead-letter queue must be here, be another one, and allow this source.
    fn check_redrive(&self, source: &str, attributes: &QueueAttributes) -> Result<(), SqsError> {
        let Some(redrive) = &attributes.redrive_policy else { return Ok(()) };
        let refuse = |reason| {
            let arn = &redrive.dead_letter_target_arn;
            Err(SqsError::invalid_parameter(arn, "RedrivePolicy", reason))
        };
        let target = self.dead_letter_queue(attributes).and_then(|id| self.queues.get(&id));
        let Some(target) = target else { return refuse("Dead letter target does not exist.") };
        if target.name == source {
            return refuse("A queue cannot be its own dead letter target.");
        }
        let source_arn = queue_arn(&self.region, source);
        match &target.attributes.redrive_allow_policy {
            None | Some(RedriveAllowPolicy::AllowAll) => Ok(()),
            Some(RedriveAllowPolicy::ByQueue { source_queue_arns })
                if source_queue_arns.contains(&source_arn) =>
            {
                Ok(())
            }
            Some(_) => {
                refuse("The dead letter target's RedriveAllowPolicy does not allow this source queue.")
            }
        }
    }

    fn dead_letter_queue(&self, attributes: &QueueAttributes) -> Option<u64> {
        let redrive = attributes.redrive_policy.as_ref()?;
        self.by_name.get(name_in_arn(&self.region, &redrive.dead_letter_target_arn)?).copied()
    }

    pub(crate) fn delete_queue(
        &mut self,
        now_ms: u64,
        name: &str,
        effects: &mut Effects,
    ) -> Result<(), SqsError> {
        let now_ms = self.tick(now_ms);
        let id = self.find(name)?;
        self.by_name.remove(name);
        self.queues.remove(&id);
        self.deleted.insert(name.to_owned(), now_ms);
        effects.changes.push(Change::QueueDeleted { queue: id });
        effects.wake.push(id);
        Ok(())
    }

    pub(crate) fn describe(
        &mut self,
        now_ms: u64,
        name: &str,
        effects: &mut Effects,
    ) -> Result<QueueDescription, SqsError> {
        let now_ms = self.tick(now_ms);
        let arn = queue_arn(&self.region, name);
        let (id, queue) = self.enter(now_ms, name, effects)?;
        let description = QueueDescription {
            name: queue.name.clone(),
            arn,
            attributes: queue.attributes.clone(),
            counts: queue.counts(),
            oldest_ms: queue.oldest_ms(),
            created_ms: queue.created_ms,
            modified_ms: queue.modified_ms,
        };
        self.note_stirred(id, effects);
        Ok(description)
    }

    pub(crate) fn set_attributes(
        &mut self,
        now_ms: u64,
        name: &str,
        changes: &BTreeMap<String, String>,
        effects: &mut Effects,
    ) -> Result<(), SqsError> {
        let now_ms = self.tick(now_ms);
        let (id, queue) = self.enter(now_ms, name, effects)?;
        let wanted = queue.attributes.with(changes)?;
        self.check_redrive(name, &wanted)?;
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.attributes = wanted;
            queue.modified_ms = now_ms;
        }
        effects.changes.extend(self.row(id).map(Change::QueueSet));
        self.note_stirred(id, effects);
        Ok(())
    }

    pub(crate) fn purge(&mut self, now_ms: u64, name: &str, effects: &mut Effects) -> Result<(), SqsError> {
        let now_ms = self.tick(now_ms);
        let (id, queue) = self.enter(now_ms, name, effects)?;
        if queue.purged_ms.is_some_and(|at| at.saturating_add(COOL_DOWN_MS) > now_ms) {
            return Err(SqsError::PurgeQueueInProgress(name.to_owned()));
        }
        queue.purged_ms = Some(now_ms);
        queue.clear();
        effects.changes.push(Change::QueuePurged { queue: id });
        Ok(())
    }

    /// Up to `limit` names that start with `prefix`, from the one after `after`.
    pub(crate) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> QueuePage {
        page(self.by_name.keys().filter(|name| name.starts_with(prefix)), after, limit)
    }

    pub(crate) fn dead_letter_sources(
        &self,
        name: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<QueuePage, SqsError> {
        let target = self.find(name)?;
        let is_source = |id: &u64| {
            self.queues.get(id).is_some_and(|queue| self.dead_letter_queue(&queue.attributes) == Some(target))
        };
        let sources = self.by_name.iter().filter(|(_, id)| is_source(id)).map(|(name, _)| name);
        Ok(page(sources, after, limit))
    }

    pub(crate) fn tags(&self, name: &str) -> Result<BTreeMap<String, String>, SqsError> {
        let queue = self.queues.get(&self.find(name)?).ok_or(SqsError::QueueDoesNotExist)?;
        Ok(queue.tags.clone())
    }

    /// Sets tags and takes tags away.
    pub(crate) fn change_tags(
        &mut self,
        name: &str,
        set: BTreeMap<String, String>,
        remove: &[String],
        effects: &mut Effects,
    ) -> Result<(), SqsError> {
        let id = self.find(name)?;
        let queue = self.queues.get_mut(&id).ok_or(SqsError::QueueDoesNotExist)?;
        let mut tags = queue.tags.clone();
        tags.extend(set);
        tags.retain(|key, _| !remove.contains(key));
        check_tags(&tags)?;
        queue.tags = tags;
        effects.changes.extend(self.row(id).map(Change::QueueSet));
        Ok(())
    }

    // --- messages ---

    /// One result a message; a refused one does not keep the others back.
    pub(crate) fn send(
        &mut self,
        now_ms: u64,
        name: &str,
        messages: Vec<Prepared>,
        effects: &mut Effects,
    ) -> Result<Vec<Result<SentMessage, SqsError>>, SqsError> {
        let now_ms = self.tick(now_ms);
        let (id, queue) = self.enter(now_ms, name, effects)?;
        let limit = usize::try_from(queue.attributes.maximum_message_size).unwrap_or(usize::MAX);
        let default_delay = queue.attributes.delay_seconds;
        let mut results = Vec::with_capacity(messages.len());
        for message in messages {
            results.push(check_size(message.size, limit).map(|()| {
                let delay = message.delay_seconds.unwrap_or(default_delay);
                self.accept(now_ms, id, delay, message, effects)
            }));
        }
        self.note_stirred(id, effects);
        Ok(results)
    }

    fn accept(
        &mut self,
        now_ms: u64,
        queue: u64,
        delay_seconds: u32,
        message: Prepared,
        effects: &mut Effects,
    ) -> SentMessage {
        let row = MessageRow {
            seq: self.seq(),
            queue,
            sent_ms: now_ms,
            available_ms: now_ms.saturating_add(u64::from(delay_seconds) * 1000),
            receive_count: 0,
            receives_before: 0,
            first_receive_ms: None,
            dead_letter_source: None,
            group: message.payload.group_id.as_deref().map(Arc::from),
        };
        let sent = SentMessage {
            message_id: self.names.message_id(row.seq),
            md5_of_body: message.payload.body_md5.clone(),
            md5_of_attributes: message.md5_of_attributes,
            md5_of_system_attributes: message.md5_of_system_attributes,
        };
        self.restore_message(row.clone(), now_ms);
        effects.changes.push(Change::Sent { row, payload: message.payload });
        sent
    }

    pub(crate) fn receive(
        &mut self,
        now_ms: u64,
        name: &str,
        request: ReceiveRequest,
        effects: &mut Effects,
    ) -> Result<Look, SqsError> {
        let now_ms = self.tick(now_ms);
        let wanted = Wanted::check(request)?;
        let (id, queue) = self.enter(now_ms, name, effects)?;
        let wait = wanted.wait_seconds.unwrap_or(queue.attributes.receive_wait_seconds);
        let visibility = wanted.visibility_seconds.unwrap_or(queue.attributes.visibility_timeout);
        let full = queue.counts().in_flight >= MAX_IN_FLIGHT;
        let taken = self.take(now_ms, id, wanted.max_messages, effects);
        let until = now_ms.saturating_add(u64::from(visibility) * 1000);
        let state = match visibility {
            0 => State::Visible { since: now_ms },
            _ => State::InFlight { until, received: now_ms },
        };
        let mut next_due = None;
        if let Some(queue) = self.queues.get_mut(&id) {
            for message in &taken {
                queue.set_state(message.seq, state);
            }
            next_due = queue.next_due();
        }
        self.note_stirred(id, effects);
        Ok(Look { queue: id, full, taken, wait_ms: u64::from(wait) * 1000, next_due })
    }

    /// Hands out up to `max` messages, and moves those on the way that were received too often.
    fn take(&mut self, now_ms: u64, id: u64, max: usize, effects: &mut Effects) -> Vec<Taken> {
        let Some(queue) = self.queues.get(&id) else { return Vec::new() };
        let limit = queue.attributes.redrive_policy.as_ref().map(|redrive| redrive.max_receive_count);
        let target = self.dead_letter_queue(&queue.attributes).filter(|target| *target != id);
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some(queue) = self.queues.get_mut(&id) else { break };
            if queue.counts().in_flight >= MAX_IN_FLIGHT {
                break;
            }
            let Some((seq, message)) = queue.next_visible(now_ms) else { break };
            let receives = message.receive_count.saturating_sub(message.receives_before);
            // Where the dead-letter queue was deleted, the message stays rather than getting lost.
            if let (Some(limit), Some(target)) = (limit, target)
                && receives >= limit
            {
                self.move_to_dead_letters(now_ms, seq, id, target, effects);
                continue;
            }
            let Some(message) = queue.receive(seq, now_ms) else { break };
            let receipt = Receipt { queue: id, seq, receive: message.receive_count };
            let first_receive_ms = message.first_receive_ms.unwrap_or(now_ms);
            effects.changes.push(Change::Received {
                seq,
                receive_count: message.receive_count,
                first_receive_ms,
            });
            taken.push(Taken {
                seq,
                message_id: self.names.message_id(seq),
                receipt_handle: self.names.handle(receipt),
                sent_ms: message.sent_ms,
                receive_count: message.receive_count,
                first_receive_ms,
                dead_letter_source: message.dead_letter_source,
            });
        }
        taken
    }

    fn move_to_dead_letters(&mut self, now_ms: u64, seq: u64, from: u64, to: u64, effects: &mut Effects) {
        let Some(source) = self.queues.get_mut(&from) else { return };
        let source_arn: Arc<str> = queue_arn(&self.region, &source.name).into();
        let Some(mut message) = source.remove(seq) else { return };
        message.state = State::Visible { since: now_ms };
        message.receives_before = message.receive_count;
        message.dead_letter_source = Some(Arc::clone(&source_arn));
        effects.changes.push(Change::Moved {
            seq,
            queue: to,
            receives_before: message.receives_before,
            source: source_arn,
        });
        if let Some(target) = self.queues.get_mut(&to) {
            target.insert(seq, message);
        }
        self.note_stirred(to, effects);
    }

    /// Deletes the message that the handle was given out for, whether in flight or visible again. The handle of an
    /// earlier receive than the last, or of a message that is gone, is taken and has no effect.
    pub(crate) fn delete(
        &mut self,
        now_ms: u64,
        name: &str,
        handle: &str,
        effects: &mut Effects,
    ) -> Result<(), SqsError> {
        let now_ms = self.tick(now_ms);
        let receipt = self.names.receipt(handle);
        let (id, queue) = self.enter(now_ms, name, effects)?;
        let receipt = receipt?;
        if receipt.queue != id {
            return Err(SqsError::ReceiptHandleIsInvalid(handle.to_owned()));
        }
        if queue.get(receipt.seq).is_some_and(|message| message.receive_count == receipt.receive) {
            queue.remove(receipt.seq);
            effects.changes.push(Change::Deleted { seq: receipt.seq });
        }
        self.note_stirred(id, effects);
        Ok(())
    }

    pub(crate) fn change_visibility(
        &mut self,
        now_ms: u64,
        name: &str,
        handle: &str,
        seconds: i32,
        effects: &mut Effects,
    ) -> Result<(), SqsError> {
        let now_ms = self.tick(now_ms);
        let receipt = self.names.receipt(handle);
        let (id, queue) = self.enter(now_ms, name, effects)?;
        let receipt = receipt?;
        if receipt.queue != id {
            return Err(SqsError::ReceiptHandleIsInvalid(handle.to_owned()));
        }
        let seconds = seconds_within(seconds, "VisibilityTimeout", MAX_VISIBILITY_SECONDS)?;
        let Some(message) = queue.get(receipt.seq).filter(|m| m.receive_count == receipt.receive) else {
            let reason = "Message does not exist or is not available for visibility timeout change.";
            return Err(SqsError::invalid_parameter(handle, "ReceiptHandle", reason));
        };
        let State::InFlight { received, .. } = message.state else {
            self.note_stirred(id, effects);
            return Err(SqsError::MessageNotInflight);
        };
        let until = now_ms.saturating_add(u64::from(seconds) * 1000);
        if until > received.saturating_add(u64::from(MAX_VISIBILITY_SECONDS) * 1000) {
            let reason = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]";
            return Err(SqsError::invalid_parameter(seconds, "VisibilityTimeout", reason));
        }
        let state = match seconds {
            0 => State::Visible { since: now_ms },
            _ => State::InFlight { until, received },
        };
        queue.set_state(receipt.seq, state);
        self.note_stirred(id, effects);
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.get(self.by_name.get(name)?)
    }
}

/// A receive's parameters, within their ranges.
struct Wanted {
    max_messages: usize,
    visibility_seconds: Option<u32>,
    wait_seconds: Option<u32>,
}

impl Wanted {
    fn check(request: ReceiveRequest) -> Result<Self, SqsError> {
        let max = request.max_messages.unwrap_or(1);
        let max_messages = usize::try_from(max).ok().filter(|n| (1..=10).contains(n)).ok_or_else(|| {
            SqsError::invalid_parameter(max, "MaxNumberOfMessages", "Must be between 1 and 10, if provided.")
        })?;
        let within = |value: Option<i32>, name, max| value.map(|v| seconds_within(v, name, max)).transpose();
        Ok(Self {
            max_messages,
            visibility_seconds: within(
                request.visibility_timeout,
                "VisibilityTimeout",
                MAX_VISIBILITY_SECONDS,
            )?,
            wait_seconds: within(request.wait_seconds, "WaitTimeSeconds", MAX_WAIT_SECONDS)?,
        })
    }
}

fn page<'a>(names: impl Iterator<Item = &'a String>, after: Option<&str>, limit: usize) -> QueuePage {
    let mut rest = names.filter(|name| after.is_none_or(|after| name.as_str() > after));
    let names: Vec<String> = rest.by_ref().take(limit).cloned().collect();
    let next = if rest.next().is_some() { names.last().cloned() } else { None };
    QueuePage { names, next }
}

fn check_queue_name(name: &str) -> Result<(), SqsError> {
    if name.is_empty() {
        return Err(SqsError::MissingParameter("QueueName".to_owned()));
    }
    if name.ends_with(".fifo") {
        let reason = "There are standard queues only here, and the name is a FIFO queue's.";
        return Err(SqsError::invalid_parameter(name, "QueueName", reason));
    }
    let form = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if form && name.len() <= MAX_QUEUE_NAME {
        return Ok(());
    }
    Err(SqsError::InvalidParameterValue(
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length".to_owned(),
    ))
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), SqsError> {
    let refuse = |what: String| Err(SqsError::InvalidParameterValue(what));
    if tags.len() > MAX_TAGS {
        return refuse(format!("Too many tags added for queue: at most {MAX_TAGS}."));
    }
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > MAX_TAG_KEY || key.starts_with("aws:") {
            return refuse(format!(
                "Tag key '{key}' is not valid: 1 to {MAX_TAG_KEY} characters, not beginning with 'aws:'."
            ));
        }
        if value.chars().count() > MAX_TAG_VALUE {
            return refuse(format!("Tag value of '{key}' is longer than {MAX_TAG_VALUE} characters."));
        }
    }
    Ok(())
}
