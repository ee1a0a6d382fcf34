//! Bad input: each gets an error that names what is wrong, and nothing is stored.

use carteiro_tests::{ADMIN_KEY, Bundle, assert_problem};
use http::Method;
use serde_json::json;

#[tokio::test]
async fn what_is_no_item_is_refused_with_its_reason_and_goes_nowhere() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["message"]).await;
    let too_large = format!("{{\"a\":\"{}\"}}", "x".repeat(256 * 1024));
    let cases: [(&str, Vec<u8>, u16, &str); 7] = [
        ("no JSON", b"hello".to_vec(), 400, "bad-request"),
        ("nothing", Vec::new(), 400, "bad-request"),
        ("a list", b"[{}]".to_vec(), 400, "bad-request"),
        ("two objects", b"{}{}".to_vec(), 400, "bad-request"),
        ("cut off", b"{\"a\":".to_vec(), 400, "bad-request"),
        ("not UTF-8", b"{\"a\":\"\xff\xfe\"}".to_vec(), 400, "bad-request"),
        ("too large", too_large.into_bytes(), 413, "too-large"),
    ];
    for (name, body, status, kind) in cases {
        let problem =
            assert_problem(&bundle.client.post("/bots/b/messages", &account.key, body).await, status, kind);
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{name}");
    }
    let problem =
        assert_problem(&bundle.client.post("/bots/a%2Fb/messages", &account.key, "{}").await, 422, "invalid");
    assert_eq!(problem["errors"][0]["field"], "bot");
    let unknown = bundle.client.post("/bots/b/tickets", &account.key, "{}").await;
    assert_eq!(unknown.status, 404, "an unknown type has no route");
    let key = "k".repeat(256);
    assert_problem(
        &bundle.client.post_once("/bots/b/messages", &account.key, &key, "{}").await,
        422,
        "invalid",
    );
    bundle.until_rest().await;
    assert_eq!(bundle.receiver.deliveries().len(), 0);
    bundle.stop().await;
}

#[tokio::test]
async fn a_compressed_body_is_refused_with_a_sentence_that_says_so() {
    let (bundle, account) = Bundle::with_account([]).await;
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00";
    let authorization = format!("Bearer {}", account.key);
    let key = ("authorization", authorization.as_str());
    for (path, media_type) in [
        ("/bots/b/messages", "application/json"),
        ("/bots/b/items", "application/x-ndjson"),
        ("/webhooks", "application/json"),
        ("/pages", "application/octet-stream"),
    ] {
        for coding in [vec![("content-encoding", "gzip")], Vec::new()] {
            let headers = [vec![key, ("content-type", media_type)], coding].concat();
            let reply = bundle.client.request(Method::POST, path, &headers, gzip.as_slice()).await;
            let problem = assert_problem(&reply, 415, "unsupported-media");
            assert!(problem["detail"].as_str().unwrap().contains("compressed"), "{problem}");
            assert_eq!(reply.header("accept-encoding"), Some("identity"), "{path}");
        }
    }
    bundle.stop().await;
}

#[tokio::test]
async fn details_are_sentences_that_name_what_is_wrong() {
    let (bundle, account) = Bundle::with_account([]).await;
    let url = bundle.receiver.url("/a");
    for (settings, detail) in [
        (json!({"url": "nonsense", "items": ["message"]}), "is not an absolute URL with a host"),
        (json!({"url": url, "items": ["message", "messages"]}), "\"messages\" is not an item type"),
        (json!({"url": url, "items": ["message"], "sources": ["bots:b"]}), "\"bots:b\" is not a source"),
    ] {
        let reply = bundle.client.post("/webhooks", &account.key, settings.to_string()).await;
        let problem = assert_problem(&reply, 422, "invalid");
        let told = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(told.contains(detail), "{told}");
    }
    for (body, detail) in
        [("{\"a\":", "it ends before its JSON does"), ("{'a':1}", "it is no JSON at line 1, byte 2")]
    {
        for path in ["/webhooks", "/bots/b/messages"] {
            let problem =
                assert_problem(&bundle.client.post(path, &account.key, body).await, 400, "bad-request");
            assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
        }
    }
    bundle.stop().await;
}

