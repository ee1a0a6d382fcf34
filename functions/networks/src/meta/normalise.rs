//! Meta's updates: which reader each goes to, and what is common to them.
//!
//! The field decides, not the network: an envelope that does not say which network it is has that of the route.

use jiff::Timestamp;
use serde_json::Value;

use super::fields::{generic, repeatable, word};
use super::{messaging, objects, whatsapp};
use crate::collected::{Action, Kind};
use crate::facebook::normalise as facebook;
use crate::inbox::{Event, Reading, Shape, Signal};
use crate::instagram::normalise as instagram;
use crate::network::NetworkId;
use crate::normalise::{other, reading_of, value};

/// Permissions without which no call with the page's token is answered. Every other one takes away only its own
/// calls, also where all of them are revoked one after the other: the calls that then fail tell the rest, and a token
/// that was wrongly taken for dead would stop a collection that works.
const FOUNDATIONS: [&str; 3] = ["manage_pages", "instagram_basic", "instagram_business_basic"];

/// What is revoked where the app itself was removed.
const WHOLE_APP: [&str; 4] = ["all", "app", "public_profile", "permissions"];

/// What an event of any of Meta's forms says.
pub(crate) fn read(event: &Event, owner: &NetworkId) -> Option<Reading> {
    let mut reading = match event.shape {
        Shape::MetaChange => change(event, &value::parse(&event.raw), owner),
        Shape::MetaMessaging | Shape::MetaStandby => {
            messaging::read(&value::parse(&event.raw), event.sent_at)
        }
        Shape::MetaObject => return Some(objects::read(event, owner)),
        _ => return None,
    };
    // The envelope's time is when it was sent, seconds after it happened or hours, where it is a repetition. Receivers
    // sort by this field, so that it is better than nothing, but only better than that.
    reading.content.occurred_at = reading.content.occurred_at.or(event.sent_at);
    Some(reading)
}

fn change(event: &Event, element: &Value, owner: &NetworkId) -> Reading {
    let sent_at = event.sent_at;
    let Some(value) = element.get("value").filter(|value| !value.is_null()) else {
        // "Include values" is off: only that it changed.
        let mut reading = other(event);
        reading.version = repeatable(&["changed"], None, element, sent_at);
        // Two of them say no more than one.
        reading.nameless = false;
        return reading;
    };
    if let Some(reading) = permission(&event.field, value, sent_at) {
        return reading;
    }
    if value.get("sender").is_some() && value.get("recipient").is_some() && value.get("from").is_none() {
        return messaging::read(value, sent_at);
    }
    match event.field.as_str() {
        "feed" | "group_feed" => facebook::feed(value, owner, sent_at),
        "mention" => facebook::mention(value, sent_at),
        "ratings" => facebook::rating(value, owner, sent_at),
        "leadgen" => facebook::lead(value),
        "comments" | "live_comments" => instagram::comment(&event.field, value, sent_at),
        "mentions" => instagram::mention(value),
        "story_insights" => instagram::story_insights(value),
        field => whatsapp::read(value, sent_at).unwrap_or_else(|| {
            let verb = value.get("verb").or_else(|| element.get("verb"));
            generic(field, value, &word(verb))
        }),
    }
}

fn permission(field: &str, value: &Value, sent_at: Option<Timestamp>) -> Option<Reading> {
    value.get("target_ids")?;
    let verb = word(value.get("verb"));
    let (action, revoked) = match verb.as_str() {
        "granted" => (Action::Created, false),
        "revoked" => (Action::Deleted, true),
        _ => return None,
    };
    let version = repeatable(&[verb.as_str()], value::id(value, "time").as_deref(), value, sent_at);
    let mut reading = reading_of(format!("permission:{field}"), version, Kind::Other, action);
    let dead = FOUNDATIONS.contains(&field) || WHOLE_APP.contains(&field);
    let signal = if dead { Signal::TokenRevoked } else { Signal::PermissionRevoked };
    reading.signal = revoked.then_some(signal);
    Some(reading)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_permission_that_all_calls_need_means_a_dead_token() {
        let signal = |field: &str, verb: &str| {
            permission(field, &json!({"verb": verb, "target_ids": ["1"]}), None)
                .and_then(|reading| reading.signal)
        };
        assert_eq!(signal("manage_pages", "revoked"), Some(Signal::TokenRevoked));
        assert_eq!(signal("instagram_basic", "revoked"), Some(Signal::TokenRevoked));
        assert_eq!(signal("pages_read_user_content", "revoked"), Some(Signal::PermissionRevoked));
        assert_eq!(signal("manage_pages", "granted"), None);
        assert_eq!(permission("manage_pages", &json!({"verb": "asked", "target_ids": []}), None), None);
    }
}
