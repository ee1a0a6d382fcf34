//! What ends without being delivered: items that their webhook does not take any more, and items that die. Both are
//! counted, and their owner is told.

use std::time::Duration;

use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::blocks::{is_blocked, send_many, until};
use carteiro_tests::{Bundle, SOON, assert_problem};
use http::StatusCode;
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);

fn notices(bundle: &Bundle, path: &str, kind: &str) -> Vec<Value> {
    let deliveries = bundle.receiver.deliveries_to(path);
    let bodies = deliveries.iter().map(|delivery| serde_json::from_slice::<Value>(&delivery.body).unwrap());
    bodies.filter(|notice| notice["type"] == kind).collect()
}

fn logged(bundle: &Bundle, event: &str) -> usize {
    let lines = bundle.logs.of("DeliverFunction");
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_event = lines.filter(|line| line["message"] == event);
    of_event.map(|line| line["items"].as_str().map_or(0, |items| items.split(' ').count())).sum()
}

#[tokio::test]
async fn a_type_that_was_taken_away_is_not_attempted_at_a_blocks_end() {
    let (bundle, account) = Bundle::with_account([("FailureThreshold", "3"), ("BlockSeconds", "600")]).await;
    let webhook = bundle.webhook(&account, "/w", &["event", "message"]).await;
    bundle.receiver.set_behaviour("/w", Answer::status(StatusCode::BAD_GATEWAY));
    send_many(&bundle.client, &account, "event", 3).await;
    until(&bundle.client, &account, &webhook, "event", is_blocked).await;
    bundle.until_rest().await;
    bundle.receiver.set_behaviour("/w", Behaviour::default());
    send_many(&bundle.client, &account, "event", 4).await;
    bundle.until_rest().await;
    let before = bundle.receiver.count("/w");

    bundle.patch(&account, &webhook, &json!({"items": ["message"]})).await;
    let status = bundle.status(&account, &webhook, "event").await;
    assert_eq!((&status["taken"], status["held"].as_u64().unwrap() >= 4), (&json!(false), true), "{status}");

    bundle.advance(Duration::from_secs(900)).await;
    for _ in 0..2 {
        bundle.tick().await;
        bundle.until_rest().await;
        bundle.advance(Duration::from_secs(900)).await;
    }
    assert_eq!(bundle.receiver.count("/w"), before, "nothing of the type is requested");
    assert_eq!(bundle.status(&account, &webhook, "event").await, Value::Null, "nothing of it is left");
    assert!(logged(&bundle, "delivery.not_taken") >= 4);

    bundle.patch(&account, &webhook, &json!({"items": ["event", "message"]})).await;
    let status = bundle.status(&account, &webhook, "event").await;
    assert!(status["dropped"].as_u64().unwrap() >= 4, "{status}");
    bundle.stop().await;
}

#[tokio::test]
async fn a_retry_in_the_queue_respects_a_source_that_was_taken_away() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/w", &["event"]).await;
    bundle.receiver.set_behaviour("/w", Answer::status(StatusCode::BAD_GATEWAY));
    bundle.send(&account, "/bots/one/events", "{}").await;
    bundle.send(&account, "/bots/two/events", "{}").await;
    bundle.receiver.wait_for_count("/w", 2, SOON).await.unwrap();
    bundle.until_rest().await;
    bundle.receiver.set_behaviour("/w", Behaviour::default());
    bundle.patch(&account, &webhook, &json!({"sources": ["bot:two"]})).await;
    bundle.advance(Duration::from_secs(10)).await;
    bundle.receiver.wait_for_count("/w", 3, SOON).await.unwrap();
    bundle.until_rest().await;
    let last = bundle.receiver.deliveries_to("/w").pop().unwrap();
    assert_eq!(last.header("carteiro-source"), Some("bot:two"));
    assert_eq!(bundle.receiver.count("/w"), 3);
    assert_eq!(logged(&bundle, "delivery.not_taken"), 1);
    bundle.stop().await;
}

#[tokio::test]
async fn items_held_while_disabled_are_dropped_if_no_longer_taken() {
    let (bundle, account) = Bundle::with_account([]).await;
    let webhook = bundle.webhook_set(&account, "/w", &["event", "message"], json!({"enabled": false})).await;
    send_many(&bundle.client, &account, "event", 2).await;
    send_many(&bundle.client, &account, "message", 2).await;
    bundle.until_rest().await;
    bundle.patch(&account, &webhook, &json!({"items": ["message"], "enabled": true})).await;
    bundle.receiver.wait_for_count("/w", 2, SOON).await.unwrap();
    bundle.until_rest().await;
    let types: Vec<_> = bundle.receiver.deliveries_to("/w");
    assert!(types.iter().all(|delivery| delivery.header("carteiro-item-type") == Some("message")));
    assert_eq!(types.len(), 2);
    bundle.stop().await;
}

#[tokio::test]
async fn deaths_are_notified_hourly_and_replays_need_the_type() {
    let (bundle, account, _) = Bundle::with_webhook([("RetentionDays", "1")], "/notices", &["notice"]).await;
    let webhook = bundle.webhook_set(&account, "/w", &["event"], json!({"enabled": false})).await;
    let first = bundle.send(&account, "/bots/b/events", r#"{"n":1}"#).await;
    bundle.until_rest().await;
    bundle.advance(Duration::from_secs(120)).await;
    let second = bundle.send(&account, "/bots/b/events", r#"{"n":2}"#).await;
    bundle.until_rest().await;
    bundle.advance(HOUR / 2).await;
    bundle.send(&account, "/bots/b/events", r#"{"n":3}"#).await;
    bundle.until_rest().await;

    // The first two die together, and are told together.
    bundle.advance(HOUR * 24 - HOUR / 2 + Duration::from_secs(60)).await;
    bundle.tick().await;
    bundle.receiver.wait_for_count("/notices", 1, SOON).await.unwrap();
    let told = notices(&bundle, "/notices", "webhook.dead");
    let data = &told[0]["data"];
    assert_eq!((&data["webhook"], &data["item_type"]), (&json!(webhook.id), &json!("event")), "{data}");
    assert_eq!((&data["oldest"]["id"], &data["items"]), (&json!(first), &json!(2)), "{data}");
    assert_eq!(data["oldest"]["cause"], "retention_over");

    // The third is told when an hour is over.
    bundle.until_rest().await;
    bundle.advance(HOUR / 2).await;
    bundle.tick().await;
    bundle.until_rest().await;
    assert_eq!(bundle.status(&account, &webhook, "event").await["dead"], 3);
    assert_eq!(notices(&bundle, "/notices", "webhook.dead").len(), 1);
    bundle.advance(HOUR).await;
    bundle.tick().await;
    bundle.receiver.wait_for_count("/notices", 2, SOON).await.unwrap();
    assert_eq!(notices(&bundle, "/notices", "webhook.dead")[1]["data"]["items"], 1);

    bundle.patch(&account, &webhook, &json!({"items": ["message"], "enabled": true})).await;
    let path = format!("/webhooks/{}/replay", webhook.id);
    for wanted in [json!({"type": "event"}), json!({"item": second})] {
        let reply = bundle.client.post(&path, &account.key, wanted.to_string()).await;
        let problem = assert_problem(&reply, 422, "invalid");
        assert_eq!(problem["errors"][0]["field"], "type", "{problem}");
    }
    assert_eq!(bundle.receiver.count("/w"), 0);
    bundle.stop().await;
}
