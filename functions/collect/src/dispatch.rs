//! Handing on what is ready in a shard of the inbox.
//!
//! By state, never by time: what the index shows as ready is looked at, and the claim decides. What is left, for want of
//! time or because something failed, is still ready, and the next tick finds it; so the work itself never comes again.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::inbox::{Claim, Entry, RowKey};
use carteiro_core::retention::after;
use carteiro_services::dispatch::{DispatchSummary, RoutingCache};
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::{Collect, CollectError, Progress};

/// How many entries are found together.
const FOUND_TOGETHER: u16 = 100;

/// The most bytes of entries, as networks sent them, that are claimed before they are handed on.
const CLAIMED_BYTES: usize = 4 * 1024 * 1024;

/// How many rows are claimed at once.
const CONCURRENT_ROWS: usize = 8;

/// How long claimed entries are one's own: longer than handing on as many takes, with all repeats of its calls.
const LEASE: Duration = Duration::from_secs(120);

/// Entries are claimed only with this much time left.
const STEP_TIME: Duration = Duration::from_secs(60);

/// Hands on what is ready in a shard.
pub(crate) async fn shard(
    collect: &Collect,
    shard: u8,
    clock: InvocationClock,
) -> Result<Progress, CollectError> {
    let (mut done, mut known, mut mark) = (DispatchSummary::default(), RoutingCache::default(), None);
    loop {
        // Page by page: the index still shows entries that were handed on a moment ago.
        let (found, next) = collect.dispatcher.inbox.ready(shard, FOUND_TOGETHER, mark).await?;
        let out_of_time = found_entries(collect, found, &mut known, &mut done, clock).await?;
        mark = next;
        if out_of_time || mark.is_none() {
            let DispatchSummary { dispatched, dropped, left } = done;
            tracing::info!(shard, handed_on = dispatched, dropped, left, out_of_time, "inbox.handed_on");
            return Ok(Progress::Done);
        }
    }
}

/// Hands on what can be claimed of these. True where the time was too short.
async fn found_entries(
    collect: &Collect,
    found: Vec<RowKey>,
    known: &mut RoutingCache,
    done: &mut DispatchSummary,
    clock: InvocationClock,
) -> Result<bool, CollectError> {
    let mut found = found.as_slice();
    while !found.is_empty() {
        if clock.left() < STEP_TIME {
            return Ok(true);
        }
        let claim = Claim::new(after(clock.now(), LEASE))?;
        let (claimed, looked_at) = claim_some(collect, found, &claim, done, clock).await;
        found = &found[looked_at..];
        // No one waits for it: what is claimed is handed on as long as the claim lasts.
        done.add(collect.dispatcher.dispatch(claimed, &claim, known, Timestamp::MAX, clock).await);
    }
    Ok(false)
}

/// Claims entries in their order, until they are many bytes. Answers them, and how many were looked at.
async fn claim_some(
    collect: &Collect,
    found: &[RowKey],
    claim: &Claim,
    done: &mut DispatchSummary,
    clock: InvocationClock,
) -> (Vec<Entry>, usize) {
    let (mut claimed, mut bytes, mut looked_at) = (Vec::new(), 0, 0);
    for together in found.chunks(CONCURRENT_ROWS) {
        let claims = stream::iter(together).map(|place| claim_one(collect, place, claim, clock));
        let mut claims = claims.buffered(CONCURRENT_ROWS);
        while let Some(answer) = claims.next().await {
            match answer {
                Ok(entry) => {
                    bytes += entry.as_ref().map_or(0, |entry| entry.event.raw.get().len());
                    claimed.extend(entry);
                }
                Err(error) => {
                    done.left += 1;
                    tracing::error!(error = error.chain(), "inbox.not_claimed");
                }
            }
        }
        looked_at += together.len();
        if bytes >= CLAIMED_BYTES {
            break;
        }
    }
    (claimed, looked_at)
}

/// Claims an entry. What cannot be read is set aside, for a person to look at: it would come again at every tick.
async fn claim_one(
    collect: &Collect,
    place: &RowKey,
    claim: &Claim,
    clock: InvocationClock,
) -> Result<Option<Entry>, AdapterError> {
    let inbox = &collect.dispatcher.inbox;
    match inbox.claim(place, claim, clock.now()).await {
        Err(error @ AdapterError::Malformed { .. }) => {
            let expires_at = collect.retention.unreadable_until(clock.now());
            if inbox.quarantine(place, claim, expires_at).await? {
                tracing::error!(pk = place.pk(), sk = place.sk(), error = error.chain(), "inbox.unreadable");
            }
            Ok(None)
        }
        answer => answer,
    }
}
