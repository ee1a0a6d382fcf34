//! What an operation can be refused with: the service's own errors, by their own names.
//!
//! Names and codes are those of the service's public API model (`sqs-2012-11-05`, protocol AWS JSON 1.0, compatible
//! with the older query protocol, whose codes travel in the header `x-amzn-query-error`).

/// A refused operation. The text of each is what the service says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqsError {
    /// No queue of that name.
    #[error("The specified queue does not exist.")]
    QueueDoesNotExist,
    /// A queue of that name exists with another value of the named attribute.
    #[error("A queue already exists with the same name and a different value for attribute {0}")]
    QueueNameExists(String),
    /// A queue of that name was deleted less than 60 s ago.
    #[error(
        "You must wait 60 seconds after deleting a queue before you can create another with the same name."
    )]
    QueueDeletedRecently,
    /// The queue was purged less than 60 s ago.
    #[error("Only one PurgeQueue operation on {0} is allowed every 60 seconds.")]
    PurgeQueueInProgress(String),
    /// No attribute of that name (or none that a standard queue has).
    #[error("Unknown Attribute {0}.")]
    InvalidAttributeName(String),
    /// A queue attribute's value is out of its range or form.
    #[error("Invalid value for the parameter {name}.{}", reason_clause(.reason))]
    InvalidAttributeValue {
        /// The attribute.
        name: String,
        /// What is wrong with it, if more is to be said.
        reason: String,
    },
    /// A parameter is out of its range or form; the text says which.
    #[error("{0}")]
    InvalidParameterValue(String),
    /// A required parameter is missing or empty.
    #[error("The request must contain the parameter {0}.")]
    MissingParameter(String),
    /// The body, or a text attribute, has a character that the service does not take.
    #[error(
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
    )]
    InvalidMessageContents,
    /// The receipt handle was never given out for this queue.
    #[error("The input receipt handle \"{0}\" is not a valid receipt handle.")]
    ReceiptHandleIsInvalid(String),
    /// The message's visibility cannot be changed, because it is visible.
    #[error("The specified message isn't in flight.")]
    MessageNotInflight,
    /// 120,000 messages are in flight.
    #[error("Too many messages in flight: a standard queue may have 120000.")]
    OverLimit,
    /// A batch of nothing.
    #[error("There should be at least one {0}RequestEntry in the request.")]
    EmptyBatchRequest(&'static str),
    /// A batch of more than ten.
    #[error("Maximum number of entries per request are 10. You have sent {0}.")]
    TooManyEntriesInBatchRequest(usize),
    /// Two entries of a batch with one id.
    #[error("Id {0} repeated.")]
    BatchEntryIdsNotDistinct(String),
    /// An entry's id has a wrong form.
    #[error(
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."
    )]
    InvalidBatchEntryId,
    /// The messages of a batch, together, pass 1 MiB.
    #[error("Batch requests cannot be longer than 1048576 bytes. You have sent {0} bytes.")]
    BatchRequestTooLong(usize),
    /// What only another kind of queue or service can do.
    #[error("{0}")]
    UnsupportedOperation(String),
    /// The queue URL has no queue in it.
    #[error("The address {0} is not valid for this endpoint.")]
    InvalidAddress(String),
    /// The store failed or was closed; whether the operation had an effect is unknown.
    #[error("The service is unavailable: {0}")]
    Unavailable(String),
}

fn reason_clause(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" Reason: {reason}") }
}

/// How an error is called on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WireName {
    /// The full shape name, for `__type`.
    pub(crate) shape: &'static str,
    /// The code of the query protocol.
    pub(crate) code: &'static str,
}

impl SqsError {
    pub(crate) fn invalid_parameter(value: impl std::fmt::Display, name: &str, reason: &str) -> Self {
        Self::InvalidParameterValue(format!(
            "Value {value} for parameter {name} is invalid. Reason: {reason}"
        ))
    }

    pub(crate) fn invalid_attribute(name: &str, reason: impl Into<String>) -> Self {
        Self::InvalidAttributeValue { name: name.to_owned(), reason: reason.into() }
    }

    /// The code by which a client tells errors apart, as in the API reference; the same one in a batch's failed
    /// entries.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.wire_name().code
    }

    /// Whether the caller is at fault (and a repeat would fail too).
    #[must_use]
    pub fn is_sender_fault(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }

    pub(crate) fn wire_name(&self) -> WireName {
        let (shape, code) = match self {
            Self::QueueDoesNotExist => {
                ("com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")
            }
            Self::QueueNameExists(_) => ("com.amazonaws.sqs#QueueNameExists", "QueueAlreadyExists"),
            Self::QueueDeletedRecently => {
                ("com.amazonaws.sqs#QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently")
            }
            Self::PurgeQueueInProgress(_) => {
                ("com.amazonaws.sqs#PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress")
            }
            Self::InvalidAttributeName(_) => {
                ("com.amazonaws.sqs#InvalidAttributeName", "InvalidAttributeName")
            }
            Self::InvalidAttributeValue { .. } => {
                ("com.amazonaws.sqs#InvalidAttributeValue", "InvalidAttributeValue")
            }
            Self::InvalidParameterValue(_) => {
                ("com.amazon.coral.service#InvalidParameterValueException", "InvalidParameterValue")
            }
            Self::MissingParameter(_) => {
                ("com.amazon.coral.service#MissingRequiredParameterException", "MissingParameter")
            }
            Self::InvalidMessageContents => {
                ("com.amazonaws.sqs#InvalidMessageContents", "InvalidMessageContents")
            }
            Self::ReceiptHandleIsInvalid(_) => {
                ("com.amazonaws.sqs#ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid")
            }
            Self::MessageNotInflight => {
                ("com.amazonaws.sqs#MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight")
            }
            Self::OverLimit => ("com.amazonaws.sqs#OverLimit", "OverLimit"),
            Self::UnsupportedOperation(_) => {
                ("com.amazonaws.sqs#UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation")
            }
            Self::InvalidAddress(_) => ("com.amazonaws.sqs#InvalidAddress", "InvalidAddress"),
            Self::Unavailable(_) => ("com.amazon.coral.service#InternalFailure", "InternalFailure"),
            batch => return batch.batch_wire_name(),
        };
        WireName { shape, code }
    }

    fn batch_wire_name(&self) -> WireName {
        let (shape, code) = match self {
            Self::EmptyBatchRequest(_) => {
                ("com.amazonaws.sqs#EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest")
            }
            Self::TooManyEntriesInBatchRequest(_) => (
                "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            ),
            Self::BatchEntryIdsNotDistinct(_) => (
                "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
                "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            ),
            Self::BatchRequestTooLong(_) => {
                ("com.amazonaws.sqs#BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong")
            }
            _ => ("com.amazonaws.sqs#InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId"),
        };
        WireName { shape, code }
    }
}
