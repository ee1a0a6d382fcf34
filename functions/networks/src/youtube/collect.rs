//! YouTube Data v3: a channel's new videos, and the comments on them and their answers.
//!
//! Videos are those of the uploads playlist, 50 a call; comment threads come newest first, with some of their answers;
//! where there are more answers than the thread shows, and their number has changed, they are listed. Of threads 100
//! are asked for, and in this order about 20 are answered, with a next page (github.com/sameerdash2/comment-viewer,
//! issue 10). Each call is 1 unit of the day's 10,000 (developers.google.com/youtube/v3/determine_quota_cost).
//!
//! # How deep it looks
//! There is no `publishedAfter`, and threads are in the order of their own publication: an answer to an older thread,
//! an edit, or a comment that was held for review does not move a thread up. So each tick walks down to what the last
//! one began with, through the first page of threads, and through all of the last two hours from
//! time to time; every [`Settings::sweep_every`] a sweep goes down [`Settings::sweep_depth`], or more rarely where its
//! pages are more than [`Settings::sweeps`] allows. What happens on older threads is found while the thread is that
//! young, and later no more. Of videos, the first 50 are looked at each tick, for changes of their titles and
//! descriptions too.
//!
//! # What is not guaranteed
//! Private and unlisted videos are no publications, until they are public. What was deleted is not answered. In which
//! order `comments.list` gives answers is not documented, so all of them are listed.
//!
//! Source: developers.google.com/youtube/v3/docs (channels, playlistItems, commentThreads, comments).

mod found;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::google::answers::{self as google, Refusal};
use crate::inbox::{EntryKey, Event, Wanted};
use crate::network::NetworkId;
use crate::poll::body::{members, tree};
use crate::poll::budget::{Sweeps, midnight_pacific, sweep_milliunits};
use crate::poll::memory::Remembered;
use crate::poll::scope::ms;
use crate::poll::settings::ApiSettings;
use crate::poll::walk::{Step, Walks};
use crate::poll::{
    Auth, Begun, Collector, CooldownScope, Endpoint, MAX_CHECKPOINT_BYTES, Method, NetworkRequest,
    NetworkResponse, ParsedResponse, Scope, Start, Stored, TokenTrouble, Verdict, checkpoint_json,
};
use found::Found;

/// How many videos and threads with many answers are remembered.
const REMEMBERED_VIDEOS: usize = 60;
const REMEMBERED_THREADS: usize = 200;

/// How often the answers of a thread may fail to be listed, in as many ticks, until it is left for the next walk.
const MAX_TRIES: u8 = 8;

/// The longest cursor through a thread's answers, in bytes.
const MAX_CURSOR_BYTES: usize = 1024;

/// The estimated units of a walk through older threads beyond the first page, which each run asks for: the pages of
/// 2,000 threads. A channel that has fewer takes less.
const SWEEP_UNITS: u32 = 19;
/// How often older threads are looked at again.
const SWEEP_EVERY: Duration = Duration::from_secs(6 * 3600);
/// What the walks through older threads take a day, in thousandths of a unit.
pub(super) const SWEEPS: u64 = sweep_milliunits(SWEEP_UNITS as u64, SWEEP_EVERY);
/// The most videos that an answer holds.
const MAX_VIDEOS: u32 = 50;

/// What is asked of a video.
const VIDEO_PARTS: &str = "snippet,contentDetails,status";

/// The version of the API unless it is set.
pub(super) const VERSION: &str = "v3";

/// What may differ between deployments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The API's version, as paths have it.
    pub version: String,
    /// How many videos are asked for at once: 1 to 50.
    pub videos: u32,
    /// How many threads or answers are asked for at once: 1 to 100.
    pub comments: u32,
    /// How often older threads are looked at again.
    pub sweep_every: Duration,
    /// What that may take a day, in thousandths of a unit.
    pub sweeps: u64,
    /// How old these may be.
    pub sweep_depth: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: VERSION.to_owned(),
            videos: MAX_VIDEOS,
            comments: 100,
            sweep_every: SWEEP_EVERY,
            sweeps: u64::MAX,
            sweep_depth: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// Begins the collection of a channel.
pub(super) fn begin(start: Start<'_>) -> Begun {
    let Start { scope, api, sweeps, checkpoint, .. } = start;
    let settings = Settings {
        version: api.version.to_string(),
        videos: api.page_size.min(MAX_VIDEOS),
        comments: api.page_size,
        sweeps,
        ..Settings::default()
    };
    Begun::from(checkpoint, |kept| Collection::new(scope, settings, kept))
}

/// The playlist of a channel's uploads: it has the channel's id with `UU` for `UC`.
fn uploads_of(channel: &str) -> Option<String> {
    channel.strip_prefix("UC").map(|rest| format!("UU{rest}"))
}

