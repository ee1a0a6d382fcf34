//! What others did with a company's page, as notifications: kept for 60 days, with a true *since*.
//!
//! Each comment has one when it is made, one when it is edited and one when it is deleted; those of a deleted comment
//! say no more what it said. Likes are not played.

use serde_json::{Value, json};

use super::activity;
use super::refusal::Refusal;
use super::render::{Render, actor, member_of};
use crate::request::Request;
use crate::thing::{Kind, Published};

const KEPT_MS: u64 = 60 * 24 * 3_600_000;
const ACTIONS: [&str; 8] = [
    "LIKE",
    "COMMENT",
    "SHARE",
    "SHARE_MENTION",
    "ADMIN_COMMENT",
    "COMMENT_EDIT",
    "COMMENT_DELETE",
    "COMMENT_MENTION",
];

/// What is asked for.
pub(super) struct Wanted {
    actions: Option<Vec<String>>,
    start_ms: u64,
    end_ms: u64,
}

impl Wanted {
    pub(super) fn of(request: &Request) -> Result<Self, Refusal> {
        let actions = request.query("actions").map(|list| {
            let inner = list.strip_prefix("List(").and_then(|rest| rest.strip_suffix(')'));
            let refuse = || Refusal::illegal_argument("Invalid value for parameter actions");
            let names: Vec<String> = inner.ok_or_else(refuse)?.split(',').map(str::to_owned).collect();
            if names.iter().all(|name| ACTIONS.contains(&name.as_str())) { Ok(names) } else { Err(refuse()) }
        });
        let oldest = request.now_ms.saturating_sub(KEPT_MS);
        let (start_ms, end_ms) = match request.query("timeRange") {
            None => (oldest, u64::MAX),
            Some(range) => read_range(range)
                .ok_or_else(|| Refusal::illegal_argument("Invalid value for parameter timeRange"))?,
        };
        Ok(Self { actions: actions.transpose()?, start_ms: start_ms.max(oldest), end_ms })
    }

    fn has(&self, action: &str, at_ms: u64) -> bool {
        let is_asked = self.actions.as_ref().is_none_or(|actions| actions.iter().any(|one| one == action));
        is_asked && (self.start_ms..=self.end_ms).contains(&at_ms)
    }
}

/// `(start:1,end:2)`; the end may be missing.
fn read_range(text: &str) -> Option<(u64, u64)> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    let (mut start, mut end) = (None, u64::MAX);
    for part in inner.split(',') {
        match part.split_once(':')? {
            ("start", at) => start = Some(at.parse().ok()?),
            ("end", at) => end = at.parse().ok()?,
            _ => return None,
        }
    }
    start.map(|start| (start, end))
}

/// The notifications of a page that are asked for, newest first.
pub(super) fn of(render: &Render<'_>, page: &str, wanted: &Wanted) -> Vec<Value> {
    let mut told: Vec<(u64, u64, Value)> = Vec::new();
    for thing in render.shelf.all_of(page).filter(|thing| is_told_of(render, thing)) {
        for (action, at_ms) in happened(thing) {
            if at_ms <= render.now_ms && wanted.has(action, at_ms) {
                told.push((at_ms, thing.sequence, notification(render, thing, action, at_ms)));
            }
        }
    }
    told.sort_by_key(|(at_ms, sequence, _)| std::cmp::Reverse((*at_ms, *sequence)));
    told.into_iter().map(|(_, _, notification)| notification).collect()
}

/// The notification of what happened to a thing last, if there is one.
pub(super) fn last(render: &Render<'_>, thing: &Published) -> Option<Value> {
    let (action, at_ms) = happened(thing).into_iter().max_by_key(|(_, at_ms)| *at_ms)?;
    is_told_of(render, thing).then(|| notification(render, thing, action, at_ms))
}

/// Whether there are notifications of a thing: it has appeared, and is on a public post.
fn is_told_of(render: &Render<'_>, thing: &Published) -> bool {
    let post = render.shelf.find(render.shelf.root(&thing.id));
    let visibility = post.and_then(|post| post.members.get("visibility")).and_then(Value::as_str);
    thing.kind != Kind::Post
        && thing.shown_from_ms <= render.now_ms
        && visibility.is_none_or(|of| of == "PUBLIC")
}

/// What happened to a thing, and when.
fn happened(thing: &Published) -> Vec<(&'static str, u64)> {
    if thing.kind == Kind::Mention {
        return vec![(if thing.parent.is_some() { "SHARE" } else { "SHARE_MENTION" }, thing.at_ms)];
    }
    let made = if thing.author.is_some() { "COMMENT" } else { "ADMIN_COMMENT" };
    let edited = thing.edited_ms.map(|at_ms| ("COMMENT_EDIT", at_ms));
    let deleted = thing.removed_ms.map(|at_ms| ("COMMENT_DELETE", at_ms));
    [Some((made, thing.at_ms)), edited, deleted].into_iter().flatten().collect()
}

fn notification(render: &Render<'_>, thing: &Published, action: &str, at_ms: u64) -> Value {
    let id = crate::hash(&(&thing.id, action, at_ms));
    let root = render.shelf.root(&thing.id);
    let source =
        if thing.kind == Kind::Mention && thing.parent.is_none() { thing.id.clone() } else { activity(root) };
    let mut told = json!({
        "notificationId": id.cast_signed() >> 12, "organizationalEntity": format!("urn:li:organization:{}", thing.page),
        "action": action, "lastModifiedAt": at_ms, "subscriber": member_of(&thing.page), "sourcePost": source,
        // Here the post in it is not spelled out.
        "generatedActivity": thing.id.replace("(urn:li:activity:", "(activity:"),
    });
    if let Some(post) = render.shelf.find(root).filter(|post| post.kind == Kind::Post) {
        told["decoratedSourcePost"] =
            json!({"entity": post.id, "owner": actor(post), "text": post.text, "mediaCategory": "NONE"});
    }
    if let Some(own) = thing.members.get("decoratedGeneratedActivity") {
        if !own.is_null() {
            told["decoratedGeneratedActivity"] = own.clone();
        }
    } else if thing.removed_ms.is_none() {
        let (name, mut inner) =
            (if thing.kind == Kind::Mention { "share" } else { "comment" }, json!({"entity": thing.id}));
        (inner["owner"], inner["text"]) = (actor(thing).into(), thing.text.as_str().into());
        if name == "comment" {
            inner["object"] = activity(root).into();
        }
        told["decoratedGeneratedActivity"] = json!({ name: inner });
    }
    told
}
