//! The rule of blocking, from outside.

use std::time::Duration;

use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::{Account, Bundle, SOON, Webhook};
use http::{Method, StatusCode};
use serde_json::{Value, json};

const FAILING: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

/// Sends so many items of a type in one request, which must take them all.
async fn send_many(bundle: &Bundle, account: &Account, item_type: &str, count: usize) -> Vec<String> {
    let line = |n: usize| format!("{}\n", json!({"type": item_type, "item": {"n": n}}));
    let body: String = (0..count).map(line).collect();
    let authorization = format!("Bearer {}", account.key);
    let headers = [("authorization", authorization.as_str())];
    let reply = bundle.client.request(Method::POST, "/bots/b/items", &headers, body).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let results = reply.json()["results"].as_array().unwrap().clone();
    let ids: Vec<String> = results.iter().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect();
    assert_eq!(ids.len(), count);
    ids
}

async fn status(bundle: &Bundle, account: &Account, webhook: &Webhook, item_type: &str) -> Value {
    let shown = bundle.client.get(&format!("/webhooks/{}", webhook.id), &account.key).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    shown.json()["status"][item_type].clone()
}

/// Waits until the status of a type is as wanted.
async fn until(
    bundle: &Bundle,
    account: &Account,
    webhook: &Webhook,
    item_type: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let mut shown = Value::Null;
    for _ in 0..600 {
        shown = status(bundle, account, webhook, item_type).await;
        if wanted(&shown) {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the status did not become as wanted: {shown}");
}

fn is_blocked(status: &Value) -> bool {
    status["state"] == "blocked"
}

/// Waits until nothing arrives at a path any more, and answers how much had.
async fn settled(bundle: &Bundle, path: &str) -> u64 {
    loop {
        let before = bundle.receiver.count(path);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        if bundle.receiver.count(path) == before {
            return before;
        }
    }
}

#[tokio::test]
async fn a_thousand_failures_in_a_row_block_that_type_alone_until_the_block_is_over() {
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    let webhook = bundle.webhook(&account, "/x", &["message", "event"]).await;
    bundle.receiver.set_behaviour("/x", Behaviour::from(FAILING));
    let mut sent = send_many(&bundle, &account, "message", 1100).await;
    let blocked = until(&bundle, &account, &webhook, "message", is_blocked).await;
    assert_eq!((&blocked["failures"], &blocked["threshold"]), (&json!(1000), &json!(1000)));
    assert_eq!(blocked["last_error"]["status"], 500);
    let message = &blocked["message"];
    assert!(message["pt-BR"].as_str().unwrap().contains("bloqueado"), "{message}");
    assert!(message["en"].as_str().unwrap().contains("1000 times in a row"), "{message}");
    let requested = settled(&bundle, "/x").await;
    assert!(
        (1000..=1200).contains(&requested),
        "{requested} requests: the threshold, and what was in flight"
    );

    // During the block: nothing of the type, whatever becomes of the URL; the other type goes on.
    bundle.receiver.set_behaviour("/x", Behaviour::default());
    bundle.receiver.clear();
    let event = bundle.send(&account, "/bots/b/events", r#"{"category":"c"}"#).await;
    bundle.receiver.wait_for(|one| one.webhook_id() == Some(&event), SOON).await.unwrap();
    sent.push(bundle.send(&account, "/bots/b/messages", r#"{"late":true}"#).await);
    // What has arrived is deleted from the queue before the time moves past its visibility timeout.
    settled(&bundle, "/x").await;
    bundle.advance(Duration::from_secs(3600)).await;
    bundle.tick().await;
    assert_eq!(settled(&bundle, "/x").await, 1, "the event alone");
    until(&bundle, &account, &webhook, "message", |status| status["held_more"] == true).await;

    // A tick before the end plans the release to the second.
    bundle.advance(Duration::from_secs(3 * 3600 - 600)).await;
    bundle.tick().await;
    assert_eq!(settled(&bundle, "/x").await, 1);
    bundle.advance(Duration::from_secs(610)).await;
    bundle.receiver.wait_for_count("/x", 1 + 1101, SOON * 6).await.unwrap();
    let counts = bundle.receiver.counts_by_webhook_id("/x");
    let missing = sent.iter().filter(|id| !counts.contains_key(*id)).count();
    assert_eq!(missing, 0, "of {}", sent.len());
    let open = until(&bundle, &account, &webhook, "message", |status| status["held"] == 0).await;
    assert_eq!(
        (&open["state"], &open["failures"], &open["message"]),
        (&json!("open"), &json!(0), &Value::Null)
    );

    // And again.
    bundle.receiver.set_behaviour("/x", Behaviour::from(FAILING));
    send_many(&bundle, &account, "message", 1000).await;
    until(&bundle, &account, &webhook, "message", is_blocked).await;
    bundle.stop().await;
}

#[tokio::test]
async fn failures_that_a_success_interrupts_never_block() {
    let bundle = Bundle::start_with([("FailureThreshold", "20"), ("DeliverConcurrency", "2")]).await;
    let account = bundle.account().await;
    let webhook = bundle.webhook(&account, "/y", &["message"]).await;
    for _ in 0..5 {
        let failing = std::iter::repeat_n(Answer::status(FAILING), 19);
        bundle.receiver.clear();
        bundle.receiver.set_behaviour("/y", Behaviour::sequence(failing, Answer::status(StatusCode::OK)));
        send_many(&bundle, &account, "message", 20).await;
        bundle.receiver.wait_for_count("/y", 20, SOON).await.unwrap();
        // The retries of the 19 succeed.
        settled(&bundle, "/y").await;
        bundle.advance(Duration::from_secs(8)).await;
        bundle.receiver.wait_for_count("/y", 39, SOON).await.unwrap();
        let open = until(&bundle, &account, &webhook, "message", |status| status["failures"] == 0).await;
        assert_eq!(open["state"], "open");
    }
    bundle.stop().await;
}

#[tokio::test]
async fn what_a_webhook_discards_while_it_is_blocked_is_counted_and_never_sent() {
    let bundle = Bundle::start_with([("FailureThreshold", "5")]).await;
    let account = bundle.account().await;
    let settings = json!({"url": bundle.receiver.url("/d"), "items": ["event"], "while_blocked": "discard"});
    let webhook = bundle.webhook_with(&account, settings).await;
    bundle.receiver.set_behaviour("/d", Behaviour::from(FAILING));
    send_many(&bundle, &account, "event", 5).await;
    until(&bundle, &account, &webhook, "event", is_blocked).await;
    settled(&bundle, "/d").await;
    bundle.receiver.clear();
    send_many(&bundle, &account, "event", 30).await;
    let blocked =
        until(&bundle, &account, &webhook, "event", |status| status["discarded"].as_u64() >= Some(30)).await;
    assert_eq!(blocked["held"], 0);
    assert_eq!(settled(&bundle, "/d").await, 0);
    bundle.stop().await;
}

#[tokio::test]
async fn an_unblock_and_a_new_url_end_the_block_at_once_and_release_what_was_held() {
    let bundle = Bundle::start_with([("FailureThreshold", "5")]).await;
    let account = bundle.account().await;
    let webhook = bundle.webhook(&account, "/u", &["event"]).await;
    let path = format!("/webhooks/{}", webhook.id);
    for ending in ["unblock", "new url"] {
        bundle.receiver.set_behaviour("/u", Behaviour::from(FAILING));
        let ids = send_many(&bundle, &account, "event", 20).await;
        until(&bundle, &account, &webhook, "event", is_blocked).await;
        settled(&bundle, "/u").await;
        // What failed before the block and is to be retried soon meets the block, and is held too.
        bundle.advance(Duration::from_secs(8)).await;
        until(&bundle, &account, &webhook, "event", |status| status["held"] == 20).await;
        bundle.receiver.set_behaviour("/u", Behaviour::default());
        bundle.receiver.clear();
        let ended = if ending == "unblock" {
            bundle.client.post(&format!("{path}/unblock"), &account.key, "").await
        } else {
            bundle.client.patch(&path, &account.key, &json!({"url": bundle.receiver.url("/v")})).await
        };
        assert_eq!(ended.status, 200, "{}", ended.text());
        let arrived = if ending == "unblock" { "/u" } else { "/v" };
        bundle.receiver.wait_for_count(arrived, 20, SOON).await.unwrap();
        let counts = bundle.receiver.counts_by_webhook_id(arrived);
        assert!(ids.iter().all(|id| counts.contains_key(id)), "{ending}: {counts:?}");
        until(&bundle, &account, &webhook, "event", |status| {
            status["state"] == "open" && status["held"] == 0
        })
        .await;
    }
    bundle.stop().await;
}

#[tokio::test]
async fn a_url_that_still_fails_after_the_block_costs_one_first_step_a_tick() {
    let settings = [("FailureThreshold", "500"), ("BlockSeconds", "60")];
    let bundle = Bundle::start_with(settings).await;
    let account = bundle.account().await;
    let webhook = bundle.webhook(&account, "/s", &["event"]).await;
    bundle.receiver.set_behaviour("/s", Behaviour::from(FAILING));
    send_many(&bundle, &account, "event", 500).await;
    until(&bundle, &account, &webhook, "event", is_blocked).await;
    send_many(&bundle, &account, "event", 100).await;
    settled(&bundle, "/s").await;
    bundle.advance(Duration::from_secs(10)).await;
    let held =
        until(&bundle, &account, &webhook, "event", |status| status["held"].as_u64() >= Some(590)).await;
    bundle.advance(Duration::from_secs(60)).await;
    for _ in 0..3 {
        bundle.receiver.clear();
        bundle.tick().await;
        bundle.receiver.wait_for_count("/s", 10, SOON).await.unwrap();
        assert_eq!(settled(&bundle, "/s").await, 10, "a first step, and no more");
        bundle.advance(Duration::from_secs(15 * 60)).await;
    }
    // None of them used up its schedule.
    let deliveries = bundle.receiver.deliveries_to("/s");
    assert!(deliveries.iter().all(|one| one.attempt() <= Some(2)), "{held}");
    bundle.stop().await;
}

#[tokio::test]
async fn an_account_is_told_of_warnings_of_the_block_and_of_its_end_once_each() {
    let bundle = Bundle::start_with([("FailureThreshold", "40"), ("DeliverConcurrency", "2")]).await;
    let account = bundle.account().await;
    let failing = bundle.webhook(&account, "/f", &["event"]).await;
    bundle.webhook(&account, "/told", &["notice"]).await;
    bundle.receiver.set_behaviour("/f", Behaviour::from(FAILING));
    let told = |kind: &str| {
        let notices = bundle.receiver.deliveries_to("/told");
        let bodies = notices.iter().map(|one| serde_json::from_slice::<Value>(&one.body).unwrap());
        bodies.filter(|body| body["type"] == kind).collect::<Vec<_>>()
    };
    let wait = async |kind: &str, count: usize| {
        for _ in 0..300 {
            if told(kind).len() >= count {
                return told(kind);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{kind} was not told: {:?}", told(kind));
    };
    send_many(&bundle, &account, "event", 25).await;
    let warned = wait("webhook.failing", 1).await;
    assert_eq!((&warned[0]["data"]["percent"], &warned[0]["data"]["threshold"]), (&json!(50), &json!(40)));
    assert_eq!(warned[0]["data"]["webhook"], json!(failing.id));
    settled(&bundle, "/f").await;
    send_many(&bundle, &account, "event", 15).await;
    let blocked = wait("webhook.blocked", 1).await;
    assert_eq!(blocked[0]["data"]["last_error"]["status"], 500);
    assert!(blocked[0]["data"]["message"]["pt-BR"].as_str().unwrap().contains("bloqueado"));
    bundle.receiver.set_behaviour("/f", Behaviour::default());
    // What has arrived is deleted from the queue before the time moves past its visibility timeout.
    settled(&bundle, "/told").await;
    bundle.advance(Duration::from_secs(4 * 3600 - 300)).await;
    bundle.tick().await;
    assert!(told("webhook.released").is_empty());
    bundle.advance(Duration::from_secs(310)).await;
    wait("webhook.released", 1).await;
    settled(&bundle, "/told").await;
    let counts = bundle.receiver.counts_by_webhook_id("/told");
    assert!(counts.values().all(|&count| count == 1), "{counts:?}");
    assert!((1..=3).contains(&told("webhook.failing").len()));
    assert_eq!((told("webhook.blocked").len(), told("webhook.released").len()), (1, 1));
    bundle.stop().await;
}
