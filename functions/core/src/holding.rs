//! Held items and their releases: every conditional write on their rows, as a value.
//!
//! A held item has a row, which waits for a time of its own (a retry), or for its release. A release has a row for each
//! (webhook, item type):
//!
//! | row | attribute | meaning |
//! |---|---|---|
//! | held item | `due_at` | when its own time comes; missing while it waits for its release |
//! | | `holding` | the id of this hold, while it waits for its release |
//! | | `seen_at` | when the batch that held it began to read the state that it went by |
//! | | `claimed_until`, `claimed_by` | the end and the id of a mover's claim |
//! | release | `due_at` | when the next look is due |
//! | | `touched` | how often an item was held for it, or it was expedited |
//! | | `hastened` | how often its owner acted: ended a block, enabled or changed the webhook |
//! | | `release_all_until` | items that were held by a state that was read until then are released, retries too |
//! | | `lease_until`, `lease_by` | the end of a worker's lease, and the worker |
//! | | `step_id`, `step_size`, `step_items` | the step under way, how many items it may have, and has |
//! | | `step_finished`, `step_failures` | the indices of its items that have finished, and of those that failed |
//! | | `step_began_at`, `step_hastened`, `step_sent` | when it began, `hastened` then, and the mark that all was sent |
//! | | `looked_behind_at` | when expired items were searched for behind replayed ones |
//!
//! # Repeated writes
//! The SDK repeats a write whose answer was lost, so every write here recognises its own earlier success: a claim names
//! its owner and is granted to that owner again, finished items are a union of sets, and the row that refuses a repeat
//! shows that the first write took effect ([`LeftRelease::of`], [`begun_before`]).
//!
//! # What an owner's act releases
//! An act sets `release_all_until`, and a batch that read the state before it may still hold items for as long as it
//! runs ([`LONGEST_BATCH`](crate::release::LONGEST_BATCH)). So a release is not ended before all such batches have
//! ended ([`crate::release::ending`]), and it takes rows with a time of their own as well, where their `seen_at` is not
//! later than the act ([`is_released_by`]). Taking such a row is to *adopt* it: from then on it waits for the release
//! like the others ([`adopt`]).

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::transition::{Change, Condition, Effect, Put, Row, Value, Write};

/// When a held item's own time comes, or when a release is looked at. Adapters index it.
pub const DUE_AT: &str = "due_at";
/// The part of the index that a row is in.
pub const DUE_SHARD: &str = "due_shard";
/// The id of a hold. An item that is held again gets another one.
pub const HOLDING: &str = "holding";
const SEEN_AT: &str = "seen_at";
const CLAIMED_UNTIL: &str = "claimed_until";
const CLAIMED_BY: &str = "claimed_by";
const TOUCHED: &str = "touched";
const EXPEDITED: &str = "hastened";
const RELEASE_ALL_UNTIL: &str = "release_all_until";
const LEASE_UNTIL: &str = "lease_until";
const LEASE_BY: &str = "lease_by";
const STEP_ID: &str = "step_id";
const STEP_SIZE: &str = "step_size";
const STEP_ITEMS: &str = "step_items";
const STEP_FINISHED: &str = "step_finished";
const STEP_FAILURES: &str = "step_failures";
const STEP_BEGAN_AT: &str = "step_began_at";
const STEP_EXPEDITED: &str = "step_hastened";
const STEP_SENT: &str = "step_sent";
const LOOKED_BEHIND_AT: &str = "looked_behind_at";

/// The counters of a step's items in an older version.
const OLD_COUNTS: [&str; 2] = ["step_left", "step_failed"];

/// The attributes of a release's step.
const STEP: [&str; 8] =
    [STEP_ID, STEP_SIZE, STEP_ITEMS, STEP_FINISHED, STEP_FAILURES, STEP_BEGAN_AT, STEP_EXPEDITED, STEP_SENT];

/// All attributes of a release's row that decide something.
pub const RELEASE_ATTRIBUTES: [&str; 15] = [
    DUE_AT,
    TOUCHED,
    EXPEDITED,
    RELEASE_ALL_UNTIL,
    LEASE_UNTIL,
    LEASE_BY,
    LOOKED_BEHIND_AT,
    STEP_ID,
    STEP_SIZE,
    STEP_ITEMS,
    STEP_FINISHED,
    STEP_FAILURES,
    STEP_BEGAN_AT,
    STEP_EXPEDITED,
    STEP_SENT,
];

