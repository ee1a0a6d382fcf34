//! X's API v2: `/2/users/me`, `/2/users/:id`, `/2/users/:id/tweets`, `/2/users/:id/mentions`, `/2/tweets/:id`,
//! `/2/dm_events`, and the OAuth 2.0 token endpoint (`/2/oauth2/token`, and all of the token address).
//!
//! Ids are made of the clock (snowflakes). A [`Post`](Kind::Post) or [`Reply`](Kind::Reply) without an author is the
//! user's own; those of others, and [`Mention`](Kind::Mention)s, are in the list of mentions. An edit makes a new id.
//! An answer to what was removed says so in `errors` beside the data.
//!
//! Limits: for each user and for the app, in windows of 15 minutes that begin with the first call. A call's answer says
//! what is left for the user, so that the one after the last counts as one over the limit.
//!
//! Sources: docs.x.com (OpenAPI 2.167; rate limits; pagination; response codes). That the app's limits count calls with
//! users' tokens too is the stricter reading. The limit of `/2/users/me` is from memory.

mod oauth;
mod objects;
mod parameters;
mod problem;

use serde_json::{Value, json};

use crate::limit::LimitOf;
use crate::listing::{Order, Part, Place, part};
use crate::request::{Reply, Request};
use crate::shelf::Shelf;
use crate::shelf::{Api, Draft};
use crate::thing::{Kind, Published};
use crate::token::{Bearer, Holder, Role};
use objects::{Beside, Objects, Wanted};

/// The first millisecond of X's ids.
const EPOCH_MS: u64 = 1_288_834_974_657;
const WINDOW_MS: u64 = 15 * 60 * 1000;
const MONTH_MS: u64 = 30 * 24 * 3600 * 1000;
/// How far back lists go.
const MOST_POSTS: usize = 3200;
const MOST_MENTIONS: usize = 800;

/// How many calls of a kind are answered in a window: for each user, for the app.
fn most(kind: &str) -> (u64, Option<u64>) {
    match kind {
        "me" => (75, None),
        "tweets" => (900, Some(10_000)),
        "mentions" => (300, Some(450)),
        "dm_events" => (15, None),
        _ => (900, Some(450)),
    }
}

fn snowflake(at_ms: u64, sequence: u64) -> u64 {
    at_ms.saturating_sub(EPOCH_MS) << 22 | sequence & 0x3f_ffff
}

/// An id as it is ordered. One that is no number was given by a test, and goes by its time.
fn order_of(thing: &Published) -> u64 {
    thing.id.parse().unwrap_or_else(|_| snowflake(thing.at_ms, thing.sequence))
}

pub(crate) struct X;

impl Api for X {
    fn lasts_seconds(&self) -> Option<u64> {
        Some(2 * 3600)
    }

    fn kind(&self, request: &Request) -> String {
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            _ if request.to_token_address => "token",
            [_, "oauth2", "token"] => "token",
            [_, "users", "me"] => "me",
            [_, "users", _] => "user",
            [_, "users", _, "tweets"] => "tweets",
            [_, "users", _, "mentions"] => "mentions",
            [_, "tweets", _] => "tweet",
            [_, "dm_events"] => "dm_events",
            _ => "nothing",
        }
        .to_owned()
    }

    fn answer(&self, shelf: &mut Shelf, request: &Request) -> Reply {
        match self.kind(request).as_str() {
            "token" => oauth::answer(shelf, request),
            "nothing" => problem::blank(404, "Not Found"),
            _ if request.method != http::Method::GET => problem::blank(405, "Method Not Allowed"),
            _ if request.segments.first().is_none_or(|version| version != "2") => {
                problem::blank(404, "Not Found")
            }
            kind => answer(shelf, request, kind).unwrap_or_else(|refused| refused),
        }
    }

    fn unavailable(&self, status: u16) -> Reply {
        problem::blank(status, if status == 503 { "Service Unavailable" } else { "Internal Server Error" })
    }

    fn limited(&self, shelf: &mut Shelf, request: &Request, until_ms: u64) -> Reply {
        let kind = self.kind(request);
        let page = request.token().and_then(|token| shelf.tokens.page_of(token)).unwrap_or_default();
        let was_spent = !shelf.spend(LimitOf::Page, &kind, &page, request.now_ms, until_ms);
        too_many(most(&kind).0, until_ms).over_limit(was_spent)
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Post, Kind::Reply, Kind::Mention, Kind::DirectMessage]
    }

    fn id(&self, draft: &Draft<'_>) -> String {
        snowflake(draft.at_ms, draft.sequence).to_string()
    }

    fn edited_id(&self, thing: &Published, now_ms: u64) -> Option<String> {
        (thing.kind != Kind::DirectMessage).then(|| snowflake(now_ms, thing.sequence).to_string())
    }
}

