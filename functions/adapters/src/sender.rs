//! One attempt: one HTTP request to a webhook's URL.
//!
//! One deadline covers everything: resolving, connecting, TLS, the request, the response's headers and body. The
//! addresses that the host resolves to are vetted by the core, all of them, and the one that is dialled is one of
//! those: nothing is resolved a second time. Redirects are not followed. Of the response at most
//! [`MAX_RESPONSE_BYTES`] of body are read and kept; a longer one is a whole one, for our purposes, at that point.
//!
//! Connections are kept for the next attempt to the same host. One that turns out to be stale before anything was
//! sent on it is replaced without counting as an attempt.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use carteiro_core::address::{ForbiddenAddress, PrivateTargets, WebhookUrl, vet};
use carteiro_core::outcome::{self, FailureKind, Outcome};
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::clock::Stopwatch;
use crate::tls_roots::root_store;

/// How much of a response's body is read.
pub const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// How much of a response's headers is read (HTTP/1: the whole head; HTTP/2: the decoded list).
const MAX_RESPONSE_HEAD_BYTES: usize = 64 * 1024;

/// How many headers a response may have (HTTP/1).
const MAX_RESPONSE_HEADERS: usize = 2000;

/// How often an HTTP/2 connection in use is asked whether it is alive, and how long it may take to say so. A dead one
/// would else be used again and again, for its pool sees no error in a time-out.
const PING_EVERY: Duration = Duration::from_secs(5);

/// How long one of several addresses of a host may take to connect.
const CONNECT_EACH: Duration = Duration::from_secs(5);

/// How many addresses of a host are tried.
const MAX_ADDRESSES: usize = 4;

/// How long an unused connection is kept: less than servers do (often 5 s), so that it is rarely found closed.
const KEEP_IDLE: Duration = Duration::from_secs(4);

/// What identifies us.
pub const USER_AGENT: &str = concat!("Carteiro/", env!("CARGO_PKG_VERSION"));

/// Makes attempts.
#[derive(Clone, Debug)]
pub struct Sender {
    client: Client<HttpsConnector<VettedConnector>, Full<Bytes>>,
    deadline: Duration,
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    /// Where to.
    pub url: &'a WebhookUrl,
    /// All headers but host and length.
    pub headers: Vec<(&'a str, String)>,
    /// The body, unchanged.
    pub body: Bytes,
}

/// What an attempt came to, with what is worth telling.
#[derive(Clone, Debug)]
pub struct Attempted {
    /// What it came to.
    pub outcome: Outcome,
    /// How long it took.
    pub latency_ms: u64,
    /// The beginning of the response's body.
    pub response_body: Bytes,
}

/// The request never left us, by our own fault: this is no attempt.
#[derive(Debug, thiserror::Error)]
#[error("the request could not be made")]
pub struct NotAttempted(#[source] Box<dyn Error + Send + Sync>);

impl Sender {
    /// A sender whose attempts end within `deadline`, and that may reach these private targets.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(private: PrivateTargets, deadline: Duration) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(root_store())
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(VettedConnector { private: Arc::new(private) });
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEEP_IDLE)
            .http1_max_buf_size(MAX_RESPONSE_HEAD_BYTES)
            .http1_max_headers(MAX_RESPONSE_HEADERS)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_EVERY)
            .http2_max_header_list_size(u32::try_from(MAX_RESPONSE_HEAD_BYTES).unwrap_or(u32::MAX))
            .build(connector);
        Ok(Self { client, deadline })
    }

    /// Makes one attempt. `now` is for reading a date in the answer.
    ///
    /// # Errors
    /// Where the request never left us.
    pub async fn attempt(&self, attempt: Attempt<'_>, now: Timestamp) -> Result<Attempted, NotAttempted> {
        let request = request(attempt)?;
        let stopwatch = Stopwatch::start();
        let (outcome, response_body) =
            match tokio::time::timeout(self.deadline, self.exchange(request, now)).await {
                Ok(exchanged) => exchanged?,
                Err(_) => (Outcome::failed(FailureKind::Timeout, None), Bytes::new()),
            };
        Ok(Attempted { outcome, latency_ms: stopwatch.elapsed_ms(), response_body })
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        now: Timestamp,
    ) -> Result<(Outcome, Bytes), NotAttempted> {
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => {
                let kind = failure_kind(&error).map_err(|()| NotAttempted(Box::new(error)))?;
                return Ok((Outcome::failed(kind, None), Bytes::new()));
            }
        };
        let status = response.status().as_u16();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|value| outcome::retry_after(value, now));
        Ok(match read_body(response).await {
            Ok(body) => (Outcome::of_response(status, wait), body),
            Err(_) => (Outcome::failed(FailureKind::Protocol, Some(status)), Bytes::new()),
        })
    }
}

