//! The retry schedule, on a clock that the test moves.

use std::time::Duration;

use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::{Bundle, SOON};
use http::{HeaderName, HeaderValue, StatusCode};

const FAILING: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

/// Moves the time in small steps until a path has `count` deliveries. Each step leaves real time for its effects.
async fn advance_until(bundle: &Bundle, path: &str, count: u64, step: Duration, limit: Duration) {
    let mut moved = Duration::ZERO;
    while bundle.receiver.wait_for_count(path, count, Duration::from_millis(150)).await.is_err() {
        assert!(moved < limit, "delivery {count} did not come within {limit:?}");
        bundle.advance(step).await;
        moved += step;
    }
}

fn attempt_times(bundle: &Bundle, path: &str) -> Vec<u64> {
    bundle.receiver.deliveries_to(path).iter().map(|delivery| delivery.received_at_ms).collect()
}

#[tokio::test]
async fn a_receiver_that_fails_three_times_gets_its_item_at_attempt_4() {
    let (bundle, account, _) = Bundle::with_webhook([], "/thrice", &["message"]).await;
    let failing = || Answer::status(FAILING);
    bundle.receiver.set_behaviour(
        "/thrice",
        Behaviour::sequence([failing(), failing(), failing()], Answer::status(StatusCode::OK)),
    );
    let id = bundle.send(&account, "/bots/b/messages", r#"{"id":"1"}"#).await;
    bundle.receiver.wait_for_count("/thrice", 1, SOON).await.unwrap();
    let second = Duration::from_secs(1);
    // At most: the wait and a fifth of it, and the step that passes it. What the steps took comes off, if anything.
    advance_until(&bundle, "/thrice", 2, second, second * 7).await;
    advance_until(&bundle, "/thrice", 3, second * 2, second * 38).await;
    advance_until(&bundle, "/thrice", 4, second * 10, second * 370).await;
    let deliveries = bundle.receiver.deliveries_to("/thrice");
    for (delivery, attempt) in deliveries.iter().zip(1..) {
        assert_eq!(delivery.attempt(), Some(attempt));
        assert_eq!(delivery.webhook_id(), Some(id.as_str()));
        assert_eq!(delivery.body, r#"{"id":"1"}"#);
    }
    // At least: the wait less a fifth of it.
    let times = attempt_times(&bundle, "/thrice");
    for (wait, times) in [5_000, 30_000, 300_000].into_iter().zip(times.windows(2)) {
        let waited = times[1] - times[0];
        assert!(waited >= wait * 4 / 5, "waited {waited} ms instead of {wait} ms");
    }
    bundle.until_rest().await;
    bundle.advance(Duration::from_secs(3600)).await;
    assert_eq!(bundle.count_at_rest("/thrice").await, 4, "it was delivered");
    bundle.stop().await;
}

#[tokio::test]
async fn a_signature_is_made_anew_for_each_attempt() {
    let (bundle, account, _) = Bundle::with_webhook([], "/twice", &["event"]).await;
    bundle.receiver.set_behaviour(
        "/twice",
        Behaviour::sequence([Answer::status(FAILING)], Answer::status(StatusCode::OK)),
    );
    bundle.send(&account, "/bots/b/events", "{}").await;
    bundle.receiver.wait_for_count("/twice", 1, SOON).await.unwrap();
    advance_until(&bundle, "/twice", 2, Duration::from_secs(2), Duration::from_secs(12)).await;
    let deliveries = bundle.receiver.deliveries_to("/twice");
    assert_ne!(deliveries[0].header("webhook-timestamp"), deliveries[1].header("webhook-timestamp"));
    assert_ne!(deliveries[0].header("webhook-signature"), deliveries[1].header("webhook-signature"));
    assert!(deliveries.iter().all(|delivery| delivery.signature == carteiro_receiver::SignatureCheck::Valid));
    bundle.stop().await;
}

#[tokio::test]
async fn a_receiver_that_asks_to_wait_is_left_alone_as_long() {
    let (bundle, account, _) = Bundle::with_webhook([], "/busy", &["message"]).await;
    let busy = Answer::status(StatusCode::TOO_MANY_REQUESTS)
        .with_header(HeaderName::from_static("retry-after"), HeaderValue::from_static("120"));
    bundle.receiver.set_behaviour("/busy", Behaviour::sequence([busy], Answer::status(StatusCode::OK)));
    bundle.send(&account, "/bots/b/messages", "{}").await;
    bundle.receiver.wait_for_count("/busy", 1, SOON).await.unwrap();
    advance_until(&bundle, "/busy", 2, Duration::from_secs(10), Duration::from_secs(180)).await;
    let times = attempt_times(&bundle, "/busy");
    assert!(times[1] - times[0] >= 120_000, "{times:?}");
    bundle.stop().await;
}
