//! The conditional writes of holding and releasing, as the adapters make them, each clause under the name that it has
//! there.

use carteiro_core::transition::{Change, Condition, Effect, Row, Value, Write};

/// A time that has come.
const NOW: i64 = 0;
/// A time that comes: a block's end, the next tick.
const LATER: i64 = 1;

pub(crate) fn number(row: &Row, name: &str) -> Option<i64> {
    match row.get(name)? {
        Value::Number(number) => Some(*number),
        Value::Text(_) => None,
    }
}

fn is(name: &'static str, number: i64) -> Condition {
    Condition::Is(name, Value::Number(number))
}

fn set(name: &'static str, number: i64) -> Change {
    Change::Set(name, Value::Number(number))
}

fn update(name: &'static str, clauses: Vec<Condition>, changes: Vec<Change>) -> Write {
    Write { name, condition: Condition::All(clauses), effect: Effect::Update(changes) }
}

fn delete(name: &'static str, clauses: Vec<Condition>) -> Write {
    Write { name, condition: Condition::All(clauses), effect: Effect::Delete }
}

/// `HeldTable::hold`: the row that it puts, whatever is there.
pub(crate) fn retry_row(attempt: u32) -> Row {
    Row::from([("attempt", Value::Number(attempt.into())), ("due_at", Value::Number(LATER))])
}

/// `HeldTable::hold_for_release`: the row that it puts on condition of `HAS_NO_TIME`.
pub(crate) fn hold_for_release() -> Write {
    update("hold for release", vec![Condition::Missing("due_at")], Vec::new())
}

/// `HeldTable::hold_for_release`, where that is refused: `HAS_TIME`. Whoever moves the row does not delete it.
pub(crate) fn keep_retry() -> Write {
    update("keep retry", vec![Condition::Exists("due_at")], vec![Change::Remove("claimed_until")])
}

/// The row of an item that waits for its release. It has no time of its own.
pub(crate) fn waiting_row(attempt: u32, holding: i64) -> Row {
    Row::from([("attempt", Value::Number(attempt.into())), ("holding", Value::Number(holding))])
}

/// `HeldTable::claim`: `EXISTS AND IS_DUE AND IS_FREE`. Without time, what has a time is due, and a claim may always
/// have run out.
pub(crate) fn claim(claim: i64) -> Write {
    update(
        "claim",
        vec![Condition::Exists("attempt"), Condition::Exists("due_at")],
        vec![set("claimed_until", claim)],
    )
}

/// `HeldTable::finish`: `IS_OURS`.
pub(crate) fn finish(claim: i64) -> Write {
    delete("finish", vec![is("claimed_until", claim)])
}

/// `HeldTable::delete_released`: `IS_SAME_HOLDING`.
pub(crate) fn delete_released(holding: i64) -> Write {
    delete("delete released", vec![is("holding", holding)])
}

/// `HeldTable::await_release`: `IS_EARLY_ENOUGH`, or `IS_TOO_LATE` and sets the time.
pub(crate) fn await_release(late: bool) -> Write {
    let touch = Change::Add("touched", 1);
    if late {
        let is_too_late =
            Condition::Any(vec![Condition::Missing("due_at"), Condition::AtLeast("due_at", LATER + 1)]);
        return update("plan", vec![is_too_late], vec![touch, set("due_at", LATER)]);
    }
    update("touch", vec![Condition::AtMost("due_at", LATER)], vec![touch])
}

/// `HeldTable::hasten_release`: `EXISTS`.
pub(crate) fn hasten() -> Write {
    let changes = vec![set("due_at", NOW), Change::Add("touched", 1), Change::Add("hastened", 1)];
    update("hasten", vec![Condition::Exists("touched")], changes)
}

/// `HeldTable::claim_release`: `EXISTS AND IS_FREE`. Without time, a lease may always have run out.
pub(crate) fn claim_release(lease: i64) -> Write {
    let changes = vec![set("lease_until", lease), set("due_at", LATER)];
    update("claim release", vec![Condition::Exists("touched")], changes)
}

/// `HeldTable::renew_release`: `IS_OURS`. A worker's lease keeps its name here.
pub(crate) fn renew(lease: i64) -> Write {
    update("renew", vec![is("lease_until", lease)], Vec::new())
}

/// `HeldTable::begin_step`: `IS_OURS`.
pub(crate) fn begin_step(lease: i64, step: i64, items: i64, size: u32, hastened: i64) -> Write {
    let changes = vec![
        set("step_id", step),
        set("step_size", size.into()),
        set("step_left", items),
        set("step_failed", 0),
        set("step_hastened", hastened),
        Change::Remove("step_sent"),
    ];
    update("begin step", vec![is("lease_until", lease)], changes)
}

/// `HeldTable::step_sent`: `IS_OURS`.
pub(crate) fn step_sent(lease: i64) -> Write {
    update("step sent", vec![is("lease_until", lease)], vec![set("step_sent", 1)])
}

/// `HeldTable::finish_of_step`: `IS_STEP`.
pub(crate) fn finish_of_step(step: i64, failed: bool) -> Write {
    let changes = vec![Change::Add("step_left", -1), Change::Add("step_failed", failed.into())];
    update("count", vec![is("step_id", step)], changes)
}

/// `HeldTable::postpone_release`: `IS_OURS AND IS_UNTOUCHED`.
pub(crate) fn postpone(lease: i64, touched: i64, keep_step: bool) -> Write {
    let mut changes = vec![set("due_at", LATER), Change::Remove("lease_until")];
    if !keep_step {
        let step = ["step_id", "step_size", "step_left", "step_failed", "step_sent", "step_hastened"];
        changes.extend(step.map(Change::Remove));
    }
    update("postpone", vec![is("lease_until", lease), is("touched", touched)], changes)
}

/// `HeldTable::give_back_release`: `IS_OURS`.
pub(crate) fn give_back(lease: i64) -> Write {
    let changes = vec![set("due_at", LATER), Change::Remove("lease_until")];
    update("give back", vec![is("lease_until", lease)], changes)
}

/// `HeldTable::end_release`: `IS_OURS AND IS_UNTOUCHED`.
pub(crate) fn end_release(lease: i64, touched: i64) -> Write {
    delete("end", vec![is("lease_until", lease), is("touched", touched)])
}
