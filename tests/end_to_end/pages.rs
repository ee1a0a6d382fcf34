//! Pages and their tokens, over the API.

use std::sync::Arc;
use std::time::Duration;

use carteiro_local::{DynamodbCall, Fate, Fault, SqsCall, Verdict};
use carteiro_tests::client::Reply;
use carteiro_tests::{ADMIN_KEY, Account, Bundle, Patience, assert_problem, dynamodb};
use http::{Method, StatusCode};
use serde_json::{Value, json};

/// What no answer and no log may hold.
const PLANTED: &str = "planted-secret";

fn given(network: &str, network_id: &str) -> Value {
    json!({"network": network, "network_id": network_id, "name": "Uma página", "access_token": PLANTED})
}

async fn connect(bundle: &Bundle, account: &Account, given: &Value) -> Value {
    bundle.client.post("/pages", &account.key, given.to_string()).await.with_status(201).json()
}

fn path(page: &Value) -> String {
    format!("/pages/{}", page["id"].as_str().unwrap())
}

fn fields(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

/// How many rows of pages and tokens there are.
async fn rows(bundle: &Bundle) -> [usize; 2] {
    let config = dynamodb::scan(bundle, "ConfigTable").await;
    let of_pages = config.iter().filter(|row| {
        let key = |name: &str| row[name]["S"].as_str().unwrap().to_owned();
        key("sk").starts_with("page") || key("sk").starts_with("own-page") || key("pk").starts_with("network")
    });
    [of_pages.count(), dynamodb::scan(bundle, "TokenTable").await.len()]
}

/// The row of a page's token.
async fn token_row(bundle: &Bundle, page: &Value) -> Value {
    let rows = dynamodb::scan(bundle, "TokenTable").await;
    rows.into_iter().find(|row| row["pk"]["S"] == page["id"]).unwrap()
}

#[tokio::test]
async fn a_page_lives_from_its_creation_to_its_deletion() {
    let (bundle, account) = Bundle::with_account([]).await;
    let created = connect(&bundle, &account, &given("facebook", "1234567890321")).await;
    let expected = [
        ("network", json!("facebook")),
        ("network_id", json!("1234567890321")),
        ("name", json!("Uma página")),
        ("delivery", json!("by_kind")),
        ("last_tick", Value::Null),
        ("every_minutes", Value::Null),
    ];
    for (field, value) in expected {
        assert_eq!(created[field], value, "{field}");
    }
    assert_eq!(
        (&created["token"]["state"], &created["token"]["expires_at"]),
        (&json!("unknown"), &Value::Null)
    );
    assert_eq!(created["next_at"], created["created_at"], "it is asked about with the next tick");
    let path = path(&created);
    assert_eq!(bundle.client.get(&path, &account.key).await.json(), created);

    let nothing = json!({"network": "facebook", "network_id": "1234567890321", "name": "Uma página"});
    assert_eq!(bundle.client.patch(&path, &account.key, &nothing).await.json(), created);
    let patch = json!({"name": "Outra", "delivery": "immediate"});
    let changed = bundle.client.patch(&path, &account.key, &patch).await.json();
    assert_eq!((&changed["name"], &changed["delivery"]), (&json!("Outra"), &json!("immediate")));
    assert_eq!((&changed["id"], &changed["token"]), (&created["id"], &created["token"]));
    assert_eq!(bundle.client.get(&path, &account.key).await.json(), changed);
    let routes = dynamodb::scan(&bundle, "ConfigTable").await;
    let route = routes.iter().find(|row| row["pk"]["S"] == "network#facebook#1234567890321").unwrap();
    assert_eq!((&route["delivery"]["S"], &route["account"]["S"]), (&json!("immediate"), &json!(account.id)));

    let deleted = bundle.client.delete(&path, &account.key).await;
    assert_eq!(deleted.json(), json!({"dropped": 0, "dropped_more": false}));
    assert_eq!(rows(&bundle).await, [0, 0]);
    for gone in [
        bundle.client.get(&path, &account.key).await,
        bundle.client.patch(&path, &account.key, &patch).await,
        bundle.client.delete(&path, &account.key).await,
        bundle.client.get("/pages/page_1", &account.key).await,
    ] {
        assert_problem(&gone, 404, "not-found");
    }
    bundle.stop().await;
}

#[tokio::test]
async fn a_renewed_token_replaces_the_old_one_with_an_unknown_state() {
    let (bundle, account) = Bundle::with_account([]).await;
    let mut first = given("x", "77");
    first["refresh_token"] = json!("refresh-1");
    first["expires_at"] = json!("2026-12-24T20:00:00-03:00");
    let page = connect(&bundle, &account, &first).await;
    assert_eq!(page["token"]["expires_at"], "2026-12-24T23:00:00.000Z");
    let row = token_row(&bundle, &page).await;
    assert_eq!(
        (&row["access_token"]["S"], &row["refresh_token"]["S"]),
        (&json!(PLANTED), &json!("refresh-1"))
    );

    let renewed =
        bundle.client.patch(&path(&page), &account.key, &json!({"access_token": "a-second-token"})).await;
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    let token = renewed.json()["token"].clone();
    assert_eq!((&token["state"], &token["expires_at"]), (&json!("unknown"), &Value::Null));
    assert!(token["since"].as_str() > page["token"]["since"].as_str(), "{token}");
    let row = token_row(&bundle, &page).await;
    assert_eq!(
        (&row["access_token"]["S"], &row["refresh_token"]["S"]),
        (&json!("a-second-token"), &json!("refresh-1"))
    );
    assert_eq!((row.get("expires_at"), &row["version"]["N"]), (None, &json!("2")));

    let removed = bundle.client.patch(&path(&page), &account.key, &json!({"refresh_token": null})).await;
    assert_eq!(removed.status, 200);
    let row = token_row(&bundle, &page).await;
    assert_eq!((&row["access_token"]["S"], row.get("refresh_token")), (&json!("a-second-token"), None));
    bundle.stop().await;
}

#[tokio::test]
async fn every_wrong_field_is_named_and_nothing_is_stored() {
    let (bundle, account) = Bundle::with_account([]).await;
    let wrong = json!({
        "network": "orkut", "network_id": "a#b", "name": " ", "access_token": format!("{PLANTED} x"),
        "refresh_token": 1, "expires_at": "tomorrow", "delivery": "now", "id": "page_1",
    });
    let refused = bundle.client.post("/pages", &account.key, wrong.to_string()).await;
    let problem = assert_problem(&refused, 422, "invalid");
    let all =
        ["id", "network", "network_id", "name", "access_token", "refresh_token", "expires_at", "delivery"];
    assert_eq!(fields(&problem), all);
    let missing = bundle.client.post("/pages", &account.key, "{}").await;
    assert_eq!(
        fields(&assert_problem(&missing, 422, "invalid")),
        ["network", "network_id", "name", "access_token"]
    );
    for body in ["", "[]", "{", &format!("{{\"access_token\":\"{PLANTED}\"")] {
        assert_problem(
            &bundle.client.post("/pages", &account.key, body.to_owned()).await,
            400,
            "bad-request",
        );
    }
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(65_536));
    assert_problem(&bundle.client.post("/pages", &account.key, large).await, 413, "too-large");
    assert_eq!(rows(&bundle).await, [0, 0]);

    let page = connect(&bundle, &account, &given("facebook", "1")).await;
    let wrong = json!({
        "network": "x", "network_id": "2", "name": null, "access_token": null, "refresh_token": "", "token": {},
        "expires_at": 5, "delivery": "never",
    });
    let refused = bundle.client.patch(&path(&page), &account.key, &wrong).await;
    let problem = assert_problem(&refused, 422, "invalid");
    let mut named = fields(&problem);
    named.sort_unstable();
    let all =
        ["access_token", "delivery", "expires_at", "name", "network", "network_id", "refresh_token", "token"];
    assert_eq!(named, all);
    assert_eq!(bundle.client.get(&path(&page), &account.key).await.json(), page);
    assert_eq!(token_row(&bundle, &page).await["access_token"]["S"], PLANTED);
    bundle.stop().await;
}

