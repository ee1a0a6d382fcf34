//! The work queue of the collector: what a tick plans, a message each, and releases and replays that a
//! customer asked for.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use carteiro_core::id::{AccountId, ReplayId, WebhookId};
use carteiro_core::item::ItemType;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::AdapterError;

/// A piece of work. Moving what is due may find releases and replays and send them as work, and a replay sends the
/// release of what it made wait; nothing else begets work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    /// Moves the held items of one shard of the index that come due until then.
    MoveDue {
        /// The shard.
        shard: u8,
        /// Until when.
        until: Timestamp,
    },
    /// Hands on what is ready in one shard of the inbox's index.
    HandOn {
        /// The shard.
        shard: u8,
    },
    /// Brings the delivery queue's dead letters into the dead items.
    BuryDeadLetters,
    /// Releases what is held for a webhook and type.
    Release {
        /// The webhook.
        webhook: WebhookId,
        /// The item type.
        item_type: ItemType,
    },
    /// Makes the dead items of a replay wait for their release.
    Replay {
        /// Whose they are.
        webhook: WebhookId,
        /// Which replay.
        replay: ReplayId,
    },
    /// Tells what is to be told of a streak.
    Tell {
        /// Whose webhook it is.
        account: AccountId,
        /// The webhook.
        webhook: WebhookId,
        /// Its revision.
        revision: u64,
        /// The item type.
        item_type: ItemType,
    },
}

impl Work {
    /// The webhook whose work it is. With it as its group, one that has much work does not delay the others' (fair
    /// queues).
    fn group(&self) -> Option<&WebhookId> {
        match self {
            Self::Release { webhook, .. } | Self::Replay { webhook, .. } | Self::Tell { webhook, .. } => {
                Some(webhook)
            }
            Self::MoveDue { .. } | Self::HandOn { .. } | Self::BuryDeadLetters => None,
        }
    }
}

/// The queue of work.
#[derive(Clone, Debug)]
pub struct WorkQueue {
    client: Client,
    url: String,
}

impl WorkQueue {
    /// The queue at this URL.
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Queues work, each after a delay of at most 15 minutes.
    ///
    /// # Errors
    /// Where not all of it is certainly in the queue. What was queued will be done, and is planned again.
    pub async fn send(&self, work: &[(Work, Duration)]) -> Result<(), AdapterError> {
        const OPERATION: &str = "queueing work";
        for batch in work.chunks(10) {
            let mut call = self.client.send_message_batch().queue_url(&self.url);
            for (index, (work, delay)) in batch.iter().enumerate() {
                let body = serde_json::to_string(work)
                    .map_err(|error| AdapterError::unavailable(OPERATION, error))?;
                let delay = i32::try_from(delay.as_millis().div_ceil(1000).min(900)).unwrap_or(900);
                let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body);
                let group = work.group().map(|webhook| webhook.as_str().to_owned());
                let entry = entry.delay_seconds(delay).set_message_group_id(group).build();
                call = call.entries(entry.map_err(|error| AdapterError::unavailable(OPERATION, error))?);
            }
            let answer = call.send().await.map_err(|error| AdapterError::of_call(OPERATION, error))?;
            if !answer.failed.is_empty() {
                return Err(AdapterError::NotQueued { operation: OPERATION });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_a_webhook_is_in_its_group_and_work_of_a_shard_in_none() {
        let webhook = WebhookId::from_bits(1);
        let release = Work::Release { webhook: webhook.clone(), item_type: ItemType::EVENT };
        let replay = Work::Replay { webhook: webhook.clone(), replay: ReplayId::from_bits(2) };
        for work in [release, replay] {
            assert_eq!(work.group(), Some(&webhook), "{work:?}");
        }
        assert_eq!(Work::MoveDue { shard: 1, until: Timestamp::UNIX_EPOCH }.group(), None);
    }
}
