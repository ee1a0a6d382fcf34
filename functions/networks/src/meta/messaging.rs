//! Messages of Messenger's form, which Instagram uses too: an element of `messaging[]` or `standby[]`, or the value of
//! a change.
//!
//! What people write to the page is an interaction, what the page writes to them (an echo) a publication.
//!
//! Source: developers.facebook.com/docs/messenger-platform/reference/webhook-events, and captured pushes.

use jiff::Timestamp;
use serde_json::Value;

use crate::collected::{Action, Attachment, Kind, Location, Parent, Published};
use crate::inbox::{Reading, Version};
use crate::meta::fields::{action_of, author, repeatable, text, word};
use crate::normalise::{deleted, reading_of, value};
use crate::versions::{Compared, State};

/// What stands in an element beside what it tells.
const FRAME: [&str; 6] = ["sender", "recipient", "timestamp", "prior_message", "hop_context", "is_standby"];

/// What an element may tell, the weightiest first: a referral may come with a message or a postback.
const PARTS: [&str; 7] = ["message", "message_edit", "postback", "reaction", "delivery", "read", "optin"];

/// The name of what an element tells, of the names of its members; empty where it tells nothing.
pub(crate) fn part<'a>(names: impl IntoIterator<Item = &'a str>) -> &'a str {
    let names: Vec<&str> = names.into_iter().collect();
    let known = PARTS.into_iter().find_map(|part| names.iter().find(|name| **name == part));
    known.or_else(|| names.iter().find(|name| !FRAME.contains(name))).copied().unwrap_or_default()
}

/// What an element says.
pub(crate) fn read(element: &Value, sent_at: Option<Timestamp>) -> Reading {
    let names = element.as_object().into_iter().flat_map(|map| map.keys().map(String::as_str));
    let name = part(names);
    let told = element.get(name).unwrap_or(&Value::Null);
    let mut reading = match name {
        "message" => message(element, told),
        "message_edit" => edit(element, told, sent_at),
        "postback" => postback(element, told),
        "reaction" => reaction(element, told, sent_at),
        "delivery" | "read" => receipt(element, name, told),
        _ => other(element, name, told),
    };
    reading.content.author = author(element);
    let own = value::time(element, "timestamp").or_else(|| value::time(told, "timestamp"));
    reading.content.occurred_at = own.or(reading.content.occurred_at);
    reading
}

fn by(element: &Value) -> String {
    author(element).and_then(|author| author.id).unwrap_or_default()
}

/// The element without an id: by all of it. It holds nothing of the batch that it came in.
fn nameless(element: &Value, name: &str, kind: Kind, action: Action) -> Reading {
    let mut reading = reading_of(format!("other:{name}"), Version::of_value(element), kind, action);
    reading.nameless = by(element).is_empty();
    reading
}

/// The state of a message, which may be edited. The time of what was asked for is that of its first version.
fn state(element: &Value, compared: Compared) -> State {
    State { at: value::time(element, "timestamp"), ..State::compared(compared) }
}

fn message(element: &Value, told: &Value) -> Reading {
    let attachments: Vec<Attachment> = told
        .get("attachments")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(attachment)
        .collect();
    // A story that names the page arrives as a message, and as nothing else.
    let mentions = attachments.iter().any(|one| one.kind == "story_mention");
    let kind = if mentions { Kind::Mention } else { Kind::DirectMessage };
    let gone = value::is_true(told, "is_deleted");
    let action = if gone { Action::Deleted } else { Action::Created };
    let text = value::text(told, "text");
    let mut reading = match value::id(told, "mid") {
        // A poll has other ids of attachments than a push, which has none of most: the text alone is compared.
        Some(mid) if gone => reading_of(format!("message:{mid}"), deleted(), kind, action),
        Some(mid) => {
            let version = Version::of_content(text.as_deref(), []);
            let mut reading = reading_of(format!("message:{mid}"), version, kind, action);
            reading.state = Some(state(element, Compared::OneWay));
            reading
        }
        None => nameless(element, "message", kind, action),
    };
    // `is_self`: the account wrote to itself (developers.facebook.com/docs/instagram-platform/self-messaging).
    if value::is_true(told, "is_echo") || value::is_true(told, "is_self") {
        reading.content.published = Published::ByThePage;
    }
    reading.content.text = text;
    reading.content.attachments = attachments;
    reading.content.location = location(told);
    let answered = told.get("reply_to").unwrap_or(&Value::Null);
    let story = answered.get("story").unwrap_or(&Value::Null);
    if let Some(id) = value::id(answered, "mid") {
        reading.content.parent = Some(Parent { id, kind: Some(Kind::DirectMessage) });
    } else if let Some(id) = value::id(story, "id") {
        reading.content.parent = Some(Parent { id, kind: Some(Kind::Post) });
    }
    if let Some(url) = value::text(story, "url") {
        let story = Attachment { kind: "story".to_owned(), id: value::id(story, "id"), url: Some(url) };
        reading.content.attachments.push(story);
    }
    reading
}

