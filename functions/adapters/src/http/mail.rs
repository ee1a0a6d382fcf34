//! E-mail by Amazon SES: one call of its API v2, `SendEmail`, signed with the function's own credentials.
//!
//! The SDK's client for SES would be as large as the rest of the function, for one call. What signs it is what the
//! SDK's other clients sign with.
//!
//! # What is guaranteed
//! - A call ends within 15 s.
//! - Subject and text are members of a JSON document, of which SES makes the headers. The address was checked when it
//!   was given, and has nothing that could end a header or name a second recipient.
//! - No error has an address or a text in it: SES quotes addresses in its messages, so that its code alone is kept.
//!
//! Not guaranteed: whether a call without an answer sent the e-mail. A repeat may send it twice.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use carteiro_core::alert::text::AlertText;
use http::Request;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::network_client::{Address, CallError, InvalidAddress, connector, tls};
use crate::runtime::tls::{Authorities, LazyTls};

/// The limit of a call, from the name's resolution to the answer's end.
const LONGEST_CALL: Duration = Duration::from_secs(15);

/// How much of an answer is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// The longest code of an error that is kept, in bytes.
const MAX_CODE_BYTES: usize = 64;

const PATH: &str = "/v2/email/outbound-emails";

/// The address of SES, a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SesAddress(Address);

impl FromStr for SesAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        text.parse().map(Self)
    }
}

/// Sends e-mails.
pub struct MailSender {
    /// The address that they come from.
    from: String,
    ses: SesAddress,
    region: String,
    credentials: SharedCredentialsProvider,
    tls: LazyTls,
}

impl fmt::Debug for MailSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailSender").field("ses", &self.ses).finish_non_exhaustive()
    }
}

