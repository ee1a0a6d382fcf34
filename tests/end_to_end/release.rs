//! Releases of many items: none lost, none doubled, in steps, at a pace that is told, and nobody else's business.
//!
//! The steps are seen at the receiver: what arrives is cut into the steps that the core says, and compared with the
//! order in which the API listed the items while they were held.

#![expect(clippy::print_stdout, reason = "time and pace are told")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carteiro_clock::Clock;
use carteiro_core::release::{FIRST_STEP, MAX_STEP, grown};
use carteiro_local::{DynamodbCall, SqsCall, Verdict};
use carteiro_receiver::{Answer, Behaviour, Delivery, Limits, Options, Receiver};
use carteiro_tests::client::Client;
use carteiro_tests::tools::seed;
use carteiro_tests::{Account, Bundle, SOON, Webhook, comes_true, machine_clock, program};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::killed::{account, start};

/// How many items the release has that runs with every change.
const SOME: usize = 2500;

/// How many the one has that runs on command.
const MANY: usize = 100_000;

/// How many lines are sent in a request: these are answered in time on a busy machine.
const BULK: usize = 1000;

/// How many failures block the webhook of these tests.
const THRESHOLD: u32 = 50;

/// How long the receiver takes for each answer, in milliseconds.
pub(crate) const ANSWER_AFTER_MS: u64 = 20;

/// How often an item is sent to the other webhook.
const STREAM_EVERY: Duration = Duration::from_millis(50);

/// How many items of the other webhook are measured before the release.
const BEFORE: u64 = 150;

/// A receiver that keeps what these tests send.
async fn roomy_receiver(clock: Clock) -> Receiver {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits = Limits { kept: 2 * MANY, ..Limits::default() };
    Receiver::start(listener, Options { clock, limits }).unwrap()
}

/// Sends events, all of which must be taken.
async fn send_events(client: &Client, account: &Account, numbers: Range<usize>) {
    let authorization = format!("Bearer {}", account.key);
    let headers = [("authorization", authorization.as_str())];
    let numbers: Vec<usize> = numbers.collect();
    for lines in numbers.chunks(BULK) {
        let line =
            |n: &usize| format!("{}\n", json!({"type": "event", "item": {"n": n, "category": "menu"}}));
        let body: String = lines.iter().map(line).collect();
        let reply = client.request(Method::POST, "/bots/b/items", &headers, body).await.with_status(202);
        let taken =
            reply.json()["results"].as_array().unwrap().iter().filter(|one| one["id"].is_string()).count();
        assert_eq!(taken, lines.len());
    }
}

