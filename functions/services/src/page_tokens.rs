//! Marking pages with what was found out of their tokens, and telling their accounts.
//!
//! What is told is queued *before* the page is marked, on condition that the page is as it was read. So a page that is
//! marked was told of; who dies in between, or finds the page changed meanwhile, decides again, and what is told once
//! more has the same id. It may have another time in it, and where two find the same thing out at one moment, both tell.

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::deliver::DeliverQueue;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::config::{ConfigTable, Replaced};
use carteiro_core::id::{AccountId, PageId};
use carteiro_networks::page::Page;
use carteiro_networks::page_notice::PageNotice;
use carteiro_networks::signal::{self, TokenSignal};
use carteiro_networks::token_state::{self, Decided, Observed};
use jiff::Timestamp;

use crate::notify::queue_notices;

/// How often it is decided again when the page was changed meanwhile.
const TRIES: usize = 5;

/// Marks pages and tells of them.
#[derive(Clone, Debug)]
pub struct PageNotifier {
    /// Pages, and the webhooks that take notices.
    pub config: ConfigTable,
    /// Where notices go.
    pub queue: DeliverQueue,
}

impl PageNotifier {
    /// Heeds what was seen of a page's token of a version. Answers the page as it is from then on; none where it is gone.
    ///
    /// # Errors
    /// Where the table or the queue failed, or others changed the page again and again. What was seen is to be told
    /// again then, with the next collection at the latest.
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

    /// Heeds what an entry of the inbox says of a page's token. `since` is the entry's place among what is held.
    ///
    /// # Errors
    /// As [`apply_observation`](Self::apply_observation).
    pub async fn apply_token_signal(
        &self,
        account: &AccountId,
        page: &PageId,
        told: &TokenSignal,
        since: Timestamp,
        clock: InvocationClock,
    ) -> Result<Option<Page>, AdapterError> {
        let decide = |page: &Page| signal::decide(page, told, clock.now());
        self.apply(account, page, since, decide).await
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
        queue_notices(&self.queue, &webhooks, notice.into_iter(), since).await
    }
}

fn log(decided: &Decided) {
    let page = &decided.page;
    let (id, network, state) = (page.id.as_str(), page.network.as_str(), page.token.state.as_str());
    match &decided.notice {
        Some(notice) => tracing::warn!(page = id, network, state, notice = notice.kind, "page.token_told"),
        None => tracing::info!(page = id, network, state, "page.token_marked"),
    }
}
