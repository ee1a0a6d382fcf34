//! Secrets come out nowhere, also where networks repeat what they were sent: in messages, links, headers and redirects.
//! What looks for them finds what was put there on purpose.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use carteiro_fake_networks::{ADDRESSES, Connection, Kind, Thing};
use carteiro_networks::network::Network;
use carteiro_tests::secrets::Secret;
use carteiro_tests::{Account, Bundle, SOON, dynamodb, sqs};
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::networks::SECRETS;

const TICK: Duration = Duration::from_secs(15 * 60);

const DAY: Duration = Duration::from_secs(25 * 3600);

/// Longer than a call of a network's may take.
const TOO_LONG: Duration = Duration::from_secs(25);

const APPS: [(&str, &str); 7] = [
    ("XClientId", "x-app"),
    ("XClientSecret", "planted-secret-of-x"),
    ("GoogleClientId", "google-app"),
    ("GoogleClientSecret", "planted-secret-of-google"),
    ("LinkedinClientId", "linkedin-app"),
    ("LinkedinClientSecret", "planted-secret-of-linkedin"),
    ("MetaAppToken", "4711|planted-token-of-meta"),
];

/// How the parrot answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// An error of this status, in every form that networks have, quoting what came.
    Error(u16),
    /// To somewhere else, with what came in the address.
    Redirect,
    /// Nothing in the body, all of it in headers.
    Headers,
    /// JSON that breaks off within what came.
    Malformed,
    /// Less than was announced.
    Broken,
    /// What is no HTTP.
    NotHttp,
    /// Nothing in time to calls that inspect a token, which stands in their address; errors to others.
    Silent,
    /// New tokens at the token address, and failures with what came elsewhere.
    Renewing,
}

const MANNERS: [Manner; 12] = [
    Manner::Error(400),
    Manner::Error(401),
    Manner::Error(403),
    Manner::Error(404),
    Manner::Error(429),
    Manner::Error(500),
    Manner::Redirect,
    Manner::Headers,
    Manner::Malformed,
    Manner::Broken,
    Manner::NotHttp,
    Manner::Renewing,
];

/// The token that a parrot that renews gives out, and the refresh token.
const RENEWED: (&str, &str) = ("planted-renewed-token", "planted-renewed-refresh-token");

/// A network of all that repeats whatever it is sent.
struct Parrot {
    address: String,
    manner: Arc<Mutex<Manner>>,
    /// Everything that it was sent.
    heard: Arc<Mutex<String>>,
}

impl Parrot {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let manner = Arc::new(Mutex::new(Manner::Error(400)));
        let heard = Arc::new(Mutex::new(String::new()));
        let (now, all) = (Arc::clone(&manner), Arc::clone(&heard));
        // It ends with the test's runtime.
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (now, all) = (Arc::clone(&now), Arc::clone(&all));
                tokio::spawn(async move { answer(stream, &now, &all).await });
            }
        });
        Self { address, manner, heard }
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        ADDRESSES.iter().map(|(name, path)| (*name, format!("{}{path}", self.address))).collect()
    }

    fn heard(&self, text: &str) -> bool {
        self.heard.lock().unwrap().contains(text)
    }
}

/// One request, whole.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:").map(|value| value.trim().to_owned())
            });
            if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                return Some(text);
            }
        }
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.extend_from_slice(&part[..count]),
        }
    }
}

/// What stands in a request besides ordinary headers: its address, what authorises it, its body; and the bare tokens.
fn told(request: &str) -> (String, String) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let address = head.split_whitespace().nth(1).unwrap_or_default();
    let authorization = head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization:"));
    let authorization = authorization.unwrap_or_default();
    let token = authorization.rsplit(' ').next().unwrap_or_default();
    let of_form = |name: &str| {
        let pairs = address.split(['?', '&']).chain(body.split('&'));
        pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).next().unwrap_or_default()
    };
    let bare = [token, of_form("access_token"), of_form("input_token"), of_form("refresh_token")];
    let bare = bare.into_iter().find(|token| !token.is_empty()).unwrap_or("none").to_owned();
    (format!("{address} {authorization} {body}"), bare)
}

