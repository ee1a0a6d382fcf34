//! What one account does, and its neighbours do not feel: releases.
//!
//! The stated factor is one: a neighbour's release takes as many steps and ticks as it takes alone. It is counted in
//! these, and in workers, not in seconds.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carteiro_core::item::ItemType;
use carteiro_core::work_share::SLOTS;
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::blocks::until_held;
use carteiro_tests::client::Client;
use carteiro_tests::{Account, Bundle, Patience, SOON, Webhook, comes_true, dynamodb, sqs};
use http::StatusCode;
use serde_json::json;
use tokio::time::Instant;

/// How many items a neighbour's release has: two steps, of 10 and of 20.
const ITEMS: usize = 30;

pub(crate) async fn disabled(bundle: &Bundle, account: &Account, path: &str, items: &[&str]) -> Webhook {
    bundle.webhook_set(account, path, items, json!({"enabled": false})).await
}

/// Has items of a webhook held and released, and waits until they arrived. Returns how long that took.
pub(crate) async fn hold_and_release(
    bundle: &Bundle,
    account: &Account,
    webhook: &Webhook,
    path: &str,
) -> Duration {
    bundle.set_enabled(account, webhook, false).await;
    let all = bundle.receiver.count(path) + ITEMS as u64;
    bundle.send_many(account, "event", ITEMS).await;
    until_held(&bundle.client, account, webhook, "event", ITEMS).await;
    let began = Instant::now();
    bundle.set_enabled(account, webhook, true).await;
    let arrived = bundle.receiver.wait_for_count(path, all, SOON).await;
    assert!(arrived.is_ok(), "{}: {:#?}", bundle.receiver.count(path), bundle.complaints());
    began.elapsed()
}

/// Releases items of a neighbour's webhook, and returns in how many steps, without a tick.
async fn neighbours_release(bundle: &Bundle, account: &Account, webhook: &Webhook, path: &str) -> String {
    let ended = |line: &String| line.contains("release.ended") && line.contains(&webhook.id);
    let ends = bundle.logs.of("CollectFunction").iter().filter(|line| ended(line)).count();
    hold_and_release(bundle, account, webhook, path).await;
    let mut patience = Patience::default();
    while patience.lasts().await {
        let lines = bundle.logs.of("CollectFunction");
        if let Some(line) = lines.iter().filter(|line| ended(line)).nth(ends) {
            let steps = line.split("\"steps\":").nth(1).unwrap_or_else(|| panic!("{line}"));
            return steps.split([',', '}']).next().unwrap().to_owned();
        }
    }
    panic!("the release did not end: {:#?}", bundle.complaints());
}

/// How many workers of an account have a slot now.
async fn workers(bundle: &Bundle, account: &Account) -> usize {
    let rows = dynamodb::query(bundle, "HeldTable", &format!("{}#work", account.id)).await;
    rows.iter().filter(|row| row["sk"]["S"].as_str().is_some_and(|sk| sk.starts_with("slot#"))).count()
}

/// How many workers of an account had a slot at once while something went on.
async fn most_workers_during(bundle: &Bundle, account: &Account, act: impl Future<Output = ()>) -> usize {
    let (mut act, mut most) = (pin!(act), 0);
    let look = || async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        workers(bundle, account).await
    };
    loop {
        tokio::select! {
            () = &mut act => return most,
            found = look() => most = most.max(found),
        }
    }
}

