//! `IngestFunction`: takes what comes in.
//!
//! A bot's item is checked, routed and queued for every webhook of its account that takes it, and only then
//! answered: `202` means that each of these deliveries is durably in the queue. Nothing is answered `202` that is not.
//! Where some are queued and others are not, the answer is an error; a repeat under the same idempotency key finishes
//! what was begun, and one without may deliver twice, under the same id where the item has an id of its own.
//!
//! A network's push is verified, stored in the inbox and only then answered `200`; what of it is to be handed on at once
//! is, the rest by `collect`'s tick.

mod accept;
mod bots;
mod push;
mod settings;

use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::queues::deliver::DeliverQueue;
use carteiro_adapters::runtime::aws;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::function::{self, Fatal};
use carteiro_adapters::runtime::http_api::{Failure, Request};
use carteiro_adapters::runtime::settings::environment;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::idempotency::IdempotencyTable;
use carteiro_adapters::tables::inbox::InboxTable;
use carteiro_core::item::ItemType;
use carteiro_core::problem::Problem;
use carteiro_core::retention::Retention;
use carteiro_networks::network::Network;
use carteiro_networks::spec::PushSpec;
use carteiro_services::dispatch::Dispatcher;
use carteiro_services::page_tokens::PageNotifier;

/// What the function works with.
struct Ingest {
    config: ConfigTable,
    idempotency: IdempotencyTable,
    queue: DeliverQueue,
    dispatcher: Dispatcher,
    secrets: push::Secrets,
    retention: Retention,
    /// Whether what is pushed for a page waits until its network took its token.
    needs_proof: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    function::start_log();
    let settings = settings::read(&environment)?;
    let aws = aws::config(&environment).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
    let config = ConfigTable::new(dynamodb.clone(), settings.config_table);
    let queue = DeliverQueue::new(aws_sdk_sqs::Client::new(&aws), settings.deliver_queue_url);
    let inbox = InboxTable::new(dynamodb.clone(), settings.inbox_table);
    let notifier = PageNotifier { config: config.clone(), queue: queue.clone() };
    let ingest = Ingest {
        dispatcher: Dispatcher { config: config.clone(), inbox, queue: queue.clone(), notifier },
        config,
        idempotency: IdempotencyTable::new(dynamodb, settings.idempotency_table),
        queue,
        secrets: settings.secrets,
        retention: settings.retention,
        needs_proof: settings.needs_proof,
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
        route => match pushing(route) {
            Some(("GET", network)) => push::challenge(&ingest.secrets, network, &request),
            Some(("POST", network)) => push::receive(ingest, network, &request, clock).await,
            _ => Err(Problem::not_found(format!("nothing is at {route}")).into()),
        },
    }
}

/// The method of a route of pushes, and its network.
fn pushing(route: &str) -> Option<(&str, (Network, &'static PushSpec))> {
    let (method, name) = route.split_once(" /push/")?;
    let network: Network = name.parse().ok()?;
    Some((method, (network, network.spec().push?)))
}
