//! Accounts, keys and webhooks, over the API.

use carteiro_receiver::{Answer, Behaviour, SignatureCheck};
use carteiro_tests::{ADMIN_KEY, Bundle, SOON, assert_problem};
use http::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn an_account_lives_from_its_creation_to_its_deletion() {
    let bundle = Bundle::start().await;
    let created = bundle.client.post("/accounts", ADMIN_KEY, json!({"name": "Um nome"}).to_string()).await;
    assert_eq!(created.status, 201);
    let created = created.json();
    let (id, key) = (created["id"].as_str().unwrap(), created["key"].as_str().unwrap());
    let listed = bundle.client.get("/accounts", ADMIN_KEY).await.json();
    assert_eq!(listed["data"][0]["name"], "Um nome");
    assert_eq!((listed["data"][0].get("key"), &listed["next"]), (None, &Value::Null), "a key is shown once");
    assert_eq!(bundle.client.get("/webhooks", key).await.status, 200);
    let second = bundle.client.post(&format!("/accounts/{id}/keys"), ADMIN_KEY, "").await.with_status(201);
    let second = second.json();
    let revoke = format!("/accounts/{id}/keys/{}", created["key_id"].as_str().unwrap());
    assert_eq!(bundle.client.delete(&revoke, ADMIN_KEY).await.status, 204);
    assert_problem(&bundle.client.delete(&revoke, ADMIN_KEY).await, 404, "not-found");
    assert_problem(&bundle.client.get("/webhooks", key).await, 401, "unauthorized");
    let key = second["key"].as_str().unwrap();
    assert_eq!(bundle.client.get("/webhooks", key).await.status, 200);
    assert_eq!(bundle.client.delete(&format!("/accounts/{id}"), ADMIN_KEY).await.status, 200);
    assert_problem(&bundle.client.get("/webhooks", key).await, 401, "unauthorized");
    assert_problem(&bundle.client.delete(&format!("/accounts/{id}"), ADMIN_KEY).await, 404, "not-found");
    bundle.stop().await;
}

#[tokio::test]
async fn a_key_is_stored_only_as_its_hash() {
    let (bundle, account) = Bundle::with_account([]).await;
    let rows = carteiro_tests::dynamodb::scan(&bundle, "ConfigTable").await;
    assert!(!Value::Array(rows).to_string().contains(&account.key));
    bundle.stop().await;
}

#[tokio::test]
async fn a_webhook_is_shown_as_it_is_but_its_secret_only_once() {
    let (bundle, account) = Bundle::with_account([]).await;
    let settings = json!({
        "url": bundle.receiver.url("/a"), "items": ["message"], "sources": ["bot:b"], "headers": {"X-Tenant": "7"},
        "while_blocked": "discard", "log": "all", "description": "primeira", "threshold": 5, "block_seconds": 60,
    });
    let created = bundle.client.post("/webhooks", &account.key, settings.to_string()).await.json();
    assert!(created["secret"].as_str().unwrap().starts_with("whsec_"));
    let path = format!("/webhooks/{}", created["id"].as_str().unwrap());
    let shown = bundle.client.get(&path, &account.key).await.json();
    assert_eq!(shown.get("secret"), None);
    for field in
        ["url", "items", "sources", "while_blocked", "log", "description", "threshold", "block_seconds"]
    {
        assert_eq!(shown[field], settings[field], "{field}");
    }
    assert_eq!(shown["headers"], json!({"x-tenant": "********"}));
    assert_eq!(shown["status"]["message"]["state"], "open");
    assert_eq!(shown["status"]["message"]["threshold"], 5);
    let unchanged = bundle.client.patch(&path, &account.key, &json!({"threshold": 5})).await.json();
    assert_eq!((&unchanged["revision"], &unchanged["updated_at"]), (&json!(1), &shown["updated_at"]));
    let changed = bundle
        .client
        .patch(&path, &account.key, &json!({"url": bundle.receiver.url("/b"), "sources": null}))
        .await;
    let changed = changed.json();
    assert_eq!((&changed["revision"], &changed["sources"]), (&json!(2), &Value::Null));
    bundle.stop().await;
}

