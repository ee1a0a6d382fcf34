//! The function's settings, as the template sets them.

use std::time::Duration;

use carteiro_adapters::http::network_client::Addresses;
use carteiro_adapters::runtime::settings::{SettingsError, SettingsReader};
use carteiro_core::retention::Retention;
use carteiro_networks::poll::settings::NetworkSettings;

use crate::apps::Apps;

/// The function's settings.
pub(crate) struct Settings {
    pub(crate) timeout: Duration,
    pub(crate) retention: Retention,
    pub(crate) minutes: u8,
    pub(crate) threshold: u32,
    pub(crate) block: Duration,
    pub(crate) config_table: String,
    pub(crate) streak_table: String,
    pub(crate) held_table: String,
    pub(crate) dead_table: String,
    pub(crate) inbox_table: String,
    pub(crate) tick_table: String,
    pub(crate) deliver_queue_url: String,
    pub(crate) deliver_dead_queue_url: String,
    pub(crate) work_queue_url: String,
    pub(crate) poll_table: String,
    pub(crate) token_table: String,
    pub(crate) poll_queue_url: String,
    pub(crate) networks: NetworkSettings,
    pub(crate) addresses: Addresses,
    pub(crate) apps: Apps,
}

pub(crate) fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Settings, SettingsError> {
    let mut reader = SettingsReader::new(lookup);
    let days = u16::try_from(reader.number("RETENTION_DAYS", 1, 365)).unwrap_or(1);
    let networks = reader.parsed("NETWORK_SETTINGS");
    let addresses = Addresses::read(&mut reader);
    let apps = Apps::read(&mut reader);
    let settings = networks.zip(addresses).map(|(networks, addresses)| Settings {
        timeout: Duration::from_secs(reader.number("FUNCTION_TIMEOUT_SECONDS", 1, 900)),
        retention: Retention::from_days(days),
        threshold: u32::try_from(reader.number("FAILURE_THRESHOLD", 1, 1_000_000)).unwrap_or(1),
        block: Duration::from_secs(reader.number("BLOCK_SECONDS", 1, 604_800)),
        minutes: u8::try_from(reader.number("COLLECT_MINUTES", 1, 15)).unwrap_or(15),
        config_table: reader.text("CONFIG_TABLE"),
        streak_table: reader.text("STREAK_TABLE"),
        held_table: reader.text("HELD_TABLE"),
        dead_table: reader.text("DEAD_TABLE"),
        inbox_table: reader.text("INBOX_TABLE"),
        tick_table: reader.text("TICK_TABLE"),
        deliver_queue_url: reader.text("DELIVER_QUEUE_URL"),
        deliver_dead_queue_url: reader.text("DELIVER_DEAD_QUEUE_URL"),
        work_queue_url: reader.text("WORK_QUEUE_URL"),
        poll_table: reader.text("POLL_TABLE"),
        token_table: reader.text("TOKEN_TABLE"),
        poll_queue_url: reader.text("POLL_QUEUE_URL"),
        networks,
        addresses,
        apps,
    });
    reader.finish(settings)
}
