//! Transactions: how one ended, and repeats after conflicts and throttling.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::TransactWriteItem;

use crate::error::AdapterError;
use crate::runtime::random;

/// How often a transaction is tried that conflicts or is throttled.
pub(crate) const TRIES: u32 = 5;
/// How long is waited before the second try; before each further one twice as long, and up to twice that.
const PAUSE: Duration = Duration::from_millis(25);
/// The codes by which a table, or one partition of it, throttles a part of a transaction.
const THROTTLES: [&str; 4] = [
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
];

/// How a transaction ended.
pub(crate) enum Transacted {
    Done,
    /// The conditions of these writes did not hold.
    Refused(Vec<usize>),
    /// Others changed the same rows at the same time.
    InTheWay,
    /// It was throttled.
    Throttled,
}

/// Writes all or nothing. Repeats on conflicts and throttling, for a second at most.
pub(crate) async fn transact_patiently(
    client: &Client,
    writes: &[TransactWriteItem],
    operation: &'static str,
) -> Result<Transacted, AdapterError> {
    let mut pause = PAUSE;
    let mut latest = transact(client, writes, operation).await?;
    for _ in 1..TRIES {
        if !matches!(latest, Transacted::InTheWay | Transacted::Throttled) {
            break;
        }
        tokio::time::sleep(random::jittered(pause)?).await;
        pause *= 2;
        latest = transact(client, writes, operation).await?;
    }
    Ok(latest)
}

/// Writes all or nothing.
pub(crate) async fn transact(
    client: &Client,
    writes: &[TransactWriteItem],
    operation: &'static str,
) -> Result<Transacted, AdapterError> {
    // The client gives the transaction a token of its own, so its repeats are one transaction.
    let call = client.transact_write_items().set_transact_items(Some(writes.to_vec()));
    let Err(error) = call.send().await else { return Ok(Transacted::Done) };
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
    else {
        return Err(AdapterError::of_call(operation, error));
    };
    let codes: Vec<_> =
        cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or_default()).collect();
    let refused: Vec<_> = (0..codes.len()).filter(|&one| codes[one] == "ConditionalCheckFailed").collect();
    if !refused.is_empty() {
        return Ok(Transacted::Refused(refused));
    }
    // The client repeats a call that is throttled, and not a transaction of which a part is.
    if codes.iter().any(|code| THROTTLES.contains(code)) {
        return Ok(Transacted::Throttled);
    }
    if codes.contains(&"TransactionConflict") {
        return Ok(Transacted::InTheWay);
    }
    Err(AdapterError::unavailable(operation, error))
}
