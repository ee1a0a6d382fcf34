//! Calls an item, a page and a tick, counted at the tables and queues of the local stack.

use std::collections::BTreeMap;
use std::time::Duration;

use carteiro_local::Metered;
use carteiro_networks::network::Network;
use carteiro_tests::{Account, Bundle, Patience, comes_true, functions, workspace};
use serde_json::{Value, json};

use crate::batches::{self, Polled};
use crate::cost::{self, Counted};

/// Where the counts are recorded from which the cost sheet is computed.
const RECORDED: &str = "tests/fixtures/counted_calls.json";

/// What CloudWatch adds to each line.
const LINE_BYTES: u64 = 26;

const BULK: usize = 500;
const SINGLE: usize = 40;
const PAGES: [usize; 2] = [32, 64];

/// Counts what happens between two moments.
struct Counter<'a> {
    bundle: &'a Bundle,
    function: &'static str,
    invocations: u64,
    lines: usize,
}

impl<'a> Counter<'a> {
    fn start(bundle: &'a Bundle, function: &'static str) -> Self {
        let counter = Self { bundle, function, invocations: 0, lines: bundle.logs.of(function).len() };
        let counter = Self { invocations: counter.invocations_so_far(), ..counter };
        bundle.stack.start_meter();
        counter
    }

    fn invocations_so_far(&self) -> u64 {
        self.bundle.stack.usage().functions.get(self.function).map_or(0, |usage| usage.invocations)
    }

    /// What was counted, for `of` things. Each invocation has written `lines` lines, which come through a pipe.
    async fn stop(self, of: u64, lines: u64) -> Counted {
        let calls = self.bundle.stack.stop_meter();
        let invocations = self.invocations_so_far() - self.invocations;
        comes_true(async || {
            self.bundle.logs.of(self.function).len() as u64 >= self.lines as u64 + lines * invocations
        })
        .await;
        let lines = self.bundle.logs.of(self.function);
        let log_bytes = lines[self.lines..].iter().map(|line| line.len() as u64 + LINE_BYTES).sum();
        Counted { of, calls: in_whole(calls), invocations, log_bytes, request_units: 0 }
    }
}

fn in_whole(metered: Metered) -> BTreeMap<String, (u64, f64)> {
    metered.into_iter().map(|(kind, calls)| (kind, (calls.calls, calls.units))).collect()
}

fn with_polls(mut counted: Counted, queue: &str, polled: Polled) -> Counted {
    let units = polled.receives as f64;
    counted.calls.insert(format!("ReceiveMessage {queue}"), (polled.batches, units));
    let units = polled.batches as f64;
    counted.calls.insert(format!("DeleteMessageBatch {queue}"), (polled.batches, units));
    counted
}

/// A tick of a deployment without pages, items or anything that waits.
async fn an_idle_tick(bundle: &Bundle) -> Counted {
    bundle.tick().await;
    bundle.until_rest().await;
    bundle.advance(Duration::from_secs(900)).await;
    let counter = Counter::start(bundle, "CollectFunction");
    bundle.tick().await;
    bundle.until_rest().await;
    counter.stop(1, 1).await
}

async fn taken_in_bulk(bundle: &Bundle, account: &Account) -> Counted {
    let counter = Counter::start(bundle, "IngestFunction");
    let bytes = batches::send_in_bulk(bundle, account, 0..BULK).await;
    let counted = counter.stop(BULK as u64, 1).await;
    Counted { request_units: cost::request_units(bytes), ..counted }
}

async fn taken_singly(bundle: &Bundle, account: &Account, with_key: bool) -> Counted {
    let counter = Counter::start(bundle, "IngestFunction");
    for n in 0..SINGLE {
        let path = "/bots/b/events";
        let reply = if with_key {
            bundle.client.post_once(path, &account.key, &format!("once-{n}"), batches::item(n)).await
        } else {
            bundle.client.post(path, &account.key, batches::item(n)).await
        };
        assert_eq!(reply.status, 202, "{}", reply.text());
    }
    let counted = counter.stop(SINGLE as u64, 1).await;
    Counted { request_units: SINGLE as u64, ..counted }
}

