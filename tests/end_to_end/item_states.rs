//! Where an item is: one in each state, for its account, the operator and a stranger.

use std::time::Duration;

use bytes::Bytes;
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::{ADMIN_KEY, Account, Bundle, SOON, Webhook, assert_problem};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::networks::{SECRETS, arrived, comment, connect, facebook, hand_on, pushed};

/// An item that never was.
const NEVER: &str = "item_00000000000000000000000000000001";

fn refusal() -> Behaviour {
    Behaviour::from(Answer::status(StatusCode::INTERNAL_SERVER_ERROR))
}

/// A webhook that takes the messages of one bot, which has its path's name.
async fn webhook(bundle: &Bundle, account: &Account, name: &str, mut own: Value) -> Webhook {
    own["sources"] = json!([format!("bot:{name}")]);
    bundle.webhook_set(account, &format!("/{name}"), &["message"], own).await
}

async fn send(bundle: &Bundle, account: &Account, name: &str) -> String {
    bundle.send(account, &format!("/bots/{name}/messages"), r#"{"text":"x"}"#).await
}

/// What the operator sees of an item at a webhook of an account; null where there is nothing.
async fn seen(bundle: &Bundle, account: &Account, webhook: &Webhook, item: &str) -> Value {
    let reply = bundle.client.get(&format!("/items/{item}?account={}", account.id), ADMIN_KEY).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let webhooks = reply.json()["webhooks"].as_array().unwrap().clone();
    webhooks.into_iter().find(|one| one["webhook"] == webhook.id).unwrap_or_default()
}

/// Waits until an item is in a state at a webhook, for a reason.
async fn until(
    bundle: &Bundle,
    account: &Account,
    webhook: &Webhook,
    item: &str,
    (state, why): (&str, Option<&str>),
) -> Value {
    let mut shown = Value::Null;
    for _ in 0..300 {
        shown = seen(bundle, account, webhook, item).await;
        if shown["state"] == state && shown["why"] == json!(why) {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("not {state} {why:?}: {shown}; {:#?}", bundle.complaints());
}

/// Asserts that an item's account sees what the operator sees, and that a stranger sees what there is of no item.
async fn is_told_to_its_own_alone(bundle: &Bundle, account: &Account, stranger: &Account, item: &str) {
    let path = format!("/items/{item}");
    let own = bundle.client.get(&path, &account.key).await.json();
    assert_eq!((&own["id"], &own["account"]), (&json!(item), &json!(account.id)), "{own}");
    assert!(own["accepted_at"].is_string(), "{own}");
    let named = bundle.client.get(&format!("{path}?account={}", account.id), ADMIN_KEY).await.json();
    assert_eq!(own, named, "the operator sees the same");
    let never = bundle.client.get(&format!("/items/{NEVER}"), &stranger.key).await;
    let refused = bundle.client.get(&path, &stranger.key).await;
    let [refused, never] = [refused, never].map(|reply| {
        let mut problem = assert_problem(&reply, 404, "not-found");
        problem.as_object_mut().unwrap().remove("request_id");
        problem
    });
    assert_eq!(refused, never);
    let foreign = bundle.client.get(&format!("{path}?account={}", account.id), &stranger.key).await;
    assert_problem(&foreign, 404, "not-found");
}

#[tokio::test]
async fn items_that_arrive_or_wait_in_the_queue_are_told_apart() {
    let bundle = Bundle::start().await;
    let (account, stranger) = (bundle.account().await, bundle.account().await);
    let quiet = webhook(&bundle, &account, "quiet", json!({})).await;
    let logged = webhook(&bundle, &account, "logged", json!({"log": "all"})).await;
    let retried = webhook(&bundle, &account, "retried", json!({})).await;
    bundle.receiver.set_behaviour("/retried", refusal());
    let item = send(&bundle, &account, "quiet").await;
    bundle.receiver.wait_for_count("/quiet", 1, SOON).await.unwrap();
    let shown = until(&bundle, &account, &quiet, &item, ("no_failure_stored", None)).await;
    assert_eq!((&shown["log_read"], &shown["lane"]), (&json!("whole"), &json!("usual")), "{shown}");
    assert_eq!(shown["last_attempt"], Value::Null, "{shown}");
    let whole = bundle.client.get(&format!("/items/{item}"), &account.key).await.json();
    assert_eq!((&whole["type"], &whole["source"]), (&json!("message"), &Value::Null), "{whole}");
    assert_eq!(
        whole["webhooks"].as_array().unwrap().len(),
        1,
        "the others take no item of this bot: {whole}"
    );
    is_told_to_its_own_alone(&bundle, &account, &stranger, &item).await;
    // Its id alone names no account.
    assert_problem(&bundle.client.get(&format!("/items/{item}"), ADMIN_KEY).await, 404, "not-found");

    let item = send(&bundle, &account, "logged").await;
    let shown = until(&bundle, &account, &logged, &item, ("delivered", None)).await;
    assert_eq!(shown["last_attempt"]["outcome"], "success", "{shown}");
    assert_eq!(shown["since"], shown["last_attempt"]["at"], "{shown}");
    is_told_to_its_own_alone(&bundle, &account, &stranger, &item).await;

    let item = send(&bundle, &account, "retried").await;
    let shown = until(&bundle, &account, &retried, &item, ("queued", None)).await;
    assert_eq!(shown["next_at"], shown["last_attempt"]["next_at"], "{shown}");
    assert_eq!(shown["last_attempt"]["status"], 500, "{shown}");
    is_told_to_its_own_alone(&bundle, &account, &stranger, &item).await;
    // One that its producer named is known by its attempts alone.
    let own = bundle.send(&account, "/bots/logged/messages", r#"{"id":"m-1","text":"x"}"#).await;
    bundle.receiver.wait_for_count("/logged", 2, SOON).await.unwrap();
    bundle.until_rest().await;
    let found = bundle.client.get(&format!("/items/{own}"), &account.key).await;
    assert_eq!(found.json()["webhooks"][0]["state"], "delivered", "{}", found.text());
    for unknown in [NEVER, "nothing"] {
        let reply = bundle.client.get(&format!("/items/{unknown}"), &account.key).await;
        assert_problem(&reply, 404, "not-found");
    }
    let wrong = bundle.client.get(&format!("/items/{item}?webhook=x"), &account.key).await;
    assert_eq!(assert_problem(&wrong, 422, "invalid")["errors"][0]["field"], "webhook");
    bundle.stop().await;
}

#[tokio::test]
async fn held_dropped_and_dead_items_say_why() {
    let bundle = Bundle::start_with([("RetentionDays", "1")]).await;
    let (account, stranger) = (bundle.account().await, bundle.account().await);
    let blocked = webhook(&bundle, &account, "blocked", json!({"threshold": 1})).await;
    let later = webhook(&bundle, &account, "later", json!({})).await;
    let off = webhook(&bundle, &account, "off", json!({"enabled": false})).await;
    let discarding = json!({"threshold": 1, "while_blocked": "discard"});
    let discarding = webhook(&bundle, &account, "discarding", discarding).await;
    let cancelled = webhook(&bundle, &account, "cancelled", json!({"enabled": false})).await;
    let deleted = webhook(&bundle, &account, "deleted", json!({})).await;
    for path in ["/blocked", "/discarding", "/deleted"] {
        bundle.receiver.set_behaviour(path, refusal());
    }
    bundle.receiver.set_behaviour("/later", Answer::busy(7200));
    for name in ["blocked", "discarding"] {
        send(&bundle, &account, name).await;
        bundle.receiver.wait_for_count(&format!("/{name}"), 1, SOON).await.unwrap();
    }
    bundle.until_rest().await;
    let mut items = Vec::new();

    let item = send(&bundle, &account, "blocked").await;
    let shown = until(&bundle, &account, &blocked, &item, ("held", Some("blocked"))).await;
    let status = bundle.status(&account, &blocked, "message").await;
    assert_eq!(
        (&shown["blocked_until"], &shown["attempt"]),
        (&status["blocked_until"], &json!(1)),
        "{shown}"
    );
    items.push(item);

    let item = send(&bundle, &account, "later").await;
    let shown = until(&bundle, &account, &later, &item, ("held", Some("retry"))).await;
    assert_eq!((&shown["last_error"]["status"], &shown["attempt"]), (&json!(503), &json!(2)), "{shown}");
    assert!(shown["next_at"].is_string(), "{shown}");
    let listed = bundle.client.get(&format!("/webhooks/{}/held", later.id), &account.key).await.json();
    assert_eq!(listed["data"][0]["last_error"], shown["last_error"], "{listed}");
    items.push(item);

    let dying = send(&bundle, &account, "off").await;
    until(&bundle, &account, &off, &dying, ("held", Some("disabled"))).await;

    let item = send(&bundle, &account, "discarding").await;
    until(&bundle, &account, &discarding, &item, ("dropped", Some("discarded"))).await;
    items.push(item);

    let item = send(&bundle, &account, "cancelled").await;
    until(&bundle, &account, &cancelled, &item, ("held", Some("disabled"))).await;
    let path = format!("/webhooks/{}/held/{item}", cancelled.id);
    assert_eq!(bundle.client.delete(&path, &account.key).await.status, 200);
    until(&bundle, &account, &cancelled, &item, ("dropped", Some("cancelled"))).await;
    items.push(item);

    let item = send(&bundle, &account, "deleted").await;
    until(&bundle, &account, &deleted, &item, ("queued", None)).await;
    let path = format!("/webhooks/{}", deleted.id);
    assert_eq!(bundle.client.delete(&path, &account.key).await.status, 200);
    bundle.advance(Duration::from_secs(60)).await;
    let shown = until(&bundle, &account, &deleted, &item, ("dropped", Some("webhook_deleted"))).await;
    assert_eq!(shown["url"], Value::Null, "{shown}");
    items.push(item);

    for item in &items {
        is_told_to_its_own_alone(&bundle, &account, &stranger, item).await;
        // Rows say whose they are.
        let reply = bundle.client.get(&format!("/items/{item}"), ADMIN_KEY).await;
        assert_eq!(reply.json()["account"], account.id, "{}", reply.text());
    }
    bundle.advance(Duration::from_secs(25 * 3600)).await;
    bundle.tick().await;
    let shown = until(&bundle, &account, &off, &dying, ("dead", Some("retention_over"))).await;
    assert!(shown["since"].is_string() && shown["message"]["pt-BR"].is_string(), "{shown}");
    is_told_to_its_own_alone(&bundle, &account, &stranger, &dying).await;
    bundle.stop().await;
}

#[tokio::test]
async fn the_log_names_what_was_accepted_and_held() {
    let (bundle, account) = Bundle::with_account([]).await;
    let off = webhook(&bundle, &account, "off", json!({"enabled": false})).await;
    let one = send(&bundle, &account, "off").await;
    let line = json!({"type": "message", "item": {"n": 1}});
    let authorization = format!("Bearer {}", account.key);
    let headers = [("authorization", authorization.as_str())];
    let body = Bytes::from(format!("{line}\n{line}\n"));
    let many = bundle.client.request(Method::POST, "/bots/off/items", &headers, body).await.json();
    let many: Vec<_> = many["results"].as_array().unwrap().iter().map(|line| line["id"].clone()).collect();
    bundle.until_rest().await;
    let lines = |function: &str, message: &str| -> Vec<Value> {
        let lines = bundle.logs.of(function);
        let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == message).collect()
    };
    let accepted = lines("IngestFunction", "request.answered");
    assert!(accepted.iter().any(|line| line["item"] == json!(one)), "{accepted:?}");
    let of_many = lines("IngestFunction", "items.accepted");
    assert_eq!(of_many.len(), 1, "a line a request: {of_many:?}");
    let held: Vec<_> = lines("DeliverFunction", "delivery.held");
    let names = |lines: &[Value], item: &Value| {
        lines.iter().any(|line| line["items"].as_str().unwrap().contains(item.as_str().unwrap()))
    };
    for item in &many {
        assert!(names(&of_many, item), "{of_many:?}");
    }
    for item in many.iter().chain([&json!(one)]) {
        assert!(names(&held, item), "{held:?}");
    }
    assert!(held.iter().all(|line| line["webhook"] == off.id && line["held_for"] == "disabled"), "{held:?}");
    bundle.stop().await;
}

#[tokio::test]
async fn a_collected_item_names_its_page() {
    let bundle = Bundle::start_with(SECRETS).await;
    let (account, stranger) = (bundle.account().await, bundle.account().await);
    bundle.webhook(&account, "/collected", &["interaction"]).await;
    let page = connect(&bundle, &account, "facebook", "1001").await;
    pushed(&bundle, "facebook", &facebook(&[("1001", vec![comment(1, "hello")])])).await;
    hand_on(&bundle).await;
    let item = arrived(&bundle, "/collected", 1).await.into_keys().next().unwrap();
    let mut shown = Value::Null;
    for _ in 0..100 {
        let reply = bundle.client.get(&format!("/items/{item}"), ADMIN_KEY).await;
        shown = reply.json();
        if reply.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(
        (&shown["collected"]["page"], &shown["account"]),
        (&json!(page), &json!(account.id)),
        "{shown}"
    );
    assert_eq!(shown["source"], format!("page:{page}"), "{shown}");
    assert_eq!(shown["webhooks"][0]["state"], "no_failure_stored", "{shown}");
    is_told_to_its_own_alone(&bundle, &account, &stranger, &item).await;
    bundle.stop().await;
}
