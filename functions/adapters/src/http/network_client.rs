//! Makes the calls that the [pure half](carteiro_networks::poll) of collection asks for, and puts the tokens in.
//!
//! # What is guaranteed
//! - A call ends within [`LONGEST_CALL`], and within the time that it is given. Of an answer at most
//!   [`MAX_BODY_BYTES`] are read, packed or not.
//! - A redirect is an answer like others: it is not followed, for the token would go with it.
//! - A path is sent byte for byte as it was asked for; queries and forms are escaped here.
//! - Tokens go to the network's own [address](Addresses) alone, over TLS (or on this machine). Some networks take them
//!   in the query alone: so no error has a URL in it, nor anything of what libraries say, and nothing is logged here.
//! - No request is sent twice by itself, except where nothing of it was sent over a kept connection that was over.
//!
//! Connections are kept for 15 s, by the platform's clock too: an environment that was frozen between two
//! invocations wakes with connections that are long dead. HTTP/2 is spoken where it is offered. How many calls are made
//! at once is the caller's matter.
//!
//! Not guaranteed: whether a call without an answer took effect ([`CallError::is_unsent`] says where that is known). A
//! resolver that hangs keeps a thread until it gives up; the call ends in time all the same.

mod addresses;
mod answered;
mod call_error;
mod request;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use carteiro_networks::network::Network;
use carteiro_networks::poll::NetworkRequest;
use carteiro_networks::poll::refresh::Renewal;
use http::Request;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use crate::runtime::clock::InvocationClock;
use crate::runtime::tls::{Authorities, LazyTls};

pub(super) use addresses::is_loopback;
pub use addresses::{Address, Addresses, InvalidAddress, Pair};
pub use answered::Answered;
pub use call_error::CallError;
pub use request::{Credentials, RenewalSecrets};

/// The limit of a call, from the name's resolution to the body's end. The networks answer within a few seconds, and a
/// slower request is repeated at the next tick. Shorter than [`BUSY`](carteiro_networks::poll::refresh::BUSY).
pub const LONGEST_CALL: Duration = Duration::from_secs(20);

/// How much of an answer is read: a page of a hundred posts with all their fields is far below a MiB, and the function
/// makes ten calls at once in 512 MiB.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

const NO_ADDRESS: CallError = CallError::NotMade("the network has no address");

/// How long a host may take to let itself be connected to, over all of its addresses.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a connection is kept idle: calls of one run follow each other at once, and servers close connections that
/// are idle for a minute or more.
const KEEP_IDLE: Duration = Duration::from_secs(15);

/// How many are kept for a host: about as many as calls are made at once.
const KEPT_A_HOST: usize = 4;

/// How much of a response's headers is read, and how many (HTTP/1).
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 256;

/// How often an HTTP/2 connection in use is asked whether it is alive, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(5);

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// When a call is made, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct CallTime {
    /// Now, by the platform's clock.
    pub now: Timestamp,
    /// How long it may take; never longer than [`LONGEST_CALL`].
    pub within: Duration,
}

impl CallTime {
    /// The time that the invocation has left, less the time that it needs after the call.
    #[must_use]
    pub fn of(clock: InvocationClock, reserve: Duration) -> Self {
        Self { now: clock.now(), within: clock.left().saturating_sub(reserve) }
    }

    fn limit(self) -> Duration {
        self.within.min(LONGEST_CALL)
    }
}

/// Makes calls.
pub struct NetworkClient {
    addresses: Addresses,
    tls: LazyTls,
    kept: Mutex<Option<Kept>>,
}

/// The connections that are kept, and when they were used last.
struct Kept {
    http: Http,
    used_at: Timestamp,
}

impl std::fmt::Debug for NetworkClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetworkClient").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl NetworkClient {
    /// A client of the networks at these addresses. It trusts the system's certificate authorities.
    #[must_use]
    pub fn new(addresses: Addresses) -> Self {
        Self { addresses, tls: tls(Authorities::OfTheSystem), kept: Mutex::default() }
    }

    /// The same, but it trusts these certificate authorities alone.
    ///
    /// # Errors
    /// Where one of them is none.
    pub fn trusting(
        addresses: Addresses,
        authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self { addresses, tls: tls(Authorities::only(authorities)?), kept: Mutex::default() })
    }

    /// Asks a network for something with a page's token. Every answer is one, whatever its status.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn request(
        &self,
        network: Network,
        request: &NetworkRequest,
        credentials: Credentials<'_>,
        time: CallTime,
    ) -> Result<Answered, CallError> {
        let whose = (credentials.access_token, credentials.login);
        let address = self.addresses.of_page(network, whose, request.to);
        let address = address.ok_or(NO_ADDRESS)?;
        self.call(request::of_page(address, request, credentials)?, time).await
    }

    /// Asks a network for a new token. The answer has one in it.
    ///
    /// # Errors
    /// Why there is none. Unless it [was not sent](CallError::is_unsent), the network may have given a new token all
    /// the same.
    pub async fn renew(
        &self,
        network: Network,
        renewal: &Renewal,
        secrets: RenewalSecrets<'_>,
        time: CallTime,
    ) -> Result<Answered, CallError> {
        let address = self.addresses.of_renewal(network).ok_or(NO_ADDRESS)?;
        self.call(request::of_renewal(address, renewal, secrets)?, time).await
    }

    async fn call(&self, request: Request<Full<Bytes>>, time: CallTime) -> Result<Answered, CallError> {
        if time.within.is_zero() {
            return Err(CallError::NoTime);
        }
        let http = self.http(time.now).map_err(|_| CallError::NotMade("TLS cannot be set up"))?;
        let exchange = async move {
            let response = http.request(request).await;
            Answered::read(response.map_err(|error| CallError::of_client(&error))?).await
        };
        let answered = tokio::time::timeout(time.limit(), exchange).await;
        answered.unwrap_or(Err(CallError::TimedOut))
    }

    /// The client whose connections are fit for use at a time. Calls under way keep theirs.
    fn http(&self, now: Timestamp) -> Result<Http, rustls::Error> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // In either direction: a clock that was set back far does not show how much time passed.
        let is_fit = |kept: &Kept| now.duration_since(kept.used_at).unsigned_abs() < KEEP_IDLE;
        let http = match kept.take().filter(is_fit) {
            Some(fit) => fit.http,
            None => http(connector(&self.tls)?),
        };
        *kept = Some(Kept { http: http.clone(), used_at: now });
        Ok(http)
    }
}

/// The TLS of a client that names its protocols itself.
pub(super) fn tls(authorities: Authorities) -> LazyTls {
    LazyTls::new(authorities, &[])
}

/// Connects to `https` and `http` addresses alike: whoever calls it has decided which hosts may be called without TLS.
pub(super) fn connector(tls: &LazyTls) -> Result<HttpsConnector<HttpConnector>, rustls::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    // A copy shares the memory of handshakes.
    let tls = rustls::ClientConfig::clone(&*tls.config()?);
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    Ok(builder.enable_http1().enable_http2().wrap_connector(tcp))
}

fn http(connector: HttpsConnector<HttpConnector>) -> Http {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(KEEP_IDLE)
        .pool_max_idle_per_host(KEPT_A_HOST)
        .http1_max_buf_size(MAX_HEAD_BYTES)
        .http1_max_headers(MAX_HEADERS)
        .http2_max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .http2_adaptive_window(true)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_EVERY)
        .build(connector)
}
