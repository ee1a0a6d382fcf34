//! Receivers that misbehave, for tests: each does one thing that a customer's server, or what pretends to be one, may
//! do to a sender, and says what an attempt at it is to be recorded as.
//!
//! The servers speak raw TCP, TLS and HTTP/2 frames, for a library would not let them be wrong. They listen on free
//! ports of this machine, on the Tokio runtime in which they are started, and stop when they are dropped.
//!
//! The catalogue ([`catalogue`]) is the one place that lists them: the sender's tests, the end-to-end test and the
//! table in `docs/hostile_receivers.md` are made of it or held to it.

mod authority;
mod bodies;
mod handshakes;
mod heads;
mod http2;
mod http2_frames;
mod kept;
mod running;
mod transport;
pub mod well_behaved;
mod wire;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

use carteiro_core::outcome::{FailureKind, Outcome};

pub use authority::{Authority, AuthorityError};
pub use running::{Running, StartError};
pub use wire::Wire;

/// What an attempt at a receiver is recorded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// A success with this status.
    Success(u16),
    /// A failure of this class, with the status of the response, where one began.
    Failure(FailureKind, Option<u16>),
}

impl Recorded {
    /// What an outcome is recorded as.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Success { status } => Self::Success(*status),
            Outcome::Failure(failure) => Self::Failure(failure.kind, failure.status),
        }
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success(status) => write!(f, "success, {status}"),
            Self::Failure(kind, None) => f.write_str(kind.as_str()),
            Self::Failure(kind, Some(status)) => write!(f, "{}, {status}", kind.as_str()),
        }
    }
}

/// Which certificate a receiver shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certificate {
    Good,
    SelfSigned,
    Expired,
    NotYetValid,
    WrongHost,
}

/// What a receiver stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Plain HTTP.
    Tcp,
    /// A URL with `https`, and bytes over TCP of its own instead of TLS.
    TcpForTls,
    /// TLS, over which HTTP/1.1 is spoken.
    Tls(Certificate),
    /// TLS that asks the client for a certificate.
    TlsOfClients,
    /// TLS, over which HTTP/2 was agreed on.
    Http2,
    /// A port on which nobody listens.
    Nobody,
    /// A socket that listens, whose queue is full and from which nobody accepts.
    FullBacklog,
}

pub(crate) type Behaving = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// One receiver of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Hostile {
    /// Its name, of which its test has its own: what it does, in snake case.
    pub name: &'static str,
    /// What it does, in words.
    pub does: &'static str,
    /// What an attempt at it is recorded as, the first and any later one.
    pub recorded: Recorded,
    pub(crate) stage: Stage,
    /// What it does with a connection.
    pub(crate) behave: fn(Wire) -> Behaving,
}

/// A group of the catalogue, as the table shows it.
#[derive(Clone, Debug)]
pub struct Group {
    /// What is attacked.
    pub heading: &'static str,
    /// The receivers.
    pub receivers: Vec<Hostile>,
}

/// All of them.
#[must_use]
pub fn catalogue() -> Vec<Group> {
    vec![
        Group { heading: "Connections", receivers: transport::receivers() },
        Group { heading: "Heads", receivers: heads::receivers() },
        Group { heading: "Bodies", receivers: bodies::receivers() },
        Group { heading: "Kept connections", receivers: kept::receivers() },
        Group { heading: "TLS", receivers: handshakes::receivers() },
        Group { heading: "HTTP/2", receivers: http2::receivers() },
    ]
}

/// The receiver of this name.
#[must_use]
pub fn find(name: &str) -> Option<Hostile> {
    catalogue().into_iter().flat_map(|group| group.receivers).find(|hostile| hostile.name == name)
}

pub(crate) const fn failure(kind: FailureKind) -> Recorded {
    Recorded::Failure(kind, None)
}

pub(crate) const fn broken_off(kind: FailureKind, status: u16) -> Recorded {
    Recorded::Failure(kind, Some(status))
}

/// An entry of the catalogue whose server is an `async` block over a [`Wire`].
macro_rules! hostile {
    ($stage:expr, $name:ident, $does:literal, $recorded:expr, |$wire:ident| $body:block) => {
        crate::Hostile {
            name: stringify!($name),
            does: $does,
            recorded: $recorded,
            stage: $stage,
            behave: |$wire| {
                Box::pin(async move {
                    let mut $wire = $wire;
                    // Some servers only hold what they were given.
                    let _ = &mut $wire;
                    $body
                })
            },
        }
    };
    ($stage:expr, |$wire:ident| $($name:ident $does:literal => $recorded:expr; $body:block)+) => {
        vec![$(crate::hostile!($stage, $name, $does, $recorded, |$wire| $body)),+]
    };
}
pub(crate) use hostile;
