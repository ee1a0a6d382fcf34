//! Meta's pushes (Facebook Pages, Instagram, and what else an app may be subscribed to), split into updates.
//!
//! Documentation and reality differ on the envelope, so what decides is which member is there: `changes`,
//! `messaging`, `standby`, `changed_fields`, or `field` with `value` in the entry itself. `object` says only which
//! network it is, and where it is missing or another, the route does. A `value` that is a list, as Instagram's
//! documentation has it of comments, is a change for each of its elements.
//!
//! Every array and object of the body is in some update, unchanged. What an envelope or an entry says of its own
//! sending (`object`, `id`, `uid`, `time`, `hop_context` and other members that are neither) is in none, unless there
//! is nothing else. Of a list that is empty (`"changes": []`) there is no update. The time taken grows with the body's
//! length alone.

use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::messaging::part as messaging_part;
use crate::collected::By;
use crate::inbox::{Event, Shape, Update};
use crate::network::{Network, NetworkId};
use crate::normalise::value::{id_of, parse, time_of};
use crate::push::members::{Members, elements, is_empty_list, text};

/// The most updates that a body is split into, ten times what Meta puts into one. One of more is kept whole.
const MAX_UPDATES: usize = 10_000;

/// The longest name of a field, and verb of a permission, in bytes: a longer one is cut.
const MAX_FIELD_NAME_BYTES: usize = 128;

/// How deep arrays of envelopes are opened.
const MAX_ENVELOPE_DEPTH: usize = 4;

/// The App Dashboard's test sends this as the entry's id. Nobody's page, whatever else the test says.
const TEST_ENTRY: &str = "0";

/// Fields whose owner is the entry's, so that their values need not be looked into.
const OWNED_BY_ENTRY: [&str; 7] =
    ["feed", "mention", "ratings", "comments", "live_comments", "mentions", "story_insights"];

/// The lists of an entry.
const LISTS: [&str; 4] = ["changes", "messaging", "standby", "changed_fields"];

/// What an entry says of its own sending.
const OF_THE_SENDING: [&str; 4] = ["id", "uid", "time", "hop_context"];

/// Splits a body. `None` where nothing in it has a form that Meta gives.
pub(crate) fn split(route: Network, body: &[u8]) -> Option<Vec<Update>> {
    let text = std::str::from_utf8(body).ok()?.trim_ascii();
    let mut splitter = Splitter { route, updates: Vec::new(), empty: 0, full: false };
    // An envelope, as all of Meta's are, is not first looked through as a whole.
    match serde_json::from_str(text) {
        Ok(members) => splitter.members(text, &members),
        Err(_) => splitter.envelope(serde_json::from_str(text).ok()?, 0),
    }
    let is_told = splitter.empty > 0 || !splitter.updates.is_empty();
    (!splitter.full && is_told).then_some(splitter.updates)
}

struct Splitter {
    route: Network,
    updates: Vec<Update>,
    /// How many envelopes and entries said that there is nothing in them.
    empty: usize,
    full: bool,
}

/// What an entry says of all of its updates.
struct Entry {
    network: Network,
    id: Option<NetworkId>,
    test: bool,
    sent_at: Option<jiff::Timestamp>,
}

impl Splitter {
    fn envelope(&mut self, raw: &RawValue, depth: usize) {
        if let (Some(list), true) = (elements(raw), depth < MAX_ENVELOPE_DEPTH) {
            list.into_iter().for_each(|one| self.envelope(one, depth + 1));
            return;
        }
        let Some(members) = Members::of(raw) else {
            return self.unknown(&self.nobodys(self.route), "", raw);
        };
        self.members(raw.get(), &members);
    }

    /// An envelope's members; `whole` is its text.
    fn members(&mut self, whole: &str, members: &Members<'_>) {
        let object = members.text("object").unwrap_or_default();
        let nobodys = self.nobodys(self.network(&object));
        let before = self.told();
        let has_entries = members.get("entry").is_some();
        for (name, value) in &members.0 {
            match name.as_str() {
                "entry" if is_empty_list(value) => {}
                "entry" => self.entries(&object, value),
                "object" => {}
                _ if has_entries => self.unforeseen(&nobodys, name, value),
                // An entry without an envelope.
                _ => return self.entry_of(&object, whole, members),
            }
        }
        if self.told() == before {
            let is_empty = has_entries
                && members.0.iter().all(|(name, raw)| match name.as_str() {
                    "entry" => is_empty_list(raw),
                    name => name == "object",
                });
            self.nothing_in(&nobodys, whole, is_empty);
        }
    }

