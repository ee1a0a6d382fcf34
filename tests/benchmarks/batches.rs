//! Deliveries that the benchmark hands to `deliver` itself, a batch of its choice at a time: so every batch is as full
//! as it says, and calls are the same in each run. A bundle started here has no mappings of `deliver`.

use std::path::PathBuf;

use bytes::Bytes;
use carteiro_clock::testing;
use carteiro_local::BILLED_CHUNK_BYTES;
use carteiro_sqs::{AttributeData, BatchEntry, ReceiveRequest, ReceivedMessage};
use carteiro_tests::{Account, Bundle, workspace};
use serde_json::{Map, Value, json};

/// The time of every benchmark begins here, whatever the run's other tests are told: what a tick does depends on it.
const START: &str = "2026-11-24T10:07:00Z";

/// The size of an item.
pub(crate) const ITEM_BYTES: usize = 2048;

/// A bundle with the functions of a folder, in which nothing takes deliveries by itself.
pub(crate) async fn bundle(functions: PathBuf) -> Bundle {
    bundle_with(functions, [], |template| template).await
}

/// The same, with some parameters set, and with its template edited.
pub(crate) async fn bundle_with<'a>(
    functions: PathBuf,
    own: impl IntoIterator<Item = (&'a str, &'a str)>,
    edit: impl FnOnce(String) -> String,
) -> Bundle {
    let template = std::fs::read_to_string(workspace().join("template.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    std::fs::write(&path, edit(without_deliveries(&template))).unwrap();
    Bundle::start_built(functions, path, testing::clock_at(START), own).await
}

/// The template without the mappings of `deliver`.
fn without_deliveries(template: &str) -> String {
    let begins = template.find("      Events:\n        Deliveries:").unwrap();
    let ends = begins + template[begins..].find("\n\n").unwrap();
    format!("{}{}", &template[..begins], &template[ends..])
}

/// The most messages of a batch, as the template has it.
pub(crate) fn full() -> i32 {
    let template = std::fs::read_to_string(workspace().join("template.yaml")).unwrap();
    let (_, parameter) = template.split_once("\n  DeliverBatchSize:\n").unwrap();
    let (_, default) = parameter.split_once("Default: ").unwrap();
    default.lines().next().unwrap().trim().parse().unwrap()
}

/// The `n`th item of a benchmark.
pub(crate) fn item(n: usize) -> String {
    let head = format!("{{\"n\":\"{n:07}\",\"text\":\"");
    format!("{head}{}\"}}", "x".repeat(ITEM_BYTES - head.len() - 2))
}

/// Sends items in one request.
pub(crate) async fn send_in_bulk(bundle: &Bundle, account: &Account, items: std::ops::Range<usize>) -> usize {
    let count = items.len();
    let line = |n: usize| format!("{{\"type\":\"event\",\"item\":{}}}\n", item(n));
    let body: String = items.map(line).collect();
    let bytes = body.len();
    let authorization = format!("Bearer {}", account.key);
    let headers = [("authorization", authorization.as_str())];
    let reply = bundle.client.request(http::Method::POST, "/bots/b/items", &headers, body).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let reply = reply.json();
    let taken = reply["results"].as_array().unwrap().iter().filter(|line| line["id"].is_string()).count();
    assert_eq!(taken, count, "{:?}", reply["results"][0]);
    bytes
}

/// What the platform called for the batches of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Polled {
    pub(crate) batches: u64,
    /// What SQS bills of the receives: a request for each 64 KiB.
    pub(crate) receives: u64,
}

/// Hands what the queue has to `deliver`, in batches of at most `size`, one after the other.
pub(crate) async fn deliver(bundle: &Bundle, size: i32) -> Polled {
    let mut polled = Polled::default();
    loop {
        let request =
            ReceiveRequest { max_messages: Some(size), visibility_timeout: None, wait_seconds: Some(0) };
        let messages = bundle.stack.queues().receive("DeliverQueue", request).await.unwrap();
        if messages.is_empty() {
            return polled;
        }
        let records: Vec<Value> = messages.iter().map(record).collect();
        let event = Bytes::from(json!({ "Records": records }).to_string());
        let done = bundle.stack.invoke("DeliverFunction", event).await.unwrap();
        let answer: Value = serde_json::from_slice(&done.payload).unwrap();
        assert!(!done.function_error, "{answer}");
        assert_eq!(answer["batchItemFailures"], json!([]), "{:?}", bundle.complaints());
        let entries = messages.iter().enumerate();
        let entries = entries
            .map(|(at, message)| BatchEntry { id: at.to_string(), value: message.receipt_handle.clone() });
        bundle.stack.queues().delete_batch("DeliverQueue", entries.collect()).await.unwrap();
        polled.batches += 1;
        polled.receives +=
            messages.iter().map(bytes).sum::<usize>().div_ceil(BILLED_CHUNK_BYTES).max(1) as u64;
    }
}

fn bytes(message: &ReceivedMessage) -> usize {
    let attributes = message.attributes.iter().map(|(name, attribute)| {
        let value = match &attribute.data {
            AttributeData::Text(text) => text.len(),
            AttributeData::Bytes(bytes) => bytes.len(),
        };
        name.len() + attribute.data_type.len() + value
    });
    message.body.len() + attributes.sum::<usize>()
}

fn record(message: &ReceivedMessage) -> Value {
    let mut attributes = Map::new();
    for (name, attribute) in message.attributes.iter() {
        if let AttributeData::Text(text) = &attribute.data {
            let shown = json!({
                "stringValue": text,
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": attribute.data_type,
            });
            attributes.insert(name.to_owned(), shown);
        }
    }
    json!({
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": message.receive_count.to_string(),
            "SentTimestamp": message.sent_ms.to_string(),
            "SenderId": "000000000000",
            "ApproximateFirstReceiveTimestamp": message.first_receive_ms.to_string(),
        },
        "messageAttributes": attributes,
        "md5OfBody": message.md5_of_body,
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:DeliverQueue",
        "awsRegion": "us-east-1",
    })
}
