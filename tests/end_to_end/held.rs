//! What is held, and comes out again.

use std::time::Duration;

use bytes::Bytes;
use carteiro_receiver::{Answer, Behaviour, SignatureCheck};
use carteiro_tests::{Account, Bundle, Patience, SOON, comes_true};
use http::StatusCode;
use serde_json::{Value, json};

async fn held(bundle: &Bundle, account: &Account, webhook: &str, item_type: &str) -> u64 {
    let status = bundle.client.get(&format!("/webhooks/{webhook}"), &account.key).await.json();
    status["status"][item_type]["held"].as_u64().unwrap_or_else(|| panic!("{status}"))
}

async fn until_held(bundle: &Bundle, account: &Account, webhook: &str, item_type: &str, count: u64) {
    let came = comes_true(async || held(bundle, account, webhook, item_type).await == count).await;
    assert!(came, "{count} items were not held");
}

/// Moves the time until the receiver has seen a number of attempts, ticking as the schedule would.
async fn attempts(bundle: &Bundle, path: &str, count: u64, step: Duration) {
    for _ in 0..200 {
        if bundle.receiver.wait_for_count(path, count, Duration::from_millis(200)).await.is_ok() {
            return;
        }
        bundle.advance(step).await;
    }
    panic!("attempt {count} did not come");
}

#[tokio::test]
async fn after_an_hour_down_a_receiver_gets_its_item_from_held_rows() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/down", &["message"]).await;
    let down = || Answer::status(StatusCode::SERVICE_UNAVAILABLE);
    bundle.receiver.set_behaviour("/down", Behaviour::from(down()));
    let began = bundle.stack.clock().now_ms();
    let id = bundle.send(&account, "/bots/b/messages", r#"{"id":"patience"}"#).await;
    attempts(&bundle, "/down", 4, Duration::from_secs(20)).await;
    until_held(&bundle, &account, &webhook.id, "message", 1).await;
    assert_eq!(bundle.tick().await["due_shards"], 0, "it is not due before the next tick");
    // The fifth attempt comes about half an hour later, and still fails; the sixth about two hours after that.
    bundle.advance(Duration::from_secs(22 * 60)).await;
    assert_eq!(bundle.tick().await["due_shards"], 1);
    attempts(&bundle, "/down", 5, Duration::from_secs(60)).await;
    until_held(&bundle, &account, &webhook.id, "message", 1).await;
    bundle.receiver.set_behaviour("/down", Behaviour::default());
    bundle.advance(Duration::from_secs(90 * 60)).await;
    assert!(bundle.stack.clock().now_ms() - began > 3_600_000);
    for _ in 0..6 {
        bundle.tick().await;
        if bundle.receiver.wait_for_count("/down", 6, Duration::from_millis(500)).await.is_ok() {
            break;
        }
        bundle.advance(Duration::from_secs(15 * 60)).await;
    }
    let deliveries = bundle.receiver.wait_for_count("/down", 6, SOON).await.unwrap();
    let last = deliveries.last().unwrap();
    assert_eq!((last.webhook_id(), last.attempt()), (Some(id.as_str()), Some(6)));
    assert_eq!(last.body, r#"{"id":"patience"}"#);
    assert_eq!(last.signature, SignatureCheck::Valid);
    until_held(&bundle, &account, &webhook.id, "message", 0).await;
    bundle.stop().await;
}

#[tokio::test]
async fn a_slot_is_planned_once_however_often_it_is_invoked() {
    let bundle = Bundle::start().await;
    let slot = bundle.stack.clock().now_ms();
    let planned = |invocation: carteiro_local::Invocation| {
        serde_json::from_slice::<Value>(&invocation.payload).unwrap()["planned"].as_bool().unwrap()
    };
    let first = bundle.stack.run_schedule("carteiro-tick", slot).await.unwrap();
    let again = bundle.stack.run_schedule("carteiro-tick", slot).await.unwrap();
    let next = bundle.stack.run_schedule("carteiro-tick", slot + 15 * 60 * 1000).await.unwrap();
    assert_eq!([planned(first), planned(again), planned(next)], [true, false, true]);
    bundle.stop().await;
}

#[tokio::test]
async fn a_disabled_webhooks_items_wait_until_it_is_enabled() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/off", &["message"]).await;
    let path = format!("/webhooks/{}", webhook.id);
    let disabled = bundle.client.patch(&path, &account.key, &json!({"enabled": false})).await;
    assert_eq!((disabled.status, disabled.json()["disabled_by"].as_str()), (200, Some("owner")));
    let id = bundle.send(&account, "/bots/b/messages", "{}").await;
    until_held(&bundle, &account, &webhook.id, "message", 1).await;
    assert_eq!(bundle.receiver.count("/off"), 0);
    assert_eq!(bundle.client.patch(&path, &account.key, &json!({"enabled": true})).await.status, 200);
    bundle.advance(Duration::from_secs(31 * 60)).await;
    bundle.tick().await;
    let deliveries = bundle.receiver.wait_for_count("/off", 1, SOON).await.unwrap();
    assert_eq!((deliveries[0].webhook_id(), deliveries[0].attempt()), (Some(id.as_str()), Some(1)));
    bundle.stop().await;
}

