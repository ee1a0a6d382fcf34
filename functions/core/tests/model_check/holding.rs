//! A second model: holding, moving, releasing and burying. Nothing that was accepted is lost, and what an owner's act
//! releases waits no longer.
//!
//! What decides and is pure is run as it is: every conditional write on held rows and on the release's row
//! ([`carteiro_core::holding`]), [`settle`], [`next_step`] and [`ending`]. The orders of steps are those of
//! `ingest/accept`, `deliver/settle`, `collect/release`, `collect/move_due`, `collect/bury` and `manage/release`.
//!
//! **What is explored**: these run at once, a step each, in any order; each dies after any step; the queue hands a
//! message out twice at once; an answer is lost and the same write is made again; a message of a step cannot be sent;
//! messages go to the dead letters; blocks begin and end; the owner acts; an attempt succeeds or fails; the retention
//! ends.
//!
//! **Time** is left out, but for the order that an owner's act gives it. What may happen at some time may happen at
//! any. A lease whose owner died has run out; one whose owner lives runs out as often as the bounds say. A tick comes
//! and plans all that has a time, a step is waited for as long or as short as it may be. That allows more than truth
//! does. A write is made while its writer waits for it, or never: what arrives later than the three minutes after which
//! a message comes back is not explored.
//!
//! **An act** has a number, and a batch knows how many acts it saw. Some time after an act it is *old*: every batch
//! that saw the state before it has ended, and so has every write by which a worker leaves its release. Only an old
//! act's release is looked at the second time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use carteiro_core::{
    holding::{self, LeftRelease, NewStep, Progress, ReleaseState},
    outcome::{FailureKind, Outcome},
    release::{Ending, NextStep, ending, grown, next_step},
    retention::Retention,
    settlement::{Settlement, settle},
    transition::{Change, Condition, Effect as Becomes, Put, Row, Value, Write},
};
use jiff::Timestamp;
use stateright::{Model, Property};

use crate::{holding_faults::Fault, world::fingerprint};

/// The properties of a world.
pub(crate) const NOTHING_LOST: &str = "what was accepted arrived, is dead, or waits where something moves it";
pub(crate) const NOTHING_LATE: &str = "after an act nothing waits for a time later than its second look";
pub(crate) const STEP_BY_STEP: &str = "a step is over when all of its items have finished";
pub(crate) const OWN_TIME: &str = "a retry of the state after an act keeps its own time";

/// A time that has come, and the time of every act.
const NOW: i64 = 1_000;
/// When an act is looked at the second time.
const SECOND_LOOK: i64 = 45_000;
/// When an act is old.
const OLD: i64 = 50_000;
/// A time that comes: a block's end, a retry, the next tick, the end of a worker's time.
const LATER: i64 = 7_200_000;
/// When a tick finds everything due.
const DUE: i64 = 100_000_000;
/// When a lease or a claim ends, unless it has run out.
const LEASE: i64 = DUE + 1;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

/// When a batch read the state that saw this number of acts.
fn seen_at(acts: u8) -> Timestamp {
    at(2 * i64::from(acts))
}

/// What an act releases: what was read before it, and not what was read after it.
fn released_by(act: u8) -> Timestamp {
    at(2 * i64::from(act) - 1)
}

/// What is explored.
#[derive(Clone)]
pub(crate) struct Setting {
    /// How many items are offered.
    pub(crate) items: usize,
    /// The number of their first attempt: the third is retried through the queue, the fourth is held.
    pub(crate) attempt: u32,
    /// How many deliveries, releases and moves run at once.
    pub(crate) delivers: usize,
    pub(crate) releases: usize,
    pub(crate) movers: usize,
    /// How many items the first step of a release has here.
    pub(crate) first_step: u32,
    /// How often each thing happens at most.
    pub(crate) budget: Budget,
    /// Whether the retention may end.
    pub(crate) retention_ends: bool,
    /// What is broken on purpose.
    pub(crate) fault: Option<Fault>,
    /// How often each write was made and refused.
    pub(crate) seen: Arc<Mutex<BTreeMap<(&'static str, bool), u64>>>,
}

/// How often each thing happens at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// An attempt fails.
    pub(crate) failures: u8,
    /// A block begins, or the webhook is disabled.
    pub(crate) shuts: u8,
    /// The owner acts: ends a block, enables the webhook or gives it a new revision.
    pub(crate) acts: u8,
    /// The message that makes somebody look at an act's release again is lost.
    pub(crate) lost_looks: u8,
    /// An answer is lost, and the write is made again.
    pub(crate) lost: u8,
    /// A message of a step cannot be sent.
    pub(crate) unsent: u8,
    /// A function dies.
    pub(crate) crashes: u8,
    /// The queue hands a message out while it is being handled.
    pub(crate) repeats: u8,
    /// A message goes to the dead letters.
    pub(crate) dead_letters: u8,
    /// A lease or a claim runs out though its owner goes on.
    pub(crate) overtakings: u8,
}

/// All there is at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// Attempts may be made.
    open: bool,
    /// The retention of all items is over.
    over: bool,
    items: Vec<Item>,
    queue: Vec<Message>,
    dead_letters: Vec<Message>,
    release: Option<Row>,
    jobs: Vec<Job>,
    budget: Budget,
    /// How often the owner acted.
    acts: u8,
    /// Whether the latest act is old.
    is_old: bool,
    /// What became of the message for its second look.
    look: Look,
    /// Whether nothing has happened since that may hold up what it released.
    is_calm: bool,
    /// The items of the step under way that have not been settled.
    unfinished: BTreeSet<usize>,
    /// Whether a step was taken for over that was not.
    is_early: bool,
    /// Whether a retry was released that was to keep its own time.
    is_hurried: bool,
}

/// The message that makes somebody look at an act's release again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Look {
    /// None was sent since the latest act.
    Unsent,
    Sent,
    Done,
    Lost,
}

/// An item, and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Item {
    offered: bool,
    /// Its producer was answered.
    accepted: bool,
    arrived: bool,
    dead: bool,
    held: Option<Row>,
}

/// A message of the delivery queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    /// What tells it from others.
    id: i64,
    item: usize,
    attempt: u32,
    step: Option<Step>,
}

/// Which item of which step of a release a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Step {
    id: i64,
    first: bool,
    index: i64,
}

/// What a number tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Worker,
    Claim,
    Holding,
    Step,
    Message,
}

