//! What the adapters and the local stack rely on of SQS, asked of the embedded one and of moto's server.
//!
//! Both get the same calls by the AWS SDK, and must answer the same: bodies, digests, attributes, counts, and the codes
//! of errors. Time is left out, for moto goes by the machine's; so are characters that SQS refuses, which moto takes.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageAttributeValue, MessageSystemAttributeName,
    QueueAttributeName, SendMessageBatchRequestEntry,
};
use carteiro_sqs::{NoFaults, Sqs, Storage};
use tokio::net::TcpListener;

use crate::moto::{Server, python};

/// What was observed of a server, in the order of the calls.
#[derive(Default)]
struct Observed(Vec<String>);

impl Observed {
    fn note(&mut self, what: &str, value: impl std::fmt::Debug) {
        self.0.push(format!("{what}: {value:?}"));
    }
}

fn client(address: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .endpoint_url(format!("http://{address}"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

fn code<T, E: ProvideErrorMetadata, R>(result: Result<T, SdkError<E, R>>) -> Option<String> {
    result.err().map(|error| error.code().unwrap_or("no code").to_owned())
}

async fn queue(client: &Client, name: &str) -> String {
    client.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap()
}

/// Receives, and makes visible again at once, so that the next call may receive it too.
async fn look(client: &Client, url: &str) -> Vec<Message> {
    let receive = client.receive_message().queue_url(url).max_number_of_messages(10).visibility_timeout(0);
    let receive = receive.message_attribute_names("All");
    let received = receive.message_system_attribute_names(MessageSystemAttributeName::All).send().await;
    received.unwrap().messages.unwrap_or_default()
}

fn counts_of(messages: &[Message]) -> Vec<Option<&String>> {
    let count = MessageSystemAttributeName::ApproximateReceiveCount;
    messages
        .iter()
        .map(|message| message.attributes().and_then(|attributes| attributes.get(&count)))
        .collect()
}

async fn depth(client: &Client, url: &str) -> Vec<Option<String>> {
    let names = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    ];
    let call = client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
    let attributes = call.send().await.unwrap().attributes.unwrap_or_default();
    names.iter().map(|name| attributes.get(name).cloned()).collect()
}

async fn one_message(client: &Client, seen: &mut Observed) {
    let url = queue(client, "one").await;
    let text = |value: &str| {
        MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap()
    };
    let number = MessageAttributeValue::builder().data_type("Number").string_value("7").build().unwrap();
    let sent = client
        .send_message()
        .queue_url(&url)
        .message_body("{\"olá\": 1}")
        .message_attributes("account", text("acc_1"))
        .message_attributes("attempt", number)
        .send()
        .await
        .unwrap();
    seen.note("sent", (&sent.md5_of_message_body, &sent.md5_of_message_attributes));
    for turn in ["first", "second"] {
        let messages = look(client, &url).await;
        seen.note(turn, counts_of(&messages));
        let message = &messages[0];
        let attributes = message.message_attributes().unwrap();
        let mut names: Vec<_> = attributes.iter().map(|(name, value)| (name, value.string_value())).collect();
        names.sort();
        seen.note(
            "message",
            (message.body(), &message.md5_of_body, &message.md5_of_message_attributes, names),
        );
        assert_eq!(message.message_id, sent.message_id);
    }
    let taken = client.receive_message().queue_url(&url).visibility_timeout(600).send().await.unwrap();
    seen.note("under way", depth(client, &url).await);
    seen.note("nothing more", look(client, &url).await.len());
    let handle = taken.messages()[0].receipt_handle().unwrap();
    let change = client.change_message_visibility().queue_url(&url).receipt_handle(handle);
    seen.note("changed", code(change.visibility_timeout(0).send().await));
    // A message is deleted by its latest handle. What an older one does is left open by SQS.
    let again = look(client, &url).await;
    seen.note("visible again", again.len());
    let delete = client.delete_message().queue_url(&url).receipt_handle(again[0].receipt_handle().unwrap());
    seen.note("deleted", code(delete.send().await));
    seen.note("gone", depth(client, &url).await);
}

async fn delayed(client: &Client, seen: &mut Observed) {
    let url = queue(client, "delayed").await;
    let send = |seconds| client.send_message().queue_url(&url).message_body("x").delay_seconds(seconds);
    seen.note("the longest delay", code(send(900).send().await));
    seen.note("longer", code(send(901).send().await));
    seen.note("delayed", depth(client, &url).await);
    seen.note("not handed out", look(client, &url).await.len());
}

async fn batches(client: &Client, seen: &mut Observed) {
    let url = queue(client, "batches").await;
    let entry = |id: &str, body: &str| {
        SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap()
    };
    let batch = |entries: Vec<SendMessageBatchRequestEntry>| {
        client.send_message_batch().queue_url(&url).set_entries(Some(entries)).send()
    };
    seen.note("none", code(batch(Vec::new()).await));
    seen.note("twice", code(batch(vec![entry("a", "1"), entry("a", "2")]).await));
    let eleven = (0..11).map(|n| entry(&n.to_string(), "x")).collect();
    seen.note("eleven", code(batch(eleven).await));
    let ten = batch((0..10).map(|n| entry(&n.to_string(), "x")).collect()).await.unwrap();
    let mut ids: Vec<_> = ten.successful().iter().map(|sent| sent.id().to_owned()).collect();
    ids.sort();
    seen.note("ten", (ids, ten.failed().len()));
    let taken = client.receive_message().queue_url(&url).max_number_of_messages(10).send().await.unwrap();
    let mut deleted = Vec::new();
    for (n, message) in taken.messages().iter().enumerate() {
        let handle = message.receipt_handle().unwrap();
        deleted.push(
            DeleteMessageBatchRequestEntry::builder()
                .id(n.to_string())
                .receipt_handle(handle)
                .build()
                .unwrap(),
        );
    }
    let answer =
        client.delete_message_batch().queue_url(&url).set_entries(Some(deleted)).send().await.unwrap();
    seen.note("deleted", answer.failed().len());
    seen.note("left", depth(client, &url).await);
}

async fn dead_letters(client: &Client, seen: &mut Observed) {
    let dead = queue(client, "dead").await;
    let arn = client.get_queue_attributes().queue_url(&dead).attribute_names(QueueAttributeName::QueueArn);
    let arn = arn.send().await.unwrap().attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":2}}"#);
    let create = client.create_queue().queue_name("source");
    let source = create.attributes(QueueAttributeName::RedrivePolicy, policy).send().await.unwrap();
    let source = source.queue_url.unwrap();
    client.send_message().queue_url(&source).message_body("poison").send().await.unwrap();
    for turn in ["first", "second", "third"] {
        seen.note(turn, look(client, &source).await.len());
    }
    let messages = look(client, &dead).await;
    seen.note("dead", messages.iter().map(|message| message.body().map(str::to_owned)).collect::<Vec<_>>());
    seen.note("source", depth(client, &source).await);
}

async fn refusals(client: &Client, seen: &mut Observed) {
    let url = queue(client, "refusals").await;
    let nowhere = url.replace("refusals", "nowhere");
    let send = |url: &str, body: &str| client.send_message().queue_url(url).message_body(body).send();
    seen.note("no such queue", code(send(&nowhere, "x").await));
    seen.note("no such queue's address", code(client.get_queue_url().queue_name("nowhere").send().await));
    let delete = client.delete_message().queue_url(&url).receipt_handle("made-up");
    seen.note("a made-up handle", code(delete.send().await));
    let receive = client.receive_message().queue_url(&url).max_number_of_messages(11);
    seen.note("eleven at once", code(receive.send().await));
    seen.note("purged", code(client.purge_queue().queue_url(&url).send().await));
    seen.note("the same queue again", queue(client, "refusals").await == url);
    seen.note("deleted", code(client.delete_queue().queue_url(&url).send().await));
}

async fn observed(address: &str) -> Vec<String> {
    let client = client(address);
    let mut seen = Observed::default();
    one_message(&client, &mut seen).await;
    delayed(&client, &mut seen).await;
    batches(&client, &mut seen).await;
    dead_letters(&client, &mut seen).await;
    refusals(&client, &mut seen).await;
    seen.0
}

#[tokio::test]
async fn the_embedded_sqs_answers_as_a_second_one_does() {
    let Some(python) = python() else { return };
    let sqs = Sqs::open(&Storage::Memory, carteiro_clock::testing::clock(), "us-east-1").unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        sqs.serve_with(listener, std::sync::Arc::new(NoFaults), std::future::pending()).await
    });
    let ours = observed(&address).await;
    serving.abort();
    let server = Server::start(&python);
    let theirs = observed(&server.address).await;
    assert!(ours.len() > 30, "{ours:#?}");
    let differing: Vec<_> = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs).collect();
    assert!(ours.len() == theirs.len() && differing.is_empty(), "{differing:#?}");
}
