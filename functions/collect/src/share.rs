//! Releases and replays within their account's share ([`carteiro_core::work_share`]).
//!
//! Guaranteed: an account has no more workers than slots, except for those whose lease ended while they could not renew
//! it. Work that finds no slot waits, holds no copy of the function, and is taken up by the next worker of the account
//! that is done and has time left. A tick sends again what nobody takes up, because its own row is still due.

use std::convert::Infallible;
use std::pin::pin;

use carteiro_adapters::error::{AdapterError, chain};
use carteiro_adapters::queues::work::Work;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::waiting::keys::ReleaseKey;
use carteiro_adapters::tables::waiting::keys::ReplayKey;
use carteiro_adapters::tables::waiting::reads::AccountAndLease;
use carteiro_core::id::AccountId;
use carteiro_core::work_share::{NEXT_NEEDS, RENEW_EVERY};
use futures_util::future::{Either, select};

use crate::context::{Collect, CollectError, Progress};
use crate::{release, replay};

/// A worker of an account.
struct Worker<'a> {
    collect: &'a Collect,
    account: AccountId,
    /// The worker's id, by which a repeated write recognises itself.
    id: String,
    clock: InvocationClock,
}

/// Does a release or a replay, and then waiting work of the same account, as far as the time allows.
pub(crate) async fn work(
    collect: &Collect,
    work: Work,
    clock: InvocationClock,
) -> Result<Progress, CollectError> {
    let glance = glance(collect, &work).await?;
    let Some(glance) = glance else { return Ok(Progress::Done) };
    // No slot is needed to find that another worker has it, or to repair a row that cannot be read.
    let is_taken = glance.lease.is_some_and(|lease| lease > clock.now());
    let Some(account) = glance.account.filter(|_| !is_taken) else { return once(collect, work, clock).await };
    let id = format!("{:032x}", random::bits128()?);
    Worker { collect, account, id, clock }.work(work).await
}

/// Reads who has a release or replay, and its account. None where there is no such row.
pub(crate) async fn glance(collect: &Collect, work: &Work) -> Result<Option<AccountAndLease>, AdapterError> {
    match work {
        Work::Release { webhook, item_type, .. } => {
            let key = ReleaseKey { webhook: webhook.clone(), item_type: item_type.clone() };
            collect.held.releases.glance(&key).await
        }
        Work::Replay { webhook, replay, .. } => {
            let key = ReplayKey { webhook: webhook.clone(), replay: replay.clone() };
            collect.held.replays.glance(&key).await
        }
        _ => Ok(None),
    }
}

/// Does a piece of work, without a slot.
async fn once(collect: &Collect, work: Work, clock: InvocationClock) -> Result<Progress, CollectError> {
    match work {
        Work::Release { webhook, item_type, looks, .. } => {
            release::release(collect, ReleaseKey { webhook, item_type }, looks, clock).await
        }
        Work::Replay { webhook, replay, .. } => {
            replay::replay(collect, ReplayKey { webhook, replay }, clock).await
        }
        _ => Ok(Progress::Done),
    }
}

impl Worker<'_> {
    /// Does this work and then waiting work. Where the account has no slot left, this work waits.
    async fn work(&self, work: Work) -> Result<Progress, CollectError> {
        let Self { collect, account, id, clock } = self;
        let (mut own, mut outcome) = (Some(work), Ok(Progress::Done));
        loop {
            if let Some(place) = collect.shares.take_slot(account, id, clock.now()).await? {
                if let Some(work) = own.take() {
                    outcome = self.renewing(place, work).await;
                }
                self.do_waiting(place).await;
                // Another worker may have found no slot before this one was freed, and left its work in the list.
                if !self.is_more_waiting().await {
                    return outcome;
                }
            } else {
                let Some(work) = own.take() else { return outcome };
                collect.shares.add_waiting(account, &work, clock.now()).await?;
                tracing::info!(account = account.as_str(), "work.waits");
                // Try again: a worker may have read the list before this was written, and freed its slot since.
            }
        }
    }

    /// Does waiting work, one piece after the other, while there is time, and frees the slot.
    async fn do_waiting(&self, place: usize) {
        let Self { collect, account, id, clock } = self;
        while clock.left() >= NEXT_NEEDS {
            let done = match collect.shares.next(account).await {
                Ok(Some(work)) => self.renewing(place, work).await,
                Ok(None) => break,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = done {
                // A tick finds it: its own row is due.
                tracing::error!(account = account.as_str(), error = chain(&error), "work.waiting_failed");
            }
        }
        if let Err(error) = collect.shares.free_slot(account, place, id).await {
            tracing::warn!(account = account.as_str(), error = error.chain(), "work.slot_not_freed");
        }
    }

    async fn is_more_waiting(&self) -> bool {
        let Self { collect, account, clock, .. } = self;
        // A tick finds work that is missed here.
        clock.left() >= NEXT_NEEDS && collect.shares.is_waiting(account).await.unwrap_or(false)
    }

    /// Does a piece of work, and renews the slot meanwhile.
    async fn renewing(&self, place: usize, work: Work) -> Result<Progress, CollectError> {
        let working = pin!(once(self.collect, work, self.clock));
        let renewing = pin!(self.renew(place));
        match select(working, renewing).await {
            Either::Left((done, _)) => done,
            Either::Right((never, _)) => match never {},
        }
    }

    async fn renew(&self, place: usize) -> Infallible {
        let Self { collect, account, id, clock } = self;
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let renewed = collect.shares.renew_slot(account, place, id, clock.now()).await;
            if !matches!(renewed, Ok(true)) {
                // The work goes on, for it has a lease of its own; for a while the account has a worker too many.
                tracing::warn!(account = account.as_str(), "work.slot_not_renewed");
            }
        }
    }
}
