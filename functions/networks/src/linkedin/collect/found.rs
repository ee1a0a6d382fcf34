//! What is found in LinkedIn's answers.

use std::collections::BTreeSet;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::waiting::{Prompt, Waiting, comment_of};
use super::{OVERLAP, Post};
use crate::collected::By;
use crate::inbox::{EntryKey, Event, Shape, Version};
use crate::linkedin::normalise::{is_comment, said, spelled_out};
use crate::network::Network;
use crate::poll::body::{list, value};
use crate::poll::memory::number_key;
use crate::poll::walk::Step;
use crate::push::members::Members;

/// A list of LinkedIn's.
pub(super) struct Found<'a> {
    pub(super) elements: Vec<&'a RawValue>,
    paging: Value,
}

/// What a page of notifications says, and those for whose comments posts must be listed.
pub(super) struct Notifications {
    pub(super) events: Vec<Event>,
    pub(super) prompts: Vec<Prompt>,
    /// The comments that were deleted.
    pub(super) deleted: Vec<String>,
    /// The keys of all of them, of the known ones too.
    pub(super) keys: Vec<EntryKey>,
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
    /// Those that were looked for, and are there.
    pub(super) met: Vec<String>,
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

/// A notification, of what was kept of it.
pub(super) fn notified(told: &Value) -> Option<Event> {
    Some(event(Shape::LinkedinNotification, "notification", &to_raw_value(told).ok()?))
}

/// A comment that was asked for by its URN.
pub(super) fn comment(body: &[u8], urn: &str) -> Option<Event> {
    let raw: &RawValue = serde_json::from_slice(body).ok()?;
    let comment = value(raw);
    let own = comment["commentUrn"].as_str().or_else(|| comment["$URN"].as_str());
    let is_it = own.map_or(comment["id"].is_string(), |own| spelled_out(own) == urn);
    is_it.then(|| event(Shape::LinkedinComment, "comment", raw))
}

/// The key of a notification: what happened to what, and when; all that it says, where it does not say that.
fn key_of(told: &Value, raw: &RawValue) -> EntryKey {
    let text = |name: &str| told[name].as_str();
    match (text("action"), text("generatedActivity"), told["lastModifiedAt"].as_i64()) {
        (Some(action), Some(activity), Some(at)) => number_key(&format!("told:{action}:{activity}"), at),
        _ => EntryKey::new("told", &Version::of_action([raw.get()])),
    }
}

/// The first of these members that is a time, in milliseconds.
fn milliseconds(value: &Value, names: &[&str]) -> Option<i64> {
    names.iter().find_map(|name| value.pointer(name)?.as_i64())
}

/// The `start` in a link's query.
fn start_of(href: &str) -> Option<u32> {
    let (_, query) = href.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("start="))?.parse().ok()
}

impl<'a> Found<'a> {
    /// The list in a body; none where there is none.
    pub(super) fn of(body: &Members<'a>) -> Option<Self> {
        let elements = list(body, "elements")?;
        let paging = body.get("paging").map_or(Value::Null, value);
        // An object of another form is no empty list.
        (body.get("elements").is_some() || paging.is_object()).then_some(Self { elements, paging })
    }

    /// Where the next page begins; none where this is the last. LinkedIn may give fewer elements than were asked for:
    /// its link says where it goes on, or else how many it counted.
    pub(super) fn next(&self, offset: u32, count: u32) -> Option<u32> {
        let links = self.paging["links"].as_array();
        let linked = links.and_then(|links| links.iter().find(|link| link["rel"].as_str() == Some("next")));
        let given = self.paging["count"].as_u64().and_then(|given| u32::try_from(given).ok());
        let given = given.filter(|given| (1..count).contains(given)).unwrap_or(count);
        let said = linked.and_then(|link| start_of(link["href"].as_str()?)).filter(|&start| start > offset);
        let end = said.unwrap_or(offset.saturating_add(given));
        let counted = self.paging["total"].as_u64().map(|total| u64::from(end) < total);
        let is_full = self.elements.len() >= usize::try_from(given).unwrap_or(usize::MAX);
        // Without a word of it, a full page may not be the last.
        let more = linked.is_some() || counted.unwrap_or(links.is_none() && is_full);
        more.then(|| end.saturating_sub(OVERLAP).max(offset.saturating_add(1)))
    }

