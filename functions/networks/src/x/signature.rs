//! How X signs its pushes, and how its check of our address is answered.
//!
//! X's check has us sign, with the secret that its pushes are signed with, a text that whoever asks has chosen. An
//! answer must therefore never be the signature of a push, or a stranger could have pushes of their own signed by us.
//! Two rules keep them apart, each of which is enough: a text is answered only if it is of letters, digits and
//! `_=+/.~-` alone, and a body is X's only if it is an object or an array, white space before it or not. No text of the
//! first kind is one of the second, for neither a bracket nor white space is among the signs.
//!
//! Source: docs.x.com/x-api/webhooks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::push::signature::{AppSecret, ChallengeError, MAX_CHALLENGE_BYTES, is_signed};
use crate::spec::{ChallengeAnswer, Query};

/// The header of X's signature: `sha256=<base64>`.
pub const HEADER: &str = "x-twitter-webhooks-signature";

/// What X's challenges are made of, besides letters and digits of ASCII: all that base64, in either alphabet, and
/// what needs no escaping in a URL have. No JSON object or array can be written with it.
const SIGNS: &[u8] = b"_=+/.~-";

/// Whether a body is X's: `signature` is the value of [`HEADER`], made with any of the secrets, and the body begins as
/// an object or an array does. Of anything else the signature may be our own answer to a stranger's challenge.
#[must_use]
pub fn is_genuine(secrets: &[AppSecret], signature: &str, body: &[u8]) -> bool {
    let first = body.iter().find(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
    matches!(first, Some(b'{' | b'[')) && is_signed(secrets, signature, body, |mac| STANDARD.encode(mac))
}

/// The value of [`HEADER`] for a body, as X makes it.
#[must_use]
pub fn sign(secret: &AppSecret, body: &[u8]) -> String {
    secret.mac(body).map(|mac| format!("sha256={}", STANDARD.encode(mac))).unwrap_or_default()
}

/// Answers a check: the parameter is `crc_token`.
pub(crate) fn challenge(secrets: &[AppSecret], query: Query<'_>) -> Result<ChallengeAnswer, ChallengeError> {
    let body = challenge_answer(secrets, query("crc_token"))?;
    Ok(ChallengeAnswer::new("application/json", body))
}

/// The answer's JSON to X's challenge-response check, a `GET` with `crc_token`.
///
/// An X app has one consumer secret at a time, and X takes only an answer made with that one: so the first of the
/// list answers. While the secret is being replaced the new one goes first, and the old one stays after it for the
/// pushes that are still under way.
///
/// A token is 1 to [`MAX_CHALLENGE_BYTES`] letters, digits and `_=+/.~-`: no other text is signed, for the answer to it
/// could be a push's signature.
///
/// # Errors
/// See [`ChallengeError`].
pub fn challenge_answer(secrets: &[AppSecret], token: Option<&str>) -> Result<String, ChallengeError> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || SIGNS.contains(&b);
    let is_fit =
        |token: &&str| (1..=MAX_CHALLENGE_BYTES).contains(&token.len()) && token.bytes().all(is_plain);
    let token = token.filter(is_fit).ok_or(ChallengeError::Malformed)?;
    let secret = secrets.first().ok_or(ChallengeError::Refused)?;
    Ok(json!({ "response_token": sign(secret, token.as_bytes()) }).to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &[u8] = br#"{"test_number":1,"test_string":"two"}"#;
    const SIGNATURE: &str = "sha256=YWHphPn/JFq43jkF0y4/w8R/SelmLjvpunhVFY8JhlI=";

    #[test]
    fn the_published_vector_is_taken_and_no_other_spelling() {
        assert!(is_genuine(&AppSecret::list("test"), SIGNATURE, BODY));
        assert_eq!(sign(&AppSecret::list("test")[0], BODY), SIGNATURE);
        assert!(!is_genuine(&AppSecret::list("test"), SIGNATURE.trim_end_matches('='), BODY));
    }

    #[test]
    fn xs_check_is_answered_as_published_and_with_the_first_secret() {
        let expected = r#"{"response_token":"sha256=rPq0FJoFEukzQI8G52D6xjiQ4BGXK4EuZWYZCWMMlsQ="}"#;
        let secrets = AppSecret::list("__APP_SECRET__,older");
        assert_eq!(challenge_answer(&secrets, Some("__TOKEN_FROM_TWITTER__")).as_deref(), Ok(expected));
        let turned = AppSecret::list("older,__APP_SECRET__");
        assert_ne!(challenge_answer(&turned, Some("__TOKEN_FROM_TWITTER__")).as_deref(), Ok(expected));
        assert_eq!(challenge_answer(&[], Some("a")), Err(ChallengeError::Refused));
        for token in [None, Some(""), Some("x".repeat(513).as_str())] {
            assert_eq!(challenge_answer(&secrets, token), Err(ChallengeError::Malformed));
        }
        assert!(challenge_answer(&secrets, Some("aZ09_=+/.~-")).is_ok());
    }

    #[test]
    fn no_text_that_could_be_a_body_is_signed_for_a_stranger() {
        let secrets = AppSecret::list("a");
        let revoke = r#"{"user_event":{"revoke":{"source":{"user_id":"1"}}}}"#;
        for token in [revoke, "{}", "[]", " {}", "\n", "a b", "a{", "\u{feff}", "é", "\"a\"", "a,b", "a:b"] {
            assert_eq!(challenge_answer(&secrets, Some(token)), Err(ChallengeError::Malformed), "{token:?}");
        }
    }

    #[test]
    fn a_body_that_is_no_object_or_array_is_refused() {
        let secrets = AppSecret::list("a");
        let is_taken =
            |body: &str| is_genuine(&secrets, &sign(&secrets[0], body.as_bytes()), body.as_bytes());
        for body in ["{}", "[]", " \t\r\n{}", "\n[1]", "{"] {
            assert!(is_taken(body), "{body:?}");
        }
        for body in ["", " ", "1", "null", "\"{\"", "abc", " a{", "\u{feff}{}", "\u{b}{}"] {
            assert!(!is_taken(body), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn no_challenge_answer_is_the_signature_of_a_taken_body(
            text in prop_oneof![
                "[A-Za-z0-9_=+/.~-]{1,600}",
                "[ \t\r\n]{0,3}[\\[{a-z0-9_=+/.~\"\\]}-]{0,40}",
                any::<String>(),
            ],
        ) {
            let secrets = AppSecret::list("a,b");
            if let Ok(answer) = challenge_answer(&secrets, Some(&text)) {
                let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
                let signature = answer["response_token"].as_str().unwrap();
                prop_assert_eq!(signature, sign(&secrets[0], text.as_bytes()));
                prop_assert!(!is_genuine(&secrets, signature, text.as_bytes()));
            }
        }
    }
}
