//! `CollectFunction`: the tick, and its work.
//!
//! Every 15 minutes a *tick* plans: it looks what comes due before the next one and sends a work message for each
//! part of it. A *work message* hands on what is in the inbox, moves held items to the delivery queue, delayed to their time, releases what a block or a
//! disabled webhook held, makes the dead items of a replay wait for their release, or brings dead letters into the dead
//! items. Moving may find releases and replays and send them as work, a replay sends its release, and a release that
//! another worker has sends up to three looks at it; nothing else sends work, so no chain of invocations grows: tick,
//! moving, replay, release, three looks, delivery.
//!
//! Guaranteed: a schedule slot is planned by one invocation, however often it is invoked; a held item leaves its table
//! only after it is in the queue or among the dead, and an entry leaves the inbox only after it is in the queue for all
//! who take it. The window that remains: who dies between sending and deleting or marking leaves the row to the next
//! tick, and the item is sent again, under the same id.

mod apps;
mod bury;
mod deaths;
mod dispatch;
mod move_due;
mod over_limit;
mod plan;
mod polls;
mod release;
mod replay;
mod settings;
mod share;

use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::http::network_client::NetworkClient;
use carteiro_adapters::queues::deliver::DeliverQueue;
use carteiro_adapters::queues::poll::{Poll, PollQueue};
use carteiro_adapters::queues::work::{Work, WorkQueue};
use carteiro_adapters::runtime::aws;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::function::{self, Fatal};
use carteiro_adapters::runtime::settings::environment;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::inbox::InboxTable;
use carteiro_adapters::tables::pages::PageTables;
use carteiro_adapters::tables::poll::PollTable;
use carteiro_adapters::tables::streak::{StreakKey, StreakTable};
use carteiro_adapters::tables::tick::TickTable;
use carteiro_adapters::tables::tokens::TokenTable;
use carteiro_adapters::tables::waiting::HeldTable;
use carteiro_adapters::tables::waiting::dead::DeadRows;
use carteiro_adapters::tables::waiting::work_share::WorkShare;
use carteiro_core::retention::Retention;
use carteiro_core::streak::Rule;
use carteiro_services::dispatch::Dispatcher;
use carteiro_services::notify::Notifier;
use carteiro_services::page_tokens::PageNotifier;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

use polls::Polls;

/// What the function works with.
struct Collect {
    config: ConfigTable,
    streaks: StreakTable,
    held: HeldTable,
    dead: DeadRows,
    ticks: TickTable,
    deliveries: DeliverQueue,
    dead_letters: DeliverQueue,
    work: WorkQueue,
    shares: WorkShare,
    notifier: Notifier,
    dispatcher: Dispatcher,
    polls: Polls,
    retention: Retention,
    /// Minutes between two ticks.
    minutes: u8,
}

/// Why an invocation failed. The platform repeats it.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error("the event is neither a tick nor work: {0}")]
    Event(#[source] serde_json::Error),
    #[error("another invocation is planning this slot")]
    BeingPlanned,
    #[error("not all that comes due could be looked at; the rest was planned")]
    PlannedInPart,
    #[error(transparent)]
    Adapter(#[from] AdapterError),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    function::start_log();
    let settings = settings::read(&environment)?;
    let aws = aws::config(&environment).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
    let sqs = aws_sdk_sqs::Client::new(&aws);
    let config = ConfigTable::new(dynamodb.clone(), settings.config_table);
    let streaks = StreakTable::new(dynamodb.clone(), settings.streak_table);
    let deliveries = DeliverQueue::new(sqs.clone(), settings.deliver_queue_url);
    let rule = Rule { threshold: settings.threshold, block: settings.block, told: true };
    let inbox = InboxTable::new(dynamodb.clone(), settings.inbox_table);
    let page_notifier = PageNotifier { config: config.clone(), queue: deliveries.clone() };
    let polls = Polls {
        tables: PageTables {
            tokens: TokenTable::new(dynamodb.clone(), settings.token_table),
            polls: PollTable::new(dynamodb.clone(), settings.poll_table),
        },
        queue: PollQueue::new(sqs.clone(), settings.poll_queue_url),
        client: NetworkClient::new(settings.addresses)?,
        settings: settings.networks,
        apps: settings.apps,
        tick: Duration::from_secs(u64::from(settings.minutes) * 60),
    };
    let collect = Collect {
        polls,
        dispatcher: Dispatcher {
            config: config.clone(),
            inbox,
            queue: deliveries.clone(),
            notifier: page_notifier,
        },
        notifier: Notifier {
            config: config.clone(),
            streaks: streaks.clone(),
            queue: deliveries.clone(),
            rule,
        },
        config,
        streaks,
        shares: WorkShare::new(dynamodb.clone(), settings.held_table.clone()),
        held: HeldTable::new(dynamodb.clone(), settings.held_table),
        dead: DeadRows::new(dynamodb.clone(), settings.dead_table),
        ticks: TickTable::new(dynamodb, settings.tick_table),
        deliveries,
        dead_letters: DeliverQueue::new(sqs.clone(), settings.deliver_dead_queue_url),
        work: WorkQueue::new(sqs, settings.work_queue_url),
        retention: settings.retention,
        minutes: settings.minutes,
    };
    let collect = &collect;
    let timeout: Duration = settings.timeout;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let clock = InvocationClock::start(event.context.deadline, timeout);
        let answered = handle(collect, event.payload, &event.context.request_id, clock).await;
        answered.map_err(|error| {
            tracing::error!(error = carteiro_adapters::error::chain(&error), "collect.failed");
            Fatal::from(error)
        })
    }))
    .await
}

/// A batch of work has `Records`; everything else is a tick.
async fn handle(
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
            Ok(Work::Dispatch { shard }) => dispatch::shard(collect, shard, clock).await,
            Ok(Work::BuryDeadLetters) => bury::dead_letters(collect, clock).await,
            Err(error) => Err(CollectError::Event(error)),
        };
        match done {
            Ok(Progress::Done) => {}
            Ok(Progress::MoreIsLeft) => response.add_failure(message),
            Err(error) => {
                tracing::error!(message, error = carteiro_adapters::error::chain(&error), "work.failed");
                response.add_failure(message);
            }
        }
    }
    response
}

/// How far a piece of work came in the time that it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing is left of it.
    Done,
    /// The queue is to hand it out again.
    MoreIsLeft,
}
