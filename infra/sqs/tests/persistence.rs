//! What is in a file survives, and how much of it moves in how little time.

#![expect(clippy::unwrap_used, reason = "what these tests share is outside of test functions")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use carteiro_clock::{Clock, testing};
use carteiro_sqs::{
    BatchEntry, MessageAttribute, MessageAttributes, OpenError, ReceiveRequest, ReceivedMessage, SendMessage,
    Sqs, SqsError, Storage,
};

const QUEUE: &str = "queue";

fn open(path: &Path, clock: &Clock) -> Sqs {
    Sqs::open(&Storage::File(path.to_owned()), clock.clone(), "eu-west-1").unwrap()
}

/// A service whose file is in a folder of its own.
fn opened() -> (tempfile::TempDir, PathBuf, Clock, Sqs) {
    let (folder, clock) = (tempfile::tempdir().unwrap(), testing::clock());
    let path = folder.path().join("sqs.db");
    let sqs = open(&path, &clock);
    (folder, path, clock, sqs)
}

async fn create(sqs: &Sqs, name: &str, attributes: &[(&str, &str)]) {
    let attributes = attributes.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    sqs.create_queue(name, attributes, BTreeMap::new()).await.unwrap();
}

async fn receive(sqs: &Sqs, queue: &str) -> Vec<ReceivedMessage> {
    let request = ReceiveRequest { max_messages: Some(10), ..ReceiveRequest::default() };
    sqs.receive(queue, request).await.unwrap()
}

#[tokio::test]
async fn queues_and_messages_are_there_after_a_reopening() {
    let (_folder, path, clock, sqs) = opened();
    create(&sqs, QUEUE, &[("VisibilityTimeout", "77")]).await;
    sqs.change_queue_tags(QUEUE, BTreeMap::from([("k".to_owned(), "v".to_owned())]), vec![]).await.unwrap();
    let mut attributes = MessageAttributes::new();
    attributes.insert("a", MessageAttribute::bytes([0, 1, 255])).unwrap();
    let message = SendMessage {
        attributes: attributes.clone(),
        group_id: Some("g".to_owned()),
        trace_header: Some("t".to_owned()),
        ..SendMessage::new("olá")
    };
    let sent = sqs.send(QUEUE, message).await.unwrap();
    let described = sqs.describe_queue(QUEUE).await.unwrap();
    sqs.close().await;
    assert!(matches!(sqs.describe_queue(QUEUE).await, Err(SqsError::Unavailable(_))));

    let sqs = open(&path, &clock);
    assert_eq!(sqs.describe_queue(QUEUE).await.unwrap(), described);
    assert_eq!(sqs.queue_tags(QUEUE).await.unwrap()["k"], "v");
    let message = receive(&sqs, QUEUE).await.remove(0);
    assert_eq!((message.message_id, message.body.as_str()), (sent.message_id, "olá"));
    assert_eq!(message.attributes, attributes);
    assert_eq!((message.group_id.as_deref(), message.trace_header.as_deref()), (Some("g"), Some("t")));
}

#[tokio::test]
async fn on_opening_messages_in_flight_are_visible_and_keep_handles() {
    let (_folder, path, clock, sqs) = opened();
    create(&sqs, QUEUE, &[]).await;
    for body in ["a", "b", "c"] {
        sqs.send(QUEUE, SendMessage::new(body)).await.unwrap();
    }
    let before = receive(&sqs, QUEUE).await;
    // Without closing: the last handle goes, and the thread with it.
    drop(sqs);
    let sqs = open(&path, &clock);
    sqs.delete(QUEUE, &before[1].receipt_handle).await.unwrap();
    let after = receive(&sqs, QUEUE).await;
    let seen: Vec<_> = after.iter().map(|m| (m.body.as_str(), m.receive_count)).collect();
    assert_eq!(seen, [("a", 2), ("c", 2)]);
    assert_eq!(after[0].first_receive_ms, before[0].first_receive_ms);
    sqs.delete(QUEUE, &before[0].receipt_handle).await.unwrap();
    assert_eq!(
        sqs.describe_queue(QUEUE).await.unwrap().counts.in_flight,
        2,
        "an earlier handle deletes nothing"
    );
}

