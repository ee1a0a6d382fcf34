//! A table of streaks that throttles during a whole block.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use carteiro_local::{DynamodbCall, Fate, Fault, Verdict};
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::blocks::{is_blocked, pass, send_many, status, until};
use carteiro_tests::{Bundle, Patience, SOON, dynamodb};
use http::StatusCode;
use serde_json::{Value, json};

/// What the functions ask of the table; what a test asks of it is let through.
const OPERATIONS: [&str; 6] =
    ["BatchGetItem", "GetItem", "Query", "UpdateItem", "DeleteItem", "TransactWriteItems"];

/// Throttles a percentage of the calls that touch the streaks.
fn throttle(bundle: &Bundle, percent: u64) -> Arc<AtomicU64> {
    let (calls, throttled) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&throttled);
    bundle.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
        let touches = OPERATIONS.contains(&call.operation)
            && call.body.windows(b"StreakTable".len()).any(|part| part == b"StreakTable");
        // Multiplying by a large odd number spreads the calls, the same way in each run.
        let draw = calls.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        if !touches || draw % 100 >= percent {
            return Verdict::default();
        }
        counted.fetch_add(1, Ordering::Relaxed);
        let fault = Fault {
            status: StatusCode::BAD_REQUEST,
            code: "ProvisionedThroughputExceededException".to_owned(),
            message: "injected".to_owned(),
        };
        Fate::FailBefore(fault).into()
    })));
    throttled
}

/// A tick, which fails where the table cannot be read.
async fn try_tick(bundle: &Bundle) -> bool {
    !bundle.stack.invoke("CollectFunction", "{}".into()).await.unwrap().function_error
}

fn missing(bundle: &Bundle, path: &str, sent: &[String]) -> usize {
    let counts = bundle.receiver.counts_by_webhook_id(path);
    sent.iter().filter(|id| !counts.contains_key(*id)).count()
}

/// Waits until the queues hand out nothing and nothing arrives at a path any more, and answers how much had. Failed
/// items stay in flight until the time passes their visibility timeout, so the queues never come to rest.
async fn quiet(bundle: &Bundle, path: &str) -> u64 {
    loop {
        let before = bundle.receiver.count(path);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let mut visible = 0;
        for mapping in &bundle.stack.template().queue_mappings {
            visible += bundle.stack.queues().describe_queue(&mapping.queue).await.unwrap().counts.visible;
        }
        if visible == 0 && bundle.receiver.count(path) == before {
            return before;
        }
    }
}

/// Moves the time on, with a tick each quarter of an hour, until all of these items have arrived.
async fn until_all_arrived(bundle: &Bundle, path: &str, sent: &[String]) {
    for _ in 0..40 {
        try_tick(bundle).await;
        quiet(bundle, path).await;
        if missing(bundle, path, sent) == 0 {
            return;
        }
        bundle.stack.clock().advance(Duration::from_secs(15 * 60));
    }
    panic!("{} of {} did not arrive", missing(bundle, path, sent), sent.len());
}

#[tokio::test]
async fn unreadable_streaks_stop_requests_and_lose_nothing() {
    let bundle = Bundle::start_with([("FailureThreshold", "20"), ("DeliverConcurrency", "4")]).await;
    let account = bundle.account().await;
    let blocked = bundle.webhook(&account, "/t", &["event"]).await;
    let healthy = bundle.webhook(&account, "/h", &["event"]).await;
    bundle.receiver.set_behaviour("/t", Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
    let mut sent = send_many(&bundle.client, &account, "event", 25).await;
    let before = until(&bundle.client, &account, &blocked, "event", is_blocked).await;
    quiet(&bundle, "/t").await;
    pass(&bundle.stack, Duration::from_secs(8)).await;
    until(&bundle.client, &account, &blocked, "event", |status| status["held"] == 25).await;
    bundle.receiver.set_behaviour("/t", Behaviour::default());
    bundle.receiver.clear();

    // The whole block, and a while after its end.
    let throttled = throttle(&bundle, 100);
    sent.extend(send_many(&bundle.client, &account, "event", 30).await);
    for advance in [0, 190, 3600, 3600, 3600, 3600 + 300] {
        bundle.stack.clock().advance(Duration::from_secs(advance));
        assert!(!try_tick(&bundle).await, "a tick that cannot look fails, so that it is repeated");
        quiet(&bundle, "/t").await;
        assert_eq!((bundle.receiver.count("/t"), bundle.receiver.count("/h")), (0, 0), "no read, no attempt");
    }
    assert!(throttled.load(Ordering::Relaxed) > 20);
    let rows = dynamodb::scan(&bundle, "StreakTable").await;
    let ours: Vec<_> = rows.iter().filter(|row| row["pk"]["S"] == blocked.id.as_str()).collect();
    assert_eq!(ours.len(), 1, "{rows:?}");
    let until_ms = before["blocked_until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(ours[0]["blocked_until"]["N"], until_ms.as_millisecond().to_string());
    assert_eq!(rows.len(), 1, "nothing was recorded: {rows:?}");

    bundle.stack.intercept_dynamodb(None);
    bundle.stack.clock().advance(Duration::from_secs(190));
    until_all_arrived(&bundle, "/t", &sent).await;
    until_all_arrived(&bundle, "/h", &sent[25..]).await;
    for webhook in [&blocked, &healthy] {
        let open = until(&bundle.client, &account, webhook, "event", |status| status["held"] == 0).await;
        assert_eq!((&open["state"], &open["failures"]), (&json!("open"), &json!(0)));
    }
    assert!(dynamodb::scan(&bundle, "DeadTable").await.is_empty());
    bundle.stop().await;
}

#[tokio::test]
async fn an_unreadable_inbox_does_not_stop_due_items() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/w", &["event"]).await;
    bundle.receiver.set_behaviour("/w", Answer::busy(86_400));
    let sent = send_many(&bundle.client, &account, "event", 3).await;
    until(&bundle.client, &account, &webhook, "event", |status| status["held"] == 3).await;
    bundle.receiver.set_behaviour("/w", Behaviour::default());
    bundle.receiver.clear();
    bundle.advance(Duration::from_secs(86400)).await;
    bundle.stack.intercept_dynamodb(Some(Arc::new(|call: DynamodbCall<'_>| {
        let is_inbox = call.body.windows(b"InboxTable".len()).any(|part| part == b"InboxTable");
        if !is_inbox || call.operation != "Query" {
            return Verdict::default();
        }
        let fault = Fault {
            status: StatusCode::BAD_REQUEST,
            code: "ProvisionedThroughputExceededException".to_owned(),
            message: "injected".to_owned(),
        };
        Fate::FailBefore(fault).into()
    })));
    assert!(!try_tick(&bundle).await, "a tick that could not look at all fails, so that it is repeated");
    let arrived = bundle.receiver.wait_for_count("/w", 3, SOON).await.expect("what was due is moved");
    let ids: HashSet<_> = arrived.iter().map(|delivery| delivery.webhook_id().unwrap().to_owned()).collect();
    assert!(sent.iter().all(|id| ids.contains(id)), "{ids:?}");
    let logged = bundle.logs.of("CollectFunction");
    let parts: Vec<_> = logged.iter().filter(|line| line.contains("tick.part_not_planned")).collect();
    assert!(parts.len() == 1 && parts[0].contains("\"part\":\"inbox\""), "{parts:?}");
    bundle.stack.intercept_dynamodb(None);
    assert!(try_tick(&bundle).await);
    bundle.stop().await;
}