/// What runs.
#[expect(clippy::large_enum_variant, reason = "boxes would make every world of the check slower")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Job {
    /// A delivery whose attempt is under way, and how many acts it saw.
    Attempting(Message, u8),
    /// Effects, one after the other.
    Effects { of: Of, left: Vec<Effect> },
    /// A worker that has a release, with the effects that it still has to cause before its next stage.
    Releasing { worker: Worker, left: Vec<Effect>, stage: Stage },
}

/// Whose effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Of {
    /// Of a delivery: its message, and how many acts it saw.
    Delivery(i64, u8),
    Mover,
    /// Of who serves the owner's act.
    Act,
    Other,
}

/// What a worker knows of its release.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Worker {
    id: i64,
    /// What it saw of it when it last looked.
    seen: ReleaseState,
    /// How often it was touched before reading began.
    touched: u64,
    /// What was read of what waits, and not taken yet; None where reading has not begun.
    waiting: Option<Vec<Waiting>>,
    /// Whether everything was read since the latest step.
    anew: bool,
    /// Whether the act was old when reading began.
    read_old: bool,
}

/// A row that is to be released, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    item: usize,
    attempt: u32,
    holding: i64,
    /// Whether it has a time of its own, and is to be adopted.
    has_time: bool,
}

/// Where a worker is in `collect/release`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// `claim_release`, at this time.
    Claim(i64),
    /// `finished_step`: until none of the step is left.
    Wait,
    /// The rest of `go_on`, with what `next_step` and `send_step` read, and write on the release before they send.
    /// These are one step here, for what others do in between they may as well do after all of it.
    Go,
    /// The rest of `next_step`, where nothing was read: time has passed since reading began.
    NothingRead,
    /// `adopt`.
    Adopt { item: usize, holding: i64 },
    /// `begin_step`, where its answer may be lost.
    Begin { tag: Step, size: u32, rows: Vec<Waiting> },
    /// `send_step`, when all of it is in the queue: that is noted, and then these rows are deleted.
    Sent { rows: Vec<Effect>, unsent: bool },
    /// `end_release`.
    End,
    /// `renew`; `touched` where the release was to be postponed, and may be given back now.
    Renew { touched: bool },
    /// `postpone_release`.
    Postpone { due: i64, keep_step: bool },
    /// `give_back_release`.
    GiveBack,
}

/// A thing that a function does to the world, in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Effect {
    /// A message is queued for an item.
    Send { item: usize, attempt: u32, step: Option<Step> },
    /// The producer is answered.
    Answer { item: usize },
    /// `HeldTable::hold`: the item waits for its time.
    Hold { item: usize, attempt: u32, seen: u8 },
    /// `HeldTable::hold_for_release`: it waits for its release. Two writes take turns.
    HoldForRelease { item: usize, attempt: u32, seen: u8, holding: i64, keep_retry: bool },
    /// `HeldTable::await_release`: there is a release. Two writes take turns.
    AwaitRelease { late: bool },
    /// `HeldTable::release_all`: an owner's act. Two writes take turns.
    ReleaseAll { act: u8, later_came_first: bool },
    /// Its release is to be looked at again.
    LookAgain,
    /// `HeldTable::finish_of_step`.
    CountStep { item: usize, step: Step, failed: bool },
    /// `DeadTable::bury`.
    Bury { item: usize },
    /// The message is answered as done.
    DeleteMessage { id: i64 },
    /// A dead letter is deleted.
    DeleteDeadLetter { id: i64 },
    /// `HeldTable::claim`: a mover's, with what follows.
    Claim { item: usize, claim: i64 },
    /// `HeldTable::finish`: a moved row is deleted.
    Finish { item: usize, claim: i64 },
    /// `HeldTable::delete_released`.
    DeleteReleased { item: usize, holding: i64 },
    /// `HeldTable::drop_row`.
    DropRow { item: usize },
}

/// What can happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A producer offers an item to `ingest`.
    Offer(usize),
    /// A delivery takes a message, and reads whether its attempt may be made.
    Receive(usize),
    /// An attempt arrives.
    Succeed(usize),
    /// An attempt fails.
    Fail(usize),
    /// A function makes its next step.
    Step(usize),
    /// Its next write is made and its answer lost: it will be made again.
    Lose(usize),
    /// A message of a step cannot be sent.
    Unsent(usize),
    /// A worker has no time left, and gives its release back with its step.
    GiveBack(usize),
    /// A worker waited for its step as long as it may, and gives its release back without it.
    GiveUp(usize),
    /// A function dies.
    Crash(usize),
    /// A tick planned the release, and a worker claims it.
    Release,
    /// A tick planned what comes due, and a mover claims a row.
    Move(usize),
    /// A message was received too often.
    DeadLetter(usize),
    /// A tick found dead letters.
    BuryDeadLetter(usize),
    /// A block begins, or the webhook is disabled.
    Shut,
    /// The block's end comes.
    Open,
    /// The owner ends the block, enables the webhook or gives it a new revision.
    Act,
    /// The act becomes old.
    Later,
    /// Its release is looked at again.
    Look,
    /// The message for that is lost.
    LoseLook,
    /// The retention ends.
    RetentionEnds,
}

/// Shows a number that stands in a text.
fn visit_text(text: &mut String, in_row: bool, kind: Kind, see: &mut impl FnMut(Kind, bool, &mut i64)) {
    if let Ok(mut number) = text.parse() {
        see(kind, in_row, &mut number);
        *text = number.to_string();
    }
}

/// Shows a number of a row.
fn visit_row(row: &mut Row, name: &'static str, kind: Kind, see: &mut impl FnMut(Kind, bool, &mut i64)) {
    if let Some(Value::Text(text)) = row.get_mut(name) {
        visit_text(text, true, kind, see);
    }
}

/// A number of a row.
fn number(row: &Row, name: &str) -> Option<i64> {
    match row.get(name)? {
        Value::Number(number) => Some(*number),
        Value::Text(text) => text.parse().ok(),
        Value::Numbers(_) => None,
    }
}

impl Message {
    fn visit(&mut self, see: &mut impl FnMut(Kind, bool, &mut i64)) {
        see(Kind::Message, false, &mut self.id);
        if let Some(step) = &mut self.step {
            see(Kind::Step, false, &mut step.id);
        }
    }
}

impl Effect {
    fn visit(&mut self, see: &mut impl FnMut(Kind, bool, &mut i64)) {
        match self {
            Self::Send { step: Some(step), .. } | Self::CountStep { step, .. } => {
                see(Kind::Step, false, &mut step.id);
            }
            Self::DeleteMessage { id } | Self::DeleteDeadLetter { id } => see(Kind::Message, false, id),
            Self::Claim { claim, .. } | Self::Finish { claim, .. } => see(Kind::Claim, false, claim),
            Self::DeleteReleased { holding, .. } | Self::HoldForRelease { holding, .. } => {
                see(Kind::Holding, false, holding);
            }
            _ => {}
        }
    }
}

