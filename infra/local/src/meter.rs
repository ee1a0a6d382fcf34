//! What AWS would bill of the calls to tables and queues, counted between two moments that a test chooses.
//!
//! A call that a client repeats, because its answer was late, is counted once: the repeats say something of the
//! machine, and a bill is about the program. Calls that were refused by an injected fault are not counted.
//!
//! Only what comes over HTTP is counted: not the receives and deletes of queue mappings.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use carteiro_sqs::Call;
use http::HeaderMap;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// How much of a payload SQS bills as one request (SQS pricing: "every 64 KB chunk of a payload").
pub const BILLED_CHUNK_BYTES: usize = 65_536;

/// The header by which the SDK marks the repeats of a call.
const INVOCATION_ID: &str = "amz-sdk-invocation-id";

/// Calls of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calls {
    /// How many there were.
    pub calls: u64,
    /// What is billed for them: request units of tables, indexes included, or requests of queues.
    pub units: f64,
}

/// Calls by operation and tables (`BatchGetItem ConfigTable+StreakTable`), or by action and queue
/// (`SendMessageBatch DeliverQueue`).
pub type Metered = BTreeMap<String, Calls>;

/// Counts while it runs.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Option<Counting>>);

#[derive(Debug, Default)]
struct Counting {
    metered: Metered,
    seen: HashSet<String>,
}

impl Meter {
    /// Counts from now on.
    pub(crate) fn start(&self) {
        *self.lock() = Some(Counting::default());
    }

