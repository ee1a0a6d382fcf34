//! SQS event source mappings: a queue wakes a function.
//!
//! Source: AWS Lambda developer guide, "Using Lambda with Amazon SQS" and its pages on batching, scaling and error
//! handling.
//!
//! One poller a mapping waits for messages and hands each batch to an invocation of its own. Never more than
//! `MaximumConcurrency` of them run at once (or than the function's own limit, where the template sets none); up to
//! that, concurrency follows the queue at once, where the real service grows from 5 by some hundred a minute.
//! A waiting poller is woken by the queue, so an empty queue costs nothing and a message is taken within milliseconds.
//!
//! What an invocation leaves:
//! - success deletes the batch; with `ReportBatchItemFailures` all but the reported messages;
//! - a function error or timeout, or a report that is malformed, leaves the whole batch;
//! - what is left is not touched: it becomes visible again when the queue's visibility timeout ends (or when the
//!   function said so itself), and its receive count stays;
//! - a throttled invocation is tried again with a growing pause, until the batch's visibility timeout ends.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use carteiro_sqs::{AttributeData, MessageAttributes, ReceivedMessage};
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::disturbance::{Batch, BatchFate};
use crate::lambda::{InvokeError, Lambda, MAX_REQUEST_BYTES};
use crate::queues::Queues;
use crate::template::{ACCOUNT, QueueMapping, REGION, queue_arn};

/// How many messages one receive takes.
const RECEIVE_MAX: usize = 10;
/// How long one receive waits.
const RECEIVE_WAIT: Duration = Duration::from_secs(20);
/// The limit on concurrency where the template sets none.
const DEFAULT_CONCURRENCY: usize = 50;
/// The pauses between tries of a throttled invocation.
const THROTTLE_PAUSE: Duration = Duration::from_millis(100);
const MAX_THROTTLE_PAUSE: Duration = Duration::from_secs(5);
/// The pause after a queue could not be read.
const ERROR_PAUSE: Duration = Duration::from_secs(1);
/// What a batch's event has around its records.
const ENVELOPE_BYTES: usize = r#"{"Records":[]}"#.len();

/// A message with its record, as the function gets it.
#[derive(Debug)]
struct Item {
    message_id: String,
    receipt_handle: String,
    record: String,
}

/// A mapping at work.
#[derive(Clone, Debug)]
pub(crate) struct EventSource {
    mapping: Arc<QueueMapping>,
    visibility: Duration,
    lambda: Lambda,
    queues: Queues,
    permits: Arc<Semaphore>,
}

impl EventSource {
    pub(crate) fn new(mapping: QueueMapping, visibility: Duration, lambda: Lambda, queues: Queues) -> Self {
        let permits = Arc::new(Semaphore::new(mapping.maximum_concurrency.unwrap_or(DEFAULT_CONCURRENCY)));
        Self { mapping: Arc::new(mapping), visibility, lambda, queues, permits }
    }

    /// Returns when no batch is with the function.
    pub(crate) async fn idle(&self) {
        let all = u32::try_from(self.mapping.maximum_concurrency.unwrap_or(DEFAULT_CONCURRENCY))
            .unwrap_or(u32::MAX);
        // It is never closed, so this ends by all of them being free.
        drop(self.permits.acquire_many(all).await);
    }

    /// Polls for ever.
    pub(crate) async fn run(self) {
        while let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await {
            let messages = match self.gather().await {
                Ok(messages) => messages,
                Err(error) => {
                    tracing::warn!(queue = %self.mapping.queue, %error, "cannot receive");
                    tokio::time::sleep(ERROR_PAUSE).await;
                    continue;
                }
            };
            // The first of them may have been received a window ago.
            let window_ms = u64::try_from(self.mapping.window.as_millis()).unwrap_or(u64::MAX);
            let received_ms = self.lambda.clock().now_ms().saturating_sub(window_ms);
            let arn = queue_arn(&self.mapping.queue);
            let items = messages.into_iter().map(|message| item(message, &arn)).collect();
            let mut permit = Some(permit);
            for batch in cut(items, self.mapping.batch_size, MAX_REQUEST_BYTES) {
                let permit = match permit.take() {
                    Some(permit) => permit,
                    None => match Arc::clone(&self.permits).acquire_owned().await {
                        Ok(permit) => permit,
                        Err(_) => return,
                    },
                };
                let source = self.clone();
                self.lambda.spawn(async move { source.deliver(batch, received_ms, permit).await });
            }
        }
    }

