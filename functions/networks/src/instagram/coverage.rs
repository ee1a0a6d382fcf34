//! What comes of Instagram's accounts.

use crate::collected::Kind;
use crate::coverage::ByAsking::{Asked, NotAsked, NotOffered};
use crate::coverage::ByPush::{AsIds, NotSent, Whole};
use crate::coverage::{Coverage, EDITABLE, ON_AND_OFF, ONCE, row};

pub(super) fn coverage(kind: Kind) -> Option<Coverage> {
    match kind {
        Kind::Post => row(
            (NotSent, "neither the account's own nor advertisements' (dark posts)"),
            (
                Asked,
                "dark posts where the page names an ad account, of 30 days; not advertisements' copies of publications",
            ),
        ),
        Kind::Comment => row(
            (
                Whole(ONCE),
                "edits and deletions are not sent; one on an advertisement has the post that is advertised as its \
                 parent, where Instagram names it",
            ),
            (Asked, "on advertisements where the page names an ad account; not with Instagram's own login"),
        ),
        Kind::Reply => row((Whole(ONCE), "likewise"), (Asked, "likewise")),
        Kind::Mention => row(
            (
                AsIds(ONCE),
                "those in comments and captions come as ids and are [completed](collecting.md#polling); \
                 those in stories come whole, as messages",
            ),
            (Asked, "tags on photos alone: of other mentions there is no list"),
        ),
        Kind::Reaction => row(
            (Whole(ON_AND_OFF), "to messages; likes of posts and comments are not sent"),
            (NotOffered, "likes are a number"),
        ),
        Kind::DirectMessage => row((Whole(EDITABLE), "in either direction"), (Asked, "")),
        Kind::StoryInsight => row(
            (
                Whole(ONCE),
                "about an hour after the story's end, for accounts connected through Facebook; numbers below 5 are −1",
            ),
            (NotAsked, "the numbers change until the end"),
        ),
        Kind::Follow => row((NotSent, ""), (NotOffered, "followers are a number")),
        Kind::Review | Kind::Share => None,
        Kind::Other => {
            row((Whole(ON_AND_OFF), "seen messages, permissions, and what nobody foresaw"), (NotOffered, ""))
        }
    }
}
