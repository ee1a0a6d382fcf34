//! What LinkedIn's answers say of the token, the limits and the member's roles.

use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::poll::body::{number_header, tree, value};
use crate::poll::budget::midnight_utc;
use crate::poll::scope::after;
use crate::poll::{CooldownScope, NetworkResponse, OperatorFault, TokenTrouble, Verdict};

/// The longest wait that an answer may ask for, in seconds.
const DAY: i64 = 24 * 3600;
/// A role of which LinkedIn answers lists with 200 and nothing in them, by its page "Organization access control".
const BLIND: &str = "RECRUITING_POSTER";

/// What an answer of LinkedIn's says.
#[must_use]
pub fn verdict(answer: &NetworkResponse<'_>, now: Timestamp) -> Verdict {
    let body = || tree(answer.body);
    match answer.status {
        200..=299 => Verdict::Fine,
        401 => Verdict::Token(unauthorized(&body())),
        403 if is_about_the_app(&body()) => Verdict::OurFault(OperatorFault::AppAccess),
        // Its code says that access is denied, and names no permission.
        403 => Verdict::Token(TokenTrouble::Narrowed(None)),
        404 | 410 => Verdict::Gone,
        426 => Verdict::OurFault(OperatorFault::VersionWithdrawn),
        400 if is_about_the_version(&body()) => Verdict::OurFault(OperatorFault::VersionWithdrawn),
        429 => limited(answer, &body(), now),
        408 | 500.. => Verdict::Transient,
        _ => Verdict::Malformed,
    }
}

fn unauthorized(body: &Value) -> TokenTrouble {
    let revoked = body["code"].as_str() == Some("REVOKED_ACCESS_TOKEN");
    if revoked || body["serviceErrorCode"].as_i64() == Some(65_601) {
        TokenTrouble::Revoked
    } else {
        TokenTrouble::Expired
    }
}

fn is_about_the_version(body: &Value) -> bool {
    matches!(body["code"].as_str(), Some("NONEXISTENT_VERSION" | "VERSION_MISSING" | "INVALID_VERSION"))
}

/// Whether a refusal speaks of the application, which lacks a product. A member's missing scope or role is told without
/// that word ("Not enough permissions to access: …").
fn is_about_the_app(body: &Value) -> bool {
    let said = body["message"].as_str().unwrap_or_default().to_ascii_lowercase();
    ["this application", "your application", "application is not", "application does not"]
        .iter()
        .any(|part| said.contains(part))
}

/// Limits are of a day that ends at midnight UTC; an answer may say another time, though none is documented.
fn limited(answer: &NetworkResponse<'_>, body: &Value, now: Timestamp) -> Verdict {
    let requested = number_header(answer, "retry-after").map(|wait| after(now, wait.clamp(1, DAY)));
    let until = requested.unwrap_or_else(|| midnight_utc(now));
    // "Resource level throttle APPLICATION DAY limit for calls to this resource is reached."
    let of_app = body["message"].as_str().is_some_and(|message| message.contains("APPLICATION"));
    Verdict::Wait { until, of: if of_app { CooldownScope::TheApp } else { CooldownScope::ThePage } }
}

/// The role of the token's member at a company.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A role that may see what is collected.
    Sees,
    /// A role that may not see it.
    Blind,
    /// No role in the list that was read.
    None {
        /// Whether the list has roles at other companies.
        others: bool,
    },
}

/// The member's best role at a company, of a list of roles.
pub(super) fn role(elements: &[&RawValue], owner: &str) -> Role {
    let ours = |entry: &Value| {
        let names = ["organization", "organizationTarget", "organizationalTarget"];
        let urn = names.iter().find_map(|name| entry[*name].as_str());
        let id = urn.and_then(|urn| {
            urn.strip_prefix("urn:li:organization:").or_else(|| urn.strip_prefix("urn:li:organizationBrand:"))
        });
        id == Some(owner) && entry["state"].as_str().is_none_or(|state| state == "APPROVED")
    };
    let roles = elements.iter().map(|raw| value(raw)).filter(ours);
    let roles: Vec<String> =
        roles.map(|entry| entry["role"].as_str().unwrap_or_default().to_owned()).collect();
    match roles.iter().find(|role| *role != BLIND) {
        Some(_) => Role::Sees,
        None if roles.is_empty() => Role::None { others: !elements.is_empty() },
        None => Role::Blind,
    }
}
