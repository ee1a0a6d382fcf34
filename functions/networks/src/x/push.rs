//! X's pushes, of both generations: the Account Activity API (`for_user_id` beside arrays of what happened) and the X
//! Activity API (`{"data":{event_uuid,filter,event_type,payload,…}}`).
//!
//! Invariant: an update is about one thing, so that an array of a thousand is a thousand updates, each with the
//! network's own JSON of its element, byte for byte. Splitting takes time and memory in proportion to the body.
//!
//! Guaranteed: every element of every array, known or not, and every object is in some update. Not kept are nulls,
//! empty arrays, and of `users` and `apps` what no element speaks of; of a user or an app, what names it is put
//! beside the elements concerned, the rest of its profile is not. Where that alone is what a body holds, the whole
//! body is an update of nobody's; but there is none of a body whose arrays are there and empty.
//!
//! Sources: docs.x.com, "Account Activity API" and "X Activity API: event payloads" (2026-08).

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::collected::By;
use crate::inbox::{Event, Shape, Update};
use crate::network::{Network, NetworkId};
use crate::push::members::{Members, elements, is_empty_list};

/// The most updates that are made of one body, beyond what X can put in [`crate::push::MAX_PUSH_BYTES`] of real events.
/// What is left is one update more, so that an array of empty objects does not take a hundred times its room.
const MAX_UPDATES: usize = 16_384;

/// The longest name of an array or an event type, in bytes; longer ones are in the update's JSON only.
const MAX_FIELD_NAME_BYTES: usize = 128;

/// The longest value that is put beside an element, in bytes.
const MAX_BESIDE_BYTES: usize = 512;

/// The arrays (and `user_event`, an object) of the Account Activity API.
const ACCOUNT_ACTIVITY: [&str; 12] = [
    "tweet_create_events",
    "tweet_delete_events",
    "favorite_events",
    "follow_events",
    "block_events",
    "mute_events",
    "direct_message_events",
    "direct_message_indicate_typing_events",
    "direct_message_mark_read_events",
    "user_event",
    "replay_job_status",
    "replay_event",
];

/// The arrays inside a `dm.*` event's payload. Where one has several elements, the event is split.
pub(crate) const MESSAGE_ARRAYS: [&str; 3] =
    ["direct_message_events", "direct_message_indicate_typing_events", "direct_message_mark_read_events"];

/// Splits a body of X's, if it is JSON and there is anything in it.
pub(crate) fn split(body: &[u8]) -> Option<Vec<Update>> {
    let besides = 8 * body.len() + 4096;
    let mut updates = Updates { list: Vec::new(), left: Vec::new(), is_empty: false, besides };
    let whole: &RawValue = serde_json::from_str(std::str::from_utf8(body).ok()?).ok()?;
    match elements(whole) {
        Some(bodies) => bodies.into_iter().for_each(|body| updates.take_body(body)),
        None => updates.take_body(whole),
    }
    let is_empty = updates.is_empty;
    Some(updates.done()).filter(|updates| is_empty || !updates.is_empty())
}

/// The updates found so far.
struct Updates<'a> {
    list: Vec<Update>,
    /// What came after the last that there was room for.
    left: Vec<&'a RawValue>,
    /// Whether a body's arrays were all empty.
    is_empty: bool,
    /// How many bytes may still be put beside elements, so that a profile is not repeated without end.
    besides: usize,
}

impl<'a> Updates<'a> {
    fn done(mut self) -> Vec<Update> {
        if !self.left.is_empty()
            && let Ok(raw) = serde_json::value::to_raw_value(&self.left)
        {
            self.list.push(update(Vec::new(), Shape::Unknown, "", raw, None));
        }
        self.list
    }

    fn push(
        &mut self,
        owners: &[NetworkId],
        shape: Shape,
        field: &str,
        raw: &'a RawValue,
        beside: Option<Value>,
    ) {
        if self.list.len() < MAX_UPDATES {
            self.list.push(update(owners.to_vec(), shape, field, raw.to_owned(), beside));
        } else {
            self.left.push(raw);
        }
    }

