//! Notes slow attempts while they are under way, so that batches that begin meanwhile know of them
//! ([`carteiro_core::slow`]).

use std::collections::BTreeMap;
use std::time::Duration;

use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_core::id::{AccountId, WebhookId};
use carteiro_core::lane::Lane;
use carteiro_core::slow::Place;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::context::Deliver;
use crate::read::BatchContext;

/// How long to gather attempts that become slow at the same moment, so that one write notes them all.
const GATHER: Duration = Duration::from_millis(50);

/// The longest time for a write. The next slow attempt notes what this one could not.
const WRITE: Duration = Duration::from_secs(2);

/// An attempt that has been slow so far, whatever its outcome will be.
pub(crate) struct SlowAttempt {
    pub(crate) account: AccountId,
    pub(crate) webhook: WebhookId,
    pub(crate) place: Place,
}

/// Notes the slow attempts of a batch until none of its attempts is under way.
pub(crate) async fn note(
    deliver: &Deliver,
    context: &BatchContext,
    lane: Lane,
    mut slow: UnboundedReceiver<SlowAttempt>,
    clock: InvocationClock,
) {
    while let Some(first) = slow.recv().await {
        tokio::time::sleep(GATHER).await;
        let mut accounts: BTreeMap<AccountId, BTreeMap<Place, u32>> = BTreeMap::new();
        let mut webhooks: BTreeMap<(AccountId, WebhookId), u32> = BTreeMap::new();
        let mut next = Some(first);
        while let Some(SlowAttempt { account, webhook, place }) = next {
            *webhooks.entry((account.clone(), webhook)).or_default() += 1;
            *accounts.entry(account).or_default().entry(place).or_default() += 1;
            next = slow.try_recv().ok();
        }
        for ((account, webhook), attempts) in webhooks {
            tracing::info!(account = account.as_str(), webhook = webhook.as_str(), attempts, "attempt.slow");
        }
        for (account, seen) in accounts {
            let changes = context.slow(&account).note(&seen, lane, clock.now());
            if changes.is_empty() {
                continue;
            }
            let writing = deliver.streaks.note_slow(&account, &changes);
            let error = match tokio::time::timeout(WRITE, writing).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.chain(),
                Err(_) => "timeout".to_owned(),
            };
            tracing::warn!(account = account.as_str(), error, "attempt.slow_not_noted");
        }
    }
}
