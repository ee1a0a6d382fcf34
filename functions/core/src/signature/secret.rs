//! Secrets of `v1`: what both sides share.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

const PREFIX: &str = "whsec_";

/// The fewest bytes of a secret, by the specification.
pub const MIN_SECRET_BYTES: usize = 24;
/// The most bytes of a secret, by the specification.
pub const MAX_SECRET_BYTES: usize = 64;

/// A webhook's secret: 24 to 64 bytes, shown as `whsec_<base64>`. It is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Secret(Vec<u8>);

/// A text that is no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret is whsec_ followed by {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes in padded base64")]
pub struct InvalidSecret;

impl Secret {
    /// Makes a secret of 256 random bits.
    #[must_use]
    pub fn from_random(bits: [u8; 32]) -> Self {
        Self(bits.to_vec())
    }

    /// The secret as the receiver needs it: `whsec_…`.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    pub(super) fn mac(&self, head: &[u8], body: &[u8]) -> Option<[u8; 32]> {
        // HMAC takes a key of any length, so this is always Some.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(head);
        mac.update(body);
        Some(mac.finalize().into_bytes().into())
    }
}

impl FromStr for Secret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        let fits = (MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&bytes.len());
        if fits { Ok(Self(bytes)) } else { Err(InvalidSecret) }
    }
}

crate::stored_as_text!(Secret, |secret| secret.reveal());

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_24_to_64_bytes_and_is_never_printed() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![1; bytes]));
        assert!(of(23).parse::<Secret>().is_err());
        assert!(of(24).parse::<Secret>().is_ok());
        assert!(of(64).parse::<Secret>().is_ok());
        assert!(of(65).parse::<Secret>().is_err());
        let published: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        assert!(!format!("{published:?}").contains("MfKQ"));
        assert_eq!(published.reveal().parse::<Secret>().unwrap(), published);
    }

    #[test]
    fn an_ambiguous_secret_is_refused_and_not_repeated() {
        let good = format!("whsec_{}", STANDARD.encode([1; 32]));
        assert!(good.parse::<Secret>().is_ok());
        for bad in [
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            good.trim_end_matches('=').to_owned(),
            format!("{good} "),
            good.replace("whsec_", "whsk_"),
            good.replace("whsec_", "WHSEC_"),
            format!("whsec_{}", "_-".repeat(22)),
            // Bits that stand for nothing are not zero.
            good.replace("E=", "F="),
        ] {
            let error = bad.parse::<Secret>().expect_err(&bad);
            assert!(!error.to_string().contains("AQEB") && !error.to_string().contains("MfKQ"));
        }
    }
}
