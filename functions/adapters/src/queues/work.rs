//! The work queue of the collector: what a tick plans, a message each, and releases and replays that a
//! customer asked for.

use std::time::Duration;

use aws_sdk_sqs::Client;
use carteiro_core::id::{AccountId, ReplayId, WebhookId};
use carteiro_core::item::ItemType;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::AdapterError;
use crate::queues::send::{JsonMessage, send_json};

/// A piece of work. Moving what is due may find releases and replays and send them as work, and a replay sends the
/// release of what it made wait. A release that another worker has sends a look at it, which is the same work again, up
/// to [`carteiro_core::work_share::MAX_LOOKS`] times. Nothing else sends work.
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
    #[serde(rename = "hand_on")]
    Dispatch {
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
        /// Whose webhook it is. Older versions do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<AccountId>,
        /// How many looks came before, one after the other, that found another worker on it.
        #[serde(default, skip_serializing_if = "is_zero")]
        looks: u8,
    },
    /// Makes the dead items of a replay wait for their release.
    Replay {
        /// Whose they are.
        webhook: WebhookId,
        /// Which replay.
        replay: ReplayId,
        /// Whose webhook it is. Older versions do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<AccountId>,
    },
    /// Tells what is to be told of a streak.
    #[serde(rename = "tell")]
    Notify {
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
    /// The release of what is held for a webhook and type, as it is asked for first.
    #[must_use]
    pub fn release(account: AccountId, webhook: WebhookId, item_type: ItemType) -> Self {
        Self::Release { webhook, item_type, account: Some(account), looks: 0 }
    }

    /// A replay.
    #[must_use]
    pub fn replay(account: AccountId, webhook: WebhookId, replay: ReplayId) -> Self {
        Self::Replay { webhook, replay, account: Some(account) }
    }

    /// The account whose work it is. With it as its group, one that has much work does not delay the others' (fair
    /// queues). Where it is not known the webhook takes its place.
    fn group(&self) -> Option<&str> {
        match self {
            Self::Release { webhook, account, .. } | Self::Replay { webhook, account, .. } => {
                Some(account.as_ref().map_or(webhook.as_str(), AccountId::as_str))
            }
            Self::Notify { account, .. } => Some(account.as_str()),
            Self::MoveDue { .. } | Self::Dispatch { .. } | Self::BuryDeadLetters => None,
        }
    }

    /// What tells a release or a replay from all others, in its account.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Release { webhook, item_type, .. } => Some(format!("{webhook}#{item_type}")),
            Self::Replay { webhook, replay, .. } => Some(format!("{webhook}#{replay}")),
            _ => None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(looks: &u8) -> bool {
    *looks == 0
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
        let messages: Vec<_> = work
            .iter()
            .map(|(work, delay)| JsonMessage { body: work, group: work.group(), delay: Some(*delay) })
            .collect();
        send_json((&self.client, &self.url), &messages, "queueing work").await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_an_account_is_in_its_group_and_work_of_a_shard_in_none() {
        let (account, webhook) = (AccountId::from_bits(3), WebhookId::from_bits(1));
        let release = Work::release(account.clone(), webhook.clone(), ItemType::EVENT);
        let replay = Work::replay(account.clone(), webhook.clone(), ReplayId::from_bits(2));
        let item_type = ItemType::EVENT;
        let tell = Work::Notify { account: account.clone(), webhook, revision: 1, item_type };
        for work in [release, replay, tell] {
            assert_eq!(work.group(), Some(account.as_str()), "{work:?}");
        }
        assert_eq!(Work::MoveDue { shard: 1, until: Timestamp::UNIX_EPOCH }.group(), None);
    }

    #[test]
    fn work_of_an_older_version_is_read_and_a_first_look_reads_like_it() {
        let webhook = WebhookId::from_bits(1);
        let old = format!(r#"{{"work":"release","webhook":"{webhook}","item_type":"event"}}"#);
        let read: Work = serde_json::from_str(&old).unwrap();
        assert_eq!(read.group(), Some(webhook.as_str()));
        assert_eq!(serde_json::to_string(&read).unwrap(), old);
        let look = Work::Release {
            webhook: webhook.clone(),
            item_type: ItemType::EVENT,
            account: Some(AccountId::from_bits(3)),
            looks: 2,
        };
        let text = serde_json::to_string(&look).unwrap();
        assert_eq!(serde_json::from_str::<Work>(&text).unwrap(), look);
    }
}
