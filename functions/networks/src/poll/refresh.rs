//! Renewing access tokens, as decisions over values. Who makes the call fills in the secrets; none is in here.
//!
//! How a network's tokens are renewed is in its [`TokenSpec`](crate::spec::TokenSpec).
//!
//! # A refresh token that is replaced
//! An [`RenewalAttempt`] is stored, on the condition that the token is still of its version and no other attempt is
//! under way, *before* the network is asked; what is answered is stored *before* it is used. An answer that is lost
//! leaves an attempt behind: after [`BUSY`] it is made again with the same refresh token, which the network may still
//! take. If it refuses, the new one was in the lost answer, and only the page's owner can help: [`Renewed::Dead`] with
//! `lost`. Where the refresh token stays, a repetition is harmless.
//!
//! Source: RFC 6749, sections 5 and 6.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::OperatorFault;
use super::body::{number_header, tree};
use super::response::{NetworkResponse, TokenTrouble};
use super::scope::after;
use crate::network::Network;
use crate::page::{AccessToken, Set, TokenChange};

/// How long an attempt is taken to be under way: longer than a call may take.
pub const BUSY: Duration = Duration::from_secs(120);
/// How long to wait after a limit that says no time, and the longest wait that is believed, in seconds.
const PAUSE: i64 = 60;
const DAY: i64 = 24 * 3600;

/// What stands in a field of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// This.
    Plain(&'static str),
    /// The page's refresh token.
    RefreshToken,
    /// The app's id at the network.
    ClientId,
    /// The app's secret.
    ClientSecret,
    /// A signed assertion.
    Assertion,
}

/// The request that renews a token: one `POST` with a form to the network's `…TokenUrl`, as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// What it is renewed with.
    pub grant: GrantType,
    /// The form.
    pub form: &'static [(&'static str, Slot)],
    /// Whether the app's id and secret go into `authorization: Basic`, where it has a secret.
    pub basic: bool,
    /// Whether the refresh token is replaced.
    pub rotates: bool,
}

impl Renewal {
    /// A renewal with a refresh token that stays, and the app's id and secret in the form.
    pub(crate) const WITH_REFRESH_TOKEN: Self = Self {
        grant: GrantType::RefreshToken,
        form: &[
            ("grant_type", Slot::Plain("refresh_token")),
            ("refresh_token", Slot::RefreshToken),
            ("client_id", Slot::ClientId),
            ("client_secret", Slot::ClientSecret),
        ],
        basic: false,
        rotates: false,
    };
}

/// What a token is renewed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    /// A refresh token.
    RefreshToken,
    /// The key of a service account.
    ServiceAccount,
    /// The access token itself.
    AccessToken,
}

/// The request that renews a network's token; none where there is no such way.
#[must_use]
pub fn renewal(network: Network, grant: GrantType) -> Option<&'static Renewal> {
    network.spec().token.renewals.iter().find(|renewal| renewal.grant == grant)
}

/// Whether an access token is to be renewed before it is used. Of one whose end is not known the network tells.
#[must_use]
pub fn is_due(network: Network, expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    let ahead = network.spec().token.renew_ahead;
    let ahead = i64::try_from(ahead.as_secs()).unwrap_or(0);
    expires_at.is_some_and(|end| end <= after(now, ahead))
}

/// What a refused access token needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// To be renewed, and the call to be made once more.
    Renew,
    /// Its owner.
    Owner,
}

/// What helps after a refusal. A token that was renewed in this run and is refused all the same is not renewed again.
#[must_use]
pub fn help(trouble: &TokenTrouble, can_renew: bool, renewed_in_this_run: bool) -> Remedy {
    match trouble {
        TokenTrouble::Expired if can_renew && !renewed_in_this_run => Remedy::Renew,
        _ => Remedy::Owner,
    }
}

/// A renewal that was begun. It stays until an answer is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalAttempt {
    /// The version of the page's token.
    pub of: u64,
    /// When it was begun.
    pub at: Timestamp,
}

/// Whether this worker renews a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalClaim {
    /// Ours: store this attempt, and ask.
    Ours {
        /// What is stored first.
        attempt: RenewalAttempt,
        /// Whether an earlier attempt with the same refresh token had no answer.
        after_loss: bool,
    },
    /// Another worker's, who is at it.
    Theirs {
        /// Until when at most.
        until: Timestamp,
    },
}

