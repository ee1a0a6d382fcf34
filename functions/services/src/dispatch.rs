//! Dispatch of inbox entries to every webhook of the page's account that takes them.
//!
//! The dispatcher works on entries that its caller claimed. It routes them, queues their deliveries, and marks an entry
//! once all of its deliveries are certainly in the queue. An entry's token signal is applied first.
//!
//! Guaranteed: an entry is marked only after everything that follows from it was done. If a function dies before that,
//! the next one dispatches the entry again, under the same ids. An entry that fails stays as it is and comes again when
//! its claim ends. An entry that is not begun for lack of time is released.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::deliver::{DeliverQueue, Outgoing};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::metrics;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::inbox::{Claim, Entry, InboxTable};
use carteiro_core::delivery::Delivery;
use carteiro_core::id::{AccountId, PageId};
use carteiro_core::metrics::Metric;
use carteiro_core::retention::after;
use carteiro_core::webhook::Webhook;
use carteiro_networks::collected::Kind;
use carteiro_networks::dispatch::{self, Decision, DropCause, Routing};
use carteiro_networks::freshness::Counted;
use carteiro_networks::page::Page;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::freshness::FreshnessLog;
use crate::page_tokens::PageNotifier;

/// The most deliveries that are queued together: about as many are repeated where a function dies.
const STEP_DELIVERIES: usize = 50;

/// The most bytes of deliveries that are queued together.
const STEP_BYTES: usize = 8 * 1024 * 1024;

/// How many rows are read or marked at once.
const CONCURRENT_ROWS: usize = 8;

/// How many claims are released at once.
const CONCURRENT_RELEASES: usize = 32;

/// Nothing is queued in the last part of a claim. It is longer than queueing a step may take.
const CLAIM_RESERVE: Duration = Duration::from_secs(30);

/// How long the cache may be used for entries that are older than it.
const CACHED_FOR: Duration = Duration::from_secs(60);

/// Dispatches entries.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    /// Pages and webhooks.
    pub config: ConfigTable,
    /// The entries.
    pub inbox: InboxTable,
    /// The queue of their deliveries.
    pub queue: DeliverQueue,
    /// Applies the entries' token signals.
    pub notifier: PageNotifier,
    /// Counts how fresh what is dispatched is. Its caller has it written.
    pub freshness: FreshnessLog,
}

/// How many entries were dispatched, dropped or left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DispatchSummary {
    /// Entries that were dispatched, to any number of webhooks.
    pub dispatched: usize,
    /// Entries that were dropped: their page is gone, or their storage term is over.
    pub dropped: usize,
    /// Entries that stay for a later time. The cause was logged.
    pub left: usize,
}

impl DispatchSummary {
    const DROPPED: Self = Self { dispatched: 0, dropped: 1, left: 0 };
    const LEFT: Self = Self { dispatched: 0, dropped: 0, left: 1 };

    /// Adds another summary.
    pub fn add(&mut self, other: Self) {
        self.dispatched += other.dispatched;
        self.dropped += other.dropped;
        self.left += other.left;
    }
}

/// Accounts' webhooks and pages' existence, as they were read, shared by entries that follow one another.
///
/// An entry that is younger than the cached read has its account and page read again, so the cache never hides what
/// existed when an entry was stored.
#[derive(Debug, Default)]
pub struct RoutingCache {
    webhooks: HashMap<AccountId, (Timestamp, Arc<[Webhook]>)>,
    pages: HashMap<PageId, (Timestamp, CachedPage)>,
}

/// What is known of a page.
#[derive(Clone, Copy, Debug)]
struct CachedPage {
    exists: bool,
    /// Which of its things are counted.
    counted: Counted,
}

impl RoutingCache {
    /// Notes that a page exists, because it or its route was read, and which of its things are counted.
    pub fn page_is_there(&mut self, page: PageId, counted: Counted, now: Timestamp) {
        self.pages.insert(page, (now, CachedPage { exists: true, counted }));
    }

    /// How many seconds a thing of a page took, where that is counted.
    fn counted(&self, page: &PageId, (kind, at): (Kind, Timestamp), now: Timestamp) -> Option<(Kind, u32)> {
        let (_, cached) = self.pages.get(page)?;
        Some((kind, cached.counted.seconds(at, now)?))
    }

