//! How Meta signs its pushes, and how its check of our address is answered.
//!
//! Meta's bodies arrive with their escapes already made; what parses and writes them again computes another signature.
//! Meta's page says that it signs the escaped form of a text, `\u00e9` for `é`, so where a body arrives unescaped and
//! its bytes do not verify, its escaped form is tried too. An older text lists more escapes (`\/`, `\u003C`, `\u0025`,
//! `\u0040`): they are not tried, for the page of today does not name them, no captured body needs them, and each form
//! more is an HMAC more for whoever sends forgeries.
//!
//! The check is answered with the text itself, and nothing is signed for it.
//!
//! Source: developers.facebook.com/docs/graph-api/webhooks/getting-started.

use crate::push::MAX_PUSH_BYTES;
use crate::push::signature::{AppSecret, ChallengeError, MAX_CHALLENGE_BYTES, is_one_of, is_signed};
use crate::spec::{ChallengeAnswer, Query};

/// The header of Meta's signature: `sha256=<lowercase hexadecimal>`.
pub const HEADER: &str = "x-hub-signature-256";

/// Whether a body is Meta's: `signature` is the value of [`HEADER`], made with any of the secrets. Apps of
/// Instagram Login have a secret of their own, so that several are in use at once. The signature may be of the body's
/// bytes or, where they hold other characters than ASCII's, of their escaped form.
#[must_use]
pub fn is_genuine(secrets: &[AppSecret], signature: &str, body: &[u8]) -> bool {
    is_signed(secrets, signature, body, hexadecimal)
        || escaped(body).is_some_and(|escaped| is_signed(secrets, signature, &escaped, hexadecimal))
}

/// A body with every character beyond ASCII as `\uXXXX`, in lower-case hexadecimal digits and, beyond the Basic
/// Multilingual Plane, as a pair of surrogates; at most three times as long. None where there is no such character, or
/// where the escaped form would be another text than the body: what is not UTF-8, or has a backslash before one.
fn escaped(body: &[u8]) -> Option<Vec<u8>> {
    if body.is_ascii() || body.len() > MAX_PUSH_BYTES {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    let (mut out, mut units, mut after_backslash) = (Vec::with_capacity(3 * body.len()), [0; 2], false);
    for character in text.chars() {
        if character.is_ascii() {
            out.push(u8::try_from(character).ok()?);
        } else if after_backslash {
            return None;
        } else {
            for unit in character.encode_utf16(&mut units) {
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        }
        after_backslash = character == '\\' && !after_backslash;
    }
    Some(out)
}

/// The value of [`HEADER`] for a body, as Meta makes it.
#[must_use]
pub fn sign(secret: &AppSecret, body: &[u8]) -> String {
    secret.mac(body).map(|mac| format!("sha256={}", hexadecimal(&mac))).unwrap_or_default()
}

/// Answers a check: the parameters are `hub.mode`, `hub.verify_token` and `hub.challenge`.
pub(crate) fn challenge(tokens: &[AppSecret], query: Query<'_>) -> Result<ChallengeAnswer, ChallengeError> {
    let (mode, token, text) = (query("hub.mode"), query("hub.verify_token"), query("hub.challenge"));
    let body = challenge_answer(tokens, mode, token, text)?.to_owned();
    Ok(ChallengeAnswer::new("text/plain", body))
}

/// The answer's body to Meta's `GET` with `hub.mode`, `hub.verify_token` and `hub.challenge`: the challenge, byte for
/// byte. `tokens` are those that are valid; none of them means that nothing is answered.
///
/// What is answered was asked by whoever knows the token; all the same it never holds what a browser takes as markup.
///
/// # Errors
/// See [`ChallengeError`].
pub fn challenge_answer<'a>(
    tokens: &[AppSecret],
    mode: Option<&str>,
    token: Option<&str>,
    challenge: Option<&'a str>,
) -> Result<&'a str, ChallengeError> {
    if !is_one_of(tokens, token.ok_or(ChallengeError::Malformed)?) {
        return Err(ChallengeError::Refused);
    }
    let plain = |b: u8| (b' '..=b'~').contains(&b) && !b"<>&\"'".contains(&b);
    let is_safe = |text: &&str| (1..=MAX_CHALLENGE_BYTES).contains(&text.len()) && text.bytes().all(plain);
    match (mode, challenge.filter(is_safe)) {
        (Some("subscribe"), Some(challenge)) => Ok(challenge),
        _ => Err(ChallengeError::Malformed),
    }
}

