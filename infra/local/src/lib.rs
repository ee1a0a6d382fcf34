//! The local stack: the whole bundle on one machine, wired as the template says.
//!
//! [`Stack::start`] reads the template and runs what it describes: the real function binaries, each behind a Lambda
//! Runtime API (`lambda`), the HTTP API (`http_api`), queue mappings (`event_source`), schedules (`scheduler`),
//! an embedded DynamoDB (`dynamodb`) and an embedded SQS (the crate `carteiro-sqs`), all on the loopback interface
//! and on one clock that a test can move.
//!
//! Tests reach into it: `disturbance` hands batches out twice, loses answers and shapes copies, `meter` and `usage`
//! count calls and invocations, `log_sink` keeps what the functions log. `invoke_api` is Lambda's `Invoke`,
//! `function_build` builds the binaries.
//!
//! **Guaranteed:** what the template has and this does not understand is an error, never ignored ([`template`] lists
//! what means nothing here); functions may call of tables and queues what the template allows them (`permissions`), and
//! see nothing of this process's environment; when the stack stops, its functions have ended; when it dies, they end at
//! their next use of the Runtime API, and idle ones at once.
//!
//! **Not guaranteed:** asynchronous invocations that wait are lost with the process; nothing is throttled by rate. Real
//! time, not the movable clock, bounds a function's timeout, its init, and the HTTP API's wait for it.

mod disturbance;
mod dynamodb;
mod dynamodb_server;
mod event_source;
pub mod function_build;
mod http_api;
mod http_server;
mod ids;
mod invoke_api;
mod lambda;
mod log_sink;
mod meter;
mod moments;
mod permissions;
mod queues;
mod scheduler;
mod stack;
pub mod template;
mod usage;

pub use carteiro_sqs::{Call as SqsCall, Fate, Fault, Intercept as InterceptSqs, Verdict};
pub use disturbance::{Batch, BatchFate, CopyShape, ShapeCopies, WatchBatches};
pub use dynamodb::{DynamodbCall, DynamodbError, Expiry, InterceptDynamodb};
pub use lambda::{Invocation, InvokeError};
pub use log_sink::{LogLines, LogSink};
pub use meter::{BILLED_CHUNK_BYTES, Calls, Metered};
pub use permissions::RefusedCall;
pub use stack::{Addresses, Data, Ports, Stack, StackError, StackOptions};
pub use template::{Grant, Template, TemplateError};
pub use usage::{FunctionUsage, StackUsage};
