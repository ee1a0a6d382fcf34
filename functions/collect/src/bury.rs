//! Brings the delivery queue's dead letters into the dead items.

use std::time::Duration;

use carteiro_adapters::queues::deliver::deliveries_of;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_core::settlement::DeathCause;

use crate::context::{Collect, CollectError, Progress};
use crate::deaths;

/// A batch is taken only with this much time left.
const BATCH_TIME: Duration = Duration::from_secs(10);

/// Buries the messages of the dead-letter queue. A message that is no delivery stays there, for a person to read.
pub(crate) async fn dead_letters(
    collect: &Collect,
    clock: InvocationClock,
) -> Result<Progress, CollectError> {
    let (mut buried, mut unreadable) = (0_usize, 0_usize);
    while clock.left() > BATCH_TIME {
        let messages = collect.dead_letters.receive().await?;
        if messages.is_empty() {
            tracing::info!(buried, unreadable, "dead_letters.buried");
            return Ok(Progress::Done);
        }
        let mut dead = Vec::new();
        for message in messages {
            let deliveries = match deliveries_of(&message) {
                Ok(deliveries) => deliveries,
                Err(error) => {
                    unreadable += 1;
                    let id = message.message_id();
                    tracing::error!(message_id = id, error = error.to_string(), "dead_letter.unreadable");
                    continue;
                }
            };
            let delete = collect.dead_letters.delete(message.receipt_handle().unwrap_or_default());
            let all = (deliveries.as_slice(), DeathCause::DeadLetter);
            let buried = deaths::drop_or_bury_all(collect, all, delete, clock).await?;
            dead.extend(buried.into_iter().cloned());
        }
        buried += dead.len();
        deaths::count(collect, dead.iter().map(|delivery| (delivery, DeathCause::DeadLetter)), clock).await;
    }
    tracing::info!(buried, unreadable, "dead_letters.buried");
    Ok(Progress::MoreIsLeft)
}