impl Job {
    fn visit(&mut self, see: &mut impl FnMut(Kind, bool, &mut i64)) {
        match self {
            Self::Attempting(message, _) => message.visit(see),
            Self::Effects { of, left } => {
                if let Of::Delivery(id, _) = of {
                    see(Kind::Message, false, id);
                }
                left.iter_mut().for_each(|effect| effect.visit(see));
            }
            Self::Releasing { worker, left, stage } => {
                see(Kind::Worker, false, &mut worker.id);
                if let Some(step) = &mut worker.seen.step_id {
                    visit_text(step, false, Kind::Step, see);
                }
                let mut waiting = |row: &mut Waiting| see(Kind::Holding, false, &mut row.holding);
                worker.waiting.iter_mut().flatten().for_each(&mut waiting);
                if let Stage::Begin { rows, .. } = stage {
                    rows.iter_mut().for_each(&mut waiting);
                }
                left.iter_mut().for_each(|effect| effect.visit(see));
                match stage {
                    Stage::Sent { rows, .. } => rows.iter_mut().for_each(|effect| effect.visit(see)),
                    Stage::Begin { tag, .. } => see(Kind::Step, false, &mut tag.id),
                    Stage::Adopt { holding, .. } => see(Kind::Holding, false, holding),
                    _ => {}
                }
            }
        }
    }

    fn is_delivery(&self) -> bool {
        matches!(self, Self::Attempting(..) | Self::Effects { of: Of::Delivery(..), .. })
    }

    fn is_release(&self) -> bool {
        matches!(self, Self::Releasing { .. })
    }

    fn is_mover(&self) -> bool {
        matches!(self, Self::Effects { of: Of::Mover, .. })
    }

    /// Whether it is over when the latest act is old.
    fn ends_before_old(&self, acts: u8) -> bool {
        match self {
            Self::Attempting(_, seen) | Self::Effects { of: Of::Delivery(_, seen), .. } => *seen < acts,
            Self::Effects { of: Of::Act, .. } => true,
            Self::Releasing { stage, .. } => matches!(stage, Stage::Postpone { .. } | Stage::GiveBack),
            Self::Effects { .. } => false,
        }
    }
}

impl Item {
    /// Whether it needs nothing more.
    fn is_done(&self) -> bool {
        self.arrived || self.dead || !self.accepted
    }
}

impl World {
    /// Whether every item that was accepted arrived or is dead.
    pub(crate) fn is_done(&self) -> bool {
        self.items.iter().all(Item::is_done)
    }

    fn keeps(&self, index: usize) -> bool {
        let item = &self.items[index];
        let queued = || self.queue.iter().chain(&self.dead_letters).any(|message| message.item == index);
        let has_time = |row: Option<&Row>| row.is_some_and(|row| row.contains_key("due_at"));
        let waits = || match &item.held {
            Some(row) if row.contains_key("holding") => has_time(self.release.as_ref()),
            row => has_time(row.as_ref()),
        };
        item.is_done() || queued() || waits()
    }

    /// Shows every number that tells things apart, and whether it stands in a row.
    fn visit(&mut self, see: &mut impl FnMut(Kind, bool, &mut i64)) {
        if let Some(row) = &mut self.release {
            visit_row(row, "lease_by", Kind::Worker, see);
            visit_row(row, "step_id", Kind::Step, see);
        }
        for row in self.items.iter_mut().filter_map(|item| item.held.as_mut()) {
            visit_row(row, "claimed_by", Kind::Claim, see);
            visit_row(row, "holding", Kind::Holding, see);
        }
        self.queue.iter_mut().chain(&mut self.dead_letters).for_each(|message| message.visit(see));
        self.jobs.iter_mut().for_each(|job| job.visit(see));
    }

    /// A number that nothing of this kind has. In truth none ever comes twice.
    fn fresh(&self, wanted: Kind) -> i64 {
        let mut used = BTreeSet::new();
        self.clone().visit(&mut |kind, _, number| {
            if kind == wanted {
                used.insert(*number);
            }
        });
        (1..).find(|number| !used.contains(number)).unwrap_or_default()
    }

    /// Worlds that differ by names alone become one: numbers are given anew in the order of their places, and what a
    /// row alone still knows becomes 0.
    fn rename(&mut self) {
        self.forget_counts();
        let mut known = BTreeSet::new();
        self.visit(&mut |kind, in_row, number| {
            if !in_row {
                known.insert((kind, *number));
            }
        });
        let mut names = BTreeMap::new();
        let mut given = BTreeMap::new();
        self.visit(&mut |kind, _, number| {
            let old = (kind, *number);
            *number = if known.contains(&old) {
                *names.entry(old).or_insert_with(|| {
                    let last = given.entry(kind).or_insert(0);
                    *last += 1;
                    *last
                })
            } else {
                0
            };
        });
        self.sort();
    }

    /// What runs and what is queued has no order.
    fn sort(&mut self) {
        self.queue.sort_by_key(|message| (message.item, message.attempt, message.step, message.id));
        self.jobs.sort_by_cached_key(fingerprint);
    }

    /// How often a release was touched only matters by comparison: the numbers become those of their order.
    fn forget_counts(&mut self) {
        let in_row = self.release.as_ref().and_then(|row| number(row, "touched")).map(i64::cast_unsigned);
        let seen = self.jobs.iter().filter_map(|job| match job {
            Job::Releasing { worker, .. } => Some([worker.seen.touched, worker.touched]),
            _ => None,
        });
        let counts: BTreeSet<u64> = seen.flatten().chain(in_row).collect();
        let ranks: BTreeMap<u64, u64> = counts.into_iter().zip(1..).collect();
        for job in &mut self.jobs {
            if let Job::Releasing { worker, .. } = job {
                worker.seen.touched = ranks[&worker.seen.touched];
                worker.touched = ranks[&worker.touched];
            }
        }
        if let (Some(row), Some(touched)) = (&mut self.release, in_row) {
            row.insert("touched", Value::Number(ranks[&touched].cast_signed()));
        }
    }

    fn handles(&self, id: i64) -> bool {
        self.jobs.iter().any(|job| match job {
            Job::Attempting(message, _) => message.id == id,
            Job::Effects { of: Of::Delivery(message, _), .. } => *message == id,
            Job::Effects { .. } | Job::Releasing { .. } => false,
        })
    }

