//! `IngestFunction`: takes what comes in.
//!
//! A bot's item is checked, routed and queued for every webhook of its account that takes it, and only then
//! answered: `202` means that each of these deliveries is durably in the queue. Nothing is answered `202` that is not.
//! Where some are queued and others are not, the answer is an error; a repeat under the same idempotency key finishes
//! what was begun, and one without may deliver twice, under the same id where the item has an id of its own.

mod accept;
mod bots;
mod settings;

use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::aws;
use carteiro_adapters::clock::InvocationClock;
use carteiro_adapters::config_table::ConfigTable;
use carteiro_adapters::deliver_queue::DeliverQueue;
use carteiro_adapters::function::{self, Fatal};
use carteiro_adapters::http_api::{Failure, Request};
use carteiro_adapters::idempotency_table::IdempotencyTable;
use carteiro_adapters::settings::environment;
use carteiro_core::item::ItemType;
use carteiro_core::problem::Problem;

/// What the function works with.
struct Ingest {
    config: ConfigTable,
    idempotency: IdempotencyTable,
    queue: DeliverQueue,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    function::start_log();
    let settings = settings::read(&environment)?;
    let aws = aws::config(&environment).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
    let ingest = Ingest {
        config: ConfigTable::new(dynamodb.clone(), settings.config_table),
        idempotency: IdempotencyTable::new(dynamodb, settings.idempotency_table),
        queue: DeliverQueue::new(aws_sdk_sqs::Client::new(&aws), settings.deliver_queue_url),
    };
    let ingest = &ingest;
    let timeout: Duration = settings.timeout;
    function::serve_http(timeout, move |request, clock| route(ingest, request, clock)).await
}

async fn route(
    ingest: &Ingest,
    request: Request,
    clock: InvocationClock,
) -> Result<ApiGatewayV2httpResponse, Failure> {
    match request.route() {
        "POST /bots/{bot}/messages" => bots::single(ingest, &request, ItemType::MESSAGE, clock).await,
        "POST /bots/{bot}/events" => bots::single(ingest, &request, ItemType::EVENT, clock).await,
        "POST /bots/{bot}/contacts" => bots::single(ingest, &request, ItemType::CONTACT, clock).await,
        "POST /bots/{bot}/items" => bots::bulk(ingest, &request, clock).await,
        route => Err(Problem::not_found(format!("nothing is at {route}")).into()),
    }
}