async fn answer(mut stream: TcpStream, manner: &Mutex<Manner>, heard: &Mutex<String>) {
    let Some(request) = request(&mut stream).await else { return };
    heard.lock().unwrap().push_str(&request);
    let (said, token) = told(&request);
    let manner = *manner.lock().unwrap();
    if manner == Manner::Silent && said.contains("debug_token") {
        tokio::time::sleep(TOO_LONG).await;
        return;
    }
    // Whoever went away meanwhile does not want it.
    _ = stream.write_all(response(manner, &said, &token).as_bytes()).await;
    _ = stream.shutdown().await;
}

fn response(manner: Manner, said: &str, token: &str) -> String {
    let whole = |status: u16, headers: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status} So\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    let error = error(said, token).to_string();
    match manner {
        Manner::Error(status) => whole(status, "", &error),
        Manner::Silent => whole(400, "", &error),
        Manner::Redirect => {
            let location = format!("location: https://elsewhere.example/?access_token={token}\r\n");
            whole(302, &location, &error)
        }
        Manner::Headers => {
            let headers = format!(
                "www-authenticate: Bearer error=\"{token}\"\r\nx-app-usage: {token}\r\nretry-after: {token}\r\netag: {token}\r\n"
            );
            whole(429, &headers, "")
        }
        Manner::Malformed => whole(200, "", &error[..error.len() - 20]),
        Manner::Broken => format!("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{error}"),
        Manner::NotHttp => format!("{said}\r\n\r\n"),
        Manner::Renewing if said.contains("grant_type") => {
            let (access, refresh) = RENEWED;
            whole(200, "", &json!({"access_token": access, "refresh_token": refresh, "expires_in": 7200, "token_type": "bearer", "said": said}).to_string())
        }
        Manner::Renewing => whole(500, "", &error),
    }
}

/// An error in the forms of all networks at once.
fn error(said: &str, token: &str) -> Value {
    let message = format!("the token {token} of {said} is not good");
    json!({
        "error": {
            "message": message, "type": "OAuthException", "code": 190, "error_subcode": 463, "fbtrace_id": token,
            "error_user_title": message, "error_user_msg": message, "status": token,
            "errors": [{"message": message, "reason": token, "domain": token}],
            "details": [{"reason": token, "metadata": {"token": token}}],
        },
        "errors": [{"message": message, "title": token, "detail": message, "type": token, "parameters": {"token": [token]}}],
        "title": token, "detail": message, "message": message, "code": token, "serviceErrorCode": token,
        "error_description": message, "required_scopes": [token], "reason": token, "type": token,
        "paging": {"next": format!("https://network.example/?access_token={token}")},
    })
}

fn owner(network: Network) -> &'static str {
    match network {
        Network::Youtube => "UC_planted_channel_000001",
        Network::GooglePlay => "com.example.app",
        Network::Instagram => "17841400000000501",
        Network::Facebook | Network::X | Network::Linkedin => "501501",
    }
}

/// The tokens of a page, new ones for each number.
#[derive(Clone, Copy)]
struct Given {
    number: usize,
    /// Whether the access token could be a word, such as a permission's.
    is_word: bool,
    /// Whether its time is over, so that it is renewed first.
    is_over: bool,
}

impl Given {
    const FIRST: Self = Self { number: 1, is_word: false, is_over: false };

    fn tokens(self, network: Network) -> Value {
        let number = self.number;
        let access = match network {
            // So begin those of Instagram's own.
            Network::Instagram if self.is_word => format!("IGplanted-token-{number:04}"),
            Network::Instagram => format!("IGplanted|token/{number:04}"),
            network if self.is_word => format!("planted-token-of-{network}-{number:04}"),
            network => format!("planted|token+{network}/{number:04}"),
        };
        let mut given = json!({ "access_token": access });
        if matches!(network, Network::X | Network::Youtube | Network::GooglePlay | Network::Linkedin) {
            given["refresh_token"] = format!("1//planted-refresh-{network}-{number:04}").into();
            let ends = if self.is_over { "2026-01-01T00:00:00Z" } else { "2036-01-01T00:00:00Z" };
            given["expires_at"] = ends.into();
        }
        given
    }
}

