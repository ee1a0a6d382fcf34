//! LinkedIn's company pages: their posts, what others do with them, and comments with their answers.
//!
//! What others do is asked for as notifications, whose `timeRange` is a real *since* (60 days): each tick asks for the
//! time since the last. A notification of a comment has its text mostly; where it has not, the post's comments are
//! listed. Posts are listed by their last change at each tick, and the comments of one of the newest posts, which take
//! turns: for what no notification told of. A steady tick is three calls, however many posts there are, so that a day's
//! calls are known from how often ticks come: where LinkedIn [pushes](super::push) notifications they are asked for
//! once an hour, and with the development tier's few, all of it is asked for more rarely.
//!
//! # What is guaranteed
//! A range of time is done with when its last page was stored, and the next one begins two hours before its end: what
//! LinkedIn lists late is found. What was told of it already is remembered, and left out.
//! Lists are paged by number, so that a page begins [`OVERLAP`] elements before the last one's end: as many may vanish
//! between two calls. A notification of a comment without its text is done with once the comment was listed; where its
//! post is given up, is listed without it, or finds no room to wait, the notification itself is stored, so that the ids
//! arrive, and the text as another version where it is found later. A time that is refused again and again is begun
//! anew, and made shorter where a deep page of it was, with an overlap of ten minutes only. An empty list of posts
//! where there were posts is not believed before the token's role was looked at: a `RECRUITING_POSTER` is answered 200
//! with nothing in it ("Organization access control").
//!
//! # What is not
//! Likes are not asked for: a notification of one names nobody. Comments on older posts than the last
//! [`Settings::recent_posts`] are found by notifications alone. Names of people are in no answer.
//!
//! Sources: learn.microsoft.com/linkedin (posts, social actions, organization access control, notifications). That a
//! version that was withdrawn is answered 426, the codes of tokens that are over, and the words of a limit's message
//! are from memory.

mod answers;
mod found;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::inbox::{EntryKey, Event, Wanted};
use crate::poll::body::{encoded, members};
use crate::poll::memory::{Memory, Remembered, number_key};
use crate::poll::scope::ms;
use crate::poll::settings::ApiSettings;
use crate::poll::walk::{LATE_MS, Step, Walks};
use crate::poll::{
    Auth, Begun, Collector, CooldownScope, Endpoint, MAX_CHECKPOINT_BYTES, Method, NetworkRequest,
    NetworkResponse, ParsedResponse, Scope, Start, Stored, TokenTrouble, Verdict, checkpoint_json,
};
use answers::Role;
use found::{Comments, Found, Notifications, Posts, notified};
use waiting::{Waiting, comment_of};

pub use answers::verdict;

/// How many elements of a page are asked for again with the next.
pub const OVERLAP: u32 = 5;
/// How long notifications are kept: 60 days ("Organization Social Action Notifications").
const NOTIFICATIONS_MS: i64 = 60 * DAY_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const HOUR_MS: i64 = 3_600_000;
/// After how many refusals in a row a range is opened anew.
const MAX_REFUSALS: u8 = 3;
/// The overlap of two ranges of which the first was too long for LinkedIn.
const LEAST_OVERLAP_MS: i64 = 600_000;
/// How often notifications that LinkedIn pushes are polled for, less half a tick.
const PUSHED_EVERY: Duration = Duration::from_secs(3600 - 450);
/// The longest URN that is asked about, in bytes.
pub(crate) const MAX_URN_BYTES: usize = 128;
/// How often listing the comments of a post or comment may fail, at most once a tick, before it is given up.
const MAX_TRIES: u8 = 8;
/// After how many answers in a row that its comments are gone a post gets no more turns.
const MAX_GONE: u8 = 3;
const REMEMBERED: usize = 200;
/// How many notifications of the last ranges are remembered.
const REMEMBERED_TOLD: usize = 200;

/// The version of the API unless it is set: the newest that is known to be out (mid-September 2026).
pub(super) const VERSION: &str = "202609";

