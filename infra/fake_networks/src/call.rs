//! What was called.

use serde::Serialize;

/// One call of a network's API, whatever came of it. It has no token and no secret in it.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// In the order of arrival, from 1, over all networks.
    pub number: u64,
    /// By the clock, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What was asked for, in one word: mostly the last part of the path.
    pub kind: String,
    /// The path below the network's address.
    pub path: String,
    /// The query, without secrets, not decoded.
    pub query: String,
    /// The page whose token it was made with; None where no token of any page was.
    pub page: Option<String>,
    /// The status of the answer; None where the connection was closed without one.
    pub status: Option<u16>,
    /// What it took of the network's budget, in its own units.
    pub units: u32,
    /// Whether it came although a limit was spent, or the network had said to wait.
    pub over_limit: bool,
    /// Whether it came with a token that the network had refused before, and that nothing had changed since.
    pub dead_token: bool,
    /// What went wrong on demand.
    pub fault: Option<&'static str>,
}