#[tokio::test]
async fn the_rule_is_exact_where_two_streak_calls_of_five_throttle() {
    const THRESHOLD: u64 = 50;
    const IN_FLIGHT: u64 = 4 * 10;
    let bundle = Bundle::start_with([("FailureThreshold", "50"), ("DeliverConcurrency", "4")]).await;
    let account = bundle.account().await;
    let webhook = bundle.webhook(&account, "/p", &["event"]).await;
    let row = async || dynamodb::scan(&bundle, "StreakTable").await.into_iter().next();
    let throttled = throttle(&bundle, 40);
    let mut epochs = HashSet::new();
    let mut sent = Vec::new();
    for period in 1..=2_usize {
        bundle.receiver.set_behaviour("/p", Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
        bundle.receiver.clear();
        sent.extend(send_many(&bundle.client, &account, "event", 120).await);
        // Every state that the row is seen in is one that the rule knows, until there is a block.
        let mut blocked = None;
        let mut patience = Patience::default();
        while patience.lasts().await {
            let seen = row().await.unwrap_or(Value::Null);
            let requested = bundle.receiver.count("/p");
            let failures: u64 = seen["failures"]["N"].as_str().map_or(0, |number| number.parse().unwrap());
            let is_new = seen["epoch"]["S"].as_str().is_some_and(|epoch| !epochs.contains(epoch));
            assert!(failures <= THRESHOLD, "{seen}");
            if is_new {
                assert!(requested >= THRESHOLD, "blocked after {requested} requests: {seen}");
                assert_eq!(failures, THRESHOLD, "{seen}");
                blocked = Some(seen);
                break;
            }
            let over = seen.get("blocked_until").is_some();
            assert!(over || failures < THRESHOLD, "the threshold and no block: {seen}");
        }
        let blocked = blocked.expect("a block");
        let epoch = blocked["epoch"]["S"].as_str().unwrap().to_owned();
        let requested = quiet(&bundle, "/p").await;
        assert!(requested <= THRESHOLD + IN_FLIGHT, "{requested} requests in period {period}");
        epochs.insert(epoch.clone());

        // The whole block: no request, no other block, nothing lost.
        bundle.receiver.set_behaviour("/p", Behaviour::default());
        for advance in [190, 600, 3600, 3600, 3600, 2000] {
            bundle.stack.clock().advance(Duration::from_secs(advance));
            try_tick(&bundle).await;
            assert_eq!(quiet(&bundle, "/p").await, requested, "in the block");
            let seen = row().await.expect("the block's row");
            assert_eq!(seen["epoch"]["S"], epoch.as_str(), "{seen}");
            assert_eq!(seen["blocked_until"], blocked["blocked_until"], "{seen}");
        }
        bundle.receiver.clear();
        bundle.stack.clock().advance(Duration::from_secs(900));
        until_all_arrived(&bundle, "/p", &sent).await;
        sent.clear();
    }
    assert_eq!(epochs.len(), 2);
    assert!(throttled.load(Ordering::Relaxed) > 50);
    bundle.stack.intercept_dynamodb(None);
    let open = status(&bundle.client, &account, &webhook, "event").await;
    assert_eq!((&open["state"], &open["failures"]), (&json!("open"), &json!(0)));
    assert!(dynamodb::scan(&bundle, "DeadTable").await.is_empty());
    bundle.stop().await;
}
