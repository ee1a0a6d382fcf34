//! Handing entries of the inbox on: to every webhook of the page's account that takes them.
//!
//! It works on entries that its caller claimed: routes them, queues their deliveries, and marks those of which all are
//! certainly in the queue. What an entry says of its page's token is acted upon first. Guaranteed: an entry is marked
//! only after everything that follows from it was done; whoever dies before that leaves it to the next one, who does it
//! again, under the same ids. What fails is left as it is, and comes again when its claim is over; what was not begun for
//! want of time is given back.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::deliver::{DeliverQueue, Outgoing};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::inbox::{Claim, Entry, InboxTable};
use carteiro_core::delivery::Delivery;
use carteiro_core::id::{AccountId, ItemId, PageId};
use carteiro_core::item::{ItemType, Source};
use carteiro_core::retention::after;
use carteiro_core::webhook::Webhook;
use carteiro_networks::collected::{self, Action, By, Envelope};
use carteiro_networks::inbox::Reading;
use carteiro_networks::normalise;
use carteiro_networks::signal::TokenSignal;
use carteiro_networks::storage_limit;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::page_tokens::PageNotifier;

/// The most deliveries that are queued together: about what a function that dies leaves to be repeated.
const STEP_DELIVERIES: usize = 50;

/// The most bytes of deliveries that are queued together.
const STEP_BYTES: usize = 8 * 1024 * 1024;

/// How many rows are read or marked at once.
const CONCURRENT_ROWS: usize = 8;

/// How many are given back at once.
const CONCURRENT_RETURNS: usize = 32;

/// Nothing is queued in the last of a claim: longer than queueing a step may take.
const CLAIM_RESERVE: Duration = Duration::from_secs(30);

/// How long what was read of accounts and pages may be used, where it is younger than the entry anyway.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// Hands entries on.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    /// Pages and webhooks.
    pub config: ConfigTable,
    /// Where the entries are.
    pub inbox: InboxTable,
    /// Where their items go.
    pub queue: DeliverQueue,
    /// Who heeds what entries say of tokens.
    pub notifier: PageNotifier,
}

/// What became of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DispatchSummary {
    /// Handed on, to however many webhooks.
    pub dispatched: usize,
    /// Dropped, for their page is gone, or for their network does not let them be kept any more.
    pub dropped: usize,
    /// Left as they are, for a later time. The cause was logged.
    pub left: usize,
}

impl DispatchSummary {
    /// Adds up.
    pub fn add(&mut self, other: Self) {
        self.dispatched += other.dispatched;
        self.dropped += other.dropped;
        self.left += other.left;
    }
}

/// What was read of accounts and pages, so that entries that follow one another share it.
///
/// It never hides what was there when an entry was stored: for an entry that is younger than what was read of its
/// account, it is read again.
#[derive(Debug, Default)]
pub struct RoutingCache {
    webhooks: HashMap<AccountId, (Timestamp, Arc<[Webhook]>)>,
    pages: HashMap<PageId, (Timestamp, bool)>,
}

impl RoutingCache {
    /// Notes that a page is there, as its route says.
    pub fn page_is_there(&mut self, page: PageId, now: Timestamp) {
        self.pages.insert(page, (now, true));
    }

    fn is_fresh(read_at: Timestamp, entry: &Entry, now: Timestamp) -> bool {
        read_at >= entry.received_at && now <= after(read_at, KNOWN_FOR)
    }
}

/// Entries whose deliveries are queued together.
#[derive(Default)]
struct Step {
    entries: Vec<(Entry, Range<usize>)>,
    outgoing: Vec<Outgoing>,
    bytes: usize,
}

