//! The rule of blocking: streaks of failures, blocks, and how results are recorded.
//!
//! For each (webhook, revision, item type) one row is kept while there is something to keep:
//!
//! | attribute | meaning |
//! |---|---|
//! | `streak` | the id of the live streak; there is none without it |
//! | `failures` | how many attempts in a row failed; the threshold while blocked |
//! | `timeouts_only` | that each failure of the live streak was a time-out ([`crate::lane`]) |
//! | `epoch` | the id of the last block or unblock: the fence |
//! | `blocked_at`, `blocked_until` | the block, in milliseconds; over when `blocked_until` has come |
//! | `last_error` | what the last failure was |
//! | `discarded` | how many items were dropped since the block began, where the webhook wants that |
//! | `warning`, `block_notice`, `release_notice` | what is to be told and was not yet, by its id |
//! | `disabled_notice` | likewise, on the row of a revision as a whole ([`crate::notice::disabled`]) |
//! | `dead_…`, `dropped` | on the row of revision 0 alone: what ended without being delivered ([`crate::tally`]) |
//! | `due_at` | when somebody must look what is to be told, in milliseconds |
//! | `telling_until` | until when somebody is telling it, in milliseconds |
//! | `expires_at` | when the table may delete the row, in seconds; never on a live streak |
//!
//! # What is linearised where
//! The history of a streak is the order of its *records*, and each record is one conditional write, or one consistent
//! read:
//! - **A failure** is recorded by the write that counts it ([`start`], [`add`] or [`block`]). The conditions of these
//!   divide all rows among them, so that no row ever has `failures` ≥ threshold and no block: [`add`] is refused where
//!   the sum would reach the threshold, and [`block`] where it would not.
//! - **A success** is recorded by a consistent read, begun after its response arrived, that finds no streak; or by
//!   the write that ends the streak that this read found ([`end`]), which names it. Where that is refused, somebody
//!   else ended that streak in between: at that moment there was none, and the success is recorded as of then.
//! - **The fence**: every record is conditional on the epoch that its batch read before its attempts. A block and an
//!   unblock change the epoch, so what is late is refused, however late it is, and changes nothing.
//!
//! # What is never repeated
//! A write that counts is made at most once: where its answer is lost it counts as made. So an ambiguous answer can
//! make a streak shorter than it was, never longer, and a block is never early. [`end`] may be repeated, because it
//! names the streak. Where the answer to a block by leading failures is lost, the success behind them is still to be
//! recorded: the row is read again, and if no block is there the streak is ended.
//!
//! A write whose answer was lost may also be made later. It changes nothing then that it might not have changed at
//! once: `end` and the block by leading failures name the streak that they found, so that neither touches one that
//! began after their own batch's success.
//!
//! # Expiry
//! The table deletes late, or at once. It decides nothing here: conditions compare `blocked_until` themselves. A row
//! may be deleted an hour after its block's end, when no batch can still be running that read an older epoch; and
//! [`start`], which makes a streak live, removes the date. A batch that read the epoch of a row which is then deleted
//! is not late: no block and no unblock came since, or there would be a row. It goes on with no epoch.
//!
//! # Revisions that are over
//! When a webhook gets a new revision, or is deleted, the rows of its last revision are *retired* ([`retire`]): all of
//! them, those that are not there yet too. A retired row has the epoch [`RETIRED`], no streak, no block, and a date. No
//! record is ever made on it: the fence refuses who read it before, and who reads it finds it late. So results of an old
//! revision change nothing, and leave no row without a date. Where the retiring itself is cut short, what is left are
//! rows that nobody reads: each new revision has rows of its own, which start with no streak and no block.
//!
//! # A threshold that is lowered
//! A webhook's threshold may be lowered to a live streak's count, or below it. The next failure blocks then, and the row
//! has the new threshold from there on; a success still ends the streak. Until then it is shown as the last count that
//! has no block ([`shown_failures`]).

use std::time::Duration;

use jiff::Timestamp;

use crate::item::ItemType;
use crate::tally;
use crate::transition::{Change, Condition, Effect, Row, Value, Write};
use crate::webhook::Settings;

/// How long a row outlives its block, so that the fence outlives every batch.
pub const FENCE: Duration = Duration::from_secs(3600);

/// How often a record is tried again when others changed the row in between. Each refusal means that somebody else's
/// record went through.
pub const MAX_REFUSALS: u32 = 100;

/// Percentages of the threshold at which a warning is due.
pub const WARNINGS: [u32; 3] = [50, 70, 90];

const STREAK: &str = "streak";
const FAILURES: &str = "failures";
const TIMEOUTS_ONLY: &str = "timeouts_only";
pub(crate) const EPOCH: &str = "epoch";
const BLOCKED_AT: &str = "blocked_at";
const BLOCKED_UNTIL: &str = "blocked_until";
pub(crate) const LAST_ERROR: &str = "last_error";
const DISCARDED: &str = "discarded";
/// What is left to be told: a warning,
pub(crate) const WARNING: &str = "warning";
/// a block,
pub(crate) const BLOCK_NOTICE: &str = "block_notice";
/// a release.
pub(crate) const RELEASE_NOTICE: &str = "release_notice";
/// Until when somebody is telling it.
pub(crate) const TELLING_UNTIL: &str = "telling_until";
/// What is left to be told of a revision as a whole: that it was disabled.
pub(crate) const DISABLED_NOTICE: &str = "disabled_notice";
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// The epoch of a row whose revision is over.
pub const RETIRED: &str = "retired";

/// When somebody must look what is to be told. Adapters index it.
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

/// When a block begins, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Failures in a row; at least 1.
    pub threshold: u32,
    /// How long a block lasts.
    pub block: Duration,
    /// Whether it is told. Streaks of notices are not, or they would beget each other.
    pub told: bool,
}

impl Rule {
    /// The rule for an item type of a webhook. `self` is the deployment's, where the webhook sets no numbers.
    #[must_use]
    pub fn of_webhook(self, settings: &Settings, item_type: &ItemType) -> Self {
        let block = settings.block_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
        Self {
            threshold: settings.threshold.unwrap_or(self.threshold),
            block: block.unwrap_or(self.block),
            told: *item_type != ItemType::NOTICE,
        }
    }
}

/// What a row says at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The fence.
    pub epoch: Option<String>,
    /// Open or blocked.
    pub phase: Phase,
}

/// Open or blocked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Attempts may be made, and none or the last ones succeeded.
    Open,
    /// Attempts may be made, and the last so many failed.
    Failing {
        /// The streak's id.
        streak: String,
        /// How many.
        failures: u32,
        /// Whether each of them was a time-out.
        timeouts_only: bool,
    },
    /// Nothing is attempted.
    Blocked {
        /// Since when.
        at: Timestamp,
        /// Until when.
        until: Timestamp,
    },
}