/// The status of the events of a webhook. On a busy machine counting may take longer than an answer may.
async fn status(client: &Client, account: &Account, webhook: &Webhook) -> Value {
    let mut reply = client.get(&format!("/webhooks/{}", webhook.id), &account.key).await;
    for _ in 0..10 {
        if reply.status == 200 {
            return reply.json()["status"]["event"].clone();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        reply = client.get(&format!("/webhooks/{}", webhook.id), &account.key).await;
    }
    panic!("{}: {}", reply.status, reply.text());
}

async fn until_blocked(client: &Client, account: &Account, webhook: &Webhook) {
    let came = comes_true(async || status(client, account, webhook).await["state"] == "blocked").await;
    assert!(came, "the webhook was not blocked");
}

/// The ids of all that is held for a webhook, in the order of acceptance.
async fn held(client: &Client, account: &Account, webhook: &Webhook) -> Vec<String> {
    let rows = client.all(&format!("/webhooks/{}/held?limit=200", webhook.id), &account.key).await;
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Waits until everything that was sent to a blocked webhook is held.
async fn until_held(client: &Client, account: &Account, webhook: &Webhook, count: usize) -> Vec<String> {
    let mut found = 0;
    for _ in 0..300 {
        // The status counts to a thousand. Listing more takes a while, and there is no hurry where much is missing.
        let shown = status(client, account, webhook).await;
        if shown["held"].as_u64().unwrap() >= count.min(1000) as u64 {
            let ids = held(client, account, webhook).await;
            if ids.len() == count {
                return ids;
            }
            found = ids.len();
        }
        tokio::time::sleep(Duration::from_secs(1 + count.abs_diff(found) as u64 / 1000)).await;
    }
    panic!("{found} of {count} items are held");
}

/// A webhook that fails until it is blocked, and the ids of the items that are held for it.
async fn blocked_webhook(
    client: &Client,
    account: &Account,
    receiver: &Receiver,
    path: &str,
    items: usize,
) -> (Webhook, Vec<String>) {
    let settings = json!({"url": receiver.url(path), "items": ["event"], "threshold": THRESHOLD});
    let webhook = client.webhook(account, settings).await;
    receiver.set_behaviour(path, Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
    let failing = THRESHOLD as usize;
    send_events(client, account, 0..failing).await;
    until_blocked(client, account, &webhook).await;
    send_events(client, account, failing..items).await;
    let order = until_held(client, account, &webhook, items).await;
    (webhook, order)
}

/// Calls by what they do.
type Calls = Arc<Mutex<BTreeMap<String, u64>>>;

fn count_calls(bundle: &Bundle) -> Calls {
    let calls = Calls::default();
    let counted = Arc::clone(&calls);
    bundle.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
        let body = String::from_utf8_lossy(call.body);
        let tables = ["ConfigTable", "StreakTable", "HeldTable"];
        let table = tables.into_iter().find(|table| body.contains(&format!("\"{table}\""))).unwrap_or("-");
        *counted.lock().unwrap().entry(format!("{} {table}", call.operation)).or_default() += 1;
        Verdict::default()
    })));
    let counted = Arc::clone(&calls);
    bundle.stack.intercept_sqs(Some(Arc::new(move |call: SqsCall<'_>| {
        let queue = call.queue.unwrap_or("-");
        *counted.lock().unwrap().entry(format!("{} {queue}", call.action)).or_default() += 1;
        Verdict::default()
    })));
    calls
}

/// The places of the steps of a number of items, none of which fails.
fn steps(items: usize) -> Vec<Range<usize>> {
    let (mut steps, mut size, mut begin) = (Vec::new(), FIRST_STEP, 0);
    while begin < items {
        let end = (begin + size as usize).min(items);
        steps.push(begin..end);
        (begin, size) = (end, grown(size));
    }
    steps
}

/// What a path answered with 200, in the order of arrival.
pub(crate) fn taken(receiver: &Receiver, path: &str) -> Vec<Arc<Delivery>> {
    receiver.deliveries_to(path).into_iter().filter(|one| one.answered == Some(200)).collect()
}

/// Asserts that everything arrived once, and step by step in the order of acceptance: nothing of a step before
/// everything of the step before it was answered. Answers how long it took from the first to the last.
pub(crate) fn assert_released_in_steps(arrived: &[Arc<Delivery>], order: &[String]) -> Duration {
    let ids: HashSet<&str> = arrived.iter().filter_map(|one| one.webhook_id()).collect();
    let lost = order.iter().filter(|id| !ids.contains(id.as_str())).count();
    let doubled = arrived.len() - ids.len();
    assert_eq!((lost, doubled, ids.len()), (0, 0, order.len()), "lost, doubled, all");
    let mut answered_ms = 0;
    for (number, step) in steps(order.len()).into_iter().enumerate() {
        let expected: HashSet<&str> = order[step.clone()].iter().map(String::as_str).collect();
        let came: HashSet<&str> = arrived[step.clone()].iter().filter_map(|one| one.webhook_id()).collect();
        assert!(expected == came, "step {number} ({step:?}) is not what is next by order of acceptance");
        let times = || arrived[step.clone()].iter().map(|one| one.received_at_ms);
        let (first, last) = (times().min().unwrap(), times().max().unwrap());
        assert!(first >= answered_ms, "step {number} begins {first}, the one before it ends {answered_ms}");
        // Both are told in whole milliseconds.
        answered_ms = last + ANSWER_AFTER_MS - 1;
    }
    let times = || arrived.iter().map(|one| one.received_at_ms);
    Duration::from_millis(times().max().unwrap() - times().min().unwrap())
}

