//! What a network does not let be kept any more goes outright, wherever it waits; what it says nothing of stays.
//!
//! Entries are put into the inbox's table as a collection would leave them, so that their network is no part of this.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carteiro_core::delivery::Delivery;
use carteiro_local::Expiry;
use carteiro_networks::collected::By;
use carteiro_networks::inbox::{EntryKey, Event, Shape};
use carteiro_networks::network::Network;
use carteiro_networks::normalise;
use carteiro_receiver::Answer;
use carteiro_tests::{Account, Bundle, Webhook, comes_true, dynamodb, sqs};
use jiff::Timestamp;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::networks::{connect, inbox_rows};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The owner's id on the network, of every page here.
const OWNER: &str = "77";

/// The networks do not answer: what there is of them is what was put there.
const AWAY: [(&str, &str); 2] =
    [("LinkedinBaseUrl", "http://127.0.0.1:1/l"), ("YoutubeBaseUrl", "http://127.0.0.1:1/y")];

/// A post of the page's, as its network answers it.
fn post(network: Network, id: &str) -> Event {
    let (shape, raw) = match network {
        Network::Youtube => (
            Shape::YoutubeVideo,
            json!({"snippet": {"title": id, "channelId": OWNER}, "contentDetails": {"videoId": id}}),
        ),
        Network::Linkedin => (
            Shape::LinkedinPost,
            json!({"id": format!("urn:li:share:{id}"), "author": format!("urn:li:organization:{OWNER}"),
                "commentary": id, "publishedAt": 1_795_000_000_000_i64}),
        ),
        other => panic!("{other}"),
    };
    let raw = to_raw_value(&raw).unwrap();
    Event { network, by: By::Poll, shape, field: "posts".into(), sent_at: None, raw, beside: None }
}

/// Puts an entry into the inbox that was collected at a time, ready to be dispatched.
async fn collected(bundle: &Bundle, account: &Account, page: &str, event: &Event, at: Timestamp) {
    let reading = normalise::read(event, &OWNER.parse().unwrap());
    let key = EntryKey::new(&reading.thing, &reading.version);
    let last_two = &key.as_str()[key.as_str().len() - 2..];
    let ready = format!("ready#{:02}", u8::from_str_radix(last_two, 16).unwrap() % 16);
    let mut stored = vec![0];
    stored.extend(serde_json::to_vec(event).unwrap());
    let text = |text: &str| json!({"S": text});
    let time = json!({"N": at.as_millisecond().to_string()});
    let row = json!({
        "pk": text(&format!("{page}#00")), "sk": text(key.as_str()), "account": text(&account.id),
        "owner": text(OWNER), "received_at": time, "since": time, "waiting": text(&ready),
        "event": {"B": STANDARD.encode(stored)},
    });
    dynamodb::call(bundle, "PutItem", &json!({"TableName": "InboxTable", "Item": row})).await;
}

/// The bundle, whose tables delete by themselves as early as they may, or never: neither decides anything.
async fn bundle_with(expiry: Expiry, own: &[(&str, &str)]) -> Bundle {
    let bundle = Bundle::start_with(own.iter().copied().chain(AWAY)).await;
    bundle.stack.expire_dynamodb(expiry);
    bundle
}

/// When a page was connected, by the time of the bundle.
async fn now(bundle: &Bundle, account: &Account, page: &str) -> Timestamp {
    let shown = bundle.client.get(&format!("/pages/{page}"), &account.key).await.json();
    shown["created_at"].as_str().unwrap().parse().unwrap()
}

async fn listed(bundle: &Bundle, account: &Account, webhook: &Webhook, list: &str) -> Vec<Value> {
    let answer = bundle.client.get(&format!("/webhooks/{}/{list}?limit=200", webhook.id), &account.key).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"].as_array().unwrap().clone()
}

/// Ticks until a list of a webhook's has a number of items.
async fn until_listed(bundle: &Bundle, account: &Account, webhook: &Webhook, list: &str, count: usize) {
    for _ in 0..300 {
        if listed(bundle, account, webhook, list).await.len() == count {
            return;
        }
        bundle.tick().await;
        bundle.until_rest().await;
        bundle.advance(Duration::from_secs(60)).await;
    }
    panic!("{list} has {:?}", listed(bundle, account, webhook, list).await);
}

/// How many rows of waiting items a table has.
async fn rows(bundle: &Bundle, table: &str) -> usize {
    dynamodb::scan(bundle, table).await.iter().filter(|row| row.get("body").is_some()).count()
}

