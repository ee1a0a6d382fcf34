//! Collecting a page, whichever network it is on.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_networks::poll::page_poll::PollEnd;
use carteiro_networks::poll::{Scope, Start};

use super::page::PagePoll;

/// How long before its connection the events of a page are collected, too.
const FIRST: Duration = Duration::from_secs(30 * 24 * 3600);

impl PagePoll<'_> {
    /// Makes the calls of the page's collection, from its checkpoint on.
    pub(super) async fn run_collection(&mut self) -> Result<PollEnd, AdapterError> {
        let (network, created_at) = (self.page.network, self.page.created_at);
        let checkpoint = self.turn.progress.checkpoint.as_deref();
        let scope = Scope {
            owner: self.page.network_id.clone(),
            token_version: self.access.token.version,
            from: created_at.checked_sub(FIRST).unwrap_or(created_at),
            now: self.clock.now(),
        };
        let begun = (network.spec().collect)(Start {
            scope,
            access_token: &self.access.call_token,
            login: self.page.login,
            ad_account: self.page.ad_account.as_deref(),
            api: self.collect.polls.settings.api(network),
            is_pushed: self.is_pushed(),
            sweeps: self.quota.sweeps,
            checkpoint,
        });
        if begun.lost_checkpoint {
            let bytes = checkpoint.map_or(0, str::len);
            tracing::error!(page = self.page.id.as_str(), bytes, "poll.checkpoint_unreadable");
        }
        let mut collector = begun.collector;
        self.drive(&mut *collector).await
    }
}
