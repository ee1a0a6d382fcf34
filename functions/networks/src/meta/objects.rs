//! What the Graph API answers, put into the form in which the same thing is pushed, and read as that: so that the same
//! thing found both ways is one entry.
//!
//! An answer does not say whether something was edited: every version is told as `created`.
//!
//! Sources: developers.facebook.com/docs/graph-api/reference (page/feed, object/comments, page/ratings, page/tagged,
//! conversation, message), developers.facebook.com/docs/instagram-platform/reference (ig-media, ig-comment), and
//! captured answers where they differ.

use serde_json::{Map, Value, json};

use super::fields::mentioned;
use super::{fields, messaging};
use crate::collected::{Action, Ad, Attachment, Author, Kind, Parent, Published};
use crate::facebook::normalise as facebook;
use crate::inbox::{Event, Reading, Version};
use crate::instagram::normalise as instagram;
use crate::network::{Network, NetworkId};
use crate::normalise::{other, reading_of, value};
use crate::versions::{Compared, State};

pub(crate) fn read(event: &Event, owner: &NetworkId) -> Reading {
    let object = value::parse(&event.raw);
    let mut reading = read_object(event, &object, owner);
    reading.content.ad = event.beside.as_ref().and_then(|beside| ad(beside.get("ad")?));
    if let Some(state) = &mut reading.state {
        // An object's times are of its first version, or move with more than edits.
        state.at = None;
        if event.network == Network::Facebook && has_unsaid_attachments(&object) {
            state.compared = Compared::Never;
        }
    }
    reading
}

/// The ad that shows a post, as it stands beside the post or a comment on it.
fn ad(ad: &Value) -> Option<Ad> {
    Some(Ad { id: value::id(ad, "id")?, name: value::text(ad, "name") })
}

/// Whether an object of Facebook's has attachments that no push of it names, or not all that it has: what a comment's
/// text links to is shown beside it, and a long album is listed in parts.
fn has_unsaid_attachments(object: &Value) -> bool {
    let of_comment = object.get("attachment").map(|with| fields::word(with.get("type")));
    let is_shown = of_comment.is_some_and(|kind| {
        let is_file = kind == "sticker" || kind.starts_with("photo") || kind.starts_with("video_inline");
        !is_file
    });
    let of_post = listed(object, "attachments").next();
    let goes_on = of_post.and_then(|with| with.get("subattachments")?.get("paging")?.get("next"));
    is_shown || goes_on.is_some()
}

fn read_object(event: &Event, object: &Value, owner: &NetworkId) -> Reading {
    let beside = event.beside.as_ref().unwrap_or(&Value::Null);
    match (event.network, event.field.as_str()) {
        (Network::Facebook, "posts") => facebook::feed(&post(object), owner, None),
        (Network::Facebook, "comments") => facebook::feed(&comment(object, beside), owner, None),
        (Network::Facebook, "tagged") => facebook::mention(&tagged(object), None),
        (Network::Facebook, "ratings") => facebook::rating(&rating(object), owner, None),
        (Network::Facebook | Network::Instagram, "messages") => {
            messaging::read(&message(object, owner), None)
        }
        (Network::Instagram, "media" | "stories") => media(event, object),
        (Network::Instagram, "comments" | "replies") => {
            instagram::comment("comments", &instagram_comment(object, beside), None)
        }
        (Network::Instagram, "tags") => mention(event, object, &Value::Null),
        (Network::Instagram, "mentioned_comment" | "mentioned_media") => mention(event, object, beside),
        _ => other(event),
    }
}

/// Members of an object under the names that pushes have for them.
fn renamed(object: &Value, names: &[(&str, &str)]) -> Map<String, Value> {
    let of = |(from, to): &(&str, &str)| Some(((*to).to_owned(), object.get(from)?.clone()));
    names.iter().filter_map(of).filter(|(_, value)| !value.is_null()).collect()
}

/// The elements of a list that is a member.
fn listed<'a>(object: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    object.get(name).and_then(|list| list.get("data")).and_then(Value::as_array).into_iter().flatten()
}

