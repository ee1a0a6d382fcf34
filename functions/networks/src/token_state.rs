//! What a collection sees of a page's token, and what becomes of the page by it.
//!
//! | from | by | to |
//! |---|---|---|
//! | any but dead | refused; its end has passed; it is somebody else's | `expired` or `revoked`: dead |
//! | `unknown`, `ok`, `expiring` | a permission is missing | `narrowed` |
//! | `unknown`, `ok` | its end is 7 days away, or less | `expiring` |
//! | any | the network took it | `ok`, or `expiring` |
//!
//! # What counts
//! Only what was seen with the page's current [`token_version`](Page::token_version). A success counts against a
//! trouble only where its call was begun after the trouble was marked, by a push ([`signal`](crate::signal)) as by a
//! call: an answer that was under way when access was taken back shows nothing, and a call that was begun later and is
//! taken shows that the token works, whatever was said of it. A missing permission is there again only where *all* that
//! collecting asks for was answered ([`TokenObservation::Taken::complete`]). Of a dead token a further refusal changes
//! nothing: its owner has to act, and was told so.
//!
//! A token that we renew is not in trouble because its access token of an hour or two ends: of it only a refused
//! renewal counts, and a refusal of another kind than "expired". The end of its giver's consent counts for it too.
//!
//! An end that is known and has passed is `expired` without asking. Where the network took the token after its known
//! end and names no other, the end was wrong (its owner gave it), and is forgotten.
//!
//! # What is told
//! A [`Decided::notice`] is to be sent *before* the page is marked: who dies in between tells it again, under the same
//! id. There is one id for each (page, kind, access token, how often it recovered); each of the [`WARNING_DAYS`] is a
//! kind of its own, and is told once. Its bytes differ by the time of the telling.

use jiff::{SignedDuration, Timestamp};

use crate::page::{Page, TokenCause, TokenState, TokenStatus};
use crate::page_notice::{self, Kind, NoticeTimes, PageNotice};
use crate::poll::TokenTrouble;

/// How long before its end a token is `expiring`.
pub const EXPIRING_DAYS: u8 = 7;
/// How many days before a token's end its account is warned, the last warning first.
pub const WARNING_DAYS: [u8; 4] = [1, 7, 15, 30];
/// The longest name of a permission that is kept. Networks' own are no longer than 50.
const MAX_PERMISSION_BYTES: usize = 100;

/// What was seen of a page's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// What it was.
    pub sight: TokenObservation,
    /// When the call was begun that showed it; now, where there was none.
    pub begun_at: Timestamp,
    /// Whether we renew the token by ourselves: it has a refresh token, or is a service account's key, and the
    /// deployment has what its network wants besides. Of one that was renewed a moment ago and is refused all the same:
    /// no, for it will not be renewed again.
    pub renewable: bool,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenObservation {
    /// The network took it.
    Taken {
        /// Whether all that collecting needs was asked for and answered, or the network named every permission, so that
        /// none is missing.
        complete: bool,
        /// When the access token ends, where the network said so.
        expires_at: Option<Timestamp>,
        /// When the consent of who gave it ends, where the network said so (Meta's `data_access_expires_at`).
        consent_ends_at: Option<Timestamp>,
    },
    /// The network refused it.
    Refused(TokenTrouble),
    /// The network refused to renew it.
    RenewalRefused {
        /// Whether the new one may have been in an answer that was lost.
        lost: bool,
    },
    /// It is good, and somebody else's.
    NotThePages,
    /// Nothing; only time passed.
    Time,
}

/// What becomes of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The page from now on; its version is the next one.
    pub page: Page,
    /// What is to be told first, if anything.
    pub notice: Option<PageNotice>,
}