/// When a version ends, by its name (`YYYYMM`, or with a patch's number after it): a year after it came out, on the
/// 15th or a day or two later. The first of these days is taken
/// (learn.microsoft.com/linkedin/marketing/integrations/migrations: 202601 ends on 2027-01-15, 202603 on 2027-03-16).
pub(super) fn version_ends(version: &str) -> Option<Timestamp> {
    let (year, month) = (version.get(..4)?.parse::<i16>().ok()?, version.get(4..6)?.parse::<i8>().ok()?);
    let end = jiff::civil::Date::new(year.checked_add(1)?, month, 15).ok()?;
    Some(end.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// What may differ between deployments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `Linkedin-Version`: a month, `YYYYMM`. LinkedIn withdraws each about a year after its month.
    pub version: String,
    /// How many elements are asked for at once: [`OVERLAP`] and more, to 100.
    pub page_size: u32,
    /// The kinds of notifications that are asked for. A name that LinkedIn does not know refuses the whole call.
    pub actions: Vec<String>,
    /// How many of the newest posts take turns at having their comments listed, one a tick.
    pub recent_posts: usize,
    /// How long after notifications were asked for they are asked for again. Where LinkedIn pushes them, polling is
    /// only for what a push lost.
    pub notified_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let actions =
            ["COMMENT", "ADMIN_COMMENT", "COMMENT_EDIT", "COMMENT_DELETE", "SHARE", "SHARE_MENTION"];
        Self {
            version: VERSION.to_owned(),
            page_size: 100,
            actions: actions.map(str::to_owned).to_vec(),
            recent_posts: 20,
            notified_every: Duration::ZERO,
        }
    }
}

/// Begins the collection of a company's page.
pub(super) fn begin(start: Start<'_>) -> Begun {
    let Start { scope, api, checkpoint, is_pushed, .. } = start;
    let settings = Settings {
        version: api.version.to_string(),
        page_size: api.page_size,
        notified_every: if is_pushed { PUSHED_EVERY } else { Duration::ZERO },
        ..Settings::default()
    };
    Begun::from(checkpoint, |kept| Collection::new(scope, settings, kept))
}

/// The headers of every call.
pub(super) fn rest_headers(version: &str) -> Vec<(&'static str, String)> {
    vec![("linkedin-version", version.to_owned()), ("x-restli-protocol-version", "2.0.0".to_owned())]
}

/// Asks for a comment that was pushed without its text.
pub(super) fn complete(wanted: &Wanted, api: &ApiSettings) -> NetworkRequest {
    let urn = if let Wanted::Comment { comment } = wanted { comment.as_str() } else { "" };
    let parts = urn.strip_prefix("urn:li:comment:(").and_then(|rest| rest.strip_suffix(')'));
    let (on, id) = parts.and_then(|parts| parts.rsplit_once(',')).unwrap_or((urn, ""));
    let path = format!("/rest/socialActions/{}/comments/{}", encoded(on), encoded(id));
    let (operation, to, method, auth) = ("comment", Endpoint::Api, Method::Get, Auth::Bearer);
    let headers = rest_headers(&api.version);
    NetworkRequest { operation, to, method, path, query: Vec::new(), headers, auth, units: 1 }
}

/// Reads the answer: the comment, as lists have it. One that is gone is told by the notification of its deletion.
pub(super) fn completed(wanted: &Wanted, answer: &NetworkResponse<'_>, now: Timestamp) -> ParsedResponse {
    let verdict = verdict(answer, now);
    let nothing = |verdict| ParsedResponse { events: Vec::new(), verdict };
    if verdict == Verdict::Gone {
        return nothing(Verdict::Fine);
    }
    let (Verdict::Fine, Wanted::Comment { comment }) = (&verdict, wanted) else { return nothing(verdict) };
    match found::comment(answer.body, comment) {
        Some(event) => ParsedResponse { events: vec![event], verdict },
        None => nothing(Verdict::Malformed),
    }
}

