//! DynamoDB: one file for each kind of row.

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
