//! The address that pushes of a page come to, where a network has one for each page.
//!
//! `/push/<network>?<parameter>=<page>&key=<key>`: the parameter is the network's
//! ([`PushSpec::page_parameter`](crate::spec::PushSpec::page_parameter)). The *key* shows that we made the address: a
//! hub has one subscription for each address, so that a stranger who could name ours would replace it by one with
//! another secret, and stop the pushes. The key and the secret that pushes are signed with are derived from the
//! deployment's secret and the page, so that none of them tells another page's.

use std::fmt::Write as _;

use crate::network::{Network, NetworkId};
use crate::push::signature::{AppSecret, is_code};
use crate::spec::{PushSpec, Query};

/// The parameter of the key.
const KEY: &str = "key";
/// How many characters a key has.
const KEY_LENGTH: usize = 32;

/// The address of a page's pushes below the deployment's own. None where the network pushes nothing to us, or no
/// secret is set.
#[must_use]
pub fn of_page(base: &str, network: Network, page: &NetworkId, secrets: &[AppSecret]) -> Option<String> {
    let push = network.spec().push?;
    let mut address = format!("{}/push/{network}", base.trim_end_matches('/'));
    if let Some(parameter) = push.page_parameter {
        let key = key(secrets.first()?, network, page)?;
        // Writing to a String cannot fail.
        _ = write!(address, "?{parameter}={page}&{KEY}={key}");
    }
    Some(address)
}

/// The page that an address names, whether or not we made the address.
#[must_use]
pub fn page(push: &PushSpec, query: Query<'_>) -> Option<NetworkId> {
    query(push.page_parameter?)?.parse().ok()
}

/// Whether we made an address: its key was derived from one of the secrets.
pub(crate) fn is_ours(secrets: &[AppSecret], network: Network, page: &NetworkId, query: Query<'_>) -> bool {
    query(KEY).is_some_and(|given| is_code(secrets, given, |secret| key(secret, network, page)))
}

/// The secrets that a page's pushes may be signed with, of the deployment's in their order.
#[must_use]
pub fn secrets_of(secrets: &[AppSecret], network: Network, page: &NetworkId) -> Vec<AppSecret> {
    let derived =
        |secret: &AppSecret| secret.derived(["carteiro push secret 1", network.as_str(), page.as_str()]);
    secrets.iter().filter_map(derived).collect()
}

fn key(secret: &AppSecret, network: Network, page: &NetworkId) -> Option<String> {
    let key = secret.derived(["carteiro push address 1", network.as_str(), page.as_str()])?;
    key.reveal().get(..KEY_LENGTH).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_id(text: &str) -> NetworkId {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_ours_only_with_the_key_of_its_page() {
        let (secrets, network) = (AppSecret::list("new,old"), Network::Youtube);
        let address = of_page("https://a.example/", network, &page_id("UC1"), &secrets).unwrap();
        let key = address.strip_prefix("https://a.example/push/youtube?channel=UC1&key=").unwrap();
        assert_eq!(key.len(), KEY_LENGTH);
        let is = |secrets: &str, page: &str, key: Option<&str>| {
            let query = |name: &str| key.filter(|_| name == KEY);
            is_ours(&AppSecret::list(secrets), network, &page_id(page), &query)
        };
        assert!(is("new", "UC1", Some(key)) && is("other,new", "UC1", Some(key)));
        for (secrets, page, key) in [
            ("old", "UC1", Some(key)),
            ("new", "UC2", Some(key)),
            ("new", "UC1", None),
            ("new", "UC1", Some("")),
        ] {
            assert!(!is(secrets, page, key), "{secrets} {page} {key:?}");
        }
    }

    #[test]
    fn each_page_has_a_secret_of_its_own() {
        let of = |page: &str| secrets_of(&AppSecret::list("a,b"), Network::Youtube, &page_id(page));
        let (first, second) = (of("UC1"), of("UC2"));
        assert_eq!(first.len(), 2);
        let texts: std::collections::BTreeSet<_> =
            first.iter().chain(&second).map(|secret| secret.reveal().to_owned()).collect();
        assert_eq!(texts.len(), 4);
    }

    #[test]
    fn one_address_takes_all_pages_of_other_networks() {
        let of = |network, secrets: &str| {
            of_page("https://a.example", network, &page_id("1"), &AppSecret::list(secrets))
        };
        assert_eq!(of(Network::Linkedin, "").as_deref(), Some("https://a.example/push/linkedin"));
        assert_eq!(of(Network::Youtube, ""), None);
        assert_eq!(of(Network::GooglePlay, "a"), None);
    }
}
