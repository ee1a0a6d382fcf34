//! Problem details (RFC 9457): how the API says what went wrong.

pub mod explanation;

use serde::Serialize;

/// A field that is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field, as a path: `url`, `headers.x-a`.
    pub field: String,
    /// Its fault.
    pub detail: String,
}

impl FieldError {
    /// A wrong field.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }
}

/// A problem, as the answer's body. It holds nothing that its reader must not see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Names the kind, for programs, and leads to its description: `/docs/problems/<kind>`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The kind, for people.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The problem of this request.
    pub detail: String,
    /// The fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The methods that are taken where another one is not; answered as the header `Allow`.
    #[serde(skip)]
    pub allow: Option<Box<str>>,
    /// After how many seconds a repeat may succeed; answered as the header `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

/// The media type of a [`Problem`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name: the last part of a problem's `type`.
    pub name: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The kind, for people.
    pub title: &'static str,
}

impl Kind {
    /// The address of its description, relative to the API: what `type` holds.
    #[must_use]
    pub fn address(&self) -> String {
        format!("/docs/problems/{}", self.name)
    }
}

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident = $status:literal, $kind:literal, $title:literal;)*) => {
        impl Problem {
            /// All kinds that there are.
            pub const KINDS: &'static [Kind] =
                &[$(Kind { name: $kind, status: $status, title: $title }),*];

            $(
                $(#[$doc])*
                pub fn $name(detail: impl Into<String>) -> Self {
                    Self {
                        kind: concat!("/docs/problems/", $kind),
                        title: $title,
                        status: $status,
                        detail: detail.into(),
                        errors: Vec::new(),
                        allow: None,
                        retry_after: None,
                    }
                }
            )*
        }
    };
}

problems! {
    /// The request cannot be read.
    bad_request = 400, "bad-request", "The request cannot be read";
    /// No key, or one that is not known.
    unauthorized = 401, "unauthorized", "A valid key is needed";
    /// A sign-in link that was used before.
    link_used = 401, "link-used", "This link was used already";
    /// A sign-in link whose time is over.
    link_expired = 401, "link-expired", "This link is too old";
    /// A text that is no sign-in link, or none that is known.
    link_unknown = 401, "link-unknown", "This link is not known";
    /// No session, or one that has ended.
    session_ended = 401, "session-ended", "Sign in again";
    /// A request by cookie that another site caused.
    cross_site = 403, "cross-site", "Another site caused this request";
    /// A change by cookie without the session's value of the header against forgery.
    csrf = 403, "csrf", "The header carteiro-csrf is missing or wrong";
    /// A session that may look, and not change.
    look_only = 403, "look-only", "This session may look, and not change";
    /// A key that may not do this.
    forbidden = 403, "forbidden", "This key may not do that";
    /// Nothing is there, or nothing of this account.
    not_found = 404, "not-found", "Not found";
    /// Something is there, and it does not take this method.
    method_not_allowed = 405, "method-not-allowed", "This method is not taken here";
    /// Somebody else changed the same thing at the same time.
    conflict = 409, "conflict", "Changed by another request";
    /// There is one like it already, and there can be only one.
    already_exists = 409, "already-exists", "There is one already";
    /// More bytes or lines than are taken.
    too_large = 413, "too-large", "Too large";
    /// A body in a form that is not read, a compressed one.
    unsupported_media = 415, "unsupported-media", "The body's form is not taken";
    /// Fields are wrong.
    invalid = 422, "invalid", "Some fields are not valid";
    /// An idempotency key that was used for other bytes.
    idempotency_conflict = 422, "idempotency-conflict", "The idempotency key was used for another item";
    /// A code that is not the one that was sent.
    code_wrong = 422, "code-wrong", "The code is wrong";
    /// No code is good: it is over, was tried too often, or was not sent yet.
    code_over = 422, "code-over", "The code is no longer good";
    /// More requests of an account than its share.
    too_many_requests = 429, "too-many-requests", "Too many at once";
    /// Our own fault.
    internal = 500, "internal", "Something went wrong here";
    /// For the moment it cannot be done; a repeat is welcome.
    unavailable = 503, "unavailable", "Try again";
    /// The request's items have passed through Carteiro too often.
    loop_detected = 508, "loop-detected", "It goes round in a loop";
}

impl Problem {
    /// One thing is wrong, in a sentence, and this is its field; for a limit that is used up, what there is too much
    /// of.
    #[must_use]
    pub fn invalid_field(field: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { errors: vec![FieldError::new(field, detail.clone())], ..Self::invalid(detail) }
    }

    /// Fields are wrong, all of them named.
    #[must_use]
    pub fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let names: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        let detail = format!("not valid: {}", names.join(", "));
        Self { errors, ..Self::invalid(detail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_every_wrong_field() {
        let problem = Problem::invalid_fields(vec![
            FieldError::new("url", "not a URL"),
            FieldError::new("items", "empty"),
        ]);
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["status"], 422);
        assert_eq!(json["type"], "/docs/problems/invalid");
        assert_eq!(json["detail"], "not valid: url, items");
        assert_eq!(json["errors"][1]["field"], "items");
        let full = serde_json::to_value(Problem::invalid_field("webhooks", "100 at most")).unwrap();
        assert_eq!(
            (&full["detail"], &full["errors"][0]["field"]),
            (&"100 at most".into(), &"webhooks".into())
        );
        assert!(serde_json::to_value(Problem::not_found("no webhook")).unwrap().get("errors").is_none());
    }
}
