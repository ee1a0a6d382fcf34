//! The answers to a client, and the secrets that it saw on the way, in bounded memory.
//!
//! An answer that shows an account's key, a webhook's secret or a sign-in link, where that was just made, or a
//! session's value of the header against forgery, is the documented exception: of exactly these answers the one member
//! is left out, and becomes a secret that is looked for everywhere else. So is the cookie that begins a session.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::secrets::{Leak, Place, Search, Secret};

/// How many bytes of answers are kept; later ones are counted.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// Clones share what was heard.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// By a hash of what they are, so that what was answered a hundred times is kept once.
    answers: BTreeMap<u64, (String, Bytes)>,
    bytes: usize,
    left_out: usize,
    secrets: BTreeMap<String, Secret>,
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heard").finish_non_exhaustive()
    }
}

/// A request, as it was made.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path, with its query.
    pub path: &'a str,
    /// Its headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// Its body.
    pub body: &'a [u8],
}

impl Heard {
    /// Notes the secrets of a request, whatever becomes of it.
    pub fn asked(&self, asked: Asked<'_>) {
        for (name, value) in asked.headers {
            if name.eq_ignore_ascii_case("authorization") {
                let value = value.split_once(' ').map_or(*value, |(_, value)| value.trim());
                self.secret(Secret::new("an Authorization header", value));
            }
            if name.eq_ignore_ascii_case("cookie") {
                value.split(';').filter_map(of_session).for_each(|secret| self.secret(secret));
            }
        }
        let Ok(body) = serde_json::from_slice::<Value>(asked.body) else { return };
        let text = |name: &str| body[name].as_str();
        if asked.path.starts_with("/console/session") {
            for (name, what) in [("link", "a sign-in link"), ("key", "an account's key")] {
                text(name).into_iter().for_each(|token| self.secret(Secret::new(what, token)));
            }
        } else if asked.path.starts_with("/pages") {
            for name in ["access_token", "refresh_token"] {
                text(name).into_iter().for_each(|token| self.secret(Secret::new("a page's token", token)));
            }
        } else if asked.path.starts_with("/webhooks")
            && let Some(secret) = text("secret")
        {
            self.secret(of_webhook(secret));
        }
    }

    /// Notes an answer.
    pub fn answered(&self, asked: Asked<'_>, status: u16, headers: &HeaderMap, body: &Bytes) {
        let what = format!("the answer {status} to {} {}", asked.method, asked.path);
        let mut body = body.clone();
        if let Some((member, secret)) = shown_once(asked.method, asked.path, status)
            && let Ok(mut json) = serde_json::from_slice::<Value>(&body)
            && let Some(Value::String(shown)) = json.as_object_mut().and_then(|json| json.remove(member))
        {
            self.secret(secret(&shown));
            body = json.to_string().into();
        }
        let mut head = String::new();
        for (name, value) in headers {
            let session =
                value.to_str().ok().and_then(of_session).filter(|_| name == http::header::SET_COOKIE);
            if let Some(session) = session {
                self.secret(session);
                continue;
            }
            head.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        }
        self.note(&format!("{what}, its headers"), head.into());
        self.note(&what, body);
    }

    /// Notes something that came out.
    pub fn note(&self, what: &str, bytes: Bytes) {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.bytes + bytes.len() > KEPT_BYTES {
            inner.left_out += 1;
            return;
        }
        if inner.answers.contains_key(&hasher.finish()) {
            return;
        }
        inner.bytes += bytes.len();
        inner.answers.insert(hasher.finish(), (what.to_owned(), bytes));
    }

    /// Notes a secret.
    pub fn secret(&self, secret: Secret) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.secrets.entry(secret.text.clone()).or_insert(secret);
    }

    /// All secrets that were noted.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).secrets.values().cloned().collect()
    }

    /// Looks at all that was answered; also says how much was left out.
    pub fn look(&self, search: &Search, leaks: &mut Vec<Leak>) -> usize {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (what, bytes) in inner.answers.values() {
            search.look(&Place::Elsewhere(what.clone()), bytes, leaks);
        }
        inner.left_out
    }
}

/// A webhook's secret: what stands after its prefix tells it.
fn of_webhook(secret: &str) -> Secret {
    Secret::of_webhook(secret.strip_prefix("whsec_").unwrap_or(secret))
}

/// The token in the session's cookie; None in another cookie, and in one that is removed.
fn of_session(cookie: &str) -> Option<Secret> {
    let (name, value) = cookie.split(';').next()?.trim().split_once('=')?;
    let is_session = name == "__Host-carteiro-session" && !value.is_empty();
    is_session.then(|| Secret::new("a session's cookie", value))
}

