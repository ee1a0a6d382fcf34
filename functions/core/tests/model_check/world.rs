//! The world in which recordings run: rows, functions, answers that get lost, clocks, and the truth beside them.
//!
//! Everything that the production code decides (`State::of`, `Recording`, the conditions and effects of its writes) is
//! run as it is. What is modelled is what it meets: other functions between any two of its steps, crashes, answers
//! that are lost while the write is made, is not made, or is made later, clocks that differ, and a table that deletes
//! what has expired, at any moment after that.
//!
//! Beside each row stands the truth, kept from the order of the records alone: how many failures were recorded since
//! the last recorded success, block or unblock. Each action compares the row with it, and says what is broken.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use carteiro_core::{
    streak::{
        Answer, FENCE, Failed, Phase, Recorded, Recording, Results, Rule, State, Step, unblock,
        unblock_untold,
    },
    transition::{Condition, Row, Value, Write},
};
use jiff::Timestamp;
use stateright::{Model, Property};

use crate::faults::Fault;

/// Failures in a row that block.
pub(crate) const THRESHOLD: u32 = 3;
/// How long a row outlives its block.
const FENCE_SECONDS: i64 = FENCE.as_secs().cast_signed();
/// Where the model's time begins, so that no clock shows a negative time.
const EPOCH_SECONDS: i64 = 1_000_000;
/// How many ticks a batch may last: with the skew of the clocks less than the fence.
const LIFE: u8 = 1;

/// What is explored.
#[derive(Clone)]
pub(crate) struct Setting {
    /// How the clocks of the functions differ from the table's, in units.
    pub(crate) skews: &'static [i64],
    /// How many units the fence lasts, more than a batch's life and the skew of a clock. A block lasts one.
    pub(crate) fence: i64,
    /// How many times a batch's writes may be refused before the model leaves it: of refusals the machine knows only
    /// the number.
    pub(crate) refusals: u8,
    /// How many batches begin; none where they may go on and on.
    pub(crate) batches: Option<u8>,
    /// What the attempts of a batch may give: `F` and `S` in the order in which they finish.
    pub(crate) patterns: &'static [&'static str],
    /// How many answers get lost.
    pub(crate) losses: u8,
    /// How many times the owner unblocks.
    pub(crate) unblocks: u8,
    /// How many times the webhook gets a new revision.
    pub(crate) revisions: usize,
    /// Whether notices are left.
    pub(crate) told: bool,
    /// When time ends, in units.
    pub(crate) horizon: i64,
    /// What is broken on purpose.
    pub(crate) fault: Option<Fault>,
    /// The property that is expected to break. A world in which it did is not gone on from; none stands for all.
    pub(crate) awaited: Option<&'static str>,
    /// What happened.
    pub(crate) seen: Arc<Seen>,
}

/// How often the model did what must happen for a check to mean anything.
#[derive(Default)]
pub(crate) struct Seen([AtomicU64; Event::COUNT]);

carteiro_core::named! {
    /// What must happen for a check to mean anything.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Event {
        Started,
        Added,
        Blocked,
        BlockedOnAnEarlierFence,
        Ended,
        Refused,
        Late,
        Expired,
        ExpiredUnderABatch,
        LandedLater,
        Unblocked,
    }
}

impl Event {
    const COUNT: usize = Self::ALL.len();
}

