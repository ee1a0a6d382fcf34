//! A second model: holding, moving, releasing and burying. Nothing that was accepted is lost.
//!
//! What decides and is pure is run as it is: [`settle`], [`grown`] and [`Write`] for rows. The
//! conditional writes on held rows and on the release's row are built by the adapters `held_table` and `release_row`;
//! [`super::holding_writes`] says them again, clause by clause. The orders of steps are those of `ingest/accept`,
//! `deliver/settle`, `collect/release`, `collect/move_due` and `collect/bury`.
//!
//! **What is explored**: these run at once, a step each, in any order; each dies after any step; the queue hands a
//! message out twice at once; messages go to the dead letters; blocks begin and end, or are ended by the owner; an
//! attempt succeeds or fails; the retention ends.
//!
//! **Time** is left out: what may happen at some time may happen at any. A lease whose owner died has run out; one whose
//! owner lives runs out as often as the bounds say. A tick comes and plans all that has a time, a step is
//! waited for as long or as short as it may be. That allows more than truth does. A write is made while its writer
//! waits for it, or never: what arrives later than the three minutes after which a message comes back is not explored.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use carteiro_core::{
    outcome::{FailureKind, Outcome},
    release::grown,
    retention::Retention,
    settlement::{Settlement, settle},
    transition::{Row, Value, Write},
};
use jiff::Timestamp;
use stateright::{Model, Property};

use crate::{
    holding_faults::Fault,
    holding_writes::{self as writes, number},
    world::fingerprint,
};

/// The property of a world.
pub(crate) const NOTHING_LOST: &str = "what was accepted arrived, is dead, or waits where something moves it";

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
    /// The owner ends it.
    pub(crate) unblocks: u8,
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

/// Which step of a release a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Step {
    id: i64,
    first: bool,
}

/// What a number tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Lease,
    Claim,
    Holding,
    Step,
    Message,
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Job {
    /// A delivery whose attempt is under way.
    Attempting(Message),
    /// Effects, one after the other; of a delivery, where it has a message.
    Effects { message: Option<i64>, is_mover: bool, left: Vec<Effect> },
    /// A worker that has a release, with the effects that it still has to cause before its next stage.
    Releasing { worker: Worker, left: Vec<Effect>, stage: Stage },
}

/// What a worker knows of its release.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Worker {
    /// What it saw of it when it last looked.
    seen: Seen,
    /// How often it was touched before reading began.
    touched: i64,
    /// What was read of what waits, and not taken yet; None where reading has not begun.
    waiting: Option<Vec<Waiting>>,
    /// Whether everything was read since the latest step.
    anew: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Seen {
    lease: i64,
    touched: i64,
    hastened: i64,
    step: Option<Progress>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Progress {
    size: u32,
    left: i64,
    failed: i64,
    sent: bool,
    hastened: bool,
}

/// A row that waits for its release, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    item: usize,
    attempt: u32,
    holding: i64,
}

/// Where a worker is in `collect/release`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// `finished_step`: until none of the step is left.
    Wait,
    /// The rest of `go_on`, with what `next_step` and `send_step` read, and write on the release before they send. These
    /// are one step here, for what others do in between they may as well do after all of it.
    Go,
    /// `send_step`, when all of it is in the queue: that is noted, and then these rows are deleted.
    Sent(Vec<Effect>),
    /// `end_release`.
    End,
    /// `renew`; `touched` where the release was to be postponed, and may be given back now.
    Renew { touched: bool },
    /// `postpone_release`.
    Postpone { keep_step: bool },
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
    Hold { item: usize, attempt: u32 },
    /// `HeldTable::hold_for_release`: it waits for its release.
    HoldForRelease { item: usize, attempt: u32 },
    /// The same, where the item waits for a time of its own.
    KeepRetry { item: usize, attempt: u32 },
    /// `HeldTable::await_release`: there is a release. Two writes take turns.
    AwaitRelease { late: bool },
    /// `HeldTable::hasten_release`.
    Hasten,
    /// `HeldTable::finish_of_step`.
    CountStep { step: Step, failed: bool },
    /// `DeadTable::bury`.
    Bury { item: usize },
    /// The message is answered as done.
    DeleteMessage { id: i64 },
    /// A dead letter is deleted.
    DeleteDeadLetter { id: i64 },
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
    Unblock,
    /// The retention ends.
    RetentionEnds,
}

