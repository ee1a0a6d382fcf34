//! One queue's messages: which of them can be received, which are delayed, which are in flight, and until when.
//!
//! Pure: time is an argument, nothing is read or written, and bodies are not here, only some hundred bytes a message.
//!
//! Invariant: every message of the queue is in exactly one of the three states, and in the index of that state
//! (`visible`, or `hidden` by the time at which it becomes visible), and in `by_age`. So nothing here scans: every
//! operation costs the logarithm of the queue's length for each message that it touches.
//!
//! Order: what can be received is handed out by the time since which it can be, then by the order of sending. So
//! messages come in the order of sending as long as none comes back, and one that comes back again and again does
//! not keep the others waiting.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::attributes::QueueAttributes;

/// How many messages of one queue may be in flight ("Amazon SQS standard queue quotas").
pub const MAX_IN_FLIGHT: usize = 120_000;

/// Where a message is. Times are milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It can be received, since then.
    Visible { since: u64 },
    /// It was sent with a delay and cannot be received yet.
    Delayed { until: u64 },
    /// It was received and is invisible.
    InFlight { until: u64, received: u64 },
}

/// What is known of a message while it is in a queue, but for its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tracked {
    /// When it was first sent: its age counts from here in a dead-letter queue too.
    pub(crate) sent_ms: u64,
    pub(crate) state: State,
    /// In all queues that it has been in.
    pub(crate) receive_count: u32,
    /// In those before this one, so that this queue's own limit counts its own receives.
    pub(crate) receives_before: u32,
    pub(crate) first_receive_ms: Option<u64>,
    /// The ARN of the queue that it came from, in a dead-letter queue.
    pub(crate) dead_letter_source: Option<Arc<str>>,
}

/// How many messages there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// `ApproximateNumberOfMessages` (exact here).
    pub visible: usize,
    /// `ApproximateNumberOfMessagesNotVisible`.
    pub in_flight: usize,
    /// `ApproximateNumberOfMessagesDelayed`.
    pub delayed: usize,
}

/// A queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) attributes: QueueAttributes,
    pub(crate) tags: std::collections::BTreeMap<String, String>,
    pub(crate) created_ms: u64,
    pub(crate) modified_ms: u64,
    pub(crate) purged_ms: Option<u64>,
    messages: HashMap<u64, Tracked>,
    /// (since, sequence number)
    visible: BTreeSet<(u64, u64)>,
    /// (until, sequence number), delayed and in flight
    hidden: BTreeSet<(u64, u64)>,
    /// (sent, sequence number)
    by_age: BTreeSet<(u64, u64)>,
    in_flight: usize,
    stirred: bool,
}

impl Queue {
    pub(crate) fn new(name: String, attributes: QueueAttributes, now_ms: u64) -> Self {
        Self {
            name,
            attributes,
            tags: std::collections::BTreeMap::new(),
            created_ms: now_ms,
            modified_ms: now_ms,
            purged_ms: None,
            messages: HashMap::new(),
            visible: BTreeSet::new(),
            hidden: BTreeSet::new(),
            by_age: BTreeSet::new(),
            in_flight: 0,
            stirred: false,
        }
    }

