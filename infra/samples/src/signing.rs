//! The networks' signatures, as they make them.

use carteiro_networks::network::Network;
use carteiro_networks::push::signature::{AppSecret, META_HEADER, X_HEADER, sign_as_meta, sign_as_x};

/// The header's name and value for a body; None for a network that does not push, or without a secret.
pub(crate) fn header(route: Network, secret: &str, body: &[u8]) -> Option<(&'static str, String)> {
    let secret = AppSecret::list(secret).into_iter().next()?;
    match route {
        Network::Facebook | Network::Instagram => Some((META_HEADER, sign_as_meta(&secret, body))),
        Network::X => Some((X_HEADER, sign_as_x(&secret, body))),
        Network::Youtube | Network::GooglePlay | Network::Linkedin => None,
    }
}
