//! What the social networks push and answer, their limits and their tokens, as functions over values.
//!
//! Nothing here does I/O, reads a clock or draws randomness: `now` and random words are arguments. No AWS crate, no
//! async runtime and no HTTP crate is in the dependency tree; CI checks that. The rules of delivery, in
//! `carteiro-core`, know nothing of networks.

pub mod collected;
pub mod coverage;
pub mod dispatch;
pub mod facebook;
pub mod freshness;
pub mod google;
pub mod googleplay;
pub mod inbox;
pub mod instagram;
pub mod linkedin;
pub mod meta;
pub mod network;
pub mod normalise;
pub mod page;
pub mod page_notice;
pub mod poll;
pub mod push;
mod registry;
#[cfg(test)]
mod seventh;
pub mod signal;
pub mod silence;
pub mod spec;
pub mod storage_limit;
pub mod token_state;
pub mod versions;
pub mod x;
pub mod youtube;
