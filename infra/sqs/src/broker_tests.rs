//! Rules that take too many messages, or too exact a time, to be told on the handle.

use std::collections::BTreeMap;

use crate::broker::{Broker, Change, Effects, Look};
use crate::error::SqsError;
use crate::message::{ReceiveRequest, SendMessage};
use crate::queue::MAX_IN_FLIGHT;
use crate::receipt::Names;

const QUEUE: &str = "queue";

fn broker() -> Broker {
    let mut broker = Broker::new("eu-west-1".to_owned(), Names::new([1; 32]), 1);
    broker.create_queue(0, QUEUE, &BTreeMap::new(), BTreeMap::new(), &mut Effects::default()).unwrap();
    broker
}

fn send(broker: &mut Broker, now: u64, count: usize) {
    let messages = (0..count).map(|n| SendMessage::new(n.to_string()).prepare().unwrap()).collect();
    for result in broker.send(now, QUEUE, messages, &mut Effects::default()).unwrap() {
        result.unwrap();
    }
}

fn receive(broker: &mut Broker, now: u64, max: i32) -> Look {
    let request = ReceiveRequest {
        max_messages: Some(max),
        visibility_timeout: Some(100),
        ..ReceiveRequest::default()
    };
    broker.receive(now, QUEUE, request, &mut Effects::default()).unwrap()
}

#[test]
fn at_120000_messages_in_flight_nothing_more_is_received() {
    let mut broker = broker();
    send(&mut broker, 0, MAX_IN_FLIGHT + 5);
    let mut last = None;
    for _ in 0..MAX_IN_FLIGHT / 10 {
        let look = receive(&mut broker, 0, 10);
        assert!(!look.full);
        assert_eq!(look.taken.len(), 10);
        last = look.taken.into_iter().next_back();
    }
    let look = receive(&mut broker, 0, 10);
    assert!(look.full && look.taken.is_empty());
    let mut effects = Effects::default();
    broker.delete(0, QUEUE, &last.unwrap().receipt_handle, &mut effects).unwrap();
    assert_eq!(effects.wake.len(), 1, "who waits for room is woken");
    assert_eq!(receive(&mut broker, 0, 10).taken.len(), 1);
    assert_eq!(broker.queue(QUEUE).unwrap().counts().visible, 4);
}

#[test]
fn a_message_is_visible_again_at_the_very_end_of_its_timeout() {
    let mut broker = broker();
    send(&mut broker, 0, 1);
    assert_eq!(receive(&mut broker, 0, 1).taken.len(), 1);
    let look = receive(&mut broker, 99_999, 1);
    assert!(look.taken.is_empty());
    assert_eq!(look.next_due, Some(100_000));
    assert_eq!(receive(&mut broker, 100_000, 1).taken.len(), 1);
}

#[test]
fn a_message_is_gone_at_the_end_of_its_retention_even_in_flight() {
    let mut broker = broker();
    let retention_ms = 345_600_000;
    send(&mut broker, 0, 1);
    let taken = receive(&mut broker, retention_ms - 1, 1).taken.remove(0);
    let mut effects = Effects::default();
    let change = broker.change_visibility(retention_ms, QUEUE, &taken.receipt_handle, 5, &mut effects);
    assert_eq!(change.unwrap_err().code(), "InvalidParameterValue");
    assert!(matches!(effects.changes[..], [Change::Deleted { seq }] if seq == taken.seq));
}

#[test]
fn time_that_goes_back_is_taken_as_standing_still() {
    let mut broker = broker();
    send(&mut broker, 5000, 1);
    assert_eq!(receive(&mut broker, 4000, 1).taken[0].first_receive_ms, 5000);
}

#[test]
fn messages_keep_their_order_and_a_returned_one_goes_last() {
    let mut broker = broker();
    send(&mut broker, 0, 3);
    let first = receive(&mut broker, 1, 1).taken.remove(0);
    broker.change_visibility(2, QUEUE, &first.receipt_handle, 0, &mut Effects::default()).unwrap();
    send(&mut broker, 3, 1);
    let order: Vec<u64> = receive(&mut broker, 4, 10).taken.iter().map(|taken| taken.seq).collect();
    assert_eq!(order, [first.seq + 1, first.seq + 2, first.seq, first.seq + 3]);
}

