//! One request that arrived, and what its signature is worth.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use serde_json::{Value, json};

carteiro_core::named! {
    /// What the headers of Standard Webhooks are worth.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum SignatureCheck {
        /// A known secret or public key fits.
        Valid = "valid",
        /// None of the known secrets and public keys fits: it was altered, or signed by another.
        Invalid = "invalid",
        /// There is no `webhook-signature`.
        Missing = "missing",
        /// There is one, but a header beside it is missing or malformed.
        Malformed = "malformed",
        /// The timestamp is too far from the receiver's clock, so no secret was tried.
        Stale = "timestamp too far from now",
        /// There is one, but the receiver knows no secret and no public key to check it with.
        UnknownSecret = "unknown secret",
    }
}

/// One request that arrived whole.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its place in the order of arrival (of the end of the body): 1, 2, …; never used twice.
    pub number: u64,
    /// When, in milliseconds since the Unix epoch.
    pub received_at_ms: u64,
    /// The request's method.
    pub method: Method,
    /// The request's path as it was sent, without the query.
    pub path: Arc<str>,
    /// The query as it was sent, without the `?`.
    pub query: Option<String>,
    /// Names (in lower case) and values, in the order in which names came first. Bytes of a value that are not UTF-8
    /// are shown as U+FFFD.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Bytes,
    /// What its signature is worth.
    pub signature: SignatureCheck,
    /// The status that it is answered with; `None` where the connection gets no status at all.
    pub answered: Option<u16>,
}

impl Delivery {
    /// A header's first value; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The `webhook-id`.
    #[must_use]
    pub fn webhook_id(&self) -> Option<&str> {
        self.header("webhook-id")
    }

    /// The `carteiro-attempt`, where it is a number.
    #[must_use]
    pub fn attempt(&self) -> Option<u32> {
        self.header("carteiro-attempt").and_then(|value| value.parse().ok())
    }

    /// When it arrived, RFC 3339.
    pub(crate) fn received_at(&self) -> String {
        let ms = i64::try_from(self.received_at_ms).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_string()
    }

    /// What it weighs in memory, near enough to keep a bound by.
    pub(crate) fn weight(&self) -> usize {
        // Two strings and their allocations for a header; the structure itself and its places in the indexes.
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 80).sum();
        self.body.len() + headers + 512
    }

    /// As the control API shows it.
    pub(crate) fn to_json(&self) -> Value {
        let (encoding, body) = match std::str::from_utf8(&self.body) {
            Ok(text) => ("text", text.to_owned()),
            Err(_) => ("base64", STANDARD.encode(&self.body)),
        };
        json!({
            "number": self.number,
            "received_at": self.received_at(),
            "method": self.method.as_str(),
            "path": &*self.path,
            "query": self.query,
            "headers": self.headers,
            "body": body,
            "encoding": encoding,
            "signature": self.signature.as_str(),
            "webhook_id": self.webhook_id(),
            "answered": self.answered,
        })
    }
}

/// Copies the headers, so that nothing kept holds on to the connection's read buffer.
pub(crate) fn copy_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let copy = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), copy(value.as_bytes()))).collect()
}
