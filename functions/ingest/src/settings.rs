//! The function's settings, as the template sets them.

use std::time::Duration;

use carteiro_adapters::settings::{SettingsError, SettingsReader};

/// The function's settings.
pub(crate) struct Settings {
    pub(crate) timeout: Duration,
    pub(crate) config_table: String,
    pub(crate) idempotency_table: String,
    pub(crate) deliver_queue_url: String,
}

pub(crate) fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Settings, SettingsError> {
    let mut reader = SettingsReader::new(lookup);
    let settings = Settings {
        timeout: Duration::from_secs(reader.number("FUNCTION_TIMEOUT_SECONDS", 1, 900)),
        config_table: reader.text("CONFIG_TABLE"),
        idempotency_table: reader.text("IDEMPOTENCY_TABLE"),
        deliver_queue_url: reader.text("DELIVER_QUEUE_URL"),
    };
    reader.finish(Some(settings))
}
