//! A model check of the rule of blocking: every interleaving of a few functions, within stated bounds.
//!
//! What is explored, and what must hold in every world that can be reached, is in [`world`]. [`checks`] says which
//! bounds, and [`faults`] breaks the protocol to see that each property notices.

#[cfg(test)]
mod checks;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod world;
