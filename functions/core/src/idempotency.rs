//! Idempotency keys: a repeat within 24 hours answers what the first request answered and delivers nothing twice.
//!
//! A request *claims* its key by a conditional write before it queues anything, and marks it done after. The claim
//! holds for a lease, within which its owner stops queueing, so that a repeat may take over a request that was cut
//! short once the lease is over. What remains: a request that was cut short after it queued something, and is then
//! repeated, is queued again, under the same item id.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::id::{AccountId, ItemId};
use crate::item::{ItemType, Source};

/// How long a key is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// How long a request may go on queueing after it claimed its key.
pub const LEASE: Duration = Duration::from_secs(5);

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// A producer's name for a request, by which its repeat is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

/// A text that cannot be an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key is 1 to {MAX_KEY_BYTES} visible ASCII characters")]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = InvalidIdempotencyKey;

    fn from_str(text: &str) -> Result<Self, InvalidIdempotencyKey> {
        if (1..=MAX_KEY_BYTES).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidIdempotencyKey)
        }
    }
}

/// A key within its scope (account, source and item type), as 64 hexadecimal digits.
#[must_use]
pub fn scoped(account: &AccountId, source: &Source, item_type: &ItemType, key: &IdempotencyKey) -> String {
    digest(&[account.as_str(), &source.to_string(), item_type.as_str(), key.as_str()])
}

/// A digest that distinguishes bodies, as 64 hexadecimal digits.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn digest(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    hexadecimal(&digest.finalize())
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A key, as the table remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The id that was answered, or will be.
    pub item: ItemId,
    /// When the first request was taken.
    pub accepted_at: Timestamp,
    /// [`fingerprint`] of the first request's bytes.
    pub fingerprint: String,
    /// How far the request came.
    pub progress: Progress,
    /// When the key is forgotten. The table may keep the row for days more.
    pub expires_at: Timestamp,
}

/// How far a request with a key came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its owner is queueing, until this time at most.
    Queueing {
        /// The end of the lease.
        until: Timestamp,
    },
    /// Everything is queued.
    Done {
        /// For how many webhooks.
        webhooks: usize,
    },
}

/// The next act of a request with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The key is new, or was forgotten: queue under this id.
    New,
    /// An earlier request was cut short: queue under its id, as accepted then.
    Finish(Remembered),
    /// Another request is at it now: ask again, at the latest when its lease is over.
    Wait {
        /// The end of the lease.
        until: Timestamp,
    },
    /// The request was done before. Give this answer.
    Answer {
        /// The id of the item.
        item: ItemId,
        /// For how many webhooks it was queued.
        webhooks: usize,
    },
    /// The key was used for other bytes.
    Conflict,
}

/// Decides the next act of a request by its remembered key.
#[must_use]
pub fn claim(remembered: Option<&Remembered>, fingerprint: &str, now: Timestamp) -> Claim {
    let Some(remembered) = remembered.filter(|remembered| now < remembered.expires_at) else {
        return Claim::New;
    };
    if remembered.fingerprint != fingerprint {
        return Claim::Conflict;
    }
    match remembered.progress {
        Progress::Done { webhooks } => Claim::Answer { item: remembered.item.clone(), webhooks },
        Progress::Queueing { until } if now < until => Claim::Wait { until },
        Progress::Queueing { .. } => Claim::Finish(remembered.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;

    fn remembered(progress: Progress) -> Remembered {
        Remembered {
            item: ItemId::from_bits(1),
            accepted_at: at(0),
            fingerprint: "a".to_owned(),
            progress,
            expires_at: at(86_400),
        }
    }

    #[test]
    fn a_key_is_new_until_it_is_used_and_again_when_it_is_forgotten() {
        let row = remembered(Progress::Done { webhooks: 1 });
        assert_eq!(claim(None, "a", at(0)), Claim::New);
        assert_eq!(claim(Some(&row), "a", at(86_400)), Claim::New);
        assert_eq!(claim(Some(&row), "b", at(86_400)), Claim::New);
    }

    #[test]
    fn a_repeat_answers_the_same_and_other_bytes_conflict() {
        let row = remembered(Progress::Done { webhooks: 2 });
        assert_eq!(claim(Some(&row), "a", at(1)), Claim::Answer { item: row.item.clone(), webhooks: 2 });
        assert_eq!(claim(Some(&row), "b", at(1)), Claim::Conflict);
    }

    #[test]
    fn a_repeat_waits_for_the_owner_and_takes_over_after_the_lease() {
        let row = remembered(Progress::Queueing { until: at(5) });
        assert_eq!(claim(Some(&row), "a", at(4)), Claim::Wait { until: at(5) });
        assert_eq!(claim(Some(&row), "a", at(5)), Claim::Finish(row.clone()));
        assert_eq!(claim(Some(&row), "b", at(4)), Claim::Conflict);
    }

    #[test]
    fn a_scope_keeps_accounts_bots_and_types_apart() {
        let key: IdempotencyKey = "k".parse().unwrap();
        let bot = |name: &str| Source::Bot(name.parse().unwrap());
        let base = scoped(&AccountId::from_bits(1), &bot("a"), &ItemType::MESSAGE, &key);
        assert_eq!(base.len(), 64);
        assert_ne!(base, scoped(&AccountId::from_bits(2), &bot("a"), &ItemType::MESSAGE, &key));
        assert_ne!(base, scoped(&AccountId::from_bits(1), &bot("b"), &ItemType::MESSAGE, &key));
        assert_ne!(base, scoped(&AccountId::from_bits(1), &bot("a"), &ItemType::EVENT, &key));
    }

    #[test]
    fn keys_are_bounded() {
        assert!("".parse::<IdempotencyKey>().is_err());
        assert!("é".parse::<IdempotencyKey>().is_err());
        assert!("k".repeat(255).parse::<IdempotencyKey>().is_ok());
        assert!("k".repeat(256).parse::<IdempotencyKey>().is_err());
    }
}
