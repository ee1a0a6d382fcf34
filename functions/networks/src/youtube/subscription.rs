//! Subscribing to a channel's videos at a WebSub hub.
//!
//! The hub is asked to verify at once (`hub.verify=sync`), so that its answer says whether the subscription is there:
//! it calls our address before it answers. A lease is of five days, and renewed each day. After a page's deletion the
//! lease runs out; what is pushed until then is of no connected page.
//!
//! Sources: developers.google.com/youtube/v3/guides/push_notifications; "PubSubHubbub Core 0.3" and "0.4".

use std::time::Duration;

use carteiro_core::retention::after;
use jiff::Timestamp;

use super::push::topic;
use crate::poll::operator_fault::OperatorFault;
use crate::poll::{Auth, Endpoint, Method, NetworkRequest, NetworkResponse, Verdict};
use crate::push::subscription::{Step, Subscribing, SubscriptionSpec};

/// How long a subscription lasts: the hub's own default.
const LEASE: Duration = Duration::from_secs(5 * 24 * 3600);

/// How a hub is asked.
pub(super) static SPEC: SubscriptionSpec = SubscriptionSpec {
    hub: Some("YOUTUBE_HUB_URL"),
    app: None,
    is_of_token: false,
    request: |subscribing, _| request(subscribing),
    read: |_, _, answer, now| read(answer, now),
};

fn request(subscribing: &Subscribing<'_>) -> NetworkRequest {
    let query = vec![
        ("hub.mode", "subscribe".to_owned()),
        ("hub.topic", topic(subscribing.page)),
        ("hub.callback", subscribing.callback.to_owned()),
        ("hub.verify", "sync".to_owned()),
        ("hub.lease_seconds", LEASE.as_secs().to_string()),
    ];
    NetworkRequest {
        operation: "subscription",
        to: Endpoint::Hub,
        method: Method::Post,
        path: String::new(),
        query,
        headers: Vec::new(),
        auth: Auth::PushSecret("hub.secret"),
        units: 0,
    }
}

fn read(answer: &NetworkResponse<'_>, now: Timestamp) -> Step {
    match answer.status {
        200..=299 => Step::Until(after(now, LEASE)),
        408 | 429 | 500.. => Step::Failed(Verdict::Transient),
        _ => Step::Failed(Verdict::OurFault(OperatorFault::RequestRefused)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;
    use crate::poll::test_support::Reply;

    #[test]
    fn a_lease_begins_where_the_hub_agrees() {
        let page = &"UC1".parse().unwrap();
        let api = &Network::Youtube.spec().api;
        let asked = request(&Subscribing { page, callback: "https://a.example/push/youtube", app: "", api });
        assert_eq!((asked.auth, asked.units), (Auth::PushSecret("hub.secret"), 0));
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let told = |status| Reply::json(status, &serde_json::json!({})).told(|answer| read(answer, now));
        assert_eq!(told(204), Step::Until("2026-11-27T12:00:00Z".parse().unwrap()));
        assert_eq!(told(503), Step::Failed(Verdict::Transient));
        assert_eq!(told(409), Step::Failed(Verdict::OurFault(OperatorFault::RequestRefused)));
    }
}