fn attachment(value: &Value) -> Option<Attachment> {
    let payload = value.get("payload").unwrap_or(&Value::Null);
    let ids = ["sticker_id", "attachment_id", "reel_video_id", "ig_post_media_id", "id"];
    let urls = ["url", "link", "src"];
    let sticker = value::id(payload, "sticker_id").map(|_| "sticker".to_owned());
    let kind = sticker.or_else(|| value::text(value, "type")).unwrap_or_else(|| "unknown".to_owned());
    let id = ids.into_iter().find_map(|name| value::id(payload, name)).or_else(|| value::id(value, "id"));
    let url = urls.into_iter().find_map(|name| value::text(payload, name));
    let url = url.or_else(|| value::text(value, "url")).or_else(|| value::text(value, "URL"));
    value.is_object().then_some(Attachment { kind, id, url })
}

/// The place that somebody shared.
fn location(told: &Value) -> Option<Location> {
    let mut attachments = told.get("attachments").and_then(Value::as_array)?.iter();
    attachments.find_map(|one| {
        let at = one.get("payload")?.get("coordinates").filter(|at| at.is_object())?;
        value::location(None, value::text(one, "title"), (&at["lat"], &at["long"]))
    })
}

fn edit(element: &Value, told: &Value, sent_at: Option<Timestamp>) -> Reading {
    let text = value::text(told, "text");
    let mut reading = match value::id(told, "mid") {
        Some(mid) => {
            let version = match &text {
                Some(text) => Version::of_content(Some(text), []),
                None => repeatable(&["edited"], value::id(told, "num_edit").as_deref(), element, sent_at),
            };
            let mut reading =
                reading_of(format!("message:{mid}"), version, Kind::DirectMessage, Action::Edited);
            reading.state = text.is_some().then(|| state(element, Compared::Never));
            reading
        }
        None => nameless(element, "message_edit", Kind::DirectMessage, Action::Edited),
    };
    reading.content.text = text;
    reading
}

/// A button that somebody pressed: it says the button's title, and a poll finds it as a message that does.
fn postback(element: &Value, told: &Value) -> Reading {
    let title = value::text(told, "title");
    let mut reading = match value::id(told, "mid") {
        Some(mid) => {
            let version = Version::of_content(title.as_deref(), []);
            let mut reading =
                reading_of(format!("message:{mid}"), version, Kind::DirectMessage, Action::Created);
            reading.state = Some(state(element, Compared::Never));
            reading
        }
        None => nameless(element, "postback", Kind::DirectMessage, Action::Created),
    };
    reading.content.text = title;
    reading
}

fn reaction(element: &Value, told: &Value, sent_at: Option<Timestamp>) -> Reading {
    let done = word(told.get("action"));
    let action = if done == "unreact" { Action::Deleted } else { Action::Created };
    let Some(mid) = value::id(told, "mid") else {
        let mut reading = nameless(element, "reaction", Kind::Reaction, action);
        reading.content.reaction = reacted(told);
        return reading;
    };
    let what = value::text(told, "reaction").or_else(|| value::text(told, "emoji")).unwrap_or_default();
    let time = value::id(element, "timestamp");
    let version = repeatable(&[done.as_str(), &what], time.as_deref(), element, sent_at);
    let by = by(element);
    let thing = format!("reaction:{mid}:{by}");
    let mut reading = reading_of(thing, version, Kind::Reaction, action);
    reading.nameless = by.is_empty();
    reading.content.parent = Some(Parent { id: mid, kind: Some(Kind::DirectMessage) });
    reading.content.reaction = reacted(told);
    reading
}

/// Which reaction it is. `other` says less than the emoji beside it.
fn reacted(told: &Value) -> Option<String> {
    let (named, emoji) = (word(told.get("reaction")), value::text(told, "emoji"));
    match named.as_str() {
        "" | "other" => emoji.or_else(|| value::text(told, "reaction")),
        _ => Some(named),
    }
}

/// What was delivered, or read: all up to a time, or one message.
fn receipt(element: &Value, name: &str, told: &Value) -> Reading {
    let mids = told.get("mids").and_then(Value::as_array).into_iter().flatten().filter_map(value::id_of);
    let upto = value::id(told, "watermark");
    let mut seen: Vec<String> = mids.chain(value::id(told, "mid")).chain(upto).collect();
    seen.sort_unstable();
    if seen.is_empty() {
        return nameless(element, name, Kind::Other, Action::Created);
    }
    let version = Version::of_action([name].into_iter().chain(seen.iter().map(String::as_str)));
    let mut reading = reading_of(format!("{name}:{}", by(element)), version, Kind::Other, Action::Created);
    reading.content.occurred_at = value::time(told, "watermark");
    reading.content.parent = value::id(told, "mid").map(|id| Parent { id, kind: Some(Kind::DirectMessage) });
    reading
}

/// Opt-ins, referrals, hand-overs, enforcement of policies, linking of accounts, payments, and what is to come.
fn other(element: &Value, name: &str, told: &Value) -> Reading {
    let action = match word(told.get("status")).as_str() {
        "unlinked" => Action::Deleted,
        _ => match action_of(&word(told.get("action"))) {
            action @ (Action::Hidden | Action::Unhidden) => action,
            _ => Action::Created,
        },
    };
    let mut reading = nameless(element, name, Kind::Other, action);
    reading.content.text = text(told).or_else(|| value::text(told, "reason"));
    reading
}
