//! What a note says: its thing is `comment:<id>`, its version its text.

use crate::collected::{Action, Author, Kind};
use crate::inbox::{Event, Reading, Version};
use crate::network::NetworkId;
use crate::normalise::{reading_of, value};
use crate::versions::State;

pub(super) fn read(event: &Event, _: &NetworkId) -> Option<Reading> {
    let note = value::parse(&event.raw);
    let (id, text) = (value::id(&note, "id")?, value::text(&note, "text"));
    let version = Version::of_content(text.as_deref(), []);
    let mut reading = reading_of(format!("comment:{id}"), version, Kind::Comment, Action::Created);
    let name = value::text(&note, "by");
    reading.content.author = name.map(|name| Author { name: Some(name), ..Author::default() });
    reading.content.occurred_at = value::time(&note, "at");
    reading.content.text = text;
    reading.state = Some(State::default());
    Some(reading)
}
