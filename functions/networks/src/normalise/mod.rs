//! Normalising: what an event of a network's says, in the one form of collected items.
//!
//! Reading is total: every event gives a [`Reading`]. What nobody foresaw is of the kind `other`, keyed by a digest of
//! its value, and delivered with the network's own JSON.
//!
//! # Things and versions of Meta's
//! A poll that is to meet what a push brought keys it the same way; what Meta's API answers is put into the push's form
//! and read as that ([`Shape::MetaObject`]):
//!
//! | what | thing | version of what was created or edited |
//! |---|---|---|
//! | a post of Facebook's, a media of Instagram's | `post:<id>` | text, and the id of the photo or video that it is (not of albums, links or shares, which pushes do not give) |
//! | a comment or an answer | `comment:<id>` | text |
//! | a review | `review:<open graph story>` | text, `rating:<number>` and `recommendation:<word>` |
//! | a mention | `mention:<id of the comment, post or media>` | Facebook: text; Instagram: [`mentioned`] |
//! | a direct message | `message:<mid>` | text |
//! | a reaction | `reaction:<on what>:<by whom>` | never polled |
//!
//! What is gone for good has the version [`deleted`]. What can happen again is never polled, and has these versions:
//!
//! | what | version |
//! |---|---|
//! | hiding, showing again, trashing, reactions, follows, permissions, with a time of their own | what was done, and that time |
//! | the same without one | what was done, all that was said of it, and the hour of the push |
//! | a change of which no value is given | the change, and the hour of the push |
//! | what no rule knows, with a value | its value |
//!
//! The hour of the push is the envelope's time, in UTC, without its minutes. A network that repeats an update may put it
//! into another batch with another time: a little later it is the same entry still, and what happens again hours later
//! is another one. What is repeated after the hour's end is told twice, which is better than never being told what
//! happened a second time. In no other key is anything of the envelope's time; one without a time adds nothing.

mod facebook;
mod googleplay;
mod instagram;
pub(crate) mod linkedin;
mod messaging;
mod meta;
mod meta_objects;
#[cfg(test)]
mod meta_pushes;
pub(crate) mod value;
mod whatsapp;
mod x;
mod youtube;

use jiff::Timestamp;
use serde_json::Value;

use crate::collected::{Action, Content, Kind, Published};
use crate::inbox::{Event, Reading, Shape, Version};
use crate::network::NetworkId;

pub(crate) use messaging::part as messaging_part;

/// What an event says, to the page whose it is.
#[must_use]
pub fn read(event: &Event, owner: &NetworkId) -> Reading {
    match event.shape {
        Shape::MetaChange | Shape::MetaMessaging | Shape::MetaStandby => meta::read(event, owner),
        Shape::MetaObject => meta_objects::read(event, owner),
        Shape::XAccountActivity | Shape::XActivity => x::read(event, owner).unwrap_or_else(|| other(event)),
        Shape::YoutubeVideo | Shape::YoutubeComment => {
            youtube::read(event, owner).unwrap_or_else(|| other(event))
        }
        Shape::GooglePlayReview | Shape::GooglePlayReply => {
            googleplay::read(event, owner).unwrap_or_else(|| other(event))
        }
        Shape::LinkedinPost | Shape::LinkedinComment | Shape::LinkedinNotification => {
            linkedin::read(event, owner).unwrap_or_else(|| other(event))
        }
        Shape::Unknown => other(event),
    }
}

/// An event that no rule knows: told as it is.
pub(crate) fn other(event: &Event) -> Reading {
    let mut reading = reading_of(
        format!("other:{}", event.field),
        Version::of_value(&value::parse(&event.raw)),
        Kind::Other,
        Action::Created,
    );
    reading.content.occurred_at = event.sent_at;
    reading
}

/// The version of a thing that is gone for good, which happens once.
#[must_use]
pub fn deleted() -> Version {
    Version::of_action(["deleted"])
}

/// The version of a mention that comes as ids only: a comment or a media names the page once.
#[must_use]
pub fn mentioned() -> Version {
    Version::of_action(["mentioned"])
}

/// The version of what can happen again: what was done, and when; without a time, all that was said of it, and the
/// hour in which it was, where no time is in that either.
fn repeatable(what: &[&str], time: Option<&str>, value: &Value, sent_at: Option<Timestamp>) -> Version {
    let what = what.iter().copied();
    if let Some(time) = time {
        return Version::of_action(what.chain([time]));
    }
    let sent_at = sent_at.filter(|_| meta::occurred_at(value).is_none());
    let hour = sent_at.map(|at| format!("hour:{}", at.as_second().div_euclid(3600)));
    Version::of_action(what.chain([value.to_string().as_str()]).chain(hour.as_deref()))
}

/// A reading that says no more than what it is.
fn reading_of(thing: String, version: Version, kind: Kind, action: Action) -> Reading {
    let content = Content {
        published: Published::Interaction,
        kind,
        action,
        occurred_at: None,
        author: None,
        text: None,
        parent: None,
        link: None,
        attachments: Vec::new(),
    };
    Reading { thing, version, content, wanted: None, signal: None }
}