impl Seen {
    fn note(&self, event: Event) {
        self.0[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn times(&self, event: Event) -> u64 {
        self.0[event as usize].load(Ordering::Relaxed)
    }
}

/// All there is at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    now: i64,
    /// One per revision so far; the last is the current one.
    tables: Vec<Table>,
    workers: Vec<Worker>,
    flights: Vec<Flight>,
    batches: Option<u8>,
    losses: u8,
    unblocks: u8,
    revisions: usize,
    /// Which properties were broken, a bit each.
    broken: u16,
}

/// A row and the truth about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Table {
    row: Option<Row>,
    /// Failures recorded since the last recorded success, block or unblock.
    failures: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Worker {
    skew: i64,
    job: Job,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Job {
    Idle,
    /// The row was read, and the attempts are running.
    Attempting {
        before: State,
        /// The row itself, for the fault that uses it again.
        row: Option<Row>,
        truth: Truth,
    },
    Recording {
        machine: Recording,
        step: Step,
        counts: Counts,
        row: Option<Row>,
        truth: Truth,
    },
}

/// Which of a batch's failures a write counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Counts {
    failures: u32,
    /// Those before its success, where there is one.
    leading: bool,
}

/// A write whose answer was lost. It is made at some later moment, or never.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Flight {
    write: Write,
    counts: Counts,
    skew: i64,
    truth: Truth,
}

/// What is true of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Truth {
    revision: usize,
    /// The epoch that its batch read; only to tell ids apart.
    fence: Option<String>,
    /// Empty while its attempts run.
    id: String,
    pattern: &'static str,
    /// Ticks since its read.
    age: u8,
    /// How many of its writes were refused.
    refused: u8,
    /// A block or an unblock came after its read.
    late: bool,
    /// There was a moment after its responses at which no failures stood recorded.
    cleared: bool,
    /// Its success is recorded.
    succeeded: bool,
    /// Failures of it are recorded.
    counted: bool,
    /// An answer was lost, so that failures that were asked to be counted may not be.
    lost: bool,
    /// The streak that it found when it last saw the row.
    found: Option<String>,
}

impl Truth {
    fn has_success(&self) -> bool {
        self.pattern.contains('S')
    }

    /// Whether it matters to it that no failures stand recorded.
    fn awaits_clearing(&self) -> bool {
        self.has_success() && !self.succeeded
    }

    fn leading(&self) -> u32 {
        count(self.pattern.chars().take_while(|&result| result == 'F'))
    }

    fn trailing(&self) -> u32 {
        count(self.pattern.chars().rev().take_while(|&result| result == 'F'))
    }
}

fn count(results: impl Iterator<Item = char>) -> u32 {
    results.map(|_| 1).sum()
}

/// What can happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A function reads the row and, if it is open, starts a batch.
    Begin(usize),
    /// The attempts of a function's batch finish, and it begins to record them.
    Respond(usize, &'static str),
    /// A function's read or write is made and answered.
    Step(usize),
    /// A function's write is sent, and its answer is lost.
    Lose(usize),
    /// A function dies. Its message is delivered again, which is another batch.
    Crash(usize),
    /// A write whose answer was lost reaches the table.
    Land(usize),
    /// Time goes on.
    Tick,
    /// The table deletes a row that has expired.
    Expire(usize),
    /// The owner unblocks, through a function with this skew.
    Unblock(i64),
    /// The webhook gets a new revision.
    Revise,
}

macro_rules! properties {
    ($($name:ident = $bit:literal, $sentence:literal;)*) => {
        $(
            pub(crate) const $name: &str = $sentence;
        )*
        fn bit_of(name: &str) -> u16 {
            match name {
                $($sentence => 1 << $bit,)*
                _ => 0,
            }
        }
        /// The names of all properties.
        pub(crate) const PROPERTIES: &[&str] = &[$($sentence),*];
        fn all_properties() -> Vec<Property<Setting>> {
            vec![$(Property::always($sentence, |_, world: &World| world.broken & (1 << $bit) == 0)),*]
        }
    };
}