/// A member of an answer, and what its text is.
type Shown = (&'static str, fn(&str) -> Secret);

/// The member of an answer that shows what was just made.
fn shown_once(method: &Method, path: &str, status: u16) -> Option<Shown> {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let key: fn(&str) -> Secret = |key| Secret::new("an account's key", key);
    let link: fn(&str) -> Secret = |url| {
        let token = url.split_once("#link=").map_or(url, |(_, rest)| rest.split('&').next().unwrap_or(rest));
        Secret::new("a sign-in link", token)
    };
    let csrf: fn(&str) -> Secret = |csrf| Secret::new("a session's csrf value", csrf);
    match (method.as_str(), parts.as_slice(), status) {
        ("POST", ["accounts"] | ["accounts", _, "keys"], 201) => Some(("key", key)),
        ("POST", ["accounts", _, "links"], 201) => Some(("url", link)),
        ("POST", ["console", "session"], 201) | ("GET", ["console", "session"], 200) => Some(("csrf", csrf)),
        ("POST", ["webhooks"], 201) | ("POST", ["webhooks", _, "secret"], 200) => {
            Some(("secret", of_webhook))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hear(heard: &Heard, method: &Method, path: &str, status: u16, body: &Value) {
        let asked = Asked { method, path, headers: &[], body: b"" };
        heard.asked(asked);
        heard.answered(asked, status, &HeaderMap::new(), &body.to_string().into());
    }

    fn leaks(heard: &Heard) -> Vec<Leak> {
        let mut leaks = Vec::new();
        assert_eq!(heard.look(&Search::new(heard.secrets()), &mut leaks), 0);
        leaks
    }

    #[test]
    fn a_key_or_secret_may_be_only_in_the_answer_that_made_it() {
        let heard = Heard::default();
        hear(&heard, &Method::POST, "/accounts", 201, &json!({"id": "a", "key": "ck_planted_key"}));
        let secret = "whsec_cGxhbnRlZC1zZWNyZXQtb2Ytc29tZQ==";
        hear(&heard, &Method::POST, "/webhooks/wh_1/secret", 200, &json!({"id": "w", "secret": secret}));
        assert_eq!(leaks(&heard), []);
        hear(&heard, &Method::GET, "/accounts", 200, &json!({"data": [{"key": "ck_planted_key"}]}));
        hear(&heard, &Method::GET, "/webhooks/wh_1", 200, &json!({"id": "w", "secret": secret}));
        assert_eq!(leaks(&heard).len(), 2);
        // What was made is shown at one place, also in the answer that may show it.
        let heard = Heard::default();
        hear(
            &heard,
            &Method::POST,
            "/accounts",
            201,
            &json!({"name": "ck_planted_key", "key": "ck_planted_key"}),
        );
        assert_eq!(leaks(&heard).len(), 1);
    }

    #[test]
    fn a_link_and_a_sessions_cookie_may_be_only_where_they_begin() {
        let heard = Heard::default();
        let link = json!({"url": "http://127.0.0.1:1/console#link=cl_planted_link&to=pages"});
        hear(&heard, &Method::POST, "/accounts/acc_1/links", 201, &link);
        let mut headers = HeaderMap::new();
        let cookie = "__Host-carteiro-session=cs_planted_session; Path=/; HttpOnly";
        headers.insert("set-cookie", cookie.parse().unwrap());
        let method = &Method::POST;
        let asked =
            Asked { method, path: "/console/session", headers: &[], body: br#"{"link": "cl_planted_link"}"# };
        heard.asked(asked);
        heard.answered(asked, 201, &headers, &json!({"csrf": "planted_csrf"}).to_string().into());
        assert_eq!(leaks(&heard), []);
        let texts: Vec<String> = heard.secrets().into_iter().map(|secret| secret.text).collect();
        assert_eq!(texts, ["cl_planted_link", "cs_planted_session", "planted_csrf"]);
        let told = json!({"a": "cl_planted_link", "b": "cs_planted_session", "c": "planted_csrf"});
        hear(&heard, &Method::GET, "/webhooks", 200, &told);
        assert_eq!(leaks(&heard).len(), 3);
    }

    #[test]
    fn what_a_request_carries_is_a_secret_also_where_it_is_refused() {
        let heard = Heard::default();
        let method = &Method::PATCH;
        let headers = [("Authorization", "Bearer ck_planted_key")];
        let body = br#"{"access_token": "planted token", "refresh_token": 7}"#;
        heard.asked(Asked { method, path: "/pages/page_1", headers: &headers, body });
        let texts: Vec<String> = heard.secrets().into_iter().map(|secret| secret.text).collect();
        assert_eq!(texts, ["ck_planted_key", "planted token"]);
        hear(&heard, method, "/pages/page_1", 422, &json!({"detail": "planted token is none"}));
        assert_eq!(leaks(&heard).len(), 1);
    }
}
