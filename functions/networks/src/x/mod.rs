//! X: a user's posts, mentions and messages.

pub mod collect;
pub(crate) mod normalise;
pub(crate) mod push;
