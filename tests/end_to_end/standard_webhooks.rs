//! The official Standard Webhooks libraries of three languages on real deliveries, before, during and after rotations;
//! and `v1a` by implementations of ed25519 that are not the one that signs.
//!
//! Python and JavaScript run what `docs/receiving.md` shows for them, and nothing else decides; the Rust that it shows
//! is [`is_genuine`] below.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carteiro_receiver::{Answer, Behaviour, Delivery};
use carteiro_tests::{Account, Bundle, SOON, machine_clock, tools};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::documentation::{run, snippet};

const HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// One delivery to verify with one key.
#[derive(Clone, Debug)]
struct Case {
    /// `whsec_…`, for the library, or `whpk_…`, for another implementation of ed25519.
    key: String,
    headers: [String; 3],
    body: Vec<u8>,
    /// The receiver's time in Unix seconds, where it is not the machine's.
    now: Option<i64>,
}

/// What verifies.
enum Verifier {
    /// The crate `standardwebhooks`.
    Rust,
    /// The package `standardwebhooks` of the Python package index, and `cryptography`.
    Python(PathBuf),
    /// The package `standardwebhooks` of npm, and Node's own `crypto`. It makes the command.
    JavaScript(fn() -> Option<Command>),
}

impl Verifier {
    fn knows_v1a(&self) -> bool {
        !matches!(self, Self::Rust)
    }

    /// Whether each case is genuine.
    async fn verdicts(&self, cases: &[Case]) -> Vec<bool> {
        match self {
            Self::Rust => cases.iter().map(by_the_crate).collect(),
            Self::Python(python) => {
                let mut python = Command::new(python);
                python.arg("-").env("PYTHONUTF8", "1");
                verdicts_of(python, python_script(), cases).await
            }
            Self::JavaScript(node) => verdicts_of(node().unwrap(), javascript(), cases).await,
        }
    }
}

/// As `docs/receiving.md` shows it.
fn is_genuine(secret: &str, headers: &http::HeaderMap, body: &[u8]) -> bool {
    let webhook = standardwebhooks::Webhook::new(secret);
    webhook.is_ok_and(|webhook| webhook.verify(body, headers).is_ok())
}

fn by_the_crate(case: &Case) -> bool {
    let [id, timestamp, signature] = &case.headers;
    let Some(now) = case.now else {
        let values = case.headers.iter().map(|value| HeaderValue::from_str(value).unwrap());
        let names = HEADERS.map(http::HeaderName::from_static);
        return is_genuine(&case.key, &http::HeaderMap::from_iter(names.into_iter().zip(values)), &case.body);
    };
    // The crate takes the machine's time and no other, so the signature that it makes itself is looked for.
    let timestamp: i64 = timestamp.parse().unwrap();
    let own = standardwebhooks::Webhook::new(&case.key).unwrap().sign(id, timestamp, &case.body).unwrap();
    now.abs_diff(timestamp) <= 300 && signature.split(' ').any(|one| one == own)
}

/// The document's two functions, with a clock that can be set, over the cases.
fn python_script() -> String {
    let library = snippet("python", "from standardwebhooks import");
    let public_key = snippet("python", "def genuine_by_public_key(");
    format!(
        r#"
import base64, datetime, json, time
import standardwebhooks.webhooks
{library}
{public_key}
machine_time, machine_datetime = time.time, datetime.datetime

class Clock(machine_datetime):
    @classmethod
    def now(cls, tz=None):
        return machine_datetime.fromtimestamp(time.time(), tz)

standardwebhooks.webhooks.datetime = Clock
verdicts = []
for case in json.loads(base64.b64decode(CASES)):
    time.time = machine_time if case["now"] is None else lambda: case["now"]
    body, headers = base64.b64decode(case["body"]), case["headers"]
    if case["key"].startswith("whpk_"):
        verdicts.append(genuine_by_public_key(case["key"], headers, body))
    else:
        try:
            verdicts.append(verified(case["key"], headers, body) == json.loads(body))
        except WebhookVerificationError:
            verdicts.append(False)
print(json.dumps(verdicts))
"#
    )
}

fn javascript() -> String {
    let library = snippet("js", "require(\"standardwebhooks\")");
    let public_key = snippet("js", "function genuineByPublicKey(");
    format!(
        r#"
{library}
{public_key}
const {{ WebhookVerificationError }} = require("standardwebhooks");
const assert = require("node:assert");
const machineTime = Date.now;
const verdicts = JSON.parse(Buffer.from(CASES, "base64")).map(item => {{
  Date.now = item.now === null ? machineTime : () => item.now * 1000;
  const body = Buffer.from(item.body, "base64");
  if (item.key.startsWith("whpk_")) return genuineByPublicKey(item.key, item.headers, body);
  try {{
    assert.deepStrictEqual(verified(item.key, item.headers, body), JSON.parse(body.toString()));
    return true;
  }} catch (error) {{
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }}
}});
console.log(JSON.stringify(verdicts));
"#
    )
}

