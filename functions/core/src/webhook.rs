//! Webhooks: what a customer configures, how it changes, and what it takes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::address::{PrivateTargets, WebhookUrl};
use crate::field::{Field, choice, unknown};
use crate::id::{AccountId, WebhookId};
use crate::item::{ItemType, Source};
use crate::problem::FieldError;
use crate::signature::Secret;

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

/// What happens to items while their type is blocked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhileBlocked {
    /// They wait for the end of the block.
    #[default]
    Hold,
    /// They are dropped and counted.
    Discard,
}

/// Which attempts are logged.
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

/// What a customer sets.
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
    /// What happens to items while their type is blocked.
    pub while_blocked: WhileBlocked,
    /// Which attempts are logged.
    pub log: AttemptLog,
    /// What it is for, in its owner's words.
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
    /// Its owner said so.
    Owner,
    /// Its URL answered 410 Gone.
    Gone,
}

/// A secret that signs, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningSecret {
    /// The secret.
    pub secret: Secret,
    /// When it stops signing, after a rotation.
    pub until: Option<Timestamp>,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub account: AccountId,
    /// Counts the changes of its URL, headers or credentials; 1 at first. A result of an older revision touches
    /// nothing of a newer one.
    pub revision: u64,
    /// Counts all changes; what a change is conditional on.
    pub version: u64,
    /// What its owner set.
    pub settings: Settings,
    /// Why it is disabled, where it is.
    pub disabled_by: Option<DisabledBy>,
    /// What signs, the newest first.
    pub secrets: Vec<SigningSecret>,
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
        secret: Secret,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            account,
            revision: 1,
            version: 1,
            disabled_by: (!settings.enabled).then_some(DisabledBy::Owner),
            settings,
            secrets: vec![SigningSecret { secret, until: None }],
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

    /// The secrets that sign at a time.
    pub fn secrets_at(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        self.secrets
            .iter()
            .filter(move |one| one.until.is_none_or(|until| now < until))
            .map(|one| &one.secret)
    }

    /// This webhook with new settings; None where they change nothing.
    #[must_use]
    pub fn changed(&self, settings: Settings, now: Timestamp) -> Option<Self> {
        if settings == self.settings {
            return None;
        }
        let readdressed = settings.url != self.settings.url || settings.headers != self.settings.headers;
        let disabled_by = match (settings.enabled, self.disabled_by) {
            (true, _) => None,
            (false, earlier) => earlier.or(Some(DisabledBy::Owner)),
        };
        Some(Self {
            revision: self.revision + u64::from(readdressed),
            version: self.version + 1,
            settings,
            disabled_by,
            updated_at: now,
            ..self.clone()
        })
    }

    /// This webhook after its URL answered 410 Gone to an attempt of `revision`; None where that is of no consequence:
    /// an older revision's answer, or a webhook that is disabled already.
    #[must_use]
    pub fn gone(&self, revision: u64, now: Timestamp) -> Option<Self> {
        (revision == self.revision && self.disabled_by.is_none()).then(|| Self {
            version: self.version + 1,
            settings: Settings { enabled: false, ..self.settings.clone() },
            disabled_by: Some(DisabledBy::Gone),
            updated_at: now,
            ..self.clone()
        })
    }
}

impl Settings {
    /// Reads what a customer gave, and reports everything that is wrong with it.
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
        let enabled =
            field("enabled").optional(&mut errors, |value| value.as_bool().ok_or("true or false".to_owned()));
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
        if let Some(Value::Object(headers)) = patch.get_mut("headers") {
            *headers = lower_case_names(headers)?;
        }
        let mut target = serde_json::to_value(self).unwrap_or_default();
        merge(&mut target, &Value::Object(patch));
        match target {
            Value::Object(target) => Self::from_json(&target, private),
            _ => Err(vec![FieldError::new("", "a JSON object is expected")]),
        }
    }
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
    let expected = || {
        let known: Vec<_> = ItemType::KNOWN.iter().map(ItemType::as_str).collect();
        format!("a list of one or more of {} is expected", known.join(", "))
    };
    let list = value.as_array().filter(|list| !list.is_empty()).ok_or_else(expected)?;
    let known =
        |value: &Value| ItemType::KNOWN.into_iter().find(|known| Some(known.as_str()) == value.as_str());
    list.iter().map(|value| known(value).ok_or_else(expected)).collect()
}

