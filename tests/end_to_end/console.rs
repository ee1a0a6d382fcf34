//! The console: what its page is, and what it does in a real browser.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use carteiro_networks::freshness::Hour;
use carteiro_receiver::Behaviour;
use carteiro_tests::client::Client;
use carteiro_tests::{Account, Bundle, Patience, Webhook, dynamodb, tools};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::networks::{X_IS_AWAY, X_SECRET, pushed};

#[tokio::test]
async fn the_page_is_one_answer_and_its_policy_allows_nothing_else() {
    let bundle = Bundle::start().await;
    let page = bundle.client.request(Method::GET, "/console", &[], "").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let expected = [
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
    ];
    for (name, value) in expected {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let policy = page.header("content-security-policy").unwrap();
    let directives: Vec<&str> = policy.split("; ").collect();
    for directive in [
        "default-src 'none'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(directives.contains(&directive), "{directive}: {policy}");
    }
    for kind in ["script-src", "style-src"] {
        let directive = directives.iter().find(|one| one.starts_with(kind)).unwrap();
        assert!(
            directive.starts_with(&format!("{kind} 'sha256-")) && !directive.contains("unsafe"),
            "{policy}"
        );
    }
    let text = page.text();
    assert!(text.contains("<html lang=\"pt-BR\">") && text.contains("Integrações → Webhook"));
    assert!(!text.contains("://"), "the page names nothing outside");
    bundle.stop().await;
}

/// A headless browser, driven over WebDriver.
struct Browser {
    driver: Child,
    client: Client,
    session: String,
    _profile: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with the pipe that its driver holds.
        _ = self.driver.kill();
        _ = self.driver.wait();
    }
}

impl Browser {
    /// Starts one, or says that the machine has none.
    async fn start() -> Option<Self> {
        let (driver, browser) = (tools::program("chromedriver")?, tools::program("chromium")?);
        let profile = TempDir::new().unwrap();
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = driver.stdout.take().unwrap();
        let port = tokio::task::spawn_blocking(move || port(BufReader::new(said))).await.unwrap();
        let client = Client::new(&format!("http://127.0.0.1:{port}"));
        let mut this = Self { driver, client, session: String::new(), _profile: profile };
        let folder = this._profile.path().display();
        let arguments = json!([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
            "--window-size=1000,1400",
            format!("--user-data-dir={folder}"),
        ]);
        let options = json!({"binary": browser, "args": arguments});
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = this.driver_call(Method::POST, "/session", &wanted).await;
        this.session = session["sessionId"].as_str().unwrap_or_else(|| panic!("{session}")).to_owned();
        Some(this)
    }

    async fn driver_call(&self, method: Method, path: &str, body: &Value) -> Value {
        let body = if method == Method::POST { body.to_string() } else { String::new() };
        let headers = [("content-type", "application/json")];
        let reply = self.client.request(method, path, &headers, body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()["value"].clone()
    }

    async fn post(&self, command: &str, body: Value) -> Value {
        self.driver_call(Method::POST, &format!("/session/{}/{command}", self.session), &body).await
    }

    async fn open(&self, url: &str) {
        self.post("url", json!({"url": url})).await;
    }

    /// What an expression of JavaScript comes to in the page.
    async fn value(&self, expression: &str) -> Value {
        self.post("execute/sync", json!({"script": format!("return {expression}"), "args": []})).await
    }

    /// The only visible element that a selector finds.
    async fn element(&self, selector: &str) -> String {
        let found = self.post("element", json!({"using": "css selector", "value": selector})).await;
        let id = found.as_object().and_then(|one| one.values().next()?.as_str().map(str::to_owned));
        id.unwrap_or_else(|| panic!("{selector}: {found}"))
    }

    async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.post(&format!("element/{element}/click"), json!({})).await;
    }

    async fn write(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.post(&format!("element/{element}/clear"), json!({})).await;
        self.post(&format!("element/{element}/value"), json!({"text": text})).await;
    }

    /// The text that can be seen of what a selector finds; empty where there is nothing.
    async fn text(&self, selector: &str) -> String {
        // What is not shown at all has its text all the same.
        let expression = format!(
            "(one => one?.checkVisibility() ? one.innerText : '')(document.querySelector({}))",
            json!(selector)
        );
        self.value(&expression).await.as_str().unwrap().to_owned()
    }

    /// Waits until what can be seen of an element holds a text.
    async fn until(&self, selector: &str, text: &str) {
        let mut seen = String::new();
        let mut patience = Patience::default();
        while patience.lasts().await {
            seen = self.text(selector).await;
            if seen.contains(text) {
                return;
            }
        }
        panic!("{selector} does not show {text:?} but {seen:?}: {}", self.text("body").await);
    }

