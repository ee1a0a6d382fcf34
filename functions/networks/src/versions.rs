//! Which sightings of a thing are versions of their own.
//!
//! An entry's key is a digest of the thing and of what it says ([`inbox`](crate::inbox)). That alone does not tell an
//! edit back to an earlier text from a repetition of it, nor a photo that was swapped under the same text. So where a
//! key is in the inbox already, the thing's versions are read, and [`decide`] says what the sighting is: a repetition,
//! or a version of its own, whose key is derived from its content and from the last version's key. So a push and a poll
//! of the same edit back, and a repeat after a crash, meet in one row.
//!
//! **The last version** is the last by arrival, less those that were late by the network's own time: of a push, its
//! time of the edit, or else its envelope's; of LinkedIn's answers, `lastModified`. Facebook's `updated_time` moves
//! with comments, and `created_time` is the thing's: neither is used.
//!
//! A sighting that says what the last version says is a repetition. One that says what an earlier one does is
//!
//! - a repetition where its time is before the last version's, where the same push made a version already, or where it
//!   is a push of something *created*, which happens once. A push is the same where its value is: networks repeat it in
//!   another envelope, whose time is that of the repeat
//! - for an answer without a time, a repetition until the last version is two hours old: lists may show an earlier
//!   state for a while ([`STALE_LISTS`])
//! - else an edit back, and a version: that of an answer, too, whose collector saw another version since (YouTube's
//!   videos)
//!
//! One that says what none did is a version always.
//!
//! **Attachments** count by the part of their address or id that push and answer both have
//! ([`media_url`](crate::normalise)). Where a push need not name an attachment (Facebook's items without a `link`),
//! none there says nothing; what a push does not carry (the link that a text has in it) is compared only with an
//! answer's. Where a version does not say, as rows of earlier versions of Carteiro, the first sighting that names some
//! completes it ([`Verdict::Completes`]), and is no version. So does the push of an edit that an answer showed before:
//! its later repeats are known by it.
//!
//! Not guaranteed: an edit back that is found by polling alone, and undone within two hours; of two edits to the same
//! text whose pushes have equal values (a review's name no time of the edit, a comment's do), the second is found by
//! polling, two hours later; a photo that is swapped before any answer showed it, where the push named none. And of
//! two pushes that told of one version, as an edit between them was seen by nobody, the second may be delivered again
//! where the network repeats it in a later envelope after one edit more.

use std::time::Duration;

use carteiro_core::id::{digest, half};
use jiff::{SignedDuration, Timestamp};

use crate::collected::{Action, Attachment, By};
use crate::inbox::{EntryKey, Event, Reading};
use crate::normalise::media_url::lasting_part;

/// How long a list may show an earlier state than one that was seen: what it shows is taken for an edit back only
/// where the last version is as old as this.
pub const STALE_LISTS: Duration = Duration::from_secs(2 * 3600);

/// How much earlier than an answer's arrival a push's time may be and still be of what came after it: the time from a
/// network's making the answer until it is stored, and the difference of two clocks.
const SLACK: SignedDuration = SignedDuration::from_secs(60);

/// What tells states of a thing apart that have the same key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// When this version was made, by the network's word, where that moves at edits only.
    pub at: Option<Timestamp>,
    /// How attachments are compared.
    pub(crate) compared: Compared,
    /// The attachments, as they are compared; None where the sighting does not say.
    pub with: Option<With>,
}

/// How the attachments of a state are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Compared {
    /// Not at all: the key has them, or the sighting never names them.
    #[default]
    Never,
    /// By id, or else by address.
    ById,
    /// By address, or else by id, as a push has the address alone; those with these ids are in the key already. Whether
    /// a push that names none says that there is none.
    ByAddress {
        /// The ids that are in the key.
        in_key: Vec<String>,
        /// Whether a push names each.
        complete: bool,
    },
    /// By id, and only with sightings of the same way: of messages, pushes and answers have other ids. None may mean
    /// that they expired.
    OneWay,
}

/// The attachments of a state, as they are compared: zero is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct With {
    by: By,
    one_way: bool,
    media: u64,
    links: u64,
}

impl With {
    const POLL: u8 = 1;
    const ONE_WAY: u8 = 2;

