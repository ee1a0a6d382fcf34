//! Facebook Pages. What they share with Instagram is in [`meta`].

pub mod collect;
mod coverage;
pub(crate) mod normalise;

use std::borrow::Cow;

use crate::meta;
use crate::poll::settings::ApiSettings;
use crate::spec::{InspectionSpec, NetworkSpec, TokenSpec};

/// The network, as the shared parts see it.
pub static SPEC: NetworkSpec = NetworkSpec {
    name: "facebook",
    title: "Facebook",
    environment: "FACEBOOK",
    push: Some(&meta::PUSH),
    read: meta::normalise::read,
    api: ApiSettings { version: Cow::Borrowed(meta::collect::VERSION), page_size: 100, messages: true },
    version_ends: None,
    page_sizes: 1..=100,
    collect: collect::begin,
    limits: &[],
    limit_header: None,
    idle_cost: None,
    least_calls: u32::MAX,
    ads: Some(meta::collect::ADS_PERMISSION),
    completion: None,
    token: TokenSpec {
        inspection: Some(&InspectionSpec {
            permissions: |_, _| Some(&collect::PERMISSIONS),
            request: meta::token::inspect,
            read: meta::token::inspected,
        }),
        proof: Some(&meta::proof::PROOF),
        ..TokenSpec::NOT_RENEWED
    },
    storage: None,
    coverage: coverage::coverage,
};
