//! Carteiro's access to the world, by what it reaches: tables, queues, HTTP and the runtime.
//!
//! Each module is one capability and decides nothing that the rules can decide. The conditional writes of streaks, held
//! items, releases and sessions are values of the core; every other one is built in the module of its table. Each
//! clause is named and explained where it is written.

pub mod error;
pub mod http;
pub mod queues;
pub mod runtime;
pub mod tables;
pub mod wiring;
