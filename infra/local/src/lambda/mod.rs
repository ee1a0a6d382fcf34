//! Lambda: functions as processes of their real binaries, started when they are needed.
//!
//! Synchronous invocations are here, asynchronous ones in [`asynchronous`]. An invocation runs to its end even if its
//! caller goes away. An environment that is free is used again, the most recently used first; otherwise one is started,
//! up to the function's limit, beyond which the invocation is throttled.
//!
//! Not kept, against the real service: memory is not limited, nothing freezes between invocations, and there is no
//! burst rate on starting environments.

pub(crate) mod asynchronous;
mod environment;
mod pool;
mod runtime_api;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use carteiro_clock::Clock;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::disturbance::Disturbances;
use crate::log_sink::OpenSink;
use crate::template::{Function, Template};
use crate::usage::Usage;
use environment::Work;
use pool::Pool;

/// The most bytes of a synchronous event: 6 MB (Lambda developer guide, "Lambda quotas").
pub(crate) const MAX_REQUEST_BYTES: usize = 6_291_456;

/// The most bytes of an asynchronous event: 1 MB (the same page).
pub(crate) const MAX_EVENT_BYTES: usize = 1_048_576;

/// The pause between two looks for environments that were idle too long.
const SWEEP: Duration = Duration::from_secs(30);

/// What every environment is told.
#[derive(Clone, Debug)]
pub(crate) struct Platform {
    pub(crate) clock: Clock,
    /// The folder of the binaries.
    pub(crate) functions: PathBuf,
    pub(crate) logs: OpenSink,
    pub(crate) disturbances: Disturbances,
    /// Base URLs.
    pub(crate) dynamodb: String,
    pub(crate) sqs: String,
}

/// How a synchronous invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The request id that the function saw.
    pub request_id: String,
    /// Whether the payload is an error (`FunctionError: Unhandled`): the function's own, a crash or a timeout.
    pub function_error: bool,
    /// What the function answered, or its error as JSON.
    pub payload: Bytes,
}

impl Invocation {
    fn succeeded(work: &Work, payload: Bytes) -> Self {
        Self { request_id: work.request_id.clone(), function_error: false, payload }
    }

    fn failed(work: &Work, payload: Bytes) -> Self {
        Self { request_id: work.request_id.clone(), function_error: true, payload }
    }
}

/// Why an invocation did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// There is no such function.
    #[error("there is no function {0}")]
    UnknownFunction(String),
    /// The payload is not JSON.
    #[error("the payload is not JSON")]
    NotJson,
    /// The payload is too large.
    #[error("the payload is larger than {limit} bytes")]
    TooLarge {
        /// The most that is taken.
        limit: usize,
    },
    /// As many invocations run as may, or (asynchronously) wait.
    #[error("throttled")]
    Throttled,
    /// The binary could not be started.
    #[error("cannot start the function: {0}")]
    CannotStart(String),
    /// The stack is stopping.
    #[error("the stack is stopping")]
    Stopping,
}

/// What running environments are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signal {
    /// How often all environments of the function were killed.
    kills: u64,
    stopping: bool,
}

/// All functions. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Lambda {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pools: BTreeMap<String, Arc<Pool>>,
    platform: Platform,
    usage: Arc<Usage>,
    tasks: Mutex<Option<JoinSet<()>>>,
    stopping: watch::Sender<bool>,
}

impl Lambda {
    /// The template's functions.
    pub(crate) fn new(template: &Template, platform: Platform) -> Self {
        let wanted = |name: &str| {
            let mappings = template.queue_mappings.iter().filter(|mapping| mapping.function == name);
            mappings.filter_map(|mapping| mapping.maximum_concurrency).sum()
        };
        let pools = template
            .functions
            .values()
            .map(|function| {
                (function.name.clone(), Arc::new(Pool::new(function.clone(), wanted(&function.name))))
            })
            .collect();
        let inner = Inner {
            pools,
            platform,
            usage: Arc::default(),
            tasks: Mutex::new(Some(JoinSet::new())),
            stopping: watch::Sender::new(false),
        };
        let lambda = Self { inner: Arc::new(inner) };
        let sweeper = lambda.clone();
        lambda.spawn(async move { sweeper.sweep().await });
        lambda
    }

