//! The queue of polls: one message for each shard of schedules that a tick plans, and one for each few pages that a
//! plan finds due. Nothing else sends polls.
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
    /// Plans the due pages of one shard of the schedules.
    Plan {
        /// The shard.
        shard: u8,
        /// When the tick planned.
        at: Timestamp,
        /// Whether every page that no quota holds back is due: a tick was requested.
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
        /// Its account.
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
    /// How many thousandths of a unit its sweeps through older content may take a day. Where it is absent, only the
    /// first sweep is begun.
    #[serde(default)]
    pub sweeps: Option<u64>,
    /// How many millionths of the app's limits its account may use; all, where that is not said.
    #[serde(default)]
    pub millionths: Option<u32>,
}

impl Poll {
    /// The account, where the poll is one account's. SQS's fair queues keep its polls from delaying the others'.
    fn group(&self) -> Option<&AccountId> {
        match self {
            Self::Check { account, .. } => Some(account),
            Self::Plan { .. } | Self::Pages { .. } => None,
        }
    }
}

/// The queue of polls.
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

    /// Queues polls.
    ///
    /// # Errors
    /// Where not all of them are certainly in the queue. Queued ones will be served; the others are still due.
    pub async fn send(&self, polls: &[Poll]) -> Result<(), AdapterError> {
        let messages: Vec<_> = polls
            .iter()
            .map(|poll| JsonMessage { body: poll, group: poll.group().map(AccountId::as_str), delay: None })
            .collect();
        send_json((&self.client, &self.url), &messages, "queueing what is asked").await
    }
}
