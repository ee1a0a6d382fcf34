//! What the end-to-end tests share: the running bundle, a receiver that stands in for a customer, the networks'
//! stand-ins, and a client of the HTTP API.
//!
//! The bundle is the local stack in this process, on free ports, in memory, with the real function binaries; its
//! clock can be moved. What fails here fails the test, so everything panics with what was expected.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "this is test code: what fails, fails the test, and says so"
)]

pub mod blocks;
pub mod chance;
pub mod client;
pub mod cloud_watch;
pub mod grants;
pub mod heard;
pub mod judge;
mod looking;
pub mod secrets;
pub mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use carteiro_clock::{Clock, testing};
use carteiro_fake_networks::{ADDRESSES, Networks};
use carteiro_local::{Data, LogLines, LogSink, Ports, Stack, StackOptions, Template, function_build};
use carteiro_networks::network::Network;
use carteiro_receiver::{Options, Receiver};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;

use client::{Client, Reply};

/// The admin key of every test's deployment.
pub const ADMIN_KEY: &str = "the-admin-key-of-the-tests";

/// How long a test waits for what should happen at once, on a machine that does much else too: a bound on the machine,
/// not on the bundle. Nothing is shown by waiting as long for what should not happen.
pub const SOON: Duration = Duration::from_secs(240);

/// Looks at what should happen at once, until it has: `while patience.lasts().await { … }`, for [`SOON`].
#[derive(Default)]
pub struct Patience {
    ends: Option<tokio::time::Instant>,
}

impl Patience {
    /// True at once at first, then every tenth of a second, and false when the time is over.
    pub async fn lasts(&mut self) -> bool {
        let Some(ends) = self.ends else {
            self.ends = Some(tokio::time::Instant::now() + SOON);
            return true;
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        tokio::time::Instant::now() < ends
    }
}

/// Looks whether something that should happen at once has, for [`SOON`]. False where it never did.
pub async fn comes_true(mut holds: impl AsyncFnMut() -> bool) -> bool {
    let mut patience = Patience::default();
    while patience.lasts().await {
        if holds().await {
            return true;
        }
    }
    false
}

/// How long the time waits for what is in flight before it moves.
pub const AT_REST: Duration = Duration::from_secs(10);

/// The bundle, running.
pub struct Bundle {
    /// The local stack.
    pub stack: Stack,
    /// A customer's server.
    pub receiver: Arc<Receiver>,
    /// The networks' stand-ins, which all of its networks' addresses point at.
    pub networks: Arc<Networks>,
    /// A client of the HTTP API.
    pub client: Client,
    /// What the functions logged.
    pub logs: LogLines,
    /// What it was started with that nobody may see.
    private: Vec<secrets::Secret>,
}

/// An account with its key.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: String,
}

/// A webhook with its secret.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

/// The root of the checkout.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in a folder of the checkout")
        .to_owned()
}

/// The folder with the functions' binaries, built once for all tests of this process.
pub async fn functions() -> PathBuf {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    let build = || async {
        let template =
            Template::read(&workspace().join("template.yaml"), &parameters([]), "http://127.0.0.1:1");
        let packages = function_build::packages(&template.expect("the template is understood"));
        function_build::build(&workspace(), &packages).await.expect("the functions build")
    };
    BUILT.get_or_init(build).await.clone()
}

/// The folder with binaries of the release profile: the functions', and those that they are measured beside.
pub async fn optimised() -> PathBuf {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    let build = || async {
        let template =
            Template::read(&workspace().join("template.yaml"), &parameters([]), "http://127.0.0.1:1");
        let mut packages = function_build::packages(&template.expect("the template is understood"));
        packages.insert("carteiro-baselines".to_owned());
        function_build::build_optimised(&workspace(), &packages).await.expect("the functions build")
    };
    BUILT.get_or_init(build).await.clone()
}

/// The local stack's program, built.
pub async fn program() -> PathBuf {
    let package = BTreeSet::from(["carteiro-local".to_owned()]);
    functions().await;
    function_build::build(&workspace(), &package).await.expect("the program builds").join("carteiro")
}

