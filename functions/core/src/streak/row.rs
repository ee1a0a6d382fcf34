//! The row of a streak: its attributes, and what they say at a time.

use jiff::Timestamp;

use crate::tally;
use crate::transition::{Row, Value};

pub(super) const STREAK: &str = "streak";
pub(super) const FAILURES: &str = "failures";
pub(super) const TIMEOUTS_ONLY: &str = "timeouts_only";
pub(crate) const EPOCH: &str = "epoch";
pub(super) const BLOCKED_AT: &str = "blocked_at";
pub(super) const BLOCKED_UNTIL: &str = "blocked_until";
pub(crate) const LAST_ERROR: &str = "last_error";
pub(super) const DISCARDED: &str = "discarded";
/// The id of a pending warning.
pub(crate) const WARNING: &str = "warning";
/// The id of a pending notice of a block.
pub(crate) const BLOCK_NOTICE: &str = "block_notice";
/// The id of a pending notice of a release.
pub(crate) const RELEASE_NOTICE: &str = "release_notice";
/// The end of the claim of whoever is sending the notices.
pub(crate) const TELLING_UNTIL: &str = "telling_until";
/// A pending notice that the webhook was disabled, on the row of a revision as a whole.
pub(crate) const DISABLED_NOTICE: &str = "disabled_notice";
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// The epoch of a retired row.
pub const RETIRED: &str = "retired";

/// When the pending notices are due. Adapters index it.
pub const DUE_AT: &str = "due_at";

/// All attributes, for adapters that read rows.
pub const ATTRIBUTES: [&str; 22] = [
    TELLING_UNTIL,
    STREAK,
    FAILURES,
    TIMEOUTS_ONLY,
    EPOCH,
    BLOCKED_AT,
    BLOCKED_UNTIL,
    LAST_ERROR,
    DISCARDED,
    WARNING,
    BLOCK_NOTICE,
    RELEASE_NOTICE,
    DISABLED_NOTICE,
    DUE_AT,
    EXPIRES_AT,
    tally::DEAD_NOTICE,
    tally::DEAD_COUNT,
    tally::DEAD_ITEM,
    tally::DEAD_ACCEPTED,
    tally::DEAD_CAUSE,
    tally::DEAD_TOLD_AT,
    tally::DROPPED,
];

/// The state that a row stands for at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The fence.
    pub epoch: Option<String>,
    /// The phase.
    pub phase: Phase,
}

/// The phase of an item type at a webhook: open, failing or blocked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Attempts may be made, and the last one succeeded, or there was none.
    Open,
    /// Attempts may be made, and the last ones failed.
    Failing {
        /// The streak's id.
        streak: String,
        /// How many of them failed in a row.
        failures: u32,
        /// Whether each failure was a time-out.
        timeouts_only: bool,
    },
    /// Nothing is attempted.
    Blocked {
        /// When the block began.
        at: Timestamp,
        /// When the block ends.
        until: Timestamp,
    },
}

impl State {
    /// The state that a row, or a missing row, stands for at `now`.
    #[must_use]
    pub fn of(row: Option<&Row>, now: Timestamp) -> Self {
        let text = |name: &str| match row.and_then(|row| row.get(name)) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let number = |name: &str| match row.and_then(|row| row.get(name)) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        };
        let time = |name: &str| number(name).and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let phase = match (time(BLOCKED_UNTIL), text(STREAK)) {
            (Some(until), _) if now < until => Phase::Blocked { at: time(BLOCKED_AT).unwrap_or(now), until },
            (None, Some(streak)) => {
                let failures = number(FAILURES).and_then(|failures| u32::try_from(failures).ok());
                Phase::Failing {
                    streak,
                    failures: failures.unwrap_or_default(),
                    timeouts_only: row.is_some_and(|row| row.contains_key(TIMEOUTS_ONLY)),
                }
            }
            _ => Phase::Open,
        };
        Self { epoch: text(EPOCH), phase }
    }

    /// How many attempts in a row have failed, while it is open.
    #[must_use]
    pub fn failures(&self) -> u32 {
        match self.phase {
            Phase::Failing { failures, .. } => failures,
            _ => 0,
        }
    }
}

/// When a row's block began and when it ends or ended.
pub(crate) fn block_of(row: &Row) -> Option<(Timestamp, Timestamp)> {
    let time = |name: &str| match row.get(name) {
        Some(Value::Number(ms)) => Timestamp::from_millisecond(*ms).ok(),
        _ => None,
    };
    Some((time(BLOCKED_AT)?, time(BLOCKED_UNTIL)?))
}

/// Details of a row, for its owner to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The last failure, as it was recorded.
    pub last_error: Option<String>,
    /// How many items were dropped since the block began.
    pub discarded: u64,
}

impl Details {
    /// Reads a row.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        let discarded = match row.get(DISCARDED) {
            Some(Value::Number(items)) => u64::try_from(*items).unwrap_or_default(),
            _ => 0,
        };
        let last_error = match row.get(LAST_ERROR) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        Self { last_error, discarded }
    }
}
