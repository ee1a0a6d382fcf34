//! A queue's attributes: names, ranges, defaults, and the two policies written in JSON.
//!
//! Source: the API reference of `SetQueueAttributes` and `CreateQueue`. `Policy`, `KmsMasterKeyId` and
//! `SqsManagedSseEnabled` are kept and shown, and change nothing here: there is neither signature nor encryption.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::SqsError;
use crate::message::MAX_MESSAGE_BYTES;

/// The account that everything belongs to.
pub const ACCOUNT_ID: &str = "000000000000";
/// The longest visibility timeout, in seconds; also the longest that one receive can keep a message invisible.
pub const MAX_VISIBILITY_SECONDS: u32 = 43_200;
const MAX_POLICY_BYTES: usize = 20_480;
const MAX_SOURCE_QUEUES: usize = 10;

/// The ARN of the queue of that name.
pub(crate) fn queue_arn(region: &str, name: &str) -> String {
    format!("arn:aws:sqs:{region}:{ACCOUNT_ID}:{name}")
}

/// The name in a queue's ARN, where it is of this region and account.
pub(crate) fn name_in_arn<'a>(region: &str, arn: &'a str) -> Option<&'a str> {
    let rest = arn.strip_prefix("arn:aws:sqs:")?.strip_prefix(region)?;
    rest.strip_prefix(':')?.strip_prefix(ACCOUNT_ID)?.strip_prefix(':').filter(|name| !name.is_empty())
}

/// Where messages go that were received too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedrivePolicy {
    /// The dead-letter queue's ARN.
    pub dead_letter_target_arn: String,
    /// How often a message is received before it goes there: 1 to 1000.
    pub max_receive_count: u32,
}

/// Which queues may use this one as their dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "redrivePermission", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RedriveAllowPolicy {
    /// All of the account.
    AllowAll,
    /// None.
    DenyAll,
    /// The queues of these ARNs, at most ten.
    ByQueue {
        /// The ARNs.
        source_queue_arns: Vec<String>,
    },
}

/// What can be set of a queue. The defaults are the service's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueAttributes {
    /// `DelaySeconds`, 0 to 900.
    pub delay_seconds: u32,
    /// `MaximumMessageSize`, in bytes, 1,024 to 1,048,576.
    pub maximum_message_size: u32,
    /// `MessageRetentionPeriod`, in seconds, 60 to 1,209,600.
    pub retention_seconds: u32,
    /// `ReceiveMessageWaitTimeSeconds`, 0 to 20.
    pub receive_wait_seconds: u32,
    /// `VisibilityTimeout`, in seconds, 0 to 43,200.
    pub visibility_timeout: u32,
    /// `RedrivePolicy`.
    pub redrive_policy: Option<RedrivePolicy>,
    /// `RedriveAllowPolicy`.
    pub redrive_allow_policy: Option<RedriveAllowPolicy>,
    /// `Policy`: kept and not enforced.
    pub policy: Option<String>,
    /// `KmsMasterKeyId`: kept; nothing is encrypted.
    pub kms_master_key_id: Option<String>,
    /// `KmsDataKeyReusePeriodSeconds`, 60 to 86,400: kept.
    pub kms_data_key_reuse_seconds: u32,
    /// `SqsManagedSseEnabled`: kept.
    pub sqs_managed_sse: bool,
}

impl Default for QueueAttributes {
    fn default() -> Self {
        Self {
            delay_seconds: 0,
            maximum_message_size: 1_048_576,
            retention_seconds: 345_600,
            receive_wait_seconds: 0,
            visibility_timeout: 30,
            redrive_policy: None,
            redrive_allow_policy: None,
            policy: None,
            kms_master_key_id: None,
            kms_data_key_reuse_seconds: 300,
            sqs_managed_sse: true,
        }
    }
}

impl QueueAttributes {
    /// Sets attributes from the texts of the API; all of them or, at an error, none.
    pub(crate) fn with(&self, changes: &BTreeMap<String, String>) -> Result<Self, SqsError> {
        let mut new = self.clone();
        for (name, value) in changes {
            new.set(name, value)?;
        }
        Ok(new)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), SqsError> {
        let number = |min, max| number_within(name, value, min, max);
        match name {
            "DelaySeconds" => self.delay_seconds = number(0, 900)?,
            "MaximumMessageSize" => {
                self.maximum_message_size =
                    number(1024, u32::try_from(MAX_MESSAGE_BYTES).unwrap_or(u32::MAX))?;
            }
            "MessageRetentionPeriod" => self.retention_seconds = number(60, 1_209_600)?,
            "ReceiveMessageWaitTimeSeconds" => self.receive_wait_seconds = number(0, 20)?,
            "VisibilityTimeout" => self.visibility_timeout = number(0, MAX_VISIBILITY_SECONDS)?,
            "KmsDataKeyReusePeriodSeconds" => self.kms_data_key_reuse_seconds = number(60, 86_400)?,
            "RedrivePolicy" => self.redrive_policy = unless_empty(value, redrive_policy)?,
            "RedriveAllowPolicy" => self.redrive_allow_policy = unless_empty(value, redrive_allow_policy)?,
            "Policy" => self.policy = unless_empty(value, policy)?,
            "KmsMasterKeyId" => self.kms_master_key_id = unless_empty(value, |key| Ok(key.to_owned()))?,
            "SqsManagedSseEnabled" => {
                self.sqs_managed_sse = value
                    .to_ascii_lowercase()
                    .parse()
                    .map_err(|_| SqsError::invalid_attribute(name, "it is true or false"))?;
            }
            "FifoQueue" | "ContentBasedDeduplication" | "DeduplicationScope" | "FifoThroughputLimit" => {
                return Err(SqsError::InvalidAttributeName(format!(
                    "{name}: it is one of FIFO queues, and there are standard queues only here"
                )));
            }
            _ => return Err(SqsError::InvalidAttributeName(name.to_owned())),
        }
        Ok(())
    }

