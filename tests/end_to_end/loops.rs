//! Loops: deliveries that lead back to an intake end by themselves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::client::{Client, Reply};
use carteiro_tests::{Account, Bundle, SOON, Webhook, assert_problem, dynamodb};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::networks::{
    META_SECRET, SECRETS, X_SECRET, comment, connect_with, facebook, hand_on, inbox, instagram, signature, x,
};

const HOP: &str = "carteiro-hop";

/// This machine's own addresses, of both families.
const LOOPBACK: (&str, &str) = ("AllowedPrivateTargets", "127.0.0.0/8,::1/128");

/// A request that a relay passed on.
#[derive(Clone, Debug)]
struct Passed {
    hop: Option<String>,
    item_type: String,
    status: u16,
}

/// A server that passes what it gets on to an intake, with the header that counts hops.
struct Relay {
    url: String,
    passed: Arc<Mutex<Vec<Passed>>>,
}

impl Relay {
    /// Passes everything on to this path, with this key, and answers as that does.
    async fn start(client: &Client, path: &str, key: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        let passed = Arc::new(Mutex::new(Vec::new()));
        let (seen, client) = (Arc::clone(&passed), client.clone());
        let (path, key) = (path.to_owned(), format!("Bearer {key}"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, client, path, key) =
                    (Arc::clone(&seen), client.clone(), path.clone(), key.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (seen, client, path, key) =
                        (Arc::clone(&seen), client.clone(), path.clone(), key.clone());
                    async move { pass_on(request, &seen, &client, &path, &key).await }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, passed }
    }

    fn passed(&self) -> Vec<Passed> {
        self.passed.lock().unwrap().clone()
    }

    /// The hop counts of what was passed on, in their order.
    fn hops(&self) -> Vec<String> {
        self.passed().into_iter().map(|passed| passed.hop.unwrap_or_default()).collect()
    }

    fn taken(&self) -> usize {
        self.passed().iter().filter(|passed| passed.status == 202).count()
    }

    fn refused(&self) -> usize {
        self.passed().iter().filter(|passed| passed.status == 508).count()
    }
}

async fn pass_on(
    request: Request<Incoming>,
    seen: &Mutex<Vec<Passed>>,
    client: &Client,
    path: &str,
    key: &str,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (hop, item_type) = (header(HOP), header("carteiro-item-type").unwrap_or_default());
    let mut body = request.into_body().collect().await?.to_bytes();
    if path.ends_with("/items") {
        let item: Value = serde_json::from_slice(&body).unwrap();
        body = json!({"type": "message", "item": item}).to_string().into();
    }
    if path.ends_with("/test") {
        body = Bytes::new();
    }
    let mut headers = vec![("authorization", key), ("content-type", "application/json")];
    headers.extend(hop.as_deref().map(|hop| (HOP, hop)));
    let status =
        client.try_request(Method::POST, path, &headers, body).await.map_or(500, |reply| reply.status);
    seen.lock().unwrap().push(Passed { hop, item_type, status });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let reached = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, reached).await.is_ok(), "never: {what}");
}

/// Lets the short retries of everything come.
async fn after_the_short_retries(bundle: &Bundle) {
    for seconds in [7, 37, 361] {
        bundle.until_rest().await;
        bundle.advance(Duration::from_secs(seconds)).await;
    }
    bundle.until_rest().await;
}

async fn post_with(bundle: &Bundle, path: &str, key: &str, hops: &[&str], body: String) -> Reply {
    let authorization = format!("Bearer {key}");
    let mut headers = vec![("authorization", authorization.as_str()), ("content-type", "application/json")];
    headers.extend(hops.iter().map(|hop| (HOP, *hop)));
    bundle.client.request(Method::POST, path, &headers, body).await
}

fn refusals(bundle: &Bundle) -> usize {
    let lines = ["IngestFunction", "ManageFunction"].map(|function| bundle.logs.of(function));
    lines.iter().flatten().filter(|line| line.contains("loop.refused")).count()
}