/// Asks for a video that was pushed, as it stands in the list of the channel's uploads.
pub(super) fn complete(wanted: &Wanted, page: &NetworkId, api: &ApiSettings) -> NetworkRequest {
    let video = if let Wanted::Video { video, .. } = wanted { video.clone() } else { String::new() };
    let playlist = uploads_of(page.as_str()).unwrap_or_else(|| page.to_string());
    let query = vec![("part", VIDEO_PARTS.to_owned()), ("playlistId", playlist), ("videoId", video)];
    request(&api.version, "video", "playlistItems", query, MAX_VIDEOS)
}

/// Reads the answer. A video that is private or unlisted, or in the list no more, is not told: where it is shown
/// later, it is pushed again, or found by polling.
pub(super) fn completed(wanted: &Wanted, answer: &NetworkResponse<'_>, now: Timestamp) -> ParsedResponse {
    let nothing = |verdict| ParsedResponse { events: Vec::new(), verdict };
    let verdict = google::verdict(answer, now, midnight_pacific(now), (READING_SCOPE, true));
    let (Verdict::Fine, Wanted::Video { video, edited }) = (&verdict, wanted) else {
        return nothing(verdict);
    };
    match members(answer.body).and_then(|body| Found::of(&body)) {
        Some(found) => ParsedResponse { events: found.video(video, *edited).into_iter().collect(), verdict },
        None => nothing(Verdict::Malformed),
    }
}

/// A thread whose answers are to be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Thread {
    id: String,
    /// How many answers it was said to have.
    answers: i64,
    video: Option<String>,
    cursor: Option<String>,
    /// How often in a row the network failed to list them.
    tries: u8,
}

fn request(
    version: &str,
    what: &'static str,
    name: &str,
    mut query: Vec<(&'static str, String)>,
    most: u32,
) -> NetworkRequest {
    query.push(("maxResults", most.to_string()));
    NetworkRequest {
        operation: what,
        to: Endpoint::Api,
        method: Method::Get,
        path: format!("/youtube/{}/{name}", crate::poll::body::encoded(version)),
        query,
        headers: Vec::new(),
        auth: Auth::Bearer,
        units: 1,
    }
}

/// What is kept between ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    checked: Option<u64>,
    /// The playlist of the channel's uploads.
    uploads: Option<String>,
    videos: Walks,
    threads: Walks,
    /// The threads of the last page whose answers are not all listed yet.
    waiting: VecDeque<Thread>,
    /// The walks through older threads.
    #[serde(flatten)]
    sweeps: Sweeps,
    seen_videos: Remembered,
    seen_threads: Remembered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Check,
    Videos,
    Answers,
    Threads,
}

/// What counts once the last answer's events are stored.
#[derive(Debug)]
enum Pending {
    Videos(Step, Vec<EntryKey>),
    Threads(Step, Vec<Thread>),
    Answers(Option<String>),
}

/// The scope that shows a channel and its videos (developers.google.com/youtube/v3/docs/channels/list).
const READING_SCOPE: &str = "https://www.googleapis.com/auth/youtube.readonly";
/// The scope that comments take (developers.google.com/youtube/v3/docs/commentThreads/list).
const COMMENTS_SCOPE: &str = "https://www.googleapis.com/auth/youtube.force-ssl";

/// A tick's collection of a channel.
#[derive(Debug)]
pub struct Collection {
    scope: Scope,
    settings: Settings,
    kept: Checkpoint,
    done: Vec<Part>,
    over: bool,
    pending: Option<Pending>,
}

impl Collection {
    /// Begins where the last tick ended.
    #[must_use]
    pub fn new(scope: Scope, settings: Settings, mut kept: Checkpoint) -> Self {
        let now = scope.now_ms();
        kept.videos.begin_late(now, |ms| ms);
        if kept.sweeps.is_due(scope.now, settings.sweep_every, SWEEP_UNITS, settings.sweeps) {
            if kept.threads.begin_back(now, ms(settings.sweep_depth)) {
                kept.sweeps.began(scope.now);
            }
        } else {
            kept.threads.begin_late(now, |ms| ms);
        }
        Self { scope, settings, kept, done: Vec::new(), over: false, pending: None }
    }

    fn part(&self) -> Option<Part> {
        if self.over {
            return None;
        }
        if self.kept.checked != Some(self.scope.token_version) || self.kept.uploads.is_none() {
            return Some(Part::Check);
        }
        let open = |part: &Part| match part {
            Part::Check => false,
            Part::Videos => self.kept.videos.current().is_some(),
            Part::Answers => !self.kept.waiting.is_empty(),
            Part::Threads => self.kept.threads.current().is_some(),
        };
        let parts = [Part::Videos, Part::Answers, Part::Threads].into_iter();
        parts.filter(|part| !self.done.contains(part)).find(open)
    }

