//! The error bodies of the Graph API.

use serde_json::json;

use super::time;
use crate::request::{Reply, Request};

/// An error. Sources: developers.facebook.com/docs/graph-api/guides/error-handling; captured answers.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    status: u16,
    kind: &'static str,
    code: u32,
    subcode: Option<u32>,
    message: String,
    is_transient: bool,
    is_of_token: bool,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status,
            kind: "OAuthException",
            code,
            subcode: None,
            message,
            is_transient: false,
            is_of_token: false,
        }
    }

    fn of_token(subcode: Option<u32>, message: impl Into<String>) -> Self {
        Self { subcode, is_of_token: true, ..Self::new(400, 190, message) }
    }

    pub(crate) fn no_token() -> Self {
        Self::new(400, 104, "An access token is required to request this resource.")
    }

    pub(crate) fn unknown_token() -> Self {
        Self::of_token(None, "Invalid OAuth access token - Cannot parse access token")
    }

    pub(crate) fn expired(since_ms: u64, now_ms: u64) -> Self {
        let message = format!(
            "Error validating access token: Session has expired on {}. The current time is {}.",
            time(since_ms),
            time(now_ms)
        );
        Self::of_token(Some(463), message)
    }

    pub(crate) fn revoked() -> Self {
        let message = "Error validating access token: The session has been invalidated because the user changed their \
                       password or Facebook has changed the session for security reasons.";
        Self::of_token(Some(460), message)
    }

    /// The object is gone, or not for the holder of the token to see: Meta does not tell which.
    pub(crate) fn gone(id: &str) -> Self {
        let message = format!(
            "Unsupported get request. Object with ID '{id}' does not exist, cannot be loaded due to missing \
             permissions, or does not support this operation. Please read the Graph API documentation at \
             https://developers.facebook.com/docs/graph-api"
        );
        Self { kind: "GraphMethodException", subcode: Some(33), ..Self::new(400, 100, message) }
    }

    pub(crate) fn no_alias(id: &str) -> Self {
        Self::new(404, 803, format!("(#803) Some of the aliases you requested do not exist: {id}"))
    }

    pub(crate) fn unknown_path(components: &str) -> Self {
        Self::new(400, 2500, format!("Unknown path components: /{components}"))
    }

    pub(crate) fn no_such_field(field: &str, node: &str) -> Self {
        let message = format!("(#100) Tried accessing nonexisting field ({field}) on node type ({node})");
        Self::new(400, 100, message)
    }

    pub(crate) fn parameter(message: &str) -> Self {
        Self::new(400, 100, format!("(#100) {message}"))
    }

    /// The proof is not the token's by the app's secret.
    pub(crate) fn wrong_proof() -> Self {
        let message = "Invalid appsecret_proof provided in the API argument";
        Self { kind: "GraphMethodException", ..Self::new(400, 100, message) }
    }

    /// The app requires a proof.
    pub(crate) fn no_proof() -> Self {
        let message = "API calls from the server require an appsecret_proof argument";
        Self { kind: "GraphMethodException", ..Self::new(400, 100, message) }
    }

    pub(crate) fn syntax(at: usize) -> Self {
        Self::new(400, 2500, format!("Syntax error \"Expected name.\" at character {at}."))
    }

    /// A permission is missing. Facebook names it, Instagram does not.
    pub(crate) fn permission(name: &str) -> Self {
        if name == "pages_messaging" {
            return Self::new(403, 230, "(#230) Requires pages_messaging permission to manage the object");
        }
        if name == super::ADS {
            let message = "(#200) Ad account owner has NOT grant ads_management or ads_read permission";
            return Self::new(403, 200, message);
        }
        if !name.starts_with("pages_") {
            return Self::new(403, 10, "(#10) Application does not have permission for this action");
        }
        let message = format!(
            "(#10) This endpoint requires the '{name}' permission or the 'Page Public Content Access' feature. Refer to \
             https://developers.facebook.com/docs/apps/review/login-permissions#manage-pages for details."
        );
        Self::new(403, 10, message)
    }

    pub(crate) fn limit(code: u32) -> Self {
        let message = match code {
            4 => "(#4) Application request limit reached",
            17 => "(#17) User request limit reached",
            32 => "(#32) Page request limit reached",
            613 => "(#613) Calls to this api have exceeded the rate limit.",
            _ => "There have been too many calls to this account. Wait a bit and try again.",
        };
        let message = if code >= 80_000 { format!("(#{code}) {message}") } else { message.to_owned() };
        Self { is_transient: code == 4, ..Self::new(400, code, message) }
    }

    pub(crate) fn failure(status: u16) -> Self {
        let (code, message) = if status == 500 {
            (1, "An unknown error has occurred.")
        } else {
            (2, "An unexpected error has occurred. Please retry your request later.")
        };
        Self { is_transient: true, ..Self::new(status, code, message) }
    }

    /// The answer. `trace` is what Meta's support would be told.
    pub(crate) fn reply(&self, trace: &str) -> Reply {
        let mut error = json!({
            "message": self.message, "type": self.kind, "code": self.code, "fbtrace_id": trace,
        });
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = subcode.into();
        }
        if self.is_transient {
            error["is_transient"] = true.into();
        }
        let reply = Reply::json(self.status, &json!({ "error": error }));
        if !self.is_of_token {
            return reply;
        }
        let told = format!("OAuth \"Facebook Platform\" \"invalid_token\" \"{}\"", self.message);
        reply.with("www-authenticate", &told).refusing_the_token()
    }
}

/// An id of a call.
pub(crate) fn trace(request: &Request) -> String {
    format!("A{:016x}", crate::hash(&(request.now_ms, &request.path)))
}
