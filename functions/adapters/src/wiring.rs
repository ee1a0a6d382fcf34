//! Wiring: makes the tables and queues of a function from its settings.

use crate::attempt_table::AttemptTable;
use crate::aws;
use crate::config_table::ConfigTable;
use crate::dead_table::DeadTable;
use crate::deliver_queue::DeliverQueue;
use crate::held_table::HeldTable;
use crate::idempotency_table::IdempotencyTable;
use crate::inbox_table::InboxTable;
use crate::poll_queue::PollQueue;
use crate::poll_table::PollTable;
use crate::settings::{SettingsReader, environment};
use crate::streak_table::StreakTable;
use crate::tick_table::TickTable;
use crate::token_table::TokenTable;
use crate::work_queue::WorkQueue;
use crate::work_share::WorkShare;

/// A table whose name is a setting.
pub trait Table {
    /// The setting.
    const SETTING: &'static str;

    /// The table of this name.
    fn named(client: aws_sdk_dynamodb::Client, name: String) -> Self;
}

/// A queue whose URL is a setting.
pub trait Queue {
    /// The queue at this URL.
    fn at(client: aws_sdk_sqs::Client, url: String) -> Self;
}

macro_rules! tables {
    ($($table:ty: $setting:literal),*) => {$(
        impl Table for $table {
            const SETTING: &'static str = $setting;

            fn named(client: aws_sdk_dynamodb::Client, name: String) -> Self {
                Self::new(client, name)
            }
        }
    )*};
}

macro_rules! queues {
    ($($queue:ty),*) => {$(
        impl Queue for $queue {
            fn at(client: aws_sdk_sqs::Client, url: String) -> Self {
                Self::new(client, url)
            }
        }
    )*};
}

tables! {
    AttemptTable: "ATTEMPT_TABLE",
    ConfigTable: "CONFIG_TABLE",
    DeadTable: "DEAD_TABLE",
    HeldTable: "HELD_TABLE",
    IdempotencyTable: "IDEMPOTENCY_TABLE",
    InboxTable: "INBOX_TABLE",
    PollTable: "POLL_TABLE",
    StreakTable: "STREAK_TABLE",
    TickTable: "TICK_TABLE",
    TokenTable: "TOKEN_TABLE",
    WorkShare: "HELD_TABLE"
}

queues!(DeliverQueue, PollQueue, WorkQueue);

/// The settings of a function, and the clients of its tables and queues.
pub struct Wiring<'a> {
    /// The settings.
    pub settings: SettingsReader<'a>,
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
}

impl<'a> Wiring<'a> {
    /// The wiring of settings and clients.
    #[must_use]
    pub fn new(
        settings: SettingsReader<'a>,
        dynamodb: aws_sdk_dynamodb::Client,
        sqs: aws_sdk_sqs::Client,
    ) -> Self {
        Self { settings, dynamodb, sqs }
    }

    /// A table, by the name in its setting.
    #[must_use]
    pub fn table<T: Table>(&mut self) -> T {
        T::named(self.dynamodb.clone(), self.settings.text(T::SETTING))
    }

    /// A queue, by the URL in this setting.
    #[must_use]
    pub fn queue<Q: Queue>(&mut self, setting: &str) -> Q {
        Q::at(self.sqs.clone(), self.settings.text(setting))
    }
}

impl Wiring<'static> {
    /// The wiring of the process's own environment.
    pub async fn of_environment() -> Self {
        let aws = aws::config(&environment).await;
        let (dynamodb, sqs) = (aws_sdk_dynamodb::Client::new(&aws), aws_sdk_sqs::Client::new(&aws));
        Self::new(SettingsReader::new(&environment), dynamodb, sqs)
    }
}