fn request(attempt: Attempt<'_>) -> Result<Request<Full<Bytes>>, NotAttempted> {
    let mut request = Request::builder().method(Method::POST).uri(attempt.url.as_str());
    for (name, value) in attempt.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| NotAttempted(Box::new(error)))?;
        let value = HeaderValue::from_str(&value).map_err(|error| NotAttempted(Box::new(error)))?;
        request = request.header(name, value);
    }
    request.body(Full::new(attempt.body)).map_err(|error| NotAttempted(Box::new(error)))
}

async fn read_body(response: Response<Incoming>) -> Result<Bytes, hyper::Error> {
    let mut body = response.into_body();
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            let room = MAX_RESPONSE_BYTES - read.len();
            read.extend_from_slice(&data[..data.len().min(room)]);
            if read.len() == MAX_RESPONSE_BYTES {
                break;
            }
        }
    }
    Ok(read.into())
}

/// The class of a failed exchange, by the first cause that tells it. An error of our own making is none.
fn failure_kind(error: &(dyn Error + 'static)) -> Result<FailureKind, ()> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(connecting) = cause.downcast_ref::<ConnectError>() {
            return connecting.kind();
        }
        if cause.is::<rustls::Error>() {
            return Ok(FailureKind::Tls);
        }
        next = cause.source().or_else(|| inner_of_io(cause));
    }
    Ok(FailureKind::Protocol)
}

/// An I/O error shows what it wraps by `get_ref`, and as its source only what that wraps.
fn inner_of_io<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
    Some(inner)
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("the name could not be resolved")]
    Dns(#[source] io::Error),
    #[error(transparent)]
    Forbidden(#[from] ForbiddenAddress),
    #[error("no connection could be made")]
    Connect(#[source] io::Error),
    #[error("no address answered in time")]
    TimedOut,
    #[error("not a URL that a webhook may have")]
    Url,
}

impl ConnectError {
    fn kind(&self) -> Result<FailureKind, ()> {
        match self {
            // Out of memory, descriptors, ports or buffers (ENOMEM, ENFILE, EMFILE, EADDRNOTAVAIL, ENOBUFS): our fault.
            Self::Connect(error) if matches!(error.raw_os_error(), Some(12 | 23 | 24 | 99 | 105)) => Err(()),
            Self::Dns(_) => Ok(FailureKind::Dns),
            Self::Forbidden(_) => Ok(FailureKind::ForbiddenAddress),
            Self::Connect(_) => Ok(FailureKind::Connect),
            Self::TimedOut => Ok(FailureKind::Timeout),
            Self::Url => Err(()),
        }
    }
}

/// Resolves, has the addresses vetted, and dials one of them.
#[derive(Clone, Debug)]
struct VettedConnector {
    private: Arc<PrivateTargets>,
}

/// A connection over TCP, as the client's pool wants it.
#[derive(Debug)]
struct Dialled(TokioIo<TcpStream>);

type Dialling = Pin<Box<dyn Future<Output = Result<Dialled, ConnectError>> + Send>>;

impl Service<Uri> for VettedConnector {
    type Response = Dialled;
    type Error = ConnectError;
    type Future = Dialling;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Dialling {
        let private = Arc::clone(&self.private);
        Box::pin(async move {
            let url = WebhookUrl::try_from(uri.to_string()).map_err(|_| ConnectError::Url)?;
            dial(&url, &private).await
        })
    }
}

async fn dial(url: &WebhookUrl, private: &PrivateTargets) -> Result<Dialled, ConnectError> {
    let addresses = resolve(url).await?;
    let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    vet(url, &ips, private)?;
    let mut failed = ConnectError::Dns(io::Error::new(io::ErrorKind::NotFound, "no address"));
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        match tokio::time::timeout(CONNECT_EACH, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A request is written at once; waiting to fill a packet would only delay it.
                let _ = stream.set_nodelay(true);
                return Ok(Dialled(TokioIo::new(stream)));
            }
            Ok(Err(error)) => failed = ConnectError::Connect(error),
            Err(_) => failed = ConnectError::TimedOut,
        }
    }
    Err(failed)
}