async fn what_was_held_goes_after_48_hours(expiry: Expiry) {
    let bundle = bundle_with(expiry, &[]).await;
    let account = bundle.account().await;
    let webhook = bundle.webhook_set(&account, "/w", &["publication"], json!({"enabled": false})).await;
    let linkedin = connect(&bundle, &account, "linkedin", OWNER).await;
    let youtube = connect(&bundle, &account, "youtube", OWNER).await;
    let at = now(&bundle, &account, &linkedin).await;
    for number in 0..3 {
        let event = post(Network::Linkedin, &number.to_string());
        collected(&bundle, &account, &linkedin, &event, at).await;
    }
    collected(&bundle, &account, &youtube, &post(Network::Youtube, "v"), at).await;
    until_listed(&bundle, &account, &webhook, "held", 4).await;
    assert_eq!(bundle.status(&account, &webhook, "publication").await["held"], 4);

    bundle.advance(Duration::from_secs(47 * HOUR)).await;
    assert_eq!(listed(&bundle, &account, &webhook, "held").await.len(), 4);
    bundle.advance(Duration::from_secs(HOUR)).await;
    // Shown no more, whether or not anybody deleted it yet.
    let held = listed(&bundle, &account, &webhook, "held").await;
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!(held[0]["source"], format!("page:{youtube}"));
    assert_eq!(bundle.status(&account, &webhook, "publication").await["held"], 1);

    let path = format!("/webhooks/{}/enable", webhook.id);
    assert_eq!(bundle.client.post(&path, &account.key, "").await.status, 200);
    until_listed(&bundle, &account, &webhook, "held", 0).await;
    bundle.until_rest().await;
    assert_eq!((rows(&bundle, "HeldTable").await, rows(&bundle, "DeadTable").await), (0, 0));
    let arrived = bundle.receiver.deliveries_to("/w");
    assert_eq!(arrived.len(), 1, "{arrived:?}");
    if expiry == Expiry::Never {
        assert_eq!(bundle.complained("delivery.storage_limit"), 3);
    }
    bundle.stop().await;
}

#[tokio::test]
async fn held_linkedin_items_go_after_48_hours_where_no_table_deletes() {
    what_was_held_goes_after_48_hours(Expiry::Never).await;
}

#[tokio::test]
async fn held_linkedin_items_go_after_48_hours_where_tables_delete() {
    what_was_held_goes_after_48_hours(Expiry::AtOnce).await;
}

#[tokio::test]
async fn a_retry_past_its_networks_limit_is_dropped_and_not_dead() {
    let bundle = bundle_with(Expiry::Never, &[]).await;
    let account = bundle.account().await;
    bundle.receiver.set_behaviour("/w", Answer::busy(86_400));
    let webhook = bundle.webhook(&account, "/w", &["publication"]).await;
    let page = connect(&bundle, &account, "linkedin", OWNER).await;
    let at = now(&bundle, &account, &page).await;
    collected(&bundle, &account, &page, &post(Network::Linkedin, "1"), at).await;
    until_listed(&bundle, &account, &webhook, "held", 1).await;
    for _ in 0..2 {
        bundle.advance(Duration::from_secs(25 * HOUR)).await;
        bundle.tick().await;
        bundle.until_rest().await;
    }
    until_listed(&bundle, &account, &webhook, "held", 0).await;
    assert_eq!((rows(&bundle, "HeldTable").await, rows(&bundle, "DeadTable").await), (0, 0));
    let attempts = bundle.receiver.deliveries_to("/w").len();
    assert!((1..=2).contains(&attempts), "{attempts}");
    assert_eq!(bundle.complained("delivery.storage_limit"), 1);
    bundle.stop().await;
}

#[tokio::test]
async fn a_dead_item_past_its_networks_limit_is_not_replayed() {
    let bundle = bundle_with(Expiry::Never, &[("RetentionDays", "20")]).await;
    let account = bundle.account().await;
    let webhook = bundle.webhook_set(&account, "/w", &["publication"], json!({"enabled": false})).await;
    let page = connect(&bundle, &account, "youtube", OWNER).await;
    let at = now(&bundle, &account, &page).await;
    collected(&bundle, &account, &page, &post(Network::Youtube, "v"), at).await;
    until_listed(&bundle, &account, &webhook, "held", 1).await;
    bundle.advance(Duration::from_secs(20 * DAY)).await;
    until_listed(&bundle, &account, &webhook, "dead", 1).await;
    // Without the limit it would be kept for 20 days more.
    bundle.advance(Duration::from_secs(10 * DAY)).await;
    assert_eq!(listed(&bundle, &account, &webhook, "dead").await, Vec::<Value>::new());
    let asked = json!({"type": "publication"}).to_string();
    let path = format!("/webhooks/{}/replay", webhook.id);
    let replay = bundle.client.post(&path, &account.key, asked).await.with_status(202);
    bundle.until_rest().await;
    let shown = format!("{path}/{}", replay.json()["id"].as_str().unwrap());
    let shown = bundle.client.get(&shown, &account.key).await.json();
    assert_eq!((&shown["found"], &shown["state"]), (&json!(0), &json!("done")), "{shown}");
    assert_eq!(listed(&bundle, &account, &webhook, "held").await, Vec::<Value>::new());
    bundle.stop().await;
}

