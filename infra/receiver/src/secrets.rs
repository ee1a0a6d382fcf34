//! What signatures are checked against: webhooks' secrets (`v1`) and public keys (`v1a`).

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use carteiro_core::signature::{InvalidKey, InvalidSecret, PublicKey, Secret, Verifier, VerifyError, verify};

use crate::delivery::SignatureCheck;

/// How many secrets and public keys are known at most.
const MAX_SECRETS: usize = 10_000;

/// Why a secret was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddSecretError {
    /// The text is no secret.
    #[error(transparent)]
    Invalid(#[from] InvalidSecret),
    /// The text is no public key, though it begins like one.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// Too many are known already.
    #[error("{MAX_SECRETS} secrets and public keys are known already")]
    TooMany,
}

/// One of a webhook's secrets or public keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Secret(Secret),
    PublicKey(PublicKey),
}

impl FromStr for Known {
    type Err = AddSecretError;

    fn from_str(text: &str) -> Result<Self, AddSecretError> {
        if text.starts_with("whpk_") {
            Ok(Self::PublicKey(text.parse()?))
        } else {
            Ok(Self::Secret(text.parse()?))
        }
    }
}

impl Known {
    fn verifier(&self) -> Verifier<'_> {
        match self {
            Self::Secret(secret) => secret.into(),
            Self::PublicKey(key) => key.into(),
        }
    }
}

/// What signs one request.
pub(crate) struct Signed<'a> {
    pub(crate) path: &'a str,
    pub(crate) id: Option<&'a str>,
    pub(crate) timestamp: Option<&'a str>,
    pub(crate) signature: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

#[derive(Default)]
struct State {
    known: Vec<Known>,
    /// Which of them fitted last at a path. It is tried first: with thousands of webhooks, trying all of them at every
    /// request would be the receiver's main work.
    fitted: HashMap<String, usize>,
}

#[derive(Default)]
pub(crate) struct Secrets(RwLock<State>);

impl Secrets {
    pub(crate) fn add(&self, secret: Known) -> Result<(), AddSecretError> {
        let mut state = self.write();
        if state.known.contains(&secret) {
            return Ok(());
        }
        if state.known.len() == MAX_SECRETS {
            return Err(AddSecretError::TooMany);
        }
        state.known.push(secret);
        Ok(())
    }

    /// Checks one request. `now` is in Unix seconds.
    pub(crate) fn check(&self, signed: &Signed<'_>, now: i64) -> SignatureCheck {
        let Some(signature) = signed.signature else { return SignatureCheck::Missing };
        let (Some(id), Some(timestamp)) = (signed.id, signed.timestamp) else {
            return SignatureCheck::Malformed;
        };
        let fits = |known: &Known| verify(known.verifier(), id, timestamp, signature, signed.body, now);
        let found = {
            let state = self.read();
            if state.known.is_empty() {
                return SignatureCheck::UnknownSecret;
            }
            let last = state.fitted.get(signed.path).and_then(|index| state.known.get(*index));
            if last.is_some_and(|secret| fits(secret).is_ok()) {
                return SignatureCheck::Valid;
            }
            let mut found = None;
            for (index, secret) in state.known.iter().enumerate() {
                match fits(secret) {
                    Ok(()) => {
                        found = Some(index);
                        break;
                    }
                    Err(VerifyError::Mismatch) => {}
                    Err(VerifyError::Headers) => return SignatureCheck::Malformed,
                    Err(VerifyError::Timestamp) => return SignatureCheck::Stale,
                }
            }
            found
        };
        let Some(index) = found else { return SignatureCheck::Invalid };
        let mut state = self.write();
        if state.fitted.len() < MAX_SECRETS || state.fitted.contains_key(signed.path) {
            state.fitted.insert(signed.path.to_owned(), index);
        }
        SignatureCheck::Valid
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use carteiro_core::signature::{KeyPair, Signer, sign};

    use super::*;

    const AT: i64 = 1_790_000_000;

    fn check(secrets: &Secrets, signature: Option<&str>, timestamp: &str, now: i64) -> SignatureCheck {
        let signed = Signed { path: "/a", id: Some("i"), timestamp: Some(timestamp), signature, body: b"{}" };
        secrets.check(&signed, now)
    }

    #[test]
    fn each_outcome_of_a_check_has_its_own_name() {
        let (ours, theirs) = (Secret::from_random([1; 32]), Secret::from_random([2; 32]));
        let at = AT.to_string();
        let signature = sign([&ours], "i", AT, b"{}");
        let secrets = Secrets::default();
        assert_eq!(check(&secrets, Some(&signature), &at, AT), SignatureCheck::UnknownSecret);
        secrets.add(Known::Secret(theirs)).unwrap();
        assert_eq!(check(&secrets, Some(&signature), &at, AT), SignatureCheck::Invalid);
        secrets.add(Known::Secret(ours)).unwrap();
        assert_eq!(check(&secrets, Some(&signature), &at, AT), SignatureCheck::Valid);
        assert_eq!(check(&secrets, Some(&signature), &at, AT + 299), SignatureCheck::Valid);
        assert_eq!(check(&secrets, Some(&signature), &at, AT + 301), SignatureCheck::Stale);
        assert_eq!(check(&secrets, Some(&signature), "soon", AT), SignatureCheck::Malformed);
        assert_eq!(check(&secrets, None, &at, AT), SignatureCheck::Missing);
        let without_id =
            Signed { path: "/a", id: None, timestamp: Some(&at), signature: Some(&signature), body: b"{}" };
        assert_eq!(secrets.check(&without_id, AT), SignatureCheck::Malformed);
    }

    #[test]
    fn a_secret_given_twice_is_known_once() {
        let secrets = Secrets::default();
        for _ in 0..2 {
            secrets.add(Known::Secret(Secret::from_random([1; 32]))).unwrap();
        }
        assert_eq!(secrets.read().known.len(), 1);
    }

    #[test]
    fn a_public_key_checks_what_its_key_pair_signed() {
        let (secret, pair) = (Secret::from_random([1; 32]), KeyPair::from_random([2; 32]));
        let at = AT.to_string();
        let secrets = Secrets::default();
        secrets.add(pair.public_key().to_string().parse().unwrap()).unwrap();
        let both = sign([Signer::from(&secret), Signer::from(&pair)], "i", AT, b"{}");
        assert_eq!(check(&secrets, Some(&both), &at, AT), SignatureCheck::Valid);
        let of_secret = sign([&secret], "i", AT, b"{}");
        assert_eq!(check(&secrets, Some(&of_secret), &at, AT), SignatureCheck::Invalid);
        let of_other = sign([&KeyPair::from_random([3; 32])], "i", AT, b"{}");
        assert_eq!(check(&secrets, Some(&of_other), &at, AT), SignatureCheck::Invalid);
        assert!(matches!("whpk_x".parse::<Known>(), Err(AddSecretError::InvalidKey(_))));
        assert!(matches!("whsk_x".parse::<Known>(), Err(AddSecretError::Invalid(_))));
    }
}