    fn running(&self, is_kind: impl Fn(&Job) -> bool) -> usize {
        self.jobs.iter().filter(|&job| is_kind(job)).count()
    }

    /// The worker that has the release lives.
    fn has_living_worker(&self) -> bool {
        let has = self.release.as_ref().and_then(|row| number(row, "lease_by"));
        let is_one = |job: &Job| matches!(job, Job::Releasing { worker, .. } if Some(worker.id) == has);
        has.is_some() && self.jobs.iter().any(is_one)
    }

    fn now(&self) -> Timestamp {
        at(if self.is_old { OLD } else { NOW })
    }

    /// Whether everything that the latest act released has come to rest, after its second look, and something of it
    /// waits longer: at all, or, where that look was lost, longer than for the next tick.
    fn waits_too_long(&self) -> bool {
        let is_at_rest = self.is_calm && self.is_old && self.jobs.is_empty() && self.queue.is_empty();
        let is_looked_at =
            self.release.as_ref().and_then(|row| number(row, "due_at")).is_some_and(|due| due <= SECOND_LOOK);
        let waits = match self.look {
            Look::Unsent | Look::Sent => false,
            Look::Done => true,
            Look::Lost => !is_looked_at,
        };
        is_at_rest && waits && self.items.iter().any(|item| !item.is_done())
    }
}

fn effects(of: Of, left: Vec<Effect>) -> Job {
    Job::Effects { of, left }
}

/// A lease or a claim runs out.
fn run_out(row: &mut Row, name: &'static str) {
    if let Some(end) = row.get_mut(name) {
        *end = Value::Number(0);
    }
}

fn name(id: i64) -> String {
    id.to_string()
}

impl Worker {
    /// In a stage, with nothing left to do before.
    fn at(self, stage: Stage) -> Job {
        Job::Releasing { worker: self, left: Vec::new(), stage }
    }

    fn read_anew(&mut self) {
        self.waiting = None;
        self.anew = true;
    }

    /// The release as the row is now; None where it is somebody else's.
    fn look(&mut self, world: &World) -> Option<()> {
        self.seen = ReleaseState::of_worker(world.release.as_ref()?, &name(self.id))?;
        Some(())
    }
}

impl Setting {
    /// Makes a write, as the fault would have it.
    fn write(&self, write: Write, row: &mut Option<Row>) -> bool {
        let write = match self.fault {
            Some(fault) => fault.inject(write),
            None => write,
        };
        let made = write.apply(row);
        self.note(write.name, made);
        made
    }

    /// Puts a row for an item, with the number of its attempt.
    fn put(&self, mut put: Put, attempt: u32, row: &mut Option<Row>) -> bool {
        put.row.insert("attempt", Value::Number(attempt.into()));
        if self.fault == Some(Fault::HoldForReleaseOverARetry) {
            put.condition = Condition::All(Vec::new());
        }
        let made = put.apply(row);
        self.note(put.name, made);
        made
    }

    fn note(&self, name: &'static str, made: bool) {
        if let Ok(mut seen) = self.seen.lock() {
            *seen.entry((name, made)).or_default() += 1;
        }
    }

    /// A write of a worker that has the release.
    fn ours(&self, worker: &Worker, mut write: Write) -> Write {
        if self.fault == Some(Fault::LeaseIsKnownByItsEnd) {
            let end = worker.seen.lease.map_or(0, Timestamp::as_millisecond);
            if let Condition::All(all) = &mut write.condition {
                let clause = all.iter_mut().find(|one| matches!(one, Condition::Is("lease_by", _)));
                clause.into_iter().for_each(|one| *one = Condition::Is("lease_until", Value::Number(end)));
            }
            if let Becomes::Update(changes) = &mut write.effect {
                let change = changes.iter_mut().find(|one| matches!(one, Change::Set("lease_until", _)));
                change.into_iter().for_each(|one| *one = Change::Set("lease_until", Value::Number(end + 1)));
            }
        }
        write
    }

    /// The effects in the order in which the fault would cause them.
    fn ordered(&self, effects: Vec<Effect>) -> Vec<Effect> {
        match self.fault {
            Some(fault) => fault.reorder(effects),
            None => effects,
        }
    }

    fn retention() -> Retention {
        Retention::from_days(14)
    }

    /// When an attempt is settled.
    fn settled_at(world: &World) -> Timestamp {
        let days = if world.over { 14 } else { 1 };
        Timestamp::UNIX_EPOCH.checked_add(Duration::from_secs(days * 24 * 3600)).unwrap_or_default()
    }

    fn receive(&self, world: &mut World, index: usize) -> Option<()> {
        let message = world.queue[index].clone();
        if world.handles(message.id) {
            world.budget.repeats = world.budget.repeats.checked_sub(1)?;
        }
        let seen = world.acts;
        if world.open {
            world.jobs.push(Job::Attempting(message, seen));
            return Some(());
        }
        // `decide`: what is blocked or disabled keeps its number.
        let (item, attempt) = (message.item, message.attempt);
        let stored = if world.over {
            vec![Effect::Bury { item }]
        } else {
            Self::held_for_release(world, item, attempt, seen)
        };
        let job = self.settling(&message, seen, stored, true);
        world.jobs.push(job);
        Some(())
    }

    fn held_for_release(world: &World, item: usize, attempt: u32, seen: u8) -> Vec<Effect> {
        let holding = world.fresh(Kind::Holding);
        vec![
            Effect::HoldForRelease { item, attempt, seen, holding, keep_retry: false },
            Effect::AwaitRelease { late: false },
        ]
    }

    /// `settle::all`: store, then count for the step, then answer.
    fn settling(&self, message: &Message, seen: u8, mut stored: Vec<Effect>, failed: bool) -> Job {
        let item = message.item;
        stored.extend(message.step.map(|step| Effect::CountStep { item, step, failed }));
        stored.push(Effect::DeleteMessage { id: message.id });
        effects(Of::Delivery(message.id, seen), self.ordered(stored))
    }

    /// `decide`, after an attempt that failed.
    fn failed(&self, world: &World, message: &Message, seen: u8) -> Job {
        let outcome = Outcome::failed(FailureKind::Status, Some(503));
        let (accepted, now, middle) = (Timestamp::UNIX_EPOCH, Self::settled_at(world), 200);
        let settlement = settle(&outcome, message.attempt, accepted, Self::retention(), now, middle);
        let (item, next) = (message.item, message.attempt + 1);
        let stored = match settlement {
            Settlement::Delivered => Vec::new(),
            Settlement::Dead(_) => vec![Effect::Bury { item }],
            _ if message.step.is_some() => {
                let first = message.step.is_some_and(|step| step.first);
                let attempt = if first { message.attempt } else { next };
                Self::held_for_release(world, item, attempt, seen)
            }
            Settlement::RetrySoon { .. } => vec![Effect::Send { item, attempt: next, step: None }],
            Settlement::Hold { .. } => vec![Effect::Hold { item, attempt: next, seen }],
        };
        self.settling(message, seen, stored, true)
    }

