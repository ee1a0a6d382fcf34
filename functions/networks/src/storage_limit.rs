//! How long a network lets be kept what it gave, whatever waits for it: the one thing that deletes an item outright.
//!
//! Each network's [terms](crate::spec::NetworkSpec::storage) say how long. The time counts from when an item was
//! collected. Of a network without terms no such rule is known; the deployment's own retention is what bounds it.

use std::time::Duration;

use jiff::Timestamp;

use crate::collected::Author;
use crate::network::Network;
use carteiro_core::retention::after;

/// How long a network lets be kept what it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageTerm {
    /// What names a person: the profile data of members who are not ours.
    pub profile: Duration,
    /// All else.
    pub activity: Duration,
}

/// How long an item of a network's, by this author, may be kept after it was collected; none where no limit is known.
/// An id alone is no profile.
#[must_use]
pub fn of(network: Network, author: Option<&Author>) -> Option<Duration> {
    let term = network.spec().storage?;
    let named = author.is_some_and(|author| author.name.is_some() || author.username.is_some());
    Some(if named { term.profile } else { term.activity })
}

/// Until when an item of a network's, by this author, may be kept that was collected then; none where no limit is
/// known.
#[must_use]
pub fn keep_until(network: Network, author: Option<&Author>, collected_at: Timestamp) -> Option<Timestamp> {
    of(network, author).map(|limit| after(collected_at, limit))
}

/// The longest that anything of a network's may be kept.
#[must_use]
pub fn longest(network: Network) -> Option<Duration> {
    of(network, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_longer_than_its_network_allows() {
        let named = Author { id: Some("urn:li:person:1".into()), name: Some("Ana".into()), username: None };
        let unnamed = Author { name: None, ..named.clone() };
        for network in Network::ALL {
            assert_eq!(of(network, Some(&named)), network.spec().storage.map(|term| term.profile));
            for author in [None, Some(&named), Some(&unnamed)] {
                assert!(of(network, author) <= longest(network), "{network}");
            }
        }
    }
}