    fn push_unknown(&mut self, owners: &[NetworkId], raw: &'a RawValue) {
        self.push(owners, Shape::Unknown, "", raw, None);
    }

    fn take_body(&mut self, body: &'a RawValue) {
        let Some(members) = members(body) else { return self.push_unknown(&[], body) };
        let data = members.iter().filter(|(name, _)| name == "data");
        if data.clone().any(|(_, data)| holds_an_activity(data)) {
            for (name, raw) in &members {
                self.take_beside_activity(name, raw);
            }
            return;
        }
        let known = |name: &str| name == "for_user_id" || ACCOUNT_ACTIVITY.contains(&name);
        if !members.is_empty() && members.iter().all(|(name, raw)| name == "data" && is_empty_list(raw)) {
            self.is_empty = true;
        } else if members.iter().any(|(name, _)| known(name)) {
            self.take_account_activity(body, &members);
        } else {
            self.push_unknown(&[], body);
        }
    }

    /// A member of a body that holds an activity: `data`, or what stands beside it.
    fn take_beside_activity(&mut self, name: &str, raw: &'a RawValue) {
        if name != "data" {
            if !is_empty(raw) {
                self.push(&[], Shape::Unknown, bounded_name(name), raw, None);
            }
            return;
        }
        match elements(raw) {
            Some(activities) => activities.into_iter().for_each(|one| self.take_activity(one)),
            None => self.take_activity(raw),
        }
    }

    fn take_activity(&mut self, raw: &'a RawValue) {
        let Some(activity) = Activity::read(raw) else { return self.push_unknown(&[], raw) };
        let owners = activity.owners();
        match activity.messages() {
            Some(messages) => {
                for (nth, one) in messages.elements.iter().enumerate() {
                    let alone = activity.with_one_message(&messages, one, nth == 0, &mut self.besides);
                    match alone {
                        Some(alone) if self.list.len() < MAX_UPDATES => {
                            let field = bounded_name(&activity.event_type);
                            self.list.push(update(owners.clone(), Shape::XActivity, field, alone, None));
                        }
                        _ => self.left.push(one),
                    }
                }
            }
            None => self.push(&owners, Shape::XActivity, bounded_name(&activity.event_type), raw, None),
        }
    }

    fn take_account_activity(&mut self, body: &'a RawValue, members: &[(String, &'a RawValue)]) {
        let before = self.list.len() + self.left.len();
        let beside = Beside::read(members);
        let owners: Vec<NetworkId> = members
            .iter()
            .filter(|(name, _)| name == "for_user_id")
            .filter_map(|(_, raw)| id(&serde_json::from_str(raw.get()).ok()?))
            .collect();
        for (name, raw) in members {
            if is_empty(raw) || beside.has(name, raw) || name == "for_user_id" {
                continue;
            }
            match elements(raw) {
                Some(elements) => {
                    for element in elements.into_iter().filter(|element| element.get() != "null") {
                        self.take_element(&owners, name, element, &beside);
                    }
                }
                None => self.take_element(&owners, name, raw, &beside),
            }
        }
        if self.list.len() + self.left.len() == before {
            let told = beside.scalars.is_empty();
            if told && members.iter().any(|(_, raw)| is_empty_list(raw)) {
                self.is_empty = true;
                return;
            }
            self.push_unknown(if told { &[] } else { &owners }, body);
        }
    }

    fn take_element(&mut self, owners: &[NetworkId], name: &str, raw: &'a RawValue, beside: &Beside) {
        let field = bounded_name(name);
        let beside = beside.of(raw, &mut self.besides);
        if name != "user_event" {
            return self.push(owners, Shape::XAccountActivity, field, raw, beside);
        }
        // The subscription is gone, so that there is no `for_user_id`: whose it was stands inside.
        let mut owners = owners.to_vec();
        let value = serde_json::from_str::<Value>(raw.get()).unwrap_or_default();
        for event in value.as_object().into_iter().flat_map(Map::values) {
            owners.splice(0..0, event.get("source").and_then(|source| source.get("user_id")).and_then(id));
        }
        owners.dedup();
        self.push(&owners, Shape::XAccountActivity, field, raw, beside);
    }
}

