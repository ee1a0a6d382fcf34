//! The loop: take a sample, change it, check the target, keep what was new.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::mutate::{Random, mutated};

/// The largest input, in bytes.
const MAX_INPUT_BYTES: usize = 16 * 1024;

/// The most samples that are kept.
const MAX_SAMPLES: usize = 2000;

/// How long one input may take. Real ones take microseconds; a long run at low priority may wait for the processor.
const MAX_INPUT_SECONDS: u64 = 120;

/// How much of an input is shown.
const SHOWN_BYTES: usize = 2000;

/// How long a target's share of an ordinary run may take.
const ORDINARY_SECONDS: u64 = 2;

/// What is fuzzed.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Panics where a promise is broken; else tells how the input was taken, in a few words.
    pub(crate) check: fn(&[u8]) -> String,
    pub(crate) samples: &'static [&'static str],
    /// How many inputs an ordinary run tries.
    pub(crate) executions: u64,
}

/// Runs a target on its samples and on what becomes of them.
pub(crate) fn run(target: &Target) {
    let (seed, long) = plan();
    let limit = long.unwrap_or(Duration::from_secs(ORDINARY_SECONDS));
    let most = if long.is_some() { u64::MAX } else { target.executions };
    println!("{}: CARTEIRO_FUZZ_SEED={seed}", target.name);
    let mut samples: Vec<Vec<u8>> = target.samples.iter().map(|sample| sample.as_bytes().to_vec()).collect();
    samples.extend(given_samples());
    let mut seen = BTreeSet::new();
    for sample in &samples {
        seen.insert(checked(target, sample));
    }
    let mut random = Random::new(seed);
    let (begun, mut executions) = (now(), samples.len() as u64);
    while executions < most && now().duration_since(begun) < limit {
        let input = mutated(&samples, &mut random, MAX_INPUT_BYTES);
        executions += 1;
        if seen.insert(checked(target, &input)) && samples.len() < MAX_SAMPLES {
            samples.push(input);
        }
    }
    println!(
        "{}: {executions} executions, {} behaviours, {} samples",
        target.name,
        seen.len(),
        samples.len()
    );
    assert!(seen.len() > 1, "{} takes everything alike: its samples do not reach it", target.name);
}

/// How the target takes an input, as a number. A failing input is made smaller and printed.
fn checked(target: &Target, input: &[u8]) -> u64 {
    let begun = now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.check)(input)));
    let Ok(behaviour) = outcome else {
        let least = smaller(target.check, input);
        panic!("{} fails on {} bytes: {:?}", target.name, least.len(), shown(&least));
    };
    let took = now().duration_since(begun).as_secs();
    assert!(took < MAX_INPUT_SECONDS, "{} took {took} s: {:?}", target.name, shown(input));
    let mut hasher = DefaultHasher::new();
    behaviour.hash(&mut hasher);
    hasher.finish()
}

fn shown(input: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(input.get(..SHOWN_BYTES).unwrap_or(input))
}

/// The input with as many parts taken out as leave it failing.
fn smaller(check: fn(&[u8]) -> String, input: &[u8]) -> Vec<u8> {
    let mut least = input.to_vec();
    // Every smaller input that still fails would tell of it.
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let mut part = least.len() / 2;
    while part > 0 {
        let mut at = 0;
        while at + part <= least.len() {
            let mut without = least.clone();
            without.drain(at..at + part);
            if catch_unwind(AssertUnwindSafe(|| check(&without))).is_err() {
                least = without;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    set_hook(hook);
    least
}

#[expect(clippy::disallowed_methods, reason = "how long inputs take is measured; no rule depends on it")]
fn now() -> Instant {
    Instant::now()
}

/// The seed, and how long a long run is.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's own settings, and a seed that differs from run to run"
)]
fn plan() -> (u64, Option<Duration>) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let long = number("CARTEIRO_FUZZ_SECONDS").map(Duration::from_secs);
    let drawn = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |now| now.as_secs());
    let seed = number("CARTEIRO_FUZZ_SEED").unwrap_or_else(|| if long.is_some() { drawn() } else { 1 });
    (seed, long)
}

/// The files of the directory that `CARTEIRO_SAMPLES` names, two levels deep.
#[expect(clippy::disallowed_methods, reason = "a test's own settings")]
fn given_samples() -> Vec<Vec<u8>> {
    let Some(root) = std::env::var_os("CARTEIRO_SAMPLES") else { return Vec::new() };
    let entries =
        |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries(Path::new(&root))
        .flat_map(|path| {
            let inside: Vec<_> = entries(&path).collect();
            inside.into_iter().chain([path])
        })
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let read = files.into_iter().filter_map(|path| std::fs::read(path).ok());
    read.filter(|bytes| bytes.len() <= MAX_INPUT_BYTES).collect()
}