    /// As it is stored: 17 bytes.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut flags = if self.by == By::Poll { Self::POLL } else { 0 };
        if self.one_way {
            flags |= Self::ONE_WAY;
        }
        [&[flags][..], &self.media.to_be_bytes(), &self.links.to_be_bytes()].concat()
    }

    /// As it was stored; None of bytes that are something else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (flags, numbers) = bytes.split_first()?;
        let (media, links) = numbers.split_at_checked(8)?;
        Some(Self {
            by: if flags & Self::POLL == 0 { By::Push } else { By::Poll },
            one_way: flags & Self::ONE_WAY != 0,
            media: u64::from_be_bytes(media.try_into().ok()?),
            links: u64::from_be_bytes(links.try_into().ok()?),
        })
    }

    /// Whether anything is there, which other ways of finding it may compare with.
    fn names_some(self) -> bool {
        !self.one_way && (self.media != 0 || self.links != 0)
    }

    fn same(self, other: Self) -> bool {
        if self.one_way || other.one_way {
            let says_nothing = self.media == 0 || other.media == 0 || self.by != other.by;
            return says_nothing || self.media == other.media;
        }
        let links = self.links == other.links;
        // A link in a text is an attachment in an answer, and not in a push.
        let links = links || (self.by != other.by && (self.links == 0 || other.links == 0));
        self.media == other.media && links
    }
}

impl State {
    /// A state whose attachments are compared in this way. When it was made and what is with it is filled in by
    /// [`normalise::read`](crate::normalise::read).
    pub(crate) fn compared(compared: Compared) -> Self {
        Self { compared, ..Self::default() }
    }

    /// Fills in what an event says of the state.
    pub(crate) fn complete(&mut self, attachments: &[Attachment], event: &Event) {
        if event.by == By::Push {
            self.at = self.at.or(event.sent_at);
        }
        self.with = self.compared.with(attachments, event.by);
    }
}

impl Compared {
    fn with(&self, attachments: &[Attachment], by: By) -> Option<With> {
        if *self == Self::Never {
            return None;
        }
        let is_link = |one: &&Attachment| matches!(one.kind.as_str(), "link" | "share" | "article");
        let part = |one: &Attachment| self.part(one);
        let media = number(attachments.iter().filter(|one| !is_link(one)).filter_map(part));
        let links = number(attachments.iter().filter(is_link).filter_map(part));
        let one_way = *self == Self::OneWay;
        let complete =
            by == By::Poll || !matches!(self, Self::ByAddress { complete: false, .. } | Self::OneWay);
        (complete || media != 0 || links != 0).then_some(With { by, one_way, media, links })
    }

    fn part(&self, one: &Attachment) -> Option<String> {
        let (id, address) = (|| one.id.clone(), || one.url.as_deref().map(lasting_part));
        match self {
            Self::Never => None,
            Self::ById => id().or_else(address),
            Self::OneWay => id(),
            Self::ByAddress { in_key, .. } if one.id.as_ref().is_some_and(|id| in_key.contains(id)) => None,
            // Each answer may name another size's file, and a push a third, or the picture before it plays.
            Self::ByAddress { .. } if one.kind == "video" => Some("video".to_owned()),
            Self::ByAddress { .. } => address().or_else(id),
        }
    }
}

fn number(parts: impl Iterator<Item = String>) -> u64 {
    let mut parts: Vec<String> = parts.collect();
    if parts.is_empty() {
        return 0;
    }
    parts.sort_unstable();
    parts.dedup();
    short(&digest(parts.iter().map(String::as_bytes))).max(1)
}

fn short(digest: &[u8; 32]) -> u64 {
    u64::try_from(half(digest) >> 64).unwrap_or_default()
}

/// A sighting of what a thing says: all that is needed to compare it with the versions that are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The digest of what it says, as in the key.
    pub of: String,
    /// What is with it.
    pub with: Option<With>,
    /// When the version was made, by the network's word.
    pub at: Option<Timestamp>,
    /// The push that it came in, as a digest of its value; none of an answer. The envelope's time is not part of it:
    /// Meta names there when a notification was sent, so a repeat has another.
    /// <https://developers.facebook.com/docs/graph-api/webhooks/getting-started>
    pub push: Option<u64>,
    /// How it was found.
    pub by: By,
    /// Whether it says of itself that it is an edit.
    pub edited: bool,
}

impl Sighting {
    /// The sighting in an event; None where its key decides alone.
    #[must_use]
    pub fn of(event: &Event, reading: &Reading, key: &EntryKey) -> Option<Self> {
        let state = reading.state.as_ref().filter(|_| reading.says())?;
        let push = || {
            // Members in one order, without spaces: a repeat may be written another way.
            let value = serde_json::from_str::<serde_json::Value>(event.raw.get());
            let value = value.map_or_else(|_| event.raw.get().to_owned(), |value| value.to_string());
            short(&digest([value.as_bytes()]))
        };
        Some(Self {
            of: key.thing_and_version().1.to_owned(),
            with: state.with,
            at: state.at,
            push: (event.by == By::Push).then(push),
            by: event.by,
            edited: reading.content.action == Action::Edited,
        })
    }

    /// Whether it may be a version although its key is known: a push says whether it is an edit, an answer does not.
    #[must_use]
    pub fn may_be_edit(&self) -> bool {
        self.by == By::Poll || self.edited
    }
}

