//! What a token is: asked of the network, and made new where that is possible.
//!
//! `debug_token` is answered to the *app's* token, which a deployment may not have given to the collector; the ask says
//! so ([`Auth::Inspected`]). Without it, a run learns by `/me` whose the token is, which finds a user's token in a
//! page's place too, and by the answers what it may not do; when it ends is then not known before it has.
//!
//! A page's long-lived token has no end, and cannot be refreshed. Instagram's own can, once it is 24 hours old and
//! while it lasts.
//!
//! Sources: developers.facebook.com/docs/graph-api/reference/debug_token,
//! developers.facebook.com/docs/instagram-platform/reference/refresh_access_token.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::collect::{Reply, Settings, ask_of, read};
use crate::network::{Network, NetworkId};
use crate::normalise::value::{id, id_of, number, text, time};
use crate::page::AccessToken;
use crate::poll::refresh::Fresh;
use crate::poll::settings::ApiSettings;
use crate::poll::{
    Auth, Endpoint, NetworkRequest, NetworkResponse, OperatorFault, TokenInspection, TokenTrouble, Verdict,
};

/// The youngest token that Instagram refreshes.
const YOUNGEST: SignedDuration = SignedDuration::from_hours(24);
/// How long before its end a token is refreshed: half of its 60 days, so that a month of failures costs nothing.
const AHEAD: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Of whom a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TokenKind {
    /// A page's.
    Page,
    /// A user's, or a system user's: it collects nothing of a page.
    User,
    /// Another, or it is not said.
    Other,
}

/// Asks what a token is.
#[must_use]
pub fn inspect(api: &ApiSettings) -> NetworkRequest {
    let path = format!("/{}/debug_token", api.version);
    let (to, auth) = (Endpoint::Token, Auth::Inspected("input_token"));
    NetworkRequest { to, auth, ..ask_of("token", path, Vec::new()) }
}

/// What the answer to [`inspect`] says of a page's token that needs `permissions`. A verdict about the call itself, as
/// a limit, says nothing of the token; one of [`Verdict::Token`] of the call's own is the *app's* token's, which only
/// the operator can mend.
#[must_use]
pub fn inspected(
    answer: &NetworkResponse<'_>,
    page: (Network, &NetworkId),
    permissions: &[&str],
    api: &ApiSettings,
    now: Timestamp,
) -> TokenInspection {
    let unknown = |verdict| TokenInspection { verdict, expires_at: None, consent_ends_at: None };
    let value = match read(answer, &Settings::of(api), now) {
        Reply::Good { value, .. } => value,
        // The app's own token is refused, and nothing is said of the page's.
        Reply::Bad { verdict: Verdict::Token(_), .. } => {
            return unknown(Verdict::OurFault(OperatorFault::ClientRefused));
        }
        Reply::Bad { verdict, .. } => return unknown(verdict),
    };
    let Some(data) = value.get("data").filter(|data| data.get("is_valid").is_some()) else {
        return unknown(Verdict::Malformed);
    };
    let kind = match text(data, "type").unwrap_or_default().as_str() {
        "PAGE" => TokenKind::Page,
        "USER" | "SYSTEM_USER" => TokenKind::User,
        _ => TokenKind::Other,
    };
    // Facebook's token of an account of Instagram's is that of the page that it is connected to: another id.
    let names_another = match (page.0, &kind) {
        (Network::Facebook, TokenKind::User) => id(data, "profile_id").or_else(|| id(data, "user_id")),
        (Network::Facebook, _) => id(data, "profile_id"),
        _ => None,
    }
    .is_some_and(|named| named != page.1.as_str());
    // A user's or system user's token may see an account of Instagram's by permissions of other names; the calls tell.
    let permissions = if page.0 == Network::Instagram && kind == TokenKind::User { &[] } else { permissions };
    let verdict = match (dead(data), names_another) {
        (Some(trouble), _) => Verdict::Token(trouble),
        (None, true) => Verdict::NotThePages,
        (None, false) => missing(data, permissions, page)
            .map_or(Verdict::Fine, |name| Verdict::Token(TokenTrouble::Narrowed(Some(name.to_owned())))),
    };
    let (expires_at, consent_ends_at) = (time(data, "expires_at"), time(data, "data_access_expires_at"));
    TokenInspection { verdict, expires_at, consent_ends_at }
}

