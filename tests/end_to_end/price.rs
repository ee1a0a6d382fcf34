//! What a delivery costs in calls to the tables, counted at the tables.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carteiro_local::{DynamodbCall, Verdict};
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::{Account, Bundle, SOON};
use http::StatusCode;
use serde_json::json;

/// Calls by table and operation.
type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

const ITEMS: usize = 1000;

const TABLES: [&str; 7] =
    ["AttemptTable", "ConfigTable", "StreakTable", "HeldTable", "DeadTable", "IdempotencyTable", "TickTable"];

fn count(bundle: &Bundle) -> Counts {
    let counts = Counts::default();
    let counted = Arc::clone(&counts);
    let put = Mutex::new(HashSet::new());
    bundle.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
        let body = String::from_utf8_lossy(call.body);
        // A row that a busy machine's client writes again, because the answer was late, is the same row.
        if call.operation == "PutItem" && !put.lock().unwrap().insert(call.body.to_owned()) {
            return Verdict::default();
        }
        let tables: Vec<_> =
            TABLES.into_iter().filter(|table| body.contains(&format!("\"{table}\""))).collect();
        *counted.lock().unwrap().entry(format!("{} {}", call.operation, tables.join("+"))).or_default() += 1;
        Verdict::default()
    })));
    counts
}

/// The calls for some deliveries of one webhook and type.
#[derive(Debug)]
struct Price {
    /// Reads before the attempts: webhook and streak.
    batches: u64,
    /// Reads of the streak after the attempts.
    reads_after: u64,
    /// Writes to the streak, refused ones too.
    streak_writes: u64,
    /// Rows of held items,
    held_rows: u64,
    /// and writes to the row of their release.
    release_writes: u64,
    /// Rows of the attempt log.
    log_rows: u64,
    /// What was sent is authenticated, and routed.
    taking_in: u64,
    /// Anything else.
    others: BTreeMap<String, u64>,
}

impl Price {
    fn of(counts: &Counts) -> Self {
        let mut others = counts.lock().unwrap().clone();
        let mut take = |calls: &[&str]| calls.iter().filter_map(|call| others.remove(*call)).sum();
        Self {
            batches: take(&["BatchGetItem ConfigTable+StreakTable"]),
            reads_after: take(&["GetItem StreakTable"]),
            streak_writes: take(&["UpdateItem StreakTable", "DeleteItem StreakTable"]),
            held_rows: take(&["PutItem HeldTable"]),
            release_writes: take(&["UpdateItem HeldTable"]),
            log_rows: take(&["PutItem AttemptTable"]),
            taking_in: take(&["GetItem ConfigTable", "Query ConfigTable"]),
            others,
        }
    }

    fn row(&self, path: &str) -> String {
        let Self {
            batches,
            reads_after,
            streak_writes,
            held_rows,
            release_writes,
            log_rows,
            taking_in,
            others,
        } = self;
        assert!(others.is_empty(), "{path}: {others:?}");
        format!(
            "| {path:<22} | {batches:>14} | {reads_after:>13} | {streak_writes:>13} | {held_rows:>9} | \
             {release_writes:>14} | {log_rows:>8} | {taking_in:>9} |"
        )
    }
}

/// How many deliveries to one webhook are attempted at once.
const PART: usize = 10;

/// At most this number of calls a part of a batch, whether it read what it needs or the part before it did. A busy
/// machine's calls time out and are repeated by the client, and a repeat is counted: some per cent are let pass.
fn at_most(calls: u64, a_part: u64, price: &Price) {
    let most = price.batches.max((ITEMS / PART) as u64) * a_part;
    assert!(calls <= most + most / 10, "{calls} of {most}: {price:?}");
}

const HEAD: &str = "\
| deliveries             | batches: reads | streaks: read | streaks: made | held rows | release's row | log rows | taking in |
|                        |   before, each | after         | or refused    | written   | written       | written  |           |";

