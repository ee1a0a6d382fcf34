//! What Facebook, Instagram and Meta's other products share: the form of pushes, the Graph API, and tokens.
//!
//! # Things and versions of Meta's
//! A poll that is to meet what a push brought keys it the same way; what Meta's API answers is put into the push's form
//! and read as that ([`MetaObject`](crate::inbox::Shape::MetaObject)). Each line names the thing, then the version of
//! what was created or edited:
//!
//! - a post of Facebook's, a media of Instagram's: `post:<id>`; text, and the id of the photo or video that it is (not
//!   of albums, links or shares, which pushes do not give)
//! - a comment or an answer: `comment:<id>`; text
//! - a review: `review:<open graph story>`; text, `rating:<number>` and `recommendation:<word>`
//! - a mention: `mention:<id of the comment, post or media>`; Facebook: text; Instagram: the word `mentioned`
//! - a direct message: `message:<mid>`; text
//! - a reaction: `reaction:<on what>:<by whom>`; never polled
//!
//! What is gone for good has the version [`deleted`](crate::normalise::deleted). What can happen again is never polled,
//! and has these versions:
//!
//! - hiding, showing again, trashing, reactions, follows, permissions, with a time of their own: what was done, and
//!   that time
//! - the same without one: what was done, all that was said of it, and the hour of the push
//! - a change of which no value is given: the change, and the hour of the push
//! - what no rule knows, with a value: its value
//!
//! The hour of the push is the envelope's time, in UTC, without its minutes. A network that repeats an update may put
//! it into another batch with another time: a little later it is the same entry still, and what happens again hours
//! later is another one. What is repeated after the hour's end is told twice, which is better than never being told
//! what happened a second time. In no other key is anything of the envelope's time; one without a time adds nothing.

pub mod collect;
pub(crate) mod fields;
mod messaging;
pub(crate) mod normalise;
mod objects;
pub mod proof;
mod push;
#[cfg(test)]
mod pushes_tests;
pub mod signature;
pub mod token;
mod whatsapp;

use crate::spec::{PushSpec, Unsigned};

/// How Meta's pushes are checked and split, whichever network they are of.
pub(crate) static PUSH: PushSpec = PushSpec {
    secrets: "META_APP_SECRETS",
    signature_header: signature::HEADER,
    is_genuine: signature::is_genuine,
    unsigned: Unsigned::Refused,
    page_parameter: None,
    challenge_secrets: "META_VERIFY_TOKEN",
    challenge: signature::challenge,
    split: push::split,
    subscription: None,
};
