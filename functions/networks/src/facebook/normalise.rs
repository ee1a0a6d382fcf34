//! Facebook Pages: what the fields `feed`, `mention`, `ratings` and `leadgen` say.
//!
//! Source: developers.facebook.com/docs/graph-api/webhooks/reference/page, and captured pushes where they differ.

use jiff::Timestamp;
use serde_json::Value;

use crate::collected::{Action, Attachment, Content, Kind, Parent, Published, Rating};
use crate::inbox::{Reading, Version};
use crate::meta::fields::{action_of, author, generic, location, occurred_at, repeatable, text, word};
use crate::network::NetworkId;
use crate::normalise::{deleted, reading_of, value};
use crate::versions::{Compared, State};

/// What the page or somebody else publishes, as `feed` calls it.
const PUBLICATIONS: [&str; 14] = [
    "post",
    "status",
    "photo",
    "video",
    "album",
    "event",
    "link",
    "note",
    "story",
    "milestone",
    "question",
    "coupon",
    "photo-album",
    "platform-story",
];

/// A change of `feed`.
pub(crate) fn feed(value: &Value, owner: &NetworkId, sent_at: Option<Timestamp>) -> Reading {
    let change = Change::of(value, sent_at);
    match change.item.as_str() {
        _ if matches!(change.verb.as_str(), "follow" | "unfollow") => follow(&change, owner),
        "comment" => comment(&change, Kind::Post),
        "reaction" | "like" => reaction(&change, owner, Kind::Post),
        "rating" | "review" => review(&change),
        "mention" | "tag" => mention(value, sent_at),
        "share" => publication(&change, owner, Kind::Share),
        item if PUBLICATIONS.contains(&item) => publication(&change, owner, Kind::Post),
        "" if change.comment.is_some() => comment(&change, Kind::Post),
        "" if change.post.is_some() => publication(&change, owner, Kind::Post),
        _ => publication(&change, owner, Kind::Other),
    }
}

/// A change of `mention`: a post or a comment names the page. The page that is named gets it, whosever post it is.
pub(crate) fn mention(value: &Value, sent_at: Option<Timestamp>) -> Reading {
    let change = Change::of(value, sent_at);
    let id = change.comment.as_ref().or(change.post.as_ref());
    let Some(id) = id.cloned().or_else(|| own_id(&change).map(|(_, id)| id)) else {
        let mut reading = generic("mention", value, &change.verb);
        reading.content.kind = Kind::Mention;
        return reading;
    };
    let mut reading = change.reading(format!("mention:{id}"), Kind::Mention, &[]);
    let on = change.comment.as_ref().and(change.post.clone());
    reading.content.parent = on.map(|id| Parent { id, kind: Some(Kind::Post) });
    reading
}

/// A change of `ratings`: a review, or what was done on one.
pub(crate) fn rating(value: &Value, owner: &NetworkId, sent_at: Option<Timestamp>) -> Reading {
    let change = Change::of(value, sent_at);
    match change.item.as_str() {
        "comment" => comment(&change, Kind::Review),
        "reaction" | "like" => reaction(&change, owner, Kind::Review),
        _ => review(&change),
    }
}

/// A change of `leadgen`: a form that somebody filled in; its answers are asked for by its id.
pub(crate) fn lead(value: &Value) -> Reading {
    let mut reading = generic("leadgen", value, "");
    if let Some(id) = value::id(value, "leadgen_id") {
        reading.thing = format!("lead:{id}");
        reading.version = Version::of_action(["created"]);
    }
    reading
}

/// What the changes of a page have in common.
struct Change<'a> {
    value: &'a Value,
    item: String,
    verb: String,
    action: Action,
    post: Option<String>,
    comment: Option<String>,
    story: Option<String>,
    text: Option<String>,
    /// The value's own time, as it was written.
    time: Option<String>,
    /// The envelope's time.
    sent_at: Option<Timestamp>,
}

impl<'a> Change<'a> {
    fn of(value: &'a Value, sent_at: Option<Timestamp>) -> Self {
        let verb = word(value.get("verb"));
        let post = value::id(value, "post_id").or_else(|| value::id(value.get("post")?, "id"));
        Self {
            value,
            item: word(value.get("item")),
            action: action_of(&verb),
            post,
            comment: value::id(value, "comment_id"),
            story: value::id(value, "open_graph_story_id"),
            text: text(value),
            time: value::id(value, "edited_time").or_else(|| value::id(value, "created_time")),
            sent_at,
            verb,
        }
    }

