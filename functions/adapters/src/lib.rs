//! What Carteiro's functions do to the world: tables, queues, HTTP, time and randomness.
//!
//! Each module is one capability, small, and decides nothing that the core can decide. Every conditional write is
//! built in the module of its table, each clause named and explained there.

pub mod account_counts;
pub mod attempt_table;
pub mod authentication;
pub mod aws;
pub mod clock;
mod conditional;
pub mod config_pages;
pub mod config_table;
pub mod dead_table;
pub mod deliver_queue;
pub mod error;
mod expression;
pub mod function;
pub mod hand_on;
pub mod held_item;
pub mod held_table;
pub mod http_api;
pub mod idempotency_table;
pub mod inbox_table;
pub mod log;
mod merged_rows;
pub mod network_client;
pub mod packed_event;
pub mod page_telling;
pub mod poll_queue;
pub mod poll_table;
pub mod random;
pub mod release_look;
pub mod release_row;
pub mod replay_row;
mod row;
pub mod sender;
pub mod service_account_token;
pub mod settings;
mod slow_row;
pub mod streak_table;
pub mod telling;
pub mod test_places;
pub mod tick_table;
mod tls_roots;
pub mod token_table;
mod unreadable;
pub mod unreadable_waiting;
pub mod wiring;
pub mod work_queue;
pub mod work_share;