/// The parameters of a test's deployment, with some of its own. Where those do not say where the networks are, their
/// addresses are of this machine, and nothing listens there: no test calls a real network.
pub fn parameters<'a>(own: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let hash = Sha256::digest(ADMIN_KEY).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut parameters = BTreeMap::from([
        ("AdminKeySha256".to_owned(), hash),
        ("AllowedPrivateTargets".to_owned(), "127.0.0.0/8".to_owned()),
        ("AlertSender".to_owned(), "carteiro@example.com".to_owned()),
        // Most tests push to pages that nobody has asked about yet.
        ("PushesNeedProof".to_owned(), "false".to_owned()),
    ]);
    let nowhere = |(name, path): &(&str, &str)| ((*name).to_owned(), format!("http://127.0.0.1:1{path}"));
    parameters.extend(ADDRESSES.iter().map(nowhere));
    parameters.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    parameters
}

impl Bundle {
    /// Starts the bundle with the template's own parameters.
    pub async fn start() -> Self {
        Self::start_with([]).await
    }

    /// Starts the bundle with some parameters set. No schedule fires by itself.
    pub async fn start_with<'a>(own: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::start_on(testing::clock(), own).await
    }

    /// Starts the bundle with some parameters set, on the test's own clock: one that begins at an instant whose hour
    /// matters to the test, or the machine's where a program outside of the bundle compares times with it.
    pub async fn start_on<'a>(clock: Clock, own: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::start_from(workspace().join("template.yaml"), clock, own).await
    }

    /// Starts the bundle with some parameters set and its template edited, for what no parameter says.
    pub async fn start_edited<'a>(
        own: impl IntoIterator<Item = (&'a str, &'a str)>,
        edit: impl FnOnce(&str) -> String,
    ) -> Self {
        let template = std::fs::read_to_string(workspace().join("template.yaml")).expect("the template");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("template.yaml");
        std::fs::write(&path, edit(&template)).expect("a template is written");
        Self::start_from(path, testing::clock(), own).await
    }

    async fn start_from<'a>(
        template: PathBuf,
        clock: Clock,
        own: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        Self::start_built(functions().await, template, clock, own).await
    }

    /// Starts the bundle with functions that lie in a folder, by a template in a file, on a clock of the test's own.
    pub async fn start_built<'a>(
        functions: PathBuf,
        template: PathBuf,
        clock: Clock,
        own: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let logs = LogLines::default();
        let networks = Arc::new(networks(clock.clone()).await);
        let mut parameters = parameters([]);
        parameters.extend(networks.parameters().into_iter().map(|(name, value)| (name.to_owned(), value)));
        parameters.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        let private = looking::private_parameters(&parameters);
        let stack = Stack::start(StackOptions {
            template,
            parameters,
            ports: Ports::Free,
            data: Data::Memory,
            functions,
            clock: clock.clone(),
            function_logs: LogSink::Collect(logs.clone()),
            schedules: false,
        });
        let stack = stack.await.expect("the stack starts");
        let receiver = Arc::new(receiver(clock).await);
        let client = Client::new(&stack.addresses().api);
        Self { stack, receiver, networks, client, logs, private }
    }

    /// Starts the bundle with some parameters set, and creates an account.
    pub async fn with_account<'a>(own: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Self, Account) {
        let bundle = Self::start_with(own).await;
        let account = bundle.account().await;
        (bundle, account)
    }

    /// Starts the bundle with some parameters set, and creates an account that has a webhook at a path of the receiver.
    pub async fn with_webhook<'a>(
        own: impl IntoIterator<Item = (&'a str, &'a str)>,
        path: &str,
        items: &[&str],
    ) -> (Self, Account, Webhook) {
        let (bundle, account) = Self::with_account(own).await;
        let webhook = bundle.webhook(&account, path, items).await;
        (bundle, account, webhook)
    }

    /// Creates an account.
    pub async fn account(&self) -> Account {
        self.client.account().await
    }

    /// Creates a webhook at a path of the receiver, which learns its secret.
    pub async fn webhook(&self, account: &Account, path: &str, items: &[&str]) -> Webhook {
        self.webhook_with(account, json!({"url": self.receiver.url(path), "items": items})).await
    }

    /// Creates a webhook at a path of the receiver, with further settings.
    pub async fn webhook_set(&self, account: &Account, path: &str, items: &[&str], more: Value) -> Webhook {
        let mut settings = json!({"url": self.receiver.url(path), "items": items});
        settings.as_object_mut().expect("settings").extend(more.as_object().expect("settings").clone());
        self.webhook_with(account, settings).await
    }

    /// Creates a webhook, and tells the receiver its secret.
    pub async fn webhook_with(&self, account: &Account, settings: Value) -> Webhook {
        let webhook = self.client.webhook(account, settings).await;
        self.receiver.add_secret(&webhook.secret).expect("a webhook's secret is one");
        webhook
    }

    /// Sends an item, which must be accepted, and answers its id.
    pub async fn send(&self, account: &Account, path: &str, body: impl Into<Bytes>) -> String {
        let reply = self.client.post(path, &account.key, body).await.with_status(202);
        reply.json()["id"].as_str().expect("an id").to_owned()
    }

    /// Sends a number of items of a type in one request, which must accept all, and answers their ids.
    pub async fn send_many(&self, account: &Account, item_type: &str, count: usize) -> Vec<String> {
        self.send_lines(account, item_type, (0..count).map(|n| json!({"n": n})).collect()).await
    }

    /// The same, but each delivery travels in a message of its own: the items have a character that SQS does not allow.
    pub async fn send_apart(&self, account: &Account, item_type: &str, count: usize) -> Vec<String> {
        self.send_lines(
            account,
            item_type,
            (0..count).map(|n| json!({"n": n, "apart": "\u{ffff}"})).collect(),
        )
        .await
    }

    async fn send_lines(&self, account: &Account, item_type: &str, items: Vec<Value>) -> Vec<String> {
        let count = items.len();
        let line = |item| format!("{}\n", json!({"type": item_type, "item": item}));
        let body: String = items.into_iter().map(line).collect();
        let authorization = format!("Bearer {}", account.key);
        let headers = [("authorization", authorization.as_str())];
        let reply = self.client.request(http::Method::POST, "/bots/b/items", &headers, body).await;
        let reply = reply.with_status(202).json();
        let results = reply["results"].as_array().expect("results");
        let ids: Vec<_> = results.iter().filter_map(|line| line["id"].as_str().map(str::to_owned)).collect();
        let refused: Vec<_> = results.iter().filter(|line| line.get("error").is_some()).collect();
        assert!(ids.len() == count, "{refused:?}; the functions said: {:#?}", self.complaints());
        ids
    }

    /// Connects a page that the stand-in for Facebook has from now on; each number is another page.
    pub async fn facebook_page(&self, account: &Account, number: usize) {
        let (id, token) = (format!("7{number:06}"), format!("EAAB-planted-{number}"));
        self.networks.connect(Network::Facebook, &id, &token);
        let given = json!({"network": "facebook", "network_id": id, "name": "p", "access_token": token});
        self.client.post("/pages", &account.key, given.to_string()).await.with_status(201);
    }

    /// What the status of a webhook says of an item type.
    pub async fn status(&self, account: &Account, webhook: &Webhook, item_type: &str) -> Value {
        blocks::status(&self.client, account, webhook, item_type).await
    }

    /// Changes a webhook, and answers it as it is then.
    pub async fn patch(&self, account: &Account, webhook: &Webhook, change: &Value) -> Value {
        let path = format!("/webhooks/{}", webhook.id);
        self.client.patch(&path, &account.key, change).await.with_status(200).json()
    }

    /// Enables a webhook, or disables it.
    pub async fn set_enabled(&self, account: &Account, webhook: &Webhook, enabled: bool) {
        self.patch(account, webhook, &json!({"enabled": enabled})).await;
    }

    /// Waits until a table has this number of items.
    ///
    /// # Panics
    /// Where it does not come to have them.
    pub async fn until_items(&self, table: &str, count: usize) {
        let came = comes_true(async || {
            dynamodb::scan(self, table).await.iter().filter(|row| row.get("item").is_some()).count() == count
        });
        assert!(came.await, "{table} did not come to have {count} items: {:#?}", self.complaints());
    }

    /// How many complaints of the functions hold a text.
    #[must_use]
    pub fn complained(&self, text: &str) -> usize {
        self.complaints().iter().filter(|line| line.contains(text)).count()
    }

    /// Runs a tick now.
    pub async fn tick(&self) -> Value {
        let invocation =
            self.stack.invoke("CollectFunction", Bytes::from_static(b"{}")).await.expect("it is invoked");
        assert!(!invocation.function_error, "{}", String::from_utf8_lossy(&invocation.payload));
        self.client.heard().note("what a tick answered", invocation.payload.clone());
        serde_json::from_slice(&invocation.payload).expect("a tick answers JSON")
    }

    /// Moves the time forward, when the functions have done what the queues hand out now: a message that is being
    /// deleted while its visibility timeout passes would come a second time. Messages that a test keeps in flight (by
    /// a receiver that hangs, or a function that fails) are waited for [`AT_REST`], and the time is moved all the same.
    pub async fn advance(&self, by: Duration) {
        if !self.rest(AT_REST).await {
            println!("the time is moved by {by:?} with messages in flight");
        }
        self.stack.clock().advance(by);
    }

    /// Waits until no queue that wakes a function has anything to hand out or in flight. False where that did not
    /// come about within `limit` of the machine's time.
    pub async fn rest(&self, limit: Duration) -> bool {
        let at_rest = async {
            while !is_at_rest(&self.stack).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(limit, at_rest).await.is_ok()
    }

    /// Waits until no queue that wakes a function has anything to hand out or in flight, which must come about within
    /// four minutes: what a function answered as failed is invisible for three.
    pub async fn until_rest(&self) {
        if self.rest(Duration::from_secs(240)).await {
            return;
        }
        panic!("messages stay in flight; the functions said: {:#?}", self.complaints());
    }

    /// How many requests a path has had when nothing is under way any more. So a test shows that nothing more arrives:
    /// what only waited for a while would miss what a busy machine sends later.
    pub async fn count_at_rest(&self, path: &str) -> u64 {
        self.until_rest().await;
        self.receiver.count(path)
    }

    /// What the functions logged above the level of information.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let functions = ["IngestFunction", "DeliverFunction", "CollectFunction", "ManageFunction"];
        let lines = functions.iter().flat_map(|function| self.logs.of(function));
        let lines = lines.filter(|line| !line.contains("\"INFO\""));
        lines.chain(self.stack.refused_calls().iter().map(ToString::to_string)).collect()
    }

    /// Stops everything, and asserts that no function called what its policies in the template do not allow, and that
    /// nothing that came out has a secret in it (see the module `looking`).
    pub async fn stop(self) {
        let leaks = self.leaks().await;
        let (search, logs) = (self.search(), self.logs.clone());
        self.halt().await;
        assert!(leaks.is_empty(), "secrets came out: {leaks:#?}");
        let mut leaks = Vec::new();
        looking::at_logs(&search, &logs, &mut leaks);
        assert!(leaks.is_empty(), "secrets came out in the end: {leaks:#?}");
    }

    /// The same, but nobody looks for secrets.
    pub async fn halt(self) {
        let refused = self.stack.refused_calls();
        grants::note(&self.stack);
        self.stack.stop().await;
        self.receiver.stop().await;
        self.networks.stop().await;
        assert!(refused.is_empty(), "the template does not allow: {refused:#?}");
    }
}

