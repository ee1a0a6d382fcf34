//! What the bundle is made of, as the template says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::parameters::{ACCOUNT, REGION};
use super::policy::{Access, Grant, Policy};

/// The whole bundle.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// The functions, by logical id.
    pub functions: BTreeMap<String, Function>,
    /// The HTTP API's routes.
    pub routes: Vec<Route>,
    /// Which queue wakes which function.
    pub queue_mappings: Vec<QueueMapping>,
    /// Which schedule wakes which function.
    pub schedules: Vec<Schedule>,
    /// The queues, by logical id, which is also their name.
    pub queues: BTreeMap<String, Queue>,
    /// The tables, by logical id, which is also their name.
    pub tables: BTreeMap<String, Table>,
    /// The template's outputs.
    pub outputs: BTreeMap<String, String>,
    /// The names of the log groups.
    pub(crate) log_groups: BTreeSet<String>,
    /// The routes with throttling of their own, such as `POST /push/x`.
    pub(crate) throttled: Vec<String>,
    /// What watches the bundle, by logical id: alarms, their topics, dashboards, metric filters and saved queries.
    /// Nothing here does what they say; tests do.
    pub watching: BTreeMap<String, Watching>,
}

impl Template {
    /// All grants of the functions' policies: each action on each resource by itself.
    #[must_use]
    pub fn grants(&self) -> BTreeSet<Grant> {
        self.functions.values().flat_map(|function| function.policy.grants(&function.name)).collect()
    }
}

/// A resource that watches the bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct Watching {
    /// Its type, such as `AWS::CloudWatch::Alarm`.
    pub kind: String,
    /// Its properties, evaluated.
    pub properties: Value,
}

/// A Lambda function.
#[derive(Clone, Debug)]
pub struct Function {
    /// The logical id, which is also the function's name.
    pub name: String,
    /// The name of the binary that it runs.
    pub binary: String,
    /// What `_HANDLER` says.
    pub handler: String,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// The size that the template gives, in MB. Nothing enforces it here; the function is told.
    pub memory_mb: u32,
    /// The template's environment variables.
    pub environment: BTreeMap<String, String>,
    /// `JSON` or `Text`.
    pub log_format: String,
    /// The application's log level, if the template sets one.
    pub log_level: Option<String>,
    /// The name of its log group.
    pub log_group: String,
    /// How many invocations may run at once, if the template reserves a number.
    pub reserved_concurrency: Option<usize>,
    /// What becomes of asynchronous invocations that fail.
    pub asynchronous: Asynchronous,
    /// The ARN of the role that the template gives it, if SAM does not make one.
    pub(crate) role: Option<String>,
    /// What it may call.
    pub(crate) policy: Policy,
    /// The ARN of the key that encrypts its environment variables, if the template names one.
    pub(crate) environment_key: Option<String>,
    /// The accesses that services make in its name, which its role must allow.
    pub(crate) needs: Vec<Need>,
}

impl Function {
    /// The function's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        function_arn(&self.name)
    }
}

/// An access that a service makes in a function's name.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    /// The access.
    pub(crate) access: Access,
    /// The name of its resource, and its purpose.
    pub(crate) why: String,
}

/// `EventInvokeConfig` and `DeadLetterQueue` of a function.
#[derive(Clone, Debug)]
pub struct Asynchronous {
    /// How often a failed event is tried again: 0 to 2.
    pub retries: u32,
    /// How old an event may become.
    pub max_age: Duration,
    /// The queue that gets the record of an event that failed for good.
    pub on_failure: Option<String>,
    /// The queue that gets the event itself when it failed for good.
    pub dead_letter: Option<String>,
}

impl Default for Asynchronous {
    /// The service's defaults: two retries, six hours.
    fn default() -> Self {
        Self { retries: 2, max_age: Duration::from_secs(21_600), on_failure: None, dead_letter: None }
    }
}

/// A route of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method, or nothing for any.
    pub method: Option<String>,
    /// The path as the template writes it, or `$default`.
    pub path: String,
    /// The function it wakes.
    pub function: String,
    /// How long the integration may take.
    pub timeout: Duration,
}

/// An SQS event source mapping.
#[derive(Clone, Debug)]
pub struct QueueMapping {
    /// The queue's name.
    pub queue: String,
    /// The function it wakes.
    pub function: String,
    /// The most messages of one batch.
    pub batch_size: usize,
    /// How long a batch may wait to fill.
    pub window: Duration,
    /// The most invocations at once, if the template bounds them.
    pub maximum_concurrency: Option<usize>,
    /// Whether the function answers which messages of a batch failed.
    pub report_item_failures: bool,
}

/// A schedule of EventBridge Scheduler.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// The function it wakes.
    pub function: String,
    /// The time between two of its slots.
    pub every: Duration,
    /// The input, with the scheduler's context attributes still in it.
    pub input: String,
    /// How often an invocation that was not accepted is tried again.
    pub retries: u32,
    /// How old such an invocation may become.
    pub max_age: Duration,
    /// The queue for invocations that were never accepted.
    pub dead_letter: Option<String>,
}

impl Schedule {
    /// The schedule's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/{}", self.name)
    }
}

/// A queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// The attributes that the template sets, by the names of SQS's `SetQueueAttributes`.
    pub attributes: BTreeMap<String, String>,
    /// How long a received message stays invisible.
    pub visibility: Duration,
    /// The ARNs of the queues that may send their dead messages here, where not every queue may.
    pub(crate) redrive_from: Option<Vec<String>>,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The `CreateTable` request that makes it.
    pub create: Value,
    /// The attribute that holds an item's time to live.
    pub time_to_live: Option<String>,
    /// The ARN of the key that encrypts it, if the template names one.
    pub(crate) key: Option<String>,
}

/// The ARN of a log group, as `GetAtt` answers it.
pub(crate) fn log_group_arn(name: &str) -> String {
    format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*")
}

/// The ARN of a function.
pub(crate) fn function_arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}

/// The ARN of a queue.
pub(crate) fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

/// The ARN of a role.
pub(crate) fn role_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// The ARN of a table.
pub(crate) fn table_arn(name: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}")
}

/// The URL of a queue on the SQS that listens at `base`.
pub(crate) fn queue_url(base: &str, name: &str) -> String {
    format!("{base}/{ACCOUNT}/{name}")
}
