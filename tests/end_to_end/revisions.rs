//! Revisions that are over, and webhooks that are disabled or deleted: what they leave, and what is told of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use carteiro_local::{DynamodbCall, Fate, Fault, Verdict};
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::blocks::{is_blocked, pass, quiet, send_many, status, until};
use carteiro_tests::{Account, Bundle, Patience, SOON, Webhook, comes_true, dynamodb};
use http::StatusCode;
use serde_json::{Value, json};

const FAILING: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

/// An answer that comes when the test has done something else.
fn later(status: StatusCode) -> Behaviour {
    Answer::Delay { by: Duration::from_secs(6), then: Box::new(Answer::status(status)) }.into()
}

/// Waits until a number of results were found late.
async fn until_late(bundle: &Bundle, results: u64) {
    let came = comes_true(async || {
        let lines = bundle.logs.of("DeliverFunction");
        let late = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let late = late.filter(|line| line["message"] == "streak.late");
        late.map(|line| line["results"].as_u64().unwrap_or_default()).sum::<u64>() >= results
    })
    .await;
    assert!(came, "{results} results were not found late: {:?}", bundle.logs.of("DeliverFunction"));
}

/// The rows of this webhook's streaks.
async fn rows(bundle: &Bundle, webhook: &Webhook) -> Vec<Value> {
    let rows = dynamodb::scan(bundle, "StreakTable").await;
    rows.into_iter().filter(|row| row["pk"]["S"] == webhook.id.as_str()).collect()
}

/// Asserts that the rows of this revision are over: no streak, no block, and a date.
fn assert_over(rows: &[Value], revision: u64) {
    let of_revision: Vec<_> = rows
        .iter()
        .filter(|row| row["sk"]["S"].as_str().unwrap().starts_with(&format!("{revision:010}#")))
        .collect();
    assert!(of_revision.len() >= 6, "one of each type: {rows:?}");
    for row in of_revision {
        assert_eq!(row["epoch"]["S"], "retired", "{row}");
        assert!(row.get("expires_at").is_some(), "{row}");
        for gone in ["streak", "failures", "blocked_until"] {
            assert_eq!(row.get(gone), None, "{row}");
        }
    }
}

/// The notices of a kind that arrived at a path, and their ids.
fn told(bundle: &Bundle, path: &str, kind: &str) -> Vec<(String, Value)> {
    let deliveries = bundle.receiver.deliveries_to(path);
    let notices = deliveries.iter().map(|one| {
        (one.webhook_id().unwrap().to_owned(), serde_json::from_slice::<Value>(&one.body).unwrap())
    });
    notices.filter(|(_, body)| body["type"] == kind).collect()
}

async fn until_told(bundle: &Bundle, path: &str, kind: &str) -> (String, Value) {
    let mut patience = Patience::default();
    while patience.lasts().await {
        if let Some(one) = told(bundle, path, kind).into_iter().next() {
            return one;
        }
    }
    panic!("{kind} was not told at {path}");
}

async fn until_disabled(bundle: &Bundle, account: &Account, webhook: &Webhook) {
    let came = comes_true(async || {
        let shown = bundle.client.get(&format!("/webhooks/{}", webhook.id), &account.key).await.json();
        shown["disabled_by"] == "gone"
    })
    .await;
    assert!(came, "it was not disabled");
}