/// Whether to renew a token now, given the attempt that is stored of it.
#[must_use]
pub fn claim(stored: Option<RenewalAttempt>, version: u64, now: Timestamp) -> RenewalClaim {
    let attempt = RenewalAttempt { of: version, at: now };
    let Some(before) = stored.filter(|stored| stored.of == version) else {
        return RenewalClaim::Ours { attempt, after_loss: false };
    };
    let until = after(before.at, i64::try_from(BUSY.as_secs()).unwrap_or(0));
    if now < until {
        RenewalClaim::Theirs { until }
    } else {
        RenewalClaim::Ours { attempt, after_loss: true }
    }
}

/// A new access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// The access token.
    pub access_token: AccessToken,
    /// The refresh token from now on, where it is another.
    pub refresh_token: Option<AccessToken>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
}

impl Fresh {
    /// What is written of it, over a token of this version. Only what was written may be used.
    #[must_use]
    pub fn over(self, version: u64) -> TokenChange {
        TokenChange {
            access_token: Some(self.access_token),
            refresh_token: self.refresh_token.map_or(Set::Keep, Set::To),
            expires_at: self.expires_at,
            version: version + 1,
        }
    }
}

/// What came of a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// To be stored, then used.
    Fresh(Fresh),
    /// The refresh token, or the key, is no good: only the owner can help.
    Dead {
        /// Whether the new one may have been in an answer that was lost.
        lost: bool,
    },
    /// Not before then.
    Wait(Timestamp),
    /// The network failed, or answered what cannot be read. It may have replaced the refresh token all the same: the
    /// attempt stays.
    Unknown,
    /// The app's id or secret is refused: the deployment's matter, and no page's.
    OurFault(OperatorFault),
}

/// What an answer to a renewal says.
#[must_use]
pub fn renewed(network: Network, answer: &NetworkResponse<'_>, after_loss: bool, now: Timestamp) -> Renewed {
    let body = tree(answer.body);
    match answer.status {
        200..=299 => fresh(network, &body, now).map_or(Renewed::Unknown, Renewed::Fresh),
        429 => {
            let wait = number_header(answer, "retry-after").unwrap_or(PAUSE).clamp(1, DAY);
            Renewed::Wait(after(now, wait))
        }
        400..=403 => refused(network, &body, after_loss),
        _ => Renewed::Unknown,
    }
}

fn fresh(network: Network, body: &serde_json::Value, now: Timestamp) -> Option<Fresh> {
    let token = |name: &str| AccessToken::check(body[name].as_str()?, network).ok();
    let lasts = body["expires_in"].as_i64().or_else(|| body["expires_in"].as_str()?.parse().ok());
    let lasts = lasts.filter(|lasts| (1..=10 * 366 * DAY).contains(lasts));
    Some(Fresh {
        access_token: token("access_token")?,
        refresh_token: token("refresh_token"),
        expires_at: lasts.map(|lasts| after(now, lasts)),
    })
}

fn refused(network: Network, body: &serde_json::Value, after_loss: bool) -> Renewed {
    let about_the_token =
        || body["error_description"].as_str().is_some_and(|text| text.to_ascii_lowercase().contains("token"));
    let about_the_client = || {
        body["error_description"].as_str().is_some_and(|text| text.to_ascii_lowercase().contains("client"))
    };
    match body["error"].as_str() {
        // `org_internal`: the app's consent screen is for its own organization alone.
        Some(
            "invalid_client"
            | "unauthorized_client"
            | "deleted_client"
            | "disabled_client"
            | "org_internal"
            | "invalid_scope"
            | "unsupported_grant_type",
        ) => Renewed::OurFault(OperatorFault::ClientRefused),
        // `admin_policy_enforced`: a company of Google's customers forbids the app.
        Some("invalid_grant" | "access_denied" | "admin_policy_enforced") => dead(network, after_loss),
        // For example "Value passed for the token was invalid.", "The token used in the request has been revoked by the
        // user".
        Some("invalid_request" | "revoked_token" | "expired_token") if about_the_token() => {
            dead(network, after_loss)
        }
        // For example "client_secret is missing." (Google), "A required parameter \"client_secret\" is missing"
        // (LinkedIn).
        Some("invalid_request") if about_the_client() => Renewed::OurFault(OperatorFault::ClientRefused),
        _ => Renewed::Unknown,
    }
}

fn dead(network: Network, after_loss: bool) -> Renewed {
    let rotates = renewal(network, GrantType::RefreshToken).is_some_and(|renewal| renewal.rotates);
    Renewed::Dead { lost: after_loss && rotates }
}