    fn routing(&self, entry: &Entry) -> Routing<'_> {
        Routing {
            page_exists: self.pages.get(&entry.page).map(|(_, page)| page.exists),
            webhooks: self.webhooks.get(&entry.account).map(|(_, webhooks)| &**webhooks),
        }
    }

    /// Forgets what is too old for these entries, and answers the accounts and pages that are to be read.
    fn missing(
        &mut self,
        entries: &[Entry],
        now: Timestamp,
    ) -> (HashSet<AccountId>, HashMap<PageId, AccountId>) {
        let (mut accounts, mut pages) = (HashSet::new(), HashMap::new());
        for entry in entries {
            let is_fresh = |at: &Timestamp| *at >= entry.received_at && now <= after(*at, CACHED_FOR);
            if !self.webhooks.get(&entry.account).is_some_and(|(at, _)| is_fresh(at)) {
                self.webhooks.remove(&entry.account);
                accounts.insert(entry.account.clone());
            }
            if !self.pages.get(&entry.page).is_some_and(|(at, _)| is_fresh(at)) {
                self.pages.remove(&entry.page);
                pages.insert(entry.page.clone(), entry.account.clone());
            }
        }
        (accounts, pages)
    }
}

/// Entries whose deliveries are queued together.
#[derive(Default)]
struct Step {
    entries: Vec<Planned>,
    outgoing: Vec<Outgoing>,
    bytes: usize,
}

/// An entry whose deliveries are a part of a step's.
struct Planned {
    entry: Entry,
    deliveries: Range<usize>,
    /// Its kind, and when the network had it.
    occurred: Option<(Kind, Timestamp)>,
}

impl Step {
    fn add(&mut self, entry: Entry, deliveries: Vec<Delivery>, occurred: Option<(Kind, Timestamp)>) {
        let start = self.outgoing.len();
        self.bytes += deliveries.iter().map(|delivery| delivery.body.len()).sum::<usize>();
        self.outgoing.extend(deliveries.into_iter().map(|delivery| Outgoing::new(delivery, Duration::ZERO)));
        self.entries.push(Planned { entry, deliveries: start..self.outgoing.len(), occurred });
    }

    fn is_full(&self) -> bool {
        self.outgoing.len() >= STEP_DELIVERIES || self.bytes >= STEP_BYTES
    }
}

impl Dispatcher {
    /// Dispatches claimed entries. Nothing begins after `begin_by`: begun work is completed, and the other entries are
    /// released, so that the next caller may claim them at once.
    pub async fn dispatch(
        &self,
        entries: Vec<Entry>,
        claim: &Claim,
        cache: &mut RoutingCache,
        begin_by: Timestamp,
        clock: InvocationClock,
    ) -> DispatchSummary {
        if clock.now() > begin_by {
            return self.release_claims(entries, claim).await;
        }
        self.fill(cache, &entries, clock).await;
        let mut done = DispatchSummary::default();
        let mut step = Step::default();
        let mut entries = entries.into_iter();
        for entry in entries.by_ref() {
            let (decision, occurred) = self.decide(&entry, cache, clock).await;
            match decision {
                Decision::Leave => done.add(DispatchSummary::LEFT),
                Decision::Drop(cause) => done.add(self.drop_entry(&entry, cause, claim).await),
                Decision::Deliver(deliveries) => step.add(entry, deliveries, occurred),
            }
            if step.is_full() {
                if clock.now() > begin_by {
                    break;
                }
                done.add(self.finish(std::mem::take(&mut step), claim, cache, clock).await);
            }
        }
        if clock.now() <= begin_by {
            done.add(self.finish(std::mem::take(&mut step), claim, cache, clock).await);
        }
        let not_begun = step.entries.into_iter().map(|planned| planned.entry).chain(entries);
        done.add(self.release_claims(not_begun.collect(), claim).await);
        done
    }

