//! The stand-ins on a clock, and a client.

use std::time::Duration;

use bytes::Bytes;
use carteiro_clock::{Clock, testing};
use carteiro_fake_networks::Networks;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::net::TcpListener;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct World {
    pub(crate) networks: Networks,
    pub(crate) clock: Clock,
    client: Client<HttpConnector, Full<Bytes>>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("{name}: {:?}", self.headers)).to_str().unwrap()
    }

    /// The elements' ids.
    pub(crate) fn ids(&self) -> Vec<String> {
        ids(&self.json())
    }
}

pub(crate) fn ids(list: &Value) -> Vec<String> {
    let data = list["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    data.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

impl World {
    pub(crate) async fn start() -> Self {
        let clock = testing::clock();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let networks = Networks::start(listener, clock.clone()).unwrap();
        Self { networks, clock, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// A GET with a token; None where the connection was closed.
    pub(crate) async fn try_get(&self, path: &str, token: &str) -> Option<Answer> {
        let url =
            if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.networks.url()) };
        let mut request = Request::get(url);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.send(request.body(Full::default()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.try_get(path, token).await.expect("an answer")
    }

    /// A GET with a token and other headers.
    pub(crate) async fn get_with(&self, path: &str, token: &str, headers: &[(&str, &str)]) -> Answer {
        let url = format!("{}{path}", self.networks.url());
        let mut request = Request::get(url).header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::default()).unwrap()).await.expect("an answer")
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Option<Answer> {
        let request =
            Request::post(format!("{}{path}", self.networks.url())).header("content-type", content_type);
        self.send(request.body(Full::new(body.into())).unwrap()).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Option<Answer> {
        let response = self.client.request(request).await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some(Answer { status, headers, text: String::from_utf8(body.to_vec()).unwrap() })
    }
}
