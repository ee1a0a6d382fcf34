//! Retires revisions that are over because their webhook got a new one or was deleted ([`carteiro_core::streak`]). A
//! block that a new revision ended raises its notice at once.
//!
//! Not guaranteed: this comes after the change itself, which it never hinders. Where it is cut short, or its table
//! cannot be written, the notice comes when the block would have been over, and rows that nobody reads any more are
//! left.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::work::Work;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::item::ItemType;
use carteiro_core::streak::{Answer, Over, retire};
use carteiro_core::webhook::Webhook;
use futures_util::future::join_all;

use crate::context::Manage;

/// The longest that an answer waits for it, because it is of no use to the caller.
const AT_MOST: Duration = Duration::from_secs(5);

/// How often a write is tried where others change its row or answers are lost.
const TRIES: usize = 4;

/// Retires the rows of `old`: its webhook has a new revision.
pub(crate) async fn replaced(manage: &Manage, old: &Webhook, clock: InvocationClock) {
    end(manage, old, &[Over::Replaced, Over::ReplacedWithRelease], clock).await;
}

/// Retires the rows of `old`: its webhook was deleted.
pub(crate) async fn deleted(manage: &Manage, old: &Webhook, clock: InvocationClock) {
    end(manage, old, &[Over::Deleted], clock).await;
}

async fn end(manage: &Manage, old: &Webhook, kinds: &[Over], clock: InvocationClock) {
    match tokio::time::timeout(AT_MOST, try_end(manage, old, kinds, clock)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(webhook = old.id.as_str(), error = error.chain(), "streak.not_retired");
        }
        Err(_) => tracing::warn!(webhook = old.id.as_str(), error = "out of time", "streak.not_retired"),
    }
}

async fn try_end(
    manage: &Manage,
    old: &Webhook,
    kinds: &[Over],
    clock: InvocationClock,
) -> Result<(), AdapterError> {
    // All types, whatever the webhook took last: it may have taken others before.
    let rows = ItemType::KNOWN.map(|item_type| StreakKey {
        account: old.account.clone(),
        webhook: old.id.clone(),
        revision: old.revision,
        item_type,
    });
    let mut to_tell = Vec::new();
    let mut outcome = Ok(());
    for ended in join_all(rows.into_iter().map(|key| end_row(manage, key, kinds, clock))).await {
        match ended {
            Ok(tell) => to_tell.extend(tell.map(|work| (work, Duration::ZERO))),
            Err(error) => outcome = Err(error),
        }
    }
    if let Err(error) = manage.work.send(&to_tell).await {
        // A tick sends the notices.
        tracing::warn!(webhook = old.id.as_str(), error = error.chain(), "notices.not_hastened");
    }
    outcome
}

/// Retires a row, and answers the work of sending its notices.
async fn end_row(
    manage: &Manage,
    key: StreakKey,
    kinds: &[Over],
    clock: InvocationClock,
) -> Result<Option<Work>, AdapterError> {
    for &over in kinds.iter().cycle().take(TRIES) {
        match manage.streaks.write(&key, &retire(over, clock.now()), clock).await? {
            Answer::Made if over == Over::ReplacedWithRelease => {
                let StreakKey { account, webhook, revision, item_type } = key;
                return Ok(Some(Work::Notify { account, webhook, revision, item_type }));
            }
            Answer::Made => return Ok(None),
            // The write may be repeated, and the next kind may fit.
            Answer::Lost | Answer::Refused(_) | Answer::Row(_) => {}
        }
    }
    Err(AdapterError::Contended { operation: "retiring a streak" })
}
