//! The start of each function: until it first asks the Runtime API for work, and until its first invocation has ended,
//! with a first call to AWS over TLS. Beside it, by turns, a function that does nothing.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carteiro_local::Template;
use carteiro_tests::{optimised, parameters, workspace};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::process::peak_memory_kib;
use crate::tls_server::TlsServer;

const RUNS: usize = 25;

/// A program, how it is started, and its first event.
struct Started {
    name: &'static str,
    binary: PathBuf,
    environment: BTreeMap<String, String>,
    event: String,
}

/// One run of it.
struct Run {
    first_poll: Duration,
    first_end: Duration,
    peak_kib: u64,
}

#[expect(clippy::disallowed_methods, reason = "a duration is measured, no time is read")]
fn begin() -> Instant {
    Instant::now()
}

impl Started {
    async fn run(&self) -> Run {
        let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut command = Command::new(&self.binary);
        command.env_clear().envs(&self.environment).stdin(Stdio::null()).stdout(Stdio::null());
        command.env("AWS_LAMBDA_RUNTIME_API", api.local_addr().unwrap().to_string()).kill_on_drop(true);
        let began = begin();
        let mut child = command.spawn().unwrap();
        let (mut connection, _) = api.accept().await.unwrap();
        assert!(next_request(&mut connection).await.contains("/invocation/next"), "{}", self.name);
        let first_poll = began.elapsed();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nlambda-runtime-aws-request-id: id\r\n\
             lambda-runtime-deadline-ms: 4102444800000\r\nlambda-runtime-invoked-function-arn: arn\r\n\
             lambda-runtime-trace-id: trace\r\ncontent-length: {}\r\n\r\n",
            self.event.len()
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(self.event.as_bytes()).await.unwrap();
        let answered = next_request(&mut connection).await;
        let first_end = began.elapsed();
        assert!(answered.contains("/invocation/id/response"), "{}: {answered}", self.name);
        let peak_kib = peak_memory_kib(child.id().unwrap());
        child.kill().await.unwrap();
        Run { first_poll, first_end, peak_kib }
    }
}

/// Reads a request, and answers what it says from its beginning on.
async fn next_request(connection: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
            if (!chunked && body.len() >= length.unwrap_or(0)) || (chunked && body.ends_with("0\r\n\r\n")) {
                return text.into_owned();
            }
        }
        let mut part = [0; 4096];
        let bytes = connection.read(&mut part).await.unwrap();
        assert!(bytes > 0, "the function ended: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&part[..bytes]);
    }
}

/// Tables without a row, and queues that take everything.
fn nothing_there(request: &http::request::Parts) -> &'static str {
    let target =
        request.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    match target.rsplit('.').next().unwrap_or_default() {
        "Query" | "Scan" => r#"{"Items":[],"Count":0,"ScannedCount":0}"#,
        "BatchGetItem" => r#"{"Responses":{},"UnprocessedKeys":{}}"#,
        "GetQueueAttributes" => r#"{"Attributes":{"ApproximateNumberOfMessages":"0"}}"#,
        _ => "{}",
    }
}

/// A request whose key nobody has.
fn request(route: &str, path: &str) -> String {
    json!({
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"authorization": format!("Bearer key_{}", "0".repeat(64)), "host": "api.example"},
        "requestContext": {
            "accountId": "0",
            "apiId": "a",
            "domainName": "api.example",
            "domainPrefix": "api",
            "http": {
                "method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t"
            },
            "requestId": "r",
            "routeKey": route,
            "stage": "$default",
            "time": "24/Nov/2026:10:07:00 +0000",
            "timeEpoch": 1_795_514_820_000_u64,
        },
        "isBase64Encoded": false,
    })
    .to_string()
}

