//! The posts and comments whose comments are still to be listed, with the notifications that wait for that.
//!
//! A notification of a comment without its text waits here until the comment is listed. One that finds no room, or
//! whose post is given up or listed without it, is stored itself: the ids arrive, and nothing is left out silently.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Checkpoint, MAX_TRIES, MAX_URN_BYTES};
use crate::inbox::Event;
use crate::linkedin::normalise::spelled_out;

/// The most things whose comments wait to be listed.
const MAX_WAITING: usize = 100;
/// The most notifications that wait with them, and the longest, in bytes.
const MAX_TOLD: usize = 16;
const MAX_TOLD_BYTES: usize = 320;

/// A post or a comment whose comments are to be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Waiting {
    pub(super) urn: String,
    pub(super) offset: u32,
    /// For a comment: how many replies the list said that it has.
    pub(super) answers: Option<i64>,
    pub(super) tries: u8,
    /// Whether its list is read again from the beginning, because a notification came while it was being read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) again: bool,
    /// The notifications without texts that are to be found in the list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) told: Vec<Value>,
}

/// A notification of a comment without its text.
#[derive(Debug)]
pub(super) struct Prompt {
    /// The post.
    pub(super) urn: String,
    /// The members of the notification that are kept.
    pub(super) told: Value,
    /// The whole notification, as an event.
    pub(super) event: Event,
}

/// The URN of the comment that a notification is about.
pub(super) fn comment_of(told: &Value) -> Option<String> {
    told["generatedActivity"].as_str().map(spelled_out)
}

impl Waiting {
    pub(super) fn of(urn: String) -> Self {
        Self { urn, ..Self::default() }
    }

    /// The comments that are looked for.
    pub(super) fn looked_for(&self) -> BTreeSet<String> {
        self.told.iter().filter_map(comment_of).collect()
    }

    /// Notes a failed try to list it. Returns whether to try again.
    pub(super) fn failed(&mut self, counts: bool) -> bool {
        self.tries = self.tries.saturating_add(u8::from(counts));
        self.tries <= MAX_TRIES
    }
}

impl Checkpoint {
    /// Of notifications without texts, those that may wait, and the events of those that find no room. What has none
    /// here has its post listed all the same, where that has.
    pub(super) fn room_for(&self, prompts: Vec<Prompt>) -> (Vec<(String, Option<Value>)>, Vec<Event>) {
        let mut urns: BTreeSet<String> = self.waiting.iter().map(|one| one.urn.clone()).collect();
        let mut told: usize = self.waiting.iter().map(|one| one.told.len()).sum();
        let (mut waits, mut events) = (Vec::new(), Vec::new());
        for prompt in prompts {
            let is_listed =
                prompt.urn.len() <= MAX_URN_BYTES && (urns.contains(&prompt.urn) || urns.len() < MAX_WAITING);
            let fits = prompt.told.to_string().len() <= MAX_TOLD_BYTES && told < MAX_TOLD;
            let is_kept = is_listed && fits && comment_of(&prompt.told).is_some();
            if is_kept {
                told += 1;
            } else {
                events.push(prompt.event);
            }
            if is_listed {
                urns.insert(prompt.urn.clone());
                waits.push((prompt.urn, is_kept.then_some(prompt.told)));
            }
        }
        (waits, events)
    }

    /// What [has room](Self::room_for) waits. What is new of a thing may stand before where its list goes on.
    pub(super) fn wait_for_told(&mut self, urn: String, told: Option<Value>) {
        let at = self.waiting.iter().position(|one| one.urn == urn).unwrap_or_else(|| {
            self.waiting.push_back(Waiting::of(urn));
            self.waiting.len() - 1
        });
        if let Some(waiting) = self.waiting.get_mut(at) {
            waiting.again |= waiting.offset > 0;
            waiting.told.extend(told.filter(|told| !waiting.told.contains(told)));
        }
    }

    pub(super) fn wait_for(&mut self, waiting: Waiting) {
        let has_room = self.waiting.len() < MAX_WAITING && waiting.urn.len() <= MAX_URN_BYTES;
        match self.waiting.iter_mut().find(|other| other.urn == waiting.urn) {
            Some(other) if waiting.answers.is_some() && other.answers != waiting.answers => {
                (other.answers, other.again) = (waiting.answers, other.again || other.offset > 0);
            }
            None if has_room => self.waiting.push_back(waiting),
            // What has no room is found again when the comments of its post are listed the next time.
            Some(_) | None => {}
        }
    }

    /// Removes the notifications of comments that were deleted.
    pub(super) fn forget_deleted(&mut self, comments: &[String]) {
        let is_there = |told: &Value| comment_of(told).is_none_or(|urn| !comments.contains(&urn));
        self.waiting.iter_mut().for_each(|one| one.told.retain(is_there));
    }
}
