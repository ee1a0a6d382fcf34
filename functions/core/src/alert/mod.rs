//! Alerts: messages about trouble to an account's people, at e-mail addresses and in chats.
//!
//! An alert is raised where the notice of the same trouble is sent ([`crate::notice`]), and carries the notice's id.
//! It is sent to confirmed addresses alone ([`confirmation`]), at most once in a while for each thing ([`pacing`]), in
//! the address's language ([`text`]). Each carries a link that stops those that would follow
//! ([`stop`]).

pub mod confirmation;
pub mod pacing;
pub mod stop;
pub mod text;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::address::{PrivateTargets, WebhookUrl};
use crate::field::{Field, choice, unknown};
use crate::id::{AccountId, AlertId};
use crate::problem::FieldError;
use confirmation::Confirmation;

/// The most addresses of an account, unconfirmed ones included.
pub const MAX_ALERTS_PER_ACCOUNT: usize = 5;

/// The percentage of the threshold from which a warning is an alert, too. Warnings below it are notices alone.
const ALERT_PERCENT: u64 = 90;

/// The longest e-mail address, in bytes (RFC 5321, 4.5.3.1).
const MAX_EMAIL_BYTES: usize = 254;
/// The longest part of it before the `@`.
const MAX_LOCAL_BYTES: usize = 64;

crate::named! {
    /// How an address is reached.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum AlertKind {
        /// An e-mail address.
        Email = "email",
        /// The URL of a chat's incoming webhook, which takes `{"text": …}`.
        Chat = "chat",
    }
}

crate::named! {
    /// The language of an address.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub enum Language {
        /// Portuguese, as it is written in Brazil.
        #[default]
        #[serde(rename = "pt-BR")]
        Portuguese = "pt-BR",
        /// English.
        #[serde(rename = "en")]
        English = "en",
    }
}

crate::named! {
    /// An event that an address is alerted of.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum AlertEvent {
        /// A webhook has failed 90 % of the threshold.
        Failing = "failing",
        /// A webhook's item type is blocked.
        Blocked = "blocked",
        /// A webhook's URL answered 410, which disabled it.
        Disabled = "disabled",
        /// Items died.
        Dead = "dead",
        /// A page's token ends, has ended, or lacks a permission.
        Token = "token",
        /// Nothing of a page came for much longer than is usual.
        Silence = "silence",
    }
}

impl AlertEvent {
    const NAMES: [&str; 6] = ["failing", "blocked", "disabled", "dead", "token", "silence"];

    /// The shortest time between two alerts of one kind about one thing to one address.
    #[must_use]
    pub fn interval(self) -> Duration {
        const HOUR: Duration = Duration::from_secs(3600);
        match self {
            Self::Failing | Self::Blocked | Self::Disabled | Self::Dead => HOUR,
            Self::Token | Self::Silence => HOUR.saturating_mul(24),
        }
    }
}

/// An address, as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// Its account.
    pub account: AccountId,
    /// How it is reached.
    pub kind: AlertKind,
    /// The e-mail address, or the chat's URL, which is a credential.
    pub address: String,
    /// The language of what is sent to it.
    pub language: Language,
    /// The events that it is alerted of.
    pub events: BTreeSet<AlertEvent>,
    /// When it was created.
    #[serde(serialize_with = "crate::time::serialize")]
    pub created_at: Timestamp,
    /// The state of its confirmation.
    pub confirmation: Confirmation,
    /// The word of its [link](stop::StopLink): 128 random bits.
    stop: String,
    /// Goes up with each change, so that no change overwrites another.
    pub version: u64,
}

impl std::fmt::Debug for Alert {
    /// Without the address.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alert").field("id", &self.id).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Alert {
    /// Whether the address is alerted of an event: it is confirmed and takes it.
    #[must_use]
    pub fn takes(&self, event: AlertEvent) -> bool {
        self.confirmation.is_confirmed() && self.events.contains(&event)
    }

