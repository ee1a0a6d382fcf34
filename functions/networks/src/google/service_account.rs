//! A Google service account's key, and what it signs to get an access token.
//!
//! Pure are the claims and the bytes that are signed; the signature (RS256: RSASSA-PKCS1-v1_5 with SHA-256) is made by
//! who has a source of cryptography. The key names a `token_uri` of its own, which is not followed: it comes from
//! whoever gave the key, and the deployment knows where Google is.
//!
//! Source: developers.google.com/identity/protocols/oauth2/service-account; RFC 7523.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The permission that reviews are read with.
pub const SCOPE: &str = "https://www.googleapis.com/auth/androidpublisher";
/// Whom the assertion is for.
pub const AUDIENCE: &str = "https://oauth2.googleapis.com/token";
/// How long an assertion, and the token that it is given for, lasts: the longest that Google takes.
const LASTS: i64 = 3600;

/// A service account's key. It prints nothing of itself.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    /// PKCS #8, DER.
    key: Vec<u8>,
}

/// What was given is no service account's key. Nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the JSON key of a Google service account")]
pub struct InvalidKey;

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceAccount(…)")
    }
}

impl ServiceAccount {
    /// Reads the JSON that Google gives out as a key.
    ///
    /// # Errors
    /// If it is none, or its key is not in PKCS #8.
    pub fn read(json: &str) -> Result<Self, InvalidKey> {
        let key: Value = serde_json::from_str(json).map_err(|_| InvalidKey)?;
        let text = |name: &str| key[name].as_str().filter(|text| !text.is_empty());
        if text("type").is_some_and(|kind| kind != "service_account") {
            return Err(InvalidKey);
        }
        let email = text("client_email").ok_or(InvalidKey)?.to_owned();
        let der = text("private_key").and_then(der).ok_or(InvalidKey)?;
        Ok(Self { email, key_id: text("private_key_id").map(str::to_owned), key: der })
    }

    /// What is signed: the header and the claims, each in base64url, with a dot between.
    #[must_use]
    pub fn signing_input(&self, now: Timestamp) -> String {
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let Some(id) = &self.key_id {
            header["kid"] = id.as_str().into();
        }
        let at = now.as_second();
        let claims = json!({
            "iss": self.email, "scope": SCOPE, "aud": AUDIENCE, "iat": at, "exp": at + LASTS,
        });
        let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", encoded(header), encoded(claims))
    }

    /// The private key, for the signer alone: PKCS #8 in DER.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.key
    }

    /// The assertion: what was signed, and its signature.
    #[must_use]
    pub fn assertion(signing_input: &str, signature: &[u8]) -> String {
        format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The bytes between a PEM's lines.
fn der(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok().filter(|der| !der.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Value {
        json!({
            "type": "service_account", "project_id": "p", "private_key_id": "k1",
            "private_key": "-----BEGIN PRIVATE KEY-----\nAQID\nBAUG\n-----END PRIVATE KEY-----\n",
            "client_email": "reviews@p.iam.gserviceaccount.com", "token_uri": "https://evil.example/token",
        })
    }

    #[test]
    fn an_assertion_claims_the_reviews_scope_for_an_hour() {
        let account = ServiceAccount::read(&key().to_string()).unwrap();
        assert_eq!(account.pkcs8(), [1, 2, 3, 4, 5, 6]);
        let input = account.signing_input("2026-11-22T12:00:00Z".parse().unwrap());
        let parts: Vec<Value> = input
            .split('.')
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(parts[0], json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
        let claims = json!({
            "iss": "reviews@p.iam.gserviceaccount.com", "scope": SCOPE, "aud": AUDIENCE,
            "iat": 1_795_348_800, "exp": 1_795_352_400,
        });
        assert_eq!(parts[1], claims);
        assert_eq!(ServiceAccount::assertion(&input, &[0xff, 0xfe]), format!("{input}.__4"));
        assert!(!format!("{account:?}").contains("reviews"));
    }

    #[test]
    fn what_is_no_key_is_refused_without_a_word_of_it() {
        let mut others = vec!["ya29.token".to_owned(), "{}".to_owned(), "[]".to_owned()];
        for (name, value) in [
            ("type", "authorized_user"),
            ("client_email", ""),
            ("private_key", "secret"),
            ("private_key", "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----"),
            ("private_key", "-----BEGIN PRIVATE KEY----------END PRIVATE KEY-----"),
        ] {
            let mut other = key();
            other[name] = value.into();
            others.push(other.to_string());
        }
        for other in others {
            assert_eq!(ServiceAccount::read(&other), Err(InvalidKey));
        }
    }
}
