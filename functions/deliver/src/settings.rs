//! The function's settings, as the template sets them.

use std::time::Duration;

use carteiro_adapters::runtime::settings::{SettingsError, SettingsReader};
use carteiro_core::address::PrivateTargets;
use carteiro_core::own_hosts::OwnHosts;
use carteiro_core::retention::Retention;

/// The function's settings.
pub(crate) struct Settings {
    pub(crate) timeout: Duration,
    pub(crate) attempt: Duration,
    pub(crate) retention: Retention,
    pub(crate) private_targets: PrivateTargets,
    pub(crate) own_hosts: OwnHosts,
    pub(crate) config_table: String,
    pub(crate) streak_table: String,
    pub(crate) held_table: String,
    pub(crate) threshold: u32,
    pub(crate) block: Duration,
    pub(crate) dead_table: String,
    pub(crate) attempt_table: String,
    pub(crate) log_kept: Duration,
    pub(crate) deliver_queue_url: String,
    pub(crate) slow_queue_url: String,
    pub(crate) slow_queue_arn: String,
    pub(crate) host_concurrency: usize,
}

pub(crate) fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Settings, SettingsError> {
    let mut reader = SettingsReader::new(lookup);
    let private_targets = reader.parsed("ALLOWED_PRIVATE_TARGETS");
    let own_hosts = reader.parsed("OWN_HOSTS");
    let days = u16::try_from(reader.number("RETENTION_DAYS", 1, 365)).unwrap_or(1);
    let settings = Settings {
        timeout: Duration::from_secs(reader.number("FUNCTION_TIMEOUT_SECONDS", 1, 900)),
        attempt: Duration::from_secs(reader.number("ATTEMPT_SECONDS", 1, 20)),
        retention: Retention::from_days(days),
        private_targets: private_targets.unwrap_or_default(),
        own_hosts: own_hosts.unwrap_or_default(),
        config_table: reader.text("CONFIG_TABLE"),
        streak_table: reader.text("STREAK_TABLE"),
        held_table: reader.text("HELD_TABLE"),
        threshold: u32::try_from(reader.number("FAILURE_THRESHOLD", 1, 1_000_000)).unwrap_or(1),
        block: Duration::from_secs(reader.number("BLOCK_SECONDS", 1, 604_800)),
        dead_table: reader.text("DEAD_TABLE"),
        attempt_table: reader.text("ATTEMPT_TABLE"),
        log_kept: Duration::from_secs(reader.number("ATTEMPT_LOG_DAYS", 1, 365) * 24 * 3600),
        deliver_queue_url: reader.text("DELIVER_QUEUE_URL"),
        slow_queue_url: reader.text("SLOW_QUEUE_URL"),
        slow_queue_arn: reader.text("SLOW_QUEUE_ARN"),
        host_concurrency: usize::try_from(reader.number("HOST_CONCURRENCY", 1, 10)).unwrap_or(1),
    };
    reader.finish(Some(settings))
}