impl State {
    /// What a row, or a missing one, says at `now`.
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

/// The failures of a live streak as they are shown: fewer than the threshold, also where that was lowered meanwhile. One
/// failure more blocks.
#[must_use]
pub fn shown_failures(failures: u32, threshold: u32) -> u32 {
    failures.min(threshold.saturating_sub(1))
}

/// When a row's block began and when it ends or ended.
pub(crate) fn block_of(row: &Row) -> Option<(Timestamp, Timestamp)> {
    let time = |name: &str| match row.get(name) {
        Some(Value::Number(ms)) => Timestamp::from_millisecond(*ms).ok(),
        _ => None,
    };
    Some((time(BLOCKED_AT)?, time(BLOCKED_UNTIL)?))
}

/// What a row says beside its state, for its owner to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// What the last failure was, as it was recorded.
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

/// The epoch is still the one that the batch read before its attempts.
fn epoch_is(fence: Option<&str>) -> Condition {
    match fence {
        Some(epoch) => Condition::Is(EPOCH, Value::Text(epoch.to_owned())),
        None => Condition::Missing(EPOCH),
    }
}

/// No block is on at `now`. The table may still keep one that is over.
fn is_not_blocked(now: Timestamp) -> Condition {
    Condition::Any(vec![
        Condition::Missing(BLOCKED_UNTIL),
        Condition::AtMost(BLOCKED_UNTIL, now.as_millisecond()),
    ])
}

/// What a record says of the failures that it counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Counted {
    /// How many failures; at least 1.
    pub failures: u32,
    /// What the last of them was.
    pub last_error: String,
    /// Whether each of them was a time-out.
    pub timeouts_only: bool,
}

/// The first failures of a streak, fewer than the threshold. The row is missing, or has a fence and no live streak:
/// whatever block it remembers is over, and is forgotten with its expiry.
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

/// Further failures of a live streak that stay below the threshold, from a count that is known to be at least
/// `known`. The condition names the band of counts in which these failures pass the same warnings, so that the one
/// who passes a warning is the one who leaves it.
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

/// The failures that bring a streak to the threshold: the block begins. `epoch` is the block's new id.
///
/// Where these failures are the threshold by themselves the row may have no streak; else the streak must have what is
/// missing to it.
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
    if rule.told {
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

/// Ends block and streak by its owner's word. `epoch` is the unblock's new id. It is refused where there is neither.
#[must_use]
pub fn unblock(epoch: &str, now: Timestamp) -> Write {
    let mut changes = cleared(epoch, now);
    changes.push(Change::Set(DUE_AT, Value::Number(now.as_millisecond())));
    Write { name: "unblock", condition: is_streak_or_block(now), effect: Effect::Update(changes) }
}

/// Likewise, and refused where a release is to be told: mostly there was a streak and no block.
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

/// Nothing is left but the fence, its date, and what is to be told of a block. A warning goes with its streak.
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
    /// There is a new one, and a release is to be told, at once.
    ReplacedWithRelease,
    /// There is a new one, and no release is to be told.
    Replaced,
    /// The webhook was deleted: nobody is to be told anything.
    Deleted,
}

/// Ends what the row of a revision holds that is over, or makes one, so that no late result does. It may be repeated.
/// Of the two for a new revision one fits every row.
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

/// Counts items that were dropped because their type was blocked when their batch read it. What is dropped at the very
/// end of a block may be counted after it, and is still that block's; the next streak begins without a count.
#[must_use]
pub fn discard(epoch: &str, items: u32) -> Write {
    Write {
        name: "discard",
        condition: Condition::All(vec![epoch_is(Some(epoch)), Condition::Exists(BLOCKED_UNTIL)]),
        effect: Effect::Update(vec![Change::Add(DISCARDED, i64::from(items))]),
    }
}

fn expiry(at: Timestamp) -> i64 {
    at.checked_add(FENCE).unwrap_or(Timestamp::MAX).as_second()
}

/// The warning that a count stands at: how many of [`WARNINGS`] it passed. None is at the threshold, where the block
/// itself is told.
fn warnings_passed(failures: u32, rule: Rule) -> usize {
    let bound = |percent: &u32| (u64::from(rule.threshold) * u64::from(*percent)).div_ceil(100);
    WARNINGS.iter().filter(|percent| u64::from(failures) >= bound(percent)).count()
}

/// The counts from which `more` failures stay below the threshold and pass the same warnings as from `known`.
fn band(known: u32, more: u32, rule: Rule) -> (u32, u32) {
    let same = |count: u32| {
        count.saturating_add(more) < rule.threshold
            && warnings_passed(count, rule) == warnings_passed(known, rule)
            && warnings_passed(count.saturating_add(more), rule)
                == warnings_passed(known.saturating_add(more), rule)
    };
    // Where a band ends is where one of few bounds is, less what is added or not.
    let bounds = WARNINGS.iter().map(|percent| {
        u32::try_from((u64::from(rule.threshold) * u64::from(*percent)).div_ceil(100)).unwrap_or(u32::MAX)
    });
    let bounds: Vec<u32> =
        bounds.chain([rule.threshold]).flat_map(|bound| [bound, bound.saturating_sub(more)]).collect();
    let below = bounds.iter().copied().filter(|&bound| bound <= known).max().unwrap_or(1);
    let above = bounds.iter().copied().filter(|&bound| bound > known).min().unwrap_or(u32::MAX);
    let least = if same(below) { below.max(1) } else { known };
    let most = if above > 0 && same(above - 1) { above - 1 } else { known };
    (least, most)
}

fn warning(streak: &str, known: u32, more: u32, rule: Rule, now: Timestamp) -> Vec<Change> {
    let after = warnings_passed(known.saturating_add(more), rule);
    if !rule.told || after <= warnings_passed(known, rule) {
        return Vec::new();
    }
    let id = format!("{streak}#{}", WARNINGS[after - 1]);
    vec![Change::Set(WARNING, Value::Text(id)), Change::Set(DUE_AT, Value::Number(now.as_millisecond()))]
}

/// A failure among the results of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failed {
    /// What it was, as the row remembers it.
    pub error: String,
    /// Whether it was a time-out.
    pub timed_out: bool,
}

/// Failures next to each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Run {
    failures: u32,
    last_error: String,
    timeouts_only: bool,
}

impl Run {
    /// The failures among these results, in the order in which they happened.
    fn of(results: &[Option<Failed>]) -> Self {
        let failures = || results.iter().flatten();
        Self {
            failures: u32::try_from(failures().count()).unwrap_or(u32::MAX),
            last_error: failures().next_back().map(|last| last.error.clone()).unwrap_or_default(),
            timeouts_only: failures().all(|one| one.timed_out),
        }
    }
}

/// The results of a batch for one (webhook, revision, item type), in the order in which the attempts finished.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Results {
    /// Failures before the first success; all, where there is none.
    leading: Run,
    /// Failures after the last success, where there is one.
    trailing: Option<Run>,
}