#[tokio::test]
async fn an_account_connects_a_page_once_and_another_one_separately() {
    let bundle = Bundle::start().await;
    let (account, stranger) = (bundle.account().await, bundle.account().await);
    let first = connect(&bundle, &account, &given("instagram", "17841400000000000")).await;
    let mut again = given("instagram", "17841400000000000");
    again["access_token"] = json!("another");
    let refused = bundle.client.post("/pages", &account.key, again.to_string()).await;
    let problem = assert_problem(&refused, 409, "already-exists");
    assert!(problem["detail"].as_str().unwrap().contains(first["id"].as_str().unwrap()), "{problem}");
    assert_eq!(fields(&problem), ["network_id"]);
    assert_eq!(token_row(&bundle, &first).await["access_token"]["S"], PLANTED, "the old token stays");
    // The same id on another network is another page.
    connect(&bundle, &account, &given("facebook", "17841400000000000")).await;
    let second = connect(&bundle, &stranger, &given("instagram", "17841400000000000")).await;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(rows(&bundle).await, [9, 3]);
    // Of two accounts that share a page, each deletes its own alone.
    assert_eq!(bundle.client.delete(&path(&first), &account.key).await.status, 200);
    assert_eq!(bundle.client.get(&path(&second), &stranger.key).await.json(), second);
    assert_eq!(rows(&bundle).await, [6, 2]);
    connect(&bundle, &account, &again).await;
    bundle.stop().await;
}