fn dead(data: &Value) -> Option<TokenTrouble> {
    if crate::normalise::value::is_true(data, "is_valid") {
        return None;
    }
    let subcode = data.get("error").and_then(|error| number(error, "subcode"));
    Some(if subcode == Some(463) { TokenTrouble::Expired } else { TokenTrouble::Revoked })
}

/// The first permission that was not given, or not for this page. Nothing is missing where nothing is said.
///
/// A permission's targets are ids of Facebook's pages, also where it is of an account of Instagram's that is connected
/// to one: there they are not looked at.
fn missing<'a>(data: &Value, permissions: &[&'a str], page: (Network, &NetworkId)) -> Option<&'a str> {
    let scopes = data.get("scopes").and_then(Value::as_array)?;
    let granular = data.get("granular_scopes").and_then(Value::as_array);
    let given = |name: &str| {
        let one = granular.into_iter().flatten().find(|one| text(one, "scope").as_deref() == Some(name));
        let targets = one.and_then(|one| one.get("target_ids")).and_then(Value::as_array);
        let for_it = |targets: &Vec<Value>| targets.iter().filter_map(id_of).any(|id| id == page.1.as_str());
        scopes.iter().any(|scope| scope.as_str() == Some(name))
            && (page.0 != Network::Facebook || !name.starts_with("pages_r") || targets.is_none_or(for_it))
    };
    permissions.iter().copied().find(|name| !given(name))
}

/// Whether a token of Instagram's own login is to be renewed that was given, or renewed last, at a time: once it is a
/// day old, while it lasts, if it ends within 30 days or nobody knows when.
#[must_use]
pub fn refresh_is_due(given_at: Timestamp, expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    let is_ripe = given_at.saturating_add(YOUNGEST).is_ok_and(|ripe| ripe <= now);
    let ends_soon = |end: Timestamp| end > now && end.saturating_sub(AHEAD).is_ok_and(|ahead| ahead <= now);
    is_ripe && expires_at.is_none_or(ends_soon)
}

/// Asks for a new token in the place of one of Instagram's own login. The path has no version.
#[must_use]
pub fn refresh() -> NetworkRequest {
    let grant = vec![("grant_type", "ig_refresh_token".to_owned())];
    let (to, auth) = (Endpoint::Token, Auth::Query("access_token"));
    NetworkRequest { to, auth, ..ask_of("refresh", "/refresh_access_token".to_owned(), grant) }
}