async fn delivered(bundle: &Bundle, batch: i32) -> Counted {
    let counter = Counter::start(bundle, "DeliverFunction");
    let before = bundle.receiver.totals().received;
    let polled = batches::deliver(bundle, batch).await;
    let counted = counter.stop(bundle.receiver.totals().received - before, 1).await;
    with_polls(counted, "DeliverQueue", polled)
}

/// The same, with the reads before the parts of each batch that a receiver of 50 ms takes: how many serve the next part
/// is a matter of time, which a busy machine must not decide.
#[expect(clippy::cast_precision_loss, reason = "counts of a short run")]
fn with_reads_by_time(mut full: Counted) -> Counted {
    let batches = full.invocations;
    let kind = "BatchGetItem ConfigTable+StreakTable";
    let (calls, units) = full.calls[kind];
    assert!((batches..=cost::PARTS_OF_A_FULL_BATCH * batches).contains(&calls), "{full:?}");
    let reads = batches * cost::READS_OF_A_FULL_BATCH;
    full.calls.insert(kind.to_owned(), (reads, reads as f64 * units / calls as f64));
    full
}

/// What one more page adds to a tick that finds nothing new: the difference of two numbers of pages, by which what a
/// tick does for itself falls out. What its share of a message costs is computed, 25 pages a message.
async fn a_page_of_which_nothing_is_new(bundle: &Bundle) -> Counted {
    let account = bundle.account().await;
    let (mut connected, mut ticks) = (0, Vec::new());
    for pages in PAGES {
        for number in connected..pages {
            bundle.facebook_page(&account, number).await;
        }
        connected = pages;
        // The first ticks ask whose each token is, and read what there was before.
        for _ in 0..2 {
            bundle.advance(Duration::from_secs(900)).await;
            bundle.tick().await;
            bundle.until_rest().await;
        }
        bundle.advance(Duration::from_secs(900)).await;
        bundle.networks.forget_calls(Network::Facebook);
        let counter = Counter::start(bundle, "CollectFunction");
        bundle.tick().await;
        bundle.until_rest().await;
        let counted = with_lines_of_polls(counter, pages).await;
        ticks.push((counted, bundle.networks.calls(Network::Facebook).len() as u64));
    }
    let [(few, few_calls), (many, many_calls)] = ticks.try_into().unwrap();
    let of = many.of - few.of;
    let mut calls = BTreeMap::from([("calls of the network".to_owned(), (many_calls - few_calls, 0.0))]);
    for (kind, (count, units)) in many.calls.into_iter().filter(|(kind, _)| !kind.ends_with("Queue")) {
        let (count_before, units_before) = few.calls.get(&kind).copied().unwrap_or_default();
        // More pages may lie in more of the sixteen shards, each of which has calls of its own.
        let whole = count.saturating_sub(count_before) / of * of;
        if whole > 0 {
            let each = (units - units_before) / (count - count_before) as f64;
            calls.insert(kind, (whole, whole as f64 * each));
        }
    }
    Counted { of, calls, log_bytes: many.log_bytes - few.log_bytes, ..Counted::default() }
}

/// Ends a count of a tick over pages. Of its log, only each page's part of its message's line counts: a full message's.
async fn with_lines_of_polls(counter: Counter<'_>, pages: usize) -> Counted {
    let (bundle, before) = (counter.bundle, counter.lines);
    let counted = counter.stop(pages as u64, 0).await;
    let mut patience = Patience::default();
    let (mut polled, mut line_bytes) = (0, 0);
    while patience.lasts().await && polled < pages as u64 {
        let lines = bundle.logs.of("CollectFunction").split_off(before);
        let lines: Vec<_> = lines.into_iter().filter(|line| line.contains("\"poll.pages_asked\"")).collect();
        let quiet = |line: &String| serde_json::from_str::<Value>(line).unwrap()["quiet"].as_u64().unwrap();
        polled = lines.iter().map(quiet).sum();
        line_bytes = lines.iter().map(|line| line.len() as u64 + LINE_BYTES).max().unwrap_or_default();
    }
    assert_eq!(polled, pages as u64, "each page is polled once: {:?}", bundle.complaints());
    Counted { log_bytes: line_bytes * pages as u64 / cost::PAGES_OF_A_MESSAGE, ..counted }
}