fn too_many(limit: u64, reset_ms: u64) -> Reply {
    limits(problem::blank(429, "Too Many Requests"), limit, 0, reset_ms)
}

fn limits(reply: Reply, limit: u64, left: u64, reset_ms: u64) -> Reply {
    reply
        .with("x-rate-limit-limit", &limit)
        .with("x-rate-limit-remaining", &left)
        .with("x-rate-limit-reset", &reset_ms.div_ceil(1000))
}

/// The answer to a call of a kind that is known; an error is a refusal.
fn answer(shelf: &mut Shelf, request: &Request, kind: &str) -> Result<Reply, Reply> {
    let token = request.bearer().ok_or_else(problem::unauthorized)?;
    let Bearer::Good(holder) = shelf.tokens.bearer(token, Role::Access, request.now_ms) else {
        return Err(problem::unauthorized());
    };
    let page = shelf.tokens.page_of(token).unwrap_or_default();
    let (of_user, of_app) = most(kind);
    let ends_ms = request.now_ms + WINDOW_MS;
    for (of, most) in [(LimitOf::Page, Some(of_user)), (LimitOf::App, of_app)] {
        let Some(most) = most else { continue };
        let (limit, taken) = shelf.take(of, kind, &page, most, 1, request.now_ms, ends_ms);
        if taken.over {
            return Err(too_many(limit, taken.ends_ms).over_limit(true));
        }
    }
    let (limit, left, reset_ms) = shelf.left(LimitOf::Page, kind, &page, of_user, ends_ms);
    let with_limits = |reply| limits(reply, limit, left, reset_ms);
    let needed = if kind == "dm_events" {
        &["dm.read", "tweet.read", "users.read"][..]
    } else {
        &["tweet.read", "users.read"]
    };
    if needed.iter().any(|scope| !holder.may(scope)) {
        return Err(with_limits(problem::blank(403, "Forbidden")));
    }
    parameters::check(request, kind).map_err(with_limits)?;
    let objects = Objects { shelf, wanted: Wanted::of(request), now_ms: request.now_ms };
    let value = read(&objects, request, kind, &holder).map_err(with_limits)?;
    Ok(with_limits(Reply::json(200, &value)))
}

fn read(objects: &Objects<'_>, request: &Request, kind: &str, holder: &Holder) -> Result<Value, Reply> {
    let id = |nth: usize| request.segments.get(nth).map_or("", String::as_str);
    let is_known = |user: &str| objects.shelf.pages.contains_key(user) || user == holder.id;
    match kind {
        "me" => Ok(json!({"data": objects.user(&objects.user_of_page(&holder.id))})),
        "dm_events" => list(objects, request, kind, &holder.id),
        "tweet" => Ok(one(objects, id(2))),
        _ if !is_known(id(2)) => Ok(json!({"errors": [problem::not_found("user", "id", id(2))]})),
        "user" => Ok(json!({"data": objects.user(&objects.user_of_page(id(2)))})),
        _ => list(objects, request, kind, id(2)),
    }
}

