//! A function for the stack's tests: it does what its event says.
//!
//! An instruction is a JSON object: `{"do": "sleep", "ms": 50}` and so on, see [`obey`]. A direct invocation is one;
//! an HTTP request carries one in the query parameter `do`, and is echoed without; of a batch each message's body is
//! one.

use std::io::Write;
use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    match variable("INIT").as_deref() {
        Some("exit") => std::process::exit(7),
        Some("hang") => std::future::pending().await,
        _ => {}
    }
    log(&json!({"started": std::process::id()}));
    lambda_runtime::run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (payload, context) = event.into_parts();
    let begun = now_ms();
    let answer = if let Some(records) = payload["Records"].as_array() {
        batch(records).await
    } else if payload["version"] == "2.0" {
        match payload["queryStringParameters"]["do"].as_str() {
            Some(instruction) => obey(&serde_json::from_str(instruction)?, &context).await,
            None => Ok(json!({
                "statusCode": 200,
                "headers": {"content-type": "application/json"},
                "body": payload.to_string(),
            })),
        }
    } else {
        obey(&payload, &context).await
    };
    let bytes = payload.to_string().len();
    let event = if bytes > 100_000 { without_long_texts(payload) } else { payload };
    log(
        &json!({"pid": std::process::id(), "begun": begun, "ended": now_ms(), "bytes": bytes, "event": event}),
    );
    answer
}

/// Fails the messages whose body says `{"do": "fail"}`; obeys the others. A message's `answer` is the whole answer.
async fn batch(records: &[Value]) -> Result<Value, Error> {
    let mut failures = Vec::new();
    let mut answer = None;
    for record in records {
        let body: Value =
            serde_json::from_str(record["body"].as_str().unwrap_or_default()).unwrap_or_default();
        if body["do"] == "fail" {
            failures.push(json!({"itemIdentifier": record["messageId"]}));
        } else {
            obey(&body, &lambda_runtime::Context::default()).await?;
        }
        if let Some(whole) = body.get("answer") {
            answer = Some(whole.clone());
        }
    }
    Ok(answer.unwrap_or_else(|| json!({"batchItemFailures": failures})))
}

async fn obey(instruction: &Value, context: &lambda_runtime::Context) -> Result<Value, Error> {
    let number = |name: &str| instruction[name].as_u64().unwrap_or_default();
    match instruction["do"].as_str() {
        Some("sleep") => tokio::time::sleep(Duration::from_millis(number("ms"))).await,
        Some("panic") => panic!("as told"),
        Some("exit") => std::process::exit(i32::try_from(number("code")).unwrap_or(1)),
        Some("error") => return Err("as told".into()),
        Some("big") => return Ok(Value::String("x".repeat(usize::try_from(number("bytes")).unwrap_or(0)))),
        Some("environment") => return Ok(environment()),
        Some("answer") => return Ok(instruction["value"].clone()),
        Some("context") => {
            return Ok(json!({
                "request_id": context.request_id,
                "deadline_ms": context.deadline,
                "arn": context.invoked_function_arn,
                "trace": context.xray_trace_id,
                "pid": std::process::id(),
            }));
        }
        _ => {}
    }
    Ok(instruction.clone())
}

/// A line of the log has its limit.
fn without_long_texts(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() > 1000 => json!("…"),
        Value::Array(items) => items.into_iter().map(without_long_texts).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(name, value)| (name, without_long_texts(value))).collect()
        }
        other => other,
    }
}

fn log(line: &Value) {
    // One write, so that lines of one process never mix.
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}

#[expect(clippy::disallowed_methods, reason = "the tests tell it how to start")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::disallowed_methods, reason = "the tests look at what a function is given")]
fn environment() -> Value {
    std::env::vars().collect()
}

#[expect(clippy::disallowed_methods, reason = "the tests look at which invocations overlap")]
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
