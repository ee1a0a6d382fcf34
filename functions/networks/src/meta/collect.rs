//! What asking Facebook Pages and Instagram has in common: one Graph API, its cursors, its errors, its limits.
//!
//! A [`Collection`] is a [`Collector`](crate::poll::Collector) over the edges of a page that a plan names
//! ([`facebook`](crate::facebook), [`instagram`](crate::instagram)). It walks each edge from the newest to what is
//! known:
//!
//! - What is known is a time: all that was there when the last finished walk began. A walk goes down to that, less an
//!   overlap in which edits and what shows late are found. Nothing is taken for known because it is in the inbox:
//!   pushes may have brought the newest of it alone.
//! - What is shown late is found: each overlap is at least two hours. A conversation is read when
//!   the list gives it another time, and again half an hour, an hour and two hours after its last message.
//! - A walk that is cut goes on at its cursor; where the network refuses the cursor, it begins again. Its end is
//!   recorded once its last answer is stored. What appears meanwhile is the next walk's.
//! - Comments are asked for of each post that is looked at again ([`Settings::again_days`], the newest
//!   [`Settings::again_posts`]): at most [`Settings::again_visits`] posts a tick; those that had no look for six hours
//!   first, those whose number of comments changed next, then the one whose last look is the longest ago. Where the
//!   number did not change, a post is looked at again after an hour. A whole look, for edits and late answers, is taken
//!   once in a while (Facebook 24 h, Instagram 6 h).
//! - An object that failed is asked for after all others. One that is denied is passed over as if it were
//!   [`Gone`](crate::poll::Verdict::Gone); the token is told to be narrowed, and no more of the kind are asked for in
//!   the tick, where a list of the page's own is denied, or two objects of a kind, or the only one, and none of it was
//!   answered.
//! - Where the page names an ad account, its running ads are listed: one answer an hour, which goes on where the last
//!   one ended. The posts of this page behind them that no list of the page's has (dark posts) are read by their ids,
//!   at most 10 a tick and each once a day, and told where they are no older than the first collection goes back.
//!   Comments are looked at on the newest 20 of them, 5 a tick, until a week after their ads were last listed. That the
//!   token may not list ads is told as the missing permission `ads_read`; all else is collected.
//! - The first collection goes back [`Settings::first_days`]; comments are taken of all of the posts in that.
//!
//! Not guaranteed: deletions (an object that is not listed may be hidden, held, or out of sight for a moment; pushes
//! tell them), comments on older posts than those looked at again, and edits outside of the overlaps. Facebook's
//! `/{page}/feed` itself reaches about 600 posts a year. An object that is refused for
//! [`REFUSED_SECONDS`], while others are answered, is passed over.
//!
//! Sources: developers.facebook.com/docs/graph-api (paging, rate limiting, error handling), and the notes on each
//! edge. Of `paging.next` only whether it is there is read (cursors are there on the last page too), and a cursor in
//! it where none stands beside it.

mod answers;
mod classify;
mod collection;
mod edge;
#[cfg(test)]
mod graph;
#[cfg(test)]
mod meets;
#[cfg(test)]
mod runs;
mod scrub;
mod walk;

pub(crate) use answers::event;
pub(crate) use classify::{Reply, read};
pub(crate) use collection::ADS_PERMISSION;
pub(crate) use edge::{AccountCheck, AdPost, Ads, Edge, EdgeOwner, Finds, Order, Plan, RUNNING, ask_of};
pub(crate) use scrub::scrubbed;
pub(crate) use walk::LATE_SECONDS;

pub use classify::verdict;
pub use collection::Collection;
pub use walk::{Checkpoint, REFUSED_SECONDS};

use crate::poll::settings::ApiSettings;

/// How the Graph API is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The version of the Graph API, as it stands in paths.
    pub version: String,
    /// How many things an answer is asked to hold: 1 to 100. Edges of a lower limit are asked for theirs.
    pub page_size: u32,
    /// How many days the first collection goes back.
    pub first_days: u32,
    /// How many days after its creation a post's comments are looked at.
    pub again_days: u32,
    /// Of how many posts, the newest.
    pub again_posts: usize,
    /// Of how many posts in one tick.
    pub again_visits: usize,
    /// From how many per cent of a limit on no further call is made for a while.
    pub slow_percent: u32,
    /// For how many minutes, where the network does not say.
    pub slow_minutes: u32,
}

/// The version of the Graph API unless it is set: out since 2026-11-04. What it took away is not used here: requests
/// for several ids at once, date formats, another method in a parameter, and fields under other names
/// (developers.facebook.com/docs/graph-api/changelog).
pub(crate) const VERSION: &str = "v27.0";

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: VERSION.to_owned(),
            page_size: 100,
            first_days: 30,
            again_days: 30,
            again_posts: 60,
            again_visits: 20,
            slow_percent: 90,
            slow_minutes: 15,
        }
    }
}

impl Settings {
    /// The defaults, but for what a deployment sets of a network's API.
    pub(crate) fn of(api: &ApiSettings) -> Self {
        Self { version: api.version.to_string(), page_size: api.page_size, ..Self::default() }
    }
}

/// A text as one part of a path.
pub(crate) fn encoded(part: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-~:".contains(&b);
    part.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