    fn again(&self) -> Version {
        repeatable(&[self.verb.as_str()], self.time.as_deref(), self.value, self.sent_at)
    }

    fn reading(&self, thing: String, kind: Kind, ids: &[&str]) -> Reading {
        let mut reading = reading_of(thing, deleted(), kind, self.action);
        reading.content.author = author(self.value);
        reading.content.text.clone_from(&self.text);
        reading.content.occurred_at = occurred_at(self.value);
        reading.content.link = self.link();
        reading.content.attachments = attachments(self.value, &self.item);
        reading.content.location = location(self.value);
        // An edit of nothing that can be compared is known by when it was made.
        let says_something =
            self.text.is_some() || !ids.is_empty() || !reading.content.attachments.is_empty();
        match self.verb.as_str() {
            "remove" | "delete" => {}
            "" | "add" => self.content_of(&mut reading, ids),
            "edit" | "edited" | "update" if says_something => self.content_of(&mut reading, ids),
            _ => reading.version = self.again(),
        }
        reading
    }

    /// The version of something with a text. `ids` stand for what is with it.
    fn content_of(&self, reading: &mut Reading, ids: &[&str]) {
        reading.version = Version::of_content(self.text.as_deref(), ids.iter().copied());
        // Of other items a push need not name the picture or the link.
        let complete = matches!(self.item.as_str(), "comment" | "status");
        let in_key = ids.iter().map(|&id| id.to_owned()).collect();
        let mut state = State::compared(Compared::ByAddress { in_key, complete });
        state.at = value::time(self.value, "edited_time");
        reading.state = Some(state);
    }

    /// Where people see it: what the push says or, as it mostly says nothing, the address of which the API's
    /// `permalink_url` is made. What is gone is nowhere.
    fn link(&self) -> Option<String> {
        let post = || value::text(self.value.get("post")?, "permalink_url");
        let said = value::text(self.value, "permalink_url").or_else(post);
        let derived = || (self.action != Action::Deleted).then(|| self.permalink()).flatten();
        said.or_else(derived)
    }

    /// `https://www.facebook.com/<page>/posts/<post>`, for a comment with `comment_id`, for an answer to one with
    /// `reply_comment_id` too. Ids of posts and comments begin with the id of what they are on.
    fn permalink(&self) -> Option<String> {
        let is_number = |id: &str| (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit());
        let last = |id: &str| id.rsplit('_').next().filter(|id| is_number(id)).map(str::to_owned);
        let post = self.post.as_deref()?;
        let (page, own) = post.split_once('_').filter(|(page, own)| is_number(page) && is_number(own))?;
        let link = format!("https://www.facebook.com/{page}/posts/{own}");
        let Some(comment) = self.comment.as_deref().and_then(last) else { return Some(link) };
        let above = value::id(self.value, "parent_id").filter(|above| above != post);
        Some(match above.as_deref().and_then(last).filter(|above| *above != comment) {
            Some(above) => format!("{link}?comment_id={above}&reply_comment_id={comment}"),
            None => format!("{link}?comment_id={comment}"),
        })
    }

    /// What has none of the ids that its item promises: by all that it says.
    fn nameless(&self, kind: Kind) -> Reading {
        let thing = format!("other:{}", self.item);
        let mut reading = self.reading(thing, kind, &[]);
        reading.key_alone(Version::of_value(self.value));
        reading.nameless = true;
        reading
    }
}

fn comment(change: &Change<'_>, on: Kind) -> Reading {
    let above = value::id(change.value, "parent_id");
    let base = change.post.clone().or_else(|| change.story.clone());
    let answers =
        above.filter(|above| Some(above) != change.comment.as_ref() && Some(above) != base.as_ref());
    // Without the publication's id, what is above may be the publication itself.
    let is_reply = answers.is_some() && base.is_some();
    let kind = if is_reply { Kind::Reply } else { Kind::Comment };
    let mut reading = match &change.comment {
        Some(id) => change.reading(format!("comment:{id}"), kind, &[]),
        None => change.nameless(kind),
    };
    let above = if is_reply { Some(Kind::Comment) } else { base.as_ref().map(|_| on) };
    reading.content.parent = answers.or(base).map(|id| Parent { id, kind: above });
    reading
}

