//! The attempt log: what a webhook's owner reads of the attempts that were made.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use carteiro_local::{DynamodbCall, Fate, Fault, Verdict};
use carteiro_receiver::{Answer, Behaviour, DropAt};
use carteiro_tests::{ADMIN_KEY, Account, Bundle, Patience, SOON, Webhook, assert_problem, dynamodb, sqs};
use http::header::HeaderValue;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

/// What the log answers to a query, page by page.
async fn log(bundle: &Bundle, account: &Account, webhook: &Webhook, query: &str) -> Vec<Value> {
    bundle.client.all(&format!("/webhooks/{}/attempts?{query}", webhook.id), &account.key).await
}

async fn until_logged(bundle: &Bundle, account: &Account, webhook: &Webhook, entries: usize) -> Vec<Value> {
    let mut logged = Vec::new();
    let mut patience = Patience::default();
    while patience.lasts().await {
        logged = log(bundle, account, webhook, "limit=200").await;
        if logged.len() >= entries {
            return logged;
        }
    }
    panic!("{entries} attempts were not logged: {logged:?}");
}

fn refusal() -> Answer {
    let body = Bytes::from_static(b"no \"service\" here\x00\xff");
    Answer::Status { code: StatusCode::SERVICE_UNAVAILABLE, headers: HeaderMap::new(), body }
}

