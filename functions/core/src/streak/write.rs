//! The conditional writes on the row of a streak, as values.

use std::time::Duration;

use jiff::Timestamp;

use super::row::{
    BLOCK_NOTICE, BLOCKED_AT, BLOCKED_UNTIL, DISCARDED, DUE_AT, EPOCH, EXPIRES_AT, FAILURES, LAST_ERROR,
    RELEASE_NOTICE, RETIRED, STREAK, TIMEOUTS_ONLY, WARNING,
};
use super::rule::{Rule, WARNINGS, band, warnings_passed};
use crate::tally;
use crate::transition::{Change, Condition, Effect, Value, Write};

/// How long a row outlives its block, so that the fence outlives every batch.
pub const FENCE: Duration = Duration::from_secs(3600);

/// The condition that the epoch is still the one that the batch read before its attempts.
fn epoch_is(fence: Option<&str>) -> Condition {
    match fence {
        Some(epoch) => Condition::Is(EPOCH, Value::Text(epoch.to_owned())),
        None => Condition::Missing(EPOCH),
    }
}

/// The condition that no block is on at `now`. The table may still keep one that is over.
fn is_not_blocked(now: Timestamp) -> Condition {
    Condition::Any(vec![
        Condition::Missing(BLOCKED_UNTIL),
        Condition::AtMost(BLOCKED_UNTIL, now.as_millisecond()),
    ])
}

/// The failures that a record counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Counted {
    /// How many failures; at least 1.
    pub failures: u32,
    /// The last of them.
    pub last_error: String,
    /// Whether each of them was a time-out.
    pub timeouts_only: bool,
}

/// Records the first failures of a streak, fewer than the threshold. The row is missing, or has a fence and no live
/// streak: any block that it remembers is over, and is forgotten with its expiry.
#[must_use]
pub fn start(fence: Option<&str>, counted: &Counted, rule: Rule, streak: &str, now: Timestamp) -> Write {
    let mut changes = vec![
        Change::Set(STREAK, Value::Text(streak.to_owned())),
        Change::Set(FAILURES, Value::Number(i64::from(counted.failures))),
        Change::Set(LAST_ERROR, Value::Text(counted.last_error.clone())),
        Change::Remove(BLOCKED_AT),
        Change::Remove(BLOCKED_UNTIL),
        Change::Remove(DISCARDED),
        Change::Remove(EXPIRES_AT),
        if counted.timeouts_only { timeouts_only() } else { Change::Remove(TIMEOUTS_ONLY) },
    ];
    changes.extend(warning(streak, 0, counted.failures, rule, now));
    Write {
        name: "start",
        condition: Condition::All(vec![epoch_is(fence), Condition::Missing(STREAK), is_not_blocked(now)]),
        effect: Effect::Update(changes),
    }
}

/// The mark of a streak in which nothing but time-outs was counted. Only the write that starts a streak sets it.
fn timeouts_only() -> Change {
    Change::Set(TIMEOUTS_ONLY, Value::Number(1))
}

/// Records further failures of a live streak that stay below the threshold, from a count that is known to be at least
/// `known`. The condition names the band of counts in which these failures pass the same warnings, so that the record
/// that passes a warning is the one that leaves its notice.
#[must_use]
pub fn add(
    fence: Option<&str>,
    counted: &Counted,
    rule: Rule,
    streak: &str,
    known: u32,
    now: Timestamp,
) -> Write {
    let (least, most) = band(known, counted.failures, rule);
    let mut changes = vec![
        Change::Add(FAILURES, i64::from(counted.failures)),
        Change::Set(LAST_ERROR, Value::Text(counted.last_error.clone())),
    ];
    if !counted.timeouts_only {
        changes.push(Change::Remove(TIMEOUTS_ONLY));
    }
    changes.extend(warning(streak, known, counted.failures, rule, now));
    Write {
        name: "add",
        condition: Condition::All(vec![
            epoch_is(fence),
            Condition::Is(STREAK, Value::Text(streak.to_owned())),
            Condition::AtLeast(FAILURES, i64::from(least)),
            Condition::AtMost(FAILURES, i64::from(most)),
        ]),
        effect: Effect::Update(changes),
    }
}

