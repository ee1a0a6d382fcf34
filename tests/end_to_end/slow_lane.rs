//! The slow lane, and the bound on the attempts that one batch makes to one host.

#![expect(clippy::print_stdout, reason = "a test says what it measured")]

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::{Account, Bundle, SOON, Webhook, dynamodb};
use http::StatusCode;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Whether a function said that it moved an item.
fn is_moved(bundle: &Bundle, item: &str) -> bool {
    let lines = bundle.logs.of("DeliverFunction");
    lines.iter().any(|line| line.contains("delivery.moved_to_slow_lane") && line.contains(item))
}

async fn until_failures(bundle: &Bundle, account: &Account, webhook: &Webhook, least: u64) {
    let ends = Instant::now() + SOON;
    while bundle.status(account, webhook, "message").await["failures"].as_u64() < Some(least) {
        assert!(Instant::now() < ends, "{least} failures are not recorded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A bundle with a webhook at `/hole`, whose last five attempts timed out.
async fn slow_webhook() -> (Bundle, Account, Webhook) {
    let (bundle, account) = Bundle::with_account([("AttemptSeconds", "1")]).await;
    let webhook = bundle.webhook(&account, "/hole", &["message"]).await;
    bundle.receiver.set_behaviour("/hole", Behaviour::from(Answer::hang()));
    bundle.send_many(&account, "message", 5).await;
    until_failures(&bundle, &account, &webhook, 5).await;
    (bundle, account, webhook)
}

/// Sends an item, waits for its first attempt, and answers whether it was moved before that.
async fn next_is_moved(bundle: &Bundle, account: &Account) -> bool {
    let item = bundle.send(account, "/bots/b/messages", r#"{"next":1}"#).await;
    let arrived = bundle.receiver.wait_for(|one| one.webhook_id() == Some(&item), SOON).await.unwrap();
    assert_eq!(arrived.attempt(), Some(1), "a move is no attempt");
    is_moved(bundle, &item)
}

#[tokio::test]
async fn a_url_that_answers_200_late_is_moved_though_it_never_fails() {
    let (bundle, account) = Bundle::with_account([("AttemptSeconds", "5")]).await;
    let webhook = bundle.webhook(&account, "/late", &["message"]).await;
    let late = Answer::Delay { by: Duration::from_secs(4), then: Box::new(Answer::status(StatusCode::OK)) };
    bundle.receiver.set_behaviour("/late", Behaviour::from(late));
    bundle.send_many(&account, "message", 5).await;
    let ends = Instant::now() + SOON;
    while dynamodb::scan(&bundle, "StreakTable").await.is_empty() {
        assert!(Instant::now() < ends, "no slow attempt was noted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bundle.receiver.answered("/late"), 0, "they are noted before they end");
    bundle.receiver.wait_for_count("/late", 5, SOON).await.unwrap();
    bundle.until_rest().await;
    assert!(next_is_moved(&bundle, &account).await);
    assert_eq!(bundle.status(&account, &webhook, "message").await["failures"], 0);
    bundle.stop().await;
}

#[tokio::test]
async fn only_ten_minutes_end_the_slow_lane() {
    let (bundle, account, webhook) = slow_webhook().await;
    assert!(next_is_moved(&bundle, &account).await);
    bundle.receiver.set_behaviour("/hole", Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
    assert!(next_is_moved(&bundle, &account).await);
    bundle.until_rest().await;
    assert!(next_is_moved(&bundle, &account).await, "after a quick failure");
    bundle.receiver.set_behaviour("/hole", Behaviour::from(StatusCode::OK));
    let path = format!("/webhooks/{}", webhook.id);
    let changed = bundle.client.patch(&path, &account.key, &json!({"headers": {"x-new": "1"}})).await;
    assert_eq!((changed.status, &changed.json()["revision"]), (200, &json!(2)), "{}", changed.text());
    assert!(next_is_moved(&bundle, &account).await, "after a new header");
    bundle.until_rest().await;
    assert!(next_is_moved(&bundle, &account).await, "after a success");
    assert_eq!(bundle.status(&account, &webhook, "message").await["failures"], 0);
    bundle.advance(Duration::from_secs(601)).await;
    bundle.until_rest().await;
    assert!(!next_is_moved(&bundle, &account).await, "after ten minutes");
    bundle.stop().await;
}

#[tokio::test]
async fn a_url_at_another_host_begins_in_the_usual_lane() {
    let (bundle, account, webhook) = slow_webhook().await;
    bundle.receiver.set_behaviour("/hole", Behaviour::from(StatusCode::OK));
    let url = bundle.receiver.url("/hole").replace("127.0.0.1", "localhost");
    let path = format!("/webhooks/{}", webhook.id);
    bundle.client.patch(&path, &account.key, &json!({"url": url})).await.with_status(200);
    assert!(!next_is_moved(&bundle, &account).await);
    bundle.stop().await;
}

#[tokio::test]
async fn a_moved_item_waits_in_a_row_after_three_attempts() {
    let (bundle, account, _) = slow_webhook().await;
    let item = bundle.send(&account, "/bots/b/messages", r#"{"n":1}"#).await;
    let of_item = |number: u32| {
        let item = item.clone();
        move |one: &carteiro_receiver::Delivery| {
            one.webhook_id() == Some(&item) && one.attempt() == Some(number)
        }
    };
    for (number, wait) in [(1, 7), (2, 37), (3, 0)] {
        bundle.receiver.wait_for(of_item(number), SOON).await.unwrap();
        bundle.until_rest().await;
        bundle.stack.clock().advance(Duration::from_secs(wait));
    }
    let held = dynamodb::scan(&bundle, "HeldTable").await;
    let row = held.iter().find(|row| row["sk"]["S"].as_str().is_some_and(|key| key.ends_with(&item)));
    let row = row.unwrap_or_else(|| panic!("{item} is not among {held:?}"));
    assert_eq!(row["attempt"]["N"], "4");
    // A tick begins a new chain, in which it is moved again.
    bundle.stack.clock().advance(Duration::from_secs(400));
    bundle.tick().await;
    bundle.receiver.wait_for(of_item(4), SOON).await.unwrap();
    bundle.stop().await;
}

#[tokio::test]
async fn an_item_too_long_in_the_slow_lane_goes_to_a_row_unattempted() {
    let (bundle, account, _) = slow_webhook().await;
    bundle.until_rest().await;
    let before = bundle.receiver.count("/hole");
    // More than the slow lane attempts at once.
    let items = bundle.send_many(&account, "message", 60).await;
    bundle.receiver.wait_for_count("/hole", before + 1, SOON).await.unwrap();
    bundle.stack.clock().advance(Duration::from_secs(2 * 3600));
    bundle.until_rest().await;
    let lines = bundle.logs.of("DeliverFunction");
    let is_overdue = |item: &&String| {
        lines.iter().any(|line| line.contains("delivery.overdue") && line.contains(item.as_str()))
    };
    let overdue: Vec<&String> = items.iter().filter(is_overdue).collect();
    assert!(!overdue.is_empty());
    let held = dynamodb::scan(&bundle, "HeldTable").await;
    for item in &overdue {
        let row = held.iter().find(|row| row["sk"]["S"].as_str().is_some_and(|key| key.ends_with(*item)));
        assert!(row.is_some(), "{item} is not held");
    }
    // It recovered: everything arrives by ticks and retries.
    bundle.receiver.set_behaviour("/hole", Behaviour::from(StatusCode::OK));
    for _ in 0..4 {
        bundle.stack.clock().advance(Duration::from_secs(15 * 60));
        bundle.tick().await;
        bundle.until_rest().await;
    }
    let deliveries = bundle.receiver.deliveries_to("/hole");
    let answered: BTreeSet<_> = deliveries
        .iter()
        .filter(|one| one.answered == Some(200))
        .filter_map(|one| one.webhook_id())
        .collect();
    let missing: Vec<&String> = items.iter().filter(|item| !answered.contains(item.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    bundle.stop().await;
}

#[tokio::test]
async fn an_item_of_a_releases_step_is_moved_with_its_step() {
    let (bundle, account, webhook) = slow_webhook().await;
    bundle.until_rest().await;
    let path = format!("/webhooks/{}", webhook.id);
    bundle.client.patch(&path, &account.key, &json!({"enabled": false})).await.with_status(200);
    let items = bundle.send_many(&account, "message", 30).await;
    bundle.until_rest().await;
    bundle.receiver.set_behaviour("/hole", Behaviour::from(StatusCode::OK));
    bundle.client.patch(&path, &account.key, &json!({"enabled": true})).await.with_status(200);
    bundle.tick().await;
    // More steps than one: each begins when all of the last was counted.
    for item in &items {
        bundle.receiver.wait_for(|one| one.webhook_id() == Some(item), SOON).await.unwrap();
    }
    assert!(items.iter().any(|item| is_moved(&bundle, item)), "the first step finds the streak as it was");
    bundle.stop().await;
}

#[tokio::test]
async fn one_batch_sends_no_more_than_the_bound_to_one_host_at_once() {
    let bundle = Bundle::start_with([("DeliverConcurrency", "2"), ("HostConcurrency", "3")]).await;
    let account = bundle.account().await;
    bundle.webhook(&account, "/slow", &["message"]).await;
    let then = Box::new(Answer::status(StatusCode::OK));
    bundle
        .receiver
        .set_behaviour("/slow", Behaviour::from(Answer::Delay { by: Duration::from_millis(300), then }));
    bundle.send_many(&account, "message", 60).await;
    let mut most = 0;
    let ends = Instant::now() + SOON;
    while bundle.receiver.answered("/slow") < 60 {
        assert!(Instant::now() < ends, "{} of 60 were answered", bundle.receiver.answered("/slow"));
        // In this order, so that what is answered in between is not taken for more in flight.
        let requested = bundle.receiver.count("/slow");
        most = most.max(requested.saturating_sub(bundle.receiver.answered("/slow")));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!((3..=6).contains(&most), "two batches had {most} requests in flight at once");
    bundle.stop().await;
}

/// One side of the comparison: a bundle of whose traffic two thirds go to healthy URLs, and one third to `third`.
struct Side {
    bundle: Bundle,
    account: Account,
    /// The items that were sent to it.
    to_third: Mutex<Vec<String>>,
}

const HEALTHY: usize = 8;

impl Side {
    async fn start(third: Answer) -> Self {
        let (bundle, account) = Bundle::with_account([]).await;
        for n in 0..HEALTHY {
            let url = bundle.receiver.url(&format!("/healthy/{n}"));
            let sources = [format!("bot:healthy-{n}")];
            bundle
                .webhook_with(&account, json!({"url": url, "items": ["message"], "sources": sources}))
                .await;
        }
        let url = bundle.receiver.url("/third");
        let settings = json!({"url": url, "items": ["message"], "sources": ["bot:third"]});
        bundle.webhook_with(&account, settings).await;
        bundle.receiver.set_behaviour("/third", Behaviour::from(third));
        Self { bundle, account, to_third: Mutex::default() }
    }

    /// Starts functions, before there is any black hole.
    async fn warm(&self) {
        let hole = Behaviour::from(Answer::hang());
        self.bundle.receiver.set_behaviour("/third", Behaviour::from(StatusCode::OK));
        self.window(Duration::from_secs(2), 8).await;
        self.bundle.receiver.set_behaviour("/third", hole);
    }

    /// Sends at a rate, and answers how many milliseconds passed from each request for a healthy URL to its delivery.
    async fn window(&self, length: Duration, per_second: u32) -> Vec<u64> {
        let mut beat = interval(Duration::from_secs(1) / per_second);
        // A busy machine sends less, not more at once: a crowd of new functions would be refused.
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (ends, mut n) = (Instant::now() + length, 0_usize);
        let mut sending = tokio::task::JoinSet::new();
        while Instant::now() < ends {
            beat.tick().await;
            n += 1;
            let bot = if n % 3 == 0 { "third".to_owned() } else { format!("healthy-{}", n % HEALTHY) };
            let (client, key, clock) =
                (self.bundle.client.clone(), self.account.key.clone(), self.bundle.stack.clock().clone());
            let body = json!({"n": n, "text": "x".repeat(2000)}).to_string();
            sending.spawn(async move {
                let began = clock.now_ms();
                let mut reply = client.post(&format!("/bots/{bot}/messages"), &key, body.clone()).await;
                while reply.status == 503 && clock.now_ms() < began + 30_000 {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    reply = client.post(&format!("/bots/{bot}/messages"), &key, body.clone()).await;
                }
                assert_eq!(reply.status, 202, "{}", reply.text());
                let id = reply.json()["id"].as_str().map(str::to_owned).unwrap();
                (bot == "third", id, began)
            });
        }
        let (third, others): (Vec<_>, Vec<_>) =
            sending.join_all().await.into_iter().partition(|(is_third, ..)| *is_third);
        *self.to_third.lock().unwrap() = third.into_iter().map(|(_, id, _)| id).collect();
        let sent: Vec<(String, u64)> = others.into_iter().map(|(_, id, began)| (id, began)).collect();
        self.arrived(&sent).await
    }

    /// Asserts that what was sent to the black hole in the last window took no place in the usual lane.
    async fn all_of_the_third_are_moved(&self) {
        let sent = self.to_third.lock().unwrap().clone();
        let ends = Instant::now() + SOON;
        while !sent.iter().all(|item| is_moved(&self.bundle, item)) {
            assert!(Instant::now() < ends, "not everything was moved to the slow lane");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn arrived(&self, sent: &[(String, u64)]) -> Vec<u64> {
        let ends = Instant::now() + Duration::from_secs(60);
        loop {
            let mut first: HashMap<String, u64> = HashMap::new();
            for one in self.bundle.receiver.deliveries() {
                if let Some(id) = one.webhook_id() {
                    first.entry(id.to_owned()).or_insert(one.received_at_ms);
                }
            }
            let times: Option<Vec<u64>> =
                sent.iter().map(|(id, began)| Some(first.get(id)?.saturating_sub(*began))).collect();
            if let Some(times) = times {
                self.bundle.receiver.clear();
                return times;
            }
            assert!(Instant::now() < ends, "not everything arrived");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn percentile(times: &mut [u64], percent: usize) -> u64 {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// Two bundles get the same traffic by turns: in the one a third goes to a black hole, in the other to a healthy URL.
/// Answers the 99th percentile of the other webhooks' delivery times, with the black hole and without.
async fn compare(windows: u32, length: Duration, per_second: u32) -> (u64, u64) {
    let hole = Side::start(Answer::hang()).await;
    let control = Side::start(Answer::status(StatusCode::OK)).await;
    control.window(Duration::from_secs(2), per_second / 4).await;
    hole.warm().await;
    let began = Instant::now();
    let mut before = Vec::new();
    while !hole.bundle.logs.of("DeliverFunction").iter().any(|line| line.contains("moved_to_slow_lane")) {
        before.extend(hole.window(Duration::from_secs(2), per_second).await);
    }
    println!(
        "until the slow lane had it: {} s, median {} ms, 99th percentile {} ms of {} deliveries",
        began.elapsed().as_secs(),
        percentile(&mut before, 50),
        percentile(&mut before, 99),
        before.len()
    );
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..windows {
        with.extend(hole.window(length, per_second).await);
        hole.all_of_the_third_are_moved().await;
        without.extend(control.window(length, per_second).await);
    }
    for (name, times) in [("with a black hole", &mut with), ("without", &mut without)] {
        println!(
            "{name}, {per_second} items a second: median {} ms, 95th percentile {} ms, 99th {} ms of {} deliveries",
            percentile(times, 50),
            percentile(times, 95),
            percentile(times, 99),
            times.len()
        );
    }
    let result = (percentile(&mut with, 99), percentile(&mut without, 99));
    hole.bundle.stop().await;
    control.bundle.stop().await;
    result
}

#[tokio::test]
async fn a_black_hole_with_a_third_of_the_traffic_delays_no_other() {
    let (with, without) = compare(3, Duration::from_secs(4), 20).await;
    // The black hole had no attempt in the usual lane, so no batch of the others waited for a deadline of 15 s.
    // What is left is the machine's own noise; the exact comparison, on a quiet one, is the test below.
    assert!(with < 5000 + 2 * without, "{with} ms with a black hole, {without} ms without");
}

#[tokio::test]
#[ignore = "takes four minutes and a quiet machine"]
async fn a_black_hole_moves_the_99th_percentile_by_less_than_a_tenth() {
    let (with, without) = compare(12, Duration::from_secs(10), 20).await;
    assert!(with * 10 < without * 11, "{with} ms with a black hole, {without} ms without");
}
