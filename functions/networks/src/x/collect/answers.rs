//! X's answers: what they say of the token and the limits, and their elements with what they include.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::collected::By;
use crate::inbox::{Event, Shape};
use crate::network::Network;
use crate::poll::body::{list, number_header, object, tree, value};
use crate::poll::{CooldownScope, NetworkResponse, OperatorFault, TokenTrouble, Verdict};
use crate::push::members::Members;

/// X's windows, in seconds.
const WINDOW: i64 = 15 * 60;
const DAY: i64 = 24 * 3600;

/// What an answer of X's says. Beside `data`, `errors` are about what it includes (for example a post that was
/// deleted), and the answer is fine.
#[must_use]
pub fn verdict(answer: &NetworkResponse<'_>, now: Timestamp) -> Verdict {
    match answer.status {
        200..=299 => {
            let body = tree(answer.body);
            match &body {
                Value::Object(body) if body.contains_key("data") || body.contains_key("meta") => {
                    Verdict::Fine
                }
                whole @ Value::Object(_) => of_errors(whole),
                _ => Verdict::Malformed,
            }
        }
        // One word for tokens that are over, taken back or invented; a refresh tells which.
        401 if is_suspended(&tree(answer.body)) => Verdict::OurFault(OperatorFault::AppRejected),
        401 => Verdict::Token(TokenTrouble::Expired),
        // Pay-per-use. It is in no table of X's; its title is `CreditsDepleted`.
        402 => Verdict::OurFault(OperatorFault::CreditsDepleted),
        403 => forbidden(&tree(answer.body)),
        404 | 410 => Verdict::Gone,
        429 => limited(answer, now),
        408 | 500.. => Verdict::Transient,
        _ => Verdict::Malformed,
    }
}

/// An answer with errors and nothing else.
fn of_errors(body: &Value) -> Verdict {
    let first = &body["errors"][0];
    match problem(first) {
        "resource-not-found" => Verdict::Gone,
        "not-authorized-for-resource" | "not-authorized-for-field" => {
            Verdict::Token(TokenTrouble::Narrowed(None))
        }
        _ => Verdict::Malformed,
    }
}

/// The last part of a problem's `type`, an address.
fn problem(of: &Value) -> &str {
    of["type"].as_str().and_then(|problem| problem.rsplit('/').next()).unwrap_or_default()
}

fn forbidden(body: &Value) -> Verdict {
    let named = match problem(body) {
        "" => problem(&body["errors"][0]),
        named => named,
    };
    match (named, body["reason"].as_str()) {
        // The user is billed, and has to enroll; no permission is named.
        ("client-forbidden", Some("user-not-enrolled")) => Verdict::Token(TokenTrouble::Narrowed(None)),
        // The app is in no project, its plan does not have the endpoint, or it was set up without the permission.
        ("client-forbidden" | "oauth1-permissions", _) => Verdict::OurFault(OperatorFault::AppAccess),
        _ if is_suspended(body) => Verdict::OurFault(OperatorFault::AppRejected),
        _ if has_code(body, 453) => Verdict::OurFault(OperatorFault::AppAccess),
        // X names the kind of its problem, and no permission.
        _ => Verdict::Token(TokenTrouble::Narrowed(None)),
    }
}

/// "Invalid / suspended application".
fn is_suspended(body: &Value) -> bool {
    has_code(body, 416)
}

/// Whether an error has a code of the older API's, which answers still have for an app's access.
fn has_code(body: &Value, code: i64) -> bool {
    body["errors"].as_array().into_iter().flatten().any(|error| error["code"].as_i64() == Some(code))
}

