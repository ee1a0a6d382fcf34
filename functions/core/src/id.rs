//! Identifiers: a prefix that names the kind, and 128 bits as 32 lower-case hexadecimal digits.
//!
//! They hold no `.` (Standard Webhooks signs `id.timestamp.body`) and no character that a key of a table, a header
//! or a URL would have to escape.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A text that is not an identifier of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier of the form {prefix}…")]
pub struct InvalidId {
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Makes an identifier of 128 bits: random ones, or a digest's.
            #[must_use]
            pub fn from_bits(bits: u128) -> Self {
                Self(format!(concat!($prefix, "{:032x}"), bits))
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = text.strip_prefix($prefix).ok_or(InvalidId { prefix: $prefix })?;
                let hexadecimal = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
                if digits.len() == 32 && digits.bytes().all(hexadecimal) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { prefix: $prefix })
                }
            }
        }

        $crate::stored_as_text!($name, |id| id.0);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A customer.
    AccountId,
    "acc_"
);
id!(
    /// An API key of an account. Not the key itself.
    KeyId,
    "key_"
);
id!(
    /// A webhook.
    WebhookId,
    "wh_"
);
id!(
    /// An account's connection to a page of its own on a network.
    PageId,
    "page_"
);
id!(
    /// An item; what receivers see as `webhook-id`.
    ItemId,
    "item_"
);
id!(
    /// An address that alerts go to.
    AlertId,
    "alert_"
);
id!(
    /// A replay of dead items. Ids sort by when they were made.
    ReplayId,
    "rep_"
);

id!(
    /// A sign-in link of an account. Not the link's token.
    LinkId,
    "link_"
);

impl ReplayId {
    /// Makes an identifier of a time, in whole milliseconds, and 64 random bits.
    #[must_use]
    pub fn made_at(at: Timestamp, random: u64) -> Self {
        let at = u128::try_from(at.as_millisecond()).unwrap_or_default();
        Self::from_bits(at << 80 | u128::from(random))
    }
}

impl ItemId {
    /// The identifier's 128 bits.
    #[must_use]
    pub(crate) fn bits(&self) -> u128 {
        self.0
            .get("item_".len()..)
            .and_then(|digits| u128::from_str_radix(digits, 16).ok())
            .unwrap_or_default()
    }

    /// The identifier of exactly these parts. The first of them names their kind.
    #[must_use]
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self::from_bits(half(&digest(parts)))
    }
}

/// The digest of parts, in their order.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        // Lengths keep ("ab", "c") and ("a", "bc") apart.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// The first half of a digest.
#[must_use]
pub fn half(digest: &[u8; 32]) -> u128 {
    let mut bits = [0; 16];
    bits.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_survives_its_text() {
        let id = WebhookId::from_bits(u128::MAX - 7);
        assert_eq!(id.as_str().parse::<WebhookId>().unwrap(), id);
        assert!(!id.as_str().contains('.'));
    }

    #[test]
    fn an_identifier_is_half_the_digest_of_its_parts_and_lengths() {
        let of = |parts: [&str; 3]| ItemId::of_parts(parts.map(str::as_bytes));
        // Computed with another SHA-256.
        assert_eq!(of(["carteiro x 1", "ab", "c"]).as_str(), "item_6ea27dd672c19485815f6906439bea23");
        assert_ne!(of(["carteiro x 1", "ab", "c"]), of(["carteiro x 1", "a", "bc"]));
    }

    #[test]
    fn replays_sort_by_when_they_were_made() {
        let made = |ms, random| ReplayId::made_at(Timestamp::from_millisecond(ms).unwrap(), random);
        assert!(made(1_795_000_000_000, u64::MAX) < made(1_795_000_000_001, 0));
        assert!(made(1, 0).as_str().parse::<ReplayId>().is_ok());
    }

    #[test]
    fn another_kinds_identifier_is_refused() {
        assert!(AccountId::from_bits(1).as_str().parse::<WebhookId>().is_err());
        for text in
            ["", "wh_", "wh_00", "wh_0000000000000000000000000000000G", "wh_0000000000000000000000000000000A"]
        {
            assert!(text.parse::<WebhookId>().is_err(), "{text}");
        }
    }
}