fn hexadecimal(mac: &[u8; 32]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"object":"foo","entry":[{"id":"1234567890"}]}"#;
    const SIGNATURE: &str = "sha256=213c1132c265fc81f96f8188d7ac50d549e3529e474b7dfa33f932696ea08451";

    #[test]
    fn the_published_vector_is_taken() {
        assert!(is_genuine(&AppSecret::list("_MY_SECRET_"), SIGNATURE, BODY));
        assert_eq!(sign(&AppSecret::list("_MY_SECRET_")[0], BODY), SIGNATURE);
    }

    #[test]
    fn any_secret_of_the_list_fits_and_no_other() {
        for list in ["_MY_SECRET_,b", " a , _MY_SECRET_ ,", ",,_MY_SECRET_"] {
            assert!(is_genuine(&AppSecret::list(list), SIGNATURE, BODY), "{list}");
        }
        for list in ["", ",", "a,b", "_my_secret_"] {
            assert!(!is_genuine(&AppSecret::list(list), SIGNATURE, BODY), "{list}");
        }
    }

    #[test]
    fn another_spelling_of_a_signature_is_refused() {
        let secrets = AppSecret::list("_MY_SECRET_");
        let upper = SIGNATURE.to_uppercase().replace("SHA256", "sha256");
        let bare = SIGNATURE.trim_start_matches("sha256=");
        for other in [upper.as_str(), bare, "", "sha256=", &SIGNATURE.replace("sha256", "sha1")] {
            assert!(!is_genuine(&secrets, other, BODY), "{other}");
        }
    }

    #[test]
    fn the_challenge_is_echoed_to_who_knows_the_token() {
        let tokens = AppSecret::list("meatyhamhock");
        let ask = |mode, token, challenge| challenge_answer(&tokens, mode, token, challenge);
        let subscribe = Some("subscribe");
        assert_eq!(ask(subscribe, Some("meatyhamhock"), Some("1158201444")), Ok("1158201444"));
        assert_eq!(ask(subscribe, Some("meatyhamhock"), Some("0012 a+b=/")), Ok("0012 a+b=/"));
        for token in ["", "meatyhamhoc", "meatyhamhock ", "Meatyhamhock"] {
            assert_eq!(ask(subscribe, Some(token), Some("1")), Err(ChallengeError::Refused), "{token}");
        }
        assert_eq!(challenge_answer(&[], subscribe, Some(""), Some("1")), Err(ChallengeError::Refused));
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

    #[test]
    fn a_body_signed_in_its_escaped_form_is_taken() {
        let secrets = AppSecret::list("other,a");
        let is_taken = |signed: &str, body: &str| {
            is_genuine(&secrets, &sign(&secrets[1], signed.as_bytes()), body.as_bytes())
        };
        for (escaped, body) in [
            (r#"{"text":"\u00e4\u00f6\u00e5"}"#, r#"{"text":"äöå"}"#),
            (r#"{"text":"\u2764\ufe0f \ud83d\ude4f a"}"#, r#"{"text":"❤️ 🙏 a"}"#),
            (r#"{"text":"\\\u00e9"}"#, r#"{"text":"\\é"}"#),
            (r#"{"text":"\u00e9 \u00e9"}"#, r#"{"text":"\u00e9 é"}"#),
        ] {
            assert!(is_taken(escaped, body) && is_taken(body, body) && is_taken(escaped, escaped), "{body}");
        }
        for (signed, body) in [
            // Other digits, other escapes, another text.
            (r#"{"text":"\u00E9"}"#, r#"{"text":"é"}"#),
            (r#"{"text":"\u00e9\/"}"#, r#"{"text":"é/"}"#),
            (r#"{"text":"\u00e9 a"}"#, r#"{"text":"é b"}"#),
            (r#"{"text":"\u00e9"}"#, r#"{"text":"\u00e9 "}"#),
            // Signed as the six characters; as it came, it is no JSON.
            (r#"{"text":"\\u00e9"}"#, r#"{"text":"\é"}"#),
            (r#"{"text":"é"}"#, r#"{"text":"\u00e9"}"#),
        ] {
            assert!(!is_taken(signed, body), "{signed} for {body}");
        }
        assert!(!is_genuine(&[], SIGNATURE, "é".as_bytes()));
        assert_eq!(escaped(b"\xc3"), None, "no UTF-8");
        assert_eq!(escaped("é".repeat(MAX_PUSH_BYTES / 2 + 1).as_bytes()), None);
        assert_eq!(escaped("é".repeat(MAX_PUSH_BYTES / 2).as_bytes()).unwrap().len(), 3 * MAX_PUSH_BYTES);
    }
}
