//! Feira's pushes: `{"shop": "<id>", "notes": [<note>, …]}`, signed with base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::collected::By;
use crate::inbox::{Event, Shape, Update};
use crate::network::Network;
use crate::push::members::{Members, elements};
use crate::push::signature::{AppSecret, ChallengeError, is_one_of, is_signed};
use crate::spec::{ChallengeAnswer, Query};

pub(super) fn is_genuine(secrets: &[AppSecret], signature: &str, body: &[u8]) -> bool {
    is_signed(secrets, signature, body, |mac| STANDARD.encode(mac))
}

pub(super) fn challenge(secrets: &[AppSecret], query: Query<'_>) -> Result<ChallengeAnswer, ChallengeError> {
    match query("secret") {
        Some(secret) if is_one_of(secrets, secret) => {
            Ok(ChallengeAnswer::new("text/plain", "ours".to_owned()))
        }
        _ => Err(ChallengeError::Refused),
    }
}

pub(super) fn split(body: &[u8]) -> Option<Vec<Update>> {
    let whole: &RawValue = serde_json::from_slice(body).ok()?;
    let members = Members::of(whole)?;
    let owners = vec![members.text("shop")?.parse().ok()?];
    let notes = elements(members.get("notes")?)?.into_iter();
    Some(notes.map(|note| Update { owners: owners.clone(), event: event(By::Push, note) }).collect())
}

/// A note, in the one form that pushes and lists share.
pub(super) fn event(by: By, note: &RawValue) -> Event {
    let (network, shape, field) = (Network::Seventh, Shape::Seventh, "note".to_owned());
    Event { network, by, shape, field, sent_at: None, raw: note.to_owned(), beside: None }
}
