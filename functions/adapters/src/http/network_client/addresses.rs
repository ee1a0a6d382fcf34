//! Where networks are: two addresses of each, and the hubs that push for some, which are settings.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use carteiro_networks::network::Network;
use carteiro_networks::page::{AccessToken, Login};
use carteiro_networks::poll::Endpoint;
use http::Uri;

use crate::runtime::settings::SettingsReader;

/// An address below which something is asked, or to which a renewal is posted: `https`, or, for a network that is
/// played on this machine, `http` with a loopback host (`127.0.0.0/8`, `[::1]`, `localhost`), for tokens go there. It
/// has no user, query or fragment. Its path may be any.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

/// A text that is no such address. The text is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an https URL is expected, or an http URL of a loopback host, without user, query and fragment")]
pub struct InvalidAddress;

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let uri: Uri = text.parse().map_err(|_| InvalidAddress)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(InvalidAddress)?;
        let is_safe = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_loopback(host),
            _ => false,
        };
        // A fragment is cut off where a URI is read.
        if is_safe && !text.contains(['@', '?', '#']) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidAddress)
        }
    }
}

pub(in crate::http) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Address {
    /// The URL as it was given, for requests that are posted to it.
    pub(super) fn whole(&self) -> &str {
        &self.0
    }

    /// The URL without a slash at its end, for requests below it.
    pub(in crate::http) fn base(&self) -> &str {
        self.0.trim_end_matches('/')
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The two addresses of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// `…BaseUrl`: where its API is.
    pub api: Address,
    /// `…TokenUrl`. For Facebook and Instagram, token inspections are below it. For the others, renewals are posted to
    /// it.
    pub token: Address,
}

/// The addresses of all networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    pairs: BTreeMap<Network, Pair>,
    hubs: BTreeMap<Network, Address>,
}

impl Addresses {
    /// Reads them from the environment that the template sets: `FACEBOOK_BASE_URL`, `FACEBOOK_TOKEN_URL`, … None where
    /// one is missing or wrong, which the reader keeps.
    pub fn read(reader: &mut SettingsReader<'_>) -> Option<Self> {
        let mut pair = |network: Network| {
            let name = network.spec().environment;
            let api = reader.parsed(&format!("{name}_BASE_URL"));
            let token = reader.parsed(&format!("{name}_TOKEN_URL"));
            Some((network, Pair { api: api?, token: token? }))
        };
        // All of them are read first, so that every error is reported.
        let pairs = Network::ALL.map(&mut pair);
        let mut hub = |network: Network| {
            let name = network.spec().push?.subscription?.hub?;
            Some(reader.parsed(name).map(|hub| (network, hub)))
        };
        let hubs: Vec<_> = Network::ALL.into_iter().filter_map(&mut hub).collect();
        let pairs = pairs.into_iter().collect::<Option<_>>();
        pairs.zip(hubs.into_iter().collect::<Option<_>>()).map(|(pairs, hubs)| Self { pairs, hubs })
    }

    /// Where a network's requests with a page's token go; None of a network without addresses.
    pub(super) fn of_page(
        &self,
        network: Network,
        (token, login): (&AccessToken, Option<Login>),
        endpoint: Endpoint,
    ) -> Option<&Address> {
        let route = network.spec().token.route;
        let (network, endpoint) = route.map_or((network, endpoint), |route| route(token, login, endpoint));
        let pair = self.pairs.get(&network);
        match endpoint {
            Endpoint::Api => pair.map(|pair| &pair.api),
            Endpoint::Token => pair.map(|pair| &pair.token),
            Endpoint::Hub => self.hubs.get(&network),
        }
    }

    /// Where a network's renewals are posted to.
    pub(super) fn of_renewal(&self, network: Network) -> Option<&Address> {
        self.pairs.get(&network).map(|pair| &pair.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_on_this_machine() {
        for good in [
            "https://graph.facebook.com",
            "https://oauth2.googleapis.com/token",
            "https://10.0.0.1:8443/a/",
            "http://127.0.0.1:4001/facebook",
            "http://127.9.9.9",
            "http://[::1]:80/x",
            "http://localhost:1/x/token",
        ] {
            assert_eq!(good.parse::<Address>().unwrap().whole(), good);
        }
        for bad in [
            "",
            "graph.facebook.com",
            "/token",
            "http://graph.facebook.com",
            "http://10.0.0.1/",
            "http://localhost.example.com/",
            "ftp://localhost/",
            "https://",
            "https://user:secret@graph.facebook.com",
            "https://graph.facebook.com/?a=b",
            "https://graph.facebook.com/#a",
            "https://graph facebook.com",
        ] {
            assert_eq!(bad.parse::<Address>(), Err(InvalidAddress), "{bad}");
        }
    }

    fn addresses() -> Addresses {
        let lookup = |name: &str| Some(format!("https://{}.example", name.to_lowercase().replace('_', "-")));
        Addresses::read(&mut SettingsReader::new(&lookup)).unwrap()
    }

    #[test]
    fn each_instagram_login_has_its_own_host() {
        let addresses = addresses();
        let of = |network, token: &str, endpoint| {
            let token = AccessToken::from_stored(token.to_owned());
            addresses.of_page(network, (&token, None), endpoint).unwrap().whole()
        };
        let host = "https://instagram-token-url.example";
        for endpoint in [Endpoint::Api, Endpoint::Token] {
            assert_eq!(of(Network::Instagram, "IGAA", endpoint), host);
        }
        let (facebook, api, token) = ("EAA", Endpoint::Api, Endpoint::Token);
        assert_eq!(of(Network::Instagram, facebook, api), "https://instagram-base-url.example");
        assert_eq!(of(Network::Instagram, facebook, token), "https://facebook-token-url.example");
        assert_eq!(of(Network::Facebook, facebook, api), "https://facebook-base-url.example");
        assert_eq!(of(Network::Facebook, facebook, token), "https://facebook-token-url.example");
        assert_eq!(of(Network::GooglePlay, facebook, api), "https://google-play-base-url.example");
        let token = AccessToken::from_stored(facebook.to_owned());
        let told = |login| addresses.of_page(Network::Instagram, (&token, Some(login)), api).unwrap().whole();
        assert_eq!(told(Login::Instagram), host, "what its owner says comes before the token's letters");
        assert_eq!(told(Login::Unified), "https://instagram-base-url.example");
        assert_eq!(addresses.of_renewal(Network::X).unwrap().whole(), "https://x-token-url.example");
    }

    #[test]
    fn every_address_that_is_missing_or_wrong_is_named() {
        let lookup = |name: &str| match name {
            "X_TOKEN_URL" => None,
            "LINKEDIN_BASE_URL" => Some("http://api.linkedin.com".to_owned()),
            _ => Some("https://a.example".to_owned()),
        };
        let mut reader = SettingsReader::new(&lookup);
        let addresses = Addresses::read(&mut reader);
        let error = reader.finish(addresses).unwrap_err().to_string();
        assert!(error.contains("X_TOKEN_URL is missing") && error.contains("LINKEDIN_BASE_URL is malformed"));
        assert!(!error.contains("api.linkedin.com"), "{error}");
    }
}
