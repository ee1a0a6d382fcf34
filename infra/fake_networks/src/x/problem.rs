//! The error bodies of X: problem details, and those that stand beside data.

use serde_json::{Value, json};

use crate::request::Reply;

const PROBLEMS: &str = "https://api.twitter.com/2/problems";

pub(super) fn blank(status: u16, title: &str) -> Reply {
    Reply::json(status, &json!({"title": title, "type": "about:blank", "status": status, "detail": title}))
}

/// One word for tokens that are over, taken back or invented.
pub(super) fn unauthorized() -> Reply {
    blank(401, "Unauthorized").refusing_the_token()
}

/// A parameter that is not known, or not with this value.
pub(super) fn invalid(name: &str, value: &str, message: &str) -> Reply {
    let error = json!({"parameters": {name: [value]}, "message": message});
    let body = json!({
        "errors": [error], "title": "Invalid Request", "detail": "One or more parameters to your request was invalid.",
        "type": format!("{PROBLEMS}/invalid-request"),
    });
    Reply::json(400, &body)
}

/// That something is not there, in an answer that is otherwise good.
pub(super) fn not_found(resource: &str, parameter: &str, id: &str) -> Value {
    json!({
        "value": id, "resource_id": id, "resource_type": resource, "parameter": parameter,
        "detail": format!("Could not find {resource} with {parameter}: [{id}]."),
        "title": "Not Found Error", "type": format!("{PROBLEMS}/resource-not-found"),
    })
}