#[tokio::test]
async fn credentials_of_a_webhook_are_sent_and_never_shown() {
    const VALUE: &str = "Bearer planted-header-value";
    const IN_QUERY: &str = "planted-query-value";
    const MASK: &str = "********";
    let (bundle, account, notices) = Bundle::with_webhook([], "/notices", &["notice"]).await;
    let url = format!("{}?token={IN_QUERY}", bundle.receiver.url("/a"));
    let settings = json!({
        "url": url, "items": ["message"], "headers": {"Authorization": VALUE}, "threshold": 1, "log": "all",
    });
    let created = bundle.client.post("/webhooks", &account.key, settings.to_string()).await;
    let path = format!("/webhooks/{}", created.json()["id"].as_str().unwrap());
    let masked = json!({"headers": {"AUTHORIZATION": MASK, "x-new": "1"}});
    let mut replies = vec![created, bundle.client.patch(&path, &account.key, &masked).await];
    for action in ["test", "unblock", "enable", "secret"] {
        replies.push(bundle.client.post(&format!("{path}/{action}"), &account.key, "").await);
    }
    bundle.receiver.set_behaviour("/a", Behaviour::from(Answer::status(StatusCode::BAD_GATEWAY)));
    bundle.send(&account, "/bots/b/messages", "{}").await;
    bundle.receiver.wait_for_count("/notices", 1, SOON).await.unwrap();
    for list in ["/webhooks".to_owned(), path.clone(), format!("{path}/attempts"), format!("{path}/held")] {
        replies.push(bundle.client.get(&list, &account.key).await);
    }
    for reply in &replies {
        assert!([200, 201].contains(&reply.status), "{}", reply.text());
        assert!(!reply.text().contains("planted-header-value"), "{}", reply.text());
    }
    let shown = bundle.client.get(&path, &account.key).await.json();
    assert_eq!(shown["headers"], json!({"authorization": MASK, "x-new": MASK}));
    assert_eq!(shown["url"], url, "its owner sees it whole");
    let sent = bundle.receiver.deliveries_to("/a");
    assert_eq!(sent.len(), 2, "the test and the message");
    assert!(sent.iter().all(|delivery| delivery.header("authorization") == Some(VALUE)));
    let notice: Value = serde_json::from_slice(&bundle.receiver.deliveries_to("/notices")[0].body).unwrap();
    assert_eq!((&notice["data"]["webhook"], &notice["type"]), (&shown["id"], &json!("webhook.blocked")));
    assert_eq!(notice["data"]["url"], format!("{}?token=***", bundle.receiver.url("/a")));
    assert!(
        !bundle
            .receiver
            .deliveries_to("/notices")
            .iter()
            .any(|notice| { String::from_utf8_lossy(&notice.body).contains(IN_QUERY) })
    );
    let again = bundle.client.patch(&path, &account.key, &json!({"headers": shown["headers"]})).await.json();
    assert_eq!(again["revision"], shown["revision"], "the mask changes nothing");
    let unknown = json!({"headers": {"x-other": MASK}});
    for (reply, field) in [
        (bundle.client.patch(&path, &account.key, &unknown).await, "headers.x-other"),
        (
            bundle
                .client
                .post(
                    "/webhooks",
                    &account.key,
                    json!({"url": url, "items": ["event"], "headers": {"x-a": MASK}}).to_string(),
                )
                .await,
            "headers.x-a",
        ),
    ] {
        assert_eq!(assert_problem(&reply, 422, "invalid")["errors"][0]["field"], field);
    }
    let logged = bundle.complaints().join("\n");
    assert!(!logged.contains("planted-"), "{logged}");
    let _ = notices;
    bundle.stop().await;
}

#[tokio::test]
async fn an_answer_can_be_sent_back_and_read_only_fields_stay() {
    let (bundle, account) = Bundle::with_account([]).await;
    let settings = json!({
        "url": bundle.receiver.url("/a"), "items": ["message"], "headers": {"x-a": "1"}, "key_pair": true,
    });
    let webhook = bundle.webhook_with(&account, settings).await;
    let page = json!({
        "network": "facebook", "network_id": "501", "name": "a", "access_token": "planted-token",
        "expires_at": "9999-12-31T23:59:59Z",
    });
    let page = bundle.client.post("/pages", &account.key, page.to_string()).await.with_status(201);
    let page = format!("/pages/{}", page.json()["id"].as_str().unwrap());
    for (path, field) in [(format!("/webhooks/{}", webhook.id), "description"), (page, "name")] {
        let shown = bundle.client.get(&path, &account.key).await.json();
        let same = bundle.client.patch(&path, &account.key, &shown).await.with_status(200);
        assert_eq!(same.json()["updated_at"], shown["updated_at"]);
        let mut changed = shown.clone();
        changed[field] = json!("another");
        let changed = bundle.client.patch(&path, &account.key, &changed).await;
        assert_eq!((changed.status, &changed.json()[field]), (200, &json!("another")));
        let wrong = json!({"id": "other", "created_at": "2026-01-01T00:00:00.000Z", "nonsense": 1});
        let problem = assert_problem(&bundle.client.patch(&path, &account.key, &wrong).await, 422, "invalid");
        let mut fields: Vec<_> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["field"].as_str().unwrap())
            .collect();
        fields.sort_unstable();
        assert_eq!(fields, ["created_at", "id", "nonsense"]);
    }
    let status = json!({"status": {"message": {"state": "blocked"}}});
    let path = format!("/webhooks/{}", webhook.id);
    let problem = assert_problem(&bundle.client.patch(&path, &account.key, &status).await, 422, "invalid");
    assert_eq!(problem["errors"][0]["field"], "status");
    bundle.stop().await;
}

