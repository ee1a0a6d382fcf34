//! One queue's messages: which of them can be received, which are delayed, which are in flight, and until when.
//!
//! Pure: time is an argument, nothing is read or written, and bodies are not here, only some hundred bytes a message.
//!
//! Invariant: every message of the queue is in exactly one of the three states, and in the index of that state
//! (`visible` of its group, or `hidden` by the time at which it becomes visible), and in `by_age`. So nothing here
//! scans messages: every operation costs the logarithm of the queue's length for each message that it touches, and a
//! receive a look at each group.
//!
//! Order: what can be received is handed out by the time since which it can be, then by the order of sending. So
//! messages come in the order of sending as long as none comes back, and one that comes back again and again does
//! not keep the others waiting.
//!
//! Fair queues: messages of *noisy* groups come after all others. A group is noisy with 30 messages or more in flight
//! that are more than a tenth of all that are; or with more than a tenth of the time that messages spent in flight. It
//! is quiet again when nothing of it can be received or is in flight. These are the rules that "Amazon SQS fair queues"
//! documents, as exact numbers and without delay; the real service watches a sample, and says neither when nor how much
//! it changes the order. As there, a message without a group is never of a noisy one, and nothing is ever held back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// Whose it is, for fair queues.
    pub(crate) group: Option<Arc<str>>,
}

/// How many messages of a group must be in flight before their number makes it noisy.
const NOISY_IN_FLIGHT: usize = 30;

/// A group is noisy with more than one part in ten.
const NOISY_PART: u64 = 10;

/// What of a group can be received, and what it took of the queue.
#[derive(Debug, Default)]
struct Group {
    /// (since, sequence number)
    visible: BTreeSet<(u64, u64)>,
    flight: Flight,
}

/// Messages in flight, and how long they and those before them were.
#[derive(Clone, Copy, Debug, Default)]
struct Flight {
    messages: usize,
    /// The sum of the times at which those in flight were received.
    received_ms: u128,
    /// How long those were in flight that are not any more.
    over_ms: u128,
}

impl Flight {
    fn begin(&mut self, received: u64) {
        self.messages += 1;
        self.received_ms += u128::from(received);
    }

    fn end(&mut self, received: u64, now_ms: u64) {
        self.messages = self.messages.saturating_sub(1);
        self.received_ms = self.received_ms.saturating_sub(u128::from(received));
        self.over_ms += u128::from(now_ms.saturating_sub(received));
    }

    /// How long messages were in flight until now, added up.
    fn took_ms(&self, now_ms: u64) -> u128 {
        let under_way = (self.messages as u128 * u128::from(now_ms)).saturating_sub(self.received_ms);
        self.over_ms + under_way
    }

    /// Whether this is so much of `all` that others come first.
    fn is_noisy(&self, all: &Self, now_ms: u64) -> bool {
        let part = u128::from(NOISY_PART);
        let many = self.messages >= NOISY_IN_FLIGHT && self.messages as u128 * part > all.messages as u128;
        many || self.took_ms(now_ms) * part > all.took_ms(now_ms)
    }
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
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created_ms: u64,
    pub(crate) modified_ms: u64,
    pub(crate) purged_ms: Option<u64>,
    messages: HashMap<u64, Tracked>,
    /// Those that have a message that can be received or is in flight.
    groups: BTreeMap<Option<Arc<str>>, Group>,
    /// All of them together.
    flight: Flight,
    visible: usize,
    /// (until, sequence number), delayed and in flight
    hidden: BTreeSet<(u64, u64)>,
    /// (sent, sequence number)
    by_age: BTreeSet<(u64, u64)>,
    /// The latest time that an operation told.
    now_ms: u64,
    stirred: bool,
}

