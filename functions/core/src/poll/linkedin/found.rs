//! What is found in LinkedIn's answers.

use serde_json::Value;
use serde_json::value::RawValue;

use super::{OVERLAP, Post, Waiting};
use crate::collected::By;
use crate::inbox::{Event, Shape};
use crate::network::Network;
use crate::normalise::linkedin::{is_comment, said};
use crate::poll::body::{list, value};
use crate::poll::walk::Step;
use crate::push::members::Members;

/// A list of LinkedIn's.
pub(super) struct Found<'a> {
    pub(super) elements: Vec<&'a RawValue>,
    paging: Value,
}

/// What a page of notifications says, and the posts whose comments must be listed for it.
pub(super) struct Notifications {
    pub(super) events: Vec<Event>,
    pub(super) prompts: Vec<String>,
}

/// A page of posts.
pub(super) struct Posts {
    pub(super) events: Vec<Event>,
    pub(super) step: Step,
    pub(super) posts: Vec<Post>,
}

/// A page of comments, and those of them that have answers.
pub(super) struct Comments {
    pub(super) events: Vec<Event>,
    pub(super) answered: Vec<Waiting>,
}

fn event(shape: Shape, field: &str, raw: &RawValue) -> Event {
    Event {
        network: Network::Linkedin,
        by: By::Poll,
        shape,
        field: field.to_owned(),
        sent_at: None,
        raw: raw.to_owned(),
        beside: None,
    }
}

/// The first of these members that is a time, in milliseconds.
fn milliseconds(value: &Value, names: &[&str]) -> Option<i64> {
    names.iter().find_map(|name| value.pointer(name)?.as_i64())
}

impl<'a> Found<'a> {
    /// The list in a body; none where there is none.
    pub(super) fn of(body: &Members<'a>) -> Option<Self> {
        let elements = list(body, "elements")?;
        let paging = body.get("paging").map_or(Value::Null, value);
        // An object of another form is no empty list.
        (body.get("elements").is_some() || paging.is_object()).then_some(Self { elements, paging })
    }

    /// Where the next page begins; none where this is the last.
    pub(super) fn next(&self, offset: u32, count: u32) -> Option<u32> {
        let links = self.paging["links"].as_array();
        let linked = links.is_some_and(|links| links.iter().any(|link| link["rel"].as_str() == Some("next")));
        let end = offset.saturating_add(count);
        let counted = self.paging["total"].as_u64().map(|total| u64::from(end) < total);
        let is_full = self.elements.len() >= usize::try_from(count).unwrap_or(usize::MAX);
        // Without a word of it, a full page may not be the last.
        let more = linked || counted.unwrap_or(links.is_none() && is_full);
        more.then(|| end.saturating_sub(OVERLAP).max(offset.saturating_add(1)))
    }

    /// Notifications, but for those of comments without a text: such a comment's post is to be looked at instead.
    pub(super) fn notifications(self) -> Notifications {
        let mut found = Notifications { events: Vec::new(), prompts: Vec::new() };
        for raw in self.elements {
            let told = value(raw);
            let post = told["sourcePost"].as_str().map(str::to_owned);
            match post {
                Some(post) if is_comment(&told) && said(&told).is_none() => found.prompts.push(post),
                _ if told.is_object() => {
                    found.events.push(event(Shape::LinkedinNotification, "notification", raw));
                }
                _ => {}
            }
        }
        found
    }

    /// Published posts that changed after a time.
    pub(super) fn posts(self, after: i64, now: i64) -> Posts {
        let mut found = Posts { events: Vec::new(), step: Step::default(), posts: Vec::new() };
        for raw in self.elements {
            let post = value(raw);
            let changed = milliseconds(&post, &["/lastModifiedAt", "/lastModified/time"]);
            let published =
                milliseconds(&post, &["/publishedAt", "/firstPublishedAt", "/createdAt", "/created/time"]);
            found.step.newest = found.step.newest.max(changed.map(|at| at.min(now)));
            found.step.last = changed.or(found.step.last);
            let state = post["lifecycleState"].as_str().unwrap_or("PUBLISHED");
            if state != "PUBLISHED" {
                continue;
            }
            if let Some(urn) = post["id"].as_str() {
                found.posts.push(Post { urn: urn.to_owned(), published: published.unwrap_or_default() });
            }
            if post.is_object() && changed.is_none_or(|at| at > after) {
                found.events.push(event(Shape::LinkedinPost, "post", raw));
            }
        }
        found
    }

    /// Comments that changed after a time.
    pub(super) fn comments(self, after: i64) -> Comments {
        let mut found = Comments { events: Vec::new(), answered: Vec::new() };
        for raw in self.elements {
            let comment = value(raw);
            let changed = milliseconds(&comment, &["/lastModified/time", "/created/time"]);
            if comment.is_object() && changed.is_none_or(|at| at > after) {
                found.events.push(event(Shape::LinkedinComment, "comment", raw));
            }
            let summary = &comment["commentsSummary"];
            let counted = ["totalFirstLevelComments", "aggregatedTotalComments"];
            let answers = counted.iter().find_map(|name| summary[*name].as_i64()).unwrap_or(0);
            let urn = comment["commentUrn"].as_str().or_else(|| comment["$URN"].as_str());
            if let Some(urn) = urn.filter(|_| answers > 0) {
                found.answered.push(Waiting {
                    urn: urn.to_owned(),
                    answers: Some(answers),
                    ..Waiting::default()
                });
            }
        }
        found
    }
}
