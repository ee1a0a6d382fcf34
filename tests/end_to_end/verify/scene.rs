//! A bundle with its webhooks, known items and the record of what became of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carteiro_clock::Clock;
use carteiro_receiver::{Answer as Response, Behaviour, Delivery, SignatureCheck};
use carteiro_tests::client::{Client, Reply};
use carteiro_tests::judge::{
    Answer, Arrival, Asked, Counts, Item, Kept, Record, Remaining, Span, Verdict, Webhook, judge,
};
use carteiro_tests::{Account, Bundle};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::ledger::{Kills, Ledger};

/// How long what was under way at an act may go on: reads before an attempt, with their repeats, and the attempt.
pub(super) const GRACE_MS: u64 = 30_000;

/// The receiver's success. Nothing else that it does has this status.
const TAKEN: StatusCode = StatusCode::NO_CONTENT;

/// Where a mark begins in an item's bytes. A number and `-` follow.
const MARK: &str = "mark-";

/// Rounds until everything has arrived: the first without a tick, some as long as a message's visibility, and the
/// others as long as a tick's period.
const ROUNDS: u64 = 60;
const WITHOUT_TICK: u64 = 2;
const SHORT_ROUNDS: u64 = 8;

/// A webhook with its URL's path.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) account: Account,
    pub(super) path: String,
    /// As the judge knows it.
    pub(super) known: Webhook,
}

/// What producers know, shared by their tasks.
#[derive(Clone, Default)]
pub(super) struct Published(pub(super) Arc<Mutex<BTreeMap<u64, Item>>>);

impl Published {
    /// Notes a request with an item.
    pub(super) fn asked(&self, number: u64, item: &Sent, span: Span, answer: Answer) {
        let mut items = self.0.lock().unwrap();
        let new = || Item {
            mark: mark(number),
            account: item.account.clone(),
            item_type: item.item_type.clone(),
            digest: item.digest.clone(),
            asked: Vec::new(),
        };
        items.entry(number).or_insert_with(new).asked.push(Asked { span, answer });
    }
}

/// An item on its way to the API.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) account: String,
    pub(super) item_type: String,
    pub(super) digest: Option<String>,
}

/// What an item is known by.
pub(super) fn mark(number: u64) -> String {
    format!("{MARK}{number}-")
}

pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything of a run.
pub(super) struct Scene {
    pub(super) bundle: Arc<Bundle>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) accounts: Vec<Account>,
    pub(super) hooks: Vec<Live>,
    pub(super) published: Published,
}