    fn ask_part(&self, part: Part) -> NetworkRequest {
        let own = |text: &str| text.to_owned();
        let (videos, comments) = (self.settings.videos, self.settings.comments);
        let thread = self.kept.waiting.front();
        let cursor = match part {
            Part::Check => None,
            Part::Videos => self.kept.videos.current().and_then(|gap| gap.cursor.clone()),
            Part::Threads => self.kept.threads.current().and_then(|gap| gap.cursor.clone()),
            Part::Answers => thread.and_then(|thread| thread.cursor.clone()),
        };
        let (what, name, mut query, most) = match part {
            Part::Check => {
                ("channel", "channels", vec![("part", own("id,contentDetails")), ("mine", own("true"))], 50)
            }
            Part::Videos => {
                let playlist = self.kept.uploads.clone().unwrap_or_default();
                let query = vec![("part", own(VIDEO_PARTS)), ("playlistId", playlist)];
                ("videos", "playlistItems", query, videos)
            }
            Part::Threads => {
                let query = vec![
                    ("part", own("snippet,replies")),
                    ("allThreadsRelatedToChannelId", self.scope.owner.to_string()),
                    ("order", own("time")),
                    ("textFormat", own("plainText")),
                ];
                ("threads", "commentThreads", query, comments)
            }
            Part::Answers => {
                let parent = thread.map(|thread| thread.id.clone()).unwrap_or_default();
                let query =
                    vec![("part", own("snippet")), ("parentId", parent), ("textFormat", own("plainText"))];
                ("answers", "comments", query, comments)
            }
        };
        query.extend(cursor.map(|cursor| ("pageToken", cursor)));
        request(&self.settings.version, what, name, query, most)
    }

    fn heard_check(&mut self, body: &[u8]) -> Verdict {
        let body = tree(body);
        let owner = self.scope.owner.as_str();
        if !body.is_object() {
            return Verdict::Malformed;
        }
        if body["items"].as_array().is_none_or(Vec::is_empty) {
            // A user without a channel has no `items`, and so no other channel is named.
            return Verdict::Token(TokenTrouble::Narrowed(None));
        }
        let mut channels = body["items"].as_array().into_iter().flatten();
        let Some(channel) = channels.find(|channel| channel["id"].as_str() == Some(owner)) else {
            return Verdict::NotThePages;
        };
        let uploads = channel["contentDetails"]["relatedPlaylists"]["uploads"].as_str();
        let Some(uploads) = uploads.map(str::to_owned).or_else(|| uploads_of(owner)) else {
            return Verdict::Malformed;
        };
        self.kept.uploads = Some(uploads);
        self.kept.checked = Some(self.scope.token_version);
        Verdict::Fine
    }

    fn heard_part(&mut self, part: Part, body: &[u8]) -> ParsedResponse {
        let found = members(body).and_then(|body| Found::of(&body));
        let read = found.and_then(|found| match part {
            Part::Check => None,
            Part::Videos => self.videos(found),
            Part::Threads => self.threads(found),
            Part::Answers => self.answers(found),
        });
        let Some((events, pending)) = read else {
            self.unreadable(part);
            return ParsedResponse { events: Vec::new(), verdict: Verdict::Malformed };
        };
        self.pending = Some(pending);
        if events.is_empty() {
            self.count();
        }
        ParsedResponse { events, verdict: Verdict::Fine }
    }

    fn videos(&self, found: Found<'_>) -> Option<(Vec<Event>, Pending)> {
        let told_to = self.kept.videos.current()?.told_to().unwrap_or(i64::MIN);
        let after = self.scope.told_after(told_to);
        let (events, keys, step) = found.videos(after, &self.scope, &self.kept.seen_videos);
        Some((events, Pending::Videos(step, keys)))
    }

    fn threads(&self, found: Found<'_>) -> Option<(Vec<Event>, Pending)> {
        let told_to = self.kept.threads.current()?.told_to().unwrap_or(i64::MIN);
        let after = self.scope.told_after(told_to);
        let (events, threads, step) = found.threads(after, self.scope.now_ms());
        let waiting = threads.into_iter().filter(|thread| {
            let key = found::answers_key(&thread.id, thread.answers);
            self.kept.seen_threads.recall(&key) != crate::poll::memory::Memory::Same
        });
        Some((events, Pending::Threads(step, waiting.collect())))
    }

    fn answers(&self, found: Found<'_>) -> Option<(Vec<Event>, Pending)> {
        let thread = self.kept.waiting.front()?;
        // Whichever walk saw the thread, another may not have told of its answers yet: all of them are told.
        let (events, next) = found.answers(thread, self.scope.within_reach());
        // A cursor that leads to itself, or is endless, ends the list.
        let follows = |next: &String| Some(next) != thread.cursor.as_ref() && next.len() <= MAX_CURSOR_BYTES;
        let next = next.filter(follows);
        Some((events, Pending::Answers(next)))
    }

