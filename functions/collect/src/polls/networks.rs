//! Which collection a page of each network has.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::tables::poll::Progress;
use carteiro_networks::network::Network;
use carteiro_networks::poll::instagram::Login;
use carteiro_networks::poll::page_poll::PollEnd;
use carteiro_networks::poll::{Scope, facebook, googleplay, instagram, linkedin, x, youtube};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::page::PagePoll;

/// How long before its connection the events of a page are collected, too.
const FIRST: Duration = Duration::from_secs(30 * 24 * 3600);

impl PagePoll<'_> {
    /// Makes the calls of the page's collection, from its checkpoint on.
    pub(super) async fn run_collection(&mut self, progress: &mut Progress) -> Result<PollEnd, AdapterError> {
        let (settings, now) = (&self.collect.polls.settings, self.clock.now());
        let (owner, version) = (self.page.network_id.clone(), self.access.token.version);
        let sweeps = self.quota.sweeps;
        let scope = Scope { owner: owner.clone(), token_version: version, from: self.from(), now };
        match self.page.network {
            Network::Facebook => {
                let kept = self.kept(progress);
                let mut run = facebook::run(&settings.facebook, &owner, version, kept, now);
                self.drive(&mut run, progress).await
            }
            Network::Instagram => {
                let (login, kept) = (Login::of(&self.access.call_token), self.kept(progress));
                let mut run = instagram::run(&settings.instagram, login, &owner, version, kept, now);
                self.drive(&mut run, progress).await
            }
            Network::X => {
                let mut run = x::Collection::new(scope, settings.x.clone(), self.kept(progress));
                self.drive(&mut run, progress).await
            }
            Network::Youtube => {
                let mut run = youtube::Collection::new(
                    scope,
                    settings.youtube.clone().within(sweeps),
                    self.kept(progress),
                );
                self.drive(&mut run, progress).await
            }
            Network::GooglePlay => {
                let kept = self.kept(progress);
                let mut run =
                    googleplay::Collection::new(scope, settings.googleplay.clone().within(sweeps), kept);
                self.drive(&mut run, progress).await
            }
            Network::Linkedin => {
                let kept = self.kept(progress);
                let mut run = linkedin::Collection::new(scope, settings.linkedin.clone(), kept);
                self.drive(&mut run, progress).await
            }
        }
    }

    fn from(&self) -> Timestamp {
        self.page.created_at.checked_sub(FIRST).unwrap_or(self.page.created_at)
    }

    /// The checkpoint; a new one where it cannot be read. Then all is asked for again, and the inbox knows what it has.
    fn kept<C: DeserializeOwned + Default>(&self, progress: &Progress) -> C {
        let Some(text) = &progress.checkpoint else { return C::default() };
        serde_json::from_str(text).unwrap_or_else(|_| {
            tracing::error!(page = self.page.id.as_str(), bytes = text.len(), "poll.checkpoint_unreadable");
            C::default()
        })
    }
}
