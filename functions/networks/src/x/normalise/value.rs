//! The values of X's JSON: ids, times, users and media, in the forms of both of its APIs.

use jiff::Timestamp;
use jiff::fmt::strtime;
use serde_json::Value;

use crate::collected::{Attachment, Author, Location};
use crate::normalise::value;

/// An id. X's numeric `id` has lost its last digits on the way where it passed through a program that keeps numbers as
/// floats, so that `<name>_str` goes before it. What is no whole number any more is no id.
pub(super) fn id(value: &Value, name: &str) -> Option<String> {
    let number = |value: &Value| value.as_u64().map(|id| id.to_string());
    let signed = |value: &Value| number(value).or_else(|| value.as_i64().map(|id| id.to_string()));
    let whole = text(&value[format!("{name}_str").as_str()]);
    let given = || text(&value[name]).filter(|id| !id.contains(['.', '+']));
    whole.or_else(given).or_else(|| signed(&value[name]))
}

/// A text that is not empty.
pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A time: milliseconds as a number or a text, ISO 8601, or `Wed Feb 05 08:39:31 +0000 2020`.
pub(super) fn time(value: &Value) -> Option<Timestamp> {
    let millisecond = |at: i64| Timestamp::from_millisecond(at).ok();
    if let Some(at) = value.as_i64() {
        return millisecond(at);
    }
    let text = value.as_str()?;
    if let Ok(at) = text.parse::<i64>() {
        return millisecond(at);
    }
    let own = |text: &str| {
        let (_, date) = text.split_once(' ')?;
        strtime::parse("%b %d %H:%M:%S %z %Y", date).ok()?.to_timestamp().ok()
    };
    text.parse().ok().or_else(|| own(text))
}

/// The user of either API, wrapped in `data` or not.
fn unwrapped(user: &Value) -> &Value {
    if user["data"].is_object() { &user["data"] } else { user }
}

/// A user as an author, where anything names them.
pub(super) fn author(user: &Value) -> Option<Author> {
    let user = unwrapped(user);
    let username = text(&user["screen_name"]).or_else(|| text(&user["username"]));
    let author = Author { id: id(user, "id"), name: text(&user["name"]), username };
    (author != Author::default()).then_some(author)
}

/// A user by their id, in a list of users or a map of them.
pub(super) fn user_in<'a>(users: &'a Value, wanted: &str) -> Option<&'a Value> {
    match users {
        // Of a map the key counts.
        Value::Object(users) => users.get(wanted),
        Value::Array(users) => users.iter().find(|user| id(unwrapped(user), "id").as_deref() == Some(wanted)),
        _ => None,
    }
}

/// Where people see a post.
pub(super) fn link(username: Option<&str>, id: &str) -> Option<String> {
    let word = |text: &&str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && text.len() <= 32;
    // X shows a post under any name; `i` is its own word for nobody's.
    let username = username.filter(word).filter(|name| !name.is_empty()).unwrap_or("i");
    let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit());
    is_id.then(|| format!("https://x.com/{username}/status/{id}"))
}

/// Media as the older API lists them.
pub(super) fn media(media: &Value) -> Vec<Attachment> {
    let list = match media {
        Value::Array(list) => list.as_slice(),
        Value::Object(_) => std::slice::from_ref(media),
        _ => &[],
    };
    list.iter().filter(|one| one.is_object()).map(one_of_media).collect()
}

fn one_of_media(one: &Value) -> Attachment {
    let video = best_variant(&one["video_info"]["variants"]);
    let url = video.or_else(|| text(&one["media_url_https"])).or_else(|| text(&one["media_url"]));
    Attachment { kind: text(&one["type"]).unwrap_or_else(|| "media".to_owned()), id: id(one, "id"), url }
}

/// The file of the most bits a second; a playlist of several has no rate.
fn best_variant(variants: &Value) -> Option<String> {
    let rate = |one: &&Value| one["bitrate"].as_u64().or_else(|| one["bit_rate"].as_u64());
    let variants = variants.as_array()?.iter().filter(|one| rate(one).is_some());
    text(&variants.max_by_key(|one| rate(one))?["url"])
}

/// A place of X's, and a point in GeoJSON: its longitude first.
pub(super) fn location(point: &Value, place: &Value) -> Option<Location> {
    let name = text(&place["full_name"]).or_else(|| text(&place["name"]));
    let at = &point["coordinates"];
    value::location(id(place, "id"), name, (&at[1], &at[0]))
}

/// What is with a direct message: media, or something that has no file, as a place.
pub(super) fn message_attachments(attachment: &Value) -> Vec<Attachment> {
    let media = media(&attachment["media"]);
    match text(&attachment["type"]) {
        Some(kind) if media.is_empty() => vec![Attachment { kind, id: None, url: None }],
        _ => media,
    }
}

/// Media as API v2 lists them: by keys, `<category>_<id>`, whose description is among the answer's `includes`. Only the
/// id is the older API's too.
pub(super) fn media_by_key(attachments: &Value, includes: &Value) -> Vec<Attachment> {
    let keys = attachments["media_keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
    keys.filter(|key| !key.is_empty()).map(|key| keyed_media(key, includes)).collect()
}

fn keyed_media(key: &str, includes: &Value) -> Attachment {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (category, id) = match key.split_once('_') {
        Some((category, id)) if digits(category) && !id.is_empty() => (category, id),
        _ => ("", key),
    };
    let mut list = includes["media"].as_array().into_iter().flatten();
    let described = list.find(|one| one["media_key"].as_str() == Some(key)).unwrap_or(&Value::Null);
    let by_category = match category {
        "3" => "photo",
        "7" | "13" => "video",
        "16" => "animated_gif",
        _ => "media",
    };
    let url = best_variant(&described["variants"]).or_else(|| text(&described["url"]));
    Attachment {
        kind: text(&described["type"]).unwrap_or_else(|| by_category.to_owned()),
        id: Some(id.to_owned()),
        url: url.or_else(|| text(&described["preview_image_url"])),
    }
}