#[tokio::test]
async fn another_accounts_pages_are_not_found_and_operators_have_none() {
    let bundle = Bundle::start().await;
    let (account, stranger) = (bundle.account().await, bundle.account().await);
    let page = connect(&bundle, &account, &given("x", "1")).await;
    for reply in [
        bundle.client.get(&path(&page), &stranger.key).await,
        bundle.client.patch(&path(&page), &stranger.key, &json!({"access_token": "a-token-of-mine"})).await,
        bundle.client.delete(&path(&page), &stranger.key).await,
    ] {
        assert_problem(&reply, 404, "not-found");
    }
    assert_eq!(bundle.client.get("/pages", &stranger.key).await.json(), json!({"data": [], "next": null}));
    assert_problem(&bundle.client.get("/pages", ADMIN_KEY).await, 403, "forbidden");
    let body = given("x", "2").to_string();
    assert_problem(&bundle.client.post("/pages", ADMIN_KEY, body.clone()).await, 403, "forbidden");
    assert_problem(&bundle.client.request(Method::POST, "/pages", &[], body).await, 401, "unauthorized");
    assert_eq!(bundle.client.get(&path(&page), &account.key).await.json(), page);
    assert_eq!(token_row(&bundle, &page).await["access_token"]["S"], PLANTED);
    bundle.stop().await;
}

