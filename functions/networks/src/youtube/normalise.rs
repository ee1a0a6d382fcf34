//! What YouTube answers: videos and comments.
//!
//! | what | thing | version |
//! |---|---|---|
//! | a video | `post:<id>` | its title and description |
//! | a video that was pushed, until it is asked for | the same | `pushed`, and when it was updated |
//! | a video that was taken away (pushed alone) | the same | `deleted`, and when |
//! | a comment or an answer | `comment:<id>` | when it was updated last; without that, its text |
//!
//! YouTube's pushes, which have a video's title and not its description, are completed with what its API answers, so
//! that a video is one thing however it was found. They have no comments, so that a comment's own time of update may be
//! its version: an edit that brings back an earlier text is one more item, and a text that YouTube shows in another way
//! (a link by a video's title) is none.
//!
//! What the channel itself writes is a publication. Whether a video is new or was edited is not in an answer; who asked
//! says so beside it.
//!
//! Source: developers.google.com/youtube/v3/docs (playlistItems, comments).

use jiff::SignedDuration;
use serde_json::Value;

use crate::collected::{Action, Attachment, Author, Kind, Parent, Published};
use crate::inbox::{Event, Reading, Shape, Version, Wanted};
use crate::network::NetworkId;
use crate::normalise::{reading_of, value};
use crate::versions::State;

/// How long after its publication a video is pushed as updated all the same: the hub sends it within minutes.
const NEW: SignedDuration = SignedDuration::from_mins(10);

/// What an event says, where it has an id.
pub(crate) fn read(event: &Event, owner: &NetworkId) -> Option<Reading> {
    let found = value::parse(&event.raw);
    let beside = event.beside.as_ref().unwrap_or(&Value::Null);
    match event.shape {
        Shape::YoutubeVideo => video(&found, beside, owner),
        Shape::YoutubeEntry => pushed(&found),
        Shape::YoutubeDeletedEntry => taken_away(&found),
        Shape::YoutubeComment => comment(&found, beside),
        _ => None,
    }
}

fn video(found: &Value, beside: &Value, owner: &NetworkId) -> Option<Reading> {
    let (snippet, details) = (&found["snippet"], &found["contentDetails"]);
    let id = value::id(details, "videoId").or_else(|| value::id(&snippet["resourceId"], "videoId"))?;
    let parts = ["title", "description"].map(|name| value::text(snippet, name));
    let text = parts.iter().flatten().map(String::as_str).collect::<Vec<_>>().join("\n\n");
    let version = Version::of_content(Some(&text), []);
    let action = if value::is_true(beside, "edited") { Action::Edited } else { Action::Created };
    let mut reading = reading_of(format!("post:{id}"), version, Kind::Post, action);
    reading.state = Some(State::default());
    let content = &mut reading.content;
    let author = Author {
        id: value::text(snippet, "videoOwnerChannelId").or_else(|| value::text(snippet, "channelId")),
        name: value::text(snippet, "videoOwnerChannelTitle").or_else(|| value::text(snippet, "channelTitle")),
        username: None,
    };
    if author.id.as_deref().is_none_or(|id| id == owner.as_str()) {
        content.published = Published::ByThePage;
    }
    content.author = (author != Author::default()).then_some(author);
    content.occurred_at =
        value::time(details, "videoPublishedAt").or_else(|| value::time(snippet, "publishedAt"));
    content.text = (!text.is_empty()).then_some(text);
    let link = watch(&id);
    content.attachments = vec![Attachment { kind: "video".to_owned(), id: Some(id), url: link.clone() }];
    content.link = link;
    Some(reading)
}