#[tokio::test]
async fn a_flood_of_unblocks_takes_no_copies_from_another_release() {
    let bundle = Bundle::start_with([("AttemptSeconds", "5")]).await;
    let (attacker, neighbour) = (bundle.account().await, bundle.account().await);
    let hole = disabled(&bundle, &attacker, "/hole", &["event"]).await;
    let webhook = disabled(&bundle, &neighbour, "/neighbour", &["event"]).await;
    let alone = neighbours_release(&bundle, &neighbour, &webhook, "/neighbour").await;
    bundle.receiver.set_behaviour("/hole", Behaviour::from(Answer::hang()));
    bundle.send_many(&attacker, "event", 20).await;
    until_held(&bundle.client, &attacker, &hole, "event", 20).await;
    bundle.set_enabled(&attacker, &hole, true).await;
    bundle.receiver.wait_for_count("/hole", 1, SOON).await.unwrap();
    let go_on = Arc::new(AtomicBool::new(true));
    let flood = {
        let client = Client::new(&bundle.stack.addresses().api);
        let (path, key, go_on) =
            (format!("/webhooks/{}/unblock", hole.id), attacker.key.clone(), go_on.clone());
        tokio::spawn(async move {
            let mut unblocks = 0;
            while go_on.load(Ordering::Relaxed) {
                let reply = client.post(&path, &key, "").await;
                unblocks += u32::from(reply.status == 200);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            unblocks
        })
    };
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let beside = neighbours_release(&bundle, &neighbour, &webhook, "/neighbour").await;
        assert_eq!(beside, alone, "steps");
        // An act looks at the release of each type. Looks that find no slot end at once: how many of them overlap says
        // how busy the machine is.
        assert!(workers(&bundle, &attacker).await <= ItemType::KNOWN.len(), "one release has one worker");
    }
    go_on.store(false, Ordering::Relaxed);
    let unblocks = flood.await.unwrap();
    assert!(unblocks >= 20, "{unblocks} unblocks are no flood");
    bundle.receiver.set_behaviour("/hole", Behaviour::default());
    assert!(bundle.rest(SOON).await, "{:#?}", bundle.complaints());
    bundle.stop().await;
}

#[tokio::test]
async fn sixty_releases_into_black_holes_do_not_slow_a_neighbours() {
    const WEBHOOKS: usize = 20;
    const TYPES: [&str; 3] = ["contact", "event", "message"];
    let bundle = Bundle::start_with([("AttemptSeconds", "5")]).await;
    let (attacker, neighbour) = (bundle.account().await, bundle.account().await);
    let webhook = disabled(&bundle, &neighbour, "/neighbour", &["event"]).await;
    let alone = neighbours_release(&bundle, &neighbour, &webhook, "/neighbour").await;
    let mut holes = Vec::new();
    for number in 0..WEBHOOKS {
        let path = format!("/hole/{number}");
        bundle.receiver.set_behaviour(&path, Behaviour::from(Answer::hang()));
        holes.push((disabled(&bundle, &attacker, &path, &TYPES).await, path));
    }
    for item_type in TYPES {
        bundle.send_many(&attacker, item_type, 1).await;
    }
    for (hole, _) in &holes {
        for item_type in TYPES {
            until_held(&bundle.client, &attacker, hole, item_type, 1).await;
        }
    }
    let attack = async {
        for (hole, _) in &holes {
            bundle.set_enabled(&attacker, hole, true).await;
        }
        let beside = neighbours_release(&bundle, &neighbour, &webhook, "/neighbour").await;
        assert_eq!(beside, alone, "steps");
        // No tick ran, and none is needed: what found no slot is taken up by the account's own workers.
        let is_over = || holes.iter().all(|(_, path)| bundle.receiver.count(path) >= TYPES.len() as u64);
        comes_true(async || is_over()).await;
    };
    let most = most_workers_during(&bundle, &attacker, attack).await;
    for (_, path) in &holes {
        assert!(bundle.receiver.count(path) >= TYPES.len() as u64, "{path}: {:#?}", bundle.complaints());
    }
    assert!((2..=SLOTS).contains(&most), "{most} workers at once");
    bundle.stop().await;
}

