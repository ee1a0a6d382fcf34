//! Where the collection of a page stands: what is kept between ticks.
//!
//! Names are short, for all of it must fit into [`MAX_CHECKPOINT_BYTES`]. What an older version did not write is its
//! default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::poll::MAX_CHECKPOINT_BYTES;
use crate::poll::walk::LATE;

/// For how long an object may be refused before it is passed over, in seconds: a day. Times at which the network itself
/// fails, or answers nothing else, do not count.
pub const REFUSED_SECONDS: i64 = 24 * 3600;

/// For how long the network may fail to answer for an object, while it answers for others, before it is passed over, in
/// seconds: a week.
const DOWN_SECONDS: i64 = 7 * 24 * 3600;

/// After how many seconds of such failures its cursor is taken for their cause.
const CURSOR_SECONDS: i64 = 3600;

/// How often it was refused at the least, however long the pause between two ticks was.
const MIN_TRIES: u8 = 4;

/// How many objects that are asked for one by one may wait before no more are looked for.
pub(crate) const MAX_CHILDREN: usize = 40;

/// How long after its last message a conversation is read again, in seconds: it may show a message late that is older
/// than the last, and then its time does not change. The last is [`LATE`].
const READ_AGAIN: [i64; 3] = [LATE_SECONDS / 4, LATE_SECONDS / 2, LATE_SECONDS];

/// [`LATE`] in seconds.
pub(crate) const LATE_SECONDS: i64 = LATE.as_secs().cast_signed();

/// How many conversations are remembered that were read.
const MAX_READ: usize = 150;

/// By how many seconds the network's clock may be behind.
const SKEW: i64 = 60;

/// The longest id and cursor, in bytes.
pub(crate) const MAX_ID_BYTES: usize = 128;
pub(crate) const MAX_CURSOR_BYTES: usize = 1024;

/// What a collection of a page goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    /// The token that was seen to be the page's.
    #[serde(rename = "v", skip_serializing_if = "Option::is_none")]
    pub(crate) verified: Option<u64>,
    /// Whether that token is not a page's own, so that what it lists of `/me` is asked of the page.
    #[serde(rename = "u", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) of_the_account: bool,
    /// How often, and when last, pages were halved that the network found too large.
    #[serde(rename = "z", skip_serializing_if = "Option::is_none")]
    pub(crate) halved: Option<(u8, i64)>,
    /// The page's own edges.
    #[serde(rename = "e")]
    pub(crate) edges: BTreeMap<String, Walk>,
    /// The posts whose comments are looked at again.
    #[serde(rename = "p")]
    pub(crate) posts: Vec<Post>,
}

/// The walk down an edge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Walk {
    /// When the last finished walk began: what was there then is known.
    #[serde(rename = "k", skip_serializing_if = "Option::is_none")]
    pub(crate) known: Option<i64>,
    /// When the walk in progress began.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<i64>,
    /// Where it goes on.
    #[serde(rename = "a", skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
    /// What it found and is to be asked for one by one, each down to a time of its own.
    #[serde(rename = "c", skip_serializing_if = "Vec::is_empty")]
    pub(crate) children: Vec<Child>,
    /// Of what moves in the list: down to which time it is read, while what moved during the walk is looked for.
    #[serde(rename = "b", skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<i64>,
    /// In how many ticks it failed since it last did not.
    #[serde(rename = "x", skip_serializing_if = "is_zero")]
    pub(crate) tries: u8,
    /// Of conversations: those of the last [`LATE`] that were read.
    #[serde(rename = "r", skip_serializing_if = "Vec::is_empty")]
    pub(crate) read: Vec<Read>,
}

/// A conversation that was read, or waits to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Read {
    /// A digest of its id.
    #[serde(rename = "i")]
    id: String,
    /// When its last message was, as the list said.
    #[serde(rename = "u")]
    updated: i64,
    /// When it was found to be read.
    #[serde(rename = "t")]
    at: i64,
}

/// Something that is asked for by its id: a conversation, a comment with more answers than were given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Child {
    #[serde(rename = "i")]
    pub(crate) id: String,
    /// What is older is known.
    #[serde(rename = "f")]
    pub(crate) floor: i64,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
    /// How often in a row it was refused.
    #[serde(rename = "x", default, skip_serializing_if = "is_zero")]
    pub(crate) tries: u8,
    /// Since when it is refused; none where an older version only counted.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<i64>,
    /// Since when the network fails to answer for it.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub(crate) down: Option<i64>,
    /// Down to which time it is read once more: it was found again, with more, while it was read.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub(crate) again: Option<i64>,
}