async fn resolve(url: &WebhookUrl) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Some(address) = url.literal_address() {
        return Ok(vec![SocketAddr::new(address, url.port())]);
    }
    let found = tokio::net::lookup_host((url.host(), url.port())).await.map_err(ConnectError::Dns)?;
    Ok(found.collect())
}

impl Connection for Dialled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for Dialled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }
}

/// The headers of an attempt, the webhook's own among them. Names that Carteiro sets cannot be among those.
#[must_use]
pub fn headers<'a>(
    webhook: &'a carteiro_core::webhook::Webhook,
    item: &Labels<'_>,
    body: &[u8],
    now: Timestamp,
) -> Vec<(&'a str, String)> {
    let timestamp = now.as_second();
    let signature = carteiro_core::signature::sign(webhook.signers_at(now), item.id, timestamp, body);
    let own = webhook.settings.headers.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let mut headers: Vec<_> = own.collect();
    headers.extend([
        ("content-type", "application/json".to_owned()),
        ("user-agent", USER_AGENT.to_owned()),
        ("webhook-id", item.id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signature),
        ("carteiro-item-type", item.item_type.to_owned()),
        ("carteiro-source", item.source.to_owned()),
        ("carteiro-attempt", item.attempt.to_string()),
    ]);
    headers
}

