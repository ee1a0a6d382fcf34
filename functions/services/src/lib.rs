//! What several functions share that decides and acts: it reads tables, asks the rules, and writes or queues.
//!
//! Services use adapters; adapters know nothing of services.

pub mod authentication;
pub mod dispatch;
pub mod notify;
pub mod page_tokens;