/// A range of time whose notifications are asked for, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Range {
    start: i64,
    end: i64,
    offset: u32,
    /// How often in a row it was refused.
    refused: u8,
}

/// A post.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Post {
    urn: String,
    published: i64,
    /// How often in a row LinkedIn answered that its comments are gone, which also happens to new posts.
    gone: u8,
}

/// What is kept between ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    checked: Option<u64>,
    /// Notifications up to here are stored, in milliseconds.
    notified_to: Option<i64>,
    range: Option<Range>,
    posts: Walks,
    /// Whether the last list of posts had any.
    has_posts: bool,
    recent: Vec<Post>,
    waiting: VecDeque<Waiting>,
    /// The post that had the last turn; None until the first list of posts is complete, whose comments are all listed.
    turn: Option<String>,
    seen: Remembered,
    /// The notifications that were stored, or whose comments wait to be listed.
    told: Remembered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Check,
    Notifications,
    Posts,
    Comments,
}

#[derive(Debug)]
enum Pending {
    Notifications {
        next: Option<u32>,
        prompts: Vec<(String, Option<Value>)>,
        deleted: Vec<String>,
        keys: Vec<EntryKey>,
    },
    Posts(Step, Vec<Post>),
    Comments(Option<u32>, Vec<Waiting>, Vec<String>),
    GivenUp,
}

/// A tick's collection of a company's page.
#[derive(Debug)]
pub struct Collection {
    scope: Scope,
    settings: Settings,
    kept: Checkpoint,
    /// Where the list of the member's roles goes on.
    roles_from: u32,
    /// Whether the member's roles are to be checked, because a list of posts was unexpectedly empty.
    doubts: bool,
    done: Vec<Part>,
    /// The posts and comments whose comments could not be listed in this tick.
    parked: Vec<String>,
    /// Whether a request about the page was answered.
    answered: bool,
    /// Whether comments were listed.
    listed: bool,
    /// How often comments were denied.
    denied: u8,
    over: bool,
    pending: Option<Pending>,
}

impl Collection {
    /// Begins where the last tick ended.
    #[must_use]
    pub fn new(scope: Scope, settings: Settings, kept: Checkpoint) -> Self {
        let mut run = Self {
            scope,
            settings,
            kept,
            roles_from: 0,
            doubts: false,
            done: Vec::new(),
            parked: Vec::new(),
            answered: false,
            listed: false,
            denied: 0,
            over: false,
            pending: None,
        };
        run.forget_range();
        run.open_range(LATE_MS);
        run.kept.posts.begin_late(run.scope.now_ms(), |ms| ms);
        run.take_turns();
        run
    }

    /// The earliest start of a range: LinkedIn keeps its notifications for at least another day.
    fn oldest_kept(&self) -> i64 {
        self.scope.beginning_ms().max(self.scope.now_ms() - NOTIFICATIONS_MS + DAY_MS)
    }

    /// Cuts or drops a range that begins before what LinkedIn keeps, because LinkedIn refuses such a range whole.
    fn forget_range(&mut self) {
        let (oldest, kept_from) = (self.oldest_kept(), self.scope.now_ms() - NOTIFICATIONS_MS);
        let range = self.kept.range.take();
        self.kept.range = range.and_then(|range| match range {
            range if range.start > kept_from + HOUR_MS => Some(range),
            range if range.end > oldest => Some(Range { start: oldest, end: range.end, ..Range::default() }),
            _ => None,
        });
    }

    /// The time that is open was refused. After some times it is begun anew, and, where it was a deep page that was
    /// refused, at half its length: the rest is asked for after it.
    fn refuse_range(&mut self) {
        let Some(range) = &mut self.kept.range else { return };
        range.refused = range.refused.saturating_add(1);
        if range.refused < MAX_REFUSALS {
            return;
        }
        let half = (range.offset > 0).then(|| ((range.end - range.start) / 2).max(HOUR_MS));
        self.kept.range = None;
        // A shorter time has to end after what is stored, or it would never get on.
        self.open_range(if half.is_some() { LEAST_OVERLAP_MS } else { LATE_MS });
        if let (Some(range), Some(half)) = (&mut self.kept.range, half) {
            range.end = range.end.min(range.start + half);
        }
    }

