//! LinkedIn's pushes: notifications of what others did with a company's posts, up to ten in a request.
//!
//! LinkedIn has us sign a text of its own choice, with the secret that its pushes are signed with, and asks so each two
//! hours at an address that is public. An answer must never be the signature of a push, or a stranger could have pushes
//! of their own signed by us. What is signed of a push begins with `hmacsha256=`; a challenge is answered only if it is
//! of letters, digits and hyphens, as a UUID is.
//!
//! Sources: learn.microsoft.com/linkedin ("Webhooks", shared/api-guide/webhook-validation; "Organization Social Action
//! Notifications").

use serde_json::json;
use serde_json::value::RawValue;

use crate::collected::By;
use crate::inbox::{Event, Shape, Update};
use crate::linkedin::subscription;
use crate::network::{Network, NetworkId};
use crate::push::members::{Members, elements};
use crate::push::signature::{AppSecret, ChallengeError, hexadecimal, is_code};
use crate::spec::{ChallengeAnswer, PushSpec, Query, Unsigned};

/// The header of LinkedIn's signature: lower-case hexadecimal digits.
pub const HEADER: &str = "x-li-signature";

/// What stands before the body where it is signed. The header is documented without it, and taken with it, too.
const PREFIX: &str = "hmacsha256=";

/// The longest challenge: a UUID has 36 characters.
const MAX_CHALLENGE_BYTES: usize = 64;

/// The most notifications that are split, beyond the ten that LinkedIn sends. What has more is kept whole.
const MAX_NOTIFICATIONS: usize = 1024;

/// How LinkedIn's pushes are checked and split.
pub(super) static PUSH: PushSpec = PushSpec {
    secrets: "LINKEDIN_CLIENT_SECRETS",
    signature_header: HEADER,
    is_genuine,
    unsigned: Unsigned::Refused,
    page_parameter: None,
    challenge_secrets: "LINKEDIN_CLIENT_SECRETS",
    challenge,
    split: |_, body| split(body),
    subscription: Some(&subscription::SPEC),
};

fn code(secret: &AppSecret, body: &[u8]) -> Option<String> {
    secret.mac_of([PREFIX.as_bytes(), body]).map(|mac| hexadecimal(&mac))
}

/// Whether a body is LinkedIn's: `signature` is the value of [`HEADER`], made with any of the secrets.
#[must_use]
pub fn is_genuine(secrets: &[AppSecret], signature: &str, body: &[u8]) -> bool {
    let given = signature.strip_prefix(PREFIX).unwrap_or(signature);
    is_code(secrets, given, |secret| code(secret, body))
}

/// The value of [`HEADER`] for a body, as LinkedIn makes it.
#[must_use]
pub fn sign(secret: &AppSecret, body: &[u8]) -> String {
    code(secret, body).unwrap_or_default()
}

/// Answers a check: the parameter is `challengeCode`. The first secret answers, for an app has one at a time.
fn challenge(secrets: &[AppSecret], query: Query<'_>) -> Result<ChallengeAnswer, ChallengeError> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let is_fit = |text: &&str| (1..=MAX_CHALLENGE_BYTES).contains(&text.len()) && text.bytes().all(is_plain);
    let text = query("challengeCode").filter(is_fit).ok_or(ChallengeError::Malformed)?;
    let mac =
        secrets.first().and_then(|secret| secret.mac(text.as_bytes())).ok_or(ChallengeError::Refused)?;
    let body = json!({"challengeCode": text, "challengeResponse": hexadecimal(&mac)}).to_string();
    Ok(ChallengeAnswer::new("application/json", body))
}

/// Splits a body into its notifications, if it has a list of them.
pub(super) fn split(body: &[u8]) -> Option<Vec<Update>> {
    let whole: &RawValue = serde_json::from_slice(body).ok()?;
    let notifications = elements(Members::of(whole)?.get("notifications")?)?;
    (notifications.len() <= MAX_NOTIFICATIONS).then(|| notifications.into_iter().map(update).collect())
}

fn update(notification: &RawValue) -> Update {
    let company =
        Members::of(notification).and_then(|members| company(&members.text("organizationalEntity")?));
    let shape = if company.is_some() { Shape::LinkedinNotification } else { Shape::Unknown };
    let event = Event {
        network: Network::Linkedin,
        by: By::Push,
        shape,
        field: "notification".to_owned(),
        sent_at: None,
        raw: notification.to_owned(),
        beside: None,
    };
    Update { owners: company.into_iter().collect(), event }
}

/// The number of a company, or of a brand of one, in its URN.
fn company(urn: &str) -> Option<NetworkId> {
    let number =
        ["urn:li:organization:", "urn:li:organizationBrand:"].iter().find_map(|kind| urn.strip_prefix(kind));
    number?.parse().ok()
}

#[cfg(test)]
#[path = "push_tests.rs"]
mod tests;
