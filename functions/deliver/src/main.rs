//! `DeliverFunction`: attempts each delivery of a batch, and settles it by its outcome.
//!
//! A batch goes through four steps: *read* the webhooks and streaks of all its deliveries in one consistent read;
//! *attempt* them concurrently; *record* the results for the streaks ([`carteiro_core::streak`]); *settle* each: it
//! arrived, it goes back to the queue with a delay, it is held, or it is dead. Last, while time is left, it logs
//! the attempts for the webhooks' owners.
//!
//! Guaranteed: a message is answered as done only after its item arrived or was durably put somewhere else. What
//! cannot be read, attempted or settled is answered as failed, alone, and the queue hands it out again. So delivery
//! is at least once; a duplicate is possible where an attempt was made and what follows from it could not be stored,
//! or where the queue handed out a message twice, and carries the same `webhook-id`.

mod attempt;
mod batch;
mod context;
mod counted;
#[cfg(test)]
mod fixtures;
mod gone;
mod log;
mod read;
mod received;
mod record;
mod replays;
mod settle;
mod slow;
mod tally;

use aws_lambda_events::sqs::SqsEvent;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::function::{self, Fatal};
use carteiro_adapters::wiring::Wiring;
use lambda_runtime::{LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    function::start_log();
    let mut wiring = Wiring::of_environment();
    let timeout = wiring.settings.timeout();
    let deliver = &context::Deliver::read(wiring)?;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<SqsEvent>| async move {
        let clock = InvocationClock::start(event.context.deadline, timeout);
        Ok::<_, Fatal>(batch::handle(deliver, event.payload, clock).await)
    }))
    .await
}
