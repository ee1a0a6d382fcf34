//! Idempotency keys.

use std::sync::Arc;
use std::time::Duration;

use carteiro_local::{DynamodbCall, Fate, Fault, SqsCall, Verdict};
use carteiro_tests::{Bundle, SOON, assert_problem};
use http::StatusCode;

#[tokio::test]
async fn a_repeat_answers_the_same_and_delivers_nothing_twice() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["message", "event"]).await;
    let send =
        |path: &'static str, body: &'static str| bundle.client.post_once(path, &account.key, "key-1", body);
    let first = send("/bots/b/events", r#"{"n":1}"#).await.with_status(202);
    let again = send("/bots/b/events", r#"{"n":1}"#).await;
    assert_eq!((again.status, again.json()), (202, first.json()));
    assert_problem(&send("/bots/b/events", r#"{"n":2}"#).await, 422, "idempotency-conflict");
    // The scope is account, bot and type.
    assert_ne!(send("/bots/b/messages", r#"{"n":1}"#).await.json()["id"], first.json()["id"]);
    assert_ne!(send("/bots/c/events", r#"{"n":1}"#).await.json()["id"], first.json()["id"]);
    bundle.receiver.wait_for_count("/all", 3, SOON).await.unwrap();
    assert_eq!(bundle.count_at_rest("/all").await, 3);
    bundle.stop().await;
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day_though_its_row_is_still_there() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["event"]).await;
    let first = bundle.client.post_once("/bots/b/events", &account.key, "key-1", "{}").await.json();
    bundle.advance(Duration::from_secs(24 * 3600 + 60)).await;
    let later = bundle.client.post_once("/bots/b/events", &account.key, "key-1", "{}").await.json();
    assert_ne!(first["id"], later["id"]);
    bundle.receiver.wait_for_count("/all", 2, SOON).await.unwrap();
    bundle.stop().await;
}

#[tokio::test]
async fn concurrent_requests_with_one_key_deliver_and_answer_once() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["event"]).await;
    let requests =
        (0..20).map(|_| bundle.client.post_once("/bots/b/events", &account.key, "key-1", r#"{"n":1}"#));
    let replies = futures_util::future::join_all(requests).await;
    for reply in &replies {
        assert_eq!(reply.status, 202, "{}", reply.text());
        assert_eq!(reply.json(), replies[0].json());
    }
    bundle.receiver.wait_for_count("/all", 1, SOON).await.unwrap();
    assert_eq!(bundle.count_at_rest("/all").await, 1);
    bundle.stop().await;
}

/// Keeps every send batch until its sender was killed.
fn keep_batches(call: SqsCall<'_>) -> Verdict {
    let delay = if call.action == "SendMessageBatch" { Duration::from_secs(20) } else { Duration::ZERO };
    Verdict { delay, ..Verdict::default() }
}

#[tokio::test]
async fn a_repeat_of_an_interrupted_request_finishes_it_with_one_id() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["event"]).await;
    bundle.stack.intercept_sqs(Some(Arc::new(keep_batches)));
    let client = bundle.client.clone();
    let key = account.key.clone();
    let cut_short =
        tokio::spawn(async move { client.post_once("/bots/b/events", &key, "key-1", r#"{"n":1}"#).await });
    let claimed = loop {
        let rows = carteiro_tests::dynamodb::scan(&bundle, "IdempotencyTable").await;
        if let Some(row) = rows.first() {
            break row["item"]["S"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(bundle.stack.kill_function("IngestFunction").await.unwrap() > 0);
    assert_eq!(cut_short.await.unwrap().status, 500);
    bundle.stack.intercept_sqs(None);
    let repeat = bundle.client.post_once("/bots/b/events", &account.key, "key-1", r#"{"n":1}"#).await;
    assert_eq!(repeat.status, 202, "{}", repeat.text());
    assert_eq!(repeat.json()["id"], claimed);
    let deliveries = bundle.receiver.wait_for_count("/all", 1, SOON).await.unwrap();
    assert_eq!(deliveries[0].webhook_id(), Some(claimed.as_str()));
    bundle.stop().await;
}

/// Fails every put, before it does anything.
fn fail_puts(call: DynamodbCall<'_>) -> Verdict {
    let fault = Fault {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "ServiceUnavailable".into(),
        message: "no".into(),
    };
    let fate = if call.operation == "PutItem" { Fate::FailBefore(fault) } else { Fate::Proceed };
    Verdict { fate, ..Verdict::default() }
}

#[tokio::test]
async fn what_cannot_be_stored_is_answered_503_and_not_accepted() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["event"]).await;
    bundle.stack.intercept_dynamodb(Some(Arc::new(fail_puts)));
    let refused = bundle.client.post_once("/bots/b/events", &account.key, "key-1", "{}").await;
    assert_problem(&refused, 503, "unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    bundle.stack.intercept_dynamodb(None);
    assert_eq!(bundle.receiver.count("/all"), 0);
    bundle.stop().await;
}
