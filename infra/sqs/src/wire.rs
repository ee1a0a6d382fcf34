//! Requests and answers as JSON (AWS JSON 1.0, API model `sqs-2012-11-05`).
//!
//! Fields that are required are optional here, so that leaving one out is answered as the service answers it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::broker::QueueDescription;
use crate::error::SqsError;
use crate::message::{
    AttributeData, MessageAttribute, MessageAttributes, ReceivedMessage, SendMessage, SentMessage,
};
use crate::service::{BatchEntry, BatchResults};

type Texts = BTreeMap<String, String>;

/// What names a queue in any request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct QueueRef {
    pub(crate) queue_url: Option<String>,
    pub(crate) queue_name: Option<String>,
}

impl QueueRef {
    /// The name, as far as there is one.
    pub(crate) fn name(&self) -> Option<&str> {
        let by_url = self.queue_url.as_deref().and_then(|url| url.rsplit('/').next());
        by_url.or(self.queue_name.as_deref()).filter(|name| !name.is_empty())
    }
}

/// The name in a queue's URL: its last path segment, whatever the host.
pub(crate) fn queue_in_url(url: Option<String>) -> Result<String, SqsError> {
    let url = required(url, "QueueUrl")?;
    match url.rsplit('/').next() {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(SqsError::InvalidAddress(url)),
    }
}

