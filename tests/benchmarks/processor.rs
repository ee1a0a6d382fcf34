//! Processor time an item, of a function's process alone, with optimised functions. Beside it, in the same run, the
//! HTTP client that they use.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use carteiro_networks::meta;
use carteiro_networks::push::signature::AppSecret;
use carteiro_receiver::Behaviour;
use carteiro_tests::{Account, Bundle, optimised};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::batches::{self, ITEM_BYTES};
use crate::process::processor_time;
use crate::tls_server::TlsServer;

/// Items of a round: enough that a tick of the kernel's clock is a few per cent.
const ITEMS: usize = 3000;
/// How many a request takes.
const BULK: usize = 1000;
/// Hosts that are not seen before.
const HOSTS: u16 = 300;
/// The webhooks of an account.
const WEBHOOKS: u16 = 50;
const SINGLE: usize = 500;
const PUSHES: u32 = 20;

/// The client alone, at work whenever it is told.
struct PlainClient {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    requests: usize,
}

impl PlainClient {
    fn start(binaries: &Path, requests: usize, at_once: usize, roots: &Path, urls: &[String]) -> Self {
        let mut child = Command::new(binaries.join("plain_client"))
            .args([requests, at_once, ITEM_BYTES].map(|number| number.to_string()))
            .args(urls)
            .env("SSL_CERT_FILE", roots)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output, requests }
    }

    /// Milliseconds of processor time a request, of a round.
    async fn round(&mut self) -> f64 {
        let process = self.child.id().unwrap();
        let before = processor_time(process);
        self.input.write_all(b"go\n").await.unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).await.unwrap();
        assert_eq!(line, "done\n");
        each(processor_time(process) - before, self.requests)
    }
}

fn each(time: Duration, of: usize) -> f64 {
    time.as_secs_f64() * 1000.0 / f64::from(u32::try_from(of).unwrap())
}

fn processor_time_of(bundle: &Bundle, function: &str) -> Duration {
    bundle.stack.idle_processes(function).unwrap().into_iter().map(processor_time).sum()
}

/// Delivers what is queued, this number of items, and answers milliseconds of processor time an item.
async fn delivered(bundle: &Bundle, batch: i32, items: usize) -> f64 {
    let before = processor_time_of(bundle, "DeliverFunction");
    batches::deliver(bundle, batch).await;
    each(processor_time_of(bundle, "DeliverFunction") - before, items)
}

async fn sent(bundle: &Bundle, account: &Account, items: usize) -> f64 {
    let before = processor_time_of(bundle, "IngestFunction");
    for begin in (0..items).step_by(BULK) {
        batches::send_in_bulk(bundle, account, begin..items.min(begin + BULK)).await;
    }
    each(processor_time_of(bundle, "IngestFunction") - before, items)
}

/// An account with a webhook at this address.
async fn account_with(bundle: &Bundle, urls: impl IntoIterator<Item = String>, more: Value) -> Account {
    let account = bundle.account().await;
    for url in urls {
        let mut settings = json!({"url": url, "items": ["event"]});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bundle.webhook_with(&account, settings).await;
    }
    account
}

/// The rows of a table of results.
struct Table(f64);

impl Table {
    fn head(client: f64) -> Self {
        println!(
            "| what | ms an item | times the client alone over plain HTTP ({client:.4} ms) |\n|---|---|---|"
        );
        Self(client)
    }

    fn row(&self, what: &str, ms: f64) {
        println!("| {what} | {ms:.3} | {:.1} |", ms / self.0);
    }
}

async fn taking(bundle: &Bundle, table: &Table) {
    let account = account_with(bundle, [bundle.receiver.url("/taken")], json!({})).await;
    sent(bundle, &account, 100).await;
    table.row("`ingest`, in bulk, 1,000 a request", sent(bundle, &account, ITEMS).await);
    let before = processor_time_of(bundle, "IngestFunction");
    for n in 0..SINGLE {
        bundle.send(&account, "/bots/b/events", batches::item(n)).await;
    }
    table.row("`ingest`, one a request", each(processor_time_of(bundle, "IngestFunction") - before, SINGLE));
    batches::deliver(bundle, batches::full()).await;
    let page = json!({"network": "facebook", "network_id": "1", "name": "p", "access_token": "EAAB-planted"});
    bundle.client.post("/pages", &account.key, page.to_string()).await.with_status(201);
    let before = processor_time_of(bundle, "IngestFunction");
    for push in 0..PUSHES {
        let body = a_thousand_updates(push).to_string();
        let secret = AppSecret::list("a-meta-secret").remove(0);
        let signature = meta::signature::sign(&secret, body.as_bytes());
        let headers = [(meta::signature::HEADER, signature.as_str()), ("content-type", "application/json")];
        bundle.client.request(http::Method::POST, "/push/facebook", &headers, body).await.with_status(200);
    }
    let updates = 1000 * usize::try_from(PUSHES).unwrap();
    table.row(
        "`ingest`, an update of a push of 1,000",
        each(processor_time_of(bundle, "IngestFunction") - before, updates),
    );
}

fn a_thousand_updates(push: u32) -> Value {
    let change = |number: u32| {
        json!({"field": "feed", "value": {
            "item": "comment", "verb": "add", "comment_id": format!("900_{number}"), "post_id": "800_900",
            "parent_id": "800_900", "created_time": 1_795_000_000 + number, "message": "olá",
            "from": {"id": "77", "name": "Ana"},
        }})
    };
    let changes: Vec<Value> = (push * 1000..(push + 1) * 1000).map(change).collect();
    json!({"object": "page", "entry": [{"id": "1", "time": 1_795_000_100, "changes": changes}]})
}

