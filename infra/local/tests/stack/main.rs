//! The local stack as its users see it: a real function behind every front.

#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod data;
mod event_sources;
mod functions;
mod http_api;
mod invoke_api;
mod schedules;
mod support;
mod templates;