#[tokio::test]
async fn lists_of_pages_are_paged_and_another_lists_cursor_is_refused() {
    let (bundle, account) = Bundle::with_account([]).await;
    let mut created = Vec::new();
    for n in 0..5 {
        created.push(connect(&bundle, &account, &given("youtube", &format!("UC{n}"))).await);
    }
    bundle.webhook(&account, "/a", &["event"]).await;
    created.sort_by_key(|page| page["id"].as_str().unwrap().to_owned());
    let (mut seen, mut path) = (Vec::new(), "/pages?limit=2".to_owned());
    loop {
        let page = bundle.client.get(&path, &account.key).await.json();
        seen.extend(page["data"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/pages?limit=2&cursor={next}");
    }
    assert_eq!(seen, created);
    let cursor = path.split_once("cursor=").unwrap().1;
    let stranger = bundle.account().await;
    assert_problem(&bundle.client.get(&path, &stranger.key).await, 422, "invalid");
    let other = format!("/webhooks?cursor={cursor}");
    assert_problem(&bundle.client.get(&other, &account.key).await, 422, "invalid");
    assert_problem(&bundle.client.get("/pages?limit=201", &account.key).await, 422, "invalid");
    bundle.stop().await;
}

#[tokio::test]
async fn changes_of_a_page_at_the_same_time_are_all_kept() {
    let (bundle, account) = Bundle::with_account([]).await;
    let page = connect(&bundle, &account, &given("linkedin", "1")).await;
    let path = path(&page);
    let patches =
        [json!({"name": "b"}), json!({"delivery": "immediate"}), json!({"access_token": "a-second-token"})];
    let replies = patches.iter().map(|patch| bundle.client.patch(&path, &account.key, patch));
    for reply in futures_util::future::join_all(replies).await {
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let shown = bundle.client.get(&path, &account.key).await.json();
    assert_eq!((&shown["name"], &shown["delivery"]), (&json!("b"), &json!("immediate")));
    assert_eq!(token_row(&bundle, &page).await["access_token"]["S"], "a-second-token");
    bundle.stop().await;
}

#[tokio::test]
async fn an_account_is_deleted_with_its_pages_also_by_a_repeat() {
    let bundle = Bundle::start().await;
    let (account, stranger) = (bundle.account().await, bundle.account().await);
    for n in 0..3 {
        connect(&bundle, &account, &given("facebook", &n.to_string())).await;
    }
    let theirs = connect(&bundle, &stranger, &given("facebook", "0")).await;
    bundle.webhook(&account, "/a", &["event"]).await;
    // The second page's deletion fails. The first transaction deletes the account's key.
    let fails = std::sync::atomic::AtomicUsize::new(0);
    let fail = move |call: DynamodbCall<'_>| {
        let is_second = call.operation == "TransactWriteItems"
            && fails.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 2;
        refuse(is_second)
    };
    bundle.stack.intercept_dynamodb(Some(Arc::new(fail)));
    let cut_short = bundle.client.delete(&format!("/accounts/{}", account.id), ADMIN_KEY).await;
    assert_problem(&cut_short, 500, "internal");
    bundle.stack.intercept_dynamodb(None);
    assert_eq!(rows(&bundle).await, [9, 3], "one is gone whole, and the others are whole");
    assert_problem(&bundle.client.get("/pages", &account.key).await, 401, "unauthorized");
    let keys = format!("/accounts/{}/keys", account.id);
    assert_problem(&bundle.client.post(&keys, ADMIN_KEY, "").await, 404, "not-found");

    assert_eq!(bundle.client.delete(&format!("/accounts/{}", account.id), ADMIN_KEY).await.status, 200);
    assert_eq!(rows(&bundle).await, [3, 1]);
    assert_eq!(bundle.client.get(&path(&theirs), &stranger.key).await.json(), theirs);
    assert_problem(
        &bundle.client.delete(&format!("/accounts/{}", account.id), ADMIN_KEY).await,
        404,
        "not-found",
    );
    bundle.stop().await;
}

/// Refuses a call as DynamoDB would.
fn refuse(is: bool) -> Verdict {
    let fault = Fault {
        status: StatusCode::BAD_REQUEST,
        code: "ValidationException".into(),
        message: "One or more parameter values were invalid".into(),
    };
    Verdict { fate: if is { Fate::FailBefore(fault) } else { Fate::Proceed }, ..Verdict::default() }
}

#[tokio::test]
async fn an_account_has_at_most_a_thousand_pages() {
    let (bundle, account) = Bundle::with_account([]).await;
    let page = connect(&bundle, &account, &given("facebook", "1")).await;
    // What counts are the rows that keep an account from connecting a page twice.
    for chunk in (2..=1000).collect::<Vec<u32>>().chunks(25) {
        let put = |n: &u32| {
            let key = |text: String| json!({"S": text});
            let (pk, sk) = (format!("account#{}", account.id), format!("own-page#facebook#{n}"));
            json!({"PutRequest": {"Item": {"pk": key(pk), "sk": key(sk), "page": {"S": page["id"]}}}})
        };
        let puts: Vec<_> = chunk.iter().map(put).collect();
        dynamodb::call(&bundle, "BatchWriteItem", &json!({"RequestItems": {"ConfigTable": puts}})).await;
    }
    let refused = bundle.client.post("/pages", &account.key, given("facebook", "1001").to_string()).await;
    let problem = assert_problem(&refused, 422, "invalid");
    assert!(problem["detail"].as_str().unwrap().contains("1000"), "{problem}");
    assert_eq!(bundle.client.delete(&path(&page), &account.key).await.status, 200);
    connect(&bundle, &account, &given("facebook", "1001")).await;
    bundle.stop().await;
}

#[tokio::test]
async fn a_webhook_may_name_a_page_as_its_source() {
    let (bundle, account) = Bundle::with_account([]).await;
    let page = connect(&bundle, &account, &given("facebook", "1")).await;
    let source = format!("page:{}", page["id"].as_str().unwrap());
    let webhook = bundle.webhook_set(&account, "/a", &["interaction"], json!({"sources": [source]})).await;
    let shown = bundle.client.get(&format!("/webhooks/{}", webhook.id), &account.key).await.json();
    assert_eq!(shown["sources"], json!([source]));
    bundle.stop().await;
}

/// Whether an answer holds the planted secret anywhere.
fn shows(reply: &Reply) -> bool {
    reply.text().contains(PLANTED) || format!("{:?}", reply.headers).contains(PLANTED)
}

#[tokio::test]
async fn a_token_is_in_no_answer_no_log_and_no_other_table() {
    let (bundle, account) = Bundle::with_account([]).await;
    let secret = |name: &str| format!("{PLANTED}-{name}");
    let mut body = given("googleplay", "com.example.app");
    body["access_token"] = json!({"private_key": secret("key")}).to_string().into();
    body["refresh_token"] = secret("refresh").into();
    let mut wrong = body.clone();
    wrong["network"] = json!("facebook");
    wrong["expires_at"] = secret("misplaced").into();
    wrong["name"] = json!([secret("misplaced")]);
    let post = async |body: String| bundle.client.post("/pages", &account.key, body).await;
    let created = post(body.to_string()).await;
    let path = path(&created.json());
    let patch = async |patch: Value| bundle.client.patch(&path, &account.key, &patch).await;
    let mut replies = vec![
        created,
        post(body.to_string()).await,
        post(wrong.to_string()).await,
        post(format!("{} {}", wrong, secret("after"))).await,
        patch(json!({"access_token": secret("second"), "refresh_token": secret("second")})).await,
        patch(json!({"access_token": format!("{} é", secret("third"))})).await,
        bundle.client.get(&path, &account.key).await,
        bundle.client.get("/pages", &account.key).await,
    ];
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [201, 409, 422, 400, 200, 422, 200, 200]);
    bundle.stack.intercept_dynamodb(Some(Arc::new(|call: DynamodbCall<'_>| {
        refuse(call.operation == "TransactWriteItems")
    })));
    let failed = patch(json!({"access_token": secret("failed")})).await;
    assert_problem(&failed, 500, "internal");
    bundle.stack.intercept_dynamodb(None);
    replies.push(failed);
    bundle.tick().await;
    let config = Value::Array(dynamodb::scan(&bundle, "ConfigTable").await).to_string();
    assert!(!config.contains(PLANTED));
    let stored = Value::Array(dynamodb::scan(&bundle, "TokenTable").await).to_string();
    assert!(stored.contains(&secret("second")), "what is searched for is there to be found");
    replies.push(bundle.client.delete(&path, &account.key).await);
    for reply in &replies {
        assert!(!shows(reply), "{} {}", reply.status, reply.text());
    }
    let mut lines = 0;
    for function in ["IngestFunction", "ManageFunction", "DeliverFunction", "CollectFunction"] {
        for line in bundle.logs.of(function) {
            assert!(!line.contains(PLANTED), "{function}: {line}");
            lines += 1;
        }
    }
    assert!(lines >= replies.len(), "{lines} lines were logged");
    bundle.stop().await;
}