/// All attributes of a held item's row that decide something.
pub const HELD_ATTRIBUTES: [&str; 5] = [DUE_AT, HOLDING, SEEN_AT, CLAIMED_UNTIL, CLAIMED_BY];

/// A release that comes due within this time may be claimed, because clocks differ. A release that comes due later was
/// postponed, and a worker that is woken earlier leaves it.
pub const CLAIMED_EARLY: Duration = Duration::from_secs(60);

crate::named! {
    /// Why an item is held.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum HeldFor {
        /// Its next attempt is more than 15 minutes away.
        Retry = "retry",
        /// Its webhook is disabled.
        Disabled = "disabled",
        /// Its type is blocked, or its release did not succeed.
        Blocked = "blocked",
        /// It was dead, and is replayed.
        Replay = "replay",
    }
}

fn time(at: Timestamp) -> Value {
    Value::Number(at.as_millisecond())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn set(name: &'static str, value: Value) -> Change {
    Change::Set(name, value)
}

fn update(name: &'static str, clauses: Vec<Condition>, changes: Vec<Change>) -> Write {
    Write { name, condition: Condition::All(clauses), effect: Effect::Update(changes) }
}

fn delete(name: &'static str, clauses: Vec<Condition>) -> Write {
    Write { name, condition: Condition::All(clauses), effect: Effect::Delete }
}

/// The condition that an attribute is missing, or that its time has come.
fn missing_or_by(name: &'static str, now: Timestamp) -> Condition {
    Condition::Any(vec![Condition::Missing(name), Condition::AtMost(name, now.as_millisecond())])
}

/// The condition that no mover has the row, or its claim has expired.
fn is_free_of_movers(now: Timestamp) -> Condition {
    missing_or_by(CLAIMED_UNTIL, now)
}

/// The condition that this worker has the release.
fn is_ours(worker: &str) -> Condition {
    Condition::Is(LEASE_BY, text(worker))
}

/// The condition that no item was held and nobody expedited the release since the worker looked.
fn is_untouched(touched: u64) -> Condition {
    Condition::Is(TOUCHED, Value::Number(touched.cast_signed()))
}

// Held items.

/// Holds an item for a time of its own. It replaces whatever row the item has.
#[must_use]
pub fn hold(due_at: Timestamp, seen_at: Timestamp) -> Put {
    let row = Row::from([(DUE_AT, time(due_at)), (SEEN_AT, time(seen_at))]);
    Put { name: "hold", condition: Condition::All(Vec::new()), row }
}

/// Holds an item for its release, unless it has a row with a time of its own.
#[must_use]
pub fn hold_for_release(holding: &str, seen_at: Timestamp) -> Put {
    let row = Row::from([(HOLDING, text(holding)), (SEEN_AT, time(seen_at))]);
    Put { name: "hold for release", condition: Condition::Missing(DUE_AT), row }
}

/// Lets an item that was to be held for its release go on waiting for its own time. A mover that has the row now does
/// not delete it.
#[must_use]
pub fn keep_retry() -> Write {
    let changes = vec![Change::Remove(CLAIMED_UNTIL), Change::Remove(CLAIMED_BY)];
    update("keep retry", vec![Condition::Exists(DUE_AT)], changes)
}

/// Claims a row that is due by `due_until`, to be moved.
#[must_use]
pub fn claim(claim: &str, due_until: Timestamp, now: Timestamp, lease: Timestamp) -> Write {
    let is_due = Condition::AtMost(DUE_AT, due_until.as_millisecond());
    let is_ours = Condition::Is(CLAIMED_BY, text(claim));
    let changes = vec![set(CLAIMED_UNTIL, time(lease)), set(CLAIMED_BY, text(claim))];
    update("claim", vec![is_due, Condition::Any(vec![is_free_of_movers(now), is_ours])], changes)
}

/// Deletes a row that was moved, if the claim still stands: the item was not held again meanwhile.
#[must_use]
pub fn finish(claim: &str, lease: Timestamp) -> Write {
    // A version that knows no names ends a claim by its time alone.
    delete("finish", vec![Condition::Is(CLAIMED_BY, text(claim)), Condition::Is(CLAIMED_UNTIL, time(lease))])
}

/// The condition that an owner's act until then releases a row with a time of its own: the batch that held it went by
/// an older state. A row that a mover has claimed is on its way already.
#[must_use]
pub fn is_released_by(release_all_until: Timestamp, now: Timestamp) -> Condition {
    Condition::All(vec![
        Condition::Exists(DUE_AT),
        missing_or_by(SEEN_AT, release_all_until),
        is_free_of_movers(now),
    ])
}

/// The condition that a release reads a row: the row waits for it, or an owner's act released it.
#[must_use]
pub fn is_of_release(release_all_until: Option<Timestamp>, now: Timestamp) -> Condition {
    let waits = Condition::Missing(DUE_AT);
    match release_all_until {
        None => waits,
        Some(until) => Condition::Any(vec![waits, is_released_by(until, now)]),
    }
}

/// Makes a row that waited for a time of its own wait for its release, where an owner's act released it.
#[must_use]
pub fn adopt(holding: &str, release_all_until: Timestamp, now: Timestamp) -> Write {
    let is_ours = Condition::Is(HOLDING, text(holding));
    let changes = [DUE_AT, DUE_SHARD, CLAIMED_UNTIL, CLAIMED_BY].map(Change::Remove);
    let changes = [set(HOLDING, text(holding))].into_iter().chain(changes).collect();
    let condition = Condition::Any(vec![is_ours, is_released_by(release_all_until, now)]);
    Write { name: "adopt", condition, effect: Effect::Update(changes) }
}

/// Deletes a row whose item was sent, if it was not held again since it was read.
#[must_use]
pub fn delete_released(holding: &str) -> Write {
    delete("delete released", vec![Condition::Is(HOLDING, text(holding))])
}

// Releases.

/// Touches a release that is due by `due_at` anyway.
#[must_use]
pub fn touch(due_at: Timestamp) -> Write {
    let is_early_enough = Condition::AtMost(DUE_AT, due_at.as_millisecond());
    update("touch", vec![is_early_enough], vec![Change::Add(TOUCHED, 1)])
}

/// Touches a release and sets its time, where it has none or a later one. It is made where it is missing.
#[must_use]
pub fn plan(due_at: Timestamp) -> Write {
    let later = due_at.as_millisecond().saturating_add(1);
    let is_too_late = Condition::Any(vec![Condition::Missing(DUE_AT), Condition::AtLeast(DUE_AT, later)]);
    update("plan", vec![is_too_late], vec![Change::Add(TOUCHED, 1), set(DUE_AT, time(due_at))])
}

/// Applies an owner's act to a release: it is due now, and takes all items that were held by a state that was read
/// until `release_all_until`. A missing release is made, because a batch may be about to hold an item.
#[must_use]
pub fn release_all(now: Timestamp, release_all_until: Timestamp) -> Write {
    let is_later = missing_or_by(RELEASE_ALL_UNTIL, release_all_until);
    let changes = vec![
        set(DUE_AT, time(now)),
        set(RELEASE_ALL_UNTIL, time(release_all_until)),
        Change::Add(TOUCHED, 1),
        Change::Add(EXPEDITED, 1),
    ];
    update("release all", vec![is_later], changes)
}

/// Applies an owner's act where a later act came first.
#[must_use]
pub fn expedite(now: Timestamp, release_all_until: Timestamp) -> Write {
    let later = release_all_until.as_millisecond().saturating_add(1);
    let changes = vec![set(DUE_AT, time(now)), Change::Add(TOUCHED, 1), Change::Add(EXPEDITED, 1)];
    update("expedite", vec![Condition::AtLeast(RELEASE_ALL_UNTIL, later)], changes)
}

/// Claims a release. `due_at` is when the worker's time will be over. A release that comes due later than
/// [`CLAIMED_EARLY`] is left, but for one whose worker died.
#[must_use]
pub fn claim_release(worker: &str, now: Timestamp, lease: Timestamp, due_at: Timestamp) -> Write {
    let soon = crate::retention::after(now, CLAIMED_EARLY).as_millisecond();
    let nobody_has_it =
        Condition::All(vec![Condition::Missing(LEASE_UNTIL), Condition::AtMost(DUE_AT, soon)]);
    let its_worker_died = Condition::AtMost(LEASE_UNTIL, now.as_millisecond());
    let condition = Condition::Any(vec![nobody_has_it, its_worker_died, is_ours(worker)]);
    let changes = vec![set(LEASE_UNTIL, time(lease)), set(LEASE_BY, text(worker)), set(DUE_AT, time(due_at))];
    Write { name: "claim release", condition, effect: Effect::Update(changes) }
}

/// Renews a worker's lease.
#[must_use]
pub fn renew(worker: &str, lease: Timestamp) -> Write {
    update("renew", vec![is_ours(worker)], vec![set(LEASE_UNTIL, time(lease))])
}

/// Notes that expired items were searched for behind replayed ones, beginning at `now`, and renews the lease.
#[must_use]
pub fn looked_behind(worker: &str, now: Timestamp, lease: Timestamp) -> Write {
    let changes = vec![set(LEASE_UNTIL, time(lease)), set(LOOKED_BEHIND_AT, time(now))];
    update("looked behind", vec![is_ours(worker)], changes)
}

/// A step that is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewStep<'a> {
    /// Its id.
    pub id: &'a str,
    /// How many items it has.
    pub items: u32,
    /// How many it may have.
    pub size: u32,
}

