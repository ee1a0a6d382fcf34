//! Entry to the console: links, sessions by cookie, roles, and who attacks them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carteiro_local::{DynamodbCall, Fate, Fault, Verdict};
use carteiro_tests::client::Reply;
use carteiro_tests::{ADMIN_KEY, Account, Bundle, assert_problem, dynamodb};
use futures_util::future::join_all;
use http::{Method, StatusCode};
use serde_json::{Value, json};

/// The name of the session's cookie.
const COOKIE: &str = "__Host-carteiro-session";

const JSON: (&str, &str) = ("content-type", "application/json");

/// Somebody in a browser, signed in.
#[derive(Clone, Debug)]
struct Visitor {
    /// `name=value`.
    cookie: String,
    csrf: String,
}

/// Makes a link of an account, and answers it as it was answered.
async fn link(bundle: &Bundle, account: &Account, wanted: &Value) -> Value {
    let path = format!("/accounts/{}/links", account.id);
    let reply = bundle.client.post(&path, ADMIN_KEY, wanted.to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()
}

/// The token within a link's address.
fn token(link: &Value) -> String {
    let (_, fragment) = link["url"].as_str().unwrap().split_once("/console#link=").unwrap();
    fragment.split('&').next().unwrap().to_owned()
}

/// Signs in, as the console does.
async fn enter(bundle: &Bundle, given: &Value) -> Reply {
    bundle.client.request(Method::POST, "/console/session", &[JSON], given.to_string()).await
}

/// The cookies that an answer sets, those that it removes left out.
fn set_cookies(reply: &Reply) -> Vec<String> {
    let all = reply.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned());
    all.filter(|cookie| !cookie.contains("Max-Age=0")).collect()
}

/// Whoever signed in with this answer.
fn visitor(reply: &Reply) -> Visitor {
    assert_eq!(reply.status, 201, "{}", reply.text());
    let cookies = set_cookies(reply);
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let cookie = cookies[0].split(';').next().unwrap().to_owned();
    Visitor { cookie, csrf: reply.json()["csrf"].as_str().unwrap().to_owned() }
}

async fn by_link(bundle: &Bundle, account: &Account, role: &str) -> Visitor {
    let link = link(bundle, account, &json!({ "role": role })).await;
    visitor(&enter(bundle, &json!({ "link": token(&link) })).await)
}

async fn by_key(bundle: &Bundle, key: &str) -> Visitor {
    visitor(&enter(bundle, &json!({ "key": key })).await)
}

/// A request with the cookie and the header against forgery, as the console makes it.
async fn ask(bundle: &Bundle, visitor: &Visitor, method: Method, path: &str, body: &str) -> Reply {
    let headers = [("cookie", visitor.cookie.as_str()), ("carteiro-csrf", visitor.csrf.as_str()), JSON];
    bundle.client.request(method, path, &headers, body.to_owned()).await
}

/// Whether a session still stands for its account.
async fn is_in(bundle: &Bundle, visitor: &Visitor) -> bool {
    let reply = ask(bundle, visitor, Method::GET, "/console/session", "").await;
    let of_api = ask(bundle, visitor, Method::GET, "/webhooks", "").await;
    assert_eq!(reply.status, of_api.status, "the session and the API agree");
    if reply.status != 200 {
        assert_problem(&reply, 401, "session-ended");
        assert_problem(&of_api, 401, "session-ended");
    }
    reply.status == 200
}

/// The routes of the configuration API, with a webhook's and a page's ids in their places, that are an account's.
fn routes_of_an_account(bundle: &Bundle, webhook: &str) -> Vec<(Method, String)> {
    let of_manage = bundle.stack.template().routes.iter().filter(|route| route.function == "ManageFunction");
    let public = [
        "/accounts",
        "/alert-stop",
        "/console",
        "/docs",
        "/networks",
        "/openapi.json",
        "/schemas",
        "/unhealthy",
    ];
    let of_account = of_manage.filter(|route| {
        !public.iter().any(|start| route.path == *start || route.path.starts_with(&format!("{start}/")))
            && route.path != "/"
    });
    let numbered = |prefix: &str| format!("{prefix}{:032x}", 1);
    of_account
        .filter(|route| route.method.is_some() && route.path.starts_with('/'))
        .map(|route| {
            let path = route.path.replace("{webhook}", webhook);
            let path = path.replace("{item}", &numbered("item_")).replace("{page}", &numbered("page_"));
            let path = path.replace("{replay}", &numbered("rep_")).replace("{alert}", &numbered("alert_"));
            (route.method.as_deref().unwrap().parse().unwrap(), path)
        })
        .collect()
}

