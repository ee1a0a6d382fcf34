//! Wiring: makes the tables and queues of a function from its settings.

use aws_credential_types::provider::SharedCredentialsProvider;

use crate::queues::deliver::DeliverQueue;
use crate::queues::poll::PollQueue;
use crate::queues::work::WorkQueue;
use crate::runtime::aws::{self, Aws};
use crate::runtime::settings::{SettingsReader, environment};
use crate::tables::alerts::AlertRows;
use crate::tables::attempts::AttemptTable;
use crate::tables::config::ConfigTable;
use crate::tables::freshness::FreshnessRows;
use crate::tables::idempotency::IdempotencyTable;
use crate::tables::inbox::InboxTable;
use crate::tables::poll::PollTable;
use crate::tables::sessions::SessionTable;
use crate::tables::streak::StreakTable;
use crate::tables::tick::TickTable;
use crate::tables::tokens::TokenTable;
use crate::tables::waiting::HeldTable;
use crate::tables::waiting::dead::DeadRows;
use crate::tables::waiting::work_share::WorkShare;

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
    AlertRows: "STREAK_TABLE",
    AttemptTable: "ATTEMPT_TABLE",
    ConfigTable: "CONFIG_TABLE",
    DeadRows: "DEAD_TABLE",
    FreshnessRows: "INBOX_TABLE",
    HeldTable: "HELD_TABLE",
    IdempotencyTable: "IDEMPOTENCY_TABLE",
    InboxTable: "INBOX_TABLE",
    PollTable: "POLL_TABLE",
    SessionTable: "SESSION_TABLE",
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
    credentials: Option<SharedCredentialsProvider>,
}

impl<'a> Wiring<'a> {
    /// The wiring of settings and clients.
    #[must_use]
    pub fn new(
        settings: SettingsReader<'a>,
        dynamodb: aws_sdk_dynamodb::Client,
        sqs: aws_sdk_sqs::Client,
    ) -> Self {
        Self { settings, dynamodb, sqs, credentials: None }
    }

    /// A table, by the name in its setting.
    #[must_use]
    pub fn table<T: Table>(&mut self) -> T {
        T::named(self.dynamodb.clone(), self.settings.text(T::SETTING))
    }

    /// The function's own credentials.
    #[must_use]
    pub fn credentials(&self) -> Option<SharedCredentialsProvider> {
        self.credentials.clone()
    }

    /// A queue, by the URL in this setting.
    #[must_use]
    pub fn queue<Q: Queue>(&mut self, setting: &str) -> Q {
        Q::at(self.sqs.clone(), self.settings.text(setting))
    }
}

impl Wiring<'static> {
    /// The wiring of the process's own environment.
    #[must_use]
    pub fn of_environment() -> Self {
        let Aws { dynamodb, sqs, credentials } = aws::clients(&environment);
        Self { credentials, ..Self::new(SettingsReader::new(&environment), dynamodb, sqs) }
    }
}
