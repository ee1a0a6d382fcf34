//! Entry to the console: sign-in links, sessions by cookie, and roles.
//!
//! The operator makes a link for an account. It works once, within its time, and begins a session; an account's key
//! begins one, too. A session stands for the account in a browser until its end, as its role allows.
//!
//! Guaranteed: tokens hold 256 random bits and are stored as their SHA-256. A link begins at most one session, because
//! [`use_link`] is refused after the first; a repeat of that same write is recognised by the session that it begins. A
//! session ends [`SESSION_TIME`] after its beginning, and [`IDLE_TIME`] after the last request that somebody's act
//! caused ([`crate::browser::is_act`]), whichever is first; what a page asks by itself keeps no session. The table's
//! own expiry only cleans up. What ends sessions earlier is in the adapters and handlers: signing out, the revocation
//! of the key that began it, the deletion of the account, and the operator.
//!
//! Not guaranteed: that the one who opens a link is the one for whom it was made. Whoever has it first enters.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use subtle::ConstantTimeEq;

use crate::field::{Field, choice, unknown};
use crate::id::{AccountId, KeyId, LinkId, WebhookId, digest};
use crate::idempotency::hexadecimal;
use crate::key::KeyHash;
use crate::problem::{FieldError, Problem};
use crate::retention::after;
use crate::transition::{Change, Condition, Effect, Value, Write};

/// How long a link may work, in seconds.
pub const LINK_SECONDS: RangeInclusive<u64> = 30..=3600;

/// How long a link works where its maker does not say, in seconds.
pub const DEFAULT_LINK_SECONDS: u64 = 300;

/// How long a session lasts at most: 12 hours, a working day.
pub const SESSION_TIME: Duration = Duration::from_secs(12 * 3600);

/// How long a session lasts in which nobody acts: 2 hours.
pub const IDLE_TIME: Duration = Duration::from_secs(2 * 3600);

/// How far a session's idle end must move before it is stored: a session writes at most once in this time.
pub const TOUCH_EVERY: Duration = Duration::from_secs(10 * 60);

/// The most sessions of an account. One more ends the oldest.
pub const MAX_SESSIONS: usize = 100;

/// The most sessions that the beginning of one ends. More are there only after sign-ins at the same time.
pub const MAX_ENDED_AT_ONCE: usize = 10;

crate::named! {
    /// What a session may do.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Role {
        /// It may look.
        Look = "look",
        /// It may look and change: all that the account's key may.
        Change = "change",
    }
}

impl Role {
    /// The names of all roles, as callers write them.
    pub const NAMES: [&'static str; 2] = ["look", "change"];

    /// The role of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Look, Self::Change].into_iter().find(|role| role.as_str() == name)
    }

    /// Whether a request with this method is allowed.
    #[must_use]
    pub fn allows(self, method: &str) -> bool {
        self == Self::Change || !changes(method)
    }
}

/// Whether a request with this method changes something.
#[must_use]
pub fn changes(method: &str) -> bool {
    method != "GET"
}

/// The token of a link or of a session. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// What a token is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOf {
    /// A sign-in link.
    Link,
    /// A session.
    Session,
}

impl TokenOf {
    fn prefix(self) -> &'static str {
        match self {
            Self::Link => "cl_",
            Self::Session => "cs_",
        }
    }
}

impl Token {
    /// Makes a token of 256 random bits.
    #[must_use]
    pub fn from_random(of: TokenOf, bits: [u8; 32]) -> Self {
        Self(format!("{}{}", of.prefix(), hexadecimal(&bits)))
    }

    /// Reads a token: its prefix, and 64 lower-case hexadecimal digits. None where the text is anything else.
    #[must_use]
    pub fn read(of: TokenOf, text: &str) -> Option<Self> {
        KeyHash::parse(text.strip_prefix(of.prefix())?).map(|_| Self(text.to_owned()))
    }

    /// The stored form of the token: its SHA-256.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }

    /// The value of the header against forged requests that belongs to a session's token. The token does not follow
    /// from it.
    #[must_use]
    pub fn csrf(&self) -> String {
        hexadecimal(&digest([b"carteiro csrf 1".as_slice(), self.0.as_bytes()]))
    }

