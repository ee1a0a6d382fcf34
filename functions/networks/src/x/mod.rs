//! X: a user's posts, the posts that name them, and their direct messages.

pub mod collect;
mod coverage;
mod normalise;
mod push;
pub mod signature;

use std::borrow::Cow;

use crate::poll::budget::{IdleCost, KEPT_BACK, Limit, LimitScope, Window};
use crate::poll::refresh::{GrantType, Renewal, Slot};
use crate::poll::settings::ApiSettings;
use crate::spec::{FIVE_MINUTES, NetworkSpec, PushSpec, TokenSpec, Unsigned};

/// The network, as the shared parts see it.
pub static SPEC: NetworkSpec = NetworkSpec {
    name: "x",
    title: "X",
    environment: "X",
    push: Some(&PushSpec {
        secrets: "X_CONSUMER_SECRETS",
        signature_header: signature::HEADER,
        is_genuine: signature::is_genuine,
        unsigned: Unsigned::Refused,
        page_parameter: None,
        challenge_secrets: "X_CONSUMER_SECRETS",
        challenge: signature::challenge,
        split: |_, body| push::split(body),
        subscription: None,
    }),
    read: normalise::read,
    api: ApiSettings { version: Cow::Borrowed(collect::VERSION), page_size: 100, messages: true },
    version_ends: None,
    page_sizes: 5..=100,
    collect: collect::begin,
    // docs.x.com, "Rate limits". That of `/2/users/me`, 75, is from memory.
    limits: &[
        Limit::new(&["me"], LimitScope::TheNetworkPage, Window::Quarter, 75),
        Limit::new(&["posts"], LimitScope::TheNetworkPage, Window::Quarter, 900),
        Limit::new(&["posts"], LimitScope::TheApp, Window::Quarter, 10_000),
        Limit::new(&["mentions"], LimitScope::TheNetworkPage, Window::Quarter, 300),
        Limit::new(&["mentions"], LimitScope::TheApp, Window::Quarter, 450),
        Limit::new(&["messages"], LimitScope::TheNetworkPage, Window::Quarter, 15),
    ],
    limit_header: Some("x-rate-limit-reset"),
    // One call of each limit: posts, mentions, messages.
    idle_cost: Some(IdleCost { per_run: 1, sweeps: 0, kept_back: KEPT_BACK }),
    // Whose it is, and each list twice.
    least_calls: 7,
    ads: None,
    completion: None,
    // docs.x.com, "OAuth 2.0": an access token lasts 2 hours. The refresh token is replaced with each renewal; that the
    // old one ends is from memory.
    token: TokenSpec {
        grant: |_, _| Some(GrantType::RefreshToken),
        renewals: &[Renewal {
            form: &[
                ("grant_type", Slot::Plain("refresh_token")),
                ("refresh_token", Slot::RefreshToken),
                ("client_id", Slot::ClientId),
            ],
            basic: true,
            rotates: true,
            ..Renewal::WITH_REFRESH_TOKEN
        }],
        renew_ahead: FIVE_MINUTES,
        app: Some("X"),
        ..TokenSpec::NOT_RENEWED
    },
    storage: None,
    coverage: coverage::coverage,
};