/// A delivery of a webhook that is not there.
fn delivery() -> String {
    let text = |text: &str| json!({"stringValue": text, "dataType": "String"});
    let (id, at) = ("0198c0a1b2c3d4e5f60718293a4b5c6d", "1795514820000");
    let record = json!({
        "messageId": "m",
        "receiptHandle": "r",
        "body": "{}",
        "attributes": {"SentTimestamp": "1795514820000", "ApproximateReceiveCount": "1"},
        "messageAttributes": {
            "account": text(&format!("acc_{id}")),
            "webhook": text(&format!("wh_{id}")),
            "item": text(&format!("item_{id}")),
            "type": text("event"),
            "source": text("bot:b"),
            "accepted_at": text(at),
            "attempt": text("1"),
            "revision": text("1"),
            "encoding": text("text"),
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:DeliverQueue",
        "awsRegion": "us-east-1",
    });
    json!({ "Records": [record] }).to_string()
}

fn all(binaries: &Path, aws: &TlsServer) -> Vec<Started> {
    let template =
        Template::read(&workspace().join("template.yaml"), &parameters([]), "http://127.0.0.1:1").unwrap();
    let common = BTreeMap::from([
        ("AWS_ACCESS_KEY_ID", "a".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "s".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", aws.url(None)),
        ("AWS_ENDPOINT_URL_SQS", aws.url(None)),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "g".to_owned()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "s".to_owned()),
        ("SSL_CERT_FILE", aws.roots().display().to_string()),
    ]);
    let common: BTreeMap<String, String> =
        common.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let bare = |name: &'static str| Started {
        name,
        binary: binaries.join(name),
        environment: common
            .clone()
            .into_iter()
            .chain([
                ("AWS_LAMBDA_FUNCTION_NAME".to_owned(), name.to_owned()),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE".to_owned(), "256".to_owned()),
            ])
            .collect(),
        event: "{}".to_owned(),
    };
    let function = |name: &'static str, event: String| {
        let function = template.functions.values().find(|function| function.binary == name).unwrap();
        let own = [
            ("AWS_LAMBDA_FUNCTION_NAME".to_owned(), function.name.clone()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE".to_owned(), function.memory_mb.to_string()),
        ];
        let environment = common.clone().into_iter().chain(function.environment.clone()).chain(own).collect();
        Started { name, binary: binaries.join(name), environment, event }
    };
    vec![
        bare("bare_function"),
        bare("bare_function_with_tls"),
        function(
            "ingest",
            request("POST /bots/{bot}/events", "/bots/b/events").replace("\"GET\"", "\"POST\""),
        ),
        function("deliver", delivery()),
        function("collect", "{}".to_owned()),
        function("manage", request("GET /webhooks", "/webhooks")),
    ]
}

fn median(mut of: Vec<f64>) -> (f64, f64) {
    of.sort_by(f64::total_cmp);
    (of[0], of[of.len() / 2])
}

fn zipped_mb(binary: &Path) -> f64 {
    let mut zipped = DeflateEncoder::new(Vec::new(), Compression::default());
    zipped.write_all(&std::fs::read(binary).unwrap()).unwrap();
    f64::from(u32::try_from(zipped.finish().unwrap().len()).unwrap()) / 1e6
}

/// `cargo test -p carteiro-tests --test benchmarks start -- --ignored --nocapture`
#[tokio::test]
#[ignore = "builds the functions optimised, which takes minutes"]
async fn start_of_each_function_beside_a_bare_one() {
    let binaries = optimised().await;
    let aws = TlsServer::start(0, true, Arc::new(nothing_there)).await;
    let started = all(&binaries, &aws);
    let mut runs: Vec<Vec<Run>> = started.iter().map(|_| Vec::new()).collect();
    for _ in 0..RUNS {
        for (each, runs) in started.iter().zip(&mut runs) {
            runs.push(each.run().await);
        }
    }
    println!(
        "| function | first poll, ms: least, median | times bare | first invocation's end, ms: least, median | MB at its peak | MB zipped |"
    );
    println!("|---|---|---|---|---|---|");
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let polls = |runs: &[Run]| median(runs.iter().map(|run| ms(run.first_poll)).collect());
    let bare = polls(&runs[0]);
    let mut shown: BTreeMap<&str, Value> = BTreeMap::new();
    for (each, runs) in started.iter().zip(&runs) {
        let (least, middle) = polls(runs);
        let (least_end, middle_end) = median(runs.iter().map(|run| ms(run.first_end)).collect());
        let peak = runs.iter().map(|run| run.peak_kib).max().unwrap() / 1024;
        let (zipped, ratio) = (zipped_mb(&each.binary), least / bare.0);
        println!(
            "| {} | {least:.1}, {middle:.1} | {ratio:.2} | {least_end:.1}, {middle_end:.1} | {peak} | {zipped:.2} |",
            each.name
        );
        shown.insert(each.name, json!({"least": least, "zipped": zipped}));
    }
    let least = |name: &str| shown[name]["least"].as_f64().unwrap();
    let bound = 1.5 * least("bare_function") + least("bare_function_with_tls") - least("bare_function");
    for name in ["ingest", "deliver", "collect", "manage"] {
        let zipped = shown[name]["zipped"].as_f64().unwrap();
        println!("{name}: {:.1} ms of {bound:.1}; {zipped:.2} MB of 4", least(name));
    }
}