#[tokio::test]
async fn late_results_of_an_old_url_touch_nothing_of_the_new_revision() {
    for late in [StatusCode::GONE, FAILING, StatusCode::OK] {
        let (bundle, account) = Bundle::with_account([("FailureThreshold", "10")]).await;
        bundle.webhook(&account, "/told", &["notice"]).await;
        let webhook = bundle.webhook(&account, "/old", &["event"]).await;
        bundle.receiver.set_behaviour("/old", later(late));
        // In messages of their own, so that all are under way at once.
        let sent = bundle.send_apart(&account, "event", 12).await;
        bundle.receiver.wait_for_count("/old", 12, SOON).await.unwrap();
        let changed = bundle.patch(&account, &webhook, &json!({"url": bundle.receiver.url("/new")})).await;
        assert_eq!(changed["revision"], 2);
        // The new revision has a streak of its own, which late successes do not end, and late failures do not grow.
        bundle.receiver.set_behaviour("/new", Answer::busy(86_400));
        send_many(&bundle.client, &account, "event", 4).await;
        until(&bundle.client, &account, &webhook, "event", |status| status["failures"] == 4).await;
        until_late(&bundle, 12).await;
        let shown = bundle.client.get(&format!("/webhooks/{}", webhook.id), &account.key).await.json();
        assert_eq!((&shown["enabled"], &shown["disabled_by"]), (&json!(true), &Value::Null), "{late}");
        let shown = &shown["status"]["event"];
        assert_eq!((&shown["state"], &shown["failures"]), (&json!("open"), &json!(4)), "{late}");
        let rows = rows(&bundle, &webhook).await;
        assert_over(&rows, 1);
        assert_eq!(rows.len(), 7, "and the new revision's: {rows:?}");
        assert_eq!(bundle.receiver.count("/told"), 0, "{late}");
        // What the old URL refused goes to the new one.
        bundle.receiver.set_behaviour("/new", Behaviour::default());
        bundle.stack.clock().advance(Duration::from_secs(10));
        if late == StatusCode::GONE {
            // It waits for its release, which is looked at within half an hour.
            pass(&bundle.stack, Duration::from_secs(31 * 60)).await;
            bundle.tick().await;
        }
        comes_true(async || {
            let old = if late == StatusCode::OK { "/old" } else { "/new" };
            let counts = bundle.receiver.counts_by_webhook_id(old);
            sent.iter().all(|id| counts.contains_key(id))
        })
        .await;
        let counts =
            bundle.receiver.counts_by_webhook_id(if late == StatusCode::OK { "/old" } else { "/new" });
        assert!(sent.iter().all(|id| counts.contains_key(id)), "{late}: {counts:?}");
        bundle.stop().await;
    }
}

#[tokio::test]
async fn a_new_url_notifies_the_release_once_and_rows_have_dates() {
    let (bundle, account, _) = Bundle::with_webhook([("FailureThreshold", "5")], "/told", &["notice"]).await;
    let webhook = bundle.webhook(&account, "/a", &["event", "message"]).await;
    bundle.receiver.set_behaviour("/a", Behaviour::from(FAILING));
    // One type is blocked, the other has a streak.
    send_many(&bundle.client, &account, "event", 5).await;
    send_many(&bundle.client, &account, "message", 1).await;
    until(&bundle.client, &account, &webhook, "event", is_blocked).await;
    until(&bundle.client, &account, &webhook, "message", |status| status["failures"] == 1).await;
    until_told(&bundle, "/told", "webhook.blocked").await;
    quiet(&bundle.stack, &bundle.receiver, "/a").await;
    assert!(told(&bundle, "/told", "webhook.released").is_empty());
    bundle.patch(&account, &webhook, &json!({"url": bundle.receiver.url("/b")})).await;
    let (_, notice) = until_told(&bundle, "/told", "webhook.released").await;
    assert_eq!(
        (&notice["data"]["webhook"], &notice["data"]["item_type"]),
        (&json!(webhook.id), &json!("event"))
    );
    assert_over(&rows(&bundle, &webhook).await, 1);
    // A PATCH that changes nothing is no new revision, and one that changes something else is none either.
    bundle.patch(&account, &webhook, &json!({"url": bundle.receiver.url("/b")})).await;
    assert_eq!(bundle.patch(&account, &webhook, &json!({"log": "all"})).await["revision"], 2);
    quiet(&bundle.stack, &bundle.receiver, "/told").await;
    // To after the time at which the block would have been over.
    for _ in 0..5 {
        pass(&bundle.stack, Duration::from_secs(3000)).await;
        bundle.tick().await;
        quiet(&bundle.stack, &bundle.receiver, "/told").await;
    }
    assert_eq!(told(&bundle, "/told", "webhook.released").len(), 1);
    assert_eq!(told(&bundle, "/told", "webhook.blocked").len(), 1);
    bundle.stop().await;
}

