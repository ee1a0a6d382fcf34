//! What Google's APIs have in common: their errors, and the address that gives out access tokens.
//!
//! Sources: developers.google.com/youtube/v3/docs/errors, google.aip.dev/193,
//! developers.google.com/identity/protocols/oauth2 (web-server, service-account), RFC 6749 (5.2), RFC 7523; captured
//! answers. The words of messages are from memory where no captured answer has them.

use serde_json::{Value, json};

use crate::assertion;
use crate::request::{Reply, Request};
use crate::shelf::Shelf;
use crate::token::{Bearer, Holder, Role};

/// How the texts of Google's access tokens begin.
const PREFIX: &str = "ya29.";

/// An error, with what its older and its newer form say.
pub(crate) struct Refusal {
    status: u16,
    domain: &'static str,
    reason: &'static str,
    message: String,
    location: Option<&'static str>,
    grpc: Option<&'static str>,
    info: Option<&'static str>,
    is_of_token: bool,
}

impl Refusal {
    pub(crate) fn new(
        status: u16,
        domain: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let message = message.into();
        Self { status, domain, reason, message, location: None, grpc: None, info: None, is_of_token: false }
    }

    /// A parameter is at fault.
    pub(crate) fn of_parameter(mut self, name: &'static str) -> Self {
        self.location = Some(name);
        self
    }

    /// With the name of the status, which newer answers have.
    pub(crate) fn named(mut self, grpc: &'static str) -> Self {
        self.grpc = Some(grpc);
        self
    }

    /// With the reason in `details`, as newer answers have it.
    pub(crate) fn detailed(mut self, info: &'static str) -> Self {
        self.info = Some(info);
        self
    }

    /// No token, or one that is no good.
    pub(crate) fn unauthenticated() -> Self {
        let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or \
                       other valid authentication credential. See \
                       https://developers.google.com/identity/sign-in/web/devconsole-project.";
        let refusal = Self::new(401, "global", "authError", message).named("UNAUTHENTICATED");
        Self { location: Some("Authorization"), is_of_token: true, ..refusal }
    }

    /// The token was given for other scopes.
    pub(crate) fn scope() -> Self {
        let message = "Request had insufficient authentication scopes.";
        let refusal = Self::new(403, "global", "insufficientPermissions", message).named("PERMISSION_DENIED");
        refusal.detailed("ACCESS_TOKEN_SCOPE_INSUFFICIENT")
    }

    /// A shorter limit is spent for a time. `retry-after` is not documented, but a test's limit for a time needs it.
    pub(crate) fn rate(wait_ms: u64) -> Reply {
        let message = "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute'.";
        let refusal = Self::new(429, "global", "rateLimitExceeded", message).named("RESOURCE_EXHAUSTED");
        let reply = refusal.detailed("RATE_LIMIT_EXCEEDED").reply();
        reply.with("retry-after", &wait_ms.div_ceil(1000))
    }

    /// The network failed.
    pub(crate) fn failure(status: u16) -> Self {
        let (message, name) = match status {
            500 => ("Internal error encountered.", "INTERNAL"),
            _ => ("The service is currently unavailable.", "UNAVAILABLE"),
        };
        Self::new(status, "global", "backendError", message).named(name)
    }

    pub(crate) fn reply(&self) -> Reply {
        let mut one = json!({"message": self.message, "domain": self.domain, "reason": self.reason});
        if let Some(location) = self.location {
            one["locationType"] = if self.is_of_token { "header" } else { "parameter" }.into();
            one["location"] = location.into();
        }
        let mut error = json!({"code": self.status, "message": self.message, "errors": [one]});
        if let Some(grpc) = self.grpc {
            error["status"] = grpc.into();
        }
        if let Some(info) = self.info {
            error["details"] = json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": info, "domain": "googleapis.com",
            }]);
        }
        let reply = Reply::json(self.status, &json!({ "error": error }));
        if !self.is_of_token {
            return reply;
        }
        let told = "Bearer realm=\"https://accounts.google.com/\", error=\"invalid_token\"";
        Reply { units: 0, ..reply.with("www-authenticate", told).refusing_the_token() }
    }
}