/// What stands beside the arrays of a body and is needed to read their elements.
struct Beside {
    scalars: Map<String, Value>,
    users: BTreeMap<String, Value>,
    apps: BTreeMap<String, Value>,
}

impl Beside {
    fn read(members: &[(String, &RawValue)]) -> Self {
        let mut beside = Self { scalars: Map::new(), users: BTreeMap::new(), apps: BTreeMap::new() };
        for (name, raw) in members {
            match name.as_str() {
                "for_user_id" => {}
                "users" => beside.users.extend(profiles(raw)),
                "apps" => beside.apps.extend(profiles(raw)),
                _ if beside.scalars.len() < 8
                    && is_short_scalar(raw)
                    && !is_empty(raw)
                    && name.len() <= MAX_FIELD_NAME_BYTES =>
                {
                    let value = serde_json::from_str(raw.get()).unwrap_or_default();
                    beside.scalars.insert(name.clone(), value);
                }
                _ => {}
            }
        }
        beside
    }

    /// Whether a member is put beside the elements and is none itself.
    fn has(&self, name: &str, raw: &RawValue) -> bool {
        match name {
            "users" | "apps" => raw.get().starts_with('{'),
            _ => is_short_scalar(raw) && self.scalars.contains_key(name),
        }
    }

    /// What concerns an element: the users and apps whose ids are in it, and what is no map or array.
    fn of(&self, element: &RawValue, room: &mut usize) -> Option<Value> {
        let mut beside = self.scalars.clone();
        if !(self.users.is_empty() && self.apps.is_empty())
            && let Ok(value) = serde_json::from_str::<Value>(element.get())
        {
            for (name, profiles) in [("users", &self.users), ("apps", &self.apps)] {
                let mut concerned = Map::new();
                concerning(&value, profiles, &mut concerned);
                if !concerned.is_empty() {
                    beside.insert(name.to_owned(), Value::Object(concerned));
                }
            }
        }
        if beside.is_empty() {
            return None;
        }
        let beside = Value::Object(beside);
        *room = room.checked_sub(beside.to_string().len())?;
        Some(beside)
    }
}

/// The profiles whose ids are somewhere in a value.
fn concerning(value: &Value, profiles: &BTreeMap<String, Value>, found: &mut Map<String, Value>) {
    match value {
        Value::String(_) | Value::Number(_) => {
            if found.len() < 4
                && let Some(id) = id(value)
                && let Some(profile) = profiles.get(id.as_str())
            {
                found.insert(id.as_str().to_owned(), profile.clone());
            }
        }
        Value::Array(values) => values.iter().for_each(|value| concerning(value, profiles, found)),
        Value::Object(values) => values.values().for_each(|value| concerning(value, profiles, found)),
        _ => {}
    }
}

/// A map of users or apps, with what names them.
fn profiles(raw: &RawValue) -> BTreeMap<String, Value> {
    members(raw).into_iter().flatten().map(|(id, raw)| (id, Value::Object(names(raw)))).collect()
}

fn names(raw: &RawValue) -> Map<String, Value> {
    let mut names = Map::new();
    for (name, raw) in members(raw).into_iter().flatten() {
        // The newer generation wraps a user in `data`.
        if name == "data" {
            names.extend(self::names(raw));
        } else if ["id", "id_str", "name", "screen_name", "username"].contains(&name.as_str())
            && is_short_scalar(raw)
        {
            names.insert(name, serde_json::from_str(raw.get()).unwrap_or_default());
        }
    }
    names
}

