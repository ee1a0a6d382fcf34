//! Webhooks: what a customer configures, how it changes, and what it takes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::address::{PrivateTargets, WebhookUrl};
use crate::credentials::{Credentials, Fresh, own_secret};
use crate::field::{Field, boolean, choice, quoted, unknown};
use crate::id::{AccountId, WebhookId};
use crate::item::{ItemType, Source};
use crate::problem::FieldError;
use crate::signature::{Secret, Signer};

/// The most webhooks of an account. Every item is routed through all of them.
pub const MAX_WEBHOOKS_PER_ACCOUNT: usize = 100;
/// The most sources that a webhook can name.
pub const MAX_SOURCES: usize = 100;
/// The most headers that a webhook can add.
pub const MAX_HEADERS: usize = 20;
/// The most bytes of all names and values of a webhook's headers.
pub const MAX_HEADER_BYTES: usize = 4096;
/// The longest description, in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 512;
/// The highest threshold of a webhook's own.
pub const MAX_THRESHOLD: u32 = 1_000_000;
/// The longest block of a webhook's own, in seconds: 7 days.
pub const MAX_BLOCK_SECONDS: u32 = 7 * 24 * 3600;

/// Stands in every answer in place of a header's value: it may be a credential. Sent back, it keeps the value.
pub const MASK: &str = "********";

/// The treatment of items while their type is blocked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhileBlocked {
    /// They wait for the end of the block.
    #[default]
    Hold,
    /// They are dropped and counted.
    Discard,
}

/// The attempts that are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptLog {
    /// The failed ones.
    #[default]
    Failures,
    /// All.
    All,
    /// None.
    None,
}

/// The settings of a webhook, as a customer sets them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where items go.
    pub url: WebhookUrl,
    /// The item types that it takes.
    pub items: BTreeSet<ItemType>,
    /// The sources that it takes; all, where it names none.
    pub sources: Option<BTreeSet<Source>>,
    /// Headers of its own, by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The treatment of items while their type is blocked.
    pub while_blocked: WhileBlocked,
    /// The attempts that are logged.
    pub log: AttemptLog,
    /// A description in its owner's words.
    pub description: Option<String>,
    /// Whether its owner wants deliveries.
    pub enabled: bool,
    /// Failures in a row that block a type; the deployment's, where it sets none.
    pub threshold: Option<u32>,
    /// How long a block lasts, in seconds; the deployment's, where it sets none.
    pub block_seconds: Option<u32>,
}

/// Why a webhook is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledBy {
    /// Its owner disabled it.
    Owner,
    /// Its URL answered 410 Gone.
    Gone,
}

/// A customer's request to create a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWebhook {
    /// Its settings.
    pub settings: Settings,
    /// A secret of their own; a random one, where they give none.
    pub secret: Option<Secret>,
    /// Whether it gets a key pair.
    pub key_pair: bool,
}

impl NewWebhook {
    /// Reads a customer's request, and reports every fault of it.
    ///
    /// # Errors
    /// Every wrong field; unknown ones are wrong. No error repeats a secret.
    pub fn from_json(given: &Map<String, Value>, private: &PrivateTargets) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let secret = Field::of(given, "secret").optional(&mut errors, own_secret);
        let key_pair = Field::of(given, "key_pair").optional(&mut errors, boolean);
        if let Some(Value::Object(headers)) = given.get("headers") {
            errors.extend(
                headers.iter().filter(|(_, value)| is_mask(value)).map(|(name, _)| nothing_masked(name)),
            );
        }
        let settings = Settings::from_json(&without(given, &["secret", "key_pair"]), private);
        match settings {
            Ok(settings) if errors.is_empty() => {
                Ok(Self { settings, secret, key_pair: key_pair.unwrap_or(false) })
            }
            Ok(_) => Err(errors),
            Err(wrong) => Err(wrong.into_iter().chain(errors).collect()),
        }
    }

    /// The webhook, with credentials of `fresh` where the request has none.
    #[must_use]
    pub fn create(self, id: WebhookId, account: AccountId, fresh: Fresh, now: Timestamp) -> Webhook {
        let secret = self.secret.unwrap_or(fresh.secret);
        let credentials = Credentials::new(secret, Some(fresh.key_pair).filter(|_| self.key_pair));
        Webhook::new(id, account, self.settings, credentials, now)
    }
}

