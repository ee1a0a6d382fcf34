//! The whole stack, killed in the middle of a load and started again.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use carteiro_tests::client::Client;
use carteiro_tests::{Account, comes_true, machine_clock, program, receiver};
use futures_util::StreamExt;
use futures_util::stream;
use http::Method;
use serde_json::{Value, json};

const ITEMS: usize = 2000;

/// The program, running. It is killed when it is dropped.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) api: String,
    pub(crate) dynamodb: String,
    pub(crate) lambda: String,
    pub(crate) admin_key: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may be dead already, by this test's own hand.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// SIGKILL, on Unix.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Starts the program with its state in a folder, and waits until everything is ready.
pub(crate) fn start(binary: &Path, data: &Path) -> Program {
    // The ports are free now; a run in which somebody else takes one first says so.
    let base = (20_000..60_000).step_by(17).skip(std::process::id() as usize % 500);
    let free = |base: &u16| (0..6).all(|offset| TcpListener::bind(("127.0.0.1", base + offset)).is_ok());
    let base = base.filter_map(|base| u16::try_from(base).ok()).find(free).expect("six free ports");
    let mut child = Command::new(binary)
        .args(["--no-demo", "--json", "--port-base", &base.to_string(), "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    let text = |field: &str| ready[field].as_str().expect(field).to_owned();
    Program {
        child,
        api: text("api"),
        dynamodb: text("dynamodb"),
        lambda: text("lambda"),
        admin_key: text("admin_key"),
    }
}

pub(crate) async fn account(program: &Program) -> Account {
    let created =
        Client::new(&program.api).post("/accounts", &program.admin_key, r#"{"name":"x"}"#).await.json();
    let text = |field: &str| created[field].as_str().expect(field).to_owned();
    Account { id: text("id"), key: text("key") }
}

/// Sends one item; the id of one that was answered 202.
async fn send(client: &Client, key: &str, number: usize) -> Option<String> {
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let body = json!({"id": number.to_string()}).to_string();
    let reply = client.try_request(Method::POST, "/bots/b/messages", &headers, body).await?;
    (reply.status == 202).then(|| reply.json()["id"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_in_the_middle_of_a_load_loses_no_accepted_item() {
    let binary = program().await;
    let data = tempfile::tempdir().unwrap();
    let customer = receiver(machine_clock()).await;
    let mut stack = start(&binary, data.path());
    let account = account(&stack).await;
    let client = Client::new(&stack.api);
    client.webhook(&account, json!({"url": customer.url("/load"), "items": ["message"]})).await;

    let mut sending =
        stream::iter(0..ITEMS).map(|number| send(&client, &account.key, number)).buffer_unordered(32);
    let mut accepted = HashSet::new();
    let mut answered = 0;
    while let Some(sent) = sending.next().await {
        answered += 1;
        accepted.extend(sent);
        if answered == ITEMS / 2 {
            stack.kill();
        }
    }
    assert!(accepted.len() >= ITEMS / 2 - 32 && accepted.len() < ITEMS, "{} were accepted", accepted.len());

    let _again = start(&binary, data.path());
    let arrived = || customer.counts_by_webhook_id("/load");
    comes_true(async || {
        let arrived = arrived();
        accepted.iter().all(|id| arrived.contains_key(id))
    })
    .await;
    let counts = arrived();
    let lost: Vec<_> = accepted.iter().filter(|id| !counts.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} were lost: {lost:?}", lost.len(), accepted.len());
    let doubled = counts.values().filter(|&&count| count > 1).count();
    let unanswered = counts.keys().filter(|id| !accepted.contains(*id)).count();
    println!(
        "{} accepted, 0 lost, {doubled} doubled (attempts under way when it was killed), {unanswered} arrived whose \
         answer was lost",
        accepted.len()
    );
    // Doubled is at most what was in flight: maximum concurrency × batch size.
    assert!(doubled <= 200, "{doubled} doubled");
    customer.stop().await;
}
