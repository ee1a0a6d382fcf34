//! Which [`NetworkSpec`] each network has: the only place that names all of them.

use crate::network::Network;
use crate::spec::NetworkSpec;

impl Network {
    /// What the network is to the parts that all networks share.
    #[must_use]
    pub fn spec(self) -> &'static NetworkSpec {
        match self {
            Self::Facebook => &crate::facebook::SPEC,
            Self::Instagram => &crate::instagram::SPEC,
            Self::X => &crate::x::SPEC,
            Self::Youtube => &crate::youtube::SPEC,
            Self::GooglePlay => &crate::googleplay::SPEC,
            Self::Linkedin => &crate::linkedin::SPEC,
            #[cfg(test)]
            Self::Seventh => &crate::seventh::SPEC,
        }
    }
}
