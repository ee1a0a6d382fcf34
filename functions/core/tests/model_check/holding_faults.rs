//! Holding and releasing with one order reversed or one clause missing, to see that the check would notice.

use carteiro_core::transition::{Change, Condition, Effect as Becomes, Write};

use crate::holding::{Effect, NOTHING_LATE, NOTHING_LOST, OWN_TIME, STEP_BY_STEP};

carteiro_core::named! {
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
        /// The claim of a release is not granted again to its owner, whose answer was lost.
        ClaimReleaseWithoutOwner,
        /// The claim of a row is not granted again to its owner, whose answer was lost.
        ClaimRowWithoutOwner,
        /// A worker knows its release by its lease's end, which its own write has changed whose answer was lost.
        LeaseIsKnownByItsEnd,
        /// An item that is counted again is taken for another one.
        CountsAddUp,
        /// An owner's act leaves retries to their own times.
        RetriesAreNotReleased,
        /// An owner's act hastens a release where there is one, and makes none.
        ActMakesNoRelease,
        /// Nobody looks again when all batches have ended that read the state before an act.
        NobodyLooksAgain,
        /// A release ends before all such batches have ended.
        EndTooEarly,
        /// A release ends by what was read before all such batches had ended.
        EndByAnOldReading,
        /// A release takes retries whenever they were held.
        AdoptWithoutSeenAt,
        /// A release is postponed though its owner acted meanwhile.
        PostponeWithoutTouched,
    }
}

impl Fault {
    /// The property that it breaks.
    pub(crate) fn breaks(self) -> &'static str {
        match self {
            Self::CountsAddUp => STEP_BY_STEP,
            Self::AdoptWithoutSeenAt => OWN_TIME,
            Self::ClaimReleaseWithoutOwner
            | Self::ClaimRowWithoutOwner
            | Self::LeaseIsKnownByItsEnd
            | Self::RetriesAreNotReleased
            | Self::ActMakesNoRelease
            | Self::NobodyLooksAgain
            | Self::EndTooEarly
            | Self::EndByAnOldReading
            | Self::PostponeWithoutTouched => NOTHING_LATE,
            _ => NOTHING_LOST,
        }
    }

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

    /// What a release reads, as this fault would have it.
    pub(crate) fn inject_reading(self, condition: Condition) -> Condition {
        match self {
            Self::AdoptWithoutSeenAt => blind(condition, &["seen_at"]).unwrap_or(Condition::All(Vec::new())),
            _ => condition,
        }
    }

    /// The write as this fault would have it.
    pub(crate) fn inject(self, write: Write) -> Write {
        match (self, write.name) {
            (Self::EndWithoutTouched, "end") | (Self::PostponeWithoutTouched, "postpone") => {
                without(write, &["touched"])
            }
            (Self::EndWithoutLease, "end") | (Self::ClaimReleaseWithoutOwner, "claim release") => {
                without(write, &["lease_by"])
            }
            (Self::DeleteReleasedWithoutHolding, "delete released") => without(write, &["holding"]),
            (Self::FinishWithoutClaim, "finish") => without(write, &["claimed_by", "claimed_until"]),
            (Self::ClaimRowWithoutOwner, "claim") => without(write, &["claimed_by"]),
            (Self::AdoptWithoutSeenAt, "adopt") => without(write, &["seen_at"]),
            (Self::ActMakesNoRelease, "release all") => {
                let is_there = Condition::Exists("touched");
                Write { condition: Condition::All(vec![write.condition, is_there]), ..write }
            }
            (Self::TouchWithoutCounting, "touch") => changing(write, |changes| changes.clear()),
            (Self::PlanWithoutTime, "plan") => {
                changing(write, |changes| changes.retain(|one| !matches!(one, Change::Set("due_at", _))))
            }
            (Self::ClaimTakesTheTime, "claim release") => changing(write, |changes| {
                let time = changes.iter_mut().find(|one| matches!(one, Change::Set("due_at", _)));
                time.into_iter().for_each(|one| *one = Change::Remove("due_at"));
            }),
            _ => write,
        }
    }
}

/// A write whose condition does not ask for these attributes.
fn without(write: Write, names: &[&str]) -> Write {
    Write { condition: blind(write.condition, names).unwrap_or(Condition::All(Vec::new())), ..write }
}

/// A condition that does not ask for these attributes; None where nothing is left of it.
fn blind(condition: Condition, names: &[&str]) -> Option<Condition> {
    let blind_all = |all: Vec<Condition>| -> Option<Vec<_>> {
        let left: Vec<_> = all.into_iter().filter_map(|one| blind(one, names)).collect();
        (!left.is_empty()).then_some(left)
    };
    match condition {
        Condition::All(all) => blind_all(all).map(Condition::All),
        Condition::Any(any) => blind_all(any).map(Condition::Any),
        Condition::Exists(name)
        | Condition::Missing(name)
        | Condition::Is(name, _)
        | Condition::AtMost(name, _)
        | Condition::AtLeast(name, _)
            if names.contains(&name) =>
        {
            None
        }
        other => Some(other),
    }
}

fn changing(mut write: Write, change: impl Fn(&mut Vec<Change>)) -> Write {
    if let Becomes::Update(changes) = &mut write.effect {
        change(changes);
    }
    write
}
