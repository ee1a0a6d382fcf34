//! The service's rules, on the handle, by a clock that the tests move.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what these tests share is outside of test functions"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use carteiro_clock::{Clock, testing};
use carteiro_sqs::{
    BatchEntry, MAX_MESSAGE_BYTES, MessageAttribute, MessageAttributes, ReceiveRequest, ReceivedMessage,
    SendMessage, Sqs, SqsError, Storage,
};

const QUEUE: &str = "queue";
const DEAD: &str = "dead";
/// Far more than any of these takes, and far less than a patience.
const SOON: Duration = Duration::from_secs(10);

struct Stack {
    sqs: Sqs,
    clock: Clock,
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn redrive(target: &str, count: u32) -> String {
    format!(
        r#"{{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:000000000000:{target}","maxReceiveCount":{count}}}"#
    )
}

impl Stack {
    fn new() -> Self {
        let clock = testing::clock();
        Self { sqs: Sqs::open(&Storage::Memory, clock.clone(), "eu-west-1").unwrap(), clock }
    }

    async fn with_queue(attributes: &[(&str, &str)]) -> Self {
        let stack = Self::new();
        stack.create(QUEUE, attributes).await.unwrap();
        stack
    }

    async fn create(&self, name: &str, attributes: &[(&str, &str)]) -> Result<(), SqsError> {
        self.sqs.create_queue(name, texts(attributes), BTreeMap::new()).await
    }

    async fn send(&self, body: &str) -> String {
        self.sqs.send(QUEUE, SendMessage::new(body)).await.unwrap().message_id
    }

    async fn receive_from(&self, queue: &str) -> Vec<ReceivedMessage> {
        let request = ReceiveRequest { max_messages: Some(10), ..ReceiveRequest::default() };
        self.sqs.receive(queue, request).await.unwrap()
    }

    async fn receive(&self) -> Vec<ReceivedMessage> {
        self.receive_from(QUEUE).await
    }