    /// Whether, since the last call, something happened that a waiting receiver must know of: a message can be
    /// received, or the next one is due earlier than it was, or there is room in flight again.
    pub(crate) fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    /// Makes visible what is due, and takes out what has passed the retention period; the latter's sequence numbers.
    pub(crate) fn settle(&mut self, now_ms: u64) -> Vec<u64> {
        let retention_ms = u64::from(self.attributes.retention_seconds) * 1000;
        let mut expired = Vec::new();
        while let Some((sent_ms, seq)) = self.by_age.first().copied() {
            if sent_ms.saturating_add(retention_ms) > now_ms {
                break;
            }
            self.remove(seq);
            expired.push(seq);
        }
        while let Some((until, seq)) = self.hidden.first().copied() {
            if until > now_ms {
                break;
            }
            self.set_state(seq, State::Visible { since: until });
        }
        expired
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Tracked> {
        self.messages.get(&seq)
    }

    pub(crate) fn insert(&mut self, seq: u64, message: Tracked) {
        self.by_age.insert((message.sent_ms, seq));
        self.index(seq, message.state);
        self.messages.insert(seq, message);
    }

    pub(crate) fn remove(&mut self, seq: u64) -> Option<Tracked> {
        let message = self.messages.remove(&seq)?;
        self.by_age.remove(&(message.sent_ms, seq));
        self.unindex(seq, message.state);
        Some(message)
    }

    pub(crate) fn set_state(&mut self, seq: u64, state: State) {
        let Some(message) = self.messages.get_mut(&seq) else { return };
        let before = std::mem::replace(&mut message.state, state);
        self.unindex(seq, before);
        self.index(seq, state);
    }

    fn index(&mut self, seq: u64, state: State) {
        let until = match state {
            State::Visible { since } => {
                self.visible.insert((since, seq));
                self.stirred = true;
                return;
            }
            State::Delayed { until } => until,
            State::InFlight { until, .. } => {
                self.in_flight += 1;
                until
            }
        };
        self.hidden.insert((until, seq));
        self.stirred |= self.hidden.first() == Some(&(until, seq));
    }

    fn unindex(&mut self, seq: u64, state: State) {
        match state {
            State::Visible { since } => self.visible.remove(&(since, seq)),
            State::Delayed { until } => self.hidden.remove(&(until, seq)),
            State::InFlight { until, .. } => {
                self.stirred |= self.in_flight >= MAX_IN_FLIGHT;
                self.in_flight -= 1;
                self.hidden.remove(&(until, seq))
            }
        };
    }

    /// The message to be received next.
    pub(crate) fn next_visible(&self) -> Option<(u64, &Tracked)> {
        let (_, seq) = self.visible.first()?;
        self.messages.get(seq).map(|message| (*seq, message))
    }

    /// Counts a receive; the count after it and the time of the first one. The message is in flight from here on,
    /// without end until [`Queue::set_state`] sets one: so that it is not received twice in one call.
    pub(crate) fn receive(&mut self, seq: u64, now_ms: u64) -> Option<Tracked> {
        self.set_state(seq, State::InFlight { until: u64::MAX, received: now_ms });
        let message = self.messages.get_mut(&seq)?;
        message.receive_count = message.receive_count.saturating_add(1);
        message.first_receive_ms.get_or_insert(now_ms);
        Some(message.clone())
    }

    /// Takes all out.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.visible.clear();
        self.hidden.clear();
        self.by_age.clear();
        self.in_flight = 0;
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            visible: self.visible.len(),
            in_flight: self.in_flight,
            delayed: self.hidden.len() - self.in_flight,
        }
    }

    /// When the next message becomes visible by itself.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.hidden.first().map(|(until, _)| *until)
    }

    /// The module's invariant.
    #[cfg(test)]
    pub(crate) fn assert_consistent(&self) {
        let mut in_flight = 0;
        for (seq, message) in &self.messages {
            let (here, there) = match message.state {
                State::Visible { since } => {
                    (self.visible.contains(&(since, *seq)), self.hidden.contains(&(since, *seq)))
                }
                State::Delayed { until } => {
                    (self.hidden.contains(&(until, *seq)), self.visible.contains(&(until, *seq)))
                }
                State::InFlight { until, .. } => {
                    in_flight += 1;
                    (self.hidden.contains(&(until, *seq)), self.visible.contains(&(until, *seq)))
                }
            };
            assert!(here && !there && self.by_age.contains(&(message.sent_ms, *seq)));
        }
        assert_eq!(in_flight, self.in_flight);
        assert_eq!(self.visible.len() + self.hidden.len(), self.messages.len());
        assert_eq!(self.by_age.len(), self.messages.len());
    }
}
