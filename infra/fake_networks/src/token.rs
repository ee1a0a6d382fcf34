//! Tokens: whose they are, how long they last, what became of them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// What is the matter with a token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// It does all that the page's token may, until its end.
    Good,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
    /// It is good, and lacks this permission.
    Narrowed(String),
    /// It is good, and is that of another page or person, with this id.
    SomebodyElses(String),
}

/// How an Instagram account was connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// With Instagram's own login: its tokens are those of graph.instagram.com.
    Instagram,
    /// With Facebook's: the token is that of the Facebook page, at graph.facebook.com.
    Facebook,
    /// With Meta's unified login: the token is that of a system user, at graph.facebook.com.
    Unified,
}

/// A page and a token of it.
#[derive(Clone, Deserialize)]
pub struct Connection {
    /// The network's id of the page.
    pub page: String,
    /// The access token. None where only a refresh token (or a service account's key) is known so far.
    #[serde(default)]
    pub token: Option<String>,
    /// The refresh token.
    #[serde(default)]
    pub refresh_token: Option<String>,
    /// After how many seconds the access token ends. None: never, or after the network's own time where there is a
    /// refresh token.
    #[serde(default)]
    pub expires_in: Option<u64>,
    /// The page's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Of an Instagram account. None: told by the token, as Instagram's own begin with `IG`.
    #[serde(default)]
    pub login: Option<Login>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("page", &self.page).finish_non_exhaustive()
    }
}

impl Connection {
    /// A page with an access token that does not end.
    #[must_use]
    pub fn new(page: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            page: page.into(),
            token: Some(token.into()),
            refresh_token: None,
            expires_in: None,
            name: None,
            login: None,
        }
    }

    /// A page with a refresh token alone.
    #[must_use]
    pub fn refreshed_by(page: impl Into<String>, refresh_token: impl Into<String>) -> Self {
        Self { token: None, ..Self::new(page, "") }.refresh_token(refresh_token)
    }

    /// With this refresh token.
    #[must_use]
    pub fn refresh_token(mut self, token: impl Into<String>) -> Self {
        self.refresh_token = Some(token.into());
        self
    }

    /// With an end of the access token. Parts of a second do not count.
    #[must_use]
    pub fn expires_in(mut self, lasts: Duration) -> Self {
        self.expires_in = Some(lasts.as_secs());
        self
    }

    /// With a name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// With a login.
    #[must_use]
    pub fn login(mut self, login: Login) -> Self {
        self.login = Some(login);
        self
    }
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Access,
    Refresh,
}

/// A token that was given out.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) page: String,
    pub(crate) role: Role,
    pub(crate) state: TokenState,
    pub(crate) login: Login,
    pub(crate) issued_ms: u64,
    pub(crate) expires_ms: Option<u64>,
}

/// Whose a token is, by what the network knows now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bearer {
    /// It was never given out.
    Unknown,
    /// Its time is over, since then.
    Expired(u64),
    /// It was taken back, or used up.
    Revoked,
    /// It is good.
    Good(Holder),
}

/// Whom a good token is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The id that the network knows the holder by: the page's, or somebody else's.
    pub(crate) id: String,
    /// Whether that is the page that the token was connected for.
    pub(crate) is_the_page: bool,
    /// The permission that it lacks.
    pub(crate) lacks: Option<String>,
    /// How an Instagram account was connected.
    pub(crate) login: Login,
}

impl Holder {
    /// Whether it may do what takes this permission.
    pub(crate) fn may(&self, permission: &str) -> bool {
        self.lacks.as_deref() != Some(permission)
    }
}

/// The tokens of one network. What it holds is never printed.
#[derive(Default)]
pub(crate) struct Tokens {
    known: HashMap<String, Token>,
    /// Those that were refused, so that who used them was told.
    refused: HashSet<String>,
    issued: u64,
}

impl Tokens {
    pub(crate) fn put(&mut self, text: &str, token: Token) {
        self.refused.remove(text);
        self.known.insert(text.to_owned(), token);
    }

    pub(crate) fn get(&self, text: &str) -> Option<&Token> {
        self.known.get(text)
    }

    /// False where there is no such token.
    pub(crate) fn set(&mut self, text: &str, state: TokenState) -> bool {
        let Some(token) = self.known.get_mut(text) else { return false };
        if token.state != state {
            self.refused.remove(text);
        }
        token.state = state;
        true
    }

    /// All tokens of a page.
    pub(crate) fn set_of_page(&mut self, page: &str, state: &TokenState) -> usize {
        let of_page = self.known.iter().filter(|(_, token)| token.page == page);
        let texts: Vec<String> = of_page.map(|(text, _)| text.clone()).collect();
        texts.iter().filter(|text| self.set(text, state.clone())).count()
    }

    pub(crate) fn page_of(&self, text: &str) -> Option<String> {
        self.known.get(text).map(|token| token.page.clone())
    }

    pub(crate) fn bearer(&self, text: &str, role: Role, now_ms: u64) -> Bearer {
        let Some(token) = self.known.get(text).filter(|token| token.role == role) else {
            return Bearer::Unknown;
        };
        let holder = |id: &str, is_the_page, lacks: Option<&String>| {
            Bearer::Good(Holder { id: id.to_owned(), is_the_page, lacks: lacks.cloned(), login: token.login })
        };
        match &token.state {
            TokenState::Revoked => Bearer::Revoked,
            TokenState::Expired => Bearer::Expired(token.expires_ms.map_or(now_ms, |end| end.min(now_ms))),
            _ if token.expires_ms.is_some_and(|end| end <= now_ms) => {
                Bearer::Expired(token.expires_ms.unwrap_or(now_ms))
            }
            TokenState::Good => holder(&token.page, true, None),
            TokenState::Narrowed(permission) => holder(&token.page, true, Some(permission)),
            TokenState::SomebodyElses(id) => holder(id, false, None),
        }
    }

    /// Notes that the network refused it; whether it had refused it before, and nothing has changed.
    pub(crate) fn refuse(&mut self, text: &str) -> bool {
        !self.refused.insert(text.to_owned())
    }

    pub(crate) fn was_refused(&self, text: &str) -> bool {
        self.refused.contains(text)
    }

    /// The text of a new token. It can be told from all others, and guessed; nothing real is behind it.
    pub(crate) fn new_text(&mut self, prefix: &str, now_ms: u64) -> String {
        self.issued += 1;
        let salt = crate::hash(&(now_ms, self.issued, prefix));
        format!("{prefix}{salt:016x}{:06}", self.issued)
    }

    /// Every token that was ever given out.
    pub(crate) fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.known.keys().cloned().collect();
        texts.sort_unstable();
        texts
    }

    /// The newest good access token of a page.
    pub(crate) fn newest_of(&self, page: &str, role: Role, now_ms: u64) -> Option<String> {
        let good = |text: &&String| matches!(self.bearer(text, role, now_ms), Bearer::Good(_));
        let of_page = self.known.iter().filter(|(_, token)| token.page == page && token.role == role);
        let newest =
            of_page.filter(|(text, _)| good(text)).max_by_key(|(text, token)| (token.issued_ms, *text));
        newest.map(|(text, _)| text.clone())
    }
}
