//! The inbox: things that networks pushed or answered, an entry each (page, thing, version), until they are dispatched.
//!
//! The *thing* is what the network's id names, with its kind before it, so that ids of two kinds cannot meet. The
//! *version* of something created or edited is a digest of its text and its attachments' ids, which push and poll both
//! carry; of something deleted, hidden and the like, the action, with its time where it can happen again (see
//! [`normalise`](crate::normalise)). So a network's retry, and the same thing found later by polling, are the same
//! entry, whichever came first. An edit back, and other attachments under the same text, are told by comparison with
//! the versions that are known, and have keys that are derived of them ([`versions`](crate::versions)).
//!
//! What has no id of its own is keyed by a digest of its value, whose order and spacing do not matter. Two of the same
//! value in one push are two, each with its number; a repeat of the push has the same numbers.
//!
//! What is stored is the network's own JSON; it is normalised again when it is dispatched.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::collected::{Action, By, Content};
use crate::network::{Network, NetworkId};
use crate::versions::State;
use carteiro_core::id::{ItemId, PageId, digest, half};

/// How long a dispatched entry is remembered, without its content: 60 days. A network repeats a push for at
/// most 36 hours (Meta), and a poll sees again what is weeks old: the longest window of a network's answer is 60 days
/// (LinkedIn's notifications). What comes again after that is delivered again, under the same id.
pub const REMEMBERED: Duration = Duration::from_secs(60 * 24 * 3600);

/// In which form a network says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Meta: an element of `entry[].changes[]`, or a flat `entry[].field` with its `value`.
    MetaChange,
    /// Meta: an element of `entry[].messaging[]`.
    MetaMessaging,
    /// Meta: an element of `entry[].standby[]`: another app has the conversation.
    MetaStandby,
    /// Meta's Graph API: an object, as it stands in a list that was asked for; `field` names the list, and what was
    /// asked about stands beside it.
    MetaObject,
    /// X's Account Activity: an element of one of the top level's arrays, or `user_event`.
    XAccountActivity,
    /// X's Activity: the body's `data`.
    XActivity,
    /// YouTube's hub: an `entry` of a feed, as JSON.
    YoutubeEntry,
    /// YouTube's hub: a `deleted-entry` of a feed, as JSON.
    YoutubeDeletedEntry,
    /// YouTube's API: an item of a playlist.
    YoutubeVideo,
    /// YouTube's API: a comment or an answer.
    YoutubeComment,
    /// Google Play's API: a review, with all of its comments.
    GooglePlayReview,
    /// Google Play's API: a review's comment that is the developer's.
    GooglePlayReply,
    /// LinkedIn's API: a post.
    LinkedinPost,
    /// LinkedIn's API: a comment or an answer.
    LinkedinComment,
    /// LinkedIn's API: a notification of a social action.
    LinkedinNotification,
    /// The tests' own network's: a note.
    #[cfg(test)]
    Seventh,
    /// None that is known.
    Unknown,
}

/// One update, as it is stored: the smallest part of a push or an answer that is about one thing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// The network.
    pub network: Network,
    /// How it was found.
    pub by: By,
    /// Its form.
    pub shape: Shape,
    /// What the network calls it: Meta's `field` (of messaging, the name of its part), the name of X's array, X's
    /// `event_type`.
    pub field: String,
    /// The time of the envelope: when it was sent, which is not when it happened. Only its hour is in a key, and only
    /// of what can happen again and has no time of its own.
    pub sent_at: Option<Timestamp>,
    /// The network's own JSON.
    pub raw: Box<RawValue>,
    /// What stood beside it in the push and is needed to read it, as X's `users`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Value>,
}

/// An update of a push, and whose it may be.
#[derive(Clone, Debug)]
pub struct Update {
    /// The pages that it may be of, the likeliest first. Empty: nobody's.
    pub owners: Vec<NetworkId>,
    /// What is stored.
    pub event: Event,
}

carteiro_core::named! {
    /// What an event says besides its content.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Signal {
        /// The page's owner, or the network, took the app's authorisation back: its token is dead.
        TokenRevoked = "token_revoked",
        /// A permission was taken back; others may be left.
        PermissionRevoked = "permission_revoked",
    }
}

/// A push of ids only, which is completed with the page's token before it is dispatched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Wanted {
    /// Instagram: a comment in which the page was mentioned.
    MentionedComment {
        /// The comment.
        comment: String,
        /// The media that it is on.
        media: Option<String>,
    },
    /// Instagram: a media in whose caption the page was mentioned.
    MentionedMedia {
        /// The media.
        media: String,
    },
    /// YouTube: a video that is new or was changed, whose description is not told.
    Video {
        /// The video.
        video: String,
        /// Whether it was changed a while after it was published.
        edited: bool,
    },
    /// LinkedIn: a comment that was made or edited, whose text is not told.
    Comment {
        /// The comment's URN, spelled out.
        comment: String,
    },
}