/// Of a photo or a video that a post is, the id is in its version; of albums, links and what is shared it is not.
fn post(object: &Value) -> Value {
    let names = [
        ("id", "post_id"),
        ("message", "message"),
        ("from", "from"),
        ("created_time", "created_time"),
        ("permalink_url", "permalink_url"),
        ("place", "place"),
    ];
    let mut value = renamed(object, &names);
    let with = listed(object, "attachments").next().unwrap_or(&Value::Null);
    let is =
        |word: &str| fields::word(with.get("media_type")) == word || fields::word(with.get("type")) == word;
    let target = with.get("target").and_then(|target| value::id(target, "id"));
    let url = value::text(with, "unshimmed_url").or_else(|| value::text(with, "url"));
    let video = fields::word(with.get("type")).starts_with("video") || is("video");
    let item = match () {
        () if is("album") => {
            value.insert("photos".into(), listed(with, "subattachments").filter_map(source).collect());
            "status"
        }
        () if video => {
            value.insert("video_id".into(), target.into());
            value.insert("link".into(), source(with).or(url).into());
            "video"
        }
        () if is("photo") => {
            value.insert("photo_id".into(), target.into());
            value.insert("link".into(), source(with).or(url).into());
            "photo"
        }
        () if is("share") || is("link") => {
            value.insert("link".into(), url.into());
            "share"
        }
        () if is("event") => "event",
        () => "post",
    };
    if object.get("is_published").and_then(Value::as_bool) == Some(false) {
        value.insert("published".into(), 0.into());
    }
    value.extend([("item".to_owned(), item.into()), ("verb".to_owned(), "add".into())]);
    value.into()
}

/// Where an attachment's picture or video is.
fn source(with: &Value) -> Option<String> {
    let media = with.get("media")?;
    value::text(media, "source").or_else(|| value::text(media.get("image")?, "src"))
}

fn comment(object: &Value, beside: &Value) -> Value {
    let names = [
        ("id", "comment_id"),
        ("message", "message"),
        ("from", "from"),
        ("created_time", "created_time"),
        ("permalink_url", "permalink_url"),
    ];
    let mut value = renamed(object, &names);
    let on = value::id(beside, "on");
    let above = object.get("parent").and_then(|parent| value::id(parent, "id"));
    value.insert("parent_id".into(), above.or_else(|| on.clone()).into());
    value.insert("post_id".into(), on.into());
    if let Some(with) = object.get("attachment").filter(|with| with.is_object()) {
        let kind = fields::word(with.get("type"));
        let name = if kind.starts_with("video") { "video" } else { "photo" };
        let url = source(with).or_else(|| value::text(with, "url"));
        value.insert(if kind == "sticker" { "sticker" } else { name }.into(), url.into());
    }
    value.extend([("item".to_owned(), "comment".into()), ("verb".to_owned(), "add".into())]);
    value.into()
}

/// A post that names the page, whoever's it is.
fn tagged(object: &Value) -> Value {
    let mut value = post(object);
    value["item"] = "post".into();
    value
}

fn rating(object: &Value) -> Value {
    let names = [
        ("created_time", "created_time"),
        ("rating", "rating"),
        ("recommendation_type", "recommendation_type"),
        ("review_text", "review_text"),
        ("reviewer", "reviewer"),
    ];
    let mut value = renamed(object, &names);
    let story = object.get("open_graph_story");
    let story = story.and_then(|story| value::id_of(story).or_else(|| value::id(story, "id")));
    value.insert("open_graph_story_id".into(), story.into());
    if let Some(reviewer) = object.get("reviewer") {
        value.insert("reviewer_id".into(), value::id(reviewer, "id").into());
        value.insert("reviewer_name".into(), value::text(reviewer, "name").into());
    }
    value.extend([("item".to_owned(), "rating".into()), ("verb".to_owned(), "add".into())]);
    value.into()
}

/// A message of a conversation, in either direction.
fn message(object: &Value, owner: &NetworkId) -> Value {
    let from = object.get("from").cloned().unwrap_or(Value::Null);
    let to = listed(object, "to").next().cloned().unwrap_or(Value::Null);
    let mut told =
        renamed(object, &[("id", "mid"), ("message", "text"), ("is_unsupported", "is_unsupported")]);
    if value::id(&from, "id").as_deref() == Some(owner.as_str()) {
        told.insert("is_echo".into(), true.into());
    }
    let mut with: Vec<Value> = listed(object, "attachments").map(attachment).collect();
    with.extend(
        listed(object, "shares").map(
            |share| json!({"type": "share", "payload": {"id": share.get("id"), "url": share.get("link")}}),
        ),
    );
    if let Some(sticker) = value::text(object, "sticker") {
        with.push(json!({"type": "sticker", "payload": {"url": sticker}}));
    }
    let story = object.get("story").unwrap_or(&Value::Null);
    if let Some(of) = story.get("mention") {
        let payload = json!({"id": of.get("id"), "url": of.get("link")});
        with.push(json!({"type": "story_mention", "payload": payload}));
    }
    if let Some(of) = story.get("reply_to") {
        told.insert("reply_to".into(), json!({"story": {"id": of.get("id"), "url": of.get("link")}}));
    } else if let Some(above) =
        object.get("reply_to").and_then(|above| value::id(above, "mid").or_else(|| value::id(above, "id")))
    {
        told.insert("reply_to".into(), json!({"mid": above}));
    }
    told.insert("attachments".into(), with.into());
    json!({"sender": from, "recipient": to, "timestamp": object.get("created_time"), "message": told})
}

