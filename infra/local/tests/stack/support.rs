//! What the tests share: a stack on the fixture, an HTTP client, and patience.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use carteiro_clock::testing;
use carteiro_local::{Data, Invocation, LogLines, LogSink, Ports, Stack, StackOptions};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// How long something may take that takes no time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    pub(crate) stack: Stack,
    pub(crate) lines: LogLines,
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The folder of the examples' binaries, beside this test's own.
pub(crate) fn functions() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.parent().and_then(Path::parent).unwrap().join("examples")
}

pub(crate) fn options(lines: &LogLines) -> StackOptions {
    StackOptions {
        template: fixture("bundle.yaml"),
        parameters: BTreeMap::new(),
        ports: Ports::Free,
        data: Data::Memory,
        functions: functions(),
        clock: testing::clock(),
        function_logs: LogSink::Collect(lines.clone()),
        schedules: false,
    }
}

pub(crate) async fn start() -> Running {
    start_with(|_| {}).await
}

pub(crate) async fn start_with(change: impl FnOnce(&mut StackOptions)) -> Running {
    let lines = LogLines::default();
    let mut options = options(&lines);
    change(&mut options);
    Running { stack: Stack::start(options).await.unwrap(), lines }
}

impl Running {
    pub(crate) async fn invoke(&self, function: &str, payload: &Value) -> Invocation {
        self.stack.invoke(function, payload.to_string().into()).await.unwrap()
    }

    /// The answer as JSON, which must not be an error.
    pub(crate) async fn ask(&self, function: &str, payload: &Value) -> Value {
        let invocation = self.invoke(function, payload).await;
        assert!(!invocation.function_error, "{invocation:?}");
        json(&invocation.payload)
    }

    /// What the invocations of a function logged when they ended.
    pub(crate) fn ended(&self, function: &str) -> Vec<Value> {
        let lines = self.lines.of(function);
        lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Value| line["ended"].is_u64())
            .collect()
    }

    /// Waits until the invocations that ended satisfy `enough`.
    pub(crate) async fn wait_for(&self, function: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        until(|| {
            let ended = self.ended(function);
            std::future::ready(enough(&ended).then_some(ended))
        })
        .await
    }

    pub(crate) async fn send(&self, queue: &str, body: &Value) -> String {
        let message = carteiro_sqs::SendMessage::new(body.to_string());
        self.stack.queues().send(queue, message).await.unwrap().message_id
    }

    /// Messages of a queue: visible, in flight.
    pub(crate) async fn counts(&self, queue: &str) -> (usize, usize) {
        let counts = self.stack.queues().describe_queue(queue).await.unwrap().counts;
        (counts.visible, counts.in_flight)
    }

    pub(crate) async fn wait_for_counts(&self, queue: &str, expected: (usize, usize)) {
        let found = until_or_last(|| async {
            let counts = self.counts(queue).await;
            if counts == expected { Ok(counts) } else { Err(counts) }
        })
        .await;
        assert_eq!(found, Ok(expected), "{queue}");
    }

    /// The next message of a queue.
    pub(crate) async fn receive(&self, queue: &str) -> carteiro_sqs::ReceivedMessage {
        until(|| async {
            let request = carteiro_sqs::ReceiveRequest::default();
            self.stack.queues().receive(queue, request).await.unwrap().pop()
        })
        .await
    }
}

/// Tries until there is something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(attempt: impl Fn() -> F) -> T {
    let tried = until_or_last(|| async { attempt().await.ok_or(()) }).await;
    assert!(tried.is_ok(), "it did not happen within {PATIENCE:?}");
    tried.unwrap_or_else(|()| unreachable!())
}

async fn until_or_last<T, E, F: Future<Output = Result<T, E>>>(attempt: impl Fn() -> F) -> Result<T, E> {
    let mut waited = Duration::ZERO;
    let pause = Duration::from_millis(5);
    loop {
        match attempt().await {
            Err(_) if waited < PATIENCE => {
                tokio::time::sleep(pause).await;
                waited += pause;
            }
            result => return result,
        }
    }
}

pub(crate) fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

pub(crate) async fn send(request: Request<Bytes>) -> Response<Bytes> {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request.map(Full::new)).await.unwrap();
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

pub(crate) async fn get(url: String) -> Response<Bytes> {
    send(Request::get(url).body(Bytes::new()).unwrap()).await
}

/// A request that tells the function what to do.
pub(crate) fn told(path: &str, instruction: &Value) -> String {
    let encoded =
        percent_encoding::utf8_percent_encode(&instruction.to_string(), percent_encoding::NON_ALPHANUMERIC)
            .to_string();
    format!("{path}?do={encoded}")
}
