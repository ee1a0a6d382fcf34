//! The networks' signatures, as they make them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carteiro_core::network::Network;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The header's name and value for a body; None for a network that does not push.
pub(crate) fn header(route: Network, secret: &str, body: &[u8]) -> Option<(&'static str, String)> {
    let digest = hmac(secret, body)?;
    match route {
        Network::Facebook | Network::Instagram => {
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(("x-hub-signature-256", format!("sha256={hex}")))
        }
        Network::X => Some(("x-twitter-webhooks-signature", format!("sha256={}", STANDARD.encode(digest)))),
        Network::Youtube | Network::GooglePlay | Network::Linkedin => None,
    }
}

fn hmac(secret: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(body);
    Some(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_public_examples() {
        // Source: machinat/sociably, meta-api tests (the digest recomputed with SHA-256); twitterdev/autohook.
        let meta =
            header(Network::Facebook, "_MY_SECRET_", br#"{"object":"foo","entry":[{"id":"1234567890"}]}"#);
        let digest = "213c1132c265fc81f96f8188d7ac50d549e3529e474b7dfa33f932696ea08451";
        assert_eq!(meta, Some(("x-hub-signature-256", format!("sha256={digest}"))));
        let x = header(Network::X, "test", br#"{"test_number":1,"test_string":"two"}"#);
        let digest = "YWHphPn/JFq43jkF0y4/w8R/SelmLjvpunhVFY8JhlI=";
        assert_eq!(x, Some(("x-twitter-webhooks-signature", format!("sha256={digest}"))));
        assert_eq!(header(Network::Youtube, "s", b"{}"), None);
    }
}
