//! How networks prove that a push is theirs, and how they check that an address is ours.
//!
//! Signatures are over the body's bytes as they arrived, and are compared in constant time with the text that we would
//! have sent: so no second spelling of a signature passes. Meta's bodies arrive with their escapes already made; what
//! parses and writes them again computes another signature.
//!
//! X's check has us sign, with the secret that its pushes are signed with, a text that whoever asks has chosen. An
//! answer must therefore never be the signature of a push, or a stranger could have pushes of their own signed by us.
//! Two rules keep them apart, each of which is enough: a text is answered only if it is of letters, digits and `_=+/.~-`
//! alone, and a body is X's only if it is an object or an array, white space before it or not. No text of the first
//! kind is one of the second, for neither a bracket nor white space is among the signs. Meta's check answers with
//! the text itself and signs nothing.
//!
//! Sources: developers.facebook.com/docs/graph-api/webhooks/getting-started; docs.x.com/x-api/webhooks.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The header of Meta's signature: `sha256=<lowercase hexadecimal>`.
pub const META_HEADER: &str = "x-hub-signature-256";

/// The header of X's signature: `sha256=<base64>`.
pub const X_HEADER: &str = "x-twitter-webhooks-signature";

/// The longest challenge that is answered, in bytes. Meta's are integers, X's are some 50 characters.
pub const MAX_CHALLENGE_BYTES: usize = 512;

/// What X's challenges are made of, besides letters and digits of ASCII: all that base64, in either alphabet, and
/// what needs no escaping in a URL have. No JSON object or array can be written with it.
const TOKEN_SIGNS: &[u8] = b"_=+/.~-";

const PREFIX: &str = "sha256=";

/// A network's secret with us: an app's secret, or the token of Meta's handshake. It is never printed.
#[derive(Clone)]
pub struct AppSecret(String);

impl AppSecret {
    /// The secrets of a comma-separated list, in its order: the one in use first, one that is being replaced after it.
    /// Spaces around them, and empty ones, are left out.
    #[must_use]
    pub fn list(text: &str) -> Vec<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| Self(part.to_owned())).collect()
    }

    fn mac(&self, bytes: &[u8]) -> Option<[u8; 32]> {
        // HMAC takes a key of any length, so this is always Some.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).ok()?;
        mac.update(bytes);
        Some(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppSecret(…)")
    }
}

/// Whether a body is Meta's: `signature` is the value of [`META_HEADER`], made with any of the secrets. Apps of
/// Instagram Login have a secret of their own, so that several are in use at once.
#[must_use]
pub fn is_metas(secrets: &[AppSecret], signature: &str, body: &[u8]) -> bool {
    is_signed(secrets, signature, body, hexadecimal)
}