#[tokio::test]
async fn a_link_opens_the_console_once_as_its_role_says() {
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    let webhook = bundle.webhook(&account, "/here", &["message"]).await;
    let wanted = json!({"role": "change", "seconds": 60, "language": "en", "to": webhook.id});
    let made = link(&bundle, &account, &wanted).await;
    let api = &bundle.stack.addresses().api;
    let expected = format!("{api}/console#link={}&to={}&language=en", token(&made), webhook.id);
    assert_eq!((&made["url"], &made["role"]), (&json!(expected), &json!("change")));
    assert!(token(&made).len() >= 3 + 64, "256 bits");
    let entered = enter(&bundle, &json!({ "link": token(&made) })).await;
    let cookie = set_cookies(&entered).remove(0);
    let attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"]);
    assert!(cookie.starts_with(&format!("{COOKIE}=cs_")), "{cookie}");
    assert_eq!(entered.header("cache-control"), Some("no-store"));
    let one = visitor(&entered);
    let read = ask(&bundle, &one, Method::GET, "/console/session", "").await;
    assert_eq!(read.json(), entered.json());
    assert_eq!(read.json()["account"], json!({"id": account.id, "name": "An account"}));
    // It stands for the account's key, to read and to change.
    let listed = ask(&bundle, &one, Method::GET, "/webhooks", "").await.json();
    assert_eq!(listed["data"][0]["id"], webhook.id, "{listed}");
    let settings = json!({"url": bundle.receiver.url("/new"), "items": ["message"]}).to_string();
    let created = ask(&bundle, &one, Method::POST, "/webhooks", &settings).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let own = json!({"id": account.id, "name": "An account", "role": "change"});
    assert_eq!(ask(&bundle, &one, Method::GET, "/account", "").await.json(), own);
    assert_eq!(bundle.client.get("/account", &account.key).await.json(), own);
    let of_operator = bundle.client.get(&format!("/account?account={}", account.id), ADMIN_KEY).await;
    assert_eq!(of_operator.json()["role"], "look", "the operator reads");
    // The link is used up.
    assert_problem(&enter(&bundle, &json!({ "link": token(&made) })).await, 401, "link-used");
    bundle.advance(Duration::from_secs(61)).await;
    assert_problem(&enter(&bundle, &json!({ "link": token(&made) })).await, 401, "link-used");
    assert!(is_in(&bundle, &one).await);
    bundle.stop().await;
}

#[tokio::test]
async fn of_twenty_that_open_a_link_at_once_one_enters() {
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    let made = link(&bundle, &account, &json!({})).await;
    let given = json!({ "link": token(&made) });
    let replies = join_all((0..20).map(|_| enter(&bundle, &given))).await;
    let (entered, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 201);
    assert_eq!(entered.len(), 1);
    for reply in refused {
        assert_problem(reply, 401, "link-used");
        assert!(reply.headers.get("set-cookie").is_none());
    }
    let rows = dynamodb::scan(&bundle, "SessionTable").await;
    let begins = |row: &&Value, with: &str| row["pk"]["S"].as_str().unwrap().starts_with(with);
    for (with, count) in [("link#", 1), ("session#", 1), ("account#", 1)] {
        assert_eq!(rows.iter().filter(|row| begins(row, with)).count(), count, "{with}");
    }
    bundle.stop().await;
}

#[tokio::test]
async fn an_entry_whose_answer_was_lost_is_recognised() {
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    let made = link(&bundle, &account, &json!({})).await;
    let lost = AtomicBool::new(false);
    bundle.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
        if call.operation != "TransactWriteItems" || lost.swap(true, Ordering::SeqCst) {
            return Verdict::default();
        }
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Fate::FailAfter(Fault { status, code: "InternalServerError".into(), message: "no".into() }).into()
    })));
    let one = visitor(&enter(&bundle, &json!({ "link": token(&made) })).await);
    assert!(is_in(&bundle, &one).await);
    bundle.stop().await;
}

