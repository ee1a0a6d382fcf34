//! Key pairs of `v1a`: the private key signs, and the public one only verifies.
//!
//! The bytes are those of RFC 8032: the private key is its 32 bytes of randomness (the seed), the public key the 32
//! bytes of its point.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::ed25519::signature::MultipartSigner;
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

const PRIVATE_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";

/// A webhook's key pair. Its text, `whsk_<base64>`, holds the private key and then the public one, 64 bytes: the form
/// that Svix's server keeps and that its `README.md` gives, since the specification names the prefix alone. It is never
/// printed, and no answer shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyPair {
    seed: [u8; 32],
    /// Made of the seed once: doing it anew takes as long as a signature, and every item's routing reads webhooks.
    public: [u8; 32],
}

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Not a private key.
    #[error("a private key is {PRIVATE_PREFIX} followed by its 64 bytes in base64")]
    Private,
    /// Not a public key.
    #[error("a public key is {PUBLIC_PREFIX} followed by its 32 bytes in base64")]
    Public,
}

impl KeyPair {
    /// Makes a key pair of 256 random bits.
    #[must_use]
    pub fn from_random(bits: [u8; 32]) -> Self {
        Self { seed: bits, public: SigningKey::from_bytes(&bits).verifying_key().to_bytes() }
    }

    /// The public key, with which receivers verify.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.public)
    }

    pub(super) fn sign(&self, head: &[u8], body: &[u8]) -> Option<[u8; 64]> {
        // By the seed alone: a public key that did not belong to it would give the private one away (the signature's
        // hash takes both). It signs anything, so this is always Some.
        let key = SigningKey::from_bytes(&self.seed);
        key.try_multipart_sign(&[head, body]).ok().map(|signature| signature.to_bytes())
    }
}

impl FromStr for KeyPair {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let encoded = text.strip_prefix(PRIVATE_PREFIX).ok_or(InvalidKey::Private)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidKey::Private)?;
        let halves = bytes.split_first_chunk::<32>().and_then(|(seed, public)| {
            let public = <[u8; 32]>::try_from(public).ok()?;
            Some(Self { seed: *seed, public })
        });
        halves.ok_or(InvalidKey::Private)
    }
}

crate::stored_as_text!(KeyPair, |pair| format!(
    "{PRIVATE_PREFIX}{}",
    STANDARD.encode([pair.seed, pair.public].concat())
));

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({}, …)", self.public_key())
    }
}

/// The public half of a [`KeyPair`]: `whpk_<base64>`, 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    pub(super) fn verifies(&self, head: &[u8], body: &[u8], signature: &[u8]) -> bool {
        let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(&self.0), Signature::from_slice(signature))
        else {
            return false;
        };
        key.verify_strict(&[head, body].concat(), &signature).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let encoded = text.strip_prefix(PUBLIC_PREFIX).ok_or(InvalidKey::Public)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidKey::Public)?;
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| InvalidKey::Public)?;
        let is_point = VerifyingKey::from_bytes(&bytes).is_ok_and(|key| !key.is_weak());
        if is_point { Ok(Self(bytes)) } else { Err(InvalidKey::Public) }
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", STANDARD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, 7.1, tests 1 to 3: private key, public key, message, signature.
    const PUBLISHED: [[&str; 4]; 3] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ],
        [
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ],
    ];

    fn bytes<const N: usize>(hexadecimal: &str) -> [u8; N] {
        std::array::from_fn(|at| u8::from_str_radix(&hexadecimal[2 * at..2 * at + 2], 16).unwrap())
    }

    #[test]
    fn published_vectors_are_signed_as_published_in_any_parts() {
        for [private, public, message, signature] in PUBLISHED {
            let pair = KeyPair::from_random(bytes(private));
            assert_eq!(pair.public_key().0, bytes(public));
            let message: Vec<u8> = (0..message.len() / 2)
                .map(|at| u8::from_str_radix(&message[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            for cut in 0..=message.len() {
                let (head, body) = message.split_at(cut);
                assert_eq!(pair.sign(head, body), Some(bytes(signature)));
                assert!(pair.public_key().verifies(head, body, &bytes::<64>(signature)));
                assert!(!pair.public_key().verifies(head, &[body, b" "].concat(), &bytes::<64>(signature)));
            }
        }
    }

    #[test]
    fn a_key_pair_survives_its_text_and_never_prints_its_secret() {
        let pair = KeyPair::from_random([7; 32]);
        let text = String::from(pair.clone());
        assert!(text.starts_with("whsk_") && text.parse::<KeyPair>().unwrap() == pair);
        let printed = format!("{pair:?}");
        assert!(printed.contains(&pair.public_key().to_string()), "{printed}");
        assert!(!printed.contains(&STANDARD.encode([7; 30])[..20]), "{printed}");
        for bad in ["", "whsk_", "whsk_AAAA", &text[..60], &text.replace("whsk_", "whsec_")] {
            assert_eq!(bad.parse::<KeyPair>(), Err(InvalidKey::Private), "{bad}");
        }
    }

    #[test]
    fn a_public_key_survives_its_text_and_what_is_no_key_is_refused() {
        let key = KeyPair::from_random([7; 32]).public_key();
        assert_eq!(key.to_string().parse::<PublicKey>(), Ok(key));
        assert_eq!(serde_json::to_value(key).unwrap(), key.to_string());
        let of = |bytes: [u8; 32]| format!("whpk_{}", STANDARD.encode(bytes));
        // No point, and the neutral one, by which anything would verify.
        let neutral = std::array::from_fn(|at| u8::from(at == 0));
        for bad in [of([2; 32]), of(neutral), "whpk_".to_owned(), of([7; 32]).replace("whpk_", "whsk_")] {
            assert_eq!(bad.parse::<PublicKey>(), Err(InvalidKey::Public), "{bad}");
        }
    }
}
