//! SQS: one file for each queue.

pub mod deliver;
pub mod poll;
mod send;
pub mod work;