    /// Opens the range since the last notifications, less an overlap, if none is open.
    fn open_range(&mut self, overlap_ms: i64) {
        let end = self.scope.now_ms();
        let oldest = self.oldest_kept();
        let start = self.kept.notified_to.map_or(oldest, |to| oldest.max(to - overlap_ms));
        let pause = ms(self.settings.notified_every);
        let is_new = self.kept.notified_to.is_none_or(|to| to + pause < end) && start < end;
        if self.kept.range.is_none() && is_new {
            self.kept.range = Some(Range { start, end, ..Range::default() });
        }
    }

    /// Gives the next of the newest posts its turn to have its comments listed; after the last comes the first.
    fn take_turns(&mut self) {
        let Some(last) = &self.kept.turn else { return };
        let recent = &self.kept.recent;
        let after = recent.iter().position(|post| post.urn == *last).map_or(0, |at| at + 1);
        if let Some(urn) = recent.get(after).or(recent.first()).map(|post| post.urn.clone()) {
            self.kept.turn = Some(urn.clone());
            self.kept.wait_for(Waiting::of(urn));
        }
    }

    fn part(&self) -> Option<Part> {
        if self.over {
            return None;
        }
        if self.doubts || self.kept.checked != Some(self.scope.token_version) {
            return Some(Part::Check);
        }
        let open = |part: &Part| match part {
            Part::Check => false,
            Part::Notifications => self.kept.range.is_some(),
            Part::Posts => self.kept.posts.current().is_some(),
            Part::Comments => {
                self.kept.waiting.front().is_some_and(|waiting| !self.parked.contains(&waiting.urn))
            }
        };
        let parts = [Part::Notifications, Part::Posts, Part::Comments].into_iter();
        parts.filter(|part| !self.done.contains(part)).find(open)
    }

    /// The path with its query, in the syntax of Rest.li 2.0: its parentheses, commas and colons stand as they are, and
    /// those of URNs are escaped.
    fn target(&self, part: Part) -> (&'static str, String) {
        let organization = encoded(&format!("urn:li:organization:{}", self.scope.owner));
        let count = self.settings.page_size;
        match part {
            Part::Check => {
                let start = self.roles_from;
                let query = format!("q=roleAssignee&state=APPROVED&start={start}&count={count}");
                ("roles", format!("/rest/organizationAcls?{query}"))
            }
            Part::Notifications => {
                let range = self.kept.range.clone().unwrap_or_default();
                let actions: Vec<String> = self.settings.actions.iter().map(|one| encoded(one)).collect();
                let query = format!(
                    "q=criteria&actions=List({})&organizationalEntity={organization}&timeRange=(start:{},end:{})\
                     &start={}&count={count}",
                    actions.join(","),
                    range.start,
                    range.end,
                    range.offset
                );
                ("notifications", format!("/rest/organizationalEntityNotifications?{query}"))
            }
            Part::Posts => {
                let query = format!("q=author&author={organization}&sortBy=LAST_MODIFIED");
                ("posts", format!("/rest/posts?{query}&start={}&count={count}", self.posts_from()))
            }
            Part::Comments => {
                let waiting = self.kept.waiting.front().cloned().unwrap_or_default();
                let (urn, start) = (encoded(&waiting.urn), waiting.offset);
                ("comments", format!("/rest/socialActions/{urn}/comments?start={start}&count={count}"))
            }
        }
    }

    fn posts_from(&self) -> u32 {
        let gap = self.kept.posts.current();
        gap.and_then(|gap| gap.cursor.as_ref()?.parse().ok()).unwrap_or(0)
    }