/// Something published. What Facebook does not show yet (`published: 0`: to come, or an advertisement's) has other
/// versions than what it shows, so that its publication is told too.
fn publication(change: &Change<'_>, owner: &NetworkId, kind: Kind) -> Reading {
    let own = own_id(change);
    let mut reading = match (&change.post, &own) {
        // It names a post perhaps, but is none: it must not take the place of one in the inbox.
        _ if kind == Kind::Other => change.nameless(kind),
        (Some(post), _) => {
            // A poll sees the photo or the video that a post is, and no other of these ids.
            let media = own.as_ref().filter(|(item, _)| matches!(*item, "photo" | "video"));
            let ids: Vec<&str> = media.iter().map(|(_, id)| id.as_str()).collect();
            let mut reading = change.reading(format!("post:{post}"), kind, &ids);
            if value::number(change.value, "published") == Some(0) && is_content(change) {
                let text = change.text.as_deref().unwrap_or_default();
                reading.version = Version::of_action(["unpublished", text].into_iter().chain(ids));
            }
            reading
        }
        (None, Some((item, id))) => {
            let mut reading = change.reading(format!("{item}:{id}"), kind, &[]);
            if is_content(change) {
                reading.key_alone(change.again());
            }
            reading
        }
        (None, None) => change.nameless(kind),
    };
    if is_trashed(change, &reading.content) {
        reading.content.action = Action::Deleted;
        reading.content.link = None;
        // It can be brought back, and is deleted for good later, which is told as `remove`.
        reading.key_alone(repeatable(&["trashed"], change.time.as_deref(), change.value, change.sent_at));
    }
    reading.content.published = published(&reading.content, change, owner);
    reading
}

fn is_content(change: &Change<'_>) -> bool {
    matches!(change.verb.as_str(), "" | "add" | "edit" | "edited" | "update")
}

/// A post that is moved to the trash arrives as a status that was edited, is published and says nothing.
fn is_trashed(change: &Change<'_>, content: &Content) -> bool {
    change.item == "status"
        && change.verb == "edited"
        && value::number(change.value, "published") == Some(1)
        && content.text.is_none()
        && content.attachments.is_empty()
}

/// The id that is named after the item, with the item's name: of a photo `photo_id`.
fn own_id(change: &Change<'_>) -> Option<(&'static str, String)> {
    let names = [
        ("photo", "photo_id"),
        ("video", "video_id"),
        ("share", "share_id"),
        ("album", "album_id"),
        ("event", "event_id"),
        ("link", "link_id"),
        ("note", "note_id"),
        ("story", "story_id"),
    ];
    let named = names.into_iter().filter(|(item, _)| *item == change.item).chain(names);
    let mut found = named.filter_map(|(item, name)| Some((item, value::id(change.value, name)?)));
    found.next()
}

/// Whose a publication is: whoever is named; where nobody is (the app may not see who), the page's whose id the post's
/// begins with.
fn published(content: &Content, change: &Change<'_>, owner: &NetworkId) -> Published {
    if content.kind == Kind::Other {
        return Published::Interaction;
    }
    let own = match (&content.author, &change.post) {
        (Some(author), _) => author.id.as_deref() == Some(owner.as_str()),
        (None, Some(post)) => post.split('_').next() == Some(owner.as_str()),
        (None, None) => true,
    };
    if own { Published::ByThePage } else { Published::Interaction }
}

/// A like or another reaction: to a comment, a publication, or, without either, the page itself.
fn reaction(change: &Change<'_>, owner: &NetworkId, on: Kind) -> Reading {
    let story = || change.story.clone().map(|id| (id, Some(on)));
    let parent = value::id(change.value, "parent_id").map(|id| (id, None));
    let (id, kind) = match (&change.comment, &change.post) {
        (Some(comment), _) => (comment.clone(), Some(Kind::Comment)),
        (None, Some(post)) => (post.clone(), Some(on)),
        (None, None) => story().or(parent).unwrap_or_else(|| (owner.to_string(), None)),
    };
    let by = author(change.value).and_then(|author| author.id).unwrap_or_default();
    let mut reading = change.reading(format!("reaction:{id}:{by}"), Kind::Reaction, &[]);
    let what = word(change.value.get("reaction_type"));
    let verb = if change.verb.is_empty() { "add" } else { &change.verb };
    reading.key_alone(repeatable(&[verb, &what], change.time.as_deref(), change.value, change.sent_at));
    reading.nameless = by.is_empty();
    // A text or a place here would be the publication's.
    let content = &mut reading.content;
    (content.text, content.location) = (None, None);
    // A `like` has no type of its own.
    content.reaction = Some(if what.is_empty() { "like".to_owned() } else { what });
    reading.content.parent = Some(Parent { id, kind });
    reading
}