#[tokio::test]
async fn delays_keep_their_time_over_a_reopening() {
    let (_folder, path, clock, sqs) = opened();
    create(&sqs, QUEUE, &[]).await;
    sqs.send(QUEUE, SendMessage { delay_seconds: Some(100), ..SendMessage::new("x") }).await.unwrap();
    sqs.close().await;
    clock.advance(Duration::from_secs(90));
    let sqs = open(&path, &clock);
    assert!(receive(&sqs, QUEUE).await.is_empty());
    clock.advance(Duration::from_secs(11));
    assert_eq!(receive(&sqs, QUEUE).await.len(), 1);
}

#[tokio::test]
async fn what_expired_while_nobody_looked_is_gone_on_opening() {
    let (_folder, path, clock, sqs) = opened();
    create(&sqs, QUEUE, &[("MessageRetentionPeriod", "60")]).await;
    sqs.send(QUEUE, SendMessage::new("x")).await.unwrap();
    sqs.close().await;
    clock.advance(Duration::from_secs(61));
    let sqs = open(&path, &clock);
    assert_eq!(sqs.describe_queue(QUEUE).await.unwrap().counts.visible, 0);
}

#[tokio::test]
async fn a_dead_letter_keeps_its_source_and_count_over_a_reopening() {
    let (_folder, path, clock, sqs) = opened();
    create(&sqs, "dead", &[]).await;
    let redrive =
        r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:000000000000:dead","maxReceiveCount":"1"}"#;
    create(&sqs, QUEUE, &[("RedrivePolicy", redrive), ("VisibilityTimeout", "0")]).await;
    sqs.send(QUEUE, SendMessage::new("x")).await.unwrap();
    assert_eq!(receive(&sqs, QUEUE).await.len(), 1);
    assert!(receive(&sqs, QUEUE).await.is_empty());
    sqs.close().await;
    let sqs = open(&path, &clock);
    let dead = receive(&sqs, "dead").await.remove(0);
    assert_eq!(dead.receive_count, 2);
    assert_eq!(dead.dead_letter_source.as_deref(), Some("arn:aws:sqs:eu-west-1:000000000000:queue"));
}

#[tokio::test]
async fn ids_and_handles_are_never_given_twice_over_reopenings() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sqs.db");
    let clock = testing::clock();
    let mut ids = std::collections::HashSet::new();
    let mut stale = String::new();
    for round in 0..3 {
        let sqs = open(&path, &clock);
        create(&sqs, QUEUE, &[]).await;
        assert!(ids.insert(sqs.send(QUEUE, SendMessage::new("x")).await.unwrap().message_id));
        let message = receive(&sqs, QUEUE).await.remove(0);
        if round > 0 {
            sqs.delete(QUEUE, &stale).await.unwrap();
            assert_eq!(sqs.describe_queue(QUEUE).await.unwrap().counts.in_flight, 1);
        }
        stale.clone_from(&message.receipt_handle);
        sqs.delete(QUEUE, &message.receipt_handle).await.unwrap();
        sqs.close().await;
    }
}