/// Runs a script that reads the cases from `CASES`, and answers what it says of each.
async fn verdicts_of(program: Command, script: String, cases: &[Case]) -> Vec<bool> {
    let told = cases.iter().map(|case| {
        let headers =
            HEADERS.iter().zip(&case.headers).map(|(name, value)| ((*name).to_owned(), json!(value)));
        json!({
            "key": case.key,
            "headers": Value::Object(headers.collect()),
            "body": STANDARD.encode(&case.body),
            "now": case.now,
        })
    });
    let told = STANDARD.encode(Value::Array(told.collect()).to_string());
    let output = run(program, format!("{}\n", script.replace("CASES", &format!("\"{told}\"")))).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let verdicts: Vec<bool> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdicts.len(), cases.len());
    verdicts
}

/// A webhook under way through its rotations.
struct Journey {
    bundle: Bundle,
    account: Account,
    webhook: String,
    verifier: Verifier,
    /// How far the stack's time is from the machine's.
    is_moved: bool,
}

/// A secret and a public key that were given out together.
#[derive(Clone)]
struct Pair {
    secret: String,
    public_key: String,
}

impl Pair {
    fn of(answer: &Value) -> Self {
        let text = |field: &str| answer[field].as_str().unwrap().to_owned();
        Self { secret: text("secret"), public_key: text("public_key") }
    }
}

