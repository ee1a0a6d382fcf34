//! One bad message, URL or webhook does not touch the others.

use std::time::Duration;

use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::{Bundle, Patience, SOON};
use http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn a_message_that_is_no_delivery_fails_alone() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["message"]).await;
    let url = format!("{}/000000000000/DeliverQueue", bundle.stack.addresses().sqs);
    for body in ["poison", "{}", "\"\""] {
        carteiro_tests::sqs::call(&bundle, "SendMessage", &json!({"QueueUrl": url, "MessageBody": body}))
            .await;
    }
    let ids: Vec<String> = futures_util::future::join_all((0..30).map(|n| {
        let body = format!(r#"{{"id":"{n}"}}"#);
        let (bundle, account) = (&bundle, &account);
        async move { bundle.send(account, "/bots/b/messages", body).await }
    }))
    .await;
    bundle.receiver.wait_for_count("/all", 30, SOON).await.unwrap();
    let counts = bundle.receiver.counts_by_webhook_id("/all");
    assert!(ids.iter().all(|id| counts.get(id) == Some(&1)), "{counts:?}");
    let logged = bundle.logs.of("DeliverFunction");
    assert!(logged.iter().any(|line| line.contains("delivery.unreadable")), "{logged:?}");
    bundle.stop().await;
}

#[tokio::test]
async fn a_url_that_never_answers_meets_the_deadline_and_delays_none() {
    const DEADLINE_MS: u64 = 8_000;
    let seconds = (DEADLINE_MS / 1000).to_string();
    let bundle = Bundle::start_with([("AttemptSeconds", seconds.as_str()), ("LogLevel", "DEBUG")]).await;
    let account = bundle.account().await;
    let hanging = bundle.webhook(&account, "/hanging", &["message"]).await;
    bundle.webhook(&account, "/quick", &["message"]).await;
    bundle.receiver.set_behaviour("/hanging", Behaviour::from(Answer::hang()));
    bundle.send(&account, "/bots/b/messages", "{}").await;
    bundle.receiver.wait_for_count("/quick", 1, SOON).await.unwrap();
    let timed_out = || {
        let logged = bundle.logs.of("DeliverFunction");
        logged.iter().any(|line| line.contains("\"outcome\":\"timeout\"") && line.contains(&hanging.id))
    };
    assert!(!timed_out(), "it arrives while the other one's attempt is still under way");
    // The hanging one is attempted again after its deadline, and four seconds at least.
    bundle.receiver.wait_for_count("/hanging", 2, SOON).await.unwrap();
    let times: Vec<u64> =
        bundle.receiver.deliveries_to("/hanging").iter().map(|one| one.received_at_ms).collect();
    // Its arrival is a little later than its attempt's beginning, from which the deadline counts.
    assert!(times[1] - times[0] >= DEADLINE_MS, "{times:?}");
    assert!(timed_out(), "{:?}", bundle.logs.of("DeliverFunction"));
    bundle.stop().await;
}

#[tokio::test]
async fn every_webhook_that_takes_an_item_gets_it_and_no_other_does() {
    let (bundle, account) = Bundle::with_account([]).await;
    let stranger = bundle.account().await;
    bundle.webhook(&account, "/messages", &["message"]).await;
    bundle.webhook(&account, "/both", &["message", "event"]).await;
    bundle.webhook(&account, "/events", &["event"]).await;
    bundle.webhook(&stranger, "/stranger", &["message", "event"]).await;
    bundle.webhook_set(&account, "/one-bot", &["message"], json!({"sources": ["bot:other"]})).await;
    let reply = bundle.client.post("/bots/b/messages", &account.key, "{}").await;
    assert_eq!(reply.json()["webhooks"], 2);
    let none = bundle.client.post("/bots/b/contacts", &account.key, "{}").await;
    assert_eq!((none.status, none.json()["webhooks"].as_u64()), (202, Some(0)));
    let other = bundle.client.post("/bots/other/messages", &account.key, "{}").await;
    assert_eq!(other.json()["webhooks"], 3);
    bundle.receiver.wait_for_count("/messages", 2, SOON).await.unwrap();
    bundle.receiver.wait_for_count("/both", 2, SOON).await.unwrap();
    bundle.receiver.wait_for_count("/one-bot", 1, SOON).await.unwrap();
    bundle.until_rest().await;
    assert_eq!((bundle.receiver.count("/events"), bundle.receiver.count("/stranger")), (0, 0));
    bundle.stop().await;
}

#[tokio::test]
async fn a_changed_url_is_where_the_next_attempt_goes() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/old", &["message"]).await;
    bundle.receiver.set_behaviour("/old", Behaviour::from(StatusCode::NOT_FOUND));
    let id = bundle.send(&account, "/bots/b/messages", "{}").await;
    bundle.receiver.wait_for_count("/old", 1, SOON).await.unwrap();
    let patch = json!({"url": bundle.receiver.url("/new"), "headers": {"Authorization": "Bearer abc"}});
    let changed = bundle.client.patch(&format!("/webhooks/{}", webhook.id), &account.key, &patch).await;
    assert_eq!(changed.json()["revision"], 2, "{}", changed.text());
    let delivery = bundle.receiver.wait_for(|one| &*one.path == "/new", SOON).await.unwrap();
    assert_eq!((delivery.webhook_id(), delivery.attempt()), (Some(id.as_str()), Some(2)));
    assert_eq!(delivery.header("authorization"), Some("Bearer abc"));
    bundle.stop().await;
}

#[tokio::test]
async fn a_deleted_webhooks_deliveries_are_dropped() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/deleted", &["message"]).await;
    bundle.receiver.set_behaviour("/deleted", Behaviour::from(StatusCode::NOT_FOUND));
    bundle.send(&account, "/bots/b/messages", "{}").await;
    bundle.receiver.wait_for_count("/deleted", 1, SOON).await.unwrap();
    assert_eq!(bundle.client.delete(&format!("/webhooks/{}", webhook.id), &account.key).await.status, 200);
    bundle.advance(Duration::from_secs(10)).await;
    assert_eq!(bundle.count_at_rest("/deleted").await, 1);
    bundle.stop().await;
}

#[tokio::test]
async fn a_function_that_dies_in_the_middle_of_a_batch_loses_nothing() {
    let (bundle, account, _) = Bundle::with_webhook([("LogLevel", "DEBUG")], "/slow", &["message"]).await;
    let slow =
        Answer::Delay { by: Duration::from_millis(1500), then: Box::new(Answer::status(StatusCode::OK)) };
    bundle.receiver.set_behaviour("/slow", Behaviour::from(slow));
    let mut ids = Vec::new();
    for n in 0..12 {
        ids.push(bundle.send(&account, "/bots/b/messages", format!(r#"{{"id":"{n}"}}"#)).await);
    }
    bundle.receiver.wait_for_count("/slow", 3, SOON).await.unwrap();
    assert!(bundle.stack.kill_function("DeliverFunction").await.unwrap() > 0);
    // What was in flight is handed out again after its visibility timeout of 180 s.
    bundle.advance(Duration::from_secs(181)).await;
    let logged = || bundle.logs.of("DeliverFunction");
    let mut patience = Patience::default();
    while patience.lasts().await {
        let delivered = |id: &String| {
            logged().iter().any(|line| line.contains(id.as_str()) && line.contains("\"outcome\":\"success\""))
        };
        if ids.iter().all(delivered) {
            bundle.stop().await;
            return;
        }
    }
    panic!("not all of {ids:?} were delivered");
}
