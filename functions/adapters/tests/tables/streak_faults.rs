//! `StreakTable` where calls fail: a write that counts reaches the table once, even if its answer is lost, unless it
//! was certainly refused before it was made.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_core::streak::{Answer, Counted, Recorded, Recording, Results, Rule, State, start};
use carteiro_core::transition::{Change, Condition, Effect, Value, Write};

use crate::database::{NOW_MS, at, clock, new_streak};
use crate::proxy::{Fate, Proxy};

const RULE: Rule = Rule { threshold: 10, block: Duration::from_secs(60), raises_notices: true };

/// A write that starts a streak of two.
fn starting() -> Write {
    start(
        None,
        &Counted { failures: 2, last_error: "e".to_owned(), timeouts_only: false },
        RULE,
        "s",
        at(NOW_MS),
    )
}

/// Makes the write through a proxy that applies these fates in order, and lets later writes through. Answers the
/// result, how many writes arrived, and the failures that the row then counts.
async fn make(
    timeout: Duration,
    fates: &'static [Fate],
) -> (Result<Answer, AdapterError>, usize, Option<Value>) {
    let (key, clock) = (new_streak(), clock(NOW_MS, timeout));
    let proxy = Proxy::start(&key, clock, |_, nth| {
        usize::try_from(nth).ok().and_then(|nth| fates.get(nth)).copied().unwrap_or(Fate::Proceed)
    })
    .await;
    let answer = proxy.table.write(&key, &starting(), clock).await;
    let row = proxy.direct.read(&key).await.unwrap().unwrap_or_default();
    let arrived = proxy.history().await.len();
    (answer, arrived, row.get("failures").cloned())
}

#[tokio::test]
async fn a_throttled_write_is_repeated_until_it_is_made_once() {
    let (answer, arrived, failures) = make(Duration::from_secs(30), &[Fate::Throttle, Fate::Throttle]).await;
    assert_eq!(answer.unwrap(), Answer::Made);
    assert_eq!((arrived, failures), (3, Some(Value::Number(2))));
}

#[tokio::test]
async fn a_write_that_stays_throttled_is_given_up_unmade() {
    let (answer, arrived, failures) = make(Duration::from_millis(4200), &[Fate::Throttle; 50]).await;
    assert!(answer.unwrap_err().is_transient());
    assert!((2..10).contains(&arrived), "{arrived}");
    assert_eq!(failures, None);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_not_repeated() {
    for (fate, failures) in [
        (&[Fate::FailBefore], None),
        (&[Fate::DropBefore], None),
        (&[Fate::FailAfter], Some(Value::Number(2))),
        (&[Fate::DropAfter], Some(Value::Number(2))),
    ] {
        let (answer, arrived, found) = make(Duration::from_secs(30), fate).await;
        assert_eq!(answer.unwrap(), Answer::Lost, "{fate:?}");
        assert_eq!((arrived, found), (1, failures), "{fate:?}");
    }
}

#[tokio::test]
async fn a_write_on_a_reused_connection_is_not_repeated() {
    let (key, clock) = (new_streak(), clock(NOW_MS, Duration::from_secs(30)));
    let drop_the_second_write = |operation: &str, nth| match (operation, nth) {
        ("UpdateItem", 3) => Fate::DropAfter,
        _ => Fate::Proceed,
    };
    let proxy = Proxy::start(&key, clock, drop_the_second_write).await;
    let add = Effect::Update(vec![Change::Add("failures", 1)]);
    let write = Write { name: "add", condition: Condition::Missing("epoch"), effect: add };
    proxy.table.read(&key).await.unwrap();
    assert_eq!(proxy.table.write(&key, &write, clock).await.unwrap(), Answer::Made);
    proxy.table.read(&key).await.unwrap();
    assert_eq!(proxy.table.write(&key, &write, clock).await.unwrap(), Answer::Lost);
    assert_eq!(proxy.history().await.len(), 2);
    assert_eq!(proxy.table.read(&key).await.unwrap().unwrap()["failures"], Value::Number(2));
}

#[tokio::test]
async fn a_malformed_write_is_an_error_and_not_repeated() {
    let (key, clock) = (new_streak(), clock(NOW_MS, Duration::from_secs(30)));
    let proxy = Proxy::start(&key, clock, |_, _| Fate::Proceed).await;
    let twice = vec![Change::Set("failures", Value::Number(1)), Change::Remove("failures")];
    let effect = Effect::Update(twice);
    let write = Write { name: "twice", condition: Condition::Missing("epoch"), effect };
    let error = proxy.table.write(&key, &write, clock).await.unwrap_err();
    assert!(matches!(error, AdapterError::Refused { .. }), "{error:?}");
    assert_eq!(proxy.history().await.len(), 1);
}

#[tokio::test]
async fn a_success_is_recorded_though_its_answers_are_lost() {
    for fate in [Fate::FailBefore, Fate::DropBefore, Fate::FailAfter, Fate::DropAfter] {
        let (key, clock) = (new_streak(), clock(NOW_MS, Duration::from_secs(30)));
        // The second write is the one that ends the streak.
        let proxy = Proxy::start(&key, clock, move |operation, nth| match (operation, nth) {
            ("DeleteItem", 0..=2) => fate,
            _ => Fate::Proceed,
        })
        .await;
        proxy.table.write(&key, &starting(), clock).await.unwrap();
        let results = Results::of(&[None]).unwrap();
        let before = State::of(proxy.direct.read(&key).await.unwrap().as_ref(), clock.now());
        let (recording, step) = Recording::begin(results, &before, RULE, "i".to_owned(), clock.now());
        let recorded = proxy.table.record(&key, recording, step, clock).await.unwrap().recorded;
        assert_eq!(recorded, Recorded::Yes, "{fate:?}");
        assert_eq!(proxy.direct.read(&key).await.unwrap(), None, "{fate:?}");
    }
}