    /// The address with its confirmation changed, to be stored in place of this.
    #[must_use]
    pub fn with(&self, confirmation: Confirmation) -> Self {
        Self { confirmation, version: self.version.saturating_add(1), ..self.clone() }
    }

    /// The address as answers show it. A chat's URL is a credential: its host alone is shown.
    #[must_use]
    pub fn shown_address(&self) -> String {
        match self.kind {
            AlertKind::Email => self.address.clone(),
            AlertKind::Chat => {
                let url = Url::parse(&self.address).ok();
                let origin = url.map(|url| url.origin().ascii_serialization()).unwrap_or_default();
                format!("{origin}/********")
            }
        }
    }
}

/// A new address, as its owner gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAlert {
    /// Where alerts go.
    pub target: Target,
    /// Its language.
    pub language: Language,
    /// The events that it is alerted of.
    pub events: BTreeSet<AlertEvent>,
}

/// Where alerts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An e-mail address.
    Email(String),
    /// The URL of a chat's incoming webhook.
    Chat(WebhookUrl),
}

impl NewAlert {
    /// Reads what an owner gave, and reports everything that is wrong with it.
    ///
    /// # Errors
    /// Every wrong field; unknown ones are wrong.
    pub fn from_json(given: &Map<String, Value>, private: &PrivateTargets) -> Result<Self, Vec<FieldError>> {
        let mut errors = unknown(given, &["kind", "address", "language", "events"]);
        let field = |name: &'static str| Field::of(given, name);
        let kind = field("kind").required(&mut errors, choice::<AlertKind>(&["email", "chat"]));
        let target = field("address").required(&mut errors, |value| {
            let text = value.as_str().ok_or("a text is expected")?.trim();
            match kind {
                Some(AlertKind::Email) => email(text).map(Target::Email),
                Some(AlertKind::Chat) => {
                    WebhookUrl::check(text, private).map(Target::Chat).map_err(|error| error.to_string())
                }
                None => Err("its kind is not known".to_owned()),
            }
        });
        let language = field("language").optional(&mut errors, choice::<Language>(&["pt-BR", "en"]));
        let events = field("events").optional(&mut errors, events);
        let target = target.filter(|_| errors.is_empty()).ok_or(errors)?;
        Ok(Self {
            target,
            language: language.unwrap_or_default(),
            events: events.unwrap_or_else(|| AlertEvent::ALL.into()),
        })
    }

    /// The unconfirmed address that it becomes, with this id and random word.
    #[must_use]
    pub fn create(self, (id, stop): (AlertId, u128), account: AccountId, now: Timestamp) -> Alert {
        let (kind, address) = match self.target {
            Target::Email(address) => (AlertKind::Email, address),
            Target::Chat(url) => (AlertKind::Chat, url.as_str().to_owned()),
        };
        Alert {
            id,
            account,
            kind,
            address,
            language: self.language,
            events: self.events,
            created_at: now,
            confirmation: Confirmation::default(),
            stop: format!("{stop:032x}"),
            version: 1,
        }
    }
}

fn events(value: &Value) -> Result<BTreeSet<AlertEvent>, String> {
    let events: Option<BTreeSet<AlertEvent>> = AlertEvent::deserialize_all(value);
    let expected = || format!("a list of some of {} is expected", AlertEvent::NAMES.join(", "));
    events.filter(|events| !events.is_empty()).ok_or_else(expected)
}

impl AlertEvent {
    fn deserialize_all(value: &Value) -> Option<BTreeSet<Self>> {
        value.as_array()?.iter().map(|event| Self::deserialize(event).ok()).collect()
    }
}

