//! Normalising: what an event of a network's says, in the one form of collected items.
//!
//! Reading is total: every event gives a [`Reading`]. What nobody foresaw is of the kind `other`, keyed by a digest of
//! its value, and delivered with the network's own JSON.

pub(crate) mod media_url;
pub(crate) mod value;

use crate::collected::{Action, Content, Kind, Published};
use crate::inbox::{Event, Reading, Version};
use crate::network::NetworkId;

/// Reads an event for the page that owns it.
///
/// Whatever the page itself did is its publication, on every network and of every kind: its replies, messages and
/// reactions too. A network's reader adds what the author's id does not tell.
#[must_use]
pub fn read(event: &Event, owner: &NetworkId) -> Reading {
    let read = event.network.spec().read;
    let mut reading = read(event, owner).unwrap_or_else(|| other(event));
    if let Some(state) = &mut reading.state {
        state.complete(&reading.content.attachments, event);
    }
    let by = reading.content.author.as_ref().and_then(|author| author.id.as_deref());
    if by == Some(owner.as_str()) {
        reading.content.published = Published::ByThePage;
    }
    reading
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
    reading.nameless = true;
    reading
}

/// The version of a thing that is gone for good, which happens once.
#[must_use]
pub fn deleted() -> Version {
    Version::of_action(["deleted"])
}

/// A reading that says no more than what it is.
pub(crate) fn reading_of(thing: String, version: Version, kind: Kind, action: Action) -> Reading {
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
        rating: None,
        reaction: None,
        location: None,
        ad: None,
    };
    Reading { thing, version, content, state: None, nameless: false, wanted: None, signal: None }
}