    /// Waits until nothing is seen of an element any more.
    async fn until_gone(&self, selector: &str) {
        let mut patience = Patience::default();
        while patience.lasts().await {
            if self.text(selector).await.is_empty() {
                return;
            }
        }
        panic!("{selector} still shows {:?}", self.text(selector).await);
    }

    /// What the browser complained of: blocked resources, errors of the script.
    async fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", json!({"type": "browser"})).await;
        let entries = log.as_array().unwrap().iter();
        // A refusal that the page shows is logged by the browser as well.
        let kept = entries.filter(|one| one["source"] != "network").map(|one| one["message"].to_string());
        kept.collect()
    }

    async fn stop(self) {
        self.driver_call(Method::DELETE, &format!("/session/{}", self.session), &Value::Null).await;
    }
}

/// The port that the driver says it listens at.
fn port(said: impl BufRead) -> u16 {
    for line in said.lines().map_while(Result::ok) {
        if let Some((_, port)) = line.rsplit_once("started successfully on port ") {
            return port.trim_end_matches('.').parse().unwrap();
        }
    }
    panic!("the driver did not start");
}

/// A webhook of which messages are blocked.
async fn blocked(bundle: &Bundle, account: &Account) -> Webhook {
    bundle.receiver.set_behaviour("/bloqueada", Behaviour::from(StatusCode::SERVICE_UNAVAILABLE));
    let url = bundle.receiver.url("/bloqueada");
    let settings = json!({"url": url, "items": ["message", "event"], "threshold": 3});
    let webhook = bundle.webhook_with(account, settings).await;
    for _ in 0..5 {
        bundle.send(account, "/bots/b/messages", "{}").await;
    }
    until(bundle, account, &webhook, |status| status["state"] == "blocked" && status["held"] == 5).await;
    webhook
}

/// Waits until the state of a webhook's messages is as wanted.
async fn until(bundle: &Bundle, account: &Account, webhook: &Webhook, wanted: impl Fn(&Value) -> bool) {
    let mut status = Value::Null;
    let mut patience = Patience::default();
    while patience.lasts().await {
        let shown = bundle.client.get(&format!("/webhooks/{}", webhook.id), &account.key).await.json();
        status = shown["status"]["message"].clone();
        if wanted(&status) {
            return;
        }
    }
    panic!("the status did not become as wanted: {status}");
}

async fn enter(browser: &Browser, key: &str) {
    browser.write("#key", key).await;
    browser.click("#enter button").await;
}

#[tokio::test]
async fn a_browser_shows_a_block_in_both_languages_and_ends_it() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    let webhook = blocked(&bundle, &account).await;
    browser.open(&format!("{}/console", bundle.stack.addresses().api)).await;
    enter(&browser, "ck_nobody").await;
    browser.until("#key-error", "A chave não é conhecida").await;
    enter(&browser, &account.key).await;

    let card = format!("#webhook-{}", webhook.id);
    let (messages, events) = (format!("{card} li[data-type=message]"), format!("{card} li[data-type=event]"));
    browser.until(&format!("{card} h2"), &bundle.receiver.url("/bloqueada")).await;
    browser.until(&messages, "Bloqueado").await;
    browser
        .until(&format!("{messages} .message"), "O envio de mensagens para esta URL está bloqueado desde")
        .await;
    browser.until(&format!("{messages} [data-fact=failures]"), "3 de 3").await;
    browser.until(&format!("{messages} [data-fact=held]"), "5").await;
    browser.until(&format!("{messages} [data-fact=last-error]"), "a URL respondeu com o status 503").await;
    browser.until(&events, "Liberado").await;
    browser.click(&format!("{card} summary")).await;
    let attempt = format!("{card} [data-attempt]");
    browser.until(&attempt, "a URL respondeu com o status 503").await;
    browser.until(&attempt, "Mensagens, tentativa").await;

    browser.click("[data-language=en]").await;
    browser.until("#title", "Integrations → Webhook").await;
    browser.until(&format!("{messages} .message"), "Sending messages to this URL is blocked from").await;
    browser.until(&attempt, "the URL answered with status 503").await;
    assert_eq!(browser.value("document.documentElement.lang").await, "en");
    browser.click("[data-language=pt-BR]").await;

    browser.click(&format!("{card} [data-action=test]")).await;
    browser.until(&format!("{card} .said"), "O teste falhou: a URL respondeu com o status 503").await;
    bundle.receiver.set_behaviour("/bloqueada", Behaviour::default());
    browser.click(&format!("{card} [data-action=unblock]")).await;
    browser.until(&format!("{messages} .state"), "Liberado").await;
    assert_eq!(browser.text(&format!("{messages} .message")).await, "");
    until(&bundle, &account, &webhook, |status| status["held"] == 0).await;
    // The page finds out by itself.
    browser.until_gone(&format!("{messages} [data-fact=held]")).await;

    assert_eq!(browser.value("localStorage.length").await, 0);
    assert_eq!(browser.value("document.cookie").await, "");
    browser.click("#leave").await;
    assert_eq!(browser.value("sessionStorage.getItem('carteiro.key')").await, Value::Null);
    assert_eq!(browser.text("#account").await, "");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

