//! Subscribing to the notifications of a company's page.
//!
//! Three calls: the member's role, which says who the member is; the subscription, of the app, the member and the page
//! (`PUT`, which replaces one that is there); and, where the answer did not say it, when it ends. It lives as long as
//! the member's grant and role, and ends without a word, so that it is asked for again with each new token, and each
//! week at the latest.
//!
//! Sources: learn.microsoft.com/linkedin ("Organization Social Action Notifications", "Organization access control").

use std::time::Duration;

use carteiro_core::retention::after;
use jiff::Timestamp;
use serde_json::Value;

use super::collect::{rest_headers, verdict};
use crate::normalise::value::time;
use crate::poll::body::{encoded, tree};
use crate::poll::{Auth, Endpoint, Method, NetworkRequest, NetworkResponse, TokenTrouble, Verdict};
use crate::push::subscription::{Step, Subscribing, SubscriptionSpec};

const EVENTS: &str = "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS";
/// The only role that may subscribe.
const ROLE: &str = "ADMINISTRATOR";
/// What is found before the last call: that the subscription was made, and by whom.
const MADE: &str = "made by ";
/// How long a subscription is believed of which LinkedIn did not say when it ends.
const BELIEVED: Duration = Duration::from_secs(14 * 24 * 3600);

/// How LinkedIn is asked.
pub(super) static SPEC: SubscriptionSpec =
    SubscriptionSpec { hub: None, app: Some("LINKEDIN_APPLICATION_ID"), is_of_token: true, request, read };

fn request(subscribing: &Subscribing<'_>, found: Option<&str>) -> NetworkRequest {
    let mut query = Vec::new();
    let mut headers = rest_headers(&subscribing.api.version);
    let (method, path) = match found {
        None => {
            headers.push(("x-restli-method", "FINDER".to_owned()));
            (
                Method::Get,
                format!("/rest/organizationAcls?q=roleAssignee&role={ROLE}&state=APPROVED&start=0&count=100"),
            )
        }
        Some(found) => match found.strip_prefix(MADE) {
            Some(member) => (Method::Get, path(subscribing, member)),
            None => {
                query.push(("webhook", subscribing.callback.to_owned()));
                (Method::Put, path(subscribing, found))
            }
        },
    };
    let (operation, to, auth) = ("subscription", Endpoint::Api, Auth::Bearer);
    NetworkRequest { operation, to, method, path, query, headers, auth, units: 1 }
}

fn path(subscribing: &Subscribing<'_>, member: &str) -> String {
    let urn = |kind: &str, id: &str| encoded(&format!("urn:li:{kind}:{id}"));
    format!(
        "/rest/eventSubscriptions/(developerApplication:{},user:{},entity:{},eventType:{EVENTS})",
        urn("developerApplication", subscribing.app),
        encoded(member),
        urn("organization", subscribing.page.as_str()),
    )
}

fn read(
    subscribing: &Subscribing<'_>,
    found: Option<&str>,
    answer: &NetworkResponse<'_>,
    now: Timestamp,
) -> Step {
    match verdict(answer, now) {
        Verdict::Fine => {}
        failed => return Step::Failed(failed),
    }
    let body = tree(answer.body);
    let ends = time(&body, "expiresAt").filter(|end| *end > now);
    match (found, ends) {
        (None, _) => match member(&body, subscribing.page.as_str()) {
            Some(member) => Step::Ask(member),
            None => Step::Failed(Verdict::Token(TokenTrouble::Narrowed(None))),
        },
        (Some(_), Some(end)) => Step::Until(end),
        (Some(found), None) if found.starts_with(MADE) => Step::Until(after(now, BELIEVED)),
        (Some(member), None) => Step::Ask(format!("{MADE}{member}")),
    }
}

/// The member that administers a page.
fn member(body: &Value, page: &str) -> Option<String> {
    let administers = |entry: &&Value| {
        let names = ["organization", "organizationTarget", "organizationalTarget"];
        let urn = names.iter().find_map(|name| entry[*name].as_str());
        urn.and_then(|urn| urn.rsplit(':').next()) == Some(page) && entry["role"].as_str() == Some(ROLE)
    };
    let entry = body["elements"].as_array()?.iter().find(administers)?;
    entry["roleAssignee"].as_str().filter(|urn| urn.len() <= super::collect::MAX_URN_BYTES).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::network::Network;
    use crate::poll::test_support::Reply;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn with<T>(act: impl FnOnce(&Subscribing<'_>) -> T) -> T {
        let api = &Network::Linkedin.spec().api;
        act(&Subscribing {
            page: &"1337".parse().unwrap(),
            callback: "https://a.example/push/linkedin",
            app: "77",
            api,
        })
    }

    fn told(found: Option<&str>, status: u16, body: &Value) -> Step {
        with(|asked| Reply::json(status, body).told(|answer| read(asked, found, answer, now())))
    }

    #[test]
    fn the_member_the_subscription_and_its_end_are_asked_for() {
        let acl = |role: &str, page: u32| {
            json!({"elements": [{"role": role, "organization": format!("urn:li:organization:{page}"),
                "roleAssignee": "urn:li:person:a"}]})
        };
        assert_eq!(told(None, 200, &acl("ADMINISTRATOR", 1337)), Step::Ask("urn:li:person:a".to_owned()));
        for other in [acl("ANALYST", 1337), acl("ADMINISTRATOR", 1338), json!({"elements": []})] {
            assert!(matches!(
                told(None, 200, &other),
                Step::Failed(Verdict::Token(TokenTrouble::Narrowed(_)))
            ));
        }
        let put = with(|asked| request(asked, Some("urn:li:person:a")));
        assert_eq!((put.method, &*put.query[0].1), (Method::Put, "https://a.example/push/linkedin"));
        assert_eq!(
            put.path,
            "/rest/eventSubscriptions/(developerApplication:urn%3Ali%3AdeveloperApplication%3A77,\
             user:urn%3Ali%3Aperson%3Aa,entity:urn%3Ali%3Aorganization%3A1337,\
             eventType:ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS)"
        );
        let made = Step::Ask("made by urn:li:person:a".to_owned());
        assert_eq!(told(Some("urn:li:person:a"), 201, &json!({})), made);
        let get = with(|asked| request(asked, Some("made by urn:li:person:a")));
        assert_eq!((get.method, get.path == put.path), (Method::Get, true));
        let end: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let answer = json!({"expiresAt": end.as_millisecond(), "webhook": "https://a.example/push/linkedin"});
        assert_eq!(told(Some("made by urn:li:person:a"), 200, &answer), Step::Until(end));
        let unsaid = told(Some("made by urn:li:person:a"), 200, &json!({}));
        assert_eq!(unsaid, Step::Until(after(now(), BELIEVED)));
    }

    #[test]
    fn a_refusal_is_read_as_the_networks_others() {
        let refused = told(Some("urn:li:person:a"), 403, &json!({"code": "ACCESS_DENIED"}));
        assert!(matches!(refused, Step::Failed(Verdict::Token(TokenTrouble::Narrowed(_)))));
        assert_eq!(told(None, 503, &json!({})), Step::Failed(Verdict::Transient));
    }
}