/// Reads an e-mail address: a plain one, of ASCII characters that need no quoting, at a name of the public DNS. So it
/// has nothing that could end a header or name a second recipient.
///
/// # Errors
/// Why it is none, in words for its owner.
pub fn email(text: &str) -> Result<String, String> {
    let wrong = || "an e-mail address such as name@example.com is expected".to_owned();
    let (local, domain) = text.rsplit_once('@').ok_or_else(wrong)?;
    let is_atom = |atom: &str| {
        !atom.is_empty()
            && atom.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top = domain.rsplit('.').next().unwrap_or_default();
    let is_good = text.len() <= MAX_EMAIL_BYTES
        && local.len() <= MAX_LOCAL_BYTES
        && local.split('.').all(is_atom)
        && domain.contains('.')
        && domain.split('.').all(is_label)
        && top.bytes().any(|b| b.is_ascii_alphabetic());
    if is_good { Ok(format!("{local}@{}", domain.to_ascii_lowercase())) } else { Err(wrong()) }
}

/// The address that e-mails come from, a parameter of the deployment. Empty, no e-mail is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertSender(Option<String>);

impl AlertSender {
    /// The address, where e-mails are sent.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl std::str::FromStr for AlertSender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        // As it was given: the permission to send names it byte for byte.
        email(text).map(|_| Self(Some(text.to_owned())))
    }
}

/// The trouble that a notice is about, as far as people are alerted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// What addresses choose by.
    pub event: AlertEvent,
    /// The notice's `type`. Two types of one event are spaced apart from one another: a token's end is told although
    /// its warning was.
    pub kind: String,
    /// The webhook, with its item type where the notice names one; or the page.
    pub thing: String,
    data: Value,
}

impl Raised {
    /// Reads a notice's bytes. None where nobody is alerted of it.
    #[must_use]
    pub fn of(notice: &[u8]) -> Option<Self> {
        let mut notice: Value = serde_json::from_slice(notice).ok()?;
        let kind = notice["type"].as_str()?.to_owned();
        let data = notice["data"].take();
        let event = match kind.as_str() {
            "webhook.failing" if data["percent"].as_u64()? >= ALERT_PERCENT => AlertEvent::Failing,
            "webhook.blocked" => AlertEvent::Blocked,
            "webhook.disabled" => AlertEvent::Disabled,
            "webhook.dead" => AlertEvent::Dead,
            "page.token_expiring"
            | "page.token_expired"
            | "page.token_revoked"
            | "page.permission_revoked" => AlertEvent::Token,
            "page.silent" => AlertEvent::Silence,
            _ => return None,
        };
        let thing = match (data["webhook"].as_str(), data["item_type"].as_str()) {
            (Some(webhook), Some(item_type)) => format!("{webhook}#{item_type}"),
            (Some(webhook), None) => webhook.to_owned(),
            (None, _) => data["page"].as_str()?.to_owned(),
        };
        Some(Self { event, kind, thing, data })
    }

    /// The id of the webhook or page.
    #[must_use]
    pub fn thing_id(&self) -> &str {
        self.thing.split('#').next().unwrap_or_default()
    }

    /// A text of the notice's data.
    fn text(&self, name: &str) -> &str {
        self.data[name].as_str().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(given: &Value) -> Result<NewAlert, Vec<FieldError>> {
        NewAlert::from_json(given.as_object().unwrap(), &PrivateTargets::default())
    }

    #[test]
    fn an_address_takes_every_event_in_portuguese_unless_told() {
        let new = read(&json!({"kind": "email", "address": " Ana@Example.COM "})).unwrap();
        assert_eq!(new.target, Target::Email("Ana@example.com".to_owned()));
        assert_eq!((new.language, new.events.len()), (Language::Portuguese, 6));
        let new = read(&json!({
            "kind": "chat", "address": "https://hooks.example/services/T/B/x", "language": "en", "events": ["dead", "dead"],
        }));
        let alert =
            new.unwrap().create((AlertId::from_bits(1), 5), AccountId::from_bits(2), Timestamp::UNIX_EPOCH);
        assert_eq!((alert.language, alert.events.len()), (Language::English, 1));
        assert_eq!(alert.shown_address(), "https://hooks.example/********");
        assert!(!alert.takes(AlertEvent::Dead), "it is not confirmed");
        assert!(!format!("{alert:?}").contains("services"));
        let stored = serde_json::to_string(&alert).unwrap();
        assert_eq!(serde_json::from_str::<Alert>(&stored).unwrap(), alert);
    }

    #[test]
    fn every_wrong_field_is_named() {
        let errors = read(&json!({"kind": "sms", "address": 1, "language": "de", "events": [], "x": 1}));
        let fields: Vec<_> = errors.unwrap_err().into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["x", "kind", "address", "language", "events"]);
        let errors = read(&json!({"kind": "chat", "address": "http://example.com/"})).unwrap_err();
        assert_eq!(errors[0].field, "address");
    }