#[tokio::test]
async fn a_browser_lists_pages_and_token_states_in_both_languages() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    browser.open(&format!("{}/console", bundle.stack.addresses().api)).await;
    enter(&browser, &account.key).await;
    browser.until("#no-pages", "ainda não tem páginas").await;

    let given = json!({
        "network": "googleplay", "network_id": "com.example.app", "name": "Loja <b>", "delivery": "immediate",
        "access_token": "planted-token", "expires_at": "2031-05-04T12:00:00Z",
    });
    let created = bundle.client.post("/pages", &account.key, given.to_string()).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let row = format!("[data-page={}]", created.json()["id"].as_str().unwrap());
    // The page finds out by itself.
    browser.until(&row, "Loja <b>").await;
    for text in ["Google Play", "Token ainda não verificado", "com.example.app", "Imediata"] {
        browser.until(&row, text).await;
    }
    browser.until(&format!("{row} [data-fact=expires]"), "2031").await;
    browser.click("[data-language=en]").await;
    for text in ["Token not checked yet", "Immediate"] {
        browser.until(&row, text).await;
    }
    let source = browser.value("document.documentElement.outerHTML").await;
    assert!(!source.as_str().unwrap().contains("planted-token"));
    browser.until(&format!("{row} [data-fact=last-tick]"), "none yet").await;

    // How fresh its things are, and that it is silent.
    let id = created.json()["id"].clone();
    let now = bundle.stack.clock().now_ms().cast_signed();
    let hour = Hour::of(jiff::Timestamp::from_millisecond(now).unwrap()).to_string();
    let pk = format!("{}#fresh", id.as_str().unwrap());
    let counts = json!({"pk": {"S": pk}, "sk": {"S": hour}, "review.10": {"N": "7"}});
    dynamodb::call(&bundle, "PutItem", &json!({"TableName": "InboxTable", "Item": counts})).await;
    let schedules = dynamodb::scan(&bundle, "PollTable").await;
    let schedule = schedules.iter().find(|row| row["sk"]["S"] == id).unwrap();
    let silence = json!({"since": "2026-11-01T00:00:00Z", "usual_hours": 9}).to_string();
    let update = json!({
        "TableName": "PollTable", "Key": {"pk": schedule["pk"], "sk": schedule["sk"]},
        "UpdateExpression": "SET silence = :silence", "ExpressionAttributeValues": {":silence": {"S": silence}},
    });
    dynamodb::call(&bundle, "UpdateItem", &update).await;
    browser.click(&format!("{row} summary")).await;
    browser.until(&format!("{row} [data-fact=fresh-review]"), "7: half within 15 min").await;
    browser.until(&format!("{row} [data-fact=promise]"), "99 % within 24 h").await;
    browser.until(&format!("{row} [data-fact=silence]"), "9 h").await;

    let path = format!("/pages/{}", created.json()["id"].as_str().unwrap());
    assert_eq!(bundle.client.delete(&path, &account.key).await.status, 200);
    browser.until("#no-pages", "no connected pages").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

