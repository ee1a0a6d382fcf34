//! X's OAuth 2.0 token endpoint: an access token of two hours for a refresh token that is good once.
//!
//! Whether an access token outlives the refresh of its own is not documented: here it lasts until its end.

use serde_json::json;

use crate::request::{Reply, Request};
use crate::shelf::Shelf;
use crate::token::{Bearer, Role, Token, TokenState};

pub(super) const SCOPES: &str = "tweet.read users.read dm.read offline.access";

fn refused(status: u16, error: &str, description: &str) -> Reply {
    Reply::json(status, &json!({"error": error, "error_description": description}))
}

pub(super) fn answer(shelf: &mut Shelf, request: &Request) -> Reply {
    if request.method != http::Method::POST {
        return super::problem::blank(405, "Method Not Allowed");
    }
    let basic = request.basic();
    let secret = basic.as_ref().map(|(_, secret)| secret.as_str());
    let client = basic.as_ref().map(|(id, _)| id.as_str()).or_else(|| request.form("client_id"));
    if !client.is_some_and(|client| shelf.is_client(client, secret)) {
        return refused(401, "unauthorized_client", "Missing valid authorization header");
    }
    if request.form("grant_type") != Some("refresh_token") {
        return refused(400, "invalid_request", "Missing required parameter [grant_type].");
    }
    let Some(refresh) = request.form("refresh_token") else {
        return refused(400, "invalid_request", "Missing required parameter [refresh_token].");
    };
    let is_good = matches!(shelf.tokens.bearer(refresh, Role::Refresh, request.now_ms), Bearer::Good(_));
    let Some(used) = shelf.tokens.get(refresh).filter(|_| is_good).cloned() else {
        return refused(400, "invalid_request", "Value passed for the token was invalid.")
            .refusing_the_token();
    };
    shelf.tokens.set(refresh, TokenState::Revoked);
    let lasts = shelf.api.lasts_seconds().unwrap_or_default();
    let access = shelf.tokens.new_text("xaccess", request.now_ms);
    let next = shelf.tokens.new_text("xrefresh", request.now_ms);
    let expires_ms = Some(request.now_ms + lasts * 1000);
    let issued_ms = request.now_ms;
    shelf.tokens.put(&access, Token { role: Role::Access, issued_ms, expires_ms, ..used.clone() });
    shelf.tokens.put(&next, Token { role: Role::Refresh, issued_ms, ..used });
    let body = json!({
        "token_type": "bearer", "expires_in": lasts, "access_token": access, "scope": SCOPES, "refresh_token": next,
    });
    Reply::json(200, &body)
}