/// A clock of the machine's time, for a test beside a program that knows no other: the stack's program, or a library
/// that verifies signatures.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "whoever asks for this compares times with another program's")]
pub fn machine_clock() -> Clock {
    Clock::system()
}

/// Whether no queue that wakes a function has anything to hand out or in flight. The queues are looked at one after
/// another, and twice: what one function did may have been sent to a queue that was looked at before.
pub(crate) async fn is_at_rest(stack: &Stack) -> bool {
    for mapping in stack.template().queue_mappings.iter().chain(&stack.template().queue_mappings) {
        let queue = stack.queues().describe_queue(&mapping.queue).await.expect("a queue of the template");
        if queue.counts.visible > 0 || queue.counts.in_flight > 0 {
            return false;
        }
    }
    true
}

/// A receiver on a free port.
pub async fn receiver(clock: Clock) -> Receiver {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    Receiver::start(listener, Options { clock, ..Options::default() }).expect("a receiver")
}

/// The networks' stand-ins on a free port.
pub async fn networks(clock: Clock) -> Networks {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    Networks::start(listener, clock).expect("stand-ins")
}

/// Asserts that a reply is a problem of this status and kind, and answers it.
pub fn assert_problem(reply: &Reply, status: u16, kind: &str) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{}", reply.text());
    let problem = reply.json();
    assert_eq!(problem["type"], format!("/docs/problems/{kind}"), "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert!(problem["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    problem
}

