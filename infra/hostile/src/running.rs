//! A receiver of the catalogue, listening.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::authority::{Authority, AuthorityError};
use crate::{Certificate, Hostile, Stage, Wire};

/// How many bytes a receiver's socket takes before it is read: little, so that a large request does not fit.
const RECEIVE_BUFFER: usize = 8 * 1024;

/// How many connections fill the queue of a socket that listens with the shortest one, whatever the system adds.
const FILLING: usize = 8;

/// How long a connection that should fill the queue may take; one that does not come about shows that it is full.
const FILLED: Duration = Duration::from_millis(50);

/// Why a receiver does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No socket.
    #[error("no socket could be had")]
    Socket(#[from] io::Error),
    /// No certificate.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// A receiver that runs until it is dropped.
#[derive(Debug)]
pub struct Running {
    /// The URL of a webhook at it.
    pub url: String,
    connections: Arc<AtomicUsize>,
    server: Option<JoinHandle<()>>,
    /// What must stay open meanwhile: a socket that nobody accepts from, and what fills its queue.
    _held: Vec<Held>,
}

#[derive(Debug)]
enum Held {
    Listening { _socket: Socket },
    Connected { _stream: TcpStream },
}

impl Running {
    /// Starts one, with a certificate of this authority where it shows one.
    ///
    /// # Errors
    /// Where there is no socket, or no certificate.
    pub async fn start(hostile: &Hostile, authority: &Authority) -> Result<Self, StartError> {
        match hostile.stage {
            Stage::Nobody => Self::nobody().await,
            Stage::FullBacklog => Self::full_backlog().await,
            Stage::Tcp => Self::serve(hostile, "http", None).await,
            Stage::TcpForTls => Self::serve(hostile, "https", None).await,
            Stage::Tls(certificate) => {
                let tls = authority.server(certificate, &[b"http/1.1"])?;
                Self::serve(hostile, "https", Some(tls.into())).await
            }
            Stage::TlsOfClients => {
                Self::serve(hostile, "https", Some(authority.server_of_clients()?.into())).await
            }
            Stage::Http2 => {
                let tls = authority.server(Certificate::Good, &[b"h2"])?;
                Self::serve(hostile, "https", Some(tls.into())).await
            }
        }
    }

    /// How many connections it accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    async fn nobody() -> Result<Self, StartError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = url("http", listener.local_addr()?);
        Ok(Self { url, connections: Arc::default(), server: None, _held: Vec::new() })
    }

    async fn full_backlog() -> Result<Self, StartError> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        socket.listen(0)?;
        let address = socket.local_addr()?.as_socket();
        let address = address.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        let mut held = vec![Held::Listening { _socket: socket }];
        for _ in 0..FILLING {
            match tokio::time::timeout(FILLED, TcpStream::connect(address)).await {
                Ok(stream) => held.push(Held::Connected { _stream: stream? }),
                Err(_) => break,
            }
        }
        Ok(Self { url: url("http", address), connections: Arc::default(), server: None, _held: held })
    }

    async fn serve(hostile: &Hostile, scheme: &str, tls: Option<TlsAcceptor>) -> Result<Self, StartError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        SockRef::from(&listener).set_recv_buffer_size(RECEIVE_BUFFER)?;
        let url = url(scheme, listener.local_addr()?);
        let connections = Arc::new(AtomicUsize::new(0));
        let server = tokio::spawn(accept(listener, hostile.behave, tls, Arc::clone(&connections)));
        Ok(Self { url, connections, server: Some(server), _held: Vec::new() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

fn url(scheme: &str, address: SocketAddr) -> String {
    format!("{scheme}://{address}/webhook")
}

async fn accept(
    listener: TcpListener,
    behave: fn(Wire) -> crate::Behaving,
    tls: Option<TlsAcceptor>,
    connections: Arc<AtomicUsize>,
) {
    // They end with the listener.
    let mut open = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::Relaxed);
        while open.try_join_next().is_some() {}
        // Small writes of a drip go out as they are.
        let _ = stream.set_nodelay(true);
        let tls = tls.clone();
        open.spawn(async move {
            // Whatever goes wrong here is what the receiver is for, or the sender's own way to end it.
            let _ = match tls {
                None => behave(Wire::new(stream)).await,
                Some(tls) => match tls.accept(stream).into_fallible().await {
                    Ok(stream) => behave(Wire::new(stream)).await,
                    // Closed with bytes unread, the connection would be reset, and the alert lost before it is read.
                    Err((_, stream)) => Wire::new(stream).listen().await,
                },
            };
        });
    }
}
