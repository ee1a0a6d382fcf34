//! A network's response, and what it means.

use jiff::Timestamp;

use super::OperatorFault;

/// A network's response.
#[derive(Clone, Copy)]
pub struct NetworkResponse<'a> {
    /// Its status.
    pub status: u16,
    /// A header by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// Its body.
    pub body: &'a [u8],
}

/// What a response says of the token, the limits and the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what was asked for.
    Fine,
    /// The token is no good any more: no further call with it. One that is [narrowed](TokenTrouble::Narrowed) may still
    /// do the rest.
    Token(TokenTrouble),
    /// The token is good, and is not the page's but somebody else's: no further call with it, and nothing that came by
    /// it is the page's.
    NotThePages,
    /// A limit was reached, or nearly: no further call in its scope before then.
    Wait {
        /// Until when.
        until: Timestamp,
        /// The requests that wait.
        of: CooldownScope,
    },
    /// The network failed; the same call may succeed later. The next tick asks again.
    Transient,
    /// What was asked about is gone, or not for us to see.
    Gone,
    /// The answer is not in any known form.
    Malformed,
    /// The deployment is at fault, not the page: only its operator can mend it, and nothing is said of the token.
    OurFault(OperatorFault),
}

/// What is wrong with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenTrouble {
    /// Its time is over; a refresh may help.
    Expired,
    /// It was taken back, or its user is not what it was: only its owner can help.
    Revoked,
    /// It is good, and may not do this. Which permission is missing, where the network says so.
    Narrowed(Option<String>),
}

/// The requests that wait for the end of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CooldownScope {
    /// This page's requests of the same [`operation`](super::NetworkRequest::operation) alone. The collection goes on
    /// with others by itself, and the checkpoint keeps the time.
    ThisOperation,
    /// This page alone.
    ThePage,
    /// All pages of the deployment on the network.
    TheApp,
}

/// What a network says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInspection {
    /// Whether it is good: also whether it is the page's, and has every permission.
    pub verdict: Verdict,
    /// When it ends; none where it does not, or where that is not said.
    pub expires_at: Option<Timestamp>,
    /// When its giver's consent ends; the token stays good, and answers nothing of theirs any more.
    pub consent_ends_at: Option<Timestamp>,
}
