//! What a delivery costs in calls to the tables, counted at the tables.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carteiro_local::{DynamodbCall, Verdict};
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::{Bundle, SOON};
use http::{Method, StatusCode};
use serde_json::json;

/// Calls by table and operation.
type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

const TABLES: [&str; 6] =
    ["ConfigTable", "StreakTable", "HeldTable", "DeadTable", "IdempotencyTable", "TickTable"];

fn count(bundle: &Bundle) -> Counts {
    let counts = Counts::default();
    let counted = Arc::clone(&counts);
    bundle.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
        let body = String::from_utf8_lossy(call.body);
        let tables: Vec<_> =
            TABLES.into_iter().filter(|table| body.contains(&format!("\"{table}\""))).collect();
        *counted.lock().unwrap().entry(format!("{} {}", call.operation, tables.join("+"))).or_default() += 1;
        Verdict::default()
    })));
    counts
}

async fn deliver(bundle: &Bundle, key: &str, items: usize) {
    let line = |n: usize| format!("{}\n", json!({"type": "event", "item": {"n": n}}));
    let body: String = (0..items).map(line).collect();
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    let reply = bundle.client.request(Method::POST, "/bots/b/items", &headers, body).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
}

fn sum(counts: &BTreeMap<String, u64>, wanted: impl Fn(&str) -> bool) -> u64 {
    counts.iter().filter(|(call, _)| wanted(call)).map(|(_, count)| count).sum()
}

#[tokio::test]
async fn a_healthy_path_writes_nothing_and_a_failing_one_writes_its_streak_once_a_batch() {
    const ITEMS: usize = 1000;
    let bundle = Bundle::start_with([("FailureThreshold", "1000000")]).await;
    let account = bundle.account().await;
    bundle.webhook(&account, "/x", &["event"]).await;
    let failing = || Answer::status(StatusCode::INTERNAL_SERVER_ERROR);
    let success = || Answer::status(StatusCode::OK);
    let half = (0..ITEMS).map(|n| if n % 2 == 0 { failing() } else { success() });
    let paths = [
        ("healthy", Behaviour::default()),
        ("half failing", Behaviour::sequence(half, success())),
        ("failing", Behaviour::from(failing())),
    ];
    println!("calls to the tables per {ITEMS} deliveries of one webhook and type");
    for (path, behaviour) in paths {
        bundle.receiver.clear();
        bundle.receiver.set_behaviour("/x", behaviour);
        let counts = count(&bundle);
        deliver(&bundle, &account.key, ITEMS).await;
        bundle.receiver.wait_for_count("/x", ITEMS as u64, SOON * 4).await.unwrap();
        // The last batch records and settles after its last attempt; its retries come no sooner than 4 s later.
        tokio::time::sleep(Duration::from_millis(700)).await;
        let counts = counts.lock().unwrap().clone();
        let reads_before = sum(&counts, |call| call.starts_with("BatchGetItem"));
        let reads_after = sum(&counts, |call| call.starts_with("GetItem StreakTable"));
        let is_write =
            |call: &str| ["PutItem", "UpdateItem", "DeleteItem"].iter().any(|write| call.starts_with(write));
        let writes = sum(&counts, is_write);
        let streak_writes = sum(&counts, |call| is_write(call) && call.contains("StreakTable"));
        println!("  {path}: {counts:?}");
        assert!(reads_before >= 100, "{path}: a batch of ten reads once: {counts:?}");
        match path {
            "healthy" => {
                assert_eq!(writes, 0, "{counts:?}");
                assert!(reads_after <= reads_before, "{counts:?}");
            }
            "failing" => {
                assert_eq!(reads_after, 0, "what was read before will do: {counts:?}");
                // A refused write means that another batch's went through, so the excess is bounded by contention.
                assert!(streak_writes >= reads_before / 2, "{counts:?}");
                assert_eq!(writes, streak_writes, "{counts:?}");
            }
            _ => assert!(reads_after <= 2 * reads_before, "{counts:?}"),
        }
    }
    bundle.stop().await;
}
