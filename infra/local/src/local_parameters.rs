//! What the template's parameters are on this machine, where the command line does not set them.

use std::collections::BTreeMap;

use carteiro_core::key::KeyHash;
use carteiro_fake_networks::ADDRESSES;

/// The parameter that holds the hash of the admin key.
pub(crate) const ADMIN_KEY_PARAMETER: &str = "AdminKeySha256";

/// The values for this machine, `set` over them. `networks` is the address of the stand-ins; `admin_key` the hash of
/// the admin key, where this stack made it.
pub(crate) fn resolve(
    set: &[(String, String)],
    networks: &str,
    admin_key: Option<&KeyHash>,
) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> =
        ADDRESSES.iter().map(|(name, path)| ((*name).to_owned(), format!("{networks}{path}"))).collect();
    let mut local = |name: &str, value: &str| parameters.insert(name.to_owned(), value.to_owned());
    local("AllowedPrivateTargets", "127.0.0.0/8,::1/128");
    // So that pages can be tried with tokens that no stand-in knows.
    local("PushesNeedProof", "false");
    local("MetaAppSecrets", "local-meta-secret");
    local("MetaVerifyToken", "local-meta-verify");
    local("XConsumerSecrets", "local-x-secret");
    local("LinkedinClientSecrets", "local-linkedin-secret");
    local("LinkedinApplicationId", "1400000000000015");
    local("YoutubeHubSecret", "local-youtube-secret");
    // The stand-in for SES keeps what would have been sent.
    local("AlertSender", "carteiro@example.com");
    // With an app of its own X's tokens are renewed.
    local("XClientId", "local-x-client");
    match std::env::consts::ARCH {
        "x86_64" => _ = local("Architecture", "x86_64"),
        "aarch64" => _ = local("Architecture", "arm64"),
        // Lambda knows no other; the template's default then stands for what the functions are told.
        _ => {}
    }
    if let Some(hash) = admin_key {
        local(ADMIN_KEY_PARAMETER, hash.as_str());
    }
    parameters.extend(set.iter().cloned());
    parameters
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use carteiro_core::key::ApiKey;

    use super::*;

    fn declared() -> String {
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml")).unwrap()
    }

    #[test]
    fn no_parameter_of_the_template_points_at_a_real_network() {
        let template = declared();
        let in_template: BTreeSet<_> = template
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
            .filter(|name| {
                name.ends_with("BaseUrl") || name.ends_with("TokenUrl") || name.ends_with("HubUrl")
            })
            // The deployment's own.
            .filter(|name| *name != "PushBaseUrl")
            .collect();
        assert_eq!(in_template, ADDRESSES.iter().map(|(name, _)| *name).collect());
        let parameters = resolve(&[], "http://127.0.0.1:1", None);
        assert_eq!(parameters["FacebookBaseUrl"], "http://127.0.0.1:1/facebook");
        assert!(parameters.iter().all(|(_, value)| !value.contains("https")), "{parameters:?}");
    }

    #[test]
    fn the_template_takes_the_local_values() {
        let hash = ApiKey::from_random([1; 32]).hash();
        let parameters = resolve(&[], "http://127.0.0.1:1", Some(&hash));
        carteiro_local::Template::parse(&declared(), &parameters, "http://127.0.0.1:2").unwrap();
        assert_eq!(parameters[ADMIN_KEY_PARAMETER], hash.as_str());
    }

    #[test]
    fn what_is_set_wins() {
        let set = [("XBaseUrl".to_owned(), "a".to_owned()), ("FailureThreshold".to_owned(), "5".to_owned())];
        let parameters = resolve(&set, "http://127.0.0.1:1", None);
        assert_eq!((&*parameters["XBaseUrl"], &*parameters["FailureThreshold"]), ("a", "5"));
    }
}
