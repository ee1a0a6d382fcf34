//! Conditional writes: how one ended, and those that the core gives as values.

use std::error::Error;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use carteiro_core::transition::{Condition, Effect, Put, Value, Write};

use crate::error::AdapterError;
use crate::runtime::random;
use crate::tables::expression::{Expressions, attributes};
use crate::tables::row::Row;

/// How often a write is tried whose answers are lost, each time with the client's own repeats. It recognises its own
/// earlier success.
const TRIES: u32 = 3;

/// How long is waited before the second time at least; before the third twice as long.
const PAUSE: Duration = Duration::from_millis(50);

/// The answer of a conditional write; None where its condition refused it.
pub(crate) fn made<T, E>(
    sent: Result<T, SdkError<E, HttpResponse>>,
    operation: &'static str,
) -> Result<Option<T>, AdapterError>
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match sent {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_refused(&error) => Ok(None),
        Err(error) => Err(AdapterError::of_call(operation, error)),
    }
}

fn is_refused<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("ConditionalCheckFailedException")
}

/// How a write of the core ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Written {
    /// It was made. The row is as it is now, where that was asked for and the row is there.
    Made(Row),
    /// Its condition refused it. Carries the row that the condition was held against, if it was requested and exists.
    Refused(Option<Row>),
}

impl Written {
    pub(crate) fn is_made(&self) -> bool {
        matches!(self, Self::Made(_))
    }
}

/// Whether a write answers the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Only whether it was made.
    Outcome,
    /// The row as it is then, or the one that refused.
    Row,
}

/// Makes a write of the core on a row, with further attributes to be set as they are. Where answers are lost it is made
/// again: it must recognise its own earlier success.
pub(crate) async fn write(
    (client, table): (&Client, &str),
    key: Row,
    write: &Write,
    also: &[(&'static str, Value)],
    answer: Answer,
) -> Result<Written, AdapterError> {
    let wanted = (answer == Answer::Row).then_some(ReturnValuesOnConditionCheckFailure::AllOld);
    let mut expressions = Expressions::default();
    let condition = stated(&mut expressions, &write.condition);
    match &write.effect {
        Effect::Delete => {
            let call = client
                .delete_item()
                .table_name(table)
                .set_key(Some(key))
                .set_condition_expression(condition)
                .set_expression_attribute_names(Some(expressions.names()))
                .set_expression_attribute_values(expressions.values())
                .set_return_values_on_condition_check_failure(wanted);
            let refused = |error: &DeleteItemError| match error {
                DeleteItemError::ConditionalCheckFailedException(refused) => refused.item().cloned(),
                _ => None,
            };
            let send = || {
                let call = call.clone();
                async move { call.send().await.map(|_| Row::new()) }
            };
            patiently(write.name, send, refused).await
        }
        Effect::Update(changes) => {
            let update = expressions.update(changes, also);
            let call = client
                .update_item()
                .table_name(table)
                .set_key(Some(key))
                .set_condition_expression(condition)
                .update_expression(update)
                .set_expression_attribute_names(Some(expressions.names()))
                .set_expression_attribute_values(expressions.values())
                .set_return_values((answer == Answer::Row).then_some(ReturnValue::AllNew))
                .set_return_values_on_condition_check_failure(wanted);
            let refused = |error: &UpdateItemError| match error {
                UpdateItemError::ConditionalCheckFailedException(refused) => refused.item().cloned(),
                _ => None,
            };
            let send = || {
                let call = call.clone();
                async move { call.send().await.map(|answer| answer.attributes.unwrap_or_default()) }
            };
            patiently(write.name, send, refused).await
        }
    }
}

/// Puts a row of the core, with its key and further attributes. Where answers are lost it is put again. Answers whether
/// it was made.
pub(crate) async fn put(
    (client, table): (&Client, &str),
    put: &Put,
    mut row: Row,
) -> Result<bool, AdapterError> {
    let mut expressions = Expressions::default();
    let condition = stated(&mut expressions, &put.condition);
    let names = condition.as_ref().map(|_| expressions.names());
    row.extend(attributes(&put.row));
    let call = client
        .put_item()
        .table_name(table)
        .set_item(Some(row))
        .set_condition_expression(condition)
        .set_expression_attribute_names(names)
        .set_expression_attribute_values(expressions.values());
    let send = || {
        let call = call.clone();
        async move { call.send().await.map(|_| Row::new()) }
    };
    Ok(patiently(put.name, send, |_| None).await?.is_made())
}

/// A condition expression; None for a condition that always holds.
fn stated(expressions: &mut Expressions, condition: &Condition) -> Option<String> {
    Some(expressions.condition(condition)).filter(|text| !text.is_empty())
}

async fn patiently<E, F>(
    operation: &'static str,
    send: impl Fn() -> F,
    refused: impl Fn(&E) -> Option<Row>,
) -> Result<Written, AdapterError>
where
    F: Future<Output = Result<Row, SdkError<E, HttpResponse>>>,
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let (mut pause, mut tries) = (PAUSE, 0);
    loop {
        tries += 1;
        match send().await {
            Ok(row) => return Ok(Written::Made(row)),
            Err(error) if is_refused(&error) => {
                let row = error.as_service_error().and_then(&refused).filter(|row| !row.is_empty());
                return Ok(Written::Refused(row));
            }
            Err(error) => {
                let error = AdapterError::of_call(operation, error);
                if !error.is_transient() || tries >= TRIES {
                    return Err(error);
                }
                tokio::time::sleep(random::jittered(pause)?).await;
                pause *= 2;
            }
        }
    }
}
