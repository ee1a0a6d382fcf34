//! An account's webhooks at a glance: their states in the list, their last hours, and what looking again costs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carteiro_local::{DynamodbCall, Verdict};
use carteiro_receiver::Behaviour;
use carteiro_tests::client::Reply;
use carteiro_tests::{Account, Bundle, Patience, Webhook, assert_problem, dynamodb};
use http::{Method, StatusCode};
use serde_json::{Value, json};

async fn listed(bundle: &Bundle, account: &Account, query: &str) -> Value {
    bundle.client.get(&format!("/webhooks?{query}"), &account.key).await.with_status(200).json()
}

/// Waits until the list counts these states: blocked, failing, disabled, open.
async fn until_counted(bundle: &Bundle, account: &Account, counts: [u64; 4]) -> Value {
    let [blocked, failing, disabled, open] = counts;
    let wanted = json!({"blocked": blocked, "failing": failing, "disabled": disabled, "open": open});
    let mut patience = Patience::default();
    loop {
        let list = listed(bundle, account, "").await;
        if list["counts"] == wanted {
            return list;
        }
        assert!(patience.lasts().await, "not {wanted}: {list:#}; {:#?}", bundle.complaints());
    }
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

fn of<'a>(list: &'a Value, webhook: &Webhook) -> &'a Value {
    list["data"].as_array().unwrap().iter().find(|one| one["id"] == webhook.id).unwrap()
}

#[tokio::test]
async fn webhooks_are_listed_by_creation_with_their_states() {
    let (bundle, account, open) = Bundle::with_webhook([], "/open", &["event"]).await;
    let settings = |path: &str| json!({"url": bundle.receiver.url(path), "items": ["event", "message"]});
    let mut blocking = settings("/blocked");
    blocking["threshold"] = json!(1);
    let blocked = bundle.webhook_with(&account, blocking).await;
    let failing = bundle.webhook(&account, "/failing", &["event"]).await;
    let disabled = bundle.webhook(&account, "/gone", &["event"]).await;
    for path in ["/blocked", "/failing"] {
        bundle.receiver.set_behaviour(path, Behaviour::from(StatusCode::SERVICE_UNAVAILABLE));
    }
    bundle.receiver.set_behaviour("/gone", Behaviour::from(StatusCode::GONE));
    bundle.send(&account, "/bots/b/events", "{}").await;
    let list = until_counted(&bundle, &account, [1, 1, 1, 1]).await;
    assert_eq!(ids(&list), [&open.id, &blocked.id, &failing.id, &disabled.id]);
    assert_eq!((&of(&list, &open)["state"], &of(&list, &open)["trouble"]), (&json!("open"), &Value::Null));
    let trouble = &of(&list, &blocked)["trouble"];
    assert_eq!((&trouble["item_type"], &trouble["code"]), (&json!("event"), &json!("status")), "{trouble}");
    assert!(trouble["since"].is_string() && trouble["until"].is_string(), "{trouble}");
    let told = trouble["message"]["pt-BR"].as_str().unwrap();
    assert!(told.contains("status 503") && told.contains("O envio de mensagens continua."), "{told}");
    let trouble = &of(&list, &failing)["trouble"];
    assert_eq!((&trouble["since"], &trouble["threshold"]), (&Value::Null, &json!(1000)), "{trouble}");
    assert!(trouble["failed_at"].is_string() && trouble["failures"].as_u64() > Some(0), "{trouble}");
    let trouble = &of(&list, &disabled)["trouble"];
    assert_eq!((&trouble["code"], &trouble["item_type"]), (&json!("gone"), &Value::Null), "{trouble}");
    assert!(trouble["since"].is_string(), "{trouble}");

    // By state, page by page; the counts stay those of all.
    let blocked_ones = listed(&bundle, &account, "state=blocked").await;
    assert_eq!((ids(&blocked_ones), &blocked_ones["counts"]), (vec![blocked.id.as_str()], &list["counts"]));
    let (mut found, mut cursor) = (Vec::new(), String::new());
    while found.len() < 9 {
        let page =
            listed(&bundle, &account, &format!("state=disabled,blocked,failing&limit=1{cursor}")).await;
        found.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, [blocked.id.clone(), failing.id.clone(), disabled.id.clone()]);
    for (query, field) in [("state=ill", "state"), ("state=blocked,", "state"), ("cursor=x", "cursor")] {
        let reply = bundle.client.get(&format!("/webhooks?{query}"), &account.key).await;
        assert_eq!(assert_problem(&reply, 422, "invalid")["errors"][0]["field"], field, "{query}");
    }
    // What the list answers can be sent back.
    let path = format!("/webhooks/{}", blocked.id);
    let mut sent_back = of(&list, &blocked).clone();
    sent_back["description"] = json!("seen");
    let reply = bundle.client.patch(&path, &account.key, &sent_back).await;
    assert_eq!((reply.status, &reply.json()["description"]), (200, &json!("seen")), "{}", reply.text());
    let reply = bundle.client.patch(&path, &account.key, &json!({"state": "open"})).await;
    assert_problem(&reply, 422, "invalid");
    // An account alone sees its own.
    let other = bundle.account().await;
    assert_eq!(listed(&bundle, &other, "").await["data"], json!([]));
    bundle.stop().await;
}