fn one(objects: &Objects<'_>, id: &str) -> Value {
    let post = objects.shelf.present(id, objects.now_ms).filter(|thing| thing.kind != Kind::DirectMessage);
    let Some(post) = post else {
        return json!({"errors": [problem::not_found("tweet", "id", id)]});
    };
    let mut beside = Beside::default();
    let mut answer = json!({"data": objects.post(post, &mut beside)});
    beside.into_answer(&mut answer);
    answer
}

/// What of a user is in a list.
fn listed<'a>(
    objects: &Objects<'a>,
    request: &Request,
    kind: &str,
    user: &str,
) -> Vec<(Place, &'a Published)> {
    let now_ms = objects.now_ms;
    let number = |name: &str| request.query(name).and_then(|id| id.parse::<u64>().ok());
    let (since, until) = (number("since_id").unwrap_or(0), number("until_id").unwrap_or(u64::MAX));
    let at = |name: &str| {
        let at = request.query(name).and_then(|at| at.parse::<jiff::Timestamp>().ok())?;
        u64::try_from(at.as_millisecond()).ok()
    };
    let (start, end) = (at("start_time").unwrap_or(0), at("end_time").unwrap_or(u64::MAX));
    let exclude = request.query("exclude").unwrap_or_default();
    let is_of_list = |thing: &&Published| match kind {
        "dm_events" => thing.kind == Kind::DirectMessage && thing.at_ms + MONTH_MS > now_ms,
        _ if thing.kind == Kind::DirectMessage => false,
        "tweets" => thing.author.is_none() && !(thing.kind == Kind::Reply && exclude.contains("replies")),
        _ => thing.author.is_some(),
    };
    let things = objects.shelf.listed_of(user, now_ms).filter(is_of_list);
    let mut found: Vec<_> = things.map(|thing| (Place(order_of(thing), thing.sequence), thing)).collect();
    found.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(*place));
    found.truncate(match kind {
        "tweets" => MOST_POSTS,
        "mentions" => MOST_MENTIONS,
        _ => usize::MAX,
    });
    found.retain(|(place, thing)| {
        let at_ms = thing.edited_ms.unwrap_or(thing.at_ms);
        place.0 > since && place.0 < until && at_ms >= start && at_ms < end
    });
    found
}

fn list(objects: &Objects<'_>, request: &Request, kind: &str, user: &str) -> Result<Value, Reply> {
    let of_messages = kind == "dm_events";
    let found = match request.query("event_types") {
        Some(types) if !types.contains("MessageCreate") => Vec::new(),
        _ => listed(objects, request, kind, user),
    };
    let asked = request.query("max_results").and_then(|most| most.parse().ok());
    let size = objects.shelf.size(asked, if of_messages { 100 } else { 10 }, 100);
    let cursor = request.query("pagination_token");
    let cut = part(&format!("{user}/{kind}"), found, Order::NewestFirst, cursor, size).map_err(|_| {
        let value = cursor.unwrap_or_default();
        problem::invalid(
            "pagination_token",
            value,
            "The `pagination_token` query parameter value is not valid",
        )
    })?;
    let mut beside = Beside::default();
    let data: Vec<Value> =
        cut.elements
            .iter()
            .map(|thing| {
                if of_messages {
                    objects.message(thing, &mut beside)
                } else {
                    objects.post(thing, &mut beside)
                }
            })
            .collect();
    let mut answer = json!({"meta": meta(&cut, of_messages, cursor.is_some())});
    if !data.is_empty() {
        answer["data"] = data.into();
    }
    beside.into_answer(&mut answer);
    Ok(answer)
}

fn meta(cut: &Part<&Published>, of_messages: bool, is_later: bool) -> Value {
    let mut meta = json!({"result_count": cut.elements.len()});
    if let (Some(first), Some(last), false) = (cut.elements.first(), cut.elements.last(), of_messages) {
        meta["newest_id"] = first.id.clone().into();
        meta["oldest_id"] = last.id.clone().into();
    }
    if let (Some(after), true) = (&cut.after, cut.more) {
        meta["next_token"] = after.clone().into();
    }
    if let (Some(before), true) = (&cut.before, is_later) {
        meta["previous_token"] = before.clone().into();
    }
    meta
}
