//! `ManageFunction`: the configuration API.
//!
//! Accounts and keys are the operator's, by the deployment's admin key; webhooks and pages are an account's, by its
//! own. What belongs to another account is answered as not found. A webhook or page is changed on condition that nobody
//! else changed it since it was read, so that two changes at once are both kept or one is told to try again.

mod accounts;
mod attempts;
mod body;
mod cancel;
mod console;
mod lists;
mod openapi;
mod pages;
mod read_only;
mod release;
mod replays;
mod revision;
mod rotation;
mod schemas;
mod settings;
mod test_attempt;
mod view;
mod waiting;
mod webhooks;

use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::http::sender::Sender;
use carteiro_adapters::queues::poll::PollQueue;
use carteiro_adapters::queues::work::WorkQueue;
use carteiro_adapters::runtime::aws;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::function::{self, Fatal};
use carteiro_adapters::runtime::http_api::{Failure, Request};
use carteiro_adapters::runtime::settings::environment;
use carteiro_adapters::tables::attempts::AttemptTable;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::inbox::InboxTable;
use carteiro_adapters::tables::pages::PageTables;
use carteiro_adapters::tables::poll::PollTable;
use carteiro_adapters::tables::streak::StreakTable;
use carteiro_adapters::tables::tokens::TokenTable;
use carteiro_adapters::tables::waiting::HeldTable;
use carteiro_adapters::tables::waiting::dead::DeadRows;
use carteiro_core::address::PrivateTargets;
use carteiro_core::key::KeyHash;
use carteiro_core::own_hosts::OwnHosts;
use carteiro_core::problem::Problem;
use carteiro_core::retention::Retention;
use carteiro_services::authentication::caller;

/// What the function works with.
struct Manage {
    config: ConfigTable,
    page_tables: PageTables,
    inbox: InboxTable,
    streaks: StreakTable,
    held: HeldTable,
    dead: DeadRows,
    attempts: AttemptTable,
    work: WorkQueue,
    polls: PollQueue,
    sender: Sender,
    retention: Retention,
    admin: KeyHash,
    private_targets: PrivateTargets,
    /// The most that an attempt takes.
    attempt: Duration,
    /// The own hosts that the template names. Those of the HTTP API it cannot name here, and each request tells them.
    own_hosts: OwnHosts,
    region: Option<String>,
    /// The deployment's threshold, where a webhook sets none.
    threshold: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    function::start_log();
    let settings = settings::read(&environment)?;
    let aws = aws::config(&environment).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
    let sqs = aws_sdk_sqs::Client::new(&aws);
    let manage = Manage {
        config: ConfigTable::new(dynamodb.clone(), settings.config_table),
        page_tables: PageTables {
            tokens: TokenTable::new(dynamodb.clone(), settings.token_table),
            polls: PollTable::new(dynamodb.clone(), settings.poll_table),
        },
        inbox: InboxTable::new(dynamodb.clone(), settings.inbox_table),
        streaks: StreakTable::new(dynamodb.clone(), settings.streak_table),
        held: HeldTable::new(dynamodb.clone(), settings.held_table),
        dead: DeadRows::new(dynamodb.clone(), settings.dead_table),
        attempts: AttemptTable::new(dynamodb, settings.attempt_table),
        work: WorkQueue::new(sqs.clone(), settings.work_queue_url),
        polls: PollQueue::new(sqs, settings.poll_queue_url),
        sender: Sender::new(settings.private_targets.clone(), settings.own_hosts.clone(), settings.attempt)?,
        retention: settings.retention,
        admin: settings.admin,
        private_targets: settings.private_targets,
        attempt: settings.attempt,
        own_hosts: settings.own_hosts,
        region: settings.region,
        threshold: settings.threshold,
    };
    let manage = &manage;
    let timeout: Duration = settings.timeout;
    function::serve_http(timeout, move |request, clock| route(manage, request, clock)).await
}

async fn route(
    manage: &Manage,
    request: Request,
    clock: InvocationClock,
) -> Result<ApiGatewayV2httpResponse, Failure> {
    if request.route() == "GET /openapi.json" {
        return Ok(openapi::document());
    }
    if request.route() == "GET /schemas/collected-item.json" {
        return Ok(schemas::collected_item());
    }
    if request.route() == "GET /console" {
        return console::page();
    }
    let caller = caller(&request, &manage.config, Some(&manage.admin)).await?;
    match request.route() {
        "POST /accounts" => accounts::create(manage, caller, &request, clock).await,
        "GET /accounts" => accounts::list(manage, caller, &request).await,
        "DELETE /accounts/{account}" => accounts::delete(manage, caller, &request, clock).await,
        "POST /accounts/{account}/keys" => accounts::create_key(manage, caller, &request, clock).await,
        "DELETE /accounts/{account}/keys/{key}" => accounts::delete_key(manage, caller, &request).await,
        "POST /webhooks" => webhooks::create(manage, caller, &request, clock).await,
        "GET /webhooks" => webhooks::list(manage, caller, &request, clock).await,
        "GET /webhooks/{webhook}" => webhooks::read(manage, caller, &request, clock).await,
        "POST /webhooks/{webhook}/unblock" => release::unblock(manage, caller, &request, clock).await,
        "POST /webhooks/{webhook}/enable" => release::enable(manage, caller, &request, clock).await,
        "POST /webhooks/{webhook}/secret" => rotation::rotate(manage, caller, &request, clock).await,
        "GET /webhooks/{webhook}/held" => waiting::held(manage, caller, &request, clock).await,
        "DELETE /webhooks/{webhook}/held" => cancel::of_type(manage, caller, &request, clock).await,
        "DELETE /webhooks/{webhook}/held/{item}" => cancel::item(manage, caller, &request, clock).await,
        "GET /webhooks/{webhook}/dead" => waiting::dead(manage, caller, &request, clock).await,
        "GET /webhooks/{webhook}/attempts" => attempts::list(manage, caller, &request, clock).await,
        "POST /webhooks/{webhook}/replay" => replays::create(manage, caller, &request, clock).await,
        "GET /webhooks/{webhook}/replay" => replays::list(manage, caller, &request).await,
        "GET /webhooks/{webhook}/replay/{replay}" => replays::read(manage, caller, &request).await,
        "PATCH /webhooks/{webhook}" => webhooks::change(manage, caller, &request, clock).await,
        "DELETE /webhooks/{webhook}" => webhooks::delete(manage, caller, &request, clock).await,
        "POST /webhooks/{webhook}/test" => test_attempt::make(manage, caller, &request, clock).await,
        "POST /pages" => pages::create(manage, caller, &request, clock).await,
        "GET /pages" => pages::list(manage, caller, &request, clock).await,
        "GET /pages/{page}" => pages::read(manage, caller, &request, clock).await,
        "PATCH /pages/{page}" => pages::change(manage, caller, &request, clock).await,
        "DELETE /pages/{page}" => pages::delete(manage, caller, &request, clock).await,
        "POST /pages/{page}/check" => pages::check(manage, caller, &request, clock).await,
        route => Err(Problem::not_found(format!("nothing is at {route}")).into()),
    }
}