/// The files as they are at this moment are what a killed process leaves behind.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_answered_is_in_the_files_at_any_moment() {
    let (directory, path, clock, sqs) = opened();
    create(&sqs, QUEUE, &[]).await;
    let mut senders = Vec::new();
    for sender in 0..8 {
        let sqs = sqs.clone();
        senders.push(tokio::spawn(async move {
            for n in 0..50 {
                sqs.send(QUEUE, SendMessage::new(format!("{sender}-{n}"))).await.unwrap();
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let taken = receive(&sqs, QUEUE).await;
    for message in &taken[..5] {
        sqs.delete(QUEUE, &message.receipt_handle).await.unwrap();
    }
    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(directory.path().join("sqs.db-wal"), directory.path().join("copy.db-wal")).unwrap();

    let revived = open(&copy, &clock);
    assert_eq!(revived.describe_queue(QUEUE).await.unwrap().counts.visible, 395);
    let counts: Vec<_> = receive(&revived, QUEUE).await.iter().map(|m| m.receive_count).collect();
    assert_eq!(counts, [2, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
}

#[tokio::test]
async fn a_file_that_is_open_is_not_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sqs.db");
    let _sqs = open(&path, &testing::clock());
    let storage = Storage::File(path);
    let again = tokio::task::spawn_blocking(move || Sqs::open(&storage, testing::clock(), "eu-west-1"));
    assert!(matches!(again.await.unwrap(), Err(OpenError::Store(_))));
}

#[tokio::test]
async fn a_file_of_a_later_version_or_of_something_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let later = directory.path().join("later.db");
    rusqlite::Connection::open(&later).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let other = directory.path().join("other.db");
    std::fs::write(&other, "x".repeat(5000)).unwrap();
    for path in [later, other, directory.path().join("no/such/directory.db")] {
        assert!(Sqs::open(&Storage::File(path.clone()), testing::clock(), "r").is_err(), "{path:?}");
    }
}

#[tokio::test]
async fn a_region_has_a_regions_form() {
    for bad in ["", "a b", "a:b"] {
        assert!(matches!(Sqs::open(&Storage::Memory, testing::clock(), bad), Err(OpenError::Region(_))));
    }
}

#[tokio::test]
async fn deleted_queues_and_purged_messages_stay_gone_on_reopening() {
    let (_folder, path, clock, sqs) = opened();
    for name in ["gone", "purged", "kept"] {
        create(&sqs, name, &[]).await;
        sqs.send(name, SendMessage::new(name)).await.unwrap();
    }
    sqs.delete_queue("gone").await.unwrap();
    sqs.purge_queue("purged").await.unwrap();
    sqs.close().await;
    let sqs = open(&path, &clock);
    assert_eq!(sqs.list_queues("", None, 10).await.unwrap().names, ["kept", "purged"]);
    assert!(receive(&sqs, "purged").await.is_empty());
    assert_eq!(receive(&sqs, "kept").await[0].body, "kept");
}

#[expect(clippy::disallowed_methods, reason = "this measures the machine's own time")]
fn watch() -> Instant {
    Instant::now()
}

/// Sends `count` messages of 256 bytes in batches of ten from eight tasks.
async fn send_all(sqs: &Sqs, count: usize) {
    let body = "x".repeat(256);
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (sqs, body) = (sqs.clone(), body.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..count / 80 {
                let entry = |n: i32| BatchEntry { id: n.to_string(), value: SendMessage::new(body.clone()) };
                sqs.send_batch(QUEUE, (0..10).map(entry).collect()).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// Receives and deletes `count` messages in batches of ten from eight tasks.
async fn drain(sqs: &Sqs, count: usize) {
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let sqs = sqs.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..count / 80 {
                let messages = receive(&sqs, QUEUE).await;
                assert_eq!(messages.len(), 10);
                let entry = |(n, m): (usize, ReceivedMessage)| BatchEntry {
                    id: n.to_string(),
                    value: m.receipt_handle,
                };
                let results =
                    sqs.delete_batch(QUEUE, messages.into_iter().enumerate().map(entry).collect()).await;
                assert!(results.unwrap().iter().all(|result| result.value.is_ok()));
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// How long sending, and receiving and deleting, take at best: the shortest of some rounds, which whatever else the
/// machine does cannot make shorter.
async fn shortest_round(sqs: &Sqs) -> [Duration; 2] {
    const ROUNDS: usize = 8;
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        let begun = watch();
        send_all(sqs, 800).await;
        let sent = watch();
        drain(sqs, 800).await;
        best = [best[0].min(sent - begun), best[1].min(sent.elapsed())];
    }
    best
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_100000_messages_does_not_slow_sends_or_receives() {
    const BACKLOG: usize = 100_000;
    let directory = tempfile::tempdir().unwrap();
    let sqs = open(&directory.path().join("sqs.db"), &testing::clock());
    create(&sqs, QUEUE, &[("VisibilityTimeout", "3600")]).await;
    let alone = shortest_round(&sqs).await;
    send_all(&sqs, BACKLOG).await;
    let behind = shortest_round(&sqs).await;
    println!("800 messages alone: {alone:?}; behind {BACKLOG}: {behind:?} (sent; received and deleted)");
    drain(&sqs, BACKLOG).await;
    assert_eq!(sqs.describe_queue(QUEUE).await.unwrap().counts.visible, 0);
    for (alone, behind) in alone.iter().zip(behind) {
        // A scan of the backlog would take a hundred times as long.
        assert!(behind < *alone * 10, "{alone:?} alone, {behind:?} behind {BACKLOG}");
    }
}