#[tokio::test]
async fn acts_that_follow_each_other_fast_send_the_work_of_a_few() {
    let (bundle, account) = Bundle::with_account([]).await;
    let webhook = disabled(&bundle, &account, "/x", &["event"]).await;
    bundle.send_many(&account, "event", 1).await;
    until_held(&bundle.client, &account, &webhook, "event", 1).await;
    let path = format!("/webhooks/{}/unblock", webhook.id);
    let (began, mut last) = (bundle.stack.clock().now_ms(), 0);
    for _ in 0..30 {
        assert_eq!(bundle.client.post(&path, &account.key, "").await.status, 200);
        last = bundle.stack.clock().now_ms();
    }
    let delayed = bundle.stack.queues().describe_queue("WorkQueue").await.unwrap().counts.delayed as u64;
    // Two looks at each of six types, every two seconds: the looks at once are not delayed.
    let most = 12 * ((last - began) / 2000 + 2);
    assert!(delayed <= most, "{delayed} messages of 30 acts in {} ms", last - began);
    // The last act counts like the first.
    bundle.set_enabled(&account, &webhook, true).await;
    bundle.receiver.wait_for_count("/x", 1, SOON).await.unwrap();
    bundle.stop().await;
}

#[tokio::test]
async fn a_release_whose_worker_died_goes_on_after_its_lease() {
    let (bundle, account) = Bundle::with_account([]).await;
    let webhook = disabled(&bundle, &account, "/x", &["event"]).await;
    bundle.send_many(&account, "event", 3).await;
    until_held(&bundle.client, &account, &webhook, "event", 3).await;
    assert!(bundle.rest(SOON).await);
    // A worker claimed it, and died.
    let lease = bundle.stack.clock().now_ms() + 6_000;
    let key = json!({"pk": {"S": format!("{}#release", webhook.id)}, "sk": {"S": "event"}});
    let claim = json!({
        "TableName": "HeldTable",
        "Key": key,
        "UpdateExpression": "SET lease_until = :lease, lease_by = :dead",
        "ExpressionAttributeValues": {":lease": {"N": lease.to_string()}, ":dead": {"S": "dead"}},
    });
    dynamodb::call(&bundle, "UpdateItem", &claim).await;
    bundle.set_enabled(&account, &webhook, true).await;
    let arrived = bundle.receiver.wait_for_count("/x", 3, SOON).await.unwrap();
    assert!(arrived.iter().all(|one| one.received_at_ms >= lease), "{lease}: {arrived:?}");
    bundle.stop().await;
}

#[tokio::test]
async fn a_release_seconds_before_a_blocks_end_waits_for_it() {
    let (bundle, account) = Bundle::with_account([]).await;
    let settings =
        json!({"url": bundle.receiver.url("/x"), "items": ["event"], "threshold": 1, "block_seconds": 20});
    let webhook = bundle.webhook_with(&account, settings).await;
    bundle.receiver.set_behaviour("/x", Behaviour::from(Answer::status(StatusCode::INTERNAL_SERVER_ERROR)));
    bundle.send_many(&account, "event", 1).await;
    bundle.receiver.wait_for_count("/x", 1, SOON).await.unwrap();
    bundle.receiver.set_behaviour("/x", Behaviour::default());
    bundle.send_many(&account, "event", 1).await;
    until_held(&bundle.client, &account, &webhook, "event", 1).await;
    // Whoever planned it has a clock that is ahead. Older versions do not say whose work it is.
    let url = format!("{}/000000000000/WorkQueue", bundle.stack.addresses().sqs);
    let work = json!({"work": "release", "webhook": webhook.id, "item_type": "event"}).to_string();
    sqs::call(&bundle, "SendMessage", &json!({"QueueUrl": url, "MessageBody": work})).await;
    let status = bundle.status(&account, &webhook, "event").await;
    let until: jiff::Timestamp = status["blocked_until"].as_str().unwrap().parse().unwrap();
    bundle.receiver.wait_for_count("/x", 2, SOON).await.unwrap();
    let arrived = bundle.receiver.deliveries_to("/x")[1].received_at_ms;
    assert!(arrived >= until.as_millisecond().unsigned_abs(), "{arrived}, and the block ended at {until}");
    bundle.stop().await;
}
