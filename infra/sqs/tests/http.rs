//! The HTTP front, spoken to by the AWS SDK and, where that would not say such things, by hand.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what these tests share is outside of test functions"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::change_message_visibility::ChangeMessageVisibilityError;
use aws_sdk_sqs::operation::send_message::SendMessageError;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageAttributeValue,
    MessageSystemAttributeName, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
    QueueAttributeName, SendMessageBatchRequestEntry,
};
use carteiro_clock::{Clock, testing};
use carteiro_sqs::{Call, Fate, Fault, Intercept, NoFaults, Sqs, Storage, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const SOON: Duration = Duration::from_secs(10);

struct Service {
    sqs: Sqs,
    clock: Clock,
    client: aws_sdk_sqs::Client,
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Service {
    async fn start() -> Self {
        Self::with(Arc::new(NoFaults)).await
    }

    async fn with(hook: Arc<dyn Intercept>) -> Self {
        let clock = testing::clock();
        let sqs = Sqs::open(&Storage::Memory, clock.clone(), "eu-west-1").unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = {
            let sqs = sqs.clone();
            tokio::spawn(async move { sqs.serve_with(listener, hook, async { drop(stopped.await) }).await })
        };
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .endpoint_url(format!("http://{address}"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .build();
        Self { sqs, clock, client: aws_sdk_sqs::Client::from_conf(config), address, stop, serving }
    }

    async fn queue(&self) -> String {
        self.client.create_queue().queue_name("queue").send().await.unwrap().queue_url.unwrap()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(SOON, self.serving).await.expect("ends").unwrap().unwrap();
    }

    /// A request as it is written here; the whole answer, to the end of the connection.
    async fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an answer").unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn call(&self, target: &str, body: &str) -> String {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-amz-target: {target}\r\ncontent-type: \
             application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.raw(format!("{head}{body}").as_bytes()).await
    }
}

fn text(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap()
}

#[tokio::test]
async fn a_message_goes_round_and_the_clients_digest_checks_pass() {
    let service = Service::start().await;
    let url = service.queue().await;
    assert_eq!(url, format!("http://{}/000000000000/queue", service.address));
    let bytes =
        MessageAttributeValue::builder().data_type("Binary.png").binary_value(Blob::new([0, 255])).build();
    let trace =
        MessageSystemAttributeValue::builder().data_type("String").string_value("Root=1").build().unwrap();
    let sent = service
        .client
        .send_message()
        .queue_url(&url)
        .message_body("{\"olá\": \"\\u0001 escaped\"}")
        .message_attributes("text", text("value"))
        .message_attributes("text.more", text("more"))
        .message_attributes("bytes", bytes.unwrap())
        .message_system_attributes(MessageSystemAttributeNameForSends::AwsTraceHeader, trace)
        .message_group_id("tenant")
        .send()
        .await
        .unwrap();
    assert!(sent.md5_of_message_attributes.is_some() && sent.md5_of_message_system_attributes.is_some());
    let received = service
        .client
        .receive_message()
        .queue_url(&url)
        .message_attribute_names("All")
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .send()
        .await
        .unwrap();
    let message = &received.messages()[0];
    assert_eq!(message.message_id, sent.message_id);
    assert_eq!(message.body(), Some("{\"olá\": \"\\u0001 escaped\"}"));
    assert_eq!(message.md5_of_body, sent.md5_of_message_body);
    assert_eq!(message.md5_of_message_attributes, sent.md5_of_message_attributes);
    let attributes = message.message_attributes().unwrap();
    assert_eq!(attributes["bytes"].binary_value().unwrap().as_ref(), [0, 255]);
    assert_eq!(attributes["text"].string_value(), Some("value"));
    let system = message.attributes().unwrap();
    assert_eq!(system[&MessageSystemAttributeName::ApproximateReceiveCount], "1");
    assert_eq!(system[&MessageSystemAttributeName::MessageGroupId], "tenant");
    assert_eq!(system[&MessageSystemAttributeName::AwsTraceHeader], "Root=1");
    assert!(system.contains_key(&MessageSystemAttributeName::SentTimestamp));
    assert!(system.contains_key(&MessageSystemAttributeName::ApproximateFirstReceiveTimestamp));
    assert!(system.contains_key(&MessageSystemAttributeName::SenderId));
    let handle = message.receipt_handle().unwrap();
    service.client.delete_message().queue_url(&url).receipt_handle(handle).send().await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn only_the_attributes_that_were_asked_for_are_handed_out() {
    let service = Service::start().await;
    let url = service.queue().await;
    let send = service.client.send_message().queue_url(&url).message_body("x");
    let send = send.message_attributes("a", text("1")).message_attributes("bar.x", text("2"));
    send.message_attributes("bar.y", text("3")).send().await.unwrap();
    let wanted: [(&[&str], &[&str]); 6] = [
        (&[], &[]),
        (&["a"], &["a"]),
        (&["All"], &["a", "bar.x", "bar.y"]),
        (&[".*"], &["a", "bar.x", "bar.y"]),
        (&["bar.*"], &["bar.x", "bar.y"]),
        (&["none", "bar.y"], &["bar.y"]),
    ];
    for (names, expected) in wanted {
        let names = Some(names.iter().map(|name| (*name).to_owned()).collect());
        let receive = service.client.receive_message().queue_url(&url).visibility_timeout(0);
        let received = receive.set_message_attribute_names(names).send().await.unwrap();
        let message = &received.messages()[0];
        let mut got: Vec<&str> =
            message.message_attributes().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        got.sort_unstable();
        assert_eq!(got, expected);
        assert_eq!(message.md5_of_message_attributes.is_some(), !expected.is_empty());
        assert!(message.attributes().is_none());
    }
    service.stop().await;
}

#[tokio::test]
#[expect(deprecated, reason = "the older name of the parameter is what is tested")]
async fn older_attribute_names_work_and_unknown_ones_are_refused() {
    let service = Service::start().await;
    let url = service.queue().await;
    service.client.send_message().queue_url(&url).message_body("x").send().await.unwrap();
    let receive = || service.client.receive_message().queue_url(&url).visibility_timeout(0);
    let received = receive().attribute_names("SentTimestamp".into()).send().await.unwrap();
    let system = received.messages()[0].attributes().unwrap();
    assert_eq!(system.keys().collect::<Vec<_>>(), [&MessageSystemAttributeName::SentTimestamp]);
    let error = receive().attribute_names("Nonsense".into()).send().await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidAttributeName"));
    service.stop().await;
}

#[tokio::test]
async fn an_error_has_its_shape_its_code_and_its_status() {
    let service = Service::start().await;
    let body = format!(r#"{{"QueueUrl":"http://{}/000000000000/none","MessageBody":"x"}}"#, service.address);
    let answer = service.call("AmazonSQS.SendMessage", &body).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.contains("x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n"),
        "{answer}"
    );
    assert!(answer.contains("content-type: application/x-amz-json-1.0\r\n"), "{answer}");
    assert!(answer.contains(r#""__type":"com.amazonaws.sqs#QueueDoesNotExist""#), "{answer}");
    assert!(answer.contains(r#""message":"The specified queue does not exist.""#), "{answer}");
    service.stop().await;
}

#[tokio::test]
async fn the_sdk_tells_the_errors_apart() {
    let service = Service::start().await;
    let url = service.queue().await;
    let send = |url: &str, body: &str| service.client.send_message().queue_url(url).message_body(body).send();
    let error = send("http://elsewhere/1/none", "x").await.unwrap_err().into_service_error();
    assert!(matches!(error, SendMessageError::QueueDoesNotExist(_)), "{error:?}");
    let error = send(&url, "\u{1}").await.unwrap_err().into_service_error();
    assert!(matches!(error, SendMessageError::InvalidMessageContents(_)), "{error:?}");
    assert_eq!(send(&url, "").await.unwrap_err().code(), Some("MissingParameter"));
    let late =
        service.client.send_message().queue_url(&url).message_body("x").delay_seconds(901).send().await;
    assert_eq!(late.unwrap_err().code(), Some("InvalidParameterValue"));
    let change = |handle: &str| {
        service
            .client
            .change_message_visibility()
            .queue_url(&url)
            .receipt_handle(handle)
            .visibility_timeout(1)
            .send()
    };
    let error = change("nonsense").await.unwrap_err().into_service_error();
    assert!(matches!(error, ChangeMessageVisibilityError::ReceiptHandleIsInvalid(_)), "{error:?}");
    send(&url, "x").await.unwrap();
    let received = service.client.receive_message().queue_url(&url).send().await.unwrap();
    service.clock.advance(Duration::from_secs(31));
    let error =
        change(received.messages()[0].receipt_handle().unwrap()).await.unwrap_err().into_service_error();
    assert!(matches!(error, ChangeMessageVisibilityError::MessageNotInflight(_)), "{error:?}");
    service.stop().await;
}

#[tokio::test]
async fn the_last_segment_of_a_url_names_the_queue_at_any_host() {
    let service = Service::start().await;
    service.queue().await;
    for url in ["https://sqs.us-east-1.amazonaws.com/123456789012/queue", "http://localhost:1/queue", "queue"]
    {
        service.client.send_message().queue_url(url).message_body("x").send().await.unwrap();
    }
    let answer = service.call("AmazonSQS.PurgeQueue", r#"{"QueueUrl":"http://127.0.0.1/"}"#).await;
    assert!(answer.contains("InvalidAddress"), "{answer}");
    let answer = service.call("AmazonSQS.PurgeQueue", "").await;
    assert!(answer.contains("must contain the parameter QueueUrl"), "{answer}");
    service.stop().await;
}

#[tokio::test]
async fn what_is_no_request_of_this_service_is_refused() {
    let service = Service::start().await;
    for target in ["AmazonSQS.AddPermission", "AmazonSQS.Nonsense", "", "DynamoDB_20120810.GetItem"] {
        let answer = service.call(target, "{}").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("x-amzn-query-error: InvalidAction;Sender"), "{answer}");
    }
    for body in ["x", "5", r#"{"QueueUrl":5}"#, r#"{"QueueUrl":"queue","MessageBody":["x"]}"#] {
        let answer = service.call("AmazonSQS.SendMessage", body).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("SerializationException"), "{answer}");
    }
    let get = service.raw(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(get.contains("InvalidAction"), "{get}");
    service.stop().await;
}

#[tokio::test]
async fn the_longest_message_passes_and_a_longer_request_does_not() {
    let service = Service::start().await;
    let url = service.queue().await;
    // A mebibyte of line ends, each written as six bytes.
    let body = format!(r#"{{"QueueUrl":"{url}","MessageBody":"{}"}}"#, "\\u000a".repeat(1_048_576));
    let answer = service.call("AmazonSQS.SendMessage", &body).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{}", &answer[..200.min(answer.len())]);
    let received = service.client.receive_message().queue_url(&url).send().await.unwrap();
    assert_eq!(received.messages()[0].body().unwrap().len(), 1_048_576);
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-amz-target: AmazonSQS.SendMessage\r\n\
                content-length: 9000000\r\n\r\n";
    let answer = service.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    service.stop().await;
}

#[tokio::test]
async fn queues_are_made_found_listed_described_tagged_and_deleted() {
    let service = Service::start().await;
    let client = &service.client;
    for name in ["a1", "a2", "b1"] {
        client.create_queue().queue_name(name).tags("k", "v").send().await.unwrap();
    }
    let url = client.get_queue_url().queue_name("a1").send().await.unwrap().queue_url.unwrap();
    assert_eq!(
        client.get_queue_url().queue_name("zz").send().await.unwrap_err().code(),
        Some("AWS.SimpleQueueService.NonExistentQueue")
    );
    let first = client.list_queues().queue_name_prefix("a").max_results(1).send().await.unwrap();
    assert_eq!(first.queue_urls(), std::slice::from_ref(&url));
    let second = client
        .list_queues()
        .queue_name_prefix("a")
        .max_results(1)
        .next_token(first.next_token.unwrap())
        .send();
    let second = second.await.unwrap();
    assert!(second.queue_urls()[0].ends_with("/a2") && second.next_token.is_none());
    let bad = client.list_queues().max_results(1001).send().await.unwrap_err();
    assert_eq!(bad.code(), Some("InvalidParameterValue"));

    let redrive = r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:000000000000:b1","maxReceiveCount":"3"}"#;
    let set =
        client.set_queue_attributes().queue_url(&url).attributes(QueueAttributeName::RedrivePolicy, redrive);
    set.attributes(QueueAttributeName::VisibilityTimeout, "7").send().await.unwrap();
    let get = client.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All);
    let attributes = get.send().await.unwrap().attributes.unwrap();
    assert_eq!(attributes[&QueueAttributeName::VisibilityTimeout], "7");
    assert_eq!(attributes[&QueueAttributeName::RedrivePolicy], redrive.replace("\"3\"", "3"));
    assert_eq!(attributes[&QueueAttributeName::QueueArn], "arn:aws:sqs:eu-west-1:000000000000:a1");
    assert_eq!(attributes[&QueueAttributeName::ApproximateNumberOfMessages], "0");
    assert_eq!(attributes[&QueueAttributeName::CreatedTimestamp].len(), 10);
    let none = client.get_queue_attributes().queue_url(&url).send().await.unwrap();
    assert!(none.attributes.is_none());
    let unknown =
        client.get_queue_attributes().queue_url(&url).attribute_names("Nonsense".into()).send().await;
    assert_eq!(unknown.unwrap_err().code(), Some("InvalidAttributeName"));
    let sources = client.list_dead_letter_source_queues().queue_url("b1").send().await.unwrap();
    assert_eq!(sources.queue_urls(), std::slice::from_ref(&url));

    client.tag_queue().queue_url(&url).tags("k2", "v2").send().await.unwrap();
    client.untag_queue().queue_url(&url).tag_keys("k").send().await.unwrap();
    let tags = client.list_queue_tags().queue_url(&url).send().await.unwrap().tags.unwrap();
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), [("k2".to_owned(), "v2".to_owned())]);
    client.purge_queue().queue_url(&url).send().await.unwrap();
    client.delete_queue().queue_url(&url).send().await.unwrap();
    assert_eq!(client.list_queues().send().await.unwrap().queue_urls().len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn batches_answer_for_each_entry() {
    let service = Service::start().await;
    let url = service.queue().await;
    let client = &service.client;
    let entry = |id: &str, body: &str| {
        SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap()
    };
    let wrong = SendMessageBatchRequestEntry::builder().id("wrong").message_body("x").delay_seconds(901);
    let sent = client
        .send_message_batch()
        .queue_url(&url)
        .entries(entry("a", "1"))
        .entries(wrong.build().unwrap())
        .entries(entry("b", "2"))
        .send()
        .await
        .unwrap();
    assert_eq!(sent.successful().iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let failed = &sent.failed()[0];
    assert_eq!((failed.id(), failed.code(), failed.sender_fault()), ("wrong", "InvalidParameterValue", true));

    let received = client.receive_message().queue_url(&url).max_number_of_messages(10).send().await.unwrap();
    let handles: Vec<&str> = received.messages().iter().map(|m| m.receipt_handle().unwrap()).collect();
    let change = |id: &str, handle: &str| {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id).receipt_handle(handle);
        entry.visibility_timeout(60).build().unwrap()
    };
    let changed = client.change_message_visibility_batch().queue_url(&url);
    let changed = changed.entries(change("a", handles[0])).entries(change("bad", "x")).send().await.unwrap();
    assert_eq!((changed.successful().len(), changed.failed()[0].code()), (1, "ReceiptHandleIsInvalid"));
    let delete = |id: &str, h: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(h).build().unwrap()
    };
    let deleted = client.delete_message_batch().queue_url(&url);
    let deleted =
        deleted.entries(delete("a", handles[0])).entries(delete("b", handles[1])).send().await.unwrap();
    assert_eq!((deleted.successful().len(), deleted.failed().len()), (2, 0));

    let twice = client.send_message_batch().queue_url(&url).entries(entry("a", "1")).entries(entry("a", "2"));
    let code = twice.send().await.unwrap_err();
    assert_eq!(code.code(), Some("AWS.SimpleQueueService.BatchEntryIdsNotDistinct"));
    let empty =
        client.delete_message_batch().queue_url(&url).set_entries(Some(vec![])).send().await.unwrap_err();
    assert_eq!(empty.code(), Some("AWS.SimpleQueueService.EmptyBatchRequest"));
    let body = "x".repeat(600_000);
    let long =
        client.send_message_batch().queue_url(&url).entries(entry("a", &body)).entries(entry("b", &body));
    assert_eq!(long.send().await.unwrap_err().code(), Some("AWS.SimpleQueueService.BatchRequestTooLong"));
    service.stop().await;
}

#[tokio::test]
async fn a_long_poll_over_http_is_woken_by_a_message() {
    let service = Service::start().await;
    let url = service.queue().await;
    let poll = tokio::spawn(service.client.receive_message().queue_url(&url).wait_time_seconds(20).send());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!poll.is_finished());
    service.client.send_message().queue_url(&url).message_body("x").send().await.unwrap();
    let received = tokio::time::timeout(SOON, poll).await.expect("woken").unwrap().unwrap();
    assert_eq!(received.messages()[0].body(), Some("x"));
    service.stop().await;
}

#[tokio::test]
async fn the_end_answers_long_polls_with_nothing_and_frees_the_port() {
    let service = Service::start().await;
    let url = service.queue().await;
    let poll = tokio::spawn(service.client.receive_message().queue_url(&url).wait_time_seconds(20).send());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let address = service.address;
    service.stop().await;
    let received = tokio::time::timeout(SOON, poll).await.expect("answered").unwrap().unwrap();
    assert!(received.messages().is_empty());
    TcpListener::bind(address).await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_long_poll_along() {
    let service = Service::start().await;
    let url = service.queue().await;
    let poll = tokio::spawn(service.client.receive_message().queue_url(&url).wait_time_seconds(20).send());
    tokio::time::sleep(Duration::from_millis(100)).await;
    poll.abort();
    assert!(poll.await.unwrap_err().is_cancelled());
    tokio::time::sleep(Duration::from_millis(100)).await;
    service.client.send_message().queue_url(&url).message_body("x").send().await.unwrap();
    let received = service.client.receive_message().queue_url(&url).send().await.unwrap();
    assert_eq!(received.messages().len(), 1, "nobody else took it");
    service.stop().await;
}

// --- injected faults ---

/// Gives the next call of an action one fate, and writes down what it sees.
#[derive(Default)]
struct Once {
    next: Mutex<Option<(&'static str, Verdict)>>,
    seen: Mutex<Vec<(String, Option<String>)>>,
}

impl Once {
    fn set(&self, action: &'static str, verdict: impl Into<Verdict>) {
        *self.next.lock().unwrap() = Some((action, verdict.into()));
    }
}

impl Intercept for Once {
    fn verdict(&self, call: Call<'_>) -> Verdict {
        self.seen.lock().unwrap().push((call.action.to_owned(), call.queue.map(str::to_owned)));
        let mut next = self.next.lock().unwrap();
        match next.take_if(|(action, _)| *action == call.action) {
            Some((_, verdict)) => verdict,
            None => Verdict::default(),
        }
    }
}

fn outage() -> Fault {
    Fault {
        status: http::StatusCode::SERVICE_UNAVAILABLE,
        code: "ServiceUnavailable".to_owned(),
        message: "Try again.".to_owned(),
    }
}

/// A service whose next send has that fate; the send's result, and how many messages there are then.
async fn send_with(fate: Fate) -> (Result<(), SdkError<SendMessageError>>, usize) {
    let hook = Arc::new(Once::default());
    let service = Service::with(hook.clone()).await;
    let url = service.queue().await;
    hook.set("SendMessage", fate);
    let result = service.client.send_message().queue_url(&url).message_body("x").send().await;
    let count = service.sqs.describe_queue("queue").await.unwrap().counts.visible;
    service.client.send_message().queue_url(&url).message_body("next").send().await.unwrap();
    service.stop().await;
    (result.map(drop), count)
}

#[tokio::test]
async fn the_hook_sees_the_action_and_the_queue_of_every_call() {
    let hook = Arc::new(Once::default());
    let service = Service::with(hook.clone()).await;
    let url = service.queue().await;
    service.client.list_queues().send().await.unwrap();
    service.client.send_message().queue_url(&url).message_body("x").send().await.unwrap();
    let seen = hook.seen.lock().unwrap().clone();
    let queue = || Some("queue".to_owned());
    assert_eq!(
        seen,
        [
            ("CreateQueue".to_owned(), queue()),
            ("ListQueues".to_owned(), None),
            ("SendMessage".to_owned(), queue())
        ]
    );
    service.stop().await;
}

#[tokio::test]
async fn a_call_that_fails_before_its_effect_has_none() {
    let (result, count) = send_with(Fate::FailBefore(outage())).await;
    let error = result.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 503);
    assert_eq!((error.code(), error.message()), (Some("ServiceUnavailable"), Some("Try again.")));
    assert_eq!(count, 0);
}

#[tokio::test]
async fn a_call_that_fails_after_its_effect_has_it() {
    let (result, count) = send_with(Fate::FailAfter(outage())).await;
    assert_eq!(result.unwrap_err().code(), Some("ServiceUnavailable"));
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_connection_can_be_dropped_before_or_after_the_effect() {
    for (fate, messages) in [(Fate::DropBefore, 0), (Fate::DropAfter, 1)] {
        let (result, count) = send_with(fate).await;
        let error = result.unwrap_err();
        assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
        assert_eq!(count, messages);
    }
}

#[tokio::test]
async fn a_delay_is_of_the_clocks_time() {
    let hook = Arc::new(Once::default());
    let service = Service::with(hook.clone()).await;
    let url = service.queue().await;
    hook.set("SendMessage", Verdict { delay: Duration::from_secs(3600), ..Verdict::default() });
    let send = tokio::spawn(service.client.send_message().queue_url(&url).message_body("x").send());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!send.is_finished());
    assert_eq!(service.sqs.describe_queue("queue").await.unwrap().counts.visible, 0);
    service.clock.advance(Duration::from_secs(3601));
    tokio::time::timeout(SOON, send).await.expect("let through").unwrap().unwrap();
    service.stop().await;
}

#[tokio::test]
async fn dead_letters_go_back_to_where_they_came_from() {
    let service = Service::start().await;
    let client = &service.client;
    let arn = |name: &str| service.sqs.queue_arn(name);
    let make = async |name: &str| {
        let made = client.create_queue().queue_name(name).send().await.unwrap();
        made.queue_url().unwrap().to_owned()
    };
    let (dead, work, other) = (make("dead").await, make("work").await, make("other").await);
    let refused = client.start_message_move_task().source_arn(arn("dead")).send().await.unwrap_err();
    assert_eq!(refused.code(), Some("InvalidParameterValue"), "nothing dies into it");
    let policy = format!(r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":"1"}}"#, arn("dead"));
    let set = client.set_queue_attributes().queue_url(&work);
    set.attributes(QueueAttributeName::RedrivePolicy, policy).send().await.unwrap();
    client.send_message().queue_url(&work).message_body("junk").message_group_id("g").send().await.unwrap();
    let receive = async |url: &str| {
        let received = client.receive_message().queue_url(url).visibility_timeout(0);
        received.message_system_attribute_names(MessageSystemAttributeName::All).send().await.unwrap()
    };
    let first = receive(&work).await.messages()[0].clone();
    assert!(receive(&work).await.messages().is_empty(), "its second receive moves it");
    assert_eq!(receive(&dead).await.messages().len(), 1);

    client.start_message_move_task().source_arn(arn("dead")).send().await.unwrap();
    let listed = client.list_message_move_tasks().source_arn(arn("dead")).send().await.unwrap();
    let task = &listed.results()[0];
    assert_eq!((task.status(), task.approximate_number_of_messages_moved()), (Some("COMPLETED"), 1));
    assert!(receive(&dead).await.messages().is_empty());
    let again = receive(&work).await.messages()[0].clone();
    assert_eq!(again.body(), Some("junk"));
    assert_ne!(again.message_id(), first.message_id(), "it is a new message");
    let attribute = |name| again.attributes().unwrap()[&name].clone();
    assert_eq!(attribute(MessageSystemAttributeName::ApproximateReceiveCount), "1");
    assert_eq!(attribute(MessageSystemAttributeName::MessageGroupId), "g");

    // What was sent there itself came from nowhere, and goes where it is told.
    client.send_message().queue_url(&dead).message_body("stray").send().await.unwrap();
    client.start_message_move_task().source_arn(arn("dead")).send().await.unwrap();
    let listed = client.list_message_move_tasks().source_arn(arn("dead")).send().await.unwrap();
    let task = &listed.results()[0];
    assert_eq!(
        (task.status(), task.failure_reason()),
        (Some("FAILED"), Some("CouldNotDetermineMessageSource"))
    );
    let moved = client.start_message_move_task().source_arn(arn("dead")).destination_arn(arn("other"));
    moved.send().await.unwrap();
    assert_eq!(receive(&other).await.messages()[0].body(), Some("stray"));
    service.stop().await;
}
