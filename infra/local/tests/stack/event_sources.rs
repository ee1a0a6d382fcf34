//! Queues that wake functions. The report's malformed variants have a table of unit tests beside their code, too.

use std::collections::BTreeMap;
use std::time::Duration;

use carteiro_sqs::{MessageAttribute, SendMessage};
use serde_json::{Value, json};

use crate::support::{Running, start, start_with, until};

/// Of the invocations that ended, the bodies of the messages that each got.
fn bodies(ended: &[Value]) -> Vec<Vec<Value>> {
    let body = |record: &Value| serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
    ended.iter().map(|line| line["event"]["Records"].as_array().unwrap().iter().map(body).collect()).collect()
}

fn messages(ended: &[Value]) -> usize {
    ended.iter().map(|line| line["event"]["Records"].as_array().map_or(0, Vec::len)).sum()
}

/// Lets every visibility timeout of the fixture's queues pass.
fn pass_visibility(running: &Running) {
    running.stack.clock().advance(Duration::from_secs(61));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_as_a_record_and_is_deleted() {
    let running = start().await;
    let mut message = SendMessage::new(r#"{"n":1}"#);
    message.attributes.insert("kind", MessageAttribute::text("test")).unwrap();
    message.group_id = Some("group".to_owned());
    let sent = running.stack.queues().send("WorkQueue", message).await.unwrap();
    let ended = running.wait_for("WorkFunction", |ended| messages(ended) == 1).await;
    let record = &ended[0]["event"]["Records"][0];
    assert_eq!(record["messageId"], sent.message_id);
    assert_eq!(record["body"], r#"{"n":1}"#);
    assert_eq!(record["md5OfBody"], sent.md5_of_body);
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(record["attributes"]["MessageGroupId"], "group");
    assert_eq!(record["messageAttributes"]["kind"]["stringValue"], "test");
    assert_eq!(record["eventSourceARN"], "arn:aws:sqs:us-east-1:000000000000:WorkQueue");
    running.wait_for_counts("WorkQueue", (0, 0)).await;
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_mapping_takes_a_message_within_moments() {
    let running = start().await;
    running.send("WorkQueue", &json!({})).await;
    running.wait_for("WorkFunction", |ended| messages(ended) == 1).await;
    // The mapping is idle: it has received all there was, and waits for more. Nothing moves the clock, by which its
    // receives end after twenty seconds; half of them are not over when the next message is there.
    running.wait_for_counts("WorkQueue", (0, 0)).await;
    let clock = running.stack.clock();
    let begun = clock.now_ms();
    running.send("WorkQueue", &json!({})).await;
    running.wait_for("WorkFunction", |ended| messages(ended) == 2).await;
    let took = clock.now_ms() - begun;
    assert!(took < 10_000, "{took} ms");
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_reported_messages_of_a_batch_come_again() {
    let running = start().await;
    // Both pollers are busy meanwhile, so that the next messages come as one batch.
    for _ in 0..2 {
        running.send("WorkQueue", &json!({"do": "sleep", "ms": 400})).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for n in 0..4 {
        running.send("WorkQueue", &json!({"n": n})).await;
    }
    running.send("WorkQueue", &json!({"do": "fail"})).await;
    running.wait_for("WorkFunction", |ended| messages(ended) == 7).await;
    running.wait_for_counts("WorkQueue", (0, 1)).await;
    pass_visibility(&running);
    let ended = running.wait_for("WorkFunction", |ended| messages(ended) == 8).await;
    let again = bodies(&ended).pop().unwrap();
    assert_eq!(again, [json!({"do": "fail"})]);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_report_leaves_the_whole_batch() {
    for answer in [
        json!("done"),
        json!({"batchItemFailures": [{"itemIdentifier": ""}]}),
        json!({"batchItemFailures": [{"itemIdentifier": null}]}),
        json!({"batchItemFailures": [{"itemIdentifier": "unknown"}]}),
        json!({"batchItemFailures": [{"item": "x"}]}),
        json!({"batchItemFailures": "x"}),
    ] {
        let running = start().await;
        running.send("WorkQueue", &json!({"answer": answer})).await;
        running.wait_for("WorkFunction", |ended| messages(ended) == 1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(running.counts("WorkQueue").await, (0, 1), "{answer}");
        running.stack.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_report_is_success() {
    for answer in
        [json!(null), json!({}), json!({"batchItemFailures": []}), json!({"batchItemFailures": null})]
    {
        let running = start().await;
        running.send("WorkQueue", &json!({"answer": answer})).await;
        running.wait_for("WorkFunction", |ended| messages(ended) == 1).await;
        running.wait_for_counts("WorkQueue", (0, 0)).await;
        running.stack.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_a_crash_and_a_timeout_leave_the_whole_batch() {
    for failing in
        [json!({"do": "error"}), json!({"do": "exit", "code": 1}), json!({"do": "sleep", "ms": 60_000})]
    {
        let running = start().await;
        running.send("WorkQueue", &failing).await;
        let receives = || async {
            // The only sign that every failure gives: nothing is in the queue's view, and the message comes again.
            (running.counts("WorkQueue").await == (0, 1)).then_some(())
        };
        until(receives).await;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!(running.counts("WorkQueue").await, (0, 1), "{failing}");
        running.stack.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_received_too_often_goes_to_the_dead_letter_queue() {
    let running = start().await;
    let id = running.send("WorkQueue", &json!({"do": "fail"})).await;
    for times in 1..=2 {
        running.wait_for("WorkFunction", |ended| messages(ended) == times).await;
        running.wait_for_counts("WorkQueue", (0, 1)).await;
        pass_visibility(&running);
    }
    running.wait_for_counts("DeadQueue", (1, 0)).await;
    let dead = running.receive("DeadQueue").await;
    assert_eq!(dead.message_id, id);
    assert_eq!(dead.dead_letter_source.as_deref(), Some("arn:aws:sqs:us-east-1:000000000000:WorkQueue"));
    assert_eq!(messages(&running.ended("WorkFunction")), 2);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maximum_concurrency_is_reached_and_never_exceeded() {
    let running = start_with(|options| {
        options.parameters = BTreeMap::from([
            ("MaximumConcurrency".to_owned(), "3".to_owned()),
            ("WorkBatchSize".to_owned(), "1".to_owned()),
        ]);
    })
    .await;
    for _ in 0..24 {
        running.send("WorkQueue", &json!({"do": "sleep", "ms": 100})).await;
    }
    let ended = running.wait_for("WorkFunction", |ended| ended.len() == 24).await;
    assert_eq!(peak(&ended), 3);
    running.stack.stop().await;
}

/// How many invocations ran at once at most.
fn peak(ended: &[Value]) -> usize {
    let span = |line: &Value| (line["begun"].as_u64().unwrap(), line["ended"].as_u64().unwrap());
    let spans: Vec<_> = ended.iter().map(span).collect();
    spans
        .iter()
        .map(|(at, _)| spans.iter().filter(|(begun, end)| begun <= at && at < end).count())
        .max()
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_gathers_a_batch() {
    let running = start().await;
    for n in 0..15 {
        running.send("PlainQueue", &json!({"n": n})).await;
    }
    let ended = running.wait_for("PlainFunction", |ended| messages(ended) == 15).await;
    // On a busy machine the last of them may be sent after the window's end.
    let first = bodies(&ended)[0].len();
    assert!(first > 10, "one batch of more than the ten that one receive takes, not {first}");
    running.wait_for_counts("PlainQueue", (0, 0)).await;
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_cut_to_fit_lambdas_six_megabytes() {
    let running = start().await;
    let long = "x".repeat(1_000_000);
    for n in 0..8 {
        running.send("PlainQueue", &json!({"n": n, "long": long})).await;
    }
    let ended = running.wait_for("PlainFunction", |ended| messages(ended) == 8).await;
    assert!(ended.iter().all(|line| line["bytes"].as_u64().unwrap() <= 6_291_456));
    assert!(ended.len() >= 2);
    running.wait_for_counts("PlainQueue", (0, 0)).await;
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_batch_is_tried_again_and_loses_nothing() {
    let running = start().await;
    for n in 0..6 {
        running.send("NarrowQueue", &json!({"do": "sleep", "ms": 100, "n": n})).await;
    }
    let ended = running.wait_for("NarrowFunction", |ended| ended.len() == 6).await;
    assert_eq!(peak(&ended), 1);
    let receives =
        |line: &Value| line["event"]["Records"][0]["attributes"]["ApproximateReceiveCount"].clone();
    assert!(ended.iter().all(|line| receives(line) == "1"), "a throttle costs no receive");
    running.wait_for_counts("NarrowQueue", (0, 0)).await;
    running.stack.stop().await;
}
