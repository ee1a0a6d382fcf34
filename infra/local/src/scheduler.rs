//! EventBridge Scheduler, for schedules with a rate.
//!
//! Slots are the multiples of the rate since the Unix epoch (every 15 minutes: at :00, :15, :30, :45), so that they
//! stay the same when the stack starts again. The real service counts from the schedule's creation.
//!
//! **A moved clock.** In real time every slot is run once. When a test moves the clock over several slots, only the
//! last of them is run, at once: one event that says the latest slot's time.
//!
//! The scheduler's retries are for events that Lambda does not accept; what fails in the function is the asynchronous
//! invocation's to retry. Source: EventBridge Scheduler user guide, "Managing a schedule": context attributes, retry
//! policy and dead-letter queue.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::lambda::asynchronous::AsyncInvoker;
use crate::lambda::{InvokeError, Lambda};
use crate::queues::Queues;
use crate::template::Schedule;
use crate::{ids, moments};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// Runs one schedule.
#[derive(Clone, Debug)]
pub(crate) struct Scheduler {
    pub(crate) schedule: Schedule,
    pub(crate) lambda: Lambda,
    pub(crate) asynchronous: AsyncInvoker,
    pub(crate) queues: Queues,
}

impl Scheduler {
    /// Runs every slot after the one of `since_ms`, for ever. The start is told, so that a clock that is moved before
    /// this first runs moves it too.
    pub(crate) async fn run(self, since_ms: u64) {
        let every_ms = milliseconds(self.schedule.every).max(1);
        let clock = self.lambda.clock().clone();
        let slot = |now_ms: u64| now_ms - now_ms % every_ms;
        let mut last = slot(since_ms);
        loop {
            clock.sleep_until(last.saturating_add(every_ms)).await;
            last = slot(clock.now_ms());
            let (scheduler, slot_ms) = (self.clone(), last);
            self.lambda.spawn(async move {
                tokio::select! {
                    () = scheduler.lambda.stopping() => {}
                    () = scheduler.fire(slot_ms) => {}
                }
            });
        }
    }

    async fn fire(&self, slot_ms: u64) {
        let execution = ids::uuid();
        let clock = self.lambda.clock();
        let too_old_ms = clock.now_ms().saturating_add(milliseconds(self.schedule.max_age));
        let mut pause = FIRST_PAUSE;
        let mut attempt: u32 = 1;
        loop {
            let input = input(&self.schedule, slot_ms, &execution, attempt);
            let accepted =
                self.asynchronous.accept(&self.schedule.function, input.clone().into(), ids::uuid());
            let error = match accepted {
                Ok(()) | Err(InvokeError::Stopping) => return,
                Err(error) => error,
            };
            let exhausted = if attempt > self.schedule.retries || !is_worth_a_retry(&error) {
                Some("MaximumRetryAttempts")
            } else if clock.now_ms().saturating_add(milliseconds(pause)) >= too_old_ms {
                Some("MaximumEventAgeInSeconds")
            } else {
                None
            };
            if let Some(condition) = exhausted {
                return self.give_up(input, &execution, attempt, &error, condition).await;
            }
            clock.sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
            attempt += 1;
        }
    }

    async fn give_up(
        &self,
        input: String,
        execution: &str,
        attempt: u32,
        error: &InvokeError,
        condition: &str,
    ) {
        let name = &self.schedule.name;
        tracing::warn!(schedule = %name, %error, condition, "a scheduled event was not accepted");
        let Some(queue) = &self.schedule.dead_letter else { return };
        let attributes = [
            ("ERROR_CODE", code(error).to_owned()),
            ("ERROR_MESSAGE", error.to_string()),
            ("EXECUTION_ID", execution.to_owned()),
            ("EXHAUSTED_RETRY_CONDITION", condition.to_owned()),
            ("RETRY_ATTEMPTS", attempt.saturating_sub(1).to_string()),
            ("SCHEDULE_ARN", self.schedule.arn()),
            ("TARGET_ARN", crate::template::function_arn(&self.schedule.function)),
        ];
        if let Err(error) = self.queues.send(queue, input, &attributes).await {
            tracing::warn!(schedule = %name, %error, "a scheduled event is lost");
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn is_worth_a_retry(error: &InvokeError) -> bool {
    match error {
        InvokeError::Throttled | InvokeError::CannotStart(_) | InvokeError::Stopping => true,
        InvokeError::NotJson | InvokeError::TooLarge { .. } | InvokeError::UnknownFunction(_) => false,
    }
}

fn code(error: &InvokeError) -> &'static str {
    match error {
        InvokeError::UnknownFunction(_) => "ResourceNotFoundException",
        InvokeError::NotJson => "InvalidRequestContentException",
        InvokeError::TooLarge { .. } => "RequestTooLargeException",
        InvokeError::Throttled => "TooManyRequestsException",
        InvokeError::CannotStart(_) | InvokeError::Stopping => "ServiceException",
    }
}

/// The input with the context attributes in place, each as it stands inside a JSON text.
fn input(schedule: &Schedule, slot_ms: u64, execution: &str, attempt: u32) -> String {
    let mut text = schedule.input.clone();
    for (name, value) in [
        ("<aws.scheduler.scheduled-time>", moments::to_the_second(slot_ms)),
        ("<aws.scheduler.schedule-arn>", schedule.arn()),
        ("<aws.scheduler.execution-id>", execution.to_owned()),
        ("<aws.scheduler.attempt-number>", attempt.to_string()),
    ] {
        text = text.replace(name, &value);
    }
    text
}

/// What a schedule's function gets for a slot, for who runs one by hand: the same input as from the schedule.
pub(crate) fn payload_for(schedule: &Schedule, slot_ms: u64) -> Result<Bytes, InvokeError> {
    let text = input(schedule, slot_ms, &ids::uuid(), 1);
    serde_json::from_str::<Value>(&text).map_err(|_| InvokeError::NotJson)?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_tells_its_slot() {
        let schedule = Schedule {
            name: "carteiro-tick".into(),
            function: "F".into(),
            every: Duration::from_secs(900),
            input: r#"{"at":"<aws.scheduler.scheduled-time>","arn":"<aws.scheduler.schedule-arn>","n":<aws.scheduler.attempt-number>}"#.into(),
            retries: 0,
            max_age: Duration::from_secs(60),
            dead_letter: None,
        };
        let payload = payload_for(&schedule, 1_795_296_600_000).unwrap();
        assert_eq!(
            std::str::from_utf8(&payload).unwrap(),
            r#"{"at":"2026-11-21T21:30:00Z","arn":"arn:aws:scheduler:us-east-1:000000000000:schedule/default/carteiro-tick","n":1}"#
        );
    }
}
