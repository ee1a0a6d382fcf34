//! Collecting a page, whichever network it is on.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::poll_table::Progress;
use carteiro_networks::poll::{Scope, Start};

use super::page::{Ended, PagePoll};

/// How long before a page's connection what the network has is brought in too.
const FIRST: Duration = Duration::from_secs(30 * 24 * 3600);

impl PagePoll<'_> {
    /// Goes on with the collection of the page.
    pub(super) async fn run_collection(&mut self, progress: &mut Progress) -> Result<Ended, AdapterError> {
        let (network, created_at) = (self.page.network, self.page.created_at);
        let scope = Scope {
            owner: self.page.network_id.clone(),
            token_version: self.token.version,
            from: created_at.checked_sub(FIRST).unwrap_or(created_at),
            now: self.clock.now(),
        };
        let begun = (network.spec().collect)(Start {
            scope,
            access_token: &self.access,
            api: self.collect.polls.settings.api(network),
            sweeps: self.sweeps,
            checkpoint: progress.checkpoint.as_deref(),
        });
        if begun.lost_checkpoint {
            let bytes = progress.checkpoint.as_deref().map_or(0, str::len);
            tracing::error!(page = self.page.id.as_str(), bytes, "poll.checkpoint_unreadable");
        }
        let mut collector = begun.collector;
        self.call_loop(&mut *collector, progress).await
    }
}
