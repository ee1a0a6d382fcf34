//! What waits for a webhook and what died, listed over the API.

use std::collections::BTreeSet;
use std::time::Duration;

use carteiro_receiver::Answer;
use carteiro_tests::{ADMIN_KEY, Account, Bundle, Webhook, assert_problem, comes_true};
use http::Method;
use serde_json::{Value, json};

/// A webhook whose items wait, for it is disabled.
async fn disabled(bundle: &Bundle, account: &Account, items: &[&str]) -> Webhook {
    let webhook = bundle.webhook(account, "/off", items).await;
    bundle.set_enabled(account, &webhook, false).await;
    webhook
}

/// Sends items in one request, and answers their ids.
async fn send(bundle: &Bundle, account: &Account, item_type: &str, items: &[Value]) -> Vec<String> {
    let line = |item: &Value| format!("{}\n", json!({"type": item_type, "item": item}));
    let body: String = items.iter().map(line).collect();
    let authorization = format!("Bearer {}", account.key);
    let headers = [("authorization", authorization.as_str())];
    let reply = bundle.client.request(Method::POST, "/bots/b/items", &headers, body).await.with_status(202);
    let reply = reply.json();
    let id = |one: &Value| one["id"].as_str().unwrap_or_else(|| panic!("{one}")).to_owned();
    reply["results"].as_array().unwrap().iter().map(id).collect()
}

/// Every row of a list, and how long its pages were.
async fn pages(bundle: &Bundle, account: &Account, path: &str) -> (Vec<Value>, Vec<usize>) {
    let (mut rows, mut lengths, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = bundle.client.get(&format!("{path}{cursor}"), &account.key).await.with_status(200).json();
        let data = page["data"].as_array().unwrap();
        lengths.push(data.len());
        rows.extend(data.iter().cloned());
        let Some(next) = page["next"].as_str() else { return (rows, lengths) };
        assert!(lengths.len() < 100, "the pages do not end");
        cursor = format!("&cursor={next}");
    }
}

/// Where a row stands in the order of the list.
fn place(row: &Value) -> (String, String, String) {
    let text = |field: &str| row[field].as_str().unwrap_or_else(|| panic!("{row}")).to_owned();
    (text("type"), text("accepted_at"), text("id"))
}

#[tokio::test]
async fn held_items_are_listed_by_page_in_order_of_acceptance() {
    let (bundle, account) = Bundle::with_account([]).await;
    let webhook = disabled(&bundle, &account, &["message", "event"]).await;
    let mut messages = BTreeSet::new();
    for batch in 0..3 {
        let items: Vec<Value> =
            (0..20).map(|n| json!({"batch": batch, "n": n, "text": "olá\n\"\\"})).collect();
        messages.extend(send(&bundle, &account, "message", &items).await);
        bundle.advance(Duration::from_secs(7)).await;
    }
    let events = send(&bundle, &account, "event", &[json!({"category": "menu"})]).await;
    bundle.until_items("HeldTable", 61).await;

    let list = format!("/webhooks/{}/held", webhook.id);
    let (rows, lengths) = pages(&bundle, &account, &format!("{list}?type=message&limit=7&items=true")).await;
    assert_eq!(lengths, [7, 7, 7, 7, 7, 7, 7, 7, 4]);
    assert!(rows.windows(2).all(|pair| place(&pair[0]) < place(&pair[1])), "{rows:?}");
    assert_eq!(rows.iter().map(|row| place(row).2).collect::<BTreeSet<_>>(), messages);
    for (position, row) in rows.iter().enumerate() {
        let item: Value = serde_json::from_str(row["item"].as_str().unwrap()).unwrap();
        assert_eq!(item["batch"], position / 20, "in the order of acceptance");
        assert_eq!(row["bytes"], row["item"].as_str().unwrap().len());
        assert_eq!((&row["source"], &row["attempt"]), (&json!("bot:b"), &json!(1)));
        assert_eq!((&row["held_for"], &row["due_at"]), (&json!("disabled"), &Value::Null));
    }

    let (all, lengths) = pages(&bundle, &account, &format!("{list}?limit=61")).await;
    assert_eq!(lengths, [61], "a page that takes all is the last");
    assert_eq!(all[0]["id"], events[0]);
    assert!(all.windows(2).all(|pair| place(&pair[0]) < place(&pair[1])));
    assert!(all.iter().all(|row| row.get("item").is_none()));
    bundle.stop().await;
}

#[tokio::test]
async fn an_item_that_waits_for_a_retry_says_until_when() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/later", &["message"]).await;
    bundle.receiver.set_behaviour("/later", Answer::busy(3600));
    bundle.send(&account, "/bots/b/messages", "{}").await;
    bundle.until_items("HeldTable", 1).await;
    let (rows, _) = pages(&bundle, &account, &format!("/webhooks/{}/held?limit=1", webhook.id)).await;
    assert_eq!((&rows[0]["held_for"], &rows[0]["attempt"]), (&json!("retry"), &json!(2)));
    let time = |field: &str| rows[0][field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let wait = time("due_at").duration_since(time("accepted_at")).as_secs();
    assert!((3600..=4500).contains(&wait), "{wait} s");
    bundle.stop().await;
}

