//! A block that spans a restart of everything.

use std::path::Path;
use std::time::Duration;

use carteiro_clock::{Clock, testing};
use carteiro_local::{Data, Expiry, LogLines, LogSink, Ports, Stack, StackOptions};
use carteiro_receiver::{Behaviour, Receiver};
use carteiro_tests::blocks::{is_blocked, pass, quiet, send_many, status, until};
use carteiro_tests::client::Client;
use carteiro_tests::{SOON, functions, machine_clock, parameters, program, receiver, workspace};
use http::StatusCode;
use serde_json::{Value, json};

use crate::killed;

const THRESHOLD: usize = 20;

/// Starts the stack with its state in a folder, at a time that goes on over restarts.
async fn stack_in(folder: &Path, clock: &Clock) -> (Stack, Client) {
    let options = StackOptions {
        template: workspace().join("template.yaml"),
        parameters: parameters([("DeliverConcurrency", "4")]),
        ports: Ports::Free,
        data: Data::Folder(folder.to_owned()),
        functions: functions().await,
        clock: clock.clone(),
        function_logs: LogSink::Collect(LogLines::default()),
        schedules: false,
    };
    let stack = Stack::start(options).await.expect("the stack starts");
    // A database in a file deletes by the machine's time, which may be ahead of this clock.
    stack.expire_dynamodb(Expiry::Never);
    let client = Client::new(&stack.addresses().api);
    (stack, client)
}

/// How many of these items have not arrived.
fn missing(receiver: &Receiver, path: &str, sent: &[String]) -> usize {
    let counts = receiver.counts_by_webhook_id(path);
    sent.iter().filter(|id| !counts.contains_key(*id)).count()
}

fn block(status: &Value) -> (Value, Value, Value, Value) {
    let part = |name: &str| status[name].clone();
    (part("state"), part("failures"), part("blocked_at"), part("blocked_until"))
}

async fn tick(stack: &Stack) {
    let answered = stack.invoke("CollectFunction", "{}".into()).await.unwrap();
    assert!(!answered.function_error, "{:?}", answered.payload);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_survives_restarts_and_ends_when_it_would_have() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), testing::clock());
    let customer = receiver(clock.clone()).await;
    let (stack, client) = stack_in(folder.path(), &clock).await;
    let account = client.account().await;
    let settings = json!({"url": customer.url("/r"), "items": ["event"], "threshold": THRESHOLD});
    let webhook = client.webhook(&account, settings).await;
    customer.set_behaviour("/r", Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
    let mut sent = send_many(&client, &account, "event", 30).await;
    let before = until(&client, &account, &webhook, "event", is_blocked).await;
    quiet(&stack, &customer, "/r").await;
    stack.stop().await;

    // During the block, in a new stack: the URL would answer, and nothing is requested of it.
    clock.advance(Duration::from_secs(3600));
    customer.set_behaviour("/r", Behaviour::default());
    customer.clear();
    let (stack, client) = stack_in(folder.path(), &clock).await;
    assert_eq!(block(&status(&client, &account, &webhook, "event").await), block(&before));
    sent.extend(send_many(&client, &account, "event", 15).await);
    until(&client, &account, &webhook, "event", |status| status["held"] == 45).await;
    pass(&stack, Duration::from_secs(3 * 3600 - 600)).await;
    // The last tick before the end plans the release, and the stack that it planned it in is gone by then.
    tick(&stack).await;
    pass(&stack, Duration::ZERO).await;
    stack.stop().await;
    let (stack, client) = stack_in(folder.path(), &clock).await;
    assert_eq!(quiet(&stack, &customer, "/r").await, 0);
    assert_eq!(block(&status(&client, &account, &webhook, "event").await), block(&before));

    clock.advance(Duration::from_secs(610));
    customer.wait_for_count("/r", 45, SOON).await.unwrap();
    assert_eq!(missing(&customer, "/r", &sent), 0);
    let open = until(&client, &account, &webhook, "event", |status| status["held"] == 0).await;
    assert_eq!((&open["state"], &open["failures"]), (&json!("open"), &json!(0)));

    // From zero, and again.
    customer.set_behaviour("/r", Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
    send_many(&client, &account, "event", THRESHOLD).await;
    let again = until(&client, &account, &webhook, "event", is_blocked).await;
    assert_ne!(again["blocked_until"], before["blocked_until"]);
    stack.stop().await;
    customer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_goes_on_after_sigkill_and_ends_when_it_would_have() {
    const BLOCK: Duration = Duration::from_secs(3600);
    let binary = program().await;
    let data = tempfile::tempdir().unwrap();
    // The program's time cannot be moved, so a stack in this process goes on with its state and from its time.
    let clock = machine_clock();
    let customer = receiver(clock.clone()).await;
    let mut killed = killed::start(&binary, data.path());
    let account = killed::account(&killed).await;
    let client = Client::new(&killed.api);
    let settings = json!({
        "url": customer.url("/k"), "items": ["event"], "threshold": THRESHOLD, "block_seconds": BLOCK.as_secs(),
    });
    let webhook = client.webhook(&account, settings).await;
    customer.set_behaviour("/k", Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
    let mut sent = send_many(&client, &account, "event", 30).await;
    let before = until(&client, &account, &webhook, "event", is_blocked).await;
    // SIGKILL, on Unix, with retries delayed and perhaps some attempts under way.
    killed.kill();
    customer.set_behaviour("/k", Behaviour::default());
    customer.clear();

    let (stack, client) = stack_in(data.path(), &clock).await;
    assert_eq!(block(&status(&client, &account, &webhook, "event").await), block(&before));
    sent.extend(send_many(&client, &account, "event", 10).await);
    // The tick before the end.
    pass(&stack, BLOCK - Duration::from_secs(600)).await;
    tick(&stack).await;
    assert_eq!(
        quiet(&stack, &customer, "/k").await,
        0,
        "nothing is requested of a URL whose type is blocked"
    );
    assert_eq!(block(&status(&client, &account, &webhook, "event").await), block(&before));
    clock.advance(Duration::from_secs(610));
    until(&client, &account, &webhook, "event", |status| status["held"] == 0 && status["failures"] == 0)
        .await;
    quiet(&stack, &customer, "/k").await;
    assert_eq!(missing(&customer, "/k", &sent), 0, "of {}", sent.len());

    customer.set_behaviour("/k", Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
    send_many(&client, &account, "event", THRESHOLD).await;
    until(&client, &account, &webhook, "event", is_blocked).await;
    stack.stop().await;
    customer.stop().await;
}
