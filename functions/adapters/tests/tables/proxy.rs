//! A proxy in front of the database for one streak, which loses and refuses calls as the network and the service do.
//!
//! It passes on one call at a time and reads the row after every write: its history is the order of the effects, with
//! every state that the row ever had.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::streak::{StreakKey, StreakTable};
use carteiro_core::transition::Row;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

use crate::database::{STREAKS, client, embedded};

/// How late a call is passed on whose caller has gone.
const LATE: Duration = Duration::from_millis(4);

/// The fate of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is passed on, and answered.
    Proceed,
    /// It is throttled; nothing is done.
    Throttle,
    /// A transaction is cancelled, for one of its tables is throttled; nothing is done.
    Cancel,
    /// Nothing is done, and the answer is an internal error.
    FailBefore,
    /// It is passed on, and the answer is an internal error.
    FailAfter,
    /// Nothing is done, and the connection breaks.
    DropBefore,
    /// It is passed on, and the connection breaks.
    DropAfter,
    /// The connection breaks, and some milliseconds later it is passed on all the same.
    DropThenProceed,
}

impl Fate {
    /// Whether the caller cannot know if the call was made.
    pub(crate) fn is_ambiguous(self) -> bool {
        !matches!(self, Self::Proceed | Self::Throttle | Self::Cancel)
    }

    fn reaches_the_table(self) -> bool {
        !matches!(self, Self::Throttle | Self::Cancel | Self::FailBefore | Self::DropBefore)
    }
}

/// A write that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The request's JSON.
    pub(crate) body: Value,
    /// Its fate.
    pub(crate) fate: Fate,
    /// Whether it was made: not where it did not reach the table, or its condition did not hold.
    pub(crate) made: bool,
    /// The row after it.
    pub(crate) row: Option<Row>,
    /// When it was done, at the earliest.
    pub(crate) at: Timestamp,
}

/// Decides the fate of a call, by its operation and the number of calls before it.
type Fates = Box<dyn Fn(&str, u64) -> Fate + Send + Sync>;

struct Shared {
    fates: Fates,
    calls: AtomicU64,
    /// The number of calls still to be passed on whose callers have gone.
    late: AtomicU64,
    history: Mutex<Vec<Event>>,
    upstream: Client<HttpConnector, Full<Bytes>>,
    key: StreakKey,
    clock: InvocationClock,
}

/// The connection breaks without an answer.
#[derive(Debug, thiserror::Error)]
#[error("dropped")]
struct Dropped;

/// A running proxy; it ends when it is dropped.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
    /// The table as it is seen through the proxy.
    pub(crate) table: StreakTable,
    /// The table as it is.
    pub(crate) direct: StreakTable,
    address: String,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    pub(crate) async fn start(
        key: &StreakKey,
        clock: InvocationClock,
        fates: impl Fn(&str, u64) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let direct = StreakTable::new(embedded().client(), STREAKS.to_owned());
        let shared = Arc::new(Shared {
            fates: Box::new(fates),
            calls: AtomicU64::new(0),
            late: AtomicU64::new(0),
            history: Mutex::default(),
            upstream: Client::builder(TokioExecutor::new()).build_http(),
            key: key.clone(),
            clock,
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        let table = StreakTable::new(client(&address), STREAKS.to_owned());
        Self { shared, serving, table, direct, address }
    }

    /// A client of whatever table, through the proxy.
    pub(crate) fn client(&self) -> aws_sdk_dynamodb::Client {
        client(&self.address)
    }

    /// All writes that arrived so far, in their order.
    pub(crate) async fn history(&self) -> MutexGuard<'_, Vec<Event>> {
        self.shared.history.lock().await
    }

    /// Waits until every call that is passed on late has been.
    pub(crate) async fn settled(&self) {
        while self.shared.late.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(LATE).await;
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&shared), request));
            // It ends with an error where an answer was dropped.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let target = parts.headers["x-amz-target"].to_str().unwrap().to_owned();
    let operation = target.rsplit('.').next().unwrap();
    let fate = (shared.fates)(operation, shared.calls.fetch_add(1, Ordering::Relaxed));
    let call = Call { operation: operation.to_owned(), parts, body, fate };
    if fate == Fate::DropThenProceed {
        shared.late.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            tokio::time::sleep(LATE).await;
            effect(&shared, call).await;
            shared.late.fetch_sub(1, Ordering::SeqCst);
        });
        return Err(Dropped);
    }
    let reply = effect(&shared, call).await;
    match fate {
        Fate::Proceed => reply.ok_or(Dropped),
        Fate::Throttle => Ok(fault(StatusCode::BAD_REQUEST, "ProvisionedThroughputExceededException")),
        Fate::Cancel => Ok(cancelled()),
        Fate::FailBefore | Fate::FailAfter => {
            Ok(fault(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"))
        }
        Fate::DropBefore | Fate::DropAfter | Fate::DropThenProceed => Err(Dropped),
    }
}

/// A call and its fate.
struct Call {
    operation: String,
    parts: http::request::Parts,
    body: Bytes,
    fate: Fate,
}

/// Makes a call on the table, and notes it where it is a write. Answers the table's answer, if there is one.
async fn effect(shared: &Shared, call: Call) -> Option<Response<Full<Bytes>>> {
    let Call { operation, parts, body, fate } = call;
    let mut history = shared.history.lock().await;
    let at = shared.clock.now();
    let reply = match fate.reaches_the_table() {
        true => Some(pass_on(shared, parts, body.clone()).await),
        false => None,
    };
    if matches!(operation.as_str(), "UpdateItem" | "DeleteItem") {
        history.push(Event {
            body: serde_json::from_slice(&body).unwrap(),
            fate,
            made: reply.as_ref().is_some_and(|reply| reply.status() == StatusCode::OK),
            row: embedded().streak(&shared.key),
            at,
        });
    }
    reply
}

async fn pass_on(shared: &Shared, mut parts: http::request::Parts, body: Bytes) -> Response<Full<Bytes>> {
    parts.uri = format!("http://{}/", embedded().address).parse().unwrap();
    parts.headers.remove(http::header::CONTENT_LENGTH);
    parts.headers.remove(http::header::TRANSFER_ENCODING);
    let reply = shared.upstream.request(Request::from_parts(parts, Full::new(body))).await.unwrap();
    let (parts, body) = reply.into_parts();
    Response::from_parts(parts, Full::new(body.collect().await.unwrap().to_bytes()))
}

/// A transaction whose second part was throttled.
fn cancelled() -> Response<Full<Bytes>> {
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "message": "injected",
        "CancellationReasons": [{"Code": "None"}, {"Code": "ThrottlingError", "Message": "injected"}],
    });
    Response::builder()
        .status(StatusCode::BAD_REQUEST)
        .header("content-type", "application/x-amz-json-1.0")
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap()
}

fn fault(status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    let body = json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "injected"});
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap()
}
