//! The messages of a batch, read as deliveries, and what becomes of messages of which not all is finished.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use carteiro_adapters::queues::deliver::{DeliverQueue, Outgoing};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_core::delivery::packing::{Part, Rest, rest, unpack};
use carteiro_core::delivery::{Delivery, MessageError};
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

/// The messages of a batch, with what each carries: the names of its deliveries.
pub(crate) struct Messages(Vec<(String, Vec<(String, Arc<Delivery>)>)>);

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
    /// Settles what is not finished, by its name: sends it to the queue anew, or answers the messages that the queue is
    /// to hand out again.
    pub(crate) async fn settle_rest(
        self,
        unfinished: &HashMap<String, Part>,
        queue: &DeliverQueue,
        clock: InvocationClock,
    ) -> Vec<String> {
        let (mut again, mut owners, mut outgoing) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (id, deliveries) in self.0 {
            let part = |(name, _): &(String, _)| unfinished.get(name).copied().unwrap_or(Part::Finished);
            let parts: Vec<Part> = deliveries.iter().map(part).collect();
            let chain = deliveries.iter().map(|(_, delivery)| delivery.chain).max().unwrap_or_default();
            match rest(&parts, chain) {
                Rest::Done => {}
                Rest::Whole => _ = again.insert(id),
                Rest::Sent { at_once, later } => {
                    let at_once = at_once.into_iter().map(|index| (index, Duration::ZERO));
                    for (index, wait) in at_once.chain(later.into_iter().map(|index| (index, FAILED_WAIT))) {
                        let delivery = Delivery::clone(&deliveries[index].1);
                        let chain = delivery.chain.saturating_add(1);
                        outgoing.push(Outgoing::new(Delivery { chain, ..delivery }, wait));
                        owners.push(id.clone());
                    }
                }
            }
        }
        if !outgoing.is_empty() {
            let left = clock.left().saturating_sub(ANSWER_RESERVE);
            let sent = tokio::time::timeout(left, queue.send(&outgoing)).await.unwrap_or_default();
            let is_unsent = |at: &usize| sent.get(*at).is_none_or(Result::is_err);
            again.extend((0..owners.len()).filter(is_unsent).map(|at| owners[at].clone()));
        }
        again.into_iter().collect()
    }
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
