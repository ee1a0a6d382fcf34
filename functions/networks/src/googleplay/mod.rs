//! Google Play: the reviews of an app. Its tokens are OAuth's, or the keys of service accounts.

pub mod collect;
mod coverage;
mod normalise;

use std::borrow::Cow;

use crate::poll::budget::{IdleCost, KEPT_BACK, Limit, LimitScope, Window};
use crate::poll::refresh::{GrantType, Renewal, Slot};
use crate::poll::settings::ApiSettings;
use crate::spec::{FIVE_MINUTES, NetworkSpec, TokenSpec};

/// A renewal with an [assertion](crate::google::service_account) that a service account's key signs.
const WITH_ASSERTION: Renewal = Renewal {
    grant: GrantType::ServiceAccount,
    form: &[
        ("grant_type", Slot::Plain("urn:ietf:params:oauth:grant-type:jwt-bearer")),
        ("assertion", Slot::Assertion),
    ],
    basic: false,
    rotates: false,
};

/// The network, as the shared parts see it.
pub static SPEC: NetworkSpec = NetworkSpec {
    name: "googleplay",
    title: "Google Play",
    environment: "GOOGLE_PLAY",
    push: None,
    read: normalise::read,
    api: ApiSettings { version: Cow::Borrowed(collect::VERSION), page_size: 100, messages: true },
    version_ends: None,
    page_sizes: 1..=100,
    collect: collect::begin,
    // developers.google.com/android-publisher/reply-to-reviews: for each app of Google Play's.
    limits: &[Limit::new(&[], LimitScope::TheNetworkPage, Window::Hour, 200)],
    limit_header: None,
    idle_cost: Some(IdleCost { per_run: 1, sweeps: collect::SWEEPS, kept_back: KEPT_BACK }),
    least_calls: 4,
    ads: None,
    completion: None,
    // developers.google.com/identity/protocols/oauth2: an access token lasts about an hour, and the refresh token
    // stays.
    token: TokenSpec {
        takes_service_account_key: true,
        grant: |token, _| {
            let is_key = token.reveal().starts_with('{');
            Some(if is_key { GrantType::ServiceAccount } else { GrantType::RefreshToken })
        },
        renewals: &[Renewal::WITH_REFRESH_TOKEN, WITH_ASSERTION],
        renew_ahead: FIVE_MINUTES,
        app: Some("GOOGLE"),
        ..TokenSpec::NOT_RENEWED
    },
    storage: None,
    coverage: coverage::coverage,
};
