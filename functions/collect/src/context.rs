//! The function's context: its tables, queues and settings.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::http::network_client::{Addresses, NetworkClient};
use carteiro_adapters::queues::deliver::DeliverQueue;
use carteiro_adapters::queues::work::WorkQueue;
use carteiro_adapters::runtime::function::Fatal;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::freshness::FreshnessRows;
use carteiro_adapters::tables::pages::PageTables;
use carteiro_adapters::tables::streak::StreakTable;
use carteiro_adapters::tables::tick::TickTable;
use carteiro_adapters::tables::waiting::HeldTable;
use carteiro_adapters::tables::waiting::dead::DeadRows;
use carteiro_adapters::tables::waiting::work_share::WorkShare;
use carteiro_adapters::wiring::Wiring;
use carteiro_core::retention::Retention;
use carteiro_services::alerts::Alerter;
use carteiro_services::dispatch::Dispatcher;
use carteiro_services::freshness::FreshnessLog;
use carteiro_services::notify::Notifier;
use carteiro_services::page_tokens::PageNotifier;

use crate::alerts::Alerting;
use crate::apps::Apps;
use crate::polls::{Polls, Pushes};

/// Tables, queues and settings of the function.
pub(crate) struct Collect {
    pub(crate) config: ConfigTable,
    pub(crate) streaks: StreakTable,
    pub(crate) held: HeldTable,
    pub(crate) dead: DeadRows,
    pub(crate) ticks: TickTable,
    pub(crate) deliveries: DeliverQueue,
    pub(crate) dead_letters: DeliverQueue,
    pub(crate) work: WorkQueue,
    pub(crate) shares: WorkShare,
    pub(crate) notifier: Notifier,
    pub(crate) alerting: Alerting,
    pub(crate) dispatcher: Dispatcher,
    /// When things of pages were dispatched.
    pub(crate) habits: FreshnessRows,
    pub(crate) polls: Polls,
    pub(crate) retention: Retention,
    /// Minutes between two ticks.
    pub(crate) minutes: u8,
}

impl Collect {
    /// Reads the settings.
    pub(crate) fn read(mut wiring: Wiring<'_>) -> Result<Self, Fatal> {
        let settings = &mut wiring.settings;
        let networks = settings.parsed("NETWORK_SETTINGS");
        let addresses = Addresses::read(settings);
        let apps = Apps::read(settings);
        let pushes = Pushes::read(settings);
        let minutes = settings.tick_minutes();
        let (retention, rule) = (settings.retention(), settings.rule());
        let (config, streaks): (ConfigTable, StreakTable) = (wiring.table(), wiring.table());
        let (held, dead, ticks, shares) = (wiring.table(), wiring.table(), wiring.table(), wiring.table());
        let inbox = wiring.table();
        let habits: FreshnessRows = wiring.table();
        let tables = PageTables { tokens: wiring.table(), polls: wiring.table() };
        let deliveries: DeliverQueue = wiring.queue("DELIVER_QUEUE_URL");
        let dead_letters = wiring.queue("DELIVER_DEAD_QUEUE_URL");
        let work_queue: WorkQueue = wiring.queue("WORK_QUEUE_URL");
        let poll_queue = wiring.queue("POLL_QUEUE_URL");
        let alerting = Alerting::read(&mut wiring);
        let read = networks.zip(addresses).zip(alerting);
        let ((networks, addresses), alerting) = wiring.settings.finish(read)?;
        let alerts = Alerter { config: config.clone(), work: work_queue.clone() };
        let page_notifier =
            PageNotifier { config: config.clone(), queue: deliveries.clone(), alerts: Some(alerts.clone()) };
        let polls = Polls {
            tables,
            queue: poll_queue,
            client: NetworkClient::new(addresses),
            settings: networks,
            apps,
            pushes,
            tick: Duration::from_secs(u64::from(minutes) * 60),
        };
        let queue = deliveries.clone();
        Ok(Self {
            polls,
            dispatcher: Dispatcher {
                config: config.clone(),
                inbox,
                queue,
                notifier: page_notifier,
                freshness: FreshnessLog::new(habits.clone()),
            },
            habits,
            notifier: Notifier {
                config: config.clone(),
                streaks: streaks.clone(),
                queue: deliveries.clone(),
                alerts,
                rule,
            },
            alerting,
            config,
            streaks,
            held,
            dead,
            ticks,
            deliveries,
            dead_letters,
            work: work_queue,
            shares,
            retention,
            minutes,
        })
    }
}

/// Why an invocation failed. The platform repeats it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    #[error("the event is neither a tick nor work: {0}")]
    Event(#[source] serde_json::Error),
    #[error("another invocation is planning this slot")]
    BeingPlanned,
    #[error("not all that comes due could be looked at; the rest was planned")]
    PlannedInPart,
    #[error(transparent)]
    Adapter(#[from] AdapterError),
}

/// How far a piece of work came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing is left of it.
    Done,
    /// The queue is to hand it out again.
    MoreIsLeft,
}
