//! Why an exchange failed.

use std::error::Error;
use std::io;

use carteiro_core::outcome::FailureKind;

/// Why an exchange failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// By the receiver, or what is between it and us: this is a failed attempt.
    Theirs(FailureKind),
    /// By our own fault, and nothing left us: this is no attempt.
    Ours(Box<dyn Error + Send + Sync>),
}

impl From<hyper::Error> for Failed {
    /// What broke a connection that was there. Over TLS its own errors come late, too: of a client without the
    /// certificate that is demanded, say.
    fn from(error: hyper::Error) -> Self {
        let mut next: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(cause) = next {
            if cause.is::<rustls::Error>() {
                return Self::Theirs(FailureKind::Tls);
            }
            next = cause.source().or_else(|| inner_of_io(cause));
        }
        Self::Theirs(FailureKind::Protocol)
    }
}

/// An I/O error shows what it wraps by `get_ref`, and as its source only what that wraps.
fn inner_of_io<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
    Some(inner)
}
