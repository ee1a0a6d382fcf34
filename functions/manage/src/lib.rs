//! `ManageFunction`: the configuration API.
//!
//! The deployment's admin key gives the operator accounts and keys; an account's key gives it its webhooks and pages.
//! Those of another account are answered as not found. With the admin key the operator reads those of the account that
//! `?account=` names, and sends its dead items again. A session of the console, by its cookie, stands for an account's
//! key. A webhook or page is changed on condition that nobody else changed it since it was read, so that of two changes
//! at once either both are kept or one is answered that it must try again.
//!
//! # Where to begin
//! - **A request**: `call` finds who asks and the route, `body` and `lists` read what is sent, `answers` and `values`
//!   are what is answered, `context` what the handlers need.
//! - **Routes of accounts**: `accounts`, `webhooks` (with `listing`, `status`, `revision`, `rotation`, `read_only` and
//!   `view`), `pages`, `alerts` and `alert_stop`, `sessions`.
//! - **Routes of items**: `items`, `attempts`, `activity`, `held_and_dead`, `release`, `replays`, `cancel`,
//!   `test_attempt`.
//! - **The operator's**: `unhealthy`, `networks`. **Pages for people**: `console`, `docs`. **The API's description**:
//!   `openapi`, `schemas`.

mod accounts;
mod activity;
mod alert_stop;
mod alerts;
mod answers;
mod attempts;
mod body;
mod call;
mod cancel;
mod console;
mod context;
mod docs;
mod held_and_dead;
mod items;
mod listing;
mod lists;
mod networks;
mod openapi;
mod pages;
mod read_only;
mod release;
mod replays;
mod revision;
mod rotation;
mod schemas;
mod sessions;
mod status;
mod test_attempt;
mod unhealthy;
mod values;
mod view;
mod webhooks;

use call::{Call, Response};
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::function::{self, Fatal};
use carteiro_adapters::runtime::http_api::Request;
use carteiro_adapters::wiring::Wiring;
use carteiro_core::problem::Problem;
use context::Manage;
pub use openapi::description;
use openapi::parameters;

/// Serves requests until the environment ends.
///
/// # Errors
///
/// [`Fatal`], where a setting is missing or cannot be read, or the Runtime API cannot be reached.
pub async fn serve() -> Result<(), Fatal> {
    function::start_log();
    let mut wiring = Wiring::of_environment();
    let timeout = wiring.settings.timeout();
    let manage = &Manage::read(wiring)?;
    function::serve_http(timeout, move |request, clock| route(manage, request, clock)).await
}

async fn route(manage: &Manage, request: Request, clock: InvocationClock) -> Response {
    if request.route() == "GET /openapi.json" {
        parameters::refuse_unknown(&request)?;
        return Ok(openapi::document());
    }
    if request.route() == "GET /schemas/collected-item.json" {
        parameters::refuse_unknown(&request)?;
        return Ok(schemas::collected_item());
    }
    match request.route() {
        "GET /" => return Ok(console::entrance()),
        "GET /console" => return console::page(&manage.frame_ancestors),
        "GET /console/{asset}" => return console::asset(&request.path("asset")),
        "POST /console/session" => return sessions::begin(manage, &request, clock).await,
        "GET /console/session" => return sessions::read(manage, &request, clock).await,
        "DELETE /console/session" => return sessions::end(manage, &request, clock).await,
        _ => {}
    }
    match request.route() {
        "GET /docs" => return docs::reference(),
        "GET /docs/problems" => return docs::problems(),
        "GET /docs/problems/{problem}" => return docs::problem(&request.path("problem")),
        "$default" => return Err(unrouted(&request).into()),
        _ => {}
    }
    match request.route() {
        "GET /alert-stop/{link}" => return Ok(alert_stop::page()),
        "POST /alert-stop/{link}" => return alert_stop::stop(manage, &request).await,
        _ => {}
    }
    let call = &Call::new(manage, &request, clock).await?;
    match request.route() {
        "POST /accounts" => accounts::create(call).await,
        "GET /accounts" => accounts::list(call).await,
        "DELETE /accounts/{account}" => accounts::delete(call).await,
        "POST /accounts/{account}/keys" => accounts::create_key(call).await,
        "DELETE /accounts/{account}/keys/{key}" => accounts::delete_key(call).await,
        "POST /accounts/{account}/links" => sessions::create_link(call).await,
        "DELETE /accounts/{account}/sessions" => sessions::end_all(call).await,
        "GET /account" => sessions::own_account(call).await,
        "GET /networks" => networks::list(call).await,
        "GET /unhealthy" => unhealthy::list(call).await,
        "GET /items/{item}" => items::read(call).await,
        "POST /webhooks" => webhooks::create(call).await,
        "GET /webhooks" => listing::list(call).await,
        "GET /webhooks/{webhook}" => webhooks::read(call).await,
        "POST /webhooks/{webhook}/unblock" => release::unblock(call).await,
        "POST /webhooks/{webhook}/enable" => release::enable(call).await,
        "POST /webhooks/{webhook}/secret" => rotation::rotate(call).await,
        "GET /webhooks/{webhook}/held" => held_and_dead::held(call).await,
        "DELETE /webhooks/{webhook}/held" => cancel::of_type(call).await,
        "DELETE /webhooks/{webhook}/held/{item}" => cancel::item(call).await,
        "GET /webhooks/{webhook}/dead" => held_and_dead::dead(call).await,
        "GET /webhooks/{webhook}/activity" => activity::read(call).await,
        "GET /webhooks/{webhook}/attempts" => attempts::list(call).await,
        "POST /webhooks/{webhook}/replay" => replays::create(call).await,
        "GET /webhooks/{webhook}/replay" => replays::list(call).await,
        "GET /webhooks/{webhook}/replay/{replay}" => replays::read(call).await,
        "PATCH /webhooks/{webhook}" => webhooks::change(call).await,
        "DELETE /webhooks/{webhook}" => webhooks::delete(call).await,
        "POST /webhooks/{webhook}/test" => test_attempt::make(call).await,
        "POST /alerts" => alerts::create(call).await,
        "GET /alerts" => alerts::list(call).await,
        "DELETE /alerts/{alert}" => alerts::delete(call).await,
        "POST /alerts/{alert}/confirm" => alerts::confirm(call).await,
        "POST /alerts/{alert}/resend" => alerts::resend(call).await,
        "POST /pages" => pages::create(call).await,
        "GET /pages" => pages::list(call).await,
        "GET /pages/{page}" => pages::read(call).await,
        "PATCH /pages/{page}" => pages::change(call).await,
        "DELETE /pages/{page}" => pages::delete(call).await,
        "POST /pages/{page}/check" => pages::check(call).await,
        route => Err(Problem::not_found(format!("nothing is at {route}")).into()),
    }
}

/// The answer where no route takes a request: the gateway gives the function what nothing else takes.
fn unrouted(request: &Request) -> Problem {
    let (method, path) = request.sent();
    match openapi::methods(path) {
        Some(allow) => Problem {
            allow: Some(allow.as_str().into()),
            ..Problem::method_not_allowed(format!("{path} takes {allow}"))
        },
        None => Problem::not_found(format!("nothing is at {method} {path}")),
    }
}
