//! Held items that their owner sends now, or gives up.

use std::time::Duration;

use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::blocks::until_held;
use carteiro_tests::{Account, Bundle, Patience, SOON, Webhook, assert_problem, comes_true, dynamodb};
use http::Method;
use serde_json::{Value, json};

/// A wait, in seconds, that no tick of these tests ends.
const FAR: u32 = 7200;

async fn delete(bundle: &Bundle, account: &Account, path: &str) -> (u16, Value) {
    let authorization = format!("Bearer {}", account.key);
    let headers = [("authorization", authorization.as_str())];
    let reply = bundle.client.request(Method::DELETE, path, &headers, "").await;
    (reply.status, reply.json())
}

async fn until_done(bundle: &Bundle, account: &Account, webhook: &Webhook, replay: &Value) -> Value {
    let path = format!("/webhooks/{}/replay/{}", webhook.id, replay["id"].as_str().unwrap());
    let mut shown = Value::Null;
    let mut patience = Patience::default();
    while patience.lasts().await {
        shown = bundle.client.get(&path, &account.key).await.json();
        if shown["state"] == "done" {
            return shown;
        }
    }
    panic!("not done: {shown}; {:#?}", bundle.complaints());
}

fn counts(replay: &Value) -> [u64; 6] {
    ["found", "taken", "pending", "delivered", "dead", "dropped"].map(|name| replay[name].as_u64().unwrap())
}

async fn replay(bundle: &Bundle, account: &Account, webhook: &Webhook, item: &str) -> Value {
    let path = format!("/webhooks/{}/replay", webhook.id);
    bundle.client.post(&path, &account.key, json!({"item": item}).to_string()).await.with_status(202).json()
}

