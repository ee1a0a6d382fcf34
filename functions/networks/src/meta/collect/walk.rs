//! Where the collection of a page stands: what is kept between ticks.
//!
//! Names are short, for all of it must fit into [`MAX_CHECKPOINT_BYTES`]. What an older version did not write is its
//! default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::edge::AdPost;
use crate::collected::Ad;
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

/// For how long the comments on the post behind an ad are looked at after the ad was last listed, in seconds: a week.
const AD_SECONDS: i64 = 7 * 24 * 3600;

/// For how long comments on a post that mentions the page are looked at, in seconds: a week after the post.
const MENTION_SECONDS: i64 = 7 * 24 * 3600;

/// On how many posts that mention the page, the newest, comments are looked at.
const MAX_MENTIONS: usize = 10;

/// On how many posts behind ads, the newest, comments are looked at, besides those that the page's own list has.
const MAX_AD_POSTS: usize = 20;

/// How many posts behind ads are remembered that were read by their ids.
const MAX_READ_POSTS: usize = 60;

/// How many posts behind ads may wait to be read before no more are noted.
pub(crate) const MAX_AD_CHILDREN: usize = 20;

/// How long after a post behind an ad was read it is read again, in seconds: a day.
const READ_POST_AGAIN: i64 = 24 * 3600;

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
    /// Somebody else's posts that mention the page, whose comments are looked at.
    #[serde(rename = "m", skip_serializing_if = "Vec::is_empty")]
    pub(crate) mentions: Vec<Post>,
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
    /// Of ads: before which time no more of them are listed.
    #[serde(rename = "n", skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<i64>,
    /// Of conversations: those of the last [`LATE`] that were read. Of ads: the posts that were read of late.
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The ad that shows it.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub(crate) ad: Option<Ad>,
    /// The publication that it is an ad's copy of.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub(crate) original: Option<String>,
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
    /// The ad that shows it.
    #[serde(rename = "g", skip_serializing_if = "Option::is_none")]
    pub(crate) ad: Option<String>,
    /// When that ad was last listed.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub(crate) listed: Option<i64>,
    /// When it was read by its id; none where the page's own list has it.
    #[serde(rename = "m", skip_serializing_if = "Option::is_none")]
    pub(crate) read: Option<i64>,
    /// Of a post that mentions the page: whether the network refuses its comments.
    #[serde(rename = "q", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_closed: bool,
    /// The publication that it is an ad's copy of.
    #[serde(rename = "y", skip_serializing_if = "Option::is_none")]
    pub(crate) original: Option<String>,
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

    /// Notes that a post behind an ad was read by its id, or in vain.
    pub(crate) fn read_post(&mut self, id: &str, now: i64) {
        let id = digest(id);
        self.read.retain(|read| read.id != id && now - read.at < READ_POST_AGAIN);
        self.read.push(Read { id, updated: now, at: now });
        let excess = self.read.len().saturating_sub(MAX_READ_POSTS);
        self.read.drain(..excess);
    }

    /// Whether a post behind an ad is to be read by its id: it was not within a day.
    pub(crate) fn reads_post(&self, id: &str, now: i64) -> bool {
        let id = digest(id);
        self.read.iter().all(|read| read.id != id || now - read.at >= READ_POST_AGAIN)
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
    /// An object that is to be asked for down to a time.
    pub(crate) fn new(id: String, floor: i64) -> Self {
        Self { id, floor, ..Self::default() }
    }

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
            let posts = kept.posts.iter_mut().chain(&mut kept.mentions).map(|post| &mut post.walk);
            for walk in kept.edges.values_mut().chain(posts) {
                (walk.after, walk.read) = (None, Vec::new());
                walk.children.iter_mut().for_each(|child| child.after = None);
            }
        }
        while too_long(&kept) && kept.mentions.pop().is_some() {}
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

    /// The posts whose comments are looked at, also those of others that mention the page.
    pub(crate) fn looked_at(&self) -> impl Iterator<Item = &Post> {
        self.posts.iter().chain(&self.mentions)
    }

    /// One of them.
    pub(crate) fn post_mut(&mut self, id: &str) -> Option<&mut Post> {
        self.posts.iter_mut().chain(&mut self.mentions).find(|post| post.id == id)
    }

    /// Puts down a post of somebody else's that mentions the page.
    pub(crate) fn mentioned(&mut self, id: &str, created: i64) {
        if self.looked_at().all(|post| post.id != id) {
            self.mentions.push(Post { id: id.to_owned(), created, ..Post::default() });
        }
    }

    /// Notes that an ad shows a post. Whether the post is one that is read by its id: the page's own list has not shown
    /// it.
    pub(crate) fn advertised(&mut self, of: &AdPost, now: i64) -> bool {
        let Some(post) = self.posts.iter_mut().find(|post| post.id == of.id) else { return true };
        post.listed = Some(now);
        post.ad.get_or_insert_with(|| of.ad.id.clone());
        post.is_ads_alone()
    }

    /// Notes that the page's own list has a post.
    pub(crate) fn is_listed(&mut self, id: &str) {
        if let Some(post) = self.posts.iter_mut().find(|post| post.id == id) {
            post.read = None;
        }
    }

    /// Puts down a post that was read by its id, because an ad shows it.
    pub(crate) fn was_read(&mut self, child: &Child, created: i64, comments: Option<i64>, now: i64) {
        self.look_again_at(&child.id, created, comments, now);
        if let Some(post) = self.posts.iter_mut().find(|post| post.id == child.id) {
            (post.read, post.listed) = (Some(now), post.listed.or(Some(now)));
            post.original.clone_from(&child.original);
            post.ad = post.ad.take().or_else(|| child.ad.as_ref().map(|ad| ad.id.clone()));
        }
    }

    /// Forgets posts from before a time, and the oldest beyond a number. Those that ads show have a number of their
    /// own, and stay while their ads are listed.
    pub(crate) fn forget(&mut self, before: i64, most: usize, now: i64) {
        self.mentions.retain(|post| now - post.created < MENTION_SECONDS);
        self.mentions.sort_by_key(|post| std::cmp::Reverse(post.created));
        self.mentions.truncate(MAX_MENTIONS);
        self.posts.sort_by_key(|post| std::cmp::Reverse(post.created));
        let (mut own, mut ads) = (0, 0);
        self.posts.retain(|post| {
            let count = if !post.is_ads_alone() && post.created >= before && own < most {
                &mut own
            } else if post.listed.is_some_and(|at| now - at < AD_SECONDS) && ads < MAX_AD_POSTS {
                &mut ads
            } else {
                return false;
            };
            *count += 1;
            true
        });
    }
}