/// Begins a step, before anything of it is sent, and renews the lease. The condition names the step that the worker
/// saw, so that a late write does not undo what was counted since.
#[must_use]
pub fn begin_step(
    worker: &str,
    seen: &ReleaseState,
    step: NewStep<'_>,
    now: Timestamp,
    lease: Timestamp,
) -> Write {
    let is_as_seen = match &seen.step_id {
        Some(id) => Condition::Is(STEP_ID, text(id)),
        None => Condition::Missing(STEP_ID),
    };
    let mut changes = vec![
        set(LEASE_UNTIL, time(lease)),
        set(STEP_ID, text(step.id)),
        set(STEP_SIZE, Value::Number(step.size.into())),
        set(STEP_ITEMS, Value::Number(step.items.into())),
        set(STEP_BEGAN_AT, time(now)),
        set(STEP_EXPEDITED, Value::Number(seen.expedited.cast_signed())),
    ];
    changes
        .extend([STEP_SENT, STEP_FINISHED, STEP_FAILURES].into_iter().chain(OLD_COUNTS).map(Change::Remove));
    update("begin step", vec![is_ours(worker), is_as_seen], changes)
}

/// Whether the row that refused [`begin_step`] shows that the step was begun by an earlier try of the same write.
#[must_use]
pub fn begun_before(refused: &Row, worker: &str, step: NewStep<'_>) -> bool {
    is_ours(worker).holds(Some(refused)) && refused.get(STEP_ID) == Some(&text(step.id))
}

