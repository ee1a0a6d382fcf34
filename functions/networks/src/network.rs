//! The networks that pages live on, and the ids that they give to pages.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest id of a network's, in bytes.
pub const MAX_NETWORK_ID_BYTES: usize = 128;

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Facebook Pages.
    Facebook,
    /// Instagram professional accounts.
    Instagram,
    /// X.
    X,
    /// YouTube channels.
    Youtube,
    /// Google Play's reviews of an app.
    GooglePlay,
    /// LinkedIn company pages.
    Linkedin,
    /// The tests' own, which shows that the shared parts name no network.
    #[cfg(test)]
    Seventh,
}

impl Network {
    /// Every network, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Facebook, Self::Instagram, Self::X, Self::Youtube, Self::GooglePlay, Self::Linkedin];

    /// The name in paths, tables and items.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.spec().name
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network is facebook, instagram, x, youtube, googleplay or linkedin")]
pub struct InvalidNetwork;

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        Self::ALL.into_iter().find(|network| network.as_str() == text).ok_or(InvalidNetwork)
    }
}

/// A network's id of a page, such as a channel's id or the name of an app's package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkId(String);

/// A text that no network gives as an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network's id is 1 to {MAX_NETWORK_ID_BYTES} letters, digits or any of . _ - :")]
pub struct InvalidNetworkId;

impl NetworkId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NetworkId {
    type Err = InvalidNetworkId;

    fn from_str(text: &str) -> Result<Self, InvalidNetworkId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-:".contains(&b);
        if (1..=MAX_NETWORK_ID_BYTES).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidNetworkId)
        }
    }
}

carteiro_core::stored_as_text!(NetworkId, |id| id.0);

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_survives_its_name_and_json() {
        for network in Network::ALL {
            assert_eq!(network.as_str().parse(), Ok(network));
            assert_eq!(serde_json::to_value(network).unwrap(), network.as_str());
        }
        assert!("Facebook".parse::<Network>().is_err());
    }

    #[test]
    fn ids_that_would_need_escaping_are_refused() {
        for id in ["1234567890321", "UCabc-_9", "com.example.app", "0", "urn:li:organization:1"] {
            assert_eq!(id.parse::<NetworkId>().unwrap().as_str(), id);
        }
        for id in ["", "a b", "a#b", "é", "a/b", &"x".repeat(129)] {
            assert!(id.parse::<NetworkId>().is_err(), "{id}");
        }
    }
}