    /// Reads a page of the companies at which the token's member has a role.
    fn read_roles(&mut self, body: &[u8]) -> Verdict {
        let Some(found) = members(body).and_then(|body| Found::of(&body)) else {
            return Verdict::Malformed;
        };
        let next = found.next(self.roles_from, self.settings.page_size);
        match answers::role(&found.elements, self.scope.owner.as_str()) {
            Role::Sees => {
                self.kept.checked = Some(self.scope.token_version);
                // It may see posts; there are none.
                self.kept.has_posts &= !self.doubts;
                self.doubts = false;
                Verdict::Fine
            }
            // A role is no permission, so none is named.
            Role::Blind => Verdict::Token(TokenTrouble::Narrowed(None)),
            Role::None { others } => match next.filter(|&next| next > self.roles_from) {
                Some(next) => {
                    self.roles_from = next;
                    Verdict::Fine
                }
                // Only an answer that names another company shows that the token is somebody else's. A page of the list
                // that follows others was reached because they have some.
                None if others || self.roles_from > 0 => Verdict::NotThePages,
                None => Verdict::Token(TokenTrouble::Narrowed(None)),
            },
        }
    }

    fn read_part(&mut self, part: Part, body: &[u8]) -> ParsedResponse {
        let nothing = |verdict| ParsedResponse { events: Vec::new(), verdict };
        let Some(found) = members(body).and_then(|body| Found::of(&body)) else {
            return ParsedResponse { events: self.unreadable(part), verdict: Verdict::Malformed };
        };
        (self.answered, self.listed) = (true, self.listed || part == Part::Comments);
        let count = self.settings.page_size;
        let (events, pending) = match part {
            Part::Check => (Vec::new(), None),
            Part::Notifications => {
                let offset = self.kept.range.as_ref().map_or(0, |range| range.offset);
                let next = found.next(offset, count);
                let is_known = |key: &EntryKey| self.kept.told.recall(key) == Memory::Same;
                let Notifications { mut events, prompts, deleted, keys } = found.notifications(is_known);
                let (prompts, without) = self.kept.room_for(prompts);
                events.extend(without);
                (events, Some(Pending::Notifications { next, prompts, deleted, keys }))
            }
            Part::Posts => {
                let offset = self.posts_from();
                if offset == 0 && found.elements.is_empty() && self.kept.has_posts {
                    (self.doubts, self.roles_from) = (true, 0);
                    self.done.push(Part::Posts);
                    return nothing(Verdict::Fine);
                }
                let next = found.next(offset, count).map(|next| next.to_string());
                let told_to = self.kept.posts.current().and_then(|gap| gap.told_to());
                let after = self.scope.told_after(told_to.unwrap_or(i64::MIN));
                let Posts { events, step, posts } = found.posts(after, self.scope.now_ms());
                (events, Some(Pending::Posts(Step { next, ..step }, posts)))
            }
            Part::Comments => {
                let front = self.kept.waiting.front().cloned().unwrap_or_default();
                let next = found.next(front.offset, count);
                let oldest = self.scope.within_reach();
                let Comments { mut events, answered, met } = found.comments(oldest, &front.looked_for());
                if next.is_none() && !front.again {
                    let is_missing = |told: &&Value| comment_of(told).is_none_or(|urn| !met.contains(&urn));
                    events.extend(front.told.iter().filter(is_missing).filter_map(notified));
                }
                (events, Some(Pending::Comments(next, answered, met)))
            }
        };
        self.pending = pending;
        if events.is_empty() {
            self.count();
        }
        ParsedResponse { events, verdict: Verdict::Fine }
    }