/// Notes that all of the current step is in the queue, and renews the lease.
#[must_use]
pub fn step_sent(worker: &str, lease: Timestamp) -> Write {
    let changes = vec![set(LEASE_UNTIL, time(lease)), set(STEP_SENT, Value::Number(1))];
    update("step sent", vec![is_ours(worker)], changes)
}

/// Counts items of a step that have finished, by their indices. An item counts once, however often it is counted. None
/// where there is nothing to count.
#[must_use]
pub fn count_finished(step: &str, finished: &BTreeSet<i64>, failed: &BTreeSet<i64>) -> Option<Write> {
    let union =
        |name, indices: &BTreeSet<i64>| (!indices.is_empty()).then(|| Change::Union(name, indices.clone()));
    let changes: Vec<_> =
        union(STEP_FINISHED, finished).into_iter().chain(union(STEP_FAILURES, failed)).collect();
    let is_current = Condition::Is(STEP_ID, text(step));
    (!changes.is_empty()).then(|| update("count", vec![is_current], changes))
}

fn leave(due_at: Timestamp) -> Vec<Change> {
    vec![set(DUE_AT, time(due_at)), Change::Remove(LEASE_UNTIL), Change::Remove(LEASE_BY)]
}

/// Gives a release back, to be looked at again at `due_at`, unless it was touched since the worker looked. Without
/// `keep_step` it begins again with the first step.
#[must_use]
pub fn postpone(worker: &str, touched: u64, due_at: Timestamp, keep_step: bool) -> Write {
    let mut changes = leave(due_at);
    if !keep_step {
        changes.extend(STEP.into_iter().chain(OLD_COUNTS).map(Change::Remove));
    }
    update("postpone", vec![is_ours(worker), is_untouched(touched)], changes)
}

