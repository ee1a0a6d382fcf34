//! Attempts that take long are noted while they are under way, so that batches which begin meanwhile know of them
//! ([`carteiro_core::slow`]).

use std::collections::BTreeMap;
use std::time::Duration;

use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_core::id::{AccountId, WebhookId};
use carteiro_core::lane::Lane;
use carteiro_core::slow::Place;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::Deliver;
use crate::read::Known;

/// How long others are waited for that become slow at the same moment, so that they are one write.
const GATHER: Duration = Duration::from_millis(50);

/// How long a write may take. What is not noted now, the next slow attempt notes.
const WRITE: Duration = Duration::from_secs(2);

/// An attempt that has taken long by now, whatever comes of it.
pub(crate) struct SlowAttempt {
    pub(crate) account: AccountId,
    pub(crate) webhook: WebhookId,
    pub(crate) place: Place,
}

/// Notes slow attempts of a batch until it has no attempt under way.
pub(crate) async fn note(
    deliver: &Deliver,
    known: &Known,
    lane: Lane,
    mut slow: UnboundedReceiver<SlowAttempt>,
    clock: InvocationClock,
) {
    while let Some(first) = slow.recv().await {
        tokio::time::sleep(GATHER).await;
        let mut accounts: BTreeMap<AccountId, BTreeMap<Place, u32>> = BTreeMap::new();
        let mut next = Some(first);
        while let Some(SlowAttempt { account, webhook, place }) = next {
            tracing::info!(account = account.as_str(), webhook = webhook.as_str(), "attempt.slow");
            *accounts.entry(account).or_default().entry(place).or_default() += 1;
            next = slow.try_recv().ok();
        }
        for (account, seen) in accounts {
            let changes = known.slow(&account).note(&seen, lane, clock.now());
            if changes.is_empty() {
                continue;
            }
            let writing = deliver.streaks.note_slow(&account, &changes);
            match tokio::time::timeout(WRITE, writing).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(
                        account = account.as_str(),
                        error = error.chain(),
                        "attempt.slow_not_noted"
                    );
                }
                Err(_) => {
                    tracing::warn!(account = account.as_str(), error = "timeout", "attempt.slow_not_noted");
                }
            }
        }
    }
}