    async fn receive_one(&self) -> ReceivedMessage {
        self.receive().await.pop().expect("a message")
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// (visible, in flight, delayed)
    async fn counts(&self, queue: &str) -> (usize, usize, usize) {
        let counts = self.sqs.describe_queue(queue).await.unwrap().counts;
        (counts.visible, counts.in_flight, counts.delayed)
    }
}

// --- queues ---

#[tokio::test]
async fn creating_a_queue_again_fails_only_with_other_attributes() {
    let stack = Stack::with_queue(&[("DelaySeconds", "5")]).await;
    stack.create(QUEUE, &[("DelaySeconds", "5")]).await.unwrap();
    stack.create(QUEUE, &[]).await.unwrap();
    let error = stack.create(QUEUE, &[("DelaySeconds", "6")]).await.unwrap_err();
    assert_eq!(error, SqsError::QueueNameExists("DelaySeconds".to_owned()));
}

#[tokio::test]
async fn a_queue_name_has_1_to_80_allowed_characters_and_is_not_fifo() {
    let stack = Stack::new();
    stack.create(&"n".repeat(80), &[]).await.unwrap();
    stack.create("A-z_9", &[]).await.unwrap();
    for bad in [&"n".repeat(81), "a b", "a.b", "a/b", "queue.fifo"] {
        assert_eq!(stack.create(bad, &[]).await.unwrap_err().code(), "InvalidParameterValue", "{bad}");
    }
    assert_eq!(stack.create("", &[]).await.unwrap_err().code(), "MissingParameter");
}

#[tokio::test]
async fn a_fifo_queue_is_refused_and_says_why() {
    let stack = Stack::new();
    let error = stack.create(QUEUE, &[("FifoQueue", "true")]).await.unwrap_err();
    assert!(error.to_string().contains("standard queues only"), "{error}");
    let error = stack.create("queue.fifo", &[]).await.unwrap_err();
    assert!(error.to_string().contains("standard queues only"), "{error}");
}

#[tokio::test]
async fn what_names_no_queue_is_answered_with_its_absence() {
    let stack = Stack::new();
    let missing = SqsError::QueueDoesNotExist;
    assert_eq!(stack.sqs.send("none", SendMessage::new("x")).await.unwrap_err(), missing);
    assert_eq!(stack.sqs.receive("none", ReceiveRequest::default()).await.unwrap_err(), missing);
    assert_eq!(stack.sqs.delete("none", "x").await.unwrap_err(), SqsError::QueueDoesNotExist);
    assert_eq!(stack.sqs.describe_queue("none").await.unwrap_err(), missing);
    assert_eq!(stack.sqs.purge_queue("none").await.unwrap_err(), missing);
    assert_eq!(stack.sqs.delete_queue("none").await.unwrap_err(), missing);
    let entry = BatchEntry { id: "a".to_owned(), value: "x".to_owned() };
    assert_eq!(stack.sqs.delete_batch("none", vec![entry]).await.unwrap_err(), missing);
}

#[tokio::test]
async fn a_deleted_queues_name_is_taken_for_60_seconds() {
    let stack = Stack::with_queue(&[]).await;
    stack.send("x").await;
    let handle = stack.receive_one().await.receipt_handle;
    stack.sqs.delete_queue(QUEUE).await.unwrap();
    stack.pass(58);
    assert_eq!(stack.create(QUEUE, &[]).await, Err(SqsError::QueueDeletedRecently));
    stack.pass(2);
    stack.create(QUEUE, &[]).await.unwrap();
    assert_eq!(stack.counts(QUEUE).await, (0, 0, 0));
    let error = stack.sqs.delete(QUEUE, &handle).await.unwrap_err();
    assert_eq!(error.code(), "ReceiptHandleIsInvalid", "a handle of the queue before is none of this one");
}

#[tokio::test]
async fn a_purge_empties_the_queue_and_the_next_one_waits_60_seconds() {
    let stack = Stack::with_queue(&[]).await;
    stack.send("a").await;
    stack.send("b").await;
    stack.receive_one().await;
    stack.sqs.purge_queue(QUEUE).await.unwrap();
    assert_eq!(stack.counts(QUEUE).await, (0, 0, 0));
    assert_eq!(
        stack.sqs.purge_queue(QUEUE).await.unwrap_err().code(),
        "AWS.SimpleQueueService.PurgeQueueInProgress"
    );
    stack.pass(61);
    stack.sqs.purge_queue(QUEUE).await.unwrap();
}

#[tokio::test]
async fn queues_are_listed_by_prefix_in_pages() {
    let stack = Stack::new();
    for name in ["b2", "a1", "b1", "b3"] {
        stack.create(name, &[]).await.unwrap();
    }
    let page = stack.sqs.list_queues("b", None, 2).await.unwrap();
    assert_eq!(page.names, ["b1", "b2"]);
    let rest = stack.sqs.list_queues("b", page.next, 2).await.unwrap();
    assert_eq!((rest.names, rest.next), (vec!["b3".to_owned()], None));
    assert_eq!(stack.sqs.list_queues("", None, 10).await.unwrap().names.len(), 4);
}

#[tokio::test]
async fn a_queues_description_counts_each_state_and_tells_its_times() {
    let stack = Stack::with_queue(&[]).await;
    stack.send("a").await;
    stack.receive_one().await;
    stack.send("b").await;
    stack.sqs.send(QUEUE, SendMessage { delay_seconds: Some(10), ..SendMessage::new("c") }).await.unwrap();
    assert_eq!(stack.counts(QUEUE).await, (1, 1, 1));
    let before = stack.sqs.describe_queue(QUEUE).await.unwrap();
    assert_eq!(before.arn, "arn:aws:sqs:eu-west-1:000000000000:queue");
    stack.pass(5);
    stack.sqs.set_queue_attributes(QUEUE, texts(&[("DelaySeconds", "1")])).await.unwrap();
    let after = stack.sqs.describe_queue(QUEUE).await.unwrap();
    assert_eq!(after.created_ms, before.created_ms);
    assert!(after.modified_ms >= before.modified_ms + 5000);
}

#[tokio::test]
async fn attributes_are_set_all_or_none() {
    let stack = Stack::with_queue(&[]).await;
    let changes = texts(&[("DelaySeconds", "7"), ("VisibilityTimeout", "43201")]);
    let error = stack.sqs.set_queue_attributes(QUEUE, changes).await.unwrap_err();
    assert_eq!(error.code(), "InvalidAttributeValue");
    assert_eq!(stack.sqs.describe_queue(QUEUE).await.unwrap().attributes.delay_seconds, 0);
}

#[tokio::test]
async fn tags_are_set_and_taken_away_and_at_most_50() {
    let stack = Stack::with_queue(&[]).await;
    stack.sqs.change_queue_tags(QUEUE, texts(&[("a", "1"), ("b", "2")]), vec![]).await.unwrap();
    stack.sqs.change_queue_tags(QUEUE, BTreeMap::new(), vec!["a".to_owned()]).await.unwrap();
    assert_eq!(stack.sqs.queue_tags(QUEUE).await.unwrap(), texts(&[("b", "2")]));
    let many = (0..50).map(|n| (n.to_string(), String::new())).collect();
    assert_eq!(
        stack.sqs.change_queue_tags(QUEUE, many, vec![]).await.unwrap_err().code(),
        "InvalidParameterValue"
    );
    let reserved = texts(&[("aws:x", "1")]);
    assert!(stack.sqs.change_queue_tags(QUEUE, reserved, vec![]).await.is_err());
}

// --- sending and receiving ---

#[tokio::test]
async fn a_message_comes_back_as_it_was_sent() {
    let stack = Stack::with_queue(&[]).await;
    let mut attributes = MessageAttributes::new();
    attributes.insert("n", MessageAttribute::number(5)).unwrap();
    attributes.insert("b", MessageAttribute::bytes([0, 255])).unwrap();
    let message = SendMessage {
        attributes: attributes.clone(),
        group_id: Some("tenant".to_owned()),
        trace_header: Some("Root=1".to_owned()),
        ..SendMessage::new("olá\n")
    };
    let sent = stack.sqs.send(QUEUE, message).await.unwrap();
    let received = stack.receive_one().await;
    assert_eq!((received.message_id, received.body.as_str()), (sent.message_id, "olá\n"));
    assert_eq!(received.md5_of_body, sent.md5_of_body);
    assert_eq!(received.attributes, attributes);
    assert_eq!(sent.md5_of_attributes, attributes.md5());
    assert_eq!(received.group_id.as_deref(), Some("tenant"));
    assert_eq!(received.trace_header.as_deref(), Some("Root=1"));
    assert_eq!((received.receive_count, received.dead_letter_source), (1, None));
}

#[tokio::test]
async fn messages_come_in_the_order_of_sending_whatever_their_group() {
    let stack = Stack::with_queue(&[]).await;
    for n in 0..25 {
        let message =
            SendMessage { group_id: Some(format!("g{}", n % 2)), ..SendMessage::new(n.to_string()) };
        stack.sqs.send(QUEUE, message).await.unwrap();
    }
    let mut bodies = Vec::new();
    for expected in [10, 10, 5, 0] {
        let messages = stack.receive().await;
        assert_eq!(messages.len(), expected);
        bodies.extend(messages.into_iter().map(|message| message.body));
    }
    assert_eq!(bodies, (0..25).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_receive_is_for_1_to_10_messages_and_waits_0_to_20_s() {
    let stack = Stack::with_queue(&[]).await;
    stack.send("a").await;
    stack.send("b").await;
    let one = stack.sqs.receive(QUEUE, ReceiveRequest::default()).await.unwrap();
    assert_eq!(one.len(), 1, "one, where no number is given");
    for (max, visibility, wait) in
        [(0, 0, 0), (11, 0, 0), (-1, 0, 0), (1, -1, 0), (1, 43_201, 0), (1, 0, -1), (1, 0, 21)]
    {
        let request = ReceiveRequest {
            max_messages: Some(max),
            visibility_timeout: Some(visibility),
            wait_seconds: Some(wait),
        };
        assert_eq!(stack.sqs.receive(QUEUE, request).await.unwrap_err().code(), "InvalidParameterValue");
    }
}

#[tokio::test]
async fn a_queues_own_size_limit_holds_for_each_message() {
    let stack = Stack::with_queue(&[("MaximumMessageSize", "1024")]).await;
    stack.send(&"x".repeat(1024)).await;
    let error = stack.sqs.send(QUEUE, SendMessage::new("x".repeat(1025))).await.unwrap_err();
    assert!(error.to_string().contains("1024"), "{error}");
    let entries =
        vec![entry("small", SendMessage::new("x")), entry("large", SendMessage::new("x".repeat(1025)))];
    let results = stack.sqs.send_batch(QUEUE, entries).await.unwrap();
    assert!(results[0].value.is_ok() && results[1].value.is_err());
    assert_eq!(stack.counts(QUEUE).await.0, 2);
}

#[tokio::test]
async fn a_delayed_message_is_received_only_after_its_delay() {
    let stack = Stack::with_queue(&[]).await;
    stack.sqs.send(QUEUE, SendMessage { delay_seconds: Some(900), ..SendMessage::new("x") }).await.unwrap();
    stack.pass(898);
    assert!(stack.receive().await.is_empty());
    stack.pass(2);
    assert_eq!(stack.receive().await.len(), 1);
}

#[tokio::test]
async fn the_queues_delay_holds_unless_the_message_has_its_own() {
    let stack = Stack::with_queue(&[("DelaySeconds", "100")]).await;
    stack.send("queue's").await;
    stack.sqs.send(QUEUE, SendMessage { delay_seconds: Some(0), ..SendMessage::new("own") }).await.unwrap();
    assert_eq!(stack.receive_one().await.body, "own");
    stack.pass(100);
    assert_eq!(stack.receive_one().await.body, "queue's");
}

#[tokio::test]
async fn a_message_not_deleted_returns_with_a_new_handle_and_count() {
    let stack = Stack::with_queue(&[("VisibilityTimeout", "60")]).await;
    stack.send("x").await;
    let first = stack.receive_one().await;
    assert!(stack.receive().await.is_empty());
    stack.pass(61);
    let second = stack.receive_one().await;
    assert_eq!(second.message_id, first.message_id);
    assert_ne!(second.receipt_handle, first.receipt_handle);
    assert_eq!((first.receive_count, second.receive_count), (1, 2));
    assert_eq!(second.first_receive_ms, first.first_receive_ms);
}

#[tokio::test]
async fn a_receives_visibility_timeout_overrides_the_queues() {
    let stack = Stack::with_queue(&[("VisibilityTimeout", "60")]).await;
    stack.send("x").await;
    let request = ReceiveRequest { visibility_timeout: Some(5), ..ReceiveRequest::default() };
    stack.sqs.receive(QUEUE, request).await.unwrap();
    stack.pass(6);
    assert_eq!(stack.receive().await.len(), 1);
}

#[tokio::test]
async fn messages_expire_by_the_retention_period_also_if_shortened() {
    let stack = Stack::with_queue(&[("MessageRetentionPeriod", "1209600")]).await;
    stack.send("old").await;
    stack.pass(100);
    stack.send("new").await;
    stack.sqs.set_queue_attributes(QUEUE, texts(&[("MessageRetentionPeriod", "60")])).await.unwrap();
    assert_eq!(stack.receive_one().await.body, "new");
    assert!(stack.receive().await.is_empty());
}

// --- long polls ---

async fn long_poll(stack: &Stack, queue: &'static str) -> tokio::task::JoinHandle<Vec<ReceivedMessage>> {
    let sqs = stack.sqs.clone();
    let request =
        ReceiveRequest { max_messages: Some(10), wait_seconds: Some(20), ..ReceiveRequest::default() };
    let poll = tokio::spawn(async move { sqs.receive(queue, request).await.unwrap() });
    // Long enough for it to have looked once, so that it is a wake that is tested. Sooner would test less, not fail.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!poll.is_finished());
    poll
}

async fn bodies(poll: tokio::task::JoinHandle<Vec<ReceivedMessage>>) -> Vec<String> {
    let messages = tokio::time::timeout(SOON, poll).await.expect("woken").unwrap();
    messages.into_iter().map(|message| message.body).collect()
}

#[tokio::test]
async fn a_long_poll_is_woken_by_a_message_that_is_sent() {
    let stack = Stack::with_queue(&[]).await;
    let poll = long_poll(&stack, QUEUE).await;
    stack.send("x").await;
    assert_eq!(bodies(poll).await, ["x"]);
}

#[tokio::test]
async fn a_long_poll_is_woken_when_the_clock_passes_a_delay() {
    let stack = Stack::with_queue(&[]).await;
    let poll = long_poll(&stack, QUEUE).await;
    stack.sqs.send(QUEUE, SendMessage { delay_seconds: Some(15), ..SendMessage::new("x") }).await.unwrap();
    stack.pass(16);
    assert_eq!(bodies(poll).await, ["x"]);
}

#[tokio::test]
async fn a_long_poll_is_woken_when_a_visibility_timeout_passes() {
    let stack = Stack::with_queue(&[("VisibilityTimeout", "10")]).await;
    stack.send("x").await;
    stack.receive_one().await;
    let poll = long_poll(&stack, QUEUE).await;
    stack.pass(11);
    assert_eq!(bodies(poll).await, ["x"]);
}

#[tokio::test]
async fn a_long_poll_is_woken_when_a_message_is_given_back() {
    let stack = Stack::with_queue(&[]).await;
    stack.send("x").await;
    let handle = stack.receive_one().await.receipt_handle;
    let poll = long_poll(&stack, QUEUE).await;
    stack.sqs.change_visibility(QUEUE, &handle, 0).await.unwrap();
    assert_eq!(bodies(poll).await, ["x"]);
}

#[tokio::test]
async fn a_long_poll_of_a_dead_letter_queue_is_woken_by_a_redrive() {
    let stack = Stack::new();
    stack.create(DEAD, &[]).await.unwrap();
    stack.create(QUEUE, &[("RedrivePolicy", &redrive(DEAD, 1)), ("VisibilityTimeout", "0")]).await.unwrap();
    stack.send("x").await;
    stack.receive_one().await;
    let poll = long_poll(&stack, DEAD).await;
    assert!(stack.receive().await.is_empty());
    assert_eq!(bodies(poll).await, ["x"]);
}

#[tokio::test]
async fn a_long_poll_ends_empty_when_its_time_has_passed_on_the_clock() {
    let stack = Stack::with_queue(&[]).await;
    let poll = long_poll(&stack, QUEUE).await;
    stack.pass(21);
    assert!(bodies(poll).await.is_empty());
}

#[tokio::test]
async fn the_queues_own_wait_makes_a_receive_a_long_poll() {
    let stack = Stack::with_queue(&[("ReceiveMessageWaitTimeSeconds", "20")]).await;
    let sqs = stack.sqs.clone();
    let poll = tokio::spawn(async move { sqs.receive(QUEUE, ReceiveRequest::default()).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!poll.is_finished());
    stack.send("x").await;
    assert_eq!(bodies(poll).await, ["x"]);
}

#[tokio::test]
async fn a_long_poll_learns_that_its_queue_was_deleted() {
    let stack = Stack::with_queue(&[]).await;
    let sqs = stack.sqs.clone();
    let request = ReceiveRequest { wait_seconds: Some(20), ..ReceiveRequest::default() };
    let poll = tokio::spawn(async move { sqs.receive(QUEUE, request).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    stack.sqs.delete_queue(QUEUE).await.unwrap();
    let result = tokio::time::timeout(SOON, poll).await.expect("woken").unwrap();
    assert_eq!(result, Err(SqsError::QueueDoesNotExist));
}

#[tokio::test]
async fn of_many_long_polls_each_message_goes_to_one() {
    let stack = Stack::with_queue(&[]).await;
    let mut polls = Vec::new();
    for _ in 0..20 {
        let sqs = stack.sqs.clone();
        let request = ReceiveRequest { wait_seconds: Some(20), ..ReceiveRequest::default() };
        polls.push(tokio::spawn(async move { sqs.receive(QUEUE, request).await.unwrap() }));
    }
    for n in 0..20 {
        stack.send(&n.to_string()).await;
    }
    let mut all = Vec::new();
    for poll in polls {
        all.extend(bodies(poll).await);
    }
    all.sort_by_key(|body| body.parse::<u32>().unwrap());
    assert_eq!(all, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

// --- deleting ---

#[tokio::test]
async fn a_deleted_message_does_not_come_back() {
    let stack = Stack::with_queue(&[]).await;
    stack.send("x").await;
    let handle = stack.receive_one().await.receipt_handle;
    stack.sqs.delete(QUEUE, &handle).await.unwrap();
    stack.sqs.delete(QUEUE, &handle).await.unwrap();
    stack.pass(1000);
    assert!(stack.receive().await.is_empty());
}

#[tokio::test]
async fn the_newest_handle_deletes_after_the_visibility_timeout_too() {
    let stack = Stack::with_queue(&[]).await;
    stack.send("x").await;
    let handle = stack.receive_one().await.receipt_handle;
    stack.pass(31);
    stack.sqs.delete(QUEUE, &handle).await.unwrap();
    assert_eq!(stack.counts(QUEUE).await, (0, 0, 0));
}

#[tokio::test]
async fn a_delete_with_an_old_handle_succeeds_and_deletes_nothing() {
    let stack = Stack::with_queue(&[]).await;
    stack.send("x").await;
    let stale = stack.receive_one().await.receipt_handle;
    stack.pass(31);
    stack.receive_one().await;
    stack.sqs.delete(QUEUE, &stale).await.unwrap();
    assert_eq!(stack.counts(QUEUE).await, (0, 1, 0));
}

#[tokio::test]
async fn what_is_no_handle_of_this_queue_is_refused() {
    let stack = Stack::with_queue(&[]).await;
    stack.create("other", &[]).await.unwrap();
    stack.send("x").await;
    let handle = stack.receive_one().await.receipt_handle;
    for (queue, handle) in [(QUEUE, "nonsense"), (QUEUE, "QUJD"), ("other", handle.as_str())] {
        assert_eq!(stack.sqs.delete(queue, handle).await.unwrap_err().code(), "ReceiptHandleIsInvalid");
        let change = stack.sqs.change_visibility(queue, handle, 0).await;
        assert_eq!(change.unwrap_err().code(), "ReceiptHandleIsInvalid");
    }
}

// --- visibility ---

#[tokio::test]
async fn a_changed_visibility_counts_from_the_change() {
    let stack = Stack::with_queue(&[("VisibilityTimeout", "30")]).await;
    stack.send("x").await;
    let handle = stack.receive_one().await.receipt_handle;
    stack.pass(20);
    stack.sqs.change_visibility(QUEUE, &handle, 100).await.unwrap();
    stack.pass(98);
    assert!(stack.receive().await.is_empty());
    stack.pass(2);
    assert_eq!(stack.receive().await.len(), 1);
}

#[tokio::test]
async fn visibility_is_0_to_43200_s_and_ends_12_hours_after_receipt() {
    let stack = Stack::with_queue(&[("VisibilityTimeout", "43200")]).await;
    stack.send("x").await;
    let handle = stack.receive_one().await.receipt_handle;
    for bad in [-1, 43_201] {
        assert_eq!(
            stack.sqs.change_visibility(QUEUE, &handle, bad).await.unwrap_err().code(),
            "InvalidParameterValue"
        );
    }
    stack.pass(40_000);
    let error = stack.sqs.change_visibility(QUEUE, &handle, 3_201).await.unwrap_err();
    assert!(error.to_string().contains("Total VisibilityTimeout"), "{error}");
    stack.sqs.change_visibility(QUEUE, &handle, 3_190).await.unwrap();
}

#[tokio::test]
async fn a_visible_messages_visibility_cannot_be_changed() {
    let stack = Stack::with_queue(&[]).await;
    stack.send("x").await;
    let handle = stack.receive_one().await.receipt_handle;
    stack.pass(31);
    assert_eq!(stack.sqs.change_visibility(QUEUE, &handle, 10).await, Err(SqsError::MessageNotInflight));
}

#[tokio::test]
async fn a_deleted_message_or_an_old_handle_changes_no_visibility() {
    let stack = Stack::with_queue(&[]).await;
    stack.send("x").await;
    let first = stack.receive_one().await.receipt_handle;
    stack.pass(31);
    let second = stack.receive_one().await.receipt_handle;
    let error = stack.sqs.change_visibility(QUEUE, &first, 0).await.unwrap_err();
    assert_eq!(error.code(), "InvalidParameterValue");
    assert_eq!(stack.counts(QUEUE).await, (0, 1, 0), "the newer receive keeps it");
    stack.sqs.delete(QUEUE, &second).await.unwrap();
    let error = stack.sqs.change_visibility(QUEUE, &second, 0).await.unwrap_err();
    assert!(error.to_string().contains("Message does not exist"), "{error}");
}

// --- dead letters ---

#[tokio::test]
async fn a_message_over_its_receive_count_goes_to_the_dead_letters() {
    let stack = Stack::new();
    stack.create(DEAD, &[]).await.unwrap();
    stack.create(QUEUE, &[("RedrivePolicy", &redrive(DEAD, 2)), ("VisibilityTimeout", "0")]).await.unwrap();
    let id = stack.send("x").await;
    let first = stack.receive_one().await;
    stack.receive_one().await;
    assert_eq!(stack.counts(DEAD).await, (0, 0, 0));
    assert!(stack.receive().await.is_empty());
    assert_eq!(stack.counts(QUEUE).await, (0, 0, 0));
    let dead = stack.receive_from(DEAD).await.remove(0);
    assert_eq!((dead.message_id, dead.body.as_str()), (id, "x"));
    assert_eq!(dead.receive_count, 3, "the count goes on");
    assert_eq!(dead.sent_ms, first.sent_ms);
    assert_eq!(dead.first_receive_ms, first.first_receive_ms);
    assert_eq!(dead.dead_letter_source.as_deref(), Some("arn:aws:sqs:eu-west-1:000000000000:queue"));
    stack.sqs.delete(DEAD, &dead.receipt_handle).await.unwrap();
    assert_eq!(stack.counts(DEAD).await, (0, 0, 0));
}

#[tokio::test]
async fn messages_behind_a_dead_letter_come_in_the_same_call() {
    let stack = Stack::new();
    stack.create(DEAD, &[]).await.unwrap();
    stack.create(QUEUE, &[("RedrivePolicy", &redrive(DEAD, 1))]).await.unwrap();
    stack.send("poison").await;
    stack.receive_one().await;
    stack.pass(31);
    stack.send("good").await;
    assert_eq!(stack.receive_one().await.body, "good");
    assert_eq!(stack.counts(DEAD).await, (1, 0, 0));
}

#[tokio::test]
async fn dead_letters_expire_by_their_first_sending() {
    let stack = Stack::new();
    stack.create(DEAD, &[("MessageRetentionPeriod", "100")]).await.unwrap();
    stack.create(QUEUE, &[("RedrivePolicy", &redrive(DEAD, 1)), ("VisibilityTimeout", "0")]).await.unwrap();
    stack.send("x").await;
    stack.receive_one().await;
    stack.pass(95);
    assert!(stack.receive().await.is_empty());
    assert_eq!(stack.counts(DEAD).await, (1, 0, 0));
    stack.pass(6);
    assert_eq!(stack.counts(DEAD).await, (0, 0, 0));
}

#[tokio::test]
async fn a_dead_letter_queue_with_a_limit_counts_its_own_receives() {
    let stack = Stack::new();
    stack.create("last", &[]).await.unwrap();
    stack.create(DEAD, &[("RedrivePolicy", &redrive("last", 1)), ("VisibilityTimeout", "0")]).await.unwrap();
    stack.create(QUEUE, &[("RedrivePolicy", &redrive(DEAD, 2)), ("VisibilityTimeout", "0")]).await.unwrap();
    stack.send("x").await;
    for _ in 0..3 {
        stack.receive().await;
    }
    assert_eq!(stack.receive_from(DEAD).await.len(), 1);
    assert!(stack.receive_from(DEAD).await.is_empty());
    assert_eq!(stack.receive_from("last").await[0].receive_count, 4);
}

#[tokio::test]
async fn a_dead_letter_queue_must_exist_be_another_and_allow_it() {
    let stack = Stack::with_queue(&[]).await;
    stack.create("closed", &[("RedriveAllowPolicy", r#"{"redrivePermission":"denyAll"}"#)]).await.unwrap();
    let by_queue =
        r#"{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:eu-west-1:000000000000:queue"]}"#;
    stack.create("chosen", &[("RedriveAllowPolicy", by_queue)]).await.unwrap();
    for bad in ["none", QUEUE, "closed"] {
        let error =
            stack.sqs.set_queue_attributes(QUEUE, texts(&[("RedrivePolicy", &redrive(bad, 1))])).await;
        assert_eq!(error.unwrap_err().code(), "InvalidParameterValue", "{bad}");
    }
    stack.sqs.set_queue_attributes(QUEUE, texts(&[("RedrivePolicy", &redrive("chosen", 1))])).await.unwrap();
    assert!(stack.create("other", &[("RedrivePolicy", &redrive("chosen", 1))]).await.is_err());
    assert_eq!(stack.sqs.dead_letter_sources("chosen", None, 10).await.unwrap().names, [QUEUE]);
    assert!(stack.sqs.dead_letter_sources(QUEUE, None, 10).await.unwrap().names.is_empty());
}

#[tokio::test]
async fn where_the_dead_letter_queue_was_deleted_the_message_stays() {
    let stack = Stack::new();
    stack.create(DEAD, &[]).await.unwrap();
    stack.create(QUEUE, &[("RedrivePolicy", &redrive(DEAD, 1)), ("VisibilityTimeout", "0")]).await.unwrap();
    stack.sqs.delete_queue(DEAD).await.unwrap();
    stack.send("x").await;
    for count in 1..=3 {
        assert_eq!(stack.receive_one().await.receive_count, count);
    }
}

// --- batches ---

fn entry<T>(id: &str, value: T) -> BatchEntry<T> {
    BatchEntry { id: id.to_owned(), value }
}

#[tokio::test]
async fn a_batch_has_1_to_10_entries_with_distinct_valid_ids() {
    let stack = Stack::with_queue(&[]).await;
    let code = |ids: Vec<String>| {
        let sqs = stack.sqs.clone();
        async move {
            let entries = ids.into_iter().map(|id| BatchEntry { id, value: SendMessage::new("x") }).collect();
            sqs.send_batch(QUEUE, entries).await.map(|results| results.len()).map_err(|error| error.code())
        }
    };
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(code(vec![]).await, Err("AWS.SimpleQueueService.EmptyBatchRequest"));
    let numbered = |n: usize| (0..n).map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(code(numbered(11)).await, Err("AWS.SimpleQueueService.TooManyEntriesInBatchRequest"));
    assert_eq!(code(numbered(10)).await, Ok(10));
    assert_eq!(code(ids(&["a", "a"])).await, Err("AWS.SimpleQueueService.BatchEntryIdsNotDistinct"));
    for bad in ["", "a b", "ü", &"i".repeat(81)] {
        assert_eq!(code(ids(&[bad])).await, Err("AWS.SimpleQueueService.InvalidBatchEntryId"), "{bad}");
    }
    assert_eq!(code(ids(&[&"i".repeat(80), "A-z_0"])).await, Ok(2));
    assert_eq!(stack.counts(QUEUE).await.0, 12, "a refused batch sends nothing");
}

#[tokio::test]
async fn a_batch_of_more_than_one_mebibyte_together_is_refused() {
    let stack = Stack::with_queue(&[]).await;
    let half = MAX_MESSAGE_BYTES / 2;
    let batch = |second: usize| {
        vec![entry("a", SendMessage::new("x".repeat(half))), entry("b", SendMessage::new("x".repeat(second)))]
    };
    let error = stack.sqs.send_batch(QUEUE, batch(half + 1)).await.unwrap_err();
    assert_eq!(error, SqsError::BatchRequestTooLong(MAX_MESSAGE_BYTES + 1));
    stack.sqs.send_batch(QUEUE, batch(half)).await.unwrap();
}

#[tokio::test]
async fn in_a_batch_each_entry_has_its_own_result_in_its_place() {
    let stack = Stack::with_queue(&[]).await;
    let late = SendMessage { delay_seconds: Some(901), ..SendMessage::new("x") };
    let entries = vec![
        entry("empty", SendMessage::new("")),
        entry("good", SendMessage::new("good")),
        entry("late", late),
        entry("control", SendMessage::new("\u{1}")),
        entry("fine", SendMessage::new("fine")),
    ];
    let results = stack.sqs.send_batch(QUEUE, entries).await.unwrap();
    let codes: Vec<_> = results.iter().map(|r| r.value.as_ref().err().map(SqsError::code)).collect();
    assert_eq!(
        codes,
        [Some("MissingParameter"), None, Some("InvalidParameterValue"), Some("InvalidMessageContents"), None]
    );
    let received = stack.receive().await;
    let by_id: Vec<_> = received.iter().map(|m| (m.message_id.as_str(), m.body.as_str())).collect();
    let sent = |at: usize| results[at].value.as_ref().unwrap().message_id.as_str();
    assert_eq!(by_id, [(sent(1), "good"), (sent(4), "fine")]);
}

#[tokio::test]
async fn deletes_and_visibility_changes_come_in_batches_too() {
    let stack = Stack::with_queue(&[]).await;
    stack.send("a").await;
    stack.send("b").await;
    let handles: Vec<String> =
        stack.receive().await.into_iter().map(|message| message.receipt_handle).collect();
    let changes = vec![entry("a", (handles[0].clone(), 0)), entry("bad", ("x".to_owned(), 0))];
    let results = stack.sqs.change_visibility_batch(QUEUE, changes).await.unwrap();
    assert!(results[0].value.is_ok());
    assert_eq!(results[1].value.as_ref().unwrap_err().code(), "ReceiptHandleIsInvalid");
    assert_eq!(stack.counts(QUEUE).await, (1, 1, 0));
    let deletes =
        vec![entry("a", handles[0].clone()), entry("b", handles[1].clone()), entry("c", "x".to_owned())];
    let results = stack.sqs.delete_batch(QUEUE, deletes).await.unwrap();
    assert!(results[0].value.is_ok() && results[1].value.is_ok() && results[2].value.is_err());
    assert_eq!(stack.counts(QUEUE).await, (0, 0, 0));
}
