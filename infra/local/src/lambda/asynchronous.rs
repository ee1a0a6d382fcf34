//! Asynchronous invocations: accepted at once, run when there is room, tried again, and recorded when they fail.
//!
//! Source: AWS Lambda developer guide, "How Lambda handles errors and retries with asynchronous invocation" and
//! "Capturing records of Lambda asynchronous invocations". A function error is tried again after one minute, then after
//! two; a throttle after 1 s, growing to 5 minutes; both as long as the event is not too old. Pauses are platform time.
//!
//! Events wait in memory: what waits is lost when the stack ends, where the real service keeps it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{Invocation, InvokeError, Lambda, MAX_EVENT_BYTES, check_payload};
use crate::moments;
use crate::queues::Queues;
use crate::template::Function;

/// How many events may wait or run at once.
const MAX_EVENTS: usize = 10_000;
/// The pauses after a function error, by how many there were.
const ERROR_PAUSES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];
const FIRST_THROTTLE_PAUSE: Duration = Duration::from_secs(1);
const MAX_THROTTLE_PAUSE: Duration = Duration::from_secs(300);
/// The most bytes of the error message that a dead-letter queue gets.
const MAX_ERROR_MESSAGE: usize = 1024;

/// Takes events. Clones share the room for them.
#[derive(Clone, Debug)]
pub(crate) struct AsyncInvoker {
    lambda: Lambda,
    queues: Queues,
    room: Arc<Semaphore>,
}

/// Why an event is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GivenUp {
    RetriesExhausted,
    EventAgeExceeded,
}

impl GivenUp {
    fn condition(self) -> &'static str {
        match self {
            Self::RetriesExhausted => "RetriesExhausted",
            Self::EventAgeExceeded => "EventAgeExceeded",
        }
    }
}

/// One accepted event.
#[derive(Debug)]
struct Event {
    function: Function,
    payload: Bytes,
    request_id: String,
    accepted_ms: u64,
}

impl AsyncInvoker {
    pub(crate) fn new(lambda: Lambda, queues: Queues) -> Self {
        Self { lambda, queues, room: Arc::new(Semaphore::new(MAX_EVENTS)) }
    }

    /// Accepts an event; it runs in the background.
    pub(crate) fn accept(
        &self,
        function: &str,
        payload: Bytes,
        request_id: String,
    ) -> Result<(), InvokeError> {
        let function = self.lambda.pool(function)?.function.clone();
        check_payload(&payload, MAX_EVENT_BYTES)?;
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| InvokeError::Throttled)?;
        let event = Event { function, payload, request_id, accepted_ms: self.lambda.clock().now_ms() };
        let invoker = self.clone();
        self.lambda.spawn(async move {
            tokio::select! {
                () = invoker.lambda.stopping() => {}
                () = invoker.run(&event) => {}
            }
            drop(room);
        });
        Ok(())
    }

    async fn run(&self, event: &Event) {
        let mut failed: Option<Invocation> = None;
        let mut invocations: u32 = 0;
        let mut throttle_pause = FIRST_THROTTLE_PAUSE;
        let settings = &event.function.asynchronous;
        let given_up = loop {
            let result = self
                .lambda
                .invoke_as(&event.function.name, event.payload.clone(), event.request_id.clone())
                .await;
            let pause = match result {
                Ok(invocation) if !invocation.function_error => return,
                Ok(invocation) => {
                    invocations += 1;
                    failed = Some(invocation);
                    if invocations > settings.retries {
                        break GivenUp::RetriesExhausted;
                    }
                    let index = usize::try_from(invocations - 1).unwrap_or(usize::MAX);
                    ERROR_PAUSES.get(index).copied().unwrap_or(ERROR_PAUSES[1])
                }
                Err(InvokeError::Stopping) => return,
                Err(_) => {
                    let pause = throttle_pause;
                    throttle_pause = (throttle_pause * 2).min(MAX_THROTTLE_PAUSE);
                    pause
                }
            };
            if self.pause_ends_too_late(event, pause).await {
                break GivenUp::EventAgeExceeded;
            }
        };
        self.record(event, given_up, invocations, failed.as_ref()).await;
    }

    /// Waits for the pause, or until the event is too old.
    async fn pause_ends_too_late(&self, event: &Event, pause: Duration) -> bool {
        let clock = self.lambda.clock();
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let too_old_ms = event.accepted_ms.saturating_add(ms(event.function.asynchronous.max_age));
        let ends_ms = clock.now_ms().saturating_add(ms(pause));
        clock.sleep_until(ends_ms.min(too_old_ms)).await;
        clock.now_ms() >= too_old_ms
    }

    async fn record(&self, event: &Event, why: GivenUp, invocations: u32, failed: Option<&Invocation>) {
        let settings = &event.function.asynchronous;
        if let Some(queue) = &settings.on_failure {
            let now = moments::to_the_millisecond(self.lambda.clock().now_ms());
            let record = failure_record(event, why, invocations, failed, &now).to_string();
            self.send(queue, record, &[]).await;
        }
        if let Some(queue) = &settings.dead_letter {
            let body = String::from_utf8_lossy(&event.payload).into_owned();
            let mut message =
                failed.map_or_else(|| why.condition().to_owned(), |failed| error_message(&failed.payload));
            message.truncate(message.floor_char_boundary(MAX_ERROR_MESSAGE));
            let attributes = [
                ("RequestID", event.request_id.clone()),
                ("ErrorCode", if failed.is_some() { "200" } else { "429" }.to_owned()),
                ("ErrorMessage", message),
            ];
            self.send(queue, body, &attributes).await;
        }
    }

    async fn send(&self, queue: &str, body: String, attributes: &[(&str, String)]) {
        if let Err(error) = self.queues.send(queue, body, attributes).await {
            tracing::warn!(queue, %error, "the record of a failed event is lost");
        }
    }
}

fn error_message(payload: &[u8]) -> String {
    let value: Value = serde_json::from_slice(payload).unwrap_or_default();
    value["errorMessage"].as_str().unwrap_or("unknown").to_owned()
}

/// The record that a destination gets.
fn failure_record(
    event: &Event,
    why: GivenUp,
    invocations: u32,
    failed: Option<&Invocation>,
    now: &str,
) -> Value {
    let payload: Value = serde_json::from_slice(&event.payload).unwrap_or_default();
    let mut record = json!({
        "version": "1.0",
        "timestamp": now,
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": format!("{}:$LATEST", event.function.arn()),
            "condition": why.condition(),
            "approximateInvokeCount": invocations,
        },
        "requestPayload": payload,
    });
    if let Some(failed) = failed {
        record["responseContext"] =
            json!({"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"});
        record["responsePayload"] = serde_json::from_slice(&failed.payload).unwrap_or_default();
    }
    record
}