/// A webhook of an account of its own whose type `event` is blocked, with nothing under way.
async fn blocked(bundle: &Bundle, path: &str, while_blocked: &str) -> Account {
    let account = bundle.account().await;
    let url = bundle.receiver.url(path);
    let settings = json!({"url": url, "items": ["event"], "threshold": 1, "while_blocked": while_blocked});
    let webhook = bundle.webhook_with(&account, settings).await;
    bundle.receiver.set_behaviour(path, Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
    bundle.send_many(&account, "event", 1).await;
    bundle.receiver.wait_for_count(path, 1, SOON).await.unwrap();
    // Its retry meets the block.
    bundle.advance(Duration::from_secs(7)).await;
    bundle.until_rest().await;
    assert_eq!(bundle.status(&account, &webhook, "event").await["state"], "blocked");
    account
}

/// What a thousand deliveries cost that meet a block.
async fn meeting_a_block(bundle: &Bundle, path: &str, while_blocked: &str) -> Price {
    let account = blocked(bundle, path, while_blocked).await;
    let counts = count(bundle);
    bundle.send_many(&account, "event", ITEMS).await;
    bundle.until_rest().await;
    assert_eq!(bundle.receiver.count(path), 1, "what began the block");
    Price::of(&counts)
}

/// What a thousand deliveries cost that are attempted, and the retries that came due meanwhile.
async fn attempted(bundle: &Bundle, account: &Account, behaviour: Behaviour) -> Price {
    bundle.receiver.clear();
    bundle.receiver.set_behaviour("/x", behaviour);
    let counts = count(bundle);
    bundle.send_many(account, "event", ITEMS).await;
    bundle.receiver.wait_for_count("/x", ITEMS as u64, SOON).await.unwrap();
    bundle.until_rest().await;
    Price::of(&counts)
}

#[tokio::test]
async fn a_healthy_path_writes_nothing_and_a_failing_one_its_streak() {
    // Few at once, so that calls are not late and repeated: what is counted is the price of a batch.
    let bundle = Bundle::start_with([("FailureThreshold", "1000000"), ("DeliverConcurrency", "5")]).await;
    let account = bundle.account().await;
    bundle.webhook(&account, "/x", &["event"]).await;
    let failing = || Answer::status(StatusCode::INTERNAL_SERVER_ERROR);
    let success = || Answer::status(StatusCode::OK);
    let half = (0..ITEMS).map(|n| if n % 2 == 0 { failing() } else { success() });
    let least = (ITEMS / PART) as u64;
    println!("calls to the tables per {ITEMS} deliveries of one webhook and type\n{HEAD}");

    let healthy = attempted(&bundle, &account, Behaviour::default()).await;
    println!("{}", healthy.row("healthy"));
    assert!(healthy.reads_after >= least, "after each part the streak is read: {healthy:?}");
    at_most(healthy.reads_after, 1, &healthy);
    at_most(healthy.batches, 1, &healthy);
    let writes = healthy.streak_writes + healthy.held_rows + healthy.release_writes + healthy.log_rows;
    assert_eq!(writes, 0, "{healthy:?}");

    let held = meeting_a_block(&bundle, "/held", "hold").await;
    println!("{}", held.row("blocked, held"));
    at_most(held.batches, 1, &held);
    assert_eq!((held.reads_after, held.streak_writes), (0, 0), "one read a batch: {held:?}");
    // What holding costs is apart: a row an item, and the release is seen to once a batch.
    assert_eq!(held.held_rows, ITEMS as u64, "{held:?}");
    at_most(held.release_writes, 1, &held);
    assert_eq!(held.log_rows, 0, "nothing was attempted: {held:?}");

    let discarded = meeting_a_block(&bundle, "/discarded", "discard").await;
    println!("{}", discarded.row("blocked, discarded"));
    assert_eq!((discarded.reads_after, discarded.held_rows, discarded.release_writes), (0, 0, 0));
    at_most(discarded.streak_writes, 1, &discarded);
    // A row an item that was dropped; a busy machine leaves out those that it cannot write within a second.
    assert!((ITEMS as u64 / 2..=ITEMS as u64).contains(&discarded.log_rows), "{discarded:?}");

    // From here on retries come due, and make batches of their own.
    let half = attempted(&bundle, &account, Behaviour::sequence(half, success())).await;
    println!("{}", half.row("half failing"));
    assert!(half.batches >= least, "{half:?}");
    // A refused end of a streak is read again; the rest is the end of one streak, the beginning of the next, and what
    // others' writes refused.
    at_most(half.reads_after, 2, &half);
    at_most(half.streak_writes, 3, &half);
    at_most(half.log_rows, 1, &half);

    let failing = attempted(&bundle, &account, Behaviour::from(failing())).await;
    println!("{}", failing.row("failing"));
    assert!(failing.batches >= least, "{failing:?}");
    assert_eq!(failing.reads_after, 0, "what was read before will do: {failing:?}");
    // A refused write means that another batch's went through, so the excess is bounded by contention.
    let writes = failing.batches / 2..=2 * failing.batches;
    assert!(writes.contains(&failing.streak_writes), "{failing:?}");
    assert_eq!(failing.held_rows + failing.release_writes, 0, "{failing:?}");
    // The log is apart: a row a batch, for failures alone are logged.
    assert!(failing.log_rows >= least, "{failing:?}");
    at_most(failing.log_rows, 1, &failing);
    bundle.stop().await;
}
