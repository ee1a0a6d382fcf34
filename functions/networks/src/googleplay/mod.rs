//! Google Play: the reviews of an app.

pub mod collect;
pub(crate) mod normalise;
