//! A seventh network, which exists in the tests alone: "Feira", whose shops get notes. It pushes them, and answers
//! lists of them. It shows that the shared parts know no network by name, and what it takes to add one.
//!
//! # To add a network
//! In this crate, which a test below holds to the list:
//! - its folder, with a [`NetworkSpec`] and what that names;
//! - `lib.rs`: the folder's module;
//! - `network.rs`: a variant of [`Network`], also in [`Network::ALL`];
//! - `registry.rs`: the arm that finds its `NetworkSpec`;
//! - `inbox.rs`: a variant of [`Shape`] for each form that its events have.
//!
//! Outside of it, which tests of the documents and of the template tell of:
//! - `template.yaml`: the parameters and environment variables of its two addresses, of its app and of its secrets, and
//!   its routes under `/push/`, with what subscribing takes where the collector does that;
//! - `functions/manage/src/openapi.json`: its name in the lists of networks;
//! - `tests/fixtures/pushes/<network>/`: bodies that it pushes;
//! - `infra/fake_networks/`: a stand-in of its API;
//! - the documents: `docs/coverage.md` is generated, the tables of networks are not.
//!
//! [`Network`]: crate::network::Network
//! [`Network::ALL`]: crate::network::Network::ALL
//! [`Shape`]: crate::inbox::Shape

mod collect;
mod normalise;
mod push;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use crate::collected::Kind;
use crate::coverage::ByAsking::Asked;
use crate::coverage::ByPush::Whole;
use crate::coverage::{ONCE, row};
use crate::poll::budget::{IdleCost, KEPT_BACK, Limit, LimitScope, Window};
use crate::poll::refresh::{GrantType, Renewal};
use crate::poll::settings::ApiSettings;
use crate::spec::{FIVE_MINUTES, NetworkSpec, PushSpec, TokenSpec, Unsigned};
use crate::storage_limit::StorageTerm;

/// The network, as the shared parts see it.
pub(crate) static SPEC: NetworkSpec = NetworkSpec {
    name: "seventh",
    title: "Feira",
    environment: "SEVENTH",
    push: Some(&PushSpec {
        secrets: "SEVENTH_SECRETS",
        signature_header: "x-feira-signature",
        is_genuine: push::is_genuine,
        unsigned: Unsigned::Refused,
        page_parameter: None,
        challenge_secrets: "SEVENTH_SECRETS",
        challenge: push::challenge,
        split: |_, body| push::split(body),
        subscription: None,
    }),
    read: normalise::read,
    api: ApiSettings { version: Cow::Borrowed("v1"), page_size: 50, messages: true },
    version_ends: None,
    page_sizes: 1..=50,
    collect: collect::begin,
    limits: &[Limit::new(&[], LimitScope::TheApp, Window::Hour, 100)],
    limit_header: None,
    idle_cost: Some(IdleCost { per_run: 1, sweeps: 0, kept_back: KEPT_BACK }),
    least_calls: 2,
    ads: None,
    completion: None,
    token: TokenSpec {
        grant: |_, _| Some(GrantType::RefreshToken),
        renewals: &[Renewal::WITH_REFRESH_TOKEN],
        renew_ahead: FIVE_MINUTES,
        app: Some("SEVENTH"),
        ..TokenSpec::NOT_RENEWED
    },
    storage: Some(StorageTerm {
        profile: Duration::from_secs(3600),
        activity: Duration::from_secs(24 * 3600),
    }),
    coverage: |kind| match kind {
        Kind::Comment => row((Whole(ONCE), ""), (Asked, "")),
        _ => None,
    },
};
