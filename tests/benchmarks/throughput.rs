//! Throughput and latency from push to receiver, with optimised functions and the local stack's own mappings: with more
//! or fewer webhooks, and with more or fewer held items of another account.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use carteiro_clock::testing;
use carteiro_receiver::Behaviour;
use carteiro_tests::{Account, Bundle, comes_true, optimised, workspace};
use http::StatusCode;
use serde_json::json;

use crate::batches::{item, send_in_bulk};

/// The webhooks of an account, each at a path of its own.
const WEBHOOKS: usize = 50;
/// Deliveries of a round, at least.
const DELIVERIES: usize = 10_000;
/// Items that are sent one after the other, of which latency is told.
const ALONE: usize = 200;
const BULK: usize = 1000;

/// A size that the environment sets.
#[expect(clippy::disallowed_methods, reason = "a benchmark is told its sizes by its environment")]
fn sizes(variable: &str, otherwise: &[usize]) -> Vec<usize> {
    let Ok(set) = std::env::var(variable) else { return otherwise.to_vec() };
    set.split(',').map(|size| size.trim().parse().expect("a number")).collect()
}

#[expect(clippy::disallowed_methods, reason = "a duration is measured, no time is read")]
fn begin() -> Instant {
    Instant::now()
}

/// Accounts with this number of webhooks in all, past the receiver's secrets: it would try each of them.
async fn accounts(bundle: &Bundle, webhooks: usize) -> Vec<Account> {
    let mut accounts = Vec::new();
    for first in (0..webhooks).step_by(WEBHOOKS) {
        let account = bundle.account().await;
        for n in first..webhooks.min(first + WEBHOOKS) {
            let settings = json!({"url": bundle.receiver.url(&format!("/w/{n}")), "items": ["event"]});
            bundle.client.webhook(&account, settings).await;
        }
        accounts.push(account);
    }
    accounts
}

/// Another account's items, held because its webhook is blocked.
async fn hold(bundle: &Bundle, items: usize) {
    let account = bundle.account().await;
    bundle.receiver.set_behaviour("/held", Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
    let settings = json!({"url": bundle.receiver.url("/held"), "items": ["event"], "threshold": 1});
    bundle.client.webhook(&account, settings).await;
    send_in_bulk(bundle, &account, 0..1).await;
    bundle.receiver.wait_for_count("/held", 1, Duration::from_secs(60)).await.unwrap();
    bundle.advance(Duration::from_secs(10)).await;
    for begin in (0..items).step_by(BULK) {
        send_in_bulk(bundle, &account, begin..items.min(begin + BULK)).await;
    }
    // A million of them take longer than what a test should do at once.
    while !bundle.rest(Duration::from_secs(600)).await {}
}

/// What arrived at paths of webhooks since the receiver was cleared.
fn arrived(bundle: &Bundle) -> u64 {
    bundle.receiver.totals().received
}

/// Deliveries a second, from the first request to the last arrival.
async fn saturated(bundle: &Bundle, accounts: &[Account], webhooks: usize) -> f64 {
    bundle.receiver.clear();
    let items = DELIVERIES.div_ceil(webhooks);
    let began = begin();
    for begin in (0..items).step_by(BULK) {
        for account in accounts {
            send_in_bulk(bundle, account, begin..items.min(begin + BULK)).await;
        }
    }
    let expected = items * webhooks;
    comes_true(async || arrived(bundle) >= expected as u64).await;
    let took = began.elapsed();
    assert_eq!(arrived(bundle), expected as u64, "{:?}", bundle.complaints());
    f64::from(u32::try_from(expected).unwrap()) / took.as_secs_f64()
}

/// Milliseconds from sending to the first arrival, of items that are sent one after the other.
async fn latencies(bundle: &Bundle, accounts: &[Account]) -> Vec<u64> {
    bundle.receiver.clear();
    let mut sent = HashMap::new();
    for n in 0..ALONE {
        let now_ms = bundle.stack.clock().now_ms();
        let id = bundle.send(&accounts[n % accounts.len()], "/bots/b/events", item(n)).await;
        sent.insert(id, now_ms);
    }
    bundle.until_rest().await;
    let mut first: HashMap<&str, u64> = HashMap::new();
    let deliveries = bundle.receiver.deliveries();
    for delivery in &deliveries {
        let id = delivery.webhook_id().expect("an id");
        let at = first.entry(id).or_insert(delivery.received_at_ms);
        *at = delivery.received_at_ms.min(*at);
    }
    let mut latencies: Vec<u64> =
        first.into_iter().filter_map(|(id, at)| Some(at.saturating_sub(*sent.get(id)?))).collect();
    assert_eq!(latencies.len(), ALONE);
    latencies.sort_unstable();
    latencies
}

/// `cargo test -p carteiro-tests --test benchmarks throughput -- --ignored --nocapture`, with
/// `CARTEIRO_BENCH_WEBHOOKS=10,1000,100000` and `CARTEIRO_BENCH_HELD=0,10000,1000000` for other sizes.
#[tokio::test]
#[ignore = "builds the functions optimised, which takes minutes"]
async fn throughput_by_webhooks_and_held_items() {
    let binaries = optimised().await;
    let webhooks = sizes("CARTEIRO_BENCH_WEBHOOKS", &[10, 1000]);
    let held = sizes("CARTEIRO_BENCH_HELD", &[0, 10_000]);
    println!(
        "| webhooks | held | deliveries a second | times the first | ms: median, 95th, 99th percentile |\n|---|---|---|---|---|"
    );
    let mut first = None;
    let none_held = webhooks.iter().map(|webhooks| (*webhooks, 0));
    let held = held.iter().filter(|held| **held > 0).map(|held| (webhooks[0], *held));
    for (webhooks, held) in none_held.chain(held) {
        let template = workspace().join("template.yaml");
        let clock = testing::clock_at("2026-11-24T10:07:00Z");
        let bundle = Bundle::start_built(binaries.clone(), template, clock, []).await;
        let accounts = accounts(&bundle, webhooks).await;
        hold(&bundle, held).await;
        saturated(&bundle, &accounts, webhooks).await;
        let rate = saturated(&bundle, &accounts, webhooks).await;
        let of = latencies(&bundle, &accounts).await;
        let at = |percent: usize| of[(of.len() * percent / 100).min(of.len() - 1)];
        let ratio = rate / *first.get_or_insert(rate);
        println!("| {webhooks} | {held} | {rate:.0} | {ratio:.2} | {}, {}, {} |", at(50), at(95), at(99));
        bundle.halt().await;
    }
}