/// The tables, past the functions.
pub mod dynamodb {
    use serde_json::{Value, json};

    use crate::{Bundle, aws_call};

    /// Calls the tables' service.
    pub async fn call(bundle: &Bundle, action: &str, request: &Value) -> Value {
        aws_call(&bundle.stack.addresses().dynamodb, &format!("DynamoDB_20120810.{action}"), request).await
    }

    /// All rows of a table, in DynamoDB's own JSON.
    pub async fn scan(bundle: &Bundle, table: &str) -> Vec<Value> {
        scan_at(&bundle.stack.addresses().dynamodb, table).await
    }

    /// All rows of a table of the DynamoDB at this address.
    pub async fn scan_at(address: &str, table: &str) -> Vec<Value> {
        let (mut rows, mut request) = (Vec::new(), json!({"TableName": table}));
        loop {
            let mut answer = call_at(address, "Scan", &request).await;
            rows.extend(answer["Items"].as_array().unwrap_or_else(|| panic!("{answer}")).iter().cloned());
            match answer["LastEvaluatedKey"].take() {
                Value::Null => return rows,
                last => request["ExclusiveStartKey"] = last,
            }
        }
    }

    /// Calls the DynamoDB at this address.
    pub async fn call_at(address: &str, operation: &str, request: &Value) -> Value {
        aws_call(address, &format!("DynamoDB_20120810.{operation}"), request).await
    }

