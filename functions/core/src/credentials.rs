//! Credentials with which a webhook signs: its secret, its key pair where it has one, and replaced ones that still sign
//! beside them for a while.
//!
//! Guaranteed: there is one current secret, and at most one current key pair; no replaced one signs at or after its
//! time; at most [`MAX_REPLACED`] of each kind sign beside the current one. A rotation does not notify the receiver;
//! the one who rotates does.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::field::{Field, boolean, unknown};
use crate::problem::FieldError;
use crate::signature::{InvalidSecret, KeyPair, PublicKey, Secret, Signer};

/// The most replaced secrets that sign beside the current one, and the most replaced key pairs: with as many, a
/// rotation is refused until one has ended, unless it ends them itself (`overlap_seconds: 0`). Each is a signature more
/// in every request's header.
pub const MAX_REPLACED: usize = 10;

/// How long replaced credentials go on signing, in seconds, where the rotation does not say: 24 hours.
pub const DEFAULT_OVERLAP_SECONDS: u32 = 24 * 3600;

/// The longest that replaced credentials can go on signing, in seconds: 7 days.
pub const MAX_OVERLAP_SECONDS: u32 = 7 * 24 * 3600;

/// A key that signs, with those that it replaced, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Stored<K>>", into = "Vec<Stored<K>>")]
#[serde(bound(serialize = "K: Clone + Serialize", deserialize = "K: Deserialize<'de>"))]
struct Keys<K> {
    current: K,
    replaced: Vec<Replaced<K>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Replaced<K> {
    key: K,
    /// When it stops signing.
    until: Timestamp,
}

/// A key as a row holds it; the current one has no end.
#[derive(Serialize, Deserialize)]
struct Stored<K> {
    secret: K,
    until: Option<Timestamp>,
}

/// A row's keys are not one current one and then those that it replaced.
#[derive(Debug, thiserror::Error)]
#[error("the first key has no end, and all others have one")]
struct InvalidKeys;

impl<K> TryFrom<Vec<Stored<K>>> for Keys<K> {
    type Error = InvalidKeys;

    fn try_from(stored: Vec<Stored<K>>) -> Result<Self, InvalidKeys> {
        let mut stored = stored.into_iter();
        let Some(Stored { secret: current, until: None }) = stored.next() else { return Err(InvalidKeys) };
        let replaced = stored.map(|stored| Some(Replaced { key: stored.secret, until: stored.until? }));
        let replaced = replaced.collect::<Option<_>>().ok_or(InvalidKeys)?;
        Ok(Self { current, replaced })
    }
}

impl<K> From<Keys<K>> for Vec<Stored<K>> {
    fn from(keys: Keys<K>) -> Self {
        let current = Stored { secret: keys.current, until: None };
        let replaced = keys.replaced.into_iter();
        let replaced = replaced.map(|replaced| Stored { secret: replaced.key, until: Some(replaced.until) });
        std::iter::once(current).chain(replaced).collect()
    }
}

impl<K: Clone + PartialEq> Keys<K> {
    fn new(current: K) -> Self {
        Self { current, replaced: Vec::new() }
    }

    fn at(&self, now: Timestamp) -> impl Iterator<Item = &K> {
        let replaced = self.replaced.iter().filter(move |replaced| now < replaced.until);
        std::iter::once(&self.current).chain(replaced.map(|replaced| &replaced.key))
    }

    fn without_ended(&self, now: Timestamp) -> Self {
        let replaced = self.replaced.iter().filter(|replaced| now < replaced.until).cloned().collect();
        Self { current: self.current.clone(), replaced }
    }

    /// The same keys with `next` as the current one, and no other signing at `until` or after. Where `next` is the
    /// current one already, only that changes.
    fn rotated(&self, next: K, until: Timestamp, now: Timestamp) -> Self {
        let mut replaced = self.replaced.clone();
        for key in &mut replaced {
            key.until = key.until.min(until);
        }
        if next != self.current {
            replaced.retain(|other| other.key != next);
            replaced.insert(0, Replaced { key: self.current.clone(), until });
        }
        Self { current: next, replaced }.without_ended(now)
    }

    fn last_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.replaced.iter().map(|replaced| replaced.until).filter(|until| now < *until).max()
    }
}