/// A steady stream of items of another type to another webhook. Ends when it is told to; answers when each was sent.
async fn stream(client: Client, key: String, clock: Clock, go_on: Arc<AtomicBool>) -> HashMap<String, u64> {
    let mut sent = HashMap::new();
    let mut beat = tokio::time::interval(STREAM_EVERY);
    while go_on.load(Ordering::Relaxed) {
        beat.tick().await;
        let now = clock.now_ms();
        let reply = client.post("/bots/steady/messages", &key, r#"{"text":"olá"}"#).await.with_status(202);
        sent.insert(reply.json()["id"].as_str().unwrap().to_owned(), now);
    }
    sent
}

/// How long items of the stream took, in milliseconds.
#[derive(Debug)]
struct Latency {
    items: usize,
    median: u64,
    p99: u64,
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "median {}, 99th percentile {}, of {} items", self.median, self.p99, self.items)
    }
}

/// How long the stream's items took that were sent in a span of time.
fn latency(receiver: &Receiver, sent: &HashMap<String, u64>, span: Range<u64>) -> Latency {
    let arrived = receiver.deliveries_to("/steady");
    let mut took: Vec<u64> = arrived
        .iter()
        .filter_map(|one| Some((one.received_at_ms, *sent.get(one.webhook_id()?)?)))
        .filter(|(_, sent)| span.contains(sent))
        .map(|(arrived, sent)| arrived.saturating_sub(sent))
        .collect();
    took.sort_unstable();
    assert!(!took.is_empty());
    Latency { items: took.len(), median: took[took.len() / 2], p99: took[took.len() * 99 / 100] }
}