/// What a normaliser reads of an event. Every event gives one: what nobody foresaw is of the kind `other`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The thing, as `<kind>:<the network's id>`.
    pub thing: String,
    /// Its version.
    pub version: Version,
    /// What it says.
    pub content: Content,
    /// What tells it apart from other versions of the same key; None where the key alone decides.
    pub state: Option<State>,
    /// Whether neither an id nor a sender tells it apart from another of the same value.
    pub nameless: bool,
    /// What must be asked for first, where it came as ids only.
    pub wanted: Option<Wanted>,
    /// What it says of the page's token.
    pub signal: Option<Signal>,
}

impl Reading {
    /// The network's id of the thing, the same in all of its versions. What has no id of its own (a reaction, a follow)
    /// is named by the ids of what it is made of, with colons between them; what nothing names, not at all.
    #[must_use]
    pub fn network_id(&self) -> Option<&str> {
        let (kind, id) = self.thing.split_once(':')?;
        // A review without an id is known by whose it is.
        let id = id.strip_prefix("by:").filter(|_| kind == "review").unwrap_or(id).trim_matches(':');
        (kind != "other" && !id.is_empty()).then_some(id)
    }

    /// Whether it is a version of what the thing says, and not something that was done with it, or a mere sign that
    /// there is a version to ask for.
    #[must_use]
    pub fn says(&self) -> bool {
        matches!(self.content.action, Action::Created | Action::Edited) && self.wanted.is_none()
    }

    /// Gives it a version whose key alone decides.
    pub(crate) fn key_alone(&mut self, version: Version) {
        (self.version, self.state) = (version, None);
    }
}

/// A version of a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version([u8; 32]);

impl Version {
    /// Something created or edited: by its text and the ids of its attachments, whatever their order.
    #[must_use]
    pub fn of_content<'a>(text: Option<&str>, attachments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut ids: Vec<&str> = attachments.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        let parts = ["content", text.unwrap_or_default()].into_iter().chain(ids);
        Self(digest(parts.map(str::as_bytes)))
    }

    /// Something else: by what was done, and by when or with what where that can happen again.
    #[must_use]
    pub fn of_action<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(digest(["action"].into_iter().chain(parts).map(str::as_bytes)))
    }

    /// Something without an id or a time of its own: by its whole value. The order of fields does not matter.
    #[must_use]
    pub fn of_value(value: &Value) -> Self {
        // Maps are sorted by their keys.
        let canonical = serde_json::to_vec(value).unwrap_or_default();
        Self(digest([b"value".as_slice(), &canonical]))
    }

    /// One of several of the same version in a push, by its number from zero on. The first is the version itself.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        match number {
            0 => self.clone(),
            _ => Self(digest([b"numbered".as_slice(), &self.0, &number.to_be_bytes()])),
        }
    }
}

/// Where an entry is in its page's part of the inbox: first the thing, so that a thing's versions stand together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct EntryKey(String);

/// A text that is no key of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key of an entry")]
pub struct InvalidEntryKey;

impl From<EntryKey> for String {
    fn from(key: EntryKey) -> Self {
        key.0
    }
}

impl TryFrom<String> for EntryKey {
    type Error = InvalidEntryKey;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::from_stored(&text).ok_or(InvalidEntryKey)
    }
}

impl EntryKey {
    /// The key of a version of a thing: 64 hexadecimal digits, a `#` between their halves.
    #[must_use]
    pub fn new(thing: &str, version: &Version) -> Self {
        let thing = digest([b"carteiro thing 1".as_slice(), thing.as_bytes()]);
        Self(format!("{:032x}#{:032x}", half(&thing), half(&version.0)))
    }

    /// The key of an update of a push in which as many of the same version stand before it; None where these are one.
    /// What was edited and edited back keeps its key, as the inbox tells it apart ([`versions`](crate::versions)); what
    /// has no id and no sender is as many as there are.
    #[must_use]
    pub fn within_push(reading: &Reading, before: u32) -> Option<Self> {
        let is_compared = reading.state.is_some() && reading.says();
        match before {
            _ if before == 0 || is_compared => Some(Self::new(&reading.thing, &reading.version)),
            _ if reading.nameless => Some(Self::new(&reading.thing, &reading.version.numbered(before))),
            _ => None,
        }
    }