/// Shows a number of a row.
fn visit_row(row: &mut Row, name: &'static str, kind: Kind, see: &mut impl FnMut(Kind, bool, &mut i64)) {
    if let Some(Value::Number(number)) = row.get_mut(name) {
        see(kind, true, number);
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
            Self::Finish { claim, .. } => see(Kind::Claim, false, claim),
            Self::DeleteReleased { holding, .. } => see(Kind::Holding, false, holding),
            _ => {}
        }
    }
}

impl Job {
    fn visit(&mut self, see: &mut impl FnMut(Kind, bool, &mut i64)) {
        match self {
            Self::Attempting(message) => message.visit(see),
            Self::Effects { message, left, .. } => {
                message.iter_mut().for_each(|id| see(Kind::Message, false, id));
                left.iter_mut().for_each(|effect| effect.visit(see));
            }
            Self::Releasing { worker, left, stage } => {
                see(Kind::Lease, false, &mut worker.seen.lease);
                let waiting = worker.waiting.iter_mut().flatten();
                waiting.for_each(|row| see(Kind::Holding, false, &mut row.holding));
                left.iter_mut().for_each(|effect| effect.visit(see));
                if let Stage::Sent(rows) = stage {
                    rows.iter_mut().for_each(|effect| effect.visit(see));
                }
            }
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
            visit_row(row, "lease_until", Kind::Lease, see);
            visit_row(row, "step_id", Kind::Step, see);
        }
        for row in self.items.iter_mut().filter_map(|item| item.held.as_mut()) {
            visit_row(row, "claimed_until", Kind::Claim, see);
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

    /// Worlds that differ by names alone become one: numbers are given anew in the order of their places, and what a row
    /// alone still knows becomes 0.
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
        let in_row = self.release.as_ref().and_then(|row| number(row, "touched"));
        let seen = self.jobs.iter().filter_map(|job| match job {
            Job::Releasing { worker, .. } => Some([worker.seen.touched, worker.touched]),
            _ => None,
        });
        let counts: BTreeSet<i64> = seen.flatten().chain(in_row).collect();
        let ranks: BTreeMap<i64, i64> = counts.into_iter().zip(1..).collect();
        for job in &mut self.jobs {
            if let Job::Releasing { worker, .. } = job {
                worker.seen.touched = ranks[&worker.seen.touched];
                worker.touched = ranks[&worker.touched];
            }
        }
        if let (Some(row), Some(touched)) = (&mut self.release, in_row) {
            row.insert("touched", Value::Number(ranks[&touched]));
        }
    }

    fn handles(&self, id: i64) -> bool {
        self.jobs.iter().any(|job| match job {
            Job::Attempting(message) => message.id == id,
            Job::Effects { message, .. } => *message == Some(id),
            Job::Releasing { .. } => false,
        })
    }

    fn running(&self, is_kind: impl Fn(&Job) -> bool) -> usize {
        self.jobs.iter().filter(|&job| is_kind(job)).count()
    }
}

fn is_delivery(job: &Job) -> bool {
    matches!(job, Job::Attempting(_) | Job::Effects { message: Some(_), .. })
}

fn is_release(job: &Job) -> bool {
    matches!(job, Job::Releasing { .. })
}

fn is_mover(job: &Job) -> bool {
    matches!(job, Job::Effects { is_mover: true, .. })
}

fn effects(message: Option<i64>, is_mover: bool, left: Vec<Effect>) -> Job {
    Job::Effects { message, is_mover, left }
}

impl Seen {
    fn of(row: &Row) -> Self {
        let get = |name| number(row, name).unwrap_or_default();
        let size = number(row, "step_size").and_then(|size| u32::try_from(size).ok());
        let step = size.map(|size| Progress {
            size,
            left: get("step_left"),
            failed: get("step_failed"),
            sent: row.contains_key("step_sent"),
            hastened: get("step_hastened") != get("hastened"),
        });
        Self { lease: get("lease_until"), touched: get("touched"), hastened: get("hastened"), step }
    }

