//! The networks' signatures, as they make them, and the addresses that they push to.

use carteiro_networks::network::Network;
use carteiro_networks::push::signature::AppSecret;
use carteiro_networks::push::{address, split};
use carteiro_networks::{linkedin, meta, x, youtube};

/// A header's name and value.
type Header = (&'static str, String);

/// The path that a body is pushed to, and the header that signs it; no header for a network that does not push, or
/// without a secret.
pub(crate) fn path_and_header(route: Network, secret: &str, body: &[u8]) -> (String, Option<Header>) {
    let plain = format!("/push/{route}");
    let secrets = AppSecret::list(secret);
    let Some(secret) = secrets.first() else { return (plain, None) };
    match route {
        Network::Facebook | Network::Instagram => {
            (plain, Some((meta::signature::HEADER, meta::signature::sign(secret, body))))
        }
        Network::X => (plain, Some((x::signature::HEADER, x::signature::sign(secret, body)))),
        Network::Linkedin => (plain, Some((linkedin::push::HEADER, linkedin::push::sign(secret, body)))),
        Network::Youtube => {
            let channel = split(route, body).into_iter().find_map(|update| update.owners.into_iter().next());
            let Some(channel) = channel else { return (plain, None) };
            let own = address::secrets_of(&secrets, route, &channel);
            let header = own.first().map(|own| (youtube::push::HEADER, youtube::push::sign(own, body)));
            (address::of_page("", route, &channel, &secrets).unwrap_or(plain), header)
        }
        Network::GooglePlay => (plain, None),
    }
}
