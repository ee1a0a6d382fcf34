//! What a push says of a page's token: that it was taken back, or a permission of it.
//!
//! A push can come late, and again. One that tells of a time before the page's access token was given is about an older
//! one, and changes nothing of the new one. How long the page is in its state does not matter for that: two signals of
//! one moment come in any order.
//!
//! Guaranteed: the entry that marks a page tells of it, and does so again if it is handed on again, for who marked the
//! page may have died before telling. Any other entry that says what is known already tells nothing: of an app that was
//! removed, networks push each permission. There is one notice id for each (page, kind, access token). Not guaranteed:
//! where a page is revoked before the entry that narrowed it could tell, only the revocation is told.

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::id::ItemId;
use crate::inbox::{EntryKey, Event, Reading, Signal};
use crate::page::{Page, TokenState, TokenStatus};

/// What a reading says of a page's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// What was taken back.
    pub signal: Signal,
    /// When, as the network says; where it does not, when it said so.
    pub occurred_at: Timestamp,
    /// The entry that says it.
    pub entry: &'a EntryKey,
}

impl<'a> Told<'a> {
    /// What a reading of an entry's event says, if it says anything of a time that is known. Without a time nobody can
    /// tell which token it is about, and a token that was wrongly taken for dead would stop a collection that works.
    #[must_use]
    pub fn of(reading: &Reading, event: &Event, entry: &'a EntryKey) -> Option<Self> {
        let occurred_at = reading.content.occurred_at.or(event.sent_at)?;
        Some(Self { signal: reading.signal?, occurred_at, entry })
    }
}

/// What becomes of a page by a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Its token's state changes: this is the page from now on, and its account is told.
    Marked(Box<Page>),
    /// The same entry marked it before: its account is told again, for it may not have been.
    Repeated,
    /// It says so already, by another entry or by none.
    Known,
    /// The signal is about an older token.
    Stale,
}

/// What becomes of a page by a signal.
#[must_use]
pub fn effect(page: &Page, told: &Told<'_>, now: Timestamp) -> Effect {
    // Networks tell the time to the second.
    if told.occurred_at.as_second() < page.token_given_at().as_second() {
        return Effect::Stale;
    }
    let known = match told.signal {
        Signal::TokenRevoked => page.token.state == TokenState::Revoked,
        // A token that is dead is no less so for a permission.
        Signal::PermissionRevoked => {
            matches!(page.token.state, TokenState::Revoked | TokenState::Narrowed)
        }
    };
    if known {
        let same = page.token.marked_by.as_ref() == Some(told.entry);
        return if same { Effect::Repeated } else { Effect::Known };
    }
    let (state, why) = match told.signal {
        Signal::TokenRevoked => (TokenState::Revoked, "the network says that access was taken back"),
        Signal::PermissionRevoked => {
            (TokenState::Narrowed, "the network says that a permission was taken back")
        }
    };
    let token = TokenStatus {
        state,
        since: Some(now),
        why: Some(why.to_owned()),
        marked_by: Some(told.entry.clone()),
        ..page.token.clone()
    };
    Effect::Marked(Box::new(Page { token, version: page.version + 1, ..page.clone() }))
}

