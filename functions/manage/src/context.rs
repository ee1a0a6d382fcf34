//! The function's context: its tables, queues and settings.

use std::time::Duration;

use carteiro_adapters::http::sender::Sender;
use carteiro_adapters::queues::poll::PollQueue;
use carteiro_adapters::queues::work::WorkQueue;
use carteiro_adapters::runtime::function::Fatal;
use carteiro_adapters::tables::attempts::AttemptTable;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::freshness::FreshnessRows;
use carteiro_adapters::tables::inbox::InboxTable;
use carteiro_adapters::tables::pages::PageTables;
use carteiro_adapters::tables::sessions::SessionTable;
use carteiro_adapters::tables::streak::StreakTable;
use carteiro_adapters::tables::waiting::HeldTable;
use carteiro_adapters::tables::waiting::dead::DeadRows;
use carteiro_adapters::wiring::Wiring;
use carteiro_core::address::PrivateTargets;
use carteiro_core::browser::FrameAncestors;
use carteiro_core::key::KeyHash;
use carteiro_core::own_hosts::OwnHosts;
use carteiro_core::retention::Retention;

/// Tables, queues and settings of the function.
pub(crate) struct Manage {
    pub(crate) config: ConfigTable,
    pub(crate) sessions: SessionTable,
    pub(crate) page_tables: PageTables,
    pub(crate) inbox: InboxTable,
    pub(crate) freshness: FreshnessRows,
    pub(crate) streaks: StreakTable,
    pub(crate) held: HeldTable,
    pub(crate) dead: DeadRows,
    pub(crate) attempts: AttemptTable,
    pub(crate) work: WorkQueue,
    pub(crate) polls: PollQueue,
    pub(crate) sender: Sender,
    pub(crate) retention: Retention,
    /// The hash of the operator's key.
    pub(crate) admin: KeyHash,
    pub(crate) private_targets: PrivateTargets,
    /// The deadline of one attempt.
    pub(crate) attempt: Duration,
    /// The own hosts that the template names. It cannot name those of the HTTP API here; each request carries them.
    pub(crate) own_hosts: OwnHosts,
    /// The sites that may show the console in a frame.
    pub(crate) frame_ancestors: FrameAncestors,
    pub(crate) region: Option<String>,
    /// Whether the deployment sends e-mail.
    pub(crate) sends_email: bool,
    /// The deployment's threshold, where a webhook sets none.
    pub(crate) threshold: u32,
}

impl Manage {
    /// Reads the settings.
    pub(crate) fn read(mut wiring: Wiring<'_>) -> Result<Self, Fatal> {
        let settings = &mut wiring.settings;
        let admin = settings.admin_key();
        let private_targets: Option<PrivateTargets> = settings.parsed("ALLOWED_PRIVATE_TARGETS");
        let own_hosts: Option<OwnHosts> = settings.parsed("OWN_HOSTS");
        let frame_ancestors: Option<FrameAncestors> = settings.parsed("CONSOLE_FRAME_ANCESTORS");
        let attempt = settings.attempt_time();
        let (threshold, retention) = (settings.threshold(), settings.retention());
        let region = settings.optional("AWS_REGION");
        let sends_email = settings.optional("ALERT_SENDER").is_some_and(|sender| !sender.is_empty());
        let (config, sessions) = (wiring.table(), wiring.table());
        let page_tables = PageTables { tokens: wiring.table(), polls: wiring.table() };
        let (inbox, freshness, streaks) = (wiring.table(), wiring.table(), wiring.table());
        let (held, dead, attempts) = (wiring.table(), wiring.table(), wiring.table());
        let (work, polls) = (wiring.queue("WORK_QUEUE_URL"), wiring.queue("POLL_QUEUE_URL"));
        let hosts = private_targets.zip(own_hosts.zip(frame_ancestors));
        let (admin, (private_targets, (own_hosts, frame_ancestors))) =
            wiring.settings.finish(admin.zip(hosts))?;
        Ok(Self {
            config,
            sessions,
            page_tables,
            inbox,
            freshness,
            streaks,
            held,
            dead,
            attempts,
            work,
            polls,
            sender: Sender::new(private_targets.clone(), own_hosts.clone(), attempt),
            retention,
            admin,
            private_targets,
            attempt,
            own_hosts,
            frame_ancestors,
            region,
            sends_email,
            threshold,
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::config::BehaviorVersion;
    use carteiro_adapters::runtime::settings::SettingsReader;

    use super::*;

    fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Manage, Fatal> {
        let latest = BehaviorVersion::latest();
        let dynamodb = aws_sdk_dynamodb::Config::builder().behavior_version(latest).build();
        let sqs = aws_sdk_sqs::Config::builder().behavior_version(latest).build();
        let dynamodb = aws_sdk_dynamodb::Client::from_conf(dynamodb);
        let sqs = aws_sdk_sqs::Client::from_conf(sqs);
        Manage::read(Wiring::new(SettingsReader::new(lookup), dynamodb, sqs))
    }

    fn complete(name: &str) -> Option<String> {
        Some(match name {
            "ADMIN_KEY_SHA256" => "0".repeat(64),
            "ALLOWED_PRIVATE_TARGETS" | "CONSOLE_FRAME_ANCESTORS" | "OWN_HOSTS" => String::new(),
            "FUNCTION_TIMEOUT_SECONDS" => "29".to_owned(),
            "ATTEMPT_SECONDS" => "15".to_owned(),
            "FAILURE_THRESHOLD" => "1000".to_owned(),
            "RETENTION_DAYS" => "14".to_owned(),
            "ATTEMPT_TABLE" | "CONFIG_TABLE" | "DEAD_TABLE" | "HELD_TABLE" | "INBOX_TABLE" | "POLL_TABLE"
            | "POLL_QUEUE_URL" | "SESSION_TABLE" | "STREAK_TABLE" | "TOKEN_TABLE" | "WORK_QUEUE_URL" => {
                "t".to_owned()
            }
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
