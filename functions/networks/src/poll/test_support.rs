//! What the tests of runs share: a network in memory, and a driver that makes calls of what runs ask.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Collector, MAX_CHECKPOINT_BYTES, NetworkRequest, NetworkResponse, Scope, Stored, Verdict};
use crate::inbox::{EntryKey, Event, Reading};
use crate::network::NetworkId;
use crate::normalise;

/// A network's answer, owned.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: i64) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Calls with this as an answer.
    pub(crate) fn told<T>(&self, told: impl FnOnce(&NetworkResponse<'_>) -> T) -> T {
        let header = |name: &str| {
            let mut headers = self.headers.iter();
            headers.find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
        };
        told(&NetworkResponse { status: self.status, header: &header, body: &self.body })
    }
}

/// A value of an ask's query, whether it is in the path or beside it.
pub(crate) fn query(request: &NetworkRequest, name: &str) -> Option<String> {
    let beside = request.query.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
    let whole = format!("http://localhost{}", request.path);
    let url = url::Url::parse(&whole).unwrap();
    beside.or_else(|| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()))
}

/// What came of a driven run.
#[derive(Debug, Default)]
pub(crate) struct Driven {
    pub(crate) events: Vec<Event>,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) requests: Vec<NetworkRequest>,
    /// Whether the run had nothing more to ask.
    pub(crate) finished: bool,
}

impl Driven {
    /// The operations that were asked for.
    pub(crate) fn operations(&self) -> Vec<&'static str> {
        self.requests.iter().map(|request| request.operation).collect()
    }
}

/// Makes the calls of a collection, up to a number. Where `torn`, the last answer's events are not noted as stored.
pub(crate) fn drive(
    run: &mut dyn Collector,
    now: Timestamp,
    calls: usize,
    torn: bool,
    mut network: impl FnMut(&NetworkRequest) -> Reply,
) -> Driven {
    let mut driven = Driven::default();
    for call in 1..=calls {
        let Some(request) = run.next() else {
            driven.finished = true;
            break;
        };
        let heard = network(&request).told(|answer| run.on_response(answer, now));
        driven.requests.push(request);
        driven.verdicts.push(heard.verdict);
        if torn && call == calls {
            break;
        }
        let stored = Stored { new: heard.events.len(), known: 0 };
        driven.events.extend(heard.events);
        run.on_stored(stored);
    }
    driven.finished |= run.next().is_none();
    driven
}

/// The time at which tests of collections begin, in milliseconds: 2026-11-22T12:00:00Z.
pub(crate) const START_MS: i64 = 1_795_348_800_000;

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

/// The collection of a page that was connected a day before [`START_MS`].
pub(crate) fn scope(owner: &str, now: i64) -> Scope {
    let owner = owner.parse().unwrap();
    Scope { owner, token_version: 1, from: at(START_MS - 24 * 3_600_000), now: at(now) }
}

/// A network in memory, for tests of its collection.
pub(crate) trait InMemory {
    type Checkpoint: Default + DeserializeOwned;

    /// Adds some things, the first at a time in milliseconds.
    fn add(&mut self, count: usize, ms: i64);

    fn answer(&self, request: &NetworkRequest) -> Reply;

    fn begin(&self, now: i64, checkpoint: Self::Checkpoint) -> Box<dyn Collector>;

    /// A tick in which nothing goes wrong, to its end.
    fn tick(&self, checkpoint: Self::Checkpoint, now: i64) -> (Driven, Self::Checkpoint) {
        let mut run = self.begin(now, checkpoint);
        let driven = drive(&mut *run, at(now), 2000, false, |request| self.answer(request));
        assert!(driven.finished);
        (driven, kept(&*run))
    }

    /// Ticks of a quarter of an hour, whatever happens in them; what they found, and when the next begins.
    fn ticks(&mut self, ticks: Vec<Tick>) -> (Vec<Event>, Self::Checkpoint, i64) {
        let (mut checkpoint, mut events, mut now) = (Self::Checkpoint::default(), Vec::new(), START_MS);
        for (new, calls, torn, wrong) in ticks {
            self.add(new, now - 300_000);
            let mut run = self.begin(now, checkpoint);
            let mut call = 0;
            let driven = drive(&mut *run, at(now), calls, torn, |request| {
                call += 1;
                let wrong = wrong.filter(|(nth, _)| *nth == call);
                wrong.map_or_else(|| self.answer(request), |(_, how)| how.reply())
            });
            events.extend(driven.events);
            checkpoint = kept(&*run);
            now += 901_000;
        }
        (events, checkpoint, now)
    }