async fn connect(bundle: &Bundle, account: &Account, network: Network, mut given: Value) -> String {
    (given["network"], given["network_id"]) = (network.as_str().into(), owner(network).into());
    given["name"] = "Uma página".into();
    let reply = bundle.client.post("/pages", &account.key, given.to_string()).await.with_status(201);
    reply.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_that_echo_requests_make_nothing_leak_a_secret() {
    let parrot = Parrot::start().await;
    let addresses = parrot.parameters();
    let own = addresses.iter().map(|(name, value)| (*name, value.as_str()));
    let bundle = Bundle::start_with(SECRETS.into_iter().chain(APPS).chain(own)).await;
    for (what, token) in [("a renewed token", RENEWED.0), ("a renewed refresh token", RENEWED.1)] {
        bundle.client.heard().secret(Secret::new(what, token));
    }
    let account = bundle.account().await;
    bundle.webhook(&account, "/all", &["publication", "interaction", "notice"]).await;
    let mut pages = Vec::new();
    for network in Network::ALL {
        pages.push((network, connect(&bundle, &account, network, Given::FIRST.tokens(network)).await));
    }
    // At last what was renewed is renewed again.
    let mut steps = vec![(Manner::Silent, Some(Given::FIRST))];
    for (round, manner) in (0..4).flat_map(|round| MANNERS.map(|manner| (round, manner))) {
        let number = steps.len() + 1;
        steps.push((manner, Some(Given { number, is_word: round % 2 == 0, is_over: round > 1 })));
    }
    steps.push((Manner::Error(400), None));
    for (manner, given) in steps {
        *parrot.manner.lock().unwrap() = manner;
        for (network, page) in &pages {
            let Some(given) = given else { continue };
            let path = format!("/pages/{page}");
            bundle.client.patch(&path, &account.key, &given.tokens(*network)).await.with_status(200);
        }
        // Limits that the parrot told of are over by then.
        bundle.advance(DAY).await;
        bundle.tick().await;
        bundle.until_rest().await;
        for (network, page) in &pages {
            let shown = bundle.client.get(&format!("/pages/{page}"), &account.key).await.json();
            assert!(shown["last_tick"]["calls"].as_u64() > Some(0), "{network} {manner:?}: {shown}");
        }
    }
    assert!(parrot.heard("planted%7Ctoken%2Bfacebook") || parrot.heard("planted|token+facebook"));
    for text in ["planted-refresh-x-", "planted-refresh-youtube-", "planted-refresh-linkedin-", RENEWED.1] {
        assert!(parrot.heard(text), "{text} was not sent to the parrot");
    }
    let notices = bundle.receiver.deliveries_to("/all");
    assert!(notices.len() >= pages.len(), "{} notices of tokens that were refused", notices.len());
    assert!(bundle.logs.of("CollectFunction").iter().any(|line| line.contains("poll.not_renewed")));
    bundle.client.get("/pages", &account.key).await;
    bundle.stop().await;
}

/// A customer's server that shows the whole request in its error page, in the forms that servers write: as it is, as
/// JSON, for HTML, percent-encoded and in base64; in a header, too, and in where it redirects to.
async fn echoing(secret: Arc<Mutex<String>>, signatures: Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let secret = secret.lock().unwrap().clone();
            let signatures = Arc::clone(&signatures);
            tokio::spawn(async move {
                let Some(request) = request(&mut stream).await else { return };
                let (head, _) = request.split_once("\r\n\r\n").unwrap();
                let lines = head.lines().chain(std::iter::once(secret.as_str()));
                let wanted = ["POST", "authorization", "x-", "cookie", "webhook-signature"];
                let told = lines.filter(|line| wanted.iter().any(|begin| line.starts_with(begin)));
                let told = told.collect::<Vec<_>>().join("\n");
                let signature = told.lines().find_map(|line| line.strip_prefix("webhook-signature: v1,"));
                signatures.lock().unwrap().extend(signature.map(str::to_owned));
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                let encoded = told.bytes().map(|byte| match byte {
                    byte if plain(byte) => char::from(byte).to_string(),
                    byte => format!("%{byte:02x}"),
                });
                let encoded: String = encoded.collect();
                let way = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
                let form = match way.split(['/', '?']).nth(1).unwrap_or_default() {
                    "json" => json!({"headers": told}).to_string().replace('/', "\\/"),
                    "html" => told.replace('&', "&amp;").replace('"', "&quot;").replace('\'', "&#39;"),
                    "percent" => encoded,
                    "base64" => STANDARD.encode(&told),
                    _ => told.clone(),
                };
                let shown = told.lines().last().unwrap_or_default();
                let status = if way.starts_with("/redirect") { "302 Found" } else { "500 Broken" };
                let location = format!("https://elsewhere.example/{}?{}", shown.replace(' ', "%20"), shown);
                let answer = format!(
                    "HTTP/1.1 {status}\r\nx-request: {shown}\r\nset-cookie: {shown}\r\nlocation: {location}\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n{form}",
                    form.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_receiver_that_echoes_the_request_leaks_no_credential() {
    let (secret, signatures) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(Vec::new())));
    let base = echoing(Arc::clone(&secret), Arc::clone(&signatures)).await;
    let (bundle, account) = Bundle::with_account([]).await;
    let headers = json!({
        "authorization": "Basic cGxhbnRlZDpoZWFkZXItcGFzc3dvcmQ=", "x-api-key": "planted/header+key&'1'",
        "cookie": "session=planted-cookie-value",
    });
    let planted = [
        "cGxhbnRlZDpoZWFkZXItcGFzc3dvcmQ",
        "header-password",
        "planted/header",
        "planted-cookie-value",
        "planted-query",
        "whsec_",
    ];
    for form in ["plain", "json", "html", "percent", "base64", "redirect"] {
        let url = format!("{base}/{form}?token=planted-query-token");
        let settings = json!({"url": url, "items": ["message"], "headers": headers});
        let webhook = bundle.webhook_with(&account, settings).await;
        *secret.lock().unwrap() = format!("x-secret: {}", webhook.secret);
        bundle.send(&account, "/bots/b/messages", r#"{"n":1}"#).await;
        let path = format!("/webhooks/{}", webhook.id);
        let logged = async {
            loop {
                let log = bundle.client.get(&format!("{path}/attempts"), &account.key).await;
                if log.json()["data"].as_array().is_some_and(|data| !data.is_empty()) {
                    return log.text();
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let log = tokio::time::timeout(SOON, logged).await.unwrap();
        let tested = bundle.client.post(&format!("{path}/test"), &account.key, "").await.text();
        let status = bundle.status(&account, &webhook, "message").await;
        assert!(status["last_error"]["message"]["en"].is_string(), "{status}");
        let sent = signatures.lock().unwrap().clone();
        assert!(sent.len() >= 2, "{sent:?}");
        for told in [&log, &tested, &status.to_string()] {
            for credential in planted.into_iter().chain(sent.iter().map(String::as_str)) {
                let packed = STANDARD.encode(credential);
                let encoded = credential.replace('/', "%2f").replace('+', "%2b").replace('=', "%3d");
                for text in [credential, &packed[..packed.len() / 4 * 3], &encoded] {
                    assert!(!told.contains(text), "{form}: {text} in {told}");
                }
            }
            assert!(!told.contains("set-cookie"), "{told}");
        }
        assert!(log.contains('…') && tested.contains('…'), "{form}: {log} {tested}");
        if form == "redirect" {
            assert!(
                tested.contains("https://elsewhere.example/") && tested.contains("\"redirected\""),
                "{tested}"
            );
        }
        bundle.client.call(Method::DELETE, &path, &account.key, "").await;
    }
    bundle.stop().await;
}

#[tokio::test]
async fn what_owners_give_wrongly_is_repeated_nowhere() {
    let (bundle, account) = Bundle::with_account(SECRETS.into_iter().chain(APPS)).await;
    bundle.webhook(&account, "/all", &["publication", "interaction", "notice"]).await;
    let page = connect(&bundle, &account, Network::Youtube, Given::FIRST.tokens(Network::Youtube)).await;
    let path = format!("/pages/{page}");
    for given in [
        json!({"access_token": "planted token with spaces"}),
        json!({"refresh_token": "planted refresh\ntoken"}),
        json!({"access_token": "{\"private_key\":\"planted-private-key\"}"}),
        json!({"access_token": "planted-fine-token", "network": "planted-network", "expires_at": "planted-time"}),
    ] {
        bundle.client.patch(&path, &account.key, &given).await.with_status(422);
        bundle.client.post("/pages", &account.key, given.to_string()).await.with_status(422);
    }
    let cut = r#"{"access_token": "planted-token-that-is-cut"#;
    let secret = Secret::new("a token in JSON that is none", "planted-token-that-is-cut");
    bundle.client.heard().secret(secret);
    assert_eq!(bundle.client.call(Method::PATCH, &path, &account.key, cut).await.status, 400);
    // Keys and headers that are none.
    let longer = format!("{}-and-more", account.key);
    for key in ["ck_planted_and_malformed", longer.as_str(), "planted:basic:key"] {
        assert_eq!(bundle.client.get("/pages", key).await.status, 401);
    }
    let basic = [("authorization", "Basic cGxhbnRlZDpiYXNpYw==")];
    assert_eq!(bundle.client.request(Method::GET, "/pages", &basic, "").await.status, 401);
    let given =
        json!({"url": "https://a.example/", "items": ["message"], "secret": "whsec_planted-and-no-base64"});
    bundle.client.post("/webhooks", &account.key, given.to_string()).await.with_status(422);
    // A service account's key that cannot sign.
    let lines = ["MIIEplantedplantedplantedplanted", "plantedplantedplantedplantedAAA="];
    for line in lines {
        bundle.client.heard().secret(Secret::new("a line of a private key", line));
    }
    let key = json!({
        "type": "service_account", "client_email": "a@b.iam.gserviceaccount.com", "private_key_id": "1",
        "private_key": format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")),
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    let play =
        connect(&bundle, &account, Network::GooglePlay, json!({"access_token": key.to_string()})).await;
    bundle.tick().await;
    bundle.until_rest().await;
    let shown = bundle.client.get(&format!("/pages/{play}"), &account.key).await.json();
    assert_eq!(shown["token"]["state"], "revoked", "{shown}");
    bundle.receiver.wait_for_count("/all", 1, SOON).await.unwrap();
    bundle.stop().await;
}

/// A thing of every network with the page's token where the network's JSON may have it.
fn with_the_token(network: Network, token: &str) -> Thing {
    let link = format!("https://network.example/a?x=1&access_token={token}&y=2");
    let thing = match network {
        Network::GooglePlay => Thing::review(3, "a review").by("900", "Ana"),
        _ => Thing::post("a post"),
    };
    let member = match network {
        Network::Facebook => "permalink_url",
        Network::Instagram => "permalink",
        Network::X => "card_uri",
        Network::Youtube | Network::GooglePlay => "thumbnails",
        Network::Linkedin => "contentLandingPage",
    };
    let odd = json!({"default": {"url": link, "token": token}, token: [format!("Bearer {token}")]});
    match network {
        Network::Facebook | Network::Instagram => thing.with(member, link),
        Network::X | Network::Linkedin => thing.with(member, link).with("odd", odd),
        Network::Youtube => thing.with("snippet", json!({"thumbnails": odd})),
        Network::GooglePlay => thing.with(member, odd),
    }
}

#[tokio::test]
async fn a_token_within_what_a_network_lists_is_in_no_item() {
    let (bundle, account, _) = Bundle::with_webhook([], "/all", &["publication", "interaction"]).await;
    for network in Network::ALL {
        let given = json!({"access_token": Given::FIRST.tokens(network)["access_token"]});
        let token = given["access_token"].as_str().unwrap();
        bundle.networks.connect_with(network, Connection::new(owner(network), token));
        // Facebook's lists link to their next part with the token in the link.
        bundle.networks.cap_pages(network, 1);
        connect(&bundle, &account, network, given.clone()).await;
        for _ in 0..2 {
            bundle.networks.publish(network, owner(network), with_the_token(network, token)).unwrap();
        }
    }
    let message = Thing::direct_message("900", "a message").with(
        "attachments",
        json!({"data": [{"file_url": "https://a.example/?access_token=planted|token+facebook/0001"}]}),
    );
    bundle.networks.publish(Network::Facebook, owner(Network::Facebook), message).unwrap();
    let tag = Thing::new(Kind::Mention, "a mention").by("900", "Ana");
    bundle
        .networks
        .publish(Network::X, owner(Network::X), tag.with("odd", "planted%7Ctoken%2Bx%2F0001"))
        .unwrap();
    for _ in 0..6 {
        bundle.tick().await;
        bundle.until_rest().await;
        bundle.advance(TICK).await;
    }
    let delivered = bundle.receiver.deliveries_to("/all");
    assert!(delivered.len() >= 10, "{} things; {:#?}", delivered.len(), bundle.complaints());
    bundle.stop().await;
}

#[tokio::test]
async fn whoever_looks_for_secrets_finds_those_that_were_put_there() {
    let (bundle, account, webhook) = Bundle::with_webhook(SECRETS, "/here", &["message"]).await;
    bundle.networks.connect(Network::Facebook, "501", "EAA-planted-token");
    assert_eq!(bundle.leaks().await, []);
    // In an item, and in a header of a webhook's own, which are in a table, too.
    let id = bundle.send(&account, "/bots/b/messages", json!({"key": account.key}).to_string()).await;
    bundle.receiver.wait_for(|delivery| delivery.webhook_id() == Some(&id), SOON).await.unwrap();
    let path = format!("/webhooks/{}", webhook.id);
    let headers = json!({"headers": {"x-token": "EAA-planted-token"}});
    bundle.client.patch(&path, &account.key, &headers).await.with_status(200);
    // In a row's bytes and in a queue, in base64.
    let row = json!({"TableName": "InboxTable", "Item": {
        "pk": {"S": "planted"}, "sk": {"S": "planted"}, "event": {"B": "AEVBQS1wbGFudGVkLXRva2Vu"},
    }});
    dynamodb::call(&bundle, "PutItem", &row).await;
    let queues = sqs::call(&bundle, "ListQueues", &json!({})).await;
    let queues: Vec<&str> =
        queues["QueueUrls"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let dead =
        queues.iter().find(|url| url.ends_with("DeliverDeadQueue")).unwrap_or_else(|| panic!("{queues:?}"));
    let message = json!({"QueueUrl": dead, "MessageBody": "x", "MessageAttributes": {
        "item": {"DataType": "String", "StringValue": "eyJhIjoiRUFBLXBsYW50ZWQtdG9rZW4ifQ"},
    }});
    sqs::call(&bundle, "SendMessage", &message).await;
    // In an answer.
    bundle.client.heard().note("an answer of the test's", Bytes::from(format!("?t={}", webhook.secret)));
    let leaks = bundle.leaks().await;
    for place in [
        "the body of delivery 1 to /here",
        "a row of ConfigTable",
        "a row of InboxTable",
        "an attribute of a message in DeliverDeadQueue",
        "an answer of the test's",
    ] {
        assert!(leaks.iter().any(|leak| leak.place == place), "{place}: {leaks:#?}");
    }
    // A header's value is no part of an answer.
    let answered = format!("the answer 200 to PATCH {path}");
    assert!(leaks.iter().all(|leak| leak.place != answered), "{leaks:#?}");
    bundle.halt().await;
}