    /// The messages of one batch, or none after a while: what the first receive brings, and, where the mapping has a
    /// window, what comes until it ends or the batch is full.
    async fn gather(&self) -> Result<Vec<ReceivedMessage>, carteiro_sqs::SqsError> {
        let size = self.mapping.batch_size;
        let queue = &self.mapping.queue;
        let mut messages = self.queues.receive(queue, size.min(RECEIVE_MAX), RECEIVE_WAIT).await?;
        if messages.is_empty() || self.mapping.window.is_zero() {
            return Ok(messages);
        }
        let clock = self.lambda.clock();
        let window_ms = u64::try_from(self.mapping.window.as_millis()).unwrap_or(u64::MAX);
        let ends_ms = clock.now_ms().saturating_add(window_ms);
        loop {
            let room = size.saturating_sub(messages.len()).min(RECEIVE_MAX);
            let left = Duration::from_millis(ends_ms.saturating_sub(clock.now_ms()));
            let bytes: usize = messages.iter().map(|message| message.body.len()).sum();
            if room == 0 || left.is_zero() || bytes >= MAX_REQUEST_BYTES {
                return Ok(messages);
            }
            // A wait is told in whole seconds. What is left of the window after them is slept through, and a last look
            // taken: a receive that is not waited for would leave its messages invisible.
            let more = if left >= Duration::from_secs(1) {
                self.queues.receive(queue, room, left.min(RECEIVE_WAIT)).await?
            } else {
                clock.sleep_until(ends_ms).await;
                self.queues.receive(queue, room, Duration::ZERO).await?
            };
            messages.extend(more);
        }
    }

    async fn deliver(&self, batch: Vec<Item>, received_ms: u64, permit: OwnedSemaphorePermit) {
        let left = self.disturbed(&batch, received_ms).await.unwrap_or_else(|| all(&batch));
        let done = batch.iter().filter(|item| !left.contains(&item.message_id));
        let handles: Vec<String> = done.map(|item| item.receipt_handle.clone()).collect();
        if let Err(error) = self.queues.delete(&self.mapping.queue, handles).await {
            tracing::warn!(queue = %self.mapping.queue, %error, "cannot delete; the messages come again");
        }
        drop(permit);
    }

    /// As [`EventSource::invoke`], unless whoever watches batches wants it otherwise.
    async fn disturbed(&self, items: &[Item], received_ms: u64) -> Option<HashSet<String>> {
        let Some(watch) = self.lambda.disturbances().batches() else {
            return self.invoke(items, received_ms).await;
        };
        let records: Vec<&str> = items.iter().map(|item| item.record.as_str()).collect();
        let batch = Batch { queue: &self.mapping.queue, function: &self.mapping.function, records: &records };
        let left = match watch.begins(batch) {
            BatchFate::Proceed => self.invoke(items, received_ms).await,
            BatchFate::LoseAnswer => {
                self.invoke(items, received_ms).await;
                None
            }
            BatchFate::Twice => {
                match tokio::join!(self.invoke(items, received_ms), self.invoke(items, received_ms)) {
                    (Some(one), Some(other)) => Some(&one & &other),
                    (one, other) => one.or(other),
                }
            }
        };
        let left = left.unwrap_or_else(|| all(items));
        watch.ends(batch, &left);
        Some(left)
    }

