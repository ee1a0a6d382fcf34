//! What comes of Google Play's apps.

use crate::collected::Kind;
use crate::coverage::ByAsking::Asked;
use crate::coverage::ByPush::NotSent;
use crate::coverage::{Coverage, row};

pub(super) fn coverage(kind: Kind) -> Option<Coverage> {
    match kind {
        Kind::Review => row(
            (NotSent, "Play's notifications are of purchases alone"),
            (Asked, "with a text, made or changed in the last 7 days"),
        ),
        Kind::Reply => row((NotSent, ""), (Asked, "the developer's, with its review")),
        Kind::Post
        | Kind::Comment
        | Kind::Mention
        | Kind::Reaction
        | Kind::DirectMessage
        | Kind::Share
        | Kind::Follow
        | Kind::StoryInsight
        | Kind::Other => None,
    }
}
