//! The cost of a tick over many pages: planning, messages, reads and writes of the tables, and their price. Planning
//! runs over a hundred thousand schedules; polling, whose price is each page's alone, over fewer.

#![expect(clippy::print_stdout, reason = "a test says what it measured")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use carteiro_core::id::{AccountId, PageId};
use carteiro_local::{DynamodbCall, Verdict};
use carteiro_networks::network::Network;
use carteiro_tests::{Bundle, dynamodb, sqs};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const SHARDS: u8 = 16;

/// US$, on demand in us-east-1: a million units of reading, of writing, a million calls of SQS, a million invocations,
/// and a GB-second on Arm.
const READ: f64 = 0.125;
const WRITE: f64 = 0.625;
const QUEUE_CALL: f64 = 0.40;
const INVOCATION: f64 = 0.20;
const GB_SECOND: f64 = 0.000_013_333_4;

/// Calls to the table of schedules, by operation.
type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

fn count(bundle: &Bundle, table: &'static str) -> Counts {
    let counts = Counts::default();
    let counted = Arc::clone(&counts);
    bundle.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
        if String::from_utf8_lossy(call.body).contains(&format!("\"{table}\"")) {
            *counted.lock().unwrap().entry(call.operation.to_owned()).or_default() += 1;
        }
        Verdict::default()
    })));
    counts
}

