//! Expiry decides nothing: all that has a time of its own goes the same way where the tables never delete, and where
//! they delete in the second in which they may.

use std::collections::HashSet;
use std::time::Duration;

use carteiro_local::Expiry;
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::blocks::{is_blocked, pass, quiet, send_many, status, until};
use carteiro_tests::{Account, Bundle, SOON, Webhook, comes_true, dynamodb};
use serde_json::{Value, json};

const HOUR: u64 = 3600;

async fn bundle_with(expiry: Expiry, own: &[(&str, &str)]) -> Bundle {
    let bundle = Bundle::start_with(own.iter().copied()).await;
    bundle.stack.expire_dynamodb(expiry);
    bundle
}

async fn hours(bundle: &Bundle, hours: u64) {
    pass(&bundle.stack, Duration::from_secs(hours * HOUR)).await;
}

async fn until_arrived(bundle: &Bundle, path: &str, ids: &[String]) {
    let came = comes_true(async || {
        let counts = bundle.receiver.counts_by_webhook_id(path);
        ids.iter().all(|id| counts.contains_key(id))
    })
    .await;
    assert!(came, "not all of {} arrived", ids.len());
}

/// The rows of this webhook's streaks, by their item type and revision.
async fn streaks(bundle: &Bundle, webhook: &Webhook) -> Vec<Value> {
    let rows = dynamodb::scan(bundle, "StreakTable").await;
    rows.into_iter().filter(|row| row["pk"]["S"] == webhook.id.as_str()).collect()
}

async fn failures_are(bundle: &Bundle, account: &Account, webhook: &Webhook, failures: u64) {
    until(&bundle.client, account, webhook, "event", |status| {
        status["state"] == "open" && status["failures"] == failures
    })
    .await;
}

/// A block, its release, the next streak and the next block.
async fn blocks_go_by_their_own_time(expiry: Expiry) {
    let bundle = bundle_with(expiry, &[("FailureThreshold", "10")]).await;
    let account = bundle.account().await;
    let webhook = bundle.webhook(&account, "/b", &["event"]).await;
    bundle.receiver.set_behaviour("/b", Answer::busy(86_400));
    let failed = send_many(&bundle.client, &account, "event", 10).await;
    let first = until(&bundle.client, &account, &webhook, "event", is_blocked).await;
    quiet(&bundle.stack, &bundle.receiver, "/b").await;
    bundle.receiver.set_behaviour("/b", Behaviour::default());
    bundle.receiver.clear();
    let held = send_many(&bundle.client, &account, "event", 15).await;
    // To just before its end: nothing.
    hours(&bundle, 3).await;
    pass(&bundle.stack, Duration::from_secs(HOUR - 300)).await;
    bundle.tick().await;
    assert_eq!(quiet(&bundle.stack, &bundle.receiver, "/b").await, 0);
    let still = status(&bundle.client, &account, &webhook, "event").await;
    assert_eq!((&still["state"], &still["blocked_until"]), (&json!("blocked"), &first["blocked_until"]));
    // Its end: what was held arrives, once.
    pass(&bundle.stack, Duration::from_secs(310)).await;
    until_arrived(&bundle, "/b", &held).await;
    failures_are(&bundle, &account, &webhook, 0).await;
    assert_eq!(quiet(&bundle.stack, &bundle.receiver, "/b").await, 15);

    // A new streak within the hour in which the old row may not go yet: it outlives the time that it had.
    bundle.receiver.set_behaviour("/b", Answer::busy(86_400));
    send_many(&bundle.client, &account, "event", 5).await;
    failures_are(&bundle, &account, &webhook, 5).await;
    quiet(&bundle.stack, &bundle.receiver, "/b").await;
    hours(&bundle, 9).await;
    failures_are(&bundle, &account, &webhook, 5).await;
    let rows = streaks(&bundle, &webhook).await;
    assert!(rows.len() == 1 && rows[0].get("expires_at").is_none(), "a live streak has no date: {rows:?}");
    // And goes on from there: the tenth failure blocks, not the ninth.
    send_many(&bundle.client, &account, "event", 4).await;
    failures_are(&bundle, &account, &webhook, 9).await;
    quiet(&bundle.stack, &bundle.receiver, "/b").await;
    send_many(&bundle.client, &account, "event", 1).await;
    let second = until(&bundle.client, &account, &webhook, "event", is_blocked).await;
    assert_ne!(second["blocked_until"], first["blocked_until"]);

    // An unblock, and a new streak long after its row may have gone.
    // It releases the retries that were a day away, too.
    quiet(&bundle.stack, &bundle.receiver, "/b").await;
    bundle.receiver.set_behaviour("/b", Behaviour::default());
    let path = format!("/webhooks/{}/unblock", webhook.id);
    assert_eq!(bundle.client.post(&path, &account.key, "").await.status, 200);
    until_arrived(&bundle, "/b", &failed).await;
    failures_are(&bundle, &account, &webhook, 0).await;
    quiet(&bundle.stack, &bundle.receiver, "/b").await;
    bundle.receiver.set_behaviour("/b", Answer::busy(86_400));
    hours(&bundle, 3).await;
    send_many(&bundle.client, &account, "event", 9).await;
    failures_are(&bundle, &account, &webhook, 9).await;
    quiet(&bundle.stack, &bundle.receiver, "/b").await;
    let told_late = streaks(&bundle, &webhook).await;
    assert!(told_late.iter().all(|row| row.get("blocked_until").is_none()), "{told_late:?}");
    bundle.receiver.set_behaviour("/b", Behaviour::default());
    send_many(&bundle.client, &account, "event", 1).await;
    failures_are(&bundle, &account, &webhook, 0).await;
    quiet(&bundle.stack, &bundle.receiver, "/b").await;

    // What failed first comes again when its retry is due, a day or so later.
    for _ in 0..24 {
        bundle.tick().await;
        hours(&bundle, 1).await;
    }
    bundle.tick().await;
    until_arrived(&bundle, "/b", &failed).await;
    bundle.stop().await;
}

