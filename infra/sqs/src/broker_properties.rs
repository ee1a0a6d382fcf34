//! Any sequence of operations leaves every message in exactly one place.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use crate::broker::{Broker, Change, Effects, MessageRow};
use crate::error::SqsError;
use crate::message::{ReceiveRequest, SendMessage};
use crate::queue::{Queue, State};
use crate::receipt::Names;

const QUEUES: [&str; 2] = ["work", "dead"];
const RETENTION_SECONDS: u64 = 600;
const MAX_RECEIVES: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Send { delay: i32, group: Option<u8> },
    Receive { queue: usize, max: i32, visibility: i32 },
    Delete { queue: usize, handle: prop::sample::Index },
    ChangeVisibility { queue: usize, handle: prop::sample::Index, seconds: i32 },
    Pass { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let handle = any::<prop::sample::Index>;
    prop_oneof![
        3 => (prop_oneof![Just(0), 1..=120], prop::option::of(0..3_u8))
            .prop_map(|(delay, group)| Step::Send { delay, group }),
        4 => (0..2_usize, 1..=10, prop_oneof![Just(0), 1..=60])
            .prop_map(|(queue, max, visibility)| Step::Receive { queue, max, visibility }),
        2 => (0..2_usize, handle()).prop_map(|(queue, handle)| Step::Delete { queue, handle }),
        1 => (0..2_usize, handle(), prop_oneof![Just(0), 1..=60])
            .prop_map(|(queue, handle, seconds)| Step::ChangeVisibility { queue, handle, seconds }),
        2 => (0..90_u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// The broker, what a store would hold, and what became of every message.
struct World {
    broker: Broker,
    now: u64,
    stored: HashMap<u64, MessageRow>,
    sent: HashSet<u64>,
    gone: HashSet<u64>,
    handles: Vec<String>,
    queue_ids: HashMap<u64, &'static str>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            broker: Broker::new("r".to_owned(), Names::new([3; 32]), 1),
            now: 1_000_000,
            stored: HashMap::new(),
            sent: HashSet::new(),
            gone: HashSet::new(),
            handles: vec![],
            queue_ids: HashMap::new(),
        };
        let retention = ("MessageRetentionPeriod".to_owned(), RETENTION_SECONDS.to_string());
        let redrive = format!(
            r#"{{"deadLetterTargetArn":"arn:aws:sqs:r:000000000000:dead","maxReceiveCount":{MAX_RECEIVES}}}"#
        );
        world.create("dead", &BTreeMap::from([retention.clone()]));
        world.create("work", &BTreeMap::from([retention, ("RedrivePolicy".to_owned(), redrive)]));
        world
    }

    fn create(&mut self, name: &'static str, attributes: &BTreeMap<String, String>) {
        let mut effects = Effects::default();
        self.broker.create_queue(self.now, name, attributes, BTreeMap::new(), &mut effects).unwrap();
        for change in effects.changes {
            if let Change::QueueSet(row) = change {
                self.queue_ids.insert(row.id, name);
            }
        }
    }

    fn keep(&mut self, effects: Effects) {
        for change in effects.changes {
            match change {
                Change::Sent { row, .. } => {
                    assert!(self.sent.insert(row.seq), "a sequence number is given once");
                    self.stored.insert(row.seq, row);
                }
                Change::Received { seq, receive_count, first_receive_ms } => {
                    let row = self.stored.get_mut(&seq).expect("only what is there is received");
                    assert_eq!(receive_count, row.receive_count + 1);
                    row.receive_count = receive_count;
                    row.first_receive_ms = Some(first_receive_ms);
                }
                Change::Moved { seq, queue, receives_before, source } => {
                    let row = self.stored.get_mut(&seq).expect("only what is there is moved");
                    assert_eq!(row.receive_count, MAX_RECEIVES, "moved when it would be received once more");
                    row.queue = queue;
                    row.receives_before = receives_before;
                    row.dead_letter_source = Some(source);
                }
                Change::Deleted { seq } => {
                    assert!(self.stored.remove(&seq).is_some(), "only what is there is deleted");
                    assert!(self.gone.insert(seq));
                }
                Change::QueueSet(_) | Change::QueueDeleted { .. } | Change::QueuePurged { .. } => {
                    unreachable!()
                }
            }
        }
    }

    fn handle(&self, index: &prop::sample::Index) -> Option<String> {
        (!self.handles.is_empty()).then(|| index.get(&self.handles).clone())
    }

    fn run(&mut self, step: &Step) {
        let mut effects = Effects::default();
        let now = self.now;
        match *step {
            Step::Send { delay, group } => {
                let group_id = group.map(|group| group.to_string());
                let message = SendMessage { delay_seconds: Some(delay), group_id, ..SendMessage::new("x") };
                self.broker.send(now, "work", vec![message.prepare().unwrap()], &mut effects).unwrap();
            }
            Step::Receive { queue, max, visibility } => {
                let request = ReceiveRequest {
                    max_messages: Some(max),
                    visibility_timeout: Some(visibility),
                    wait_seconds: None,
                };
                let look = self.broker.receive(now, QUEUES[queue], request, &mut effects).unwrap();
                let distinct: HashSet<u64> = look.taken.iter().map(|taken| taken.seq).collect();
                assert_eq!(distinct.len(), look.taken.len(), "no message twice in one answer");
                for taken in look.taken {
                    assert!(!self.handles.contains(&taken.receipt_handle), "a handle is new at each receive");
                    self.handles.push(taken.receipt_handle);
                }
            }
            Step::Delete { queue, ref handle } => {
                if let Some(handle) = self.handle(handle) {
                    let result = self.broker.delete(now, QUEUES[queue], &handle, &mut effects);
                    assert!(matches!(result, Ok(()) | Err(SqsError::ReceiptHandleIsInvalid(_))));
                }
            }
            Step::ChangeVisibility { queue, ref handle, seconds } => {
                if let Some(handle) = self.handle(handle) {
                    // Refused or not, the invariant holds.
                    let _ = self.broker.change_visibility(now, QUEUES[queue], &handle, seconds, &mut effects);
                }
            }
            Step::Pass { seconds } => self.now += seconds * 1000,
        }
        self.keep(effects);
        self.check();
    }

    /// The store and the broker agree, and each message is in one place.
    fn check(&self) {
        assert_eq!(self.sent.len(), self.stored.len() + self.gone.len());
        assert!(self.gone.iter().all(|seq| self.sent.contains(seq) && !self.stored.contains_key(seq)));
        let mut places = 0;
        for name in QUEUES {
            let queue = self.broker.queue(name).unwrap();
            let counts = queue.counts();
            places += counts.visible + counts.in_flight + counts.delayed;
            queue.assert_consistent();
        }
        assert_eq!(places, self.stored.len());
        for (seq, row) in &self.stored {
            let queue = self.broker.queue(self.queue_ids[&row.queue]).unwrap();
            let message = queue.get(*seq).expect("where the store says");
            assert_eq!(message.receive_count, row.receive_count);
            assert_eq!(message.receives_before, row.receives_before);
            assert_eq!(message.sent_ms, row.sent_ms);
            assert_eq!(message.dead_letter_source, row.dead_letter_source);
        }
    }

    /// After a last look at both queues, nothing is there that is too old, and nothing waits past its time.
    fn check_settled(&mut self) {
        for name in QUEUES {
            let mut effects = Effects::default();
            self.broker.describe(self.now, name, &mut effects).unwrap();
            self.keep(effects);
        }
        self.check();
        for (seq, row) in &self.stored {
            assert!(row.sent_ms + RETENTION_SECONDS * 1000 > self.now, "age counts from the first send");
            let queue: &Queue = self.broker.queue(self.queue_ids[&row.queue]).unwrap();
            match queue.get(*seq).unwrap().state {
                State::Visible { since } => assert!(since <= self.now),
                State::Delayed { until } | State::InFlight { until, .. } => assert!(until > self.now),
            }
        }
    }
}

proptest! {
    // A failing case prints its seed and is kept beside this file.
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_in_exactly_one_place(steps in prop::collection::vec(step(), 1..200)) {
        let mut world = World::new();
        for step in steps {
            world.run(&step);
        }
        world.check_settled();
    }
}