/// The result of a customer's patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patched {
    /// Its settings.
    pub settings: Settings,
    /// Whether it has a key pair.
    pub key_pair: bool,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// The account that owns it.
    pub account: AccountId,
    /// Counts the changes of its URL, headers or credentials; 1 at first. A result of an older revision touches
    /// nothing of a newer one.
    pub revision: u64,
    /// Counts all changes. Every change is conditional on it.
    pub version: u64,
    /// Its settings.
    pub settings: Settings,
    /// Why it is disabled, where it is.
    pub disabled_by: Option<DisabledBy>,
    /// Since when it is disabled, where it is, and a version disabled it that notes so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Timestamp>,
    /// The credentials.
    #[serde(flatten)]
    pub credentials: Credentials,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl Webhook {
    /// A new webhook.
    #[must_use]
    pub fn new(
        id: WebhookId,
        account: AccountId,
        settings: Settings,
        credentials: Credentials,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            account,
            revision: 1,
            version: 1,
            disabled_by: (!settings.enabled).then_some(DisabledBy::Owner),
            disabled_at: (!settings.enabled).then_some(now),
            settings,
            credentials,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether an item goes to this webhook. Carteiro's own notices pass whatever sources it names.
    #[must_use]
    pub fn takes(&self, item_type: &ItemType, source: &Source) -> bool {
        let from = |sources: &BTreeSet<Source>| *source == Source::Carteiro || sources.contains(source);
        self.settings.items.contains(item_type) && self.settings.sources.as_ref().is_none_or(from)
    }

    /// The signers at a time.
    pub fn signers_at(&self, now: Timestamp) -> impl Iterator<Item = Signer<'_>> {
        self.credentials.signers_at(now)
    }

    /// Applies a JSON merge patch (RFC 7396).
    ///
    /// # Errors
    /// Every field that is wrong after the patch. A secret is not patched, because a rotation says until when the old
    /// one signs.
    pub fn patched(
        &self,
        patch: &Map<String, Value>,
        private: &PrivateTargets,
    ) -> Result<Patched, Vec<FieldError>> {
        let mut errors = Vec::new();
        if patch.contains_key("secret") {
            errors.push(FieldError::new("secret", "is replaced by POST /webhooks/{webhook}/secret"));
        }
        let key_pair = match patch.get("key_pair") {
            None => Some(self.credentials.public_key().is_some()),
            Some(Value::Null) => Some(false),
            Some(_) => Field::of(patch, "key_pair").optional(&mut errors, boolean),
        };
        let settings = self.settings.patched(&without(patch, &["secret", "key_pair"]), private);
        match (settings, key_pair) {
            (Ok(settings), Some(key_pair)) if errors.is_empty() => Ok(Patched { settings, key_pair }),
            (Ok(_), _) => Err(errors),
            (Err(wrong), _) => Err(wrong.into_iter().chain(errors).collect()),
        }
    }

    /// This webhook with new settings and credentials; None where they change nothing. Replaced credentials whose time
    /// is over are left out.
    #[must_use]
    pub fn changed(&self, settings: Settings, credentials: &Credentials, now: Timestamp) -> Option<Self> {
        let credentials = credentials.without_ended(now);
        let recredentialed = credentials != self.credentials.without_ended(now);
        if settings == self.settings && !recredentialed {
            return None;
        }
        let readdressed = settings.url != self.settings.url || settings.headers != self.settings.headers;
        let disabled_by = match (settings.enabled, self.disabled_by) {
            (true, _) => None,
            (false, earlier) => earlier.or(Some(DisabledBy::Owner)),
        };
        Some(Self {
            revision: self.revision + u64::from(readdressed || recredentialed),
            version: self.version + 1,
            settings,
            disabled_by,
            disabled_at: match (disabled_by, self.disabled_by) {
                (None, _) => None,
                (Some(_), None) => Some(now),
                (Some(_), Some(_)) => self.disabled_at,
            },
            credentials,
            updated_at: now,
            ..self.clone()
        })
    }

    /// This webhook with other settings alone; None where they change nothing.
    #[must_use]
    pub fn set(&self, settings: Settings, now: Timestamp) -> Option<Self> {
        self.changed(settings, &self.credentials, now)
    }

    /// This webhook with other credentials alone; None where they change nothing.
    #[must_use]
    pub fn recredentialed(&self, credentials: &Credentials, now: Timestamp) -> Option<Self> {
        self.changed(self.settings.clone(), credentials, now)
    }

    /// This webhook after its URL answered 410 Gone to an attempt of `revision`; None where that is of no consequence:
    /// an older revision's answer, or a webhook that is disabled already.
    #[must_use]
    pub fn gone(&self, revision: u64, now: Timestamp) -> Option<Self> {
        (revision == self.revision && self.disabled_by.is_none()).then(|| Self {
            version: self.version + 1,
            settings: Settings { enabled: false, ..self.settings.clone() },
            disabled_by: Some(DisabledBy::Gone),
            disabled_at: Some(now),
            credentials: self.credentials.without_ended(now),
            updated_at: now,
            ..self.clone()
        })
    }
}