/// Records failures that bring a streak to the threshold, and begins the block. `epoch` is the block's new id.
///
/// Where these failures alone reach the threshold the row may have no streak; else the streak must have the others.
#[must_use]
pub fn block(fence: Option<&str>, counted: &Counted, rule: Rule, epoch: &str, now: Timestamp) -> Write {
    let missing = rule.threshold.saturating_sub(counted.failures);
    let mut clauses = vec![epoch_is(fence), is_not_blocked(now)];
    if missing > 0 {
        clauses.push(Condition::Exists(STREAK));
        clauses.push(Condition::AtLeast(FAILURES, i64::from(missing)));
    }
    let until = now.checked_add(rule.block).unwrap_or(Timestamp::MAX);
    let mut changes = vec![
        Change::Set(FAILURES, Value::Number(i64::from(rule.threshold))),
        Change::Set(BLOCKED_AT, Value::Number(now.as_millisecond())),
        Change::Set(BLOCKED_UNTIL, Value::Number(until.as_millisecond())),
        Change::Set(EPOCH, Value::Text(epoch.to_owned())),
        Change::Set(LAST_ERROR, Value::Text(counted.last_error.clone())),
        Change::Set(EXPIRES_AT, Value::Number(expiry(until))),
        Change::Remove(STREAK),
        Change::Remove(TIMEOUTS_ONLY),
        Change::Remove(DISCARDED),
        Change::Remove(WARNING),
    ];
    if rule.raises_notices {
        changes.extend([
            Change::Set(BLOCK_NOTICE, Value::Text(epoch.to_owned())),
            Change::Set(RELEASE_NOTICE, Value::Text(epoch.to_owned())),
            Change::Set(DUE_AT, Value::Number(now.as_millisecond())),
        ]);
    }
    Write { name: "block", condition: Condition::All(clauses), effect: Effect::Update(changes) }
}

/// Ends the streak that a success's read found. A row that has no fence is not needed any more.
#[must_use]
pub fn end(fence: Option<&str>, streak: &str, now: Timestamp) -> Write {
    let named = Condition::Is(STREAK, Value::Text(streak.to_owned()));
    let effect = match fence {
        None => Effect::Delete,
        Some(_) => Effect::Update(vec![
            Change::Remove(STREAK),
            Change::Remove(FAILURES),
            Change::Remove(TIMEOUTS_ONLY),
            Change::Remove(LAST_ERROR),
            Change::Remove(WARNING),
            Change::Set(EXPIRES_AT, Value::Number(expiry(now))),
        ]),
    };
    Write { name: "end", condition: Condition::All(vec![epoch_is(fence), named]), effect }
}

/// Ends block and streak because their owner asks for it. `epoch` is the unblock's new id. It is refused where there is
/// neither.
#[must_use]
pub fn unblock(epoch: &str, now: Timestamp) -> Write {
    let mut changes = cleared(epoch, now);
    changes.push(Change::Set(DUE_AT, Value::Number(now.as_millisecond())));
    Write { name: "unblock", condition: is_streak_or_block(now), effect: Effect::Update(changes) }
}

/// Ends block and streak like [`unblock`] where no notice of a release is pending: mostly there was a streak and no
/// block.
#[must_use]
pub fn unblock_untold(epoch: &str, now: Timestamp) -> Write {
    let mut changes = cleared(epoch, now);
    changes.push(Change::Remove(DUE_AT));
    Write {
        name: "unblock_untold",
        condition: Condition::All(vec![is_streak_or_block(now), Condition::Missing(RELEASE_NOTICE)]),
        effect: Effect::Update(changes),
    }
}