    /// Counts no more, and answers what was counted since the start.
    pub(crate) fn stop(&self) -> Metered {
        self.lock().take().map(|counting| counting.metered).unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Counting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call with this id is to be counted: nobody counted it before.
    fn is_new(&self, invocation: Option<&str>) -> bool {
        let mut counting = self.lock();
        let Some(counting) = counting.as_mut() else { return false };
        invocation.is_none_or(|id| counting.seen.insert(id.to_owned()))
    }

    fn add(&self, kind: String, units: f64) {
        if let Some(counting) = self.lock().as_mut() {
            let calls = counting.metered.entry(kind).or_default();
            calls.calls += 1;
            calls.units += units;
        }
    }

    /// The request of a call to the tables that is to be counted, changed so that its answer tells what it consumed;
    /// nothing where it is not to be counted.
    pub(crate) fn asking(&self, operation: &str, headers: &HeaderMap, body: &[u8]) -> Option<Bytes> {
        let rest = body.strip_prefix(b"{").filter(|_| BILLED.contains(&operation))?;
        let invocation = headers.get(INVOCATION_ID).and_then(|id| id.to_str().ok());
        self.is_new(invocation).then(|| [br#"{"ReturnConsumedCapacity":"TOTAL","#, rest].concat().into())
    }

    /// Counts a call to the tables by its request and its answer.
    pub(crate) fn count_tables(&self, operation: &str, request: &[u8], answer: &[u8]) {
        let tables = tables(request);
        let units = consumed(answer).unwrap_or_else(|| {
            // A write whose condition does not hold is billed all the same, and its answer does not say so.
            u32::try_from(tables.len()).map(f64::from).unwrap_or_default()
        });
        self.add(format!("{operation} {}", tables.into_iter().collect::<Vec<_>>().join("+")), units);
    }

    /// Counts a call to the queues.
    pub(crate) fn count_queues(&self, call: &Call<'_>) {
        if self.is_new(call.invocation_id) {
            let requests = payload_bytes(call.body).div_ceil(BILLED_CHUNK_BYTES).max(1);
            let units = u32::try_from(requests).map(f64::from).unwrap_or(f64::MAX);
            self.add(format!("{} {}", call.action, call.queue.unwrap_or_default()), units);
        }
    }
}

/// The operations whose answers can tell what they consumed.
const BILLED: [&str; 10] = [
    "BatchExecuteStatement",
    "BatchGetItem",
    "BatchWriteItem",
    "DeleteItem",
    "GetItem",
    "PutItem",
    "Query",
    "Scan",
    "TransactWriteItems",
    "UpdateItem",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OnTables {
    table_name: Option<String>,
    request_items: Option<BTreeMap<String, IgnoredAny>>,
    transact_items: Option<Vec<BTreeMap<String, OnTable>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OnTable {
    table_name: String,
}

fn tables(request: &[u8]) -> BTreeSet<String> {
    let Ok(request) = serde_json::from_slice::<OnTables>(request) else { return BTreeSet::new() };
    let together = request.request_items.into_iter().flatten().map(|(table, _)| table);
    let transacted = request.transact_items.into_iter().flatten().flatten().map(|(_, on)| on.table_name);
    request.table_name.into_iter().chain(together).chain(transacted).collect()
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "ConsumedCapacity")]
    consumed: OneOrMany,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Consumed),
    Many(Vec<Consumed>),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Consumed {
    capacity_units: f64,
}

fn consumed(answer: &[u8]) -> Option<f64> {
    Some(match serde_json::from_slice::<Answer>(answer).ok()?.consumed {
        OneOrMany::One(one) => one.capacity_units,
        OneOrMany::Many(many) => many.iter().map(|one| one.capacity_units).sum(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    #[serde(default)]
    entries: Vec<Message>,
    #[serde(flatten)]
    alone: Message,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(default)]
    message_body: String,
    #[serde(default)]
    message_attributes: BTreeMap<String, Attribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    data_type: String,
    #[serde(default)]
    string_value: String,
}

/// The bytes of the messages in a request: bodies, and the attributes' names, types and values.
fn payload_bytes(request: &[u8]) -> usize {
    let Ok(sent) = serde_json::from_slice::<Sent>(request) else { return 0 };
    sent.entries.iter().chain([&sent.alone]).map(Message::bytes).sum()
}

impl Message {
    fn bytes(&self) -> usize {
        let attribute = |(name, attribute): (&String, &Attribute)| {
            name.len() + attribute.data_type.len() + attribute.string_value.len()
        };
        self.message_body.len() + self.message_attributes.iter().map(attribute).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(id: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(INVOCATION_ID), id.parse().unwrap())])
    }

    #[test]
    fn a_repeated_call_counts_once_and_none_before_the_start() {
        let meter = Meter::default();
        assert_eq!(meter.asking("GetItem", &headers("one"), b"{\"TableName\":\"T\"}"), None);
        meter.start();
        let asking = meter.asking("GetItem", &headers("one"), b"{\"TableName\":\"T\"}").unwrap();
        assert_eq!(asking, r#"{"ReturnConsumedCapacity":"TOTAL","TableName":"T"}"#);
        assert_eq!(meter.asking("GetItem", &headers("one"), b"{\"TableName\":\"T\"}"), None);
        assert_eq!(meter.asking("DescribeTable", &headers("two"), b"{\"TableName\":\"T\"}"), None);
    }

    #[test]
    fn tables_are_counted_by_the_units_that_their_answers_tell() {
        let meter = Meter::default();
        meter.start();
        let both = br#"{"RequestItems":{"B":{"Keys":[]},"A":{"Keys":[]}}}"#;
        let answer =
            br#"{"Responses":{},"ConsumedCapacity":[{"TableName":"A","CapacityUnits":2.0},{"CapacityUnits":0.5}]}"#;
        meter.count_tables("BatchGetItem", both, answer);
        meter.count_tables("UpdateItem", br#"{"TableName":"A"}"#, br#"{"__type":"ConditionalCheckFailed"}"#);
        let transact = br#"{"TransactItems":[{"Put":{"TableName":"A"}},{"Update":{"TableName":"C"}}]}"#;
        meter.count_tables(
            "TransactWriteItems",
            transact,
            br#"{"ConsumedCapacity":[{"CapacityUnits":4.0}]}"#,
        );
        let calls = |units| Calls { calls: 1, units };
        let expected = [("BatchGetItem A+B", 2.5), ("TransactWriteItems A+C", 4.0), ("UpdateItem A", 1.0)];
        let expected: Metered =
            expected.map(|(kind, units)| (kind.to_owned(), calls(units))).into_iter().collect();
        assert_eq!(meter.stop(), expected);
        assert_eq!(meter.stop(), Metered::new());
    }

    #[test]
    fn a_queue_bills_each_64_kib_of_the_messages_in_a_request() {
        let entry = |bytes: usize| {
            serde_json::json!({
                "MessageBody": "x".repeat(bytes - 8),
                "MessageAttributes": {"a": {"DataType": "String", "StringValue": "v"}},
            })
        };
        let request = |sizes: &[usize]| {
            serde_json::json!({"Entries": sizes.iter().map(|bytes| entry(*bytes)).collect::<Vec<_>>()})
                .to_string()
        };
        let meter = Meter::default();
        for (body, units) in [
            (request(&[BILLED_CHUNK_BYTES]), 1.0),
            (request(&[BILLED_CHUNK_BYTES, 8]), 2.0),
            (request(&[100; 10]), 1.0),
            (entry(2 * BILLED_CHUNK_BYTES + 1).to_string(), 3.0),
            (r#"{"QueueUrl":"u","ReceiptHandle":"h"}"#.to_owned(), 1.0),
        ] {
            meter.start();
            let call = Call {
                action: "Send",
                queue: Some("Q"),
                access_key_id: None,
                invocation_id: None,
                body: body.as_bytes(),
            };
            meter.count_queues(&call);
            assert_eq!(meter.stop()["Send Q"], Calls { calls: 1, units });
        }
    }
}