    /// A worker that is going to claim the release, at this time. A lease whose owner died has run out.
    fn claim_release(world: &mut World, now: i64) -> Option<()> {
        if world.has_living_worker() {
            world.budget.overtakings = world.budget.overtakings.checked_sub(1)?;
            world.is_calm = false;
        }
        let id = world.fresh(Kind::Worker);
        run_out(world.release.as_mut()?, "lease_until");
        let seen = ReleaseState::of(&Row::new());
        let worker = Worker { id, seen, touched: 0, waiting: None, anew: true, read_old: false };
        world.jobs.push(worker.at(Stage::Claim(now)));
        Some(())
    }

    /// A mover that is going to claim a row. A claim whose owner died has run out.
    fn claim_row(&self, world: &mut World, item: usize) -> Option<()> {
        let claim = world.fresh(Kind::Claim);
        let held = world.items[item].held.as_ref().and_then(|row| number(row, "claimed_by"));
        let finishes = |effect: &Effect| matches!(effect, Effect::Finish { claim, .. } | Effect::Claim { claim, .. } if Some(*claim) == held);
        if world.jobs.iter().any(|job| matches!(job, Job::Effects { left, .. } if left.iter().any(finishes)))
        {
            world.budget.overtakings = world.budget.overtakings.checked_sub(1)?;
            world.is_calm = false;
        }
        run_out(world.items[item].held.as_mut()?, "claimed_until");
        world.jobs.push(effects(Of::Mover, vec![Effect::Claim { item, claim }]));
        Some(())
    }

    /// A function makes its next step.
    fn step(&self, world: &mut World, index: usize) -> Option<()> {
        let job = world.jobs.remove(index);
        let next = match job {
            Job::Attempting(..) => return None,
            Job::Effects { of, mut left } => {
                let effect = left.remove(0);
                left.splice(0..0, self.cause(world, effect));
                (!left.is_empty()).then_some(Job::Effects { of, left })
            }
            Job::Releasing { worker, mut left, stage } if !left.is_empty() => {
                let effect = left.remove(0);
                left.splice(0..0, self.cause(world, effect));
                Some(Job::Releasing { worker, left, stage })
            }
            Job::Releasing { worker, stage, .. } => self.go_on(world, worker, stage),
        };
        world.jobs.extend(next);
        Some(())
    }

    /// The next write of a function is made, and its answer lost: the function is where it was.
    fn lose(&self, world: &mut World, index: usize) {
        match world.jobs[index].clone() {
            Job::Attempting(..) => {}
            Job::Effects { left, .. } => _ = left.first().map(|&effect| self.cause(world, effect)),
            Job::Releasing { worker, left, stage } => match left.first() {
                Some(&effect) => _ = self.cause(world, effect),
                None => _ = self.go_on(world, worker, stage),
            },
        }
    }

    /// Causes an effect; what is answered is to be done next.
    fn cause(&self, world: &mut World, effect: Effect) -> Vec<Effect> {
        match effect {
            Effect::Send { item, attempt, step } => {
                let id = world.fresh(Kind::Message);
                world.queue.push(Message { id, item, attempt, step });
            }
            Effect::Answer { item } => world.items[item].accepted = true,
            Effect::Hold { item, attempt, seen } => {
                self.put(holding::hold(at(LATER), seen_at(seen)), attempt, &mut world.items[item].held);
            }
            Effect::HoldForRelease { item, attempt, seen, holding, keep_retry } => {
                let held = &mut world.items[item].held;
                let made = if keep_retry {
                    self.write(holding::keep_retry(), held)
                } else {
                    let put = holding::hold_for_release(&name(holding), seen_at(seen));
                    self.put(put, attempt, held)
                };
                if !made {
                    let keep_retry = !keep_retry;
                    return vec![Effect::HoldForRelease { item, attempt, seen, holding, keep_retry }];
                }
            }
            Effect::AwaitRelease { late } => {
                let write = if late { holding::plan(at(LATER)) } else { holding::touch(at(LATER)) };
                if !self.write(write, &mut world.release) {
                    return vec![Effect::AwaitRelease { late: !late }];
                }
            }
            Effect::ReleaseAll { act, later_came_first } => {
                let (now, until) = (at(NOW), released_by(act));
                let write = if later_came_first {
                    holding::expedite(now, until)
                } else {
                    holding::release_all(now, until)
                };
                if !self.write(write, &mut world.release) && !later_came_first {
                    return vec![Effect::ReleaseAll { act, later_came_first: true }];
                }
            }
            Effect::LookAgain => {
                let nobody = self.fault == Some(Fault::NobodyLooksAgain);
                world.look = if nobody { Look::Done } else { Look::Sent };
            }
            Effect::CountStep { item, step, failed } => self.count(world, item, step, failed),
            Effect::Bury { item } => world.items[item].dead = true,
            Effect::DeleteMessage { id } => world.queue.retain(|message| message.id != id),
            Effect::DeleteDeadLetter { id } => world.dead_letters.retain(|message| message.id != id),
            Effect::Claim { item, claim } => {
                let (due, lease) = (at(DUE), at(LEASE));
                let held = &mut world.items[item].held;
                if !self.write(holding::claim(&name(claim), due, due, lease), held) {
                    return Vec::new();
                }
                // `move_step`, of one row.
                let attempt = held.as_ref().map_or(0, attempt_of);
                let moved = if world.over {
                    Effect::Bury { item }
                } else {
                    Effect::Send { item, attempt, step: None }
                };
                return self.ordered(vec![moved, Effect::Finish { item, claim }]);
            }
            Effect::Finish { item, claim } => {
                self.write(holding::finish(&name(claim), at(LEASE)), &mut world.items[item].held);
            }
            Effect::DeleteReleased { item, holding } => {
                self.write(holding::delete_released(&name(holding)), &mut world.items[item].held);
            }
            Effect::DropRow { item } => world.items[item].held = None,
        }
        Vec::new()
    }