fn limited(answer: &NetworkResponse<'_>, now: Timestamp) -> Verdict {
    let body = tree(answer.body);
    if problem(&body) == "usage-capped" || body["title"].as_str() == Some("UsageCapExceeded") {
        // The windows' headers say nothing of a cap, and no answer says when a monthly one ends.
        return Verdict::OurFault(OperatorFault::UsageCapped);
    }
    let spent = |name: &str| number_header(answer, &format!("{name}-remaining")) == Some(0);
    let reset = |name: &str| number_header(answer, &format!("{name}-reset"));
    let daily = [
        ("x-user-limit-24hour", CooldownScope::ThisOperation),
        ("x-app-limit-24hour", CooldownScope::TheApp),
    ];
    let of_day = daily.into_iter().find(|(name, _)| spent(name));
    let (reset, of) = match of_day {
        Some((name, of)) => (reset(name), of),
        None => (reset("x-rate-limit"), CooldownScope::ThisOperation),
    };
    let longest = now.as_second().saturating_add(2 * DAY);
    let until = reset.filter(|&reset| reset <= longest).unwrap_or(now.as_second() + WINDOW);
    // A reset that has passed by our clock is a moment away by theirs.
    let until = until.max(now.as_second() + 1);
    Verdict::Wait { until: Timestamp::from_second(until).unwrap_or(now), of }
}

/// What stands in an answer's `includes`, by id.
pub(super) struct Includes<'a> {
    users: HashMap<String, &'a RawValue>,
    tweets: HashMap<String, (&'a RawValue, Option<String>)>,
    media: HashMap<String, &'a RawValue>,
    places: HashMap<String, &'a RawValue>,
}

impl<'a> Includes<'a> {
    /// Reads an answer's; what is in no known form is not there.
    pub(super) fn of(body: &Members<'a>) -> Self {
        let includes = body.object("includes").unwrap_or(Members(Vec::new()));
        let elements = |name| list(&includes, name).unwrap_or_default().into_iter();
        let id = |raw: &RawValue, name: &str| value(raw)[name].as_str().map(str::to_owned);
        let tweet = |raw: &'a RawValue| {
            let tweet = value(raw);
            let id = tweet["id"].as_str()?.to_owned();
            Some((id, (raw, tweet["author_id"].as_str().map(str::to_owned))))
        };
        Self {
            users: elements("users").filter_map(|raw| Some((id(raw, "id")?, raw))).collect(),
            tweets: elements("tweets").filter_map(tweet).collect(),
            media: elements("media").filter_map(|raw| Some((id(raw, "media_key")?, raw))).collect(),
            places: elements("places").filter_map(|raw| Some((id(raw, "id")?, raw))).collect(),
        }
    }

    /// What of it one element speaks of, as JSON. An answer's includes are of all of its elements, and would be stored
    /// with each.
    fn about(&self, element: &Value) -> String {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let each = |value: &Value, name: &str| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|one| text(&one[name])).collect()
        };
        let posts = each(&element["referenced_tweets"], "id");
        let mut users: Vec<String> = ["author_id", "sender_id", "in_reply_to_user_id"]
            .iter()
            .filter_map(|name| text(&element[*name]))
            .collect();
        users.extend(each(&element["entities"]["mentions"], "id"));
        users.extend(posts.iter().filter_map(|id| self.tweets.get(id)?.1.clone()));
        users.sort_unstable();
        users.dedup();
        let keys = element["attachments"]["media_keys"].as_array().into_iter().flatten().filter_map(text);
        let array = |found: Vec<&str>| format!("[{}]", found.join(","));
        let users = array(users.iter().filter_map(|id| Some(self.users.get(id)?.get())).collect());
        let posts = array(posts.iter().filter_map(|id| Some(self.tweets.get(id)?.0.get())).collect());
        let media: Vec<&str> = keys.filter_map(|key| Some(self.media.get(&key)?.get())).collect();
        // Few posts name a place: those that do not are stored as before.
        let place = element["geo"]["place_id"].as_str().and_then(|id| self.places.get(id));
        let place = place.map(|raw| format!(r#","places":[{}]"#, raw.get())).unwrap_or_default();
        format!(r#"{{"users":{users},"tweets":{posts},"media":{}{place}}}"#, array(media))
    }
}

/// One element as the X Activity API would push it; none of what is no object.
pub(super) fn event(event_type: &str, element: &Value, raw: &str, includes: &Includes<'_>) -> Option<Event> {
    element.as_object()?;
    let name = format!("\"{event_type}\"");
    let raw = object(&[("event_type", &name), ("payload", raw), ("includes", &includes.about(element))])?;
    Some(Event {
        network: Network::X,
        by: By::Poll,
        shape: Shape::XActivity,
        field: event_type.to_owned(),
        sent_at: None,
        raw,
        beside: None,
    })
}
