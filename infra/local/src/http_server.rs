//! The HTTP/1.1 server under every front of the stack.
//!
//! A handler answers, or drops the connection without an answer. Stopping ends every connection at once,
//! which also ends a function whose Runtime API goes away. Web pages of other origins are refused ([`carteiro_http`]).

use std::net::SocketAddr;

use bytes::Bytes;
use carteiro_http::{Bounds, serve, stopped};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The most connections of one server at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;

/// An answer with its whole body.
pub(crate) type Reply = Response<Full<Bytes>>;

/// The connection breaks without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped")]
pub(crate) struct Dropped;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `listener` until [`Server::stop`], or until this is dropped.
    pub(crate) fn start<H, F>(listener: TcpListener, handler: H) -> Self
    where
        H: Fn(Request<Incoming>, SocketAddr) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Reply, Dropped>> + Send + 'static,
    {
        let (stop, stopping) = watch::channel(false);
        let bounds = Bounds { connections: MAX_CONNECTIONS, grace: None };
        let task = tokio::spawn(serve(listener, bounds, stopped(stopping), Full::new, handler));
        Self { stop, task }
    }

    /// Breaks every connection and waits until they are gone.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "a server did not end by itself");
        }
    }
}

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It is longer than the limit.
    TooLarge,
    /// The connection broke.
    Broken,
}

/// Reads a whole body of at most `limit` bytes.
pub(crate) async fn read_body(body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Err(_) => Err(BodyError::Broken),
    }
}

/// An answer of JSON.
pub(crate) fn json_reply(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    reply
}
