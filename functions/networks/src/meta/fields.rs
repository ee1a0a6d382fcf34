//! What the values of Meta's updates have in common: verbs, authors, texts and times.

use jiff::Timestamp;
use serde_json::Value;

use crate::collected::{Action, Author, Kind, Location};
use crate::inbox::{Reading, Version};
use crate::normalise::{reading_of, value};

/// A change of a field that has no reader of its own.
pub(crate) fn generic(field: &str, value: &Value, verb: &str) -> Reading {
    let thing = format!("other:{field}");
    let mut reading = reading_of(thing, Version::of_value(value), Kind::Other, action_of(verb));
    reading.content.author = author(value);
    reading.content.text = text(value);
    reading.content.occurred_at = occurred_at(value);
    let is_id = |name: &String| name == "id" || name == "mid" || name.ends_with("_id");
    let has_id = value.as_object().is_some_and(|members| members.keys().any(is_id));
    reading.nameless = reading.content.author.is_none() && !has_id;
    reading
}

/// What a verb of Meta's does to the thing, in the five actions of collected items. A block hides (Facebook took the
/// video off), its end shows again; muting, and every verb that nobody foresaw, changes something of the thing.
pub(crate) fn action_of(verb: &str) -> Action {
    match verb {
        "" | "add" | "follow" | "create" | "created" | "granted" => Action::Created,
        "remove" | "delete" | "unfollow" | "removed" | "deleted" | "revoked" => Action::Deleted,
        "hide" | "block" => Action::Hidden,
        "unhide" | "unblock" => Action::Unhidden,
        _ => Action::Edited,
    }
}

/// A word of an enumeration, in small letters; empty where there is none.
pub(crate) fn word(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase()
}

/// Who did it, in any of the ways that Meta has of saying so.
pub(crate) fn author(value: &Value) -> Option<Author> {
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
pub(crate) fn text(value: &Value) -> Option<String> {
    ["message", "text", "review_text"].into_iter().find_map(|name| value::text(value, name))
}

/// The place that a post names.
///
/// Source: developers.facebook.com/docs/graph-api/reference/post, `place`.
pub(crate) fn location(value: &Value) -> Option<Location> {
    let place = value.get("place").filter(|place| place.is_object())?;
    let at = place.get("location").unwrap_or(&Value::Null);
    value::location(value::id(place, "id"), value::text(place, "name"), (&at["latitude"], &at["longitude"]))
}

/// When it happened, by the value's own word.
pub(crate) fn occurred_at(value: &Value) -> Option<Timestamp> {
    let names = ["edited_time", "created_time", "timestamp", "time", "update_time"];
    names.into_iter().find_map(|name| value::time(value, name))
}

/// The version of a mention that comes as ids only: a comment or a media names the page once.
pub(crate) fn mentioned() -> Version {
    Version::of_action(["mentioned"])
}

/// The version of what can happen again: what was done, and when; without a time, all that was said of it, and the
/// hour in which it was, where no time is in that either.
pub(crate) fn repeatable(
    what: &[&str],
    time: Option<&str>,
    value: &Value,
    sent_at: Option<Timestamp>,
) -> Version {
    let what = what.iter().copied();
    if let Some(time) = time {
        return Version::of_action(what.chain([time]));
    }
    let sent_at = sent_at.filter(|_| occurred_at(value).is_none());
    let hour = sent_at.map(|at| format!("hour:{}", at.as_second().div_euclid(3600)));
    Version::of_action(what.chain([value.to_string().as_str()]).chain(hour.as_deref()))
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
    fn an_author_is_found_under_every_name() {
        let id = |value: Value| author(&value).and_then(|author| author.id);
        assert_eq!(id(json!({"from": {"id": 7, "name": "Ana"}})).as_deref(), Some("7"));
        assert_eq!(id(json!({"from": null, "sender_id": 8})).as_deref(), Some("8"));
        assert_eq!(id(json!({"reviewer_id": "9"})).as_deref(), Some("9"));
        assert_eq!(id(json!({"user_id": 10})).as_deref(), Some("10"));
        assert_eq!(author(&json!({"from": {}})), None);
    }
}
