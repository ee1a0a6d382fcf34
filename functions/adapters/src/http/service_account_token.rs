//! Signs a Google service account's request for an access token: RS256 (RSASSA-PKCS1-v1_5 with SHA-256; RFC 7518, 3.3).
//! The [rules](carteiro_networks::google::service_account) make the signed text and its lifetime.
//!
//! Errors show nothing of a key: one that cannot sign is [`UnusableKey`], whatever its fault.

use carteiro_networks::google::service_account::ServiceAccount;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

/// A service account's key that cannot sign: no RSA key in PKCS #8, one of less than 2048 or more than 4096 bits, or
/// one whose numbers contradict each other. Only the page's owner can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key of the service account cannot sign")]
pub struct UnusableKey;

/// A signed assertion of an account, good for an hour from `now`. It is as secret as a token.
///
/// # Errors
/// Where the key cannot sign.
pub fn assertion(account: &ServiceAccount, now: Timestamp) -> Result<String, UnusableKey> {
    let key = RsaKeyPair::from_pkcs8(account.pkcs8()).map_err(|_| UnusableKey)?;
    let input = account.signing_input(now);
    let mut signature = vec![0; key.public().modulus_len()];
    // This signature is made without randomness (RFC 8017, 8.2.1); the library requires a source all the same.
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature)
        .map_err(|_| UnusableKey)?;
    Ok(ServiceAccount::assertion(&input, &signature))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::json;

    use super::*;

    /// A key of the tests' own: no account has it.
    const PKCS8: &[u8] =
        include_bytes!("../../../../infra/fake_networks/fixtures/service_account_of_tests.pkcs8.der");
    const PUBLIC: &[u8] =
        include_bytes!("../../../../infra/fake_networks/fixtures/service_account_of_tests.public.der");

    fn account(key: &[u8]) -> ServiceAccount {
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(key));
        let json = json!({"client_email": "reviews@p.iam.gserviceaccount.com", "private_key": pem});
        ServiceAccount::read(&json.to_string()).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn an_assertion_is_verified_by_its_accounts_public_key() {
        let account = account(PKCS8);
        let assertion = assertion(&account, now()).unwrap();
        let (input, signature) = assertion.rsplit_once('.').unwrap();
        assert_eq!(input, account.signing_input(now()));
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, PUBLIC);
        assert!(public.verify(input.as_bytes(), &signature).is_ok());
        assert!(public.verify(b"another", &signature).is_err());
    }

    #[test]
    fn a_key_that_cannot_sign_is_an_error_without_the_key() {
        let ecdsa =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        for key in [&b"a secret"[..], ecdsa.as_ref(), &PKCS8[..PKCS8.len() - 1]] {
            let error = assertion(&account(key), now()).unwrap_err();
            assert_eq!(
                format!("{error} {error:?}"),
                "the key of the service account cannot sign UnusableKey"
            );
        }
    }
}