    /// Notifications that are not known yet, but for those of comments without a text: such a comment's post is to be
    /// looked at instead.
    pub(super) fn notifications(self, is_known: impl Fn(&EntryKey) -> bool) -> Notifications {
        let mut found =
            Notifications { events: Vec::new(), prompts: Vec::new(), deleted: Vec::new(), keys: Vec::new() };
        for raw in self.elements {
            let told = value(raw);
            if !told.is_object() {
                continue;
            }
            let key = key_of(&told, raw);
            found.keys.push(key.clone());
            if is_known(&key) {
                continue;
            }
            let event = event(Shape::LinkedinNotification, "notification", raw);
            if told["action"].as_str() == Some("COMMENT_DELETE") {
                found.deleted.extend(comment_of(&told));
            }
            match told["sourcePost"].as_str() {
                Some(post) if is_comment(&told) && said(&told).is_none() => {
                    let names = ["action", "generatedActivity", "lastModifiedAt", "notificationId"];
                    let members =
                        names.iter().filter_map(|name| Some(((*name).to_owned(), told.get(name)?.clone())));
                    let mut needed: Value = members.collect();
                    needed["sourcePost"] = json!(post);
                    found.prompts.push(Prompt { urn: post.to_owned(), told: needed, event });
                }
                _ => found.events.push(event),
            }
        }
        found
            .prompts
            .retain(|prompt| comment_of(&prompt.told).is_none_or(|urn| !found.deleted.contains(&urn)));
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
                found.posts.push(Post {
                    urn: urn.to_owned(),
                    published: published.unwrap_or_default(),
                    gone: 0,
                });
            }
            if post.is_object() && changed.is_none_or(|at| at > after) {
                found.events.push(event(Shape::LinkedinPost, "post", raw));
            }
        }
        found
    }

    /// Comments that changed after a time, and those that are looked for.
    pub(super) fn comments(self, after: i64, looked_for: &BTreeSet<String>) -> Comments {
        let mut found = Comments { events: Vec::new(), answered: Vec::new(), met: Vec::new() };
        for raw in self.elements {
            let comment = value(raw);
            let changed = milliseconds(&comment, &["/lastModified/time", "/created/time"]);
            let urn = comment["commentUrn"].as_str().or_else(|| comment["$URN"].as_str());
            let met = urn.map(spelled_out).filter(|urn| looked_for.contains(urn));
            if comment.is_object() && (met.is_some() || changed.is_none_or(|at| at > after)) {
                found.events.push(event(Shape::LinkedinComment, "comment", raw));
            }
            found.met.extend(met);
            let summary = &comment["commentsSummary"];
            let counted = ["totalFirstLevelComments", "aggregatedTotalComments"];
            let answers = counted.iter().find_map(|name| summary[*name].as_i64()).unwrap_or(0);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::poll::body::members;

    fn next(paging: &Value, elements: usize, offset: u32) -> Option<u32> {
        let body = json!({"elements": vec![json!({}); elements], "paging": paging}).to_string();
        Found::of(&members(body.as_bytes()).unwrap()).unwrap().next(offset, 100)
    }

    #[test]
    fn the_next_page_begins_a_few_elements_before() {
        let link = |href: &str| json!({"count": 100, "links": [{"rel": "next", "href": href}]});
        assert_eq!(next(&link("/rest/posts?q=author&count=100&start=300"), 100, 200), Some(295));
        // Fewer than were asked for.
        assert_eq!(next(&link("/rest/posts?start=40&count=40"), 40, 0), Some(35));
        assert_eq!(next(&link("/rest/posts?start=2&count=2"), 2, 0), Some(1));
        assert_eq!(next(&json!({"count": 40, "total": 41}), 40, 0), Some(35));
        assert_eq!(next(&json!({"count": 40}), 40, 0), Some(35));
        // A link that says nothing of it, or leads back.
        for href in ["", "/rest/posts", "/rest/posts?start=0", "/rest/posts?start=x"] {
            assert_eq!(next(&link(href), 100, 0), Some(95), "{href}");
        }
        for last in [json!({"links": []}), json!({"total": 100}), json!({"count": 0, "total": 7})] {
            assert_eq!(next(&last, 100, 0), None, "{last}");
        }
        assert_eq!(next(&json!({}), 99, 0), None);
    }
}