/// A post whose comments are looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Post {
    #[serde(rename = "i")]
    pub(crate) id: String,
    #[serde(rename = "t")]
    pub(crate) created: i64,
    #[serde(rename = "w")]
    pub(crate) walk: Walk,
    /// When it was last looked at, or in vain.
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    pub(crate) looked: Option<i64>,
    /// When a whole look was last finished.
    #[serde(rename = "h", skip_serializing_if = "Option::is_none")]
    pub(crate) whole: Option<i64>,
    /// Whether the look in progress is a whole one.
    #[serde(rename = "o", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_whole: bool,
    /// How many comments it has, as its own edge said last, and when that was.
    #[serde(rename = "n", skip_serializing_if = "Option::is_none")]
    pub(crate) said: Option<(i64, i64)>,
    /// How many it had by that word when the last look began.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    pub(crate) seen: Option<i64>,
}

/// FNV-1a of an id, for ids may be long.
fn digest(id: &str) -> String {
    let digest = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{digest:016x}")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(tries: &u8) -> bool {
    *tries == 0
}

impl Walk {
    /// Down to which time it goes: what is older is known, or before the first collection.
    pub(crate) fn floor(&self, now: i64, overlap: i64, first: i64) -> i64 {
        let overlap = if self.base.is_some() { SKEW } else { overlap };
        let down = self.known.map_or_else(|| self.started.unwrap_or(now) - first, |known| known - overlap);
        down.max(0)
    }

    /// Down to which time the messages of a conversation that was met are read; none where it was read since it changed
    /// and shows nothing late now. What was not met before is read down to `floor`.
    ///
    /// A message that was listed since the conversation was read is at most [`LATE`] older than that.
    pub(crate) fn reads(&mut self, id: &str, updated: i64, floor: i64, now: i64) -> Option<i64> {
        let digest = digest(id);
        let known = self.read.iter().position(|read| read.id == digest).map(|at| self.read.remove(at));
        let passed = |at: i64| READ_AGAIN.iter().filter(|after| at - updated >= **after).count();
        let down_to = match &known {
            Some(read) if read.updated == updated && passed(read.at) == passed(now) => None,
            Some(read) => Some((read.at - LATE_SECONDS).min(updated)),
            None => Some(floor),
        };
        let at = if down_to.is_some() { now } else { known.map_or(now, |read| read.at) };
        self.read.push(Read { id: digest, updated, at });
        self.read.retain(|read| now - read.updated < 2 * LATE_SECONDS);
        if self.read.len() > MAX_READ {
            // What is forgotten is read once more.
            self.read.sort_by_key(|read| read.updated);
            self.read.drain(..self.read.len() - MAX_READ);
        }
        down_to
    }

    /// A walk that came to its end, in one answer or in more; says whether it is over.
    ///
    /// What moves to the top of its list while the rest of it is read is passed by: after a walk of more than one
    /// answer, what moved since it began is looked for, and read down to where that walk went, until one answer shows
    /// all that did.
    pub(crate) fn ended(&mut self, started: i64, floor: i64, moves: bool) -> bool {
        let at_once = self.after.is_none();
        self.known = Some(started);
        (self.after, self.started) = (None, None);
        let over = at_once || !moves;
        self.base = if over { None } else { Some(self.base.unwrap_or(floor)) };
        over
    }

    /// It failed: where its cursor may be why, it begins again.
    pub(crate) fn failed(&mut self, cursor_refused: bool) {
        self.tries = self.tries.saturating_add(1);
        if cursor_refused || self.tries.is_multiple_of(4) {
            self.after = None;
        }
    }
}

impl Child {
    /// It was found again. What is new of it stands above a cursor.
    pub(crate) fn found_again(&mut self, floor: i64) {
        match &self.after {
            Some(_) => self.again = Some(self.again.map_or(floor, |again| again.min(floor))),
            None => self.floor = self.floor.min(floor),
        }
    }

    /// It was read down to its floor. Whether it is to be read once more.
    pub(crate) fn ended(&mut self) -> bool {
        self.after = None;
        self.again.take().map(|floor| self.floor = floor).is_some()
    }

    /// Whether it failed when it was asked for last.
    pub(crate) fn has_failed(&self) -> bool {
        self.tries > 0 || self.down.is_some()
    }

    /// It was answered.
    pub(crate) fn answered(&mut self) {
        (self.tries, self.refused, self.down) = (0, None, None);
    }

    /// It failed: it was refused, or the network is down, which says nothing of it. Whether it is to be tried again.
    pub(crate) fn failed(&mut self, cursor_refused: bool, is_down: bool, now: i64) -> bool {
        if is_down {
            let down = now - *self.down.get_or_insert(now);
            if down >= CURSOR_SECONDS {
                self.after = None;
            }
            return down < DOWN_SECONDS;
        }
        self.down = None;
        let refused = now - *self.refused.get_or_insert(now);
        self.tries = self.tries.saturating_add(1);
        if cursor_refused || self.tries.is_multiple_of(4) {
            self.after = None;
        }
        self.tries < MIN_TRIES || refused < REFUSED_SECONDS
    }
}

