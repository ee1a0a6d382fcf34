//! What is found in Google Play's answers.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::collected::By;
use crate::inbox::{EntryKey, Event, Shape};
use crate::network::Network;
use crate::normalise;
use crate::poll::body::{list, value};
use crate::poll::memory::{Memory, Remembered};
use crate::poll::scope::Scope;
use crate::poll::walk::Step;
use crate::push::members::Members;

/// A page of reviews.
pub(super) struct Found {
    pub(super) events: Vec<Event>,
    /// The keys of all reviews on it.
    pub(super) keys: Vec<EntryKey>,
    pub(super) step: Step,
}

/// The reviews and the answers of a page that changed after a time.
pub(super) fn reviews(body: &Members<'_>, after: i64, scope: &Scope, seen: &Remembered) -> Option<Found> {
    let pagination = body.get("tokenPagination").map_or(Value::Null, value);
    let next = pagination["nextPageToken"].as_str().filter(|next| !next.is_empty()).map(str::to_owned);
    let step = Step { next, ..Step::default() };
    let mut found = Found { events: Vec::new(), keys: Vec::new(), step };
    for raw in list(body, "reviews")? {
        found.take(raw, after, scope, seen);
    }
    Some(found)
}

impl Found {
    fn take(&mut self, raw: &RawValue, after: i64, scope: &Scope, seen: &Remembered) {
        let review = value(raw);
        let comments = Members::of(raw).and_then(|parts| list(&parts, "comments")).unwrap_or_default();
        let is_new = |at: Option<i64>| at.is_none_or(|at| at > after);
        if review.is_object() {
            let at = review["comments"].as_array().into_iter().flatten().find_map(user_changed);
            self.step.newest = self.step.newest.max(at.map(|at| at.min(scope.now_ms())));
            self.step.last = at.or(self.step.last);
            let mut event = event(Shape::GooglePlayReview, "review", raw, None);
            let reading = normalise::read(&event, &scope.owner);
            let key = EntryKey::new(&reading.thing, &reading.version);
            let recall = seen.recall(&key);
            if recall == Memory::Changed {
                event.beside = Some(json!({"edited": true}));
            }
            self.keys.push(key);
            // What was seen need not have been told: it may be in a gap that is not walked yet.
            self.events.extend(is_new(at).then_some(event));
        }
        for comment in comments {
            let of = value(comment);
            let at = changed(&of["developerComment"]);
            if of["developerComment"].is_object() && is_new(at) {
                let beside = json!({"reviewId": review["reviewId"]});
                self.events.push(event(Shape::GooglePlayReply, "reply", comment, Some(beside)));
            }
        }
    }
}

fn user_changed(comment: &Value) -> Option<i64> {
    changed(&comment["userComment"])
}

/// When a comment was changed last, in milliseconds. Its seconds are a text.
fn changed(comment: &Value) -> Option<i64> {
    normalise::value::time(&comment["lastModified"], "seconds").map(|at| at.as_millisecond())
}

fn event(shape: Shape, field: &str, raw: &RawValue, beside: Option<Value>) -> Event {
    Event {
        network: Network::GooglePlay,
        by: By::Poll,
        shape,
        field: field.to_owned(),
        sent_at: None,
        raw: raw.to_owned(),
        beside,
    }
}