/// Releases the held items of one webhook while another one gets a steady stream.
async fn release_beside_a_stream(items: usize) {
    let bundle = Bundle::start().await;
    let clock = bundle.stack.clock().clone();
    let receiver = roomy_receiver(clock.clone()).await;
    let account = bundle.account().await;
    let client = &bundle.client;
    let preparing = clock.now_ms();
    let (webhook, order) = blocked_webhook(client, &account, &receiver, "/held", items).await;
    println!(
        "{items} items of one webhook were accepted, held and listed in {} ms",
        clock.now_ms() - preparing
    );

    client.webhook(&account, json!({"url": receiver.url("/steady"), "items": ["message"]})).await;
    let go_on = Arc::new(AtomicBool::new(true));
    let streaming =
        tokio::spawn(stream(client.clone(), account.key.clone(), clock.clone(), Arc::clone(&go_on)));
    receiver.wait_for_count("/steady", 10, SOON).await.unwrap();
    let steady = clock.now_ms();
    // Enough of them to know their pace without a release.
    receiver.wait_for_count("/steady", 10 + BEFORE, SOON).await.unwrap();

    let ok = Answer::status(StatusCode::OK);
    let late = Answer::Delay { by: Duration::from_millis(ANSWER_AFTER_MS), then: Box::new(ok) };
    receiver.set_behaviour("/held", late);
    let refused = receiver.count("/held");
    let calls = count_calls(&bundle);
    let began = clock.now_ms();
    client.post(&format!("/webhooks/{}/unblock", webhook.id), &account.key, "").await.with_status(200);
    let patience = SOON + Duration::from_millis(20 * items as u64);
    let waited =
        receiver.wait_for_count("/held", refused + items as u64, patience).await.map(|all| all.len());
    let ended = clock.now_ms();
    go_on.store(false, Ordering::Relaxed);
    let sent = streaming.await.unwrap();
    waited.unwrap_or_else(|error| panic!("{error}: {:#?}", bundle.logs.of("CollectFunction")));
    let calls = calls.lock().unwrap().clone();
    assert!(until_held(client, &account, &webhook, 0).await.is_empty());

    let took = assert_released_in_steps(&taken(&receiver, "/held"), &order);
    let pace = items as f64 / took.as_secs_f64();
    println!(
        "released in {} steps: none lost, none doubled; {:.1} s after the first arrival, {:.1} s after the unblock: \
         {pace:.0} items/s",
        steps(items).len(),
        took.as_secs_f64(),
        Duration::from_millis(ended - began).as_secs_f64(),
    );
    println!("calls for each item, those of {} items of the other webhook included:", sent.len());
    for (call, count) in calls {
        println!("  {:.4}  {call}", count as f64 / items as f64);
    }
    let before = latency(&receiver, &sent, steady..began);
    let during = latency(&receiver, &sent, began..ended);
    println!("the other webhook, ms from sending to arrival: before: {before}; during: {during}");
    let arrived = receiver.counts_by_webhook_id("/steady");
    assert!(sent.keys().all(|id| arrived.contains_key(id)), "the other webhook got all of its items");
    // What it may wait for is a step, not the release: a step takes a few seconds on a busy machine.
    assert!(during.median <= 20 * before.median.max(100), "{during:?} against {before:?}");
    receiver.stop().await;
    bundle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_held_items_are_released_and_delay_no_other() {
    release_beside_a_stream(SOME).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "on command: it takes minutes"]
async fn a_hundred_thousand_held_items_are_released_without_delays() {
    release_beside_a_stream(MANY).await;
}

/// How many requests the webhook's path has had when nothing is under way any more.
async fn settled(bundle: &Bundle, receiver: &Receiver) -> u64 {
    bundle.until_rest().await;
    receiver.count("/held")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_url_costs_one_first_step_a_tick_and_no_retries() {
    const ITEMS: usize = 400;
    const TICKS: u64 = 4;
    let bundle = Bundle::start().await;
    let receiver = roomy_receiver(bundle.stack.clock().clone()).await;
    let account = bundle.account().await;
    let client = &bundle.client;
    let (webhook, order) = blocked_webhook(client, &account, &receiver, "/held", ITEMS).await;
    let shown = client.get(&format!("/webhooks/{}/held?limit=100", webhook.id), &account.key).await.json();
    let attempts: HashMap<String, u64> = shown["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["id"].as_str().unwrap().to_owned(), row["attempt"].as_u64().unwrap()))
        .collect();

    let mut requested = settled(&bundle, &receiver).await;
    bundle.advance(Duration::from_secs(4 * 3600)).await;
    for tick in 1..=TICKS {
        bundle.tick().await;
        let now = settled(&bundle, &receiver).await;
        println!("tick {tick}: {} requests", now - requested);
        assert!(
            (1..=u64::from(FIRST_STEP)).contains(&(now - requested)),
            "tick {tick}: {} requests",
            now - requested
        );
        requested = now;
        let last = receiver.deliveries_to("/held").pop().unwrap();
        let (id, attempt) = (last.webhook_id().unwrap(), last.attempt().unwrap());
        assert_eq!(attempts.get(id), Some(&u64::from(attempt)), "{id} is at its attempt of the time before");
        bundle.advance(Duration::from_secs(15 * 60 + 1)).await;
    }
    assert_eq!(held(client, &account, &webhook).await, order, "in their places");
    receiver.set_behaviour("/held", Behaviour::default());
    bundle.tick().await;
    receiver.wait_for_count("/held", requested + ITEMS as u64, SOON).await.unwrap();
    assert!(until_held(client, &account, &webhook, 0).await.is_empty());
    assert_released_in_steps(&taken(&receiver, "/held"), &order);
    receiver.stop().await;
    bundle.stop().await;
}

/// A source of numbers that a seed determines (splitmix64).
struct Dice(u64);

impl Dice {
    fn within(&mut self, range: Range<u64>) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        range.start + (mixed ^ (mixed >> 31)) % (range.end - range.start)
    }
}

/// Kills the whole stack in the middle of a release, again and again, and starts it again. Nothing else helps it on.
async fn release_through_kills(items: usize, kills: usize) {
    let mut dice = Dice(seed());
    let binary = program().await;
    let data = tempfile::tempdir().unwrap();
    let customer = roomy_receiver(machine_clock()).await;
    let mut stack = start(&binary, data.path());
    let account = account(&stack).await;
    let client = Client::new(&stack.api);
    let (webhook, order) = blocked_webhook(&client, &account, &customer, "/held", items).await;
    customer.set_behaviour("/held", Behaviour::default());
    let refused = customer.count("/held");
    client.post(&format!("/webhooks/{}/unblock", webhook.id), &account.key, "").await.with_status(200);

    let mut moments: Vec<u64> = (0..kills).map(|_| dice.within(1..items as u64 * 9 / 10)).collect();
    moments.sort_unstable();
    for moment in moments {
        until_taken(&customer, refused + moment).await;
        let pause = dice.within(0..400);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        stack.kill();
        println!("killed {pause} ms after {moment} arrivals, at {}", customer.count("/held") - refused);
        stack = start(&binary, data.path());
    }
    let ids = || -> HashSet<String> {
        taken(&customer, "/held").iter().filter_map(|one| one.webhook_id().map(str::to_owned)).collect()
    };
    for _ in 0..240 {
        if ids().len() >= items {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let client = Client::new(&stack.api);
    assert!(until_held(&client, &account, &webhook, 0).await.is_empty());
    let arrived = ids();
    let lost = order.iter().filter(|id| !arrived.contains(*id)).count();
    let doubled = taken(&customer, "/held").len() - arrived.len();
    println!("{items} items, {kills} kills: {lost} lost, {doubled} doubled");
    assert_eq!((lost, arrived.len()), (0, items), "lost, and all");
    // At each kill: a step of which no row was deleted yet, and the attempts under way.
    assert!(doubled <= kills * (MAX_STEP as usize + 200), "{doubled} doubled");
    customer.stop().await;
}

async fn until_taken(receiver: &Receiver, count: u64) {
    for _ in 0..24_000 {
        if receiver.count("/held") >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the release did not go on after {} requests", receiver.count("/held"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_in_the_middle_of_a_release_loses_nothing() {
    release_through_kills(1500, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "on command: it takes minutes"]
async fn sigkill_again_and_again_in_a_long_release_loses_nothing() {
    // The queue gives a work message up at its sixth receive.
    release_through_kills(10_000, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_hastened_while_its_step_fails_restarts_at_once() {
    const ITEMS: usize = 60;
    let (bundle, account) = Bundle::with_account([("AttemptSeconds", "8")]).await;
    let client = &bundle.client;
    let (webhook, order) = blocked_webhook(client, &account, &bundle.receiver, "/held", ITEMS).await;
    let unblock = async || {
        let path = format!("/webhooks/{}/unblock", webhook.id);
        assert_eq!(client.post(&path, &account.key, "").await.status, 200);
    };
    bundle.receiver.set_behaviour("/held", Answer::hang());
    let refused = bundle.receiver.count("/held");
    unblock().await;
    bundle.receiver.wait_for_count("/held", refused + u64::from(FIRST_STEP), SOON).await.unwrap();
    // The first step will fail at its deadline. Its owner has mended the URL, and asks once more; no tick comes.
    bundle.receiver.set_behaviour("/held", Behaviour::default());
    unblock().await;
    comes_true(async || taken(&bundle.receiver, "/held").len() >= ITEMS).await;
    assert_released_in_steps(&taken(&bundle.receiver, "/held"), &order);
    bundle.stop().await;
}