    /// Which messages of the batch failed; nothing where the invocation did not come about.
    async fn invoke(&self, batch: &[Item], received_ms: u64) -> Option<HashSet<String>> {
        let payload = event(batch);
        let visibility_ms = u64::try_from(self.visibility.as_millis()).unwrap_or(u64::MAX);
        let mut pause = THROTTLE_PAUSE;
        loop {
            match self.lambda.invoke(&self.mapping.function, payload.clone()).await {
                Ok(invocation) if invocation.function_error => return Some(all(batch)),
                Ok(invocation) if self.mapping.report_item_failures => {
                    return Some(failures(batch, &invocation.payload).unwrap_or_else(|why| {
                        let function = &self.mapping.function;
                        tracing::warn!(%function, why, "a batch's report counts as the failure of all of it");
                        all(batch)
                    }));
                }
                Ok(_) => return Some(HashSet::new()),
                Err(InvokeError::Throttled) => {
                    tokio::select! {
                        () = self.lambda.stopping() => return None,
                        () = tokio::time::sleep(pause) => {}
                    }
                    if self.lambda.clock().now_ms() >= received_ms.saturating_add(visibility_ms) {
                        return None;
                    }
                    pause = (pause * 2).min(MAX_THROTTLE_PAUSE);
                }
                Err(InvokeError::Stopping) => return None,
                Err(error) => {
                    tracing::warn!(function = %self.mapping.function, %error, "cannot invoke");
                    return None;
                }
            }
        }
    }
}

fn all(batch: &[Item]) -> HashSet<String> {
    batch.iter().map(|item| item.message_id.clone()).collect()
}

fn event(batch: &[Item]) -> Bytes {
    let records: Vec<&str> = batch.iter().map(|item| item.record.as_str()).collect();
    format!(r#"{{"Records":[{}]}}"#, records.join(",")).into()
}

/// Batches of at most `size` messages whose events have at most `limit` bytes, in order. A message that is too large
/// for itself is alone; a queue's messages never are.
fn cut(items: Vec<Item>, size: usize, limit: usize) -> Vec<Vec<Item>> {
    let mut batches: Vec<Vec<Item>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        // With the comma before it.
        let length = item.record.len() + 1;
        match batches.last_mut() {
            Some(batch) if batch.len() < size && bytes + length <= limit => {
                bytes += length;
                batch.push(item);
            }
            _ => {
                bytes = ENVELOPE_BYTES + length;
                batches.push(vec![item]);
            }
        }
    }
    batches
}

/// The messages that a report names (developer guide, "Implementing partial batch responses": success and failure
/// conditions). Success of all: no report, null, or an empty list. Failure of all: not JSON, or an identifier that is
/// empty, null, under another key, or no message of the batch.
fn failures(batch: &[Item], answer: &[u8]) -> Result<HashSet<String>, &'static str> {
    let answer: Value = serde_json::from_slice(answer).map_err(|_| "not JSON")?;
    let list = match &answer {
        Value::Null => return Ok(HashSet::new()),
        Value::Object(map) => match map.get("batchItemFailures") {
            None | Some(Value::Null) => return Ok(HashSet::new()),
            Some(Value::Array(list)) => list,
            Some(_) => return Err("batchItemFailures is not a list"),
        },
        _ => return Err("not an object"),
    };
    let known = all(batch);
    list.iter()
        .map(|failure| match failure.get("itemIdentifier").and_then(Value::as_str) {
            Some(id) if known.contains(id) => Ok(id.to_owned()),
            Some(_) => Err("an itemIdentifier is no message of the batch"),
            None => Err("an itemIdentifier is missing or not a text"),
        })
        .collect()
}

fn item(message: ReceivedMessage, arn: &str) -> Item {
    let mut attributes = json!({
        "ApproximateReceiveCount": message.receive_count.to_string(),
        "SentTimestamp": message.sent_ms.to_string(),
        "SenderId": ACCOUNT,
        "ApproximateFirstReceiveTimestamp": message.first_receive_ms.to_string(),
    });
    for (name, value) in [
        ("AWSTraceHeader", &message.trace_header),
        ("DeadLetterQueueSourceArn", &message.dead_letter_source),
        ("MessageGroupId", &message.group_id),
    ] {
        if let Some(value) = value {
            attributes[name] = json!(value);
        }
    }
    let mut record = json!({
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": attributes,
        "messageAttributes": message_attributes(&message.attributes),
        "md5OfBody": message.md5_of_body,
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": REGION,
    });
    if let Some(md5) = message.attributes.md5() {
        record["md5OfMessageAttributes"] = json!(md5);
    }
    Item {
        record: record.to_string(),
        message_id: message.message_id,
        receipt_handle: message.receipt_handle,
    }
}