#[tokio::test]
async fn deleting_a_blocked_webhook_notifies_of_no_release() {
    let (bundle, account, _) = Bundle::with_webhook([("FailureThreshold", "5")], "/told", &["notice"]).await;
    let webhook = bundle.webhook(&account, "/a", &["event", "message"]).await;
    bundle.receiver.set_behaviour("/a", Behaviour::from(FAILING));
    send_many(&bundle.client, &account, "event", 5).await;
    send_many(&bundle.client, &account, "message", 1).await;
    until(&bundle.client, &account, &webhook, "event", is_blocked).await;
    until_told(&bundle, "/told", "webhook.blocked").await;
    // Attempts that are under way when it is deleted.
    bundle.receiver.set_behaviour("/a", later(FAILING));
    let before = quiet(&bundle.stack, &bundle.receiver, "/a").await;
    send_many(&bundle.client, &account, "message", 2).await;
    bundle.receiver.wait_for_count("/a", before + 2, SOON).await.unwrap();
    bundle.client.delete(&format!("/webhooks/{}", webhook.id), &account.key).await.with_status(200);
    until_late(&bundle, 2).await;
    assert_over(&rows(&bundle, &webhook).await, 1);
    for _ in 0..5 {
        pass(&bundle.stack, Duration::from_secs(3000)).await;
        bundle.tick().await;
    }
    quiet(&bundle.stack, &bundle.receiver, "/told").await;
    assert!(told(&bundle, "/told", "webhook.released").is_empty());
    assert!(rows(&bundle, &webhook).await.is_empty(), "an hour later they are gone");
    bundle.stop().await;
}

#[tokio::test]
async fn a_gone_webhook_is_notified_once_for_many_attempts() {
    let (bundle, account, told_at) = Bundle::with_webhook([], "/told", &["notice"]).await;
    let webhook = bundle.webhook(&account, "/gone", &["event", "message"]).await;
    bundle.receiver.set_behaviour("/gone", Behaviour::from(StatusCode::GONE));
    send_many(&bundle.client, &account, "event", 30).await;
    send_many(&bundle.client, &account, "message", 30).await;
    let (id, notice) = until_told(&bundle, "/told", "webhook.disabled").await;
    assert!(notice["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{notice}");
    let data = &notice["data"];
    assert_eq!((&data["webhook"], &data["disabled_by"]), (&json!(webhook.id), &json!("gone")));
    assert_eq!(data["url"], bundle.receiver.url("/gone").as_str());
    assert_eq!(data["last_error"]["status"], 410);
    quiet(&bundle.stack, &bundle.receiver, "/gone").await;
    bundle.tick().await;
    quiet(&bundle.stack, &bundle.receiver, "/told").await;
    assert_eq!(told(&bundle, "/told", "webhook.disabled").len(), 1);
    // Enabled by its owner and gone again, it is told again, under another id.
    let enable = format!("/webhooks/{}/enable", webhook.id);
    assert_eq!(bundle.client.post(&enable, &account.key, "").await.status, 200);
    until_disabled(&bundle, &account, &webhook).await;
    quiet(&bundle.stack, &bundle.receiver, "/told").await;
    // A release's attempt may be the last of a chain, whose notice a tick tells.
    bundle.tick().await;
    quiet(&bundle.stack, &bundle.receiver, "/told").await;
    let ids: HashSet<_> = told(&bundle, "/told", "webhook.disabled").into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(ids.contains(&id));
    let shown = status(&bundle.client, &account, &told_at, "notice").await;
    assert_eq!((&shown["state"], &shown["held"]), (&json!("open"), &json!(0)));
    bundle.stop().await;
}

#[tokio::test]
async fn a_disabling_whose_telling_was_cut_short_is_told_by_a_tick() {
    let (bundle, account, _) = Bundle::with_webhook([], "/told", &["notice"]).await;
    let webhook = bundle.webhook(&account, "/gone", &["event"]).await;
    bundle.receiver.set_behaviour("/gone", Behaviour::from(StatusCode::GONE));
    // Who would tell it cannot read it, as if it had died.
    bundle.stack.intercept_dynamodb(Some(Arc::new(|call: DynamodbCall<'_>| {
        let tells = call.operation == "GetItem" && String::from_utf8_lossy(call.body).contains("#webhook\"");
        if !tells {
            return Verdict::default();
        }
        let fault = Fault {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "InternalServerError".to_owned(),
            message: "injected".to_owned(),
        };
        Fate::FailBefore(fault).into()
    })));
    send_many(&bundle.client, &account, "event", 1).await;
    until_disabled(&bundle, &account, &webhook).await;
    quiet(&bundle.stack, &bundle.receiver, "/told").await;
    assert_eq!(bundle.receiver.count("/told"), 0);
    bundle.stack.intercept_dynamodb(None);
    assert_eq!(bundle.tick().await["notices"], 1);
    until_told(&bundle, "/told", "webhook.disabled").await;
    quiet(&bundle.stack, &bundle.receiver, "/told").await;
    assert_eq!(bundle.tick().await["notices"], 0);
    assert_eq!(told(&bundle, "/told", "webhook.disabled").len(), 1);
    bundle.stop().await;
}

