//! The protocol with one of its clauses broken, to see that the check would notice.
//!
//! The production code has no hooks for this: a fault changes a write on its way to the table, or what the machine
//! is answered.

use carteiro_core::{
    streak::FENCE,
    transition::{Change, Condition, Effect, Value, Write},
};

carteiro_core::named! {
    /// What is broken.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(crate) enum Fault {
        /// `start` does not ask for the epoch.
        StartWithoutEpoch,
        /// What was read before the attempts stands for the read after a success.
        StaleReadForASuccess,
        /// A write that counts is made again after its answer was lost.
        CountingRepeated,
        /// A row expires at its block's end, while batches run that began before the block.
        ExpiryAtTheBlocksEnd,
        /// `add` has no upper bound.
        AddWithoutBound,
        /// `end` does not name its streak.
        EndWithoutName,
        /// `block` does not ask for what is missing to the threshold.
        BlockWithoutCount,
        /// `block` does not ask for the epoch.
        BlockWithoutEpoch,
        /// A block by leading failures does not name the streak that it found.
        BlockWithoutName,
        /// A batch whose fence the table deleted is held for late, though nothing happened since.
        DeletedFenceIsLate,
        /// `start` does not ask whether there is a streak.
        StartOverAStreak,
        /// `start` leaves the date at which the table may delete the row.
        StartKeepsExpiry,
        /// `block` asks neither for the epoch nor whether a block is on.
        BlockOverABlock,
        /// A batch does not look whether a block is on when it begins.
        BlockNotRead,
    }
}

impl Fault {
    /// The write as this fault would have it.
    pub(crate) fn inject(self, write: Write) -> Write {
        let is_epoch =
            |one: &Condition| matches!(one, Condition::Is("epoch", _) | Condition::Missing("epoch"));
        let is_not_blocked = |one: &Condition| matches!(one, Condition::Any(any) if any.contains(&Condition::Missing("blocked_until")));
        match (self, write.name) {
            (Self::StartWithoutEpoch, "start") | (Self::BlockWithoutEpoch, "block") => {
                without(write, is_epoch)
            }
            (Self::AddWithoutBound, "add") => {
                without(write, |one| matches!(one, Condition::AtMost("failures", _)))
            }
            (Self::EndWithoutName, "end") | (Self::BlockWithoutName, "block") => {
                without(write, |one| matches!(one, Condition::Is("streak", _)))
            }
            (Self::BlockWithoutCount, "block") => {
                without(write, |one| matches!(one, Condition::AtLeast("failures", _)))
            }
            (Self::BlockOverABlock, "block") => without(write, |one| is_epoch(one) || is_not_blocked(one)),
            (Self::StartOverAStreak, "start") => without(write, |one| *one == Condition::Missing("streak")),
            (Self::StartKeepsExpiry, "start") => keeping(write, "expires_at"),
            (Self::ExpiryAtTheBlocksEnd, "block") => expiring_at_once(write),
            _ => write,
        }
    }
}

/// A write without some of its clauses.
pub(crate) fn without(write: Write, is_unwanted: impl Fn(&Condition) -> bool) -> Write {
    let condition = match write.condition {
        Condition::All(all) => Condition::All(all.into_iter().filter(|one| !is_unwanted(one)).collect()),
        one => one,
    };
    Write { condition, ..write }
}

/// A write that does not remove an attribute.
fn keeping(mut write: Write, kept: &str) -> Write {
    if let Effect::Update(changes) = &mut write.effect {
        changes.retain(|change| !matches!(change, Change::Remove(name) if *name == kept));
    }
    write
}

/// A write whose row may be deleted without the hour in between.
fn expiring_at_once(mut write: Write) -> Write {
    if let Effect::Update(changes) = &mut write.effect {
        for change in changes {
            if let Change::Set("expires_at", Value::Number(at)) = change {
                *at -= FENCE.as_secs().cast_signed();
            }
        }
    }
    write
}
