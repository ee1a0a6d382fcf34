//! Shared parts of the functions that decide and act: they read tables, ask the rules, and write or queue.
//!
//! Services use adapters; adapters know nothing of services.

pub mod alerts;
pub mod authentication;
pub mod dispatch;
pub mod freshness;
pub mod notify;
pub mod page_tokens;