/// Whose token a call is made with.
pub(crate) fn holder(shelf: &Shelf, request: &Request) -> Result<Holder, Refusal> {
    let token = request.bearer().ok_or_else(Refusal::unauthenticated)?;
    match shelf.tokens.bearer(token, Role::Access, request.now_ms) {
        Bearer::Good(holder) => Ok(holder),
        Bearer::Unknown | Bearer::Expired(_) | Bearer::Revoked => Err(Refusal::unauthenticated()),
    }
}

/// How many elements are asked for; what is not within the bounds is refused.
pub(crate) fn page_size(
    shelf: &Shelf,
    request: &Request,
    usual: usize,
    most: usize,
) -> Result<usize, Refusal> {
    let refuse = |asked: &str| {
        let message = format!("Invalid value '{asked}'. Values must be within the range: [0, {most}]");
        Refusal::new(400, "global", "invalidParameter", message).of_parameter("maxResults")
    };
    let asked = request.query("maxResults");
    let asked = asked.map(|text| text.parse().ok().filter(|size| *size <= most).ok_or_else(|| refuse(text)));
    let of_kind = shelf.caps.get(&shelf.api.kind(request)).copied().unwrap_or(usize::MAX).max(1);
    Ok(shelf.size(asked.transpose()?, usual, most).min(of_kind))
}

/// The answer of the token address.
pub(crate) fn token(shelf: &mut Shelf, request: &Request) -> Reply {
    let granted = match (request.method.as_str(), request.form("grant_type")) {
        ("POST", Some("refresh_token")) => refreshed(shelf, request),
        ("POST", Some("urn:ietf:params:oauth:grant-type:jwt-bearer")) => asserted(shelf, request),
        ("POST", Some(other)) => {
            Err(oauth_error(400, "unsupported_grant_type", &format!("Invalid grant_type: {other}")))
        }
        ("POST", None) => Err(oauth_error(400, "invalid_request", "Missing required parameter: grant_type")),
        _ => Err(Reply::typed(
            404,
            "text/html; charset=UTF-8",
            "<html><title>Error 404 (Not Found)</title></html>",
        )),
    };
    Reply { units: 0, ..granted.unwrap_or_else(|refused| refused) }
}

fn refreshed(shelf: &mut Shelf, request: &Request) -> Result<Reply, Reply> {
    let missing = |what: &str| oauth_error(400, "invalid_request", what);
    let id =
        request.form("client_id").ok_or_else(|| missing("Could not determine client ID from request."))?;
    if !shelf.is_client(id, request.form("client_secret")) {
        return Err(oauth_error(401, "invalid_client", "The OAuth client was not found."));
    }
    let refresh = request.form("refresh_token");
    let refresh = refresh.ok_or_else(|| missing("Missing required parameter: refresh_token"))?;
    // What is named like an address is a service account, and no token.
    let token = shelf.new_access_token(refresh, PREFIX, request.now_ms).filter(|_| !refresh.contains('@'));
    let dead =
        || oauth_error(400, "invalid_grant", "Token has been expired or revoked.").refusing_the_token();
    Ok(given(&token.ok_or_else(dead)?))
}

fn asserted(shelf: &mut Shelf, request: &Request) -> Result<Reply, Reply> {
    let assertion = request.form("assertion");
    let assertion = assertion
        .ok_or_else(|| oauth_error(400, "invalid_request", "Missing required parameter: assertion"))?;
    shelf.assertions.insert(assertion.to_owned());
    let account = assertion::verified(assertion, request.now_ms)
        .map_err(|wrong| oauth_error(400, wrong.error(), wrong.description()))?;
    let token = shelf.new_access_token(&account, PREFIX, request.now_ms);
    let unknown = || oauth_error(400, "invalid_grant", "Invalid grant: account not found");
    Ok(given(&token.ok_or_else(unknown)?))
}

fn given(token: &str) -> Reply {
    Reply::json(200, &json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}))
        .with("cache-control", "no-cache, no-store, max-age=0, must-revalidate")
}

/// An error of a token address.
pub(crate) fn oauth_error(status: u16, error: &str, description: &str) -> Reply {
    Reply::json(status, &json!({"error": error, "error_description": description}))
}

/// An opaque mark of a version of something.
pub(crate) fn etag(of: &Value) -> String {
    format!("{:016x}", crate::hash(&of.to_string()))
}
