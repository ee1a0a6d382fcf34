//! One attempt: one HTTP request to a webhook's URL.
//!
//! One deadline covers everything: resolving, connecting, TLS, the request, the response's headers and body. The core
//! vets all addresses that the host resolves to, and one of those is dialled: nothing is resolved a second time.
//! Redirects are not followed, 1xx responses are skipped, nothing is unpacked. At most [`MAX_RESPONSE_BYTES`] of a
//! response's body are read and kept; a longer one counts as complete at that point.
//!
//! A connection is kept for the next attempt to the same place. That attempt resolves and vets the addresses again, and
//! the connection's address must be among them. A connection that turns out to be closed before anything of a request
//! was sent is replaced, and does not count as an attempt. Once any part of a request may have been sent, its outcome
//! is the attempt's result: no request is sent twice.
//!
//! Heads of responses are read as tolerantly as the common clients do. Behind one that others may read in another way,
//! the connection is not used again.
//!
//! Not guaranteed: an HTTP/1 receiver that sends a second answer only while the next request is under way looks like
//! one that answers quickly.

mod connection;
mod dial;
mod failed;
mod heard;
mod phase;
mod pool;
mod resolve;
mod shared_tcp;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use carteiro_core::address::{PrivateTargets, WebhookUrl};
use carteiro_core::cause::Cause;
use carteiro_core::hop::{self, Hop};
use carteiro_core::outcome::{self, FailureKind, Outcome};
use carteiro_core::own_hosts::{OwnAddress, OwnHosts};
use http::header::{
    CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, TRANSFER_ENCODING,
};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;

use crate::runtime::clock::Stopwatch;
use crate::runtime::tls::{Authorities, LazyTls};
use connection::{Connection, Sent};
use dial::Dialler;
pub use dial::Refused;
use failed::Failed;
use phase::Phase;
use pool::{Place, Pool};
use resolve::Resolver;

/// How much of a response's body is read.
pub const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// Our user agent.
pub const USER_AGENT: &str = concat!("Carteiro/", env!("CARGO_PKG_VERSION"));

/// The header that says which answers are taken: all.
const ACCEPT: &str = "accept";

/// The header of the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// Makes attempts. Clones share the connections that are kept.
#[derive(Clone)]
pub struct Sender {
    inner: Arc<Inner>,
}

struct Inner {
    dialler: Dialler,
    pool: Pool,
    deadline: Duration,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("deadline", &self.inner.deadline).finish_non_exhaustive()
    }
}

/// A request to a webhook.
#[derive(Clone, Debug)]
pub struct WebhookRequest<'a> {
    /// Where to.
    pub url: &'a WebhookUrl,
    /// All headers but host and length.
    pub headers: Vec<(&'a str, String)>,
    /// The body, unchanged.
    pub body: Bytes,
}

/// The outcome of an attempt, with its details.
#[derive(Clone, Debug)]
pub struct Attempted {
    /// The outcome.
    pub outcome: Outcome,
    /// Whether a connection to the host came about.
    pub connected: bool,
    /// How long it took.
    pub latency_ms: u64,
    /// The response's headers, with whatever they hold.
    pub response_headers: HeaderMap,
    /// The beginning of the response's body, also of one that broke off.
    pub response_body: Bytes,
}

impl From<OwnAddress> for Attempted {
    /// The attempt on a URL that leads to the deployment itself, which its caller knew to do so.
    fn from(_: OwnAddress) -> Self {
        let outcome = Outcome::failed(FailureKind::OwnAddress, None);
        Self {
            outcome,
            connected: false,
            latency_ms: 0,
            response_headers: HeaderMap::new(),
            response_body: Bytes::new(),
        }
    }
}

impl Attempted {
    /// The response's headers, in the order of their names.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.response_headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
    }
}