#[tokio::test]
async fn lists_are_paged_and_another_lists_cursor_is_refused() {
    let (bundle, account) = Bundle::with_account([]).await;
    let mut created = Vec::new();
    for n in 0..5 {
        created.push(bundle.webhook(&account, &format!("/{n}"), &["event"]).await.id);
    }
    let first = bundle.client.get("/webhooks?limit=2", &account.key).await.json();
    let path = format!("/webhooks?limit=2&cursor={}", first["next"].as_str().unwrap());
    let listed = bundle.client.all("/webhooks?limit=2", &account.key).await;
    let seen: Vec<_> = listed.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(seen, created, "in the order of their creation");
    let stranger = bundle.account().await;
    assert_problem(&bundle.client.get(&path, &stranger.key).await, 422, "invalid");
    bundle.stop().await;
}

#[tokio::test]
async fn what_is_another_accounts_is_not_found() {
    let (bundle, account) = Bundle::with_account([]).await;
    let stranger = bundle.account().await;
    let webhook = bundle.webhook(&account, "/a", &["event"]).await;
    let path = format!("/webhooks/{}", webhook.id);
    assert_problem(&bundle.client.get(&path, &stranger.key).await, 404, "not-found");
    assert_problem(
        &bundle.client.patch(&path, &stranger.key, &json!({"log": "all"})).await,
        404,
        "not-found",
    );
    assert_problem(&bundle.client.delete(&path, &stranger.key).await, 404, "not-found");
    assert_problem(&bundle.client.post(&format!("{path}/test"), &stranger.key, "").await, 404, "not-found");
    assert_eq!(bundle.client.get(&path, &account.key).await.status, 200);
    bundle.stop().await;
}

#[tokio::test]
async fn changes_at_the_same_time_are_all_kept() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/a", &["event"]).await;
    let path = format!("/webhooks/{}", webhook.id);
    let patches = [json!({"log": "all"}), json!({"description": "d"}), json!({"threshold": 9})];
    let replies = futures_util::future::join_all(
        patches.iter().map(|patch| bundle.client.patch(&path, &account.key, patch)),
    );
    for reply in replies.await {
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let shown = bundle.client.get(&path, &account.key).await.json();
    assert_eq!(
        (&shown["log"], &shown["description"], &shown["threshold"]),
        (&json!("all"), &json!("d"), &json!(9))
    );
    bundle.stop().await;
}

#[tokio::test]
async fn a_test_is_one_attempt_now_and_tells_what_came_of_it() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/a", &["event"]).await;
    let path = format!("/webhooks/{}/test", webhook.id);
    let succeeded = bundle.client.post(&path, &account.key, "").await.with_status(200).json();
    assert_eq!((succeeded["outcome"].as_str(), succeeded["status"].as_u64()), (Some("success"), Some(200)));
    let delivery = &bundle.receiver.deliveries_to("/a")[0];
    assert_eq!(delivery.webhook_id(), succeeded["item"].as_str());
    assert_eq!(
        (delivery.signature, delivery.header("carteiro-item-type")),
        (SignatureCheck::Valid, Some("test"))
    );
    let failing =
        Answer::Status { code: StatusCode::BAD_GATEWAY, headers: http::HeaderMap::new(), body: "no".into() };
    bundle.receiver.set_behaviour("/a", Behaviour::from(failing));
    let failed = bundle.client.post(&path, &account.key, "").await.json();
    assert_eq!((failed["outcome"].as_str(), failed["error"].as_str()), (Some("failure"), Some("status")));
    assert_eq!((failed["status"].as_u64(), failed["response_body"].as_str()), (Some(502), Some("no")));
    bundle.advance(std::time::Duration::from_secs(60)).await;
    assert_eq!(bundle.count_at_rest("/a").await, 2, "a test is never retried");
    bundle.stop().await;
}

#[tokio::test]
async fn the_api_describes_itself() {
    let bundle = Bundle::start().await;
    let description = bundle.client.request(http::Method::GET, "/openapi.json", &[], "").await;
    assert_eq!(description.status, 200);
    assert!(description.json()["openapi"].as_str().unwrap().starts_with("3.1"));
    let schema = bundle.client.request(http::Method::GET, "/schemas/collected-item.json", &[], "").await;
    assert_eq!(schema.status, 200);
    assert_eq!(schema.text(), carteiro_networks::collected::SCHEMA);
    assert_eq!(schema.headers["content-type"], "application/schema+json");
    bundle.stop().await;
}
