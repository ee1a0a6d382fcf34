//! WhatsApp's Cloud API, whose pushes come the same way as the other ones of Meta's. No page of it can be connected;
//! this is what keeps such a push readable if one is taken.
//!
//! Source: developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/overview.

use jiff::Timestamp;
use serde_json::Value;

use crate::collected::{Action, Attachment, Author, Kind, Parent};
use crate::inbox::{Reading, Version};
use crate::meta::fields::{repeatable, word};
use crate::normalise::{reading_of, value};

/// What a change of one message or of one message's state says. `None` of anything else, several of them too.
pub(crate) fn read(value: &Value, sent_at: Option<Timestamp>) -> Option<Reading> {
    value.get("messaging_product")?;
    match (only(value, "messages"), only(value, "statuses")) {
        (Some(told), None) => message(value, told),
        (None, Some(told)) => status(told, sent_at),
        _ => None,
    }
}

fn only<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value.get(name)?.as_array()?.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}

fn message(value: &Value, told: &Value) -> Option<Reading> {
    let id = value::id(told, "id")?;
    let kind = word(told.get("type"));
    let part = told.get(&kind).unwrap_or(&Value::Null);
    let chosen = part.get(word(part.get("type"))).unwrap_or(&Value::Null);
    let text = [(part, "body"), (part, "caption"), (part, "text"), (chosen, "title")];
    let text = text.into_iter().find_map(|(part, name)| value::text(part, name));
    let version = Version::of_content(text.as_deref(), []);
    let mut reading = reading_of(format!("message:{id}"), version, Kind::DirectMessage, Action::Created);
    reading.content.text = text;
    reading.content.occurred_at = value::time(told, "timestamp");
    let name = only(value, "contacts").and_then(|contact| value::text(contact.get("profile")?, "name"));
    let author = Author { id: value::id(told, "from"), name, username: None };
    reading.content.author = (author != Author::default()).then_some(author);
    let file = value::id(part, "id");
    let attachment = |id| Attachment { kind, id: Some(id), url: value::text(part, "link") };
    reading.content.attachments = file.map(attachment).into_iter().collect();
    reading.content.location = told
        .get("location")
        .and_then(|at| value::location(None, value::text(at, "name"), (&at["latitude"], &at["longitude"])));
    let answered = told.get("context").and_then(|context| value::id(context, "id"));
    reading.content.parent = answered.map(|id| Parent { id, kind: Some(Kind::DirectMessage) });
    Some(reading)
}

fn status(told: &Value, sent_at: Option<Timestamp>) -> Option<Reading> {
    let id = value::id(told, "id")?;
    let state = word(told.get("status"));
    let version = repeatable(&[state.as_str()], value::id(told, "timestamp").as_deref(), told, sent_at);
    let mut reading = reading_of(format!("status:{id}"), version, Kind::Other, Action::Created);
    reading.content.occurred_at = value::time(told, "timestamp");
    reading.content.parent = Some(Parent { id, kind: Some(Kind::DirectMessage) });
    Some(reading)
}