/// A page as it is once its last collection is as wanted.
async fn page_when(bundle: &Bundle, account: &Account, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut shown = Value::Null;
    let mut patience = Patience::default();
    while patience.lasts().await {
        shown = bundle.client.get(path, &account.key).await.json();
        if wanted(&shown) {
            return shown;
        }
    }
    panic!("the page did not become as wanted: {shown}");
}

#[tokio::test]
async fn a_check_polls_a_page_at_once_and_only_for_its_owner() {
    let bundle = Bundle::start().await;
    let (account, other) = (bundle.account().await, bundle.account().await);
    let page = connect(&bundle, &account, &given("linkedin", "77")).await;
    let check = format!("{}/check", path(&page));
    let checked = bundle.client.post(&check, &account.key, "").await.with_status(202);
    assert_eq!(checked.json()["id"], page["id"]);
    let asked = page_when(&bundle, &account, &path(&page), |page| !page["last_tick"].is_null()).await;
    let last = &asked["last_tick"];
    assert!(last["at"].is_string() && last["calls"].is_number() && last["new"] == 0, "{last}");
    assert_eq!(last["more"], false);
    assert!(asked["every_minutes"].is_number(), "{asked}");
    let listed = bundle.client.get("/pages", &account.key).await.json();
    assert_eq!(listed["data"], json!([asked]));
    // A second one in a minute is taken, and asks nothing.
    assert_eq!(bundle.client.post(&check, &account.key, "").await.status, 202);
    bundle.advance(Duration::from_secs(1)).await;
    let still = bundle.client.get(&path(&page), &account.key).await.json();
    assert_eq!(still["last_tick"], asked["last_tick"]);

    assert_problem(&bundle.client.post(&check, &other.key, "").await, 404, "not-found");
    assert_problem(&bundle.client.post(&check, "ck_nobody", "").await, 401, "unauthorized");
    assert_problem(&bundle.client.post(&check, ADMIN_KEY, "").await, 403, "forbidden");
    assert_problem(&bundle.client.post("/pages/page_1/check", &account.key, "").await, 404, "not-found");
    bundle.stop().await;
}

#[tokio::test]
async fn a_check_that_cannot_be_queued_is_not_said_to_be_asked_for() {
    let (bundle, account) = Bundle::with_account([]).await;
    let page = connect(&bundle, &account, &given("linkedin", "77")).await;
    let fails = |call: SqsCall<'_>| {
        let fault = Fault {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "ServiceUnavailable".into(),
            message: "no".into(),
        };
        let sends = call.action.starts_with("SendMessage");
        Verdict { fate: if sends { Fate::FailBefore(fault) } else { Fate::Proceed }, ..Verdict::default() }
    };
    bundle.stack.intercept_sqs(Some(Arc::new(fails)));
    let refused = bundle.client.post(&format!("{}/check", path(&page)), &account.key, "").await;
    assert_problem(&refused, 503, "unavailable");
    bundle.stack.intercept_sqs(None);
    assert_eq!(bundle.client.get(&path(&page), &account.key).await.json(), page);
    bundle.stop().await;
}