#[tokio::test]
async fn a_state_that_an_older_version_wrote_is_listed() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/x", &["event"]).await;
    let later = 9_000_000_000_000_u64;
    // Before there was an index of what is unhealthy, a row had nothing but this.
    let row = json!({
        "pk": {"S": webhook.id}, "sk": {"S": "0000000001#event"}, "failures": {"N": "1000"}, "epoch": {"S": "e"},
        "blocked_at": {"N": "1700000000000"}, "blocked_until": {"N": later.to_string()},
    });
    dynamodb::call(&bundle, "PutItem", &json!({"TableName": "StreakTable", "Item": row})).await;
    let list = listed(&bundle, &account, "state=blocked").await;
    assert_eq!(ids(&list), [webhook.id.as_str()]);
    assert_eq!(list["data"][0]["trouble"]["code"], Value::Null, "its failure is not known");
    bundle.stop().await;
}

/// How many bytes an answer has on the way, with its head.
fn bytes_of(reply: &Reply) -> usize {
    let head: usize = reply.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    "HTTP/1.1 200 OK\r\n\r\n".len() + head + reply.body.len()
}

async fn polled(bundle: &Bundle, account: &Account, query: &str, known: Option<&str>) -> Reply {
    let authorization = format!("Bearer {}", account.key);
    let mut headers = vec![("authorization", authorization.as_str()), ("accept-encoding", "gzip")];
    headers.extend(known.map(|known| ("if-none-match", known)));
    bundle.client.request(Method::GET, &format!("/webhooks?limit=200{query}"), &headers, "").await
}

