//! Telling the operator of what only the operator can mend.
//!
//! One row for each (network, fault) holds since when it is so; the log has one event for each when it begins, and one
//! a day while it lasts, however many pages meet it.

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::metrics;
use carteiro_adapters::tables::poll::Connected;
use carteiro_core::metrics::Metric;
use carteiro_networks::network::Network;
use carteiro_networks::poll::OperatorFault;
use carteiro_networks::poll::operator_fault::is_version_ending;
use carteiro_networks::poll::page_poll::PollEnd;
use jiff::Timestamp;

use super::page::PagePoll;
use crate::Collect;

impl PagePoll<'_> {
    /// Tells the operator what the poll met, and forgets what was mended. Answers what is known of the page from now
    /// on. A table that fails here costs the poll nothing: the next one tells.
    pub(super) async fn tell_operator(&self, end: &PollEnd) -> Option<OperatorFault> {
        let before = self.turn.schedule.last.as_ref().and_then(|last| last.cause);
        let news = self.findings.operator_news(end, before);
        let (polls, network) = (&self.collect.polls.tables.polls, self.page.network);
        if let Some(fault) = news.mended
            && let Err(error) = polls.clear_fault(network, fault).await
        {
            tracing::error!(network = network.as_str(), error = error.chain(), "poll.fault_not_noted");
        }
        if let Some(fault) = news.met {
            match polls.note_fault(network, fault, self.clock.now()).await {
                Ok(true) => {
                    tracing::error!(network = network.as_str(), why = fault.as_str(), "poll.our_fault");
                    metrics::add(Metric::OperatorFaults, 1);
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(
                        network = network.as_str(),
                        error = error.chain(),
                        "poll.fault_not_noted"
                    );
                }
            }
        }
        news.known
    }
}

/// Tells the operator of versions of APIs that end soon, of the networks that the counted pages of a shard are on.
pub(super) async fn tell_of_versions(
    collect: &Collect,
    counted: &Connected,
    now: Timestamp,
) -> Result<(), AdapterError> {
    let polled = |network: &Network| counted.pages.get(network).is_some_and(|pages| *pages > 0);
    for network in Network::ALL.into_iter().filter(polled) {
        let version = &collect.polls.settings.api(network).version;
        let ends_at = network.spec().version_ends.and_then(|ends| ends(version));
        let Some(ends_at) = ends_at.filter(|ends_at| is_version_ending(*ends_at, now)) else { continue };
        if collect.polls.tables.polls.note_fault(network, OperatorFault::VersionEnding, now).await? {
            let (network, ends_at) = (network.as_str(), ends_at.to_string());
            tracing::warn!(network, version = version.as_ref(), ends_at, "poll.version_ending");
        }
    }
    Ok(())
}
