//! Dispatches the ready entries of a shard of the inbox.
//!
//! It goes by state, never by time: the index shows ready entries, and the claim decides. An entry that is left, for
//! want of time or because something failed, is still ready, and the next tick finds it; so the work itself never comes
//! again.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::inbox::{Claim, Entry, RowKey};
use carteiro_core::retention::after;
use carteiro_networks::freshness::Due;
use carteiro_services::dispatch::{DispatchSummary, RoutingCache};
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::context::{Collect, CollectError, Progress};

/// How many entries are read together.
const FOUND_TOGETHER: u16 = 100;

/// The most bytes of entries, as networks sent them, that are claimed before they are dispatched.
const CLAIMED_BYTES: usize = 4 * 1024 * 1024;

/// How many rows are claimed at once.
const CONCURRENT_ROWS: usize = 8;

/// How long a claim lasts: longer than dispatching its entries takes, with all repeats of the calls.
const LEASE: Duration = Duration::from_secs(120);

/// Entries are claimed only with this much time left.
const STEP_TIME: Duration = Duration::from_secs(60);

/// Dispatches the ready entries of a shard.
pub(crate) async fn shard(
    collect: &Collect,
    shard: u8,
    clock: InvocationClock,
) -> Result<Progress, CollectError> {
    let (mut done, mut known, mut mark) = (DispatchSummary::default(), RoutingCache::default(), None);
    loop {
        // Page by page: the index still shows entries that were dispatched a moment ago.
        let (found, next) = collect.dispatcher.inbox.ready(shard, FOUND_TOGETHER, mark).await?;
        let out_of_time = dispatch_found(collect, found, &mut known, &mut done, clock).await?;
        mark = next;
        if out_of_time || mark.is_none() {
            collect.dispatcher.freshness.write(Due::All, clock.now()).await;
            let DispatchSummary { dispatched, dropped, left } = done;
            tracing::info!(shard, handed_on = dispatched, dropped, left, out_of_time, "inbox.handed_on");
            return Ok(Progress::Done);
        }
    }
}

/// Claims and dispatches the entries that were found. Returns whether time ran out.
async fn dispatch_found(
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
        // Nobody waits for it, so it may take as long as the claim lasts.
        done.add(collect.dispatcher.dispatch(claimed, &claim, known, Timestamp::MAX, clock).await);
    }
    Ok(false)
}

/// Claims entries in their order, up to [`CLAIMED_BYTES`]. Answers them, and how many were looked at.
async fn claim_some(
    collect: &Collect,
    found: &[RowKey],
    claim: &Claim,
    done: &mut DispatchSummary,
    clock: InvocationClock,
) -> (Vec<Entry>, usize) {
    let (mut claimed, mut bytes, mut looked_at) = (Vec::new(), 0, 0);
    for together in found.chunks(CONCURRENT_ROWS) {
        let claims = stream::iter(together).map(|place| claim_entry(collect, place, claim, clock));
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

/// Claims an entry. An unreadable one would come again at every tick, so it is set aside for a person to look at.
async fn claim_entry(
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