/// A parameter that must be there and not be empty.
pub(crate) fn required(value: Option<String>, name: &str) -> Result<String, SqsError> {
    value.filter(|value| !value.is_empty()).ok_or_else(|| SqsError::MissingParameter(name.to_owned()))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CreateQueue {
    pub(crate) queue_name: Option<String>,
    pub(crate) attributes: Option<Texts>,
    #[serde(rename = "tags")]
    pub(crate) tags: Option<Texts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct GetQueueUrl {
    pub(crate) queue_name: Option<String>,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    pub(crate) owner: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct QueueUrl {
    pub(crate) queue_url: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ListQueues {
    pub(crate) queue_url: Option<String>,
    pub(crate) queue_name_prefix: Option<String>,
    pub(crate) next_token: Option<String>,
    pub(crate) max_results: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct QueueAttributesRequest<T> {
    pub(crate) queue_url: Option<String>,
    pub(crate) attribute_names: Option<Vec<String>>,
    pub(crate) attributes: Option<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct MoveTasks {
    pub(crate) source_arn: Option<String>,
    pub(crate) destination_arn: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct QueueTags {
    pub(crate) queue_url: Option<String>,
    pub(crate) tags: Option<Texts>,
    pub(crate) tag_keys: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct AttributeValue {
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_value: Option<String>,
    data_type: String,
}

impl AttributeValue {
    fn read(self, name: &str) -> Result<MessageAttribute, SqsError> {
        let wrong =
            |what: &str| SqsError::InvalidParameterValue(format!("The message attribute '{name}' {what}"));
        let data = match (self.string_value, self.binary_value) {
            (Some(text), None) => AttributeData::Text(text),
            (None, Some(encoded)) => AttributeData::Bytes(
                STANDARD.decode(encoded).map_err(|_| wrong("has a binary value that is not base64."))?,
            ),
            (None, None) => return Err(wrong("must contain a non-empty message attribute value.")),
            (Some(_), Some(_)) => return Err(wrong("has multiple values.")),
        };
        Ok(MessageAttribute { data_type: self.data_type, data })
    }
}

impl From<&MessageAttribute> for AttributeValue {
    fn from(attribute: &MessageAttribute) -> Self {
        let (string_value, binary_value) = match &attribute.data {
            AttributeData::Text(text) => (Some(text.clone()), None),
            AttributeData::Bytes(bytes) => (None, Some(STANDARD.encode(bytes))),
        };
        Self { string_value, binary_value, data_type: attribute.data_type.clone() }
    }
}

/// `SendMessage`, and one entry of `SendMessageBatch`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct SendEntry {
    pub(crate) queue_url: Option<String>,
    pub(crate) id: Option<String>,
    message_body: Option<String>,
    delay_seconds: Option<i32>,
    message_attributes: Option<BTreeMap<String, AttributeValue>>,
    message_system_attributes: Option<BTreeMap<String, AttributeValue>>,
    message_deduplication_id: Option<String>,
    message_group_id: Option<String>,
}

impl SendEntry {
    pub(crate) fn read(self) -> Result<SendMessage, SqsError> {
        let mut attributes = MessageAttributes::new();
        for (name, value) in self.message_attributes.unwrap_or_default() {
            attributes.insert(name.clone(), value.read(&name)?)?;
        }
        let mut trace_header = None;
        for (name, value) in self.message_system_attributes.unwrap_or_default() {
            match (name.as_str(), value.read(&name)?.data) {
                ("AWSTraceHeader", AttributeData::Text(text)) => trace_header = Some(text),
                _ => {
                    return Err(SqsError::InvalidParameterValue(format!(
                        "Message system attribute '{name}' is invalid: there is AWSTraceHeader, of type String."
                    )));
                }
            }
        }
        Ok(SendMessage {
            body: self.message_body.unwrap_or_default(),
            delay_seconds: self.delay_seconds,
            attributes,
            trace_header,
            group_id: self.message_group_id,
            deduplication_id: self.message_deduplication_id,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Batch<T> {
    pub(crate) queue_url: Option<String>,
    #[serde(default = "Vec::new")]
    pub(crate) entries: Vec<T>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Sent {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    md5_of_body: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_attributes: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_system_attributes: Option<String>,
}

impl Sent {
    pub(crate) fn new(id: Option<String>, sent: SentMessage) -> Self {
        Self {
            id,
            message_id: sent.message_id,
            md5_of_body: sent.md5_of_body,
            md5_of_attributes: sent.md5_of_attributes,
            md5_of_system_attributes: sent.md5_of_system_attributes,
        }
    }
}

/// An entry that was done and has nothing else to say.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Done {
    pub(crate) id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: String,
    sender_fault: bool,
    code: &'static str,
    message: String,
}

/// An empty list is left out, as the service does.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchAnswer<T> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    successful: Vec<T>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failed>,
}

impl<T> BatchAnswer<T> {
    pub(crate) fn new<V>(results: BatchResults<V>, success: impl Fn(String, V) -> T) -> Self {
        let mut answer = Self { successful: Vec::new(), failed: Vec::new() };
        for BatchEntry { id, value } in results {
            match value {
                Ok(value) => answer.successful.push(success(id, value)),
                Err(error) => answer.failed.push(Failed {
                    id,
                    sender_fault: error.is_sender_fault(),
                    code: error.code(),
                    message: error.to_string(),
                }),
            }
        }
        answer
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Receive {
    pub(crate) queue_url: Option<String>,
    pub(crate) attribute_names: Option<Vec<String>>,
    pub(crate) message_system_attribute_names: Option<Vec<String>>,
    pub(crate) message_attribute_names: Option<Vec<String>>,
    pub(crate) max_number_of_messages: Option<i32>,
    pub(crate) visibility_timeout: Option<i32>,
    pub(crate) wait_time_seconds: Option<i32>,
    pub(crate) receive_request_attempt_id: Option<String>,
}

/// Which parts of a message a receiver asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    system: Vec<String>,
    attributes: Vec<String>,
}

const SYSTEM_ATTRIBUTES: [&str; 10] = [
    "All",
    "SenderId",
    "SentTimestamp",
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "SequenceNumber",
    "MessageDeduplicationId",
    "MessageGroupId",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
];

impl Wanted {
    pub(crate) fn new(request: &mut Receive) -> Result<Self, SqsError> {
        let mut system = request.message_system_attribute_names.take().unwrap_or_default();
        system.extend(request.attribute_names.take().unwrap_or_default());
        if let Some(unknown) = system.iter().find(|name| !SYSTEM_ATTRIBUTES.contains(&name.as_str())) {
            return Err(SqsError::InvalidAttributeName(unknown.clone()));
        }
        Ok(Self { system, attributes: request.message_attribute_names.take().unwrap_or_default() })
    }

    fn wants_system(&self, name: &str) -> bool {
        self.system.iter().any(|wanted| wanted == "All" || wanted == name)
    }

    fn wants_attribute(&self, name: &str) -> bool {
        self.attributes.iter().any(|wanted| {
            wanted == "All"
                || wanted == name
                || wanted.strip_suffix(".*").is_some_and(|prefix| name.starts_with(prefix))
        })
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReceiveAnswer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) messages: Vec<Message>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Message {
    message_id: String,
    receipt_handle: String,
    body: String,
    #[serde(rename = "MD5OfBody")]
    md5_of_body: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, String>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_attributes: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    message_attributes: BTreeMap<String, AttributeValue>,
}

impl Message {
    pub(crate) fn new(message: ReceivedMessage, wanted: &Wanted) -> Self {
        let mut system = BTreeMap::from([
            ("SenderId", crate::attributes::ACCOUNT_ID.to_owned()),
            ("SentTimestamp", message.sent_ms.to_string()),
            ("ApproximateReceiveCount", message.receive_count.to_string()),
            ("ApproximateFirstReceiveTimestamp", message.first_receive_ms.to_string()),
        ]);
        system.extend(message.group_id.map(|id| ("MessageGroupId", id)));
        system.extend(message.trace_header.map(|header| ("AWSTraceHeader", header)));
        system.extend(message.dead_letter_source.map(|arn| ("DeadLetterQueueSourceArn", arn)));
        system.retain(|name, _| wanted.wants_system(name));
        let mut attributes = message.attributes;
        attributes.retain(|name| wanted.wants_attribute(name));
        Self {
            message_id: message.message_id,
            receipt_handle: message.receipt_handle,
            body: message.body,
            md5_of_body: message.md5_of_body,
            attributes: system,
            // The digest is of the attributes handed out: that is what a client can check.
            md5_of_attributes: attributes.md5(),
            message_attributes: attributes
                .iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        }
    }
}

/// `DeleteMessage`, `ChangeMessageVisibility`, and one entry of their batches.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ByHandle {
    pub(crate) queue_url: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) receipt_handle: Option<String>,
    pub(crate) visibility_timeout: Option<i32>,
}

/// All names of queue attributes, set or counted; those of FIFO queues are known and never there.
const QUEUE_ATTRIBUTES: [&str; 22] = [
    "All",
    "Policy",
    "VisibilityTimeout",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
    "ApproximateNumberOfMessagesDelayed",
    "DelaySeconds",
    "ReceiveMessageWaitTimeSeconds",
    "RedrivePolicy",
    "FifoQueue",
    "ContentBasedDeduplication",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "DeduplicationScope",
    "FifoThroughputLimit",
    "RedriveAllowPolicy",
    "SqsManagedSseEnabled",
];

/// The attributes of a queue that were asked for.
pub(crate) fn queue_attributes(
    queue: &QueueDescription,
    names: &[String],
) -> Result<BTreeMap<&'static str, String>, SqsError> {
    if let Some(unknown) = names.iter().find(|name| !QUEUE_ATTRIBUTES.contains(&name.as_str())) {
        return Err(SqsError::InvalidAttributeName(unknown.clone()));
    }
    let mut all = queue.attributes.render();
    all.extend([
        ("QueueArn", queue.arn.clone()),
        ("CreatedTimestamp", (queue.created_ms / 1000).to_string()),
        ("LastModifiedTimestamp", (queue.modified_ms / 1000).to_string()),
        ("ApproximateNumberOfMessages", queue.counts.visible.to_string()),
        ("ApproximateNumberOfMessagesNotVisible", queue.counts.in_flight.to_string()),
        ("ApproximateNumberOfMessagesDelayed", queue.counts.delayed.to_string()),
    ]);
    all.retain(|name, _| names.iter().any(|wanted| wanted == "All" || wanted == name));
    Ok(all)
}