/// The port of a URL without a path.
fn port(url: &str) -> &str {
    url.rsplit_once(':').unwrap().1
}

#[tokio::test]
async fn a_webhook_at_the_deployment_itself_is_not_saved() {
    let bundle =
        Bundle::start_with([LOOPBACK, ("OwnHosts", "hooks.example.com, hooks.example.org:8443")]).await;
    let (account, other) = (bundle.account().await, bundle.account().await);
    let webhook = bundle.webhook(&account, "/in", &["message"]).await;
    let addresses = bundle.stack.addresses().clone();
    let api = port(&addresses.api);
    let mut own: Vec<String> =
        ["127.0.0.1", "localhost", "LOCALHOST.", "127.1", "2130706433", "127.0.0.9", "[::1]"]
            .iter()
            .map(|host| format!("http://{host}:{api}/bots/b/messages"))
            .collect();
    own.extend([&addresses.dynamodb, &addresses.sqs, &addresses.lambda].map(|url| format!("{url}/")));
    own.push(format!("{}/push/facebook", addresses.api));
    own.push("https://hooks.example.com/bots/b/messages".to_owned());
    own.push("https://Hooks.Example.com.:8443/".to_owned());
    own.push("https://hooks.example.org:8443/".to_owned());
    // The name that the platform gives the API.
    own.push("https://local.execute-api.us-east-1.amazonaws.com/bots/b/messages".to_owned());
    for url in &own {
        for key in [&account.key, &other.key] {
            let settings = json!({"url": url, "items": ["message"]}).to_string();
            let problem =
                assert_problem(&bundle.client.post("/webhooks", key, settings).await, 422, "invalid");
            let detail = problem["errors"][0]["detail"].as_str().unwrap();
            assert!(problem["errors"][0]["field"] == "url" && detail.contains("itself"), "{url}: {problem}");
        }
        let path = format!("/webhooks/{}", webhook.id);
        let patched = bundle.client.patch(&path, &account.key, &json!({"url": url})).await;
        assert_problem(&patched, 422, "invalid");
    }
    // Everything else on this machine, and of the same domain, is taken.
    for url in ["https://example.com/", "https://hooks.example.org/", &bundle.receiver.url("/in")] {
        let settings = json!({"url": url, "items": ["event"]}).to_string();
        let taken = bundle.client.post("/webhooks", &account.key, settings).await;
        assert_eq!(taken.status, 201, "{url}: {}", taken.text());
    }
    bundle.stop().await;
}

/// Changes a webhook's URL past the API, as if it had been saved when it led elsewhere.
async fn lead(bundle: &Bundle, account: &Account, webhook: &Webhook, url: &str) {
    let key = json!({"pk": {"S": format!("account#{}", account.id)}, "sk": {"S": format!("webhook#{}", webhook.id)}});
    let row = dynamodb::call(bundle, "GetItem", &json!({"TableName": "ConfigTable", "Key": key})).await;
    let mut row = row["Item"].clone();
    let mut document: Value = serde_json::from_str(row["webhook"]["S"].as_str().unwrap()).unwrap();
    document["settings"]["url"] = url.into();
    row["webhook"]["S"] = document.to_string().into();
    dynamodb::call(bundle, "PutItem", &json!({"TableName": "ConfigTable", "Item": row})).await;
}