    #[test]
    fn what_could_end_a_header_or_add_a_recipient_is_no_address() {
        for good in ["a@b.co", "first.last+tag@sub.example.com.br", "o'hara@example.com"] {
            assert_eq!(email(good).unwrap(), good);
        }
        let long = format!("{}@example.com", "a".repeat(65));
        for bad in [
            "",
            "@",
            "a@",
            "@b.co",
            "a@b",
            "a@b.1",
            "a b@c.co",
            "a@b.co\r\nBcc: c@d.co",
            "a\n@b.co",
            "a@b.co,c@d.co",
            "a@b.co;c@d.co",
            "<a@b.co>",
            "\"a\"@b.co",
            ".a@b.co",
            "a.@b.co",
            "a..b@c.co",
            "a@-b.co",
            "a@b-.co",
            "a@b..co",
            "a@[127.0.0.1]",
            "é@b.co",
            "a@é.co",
            "a@@b.co",
            long.as_str(),
        ] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_sender_is_an_address_or_nothing() {
        assert_eq!("".parse::<AlertSender>().unwrap().address(), None);
        let sender: AlertSender = "alertas@Example.com".parse().unwrap();
        assert_eq!(sender.address(), Some("alertas@Example.com"));
        assert!("Carteiro <a@b.co>".parse::<AlertSender>().is_err());
    }

    #[test]
    fn only_some_notices_alert_people() {
        let of = |kind: &str, data: Value| {
            let notice = json!({"type": kind, "timestamp": "2026-11-30T12:00:00Z", "data": data}).to_string();
            Raised::of(notice.as_bytes()).map(|raised| (raised.event, raised.thing))
        };
        let streak = |percent: u64| json!({"webhook": "wh_1", "item_type": "event", "percent": percent});
        let of_type = |event| Some((event, "wh_1#event".to_owned()));
        assert_eq!(of("webhook.failing", streak(89)), None);
        assert_eq!(of("webhook.failing", streak(90)), of_type(AlertEvent::Failing));
        assert_eq!(of("webhook.blocked", streak(0)), of_type(AlertEvent::Blocked));
        assert_eq!(of("webhook.dead", streak(0)), of_type(AlertEvent::Dead));
        assert_eq!(of("webhook.released", streak(0)), None);
        let disabled = of("webhook.disabled", json!({"webhook": "wh_1"}));
        assert_eq!(disabled, Some((AlertEvent::Disabled, "wh_1".to_owned())));
        for (kind, event) in [
            ("page.token_expiring", AlertEvent::Token),
            ("page.token_expired", AlertEvent::Token),
            ("page.token_revoked", AlertEvent::Token),
            ("page.permission_revoked", AlertEvent::Token),
            ("page.silent", AlertEvent::Silence),
        ] {
            assert_eq!(of(kind, json!({"page": "page_1"})), Some((event, "page_1".to_owned())), "{kind}");
        }
        assert_eq!(of("page.silent", json!({})), None);
        assert_eq!(Raised::of(b"{"), None);
    }
}
