//! Which kinds of items LinkedIn's pages give, and how.

use crate::collected::Kind;
use crate::coverage::ByAsking::{Asked, NotAsked, NotOffered};
use crate::coverage::ByPush::{AsIds, NotSent, Whole};
use crate::coverage::{Coverage, EDITABLE, ONCE, row};

/// What is asked for of what others write.
const ASKED: &str =
    "those that LinkedIn notifies of, and those on the last 20 posts; to be kept 48 hours at most";

pub(super) fn coverage(kind: Kind) -> Option<Coverage> {
    match kind {
        Kind::Post => row((NotSent, ""), (Asked, "")),
        Kind::Comment => row(
            (
                AsIds(EDITABLE),
                "where the collector [subscribes](collecting.md#subscriptions), on public posts; answers to comments \
                 too; those that come without their text are completed",
            ),
            (Asked, ASKED),
        ),
        Kind::Reply => row((NotSent, "pushed as comments"), (Asked, ASKED)),
        Kind::Mention | Kind::Share => row((Whole(ONCE), "likewise, of public posts"), (Asked, ASKED)),
        Kind::Reaction => row(
            (Whole(ONCE), "likewise, likes of public posts, without their author"),
            (NotAsked, "a like names nobody there"),
        ),
        Kind::Follow => row((NotSent, ""), (NotOffered, "followers are a number")),
        Kind::DirectMessage | Kind::Review | Kind::StoryInsight | Kind::Other => None,
    }
}
