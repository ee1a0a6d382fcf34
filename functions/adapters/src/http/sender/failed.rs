//! Why an exchange failed.
//!
//! Only this module reads the libraries' errors, for messages to a webhook's owner.

use std::error::Error;
use std::io;

use carteiro_core::cause::{Cause, Code};
use carteiro_core::outcome::FailureKind;
use carteiro_core::response_head::not_http;
use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

/// Why an exchange failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// By the receiver, or by the network between it and us: this is a failed attempt.
    Theirs(FailureKind, Option<Cause>),
    /// By our own fault, and nothing left us: this is no attempt.
    Ours(Box<dyn Error + Send + Sync>),
}

impl Failed {
    /// A failure whose class is all that is known.
    pub(crate) fn theirs(kind: FailureKind) -> Self {
        Self::Theirs(kind, None)
    }

    /// A failure whose cause is known.
    pub(crate) fn because(kind: FailureKind, code: Code) -> Self {
        Self::Theirs(kind, Some(code.into()))
    }

    pub(crate) fn ours(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Ours(Box::new(error))
    }

    /// A TLS handshake that failed.
    pub(crate) fn of_handshake(error: &io::Error) -> Self {
        let cause = find::<rustls::Error>(error).map_or_else(|| Some(Code::TlsClosed.into()), of_tls);
        Self::Theirs(FailureKind::Tls, cause)
    }

    /// An HTTP/1 connection that broke before the response's head was complete. `heard` holds the first bytes that
    /// arrived.
    pub(crate) fn of_head(error: &hyper::Error, heard: &[u8]) -> Self {
        if let Some(failed) = of_connection(error) {
            return failed;
        }
        let broken = || if heard.is_empty() { Code::ClosedBeforeAnswer } else { Code::ClosedInHead };
        let code = not_http(heard).unwrap_or_else(|| of_parser(error).unwrap_or_else(broken));
        Self::because(FailureKind::Protocol, code)
    }

    /// A connection of HTTP/2 that broke before the response's head was there.
    pub(crate) fn of_http2(error: &hyper::Error) -> Self {
        of_connection(error).unwrap_or_else(|| Self::because(FailureKind::Protocol, Code::Http2Broken))
    }

    /// A response that broke off in its body.
    pub(crate) fn of_body(error: &hyper::Error, is_http2: bool) -> Self {
        if let Some(failed) = of_connection(error) {
            return failed;
        }
        let kind = find::<io::Error>(error).map(io::Error::kind);
        let code = match kind {
            _ if is_http2 => Code::Http2Broken,
            Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => Code::BadChunk,
            _ => Code::EndedEarly,
        };
        Self::because(FailureKind::Protocol, code)
    }
}

/// The error below HTTP that ended the connection. TLS errors come late, too: an alert because of the client's missing
/// certificate comes with the first answer.
fn of_connection(error: &hyper::Error) -> Option<Failed> {
    if let Some(tls) = find::<rustls::Error>(error) {
        return Some(Failed::Theirs(FailureKind::Tls, of_tls(tls)));
    }
    let reset = [io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionAborted, io::ErrorKind::BrokenPipe];
    let kind = find::<io::Error>(error)?.kind();
    reset.contains(&kind).then(|| Failed::because(FailureKind::Protocol, Code::ConnectionReset))
}

/// The fault that the parser of heads found. It has no codes, only messages.
fn of_parser(error: &hyper::Error) -> Option<Code> {
    if error.is_parse_status() {
        return Some(Code::BadStatusLine);
    }
    if !error.is_parse() {
        return None;
    }
    Some(match error.to_string().as_str() {
        text if text.contains("content-length") => Code::BadLength,
        text if text.contains("transfer-encoding") => Code::BadTransferCoding,
        text if text.contains("too large") => Code::HeadTooLarge,
        _ => Code::BadHeader,
    })
}

/// A TLS error in words for the server's owner.
fn of_tls(error: &rustls::Error) -> Option<Cause> {
    use rustls::Error as Tls;
    let code = match error {
        Tls::InvalidCertificate(error) => return Some(of_certificate(error)),
        Tls::NoCertificatesPresented => Code::CertificateBad,
        Tls::AlertReceived(alert) => of_alert(*alert),
        Tls::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => Code::TlsVersion,
        Tls::PeerIncompatible(_) => Code::TlsNothingInCommon,
        Tls::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            Code::NotTls
        }
        _ => Code::TlsBroken,
    };
    Some(code.into())
}

fn of_certificate(error: &CertificateError) -> Cause {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Code::CertificateExpired.into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Code::CertificateNotYetValid.into()
        }
        CertificateError::NotValidForName => Code::CertificateWrongHost.into(),
        CertificateError::NotValidForNameContext { presented, .. } => {
            Cause::of_other_names(presented.iter().map(|name| bare(name)))
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Code::CertificateUntrusted.into(),
        CertificateError::Revoked => Code::CertificateRevoked.into(),
        // An authority's certificate in the server's place: it signed itself.
        CertificateError::Other(error) if format!("{error:?}").contains("CaUsedAsEndEntity") => {
            Code::CertificateUntrusted.into()
        }
        _ => Code::CertificateBad.into(),
    }
}

fn of_alert(alert: AlertDescription) -> Code {
    match alert {
        AlertDescription::ProtocolVersion => Code::TlsVersion,
        AlertDescription::HandshakeFailure
        | AlertDescription::InsufficientSecurity
        | AlertDescription::NoApplicationProtocol => Code::TlsNothingInCommon,
        AlertDescription::UnrecognisedName => Code::TlsNameRefused,
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            Code::ClientCertificateDemanded
        }
        _ => Code::TlsRefused,
    }
}

/// The name inside the library's form, for example `a.example` of `DnsName("a.example")`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, inner)| inner.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

/// The first error of this type in a chain.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        next = cause.source().or_else(|| inner_of_io(cause));
    }
    None
}

/// An I/O error shows the error that it wraps by `get_ref`; its source is only the one below that.
fn inner_of_io<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
    Some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificates_names_are_shown_bare() {
        let names = ["DnsName(\"a.example\")", "IpAddress(127.0.0.1)", "odd"].map(bare);
        assert_eq!(names, ["a.example", "127.0.0.1", "odd"]);
    }

    #[test]
    fn an_alert_says_what_the_server_did_not_take() {
        for (alert, code) in [
            (AlertDescription::ProtocolVersion, Code::TlsVersion),
            (AlertDescription::HandshakeFailure, Code::TlsNothingInCommon),
            (AlertDescription::UnrecognisedName, Code::TlsNameRefused),
            (AlertDescription::CertificateRequired, Code::ClientCertificateDemanded),
            (AlertDescription::InternalError, Code::TlsRefused),
        ] {
            let error = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::AlertReceived(alert));
            let Failed::Theirs(FailureKind::Tls, Some(cause)) = Failed::of_handshake(&error) else {
                panic!()
            };
            assert_eq!(cause.code, code, "{alert:?}");
        }
    }
}
