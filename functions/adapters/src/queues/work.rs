//! The work queue of the collector: work that a tick plans, and releases and replays that a customer requested.

use std::time::Duration;

use aws_sdk_sqs::Client;
use carteiro_core::id::{AccountId, AlertId, ItemId, ReplayId, WebhookId};
use carteiro_core::item::ItemType;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::AdapterError;
use crate::queues::send::{JsonMessage, send_json};

/// A piece of work. Moving due rows may send the releases and replays that it finds, and a replay sends the release of
/// its items. A release that another worker has sends a look at it, which is the same work again, up to
/// [`carteiro_core::work_share::MAX_LOOKS`] times. Sending notices sends an alert for each address that takes them. An
/// alert or a code that could not be sent now sends itself again, a few times. No other work sends work.
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
    /// Dispatches the ready entries in one shard of the inbox's index.
    #[serde(rename = "hand_on")]
    Dispatch {
        /// The shard.
        shard: u8,
    },
    /// Brings the delivery queue's dead letters into the dead items.
    BuryDeadLetters,
    /// Releases the held items of a webhook and type.
    Release {
        /// The webhook.
        webhook: WebhookId,
        /// The item type.
        item_type: ItemType,
        /// The webhook's account. Older versions do not send it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<AccountId>,
        /// How many looks came before, one after the other, that found another worker on it.
        #[serde(default, skip_serializing_if = "is_zero")]
        looks: u8,
    },
    /// Makes the dead items of a replay wait for their release.
    Replay {
        /// The webhook.
        webhook: WebhookId,
        /// Which replay.
        replay: ReplayId,
        /// The webhook's account. Older versions do not send it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<AccountId>,
    },
    /// Sends the pending notices of a streak.
    #[serde(rename = "tell")]
    Notify {
        /// The webhook's account.
        account: AccountId,
        /// The webhook.
        webhook: WebhookId,
        /// Its revision.
        revision: u64,
        /// The item type.
        item_type: ItemType,
    },
    /// Alerts an address of a notice.
    Alert {
        /// The address's account.
        account: AccountId,
        /// The address.
        alert: AlertId,
        /// The notice's id.
        notice: ItemId,
        /// The notice's bytes.
        body: String,
        /// How often it was tried before.
        #[serde(default, skip_serializing_if = "is_zero")]
        tries: u8,
    },
    /// Makes a code for an address, and sends it there.
    ConfirmAlert {
        /// The address's account.
        account: AccountId,
        /// The address.
        alert: AlertId,
        /// How often it was tried before.
        #[serde(default, skip_serializing_if = "is_zero")]
        tries: u8,
    },
}

impl Work {
    /// The first request of a release of a webhook and type.
    #[must_use]
    pub fn release(account: AccountId, webhook: WebhookId, item_type: ItemType) -> Self {
        Self::Release { webhook, item_type, account: Some(account), looks: 0 }
    }

    /// A replay.
    #[must_use]
    pub fn replay(account: AccountId, webhook: WebhookId, replay: ReplayId) -> Self {
        Self::Replay { webhook, replay, account: Some(account) }
    }

    /// The account, or the webhook where the account is not known. SQS's fair queues keep one group's work from
    /// delaying the others'.
    fn group(&self) -> Option<&str> {
        match self {
            Self::Release { webhook, account, .. } | Self::Replay { webhook, account, .. } => {
                Some(account.as_ref().map_or(webhook.as_str(), AccountId::as_str))
            }
            Self::Notify { account, .. }
            | Self::Alert { account, .. }
            | Self::ConfirmAlert { account, .. } => Some(account.as_str()),
            Self::MoveDue { .. } | Self::Dispatch { .. } | Self::BuryDeadLetters => None,
        }
    }

    /// The name of a release or a replay within its account.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Release { webhook, item_type, .. } => Some(format!("{webhook}#{item_type}")),
            Self::Replay { webhook, replay, .. } => Some(format!("{webhook}#{replay}")),
            _ => None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(count: &u8) -> bool {
    *count == 0
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
    /// Where not all of it is certainly in the queue. Queued work will be done, and is planned again.
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
    fn only_an_accounts_work_has_a_group() {
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
    fn work_of_an_older_version_is_read_as_a_first_look() {
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
