//! Pages: an account's connections to its own pages on networks, and their tokens.
//!
//! A page's token is written and never shown: it is no part of a [`Page`], only its state is. [`Token`] and its parts
//! print nothing of themselves, and no error of this module repeats what was given.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::collected::{Content, Kind, Published};
use crate::network::{Network, NetworkId};
use crate::poll::OperatorFault;
use carteiro_core::field::{Field, choice, unknown};
use carteiro_core::id::{AccountId, PageId};
use carteiro_core::problem::FieldError;
use carteiro_core::time;

/// The longest name of a page, in bytes.
pub const MAX_PAGE_NAME_BYTES: usize = 256;
/// The longest token, in bytes. The key of a service account takes about 2.4 KiB.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The most digits of an ad account's id.
pub const MAX_AD_ACCOUNT_DIGITS: usize = 20;

carteiro_core::named! {
    /// When the pushes of a page's network are dispatched.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Delivery {
        /// People's direct messages and replies as they arrive, everything else at the next tick.
        #[default]
        ByKind,
        /// Everything at the next tick.
        Scheduled,
        /// Everything as it arrives.
        Immediate,
    }
}

impl Delivery {
    /// Whether a push of this content is dispatched as it arrives, where nothing of it needs completing.
    #[must_use]
    pub fn is_immediate(self, content: &Content) -> bool {
        match self {
            Self::Immediate => true,
            Self::Scheduled => false,
            // Somebody waits for an answer to these.
            Self::ByKind => {
                content.published == Published::Interaction
                    && matches!(content.kind, Kind::DirectMessage | Kind::Reply)
            }
        }
    }

    /// The stored form: a value that versions without [`Delivery::ByKind`] can read, and whether it is that.
    #[must_use]
    pub fn to_stored(self) -> (&'static str, bool) {
        match self {
            Self::ByKind => ("scheduled", true),
            Self::Scheduled => ("scheduled", false),
            Self::Immediate => ("immediate", false),
        }
    }

    /// Reads the stored form. None where it has no such value.
    #[must_use]
    pub fn from_stored(value: &str, by_kind: bool) -> Option<Self> {
        match (value, by_kind) {
            ("scheduled", true) => Some(Self::ByKind),
            ("scheduled", false) => Some(Self::Scheduled),
            ("immediate", _) => Some(Self::Immediate),
            _ => None,
        }
    }
}

/// The members of a stored page that say when its pushes are dispatched.
mod stored_delivery {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Delivery;

    #[derive(Serialize, Deserialize)]
    struct Stored<'a> {
        #[serde(borrow)]
        delivery: std::borrow::Cow<'a, str>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_kind: bool,
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(delivery: &Delivery, serializer: S) -> Result<S::Ok, S::Error> {
        let (delivery, by_kind) = delivery.to_stored();
        Stored { delivery: delivery.into(), by_kind }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Delivery, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        let read = Delivery::from_stored(&stored.delivery, stored.by_kind);
        read.ok_or_else(|| D::Error::custom("not a way of delivery"))
    }
}

carteiro_core::named! {
    /// How a page was connected, on a network with several ways, which the host of its API and the token go with.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Login {
        /// Facebook's: `graph.facebook.com`, with the token of the Facebook page that the account is connected to.
        Facebook,
        /// Instagram's own login: `graph.instagram.com`, with a token of the account. The account's id is `user_id` of
        /// `/me`; its `id` there is another, the app's own.
        Instagram,
        /// Meta's unified login: `graph.facebook.com`, with the token of a Business Integration System User.
        Unified,
    }
}

carteiro_core::named! {
    /// What is known of a page's token.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum TokenState {
        /// The network took it, and it lasts.
        Ok = "ok",
        /// The network takes it, but not for long.
        Expiring = "expiring",
        /// Its time is over.
        Expired = "expired",
        /// The network refuses it for good.
        Revoked = "revoked",
        /// It may do less than collecting needs.
        Narrowed = "narrowed",
        /// Nobody looked at it yet.
        Unknown = "unknown",
    }
}

