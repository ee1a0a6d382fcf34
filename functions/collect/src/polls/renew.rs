//! Renewing a page's token.
//!
//! A renewal is noted in the token's row before the network is asked, on the condition that the token is the one that
//! was read and that no other worker renews it. The answer is stored, together with the page, before it is used. X
//! takes a refresh token once, so an answer that is lost with its new one leaves a page that only its owner can help:
//! [`PollEnd::RenewalRefused`] says so. With a service account's key an access token is fetched for each poll, and
//! stored nowhere.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::http::network_client::{Answered, CallError, CallTime, Credentials, RenewalSecrets};
use carteiro_adapters::http::service_account_token;
use carteiro_adapters::tables::config::Replaced;
use carteiro_networks::google::service_account::ServiceAccount;
use carteiro_networks::page::{AccessToken, Page, TokenChange};
use carteiro_networks::poll::page_poll::{
    PollEnd, Remaining, RenewalPlan, not_refreshed, not_renewed, with_new_token,
};
use carteiro_networks::poll::refresh::{self, Fresh, GrantType, RenewalClaim, Renewed};
use carteiro_networks::poll::{TokenTrouble, Verdict};

use super::drive::AFTER_CALL;
use super::page::PagePoll;

/// How often storing a new token is tried. Nobody else has it.
const TRIES: u32 = 6;

/// The pause before the first repeat; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