/// Gives a release back as it is, even where it was touched meanwhile.
#[must_use]
pub fn give_back(worker: &str, due_at: Timestamp) -> Write {
    update("give back", vec![is_ours(worker)], leave(due_at))
}

/// Ends a release of which nothing is held any more, unless it was touched since the worker looked.
#[must_use]
pub fn end_release(worker: &str, touched: u64) -> Write {
    delete("end", vec![is_ours(worker), is_untouched(touched)])
}

/// How leaving a release ended: postponing or ending it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftRelease {
    /// The release was left, now or by an earlier try of the same write.
    Done,
    /// An item was held, or the release was expedited, since the worker looked. The worker still has it, and looks
    /// again.
    Touched,
    /// Another worker has the release.
    NotOurs,
}

impl LeftRelease {
    /// Reads the row that refused to be left by a worker.
    #[must_use]
    pub fn of(refused: Option<&Row>, worker: &str) -> Self {
        match refused {
            // Leaving takes the lease away, and nobody else takes it from a worker without a lease of his own.
            Some(row) if row.contains_key(LEASE_BY) => {
                if is_ours(worker).holds(refused) {
                    Self::Touched
                } else {
                    Self::NotOurs
                }
            }
            _ => Self::Done,
        }
    }
}

/// The state of a release.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReleaseState {
    /// How often an item was held for it, or it was expedited.
    pub touched: u64,
    /// How often it was expedited.
    pub expedited: u64,
    /// Items that were held by a state that was read until then are released, retries too.
    pub release_all_until: Option<Timestamp>,
    /// The end of the lease, where a worker has it.
    pub lease: Option<Timestamp>,
    /// The id of the step under way, if one is.
    pub step_id: Option<String>,
    /// How far that step is.
    pub step: Option<Progress>,
    /// When the last complete search for expired items behind replayed ones began.
    pub looked_behind_at: Option<Timestamp>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Progress {
    /// How many items it may have.
    pub size: u32,
    /// How many of them have not finished.
    pub left: u32,
    /// How many of them failed.
    pub failed: u32,
    /// When it began.
    pub began_at: Timestamp,
    /// Whether all of it is in the queue. Without, none of its rows was deleted.
    pub sent: bool,
    /// Whether the release was expedited since it began.
    pub expedited: bool,
}

impl ReleaseState {
    /// Reads a row.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        let expedited = count(row, EXPEDITED).unwrap_or_default();
        Self {
            touched: count(row, TOUCHED).unwrap_or_default(),
            expedited,
            release_all_until: time_of(row, RELEASE_ALL_UNTIL),
            lease: time_of(row, LEASE_UNTIL),
            step_id: match row.get(STEP_ID) {
                Some(Value::Text(id)) => Some(id.clone()),
                _ => None,
            },
            step: Progress::of(row, expedited),
            looked_behind_at: time_of(row, LOOKED_BEHIND_AT),
        }
    }

    /// The state of a release that this worker has; None where another worker has it.
    #[must_use]
    pub fn of_worker(row: &Row, worker: &str) -> Option<Self> {
        is_ours(worker).holds(Some(row)).then(|| Self::of(row))
    }
}

impl Progress {
    fn of(row: &Row, expedited: u64) -> Option<Self> {
        let size = small(row, STEP_SIZE)?;
        let indices = |name| match row.get(name) {
            Some(Value::Numbers(indices)) => u32::try_from(indices.len()).unwrap_or(u32::MAX),
            _ => 0,
        };
        let items = small(row, STEP_ITEMS);
        Some(Self {
            size,
            left: items.unwrap_or_default().saturating_sub(indices(STEP_FINISHED)),
            failed: indices(STEP_FAILURES),
            began_at: time_of(row, STEP_BEGAN_AT).unwrap_or(Timestamp::UNIX_EPOCH),
            // An older version did not count by indices: its step is begun anew.
            sent: items.is_some() && row.contains_key(STEP_SENT),
            expedited: count(row, STEP_EXPEDITED) != Some(expedited),
        })
    }
}

