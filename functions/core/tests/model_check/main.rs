//! Model checks: every interleaving of a few functions, within stated bounds.
//!
//! **The rule of blocking**: what is explored, and what must hold in every world that can be reached, is in [`world`].
//! [`checks`] says which bounds, and [`faults`] breaks the protocol to see that each property notices.
//!
//! **Holding and releasing**: the same in [`holding`], [`holding_checks`] and [`holding_faults`].

#[cfg(test)]
mod checks;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod holding;
#[cfg(test)]
mod holding_checks;
#[cfg(test)]
mod holding_faults;
#[cfg(test)]
mod world;
