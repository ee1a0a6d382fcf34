//! Dynoxide's own server, on a thread of its own, reached by connections of its front's alone.
//!
//! It takes nothing but a TCP listener, and it answers every web page in a way that lets the page read the answer. So
//! it may not stay reachable, at whichever port. Each connection has a listener of its own, which is accepted from only
//! until the front's connection is: afterwards the accepting task is kept, for with it the connection would end, and is
//! not run any more. Whoever else connects to the listener waits in vain.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use dynoxide::Database;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::http_server::Reply;

/// How many connections are kept while nothing is asked.
const MAX_IDLE: usize = 64;

/// A connection to the server.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Dropped with the connection, which lets its accepting task go.
    _held: oneshot::Sender<()>,
}

/// The server.
pub(crate) struct DatabaseServer {
    database: Database,
    runtime: Handle,
    idle: Mutex<Vec<Connection>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl std::fmt::Debug for DatabaseServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseServer").finish_non_exhaustive()
    }
}

impl DatabaseServer {
    /// Starts the thread that serves.
    pub(crate) fn start(database: Database) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("dynamodb".to_owned()).spawn(move || {
            // Dropping the runtime afterwards ends its connections.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { database, runtime: handle, idle: Mutex::new(Vec::new()), stop, thread })
    }

    /// Ends the server and waits for its thread.
    pub(crate) fn stop(self) -> std::thread::Result<()> {
        let Self { idle, stop, thread, database, .. } = self;
        drop((idle, database));
        let _ = stop.send(());
        thread.join()
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Full<Bytes>>) -> io::Result<Reply> {
        let mut connection = match self.kept().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let response = connection.sender.send_request(request).await.map_err(io::Error::other)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        Ok(Reply::from_parts(parts, Full::new(body)))
    }

    async fn kept(&self) -> Option<Connection> {
        loop {
            let mut kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if kept.sender.ready().await.is_ok() {
                return Some(kept);
            }
        }
    }

    async fn connect(&self) -> io::Result<Connection> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (connected, accepted) = oneshot::channel();
        let (held, given_up) = oneshot::channel();
        self.runtime.spawn(serve_one(listener, self.database.clone(), accepted, given_up));
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the database's server");
            }
        });
        // An answer shows that the connection is accepted.
        let mut request = Request::new(Full::default());
        request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("localhost"));
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        answer.into_body().collect().await.map_err(io::Error::other)?;
        let _ = connected.send(());
        sender.ready().await.map_err(io::Error::other)?;
        Ok(Connection { sender, _held: held })
    }
}

/// Accepts until the front's connection is accepted, and then keeps what that connection depends on.
async fn serve_one(
    listener: std::net::TcpListener,
    database: Database,
    accepted: oneshot::Receiver<()>,
    given_up: oneshot::Receiver<()>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the database's server cannot listen"),
    };
    let mut serving = std::pin::pin!(dynoxide::server::serve_on(listener, database));
    tokio::select! {
        () = &mut serving => {}
        _ = accepted => {
            let _ = given_up.await;
        }
    }
}
