//! The phase of an attempt, to report where its deadline passed.

use carteiro_core::cause::Code;

/// The phase of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It looks the host's name up.
    #[default]
    Lookup,
    /// It connects.
    Connect,
    /// It agrees on TLS.
    Tls,
    /// It sends the request, and waits for the response's head.
    Head,
    /// It reads the response's body.
    Body,
}

impl Phase {
    /// Whether there is a connection to the receiver.
    pub(crate) fn is_connected(self) -> bool {
        matches!(self, Self::Head | Self::Body)
    }

    /// The cause where the deadline passes now.
    pub(crate) fn timed_out(self) -> Code {
        match self {
            Self::Lookup => Code::LookupTimedOut,
            Self::Connect => Code::ConnectTimedOut,
            Self::Tls => Code::TlsTimedOut,
            Self::Head => Code::HeadTimedOut,
            Self::Body => Code::BodyTimedOut,
        }
    }
}