#[tokio::test]
async fn an_attempt_that_would_lead_here_fails_and_says_why() {
    let (bundle, account) = Bundle::with_account([("OwnHosts", "hooks.example.com")]).await;
    let api = bundle.stack.addresses().api.clone();
    let api = port(&api);
    for url in [
        format!("http://127.0.0.1:{api}/bots/b/messages"),
        format!("http://localhost:{api}/bots/b/messages"),
        format!("http://[::1]:{api}/bots/b/messages"),
        "https://HOOKS.example.com./bots/b/messages".to_owned(),
        "https://local.execute-api.us-east-1.amazonaws.com/bots/b/messages".to_owned(),
    ] {
        let webhook = bundle.webhook(&account, "/in", &["event"]).await;
        lead(&bundle, &account, &webhook, &url).await;
        let test = bundle.client.post(&format!("/webhooks/{}/test", webhook.id), &account.key, "").await;
        let tested = test.json();
        assert_eq!(
            (&tested["outcome"], &tested["error"]),
            (&json!("failure"), &json!("own_address")),
            "{url}"
        );
        bundle.send(&account, "/bots/b/events", "{}").await;
        bundle.until_rest().await;
        let status = bundle.status(&account, &webhook, "event").await;
        assert_eq!(status["failures"], 1, "it counts: {url}: {status}");
        assert_eq!(status["last_error"]["error"], "own_address", "{url}: {status}");
        let attempts = format!("/webhooks/{}/attempts", webhook.id);
        let attempts = bundle.client.get(&attempts, &account.key).await.json();
        assert_eq!(attempts["data"][0]["error"], "own_address", "{url}: {attempts}");
        bundle.client.delete(&format!("/webhooks/{}", webhook.id), &account.key).await.with_status(200);
    }
    assert_eq!(bundle.receiver.count("/in"), 0);
    bundle.stop().await;
}

