//! Bodies of requests: one JSON object, bounded.

use carteiro_adapters::runtime::http_api::Request;
use carteiro_core::json::NotJson;
use carteiro_core::problem::{FieldError, Problem};
use serde_json::{Map, Value};

/// The largest body, in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// The body as a JSON object.
pub(crate) fn object(request: &Request) -> Result<Map<String, Value>, Problem> {
    if request.body.len() > MAX_BODY_BYTES {
        return Err(Problem::too_large(format!("at most {MAX_BODY_BYTES} bytes are taken")));
    }
    match serde_json::from_slice(request.uncompressed()?) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::bad_request("the body is not a JSON object")),
        Err(error) => Err(Problem::bad_request(format!("the body is not JSON: {}", NotJson::of(&error)))),
    }
}

/// The body as a JSON object; an empty body is an empty one.
pub(crate) fn optional_object(request: &Request) -> Result<Map<String, Value>, Problem> {
    if request.body.is_empty() { Ok(Map::new()) } else { object(request) }
}

/// A text field of 1 to `most` bytes that must be there.
pub(crate) fn text(
    object: &Map<String, Value>,
    field: &'static str,
    most: usize,
) -> Result<String, FieldError> {
    let value = object.get(field).and_then(Value::as_str).map(str::trim);
    let value = value.filter(|value| (1..=most).contains(&value.len()));
    value
        .map(str::to_owned)
        .ok_or_else(|| FieldError::new(field, format!("a text of 1 to {most} bytes is expected")))
}

/// Refuses fields that nobody reads.
pub(crate) fn only(object: &Map<String, Value>, known: &[&str]) -> Vec<FieldError> {
    let unknown = object.keys().filter(|name| !known.contains(&name.as_str()));
    unknown.map(|name| FieldError::new(name, "no such field")).collect()
}
