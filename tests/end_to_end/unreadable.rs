//! Rows that no version can read: the others are released, replayed, listed and told all the same.

use std::time::Duration;

use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::{Account, Bundle, SOON, Webhook, dynamodb};
use serde_json::{Value, json};

/// A webhook that is disabled, and the ids of the events that wait for it.
async fn waiting_events(
    bundle: &Bundle,
    account: &Account,
    path: &str,
    count: usize,
) -> (Webhook, Vec<String>) {
    let webhook = bundle.webhook_set(account, path, &["event"], json!({"enabled": false})).await;
    let ids = bundle.send_many(account, "event", count).await;
    bundle.until_items("HeldTable", count).await;
    assert!(bundle.rest(SOON).await, "{:#?}", bundle.complaints());
    (webhook, ids)
}

/// Changes a row so that it cannot be read.
async fn spoil(bundle: &Bundle, table: &str, row: &Value, update: &str) {
    let mut request = json!({
        "TableName": table,
        "Key": {"pk": row["pk"], "sk": row["sk"]},
        "UpdateExpression": update,
    });
    if update.contains(":junk") {
        request["ExpressionAttributeValues"] = json!({":junk": {"S": "junk"}});
    }
    dynamodb::call(bundle, "UpdateItem", &request).await;
}

async fn row_of(bundle: &Bundle, table: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let rows = dynamodb::scan(bundle, table).await;
    rows.iter().find(|row| is_it(row)).unwrap_or_else(|| panic!("not among {rows:#?}")).clone()
}

fn is_release(row: &Value) -> bool {
    row["pk"]["S"].as_str().is_some_and(|pk| pk.ends_with("#release"))
}

#[tokio::test]
async fn a_release_with_an_unreadable_row_is_rewritten_and_goes_on() {
    let (bundle, account) = Bundle::with_account([]).await;
    let spoils =
        ["SET account = :junk", "REMOVE touched", "SET lease_until = :junk", "SET step_size = :junk"];
    for (number, update) in spoils.into_iter().enumerate() {
        let path = format!("/{number}");
        let (webhook, ids) = waiting_events(&bundle, &account, &path, 3).await;
        let own = |row: &Value| is_release(row) && row["pk"]["S"].as_str().unwrap().starts_with(&webhook.id);
        let row = row_of(&bundle, "HeldTable", own).await;
        spoil(&bundle, "HeldTable", &row, update).await;
        bundle.patch(&account, &webhook, &json!({"enabled": true})).await;
        bundle.tick().await;
        let arrived = bundle.receiver.wait_for_count(&path, 3, SOON).await;
        let arrived = arrived.unwrap_or_else(|_| panic!("{update}: {:#?}", bundle.complaints()));
        assert!(ids.iter().all(|id| arrived.iter().any(|one| one.webhook_id() == Some(id))), "{update}");
        bundle.until_items("HeldTable", 0).await;
        assert!(bundle.rest(SOON).await, "{:#?}", bundle.complaints());
        let delete = format!("/webhooks/{}", webhook.id);
        assert_eq!(bundle.client.delete(&delete, &account.key).await.status, 200);
    }
    assert!(bundle.complained("release.row_repaired") >= 1, "{:#?}", bundle.complaints());
    bundle.stop().await;
}

#[tokio::test]
async fn an_unreadable_held_row_does_not_stop_the_release_of_others() {
    let (bundle, account) = Bundle::with_account([]).await;
    let (webhook, ids) = waiting_events(&bundle, &account, "/x", 4).await;
    // The oldest: nothing could be released past it.
    let row = row_of(&bundle, "HeldTable", |row| row["item"]["S"] == ids[0].as_str()).await;
    spoil(&bundle, "HeldTable", &row, "REMOVE body").await;
    let listed = bundle.client.get(&format!("/webhooks/{}/held", webhook.id), &account.key).await;
    assert_eq!(listed.status, 200, "{}", listed.text());
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 3, "{}", listed.text());
    bundle.patch(&account, &webhook, &json!({"enabled": true})).await;
    bundle.receiver.wait_for_count("/x", 3, SOON).await.unwrap();
    bundle.until_items("HeldTable", 1).await;
    assert!(bundle.complained("row.unreadable") >= 1, "{:#?}", bundle.complaints());
    bundle.stop().await;
}

