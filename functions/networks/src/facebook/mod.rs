//! Facebook Pages. What they share with Instagram is in [`meta`](crate::meta).

pub mod collect;
pub(crate) mod normalise;