    fn count(&self, world: &mut World, item: usize, step: Step, failed: bool) {
        let id = name(step.id);
        let row = world.release.as_ref();
        let is_current = row.and_then(|row| row.get("step_id")) == Some(&Value::Text(id.clone()));
        let mut finished = BTreeSet::from([step.index]);
        if self.fault == Some(Fault::CountsAddUp)
            && let Some(Value::Numbers(before)) = row.and_then(|row| row.get("step_finished"))
        {
            // A sum would grow by one more.
            finished.extend((0..).find(|index| !before.contains(index)));
        }
        let failures = if failed { BTreeSet::from([step.index]) } else { BTreeSet::new() };
        if let Some(write) = holding::count_finished(&id, &finished, &failures) {
            self.write(write, &mut world.release);
        }
        if is_current {
            world.unfinished.remove(&item);
        }
    }

    /// `collect/release`, a stage further; None where the worker ends.
    fn go_on(&self, world: &mut World, mut worker: Worker, stage: Stage) -> Option<Job> {
        let id = name(worker.id);
        match stage {
            Stage::Claim(now) => {
                let write = holding::claim_release(&id, at(now), at(LEASE), at(LATER));
                if !self.write(write, &mut world.release) {
                    return None;
                }
                worker.look(world)?;
                worker.touched = worker.seen.touched;
                Some(worker.at(Stage::Wait))
            }
            Stage::Wait => match worker.seen.step {
                // It goes on waiting, by what it saw first.
                Some(Progress { sent: true, left: 1.., .. }) => {
                    let mut now = worker.clone();
                    now.look(world)?;
                    let goes_on = now.seen.step.is_none_or(|step| !step.sent || step.left == 0);
                    Some(if goes_on { now.at(Stage::Go) } else { worker.at(Stage::Wait) })
                }
                _ => self.go(world, worker),
            },
            Stage::Go => self.go(world, worker),
            Stage::NothingRead => Some(match self.ending(world, &worker) {
                Ending::Now => worker.at(Stage::End),
                Ending::ReadAnew => {
                    worker.read_anew();
                    worker.at(Stage::Go)
                }
                Ending::NotBefore(until) => {
                    worker.at(Stage::Postpone { due: until.as_millisecond(), keep_step: false })
                }
            }),
            Stage::Adopt { item, holding } => {
                let held = &mut world.items[item].held;
                let seen = held.as_ref().and_then(|row| number(row, "seen_at")).unwrap_or_default();
                let until = worker.seen.release_all_until?;
                let adopted = self.write(holding::adopt(&name(holding), until, at(NOW)), held);
                world.is_hurried |= adopted && at(seen) > released_by(world.acts);
                let rows = worker.waiting.iter_mut().flatten();
                rows.filter(|row| row.item == item).for_each(|row| {
                    (row.has_time, row.holding) = (false, holding);
                });
                if !adopted {
                    worker.waiting.iter_mut().for_each(|rows| rows.retain(|row| row.item != item));
                }
                Some(worker.at(Stage::Go))
            }
            Stage::Begin { tag, size, rows } => self.begin_step(world, worker, (tag, size), &rows),
            Stage::Sent { rows, unsent } => {
                let write = self.ours(&worker, holding::step_sent(&id, at(LEASE)));
                if !self.write(write, &mut world.release) {
                    return None;
                }
                worker.look(world)?;
                worker.anew = false;
                if unsent {
                    worker.read_anew();
                }
                Some(Job::Releasing { worker, left: rows, stage: Stage::Wait })
            }
            Stage::End => {
                let write = holding::end_release(&id, worker.seen.touched);
                let ended = self.write(write, &mut world.release);
                let left = LeftRelease::of(world.release.as_ref(), &id);
                (!ended && left == LeftRelease::Touched).then(|| worker.at(Stage::Renew { touched: false }))
            }
            Stage::Renew { .. } => {
                let write = self.ours(&worker, holding::renew(&id, at(LEASE)));
                if !self.write(write, &mut world.release) {
                    return None;
                }
                worker.look(world)?;
                Some(worker.at(Stage::Wait))
            }
            Stage::Postpone { due, keep_step } => {
                let write = holding::postpone(&id, worker.seen.touched, at(due), keep_step);
                let postponed = self.write(write, &mut world.release);
                let left = LeftRelease::of(world.release.as_ref(), &id);
                let is_touched = !postponed && left == LeftRelease::Touched;
                is_touched.then(|| worker.at(Stage::Renew { touched: true }))
            }
            Stage::GiveBack => {
                self.write(holding::give_back(&id, at(NOW)), &mut world.release);
                None
            }
        }
    }

    fn ending(&self, world: &World, worker: &Worker) -> Ending {
        let read_at = at(if worker.read_old { OLD } else { NOW });
        match (self.fault, ending(worker.seen.release_all_until, read_at, world.now())) {
            (Some(Fault::EndTooEarly), _) | (Some(Fault::EndByAnOldReading), Ending::ReadAnew) => Ending::Now,
            (_, ending) => ending,
        }
    }

    fn go(&self, world: &mut World, mut worker: Worker) -> Option<Job> {
        let is_over = worker.seen.step.is_some_and(|step| step.sent && step.left == 0);
        // Who lost the release to another worker may go by an older step, and can do nothing by it.
        let current = world.release.as_ref().map(|row| ReleaseState::of(row).step_id);
        let is_current = current == Some(worker.seen.step_id.clone());
        world.is_early |= is_over && is_current && !world.unfinished.is_empty();
        let size = match next_step(worker.seen.step.as_ref(), self.first_step, grown) {
            NextStep::Send(size) => size,
            NextStep::Failed => return Some(worker.at(Stage::Postpone { due: LATER, keep_step: false })),
        };
        // Whether a step has room for more items than there are makes no difference.
        let size = size.min(u32::try_from(self.items).unwrap_or(u32::MAX));
        if worker.seen.touched != worker.touched
            || worker.waiting.is_some() && self.ending(world, &worker) == Ending::ReadAnew
        {
            worker.touched = worker.seen.touched;
            worker.read_anew();
        }
        if worker.waiting.is_none() {
            worker.read_old = world.is_old;
        }
        let until = worker.seen.release_all_until;
        let waiting = worker.waiting.get_or_insert_with(|| self.waiting(world, until));
        if waiting.is_empty() {
            if !worker.anew {
                worker.read_anew();
                return Some(worker.at(Stage::Go));
            }
            // Only where there was an act does it matter when that is.
            let stage = if until.is_some() { Stage::NothingRead } else { Stage::End };
            return Some(worker.at(stage));
        }
        let most = usize::try_from(size).unwrap_or(usize::MAX).min(waiting.len());
        let most = if world.over { 1 } else { most };
        if !world.over && !world.open {
            return Some(worker.at(Stage::Postpone { due: LATER, keep_step: false }));
        }
        if let Some(item) = waiting[..most].iter().find(|row| row.has_time).map(|row| row.item) {
            let holding = world.fresh(Kind::Holding);
            return Some(worker.at(Stage::Adopt { item, holding }));
        }
        if world.over {
            let item = waiting.remove(0).item;
            let left = self.ordered(vec![Effect::Bury { item }, Effect::DropRow { item }]);
            return Some(Job::Releasing { worker, left, stage: Stage::Go });
        }
        let rows: Vec<_> = waiting.drain(..most).collect();
        let tag = Step { id: world.fresh(Kind::Step), first: size == self.first_step, index: 0 };
        if world.budget.lost > 0 {
            return Some(worker.at(Stage::Begin { tag, size, rows }));
        }
        self.begin_step(world, worker, (tag, size), &rows)
    }

