//! [Standard Webhooks](https://www.standardwebhooks.com) signatures, `v1`: HMAC-SHA256 over `id.timestamp.body`.
//!
//! Source: the specification's version 1.0.0, `spec/standard-webhooks.md`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// How far a timestamp may be from the receiver's clock, in seconds: what the reference libraries use.
pub const TOLERANCE_SECONDS: i64 = 300;

const PREFIX: &str = "whsec_";

/// A webhook's secret: 24 to 64 bytes, shown as `whsec_<base64>`. It is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Secret(Vec<u8>);

/// A text that is no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret is whsec_ followed by 24 to 64 bytes in base64")]
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

    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> Option<[u8; 32]> {
        // HMAC takes a key of any length, so this is always Some.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(mac.finalize().into_bytes().into())
    }
}

impl FromStr for Secret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        if (24..=64).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(InvalidSecret) }
    }
}

impl TryFrom<String> for Secret {
    type Error = InvalidSecret;

    fn try_from(text: String) -> Result<Self, InvalidSecret> {
        text.parse()
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        secret.reveal()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The value of `webhook-signature`: one `v1,<base64>` per secret, separated by spaces. `timestamp` is the attempt's,
/// in Unix seconds.
#[must_use]
pub fn sign<'a>(
    secrets: impl IntoIterator<Item = &'a Secret>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> String {
    let one =
        |secret: &Secret| secret.mac(id, timestamp, body).map(|mac| format!("v1,{}", STANDARD.encode(mac)));
    secrets.into_iter().filter_map(one).collect::<Vec<_>>().join(" ")
}

/// Why a signature does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A header is missing or malformed.
    #[error("webhook-id, webhook-timestamp or webhook-signature is missing or malformed")]
    Headers,
    /// Older or newer than [`TOLERANCE_SECONDS`].
    #[error("the timestamp is more than {TOLERANCE_SECONDS} s from now")]
    Timestamp,
    /// No `v1` signature in the list fits.
    #[error("no signature fits")]
    Mismatch,
}

/// Verifies a delivery as a receiver does. `now` is in Unix seconds.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify(
    secret: &Secret,
    id: &str,
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now: i64,
) -> Result<(), VerifyError> {
    let seconds: i64 = timestamp.parse().map_err(|_| VerifyError::Headers)?;
    if id.is_empty() || signature.is_empty() {
        return Err(VerifyError::Headers);
    }
    if now.saturating_sub(seconds).saturating_abs() > TOLERANCE_SECONDS {
        return Err(VerifyError::Timestamp);
    }
    let expected = secret.mac(id, seconds, body).ok_or(VerifyError::Mismatch)?;
    let fits = signature.split(' ').filter_map(|one| one.strip_prefix("v1,")).any(|encoded| {
        STANDARD.decode(encoded).is_ok_and(|given| bool::from(given.as_slice().ct_eq(expected.as_slice())))
    });
    if fits { Ok(()) } else { Err(VerifyError::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const AT: i64 = 1_614_265_330;

    fn published() -> Secret {
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap()
    }

    #[test]
    fn the_published_vector_is_signed_as_published() {
        let signature = sign([&published()], ID, AT, BODY);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_of_a_rotation_verifies() {
        let other = Secret::from_random([3; 32]);
        let signature = sign([&published(), &other], ID, AT, BODY);
        for secret in [published(), other] {
            assert_eq!(verify(&secret, ID, &AT.to_string(), &signature, BODY, AT), Ok(()));
        }
        let third = Secret::from_random([4; 32]);
        assert_eq!(verify(&third, ID, &AT.to_string(), &signature, BODY, AT), Err(VerifyError::Mismatch));
    }

    #[test]
    fn any_change_of_id_time_or_body_is_noticed() {
        let secret = published();
        let signature = sign([&secret], ID, AT, BODY);
        let at = AT.to_string();
        assert_eq!(verify(&secret, "msg_x", &at, &signature, BODY, AT), Err(VerifyError::Mismatch));
        assert_eq!(verify(&secret, ID, "1614265331", &signature, BODY, AT), Err(VerifyError::Mismatch));
        assert_eq!(verify(&secret, ID, &at, &signature, b"{}", AT), Err(VerifyError::Mismatch));
        assert_eq!(verify(&secret, ID, &at, &signature, BODY, AT + 301), Err(VerifyError::Timestamp));
        assert_eq!(verify(&secret, ID, "x", &signature, BODY, AT), Err(VerifyError::Headers));
        assert_eq!(verify(&secret, ID, &at, "v2,abc", BODY, AT), Err(VerifyError::Mismatch));
    }

    #[test]
    fn a_secret_has_24_to_64_bytes_and_is_never_printed() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![1; bytes]));
        assert!(of(23).parse::<Secret>().is_err());
        assert!(of(24).parse::<Secret>().is_ok());
        assert!(of(64).parse::<Secret>().is_ok());
        assert!(of(65).parse::<Secret>().is_err());
        assert!("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse::<Secret>().is_err());
        assert!(!format!("{:?}", published()).contains("MfKQ"));
        assert_eq!(published().reveal().parse::<Secret>().unwrap(), published());
    }
}