    /// A run whose first answers are the network's, and the others whatever is given; what is kept of it.
    fn run_over(&self, first: usize, bodies: &[(Vec<u8>, u16)]) -> Self::Checkpoint {
        let mut run = self.begin(START_MS, Self::Checkpoint::default());
        let mut nth = 0;
        drop(drive(&mut *run, at(START_MS), bodies.len(), false, |request| {
            nth += 1;
            if nth <= first {
                return self.answer(request);
            }
            let (body, status) = bodies[nth - 1].clone();
            Reply { status, headers: Vec::new(), body }
        }));
        kept(&*run)
    }
}

/// What is kept of a run, as another process reads it.
pub(crate) fn kept<C: DeserializeOwned>(run: &dyn Collector) -> C {
    let text = run.checkpoint();
    assert!(text.len() <= MAX_CHECKPOINT_BYTES, "{} bytes", text.len());
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn readings(events: &[Event], owner: &NetworkId) -> Vec<Reading> {
    events.iter().map(|event| normalise::read(event, owner)).collect()
}

pub(crate) fn keys(events: &[Event], owner: &NetworkId) -> BTreeSet<EntryKey> {
    readings(events, owner).iter().map(|reading| EntryKey::new(&reading.thing, &reading.version)).collect()
}

pub(crate) fn things(events: &[Event], owner: &NetworkId) -> BTreeSet<String> {
    readings(events, owner).into_iter().map(|reading| reading.thing).collect()
}

/// Any JSON, and things that are none.
pub(crate) fn any_body() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;
    let names = "data|meta|items|elements|errors|error|id|snippet|next_token|includes|users|reviews|comments|paging|message";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z0-9:(),]{0,8}".prop_map(Value::from),
    ];
    let json = leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names, inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    prop_oneof![
        8 => json.prop_map(|json| json.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

/// The real samples of a folder whose names begin so; none where the tests were given none.
pub(crate) fn samples(folder: &str, begins: &str) -> Vec<(String, Vec<u8>)> {
    #[expect(clippy::disallowed_methods, reason = "a test's samples are where its caller says")]
    let Ok(root) = std::env::var("CARTEIRO_SAMPLES") else { return Vec::new() };
    let files = std::fs::read_dir(std::path::Path::new(&root).join(folder)).unwrap();
    let named = files.map(|file| {
        let file = file.unwrap();
        (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())
    });
    let mut found: Vec<_> = named.filter(|(name, _)| name.starts_with(begins)).collect();
    found.sort();
    found
}

/// A tick of a test: what is new before it, how many calls it may make, whether it is cut before what was answered last
/// is stored, and which of its calls goes wrong how.
pub(crate) type Tick = (usize, usize, bool, Option<(usize, Fault)>);

/// How a call goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Fails,
    Limited,
    Unreadable,
    TokenDied,
    Refused,
    Vanished,
}

impl Fault {
    pub(crate) fn reply(self) -> Reply {
        let status = match self {
            Self::Fails => 503,
            Self::Limited => 429,
            Self::Unreadable => 200,
            Self::TokenDied => 401,
            Self::Refused => 400,
            Self::Vanished => 404,
        };
        let mut reply = Reply::json(status, &Value::Object(serde_json::Map::new()));
        if matches!(self, Self::Unreadable) {
            reply.body = b"<html>".to_vec();
        }
        reply
    }
}

/// Some ticks.
pub(crate) fn ticks() -> impl proptest::strategy::Strategy<Value = Vec<Tick>> {
    use proptest::prelude::*;
    let fault = prop_oneof![
        Just(Fault::Fails),
        Just(Fault::Limited),
        Just(Fault::Unreadable),
        Just(Fault::TokenDied),
        Just(Fault::Refused),
        Just(Fault::Vanished),
    ];
    let wrong = prop::option::of((1_usize..8, fault));
    prop::collection::vec((0_usize..12, 0_usize..9, any::<bool>(), wrong), 1..8)
}
