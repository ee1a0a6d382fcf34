//! The HTTP API in front of a function. The event's and the response's forms have unit tests beside their code.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::support::{get, json, send, start, told};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_becomes_an_event_of_format_2() {
    let running = start().await;
    let api = &running.stack.addresses().api;
    let request = Request::post(format!("{api}/echo?x=1"))
        .header("content-type", "application/json")
        .header("X-Custom", "yes")
        .body(Bytes::from(r#"{"a": 1}"#))
        .unwrap();
    let response = send(request).await;
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("apigw-requestid"));
    let event = json(response.body());
    assert_eq!(event["routeKey"], "POST /echo");
    assert_eq!(event["body"], r#"{"a": 1}"#);
    assert_eq!(event["isBase64Encoded"], false);
    assert_eq!(event["headers"]["x-custom"], "yes");
    assert_eq!(event["requestContext"]["http"]["sourceIp"], "127.0.0.1");
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_text_type_arrives_base64_encoded() {
    let running = start().await;
    let request = Request::post(format!("{}/echo", running.stack.addresses().api))
        .body(Bytes::from_static(&[0xff, 0]))
        .unwrap();
    let event = json(send(request).await.body());
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("/wA="), &json!(true)));
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_the_path_are_decoded() {
    let running = start().await;
    let api = &running.stack.addresses().api;
    let event = json(get(format!("{api}/echo/a%20b%2Fc")).await.body());
    assert_eq!(event["routeKey"], "GET /echo/{name}");
    assert_eq!(event["pathParameters"], json!({"name": "a b/c"}));
    let event = json(get(format!("{api}/any/x/y")).await.body());
    assert_eq!(event["routeKey"], "ANY /any/{proxy+}");
    assert_eq!(event["pathParameters"], json!({"proxy": "x/y"}));
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_becomes_a_response() {
    let running = start().await;
    let answer = json!({
        "statusCode": 201,
        "headers": {"x-a": "b"},
        "cookies": ["c=1", "d=2"],
        "body": "aGk=",
        "isBase64Encoded": true,
    });
    let path = told("/any/x", &json!({"do": "answer", "value": answer}));
    let response = get(format!("{}{path}", running.stack.addresses().api)).await;
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["x-a"], "b");
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    assert_eq!(response.body(), "hi");
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_answered_as_the_gateway_answers_it() {
    let running = start().await;
    let api = running.stack.addresses().api.clone();
    let malformed = json!({"do": "answer", "value": {"statusCode": "x"}});
    for (path, status, message) in [
        ("/nowhere".to_owned(), 404, "Not Found"),
        ("/echo".to_owned(), 404, "Not Found"),
        (told("/any/x", &json!({"do": "error"})), 500, "Internal Server Error"),
        (told("/any/x", &json!({"do": "exit", "code": 1})), 500, "Internal Server Error"),
        (told("/any/x", &json!({"do": "sleep", "ms": 60_000})), 500, "Internal Server Error"),
        (told("/any/x", &malformed), 500, "Internal Server Error"),
        (told("/slow", &json!({"do": "sleep", "ms": 1000})), 503, "Service Unavailable"),
    ] {
        let response = get(format!("{api}{path}")).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(json(response.body()), json!({ "message": message }), "{path}");
    }
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_function_is_service_unavailable() {
    let running = start().await;
    let url =
        format!("{}{}", running.stack.addresses().api, told("/one", &json!({"do": "sleep", "ms": 500})));
    let (first, second) = tokio::join!(get(url.clone()), get(url));
    let mut statuses = [first.status().as_u16(), second.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_beyond_the_gateways_or_lambdas_limit_are_too_large() {
    let running = start().await;
    let post = |bytes: usize| {
        let request = Request::post(format!("{}/echo", running.stack.addresses().api))
            .header("content-type", "text/plain")
            .body(Bytes::from(vec![b'x'; bytes]))
            .unwrap();
        send(request)
    };
    for bytes in [6_291_456, 10_485_761] {
        let response = post(bytes).await;
        assert_eq!(response.status(), 413, "{bytes}");
        assert_eq!(json(response.body()), json!({"message": "Request Entity Too Large"}));
    }
    assert_eq!(post(2_000_000).await.status(), 200);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_beyond_ten_kilobytes_are_refused() {
    let running = start().await;
    let request = Request::post(format!("{}/echo", running.stack.addresses().api))
        .header("x-long", "x".repeat(10_300))
        .body(Bytes::new())
        .unwrap();
    assert_eq!(send(request).await.status(), 431);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_goes_on_after_the_gateway_gave_up() {
    let running = start().await;
    let path = told("/slow", &json!({"do": "sleep", "ms": 600}));
    assert_eq!(get(format!("{}{path}", running.stack.addresses().api)).await.status(), 503);
    let ended: Vec<Value> = running.wait_for("EchoFunction", |ended| ended.len() == 1).await;
    assert_eq!(ended[0]["event"]["routeKey"], "GET /slow");
    running.stack.stop().await;
}