#[tokio::test]
async fn a_link_that_is_late_altered_or_ended_opens_nothing() {
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    let late = token(&link(&bundle, &account, &json!({"seconds": 30})).await);
    bundle.advance(Duration::from_secs(31)).await;
    assert_problem(&enter(&bundle, &json!({ "link": late })).await, 401, "link-expired");
    let good = token(&link(&bundle, &account, &json!({})).await);
    let last = if good.ends_with('0') { "1" } else { "0" };
    let session = by_key(&bundle, &account.key).await.cookie;
    let (_, session) = session.split_once('=').unwrap();
    for altered in [
        format!("{}{last}", &good[..good.len() - 1]),
        good[..good.len() - 1].to_owned(),
        format!("{good}0"),
        good.to_uppercase(),
        format!("{good}\r\nset-cookie: a=b"),
        format!("{good}\0"),
        format!(" {good}"),
        "x".repeat(60_000),
        String::new(),
        session.to_owned(),
        account.key.clone(),
        ADMIN_KEY.to_owned(),
    ] {
        let reply = enter(&bundle, &json!({ "link": altered })).await;
        assert_problem(&reply, 401, "link-unknown");
        assert!(reply.headers.get("set-cookie").is_none());
    }
    for wrong in
        [json!({}), json!({"link": 1}), json!({"link": good, "key": account.key}), json!({"token": good})]
    {
        assert_problem(&enter(&bundle, &wrong).await, 422, "invalid");
    }
    assert_problem(&enter(&bundle, &json!({"key": ADMIN_KEY})).await, 403, "forbidden");
    assert_problem(&enter(&bundle, &json!({"key": "ck_0"})).await, 401, "unauthorized");
    // The operator ends all links; those that are made afterwards work.
    let path = format!("/accounts/{}/sessions", account.id);
    assert_eq!(bundle.client.delete(&path, ADMIN_KEY).await.status, 204);
    assert_problem(&enter(&bundle, &json!({ "link": good })).await, 401, "link-expired");
    bundle.advance(Duration::from_secs(1)).await;
    by_link(&bundle, &account, "change").await;
    // With the account go its links.
    let last = token(&link(&bundle, &account, &json!({})).await);
    let deleted = bundle.client.delete(&format!("/accounts/{}", account.id), ADMIN_KEY).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert_eq!(enter(&bundle, &json!({ "link": last })).await.status, 401);
    let path = format!("/accounts/{}/links", account.id);
    assert_problem(&bundle.client.post(&path, ADMIN_KEY, "{}").await, 404, "not-found");
    bundle.stop().await;
}

