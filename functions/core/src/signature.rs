//! [Standard Webhooks](https://www.standardwebhooks.com) signatures over `id.timestamp.body`: `v1`, HMAC-SHA256 with a
//! [`Secret`] that both sides have, and `v1a`, ed25519 by a [`KeyPair`] of which the receiver has the [`PublicKey`].
//!
//! Source: the specification's version 1.0.0, `spec/standard-webhooks.md`, "Signature scheme" and "Webhook headers".
//! The specification leaves open what a `v1a` key's base64 holds ("standard ed25519 key pair"): see [`KeyPair`].

mod key_pair;
mod secret;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

pub use key_pair::{InvalidKey, KeyPair, PublicKey};
pub use secret::{InvalidSecret, MAX_SECRET_BYTES, MIN_SECRET_BYTES, Secret};

/// How far a timestamp may be from the receiver's clock, in seconds: what the reference libraries use.
pub const TOLERANCE_SECONDS: i64 = 300;

/// A key that makes one signature.
#[derive(Clone, Copy, Debug)]
pub enum Signer<'a> {
    /// `v1`.
    Secret(&'a Secret),
    /// `v1a`.
    KeyPair(&'a KeyPair),
}

impl<'a> From<&'a Secret> for Signer<'a> {
    fn from(secret: &'a Secret) -> Self {
        Self::Secret(secret)
    }
}

impl<'a> From<&'a KeyPair> for Signer<'a> {
    fn from(pair: &'a KeyPair) -> Self {
        Self::KeyPair(pair)
    }
}

impl Signer<'_> {
    fn sign(self, head: &[u8], body: &[u8]) -> Option<String> {
        match self {
            Self::Secret(secret) => secret.mac(head, body).map(|mac| format!("{V1}{}", STANDARD.encode(mac))),
            Self::KeyPair(pair) => {
                pair.sign(head, body).map(|signature| format!("{V1A}{}", STANDARD.encode(signature)))
            }
        }
    }
}

/// A key with which a receiver verifies signatures.
#[derive(Clone, Copy, Debug)]
pub enum Verifier<'a> {
    /// `v1`.
    Secret(&'a Secret),
    /// `v1a`.
    PublicKey(&'a PublicKey),
}

impl<'a> From<&'a Secret> for Verifier<'a> {
    fn from(secret: &'a Secret) -> Self {
        Self::Secret(secret)
    }
}

impl<'a> From<&'a PublicKey> for Verifier<'a> {
    fn from(key: &'a PublicKey) -> Self {
        Self::PublicKey(key)
    }
}

impl Verifier<'_> {
    fn fits(self, head: &[u8], body: &[u8], signatures: &str) -> bool {
        let given = |prefix: &'static str| {
            let of_scheme = signatures.split(' ').filter_map(move |signature| signature.strip_prefix(prefix));
            of_scheme.filter_map(|encoded| STANDARD.decode(encoded).ok())
        };
        match self {
            Self::Secret(secret) => secret.mac(head, body).is_some_and(|expected| {
                given(V1).any(|given| bool::from(given.as_slice().ct_eq(expected.as_slice())))
            }),
            Self::PublicKey(key) => given(V1A).any(|given| key.verifies(head, body, &given)),
        }
    }
}

const V1: &str = "v1,";
const V1A: &str = "v1a,";

/// The signed bytes before the body.
fn head(id: &str, timestamp: i64) -> Vec<u8> {
    format!("{id}.{timestamp}.").into_bytes()
}

/// The value of `webhook-signature`: `v1,<base64>` for each secret, `v1a,<base64>` for each key pair, separated by
/// spaces. `timestamp` is the attempt's, in Unix seconds.
#[must_use]
pub fn sign<'a, S: Into<Signer<'a>>>(
    signers: impl IntoIterator<Item = S>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> String {
    let head = head(id, timestamp);
    let signatures = signers.into_iter().filter_map(|signer| signer.into().sign(&head, body));
    signatures.collect::<Vec<_>>().join(" ")
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
    /// No signature in the list that is of the key's scheme fits.
    #[error("no signature fits")]
    Mismatch,
}

/// Verifies a delivery as a receiver does, by a secret or a public key. `now` is in Unix seconds.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify<'a>(
    key: impl Into<Verifier<'a>>,
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
    let fits = key.into().fits(&head(id, seconds), body, signature);
    if fits { Ok(()) } else { Err(VerifyError::Mismatch) }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

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
    fn both_kinds_of_signature_stand_side_by_side() {
        let (secret, pair) = (published(), KeyPair::from_random([5; 32]));
        let signers = [Signer::from(&secret), Signer::from(&pair)];
        let signature = sign(signers, ID, AT, BODY);
        let (v1, v1a) = signature.split_once(' ').unwrap();
        assert_eq!(v1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(v1a.starts_with("v1a,") && !v1a.contains(' '), "{v1a}");
        let (at, key) = (AT.to_string(), pair.public_key());
        assert_eq!(verify(&secret, ID, &at, &signature, BODY, AT), Ok(()));
        assert_eq!(verify(&key, ID, &at, &signature, BODY, AT), Ok(()));
        assert_eq!(verify(&key, ID, &at, v1, BODY, AT), Err(VerifyError::Mismatch));
        assert_eq!(verify(&secret, ID, &at, v1a, BODY, AT), Err(VerifyError::Mismatch));
        // The other scheme's bytes under this scheme's name are worth nothing.
        let renamed = v1a.replace("v1a,", "v1,");
        assert_eq!(verify(&secret, ID, &at, &renamed, BODY, AT), Err(VerifyError::Mismatch));
        let renamed = v1.replace("v1,", "v1a,");
        assert_eq!(verify(&key, ID, &at, &renamed, BODY, AT), Err(VerifyError::Mismatch));
    }

    proptest! {
        #[test]
        fn no_signature_verifies_for_anything_but_what_was_signed(
            seed: [u8; 32],
            body in vec(any::<u8>(), 0..80),
            other in vec(any::<u8>(), 0..80),
            late in -600_i64..600,
            change in 0_usize..3,
        ) {
            let (secret, pair) = (Secret::from_random(seed), KeyPair::from_random(seed));
            let public = pair.public_key();
            let signature = sign([Signer::from(&secret), Signer::from(&pair)], ID, AT, &body);
            let (id, at, now) = (format!("{ID}x"), (AT + 1).to_string(), AT + late);
            let (id, at, given) = match change {
                0 => (id.as_str(), AT.to_string(), &body),
                1 => (ID, at, &body),
                _ => (ID, AT.to_string(), &other),
            };
            for key in [Verifier::from(&secret), Verifier::from(&public)] {
                let genuine = verify(key, ID, &AT.to_string(), &signature, &body, now);
                prop_assert_eq!(genuine.is_ok(), late.abs() <= TOLERANCE_SECONDS);
                let forged = verify(key, id, &at, &signature, given, AT);
                prop_assert_eq!(forged.is_ok(), change == 2 && other == body);
            }
        }
    }
}
