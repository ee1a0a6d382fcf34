//! A short memory of things and their versions.
//!
//! It saves calls and tells a first sight from a change; what it forgot is seen again, and the inbox knows it. No event
//! is left out of a collection because of it: that something was seen does not say that it was told.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::inbox::{EntryKey, Version};

/// How many hexadecimal digits of a thing's digest are kept, and of a version's.
const THING: usize = 12;
const VERSION: usize = 8;

/// The memory, the latest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Remembered(VecDeque<String>);

/// What the memory has of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Nothing.
    First,
    /// The same version.
    Same,
    /// Another version.
    Changed,
}

fn short(key: &EntryKey) -> String {
    let (thing, version) = key.thing_and_version();
    format!("{}{}", thing.get(..THING).unwrap_or(thing), version.get(..VERSION).unwrap_or(version))
}

/// The key of a number of something: of answers, say.
pub(crate) fn number_key(what: &str, number: i64) -> EntryKey {
    EntryKey::new(what, &Version::of_action([number.to_string().as_str()]))
}

impl Remembered {
    /// What is known of a key.
    pub(crate) fn recall(&self, key: &EntryKey) -> Memory {
        let short = short(key);
        let thing = short.get(..THING).unwrap_or_default();
        match self.0.iter().find(|kept| kept.starts_with(thing)) {
            Some(kept) if *kept == short => Memory::Same,
            Some(_) => Memory::Changed,
            None => Memory::First,
        }
    }

    /// Keeps the last version of a thing, and of all things the `most` that were seen last.
    pub(crate) fn note(&mut self, key: &EntryKey, most: usize) {
        let short = short(key);
        let thing = short.get(..THING).unwrap_or_default();
        self.0.retain(|kept| !kept.starts_with(thing));
        self.0.push_back(short);
        while self.0.len() > most {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_remembered_until_others_took_its_place() {
        let mut seen = Remembered::default();
        let key = |thing: &str, number| number_key(thing, number);
        assert_eq!(seen.recall(&key("a", 1)), Memory::First);
        seen.note(&key("a", 1), 2);
        assert_eq!(seen.recall(&key("a", 1)), Memory::Same);
        assert_eq!(seen.recall(&key("a", 2)), Memory::Changed);
        seen.note(&key("a", 2), 2);
        assert_eq!(seen.recall(&key("a", 1)), Memory::Changed);
        seen.note(&key("b", 1), 2);
        seen.note(&key("a", 2), 2);
        seen.note(&key("c", 1), 2);
        assert_eq!([seen.recall(&key("a", 2)), seen.recall(&key("b", 1))], [Memory::Same, Memory::First]);
    }
}