    fn count(&mut self) {
        match self.pending.take() {
            None => {}
            Some(Pending::Notifications { next, prompts, deleted, keys }) => {
                keys.iter().rev().for_each(|key| self.kept.told.note(key, REMEMBERED_TOLD));
                for (urn, told) in prompts {
                    self.kept.wait_for_told(urn, told);
                }
                self.kept.forget_deleted(&deleted);
                let Some(range) = &mut self.kept.range else { return };
                match next.filter(|&next| next > range.offset) {
                    Some(next) => (range.offset, range.refused) = (next, 0),
                    None => {
                        self.kept.notified_to = Some(range.end);
                        self.kept.range = None;
                        self.open_range(LATE_MS);
                    }
                }
            }
            Some(Pending::Posts(step, posts)) => {
                self.kept.posts.walked(step, self.scope.beginning_ms());
                self.remember(posts);
            }
            Some(Pending::Comments(next, answered, met)) => self.apply_comments(next, answered, &met),
            Some(Pending::GivenUp) => drop(self.kept.waiting.pop_front()),
        }
    }

    fn apply_comments(&mut self, next: Option<u32>, answered: Vec<Waiting>, met: &[String]) {
        let Some(front) = self.kept.waiting.front_mut() else { return };
        self.kept.recent.iter_mut().filter(|post| post.urn == front.urn).for_each(|post| post.gone = 0);
        front.told.retain(|told| comment_of(told).is_none_or(|urn| !met.contains(&urn)));
        match next {
            Some(next) => (front.offset, front.tries) = (next, 0),
            None if front.again => (front.offset, front.tries, front.again) = (0, 0, false),
            None => {
                let done = self.kept.waiting.pop_front();
                if let Some((urn, answers)) = done.and_then(|done| Some((done.urn, done.answers?))) {
                    self.kept.seen.note(&number_key(&urn, answers), REMEMBERED);
                }
            }
        }
        for waiting in answered {
            let key = number_key(&waiting.urn, waiting.answers.unwrap_or_default());
            if self.kept.seen.recall(&key) != Memory::Same {
                self.kept.wait_for(waiting);
            }
        }
    }

    /// Keeps the newest posts. The first to be seen have their comments listed at once.
    fn remember(&mut self, posts: Vec<Post>) {
        self.kept.has_posts |= !posts.is_empty();
        for post in posts.into_iter().filter(|post| post.urn.len() <= MAX_URN_BYTES) {
            if !self.kept.recent.iter().any(|known| known.urn == post.urn) {
                self.kept.recent.push(post);
            }
        }
        self.kept.recent.sort_by_key(|post| std::cmp::Reverse(post.published));
        self.kept.recent.truncate(self.settings.recent_posts);
        if self.kept.turn.is_none() && self.kept.posts.current().is_none() {
            self.kept.turn = self.kept.recent.first().map(|post| post.urn.clone());
            for post in self.kept.recent.clone() {
                self.kept.wait_for(Waiting::of(post.urn));
            }
        }
    }

    /// Passes over an answer that cannot be read: a part until the next tick, a post or comment until its next turn.
    fn unreadable(&mut self, part: Part) -> Vec<Event> {
        match part {
            Part::Check => self.over = true,
            Part::Notifications => {
                self.refuse_range();
                self.done.push(part);
            }
            Part::Posts => {
                self.kept.posts.unreadable();
                self.done.push(part);
            }
            Part::Comments => return self.unlisted(true, false),
        }
        Vec::new()
    }

    /// What an answer that is not good changes; says what is told for it, and what it is to be taken for: one thing
    /// among others whose comments are denied is gone, and says nothing of the token.
    fn failed(&mut self, part: Part, verdict: Verdict) -> ParsedResponse {
        let events = match (&verdict, part) {
            (Verdict::Token(TokenTrouble::Narrowed(_)), Part::Comments) => return self.denied(verdict),
            (Verdict::Malformed, _) | (Verdict::Gone, Part::Notifications) => self.unreadable(part),
            (Verdict::Gone, Part::Comments) => {
                if let Some(gone) = self.kept.waiting.front() {
                    self.kept.recent.retain_mut(|post| {
                        post.gone += u8::from(post.urn == gone.urn);
                        post.gone < MAX_GONE
                    });
                }
                self.unlisted(true, true)
            }
            (Verdict::Wait { of: CooldownScope::ThisOperation, .. } | Verdict::Transient, Part::Comments) => {
                self.done.push(part);
                // A network that answers nothing is down, whatever it is asked about.
                self.unlisted(self.answered && verdict == Verdict::Transient, false)
            }
            (_, Part::Check) => {
                self.over = true;
                Vec::new()
            }
            (Verdict::Token(TokenTrouble::Narrowed(_)) | Verdict::Gone | Verdict::Fine, _)
            | (Verdict::Wait { of: CooldownScope::ThisOperation, .. } | Verdict::Transient, _) => {
                self.done.push(part);
                Vec::new()
            }
            (Verdict::Wait { .. } | Verdict::OurFault(_) | Verdict::NotThePages | Verdict::Token(_), _) => {
                self.over = true;
                Vec::new()
            }
        };
        ParsedResponse { events, verdict }
    }

