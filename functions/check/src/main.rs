//! `CheckFunction`: checks a deployment's parameters before the other functions get them.
//!
//! CloudFormation invokes it as a custom resource that the other functions depend on, at a stack's making and whenever
//! a parameter changes. Where a parameter is bad the answer is `FAILED`, with a sentence that names it, and the
//! deployment is rolled back before a function was changed. A deletion is always answered with success.
//!
//! It has no table, queue or secret. That it runs at all shows that the functions were built for the deployment's
//! processor: where they were not, no answer comes, and the deployment fails when the resource's `ServiceTimeout` is
//! over.

mod answer;
mod parameters;

use std::time::Duration;

use answer::{Answer, Asked, Status};
use carteiro_adapters::error::chain;
use carteiro_adapters::http::reply::{ReplyAddress, ReplyError};
use carteiro_adapters::runtime::function::{self, Fatal};
use lambda_runtime::{LambdaEvent, service_fn};

/// How often an answer is sent, and how long each time may take: together less than the function's timeout of 20 s.
const TRIES: u32 = 3;
const TRY: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    function::start_log();
    lambda_runtime::run(service_fn(|event: LambdaEvent<Asked>| async move {
        let address: ReplyAddress = event.payload.response_url.parse()?;
        let answer = event.payload.answer(env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
        if answer.status == Status::Failed {
            tracing::error!(faults = answer.reason, "parameters.refused");
        }
        reply(&address, &answer).await
    }))
    .await
}

/// Sends the answer. Where that fails, the platform invokes the function again.
async fn reply(address: &ReplyAddress, answer: &Answer) -> Result<(), Fatal> {
    let body = serde_json::to_string(answer)?;
    let mut last: Result<(), ReplyError> = Ok(());
    for _ in 0..TRIES {
        last = address.put(body.clone(), TRY).await;
        match &last {
            Ok(()) => break,
            Err(error) => tracing::error!(error = chain(error), "parameters.not_answered"),
        }
    }
    last.map_err(Fatal::from)
}