impl Checkpoint {
    /// What is written: of an excess, which only cursors of no network's length make, first cursors go, whose walks
    /// begin again, and then the oldest posts.
    pub(crate) fn fitting(&self) -> Self {
        let too_long = |kept: &Self| {
            serde_json::to_vec(kept).map_or(usize::MAX, |bytes| bytes.len()) > MAX_CHECKPOINT_BYTES
        };
        let mut kept = self.clone();
        if too_long(&kept) {
            let posts = kept.posts.iter_mut().map(|post| &mut post.walk);
            for walk in kept.edges.values_mut().chain(posts) {
                (walk.after, walk.read) = (None, Vec::new());
                walk.children.iter_mut().for_each(|child| child.after = None);
            }
        }
        kept.posts.sort_by_key(|post| std::cmp::Reverse(post.created));
        while too_long(&kept) && kept.posts.pop().is_some() {}
        kept
    }

    /// How many objects wait to be asked for one by one, of posts.
    pub(crate) fn children_of_posts(&self) -> usize {
        self.posts.iter().map(|post| post.walk.children.len()).sum()
    }

    /// Puts down what an edge said of a post, and forgets the posts that are not looked at again.
    pub(crate) fn look_again_at(&mut self, id: &str, created: i64, comments: Option<i64>, now: i64) {
        let known = self.posts.iter().position(|post| post.id == id);
        let at = known.unwrap_or_else(|| {
            self.posts.push(Post { id: id.to_owned(), created, ..Post::default() });
            self.posts.len() - 1
        });
        if let (Some(post), Some(comments)) = (self.posts.get_mut(at), comments) {
            post.said = Some((comments, now));
        }
    }

    /// Forgets posts from before a time, and the oldest beyond a number.
    pub(crate) fn forget(&mut self, before: i64, most: usize) {
        self.posts.retain(|post| post.created >= before);
        self.posts.sort_by_key(|post| std::cmp::Reverse(post.created));
        self.posts.truncate(most);
    }
}

impl Post {
    /// Whether this look is a whole one.
    pub(crate) fn looks_whole(&self, now: i64, every: i64) -> bool {
        if self.walk.started.is_some() {
            return self.is_whole;
        }
        self.whole.is_none_or(|whole| now - whole >= every)
    }

    /// Whether the number of its comments is not what it was at the last look.
    pub(crate) fn changed(&self) -> bool {
        self.said.map(|(comments, _)| comments) != self.seen
    }

    /// Whether a look is due: one in progress is. Where nothing changed since, a look once an hour is enough.
    pub(crate) fn is_due(&self, now: i64, every: i64) -> bool {
        let Some(looked) = self.looked else { return true };
        let fresh = self.said.is_some_and(|(_, at)| at >= looked);
        let quiet = fresh && !self.changed() && now - looked < 3600;
        self.walk.started.is_some()
            || !self.walk.children.is_empty()
            || !quiet
            || self.looks_whole(now, every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_of_any_size_fits_and_keeps_what_is_known() {
        let long = "x".repeat(MAX_CURSOR_BYTES);
        let child = Child {
            id: "i".repeat(MAX_ID_BYTES),
            floor: i64::MAX,
            after: Some(long.clone()),
            tries: 95,
            refused: Some(i64::MAX),
            down: Some(i64::MAX),
            again: Some(1),
        };
        let walk = Walk {
            known: Some(1),
            started: Some(2),
            after: Some(long),
            children: vec![child; MAX_CHILDREN],
            base: Some(3),
            tries: 1,
            read: vec![Read { id: digest("t"), updated: i64::MAX, at: i64::MAX }; MAX_READ],
        };
        let post =
            |created| Post { id: "p".repeat(MAX_ID_BYTES), created, walk: walk.clone(), ..Post::default() };
        let kept = Checkpoint {
            verified: Some(1),
            of_the_account: false,
            edges: [("posts".to_owned(), walk.clone())].into(),
            posts: (0..60).map(post).collect(),
            ..Checkpoint::default()
        };
        let fitting = kept.fitting();
        assert!(serde_json::to_vec(&fitting).unwrap().len() <= MAX_CHECKPOINT_BYTES);
        assert_eq!(fitting.edges["posts"].known, Some(1));
        assert!(
            fitting.posts.iter().all(|post| post.created >= i64::try_from(60 - fitting.posts.len()).unwrap())
        );
        let read: Checkpoint = serde_json::from_slice(&serde_json::to_vec(&fitting).unwrap()).unwrap();
        assert_eq!(read, fitting);
        assert_eq!(serde_json::from_str::<Checkpoint>("{}").unwrap(), Checkpoint::default());
    }
}
