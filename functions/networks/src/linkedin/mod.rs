//! LinkedIn: a company's page, its posts, and what others do with them.

pub mod collect;
mod coverage;
pub(crate) mod normalise;
pub mod push;
mod subscription;

use std::borrow::Cow;
use std::time::Duration;

use crate::poll::budget::{IdleCost, Limit, LimitScope, Window};
use crate::poll::refresh::{GrantType, Renewal};
use crate::poll::settings::ApiSettings;
use crate::spec::{CompletionSpec, NetworkSpec, TokenSpec, WEEK};
use crate::storage_limit::StorageTerm;

/// The network, as the shared parts see it.
pub static SPEC: NetworkSpec = NetworkSpec {
    name: "linkedin",
    title: "LinkedIn",
    environment: "LINKEDIN",
    push: Some(&push::PUSH),
    read: normalise::read,
    api: ApiSettings { version: Cow::Borrowed(collect::VERSION), page_size: 100, messages: true },
    version_ends: Some(collect::version_ends),
    page_sizes: collect::OVERLAP + 1..=100,
    collect: collect::begin,
    // learn.microsoft.com/linkedin, "Rate limits", the development tier's; the standard tier's are not published. The
    // page stands for the member whose token it has.
    limits: &[
        Limit::new(&[], LimitScope::TheNetworkPage, Window::DayUtc, 100),
        Limit::new(&[], LimitScope::TheApp, Window::DayUtc, 500),
    ],
    limit_header: None,
    // Notifications, posts, and the comments of one post. A quarter is kept back, for each post with new comments takes
    // a call.
    idle_cost: Some(IdleCost { per_run: 3, sweeps: 0, kept_back: 250 }),
    least_calls: 6,
    ads: None,
    completion: Some(&CompletionSpec {
        request: |wanted, _, api| collect::complete(wanted, api),
        read: |wanted, answer, _, now| collect::completed(wanted, answer, now),
        keeps_key: false,
    }),
    // learn.microsoft.com/linkedin, "Refresh tokens": an access token lasts 60 days; the refresh token stays, to a
    // fixed end 365 days after the first grant.
    token: TokenSpec {
        grant: |_, _| Some(GrantType::RefreshToken),
        renewals: &[Renewal::WITH_REFRESH_TOKEN],
        renew_ahead: WEEK,
        app: Some("LINKEDIN"),
        ..TokenSpec::NOT_RENEWED
    },
    // learn.microsoft.com/linkedin, "Data storage requirements" (2026-02-02): other members' profile data for 24 hours,
    // social activity for 48. The page's own posts are counted to it, for no longer rule is known.
    storage: Some(StorageTerm {
        profile: Duration::from_secs(24 * 3600),
        activity: Duration::from_secs(48 * 3600),
    }),
    coverage: coverage::coverage,
};
