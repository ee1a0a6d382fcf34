//! Recording the results of a batch: a machine that asks for one step after the other.

use jiff::Timestamp;

use super::row::{Phase, RETIRED, STREAK, State};
use super::rule::Rule;
use super::write::{Counted, add, block, end, start};
use crate::transition::{Condition, Row, Value, Write};

/// How often a record is tried again when others changed the row in between. Each refusal means that somebody else's
/// record went through.
pub const MAX_REFUSALS: u32 = 100;

/// A failure among the results of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failed {
    /// The failure, as the row remembers it.
    pub error: String,
    /// Whether it was a time-out.
    pub timed_out: bool,
}

/// Consecutive failures.
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
            timeouts_only: failures().all(|failed| failed.timed_out),
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
    /// Gathers results, each a failure or None for a success. Answers None where there is no result.
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

    /// The failures that a record at this stage counts. Leading failures that block leave later ones out.
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

/// The next step that recording asks of its caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Read the row, consistently.
    Read,
    /// Make this write, once.
    Write(Write),
    /// Nothing: this is the result.
    Done(Recorded),
}

/// The answer to a step.
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

/// The result of recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recorded {
    /// The results are part of the history.
    Yes,
    /// The results came after a block or an unblock that their batch had not seen, and changed nothing.
    Late,
    /// The results began a block. Where the write's answer was lost, a read saw that block.
    Blocked,
    /// Others changed the row again and again; results that were not recorded are lost for the count.
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

/// Adds the condition that the streak is the one that was found, or that there is none.
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
            // The read from before the attempts is enough: the write's condition checks it.
            Stage::OnlyFailures => recording.count(before, now),
            // A read from before the response would say nothing of the success.
            Stage::Success | Stage::Trailing => Step::Read,
        };
        (recording, step)
    }

    /// Goes on with the answer to the last step.
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
                self.retry_or_give_up(Step::Read)
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
                self.retry_or_give_up(step)
            }
        }
    }

    fn retry_or_give_up(&mut self, step: Step) -> Step {
        self.refusals += 1;
        if self.refusals > MAX_REFUSALS { Step::Done(Recorded::Contended) } else { step }
    }

    /// The state of a row without its streak.
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
        // The streak that this success was to end has ended: at that moment there was none.
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
