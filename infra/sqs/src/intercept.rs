//! The seam for injected faults: what comes through the HTTP front passes one hook.
//!
//! The hook sees a call after it was parsed and before it is done. It is asked once a call, and its answer is
//! followed to the letter: a call that fails before its effect has none, one that fails after it has all of it.
//! Calls through the in-process handle do not pass it.

use std::time::Duration;

/// A call that came through the HTTP front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// `SendMessage`, `ReceiveMessage`, …
    pub action: &'a str,
    /// The queue it names, if it names one; whether that exists is not known yet.
    pub queue: Option<&'a str>,
    /// Whose access key signed it, if it is signed. No signature is checked.
    pub access_key_id: Option<&'a str>,
    /// What the SDK calls it by; its repeats have the same.
    pub invocation_id: Option<&'a str>,
    /// The request's JSON.
    pub body: &'a [u8],
}

/// The id of the access key that a request says to be signed with, by AWS's signature version 4:
/// `authorization: AWS4-HMAC-SHA256 Credential=<id>/<date>/<region>/<service>/aws4_request, …`.
#[must_use]
pub fn access_key_id(headers: &http::HeaderMap) -> Option<&str> {
    let signed = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("AWS4-HMAC-SHA256")?;
    let (_, credential) = signed.split_once("Credential=")?;
    credential.split_once('/').map(|(id, _)| id)
}

/// An error to answer with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The HTTP status: 503 for an outage, 400 or 403 for a throttle, as the real service uses them.
    pub status: http::StatusCode,
    /// The code, as clients see it: `ServiceUnavailable`, `RequestThrottled`, …
    pub code: String,
    /// The text.
    pub message: String,
}

/// What becomes of a call, after its delay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// Nothing out of the ordinary.
    #[default]
    Proceed,
    /// No effect, and this answer.
    FailBefore(Fault),
    /// The whole effect, and this answer in place of its own.
    FailAfter(Fault),
    /// No effect, and the connection is closed without an answer.
    DropBefore,
    /// The whole effect, and the connection is closed without an answer.
    DropAfter,
}

/// The hook's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How long the call waits before anything else happens to it, in platform time.
    pub delay: Duration,
    /// What then becomes of it.
    pub fate: Fate,
    /// How long its answer, or the end of its connection, waits after the effect, in platform time.
    pub answer_after: Duration,
}

impl From<Fate> for Verdict {
    fn from(fate: Fate) -> Self {
        Self { fate, ..Self::default() }
    }
}

/// Decides what becomes of calls. It is asked concurrently and must not block.
pub trait Intercept: Send + Sync + 'static {
    /// What becomes of this call.
    fn verdict(&self, call: Call<'_>) -> Verdict;
}

/// Lets everything through.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFaults;

impl<F> Intercept for F
where
    F: Fn(Call<'_>) -> Verdict + Send + Sync + 'static,
{
    fn verdict(&self, call: Call<'_>) -> Verdict {
        self(call)
    }
}

impl Intercept for NoFaults {
    fn verdict(&self, _: Call<'_>) -> Verdict {
        Verdict::default()
    }
}

#[cfg(test)]
mod tests {
    use super::access_key_id;

    #[test]
    fn the_access_key_of_a_signed_request_is_read() {
        let of = |authorization: &'static str| {
            let mut headers = http::HeaderMap::new();
            headers.insert("authorization", http::HeaderValue::from_static(authorization));
            access_key_id(&headers).map(str::to_owned)
        };
        let signed = "AWS4-HMAC-SHA256 Credential=Me/20261122/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0";
        assert_eq!(of(signed).as_deref(), Some("Me"));
        assert_eq!(of("AWS4-HMAC-SHA256 SignedHeaders=host"), None);
        assert_eq!(of("Bearer Credential=Me/"), None);
        assert_eq!(access_key_id(&http::HeaderMap::new()), None);
    }
}
