//! A real browser, driven over WebDriver.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use carteiro_tests::client::{Client, Reply};
use carteiro_tests::{Bundle, Patience, SOON, tools};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A headless browser, driven over WebDriver.
pub(crate) struct Browser {
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
    pub(crate) async fn start() -> Option<Self> {
        let (driver, browser) = (tools::program("chromedriver")?, tools::program("chromium")?);
        let profile = TempDir::new().unwrap();
        let (driver, port) = tokio::task::spawn_blocking(move || started(&driver)).await.unwrap();
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
        let bound = u64::try_from(SOON.as_millis()).unwrap();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
            // Some parts of the page are loaded when they are first opened; axe reads a long page for as long as the
            // machine lets it.
            "timeouts": {"implicit": bound, "pageLoad": bound, "script": bound},
        }}});
        let session = this.driver_call(Method::POST, "/session", &wanted).await;
        this.session = session["sessionId"].as_str().unwrap_or_else(|| panic!("{session}")).to_owned();
        Some(this)
    }

    async fn sent(&self, method: Method, path: &str, body: &Value) -> Reply {
        let body = if method == Method::POST { body.to_string() } else { String::new() };
        let headers = [("content-type", "application/json")];
        self.client.request(method, path, &headers, body).await
    }

    async fn driver_call(&self, method: Method, path: &str, body: &Value) -> Value {
        let reply = self.sent(method, path, body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()["value"].clone()
    }

    pub(crate) async fn post(&self, command: &str, body: Value) -> Value {
        self.driver_call(Method::POST, &format!("/session/{}/{command}", self.session), &body).await
    }

    pub(crate) async fn open(&self, url: &str) {
        self.post("url", json!({"url": url})).await;
    }

    /// What an expression of JavaScript comes to in the page.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        self.post("execute/sync", json!({"script": format!("return {expression}"), "args": []})).await
    }

    /// The only visible element that a selector finds.
    pub(crate) async fn element(&self, selector: &str) -> String {
        let found = self.post("element", json!({"using": "css selector", "value": selector})).await;
        let id = found.as_object().and_then(|one| one.values().next()?.as_str().map(str::to_owned));
        id.unwrap_or_else(|| panic!("{selector}: {found}"))
    }

    /// Does something with the only visible element that a selector finds. The page may put another one in its place
    /// after it was found, or move it before it is clicked; then it is found again.
    async fn with_element(&self, selector: &str, command: &str, body: &Value) {
        let mut refused = String::new();
        let mut patience = Patience::default();
        while patience.lasts().await {
            let path =
                format!("/session/{}/element/{}/{command}", self.session, self.element(selector).await);
            let reply = self.sent(Method::POST, &path, body).await;
            if reply.status == 200 {
                return;
            }
            refused = reply.text();
            let is_moving = ["stale element reference", "element click intercepted"];
            assert!(is_moving.iter().any(|error| refused.contains(error)), "{path}: {refused}");
        }
        panic!("{selector} does not stay where it is: {refused}");
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.with_element(selector, "click", &json!({})).await;
    }

    pub(crate) async fn write(&self, selector: &str, text: &str) {
        self.with_element(selector, "clear", &json!({})).await;
        self.with_element(selector, "value", &json!({"text": text})).await;
    }

    /// The text that can be seen of what a selector finds; empty where there is nothing.
    pub(crate) async fn text(&self, selector: &str) -> String {
        // What is not shown at all has its text all the same.
        let expression = format!(
            "(one => one?.checkVisibility() ? one.innerText : '')(document.querySelector({}))",
            json!(selector)
        );
        self.value(&expression).await.as_str().unwrap().to_owned()
    }

    /// Waits until what can be seen of an element holds a text.
    pub(crate) async fn until(&self, selector: &str, text: &str) {
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
    pub(crate) async fn until_gone(&self, selector: &str) {
        let mut patience = Patience::default();
        while patience.lasts().await {
            if self.text(selector).await.is_empty() {
                return;
            }
        }
        panic!("{selector} still shows {:?}", self.text(selector).await);
    }

    /// Calls the browser's own protocol: emulation, which WebDriver has no word for.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// Opens a page of the bundle with the reader's clock at the bundle's time, and the reader in a time zone.
    pub(crate) async fn open_as_of(&self, bundle: &Bundle, zone: &str, path: &str) {
        self.devtools("Emulation.setTimezoneOverride", json!({"timezoneId": zone})).await;
        let now = bundle.stack.clock().now_ms();
        // From here on time passes by the machine's clock, as the bundle's does.
        let script = format!(
            "(() => {{ const Own = Date; const off = {now} - Own.now(); globalThis.Date = class extends Own {{ \
             constructor(...given) {{ if (given.length > 0) super(...given); else super(Own.now() + off); }} \
             static now() {{ return Own.now() + off; }} }}; }})()"
        );
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await;
        self.open("about:blank").await;
        self.open(&format!("{}{path}", bundle.stack.addresses().api)).await;
    }

    /// The size of the window, as of a phone or a desk.
    pub(crate) async fn is_as_wide_as(&self, width: u32) {
        self.is_as_large_as(width, 900).await;
    }

    pub(crate) async fn is_as_large_as(&self, width: u32, height: u32) {
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 800});
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
    }

    /// What axe finds wrong in the page as it is now; nothing where axe is missing, which is said.
    pub(crate) async fn violations(&self) -> Vec<String> {
        let Some(mut node) = tools::node_with("axe-core") else { return Vec::new() };
        let path = node.args(["-p", "require.resolve('axe-core/axe.min.js')"]).output().unwrap().stdout;
        let axe = std::fs::read_to_string(String::from_utf8(path).unwrap().trim()).unwrap();
        let script = format!(
            "{axe};\nreturn axe.run(document, {{resultTypes: ['violations']}}).then(found => found.violations.map(\
             one => one.id + ': ' + one.nodes.slice(0, 3).map(node => node.target.join(' ')).join(', ')))"
        );
        let found = self.post("execute/sync", json!({"script": script, "args": []})).await;
        let found = found.as_array().unwrap_or_else(|| panic!("{found}"));
        found.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    }

    /// What is seen now, as a PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        let taken = self.devtools("Page.captureScreenshot", json!({"format": "png"})).await;
        base64::engine::general_purpose::STANDARD.decode(taken["data"].as_str().unwrap()).unwrap()
    }

    /// Whether the reader prefers dark pages.
    pub(crate) async fn prefers_dark(&self, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Presses keys one after another where the focus is.
    pub(crate) async fn press(&self, keys: &[&str]) {
        let stroke =
            |key: &&str| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})];
        let strokes: Vec<Value> = keys.iter().flat_map(stroke).collect();
        self.post("actions", json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]}))
            .await;
    }

    /// Chooses an option of a list.
    pub(crate) async fn choose(&self, selector: &str, value: &str) {
        // It waits until there is one: what not every visit needs is loaded when it is first needed.
        self.element(selector).await;
        let script = format!(
            "(list => {{ list.value = {}; list.dispatchEvent(new Event('change')); return list.value; }})\
             (document.querySelector({}))",
            json!(value),
            json!(selector)
        );
        assert_eq!(self.value(&script).await, value, "{selector}");
    }

    /// How many elements a selector finds.
    pub(crate) async fn count(&self, selector: &str) -> u64 {
        let found = self.value(&format!("document.querySelectorAll({}).length", json!(selector))).await;
        found.as_u64().unwrap()
    }

    /// What the browser complained of: blocked resources, errors of the script.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", json!({"type": "browser"})).await;
        let entries = log.as_array().unwrap().iter();
        // A refusal that the page shows is logged by the browser as well.
        let kept = entries.filter(|one| one["source"] != "network").map(|one| one["message"].to_string());
        kept.collect()
    }

    pub(crate) async fn stop(self) {
        self.driver_call(Method::DELETE, &format!("/session/{}", self.session), &Value::Null).await;
    }
}

/// A driver that listens, and its port. It chooses a free port for one of the loopback's two addresses and ends where
/// another program has the same port of the other, so it is started again.
fn started(program: &Path) -> (Child, u16) {
    let mut said = String::new();
    for _ in 0..10 {
        let mut command = Command::new(program);
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().unwrap();
        for line in BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if let Some((_, port)) = line.rsplit_once("started successfully on port ") {
                return (driver, port.trim_end_matches('.').parse().unwrap());
            }
            said.push_str(&line);
        }
        driver.wait().unwrap();
    }
    panic!("the driver did not start: {said}");
}
