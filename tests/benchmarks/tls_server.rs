//! A server over TLS on the loopback interface, every address of which is a host of its own.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, SanType};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What a request is answered with.
pub(crate) type Answer = dyn Fn(&http::request::Parts) -> &'static str + Send + Sync;

/// A server that runs until it is dropped.
pub(crate) struct TlsServer {
    port: u16,
    task: tokio::task::JoinHandle<()>,
    full_handshakes: Arc<AtomicU64>,
    folder: TempDir,
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The `n`th host of the loopback interface.
pub(crate) fn host(n: u16) -> Ipv4Addr {
    let [high, low] = n.to_be_bytes();
    Ipv4Addr::new(127, 77, high, low)
}

impl TlsServer {
    /// A server for the first `hosts` hosts and for 127.0.0.1, on one port. It keeps connections, or closes each after
    /// an answer.
    pub(crate) async fn start(hosts: u16, keeps_connections: bool, answer: Arc<Answer>) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        let names = (0..hosts).map(host).chain([Ipv4Addr::LOCALHOST]);
        parameters.subject_alt_names = names.map(|host| SanType::IpAddress(IpAddr::V4(host))).collect();
        let certificate = parameters.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("roots.pem"), certificate.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_no_client_auth();
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let full_handshakes = Arc::new(AtomicU64::new(0));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let counted = Arc::clone(&full_handshakes);
        let task = tokio::spawn(accept(listener, acceptor, keeps_connections, answer, counted));
        Self { port, task, full_handshakes, folder }
    }

    /// The address of one of its hosts, or of 127.0.0.1.
    pub(crate) fn url(&self, n: Option<u16>) -> String {
        format!("https://{}:{}", n.map_or(Ipv4Addr::LOCALHOST, host), self.port)
    }

    /// The file with the certificate that its clients trust.
    pub(crate) fn roots(&self) -> PathBuf {
        self.folder.path().join("roots.pem")
    }

    /// How many handshakes were full ones, none of them a resumed one.
    pub(crate) fn full_handshakes(&self) -> u64 {
        self.full_handshakes.load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    keeps_connections: bool,
    answer: Arc<Answer>,
    full_handshakes: Arc<AtomicU64>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
        let full_handshakes = Arc::clone(&full_handshakes);
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Full) {
                full_handshakes.fetch_add(1, Ordering::Relaxed);
            }
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = Arc::clone(&answer);
                async move {
                    let (parts, body) = request.into_parts();
                    let _ = body.collect().await;
                    let mut response =
                        Response::new(Full::new(Bytes::from_static(answer(&parts).as_bytes())));
                    let json = http::HeaderValue::from_static("application/x-amz-json-1.0");
                    response.headers_mut().insert("content-type", json);
                    Ok::<_, Infallible>(response)
                }
            });
            let mut server = http1::Builder::new();
            server.keep_alive(keeps_connections);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
