//! Calls of the stack's services.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::{Value, json};

/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(35);

/// The largest answer that is read: a page of the receiver's.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Where a stack's services are, and its admin key: what `carteiro --json` prints.
#[derive(Clone, Debug, Deserialize)]
pub struct Addresses {
    /// The HTTP API.
    pub api: String,
    /// The receiver that stands in for a customer.
    pub receiver: String,
    /// DynamoDB.
    pub dynamodb: String,
    /// Lambda's Invoke API.
    pub lambda: String,
    /// The deployment's admin key.
    pub admin_key: String,
}

/// A call did not bring what it should.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There was no whole answer.
    #[error("{call}: no answer: {reason}")]
    NoAnswer {
        /// What was called.
        call: String,
        /// Why.
        reason: String,
    },
    /// The answer is not as expected.
    #[error("{call} was answered {status}: {body}")]
    Unexpected {
        /// What was called.
        call: String,
        /// The status.
        status: StatusCode,
        /// The beginning of the body.
        body: String,
    },
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    call: String,
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The JSON of an answer with this status.
    pub(crate) fn json(&self, expected: StatusCode) -> Result<Value, CallError> {
        let json = serde_json::from_slice(&self.body).unwrap_or_default();
        if self.status == expected { Ok(json) } else { Err(self.unexpected()) }
    }

    pub(crate) fn unexpected(&self) -> CallError {
        let body = self.body.get(..300).unwrap_or(&self.body);
        let body = String::from_utf8_lossy(body).replace(['\n', '\r'], " ");
        CallError::Unexpected { call: self.call.clone(), status: self.status, body }
    }
}

/// A client of a stack.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    client: Client<HttpConnector, Full<Bytes>>,
    pub(crate) addresses: Addresses,
}

impl Stack {
    pub(crate) fn new(addresses: Addresses) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), addresses }
    }

    /// Sends JSON to the API, under a key.
    pub(crate) async fn api(
        &self,
        method: Method,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<Answer, CallError> {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.call(method, &self.addresses.api, path, &headers, body.to_string().into()).await
    }

    /// Runs a tick now.
    pub(crate) async fn tick(&self) -> Result<(), CallError> {
        let path = "/2015-03-31/functions/CollectFunction/invocations";
        let answer =
            self.call(Method::POST, &self.addresses.lambda, path, &[], Bytes::from_static(b"{}")).await?;
        answer.json(StatusCode::OK).map(|_| ())
    }

    /// The entries in the inbox: pages and keys. It reads the whole table.
    pub(crate) async fn stored(&self) -> Result<HashSet<(String, String)>, CallError> {
        // Nobody checks the signature, but one has to be there.
        let signature = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, \
                         SignedHeaders=host, Signature=00";
        let headers = [
            ("x-amz-target", "DynamoDB_20120810.Scan"),
            ("content-type", "application/x-amz-json-1.0"),
            ("authorization", signature),
            ("x-amz-date", "20260101T000000Z"),
        ];
        let mut stored = HashSet::new();
        let mut request =
            json!({"TableName": "InboxTable", "ConsistentRead": true, "ProjectionExpression": "pk, sk"});
        loop {
            let body = request.to_string().into();
            let answer = self.call(Method::POST, &self.addresses.dynamodb, "/", &headers, body).await?;
            let mut answer = answer.json(StatusCode::OK)?;
            for row in answer["Items"].as_array().into_iter().flatten() {
                let text = |name: &str| row[name]["S"].as_str().unwrap_or_default().to_owned();
                // A page's entries are spread over shards: `<page>#<shard>`.
                let pk = text("pk");
                let (page, shard) = pk.rsplit_once('#').unwrap_or((pk.as_str(), ""));
                // Counts of what was dispatched are no entries.
                if shard == "fresh" {
                    continue;
                }
                stored.insert((page.to_owned(), text("sk")));
            }
            match answer.get_mut("LastEvaluatedKey").map(Value::take) {
                Some(last) if !last.is_null() => request["ExclusiveStartKey"] = last,
                _ => return Ok(stored),
            }
        }
    }

    /// What arrived at a path of the receiver after a number, and where to go on.
    pub(crate) async fn arrived(&self, path: &str, after: u64) -> Result<(Vec<Value>, u64), CallError> {
        let query = format!("/_/deliveries?path={path}&after={after}&limit=1000");
        let answer = self.call(Method::GET, &self.addresses.receiver, &query, &[], Bytes::new()).await?;
        let mut json = answer.json(StatusCode::OK)?;
        let Some(Value::Array(deliveries)) = json.get_mut("deliveries").map(Value::take) else {
            return Err(answer.unexpected());
        };
        let last = deliveries.last().and_then(|delivery| delivery["number"].as_u64()).unwrap_or(after);
        Ok((deliveries, last))
    }

    /// Tells the receiver a webhook's secret.
    pub(crate) async fn tell_secret(&self, secret: &str) -> Result<(), CallError> {
        let headers = [("content-type", "application/json")];
        let body = json!({"secret": secret}).to_string().into();
        let answer = self.call(Method::PUT, &self.addresses.receiver, "/_/secrets", &headers, body).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.unexpected()) }
    }

    /// One call.
    pub(crate) async fn call(
        &self,
        method: Method,
        base: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, CallError> {
        let call = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let failed = |reason: String| CallError::NoAnswer { call: call.clone(), reason };
        let mut request = Request::builder().method(method).uri(format!("{base}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|error| failed(error.to_string()))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| failed(error.to_string()))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
            Ok(Answer { call: call.clone(), status, body })
        };
        let answer = tokio::time::timeout(CALL_LIMIT, exchange).await;
        answer.unwrap_or_else(|_| Err(failed(format!("nothing within {} s", CALL_LIMIT.as_secs()))))
    }
}