#[tokio::test]
async fn streaks_and_releases_expire_where_nothing_is_ever_deleted() {
    blocks_go_by_their_own_time(Expiry::Never).await;
}

#[tokio::test]
async fn streaks_and_releases_expire_where_all_is_deleted_at_once() {
    blocks_go_by_their_own_time(Expiry::AtOnce).await;
}

/// Keys, slots, what is held and what is dead.
async fn the_rest_goes_by_its_own_time(expiry: Expiry) {
    let bundle = bundle_with(expiry, &[("RetentionDays", "1")]).await;
    let account = bundle.account().await;
    let open = bundle.webhook(&account, "/o", &["message"]).await;
    let off = bundle.webhook(&account, "/off", &["event"]).await;
    let off_path = format!("/webhooks/{}", off.id);
    assert_eq!(bundle.client.patch(&off_path, &account.key, &json!({"enabled": false})).await.status, 200);
    let once = async || {
        let reply = bundle.client.post_once("/bots/b/messages", &account.key, "key-1", r#"{"n":1}"#).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        reply.json()["id"].as_str().unwrap().to_owned()
    };
    let slot = bundle.stack.clock().now_ms();
    let planned = async || {
        let invocation = bundle.stack.run_schedule("carteiro-tick", slot).await.unwrap();
        serde_json::from_slice::<Value>(&invocation.payload).unwrap()["planned"].as_bool().unwrap()
    };
    let first = once().await;
    let held = send_many(&bundle.client, &account, "event", 12).await;
    until(&bundle.client, &account, &off, "event", |status| status["held"] == 12).await;
    assert!(planned().await);
    bundle.receiver.wait_for_count("/o", 1, SOON).await.unwrap();
    quiet(&bundle.stack, &bundle.receiver, "/o").await;

    // Within the day: the key is known, the slot is planned, what is held is held.
    hours(&bundle, 23).await;
    assert_eq!((once().await, planned().await), (first.clone(), false));
    bundle.tick().await;
    assert_eq!(status(&bundle.client, &account, &off, "event").await["held"], 12);
    assert_eq!(quiet(&bundle.stack, &bundle.receiver, "/o").await, 1, "a repeat delivers nothing");

    // After it: the key is new, and what was held is dead: no row of it went unseen.
    hours(&bundle, 2).await;
    let second = once().await;
    assert_ne!(second, first);
    bundle.receiver.wait_for_count("/o", 2, SOON).await.unwrap();
    let dead = async || {
        let list = bundle.client.get(&format!("{off_path}/dead?limit=100"), &account.key).await.json();
        let data = list["data"].as_array().unwrap_or_else(|| panic!("{list}")).clone();
        data.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<HashSet<_>>()
    };
    comes_true(async || {
        bundle.tick().await;
        dead().await.len() == 12
    })
    .await;
    assert_eq!(dead().await, held.iter().cloned().collect());
    until(&bundle.client, &account, &off, "event", |status| status["held"] == 0).await;

    // The dead are shown for their time, and not longer.
    quiet(&bundle.stack, &bundle.receiver, "/o").await;
    hours(&bundle, 23).await;
    assert_eq!(dead().await.len(), 12);
    hours(&bundle, 2).await;
    assert_eq!(dead().await.len(), 0);
    let rows = dynamodb::scan(&bundle, "DeadTable").await.len();
    assert_eq!(rows, if expiry == Expiry::Never { 12 } else { 0 }, "the tables delete as the test says");

    // An item that waits longer than any tick is late is found dead, not gone. A day without ticks is no matter.
    let late = send_many(&bundle.client, &account, "event", 3).await;
    until(&bundle.client, &account, &off, "event", |status| status["held"] == 3).await;
    hours(&bundle, 6 * 24).await;
    comes_true(async || {
        bundle.tick().await;
        dead().await.len() == 3
    })
    .await;
    assert_eq!(dead().await, late.into_iter().collect());
    let counts = bundle.receiver.counts_by_webhook_id("/o");
    assert_eq!((counts.len(), counts.values().sum::<u64>()), (2, 2), "{}: {counts:?}", open.id);
    bundle.stop().await;
}

#[tokio::test]
async fn keys_slots_and_items_expire_where_nothing_is_ever_deleted() {
    the_rest_goes_by_its_own_time(Expiry::Never).await;
}

#[tokio::test]
async fn keys_slots_and_items_expire_where_all_is_deleted_at_once() {
    the_rest_goes_by_its_own_time(Expiry::AtOnce).await;
}
