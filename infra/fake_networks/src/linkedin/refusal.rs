//! LinkedIn's errors: `{status, message, serviceErrorCode, code}`.

use serde_json::json;

use crate::request::Reply;

/// An error.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: u16,
    service_code: Option<u32>,
    code: &'static str,
    message: String,
    is_of_token: bool,
    is_over: bool,
}

impl Refusal {
    fn new(status: u16, service_code: Option<u32>, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, service_code, code, message: message.into(), is_of_token: false, is_over: false }
    }

    fn of_token(service_code: u32, code: &'static str, message: &str) -> Self {
        Self { is_of_token: true, ..Self::new(401, Some(service_code), code, message) }
    }

    pub(super) fn no_token() -> Self {
        Self::of_token(65_604, "EMPTY_ACCESS_TOKEN", "Empty oauth2 access token")
    }

    pub(super) fn invalid_token() -> Self {
        Self::of_token(65_600, "INVALID_ACCESS_TOKEN", "Invalid access token")
    }

    pub(super) fn expired_token() -> Self {
        Self::of_token(65_602, "EXPIRED_ACCESS_TOKEN", "The token used in the request has expired")
    }

    pub(super) fn revoked_token() -> Self {
        let message = "The token used in the request has been revoked by the user";
        Self::of_token(65_601, "REVOKED_ACCESS_TOKEN", message)
    }

    pub(super) fn forbidden(resource: &str) -> Self {
        Self::new(403, Some(100), "ACCESS_DENIED", format!("Not enough permissions to access: {resource}"))
    }

    pub(super) fn not_found(urn: &str) -> Self {
        Self::new(404, Some(0), "NOT_FOUND", format!("Entity {urn} is not found"))
    }

    pub(super) fn no_resource(path: &str) -> Self {
        Self::new(404, Some(0), "RESOURCE_NOT_FOUND", format!("No virtual resource found for {path}"))
    }

    pub(super) fn no_version() -> Self {
        let message =
            "A version must be present. Please specify a version by adding the LinkedIn-Version header.";
        Self::new(400, None, "VERSION_MISSING", message)
    }

    pub(super) fn withdrawn_version(version: &str) -> Self {
        Self::new(426, None, "NONEXISTENT_VERSION", format!("Requested version {version} is not active"))
    }

    pub(super) fn illegal_argument(message: &str) -> Self {
        Self::new(400, Some(0), "ILLEGAL_ARGUMENT", message)
    }

    /// A limit is spent, of a `MEMBER` or of the `APPLICATION`.
    pub(super) fn limit(whose: &str) -> Self {
        let message =
            format!("Resource level throttle {whose} DAY limit for calls to this resource is reached.");
        Self::new(429, Some(101), "TOO_MANY_REQUESTS", message)
    }

    /// The call came although the limit was spent.
    pub(super) fn over(mut self) -> Self {
        self.is_over = true;
        self
    }

    pub(super) fn failure(status: u16) -> Self {
        let (code, message) = match status {
            500 => ("INTERNAL_SERVER_ERROR", "Internal Server Error"),
            504 => ("GATEWAY_TIMEOUT", "Gateway Timeout"),
            _ => ("SERVICE_UNAVAILABLE", "Service Unavailable"),
        };
        Self::new(status, Some(0), code, message)
    }

    pub(super) fn reply(&self) -> Reply {
        let mut body = json!({"status": self.status, "code": self.code, "message": self.message});
        if let Some(code) = self.service_code {
            body["serviceErrorCode"] = code.into();
        }
        let reply = Reply::json(self.status, &body).over_limit(self.is_over);
        if self.is_of_token { reply.refusing_the_token() } else { reply }
    }
}

/// An error of the token address.
pub(super) fn oauth(status: u16, error: &str, description: &str) -> Reply {
    let body = json!({"error": error, "error_description": description});
    Reply { units: 0, ..Reply::json(status, &body) }
}