async fn count() -> BTreeMap<String, Counted> {
    let bundle = batches::bundle(functions().await).await;
    let idle = an_idle_tick(&bundle).await;
    let account = bundle.account().await;
    bundle.webhook(&account, "/x", &["event"]).await;
    // Each function has started, and has read what it reads once.
    taken_singly(&bundle, &account, true).await;
    delivered(&bundle, batches::full()).await;
    let bulk = taken_in_bulk(&bundle, &account).await;
    let full = delivered(&bundle, batches::full()).await;
    assert_eq!(full.of, BULK as u64, "each arrives once: {full:?}");
    let full = with_reads_by_time(full);
    let single = taken_singly(&bundle, &account, false).await;
    let alone = delivered(&bundle, 1).await;
    let account = bundle.account().await;
    bundle.webhook(&account, "/y", &["event"]).await;
    let with_key = taken_singly(&bundle, &account, true).await;
    let full_of_single = delivered(&bundle, batches::full()).await;
    let page = a_page_of_which_nothing_is_new(&bundle).await;
    bundle.stop().await;
    let counted = [
        (cost::IDLE_TICK, idle),
        (cost::IN_BULK, bulk),
        (cost::FULL_BATCHES, full),
        (cost::FULL_BATCHES_OF_SINGLE, full_of_single),
        (cost::SINGLE, single),
        (cost::ONE_A_BATCH, alone),
        (cost::WITH_KEY, with_key),
        (cost::PAGE, page),
    ];
    counted.map(|(name, counted)| (name.to_owned(), counted)).into()
}

#[expect(clippy::disallowed_methods, reason = "a run is told by its environment to write documents")]
fn writes_documents() -> bool {
    std::env::var_os("CARTEIRO_WRITE_DOCUMENTS").is_some()
}

fn recorded() -> BTreeMap<String, Counted> {
    let text = std::fs::read_to_string(workspace().join(RECORDED)).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let each = value.as_object().unwrap().iter();
    each.map(|(name, counted)| (name.clone(), Counted::read(counted))).collect()
}

/// `CARTEIRO_WRITE_DOCUMENTS=1 cargo test -p carteiro-tests --test benchmarks calls` records them anew, and writes the
/// cost sheet.
#[tokio::test]
async fn calls_an_item_are_those_of_the_cost_sheet() {
    let counted = count().await;
    if writes_documents() {
        let shown: BTreeMap<_, _> = counted.iter().map(|(name, counted)| (name, counted.shown())).collect();
        let text = serde_json::to_string_pretty(&json!(shown)).unwrap();
        std::fs::write(workspace().join(RECORDED), text + "\n").unwrap();
        cost::write(&recorded());
    }
    for (name, recorded) in recorded() {
        let counted = &counted[&name];
        println!("{name}: {counted:?}");
        assert_eq!(
            counted.calls, recorded.calls,
            "{name}: see how to record counts anew in docs/benchmarks.md"
        );
        let others = |counted: &Counted| (counted.of, counted.invocations, counted.request_units);
        assert_eq!(others(counted), others(&recorded), "{name}");
        // A duration has more or fewer digits.
        let (is, was) = (counted.log_bytes, recorded.log_bytes);
        assert!(is.abs_diff(was) * 20 <= was, "{name}: {is} bytes of logs, {was} were recorded");
    }
}

#[test]
fn the_readme_says_what_the_cost_sheet_says() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let readme = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = cost::sentence(&recorded());
    assert!(readme.contains(&sentence), "the README does not say: {sentence}");
}

#[test]
fn the_cost_sheet_is_that_of_the_recorded_calls() {
    let document = std::fs::read_to_string(workspace().join(cost::DOCUMENT)).unwrap();
    let stands = cost::section_of(&document);
    assert_eq!(stands, cost::sheet(&recorded()), "CARTEIRO_WRITE_DOCUMENTS=1 writes it anew");
}