/// Credentials made of randomness, where a customer gives none. Those that are not needed are thrown away.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// A secret.
    pub secret: Secret,
    /// A key pair.
    pub key_pair: KeyPair,
}

impl Fresh {
    /// Makes them of 256 random bits each.
    #[must_use]
    pub fn from_random(secret: [u8; 32], key_pair: [u8; 32]) -> Self {
        Self { secret: Secret::from_random(secret), key_pair: KeyPair::from_random(key_pair) }
    }
}

/// The credentials of a webhook. The names are those of the webhook's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    secrets: Keys<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_pairs: Option<Keys<KeyPair>>,
}

impl Credentials {
    /// A new webhook's.
    #[must_use]
    pub fn new(secret: Secret, key_pair: Option<KeyPair>) -> Self {
        Self { secrets: Keys::new(secret), key_pairs: key_pair.map(Keys::new) }
    }

    /// The current secret.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secrets.current
    }

    /// The current key pair's public key, where there is a key pair.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        self.key_pairs.as_ref().map(|pairs| pairs.current.public_key())
    }

    /// The signers at a time: secrets, then key pairs, of each the current one first.
    pub fn signers_at(&self, now: Timestamp) -> impl Iterator<Item = Signer<'_>> {
        let secrets = self.secrets.at(now).map(Signer::Secret);
        let pairs = self.key_pairs.iter().flat_map(move |pairs| pairs.at(now));
        secrets.chain(pairs.map(Signer::KeyPair))
    }

    /// When the last of those that a rotation replaced stops signing; None where none signs any more.
    #[must_use]
    pub fn replaced_until(&self, now: Timestamp) -> Option<Timestamp> {
        let pairs = self.key_pairs.as_ref().and_then(|pairs| pairs.last_until(now));
        self.secrets.last_until(now).max(pairs)
    }

    /// Without those whose time is over.
    #[must_use]
    pub fn without_ended(&self, now: Timestamp) -> Self {
        let key_pairs = self.key_pairs.as_ref().map(|pairs| pairs.without_ended(now));
        Self { secrets: self.secrets.without_ended(now), key_pairs }
    }

    /// The credentials with a key pair or without. An existing pair stays; a removed one, and those that it replaced,
    /// no longer sign.
    #[must_use]
    pub fn with_key_pair(&self, wanted: bool, fresh: &Fresh) -> Self {
        let key_pairs = self.key_pairs.clone().or_else(|| Some(Keys::new(fresh.key_pair.clone())));
        Self { key_pairs: key_pairs.filter(|_| wanted), ..self.clone() }
    }

    /// The credentials with a new secret, and a new key pair where the rotation asks for it. Nothing else signs at
    /// `now` plus the overlap or after, whatever an earlier rotation said. A secret that is the current one already
    /// stays, so a repeat with a secret of the customer's own changes nothing.
    ///
    /// # Errors
    /// See [`RotationError`].
    pub fn rotated(&self, rotation: &Rotation, fresh: &Fresh, now: Timestamp) -> Result<Self, RotationError> {
        let overlap = SignedDuration::from_secs(i64::from(rotation.overlap_seconds));
        let until = now.saturating_add(overlap).unwrap_or(Timestamp::MAX);
        let secret = rotation.secret.as_ref().unwrap_or(&fresh.secret);
        let secrets = self.secrets.rotated(secret.clone(), until, now);
        let key_pairs = match (&self.key_pairs, rotation.key_pair) {
            (None, true) => return Err(RotationError::NoKeyPair),
            (None, false) => None,
            (Some(pairs), of_pair) => {
                let next = if of_pair { &fresh.key_pair } else { &pairs.current };
                Some(pairs.rotated(next.clone(), until, now))
            }
        };
        let pairs_replaced = key_pairs.as_ref().map_or(0, |pairs| pairs.replaced.len());
        if secrets.replaced.len().max(pairs_replaced) > MAX_REPLACED {
            return Err(RotationError::TooMany);
        }
        Ok(Self { secrets, key_pairs })
    }
}

/// A customer's request for a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The new secret; a random one, where they give none.
    pub secret: Option<Secret>,
    /// Whether the key pair is replaced too.
    pub key_pair: bool,
    /// How long all that was there before goes on signing, in seconds; 0 ends it at once.
    pub overlap_seconds: u32,
}

