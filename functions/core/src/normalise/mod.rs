//! Normalising: what an event of a network's says, in the one form of collected items.
//!
//! Reading is total: every event gives a [`Reading`]. What nobody foresaw is of the kind `other`, keyed by a digest of
//! its value, and delivered with the network's own JSON.

pub(crate) mod value;

use crate::collected::{Action, Content, Kind, Published};
use crate::inbox::{Event, Reading, Version};
use crate::network::NetworkId;

/// What an event says, to the page whose it is.
#[must_use]
pub fn read(event: &Event, _owner: &NetworkId) -> Reading {
    other(event)
}

/// An event that no rule knows: told as it is.
pub(crate) fn other(event: &Event) -> Reading {
    let value = value::parse(&event.raw);
    Reading {
        thing: format!("other:{}", event.field),
        version: Version::of_value(&value),
        content: Content {
            published: Published::Interaction,
            kind: Kind::Other,
            action: Action::Created,
            occurred_at: None,
            author: None,
            text: None,
            parent: None,
            link: None,
            attachments: Vec::new(),
        },
        wanted: None,
        signal: None,
    }
}