fn message_attributes(attributes: &MessageAttributes) -> Value {
    let mut map = Map::new();
    for (name, attribute) in attributes.iter() {
        let mut value = json!({
            "stringListValues": [],
            "binaryListValues": [],
            "dataType": attribute.data_type,
        });
        match &attribute.data {
            AttributeData::Text(text) => value["stringValue"] = json!(text),
            AttributeData::Bytes(bytes) => value["binaryValue"] = json!(STANDARD.encode(bytes)),
        }
        map.insert(name.to_owned(), value);
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use carteiro_sqs::MessageAttribute;

    use super::*;

    fn items(records: &[usize]) -> Vec<Item> {
        records
            .iter()
            .enumerate()
            .map(|(at, length)| Item {
                message_id: format!("m{at}"),
                receipt_handle: format!("r{at}"),
                record: "x".repeat(*length),
            })
            .collect()
    }

    #[test]
    fn a_batch_is_cut_by_count_and_by_bytes() {
        let sizes = |batches: Vec<Vec<Item>>| batches.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(cut(items(&[1; 5]), 2, 1000)), [2, 2, 1]);
        assert_eq!(sizes(cut(items(&[100, 100, 100, 100]), 10, 220)), [2, 2]);
        assert_eq!(sizes(cut(items(&[500, 1]), 10, 220)), [1, 1]);
        for batch in cut(items(&[100, 90, 80, 70, 60]), 10, 220) {
            assert!(event(&batch).len() <= 220);
        }
    }

    #[test]
    fn a_report_without_failures_means_success() {
        for answer in ["null", "{}", r#"{"batchItemFailures":null}"#, r#"{"batchItemFailures":[]}"#] {
            assert_eq!(failures(&items(&[1, 1]), answer.as_bytes()), Ok(HashSet::new()), "{answer}");
        }
    }

    #[test]
    fn a_report_names_the_messages_that_failed() {
        let answer = br#"{"batchItemFailures":[{"itemIdentifier":"m1"}]}"#;
        assert_eq!(failures(&items(&[1, 1]), answer), Ok(HashSet::from(["m1".to_owned()])));
    }

    #[test]
    fn a_malformed_report_is_the_failure_of_all() {
        for answer in [
            "",
            "nonsense",
            "\"done\"",
            "[]",
            "true",
            r#"{"batchItemFailures":{}}"#,
            r#"{"batchItemFailures":"m0"}"#,
            r#"{"batchItemFailures":["m0"]}"#,
            r#"{"batchItemFailures":[{}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":7}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"unknown"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"m0"},{"itemidentifier":"m1"}]}"#,
        ] {
            assert!(failures(&items(&[1, 1]), answer.as_bytes()).is_err(), "{answer}");
        }
    }

    #[test]
    fn a_record_has_the_documented_form() {
        let mut attributes = MessageAttributes::new();
        attributes.insert("text", MessageAttribute::text("a")).unwrap();
        attributes.insert("bytes", MessageAttribute::bytes([0xff])).unwrap();
        let message = ReceivedMessage {
            message_id: "id".into(),
            receipt_handle: "handle".into(),
            body: "{\"a\":1}".into(),
            md5_of_body: "md5".into(),
            attributes,
            sent_ms: 1,
            receive_count: 3,
            first_receive_ms: 2,
            group_id: Some("group".into()),
            trace_header: None,
            dead_letter_source: None,
        };
        let record: Value = serde_json::from_str(&item(message, "arn").record).unwrap();
        assert_eq!(record["body"], "{\"a\":1}");
        assert_eq!(record["eventSource"], "aws:sqs");
        assert_eq!(record["eventSourceARN"], "arn");
        assert_eq!(
            record["attributes"],
            json!({
                "ApproximateReceiveCount": "3",
                "SentTimestamp": "1",
                "SenderId": "000000000000",
                "ApproximateFirstReceiveTimestamp": "2",
                "MessageGroupId": "group",
            })
        );
        let empty: [Value; 0] = [];
        assert_eq!(
            record["messageAttributes"],
            json!({
                "text": {"stringValue": "a", "stringListValues": empty, "binaryListValues": empty, "dataType": "String"},
                "bytes": {"binaryValue": "/w==", "stringListValues": empty, "binaryListValues": empty, "dataType": "Binary"},
            })
        );
        assert!(record["md5OfMessageAttributes"].is_string());
    }
}
