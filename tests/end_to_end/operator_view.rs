//! The operator's view: any account's things, to be read, and what is unhealthy across accounts.

use std::time::Duration;

use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::{ADMIN_KEY, Account, Bundle, SOON, Webhook, assert_problem};
use http::{Method, StatusCode};
use serde_json::{Value, json};

async fn unhealthy(bundle: &Bundle, query: &str) -> Vec<Value> {
    bundle.client.all(&format!("/unhealthy?{query}"), ADMIN_KEY).await
}

/// Waits until as many are listed.
async fn until_listed(bundle: &Bundle, query: &str, count: usize) -> Vec<Value> {
    let mut listed = Vec::new();
    for _ in 0..300 {
        listed = unhealthy(bundle, query).await;
        if listed.len() == count {
            return listed;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("not {count}: {listed:#?}; {:#?}", bundle.complaints());
}

fn state_of<'a>(listed: &'a [Value], webhook: &Webhook) -> Vec<&'a str> {
    let own = listed.iter().filter(|one| one["webhook"] == webhook.id);
    own.map(|one| one["state"].as_str().unwrap()).collect()
}

async fn set(bundle: &Bundle, account: &Account, webhook: &Webhook, patch: Value) {
    bundle.client.patch(&format!("/webhooks/{}", webhook.id), &account.key, &patch).await.with_status(200);
}

#[tokio::test]
async fn what_is_unhealthy_now_is_listed_across_accounts() {
    let bundle = Bundle::start().await;
    let (one, other) = (bundle.account().await, bundle.account().await);
    let url = |path: &str| bundle.receiver.url(path);
    let healthy = bundle.webhook(&one, "/healthy", &["event"]).await;
    let failing = bundle.webhook(&one, "/failing", &["event"]).await;
    let settings =
        json!({"url": format!("{}?key=s3cret", url("/blocked")), "items": ["event"], "threshold": 1});
    let blocked = bundle.webhook_with(&other, settings).await;
    let off = bundle.webhook(&other, "/off", &["contact"]).await;
    for path in ["/failing", "/blocked"] {
        let refusal = Answer::status(StatusCode::INTERNAL_SERVER_ERROR);
        bundle.receiver.set_behaviour(path, Behaviour::from(refusal));
    }
    set(&bundle, &other, &off, json!({"enabled": false})).await;
    bundle.send(&one, "/bots/b/events", "{}").await;
    bundle.send(&other, "/bots/b/events", "{}").await;
    bundle.receiver.wait_for_count("/healthy", 1, SOON).await.unwrap();
    let listed = until_listed(&bundle, "", 3).await;
    assert_eq!(state_of(&listed, &failing), ["failing"]);
    assert_eq!(state_of(&listed, &blocked), ["blocked"]);
    assert_eq!(state_of(&listed, &off), ["disabled"]);
    assert_eq!(state_of(&listed, &healthy), [""; 0]);
    let of = |webhook: &Webhook| listed.iter().find(|one| one["webhook"] == webhook.id).unwrap();
    let shown = of(&blocked);
    assert_eq!(
        (&shown["account"], &shown["last_error"]["status"]),
        (&json!(other.id), &json!(500)),
        "{shown}"
    );
    assert!(
        shown["blocked_until"].is_string() && !shown["url"].as_str().unwrap().contains("s3cret"),
        "{shown}"
    );
    assert_eq!((&of(&off)["disabled_by"], &of(&off)["type"]), (&json!("owner"), &Value::Null));
    // Page by page it is the same list, in the same order.
    assert_eq!(unhealthy(&bundle, "limit=1").await.len(), 3);
    let ids = |listed: &[Value]| listed.iter().map(|one| one["webhook"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&unhealthy(&bundle, "limit=1").await), ids(&listed));
    assert_eq!(ids(&unhealthy(&bundle, "state=disabled").await), [json!(off.id)]);
    for (query, field) in [("state=ill", "state"), ("limit=0", "limit"), ("cursor=x", "cursor")] {
        let reply = bundle.client.get(&format!("/unhealthy?{query}"), ADMIN_KEY).await;
        assert_eq!(assert_problem(&reply, 422, "invalid")["errors"][0]["field"], field);
    }
    assert_problem(&bundle.client.get("/unhealthy", &one.key).await, 403, "forbidden");
    // What is mended goes from the list.
    for path in ["/failing", "/blocked"] {
        bundle.receiver.set_behaviour(path, Behaviour::default());
    }
    set(&bundle, &other, &off, json!({"enabled": true})).await;
    let unblock = format!("/webhooks/{}/unblock", blocked.id);
    assert_eq!(bundle.client.post(&unblock, &other.key, "").await.status, 200);
    bundle.advance(Duration::from_secs(60)).await;
    until_listed(&bundle, "", 0).await;
    bundle.stop().await;
}

