//! The credentials of the deployment's own apps at the networks, which renew and inspect pages' tokens. They are never
//! printed.

use std::collections::BTreeMap;
use std::fmt;

use carteiro_adapters::runtime::settings::SettingsReader;
use carteiro_networks::network::Network;
use carteiro_networks::page::AccessToken;
use carteiro_networks::push::signature::AppSecret;

/// An app at a network, as OAuth names it.
pub(crate) struct OAuthClient {
    pub(crate) id: String,
    /// A public client has none.
    pub(crate) secret: Option<String>,
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OAuthClient(…)")
    }
}

/// The deployment's apps. Without its app a network's tokens are not renewed or inspected; pages are still collected.
#[derive(Debug, Default)]
pub(crate) struct Apps {
    /// Meta's own token of the app, with which pages' tokens are inspected.
    pub(crate) meta: Option<AccessToken>,
    /// The secrets that calls are proven with, by their environment variable.
    proofs: BTreeMap<&'static str, Vec<AppSecret>>,
    /// The OAuth clients, by the prefix of their environment variables.
    clients: BTreeMap<&'static str, OAuthClient>,
}

impl Apps {
    /// Reads them from what the template sets.
    pub(crate) fn read(reader: &mut SettingsReader<'_>) -> Self {
        let mut client = |app: &'static str| {
            let mut value = |name: &str| {
                let value: Option<String> = reader.parsed(&format!("{app}_CLIENT_{name}"));
                value.filter(|value| !value.is_empty())
            };
            let secret = value("SECRET");
            value("ID").map(|id| (app, OAuthClient { id, secret }))
        };
        let mut apps: Vec<_> = Network::ALL.iter().filter_map(|network| network.spec().token.app).collect();
        apps.dedup();
        let clients = apps.into_iter().filter_map(&mut client).collect();
        let meta: Option<String> = reader.parsed("META_APP_TOKEN");
        let meta = meta.filter(|token| !token.is_empty());
        let meta = meta
            .and_then(|token| reader.accept("META_APP_TOKEN", AccessToken::check(&token, Network::Facebook)));
        let variables = Network::ALL.iter().filter_map(|network| network.spec().token.proof);
        let secrets = |variable| AppSecret::list(&reader.optional(variable).unwrap_or_default());
        let proofs = variables.map(|proof| (proof.secrets, secrets(proof.secrets))).collect();
        Self { meta, proofs, clients }
    }

    /// The secrets that calls of a network are proven with; none where it takes no proof.
    pub(crate) fn secrets(&self, network: Network) -> &[AppSecret] {
        let proof = network.spec().token.proof;
        proof.and_then(|proof| self.proofs.get(proof.secrets)).map_or(&[], Vec::as_slice)
    }

    /// The app that renews a network's tokens.
    pub(crate) fn client(&self, network: Network) -> Option<&OAuthClient> {
        self.clients.get(network.spec().token.app?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_that_is_not_set_is_none_and_prints_no_secret() {
        let lookup = |name: &str| {
            Some(match name {
                "X_CLIENT_ID" => "id".to_owned(),
                "X_CLIENT_SECRET" | "META_APP_TOKEN" | "META_APP_SECRETS" => "planted|secret".to_owned(),
                _ => String::new(),
            })
        };
        let mut reader = SettingsReader::new(&lookup);
        let apps = Apps::read(&mut reader);
        assert!(reader.finish(Some(())).is_ok());
        assert!(apps.client(Network::X).is_some_and(|client| client.secret.is_some()));
        assert!(apps.client(Network::Youtube).is_none() && apps.client(Network::Linkedin).is_none());
        assert_eq!((apps.secrets(Network::Instagram).len(), apps.secrets(Network::X).len()), (1, 0));
        assert!(!format!("{apps:?}").contains("planted"));
    }

    #[test]
    fn a_malformed_token_is_named_and_not_shown() {
        let lookup =
            |name: &str| Some(if name == "META_APP_TOKEN" { "planted secret" } else { "" }.to_owned());
        let mut reader = SettingsReader::new(&lookup);
        Apps::read(&mut reader);
        let error = reader.finish(Some(())).unwrap_err().to_string();
        assert!(error.contains("META_APP_TOKEN") && !error.contains("planted"), "{error}");
    }
}
