//! Instagram's professional accounts. What they share with Facebook is in [`meta`].

pub mod collect;
mod coverage;
pub(crate) mod normalise;

use std::borrow::Cow;

use crate::meta;
use crate::network::Network;
use crate::page::{AccessToken, Login};
use crate::poll::Endpoint;
use crate::poll::refresh::GrantType;
use crate::poll::settings::ApiSettings;
use crate::spec::{CompletionSpec, InspectionSpec, NetworkSpec, SelfRenewal, TokenSpec};

/// Everything about a token of Instagram's own login is asked at its `…TokenUrl`; what a token of Facebook's login is,
/// Facebook says.
fn route(token: &AccessToken, login: Option<Login>, endpoint: Endpoint) -> (Network, Endpoint) {
    match (Login::of(token, login), endpoint) {
        (Login::Instagram, _) => (Network::Instagram, Endpoint::Token),
        (Login::Facebook | Login::Unified, Endpoint::Token) => (Network::Facebook, Endpoint::Token),
        (Login::Facebook | Login::Unified, endpoint) => (Network::Instagram, endpoint),
    }
}

/// The network, as the shared parts see it.
pub static SPEC: NetworkSpec = NetworkSpec {
    name: "instagram",
    title: "Instagram",
    environment: "INSTAGRAM",
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
    completion: Some(&CompletionSpec {
        request: collect::complete,
        read: collect::completed,
        keeps_key: true,
    }),
    token: TokenSpec {
        grant: |token, login| (Login::of(token, login) == Login::Instagram).then_some(GrantType::AccessToken),
        self_renewal: Some(&SelfRenewal {
            is_due: meta::token::refresh_is_due,
            request: meta::token::refresh,
            read: meta::token::refreshed,
        }),
        inspection: Some(&InspectionSpec {
            permissions: |token, login| {
                let login = Login::of(token, login);
                (login != Login::Instagram).then(|| login.permissions())
            },
            request: meta::token::inspect,
            read: meta::token::inspected,
        }),
        route: Some(route),
        logins: &Login::ALL,
        proof: Some(&meta::proof::PROOF),
        ..TokenSpec::NOT_RENEWED
    },
    storage: None,
    coverage: coverage::coverage,
};
