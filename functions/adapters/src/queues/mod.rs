//! SQS: one file for each queue.

pub mod deliver;
pub mod poll;
pub mod work;
