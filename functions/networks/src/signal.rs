//! What a push says of a page's token: that it was taken back, or a permission of it.
//!
//! A push can come late, and again. One that tells of a time before the page's access token was given is about an older
//! one, and changes nothing of the new one. How long the page is in its state does not matter for that: two signals of
//! one moment come in any order.
//!
//! What is found here is told first and marked then ([`token_state::Decided`](crate::token_state::Decided)), so a page
//! that is marked was told of, and a signal that says what is known already tells nothing: of an app that was removed,
//! networks push each permission. There is one notice id for each (page, kind, access token), the same for what a push
//! says and for what a call finds out ([`page_notice`]).

use jiff::Timestamp;

use crate::inbox::{Event, Reading, Signal};
use crate::page::{Page, TokenCause, TokenState, TokenStatus};
use crate::page_notice::{self, Kind, NoticeTimes};
use crate::token_state::{Decided, why};

/// What a reading says of a page's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSignal {
    /// What was taken back.
    pub signal: Signal,
    /// When, as the network says; where it does not, when it said so.
    pub occurred_at: Timestamp,
    /// When we heard of it.
    pub received_at: Timestamp,
}

impl TokenSignal {
    /// What a reading of an event says, if it says anything of a time that is known. Without a time nobody can tell
    /// which token it is about, and a token that was wrongly taken for dead would stop a collection that works.
    #[must_use]
    pub fn of(reading: &Reading, event: &Event, received_at: Timestamp) -> Option<Self> {
        let occurred_at = reading.content.occurred_at.or(event.sent_at)?;
        Some(Self { signal: reading.signal?, occurred_at, received_at })
    }
}