#[tokio::test]
async fn a_block_that_is_over_is_not_listed() {
    let (bundle, account) = Bundle::with_account([]).await;
    bundle.webhook_set(&account, "/x", &["event"], json!({"threshold": 1, "block_seconds": 60})).await;
    bundle.receiver.set_behaviour("/x", Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
    bundle.send(&account, "/bots/b/events", "{}").await;
    until_listed(&bundle, "state=blocked", 1).await;
    bundle.receiver.set_behaviour("/x", Behaviour::default());
    bundle.advance(Duration::from_secs(120)).await;
    until_listed(&bundle, "", 0).await;
    bundle.stop().await;
}

#[tokio::test]
async fn the_operator_finds_dead_items_and_sends_them_again() {
    let (bundle, account) = Bundle::with_account([("RetentionDays", "1")]).await;
    let webhook = bundle.webhook(&account, "/dead", &["event"]).await;
    set(&bundle, &account, &webhook, json!({"enabled": false})).await;
    let item = bundle.send(&account, "/bots/b/events", r#"{"n":1}"#).await;
    bundle.until_rest().await;
    bundle.advance(Duration::from_secs(25 * 3600)).await;
    bundle.tick().await;
    bundle.until_rest().await;
    // Whose they are, and why,
    let listed = until_listed(&bundle, "state=dead", 1).await;
    assert_eq!((&listed[0]["webhook"], &listed[0]["dead"]), (&json!(webhook.id), &json!(1)), "{listed:?}");
    let account_id = listed[0]["account"].as_str().unwrap().to_owned();
    let at = |path: &str| format!("/webhooks/{}{path}account={account_id}", webhook.id);
    let dead = bundle.client.get(&at("/dead?"), ADMIN_KEY).await.json();
    assert_eq!((&dead["data"][0]["id"], &dead["data"][0]["cause"]), (&json!(item), &json!("retention_over")));
    // without their bytes, which are their account's,
    assert_problem(&bundle.client.get(&at("/dead?items=true&"), ADMIN_KEY).await, 403, "forbidden");
    // and they are sent again.
    set(&bundle, &account, &webhook, json!({"enabled": true})).await;
    let replay = bundle.client.post(&at("/replay?"), ADMIN_KEY, json!({"type": "event"}).to_string()).await;
    assert_eq!(replay.status, 202, "{}", replay.text());
    let arrived = bundle.receiver.wait_for_count("/dead", 1, SOON).await.unwrap();
    assert_eq!(arrived[0].webhook_id(), Some(item.as_str()));
    until_listed(&bundle, "", 0).await;
    let logged = bundle.logs.of("ManageFunction");
    assert!(logged.iter().any(|line| line.contains("replay.by_operator")), "{logged:#?}");
    bundle.stop().await;
}

#[tokio::test]
async fn the_operator_reads_an_accounts_things_and_changes_none() {
    let bundle = Bundle::start().await;
    let (account, stranger) = (bundle.account().await, bundle.account().await);
    let settings = json!({
        "url": bundle.receiver.url("/x"), "items": ["event"], "headers": {"authorization": "Bearer s3cret"},
    });
    let webhook = bundle.webhook_with(&account, settings).await;
    let one = format!("/webhooks/{}", webhook.id);
    let read = [
        "/webhooks".to_owned(),
        "/pages".to_owned(),
        one.clone(),
        format!("{one}/held"),
        format!("{one}/dead"),
        format!("{one}/attempts"),
        format!("{one}/replay"),
    ];
    for path in &read {
        let own = bundle.client.get(path, &account.key).await;
        let named = format!("{path}?account={}", account.id);
        let seen = bundle.client.get(&named, ADMIN_KEY).await;
        assert_eq!((seen.status, seen.json()), (200, own.json()), "{path}");
        assert!(!seen.text().contains("s3cret"), "{path}");
        assert_eq!(bundle.client.get(&named, &account.key).await.status, 200, "its own account may be named");
        assert_problem(&bundle.client.get(&named, &stranger.key).await, 404, "not-found");
        assert_problem(&bundle.client.get(path, ADMIN_KEY).await, 403, "forbidden");
        for nobody in ["acc_00000000000000000000000000000001", "x", ""] {
            let path = format!("{path}?account={nobody}");
            assert_problem(&bundle.client.get(&path, ADMIN_KEY).await, 404, "not-found");
        }
    }
    let of_stranger = format!("{one}?account={}", stranger.id);
    assert_problem(&bundle.client.get(&of_stranger, ADMIN_KEY).await, 404, "not-found");
    for (method, path) in [
        (Method::POST, "/webhooks".to_owned()),
        (Method::POST, "/pages".to_owned()),
        (Method::PATCH, one.clone()),
        (Method::DELETE, one.clone()),
        (Method::POST, format!("{one}/unblock")),
        (Method::POST, format!("{one}/enable")),
        (Method::POST, format!("{one}/secret")),
        (Method::POST, format!("{one}/test")),
        (Method::DELETE, format!("{one}/held")),
    ] {
        let named = format!("{path}?account={}", account.id);
        let reply = bundle.client.call(method, &named, ADMIN_KEY, "{}").await;
        assert_problem(&reply, 403, "forbidden");
    }
    bundle.stop().await;
}

#[tokio::test]
async fn an_accounts_lookups_have_a_share() {
    let bundle = Bundle::start().await;
    let (account, other) = (bundle.account().await, bundle.account().await);
    let path = "/items/item_00000000000000000000000000000001";
    let mut refused = 0;
    for _ in 0..70 {
        let reply = bundle.client.get(path, &account.key).await;
        if reply.status == 429 {
            assert!(reply.header("retry-after").is_some());
            refused += 1;
        }
    }
    assert!(refused > 0, "an account has sixty a minute");
    assert_eq!(bundle.client.get(path, &other.key).await.status, 404, "another's are its own");
    bundle.stop().await;
}
