//! What the social networks push and answer, their limits and their tokens, as functions over values.
//!
//! Nothing here does I/O, reads a clock or draws randomness: `now` and random words are arguments. No AWS crate, no
//! async runtime and no HTTP crate is in the dependency tree; CI checks that. The rules of delivery, in
//! `carteiro-core`, know nothing of networks.
//!
//! # Where to begin
//! - **A network**: [`spec`] is what one declares, in its folder: [`facebook`], [`instagram`], [`linkedin`], [`x`],
//!   [`youtube`], [`googleplay`]; [`meta`] and [`google`] are what several share. `registry` names all of them.
//! - **A push on its way**: [`push`] splits it into updates, [`normalise`] reads them, [`versions`] knows repeats,
//!   [`inbox`] keeps entries, [`dispatch`] sends their items to webhooks, in the form of [`collected`].
//! - **A poll**: [`poll`] has requests, answers, limits and turns; [`token_state`] says what an answer tells of a
//!   token.
//! - **A page**: [`page`] and its [`network`], [`signal`] and [`page_notice`] for its token, [`freshness`] and
//!   [`silence`] for how fast its things come, [`storage_limit`] for how long they may be kept.
//! - **What comes of it all**: [`coverage`].

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
