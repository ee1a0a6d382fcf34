//! What becomes of a page by what was seen of its token.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::page::NewPage;
use carteiro_core::id::{AccountId, PageId};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

/// A page that was connected at second 0, whose token ends at a second.
fn page(end: Option<i64>) -> Page {
    let mut given =
        json!({"network": "facebook", "network_id": "1", "name": "Loja", "access_token": "planted"});
    if let Some(end) = end {
        given["expires_at"] = json!(at(end).to_string());
    }
    let new = NewPage::from_json(given.as_object().unwrap()).unwrap();
    new.create(PageId::from_bits(1), AccountId::from_bits(2), at(0)).0
}

fn taken(complete: bool) -> TokenObservation {
    TokenObservation::Taken { complete, expires_at: None, consent_ends_at: None }
}

fn narrowed(which: &str) -> TokenObservation {
    TokenObservation::Refused(TokenTrouble::Narrowed(Some(which.to_owned())))
}

fn look(page: &Page, sight: TokenObservation, second: i64, renewable: bool) -> Option<Decided> {
    let seen = Observed { sight, begun_at: at(second), renewable };
    decide(page, page.token_version, &seen, at(second))
}

/// The page after a look, and what was told.
fn after(page: &Page, sight: TokenObservation, second: i64) -> (Page, Option<String>) {
    let Some(decided) = look(page, sight, second, false) else { return (page.clone(), None) };
    assert_eq!(decided.page.version, page.version + 1);
    (decided.page, decided.notice.map(|notice| notice.kind.to_owned()))
}

fn expect(page: &Page, sight: TokenObservation, second: i64, state: TokenState, told: Option<&str>) -> Page {
    let (page, notice) = after(page, sight, second);
    assert_eq!((page.token.state, notice.as_deref()), (state, told));
    page
}

#[test]
fn a_token_that_the_network_takes_is_ok_and_says_so_once() {
    let page = expect(&page(None), taken(false), 1, TokenState::Ok, None);
    assert_eq!((page.token.since, &page.token.why), (Some(at(1)), &None));
    assert!(look(&page, taken(true), 2, false).is_none());
}

#[test]
fn each_refusal_has_its_state_and_its_notice_and_is_told_once() {
    for (sight, state, told) in [
        (TokenObservation::Refused(TokenTrouble::Expired), TokenState::Expired, "page.token_expired"),
        (TokenObservation::Refused(TokenTrouble::Revoked), TokenState::Revoked, "page.token_revoked"),
        (TokenObservation::RenewalRefused { lost: false }, TokenState::Revoked, "page.token_revoked"),
        (TokenObservation::RenewalRefused { lost: true }, TokenState::Revoked, "page.token_revoked"),
        (TokenObservation::NotThePages, TokenState::Revoked, "page.token_revoked"),
        (narrowed("pages_messaging"), TokenState::Narrowed, "page.permission_revoked"),
    ] {
        let page = expect(&page(None), sight.clone(), 1, state, Some(told));
        assert!(page.token.why.is_some() && page.token.since == Some(at(1)));
        assert!(look(&page, sight, 2, false).is_none());
    }
}

#[test]
fn a_token_of_somebody_elses_says_so() {
    let (page, _) = after(&page(None), TokenObservation::NotThePages, 1);
    assert!(page.token.why.unwrap().contains("somebody else"));
}

#[test]
fn of_a_dead_token_no_further_refusal_is_told() {
    for first in [TokenTrouble::Expired, TokenTrouble::Revoked] {
        let (dead, _) = after(&page(Some(DAY)), TokenObservation::Refused(first), 1);
        for sight in [
            TokenObservation::Refused(TokenTrouble::Expired),
            TokenObservation::Refused(TokenTrouble::Revoked),
            TokenObservation::NotThePages,
            narrowed("a"),
            TokenObservation::Time,
        ] {
            assert!(look(&dead, sight, 2 * DAY, false).is_none());
        }
    }
}

