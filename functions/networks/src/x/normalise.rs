//! What X says, of both generations of its pushes.
//!
//! Things and versions, so that the same event is the same entry however it came:
//!
//! - a post: `post:<id>`; its text and its media's ids; of a repost, which has no text of its own, nothing
//! - a post's end: `post:<id>`; `deleted`
//! - a like: `like:<id>`; `created`; there is no event for a like that is taken back
//! - follow, block, mute and their ends: `<verb>:<source>:<target>`; what was done, and the push's time or, where it
//!   has none, its `event_uuid`. So the same one by both generations is two entries of one thing: the newer one has
//!   neither the older one's time nor another id of it, and a window of time would make a person who follows again
//!   within it, whose end of following was told in between, seem not to follow
//! - a direct message: `message:<id>`; its text and its media's ids
//! - an encrypted one: `chat:<id>`; `created`
//! - typing, reading: `typing:` or `read:<sender>:<recipient>`; the time, or the last message read
//! - a comment in a broadcast: `broadcast_comment:<id>`; its text
//! - a revocation: `revocation:<user>:<app>`; its time
//! - anything else: `other:<name>`; its `event_uuid`, which the parts of a split event share, and the part; without
//!   one, all of it
//!
//! **One post is one entry.** X raises several events for one post (a reply that names the page is a
//! `post.reply.create` and a `post.mention.create`), and a poll of mentions finds it a third time. A customer wants it
//! once; so the event's type is not in the key, and what the post is (a reply, a mention, a share) is read of the post
//! itself and of the page that it came to, so that whichever event comes first says the same.
//!
//! **A poll of API v2** gives the same entries by wrapping what it found as the X Activity API does:
//! `{"event_type":"post.mention.create","payload":<the post>,"includes":<the answer's>}`, with the shape
//! [`Shape::XActivity`]; a direct message as `dm.received`. It must ask for `attachments`, `note_tweet`, `entities`,
//! `referenced_tweets`, `in_reply_to_user_id`, `author_id`, `created_at` and `edit_history_tweet_ids`.
//!
//! What the page itself does is a publication, its direct messages, likes and follows too. All else is an interaction.
//!
//! Not guaranteed: texts are X's own, with `&amp;`, `&lt;`, `&gt;` and `t.co` links. Who liked a post is known where X
//! says so, which of the X Activity API's events it does through `includes` only.
//!
//! Sources: docs.x.com, "Account Activity API", "X Activity API: event payloads" and the data dictionary (2026-08).

mod post;
#[cfg(test)]
mod tests;
mod value;

use serde_json::Value;

use super::push::MESSAGE_ARRAYS;
use crate::collected::{Action, Attachment, Author, Kind, Location, Parent};
use crate::inbox::{Event, Reading, Shape, Signal, Version};
use crate::network::NetworkId;

use value::{author, id, link, text, time, user_in};

/// What an event says, where a rule knows it.
pub(crate) fn read(event: &Event, owner: &NetworkId) -> Option<Reading> {
    let value = crate::normalise::value::parse(&event.raw);
    match event.shape {
        Shape::XAccountActivity => account_activity(event, &value, owner.as_str()),
        Shape::XActivity => activity(&value, owner.as_str()),
        _ => None,
    }
}

fn account_activity(event: &Event, value: &Value, owner: &str) -> Option<Reading> {
    let users = event.beside.as_ref().map_or(&Value::Null, |beside| &beside["users"]);
    match event.field.as_str() {
        "tweet_create_events" => Some(post::of_account_activity(value)?.reading(owner)),
        "tweet_delete_events" => {
            let status = &value["status"];
            Some(deleted(&id(status, "id")?, id(status, "user_id"), time(&value["timestamp_ms"])))
        }
        "favorite_events" => {
            let liked = &value["favorited_status"];
            let at = time(&value["timestamp_ms"]).or_else(|| time(&value["created_at"]));
            let parent = id(liked, "id");
            let username = author(&liked["user"]).and_then(|author| author.username);
            Some(like(&id(value, "id")?, parent, username.as_deref(), author(&value["user"]), at))
        }
        "follow_events" | "block_events" | "mute_events" => {
            let at = &value["created_timestamp"];
            let when = text(at).or_else(|| at.as_u64().map(|at| at.to_string()));
            let verb = value["type"].as_str()?;
            relation(verb, (&value["source"], &value["target"]), when, time(at), value)
        }
        "direct_message_events" => message(value, users),
        "direct_message_indicate_typing_events" => typing(value, users),
        "direct_message_mark_read_events" => was_read(value, users),
        "user_event" => {
            let revoked = value.get("revoke")?;
            let user = id(&revoked["source"], "user_id")?;
            Some(revocation(user, id(&revoked["target"], "app_id"), &revoked["date_time"]))
        }
        _ => None,
    }
}

