//! Items of bots: one, or many as lines.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::function::Answered;
use carteiro_adapters::runtime::http_api::{Failure, Request, json};
use carteiro_core::hop::{self, Hop};
use carteiro_core::id::AccountId;
use carteiro_core::idempotency::IdempotencyKey;
use carteiro_core::item::{self, ItemError, ItemType, Source};
use carteiro_core::ndjson::{self, BulkError};
use carteiro_core::problem::{FieldError, Problem};
use carteiro_services::authentication::caller;
use serde_json::{Value, json};

use crate::accept::{Acceptance, Accepted, Incoming, Refusal};
use crate::context::Ingest;

/// How many ids of items a log line has at most: 38 bytes each, far below the platform's 256 KiB a line.
const IDS_A_LINE: usize = 1000;

/// Takes one item, as the whole body.
pub(crate) async fn single(
    ingest: &Ingest,
    request: &Request,
    item_type: ItemType,
    clock: InvocationClock,
) -> Result<Answered, Failure> {
    let (account, source) = sender(ingest, request).await?;
    let hop = hop(&account, &source, request)?;
    let body = request.uncompressed()?;
    let head = item::read_head(body).map_err(|error| item_problem(&error))?;
    let key = request.header("idempotency-key").map(|key| key.parse::<IdempotencyKey>()).transpose();
    let key = key.map_err(|error| {
        Problem::invalid_fields(vec![FieldError::new("Idempotency-Key", error.to_string())])
    })?;
    let webhooks = ingest.config.all_webhooks(&account).await?;
    let acceptance =
        Acceptance { ingest, account: &account, source: &source, webhooks: &webhooks, hop, clock };
    let incoming = Incoming { item_type, bytes: body, head, key };
    match acceptance.accept(&[incoming]).await.pop() {
        Some(Ok(Accepted { item, webhooks })) => {
            let response = json(202, &json!({"id": item, "webhooks": webhooks}));
            Ok(Answered { response, item: Some(item) })
        }
        Some(Err(refusal)) => Err(refusal_problem(refusal).into()),
        None => Err(Problem::internal("nothing was accepted").into()),
    }
}

/// Takes many items, one a line. Lines stand alone.
pub(crate) async fn bulk(
    ingest: &Ingest,
    request: &Request,
    clock: InvocationClock,
) -> Result<ApiGatewayV2httpResponse, Failure> {
    let (account, source) = sender(ingest, request).await?;
    let hop = hop(&account, &source, request)?;
    if request.header("idempotency-key").is_some() {
        let detail = "is not read here: each line takes a key of its own, as \"key\"";
        return Err(Problem::invalid_fields(vec![FieldError::new("Idempotency-Key", detail)]).into());
    }
    let lines = ndjson::lines(request.uncompressed()?).map_err(|error| bulk_problem(&error))?;
    let webhooks = ingest.config.all_webhooks(&account).await?;
    let acceptance =
        Acceptance { ingest, account: &account, source: &source, webhooks: &webhooks, hop, clock };
    let mut results: Vec<Value> = Vec::with_capacity(lines.len());
    let mut good = Vec::new();
    let mut places = Vec::new();
    for line in lines {
        match line {
            Ok(line) => {
                places.push(results.len());
                results.push(Value::Null);
                good.push(Incoming {
                    item_type: line.item_type,
                    bytes: line.item,
                    head: line.head,
                    key: line.key,
                });
            }
            Err(error) => {
                let detail = error.to_string();
                results.push(line_error(&match error.field() {
                    Some(field) => Problem::invalid_field(field, detail),
                    None => Problem::invalid(detail),
                }));
            }
        }
    }
    let accepted = acceptance.accept(&good).await;
    log_accepted(&account, &accepted);
    for (place, accepted) in places.into_iter().zip(accepted) {
        results[place] = match accepted {
            Ok(accepted) => json!({"id": accepted.item}),
            Err(refusal) => line_error(&refusal_problem(refusal)),
        };
    }
    Ok(json(202, &json!({"results": results})))
}

/// Logs which items of a request were accepted: a line for each [`IDS_A_LINE`] of them.
fn log_accepted(account: &AccountId, results: &[Result<Accepted, Refusal>]) {
    let ids: Vec<&str> = results.iter().flatten().map(|accepted| accepted.item.as_str()).collect();
    for ids in ids.chunks(IDS_A_LINE) {
        tracing::info!(account = account.as_str(), items = ids.join(" "), "items.accepted");
    }
}

async fn sender(ingest: &Ingest, request: &Request) -> Result<(AccountId, Source), Failure> {
    let account = caller(request, &ingest.config, None).await?.account()?;
    request.refuse_query_beside(&[])?;
    let bot = request.path("bot").parse();
    let bot = bot.map_err(|error: item::InvalidBotName| {
        Problem::invalid_fields(vec![FieldError::new("bot", error.to_string())])
    })?;
    Ok((account, Source::Bot(bot)))
}

/// How often the items of a request have passed through Carteiro; refused where that is too often.
fn hop(account: &AccountId, source: &Source, request: &Request) -> Result<Hop, Failure> {
    let hop = request.hop();
    if hop.is_at_limit() {
        let source = source.to_string();
        tracing::warn!(account = account.as_str(), intake = "bots", source, "loop.refused");
        return Err(in_a_loop().into());
    }
    Ok(hop)
}

/// The answer to a request whose items have passed through Carteiro too often.
pub(crate) fn in_a_loop() -> Problem {
    let (header, most) = (hop::HEADER, Hop::LIMIT.count());
    Problem::loop_detected(format!(
        "{header} says that this has passed through Carteiro {most} times or more: deliveries lead back to an intake. \
         Nothing was taken"
    ))
}

fn item_problem(error: &ItemError) -> Problem {
    match error {
        ItemError::TooLarge { .. } => Problem::too_large(error.to_string()),
        ItemError::NotUtf8 { .. } | ItemError::NotAnObject { .. } => Problem::bad_request(error.to_string()),
    }
}

fn bulk_problem(error: &BulkError) -> Problem {
    match error {
        BulkError::TooLarge { .. } | BulkError::TooManyLines => Problem::too_large(error.to_string()),
        BulkError::Empty => Problem::bad_request(error.to_string()),
    }
}

fn refusal_problem(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::KeyOfAnotherItem => Problem::idempotency_conflict(
            "within the last 24 hours this key was used for other bytes; nothing was queued",
        ),
        Refusal::NotQueued => {
            Problem::unavailable("the item is not queued for every webhook that takes it; try again")
        }
        Refusal::InProgress => {
            Problem::unavailable("another request with this key is under way; try again in a few seconds")
        }
    }
}

fn line_error(problem: &Problem) -> Value {
    json!({"error": problem})
}