properties! {
    NEVER_EARLY = 0, "no block before the threshold in consecutive recorded failures";
    BLOCKED_AT_IT = 1, "no count at or above the threshold without a block";
    EXACT = 2, "the row counts the failures recorded since the last success, block or unblock";
    ONE_BLOCK = 3, "one block and one notice id per streak";
    NO_ATTEMPT = 4, "no batch begins that read a block";
    LATE_IS_NOTHING = 5, "a late result changes nothing";
    NOTHING_DROPPED = 6, "only a late result is dropped";
    INTERRUPTS = 7, "a recorded success interrupts";
    NOT_DELETED = 8, "the table deletes neither a streak nor a block";
    ONCE_IN_ORDER = 9, "a batch counts once, and its leading failures not after its success";
    ENDS_WHAT_IT_FOUND = 10, "a success ends no streak but the one that it found";
    FENCE_STAYS = 11, "the table deletes no fence while a batch runs that began before it";
}

fn text<'a>(row: Option<&'a Row>, name: &str) -> Option<&'a str> {
    match row?.get(name)? {
        Value::Text(text) => Some(text),
        Value::Number(_) | Value::Numbers(_) => None,
    }
}

fn number(row: Option<&Row>, name: &str) -> Option<i64> {
    match row?.get(name)? {
        Value::Number(number) => Some(*number),
        Value::Text(_) | Value::Numbers(_) => None,
    }
}

/// What a live streak counts.
fn live(row: Option<&Row>) -> u32 {
    let failures = text(row, "streak").and_then(|_| number(row, "failures")).unwrap_or_default();
    u32::try_from(failures).unwrap_or(u32::MAX)
}

fn is_counting(write: &Write) -> bool {
    matches!(write.name, "start" | "add" | "block")
}

fn texts_of<'a>(condition: &'a Condition, into: &mut BTreeSet<&'a str>) {
    match condition {
        Condition::Is(_, Value::Text(text)) => _ = into.insert(text),
        Condition::All(all) | Condition::Any(all) => all.iter().for_each(|one| texts_of(one, into)),
        _ => {}
    }
}

