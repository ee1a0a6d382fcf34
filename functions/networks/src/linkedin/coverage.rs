//! Which kinds of items LinkedIn's pages give, and how.

use crate::collected::Kind;
use crate::coverage::ByAsking::{Asked, NotAsked, NotOffered};
use crate::coverage::ByPush::{NotSent, NotTaken};
use crate::coverage::{Coverage, row};

pub(super) fn coverage(kind: Kind) -> Option<Coverage> {
    match kind {
        Kind::Post => row((NotSent, ""), (Asked, "")),
        Kind::Comment | Kind::Reply | Kind::Mention | Kind::Share => row(
            (NotTaken, "LinkedIn sends those of public posts"),
            (
                Asked,
                "those that LinkedIn notifies of, and those on the last 20 posts; to be kept 48 hours at most",
            ),
        ),
        Kind::Reaction => row(
            (NotTaken, "LinkedIn sends likes of public posts, without their author"),
            (NotAsked, "a like names nobody there"),
        ),
        Kind::Follow => row((NotSent, ""), (NotOffered, "followers are a number")),
        Kind::DirectMessage | Kind::Review | Kind::StoryInsight | Kind::Other => None,
    }
}