impl Results {
    /// Gathers results: None for a success, or what a failure was. None where there is no result.
    #[must_use]
    pub fn of(results: &[Option<Failed>]) -> Option<Self> {
        if results.is_empty() {
            return None;
        }
        let first = results.iter().position(Option::is_none);
        let last = results.iter().rposition(Option::is_none);
        Some(Self {
            leading: Run::of(&results[..first.unwrap_or(results.len())]),
            trailing: last.map(|last| Run::of(&results[last + 1..])),
        })
    }

    /// What a record at this stage counts. Leading failures that block leave what came after them out.
    fn counted(&self, stage: Stage) -> Counted {
        let run = match (stage, &self.trailing) {
            (Stage::Trailing, Some(trailing)) => trailing,
            _ => &self.leading,
        };
        Counted {
            failures: run.failures,
            last_error: run.last_error.clone(),
            timeouts_only: run.timeouts_only,
        }
    }
}

/// What recording asks of its caller next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Read the row, consistently.
    Read,
    /// Make this write, once.
    Write(Write),
    /// Nothing: this is what came of it.
    Done(Recorded),
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The row that was read.
    Row(Option<Row>),
    /// The write was made.
    Made,
    /// The write was refused by its condition; this is the row that refused it.
    Refused(Option<Row>),
    /// The write may have been made or not: its answer was lost.
    Lost,
}

/// What came of recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recorded {
    /// The results are part of the history.
    Yes,
    /// They came after a block or an unblock that their batch had not seen, and changed nothing.
    Late,
    /// They began a block. Where the write's answer was lost, a read saw that block.
    Blocked,
    /// Others changed the row again and again; what was not recorded is lost for the count.
    Contended,
}

/// Recording a batch's results: a machine that asks for one step after the other.
///
/// The order is: the leading failures, if with the recorded streak they reach the threshold; the success; the
/// trailing failures. A batch without a success has leading failures alone, which always count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recording {
    results: Results,
    fence: Option<String>,
    rule: Rule,
    /// A new id for a streak or a block that this recording begins.
    id: String,
    stage: Stage,
    refusals: u32,
    blocking: bool,
    /// Whether the answer to the write that blocks was lost, and the row is read to see the block.
    confirming: bool,
    /// The streak that the last write was to end.
    ending: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// All results are failures, and are being counted.
    OnlyFailures,
    /// Leading failures may reach the threshold, and the success is to be recorded.
    Success,
    /// The failures after the last success are being counted.
    Trailing,
}

/// A write that is made only on the streak that was found, or while there is none.
fn on_streak(mut step: Step, found: Option<String>) -> Step {
    if let Step::Write(Write { condition: Condition::All(clauses), .. }) = &mut step {
        clauses.push(match found {
            Some(streak) => Condition::Is(STREAK, Value::Text(streak)),
            None => Condition::Missing(STREAK),
        });
    }
    step
}

impl Recording {
    /// Begins recording results whose batch read `before` at its start. `id` is new and random.
    #[must_use]
    pub fn begin(results: Results, before: &State, rule: Rule, id: String, now: Timestamp) -> (Self, Step) {
        let stage = if results.trailing.is_some() { Stage::Success } else { Stage::OnlyFailures };
        let mut recording = Self {
            results,
            fence: before.epoch.clone(),
            rule,
            id,
            stage,
            refusals: 0,
            blocking: false,
            confirming: false,
            ending: None,
        };
        let step = match stage {
            // What was read before the attempts will do: the write's condition checks it.
            Stage::OnlyFailures => recording.count(before, now),
            // A read from before the response would say nothing of the success.
            Stage::Success | Stage::Trailing => Step::Read,
        };
        (recording, step)
    }

    /// Goes on with what came of the last step.
    pub fn next(&mut self, answer: &Answer, now: Timestamp) -> Step {
        match (answer, self.stage) {
            (Answer::Row(row), _) if self.confirming => {
                let is_ours = State::of(row.as_ref(), now).epoch.as_ref() == Some(&self.id);
                Step::Done(if is_ours { Recorded::Blocked } else { Recorded::Yes })
            }
            (Answer::Row(row), _) => self.after_read(&State::of(row.as_ref(), now), now),
            // A success is behind this write, and must not be lost with its answer: the row tells whether the block
            // began, or the streak is still to be ended. The leading failures count as counted, once.
            (Answer::Lost, Stage::Success) => {
                self.results.leading.failures = 0;
                self.again(Step::Read)
            }
            (Answer::Made, _) if self.blocking => Step::Done(Recorded::Blocked),
            // It counts as made, but only the row tells whether there is a block to report.
            (Answer::Lost, _) if self.blocking => {
                self.confirming = true;
                Step::Read
            }
            (Answer::Made, Stage::Success) => self.trailing(&self.ended(), now),
            (Answer::Made | Answer::Lost, Stage::OnlyFailures | Stage::Trailing) => Step::Done(Recorded::Yes),
            (Answer::Refused(row), stage) => {
                let state = State::of(row.as_ref(), now);
                let step = match stage {
                    Stage::OnlyFailures | Stage::Trailing => self.count(&state, now),
                    Stage::Success if self.blocking => self.after_read(&state, now),
                    // The streak was ended by somebody else: at that moment the success found none.
                    Stage::Success => self.trailing(&state, now),
                };
                self.again(step)
            }
        }
    }

    fn again(&mut self, step: Step) -> Step {
        self.refusals += 1;
        if self.refusals > MAX_REFUSALS { Step::Done(Recorded::Contended) } else { step }
    }

    /// What a row without its streak is to this batch.
    fn ended(&self) -> State {
        State { epoch: self.fence.clone(), phase: Phase::Open }
    }

    /// Whether a block or an unblock came since the batch began, or the revision is over.
    fn is_late(&mut self, state: &State) -> bool {
        // Only the table removes an epoch, an hour after what set it ended, and batches are shorter than that: this
        // batch read the last one, and nothing happened since.
        if state.epoch.is_none() {
            self.fence = None;
        }
        state.epoch != self.fence
            || state.epoch.as_deref() == Some(RETIRED)
            || matches!(state.phase, Phase::Blocked { .. })
    }

    /// Counts this stage's failures on top of a state.
    fn count(&mut self, state: &State, now: Timestamp) -> Step {
        self.blocking = false;
        if self.is_late(state) {
            return Step::Done(Recorded::Late);
        }
        let fence = self.fence.as_deref();
        let counted = self.results.counted(self.stage);
        if state.failures().saturating_add(counted.failures) >= self.rule.threshold {
            self.blocking = true;
            return Step::Write(block(fence, &counted, self.rule, &self.id, now));
        }
        Step::Write(match &state.phase {
            Phase::Failing { streak, failures, .. } => {
                add(fence, &counted, self.rule, streak, *failures, now)
            }
            _ => start(fence, &counted, self.rule, &self.id, now),
        })
    }

