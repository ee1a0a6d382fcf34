//! The stand-ins, called as a program would call the networks.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what fails, fails the test")]

mod faults;
mod googleplay;
mod late;
mod linkedin;
mod meta;
mod support;
mod x;
mod youtube;
