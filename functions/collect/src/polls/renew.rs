//! Renewing a page's token.
//!
//! A renewal is noted in the token's row before the network is asked, on the condition that the token is the one that was
//! read and nobody else is at it; what was answered is stored, together with the page, before it is used. X takes a
//! refresh token once, so an answer that is lost with its new one leaves a page that only its owner can help:
//! [`Ended::RenewalRefused`] says so. Of a service account's key an access token is fetched for each run, and kept
//! nowhere.

use std::time::Duration;

use carteiro_adapters::config_table::Replaced;
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::network_client::{Answered, CallError, CallTime, Credentials, RenewalSecrets};
use carteiro_adapters::service_account_token;
use carteiro_core::retention::after;
use carteiro_networks::google::service_account::ServiceAccount;
use carteiro_networks::page::{AccessToken, Changed, Page, Set, TokenChange, TokenStatus};
use carteiro_networks::poll::refresh::{self, GrantType, Remedy, RenewalClaim, Renewed};
use carteiro_networks::poll::{TokenTrouble, Verdict};

use super::drive::AFTER_CALL;
use super::page::{Ended, PagePoll};

/// How often storing a new token is tried: nobody else has it.
const TRIES: u32 = 6;

/// After how long a renewal is tried again that failed while its token lasts.
const AGAIN: Duration = Duration::from_secs(6 * 3600);

/// The pause before the first such repeat; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

