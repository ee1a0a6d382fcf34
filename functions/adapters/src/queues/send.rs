//! Sending messages in batches.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use carteiro_core::delivery::MAX_BATCH_ENTRIES;
use serde::Serialize;

use crate::error::AdapterError;

/// A message whose body is JSON.
pub(crate) struct JsonMessage<'a, T> {
    pub(crate) body: &'a T,
    /// The account, where it has one. SQS's fair queues keep one group's backlog from delaying the others.
    pub(crate) group: Option<&'a str>,
    pub(crate) delay: Option<Duration>,
}

/// A delay as SQS takes it: in whole seconds, at most 15 minutes.
pub(crate) fn delay_seconds(delay: Duration) -> i32 {
    i32::try_from(delay.as_millis().div_ceil(1000).min(900)).unwrap_or(900)
}

/// Queues messages. On an error some of them may be in the queue.
pub(crate) async fn send_json<T: Serialize>(
    (client, url): (&Client, &str),
    messages: &[JsonMessage<'_, T>],
    operation: &'static str,
) -> Result<(), AdapterError> {
    for batch in messages.chunks(MAX_BATCH_ENTRIES) {
        let mut call = client.send_message_batch().queue_url(url);
        for (index, message) in batch.iter().enumerate() {
            let body = serde_json::to_string(message.body);
            let body = body.map_err(|error| AdapterError::unavailable(operation, error))?;
            let entry = SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(body)
                .set_message_group_id(message.group.map(str::to_owned))
                .set_delay_seconds(message.delay.map(delay_seconds))
                .build();
            call = call.entries(entry.map_err(AdapterError::not_built(operation))?);
        }
        let answer = call.send().await.map_err(AdapterError::in_call(operation))?;
        if !answer.failed.is_empty() {
            return Err(AdapterError::NotQueued { operation });
        }
    }
    Ok(())
}