#[tokio::test]
async fn a_replay_of_an_item_that_waits_for_a_retry_sends_it_now() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/later", &["message"]).await;
    bundle.receiver.set_behaviour("/later", Answer::busy(FAR));
    let item = bundle.send(&account, "/bots/b/messages", r#"{"n":1}"#).await;
    let other = bundle.send(&account, "/bots/b/messages", r#"{"n":2}"#).await;
    until_held(&bundle.client, &account, &webhook, "message", 2).await;
    bundle.receiver.set_behaviour("/later", Behaviour::default());
    let asked = replay(&bundle, &account, &webhook, &item).await;
    let arrived = bundle.receiver.wait_for_count("/later", 3, SOON).await.unwrap();
    let last = arrived.last().unwrap();
    assert_eq!((last.webhook_id(), last.attempt()), (Some(item.as_str()), Some(1)), "a schedule begins anew");
    assert_eq!(last.body, r#"{"n":1}"#);
    let done = until_done(&bundle, &account, &webhook, &asked).await;
    assert_eq!(counts(&done), [1, 1, 0, 1, 0, 0], "{done}");
    // The other one goes on waiting for its time, and neither comes twice.
    until_held(&bundle.client, &account, &webhook, "message", 1).await;
    let listed = bundle.client.get(&format!("/webhooks/{}/held", webhook.id), &account.key).await.json();
    assert_eq!(listed["data"][0]["id"], other, "{listed}");
    bundle.tick().await;
    assert!(bundle.rest(SOON).await, "{:#?}", bundle.complaints());
    assert_eq!(bundle.receiver.count("/later"), 3);
    bundle.stop().await;
}

#[tokio::test]
async fn a_replay_of_a_blocked_item_leaves_it_to_the_blocks_end() {
    let (bundle, account) = Bundle::with_account([("FailureThreshold", "1")]).await;
    let webhook = bundle.webhook(&account, "/blocked", &["message"]).await;
    bundle.receiver.set_behaviour("/blocked", Answer::busy(FAR));
    let first = bundle.send(&account, "/bots/b/messages", r#"{"n":1}"#).await;
    until_held(&bundle.client, &account, &webhook, "message", 1).await;
    let second = bundle.send(&account, "/bots/b/messages", r#"{"n":2}"#).await;
    until_held(&bundle.client, &account, &webhook, "message", 2).await;
    bundle.receiver.set_behaviour("/blocked", Behaviour::default());
    // The second never had a time of its own: it is found, and waits as before.
    let of_second = replay(&bundle, &account, &webhook, &second).await;
    assert_eq!(counts(&until_done(&bundle, &account, &webhook, &of_second).await), [1, 0, 0, 0, 0, 0]);
    let of_first = replay(&bundle, &account, &webhook, &first).await;
    assert!(bundle.rest(SOON).await, "{:#?}", bundle.complaints());
    assert_eq!(bundle.receiver.deliveries().len(), 1, "nothing goes to a blocked type");
    until_held(&bundle.client, &account, &webhook, "message", 2).await;
    let unblock = format!("/webhooks/{}/unblock", webhook.id);
    assert_eq!(bundle.client.post(&unblock, &account.key, "").await.status, 200);
    bundle.receiver.wait_for_count("/blocked", 3, SOON).await.unwrap();
    assert_eq!(counts(&until_done(&bundle, &account, &webhook, &of_first).await), [1, 1, 0, 1, 0, 0]);
    bundle.stop().await;
}

#[tokio::test]
async fn a_cancelled_item_is_counted_and_never_attempted_again() {
    let bundle = Bundle::start().await;
    let (account, stranger) = (bundle.account().await, bundle.account().await);
    let webhook = bundle.webhook(&account, "/gone", &["message", "event"]).await;
    bundle.receiver.set_behaviour("/gone", Answer::busy(FAR));
    let item = bundle.send(&account, "/bots/b/messages", "{}").await;
    bundle.send(&account, "/bots/b/messages", "{}").await;
    bundle.send(&account, "/bots/b/messages", "{}").await;
    let event = bundle.send(&account, "/bots/b/events", "{}").await;
    until_held(&bundle.client, &account, &webhook, "message", 3).await;
    until_held(&bundle.client, &account, &webhook, "event", 1).await;
    let path = format!("/webhooks/{}/held", webhook.id);
    for path in [format!("{path}/{item}"), format!("{path}?type=message")] {
        let (status, problem) = delete(&bundle, &stranger, &path).await;
        assert_eq!((status, &problem["detail"]), (404, &json!("there is no such webhook")), "{path}");
    }
    for wrong in [path.clone(), format!("{path}?type=ticket")] {
        let (status, problem) = delete(&bundle, &account, &wrong).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("type")), "{wrong}: {problem}");
    }
    let one = delete(&bundle, &account, &format!("{path}/{item}")).await;
    assert_eq!(one, (200, json!({"dropped": 1, "dropped_more": false})));
    for gone in [item.as_str(), "item_00000000000000000000000000000000", "nothing"] {
        assert_eq!(delete(&bundle, &account, &format!("{path}/{gone}")).await.0, 404, "{gone}");
    }
    let rest = delete(&bundle, &account, &format!("{path}?type=message")).await;
    assert_eq!(rest, (200, json!({"dropped": 2, "dropped_more": false})));
    let none = delete(&bundle, &account, &format!("{path}?type=message")).await;
    assert_eq!(none, (200, json!({"dropped": 0, "dropped_more": false})));
    until_held(&bundle.client, &account, &webhook, "message", 0).await;
    // Only the event waits, and only it arrives when its time comes.
    bundle.receiver.set_behaviour("/gone", Behaviour::default());
    for _ in 0..10 {
        bundle.advance(Duration::from_secs(15 * 60)).await;
        bundle.tick().await;
    }
    let arrived = bundle.receiver.wait_for_count("/gone", 5, SOON).await.unwrap();
    assert_eq!(arrived.last().unwrap().webhook_id(), Some(event.as_str()));
    assert!(bundle.rest(SOON).await);
    assert_eq!(bundle.receiver.deliveries().len(), 5);
    bundle.stop().await;
}

#[tokio::test]
async fn a_cancelled_item_of_a_replay_is_counted_as_dropped() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/off", &["event"]).await;
    let patch = |enabled: bool| {
        let (client, key, id) = (&bundle.client, &account.key, &webhook.id);
        async move { client.patch(&format!("/webhooks/{id}"), key, &json!({"enabled": enabled})).await }
    };
    bundle.receiver.set_behaviour("/off", Answer::busy(FAR));
    let item = bundle.send(&account, "/bots/b/events", "{}").await;
    until_held(&bundle.client, &account, &webhook, "event", 1).await;
    assert_eq!(patch(false).await.status, 200);
    let asked = replay(&bundle, &account, &webhook, &item).await;
    // The replay's item waits for its webhook to be enabled.
    comes_true(async || {
        let rows = dynamodb::scan(&bundle, "HeldTable").await;
        rows.iter().any(|row| row.get("holding").is_some() && row.get("replay").is_some())
    })
    .await;
    let path = format!("/webhooks/{}/held?type=event", webhook.id);
    assert_eq!(delete(&bundle, &account, &path).await, (200, json!({"dropped": 1, "dropped_more": false})));
    assert_eq!(counts(&until_done(&bundle, &account, &webhook, &asked).await), [1, 1, 0, 0, 0, 1]);
    assert_eq!(patch(true).await.status, 200);
    assert!(bundle.rest(SOON).await, "{:#?}", bundle.complaints());
    assert_eq!(bundle.receiver.deliveries().len(), 1);
    bundle.stop().await;
}

#[tokio::test]
async fn what_a_mover_has_claimed_is_not_cancelled_and_arrives() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/moved", &["message"]).await;
    bundle.receiver.set_behaviour("/moved", Answer::busy(FAR));
    let item = bundle.send(&account, "/bots/b/messages", "{}").await;
    until_held(&bundle.client, &account, &webhook, "message", 1).await;
    bundle.receiver.set_behaviour("/moved", Behaviour::default());
    // A tick moves it to the queue, delayed to its time, which is some minutes away.
    bundle.advance(Duration::from_secs(100 * 60)).await;
    bundle.tick().await;
    bundle.advance(Duration::from_secs(10 * 60)).await;
    bundle.tick().await;
    until_held(&bundle.client, &account, &webhook, "message", 0).await;
    let path = format!("/webhooks/{}/held", webhook.id);
    assert_eq!(delete(&bundle, &account, &format!("{path}/{item}")).await.0, 404);
    let none = delete(&bundle, &account, &format!("{path}?type=message")).await;
    assert_eq!(none, (200, json!({"dropped": 0, "dropped_more": false})));
    let asked = json!({"item": item}).to_string();
    let refused = bundle.client.post(&format!("/webhooks/{}/replay", webhook.id), &account.key, asked).await;
    assert_problem(&refused, 404, "not-found");
    bundle.advance(Duration::from_secs(15 * 60)).await;
    let arrived = bundle.receiver.wait_for_count("/moved", 2, SOON).await.unwrap();
    assert_eq!(arrived.last().unwrap().webhook_id(), Some(item.as_str()));
    bundle.stop().await;
}