#[tokio::test]
async fn a_replayed_item_past_its_networks_limit_counts_as_dropped() {
    let bundle = bundle_with(Expiry::Never, &[("RetentionDays", "20")]).await;
    let account = bundle.account().await;
    let webhook = bundle.webhook_set(&account, "/w", &["publication"], json!({"enabled": false})).await;
    let page = connect(&bundle, &account, "youtube", OWNER).await;
    let at = now(&bundle, &account, &page).await;
    collected(&bundle, &account, &page, &post(Network::Youtube, "v"), at).await;
    until_listed(&bundle, &account, &webhook, "held", 1).await;
    bundle.advance(Duration::from_secs(20 * DAY)).await;
    until_listed(&bundle, &account, &webhook, "dead", 1).await;
    let asked = json!({"type": "publication"}).to_string();
    let path = format!("/webhooks/{}/replay", webhook.id);
    let replay = bundle.client.post(&path, &account.key, asked).await.json();
    until_listed(&bundle, &account, &webhook, "held", 1).await;
    bundle.advance(Duration::from_secs(10 * DAY)).await;
    let shown = format!("{path}/{}", replay["id"].as_str().unwrap());
    let mut counts = Value::Null;
    for _ in 0..60 {
        bundle.tick().await;
        bundle.until_rest().await;
        counts = bundle.client.get(&shown, &account.key).await.json();
        if counts["dropped"] == 1 {
            break;
        }
        bundle.advance(Duration::from_secs(60)).await;
    }
    assert_eq!((&counts["dropped"], &counts["dead"]), (&json!(1), &json!(0)), "{counts}");
    assert_eq!((rows(&bundle, "HeldTable").await, rows(&bundle, "DeadTable").await), (0, 0));
    bundle.stop().await;
}

#[tokio::test]
async fn an_item_past_its_limit_is_not_attempted_buried_or_dispatched() {
    let (bundle, account, webhook) = Bundle::with_webhook(AWAY, "/w", &["publication"]).await;
    let page = connect(&bundle, &account, "linkedin", OWNER).await;
    let at = now(&bundle, &account, &page).await;
    let long_ago = at.checked_sub(Duration::from_secs(48 * HOUR)).unwrap();
    let delivery = Delivery {
        account: account.id.parse().unwrap(),
        webhook: webhook.id.parse().unwrap(),
        item: "item_0000000000000000000000000000002a".parse().unwrap(),
        item_type: "publication".parse().unwrap(),
        source: format!("page:{page}").parse().unwrap(),
        accepted_at: long_ago,
        replayed: None,
        keep_until: Some(at),
        hop: carteiro_core::hop::Hop::default(),
        attempt: 1,
        chain: 0,
        revision: 1,
        step: None,
        body: b"{}".to_vec(),
    };
    let message = delivery.to_message();
    let attribute = |value: &String| json!({"DataType": "String", "StringValue": value});
    let attributes: serde_json::Map<_, _> =
        message.attributes.iter().map(|(name, value)| ((*name).to_owned(), attribute(value))).collect();
    for queue in ["DeliverQueue", "DeliverDeadQueue"] {
        let url = format!("{}/000000000000/{queue}", bundle.stack.addresses().sqs);
        let request = json!({"QueueUrl": url, "MessageBody": message.body, "MessageAttributes": attributes});
        sqs::call(&bundle, "SendMessage", &request).await;
    }
    collected(&bundle, &account, &page, &post(Network::Linkedin, "1"), long_ago).await;
    assert_eq!(bundle.tick().await["dead_letters"], true);
    bundle.until_rest().await;
    comes_true(async || {
        bundle.complained("delivery.storage_limit") == 2 && bundle.complained("inbox.storage_limit") == 1
    })
    .await;
    assert_eq!(bundle.complained("delivery.storage_limit"), 2);
    assert_eq!(bundle.complained("inbox.storage_limit"), 1);
    assert_eq!(bundle.receiver.deliveries_to("/w").len(), 0);
    assert_eq!((rows(&bundle, "HeldTable").await, rows(&bundle, "DeadTable").await), (0, 0));
    assert_eq!(inbox_rows(&bundle).await, Vec::<Value>::new());
    bundle.stop().await;
}