fn activity(value: &Value, owner: &str) -> Option<Reading> {
    let event_type = value["event_type"].as_str()?;
    let uuid = id(value, "event_uuid");
    let known = known_activity(event_type, value, uuid.clone(), owner);
    Some(known.unwrap_or_else(|| other(event_type, uuid.as_deref(), &value["payload"])))
}

fn known_activity(event_type: &str, value: &Value, uuid: Option<String>, owner: &str) -> Option<Reading> {
    let (payload, includes) = (&value["payload"], &value["includes"]);
    let by = |id: Option<String>| id.map(|id| known_author(&id, &includes["users"]));
    match event_type {
        "post.delete" => {
            let by = id(payload, "author_id").or_else(|| Some(owner.to_owned()));
            let mut reading = deleted(&id(payload, "id")?, by.clone(), None);
            reading.content.author = by.map(|id| known_author(&id, &includes["users"]));
            Some(reading)
        }
        "like.create" => activity_like(value, owner),
        "follow.follow" | "follow.unfollow" | "block.block" | "block.unblock" | "mute.mute"
        | "mute.unmute" => {
            let (_, verb) = event_type.split_once('.')?;
            relation(verb, (&payload["source"], &payload["target"]), uuid, None, payload)
        }
        "dm.received" | "dm.sent" if payload.get("direct_message_events").is_none() => {
            answered_message(payload, includes)
        }
        "dm.received" | "dm.sent" => message(only(&payload["direct_message_events"])?, &payload["users"]),
        "dm.read" => was_read(only_or_itself(payload, "direct_message_mark_read_events")?, &payload["users"]),
        "dm.indicate_typing" => {
            typing(only_or_itself(payload, "direct_message_indicate_typing_events")?, &payload["users"])
        }
        "chat.received" | "chat.sent" => {
            let thing = format!("chat:{}", id(payload, "id").or(uuid)?);
            let mut reading = plain(Kind::DirectMessage, thing, Version::of_action(["created"]));
            reading.content.author = by(id(payload, "sender_id"));
            reading.content.occurred_at = time(&payload["created_at_msec"]);
            Some(reading)
        }
        "broadcast.chat" => broadcast_comment(payload),
        "oauth.revoke" => {
            Some(revocation(id(payload, "user_id")?, id(payload, "app_id"), &payload["date_time"]))
        }
        _ if event_type.starts_with("post.") => {
            Some(post::of_activity(payload, includes, event_type)?.reading(owner))
        }
        _ => None,
    }
}

/// The one message of an event; the push's splitter leaves no more.
fn only(messages: &Value) -> Option<&Value> {
    messages.as_array().filter(|messages| messages.len() == 1)?.first()
}

/// The same, or the payload itself: the documentation shows neither form of these events.
fn only_or_itself<'a>(payload: &'a Value, array: &str) -> Option<&'a Value> {
    payload.get(array).map_or(Some(payload), only)
}

/// An event of which nothing but its kind is known yet.
fn plain(kind: Kind, thing: String, version: Version) -> Reading {
    crate::normalise::reading_of(thing, version, kind, Action::Created)
}