#[tokio::test]
async fn looking_again_at_a_hundred_webhooks_costs_little() {
    let (bundle, account) = Bundle::with_account([]).await;
    for n in 0..100 {
        let url = bundle.receiver.url(if n == 61 { "/down" } else { "/up" });
        let settings = json!({
            "url": format!("{url}?shop={n}"), "items": ["event", "contact"], "description": format!("Loja {n}"),
            "threshold": 1, "sources": if n == 61 { json!(["bot:b"]) } else { json!(["bot:other"]) },
        });
        bundle.webhook_with(&account, settings).await;
    }
    bundle.receiver.set_behaviour("/down", Behaviour::from(StatusCode::SERVICE_UNAVAILABLE));
    bundle.send(&account, "/bots/b/events", "{}").await;
    until_counted(&bundle, &account, [1, 0, 0, 99]).await;
    bundle.until_rest().await;

    let calls: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let counted = Arc::clone(&calls);
    bundle.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
        *counted.lock().unwrap().entry(call.operation.to_owned()).or_default() += 1;
        Verdict::default()
    })));
    let first = polled(&bundle, &account, "", None).await;
    bundle.stack.intercept_dynamodb(None);
    let calls = calls.lock().unwrap().clone();
    assert_eq!((first.status, first.header("content-encoding")), (200, Some("gzip")));
    // The key, the webhooks, and two hundred streaks.
    assert!(calls.values().sum::<usize>() <= 4, "{calls:?}");
    let again = polled(&bundle, &account, "", first.header("etag")).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let trouble = polled(&bundle, &account, "&state=blocked,failing,disabled", None).await;
    let sizes = [bytes_of(&first), bytes_of(&again), bytes_of(&trouble)];
    println!("a hundred webhooks: {sizes:?} bytes whole, unchanged, and in trouble alone; {calls:?}");
    assert!(sizes[0] < 20_000 && sizes[1] < 300 && sizes[2] < 2000, "{sizes:?}");
    // A look each ten seconds, of which each finds what is in trouble changed.
    assert!(360 * sizes[2] + sizes[0] < 1_000_000, "{sizes:?}");
    let plain = bundle.client.get("/webhooks?limit=200", &account.key).await;
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("accept-encoding")));
    assert_eq!(plain.json()["counts"], json!({"blocked": 1, "failing": 0, "disabled": 0, "open": 99}));
    // What has a secret is kept by nobody.
    let made = bundle.client.post("/webhooks", &account.key, r#"{"url":"https://example.com/"}"#).await;
    assert_eq!(made.header("cache-control"), Some("no-store"));
    bundle.stop().await;
}

#[tokio::test]
async fn a_webhooks_last_hours_are_counted_from_its_log() {
    let (bundle, account) = Bundle::with_account([]).await;
    let webhook = bundle.webhook_set(&account, "/x", &["event"], json!({"log": "all"})).await;
    bundle.send_many(&account, "event", 3).await;
    bundle.until_rest().await;
    bundle.advance(Duration::from_secs(3600)).await;
    bundle.receiver.set_behaviour("/x", Behaviour::from(StatusCode::SERVICE_UNAVAILABLE));
    bundle.send_many(&account, "event", 2).await;
    let path = format!("/webhooks/{}/activity", webhook.id);
    let mut patience = Patience::default();
    let shown = loop {
        let shown = bundle.client.get(&format!("{path}?hours=3"), &account.key).await.json();
        let failed: u64 =
            shown["data"].as_array().unwrap().iter().filter_map(|hour| hour["failed"].as_u64()).sum();
        if failed >= 2 {
            break shown;
        }
        assert!(patience.lasts().await, "{shown:#}; {:#?}", bundle.complaints());
    };
    let hours = shown["data"].as_array().unwrap();
    assert_eq!((hours.len(), &shown["logged"], &shown["more"]), (3, &json!("all"), &json!(false)));
    let delivered: u64 = hours.iter().filter_map(|hour| hour["delivered"].as_u64()).sum();
    assert_eq!((delivered, &hours[2]["delivered"]), (3, &json!(0)), "in the hour before: {shown}");
    assert!(hours[0]["hour"].as_str().unwrap().ends_with(":00:00.000Z"), "{shown}");
    assert_eq!(bundle.client.get(&path, &account.key).await.json()["data"].as_array().unwrap().len(), 24);
    for hours in ["0", "25", "x", ""] {
        let reply = bundle.client.get(&format!("{path}?hours={hours}"), &account.key).await;
        assert_eq!(assert_problem(&reply, 422, "invalid")["errors"][0]["field"], "hours");
    }
    let other = bundle.account().await;
    assert_problem(&bundle.client.get(&path, &other.key).await, 404, "not-found");
    // Where nothing is logged, nothing is counted.
    let quiet = json!({"log": "none"});
    assert_eq!(
        bundle.client.patch(&format!("/webhooks/{}", webhook.id), &account.key, &quiet).await.status,
        200
    );
    let shown = bundle.client.get(&path, &account.key).await.json();
    let last = &shown["data"][23];
    assert_eq!(
        (&shown["logged"], &last["failed"], &last["held"]),
        (&json!("none"), &Value::Null, &Value::Null)
    );
    bundle.stop().await;
}