/// Why a webhook's credentials cannot be rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// A key pair is to be replaced where there is none.
    #[error("this webhook has no key pair; a PATCH with key_pair gives it one")]
    NoKeyPair,
    /// [`MAX_REPLACED`] of a kind sign already.
    #[error(
        "{MAX_REPLACED} replaced secrets or key pairs still sign; wait until one has ended, or end all with overlap_seconds 0"
    )]
    TooMany,
}

/// The fields of a [`Rotation`].
pub const ROTATION_FIELDS: [&str; 3] = ["secret", "key_pair", "overlap_seconds"];

impl Rotation {
    /// Reads a customer's request. No field is required.
    ///
    /// # Errors
    /// Every wrong field; unknown ones are wrong. No error repeats a value.
    pub fn from_json(given: &Map<String, Value>) -> Result<Self, Vec<FieldError>> {
        let mut errors = unknown(given, &ROTATION_FIELDS);
        let field = |name: &'static str| Field::of(given, name);
        let secret = field("secret").optional(&mut errors, own_secret);
        let key_pair = field("key_pair").optional(&mut errors, boolean);
        let overlap_seconds = field("overlap_seconds").optional(&mut errors, |value| {
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            number
                .filter(|number| *number <= MAX_OVERLAP_SECONDS)
                .ok_or(format!("a whole number from 0 to {MAX_OVERLAP_SECONDS} is expected"))
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            secret,
            key_pair: key_pair.unwrap_or(false),
            overlap_seconds: overlap_seconds.unwrap_or(DEFAULT_OVERLAP_SECONDS),
        })
    }
}