/// An event of the X Activity API.
struct Activity<'a> {
    members: Vec<(String, &'a RawValue)>,
    event_type: String,
    payload: Vec<(String, &'a RawValue)>,
}

/// The messages of a `dm.*` event that carries several.
struct Messages<'a> {
    array: &'static str,
    elements: Vec<&'a RawValue>,
    users: BTreeMap<String, Value>,
}

impl<'a> Activity<'a> {
    fn read(raw: &'a RawValue) -> Option<Self> {
        let members = members(raw)?;
        let of = |wanted: &str| members.iter().rev().find(|(name, _)| name == wanted).map(|(_, raw)| *raw);
        let event_type = serde_json::from_str(of("event_type")?.get()).ok()?;
        let payload = of("payload").and_then(self::members).unwrap_or_default();
        Some(Self { members, event_type, payload })
    }

    /// Whose subscription's filter it passed; of a revocation, whose filter is empty, who took the access back.
    fn owners(&self) -> Vec<NetworkId> {
        let filter = self.members.iter().filter(|(name, _)| name == "filter");
        let filtered = filter.filter_map(|(_, raw)| members(raw)).flatten();
        let user = |(name, raw): (String, &RawValue)| {
            (name == "user_id").then(|| id(&serde_json::from_str(raw.get()).ok()?))?
        };
        let mut owners: Vec<NetworkId> = filtered.filter_map(user).collect();
        if owners.is_empty() || self.event_type == "oauth.revoke" {
            owners.extend(self.payload.iter().cloned().filter_map(user));
        }
        owners.dedup();
        owners
    }

    /// The messages, where there are several.
    fn messages(&self) -> Option<Messages<'a>> {
        if !self.event_type.starts_with("dm.") {
            return None;
        }
        let array = |wanted: &'static str| {
            let (_, raw) = self.payload.iter().find(|(name, _)| name == wanted)?;
            elements(raw).filter(|elements| elements.len() > 1).map(|elements| (wanted, elements))
        };
        let (array, elements) = MESSAGE_ARRAYS.into_iter().find_map(array)?;
        let users = self.payload.iter().find(|(name, _)| name == "users");
        Some(Messages { array, elements, users: users.map(|(_, raw)| profiles(raw)).unwrap_or_default() })
    }

    /// The event as if it carried one message alone. What is not of a single message goes with the first.
    fn with_one_message(
        &self,
        messages: &Messages<'a>,
        one: &RawValue,
        first: bool,
        room: &mut usize,
    ) -> Option<Box<RawValue>> {
        let mut payload: Vec<(&str, &str)> = vec![];
        let only = format!("[{}]", one.get());
        let users = if first { None } else { one_messages_users(messages, one, room) };
        for (name, raw) in &self.payload {
            if name == messages.array {
                payload.push((name, &only));
            } else if first {
                payload.push((name, raw.get()));
            }
        }
        payload.extend(users.as_deref().map(|users| ("users", users)));
        let payload = object(&payload)?;
        let mut members: Vec<(&str, &str)> = vec![];
        for (name, raw) in &self.members {
            let small = raw.get().len() <= MAX_BESIDE_BYTES;
            match name.as_str() {
                "payload" => members.push((name, payload.get())),
                "event_type" => members.push((name, raw.get())),
                "event_uuid" | "filter" if small => members.push((name, raw.get())),
                _ if first => members.push((name, raw.get())),
                _ => {}
            }
        }
        object(&members)
    }
}

fn one_messages_users(messages: &Messages<'_>, one: &RawValue, room: &mut usize) -> Option<String> {
    let mut concerned = Map::new();
    concerning(&serde_json::from_str(one.get()).ok()?, &messages.users, &mut concerned);
    let users = Value::Object(concerned).to_string();
    *room = room.checked_sub(users.len())?;
    Some(users)
}

/// An object of members that are JSON already.
fn object(members: &[(&str, &str)]) -> Option<Box<RawValue>> {
    let mut text = String::from("{");
    for (nth, (name, raw)) in members.iter().enumerate() {
        if nth > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(name).ok()?);
        text.push(':');
        text.push_str(raw);
    }
    text.push('}');
    RawValue::from_string(text).ok()
}