/// An event of the X Activity API that no other rule knows.
fn other(event_type: &str, uuid: Option<&str>, payload: &Value) -> Reading {
    let version = match uuid {
        Some(uuid) => {
            // What stands beside an array is with the first of its elements alone, so it is no part of any.
            let part = MESSAGE_ARRAYS.into_iter().find_map(|name| payload.get(name)).unwrap_or(payload);
            Version::of_action([uuid, &part.to_string()])
        }
        None => Version::of_value(payload),
    };
    let mut reading = plain(Kind::Other, format!("other:{event_type}"), version);
    let person = ["user", "author", "source"].into_iter().find_map(|name| author(&payload[name]));
    reading.nameless = uuid.is_none() && person.is_none();
    reading.content.author = person;
    let mut at = ["event_timestamp_ms", "created_at", "updated_at"].into_iter();
    reading.content.occurred_at = at.find_map(|name| time(&payload[name]));
    reading
}

fn deleted(id: &str, by: Option<String>, at: Option<jiff::Timestamp>) -> Reading {
    let mut reading = plain(Kind::Post, format!("post:{id}"), crate::normalise::deleted());
    let content = &mut reading.content;
    content.action = Action::Deleted;
    content.occurred_at = at;
    content.author = by.map(|id| Author { id: Some(id), ..Author::default() });
    reading
}

fn like(
    id: &str,
    liked: Option<String>,
    liked_author: Option<&str>,
    by: Option<Author>,
    at: Option<jiff::Timestamp>,
) -> Reading {
    let mut reading = plain(Kind::Reaction, format!("like:{id}"), Version::of_action(["created"]));
    let content = &mut reading.content;
    content.author = by;
    content.reaction = Some("like".to_owned());
    content.occurred_at = at;
    content.link = liked.as_deref().and_then(|liked| link(liked_author, liked));
    content.parent = liked.map(|id| Parent { id, kind: Some(Kind::Post) });
    reading
}

/// A like by the page, or of one of its posts. The payload does not say by whom: the page's own are outbound; of one
/// that came in, it is the one user in `includes` who is neither the page nor the post's author.
fn activity_like(value: &Value, owner: &str) -> Option<Reading> {
    let (payload, users) = (&value["payload"], &value["includes"]["users"]);
    let liked = id(payload, "liked_tweet_id");
    let liked_author = id(payload, "liked_tweet_author_id");
    let said = ["user_id", "liking_user_id", "liker_id"].into_iter().find_map(|name| id(payload, name));
    let direction = value["filter"]["direction"].as_str();
    let of_another = liked_author.as_deref().is_some_and(|author| author != owner);
    let by = if said.is_some() {
        said
    } else if direction == Some("outbound") || (direction.is_none() && of_another) {
        Some(owner.to_owned())
    } else {
        let ids = users.as_array().into_iter().flatten().filter_map(|user| author(user)?.id);
        let mut others = ids.filter(|id| id != owner && Some(id) != liked_author.as_ref());
        others.next().filter(|_| others.next().is_none())
    };
    let by = by.map(|id| known_author(&id, users)).or_else(|| author(&payload["user"]));
    let username = liked_author.and_then(|id| known_author(&id, users).username);
    // `created_at` is the liked post's, by the documentation's words, and the like's, by its sample.
    Some(like(&id(payload, "id")?, liked, username.as_deref(), by, time(&payload["timestamp_ms"])))
}

/// Follow, block, mute and their ends: `source` did it to `target`. `when` keeps the second time apart from the first.
fn relation(
    verb: &str,
    (source, target): (&Value, &Value),
    when: Option<String>,
    at: Option<jiff::Timestamp>,
    whole: &Value,
) -> Option<Reading> {
    let (name, action) = match verb {
        "follow" | "block" | "mute" => (verb, Action::Created),
        _ => (
            verb.strip_prefix("un").filter(|name| ["follow", "block", "mute"].contains(name))?,
            Action::Deleted,
        ),
    };
    let (source, target) = (author(source)?, author(target)?.id?);
    let thing = format!("{name}:{}:{target}", source.id.as_deref()?);
    let version = match when {
        Some(when) => Version::of_action([verb, &when]),
        None => Version::of_value(whole),
    };
    let kind = if name == "follow" { Kind::Follow } else { Kind::Other };
    let mut reading = plain(kind, thing, version);
    reading.content.action = action;
    reading.content.occurred_at = at;
    reading.content.author = Some(source);
    reading.content.parent = Some(Parent { id: target, kind: None });
    Some(reading)
}