    /// Whether a header has the value that belongs to this token. Compared in constant time.
    #[must_use]
    pub fn is_csrf(&self, given: &str) -> bool {
        self.csrf().as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// The token itself, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The languages of the console.
pub const LANGUAGES: [&str; 2] = ["pt-BR", "en"];

/// Where a link leads within the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The list of webhooks.
    Webhooks,
    /// The list of pages.
    Pages,
    /// One webhook.
    Webhook(WebhookId),
}

impl Destination {
    fn read(value: &Json) -> Result<Self, String> {
        let text = value.as_str().unwrap_or_default();
        match text {
            "webhooks" => Ok(Self::Webhooks),
            "pages" => Ok(Self::Pages),
            text => text
                .parse()
                .map(Self::Webhook)
                .map_err(|_| "webhooks, pages or a webhook's id is expected".to_owned()),
        }
    }

    /// The destination as a link names it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Webhooks => "webhooks",
            Self::Pages => "pages",
            Self::Webhook(id) => id.as_str(),
        }
    }
}

/// The operator's request for a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRequest {
    /// The role of the session that it begins.
    pub role: Role,
    /// How long it works, in seconds.
    pub seconds: u64,
    /// The language in which the console opens; Portuguese, where there is none.
    pub language: Option<String>,
    /// Where it leads.
    pub to: Option<Destination>,
}

/// The fields of a [`LinkRequest`].
pub const LINK_FIELDS: [&str; 4] = ["role", "seconds", "language", "to"];

impl LinkRequest {
    /// Reads the operator's request. No field is required.
    ///
    /// # Errors
    /// Every wrong field; unknown ones are wrong.
    pub fn from_json(given: &Map<String, Json>) -> Result<Self, Vec<FieldError>> {
        let mut errors = unknown(given, &LINK_FIELDS);
        let field = |name: &'static str| Field::of(given, name);
        let role = field("role").optional(&mut errors, choice(&Role::NAMES));
        let seconds = field("seconds").optional(&mut errors, |value| {
            value.as_u64().filter(|seconds| LINK_SECONDS.contains(seconds)).ok_or(format!(
                "a whole number from {} to {} is expected",
                LINK_SECONDS.start(),
                LINK_SECONDS.end()
            ))
        });
        let language = field("language").optional(&mut errors, |value| {
            let language = value.as_str().filter(|language| LANGUAGES.contains(language));
            language.map(str::to_owned).ok_or(format!("one of {} is expected", LANGUAGES.join(", ")))
        });
        let to = field("to").optional(&mut errors, Destination::read);
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            role: role.unwrap_or(Role::Change),
            seconds: seconds.unwrap_or(DEFAULT_LINK_SECONDS),
            language,
            to,
        })
    }

    /// The address that opens the console with a link's token. All of it stands in the fragment, which a browser sends
    /// to nobody: it is in no log, and in no `Referer` header.
    #[must_use]
    pub fn url(&self, origin: &str, token: &Token) -> String {
        let mut url = format!("{origin}/console#link={}", token.reveal());
        if let Some(to) = &self.to {
            url.push_str(&format!("&to={}", to.as_str()));
        }
        if let Some(language) = &self.language {
            url.push_str(&format!("&language={language}"));
        }
        url
    }
}

/// A sign-in link, as it is stored: under the hash of its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// Whose console it opens.
    pub account: AccountId,
    /// The role of the session that it begins.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it does not work any more.
    pub ends_at: Timestamp,
    /// Whether it began a session.
    pub is_used: bool,
}

impl Link {
    /// A new link.
    #[must_use]
    pub fn new(id: LinkId, account: AccountId, request: &LinkRequest, now: Timestamp) -> Self {
        let ends_at = after(now, Duration::from_secs(request.seconds));
        Self { id, account, role: request.role, created_at: now, ends_at, is_used: false }
    }
}