    /// The same lease, as the row is now; None where it is somebody else's.
    fn now(self, world: &World) -> Option<Self> {
        let row = world.release.as_ref().filter(|row| number(row, "lease_until") == Some(self.lease));
        row.map(Self::of)
    }
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
}

impl Setting {
    /// Makes a write, as the fault would have it.
    fn write(&self, write: Write, row: &mut Option<Row>) -> bool {
        let write = match self.fault {
            Some(fault) => fault.inject(write),
            None => write,
        };
        let name = write.name;
        let made = write.apply(row);
        if let Ok(mut seen) = self.seen.lock() {
            *seen.entry((name, made)).or_default() += 1;
        }
        made
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

    fn now(world: &World) -> Timestamp {
        let days = if world.over { 14 } else { 1 };
        Timestamp::UNIX_EPOCH.checked_add(Duration::from_secs(days * 24 * 3600)).unwrap_or_default()
    }

    fn receive(&self, world: &mut World, index: usize) -> Option<()> {
        let message = world.queue[index].clone();
        if world.handles(message.id) {
            world.budget.repeats = world.budget.repeats.checked_sub(1)?;
        }
        if world.open {
            world.jobs.push(Job::Attempting(message));
            return Some(());
        }
        // `decide`: what is blocked or disabled keeps its number.
        let (item, attempt) = (message.item, message.attempt);
        let stored = if world.over {
            vec![Effect::Bury { item }]
        } else {
            vec![Effect::HoldForRelease { item, attempt }, Effect::AwaitRelease { late: false }]
        };
        world.jobs.push(self.settling(&message, stored, true));
        Some(())
    }

    /// `settle::all`: store, then count for the step, then answer.
    fn settling(&self, message: &Message, mut stored: Vec<Effect>, failed: bool) -> Job {
        stored.extend(message.step.map(|step| Effect::CountStep { step, failed }));
        stored.push(Effect::DeleteMessage { id: message.id });
        effects(Some(message.id), false, self.ordered(stored))
    }

    /// `decide`, after an attempt that failed.
    fn failed(&self, world: &World, message: &Message) -> Job {
        let outcome = Outcome::failed(FailureKind::Status, Some(503));
        let (accepted, now, middle) = (Timestamp::UNIX_EPOCH, Self::now(world), 200);
        let settlement = settle(&outcome, message.attempt, accepted, Self::retention(), now, middle);
        let (item, next) = (message.item, message.attempt + 1);
        let stored = match settlement {
            Settlement::Delivered => Vec::new(),
            Settlement::Dead(_) => vec![Effect::Bury { item }],
            _ if message.step.is_some() => {
                let first = message.step.is_some_and(|step| step.first);
                let attempt = if first { message.attempt } else { next };
                vec![Effect::HoldForRelease { item, attempt }, Effect::AwaitRelease { late: false }]
            }
            Settlement::RetrySoon { .. } => vec![Effect::Send { item, attempt: next, step: None }],
            Settlement::Hold { .. } => vec![Effect::Hold { item, attempt: next }],
        };
        self.settling(message, stored, true)
    }

    fn claim_release(&self, world: &mut World) -> Option<()> {
        let lease = world.fresh(Kind::Lease);
        let held = world.release.as_ref().and_then(|row| number(row, "lease_until"));
        if world
            .jobs
            .iter()
            .any(|job| matches!(job, Job::Releasing { worker, .. } if Some(worker.seen.lease) == held))
        {
            world.budget.overtakings = world.budget.overtakings.checked_sub(1)?;
        }
        if !self.write(writes::claim_release(lease), &mut world.release) {
            return None;
        }
        let seen = Seen::of(world.release.as_ref()?);
        let worker = Worker { seen, touched: seen.touched, waiting: None, anew: true };
        world.jobs.push(worker.at(Stage::Wait));
        Some(())
    }

    /// `move_step`, of one row.
    fn claim_row(&self, world: &mut World, item: usize) -> Option<()> {
        let claim = world.fresh(Kind::Claim);
        let held = world.items[item].held.as_ref().and_then(|row| number(row, "claimed_until"));
        let finishes =
            |effect: &Effect| matches!(effect, Effect::Finish { claim, .. } if Some(*claim) == held);
        if world.jobs.iter().any(|job| matches!(job, Job::Effects { left, .. } if left.iter().any(finishes)))
        {
            world.budget.overtakings = world.budget.overtakings.checked_sub(1)?;
        }
        if !self.write(writes::claim(claim), &mut world.items[item].held) {
            return None;
        }
        let attempt = attempt_of(world.items[item].held.as_ref()?);
        let moved =
            if world.over { Effect::Bury { item } } else { Effect::Send { item, attempt, step: None } };
        let left = self.ordered(vec![moved, Effect::Finish { item, claim }]);
        world.jobs.push(effects(None, true, left));
        Some(())
    }

    /// A function makes its next step.
    fn step(&self, world: &mut World, index: usize) -> Option<()> {
        let job = world.jobs.remove(index);
        let next = match job {
            Job::Attempting(_) => return None,
            Job::Effects { message, is_mover, mut left } => {
                let effect = left.remove(0);
                left.splice(0..0, self.cause(world, effect));
                (!left.is_empty()).then_some(Job::Effects { message, is_mover, left })
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

    /// Causes an effect; what is answered is to be done next, where it takes more than one write.
    fn cause(&self, world: &mut World, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Send { item, attempt, step } => {
                let id = world.fresh(Kind::Message);
                world.queue.push(Message { id, item, attempt, step });
            }
            Effect::Answer { item } => world.items[item].accepted = true,
            Effect::Hold { item, attempt } => world.items[item].held = Some(writes::retry_row(attempt)),
            Effect::HoldForRelease { item, attempt } => {
                let holding = world.fresh(Kind::Holding);
                let held = &mut world.items[item].held;
                let has_no_time = writes::hold_for_release();
                if self.fault == Some(Fault::HoldForReleaseOverARetry)
                    || self.write(has_no_time, &mut held.clone())
                {
                    *held = Some(writes::waiting_row(attempt, holding));
                } else {
                    return Some(Effect::KeepRetry { item, attempt });
                }
            }
            Effect::KeepRetry { item, attempt } => {
                if !self.write(writes::keep_retry(), &mut world.items[item].held) {
                    return Some(Effect::HoldForRelease { item, attempt });
                }
            }
            Effect::AwaitRelease { late } => {
                if !self.write(writes::await_release(late), &mut world.release) {
                    return Some(Effect::AwaitRelease { late: !late });
                }
            }
            Effect::Hasten => _ = self.write(writes::hasten(), &mut world.release),
            Effect::CountStep { step, failed } => {
                self.write(writes::finish_of_step(step.id, failed), &mut world.release);
            }
            Effect::Bury { item } => world.items[item].dead = true,
            Effect::DeleteMessage { id } => world.queue.retain(|message| message.id != id),
            Effect::DeleteDeadLetter { id } => world.dead_letters.retain(|message| message.id != id),
            Effect::Finish { item, claim } => {
                self.write(writes::finish(claim), &mut world.items[item].held);
            }
            Effect::DeleteReleased { item, holding } => {
                self.write(writes::delete_released(holding), &mut world.items[item].held);
            }
            Effect::DropRow { item } => world.items[item].held = None,
        }
        None
    }

    /// `collect/release`, a stage further; None where the worker ends.
    fn go_on(&self, world: &mut World, mut worker: Worker, stage: Stage) -> Option<Job> {
        let lease = worker.seen.lease;
        match stage {
            Stage::Wait => match worker.seen.step {
                // It goes on waiting, by what it saw first.
                Some(Progress { sent: true, left: 1.., .. }) => {
                    let now = worker.seen.now(world)?;
                    let goes_on = now.step.is_none_or(|step| !step.sent || step.left <= 0);
                    worker.seen = if goes_on { now } else { worker.seen };
                    Some(worker.at(if goes_on { Stage::Go } else { Stage::Wait }))
                }
                _ => self.go(world, worker),
            },
            Stage::Go => self.go(world, worker),
            Stage::Sent(rows) => {
                if !self.write(writes::step_sent(lease), &mut world.release) {
                    return None;
                }
                worker.seen = worker.seen.now(world)?;
                worker.anew = false;
                Some(Job::Releasing { worker, left: rows, stage: Stage::Wait })
            }
            Stage::End => {
                let write = writes::end_release(lease, worker.seen.touched);
                let ended = self.write(write, &mut world.release);
                (!ended).then(|| worker.at(Stage::Renew { touched: false }))
            }
            Stage::Renew { .. } => {
                if !self.write(writes::renew(lease), &mut world.release) {
                    return None;
                }
                worker.seen = worker.seen.now(world)?;
                Some(worker.at(Stage::Wait))
            }
            Stage::Postpone { keep_step } => {
                let write = writes::postpone(lease, worker.seen.touched, keep_step);
                let postponed = self.write(write, &mut world.release);
                (!postponed).then(|| worker.at(Stage::Renew { touched: true }))
            }
            Stage::GiveBack => {
                self.write(writes::give_back(lease), &mut world.release);
                None
            }
        }
    }

    fn go(&self, world: &mut World, mut worker: Worker) -> Option<Job> {
        let step = worker.seen.step.filter(|step| !(step.failed > 0 && step.hastened));
        let size = match step {
            None => self.first_step,
            Some(Progress { sent: false, size, .. }) => size,
            Some(Progress { failed: 1.., .. }) => {
                return Some(worker.at(Stage::Postpone { keep_step: false }));
            }
            Some(Progress { size, .. }) => grown(size),
        };
        // Whether a step has room for more items than there are makes no difference.
        let size = size.min(u32::try_from(self.items).unwrap_or(u32::MAX));
        if worker.seen.touched != worker.touched {
            worker.touched = worker.seen.touched;
            worker.read_anew();
        }
        let waiting = worker.waiting.get_or_insert_with(|| waiting(world));
        if waiting.is_empty() {
            if worker.anew {
                return Some(worker.at(Stage::End));
            }
            worker.read_anew();
            return Some(worker.at(Stage::Go));
        }
        if world.over {
            let item = waiting.remove(0).item;
            let left = self.ordered(vec![Effect::Bury { item }, Effect::DropRow { item }]);
            return Some(Job::Releasing { worker, left, stage: Stage::Go });
        }
        if !world.open {
            return Some(worker.at(Stage::Postpone { keep_step: false }));
        }
        let most = usize::try_from(size).unwrap_or(usize::MAX).min(waiting.len());
        let rows: Vec<_> = waiting.drain(..most).collect();
        self.begin_step(world, worker, size, &rows)
    }

    fn begin_step(&self, world: &mut World, mut worker: Worker, size: u32, rows: &[Waiting]) -> Option<Job> {
        let tag = Step { id: world.fresh(Kind::Step), first: size == self.first_step };
        let items = i64::try_from(rows.len()).unwrap_or_default();
        let Seen { lease, hastened, .. } = worker.seen;
        if !self.write(writes::begin_step(lease, tag.id, items, size, hastened), &mut world.release) {
            return None;
        }
        worker.seen = worker.seen.now(world)?;
        let send = |row: &Waiting| Effect::Send { item: row.item, attempt: row.attempt, step: Some(tag) };
        let delete = |row: &Waiting| Effect::DeleteReleased { item: row.item, holding: row.holding };
        let (mut left, mut deleted): (Vec<_>, Vec<_>) =
            (rows.iter().map(send).collect(), rows.iter().map(delete).collect());
        if self.fault == Some(Fault::ReleasedRowDeletedBeforeSent) {
            deleted.append(&mut left);
            (left, deleted) = (deleted, left);
        }
        Some(Job::Releasing { worker, left, stage: Stage::Sent(deleted) })
    }

    /// A worker has no time left, or waited for its step as long as it may.
    fn pause(world: &mut World, index: usize, keep_step: bool) {
        if let Job::Releasing { worker, stage, .. } = &mut world.jobs[index] {
            *stage = match (&worker.seen.step, &stage) {
                (_, Stage::Renew { .. }) => Stage::GiveBack,
                (Some(Progress { hastened: true, .. }), _) if !keep_step => {
                    worker.seen.step = None;
                    Stage::Go
                }
                _ => Stage::Postpone { keep_step },
            };
        }
    }

    /// What a function may do next.
    fn of_job(&self, world: &World, index: usize, actions: &mut Vec<Action>) {
        match &world.jobs[index] {
            Job::Attempting(_) => {
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
                actions.push(Action::Step(index));
            }
            _ => actions.push(Action::Step(index)),
        }
        if world.budget.crashes > 0 {
            actions.push(Action::Crash(index));
        }
    }

    fn of_queues(&self, world: &World, actions: &mut Vec<Action>) {
        let may_deliver = world.running(is_delivery) < self.delivers;
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
            matches!(job, Job::Effects { message: None, left, .. } if
            left.iter().any(|effect| matches!(effect, Effect::DeleteDeadLetter { .. })))
        };
        if world.running(is_burying) == 0 {
            actions.extend((0..world.dead_letters.len()).map(Action::BuryDeadLetter));
        }
    }
}

/// `waiting`: what waits for its release, in its order.
fn waiting(world: &World) -> Vec<Waiting> {
    let waits = |(item, held): (usize, &Item)| {
        let row = held.held.as_ref().filter(|row| !row.contains_key("due_at"))?;
        Some(Waiting { item, attempt: attempt_of(row), holding: number(row, "holding")? })
    };
    world.items.iter().enumerate().filter_map(waits).collect()
}

fn attempt_of(row: &Row) -> u32 {
    match row.get("attempt") {
        Some(Value::Number(attempt)) => u32::try_from(*attempt).unwrap_or_default(),
        _ => 0,
    }
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
        if world.running(is_release) < self.releases && world.release.as_ref().is_some_and(is_planned) {
            actions.push(Action::Release);
        }
        if world.running(is_mover) < self.movers {
            let is_due = |item: &Item| item.held.as_ref().is_some_and(is_planned);
            let due = (0..world.items.len()).filter(|&item| is_due(&world.items[item]));
            actions.extend(due.map(Action::Move));
        }
        if world.open && world.budget.shuts > 0 {
            actions.push(Action::Shut);
        }
        if !world.open {
            actions.push(Action::Open);
            if world.budget.unblocks > 0 {
                actions.push(Action::Unblock);
            }
        }
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
                world.jobs.push(effects(None, false, left));
            }
            Action::Receive(index) => self.receive(&mut world, index)?,
            Action::Succeed(index) => {
                let Job::Attempting(message) = world.jobs.remove(index) else { return None };
                world.items[message.item].arrived = true;
                world.jobs.push(self.settling(&message, Vec::new(), false));
            }
            Action::Fail(index) => {
                world.budget.failures = world.budget.failures.checked_sub(1)?;
                let Job::Attempting(message) = world.jobs.remove(index) else { return None };
                let job = self.failed(&world, &message);
                world.jobs.push(job);
            }
            Action::Step(index) => self.step(&mut world, index)?,
            Action::GiveBack(index) => Self::pause(&mut world, index, true),
            Action::GiveUp(index) => Self::pause(&mut world, index, false),
            Action::Crash(index) => {
                world.budget.crashes = world.budget.crashes.checked_sub(1)?;
                world.jobs.remove(index);
            }
            Action::Release => self.claim_release(&mut world)?,
            Action::Move(item) => self.claim_row(&mut world, item)?,
            Action::DeadLetter(index) => {
                world.budget.dead_letters = world.budget.dead_letters.checked_sub(1)?;
                let message = world.queue.remove(index);
                world.dead_letters.push(message);
            }
            Action::BuryDeadLetter(index) => {
                let Message { id, item, .. } = world.dead_letters[index];
                let left = vec![Effect::Bury { item }, Effect::DeleteDeadLetter { id }];
                world.jobs.push(effects(None, false, self.ordered(left)));
            }
            Action::Shut => {
                world.budget.shuts = world.budget.shuts.checked_sub(1)?;
                world.open = false;
            }
            Action::Open => world.open = true,
            Action::Unblock => {
                world.budget.unblocks = world.budget.unblocks.checked_sub(1)?;
                world.open = true;
                world.jobs.push(effects(None, false, vec![Effect::Hasten]));
            }
            Action::RetentionEnds => world.over = true,
        }
        world.sort();
        world.rename();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(NOTHING_LOST, |_, world: &World| {
            (0..world.items.len()).all(|item| world.keeps(item))
        })]
    }
}
