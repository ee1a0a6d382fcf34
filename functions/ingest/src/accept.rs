//! Accepting items: claim the keys, queue the deliveries, mark the keys.
//!
//! Items are taken in chunks, each of which is claimed, queued and marked before the next, so that memory is bounded
//! and every chunk is queued within the lease of its claims ([`carteiro_core::idempotency`]).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::deliver::Outgoing;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::{metrics, random};
use carteiro_adapters::tables::idempotency::KeyClaim;
use carteiro_core::delivery::Delivery;
use carteiro_core::hop::Hop;
use carteiro_core::id::{AccountId, ItemId};
use carteiro_core::idempotency::{self, Claim, IdempotencyKey, LEASE, Progress, REMEMBERED, Remembered};
use carteiro_core::item::{self, ItemHead, ItemType, Source};
use carteiro_core::metrics::Metric;
use carteiro_core::retention::after;
use carteiro_core::webhook::Webhook;
use futures_util::StreamExt;
use futures_util::stream;
use jiff::Timestamp;

use crate::context::Ingest;

/// The most deliveries that are queued at once.
const CHUNK_DELIVERIES: usize = 1000;

/// The most bytes of deliveries that are queued at once.
const CHUNK_BYTES: usize = 32 * 1024 * 1024;

/// How many keys are claimed or marked at once.
const CONCURRENT_KEYS: usize = 64;

/// Time that an answer and a late table call need. Nothing is begun in this last part.
const RESERVE: Duration = Duration::from_secs(3);

/// How often a request looks whether the other one with its key is done.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// An item that passed its checks.
pub(crate) struct Incoming<'a> {
    pub(crate) item_type: ItemType,
    pub(crate) bytes: &'a [u8],
    pub(crate) head: ItemHead,
    pub(crate) key: Option<IdempotencyKey>,
}

/// An item that is durably queued for every webhook that takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) item: ItemId,
    pub(crate) webhooks: usize,
}

/// Why an item was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its key was used for other bytes.
    KeyOfAnotherItem,
    /// Another request with its key is under way, for longer than this one can wait.
    InProgress,
    /// It is not certainly queued for every webhook. The cause was logged.
    NotQueued,
}

/// Everything that items of one request share.
pub(crate) struct Acceptance<'a> {
    pub(crate) ingest: &'a Ingest,
    pub(crate) account: &'a AccountId,
    pub(crate) source: &'a Source,
    pub(crate) webhooks: &'a [Webhook],
    /// How often the items have passed through Carteiro before.
    pub(crate) hop: Hop,
    pub(crate) clock: InvocationClock,
}

/// The next act for an item.
enum Task {
    /// Queue it.
    Queue(Ready),
    /// Nothing: this is the answer.
    Answer(Result<Accepted, Refusal>),
    /// Nothing yet: another request with its key is under way.
    Later,
}

/// An item that may be queued.
struct Ready {
    item: ItemId,
    accepted_at: Timestamp,
    claim: Option<KeptClaim>,
}

/// A claim of a key, to be marked when its item is queued.
struct KeptClaim {
    key: String,
    claim: Remembered,
    /// The end of the lease.
    until: Timestamp,
}