#[tokio::test]
async fn a_browser_renews_a_dead_token_unseen_and_requests_a_check() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start_with([("XConsumerSecrets", X_SECRET), X_IS_AWAY]).await;
    let account = bundle.account().await;
    let given = json!({"network": "x", "network_id": "9", "name": "Loja", "access_token": "planted-first"});
    let page = bundle.client.post("/pages", &account.key, given.to_string()).await.json();
    let revoke = json!({"user_event": {"revoke": {
        "date_time": "2099-01-01T00:00:00+00:00", "target": {"app_id": "13"}, "source": {"user_id": "9"},
    }}});
    pushed(&bundle, "x", &revoke).await;
    bundle.tick().await;
    browser.open(&format!("{}/console", bundle.stack.addresses().api)).await;
    enter(&browser, &account.key).await;
    let row = format!("[data-page={}]", page["id"].as_str().unwrap());
    browser.until(&format!("{row} .state"), "Token revogado").await;
    browser.until(&format!("{row} .message"), "O acesso à página \"Loja\" foi revogado no X").await;

    browser.click(&format!("{row} [data-action=renew]")).await;
    browser.click(&format!("{row} form button.first")).await;
    browser.until(&format!("{row} form .error"), "Informe o novo token.").await;
    browser.write(&format!("{row} [name=access_token]"), "planted second").await;
    browser.click(&format!("{row} form button.first")).await;
    browser.until(&format!("{row} form .error"), "sem espaços").await;
    browser.write(&format!("{row} [name=access_token]"), "planted-second").await;
    browser.write(&format!("{row} [name=refresh_token]"), "planted-refresh").await;
    browser.click(&format!("{row} form button.first")).await;
    browser.until(&format!("{row} .said"), "Token renovado").await;
    browser.until(&format!("{row} .state"), "Token ainda não verificado").await;
    browser.until_gone(&format!("{row} .message")).await;
    browser.until_gone(&format!("{row} form")).await;
    let tokens = dynamodb::scan(&bundle, "TokenTable").await;
    let [token] = tokens.as_slice() else { panic!("{tokens:?}") };
    assert_eq!(
        (&token["access_token"]["S"], &token["refresh_token"]["S"]),
        (&json!("planted-second"), &json!("planted-refresh"))
    );

    browser.click(&format!("{row} [data-action=check]")).await;
    browser.until(&format!("{row} .said"), "Verificação pedida").await;
    // The page finds out by itself.
    browser.until(&format!("{row} [data-fact=last-tick]"), "itens novos").await;
    let source = browser.value("document.documentElement.outerHTML").await;
    assert!(!source.as_str().unwrap().contains("planted"));
    assert_eq!(browser.value("Object.keys(sessionStorage).length").await, 1);
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}

#[tokio::test]
async fn a_browser_edits_a_webhook_and_shows_errors_at_their_fields() {
    let Some(browser) = Browser::start().await else { return };
    let bundle = Bundle::start().await;
    let account = bundle.account().await;
    browser.open(&format!("{}/console", bundle.stack.addresses().api)).await;
    enter(&browser, &account.key).await;
    browser.until("#none", "ainda não tem webhooks").await;

    browser.click("#add").await;
    browser.click("#new-webhook button.first").await;
    browser.until("#new-webhook-url-error", "Digite a URL.").await;
    browser.until("#new-webhook-items-error", "Escolha ao menos um tipo.").await;
    browser.write("#new-webhook-url", "https://10.0.0.1/").await;
    browser.click("#new-webhook [value=message]").await;
    browser.click("#new-webhook button.first").await;
    browser.until("#new-webhook-url-error", "10.0.0.1 não é um endereço público.").await;
    assert_eq!(browser.text("#new-webhook-items-error").await, "");
    assert_eq!(browser.value("document.activeElement.id").await, "new-webhook-url");
    assert_eq!(browser.value("document.activeElement.ariaInvalid").await, "true");

    // A URL is shown as the text that it is.
    let url = bundle.receiver.url("/nova?%3Cimg%20src=x%3E&a='<b>");
    browser.write("#new-webhook-url", &url).await;
    browser.click("#new-webhook button.first").await;
    browser.until("article .secret code", "whsec_").await;
    browser.until("article .said", "Webhook criado.").await;
    let created = bundle.client.get("/webhooks", &account.key).await.json()["data"][0].clone();
    assert_eq!(created["items"], json!(["message"]));
    assert_eq!(browser.text("article h2").await, created["url"].as_str().unwrap());
    assert_eq!(browser.value("document.querySelectorAll('main img, article b').length").await, 0);

    let path = format!("/webhooks/{}", created["id"].as_str().unwrap());
    browser.click("article [data-action=edit]").await;
    browser.click("article form [value=contact]").await;
    browser.click("article form button.first").await;
    browser.until("article .said", "Alterações salvas.").await;
    browser.until("article li[data-type=contact] .state", "Liberado").await;
    let changed = bundle.client.get(&path, &account.key).await.json();
    assert_eq!(changed["items"], json!(["contact", "message"]));

    browser.click("article [data-action=disable]").await;
    browser.until("article li[data-type=message] .state", "Desabilitado").await;
    browser.until("article", "Desabilitado pelo dono").await;
    assert_eq!(bundle.client.get(&path, &account.key).await.json()["disabled_by"], "owner");
    browser.click("article [data-action=disable]").await;
    browser.until("article li[data-type=message] .state", "Liberado").await;
    assert_eq!(bundle.client.get(&path, &account.key).await.json()["enabled"], true);

    // The width of a phone.
    let phone = json!({"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true});
    browser
        .post("goog/cdp/execute", json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": phone}))
        .await;
    assert_eq!(browser.value("innerWidth").await, 360);
    assert_eq!(browser.value("document.documentElement.scrollWidth").await, 360, "nothing is cut off");

    // Somebody else deletes it: the page forgets it by itself.
    assert_eq!(bundle.client.delete(&path, &account.key).await.status, 200);
    browser.until("#none", "ainda não tem webhooks").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.stop().await;
    bundle.stop().await;
}