    /// The comments of one thing are denied. Where those of two were, or of the only one there is, and none were
    /// listed, the token is why, and no others are asked for in this tick.
    fn denied(&mut self, verdict: Verdict) -> ParsedResponse {
        self.denied = self.denied.saturating_add(1);
        let is_only = self.kept.recent.len() <= 1 && self.kept.waiting.len() <= 1;
        let is_the_tokens = !self.listed && (self.denied > 1 || is_only);
        if is_the_tokens {
            self.done.push(Part::Comments);
        }
        let verdict = if is_the_tokens { verdict } else { Verdict::Gone };
        ParsedResponse { events: self.unlisted(true, false), verdict }
    }

    /// The comments of the thing whose turn it is could not be listed: it goes behind the others, and is given up after
    /// some times, or at once where it is gone. What it waited for is then stored itself.
    fn unlisted(&mut self, counts: bool, is_gone: bool) -> Vec<Event> {
        let Some(mut waiting) = self.kept.waiting.pop_front() else { return Vec::new() };
        if waiting.failed(counts) && !is_gone {
            self.parked.push(waiting.urn.clone());
            self.kept.waiting.push_back(waiting);
            return Vec::new();
        }
        let events: Vec<Event> = waiting.told.iter().filter_map(notified).collect();
        if !events.is_empty() {
            self.kept.waiting.push_front(waiting);
            self.pending = Some(Pending::GivenUp);
        }
        events
    }
}

impl Collector for Collection {
    fn next(&self) -> Option<NetworkRequest> {
        let part = self.part()?;
        let (operation, path) = self.target(part);
        let mut headers = rest_headers(&self.settings.version);
        if part != Part::Comments {
            headers.push(("x-restli-method", "FINDER".to_owned()));
        }
        let (to, method, auth) = (Endpoint::Api, Method::Get, Auth::Bearer);
        Some(NetworkRequest { operation, to, method, path, query: Vec::new(), headers, auth, units: 1 })
    }

    fn on_response(&mut self, answer: &NetworkResponse<'_>, now: Timestamp) -> ParsedResponse {
        self.pending = None;
        let verdict = verdict(answer, now);
        let nothing = |verdict| ParsedResponse { events: Vec::new(), verdict };
        match self.part() {
            None => nothing(verdict),
            Some(Part::Check) if verdict == Verdict::Fine => {
                let verdict = self.read_roles(answer.body);
                self.over |= verdict != Verdict::Fine;
                nothing(verdict)
            }
            Some(part) if verdict == Verdict::Fine => self.read_part(part, answer.body),
            Some(part) => self.failed(part, verdict),
        }
    }

    fn on_stored(&mut self, _: Stored) {
        self.count();
    }

    fn checkpoint(&self) -> String {
        let kept = checkpoint_json(&self.kept);
        if kept.len() <= MAX_CHECKPOINT_BYTES {
            return kept;
        }
        // What is remembered saves calls only; where to go on is needed.
        let (seen, told) = (Remembered::default(), Remembered::default());
        checkpoint_json(&Checkpoint { seen, told, ..self.kept.clone() })
    }
}