fn review(change: &Change<'_>) -> Reading {
    let by = author(change.value).and_then(|author| author.id);
    let of_story = change.story.as_ref().map(|id| format!("review:{id}"));
    let recommends = match word(change.value.get("recommendation_type")).as_str() {
        "positive" => Some(true),
        "negative" => Some(false),
        _ => None,
    };
    let rating = Rating::new(value::number(change.value, "rating"), recommends);
    let Some(thing) = of_story.or_else(|| by.map(|by| format!("review:by:{by}"))) else {
        let mut reading = change.nameless(Kind::Review);
        reading.content.rating = rating;
        return reading;
    };
    let stars = value::id(change.value, "rating").map(|rating| format!("rating:{rating}"));
    let word = word(change.value.get("recommendation_type"));
    let recommends = (!word.is_empty()).then(|| format!("recommendation:{word}"));
    let ids: Vec<&str> = [&stars, &recommends].into_iter().flatten().map(String::as_str).collect();
    let mut reading = change.reading(thing, Kind::Review, &ids);
    reading.content.rating = rating;
    reading
}

fn follow(change: &Change<'_>, owner: &NetworkId) -> Reading {
    let by = author(change.value).and_then(|author| author.id).unwrap_or_default();
    let mut reading = change.reading(format!("follow:{by}"), Kind::Follow, &[]);
    reading.key_alone(change.again());
    reading.nameless = by.is_empty();
    reading.content.parent = Some(Parent { id: owner.to_string(), kind: None });
    reading
}

fn attachments(value: &Value, item: &str) -> Vec<Attachment> {
    let one = |kind: &str, id: Option<String>, url: Option<String>| {
        (id.is_some() || url.is_some()).then(|| Attachment { kind: kind.to_owned(), id, url })
    };
    let link = value::text(value, "link");
    let (photo, video) = (value::text(value, "photo"), value::text(value, "video"));
    let (of_photo, of_video, of_other) = match item {
        "photo" => (photo.or(link), video, None),
        "video" => (photo, video.or(link), None),
        // A link on something that was done to a publication is the publication's own.
        "reaction" | "like" | "comment" => (photo, video, None),
        _ => (photo, video, link),
    };
    let named = [
        one("photo", value::id(value, "photo_id"), of_photo),
        one("video", value::id(value, "video_id"), of_video),
        one("link", None, of_other),
        one("sticker", value::id(value, "sticker_id"), value::text(value, "sticker")),
    ];
    let mut all: Vec<Attachment> = named.into_iter().flatten().collect();
    let is_told = |one: &Attachment| one.id.is_some() && all.iter().any(|told| told.id == one.id);
    let listed: Vec<Attachment> = photos(value).into_iter().filter(|photo| !is_told(photo)).collect();
    all.extend(listed);
    all
}

/// The photos of an album, or of a post with several: `photos`, as addresses or objects, and `photo_ids`, which are of
/// the same photos where there are as many.
fn photos(value: &Value) -> Vec<Attachment> {
    let elements = |name: &str| value.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (photos, ids) = (elements("photos"), elements("photo_ids"));
    let address = |photo: &Value| {
        let names = ["url", "link", "src", "source", "picture"];
        let named = || names.into_iter().find_map(|name| value::text(photo, name));
        photo.as_str().filter(|url| !url.is_empty()).map(str::to_owned).or_else(named)
    };
    let own_id = |photo: &Value| value::id(photo, "id").or_else(|| value::id(photo, "photo_id"));
    let mut all: Vec<(Option<String>, Option<String>)> =
        photos.iter().map(|photo| (own_id(photo), address(photo))).collect();
    if photos.len() == ids.len() {
        for ((id, _), own) in all.iter_mut().zip(ids) {
            *id = id.take().or_else(|| value::id_of(own));
        }
    } else {
        let others = ids.iter().filter_map(value::id_of).map(|id| (Some(id), None));
        let others: Vec<_> = others.filter(|(id, _)| all.iter().all(|(told, _)| told != id)).collect();
        all.extend(others);
    }
    let told = all.into_iter().filter(|(id, url)| id.is_some() || url.is_some());
    told.map(|(id, url)| Attachment { kind: "photo".to_owned(), id, url }).collect()
}
