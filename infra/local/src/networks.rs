//! What listens where the networks' stand-ins are.
//!
//! This version has no stand-in for any network. Every request is answered 501 with a problem (RFC 9457) that says
//! so, which keeps the functions from calling a real network and tells whoever looks why nothing comes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

const MAX_CONNECTIONS: usize = 1000;
const HEAD_LIMIT: Duration = Duration::from_secs(60);

/// The networks that Carteiro knows, as they are named in paths.
const NETWORKS: [&str; 6] = ["facebook", "instagram", "x", "youtube", "googleplay", "linkedin"];

/// The running server. It stops when it is dropped.
pub(crate) struct Networks {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Networks {
    pub(crate) fn start(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { address, server: tokio::spawn(serve(listener)) })
    }

    /// Where it listens, as a URL without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        // The connections go with the set that the task owns.
        self.server.abort();
    }
}

async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_LIMIT)
                    .serve_connection(TokioIo::new(stream), service_fn(|request| async move {
                        Ok::<_, Infallible>(answer(request.uri().path()))
                    }));
                connections.spawn(connection);
            }
        }
    }
}

fn answer(path: &str) -> Response<Full<Bytes>> {
    let asked = path.split('/').nth(1).unwrap_or_default();
    let network = NETWORKS.iter().find(|network| **network == asked);
    let detail = network.map_or_else(
        || "this version has no stand-in for any network".to_owned(),
        |network| format!("this version has no stand-in for {network}"),
    );
    let problem = json!({"title": "Not Implemented", "status": 501, "detail": detail});
    let mut response = Response::new(Full::new(problem.to_string().into()));
    *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn every_request_is_answered_501_with_the_network_it_was_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let networks = Networks::start(listener).unwrap();
        for (path, named) in [("/facebook/v25.0/me", "for facebook"), ("/", "for any network")] {
            let mut stream = TcpStream::connect(networks.address).await.unwrap();
            let request =
                format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 501") && answer.contains("application/problem+json"),
                "{answer}"
            );
            assert!(answer.contains(named), "{answer}");
        }
    }
}