/// Reads a customer's own secret. An error does not repeat it.
pub(crate) fn own_secret(value: &Value) -> Result<Secret, String> {
    let text = value.as_str().ok_or(InvalidSecret);
    text.and_then(str::parse).map_err(|error: InvalidSecret| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fixtures::at;
    use crate::signature::{VerifyError, sign, verify};

    fn fresh(n: u8) -> Fresh {
        Fresh::from_random([n; 32], [n; 32])
    }

    fn rotation(given: &Value) -> Rotation {
        Rotation::from_json(given.as_object().unwrap()).unwrap()
    }

    fn secrets(credentials: &Credentials, now: i64) -> Vec<Secret> {
        let signers = credentials.signers_at(at(now));
        signers
            .filter_map(|signer| match signer {
                Signer::Secret(secret) => Some(secret.clone()),
                Signer::KeyPair(_) => None,
            })
            .collect()
    }

    fn public_keys(credentials: &Credentials, now: i64) -> Vec<PublicKey> {
        let signers = credentials.signers_at(at(now));
        signers
            .filter_map(|signer| match signer {
                Signer::KeyPair(pair) => Some(pair.public_key()),
                Signer::Secret(_) => None,
            })
            .collect()
    }

    #[test]
    fn both_secrets_sign_for_24_hours_after_a_rotation() {
        let first = Credentials::new(fresh(1).secret, None);
        let second = first.rotated(&rotation(&json!({})), &fresh(2), at(100)).unwrap();
        let until = 100 + i64::from(DEFAULT_OVERLAP_SECONDS);
        assert_eq!(secrets(&second, until - 1), [fresh(2).secret, fresh(1).secret]);
        assert_eq!(secrets(&second, until), [fresh(2).secret]);
        assert_eq!(second.replaced_until(at(until - 1)), Some(at(until)));
        assert_eq!(second.replaced_until(at(until)), None);
        assert_eq!(second.without_ended(at(until)), Credentials::new(fresh(2).secret, None));
    }

    #[test]
    fn a_rotation_without_an_overlap_ends_everything_older_at_once() {
        let first = Credentials::new(fresh(1).secret, Some(fresh(1).key_pair));
        let second = first.rotated(&rotation(&json!({"key_pair": true})), &fresh(2), at(0)).unwrap();
        assert_eq!((secrets(&second, 1).len(), public_keys(&second, 1).len()), (2, 2));
        let third = second.rotated(&rotation(&json!({"overlap_seconds": 0})), &fresh(3), at(1)).unwrap();
        assert_eq!(secrets(&third, 1), [fresh(3).secret]);
        assert_eq!(public_keys(&third, 1), [fresh(2).key_pair.public_key()], "the key pair was not rotated");
    }

    #[test]
    fn a_repeated_own_secret_changes_nothing_and_an_old_one_returns() {
        let own = |n: u8| rotation(&json!({"secret": fresh(n).secret.reveal()}));
        let first = Credentials::new(fresh(1).secret, None);
        let second = first.rotated(&own(2), &fresh(9), at(0)).unwrap();
        assert_eq!(second.rotated(&own(2), &fresh(9), at(60)).unwrap(), second);
        let back = second.rotated(&own(1), &fresh(9), at(60)).unwrap();
        assert_eq!(secrets(&back, 60), [fresh(1).secret, fresh(2).secret]);
        // Known already, it ends the others alone.
        let ended = Rotation { overlap_seconds: 0, ..own(1) };
        let ended = back.rotated(&ended, &fresh(9), at(61)).unwrap();
        assert_eq!(ended, first);
    }

    #[test]
    fn more_than_ten_replaced_ones_are_refused_until_one_has_ended() {
        let mut credentials = Credentials::new(fresh(0).secret, None);
        for n in 1..=10 {
            credentials = credentials.rotated(&rotation(&json!({})), &fresh(n), at(i64::from(n))).unwrap();
        }
        assert_eq!(secrets(&credentials, 11).len(), 1 + MAX_REPLACED);
        let more = credentials.rotated(&rotation(&json!({})), &fresh(11), at(11));
        assert_eq!(more, Err(RotationError::TooMany));
        let day = i64::from(DEFAULT_OVERLAP_SECONDS);
        assert!(credentials.rotated(&rotation(&json!({})), &fresh(11), at(day + 1)).is_ok());
        let ended =
            credentials.rotated(&rotation(&json!({"overlap_seconds": 0})), &fresh(11), at(11)).unwrap();
        assert_eq!(secrets(&ended, 11), [fresh(11).secret]);
    }

    #[test]
    fn a_key_pair_is_kept_given_and_taken_away() {
        let without = Credentials::new(fresh(1).secret, None);
        assert_eq!(without.public_key(), None);
        let refused = without.rotated(&rotation(&json!({"key_pair": true})), &fresh(2), at(0));
        assert_eq!(refused, Err(RotationError::NoKeyPair));
        let with = without.with_key_pair(true, &fresh(2));
        assert_eq!(with.public_key(), Some(fresh(2).key_pair.public_key()));
        assert_eq!(with.with_key_pair(true, &fresh(3)), with);
        let rotated = with.rotated(&rotation(&json!({"key_pair": true})), &fresh(3), at(0)).unwrap();
        let keys = [fresh(3).key_pair.public_key(), fresh(2).key_pair.public_key()];
        assert_eq!(public_keys(&rotated, 1), keys);
        let taken = rotated.with_key_pair(false, &fresh(4));
        assert!(public_keys(&taken, 1).is_empty() && secrets(&taken, 1).len() == 2);
    }

    #[test]
    fn every_wrong_field_of_a_rotation_is_named_without_its_value() {
        let given = json!({
            "secret": "whsec_c2VjcmV0", "key_pair": "yes", "overlap_seconds": 604_801, "until": "whsec_c2VjcmV0",
        });
        let errors = Rotation::from_json(given.as_object().unwrap()).unwrap_err();
        let mut named: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        named.sort_unstable();
        assert_eq!(named, ["key_pair", "overlap_seconds", "secret", "until"]);
        assert!(!format!("{errors:?}").contains("c2VjcmV0"), "{errors:?}");
        for wrong in [json!(-1), json!(1.5), json!("0")] {
            let given = json!({"overlap_seconds": wrong});
            assert!(Rotation::from_json(given.as_object().unwrap()).is_err(), "{wrong}");
        }
        let null = rotation(&json!({"secret": null, "key_pair": null, "overlap_seconds": null}));
        assert_eq!(null, rotation(&json!({})));
    }

    #[test]
    fn rows_without_key_pairs_are_read_and_impossible_ones_refused() {
        let row = json!({"secrets": [{"secret": fresh(1).secret, "until": null}]});
        let read: Credentials = serde_json::from_value(row.clone()).unwrap();
        assert_eq!(read, Credentials::new(fresh(1).secret, None));
        assert_eq!(serde_json::to_value(&read).unwrap(), row);
        let until = "2026-11-22T12:00:00Z";
        for wrong in [
            json!([]),
            json!([{"secret": fresh(1).secret, "until": until}]),
            json!([{"secret": fresh(1).secret, "until": null}, {"secret": fresh(2).secret, "until": null}]),
        ] {
            assert!(serde_json::from_value::<Credentials>(json!({"secrets": wrong})).is_err(), "{wrong}");
        }
    }

    /// Something done to credentials, and how many seconds later.
    #[derive(Clone, Debug)]
    enum Step {
        Rotate { own: Option<u8>, key_pair: bool, overlap_seconds: u32 },
        KeyPair(bool),
    }

    fn step() -> impl Strategy<Value = (Step, i64)> {
        let overlap = prop_oneof![Just(0), Just(DEFAULT_OVERLAP_SECONDS), 1..100_u32];
        let rotate = (proptest::option::of(200..203_u8), any::<bool>(), overlap)
            .prop_map(|(own, key_pair, overlap_seconds)| Step::Rotate { own, key_pair, overlap_seconds });
        let step = prop_oneof![4 => rotate, 1 => any::<bool>().prop_map(Step::KeyPair)];
        (step, 0..60_i64)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// A plain list of what was ever given out, each with its end, against the credentials and their rows.
        #[test]
        fn what_signs_is_what_was_given_out_and_is_not_over(steps in vec(step(), 1..14)) {
            let mut credentials = Credentials::new(fresh(0).secret, None);
            let mut given_out = vec![(fresh(0).secret, i64::MAX)];
            let mut now = 0;
            for ((step, later), n) in steps.into_iter().zip(1_u8..) {
                now += later;
                match step {
                    Step::KeyPair(wanted) => {
                        credentials = credentials.with_key_pair(wanted, &fresh(n));
                        prop_assert_eq!(credentials.public_key().is_some(), wanted);
                    }
                    Step::Rotate { own, key_pair, overlap_seconds } => {
                        let secret = own.map(|own| fresh(own).secret);
                        let asked = Rotation { secret: secret.clone(), key_pair, overlap_seconds };
                        match credentials.rotated(&asked, &fresh(n), at(now)) {
                            Ok(rotated) => {
                                let next = secret.unwrap_or(fresh(n).secret);
                                let until = now + i64::from(overlap_seconds);
                                given_out.retain(|(key, _)| *key != next);
                                given_out.iter_mut().for_each(|(_, end)| *end = until.min(*end));
                                given_out.insert(0, (next, i64::MAX));
                                credentials = rotated;
                            }
                            Err(RotationError::NoKeyPair) => {
                                prop_assert!(key_pair && credentials.public_key().is_none());
                            }
                            Err(RotationError::TooMany) => {
                                prop_assert!(credentials.signers_at(at(now)).count() > MAX_REPLACED);
                            }
                        }
                    }
                }
                let text = serde_json::to_string(&credentials).unwrap();
                let read = serde_json::from_str::<Credentials>(&text).unwrap();
                prop_assert_eq!(&read, &credentials);
                for moment in [now, now + 1, now + 60, now + i64::from(DEFAULT_OVERLAP_SECONDS)] {
                    let live = given_out.iter().filter(|(_, end)| moment < *end);
                    let live: Vec<_> = live.map(|(secret, _)| secret.clone()).collect();
                    prop_assert_eq!(secrets(&credentials, moment), live.clone());
                    prop_assert!(live.len() <= 1 + MAX_REPLACED);
                    let signature = sign(credentials.signers_at(at(moment)), "i", moment, b"{}");
                    let stamp = moment.to_string();
                    for (secret, end) in &given_out {
                        let verdict = verify(secret, "i", &stamp, &signature, b"{}", moment);
                        let expected = if moment < *end { Ok(()) } else { Err(VerifyError::Mismatch) };
                        prop_assert_eq!(verdict, expected);
                    }
                    if let Some(key) = credentials.public_key() {
                        prop_assert_eq!(verify(&key, "i", &stamp, &signature, b"{}", moment), Ok(()));
                    }
                }
            }
        }
    }
}
