//! The service accounts of Google's, and what they sign: assertions, verified as Google does (RS256).
//!
//! All accounts have one RSA key, which the tests alone use; their addresses tell them apart.
//!
//! Sources: developers.google.com/identity/protocols/oauth2/service-account; RFC 7515, RFC 7523.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

/// The key, PKCS #8, and its public half, PKCS #1.
const PRIVATE: &[u8] = include_bytes!("../fixtures/service_account_of_tests.pkcs8.der");
const PUBLIC: &[u8] = include_bytes!("../fixtures/service_account_of_tests.public.der");
const KEY_ID: &str = "0123456789abcdef0123456789abcdef01234567";
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";
const SCOPE: &str = "https://www.googleapis.com/auth/androidpublisher";
/// How long an assertion may be good.
const LONGEST_SECONDS: u64 = 3600;
/// How much the clock of who signs may be ahead.
const AHEAD_SECONDS: u64 = 300;

/// An account's address.
pub(crate) fn email(page: &str) -> String {
    format!("reviews-{:08x}@carteiro-tests.iam.gserviceaccount.com", crate::hash(&page) & 0xffff_ffff)
}

/// The key of an account, as Google hands it out.
pub(crate) fn key(email: &str) -> String {
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", key_lines().join("\n"));
    json!({
        "type": "service_account", "project_id": "carteiro-tests", "private_key_id": KEY_ID, "private_key": pem,
        "client_email": email, "client_id": "100000000000000000001",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": AUDIENCE,
        "universe_domain": "googleapis.com",
    })
    .to_string()
}

/// The lines of the private key, in base64.
pub(crate) fn key_lines() -> Vec<String> {
    let encoded = STANDARD.encode(PRIVATE);
    let lines = encoded.as_bytes().chunks(64);
    lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

/// What is wrong with an assertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Form,
    Signature,
    Time,
    Audience,
    Scope,
}

impl Wrong {
    pub(crate) fn error(self) -> &'static str {
        match self {
            Self::Scope => "invalid_scope",
            Self::Form => "invalid_request",
            Self::Signature | Self::Time | Self::Audience => "invalid_grant",
        }
    }

    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Form => "Bad Request",
            Self::Signature => "Invalid JWT Signature.",
            Self::Time => {
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your \
                 iat and exp values in the JWT claim."
            }
            Self::Audience => "Invalid JWT: Failed audience check.",
            Self::Scope => "Invalid OAuth scope or ID token audience provided.",
        }
    }
}

/// The address of the account that signed an assertion.
pub(crate) fn verified(assertion: &str, now_ms: u64) -> Result<String, Wrong> {
    let (input, signature) = assertion.rsplit_once('.').ok_or(Wrong::Form)?;
    let (header, claims) = input.split_once('.').ok_or(Wrong::Form)?;
    let (header, claims) = (part(header)?, part(claims)?);
    if header["alg"] != "RS256" || header["kid"].as_str().is_some_and(|id| id != KEY_ID) {
        return Err(Wrong::Signature);
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Wrong::Form)?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, PUBLIC);
    public.verify(input.as_bytes(), &signature).map_err(|_| Wrong::Signature)?;
    let time = |name: &str| claims[name].as_u64().ok_or(Wrong::Time);
    let (from, to, now) = (time("iat")?, time("exp")?, now_ms / 1000);
    if to <= now || from > now + AHEAD_SECONDS || to.saturating_sub(from) > LONGEST_SECONDS {
        return Err(Wrong::Time);
    }
    if claims["aud"] != AUDIENCE {
        return Err(Wrong::Audience);
    }
    let scopes = claims["scope"].as_str().unwrap_or_default();
    if !scopes.split(' ').any(|scope| scope == SCOPE) {
        return Err(Wrong::Scope);
    }
    claims["iss"].as_str().map(str::to_owned).ok_or(Wrong::Form)
}

fn part(text: &str) -> Result<Value, Wrong> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Wrong::Form)?;
    serde_json::from_slice(&bytes).map_err(|_| Wrong::Form)
}
