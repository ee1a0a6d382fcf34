//! Many functions at once on one streak, through `StreakTable` on the embedded DynamoDB, with calls that are throttled,
//! fail or lose their answers; and one function alone, compared with the documented rule.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::streak::{StreakKey, StreakTable};
use carteiro_core::streak::{Failed, Phase, Recorded, Recording, Results, Rule, State};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::check;
use crate::database::{NOW_MS, STREAKS, clock, embedded, new_streak};
use crate::history::{Batch, Did, Run};
use crate::proxy::{Fate, Proxy};

/// The plan of a run.
#[derive(Clone, Debug)]
struct Plan {
    rule: Rule,
    /// Of each task, of each of its batches: whether each attempt succeeds.
    tasks: Vec<Vec<Vec<bool>>>,
    /// How many of a hundred calls meet a fault.
    faults: u64,
    /// The seed that decides which.
    seed: u64,
}

/// The blocks of a run last longer than it, or so short that several periods follow each other.
fn plans(faults: std::ops::Range<u64>, successes: Vec<u32>) -> impl Strategy<Value = Plan> {
    let rule = (1..60_u32, prop_oneof![Just(14_400_000_u64), 5..40_u64], any::<bool>());
    let tasks = prop::sample::select(successes).prop_flat_map(|percent| {
        let attempt = prop::bool::weighted(f64::from(percent) / 100.0);
        let batches = prop::collection::vec(prop::collection::vec(attempt, 1..=10), 2..6);
        prop::collection::vec(batches, 8..=16)
    });
    (rule, tasks, faults, any::<u64>()).prop_map(|((threshold, ms, told), tasks, faults, seed)| Plan {
        rule: Rule { threshold, block: Duration::from_millis(ms), raises_notices: told },
        tasks,
        faults,
        seed,
    })
}

