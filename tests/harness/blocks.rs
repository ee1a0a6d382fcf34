//! What tests of streaks and blocks share.

use std::time::Duration;

use carteiro_local::Stack;
use carteiro_receiver::Receiver;
use http::Method;
use serde_json::{Value, json};

use crate::client::Client;
use crate::{Account, Patience, Webhook, comes_true, is_at_rest};

/// Sends a number of items of a type in one request, which must accept all, and answers their ids.
pub async fn send_many(client: &Client, account: &Account, item_type: &str, count: usize) -> Vec<String> {
    let line = |n: usize| format!("{}\n", json!({"type": item_type, "item": {"n": n}}));
    let body: String = (0..count).map(line).collect();
    let authorization = format!("Bearer {}", account.key);
    let headers = [("authorization", authorization.as_str())];
    let reply = client.request(Method::POST, "/bots/b/items", &headers, body).await.with_status(202).json();
    let results = reply["results"].as_array().expect("results");
    results.iter().map(|line| line["id"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()).collect()
}

/// The status of an item type of a webhook.
pub async fn status(client: &Client, account: &Account, webhook: &Webhook, item_type: &str) -> Value {
    let shown = client.get(&format!("/webhooks/{}", webhook.id), &account.key).await.with_status(200);
    shown.json()["status"][item_type].clone()
}

/// Waits until the status of a type is as wanted.
pub async fn until(
    client: &Client,
    account: &Account,
    webhook: &Webhook,
    item_type: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let mut shown = Value::Null;
    let mut patience = Patience::default();
    while patience.lasts().await {
        shown = status(client, account, webhook, item_type).await;
        if wanted(&shown) {
            return shown;
        }
    }
    panic!("the status did not become as wanted: {shown}");
}

/// Waits until as many items of a type are held.
pub async fn until_held(
    client: &Client,
    account: &Account,
    webhook: &Webhook,
    item_type: &str,
    count: usize,
) {
    until(client, account, webhook, item_type, |status| status["held"] == count).await;
}

/// Whether a status says that its type is blocked.
#[must_use]
pub fn is_blocked(status: &Value) -> bool {
    status["state"] == "blocked"
}

/// How many requests a path has had when nothing is under way any more.
///
/// # Panics
/// Where something stays under way.
pub async fn quiet(stack: &Stack, receiver: &Receiver, path: &str) -> u64 {
    assert!(rest(stack).await, "something stays in flight");
    receiver.count(path)
}

/// Waits until no queue that wakes a function hands anything out or has anything
/// in flight, so that no message's visibility ends by a move of the time. False where that did not come about.
pub async fn rest(stack: &Stack) -> bool {
    comes_true(async || is_at_rest(stack).await).await
}

/// Moves the time when everything is at rest.
///
/// # Panics
/// Where it does not come to rest.
pub async fn pass(stack: &Stack, by: Duration) {
    assert!(rest(stack).await, "something stays in flight");
    stack.clock().advance(by);
}