/// Why a link begins no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// There is no such link, or its account is gone.
    Unknown,
    /// It began a session before.
    Used,
    /// Its time is over, or the operator ended it.
    Expired,
}

impl LinkFault {
    /// The fault of a link as it was read; None where it works.
    #[must_use]
    pub fn of(link: Option<&Link>, now: Timestamp) -> Option<Self> {
        match link {
            None => Some(Self::Unknown),
            Some(link) if link.is_used => Some(Self::Used),
            Some(link) if now >= link.ends_at => Some(Self::Expired),
            Some(_) => None,
        }
    }

    /// The answer to whoever used it.
    #[must_use]
    pub fn problem(self) -> Problem {
        match self {
            Self::Unknown => Problem::link_unknown("there is no such sign-in link; ask for a new one"),
            Self::Used => Problem::link_used("a sign-in link works once; ask for a new one"),
            Self::Expired => {
                Problem::link_expired("the time of this sign-in link is over; ask for a new one")
            }
        }
    }
}

/// A session, as it is stored: under the hash of its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who is signed in.
    pub account: AccountId,
    /// What it may do.
    pub role: Role,
    /// The key that began it, whose revocation ends it; None where a link did.
    pub key: Option<KeyId>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends, whatever happens.
    pub ends_at: Timestamp,
    /// When it ends if nobody acts before.
    pub idle_at: Timestamp,
}

impl Session {
    /// A session that begins.
    #[must_use]
    pub fn new(account: AccountId, role: Role, key: Option<KeyId>, now: Timestamp) -> Self {
        let (ends_at, idle_at) = (after(now, SESSION_TIME), after(now, IDLE_TIME));
        Self { account, role, key, created_at: now, ends_at, idle_at }
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        now < self.ends_at && now < self.idle_at
    }

    /// The write that moves its idle end for an act at `now`; None where it would move by less than
    /// [`TOUCH_EVERY`]. It changes no session that has been ended meanwhile.
    #[must_use]
    pub fn touch(&self, now: Timestamp) -> Option<Write> {
        let idle_at = after(now, IDLE_TIME).min(self.ends_at);
        (after(self.idle_at, TOUCH_EVERY) <= idle_at).then(|| Write {
            name: "keeping a session",
            condition: Condition::Exists("idle_at"),
            effect: Effect::Update(vec![Change::Set("idle_at", Value::Number(idle_at.as_millisecond()))]),
        })
    }
}

/// The write on a link's row that begins a session, whose hash is `session`: once, and in time. It holds for its own
/// repeat.
#[must_use]
pub fn use_link(session: &KeyHash, now: Timestamp) -> Write {
    let by = Value::Text(session.as_str().to_owned());
    Write {
        name: "using a sign-in link",
        condition: Condition::All(vec![
            Condition::AtLeast("ends_at", now.as_millisecond().saturating_add(1)),
            Condition::Any(vec![Condition::Missing("used_by"), Condition::Is("used_by", by.clone())]),
        ]),
        effect: Effect::Update(vec![Change::Set("used_by", by)]),
    }
}

/// The condition on an account's row under which a link that was made then begins a session: the account is not being
/// deleted, and the operator has not ended its links since.
#[must_use]
pub fn takes_link(made_at: Timestamp) -> Condition {
    let before = Condition::AtMost("links_from", made_at.as_millisecond().saturating_sub(1));
    let ended = Condition::Any(vec![Condition::Missing("links_from"), before]);
    Condition::All(vec![takes_sessions(), ended])
}

/// The condition on an account's row under which sessions begin and links are made: it is not being deleted.
#[must_use]
pub fn takes_sessions() -> Condition {
    Condition::All(vec![Condition::Exists("created_at"), Condition::Missing("closing")])
}

