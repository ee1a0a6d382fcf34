//! LinkedIn: a company's page.

pub mod collect;
pub(crate) mod normalise;
