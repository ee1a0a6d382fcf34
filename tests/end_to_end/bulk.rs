//! Many items in one request.

use carteiro_tests::{Bundle, SOON, assert_problem};
use http::Method;
use serde_json::{Value, json};

async fn bulk(bundle: &Bundle, key: &str, body: impl Into<bytes::Bytes>) -> carteiro_tests::client::Reply {
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/x-ndjson")];
    bundle.client.request(Method::POST, "/bots/b/items", &headers, body).await
}

#[tokio::test]
async fn lines_stand_alone_and_are_answered_in_their_order() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["message", "event", "contact"]).await;
    let body = "{\"type\":\"message\",\"item\":{\"id\":\"a\" , \"n\":1.50}}\n\
        nonsense\n\
        {\"type\":\"event\",\"item\":{\"category\":\"c\"}}\n\
        {\"type\":\"notice\",\"item\":{}}\n\
        {\"type\":\"contact\",\"item\":{\"identity\":\"i\"}}\n";
    let reply = bulk(&bundle, &account.key, body).await.with_status(202);
    let results = reply.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 5);
    for (result, bytes) in [
        (&results[0], r#"{"id":"a" , "n":1.50}"#),
        (&results[2], r#"{"category":"c"}"#),
        (&results[4], r#"{"identity":"i"}"#),
    ] {
        let id = result["id"].as_str().unwrap();
        let delivery =
            bundle.receiver.wait_for(|delivery| delivery.webhook_id() == Some(id), SOON).await.unwrap();
        assert_eq!(delivery.body, bytes);
    }
    for wrong in [&results[1], &results[3]] {
        assert_eq!(wrong["error"]["type"], "/docs/problems/invalid", "{wrong}");
    }
    bundle.stop().await;
}

#[tokio::test]
async fn blank_lines_are_skipped_and_a_bad_line_names_its_field() {
    let (bundle, account) = Bundle::with_account([]).await;
    let body = "\n{\"type\":\"event\",\"item\":{}}\r\n\r\n \n{\"type\":\"events\",\"item\":{}}\n\n";
    let results = bulk(&bundle, &account.key, body).await.json()["results"].clone();
    assert_eq!(results.as_array().unwrap().len(), 2, "{results}");
    assert!(results[0]["id"].is_string());
    assert_eq!(results[1]["error"]["errors"][0]["field"], "type");
    let all_bad =
        "{\"type\":\"event\",\"item\":7}\n{\"type\":\"event\",\"item\":{},\"key\":7}\n{\"type\":\"event\"}\n";
    let reply = bulk(&bundle, &account.key, all_bad).await;
    assert_eq!(reply.status, 202);
    let results = reply.json()["results"].clone();
    let fields: Vec<_> =
        results.as_array().unwrap().iter().map(|one| &one["error"]["errors"][0]["field"]).collect();
    assert_eq!(fields, ["item", "key", "item"]);
    assert_problem(&bulk(&bundle, &account.key, "\n\r\n \n").await, 400, "bad-request");
    bundle.stop().await;
}

#[tokio::test]
async fn ten_thousand_lines_are_taken_and_each_arrives_once() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["event"]).await;
    let line = |n: usize| format!("{}\n", json!({"type": "event", "item": {"n": n}}));
    let body: String = (0..10_000).map(line).collect();
    let results = bulk(&bundle, &account.key, body).await.with_status(202).json();
    let ids: Vec<&str> =
        results["results"].as_array().unwrap().iter().filter_map(|one| one["id"].as_str()).collect();
    assert_eq!(ids.len(), 10_000);
    bundle.receiver.wait_for_count("/all", 10_000, SOON * 10).await.unwrap();
    let counts = bundle.receiver.counts_by_webhook_id("/all");
    assert!(ids.iter().all(|id| counts.get(*id) == Some(&1)));
    bundle.stop().await;
}

#[tokio::test]
async fn a_request_that_is_too_large_or_empty_is_refused_whole() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["event"]).await;
    let line = "{\"type\":\"event\",\"item\":{}}\n";
    assert_problem(&bulk(&bundle, &account.key, line.repeat(10_001)).await, 413, "too-large");
    assert_problem(&bulk(&bundle, &account.key, vec![b' '; 4 * 1024 * 1024 + 1]).await, 413, "too-large");
    assert_problem(&bulk(&bundle, &account.key, "").await, 400, "bad-request");
    assert_eq!(bundle.receiver.count("/all"), 0);
    bundle.stop().await;
}

#[tokio::test]
async fn a_repeat_of_a_lines_key_in_a_request_gets_the_same_answer() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["event"]).await;
    let keyed = |key: &str, n: u32| format!("{}\n", json!({"type": "event", "key": key, "item": {"n": n}}));
    let body = keyed("k", 1) + &keyed("k", 1) + &keyed("k", 2) + &keyed("l", 3);
    let first = bulk(&bundle, &account.key, body.clone()).await.json();
    let again = bulk(&bundle, &account.key, body).await.json();
    assert_eq!(first, again);
    let results = first["results"].as_array().unwrap();
    assert_eq!(results[0], results[1]);
    assert_eq!(results[2]["error"]["type"], "/docs/problems/idempotency-conflict");
    assert_ne!(results[0]["id"], results[3]["id"]);
    assert!(results[3]["id"] != Value::Null);
    bundle.receiver.wait_for_count("/all", 2, SOON).await.unwrap();
    assert_eq!(bundle.count_at_rest("/all").await, 2);
    bundle.stop().await;
}
