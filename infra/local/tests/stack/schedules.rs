//! Schedules and asynchronous invocations, on a clock that the tests move.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::support::{Running, json, send, start, start_with};

const SLOT_MS: u64 = 900_000;

async fn start_with_schedules() -> Running {
    start_with(|options| options.schedules = true).await
}

fn scheduled(ended: &[Value]) -> Vec<String> {
    ended.iter().map(|line| line["event"]["scheduled_at"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_fires_at_its_next_slot_with_the_slots_time() {
    let running = start_with_schedules().await;
    let clock = running.stack.clock().clone();
    let next = clock.now_ms() / SLOT_MS * SLOT_MS + SLOT_MS;
    clock.advance(Duration::from_millis(next - clock.now_ms()));
    let ended = running.wait_for("TickFunction", |ended| ended.len() == 1).await;
    let at: jiff::Timestamp = scheduled(&ended)[0].parse().unwrap();
    assert_eq!(u64::try_from(at.as_millisecond()).unwrap(), next);
    clock.advance(Duration::from_millis(SLOT_MS));
    let ended = running.wait_for("TickFunction", |ended| ended.len() == 2).await;
    let at: jiff::Timestamp = scheduled(&ended)[1].parse().unwrap();
    assert_eq!(u64::try_from(at.as_millisecond()).unwrap(), next + SLOT_MS);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_moved_over_many_slots_fires_the_last_of_them_at_once() {
    let running = start_with_schedules().await;
    let clock = running.stack.clock().clone();
    clock.advance(Duration::from_secs(4 * 3600));
    let last = clock.now_ms() / SLOT_MS * SLOT_MS;
    let ended = running.wait_for("TickFunction", |ended| !ended.is_empty()).await;
    let at: jiff::Timestamp = scheduled(&ended)[0].parse().unwrap();
    assert_eq!(u64::try_from(at.as_millisecond()).unwrap(), last);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(running.ended("TickFunction").len(), 1);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_schedules_nothing_fires_but_a_slot_can_be_run() {
    let running = start().await;
    running.stack.clock().advance(Duration::from_secs(3600));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(running.ended("TickFunction").len(), 0);
    let invocation = running.stack.run_schedule("carteiro-tick", 1_795_296_600_000).await.unwrap();
    assert_eq!(json(&invocation.payload), json!({"scheduled_at": "2026-11-21T21:30:00Z"}));
    running.stack.stop().await;
}

async fn accept(running: &Running, payload: &Value) {
    let url = format!("{}/2015-03-31/functions/TickFunction/invocations", running.stack.addresses().lambda);
    let request = Request::post(url)
        .header("x-amz-invocation-type", "Event")
        .body(Bytes::from(payload.to_string()))
        .unwrap();
    assert_eq!(send(request).await.status(), 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_is_tried_again_and_then_recorded() {
    let running = start().await;
    accept(&running, &json!({"do": "error"})).await;
    running.wait_for("TickFunction", |ended| ended.len() == 1).await;
    assert_eq!(running.counts("FailedQueue").await, (0, 0));
    // The pause before the second try is a minute. It begins when the stack has seen the first one end, so the clock is
    // moved until it was over; nine times make the event not yet too old.
    for _ in 0..9 {
        running.stack.clock().advance(Duration::from_secs(61));
        tokio::time::sleep(Duration::from_millis(500)).await;
        if running.ended("TickFunction").len() == 2 {
            break;
        }
    }
    let record = json(running.receive("FailedQueue").await.body.as_bytes());
    assert_eq!(record["version"], "1.0");
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 2);
    assert_eq!(record["requestPayload"], json!({"do": "error"}));
    assert_eq!(record["responseContext"]["functionError"], "Unhandled");
    assert_eq!(record["responsePayload"]["errorMessage"], "as told");
    let dead = running.receive("DeadQueue").await;
    assert_eq!(json(dead.body.as_bytes()), json!({"do": "error"}));
    assert_eq!(dead.attributes.get("ErrorMessage"), Some(&carteiro_sqs::MessageAttribute::text("as told")));
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_grows_too_old_is_recorded_without_another_try() {
    let running = start().await;
    accept(&running, &json!({"do": "error"})).await;
    running.wait_for("TickFunction", |ended| ended.len() == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    running.stack.clock().advance(Duration::from_secs(601));
    let record = json(running.receive("FailedQueue").await.body.as_bytes());
    assert_eq!(record["requestContext"]["condition"], "EventAgeExceeded");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
    assert_eq!(running.ended("TickFunction").len(), 1);
    running.stack.stop().await;
}
