//! YouTube: a channel's videos, and the comments on them.

pub mod collect;
pub(crate) mod normalise;