#[tokio::test]
async fn a_url_that_is_gone_disables_its_webhook_and_holds_its_items() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/gone", &["message"]).await;
    bundle.receiver.set_behaviour("/gone", Behaviour::from(StatusCode::GONE));
    bundle.send(&account, "/bots/b/messages", "{}").await;
    until_held(&bundle, &account, &webhook.id, "message", 1).await;
    let shown = bundle.client.get(&format!("/webhooks/{}", webhook.id), &account.key).await.json();
    assert_eq!((shown["disabled_by"].as_str(), shown["enabled"].as_bool()), (Some("gone"), Some(false)));
    assert_eq!(shown["status"]["message"]["state"], "disabled");
    bundle.send(&account, "/bots/b/messages", "{}").await;
    until_held(&bundle, &account, &webhook.id, "message", 2).await;
    assert_eq!(bundle.receiver.count("/gone"), 1, "nothing is requested of a disabled webhook");
    bundle.stop().await;
}

#[tokio::test]
async fn an_item_that_waits_longer_than_its_retention_is_dead() {
    let (bundle, account) = Bundle::with_account([("RetentionDays", "1")]).await;
    let webhook = bundle.webhook(&account, "/off", &["message"]).await;
    let path = format!("/webhooks/{}", webhook.id);
    bundle.client.patch(&path, &account.key, &json!({"enabled": false})).await;
    bundle.send(&account, "/bots/b/messages", r#"{"id":"old"}"#).await;
    until_held(&bundle, &account, &webhook.id, "message", 1).await;
    bundle.advance(Duration::from_secs(25 * 3600)).await;
    bundle.tick().await;
    until_held(&bundle, &account, &webhook.id, "message", 0).await;
    let dead = carteiro_tests::dynamodb::scan(&bundle, "DeadTable").await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0]["cause"]["S"], "retention_over");
    assert_eq!(bundle.receiver.count("/off"), 0);
    bundle.stop().await;
}

#[tokio::test]
async fn deleting_a_webhook_drops_what_waits_for_it_and_says_how_much() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/off", &["message", "event"]).await;
    let path = format!("/webhooks/{}", webhook.id);
    bundle.client.patch(&path, &account.key, &json!({"enabled": false})).await;
    for _ in 0..5 {
        bundle.send(&account, "/bots/b/messages", "{}").await;
    }
    bundle.send(&account, "/bots/b/events", "{}").await;
    until_held(&bundle, &account, &webhook.id, "message", 5).await;
    until_held(&bundle, &account, &webhook.id, "event", 1).await;
    let deleted = bundle.client.delete(&path, &account.key).await;
    assert_eq!((deleted.status, deleted.json()), (200, json!({"dropped": 6, "dropped_more": false})));
    assert_eq!(bundle.client.get(&path, &account.key).await.status, 404);
    assert!(carteiro_tests::dynamodb::scan(&bundle, "HeldTable").await.is_empty());
    bundle.stop().await;
}

#[tokio::test]
async fn a_dead_letter_is_brought_into_the_dead_items() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/x", &["message"]).await;
    let queues = &bundle.stack.addresses().sqs;
    let attribute = |value: &str| json!({"DataType": "String", "StringValue": value});
    let message = json!({
        "QueueUrl": format!("{queues}/000000000000/DeliverDeadQueue"),
        "MessageBody": "{\"id\":\"lost\"}",
        "MessageAttributes": {
            "account": attribute(&account.id),
            "webhook": attribute(&webhook.id),
            "item": attribute("item_0000000000000000000000000000002a"),
            "type": attribute("message"),
            "source": attribute("bot:b"),
            "accepted_at": attribute("1795000000000"),
            "attempt": attribute("2"),
            "revision": attribute("1"),
            "encoding": attribute("text"),
        },
    });
    carteiro_tests::sqs::call(&bundle, "SendMessage", &message).await;
    let unreadable = json!({"QueueUrl": message["QueueUrl"], "MessageBody": "nobody knows"});
    carteiro_tests::sqs::call(&bundle, "SendMessage", &unreadable).await;
    assert_eq!(bundle.tick().await["dead_letters"], true);
    let mut dead = Vec::new();
    let mut patience = Patience::default();
    while patience.lasts().await {
        dead = carteiro_tests::dynamodb::scan(&bundle, "DeadTable").await;
        if !dead.is_empty() {
            break;
        }
    }
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0]["cause"]["S"], "dead_letter");
    assert_eq!(dead[0]["item"]["S"], "item_0000000000000000000000000000002a");
    // The one that is no delivery stays, for a person to read.
    let body = Bytes::from_static(b"nobody knows");
    bundle.advance(Duration::from_secs(60)).await;
    let left =
        carteiro_tests::sqs::call(&bundle, "ReceiveMessage", &json!({"QueueUrl": message["QueueUrl"]})).await;
    assert_eq!(left["Messages"][0]["Body"].as_str().map(str::as_bytes), Some(&body[..]), "{left}");
    bundle.stop().await;
}