/// The request never left us, by our own fault: this is no attempt.
#[derive(Debug, thiserror::Error)]
#[error("the request could not be made")]
pub struct NotAttempted(#[source] Box<dyn Error + Send + Sync>);

impl Sender {
    /// A sender whose attempts end within `deadline`. It may reach these private targets, and never the deployment's
    /// own hosts. It trusts the system's certificate authorities.
    #[must_use]
    pub fn new(private: PrivateTargets, own: OwnHosts, deadline: Duration) -> Self {
        Self::with(private, own, deadline, Authorities::OfTheSystem)
    }

    /// The same, but it trusts these certificate authorities alone.
    ///
    /// # Errors
    /// Where one of them is none.
    pub fn trusting(
        private: PrivateTargets,
        deadline: Duration,
        authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self::with(private, OwnHosts::default(), deadline, Authorities::only(authorities)?))
    }

    fn with(private: PrivateTargets, own: OwnHosts, deadline: Duration, authorities: Authorities) -> Self {
        let dialler = Dialler {
            private: Arc::new(private),
            own: Arc::new(own),
            resolver: Resolver::of_the_system(),
            tls: LazyTls::new(authorities, &[b"h2", b"http/1.1"]),
        };
        Self { inner: Arc::new(Inner { dialler, pool: Pool::default(), deadline }) }
    }

    /// Checks whether a URL leads to a forbidden address, as its host resolves now. A host that does not resolve within
    /// this time is accepted, and each attempt checks again.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self, url: &WebhookUrl, within: Duration) -> Result<(), Refused> {
        let dialler = &self.inner.dialler;
        dialler.own.refuse_name(url)?;
        let (host, port) = (url.host(), url.port());
        match tokio::time::timeout(within, dialler.resolver.resolve(&host, port)).await {
            Ok(Ok(found)) => dialler.vet(url, &found),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Makes one attempt. `now` is the platform's time: for reading a date in the answer, and for the age of kept
    /// connections.
    ///
    /// # Errors
    /// Where the request never left us.
    pub async fn attempt(
        &self,
        attempt: WebhookRequest<'_>,
        now: Timestamp,
    ) -> Result<Attempted, NotAttempted> {
        let place = Place::of(attempt.url);
        let url = attempt.url;
        let message = Message::new(attempt)?;
        let stopwatch = Stopwatch::start();
        let mut seen = Seen::default();
        let exchange = self.inner.exchange(url, place, &message, now, &stopwatch, &mut seen);
        let failed = match tokio::time::timeout(self.inner.deadline, exchange).await {
            Ok(Ok(())) => None,
            Ok(Err(Failed::Theirs(kind, cause))) => Some((kind, cause)),
            Ok(Err(Failed::Ours(error))) => return Err(NotAttempted(error)),
            Err(_) => Some((FailureKind::Timeout, Some(seen.phase.timed_out().into()))),
        };
        let outcome = match failed {
            Some((kind, cause)) => Outcome::failed(kind, seen.status).because(cause),
            None => seen.outcome(url),
        };
        Ok(Attempted {
            outcome,
            connected: seen.phase.is_connected(),
            latency_ms: stopwatch.elapsed_ms(),
            response_headers: seen.headers,
            response_body: seen.body.into(),
        })
    }
}

/// The received part of a response.
#[derive(Default)]
struct Seen {
    phase: Phase,
    status: Option<u16>,
    /// The receiver's `retry-after`, whatever its status.
    retry_after: Option<Duration>,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Seen {
    /// The outcome of a response that is whole.
    fn outcome(&self, url: &WebhookUrl) -> Outcome {
        let status = self.status.unwrap_or_default();
        let outcome = Outcome::of_response(status, self.retry_after);
        let is_redirect = outcome.failure().is_some_and(|failure| failure.kind == FailureKind::Redirect);
        let location =
            self.headers.get(LOCATION).map(|location| String::from_utf8_lossy(location.as_bytes()));
        outcome.because(is_redirect.then(|| Cause::of_redirect(status, location.as_deref(), url)))
    }
}

impl Inner {
    async fn exchange(
        &self,
        url: &WebhookUrl,
        place: Place,
        message: &Message,
        now: Timestamp,
        stopwatch: &Stopwatch,
        seen: &mut Seen,
    ) -> Result<(), Failed> {
        let (response, connection, is_regular) =
            self.send(url, &place, message, now, &mut seen.phase).await?;
        seen.phase = Phase::Body;
        seen.status = Some(response.status().as_u16());
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        seen.retry_after = wait.and_then(|value| outcome::retry_after(value, now));
        let lasts = is_regular && outlasts(&response);
        let (head, body) = response.into_parts();
        seen.headers = head.headers;
        let read = read_body(body, &mut seen.body).await;
        let whole = read.map_err(|error| Failed::of_body(&error, connection.is_http2()))?;
        if whole && lasts {
            let elapsed =
                SignedDuration::from_millis(i64::try_from(stopwatch.elapsed_ms()).unwrap_or(i64::MAX));
            self.pool.keep(place, connection, now.saturating_add(elapsed).unwrap_or(now));
        }
        Ok(())
    }

    /// Sends the request once: over a kept connection, or over a new one.
    async fn send(
        &self,
        url: &WebhookUrl,
        place: &Place,
        message: &Message,
        now: Timestamp,
        phase: &mut Phase,
    ) -> Result<(Response<Incoming>, Connection, bool), Failed> {
        let addresses = self.dialler.addresses(url).await?;
        *phase = Phase::Head;
        while let Some(mut kept) = self.pool.take(place, now).await {
            // The host may have moved since, or may have got a forbidden address.
            if !addresses.contains(&kept.peer()) {
                continue;
            }
            if let Sent::Answered { response, is_regular } = message.send_over(&mut kept).await? {
                return Ok((response, kept, is_regular));
            }
        }
        let mut new = self.dialler.dial(url, &addresses, phase).await?;
        *phase = Phase::Head;
        match message.send_over(&mut new).await? {
            Sent::Answered { response, is_regular } => Ok((response, new, is_regular)),
            // The receiver ended the connection before it could be used.
            Sent::NotSent(failed) => Err(failed),
        }
    }
}

/// Whether the connection may be used again behind this response. Where it names both a transfer coding and a length,
/// its end is a matter of opinion (RFC 9112, 6.1), and behind a 101 it is not HTTP.
fn outlasts(response: &Response<Incoming>) -> bool {
    let headers = response.headers();
    let ambiguous = headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH);
    !ambiguous && !response.status().is_informational()
}

/// Reads a body up to the bound. Answers whether it was complete.
async fn read_body(mut body: Incoming, read: &mut Vec<u8>) -> Result<bool, hyper::Error> {
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            let room = MAX_RESPONSE_BYTES - read.len();
            read.extend_from_slice(&data[..data.len().min(room)]);
            if read.len() == MAX_RESPONSE_BYTES {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// A request, in the parts of which each version of HTTP makes its own.
struct Message {
    absolute: Uri,
    origin_form: Uri,
    host: HeaderValue,
    headers: HeaderMap,
    body: Bytes,
}

impl Message {
    fn new(attempt: WebhookRequest<'_>) -> Result<Self, NotAttempted> {
        let absolute: Uri = attempt.url.as_str().parse().map_err(not_attempted)?;
        let origin_form = absolute.path_and_query().map_or("/", |path| path.as_str());
        let origin_form = origin_form.parse().map_err(not_attempted)?;
        let authority = absolute.authority().map_or("", |authority| authority.as_str());
        let host = HeaderValue::from_str(authority).map_err(not_attempted)?;
        let mut headers = HeaderMap::new();
        for (name, value) in attempt.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(not_attempted)?;
            headers.append(name, HeaderValue::from_str(&value).map_err(not_attempted)?);
        }
        Ok(Self { absolute, origin_form, host, headers, body: attempt.body })
    }

    /// Sends it over a connection.
    async fn send_over(&self, connection: &mut Connection) -> Result<Sent, Failed> {
        connection.send(self.request(connection)).await
    }

    fn request(&self, connection: &Connection) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        request.headers_mut().clone_from(&self.headers);
        if connection.is_http2() {
            *request.uri_mut() = self.absolute.clone();
            *request.version_mut() = http::Version::HTTP_2;
        } else {
            *request.uri_mut() = self.origin_form.clone();
            request.headers_mut().insert(HOST, self.host.clone());
        }
        request
    }
}

fn not_attempted(error: impl Error + Send + Sync + 'static) -> NotAttempted {
    NotAttempted(Box::new(error))
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
    // Firewalls refuse requests without it. A webhook may set another.
    if !webhook.settings.headers.contains_key(ACCEPT) {
        headers.push((ACCEPT, "*/*".to_owned()));
    }
    headers.extend([
        ("content-type", "application/json".to_owned()),
        ("user-agent", USER_AGENT.to_owned()),
        ("webhook-id", item.id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        (SIGNATURE, signature),
        ("carteiro-item-type", item.item_type.to_owned()),
        ("carteiro-source", item.source.to_owned()),
        ("carteiro-attempt", item.attempt.to_string()),
        (hop::HEADER, item.hop.on_delivery(item.item_type).count().to_string()),
    ]);
    headers
}

/// The description of an item in an attempt's headers.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// The item's id.
    pub id: &'a str,
    /// Its type.
    pub item_type: &'a str,
    /// Where it came from.
    pub source: &'a str,
    /// The number of the attempt: 1, 2, …
    pub attempt: u32,
    /// How often it has passed through Carteiro before.
    pub hop: Hop,
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use std::collections::BTreeMap;

    use carteiro_core::cause::Code;
    use carteiro_core::credentials::Fresh;
    use carteiro_core::id::{AccountId, WebhookId};
    use carteiro_core::webhook::NewWebhook;

    use super::*;

    fn loopback() -> PrivateTargets {
        "127.0.0.0/8".parse().unwrap()
    }

    async fn attempt_to(url: &str, deadline: Duration) -> Attempted {
        let url = WebhookUrl::check(url, &loopback()).unwrap();
        let sender = Sender::new(loopback(), OwnHosts::default(), deadline);
        let attempt = WebhookRequest {
            url: &url,
            headers: vec![("x-a", "b".to_owned())],
            body: Bytes::from_static(b"{}"),
        };
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

    /// The class, status and cause of a failure.
    fn failed(attempted: &Attempted) -> (FailureKind, Option<u16>, Option<Code>) {
        let failure = attempted.outcome.failure().unwrap();
        (failure.kind, failure.status, failure.cause.as_ref().map(|cause| cause.code))
    }

    proptest::proptest! {
        #[test]
        fn every_url_that_a_webhook_may_have_can_be_requested(host in "[a-zA-Z0-9_.{}|`^\"\\-]{1,20}", rest in "[ -~é]{0,40}") {
            if let Ok(url) = WebhookUrl::check(&format!("https://{host}/{rest}"), &loopback()) {
                let attempt = WebhookRequest { url: &url, headers: Vec::new(), body: Bytes::new() };
                proptest::prop_assert!(Message::new(attempt).is_ok(), "{url}");
            }
        }
    }

    #[test]
    fn a_request_accepts_every_type_unless_its_webhook_says_another() {
        for (own, expected) in [(None, "*/*"), (Some("application/json"), "application/json")] {
            let mut given = serde_json::json!({"url": "https://a.example/", "items": ["message"]});
            given["headers"] =
                serde_json::json!(own.map(|own| [("Accept", own)].into_iter().collect::<BTreeMap<_, _>>()));
            let new = NewWebhook::from_json(given.as_object().unwrap(), &loopback()).unwrap();
            let fresh = Fresh::from_random([1; 32], [2; 32]);
            let webhook =
                new.create(WebhookId::from_bits(1), AccountId::from_bits(2), fresh, Timestamp::UNIX_EPOCH);
            let labels =
                Labels { id: "i", item_type: "message", source: "bot:b", attempt: 1, hop: Hop::default() };
            let sent = headers(&webhook, &labels, b"{}", Timestamp::UNIX_EPOCH);
            let accepts: Vec<_> = sent.iter().filter(|(name, _)| *name == "accept").collect();
            assert_eq!(accepts, [&("accept", expected.to_owned())]);
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
        let attempted = attempt_to(&url, LONG).await;
        assert_eq!(failed(&attempted), (FailureKind::Protocol, Some(200), Some(Code::EndedEarly)));
    }

    #[tokio::test]
    async fn a_body_that_never_ends_ends_at_the_deadline() {
        let url = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nok", false).await;
        let attempted = attempt_to(&url, Duration::from_millis(200)).await;
        assert_eq!(failed(&attempted), (FailureKind::Timeout, Some(200), Some(Code::BodyTimedOut)));
        assert_eq!(attempted.response_body, "ok");
        assert!(attempted.latency_ms >= 200);
    }

    #[tokio::test]
    async fn a_receiver_that_says_nothing_or_nonsense_is_told_apart() {
        let silent = answering(b"", true).await;
        let silent = attempt_to(&silent, LONG).await;
        assert_eq!(failed(&silent), (FailureKind::Protocol, None, Some(Code::ClosedBeforeAnswer)));
        let nonsense = answering(b"SSH-2.0-x\r\n\r\n", false).await;
        let nonsense = attempt_to(&nonsense, LONG).await;
        assert_eq!(failed(&nonsense), (FailureKind::Protocol, None, Some(Code::NotHttpSsh)));
    }

    #[tokio::test]
    async fn redirects_are_failures_and_a_wait_is_read() {
        let redirect = answering(
            b"HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/?token=t\r\ncontent-length: 0\r\n\r\n",
            false,
        );
        let attempted = attempt_to(&redirect.await, LONG).await;
        let cause = Cause { code: Code::Redirected, detail: Some("http://10.0.0.1/".to_owned()) };
        assert_eq!(attempted.outcome, Outcome::failed(FailureKind::Redirect, Some(302)).because(Some(cause)));
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
        let refused = attempt_to(&url, LONG).await;
        assert_eq!(failed(&refused), (FailureKind::Connect, None, Some(Code::ConnectionRefused)));
        let nowhere = attempt_to("https://nowhere.invalid/", LONG).await;
        assert_eq!(failed(&nowhere).0, FailureKind::Dns);
    }

    #[tokio::test]
    async fn plain_http_where_tls_is_expected_is_a_tls_failure() {
        let url = answering(b"HTTP/1.1 200 OK\r\n\r\n", false).await.replace("http:", "https:");
        let plain = attempt_to(&url, LONG).await;
        assert_eq!(failed(&plain), (FailureKind::Tls, None, Some(Code::NotTls)));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_forbidden() {
        let url = WebhookUrl::check("https://localhost:4443/", &PrivateTargets::default()).unwrap();
        let sender = Sender::new(PrivateTargets::default(), OwnHosts::default(), LONG);
        let attempt = WebhookRequest { url: &url, headers: Vec::new(), body: Bytes::new() };
        let attempted = sender.attempt(attempt, Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!(attempted.outcome, Outcome::failed(FailureKind::ForbiddenAddress, None));
    }

    #[tokio::test]
    async fn what_leads_to_the_deployment_itself_is_not_attempted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = format!("api.example.com,127.0.0.1:{port}").parse().unwrap();
        let private: PrivateTargets = "127.0.0.0/8,::1/128,0.0.0.0/8".parse().unwrap();
        let sender = Sender::new(private.clone(), own, LONG);
        for text in [
            "https://api.example.com/bots/b/messages".to_owned(),
            format!("http://127.0.0.1:{port}/"),
            format!("http://localhost:{port}/"),
            format!("http://0.0.0.0:{port}/"),
            format!("http://[::1]:{port}/"),
        ] {
            let url = WebhookUrl::check(&text, &private).unwrap();
            assert_eq!(sender.check(&url, LONG).await, Err(Refused::OwnAddress(OwnAddress)), "{text}");
            let attempt = WebhookRequest { url: &url, headers: Vec::new(), body: Bytes::new() };
            let attempted = sender.attempt(attempt, Timestamp::UNIX_EPOCH).await.unwrap();
            assert_eq!(attempted.outcome, Outcome::failed(FailureKind::OwnAddress, None), "{text}");
        }
        let nobody_came = tokio::time::timeout(Duration::ZERO, listener.accept()).await.is_err();
        assert!(nobody_came, "nothing was dialled");
    }

    #[tokio::test]
    async fn no_more_connections_are_kept_than_the_bound() {
        let authority = carteiro_hostile::Authority::new().unwrap();
        let sender = Sender::new(loopback(), OwnHosts::default(), LONG);
        let mut receivers = Vec::new();
        for _ in 0..=pool::MAX_KEPT {
            let hostile = carteiro_hostile::well_behaved::over_http1();
            receivers.push(carteiro_hostile::Running::start(&hostile, &authority).await.unwrap());
        }
        for receiver in &receivers {
            let url = WebhookUrl::check(&receiver.url, &loopback()).unwrap();
            let attempt = WebhookRequest { url: &url, headers: Vec::new(), body: Bytes::from_static(b"{}") };
            sender.attempt(attempt, Timestamp::UNIX_EPOCH).await.unwrap();
        }
        assert!(sender.inner.pool.count() <= pool::MAX_KEPT);
        assert!(sender.inner.pool.count() > 0);
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