    /// Leading failures that reach the threshold block, and the rest is late; else the success is recorded.
    fn after_read(&mut self, state: &State, now: Timestamp) -> Step {
        self.blocking = false;
        if state.epoch.as_ref() == Some(&self.id) {
            return Step::Done(Recorded::Blocked);
        }
        if self.is_late(state) {
            return Step::Done(Recorded::Late);
        }
        let found = match &state.phase {
            Phase::Failing { streak, .. } => Some(streak.clone()),
            _ => None,
        };
        // What this success was to end has ended: at that moment there was none.
        if self.ending.take().is_some_and(|ending| found.as_ref() != Some(&ending)) {
            return self.trailing(state, now);
        }
        let leading = self.results.leading.failures;
        if leading > 0 && state.failures().saturating_add(leading) >= self.rule.threshold {
            return on_streak(self.count(state, now), found);
        }
        match found {
            Some(streak) => {
                let step = Step::Write(end(self.fence.as_deref(), &streak, now));
                self.ending = Some(streak);
                step
            }
            None => self.trailing(state, now),
        }
    }

    fn trailing(&mut self, state: &State, now: Timestamp) -> Step {
        self.stage = Stage::Trailing;
        let is_late = self.is_late(state);
        match &self.results.trailing {
            Some(trailing) if trailing.failures > 0 => self.count(state, now),
            _ if is_late => Step::Done(Recorded::Late),
            _ => Step::Done(Recorded::Yes),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fixtures::webhook;

    const START: i64 = 1_700_000_000;
    const HOUR: i64 = 3600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(START + seconds).unwrap()
    }

    fn rule(threshold: u32) -> Rule {
        Rule { threshold, block: Duration::from_secs(4 * 3600), told: true }
    }

    /// A live streak, not of time-outs alone.
    fn failing(streak: &str, failures: u32) -> Phase {
        Phase::Failing { streak: streak.to_owned(), failures, timeouts_only: false }
    }

    /// `F` is a failure, whose error is its place, `T` a time-out, and `S` a success.
    fn results(pattern: &str) -> Results {
        let one = |(place, result): (usize, char)| match result {
            'S' => None,
            result => Some(Failed { error: format!("error {place}"), timed_out: result == 'T' }),
        };
        Results::of(&pattern.chars().enumerate().map(one).collect::<Vec<_>>()).unwrap()
    }

    /// A table with one row, which makes every write that it is asked for.
    struct Table {
        row: Option<Row>,
        rule: Rule,
        now: Timestamp,
        ids: u32,
        /// The writes that were made.
        made: Vec<&'static str>,
        /// How many writes were refused.
        refused: u32,
    }

    impl Table {
        fn new(rule: Rule) -> Self {
            Self { row: None, rule, now: at(0), ids: 0, made: Vec::new(), refused: 0 }
        }

        fn failing(threshold: u32, failures: u32) -> Self {
            let mut table = Self::new(rule(threshold));
            assert_eq!(table.record(&"F".repeat(failures as usize)), Recorded::Yes);
            table.made.clear();
            table
        }

        fn state(&self) -> State {
            State::of(self.row.as_ref(), self.now)
        }

        fn begin(&mut self, before: &State, pattern: &str) -> (Recording, Step) {
            self.ids += 1;
            Recording::begin(results(pattern), before, self.rule, format!("id {}", self.ids), self.now)
        }

        fn answer(&mut self, step: &Step) -> Answer {
            match step {
                Step::Read => Answer::Row(self.row.clone()),
                Step::Write(write) if write.apply(&mut self.row) => {
                    self.made.push(write.name);
                    Answer::Made
                }
                Step::Write(_) => {
                    self.refused += 1;
                    Answer::Refused(self.row.clone())
                }
                Step::Done(recorded) => panic!("{recorded:?}"),
            }
        }

        fn go_on(&mut self, recording: &mut Recording, mut step: Step) -> Recorded {
            loop {
                if let Step::Done(recorded) = step {
                    return recorded;
                }
                let answer = self.answer(&step);
                step = recording.next(&answer, self.now);
            }
        }

        /// Records what came of a batch that read `before` at its start.
        fn record_after(&mut self, before: &State, pattern: &str) -> Recorded {
            let (mut recording, step) = self.begin(before, pattern);
            self.go_on(&mut recording, step)
        }

        fn record(&mut self, pattern: &str) -> Recorded {
            self.record_after(&self.state(), pattern)
        }

        fn failures(&self) -> u32 {
            self.state().failures()
        }

        fn is_blocked(&self) -> bool {
            matches!(self.state().phase, Phase::Blocked { .. })
        }

        fn get(&self, name: &str) -> Option<&Value> {
            self.row.as_ref()?.get(name)
        }

        fn unblock(&mut self, id: &str) -> bool {
            unblock(id, self.now).apply(&mut self.row)
        }
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn a_webhook_sets_its_own_numbers_and_notices_raise_no_notice() {
        let of = |settings, item_type| rule(1000).of_webhook(&webhook(settings).settings, &item_type);
        assert_eq!(of(json!({}), ItemType::MESSAGE), rule(1000));
        let own = of(json!({"threshold": 7, "block_seconds": 60}), ItemType::NOTICE);
        assert_eq!(own, Rule { threshold: 7, block: Duration::from_secs(60), told: false });
    }

    #[test]
    fn failures_below_the_threshold_add_up_in_one_row() {
        let mut table = Table::new(rule(1000));
        assert_eq!(table.record("FFF"), Recorded::Yes);
        assert_eq!(table.record("FF"), Recorded::Yes);
        assert_eq!(table.state().phase, failing("id 1", 5));
        assert_eq!(table.made, ["start", "add"]);
        assert_eq!(table.get(EXPIRES_AT), None);
        assert_eq!(table.get(LAST_ERROR), Some(&text("error 1")));
    }

    #[test]
    fn the_block_begins_exactly_at_the_threshold_and_lasts_as_long_as_the_rule_says() {
        let mut table = Table::failing(1000, 999);
        assert!(!table.is_blocked());
        assert_eq!(table.record("F"), Recorded::Blocked);
        let blocked = Phase::Blocked { at: at(0), until: at(4 * HOUR) };
        assert_eq!(table.state(), State { epoch: Some("id 2".into()), phase: blocked.clone() });
        table.now = at(4 * HOUR).checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(table.state().phase, blocked);
        table.now = at(4 * HOUR);
        assert_eq!(table.state().phase, Phase::Open);
    }

    #[test]
    fn failures_beyond_the_threshold_block_at_once_and_never_show_more_than_it() {
        for before in [0, 1, 9] {
            let mut table = if before == 0 { Table::new(rule(10)) } else { Table::failing(10, before) };
            assert_eq!(table.record(&"F".repeat(25)), Recorded::Blocked);
            assert_eq!(table.made, ["block"]);
            assert_eq!(table.get(FAILURES), Some(&Value::Number(10)));
            assert!(table.is_blocked());
        }
    }

    #[test]
    fn a_block_leaves_its_notices_and_its_expiry_in_the_same_write() {
        let mut table = Table::failing(3, 2);
        assert_eq!(table.record("F"), Recorded::Blocked);
        assert_eq!(table.get(BLOCK_NOTICE), Some(&text("id 2")));
        assert_eq!(table.get(RELEASE_NOTICE), Some(&text("id 2")));
        assert_eq!(table.get(DUE_AT), Some(&Value::Number(at(0).as_millisecond())));
        assert_eq!(table.get(EXPIRES_AT), Some(&Value::Number(START + 5 * HOUR)));
        assert_eq!((table.get(STREAK), table.get(WARNING)), (None, None));
    }

    #[test]
    fn leading_failures_that_reach_the_threshold_block_and_the_rest_is_late() {
        let mut table = Table::failing(5, 3);
        assert_eq!(table.record("FFSF"), Recorded::Blocked);
        assert_eq!(table.made, ["block"]);
        assert!(table.is_blocked());
        assert_eq!(table.get(LAST_ERROR), Some(&text("error 1")), "what came after them changes nothing");
    }

    #[test]
    fn leading_failures_that_do_not_reach_the_threshold_vanish_with_the_success() {
        let mut table = Table::failing(5, 3);
        assert_eq!(table.record("FS"), Recorded::Yes);
        assert_eq!((table.made.as_slice(), &table.row), (["end"].as_slice(), &None));
    }

    #[test]
    fn trailing_failures_are_the_new_streak() {
        let mut table = Table::failing(5, 3);
        assert_eq!(table.record("FSFSFF"), Recorded::Yes);
        assert_eq!(table.state().phase, failing("id 2", 2));
        assert_eq!(table.made, ["end", "start"]);
        assert_eq!(table.record("SFFFFF"), Recorded::Blocked, "they may be as many as the threshold");
    }

    #[test]
    fn a_success_without_a_streak_writes_nothing() {
        let mut table = Table::new(rule(3));
        assert_eq!(table.record("SSS"), Recorded::Yes);
        assert_eq!((table.made.len(), &table.row), (0, &None));
        table.record("FFF");
        table.now = at(4 * HOUR);
        let row = table.row.clone();
        assert_eq!(table.record("FS"), Recorded::Yes);
        assert_eq!((table.made.as_slice(), table.row), (["block"].as_slice(), row));
    }

    #[test]
    fn a_success_reads_after_its_response_whatever_its_batch_read_before() {
        let mut table = Table::new(rule(3));
        let before = table.state();
        table.record("FF");
        assert_eq!(table.begin(&before, "S").1, Step::Read);
        assert_eq!(table.record_after(&before, "S"), Recorded::Yes);
        assert_eq!(table.failures(), 0);
    }

    #[test]
    fn a_success_ends_exactly_the_streak_that_it_found() {
        let mut table = Table::failing(9, 3);
        let (mut recording, step) = table.begin(&table.state(), "S");
        let write = recording.next(&table.answer(&step), table.now);
        assert_eq!(table.record("SFF"), Recorded::Yes);
        assert_eq!(table.go_on(&mut recording, write), Recorded::Yes);
        assert_eq!(table.failures(), 2, "the streak that began meanwhile goes on");
    }

    #[test]
    fn a_success_after_a_block_keeps_the_fence_when_it_ends_a_streak() {
        let mut table = Table::failing(3, 2);
        table.record("F");
        table.now = at(5 * HOUR);
        table.record("FF");
        assert_eq!((table.failures(), table.get(EXPIRES_AT)), (2, None), "a live streak does not expire");
        assert_eq!(table.record("S"), Recorded::Yes);
        assert_eq!(table.state(), State { epoch: Some("id 2".into()), phase: Phase::Open });
        assert_eq!(table.get(EXPIRES_AT), Some(&Value::Number(START + 6 * HOUR)));
    }

    #[test]
    fn a_counting_write_is_not_repeated_when_its_answer_is_lost() {
        for before in [0, 1] {
            let mut table = if before == 0 { Table::new(rule(3)) } else { Table::failing(3, before) };
            let (mut recording, step) = table.begin(&table.state(), "F");
            assert!(matches!(step, Step::Write(_)));
            assert_eq!(recording.next(&Answer::Lost, table.now), Step::Done(Recorded::Yes));
        }
        let mut table = Table::new(rule(3));
        let (mut recording, step) = table.begin(&table.state(), "SF");
        let step = recording.next(&table.answer(&step), table.now);
        assert!(matches!(step, Step::Write(write) if write.name == "start"));
        assert_eq!(recording.next(&Answer::Lost, table.now), Step::Done(Recorded::Yes));
    }

    #[test]
    fn a_block_whose_answer_is_lost_is_reported_only_if_it_is_there() {
        for (was_made, recorded) in [(true, Recorded::Blocked), (false, Recorded::Yes)] {
            let mut table = Table::failing(3, 2);
            let (mut recording, step) = table.begin(&table.state(), "F");
            assert!(matches!(&step, Step::Write(write) if write.name == "block"));
            if was_made {
                assert_eq!(table.answer(&step), Answer::Made);
            }
            assert_eq!(recording.next(&Answer::Lost, table.now), Step::Read);
            assert_eq!(recording.next(&Answer::Row(table.row.clone()), table.now), Step::Done(recorded));
        }
    }

    #[test]
    fn an_end_whose_answer_is_lost_is_repeated_until_its_streak_is_gone() {
        for made in [true, false] {
            let mut table = Table::failing(9, 3);
            let (mut recording, step) = table.begin(&table.state(), "SF");
            let Step::Write(write) = recording.next(&table.answer(&step), table.now) else { panic!() };
            assert_eq!(write.name, "end");
            if made {
                assert!(write.apply(&mut table.row));
            }
            let step = recording.next(&Answer::Lost, table.now);
            assert_eq!(step, Step::Read);
            assert_eq!(table.go_on(&mut recording, step), Recorded::Yes);
            assert_eq!(table.state().phase, failing("id 2", 1));
        }
    }

    #[test]
    fn an_end_whose_answer_was_lost_ends_no_streak_that_began_after_it() {
        let mut table = Table::failing(4, 2);
        let (mut recording, step) = table.begin(&table.state(), "FS");
        let step = recording.next(&table.answer(&step), table.now);
        assert_eq!(table.answer(&step), Answer::Made);
        table.record("FFF");
        let step = recording.next(&Answer::Lost, table.now);
        assert_eq!(table.go_on(&mut recording, step), Recorded::Yes);
        assert_eq!(table.failures(), 3, "and its leading failure is not counted after its success");
    }

    #[test]
    fn a_success_behind_a_block_whose_answer_is_lost_is_recorded_if_no_block_began() {
        let mut table = Table::failing(5, 4);
        let (mut recording, step) = table.begin(&table.state(), "FSF");
        let step = recording.next(&table.answer(&step), table.now);
        assert!(matches!(&step, Step::Write(write) if write.name == "block"));
        let step = recording.next(&Answer::Lost, table.now);
        assert_eq!(table.go_on(&mut recording, step), Recorded::Yes);
        assert_eq!(table.state().phase, failing("id 2", 1));
    }

    #[test]
    fn a_block_whose_answer_is_lost_is_found_by_the_read_after_it() {
        let mut table = Table::failing(5, 4);
        let (mut recording, step) = table.begin(&table.state(), "FS");
        let step = recording.next(&table.answer(&step), table.now);
        assert_eq!(table.answer(&step), Answer::Made);
        let row = table.row.clone();
        let step = recording.next(&Answer::Lost, table.now);
        assert_eq!(table.go_on(&mut recording, step), Recorded::Blocked);
        assert_eq!(table.row, row);
    }

    #[test]
    fn a_block_by_leading_failures_that_arrives_late_does_not_count_them_on_a_streak_after_their_success() {
        let mut table = Table::failing(5, 4);
        let (mut recording, step) = table.begin(&table.state(), "FS");
        let Step::Write(delayed) = recording.next(&table.answer(&step), table.now) else { panic!() };
        let step = recording.next(&Answer::Lost, table.now);
        assert_eq!(table.go_on(&mut recording, step), Recorded::Yes);
        table.record("FFFF");
        assert!(!delayed.apply(&mut table.row));
    }

    #[test]
    fn late_results_change_nothing() {
        let block = |table: &mut Table| assert_eq!(table.record("FFF"), Recorded::Blocked);
        let end_of_block = |table: &mut Table| table.now = at(4 * HOUR);
        let new_streak = |table: &mut Table| assert_eq!(table.record("F"), Recorded::Yes);
        let unblock = |table: &mut Table| assert!(table.unblock("unblock"));
        type Event<'a> = &'a dyn Fn(&mut Table);
        let histories: [&[Event<'_>]; 7] = [
            &[&block],
            &[&block, &end_of_block],
            &[&block, &end_of_block, &new_streak],
            &[&block, &unblock],
            &[&block, &unblock, &new_streak],
            &[&new_streak, &unblock],
            &[&new_streak, &unblock, &new_streak],
        ];
        for (index, history) in histories.iter().enumerate() {
            for streak in ["", "F"] {
                for pattern in ["F", "FF", "FFF", "S", "SF", "FS", "FFFS", "SFFF"] {
                    let mut table = Table::new(rule(3));
                    if !streak.is_empty() {
                        table.record(streak);
                    }
                    let before = table.state();
                    history.iter().for_each(|event| event(&mut table));
                    let row = table.row.clone();
                    let recorded = table.record_after(&before, pattern);
                    assert_eq!(recorded, Recorded::Late, "{index} {streak} {pattern}");
                    assert_eq!(table.row, row, "{index} {streak} {pattern}");
                }
            }
        }
    }

    #[test]
    fn a_batch_whose_fence_was_deleted_meanwhile_is_not_late() {
        for pattern in ["F", "SF", "S"] {
            let mut table = Table::failing(3, 2);
            table.record("F");
            table.now = at(5 * HOUR);
            let before = table.state();
            table.row = None;
            assert_eq!(table.record("FF"), Recorded::Yes);
            let blocks = pattern == "F";
            let recorded = if blocks { Recorded::Blocked } else { Recorded::Yes };
            assert_eq!(table.record_after(&before, pattern), recorded);
            assert_eq!((table.is_blocked(), table.failures() <= 1), (blocks, true));
        }
    }

    #[test]
    fn an_ended_blocks_row_starts_a_new_streak_from_zero_and_without_expiry() {
        let mut table = Table::failing(3, 2);
        table.record("F");
        discard("id 2", 7).apply(&mut table.row);
        table.now = at(4 * HOUR);
        assert_eq!(table.failures(), 0);
        table.made.clear();
        assert_eq!(table.record("FF"), Recorded::Yes);
        assert_eq!(table.state().phase, failing("id 3", 2));
        for gone in [EXPIRES_AT, BLOCKED_AT, BLOCKED_UNTIL, DISCARDED] {
            assert_eq!(table.get(gone), None);
        }
        assert_eq!(table.get(RELEASE_NOTICE), Some(&text("id 2")), "what was not told yet still is to be");
        assert_eq!(table.record("F"), Recorded::Blocked);
        assert_eq!(table.made, ["start", "block"]);
        assert_eq!(table.state().epoch.as_deref(), Some("id 4"));
    }

    #[test]
    fn a_threshold_of_one_blocks_at_the_first_failure_and_one_of_two_at_the_second() {
        let mut table = Table::new(rule(1));
        assert_eq!(table.record("S"), Recorded::Yes);
        assert_eq!(table.record("SF"), Recorded::Blocked);
        let mut table = Table::new(rule(2));
        assert_eq!(table.record("F"), Recorded::Yes);
        assert_eq!(table.get(WARNING), Some(&text("id 1#50")));
        assert_eq!(table.record("FS"), Recorded::Blocked);
    }

    #[test]
    fn a_threshold_that_was_lowered_below_the_count_blocks_at_the_next_failure_only() {
        let mut table = Table::failing(100, 60);
        table.rule = rule(50);
        assert_eq!(table.record("SF"), Recorded::Yes, "a success still ends it");
        assert_eq!(table.failures(), 1);
        let mut table = Table::failing(100, 60);
        table.rule = rule(50);
        assert_eq!(table.record("F"), Recorded::Blocked);
        assert_eq!(table.get(FAILURES), Some(&Value::Number(50)));
    }

    #[test]
    fn a_warning_is_left_by_whoever_passes_it_and_names_the_highest_that_was_passed() {
        let mut table = Table::failing(1000, 499);
        assert_eq!(table.get(WARNING), None);
        table.now = at(9);
        table.record("F");
        assert_eq!(table.get(WARNING), Some(&text("id 1#50")));
        assert_eq!(table.get(DUE_AT), Some(&Value::Number(at(9).as_millisecond())));
        table.now = at(10);
        table.record(&"F".repeat(199));
        assert_eq!(table.get(DUE_AT), Some(&Value::Number(at(9).as_millisecond())), "nothing new to tell");
        table.record(&"F".repeat(201));
        assert_eq!(table.get(WARNING), Some(&text("id 1#90")), "and not 70 as well");
        assert_eq!(table.get(DUE_AT), Some(&Value::Number(at(10).as_millisecond())));
    }

    #[test]
    fn what_is_not_told_leaves_no_notice_in_any_transition() {
        let mut table = Table::new(Rule { told: false, ..rule(10) });
        for pattern in ["FFFFF", "FFFF", "F"] {
            table.record(pattern);
            for notice in [WARNING, BLOCK_NOTICE, RELEASE_NOTICE, DUE_AT] {
                assert_eq!(table.get(notice), None);
            }
        }
        assert!(table.is_blocked());
    }

    #[test]
    fn an_unblock_ends_a_block_or_a_streak_and_keeps_a_fence() {
        for failures in [1, 3] {
            let mut table = Table::new(rule(3));
            table.record(&"F".repeat(failures));
            table.now = at(60);
            assert!(table.unblock("word"));
            assert_eq!(table.state(), State { epoch: Some("word".into()), phase: Phase::Open });
            assert_eq!(table.get(EXPIRES_AT), Some(&Value::Number(START + 60 + HOUR)));
            assert_eq!((table.get(FAILURES), table.get(BLOCKED_UNTIL)), (None, None));
            assert_eq!(table.record("FF"), Recorded::Yes);
            assert_eq!((table.failures(), table.get(EXPIRES_AT)), (2, None));
        }
    }

    #[test]
    fn an_unblock_is_refused_where_there_is_nothing_to_end() {
        let mut table = Table::new(rule(3));
        assert!(!table.unblock("word"));
        table.record("FFF");
        table.now = at(4 * HOUR);
        assert!(!table.unblock("word"), "the block is over by itself");
        table.record("F");
        assert!(table.unblock("word"));
        assert!(!table.unblock("again"));
        assert_eq!(table.state().epoch.as_deref(), Some("word"));
    }

    #[test]
    fn an_unblock_is_looked_at_by_who_tells_only_where_a_release_is_to_be_told() {
        let mut table = Table::failing(3, 2);
        assert!(table.row.as_ref().unwrap().contains_key(WARNING));
        assert!(unblock_untold("word", table.now).apply(&mut table.row));
        for gone in [DUE_AT, WARNING, STREAK, FAILURES] {
            assert_eq!(table.get(gone), None);
        }
        assert_eq!(table.state(), State { epoch: Some("word".into()), phase: Phase::Open });
        assert!(!unblock_untold("again", table.now).apply(&mut table.row), "there is nothing to end");
        table.record("FFF");
        assert!(table.is_blocked());
        assert!(!unblock_untold("again", table.now).apply(&mut table.row), "there is something to tell");
        assert!(table.unblock("again"));
        assert_eq!(table.get(DUE_AT), Some(&Value::Number(at(0).as_millisecond())));
    }

    #[test]
    fn one_of_the_two_retirings_fits_every_row_and_both_leave_a_fence_with_a_date() {
        for pattern in ["", "F", "FF", "FFF", "FFFS"] {
            for blocks_ago in [0, 5 * HOUR] {
                for deleted in [false, true] {
                    let mut table = Table::new(rule(3));
                    if !pattern.is_empty() {
                        table.record(pattern);
                    }
                    table.now = at(blocks_ago + 7);
                    let blocked = pattern.starts_with("FFF");
                    let kinds = if deleted {
                        vec![Over::Deleted]
                    } else {
                        vec![Over::Replaced, Over::ReplacedWithRelease]
                    };
                    let made: Vec<_> = kinds
                        .into_iter()
                        .filter(|over| retire(*over, table.now).apply(&mut table.row))
                        .collect();
                    let expected = match (deleted, blocked) {
                        (true, _) => Over::Deleted,
                        (false, true) => Over::ReplacedWithRelease,
                        (false, false) => Over::Replaced,
                    };
                    assert_eq!(made, [expected], "{pattern}");
                    assert_eq!(table.state(), State { epoch: Some(RETIRED.into()), phase: Phase::Open });
                    assert_eq!(table.get(EXPIRES_AT), Some(&Value::Number(START + blocks_ago + 7 + HOUR)));
                    let told = expected == Over::ReplacedWithRelease;
                    assert_eq!(table.get(DUE_AT).is_some(), told, "{pattern}");
                    assert_eq!(table.get(RELEASE_NOTICE).is_some(), told, "{pattern}");
                }
            }
        }
    }

    #[test]
    fn no_record_is_ever_made_on_a_row_whose_revision_is_over() {
        for history in ["", "F", "FF", "FFF"] {
            for (over, other) in [(Over::Replaced, Over::ReplacedWithRelease), (Over::Deleted, Over::Deleted)]
            {
                for pattern in ["F", "FF", "FFF", "S", "SF", "FS", "FFFS", "SFFF"] {
                    for reads_after in [false, true] {
                        let mut table = Table::new(rule(3));
                        if !history.is_empty() {
                            table.record(history);
                        }
                        let before = table.state();
                        let retired = retire(over, table.now).apply(&mut table.row)
                            || retire(other, table.now).apply(&mut table.row);
                        assert!(retired);
                        let row = table.row.clone();
                        let before = if reads_after { table.state() } else { before };
                        assert_eq!(
                            table.record_after(&before, pattern),
                            Recorded::Late,
                            "{history} {pattern}"
                        );
                        assert_eq!(table.row, row, "{history} {pattern}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_streak_is_of_time_outs_only_until_another_failure_or_its_end() {
        let only = |table: &Table| matches!(table.state().phase, Phase::Failing { timeouts_only: true, .. });
        for (history, expected) in [
            ("T", true),
            ("TTT", true),
            ("TFT", false),
            ("FTT", false),
            ("FST", true),
            ("TSF", false),
            ("TSFTSTT", true),
        ] {
            let mut table = Table::new(rule(9));
            table.record(history);
            assert_eq!(only(&table), expected, "{history}");
            table.record("TT");
            assert_eq!(only(&table), expected, "a time-out more changes nothing: {history}");
            table.record("F");
            assert!(!only(&table), "{history}");
            table.record("T");
            assert!(!only(&table), "what was not a time-out stays one: {history}");
            table.record("S");
            table.record("T");
            assert!(only(&table), "a new streak is judged anew: {history}");
        }
        let mut table = Table::new(rule(3));
        table.record("TTT");
        assert_eq!(table.get(TIMEOUTS_ONLY), None, "a block has no streak");
        let mut table = Table::new(rule(3));
        table.record("T");
        assert!(table.unblock("word"));
        assert_eq!(table.get(TIMEOUTS_ONLY), None);
    }

    #[test]
    fn a_count_that_a_lowered_threshold_passed_is_shown_as_the_last_one_without_a_block() {
        assert_eq!([0, 1, 49, 50, 60].map(|failures| shown_failures(failures, 50)), [0, 1, 49, 49, 49]);
        assert_eq!(shown_failures(5, 1), 0);
    }

    #[test]
    fn what_is_dropped_is_counted_for_the_block_that_dropped_it_alone() {
        let mut table = Table::failing(3, 2);
        assert!(!discard("id 2", 1).apply(&mut table.row));
        table.record("F");
        assert!(discard("id 2", 4).apply(&mut table.row));
        assert!(discard("id 2", 5).apply(&mut table.row));
        assert_eq!(table.get(DISCARDED), Some(&Value::Number(9)));
        assert!(!discard("id 1", 1).apply(&mut table.row));
        assert!(table.unblock("word"));
        assert!(!discard("id 2", 1).apply(&mut table.row));
        assert!(!discard("word", 1).apply(&mut table.row));
    }

    #[test]
    fn others_that_change_the_row_again_and_again_end_a_recording_that_says_so() {
        let mut table = Table::failing(1_000_000, 1);
        let (mut recording, mut step) = table.begin(&table.state(), "F");
        for _ in 0..=MAX_REFUSALS {
            assert!(matches!(step, Step::Write(_)));
            step = recording.next(&Answer::Refused(table.row.clone()), table.now);
        }
        assert_eq!(step, Step::Done(Recorded::Contended));
    }

    /// The rule over the flat sequence of results, told without rows or writes: None while blocked.
    fn reference(threshold: u32, count: u32, pattern: &str) -> Option<u32> {
        let first = pattern.find('S').unwrap_or(pattern.len());
        let last = pattern.rfind('S').unwrap_or(pattern.len());
        let mut count = count;
        for (place, result) in pattern.chars().enumerate() {
            match result {
                'S' => count = 0,
                // Between two successes of one batch nothing is recorded.
                _ if first < place && place < last => {}
                _ => count += 1,
            }
            if count >= threshold {
                return None;
            }
        }
        Some(count)
    }

    /// A row that is open at `at(0)`, as any history may have left it.
    fn open_row() -> impl Strategy<Value = Option<Row>> {
        let fence = prop::option::of(prop::bool::ANY);
        (fence, prop::option::of(1..60u32)).prop_map(|(fence, failures)| {
            let mut row = Row::new();
            if let Some(ended) = fence {
                row.insert(EPOCH, text("fence"));
                if ended && failures.is_none() {
                    row.extend([
                        (FAILURES, Value::Number(1000)),
                        (BLOCKED_AT, Value::Number(at(-9).as_millisecond())),
                        (BLOCKED_UNTIL, Value::Number(at(0).as_millisecond())),
                    ]);
                }
            }
            if let Some(failures) = failures {
                row.extend([(STREAK, text("streak")), (FAILURES, Value::Number(i64::from(failures)))]);
            }
            (!row.is_empty()).then_some(row)
        })
    }

    proptest! {
        #[test]
        fn exactly_one_counting_write_fits_an_open_row(
            row in open_row(), threshold in 1..60u32, failures in 1..70u32, known in 1..60u32,
        ) {
            let mut table = Table { row, ..Table::new(rule(threshold)) };
            let state = table.state();
            let fence = state.epoch.as_deref();
            let counted = Counted { failures, last_error: String::new(), timeouts_only: false };
            let mut fits = Vec::new();
            if failures < threshold {
                fits.push(start(fence, &counted, table.rule, "new", table.now));
            }
            if state.failures() + failures < threshold {
                fits.push(add(fence, &counted, table.rule, "streak", state.failures().max(1), table.now));
            }
            fits.push(block(fence, &counted, table.rule, "new", table.now));
            fits.retain(|write| write.condition.holds(table.row.as_ref()));
            prop_assert_eq!(fits.len(), 1);

            // The machine finds it, however old what it read before is.
            let old = failing("old", known);
            let before = State { epoch: state.epoch.clone(), phase: old };
            let total = state.failures() + failures;
            let recorded = table.record_after(&before, &"F".repeat(failures as usize));
            prop_assert_eq!(&table.made, &[fits[0].name]);
            prop_assert!(table.refused <= 1);
            prop_assert_eq!(recorded == Recorded::Blocked, total >= threshold);
            prop_assert_eq!(table.is_blocked(), total >= threshold);
            if total < threshold {
                prop_assert_eq!(table.failures(), total);
            }
        }

        #[test]
        fn batches_one_after_the_other_agree_with_a_plain_counter(
            threshold in 1..20u32, batches in prop::collection::vec("[FS]{1,8}|F{1,8}", 1..60),
        ) {
            let mut table = Table::new(rule(threshold));
            let mut count = Some(0);
            for pattern in &batches {
                let Some(before) = count else {
                    prop_assert!(table.is_blocked());
                    table.now = table.now.checked_add(table.rule.block).unwrap();
                    prop_assert!(!table.is_blocked());
                    count = Some(0);
                    continue;
                };
                prop_assert_eq!(table.failures(), before);
                count = reference(threshold, before, pattern);
                let recorded = if count.is_some() { Recorded::Yes } else { Recorded::Blocked };
                prop_assert_eq!(table.record(pattern), recorded);
                prop_assert_eq!(table.is_blocked(), count.is_none());
                let shown = table.get(FAILURES).cloned().unwrap_or(Value::Number(0));
                prop_assert!(shown <= Value::Number(i64::from(threshold)));
            }
            prop_assert_eq!(table.refused, 0, "where nothing is concurrent nothing is refused");
        }

        #[test]
        fn a_band_is_the_counts_that_pass_the_same_warnings(
            known in 1..300u32, more in 1..300u32, beyond in 1..300u32,
        ) {
            let threshold = known + more + beyond;
            let passes = |count: u32| {
                let passed = |count: u32| WARNINGS.map(|percent| count * 100 >= threshold * percent);
                (count + more < threshold).then(|| (passed(count), passed(count + more)))
            };
            let expected: Vec<_> = (1..threshold).filter(|&count| passes(count) == passes(known)).collect();
            let (least, most) = band(known, more, rule(threshold));
            prop_assert_eq!((least..=most).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn each_warning_is_left_once_whatever_the_batches_and_however_old_what_they_read(
            threshold in 2..400u32, batches in prop::collection::vec((1..60u32, prop::bool::ANY), 1..40),
        ) {
            let mut table = Table::new(rule(threshold));
            let mut old = table.state();
            let mut told = Vec::new();
            for (failures, is_old) in batches {
                let total = table.failures() + failures;
                if total >= threshold {
                    break;
                }
                let before = if is_old { old.clone() } else { table.state() };
                old = table.state();
                let due = table.row.as_mut().and_then(|row| row.remove(WARNING));
                prop_assert_eq!(due, None);
                prop_assert_eq!(table.record_after(&before, &"F".repeat(failures as usize)), Recorded::Yes);
                if let Some(Value::Text(id)) = table.row.as_mut().and_then(|row| row.remove(WARNING)) {
                    told.push(id);
                }
                let streak = match table.state().phase {
                    Phase::Failing { streak, .. } => streak,
                    phase => panic!("{phase:?}"),
                };
                let highest = WARNINGS.into_iter().rfind(|percent| total * 100 >= threshold * percent);
                prop_assert_eq!(told.last().cloned(), highest.map(|percent| format!("{streak}#{percent}")));
            }
            let mut once = told.clone();
            once.dedup();
            prop_assert_eq!(once, told);
        }
    }
}