#[test]
fn a_message_received_with_no_timeout_is_not_in_flight() {
    let mut broker = broker();
    send(&mut broker, 0, 1);
    let request =
        ReceiveRequest { max_messages: Some(10), visibility_timeout: Some(0), ..ReceiveRequest::default() };
    let look = broker.receive(0, QUEUE, request, &mut Effects::default()).unwrap();
    assert_eq!(look.taken.len(), 1);
    let change =
        broker.change_visibility(0, QUEUE, &look.taken[0].receipt_handle, 5, &mut Effects::default());
    assert_eq!(change, Err(SqsError::MessageNotInflight));
}

#[test]
fn a_waiting_receiver_is_woken_only_by_what_concerns_it() {
    let mut broker = broker();
    let wakes = |act: &mut dyn FnMut(&mut Effects)| {
        let mut effects = Effects::default();
        act(&mut effects);
        !effects.wake.is_empty()
    };
    let message =
        |delay| SendMessage { delay_seconds: Some(delay), ..SendMessage::new("x") }.prepare().unwrap();
    assert!(!wakes(&mut |effects| drop(broker.receive(0, QUEUE, ReceiveRequest::default(), effects))));
    assert!(wakes(&mut |effects| drop(broker.send(0, QUEUE, vec![message(0)], effects))), "a message came");
    let taken = receive(&mut broker, 0, 1).taken.remove(0);
    assert!(
        wakes(&mut |effects| drop(broker.send(0, QUEUE, vec![message(10)], effects))),
        "due before the other"
    );
    assert!(!wakes(&mut |effects| drop(broker.send(0, QUEUE, vec![message(11)], effects))), "due after it");
    let earlier =
        |effects: &mut Effects| drop(broker.change_visibility(0, QUEUE, &taken.receipt_handle, 5, effects));
    let mut earlier = earlier;
    assert!(wakes(&mut earlier), "due earlier than before");
}

fn send_of(broker: &mut Broker, now: u64, group: Option<&str>, count: usize) {
    let group = group.map(str::to_owned);
    let message = |n: usize| SendMessage { group_id: group.clone(), ..SendMessage::new(n.to_string()) };
    let messages = (0..count).map(|n| message(n).prepare().unwrap()).collect();
    for result in broker.send(now, QUEUE, messages, &mut Effects::default()).unwrap() {
        result.unwrap();
    }
}

/// How many messages of a receive have this group.
fn of_group(broker: &Broker, look: &Look, group: Option<&str>) -> usize {
    let queue = broker.queue(QUEUE).unwrap();
    let has = |seq: u64| queue.get(seq).unwrap().group.as_deref() == group;
    look.taken.iter().filter(|taken| has(taken.seq)).count()
}

fn delete(broker: &mut Broker, now: u64, look: &Look) {
    for taken in &look.taken {
        broker.delete(now, QUEUE, &taken.receipt_handle, &mut Effects::default()).unwrap();
    }
}

#[test]
fn a_group_with_thirty_and_a_tenth_of_all_in_flight_comes_last() {
    let mut broker = broker();
    send_of(&mut broker, 0, Some("loud"), 100);
    for _ in 0..2 {
        receive(&mut broker, 0, 10);
    }
    receive(&mut broker, 0, 9);
    send_of(&mut broker, 0, Some("quiet"), 2);
    send_of(&mut broker, 0, None, 1);
    // Nobody was in flight for any time yet, and 29 are not many.
    let look = receive(&mut broker, 0, 1);
    assert_eq!(of_group(&broker, &look, Some("loud")), 1);
    let look = receive(&mut broker, 0, 10);
    assert_eq!(of_group(&broker, &look, Some("quiet")), 2);
    assert_eq!(of_group(&broker, &look, None), 1);
    assert_eq!(of_group(&broker, &look, Some("loud")), 7, "nothing is held back");
}

#[test]
fn a_group_with_a_tenth_of_the_time_is_last_while_backlogged() {
    let mut broker = broker();
    send_of(&mut broker, 0, Some("slow"), 20);
    let first = receive(&mut broker, 0, 10);
    delete(&mut broker, 10_000, &first);
    send_of(&mut broker, 10_000, Some("quick"), 5);
    let look = receive(&mut broker, 10_000, 5);
    assert_eq!(of_group(&broker, &look, Some("quick")), 5);
    delete(&mut broker, 10_050, &look);
    let rest = receive(&mut broker, 10_050, 10);
    assert_eq!(of_group(&broker, &rest, Some("slow")), 10);
    delete(&mut broker, 20_000, &rest);
    send_of(&mut broker, 20_000, Some("slow"), 1);
    send_of(&mut broker, 20_001, Some("quick"), 1);
    let look = receive(&mut broker, 20_001, 1);
    assert_eq!(of_group(&broker, &look, Some("slow")), 1, "what it took before is forgotten");
}