/// A schedule as the collector writes it, of a page that was asked about before.
fn schedule(number: u128, due_ms: u64) -> Value {
    let page = PageId::from_bits(number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
    let account = AccountId::from_bits(number / 50);
    let shard = Sha256::digest(page.as_str())[0] % SHARDS;
    let last = json!({"at": "2026-11-22T12:00:00Z", "result": "ok", "new": 3, "calls": 4}).to_string();
    json!({
        "pk": {"S": format!("plan#{shard:02}")},
        "sk": {"S": page.as_str()},
        "account": {"S": account.as_str()},
        "network": {"S": "facebook"},
        "network_id": {"S": format!("10{number:013}")},
        "token_version": {"N": "1"},
        "next_at": {"N": due_ms.to_string()},
        "began_at": {"N": due_ms.to_string()},
        "planned_at": {"N": due_ms.to_string()},
        "every_minutes": {"N": "15"},
        "last_tick": {"S": last},
    })
}

/// The bytes of a row, as DynamoDB counts them: names and values.
fn row_bytes(row: &Value) -> usize {
    let members = row.as_object().unwrap().iter();
    let bytes = |value: &Value| match (value["S"].as_str(), value["B"].as_str()) {
        (Some(text), _) => text.len(),
        (None, Some(base64)) => base64.len() / 4 * 3,
        // A number, of two digits a byte.
        _ => 8,
    };
    members.map(|(name, value)| name.len() + bytes(value)).sum()
}

async fn seed(bundle: &Bundle, pages: std::ops::Range<u128>) -> usize {
    let due_ms = bundle.stack.clock().now_ms() - 60_000;
    let rows: Vec<Value> = pages.map(|number| schedule(number, due_ms)).collect();
    let bytes = rows.iter().map(row_bytes).sum();
    let calls = stream::iter(rows.chunks(25)).map(|rows| {
        let puts: Vec<Value> = rows.iter().map(|row| json!({"PutRequest": {"Item": row}})).collect();
        async move {
            let request = json!({"RequestItems": {"PollTable": puts}});
            let answer = dynamodb::call(bundle, "BatchWriteItem", &request).await;
            assert_eq!(answer["UnprocessedItems"], json!({}), "all is written");
        }
    });
    calls.buffer_unordered(8).collect::<()>().await;
    bytes
}

/// What planning took.
struct Planning {
    pages: u64,
    shards: Vec<Duration>,
    messages: u64,
    calls: BTreeMap<String, u64>,
    bytes: usize,
}

impl Planning {
    fn read_units(&self) -> u64 {
        // Half a unit for 4 KB, not consistent; a unit for each look, and the counts of all shards.
        u64::try_from(self.bytes).unwrap() / 8192 + 2 * u64::from(SHARDS)
    }

    fn dollars(&self) -> f64 {
        let million = |count: u64, price: f64| count as f64 / 1e6 * price;
        // Messages are sent by ten, and received and deleted one by one.
        let queue = self.messages.div_ceil(10) + 2 * (self.messages + u64::from(SHARDS));
        let seconds: f64 = self.shards.iter().map(Duration::as_secs_f64).sum();
        million(self.read_units(), READ)
            + million(u64::from(SHARDS), WRITE)
            + million(queue, QUEUE_CALL)
            + million(self.messages + u64::from(SHARDS), INVOCATION)
            + seconds * 0.25 * GB_SECOND
    }
}

#[expect(clippy::disallowed_methods, reason = "a duration is measured, no time is read")]
fn begin() -> Instant {
    Instant::now()
}

/// Runs the tick, and the planning of each shard as a function of its own.
async fn plan(bundle: &Bundle, pages: u64, bytes: usize) -> Planning {
    let queue = bundle.stack.queues().describe_queue("PollQueue").await.unwrap();
    assert_eq!(queue.counts.visible, 0);
    let counts = count(bundle, "PollTable");
    let planned = bundle.tick().await;
    assert_eq!(planned["page_shards"], SHARDS, "{planned}");
    let mut shards = Vec::new();
    for shard in 0..SHARDS {
        let now = jiff::Timestamp::from_millisecond(bundle.stack.clock().now_ms().cast_signed()).unwrap();
        let body = json!({"poll": "plan", "shard": shard, "at": now.to_string(), "now": false}).to_string();
        let event = json!({"Records": [{"messageId": shard.to_string(), "body": body}]}).to_string();
        let began = begin();
        let done = bundle.stack.invoke("CollectFunction", Bytes::from(event)).await.unwrap();
        shards.push(began.elapsed());
        assert!(!done.function_error, "{}", String::from_utf8_lossy(&done.payload));
    }
    bundle.stack.intercept_dynamodb(None);
    let queue = bundle.stack.queues().describe_queue("PollQueue").await.unwrap();
    // The tick's own messages, which nobody takes here, are among them.
    let messages = queue.counts.visible as u64 - u64::from(SHARDS);
    let url = sqs::call(bundle, "GetQueueUrl", &json!({"QueueName": "PollQueue"})).await;
    sqs::call(bundle, "PurgeQueue", &json!({"QueueUrl": url["QueueUrl"]})).await;
    // A queue is purged once a minute at most.
    bundle.stack.clock().advance(Duration::from_secs(61));
    let calls = counts.lock().unwrap().clone();
    Planning { pages, shards, messages, calls, bytes }
}

/// The template without the mapping that has messages of pages taken.
fn without_asking(template: &str) -> String {
    let begins = template.find("        Polls:\n          Type: SQS").unwrap();
    let ends = begins + template[begins..].find("\n\n").unwrap();
    format!("{}{}", &template[..begins], &template[ends..])
}

async fn planning_over(sizes: &[u128]) {
    let bundle = Bundle::start_edited([], without_asking).await;
    let (mut seeded, mut bytes, mut plans) = (0, 0, Vec::new());
    for &pages in sizes {
        bytes += seed(&bundle, seeded..pages).await;
        seeded = pages;
        plans.push(plan(&bundle, u64::try_from(pages).unwrap(), bytes).await);
    }
    println!(
        "| pages | planning of a shard, longest | of all | messages | reads (units) | writes | queries | US$ |"
    );
    for plan in &plans {
        let (all, longest) = (plan.shards.iter().sum::<Duration>(), plan.shards.iter().max().unwrap());
        println!(
            "| {} | {longest:.2?} | {all:.2?} | {} | {} | {SHARDS} | {} | {:.4} |",
            plan.pages,
            plan.messages,
            plan.read_units(),
            plan.calls["Query"],
            plan.dollars(),
        );
        // Each page once, 25 together; a shard's last message may have fewer.
        let least = plan.pages.div_ceil(25);
        assert!((least..=least + u64::from(SHARDS)).contains(&plan.messages), "{}", plan.messages);
        assert_eq!(
            plan.calls["PutItem"],
            u64::from(SHARDS),
            "planning writes no page's row: {:?}",
            plan.calls
        );
        // A look for each shard, its schedules a MB at a time, and the counts.
        let pages_of_query = u64::try_from(plan.bytes).unwrap() / 1_000_000 + u64::from(SHARDS);
        let most = 3 * u64::from(SHARDS) + pages_of_query;
        assert!(plan.calls["Query"] <= most, "{:?}", plan.calls);
        assert!(!plan.calls.contains_key("UpdateItem"), "{:?}", plan.calls);
    }
    bundle.stop().await;
}

#[tokio::test]
async fn planning_sends_each_page_once_and_reads_what_there_is_of_it() {
    planning_over(&[500, 2000]).await;
}

/// `cargo test -p carteiro-tests --test end_to_end a_hundred_thousand_pages -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a hundred thousand rows are written first, which takes minutes"]
async fn planning_of_a_hundred_thousand_pages_grows_with_their_number() {
    planning_over(&[1_000, 10_000, 100_000]).await;
}

/// What asking about pages took of the tables.
async fn asked_about(bundle: &Bundle, pages: usize) -> (BTreeMap<String, u64>, usize) {
    let networks = &bundle.networks;
    networks.forget_calls(Network::Facebook);
    let counts = Counts::default();
    let counted = Arc::clone(&counts);
    bundle.advance(Duration::from_secs(900)).await;
    bundle.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
        let body = String::from_utf8_lossy(call.body);
        let tables = ["PollTable", "TokenTable", "ConfigTable", "InboxTable"];
        for table in tables.into_iter().filter(|table| body.contains(&format!("\"{table}\""))) {
            *counted.lock().unwrap().entry(format!("{} {table}", call.operation)).or_default() += 1;
        }
        Verdict::default()
    })));
    bundle.tick().await;
    bundle.until_rest().await;
    bundle.stack.intercept_dynamodb(None);
    let calls = networks.calls(Network::Facebook).len();
    let counts = counts.lock().unwrap().clone();
    assert!(calls >= 4 * pages, "{calls} calls for {pages} pages: {:?}", bundle.complaints());
    (counts, calls)
}