impl Acceptance<'_> {
    /// Accepts items, each by itself, and answers in their order.
    pub(crate) async fn accept(&self, items: &[Incoming<'_>]) -> Vec<Result<Accepted, Refusal>> {
        let results = self.accept_all(items).await;
        metrics::add(Metric::Accepted, results.iter().filter(|result| result.is_ok()).count());
        results
    }

    async fn accept_all(&self, items: &[Incoming<'_>]) -> Vec<Result<Accepted, Refusal>> {
        let repeats = repeats(items);
        let mut results: Vec<Result<Accepted, Refusal>> = vec![Err(Refusal::NotQueued); items.len()];
        let mut busy = Vec::new();
        for chunk in chunks(items.iter().map(|item| item.bytes.len()), self.webhooks.len()) {
            let fresh: Vec<usize> = chunk.filter(|index| !repeats.contains_key(index)).collect();
            for (index, result) in self.accept_chunk_in_time(items, &fresh).await {
                match result {
                    Some(result) => results[index] = result,
                    None => busy.push(index),
                }
            }
        }
        self.accept_busy(items, busy, &mut results).await;
        for (index, first) in repeats {
            let same = items[index].bytes == items[first].bytes;
            results[index] = if same { results[first].clone() } else { Err(Refusal::KeyOfAnotherItem) };
        }
        results
    }

    /// Accepts items whose keys other requests are at, as these come to their end, as long as the time allows.
    async fn accept_busy(
        &self,
        items: &[Incoming<'_>],
        mut busy: Vec<usize>,
        results: &mut [Result<Accepted, Refusal>],
    ) {
        for index in &busy {
            results[*index] = Err(Refusal::InProgress);
        }
        while !busy.is_empty() && self.clock.left() >= LEASE + RESERVE + LOOK_AGAIN {
            tokio::time::sleep(LOOK_AGAIN).await;
            let mut still_busy = Vec::new();
            let copies = self.webhooks.len().max(1);
            for chunk in busy.chunks((CHUNK_DELIVERIES / copies).max(1)) {
                for (index, result) in self.accept_chunk_in_time(items, chunk).await {
                    match result {
                        Some(result) => results[index] = result,
                        None => still_busy.push(index),
                    }
                }
            }
            busy = still_busy;
        }
    }

    /// Accepts some of the items, if that can be done in the time that is left; else none of them is accepted.
    async fn accept_chunk_in_time(
        &self,
        items: &[Incoming<'_>],
        chunk: &[usize],
    ) -> Vec<(usize, Option<Result<Accepted, Refusal>>)> {
        let left = self.clock.left();
        if left >= LEASE + RESERVE
            && let Ok(results) = tokio::time::timeout(left - RESERVE, self.accept_chunk(items, chunk)).await
        {
            return results;
        }
        tracing::warn!(left_out = chunk.len(), "accept.out_of_time");
        chunk.iter().map(|&index| (index, Some(Err(Refusal::NotQueued)))).collect()
    }

    /// Accepts some of the items. None stands for one whose key another request is at.
    async fn accept_chunk(
        &self,
        items: &[Incoming<'_>],
        chunk: &[usize],
    ) -> Vec<(usize, Option<Result<Accepted, Refusal>>)> {
        let settle = |&index: &usize| async move { (index, self.settle_key(&items[index]).await) };
        let tasks: Vec<_> = stream::iter(chunk).map(settle).buffered(CONCURRENT_KEYS).collect().await;
        let mut results = Vec::with_capacity(chunk.len());
        let mut queueing = Vec::new();
        for (index, task) in tasks {
            match task {
                Task::Answer(answer) => results.push((index, Some(answer))),
                Task::Later => results.push((index, None)),
                Task::Queue(ready) => queueing.push((index, ready)),
            }
        }
        let mut outgoing = Vec::new();
        let mut shares = Vec::with_capacity(queueing.len());
        for (index, ready) in &queueing {
            let start = outgoing.len();
            outgoing.extend(self.deliveries(&items[*index], ready));
            shares.push(start..outgoing.len());
        }
        let left = self.lease_left(queueing.iter().map(|(_, ready)| ready));
        let queued = tokio::time::timeout(left, self.ingest.queue.send(&outgoing)).await.unwrap_or_default();
        let mark = |((index, ready), share): ((usize, Ready), Range<usize>)| {
            let webhooks = share.len();
            let complete = queued.get(share).is_some_and(|share| share.iter().all(Result::is_ok));
            async move {
                if !complete {
                    return (index, Some(Err(Refusal::NotQueued)));
                }
                self.mark(ready.claim, webhooks).await;
                (index, Some(Ok(Accepted { item: ready.item, webhooks })))
            }
        };
        let marking = stream::iter(queueing.into_iter().zip(shares)).map(mark).buffered(CONCURRENT_KEYS);
        results.extend(marking.collect::<Vec<_>>().await);
        results
    }

    /// How long these may still be queued. Nothing is queued after a lease, because then only a repeat of the request
    /// may queue it.
    fn lease_left<'r>(&self, ready: impl Iterator<Item = &'r Ready>) -> Duration {
        let now = self.clock.now();
        let ends = ready.filter_map(|ready| ready.claim.as_ref()).map(|claim| claim.until);
        let most = self.clock.left().saturating_sub(RESERVE);
        ends.min().map_or(most, |end| Duration::try_from(end.duration_since(now)).unwrap_or_default())
    }

    fn deliveries(&self, incoming: &Incoming<'_>, ready: &Ready) -> Vec<Outgoing> {
        let takers = self.webhooks.iter().filter(|webhook| webhook.takes(&incoming.item_type, self.source));
        let delivery = |webhook: &Webhook| Delivery {
            account: self.account.clone(),
            webhook: webhook.id.clone(),
            item: ready.item.clone(),
            item_type: incoming.item_type.clone(),
            source: self.source.clone(),
            accepted_at: ready.accepted_at,
            attempt: 1,
            chain: 0,
            revision: webhook.revision,
            step: None,
            replayed: None,
            keep_until: None,
            hop: self.hop,
            body: incoming.bytes.to_vec(),
        };
        takers.map(|webhook| Outgoing::new(delivery(webhook), Duration::ZERO)).collect()
    }

    async fn settle_key(&self, incoming: &Incoming<'_>) -> Task {
        match self.try_settle_key(incoming).await {
            Ok(task) => task,
            Err(error) => {
                tracing::error!(error = error.chain(), "accept.key_failed");
                Task::Answer(Err(Refusal::NotQueued))
            }
        }
    }

    async fn try_settle_key(&self, incoming: &Incoming<'_>) -> Result<Task, AdapterError> {
        let accepted_at = self.clock.now();
        let item = self.new_id(incoming, accepted_at)?;
        let Some(key) = &incoming.key else {
            return Ok(Task::Queue(Ready { item, accepted_at, claim: None }));
        };
        let key = idempotency::scoped(self.account, self.source, &incoming.item_type, key);
        let fingerprint = idempotency::fingerprint(incoming.bytes);
        loop {
            let now = self.clock.now();
            let claim = Remembered {
                item: item.clone(),
                accepted_at: now,
                fingerprint: fingerprint.clone(),
                progress: Progress::Queueing { until: after(now, LEASE) },
                expires_at: after(now, REMEMBERED),
            };
            let remembered =
                match self.ingest.idempotency.claim(&key, &claim, random::bits128()?, now).await? {
                    KeyClaim::Claimed => {
                        let claim = Some(KeptClaim { key, claim, until: after(now, LEASE) });
                        return Ok(Task::Queue(Ready { item, accepted_at: now, claim }));
                    }
                    KeyClaim::Taken(remembered) => remembered,
                };
            match idempotency::claim(Some(&remembered), &fingerprint, now) {
                Claim::Answer { item, webhooks } => return Ok(Task::Answer(Ok(Accepted { item, webhooks }))),
                Claim::Conflict => return Ok(Task::Answer(Err(Refusal::KeyOfAnotherItem))),
                Claim::Finish(read) => {
                    if self.ingest.idempotency.take_over(&key, &read, after(now, LEASE)).await? {
                        let (item, accepted_at) = (read.item.clone(), read.accepted_at);
                        let claim = Some(KeptClaim { key, claim: read, until: after(now, LEASE) });
                        return Ok(Task::Queue(Ready { item, accepted_at, claim }));
                    }
                }
                // The rest of the chunk goes first: its leases run.
                Claim::Wait { .. } => return Ok(Task::Later),
                // It was forgotten between the write and now.
                Claim::New => {}
            }
        }
    }

    /// The id of an item that is accepted at `at`: of its own id, where its producer gave it one, else one that tells
    /// its acceptance.
    fn new_id(&self, incoming: &Incoming<'_>, at: Timestamp) -> Result<ItemId, AdapterError> {
        match &incoming.head.own_id {
            Some(own_id) if incoming.item_type == ItemType::MESSAGE => {
                Ok(item::derived_id(self.account, self.source, &incoming.item_type, own_id, incoming.bytes))
            }
            _ => Ok(item::accepted_id(self.account, self.source, &incoming.item_type, at, random::bits64()?)),
        }
    }

    async fn mark(&self, claim: Option<KeptClaim>, webhooks: usize) {
        let Some(KeptClaim { key, claim, .. }) = claim else { return };
        if let Err(error) = self.ingest.idempotency.complete(&key, &claim, webhooks).await {
            // The item is queued, which is what the answer says; only a repeat would queue it once more.
            tracing::warn!(error = error.chain(), "accept.key_not_marked");
        }
    }
}

/// Items whose key stands at an earlier item of the same request, with that item. They get its answer, because their
/// own claims would wait for it in vain.
fn repeats(items: &[Incoming<'_>]) -> HashMap<usize, usize> {
    let mut first = HashMap::new();
    let mut repeats = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        let Some(key) = &item.key else { continue };
        match first.entry((&item.item_type, key)) {
            Entry::Vacant(entry) => _ = entry.insert(index),
            Entry::Occupied(entry) => _ = repeats.insert(index, *entry.get()),
        }
    }
    repeats
}

/// Cuts items of these sizes, which `webhooks` webhooks may take, into chunks of at most [`CHUNK_DELIVERIES`] and
/// [`CHUNK_BYTES`]. An item that is too large stands alone.
fn chunks(sizes: impl ExactSizeIterator<Item = usize>, webhooks: usize) -> Vec<Range<usize>> {
    let (copies, items) = (webhooks.max(1), sizes.len());
    let mut chunks = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, size) in sizes.enumerate() {
        let is_full = (index - start + 1) * copies > CHUNK_DELIVERIES || bytes + size * copies > CHUNK_BYTES;
        if is_full && index > start {
            chunks.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes += size * copies;
    }
    if start < items {
        chunks.push(start..items);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_bounded_deliveries_and_bytes() {
        let cut = |sizes: Vec<usize>, webhooks| chunks(sizes.into_iter(), webhooks);
        assert_eq!(cut(vec![], 3), []);
        assert_eq!(cut(vec![1; 1001], 0), [0..1000, 1000..1001]);
        assert_eq!(cut(vec![1; 7], 400), [0..2, 2..4, 4..6, 6..7]);
        assert_eq!(cut(vec![CHUNK_BYTES, 1, CHUNK_BYTES + 1, 1], 1), [0..1, 1..2, 2..3, 3..4]);
        assert_eq!(cut(vec![1; 2], 5000), [0..1, 1..2], "more webhooks than a chunk has deliveries");
    }

    #[test]
    fn an_item_repeats_the_first_of_its_type_and_key() {
        let item = |item_type, key: Option<&str>| Incoming {
            item_type,
            bytes: b"{}",
            head: item::read_head(b"{}").unwrap(),
            key: key.map(|key| key.parse().unwrap()),
        };
        let (message, event) = (ItemType::MESSAGE, ItemType::EVENT);
        let items = [
            item(message.clone(), Some("a")),
            item(message.clone(), None),
            item(message.clone(), Some("a")),
            item(event, Some("a")),
            item(message.clone(), None),
            item(message, Some("a")),
        ];
        assert_eq!(repeats(&items), HashMap::from([(2, 0), (5, 0)]));
    }
}
