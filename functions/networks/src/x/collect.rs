//! X API v2: a user's posts, the posts that name them, and their direct messages.
//!
//! Each tick asks for what is newer than the last, and for what the last two hours may show late: `start_time` for
//! posts and mentions; direct messages have no *since*, and are walked back to the last one known. A walk that a tick
//! does not finish goes on at its `pagination_token` (`crate::poll::walk`). What is found is wrapped as X's Activity
//! API pushes it, so that the same post is the same entry.
//!
//! # What is guaranteed
//! Everything that the lists have since the last completed part of a walk is found, whatever was cut short, and what
//! they show up to two hours late.
//!
//! # What it costs
//! X charges for each resource that an answer has, once in a day of UTC ("Usage and Billing", "Daily deduplication").
//! So a post that is read again within two hours is paid again only where midnight UTC is between. Where the last two
//! hours had nothing, nothing is answered and nothing is paid.
//!
//! # What is not
//! Lists end at 3,200 posts, 800 mentions and 30 days of messages (docs.x.com). Quotes and reposts by others are in no
//! list of a user's. Deletions are not answered. Likes and follows are not asked for: no answer has a time of them.
//!
//! Sources: docs.x.com's OpenAPI 2.167 and "Error handling", "Rate limits". A snowflake's time is
//! github.com/twitter-archive/snowflake's, with the epoch 1288834974657.

mod answers;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::inbox::Event;
use crate::poll::body::{encoded, list, members, tree, value};
use crate::poll::walk::{Step, Walks};
use crate::poll::{
    Auth, Begun, Collector, CooldownScope, Endpoint, Method, NetworkRequest, NetworkResponse, ParsedResponse,
    Scope, Start, Stored, TokenTrouble, Verdict, checkpoint_json,
};
use crate::push::members::Members;
use answers::Includes;

pub use answers::verdict;

/// The first millisecond of X's ids.
const EPOCH_MS: i64 = 1_288_834_974_657;

const TWEET_FIELDS: &str = "attachments,author_id,conversation_id,created_at,edit_history_tweet_ids,entities,\
    geo,in_reply_to_user_id,note_tweet,public_metrics,referenced_tweets";
const EXPANSIONS: &str = "attachments.media_keys,author_id,entities.mentions.username,geo.place_id,\
    in_reply_to_user_id,referenced_tweets.id,referenced_tweets.id.author_id";
const USER_FIELDS: &str = "id,name,username";
const MEDIA_FIELDS: &str = "media_key,preview_image_url,type,url,variants";
const PLACE_FIELDS: &str = "full_name,id,name";
const MESSAGE_FIELDS: &str = "attachments,created_at,dm_conversation_id,event_type,id,sender_id,text";

/// The version of the API unless it is set.
pub(super) const VERSION: &str = "2";

/// What may differ between deployments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The API's version, as paths begin with it.
    pub version: String,
    /// How many elements are asked for at once: 5 to 100.
    pub page_size: u32,
    /// Whether direct messages are asked for. It takes the permission `dm.read`.
    pub messages: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { version: VERSION.to_owned(), page_size: 100, messages: true }
    }
}

/// Begins the collection of a user's posts, mentions and messages.
pub(super) fn begin(start: Start<'_>) -> Begun {
    let Start { scope, api, checkpoint, .. } = start;
    let (version, page_size, messages) = (api.version.to_string(), api.page_size, api.messages);
    let settings = Settings { version, page_size, messages };
    Begun::from(checkpoint, |kept| Collection::new(scope, settings, kept))
}

/// What a run asks for, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Check,
    Posts,
    Mentions,
    Messages,
}

const LISTS: [Part; 3] = [Part::Posts, Part::Mentions, Part::Messages];

/// What is kept of one list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct List {
    walks: Walks,
    /// Until when X wants no such request.
    rests_until: Option<Timestamp>,
}

/// What is kept between ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    /// The token that was found to be the page's.
    checked: Option<u64>,
    posts: List,
    mentions: List,
    messages: List,
}

impl Checkpoint {
    fn list(&self, part: Part) -> &List {
        match part {
            Part::Check | Part::Posts => &self.posts,
            Part::Mentions => &self.mentions,
            Part::Messages => &self.messages,
        }
    }

    fn list_mut(&mut self, part: Part) -> &mut List {
        match part {
            Part::Check | Part::Posts => &mut self.posts,
            Part::Mentions => &mut self.mentions,
            Part::Messages => &mut self.messages,
        }
    }
}