#[tokio::test]
async fn a_page_ends_where_its_items_grow_large_and_the_next_goes_on() {
    let (bundle, account) = Bundle::with_account([]).await;
    let webhook = disabled(&bundle, &account, &["contact"]).await;
    // Quotes, which an answer in JSON has to escape, and what carries the answer once more.
    let large = json!({"notes": "\"".repeat(100_000)});
    let mut sent = BTreeSet::new();
    for _ in 0..12 {
        sent.extend(send(&bundle, &account, "contact", std::slice::from_ref(&large)).await);
    }
    // More than one answer of the table can show.
    let held = async || {
        let shown = bundle.client.get(&format!("/webhooks/{}", webhook.id), &account.key).await.json();
        shown["status"]["contact"]["held"].as_u64()
    };
    comes_true(async || held().await == Some(12)).await;
    assert_eq!(held().await, Some(12));
    for items in ["true", "false"] {
        let list = format!("/webhooks/{}/held?items={items}", webhook.id);
        let (rows, lengths) = pages(&bundle, &account, &list).await;
        assert_eq!(lengths, [5, 5, 2], "200,012 bytes each, 1 MiB a page");
        assert_eq!(rows.iter().map(|row| place(row).2).collect::<BTreeSet<_>>(), sent);
    }
    bundle.stop().await;
}

#[tokio::test]
async fn a_wrong_cursor_is_refused_and_anothers_list_is_not_found() {
    let (bundle, account) = Bundle::with_account([]).await;
    let webhook = disabled(&bundle, &account, &["message"]).await;
    send(&bundle, &account, "message", &[json!({}), json!({})]).await;
    bundle.until_items("HeldTable", 2).await;
    let list = format!("/webhooks/{}/held", webhook.id);
    let page = bundle.client.get(&format!("{list}?type=message&limit=1"), &account.key).await.json();
    let cursor = page["next"].as_str().unwrap();
    let other = disabled(&bundle, &account, &["message"]).await;
    let item = "item_0000000000000000000000000000002a";
    let made = |key: &str| carteiro_core::cursor::encode(&format!("held {} message", webhook.id), key);
    let handmade = [
        made(""),
        made("message"),
        made(&format!("event#1795000000000#{item}")),
        made(&format!("message#1795#{item}")),
        made(&format!("message#1795000000000#{item}#")),
        made("message#1795000000000#\u{0}"),
        made(&"a".repeat(900)),
    ];
    let mut refused: Vec<String> =
        handmade.iter().map(|cursor| format!("{list}?type=message&cursor={cursor}")).collect();
    refused.extend([
        format!("{list}?cursor={cursor}"),
        format!("{list}?type=event&cursor={cursor}"),
        format!("/webhooks/{}/held?type=message&cursor={cursor}", other.id),
        format!("/webhooks/{}/dead?type=message&cursor={cursor}", webhook.id),
        format!("{list}?cursor=x"),
        format!("{list}?type=ticket"),
        format!("{list}?items=yes"),
        format!("{list}?limit=201"),
    ]);
    for path in refused {
        let problem = assert_problem(&bundle.client.get(&path, &account.key).await, 422, "invalid");
        assert_eq!(problem["errors"].as_array().map(Vec::len), Some(1), "{path}: {problem}");
    }
    let place_of_nothing = made(&format!("message#0000000000000#{item}"));
    let page =
        bundle.client.get(&format!("{list}?type=message&cursor={place_of_nothing}"), &account.key).await;
    assert_eq!(page.json()["data"].as_array().map(Vec::len), Some(2), "a place need not be a row's");

    let stranger = bundle.account().await;
    for path in [list, format!("/webhooks/{}/dead", webhook.id)] {
        assert_problem(&bundle.client.get(&path, &stranger.key).await, 404, "not-found");
        assert_problem(&bundle.client.get(&path, ADMIN_KEY).await, 403, "forbidden");
        assert_problem(&bundle.client.get(&path, "ck_nobody").await, 401, "unauthorized");
    }
    bundle.stop().await;
}

#[tokio::test]
async fn dead_items_are_listed_with_their_cause_and_go_uncounted() {
    let (bundle, account) = Bundle::with_account([("RetentionDays", "1")]).await;
    let webhook = disabled(&bundle, &account, &["message"]).await;
    let other = disabled(&bundle, &account, &["event"]).await;
    let old: Vec<Value> = (0..9).map(|n| json!({"n": n})).collect();
    let mut sent = send(&bundle, &account, "message", &old).await;
    send(&bundle, &account, "event", &[json!({})]).await;
    bundle.until_items("HeldTable", 10).await;
    bundle.advance(Duration::from_secs(25 * 3600)).await;
    bundle.tick().await;
    bundle.until_items("DeadTable", 10).await;
    bundle.until_items("HeldTable", 0).await;

    let path = format!("/webhooks/{}", webhook.id);
    let (rows, lengths) = pages(&bundle, &account, &format!("{path}/dead?limit=4&items=true")).await;
    assert_eq!(lengths, [4, 4, 1]);
    assert!(rows.windows(2).all(|pair| place(&pair[0]) < place(&pair[1])));
    for row in &rows {
        assert_eq!(row["cause"], "retention_over");
        let time = |field: &str| row[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert!(time("died_at").duration_since(time("accepted_at")).as_secs() >= 86_400, "{row}");
        assert!(row["item"].as_str().unwrap().starts_with("{\"n\":"), "{row}");
    }
    let mut listed: Vec<String> = rows.iter().map(|row| place(row).2).collect();
    sent.sort();
    listed.sort();
    assert_eq!(listed, sent);

    send(&bundle, &account, "message", &[json!({"late": true})]).await;
    bundle.until_items("HeldTable", 1).await;
    let deleted = bundle.client.delete(&path, &account.key).await;
    assert_eq!((deleted.status, deleted.json()), (200, json!({"dropped": 1, "dropped_more": false})));
    bundle.until_items("HeldTable", 0).await;
    bundle.until_items("DeadTable", 1).await;
    let (rows, _) = pages(&bundle, &account, &format!("/webhooks/{}/dead?limit=9", other.id)).await;
    assert_eq!(rows.len(), 1, "another webhook's dead items stay");
    bundle.stop().await;
}