    /// The first attribute in `names` that the two have differently.
    pub(crate) fn first_difference<'a>(
        &self,
        other: &Self,
        names: impl Iterator<Item = &'a String>,
    ) -> Option<&'a String> {
        let (mine, theirs) = (self.render(), other.render());
        let mut names = names;
        names.find(|name| mine.get(name.as_str()) != theirs.get(name.as_str()))
    }

    /// As `GetQueueAttributes` shows them; what is not set is not in it.
    pub(crate) fn render(&self) -> BTreeMap<&'static str, String> {
        let mut all = BTreeMap::from([
            ("DelaySeconds", self.delay_seconds.to_string()),
            ("MaximumMessageSize", self.maximum_message_size.to_string()),
            ("MessageRetentionPeriod", self.retention_seconds.to_string()),
            ("ReceiveMessageWaitTimeSeconds", self.receive_wait_seconds.to_string()),
            ("VisibilityTimeout", self.visibility_timeout.to_string()),
            ("SqsManagedSseEnabled", self.sqs_managed_sse.to_string()),
        ]);
        // Serialising these structures of texts and numbers cannot fail.
        let json = |value: Result<String, serde_json::Error>| value.unwrap_or_default();
        if let Some(redrive) = &self.redrive_policy {
            all.insert("RedrivePolicy", json(serde_json::to_string(redrive)));
        }
        if let Some(allow) = &self.redrive_allow_policy {
            all.insert("RedriveAllowPolicy", json(serde_json::to_string(allow)));
        }
        if let Some(policy) = &self.policy {
            all.insert("Policy", policy.clone());
        }
        if let Some(key) = &self.kms_master_key_id {
            all.insert("KmsMasterKeyId", key.clone());
            all.insert("KmsDataKeyReusePeriodSeconds", self.kms_data_key_reuse_seconds.to_string());
        }
        all
    }
}

fn number_within(name: &str, value: &str, min: u32, max: u32) -> Result<u32, SqsError> {
    let number = value.parse::<u32>().ok().filter(|n| (min..=max).contains(n));
    number.ok_or_else(|| SqsError::invalid_attribute(name, format!("it is a number from {min} to {max}")))
}

/// An empty text takes the attribute away.
fn unless_empty<T>(value: &str, parse: impl Fn(&str) -> Result<T, SqsError>) -> Result<Option<T>, SqsError> {
    if value.is_empty() { Ok(None) } else { parse(value).map(Some) }
}

fn policy(value: &str) -> Result<String, SqsError> {
    let is_object = serde_json::from_str::<Value>(value).is_ok_and(|json| json.is_object());
    if is_object && value.len() <= MAX_POLICY_BYTES {
        Ok(value.to_owned())
    } else {
        Err(SqsError::invalid_attribute("Policy", "it is a JSON object of at most 20480 bytes"))
    }
}