#[tokio::test]
async fn a_retry_that_cannot_be_read_is_set_aside_once() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/later", &["message"]).await;
    bundle.receiver.set_behaviour("/later", Answer::busy(3600));
    for _ in 0..2 {
        bundle.send(&account, "/bots/b/messages", "{}").await;
    }
    bundle.until_items("HeldTable", 2).await;
    bundle.receiver.set_behaviour("/later", Behaviour::default());
    let row = row_of(&bundle, "HeldTable", |row| row.get("item").is_some()).await;
    spoil(&bundle, "HeldTable", &row, "SET attempt = :junk").await;
    assert!(bundle.rest(SOON).await);
    for _ in 0..6 {
        bundle.advance(Duration::from_secs(15 * 60)).await;
        bundle.tick().await;
        assert!(bundle.rest(SOON).await);
    }
    bundle.receiver.wait_for_count("/later", 3, SOON).await.unwrap();
    assert_eq!(bundle.complained("held.set_aside"), 1, "{:#?}", bundle.complaints());
    let status = bundle.client.get(&format!("/webhooks/{}", webhook.id), &account.key).await;
    assert_eq!(status.status, 200);
    bundle.stop().await;
}

#[tokio::test]
async fn a_replay_whose_row_cannot_be_read_leaves_its_type_to_another() {
    let (bundle, account) = Bundle::with_account([("RetentionDays", "1")]).await;
    let (webhook, ids) = waiting_events(&bundle, &account, "/x", 3).await;
    bundle.advance(Duration::from_secs(25 * 3600)).await;
    bundle.tick().await;
    bundle.until_items("DeadTable", 3).await;
    assert!(bundle.rest(SOON).await);
    bundle.patch(&account, &webhook, &json!({"enabled": true})).await;
    // A replay that nobody can read, as it stands when its worker died before it began.
    let now = bundle.stack.clock().now_ms();
    let (replay, pk) = ("rep_019f2b3c4d5e00000a1b2c3d4e5f6071", format!("{}#replay", webhook.id));
    let rows = [
        json!({"pk": {"S": pk}, "sk": {"S": replay}, "account": {"S": account.id}, "webhook": {"S": webhook.id},
               "replay": {"S": replay}, "type": {"S": "event"}, "created_at": {"S": "junk"},
               "due_shard": {"S": "due#01"}, "due_at": {"N": now.to_string()}}),
        json!({"pk": {"S": pk}, "sk": {"S": "running#event"}, "replay": {"S": replay}}),
    ];
    for row in rows {
        dynamodb::call(&bundle, "PutItem", &json!({"TableName": "HeldTable", "Item": row})).await;
    }
    let path = format!("/webhooks/{}/replay", webhook.id);
    let wanted = json!({"type": "event"}).to_string();
    assert_eq!(bundle.client.post(&path, &account.key, wanted.clone()).await.status, 409);
    assert_eq!(bundle.client.get(&path, &account.key).await.json()["data"], json!([]));
    bundle.tick().await;
    assert!(bundle.rest(SOON).await, "{:#?}", bundle.complaints());
    assert_eq!(bundle.complained("replay.abandoned"), 1, "{:#?}", bundle.complaints());
    // One of the dead cannot be read either: the others are listed, and replayed.
    let row = row_of(&bundle, "DeadTable", |row| row["item"]["S"] == ids[1].as_str()).await;
    spoil(&bundle, "DeadTable", &row, "REMOVE cause").await;
    let dead = bundle.client.get(&format!("/webhooks/{}/dead", webhook.id), &account.key).await;
    assert_eq!((dead.status, dead.json()["data"].as_array().unwrap().len()), (200, 2), "{}", dead.text());
    assert_eq!(bundle.client.post(&path, &account.key, wanted).await.status, 202);
    bundle.receiver.wait_for_count("/x", 2, SOON).await.unwrap();
    bundle.stop().await;
}