    /// How much was told so far.
    fn told(&self) -> usize {
        self.updates.len() + self.empty
    }

    /// An envelope or an entry of which nothing was told: its lists are empty, or it is kept whole.
    fn nothing_in(&mut self, entry: &Entry, text: &str, is_empty: bool) {
        if is_empty {
            self.empty += 1;
        } else {
            self.whole(entry, text);
        }
    }

    fn entries(&mut self, object: &str, raw: &RawValue) {
        match elements(raw) {
            Some(list) => list.into_iter().for_each(|one| self.entry(object, one)),
            None => self.entry(object, raw),
        }
    }

    fn entry(&mut self, object: &str, raw: &RawValue) {
        let Some(members) = Members::of(raw) else {
            return self.unknown(&self.nobodys(self.network(object)), "", raw);
        };
        self.entry_of(object, raw.get(), &members);
    }

    /// An entry's members; `whole` is its text.
    fn entry_of(&mut self, object: &str, whole: &str, members: &Members<'_>) {
        let id = members.get("id").map(parse).as_ref().and_then(id_of);
        let entry = Entry {
            network: self.network(object),
            test: id.as_deref() == Some(TEST_ENTRY),
            id: id.and_then(|id| id.parse().ok()),
            sent_at: members.get("time").map(parse).as_ref().and_then(time_of),
        };
        let before = self.told();
        // The first of a name alone: what is put together of them would else be as often there as a name is repeated.
        let (field, of_field) = (members.get("field"), members.get("value"));
        let is = |first: Option<&RawValue>, raw| first.is_some_and(|first| std::ptr::eq(first, raw));
        for (name, value) in &members.0 {
            match name.as_str() {
                "changes" => self.each_told(value, |this, one| this.change(&entry, one)),
                "messaging" => {
                    self.each_told(value, |this, one| this.messaging(&entry, Shape::MetaMessaging, one));
                }
                "standby" => {
                    self.each_told(value, |this, one| this.messaging(&entry, Shape::MetaStandby, one));
                }
                "changed_fields" => self.each(value, |this, one| this.changed_field(&entry, one)),
                "field" if is(field, *value) => self.flat(&entry, members),
                "value" if field.is_some() && is(of_field, *value) => {}
                "hop_context" => {}
                _ => self.unforeseen(&entry, name, value),
            }
        }
        if self.told() == before {
            let is_list = |name: &str| LISTS.contains(&name);
            let is_empty = members.0.iter().any(|(name, _)| is_list(name))
                && members.0.iter().all(|(name, raw)| {
                    OF_THE_SENDING.contains(&name.as_str()) || is_list(name) && is_empty_list(raw)
                });
            self.nothing_in(&entry, whole, is_empty);
        }
    }

    /// The elements of an array, or what stands in its place.
    fn each(&mut self, raw: &RawValue, mut take: impl FnMut(&mut Self, &RawValue)) {
        match elements(raw) {
            Some(list) => list.into_iter().for_each(|one| take(self, one)),
            None if raw.get() == "null" => {}
            None => take(self, raw),
        }
    }

    /// The elements of a list of updates. A list in it, which no documentation has, is of updates too.
    fn each_told(&mut self, raw: &RawValue, mut take: impl FnMut(&mut Self, &RawValue)) {
        self.each(raw, |this, one| match elements(one).filter(|inner| holds_objects(inner)) {
            Some(inner) => inner.into_iter().for_each(|one| take(this, one)),
            None => take(this, one),
        });
    }

    fn change(&mut self, entry: &Entry, raw: &RawValue) {
        let Some(members) = Members::of(raw) else {
            // The name alone, as in `changed_fields`.
            return match text(raw) {
                Some(_) => self.changed_field(entry, raw),
                None => self.unknown(entry, "changes", raw),
            };
        };
        let list = members.get("value").and_then(elements).filter(|list| holds_objects(list));
        match list {
            Some(list) => self.change_of_each(entry, &members, list),
            None => self.one_change(entry, &members, raw),
        }
    }

