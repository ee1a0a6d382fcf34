//! The HTTP/1.1 server under every port of the local stack.
//!
//! A handler answers, or breaks the connection by an error. Bounded: connections, a request's head, and the time that a
//! connection may idle or take over a head.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::guarded;

/// The most bytes of a request's line and headers.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long a connection may idle or take over a request's head.
const HEAD_LIMIT: Duration = Duration::from_secs(300);

/// The pause after a connection that could not be accepted. Most likely there are too many open files, and others'
/// connections must end before it gets better.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most connections at once; more wait to be accepted.
    pub connections: usize,
    /// How long requests under way have to end after the stop. None: every connection breaks at once.
    pub grace: Option<Duration>,
}

/// Serves `listener` until `stop` ends, behind [`guarded`]. `whole` makes a body of a refusal's text.
pub async fn serve<B, E, H, F>(
    listener: TcpListener,
    bounds: Bounds,
    stop: impl Future<Output = ()> + Send,
    whole: fn(Bytes) -> B,
    handler: H,
) where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>> + 'static,
    H: Fn(Request<Incoming>, SocketAddr) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
{
    let handler = Arc::new(handler);
    let closing = watch::Sender::new(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < bounds.connections => match accepted {
                Ok((stream, peer)) => {
                    let handler = Arc::clone(&handler);
                    connections.spawn(converse(stream, closing.subscribe(), whole, move |request| handler(request, peer)));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    if let Some(grace) = bounds.grace {
        closing.send_replace(true);
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, ended).await.is_ok() {
            return;
        }
    }
    connections.shutdown().await;
}

async fn converse<B, E, F>(
    stream: TcpStream,
    closing: watch::Receiver<bool>,
    whole: fn(Bytes) -> B,
    handler: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
) where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>> + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
{
    // Without it, small writes wait for the client's acknowledgements. An error costs speed alone.
    let _ = stream.set_nodelay(true);
    let handler = Arc::new(handler);
    let service = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { guarded(request, whole, |request| handler(request)).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Connections that are dropped on purpose end here, too.
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Ends when `stop` becomes true, or when its sender is gone.
pub async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
