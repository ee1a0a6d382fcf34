//! Errors of tables, queues and other outside systems.

use std::error::Error;
use std::fmt::Write as _;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};

type Source = Box<dyn Error + Send + Sync>;

/// A failure of an outside system. It says whether a repeat may help, and holds no item, token or secret.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// It could not be done now; whether it was done all the same is not known.
    #[error("{operation} could not be done now")]
    Unavailable {
        /// The operation.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: Source,
    },
    /// It was refused: a missing permission, a wrong name, a limit. A repeat does not help.
    #[error("{operation} was refused")]
    Refused {
        /// The operation.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: Source,
    },
    /// A call lacks a part that it needs: a fault of this code. A repeat does not help.
    #[error("{operation} could not be built")]
    NotBuilt {
        /// The operation.
        operation: &'static str,
        /// The part.
        #[source]
        source: BuildError,
    },
    /// It did not end within the invocation's time; whether it was done all the same is not known.
    #[error("{operation} did not end in time")]
    OutOfTime {
        /// The operation.
        operation: &'static str,
    },
    /// A row is not as this version writes it.
    #[error("a row of the {table} table cannot be read: {attribute}")]
    Malformed {
        /// The table.
        table: &'static str,
        /// The attribute that is missing or malformed.
        attribute: &'static str,
    },
    /// Others changed the same row again and again.
    #[error("{operation} met other changes of the same row again and again")]
    Contended {
        /// The operation.
        operation: &'static str,
    },
    /// A queue did not take all messages. Those that it took are in it.
    #[error("{operation} failed: the queue did not take all messages")]
    NotQueued {
        /// The operation.
        operation: &'static str,
    },
    /// A table answered a part of a batch only, again and again: it is throttled.
    #[error("{operation} was done in part only: the table is throttled")]
    Incomplete {
        /// The operation.
        operation: &'static str,
    },
}

impl AdapterError {
    /// It could not be done now.
    pub fn unavailable(operation: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Unavailable { operation, source: Box::new(source) }
    }

    /// A call lacks a part that it needs.
    pub(crate) fn not_built(operation: &'static str) -> impl FnOnce(BuildError) -> Self {
        move |source| Self::NotBuilt { operation, source }
    }

    /// Others changed the same row again and again.
    #[must_use]
    pub fn contended(operation: &'static str) -> Self {
        Self::Contended { operation }
    }

    /// Whether a repeat may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::NotBuilt { .. } | Self::Malformed { .. })
    }

    /// Sorts an AWS call's error: a request that a service certainly refused will be refused again; any other failure
    /// may pass.
    pub fn of_call<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let refused = match &error {
            SdkError::ServiceError(service) => {
                let throttled = service.err().code().is_some_and(is_throttle);
                !throttled && service.raw().status().as_u16() < 500
            }
            SdkError::ConstructionFailure(_) => true,
            _ => false,
        };
        let source: Source = Box::new(error);
        if refused { Self::Refused { operation, source } } else { Self::Unavailable { operation, source } }
    }

    /// The same, as what an error is mapped by.
    pub(crate) fn in_call<E>(operation: &'static str) -> impl FnOnce(SdkError<E, HttpResponse>) -> Self
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        move |error| Self::of_call(operation, error)
    }

    /// The error and its causes, in one line, for the log.
    #[must_use]
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and its causes, in one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {source}");
        next = source.source();
    }
    text
}

/// The codes by which DynamoDB and SQS say "slower".
fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "ThrottledException"
            | "TransactionInProgressException"
            | "TransactionConflictException"
            | "LimitExceededException"
            | "AWS.SimpleQueueService.OverLimit"
    )
}