#[tokio::test]
async fn every_class_of_failure_is_logged_with_the_items_outcome() {
    let (bundle, account) = Bundle::with_account([("AttemptSeconds", "2")]).await;
    let redirect =
        Answer::Redirect { code: StatusCode::FOUND, location: HeaderValue::from_static("/elsewhere") };
    bundle.receiver.set_behaviour("/status", refusal());
    bundle.receiver.set_behaviour("/redirect", redirect);
    bundle.receiver.set_behaviour("/timeout", Answer::hang());
    bundle.receiver.set_behaviour("/protocol", Answer::Drop(DropAt::InBody));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let expected = [
        (bundle.receiver.url("/status"), "status", json!(503)),
        (bundle.receiver.url("/redirect"), "redirect", json!(302)),
        (bundle.receiver.url("/timeout"), "timeout", Value::Null),
        (bundle.receiver.url("/protocol"), "protocol", json!(200)),
        (format!("http://{closed}/"), "connect", Value::Null),
        (bundle.receiver.url("/tls").replace("http:", "https:"), "tls", Value::Null),
        ("https://nobody.invalid/".to_owned(), "dns", Value::Null),
    ];
    let mut webhooks = Vec::new();
    for (url, ..) in &expected {
        webhooks.push(bundle.webhook_with(&account, json!({"url": url, "items": ["message"]})).await);
    }
    let item = bundle.send(&account, "/bots/b/messages", r#"{"n":1}"#).await;
    for (webhook, (url, error, status)) in webhooks.iter().zip(expected) {
        let logged = until_logged(&bundle, &account, webhook, 1).await;
        let first = logged.last().unwrap();
        assert_eq!(
            (&first["outcome"], &first["error"]),
            (&json!("failure"), &json!(error)),
            "{url}: {first}"
        );
        assert_eq!(first["status"], status, "{url}: {first}");
        assert_eq!((&first["item"], &first["type"]), (&json!(item), &json!("message")));
        assert_eq!((&first["attempt"], &first["revision"]), (&json!(1), &json!(1)));
        assert_eq!((&first["became"], &first["replay"]), (&json!("retry"), &Value::Null), "{first}");
        let time = |field: &str| first[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let wait = time("next_at").duration_since(time("at")).as_millis();
        assert!((3_000..20_000).contains(&wait), "{wait} ms: {first}");
        for language in ["pt-BR", "en"] {
            assert!(first["message"][language].as_str().is_some_and(|text| text.len() > 10), "{first}");
        }
        let body = first["response_body"].as_str();
        match error {
            "status" => assert_eq!(body, Some("no \"service\" here\u{fffd}\u{fffd}")),
            // What arrived before the connection broke.
            "protocol" => assert!(body.is_some_and(|body| (1..=1024).contains(&body.len())), "{first}"),
            _ => assert_eq!(body, None, "{error}"),
        }
    }
    bundle.stop().await;
}

#[tokio::test]
async fn attempts_are_listed_newest_first_though_batches_overlap() {
    let (bundle, account) = Bundle::with_account([]).await;
    // Of two items of one batch one fails at once and the other late; a third one fails in between.
    let late = Answer::Delay { by: Duration::from_secs(3), then: Box::new(refusal()) };
    bundle.receiver.set_behaviour("/a", Behaviour::sequence([refusal(), late], refusal()));
    let webhook = bundle.webhook(&account, "/a", &["event"]).await;
    bundle.send_many(&account, "event", 2).await;
    bundle.receiver.wait_for_count("/a", 2, SOON).await.unwrap();
    let between = bundle.send(&account, "/bots/b/events", r#"{"n":1}"#).await;
    for query in ["limit=200", "limit=1"] {
        until_logged(&bundle, &account, &webhook, 3).await;
        let logged = log(&bundle, &account, &webhook, query).await;
        let of_first: Vec<_> = logged.iter().filter(|one| one["attempt"] == 1).collect();
        let times: Vec<_> = logged.iter().map(|one| one["at"].as_str().unwrap()).collect();
        assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
        assert!(times.iter().all(|at| at.len() == "2026-11-21T12:00:05.300Z".len()), "{times:?}");
        assert_eq!(of_first.len(), 3, "{logged:?}");
        assert_eq!(of_first[1]["item"], between, "{logged:?}");
    }
    bundle.stop().await;
}

#[tokio::test]
async fn a_webhook_logs_its_failures_or_all_or_nothing_as_it_says() {
    let (bundle, account) = Bundle::with_account([]).await;
    let mut webhooks = Vec::new();
    for log in ["failures", "all", "none"] {
        let path = format!("/{log}");
        let behaviour = Behaviour::sequence([refusal()], Answer::status(StatusCode::ACCEPTED));
        bundle.receiver.set_behaviour(&path, behaviour);
        let settings = json!({"url": bundle.receiver.url(&path), "items": ["message"], "log": log});
        webhooks.push(bundle.webhook_with(&account, settings).await);
    }
    bundle.send(&account, "/bots/b/messages", r#"{"n":1}"#).await;
    for path in ["/failures", "/all", "/none"] {
        bundle.receiver.wait_for_count(path, 1, SOON).await.unwrap();
    }
    bundle.until_rest().await;
    bundle.advance(Duration::from_secs(7)).await;
    for path in ["/failures", "/all", "/none"] {
        bundle.receiver.wait_for_count(path, 2, SOON).await.unwrap();
    }
    let all = until_logged(&bundle, &account, &webhooks[1], 2).await;
    assert_eq!(all.len(), 2);
    let newest = &all[0];
    assert_eq!(
        (&newest["outcome"], &newest["status"], &newest["attempt"]),
        (&json!("success"), &json!(202), &json!(2))
    );
    assert_eq!((&newest["became"], &newest["next_at"]), (&json!("delivered"), &Value::Null));
    assert_eq!([&newest["error"], &newest["message"], &newest["response_body"]], [&Value::Null; 3]);
    bundle.until_rest().await;
    let failures = log(&bundle, &account, &webhooks[0], "").await;
    assert_eq!(failures.iter().map(|one| &one["attempt"]).collect::<Vec<_>>(), [&json!(1)]);
    assert!(log(&bundle, &account, &webhooks[2], "").await.is_empty());
    // A test is no attempt.
    let test = format!("/webhooks/{}/test", webhooks[1].id);
    assert_eq!(bundle.client.post(&test, &account.key, "").await.status, 200);
    assert_eq!(log(&bundle, &account, &webhooks[1], "").await.len(), 2);
    assert_eq!(log(&bundle, &account, &webhooks[1], "outcome=success").await.len(), 1);
    bundle.stop().await;
}

#[tokio::test]
async fn the_outcome_is_held_for_a_gone_url_and_dead_after_retries() {
    let (bundle, account, gone) = Bundle::with_webhook([], "/gone", &["message"]).await;
    bundle.receiver.set_behaviour("/gone", Answer::status(StatusCode::GONE));
    bundle.send(&account, "/bots/b/messages", "{}").await;
    let logged = until_logged(&bundle, &account, &gone, 1).await;
    assert_eq!((&logged[0]["became"], &logged[0]["next_at"]), (&json!("held"), &Value::Null));

    let last = bundle.webhook(&account, "/last", &["event"]).await;
    bundle.receiver.set_behaviour("/last", refusal());
    let attribute = |value: &str| json!({"DataType": "String", "StringValue": value});
    let accepted = bundle.stack.clock().now_ms().to_string();
    let message = json!({
        "QueueUrl": format!("{}/000000000000/DeliverQueue", bundle.stack.addresses().sqs),
        "MessageBody": "{}",
        "MessageAttributes": {
            "account": attribute(&account.id), "webhook": attribute(&last.id),
            "item": attribute("item_0000000000000000000000000000002a"), "type": attribute("event"),
            "source": attribute("bot:b"), "accepted_at": attribute(&accepted), "attempt": attribute("11"),
            "revision": attribute("1"), "encoding": attribute("text"),
        },
    });
    sqs::call(&bundle, "SendMessage", &message).await;
    let logged = until_logged(&bundle, &account, &last, 1).await;
    assert_eq!((&logged[0]["became"], &logged[0]["attempt"]), (&json!("dead"), &json!(11)));
    bundle.stop().await;
}

#[tokio::test]
async fn a_log_comes_in_pages_is_filtered_and_is_nobody_elses() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/x", &["message", "event"]).await;
    let other = bundle.webhook(&account, "/y", &["contact"]).await;
    bundle.receiver.set_behaviour("/x", refusal());
    let messages = bundle.send_many(&account, "message", 25).await;
    let between = bundle.stack.clock().now_ms() + 30_000;
    until_logged(&bundle, &account, &webhook, 25).await;
    bundle.receiver.set_behaviour("/x", Answer::status(StatusCode::NO_CONTENT));
    let path = format!("/webhooks/{}", webhook.id);
    bundle.client.patch(&path, &account.key, &json!({"log": "all"})).await;
    bundle.advance(Duration::from_secs(60)).await;
    bundle.send_many(&account, "event", 12).await;
    // The retries, too, succeed now.
    let all = until_logged(&bundle, &account, &webhook, 62).await;
    assert_eq!(all.len(), 62);
    for limit in [1, 7, 50] {
        assert_eq!(log(&bundle, &account, &webhook, &format!("limit={limit}")).await, all, "{limit}");
    }
    let kept =
        |wanted: &dyn Fn(&Value) -> bool| all.iter().filter(|one| wanted(one)).cloned().collect::<Vec<_>>();
    let asked = async |query: &str| log(&bundle, &account, &webhook, query).await;
    assert_eq!(asked("type=event&limit=5").await, kept(&|one| one["type"] == "event"));
    assert_eq!(asked("outcome=failure").await, kept(&|one| one["error"] == "status"));
    let of_item = asked(&format!("item={}", messages[3])).await;
    assert_eq!(of_item.iter().map(|one| &one["attempt"]).collect::<Vec<_>>(), [&json!(2), &json!(1)]);
    let instant = jiff::Timestamp::from_millisecond(i64::try_from(between).unwrap()).unwrap();
    assert_eq!(asked(&format!("to={instant}")).await.len(), 25);
    assert_eq!(asked(&format!("from={instant}&outcome=success&limit=9")).await.len(), 37);

    let first = bundle.client.get(&format!("{path}/attempts?limit=1&type=event"), &account.key).await.json();
    let cursor = first["next"].as_str().unwrap();
    for refused in [
        format!("{path}/attempts?cursor={cursor}"),
        format!("{path}/attempts?type=message&cursor={cursor}"),
        format!("/webhooks/{}/attempts?type=event&cursor={cursor}", other.id),
        format!("{path}/attempts?type=ticket"),
        format!("{path}/attempts?outcome=maybe"),
        format!("{path}/attempts?item=item_7"),
        format!("{path}/attempts?from=yesterday"),
        format!("{path}/attempts?limit=0"),
    ] {
        let problem = assert_problem(&bundle.client.get(&refused, &account.key).await, 422, "invalid");
        assert_eq!(problem["errors"].as_array().map(Vec::len), Some(1), "{refused}: {problem}");
    }
    let stranger = bundle.account().await;
    assert_problem(&bundle.client.get(&format!("{path}/attempts"), &stranger.key).await, 404, "not-found");
    assert_problem(&bundle.client.get(&format!("{path}/attempts"), ADMIN_KEY).await, 403, "forbidden");
    assert!(log(&bundle, &account, &other, "").await.is_empty());
    assert_eq!(bundle.client.delete(&path, &account.key).await.status, 200);
    assert_problem(&bundle.client.get(&format!("{path}/attempts"), &account.key).await, 404, "not-found");
    bundle.stop().await;
}

#[tokio::test]
async fn a_log_that_cannot_be_written_costs_no_delivery() {
    let (bundle, account, _) = Bundle::with_webhook([], "/x", &["message"]).await;
    bundle.stack.intercept_dynamodb(Some(Arc::new(|call: DynamodbCall<'_>| {
        let of_log = call.body.windows(b"AttemptTable".len()).any(|part| part == b"AttemptTable");
        let fault = || Fault {
            status: StatusCode::BAD_REQUEST,
            code: "ProvisionedThroughputExceededException".to_owned(),
            message: "injected".to_owned(),
        };
        if of_log { Fate::FailBefore(fault()).into() } else { Verdict::default() }
    })));
    let behaviour = Behaviour::sequence([refusal()], Answer::status(StatusCode::OK));
    bundle.receiver.set_behaviour("/x", behaviour);
    let item = bundle.send(&account, "/bots/b/messages", "{}").await;
    bundle.receiver.wait_for_count("/x", 1, SOON).await.unwrap();
    bundle.advance(Duration::from_secs(7)).await;
    let arrived = bundle.receiver.wait_for_count("/x", 2, SOON).await.unwrap();
    assert_eq!((arrived[1].webhook_id(), arrived[1].attempt()), (Some(item.as_str()), Some(2)));
    bundle.until_rest().await;
    let warned = |line: &String| line.contains("attempts.not_logged");
    assert_eq!(bundle.logs.of("DeliverFunction").iter().filter(|line| warned(line)).count(), 1);
    bundle.stack.intercept_dynamodb(None);
    assert!(dynamodb::scan(&bundle, "AttemptTable").await.is_empty());
    assert_eq!(bundle.receiver.count("/x"), 2, "once more than it failed");
    bundle.stop().await;
}
