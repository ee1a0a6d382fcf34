//! Carteiro's rules, as functions over values.
//!
//! Nothing here does I/O, reads a clock or draws randomness: `now` and random words are arguments, so that every
//! decision can be tested exactly. No AWS crate, no async runtime and no HTTP crate is in its dependency tree; CI
//! checks that. The adapters do what these functions decide, and the handlers wire the two.
//!
//! # Where to begin
//! - **An item on its way**: [`item`], [`delivery`], [`webhook`]; [`admission`] decides whether it is attempted,
//!   [`disposition`] where it goes afterwards (by [`settlement`], where the schedule and the retention decide),
//!   [`retry`] when it is attempted again, [`lane`] and [`slow`] in which queue.
//! - **An attempt**: [`signature`] and [`credentials`] sign it, [`address`] and [`own_hosts`] say whom it may reach,
//!   [`response_head`] reads the answer, [`outcome`] and [`cause`] say what came of it, [`attempt_log`],
//!   [`attempt_order`], [`activity`] and [`item_state`] what its owner sees.
//! - **Blocking**: [`streak`] is the rule, [`transition`] the form of its conditional writes, [`situation`] and
//!   [`notice`] what is said of it, [`tally`] what is counted of the dead and the dropped.
//! - **Waiting items**: [`holding`] has the writes, [`release`] the steps, [`replay`] the replays, [`retention`] how
//!   long.
//! - **Shares and limits**: [`account_limit`], [`work_share`], [`test_share`], [`hop`]; [`slot`] for ticks.
//! - **What people are told**: [`message`] has the texts for a webhook's owner, [`alert`] the alerts.
//! - **What the operator sees**: [`metrics`].
//! - **The API's forms**: [`id`], [`key`], [`idempotency`], [`field`], [`problem`], [`json`], [`ndjson`], [`time`],
//!   [`cursor`]; [`mask`] and [`redacted_url`] for what may not be shown.
//! - **Entry to the console**: [`session`] has links, sessions and roles, [`browser`] cookies and who causes a request.

pub mod account_limit;
pub mod activity;
pub mod address;
pub mod admission;
pub mod alert;
pub mod attempt_log;
pub mod attempt_order;
pub mod browser;
pub mod cause;
pub mod credentials;
pub mod cursor;
pub mod delivery;
pub mod disposition;
pub mod field;
#[cfg(test)]
mod fixtures;
pub mod holding;
pub mod hop;
pub mod id;
pub mod idempotency;
pub mod item;
pub mod item_state;
pub mod json;
pub mod key;
pub mod lane;
pub mod mask;
pub mod message;
pub mod metrics;
mod named;
pub mod ndjson;
pub mod notice;
pub mod outcome;
pub mod own_hosts;
pub mod problem;
pub mod redacted_url;
pub mod release;
pub mod replay;
pub mod response_head;
pub mod retention;
pub mod retry;
pub mod session;
pub mod settlement;
pub mod signature;
pub mod situation;
pub mod slot;
pub mod slow;
pub mod streak;
pub mod tally;
pub mod test_share;
pub mod time;
pub mod transition;
pub mod webhook;
pub mod work_share;
