//! Which run collects a page of which network.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::poll_table::Progress;
use carteiro_networks::facebook::collect as facebook;
use carteiro_networks::googleplay::collect as googleplay;
use carteiro_networks::instagram::Login;
use carteiro_networks::instagram::collect as instagram;
use carteiro_networks::linkedin::collect as linkedin;
use carteiro_networks::network::Network;
use carteiro_networks::poll::Scope;
use carteiro_networks::x::collect as x;
use carteiro_networks::youtube::collect as youtube;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::page::{Ended, PagePoll};

/// How long before a page's connection what the network has is brought in too.
const FIRST: Duration = Duration::from_secs(30 * 24 * 3600);

impl PagePoll<'_> {
    /// Goes on with the collection of the page.
    pub(super) async fn run_collection(&mut self, progress: &mut Progress) -> Result<Ended, AdapterError> {
        let (settings, now) = (&self.collect.polls.settings, self.clock.now());
        let (owner, version) = (self.page.network_id.clone(), self.token.version);
        let sweeps = self.sweeps;
        let scope = Scope { owner: owner.clone(), token_version: version, from: self.from(), now };
        match self.page.network {
            Network::Facebook => {
                let kept = self.kept(progress);
                let mut run = facebook::run(&settings.facebook, &owner, version, kept, now);
                self.call_loop(&mut run, progress).await
            }
            Network::Instagram => {
                let (login, kept) = (Login::of(&self.access), self.kept(progress));
                let mut run = instagram::run(&settings.instagram, login, &owner, version, kept, now);
                self.call_loop(&mut run, progress).await
            }
            Network::X => {
                let mut run = x::Collection::new(scope, settings.x.clone(), self.kept(progress));
                self.call_loop(&mut run, progress).await
            }
            Network::Youtube => {
                let mut run = youtube::Collection::new(
                    scope,
                    settings.youtube.clone().within(sweeps),
                    self.kept(progress),
                );
                self.call_loop(&mut run, progress).await
            }
            Network::GooglePlay => {
                let kept = self.kept(progress);
                let mut run =
                    googleplay::Collection::new(scope, settings.googleplay.clone().within(sweeps), kept);
                self.call_loop(&mut run, progress).await
            }
            Network::Linkedin => {
                let kept = self.kept(progress);
                let mut run = linkedin::Collection::new(scope, settings.linkedin.clone(), kept);
                self.call_loop(&mut run, progress).await
            }
        }
    }

    fn from(&self) -> Timestamp {
        self.page.created_at.checked_sub(FIRST).unwrap_or(self.page.created_at)
    }

    /// The checkpoint; of one that cannot be read, none, so that all is asked again. The inbox knows what it has.
    fn kept<C: DeserializeOwned + Default>(&self, progress: &Progress) -> C {
        let Some(text) = &progress.checkpoint else { return C::default() };
        serde_json::from_str(text).unwrap_or_else(|_| {
            tracing::error!(page = self.page.id.as_str(), bytes = text.len(), "poll.checkpoint_unreadable");
            C::default()
        })
    }
}
