//! Answers a deployment that waits: one `PUT` to the pre-signed address that CloudFormation gave.
//!
//! The address is a credential: it is in no error and no log.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::network_client::{CallError, connector, is_loopback, tls};
use crate::runtime::tls::Authorities;

/// A pre-signed address: `https`, or `http` with a loopback host, where the deployment is played on this machine.
pub struct ReplyAddress(Uri);

impl fmt::Debug for ReplyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyAddress(…)")
    }
}

/// A text that is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address for the answer is neither https nor http with a loopback host")]
pub struct InvalidReplyAddress;

impl FromStr for ReplyAddress {
    type Err = InvalidReplyAddress;

    fn from_str(text: &str) -> Result<Self, InvalidReplyAddress> {
        let uri: Uri = text.parse().map_err(|_| InvalidReplyAddress)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(InvalidReplyAddress)?;
        match uri.scheme_str() {
            Some("https") => Ok(Self(uri)),
            Some("http") if is_loopback(host) => Ok(Self(uri)),
            _ => Err(InvalidReplyAddress),
        }
    }
}

/// Why an answer was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    NoTls(#[from] rustls::Error),
    /// The address did not answer.
    #[error("the answer could not be sent: {0}")]
    Call(#[from] CallError),
    /// It answered with this status.
    #[error("the answer was refused with {0}")]
    Refused(u16),
}

impl ReplyAddress {
    /// Puts an answer there, within a time. It has no content type, for the address was signed without one.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn put(&self, body: String, within: Duration) -> Result<(), ReplyError> {
        let client = Client::builder(TokioExecutor::new()).build(connector(&tls(Authorities::OfTheSystem))?);
        let request = Request::put(self.0.clone()).body(Full::new(Bytes::from(body)));
        let request = request.map_err(|_| CallError::NotMade("the address does not make a request"))?;
        let response = tokio::time::timeout(within, client.request(request)).await;
        let response = response.map_err(|_| CallError::TimedOut)?;
        let status = response.map_err(|error| CallError::of_client(&error))?.status();
        if status.is_success() { Ok(()) } else { Err(ReplyError::Refused(status.as_u16())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_or_this_machine_is_answered() {
        for good in [
            "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com/arn%3Aaws?X-Amz-Signature=a%2Fb",
            "http://localhost:4566/_ministack/cfn-response/1",
            "http://127.0.0.1:1/",
        ] {
            assert_eq!(good.parse::<ReplyAddress>().unwrap().0.to_string(), good);
        }
        for bad in ["", "localhost", "http://example.com/", "ftp://localhost/", "https://"] {
            assert_eq!(bad.parse::<ReplyAddress>().unwrap_err(), InvalidReplyAddress, "{bad}");
        }
    }
}
