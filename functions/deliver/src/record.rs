//! Recording a batch's results: for each (webhook, revision, item type) together, in the order in which the attempts
//! finished, after the last of them has. The protocol is the core's ([`carteiro_core::streak`]).

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::item::ItemType;
use carteiro_core::message::LastError;
use carteiro_core::outcome::Outcome;
use carteiro_core::streak::{Failed, Recorded, Recording, Results, Rule, State};
use carteiro_core::webhook::Webhook;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;

use crate::Deliver;
use crate::attempt::{AttemptResult, Finished};

/// Up to which attempt a batch itself tells what it left to be told; after that a tick does. A retry and a notice are
/// each a message more in a chain of invocations, which is to have no more than four.
pub(crate) const TELLING_ATTEMPTS: u32 = 3;

/// The results of one streak, and whose they are.
struct Group<'a> {
    key: &'a StreakKey,
    before: &'a State,
    rule: Rule,
    results: Vec<Option<Failed>>,
    /// The highest number of an attempt.
    attempt: u32,
    /// The messages of attempts that succeeded: they are done only if that can be recorded.
    succeeded: Vec<&'a str>,
}

/// What recording leaves to be done.
pub(crate) struct Unrecorded {
    /// The messages whose success could not be recorded: they go back, and may arrive twice.
    pub(crate) messages: Vec<String>,
    /// The streaks of which something is to be told.
    pub(crate) to_tell: Vec<StreakKey>,
}

/// Records a batch, `finished` in the order of finishing.
pub(crate) async fn all(deliver: &Deliver, finished: &[Finished], clock: InvocationClock) -> Unrecorded {
    let groups = groups(deliver, finished);
    let recorded = join_all(groups.iter().map(|group| record(deliver, group, clock))).await;
    let mut left = Unrecorded { messages: Vec::new(), to_tell: Vec::new() };
    for (group, recorded) in groups.iter().zip(recorded) {
        let (webhook, item_type) = (group.key.webhook.as_str(), group.key.item_type.as_str());
        if matches!(recorded, Ok((_, true))) && group.attempt <= TELLING_ATTEMPTS {
            left.to_tell.push(group.key.clone());
        }
        match recorded.map(|(recorded, _)| recorded) {
            Ok(Recorded::Blocked) => tracing::warn!(webhook, item_type, "streak.blocked"),
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

fn groups<'a>(deliver: &Deliver, finished: &'a [Finished]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for one in finished {
        let AttemptResult::Attempted { webhook, key, before, outcome, ended_at, .. } = &one.result else {
            continue;
        };
        let index = groups.iter().position(|group| group.key == key).unwrap_or_else(|| {
            let rule = rule(deliver, webhook, &key.item_type);
            groups.push(Group { key, before, rule, results: Vec::new(), attempt: 0, succeeded: Vec::new() });
            groups.len() - 1
        });
        groups[index].results.push(failed(outcome, *ended_at));
        groups[index].attempt = groups[index].attempt.max(one.delivery.attempt);
        if matches!(outcome, Outcome::Success { .. }) {
            groups[index].succeeded.push(&one.message);
        }
    }
    groups
}

/// The rule for a type of a webhook: its own numbers, else the deployment's.
fn rule(deliver: &Deliver, webhook: &Webhook, item_type: &ItemType) -> Rule {
    let block = webhook.settings.block_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
    Rule {
        threshold: webhook.settings.threshold.unwrap_or(deliver.threshold),
        block: block.unwrap_or(deliver.block),
        told: *item_type != ItemType::NOTICE,
    }
}

/// What a streak is told of an attempt; None of a success.
fn failed(outcome: &Outcome, at: Timestamp) -> Option<Failed> {
    Some(Failed { error: error_of(outcome, at)?, timed_out: outcome.is_timeout() })
}

/// What is remembered of a failure; None for a success.
pub(crate) fn error_of(outcome: &Outcome, at: Timestamp) -> Option<String> {
    let last_error = LastError::of(outcome.failure()?, at);
    Some(json!(last_error).to_string())
}

async fn record(
    deliver: &Deliver,
    group: &Group<'_>,
    clock: InvocationClock,
) -> Result<(Recorded, bool), AdapterError> {
    let Some(results) = Results::of(&group.results) else { return Ok((Recorded::Yes, false)) };
    let id = format!("{:032x}", random::bits128()?);
    let (recording, step) = Recording::begin(results, group.before, group.rule, id, clock.now());
    deliver.streaks.record(group.key, recording, step, clock).await
}
