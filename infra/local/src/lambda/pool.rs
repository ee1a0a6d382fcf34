//! The environments of one function.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::environment::{Environment, Ran, Work};
use super::{Invocation, InvokeError, Platform, Signal};
use crate::template::Function;

/// How many invocations of a function run at once, unless it reserves a number or its queues may ask for more. The real
/// service's limit is the account's (1,000 to begin with); a machine has room for fewer processes.
const DEFAULT_CONCURRENCY: usize = 50;

/// How long an environment is kept idle.
const IDLE_LIMIT: Duration = Duration::from_secs(300);

/// How many environments may be found dead before an invocation gives up.
const MAX_DEAD: usize = 3;

#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) function: Function,
    permits: Arc<Semaphore>,
    limit: usize,
    /// The most recently used is last.
    idle: Mutex<Vec<(Environment, Instant)>>,
    signal: watch::Sender<Signal>,
}

impl Pool {
    /// `wanted` is how many invocations its queues may ask for at once.
    pub(crate) fn new(function: Function, wanted: usize) -> Self {
        let limit = function.reserved_concurrency.unwrap_or(DEFAULT_CONCURRENCY.max(wanted));
        Self {
            function,
            permits: Arc::new(Semaphore::new(limit)),
            limit,
            idle: Mutex::default(),
            signal: watch::Sender::default(),
        }
    }

    /// The right to run one invocation.
    pub(crate) fn permit(&self) -> Result<OwnedSemaphorePermit, InvokeError> {
        if self.signal.borrow().stopping {
            return Err(InvokeError::Stopping);
        }
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| InvokeError::Throttled)
    }

    /// Runs one piece of work in an environment that is idle, or in a new one. There are never more environments than
    /// permits: one is started only when none is idle.
    pub(crate) async fn run(&self, work: &Work, platform: &Platform) -> Result<Invocation, InvokeError> {
        let mut signal = self.signal.subscribe();
        for _ in 0..=MAX_DEAD {
            if signal.borrow_and_update().stopping {
                return Err(InvokeError::Stopping);
            }
            let mut environment = match self.take_idle() {
                Some(environment) => environment,
                None => Environment::start(&self.function, platform)
                    .await
                    .map_err(|error| InvokeError::CannotStart(error.to_string()))?,
            };
            match environment.run(work, &self.function, platform, &mut signal).await {
                Ran::Kept(invocation) => {
                    self.idle().push((environment, Instant::now()));
                    return Ok(invocation);
                }
                Ran::Spent(invocation) => {
                    environment.end().await;
                    return Ok(invocation);
                }
                Ran::NotTaken => environment.end().await,
            }
        }
        Err(InvokeError::CannotStart("its environments end before they take an event".to_owned()))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Environment, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<Environment> {
        self.idle().pop().map(|(environment, _)| environment)
    }

    /// The processes of the environments that are idle now.
    pub(crate) fn idle_processes(&self) -> Vec<u32> {
        self.idle().iter().filter_map(|(environment, _)| environment.process()).collect()
    }

    /// Ends the environments that were idle too long, or that ended by themselves.
    pub(crate) async fn end_idle(&self) {
        let mut ended = Vec::new();
        {
            let mut idle = self.idle();
            for (mut environment, since) in std::mem::take(&mut *idle) {
                if since.elapsed() < IDLE_LIMIT && environment.is_alive() {
                    idle.push((environment, since));
                } else {
                    ended.push(environment);
                }
            }
        }
        for environment in ended {
            environment.end().await;
        }
    }

    async fn end_all_idle(&self) -> usize {
        let idle = std::mem::take(&mut *self.idle());
        let count = idle.len();
        for (environment, _) in idle {
            environment.end().await;
        }
        count
    }

    /// Kills every environment; those that are busy end on their own tasks.
    pub(crate) async fn kill(&self) -> usize {
        let busy = self.limit.saturating_sub(self.permits.available_permits());
        self.signal.send_modify(|signal| signal.kills += 1);
        busy + self.end_all_idle().await
    }

    /// No environment is started from now on, and all that exist end.
    pub(crate) async fn stop(&self) {
        self.signal.send_modify(|signal| signal.stopping = true);
        self.end_all_idle().await;
    }
}