    fn begin_step(
        &self,
        world: &mut World,
        mut worker: Worker,
        (tag, size): (Step, u32),
        rows: &[Waiting],
    ) -> Option<Job> {
        let (id, step_id) = (name(worker.id), name(tag.id));
        let step = NewStep { id: &step_id, items: u32::try_from(rows.len()).unwrap_or_default(), size };
        let began = Timestamp::UNIX_EPOCH;
        let write = self.ours(&worker, holding::begin_step(&id, &worker.seen, step, began, at(LEASE)));
        if !self.write(write, &mut world.release)
            && !world.release.as_ref().is_some_and(|row| holding::begun_before(row, &id, step))
        {
            return None;
        }
        worker.look(world)?;
        world.unfinished = rows.iter().map(|row| row.item).collect();
        let tags = (0..).map(|index| Some(Step { index, ..tag }));
        let send = |(row, step): (&Waiting, _)| Effect::Send { item: row.item, attempt: row.attempt, step };
        let delete = |row: &Waiting| Effect::DeleteReleased { item: row.item, holding: row.holding };
        let (mut left, mut deleted): (Vec<_>, Vec<_>) =
            (rows.iter().zip(tags).map(send).collect(), rows.iter().map(delete).collect());
        if self.fault == Some(Fault::ReleasedRowDeletedBeforeSent) {
            deleted.append(&mut left);
            (left, deleted) = (deleted, left);
        }
        Some(Job::Releasing { worker, left, stage: Stage::Sent { rows: deleted, unsent: false } })
    }

    /// The next message of a step cannot be sent. Its item stays held, and counts as finished when the others are sent.
    fn unsend(world: &mut World, index: usize) -> Option<()> {
        let Job::Releasing { left, stage: Stage::Sent { rows, unsent }, .. } = &mut world.jobs[index] else {
            return None;
        };
        let Effect::Send { item, step: Some(step), .. } = left.remove(0) else { return None };
        rows.retain(|row| !matches!(row, Effect::DeleteReleased { item: of, .. } if *of == item));
        left.push(Effect::CountStep { item, step, failed: false });
        *unsent = true;
        Some(())
    }

    /// A worker has no time left, or waited for its step as long as it may.
    fn pause(world: &mut World, index: usize, keep_step: bool) {
        world.is_calm = false;
        if let Job::Releasing { worker, stage, .. } = &mut world.jobs[index] {
            *stage = match (&worker.seen.step, &stage) {
                (_, Stage::Renew { .. }) => Stage::GiveBack,
                (Some(Progress { expedited: true, .. }), _) if !keep_step => {
                    worker.seen.step = None;
                    Stage::Go
                }
                _ => Stage::Postpone { due: if keep_step { NOW } else { LATER }, keep_step },
            };
        }
    }

    /// What a function may do next.
    fn of_job(&self, world: &World, index: usize, actions: &mut Vec<Action>) {
        let is_written = |effect: &Effect| {
            !matches!(effect, Effect::Answer { .. } | Effect::LookAgain | Effect::DeleteMessage { .. })
        };
        let mut writes = false;
        match &world.jobs[index] {
            Job::Attempting(..) => {
                actions.push(Action::Succeed(index));
                if world.budget.failures > 0 {
                    actions.push(Action::Fail(index));
                }
            }
            Job::Releasing { worker, left, stage } if left.is_empty() => {
                let step = worker.seen.step.filter(|step| step.sent && step.left > 0);
                if *stage == Stage::Wait && step.is_some() {
                    actions.push(Action::GiveUp(index));
                }
                if matches!(stage, Stage::Wait | Stage::Renew { touched: true }) {
                    actions.push(Action::GiveBack(index));
                }
                writes = !matches!(stage, Stage::Wait | Stage::Go | Stage::NothingRead);
                actions.push(Action::Step(index));
            }
            Job::Effects { left, .. } | Job::Releasing { left, .. } => {
                writes = left.first().is_some_and(is_written);
                let is_of_step = matches!(left.first(), Some(Effect::Send { step: Some(_), .. }));
                if is_of_step && world.budget.unsent > 0 {
                    actions.push(Action::Unsent(index));
                }
                actions.push(Action::Step(index));
            }
        }
        if writes && world.budget.lost > 0 {
            actions.push(Action::Lose(index));
        }
        if world.budget.crashes > 0 {
            actions.push(Action::Crash(index));
        }
    }

    fn of_queues(&self, world: &World, actions: &mut Vec<Action>) {
        let may_deliver = world.running(Job::is_delivery) < self.delivers;
        for (index, message) in world.queue.iter().enumerate() {
            let handled = world.handles(message.id);
            if may_deliver && (!handled || world.budget.repeats > 0) {
                actions.push(Action::Receive(index));
            }
            if !handled && world.budget.dead_letters > 0 {
                actions.push(Action::DeadLetter(index));
            }
        }
        let is_burying = |job: &Job| {
            matches!(job, Job::Effects { of: Of::Other, left } if
            left.iter().any(|effect| matches!(effect, Effect::DeleteDeadLetter { .. })))
        };
        if world.running(is_burying) == 0 {
            actions.extend((0..world.dead_letters.len()).map(Action::BuryDeadLetter));
        }
    }

    /// What the owner does, and what follows in time.
    fn of_acts(world: &World, actions: &mut Vec<Action>) {
        if world.budget.acts > 0 {
            actions.push(Action::Act);
        }
        let is_recent = world.acts > 0 && !world.is_old;
        if is_recent && !world.jobs.iter().any(|job| job.ends_before_old(world.acts)) {
            actions.push(Action::Later);
        }
        if world.look == Look::Sent {
            if world.is_old {
                actions.push(Action::Look);
            }
            if world.budget.lost_looks > 0 {
                actions.push(Action::LoseLook);
            }
        }
    }

