//! What becomes of tokens at the Graph API: `debug_token` and Instagram's `refresh_access_token`.
//!
//! A refresh before a token is a day old is refused, as the documentation says; with which words, it does not.

use serde_json::{Value, json};

use super::{Refusal, Shape, time};
use crate::request::{Reply, Request};
use crate::shelf::Shelf;
use crate::token::{Bearer, Holder, Login, Role, Token, TokenState};

const DAY_MS: u64 = 24 * 3600 * 1000;
/// After how long a consent has to be given again.
const CONSENT_MS: u64 = 90 * DAY_MS;

/// What a token is, asked with the app's own (`<app id>|<app secret>`).
pub(super) fn answer(shape: &dyn Shape, shelf: &Shelf, request: &Request, trace: &str) -> Reply {
    let asker = request.bearer().or_else(|| request.query("access_token"));
    let Some(asker) = asker else { return Refusal::no_token().reply(trace) };
    let app = asker.split_once('|').filter(|(id, secret)| shelf.is_client(id, Some(secret)));
    let Some((app, _)) = app else {
        let said = "You must provide an app access token, or a user access token that is an owner or developer of the app";
        return Refusal::parameter(said).reply(trace);
    };
    let Some(token) = request.query("input_token") else {
        return Refusal::parameter("The parameter input_token is required.").reply(trace);
    };
    Reply::json(200, &json!({"data": data(shape, shelf, app, token, request.now_ms)}))
}

fn data(shape: &dyn Shape, shelf: &Shelf, app: &str, token: &str, now_ms: u64) -> Value {
    let known = shelf.tokens.get(token).filter(|token| token.role == Role::Access);
    let expires_at = known.and_then(|token| token.expires_ms).map_or(0, |end| end / 1000);
    let dead = |subcode: Option<u32>, message: String| {
        let mut error = json!({"code": 190, "message": message});
        if let Some(subcode) = subcode {
            error["subcode"] = subcode.into();
        }
        json!({"app_id": app, "application": "An app", "error": error, "expires_at": expires_at, "is_valid": false,
            "scopes": []})
    };
    match (shelf.tokens.bearer(token, Role::Access, now_ms), known) {
        (Bearer::Good(holder), Some(known)) => good(shape, app, &holder, known, expires_at),
        (Bearer::Expired(since), _) => {
            let said = format!("Error validating access token: Session has expired on {}.", time(since));
            dead(Some(463), said)
        }
        (Bearer::Revoked, _) => {
            dead(Some(460), "Error validating access token: The session has been invalidated.".to_owned())
        }
        _ => dead(None, "Invalid OAuth access token - Cannot parse access token".to_owned()),
    }
}

fn good(shape: &dyn Shape, app: &str, holder: &Holder, known: &Token, expires_at: u64) -> Value {
    let scopes: Vec<&str> =
        shape.permissions(holder.login).iter().copied().filter(|name| holder.may(name)).collect();
    let profile = if shape.me_is_the_page(holder) { holder.id.clone() } else { format!("9{}", holder.id) };
    let granular: Vec<Value> =
        scopes.iter().map(|scope| json!({"scope": scope, "target_ids": [profile, holder.id]})).collect();
    let issued_at = known.issued_ms / 1000;
    json!({
        "app_id": app, "type": match holder.login {
            Login::Unified => "SYSTEM_USER",
            _ if holder.is_the_page => "PAGE",
            _ => "USER",
        }, "application": "An app", "is_valid": true,
        "expires_at": expires_at, "data_access_expires_at": (known.issued_ms + CONSENT_MS) / 1000,
        "issued_at": issued_at, "profile_id": profile, "user_id": "100000000000001",
        "scopes": scopes, "granular_scopes": granular,
    })
}

/// Another token of Instagram's own login, for 60 days. The old one stays good until its end.
pub(super) fn refresh(shape: &dyn Shape, shelf: &mut Shelf, request: &Request) -> Result<Reply, Refusal> {
    if !shape.takes(Login::Instagram, request.to_token_address) {
        return Err(Refusal::no_alias("refresh_access_token"));
    }
    if request.query("grant_type") != Some("ig_refresh_token") {
        return Err(Refusal::parameter("Invalid parameter: grant_type"));
    }
    let (text, holder) = super::holder(shape, shelf, request)?;
    let known = shelf.tokens.get(&text).cloned().ok_or_else(Refusal::unknown_token)?;
    if request.now_ms < known.issued_ms + DAY_MS {
        return Err(Refusal::parameter("The access token must be at least 24 hours old to be refreshed"));
    }
    let lasts = shelf.api.lasts_seconds().unwrap_or_default();
    let fresh = shelf.tokens.new_text("IGAA", request.now_ms);
    let state = holder.lacks.clone().map_or(TokenState::Good, TokenState::Narrowed);
    let expires_ms = Some(request.now_ms + lasts * 1000);
    shelf.tokens.put(&fresh, Token { state, issued_ms: request.now_ms, expires_ms, ..known });
    let permissions: Vec<&str> =
        shape.permissions(holder.login).iter().copied().filter(|name| holder.may(name)).collect();
    Ok(Reply::json(
        200,
        &json!({
            "access_token": fresh, "token_type": "bearer", "expires_in": lasts,
            "permissions": permissions.join(","),
        }),
    ))
}
