//! The messages of a batch, read as deliveries.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use carteiro_core::delivery::{Delivery, MessageError};
use jiff::Timestamp;

/// A message of the batch and its delivery.
pub(crate) struct Received {
    pub(crate) message: String,
    pub(crate) delivery: Arc<Delivery>,
    /// When the message was sent.
    pub(crate) sent_at: Option<Timestamp>,
}

/// Reads the messages of an event. Returns the deliveries, and the ids of messages that are not deliveries.
pub(crate) fn read(event: SqsEvent) -> (Vec<Received>, Vec<String>) {
    let (mut batch, mut unreadable) = (Vec::new(), Vec::new());
    for record in event.records {
        // A message without an id cannot be answered as failed by itself; the platform gives every message one.
        let message = record.message_id.clone().unwrap_or_default();
        match delivery(&record) {
            Ok(delivery) => {
                batch.push(Received { message, delivery: Arc::new(delivery), sent_at: sent_at(&record) });
            }
            Err(error) => {
                tracing::error!(message_id = message, error = error.to_string(), "delivery.unreadable");
                unreadable.push(message);
            }
        }
    }
    (batch, unreadable)
}

fn sent_at(record: &SqsMessage) -> Option<Timestamp> {
    let milliseconds = record.attributes.get("SentTimestamp")?.parse().ok()?;
    Timestamp::from_millisecond(milliseconds).ok()
}

fn delivery(record: &SqsMessage) -> Result<Delivery, MessageError> {
    Delivery::from_message(record.body.as_deref().unwrap_or_default(), |name| {
        record.message_attributes.get(name).and_then(|value| value.string_value.as_deref())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{at, delivery};

    #[test]
    fn a_message_that_is_no_delivery_is_answered_alone() {
        let message = delivery(1).to_message();
        let attribute = |text: &String| json!({"stringValue": text, "dataType": "String"});
        let attributes: serde_json::Map<_, _> =
            message.attributes.iter().map(|(name, text)| ((*name).to_owned(), attribute(text))).collect();
        let event = json!({"Records": [
            {
                "messageId": "good", "body": message.body, "messageAttributes": attributes,
                "attributes": {"SentTimestamp": "7000"},
            },
            {"messageId": "bad", "body": "{}", "messageAttributes": {}, "attributes": {}},
        ]});
        let (batch, unreadable) = read(serde_json::from_value(event).unwrap());
        assert_eq!(unreadable, ["bad"]);
        let [received] = batch.as_slice() else { panic!("one is a delivery") };
        assert_eq!((received.message.as_str(), received.sent_at), ("good", Some(at(7))));
        assert_eq!(*received.delivery, delivery(1));
    }
}