/// What becomes of a page by what was seen with its token of a version. None where nothing changes.
#[must_use]
pub fn decide(page: &Page, token_version: u64, seen: &Observed, now: Timestamp) -> Option<Decided> {
    if token_version != page.token_version {
        return None;
    }
    let before = &page.token;
    let mut token = before.clone();
    see(&mut token, seen);
    let warning = pass(&mut token, seen.renewable, now);
    let kind = trouble(before.state, token.state);
    if kind.is_some() && warning.is_some() {
        // One thing at a time: the warning's turn comes with the next look. Of a later end nobody was warned yet.
        let due = token.warned_days;
        token.warned_days = before.warned_days.filter(|warned| due.is_some_and(|days| *warned >= days));
    }
    if token.state != before.state {
        token.since = Some(now);
    }
    // What was told before may be to be told again from now on, as something else.
    let is_later = |warned| token.warned_days.is_none_or(|days| days > warned);
    if weight(token.state) < weight(before.state) || before.warned_days.is_some_and(is_later) {
        token.recoveries = before.recoveries.saturating_add(1);
    }
    token.why = why(&token).map(str::to_owned);
    if token == *before {
        return None;
    }
    let occurred_at = match token.cause {
        Some(TokenCause::Time) if kind == Some(Kind::Expired) => token.expires_at,
        Some(TokenCause::Consent) if kind == Some(Kind::Expired) => token.consent_ends_at,
        _ => None,
    };
    let told = NoticeTimes { occurred_at: occurred_at.unwrap_or(seen.begun_at), timestamp: now };
    let page = Page { token, version: page.version + 1, ..page.clone() };
    let notice = kind.or(warning).map(|kind| page_notice::notice(&page, kind, &told));
    Some(Decided { page, notice })
}

/// Whether no call is of use with it.
#[must_use]
pub fn is_dead(state: TokenState) -> bool {
    matches!(state, TokenState::Expired | TokenState::Revoked)
}

/// How bad a state is. Whoever comes out of one recovered from it.
fn weight(state: TokenState) -> u8 {
    match state {
        TokenState::Ok | TokenState::Unknown => 0,
        TokenState::Expiring => 1,
        TokenState::Narrowed => 2,
        TokenState::Expired => 3,
        TokenState::Revoked => 4,
    }
}

fn trouble(before: TokenState, now: TokenState) -> Option<Kind> {
    match now {
        _ if before == now => None,
        TokenState::Expired => Some(Kind::Expired),
        TokenState::Revoked => Some(Kind::Revoked),
        TokenState::Narrowed => Some(Kind::Narrowed),
        TokenState::Ok | TokenState::Expiring | TokenState::Unknown => None,
    }
}

fn see(token: &mut TokenStatus, seen: &Observed) {
    match &seen.sight {
        TokenObservation::Time => {}
        TokenObservation::Taken { complete, expires_at, consent_ends_at } => {
            let troubled = is_dead(token.state) || token.state == TokenState::Narrowed;
            if troubled && token.since.is_some_and(|since| seen.begun_at <= since) {
                return;
            }
            token.expires_at = end(token.expires_at, *expires_at, seen.begun_at);
            // A part of what a token does outlives its giver's consent.
            if *complete || consent_ends_at.is_some() {
                token.consent_ends_at = end(token.consent_ends_at, *consent_ends_at, seen.begun_at);
            }
            if *complete || token.state != TokenState::Narrowed {
                (token.state, token.cause, token.permission) = (TokenState::Ok, None, None);
            }
        }
        TokenObservation::Refused(TokenTrouble::Expired) if seen.renewable => {}
        TokenObservation::Refused(TokenTrouble::Expired) => {
            die(token, TokenState::Expired, TokenCause::Refused);
        }
        TokenObservation::Refused(TokenTrouble::Revoked) => {
            die(token, TokenState::Revoked, TokenCause::Refused);
        }
        TokenObservation::Refused(TokenTrouble::Narrowed(which)) => narrow(token, which.as_deref()),
        TokenObservation::RenewalRefused { lost: false } => {
            die(token, TokenState::Revoked, TokenCause::RenewalRefused);
        }
        TokenObservation::RenewalRefused { lost: true } => {
            die(token, TokenState::Revoked, TokenCause::RenewalLost);
        }
        TokenObservation::NotThePages => die(token, TokenState::Revoked, TokenCause::NotThePages),
    }
}

/// The end that is known after a success.
fn end(known: Option<Timestamp>, named: Option<Timestamp>, begun_at: Timestamp) -> Option<Timestamp> {
    named.or(known.filter(|end| *end > begun_at))
}