/// What a page of which nothing is new may cost in a month of ticks of a quarter of an hour, in US$.
const QUIET_MONTH: f64 = 0.006;

/// What it costs by the calls that a poll makes, where a network answers in a quarter of a second.
fn quiet_month(network_calls: f64, inbox_queries: f64) -> f64 {
    let (polls, together) = (2880.0, 25.0);
    // A unit for a row that is read consistently, the token's and the page's; half a unit for the others: the schedule,
    // the checkpoint of an older version, two cooldowns, and queries that find nothing. And what planning reads.
    let read_units = 2.0 + 4.0 * 0.5 + inbox_queries * 0.5 + 0.1;
    // The pages of a message wait for their networks together. Half a second is what the processor takes for them,
    // with the part of one that the function's memory brings.
    let paid_seconds = (network_calls * 0.25 + 0.5) / together;
    let dollars = WRITE / 1e6
        + read_units * READ / 1e6
        + (3.0 * QUEUE_CALL + INVOCATION) / 1e6 / together
        + paid_seconds * 0.5 * GB_SECOND;
    polls * dollars
}

async fn schedules(bundle: &Bundle) -> Vec<Value> {
    let mut rows = Vec::new();
    for shard in 0..SHARDS {
        let query = json!({
            "TableName": "PollTable",
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": format!("plan#{shard:02}")}},
        });
        let answer = dynamodb::call(bundle, "Query", &query).await;
        rows.extend(answer["Items"].as_array().unwrap().iter().cloned());
    }
    rows
}

async fn asking_about(sizes: &[usize]) {
    let bundle = Bundle::start_with([("PollConcurrency", "4")]).await;
    let (mut account, mut connected) = (bundle.account().await, 0);
    println!("| pages | calls of the network | calls of the tables, a page |");
    for &pages in sizes {
        for number in connected..pages {
            if number % 500 == 499 {
                account = bundle.account().await;
            }
            bundle.facebook_page(&account, number).await;
        }
        connected = pages;
        // The first time asks whose each token is.
        asked_about(&bundle, pages).await;
        let (counts, calls) = asked_about(&bundle, pages).await;
        let each = |call: &str| counts.get(call).copied().unwrap_or_default() as f64 / pages as f64;
        println!("| {pages} | {calls} | {counts:?} |");
        // One write for what came of it, the checkpoint included; and what is read before.
        for (call, most) in [
            ("UpdateItem PollTable", 1.0),
            ("PutItem PollTable", 0.0),
            ("GetItem PollTable", 1.0),
            ("BatchGetItem PollTable", 1.0),
            ("GetItem TokenTable", 1.0),
            ("GetItem ConfigTable", 1.0),
        ] {
            // Plans put a row for each shard; a busy machine's client repeats a call now and then.
            let slack = f64::from(SHARDS) / pages as f64 + 0.1;
            assert!(each(call) <= most + slack, "{call}: {} a page, {counts:?}", each(call));
        }
        let largest = schedules(&bundle).await.iter().map(row_bytes).max().unwrap();
        assert!(largest <= 1024, "a row of {largest} bytes is more than one unit");
        let dollars = quiet_month(calls as f64 / pages as f64, each("Query InboxTable"));
        println!("largest row {largest} bytes; {dollars:.4} US$ for a page and month of quiet ticks");
        assert!(dollars <= QUIET_MONTH, "{dollars}");
    }
    bundle.stop().await;
}

#[tokio::test]
async fn polling_a_page_without_news_writes_one_row_of_one_unit() {
    asking_about(&[20, 60]).await;
}

/// `cargo test -p carteiro-tests --test end_to_end many_pages_grows -- --ignored --nocapture`
#[tokio::test]
#[ignore = "takes minutes"]
async fn asking_about_many_pages_grows_with_their_number() {
    asking_about(&[250, 1000, 2000]).await;
}
