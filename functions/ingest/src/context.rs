//! The function's context: its tables, queue and settings.

use std::collections::BTreeMap;

use carteiro_adapters::queues::deliver::DeliverQueue;
use carteiro_adapters::runtime::settings::SettingsError;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::idempotency::IdempotencyTable;
use carteiro_adapters::wiring::Wiring;
use carteiro_core::problem::Problem;
use carteiro_core::retention::Retention;
use carteiro_networks::network::Network;
use carteiro_networks::push::signature::AppSecret;
use carteiro_services::dispatch::Dispatcher;
use carteiro_services::freshness::FreshnessLog;
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

/// The secrets that the deployment shares with networks, by the environment variables that hold them. Without any, no
/// push of that network is taken.
#[derive(Debug)]
pub(crate) struct Secrets(BTreeMap<&'static str, Vec<AppSecret>>);

impl Secrets {
    /// Those of a variable. That there are none is not the sender's fault: it is to come again until they are there.
    pub(crate) fn of(&self, name: &str, network: Network) -> Result<&[AppSecret], Problem> {
        let secrets = self.0.get(name).filter(|secrets| !secrets.is_empty());
        let missing = || Problem::unavailable(format!("no secret for {network} is configured"));
        secrets.map(Vec::as_slice).ok_or_else(missing)
    }
}

impl Ingest {
    /// Reads the settings.
    pub(crate) fn read(mut wiring: Wiring<'_>) -> Result<Self, SettingsError> {
        let settings = &mut wiring.settings;
        let retention = settings.retention();
        let needs_proof = settings.parsed("PUSHES_NEED_PROOF");
        let pushes = Network::ALL.iter().filter_map(|network| network.spec().push);
        let names = pushes.flat_map(|push| [push.secrets, push.challenge_secrets]);
        let list = |name| (name, AppSecret::list(&settings.optional(name).unwrap_or_default()));
        let secrets = Secrets(names.map(list).collect());
        let config: ConfigTable = wiring.table();
        let (idempotency, inbox, freshness) = (wiring.table(), wiring.table(), wiring.table());
        let queue: DeliverQueue = wiring.queue("DELIVER_QUEUE_URL");
        let needs_proof = wiring.settings.finish(needs_proof)?;
        // The collector applies what pushes signal of tokens.
        let notifier = PageNotifier { config: config.clone(), queue: queue.clone(), alerts: None };
        let dispatcher = Dispatcher {
            config: config.clone(),
            inbox,
            queue: queue.clone(),
            notifier,
            freshness: FreshnessLog::new(freshness),
        };
        Ok(Self { config, idempotency, queue, dispatcher, secrets, retention, needs_proof })
    }
}
