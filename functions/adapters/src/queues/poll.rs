//! The queue of what is asked of networks: a message for each shard of schedules that a tick plans, and one for each few
//! pages that a plan finds due. Neither begets more: tick, plan, pages is all there is.
//!
//! It is a queue of its own beside the other work, so that a hundred thousand pages delay no release and no notice.

use aws_sdk_sqs::Client;
use carteiro_core::id::{AccountId, PageId};
use carteiro_networks::network::Network;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::AdapterError;
use crate::queues::send::{JsonMessage, send_json};

/// Something to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "poll", rename_all = "snake_case")]
pub enum Poll {
    /// Plans what is due in one shard of the schedules.
    Plan {
        /// The shard.
        shard: u8,
        /// When the tick planned.
        at: Timestamp,
        /// Whether all are due that no limit holds back: somebody wants a tick now.
        now: bool,
    },
    /// Asks about pages.
    Pages {
        /// When the tick planned.
        at: Timestamp,
        /// Whether they are due whatever their schedules say.
        now: bool,
        /// The pages.
        pages: Vec<DuePage>,
    },
    /// Asks about a page now, whatever its schedule says: its owner wants to know.
    Check {
        /// The page.
        page: PageId,
        /// Whose it is.
        account: AccountId,
        /// Its network.
        network: Network,
    },
}

/// A page to ask about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuePage {
    /// The page.
    pub page: PageId,
    /// Its network.
    pub network: Network,
    /// How often it can be asked about, in minutes; as before, where that is not said.
    pub every: Option<u32>,
    /// How many calls it has.
    pub calls: u32,
    /// How many thousandths of a unit its sweeps through what is older may take a day; where that is not said, none is
    /// begun but the first.
    #[serde(default)]
    pub sweeps: Option<u64>,
    /// How many millionths of the app's limits its account may use; all, where that is not said.
    #[serde(default)]
    pub millionths: Option<u32>,
}

impl Poll {
    /// Whose it is, where it is one account's: its group, so that one that asks for much delays nobody else (fair
    /// queues).
    fn group(&self) -> Option<&AccountId> {
        match self {
            Self::Check { account, .. } => Some(account),
            Self::Plan { .. } | Self::Pages { .. } => None,
        }
    }
}

/// The queue of what is asked.
#[derive(Clone, Debug)]
pub struct PollQueue {
    client: Client,
    url: String,
}

impl PollQueue {
    /// The queue at this URL.
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Queues what is to be asked.
    ///
    /// # Errors
    /// Where not all of it is certainly in the queue. What was queued will be asked; what was not is still due.
    pub async fn send(&self, polls: &[Poll]) -> Result<(), AdapterError> {
        let messages: Vec<_> = polls
            .iter()
            .map(|poll| JsonMessage { body: poll, group: poll.group().map(AccountId::as_str), delay: None })
            .collect();
        send_json((&self.client, &self.url), &messages, "queueing what is asked").await
    }
}