    /// The rows of one partition, read consistently, in DynamoDB's own JSON.
    pub async fn query(bundle: &Bundle, table: &str, partition: &str) -> Vec<Value> {
        let address = bundle.stack.addresses().dynamodb.clone();
        let request = json!({
            "TableName": table,
            "ConsistentRead": true,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": partition}},
        });
        let answer = aws_call(&address, "DynamoDB_20120810.Query", &request).await;
        answer["Items"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
    }
}

/// The queues, past the functions.
pub mod sqs {
    use serde_json::Value;

    use crate::{Bundle, aws_call};

    /// Calls the queues' service.
    pub async fn call(bundle: &Bundle, action: &str, request: &Value) -> Value {
        aws_call(&bundle.stack.addresses().sqs, &format!("AmazonSQS.{action}"), request).await
    }
}

async fn aws_call(address: &str, target: &str, request: &Value) -> Value {
    // Nobody checks the signature, but one has to be there.
    let signature = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/service/aws4_request, \
                     SignedHeaders=host, Signature=00";
    let headers = [
        ("x-amz-target", target),
        ("content-type", "application/x-amz-json-1.0"),
        ("authorization", signature),
        ("x-amz-date", "20260101T000000Z"),
    ];
    let client = Client::new(address);
    let reply = client.request(http::Method::POST, "/", &headers, request.to_string()).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply.json()
}
