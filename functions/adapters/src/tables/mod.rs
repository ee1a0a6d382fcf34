//! DynamoDB: one file for each kind of row.
//!
//! # Where to begin
//! - **Configuration**: [`config`] has accounts, keys and webhooks, [`account_counts`] their limits, [`pages`],
//!   [`tokens`], [`sessions`], and [`test_slots`] for shares.
//! - **Delivery**: [`streak`] is the rule of blocking, `slow` the slow lane, [`attempts`] the log, [`idempotency`] the
//!   repeats of a bot.
//! - **Waiting items**: [`waiting`] has held and dead items, releases and replays; [`unhealthy`] lists what is wrong.
//! - **Collecting**: [`tick`] plans slots, [`inbox`] keeps entries, [`packed_event`] and `packed` their bytes, [`poll`]
//!   schedules, checkpoints and quotas, [`freshness`] the times.
//! - **People**: [`alerts`].
//! - **For all of these**: `row` and `rows` read and call, `expression`, `conditional` and `transaction` write,
//!   `unreadable` passes over a row that cannot be read.

pub mod account_counts;
pub mod alerts;
pub mod attempts;
mod conditional;
pub mod config;
mod expression;
pub mod freshness;
pub mod idempotency;
pub mod inbox;
mod packed;
pub mod packed_event;
pub mod pages;
pub mod poll;
mod row;
mod rows;
pub mod sessions;
mod slow;
pub mod streak;
pub mod test_slots;
pub mod tick;
pub mod tokens;
mod transaction;
pub mod unhealthy;
mod unreadable;
pub mod waiting;

/// Where the next page of a query begins.
#[derive(Clone, Debug)]
pub struct StartKey(pub(crate) row::Row);
