//! What CloudFormation asks a custom resource, and what it is answered.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::parameters::{Parameters, faults};

/// The most bytes of a reason: CloudFormation takes an answer of 4,096 bytes.
const MAX_REASON_BYTES: usize = 2000;

/// What CloudFormation asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Asked {
    request_type: String,
    #[serde(rename = "ResponseURL")]
    pub(crate) response_url: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
    physical_resource_id: Option<String>,
    #[serde(default)]
    resource_properties: Map<String, Value>,
    #[serde(default)]
    old_resource_properties: Map<String, Value>,
}

/// What it is answered.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) reason: String,
    physical_resource_id: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
}

/// Whether the deployment goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Status {
    /// It does.
    Success,
    /// It is rolled back.
    Failed,
}

impl Asked {
    /// The answer. A deletion always succeeds, so that a bad parameter keeps no stack from being removed; and so does
    /// the way back. `version` and `processor` are those that the functions were built with.
    pub(crate) fn answer(self, version: &str, processor: &str) -> Answer {
        let faults = match self.request_type.as_str() {
            "Delete" => Vec::new(),
            "Update" if self.goes_back_from(version) => Vec::new(),
            _ => faults(&texts(&self.resource_properties), version, processor),
        };
        let status = if faults.is_empty() { Status::Success } else { Status::Failed };
        let reason = if faults.is_empty() { "the parameters are good".to_owned() } else { faults.join("; ") };
        Answer {
            status,
            reason: shortened(reason),
            // Always the same: a change is no replacement, which would be followed by a deletion.
            physical_resource_id: self.physical_resource_id.unwrap_or_else(|| "parameters".to_owned()),
            stack_id: self.stack_id,
            request_id: self.request_id,
            logical_resource_id: self.logical_resource_id,
        }
    }

    /// Whether this leads from these functions' version to another: a rollback that reaches the parameters before it
    /// reaches this function. They were good in that version, and a refusal would leave the stack between the two.
    fn goes_back_from(&self, version: &str) -> bool {
        let is_own =
            |properties: &Map<String, Value>| properties.get("Version").is_some_and(|of| of == version);
        is_own(&self.old_resource_properties) && !is_own(&self.resource_properties)
    }
}

fn texts(properties: &Map<String, Value>) -> Parameters {
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    properties.iter().filter_map(text).collect()
}

fn shortened(mut reason: String) -> String {
    if reason.len() > MAX_REASON_BYTES {
        let end = (0..=MAX_REASON_BYTES).rev().find(|&at| reason.is_char_boundary(at)).unwrap_or(0);
        reason.truncate(end);
        reason.push('…');
    }
    reason
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(kind: &str, physical: Option<&str>) -> Asked {
        let event = json!({
            "RequestType": kind, "ResponseURL": "https://answer.example/?a", "StackId": "arn:stack",
            "RequestId": "r-1", "ResourceType": "Custom::ParameterCheck", "LogicalResourceId": "ParameterCheck",
            "PhysicalResourceId": physical, "ResourceProperties": {"ServiceTimeout": 60, "NetworkSettings": "{bad"},
        });
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn a_bad_parameter_fails_the_deployment_by_name() {
        for kind in ["Create", "Update"] {
            let answer = asked(kind, None).answer("1", "x86_64");
            assert_eq!(answer.status, Status::Failed);
            assert!(answer.reason.contains("NetworkSettings is malformed"), "{}", answer.reason);
            assert!(answer.reason.len() <= MAX_REASON_BYTES + '…'.len_utf8());
        }
    }

    #[test]
    fn a_deletion_always_succeeds() {
        let answer = asked("Delete", Some("made-before")).answer("1", "x86_64");
        let expected = json!({
            "Status": "SUCCESS", "Reason": "the parameters are good", "PhysicalResourceId": "made-before",
            "StackId": "arn:stack", "RequestId": "r-1", "LogicalResourceId": "ParameterCheck",
        });
        assert_eq!(serde_json::to_value(&answer).unwrap(), expected);
    }

    #[test]
    fn a_rollback_of_these_functions_succeeds() {
        for (old, new, expected) in [
            (json!({"Version": "2"}), json!({"Version": "1"}), Status::Success),
            (json!({"Version": "1"}), json!({"Version": "2"}), Status::Failed),
            (json!({"Version": "2"}), json!({"Version": "2"}), Status::Failed),
            (json!({"Version": "1"}), json!({"Version": "1"}), Status::Failed),
            (json!({}), json!({}), Status::Failed),
        ] {
            let mut asked = asked("Update", Some("parameters"));
            asked.old_resource_properties = old.as_object().unwrap().clone();
            asked.resource_properties = new.as_object().unwrap().clone();
            assert_eq!(asked.answer("2", "x86_64").status, expected, "{old} to {new}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = shortened("é".repeat(2000));
        assert_eq!((reason.len(), reason.chars().count()), (2003, 1001));
        assert_eq!(shortened("short".to_owned()), "short");
    }
}
