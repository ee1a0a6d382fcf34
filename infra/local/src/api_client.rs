//! Calls Carteiro's HTTP API, as a customer's program would.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// How long one call may take: the HTTP API itself gives up after 30 s.
const CALL_LIMIT: Duration = Duration::from_secs(35);
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// How much of an answer an error shows.
const SHOWN_BYTES: usize = 300;

/// A call did not bring what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// There was no whole answer.
    #[error("{call}: no answer: {reason}")]
    NoAnswer {
        /// Method and path.
        call: String,
        /// Why.
        reason: String,
    },
    /// The answer has another status than expected, or lacks something.
    #[error("{call} was answered {status}: {body}")]
    Unexpected {
        /// Method and path.
        call: String,
        /// The status.
        status: StatusCode,
        /// The beginning of the body.
        body: String,
    },
}

impl CallError {
    /// Whether what was called for is not there, or not for this key.
    pub(crate) fn is_unknown(&self) -> bool {
        let unknown = [StatusCode::NOT_FOUND, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        matches!(self, Self::Unexpected { status, .. } if unknown.contains(status))
    }
}

/// An answer with the expected status.
#[derive(Debug)]
pub(crate) struct Answered {
    call: String,
    status: StatusCode,
    body: Bytes,
    json: Value,
}

impl Answered {
    /// A text field of the answer.
    pub(crate) fn text(&self, field: &str) -> Result<String, CallError> {
        self.json[field].as_str().map(str::to_owned).ok_or_else(|| self.lacks(field))
    }

    /// The answer's JSON.
    pub(crate) fn json(&self) -> &Value {
        &self.json
    }

    /// A number field of the answer.
    pub(crate) fn number(&self, field: &str) -> Result<u64, CallError> {
        self.json[field].as_u64().ok_or_else(|| self.lacks(field))
    }

    fn lacks(&self, field: &str) -> CallError {
        let body = format!("without a fitting {field}: {}", beginning(&self.body));
        CallError::Unexpected { call: self.call.clone(), status: self.status, body }
    }
}

/// The API at one address.
pub(crate) struct ApiClient {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

impl ApiClient {
    /// `base` is a URL without a slash at the end.
    pub(crate) fn new(base: &str) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), base: base.to_owned() }
    }

    /// Sends JSON, byte for byte, and expects `expected`.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        key: &str,
        body: Bytes,
        expected: StatusCode,
    ) -> Result<Answered, CallError> {
        let authorization = format!("Bearer {key}");
        self.send(method, path, (AUTHORIZATION.as_str(), &authorization), body, expected).await
    }

    /// Sends a push, as a network does: with its signature, and without a key.
    pub(crate) async fn push(
        &self,
        path: &str,
        signature: (&str, &str),
        body: Bytes,
    ) -> Result<Answered, CallError> {
        self.send(Method::POST, path, signature, body, StatusCode::OK).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        header: (&str, &str),
        body: Bytes,
        expected: StatusCode,
    ) -> Result<Answered, CallError> {
        let call = format!("{method} {path}");
        let exchange = tokio::time::timeout(CALL_LIMIT, self.exchange(method, path, header, body));
        let (status, body) = match exchange.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => return Err(CallError::NoAnswer { call, reason }),
            Err(_) => {
                let reason = format!("nothing within {} s", CALL_LIMIT.as_secs());
                return Err(CallError::NoAnswer { call, reason });
            }
        };
        if status != expected {
            return Err(CallError::Unexpected { call, status, body: beginning(&body) });
        }
        let json = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Answered { call, status, body, json })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        header: (&str, &str),
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), String> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header.0, header.1)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| chain(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    }
}

/// An error with what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Many libraries repeat the cause in their own text.
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text.replace('\n', " ")
}

fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..SHOWN_BYTES).unwrap_or(body)).into_owned();
    if text.is_empty() { "an empty body".to_owned() } else { text.replace(['\n', '\r'], " ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes_in_one_line() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);
        assert_eq!(chain(&Outer(std::io::Error::other("in\nner"))), "outer: in ner");
    }

    #[tokio::test]
    async fn a_refused_connection_is_no_answer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = ApiClient::new(&format!("http://{}", listener.local_addr().unwrap()));
        drop(listener);
        let error = client.call(Method::GET, "/a", "k", Bytes::new(), StatusCode::OK).await.unwrap_err();
        assert!(error.to_string().starts_with("GET /a: no answer: "), "{error}");
        assert!(!error.is_unknown());
    }
}