impl Settings {
    /// Reads a customer's request, and reports every fault of it.
    ///
    /// # Errors
    /// Every wrong field; unknown ones are wrong.
    pub fn from_json(given: &Map<String, Value>, private: &PrivateTargets) -> Result<Self, Vec<FieldError>> {
        let mut errors = unknown(given, &FIELDS);
        let field = |name: &'static str| Field::of(given, name);
        let url = field("url").required(&mut errors, |value| url(value, private));
        let items = field("items").required(&mut errors, items);
        let sources = field("sources").optional(&mut errors, sources);
        let (headers, header_errors) = headers(given.get("headers"));
        errors.extend(header_errors);
        let while_blocked = field("while_blocked").optional(&mut errors, choice(&["hold", "discard"]));
        let log = field("log").optional(&mut errors, choice(&["failures", "all", "none"]));
        let description = field("description").optional(&mut errors, description);
        let enabled = field("enabled").optional(&mut errors, boolean);
        let threshold = field("threshold").optional(&mut errors, number(MAX_THRESHOLD));
        let block_seconds = field("block_seconds").optional(&mut errors, number(MAX_BLOCK_SECONDS));
        let (Some(url), Some(items), true) = (url, items, errors.is_empty()) else { return Err(errors) };
        Ok(Self {
            url,
            items,
            sources,
            headers,
            while_blocked: while_blocked.unwrap_or_default(),
            log: log.unwrap_or_default(),
            description,
            enabled: enabled.unwrap_or(true),
            threshold,
            block_seconds,
        })
    }

    /// These settings with a JSON merge patch (RFC 7396) applied.
    ///
    /// # Errors
    /// Every field that is wrong after the patch.
    pub fn patched(
        &self,
        patch: &Map<String, Value>,
        private: &PrivateTargets,
    ) -> Result<Self, Vec<FieldError>> {
        let mut patch = patch.clone();
        let mut errors = Vec::new();
        if let Some(Value::Object(headers)) = patch.get_mut("headers") {
            *headers = lower_case_names(headers)?;
            // A masked value stays as it is stored, so it is no part of the patch.
            headers.retain(|name, value| {
                let masked = is_mask(value);
                if masked && !self.headers.contains_key(name) {
                    errors.push(nothing_masked(name));
                }
                !masked
            });
        }
        let mut target = serde_json::to_value(self).unwrap_or_default();
        merge(&mut target, &Value::Object(patch));
        let Value::Object(target) = target else {
            return Err(vec![FieldError::new("", "a JSON object is expected")]);
        };
        match Self::from_json(&target, private) {
            Ok(settings) if errors.is_empty() => Ok(settings),
            Ok(_) => Err(errors),
            Err(wrong) => Err(wrong.into_iter().chain(errors).collect()),
        }
    }

