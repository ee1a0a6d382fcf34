//! What each network's stand-in is to the rest of the crate.

use carteiro_networks::network::Network;

use crate::request::{Reply, Request};
use crate::shelf::Shelf;
use crate::thing::{Kind, Published, Thing};
use crate::{facebook, googleplay, instagram, linkedin, x, youtube};

/// What an id is made of.
pub(crate) struct Draft<'a> {
    pub(crate) page: &'a str,
    pub(crate) thing: &'a Thing,
    /// What it is on in the end.
    pub(crate) root: Option<&'a str>,
    pub(crate) at_ms: u64,
    /// Different for each thing of a network.
    pub(crate) sequence: u64,
}

/// One network's API.
pub(crate) trait Api: Sync {
    /// What a call asks for, in one word: for the record, and for faults of such calls alone.
    fn kind(&self, request: &Request) -> String;

    /// The answer, with all limits and tokens heeded.
    fn answer(&self, shelf: &mut Shelf, request: &Request) -> Reply;

    /// How the network says that it failed.
    fn unavailable(&self, status: u16) -> Reply;

    /// How it says that a limit is spent. The limit stays spent until then.
    fn limited(&self, shelf: &mut Shelf, request: &Request, until_ms: u64) -> Reply;

    /// What can be published there.
    fn kinds(&self) -> &'static [Kind];

    /// A new thing's id.
    fn id(&self, draft: &Draft<'_>) -> String;

    /// The id that a thing has after an edit, where that is another.
    fn edited_id(&self, _thing: &Published, _now_ms: u64) -> Option<String> {
        None
    }
}

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

/// How long an access token lasts that a network gives out for a refresh token.
pub(crate) fn lasts_seconds(network: Network) -> Option<u64> {
    match network {
        Network::Facebook => None,
        Network::Instagram | Network::Linkedin => Some(60 * 24 * 3600),
        Network::X => Some(2 * 3600),
        Network::Youtube | Network::GooglePlay => Some(3600),
    }
}
