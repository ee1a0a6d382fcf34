//! `IngestFunction`: takes items of bots and pushes of networks.
//!
//! A bot's item is checked, routed and queued for every webhook of its account that takes it, and only then
//! answered: `202` means that each of these deliveries is durably in the queue. Nothing is answered `202` that is not.
//! Where some are queued and others are not, the answer is an error; a repeat under the same idempotency key finishes
//! what was begun, and one without may deliver twice, under the same id where the item has an id of its own.
//!
//! A network's push is verified, stored in the inbox and only then answered `200`. Entries whose page asks for it are
//! dispatched at once, the others by `collect`'s tick.

mod accept;
mod bots;
mod context;
mod push;

use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::function::{self, Answered, Fatal};
use carteiro_adapters::runtime::http_api::{Failure, Request};
use carteiro_adapters::wiring::Wiring;
use carteiro_core::item::ItemType;
use carteiro_core::problem::Problem;
use carteiro_networks::network::Network;
use carteiro_networks::spec::PushSpec;
use context::Ingest;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    function::start_log();
    let mut wiring = Wiring::of_environment();
    let timeout = wiring.settings.timeout();
    let ingest = &Ingest::read(wiring)?;
    function::serve_http(timeout, move |request, clock| route(ingest, request, clock)).await
}

async fn route(ingest: &Ingest, request: Request, clock: InvocationClock) -> Result<Answered, Failure> {
    match request.route() {
        "POST /bots/{bot}/messages" => bots::single(ingest, &request, ItemType::MESSAGE, clock).await,
        "POST /bots/{bot}/events" => bots::single(ingest, &request, ItemType::EVENT, clock).await,
        "POST /bots/{bot}/contacts" => bots::single(ingest, &request, ItemType::CONTACT, clock).await,
        "POST /bots/{bot}/items" => bots::bulk(ingest, &request, clock).await.map(Into::into),
        route => match pushing(route) {
            Some(("GET", network)) => push::challenge(ingest, network, &request).await.map(Into::into),
            Some(("POST", network)) => push::receive(ingest, network, &request, clock).await.map(Into::into),
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
