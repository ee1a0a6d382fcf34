//! Why a call has no answer.

use std::error::Error;
use std::io;

/// Why a call has no answer. It is in our own words and has no source: the libraries' errors may show the URL, and the
/// URL a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing was sent: the time for it was over already.
    #[error("no time was left for the call")]
    NoTime,
    /// Nothing was sent: it lacks this, or this cannot stand in a request.
    #[error("the call cannot be made: {0}")]
    NotMade(&'static str),
    /// Nothing was sent: the host was not found, or does not accept connections.
    #[error("no connection to the network")]
    NoConnection,
    /// TLS could not be agreed on, or the certificate is not good.
    #[error("no TLS with the network")]
    Tls,
    /// The answer did not begin or end in time.
    #[error("the network did not answer in time")]
    TimedOut,
    /// The connection broke, or the answer is not HTTP, or its coding was not requested.
    #[error("the network's answer broke off or is not HTTP")]
    Broken,
    /// The answer is larger than any that is read.
    #[error("the network's answer is too large")]
    TooLarge,
}

impl CallError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(self) -> bool {
        !matches!(self, Self::NotMade(_) | Self::TooLarge)
    }

    /// Whether it is certain that the network never got the call. Where it is not, a renewal may have been done.
    #[must_use]
    pub fn is_unsent(self) -> bool {
        matches!(self, Self::NoTime | Self::NotMade(_) | Self::NoConnection)
    }

    /// In one word, for logs and counts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoTime => "no_time",
            Self::NotMade(_) => "not_made",
            Self::NoConnection => "no_connection",
            Self::Tls => "tls",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
            Self::TooLarge => "too_large",
        }
    }

    /// Sorts the client's error.
    pub(in crate::http) fn of_client(error: &hyper_util::client::legacy::Error) -> Self {
        if is_tls(error) {
            Self::Tls
        } else if error.is_connect() {
            Self::NoConnection
        } else {
            Self::Broken
        }
    }
}

fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.is::<rustls::Error>() {
            return true;
        }
        next = cause.source().or_else(|| inner_of_io(cause));
    }
    false
}

/// An I/O error shows the error that it wraps by `get_ref`; its source is only the one below that.
fn inner_of_io<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
    Some(inner)
}
