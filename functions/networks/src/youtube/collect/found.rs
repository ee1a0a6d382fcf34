//! What is found in YouTube's answers.

use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Thread;
use crate::collected::By;
use crate::inbox::{EntryKey, Event, Shape, Version};
use crate::network::Network;
use crate::normalise;
use crate::poll::body::{list, value};
use crate::poll::memory::{Memory, Remembered, number_key};
use crate::poll::scope::Scope;
use crate::poll::walk::Step;
use crate::push::members::Members;

/// The longest id of a thread whose answers are listed; YouTube's are of 26 characters.
const MAX_ID_BYTES: usize = 64;
/// The most threads of one page whose answers wait: no page has more.
const MAX_WAITING: usize = 100;

/// A list of YouTube's.
pub(super) struct Found<'a> {
    items: Vec<&'a RawValue>,
    next: Option<String>,
}

/// The key of a number of answers.
pub(super) fn answers_key(thread: &str, answers: i64) -> EntryKey {
    number_key(&format!("answers:{thread}"), answers)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn milliseconds(value: &Value) -> Option<i64> {
    value.as_str()?.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

fn event(shape: Shape, field: &str, raw: &RawValue, beside: Value) -> Event {
    Event {
        network: Network::Youtube,
        by: By::Poll,
        shape,
        field: field.to_owned(),
        sent_at: None,
        raw: raw.to_owned(),
        beside: Some(beside),
    }
}

fn is_public(item: &Value) -> bool {
    item["status"]["privacyStatus"].as_str().is_none_or(|status| status == "public")
}

/// A comment, where it changed after a time. One without a time did.
fn comment(raw: &RawValue, video: Option<&str>, parent: Option<&str>, after: i64) -> Option<Event> {
    let comment = value(raw);
    let snippet = &comment["snippet"];
    let changed = milliseconds(&snippet["updatedAt"]).or_else(|| milliseconds(&snippet["publishedAt"]));
    let beside = json!({"videoId": video, "parentId": parent});
    let is_new = comment.is_object() && changed.is_none_or(|at| at > after);
    is_new.then(|| event(Shape::YoutubeComment, "comment", raw, beside))
}

impl<'a> Found<'a> {
    /// The list in a body; none where what should be a list is something else.
    pub(super) fn of(body: &Members<'a>) -> Option<Self> {
        let next = body.text("nextPageToken").filter(|next| !next.is_empty());
        Some(Self { items: list(body, "items")?, next })
    }

    /// A public video of a playlist, by its id.
    pub(super) fn video(self, id: &str, edited: bool) -> Option<Event> {
        let is_it = |raw: &&&RawValue| value(raw)["contentDetails"]["videoId"].as_str() == Some(id);
        let raw = self.items.iter().find(is_it).filter(|raw| is_public(&value(raw)))?;
        let beside = edited.then(|| json!({"edited": true}));
        Some(Event { beside, ..event(Shape::YoutubeVideo, "video", raw, Value::Null) })
    }

    /// The public videos of a page of a playlist that are new or have changed, and the keys of all of them.
    pub(super) fn videos(
        self,
        after: i64,
        scope: &Scope,
        seen: &Remembered,
    ) -> (Vec<Event>, Vec<EntryKey>, Step) {
        let mut step = Step { next: self.next, ..Step::default() };
        let (mut events, mut keys) = (Vec::new(), Vec::new());
        for raw in self.items {
            let item = value(raw);
            let is_public = is_public(&item);
            if !item.is_object() {
                continue;
            }
            let published = milliseconds(&item["contentDetails"]["videoPublishedAt"]);
            let published = published.or_else(|| milliseconds(&item["snippet"]["publishedAt"]));
            step.newest = step.newest.max(published.map(|at| at.min(scope.now_ms())));
            step.last = published;
            let mut video = event(Shape::YoutubeVideo, "video", raw, Value::Null);
            video.beside = None;
            let reading = normalise::read(&video, &scope.owner);
            let hidden = EntryKey::new(&reading.thing, &Version::of_action(["hidden"]));
            if !is_public {
                // It is told when it is shown, whose time may be that of its upload.
                keys.push(hidden);
                continue;
            }
            let key = EntryKey::new(&reading.thing, &reading.version);
            let recall = seen.recall(&key);
            if recall == Memory::Changed && seen.recall(&hidden) != Memory::Same {
                video.beside = Some(json!({"edited": true}));
            }
            // What was seen need not have been told: it may be in a gap that is not walked yet.
            let is_new = published.is_none_or(|at| at > after);
            if is_new || recall == Memory::Changed {
                events.push(video);
            }
            keys.push(key);
        }
        (events, keys, step)
    }

    /// The comments of a page of threads that changed after a time, and the threads that have more answers than they
    /// show.
    pub(super) fn threads(self, after: i64, now: i64) -> (Vec<Event>, Vec<Thread>, Step) {
        let mut step = Step { next: self.next, ..Step::default() };
        let (mut events, mut waiting) = (Vec::new(), Vec::new());
        for raw in self.items {
            let thread = value(raw);
            let snippet = &thread["snippet"];
            let parts = Members::of(raw);
            let top = parts.as_ref().and_then(|parts| parts.object("snippet")?.get("topLevelComment"));
            let (Some(top), Some(id)) = (top, text(&snippet["topLevelComment"]["id"])) else { continue };
            let video = text(&snippet["videoId"]);
            let published = milliseconds(&snippet["topLevelComment"]["snippet"]["publishedAt"]);
            step.newest = step.newest.max(published.map(|at| at.min(now)));
            step.last = published.or(step.last);
            events.extend(comment(top, video.as_deref(), None, after));
            let replies = parts.as_ref().and_then(|parts| list(&parts.object("replies")?, "comments"));
            let replies = replies.unwrap_or_default();
            let shown = i64::try_from(replies.len()).unwrap_or(i64::MAX);
            let answers = replies.into_iter();
            events.extend(answers.filter_map(|raw| comment(raw, video.as_deref(), Some(&id), after)));
            let answers = snippet["totalReplyCount"].as_i64().unwrap_or(0);
            if answers > shown && id.len() <= MAX_ID_BYTES && waiting.len() < MAX_WAITING {
                let video = video.filter(|video| video.len() <= MAX_ID_BYTES);
                waiting.push(Thread { id, answers, video, ..Thread::default() });
            }
        }
        (events, waiting, step)
    }

    /// The answers of a page of a thread that changed after a time, and where the next page begins.
    pub(super) fn answers(self, thread: &Thread, after: i64) -> (Vec<Event>, Option<String>) {
        let (video, parent) = (thread.video.as_deref(), Some(thread.id.as_str()));
        let answers = self.items.into_iter();
        (answers.filter_map(|raw| comment(raw, video, parent, after)).collect(), self.next)
    }
}
