//! The networks' signatures, as they make them.

use carteiro_networks::network::Network;
use carteiro_networks::push::signature::AppSecret;
use carteiro_networks::{meta, x};

/// The header's name and value for a body; None for a network that does not push, or without a secret.
pub(crate) fn header(route: Network, secret: &str, body: &[u8]) -> Option<(&'static str, String)> {
    let secret = AppSecret::list(secret).into_iter().next()?;
    match route {
        Network::Facebook | Network::Instagram => {
            Some((meta::signature::HEADER, meta::signature::sign(&secret, body)))
        }
        Network::X => Some((x::signature::HEADER, x::signature::sign(&secret, body))),
        Network::Youtube | Network::GooglePlay | Network::Linkedin => None,
    }
}
