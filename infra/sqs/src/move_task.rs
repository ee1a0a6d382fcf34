//! Redrive (`StartMessageMoveTask`, `ListMessageMoveTasks`): the messages of a dead-letter queue go back to the queues
//! that they came from, or to one that is named.
//!
//! As on the service, a message that was moved is a new one, by its id, its age and its count of receives; and a
//! message that was sent to the dead-letter queue itself came from nowhere, which ends the task as failed. A task here
//! has ended when it is answered, so that there is none to cancel, and only the last one of a queue is known, until the
//! process ends. `MaxNumberOfMessagesPerSecond` is taken and bounds nothing.

use serde_json::{Value, json};

use crate::error::SqsError;
use crate::message::{ReceiveRequest, SendMessage};
use crate::service::Sqs;

/// How long a message that is being moved is hidden from others.
const HIDDEN_SECONDS: i32 = 60;

/// A task that has ended.
#[derive(Clone, Debug)]
pub(crate) struct MoveTask {
    source_arn: String,
    destination_arn: Option<String>,
    started_ms: u64,
    /// How many messages there were to move, and how many were moved.
    found: usize,
    moved: usize,
    /// Whether a message had no queue that it came from.
    has_failed: bool,
}

impl MoveTask {
    /// The task as `ListMessageMoveTasks` shows it.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = json!({
            "Status": if self.has_failed { "FAILED" } else { "COMPLETED" },
            "SourceArn": self.source_arn,
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.found,
            "StartedTimestamp": self.started_ms,
        });
        if let Some(destination) = &self.destination_arn {
            shown["DestinationArn"] = json!(destination);
        }
        if self.has_failed {
            shown["FailureReason"] = json!("CouldNotDetermineMessageSource");
        }
        shown
    }
}

/// The name of a queue by its ARN.
pub(crate) fn queue_in_arn(arn: &str) -> Result<&str, SqsError> {
    let name = arn.rsplit(':').next().filter(|name| arn.starts_with("arn:") && !name.is_empty());
    name.ok_or_else(|| SqsError::InvalidParameterValue(format!("{arn} is not the ARN of a queue")))
}

impl Sqs {
    /// Moves what can be received of a dead-letter queue now.
    pub(crate) async fn move_messages(
        &self,
        source_arn: String,
        destination_arn: Option<String>,
    ) -> Result<MoveTask, SqsError> {
        let source = queue_in_arn(&source_arn)?.to_owned();
        let destination = destination_arn.as_deref().map(queue_in_arn).transpose()?;
        if let Some(destination) = destination {
            self.describe_queue(destination).await?;
        }
        if self.dead_letter_sources(&source, None, 1).await?.names.is_empty() {
            let why = "Source queue must be configured as a Dead Letter Queue.";
            return Err(SqsError::invalid_parameter(&source_arn, "SourceArn", why));
        }
        let found = self.describe_queue(&source).await?.counts.visible;
        let started_ms = self.clock().now_ms();
        let (mut moved, mut has_failed) = (0, false);
        let request = ReceiveRequest {
            max_messages: Some(1),
            visibility_timeout: Some(HIDDEN_SECONDS),
            wait_seconds: Some(0),
        };
        while moved < found && !has_failed {
            let Some(message) = self.receive(&source, request).await?.pop() else { break };
            let origin = message.dead_letter_source.as_deref().map(queue_in_arn).transpose()?;
            let Some(target) = destination.or(origin) else {
                self.change_visibility(&source, &message.receipt_handle, 0).await?;
                has_failed = true;
                continue;
            };
            let anew = SendMessage {
                attributes: message.attributes,
                trace_header: message.trace_header,
                group_id: message.group_id,
                ..SendMessage::new(message.body)
            };
            self.send(target, anew).await?;
            self.delete(&source, &message.receipt_handle).await?;
            moved += 1;
        }
        Ok(MoveTask { source_arn, destination_arn, started_ms, found, moved, has_failed })
    }
}
