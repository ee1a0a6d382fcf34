//! Functions: their environments, their ends, their limits.

use std::collections::HashSet;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use carteiro_local::InvokeError;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{fixture, functions, json, send, start, start_with, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_answers_what_the_function_answers() {
    let running = start().await;
    assert_eq!(running.ask("EchoFunction", &json!({"a": [1, 2]})).await, json!({"a": [1, 2]}));
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_is_the_platforms_time_and_the_timeout() {
    let running = start().await;
    let clock = running.stack.clock().clone();
    clock.advance(Duration::from_secs(86_400));
    let before = clock.now_ms();
    let context = running.ask("EchoFunction", &json!({"do": "context"})).await;
    let after = clock.now_ms();
    let platform_time = context["deadline_ms"].as_u64().unwrap() - 2000;
    assert!((before..=after).contains(&platform_time), "{before} {platform_time} {after}");
    assert_eq!(context["arn"], "arn:aws:lambda:us-east-1:000000000000:function:EchoFunction");
    assert_eq!(context["request_id"].as_str().unwrap().len(), 36);
    assert!(context["trace"].as_str().unwrap().starts_with("Root=1-"));
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_gets_only_the_templates_environment() {
    let running = start_with(|options| {
        options.parameters.insert("Greeting".into(), "olá".into());
    })
    .await;
    let environment = running.ask("EchoFunction", &json!({"do": "environment"})).await;
    let addresses = running.stack.addresses();
    for (name, expected) in [
        ("GREETING", "olá"),
        ("SHARED", "everywhere"),
        ("TABLE", "Table"),
        ("QUEUE_URL", &format!("{}/000000000000/WorkQueue", addresses.sqs)),
        ("AWS_ENDPOINT_URL_DYNAMODB", &addresses.dynamodb),
        ("AWS_ENDPOINT_URL_SQS", &addresses.sqs),
        ("AWS_REGION", "us-east-1"),
        ("AWS_LAMBDA_FUNCTION_NAME", "EchoFunction"),
        ("AWS_ACCESS_KEY_ID", "EchoFunction"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "EchoLogs"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("_HANDLER", "bootstrap"),
    ] {
        assert_eq!(environment[name], expected, "{name}");
    }
    for name in environment.as_object().unwrap().keys() {
        let known = name.starts_with("AWS_") || name.starts_with("LAMBDA_");
        let own =
            ["GREETING", "SHARED", "TABLE", "QUEUE_URL", "TZ", "PATH", "_HANDLER"].contains(&name.as_str());
        // The runtime itself sets the last one, from the event's header.
        assert!(known || own || name == "_X_AMZN_TRACE_ID", "{name} leaked into the function");
    }
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_environment_is_used_again() {
    let running = start().await;
    let mut pids = HashSet::new();
    for _ in 0..10 {
        pids.insert(running.ask("EchoFunction", &json!({"do": "context"})).await["pid"].as_u64());
    }
    assert_eq!(pids.len(), 1);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_runs_one_invocation_at_a_time() {
    let running = start().await;
    let slow = json!({"do": "sleep", "ms": 300});
    let (first, second, third) = tokio::join!(
        running.invoke("EchoFunction", &slow),
        running.invoke("EchoFunction", &slow),
        running.invoke("EchoFunction", &slow),
    );
    assert!(!first.function_error && !second.function_error && !third.function_error);
    let ended = running.wait_for("EchoFunction", |ended| ended.len() == 3).await;
    for pid in ended.iter().map(|line| line["pid"].as_u64()).collect::<HashSet<_>>() {
        let mut spans: Vec<_> = ended
            .iter()
            .filter(|line| line["pid"].as_u64() == pid)
            .map(|line| (line["begun"].as_u64().unwrap(), line["ended"].as_u64().unwrap()))
            .collect();
        spans.sort_unstable();
        assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
    }
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_reserved_concurrency_a_function_is_throttled() {
    let running = start().await;
    let slow = json!({"do": "sleep", "ms": 500}).to_string();
    let (first, second) = tokio::join!(
        running.stack.invoke("OneFunction", slow.clone().into()),
        running.stack.invoke("OneFunction", slow.into()),
    );
    let mut results = [first.map(|_| ()), second.map(|_| ())];
    results.sort_by_key(Result::is_err);
    assert_eq!(results, [Ok(()), Err(InvokeError::Throttled)]);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_beyond_its_timeout_is_killed_and_says_so() {
    let running = start().await;
    let before = running.ask("EchoFunction", &json!({"do": "context"})).await["pid"].clone();
    let late = running.invoke("EchoFunction", &json!({"do": "sleep", "ms": 60_000})).await;
    assert!(late.function_error);
    let error = json(&late.payload);
    let message = error["errorMessage"].as_str().unwrap();
    assert!(
        message.ends_with(&format!("Z {} Task timed out after 2.00 seconds", late.request_id)),
        "{message}"
    );
    let after = running.ask("EchoFunction", &json!({"do": "context"})).await["pid"].clone();
    assert_ne!(before, after);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_an_exit_error_and_the_next_invocation_is_well() {
    let running = start().await;
    let crashed = running.invoke("EchoFunction", &json!({"do": "exit", "code": 3})).await;
    assert!(crashed.function_error);
    let error = json(&crashed.payload);
    assert_eq!(error["errorType"], "Runtime.ExitError");
    let expected =
        format!("RequestId: {} Error: Runtime exited with error: exit status 3", crashed.request_id);
    assert_eq!(error["errorMessage"], expected);
    assert_eq!(running.ask("EchoFunction", &json!({"n": 1})).await, json!({"n": 1}));
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_and_a_panic_are_the_functions_own_errors() {
    let running = start().await;
    let failed = running.invoke("EchoFunction", &json!({"do": "error"})).await;
    assert!(failed.function_error);
    assert_eq!(json(&failed.payload)["errorMessage"], "as told");
    let panicked = running.invoke("EchoFunction", &json!({"do": "panic"})).await;
    assert!(panicked.function_error);
    assert!(json(&panicked.payload)["errorMessage"].as_str().unwrap().contains("as told"));
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_init_that_exits_fails_the_invocation() {
    let running = start().await;
    let failed = running.invoke("ExitingFunction", &json!({})).await;
    assert!(failed.function_error);
    assert_eq!(json(&failed.payload)["errorType"], "Runtime.ExitError");
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_init_longer_than_ten_seconds_fails_the_invocation() {
    let running = start().await;
    let failed = running.invoke("HangingFunction", &json!({})).await;
    assert!(failed.function_error);
    assert_eq!(json(&failed.payload)["errorMessage"], "Init timed out after 10.00 seconds");
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_beyond_the_limits_are_refused() {
    let running = start().await;
    let quoted = |bytes: usize| Bytes::from(format!("\"{}\"", "x".repeat(bytes - 2)));
    assert!(running.stack.invoke("EchoFunction", quoted(6_291_456)).await.is_ok());
    let refused = running.stack.invoke("EchoFunction", quoted(6_291_457)).await;
    assert_eq!(refused, Err(InvokeError::TooLarge { limit: 6_291_456 }));
    assert_eq!(running.stack.invoke("EchoFunction", Bytes::from("x")).await, Err(InvokeError::NotJson));
    let unknown = running.stack.invoke("Nobody", Bytes::from("{}")).await;
    assert_eq!(unknown, Err(InvokeError::UnknownFunction("Nobody".into())));
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_beyond_six_megabytes_is_an_error() {
    let running = start().await;
    let fits = running.invoke("EchoFunction", &json!({"do": "big", "bytes": 6_291_554})).await;
    assert_eq!((fits.function_error, fits.payload.len()), (false, 6_291_556));
    let refused = running.invoke("EchoFunction", &json!({"do": "big", "bytes": 6_291_555})).await;
    assert!(refused.function_error);
    assert_eq!(json(&refused.payload)["errorType"], "Function.ResponseSizeTooLarge");
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_function_fails_what_it_did_and_works_again() {
    let running = start().await;
    let slow = json!({"do": "sleep", "ms": 1500});
    let (failed, killed) = tokio::join!(running.invoke("EchoFunction", &slow), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        running.stack.kill_function("EchoFunction").await.unwrap()
    });
    assert_eq!(killed, 1);
    assert!(failed.function_error);
    assert_eq!(json(&failed.payload)["errorType"], "Runtime.ExitError");
    assert_eq!(running.ask("EchoFunction", &json!({"n": 1})).await, json!({"n": 1}));
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_the_functions_busy_ones_too() {
    let running = start().await;
    let lines = running.lines.clone();
    running.ask("OneFunction", &json!({})).await;
    let url = format!("{}/2015-03-31/functions/EchoFunction/invocations", running.stack.addresses().lambda);
    let request = http::Request::post(url)
        .header("x-amz-invocation-type", "Event")
        .body(Bytes::from(json!({"do": "sleep", "ms": 1900}).to_string()))
        .unwrap();
    assert_eq!(send(request).await.status(), 202);
    let started = |function: &str| -> Option<u32> {
        let line = lines.of(function).into_iter().next()?;
        u32::try_from(serde_json::from_str::<Value>(&line).ok()?["started"].as_u64()?).ok()
    };
    let busy = until(|| std::future::ready(started("EchoFunction"))).await;
    let idle = started("OneFunction").unwrap();
    assert!(is_alive(busy) && is_alive(idle));
    running.stack.stop().await;
    assert!(!is_alive(busy) && !is_alive(idle));
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_end_when_the_process_of_their_stack_is_killed() {
    let mut host = tokio::process::Command::new(functions().join("stack_host"))
        .arg(fixture("bundle.yaml"))
        .arg(functions())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let addresses = json(lines.next_line().await.unwrap().unwrap().as_bytes());
    let url =
        format!("{}/2015-03-31/functions/EchoFunction/invocations", addresses["lambda"].as_str().unwrap());
    let request = http::Request::post(url).body(Bytes::from(r#"{"do":"context"}"#)).unwrap();
    let pid = u32::try_from(json(send(request).await.body())["pid"].as_u64().unwrap()).unwrap();
    assert!(is_alive(pid));
    host.kill().await.unwrap();
    until(|| std::future::ready((!is_alive(pid)).then_some(()))).await;
}

/// Whether a process runs; one that ended and that nobody has waited for does not.
fn is_alive(pid: u32) -> bool {
    let listed =
        std::process::Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8_lossy(&listed.stdout);
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}