/// A video of which a push tells the title and not the description.
fn pushed(found: &Value) -> Option<Reading> {
    let id = value::id(found, "videoId").or_else(|| value::id(found, "id").as_deref().and_then(video_of))?;
    let updated = value::text(found, "updated").unwrap_or_default();
    let version = Version::of_action(["pushed", &updated]);
    let mut reading = reading_of(format!("post:{id}"), version, Kind::Post, Action::Created);
    let content = &mut reading.content;
    content.published = Published::ByThePage;
    let author = &found["author"];
    let by = value::text(author, "uri").and_then(|uri| uri.rsplit('/').next().map(str::to_owned));
    let by = value::text(found, "channelId").or(by).filter(|id| !id.is_empty());
    let author = Author { id: by, name: value::text(author, "name"), username: None };
    content.author = (author != Author::default()).then_some(author);
    content.occurred_at = value::time(found, "published");
    content.text = value::text(found, "title");
    content.link = watch(&id);
    let url = content.link.clone();
    content.attachments = vec![Attachment { kind: "video".to_owned(), id: Some(id.clone()), url }];
    let changed = content.occurred_at.zip(value::time(found, "updated"));
    let edited = changed.is_some_and(|(published, updated)| updated.duration_since(published) >= NEW);
    reading.wanted = plain(&id).map(|id| Wanted::Video { video: id.to_owned(), edited });
    Some(reading)
}

/// A video that was deleted, or made private. It may be shown again.
fn taken_away(found: &Value) -> Option<Reading> {
    let id = value::id(found, "ref").as_deref().and_then(video_of)?;
    let when = value::text(found, "when").unwrap_or_default();
    let version = Version::of_action(["deleted", &when]);
    let mut reading = reading_of(format!("post:{id}"), version, Kind::Post, Action::Deleted);
    reading.content.published = Published::ByThePage;
    reading.content.occurred_at = value::time(found, "when");
    reading.content.link = watch(&id);
    Some(reading)
}

/// The video that an entry's id names.
fn video_of(urn: &str) -> Option<String> {
    urn.strip_prefix("yt:video:").filter(|id| !id.is_empty()).map(str::to_owned)
}

fn comment(found: &Value, beside: &Value) -> Option<Reading> {
    let (id, snippet) = (value::id(found, "id")?, &found["snippet"]);
    let text = value::text(snippet, "textOriginal").or_else(|| value::text(snippet, "textDisplay"));
    let (published, updated) = (value::time(snippet, "publishedAt"), value::time(snippet, "updatedAt"));
    let version = match updated {
        Some(at) => Version::of_action(["updated", &at.as_millisecond().to_string()]),
        None => Version::of_content(text.as_deref(), []),
    };
    let answers = value::id(snippet, "parentId").or_else(|| value::id(beside, "parentId"));
    let kind = if answers.is_some() { Kind::Reply } else { Kind::Comment };
    let edited = published.zip(updated).is_some_and(|(published, updated)| updated > published);
    let action = if edited { Action::Edited } else { Action::Created };
    let mut reading = reading_of(format!("comment:{id}"), version, kind, action);
    reading.state = updated.is_none().then(State::default);
    let content = &mut reading.content;
    let author = Author {
        id: value::id(&snippet["authorChannelId"], "value"),
        name: value::text(snippet, "authorDisplayName"),
        username: None,
    };
    content.author = (author != Author::default()).then_some(author);
    content.occurred_at = updated.or(published);
    content.text = text;
    // Comments may have an image or a GIF, and then no text (API revision history, 2026-09-30).
    let image = value::text(snippet, "imageUrl");
    let image = image.map(|url| Attachment { kind: "image".to_owned(), id: None, url: Some(url) });
    content.attachments = image.into_iter().collect();
    let video = value::id(snippet, "videoId").or_else(|| value::id(beside, "videoId"));
    content.link = video.as_deref().and_then(|video| Some(format!("{}&lc={}", watch(video)?, plain(&id)?)));
    // A comment on no video is on the channel itself.
    let on = video.map(|id| Parent { id, kind: Some(Kind::Post) });
    content.parent = answers.map(|id| Parent { id, kind: Some(Kind::Comment) }).or(on);
    Some(reading)
}

fn watch(video: &str) -> Option<String> {
    plain(video).map(|video| format!("https://www.youtube.com/watch?v={video}"))
}

/// An id that needs no escaping. That of an answer has a dot.
fn plain(id: &str) -> Option<&str> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    ((1..=128).contains(&id.len()) && id.bytes().all(is_plain)).then_some(id)
}
