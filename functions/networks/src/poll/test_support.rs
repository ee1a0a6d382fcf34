//! What the tests of runs share: a network in memory, and a driver that makes calls of what runs ask.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Collector, MAX_CHECKPOINT_BYTES, NetworkRequest, NetworkResponse, Stored, Verdict};
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
    /// What was asked, in words.
    pub(crate) fn operations(&self) -> Vec<&'static str> {
        self.requests.iter().map(|request| request.operation).collect()
    }
}

/// Drives a run for at most so many calls. The last answer's events are not said to be stored where `torn`: the run was
/// cut between the two.
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
