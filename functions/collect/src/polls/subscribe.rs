//! Subscribing to the pushes of the networks that are asked for them page by page, and renewing that.
//!
//! It is done where the deployment's public address is known and what the network needs of us is set, for pages whose
//! token the network took: so nobody subscribes for a page that is not theirs. The page's lease, which is taken before,
//! keeps two workers from asking at once. Where it is not done, or refused, polling brings everything in.

use std::collections::BTreeMap;
use std::fmt;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::settings::SettingsReader;
use carteiro_networks::network::{Network, NetworkId};
use carteiro_networks::poll::{CooldownScope, Verdict};
use carteiro_networks::push::address;
use carteiro_networks::push::signature::AppSecret;
use carteiro_networks::push::subscription::{self, Step, Subscribing, Subscription, SubscriptionSpec};

use super::drive::Called;
use super::page::PagePoll;

/// The most requests of one subscription.
const MOST_STEPS: u8 = 4;

/// What a network needs of us to push.
struct App {
    /// Its id there; empty where none is needed.
    id: String,
    /// The secrets of which pages' own are derived.
    secrets: Vec<AppSecret>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("App(…)")
    }
}

/// The networks that are asked to push, and the address that they push to.
#[derive(Debug, Default)]
pub(crate) struct Pushes {
    base: String,
    apps: BTreeMap<Network, App>,
}

impl Pushes {
    /// Reads them from what the template sets.
    pub(crate) fn read(reader: &mut SettingsReader<'_>) -> Self {
        let base: String = reader.parsed("PUSH_BASE_URL").unwrap_or_default();
        let mut app = |network: Network| {
            let push = network.spec().push?;
            let id: Option<String> =
                push.subscription?.app.map(|name| reader.parsed(name).unwrap_or_default());
            let secrets: Option<String> =
                push.page_parameter.map(|_| reader.parsed(push.secrets).unwrap_or_default());
            let secrets = secrets.map(|list| AppSecret::list(&list));
            let is_set =
                id.as_deref() != Some("") && secrets.as_ref().is_none_or(|secrets| !secrets.is_empty());
            let app = App { id: id.unwrap_or_default(), secrets: secrets.unwrap_or_default() };
            is_set.then_some((network, app))
        };
        Self { apps: Network::ALL.into_iter().filter_map(&mut app).collect(), base }
    }

    /// The secret that pushes of a page are signed with, where it has one of its own.
    pub(super) fn secret(&self, network: Network, page: &NetworkId) -> Option<AppSecret> {
        let first = self.apps.get(&network)?.secrets.get(..1)?;
        address::secrets_of(first, network, page).into_iter().next()
    }
}

impl PagePoll<'_> {
    /// Whether the network pushes what happens on the page, as far as we know.
    pub(super) fn is_pushed(&self) -> bool {
        let in_force = self.push.as_ref().and_then(|push| push.in_force_until(self.clock.now()));
        in_force.is_some() && self.collect.polls.pushes.apps.contains_key(&self.page.network)
    }

    /// Subscribes to the page's pushes, where that is due.
    pub(super) async fn subscribe(&mut self) -> Result<(), AdapterError> {
        let (pushes, network) = (&self.collect.polls.pushes, self.page.network);
        let spec = network.spec().push.and_then(|push| push.subscription);
        let Some((spec, app)) = spec.zip(pushes.apps.get(&network)) else { return Ok(()) };
        if pushes.base.is_empty() || !self.page.proven || self.clock.now() > self.quota.until {
            return Ok(());
        }
        let page = self.page.network_id.clone();
        let Some(callback) = address::of_page(&pushes.base, network, &page, &app.secrets) else {
            return Ok(());
        };
        let api = self.collect.polls.settings.api(network);
        let asked = Subscribing { page: &page, callback: &callback, app: &app.id, api };
        let of = subscription::digest_of(&asked, spec.is_of_token.then_some(self.access.token.version));
        if !subscription::is_due(self.push.as_ref(), &of, self.clock.now()) {
            return Ok(());
        }
        if !self.hold().await? {
            return Ok(());
        }
        let step = self.take_subscription(spec, asked).await?;
        let now = self.clock.now();
        let (page, network) = (self.page.id.as_str(), network.as_str());
        let was_refused = self.push.as_ref().is_some_and(Subscription::was_refused);
        self.push = Some(match step {
            Step::Until(until) => {
                tracing::info!(page, network, until = until.to_string(), "push.subscribed");
                Subscription::until(until, of, now)
            }
            Step::Ask(_) => Subscription::failed(self.push.as_ref(), &Verdict::Malformed, of, now),
            Step::Failed(verdict) => {
                let failed = Subscription::failed(self.push.as_ref(), &verdict, of, now);
                // A refusal lasts until somebody acts at the network: it is told once.
                if !was_refused {
                    let verdict = tracing::field::debug(&verdict);
                    tracing::warn!(
                        page,
                        network,
                        verdict,
                        refused = failed.was_refused(),
                        "push.not_subscribed"
                    );
                }
                failed
            }
        });
        Ok(())
    }

    /// Makes the requests of a subscription. What they are answered says nothing of the page's token.
    async fn take_subscription(
        &mut self,
        spec: &SubscriptionSpec,
        asked: Subscribing<'_>,
    ) -> Result<Step, AdapterError> {
        let mut found: Option<String> = None;
        for _ in 0..MOST_STEPS {
            let request = (spec.request)(&asked, found.as_deref());
            let step = match self.call(&request).await? {
                Called::Answered(answered) => {
                    let now = self.clock.now();
                    answered.parse(|answer| (spec.read)(&asked, found.as_deref(), answer, now))
                }
                Called::Failed(error) => {
                    self.note_failure(&request, error);
                    Step::Failed(Verdict::Transient)
                }
                Called::Limited(until) => {
                    Step::Failed(Verdict::Wait { until, of: CooldownScope::ThisOperation })
                }
                Called::TooMuch => Step::Failed(Verdict::Malformed),
            };
            match step {
                Step::Ask(next) => found = Some(next),
                end => return Ok(end),
            }
        }
        Ok(Step::Failed(Verdict::Malformed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Pushes {
        let lookup = |name: &str| {
            let value = set.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            Some(value.unwrap_or_default().to_owned())
        };
        let mut reader = SettingsReader::new(&lookup);
        let pushes = Pushes::read(&mut reader);
        assert!(reader.finish(Some(())).is_ok());
        pushes
    }

    #[test]
    fn a_network_is_asked_only_where_what_it_needs_is_set() {
        assert!(read(&[]).apps.is_empty());
        let set = read(&[("YOUTUBE_HUB_SECRET", "planted"), ("LINKEDIN_APPLICATION_ID", "77")]);
        assert_eq!(set.apps.keys().copied().collect::<Vec<_>>(), [Network::Youtube, Network::Linkedin]);
        assert!(!format!("{set:?}").contains("planted"));
        let page = "UC1".parse().unwrap();
        assert!(
            set.secret(Network::Youtube, &page).is_some() && set.secret(Network::Linkedin, &page).is_none()
        );
    }
}