/// What becomes of a page by a signal, and what is told of it; the notice has the same bytes whenever it is told. None
/// where the signal is about an older token, or says what is known.
#[must_use]
pub fn decide(page: &Page, told: &TokenSignal, now: Timestamp) -> Option<Decided> {
    // Networks tell the time to the second.
    if told.occurred_at.as_second() < page.token_given_at().as_second() {
        return None;
    }
    let (state, kind, known) = match told.signal {
        Signal::TokenRevoked => (TokenState::Revoked, Kind::Revoked, page.token.state == TokenState::Revoked),
        // A token that is dead is no less so for a permission.
        Signal::PermissionRevoked => (
            TokenState::Narrowed,
            Kind::Narrowed,
            matches!(page.token.state, TokenState::Revoked | TokenState::Expired | TokenState::Narrowed),
        ),
    };
    if known {
        return None;
    }
    let mut token = TokenStatus {
        state,
        since: Some(now),
        cause: Some(TokenCause::TakenBack),
        permission: None,
        ..page.token.clone()
    };
    token.why = why(&token).map(str::to_owned);
    let marked = Page { token, version: page.version + 1, ..page.clone() };
    let facts = NoticeTimes { occurred_at: told.occurred_at, timestamp: told.received_at };
    let notice = page_notice::notice(&marked, kind, &facts);
    Some(Decided { page: marked, notice: Some(notice) })
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;
    use crate::collected::By;
    use crate::inbox::Shape;
    use crate::network::Network;
    use crate::normalise;
    use crate::page::NewPage;
    use crate::poll::TokenTrouble;
    use crate::token_state::{Observed, TokenObservation};
    use carteiro_core::id::{AccountId, PageId};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A page whose token was given at second 100.
    fn page() -> Page {
        let given = json!({"network": "x", "network_id": "1", "name": "Uma página", "access_token": "t"});
        let new = NewPage::from_json(given.as_object().unwrap()).unwrap();
        new.create(PageId::from_bits(1), AccountId::from_bits(2), at(100)).0
    }

    fn told(signal: Signal, second: i64) -> TokenSignal {
        TokenSignal { signal, occurred_at: at(second), received_at: at(160) }
    }

    fn marked(page: &Page, signal: Signal, second: i64) -> Page {
        decide(page, &told(signal, second), at(200)).unwrap().page
    }

    fn nothing(page: &Page, signal: Signal, second: i64) -> bool {
        decide(page, &told(signal, second), at(300)).is_none()
    }

    #[test]
    fn a_revoke_marks_the_token_once_with_its_time_and_reason() {
        for second in [100, 150, 500] {
            let revoked = marked(&page(), Signal::TokenRevoked, second);
            assert_eq!((revoked.token.state, revoked.token.since), (TokenState::Revoked, Some(at(200))));
            assert!(revoked.token.why.is_some() && revoked.version == 2);
            assert_eq!(revoked.token_given_at(), at(100));
        }
    }

    #[test]
    fn what_is_known_of_a_page_is_not_told_again() {
        let revoked = marked(&page(), Signal::TokenRevoked, 150);
        assert!(nothing(&revoked, Signal::TokenRevoked, 150));
        assert!(nothing(&revoked, Signal::PermissionRevoked, 150));
        let narrowed = marked(&page(), Signal::PermissionRevoked, 150);
        assert!(nothing(&narrowed, Signal::PermissionRevoked, 151));
    }

    #[test]
    fn a_removed_app_is_one_notice_of_each_kind() {
        let (mut page, mut kinds) = (page(), Vec::new());
        for signal in [
            Signal::PermissionRevoked,
            Signal::PermissionRevoked,
            Signal::TokenRevoked,
            Signal::PermissionRevoked,
            Signal::TokenRevoked,
        ] {
            if let Some(decided) = decide(&page, &told(signal, 150), at(200)) {
                page = decided.page;
                let body: Value = serde_json::from_slice(&decided.notice.unwrap().body).unwrap();
                kinds.push(body["type"].clone());
            }
        }
        assert_eq!(kinds, ["page.permission_revoked", "page.token_revoked"]);
    }

    #[test]
    fn a_revoke_from_before_a_renewal_is_about_the_old_token() {
        for signal in [Signal::TokenRevoked, Signal::PermissionRevoked] {
            assert!(nothing(&page(), signal, 99));
            assert!(nothing(&marked(&page(), Signal::TokenRevoked, 150), signal, 99));
        }
    }

    #[test]
    fn a_narrowed_token_can_be_revoked_by_an_earlier_event() {
        let narrowed = marked(&page(), Signal::PermissionRevoked, 150);
        assert_eq!((narrowed.token.state, narrowed.token.since), (TokenState::Narrowed, Some(at(200))));
        for second in [149, 150, 151, 250] {
            let revoked = marked(&narrowed, Signal::TokenRevoked, second);
            assert_eq!(revoked.token.state, TokenState::Revoked, "{second}");
        }
    }

    #[test]
    fn only_a_new_access_token_makes_a_signal_too_old() {
        let patched =
            |patch: Value| page().patched(patch.as_object().unwrap(), at(180)).unwrap().unwrap().page;
        for patch in [json!({"refresh_token": "r"}), json!({"expires_at": "2030-01-01T00:00:00Z"})] {
            let revoked = marked(&patched(patch), Signal::TokenRevoked, 150);
            assert_eq!(revoked.token.state, TokenState::Revoked);
        }
        let renewed = patched(json!({"access_token": "u"}));
        assert!(nothing(&renewed, Signal::TokenRevoked, 179));
        assert!(!nothing(&renewed, Signal::TokenRevoked, 180));
    }

    #[test]
    fn a_revoke_has_its_own_time_or_the_pushs() {
        let read = |value: Value, sent_at| {
            let raw = RawValue::from_string(value.to_string()).unwrap();
            let (shape, field) = (Shape::XAccountActivity, "user_event".to_owned());
            let event = Event { network: Network::X, by: By::Push, shape, field, sent_at, raw, beside: None };
            let reading = normalise::read(&event, &"1".parse().unwrap());
            assert_eq!(reading.signal, Some(Signal::TokenRevoked));
            TokenSignal::of(&reading, &event, at(160)).map(|told| told.occurred_at)
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
    fn a_signals_notice_is_the_same_whenever_it_is_told() {
        let told = told(Signal::TokenRevoked, 150);
        let first = decide(&page(), &told, at(200)).unwrap().notice.unwrap();
        let again = decide(&page(), &told, at(900)).unwrap().notice.unwrap();
        assert_eq!(first, again);
        let body: Value = serde_json::from_slice(&first.body).unwrap();
        assert_eq!(body["type"], "page.token_revoked");
        assert_eq!(body["data"]["name"], "Uma página");
        assert_eq!(body["timestamp"], "1970-01-01T00:02:40Z");
        assert_eq!(body["data"]["occurred_at"], "1970-01-01T00:02:30Z");
    }

    #[test]
    fn a_death_found_by_push_and_call_is_told_once() {
        let refused = Observed {
            sight: TokenObservation::Refused(TokenTrouble::Revoked),
            begun_at: at(210),
            renewable: false,
        };
        let by_call = |page: &Page| crate::token_state::decide(page, 1, &refused, at(211));
        let by_push = |page: &Page| decide(page, &told(Signal::TokenRevoked, 150), at(200));
        let (push, call) = (by_push(&page()).unwrap(), by_call(&page()).unwrap());
        assert!(by_call(&push.page).is_none() && by_push(&call.page).is_none());
        assert_eq!(push.notice.unwrap().id, call.notice.unwrap().id);
    }
}
