//! Instagram: what the fields `comments`, `live_comments`, `mentions` and `story_insights` say. Messages have the form
//! of Messenger's.
//!
//! Comments come without a verb and without a time: that one was edited or deleted is found by polling alone.
//!
//! Source: developers.facebook.com/docs/graph-api/webhooks/reference/instagram, and captured pushes where they differ.

use jiff::Timestamp;
use serde_json::Value;

use crate::collected::{Action, Ad, Kind, Parent, Published};
use crate::inbox::{Reading, Version, Wanted};
use crate::meta::fields::{action_of, author, generic, mentioned, occurred_at, repeatable, text, word};
use crate::normalise::{deleted, reading_of, value};
use crate::versions::State;

/// A comment, on a live video too. Of a comment on an advertisement the parent is the publication that is advertised:
/// `media.id` is the advertisement's own copy, which no list of the account's has.
pub(crate) fn comment(field: &str, value: &Value, sent_at: Option<Timestamp>) -> Reading {
    let media = value.get("media").unwrap_or(&Value::Null);
    let ad = value::id(media, "ad_id").map(|id| Ad { id, name: value::text(media, "ad_title") });
    let media = value::id(media, "original_media_id")
        .or_else(|| value::id(media, "id"))
        .or_else(|| value::id_of(media))
        .or_else(|| value::id(value, "media_id"));
    let id = value::id(value, "comment_id").or_else(|| value::id(value, "id"));
    let answers = value::id(value, "parent_id")
        .filter(|above| Some(above) != media.as_ref() && Some(above) != id.as_ref());
    let kind = if answers.is_some() { Kind::Reply } else { Kind::Comment };
    let on = answers.map(|id| Parent { id, kind: Some(Kind::Comment) });
    let text = text(value);
    let verb = word(value.get("verb"));
    let mut reading = generic(field, value, &verb);
    if let Some(id) = id {
        reading.thing = format!("comment:{id}");
        reading.nameless = false;
        reading.version = match action_of(&verb) {
            Action::Created | Action::Edited => {
                reading.state = Some(State::default());
                Version::of_content(text.as_deref(), [])
            }
            Action::Deleted => deleted(),
            Action::Hidden | Action::Unhidden => {
                let time = value::id(value, "created_time").or_else(|| value::id(value, "timestamp"));
                repeatable(&[verb.as_str()], time.as_deref(), value, sent_at)
            }
        };
    }
    // The account's own id as a person's: it stands only in what the account itself wrote
    // (developers.facebook.com/docs/graph-api/webhooks/reference/instagram).
    if value.get("from").and_then(|from| value::id(from, "self_ig_scoped_id")).is_some() {
        reading.content.published = Published::ByThePage;
    }
    reading.content.kind = kind;
    reading.content.ad = ad;
    reading.content.parent = on.or_else(|| media.map(|id| Parent { id, kind: Some(Kind::Post) }));
    reading
}

/// The page was named in a comment, or in a caption. Only ids come: what was said is asked for with them.
pub(crate) fn mention(value: &Value) -> Reading {
    let (comment, media) = (value::id(value, "comment_id"), value::id(value, "media_id"));
    let mut reading = generic("mentions", value, &word(value.get("verb")));
    reading.content.kind = Kind::Mention;
    if let Some(id) = comment.as_ref().or(media.as_ref()) {
        reading.thing = format!("mention:{id}");
        reading.version = mentioned();
        reading.nameless = false;
    }
    let on = comment.as_ref().and(media.clone());
    reading.content.parent = on.map(|id| Parent { id, kind: Some(Kind::Post) });
    if reading.content.text.is_none() {
        reading.wanted = match (comment, media) {
            (Some(comment), media) => Some(Wanted::MentionedComment { comment, media }),
            (None, Some(media)) => Some(Wanted::MentionedMedia { media }),
            (None, None) => None,
        };
    }
    reading
}

/// The numbers of a story that ended. Other numbers of the same story are another version.
pub(crate) fn story_insights(value: &Value) -> Reading {
    let media = value::id(value, "media_id");
    let thing =
        media.as_ref().map_or_else(|| "other:story_insights".to_owned(), |id| format!("story_insight:{id}"));
    let mut reading = reading_of(thing, Version::of_value(value), Kind::StoryInsight, Action::Created);
    reading.content.author = author(value);
    reading.content.occurred_at = occurred_at(value);
    reading.content.parent = media.map(|id| Parent { id, kind: Some(Kind::Post) });
    reading
}