#[test]
fn only_what_was_seen_with_the_pages_current_token_counts() {
    let page = page(None);
    for version in [0, 2] {
        let seen = Observed {
            sight: TokenObservation::Refused(TokenTrouble::Revoked),
            begun_at: at(1),
            renewable: false,
        };
        assert_eq!(decide(&page, version, &seen, at(1)), None);
    }
}

#[test]
fn an_end_is_warned_of_once_at_30_15_7_and_1_days() {
    let end = 60 * DAY;
    let mut page = page(Some(end));
    let (warned, passed) = (Some("page.token_expiring"), Some("page.token_expired"));
    page = expect(&page, taken(true), end - 31 * DAY, TokenState::Ok, None);
    page = expect(&page, TokenObservation::Time, end - 30 * DAY, TokenState::Ok, warned);
    page = expect(&page, taken(true), end - 16 * DAY, TokenState::Ok, None);
    page = expect(&page, TokenObservation::Time, end - 15 * DAY, TokenState::Ok, warned);
    page = expect(&page, TokenObservation::Time, end - 8 * DAY, TokenState::Ok, None);
    page = expect(&page, TokenObservation::Time, end - 7 * DAY, TokenState::Expiring, warned);
    page = expect(&page, taken(true), end - 6 * DAY, TokenState::Expiring, None);
    page = expect(&page, TokenObservation::Time, end - 2 * DAY, TokenState::Expiring, None);
    page = expect(&page, TokenObservation::Time, end - DAY, TokenState::Expiring, warned);
    page = expect(&page, TokenObservation::Time, end - 1, TokenState::Expiring, None);
    assert_eq!(page.token.since, Some(at(end - 7 * DAY)));
    page = expect(&page, TokenObservation::Time, end, TokenState::Expired, passed);
    expect(&page, TokenObservation::Time, end + DAY, TokenState::Expired, None);
}

#[test]
fn a_warning_says_how_many_days_are_left() {
    let page = page(Some(10 * DAY));
    let told = |second| {
        let notice = look(&page, TokenObservation::Time, second, false).unwrap().notice.unwrap();
        let body: Value = serde_json::from_slice(&notice.body).unwrap();
        (notice.id, body["data"]["days_left"].clone())
    };
    assert_eq!(told(HOUR).1, json!(10));
    let (week, days) = told(3 * DAY + HOUR);
    assert_eq!((told(3 * DAY).0, days), (week.clone(), json!(7)));
    let (last, days) = told(9 * DAY + HOUR);
    assert_eq!(days, json!(1));
    assert_ne!(week, last);
}

#[test]
fn a_renewed_token_is_in_trouble_by_refusal_alone() {
    let page = page(Some(2 * HOUR));
    for (sight, second) in [
        (TokenObservation::Time, HOUR),
        (TokenObservation::Time, 3 * HOUR),
        (TokenObservation::Refused(TokenTrouble::Expired), 3 * HOUR),
    ] {
        assert!(look(&page, sight, second, true).is_none());
    }
    let dead = look(&page, TokenObservation::RenewalRefused { lost: false }, 3 * HOUR, true).unwrap();
    assert_eq!(dead.page.token.state, TokenState::Revoked);
    let revoked = look(&page, TokenObservation::Refused(TokenTrouble::Revoked), HOUR, true).unwrap();
    assert_eq!(revoked.page.token.state, TokenState::Revoked);
    let ok = look(&page, taken(true), HOUR, true).unwrap().page;
    assert_eq!((ok.token.state, ok.token.expires_at), (TokenState::Ok, Some(at(2 * HOUR))));
}

#[test]
fn the_end_of_the_consent_counts_for_every_token() {
    for (page, renewable) in [(page(None), false), (page(Some(HOUR)), true)] {
        let sight =
            TokenObservation::Taken { complete: true, expires_at: None, consent_ends_at: Some(at(6 * DAY)) };
        let looked = look(&page, sight, 1, renewable).unwrap();
        assert_eq!(looked.page.token.state, TokenState::Expiring);
        assert_eq!(looked.notice.unwrap().kind, "page.token_expiring");
        let over = look(&looked.page, TokenObservation::Time, 6 * DAY, renewable).unwrap();
        assert_eq!(over.page.token.state, TokenState::Expired);
        assert_eq!(over.page.token.why.as_deref(), Some("the consent of who gave it is over"));
    }
}