/// What the answer to [`refresh`] says.
///
/// # Errors
/// What came instead. That the token is too young comes as [`Verdict::Malformed`]; it is no less good for that.
pub fn refreshed(answer: &NetworkResponse<'_>, api: &ApiSettings, now: Timestamp) -> Result<Fresh, Verdict> {
    let value = match read(answer, &Settings::of(api), now) {
        Reply::Good { value, .. } => value,
        Reply::Bad { verdict, .. } => return Err(verdict),
    };
    let token = text(&value, "access_token").ok_or(Verdict::Malformed)?;
    let access_token = AccessToken::check(&token, Network::Instagram).map_err(|_| Verdict::Malformed)?;
    let lasts = number(&value, "expires_in").filter(|seconds| *seconds > 0);
    let end = lasts.and_then(|seconds| now.checked_add(SignedDuration::from_secs(seconds)).ok());
    Ok(Fresh { access_token, refresh_token: None, expires_at: end })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + hours * 3600).unwrap()
    }

    fn look(body: &Value) -> TokenInspection {
        let body = body.to_string();
        let answer = NetworkResponse { status: 200, header: &|_| None, body: body.as_bytes() };
        let page = "501".parse().unwrap();
        let needed = ["pages_read_engagement", "pages_messaging"];
        inspected(&answer, (Network::Facebook, &page), &needed, &crate::facebook::SPEC.api, at(0))
    }

    #[test]
    fn an_inspection_tells_whose_a_token_is_and_what_it_lacks() {
        let good = json!({"data": {"type": "PAGE", "is_valid": true, "expires_at": 0, "profile_id": "501",
            "data_access_expires_at": 1_790_000_000, "scopes": ["pages_read_engagement", "pages_messaging"],
            "granular_scopes": [{"scope": "pages_read_engagement", "target_ids": ["501"]}]}});
        let told = look(&good);
        assert_eq!((told.verdict, told.expires_at), (Verdict::Fine, None));
        assert_eq!(told.consent_ends_at, Some(at(0)));
        let with = |pointer: &str, value: Value| {
            let mut body = good.clone();
            *body.pointer_mut(pointer).unwrap() = value;
            look(&body).verdict
        };
        let narrowed = |name: &str| Verdict::Token(TokenTrouble::Narrowed(Some(name.to_owned())));
        assert_eq!(with("/data/profile_id", json!("502")), Verdict::NotThePages);
        let mut user = good.clone();
        user["data"]["type"] = json!("USER");
        (user["data"]["profile_id"], user["data"]["user_id"]) = (Value::Null, json!("77"));
        assert_eq!(look(&user).verdict, Verdict::NotThePages);
        user["data"]["user_id"] = Value::Null;
        assert_eq!(look(&user).verdict, Verdict::Fine, "no other page is named");
        assert_eq!(with("/data/is_valid", json!(false)), Verdict::Token(TokenTrouble::Revoked));
        assert_eq!(with("/data/scopes", json!(["pages_read_engagement"])), narrowed("pages_messaging"));
        let elsewhere = with("/data/granular_scopes/0/target_ids", json!(["7"]));
        assert_eq!(elsewhere, narrowed("pages_read_engagement"));
        let expired = json!({"data": {"is_valid": false, "error": {"code": 190, "subcode": 463}}});
        assert_eq!(look(&expired).verdict, Verdict::Token(TokenTrouble::Expired));
        let refused = Verdict::OurFault(OperatorFault::ClientRefused);
        assert_eq!(look(&json!({"error": {"code": 190}})).verdict, refused);
        assert_eq!(look(&json!({"data": []})).verdict, Verdict::Malformed);
    }

    #[test]
    fn a_permissions_targets_do_not_name_instagrams_account() {
        let needed = crate::page::Login::Facebook.permissions();
        let body = json!({"data": {"type": "PAGE", "is_valid": true, "expires_at": 0, "profile_id": "501",
            "scopes": needed, "granular_scopes": [
                {"scope": "pages_show_list", "target_ids": ["501"]},
                {"scope": "pages_read_engagement", "target_ids": ["501"]},
                {"scope": "instagram_basic", "target_ids": ["17841400000000001"]}]}});
        let body = body.to_string();
        let answer = NetworkResponse { status: 200, header: &|_| None, body: body.as_bytes() };
        let account = "17841400000000001".parse().unwrap();
        let look =
            |network| inspected(&answer, (network, &account), needed, &crate::facebook::SPEC.api, at(0));
        assert_eq!(look(Network::Instagram).verdict, Verdict::Fine);
    }

    #[test]
    fn a_token_is_refreshed_in_the_second_half_of_its_life() {
        let day = 24;
        assert!(!refresh_is_due(at(0), Some(at(60 * day)), at(29 * day)));
        assert!(refresh_is_due(at(0), Some(at(60 * day)), at(30 * day)));
        assert!(!refresh_is_due(at(0), Some(at(2 * day)), at(23)));
        assert!(refresh_is_due(at(0), None, at(24)));
        assert!(!refresh_is_due(at(0), Some(at(60 * day)), at(60 * day)));
    }

    #[test]
    fn a_refreshed_token_has_an_end_and_is_not_printed() {
        let body = br#"{"access_token":"IGsecret","token_type":"bearer","expires_in":5184000}"#;
        let answer = NetworkResponse { status: 200, header: &|_| None, body };
        let told = refreshed(&answer, &crate::facebook::SPEC.api, at(0)).unwrap();
        assert_eq!(told.expires_at, Some(at(60 * 24)));
        assert!(!format!("{told:?}").contains("IGsecret"));
        let dead = NetworkResponse {
            status: 400,
            header: &|_| None,
            body: br#"{"error":{"code":190,"error_subcode":463}}"#,
        };
        let told = refreshed(&dead, &crate::facebook::SPEC.api, at(0));
        assert_eq!(told, Err(Verdict::Token(TokenTrouble::Expired)));
    }

    #[test]
    fn no_ask_has_a_token_in_it() {
        assert_eq!(inspect(&crate::facebook::SPEC.api).auth, Auth::Inspected("input_token"));
        assert_eq!((refresh().auth, refresh().query.len()), (Auth::Query("access_token"), 1));
        assert_eq!(
            (inspect(&crate::facebook::SPEC.api).to, refresh().to),
            (Endpoint::Token, Endpoint::Token)
        );
    }
}