impl Journey {
    async fn rotate(&self, how: Value) -> Pair {
        let path = format!("/webhooks/{}/secret", self.webhook);
        let answer = self.bundle.client.post(&path, &self.account.key, how.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Pair::of(&answer.json())
    }

    /// Sends one item of each kind that a library could stumble over, and answers how they arrived.
    async fn deliveries(&self) -> Vec<Arc<Delivery>> {
        let mut arrived = Vec::new();
        for body in [
            r#"{"text":"hello"}"#.to_owned(),
            "{ \"text\" : \"Olá, São Paulo 🙏 \\u00e9\" ,\r\n\t\"n\": 1.0 }\n".to_owned(),
            json!({"text": "x".repeat(20_000)}).to_string(),
        ] {
            let id = self.bundle.send(&self.account, "/bots/b/events", body.clone()).await;
            let is_it = |delivery: &Delivery| delivery.webhook_id() == Some(id.as_str());
            let delivery = self.bundle.receiver.wait_for(is_it, SOON).await.unwrap();
            assert_eq!(delivery.body, body.as_bytes());
            assert!(!id.contains('.'), "{id}");
            arrived.push(delivery);
        }
        arrived
    }

    fn case(&self, key: &str, delivery: &Delivery) -> Case {
        let headers = HEADERS.map(|name| delivery.header(name).unwrap().to_owned());
        let now = i64::try_from(self.bundle.stack.clock().now_ms() / 1000).unwrap();
        Case { key: key.to_owned(), headers, body: delivery.body.to_vec(), now: self.is_moved.then_some(now) }
    }

    /// Asserts that deliveries are genuine by some keys, by those alone, and in no altered form.
    async fn expect(&self, deliveries: &[Arc<Delivery>], genuine: &[&Pair], over: &[&Pair]) {
        let mut cases = Vec::new();
        for delivery in deliveries {
            for (pairs, is_genuine) in [(genuine, true), (over, false)] {
                for pair in pairs {
                    let keys = [&pair.secret, &pair.public_key];
                    for key in &keys[..if self.verifier.knows_v1a() { 2 } else { 1 }] {
                        let case = self.case(key, delivery);
                        cases.extend(altered(&case).into_iter().map(|altered| (altered, false)));
                        cases.push((case, is_genuine));
                    }
                }
            }
        }
        let (cases, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
        let verdicts = self.verifier.verdicts(&cases).await;
        for ((case, verdict), expected) in cases.iter().zip(verdicts).zip(expected) {
            assert_eq!(verdict, expected, "{} {:?} at {:?}", &case.key[..6], case.headers, case.now);
        }
    }
}

/// The same with one thing changed.
fn altered(case: &Case) -> Vec<Case> {
    let with_header = |at: usize, value: String| {
        let mut altered = case.clone();
        altered.headers[at] = value;
        altered
    };
    let [id, timestamp, signature] = &case.headers;
    let later = timestamp.parse::<i64>().unwrap() + 1;
    let mut body = case.body.clone();
    // Still JSON, so that nothing but the signature tells.
    body.insert(1, b' ');
    vec![
        Case { body, ..case.clone() },
        with_header(0, format!("{id}0")),
        with_header(1, later.to_string()),
        with_header(2, signature.split(' ').map(swapped).collect::<Vec<_>>().join(" ")),
    ]
}

/// A signature with its first letter changed.
fn swapped(signature: &str) -> String {
    let (version, encoded) = signature.split_once(',').unwrap();
    let first = if encoded.starts_with('A') { 'B' } else { 'A' };
    format!("{version},{first}{}", &encoded[1..])
}

/// The vector that Svix publishes for `v1`, and the core signs alike.
fn published() -> (Case, Case) {
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let at = 1_614_265_330;
    let case = Case {
        key: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        headers: ["msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(), at.to_string(), signature.to_owned()],
        body: br#"{"test": 2432232314}"#.to_vec(),
        now: Some(at),
    };
    let late = Case { now: Some(at + 301), ..case.clone() };
    (case, late)
}

async fn verifies_through_rotations(verifier: Verifier) {
    let (case, late) = published();
    assert_eq!(verifier.verdicts(&[case, late]).await, [true, false]);

    // The libraries compare times with the machine's, until its time is moved.
    let bundle = Bundle::start_on(machine_clock(), []).await;
    let account = bundle.account().await;
    let settings = json!({"url": bundle.receiver.url("/here"), "items": ["event"], "key_pair": true});
    let created = bundle.client.post("/webhooks", &account.key, settings.to_string()).await.json();
    let webhook = created["id"].as_str().unwrap().to_owned();
    let mut journey = Journey { bundle, account, webhook, verifier, is_moved: false };

    // Before, and of a second attempt, which has a time of its own.
    let first = Pair::of(&created);
    let stranger = Pair {
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        public_key: "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".to_owned(),
    };
    let failing = Answer::status(StatusCode::SERVICE_UNAVAILABLE);
    let once = Behaviour::sequence([failing], Answer::status(StatusCode::OK));
    journey.bundle.receiver.set_behaviour("/here", once);
    let mut deliveries = journey.deliveries().await;
    let again = journey.bundle.receiver.wait_for(|delivery| delivery.attempt() == Some(2), SOON).await;
    let again = again.unwrap();
    assert_eq!(again.webhook_id(), deliveries[0].webhook_id());
    let [one, two] = [&deliveries[0], &again].map(|one| one.header("webhook-timestamp").unwrap().to_owned());
    assert!(one < two, "{one} {two}");
    deliveries.push(again);
    journey.expect(&deliveries, &[&first], &[&stranger]).await;

    // During a rotation, and after one that left no overlap.
    let second = journey.rotate(json!({"key_pair": true})).await;
    let deliveries = journey.deliveries().await;
    journey.expect(&deliveries, &[&first, &second], &[&stranger]).await;
    let third = journey.rotate(json!({"key_pair": true, "overlap_seconds": 0})).await;
    let deliveries = journey.deliveries().await;
    journey.expect(&deliveries, &[&third], &[&first, &second]).await;

    // Until 24 hours after a rotation, and no longer.
    let fourth = journey.rotate(json!({"key_pair": true})).await;
    journey.bundle.advance(Duration::from_secs(24 * 3600 - 600)).await;
    journey.is_moved = true;
    let deliveries = journey.deliveries().await;
    journey.expect(&deliveries, &[&third, &fourth], &[&first, &second]).await;
    journey.bundle.advance(Duration::from_secs(600)).await;
    let deliveries = journey.deliveries().await;
    journey.expect(&deliveries, &[&fourth], &[&first, &second, &third]).await;
    journey.bundle.stop().await;
}

#[tokio::test]
async fn the_rust_library_verifies_deliveries_through_rotations() {
    let shown = snippet("rust", "standardwebhooks::");
    assert!(include_str!("standard_webhooks.rs").contains(&shown), "{shown}");
    verifies_through_rotations(Verifier::Rust).await;
}

#[tokio::test]
async fn the_python_library_verifies_deliveries_through_rotations() {
    let Some(python) = tools::python_with("standardwebhooks, cryptography") else { return };
    verifies_through_rotations(Verifier::Python(python)).await;
}

#[tokio::test]
async fn the_node_library_verifies_deliveries_through_rotations() {
    let node = || tools::node_with("standardwebhooks");
    if node().is_none() {
        return;
    }
    verifies_through_rotations(Verifier::JavaScript(node)).await;
}
