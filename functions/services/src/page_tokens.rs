//! Applies observations of pages' tokens: changes the page's token state, and notifies its account.
//!
//! A notice is queued, and raised as an [alert](crate::alerts), *before* the page is changed, on condition that the
//! page is as it was read. So an account whose page is marked was notified. If a function dies in between, or the page
//! changed meanwhile, it is decided again, and the second notice has the same id. Its time may differ, and two
//! functions that observe the same thing at once both notify.

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::deliver::DeliverQueue;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::metrics;
use carteiro_adapters::tables::config::{ConfigTable, Replaced};
use carteiro_core::id::{AccountId, PageId};
use carteiro_core::metrics::Metric;
use carteiro_networks::page::{Page, TokenState};
use carteiro_networks::page_notice::{self, NoticeTimes, PageNotice};
use carteiro_networks::signal::{self, TokenSignal};
use carteiro_networks::silence::Silence;
use carteiro_networks::token_state::{self, Decided, Observed};
use jiff::Timestamp;

use crate::alerts::Alerter;
use crate::notify::queue_notices;

/// How many times an observation is applied anew because the page was changed meanwhile.
const TRIES: usize = 5;

/// Changes pages and notifies accounts.
#[derive(Clone, Debug)]
pub struct PageNotifier {
    /// Pages, and the webhooks that take notices.
    pub config: ConfigTable,
    /// Where notices go.
    pub queue: DeliverQueue,
    /// Alerts to people. None for a function that leaves the observations of tokens to another one, and so sends no
    /// notice.
    pub alerts: Option<Alerter>,
}

impl PageNotifier {
    /// Applies an observation of a page's token of a version. Answers the updated page; None where it is gone.
    ///
    /// # Errors
    /// Where the table or the queue failed, or others kept changing the page. The observation must be applied again
    /// then, with the next collection at the latest.
    pub async fn apply_observation(
        &self,
        account: &AccountId,
        page: &PageId,
        token_version: u64,
        seen: &Observed,
        clock: InvocationClock,
    ) -> Result<Option<Page>, AdapterError> {
        let decide = |page: &Page| token_state::decide(page, token_version, seen, clock.now());
        self.apply(account, page, clock.now(), decide).await
    }

    /// Applies a token signal of an inbox entry. `since` is the notice's place among held items.
    ///
    /// # Errors
    /// As [`apply_observation`](Self::apply_observation).
    pub async fn apply_token_signal(
        &self,
        account: &AccountId,
        page: &PageId,
        signal: &TokenSignal,
        since: Timestamp,
        clock: InvocationClock,
    ) -> Result<Option<Page>, AdapterError> {
        let decide = |page: &Page| signal::decide(page, signal, clock.now());
        self.apply(account, page, since, decide).await
    }

    /// Notifies an account that its page is silent. A repeat has the same id.
    ///
    /// # Errors
    /// Where the table or the queue failed.
    pub async fn notify_silence(
        &self,
        page: &Page,
        silence: &Silence,
        now: Timestamp,
    ) -> Result<(), AdapterError> {
        let told = NoticeTimes { occurred_at: silence.since, timestamp: now };
        let notice = page_notice::silent(page, silence, &told);
        self.queue(&page.account, &notice, now).await?;
        let (id, network, since) = (page.id.as_str(), page.network.as_str(), silence.since.to_string());
        tracing::warn!(page = id, network, since, usual_hours = silence.usual_hours, "page.silent");
        Ok(())
    }

    async fn apply(
        &self,
        account: &AccountId,
        page: &PageId,
        since: Timestamp,
        decide: impl Fn(&Page) -> Option<Decided>,
    ) -> Result<Option<Page>, AdapterError> {
        for _ in 0..TRIES {
            let Some(page) = self.config.find_page(account, page).await? else { return Ok(None) };
            let Some(decided) = decide(&page) else { return Ok(Some(page)) };
            if let Some(notice) = &decided.notice {
                self.queue(account, notice, since).await?;
            }
            if self.config.mark_page(&decided.page).await? == Replaced::Done {
                log(&decided);
                return Ok(Some(decided.page));
            }
        }
        Err(AdapterError::Contended { operation: "marking a page's token" })
    }

    async fn queue(
        &self,
        account: &AccountId,
        notice: &PageNotice,
        since: Timestamp,
    ) -> Result<(), AdapterError> {
        let webhooks = self.config.all_webhooks(account).await?;
        let notice = [(&notice.id, notice.body.as_slice())];
        queue_notices(&self.queue, &webhooks, notice.into_iter(), since).await?;
        match &self.alerts {
            Some(alerts) => alerts.raise(account, notice.into_iter()).await,
            None => Ok(()),
        }
    }
}

fn log(decided: &Decided) {
    let page = &decided.page;
    let (id, network, state) = (page.id.as_str(), page.network.as_str(), page.token.state.as_str());
    if decided.notice.is_some() && matches!(page.token.state, TokenState::Expired | TokenState::Revoked) {
        metrics::add(Metric::TokensDead, 1);
    }
    match &decided.notice {
        Some(notice) => tracing::warn!(page = id, network, state, notice = notice.kind, "page.token_told"),
        None => tracing::info!(page = id, network, state, "page.token_marked"),
    }
}
