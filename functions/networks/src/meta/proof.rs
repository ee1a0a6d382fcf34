//! `appsecret_proof`: that a call comes from the app that its token was given to.
//!
//! It is the HMAC-SHA256 of the access token by the app's secret, in lower-case hexadecimal, as a parameter of the
//! call. An app may require it ("Require App Secret"); one that does not checks it all the same where it comes, and
//! refuses a wrong one. So a token of another app than those whose secrets are known is asked about without it in the
//! end.
//!
//! The documentation of Instagram's own login (graph.instagram.com) says nothing of it: there it is sent where it is
//! asked for alone.
//!
//! Sources: developers.facebook.com/docs/graph-api/guides/secure-requests; captured answers ("API calls from the server
//! require an appsecret_proof argument", "Invalid appsecret_proof provided in the API argument", both with code 100).

use crate::normalise::value::{number, parse, text};
use crate::page::{AccessToken, Login};
use crate::poll::NetworkResponse;
use crate::push::signature::AppSecret;
use crate::spec::{ProofReply, ProofSpec};

/// Meta's proof.
pub static PROOF: ProofSpec = ProofSpec {
    secrets: "META_APP_SECRETS",
    parameter: "appsecret_proof",
    is_sent_first: |token, login| Login::of(token, login) != Login::Instagram,
    of: |secret, token| proof(secret, token.reveal()).map(AccessToken::from_stored),
    read,
};

/// The proof of a token by an app's secret.
#[must_use]
pub fn proof(secret: &AppSecret, token: &str) -> Option<String> {
    let mac = secret.mac(token.as_bytes())?;
    Some(mac.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn read(answer: &NetworkResponse<'_>) -> ProofReply {
    if answer.status < 400 {
        return ProofReply::Accepted;
    }
    let body = String::from_utf8_lossy(answer.body);
    let Ok(body) = serde_json::from_str::<&serde_json::value::RawValue>(body.trim()) else {
        return ProofReply::Accepted;
    };
    let error = parse(body).get("error").cloned().unwrap_or_default();
    let said = text(&error, "message").unwrap_or_default().to_ascii_lowercase();
    match number(&error, "code") {
        Some(100) if says_proof(&said) && said.contains("invalid") => ProofReply::Refused,
        Some(100) if says_proof(&said) => ProofReply::Required,
        _ => ProofReply::Accepted,
    }
}

/// Whether an error's message, in lower case, is about the proof.
pub(super) fn says_proof(said: &str) -> bool {
    said.contains("appsecret_proof")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_the_tokens_code_by_the_apps_secret() {
        // printf token | openssl dgst -sha256 -hmac secret
        let expected = "e941110e3d2bfe82621f0e3e1434730d7305d106c5f68c87165d0b27a4611a4a";
        assert_eq!(proof(&AppSecret::list("secret")[0], "token").as_deref(), Some(expected));
    }

    #[test]
    fn an_answer_tells_whether_its_proof_was_wrong_or_missing() {
        for (status, body, expected) in [
            (
                400,
                r#"{"error":{"code":100,"message":"Invalid appsecret_proof provided in the API argument"}}"#,
                ProofReply::Refused,
            ),
            (
                400,
                r#"{"error":{"code":100,"message":"API calls from the server require an appsecret_proof argument"}}"#,
                ProofReply::Required,
            ),
            (400, r#"{"error":{"code":100,"message":"(#100) Invalid cursor"}}"#, ProofReply::Accepted),
            (400, r#"{"error":{"code":190,"message":"appsecret_proof"}}"#, ProofReply::Accepted),
            (200, r#"{"id":"1","message":"Invalid appsecret_proof"}"#, ProofReply::Accepted),
            (502, "<html>appsecret_proof", ProofReply::Accepted),
        ] {
            let answer = NetworkResponse { status, header: &|_| None, body: body.as_bytes() };
            assert_eq!(read(&answer), expected, "{body}");
        }
    }
}