    /// Decides what becomes of an entry. Asks for earlier versions and applies the token signal where it has one.
    async fn decide(
        &self,
        entry: &Entry,
        cache: &RoutingCache,
        clock: InvocationClock,
    ) -> (Decision, Option<(Kind, Timestamp)>) {
        let item = entry.item();
        let planned = dispatch::Entry {
            item: &item,
            page: &entry.page,
            owner: &entry.owner,
            event: &entry.event,
            received_at: entry.received_at,
            ready_at: entry.since,
            hop: entry.hop,
        };
        let mut plan = match dispatch::plan(planned, cache.routing(entry)) {
            Ok(plan) => plan,
            Err(decision) => return (decision, None),
        };
        let page = entry.page.as_str();
        if plan.needs_history() {
            let read = match entry.is_later {
                Some(is_later) => Ok(is_later),
                None => self.inbox.says_something_new(entry).await,
            };
            match read {
                Ok(true) => plan.note_edit(),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(page, error = error.chain(), "inbox.edit_not_told");
                    return (Decision::Leave, None);
                }
            }
        }
        if let Some(signal) = plan.token_signal() {
            let notifier = &self.notifier;
            let applied =
                notifier.apply_token_signal(&entry.account, &entry.page, &signal, entry.since, clock).await;
            if let Err(error) = applied {
                tracing::error!(page, error = error.chain(), "inbox.signal_not_heeded");
                return (Decision::Leave, None);
            }
        }
        (plan.route(clock.now()), plan.occurred())
    }

    /// Releases claimed entries. A claim that cannot be released ends by itself.
    async fn release_claims(&self, entries: Vec<Entry>, claim: &Claim) -> DispatchSummary {
        let left = entries.len();
        let releases =
            stream::iter(entries).map(|entry| async move { self.inbox.release_claim(&entry, claim).await });
        let mut releases = releases.buffer_unordered(CONCURRENT_RELEASES);
        while let Some(released) = releases.next().await {
            if let Err(error) = released {
                tracing::warn!(error = error.chain(), "inbox.not_given_back");
                // The table does not answer, and a caller may wait for this one.
                break;
            }
        }
        DispatchSummary { left, ..DispatchSummary::default() }
    }

    /// Reads the accounts and pages that the cache lacks. What cannot be read stays unknown.
    async fn fill(&self, cache: &mut RoutingCache, entries: &[Entry], clock: InvocationClock) {
        let now = clock.now();
        let (accounts, pages) = cache.missing(entries, now);
        let reads = stream::iter(accounts).map(|account| async move {
            let read = self.config.all_webhooks(&account).await;
            (account, read)
        });
        let mut reads = reads.buffer_unordered(CONCURRENT_ROWS);
        while let Some((account, read)) = reads.next().await {
            cache.webhooks.extend(read_or_logged(read).map(|webhooks| (account, (now, webhooks.into()))));
        }
        let reads = stream::iter(pages).map(|(page, account)| async move {
            let read = self.config.find_page(&account, &page).await;
            (page, read)
        });
        let mut reads = reads.buffer_unordered(CONCURRENT_ROWS);
        while let Some((page, read)) = reads.next().await {
            let cached = |found: Option<Page>| CachedPage {
                exists: found.is_some(),
                counted: found.as_ref().map_or(Counted::Nothing, Counted::of),
            };
            cache.pages.extend(read_or_logged(read).map(|found| (page, (now, cached(found)))));
        }
    }

    async fn drop_entry(&self, entry: &Entry, cause: DropCause, claim: &Claim) -> DispatchSummary {
        if cause == DropCause::StorageTermOver {
            let (page, network) = (entry.page.as_str(), entry.event.network.as_str());
            tracing::warn!(page, network, "inbox.storage_limit");
        }
        match self.inbox.drop_entry(entry, claim).await {
            Ok(()) => DispatchSummary::DROPPED,
            Err(error) => {
                let (page, entry) = (entry.page.as_str(), entry.key.as_str());
                tracing::error!(page, entry, error = error.chain(), "inbox.not_dropped");
                DispatchSummary::LEFT
            }
        }
    }

    /// Queues a step's deliveries, and marks the entries of which all are in the queue.
    async fn finish(
        &self,
        step: Step,
        claim: &Claim,
        cache: &RoutingCache,
        clock: InvocationClock,
    ) -> DispatchSummary {
        if step.entries.is_empty() {
            return DispatchSummary::default();
        }
        if after(clock.now(), CLAIM_RESERVE) > claim.until {
            tracing::warn!(entries = step.entries.len(), "inbox.claim_over");
            return DispatchSummary { left: step.entries.len(), ..DispatchSummary::default() };
        }
        let sent = self.queue.send(&step.outgoing).await;
        let is_sent = |planned: &Planned| sent[planned.deliveries.clone()].iter().all(Result::is_ok);
        let (queued, left): (Vec<_>, Vec<_>) = step.entries.into_iter().partition(is_sent);
        let (dispatched, left) = (queued.len(), left.len());
        let now = clock.now();
        for Planned { entry, occurred, .. } in &queued {
            let counted = occurred.and_then(|occurred| cache.counted(&entry.page, occurred, now));
            if let Some(((_, at), _)) = occurred.zip(counted) {
                metrics::took(Metric::CollectedSeconds, at, now);
            }
            self.freshness.note(&entry.page, counted, now);
        }
        let marks = stream::iter(queued).map(|Planned { entry, .. }| async move {
            if let Err(error) = self.inbox.mark(&entry, claim, now).await {
                // It is dispatched once more when its claim ends: a duplicate, not a loss.
                let (page, entry) = (entry.page.as_str(), entry.key.as_str());
                tracing::warn!(page, entry, error = error.chain(), "inbox.not_marked");
            }
        });
        marks.buffer_unordered(CONCURRENT_ROWS).collect::<()>().await;
        DispatchSummary { dispatched, left, dropped: 0 }
    }
}

fn read_or_logged<T>(read: Result<T, AdapterError>) -> Option<T> {
    read.map_err(|error| tracing::error!(error = error.chain(), "inbox.not_routed")).ok()
}