impl PagePoll<'_> {
    /// Renews the token where its end is near, or fetches one with a service account's key. Answers the poll's end,
    /// where it ends.
    pub(super) async fn renew_if_due(&mut self) -> Result<Option<PollEnd>, AdapterError> {
        let method = self.renewal_method();
        match self.access.plan_renewal(&self.page, method, self.clock.now()) {
            RenewalPlan::NotDue => Ok(None),
            RenewalPlan::Postponed => {
                self.access.renewal_failed = true;
                Ok(None)
            }
            RenewalPlan::Due(remaining) => {
                let failed = self.renew().await?;
                let by_operator = failed.as_ref().and_then(PollEnd::operator_fault);
                self.findings.app = by_operator.or(self.findings.app);
                // What the operator has to mend is not told to the page's owner.
                self.access.renewal_failed =
                    failed.is_some() && by_operator.is_none() && remaining == Remaining::Days;
                Ok(remaining.end_after(failed))
            }
        }
    }

    /// Renews the token. None where it is renewed; else the poll's end.
    pub(super) async fn renew(&mut self) -> Result<Option<PollEnd>, AdapterError> {
        let Some(method) = self.renewal_method() else {
            return Ok(Some(PollEnd::Refused(TokenTrouble::Expired)));
        };
        if method == GrantType::ServiceAccount {
            return self.fetch_with_key().await;
        }
        let before = self.access.attempt;
        let claim = refresh::claim(before, self.access.token.version, self.clock.now());
        let RenewalClaim::Ours { attempt, after_loss } = claim else { return Ok(Some(PollEnd::More)) };
        let tokens = &self.collect.polls.tables.tokens;
        if !tokens.begin_renewal(&self.page.id, before, attempt).await? {
            return Ok(Some(PollEnd::More));
        }
        self.access.attempt = Some(attempt);
        self.quota.calls += 1;
        let fresh = match method {
            GrantType::AccessToken => self.renew_with_itself().await,
            _ => self.renew_with_refresh_token(after_loss).await?,
        };
        match fresh {
            Ok(fresh) => self.store(fresh.over(self.access.token.version)).await,
            Err(end) => Ok(Some(end)),
        }
    }

    async fn renew_with_refresh_token(
        &self,
        after_loss: bool,
    ) -> Result<Result<Fresh, PollEnd>, AdapterError> {
        let client = self.collect.polls.apps.client(self.page.network);
        let secrets = RenewalSecrets {
            refresh_token: self.access.token.refresh_token.as_ref(),
            client_id: client.map(|client| client.id.as_str()),
            client_secret: client.and_then(|client| client.secret.as_deref()),
            assertion: None,
        };
        let answered = self.post(GrantType::RefreshToken, secrets).await;
        if let (Err(error), Some(attempt)) = (&answered, self.access.attempt)
            && error.is_unsent()
            && !after_loss
        {
            // Nothing was sent, so no answer was lost.
            self.collect.polls.tables.tokens.end_renewal(&self.page.id, attempt).await?;
        }
        let renewed = self.read_renewal(answered, after_loss);
        if let (Err(PollEnd::Operator(_)), Some(attempt), false) = (&renewed, self.access.attempt, after_loss)
        {
            // The app was refused, and its refresh token stays good: the next poll asks again.
            self.collect.polls.tables.tokens.end_renewal(&self.page.id, attempt).await?;
        }
        Ok(renewed)
    }

    async fn fetch_with_key(&mut self) -> Result<Option<PollEnd>, AdapterError> {
        let account = ServiceAccount::read(self.access.token.access_token.reveal()).ok();
        let now = self.clock.now();
        let assertion = account.and_then(|account| service_account_token::assertion(&account, now).ok());
        // It is no key, or not one that can sign: its owner has to give another.
        let Some(assertion) = assertion else { return Ok(Some(PollEnd::Refused(TokenTrouble::Revoked))) };
        let secrets = RenewalSecrets { assertion: Some(&assertion), ..RenewalSecrets::default() };
        self.quota.calls += 1;
        let answered = self.post(GrantType::ServiceAccount, secrets).await;
        Ok(match self.read_renewal(answered, false) {
            Ok(fresh) => {
                (self.access.call_token, self.access.renewed) = (fresh.access_token, true);
                None
            }
            Err(end) => Some(end),
        })
    }

    async fn renew_with_itself(&mut self) -> Result<Fresh, PollEnd> {
        let (polls, network) = (&self.collect.polls, self.page.network);
        let Some(renewal) = network.spec().token.self_renewal else { return Err(PollEnd::Fault) };
        let request = (renewal.request)();
        let proof = self.prove_call(request.auth);
        let proof = proof.as_ref().map(|(name, proof)| (*name, proof));
        let login = self.page.login;
        let credentials = Credentials { login, proof, ..Credentials::of(&self.access.call_token) };
        let time = CallTime::of(self.clock, AFTER_CALL);
        let answered = polls.client.request(network, &request, credentials, time).await;
        let answered = answered.map_err(|error| {
            self.note_renewal_failed(error.as_str());
            PollEnd::Unavailable
        })?;
        let now = self.clock.now();
        let fresh = answered.parse(|answer| (renewal.read)(answer, polls.settings.api(network), now));
        fresh.map_err(|verdict| {
            let error = if verdict == Verdict::Malformed { "malformed" } else { "failed" };
            let end = not_refreshed(verdict);
            if end == PollEnd::Unavailable {
                self.note_renewal_failed(error);
            }
            end
        })
    }

    async fn post(&self, grant: GrantType, secrets: RenewalSecrets<'_>) -> Result<Answered, CallError> {
        let Some(renewal) = refresh::renewal(self.page.network, grant) else {
            return Err(CallError::NotMade("a way of renewing"));
        };
        let time = CallTime::of(self.clock, AFTER_CALL);
        self.collect.polls.client.renew(self.page.network, renewal, secrets, time).await
    }

    /// Reads the answer to a renewal. Where the token is not renewed, answers the poll's end.
    fn read_renewal(
        &self,
        answered: Result<Answered, CallError>,
        after_loss: bool,
    ) -> Result<Fresh, PollEnd> {
        let network = self.page.network;
        let renewed = match answered {
            Ok(answered) => {
                let now = self.clock.now();
                answered.parse(|answer| refresh::renewed(network, answer, after_loss, now))
            }
            Err(error) => {
                self.note_renewal_failed(error.as_str());
                Renewed::Unknown
            }
        };
        if renewed == Renewed::Unknown {
            self.note_renewal_failed("unknown");
        }
        let end = not_renewed(&renewed);
        if let Renewed::Fresh(fresh) = renewed { Ok(fresh) } else { Err(end) }
    }

    fn note_renewal_failed(&self, error: &str) {
        let (page, network) = (self.page.id.as_str(), self.page.network.as_str());
        tracing::warn!(page, network, error, "poll.not_renewed");
    }

    /// Stores a new token with its page, and uses it. A newer one of its owner's wins.
    async fn store(&mut self, change: TokenChange) -> Result<Option<PollEnd>, AdapterError> {
        let polls = &self.collect.polls;
        let Some(access) = change.access_token.clone() else { return Ok(Some(PollEnd::Fault)) };
        let mut pause = PAUSE;
        let mut failed = None;
        for _ in 0..TRIES {
            let Some(page) = self.collect.config.find_page(&self.page.account, &self.page.id).await? else {
                return Ok(Some(PollEnd::Dead));
            };
            if page.token_version == self.access.token.version {
                let changed = with_new_token(&page, &change);
                match self.collect.config.replace_page(&changed, &polls.tables).await {
                    Ok(Replaced::Done) => {
                        self.take_over(changed.page, access, change);
                        return Ok(None);
                    }
                    Ok(Replaced::ChangedMeanwhile) => {}
                    // It is not known whether it was stored; the next look tells.
                    Err(error) => failed = Some(error),
                }
            } else {
                let stored = polls.tables.tokens.find(&self.page.id).await?;
                let is_ours = stored.is_some_and(|stored| {
                    stored.token.version == change.version && stored.token.access_token == access
                });
                if !is_ours {
                    return Ok(Some(PollEnd::More));
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

    fn take_over(&mut self, page: Page, access_token: AccessToken, change: TokenChange) {
        let (page_id, network) = (page.id.as_str(), page.network.as_str());
        tracing::info!(page = page_id, network, "poll.token_renewed");
        self.page = page;
        self.access.take_over(access_token, change);
    }
}