/// Whether a body is X's: `signature` is the value of [`X_HEADER`], made with any of the secrets, and the body begins as
/// an object or an array does. Of anything else the signature may be our own answer to a stranger's challenge.
#[must_use]
pub fn is_xs(secrets: &[AppSecret], signature: &str, body: &[u8]) -> bool {
    let first = body.iter().find(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
    matches!(first, Some(b'{' | b'[')) && is_signed(secrets, signature, body, |mac| STANDARD.encode(mac))
}

/// The value of [`META_HEADER`] for a body, as Meta makes it.
#[must_use]
pub fn sign_as_meta(secret: &AppSecret, body: &[u8]) -> String {
    secret.mac(body).map(|mac| format!("{PREFIX}{}", hexadecimal(&mac))).unwrap_or_default()
}

/// The value of [`X_HEADER`] for a body, as X makes it.
#[must_use]
pub fn sign_as_x(secret: &AppSecret, body: &[u8]) -> String {
    secret.mac(body).map(|mac| format!("{PREFIX}{}", STANDARD.encode(mac))).unwrap_or_default()
}

fn is_signed(secrets: &[AppSecret], signature: &str, body: &[u8], encode: fn(&[u8; 32]) -> String) -> bool {
    let Some(given) = signature.strip_prefix(PREFIX) else {
        return false;
    };
    // Every secret is tried, so that the time does not tell which one fits.
    let fits = |secret: &AppSecret| {
        secret.mac(body).map_or(Choice::from(0), |mac| encode(&mac).as_bytes().ct_eq(given.as_bytes()))
    };
    secrets.iter().map(fits).fold(Choice::from(0), |any, one| any | one).into()
}

fn hexadecimal(mac: &[u8; 32]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why a network's check of our address is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// A parameter is missing, or not of a form that the network sends.
    #[error("the challenge is missing or malformed")]
    Malformed,
    /// The verify token is another one, or there is none or no secret to answer with.
    #[error("the challenge is not for this address")]
    Refused,
}

/// The answer's body to Meta's `GET` with `hub.mode`, `hub.verify_token` and `hub.challenge`: the challenge, byte for
/// byte. `tokens` are those that are valid; none of them means that nothing is answered.
///
/// What is answered was asked by whoever knows the token; all the same it never holds what a browser takes as markup.
///
/// # Errors
/// See [`ChallengeError`].
pub fn meta_challenge<'a>(
    tokens: &[AppSecret],
    mode: Option<&str>,
    token: Option<&str>,
    challenge: Option<&'a str>,
) -> Result<&'a str, ChallengeError> {
    let token = Sha256::digest(token.ok_or(ChallengeError::Malformed)?);
    // Digests, because the comparison of texts would tell their lengths.
    let is = |one: &AppSecret| Sha256::digest(&one.0).as_slice().ct_eq(token.as_slice());
    if !bool::from(tokens.iter().map(is).fold(Choice::from(0), |any, one| any | one)) {
        return Err(ChallengeError::Refused);
    }
    let plain = |b: u8| (b' '..=b'~').contains(&b) && !b"<>&\"'".contains(&b);
    let is_safe = |text: &&str| (1..=MAX_CHALLENGE_BYTES).contains(&text.len()) && text.bytes().all(plain);
    match (mode, challenge.filter(is_safe)) {
        (Some("subscribe"), Some(challenge)) => Ok(challenge),
        _ => Err(ChallengeError::Malformed),
    }
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
pub fn x_challenge(secrets: &[AppSecret], token: Option<&str>) -> Result<String, ChallengeError> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || TOKEN_SIGNS.contains(&b);
    let is_fit =
        |token: &&str| (1..=MAX_CHALLENGE_BYTES).contains(&token.len()) && token.bytes().all(is_plain);
    let token = token.filter(is_fit).ok_or(ChallengeError::Malformed)?;
    let secret = secrets.first().ok_or(ChallengeError::Refused)?;
    Ok(json!({ "response_token": sign_as_x(secret, token.as_bytes()) }).to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const META_BODY: &[u8] = br#"{"object":"foo","entry":[{"id":"1234567890"}]}"#;
    const META_SIGNATURE: &str = "sha256=213c1132c265fc81f96f8188d7ac50d549e3529e474b7dfa33f932696ea08451";
    const X_BODY: &[u8] = br#"{"test_number":1,"test_string":"two"}"#;
    const X_SIGNATURE: &str = "sha256=YWHphPn/JFq43jkF0y4/w8R/SelmLjvpunhVFY8JhlI=";

    #[test]
    fn the_published_vectors_are_taken() {
        assert!(is_metas(&AppSecret::list("_MY_SECRET_"), META_SIGNATURE, META_BODY));
        assert!(is_xs(&AppSecret::list("test"), X_SIGNATURE, X_BODY));
        assert_eq!(sign_as_meta(&AppSecret::list("_MY_SECRET_")[0], META_BODY), META_SIGNATURE);
        assert_eq!(sign_as_x(&AppSecret::list("test")[0], X_BODY), X_SIGNATURE);
    }

    #[test]
    fn xs_check_is_answered_as_published_and_with_the_first_secret() {
        let expected = r#"{"response_token":"sha256=rPq0FJoFEukzQI8G52D6xjiQ4BGXK4EuZWYZCWMMlsQ="}"#;
        let secrets = AppSecret::list("__APP_SECRET__,older");
        assert_eq!(x_challenge(&secrets, Some("__TOKEN_FROM_TWITTER__")).as_deref(), Ok(expected));
        let turned = AppSecret::list("older,__APP_SECRET__");
        assert_ne!(x_challenge(&turned, Some("__TOKEN_FROM_TWITTER__")).as_deref(), Ok(expected));
        assert_eq!(x_challenge(&[], Some("a")), Err(ChallengeError::Refused));
        for token in [None, Some(""), Some("x".repeat(513).as_str())] {
            assert_eq!(x_challenge(&secrets, token), Err(ChallengeError::Malformed));
        }
        assert!(x_challenge(&secrets, Some("aZ09_=+/.~-")).is_ok());
    }

    #[test]
    fn no_text_that_could_be_a_body_is_signed_for_a_stranger() {
        let secrets = AppSecret::list("a");
        let revoke = r#"{"user_event":{"revoke":{"source":{"user_id":"1"}}}}"#;
        for token in [revoke, "{}", "[]", " {}", "\n", "a b", "a{", "\u{feff}", "é", "\"a\"", "a,b", "a:b"] {
            assert_eq!(x_challenge(&secrets, Some(token)), Err(ChallengeError::Malformed), "{token:?}");
        }
    }

    #[test]
    fn a_body_that_is_no_object_and_no_array_is_not_xs_whatever_its_signature() {
        let secrets = AppSecret::list("a");
        let is_taken =
            |body: &str| is_xs(&secrets, &sign_as_x(&secrets[0], body.as_bytes()), body.as_bytes());
        for body in ["{}", "[]", " \t\r\n{}", "\n[1]", "{"] {
            assert!(is_taken(body), "{body:?}");
        }
        for body in ["", " ", "1", "null", "\"{\"", "abc", " a{", "\u{feff}{}", "\u{b}{}"] {
            assert!(!is_taken(body), "{body:?}");
        }
    }

    #[test]
    fn any_secret_of_the_list_fits_and_no_other() {
        for list in ["_MY_SECRET_,b", " a , _MY_SECRET_ ,", ",,_MY_SECRET_"] {
            assert!(is_metas(&AppSecret::list(list), META_SIGNATURE, META_BODY), "{list}");
        }
        for list in ["", ",", "a,b", "_my_secret_"] {
            assert!(!is_metas(&AppSecret::list(list), META_SIGNATURE, META_BODY), "{list}");
        }
    }

    #[test]
    fn another_spelling_of_a_signature_is_refused() {
        let secrets = AppSecret::list("_MY_SECRET_");
        let upper = META_SIGNATURE.to_uppercase().replace("SHA256", "sha256");
        let bare = META_SIGNATURE.trim_start_matches(PREFIX);
        let unpadded = X_SIGNATURE.trim_end_matches('=');
        for other in [upper.as_str(), bare, "", "sha256=", &META_SIGNATURE.replace("sha256", "sha1")] {
            assert!(!is_metas(&secrets, other, META_BODY), "{other}");
        }
        assert!(!is_xs(&AppSecret::list("test"), unpadded, X_BODY));
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", AppSecret::list("abc,def")), "[AppSecret(…), AppSecret(…)]");
    }

    #[test]
    fn the_handshake_echoes_the_challenge_only_to_who_knows_the_token() {
        let tokens = AppSecret::list("meatyhamhock");
        let ask = |mode, token, challenge| meta_challenge(&tokens, mode, token, challenge);
        let subscribe = Some("subscribe");
        assert_eq!(ask(subscribe, Some("meatyhamhock"), Some("1158201444")), Ok("1158201444"));
        assert_eq!(ask(subscribe, Some("meatyhamhock"), Some("0012 a+b=/")), Ok("0012 a+b=/"));
        for token in ["", "meatyhamhoc", "meatyhamhock ", "Meatyhamhock"] {
            assert_eq!(ask(subscribe, Some(token), Some("1")), Err(ChallengeError::Refused), "{token}");
        }
        assert_eq!(meta_challenge(&[], subscribe, Some(""), Some("1")), Err(ChallengeError::Refused));
        let long = "1".repeat(MAX_CHALLENGE_BYTES + 1);
        for challenge in [None, Some(""), Some("<b>"), Some("é"), Some("a\r\nb"), Some(long.as_str())] {
            let answer = ask(subscribe, Some("meatyhamhock"), challenge);
            assert_eq!(answer, Err(ChallengeError::Malformed), "{challenge:?}");
        }
        for mode in [None, Some("unsubscribe")] {
            assert_eq!(ask(mode, Some("meatyhamhock"), Some("1")), Err(ChallengeError::Malformed));
        }
        assert_eq!(ask(subscribe, None, Some("1")), Err(ChallengeError::Malformed));
    }

    proptest! {
        #[test]
        fn no_answer_to_a_challenge_is_the_signature_of_a_body_that_is_taken(
            text in prop_oneof![
                "[A-Za-z0-9_=+/.~-]{1,600}",
                "[ \t\r\n]{0,3}[\\[{a-z0-9_=+/.~\"\\]}-]{0,40}",
                any::<String>(),
            ],
        ) {
            let secrets = AppSecret::list("a,b");
            if let Ok(answer) = x_challenge(&secrets, Some(&text)) {
                let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
                let signature = answer["response_token"].as_str().unwrap();
                prop_assert_eq!(signature, sign_as_x(&secrets[0], text.as_bytes()));
                prop_assert!(!is_xs(&secrets, signature, text.as_bytes()));
            }
        }

        #[test]
        fn altering_any_one_byte_of_body_or_signature_is_refused(
            content in proptest::collection::vec(any::<u8>(), 0..200),
            at in any::<proptest::sample::Index>(),
            other in 1_u8..,
        ) {
            let secrets = AppSecret::list("a,b");
            let body = [b"{".as_slice(), &content].concat();
            let mut altered = body.clone();
            altered[at.index(body.len())] ^= other;
            for secret in &secrets {
                let (meta, x) = (sign_as_meta(secret, &body), sign_as_x(secret, &body));
                prop_assert!(is_metas(&secrets, &meta, &body) && is_xs(&secrets, &x, &body));
                prop_assert!(!is_metas(&secrets, &meta, &altered) && !is_xs(&secrets, &x, &altered));
                for (signature, fits) in [(meta, is_metas as fn(&[AppSecret], &str, &[u8]) -> bool), (x, is_xs)] {
                    let mut bytes = signature.into_bytes();
                    let at = at.index(bytes.len());
                    bytes[at] = (bytes[at] ^ other) & 0x7f;
                    let altered = String::from_utf8(bytes).unwrap();
                    let same = other & 0x7f == 0;
                    prop_assert_eq!(fits(&secrets, &altered, &body), same);
                }
            }
        }
    }
}
