//! A connection to a webhook's host, over which requests are sent: HTTP/1.1, one at a time, or HTTP/2.
//!
//! Its tasks end with it, at once and whatever the other side does: a receiver that reads nothing would else keep a
//! farewell, its task and its descriptor for ever.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use carteiro_core::response_head::is_regular;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::failed::Failed;
use super::heard::{Heard, Listening};
use super::shared_tcp::is_quiet;
use crate::runtime::clock::Stopwatch;

/// How much of a response's headers is read (HTTP/1: the whole head; HTTP/2: the decoded list).
const MAX_RESPONSE_HEAD_BYTES: usize = 64 * 1024;

/// How many headers a response may have (HTTP/1). Room for all of them is made for each head that is parsed, those of a
/// flood of 1xx among them.
const MAX_RESPONSE_HEADERS: usize = 256;

/// How far an HTTP/2 receiver may send a body ahead of the reader: of one response, and of all on a connection.
const STREAM_WINDOW: u32 = 65_535;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How often an HTTP/2 connection in use is asked whether it is alive, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(5);

/// How long a kept connection may take to say that it is ready, which it is or is not: time for its task to run.
const READY: Duration = Duration::from_millis(100);

/// A connection. Its owner is its only user.
pub(crate) struct Connection {
    requests: Requests,
    /// The address that it leads to.
    peer: SocketAddr,
    /// They end with it.
    _tasks: Tasks,
    opened: Stopwatch,
}

/// The way in.
enum Requests {
    Http1 { channel: http1::SendRequest<Full<Bytes>>, tcp: Arc<TcpStream>, heard: Heard },
    Http2 { channel: http2::SendRequest<Full<Bytes>> },
}

/// How a request ended.
pub(crate) enum Sent {
    /// It was answered.
    Answered {
        /// The response's head, its body to come.
        response: Response<Incoming>,
        /// Whether everybody reads its head in the same way.
        is_regular: bool,
    },
    /// Nothing was sent: the connection ended before. The cause is given where it is known.
    NotSent(Failed),
}

impl Connection {
    /// Speaks HTTP/1.1 over a stream on top of this TCP connection.
    pub(crate) async fn http1<S>(stream: S, tcp: Arc<TcpStream>, peer: SocketAddr) -> Result<Self, Failed>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut builder = http1::Builder::new();
        builder
            .max_buf_size(MAX_RESPONSE_HEAD_BYTES)
            .max_headers(MAX_RESPONSE_HEADERS)
            // As the common clients do: a 2xx is a 2xx, whatever a script wrote into its head.
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .ignore_invalid_headers_in_responses(true);
        let heard = Heard::default();
        let stream = Listening { stream, heard: heard.clone(), most: MAX_RESPONSE_HEAD_BYTES };
        let handshake = builder.handshake(TokioIo::new(stream)).await;
        let (channel, connection) = handshake.map_err(|error| Failed::of_head(&error, &[]))?;
        let tasks = Tasks::default();
        // Its requests report how it ended.
        tasks.spawner().spawn(async move { _ = connection.await });
        Ok(Self {
            requests: Requests::Http1 { channel, tcp, heard },
            peer,
            _tasks: tasks,
            opened: Stopwatch::start(),
        })
    }

    /// Speaks HTTP/2 over a stream.
    pub(crate) async fn http2<S>(stream: S, peer: SocketAddr) -> Result<Self, Failed>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let tasks = Tasks::default();
        let mut builder = http2::Builder::new(tasks.spawner());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .max_header_list_size(u32::try_from(MAX_RESPONSE_HEAD_BYTES).unwrap_or(u32::MAX));
        let handshake = builder.handshake(TokioIo::new(stream)).await;
        let (channel, connection) = handshake.map_err(|error| Failed::of_http2(&error))?;
        tasks.spawner().spawn(async move { _ = connection.await });
        Ok(Self { requests: Requests::Http2 { channel }, peer, _tasks: tasks, opened: Stopwatch::start() })
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.requests, Requests::Http2 { .. })
    }

    /// The address that it leads to.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn age(&self) -> Duration {
        Duration::from_millis(self.opened.elapsed_ms())
    }

    /// Whether a kept connection can be used again: it is open, and no unrequested bytes arrived.
    pub(crate) async fn is_fit(&mut self) -> bool {
        let ready = async {
            match &mut self.requests {
                Requests::Http1 { channel, tcp, .. } => channel.ready().await.is_ok() && is_quiet(tcp),
                Requests::Http2 { channel } => channel.ready().await.is_ok(),
            }
        };
        tokio::time::timeout(READY, ready).await.unwrap_or(false)
    }

    /// Sends a request. An error is one of a connection that broke when the request may have been sent.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Sent, Failed> {
        match &mut self.requests {
            Requests::Http1 { channel, heard, .. } => {
                heard.begin();
                let sent = channel.try_send_request(request).await;
                let heard = heard.end();
                match sent {
                    Ok(response) => Ok(Sent::Answered { response, is_regular: is_regular(&heard) }),
                    Err(error) => not_answered(error, |error| Failed::of_head(error, &heard)),
                }
            }
            Requests::Http2 { channel } => match channel.try_send_request(request).await {
                Ok(response) => Ok(Sent::Answered { response, is_regular: true }),
                Err(error) => not_answered(error, Failed::of_http2),
            },
        }
    }
}

fn not_answered(
    mut error: TrySendError<Request<Full<Bytes>>>,
    why: impl Fn(&hyper::Error) -> Failed,
) -> Result<Sent, Failed> {
    // The request comes back where nothing of it was written.
    let is_sent = error.take_message().is_none();
    let failed = why(&error.into_error());
    if is_sent { Err(failed) } else { Ok(Sent::NotSent(failed)) }
}

/// The tasks of a connection; they end with it.
#[derive(Default)]
struct Tasks(Arc<Mutex<Vec<AbortHandle>>>);

impl Tasks {
    fn spawner(&self) -> Spawner {
        Spawner(Arc::clone(&self.0))
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

/// Spawns tasks of a connection. The tasks hold it, so it does not hold the connection.
#[derive(Clone)]
struct Spawner(Arc<Mutex<Vec<AbortHandle>>>);

impl Spawner {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(task).abort_handle();
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}