    /// The headers as answers show them: their names, each with [`MASK`] in place of its value.
    #[must_use]
    pub fn masked_headers(&self) -> BTreeMap<&str, &'static str> {
        self.headers.keys().map(|name| (name.as_str(), MASK)).collect()
    }
}

fn is_mask(value: &Value) -> bool {
    value.as_str() == Some(MASK)
}

fn nothing_masked(header: &str) -> FieldError {
    let detail =
        format!("{MASK} stands for the value of a header that is set, and this one is not; give its value");
    FieldError::new(format!("headers.{header}"), detail)
}

/// A customer's fields without some of them.
fn without(given: &Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let others = given.iter().filter(|(name, _)| !names.contains(&name.as_str()));
    others.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Headers are kept by their lower-case names, whatever their case in a patch.
fn lower_case_names(headers: &Map<String, Value>) -> Result<Map<String, Value>, Vec<FieldError>> {
    let mut lowered = Map::new();
    for (name, value) in headers {
        if lowered.insert(name.to_ascii_lowercase(), value.clone()).is_some() {
            return Err(vec![FieldError::new(format!("headers.{name}"), "is there twice")]);
        }
    }
    Ok(lowered)
}

/// RFC 7396, section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

const FIELDS: [&str; 10] = [
    "url",
    "items",
    "sources",
    "headers",
    "while_blocked",
    "log",
    "description",
    "enabled",
    "threshold",
    "block_seconds",
];

fn url(value: &Value, private: &PrivateTargets) -> Result<WebhookUrl, String> {
    let text = value.as_str().ok_or("a text is expected")?;
    WebhookUrl::check(text, private).map_err(|error| error.to_string())
}

fn items(value: &Value) -> Result<BTreeSet<ItemType>, String> {
    let known = ItemType::KNOWN.map(|known| known.to_string()).join(", ");
    let expected = || format!("a list of one or more of {known} is expected");
    let list = value.as_array().filter(|list| !list.is_empty()).ok_or_else(expected)?;
    let read = |value: &Value| {
        let found = ItemType::KNOWN.into_iter().find(|known| Some(known.as_str()) == value.as_str());
        found.ok_or_else(|| format!("{} is not an item type; the types are {known}", quoted(value)))
    };
    list.iter().map(read).collect()
}

fn sources(value: &Value) -> Result<BTreeSet<Source>, String> {
    let expected = format!(
        "a list of 1 to {MAX_SOURCES} of bot:<name>, page:<id> or carteiro is expected; leave it out to take all"
    );
    let bounded = |list: &&Vec<Value>| (1..=MAX_SOURCES).contains(&list.len());
    let list = value.as_array().filter(bounded).ok_or_else(|| expected.clone())?;
    let read = |value: &Value| {
        let source = value.as_str().and_then(|text| text.parse().ok());
        source.ok_or_else(|| format!("{} is not a source; {expected}", quoted(value)))
    };
    list.iter().map(read).collect()
}

fn number(most: u32) -> impl FnOnce(&Value) -> Result<u32, String> {
    move |value| {
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number
            .filter(|number| (1..=most).contains(number))
            .ok_or(format!("a whole number from 1 to {most} is expected"))
    }
}

fn description(value: &Value) -> Result<String, String> {
    let text = value.as_str().filter(|text| text.len() <= MAX_DESCRIPTION_BYTES);
    text.map(str::to_owned).ok_or(format!("a text of up to {MAX_DESCRIPTION_BYTES} bytes is expected"))
}

/// What names of headers begin with that Carteiro itself sets.
pub const RESERVED_HEADER_PREFIXES: [&str; 2] = ["webhook-", "carteiro-"];

/// Names that Carteiro or HTTP itself sets.
pub const RESERVED_HEADERS: [&str; 17] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

fn headers(given: Option<&Value>) -> (BTreeMap<String, String>, Vec<FieldError>) {
    let mut headers = BTreeMap::new();
    let mut errors = Vec::new();
    let given = match given {
        None | Some(Value::Null) => return (headers, errors),
        Some(Value::Object(given)) => given,
        Some(_) => {
            return (headers, vec![FieldError::new("headers", "an object of names and texts is expected")]);
        }
    };
    for (name, value) in given {
        let lower = name.to_ascii_lowercase();
        match header(&lower, value) {
            Ok(_) if headers.contains_key(&lower) => {
                errors.push(FieldError::new(format!("headers.{name}"), "is there twice"));
            }
            Ok(value) => _ = headers.insert(lower, value),
            Err(detail) => errors.push(FieldError::new(format!("headers.{name}"), detail)),
        }
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        let detail = format!("at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes in all are taken");
        errors.push(FieldError::new("headers", detail));
    }
    (headers, errors)
}

fn header(lower: &str, value: &Value) -> Result<String, String> {
    // A token of RFC 9110, 5.6.2.
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if lower.is_empty() || lower.len() > 128 || !lower.bytes().all(token) {
        return Err("not a header's name".to_owned());
    }
    let is_own = RESERVED_HEADER_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
    if is_own || RESERVED_HEADERS.contains(&lower) {
        return Err("this header is set by Carteiro".to_owned());
    }
    let visible = |text: &&str| text.trim() == *text && text.bytes().all(|b| (0x20..0x7f).contains(&b));
    value
        .as_str()
        .filter(visible)
        .map(str::to_owned)
        .ok_or("a text of visible ASCII characters is expected".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn none() -> PrivateTargets {
        PrivateTargets::default()
    }

    fn settings(value: impl std::borrow::Borrow<Value>) -> Result<Settings, Vec<FieldError>> {
        let value = value.borrow();
        Settings::from_json(value.as_object().unwrap(), &none())
    }

    fn fresh(n: u8) -> Fresh {
        Fresh::from_random([n; 32], [n; 32])
    }

    fn created(value: &Value) -> Result<Webhook, Vec<FieldError>> {
        let new = NewWebhook::from_json(value.as_object().unwrap(), &none())?;
        let (id, account) = (WebhookId::from_bits(1), AccountId::from_bits(2));
        Ok(new.create(id, account, fresh(1), Timestamp::UNIX_EPOCH))
    }

    fn webhook(value: impl std::borrow::Borrow<Value>) -> Webhook {
        created(value.borrow()).unwrap()
    }

    #[test]
    fn the_least_that_is_needed_gets_the_documented_defaults() {
        let settings =
            settings(json!({"url": "https://example.com/a", "items": ["message", "message"]})).unwrap();
        assert_eq!(settings.items, BTreeSet::from([ItemType::MESSAGE]));
        assert_eq!(
            (settings.while_blocked, settings.log, settings.enabled),
            (WhileBlocked::Hold, AttemptLog::Failures, true)
        );
        assert!(settings.sources.is_none() && settings.headers.is_empty() && settings.threshold.is_none());
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = json!({
            "url": "http://example.com", "items": ["ticket"], "sources": ["robot:x"], "while_blocked": "drop", "log": 1,
            "description": 7, "enabled": "yes", "threshold": 0, "block_seconds": 604_801, "colour": "red",
            "headers": {"Host": "a", "x y": "b", "x-c": "\n", "webhook-id": "d", "x-e": 1},
        });
        let mut named: Vec<_> = settings(wrong).unwrap_err().into_iter().map(|error| error.field).collect();
        named.sort();
        let expected = [
            "block_seconds",
            "colour",
            "description",
            "enabled",
            "headers.Host",
            "headers.webhook-id",
            "headers.x y",
            "headers.x-c",
            "headers.x-e",
            "items",
            "log",
            "sources",
            "threshold",
            "url",
            "while_blocked",
        ];
        assert_eq!(named, expected);
        let missing: Vec<_> = settings(json!({})).unwrap_err().into_iter().map(|error| error.field).collect();
        assert_eq!(missing, ["url", "items"]);
    }

    #[test]
    fn a_wrong_type_or_source_is_named_with_those_that_there_are() {
        let wrong = json!({
            "url": "https://example.com", "items": ["message", "messages"], "sources": ["bot:a", "robot:x"],
        });
        let errors = settings(wrong).unwrap_err();
        let detail = |field: &str| errors.iter().find(|error| error.field == field).unwrap().detail.as_str();
        assert!(detail("items").starts_with("\"messages\" is not an item type"), "{errors:?}");
        assert!(ItemType::KNOWN.iter().all(|known| detail("items").contains(known.as_str())), "{errors:?}");
        assert!(detail("sources").starts_with("\"robot:x\" is not a source"), "{errors:?}");
        let long =
            json!({"url": "https://example.com", "items": ["x".repeat(1000)], "sources": [{"a": "b"}]});
        assert!(settings(long).unwrap_err().iter().all(|error| error.detail.len() < 300));
    }

    #[test]
    fn headers_are_answered_masked_and_the_mask_keeps_what_is_set() {
        let given = json!({
            "url": "https://example.com", "items": ["event"], "headers": {"Authorization": "Bearer s3cret", "x-a": "1"},
        });
        let before = settings(&given).unwrap();
        assert_eq!(before.masked_headers(), BTreeMap::from([("authorization", MASK), ("x-a", MASK)]));
        let patched = |patch: Value| before.patched(patch.as_object().unwrap(), &none());
        let kept = patched(json!({"headers": before.masked_headers()})).unwrap();
        assert_eq!(kept, before);
        let one = patched(json!({"headers": {"AUTHORIZATION": MASK, "x-a": "2", "x-b": "3"}})).unwrap();
        let expected = [("authorization", "Bearer s3cret"), ("x-a", "2"), ("x-b", "3")];
        assert_eq!(one.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let errors = patched(json!({"headers": {"x-a": MASK, "x-c": MASK}, "log": 1})).unwrap_err();
        assert_eq!(
            errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(),
            ["log", "headers.x-c"]
        );
        let new = json!({"url": "https://example.com", "items": ["event"], "headers": {"x-a": MASK}});
        assert_eq!(created(&new).unwrap_err()[0].field, "headers.x-a");
    }

    #[test]
    fn headers_are_bounded_and_differ_by_more_than_case() {
        let twice =
            json!({"url": "https://example.com", "items": ["event"], "headers": {"X-A": "1", "x-a": "2"}});
        assert_eq!(settings(twice).unwrap_err()[0].detail, "is there twice");
        let large =
            json!({"url": "https://example.com", "items": ["event"], "headers": {"x-a": "a".repeat(5000)}});
        assert_eq!(settings(large).unwrap_err()[0].field, "headers");
    }

    #[test]
    fn a_patch_changes_what_it_names_and_null_restores_the_default() {
        let before = settings(json!({
            "url": "https://example.com/a", "items": ["message"], "threshold": 5, "headers": {"x-a": "1", "x-b": "2"},
        }))
        .unwrap();
        let patch = json!({"threshold": null, "headers": {"X-A": null, "X-C": "3"}, "items": ["event"]});
        let after = before.patched(patch.as_object().unwrap(), &none()).unwrap();
        assert_eq!(after.threshold, None);
        assert_eq!(after.headers, BTreeMap::from([("x-b".into(), "2".into()), ("x-c".into(), "3".into())]));
        assert_eq!(after.items, BTreeSet::from([ItemType::EVENT]));
        assert_eq!(after.url, before.url);
        let twice =
            before.patched(json!({"headers": {"X-D": "1", "x-d": "2"}}).as_object().unwrap(), &none());
        assert_eq!(twice.unwrap_err()[0].detail, "is there twice");
        let removed = before.patched(json!({"url": null}).as_object().unwrap(), &none());
        assert_eq!(removed.unwrap_err()[0].field, "url");
    }

    #[test]
    fn only_a_new_address_or_header_is_a_new_revision() {
        let before = webhook(json!({"url": "https://example.com/a", "items": ["message"]}));
        let patched = |patch: Value| {
            let settings = before.settings.patched(patch.as_object().unwrap(), &none()).unwrap();
            before.set(settings, Timestamp::UNIX_EPOCH)
        };
        assert_eq!(patched(json!({"url": "https://example.com/a"})), None);
        assert_eq!(patched(json!({"url": "https://example.com/b"})).unwrap().revision, 2);
        assert_eq!(patched(json!({"headers": {"x-a": "1"}})).unwrap().revision, 2);
        let described = patched(json!({"description": "d"})).unwrap();
        assert_eq!((described.revision, described.version), (1, 2));
    }

    #[test]
    fn gone_disables_its_revision_until_the_owner_enables_it() {
        let webhook = webhook(json!({"url": "https://example.com/a", "items": ["message"]}));
        assert_eq!(webhook.gone(2, Timestamp::UNIX_EPOCH), None);
        let gone = webhook.gone(1, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((gone.disabled_by, gone.settings.enabled), (Some(DisabledBy::Gone), false));
        let later = Timestamp::from_second(60).unwrap();
        let described = Settings { description: Some("x".to_owned()), ..gone.settings.clone() };
        let changed = gone.set(described, later).unwrap();
        assert_eq!(
            (changed.disabled_at, changed.disabled_by),
            (gone.disabled_at, gone.disabled_by),
            "since then"
        );
        assert_eq!(gone.gone(1, Timestamp::UNIX_EPOCH), None);
        let enabled = Settings { enabled: true, ..gone.settings.clone() };
        assert_eq!(gone.set(enabled, Timestamp::UNIX_EPOCH).unwrap().disabled_by, None);
    }

    #[test]
    fn a_webhook_takes_its_types_from_its_sources_and_all_notices() {
        let webhook = webhook(json!({
            "url": "https://example.com/a", "items": ["message", "notice"], "sources": ["bot:a"],
        }));
        let takes = |item_type: &ItemType, source: &str| webhook.takes(item_type, &source.parse().unwrap());
        assert!(takes(&ItemType::MESSAGE, "bot:a"));
        assert!(!takes(&ItemType::MESSAGE, "bot:b"));
        assert!(!takes(&ItemType::EVENT, "bot:a"));
        assert!(takes(&ItemType::NOTICE, "carteiro"));
    }

    fn patch(webhook: &Webhook, patch: &Value) -> Result<Patched, Vec<FieldError>> {
        webhook.patched(patch.as_object().unwrap(), &none())
    }

    #[test]
    fn a_webhook_gets_the_requested_secret_and_key_pair() {
        let plain = json!({"url": "https://example.com/a", "items": ["message"]});
        let with = |more: Value| {
            let mut given = plain.clone();
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            created(&given)
        };
        let webhook = with(json!({"secret": null, "key_pair": null})).unwrap();
        assert_eq!(webhook.credentials, Credentials::new(fresh(1).secret, None));
        let own = fresh(7).secret;
        let webhook = with(json!({"secret": own.reveal(), "key_pair": true})).unwrap();
        assert_eq!(webhook.credentials, Credentials::new(own, Some(fresh(1).key_pair)));
        let wrong = json!({"secret": "whsec_c2hvcnQ=", "key_pair": 1, "url": 7});
        let errors = with(wrong).unwrap_err();
        let named: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(named, ["url", "secret", "key_pair"]);
        assert!(!format!("{errors:?}").contains("c2hvcnQ"), "{errors:?}");
        assert_eq!(with(json!({"secret": "x"})).unwrap_err().len(), 1);
    }

    #[test]
    fn a_change_of_credentials_is_a_new_revision() {
        let now = Timestamp::UNIX_EPOCH;
        let before = webhook(json!({"url": "https://example.com/a", "items": ["message"]}));
        let change = patch(&before, &json!({"key_pair": true, "log": "all"})).unwrap();
        let credentials = before.credentials.with_key_pair(change.key_pair, &fresh(2));
        let with = before.changed(change.settings, &credentials, now).unwrap();
        assert_eq!((with.revision, with.version, with.settings.log), (2, 2, AttemptLog::All));
        let change = patch(&with, &json!({"log": "none"})).unwrap();
        let kept = with.credentials.with_key_pair(change.key_pair, &fresh(3));
        assert_eq!(with.changed(change.settings, &kept, now).unwrap().revision, 2);
        for taken in [json!({"key_pair": false}), json!({"key_pair": null})] {
            let change = patch(&with, &taken).unwrap();
            let without = with.credentials.with_key_pair(change.key_pair, &fresh(3));
            let without = with.recredentialed(&without, now).unwrap();
            assert_eq!((without.revision, without.credentials), (3, before.credentials.clone()));
        }
        let rotation = crate::credentials::Rotation::from_json(&Map::new()).unwrap();
        let rotated = with.credentials.rotated(&rotation, &fresh(4), now).unwrap();
        assert_eq!(with.recredentialed(&rotated, now).unwrap().revision, 3);
        assert_eq!(with.recredentialed(&with.credentials, now), None);
    }

    #[test]
    fn a_patch_takes_no_secret() {
        let webhook = webhook(json!({"url": "https://example.com/a", "items": ["message"]}));
        let secret = fresh(2).secret.reveal();
        let errors = patch(&webhook, &json!({"secret": secret, "key_pair": "no", "log": 1})).unwrap_err();
        let named: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(named, ["log", "secret", "key_pair"]);
        assert!(!format!("{errors:?}").contains(&secret));
    }

    #[test]
    fn replaced_credentials_leave_with_a_change_after_their_end() {
        let before = webhook(json!({"url": "https://example.com/a", "items": ["message"]}));
        let given = json!({"overlap_seconds": 100});
        let rotation = crate::credentials::Rotation::from_json(given.as_object().unwrap()).unwrap();
        let rotated = before.credentials.rotated(&rotation, &fresh(2), Timestamp::UNIX_EPOCH).unwrap();
        let rotated = before.recredentialed(&rotated, Timestamp::UNIX_EPOCH).unwrap();
        let described = Settings { description: Some("d".to_owned()), ..rotated.settings.clone() };
        let alone = Credentials::new(fresh(2).secret, None);
        for (second, left) in [(99, &rotated.credentials), (100, &alone)] {
            let now = Timestamp::from_second(second).unwrap();
            assert_eq!(rotated.set(rotated.settings.clone(), now), None, "that alone is no change");
            let changed = rotated.set(described.clone(), now).unwrap();
            assert_eq!((&changed.credentials, changed.revision), (left, 2));
            assert_eq!(&rotated.gone(2, now).unwrap().credentials, left);
            assert_eq!(rotated.signers_at(now).count(), if second == 99 { 2 } else { 1 });
        }
    }

    #[test]
    fn a_row_of_the_first_version_is_read_and_written_as_it_was() {
        let row = json!({
            "id": "wh_00000000000000000000000000000001", "account": "acc_00000000000000000000000000000002",
            "revision": 3, "version": 4,
            "settings": {
                "url": "https://example.com/a", "items": ["message"], "sources": null, "headers": {}, "while_blocked": "hold",
                "log": "failures", "description": null, "enabled": true, "threshold": null, "block_seconds": null,
            },
            "disabled_by": null,
            "secrets": [{"secret": fresh(1).secret.reveal(), "until": null}],
            "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z",
        });
        let read: Webhook = serde_json::from_value(row.clone()).unwrap();
        let created = webhook(json!({"url": "https://example.com/a", "items": ["message"]}));
        assert_eq!(read, Webhook { revision: 3, version: 4, ..created });
        assert_eq!(serde_json::to_value(&read).unwrap(), row);
    }
}