impl Dispatcher {
    /// Hands claimed entries on. After `begin_by` nothing more is begun: what was begun is ended, and the rest is given
    /// back, so that whoever comes next may claim it at once.
    pub async fn dispatch(
        &self,
        entries: Vec<Entry>,
        claim: &Claim,
        known: &mut RoutingCache,
        begin_by: Timestamp,
        clock: InvocationClock,
    ) -> DispatchSummary {
        if clock.now() > begin_by {
            return self.release_claims(entries, claim).await;
        }
        self.learn(&entries, known, clock).await;
        let mut done = DispatchSummary::default();
        let mut step = Step::default();
        let mut entries = entries.into_iter();
        for entry in entries.by_ref() {
            let page = known.pages.get(&entry.page).map(|(_, there)| *there);
            let webhooks = known.webhooks.get(&entry.account).map(|(_, webhooks)| Arc::clone(webhooks));
            let (Some(there), Some(webhooks)) = (page, webhooks) else {
                done.left += 1;
                continue;
            };
            if !there {
                done.add(self.drop_entry(&entry, claim).await);
                continue;
            }
            let mut reading = normalise::read(&entry.event, &entry.owner);
            if let Err(error) = self.tell_edits(&entry, &mut reading).await {
                tracing::error!(page = entry.page.as_str(), error = error.chain(), "inbox.edit_not_told");
                done.left += 1;
                continue;
            }
            if let Some(told) = TokenSignal::of(&reading, &entry.event, entry.received_at)
                && let Err(error) = self
                    .notifier
                    .apply_token_signal(&entry.account, &entry.page, &told, entry.since, clock)
                    .await
            {
                tracing::error!(page = entry.page.as_str(), error = error.chain(), "inbox.signal_not_heeded");
                done.left += 1;
                continue;
            }
            let author = reading.content.author.as_ref();
            let keep_until = storage_limit::keep_until(entry.event.network, author, entry.received_at);
            if keep_until.is_some_and(|until| until <= clock.now()) {
                let (page, network) = (entry.page.as_str(), entry.event.network.as_str());
                tracing::warn!(page, network, "inbox.storage_limit");
                done.add(self.drop_entry(&entry, claim).await);
                continue;
            }
            step.add(entry, &reading, &webhooks, keep_until);
            if step.outgoing.len() >= STEP_DELIVERIES || step.bytes >= STEP_BYTES {
                if clock.now() > begin_by {
                    break;
                }
                done.add(self.finish(std::mem::take(&mut step), claim, clock).await);
            }
        }
        if clock.now() <= begin_by {
            done.add(self.finish(std::mem::take(&mut step), claim, clock).await);
        }
        let not_begun = step.entries.into_iter().map(|(entry, _)| entry).chain(entries);
        done.add(self.release_claims(not_begun.collect(), claim).await);
        done
    }

    /// What a poll finds is a new version of something that was seen, or new: no answer says which.
    async fn tell_edits(&self, entry: &Entry, reading: &mut Reading) -> Result<(), AdapterError> {
        let is_unclear = entry.event.by == By::Poll && reading.content.action == Action::Created;
        if is_unclear && self.inbox.says_something_new(entry).await? {
            reading.content.action = Action::Edited;
        }
        Ok(())
    }

    /// Gives claimed entries back. One that cannot be is free when its claim is over.
    async fn release_claims(&self, entries: Vec<Entry>, claim: &Claim) -> DispatchSummary {
        let left = entries.len();
        let given =
            stream::iter(entries).map(|entry| async move { self.inbox.release_claim(&entry, claim).await });
        let mut given = given.buffer_unordered(CONCURRENT_RETURNS);
        while let Some(given) = given.next().await {
            if let Err(error) = given {
                tracing::warn!(error = error.chain(), "inbox.not_given_back");
                // The table is not well, and somebody waits: the claims of the rest end by themselves.
                break;
            }
        }
        DispatchSummary { left, ..DispatchSummary::default() }
    }

    /// Reads what is not known of the entries' accounts and pages. What cannot be read stays unknown.
    async fn learn(&self, entries: &[Entry], known: &mut RoutingCache, clock: InvocationClock) {
        let now = clock.now();
        let (mut accounts, mut pages) = (HashSet::new(), HashMap::new());
        for entry in entries {
            let stale = |read_at: Option<Timestamp>| {
                !read_at.is_some_and(|at| RoutingCache::is_fresh(at, entry, now))
            };
            if stale(known.webhooks.get(&entry.account).map(|(at, _)| *at)) {
                known.webhooks.remove(&entry.account);
                accounts.insert(entry.account.clone());
            }
            if stale(known.pages.get(&entry.page).map(|(at, _)| *at)) {
                known.pages.remove(&entry.page);
                pages.insert(entry.page.clone(), entry.account.clone());
            }
        }
        let webhooks = stream::iter(accounts).map(|account| async move {
            let read = self.config.all_webhooks(&account).await;
            (account, read)
        });
        let mut webhooks = webhooks.buffer_unordered(CONCURRENT_ROWS);
        while let Some((account, read)) = webhooks.next().await {
            if let Some(webhooks) = known_or_logged(read) {
                known.webhooks.insert(account, (now, webhooks.into()));
            }
        }
        let there = stream::iter(pages).map(|(page, account)| async move {
            let read = self.config.find_page(&account, &page).await;
            (page, read)
        });
        let mut there = there.buffer_unordered(CONCURRENT_ROWS);
        while let Some((page, read)) = there.next().await {
            if let Some(found) = known_or_logged(read) {
                known.pages.insert(page, (now, found.is_some()));
            }
        }
    }