#[test]
fn an_end_that_the_network_names_takes_the_place_of_the_owners() {
    let sight =
        |end| TokenObservation::Taken { complete: true, expires_at: Some(at(end)), consent_ends_at: None };
    let page = expect(&page(Some(DAY)), sight(90 * DAY), 1, TokenState::Ok, None);
    assert_eq!(page.token.expires_at, Some(at(90 * DAY)));
    let soon = expect(&page, sight(5 * DAY), 2, TokenState::Expiring, Some("page.token_expiring"));
    let far = expect(&soon, sight(90 * DAY), 3, TokenState::Ok, None);
    assert_eq!((far.token.warned_days, far.token.recoveries), (None, 1));
    let again = look(&far, TokenObservation::Time, 84 * DAY, false).unwrap().notice.unwrap();
    let first = look(&page, sight(5 * DAY), 2, false).unwrap().notice.unwrap();
    assert_ne!(again.id, first.id, "another end is another warning");
}

#[test]
fn an_end_that_moves_away_is_warned_of_again() {
    let sight =
        |end| TokenObservation::Taken { complete: true, expires_at: Some(at(end)), consent_ends_at: None };
    let warned = Some("page.token_expiring");
    let soon = expect(&page(None), sight(5 * DAY), 1, TokenState::Expiring, warned);
    let later = expect(&soon, sight(20 * DAY), 2, TokenState::Ok, warned);
    assert_eq!((later.token.warned_days, later.token.recoveries), (Some(30), 1));
    let later = expect(&later, TokenObservation::Time, 6 * DAY, TokenState::Ok, warned);
    expect(&later, TokenObservation::Time, 14 * DAY, TokenState::Expiring, warned);
}

#[test]
fn an_end_that_a_success_disproves_is_forgotten() {
    let (expired, _) = after(&page(Some(DAY)), TokenObservation::Time, DAY);
    let ok = expect(&expired, taken(true), 2 * DAY, TokenState::Ok, None);
    assert_eq!(ok.token.expires_at, None);
    expect(&ok, TokenObservation::Time, 3 * DAY, TokenState::Ok, None);
}

#[test]
fn a_success_from_before_the_trouble_shows_nothing() {
    for trouble in
        [TokenObservation::Refused(TokenTrouble::Revoked), narrowed("a"), TokenObservation::NotThePages]
    {
        let (page, _) = after(&page(None), trouble, 100);
        for second in [50, 100] {
            assert!(look(&page, taken(true), second, false).is_none());
        }
        let ok = expect(&page, taken(true), 101, TokenState::Ok, None);
        assert_eq!((ok.token.recoveries, ok.token.why), (1, None));
    }
}

#[test]
fn a_narrowed_token_stays_so_until_all_was_answered() {
    let (page, _) = after(&page(None), narrowed("pages_messaging"), 1);
    assert_eq!(page.token.permission.as_deref(), Some("pages_messaging"));
    let still = expect(&page, taken(false), 2, TokenState::Narrowed, None);
    let ok = expect(&still, taken(true), 3, TokenState::Ok, None);
    assert_eq!(ok.token.permission, None);
}

#[test]
fn a_narrowed_token_is_warned_of_its_end_too_and_expires() {
    let (page, _) = after(&page(Some(10 * DAY)), narrowed("a"), 1);
    let warned =
        expect(&page, TokenObservation::Time, 4 * DAY, TokenState::Narrowed, Some("page.token_expiring"));
    expect(&warned, TokenObservation::Time, 10 * DAY, TokenState::Expired, Some("page.token_expired"));
}

#[test]
fn where_two_things_are_to_be_told_each_has_its_turn() {
    let page =
        expect(&page(Some(DAY)), narrowed("a"), 1, TokenState::Narrowed, Some("page.permission_revoked"));
    let page = expect(&page, TokenObservation::Time, 2, TokenState::Narrowed, Some("page.token_expiring"));
    expect(&page, TokenObservation::Time, 3, TokenState::Narrowed, None);
}

