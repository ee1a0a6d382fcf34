//! API keys. An account's key is shown once and stored as its SHA-256: it holds 256 random bits, so that a slow hash
//! would add nothing.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::idempotency::hexadecimal;

/// The longest text that is looked at as a key, in bytes.
pub const MAX_KEY_BYTES: usize = 512;

/// A key as its holder shows it. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Makes a key of 256 random bits.
    #[must_use]
    pub fn from_random(bits: [u8; 32]) -> Self {
        Self(format!("ck_{}", hexadecimal(&bits)))
    }

    /// Reads an `Authorization` header's value: `Bearer <key>`. The scheme's case is free (RFC 9110, 11.1).
    #[must_use]
    pub fn from_authorization(header: &str) -> Option<Self> {
        let (scheme, key) = header.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") { Self::read(key.trim()) } else { None }
    }

    /// Reads a key as its holder typed it.
    #[must_use]
    pub fn read(key: &str) -> Option<Self> {
        (1..=MAX_KEY_BYTES).contains(&key.len()).then(|| Self(key.to_owned()))
    }

    /// The stored form of the key: its SHA-256, as 64 hexadecimal digits.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }

    /// The key itself, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// The SHA-256 of a key, as 64 lower-case hexadecimal digits. Compared in constant time.
#[derive(Clone, Debug)]
pub struct KeyHash(String);

impl KeyHash {
    /// The hash of a text that holds 256 random bits.
    pub(crate) fn of(text: &str) -> Self {
        Self(hexadecimal(&Sha256::digest(text.as_bytes())))
    }

    /// Reads a deployment's parameter or a stored hash.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 64 && text.bytes().all(hexadecimal)).then(|| Self(text.to_owned()))
    }

    /// The hash as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for KeyHash {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_hash_and_never_printed() {
        let key = ApiKey::from_random([7; 32]);
        let header = format!("bearer  {}", key.reveal());
        assert_eq!(ApiKey::from_authorization(&header).unwrap().hash(), key.hash());
        assert_ne!(ApiKey::from_random([8; 32]).hash(), key.hash());
        assert!(!format!("{key:?}").contains("0707"));
    }

    #[test]
    fn other_schemes_and_empty_keys_are_no_keys() {
        for header in ["", "Bearer", "Bearer ", "Basic abc", "ck_1"] {
            assert!(ApiKey::from_authorization(header).is_none(), "{header}");
        }
    }
}
