//! Carteiro's access to the world, by what it reaches: tables, queues, HTTP and the runtime.
//!
//! Each module is one capability and decides nothing that the rules can decide. Every conditional write is built in the
//! module of its table, where each clause is named and explained.

pub mod error;
pub mod http;
pub mod queues;
pub mod runtime;
pub mod tables;
pub mod wiring;
