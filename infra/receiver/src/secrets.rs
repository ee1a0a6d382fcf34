//! The secrets that signatures are checked against.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use carteiro_core::signature::{InvalidSecret, Secret, VerifyError, verify};

use crate::delivery::SignatureCheck;

/// How many secrets are known at most.
const MAX_SECRETS: usize = 10_000;

/// Why a secret was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddSecretError {
    /// The text is no secret.
    #[error(transparent)]
    Invalid(InvalidSecret),
    /// Too many are known already.
    #[error("{MAX_SECRETS} secrets are known already")]
    TooMany,
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
    known: Vec<Secret>,
    /// Which secret fitted last at a path. It is tried first: with thousands of webhooks, trying all of them at every
    /// request would be the receiver's main work.
    fitted: HashMap<String, usize>,
}

#[derive(Default)]
pub(crate) struct Secrets(RwLock<State>);

impl Secrets {
    pub(crate) fn add(&self, secret: Secret) -> Result<(), AddSecretError> {
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
        let fits = |secret: &Secret| verify(secret, id, timestamp, signature, signed.body, now);
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
    use carteiro_core::signature::sign;

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
        secrets.add(theirs).unwrap();
        assert_eq!(check(&secrets, Some(&signature), &at, AT), SignatureCheck::Invalid);
        secrets.add(ours).unwrap();
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
            secrets.add(Secret::from_random([1; 32])).unwrap();
        }
        assert_eq!(secrets.read().known.len(), 1);
    }
}
