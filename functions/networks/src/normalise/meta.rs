//! Meta's updates: which reader each goes to, and what is common to them.
//!
//! The field decides, not the network: an envelope that does not say which network it is has that of the route.

use jiff::Timestamp;
use serde_json::Value;

use super::{facebook, instagram, messaging, other, reading_of, value, whatsapp};
use crate::collected::{Action, Author, Kind};
use crate::inbox::{Event, Reading, Shape, Signal, Version};
use crate::network::NetworkId;

/// Permissions without which no call with the page's token is answered. Every other one takes away only its own
/// calls, also where all of them are revoked one after the other: the calls that then fail tell the rest, and a token
/// that was wrongly taken for dead would stop a collection that works.
const FOUNDATIONS: [&str; 3] = ["manage_pages", "instagram_basic", "instagram_business_basic"];

/// What is revoked where the app itself was removed.
const WHOLE_APP: [&str; 4] = ["all", "app", "public_profile", "permissions"];

pub(super) fn read(event: &Event, owner: &NetworkId) -> Reading {
    let element = value::parse(&event.raw);
    let mut reading = match event.shape {
        Shape::MetaChange => change(event, &element, owner),
        _ => messaging::read(&element, event.sent_at),
    };
    // The envelope's time is when it was sent, seconds after it happened or hours, where it is a repetition. Receivers
    // sort by this field, so that it is better than nothing, but only better than that.
    reading.content.occurred_at = reading.content.occurred_at.or(event.sent_at);
    reading
}

fn change(event: &Event, element: &Value, owner: &NetworkId) -> Reading {
    let sent_at = event.sent_at;
    let Some(value) = element.get("value").filter(|value| !value.is_null()) else {
        // "Include values" is off: only that it changed.
        let mut reading = other(event);
        reading.version = super::repeatable(&["changed"], None, element, sent_at);
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

/// A change of a field that has no reader of its own.
pub(super) fn generic(field: &str, value: &Value, verb: &str) -> Reading {
    let thing = format!("other:{field}");
    let mut reading = reading_of(thing, Version::of_value(value), Kind::Other, action_of(verb));
    reading.content.author = author(value);
    reading.content.text = text(value);
    reading.content.occurred_at = occurred_at(value);
    reading
}

fn permission(field: &str, value: &Value, sent_at: Option<Timestamp>) -> Option<Reading> {
    value.get("target_ids")?;
    let verb = word(value.get("verb"));
    let (action, revoked) = match verb.as_str() {
        "granted" => (Action::Created, false),
        "revoked" => (Action::Deleted, true),
        _ => return None,
    };
    let version = super::repeatable(&[verb.as_str()], value::id(value, "time").as_deref(), value, sent_at);
    let mut reading = reading_of(format!("permission:{field}"), version, Kind::Other, action);
    let dead = FOUNDATIONS.contains(&field) || WHOLE_APP.contains(&field);
    let signal = if dead { Signal::TokenRevoked } else { Signal::PermissionRevoked };
    reading.signal = revoked.then_some(signal);
    Some(reading)
}

/// What a verb of Meta's does to the thing, in the five actions of collected items. A block hides (Facebook took the
/// video off), its end shows again; muting, and every verb that nobody foresaw, changes something of the thing.
pub(super) fn action_of(verb: &str) -> Action {
    match verb {
        "" | "add" | "follow" | "create" | "created" | "granted" => Action::Created,
        "remove" | "delete" | "unfollow" | "removed" | "deleted" | "revoked" => Action::Deleted,
        "hide" | "block" => Action::Hidden,
        "unhide" | "unblock" => Action::Unhidden,
        _ => Action::Edited,
    }
}

/// A word of an enumeration, in small letters; empty where there is none.
pub(super) fn word(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase()
}

/// Who did it, in any of the ways that Meta has of saying so.
pub(super) fn author(value: &Value) -> Option<Author> {
    let object = ["from", "sender", "reviewer"].into_iter().find_map(|name| value.get(name));
    let object = object.filter(|object| !object.is_null());
    let of = |id: &str, name: &str| Author {
        id: value::id(value, id),
        name: value::text(value, name),
        username: None,
    };
    let candidates = [
        object.map(|object| Author {
            id: value::id_of(object).or_else(|| value::id(object, "id")),
            name: value::text(object, "name"),
            username: value::text(object, "username"),
        }),
        Some(of("sender_id", "sender_name")),
        Some(of("reviewer_id", "reviewer_name")),
        Some(of("user_id", "user_name")),
    ];
    candidates.into_iter().flatten().find(|author| *author != Author::default())
}

/// What it says.
pub(super) fn text(value: &Value) -> Option<String> {
    ["message", "text", "review_text"].into_iter().find_map(|name| value::text(value, name))
}

/// When it happened, by the value's own word.
pub(super) fn occurred_at(value: &Value) -> Option<Timestamp> {
    let names = ["edited_time", "created_time", "timestamp", "time", "update_time"];
    names.into_iter().find_map(|name| value::time(value, name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_verb_is_one_of_the_five_actions() {
        for (verb, action) in [
            ("add", Action::Created),
            ("follow", Action::Created),
            ("edit", Action::Edited),
            ("edited", Action::Edited),
            ("update", Action::Edited),
            ("mute", Action::Edited),
            ("remove", Action::Deleted),
            ("delete", Action::Deleted),
            ("hide", Action::Hidden),
            ("block", Action::Hidden),
            ("unhide", Action::Unhidden),
            ("unblock", Action::Unhidden),
            ("pin", Action::Edited),
        ] {
            assert_eq!(action_of(verb), action, "{verb}");
        }
    }

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

    #[test]
    fn an_author_is_found_under_every_name() {
        let id = |value: Value| author(&value).and_then(|author| author.id);
        assert_eq!(id(json!({"from": {"id": 7, "name": "Ana"}})).as_deref(), Some("7"));
        assert_eq!(id(json!({"from": null, "sender_id": 8})).as_deref(), Some("8"));
        assert_eq!(id(json!({"reviewer_id": "9"})).as_deref(), Some("9"));
        assert_eq!(id(json!({"user_id": 10})).as_deref(), Some("10"));
        assert_eq!(author(&json!({"from": {}})), None);
    }
}
