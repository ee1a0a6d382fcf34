//! A graph in memory that answers as the network does, and a driver that collects from it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Checkpoint, Collection, Settings};
use crate::inbox::{EntryKey, Event, Reading};
use crate::network::{Network, NetworkId};
use crate::normalise;
use crate::poll::{Auth, Collector, NetworkRequest, NetworkResponse, Stored, Verdict};
use crate::{facebook::collect as facebook, instagram::collect as instagram};

pub(super) const NOW: i64 = 1_790_000_000;
pub(super) const PAGE: &str = "501";
pub(super) const SECRET: &str = "EAAsecret";

/// What goes wrong at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Down,
    Html,
    Cut,
    Limited,
    Dead,
    TooMuch,
    BadCursor,
    /// The answer came, and whoever asked died before it was stored.
    Crash,
}

/// The lists of a network, by the object and the name of the edge.
pub(super) struct Graph {
    pub(super) network: Network,
    pub(super) lists: BTreeMap<(String, String), Vec<Value>>,
    /// Objects that are asked for by their ids.
    pub(super) objects: BTreeMap<String, Value>,
    pub(super) me: Value,
    /// The most elements in an answer.
    pub(super) most: usize,
    pub(super) calls: Vec<NetworkRequest>,
    pub(super) now: i64,
}

pub(super) fn time(second: i64) -> String {
    Timestamp::from_second(second).unwrap().strftime("%Y-%m-%dT%H:%M:%S+0000").to_string()
}

impl Graph {
    pub(super) fn new(network: Network, most: usize) -> Self {
        let me = json!({"id": PAGE, "user_id": PAGE});
        Self {
            network,
            lists: BTreeMap::new(),
            objects: BTreeMap::new(),
            me,
            most,
            calls: Vec::new(),
            now: NOW,
        }
    }

    pub(super) fn list(&mut self, object: &str, edge: &str) -> &mut Vec<Value> {
        self.lists.entry((object.to_owned(), edge.to_owned())).or_default()
    }

    /// Something newer than all that is in a list.
    pub(super) fn newest(&mut self, object: &str, edge: &str, value: Value) {
        self.list(object, edge).insert(0, value);
    }

    pub(super) fn remove(&mut self, object: &str) {
        self.lists.retain(|(of, _), list| {
            list.retain(|value| value["id"] != object);
            of != object
        });
    }

    fn respond(&self, request: &NetworkRequest) -> (u16, String) {
        assert_eq!((request.auth, &request.path[..7]), (Auth::Bearer, "/v27.0/"));
        let (object, edge) = request.path[7..].split_once('/').unwrap_or((&request.path[7..], ""));
        if let Some(value) = self.objects.get(object).filter(|_| edge.is_empty()) {
            let edge = if self.network == Network::Facebook { "feed" } else { "media" };
            return (200, self.expanded(value, edge).to_string());
        }
        if edge.is_empty() {
            return (200, self.me.to_string());
        }
        let of_page = ["feed", "tagged", "ratings", "media", "stories", "tags"].contains(&edge);
        match self.lists.get(&(object.to_owned(), edge.to_owned())) {
            Some(list) => self.page(list, edge, request),
            None if of_page || object == "me" => (200, json!({"data": []}).to_string()),
            None => (400, json!({"error": {"code": 100, "error_subcode": 33}}).to_string()),
        }
    }

    fn page(&self, list: &[Value], edge: &str, request: &NetworkRequest) -> (u16, String) {
        let of = |name: &str| {
            request.query.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
        };
        let since: i64 = of("since").map_or(0, |since| since.parse().unwrap());
        let second = |value: &Value| {
            normalise::value::time(value, "created_time").map_or(i64::MAX, Timestamp::as_second)
        };
        let mut list: Vec<Value> = list.iter().filter(|value| second(value) >= since).cloned().collect();
        if of("order") == Some("chronological") {
            list.reverse();
        }
        let name = |value: &Value| value["id"].as_str().map_or_else(|| value.to_string(), str::to_owned);
        let from = match of("after") {
            Some(after) => match list.iter().position(|value| name(value) == after) {
                Some(at) => at + 1,
                None => return (400, json!({"error": {"code": 100, "message": "bad cursor"}}).to_string()),
            },
            None => 0,
        };
        let limit = of("limit").map_or(25, |limit| limit.parse().unwrap()).min(self.most);
        let data: Vec<Value> =
            list.iter().skip(from).take(limit).map(|one| self.expanded(one, edge)).collect();
        let mut paging = json!({"cursors": {"before": "x", "after": data.last().map(name)}});
        if from + data.len() < list.len() {
            paging["next"] = json!(format!("https://graph.example/?access_token={SECRET}&limit=1"));
        }
        (200, json!({"data": data, "paging": paging}).to_string())
    }