impl Scene {
    pub(super) async fn start<'a>(own: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Self, Kills) {
        let bundle = Arc::new(Bundle::start_with(own).await);
        let (ledger, kills) = Ledger::watch(&bundle);
        let (accounts, hooks, published) = Default::default();
        (Self { bundle, ledger, accounts, hooks, published }, kills)
    }

    pub(super) fn clock(&self) -> &Clock {
        self.bundle.stack.clock()
    }

    fn now_ms(&self) -> u64 {
        self.clock().now_ms()
    }

    /// Creates a webhook whose path is its place among all.
    pub(super) async fn hook(&mut self, account: &Account, takes: &[&str], threshold: u64) -> usize {
        let path = format!("/{}", self.hooks.len());
        self.answer(&path, Response::status(TAKEN));
        let began_ms = self.now_ms();
        let settings = json!({"url": self.bundle.receiver.url(&path), "items": takes, "threshold": threshold,
            "block_seconds": 3600});
        let webhook = self.bundle.webhook_with(account, settings).await;
        let created = Span { began_ms, ended_ms: self.now_ms() };
        let types: BTreeSet<String> = takes.iter().map(|name| (*name).to_owned()).collect();
        let known = Webhook {
            id: webhook.id,
            account: account.id.clone(),
            created,
            deleted: None,
            takes: vec![(created, types)],
        };
        self.hooks.push(Live { account: account.clone(), path, known });
        self.hooks.len() - 1
    }

    /// Has a path answer like this from now on.
    pub(super) fn answer(&self, path: &str, behaviour: impl Into<Behaviour>) {
        self.bundle.receiver.set_behaviour(path, behaviour);
    }

    /// A path is well again.
    pub(super) fn heal(&self, hook: usize) {
        self.answer(&self.hooks[hook].path, Response::status(TAKEN));
    }

    /// An owner's call about a webhook, repeated until it is answered. Answers when it was.
    pub(super) async fn act(&self, hook: usize, method: Method, below: &str, body: &str) -> Span {
        let hook = &self.hooks[hook];
        let began_ms = self.now_ms();
        let path = format!("/webhooks/{}{below}", hook.known.id);
        for _ in 0..10 {
            let reply =
                self.bundle.client.call(method.clone(), &path, &hook.account.key, body.to_owned()).await;
            if reply.status < 500 {
                let is_gone = hook.known.deleted.is_some() && reply.status == 404;
                assert!(reply.status < 300 || is_gone, "{method} {path}: {}", reply.text());
                return Span { began_ms, ended_ms: self.now_ms() };
            }
        }
        panic!("{method} {path} is not answered: {:#?}", self.bundle.complaints());
    }

    /// A tick, whatever becomes of it.
    pub(super) async fn tick(&self) {
        self.bundle.stack.invoke("CollectFunction", "{}".into()).await.unwrap();
    }

    pub(super) async fn quiet(&self) {
        self.ledger.quiet(&self.bundle).await;
    }

    /// Moves the time, once nothing is under way.
    pub(super) async fn pass(&self, by: Duration) {
        self.quiet().await;
        self.clock().advance(by);
    }

    /// Nothing is broken any more: moves the time on until all that was accepted has arrived and nothing waits.
    pub(super) async fn settle(&self) -> (Vec<Verdict>, Counts) {
        self.ledger.mend();
        for hook in (0..self.hooks.len()).filter(|&hook| self.hooks[hook].known.deleted.is_none()) {
            self.heal(hook);
            self.act(hook, Method::POST, "/enable", "").await;
            self.act(hook, Method::POST, "/unblock", "").await;
        }
        for round in 0..ROUNDS {
            self.quiet().await;
            // What an act released comes without a tick.
            if round >= WITHOUT_TICK {
                self.tick().await;
                self.quiet().await;
            }
            if self.nothing_waits().await {
                break;
            }
            self.clock().advance(Duration::from_secs(if round < SHORT_ROUNDS { 190 } else { 900 }));
        }
        judge(&self.record().await, GRACE_MS)
    }

    async fn nothing_waits(&self) -> bool {
        for queue in ["DeliverQueue", "SlowQueue"] {
            let counts = self.bundle.stack.queues().describe_queue(queue).await.unwrap().counts;
            if counts.visible + counts.in_flight + counts.delayed > 0 {
                return false;
            }
        }
        let record = self.record().await;
        record.remaining.is_empty() && judge(&record, GRACE_MS).1.lost == 0
    }

    /// Stops everything.
    pub(super) async fn halt(self) {
        Arc::into_inner(self.bundle).expect("whoever kills has ended").halt().await;
    }

    /// All that is known.
    pub(super) async fn record(&self) -> Record {
        let mut remaining = Vec::new();
        for hook in self.hooks.iter().filter(|hook| hook.known.deleted.is_none()) {
            for (kept, name) in [(Kept::Held, "held"), (Kept::Dead, "dead")] {
                let path = format!("/webhooks/{}/{name}?limit=100", hook.known.id);
                let reply = self.bundle.client.get(&path, &hook.account.key).await.with_status(200);
                let listed = reply.json()["data"].as_array().unwrap().clone();
                remaining.extend(listed.iter().map(|row| {
                    let id = row["id"].as_str().unwrap().to_owned();
                    Remaining { webhook: hook.known.id.clone(), id, kept }
                }));
            }
        }
        Record {
            items: self.published.0.lock().unwrap().values().cloned().collect(),
            webhooks: self.hooks.iter().map(|hook| hook.known.clone()).collect(),
            arrivals: self.bundle.receiver.deliveries().iter().map(|one| self.arrival(one)).collect(),
            remaining,
            handings: self.ledger.handings(),
            disturbances: self.ledger.disturbances(),
        }
    }

    fn arrival(&self, delivery: &Delivery) -> Arrival {
        let webhook = self.hooks.iter().find(|hook| *hook.path == *delivery.path);
        Arrival {
            webhook: webhook.map(|hook| hook.known.id.clone()).unwrap_or_default(),
            id: delivery.webhook_id().unwrap_or_default().to_owned(),
            mark: mark_in(&delivery.body),
            digest: digest(&delivery.body),
            at_ms: delivery.received_at_ms,
            succeeded: delivery.answered == Some(TAKEN.as_u16()),
            is_signed: delivery.signature == SignatureCheck::Valid,
        }
    }
}

fn mark_in(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let number = text[text.find(MARK)? + MARK.len()..].split('-').next()?;
    Some(mark(number.parse().ok()?))
}

/// What a producer makes of an answer to one item.
pub(super) fn answer_of(reply: Option<&Reply>) -> Answer {
    match reply {
        Some(reply) if reply.status == 202 => {
            Answer::Accepted(Some(reply.json()["id"].as_str().unwrap().to_owned()))
        }
        Some(reply) if reply.status < 500 => Answer::Refused,
        _ => Answer::Unknown,
    }
}

/// What a producer makes of the answer to one line of many.
pub(super) fn answer_of_line(line: &Value) -> Answer {
    match (line["id"].as_str(), line["error"]["status"].as_u64()) {
        (Some(id), _) => Answer::Accepted(Some(id.to_owned())),
        (None, Some(status)) if status < 500 => Answer::Refused,
        _ => Answer::Unknown,
    }
}

/// A client with what its producer needs, for a task of its own.
#[derive(Clone)]
pub(super) struct Producer {
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) account: Account,
    pub(super) published: Published,
}

impl Producer {
    pub(super) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> (Span, Option<Reply>) {
        let began_ms = self.clock.now_ms();
        let reply = self.client.try_request(Method::POST, path, headers, body).await;
        (Span { began_ms, ended_ms: self.clock.now_ms() }, reply)
    }
}
