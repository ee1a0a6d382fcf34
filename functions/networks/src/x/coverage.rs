//! What comes of X's users.

use crate::collected::Kind;
use crate::coverage::ByAsking::{Asked, NotAsked, NotOffered};
use crate::coverage::ByPush::Whole;
use crate::coverage::{Coverage, ON_AND_OFF, ONCE, row};

pub(super) fn coverage(kind: Kind) -> Option<Coverage> {
    match kind {
        Kind::Post => row(
            (
                Whole(ON_AND_OFF),
                "what is deleted is named by its id, and is a `post` whatever it was; protected accounts' are not sent",
            ),
            (Asked, "deletions are not answered"),
        ),
        Kind::Comment => row((Whole(ONCE), "in broadcasts; answers to posts are replies"), (NotOffered, "")),
        Kind::Reply => row(
            (Whole(ONCE), "direct answers; others' further down a conversation are not sent"),
            (Asked, "those that name the page, and the page's own"),
        ),
        Kind::Mention => row((Whole(ONCE), "where the text names the page"), (Asked, "")),
        Kind::Reaction => row(
            (Whole(ONCE), "likes; that one was taken back is not sent"),
            (NotAsked, "an answer has no id of a like, and no time"),
        ),
        Kind::DirectMessage => row(
            (Whole(ONCE), "in either direction; encrypted ones without their text"),
            (Asked, "15 requests in 15 minutes"),
        ),
        Kind::Share => row(
            (Whole(ONCE), "reposts and quotes"),
            (Asked, "the page's own; others' that do not name it are in no list of its posts"),
        ),
        Kind::Follow => row(
            (
                Whole(ON_AND_OFF),
                "twice while both [generations](collecting.md#xs-two-generations-of-pushes) are subscribed",
            ),
            (NotAsked, "an answer has no time to tell a repetition by"),
        ),
        Kind::Review | Kind::StoryInsight => None,
        Kind::Other => row(
            (Whole(ON_AND_OFF), "blocks, mutes, typing, reading, revoked access, and what nobody foresaw"),
            (NotOffered, ""),
        ),
    }
}
