//! YouTube: a channel's videos, and the comments on them.

pub mod collect;
mod coverage;
mod normalise;
pub mod push;
mod subscription;

use std::borrow::Cow;
use std::time::Duration;

use crate::poll::budget::{IdleCost, KEPT_BACK, Limit, LimitScope, Window};
use crate::poll::refresh::{GrantType, Renewal};
use crate::poll::settings::ApiSettings;
use crate::spec::{CompletionSpec, FIVE_MINUTES, NetworkSpec, TokenSpec};
use crate::storage_limit::StorageTerm;

/// The parameter that names the channel in the address of its pushes.
const PUSH_PARAMETER: &str = "channel";

/// How long authorised data may be kept.
const STORAGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The network, as the shared parts see it.
pub static SPEC: NetworkSpec = NetworkSpec {
    name: "youtube",
    title: "YouTube",
    environment: "YOUTUBE",
    push: Some(&push::PUSH),
    read: normalise::read,
    api: ApiSettings { version: Cow::Borrowed(collect::VERSION), page_size: 100, messages: true },
    version_ends: None,
    page_sizes: 1..=100,
    collect: collect::begin,
    // developers.google.com/youtube/v3/determine_quota_cost: of a project, unless it was given more.
    limits: &[Limit::new(&[], LimitScope::TheApp, Window::DayPacific, 10_000)],
    limit_header: None,
    // Videos and threads.
    idle_cost: Some(IdleCost { per_run: 2, sweeps: collect::SWEEPS, kept_back: KEPT_BACK }),
    least_calls: 8,
    ads: None,
    completion: Some(&CompletionSpec {
        request: collect::complete,
        read: |wanted, answer, _, now| collect::completed(wanted, answer, now),
        keeps_key: false,
    }),
    // developers.google.com/identity/protocols/oauth2: an access token lasts about an hour, and the refresh token
    // stays.
    token: TokenSpec {
        grant: |_, _| Some(GrantType::RefreshToken),
        renewals: &[Renewal::WITH_REFRESH_TOKEN],
        renew_ahead: FIVE_MINUTES,
        app: Some("GOOGLE"),
        ..TokenSpec::NOT_RENEWED
    },
    // developers.google.com/youtube/terms/developer-policies, III.E.4: what was given to an authorised app must be
    // refreshed or deleted.
    storage: Some(StorageTerm { profile: STORAGE, activity: STORAGE }),
    coverage: coverage::coverage,
};