impl Post {
    /// Whether it is known because an ad shows it, and is in no list of the page's.
    pub(crate) fn is_ads_alone(&self) -> bool {
        self.read.is_some()
    }

    /// Whether this look is a whole one.
    pub(crate) fn looks_whole(&self, now: i64, every: i64) -> bool {
        if self.walk.started.is_some() {
            return self.is_whole;
        }
        self.whole.is_none_or(|whole| now - whole >= every)
    }

    /// Whether a look at a post that mentions the page is due: once an hour, where the network answers.
    pub(crate) fn is_mention_due(&self, now: i64) -> bool {
        let is_open = !self.is_closed;
        is_open && (self.walk.started.is_some() || self.looked.is_none_or(|looked| now - looked >= 3600))
    }

    /// Whether the number of its comments is not what it was at the last look.
    pub(crate) fn changed(&self) -> bool {
        self.said.map(|(comments, _)| comments) != self.seen
    }

    /// Whether a look is due: one in progress is. Where nothing changed since, a look once an hour is enough.
    pub(crate) fn is_due(&self, now: i64, every: i64) -> bool {
        let Some(looked) = self.looked else { return true };
        // No list tells the number of a post that an ad alone shows.
        let fresh = !self.is_ads_alone() && self.said.is_some_and(|(_, at)| at >= looked);
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
            ad: None,
            original: None,
        };
        let walk = Walk {
            known: Some(1),
            started: Some(2),
            after: Some(long),
            children: vec![child; MAX_CHILDREN],
            base: Some(3),
            tries: 1,
            next: None,
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

    fn read_post(id: &str, created: i64, now: i64) -> Checkpoint {
        let mut kept = Checkpoint::default();
        let child = Child { id: id.to_owned(), floor: 0, ..Child::default() };
        kept.was_read(&child, created, Some(1), now);
        kept
    }

    #[test]
    fn a_post_of_an_ad_stays_a_week_after_its_ad_was_listed() {
        let (day, ad) = (24 * 3600, Ad { id: "120".into(), name: None });
        let mut kept = read_post("1_2", 0, 1000);
        let of = AdPost { id: "1_2".into(), ad, original: None };
        assert!(kept.advertised(&of, 1000), "no list of the page's has it");
        assert!(kept.advertised(&AdPost { id: "1_3".into(), ..of.clone() }, 1000), "it is not known");
        let mut listed = kept.clone();
        listed.is_listed("1_2");
        assert!(!listed.advertised(&of, 1000));
        for (after, stays) in [(7 * day, true), (7 * day + 1000, false)] {
            let mut kept = kept.clone();
            kept.forget(after, 60, after);
            assert_eq!(!kept.posts.is_empty(), stays, "{after}");
        }
    }

    #[test]
    fn a_post_of_an_ad_is_read_once_a_day() {
        let mut walk = Walk::default();
        for nth in 0..=i64::try_from(MAX_READ_POSTS).unwrap() {
            walk.read_post(&nth.to_string(), 1000 + nth);
        }
        assert_eq!(
            (walk.read.len(), walk.reads_post("0", 2000)),
            (MAX_READ_POSTS, true),
            "what is forgotten is read once more"
        );
        assert!(
            !walk.reads_post("1", 1000 + READ_POST_AGAIN) && walk.reads_post("1", 1001 + READ_POST_AGAIN)
        );
    }

    #[test]
    fn posts_of_ads_take_no_room_of_the_pages_own() {
        let mut kept = Checkpoint::default();
        for nth in 0..100 {
            let child = Child { id: format!("1_{nth}"), floor: 0, ..Child::default() };
            kept.was_read(&child, 2000 + nth, None, 3000);
            kept.look_again_at(&format!("2_{nth}"), 1000 + nth, None, 3000);
        }
        kept.forget(0, 60, 3000);
        let ads = kept.posts.iter().filter(|post| post.is_ads_alone()).count();
        assert_eq!((kept.posts.len() - ads, ads), (60, MAX_AD_POSTS));
        let listed_too = |post: &&Post| post.id == "2_99";
        assert!(kept.posts.iter().any(|post| listed_too(&post)));
    }

    #[test]
    fn an_older_version_reads_a_checkpoint_with_ads() {
        #[derive(Deserialize)]
        struct Older {
            #[serde(rename = "i")]
            id: String,
            #[serde(rename = "t")]
            created: i64,
        }
        let written = serde_json::to_value(read_post("1_2", 7, 9)).unwrap();
        let older: Older = serde_json::from_value(written["p"][0].clone()).unwrap();
        assert_eq!((older.id.as_str(), older.created), ("1_2", 7));
        let before = r#"{"p":[{"i":"1_2","t":7,"w":{}}],"e":{"ads":{"c":[{"i":"1_3","f":0}]}}}"#;
        let kept: Checkpoint = serde_json::from_str(before).unwrap();
        assert!(!kept.posts[0].is_ads_alone() && kept.edges["ads"].children[0].ad.is_none());
    }
}
