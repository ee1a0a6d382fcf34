//! The function's context: its tables, queue and settings.

use carteiro_adapters::queues::deliver::DeliverQueue;
use carteiro_adapters::runtime::settings::SettingsError;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::idempotency::IdempotencyTable;
use carteiro_adapters::wiring::Wiring;
use carteiro_core::retention::Retention;
use carteiro_networks::push::signature::AppSecret;
use carteiro_services::dispatch::Dispatcher;
use carteiro_services::page_tokens::PageNotifier;

/// Tables, queue and settings of the function.
pub(crate) struct Ingest {
    pub(crate) config: ConfigTable,
    pub(crate) idempotency: IdempotencyTable,
    pub(crate) queue: DeliverQueue,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) secrets: Secrets,
    pub(crate) retention: Retention,
    /// Whether pushed entries of a page wait until its network took its token.
    pub(crate) needs_proof: bool,
}

/// The secrets that the deployment shares with networks. Without any, no push of that network is taken.
#[derive(Debug)]
pub(crate) struct Secrets {
    pub(crate) meta: Vec<AppSecret>,
    pub(crate) meta_verify: Vec<AppSecret>,
    pub(crate) x: Vec<AppSecret>,
}

impl Ingest {
    /// Reads the settings.
    pub(crate) fn read(mut wiring: Wiring<'_>) -> Result<Self, SettingsError> {
        let settings = &mut wiring.settings;
        let retention = settings.retention();
        let needs_proof = settings.parsed("PUSHES_NEED_PROOF");
        let secrets = |name: &str| AppSecret::list(&settings.optional(name).unwrap_or_default());
        let secrets = Secrets {
            meta: secrets("META_APP_SECRETS"),
            meta_verify: secrets("META_VERIFY_TOKEN"),
            x: secrets("X_CONSUMER_SECRETS"),
        };
        let config: ConfigTable = wiring.table();
        let (idempotency, inbox) = (wiring.table(), wiring.table());
        let queue: DeliverQueue = wiring.queue("DELIVER_QUEUE_URL");
        let needs_proof = wiring.settings.finish(needs_proof)?;
        let notifier = PageNotifier { config: config.clone(), queue: queue.clone() };
        let dispatcher = Dispatcher { config: config.clone(), inbox, queue: queue.clone(), notifier };
        Ok(Self { config, idempotency, queue, dispatcher, secrets, retention, needs_proof })
    }
}
