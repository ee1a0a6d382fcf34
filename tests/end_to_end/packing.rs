//! Several deliveries in one queue message: fewer calls, and each delivery has its own outcome all the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use carteiro_local::{DynamodbCall, Fate, Fault, SqsCall, Verdict};
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::{Account, Bundle, SOON};
use http::{Method, StatusCode};
use serde_json::json;

/// Sends items of these types in one request, and answers their ids.
async fn send(bundle: &Bundle, account: &Account, types: &[&str]) -> Vec<String> {
    let line = |(n, item_type)| {
        format!("{}\n", json!({"type": item_type, "item": {"n": n, "text": "x".repeat(2000)}}))
    };
    let body: String = types.iter().enumerate().map(line).collect();
    let authorization = format!("Bearer {}", account.key);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/x-ndjson")];
    let reply = bundle.client.request(Method::POST, "/bots/b/items", &headers, body).await.with_status(202);
    let results = reply.json()["results"].as_array().unwrap().clone();
    results.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// The numbers of the attempts at a path, by item.
fn attempts(bundle: &Bundle, path: &str) -> BTreeMap<String, Vec<u32>> {
    let mut attempts: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for delivery in bundle.receiver.deliveries_to(path) {
        let item = delivery.webhook_id().unwrap().to_owned();
        attempts.entry(item).or_default().push(delivery.attempt().unwrap());
    }
    attempts
}

#[tokio::test]
async fn what_one_request_brings_travels_in_few_messages() {
    let (bundle, account, _) = Bundle::with_webhook([], "/w", &["event"]).await;
    let sends = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sends);
    bundle.stack.intercept_sqs(Some(Arc::new(move |call: SqsCall<'_>| {
        let is_send = call.action.starts_with("SendMessage");
        counted.fetch_add(usize::from(is_send), Ordering::Relaxed);
        Verdict::default()
    })));
    let sent = send(&bundle, &account, &["event"; 200]).await;
    bundle.receiver.wait_for_count("/w", 200, SOON).await.unwrap();
    bundle.until_rest().await;
    let arrived = attempts(&bundle, "/w");
    assert!(arrived.len() == sent.len() && arrived.values().all(|attempts| *attempts == [1]));
    // 40 messages, ten a call; a busy machine's call may be repeated.
    let sends = sends.load(Ordering::Relaxed);
    assert!((4..10).contains(&sends), "{sends} calls for 200 items");
    bundle.stop().await;
}

#[tokio::test]
async fn an_item_that_fails_is_repeated_alone() {
    let (bundle, account, _) = Bundle::with_webhook([], "/w", &["event"]).await;
    let refused = Answer::status(StatusCode::INTERNAL_SERVER_ERROR);
    bundle.receiver.set_behaviour("/w", Behaviour::sequence([refused], Answer::status(StatusCode::OK)));
    send(&bundle, &account, &["event"; 5]).await;
    bundle.receiver.wait_for_count("/w", 5, SOON).await.unwrap();
    bundle.advance(Duration::from_secs(7)).await;
    bundle.receiver.wait_for_count("/w", 6, SOON).await.unwrap();
    bundle.until_rest().await;
    let mut attempts: Vec<_> = attempts(&bundle, "/w").into_values().collect();
    attempts.sort_by_key(Vec::len);
    assert_eq!(attempts, [vec![1], vec![1], vec![1], vec![1], vec![1, 2]]);
    bundle.stop().await;
}

#[tokio::test]
async fn what_there_is_no_time_for_is_queued_again_unattempted() {
    let (bundle, account, _) = Bundle::with_webhook([], "/w", &["event"]).await;
    let then = Box::new(Answer::status(StatusCode::OK));
    let late = Answer::Delay { by: Duration::from_millis(2700), then };
    bundle.receiver.set_behaviour("/w", Behaviour::from(late));
    let sent = send(&bundle, &account, &["event"; 50]).await;
    bundle.receiver.wait_for_count("/w", 50, SOON * 3).await.unwrap();
    bundle.until_rest().await;
    let arrived = attempts(&bundle, "/w");
    assert!(arrived.len() == sent.len() && arrived.values().all(|attempts| *attempts == [1]), "{arrived:?}");
    let queued_again =
        bundle.logs.of("DeliverFunction").iter().any(|line| line.contains("batch.rest_queued_again"));
    assert!(queued_again, "parts of ten, one after the other, do not all fit into a batch");
    bundle.stop().await;
}

#[tokio::test]
async fn of_a_message_what_cannot_be_recorded_is_repeated_alone() {
    let (bundle, account, _) = Bundle::with_webhook([], "/w", &["message", "event"]).await;
    bundle.stack.intercept_dynamodb(Some(Arc::new(|call: DynamodbCall<'_>| {
        let body = String::from_utf8_lossy(call.body);
        let is_it = call.operation == "GetItem" && body.contains("StreakTable") && body.contains("event");
        let fault = || Fault {
            status: StatusCode::BAD_REQUEST,
            code: "ValidationException".to_owned(),
            message: "injected".to_owned(),
        };
        if is_it { Fate::FailBefore(fault()).into() } else { Verdict::default() }
    })));
    let sent = send(&bundle, &account, &["message", "event", "message", "message"]).await;
    bundle.receiver.wait_for_count("/w", 4, SOON).await.unwrap();
    let mut patience = carteiro_tests::Patience::default();
    let is_settled = || bundle.logs.of("DeliverFunction").iter().any(|line| line.contains("batch.settled"));
    while !is_settled() && patience.lasts().await {}
    bundle.stack.intercept_dynamodb(None);
    bundle.advance(Duration::from_secs(181)).await;
    bundle.receiver.wait_for_count("/w", 5, SOON).await.unwrap();
    bundle.until_rest().await;
    let arrived = attempts(&bundle, "/w");
    let of = |index: usize| arrived[&sent[index]].clone();
    assert_eq!([of(0), of(1), of(2), of(3)], [vec![1], vec![1, 1], vec![1], vec![1]]);
    bundle.stop().await;
}