fn count(row: &Row, name: &str) -> Option<u64> {
    match row.get(name)? {
        Value::Number(number) => u64::try_from(*number).ok(),
        Value::Text(_) | Value::Numbers(_) => None,
    }
}

fn small(row: &Row, name: &str) -> Option<u32> {
    count(row, name).and_then(|number| u32::try_from(number).ok())
}

fn time_of(row: &Row, name: &str) -> Option<Timestamp> {
    match row.get(name)? {
        Value::Number(ms) => Timestamp::from_millisecond(*ms).ok(),
        Value::Text(_) | Value::Numbers(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn planned() -> Option<Row> {
        let mut row = None;
        assert!(plan(at(0)).apply(&mut row));
        row
    }

    fn state(row: &Option<Row>) -> ReleaseState {
        ReleaseState::of(row.as_ref().unwrap())
    }

    /// A release that this worker has.
    fn claimed(worker: &str) -> Option<Row> {
        let mut row = planned();
        assert!(claim_release(worker, at(1), at(30), at(900)).apply(&mut row));
        row
    }

    const STEP_OF_TWO: NewStep<'static> = NewStep { id: "s", items: 2, size: 10 };

    #[test]
    fn a_claim_with_a_lost_answer_is_granted_again_to_its_owner() {
        let mut row = claimed("a");
        assert!(!claim_release("b", at(2), at(40), at(900)).apply(&mut row));
        assert!(claim_release("a", at(1), at(30), at(900)).apply(&mut row));
        assert!(claim_release("b", at(30), at(60), at(900)).apply(&mut row), "its lease is over");
        assert!(!renew("a", at(90)).apply(&mut row));
        let mut held = Some(hold(at(5), at(0)).row);
        assert!(claim("a", at(9), at(1), at(30)).apply(&mut held));
        assert!(!claim("b", at(9), at(2), at(40)).apply(&mut held));
        assert!(claim("a", at(9), at(1), at(30)).apply(&mut held));
        assert!(!finish("b", at(30)).apply(&mut held));
        assert!(finish("a", at(30)).apply(&mut held));
    }

    #[test]
    fn a_release_that_was_postponed_is_left_until_shortly_before() {
        let mut row = claimed("a");
        let early = i64::try_from(CLAIMED_EARLY.as_millis()).unwrap();
        assert!(postpone("a", 1, at(early + 100), true).apply(&mut row));
        assert!(!claim_release("b", at(99), at(200), at(900)).apply(&mut row));
        assert!(claim_release("b", at(100), at(200), at(900)).apply(&mut row));
    }

    #[test]
    fn items_count_once_however_often_they_are_counted() {
        let mut row = claimed("a");
        let begin = begin_step("a", &state(&row), STEP_OF_TWO, at(2), at(40));
        assert!(begin.apply(&mut row));
        let count = |row: &mut Option<Row>, step: &str, finished: &[i64], failed: &[i64]| {
            let set = |indices: &[i64]| indices.iter().copied().collect();
            count_finished(step, &set(finished), &set(failed)).unwrap().apply(row)
        };
        for _ in 0..3 {
            assert!(count(&mut row, "s", &[1], &[1]));
            let step = state(&row).step.unwrap();
            assert_eq!((step.left, step.failed, step.sent), (1, 1, false));
        }
        assert!(!count(&mut row, "other", &[0], &[]));
        assert!(!begin.apply(&mut row), "a write that comes late undoes nothing");
        assert!(begun_before(row.as_ref().unwrap(), "a", STEP_OF_TWO));
        assert!(!begun_before(row.as_ref().unwrap(), "b", STEP_OF_TWO));
        assert!(step_sent("a", at(50)).apply(&mut row) && count(&mut row, "s", &[0], &[]));
        let step = state(&row).step.unwrap();
        assert_eq!((step.left, step.failed, step.sent), (0, 1, true));
        assert!(count_finished("s", &BTreeSet::new(), &BTreeSet::new()).is_none());
        let next = begin_step("a", &state(&row), NewStep { id: "t", ..STEP_OF_TWO }, at(3), at(60));
        assert!(next.apply(&mut row));
        let step = state(&row).step.unwrap();
        assert_eq!((step.left, step.failed, step.sent), (2, 0, false));
    }

    #[test]
    fn a_step_of_an_older_version_is_begun_anew() {
        let mut row = planned().unwrap();
        row.extend([(STEP_ID, text("old")), (STEP_SIZE, Value::Number(40)), (STEP_SENT, Value::Number(1))]);
        row.insert("step_left", Value::Number(-3));
        let step = ReleaseState::of(&row).step.unwrap();
        assert_eq!((step.size, step.left, step.failed, step.sent), (40, 0, 0, false));
        let mut row = Some(row);
        assert!(claim_release("a", at(1), at(30), at(900)).apply(&mut row));
        assert!(begin_step("a", &state(&row), STEP_OF_TWO, at(2), at(40)).apply(&mut row));
        assert!(!row.unwrap().contains_key("step_left"));
    }

    #[test]
    fn a_refused_leave_tells_left_touched_and_taken_apart() {
        for write in [postpone("a", 1, at(5), false), end_release("a", 1)] {
            let mut row = claimed("a");
            assert!(write.apply(&mut row) && !write.apply(&mut row));
            assert_eq!(LeftRelease::of(row.as_ref(), "a"), LeftRelease::Done);
            let mut row = claimed("a");
            assert!(touch(at(9000)).apply(&mut row) && !write.apply(&mut row));
            assert_eq!(LeftRelease::of(row.as_ref(), "a"), LeftRelease::Touched);
            let mut row = claimed("b");
            assert!(!write.apply(&mut row));
            assert_eq!(LeftRelease::of(row.as_ref(), "a"), LeftRelease::NotOurs);
        }
    }

    #[test]
    fn an_act_releases_only_what_an_older_state_held() {
        let (until, now) = (at(100), at(500));
        let adopted = |mut row: Option<Row>| {
            let made = adopt("h", until, now).apply(&mut row);
            row.filter(|_| made)
        };
        for (seen, taken) in [(99, true), (100, true), (101, false)] {
            let row = hold(at(9000), at(seen)).row;
            assert_eq!(is_of_release(Some(until), now).holds(Some(&row)), taken);
            assert!(!is_of_release(None, now).holds(Some(&row)));
            let Some(row) = adopted(Some(row)) else {
                assert!(!taken);
                continue;
            };
            assert!(taken && is_of_release(None, now).holds(Some(&row)));
            assert!(adopted(Some(row.clone())).is_some(), "a repeat");
            assert!(delete_released("h").apply(&mut Some(row)));
        }
        let old = Row::from([(DUE_AT, time(at(9000)))]);
        assert!(adopted(Some(old)).is_some(), "a row of an older version");
        let mut moving = Some(hold(at(9000), at(0)).row);
        assert!(claim("m", at(9000), at(400), at(501)).apply(&mut moving));
        assert!(adopted(moving.clone()).is_none(), "it is on its way");
        assert!(adopt("h", until, at(501)).apply(&mut moving), "its mover died");
        assert!(adopted(None).is_none());
        let waiting = hold_for_release("other", at(0)).row;
        assert!(adopted(Some(waiting.clone())).is_none() && is_of_release(None, now).holds(Some(&waiting)));
    }

    #[test]
    fn acts_make_a_release_and_the_latest_one_counts() {
        let mut row = None;
        assert!(!expedite(at(1), at(6)).apply(&mut row));
        assert!(release_all(at(1), at(6)).apply(&mut row));
        assert_eq!(state(&row).release_all_until, Some(at(6)));
        assert!(release_all(at(9), at(14)).apply(&mut row));
        assert!(!release_all(at(1), at(6)).apply(&mut row) && expedite(at(1), at(6)).apply(&mut row));
        let after = state(&row);
        assert_eq!((after.release_all_until, after.expedited, after.touched), (Some(at(14)), 3, 3));
    }

    #[test]
    fn what_has_a_time_of_its_own_keeps_its_row() {
        let mut row = Some(hold(at(5), at(0)).row);
        assert!(claim("m", at(9), at(1), at(30)).apply(&mut row));
        assert!(!hold_for_release("h", at(1)).apply(&mut row));
        assert!(keep_retry().apply(&mut row));
        assert!(!finish("m", at(30)).apply(&mut row), "its mover leaves it");
        assert_eq!(row, Some(hold(at(5), at(0)).row));
        assert!(!keep_retry().apply(&mut None) && hold_for_release("h", at(1)).apply(&mut None));
    }
}
