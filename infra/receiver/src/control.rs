//! The control API, for people and other programs, under `/_/`.
//!
//! - `GET /_/deliveries?path=&after=&limit=`: what is kept, oldest first, from the number above `after`; up to
//!   `limit` (100, at most 1000) or 16 MiB of bodies. `next` is the `after` of the next page, or null.
//! - `DELETE /_/deliveries`: forget it.
//! - `PUT /_/secrets` `{"secret": "whsec_…"}`: check signatures against this one too; `whpk_…`, a public key, likewise.
//! - `GET /_/behaviours`, `PUT /_/behaviours` `{"path": "/x", "answer": …}`: how paths answer (see the module
//!   `behaviour`); a null answer restores the default, 200.
//!
//! Errors are problem details (RFC 9457).

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode, request};
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::Shared;
use crate::behaviour::Behaviour;
use crate::response::{Body, plain};

/// What the control API's paths begin with.
pub(crate) const PREFIX: &str = "/_/";

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;

struct Refusal {
    code: StatusCode,
    detail: String,
    allow: Option<&'static str>,
}

fn refusal(code: StatusCode, detail: impl Into<String>) -> Refusal {
    Refusal { code, detail: detail.into(), allow: None }
}

pub(crate) fn answer(shared: &Shared, parts: &request::Parts, body: &[u8]) -> Response<Body> {
    let done = match (parts.uri.path(), parts.method.as_str()) {
        ("/_/deliveries", "GET") => deliveries(shared, parts.uri.query()),
        ("/_/deliveries", "DELETE") => {
            shared.store.clear();
            Ok(None)
        }
        ("/_/secrets", "PUT") => put_secret(shared, body),
        ("/_/behaviours", "GET") => Ok(Some(json!({"behaviours": shared.behaviours.to_json()}))),
        ("/_/behaviours", "PUT") => put_behaviour(shared, body),
        ("/_/deliveries", _) => Err(not_allowed(&parts.method, "GET, DELETE")),
        ("/_/secrets", _) => Err(not_allowed(&parts.method, "PUT")),
        ("/_/behaviours", _) => Err(not_allowed(&parts.method, "GET, PUT")),
        (path, _) => Err(refusal(StatusCode::NOT_FOUND, format!("there is no {path}"))),
    };
    match done {
        Ok(Some(value)) => typed(StatusCode::OK, "application/json", &value),
        Ok(None) => plain(StatusCode::NO_CONTENT, Bytes::new()),
        Err(refusal) => problem(&refusal),
    }
}

fn not_allowed(method: &Method, allow: &'static str) -> Refusal {
    let detail = format!("{method} is not among {allow}");
    Refusal { code: StatusCode::METHOD_NOT_ALLOWED, detail, allow: Some(allow) }
}

fn problem(refusal: &Refusal) -> Response<Body> {
    let title = refusal.code.canonical_reason().unwrap_or("Error");
    let value = json!({"title": title, "status": refusal.code.as_u16(), "detail": refusal.detail});
    let mut response = typed(refusal.code, "application/problem+json", &value);
    if let Some(allow) = refusal.allow {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    }
    response
}

fn typed(code: StatusCode, content_type: &'static str, value: &Value) -> Response<Body> {
    let mut response = plain(code, value.to_string().into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn deliveries(shared: &Shared, query: Option<&str>) -> Result<Option<Value>, Refusal> {
    let (mut path, mut after, mut limit) = (None, 0, DEFAULT_LIMIT);
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let wrong = || refusal(StatusCode::BAD_REQUEST, format!("{name}: {value} is not a fitting number"));
        match &*name {
            "path" => path = (!value.is_empty()).then(|| value.into_owned()),
            "after" => after = value.parse().map_err(|_| wrong())?,
            "limit" => {
                let given: usize = value.parse().map_err(|_| wrong())?;
                limit = (1..=MAX_LIMIT).contains(&given).then_some(given).ok_or_else(wrong)?;
            }
            _ => return Err(refusal(StatusCode::BAD_REQUEST, format!("{name} is no parameter"))),
        }
    }
    let mut found = shared.store.after(path.as_deref(), after, limit + 1);
    let mut bytes = 0;
    let fit = found.iter().take(limit).take_while(|delivery| {
        bytes += delivery.body.len();
        bytes <= MAX_PAGE_BYTES
    });
    // At least one, or the next page would be the same.
    let fit = fit.count().max(1);
    let more = found.len() > fit;
    found.truncate(fit);
    let next = more.then(|| found.last().map(|delivery| delivery.number));
    Ok(Some(json!({
        "deliveries": found.iter().map(|delivery| delivery.to_json()).collect::<Vec<_>>(),
        "next": next,
        "totals": shared.store.totals(),
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretForm {
    secret: String,
}

fn put_secret(shared: &Shared, body: &[u8]) -> Result<Option<Value>, Refusal> {
    let bad = |detail: String| refusal(StatusCode::BAD_REQUEST, detail);
    let form: SecretForm = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    let secret = form.secret.parse();
    secret.and_then(|secret| shared.secrets.add(secret)).map_err(|error| bad(error.to_string()))?;
    Ok(None)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BehaviourForm {
    path: String,
    answer: Value,
}

fn put_behaviour(shared: &Shared, body: &[u8]) -> Result<Option<Value>, Refusal> {
    let bad = |detail: String| refusal(StatusCode::BAD_REQUEST, detail);
    let form: BehaviourForm = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    let path = form.path;
    if !path.starts_with('/') || path.starts_with(PREFIX) || path.contains(['?', '#']) {
        return Err(bad(format!("path: it begins with /, not with {PREFIX}, and has no query")));
    }
    if form.answer.is_null() {
        shared.behaviours.remove(&path);
        return Ok(None);
    }
    let behaviour = Behaviour::try_from(form.answer).map_err(|error| bad(format!("answer: {error}")))?;
    if shared.behaviours.set_bounded(&path, behaviour) {
        Ok(None)
    } else {
        Err(bad("too many paths have a behaviour of their own".to_owned()))
    }
}
