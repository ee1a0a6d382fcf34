//! The block under concurrency: many functions at once against URLs that fail.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use carteiro_receiver::Behaviour;
use carteiro_tests::{Account, Bundle};
use http::{Method, StatusCode};
use serde_json::{Value, json};

const THRESHOLD: u64 = 100;
const WEBHOOKS_PER_ACCOUNT: usize = 100;
const ACCOUNTS: usize = 2;

/// Every streak's row, by its webhook.
async fn streaks(bundle: &Bundle) -> HashMap<String, Value> {
    let rows = carteiro_tests::dynamodb::scan(bundle, "StreakTable").await;
    rows.into_iter().map(|row| (row["pk"]["S"].as_str().unwrap().to_owned(), row)).collect()
}

async fn send_to_all(bundle: &Bundle, account: &Account, items: usize) {
    let body: String =
        (0..items).map(|n| format!("{}\n", json!({"type": "event", "item": {"n": n}}))).collect();
    let authorization = format!("Bearer {}", account.key);
    let headers = [("authorization", authorization.as_str())];
    let reply = bundle.client.request(Method::POST, "/bots/b/items", &headers, body).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let refused =
        reply.json()["results"].as_array().unwrap().iter().filter(|one| one.get("error").is_some()).count();
    assert_eq!(refused, 0, "of {items}");
}

#[tokio::test]
async fn sixteen_functions_against_two_hundred_failing_urls_block_each_once_and_not_before_its_threshold() {
    let threshold = THRESHOLD.to_string();
    let bundle =
        Bundle::start_with([("FailureThreshold", threshold.as_str()), ("DeliverConcurrency", "16")]).await;
    let mut webhooks = HashMap::new();
    let mut accounts = Vec::new();
    for _ in 0..ACCOUNTS {
        let account = bundle.account().await;
        for _ in 0..WEBHOOKS_PER_ACCOUNT {
            let path = format!("/{}", webhooks.len());
            bundle.receiver.set_behaviour(&path, Behaviour::from(StatusCode::BAD_GATEWAY));
            let webhook = bundle.webhook(&account, &path, &["event"]).await;
            webhooks.insert(webhook.id, path);
        }
        accounts.push(account);
    }
    // A little at a time, so that what one item is at another is at too.
    for _ in 0..13 {
        for account in &accounts {
            send_to_all(&bundle, account, 10).await;
        }
    }
    let mut epochs: HashMap<String, String> = HashMap::new();
    for _ in 0..1200 {
        for (webhook, row) in streaks(&bundle).await {
            let failures: u64 = row["failures"]["N"].as_str().map_or(0, |failures| failures.parse().unwrap());
            assert!(failures <= THRESHOLD, "{row}");
            let Some(epoch) = row["epoch"]["S"].as_str() else {
                assert!(failures < THRESHOLD, "{row}");
                continue;
            };
            assert!(row.get("blocked_until").is_some(), "{row}");
            assert!(bundle.receiver.count(&webhooks[&webhook]) >= THRESHOLD, "blocked too early: {row}");
            let first = epochs.entry(webhook).or_insert_with(|| epoch.to_owned());
            assert_eq!(first, epoch, "a second block in the same streak");
        }
        if epochs.len() == webhooks.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(epochs.len(), webhooks.len());
    assert_eq!(epochs.values().collect::<HashSet<_>>().len(), webhooks.len());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let most = webhooks.values().map(|path| bundle.receiver.count(path)).max().unwrap();
    // The threshold, and what was in flight: concurrency times batch size.
    assert!(most <= THRESHOLD + 160, "{most} requests to one URL");
    let again = streaks(&bundle).await;
    assert!(epochs.iter().all(|(webhook, epoch)| again[webhook]["epoch"]["S"] == epoch.as_str()));
    println!("{} blocks, one each; at most {most} requests to one URL", epochs.len());
    bundle.stop().await;
}
