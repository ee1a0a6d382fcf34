//! The queue of deliveries, and its dead-letter queue.
//!
//! What is sent at once to one webhook travels in messages of several deliveries ([`packing`]). A message is in the
//! queue or is not, and so are all of its deliveries.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    Message as Received, MessageAttributeValue, QueueAttributeName, SendMessageBatchRequestEntry,
};
use carteiro_core::delivery::packing::{self, Pack};
use carteiro_core::delivery::{self, Delivery};
use futures_util::StreamExt;
use futures_util::stream;

use crate::error::AdapterError;
use crate::queues::send::delay_seconds;

/// How many send batches are under way at once.
const CONCURRENT_BATCHES: usize = 16;

/// Rounds of sending, each for the messages that the round before it failed to send.
const ROUNDS: usize = 3;

/// The queue of deliveries.
#[derive(Clone, Debug)]
pub struct DeliverQueue {
    client: Client,
    url: String,
}

/// A delivery to be queued.
#[derive(Clone, Debug)]
pub struct Outgoing {
    delivery: Delivery,
    delay_seconds: i32,
}

impl Outgoing {
    /// A delivery to be queued after a delay of at most 15 minutes. A longer one becomes 15 minutes. One that waits
    /// travels alone.
    #[must_use]
    pub fn new(delivery: Delivery, delay: Duration) -> Self {
        Self { delivery, delay_seconds: delay_seconds(delay) }
    }

    /// The same delivery, in the next message of its chain.
    #[must_use]
    pub fn next_of_chain(delivery: &Delivery, delay: Duration) -> Self {
        let chain = delivery.chain.saturating_add(1);
        Self::new(Delivery { chain, ..delivery.clone() }, delay)
    }
}

impl DeliverQueue {
    /// The queue at this URL.
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Queues deliveries, and answers for each whether it certainly is in the queue. A message whose answer was lost
    /// may be in it all the same, and then arrives twice, under the same id.
    pub async fn send(&self, outgoing: &[Outgoing]) -> Vec<Result<(), SendFailed>> {
        let packs = packing::packs(outgoing.iter().map(|one| (&one.delivery, one.delay_seconds == 0)));
        let sizes: Vec<_> = packs.iter().map(|pack| pack.bytes).collect();
        let mut queued = vec![Err(SendFailed); outgoing.len()];
        let batches = stream::iter(delivery::batches(&sizes)).map(|batch| {
            let packs = &packs[batch];
            async move { (packs, self.send_batch(packs, outgoing).await) }
        });
        let mut batches = batches.buffer_unordered(CONCURRENT_BATCHES);
        while let Some((packs, sent)) = batches.next().await {
            for (pack, sent) in packs.iter().zip(sent) {
                pack.members.iter().for_each(|&member| queued[member] = sent);
            }
        }
        queued
    }

    async fn send_batch(&self, packs: &[Pack], outgoing: &[Outgoing]) -> Vec<Result<(), SendFailed>> {
        let mut left: Vec<usize> = (0..packs.len()).collect();
        for _ in 0..ROUNDS {
            let entries = left.iter().filter_map(|&index| entry(index, &packs[index], outgoing)).collect();
            match self
                .client
                .send_message_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries))
                .send()
                .await
            {
                Ok(answer) => {
                    let sent: HashSet<_> = answer.successful.iter().map(|one| one.id.as_str()).collect();
                    left.retain(|index| !sent.contains(index.to_string().as_str()));
                    for failed in &answer.failed {
                        tracing::warn!(
                            code = failed.code,
                            sender_fault = failed.sender_fault,
                            "queue.entry_refused"
                        );
                    }
                }
                Err(error) => {
                    let error = AdapterError::of_call("queueing deliveries", error);
                    tracing::warn!(error = error.chain(), messages = left.len(), "queue.batch_failed");
                    // The client has repeated transient failures itself.
                    break;
                }
            }
            if left.is_empty() {
                break;
            }
        }
        (0..packs.len()).map(|index| if left.contains(&index) { Err(SendFailed) } else { Ok(()) }).collect()
    }

    /// Takes up to ten messages, without waiting.
    ///
    /// # Errors
    /// Where the queue cannot be asked.
    pub async fn receive(&self) -> Result<Vec<Received>, AdapterError> {
        let call = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
        let answer = call.message_attribute_names("All").send().await;
        let answer = answer.map_err(AdapterError::in_call("receiving deliveries"))?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// Deletes a message that was received.
    ///
    /// # Errors
    /// Where the queue cannot be asked.
    pub async fn delete(&self, receipt: &str) -> Result<(), AdapterError> {
        let sent = self.client.delete_message().queue_url(&self.url).receipt_handle(receipt).send().await;
        sent.map(|_| ()).map_err(AdapterError::in_call("deleting a delivery"))
    }

    /// About how many messages wait to be received.
    ///
    /// # Errors
    /// Where the queue cannot be asked.
    pub async fn depth(&self) -> Result<u64, AdapterError> {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let call = self.client.get_queue_attributes().queue_url(&self.url).attribute_names(name.clone());
        let answer = call.send().await.map_err(AdapterError::in_call("asking a queue's depth"))?;
        let depth = answer.attributes.as_ref().and_then(|attributes| attributes.get(&name));
        Ok(depth.and_then(|depth| depth.parse().ok()).unwrap_or_default())
    }
}

/// A delivery is not certainly in the queue. The cause was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the delivery could not be queued")]
pub struct SendFailed;

fn entry(index: usize, pack: &Pack, outgoing: &[Outgoing]) -> Option<SendMessageBatchRequestEntry> {
    let members: Vec<&Outgoing> = pack.members.iter().filter_map(|&member| outgoing.get(member)).collect();
    let first = members.first()?;
    let deliveries: Vec<&Delivery> = members.iter().map(|member| &member.delivery).collect();
    let message = packing::message(&deliveries);
    let mut entry = SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_body(message.body)
        // Fair queues: one account's backlog does not delay the others'. An account cannot become many by making
        // webhooks.
        .message_group_id(first.delivery.account.as_str())
        .delay_seconds(first.delay_seconds);
    for (name, value) in message.attributes {
        let value = MessageAttributeValue::builder().data_type("String").string_value(value).build().ok()?;
        entry = entry.message_attributes(name, value);
    }
    entry.build().ok()
}

/// Reads a message that was received from the dead-letter queue.
///
/// # Errors
/// Where it carries no deliveries.
pub fn deliveries_of(message: &Received) -> Result<Vec<Delivery>, delivery::MessageError> {
    let attributes = message.message_attributes.as_ref();
    packing::unpack(message.body().unwrap_or_default(), |name| {
        attributes.and_then(|attributes| attributes.get(name)).and_then(|value| value.string_value())
    })
}