fn die(token: &mut TokenStatus, state: TokenState, cause: TokenCause) {
    if !is_dead(token.state) {
        (token.state, token.cause, token.permission) = (state, Some(cause), None);
    }
}

fn narrow(token: &mut TokenStatus, which: Option<&str>) {
    let which = which.filter(|name| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:/-".contains(&byte);
        (1..=MAX_PERMISSION_BYTES).contains(&name.len()) && name.bytes().all(known)
    });
    match token.state {
        TokenState::Expired | TokenState::Revoked => {}
        TokenState::Narrowed => {
            if token.permission.is_none() {
                token.permission = which.map(str::to_owned);
            }
        }
        TokenState::Ok | TokenState::Expiring | TokenState::Unknown => {
            (token.state, token.cause) = (TokenState::Narrowed, Some(TokenCause::Missing));
            token.permission = which.map(str::to_owned);
        }
    }
}

/// What time alone does, after all else; and the warning that is due.
fn pass(token: &mut TokenStatus, renewable: bool, now: Timestamp) -> Option<Kind> {
    if is_dead(token.state) {
        return None;
    }
    let Some((end, cause)) = next_end(token, renewable) else {
        token.warned_days = None;
        not_expiring(token);
        return None;
    };
    if end <= now {
        (token.state, token.cause, token.permission) = (TokenState::Expired, Some(cause), None);
        return None;
    }
    let within = |days: u8| end.duration_since(now) <= SignedDuration::from_hours(24 * i64::from(days));
    if !within(EXPIRING_DAYS) {
        not_expiring(token);
    } else if token.state != TokenState::Narrowed {
        // What else is wrong with it weighs more.
        (token.state, token.cause) = (TokenState::Expiring, Some(cause));
    }
    let Some(days) = WARNING_DAYS.into_iter().find(|days| within(*days)) else {
        token.warned_days = None;
        return None;
    };
    if token.warned_days == Some(days) {
        return None;
    }
    token.warned_days = Some(days);
    Some(Kind::Expiring { days, end, cause })
}

/// No end is near.
fn not_expiring(token: &mut TokenStatus) {
    if token.state == TokenState::Expiring {
        (token.state, token.cause) = (TokenState::Unknown, None);
    }
}

fn next_end(token: &TokenStatus, renewable: bool) -> Option<(Timestamp, TokenCause)> {
    let access = token.expires_at.filter(|_| !renewable).map(|end| (end, TokenCause::Time));
    let consent = token.consent_ends_at.map(|end| (end, TokenCause::Consent));
    access.into_iter().chain(consent).min_by_key(|(end, _)| *end)
}

/// Why a token is in its state, in words for people; none where nothing is wrong.
#[must_use]
pub fn why(token: &TokenStatus) -> Option<&'static str> {
    let why = match (token.state, token.cause?) {
        (TokenState::Ok | TokenState::Unknown, _) => return None,
        (TokenState::Expiring, TokenCause::Consent) => "the consent of who gave it ends soon",
        (TokenState::Expiring, _) => "it ends soon",
        (TokenState::Expired, TokenCause::Consent) => "the consent of who gave it is over",
        (TokenState::Expired, TokenCause::Time) => "its time is over",
        (TokenState::Expired, _) => "the network says that its time is over",
        (TokenState::Narrowed, TokenCause::TakenBack) => "the network says that a permission was taken back",
        (TokenState::Narrowed, _) => "the network says that a permission is missing",
        (TokenState::Revoked, TokenCause::NotThePages) => {
            "the network says that it belongs to somebody else, not to this page"
        }
        (TokenState::Revoked, TokenCause::TakenBack) => "the network says that access was taken back",
        (TokenState::Revoked, TokenCause::RenewalRefused) => "the network refuses to renew it",
        (TokenState::Revoked, TokenCause::RenewalLost) => {
            "the answer to a renewal was lost, and the network refuses to renew it once more"
        }
        (TokenState::Revoked, _) => "the network refuses it",
    };
    Some(why)
}

#[cfg(test)]
#[path = "token_state/tests.rs"]
mod tests;