/// How many of an account's sessions, the oldest first, end where one more begins.
#[must_use]
pub fn ended_by_one_more(there: usize) -> usize {
    (there + 1).saturating_sub(MAX_SESSIONS).min(MAX_ENDED_AT_ONCE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::at;
    use crate::transition::Row;

    fn request(given: &Json) -> Result<LinkRequest, Vec<String>> {
        let read = LinkRequest::from_json(given.as_object().unwrap());
        read.map_err(|errors| errors.into_iter().map(|error| error.field).collect())
    }

    fn link(seconds: u64) -> Link {
        let request = LinkRequest { role: Role::Look, seconds, language: None, to: None };
        Link::new(LinkId::from_bits(1), AccountId::from_bits(2), &request, at(100))
    }

    #[test]
    fn look_may_only_get_and_change_may_everything() {
        for (method, look) in
            [("GET", true), ("POST", false), ("PATCH", false), ("DELETE", false), ("get", false), ("", false)]
        {
            assert_eq!(Role::Look.allows(method), look, "{method}");
            assert!(Role::Change.allows(method), "{method}");
        }
        for role in [Role::Look, Role::Change] {
            assert_eq!(Role::named(role.as_str()), Some(role));
            assert_eq!(json!(role), role.as_str());
        }
        assert_eq!(Role::named("Change"), None);
    }

    #[test]
    fn a_token_is_read_only_in_its_own_form_and_never_printed() {
        let token = Token::from_random(TokenOf::Session, [7; 32]);
        assert_eq!(token.reveal().len(), 3 + 64, "256 bits");
        assert_eq!(Token::read(TokenOf::Session, token.reveal()), Some(token.clone()));
        assert_eq!(Token::read(TokenOf::Link, token.reveal()), None, "a session's token is no link's");
        assert!(!format!("{token:?}").contains("0707"));
        let digits = "07".repeat(32);
        for text in [
            String::new(),
            "cs_".to_owned(),
            digits.clone(),
            format!("cs_{digits}0"),
            format!("cs_{}", &digits[1..]),
            format!("cs_{}", "AB".repeat(32)),
            format!("cs_{digits} "),
            format!("cs_{}\r\n", &digits[2..]),
            format!("cs_{}", "é".repeat(32)),
            format!("cs_{}", "0".repeat(1_000_000)),
        ] {
            assert_eq!(Token::read(TokenOf::Session, &text), None, "{text:.80}");
        }
    }

    #[test]
    fn the_csrf_value_is_the_sessions_own_and_hides_its_token() {
        let (one, other) =
            (Token::from_random(TokenOf::Session, [1; 32]), Token::from_random(TokenOf::Session, [2; 32]));
        assert!(one.is_csrf(&one.csrf()));
        for given in ["", " ", &other.csrf(), one.reveal(), one.hash().as_str(), &one.csrf()[1..]] {
            assert!(!one.is_csrf(given), "{given}");
        }
        assert_ne!(one.csrf(), one.hash().as_str());
    }

    #[test]
    fn a_link_request_names_every_wrong_field() {
        let plain = request(&json!({})).unwrap();
        assert_eq!((plain.role, plain.seconds, plain.language, plain.to), (Role::Change, 300, None, None));
        for seconds in [30, 3600] {
            assert_eq!(request(&json!({ "seconds": seconds })).unwrap().seconds, seconds);
        }
        let wrong =
            json!({"role": "admin", "seconds": 29, "language": "fr", "to": "https://evil.example", "x": 1});
        assert_eq!(request(&wrong).unwrap_err(), ["x", "role", "seconds", "language", "to"]);
        for seconds in [json!(3601), json!(0), json!(-1), json!("60"), json!(60.5)] {
            assert_eq!(request(&json!({ "seconds": seconds })).unwrap_err(), ["seconds"], "{seconds}");
        }
        for to in ["wh_1", "wh_00000000000000000000000000000001#x", "webhooks&link=cl_0", "javascript:1", ""]
        {
            assert_eq!(request(&json!({ "to": to })).unwrap_err(), ["to"], "{to}");
        }
    }

    #[test]
    fn all_that_a_link_says_stands_behind_the_hash() {
        let token = Token::from_random(TokenOf::Link, [1; 32]);
        let webhook = WebhookId::from_bits(5);
        let request = request(&json!({"to": webhook.as_str(), "language": "pt-BR", "role": "look"})).unwrap();
        let url = request.url("https://a.example", &token);
        let expected =
            format!("https://a.example/console#link={}&to={webhook}&language=pt-BR", token.reveal());
        assert_eq!(url, expected);
    }

    #[test]
    fn a_link_works_once_in_time_and_its_own_repeat_is_recognised() {
        let (one, other) = (KeyHash::of("one"), KeyHash::of("other"));
        let stored = || Some(Row::from([("ends_at", Value::Number(link(300).ends_at.as_millisecond()))]));
        let mut row = stored();
        assert!(!use_link(&one, at(400)).apply(&mut row), "late");
        assert!(!use_link(&one, at(500)).apply(&mut row), "late");
        assert!(use_link(&one, at(399)).apply(&mut row));
        assert!(!use_link(&other, at(399)).apply(&mut row), "used");
        assert!(use_link(&one, at(399)).apply(&mut row), "its own repeat");
        assert!(!use_link(&one, at(399)).apply(&mut None), "there is none");
        for (link, now, fault) in [
            (None, 100, Some(LinkFault::Unknown)),
            (Some(link(300)), 100, None),
            (Some(link(300)), 399, None),
            (Some(link(300)), 400, Some(LinkFault::Expired)),
            (Some(Link { is_used: true, ..link(300) }), 100, Some(LinkFault::Used)),
            (Some(Link { is_used: true, ..link(300) }), 900, Some(LinkFault::Used)),
        ] {
            assert_eq!(LinkFault::of(link.as_ref(), at(now)), fault, "{link:?} {now}");
        }
    }

    #[test]
    fn an_account_that_closes_or_ended_its_links_takes_none() {
        let row = |more: &[(&'static str, i64)]| {
            let mut row = Row::from([("created_at", Value::Number(0))]);
            row.extend(more.iter().map(|(name, value)| (*name, Value::Number(*value))));
            Some(row)
        };
        for (row, link, session) in [
            (None, false, false),
            (row(&[]), true, true),
            (row(&[("closing", 1)]), false, false),
            (row(&[("links_from", 99_999)]), true, true),
            (row(&[("links_from", 100_000)]), false, true),
            (row(&[("links_from", 100_001)]), false, true),
        ] {
            assert_eq!(takes_link(at(100)).holds(row.as_ref()), link, "{row:?}");
            assert_eq!(takes_sessions().holds(row.as_ref()), session, "{row:?}");
        }
    }

    #[test]
    fn a_session_ends_after_12_hours_and_after_2_without_a_request() {
        let mut session = Session::new(AccountId::from_bits(1), Role::Change, None, at(0));
        assert!(session.is_open(at(0)) && session.is_open(at(7199)) && !session.is_open(at(7200)));
        // A request each hour keeps it, up to its end.
        for hour in 1..12 {
            let now = at(hour * 3600);
            assert!(session.is_open(now), "{hour}");
            let mut row = Some(Row::from([("idle_at", Value::Number(session.idle_at.as_millisecond()))]));
            match session.touch(now) {
                Some(touch) => assert!(touch.apply(&mut row)),
                None => assert_eq!(session.idle_at, session.ends_at, "{hour}"),
            }
            let Value::Number(idle_at) = row.unwrap()["idle_at"] else { panic!() };
            session.idle_at = Timestamp::from_millisecond(idle_at).unwrap();
        }
        assert!(session.is_open(at(12 * 3600 - 1)) && !session.is_open(at(12 * 3600)));
    }

    #[test]
    fn a_session_is_written_rarely_and_never_after_it_was_ended() {
        let session = Session::new(AccountId::from_bits(1), Role::Change, None, at(0));
        assert_eq!(session.touch(at(599)), None);
        let touch = session.touch(at(600)).unwrap();
        let mut gone = None;
        assert!(!touch.apply(&mut gone), "no row comes back");
    }

    #[test]
    fn one_more_than_the_most_ends_the_oldest() {
        for (there, ended) in [(0, 0), (99, 0), (100, 1), (101, 2), (10_000, MAX_ENDED_AT_ONCE)] {
            assert_eq!(ended_by_one_more(there), ended, "{there}");
        }
    }
}