    async fn drop_entry(&self, entry: &Entry, claim: &Claim) -> DispatchSummary {
        match self.inbox.drop_entry(entry, claim).await {
            Ok(()) => DispatchSummary { dropped: 1, ..DispatchSummary::default() },
            Err(error) => {
                tracing::error!(error = error.chain(), "inbox.not_dropped");
                DispatchSummary { left: 1, ..DispatchSummary::default() }
            }
        }
    }

    /// Queues a step's deliveries, and marks the entries of which all are in the queue.
    async fn finish(&self, step: Step, claim: &Claim, clock: InvocationClock) -> DispatchSummary {
        if step.entries.is_empty() {
            return DispatchSummary::default();
        }
        if after(clock.now(), CLAIM_RESERVE) > claim.until {
            tracing::warn!(entries = step.entries.len(), "inbox.claim_over");
            return DispatchSummary { left: step.entries.len(), ..DispatchSummary::default() };
        }
        let sent = self.queue.send(&step.outgoing).await;
        let (mut marking, mut left) = (Vec::new(), 0);
        for (entry, share) in step.entries {
            if sent[share].iter().all(Result::is_ok) {
                marking.push(entry);
            } else {
                left += 1;
            }
        }
        let dispatched = marking.len();
        let now = clock.now();
        let marked =
            stream::iter(marking).map(|entry| async move { self.inbox.mark(&entry, claim, now).await });
        let mut marked = marked.buffer_unordered(CONCURRENT_ROWS);
        while let Some(marked) = marked.next().await {
            if let Err(error) = marked {
                // It is handed on once more when its claim is over: a duplicate, not a loss.
                tracing::warn!(error = error.chain(), "inbox.not_marked");
            }
        }
        DispatchSummary { dispatched, left, dropped: 0 }
    }
}

impl Step {
    fn add(&mut self, entry: Entry, reading: &Reading, webhooks: &[Webhook], keep_until: Option<Timestamp>) {
        let item = entry.item();
        let envelope = Envelope {
            id: &item,
            network: entry.event.network,
            page: &entry.page,
            collected_at: entry.received_at,
            by: entry.event.by,
        };
        let item_type = reading.content.published.item_type();
        let source = Source::Page(entry.page.to_string());
        let start = self.outgoing.len();
        let mut takers = webhooks.iter().filter(|webhook| webhook.takes(&item_type, &source)).peekable();
        if takers.peek().is_some() {
            let body = collected::render(&reading.content, &envelope, &entry.event.raw);
            for webhook in takers {
                let what =
                    What { item: &item, item_type: &item_type, source: &source, keep_until, body: &body };
                self.outgoing.push(Outgoing::new(&delivery(webhook, &what, &entry), Duration::ZERO));
                self.bytes += body.len();
            }
        }
        self.entries.push((entry, start..self.outgoing.len()));
    }
}

/// What is delivered of an entry.
struct What<'a> {
    item: &'a ItemId,
    item_type: &'a ItemType,
    source: &'a Source,
    keep_until: Option<Timestamp>,
    body: &'a [u8],
}

fn delivery(webhook: &Webhook, what: &What<'_>, entry: &Entry) -> Delivery {
    Delivery {
        account: webhook.account.clone(),
        webhook: webhook.id.clone(),
        item: what.item.clone(),
        item_type: what.item_type.clone(),
        source: what.source.clone(),
        // Not now: handed on again, it has the same place among what is held.
        accepted_at: entry.since,
        attempt: 1,
        chain: 0,
        revision: webhook.revision,
        step: None,
        replayed: None,
        keep_until: what.keep_until,
        hop: entry.hop,
        body: what.body.to_vec(),
    }
}

fn known_or_logged<T>(read: Result<T, AdapterError>) -> Option<T> {
    read.map_err(|error| tracing::error!(error = error.chain(), "inbox.not_routed")).ok()
}
