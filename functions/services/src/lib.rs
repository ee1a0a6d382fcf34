//! Shared parts of the functions that decide and act: they read tables, ask the rules, and write or queue.
//!
//! Services use adapters; adapters know nothing of services. [`authentication`] finds who asks; [`dispatch`] sends an
//! item to the webhooks that take it; [`notify`] queues notices to an account's other webhooks, and [`alerts`] alerts
//! to people; [`page_tokens`] records what a network says of a token; [`freshness`] counts how fast a page's things
//! come.

pub mod alerts;
pub mod authentication;
pub mod dispatch;
pub mod freshness;
pub mod notify;
pub mod page_tokens;