carteiro_core::named! {
    /// What brought a token's state.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum TokenCause {
        /// Its time is over, or nearly.
        Time,
        /// The consent of who gave it is over, or nearly.
        Consent,
        /// The network refused it.
        Refused,
        /// The network refused to renew it.
        RenewalRefused,
        /// The network refused to renew it, after an answer was lost that may have held the new one.
        RenewalLost,
        /// It is somebody else's.
        NotThePages,
        /// A push said that it, or a permission, was taken back.
        TakenBack,
        /// An answer said that a permission is missing.
        Missing,
    }
}

/// The state of a page's token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenStatus {
    /// The state.
    pub state: TokenState,
    /// When it ends, where that is known.
    pub expires_at: Option<Timestamp>,
    /// When the consent of who gave it ends, where the network said so: it then answers nothing more of theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent_ends_at: Option<Timestamp>,
    /// Since when the state is this one.
    pub since: Option<Timestamp>,
    /// Why, in words for people; nothing of the token is in them.
    pub why: Option<String>,
    /// When the access token was given. Rows from before this was kept have none: see [`Page::token_given_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_at: Option<Timestamp>,
    /// What brought the state, where something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<TokenCause>,
    /// Which permission is missing, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
    /// Of how few days before its end its account was warned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warned_days: Option<u8>,
    /// How often it came out of a trouble again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recoveries: u32,
}

impl TokenStatus {
    /// A token that nobody looked at yet, whose access token was given at `given_at`.
    #[must_use]
    pub fn unknown(expires_at: Option<Timestamp>, given_at: Timestamp, now: Timestamp) -> Self {
        Self {
            state: TokenState::Unknown,
            expires_at,
            since: Some(now),
            why: None,
            given_at: Some(given_at),
            consent_ends_at: None,
            cause: None,
            permission: None,
            warned_days: None,
            recoveries: 0,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

carteiro_core::named! {
    /// How the last collection of a page ended.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum TickResult {
        /// All that the network has is brought in.
        Ok,
        /// There is more than one tick asks for; the next one goes on.
        More,
        /// A limit of the network's was reached; it goes on after it.
        Limited,
        /// The token may not do it: nothing is asked until its owner renews it.
        Token,
        /// The network failed; the next tick asks again.
        Unavailable,
        /// Only the deployment's operator can mend it; the next tick asks again.
        Operator,
        /// Something of ours failed, or of the deployment's; its log says what.
        Fault,
    }
}

/// The last tick that collected a page, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTick {
    /// When it was.
    pub at: Timestamp,
    /// How it ended.
    pub result: TickResult,
    /// How many items it found that were not known.
    pub new: u32,
    /// How many calls it made.
    pub calls: u32,
    /// What the operator has to mend, where that is why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<OperatorFault>,
}

/// An account's connection to a page of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Its id.
    pub id: PageId,
    /// Whose it is.
    pub account: AccountId,
    /// The network that it is on.
    pub network: Network,
    /// The network's id of it.
    pub network_id: NetworkId,
    /// Its name, in its owner's words.
    pub name: String,
    /// When pushes are dispatched.
    #[serde(flatten, with = "stored_delivery")]
    pub delivery: Delivery,
    /// How it was connected, where its owner said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// The ad account whose ads' posts are collected with it, `act_` with digits. It may serve other pages, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ad_account: Option<String>,
    /// Whether its network took a token of its account's as this page's. Until then nobody knows that it is theirs.
    #[serde(default)]
    pub proven: bool,
    /// What is known of its token.
    pub token: TokenStatus,
    /// Counts the tokens that it was given; the token's row has the same number.
    pub token_version: u64,
    /// Counts all changes; what a change is conditional on.
    pub version: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its owner changed it last.
    pub updated_at: Timestamp,
}

/// A secret that a network gave: an access token, a refresh token, or the key of a service account. It is never
/// printed.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);

