//! The queues as the rest of the stack uses them: in-process, by name.

use std::collections::BTreeMap;
use std::time::Duration;

use carteiro_sqs::{
    BatchEntry, MessageAttribute, MessageAttributes, ReceiveRequest, ReceivedMessage, SendMessage, Sqs,
    SqsError,
};

use crate::template::Queue;

/// How many entries a batch has at most.
const BATCH: usize = 10;

/// What a queue has where the template sets nothing (SQS API reference, CreateQueue).
const DEFAULTS: [(&str, &str); 6] = [
    ("DelaySeconds", "0"),
    ("MaximumMessageSize", "1048576"),
    ("MessageRetentionPeriod", "345600"),
    ("ReceiveMessageWaitTimeSeconds", "0"),
    ("RedrivePolicy", ""),
    ("VisibilityTimeout", "30"),
];

/// The queues. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Queues {
    sqs: Sqs,
}

impl Queues {
    pub(crate) fn new(sqs: Sqs) -> Self {
        Self { sqs }
    }

    /// Makes the queues that are missing, and gives those that are there the template's attributes.
    pub(crate) async fn ensure(&self, queues: &BTreeMap<String, Queue>) -> Result<(), SqsError> {
        // Bare first: a redrive policy names a queue that must exist.
        let there = self.sqs.list_queues("", None, usize::MAX).await?.names;
        for name in queues.keys().filter(|name| !there.contains(name)) {
            self.sqs.create_queue(name, BTreeMap::new(), BTreeMap::new()).await?;
        }
        for queue in queues.values() {
            // What the template no longer sets goes back to the service's default.
            let mut attributes: BTreeMap<String, String> =
                DEFAULTS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            attributes.extend(queue.attributes.clone());
            self.sqs.set_queue_attributes(&queue.name, attributes).await?;
        }
        Ok(())
    }

    /// Sends a message with attributes of type `String`.
    pub(crate) async fn send(
        &self,
        queue: &str,
        body: String,
        attributes: &[(&str, String)],
    ) -> Result<(), SqsError> {
        let mut all = MessageAttributes::new();
        for (name, value) in attributes {
            all.insert(*name, MessageAttribute::text(value.as_str()))?;
        }
        let message = SendMessage { attributes: all, ..SendMessage::new(body) };
        self.sqs.send(queue, message).await.map(|_| ())
    }

    /// Receives up to `max` (at most 10) messages; waits for the first, at most for `wait`, in whole seconds.
    pub(crate) async fn receive(
        &self,
        queue: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<ReceivedMessage>, SqsError> {
        let request = ReceiveRequest {
            max_messages: Some(i32::try_from(max.clamp(1, BATCH)).unwrap_or(1)),
            visibility_timeout: None,
            wait_seconds: Some(i32::try_from(wait.as_secs()).unwrap_or(20)),
        };
        self.sqs.receive(queue, request).await
    }

    /// Deletes messages by their receipt handles; the first error, after all were tried.
    pub(crate) async fn delete(&self, queue: &str, handles: Vec<String>) -> Result<(), SqsError> {
        let mut outcome = Ok(());
        let mut handles = handles.into_iter().peekable();
        while handles.peek().is_some() {
            let entries = handles
                .by_ref()
                .take(BATCH)
                .enumerate()
                .map(|(at, value)| BatchEntry { id: at.to_string(), value })
                .collect();
            let failed = match self.sqs.delete_batch(queue, entries).await {
                Ok(results) => results.into_iter().find_map(|entry| entry.value.err()),
                Err(error) => Some(error),
            };
            if let (Some(error), Ok(())) = (failed, &outcome) {
                outcome = Err(error);
            }
        }
        outcome
    }
}