fn update(
    owners: Vec<NetworkId>,
    shape: Shape,
    field: &str,
    raw: Box<RawValue>,
    beside: Option<Value>,
) -> Update {
    let (network, by, sent_at) = (Network::X, By::Push, None);
    Update { owners, event: Event { network, by, shape, field: field.to_owned(), sent_at, raw, beside } }
}

fn holds_an_activity(data: &RawValue) -> bool {
    match elements(data) {
        Some(elements) => elements.into_iter().any(|element| Activity::read(element).is_some()),
        None => Activity::read(data).is_some(),
    }
}

fn bounded_name(name: &str) -> &str {
    if name.len() <= MAX_FIELD_NAME_BYTES { name } else { "" }
}

fn is_empty(raw: &RawValue) -> bool {
    raw.get() == "null" || is_empty_list(raw)
}

fn is_short_scalar(raw: &RawValue) -> bool {
    !raw.get().starts_with(['{', '[']) && raw.get().len() <= MAX_BESIDE_BYTES
}

/// An id: a text, or a whole number.
fn id(value: &Value) -> Option<NetworkId> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64()?.to_string().parse().ok(),
        _ => None,
    }
}

/// The members of an object, in their order, of which two may have one name.
fn members(raw: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    Members::of(raw).map(|members| members.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn split_value(body: &Value) -> Vec<Update> {
        crate::push::split(Network::X, body.to_string().as_bytes())
    }

    fn fields(updates: &[Update]) -> Vec<&str> {
        updates.iter().map(|update| update.event.field.as_str()).collect()
    }

    fn owners(update: &Update) -> Vec<&str> {
        update.owners.iter().map(NetworkId::as_str).collect()
    }

    #[test]
    fn each_element_is_an_update_with_its_json_unchanged() {
        let body = br#"{ "for_user_id": "900", "favorite_events": null, "follow_events": [],
            "tweet_create_events": [ {"id" : 1234567890123456789, "b":1.50}, {"id_str":"2"} ],
            "mute_events": [{"type":"mute"}], "moments_events": [{"a":1},{"a":2}], "moment": {"b":1} }"#;
        let updates = crate::push::split(Network::X, body);
        let expected = ["tweet_create_events", "tweet_create_events", "mute_events", "moments_events"];
        assert_eq!(fields(&updates)[..4], expected);
        assert_eq!(fields(&updates)[4..], ["moments_events", "moment"]);
        assert_eq!(updates[0].event.raw.get(), r#"{"id" : 1234567890123456789, "b":1.50}"#);
        for update in &updates {
            assert_eq!((owners(update), update.event.shape), (vec!["900"], Shape::XAccountActivity));
        }
    }

    #[test]
    fn a_message_has_the_names_of_its_people_beside_it() {
        let message = |id: &str, from: &str| json!({"id": id, "message_create": {"sender_id": from, "target": {"recipient_id": "900"}}});
        let updates = split_value(&json!({
            "for_user_id": 900,
            "user_has_blocked": "false",
            "direct_message_events": [message("1", "7"), message("2", "8")],
            "users": {
                "7": {"id": "7", "name": "Sete", "screen_name": "sete", "followers_count": 3},
                "8": {"data": {"id": "8", "name": "Oito", "username": "oito"}},
                "9": {"id": "9", "name": "Nove"},
            },
            "apps": {"5": {"id": "5", "name": "App"}},
        }));
        assert_eq!(updates.len(), 2);
        assert_eq!(owners(&updates[0]), ["900"]);
        let seven = json!({"id": "7", "name": "Sete", "screen_name": "sete"});
        let beside = json!({"user_has_blocked": "false", "users": {"7": seven}});
        assert_eq!(updates[0].event.beside, Some(beside));
        assert_eq!(updates[1].event.beside.as_ref().unwrap()["users"]["8"]["username"], "oito");
    }

    #[test]
    fn a_revocation_is_its_users_and_a_control_message_nobodys() {
        let updates = split_value(&json!({"user_event": {"revoke": {
            "date_time": "2026-05-24T09:48:12+00:00", "target": {"app_id": "13"}, "source": {"user_id": "630"},
        }}}));
        assert_eq!((fields(&updates), owners(&updates[0])), (vec!["user_event"], vec!["630"]));
        let updates = split_value(&json!({"replay_job_status": {"job_id": "1", "job_state": "Complete"}}));
        assert_eq!((fields(&updates), owners(&updates[0])), (vec!["replay_job_status"], vec![]));
    }

    #[test]
    fn an_activity_is_of_its_filters_user() {
        let post = json!({"event_uuid": "-7", "filter": {"user_id": "900"}, "event_type": "post.create",
            "payload": {"id": "1", "text": "a"}, "includes": {"users": [{"id": "900"}]}});
        let updates = split_value(&json!({"data": post}));
        assert_eq!((fields(&updates), owners(&updates[0])), (vec!["post.create"], vec!["900"]));
        assert_eq!(serde_json::from_str::<Value>(updates[0].event.raw.get()).unwrap(), post);
        let revoked = json!({"event_uuid": "8", "filter": {}, "event_type": "oauth.revoke",
            "payload": {"date_time": "2026-07-23T21:44:05+00:00", "user_id": "630", "app_id": "29"}});
        let news = json!({"filter": {"keyword": "gatos"}, "event_type": "news.new", "payload": {"id": "1"}});
        let updates = split_value(&json!({"data": [post, revoked, news, 5], "meta": {"sent": 1}}));
        assert_eq!(fields(&updates), ["post.create", "oauth.revoke", "news.new", "", "meta"]);
        assert_eq!((owners(&updates[1]), owners(&updates[2])), (vec!["630"], vec![]));
        assert_eq!((updates[3].event.shape, updates[3].event.raw.get()), (Shape::Unknown, "5"));
    }

    #[test]
    fn an_activity_of_several_messages_is_an_update_for_each() {
        let message = |id: &str, from: &str| json!({"id": id, "message_create": {"sender_id": from}});
        let updates = split_value(&json!({"data": {
            "event_uuid": "5", "filter": {"user_id": "900"}, "event_type": "dm.received", "tag": "t",
            "payload": {
                "direct_message_events": [message("1", "7"), message("2", "8")],
                "users": {"7": {"data": {"id": "7", "name": "Sete"}}, "8": {"data": {"id": "8", "bio": "…"}}},
            },
        }}));
        let events: Vec<Value> =
            updates.iter().map(|update| serde_json::from_str(update.event.raw.get()).unwrap()).collect();
        assert_eq!(fields(&updates), ["dm.received", "dm.received"]);
        for (event, id) in events.iter().zip(["1", "2"]) {
            assert_eq!(event["payload"]["direct_message_events"][0]["id"], *id);
            assert_eq!(event["payload"]["direct_message_events"].as_array().unwrap().len(), 1);
            assert_eq!(event["filter"]["user_id"], "900");
        }
        assert_eq!((&events[0]["tag"], events[1].get("tag")), (&json!("t"), None));
        assert_eq!(events[1]["payload"]["users"], json!({"8": {"id": "8"}}));
    }

    #[test]
    fn bodies_in_an_array_are_split_one_by_one() {
        let updates = split_value(&json!([
            {"for_user_id": "1", "follow_events": [{"type": "follow"}]},
            {"data": {"event_type": "post.delete", "filter": {"user_id": 2}, "payload": {"id": "5"}}},
            {"something": "else"},
            7,
        ]));
        assert_eq!(fields(&updates), ["follow_events", "post.delete", "", ""]);
        assert_eq!((owners(&updates[0]), owners(&updates[1])), (vec!["1"], vec!["2"]));
        assert_eq!(updates[2].event.raw.get(), r#"{"something":"else"}"#);
    }

    #[test]
    fn a_body_with_nothing_in_it_is_one_unknown_update() {
        for body in [
            json!({}),
            json!([]),
            json!({"for_user_id": "1"}),
            json!({"for_user_id": "1", "tweet_create_events": null, "users": {"1": {}}}),
            json!({"data": {"id": "1", "text": "a filtered stream's"}, "matching_rules": [{"id": "1"}]}),
        ] {
            let updates = split_value(&body);
            assert_eq!((updates.len(), owners(&updates[0]).len()), (1, 0), "{body}");
            assert_eq!(updates[0].event.raw.get(), body.to_string());
        }
        let updates = split_value(&json!({"for_user_id": "1", "notice": "of a new form"}));
        assert_eq!((owners(&updates[0]), updates[0].event.shape), (vec!["1"], Shape::Unknown));
    }

    #[test]
    fn what_is_made_of_a_body_grows_with_it_and_not_faster() {
        let size = |updates: &[Update]| -> usize {
            let one = |update: &Update| {
                let beside = update.event.beside.as_ref().map_or(0, |beside| beside.to_string().len());
                update.event.raw.get().len() + beside
            };
            updates.iter().map(one).sum()
        };
        let message = json!({"id": "1", "message_create": {"sender_id": "7"}});
        let profile = json!({"id": "7", "name": "x".repeat(400), "bio": "y".repeat(20_000)});
        let many = vec![message; 1000];
        let account = json!({"for_user_id": "1", "direct_message_events": many, "users": {"7": profile}});
        let activity = json!({"data": {"event_type": "dm.received", "filter": {"user_id": "1"},
            "payload": {"direct_message_events": many, "users": {"7": profile}}, "includes": {"a": profile}}});
        for body in [account, activity] {
            let updates = split_value(&body);
            assert_eq!(updates.len(), 1000);
            assert!(size(&updates) < 12 * body.to_string().len(), "{}", size(&updates));
        }
    }

    #[test]
    fn long_empty_arrays_are_no_update_for_each_element() {
        let body = format!(r#"{{"for_user_id":"1","a":[{}{{}}]}}"#, "{},".repeat(MAX_UPDATES + 1));
        let updates = crate::push::split(Network::X, body.as_bytes());
        assert_eq!(updates.len(), MAX_UPDATES + 1);
        assert_eq!(updates[MAX_UPDATES].event.raw.get(), "[{},{}]");
    }

    #[test]
    fn deep_nesting_is_no_obstacle() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for body in
            [deep.clone(), format!(r#"{{"for_user_id":"1","tweet_create_events":{deep},"users":{deep}}}"#)]
        {
            assert!(!crate::push::split(Network::X, body.as_bytes()).is_empty());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_update(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(!crate::push::split(Network::X, &body).is_empty());
        }

        #[test]
        fn events_give_the_same_updates_however_they_are_batched(
            events in proptest::collection::vec((0..ACCOUNT_ACTIVITY.len(), 1..1000u32), 1..20),
        ) {
            let told = |updates: Vec<Update>| -> Vec<(String, String)> {
                let one = |update: Update| (update.event.field, update.event.raw.get().to_owned());
                let mut told: Vec<_> = updates.into_iter().map(one).collect();
                told.sort();
                told
            };
            let mut together = Map::new();
            let mut alone = Vec::new();
            for (array, id) in events {
                let (name, event) = (ACCOUNT_ACTIVITY[array], json!({"id": id.to_string()}));
                let array = together.entry(name).or_insert_with(|| json!([]));
                array.as_array_mut().unwrap().push(event.clone());
                alone.extend(split_value(&json!({"for_user_id": "1", name: [event]})));
            }
            together.insert("for_user_id".into(), "1".into());
            prop_assert_eq!(told(split_value(&Value::Object(together))), told(alone));
        }
    }
}