#[tokio::test]
async fn a_loop_through_a_relay_ends_at_the_third_hop() {
    let (bundle, account) = Bundle::with_account([]).await;
    let relay = Relay::start(&bundle.client, "/bots/relay/messages", &account.key).await;
    let webhook = bundle.webhook_with(&account, json!({"url": relay.url, "items": ["message"]})).await;
    bundle.send(&account, "/bots/b/messages", r#"{"text":"round"}"#).await;
    until("the third hop is refused", || relay.refused() == 1).await;
    assert_eq!(relay.hops(), ["1", "2", "3"]);
    assert_eq!(relay.taken(), 2);
    after_the_short_retries(&bundle).await;
    let again: Vec<_> = relay.passed().split_off(2);
    assert!(
        again.iter().all(|passed| passed.hop.as_deref() == Some("3") && passed.status == 508),
        "{again:?}"
    );
    assert_eq!(again.len(), 4, "the refused item alone is tried again");
    // The owner reads it, and the operator counts it.
    let status = bundle.status(&account, &webhook, "message").await;
    assert_eq!(status["last_error"]["status"], 508, "{status}");
    let attempts =
        bundle.client.get(&format!("/webhooks/{}/attempts", webhook.id), &account.key).await.json();
    assert_eq!(attempts["data"][0]["status"], 508, "{attempts}");
    assert_eq!(refusals(&bundle), 4);
    let told = bundle.logs.of("IngestFunction");
    assert!(told.iter().any(|line| line.contains("loop.refused") && line.contains(&account.id)), "{told:?}");
    // A test goes round as an item does, and counts alike.
    let test = bundle.client.post(&format!("/webhooks/{}/test", webhook.id), &account.key, "").await;
    assert_eq!(test.json()["status"], 202, "{}", test.text());
    let before = again.len() + 2;
    until("the test's item is refused, too", || relay.hops().split_off(before).ends_with(&["3".to_owned()]))
        .await;
    assert_eq!(relay.hops().split_off(before), ["1", "2", "3"]);
    bundle.stop().await;
}

#[tokio::test]
async fn three_relayed_webhooks_multiply_to_an_end() {
    let (bundle, account) = Bundle::with_account([]).await;
    let mut relays = Vec::new();
    for path in ["/bots/a/messages", "/bots/b/messages", "/bots/c/items"] {
        let relay = Relay::start(&bundle.client, path, &account.key).await;
        bundle.webhook_with(&account, json!({"url": relay.url, "items": ["message"]})).await;
        relays.push(relay);
    }
    bundle.send(&account, "/bots/origin/messages", "{}").await;
    let count = |of: fn(&Relay) -> usize| relays.iter().map(of).sum::<usize>();
    // Each passage triples: three deliveries are accepted, then nine, and the next twenty-seven are refused.
    until("the last of them is refused", || count(Relay::refused) >= 27).await;
    after_the_short_retries(&bundle).await;
    assert_eq!(count(Relay::taken), 3 + 9);
    assert_eq!(count(Relay::refused), 27 * 4, "once, and with three short retries");
    bundle.stop().await;
}

#[tokio::test]
async fn a_neighbours_intake_counts_hops_alike() {
    let bundle = Bundle::start().await;
    let (one, other) = (bundle.account().await, bundle.account().await);
    let to_other = Relay::start(&bundle.client, "/bots/b/events", &other.key).await;
    let to_one = Relay::start(&bundle.client, "/bots/b/messages", &one.key).await;
    bundle.webhook_with(&one, json!({"url": to_other.url, "items": ["message"]})).await;
    bundle.webhook_with(&other, json!({"url": to_one.url, "items": ["event"]})).await;
    bundle.send(&one, "/bots/b/messages", "{}").await;
    until("it is refused", || to_other.refused() + to_one.refused() > 0).await;
    after_the_short_retries(&bundle).await;
    assert_eq!((to_other.taken(), to_one.taken()), (1, 1));
    bundle.stop().await;
}

#[tokio::test]
async fn two_deployments_that_feed_each_other_end() {
    let (one, other) = (Bundle::start().await, Bundle::start().await);
    let (of_one, of_other) = (one.account().await, other.account().await);
    let at = |bundle: &Bundle, account: &Account| {
        json!({
            "url": format!("{}/bots/b/messages", bundle.stack.addresses().api),
            "items": ["message"],
            "headers": {"authorization": format!("Bearer {}", account.key)},
            "log": "all",
        })
    };
    // Each other's intake is no address of its own, and the deliveries go straight there.
    let to_other = one.webhook_with(&of_one, at(&other, &of_other)).await;
    let to_one = other.webhook_with(&of_other, at(&one, &of_one)).await;
    one.send(&of_one, "/bots/b/messages", "{}").await;
    until("it is refused", || refusals(&one) + refusals(&other) > 0).await;
    for _ in 0..2 {
        after_the_short_retries(&one).await;
        after_the_short_retries(&other).await;
    }
    let statuses = async |bundle: &Bundle, account: &Account, webhook: &Webhook| {
        let path = format!("/webhooks/{}/attempts", webhook.id);
        let attempts = bundle.client.get(&path, &account.key).await.json();
        let rows = attempts["data"].as_array().unwrap().clone();
        rows.iter().map(|row| row["status"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(statuses(&other, &of_other, &to_one).await, [202]);
    let to_other = statuses(&one, &of_one, &to_other).await;
    assert_eq!(to_other.iter().filter(|status| **status == 202).count(), 1, "{to_other:?}");
    assert!(to_other.iter().all(|status| matches!(status, 202 | 508)) && to_other.len() > 1, "{to_other:?}");
    // The key of one is kept in the other on purpose here.
    one.halt().await;
    other.halt().await;
}

#[tokio::test]
async fn every_intake_of_bots_passes_hops_on_and_refuses_the_third() {
    let (bundle, account, _) = Bundle::with_webhook([], "/in", &["message", "event", "contact"]).await;
    let line = || json!({"type": "event", "item": {}}).to_string();
    let mut expected = Vec::new();
    for (path, body) in [
        ("/bots/b/messages", "{}".to_owned()),
        ("/bots/b/events", "{}".to_owned()),
        ("/bots/b/contacts", "{}".to_owned()),
        ("/bots/b/items", line()),
    ] {
        for (hops, carried) in [
            (&[][..], "1"),
            (&["0"], "1"),
            (&["1"], "2"),
            (&["2"], "3"),
            (&["0", "2", "1"], "3"),
            (&["1,0"], "2"),
        ] {
            let reply = post_with(&bundle, path, &account.key, hops, body.clone()).await;
            assert_eq!(reply.status, 202, "{path} {hops:?}: {}", reply.text());
            expected.push(carried.to_owned());
        }
        for hops in
            [&["3"][..], &["4"], &["99999999999999999999"], &["1", "3"], &["x"], &["-1"], &[""], &["1", "x"]]
        {
            let reply = post_with(&bundle, path, &account.key, hops, body.clone()).await;
            assert_problem(&reply, 508, "loop-detected");
        }
    }
    let deliveries =
        bundle.receiver.wait_for_count("/in", u64::try_from(expected.len()).unwrap(), SOON).await.unwrap();
    bundle.until_rest().await;
    let mut carried: Vec<_> =
        deliveries.iter().map(|delivery| delivery.header(HOP).unwrap().to_owned()).collect();
    carried.sort();
    expected.sort();
    assert_eq!(carried, expected);
    assert_eq!(
        bundle.receiver.deliveries_to("/in").len(),
        expected.len(),
        "what was refused is not delivered"
    );
    assert_eq!(refusals(&bundle), 4 * 8);
    // Without a good key nobody learns of it.
    assert_problem(
        &post_with(&bundle, "/bots/b/messages", "no-key", &["3"], "{}".into()).await,
        401,
        "unauthorized",
    );
    bundle.stop().await;
}

#[tokio::test]
async fn a_pushs_hops_travel_with_its_entry_and_the_third_is_refused() {
    let (bundle, account) = Bundle::with_account(SECRETS).await;
    let settings = json!({"url": bundle.receiver.url("/in"), "items": ["interaction", "publication"]});
    bundle.webhook_with(&account, settings).await;
    connect_with(&bundle, &account, json!({"network": "facebook", "network_id": "1"})).await;
    connect_with(
        &bundle,
        &account,
        json!({"network": "facebook", "network_id": "2", "delivery": "immediate"}),
    )
    .await;
    let push = async |network: &str, body: &Value, hop: &str| {
        let body = body.to_string();
        let secret = if network == "x" { X_SECRET } else { META_SECRET };
        let (name, value) = signature(network, secret, body.as_bytes());
        let headers = [(name, value.as_str()), ("content-type", "application/json"), (HOP, hop)];
        bundle.client.request(Method::POST, &format!("/push/{network}"), &headers, body).await
    };
    for (network, body) in [
        ("facebook", facebook(&[("1", vec![comment(1, "a")]), ("2", vec![comment(2, "b")])])),
        ("instagram", instagram("1", "2")),
        ("x", x("1", "2")),
    ] {
        for hop in ["3", "7", "x"] {
            assert_problem(&push(network, &body, hop).await, 508, "loop-detected");
        }
    }
    assert_eq!(inbox(&bundle).await, crate::networks::Inbox::default(), "nothing was stored");
    // One that a tick dispatches, one that is dispatched at once, and one too large for a row.
    let large = "x".repeat(900_000);
    for (page, number, text, hop) in [("1", 1, "a", "1"), ("2", 2, "b", "2"), ("1", 3, large.as_str(), "2")] {
        push("facebook", &facebook(&[(page, vec![comment(number, text)])]), hop).await.with_status(200);
    }
    hand_on(&bundle).await;
    let deliveries = bundle.receiver.wait_for_count("/in", 3, SOON).await.unwrap();
    let mut carried: Vec<_> = deliveries.iter().map(|delivery| delivery.header(HOP).unwrap()).collect();
    carried.sort_unstable();
    assert_eq!(carried, ["2", "3", "3"]);
    bundle.stop().await;
}

#[tokio::test]
async fn hops_outlast_retries_holding_death_and_a_replay() {
    let (bundle, account) = Bundle::with_account([("RetentionDays", "1")]).await;
    let webhook = bundle.webhook_set(&account, "/in", &["message"], json!({"enabled": false})).await;
    let path = format!("/webhooks/{}", webhook.id);
    // A body that travels as base64.
    let body = "{\"a\":\"\u{ffff}\"}".to_owned();
    // Held while the webhook is disabled, dead after the retention, replayed, held and released.
    post_with(&bundle, "/bots/b/messages", &account.key, &["1"], body).await.with_status(202);
    bundle.until_rest().await;
    bundle.advance(Duration::from_secs(26 * 3600)).await;
    bundle.tick().await;
    bundle.until_rest().await;
    assert_eq!(dynamodb::scan(&bundle, "DeadTable").await.len(), 1, "{:?}", bundle.complaints());
    bundle.client.patch(&path, &account.key, &json!({"enabled": true})).await.with_status(200);
    // The replayed item fails once and is tried again.
    bundle.receiver.set_behaviour(
        "/in",
        Behaviour::sequence(
            [Answer::status(StatusCode::INTERNAL_SERVER_ERROR)],
            Answer::status(StatusCode::OK),
        ),
    );
    let replay = json!({"type": "message"}).to_string();
    bundle.client.post(&format!("{path}/replay"), &account.key, replay).await.with_status(202);
    for count in 1..=2 {
        let arrived = async {
            while bundle.receiver.count("/in") < count {
                bundle.tick().await;
                bundle.advance(Duration::from_secs(7)).await;
                bundle.until_rest().await;
            }
        };
        assert!(tokio::time::timeout(SOON, arrived).await.is_ok(), "{:?}", bundle.complaints());
    }
    let carried: Vec<_> =
        bundle.receiver.deliveries_to("/in").iter().map(|one| one.header(HOP).unwrap().to_owned()).collect();
    assert_eq!(carried, ["2", "2"]);
    bundle.stop().await;
}

#[tokio::test]
async fn no_intake_takes_a_notice_so_that_none_causes_the_next() {
    let (bundle, account) = Bundle::with_account([]).await;
    let relay = Relay::start(&bundle.client, "/bots/relay/messages", &account.key).await;
    bundle.webhook_with(&account, json!({"url": relay.url, "items": ["notice"]})).await;
    bundle.receiver.set_behaviour("/in", Answer::status(StatusCode::INTERNAL_SERVER_ERROR));
    // Every failure blocks, and every block and its end are told.
    bundle.webhook_set(&account, "/in", &["message"], json!({"threshold": 1, "block_seconds": 1})).await;
    bundle.send(&account, "/bots/b/messages", "{}").await;
    until("the block's notice is refused", || relay.refused() > 0).await;
    after_the_short_retries(&bundle).await;
    let passed = relay.passed();
    assert!(passed.iter().all(|one| one.item_type == "notice" && one.status == 508), "{passed:?}");
    assert!(passed.iter().all(|one| one.hop.as_deref() == Some("3")), "{passed:?}");
    let failed = bundle.receiver.counts_by_webhook_id("/in");
    assert_eq!(failed.len(), 1, "no notice became a message: {failed:?}");
    bundle.stop().await;
}

#[tokio::test]
async fn a_test_that_asks_for_the_next_test_ends() {
    let (bundle, account, first) = Bundle::with_webhook([], "/in", &["message"]).await;
    let path = format!("/webhooks/{}/test", first.id);
    let relay = Relay::start(&bundle.client, &path, &account.key).await;
    let patched = bundle
        .client
        .patch(&format!("/webhooks/{}", first.id), &account.key, &json!({"url": relay.url}))
        .await;
    assert_eq!(patched.status, 200, "{}", patched.text());
    bundle.client.post(&path, &account.key, "").await.with_status(200);
    let mut hops = relay.hops();
    hops.sort();
    // An account has two tests under way at once, so the third is refused before the hop count would refuse it.
    assert_eq!(hops, ["1", "2"]);
    assert_eq!(relay.refused(), 0);
    bundle.stop().await;
}

#[tokio::test]
async fn a_webhooks_own_headers_cannot_set_the_hop_count() {
    let (bundle, account) = Bundle::with_account([]).await;
    for name in [HOP, "Carteiro-Hop", "CARTEIRO-HOP", "connection"] {
        let settings = json!({"url": bundle.receiver.url("/in"), "items": ["event"], "headers": {name: "0"}});
        let refused = bundle.client.post("/webhooks", &account.key, settings.to_string()).await;
        assert_problem(&refused, 422, "invalid");
    }
    bundle.stop().await;
}