/// A tick's collection of a user of X's.
#[derive(Debug)]
pub struct Collection {
    scope: Scope,
    settings: Settings,
    kept: Checkpoint,
    /// What this tick is done with.
    done: Vec<Part>,
    over: bool,
    /// What counts as seen once the last answer's events are stored.
    pending: Option<(Part, Step)>,
}

impl Collection {
    /// Begins where the last tick ended.
    #[must_use]
    pub fn new(scope: Scope, settings: Settings, kept: Checkpoint) -> Self {
        let mut run = Self { scope, settings, kept, done: Vec::new(), over: false, pending: None };
        for part in LISTS {
            let list = run.kept.list_mut(part);
            if list.rests_until.is_some_and(|until| until <= run.scope.now) {
                list.rests_until = None;
            }
            let rests = list.rests_until.is_some();
            if rests || part == Part::Messages && !run.settings.messages {
                run.done.push(part);
            } else {
                list.walks.begin_late(run.scope.now_ms(), first_id);
            }
        }
        run
    }

    fn part(&self) -> Option<Part> {
        if self.over {
            return None;
        }
        if self.kept.checked != Some(self.scope.token_version) {
            return Some(Part::Check);
        }
        let open = |part: &Part| !self.done.contains(part) && self.kept.list(*part).walks.current().is_some();
        LISTS.into_iter().find(open)
    }

    fn ask_list(&self, part: Part) -> NetworkRequest {
        let mut query = match part {
            Part::Messages => vec![
                ("event_types", "MessageCreate".to_owned()),
                ("dm_event.fields", MESSAGE_FIELDS.to_owned()),
                ("expansions", "attachments.media_keys,sender_id".to_owned()),
            ],
            _ => {
                vec![
                    ("tweet.fields", TWEET_FIELDS.to_owned()),
                    ("expansions", EXPANSIONS.to_owned()),
                    ("place.fields", PLACE_FIELDS.to_owned()),
                ]
            }
        };
        query.push(("user.fields", USER_FIELDS.to_owned()));
        query.push(("media.fields", MEDIA_FIELDS.to_owned()));
        query.push(("max_results", self.settings.page_size.to_string()));
        let gap = self.kept.list(part).walks.current();
        if part != Part::Messages {
            // The first id of a time is no post's own, so that it is not given as `since_id`.
            let since = gap.and_then(|gap| at_ms(time_of(gap.told_to()?)));
            query.push(("start_time", whole_seconds(since.unwrap_or(self.scope.from).max(self.scope.from))));
        }
        if let Some(cursor) = gap.and_then(|gap| gap.cursor.clone()) {
            query.push(("pagination_token", cursor));
        }
        let user = encoded(self.scope.owner.as_str());
        let (what, path) = match part {
            Part::Messages => ("messages", "dm_events".to_owned()),
            Part::Mentions => ("mentions", format!("users/{user}/mentions")),
            _ => ("posts", format!("users/{user}/tweets")),
        };
        self.request(what, &path, query)
    }

