//! Lambda's API over HTTP.

use bytes::Bytes;
use http::{Request, Response};
use serde_json::json;

use crate::support::{Running, get, json, send, start};

async fn invoke(running: &Running, function: &str, kind: &str, payload: impl Into<Bytes>) -> Response<Bytes> {
    let url = format!("{}/2015-03-31/functions/{function}/invocations", running.stack.addresses().lambda);
    send(Request::post(url).header("x-amz-invocation-type", kind).body(payload.into()).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_invocation_answers_the_functions_answer() {
    let running = start().await;
    let arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3AEchoFunction";
    for function in ["EchoFunction", arn] {
        let response = invoke(&running, function, "RequestResponse", r#"{"a":1}"#).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-amz-executed-version"], "$LATEST");
        assert!(!response.headers().contains_key("x-amz-function-error"));
        assert_eq!(json(response.body()), json!({"a": 1}));
    }
    let empty = invoke(&running, "EchoFunction", "RequestResponse", "").await;
    assert_eq!(json(empty.body()), json!({}));
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_error_is_marked_unhandled() {
    let running = start().await;
    let response = invoke(&running, "EchoFunction", "RequestResponse", r#"{"do":"error"}"#).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-amz-function-error"], "Unhandled");
    assert_eq!(json(response.body())["errorMessage"], "as told");
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_accepted_and_runs() {
    let running = start().await;
    let response = invoke(&running, "EchoFunction", "Event", r#"{"a":1}"#).await;
    assert_eq!((response.status().as_u16(), response.body().len()), (202, 0));
    running.wait_for("EchoFunction", |ended| ended.iter().any(|line| line["event"] == json!({"a": 1}))).await;
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_has_the_services_error() {
    let running = start().await;
    let large = format!("\"{}\"", "x".repeat(1_048_576));
    for (function, kind, payload, status, error) in [
        ("Nobody", "RequestResponse", "{}", 404, "ResourceNotFoundException"),
        ("Nobody", "Event", "{}", 404, "ResourceNotFoundException"),
        ("Nobody", "DryRun", "{}", 404, "ResourceNotFoundException"),
        ("EchoFunction", "RequestResponse", "x", 400, "InvalidRequestContentException"),
        ("EchoFunction", "Event", "x", 400, "InvalidRequestContentException"),
        ("EchoFunction", "Event", large.as_str(), 413, "RequestTooLargeException"),
        ("EchoFunction", "Nonsense", "{}", 400, "InvalidParameterValueException"),
    ] {
        let response = invoke(&running, function, kind, payload.to_owned()).await;
        assert_eq!(response.status(), status, "{function} {kind}");
        assert_eq!(response.headers()["x-amzn-errortype"], error, "{function} {kind}");
    }
    assert_eq!(invoke(&running, "EchoFunction", "DryRun", "{}").await.status(), 204);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_listed_and_described() {
    let running = start().await;
    let base = format!("{}/2015-03-31/functions", running.stack.addresses().lambda);
    let list = json(get(format!("{base}/")).await.body());
    let names: Vec<_> =
        list["Functions"].as_array().unwrap().iter().map(|f| f["FunctionName"].clone()).collect();
    assert!(names.contains(&json!("EchoFunction")) && names.contains(&json!("WorkFunction")));
    let one = json(get(format!("{base}/EchoFunction")).await.body());
    assert_eq!(one["Configuration"]["Timeout"], 2);
    running.stack.stop().await;
}