/// By which things that have no order are put into one.
pub(crate) fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl World {
    fn break_it(&mut self, name: &str) {
        self.broken |= bit_of(name);
    }

    fn require(&mut self, holds: bool, name: &str) {
        if !holds {
            self.break_it(name);
        }
    }

    fn truths(&mut self) -> impl Iterator<Item = &mut Truth> {
        let running = self.workers.iter_mut().filter_map(|worker| match &mut worker.job {
            Job::Idle => None,
            Job::Attempting { truth, .. } | Job::Recording { truth, .. } => Some(truth),
        });
        running.chain(self.flights.iter_mut().map(|flight| &mut flight.truth))
    }

    fn running(&self) -> impl Iterator<Item = &Truth> {
        let running = self.workers.iter().filter_map(|worker| match &worker.job {
            Job::Idle => None,
            Job::Attempting { truth, .. } | Job::Recording { truth, .. } => Some(truth),
        });
        running.chain(self.flights.iter().map(|flight| &flight.truth))
    }

    /// An id that nothing refers to. Ids are random and long in truth; here few of them go round, so that worlds which
    /// differ by their names alone are one.
    fn new_id(&self) -> String {
        let mut used = BTreeSet::new();
        for table in &self.tables {
            for name in ["streak", "epoch", "block_notice", "release_notice"] {
                used.extend(text(table.row.as_ref(), name));
            }
            used.extend(text(table.row.as_ref(), "warning").and_then(|id| id.split('#').next()));
        }
        let write_and_truth = |write: Option<&Write>, truth: &Truth| {
            let mut found = BTreeSet::new();
            if let Some(write) = write {
                texts_of(&write.condition, &mut found);
            }
            let ids = [truth.fence.as_deref(), Some(truth.id.as_str()), truth.found.as_deref()];
            found.extend(ids.into_iter().flatten());
            found.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let mut others = Vec::new();
        for worker in &self.workers {
            match &worker.job {
                Job::Idle => {}
                Job::Attempting { before, truth, .. } => {
                    others.extend(write_and_truth(None, truth));
                    if let Phase::Failing { streak, .. } = &before.phase {
                        others.push(streak.clone());
                    }
                }
                Job::Recording { step: Step::Write(write), truth, .. } => {
                    others.extend(write_and_truth(Some(write), truth));
                }
                Job::Recording { truth, .. } => others.extend(write_and_truth(None, truth)),
            }
        }
        for flight in &self.flights {
            others.extend(write_and_truth(Some(&flight.write), &flight.truth));
        }
        used.extend(others.iter().map(String::as_str));
        (1..).map(|id: u32| id.to_string()).find(|id| !used.contains(id.as_str())).unwrap_or_default()
    }

    /// No failures stand recorded for this revision now.
    fn clear(&mut self, revision: usize) {
        self.tables[revision].failures = 0;
        for truth in self.truths().filter(|truth| truth.revision == revision && truth.awaits_clearing()) {
            truth.cleared = true;
        }
    }

    fn begin_a_period(&mut self, revision: usize) {
        self.clear(revision);
        self.truths().filter(|truth| truth.revision == revision).for_each(|truth| truth.late = true);
    }

    /// Tells all that is left of a batch what became of it.
    fn tell(&mut self, id: &str, change: impl Fn(&mut Truth)) {
        self.truths().filter(|truth| truth.id == id).for_each(change);
    }

    /// A write reaches the table: true where it was made. `truth` is its batch's.
    fn land(
        &mut self,
        setting: &Setting,
        write: &Write,
        counts: Counts,
        truth: &Truth,
        writer_now: Timestamp,
    ) -> bool {
        let table = &mut self.tables[truth.revision];
        let before = table.row.clone();
        if !write.apply(&mut table.row) {
            setting.seen.note(Event::Refused);
            return false;
        }
        let after = table.row.clone();
        self.require(!truth.late || after == before, LATE_IS_NOTHING);
        match write.name {
            "start" | "add" => self.landed_count(setting, write, counts, truth),
            "block" => {
                self.landed_block(setting, counts, truth, before.as_ref(), after.as_ref(), writer_now);
            }
            _ => {
                setting.seen.note(Event::Ended);
                self.require(truth.found.as_deref() == text(before.as_ref(), "streak"), ENDS_WHAT_IT_FOUND);
                self.require(truth.has_success(), ONCE_IN_ORDER);
                self.clear(truth.revision);
                self.tell(&truth.id, |truth| truth.succeeded = true);
            }
        }
        if write.name != "block" {
            for notice in ["block_notice", "release_notice"] {
                self.require(text(before.as_ref(), notice) == text(after.as_ref(), notice), ONE_BLOCK);
            }
        }
        self.check_row(truth.revision);
        true
    }

    fn landed_count(&mut self, setting: &Setting, write: &Write, counts: Counts, truth: &Truth) {
        setting.seen.note(if write.name == "start" { Event::Started } else { Event::Added });
        self.require(!truth.counted, ONCE_IN_ORDER);
        self.require(!truth.has_success() || truth.succeeded, ONCE_IN_ORDER);
        if !truth.counted {
            self.tables[truth.revision].failures += counts.failures;
        }
        self.tell(&truth.id, |truth| truth.counted = true);
    }

    fn landed_block(
        &mut self,
        setting: &Setting,
        counts: Counts,
        truth: &Truth,
        before: Option<&Row>,
        after: Option<&Row>,
        writer_now: Timestamp,
    ) {
        setting.seen.note(Event::Blocked);
        if text(before, "epoch").is_some() {
            setting.seen.note(Event::BlockedOnAnEarlierFence);
        }
        let counted = if truth.counted { 0 } else { counts.failures };
        self.require(self.tables[truth.revision].failures + counted >= THRESHOLD, NEVER_EARLY);
        // Leading failures that reach the threshold by themselves did so before their success: late is not wrong.
        let in_order = !truth.has_success() || truth.succeeded != counts.leading;
        self.require(in_order || counts.failures >= THRESHOLD, ONCE_IN_ORDER);
        let was_over =
            number(before, "blocked_until").is_none_or(|until| until <= writer_now.as_millisecond());
        let epoch = text(after, "epoch");
        self.require(was_over && epoch.is_some() && epoch != text(before, "epoch"), ONE_BLOCK);
        let notice = if setting.told { epoch } else { None };
        self.require(text(after, "block_notice") == notice, ONE_BLOCK);
        self.require(text(after, "release_notice") == notice, ONE_BLOCK);
        self.begin_a_period(truth.revision);
        self.tell(&truth.id, |truth| truth.counted = true);
    }

    fn check_row(&mut self, revision: usize) {
        let table = &self.tables[revision];
        let (row, truth) = (table.row.as_ref(), table.failures);
        let (live, shown) = (live(row), number(row, "failures").unwrap_or_default());
        self.require(live == truth, EXACT);
        self.require(live < THRESHOLD && truth < THRESHOLD, BLOCKED_AT_IT);
        self.require(shown <= i64::from(THRESHOLD), BLOCKED_AT_IT);
    }

    /// Time starts again where nothing bears a time: what comes does not depend on what was.
    fn forget_time(&mut self) {
        let bears = |row: &Row| {
            ["blocked_at", "blocked_until", "expires_at", "due_at"].iter().any(|name| row.contains_key(name))
        };
        let writes = |worker: &Worker| matches!(&worker.job, Job::Recording { step: Step::Write(_), .. });
        if self.flights.is_empty()
            && !self.workers.iter().any(writes)
            && !self.tables.iter().filter_map(|table| table.row.as_ref()).any(bears)
        {
            self.now = 0;
        }
    }

    /// Functions and flights have no order.
    fn sort(&mut self) {
        self.workers.sort_by_cached_key(fingerprint);
        self.flights.sort_by_cached_key(fingerprint);
    }
}

impl Setting {
    fn clock(&self, now: i64, skew: i64) -> Timestamp {
        let since = (now + skew) * FENCE_SECONDS / self.fence;
        Timestamp::from_second(EPOCH_SECONDS + since).unwrap_or_default()
    }

    fn rule(&self) -> Rule {
        let block = Duration::from_secs(FENCE.as_secs() / self.fence.unsigned_abs());
        Rule { threshold: THRESHOLD, block, raises_notices: self.told }
    }

    fn begin(&self, world: &mut World, index: usize) -> Option<()> {
        let revision = world.tables.len() - 1;
        let worker = &world.workers[index];
        let Job::Idle = worker.job else { return None };
        let now = self.clock(world.now, worker.skew);
        let row = world.tables[revision].row.clone();
        let mut seen = row.clone();
        if let (Some(Fault::BlockNotRead), Some(row)) = (self.fault, &mut seen) {
            row.remove("blocked_until");
        }
        let before = State::of(seen.as_ref(), now);
        if matches!(before.phase, Phase::Blocked { .. }) {
            return None;
        }
        if let Some(batches) = &mut world.batches {
            *batches = batches.checked_sub(1)?;
        }
        let until = number(row.as_ref(), "blocked_until");
        world.require(until.is_none_or(|until| until <= now.as_millisecond()), NO_ATTEMPT);
        let truth = Truth {
            revision,
            fence: before.epoch.clone(),
            id: String::new(),
            pattern: "",
            age: 0,
            refused: 0,
            late: false,
            cleared: false,
            succeeded: false,
            counted: false,
            lost: false,
            found: None,
        };
        let row = row.filter(|_| self.fault == Some(Fault::StaleReadForASuccess));
        world.workers[index].job = Job::Attempting { before, row, truth };
        Some(())
    }

    fn respond(&self, world: &mut World, index: usize, pattern: &'static str) -> Option<()> {
        let id = world.new_id();
        let worker = &mut world.workers[index];
        let now = self.clock(world.now, worker.skew);
        let Job::Attempting { before, row, mut truth } = std::mem::replace(&mut worker.job, Job::Idle) else {
            return None;
        };
        let failed = || Failed { error: "e".to_owned(), timed_out: false };
        let results: Vec<_> = pattern.chars().map(|result| (result == 'F').then(failed)).collect();
        truth.pattern = pattern;
        truth.id = id.clone();
        truth.cleared = world.tables[truth.revision].failures == 0;
        if !truth.has_success() {
            // It matters to a success alone.
            truth.cleared = false;
        }
        let (machine, step) = Recording::begin(Results::of(&results)?, &before, self.rule(), id, now);
        let counts = Counts { failures: truth.leading(), leading: true };
        self.go_on(world, index, machine, step, counts, row, truth);
        Some(())
    }

    /// A function makes its next step; `lose` where its answer does not come.
    fn step(&self, world: &mut World, index: usize, lose: bool) -> Option<()> {
        let job = std::mem::replace(&mut world.workers[index].job, Job::Idle);
        let Job::Recording { mut machine, step, counts, row, mut truth } = job else { return None };
        let skew = world.workers[index].skew;
        let now = self.clock(world.now, skew);
        let current = |world: &World| world.tables[truth.revision].row.clone();
        let answer = match &step {
            Step::Read if lose => return None,
            Step::Read if self.fault == Some(Fault::StaleReadForASuccess) => Answer::Row(row.clone()),
            Step::Read => Answer::Row(current(world)),
            Step::Write(write) if lose => {
                world.losses = world.losses.checked_sub(1)?;
                truth.lost = true;
                // What only matters to a function that goes on is left out, so that fewer worlds differ.
                let truth = Truth { refused: 0, cleared: false, fence: None, ..truth.clone() };
                world.flights.push(Flight { write: write.clone(), counts, skew, truth });
                Answer::Lost
            }
            // The truth must see its own job, so it stays in place while the write lands.
            Step::Write(write) => {
                let kept =
                    Job::Recording { machine: machine.clone(), step: step.clone(), counts, row: None, truth };
                world.workers[index].job = kept.clone();
                let Job::Recording { truth: before, .. } = kept else { return None };
                let made = world.land(self, write, counts, &before, now);
                let job = std::mem::replace(&mut world.workers[index].job, Job::Idle);
                let Job::Recording { truth: after, .. } = job else { return None };
                truth = after;
                if made { Answer::Made } else { Answer::Refused(world.tables[truth.revision].row.clone()) }
            }
            Step::Done(_) => return None,
        };
        if let (Answer::Lost, Step::Write(write)) = (&answer, &step)
            && self.fault == Some(Fault::CountingRepeated)
            && is_counting(write)
        {
            world.workers[index].job = Job::Recording { machine, step, counts, row, truth };
            return Some(());
        }
        if self.fault == Some(Fault::DeletedFenceIsLate)
            && let Answer::Row(seen) | Answer::Refused(seen) = &answer
            && truth.fence.is_some()
            && text(seen.as_ref(), "epoch").is_none()
        {
            self.finish(world, &truth, Recorded::Late);
            return Some(());
        }
        if let Answer::Refused(_) = &answer {
            truth.refused += 1;
            if truth.refused > self.refusals {
                return None;
            }
        }
        let next = machine.next(&answer, now);
        let counts = Self::observe(world, &mut truth, &step, &answer, &next);
        self.go_on(world, index, machine, next, counts, row, truth);
        Some(())
    }

    /// What the machine took from an answer: whether it holds its success for recorded, which must be true, and how
    /// many failures its next write counts.
    fn observe(world: &mut World, truth: &mut Truth, step: &Step, answer: &Answer, next: &Step) -> Counts {
        if let Answer::Row(row) | Answer::Refused(row) = answer
            && truth.has_success()
            && !truth.succeeded
        {
            truth.found = text(row.as_ref(), "streak").map(str::to_owned);
        }
        let leading = Counts { failures: truth.leading(), leading: true };
        if !truth.has_success() {
            return leading;
        }
        let reaches = match (step, answer) {
            (Step::Read, Answer::Row(row)) => Some(row),
            (Step::Write(write), Answer::Refused(row)) if write.name == "block" => Some(row),
            _ => None,
        }
        .is_some_and(|row| !truth.lost && live(row.as_ref()) + truth.leading() >= THRESHOLD);
        let is_count = matches!(next, Step::Write(write) if is_counting(write));
        if is_count && !truth.succeeded && leading.failures > 0 && reaches {
            return leading;
        }
        if !truth.succeeded && (is_count || *next == Step::Done(Recorded::Yes)) {
            world.require(truth.cleared, INTERRUPTS);
            truth.succeeded = true;
            let id = truth.id.clone();
            world.tell(&id, |truth| truth.succeeded = true);
        }
        Counts { failures: truth.trailing(), leading: false }
    }

    #[expect(clippy::too_many_arguments, reason = "they are the parts of one job")]
    fn go_on(
        &self,
        world: &mut World,
        index: usize,
        machine: Recording,
        step: Step,
        counts: Counts,
        row: Option<Row>,
        truth: Truth,
    ) {
        let step = match step {
            Step::Done(recorded) => return self.finish(world, &truth, recorded),
            Step::Write(write) => Step::Write(match self.fault {
                Some(fault) => fault.inject(write),
                None => write,
            }),
            Step::Read => Step::Read,
        };
        world.workers[index].job = Job::Recording { machine, step, counts, row, truth };
    }

    /// What the machine says at its end must be true.
    fn finish(&self, world: &mut World, truth: &Truth, recorded: Recorded) {
        let failures = if truth.has_success() { truth.trailing() } else { truth.leading() };
        match recorded {
            Recorded::Late => {
                self.seen.note(Event::Late);
                world.require(truth.late, NOTHING_DROPPED);
            }
            Recorded::Yes => {
                world.require(truth.succeeded || !truth.has_success(), NOTHING_DROPPED);
                world.require(failures == 0 || truth.counted || truth.lost, NOTHING_DROPPED);
            }
            // Its own block makes the rest of a batch late, but only if it began.
            Recorded::Blocked => {
                world.require(truth.succeeded || !truth.has_success() || truth.late, NOTHING_DROPPED);
                world.require(truth.counted || truth.lost, NOTHING_DROPPED);
            }
            Recorded::Contended => world.break_it(NOTHING_DROPPED),
        }
    }

    fn land_later(&self, world: &mut World, index: usize) {
        let flight = world.flights[index].clone();
        let made =
            world.land(self, &flight.write, flight.counts, &flight.truth, self.clock(world.now, flight.skew));
        if made {
            self.seen.note(Event::LandedLater);
        }
        world.flights.remove(index);
    }

    /// Time goes on where something waits for it, and no batch outlives its life.
    fn may_tick(&self, world: &World) -> bool {
        let slowest = self.clock(world.now, -self.skews.iter().map(|skew| skew.abs()).max().unwrap_or(0));
        let waits = |row: &Row| {
            let row = Some(row);
            number(row, "blocked_until").is_some_and(|until| until > slowest.as_millisecond())
                || number(row, "expires_at").is_some_and(|at| at > self.clock(world.now, 0).as_second())
        };
        world.now < self.horizon
            && world.tables.iter().filter_map(|table| table.row.as_ref()).any(waits)
            && world.running().all(|truth| truth.age < LIFE)
    }

    fn may_expire(&self, world: &World, revision: usize) -> bool {
        number(world.tables[revision].row.as_ref(), "expires_at")
            .is_some_and(|at| at <= self.clock(world.now, 0).as_second())
    }

    fn expire(&self, world: &mut World, revision: usize) {
        let table = &world.tables[revision];
        let now = self.clock(world.now, 0);
        let streak = text(table.row.as_ref(), "streak").is_some() || table.failures > 0;
        let blocked =
            number(table.row.as_ref(), "blocked_until").is_some_and(|until| until > now.as_millisecond());
        world.require(!streak && !blocked, NOT_DELETED);
        // What a batch that began before the fence has still to write would be held for timely.
        let is_late = world.running().any(|truth| truth.revision == revision && truth.late);
        world.require(!is_late, FENCE_STAYS);
        self.seen.note(Event::Expired);
        if world.running().any(|truth| truth.revision == revision) {
            self.seen.note(Event::ExpiredUnderABatch);
        }
        world.tables[revision].row = None;
    }

    fn unblock(&self, world: &mut World, skew: i64) -> Option<()> {
        world.unblocks = world.unblocks.checked_sub(1)?;
        let (revision, id) = (world.tables.len() - 1, world.new_id());
        let (now, row) = (self.clock(world.now, skew), &mut world.tables[revision].row);
        // One of the two fits, by whether a release is to be told.
        if ![unblock_untold(&id, now), unblock(&id, now)].iter().any(|write| write.apply(row)) {
            return None;
        }
        self.seen.note(Event::Unblocked);
        world.begin_a_period(revision);
        world.check_row(revision);
        Some(())
    }
}

impl Model for Setting {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let workers = self.skews.iter().map(|&skew| Worker { skew, job: Job::Idle }).collect();
        let mut world = World {
            now: 0,
            tables: vec![Table { row: None, failures: 0 }],
            workers,
            flights: Vec::new(),
            batches: self.batches,
            losses: self.losses,
            unblocks: self.unblocks,
            revisions: self.revisions,
            broken: 0,
        };
        world.sort();
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken & self.awaited.map_or(u16::MAX, bit_of) != 0 {
            return;
        }
        for (index, worker) in world.workers.iter().enumerate() {
            match &worker.job {
                Job::Idle if world.batches == Some(0) => {}
                Job::Idle => actions.push(Action::Begin(index)),
                Job::Attempting { .. } => {
                    actions.extend(self.patterns.iter().map(|pattern| Action::Respond(index, pattern)));
                    actions.push(Action::Crash(index));
                }
                Job::Recording { step, .. } => {
                    actions.extend([Action::Step(index), Action::Crash(index)]);
                    if world.losses > 0 && matches!(step, Step::Write(_)) {
                        actions.push(Action::Lose(index));
                    }
                }
            }
        }
        actions.extend((0..world.flights.len()).map(Action::Land));
        if self.may_tick(world) {
            actions.push(Action::Tick);
        }
        let expired = (0..world.tables.len()).filter(|&revision| self.may_expire(world, revision));
        actions.extend(expired.map(Action::Expire));
        if world.unblocks > 0 {
            let mut skews = self.skews.to_vec();
            skews.dedup();
            actions.extend(skews.into_iter().map(Action::Unblock));
        }
        if world.revisions > 0 {
            actions.push(Action::Revise);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Begin(index) => self.begin(&mut world, index)?,
            Action::Respond(index, pattern) => self.respond(&mut world, index, pattern)?,
            Action::Step(index) => self.step(&mut world, index, false)?,
            Action::Lose(index) => self.step(&mut world, index, true)?,
            Action::Crash(index) => world.workers[index].job = Job::Idle,
            Action::Land(index) => self.land_later(&mut world, index),
            Action::Tick => {
                world.now += 1;
                world.truths().for_each(|truth| truth.age += 1);
            }
            Action::Expire(revision) => self.expire(&mut world, revision),
            Action::Unblock(skew) => self.unblock(&mut world, skew)?,
            Action::Revise => {
                world.revisions -= 1;
                world.tables.push(Table { row: None, failures: 0 });
            }
        }
        world.forget_time();
        world.sort();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        all_properties()
    }
}
