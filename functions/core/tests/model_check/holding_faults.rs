//! Holding and releasing with one order reversed or one clause missing, to see that the check would notice.

use carteiro_core::transition::{Change, Condition, Effect as Becomes, Write};

use crate::{faults::without, holding::Effect};

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// A producer is answered before its item is queued.
    AnsweredBeforeQueued,
    /// A message is deleted before what follows from it is stored.
    DeletedBeforeStored,
    /// A release is touched before the item that waits for it is held.
    TouchedBeforeHeld,
    /// A release's rows are deleted before their items are queued.
    ReleasedRowDeletedBeforeSent,
    /// A moved row is deleted before its item is queued.
    MovedRowDeletedBeforeSent,
    /// A row is dropped before its item is buried.
    DroppedBeforeBuried,
    /// A dead letter is deleted before it is buried.
    DeadLetterDeletedBeforeBuried,
    /// A release ends though something was held meanwhile.
    EndWithoutTouched,
    /// A release is ended by a worker that has it no more.
    EndWithoutLease,
    /// Holding touches a release only where there is none.
    TouchWithoutCounting,
    /// A release is made without a time, so that no tick finds it.
    PlanWithoutTime,
    /// A claim takes a release's time away until it is given back.
    ClaimTakesTheTime,
    /// A row that was sent is deleted though its item was held again.
    DeleteReleasedWithoutHolding,
    /// An item that a message holds for a retry, the same message's copy holds for its release instead.
    HoldForReleaseOverARetry,
    /// A row that was moved is deleted though its item was held again.
    FinishWithoutClaim,
}

impl Fault {
    pub(crate) const ALL: [Self; 15] = [
        Self::AnsweredBeforeQueued,
        Self::DeletedBeforeStored,
        Self::TouchedBeforeHeld,
        Self::ReleasedRowDeletedBeforeSent,
        Self::MovedRowDeletedBeforeSent,
        Self::DroppedBeforeBuried,
        Self::DeadLetterDeletedBeforeBuried,
        Self::EndWithoutTouched,
        Self::EndWithoutLease,
        Self::TouchWithoutCounting,
        Self::PlanWithoutTime,
        Self::ClaimTakesTheTime,
        Self::DeleteReleasedWithoutHolding,
        Self::HoldForReleaseOverARetry,
        Self::FinishWithoutClaim,
    ];

    /// The effects in the order in which this fault would cause them.
    pub(crate) fn reorder(self, effects: Vec<Effect>) -> Vec<Effect> {
        let comes_first = |effect: &Effect| match self {
            Self::AnsweredBeforeQueued => matches!(effect, Effect::Answer { .. }),
            Self::DeletedBeforeStored => matches!(effect, Effect::DeleteMessage { .. }),
            Self::TouchedBeforeHeld => matches!(effect, Effect::AwaitRelease { .. }),
            Self::MovedRowDeletedBeforeSent => matches!(effect, Effect::Finish { .. }),
            Self::DroppedBeforeBuried => matches!(effect, Effect::DropRow { .. }),
            Self::DeadLetterDeletedBeforeBuried => matches!(effect, Effect::DeleteDeadLetter { .. }),
            _ => false,
        };
        let (mut first, others): (Vec<_>, Vec<_>) = effects.into_iter().partition(comes_first);
        first.extend(others);
        first
    }

    /// The write as this fault would have it.
    pub(crate) fn inject(self, write: Write) -> Write {
        let asks =
            |name: &'static str| move |one: &Condition| matches!(one, Condition::Is(of, _) if *of == name);
        match (self, write.name) {
            (Self::EndWithoutTouched, "end") => without(write, asks("touched")),
            (Self::EndWithoutLease, "end") => without(write, asks("lease_until")),
            (Self::DeleteReleasedWithoutHolding, "delete released") => without(write, asks("holding")),
            (Self::FinishWithoutClaim, "finish") => without(write, asks("claimed_until")),
            (Self::TouchWithoutCounting, "touch") => changing(write, |changes| changes.clear()),
            (Self::PlanWithoutTime, "plan") => {
                changing(write, |changes| changes.retain(|one| !matches!(one, Change::Set("due_at", _))))
            }
            (Self::ClaimTakesTheTime, "claim release") => {
                changing(write, |changes| changes[1] = Change::Remove("due_at"))
            }
            _ => write,
        }
    }
}

fn changing(mut write: Write, change: impl Fn(&mut Vec<Change>)) -> Write {
    if let Becomes::Update(changes) = &mut write.effect {
        change(changes);
    }
    write
}
