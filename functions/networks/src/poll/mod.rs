//! Polling networks: the requests, what their responses say, and how both stay within the networks' limits.
//!
//! Nothing here calls anything. A [`Collector`] gives the next [`NetworkRequest`], takes its [`NetworkResponse`], and
//! returns a [`ParsedResponse`]: events of the [inbox](crate::inbox), in forms that the [normaliser](crate::normalise)
//! keys as it keys pushes. Its caller makes the call with the page's token, stores the events, and reports how many of
//! them were new ([`Stored`]).
//!
//! # What is guaranteed
//! A [checkpoint](Collector::checkpoint) names only what is stored. A collection that begins from it asks again for
//! everything after it; so a crash, a limit or a lost response repeats calls, and skips nothing. The caller bounds
//! calls and time; what is left is in the checkpoint, and the next tick resumes there.
//!
//! No token is in a [`NetworkRequest`], a checkpoint or an event. A link with a token in it (Meta's `paging.next`) is
//! never followed nor kept: cursors are. The tokens of the call are removed from a response
//! ([`ParsedResponse::without`]).

pub(crate) mod body;
pub mod budget;
pub mod fair;
mod masked;
pub(crate) mod memory;
pub mod operator_fault;
pub mod page_poll;
pub mod plan;
pub mod proof;
pub mod refresh;
mod request;
mod response;
pub(crate) mod scope;
pub mod settings;
#[cfg(test)]
mod simulated_days_tests;
#[cfg(test)]
pub(crate) mod test_support;
pub(crate) mod walk;

pub use operator_fault::OperatorFault;
pub use request::{Auth, Endpoint, Method, NetworkRequest};
pub use response::{CooldownScope, NetworkResponse, TokenInspection, TokenTrouble, Verdict};
pub use scope::{REACH, Scope};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::inbox::Event;
use crate::page::{AccessToken, Login};
use settings::ApiSettings;

/// The longest checkpoint, in bytes of JSON.
pub const MAX_CHECKPOINT_BYTES: usize = 32 * 1024;

/// What a response says.
#[derive(Debug)]
pub struct ParsedResponse {
    /// The events, to be stored in this order whatever the verdict: a good response may say too that a limit is near.
    /// Each is stored, or all of the response is asked for again.
    pub events: Vec<Event>,
    /// What the response says of the token, the limits and the object.
    pub verdict: Verdict,
}

/// How many of the last response's events were new to the inbox, and how many were known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Events that were not in the inbox.
    pub new: usize,
    /// Events that were in the inbox, or dispatched in the last 60 days.
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
    /// How the page was connected, where its owner said so and the network has several ways.
    pub login: Option<Login>,
    /// The ad account that the page names, `act_` with digits.
    pub ad_account: Option<&'a str>,
    /// How the API is called.
    pub api: &'a ApiSettings,
    /// Whether the network pushes what happens on the page: a subscription is in force.
    pub is_pushed: bool,
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
