use serde_json::{Value, json};

use super::*;
use crate::poll::test_support::Reply;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-22T12:00:00Z")
}

fn told(network: Network, status: u16, body: &Value, after_loss: bool) -> Renewed {
    Reply::json(status, body).told(|answer| renewed(network, answer, after_loss, now()))
}

#[test]
fn tokens_are_renewed_ahead_by_how_long_they_last() {
    let in_minutes = |minutes: i64| Some(after(now(), minutes * 60));
    assert!(is_due(Network::X, in_minutes(5), now()) && is_due(Network::Youtube, in_minutes(-5), now()));
    assert!(!is_due(Network::X, in_minutes(6), now()) && !is_due(Network::X, None, now()));
    assert!(is_due(Network::Linkedin, in_minutes(6 * 24 * 60), now()));
    assert!(!is_due(Network::Linkedin, in_minutes(8 * 24 * 60), now()));
}

#[test]
fn one_worker_renews_and_a_lost_attempt_is_repeated() {
    let RenewalClaim::Ours { attempt, after_loss: false } = claim(None, 3, now()) else { panic!() };
    assert_eq!(attempt, RenewalAttempt { of: 3, at: now() });
    let until = after(now(), 120);
    assert_eq!(claim(Some(attempt), 3, after(now(), 119)), RenewalClaim::Theirs { until });
    assert!(matches!(claim(Some(attempt), 3, until), RenewalClaim::Ours { after_loss: true, .. }));
    assert!(matches!(claim(Some(attempt), 4, now()), RenewalClaim::Ours { after_loss: false, .. }));
}

#[test]
fn the_refresh_token_changes_only_where_a_new_one_comes() {
    let body =
        json!({"token_type": "bearer", "expires_in": 7200, "access_token": "new", "refresh_token": "next"});
    let Renewed::Fresh(fresh) = told(Network::X, 200, &body, false) else { panic!() };
    assert_eq!(fresh.expires_at, Some(at("2026-11-22T14:00:00Z")));
    assert!(!format!("{fresh:?}").contains("new"), "no token is printed");
    let change = fresh.over(7);
    assert_eq!(change.version, 8);
    assert_eq!(change.refresh_token, Set::To(AccessToken::from_stored("next".to_owned())));
    let body = json!({"access_token": "new", "expires_in": "3599", "scope": "a b"});
    let Renewed::Fresh(fresh) = told(Network::Youtube, 200, &body, false) else { panic!() };
    assert_eq!(fresh.over(1).refresh_token, Set::Keep);
    for nothing in [json!({}), json!({"access_token": ""}), json!({"access_token": "a\nb"}), json!([])] {
        assert_eq!(told(Network::X, 200, &nothing, false), Renewed::Unknown, "{nothing}");
    }
}

#[test]
fn a_refusal_says_who_can_help_and_what_was_lost() {
    let x =
        json!({"error": "invalid_request", "error_description": "Value passed for the token was invalid."});
    assert_eq!(told(Network::X, 400, &x, false), Renewed::Dead { lost: false });
    assert_eq!(told(Network::X, 400, &x, true), Renewed::Dead { lost: true });
    let google = json!({"error": "invalid_grant", "error_description": "Token has been expired or revoked."});
    assert_eq!(told(Network::Youtube, 400, &google, true), Renewed::Dead { lost: false });
    for network in [Network::X, Network::Youtube, Network::GooglePlay, Network::Linkedin] {
        let ours = json!({"error": "invalid_client"});
        assert_eq!(told(network, 401, &ours, false), Renewed::OurFault(OperatorFault::ClientRefused));
        assert_eq!(told(network, 503, &json!({}), true), Renewed::Unknown);
        assert_eq!(told(network, 400, &json!({"error": "invalid_request"}), true), Renewed::Unknown);
        let limited = Reply::json(429, &json!({})).with("retry-after", 30);
        let limited = limited.told(|answer| renewed(network, answer, false, now()));
        assert_eq!(limited, Renewed::Wait(after(now(), 30)));
    }
}

#[test]
fn forms_name_what_goes_into_them_and_hold_none_of_it() {
    let x = renewal(Network::X, GrantType::RefreshToken).unwrap();
    assert!(x.rotates && x.basic);
    for network in [Network::Youtube, Network::GooglePlay, Network::Linkedin] {
        let renewal = renewal(network, GrantType::RefreshToken).unwrap();
        assert!(!renewal.rotates && !renewal.basic);
        assert!(renewal.form.contains(&("refresh_token", Slot::RefreshToken)), "{network}");
    }
    assert_eq!(renewal(Network::Youtube, GrantType::ServiceAccount), None);
    assert_eq!(renewal(Network::Facebook, GrantType::RefreshToken), None);
    let play = renewal(Network::GooglePlay, GrantType::ServiceAccount).unwrap();
    assert_eq!(play.form[1], ("assertion", Slot::Assertion));
}

#[test]
fn an_expired_token_is_renewed_once_in_a_run() {
    assert_eq!(help(&TokenTrouble::Expired, true, false), Remedy::Renew);
    assert_eq!(help(&TokenTrouble::Expired, true, true), Remedy::Owner);
    assert_eq!(help(&TokenTrouble::Expired, false, false), Remedy::Owner);
    assert_eq!(help(&TokenTrouble::Revoked, true, false), Remedy::Owner);
}
