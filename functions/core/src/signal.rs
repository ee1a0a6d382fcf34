//! What a push says of a page's token: that it was taken back, or a permission of it.
//!
//! A push can come late, and again. One that tells of a time before the page's token got the state that it has is
//! about an older token, and changes nothing of the new one. One that says what is known already changes nothing
//! either, but is told: who marked the page may have died before that.

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::id::ItemId;
use crate::inbox::{EntryKey, Signal};
use crate::page::{Page, TokenState, TokenStatus};

/// What becomes of a page by a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Its token's state changes: this is the page from now on.
    Marked(Box<Page>),
    /// It says so already.
    Known,
    /// The signal is about an older token.
    Stale,
}

/// What becomes of a page by a signal that tells of `occurred_at`, where that is known.
#[must_use]
pub fn effect(page: &Page, signal: Signal, occurred_at: Option<Timestamp>, now: Timestamp) -> Effect {
    let known = match signal {
        Signal::TokenRevoked => page.token.state == TokenState::Revoked,
        // A token that is dead is no less so for a permission.
        Signal::PermissionRevoked => {
            matches!(page.token.state, TokenState::Revoked | TokenState::Narrowed)
        }
    };
    if known {
        return Effect::Known;
    }
    // Networks tell the time to the second.
    let before = |at: Timestamp, since: Timestamp| at.as_second() < since.as_second();
    if occurred_at.zip(page.token.since).is_some_and(|(at, since)| before(at, since)) {
        return Effect::Stale;
    }
    let (state, why) = match signal {
        Signal::TokenRevoked => (TokenState::Revoked, "the network says that access was taken back"),
        Signal::PermissionRevoked => {
            (TokenState::Narrowed, "the network says that a permission was taken back")
        }
    };
    let token =
        TokenStatus { state, expires_at: page.token.expires_at, since: Some(now), why: Some(why.to_owned()) };
    Effect::Marked(Box::new(Page { token, version: page.version + 1, ..page.clone() }))
}

/// The id of the notice of a signal: one for each (page, kind, entry).
#[must_use]
pub fn notice_id(page: &Page, signal: Signal, entry: &EntryKey) -> ItemId {
    let mut digest = Sha256::new();
    for part in ["carteiro page notice 1", page.id.as_str(), kind(signal), entry.as_str()] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digest: [u8; 32] = digest.finalize().into();
    let mut bits = [0; 16];
    bits.copy_from_slice(&digest[..16]);
    ItemId::from_bits(u128::from_be_bytes(bits))
}

/// The bytes of the notice of a signal, in the form of Standard Webhooks: `type`, `timestamp`, `data`. The same
/// whenever it is told.
#[must_use]
pub fn notice(
    page: &Page,
    signal: Signal,
    occurred_at: Option<Timestamp>,
    received_at: Timestamp,
) -> Vec<u8> {
    let state = match signal {
        Signal::TokenRevoked => TokenState::Revoked,
        Signal::PermissionRevoked => TokenState::Narrowed,
    };
    let data = json!({
        "page": page.id,
        "network": page.network,
        "network_id": page.network_id,
        "name": page.name,
        "token": {"state": state},
        "occurred_at": occurred_at,
    });
    json!({"type": kind(signal), "timestamp": received_at, "data": data}).to_string().into_bytes()
}

fn kind(signal: Signal) -> &'static str {
    match signal {
        Signal::TokenRevoked => "page.token_revoked",
        Signal::PermissionRevoked => "page.permission_revoked",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::id::{AccountId, PageId};
    use crate::inbox::Version;
    use crate::page::NewPage;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A page whose token was given at second 100.
    fn page() -> Page {
        let given = json!({"network": "x", "network_id": "1", "name": "Uma página", "access_token": "t"});
        let new = NewPage::from_json(given.as_object().unwrap()).unwrap();
        new.create(PageId::from_bits(1), AccountId::from_bits(2), at(100)).0
    }

    fn marked(page: &Page, signal: Signal, occurred_at: Option<Timestamp>) -> Page {
        match effect(page, signal, occurred_at, at(200)) {
            Effect::Marked(page) => *page,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_revoke_marks_the_token_once_with_its_time_and_reason() {
        for occurred_at in [None, Some(at(100)), Some(at(150))] {
            let revoked = marked(&page(), Signal::TokenRevoked, occurred_at);
            assert_eq!((revoked.token.state, revoked.token.since), (TokenState::Revoked, Some(at(200))));
            assert!(revoked.token.why.is_some() && revoked.version == 2);
            for signal in [Signal::TokenRevoked, Signal::PermissionRevoked] {
                assert_eq!(effect(&revoked, signal, Some(at(1)), at(300)), Effect::Known);
            }
        }
    }

    #[test]
    fn a_revoke_from_before_the_tokens_renewal_is_about_the_older_one() {
        for signal in [Signal::TokenRevoked, Signal::PermissionRevoked] {
            assert_eq!(effect(&page(), signal, Some(at(99)), at(200)), Effect::Stale);
        }
    }

    #[test]
    fn a_narrowed_token_can_still_be_revoked() {
        let narrowed = marked(&page(), Signal::PermissionRevoked, None);
        assert_eq!(narrowed.token.state, TokenState::Narrowed);
        assert_eq!(marked(&narrowed, Signal::TokenRevoked, None).token.state, TokenState::Revoked);
    }

    #[test]
    fn a_notice_has_one_id_and_the_same_bytes_whenever_it_is_told() {
        let key = |text: &str| EntryKey::new("revoke:1", &Version::of_action([text]));
        let page = page();
        let later = marked(&page, Signal::TokenRevoked, None);
        let id = notice_id(&page, Signal::TokenRevoked, &key("a"));
        assert_eq!(id, notice_id(&later, Signal::TokenRevoked, &key("a")));
        assert_ne!(id, notice_id(&page, Signal::PermissionRevoked, &key("a")));
        assert_ne!(id, notice_id(&page, Signal::TokenRevoked, &key("b")));
        let body = notice(&page, Signal::TokenRevoked, Some(at(150)), at(160));
        assert_eq!(body, notice(&later, Signal::TokenRevoked, Some(at(150)), at(160)));
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&body["type"], &body["data"]["name"]),
            (&"page.token_revoked".into(), &"Uma página".into())
        );
        assert_eq!(body["timestamp"], "1970-01-01T00:02:40Z");
    }
}
