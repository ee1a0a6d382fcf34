//! The messages of a batch, read as deliveries, and what becomes of messages of which not all is finished.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use carteiro_adapters::queues::deliver::{DeliverQueue, Outgoing};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_core::delivery::packing::{Rest, rest, unpack};
use carteiro_core::delivery::{Delivery, MessageError};
use carteiro_core::lane::has_room;
use jiff::Timestamp;

use crate::context::ANSWER_RESERVE;

/// How long a delivery waits that failed while others of its message finished: about as long as the queue waits before
/// it hands out a message again.
const FAILED_WAIT: Duration = Duration::from_secs(180);

/// A delivery of the batch.
pub(crate) struct Received {
    /// Its name in the batch: its message's id, and its index where the message carries several.
    pub(crate) message: String,
    pub(crate) delivery: Arc<Delivery>,
    /// When the message was sent.
    pub(crate) sent_at: Option<Timestamp>,
}

/// A delivery and its name in the batch.
type Named = (String, Arc<Delivery>);

/// The messages of a batch, by their ids, with the deliveries that each carries.
pub(crate) struct Messages(Vec<(String, Vec<Named>)>);

/// Reads the messages of an event. Returns their deliveries, the messages, and the ids of those that carry none.
pub(crate) fn read(event: SqsEvent) -> (Vec<Received>, Messages, Vec<String>) {
    let (mut batch, mut messages, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    for record in event.records {
        // A message without an id cannot be answered as failed by itself; the platform gives every message one.
        let id = record.message_id.clone().unwrap_or_default();
        match deliveries(&record) {
            Ok(deliveries) => {
                let is_alone = deliveries.len() == 1;
                let name = |index| if is_alone { id.clone() } else { format!("{id}#{index}") };
                let named = deliveries.into_iter().enumerate();
                let named: Vec<_> =
                    named.map(|(index, delivery)| (name(index), Arc::new(delivery))).collect();
                let received = named.iter().map(|(name, delivery)| Received {
                    message: name.clone(),
                    delivery: Arc::clone(delivery),
                    sent_at: sent_at(&record),
                });
                batch.extend(received);
                messages.push((id, named));
            }
            Err(error) => {
                tracing::error!(message_id = id, error = error.to_string(), "delivery.unreadable");
                unreadable.push(id);
            }
        }
    }
    (batch, Messages(messages), unreadable)
}

impl Messages {
    /// Settles what is not finished, by its name: queues it by itself, or answers the messages that the queue is to
    /// hand out again.
    pub(crate) async fn settle_rest(
        self,
        unfinished: &HashSet<String>,
        queue: &DeliverQueue,
        clock: InvocationClock,
    ) -> Vec<String> {
        let (mut again, mut owners, mut apart) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (id, deliveries) in self.0 {
            let finished: Vec<bool> = deliveries.iter().map(|(name, _)| !unfinished.contains(name)).collect();
            let chain = deliveries.iter().map(|(_, delivery)| delivery.chain).max().unwrap_or_default();
            match rest(&finished, chain) {
                Rest::Done => {}
                Rest::Whole => _ = again.insert(id),
                Rest::Apart(left) => {
                    owners.extend(left.iter().map(|_| id.clone()));
                    apart.extend(
                        left.into_iter()
                            .map(|index| Outgoing::next_of_chain(&deliveries[index].1, FAILED_WAIT)),
                    );
                }
            }
        }
        if !apart.is_empty() {
            let sent = send_in_time(queue, &apart, clock).await;
            again
                .extend(owners.into_iter().zip(sent).filter(|(_, is_sent)| !is_sent).map(|(owner, _)| owner));
        }
        again.into_iter().collect()
    }
}

/// Queues deliveries that there was no time for, each as the next message of its chain. Answers the names of those that
/// are not certainly in the queue, or whose chain has no room.
pub(crate) async fn queue_again(
    left: Vec<Received>,
    queue: &DeliverQueue,
    clock: InvocationClock,
) -> Vec<String> {
    let (left, full): (Vec<_>, Vec<_>) =
        left.into_iter().partition(|received| has_room(received.delivery.chain));
    let outgoing: Vec<_> =
        left.iter().map(|received| Outgoing::next_of_chain(&received.delivery, Duration::ZERO)).collect();
    let sent = send_in_time(queue, &outgoing, clock).await;
    let queued = sent.iter().filter(|is_sent| **is_sent).count();
    if queued > 0 {
        tracing::info!(deliveries = queued, "batch.rest_queued_again");
    }
    let unsent = left.into_iter().zip(sent).filter(|(_, is_sent)| !is_sent).map(|(received, _)| received);
    unsent.chain(full).map(|received| received.message).collect()
}

/// Queues deliveries while the batch has time, and answers of each whether it certainly is in the queue.
async fn send_in_time(queue: &DeliverQueue, outgoing: &[Outgoing], clock: InvocationClock) -> Vec<bool> {
    let left = clock.left().saturating_sub(ANSWER_RESERVE);
    let sent = tokio::time::timeout(left, queue.send(outgoing)).await.unwrap_or_default();
    (0..outgoing.len()).map(|at| sent.get(at).is_some_and(Result::is_ok)).collect()
}

fn sent_at(record: &SqsMessage) -> Option<Timestamp> {
    let milliseconds = record.attributes.get("SentTimestamp")?.parse().ok()?;
    Timestamp::from_millisecond(milliseconds).ok()
}

fn deliveries(record: &SqsMessage) -> Result<Vec<Delivery>, MessageError> {
    unpack(record.body.as_deref().unwrap_or_default(), |name| {
        record.message_attributes.get(name).and_then(|value| value.string_value.as_deref())
    })
}

#[cfg(test)]
mod tests {
    use carteiro_core::delivery::packing;
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
        let (batch, messages, unreadable) = read(serde_json::from_value(event).unwrap());
        assert_eq!(unreadable, ["bad"]);
        let [received] = batch.as_slice() else { panic!("one is a delivery") };
        assert_eq!((received.message.as_str(), received.sent_at), ("good", Some(at(7))));
        assert_eq!(*received.delivery, delivery(1));
        assert_eq!(messages.0.len(), 1);
    }

    #[test]
    fn deliveries_of_one_message_have_names_of_their_own() {
        let message = packing::message(&[&delivery(1), &delivery(2)]);
        let attribute = |text: &String| json!({"stringValue": text, "dataType": "String"});
        let attributes: serde_json::Map<_, _> =
            message.attributes.iter().map(|(name, text)| ((*name).to_owned(), attribute(text))).collect();
        let event = json!({"Records": [
            {"messageId": "both", "body": message.body, "messageAttributes": attributes, "attributes": {}},
        ]});
        let (batch, _, unreadable) = read(serde_json::from_value(event).unwrap());
        assert!(unreadable.is_empty());
        let named: Vec<_> =
            batch.iter().map(|received| (received.message.as_str(), &*received.delivery)).collect();
        assert_eq!(named, [("both#0", &delivery(1)), ("both#1", &delivery(2))]);
    }
}
