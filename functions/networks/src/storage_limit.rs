//! How long a network lets be kept what it gave, whatever waits for it: the one thing that deletes an item outright.
//!
//! | network | how long | what |
//! |---|---|---|
//! | LinkedIn | 24 hours | what names a person: other members' profile data may only be cached |
//! | | 48 hours | all else: social activity; the page's own posts are counted to it, for no longer rule is known |
//! | YouTube | 30 days | what was given to an authorised app must be refreshed or deleted |
//!
//! The time counts from when an item was collected. Of the others no such rule is known; the deployment's own retention
//! is what bounds them.
//!
//! Sources: learn.microsoft.com/linkedin, "Data storage requirements" (2026-02-02: the shortest rule wins);
//! developers.google.com/youtube/terms/developer-policies, III.E.4 (networks.md 0.7).

use std::time::Duration;

use jiff::Timestamp;

use crate::collected::Author;
use crate::network::Network;
use carteiro_core::retention::after;

/// LinkedIn's social activity.
pub const LINKEDIN_ACTIVITY: Duration = Duration::from_secs(48 * 3600);
/// LinkedIn's members' profiles.
pub const LINKEDIN_PROFILE: Duration = Duration::from_secs(24 * 3600);
/// YouTube's authorised data.
pub const YOUTUBE: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long an item of a network's, by this author, may be kept after it was collected; none where no limit is known.
/// An id alone is no profile.
#[must_use]
pub fn of(network: Network, author: Option<&Author>) -> Option<Duration> {
    match network {
        Network::Linkedin => {
            let named = author.is_some_and(|author| author.name.is_some() || author.username.is_some());
            Some(if named { LINKEDIN_PROFILE } else { LINKEDIN_ACTIVITY })
        }
        Network::Youtube => Some(YOUTUBE),
        Network::Facebook | Network::Instagram | Network::X | Network::GooglePlay => None,
    }
}

/// Until when an item of a network's, by this author, may be kept that was collected then; none where no limit is known.
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
    fn what_names_a_person_on_linkedin_goes_first_and_nothing_stays_longer_than_its_network_allows() {
        let named = Author { id: Some("urn:li:person:1".into()), name: Some("Ana".into()), username: None };
        let unnamed = Author { name: None, ..named.clone() };
        assert_eq!(of(Network::Linkedin, Some(&named)), Some(LINKEDIN_PROFILE));
        assert_eq!(of(Network::Linkedin, Some(&unnamed)), Some(LINKEDIN_ACTIVITY));
        for network in Network::ALL {
            for author in [None, Some(&named), Some(&unnamed)] {
                assert!(of(network, author) <= longest(network), "{network}");
            }
        }
    }
}