impl PagePoll<'_> {
    /// Renews the token where its time is nearly over, or fetches one for a service account's key. Some where the run
    /// ends there.
    pub(super) async fn renew_if_due(&mut self) -> Result<Option<Ended>, AdapterError> {
        let now = self.clock.now();
        let due = match self.by() {
            None => false,
            Some(GrantType::ServiceAccount) => true,
            Some(GrantType::RefreshToken) => {
                // One that was begun and did not succeed comes first: the network may have refused the token before it.
                let was_begun = self.renewal.is_some_and(|attempt| attempt.of == self.token.version);
                was_begun || refresh::is_due(self.page.network, self.token.expires_at, now)
            }
            Some(GrantType::AccessToken) => {
                let given_at = self.page.token_given_at();
                let renewal = self.page.network.spec().token.self_renewal;
                renewal.is_some_and(|renewal| (renewal.is_due)(given_at, self.token.expires_at, now))
            }
        };
        if !due {
            return Ok(None);
        }
        // Of one that lasts for weeks a failed renewal is tried again in some hours. Meanwhile its end is near, and told.
        let still_lasts = match self.by() {
            Some(GrantType::AccessToken) => self.token.expires_at.is_none_or(|end| end > now),
            _ => self.token.expires_at.is_some_and(|end| end > now),
        };
        let is_slow = self.page.network.spec().token.is_long_lived();
        let failed =
            self.renewal.filter(|attempt| attempt.of == self.token.version && is_slow && still_lasts);
        if failed.is_some_and(|attempt| after(attempt.at, AGAIN) > now) {
            self.renewal_failed = true;
            return Ok(None);
        }
        let ended = self.renew().await?;
        self.renewal_failed = ended.is_some() && is_slow && still_lasts;
        // What still lasts is used: a renewal ahead of time may fail.
        Ok(ended.filter(|ended| !still_lasts || matches!(ended, Ended::RenewalRefused { lost: true })))
    }

    /// Whether a refusal is one that a renewal may help against.
    pub(super) fn may_renew(&self, trouble: &TokenTrouble) -> bool {
        let by_refresh_token = self.by() == Some(GrantType::RefreshToken);
        refresh::help(trouble, by_refresh_token, self.renewed) == Remedy::Renew
    }

    /// Whether the token's end is no trouble, for we renew it.
    pub(super) fn is_renewable(&self) -> bool {
        self.by().is_some_and(|grant| grant != GrantType::AccessToken)
    }

    fn by(&self) -> Option<GrantType> {
        let network = self.page.network;
        let grant = (network.spec().token.grant)(&self.token.access_token)?;
        let has_what_it_takes = grant != GrantType::RefreshToken
            || self.token.refresh_token.is_some() && self.collect.polls.apps.client(network).is_some();
        has_what_it_takes.then_some(grant)
    }

    /// Renews the token. None where it is renewed; else how the run ends.
    pub(super) async fn renew(&mut self) -> Result<Option<Ended>, AdapterError> {
        match self.by() {
            None => Ok(Some(Ended::Refused(TokenTrouble::Expired))),
            Some(GrantType::ServiceAccount) => self.fetch_with_key().await,
            Some(by) => {
                let claim = refresh::claim(self.renewal, self.token.version, self.clock.now());
                let RenewalClaim::Ours { attempt, after_loss } = claim else { return Ok(Some(Ended::More)) };
                let tokens = &self.collect.polls.tables.tokens;
                if !tokens.begin_renewal(&self.page.id, self.renewal, attempt).await? {
                    return Ok(Some(Ended::More));
                }
                self.renewal = Some(attempt);
                self.calls += 1;
                match by {
                    GrantType::AccessToken => self.renew_with_itself().await,
                    _ => self.renew_with_refresh_token(after_loss).await,
                }
            }
        }
    }

    async fn renew_with_refresh_token(&mut self, after_loss: bool) -> Result<Option<Ended>, AdapterError> {
        let client = self.collect.polls.apps.client(self.page.network);
        let secrets = RenewalSecrets {
            refresh_token: self.token.refresh_token.as_ref(),
            client_id: client.map(|client| client.id.as_str()),
            client_secret: client.and_then(|client| client.secret.as_deref()),
            assertion: None,
        };
        let answered = self.post(GrantType::RefreshToken, secrets).await;
        if let (Err(error), Some(attempt)) = (&answered, self.renewal)
            && error.is_unsent()
            && !after_loss
        {
            // No answer was lost: nobody asked.
            self.collect.polls.tables.tokens.end_renewal(&self.page.id, attempt).await?;
        }
        let renewed = self.read_renewal(answered, after_loss);
        match renewed {
            Renewed::Fresh(fresh) => self.store(fresh.over(self.token.version)).await,
            other => Ok(Some(self.not_renewed(&other))),
        }
    }

    async fn fetch_with_key(&mut self) -> Result<Option<Ended>, AdapterError> {
        let assertion = ServiceAccount::read(self.token.access_token.reveal()).ok().and_then(|account| {
            let now = self.clock.now();
            service_account_token::assertion(&account, now).ok()
        });
        // It is no key, or not one that can sign: its owner has to give another.
        let Some(assertion) = assertion else { return Ok(Some(Ended::Refused(TokenTrouble::Revoked))) };
        let secrets = RenewalSecrets { assertion: Some(&assertion), ..RenewalSecrets::default() };
        self.calls += 1;
        let answered = self.post(GrantType::ServiceAccount, secrets).await;
        match self.read_renewal(answered, false) {
            Renewed::Fresh(fresh) => {
                (self.access, self.renewed) = (fresh.access_token, true);
                Ok(None)
            }
            other => Ok(Some(self.not_renewed(&other))),
        }
    }

    async fn renew_with_itself(&mut self) -> Result<Option<Ended>, AdapterError> {
        let network = self.page.network;
        let Some(renewal) = network.spec().token.self_renewal else { return Ok(Some(Ended::Fault)) };
        let api = self.collect.polls.settings.api(network);
        let credentials = Credentials { access_token: &self.access, app_token: None };
        let time = CallTime::of(self.clock, AFTER_CALL);
        let client = &self.collect.polls.client;
        let answered = client.request(network, &(renewal.request)(), credentials, time).await;
        let now = self.clock.now();
        let refreshed = match answered {
            Ok(answered) => answered.told(|answer| (renewal.read)(answer, api, now)),
            Err(error) => {
                self.note_renewal_failed(error.as_str());
                return Ok(Some(Ended::Unavailable));
            }
        };
        match refreshed {
            Ok(fresh) => self.store(fresh.over(self.token.version)).await,
            Err(Verdict::Token(trouble)) => Ok(Some(Ended::Refused(trouble))),
            Err(Verdict::Wait { until, .. }) => Ok(Some(Ended::Limited(until))),
            Err(verdict) => {
                self.note_renewal_failed(if verdict == Verdict::Malformed { "malformed" } else { "failed" });
                Ok(Some(Ended::Unavailable))
            }
        }
    }

    async fn post(&self, means: GrantType, secrets: RenewalSecrets<'_>) -> Result<Answered, CallError> {
        let Some(renewal) = refresh::renewal(self.page.network, means) else {
            return Err(CallError::NotMade("a way of renewing"));
        };
        let time = CallTime::of(self.clock, AFTER_CALL);
        self.collect.polls.client.renew(self.page.network, renewal, secrets, time).await
    }

    fn read_renewal(&self, answered: Result<Answered, CallError>, after_loss: bool) -> Renewed {
        match answered {
            Ok(answered) => answered
                .told(|answer| refresh::renewed(self.page.network, answer, after_loss, self.clock.now())),
            Err(error) => {
                self.note_renewal_failed(error.as_str());
                Renewed::Unknown
            }
        }
    }

    fn not_renewed(&self, renewed: &Renewed) -> Ended {
        match renewed {
            Renewed::Dead { lost } => Ended::RenewalRefused { lost: *lost },
            Renewed::Wait(until) => Ended::Limited(*until),
            Renewed::OurFault(why) => {
                tracing::error!(network = self.page.network.as_str(), why, "poll.our_fault");
                Ended::Fault
            }
            Renewed::Unknown | Renewed::Fresh(_) => {
                self.note_renewal_failed("unknown");
                Ended::Unavailable
            }
        }
    }

    fn note_renewal_failed(&self, error: &str) {
        let (page, network) = (self.page.id.as_str(), self.page.network.as_str());
        tracing::warn!(page, network, error, "poll.not_renewed");
    }

    /// Stores a new token with its page, and uses it. An owner's newer one wins.
    async fn store(&mut self, change: TokenChange) -> Result<Option<Ended>, AdapterError> {
        let polls = &self.collect.polls;
        let Some(access) = change.access_token.clone() else { return Ok(Some(Ended::Fault)) };
        let mut pause = PAUSE;
        let mut failed = None;
        for _ in 0..TRIES {
            let Some(page) = self.collect.config.find_page(&self.page.account, &self.page.id).await? else {
                return Ok(Some(Ended::Dead));
            };
            if page.token_version == self.token.version {
                let changed = with_new_token(&page, &change);
                match self.collect.config.replace_page(&changed, &polls.tables).await {
                    Ok(Replaced::Done) => {
                        self.take_over(changed.page, access, change);
                        return Ok(None);
                    }
                    Ok(Replaced::ChangedMeanwhile) => {}
                    // Whether it was made is not known; the next look tells.
                    Err(error) => failed = Some(error),
                }
            } else {
                let stored = polls.tables.tokens.find(&self.page.id).await?;
                let is_ours = stored.is_some_and(|stored| {
                    stored.token.version == change.version && stored.token.access_token == access
                });
                if !is_ours {
                    return Ok(Some(Ended::More));
                }
                self.take_over(page, access, change);
                return Ok(None);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        tracing::error!(page = self.page.id.as_str(), "poll.renewed_token_not_stored");
        Err(failed.unwrap_or(AdapterError::Contended { operation: "storing a renewed token" }))
    }

    fn take_over(&mut self, page: Page, access: AccessToken, change: TokenChange) {
        let (page_id, network) = (page.id.as_str(), page.network.as_str());
        tracing::info!(page = page_id, network, "poll.token_renewed");
        self.page = page;
        self.token.access_token.clone_from(&access);
        if let Set::To(refresh) = change.refresh_token {
            self.token.refresh_token = Some(refresh);
        }
        (self.token.expires_at, self.token.version) = (change.expires_at, change.version);
        (self.access, self.renewed, self.renewal) = (access, true, None);
    }
}

/// The page with a token that we renewed: the same one for its owner, with another end.
fn with_new_token(page: &Page, change: &TokenChange) -> Changed {
    let token = TokenStatus { expires_at: change.expires_at, ..page.token.clone() };
    let page = Page { token, token_version: change.version, version: page.version + 1, ..page.clone() };
    Changed { page, token: Some(change.clone()), rerouted: false }
}