    /// `waiting`: what a release reads, in its order.
    fn waiting(&self, world: &World, until: Option<Timestamp>) -> Vec<Waiting> {
        let condition = match self.fault {
            Some(Fault::RetriesAreNotReleased) => holding::is_of_release(None, at(NOW)),
            fault => {
                let condition = holding::is_of_release(until, at(NOW));
                fault.map_or(condition.clone(), |fault| fault.inject_reading(condition))
            }
        };
        let waits = |(item, held): (usize, &Item)| {
            let row = held.held.as_ref().filter(|row| condition.holds(Some(row)))?;
            let holding = number(row, "holding").unwrap_or_default();
            Some(Waiting { item, attempt: attempt_of(row), holding, has_time: row.contains_key("due_at") })
        };
        world.items.iter().enumerate().filter_map(waits).collect()
    }
}

fn attempt_of(row: &Row) -> u32 {
    number(row, "attempt").and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or_default()
}

impl Model for Setting {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            open: true,
            over: false,
            items: vec![Item::default(); self.items],
            queue: Vec::new(),
            dead_letters: Vec::new(),
            release: None,
            jobs: Vec::new(),
            budget: self.budget,
            acts: 0,
            is_old: false,
            look: Look::Unsent,
            is_calm: true,
            unfinished: BTreeSet::new(),
            is_early: false,
            is_hurried: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.items.iter().all(|item| item.arrived || item.dead) {
            return;
        }
        // Items are offered in their order, which is the order of their acceptance.
        let next = world.items.iter().position(|item| !item.offered);
        actions.extend(next.map(Action::Offer));
        (0..world.jobs.len()).for_each(|index| self.of_job(world, index, actions));
        self.of_queues(world, actions);
        let is_planned = |row: &Row| row.contains_key("due_at");
        let is_free = !world.has_living_worker() || world.budget.overtakings > 0;
        if world.running(Job::is_release) < self.releases
            && is_free
            && world.release.as_ref().is_some_and(is_planned)
        {
            actions.push(Action::Release);
        }
        if world.running(Job::is_mover) < self.movers {
            let is_due = |item: &Item| item.held.as_ref().is_some_and(is_planned);
            let due = (0..world.items.len()).filter(|&item| is_due(&world.items[item]));
            actions.extend(due.map(Action::Move));
        }
        if world.open && world.budget.shuts > 0 {
            actions.push(Action::Shut);
        }
        if !world.open {
            actions.push(Action::Open);
        }
        Self::of_acts(world, actions);
        if self.retention_ends && !world.over {
            actions.push(Action::RetentionEnds);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Offer(item) => {
                world.items[item].offered = true;
                let queued = Effect::Send { item, attempt: self.attempt, step: None };
                let left = self.ordered(vec![queued, Effect::Answer { item }]);
                world.jobs.push(effects(Of::Other, left));
            }
            Action::Receive(index) => self.receive(&mut world, index)?,
            Action::Succeed(index) => {
                let Job::Attempting(message, seen) = world.jobs.remove(index) else { return None };
                world.items[message.item].arrived = true;
                world.jobs.push(self.settling(&message, seen, Vec::new(), false));
            }
            Action::Fail(index) => {
                world.budget.failures = world.budget.failures.checked_sub(1)?;
                let Job::Attempting(message, seen) = world.jobs.remove(index) else { return None };
                world.is_calm &= seen < world.acts;
                let job = self.failed(&world, &message, seen);
                world.jobs.push(job);
            }
            Action::Step(index) => self.step(&mut world, index)?,
            Action::Lose(index) => {
                world.budget.lost = world.budget.lost.checked_sub(1)?;
                self.lose(&mut world, index);
            }
            Action::Unsent(index) => {
                world.budget.unsent = world.budget.unsent.checked_sub(1)?;
                Self::unsend(&mut world, index)?;
            }
            Action::GiveBack(index) => Self::pause(&mut world, index, true),
            Action::GiveUp(index) => Self::pause(&mut world, index, false),
            Action::Crash(index) => {
                world.budget.crashes = world.budget.crashes.checked_sub(1)?;
                world.is_calm = false;
                world.jobs.remove(index);
            }
            Action::Release => Self::claim_release(&mut world, DUE)?,
            Action::Move(item) => self.claim_row(&mut world, item)?,
            Action::DeadLetter(index) => {
                world.budget.dead_letters = world.budget.dead_letters.checked_sub(1)?;
                world.is_calm = false;
                let message = world.queue.remove(index);
                world.dead_letters.push(message);
            }
            Action::BuryDeadLetter(index) => {
                let Message { id, item, .. } = world.dead_letters[index];
                let left = vec![Effect::Bury { item }, Effect::DeleteDeadLetter { id }];
                world.jobs.push(effects(Of::Other, self.ordered(left)));
            }
            Action::Shut => {
                world.budget.shuts = world.budget.shuts.checked_sub(1)?;
                world.open = false;
                world.is_calm = false;
            }
            Action::Open => world.open = true,
            Action::Act => {
                world.budget.acts = world.budget.acts.checked_sub(1)?;
                world.acts += 1;
                (world.open, world.is_old, world.look) = (true, false, Look::Unsent);
                // A function that died before may have left a lease or a claim that has not run out.
                world.is_calm = world.budget.crashes == self.budget.crashes;
                let act = Effect::ReleaseAll { act: world.acts, later_came_first: false };
                world.jobs.push(effects(Of::Act, vec![act, Effect::LookAgain]));
            }
            Action::Later => world.is_old = true,
            Action::Look => {
                world.look = Look::Done;
                if world.release.is_some() && !world.has_living_worker() {
                    Self::claim_release(&mut world, SECOND_LOOK)?;
                }
            }
            Action::LoseLook => {
                world.budget.lost_looks = world.budget.lost_looks.checked_sub(1)?;
                world.look = Look::Lost;
            }
            Action::RetentionEnds => world.over = true,
        }
        world.sort();
        world.rename();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NOTHING_LOST, |_, world: &World| {
                (0..world.items.len()).all(|item| world.keeps(item))
            }),
            Property::always(NOTHING_LATE, |_, world: &World| !world.waits_too_long()),
            Property::always(STEP_BY_STEP, |_, world: &World| !world.is_early),
            Property::always(OWN_TIME, |_, world: &World| !world.is_hurried),
        ]
    }
}