fn redrive_policy(value: &str) -> Result<RedrivePolicy, SqsError> {
    let refuse = |reason: &str| SqsError::invalid_parameter(value, "RedrivePolicy", reason);
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(value) else {
        return Err(refuse("Redrive policy is not a valid JSON map."));
    };
    if fields.keys().any(|key| key != "deadLetterTargetArn" && key != "maxReceiveCount") {
        return Err(refuse(
            "Only following attributes are supported: [deadLetterTargetArn, maxReceiveCount].",
        ));
    }
    let Some(arn) = fields.get("deadLetterTargetArn").and_then(Value::as_str).filter(|arn| !arn.is_empty())
    else {
        return Err(refuse("Redrive policy does not contain mandatory attribute: deadLetterTargetArn."));
    };
    let Some(count) = fields.get("maxReceiveCount") else {
        return Err(refuse("Redrive policy does not contain mandatory attribute: maxReceiveCount."));
    };
    let max_receive_count = match count {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
    .and_then(|n| u32::try_from(n).ok())
    .filter(|n| (1..=1000).contains(n))
    .ok_or_else(|| {
        refuse(&format!(
            "Invalid value for maxReceiveCount: {count}, valid values are from 1 to 1000 both inclusive."
        ))
    })?;
    Ok(RedrivePolicy { dead_letter_target_arn: arn.to_owned(), max_receive_count })
}

fn redrive_allow_policy(value: &str) -> Result<RedriveAllowPolicy, SqsError> {
    let refuse = |reason: &str| SqsError::invalid_parameter(value, "RedriveAllowPolicy", reason);
    let policy: RedriveAllowPolicy = serde_json::from_str(value).map_err(|_| {
        refuse("It is a JSON map of redrivePermission (allowAll, denyAll, byQueue) and, with byQueue, sourceQueueArns.")
    })?;
    if let RedriveAllowPolicy::ByQueue { source_queue_arns } = &policy
        && !(1..=MAX_SOURCE_QUEUES).contains(&source_queue_arns.len())
    {
        return Err(refuse(
            "Amazon SQS can't create the redrive allow policy: sourceQueueArns has 1 to 10 ARNs.",
        ));
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Result<QueueAttributes, SqsError> {
        QueueAttributes::default().with(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn numbers_are_taken_to_the_ends_of_their_ranges_and_not_beyond() {
        for (name, min, max) in [
            ("DelaySeconds", 0_i64, 900_i64),
            ("MaximumMessageSize", 1024, 1_048_576),
            ("MessageRetentionPeriod", 60, 1_209_600),
            ("ReceiveMessageWaitTimeSeconds", 0, 20),
            ("VisibilityTimeout", 0, 43_200),
            ("KmsDataKeyReusePeriodSeconds", 60, 86_400),
        ] {
            for good in [min, max] {
                assert!(set(name, &good.to_string()).is_ok(), "{name} {good}");
            }
            for bad in [min - 1, max + 1] {
                assert_eq!(
                    set(name, &bad.to_string()).unwrap_err().code(),
                    "InvalidAttributeValue",
                    "{name} {bad}"
                );
            }
            assert!(set(name, "x").is_err());
        }
    }

    #[test]
    fn unknown_attributes_and_those_of_fifo_queues_are_refused() {
        for name in ["Nonsense", "FifoQueue", "ContentBasedDeduplication", "QueueArn"] {
            assert_eq!(set(name, "true").unwrap_err().code(), "InvalidAttributeName");
        }
    }

    #[test]
    fn a_redrive_policys_count_is_a_number_or_text_from_1_to_1000() {
        let with = |count: &str| {
            set(
                "RedrivePolicy",
                &format!(
                    r#"{{"deadLetterTargetArn":"arn:aws:sqs:r:000000000000:d","maxReceiveCount":{count}}}"#
                ),
            )
        };
        for good in ["1", "\"1\"", "1000", "\"1000\""] {
            assert!(with(good).is_ok(), "{good}");
        }
        for bad in ["0", "1001", "\"x\"", "null", "1.5"] {
            assert_eq!(with(bad).unwrap_err().code(), "InvalidParameterValue", "{bad}");
        }
    }

    #[test]
    fn a_redrive_policy_has_both_fields_and_no_others() {
        for bad in [
            "x",
            "[]",
            r#"{"maxReceiveCount":1}"#,
            r#"{"deadLetterTargetArn":"a"}"#,
            r#"{"deadLetterTargetArn":"a","maxReceiveCount":1,"more":1}"#,
        ] {
            assert_eq!(set("RedrivePolicy", bad).unwrap_err().code(), "InvalidParameterValue", "{bad}");
        }
    }

    #[test]
    fn an_empty_text_takes_a_policy_away() {
        let text = r#"{"deadLetterTargetArn":"a","maxReceiveCount":1}"#;
        let with = set("RedrivePolicy", text).unwrap();
        assert_eq!(with.render()["RedrivePolicy"], text);
        let without = with.with(&BTreeMap::from([("RedrivePolicy".to_owned(), String::new())])).unwrap();
        assert_eq!(without, QueueAttributes::default());
    }

    #[test]
    fn a_redrive_allow_policy_is_one_of_three() {
        for good in [
            r#"{"redrivePermission":"allowAll"}"#,
            r#"{"redrivePermission":"denyAll"}"#,
            r#"{"redrivePermission":"byQueue","sourceQueueArns":["a"]}"#,
        ] {
            assert_eq!(set("RedriveAllowPolicy", good).unwrap().render()["RedriveAllowPolicy"], good);
        }
        for bad in [
            "x",
            r#"{"redrivePermission":"some"}"#,
            r#"{"redrivePermission":"byQueue"}"#,
            r#"{"redrivePermission":"byQueue","sourceQueueArns":[]}"#,
        ] {
            assert!(set("RedriveAllowPolicy", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_arn_names_a_queue_of_this_region_and_account() {
        assert_eq!(name_in_arn("eu-west-1", &queue_arn("eu-west-1", "q")), Some("q"));
        assert_eq!(name_in_arn("eu-west-1", &queue_arn("eu-west-2", "q")), None);
        assert_eq!(name_in_arn("eu-west-1", "arn:aws:sqs:eu-west-1:111111111111:q"), None);
        assert_eq!(name_in_arn("eu-west-1", "arn:aws:sqs:eu-west-1:000000000000:"), None);
    }
}
