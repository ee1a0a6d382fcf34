//! The common part of every function's `main`: logs, settings, and the runtime's loop.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use carteiro_core::id::ItemId;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::json;

use crate::runtime::clock::{InvocationClock, Stopwatch};
use crate::runtime::http_api::{self, Failure, Request};
use crate::runtime::log;
use crate::runtime::metrics;
use crate::runtime::representation::Wanted;
use crate::runtime::settings::environment;

/// An error that ends a function: its settings are wrong, or its runtime went away.
pub type Fatal = Box<dyn Error + Send + Sync>;

/// Starts the log, and the metrics in it.
pub fn start_log() {
    log::start(environment("AWS_LAMBDA_LOG_LEVEL").as_deref());
    metrics::start(environment("METRICS_NAMESPACE"));
}

/// An answer, and the item that it accepted, where it is one: the line that logs the request names it.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub response: ApiGatewayV2httpResponse,
    /// The item.
    pub item: Option<ItemId>,
}

impl From<ApiGatewayV2httpResponse> for Answered {
    fn from(response: ApiGatewayV2httpResponse) -> Self {
        Self { response, item: None }
    }
}

/// Answers the HTTP API's requests with `handler`, until the runtime goes away. Failures become problem details.
///
/// # Errors
/// Where the runtime goes away.
pub async fn serve_http<H, F, A>(timeout: Duration, handler: H) -> Result<(), Fatal>
where
    H: Fn(Request, InvocationClock) -> F,
    F: Future<Output = Result<A, Failure>>,
    A: Into<Answered>,
{
    let handler = &handler;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<ApiGatewayV2httpRequest>| async move {
        let clock = InvocationClock::start(event.context.deadline, timeout);
        let stopwatch = Stopwatch::start();
        let route = event.payload.route_key.clone().unwrap_or_default();
        let id = event.payload.request_context.request_id.clone().unwrap_or_default();
        let wanted = Wanted::read(&route, &event.payload.headers);
        let answered = match Request::new(event.payload) {
            Ok(request) => handler(request, clock).await.map(Into::into),
            Err(failure) => Err(failure),
        };
        let answered = answered.unwrap_or_else(|failure| http_api::failure(&id, &route, failure).into());
        let Answered { response, item } = answered;
        let response = wanted.of(response);
        metrics::log(
            clock.now(),
            "request.answered",
            &[
                ("request_id", json!(id)),
                ("route", json!(route)),
                ("status", json!(response.status_code)),
                ("latency_ms", json!(stopwatch.elapsed_ms())),
                ("item", json!(item)),
            ],
        );
        Ok::<_, Fatal>(response)
    }))
    .await
}
