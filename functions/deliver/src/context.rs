//! The function's context: its tables, queues and settings.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use carteiro_adapters::http::sender::Sender;
use carteiro_adapters::queues::deliver::DeliverQueue;
use carteiro_adapters::runtime::function::Fatal;
use carteiro_adapters::tables::attempts::AttemptTable;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::streak::StreakTable;
use carteiro_adapters::tables::waiting::HeldTable;
use carteiro_adapters::tables::waiting::dead::DeadRows;
use carteiro_adapters::wiring::Wiring;
use carteiro_core::retention::Retention;
use carteiro_core::slow::DeadHosts;
use carteiro_core::streak::Rule;
use carteiro_services::alerts::Alerter;
use carteiro_services::notify::Notifier;

/// Time that settling needs after the attempts. No attempt starts unless its deadline and this remain.
pub(crate) const SETTLE_RESERVE: Duration = Duration::from_secs(8);

/// Time that the answer needs. Nothing is waited for in this last part.
pub(crate) const ANSWER_RESERVE: Duration = Duration::from_millis(1500);

/// Tables, queues and settings of the function.
#[derive(Clone)]
pub(crate) struct Deliver {
    pub(crate) config: ConfigTable,
    pub(crate) streaks: StreakTable,
    pub(crate) held: HeldTable,
    pub(crate) dead: DeadRows,
    pub(crate) attempts: AttemptTable,
    pub(crate) queue: DeliverQueue,
    pub(crate) slow_queue: DeliverQueue,
    pub(crate) slow_queue_arn: Arc<str>,
    pub(crate) notifier: Notifier,
    pub(crate) sender: Sender,
    pub(crate) retention: Retention,
    /// The most deliveries of one webhook that a batch attempts at once.
    pub(crate) batch_size: usize,
    /// The most attempts of one batch that go to one host at once.
    pub(crate) host_concurrency: usize,
    /// How long the attempt log is kept.
    pub(crate) log_kept: Duration,
    /// The deadline of one attempt.
    pub(crate) attempt: Duration,
    /// The deployment's rule of blocking, where a webhook sets none.
    pub(crate) rule: Rule,
    dead_hosts: Arc<Mutex<DeadHosts>>,
}

impl Deliver {
    /// Reads the settings.
    pub(crate) fn read(mut wiring: Wiring<'_>) -> Result<Self, Fatal> {
        let settings = &mut wiring.settings;
        let private_targets = settings.parsed("ALLOWED_PRIVATE_TARGETS");
        let own_hosts = settings.parsed("OWN_HOSTS");
        let attempt = settings.attempt_time();
        let log_kept = settings.attempt_log_time();
        let (batch_size, host_concurrency) = (settings.batch_size(), settings.host_concurrency());
        let slow_queue_arn = settings.text("SLOW_QUEUE_ARN").into();
        let (retention, rule) = (settings.retention(), settings.rule());
        let (config, streaks): (ConfigTable, StreakTable) = (wiring.table(), wiring.table());
        let queue: DeliverQueue = wiring.queue("DELIVER_QUEUE_URL");
        let alerts = Alerter { config: config.clone(), work: wiring.queue("WORK_QUEUE_URL") };
        let notifier =
            Notifier { config: config.clone(), streaks: streaks.clone(), queue: queue.clone(), alerts, rule };
        let (held, dead, attempts) = (wiring.table(), wiring.table(), wiring.table());
        let slow_queue = wiring.queue("SLOW_QUEUE_URL");
        let (private_targets, own_hosts) = wiring.settings.finish(private_targets.zip(own_hosts))?;
        Ok(Self {
            config,
            streaks,
            held,
            dead,
            attempts,
            queue,
            slow_queue,
            slow_queue_arn,
            notifier,
            sender: Sender::new(private_targets, own_hosts, attempt),
            retention,
            batch_size,
            host_concurrency,
            log_kept,
            attempt,
            rule,
            dead_hosts: Arc::default(),
        })
    }

    /// The hosts that this copy of the function could not connect to in time. A panic leaves nothing half done in them.
    pub(crate) fn dead_hosts(&self) -> MutexGuard<'_, DeadHosts> {
        self.dead_hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
