//! How networks prove that a push is theirs, and how they check that an address is ours.
//!
//! Signatures are over the body's bytes as they arrived, and are compared in constant time with the text that we would
//! have sent: so no second spelling of a signature passes.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The longest challenge that is answered, in bytes. Meta's are integers, X's are some 50 characters.
pub const MAX_CHALLENGE_BYTES: usize = 512;

/// What a signature begins with.
pub(crate) const PREFIX: &str = "sha256=";

/// A network's secret with us: an app's secret, or the token of Meta's handshake. It is never printed.
#[derive(Clone)]
pub struct AppSecret(String);

impl AppSecret {
    /// The secrets of a comma-separated list, in its order: the one in use first, one that is being replaced after it.
    /// Spaces around them, and empty ones, are left out.
    #[must_use]
    pub fn list(text: &str) -> Vec<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| Self(part.to_owned())).collect()
    }

    /// The HMAC-SHA256 of bytes.
    pub(crate) fn mac(&self, bytes: &[u8]) -> Option<[u8; 32]> {
        self.mac_of([bytes])
    }

    /// The HMAC-SHA256 of parts, one after the other.
    pub(crate) fn mac_of<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Option<[u8; 32]> {
        // HMAC takes a key of any length, so this is always Some.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).ok()?;
        parts.into_iter().for_each(|part| mac.update(part));
        Some(mac.finalize().into_bytes().into())
    }

    /// The HMAC-SHA1 of bytes, which WebSub's hubs sign with.
    pub(crate) fn mac_sha1(&self, bytes: &[u8]) -> Option<[u8; 20]> {
        let mut mac = Hmac::<Sha1>::new_from_slice(self.0.as_bytes()).ok()?;
        mac.update(bytes);
        Some(mac.finalize().into_bytes().into())
    }

    /// A secret that is derived from this one for a purpose, so that whoever learns it knows no other.
    pub(crate) fn derived(&self, purpose: [&str; 3]) -> Option<Self> {
        // No part has a line feed in it.
        self.mac(purpose.join("\n").as_bytes()).map(|mac| Self(hexadecimal(&mac)))
    }

    /// The secret itself, for the one request that hands it over.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppSecret(…)")
    }
}

/// Whether a signature of a body was made with one of the secrets: `sha256=` and the code in this encoding.
pub(crate) fn is_signed(
    secrets: &[AppSecret],
    signature: &str,
    body: &[u8],
    encode: fn(&[u8; 32]) -> String,
) -> bool {
    let given = signature.strip_prefix(PREFIX);
    given.is_some_and(|given| is_code(secrets, given, |secret| secret.mac(body).map(|mac| encode(&mac))))
}

/// Whether a text is the code that one of the secrets makes.
pub(crate) fn is_code(
    secrets: &[AppSecret],
    given: &str,
    code: impl Fn(&AppSecret) -> Option<String>,
) -> bool {
    // Every secret is tried, so that the time does not tell which one fits.
    let fits = |secret: &AppSecret| {
        code(secret).map_or(Choice::from(0), |code| code.as_bytes().ct_eq(given.as_bytes()))
    };
    secrets.iter().map(fits).fold(Choice::from(0), |any, one| any | one).into()
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text is one of the secrets. Digests are compared, for a comparison of texts would tell their lengths.
pub(crate) fn is_one_of(secrets: &[AppSecret], text: &str) -> bool {
    let digest = Sha256::digest(text);
    let is = |one: &AppSecret| Sha256::digest(&one.0).as_slice().ct_eq(digest.as_slice());
    secrets.iter().map(is).fold(Choice::from(0), |any, one| any | one).into()
}

/// Why a network's check of our address is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// A parameter is missing, or not of a form that the network sends.
    #[error("the challenge is missing or malformed")]
    Malformed,
    /// The verify token is another one, or there is none or no secret to answer with.
    #[error("the challenge is not for this address")]
    Refused,
    /// It is about something that we do not want, or not at this address.
    #[error("the challenge is about nothing that is wanted here")]
    Unwanted,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{linkedin, meta, x, youtube};

    /// How a network signs, and how that is checked.
    type Scheme = (fn(&AppSecret, &[u8]) -> String, fn(&[AppSecret], &str, &[u8]) -> bool);

    /// Those of the networks that sign in a way of their own.
    const SCHEMES: [Scheme; 4] = [
        (meta::signature::sign, meta::signature::is_genuine),
        (x::signature::sign, x::signature::is_genuine),
        (linkedin::push::sign, linkedin::push::is_genuine),
        (youtube::push::sign, youtube::push::is_genuine),
    ];

    proptest! {
        #[test]
        fn one_altered_byte_of_body_or_signature_is_refused(
            content in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "\\PC{0,60}".prop_map(String::into_bytes),
            ],
            at in any::<proptest::sample::Index>(),
            other in 1_u8..,
        ) {
            let secrets = AppSecret::list("a,b");
            let body = [b"{".as_slice(), &content].concat();
            let mut altered = body.clone();
            altered[at.index(body.len())] ^= other;
            for ((sign, is_genuine), secret) in
                SCHEMES.into_iter().flat_map(|scheme| secrets.iter().map(move |secret| (scheme, secret)))
            {
                let signature = sign(secret, &body);
                prop_assert!(is_genuine(&secrets, &signature, &body));
                prop_assert!(!is_genuine(&secrets, &signature, &altered));
                let mut bytes = signature.into_bytes();
                let at = at.index(bytes.len());
                bytes[at] = (bytes[at] ^ other) & 0x7f;
                let altered = String::from_utf8(bytes).unwrap();
                prop_assert_eq!(is_genuine(&secrets, &altered, &body), other & 0x7f == 0);
            }
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", AppSecret::list("abc,def")), "[AppSecret(…), AppSecret(…)]");
    }
}