impl Queue {
    pub(crate) fn new(name: String, attributes: QueueAttributes, now_ms: u64) -> Self {
        Self {
            name,
            attributes,
            tags: BTreeMap::new(),
            created_ms: now_ms,
            modified_ms: now_ms,
            purged_ms: None,
            messages: HashMap::new(),
            groups: BTreeMap::new(),
            flight: Flight::default(),
            visible: 0,
            hidden: BTreeSet::new(),
            by_age: BTreeSet::new(),
            now_ms,
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
        self.now_ms = self.now_ms.max(now_ms);
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
        self.index(seq, message.state, &message.group);
        self.messages.insert(seq, message);
    }

    pub(crate) fn remove(&mut self, seq: u64) -> Option<Tracked> {
        let message = self.messages.remove(&seq)?;
        self.by_age.remove(&(message.sent_ms, seq));
        self.unindex(seq, message.state, &message.group);
        self.forget_idle(&message.group);
        Some(message)
    }

    pub(crate) fn set_state(&mut self, seq: u64, state: State) {
        let Some(message) = self.messages.get_mut(&seq) else { return };
        let before = std::mem::replace(&mut message.state, state);
        let group = message.group.clone();
        if let (State::InFlight { until: old, received }, State::InFlight { until, received: still }) =
            (before, state)
            && received == still
        {
            // It stays in flight, and its time goes on.
            self.hidden.remove(&(old, seq));
            self.hide(seq, until);
            return;
        }
        self.unindex(seq, before, &group);
        self.index(seq, state, &group);
        self.forget_idle(&group);
    }

    fn index(&mut self, seq: u64, state: State, group: &Option<Arc<str>>) {
        match state {
            State::Visible { since } => {
                self.groups.entry(group.clone()).or_default().visible.insert((since, seq));
                self.visible += 1;
                self.stirred = true;
            }
            State::Delayed { until } => self.hide(seq, until),
            State::InFlight { until, received } => {
                self.groups.entry(group.clone()).or_default().flight.begin(received);
                self.flight.begin(received);
                self.hide(seq, until);
            }
        }
    }

    fn hide(&mut self, seq: u64, until: u64) {
        self.hidden.insert((until, seq));
        self.stirred |= self.hidden.first() == Some(&(until, seq));
    }

    fn unindex(&mut self, seq: u64, state: State, group: &Option<Arc<str>>) {
        match state {
            State::Visible { since } => {
                if let Some(group) = self.groups.get_mut(group) {
                    group.visible.remove(&(since, seq));
                }
                self.visible -= 1;
            }
            State::Delayed { until } => _ = self.hidden.remove(&(until, seq)),
            State::InFlight { until, received } => {
                self.stirred |= self.flight.messages >= MAX_IN_FLIGHT;
                if let Some(group) = self.groups.get_mut(group) {
                    group.flight.end(received, self.now_ms);
                }
                self.flight.end(received, self.now_ms);
                self.hidden.remove(&(until, seq));
            }
        }
    }

    /// Forgets a group of which nothing can be received or is in flight, and what it took.
    fn forget_idle(&mut self, group: &Option<Arc<str>>) {
        let Some(idle) =
            self.groups.get(group).filter(|one| one.visible.is_empty() && one.flight.messages == 0)
        else {
            return;
        };
        self.flight.over_ms = self.flight.over_ms.saturating_sub(idle.flight.over_ms);
        self.groups.remove(group);
    }

    /// The message to be received next: of groups that are not noisy first. This costs a look at each group.
    pub(crate) fn next_visible(&self, now_ms: u64) -> Option<(u64, &Tracked)> {
        let first_of = |(name, group): (&Option<Arc<str>>, &Group)| {
            let (since, seq) = *group.visible.first()?;
            let noisy = name.is_some() && group.flight.is_noisy(&self.flight, now_ms);
            Some((noisy, since, seq))
        };
        let (_, _, seq) = self.groups.iter().filter_map(first_of).min()?;
        self.messages.get(&seq).map(|message| (seq, message))
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
        self.groups.clear();
        self.flight = Flight::default();
        self.visible = 0;
        self.hidden.clear();
        self.by_age.clear();
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            visible: self.visible,
            in_flight: self.flight.messages,
            delayed: self.hidden.len() - self.flight.messages,
        }
    }

    /// When the oldest message was sent.
    pub(crate) fn oldest_ms(&self) -> Option<u64> {
        self.by_age.first().map(|(sent_ms, _)| *sent_ms)
    }

    /// When the next message becomes visible by itself.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.hidden.first().map(|(until, _)| *until)
    }

    /// The module's invariant.
    #[cfg(test)]
    pub(crate) fn assert_consistent(&self) {
        let (mut visible, mut in_flight) = (0, HashMap::new());
        for (seq, message) in &self.messages {
            let is_visible = |since| {
                self.groups.get(&message.group).is_some_and(|one| one.visible.contains(&(since, *seq)))
            };
            let (here, there) = match message.state {
                State::Visible { since } => {
                    visible += 1;
                    (is_visible(since), self.hidden.contains(&(since, *seq)))
                }
                State::Delayed { until } => (self.hidden.contains(&(until, *seq)), is_visible(until)),
                State::InFlight { until, received } => {
                    let of_group = in_flight.entry(&message.group).or_insert((0, 0));
                    *of_group = (of_group.0 + 1, of_group.1 + u128::from(received));
                    (self.hidden.contains(&(until, *seq)), is_visible(until))
                }
            };
            assert!(here && !there && self.by_age.contains(&(message.sent_ms, *seq)));
        }
        for (name, group) in &self.groups {
            let (messages, received_ms) = in_flight.get(name).copied().unwrap_or_default();
            assert_eq!((group.flight.messages, group.flight.received_ms), (messages, received_ms));
            assert!(messages > 0 || !group.visible.is_empty(), "an idle group is forgotten");
        }
        let sum = |of: fn(&Flight) -> u128| self.groups.values().map(|group| of(&group.flight)).sum::<u128>();
        assert_eq!(sum(|flight| flight.messages as u128), self.flight.messages as u128);
        assert_eq!(sum(|flight| flight.received_ms), self.flight.received_ms);
        assert_eq!(sum(|flight| flight.over_ms), self.flight.over_ms);
        assert_eq!(self.groups.values().map(|group| group.visible.len()).sum::<usize>(), visible);
        assert_eq!(self.visible, visible);
        assert_eq!(self.visible + self.hidden.len(), self.messages.len());
        assert_eq!(self.by_age.len(), self.messages.len());
    }
}