async fn giving(bundle: &Bundle, table: &Table) {
    let healthy = account_with(bundle, [bundle.receiver.url("/healthy")], json!({})).await;
    sent(bundle, &healthy, 100).await;
    batches::deliver(bundle, batches::full()).await;
    sent(bundle, &healthy, ITEMS).await;
    table.row("`deliver`, healthy, full batches", delivered(bundle, batches::full(), ITEMS).await);
    sent(bundle, &healthy, SINGLE).await;
    table.row("`deliver`, healthy, batches of one", delivered(bundle, 1, SINGLE).await);
    let ten = (0..10).map(|n| bundle.receiver.url(&format!("/ten/{n}")));
    let ten = account_with(bundle, ten, json!({})).await;
    sent(bundle, &ten, ITEMS / 10).await;
    table.row("`deliver`, healthy, ten webhooks in a batch", delivered(bundle, batches::full(), ITEMS).await);
    bundle.receiver.set_behaviour("/failing", Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
    let failing = account_with(bundle, [bundle.receiver.url("/failing")], json!({})).await;
    sent(bundle, &failing, ITEMS).await;
    table.row("`deliver`, failing", delivered(bundle, batches::full(), ITEMS).await);
    for (what, while_blocked) in [("held", "hold"), ("discarded", "discard")] {
        let path = format!("/{what}");
        bundle.receiver.set_behaviour(&path, Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
        let settings = json!({"threshold": 1, "while_blocked": while_blocked});
        let blocked = account_with(bundle, [bundle.receiver.url(&path)], settings).await;
        sent(bundle, &blocked, 1).await;
        batches::deliver(bundle, 1).await;
        sent(bundle, &blocked, ITEMS / 3).await;
        table
            .row(&format!("`deliver`, blocked, {what}"), delivered(bundle, batches::full(), ITEMS / 3).await);
        assert_eq!(bundle.receiver.count(&path), 1, "what began the block");
    }
}

/// Over TLS: on a kept connection, on new ones to hosts not seen, and on new ones to hosts seen before.
async fn over_tls(
    bundle: &Bundle,
    table: &Table,
    binaries: &Path,
    servers: (&TlsServer, &TlsServer),
    roots: &Path,
) {
    let (keeping, closing) = servers;
    let kept = account_with(bundle, [keeping.url(None)], json!({})).await;
    sent(bundle, &kept, 100).await;
    batches::deliver(bundle, batches::full()).await;
    sent(bundle, &kept, ITEMS).await;
    table.row("`deliver`, TLS, connections kept", delivered(bundle, batches::full(), ITEMS).await);
    let mut accounts = Vec::new();
    for first in (0..HOSTS).step_by(usize::from(WEBHOOKS)) {
        let urls = (first..first + WEBHOOKS).map(|n| closing.url(Some(n)));
        accounts.push(account_with(bundle, urls, json!({})).await);
    }
    for (what, rounds) in [("hosts not seen", 1), ("hosts seen before", 6)] {
        let before = closing.full_handshakes();
        let items = rounds * usize::from(HOSTS);
        for account in accounts.iter().flat_map(|account| std::iter::repeat_n(account, rounds)) {
            sent(bundle, account, 1).await;
        }
        table.row(
            &format!("`deliver`, TLS, a new connection each, {what}"),
            delivered(bundle, batches::full(), items).await,
        );
        println!("(full handshakes: {})", closing.full_handshakes() - before);
    }
    let mut client = PlainClient::start(binaries, ITEMS, 10, roots, &[keeping.url(None)]);
    client.round().await;
    table.row("the client alone, TLS, connections kept", client.round().await);
    let hosts: Vec<String> = (0..HOSTS).map(|n| closing.url(Some(n))).collect();
    let mut client = PlainClient::start(binaries, hosts.len(), 10, roots, &hosts);
    table.row("the client alone, TLS, hosts not seen", client.round().await);
    let mut seen = 0.0;
    for _ in 0..6 {
        seen += client.round().await;
    }
    table.row("the client alone, TLS, hosts seen before", seen / 6.0);
}

/// `cargo test -p carteiro-tests --test benchmarks processor -- --ignored --nocapture`
#[tokio::test]
#[ignore = "builds the functions optimised, which takes minutes"]
async fn processor_time_an_item_beside_the_client_alone() {
    let binaries = optimised().await;
    let answer: Arc<crate::tls_server::Answer> = Arc::new(|_| "{}");
    let keeping = TlsServer::start(0, true, Arc::clone(&answer)).await;
    let closing = TlsServer::start(HOSTS, false, answer).await;
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    let both = [keeping.roots(), closing.roots()].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    std::fs::write(&roots, both).unwrap();
    let trusting = |template: String| {
        let function = template.find("\n  DeliverFunction:\n").unwrap();
        let variables = "        Variables:\n";
        let at = function + template[function..].find(variables).unwrap() + variables.len();
        format!("{}          SSL_CERT_FILE: {}\n{}", &template[..at], roots.display(), &template[at..])
    };
    let own = [
        ("FailureThreshold", "1000000"),
        ("MetaAppSecrets", "a-meta-secret"),
        ("MetaVerifyToken", "a-verify-token"),
    ];
    let bundle = batches::bundle_with(binaries.clone(), own, trusting).await;
    let urls = [bundle.receiver.url("/plain")];
    let mut client = PlainClient::start(&binaries, 5 * ITEMS, 10, &roots, &urls);
    client.round().await;
    let table = Table::head(client.round().await);
    taking(&bundle, &table).await;
    giving(&bundle, &table).await;
    over_tls(&bundle, &table, &binaries, (&keeping, &closing), &roots).await;
    table.row("the client alone, plain HTTP, again", client.round().await);
    bundle.halt().await;
}
