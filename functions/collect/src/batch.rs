//! Events of the function: ticks, and batches of work.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use carteiro_adapters::error::chain;
use carteiro_adapters::queues::poll::Poll;
use carteiro_adapters::queues::work::Work;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::tables::streak::StreakKey;
use serde_json::Value;

use crate::context::{Collect, CollectError, Progress};
use crate::{alerts, bury, dispatch, move_due, plan, polls, share};

/// A batch of work has `Records`; everything else is a tick.
pub(crate) async fn handle(
    collect: &Collect,
    event: Value,
    invocation: &str,
    clock: InvocationClock,
) -> Result<Value, CollectError> {
    if event.get("Records").is_some() {
        let event: SqsEvent = serde_json::from_value(event).map_err(CollectError::Event)?;
        let response = work(collect, event, clock).await;
        return serde_json::to_value(response).map_err(CollectError::Event);
    }
    let tick: plan::Tick = serde_json::from_value(event).map_err(CollectError::Event)?;
    let planned = plan::tick(collect, &tick, invocation, clock).await?;
    serde_json::to_value(planned).map_err(CollectError::Event)
}

/// Does a batch of work, and names the messages that the queue is to hand out again.
async fn work(collect: &Collect, event: SqsEvent, clock: InvocationClock) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for record in event.records {
        let message = record.message_id.unwrap_or_default();
        let body = record.body.as_deref().unwrap_or_default();
        if let Ok(poll) = serde_json::from_str::<Poll>(body) {
            polls::poll(collect, poll, clock).await;
            continue;
        }
        let work = serde_json::from_str::<Work>(body);
        let done = match work {
            Ok(Work::MoveDue { shard, until }) => move_due::shard(collect, shard, until, clock).await,
            Ok(work @ (Work::Release { .. } | Work::Replay { .. })) => {
                share::work(collect, work, clock).await
            }
            Ok(Work::Notify { account, webhook, revision, item_type }) => {
                let key = StreakKey { account, webhook, revision, item_type };
                collect.notifier.notify(&key, clock).await.map(|_| Progress::Done).map_err(CollectError::from)
            }
            Ok(Work::Alert { account, alert, notice, body, tries }) => {
                let told = alerts::Told { account, alert, notice, body, tries };
                alerts::send(collect, told, clock).await
            }
            Ok(Work::ConfirmAlert { account, alert, tries }) => {
                alerts::send_code(collect, account, alert, tries, clock).await
            }
            Ok(Work::Dispatch { shard }) => dispatch::shard(collect, shard, clock).await,
            Ok(Work::BuryDeadLetters) => bury::dead_letters(collect, clock).await,
            Err(error) => Err(CollectError::Event(error)),
        };
        match done {
            Ok(Progress::Done) => {}
            Ok(Progress::MoreIsLeft) => response.add_failure(message),
            Err(error) => {
                tracing::error!(message_id = message, error = chain(&error), "work.failed");
                response.add_failure(message);
            }
        }
    }
    response
}
