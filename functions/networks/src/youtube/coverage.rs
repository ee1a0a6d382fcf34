//! What comes of YouTube's channels.

use crate::collected::Kind;
use crate::coverage::ByAsking::{Asked, NotAsked, NotOffered};
use crate::coverage::ByPush::{AsIds, NotSent};
use crate::coverage::{Coverage, ON_AND_OFF, row};

pub(super) fn coverage(kind: Kind) -> Option<Coverage> {
    match kind {
        Kind::Post => row(
            (
                AsIds(ON_AND_OFF),
                "where the collector [subscribes](collecting.md#subscriptions); new and changed videos come with their \
                 titles alone, and are completed; deleted ones, and ones made private, come whole",
            ),
            (Asked, "public videos"),
        ),
        Kind::Comment | Kind::Reply => row(
            (NotSent, ""),
            (
                Asked,
                "edits and answers within hours where they are on older threads, and on those of 30 days at most",
            ),
        ),
        Kind::Reaction => row((NotSent, ""), (NotOffered, "likes are a number")),
        Kind::Follow => row((NotSent, ""), (NotAsked, "")),
        Kind::Mention
        | Kind::DirectMessage
        | Kind::Review
        | Kind::Share
        | Kind::StoryInsight
        | Kind::Other => None,
    }
}