/// A direct message, as both generations push it.
fn message(event: &Value, users: &Value) -> Option<Reading> {
    let (created, at) = (event.get("message_create")?, time(&event["created_timestamp"]));
    let data = &created["message_data"];
    let attachments = value::message_attachments(&data["attachment"]);
    let by = id(created, "sender_id").map(|id| known_author(&id, users));
    let mut reading = direct_message(&id(event, "id")?, text(&data["text"]), attachments, by, at);
    reading.content.location = shared_location(&data["attachment"]["location"]);
    Some(reading)
}

/// The place that a message shares: a point, or a place of X's.
///
/// Source: developer.x.com, "Message create object", `location`.
fn shared_location(shared: &Value) -> Option<Location> {
    let coordinates = &shared["shared_coordinate"]["coordinates"];
    value::location(coordinates, &shared["shared_place"]["place"])
}

/// A direct message, as API v2 answers it.
fn answered_message(event: &Value, includes: &Value) -> Option<Reading> {
    event.get("sender_id")?;
    let attachments = value::media_by_key(&event["attachments"], includes);
    let by = id(event, "sender_id").map(|id| known_author(&id, &includes["users"]));
    let at = time(&event["created_at"]);
    Some(direct_message(&id(event, "id")?, text(&event["text"]), attachments, by, at))
}

fn direct_message(
    id: &str,
    text: Option<String>,
    attachments: Vec<Attachment>,
    by: Option<Author>,
    at: Option<jiff::Timestamp>,
) -> Reading {
    let ids = attachments.iter().filter_map(|one| one.id.as_deref());
    let version = Version::of_content(text.as_deref(), ids);
    let mut reading = plain(Kind::DirectMessage, format!("message:{id}"), version);
    reading.content.author = by;
    reading.content.occurred_at = at;
    reading.content.text = text;
    reading.content.attachments = attachments;
    reading
}

fn typing(event: &Value, users: &Value) -> Option<Reading> {
    let at = &event["created_timestamp"];
    let when = text(at).or_else(|| at.as_u64().map(|at| at.to_string()))?;
    between(event, "typing", Version::of_action([when.as_str()]), users)
}

fn was_read(event: &Value, users: &Value) -> Option<Reading> {
    let last = id(event, "last_read_event_id")?;
    between(event, "read", Version::of_action([last.as_str()]), users)
}

fn between(event: &Value, what: &str, version: Version, users: &Value) -> Option<Reading> {
    let (sender, recipient) = (id(event, "sender_id")?, id(&event["target"], "recipient_id")?);
    let mut reading = plain(Kind::Other, format!("{what}:{sender}:{recipient}"), version);
    reading.content.occurred_at = time(&event["created_timestamp"]);
    reading.content.author = Some(known_author(&sender, users));
    Some(reading)
}

fn broadcast_comment(payload: &Value) -> Option<Reading> {
    let said = text(&payload["message"]);
    let thing = format!("broadcast_comment:{}", id(payload, "message_id")?);
    let mut reading = plain(Kind::Comment, thing, Version::of_content(said.as_deref(), []));
    let content = &mut reading.content;
    content.author = author(&payload["author"]);
    content.text = said;
    content.parent = id(payload, "broadcast_id").map(|id| Parent { id, kind: None });
    Some(reading)
}

/// The user took back what they had granted the app: the page's token is dead.
fn revocation(user: String, app: Option<String>, date_time: &Value) -> Reading {
    let at = time(date_time);
    // Both generations tell of it, and each writes the time in its way.
    let when = at.map_or_else(|| date_time.to_string(), |at| at.as_millisecond().to_string());
    let thing = format!("revocation:{user}:{}", app.unwrap_or_default());
    let mut reading = plain(Kind::Other, thing, Version::of_action([when.as_str()]));
    reading.content.action = Action::Deleted;
    reading.content.occurred_at = at;
    reading.content.author = Some(Author { id: Some(user), ..Author::default() });
    reading.signal = Some(Signal::TokenRevoked);
    reading
}

/// A user by their id, with their names where they are known.
fn known_author(id: &str, users: &Value) -> Author {
    let named = user_in(users, id).and_then(author).unwrap_or_default();
    Author { id: Some(id.to_owned()), ..named }
}