#[tokio::test]
async fn only_the_operator_makes_links_and_only_good_ones() {
    let bundle = Bundle::start().await;
    let (account, other) = (bundle.account().await, bundle.account().await);
    let foreign = bundle.webhook(&other, "/there", &["message"]).await;
    let path = format!("/accounts/{}/links", account.id);
    assert_problem(&bundle.client.post(&path, &account.key, "{}").await, 403, "forbidden");
    let one = by_link(&bundle, &account, "change").await;
    for (method, path) in
        [(Method::POST, path.clone()), (Method::DELETE, format!("/accounts/{}/sessions", account.id))]
    {
        assert_problem(&ask(&bundle, &one, method, &path, "{}").await, 403, "forbidden");
    }
    for (wanted, field) in [
        (json!({"to": foreign.id}), "to"),
        (json!({"to": "//evil.example"}), "to"),
        (json!({"to": "webhooks\r\nset-cookie: a=b"}), "to"),
        (json!({"language": "en\"><script>"}), "language"),
        (json!({"role": "admin"}), "role"),
        (json!({"seconds": 86_400}), "seconds"),
        (json!({"account": other.id}), "account"),
    ] {
        let problem =
            assert_problem(&bundle.client.post(&path, ADMIN_KEY, wanted.to_string()).await, 422, "invalid");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let authorization = format!("Bearer {ADMIN_KEY}");
    for host in ["evil.example/path", "a@evil.example", "evil.example#", "a b", ""] {
        let headers = [("authorization", authorization.as_str()), ("host", host)];
        let (status, _) =
            invoked(&bundle, "POST /accounts/{account}/links", &json!({"account": account.id}), &headers, "")
                .await;
        assert_eq!(status, 400, "{host:?}");
    }
    let headers = [("authorization", authorization.as_str())];
    let (status, made) =
        invoked(&bundle, "POST /accounts/{account}/links", &json!({"account": account.id}), &headers, "")
            .await;
    assert!(made["url"].as_str().unwrap().starts_with("https://api.example/console#link="), "{status}");
    bundle.stop().await;
}

#[tokio::test]
async fn a_session_that_may_look_changes_nothing() {
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    let webhook = bundle.webhook(&account, "/here", &["message"]).await;
    let one = by_link(&bundle, &account, "look").await;
    let before = bundle.client.get("/webhooks", &account.key).await.json();
    let (mut looked, mut refused) = (0, 0);
    for (method, path) in routes_of_an_account(&bundle, &webhook.id) {
        let reply = ask(&bundle, &one, method.clone(), &path, "{}").await;
        if method == Method::GET {
            assert!(![401, 403].contains(&reply.status), "{method} {path}: {}", reply.text());
            looked += 1;
        } else {
            assert_problem(&reply, 403, "look-only");
            refused += 1;
        }
    }
    assert!(looked >= 11 && refused >= 14, "{looked} {refused}");
    assert_eq!(bundle.client.get("/webhooks", &account.key).await.json(), before);
    assert_eq!(
        ask(&bundle, &one, Method::DELETE, "/console/session", "").await.status,
        204,
        "it may sign out"
    );
    assert!(!is_in(&bundle, &one).await);
    bundle.stop().await;
}

#[tokio::test]
async fn a_change_by_cookie_needs_the_sessions_own_csrf_value() {
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    let webhook = bundle.webhook(&account, "/here", &["message"]).await;
    let (one, other) = (by_key(&bundle, &account.key).await, by_key(&bundle, &account.key).await);
    let session = (Method::DELETE, "/console/session".to_owned());
    let changes = routes_of_an_account(&bundle, &webhook.id).into_iter().chain([session]);
    let changes: Vec<_> = changes.filter(|(method, _)| method != Method::GET).collect();
    let wrong = [None, Some(""), Some("0"), Some(other.csrf.as_str()), Some(&one.csrf[1..])];
    for (method, path) in &changes {
        for csrf in wrong {
            let mut headers = vec![("cookie", one.cookie.as_str()), JSON];
            headers.extend(csrf.map(|csrf| ("carteiro-csrf", csrf)));
            let reply = bundle.client.request(method.clone(), path, &headers, "{}").await;
            assert_problem(&reply, 403, "csrf");
        }
    }
    let twice = [
        ("cookie", one.cookie.as_str()),
        ("carteiro-csrf", one.csrf.as_str()),
        ("carteiro-csrf", one.csrf.as_str()),
    ];
    let reply = bundle.client.request(Method::DELETE, &format!("/webhooks/{}", webhook.id), &twice, "").await;
    assert_problem(&reply, 403, "csrf");
    assert!(is_in(&bundle, &one).await, "nothing was done");
    let path = format!("/webhooks/{}", webhook.id);
    assert_eq!(ask(&bundle, &one, Method::DELETE, &path, "").await.status, 200);
    bundle.stop().await;
}

/// Where the API is for [`through_aws`].
const HOST: &str = "api.example";

/// A request as AWS hands it to the function, whatever a browser says of where it comes from: the local stack refuses
/// pages of other origins by itself. Answers the status, and the problem or whatever else is in the body.
async fn through_aws(bundle: &Bundle, route: &str, headers: &[(&str, &str)], body: &str) -> (u64, Value) {
    match route.split_once("/wh_") {
        Some((before, id)) => {
            let parameters = json!({"webhook": format!("wh_{id}")});
            invoked(bundle, &format!("{before}/{{webhook}}"), &parameters, headers, body).await
        }
        None => invoked(bundle, route, &json!({}), headers, body).await,
    }
}

async fn invoked(
    bundle: &Bundle,
    route: &str,
    parameters: &Value,
    headers: &[(&str, &str)],
    body: &str,
) -> (u64, Value) {
    let (method, path) = route.split_once(' ').unwrap();
    let mut all =
        json!({"host": HOST, "content-type": "application/json", "content-length": body.len().to_string()});
    let mut cookies = Vec::new();
    for (name, value) in headers {
        match *name {
            "cookie" => cookies.push(*value),
            name => all[name] = (*value).into(),
        }
    }
    let event = json!({
        "version": "2.0", "routeKey": format!("{method} {path}"), "rawPath": path, "rawQueryString": "",
        "headers": all, "cookies": cookies, "pathParameters": parameters, "body": body, "isBase64Encoded": false,
        "requestContext": {
            "accountId": "1", "apiId": "a", "domainName": HOST, "domainPrefix": "api", "requestId": "r",
            "routeKey": format!("{method} {path}"), "stage": "$default", "time": "", "timeEpoch": 0,
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": ""},
        },
    });
    let answer = bundle.stack.invoke("ManageFunction", event.to_string().into()).await.unwrap();
    assert!(!answer.function_error, "{}", String::from_utf8_lossy(&answer.payload));
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    let body = answer["body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
    (answer["statusCode"].as_u64().unwrap(), body)
}

/// The status of an answer, and the kind of its problem.
fn told((status, problem): (u64, Value)) -> (u64, String) {
    let kind = problem["type"].as_str().unwrap_or_default();
    (status, kind.rsplit([':', '/']).next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn what_another_site_causes_is_refused() {
    let bundle = Bundle::start_with([("OwnHosts", "hooks.example")]).await;
    let account = bundle.account().await;
    let webhook = bundle.webhook(&account, "/here", &["message"]).await;
    let one = by_key(&bundle, &account.key).await;
    let own = [("cookie", one.cookie.as_str()), ("carteiro-csrf", one.csrf.as_str())];
    let patch = format!("PATCH /webhooks/{}", webhook.id);
    let refused = (403, "cross-site".to_owned());
    for header in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "same-origin,cross-site"),
        ("origin", "https://evil.example"),
        ("origin", "https://api.example.evil.example"),
        ("origin", "https://api.example:8443"),
        ("origin", "http://api.example"),
        ("origin", "null"),
        ("origin", ""),
    ] {
        let headers = [own.as_slice(), &[header]].concat();
        let key = json!({"key": account.key}).to_string();
        for (route, body) in [
            (patch.as_str(), r#"{"description": "x"}"#),
            ("DELETE /console/session", ""),
            ("POST /console/session", &key),
        ] {
            let answered = told(through_aws(&bundle, route, &headers, body).await);
            assert_eq!(answered, refused, "{route} {header:?}");
        }
        if header.0 == "sec-fetch-site" {
            for route in ["GET /webhooks", "GET /console/session", "GET /account"] {
                assert_eq!(
                    told(through_aws(&bundle, route, &headers, "").await),
                    refused,
                    "{route} {header:?}"
                );
            }
        }
    }
    let typed = [own.as_slice(), &[("sec-fetch-site", "none")]].concat();
    assert_eq!(told(through_aws(&bundle, &patch, &typed, "{}").await), refused);
    assert_eq!(
        through_aws(&bundle, "GET /webhooks", &typed, "").await.0,
        200,
        "an address that a person typed"
    );
    // The console's own page.
    for more in [
        &[("sec-fetch-site", "same-origin"), ("origin", "https://api.example")][..],
        &[("sec-fetch-site", "same-origin"), ("origin", "https://hooks.example")],
        &[("origin", "https://api.example")],
        &[],
    ] {
        let headers = [own.as_slice(), more].concat();
        let (status, answered) = through_aws(&bundle, &patch, &headers, r#"{"description": "x"}"#).await;
        assert_eq!(status, 200, "{more:?}: {answered}");
    }
    // A form of another site can send no JSON, and signs nobody in.
    for media in ["text/plain", "application/x-www-form-urlencoded", "text/plain; a=application/json", ""] {
        let given = json!({"key": account.key}).to_string();
        let answered =
            through_aws(&bundle, "POST /console/session", &[("content-type", media)], &given).await;
        assert_eq!(told(answered), (415, "unsupported-media".to_owned()), "{media}");
    }
    // A key is sent by nobody but who has it, wherever its page is.
    let authorization = format!("Bearer {}", account.key);
    let headers = [("authorization", authorization.as_str()), ("origin", "https://product.example")];
    assert_eq!(through_aws(&bundle, "GET /webhooks", &headers, "").await.0, 200);
    bundle.stop().await;
}

#[tokio::test]
async fn a_session_sees_and_changes_nothing_of_another_account() {
    let bundle = Bundle::start().await;
    let (account, other) = (bundle.account().await, bundle.account().await);
    let foreign = bundle.webhook(&other, "/there", &["message"]).await;
    let before = bundle.client.get("/webhooks", &other.key).await.json();
    for role in ["look", "change"] {
        let one = by_link(&bundle, &account, role).await;
        let listed = ask(&bundle, &one, Method::GET, "/webhooks", "").await;
        assert_eq!(listed.json()["data"], json!([]));
        for (method, path) in routes_of_an_account(&bundle, &foreign.id) {
            if role == "look" && method != Method::GET || !path.contains(&foreign.id) {
                continue;
            }
            let path = if path.ends_with("/held") { format!("{path}?type=message") } else { path };
            let body = if path.ends_with("/replay") { r#"{"type": "message"}"# } else { "{}" };
            assert_problem(&ask(&bundle, &one, method, &path, body).await, 404, "not-found");
        }
        for path in ["/webhooks", "/pages", "/account"] {
            let path = format!("{path}?account={}", other.id);
            assert_problem(&ask(&bundle, &one, Method::GET, &path, "").await, 404, "not-found");
        }
        for path in ["/accounts", "/networks", "/unhealthy"] {
            assert_problem(&ask(&bundle, &one, Method::GET, path, "").await, 403, "forbidden");
        }
    }
    assert_eq!(bundle.client.get("/webhooks", &other.key).await.json(), before);
    bundle.stop().await;
}

#[tokio::test]
async fn what_ends_a_session_ends_it_at_once_and_no_other() {
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    let stays = by_key(&bundle, &bundle.account().await.key).await;
    // Signing out.
    let (one, two) = (by_key(&bundle, &account.key).await, by_key(&bundle, &account.key).await);
    let out = ask(&bundle, &one, Method::DELETE, "/console/session", "").await;
    assert_eq!(out.status, 204);
    let removed: Vec<_> = out.headers.get_all("set-cookie").iter().collect();
    assert!(removed.len() == 2 && set_cookies(&out).is_empty(), "{removed:?}");
    assert!(!is_in(&bundle, &one).await && is_in(&bundle, &two).await);
    // Signing in again in the same browser.
    let (one, given) = (by_key(&bundle, &account.key).await, json!({"key": account.key}).to_string());
    let headers = [("cookie", one.cookie.as_str()), JSON];
    let again = visitor(&bundle.client.request(Method::POST, "/console/session", &headers, given).await);
    assert!(!is_in(&bundle, &one).await && is_in(&bundle, &again).await);
    // The revocation of the key that began it.
    let keys = format!("/accounts/{}/keys", account.id);
    let key = bundle.client.post(&keys, ADMIN_KEY, "").await.json();
    let of_key = by_key(&bundle, key["key"].as_str().unwrap()).await;
    let of_link = by_link(&bundle, &account, "look").await;
    let path = format!("{keys}/{}", key["id"].as_str().unwrap());
    assert_eq!(bundle.client.delete(&path, ADMIN_KEY).await.status, 204);
    assert!(!is_in(&bundle, &of_key).await && is_in(&bundle, &two).await && is_in(&bundle, &of_link).await);
    assert_problem(&enter(&bundle, &json!({"key": key["key"]})).await, 401, "unauthorized");
    // The operator.
    let path = format!("/accounts/{}/sessions", account.id);
    assert_eq!(bundle.client.delete(&path, ADMIN_KEY).await.status, 204);
    assert!(!is_in(&bundle, &two).await && !is_in(&bundle, &of_link).await);
    assert!(is_in(&bundle, &stays).await);
    // The deletion of the account.
    bundle.advance(Duration::from_secs(1)).await;
    let (by_key, by_link) = (by_key(&bundle, &account.key).await, by_link(&bundle, &account, "change").await);
    let deleted = bundle.client.delete(&format!("/accounts/{}", account.id), ADMIN_KEY).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert!(!is_in(&bundle, &by_key).await && !is_in(&bundle, &by_link).await);
    assert!(is_in(&bundle, &stays).await);
    bundle.stop().await;
}

/// A look that the console's page makes after somebody used it.
async fn looks_after_an_act(bundle: &Bundle, visitor: &Visitor) -> u16 {
    let headers = [("cookie", visitor.cookie.as_str()), ("carteiro-act", "true")];
    bundle.client.request(Method::GET, "/webhooks", &headers, "").await.status
}

#[tokio::test]
async fn a_session_ends_when_nobody_acts_and_at_its_own_end() {
    const HOUR: Duration = Duration::from_secs(3600);
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    let [idle, open, used, busy] = [
        by_key(&bundle, &account.key).await,
        by_key(&bundle, &account.key).await,
        by_key(&bundle, &account.key).await,
        by_key(&bundle, &account.key).await,
    ];
    for hour in 1..12 {
        bundle.advance(HOUR).await;
        // A page that nobody uses is read anew all the time.
        assert_eq!(is_in(&bundle, &open).await, hour < 2, "after {hour} h");
        assert_eq!(looks_after_an_act(&bundle, &used).await, 200);
        // A change is an act, also one that is refused.
        assert_eq!(ask(&bundle, &busy, Method::POST, "/webhooks", "{}").await.status, 422);
    }
    assert!(!is_in(&bundle, &idle).await);
    bundle.advance(HOUR).await;
    assert!(!is_in(&bundle, &busy).await);
    assert_eq!(looks_after_an_act(&bundle, &used).await, 401);
    bundle.stop().await;
}

#[tokio::test]
async fn a_cookie_of_the_wrong_form_huge_or_twice_is_nobodys() {
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    let (one, other) = (by_key(&bundle, &account.key).await, by_key(&bundle, &account.key).await);
    let flipped = |cookie: &str| {
        let last = if cookie.ends_with('0') { "1" } else { "0" };
        format!("{}{last}", &cookie[..cookie.len() - 1])
    };
    for cookie in [
        format!("{COOKIE}="),
        format!("{COOKIE}={}", account.key),
        format!("{COOKIE}=\"{}\"", &one.cookie[COOKIE.len() + 1..]),
        format!("{COOKIE}={}", "a".repeat(8000)),
        flipped(&one.cookie),
        one.cookie.to_uppercase().replace(&COOKIE.to_uppercase(), COOKIE),
        format!("{}; {}", one.cookie, other.cookie),
        format!("{}; {COOKIE}=x", one.cookie),
    ] {
        for path in ["/console/session", "/webhooks", "/account"] {
            let reply = bundle.client.request(Method::GET, path, &[("cookie", &cookie)], "").await;
            assert_problem(&reply, 401, "session-ended");
        }
    }
    let twice = format!("a=1; {}; {}; b=2", one.cookie, one.cookie);
    assert_eq!(bundle.client.request(Method::GET, "/webhooks", &[("cookie", &twice)], "").await.status, 200);
    // A key goes first, and its fault is told as such.
    let wrong = [("cookie", one.cookie.as_str()), ("authorization", "Bearer ck_wrong")];
    assert_problem(&bundle.client.request(Method::GET, "/webhooks", &wrong, "").await, 401, "unauthorized");
    let key = format!("Bearer {}", account.key);
    let right = [("cookie", "__Host-carteiro-session=x"), ("authorization", key.as_str())];
    assert_eq!(bundle.client.request(Method::GET, "/webhooks", &right, "").await.status, 200);
    // Bots have keys alone.
    for path in ["/bots/b/messages", "/bots/b/items"] {
        assert_problem(&ask(&bundle, &one, Method::POST, path, "{}").await, 401, "unauthorized");
    }
    bundle.stop().await;
}

#[tokio::test]
async fn the_console_is_framed_by_the_named_sites_alone() {
    let product = "https://product.example";
    for (given, framed) in [("", false), ("https://product.example, https://*.other.example", true)] {
        let bundle = Bundle::start_with([("ConsoleFrameAncestors", given)]).await;
        let account = bundle.account().await;
        let page = bundle.client.request(Method::GET, "/console", &[], "").await;
        let policy = page.header("content-security-policy").unwrap();
        let directive = policy.split("; ").find(|part| part.starts_with("frame-ancestors ")).unwrap();
        let entered = enter(&bundle, &json!({"key": account.key})).await;
        let cookie = set_cookies(&entered).remove(0);
        if framed {
            assert_eq!(directive, format!("frame-ancestors {product} https://*.other.example"));
            assert_eq!(page.header("x-frame-options"), None);
            assert!(cookie.ends_with("; Secure; HttpOnly; SameSite=None; Partitioned"), "{cookie}");
        } else {
            assert_eq!(directive, "frame-ancestors 'none'");
            assert_eq!(page.header("x-frame-options"), Some("DENY"));
            assert!(cookie.ends_with("; Secure; HttpOnly; SameSite=Strict"), "{cookie}");
        }
        // A site that may show the console may all the same ask nothing in its name.
        let one = visitor(&entered);
        let headers = [
            ("cookie", one.cookie.as_str()),
            ("carteiro-csrf", one.csrf.as_str()),
            ("sec-fetch-site", "cross-site"),
            ("origin", product),
        ];
        let settings = json!({"url": bundle.receiver.url("/new"), "items": ["message"]}).to_string();
        let (status, problem) = through_aws(&bundle, "POST /webhooks", &headers, &settings).await;
        assert_eq!(told((status, problem)), (403, "cross-site".to_owned()));
        bundle.stop().await;
    }
}

#[tokio::test]
async fn what_is_sent_gets_into_no_header_and_no_line_of_the_log() {
    let bundle = Bundle::start().await;
    let injected = "evil\r\nset-cookie: planted=1\r\n\r\n{\"level\":\"ERROR\",\"planted\":1}\n";
    let made =
        bundle.client.post("/accounts", ADMIN_KEY, json!({ "name": injected }).to_string()).await.json();
    let account = Account {
        id: made["id"].as_str().unwrap().to_owned(),
        key: made["key"].as_str().unwrap().to_owned(),
    };
    let one = by_link(&bundle, &account, "change").await;
    let mut replies = vec![
        ask(&bundle, &one, Method::GET, "/console/session", "").await,
        ask(&bundle, &one, Method::GET, "/account", "").await,
        enter(&bundle, &json!({ "link": injected })).await,
        enter(&bundle, &json!({ "key": injected })).await,
        enter(&bundle, &json!({"field\r\nplanted: 1": "x"})).await,
    ];
    assert_eq!(replies[0].json()["account"]["name"], injected.trim(), "as text, in JSON");
    let path = format!("/accounts/{}/links", account.id);
    for field in ["role", "language", "to", "seconds"] {
        replies.push(bundle.client.post(&path, ADMIN_KEY, json!({ field: injected }).to_string()).await);
    }
    for headers in [
        [("cookie", "__Host-carteiro-session=%0d%0aplanted=1"), ("carteiro-csrf", "%0d%0aplanted: 1")],
        [("cookie", one.cookie.as_str()), ("carteiro-csrf", "planted")],
        [("cookie", one.cookie.as_str()), ("origin", "planted")],
        [("cookie", one.cookie.as_str()), ("sec-fetch-site", "planted")],
    ] {
        replies.push(bundle.client.request(Method::DELETE, "/console/session", &headers, "").await);
    }
    for reply in &replies {
        let planted =
            reply.headers.values().any(|value| String::from_utf8_lossy(value.as_bytes()).contains("planted"));
        assert!(!planted && reply.status < 500, "{:?}", reply.headers);
    }
    for line in bundle.logs.of("ManageFunction") {
        assert!(!line.contains("planted"), "{line}");
        serde_json::from_str::<Value>(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    bundle.stop().await;
}

#[tokio::test]
async fn one_more_than_the_most_sessions_ends_the_oldest() {
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    let first = by_key(&bundle, &account.key).await;
    bundle.advance(Duration::from_secs(1)).await;
    let second = by_key(&bundle, &account.key).await;
    bundle.advance(Duration::from_secs(1)).await;
    for _ in 2..carteiro_core::session::MAX_SESSIONS {
        by_key(&bundle, &account.key).await;
    }
    assert!(is_in(&bundle, &first).await);
    let last = by_key(&bundle, &account.key).await;
    assert!(!is_in(&bundle, &first).await && is_in(&bundle, &second).await && is_in(&bundle, &last).await);
    bundle.stop().await;
}