    /// A change whose value is a list: one of each element, and what else stands in it once.
    fn change_of_each(&mut self, entry: &Entry, members: &Members<'_>, list: Vec<&RawValue>) {
        let word = |name: &str| members.text(name).map(|word| json!(cut(&word)));
        let (field, verb) = (word("field").unwrap_or_default(), word("verb"));
        let verb = verb.map(|verb| format!(r#","verb":{verb}"#)).unwrap_or_default();
        for one in list {
            let alone = format!(r#"{{"field":{field},"value":{}{verb}}}"#, one.get());
            let Ok(alone) = RawValue::from_string(alone) else { continue };
            if let Some(members) = Members::of(&alone) {
                self.one_change(entry, &members, &alone);
            }
        }
        let parts = ["field", "value", "verb"].map(|name| members.get(name));
        let is_part = |raw: &RawValue| parts.into_iter().flatten().any(|part| std::ptr::eq(part, raw));
        for (name, raw) in members.0.iter().filter(|(_, raw)| !is_part(raw)) {
            self.unforeseen(entry, name, raw);
        }
    }

    fn one_change(&mut self, entry: &Entry, members: &Members<'_>, raw: &RawValue) {
        let field = members.text("field").unwrap_or_default();
        let mut owners = entry.owners();
        let is_plain = OWNED_BY_ENTRY.contains(&field.as_str());
        if let Some(value) = (!is_plain).then(|| members.object("value")).flatten() {
            if value.get("target_ids").is_some() {
                return self.permission(entry, &field, &value, raw);
            }
            if entry.test {
                return self.update(entry, owners, Shape::MetaChange, &field, raw.to_owned());
            }
            // Messages come as changes too, and WhatsApp's route is the telephone number's id.
            participants(&value, &mut owners);
            candidate(value.object("metadata").as_ref(), "phone_number_id", &mut owners);
        }
        self.update(entry, owners, Shape::MetaChange, &field, raw.to_owned());
    }

    fn messaging(&mut self, entry: &Entry, shape: Shape, raw: &RawValue) {
        let Some(members) = Members::of(raw) else {
            return self.unknown(entry, "messaging", raw);
        };
        let mut owners = entry.owners();
        if !entry.test {
            participants(&members, &mut owners);
        }
        let field = messaging_part(members.0.iter().map(|(name, _)| name.as_str()));
        self.update(entry, owners, shape, field, raw.to_owned());
    }

    fn changed_field(&mut self, entry: &Entry, raw: &RawValue) {
        let name = text(raw);
        match name.as_ref().and_then(|name| to_raw_value(&json!({ "field": name })).ok()) {
            Some(change) => {
                let field = name.unwrap_or_default();
                self.update(entry, entry.owners(), Shape::MetaChange, &field, change);
            }
            None => self.unknown(entry, "changed_fields", raw),
        }
    }

    /// `field` and `value` in the entry itself, put together as a change.
    fn flat(&mut self, entry: &Entry, members: &Members<'_>) {
        let parts = ["field", "value", "verb"].into_iter().filter_map(|name| {
            let raw = members.get(name)?;
            Some(format!("\"{name}\":{}", raw.get()))
        });
        let change = format!("{{{}}}", parts.collect::<Vec<_>>().join(","));
        if let Ok(change) = RawValue::from_string(change) {
            self.change(entry, &change);
        }
    }

    /// A permission that was granted or revoked: one update for each page that it is about.
    fn permission(&mut self, entry: &Entry, field: &str, value: &Members<'_>, raw: &RawValue) {
        let about = Entry { network: permission_network(field, entry.network), id: None, ..*entry };
        let targets = value.get("target_ids").and_then(elements).unwrap_or_default();
        let foreseen = |(name, raw): &(String, &RawValue)| match name.as_str() {
            "verb" => text(raw).is_some_and(|verb| cut(&verb) == verb),
            name => name == "target_ids",
        };
        if targets.is_empty() || !value.0.iter().all(foreseen) {
            self.update(&about, entry.owners(), Shape::MetaChange, field, raw.to_owned());
        }
        let verb = value.text("verb").unwrap_or_default();
        for target in targets {
            // Only this page's part, or a long list would be kept once for each of its own elements.
            // As text, for what stands in a list may be JSON that has no value: half a character, say.
            let (field_json, verb) = (json!(cut(field)), json!(cut(&verb)));
            let own = format!(
                r#"{{"field":{field_json},"value":{{"verb":{verb},"target_ids":[{}]}}}}"#,
                target.get()
            );
            let mut owners = Vec::new();
            push_id(Some(target), &mut owners);
            let own = RawValue::from_string(own).unwrap_or_else(|_| raw.to_owned());
            self.update(&about, owners, Shape::MetaChange, field, own);
        }
    }

    /// A member that nobody foresaw, kept where it is more than a word about the sending.
    fn unforeseen(&mut self, entry: &Entry, name: &str, raw: &RawValue) {
        match raw.get().as_bytes().first() {
            Some(b'[') => self.each(raw, |this, one| this.unknown(entry, name, one)),
            Some(b'{') => self.unknown(entry, name, raw),
            _ => {}
        }
    }

    /// An envelope or an entry in which there is nothing that has a form of its own.
    fn whole(&mut self, entry: &Entry, text: &str) {
        if let Ok(raw) = RawValue::from_string(text.to_owned()) {
            self.unknown(entry, "", &raw);
        }
    }

    fn unknown(&mut self, entry: &Entry, field: &str, raw: &RawValue) {
        self.update(entry, entry.owners(), Shape::Unknown, field, raw.to_owned());
    }

    fn update(
        &mut self,
        entry: &Entry,
        owners: Vec<NetworkId>,
        shape: Shape,
        field: &str,
        raw: Box<RawValue>,
    ) {
        if self.updates.len() >= MAX_UPDATES {
            self.full = true;
            return;
        }
        let (network, sent_at) = (entry.network, entry.sent_at);
        let field = cut(field).to_owned();
        let event = Event { network, by: By::Push, shape, field, sent_at, raw, beside: None };
        self.updates.push(Update { owners, event });
    }

    fn network(&self, object: &str) -> Network {
        match object {
            "page" => Network::Facebook,
            "instagram" => Network::Instagram,
            _ => self.route,
        }
    }

    fn nobodys(&self, network: Network) -> Entry {
        Entry { network, id: None, test: false, sent_at: None }
    }
}

impl Entry {
    fn owners(&self) -> Vec<NetworkId> {
        self.id.iter().cloned().collect()
    }
}

fn holds_objects(list: &[&RawValue]) -> bool {
    list.iter().any(|one| one.get().starts_with('{'))
}

/// The page is who receives, or, of an echo, who sends; which it is only matters where the entry's own id is nobody's.
fn participants(members: &Members<'_>, owners: &mut Vec<NetworkId>) {
    let echo = members.object("message").and_then(|message| message.get("is_echo"));
    let echo = echo.is_some_and(|echo| matches!(echo.get(), "true" | "\"true\""));
    let sides = if echo { ["sender", "recipient"] } else { ["recipient", "sender"] };
    for side in sides {
        candidate(members.object(side).as_ref(), "id", owners);
    }
}

fn candidate(members: Option<&Members<'_>>, name: &str, owners: &mut Vec<NetworkId>) {
    push_id(members.and_then(|members| members.get(name)), owners);
}

fn push_id(raw: Option<&RawValue>, owners: &mut Vec<NetworkId>) {
    let id = raw.map(parse).as_ref().and_then(id_of).and_then(|id| id.parse::<NetworkId>().ok());
    if let Some(id) = id.filter(|id| !owners.contains(id)) {
        owners.push(id);
    }
}

/// Whose ids a permission's are: the topic is the app's, and its one address may be either route.
fn permission_network(permission: &str, route: Network) -> Network {
    if permission.starts_with("instagram_") {
        Network::Instagram
    } else if permission.starts_with("pages_") || permission == "manage_pages" {
        Network::Facebook
    } else {
        route
    }
}

fn cut(field: &str) -> &str {
    let mut end = field.len().min(MAX_FIELD_NAME_BYTES);
    while !field.is_char_boundary(end) {
        end -= 1;
    }
    &field[..end]
}