/// Mixes a seed and a number (the finaliser of SplitMix64).
fn mixed(seed: u64, number: u64) -> u64 {
    let mut bits = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn fate(plan: &Plan, nth: u64) -> Fate {
    let bits = mixed(plan.seed, nth);
    if bits % 100 >= plan.faults {
        return Fate::Proceed;
    }
    let fates = [
        Fate::Throttle,
        Fate::FailBefore,
        Fate::FailAfter,
        Fate::DropBefore,
        Fate::DropAfter,
        Fate::DropThenProceed,
    ];
    fates[usize::try_from((bits >> 32) % 6).unwrap()]
}

/// Attempts and records a batch as the deliverer does. None where it is not attempted: the row cannot be read, or
/// the block does not end soon.
fn failed(error: &str) -> Failed {
    Failed { error: error.to_owned(), timed_out: false }
}

async fn attempt(
    proxy: &Proxy,
    key: &StreakKey,
    rule: Rule,
    results: &[bool],
    clock: InvocationClock,
) -> Option<Batch> {
    let mut looked = 0;
    let before = loop {
        let before = State::of(proxy.table.read(key).await.ok()?.as_ref(), clock.now());
        match before.phase {
            Phase::Blocked { .. } if looked == 20 || rule.block > Duration::from_secs(1) => return None,
            Phase::Blocked { .. } => tokio::time::sleep(Duration::from_millis(3)).await,
            _ => break before,
        }
        looked += 1;
    };
    // The attempts take a while.
    tokio::task::yield_now().await;
    let id = format!("{:032x}", random::bits128().unwrap());
    let token = format!("error of {id}");
    let told: Vec<_> = results.iter().map(|succeeded| (!succeeded).then(|| failed(&token))).collect();
    let began = proxy.history().await.len();
    let (recording, step) =
        Recording::begin(Results::of(&told).unwrap(), &before, rule, id.clone(), clock.now());
    let came = proxy.table.record(key, recording, step, clock).await.ok().map(|how| how.recorded);
    let span = (began, proxy.history().await.len());
    Some(Batch { id, token, fence: before.epoch, results: results.to_vec(), span, came })
}

/// Reads the row again and again, as any reader may see it.
async fn observe(
    table: StreakTable,
    key: StreakKey,
    rule: Rule,
    over: Arc<AtomicBool>,
    clock: InvocationClock,
) {
    while !over.load(Ordering::Relaxed) {
        let state = State::of(table.read(&key).await.unwrap().as_ref(), clock.now());
        if let Phase::Failing { failures, .. } = state.phase {
            assert!((1..rule.threshold).contains(&failures), "{state:?}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The outcome of a run, for counts over all runs.
struct Outcome {
    batches: Vec<Batch>,
    did: Vec<Did>,
    failures: i64,
}

async fn run(plan: &Plan) -> Outcome {
    let (key, clock) = (new_streak(), clock(NOW_MS, Duration::from_secs(30)));
    let fates = plan.clone();
    let proxy = Arc::new(Proxy::start(&key, clock, move |_, nth| fate(&fates, nth)).await);
    let over = Arc::new(AtomicBool::new(false));
    let observer = observe(proxy.direct.clone(), key.clone(), plan.rule, Arc::clone(&over), clock);
    let observer = tokio::spawn(observer);
    let mut tasks = JoinSet::new();
    for batches in plan.tasks.clone() {
        let (proxy, key, rule) = (Arc::clone(&proxy), key.clone(), plan.rule);
        tasks.spawn(async move {
            let mut recorded = Vec::new();
            for results in batches {
                recorded.extend(attempt(&proxy, &key, rule, &results, clock).await);
            }
            recorded
        });
    }
    let batches: Vec<Batch> = tasks.join_all().await.into_iter().flatten().collect();
    over.store(true, Ordering::Relaxed);
    observer.await.unwrap();
    proxy.settled().await;
    let events = proxy.history().await;
    let did = Run { events: &events, batches: &batches, rule: plan.rule, faults: plan.faults > 0 }.check();
    let last = State::of(events.last().and_then(|event| event.row.as_ref()), clock.now());
    let failures = match last.phase {
        Phase::Failing { failures, .. } => i64::from(failures),
        Phase::Blocked { .. } => i64::from(plan.rule.threshold),
        Phase::Open => 0,
    };
    Outcome { batches, did, failures }
}

fn threads() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs a property of runs, which panics where it does not hold.
fn check_runs(cases: u32, plans: &impl Strategy<Value = Plan>, property: impl Fn(&Plan, Outcome)) {
    let runtime = threads();
    // Concurrent runs differ every time: shrinking the input would gain nothing.
    check(cases, 0, plans, |plan| {
        property(&plan, runtime.block_on(run(&plan)));
        Ok(())
    });
}

fn blocks(did: &[Did]) -> usize {
    did.iter().filter(|did| **did == Did::Blocked).count()
}

#[test]
fn failures_alone_block_exactly_at_the_threshold_and_once() {
    let plans = plans(0..1, vec![0]).prop_map(|mut plan| {
        plan.rule.block = Duration::from_secs(14_400);
        plan.rule.threshold = plan.rule.threshold * 8 + 1;
        plan
    });
    let (blocked, open) = (Cell::new(0), Cell::new(0));
    check_runs(8, &plans, |plan, outcome| {
        let attempted: usize = outcome.batches.iter().map(|batch| batch.results.len()).sum();
        let attempted = i64::try_from(attempted).unwrap();
        let due = attempted >= i64::from(plan.rule.threshold);
        assert_eq!(blocks(&outcome.did), usize::from(due));
        assert_eq!(outcome.failures, attempted.min(i64::from(plan.rule.threshold)));
        let said = outcome.batches.iter().filter(|batch| batch.came == Some(Recorded::Blocked)).count();
        assert_eq!(said, usize::from(due), "as many batches say that they blocked");
        let count = if due { &blocked } else { &open };
        count.set(count.get() + 1);
    });
    assert!(blocked.get() > 0 && open.get() > 0, "{blocked:?} runs blocked, {open:?} did not");
}

#[test]
fn concurrent_records_have_an_order_that_explains_them() {
    let (ended, blocked) = (Cell::new(0), Cell::new(0));
    check_runs(10, &plans(0..1, vec![0, 2, 10, 30]), |_, outcome| {
        ended.set(ended.get() + outcome.did.iter().filter(|did| **did == Did::Ended).count());
        blocked.set(blocked.get() + blocks(&outcome.did));
    });
    assert!(ended.get() > 0 && blocked.get() > 0, "{ended:?} streaks ended, {blocked:?} blocks");
}

#[test]
fn lost_answers_never_lengthen_a_streak_or_lose_a_success() {
    let (ended, blocked, failed) = (Cell::new(0), Cell::new(0), Cell::new(0));
    check_runs(14, &plans(5..30, vec![0, 2, 10, 30]), |plan, outcome| {
        if plan.rule.block > Duration::from_secs(1) {
            assert!(blocks(&outcome.did) <= 1, "a block within a block");
        }
        ended.set(ended.get() + outcome.did.iter().filter(|did| **did == Did::Ended).count());
        blocked.set(blocked.get() + blocks(&outcome.did));
        failed.set(failed.get() + outcome.batches.iter().filter(|batch| batch.came.is_none()).count());
    });
    assert!(ended.get() > 0 && blocked.get() > 0, "{ended:?} ended, {blocked:?} blocks, {failed:?} failed");
}

/// The documented rule, for one function alone.
#[derive(Debug, Default)]
struct Told {
    failures: u32,
    blocked_until: i64,
}

impl Told {
    /// Takes a batch's results, in their order, at a time that is not blocked. Failures before the first success count
    /// if they reach the threshold, and those after the last one are the streak.
    fn take(&mut self, results: &[bool], rule: Rule, now_ms: i64) -> Recorded {
        let run = |results: &mut dyn Iterator<Item = &bool>| {
            u32::try_from(results.take_while(|succeeded| !**succeeded).count()).unwrap()
        };
        let (leading, trailing) = (run(&mut results.iter()), run(&mut results.iter().rev()));
        let mut reached = self.failures + leading;
        if results.contains(&true) && reached < rule.threshold {
            reached = trailing;
        }
        if reached < rule.threshold {
            self.failures = reached;
            return Recorded::Yes;
        }
        self.failures = 0;
        self.blocked_until = now_ms + i64::try_from(rule.block.as_millis()).unwrap();
        Recorded::Blocked
    }

    fn is(&self, state: &State, now_ms: i64) -> bool {
        match &state.phase {
            Phase::Blocked { until, .. } => {
                now_ms < self.blocked_until && {
                    // The block begins when it is written, some milliseconds later than the test's own time.
                    (self.blocked_until..self.blocked_until + 5000).contains(&until.as_millisecond())
                }
            }
            Phase::Failing { failures, .. } => now_ms >= self.blocked_until && *failures == self.failures,
            Phase::Open => now_ms >= self.blocked_until && self.failures == 0,
        }
    }
}

#[test]
fn one_function_alone_records_as_the_rule_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let table = StreakTable::new(embedded().client(), STREAKS.to_owned());
    let periods = Cell::new(0);
    let batch = (prop::collection::vec(prop::bool::weighted(0.08), 1..=10), prop::bool::weighted(0.5));
    let inputs = (1..25_u32, prop::collection::vec(batch, 1..20));
    check(60, 100, &inputs, |(threshold, batches)| {
        let blocked = runtime.block_on(follow(&table, threshold, &batches))?;
        periods.set(periods.get() + blocked);
        Ok(())
    });
    assert!(periods.get() > 20, "{periods:?} blocks");
}

/// Records the batches one after the other, each with whether it waits for the end of a block. Answers how many blocks
/// there were.
async fn follow(
    table: &StreakTable,
    threshold: u32,
    batches: &[(Vec<bool>, bool)],
) -> Result<usize, TestCaseError> {
    // Longer than a run takes, so that only the moved clock ends it.
    let rule = Rule { threshold, block: Duration::from_secs(14_400), raises_notices: true };
    let (key, mut told, mut now_ms, mut blocks) = (new_streak(), Told::default(), NOW_MS, 0);
    for (results, waits) in batches {
        now_ms += if *waits { 14_500_000 } else { 10_000 };
        let clock = clock(now_ms, Duration::from_secs(30));
        let before = State::of(table.read(&key).await.unwrap().as_ref(), clock.now());
        prop_assert!(told.is(&before, now_ms), "{:?} is not {:?}", before, told);
        if matches!(before.phase, Phase::Blocked { .. }) {
            continue;
        }
        let texts: Vec<_> = results.iter().map(|succeeded| (!succeeded).then(|| failed("e"))).collect();
        let id = format!("{:032x}", random::bits128().unwrap());
        let (recording, step) =
            Recording::begin(Results::of(&texts).unwrap(), &before, rule, id.clone(), clock.now());
        let recorded = table.record(&key, recording, step, clock).await.unwrap().recorded;
        prop_assert_eq!(recorded, told.take(results, rule, now_ms));
        if recorded == Recorded::Blocked {
            blocks += 1;
            let row = table.read(&key).await.unwrap();
            prop_assert_eq!(State::of(row.as_ref(), clock.now()).epoch, Some(id));
        }
    }
    Ok(blocks)
}