    /// The functions, by name.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &Function> {
        self.inner.pools.values().map(|pool| &pool.function)
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.inner.platform.clock
    }

    /// What may go wrong with batches and copies.
    pub(crate) fn disturbances(&self) -> &Disturbances {
        &self.inner.platform.disturbances
    }

    /// Where invocations and answers are counted.
    pub(crate) fn usage(&self) -> &Usage {
        &self.inner.usage
    }

    fn pool(&self, function: &str) -> Result<&Arc<Pool>, InvokeError> {
        self.inner.pools.get(function).ok_or_else(|| InvokeError::UnknownFunction(function.to_owned()))
    }

    /// Runs a task that [`Lambda::stop`] waits for. Nothing is run any more once the stack stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tasks) = tasks.as_mut() {
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
    }

    /// Returns when the stack stops.
    pub(crate) async fn stopping(&self) {
        let mut stopping = self.inner.stopping.subscribe();
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Invokes a function and waits for its answer.
    pub(crate) async fn invoke(&self, function: &str, payload: Bytes) -> Result<Invocation, InvokeError> {
        self.invoke_as(function, payload, crate::ids::uuid()).await
    }

    async fn invoke_as(
        &self,
        function: &str,
        payload: Bytes,
        request_id: String,
    ) -> Result<Invocation, InvokeError> {
        let pool = Arc::clone(self.pool(function)?);
        check_payload(&payload, MAX_REQUEST_BYTES)?;
        let permit = match pool.permit() {
            Ok(permit) => permit,
            Err(refused) => {
                let refused = Err(refused);
                self.usage().count_invocation(function, &refused);
                return refused;
            }
        };
        let trace_id = crate::ids::trace_id(self.clock().now_ms());
        let work = Work { request_id, trace_id, payload };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (platform, usage) = (self.inner.platform.clone(), Arc::clone(&self.inner.usage));
        // Its own task, because an invocation goes on when its caller goes away.
        self.spawn(async move {
            let result = pool.run(&work, &platform).await;
            usage.count_invocation(&pool.function.name, &result);
            drop(permit);
            let _ = sender.send(result);
        });
        receiver.await.unwrap_or(Err(InvokeError::Stopping))
    }

    /// Kills every environment of a function, busy or idle. Answers how many there were.
    pub(crate) async fn kill(&self, function: &str) -> Result<usize, InvokeError> {
        Ok(self.pool(function)?.kill().await)
    }

    /// The processes of a function's environments that are idle now.
    pub(crate) fn idle_processes(&self, function: &str) -> Result<Vec<u32>, InvokeError> {
        Ok(self.pool(function)?.idle_processes())
    }

    async fn sweep(&self) {
        loop {
            tokio::select! {
                () = self.stopping() => return,
                () = tokio::time::sleep(SWEEP) => {}
            }
            for pool in self.inner.pools.values() {
                pool.end_idle().await;
            }
        }
    }

    /// Ends every environment and waits until all are gone.
    pub(crate) async fn stop(&self) {
        self.inner.stopping.send_replace(true);
        let tasks = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        for pool in self.inner.pools.values() {
            pool.stop().await;
        }
        if let Some(mut tasks) = tasks {
            while tasks.join_next().await.is_some() {}
        }
        // An invocation that ended in the meantime may have put its environment back.
        for pool in self.inner.pools.values() {
            pool.stop().await;
        }
    }
}

/// Lambda takes JSON only.
fn check_payload(payload: &[u8], limit: usize) -> Result<(), InvokeError> {
    if payload.len() > limit {
        return Err(InvokeError::TooLarge { limit });
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(payload) {
        Ok(_) => Ok(()),
        Err(_) => Err(InvokeError::NotJson),
    }
}
