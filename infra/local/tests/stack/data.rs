//! Where the state is: tables, queues, faults, restarts, ports.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::AttributeValue;
use carteiro_local::{Data, DynamodbCall, Fate, Fault, Ports, RefusedCall, Stack, StackError, Verdict};
use serde_json::json;

use crate::support::{Running, options, start, start_with, until};

fn dynamodb(running: &Running) -> aws_sdk_dynamodb::Client {
    dynamodb_as(running, "a")
}

/// A client with the access key of this id.
fn dynamodb_as(running: &Running, key_id: &str) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
        .region(aws_sdk_dynamodb::config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_dynamodb::config::Credentials::new(key_id, "b", None, None, "test"))
        .endpoint_url(&running.stack.addresses().dynamodb)
        .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

fn item(key: &str) -> HashMap<String, AttributeValue> {
    HashMap::from([("pk".to_owned(), AttributeValue::S(key.to_owned()))])
}

async fn exists(client: &aws_sdk_dynamodb::Client, key: &str) -> bool {
    client.get_item().table_name("Table").set_key(Some(item(key))).send().await.unwrap().item.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_client_finds_the_templates_tables_active() {
    let running = start().await;
    let client = dynamodb(&running);
    let table = client.describe_table().table_name("Table").send().await.unwrap().table.unwrap();
    assert_eq!(table.table_status.unwrap().as_str(), "ACTIVE");
    client.put_item().table_name("Table").set_item(Some(item("a"))).send().await.unwrap();
    assert!(exists(&client, "a").await);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_items_go_when_the_clock_is_moved() {
    let running = start().await;
    let client = dynamodb(&running);
    let soon = running.stack.clock().now_ms() / 1000 + 3600;
    let mut expiring = item("expires");
    expiring.insert("expires_at".to_owned(), AttributeValue::N(soon.to_string()));
    client.put_item().table_name("Table").set_item(Some(expiring)).send().await.unwrap();
    client.put_item().table_name("Table").set_item(Some(item("stays"))).send().await.unwrap();
    running.stack.clock().advance(Duration::from_secs(3700));
    until(|| async { (!exists(&client, "expires").await).then_some(()) }).await;
    assert!(exists(&client, "stays").await);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_injected_before_and_after_the_effect() {
    let running = start().await;
    let client = dynamodb(&running);
    let throttle = || Fault {
        status: http::StatusCode::BAD_REQUEST,
        code: "ThrottlingException".to_owned(),
        message: "as told".to_owned(),
    };
    let fates = [
        (Fate::FailBefore(throttle()), Some("ThrottlingException"), false),
        (Fate::FailAfter(throttle()), Some("ThrottlingException"), true),
        (Fate::DropBefore, None, false),
        (Fate::DropAfter, None, true),
    ];
    for (at, (fate, code, has_effect)) in fates.into_iter().enumerate() {
        let key = format!("key{at}");
        running.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
            match call.operation {
                "PutItem" => Verdict::from(fate.clone()),
                _ => Verdict::default(),
            }
        })));
        let error =
            client.put_item().table_name("Table").set_item(Some(item(&key))).send().await.unwrap_err();
        assert_eq!(error.code(), code, "{key}");
        assert_eq!(exists(&client, &key).await, has_effect, "{key}");
    }
    running.stack.intercept_dynamodb(None);
    client.put_item().table_name("Table").set_item(Some(item("well"))).send().await.unwrap();
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_can_be_counted_and_delayed() {
    let running = start().await;
    let client = dynamodb(&running);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    running.stack.intercept_dynamodb(Some(Arc::new(move |_: DynamodbCall<'_>| {
        counted.fetch_add(1, Ordering::SeqCst);
        Verdict { delay: Duration::from_secs(3600), ..Verdict::default() }
    })));
    let clock = running.stack.clock().clone();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { exists(&client, "a").await }
    });
    until(|| std::future::ready((calls.load(Ordering::SeqCst) == 1).then_some(()))).await;
    assert!(!waiting.is_finished());
    clock.advance(Duration::from_secs(3601));
    assert!(!waiting.await.unwrap());
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_injected_into_the_queues_front() {
    struct Refuse;
    impl carteiro_local::InterceptSqs for Refuse {
        fn verdict(&self, call: carteiro_local::SqsCall<'_>) -> Verdict {
            assert_eq!((call.action, call.queue), ("SendMessage", Some("FailedQueue")));
            Verdict::from(Fate::FailBefore(Fault {
                status: http::StatusCode::SERVICE_UNAVAILABLE,
                code: "ServiceUnavailable".to_owned(),
                message: "as told".to_owned(),
            }))
        }
    }
    let running = start().await;
    let sqs = running.stack.addresses().sqs.clone();
    let send = || {
        let body = json!({"QueueUrl": format!("{sqs}/000000000000/FailedQueue"), "MessageBody": "x"});
        let request = http::Request::post(&sqs)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", "AmazonSQS.SendMessage")
            .body(body.to_string().into())
            .unwrap();
        crate::support::send(request)
    };
    running.stack.intercept_sqs(Some(Arc::new(Refuse)));
    assert_eq!(send().await.status(), 503);
    assert_eq!(running.counts("FailedQueue").await, (0, 0));
    running.stack.intercept_sqs(None);
    assert_eq!(send().await.status(), 200);
    assert_eq!(running.counts("FailedQueue").await, (1, 0));
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_may_do_with_tables_what_its_policies_allow() {
    let running = start().await;
    let function = dynamodb_as(&running, "EchoFunction");
    assert!(!exists(&function, "a").await);
    assert_eq!(running.stack.refused_calls(), []);
    let refused = function.put_item().table_name("Table").set_item(Some(item("a"))).send().await.unwrap_err();
    assert_eq!(refused.code(), Some("AccessDeniedException"));
    let table = "arn:aws:dynamodb:us-east-1:000000000000:table/Table";
    let message = refused.message().unwrap();
    let expected = format!("is not authorized to perform: dynamodb:PutItem on resource: {table} because");
    assert!(message.contains(&expected), "{message}");
    assert!(!exists(&function, "a").await);
    // What no function signed goes through.
    dynamodb(&running).put_item().table_name("Table").set_item(Some(item("a"))).send().await.unwrap();
    let refused = RefusedCall {
        function: "EchoFunction".to_owned(),
        action: "dynamodb:PutItem".to_owned(),
        resource: table.to_owned(),
    };
    assert_eq!(running.stack.refused_calls(), [refused]);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_may_do_with_queues_what_its_policies_allow() {
    let running = start().await;
    let sqs = running.stack.addresses().sqs.clone();
    let ask = |key_id: &str, action: &str, queue: &str, mut body: serde_json::Value| {
        body["QueueUrl"] = format!("{sqs}/000000000000/{queue}").into();
        let request = http::Request::post(&sqs)
            .header("x-amz-target", format!("AmazonSQS.{action}"))
            .header("authorization", format!("AWS4-HMAC-SHA256 Credential={key_id}/20261122/us-east-1/sqs"))
            .body(body.to_string().into())
            .unwrap();
        crate::support::send(request)
    };
    let one = json!({"MessageBody": "x"});
    let batch = json!({"Entries": [{"Id": "a", "MessageBody": "x"}]});
    assert_eq!(ask("EchoFunction", "SendMessage", "FailedQueue", one.clone()).await.status(), 200);
    assert_eq!(ask("EchoFunction", "SendMessageBatch", "FailedQueue", batch).await.status(), 200);
    let refused = ask("EchoFunction", "SendMessage", "DeadQueue", one.clone()).await;
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.headers()["x-amzn-query-error"], "AccessDenied;Sender");
    assert_eq!(ask("EchoFunction", "ReceiveMessage", "FailedQueue", json!({})).await.status(), 403);
    assert_eq!(running.counts("DeadQueue").await, (0, 0));
    assert_eq!(running.counts("FailedQueue").await, (2, 0));
    assert_eq!(ask("a", "SendMessage", "DeadQueue", one).await.status(), 200);
    // A queue may wake a function whose role SAM makes: that may take messages.
    assert_eq!(ask("WorkFunction", "ReceiveMessage", "FailedQueue", json!({})).await.status(), 200);
    let refused: Vec<_> = running.stack.refused_calls().into_iter().map(|call| call.action).collect();
    assert_eq!(refused, ["sqs:ReceiveMessage", "sqs:SendMessage"]);
    running.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_tables_and_queues_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::Folder(folder.path().join("state"));
    let first = start_with(|options| options.data = data.clone()).await;
    let client = dynamodb(&first);
    client.put_item().table_name("Table").set_item(Some(item("a"))).send().await.unwrap();
    first.send("FailedQueue", &json!({"n": 1})).await;
    first.receive("FailedQueue").await;
    let clock = first.stack.clock().clone();
    first.stack.stop().await;

    let second = start_with(|options| (options.data, options.clock) = (data, clock)).await;
    assert!(exists(&dynamodb(&second), "a").await);
    assert_eq!(second.counts("FailedQueue").await, (1, 0), "what was in flight is visible again");
    second.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_one_stack_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::Folder(folder.path().to_owned());
    let first = start_with(|options| options.data = data.clone()).await;
    let mut again = options(&first.lines);
    again.data = data.clone();
    let error = Stack::start(again.clone()).await.unwrap_err();
    assert!(matches!(error, StackError::DataInUse(_)), "{error}");
    first.stack.stop().await;
    Stack::start(again).await.unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let taken = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut options = options(&carteiro_local::LogLines::default());
    options.ports = Ports::Base(port);
    let error = Stack::start(options.clone()).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("port {port} for the HTTP API cannot be listened on")), "{error}");
    options.ports = Ports::Base(u16::MAX - 1);
    assert!(matches!(
        Stack::start(options).await.unwrap_err(),
        StackError::Port { .. } | StackError::PortBase(_)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_binary_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&carteiro_local::LogLines::default());
    options.functions = folder.path().to_owned();
    let error = Stack::start(options).await.unwrap_err();
    assert!(matches!(error, StackError::BinaryMissing { .. }), "{error}");
}