impl AccessToken {
    /// Takes a text as a token of a network's: visible ASCII, which any header carries; where the
    /// network's [tokens](crate::spec::TokenSpec) may be keys of service accounts, also such a key, a JSON object.
    ///
    /// # Errors
    /// What is wrong, without the text.
    pub fn check(text: &str, network: Network) -> Result<Self, String> {
        let bounded = (1..=MAX_TOKEN_BYTES).contains(&text.len());
        let visible = text.bytes().all(|b| b.is_ascii_graphic());
        let takes_key = network.spec().token.takes_service_account_key;
        let key = || takes_key && serde_json::from_str::<Map<String, Value>>(text).is_ok();
        if bounded && (visible && !text.starts_with('{') || key()) {
            return Ok(Self(text.to_owned()));
        }
        let or_key = if takes_key { ", or a service account's key in JSON," } else { "" };
        Err(format!("1 to {MAX_TOKEN_BYTES} bytes of visible ASCII without spaces{or_key} are expected"))
    }

    /// A token as it was stored.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The token itself, for its table and its network alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(…)")
    }
}

/// A page's token, as its table holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What calls carry.
    pub access_token: AccessToken,
    /// What a new one is fetched with, where the network has such.
    pub refresh_token: Option<AccessToken>,
    /// When the access token ends, where that is known.
    pub expires_at: Option<Timestamp>,
    /// The [`Page::token_version`] that it belongs to.
    pub version: u64,
}

/// A change of one part of a token's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Set<T> {
    /// It stays as it is.
    Keep,
    /// It is taken away.
    Remove,
    /// It is this from now on.
    To(T),
}

/// What changes of a page's token. Whoever writes it need not be able to read what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenChange {
    /// The access token, where a new one was given.
    pub access_token: Option<AccessToken>,
    /// What becomes of the refresh token.
    pub refresh_token: Set<AccessToken>,
    /// When the access token ends from now on, where that is known.
    pub expires_at: Option<Timestamp>,
    /// The [`Page::token_version`] that it belongs to.
    pub version: u64,
}

/// What an owner gives of a new page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPage {
    /// The network that it is on.
    pub network: Network,
    /// The network's id of it.
    pub network_id: NetworkId,
    /// Its name.
    pub name: String,
    /// When pushes are dispatched.
    pub delivery: Delivery,
    /// How it was connected, where its owner says so.
    pub login: Option<Login>,
    /// The ad account whose ads' posts are collected with it.
    pub ad_account: Option<String>,
    /// What calls carry.
    pub access_token: AccessToken,
    /// What a new one is fetched with.
    pub refresh_token: Option<AccessToken>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
}

/// A page with what was changed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The page as it is from now on.
    pub page: Page,
    /// What changes of its token, if anything.
    pub token: Option<TokenChange>,
    /// Whether pushes are dispatched at another time from now on.
    pub rerouted: bool,
}

/// The fields that a page is given with.
pub const FIELDS: [&str; 9] = [
    "network",
    "network_id",
    "name",
    "access_token",
    "refresh_token",
    "expires_at",
    "delivery",
    "login",
    "ad_account",
];

impl NewPage {
    /// Reads what an owner gave, and reports everything that is wrong with it.
    ///
    /// # Errors
    /// Every wrong field; unknown ones are wrong.
    pub fn from_json(given: &Map<String, Value>) -> Result<Self, Vec<FieldError>> {
        let mut errors = unknown(given, &FIELDS);
        let field = |name: &'static str| Field::of(given, name);
        let network = field("network").required(&mut errors, network);
        let network_id = field("network_id").required(&mut errors, network_id);
        let name = field("name").required(&mut errors, name);
        // Where the network is wrong too, a token is held to the strictest form.
        let of = network.unwrap_or(Network::Facebook);
        let access_token = field("access_token").required(&mut errors, |value| token(value, of));
        let refresh_token = field("refresh_token").optional(&mut errors, refresh_token);
        let expires_at = field("expires_at").optional(&mut errors, time);
        let delivery = field("delivery").optional(&mut errors, delivery());
        let login = field("login").optional(&mut errors, |value| login(value, of));
        let ad_account = field("ad_account").optional(&mut errors, |value| ad_account(value, of));
        let needed = network.zip(network_id).zip(name).zip(access_token).filter(|_| errors.is_empty());
        let (((network, network_id), name), access_token) = needed.ok_or(errors)?;
        Ok(Self {
            network,
            network_id,
            name,
            delivery: delivery.unwrap_or_default(),
            login,
            ad_account,
            access_token,
            refresh_token,
            expires_at,
        })
    }