#[tokio::test]
async fn a_tick_notifies_the_others_of_a_gone_webhook_for_notices() {
    let (bundle, account) = Bundle::with_account([("FailureThreshold", "2")]).await;
    let gone = bundle.webhook(&account, "/gone", &["notice"]).await;
    bundle.webhook(&account, "/told", &["notice"]).await;
    let failing = bundle.webhook(&account, "/f", &["event"]).await;
    bundle.receiver.set_behaviour("/gone", Behaviour::from(StatusCode::GONE));
    bundle.receiver.set_behaviour("/f", Behaviour::from(FAILING));
    send_many(&bundle.client, &account, "event", 2).await;
    until(&bundle.client, &account, &failing, "event", is_blocked).await;
    until_disabled(&bundle, &account, &gone).await;
    quiet(&bundle.stack, &bundle.receiver, "/told").await;
    assert!(
        told(&bundle, "/told", "webhook.disabled").is_empty(),
        "it would make a chain of invocations longer"
    );
    let requests = bundle.receiver.count("/gone");
    bundle.tick().await;
    let (_, notice) = until_told(&bundle, "/told", "webhook.disabled").await;
    assert_eq!(notice["data"]["webhook"], json!(gone.id));
    // Its own waits like everything for a webhook that is disabled.
    until(&bundle.client, &account, &gone, "notice", |status| status["held"].as_u64() >= Some(2)).await;
    assert_eq!(bundle.receiver.count("/gone"), requests);
    bundle.stop().await;
}

#[tokio::test]
async fn a_threshold_below_the_count_blocks_at_the_next_failure() {
    let (bundle, account) = Bundle::with_account([("FailureThreshold", "100")]).await;
    let webhook = bundle.webhook(&account, "/l", &["event"]).await;
    bundle.receiver.set_behaviour("/l", Answer::busy(86_400));
    send_many(&bundle.client, &account, "event", 8).await;
    until(&bundle.client, &account, &webhook, "event", |status| status["failures"] == 8).await;
    assert_eq!(bundle.patch(&account, &webhook, &json!({"threshold": 5})).await["revision"], 1);
    let shown = status(&bundle.client, &account, &webhook, "event").await;
    assert_eq!(
        (&shown["state"], &shown["failures"], &shown["threshold"]),
        (&json!("open"), &json!(4), &json!(5)),
        "open, so below the threshold"
    );
    assert_eq!(bundle.receiver.count("/l"), 8, "a changed setting is no failure");
    send_many(&bundle.client, &account, "event", 1).await;
    let blocked = until(&bundle.client, &account, &webhook, "event", is_blocked).await;
    assert_eq!((&blocked["failures"], &blocked["threshold"]), (&json!(5), &json!(5)));
    assert_eq!(quiet(&bundle.stack, &bundle.receiver, "/l").await, 9);
    let row = &rows(&bundle, &webhook).await[0];
    assert_eq!(row["failures"]["N"], "5", "{row}");
    bundle.stop().await;
}

#[tokio::test]
async fn an_unblock_without_a_notice_leaves_no_pending_row() {
    let (bundle, account) = Bundle::with_account([("FailureThreshold", "100")]).await;
    let webhook = bundle.webhook(&account, "/u", &["event"]).await;
    bundle.receiver.set_behaviour("/u", Behaviour::from(FAILING));
    send_many(&bundle.client, &account, "event", 3).await;
    until(&bundle.client, &account, &webhook, "event", |status| status["failures"] == 3).await;
    let path = format!("/webhooks/{}/unblock", webhook.id);
    assert_eq!(bundle.client.post(&path, &account.key, "").await.json()["status"]["event"]["failures"], 0);
    let row = &rows(&bundle, &webhook).await[0];
    assert!(row.get("due_at").is_none() && row.get("streak").is_none(), "{row}");
    assert_eq!(bundle.tick().await["notices"], 0);
    bundle.stop().await;
}
