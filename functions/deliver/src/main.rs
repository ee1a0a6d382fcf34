//! `DeliverFunction`: attempts each delivery of a batch, and settles it by its outcome.
//!
//! A batch goes through four steps: *read* the webhooks and streaks of all its deliveries in one consistent read;
//! *attempt* them concurrently; *record* the results for the streaks ([`carteiro_core::streak`]); *settle* each: it
//! arrived, it goes back to the queue with a delay, it is held, or it is dead. Last, and as far as that goes, it logs
//! the attempts for the webhooks' owners.
//!
//! Guaranteed: a message is answered as done only after its item arrived or was durably put somewhere else. What
//! cannot be read, attempted or settled is answered as failed, alone, and the queue hands it out again. So delivery
//! is at least once; a duplicate is possible where an attempt was made and what follows from it could not be stored,
//! or where the queue handed out a message twice, and carries the same `webhook-id`.

mod attempt;
mod batch;
mod gone;
mod log;
mod read;
mod record;
mod replays;
mod settings;
mod settle;
mod slow;
mod tally;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use carteiro_adapters::http::sender::Sender;
use carteiro_adapters::queues::deliver::DeliverQueue;
use carteiro_adapters::runtime::aws;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::function::{self, Fatal};
use carteiro_adapters::runtime::settings::environment;
use carteiro_adapters::tables::attempts::AttemptTable;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::streak::StreakTable;
use carteiro_adapters::tables::waiting::HeldTable;
use carteiro_adapters::tables::waiting::dead::DeadRows;
use carteiro_core::retention::Retention;
use carteiro_core::slow::DeadHosts;
use carteiro_core::streak::Rule;
use carteiro_services::notify::Notifier;
use lambda_runtime::{LambdaEvent, service_fn};

/// What the function works with.
#[derive(Clone)]
struct Deliver {
    config: ConfigTable,
    streaks: StreakTable,
    held: HeldTable,
    dead: DeadRows,
    attempts: AttemptTable,
    queue: DeliverQueue,
    slow_queue: DeliverQueue,
    slow_queue_arn: Arc<str>,
    notifier: Notifier,
    sender: Sender,
    retention: Retention,
    /// How many attempts of one batch go to one host at once.
    host_concurrency: usize,
    /// How long the attempt log is kept.
    log_kept: Duration,
    /// The deadline of one attempt.
    attempt: Duration,
    /// The hosts that this copy could not connect to in time.
    dead_hosts: Arc<Mutex<DeadHosts>>,
    /// The deployment's threshold, where a webhook sets none.
    threshold: u32,
    /// How long the deployment's blocks last, where a webhook does not say.
    block: Duration,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    function::start_log();
    let settings = settings::read(&environment)?;
    let aws = aws::config(&environment).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
    let config = ConfigTable::new(dynamodb.clone(), settings.config_table);
    let streaks = StreakTable::new(dynamodb.clone(), settings.streak_table);
    let sqs = aws_sdk_sqs::Client::new(&aws);
    let queue = DeliverQueue::new(sqs.clone(), settings.deliver_queue_url);
    let rule = Rule { threshold: settings.threshold, block: settings.block, told: true };
    let deliver = Deliver {
        notifier: Notifier { config: config.clone(), streaks: streaks.clone(), queue: queue.clone(), rule },
        config,
        streaks,
        held: HeldTable::new(dynamodb.clone(), settings.held_table),
        dead: DeadRows::new(dynamodb.clone(), settings.dead_table),
        attempts: AttemptTable::new(dynamodb, settings.attempt_table),
        queue,
        slow_queue: DeliverQueue::new(sqs, settings.slow_queue_url),
        slow_queue_arn: settings.slow_queue_arn.into(),
        host_concurrency: settings.host_concurrency,
        sender: Sender::new(settings.private_targets, settings.own_hosts, settings.attempt)?,
        retention: settings.retention,
        log_kept: settings.log_kept,
        attempt: settings.attempt,
        dead_hosts: Arc::default(),
        threshold: settings.threshold,
        block: settings.block,
    };
    let deliver = &deliver;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<SqsEvent>| async move {
        let clock = InvocationClock::start(event.context.deadline, settings.timeout);
        Ok::<_, Fatal>(batch::handle(deliver, event.payload, clock).await)
    }))
    .await
}