/// The id of the notice of a signal: one for each (page, kind, access token).
#[must_use]
pub fn notice_id(page: &Page, signal: Signal) -> ItemId {
    let given_at = page.token_given_at().to_string();
    let mut digest = Sha256::new();
    for part in ["carteiro page notice 2", page.id.as_str(), kind(signal), given_at.as_str()] {
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
pub fn notice(page: &Page, told: &Told<'_>, received_at: Timestamp) -> Vec<u8> {
    let state = match told.signal {
        Signal::TokenRevoked => TokenState::Revoked,
        Signal::PermissionRevoked => TokenState::Narrowed,
    };
    let data = json!({
        "page": page.id,
        "network": page.network,
        "network_id": page.network_id,
        "name": page.name,
        "token": {"state": state},
        "occurred_at": told.occurred_at,
    });
    json!({"type": kind(told.signal), "timestamp": received_at, "data": data}).to_string().into_bytes()
}

fn kind(signal: Signal) -> &'static str {
    match signal {
        Signal::TokenRevoked => "page.token_revoked",
        Signal::PermissionRevoked => "page.permission_revoked",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;
    use crate::collected::By;
    use crate::id::{AccountId, PageId};
    use crate::inbox::{Shape, Version};
    use crate::network::Network;
    use crate::normalise;
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

    fn key(text: &str) -> EntryKey {
        EntryKey::new("revoke:1", &Version::of_action([text]))
    }

    fn told(signal: Signal, second: i64, entry: &EntryKey) -> Told<'_> {
        Told { signal, occurred_at: at(second), entry }
    }

    fn marked(page: &Page, signal: Signal, second: i64, entry: &str) -> Page {
        match effect(page, &told(signal, second, &key(entry)), at(200)) {
            Effect::Marked(page) => *page,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_revoke_marks_the_token_once_with_its_time_and_reason() {
        for second in [100, 150, 500] {
            let revoked = marked(&page(), Signal::TokenRevoked, second, "a");
            assert_eq!((revoked.token.state, revoked.token.since), (TokenState::Revoked, Some(at(200))));
            assert!(revoked.token.why.is_some() && revoked.version == 2);
            assert_eq!(revoked.token_given_at(), at(100));
        }
    }

    #[test]
    fn only_the_entry_that_marked_a_page_tells_of_it_again() {
        let revoked = marked(&page(), Signal::TokenRevoked, 150, "a");
        let of = |signal, entry: &str| effect(&revoked, &told(signal, 150, &key(entry)), at(300));
        assert_eq!(of(Signal::TokenRevoked, "a"), Effect::Repeated);
        assert_eq!(of(Signal::TokenRevoked, "b"), Effect::Known);
        assert_eq!(of(Signal::PermissionRevoked, "b"), Effect::Known);
        let narrowed = marked(&page(), Signal::PermissionRevoked, 150, "a");
        let of = |entry: &str| effect(&narrowed, &told(Signal::PermissionRevoked, 150, &key(entry)), at(300));
        assert_eq!((of("a"), of("b")), (Effect::Repeated, Effect::Known));
    }

    #[test]
    fn an_app_that_is_removed_tells_no_more_than_one_notice_of_each_kind() {
        let (mut page, mut ids) = (page(), Vec::new());
        for (nth, signal) in [
            Signal::PermissionRevoked,
            Signal::PermissionRevoked,
            Signal::TokenRevoked,
            Signal::PermissionRevoked,
            Signal::TokenRevoked,
        ]
        .into_iter()
        .enumerate()
        {
            if let Effect::Marked(marked) = effect(&page, &told(signal, 150, &key(&nth.to_string())), at(200))
            {
                page = *marked;
                ids.push(notice_id(&page, signal));
            }
        }
        assert_eq!(
            ids,
            [notice_id(&page, Signal::PermissionRevoked), notice_id(&page, Signal::TokenRevoked)]
        );
    }

    #[test]
    fn a_revoke_from_before_the_tokens_renewal_is_about_the_older_one() {
        for signal in [Signal::TokenRevoked, Signal::PermissionRevoked] {
            assert_eq!(effect(&page(), &told(signal, 99, &key("a")), at(200)), Effect::Stale);
            let revoked = marked(&page(), Signal::TokenRevoked, 150, "a");
            assert_eq!(effect(&revoked, &told(signal, 99, &key("b")), at(200)), Effect::Stale);
        }
    }

    #[test]
    fn a_narrowed_token_can_still_be_revoked_by_what_happened_before_it_was_marked() {
        let narrowed = marked(&page(), Signal::PermissionRevoked, 150, "a");
        assert_eq!((narrowed.token.state, narrowed.token.since), (TokenState::Narrowed, Some(at(200))));
        for second in [149, 150, 151, 250] {
            let revoked = marked(&narrowed, Signal::TokenRevoked, second, "b");
            assert_eq!(revoked.token.state, TokenState::Revoked, "{second}");
        }
    }

    #[test]
    fn a_new_refresh_token_or_end_makes_no_signal_too_old_and_a_new_access_token_does() {
        let patched =
            |patch: Value| page().patched(patch.as_object().unwrap(), at(180)).unwrap().unwrap().page;
        for patch in [json!({"refresh_token": "r"}), json!({"expires_at": "2030-01-01T00:00:00Z"})] {
            let revoked = marked(&patched(patch), Signal::TokenRevoked, 150, "a");
            assert_eq!(revoked.token.state, TokenState::Revoked);
        }
        let renewed = patched(json!({"access_token": "u"}));
        let of = |second| effect(&renewed, &told(Signal::TokenRevoked, second, &key("a")), at(200));
        assert_eq!(of(179), Effect::Stale);
        assert!(matches!(of(180), Effect::Marked(_)));
    }

    #[test]
    fn a_revoke_is_of_its_own_time_else_of_the_pushs_and_without_either_it_is_none() {
        let read = |value: Value, sent_at| {
            let raw = RawValue::from_string(value.to_string()).unwrap();
            let (shape, field) = (Shape::XAccountActivity, "user_event".to_owned());
            let event = Event { network: Network::X, by: By::Push, shape, field, sent_at, raw, beside: None };
            let reading = normalise::read(&event, &"1".parse().unwrap());
            assert_eq!(reading.signal, Some(Signal::TokenRevoked));
            Told::of(&reading, &event, &key("a")).map(|told| told.occurred_at)
        };
        let revoke = json!({"revoke": {"source": {"user_id": "1"}, "target": {"app_id": "2"}}});
        let mut timed = revoke.clone();
        timed["revoke"]["date_time"] = json!("2026-07-23T21:44:05+00:00");
        let own = "2026-07-23T21:44:05Z".parse().unwrap();
        assert_eq!(read(timed, Some(at(150))), Some(own));
        assert_eq!(read(revoke.clone(), Some(at(150))), Some(at(150)));
        assert_eq!(read(revoke, None), None);
    }

    #[test]
    fn a_notice_has_one_id_and_the_same_bytes_whenever_it_is_told() {
        let page = page();
        let later = marked(&page, Signal::TokenRevoked, 150, "a");
        let id = notice_id(&page, Signal::TokenRevoked);
        assert_eq!(id, notice_id(&later, Signal::TokenRevoked));
        assert_ne!(id, notice_id(&page, Signal::PermissionRevoked));
        let patch = json!({"access_token": "u"});
        let renewed = page.patched(patch.as_object().unwrap(), at(180)).unwrap().unwrap().page;
        assert_ne!(id, notice_id(&renewed, Signal::TokenRevoked));
        let key = key("a");
        let told = told(Signal::TokenRevoked, 150, &key);
        let body = notice(&page, &told, at(160));
        assert_eq!(body, notice(&later, &told, at(160)));
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&body["type"], &body["data"]["name"]),
            (&"page.token_revoked".into(), &"Uma página".into())
        );
        assert_eq!(body["timestamp"], "1970-01-01T00:02:40Z");
    }
}