#[test]
fn a_trouble_after_a_recovery_is_another_notice() {
    let told = |page: &Page, second| {
        let decided = look(page, narrowed("a"), second, false).unwrap();
        (decided.page, decided.notice.unwrap().id)
    };
    let (narrow, first) = told(&page(None), 1);
    let (ok, _) = after(&narrow, taken(true), 2);
    let (_, second) = told(&ok, 3);
    assert_ne!(first, second);
}

#[test]
fn a_name_that_is_no_permissions_is_neither_kept_nor_told() {
    let long = "a".repeat(MAX_PERMISSION_BYTES + 1);
    for odd in ["", "Bearer planted", "<b>", "naïve", long.as_str()] {
        let (page, _) = after(&page(None), narrowed(odd), 1);
        assert_eq!((page.token.state, page.token.permission), (TokenState::Narrowed, None));
    }
    let (page, _) = after(&page(None), TokenObservation::Refused(TokenTrouble::Narrowed(None)), 1);
    let (named, notice) = after(&page, narrowed("dm.read"), 2);
    assert_eq!((named.token.permission.as_deref(), notice), (Some("dm.read"), None));
}

#[test]
fn a_renewed_token_begins_anew() {
    let (page, _) = after(&page(Some(DAY)), TokenObservation::Refused(TokenTrouble::Revoked), 1);
    let patch = json!({"access_token": "u"});
    let renewed = page.patched(patch.as_object().unwrap(), at(2)).unwrap().unwrap().page;
    assert_eq!(renewed.token, TokenStatus::unknown(None, at(2), at(2)));
    expect(
        &renewed,
        TokenObservation::Refused(TokenTrouble::Revoked),
        3,
        TokenState::Revoked,
        Some("page.token_revoked"),
    );
}

fn sights() -> impl Strategy<Value = TokenObservation> {
    let time = || proptest::option::of((0..40 * DAY).prop_map(at));
    prop_oneof![
        (any::<bool>(), time(), time()).prop_map(|(complete, expires_at, consent_ends_at)| {
            TokenObservation::Taken { complete, expires_at, consent_ends_at }
        }),
        Just(TokenObservation::Refused(TokenTrouble::Expired)),
        Just(TokenObservation::Refused(TokenTrouble::Revoked)),
        proptest::option::of("[a-z]{1,4}")
            .prop_map(|which| TokenObservation::Refused(TokenTrouble::Narrowed(which))),
        any::<bool>().prop_map(|lost| TokenObservation::RenewalRefused { lost }),
        Just(TokenObservation::NotThePages),
        Just(TokenObservation::Time),
    ]
}

proptest! {
    /// Whatever is seen, in whatever order: no id is told twice with a mark between, versions count one by one, the
    /// same look twice changes nothing the second time but a warning whose turn it is, and words stand where trouble
    /// is.
    #[test]
    fn no_history_tells_one_id_twice(
        looks in proptest::collection::vec((sights(), 0..DAY, any::<bool>()), 1..40),
        end in proptest::option::of(0..40 * DAY),
    ) {
        let (mut page, mut second, mut told) = (page(end), 0, std::collections::HashSet::new());
        for (sight, later, renewable) in looks {
            second += later;
            let before = page.clone();
            let Some(decided) = look(&page, sight.clone(), second, renewable) else { continue };
            page = decided.page;
            prop_assert_eq!(page.version, before.version + 1);
            prop_assert_eq!(page.token_version, before.token_version);
            prop_assert!(page.token != before.token);
            let state = page.token.state;
            prop_assert_eq!(page.token.why.is_some(), !matches!(state, TokenState::Ok | TokenState::Unknown));
            if let Some(notice) = decided.notice {
                prop_assert!(told.insert(notice.id.to_string()), "{} again", notice.kind);
                let body = String::from_utf8(notice.body).unwrap();
                prop_assert!(!body.contains("planted"));
            }
            if let Some(again) = look(&page, sight, second, renewable) {
                let only_the_warning = TokenStatus { warned_days: page.token.warned_days, ..again.page.token.clone() };
                prop_assert_eq!(only_the_warning, page.token.clone());
            }
        }
    }
}