/// What an attempt's headers say of its item.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// The item's id.
    pub id: &'a str,
    /// What it is.
    pub item_type: &'a str,
    /// Where it came from.
    pub source: &'a str,
    /// The number of the attempt: 1, 2, …
    pub attempt: u32,
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn loopback() -> PrivateTargets {
        "127.0.0.0/8".parse().unwrap()
    }

    async fn attempt_to(url: &str, deadline: Duration) -> Attempted {
        let url = WebhookUrl::check(url, &loopback()).unwrap();
        let sender = Sender::new(loopback(), deadline).unwrap();
        let attempt =
            Attempt { url: &url, headers: vec![("x-a", "b".to_owned())], body: Bytes::from_static(b"{}") };
        sender.attempt(attempt, Timestamp::UNIX_EPOCH).await.unwrap()
    }

    /// A server that reads one request and answers with these bytes, then keeps or closes the connection.
    async fn answering(answer: &'static [u8], close: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/path", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = [0; 4096];
            let _ = stream.read(&mut read).await;
            let _ = stream.write_all(answer).await;
            if !close {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        });
        url
    }

    const LONG: Duration = Duration::from_secs(10);

    proptest::proptest! {
        #[test]
        fn every_url_that_a_webhook_may_have_can_be_requested(host in "[a-zA-Z0-9_.{}|`^\"\\-]{1,20}", rest in "[ -~é]{0,40}") {
            if let Ok(url) = WebhookUrl::check(&format!("https://{host}/{rest}"), &loopback()) {
                let attempt = Attempt { url: &url, headers: Vec::new(), body: Bytes::new() };
                proptest::prop_assert!(request(attempt).is_ok(), "{url}");
            }
        }
    }

    #[tokio::test]
    async fn a_2xx_that_arrived_whole_is_a_success() {
        let url = answering(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok", false).await;
        let attempted = attempt_to(&url, LONG).await;
        assert_eq!(attempted.outcome, Outcome::Success { status: 201 });
        assert_eq!(attempted.response_body, "ok");
    }

    #[tokio::test]
    async fn a_2xx_that_breaks_off_is_a_failure() {
        let url = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nok", true).await;
        assert_eq!(attempt_to(&url, LONG).await.outcome, Outcome::failed(FailureKind::Protocol, Some(200)));
    }

    #[tokio::test]
    async fn a_body_that_never_ends_ends_at_the_deadline() {
        let url = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nok", false).await;
        let attempted = attempt_to(&url, Duration::from_millis(200)).await;
        assert_eq!(attempted.outcome, Outcome::failed(FailureKind::Timeout, None));
        assert!(attempted.latency_ms >= 200);
    }

    #[tokio::test]
    async fn a_receiver_that_says_nothing_or_nonsense_is_told_apart() {
        let silent = answering(b"", true).await;
        assert_eq!(attempt_to(&silent, LONG).await.outcome, Outcome::failed(FailureKind::Protocol, None));
        let nonsense = answering(b"SSH-2.0-x\r\n\r\n", false).await;
        assert_eq!(attempt_to(&nonsense, LONG).await.outcome, Outcome::failed(FailureKind::Protocol, None));
    }

    #[tokio::test]
    async fn redirects_are_failures_and_a_wait_is_read() {
        let redirect = answering(
            b"HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n",
            false,
        );
        let attempted = attempt_to(&redirect.await, LONG).await;
        assert_eq!(attempted.outcome, Outcome::failed(FailureKind::Redirect, Some(302)));
        let busy =
            answering(b"HTTP/1.1 429 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n", false).await;
        let expected = Outcome::of_response(429, Some(Duration::from_secs(7)));
        assert_eq!(attempt_to(&busy, LONG).await.outcome, expected);
    }

    #[tokio::test]
    async fn nobody_there_is_no_connection_and_no_name_is_no_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(attempt_to(&url, LONG).await.outcome, Outcome::failed(FailureKind::Connect, None));
        let nowhere = attempt_to("https://nowhere.invalid/", LONG).await;
        assert_eq!(nowhere.outcome, Outcome::failed(FailureKind::Dns, None));
    }

    #[tokio::test]
    async fn plain_http_where_tls_is_expected_is_a_tls_failure() {
        let url = answering(b"HTTP/1.1 200 OK\r\n\r\n", false).await.replace("http:", "https:");
        assert_eq!(attempt_to(&url, LONG).await.outcome, Outcome::failed(FailureKind::Tls, None));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_forbidden() {
        let url = WebhookUrl::check("https://localhost:4443/", &PrivateTargets::default()).unwrap();
        let sender = Sender::new(PrivateTargets::default(), LONG).unwrap();
        let attempt = Attempt { url: &url, headers: Vec::new(), body: Bytes::new() };
        let attempted = sender.attempt(attempt, Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!(attempted.outcome, Outcome::failed(FailureKind::ForbiddenAddress, None));
    }

    #[tokio::test]
    async fn a_large_body_is_read_up_to_the_bound() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = [0; 4096];
            let _ = stream.read(&mut read).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
        });
        let attempted = attempt_to(&url, LONG).await;
        assert_eq!(attempted.outcome, Outcome::Success { status: 200 });
        assert_eq!(attempted.response_body.len(), MAX_RESPONSE_BYTES);
    }
}
