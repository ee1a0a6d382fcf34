//! Instagram's professional accounts. What they share with Facebook is in [`meta`](crate::meta).

pub mod collect;
pub(crate) mod normalise;

pub use collect::Login;