fn sources(value: &Value) -> Result<BTreeSet<Source>, String> {
    let expected = format!(
        "a list of 1 to {MAX_SOURCES} of bot:<name>, page:<id> or carteiro is expected; leave it out to take all"
    );
    let bounded = |list: &&Vec<Value>| (1..=MAX_SOURCES).contains(&list.len());
    let list = value.as_array().filter(bounded).ok_or_else(|| expected.clone())?;
    let source = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
    list.iter().map(|value| source(value).ok_or_else(|| expected.clone())).collect()
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

/// Names that Carteiro or HTTP itself sets.
const RESERVED_HEADERS: [&str; 17] = [
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
    if RESERVED_HEADERS.contains(&lower) || lower.starts_with("webhook-") || lower.starts_with("carteiro-") {
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

    fn webhook(value: Value) -> Webhook {
        let secret = Secret::from_random([1; 32]);
        Webhook::new(
            WebhookId::from_bits(1),
            AccountId::from_bits(2),
            settings(value).unwrap(),
            secret,
            Timestamp::UNIX_EPOCH,
        )
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
    fn a_new_address_or_header_is_a_new_revision_and_nothing_else_is() {
        let before = webhook(json!({"url": "https://example.com/a", "items": ["message"]}));
        let patched = |patch: Value| {
            let settings = before.settings.patched(patch.as_object().unwrap(), &none()).unwrap();
            before.changed(settings, Timestamp::UNIX_EPOCH)
        };
        assert_eq!(patched(json!({"url": "https://example.com/a"})), None);
        assert_eq!(patched(json!({"url": "https://example.com/b"})).unwrap().revision, 2);
        assert_eq!(patched(json!({"headers": {"x-a": "1"}})).unwrap().revision, 2);
        let described = patched(json!({"description": "d"})).unwrap();
        assert_eq!((described.revision, described.version), (1, 2));
    }

    #[test]
    fn gone_disables_its_own_revision_until_the_owner_enables_it_again() {
        let webhook = webhook(json!({"url": "https://example.com/a", "items": ["message"]}));
        assert_eq!(webhook.gone(2, Timestamp::UNIX_EPOCH), None);
        let gone = webhook.gone(1, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((gone.disabled_by, gone.settings.enabled), (Some(DisabledBy::Gone), false));
        assert_eq!(gone.gone(1, Timestamp::UNIX_EPOCH), None);
        let enabled = Settings { enabled: true, ..gone.settings.clone() };
        assert_eq!(gone.changed(enabled, Timestamp::UNIX_EPOCH).unwrap().disabled_by, None);
    }

    #[test]
    fn a_webhook_takes_its_types_from_its_sources_and_notices_from_carteiro() {
        let webhook = webhook(json!({
            "url": "https://example.com/a", "items": ["message", "notice"], "sources": ["bot:a"],
        }));
        let takes = |item_type: &ItemType, source: &str| webhook.takes(item_type, &source.parse().unwrap());
        assert!(takes(&ItemType::MESSAGE, "bot:a"));
        assert!(!takes(&ItemType::MESSAGE, "bot:b"));
        assert!(!takes(&ItemType::EVENT, "bot:a"));
        assert!(takes(&ItemType::NOTICE, "carteiro"));
    }

    #[test]
    fn an_old_secret_signs_until_its_end() {
        let mut webhook = webhook(json!({"url": "https://example.com/a", "items": ["message"]}));
        let until = Some(Timestamp::from_second(100).unwrap());
        webhook.secrets.push(SigningSecret { secret: Secret::from_random([2; 32]), until });
        assert_eq!(webhook.secrets_at(Timestamp::from_second(99).unwrap()).count(), 2);
        assert_eq!(webhook.secrets_at(Timestamp::from_second(100).unwrap()).count(), 1);
    }
}