    fn request(&self, what: &'static str, path: &str, query: Vec<(&'static str, String)>) -> NetworkRequest {
        NetworkRequest {
            operation: what,
            to: Endpoint::Api,
            method: Method::Get,
            path: format!("/{}/{path}", encoded(&self.settings.version)),
            query,
            headers: Vec::new(),
            auth: Auth::Bearer,
            units: 1,
        }
    }

    /// The answer to "whose token is this?".
    fn heard_check(&mut self, answer: &NetworkResponse<'_>, verdict: Verdict) -> Verdict {
        let verdict = match verdict {
            Verdict::Fine => whose(answer.body, self.scope.owner.as_str()),
            // There is no such user any more, of whom the token was.
            Verdict::Gone => Verdict::Token(TokenTrouble::Revoked),
            other => other,
        };
        match verdict {
            Verdict::Fine => self.kept.checked = Some(self.scope.token_version),
            // Nothing is asked with a token of which it is not known whose it is.
            _ => self.over = true,
        }
        verdict
    }

    fn heard_list(&mut self, part: Part, answer: &NetworkResponse<'_>) -> ParsedResponse {
        let found = members(answer.body).and_then(|body| self.found(part, &body));
        let Some((events, step)) = found else {
            self.kept.list_mut(part).walks.unreadable();
            self.done.push(part);
            return ParsedResponse { events: Vec::new(), verdict: Verdict::Malformed };
        };
        self.pending = Some((part, step));
        if events.is_empty() {
            self.count();
        }
        ParsedResponse { events, verdict: Verdict::Fine }
    }

    /// What a page of a list has, and how far it goes.
    fn found(&self, part: Part, body: &Members<'_>) -> Option<(Vec<Event>, Step)> {
        let elements = list(body, "data")?;
        let includes = Includes::of(body);
        let meta = body.get("meta").map_or(Value::Null, value);
        let told_to = self.kept.list(part).walks.current().and_then(|gap| gap.told_to());
        let mut step = Step { next: text(&meta["next_token"]), ..Step::default() };
        let mut events = Vec::new();
        for raw in elements {
            let element = value(raw);
            let at = element["created_at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
            let id = text(&element["id"]).and_then(|id| id.parse::<i64>().ok());
            if let Some(id) = id {
                // A clock ahead of ours is no reason to pass by what is newer by ours.
                step.newest = step.newest.max((time_of(id) <= self.scope.now_ms()).then_some(id));
                step.last = Some(id);
            }
            let known = id.zip(told_to).is_some_and(|(id, told_to)| id <= told_to);
            if at.is_some_and(|at| at < self.scope.from) {
                // The page's beginning ends a first walk through messages; of posts no older ones are asked for.
                step.last = if part == Part::Messages { Some(i64::MIN) } else { step.last };
            } else if !known {
                events.extend(wrapped(part, &element, raw.get(), &includes));
            }
        }
        Some((events, step))
    }

    /// What the last answer brought counts as seen.
    fn count(&mut self) {
        if let Some((part, step)) = self.pending.take() {
            self.kept.list_mut(part).walks.walked(step, i64::MIN);
        }
    }

    fn failed(&mut self, part: Part, answer: &NetworkResponse<'_>, verdict: &Verdict) {
        match verdict {
            Verdict::Wait { until, of: CooldownScope::ThisOperation } => {
                self.kept.list_mut(part).rests_until = Some(*until);
            }
            // What one permission is missing for, another need not be.
            Verdict::Token(TokenTrouble::Narrowed(_))
            | Verdict::Fine
            | Verdict::Transient
            | Verdict::Gone => {}
            Verdict::OurFault(fault) if fault.spares_others() => {}
            Verdict::Wait { .. } | Verdict::OurFault(_) | Verdict::NotThePages | Verdict::Token(_) => {
                self.over = true;
            }
            // A refused request is as good a sign as any of a cursor that is too old.
            Verdict::Malformed if answer.status == 400 => self.kept.list_mut(part).walks.give_up_cursor(),
            Verdict::Malformed => self.kept.list_mut(part).walks.unreadable(),
        }
        self.done.push(part);
    }
}

/// One element as the X Activity API would push it.
fn wrapped(part: Part, element: &Value, raw: &str, includes: &Includes<'_>) -> Option<Event> {
    let event_type = match part {
        Part::Messages => "dm.received",
        Part::Mentions => "post.mention.create",
        _ => "post.create",
    };
    answers::event(event_type, element, raw, includes)
}

/// The first id of a millisecond.
fn first_id(ms: i64) -> i64 {
    ms.saturating_sub(EPOCH_MS).max(0) << 22
}

/// The millisecond of an id.
fn time_of(id: i64) -> i64 {
    (id >> 22).saturating_add(EPOCH_MS)
}

fn at_ms(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ms).ok()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A time as X takes it: without parts of a second.
fn whole_seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

fn whose(body: &[u8], owner: &str) -> Verdict {
    match tree(body)["data"]["id"].as_str() {
        Some(id) if id == owner => Verdict::Fine,
        Some(_) => Verdict::NotThePages,
        None => Verdict::Malformed,
    }
}

impl Collector for Collection {
    fn next(&self) -> Option<NetworkRequest> {
        Some(match self.part()? {
            Part::Check => self.request("me", "users/me", vec![("user.fields", USER_FIELDS.to_owned())]),
            list => self.ask_list(list),
        })
    }

    fn on_response(&mut self, answer: &NetworkResponse<'_>, now: Timestamp) -> ParsedResponse {
        self.pending = None;
        let verdict = verdict(answer, now);
        let nothing = |verdict| ParsedResponse { events: Vec::new(), verdict };
        match self.part() {
            None => nothing(verdict),
            Some(Part::Check) => nothing(self.heard_check(answer, verdict)),
            Some(part) if verdict == Verdict::Fine => self.heard_list(part, answer),
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
        checkpoint_json(&self.kept)
    }
}
