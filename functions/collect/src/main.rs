//! `CollectFunction`: the tick, and its work.
//!
//! Every 15 minutes a *tick* plans: it looks for everything that comes due before the next tick and sends a work
//! message for each part of it. A *work message* dispatches entries of the inbox, moves held items to the delivery
//! queue, delayed to their time, releases items that a block or a disabled webhook held, makes the dead items of a
//! replay wait for their release, brings dead letters into the dead items, or alerts a person. Moving may find releases
//! and replays and send them as work, a replay sends its release, a release that another worker has sends up to three
//! looks at it, notices send alerts, and an alert that could not be sent now sends itself again up to three times;
//! nothing else sends work, so no chain of invocations grows: tick, moving, replay, release, three looks, delivery.
//!
//! # Where to begin
//! - **The tick**: `plan`. **Work messages**: `batch` reads them, `share` bounds an account's part.
//! - **Kinds of work**: `dispatch` (entries of the inbox), `move_due`, `release`, `replay`, `bury` (dead letters),
//!   `alerts`, and `polls` (pages; `apps` has the networks' clients). `deaths` ends what waited too long; `context` has
//!   what all of them need.
//!
//! Guaranteed: a schedule slot is planned by one invocation, however often it is invoked; a held item leaves its table
//! only after it is in the queue or among the dead, and an entry leaves the inbox only after it is in the queue for all
//! who take it. The window that remains: a worker that dies between sending and deleting or marking leaves the row to
//! the next tick, and the item is sent again, under the same id.

mod alerts;
mod apps;
mod batch;
mod bury;
mod context;
mod deaths;
mod dispatch;
mod move_due;
mod plan;
mod polls;
mod release;
mod replay;
mod share;

use carteiro_adapters::error::chain;
use carteiro_adapters::runtime::clock::{InvocationClock, Stopwatch};
use carteiro_adapters::runtime::function::{self, Fatal};
use carteiro_adapters::runtime::metrics;
use carteiro_adapters::wiring::Wiring;
use context::Collect;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    function::start_log();
    let mut wiring = Wiring::of_environment();
    let timeout = wiring.settings.timeout();
    let collect = &Collect::read(wiring)?;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let clock = InvocationClock::start(event.context.deadline, timeout);
        let stopwatch = Stopwatch::start();
        let answered = batch::handle(collect, event.payload, &event.context.request_id, clock).await;
        if !metrics::is_empty() {
            metrics::log(clock.now(), "collect.counted", &[("latency_ms", json!(stopwatch.elapsed_ms()))]);
        }
        answered.map_err(|error| {
            tracing::error!(error = chain(&error), "collect.failed");
            Fatal::from(error)
        })
    }))
    .await
}
