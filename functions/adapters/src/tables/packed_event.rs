//! Events as they are stored: their JSON, deflated where that makes it smaller (`packed`).

use carteiro_networks::inbox::Event;
use carteiro_networks::push::MAX_PUSH_BYTES;

use crate::tables::packed::{pack, unpack};

/// From this many bytes on an event is deflated.
const DEFLATED_FROM: usize = 600;

/// The most bytes that an event is inflated to: a push in base64 with its envelope, and room. No event of ours is
/// larger; a larger one would only fill the memory.
const MAX_EVENT_BYTES: u64 = 4 * MAX_PUSH_BYTES as u64;

/// An event in the form in which it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedEvent(Vec<u8>);

/// The stored bytes are no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is stored is no event")]
pub struct UnreadableEvent;

impl PackedEvent {
    /// Packs an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        // Texts, numbers and JSON that was parsed before: writing them cannot fail.
        Self(pack(&serde_json::to_vec(event).unwrap_or_default(), DEFLATED_FROM))
    }

    /// The event.
    ///
    /// # Errors
    /// Where these bytes are none.
    pub fn read(&self) -> Result<Event, UnreadableEvent> {
        let plain = unpack(&self.0, MAX_EVENT_BYTES).ok_or(UnreadableEvent)?;
        serde_json::from_slice(&plain).map_err(|_| UnreadableEvent)
    }

    /// The stored bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use carteiro_networks::network::Network;
    use std::io::Write as _;

    use carteiro_networks::push;
    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use proptest::prelude::*;

    use super::*;
    use crate::tables::packed::{DEFLATED, PLAIN};

    fn raw_of(packed: &PackedEvent) -> String {
        packed.read().unwrap().raw.get().to_owned()
    }

    proptest! {
        #[test]
        fn any_body_of_a_push_survives_being_stored(body: Vec<u8>, times in 1..200_usize) {
            for update in push::split(Network::X, &body.repeat(times)) {
                prop_assert_eq!(raw_of(&PackedEvent::of(&update.event)), update.event.raw.get());
            }
        }
    }

    #[test]
    fn large_events_are_packed_and_small_ones_are_not() {
        let event = |text: &str| push::split(Network::X, text.as_bytes()).remove(0).event;
        let small = PackedEvent::of(&event(r#"{"a":1}"#));
        assert_eq!(small.bytes()[0], PLAIN);
        let large = PackedEvent::of(&event(&format!(r#"{{"a":"{}"}}"#, "b".repeat(MAX_PUSH_BYTES))));
        assert!(large.bytes()[0] == DEFLATED && large.bytes().len() < MAX_PUSH_BYTES / 50);
        assert_eq!(raw_of(&large).len(), MAX_PUSH_BYTES + 8);
    }

    #[test]
    fn other_bytes_are_no_event() {
        for bytes in [b"".as_slice(), b"\x00", b"\x00[]", b"\x01\xff\xff", b"\x02{}"] {
            assert_eq!(PackedEvent::from_stored(bytes.to_vec()).read().err(), Some(UnreadableEvent));
        }
    }

    #[test]
    fn what_inflates_without_end_is_not_inflated_to_its_end() {
        let mut encoder = DeflateEncoder::new(vec![DEFLATED], Compression::best());
        encoder.write_all(&vec![b' '; 64 * MAX_PUSH_BYTES]).unwrap();
        let bomb = encoder.finish().unwrap();
        assert!(PackedEvent::from_stored(bomb).read().is_err());
    }
}
