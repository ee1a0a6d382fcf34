//! Records the results of a batch, for each (webhook, revision, item type) together, in the order in which the attempts
//! finished, after the last of them has. The protocol is the core's ([`carteiro_core::streak`]).

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::{metrics, random};
use carteiro_adapters::tables::streak::{HowRecorded, StreakKey};
use carteiro_core::lane::has_room;
use carteiro_core::message::LastError;
use carteiro_core::metrics::Metric;
use carteiro_core::outcome::Outcome;
use carteiro_core::streak::{Failed, Phase, Recorded, Recording, Results, Rule, State};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;

use crate::attempt::{AttemptResult, Processed};
use crate::context::Deliver;

/// Up to this attempt a batch sends its own pending notices; after that a tick does. A retry and a notice are each one
/// more message in a chain of invocations, which may have at most four.
pub(crate) const NOTIFYING_ATTEMPTS: u32 = 3;

/// Whether a batch sends the notices that its results left: one more message may follow in the chain.
pub(crate) fn may_notify(attempt: u32, chain: u32) -> bool {
    attempt <= NOTIFYING_ATTEMPTS && has_room(chain)
}

/// The results of one streak.
struct Group<'a> {
    key: &'a StreakKey,
    before: &'a State,
    rule: Rule,
    results: Vec<Option<Failed>>,
    /// The highest attempt number.
    attempt: u32,
    /// The longest chain of messages before one of them.
    chain: u32,
    /// The messages of successful attempts: they are done only if the success can be recorded.
    succeeded: Vec<&'a str>,
}

/// What the batch has to do after recording.
pub(crate) struct AfterRecording {
    /// The messages to return to the queue, because their success could not be recorded. Their items may arrive twice.
    pub(crate) messages: Vec<String>,
    /// The streaks whose notices this batch sends.
    pub(crate) pending: Vec<StreakKey>,
    /// Whether all were attempted and succeeded, and none found a streak or a block.
    pub(crate) found_no_streak: bool,
}

/// Records a batch, whose deliveries are in the order in which they finished.
pub(crate) async fn all(
    deliver: &Deliver,
    processed: &[Processed],
    clock: InvocationClock,
) -> AfterRecording {
    let groups = groups(deliver.rule, processed);
    let recorded = join_all(groups.iter().map(|group| record(deliver, group, clock))).await;
    let is_attempted = |each: &Processed| matches!(each.result, AttemptResult::Attempted { .. });
    let all_attempted = !processed.is_empty() && processed.iter().all(is_attempted);
    let mut left =
        AfterRecording { messages: Vec::new(), pending: Vec::new(), found_no_streak: all_attempted };
    for (group, recorded) in groups.iter().zip(recorded) {
        let (webhook, item_type) = (group.key.webhook.as_str(), group.key.item_type.as_str());
        left.found_no_streak &= matches!(&recorded, Ok(one) if one.found_nothing) && group.is_healthy();
        if matches!(&recorded, Ok(one) if one.has_notices) && may_notify(group.attempt, group.chain) {
            left.pending.push(group.key.clone());
        }
        match recorded.map(|one| one.recorded) {
            Ok(Recorded::Blocked) => {
                tracing::warn!(webhook, item_type, "streak.blocked");
                metrics::add(Metric::BlocksBegun, 1);
            }
            Ok(Recorded::Late) => {
                tracing::info!(webhook, item_type, results = group.results.len(), "streak.late");
            }
            Ok(Recorded::Contended) => {
                tracing::warn!(webhook, item_type, "streak.contended");
                left.messages.extend(group.succeeded.iter().map(|&message| message.to_owned()));
            }
            Ok(Recorded::Yes) => {}
            Err(error) => {
                tracing::error!(webhook, item_type, error = error.chain(), "streak.not_recorded");
                left.messages.extend(group.succeeded.iter().map(|&message| message.to_owned()));
            }
        }
    }
    left
}

impl Group<'_> {
    /// Whether all succeeded, of a type that had no streak, block or fence before.
    fn is_healthy(&self) -> bool {
        self.results.iter().all(Option::is_none)
            && self.before.epoch.is_none()
            && self.before.phase == Phase::Open
    }
}

fn groups<'a>(deployment: Rule, processed: &'a [Processed]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for each in processed {
        let AttemptResult::Attempted { webhook, key, before, outcome, ended_at, .. } = &each.result else {
            continue;
        };
        let index = groups.iter().position(|group| group.key == key).unwrap_or_else(|| {
            let rule = deployment.of_webhook(&webhook.settings, &key.item_type);
            groups.push(Group {
                key,
                before,
                rule,
                results: Vec::new(),
                attempt: 0,
                chain: 0,
                succeeded: Vec::new(),
            });
            groups.len() - 1
        });
        groups[index].results.push(failed(outcome, *ended_at));
        groups[index].attempt = groups[index].attempt.max(each.delivery.attempt);
        groups[index].chain = groups[index].chain.max(each.delivery.chain);
        if matches!(outcome, Outcome::Success { .. }) {
            groups[index].succeeded.push(&each.message);
        }
    }
    groups
}

/// An attempt's failure, as its streak records it; None for a success.
fn failed(outcome: &Outcome, at: Timestamp) -> Option<Failed> {
    Some(Failed { error: error_of(outcome, at)?, timed_out: outcome.is_timeout() })
}

/// An attempt's failure, as its streak's row remembers it; None for a success.
pub(crate) fn error_of(outcome: &Outcome, at: Timestamp) -> Option<String> {
    let last_error = LastError::of(outcome.failure()?, at);
    Some(json!(last_error).to_string())
}

async fn record(
    deliver: &Deliver,
    group: &Group<'_>,
    clock: InvocationClock,
) -> Result<HowRecorded, AdapterError> {
    let Some(results) = Results::of(&group.results) else { return Ok(HowRecorded::NOTHING_FOUND) };
    let id = format!("{:032x}", random::bits128()?);
    let (recording, step) = Recording::begin(results, group.before, group.rule, id, clock.now());
    deliver.streaks.record(group.key, recording, step, clock).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use carteiro_core::delivery::Delivery;
    use carteiro_core::item::ItemType;

    use super::*;
    use crate::fixtures::{attempted, delivery, status};

    #[test]
    fn results_are_grouped_by_streak_in_the_order_of_finishing() {
        let event = Delivery { item_type: ItemType::EVENT, ..delivery(3) };
        let processed = [
            attempted(Delivery { attempt: 4, ..delivery(1) }, status(500)),
            attempted(event, status(500)),
            attempted(delivery(2), status(200)),
        ];
        let deployment = Rule { threshold: 1000, block: Duration::from_secs(60), raises_notices: true };
        let groups = groups(deployment, &processed);
        let [messages, events] = groups.as_slice() else { panic!("two streaks") };
        assert_eq!(messages.results.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
        assert_eq!((messages.attempt, messages.succeeded.as_slice()), (4, ["2"].as_slice()));
        assert_eq!((events.results.len(), events.attempt, events.succeeded.len()), (1, 1, 0));
        assert_eq!(messages.rule, Rule { threshold: 7, ..deployment }, "the webhook's own");
    }
}
