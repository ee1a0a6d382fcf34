//! The function's settings, as the template sets them.

use std::time::Duration;

use carteiro_adapters::runtime::settings::{SettingsError, SettingsReader};
use carteiro_core::retention::Retention;

use crate::push::Secrets;

/// The function's settings.
pub(crate) struct Settings {
    pub(crate) timeout: Duration,
    pub(crate) config_table: String,
    pub(crate) idempotency_table: String,
    pub(crate) inbox_table: String,
    pub(crate) deliver_queue_url: String,
    pub(crate) retention: Retention,
    pub(crate) needs_proof: bool,
    pub(crate) secrets: Secrets,
}

pub(crate) fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Settings, SettingsError> {
    let mut reader = SettingsReader::new(lookup);
    let days = u16::try_from(reader.number("RETENTION_DAYS", 1, 365)).unwrap_or(1);
    let needs_proof = reader.parsed("PUSHES_NEED_PROOF").unwrap_or(true);
    let settings = Settings {
        timeout: Duration::from_secs(reader.number("FUNCTION_TIMEOUT_SECONDS", 1, 900)),
        config_table: reader.text("CONFIG_TABLE"),
        idempotency_table: reader.text("IDEMPOTENCY_TABLE"),
        inbox_table: reader.text("INBOX_TABLE"),
        deliver_queue_url: reader.text("DELIVER_QUEUE_URL"),
        retention: Retention::from_days(days),
        needs_proof,
        secrets: Secrets::read(lookup),
    };
    reader.finish(Some(settings))
}