fn is_streak_or_block(now: Timestamp) -> Condition {
    let blocked = Condition::AtLeast(BLOCKED_UNTIL, now.as_millisecond().saturating_add(1));
    Condition::Any(vec![Condition::Exists(STREAK), blocked])
}

/// Changes that leave the fence, its date, and pending notices of a block. A warning goes with its streak.
fn cleared(epoch: &str, now: Timestamp) -> Vec<Change> {
    let mut changes = vec![
        Change::Set(EPOCH, Value::Text(epoch.to_owned())),
        Change::Set(EXPIRES_AT, Value::Number(expiry(now))),
    ];
    let gone = [STREAK, FAILURES, TIMEOUTS_ONLY, BLOCKED_AT, BLOCKED_UNTIL, LAST_ERROR, DISCARDED, WARNING];
    changes.extend(gone.map(Change::Remove));
    changes
}

/// Why a revision is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// There is a new one, and the pending notice of a release is due at once.
    ReplacedWithRelease,
    /// There is a new one, and no notice of a release is pending.
    Replaced,
    /// The webhook was deleted, so its notices are dropped.
    Deleted,
}

/// Retires the row of a revision that is over. It makes a missing row, so that no late result makes one. It may be
/// repeated. Of the two kinds for a new revision, one fits every row.
#[must_use]
pub fn retire(over: Over, now: Timestamp) -> Write {
    let mut changes = cleared(RETIRED, now);
    let clauses = match over {
        Over::ReplacedWithRelease => {
            changes.push(Change::Set(DUE_AT, Value::Number(now.as_millisecond())));
            vec![Condition::Exists(RELEASE_NOTICE)]
        }
        Over::Replaced => {
            changes.push(Change::Remove(DUE_AT));
            vec![Condition::Missing(RELEASE_NOTICE)]
        }
        Over::Deleted => {
            changes.extend([BLOCK_NOTICE, RELEASE_NOTICE, DUE_AT].map(Change::Remove));
            Vec::new()
        }
    };
    Write { name: "retire", condition: Condition::All(clauses), effect: Effect::Update(changes) }
}

/// Counts items that were dropped because their type was blocked when their batch read it. Items that were dropped at
/// the very end of a block may be counted after it, and still belong to that block; the next streak begins without a
/// count.
#[must_use]
pub fn discard(epoch: &str, items: u32) -> Write {
    Write {
        name: "discard",
        condition: Condition::All(vec![epoch_is(Some(epoch)), Condition::Exists(BLOCKED_UNTIL)]),
        effect: Effect::Update(vec![Change::Add(DISCARDED, i64::from(items))]),
    }
}

/// Whether a row is listed among what is unhealthy after these changes; None where they leave that as it is. A row is
/// listed while it has a streak or a block, and a tally ([`crate::tally`]) from the first death that it counts. The end
/// of a block by time is no write, so a reader looks at the row itself.
#[must_use]
pub fn listing(changes: &[Change]) -> Option<bool> {
    let begins = |change: &Change| {
        matches!(change, Change::Set(STREAK | BLOCKED_UNTIL, _) | Change::Add(FAILURES, _))
            || matches!(change, Change::Add(tally::DEAD_COUNT, deaths) if *deaths > 0)
    };
    let ends = |change: &Change| matches!(change, Change::Remove(STREAK));
    if changes.iter().any(begins) { Some(true) } else { changes.iter().any(ends).then_some(false) }
}

fn expiry(at: Timestamp) -> i64 {
    at.checked_add(FENCE).unwrap_or(Timestamp::MAX).as_second()
}

fn warning(streak: &str, known: u32, more: u32, rule: Rule, now: Timestamp) -> Vec<Change> {
    let after = warnings_passed(known.saturating_add(more), rule);
    if !rule.raises_notices || after <= warnings_passed(known, rule) {
        return Vec::new();
    }
    let id = format!("{streak}#{}", WARNINGS[after - 1]);
    vec![Change::Set(WARNING, Value::Text(id)), Change::Set(DUE_AT, Value::Number(now.as_millisecond()))]
}