    /// The page that it becomes, and its token.
    #[must_use]
    pub fn create(self, id: PageId, account: AccountId, now: Timestamp) -> (Page, Token) {
        let page = Page {
            id,
            account,
            network: self.network,
            network_id: self.network_id,
            name: self.name,
            delivery: self.delivery,
            login: self.login,
            ad_account: self.ad_account,
            proven: false,
            token: TokenStatus::unknown(self.expires_at, now, now),
            token_version: 1,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let token = Token {
            access_token: self.access_token,
            refresh_token: self.refresh_token,
            expires_at: self.expires_at,
            version: page.token_version,
        };
        (page, token)
    }
}

impl Page {
    /// When the page's access token was given: what a network tells of an earlier time is about another one. Of a row
    /// from before this was kept, when the page was created, so that nothing is taken for too old.
    #[must_use]
    pub fn token_given_at(&self) -> Timestamp {
        self.token.given_at.unwrap_or(self.created_at)
    }

    /// This page with a JSON merge patch (RFC 7396) of its owner's applied; None where it changes nothing.
    ///
    /// A token that is given is a new one, whose state nobody knows yet: no one here can tell whether it differs. What
    /// `expires_at` said of the old access token is not said of a new one.
    ///
    /// # Errors
    /// Every field that is wrong after the patch. The network and its id of the page cannot change.
    pub fn patched(
        &self,
        patch: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Option<Changed>, Vec<FieldError>> {
        let mut errors = unknown(patch, &FIELDS);
        for (name, same) in [("network", self.network.as_str()), ("network_id", self.network_id.as_str())] {
            if patch.get(name).is_some_and(|value| value.as_str() != Some(same)) {
                errors.push(FieldError::new(name, "cannot be changed; connect another page instead"));
            }
        }
        let name = kept(patch, "name", &mut errors, name);
        let delivery = Field::of(patch, "delivery").optional(&mut errors, delivery());
        let login = Field::of(patch, "login").optional(&mut errors, |value| login(value, self.network));
        let login = if patch.contains_key("login") { login } else { self.login };
        let account = Field::of(patch, "ad_account");
        let account = account.optional(&mut errors, |value| ad_account(value, self.network));
        let ad_account = if patch.contains_key("ad_account") { account } else { self.ad_account.clone() };
        let anew = login != self.login || ad_account != self.ad_account;
        let token = self.token_patched(patch, anew, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut page = self.clone();
        if let Some(name) = name {
            page.name = name;
        }
        if patch.contains_key("delivery") {
            page.delivery = delivery.unwrap_or_default();
        }
        (page.login, page.ad_account) = (login, ad_account);
        if let Some(token) = &token {
            let given_at = if token.access_token.is_some() { now } else { self.token_given_at() };
            page.token = TokenStatus::unknown(token.expires_at, given_at, now);
            page.token_version = token.version;
        }
        if page == *self {
            return Ok(None);
        }
        page.version += 1;
        page.updated_at = now;
        let rerouted = page.delivery != self.delivery;
        Ok(Some(Changed { page, token, rerouted }))
    }

    /// What changes of the token. Where the page is said to be connected in another way, or to have another ad account,
    /// nobody knows the state of the same token for that (`anew`): it counts as a new one.
    fn token_patched(
        &self,
        patch: &Map<String, Value>,
        anew: bool,
        errors: &mut Vec<FieldError>,
    ) -> Option<TokenChange> {
        let access_token = kept(patch, "access_token", errors, |value| token(value, self.network));
        let refresh_token = Field::of(patch, "refresh_token").optional(errors, refresh_token);
        let refresh_token = match refresh_token {
            Some(token) => Set::To(token),
            None if patch.contains_key("refresh_token") => Set::Remove,
            None => Set::Keep,
        };
        let expires_at = if patch.contains_key("expires_at") {
            Field::of(patch, "expires_at").optional(errors, time)
        } else {
            self.token.expires_at.filter(|_| access_token.is_none())
        };
        let same =
            access_token.is_none() && refresh_token == Set::Keep && expires_at == self.token.expires_at;
        (!same || anew).then_some(TokenChange {
            access_token,
            refresh_token,
            expires_at,
            version: self.token_version + 1,
        })
    }
}

/// A field of a patch that cannot be taken away: where it is named, it needs a value.
fn kept<T>(
    patch: &Map<String, Value>,
    name: &'static str,
    errors: &mut Vec<FieldError>,
    read: impl FnOnce(&Value) -> Result<T, String>,
) -> Option<T> {
    if patch.contains_key(name) { Field::of(patch, name).required(errors, read) } else { None }
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "a text is expected".to_owned())
}

fn network(value: &Value) -> Result<Network, String> {
    text(value)?.parse().map_err(|error: crate::network::InvalidNetwork| error.to_string())
}

fn login(value: &Value, network: Network) -> Result<Login, String> {
    let logins = network.spec().token.logins;
    if logins.is_empty() {
        return Err(format!("a page on {network} is connected in one way; leave it out"));
    }
    choice(&["facebook", "instagram", "unified"])(value)
}

/// An ad account, as its paths name it. People see the digits alone.
fn ad_account(value: &Value, network: Network) -> Result<String, String> {
    if network.spec().ads.is_none() {
        return Err(format!("a page on {network} has no ad account; leave it out"));
    }
    let number = value.as_u64().map(|number| number.to_string());
    let given = value.as_str().map(str::to_owned).or(number).unwrap_or_default();
    let digits = given.strip_prefix("act_").unwrap_or(&given);
    let is_one =
        (1..=MAX_AD_ACCOUNT_DIGITS).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let expected =
        || format!("`act_` and 1 to {MAX_AD_ACCOUNT_DIGITS} digits, or the digits alone, are expected");
    if is_one { Ok(format!("act_{digits}")) } else { Err(expected()) }
}

fn network_id(value: &Value) -> Result<NetworkId, String> {
    text(value)?.parse().map_err(|error: crate::network::InvalidNetworkId| error.to_string())
}

fn name(value: &Value) -> Result<String, String> {
    let name = value.as_str().map(str::trim);
    let name = name.filter(|name| (1..=MAX_PAGE_NAME_BYTES).contains(&name.len()));
    let name = name.filter(|name| !name.contains(char::is_control));
    let expected = || format!("a text of 1 to {MAX_PAGE_NAME_BYTES} bytes in one line is expected");
    name.map(str::to_owned).ok_or_else(expected)
}

fn token(value: &Value, network: Network) -> Result<AccessToken, String> {
    AccessToken::check(text(value)?, network)
}

/// A refresh token has the form of an access token on every network.
fn refresh_token(value: &Value) -> Result<AccessToken, String> {
    token(value, Network::Facebook)
}

fn time(value: &Value) -> Result<Timestamp, String> {
    let time = value.as_str().and_then(time::read);
    time.ok_or_else(|| time::EXPECTED.to_owned())
}

fn delivery() -> impl FnOnce(&Value) -> Result<Delivery, String> {
    choice(&["by_kind", "scheduled", "immediate"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::collected::Action;
    use crate::normalise;

    fn read(given: &Value) -> Result<NewPage, Vec<String>> {
        NewPage::from_json(given.as_object().unwrap()).map_err(names)
    }

    fn names(errors: Vec<FieldError>) -> Vec<String> {
        errors.into_iter().map(|error| error.field).collect()
    }

    fn least() -> Value {
        json!({"network": "facebook", "network_id": "123", "name": " Uma página ", "access_token": "EAAB-1"})
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn page(given: &Value) -> Page {
        let page = read(given).unwrap().create(PageId::from_bits(1), AccountId::from_bits(2), at(1)).0;
        let token = TokenStatus { state: TokenState::Ok, ..page.token.clone() };
        Page { token, ..page }
    }

    fn patch(page: &Page, patch: &Value) -> Result<Option<Changed>, Vec<String>> {
        page.patched(patch.as_object().unwrap(), at(2)).map_err(names)
    }

    #[test]
    fn the_least_that_is_needed_gets_the_documented_defaults() {
        let new = read(&least()).unwrap();
        assert_eq!((new.name.as_str(), new.delivery), ("Uma página", Delivery::ByKind));
        let (page, token) = new.create(PageId::from_bits(1), AccountId::from_bits(2), at(1));
        assert_eq!(page.token, TokenStatus::unknown(None, at(1), at(1)));
        assert_eq!((page.version, page.token_version, token.version), (1, 1, 1));
        assert_eq!((token.refresh_token, token.expires_at), (None, None));
    }

    #[test]
    fn every_wrong_field_is_named_and_no_token_is_repeated() {
        let wrong = json!({
            "network": "orkut", "network_id": "a b", "name": "", "access_token": "planted secret",
            "refresh_token": "planted\n", "expires_at": 0, "delivery": "now", "colour": "red",
        });
        let errors = NewPage::from_json(wrong.as_object().unwrap()).unwrap_err();
        assert!(!format!("{errors:?}").contains("planted"), "{errors:?}");
        let expected = [
            "colour",
            "network",
            "network_id",
            "name",
            "access_token",
            "refresh_token",
            "expires_at",
            "delivery",
        ];
        assert_eq!(names(errors), expected);
        assert_eq!(read(&json!({})).unwrap_err(), ["network", "network_id", "name", "access_token"]);
        let mut of_other_types = Map::new();
        for name in FIELDS {
            of_other_types.insert(name.to_owned(), json!([1]));
        }
        assert_eq!(names(NewPage::from_json(&of_other_types).unwrap_err()), FIELDS);
    }

    #[test]
    fn an_ad_account_is_its_digits_where_the_network_has_ads() {
        let with = |network: &str, account: Value| {
            let mut given = least();
            (given["network"], given["ad_account"]) = (network.into(), account);
            read(&given).map(|page| page.ad_account)
        };
        for given in [json!("act_123"), json!("123"), json!(123)] {
            for network in ["facebook", "instagram"] {
                assert_eq!(with(network, given.clone()), Ok(Some("act_123".into())), "{given}");
            }
        }
        assert_eq!(with("facebook", Value::Null), Ok(None));
        for wrong in
            [json!(""), json!("act_"), json!("act_1/ads"), json!("1".repeat(21)), json!(-1), json!(1.5)]
        {
            assert_eq!(with("facebook", wrong.clone()), Err(vec!["ad_account".into()]), "{wrong}");
        }
        for network in ["x", "youtube", "googleplay", "linkedin"] {
            assert_eq!(with(network, json!("act_1")), Err(vec!["ad_account".into()]), "{network}");
        }
    }

    #[test]
    fn another_ad_account_sets_a_page_going_anew() {
        let mut before = page(&least());
        let changed = patch(&before, &json!({"ad_account": "7"})).unwrap().unwrap();
        assert_eq!(changed.page.ad_account.as_deref(), Some("act_7"));
        assert_eq!((changed.page.token_version, changed.page.token.state), (2, TokenState::Unknown));
        before.ad_account = Some("act_7".into());
        assert_eq!(patch(&before, &json!({"ad_account": "act_7"})), Ok(None));
        assert_eq!(patch(&before, &json!({"ad_account": null})).unwrap().unwrap().page.ad_account, None);
        let stored = serde_json::to_value(&before).unwrap();
        assert_eq!(serde_json::from_value::<Page>(stored.clone()).unwrap(), before);
        let mut older = stored;
        older.as_object_mut().unwrap().remove("ad_account");
        assert_eq!(serde_json::from_value::<Page>(older).unwrap().ad_account, None);
    }

    #[test]
    fn tokens_and_names_are_bounded() {
        let with = |name: &str, value: String| {
            let mut given = least();
            given[name] = Value::String(value);
            read(&given)
        };
        assert!(with("name", "é".repeat(MAX_PAGE_NAME_BYTES / 2)).is_ok());
        assert_eq!(with("name", "x".repeat(MAX_PAGE_NAME_BYTES + 1)).unwrap_err(), ["name"]);
        assert_eq!(with("name", "a\nb".into()).unwrap_err(), ["name"]);
        for token in ["access_token", "refresh_token"] {
            assert!(with(token, "x".repeat(MAX_TOKEN_BYTES)).is_ok());
            for wrong in ["", "a b", "a\r\nb", "é", &"x".repeat(MAX_TOKEN_BYTES + 1)] {
                assert_eq!(with(token, wrong.into()).unwrap_err(), [token], "{wrong}");
            }
        }
    }

    #[test]
    fn a_service_accounts_key_is_a_token_where_its_network_takes_it() {
        let key = json!({"type": "service_account", "private_key": "-----BEGIN\n"});
        let pretty = serde_json::to_string_pretty(&key).unwrap();
        for text in [key.to_string(), pretty] {
            assert!(AccessToken::check(&text, Network::GooglePlay).is_ok());
            assert!(AccessToken::check(&text, Network::X).is_err());
        }
        assert!(AccessToken::check("ya29.abc", Network::GooglePlay).is_ok());
        for broken in [r#"{"type""#, "[1]\n", "{}}"] {
            assert!(AccessToken::check(broken, Network::GooglePlay).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_token_prints_nothing_of_itself() {
        let mut given = least();
        given["refresh_token"] = json!("EAAB-1-refresh");
        let new = read(&given).unwrap();
        let (page, token) = new.clone().create(PageId::from_bits(1), AccountId::from_bits(2), at(1));
        let change = patch(&page, &json!({"access_token": "EAAB-1"})).unwrap();
        for printed in [format!("{new:?}"), format!("{page:?}{token:?}"), format!("{change:?}")] {
            assert!(!printed.contains("EAAB"), "{printed}");
        }
        assert!(!serde_json::to_string(&page).unwrap().contains("EAAB"));
    }

    #[test]
    fn what_a_page_is_cannot_change_and_everything_else_can() {
        let before = page(&least());
        assert_eq!(patch(&before, &json!({"network": "facebook", "network_id": "123"})), Ok(None));
        let wrong =
            json!({"network": "x", "network_id": null, "name": null, "access_token": null, "id": "page_1"});
        let expected = ["id", "network", "network_id", "name", "access_token"];
        assert_eq!(patch(&before, &wrong).unwrap_err(), expected);
        let changed = patch(&before, &json!({"name": "Outra", "delivery": "immediate"})).unwrap().unwrap();
        assert_eq!((changed.page.name.as_str(), changed.page.delivery), ("Outra", Delivery::Immediate));
        assert_eq!((changed.page.version, changed.page.updated_at, changed.rerouted), (2, at(2), true));
        assert_eq!((changed.token, &changed.page.token), (None, &before.token));
        let back = patch(&changed.page, &json!({"delivery": null})).unwrap().unwrap();
        assert_eq!((back.page.delivery, back.page.name.as_str()), (Delivery::ByKind, "Outra"));
        assert_eq!(patch(&before, &json!({"delivery": "by_kind", "name": "Uma página"})), Ok(None));
    }

    #[test]
    fn a_new_token_is_unknown_and_loses_the_old_ones_end() {
        let mut given = least();
        given["expires_at"] = json!("2026-12-01T00:00:00Z");
        let before = page(&given);
        let changed = patch(&before, &json!({"access_token": "EAAB-1"})).unwrap().unwrap();
        assert_eq!(changed.page.token, TokenStatus::unknown(None, at(2), at(2)));
        let change = changed.token.unwrap();
        assert_eq!((change.version, changed.page.token_version), (2, 2));
        assert_eq!((change.refresh_token, change.expires_at), (Set::Keep, None));
        let ends =
            json!({"access_token": "b", "refresh_token": null, "expires_at": "2027-01-01T00:00:00+00:00"});
        let change = patch(&before, &ends).unwrap().unwrap().token.unwrap();
        assert_eq!(change.refresh_token, Set::Remove);
        assert_eq!(change.expires_at, Some("2027-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_refresh_token_or_an_end_alone_changes_nothing_else() {
        let mut given = least();
        given["expires_at"] = json!("2026-12-01T00:00:00Z");
        let before = page(&given);
        let changed = patch(&before, &json!({"refresh_token": "r"})).unwrap().unwrap();
        let change = changed.token.unwrap();
        assert_eq!((change.access_token, change.expires_at), (None, before.token.expires_at));
        assert_eq!(change.refresh_token, Set::To(AccessToken("r".into())));
        assert_eq!(changed.page.token.state, TokenState::Unknown);
        assert_eq!((changed.page.token_given_at(), changed.page.token.since), (at(1), Some(at(2))));
        let endless = patch(&before, &json!({"expires_at": null})).unwrap().unwrap();
        assert_eq!(endless.page.token, TokenStatus::unknown(None, at(1), at(2)));
        assert_eq!(patch(&before, &json!({"expires_at": "2026-12-01T00:00:00Z"})), Ok(None));
    }

    #[test]
    fn a_page_survives_its_stored_form() {
        let mut page = page(&least());
        let stored = serde_json::to_value(&page).unwrap();
        assert_eq!(stored["token"]["state"], "ok");
        assert_eq!(serde_json::from_value::<Page>(stored).unwrap(), page);
        for name in ["consent_ends_at", "cause", "permission", "warned_days", "recoveries"] {
            assert!(serde_json::to_value(&page).unwrap()["token"].get(name).is_none(), "{name}");
        }
        page.token.consent_ends_at = Some(at(4));
        page.token.cause = Some(TokenCause::Consent);
        page.token.permission = Some("pages_messaging".into());
        (page.token.warned_days, page.token.recoveries) = (Some(7), 2);
        let stored = serde_json::to_value(&page).unwrap();
        assert_eq!(serde_json::from_value::<Page>(stored).unwrap(), page);
    }

    #[test]
    fn a_row_with_the_entry_that_marked_it_is_read() {
        let mut stored = serde_json::to_value(page(&least())).unwrap();
        stored["token"]["marked_by"] = json!("revocation:1#a");
        assert_eq!(serde_json::from_value::<Page>(stored).unwrap(), page(&least()));
    }

    #[test]
    fn by_kind_only_what_somebody_waits_for_goes_at_once() {
        let content = |published, kind| {
            let reading = normalise::reading_of("x:1".into(), normalise::deleted(), kind, Action::Created);
            Content { published, ..reading.content }
        };
        for (published, kind, at_once) in [
            (Published::Interaction, Kind::DirectMessage, true),
            (Published::Interaction, Kind::Reply, true),
            (Published::ByThePage, Kind::DirectMessage, false),
            (Published::ByThePage, Kind::Reply, false),
            (Published::Interaction, Kind::Comment, false),
            (Published::Interaction, Kind::Reaction, false),
        ] {
            let content = content(published, kind);
            let immediate = Delivery::ALL.map(|delivery| delivery.is_immediate(&content));
            assert_eq!(immediate, [at_once, false, true], "{content:?}");
        }
    }

    #[test]
    fn a_stored_delivery_is_read_by_older_versions_too() {
        for delivery in Delivery::ALL {
            let page = Page { delivery, ..page(&least()) };
            let mut stored = serde_json::to_value(&page).unwrap();
            assert_eq!(serde_json::from_value::<Page>(stored.clone()).unwrap(), page);
            assert!(["scheduled", "immediate"].contains(&stored["delivery"].as_str().unwrap()));
            stored.as_object_mut().unwrap().remove("by_kind");
            let older: Page = serde_json::from_value(stored).unwrap();
            assert_ne!(older.delivery, Delivery::ByKind);
        }
    }

    #[test]
    fn a_token_without_a_time_is_as_old_as_its_page() {
        let mut stored = serde_json::to_value(page(&least())).unwrap();
        stored["token"].as_object_mut().unwrap().remove("given_at");
        stored["token"]["since"] = json!(at(9));
        let old: Page = serde_json::from_value(stored).unwrap();
        assert_eq!(old.token_given_at(), at(1));
        let renewed = patch(&old, &json!({"access_token": "b"})).unwrap().unwrap().page;
        assert_eq!(renewed.token_given_at(), at(2));
    }
}
