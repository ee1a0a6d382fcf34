//! Asking networks: what is asked of a page's network, and what is read of its answers.
//!
//! Nothing here calls anything. A [`Collector`] says what to ask next ([`NetworkRequest`]), is told what came
//! ([`NetworkResponse`]), and answers what was found in it ([`ParsedResponse`]), as events of the [inbox](crate::inbox)
//! in forms that the [normaliser](crate::normalise) keys as it keys pushes. Who drives it makes the call with the
//! page's token, stores the events, and says how many of them were new ([`Stored`]): where a network knows no *since*,
//! a run goes back until everything in an answer is known.
//!
//! # What is guaranteed
//! A [checkpoint](Collector::checkpoint) names only what was said to be stored. A run that begins from it asks again
//! for all that came after; so a crash, a limit or a lost answer repeats calls, and skips nothing. Runs are bounded by
//! who drives them (calls, time); what is left is in the checkpoint, and the next tick goes on there.
//!
//! No token is in an [`NetworkRequest`], a checkpoint or an event. What a network puts one into (Meta's `paging.next`)
//! is never followed nor kept: cursors are. What was heard is freed of the tokens that were asked with
//! ([`ParsedResponse::without`]).

pub(crate) mod body;
pub mod budget;
pub mod fair;
mod masked;
pub(crate) mod memory;
pub mod plan;
pub mod refresh;
mod request;
mod response;
pub(crate) mod scope;
pub mod settings;
#[cfg(test)]
mod simulated_days;
#[cfg(test)]
pub(crate) mod test_support;
pub(crate) mod walk;

pub use request::{Auth, Endpoint, Method, NetworkRequest};
pub use response::{CooldownScope, NetworkResponse, TokenInspection, TokenTrouble, Verdict};
pub use scope::{REACH, Scope};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::inbox::Event;
use crate::page::AccessToken;
use settings::ApiSettings;

/// The longest checkpoint, in bytes of JSON.
pub const MAX_CHECKPOINT_BYTES: usize = 32 * 1024;

/// What came of an answer.
#[derive(Debug)]
pub struct ParsedResponse {
    /// What was found, to be stored in this order, whatever the verdict: a good answer may say too that a limit is
    /// near. Each is stored, or all of the answer is asked for again.
    pub events: Vec<Event>,
    /// What the answer says of the token, the limits and the object.
    pub verdict: Verdict,
}

/// How many of the last answer's events were not in the inbox, and how many were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Not there before.
    pub new: usize,
    /// There already, or handed on in the last 60 days.
    pub known: usize,
}

/// The collection of one page in one tick.
pub trait Collector: Send {
    /// The next request; None where this tick has asked for everything.
    fn next(&self) -> Option<NetworkRequest>;

    /// Reads the response to the last [`NetworkRequest`]. Whatever it is, the collection goes on without it where it
    /// can: an object that is gone, or a response that cannot be read, is passed over.
    fn on_response(&mut self, answer: &NetworkResponse<'_>, now: Timestamp) -> ParsedResponse;

    /// Says that the events of the last [`ParsedResponse`] are stored, also where there were none. Only now do they
    /// count as seen; without it the same is asked again.
    fn on_stored(&mut self, stored: Stored);

    /// What the next collection begins with: JSON of at most [`MAX_CHECKPOINT_BYTES`].
    fn checkpoint(&self) -> String;
}

/// What a collection begins with.
#[derive(Debug)]
pub struct Start<'a> {
    /// Whose collection it is.
    pub scope: Scope,
    /// What calls carry.
    pub access_token: &'a AccessToken,
    /// How the API is called.
    pub api: &'a ApiSettings,
    /// What sweeps through what is older may take a day, in thousandths of a unit.
    pub sweeps: u64,
    /// What the last collection left, in this version's form or an older one's.
    pub checkpoint: Option<&'a str>,
}

/// A collection that begins.
pub struct Begun {
    /// The collection.
    pub collector: Box<dyn Collector>,
    /// Whether the checkpoint could not be read, so that everything is asked for again. The inbox knows what it has.
    pub lost_checkpoint: bool,
}

impl Begun {
    /// Begins a collection from a checkpoint.
    pub(crate) fn from<C, R>(checkpoint: Option<&str>, build: impl FnOnce(C) -> R) -> Self
    where
        C: DeserializeOwned + Default,
        R: Collector + 'static,
    {
        let kept = checkpoint.map(serde_json::from_str).transpose();
        let lost_checkpoint = kept.is_err();
        let kept = kept.ok().flatten().unwrap_or_default();
        Self { collector: Box::new(build(kept)), lost_checkpoint }
    }
}

/// A checkpoint as JSON.
pub(crate) fn checkpoint_json(kept: &impl Serialize) -> String {
    serde_json::to_string(kept).unwrap_or_default()
}