#[tokio::test]
async fn without_a_key_that_may_nothing_is_done() {
    let (bundle, account) = Bundle::with_account([]).await;
    let no_key = bundle.client.request(Method::POST, "/bots/b/messages", &[], "{}").await;
    assert_problem(&no_key, 401, "unauthorized");
    let basic = [("authorization", "Basic YTpi")];
    assert_problem(&bundle.client.request(Method::GET, "/webhooks", &basic, "").await, 401, "unauthorized");
    assert_problem(&bundle.client.get("/webhooks", "ck_wrong").await, 401, "unauthorized");
    assert_problem(&bundle.client.get("/accounts", &account.key).await, 403, "forbidden");
    assert_problem(&bundle.client.post("/accounts", &account.key, r#"{"name":"x"}"#).await, 403, "forbidden");
    assert_problem(&bundle.client.get("/webhooks", ADMIN_KEY).await, 403, "forbidden");
    assert_problem(&bundle.client.post("/bots/b/messages", ADMIN_KEY, "{}").await, 401, "unauthorized");
    bundle.stop().await;
}

#[tokio::test]
async fn every_wrong_field_is_named_and_no_webhook_is_stored() {
    let (bundle, account) = Bundle::with_account([]).await;
    let url = bundle.receiver.url("/a");
    let cases = [
        (json!({"items": ["message"]}), "url"),
        (json!({"url": "nonsense", "items": ["message"]}), "url"),
        (json!({"url": "ftp://example.com", "items": ["message"]}), "url"),
        (json!({"url": "http://example.com:99999/", "items": ["message"]}), "url"),
        (json!({"url": "http://8.8.8.8:8080/", "items": ["message"]}), "url"),
        (json!({"url": "https://10.0.0.1/", "items": ["message"]}), "url"),
        (json!({"url": "https://169.254.169.254/latest/meta-data", "items": ["message"]}), "url"),
        (json!({"url": "https://user:pass@example.com/", "items": ["message"]}), "url"),
        (json!({"url": "https://example.com:22/", "items": ["message"]}), "url"),
        (json!({"url": url, "items": []}), "items"),
        (json!({"url": url, "items": ["tickets"]}), "items"),
        (json!({"url": url, "items": ["message"], "headers": {"webhook-id": "x"}}), "headers.webhook-id"),
        (json!({"url": url, "items": ["message"], "thresold": 3}), "thresold"),
        (json!({"url": url, "items": ["message"], "block_seconds": 0}), "block_seconds"),
    ];
    for (settings, field) in cases {
        let reply = bundle.client.post("/webhooks", &account.key, settings.to_string()).await;
        let problem = assert_problem(&reply, 422, "invalid");
        assert_eq!(problem["errors"][0]["field"], field, "{settings}");
    }
    for body in ["", "[]", "{", "1"] {
        assert_problem(&bundle.client.post("/webhooks", &account.key, body).await, 400, "bad-request");
    }
    assert_eq!(bundle.client.get("/webhooks", &account.key).await.json()["data"], json!([]));
    bundle.stop().await;
}

#[tokio::test]
async fn broken_cursors_and_limits_are_named() {
    let (bundle, account) = Bundle::with_account([]).await;
    for (query, field) in
        [("cursor=broken", "cursor"), ("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit")]
    {
        let problem = assert_problem(
            &bundle.client.get(&format!("/webhooks?{query}"), &account.key).await,
            422,
            "invalid",
        );
        assert_eq!(problem["errors"][0]["field"], field);
    }
    let none = bundle.client.get("/webhooks/wh_unknown", &account.key).await;
    assert_problem(&none, 404, "not-found");
    bundle.stop().await;
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_answered_405() {
    let bundle = Bundle::start().await;
    let (method, client) = (|name: &str| name.parse::<Method>().unwrap(), &bundle.client);
    for (name, path, allow) in [
        ("PUT", "/webhooks", "GET, POST"),
        ("POST", "/webhooks/wh_1", "DELETE, GET, PATCH"),
        ("DELETE", "/openapi.json", "GET"),
        ("OPTIONS", "/accounts", "GET, POST"),
        ("GET", "/bots/shop/messages", "POST"),
        ("DELETE", "/push/x", "GET, POST"),
    ] {
        let reply = client.request(method(name), path, &[], "").await;
        assert_problem(&reply, 405, "method-not-allowed");
        assert_eq!(reply.header("allow"), Some(allow), "{name} {path}");
    }
    for path in ["/nowhere", "/webhooks/", "/webhooks/a/b/c", "/docs/problems/a/b"] {
        let reply = client.request(method("GET"), path, &[], "").await;
        assert_eq!(reply.header("allow"), None, "{path}");
        assert_problem(&reply, 404, "not-found");
    }
    bundle.stop().await;
}

#[tokio::test]
async fn a_parameter_that_a_route_does_not_know_is_named() {
    let (bundle, account) = Bundle::with_account([]).await;
    for (path, key) in [
        ("/webhooks?limit=1&lim1t=2", account.key.as_str()),
        ("/webhooks/wh_1?lim1t=2", &account.key),
        ("/accounts?lim1t=2&limit=1", ADMIN_KEY),
        ("/openapi.json?lim1t=2", ""),
        ("/schemas/collected-item.json?lim1t=2", ""),
    ] {
        let problem = assert_problem(&bundle.client.get(path, key).await, 422, "invalid");
        assert_eq!(problem["errors"][0]["field"], "lim1t", "{path}");
    }
    let sent = bundle.client.post("/bots/shop/events?lim1t=2", &account.key, "{}").await;
    assert_eq!(assert_problem(&sent, 422, "invalid")["errors"][0]["field"], "lim1t");
    assert_problem(&bundle.client.get("/webhooks?lim1t=2", "ck_nobody").await, 401, "unauthorized");
    bundle.stop().await;
}
