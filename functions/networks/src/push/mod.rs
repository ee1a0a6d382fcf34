//! Pushes: a network's request, split into its updates.
//!
//! Splitting is total: whatever bytes arrive, each part of them is in some update, for what was validly signed is not
//! dropped because nobody foresaw its shape. A list that says that nothing happened (`"changes": []`) is no part.

pub mod address;
pub(crate) mod members;
pub mod signature;
pub mod subscription;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::collected::By;
use crate::inbox::{Event, Shape, Update};
use crate::network::{Network, NetworkId};

/// The largest push, in bytes.
pub const MAX_PUSH_BYTES: usize = 1024 * 1024;

/// Splits a push that came to a network's route into its updates. There is none only where the body is in a form of the
/// network's, and its lists are empty.
#[must_use]
pub fn split(route: Network, body: &[u8]) -> Vec<Update> {
    let known = route.spec().push.and_then(|push| (push.split)(route, body));
    known.unwrap_or_else(|| vec![unknown(route, body)])
}

/// Splits a push that came to a page's own [address]. All that is understood of it is that page's, whatever page the
/// body names: the address says which secret signed it.
#[must_use]
pub fn split_of_page(route: Network, page: &NetworkId, body: &[u8]) -> Vec<Update> {
    let mut updates = split(route, body);
    for update in updates.iter_mut().filter(|update| update.event.shape != Shape::Unknown) {
        update.owners = vec![page.clone()];
    }
    updates
}

/// All of a body as one update of nobody's: the JSON as it is, or, where it is none, its bytes in base64.
pub(crate) fn unknown(network: Network, body: &[u8]) -> Update {
    let json =
        std::str::from_utf8(body).ok().and_then(|text| serde_json::from_str::<Box<RawValue>>(text).ok());
    let raw = json.or_else(|| to_raw_value(&json!({"base64": STANDARD.encode(body)})).ok());
    let event = Event {
        network,
        by: By::Push,
        shape: Shape::Unknown,
        field: String::new(),
        sent_at: None,
        raw: raw.unwrap_or_else(|| RawValue::NULL.to_owned()),
        beside: None,
    };
    Update { owners: Vec::new(), event }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_whose_lists_are_empty_has_no_update() {
        for (route, body) in [
            (Network::Facebook, r#"{"object":"page","entry":[]}"#),
            (Network::Facebook, r#"{"object":"page","entry":[{"id":"1","time":1,"changes":[ ]}]}"#),
            (
                Network::Instagram,
                r#"{"object":"instagram","entry":[{"id":"1","messaging":[]},{"id":"2","standby":[]}]}"#,
            ),
            (
                Network::X,
                r#"{"for_user_id":"1","follow_events":[],"tweet_create_events":null,"users":{"1":{}}}"#,
            ),
            (Network::X, r#"{"data":[]}"#),
        ] {
            assert_eq!(split(route, body.as_bytes()).len(), 0, "{body}");
        }
        for (route, body) in [
            (Network::Facebook, r#"{"object":"page","entry":[{"id":"1","time":1}]}"#),
            (Network::Facebook, r#"{"object":"page","entry":[{"id":"1","changes":[],"said":"a"}]}"#),
            (Network::Facebook, r#"{"object":"page","entry":[],"said":"a"}"#),
            (Network::Facebook, r#"[{"object":"page","entry":[]},{"object":"page"}]"#),
            (Network::X, r#"{"for_user_id":"1","follow_events":null}"#),
            (Network::X, r#"{"for_user_id":"1","follow_events":[],"said":"a"}"#),
            (Network::X, "[]"),
        ] {
            assert_eq!(split(route, body.as_bytes()).len(), 1, "{body}");
        }
    }

    #[test]
    fn a_body_of_no_known_shape_is_one_update_of_nobodys_and_whole() {
        let updates = split(Network::X, br#" {"a": 1} "#);
        assert_eq!((updates.len(), updates[0].owners.len()), (1, 0));
        assert_eq!(updates[0].event.raw.get(), r#"{"a": 1}"#);
        let updates = split(Network::X, b"\xff");
        assert_eq!(updates[0].event.raw.get(), r#"{"base64":"/w=="}"#);
    }
}
