//! The function's settings, as the template sets them.

use std::time::Duration;

use carteiro_adapters::runtime::settings::{SettingsError, SettingsReader};
use carteiro_core::address::PrivateTargets;
use carteiro_core::key::KeyHash;
use carteiro_core::own_hosts::OwnHosts;
use carteiro_core::retention::Retention;

/// The function's settings.
pub(crate) struct Settings {
    pub(crate) timeout: Duration,
    pub(crate) attempt: Duration,
    pub(crate) admin: KeyHash,
    pub(crate) private_targets: PrivateTargets,
    pub(crate) own_hosts: OwnHosts,
    pub(crate) region: Option<String>,
    pub(crate) threshold: u32,
    pub(crate) config_table: String,
    pub(crate) token_table: String,
    pub(crate) poll_table: String,
    pub(crate) inbox_table: String,
    pub(crate) streak_table: String,
    pub(crate) held_table: String,
    pub(crate) dead_table: String,
    pub(crate) attempt_table: String,
    pub(crate) retention: Retention,
    pub(crate) work_queue_url: String,
    pub(crate) poll_queue_url: String,
}

pub(crate) fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Settings, SettingsError> {
    let mut reader = SettingsReader::new(lookup);
    let hash = reader.text("ADMIN_KEY_SHA256");
    let admin =
        reader.accept("ADMIN_KEY_SHA256", KeyHash::parse(&hash).ok_or("64 hexadecimal digits are expected"));
    let private_targets = reader.parsed("ALLOWED_PRIVATE_TARGETS");
    let own_hosts = reader.parsed("OWN_HOSTS");
    let timeout = Duration::from_secs(reader.number("FUNCTION_TIMEOUT_SECONDS", 1, 900));
    let attempt = Duration::from_secs(reader.number("ATTEMPT_SECONDS", 1, 20));
    let threshold = u32::try_from(reader.number("FAILURE_THRESHOLD", 1, 1_000_000)).unwrap_or(1);
    let config_table = reader.text("CONFIG_TABLE");
    let token_table = reader.text("TOKEN_TABLE");
    let poll_table = reader.text("POLL_TABLE");
    let inbox_table = reader.text("INBOX_TABLE");
    let streak_table = reader.text("STREAK_TABLE");
    let held_table = reader.text("HELD_TABLE");
    let dead_table = reader.text("DEAD_TABLE");
    let attempt_table = reader.text("ATTEMPT_TABLE");
    let days = u16::try_from(reader.number("RETENTION_DAYS", 1, 365)).unwrap_or(1);
    let work_queue_url = reader.text("WORK_QUEUE_URL");
    let poll_queue_url = reader.text("POLL_QUEUE_URL");
    let settings =
        admin.zip(private_targets).zip(own_hosts).map(|((admin, private_targets), own_hosts)| Settings {
            timeout,
            attempt,
            admin,
            private_targets,
            own_hosts,
            region: lookup("AWS_REGION"),
            threshold,
            config_table,
            token_table,
            poll_table,
            inbox_table,
            streak_table,
            held_table,
            dead_table,
            attempt_table,
            retention: Retention::from_days(days),
            work_queue_url,
            poll_queue_url,
        });
    reader.finish(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(name: &str) -> Option<String> {
        Some(match name {
            "ADMIN_KEY_SHA256" => "0".repeat(64),
            "ALLOWED_PRIVATE_TARGETS" | "OWN_HOSTS" => String::new(),
            "FUNCTION_TIMEOUT_SECONDS" => "29".to_owned(),
            "ATTEMPT_SECONDS" => "15".to_owned(),
            "FAILURE_THRESHOLD" => "1000".to_owned(),
            "RETENTION_DAYS" => "14".to_owned(),
            "ATTEMPT_TABLE" | "CONFIG_TABLE" | "DEAD_TABLE" | "HELD_TABLE" | "INBOX_TABLE" | "POLL_TABLE"
            | "POLL_QUEUE_URL" | "STREAK_TABLE" | "TOKEN_TABLE" | "WORK_QUEUE_URL" => "t".to_owned(),
            _ => return None,
        })
    }

    #[test]
    fn complete_settings_are_taken() {
        assert_eq!(read(&complete).unwrap().threshold, 1000);
    }

    #[test]
    fn a_malformed_admin_hash_network_or_host_is_named() {
        let lookup = |name: &str| match name {
            "ADMIN_KEY_SHA256" => Some("secret".to_owned()),
            "ALLOWED_PRIVATE_TARGETS" => Some("10.0.0.0/40".to_owned()),
            "OWN_HOSTS" => Some("https://a.example/".to_owned()),
            name => complete(name),
        };
        let Err(error) = read(&lookup) else { panic!("taken") };
        let error = error.to_string();
        for name in ["ADMIN_KEY_SHA256", "ALLOWED_PRIVATE_TARGETS", "OWN_HOSTS"] {
            assert!(error.contains(name), "{error}");
        }
        assert!(!error.contains("secret"));
    }
}
