//! An SQS inside the local stack's process, that any AWS client can talk to.
//!
//! Standard queues, with the real service's limits, errors and rules; see [`Sqs`] for the operations, [`Sqs::serve`]
//! for the HTTP front (AWS JSON 1.0), [`Intercept`] for injected faults.
//!
//! # How it is built
//! - `broker` and `queue`: a pure state machine over time as an argument. It knows of a message where it is, how old
//!   it is and how often it was received, not its body.
//! - `store`: SQLite, in a file or in memory.
//! - `writer`: one thread that owns both, and commits many operations at once.
//! - `service`: the typed handle; `front` and `wire`: HTTP.
//!
//! # Guaranteed
//! - What was answered survives the sudden end of the process (SIGKILL), in a file. Not a power failure: the last
//!   transactions may be lost then, and the file is whole.
//! - A message is in one queue and one state until it is deleted, purged, expired or its queue deleted. Counts are
//!   exact. What is sent is received once as long as it is deleted in time: the real service may deliver twice,
//!   which a test has to inject.
//! - All time is the [`carteiro_clock::Clock`]'s: moving it makes delayed and in-flight messages due and ends long
//!   polls.
//! - On opening, what was in flight is visible, at its old place; delays keep their time.
//!
//! # Choices, where the real service leaves one
//! - `DeleteMessage` with the handle of an earlier receive than the last is answered with success and deletes nothing
//!   (its documentation: "otherwise, the request succeeds, but the message will not be deleted").
//!   `ChangeMessageVisibility` with such a handle is refused. The newest handle deletes whether or not the visibility
//!   timeout has passed.
//! - A message goes to its dead-letter queue when it would be received once too often, keeps its id, its age and its
//!   receive count there, and is available at once. A queue that is both counts its own receives for its own limit.
//!   Where the dead-letter queue is gone, the message stays and goes on being received.
//! - Queues are made, purged and deleted at once, and the 60 s in which a name is taken after a deletion, or a second
//!   purge refused, are forgotten at a restart.
//! - A `MessageGroupId` is kept and handed out, and changes no order. No signature or queue policy is checked; a hook
//!   may refuse a caller ([`Call::access_key_id`]). `AddPermission`, `RemovePermission` and the message move tasks are
//!   unknown actions.
//!
//! # Memory
//! Some hundreds of bytes a message, whatever its size: bodies and attributes are read from the store at each
//! receive. With [`Storage::Memory`] the store itself is in memory, bodies included, without a bound of its own.

mod attributes;
mod broker;
mod error;
mod front;
mod intercept;
mod message;
mod move_task;
mod queue;
mod receipt;
mod service;
mod store;
mod wire;
mod writer;

#[cfg(test)]
mod broker_properties;
#[cfg(test)]
mod broker_tests;

pub use attributes::{
    ACCOUNT_ID, MAX_VISIBILITY_SECONDS, QueueAttributes, RedriveAllowPolicy, RedrivePolicy,
};
pub use broker::{QueueDescription, QueuePage};
pub use error::SqsError;
pub use intercept::{Call, Fate, Fault, Intercept, NoFaults, Verdict, access_key_id};
pub use message::{
    AttributeData, Contents, DamagedAttributes, MAX_ATTRIBUTES, MAX_DELAY_SECONDS, MAX_MESSAGE_BYTES,
    MessageAttribute, MessageAttributes, ReceiveRequest, ReceivedMessage, SendMessage, SentMessage,
};
pub use queue::{Counts, MAX_IN_FLIGHT};
pub use service::{BatchEntry, BatchResults, OpenError, Sqs};
pub use store::{Storage, StoreError};