    /// The key of another version of the same thing, by its part of the key; None where that is none.
    #[must_use]
    pub fn of_version(&self, version: &str) -> Option<Self> {
        Self::from_stored(&format!("{}#{version}", self.thing()))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of an update that is nobody's: of its value, and the route that it came by.
    #[must_use]
    pub fn of_unrecognised(event: &Event) -> Self {
        // JSON that is nested too deeply to be read is keyed by its text.
        let value = serde_json::from_str(event.raw.get());
        let value = value.unwrap_or_else(|_| Value::String(event.raw.get().to_owned()));
        Self::new(&format!("unrecognised:{}:{}", event.network, event.field), &Version::of_value(&value))
    }

    /// What every version of the same thing begins with.
    #[must_use]
    pub fn thing(&self) -> &str {
        self.thing_and_version().0
    }

    /// The digests of the thing and of the version, as hexadecimal digits.
    #[must_use]
    pub fn thing_and_version(&self) -> (&str, &str) {
        self.0.split_once('#').unwrap_or((&self.0, ""))
    }

    /// The id of the item that the entry becomes: the same whenever it is dispatched.
    #[must_use]
    pub fn item(&self, page: &PageId) -> ItemId {
        ItemId::of_parts([b"carteiro collected 1".as_slice(), page.as_str().as_bytes(), self.0.as_bytes()])
    }

    /// A key that was read from a table.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        let hexadecimal = |part: &str| part.len() == 32 && part.bytes().all(|b| b.is_ascii_hexdigit());
        let (thing, version) = text.split_once('#')?;
        (hexadecimal(thing) && hexadecimal(version)).then(|| Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_version_ignores_the_order_of_attachments() {
        let version = Version::of_content(Some("a"), ["1", "2"]);
        assert_eq!(version, Version::of_content(Some("a"), ["2", "1", "2"]));
        for other in [
            Version::of_content(Some("b"), ["1", "2"]),
            Version::of_content(Some("a"), ["1"]),
            Version::of_content(None, ["a", "1", "2"]),
            Version::of_action(["a", "1", "2"]),
        ] {
            assert_ne!(version, other);
        }
    }

    #[test]
    fn a_thing_is_told_by_the_networks_id_of_it() {
        for (thing, id) in [
            ("comment:77_88", Some("77_88")),
            ("comment:urn:li:comment:(urn:li:share:1,2)", Some("urn:li:comment:(urn:li:share:1,2)")),
            ("reaction:501_77:9001", Some("501_77:9001")),
            ("reaction:501_77:", Some("501_77")),
            ("review:by:9001", Some("9001")),
            ("follow:", None),
            ("other:feed", None),
        ] {
            let (version, kind) = (Version::of_action(["a"]), crate::collected::Kind::Other);
            let reading = crate::normalise::reading_of(thing.to_owned(), version, kind, Action::Created);
            assert_eq!(reading.network_id(), id, "{thing}");
        }
    }

    #[test]
    fn a_value_is_the_same_whatever_the_order_of_its_fields() {
        let read = |text: &str| Version::of_value(&serde_json::from_str(text).unwrap());
        assert_eq!(read(r#"{"a":1,"b":[1,2]}"#), read(r#"{ "b": [1, 2], "a": 1 }"#));
        assert_ne!(read(r#"{"a":1,"b":[1,2]}"#), read(r#"{"a":1,"b":[2,1]}"#));
    }

    #[test]
    fn an_item_id_is_of_page_thing_and_version() {
        let key = |thing: &str, text: &str| EntryKey::new(thing, &Version::of_content(Some(text), []));
        let page = PageId::from_bits(1);
        let item = key("comment:1", "a").item(&page);
        assert_eq!(item, key("comment:1", "a").item(&page));
        assert_ne!(item, key("comment:2", "a").item(&page));
        assert_ne!(item, key("comment:1", "b").item(&page));
        assert_ne!(item, key("comment:1", "a").item(&PageId::from_bits(2)));
        assert_eq!(key("comment:1", "a").thing(), key("comment:1", "b").thing());
        let stored = EntryKey::from_stored(key("comment:1", "a").as_str());
        assert_eq!(stored, Some(key("comment:1", "a")));
        assert_eq!(EntryKey::from_stored("comment"), None);
    }

    #[test]
    fn an_event_is_read_back_with_its_json_unchanged() {
        let raw = r#"{"field": "feed", "value":{"id":1234567890123456789012345}}"#;
        let event = Event {
            network: Network::Facebook,
            by: By::Push,
            shape: Shape::MetaChange,
            field: "feed".into(),
            sent_at: None,
            raw: RawValue::from_string(raw.to_owned()).unwrap(),
            beside: Some(json!({"a": 1})),
        };
        let stored = serde_json::to_string(&event).unwrap();
        let read: Event = serde_json::from_str(&stored).unwrap();
        assert_eq!((read.raw.get(), read.beside), (raw, event.beside));
    }
}
