//! The network behind each name.

use carteiro_networks::network::Network;

use crate::shelf::Api;
use crate::{facebook, googleplay, instagram, linkedin, x, youtube};

/// A network's stand-in.
pub(crate) fn of(network: Network) -> &'static dyn Api {
    match network {
        Network::Facebook => &facebook::Facebook,
        Network::Instagram => &instagram::Instagram,
        Network::X => &x::X,
        Network::Youtube => &youtube::Youtube,
        Network::GooglePlay => &googleplay::GooglePlay,
        Network::Linkedin => &linkedin::Linkedin,
    }
}