fn attachment(with: &Value) -> Value {
    let of = |name: &str| with.get(name).and_then(|data| value::text(data, "url"));
    let found =
        [("image", of("image_data")), ("video", of("video_data")), ("file", value::text(with, "file_url"))];
    let (word, url) = found.into_iter().find(|(_, url)| url.is_some()).unwrap_or(("file", None));
    let mime = value::text(with, "mime_type").unwrap_or_default();
    let kind = match mime.split('/').next().unwrap_or_default() {
        kind @ ("image" | "video" | "audio") => kind,
        _ => word,
    };
    json!({"type": kind, "payload": {"attachment_id": with.get("id"), "url": url}})
}

/// Something of the account's own. It is never pushed.
fn media(event: &Event, object: &Value) -> Reading {
    let Some(id) = value::id(object, "id") else { return other(event) };
    let text = value::text(object, "caption");
    let version = Version::of_content(text.as_deref(), []);
    let mut reading = reading_of(format!("post:{id}"), version, Kind::Post, Action::Created);
    reading.state = Some(State::compared(Compared::ById));
    reading.content.published = Published::ByThePage;
    fill(&mut reading, object, text);
    reading
}

/// What media, and comments that name the account, say.
fn fill(reading: &mut Reading, object: &Value, text: Option<String>) {
    let content = &mut reading.content;
    content.text = text;
    content.occurred_at = value::time(object, "timestamp");
    content.author = author(object);
    content.link = value::text(object, "permalink");
    let one = |media: &Value| {
        let kind = fields::word(media.get("media_type"));
        let url = value::text(media, "media_url");
        (!kind.is_empty() || url.is_some()).then(|| Attachment { kind, id: value::id(media, "id"), url })
    };
    let parts: Vec<Attachment> = listed(object, "children").filter_map(one).collect();
    content.attachments = if parts.is_empty() { one(object).into_iter().collect() } else { parts };
}

/// Who it is by: in `from`, or as a name alone, where the app may not see more.
fn author(object: &Value) -> Option<Author> {
    let username = value::text(object, "username");
    match (fields::author(object), username) {
        (Some(author), username) => Some(Author { username: author.username.or(username), ..author }),
        (None, Some(username)) => Some(Author { username: Some(username), ..Author::default() }),
        (None, None) => None,
    }
}

fn instagram_comment(object: &Value, beside: &Value) -> Value {
    let names = [
        ("id", "id"),
        ("text", "text"),
        ("from", "from"),
        ("parent_id", "parent_id"),
        ("media", "media"),
        ("timestamp", "timestamp"),
    ];
    let mut value = renamed(object, &names);
    if let Some(by) = author(object) {
        value.insert("from".into(), json!({"id": by.id, "name": by.name, "username": by.username}));
    }
    // The list that it stands in is surer than what it says of itself: of an advertisement's copy.
    if let Some(on) = value::id(beside, "on") {
        value.insert("media".into(), json!({ "id": on }));
    }
    if let (None, Some(above)) = (value.get("parent_id"), value::id(beside, "answers")) {
        value.insert("parent_id".into(), above.into());
    }
    value.into()
}

/// The account was named: in a photo, or, where ids came by push, in what was asked for with them. Its key is the
/// push's.
fn mention(event: &Event, object: &Value, beside: &Value) -> Reading {
    let comment = value::id(beside, "comment");
    let on = value::id(beside, "media");
    let named = comment.clone().or_else(|| on.clone()).or_else(|| value::id(object, "id"));
    let Some(named) = named else { return other(event) };
    let mut reading = reading_of(format!("mention:{named}"), mentioned(), Kind::Mention, Action::Created);
    let text = value::text(object, "text").or_else(|| value::text(object, "caption"));
    fill(&mut reading, object, text);
    if comment.is_some() {
        let on = on.or_else(|| value::id(object.get("media")?, "id"));
        reading.content.parent = on.map(|id| Parent { id, kind: Some(Kind::Post) });
    }
    reading
}