    /// An element with what is told of its own edges.
    fn expanded(&self, value: &Value, edge: &str) -> Value {
        let (mut value, id) = (value.clone(), value["id"].as_str().unwrap_or_default().to_owned());
        let of = |edge: &str| self.lists.get(&(id.clone(), edge.to_owned())).cloned().unwrap_or_default();
        match (self.network, edge) {
            (Network::Facebook, "feed") => {
                value["comments"] = json!({"data": [], "summary": {"total_count": of("comments").len()}});
                value["attachments"]["paging"] = json!({"next": format!("https://g/?access_token={SECRET}")});
            }
            (_, "media") => value["comments_count"] = json!(of("comments").len()),
            (Network::Instagram, "comments") => {
                let all = of("replies");
                let some: Vec<&Value> = all.iter().take(self.most).collect();
                let mut paging = json!({"cursors": {"after": some.last().map(|one| one["id"].clone())}});
                if some.len() < all.len() {
                    paging["next"] = json!(format!("https://g/?access_token={SECRET}"));
                }
                value["replies"] = json!({"data": some, "paging": paging});
            }
            _ => {}
        }
        value
    }
}

/// Whoever drives runs: it keeps what was stored, and the checkpoint.
#[derive(Default)]
pub(super) struct Driver {
    pub(super) kept: String,
    pub(super) token: u64,
    pub(super) found: Vec<(Event, Reading)>,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) settings: Settings,
    pub(super) ad_account: Option<String>,
}

impl Driver {
    pub(super) fn new() -> Self {
        Self { kept: "{}".to_owned(), token: 1, ..Self::default() }
    }

    pub(super) fn begin(&self, graph: &Graph) -> Collection {
        let kept: Checkpoint = serde_json::from_str(&self.kept).unwrap();
        let page: NetworkId = PAGE.parse().unwrap();
        let now = Timestamp::from_second(graph.now).unwrap();
        let run = match graph.network {
            Network::Facebook => facebook::run(&self.settings, &page, self.token, kept, now),
            _ => instagram::run(&self.settings, crate::page::Login::Instagram, &page, self.token, kept, now),
        };
        run.with_ads_of(self.ad_account.as_deref())
    }

    /// A tick with a bound on its calls, each with its fault; answers their number.
    pub(super) fn tick(&mut self, graph: &mut Graph, calls: usize, faults: &[Fault]) -> usize {
        let mut run = self.begin(graph);
        let page: NetworkId = PAGE.parse().unwrap();
        for nth in 0..calls {
            let Some(request) = run.next() else {
                self.keep(&run);
                return nth;
            };
            let fault = faults.get(nth).copied().unwrap_or(Fault::None);
            let (status, body) = broken(fault, graph.respond(&request));
            graph.calls.push(request);
            let answer = NetworkResponse { status, header: &|_| None, body: body.as_bytes() };
            let heard = run.on_response(&answer, Timestamp::from_second(graph.now).unwrap());
            if fault == Fault::Crash {
                return nth + 1;
            }
            self.verdicts.push(heard.verdict);
            let stored = Stored { new: heard.events.len(), known: 0 };
            for event in heard.events {
                let event: Event = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
                let reading = normalise::read(&event, &page);
                self.found.push((event, reading));
            }
            run.on_stored(stored);
            self.keep(&run);
        }
        calls
    }

    fn keep(&mut self, run: &Collection) {
        self.kept = run.checkpoint();
        assert!(self.kept.len() <= crate::poll::MAX_CHECKPOINT_BYTES && !self.kept.contains(SECRET));
    }

    pub(super) fn things(&self) -> BTreeSet<String> {
        self.found.iter().map(|(_, reading)| reading.thing.clone()).collect()
    }

    pub(super) fn keys(&self) -> BTreeSet<EntryKey> {
        self.found.iter().map(|(_, reading)| EntryKey::new(&reading.thing, &reading.version)).collect()
    }
}

fn broken(fault: Fault, (status, body): (u16, String)) -> (u16, String) {
    let error =
        |code: i64, message: &str| (400, json!({"error": {"code": code, "message": message}}).to_string());
    match fault {
        Fault::None | Fault::Crash => (status, body),
        Fault::Down => (500, json!({"error": {"code": 2, "is_transient": true}}).to_string()),
        Fault::Html => (502, "<html>".to_owned()),
        Fault::Cut => (status, body[..body.len() / 2].to_owned()),
        Fault::Limited => error(32, "Page request limit reached"),
        Fault::Dead => error(190, "The session was invalidated"),
        Fault::TooMuch => error(1, "Please reduce the amount of data you're asking for"),
        Fault::BadCursor => error(100, "(#100) Invalid cursor"),
    }
}
