//! The tables' adapters against the embedded DynamoDB: streaks and blocks, held items and their release, the inbox,
//! pages, their tokens and their schedules, replays and attempt logs, alerts, what is found by an item or is unhealthy,
//! and sign-in links and sessions. The writes of streaks and of held rows are also made on a second DynamoDB, an
//! independent implementation
//! ([`second_dynamodb`]), and what the queues' adapters rely on is asked of a second SQS ([`second_sqs`]).
//!
//! Property tests print their seed; put it in [`seed`] to repeat the run.
#![cfg(test)]

mod alerts;
mod database;
mod freshness;
mod held;
mod held_contract;
mod held_faults;
mod history;
mod inbox;
mod lookups;
mod moto;
mod pages;
mod polls;
mod proxy;
mod replays;
mod second_dynamodb;
mod second_sqs;
mod sessions;
mod slow;
mod streak_concurrency;
mod streak_contract;
mod streak_faults;
mod support;

use carteiro_adapters::runtime::random;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

/// The seed of this run.
fn seed() -> u64 {
    random::bits64().unwrap()
}

/// Runs a property, without a file of past failures: a failure names its seed and its input.
fn check<S: Strategy>(
    cases: u32,
    max_shrink_iters: u32,
    inputs: &S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let seed = seed();
    println!("seed {seed}, {cases} cases");
    let config = Config {
        cases,
        max_shrink_iters,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    if let Err(error) = TestRunner::new(config).run(inputs, property) {
        panic!("seed {seed}: {error}");
    }
}
