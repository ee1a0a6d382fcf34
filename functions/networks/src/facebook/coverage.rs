//! What comes of Facebook Pages.

use crate::collected::Kind;
use crate::coverage::ByAsking::{Asked, NotAsked, NotOffered};
use crate::coverage::ByPush::{NotSent, Whole};
use crate::coverage::{ALL, Coverage, EDITABLE, ON_AND_OFF, ONCE, row};

pub(super) fn coverage(kind: Kind) -> Option<Coverage> {
    match kind {
        Kind::Post => row(
            (Whole(ALL), "the page's own, and visitors' on the page; not advertisements' (dark posts)"),
            (
                Asked,
                "about 600 posts a year are within reach; dark posts where the page names an ad account, of 30 days",
            ),
        ),
        Kind::Comment | Kind::Reply => row(
            (Whole(ALL), "on advertisements too"),
            (
                Asked,
                "on advertisements where the page names an ad account; under others' posts that mention the page, for a week",
            ),
        ),
        Kind::Mention => row((Whole(ONCE), "in posts and comments; often without an author"), (Asked, "")),
        Kind::Reaction => row(
            (Whole(EDITABLE), "to posts, comments, reviews and messages; those to messages are not edited"),
            (NotAsked, "an answer has no time to tell a repetition by"),
        ),
        Kind::DirectMessage => row((Whole(EDITABLE), "in either direction"), (Asked, "")),
        Kind::Review => {
            row((Whole(EDITABLE), "newer ones say whether they recommend, mostly without stars"), (Asked, ""))
        }
        Kind::Share => row((Whole(ALL), "on the page; not of its posts elsewhere"), (Asked, "as posts")),
        Kind::Follow => row(
            (
                NotSent,
                "the documentation names a verb `follow`, and no push with it is known; one would be read",
            ),
            (NotOffered, ""),
        ),
        Kind::StoryInsight => None,
        Kind::Other => row(
            (Whole(ON_AND_OFF), "read and delivered messages, forms, permissions, and what nobody foresaw"),
            (NotOffered, ""),
        ),
    }
}