/// Why an e-mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// SES refused it, and will refuse it again: an identity that is not verified, a recipient that is suppressed, a
    /// permission that is missing.
    #[error("SES refused the e-mail with {status} {code}")]
    Refused {
        /// The status.
        status: u16,
        /// The code.
        code: String,
    },
    /// It could not be sent now: SES is throttled, or has a fault.
    #[error("SES could not take the e-mail now: {status} {code}")]
    NotNow {
        /// The status.
        status: u16,
        /// The code.
        code: String,
    },
    /// There was no whole answer. It may have been sent all the same.
    #[error("SES did not answer: {0}")]
    Call(#[from] CallError),
    /// A fault of this side: no credentials, no TLS.
    #[error("the call of SES could not be made: {0}")]
    NotMade(&'static str),
}

impl MailError {
    /// Whether a repeat may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

impl MailSender {
    /// Sends from this address, by SES at `ses` in a region, with these credentials.
    #[must_use]
    pub fn new(
        from: String,
        ses: SesAddress,
        region: String,
        credentials: SharedCredentialsProvider,
    ) -> Self {
        Self { from, ses, region, credentials, tls: tls(Authorities::OfTheSystem) }
    }

    /// Sends one e-mail.
    ///
    /// # Errors
    /// Why it was not sent, or why that is not known.
    pub async fn send(&self, to: &str, text: &AlertText, now: Timestamp) -> Result<(), MailError> {
        let request = self.request(to, text, now).await?;
        let exchange = async {
            let connector = connector(&self.tls).map_err(|_| MailError::NotMade("TLS cannot be set up"))?;
            let client = Client::builder(TokioExecutor::new()).build(connector);
            let response = client.request(request).await.map_err(|error| CallError::of_client(&error))?;
            let (head, body) = response.into_parts();
            let status = head.status.as_u16();
            if head.status.is_success() {
                return Ok(());
            }
            let named = head.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            Err(refusal(status, named, &body))
        };
        let sent = tokio::time::timeout(LONGEST_CALL, exchange).await;
        sent.unwrap_or(Err(MailError::Call(CallError::TimedOut)))
    }

    async fn request(
        &self,
        to: &str,
        text: &AlertText,
        now: Timestamp,
    ) -> Result<Request<Full<Bytes>>, MailError> {
        let body = Bytes::from(document(&self.from, to, text).to_string());
        let uri = format!("{}{PATH}", self.ses.0.base());
        let credentials = self.credentials.provide_credentials().await;
        let identity = credentials.map_err(|_| MailError::NotMade("there are no credentials"))?.into();
        let at = u64::try_from(now.as_second()).unwrap_or_default();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("ses")
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(at))
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| MailError::NotMade("a part of the signature is missing"))?
            .into();
        let signed = [("content-type", "application/json")];
        let signable = SignableRequest::new("POST", &uri, signed.into_iter(), SignableBody::Bytes(&body));
        let signable = signable.map_err(|_| MailError::NotMade("the address of SES makes no request"))?;
        let instructions = sign(signable, &parameters);
        let instructions = instructions.map_err(|_| MailError::NotMade("it could not be signed"))?;
        let request = Request::post(&uri)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, crate::http::sender::USER_AGENT)
            .body(Full::new(body.clone()));
        let mut request = request.map_err(|_| MailError::NotMade("the address of SES makes no request"))?;
        instructions.into_parts().0.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

/// The document of a call.
fn document(from: &str, to: &str, text: &AlertText) -> Value {
    let mut headers = vec![
        // Answers of machines, such as notices of absence, are not wanted.
        json!({"Name": "Auto-Submitted", "Value": "auto-generated"}),
    ];
    if let Some(stop) = &text.stop {
        // A mail program shows a button for it (RFC 8058).
        headers.push(json!({"Name": "List-Unsubscribe", "Value": format!("<{stop}>")}));
        headers.push(json!({"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"}));
    }
    let content = |data: &str| json!({"Data": data, "Charset": "UTF-8"});
    json!({
        "FromEmailAddress": from,
        "Destination": {"ToAddresses": [to]},
        "Content": {"Simple": {
            "Subject": content(&text.subject),
            "Body": {"Text": content(&text.body)},
            "Headers": headers,
        }},
    })
}

/// What an answer that is no success means. The code is in a header or in the body, and may have a name space before it
/// and an address behind it.
fn refusal(status: u16, named: Option<&str>, body: &[u8]) -> MailError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let named = named.or_else(|| body["__type"].as_str()).unwrap_or_default();
    let code = named.split(':').next().unwrap_or_default().rsplit('#').next().unwrap_or_default();
    let is_code = code.len() <= MAX_CODE_BYTES && code.bytes().all(|b| b.is_ascii_alphanumeric());
    let code = if is_code { code.to_owned() } else { String::new() };
    let is_throttle = matches!(
        code.as_str(),
        "TooManyRequestsException"
            | "ThrottlingException"
            | "LimitExceededException"
            | "SendingPausedException"
    );
    if status == 429 || status >= 500 || is_throttle {
        MailError::NotNow { status, code }
    } else {
        MailError::Refused { status, code }
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::*;

    fn text() -> AlertText {
        AlertText { subject: "Olá".to_owned(), body: "Linha\n\"aspas\"".to_owned(), stop: None }
    }

    fn sender() -> MailSender {
        let credentials = Credentials::new("AKID", "secret", None, None, "test");
        let ses = "https://email.us-east-1.amazonaws.com/".parse().unwrap();
        let credentials = SharedCredentialsProvider::new(credentials);
        MailSender::new("from@example.com".to_owned(), ses, "us-east-1".to_owned(), credentials)
    }

    #[tokio::test]
    async fn a_call_is_signed_for_ses_and_for_its_body() {
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let request = sender().request("to@example.com", &text(), now).await.unwrap();
        assert_eq!(request.uri(), "https://email.us-east-1.amazonaws.com/v2/email/outbound-emails");
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-amz-date"), "20261130T120000Z");
        let scope = "AWS4-HMAC-SHA256 Credential=AKID/20261130/us-east-1/ses/aws4_request, ";
        assert!(header("authorization").starts_with(scope), "{}", header("authorization"));
        assert!(header("authorization").contains("SignedHeaders=content-type;host;x-amz-date"));
        let other = AlertText { subject: "x".to_owned(), ..text() };
        let other = sender().request("to@example.com", &other, now).await.unwrap();
        assert_ne!(other.headers()["authorization"], request.headers()["authorization"]);
    }

    #[test]
    fn a_text_is_a_member_of_the_document_whatever_it_holds() {
        let sent = document("from@example.com", "to@example.com", &text());
        assert_eq!(sent["Content"]["Simple"]["Subject"]["Data"], "Olá");
        assert_eq!(sent["Content"]["Simple"]["Body"]["Text"]["Data"], "Linha\n\"aspas\"");
        let headers = |sent: &Value| sent["Content"]["Simple"]["Headers"].to_string();
        assert!(!headers(&sent).contains("Unsubscribe"));
        let alert = AlertText { stop: Some("https://a.example/stop".to_owned()), ..text() };
        let alert = document("from@example.com", "to@example.com", &alert);
        assert!(headers(&alert).contains("<https://a.example/stop>"), "{alert}");
        assert_eq!(sent["Destination"], json!({"ToAddresses": ["to@example.com"]}));
    }

    #[test]
    fn a_refusal_keeps_its_code_and_no_message() {
        let body = br#"{"message":"Email address is not verified: to@example.com"}"#;
        let table = [
            (400, Some("MessageRejected:http://internal.amazon.com/"), &body[..], "MessageRejected", false),
            (400, None, br#"{"__type":"com.amazonaws#BadRequestException"}"#, "BadRequestException", false),
            (403, None, b"<html>", "", false),
            (429, Some("TooManyRequestsException"), b"", "TooManyRequestsException", true),
            (400, Some("LimitExceededException"), b"", "LimitExceededException", true),
            (503, Some("to@example.com"), b"", "", true),
        ];
        for (status, named, body, expected, is_transient) in table {
            let error = refusal(status, named, body);
            let said = error.to_string();
            assert!(said.ends_with(&format!("{status} {expected}")), "{said}");
            assert_eq!(error.is_transient(), is_transient, "{said}");
            assert!(!said.contains('@'), "{said}");
        }
    }
}