/// A version that is in the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The version's part of its key.
    pub version: String,
    /// The digest of what it says: its part of the key, but for a version whose key was derived.
    pub of: String,
    /// What is with it.
    pub with: Option<With>,
    /// When it was made, by the network's word.
    pub at: Option<Timestamp>,
    /// The push that it came in.
    pub push: Option<u64>,
    /// When it was stored.
    pub arrived: Timestamp,
    /// Its place among the thing's versions that were stored at the same time.
    pub nth: u32,
}

impl Known {
    /// A sighting that was stored under this part of a key.
    #[must_use]
    pub fn stored(sighting: &Sighting, version: String, arrived: Timestamp, nth: u32) -> Self {
        let Sighting { of, with, at, push, .. } = sighting.clone();
        Self { version, of, with, at, push, arrived, nth }
    }

    fn says(&self, sighting: &Sighting) -> bool {
        let same_with = self.with.zip(sighting.with).is_none_or(|(one, other)| one.same(other));
        self.of == sighting.of && same_with
    }

    /// Whether what was made at this time was made before this version.
    fn is_after(&self, at: Option<Timestamp>) -> bool {
        match (at, self.at) {
            (Some(at), Some(own)) => at < own,
            (Some(at), None) => at.saturating_add(SLACK).is_ok_and(|at| at < self.arrived),
            (None, _) => false,
        }
    }
}

/// The last version: by arrival, less those that were late.
fn last(known: &[Known]) -> Option<&Known> {
    let mut by_arrival: Vec<&Known> = known.iter().collect();
    by_arrival.sort_by(|one, other| {
        (one.arrived, one.nth, &one.version).cmp(&(other.arrived, other.nth, &other.version))
    });
    by_arrival.into_iter().reduce(|last, next| if last.is_after(next.at) { last } else { next })
}

/// What a sighting is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A repetition.
    Repetition,
    /// A repetition of the last version that says something first: later sightings are to be compared with that.
    Completes(Completion),
    /// A version of its own, with this part of a key.
    New(String),
}

/// What a repetition adds to a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The version's part of its key.
    pub version: String,
    /// What is with it, where it did not say.
    pub with: Option<With>,
    /// The push of it, where none was known.
    pub push: Option<u64>,
}

impl Completion {
    fn of(last: &Known, sighting: &Sighting) -> Option<Self> {
        let with = sighting.with.filter(|with| last.with.is_none() && with.names_some());
        let push = sighting.push.filter(|_| last.push.is_none());
        let says = with.is_some() || push.is_some();
        says.then(|| Self { version: last.version.clone(), with, push })
    }

    /// Completes the version, where it is among these.
    pub fn apply(&self, known: &mut [Known]) {
        for version in known.iter_mut().filter(|known| known.version == self.version) {
            version.with = version.with.or(self.with);
            version.push = version.push.or(self.push);
        }
    }
}

/// What a sighting is, beside the known versions of what the thing says.
#[must_use]
pub fn decide(known: &[Known], sighting: &Sighting, now: Timestamp) -> Verdict {
    let Some(last) = last(known) else { return Verdict::New(sighting.of.clone()) };
    if last.says(sighting) {
        return Completion::of(last, sighting).map_or(Verdict::Repetition, Verdict::Completes);
    }
    let is_known = known.iter().any(|version| version.says(sighting));
    if is_known && is_repetition(known, last, sighting, now) {
        return Verdict::Repetition;
    }
    let is_first = known.iter().all(|version| version.version != sighting.of);
    Verdict::New(if is_first { sighting.of.clone() } else { derived(sighting, is_known, last) })
}

/// Whether a sighting that says what an earlier version does is a repetition of it.
fn is_repetition(known: &[Known], last: &Known, sighting: &Sighting, now: Timestamp) -> bool {
    let was_seen = sighting.push.is_some() && known.iter().any(|version| version.push == sighting.push);
    if was_seen || last.is_after(sighting.at) {
        return true;
    }
    match (sighting.by, sighting.at, last.at) {
        (By::Push, ..) => !sighting.edited,
        (By::Poll, Some(at), Some(last)) => at <= last,
        // Its collector remembers that it saw another version since.
        (By::Poll, None, _) if sighting.edited => false,
        (By::Poll, ..) => now.duration_since(last.arrived).unsigned_abs() < STALE_LISTS || now < last.arrived,
    }
}

/// The same for the same content after the same version, so that whoever derives it meets the others in one row.
/// Attachments are part of it where they are what is new: else a push and an answer, which may name other links, would
/// not meet.
fn derived(sighting: &Sighting, is_known: bool, last: &Known) -> String {
    let with = sighting.with.filter(|_| !is_known);
    let (media, links) = with.map(|with| (with.media, with.links)).unwrap_or_default();
    let with = [media.to_be_bytes(), links.to_be_bytes()].concat();
    let parts = [b"again".as_slice(), sighting.of.as_bytes(), &with, last.version.as_bytes()];
    format!("{:032x}", half(&digest(parts)))
}

#[cfg(test)]
mod tests;