    fn count(&mut self) {
        let floor = self.scope.beginning_ms();
        match self.pending.take() {
            None => {}
            Some(Pending::Videos(step, keys)) => {
                self.kept.videos.walked(step, floor);
                keys.iter().rev().for_each(|key| self.kept.seen_videos.note(key, REMEMBERED_VIDEOS));
            }
            Some(Pending::Threads(step, waiting)) => {
                let gap = self.kept.threads.current();
                self.kept.sweeps.answered(gap.is_none_or(|gap| gap.cursor.is_none()));
                self.kept.threads.walked(step, floor);
                self.kept.waiting.extend(waiting);
            }
            Some(Pending::Answers(Some(next))) => {
                if let Some(thread) = self.kept.waiting.front_mut() {
                    (thread.cursor, thread.tries) = (Some(next), 0);
                }
            }
            Some(Pending::Answers(None)) => {
                if let Some(thread) = self.kept.waiting.pop_front() {
                    let key = found::answers_key(&thread.id, thread.answers);
                    self.kept.seen_threads.note(&key, REMEMBERED_THREADS);
                }
            }
        }
    }

    /// An answer that cannot be read is passed over: of a list until the next tick, of a thread until it is seen again.
    fn unreadable(&mut self, part: Part) {
        match part {
            Part::Check => self.over = true,
            Part::Videos => self.kept.videos.unreadable(),
            Part::Threads => self.kept.threads.unreadable(),
            Part::Answers => drop(self.kept.waiting.pop_front()),
        }
        if part != Part::Answers {
            self.done.push(part);
        }
    }

    fn failed(&mut self, part: Part, answer: &NetworkResponse<'_>, verdict: &Verdict) {
        match verdict {
            Verdict::Wait { of: CooldownScope::ThisOperation, .. } | Verdict::Transient => self.pause(part),
            Verdict::Token(TokenTrouble::Narrowed(_)) if part != Part::Check => self.pause(part),
            Verdict::Wait { .. } | Verdict::OurFault(_) | Verdict::NotThePages | Verdict::Token(_) => {
                self.over = true;
            }
            Verdict::Malformed if Refusal::of(answer.body).is(&["invalidPageToken"]) => self.restart(part),
            Verdict::Malformed => self.unreadable(part),
            // A channel without uploads has no such playlist, and one whose comments are closed no threads.
            Verdict::Gone if part == Part::Answers => drop(self.kept.waiting.pop_front()),
            Verdict::Gone | Verdict::Fine => self.pause(part),
        }
    }

    fn pause(&mut self, part: Part) {
        match part {
            Part::Check => self.over = true,
            // The next page of threads waits for these, and not without end.
            Part::Answers => {
                let thread = self.kept.waiting.pop_front();
                if let Some(mut thread) = thread.filter(|thread| thread.tries < MAX_TRIES) {
                    thread.tries += 1;
                    thread.cursor = None;
                    self.kept.waiting.push_back(thread);
                }
                self.done.extend([Part::Answers, Part::Threads]);
            }
            Part::Videos | Part::Threads => self.done.push(part),
        }
    }

    fn restart(&mut self, part: Part) {
        match part {
            Part::Check => {}
            Part::Videos => self.kept.videos.give_up_cursor(),
            Part::Threads => self.kept.threads.give_up_cursor(),
            Part::Answers => {
                if let Some(thread) = self.kept.waiting.front_mut() {
                    thread.cursor = None;
                }
            }
        }
        self.pause(part);
    }
}

impl Collector for Collection {
    fn next(&self) -> Option<NetworkRequest> {
        Some(self.ask_part(self.part()?))
    }

    fn on_response(&mut self, answer: &NetworkResponse<'_>, now: Timestamp) -> ParsedResponse {
        self.pending = None;
        let part = self.part();
        let object = part == Some(Part::Answers);
        let scope = match part {
            Some(Part::Threads | Part::Answers) => COMMENTS_SCOPE,
            _ => READING_SCOPE,
        };
        let verdict = google::verdict(answer, now, midnight_pacific(now), (scope, object));
        let nothing = |verdict| ParsedResponse { events: Vec::new(), verdict };
        match part {
            None => nothing(verdict),
            Some(Part::Check) if verdict == Verdict::Fine => {
                let verdict = self.heard_check(answer.body);
                self.over |= verdict != Verdict::Fine;
                nothing(verdict)
            }
            Some(part) if verdict == Verdict::Fine => self.heard_part(part, answer.body),
            Some(part) => {
                self.failed(part, answer, &verdict);
                nothing(verdict)
            }
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
        let (seen_threads, seen_videos) = (Remembered::default(), Remembered::default());
        checkpoint_json(&Checkpoint { seen_threads, seen_videos, ..self.kept.clone() })
    }
}
