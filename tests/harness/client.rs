//! A client of the HTTP API.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::heard::{Asked, Heard};
use crate::{ADMIN_KEY, Account, Webhook};

/// A client of one deployment.
#[derive(Clone, Debug)]
pub struct Client {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    base: String,
    heard: Heard,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// The same reply, which must have this status.
    #[track_caller]
    pub fn with_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Client {
    /// A client of the API at this address.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let http = HttpClient::builder(TokioExecutor::new()).build_http();
        Self { http, base: base.to_owned(), heard: Heard::default() }
    }

    /// What it, and its clones, were answered.
    #[must_use]
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Makes a request; None where there was no answer.
    pub async fn try_request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Option<Reply> {
        let body = body.into();
        let asked = Asked { method: &method, path, headers, body: &body };
        self.heard.asked(asked);
        let mut request = Request::builder().method(method.clone()).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.clone())).expect("a request");
        let response = self.http.request(request).await.ok()?;
        let (head, answer) = response.into_parts();
        let answer = answer.collect().await.ok()?.to_bytes();
        self.heard.answered(asked, head.status.as_u16(), &head.headers, &answer);
        Some(Reply { status: head.status.as_u16(), headers: head.headers, body: answer })
    }

    /// Makes a request, which must be answered.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        self.try_request(method, path, headers, body).await.unwrap_or_else(|| panic!("no answer from {path}"))
    }

    /// Makes a JSON request with a key.
    pub async fn call(&self, method: Method, path: &str, key: &str, body: impl Into<Bytes>) -> Reply {
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        self.request(method, path, &headers, body).await
    }

    /// POST.
    pub async fn post(&self, path: &str, key: &str, body: impl Into<Bytes>) -> Reply {
        self.call(Method::POST, path, key, body).await
    }

    /// GET.
    pub async fn get(&self, path: &str, key: &str) -> Reply {
        self.call(Method::GET, path, key, Bytes::new()).await
    }

    /// All entries of a list, page by page; the path has a query.
    ///
    /// # Panics
    /// Where the pages do not end.
    pub async fn all(&self, path: &str, key: &str) -> Vec<Value> {
        let (mut entries, mut cursor) = (Vec::new(), String::new());
        for _ in 0..10_000 {
            let page = self.get(&format!("{path}{cursor}"), key).await.with_status(200).json();
            entries.extend(page["data"].as_array().unwrap_or_else(|| panic!("{page}")).iter().cloned());
            let Some(next) = page["next"].as_str() else { return entries };
            cursor = format!("&cursor={next}");
        }
        panic!("the pages do not end");
    }

    /// PATCH.
    pub async fn patch(&self, path: &str, key: &str, patch: &Value) -> Reply {
        self.call(Method::PATCH, path, key, patch.to_string()).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str, key: &str) -> Reply {
        self.call(Method::DELETE, path, key, Bytes::new()).await
    }

    /// POST with an idempotency key.
    pub async fn post_once(&self, path: &str, key: &str, once: &str, body: impl Into<Bytes>) -> Reply {
        let authorization = format!("Bearer {key}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", once),
        ];
        self.request(Method::POST, path, &headers, body).await
    }

    /// Creates an account.
    pub async fn account(&self) -> Account {
        let given = json!({"name": "An account"}).to_string();
        let account = self.post("/accounts", ADMIN_KEY, given).await.with_status(201).json();
        let text = |field: &str| account[field].as_str().expect(field).to_owned();
        Account { id: text("id"), key: text("key") }
    }

    /// Creates a webhook.
    pub async fn webhook(&self, account: &Account, settings: Value) -> Webhook {
        let reply = self.post("/webhooks", &account.key, settings.to_string()).await;
        let webhook = reply.with_status(201).json();
        let text = |field: &str| webhook[field].as_str().expect(field).to_owned();
        Webhook { id: text("id"), secret: text("secret") }
    }
}
