//! A call as the stand-ins read it, and what they answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use carteiro_networks::network::Network;
use http::{HeaderMap, Method, request};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use url::form_urlencoded;

/// Parameters whose values are secret.
const SECRET: [&str; 10] = [
    "access_token",
    "appsecret_proof",
    "assertion",
    "client_secret",
    "code",
    "fb_exchange_token",
    "input_token",
    "key",
    "oauth_token",
    "refresh_token",
];

/// A call of a network's API. It holds a token, and is not printed.
pub(crate) struct Request {
    pub(crate) network: Network,
    /// Whether it came to the network's other address, where its tokens are dealt with.
    pub(crate) to_token_address: bool,
    pub(crate) method: Method,
    /// The path below the network's address, as it came.
    pub(crate) path: String,
    /// Its parts, decoded.
    pub(crate) segments: Vec<String>,
    /// The query as it came.
    pub(crate) raw_query: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    /// The body, where it is a form.
    pub(crate) form: Vec<(String, String)>,
    /// The body, where it is JSON.
    pub(crate) json: Value,
    pub(crate) now_ms: u64,
}

impl Request {
    /// None where the path is no network's.
    pub(crate) fn read(parts: &request::Parts, body: &Bytes, now_ms: u64) -> Option<Self> {
        let (network, below) = parts
            .uri
            .path()
            .strip_prefix('/')?
            .split_once('/')
            .unwrap_or_else(|| (parts.uri.path().trim_start_matches('/'), ""));
        let network: Network = network.parse().ok()?;
        let (to_token_address, below) = match below.strip_prefix("token") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => (true, rest.trim_start_matches('/')),
            _ => (false, below),
        };
        let decoded = |segment: &str| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        let raw_query = parts.uri.query().unwrap_or_default().to_owned();
        let pairs = |bytes: &[u8]| form_urlencoded::parse(bytes).into_owned().collect::<Vec<_>>();
        let content_type = parts.headers.get("content-type").and_then(|value| value.to_str().ok());
        let is_form = content_type
            .is_some_and(|of| of.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
        Some(Self {
            network,
            to_token_address,
            method: parts.method.clone(),
            path: format!("/{below}"),
            segments: below.split('/').filter(|one| !one.is_empty()).map(decoded).collect(),
            query: pairs(raw_query.as_bytes()),
            raw_query,
            headers: parts.headers.clone(),
            form: if is_form { pairs(body) } else { Vec::new() },
            json: serde_json::from_slice(body).unwrap_or_default(),
            now_ms,
        })
    }

    /// A parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A field of the form.
    pub(crate) fn form(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The token in `authorization: Bearer …`.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// The id and the secret in `authorization: Basic …`.
    pub(crate) fn basic(&self) -> Option<(String, String)> {
        let (scheme, pair) = self.header("authorization")?.split_once(' ')?;
        let pair = STANDARD.decode(scheme.eq_ignore_ascii_case("basic").then(|| pair.trim())?).ok()?;
        let (id, secret) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
        Some((id.to_owned(), secret.to_owned()))
    }

    /// The token that the call is made with, wherever it is.
    pub(crate) fn token(&self) -> Option<&str> {
        self.bearer().or_else(|| self.query("access_token")).or_else(|| self.form("refresh_token"))
    }

    /// The query without secrets.
    pub(crate) fn safe_query(&self) -> String {
        let is_safe = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            let name = percent_decode_str(name).decode_utf8_lossy();
            !SECRET.contains(&name.as_ref())
        };
        self.raw_query.split('&').filter(is_safe).collect::<Vec<_>>().join("&")
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// What it took of the network's budget.
    pub(crate) units: u32,
    /// Whether the call should not have been made.
    pub(crate) over_limit: bool,
    /// Whether the token was refused as dead.
    pub(crate) refused_token: bool,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::typed(status, "application/json; charset=UTF-8", body.to_string())
    }

    pub(crate) fn typed(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into(),
            units: 1,
            over_limit: false,
            refused_token: false,
        }
    }

    /// A refusal by the fake itself, which no network has a form for.
    pub(crate) fn problem(status: u16, detail: &str) -> Self {
        let title = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let problem = serde_json::json!({"title": title, "status": status, "detail": detail});
        Self::typed(status, "application/problem+json", problem.to_string())
    }

    pub(crate) fn with(mut self, name: &'static str, value: &(impl ToString + ?Sized)) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(crate) fn over_limit(mut self, is_over: bool) -> Self {
        self.over_limit = is_over;
        self
    }

    pub(crate) fn refusing_the_token(mut self) -> Self {
        self.refused_token = true;
        self
    }
}
