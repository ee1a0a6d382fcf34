//! The rule of blocking, from outside.

use std::collections::HashSet;
use std::time::Duration;

use carteiro_receiver::{Answer, Behaviour, Delivery};
use carteiro_tests::blocks::{is_blocked, until};
use carteiro_tests::{Account, Bundle, Patience, SOON, Webhook, comes_true};
use http::StatusCode;
use serde_json::{Value, json};

const FAILING: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

#[tokio::test]
async fn a_thousand_failures_in_a_row_block_that_type_alone() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/x", &["message", "event"]).await;
    bundle.receiver.set_behaviour("/x", Behaviour::from(FAILING));
    let mut sent = bundle.send_many(&account, "message", 1100).await;
    let blocked = until(&bundle.client, &account, &webhook, "message", is_blocked).await;
    assert_eq!((&blocked["failures"], &blocked["threshold"]), (&json!(1000), &json!(1000)));
    assert_eq!(blocked["last_error"]["status"], 500);
    let message = &blocked["message"];
    assert!(message["pt-BR"].as_str().unwrap().contains("bloqueado"), "{message}");
    assert!(message["en"].as_str().unwrap().contains("1000 times in a row"), "{message}");
    let requested = bundle.count_at_rest("/x").await;
    assert!(
        (1000..=1200).contains(&requested),
        "{requested} requests: the threshold, and what was in flight"
    );

    // During the block: nothing of the type, whatever becomes of the URL; the other type goes on.
    bundle.receiver.set_behaviour("/x", Behaviour::default());
    bundle.receiver.clear();
    let event = bundle.send(&account, "/bots/b/events", r#"{"category":"c"}"#).await;
    bundle.receiver.wait_for(|one| one.webhook_id() == Some(&event), SOON).await.unwrap();
    sent.push(bundle.send(&account, "/bots/b/messages", r#"{"late":true}"#).await);
    bundle.advance(Duration::from_secs(3600)).await;
    bundle.tick().await;
    assert_eq!(bundle.count_at_rest("/x").await, 1, "the event alone");
    until(&bundle.client, &account, &webhook, "message", |status| status["held_more"] == true).await;

    // A tick before the end plans the release to the second.
    bundle.advance(Duration::from_secs(3 * 3600 - 600)).await;
    bundle.tick().await;
    assert_eq!(bundle.count_at_rest("/x").await, 1);
    bundle.advance(Duration::from_secs(610)).await;
    bundle.receiver.wait_for_count("/x", 1 + 1101, SOON).await.unwrap();
    let counts = bundle.receiver.counts_by_webhook_id("/x");
    let missing = sent.iter().filter(|id| !counts.contains_key(*id)).count();
    assert_eq!(missing, 0, "of {}", sent.len());
    let open = until(&bundle.client, &account, &webhook, "message", |status| status["held"] == 0).await;
    assert_eq!(
        (&open["state"], &open["failures"], &open["message"]),
        (&json!("open"), &json!(0), &Value::Null)
    );

    // And again.
    bundle.receiver.set_behaviour("/x", Behaviour::from(FAILING));
    bundle.send_many(&account, "message", 1000).await;
    until(&bundle.client, &account, &webhook, "message", is_blocked).await;
    bundle.stop().await;
}

#[tokio::test]
async fn failures_that_a_success_interrupts_never_block() {
    let bundle = Bundle::start_with([("FailureThreshold", "20"), ("DeliverConcurrency", "2")]).await;
    let account = bundle.account().await;
    let webhook = bundle.webhook(&account, "/y", &["message"]).await;
    for _ in 0..5 {
        let failing = std::iter::repeat_n(Answer::status(FAILING), 19);
        bundle.receiver.clear();
        bundle.receiver.set_behaviour("/y", Behaviour::sequence(failing, Answer::status(StatusCode::OK)));
        bundle.send_many(&account, "message", 20).await;
        bundle.receiver.wait_for_count("/y", 20, SOON).await.unwrap();
        // The retries of the 19 succeed.
        bundle.advance(Duration::from_secs(8)).await;
        bundle.receiver.wait_for_count("/y", 39, SOON).await.unwrap();
        let open =
            until(&bundle.client, &account, &webhook, "message", |status| status["failures"] == 0).await;
        assert_eq!(open["state"], "open");
    }
    bundle.stop().await;
}

/// At most one copy of the function that delivers, ever: its queue mapping alone asks for two at least.
fn with_one_deliver_function(template: &str) -> String {
    let line = "      Description: Attempts each delivery of a batch, and settles it by its outcome.\n";
    assert!(template.contains(line), "the template describes the function otherwise");
    template.replace(line, &format!("{line}      ReservedConcurrentExecutions: 1\n"))
}

/// Waits for the `number`th request at a path, while one function with one delivery at a time makes them. Until then
/// the status shows just the failures since request `success`, but for the last one, which may be unrecorded.
async fn counted_until(bundle: &Bundle, account: &Account, webhook: &Webhook, success: u64, number: u64) {
    let requests = || bundle.receiver.count("/one");
    let came = comes_true(async || {
        let before = requests();
        let shown = bundle.status(account, webhook, "message").await;
        let after = requests();
        assert_eq!(shown["state"], "open", "{shown}");
        let failures = shown["failures"].as_u64().unwrap();
        let recorded = before.saturating_sub(success + 1)..=after.saturating_sub(success);
        assert!(before <= success || recorded.contains(&failures), "{failures} of {recorded:?} failures");
        after >= number
    })
    .await;
    assert!(came, "{} of {number} requests", requests());
}

#[tokio::test]
async fn one_at_a_time_999_failures_never_block_and_the_1000th_does() {
    const HELD_BACK: Duration = Duration::from_secs(4);
    let one_at_a_time = [("DeliverConcurrency", "2"), ("DeliverBatchSize", "1")];
    let bundle = Bundle::start_edited(one_at_a_time, with_one_deliver_function).await;
    let account = bundle.account().await;
    let webhook = bundle.webhook(&account, "/one", &["message", "event"]).await;
    // The last answer of each thousand is held back, so that what is recorded before it can be looked at.
    let last = |status| Answer::Delay { by: HELD_BACK, then: Box::new(Answer::status(status)) };
    let thousand = |status| std::iter::repeat_n(Answer::status(FAILING), 999).chain([last(status)]);
    let answers = thousand(StatusCode::OK).chain(thousand(StatusCode::OK)).chain(thousand(FAILING));
    bundle.receiver.set_behaviour("/one", Behaviour::sequence(answers, Answer::status(FAILING)));
    // Each is attempted at once, after 5 s and after 30 s: 3,594 requests, if nothing stops them.
    bundle.send_many(&account, "message", 1200).await;
    for thousand in 1..=3 {
        counted_until(&bundle, &account, &webhook, (thousand - 1) * 1000, thousand * 1000).await;
        let open = bundle.status(&account, &webhook, "message").await;
        assert_eq!((&open["state"], &open["failures"]), (&json!("open"), &json!(999)), "{thousand}: {open}");
        assert_eq!(bundle.receiver.count("/one"), thousand * 1000);
    }
    let blocked = until(&bundle.client, &account, &webhook, "message", is_blocked).await;
    assert_eq!(blocked["failures"], 1000);
    assert_eq!(
        bundle.count_at_rest("/one").await,
        3000,
        "whoever read after the 1000th failure saw the block"
    );

    // The true order, as the receiver answered it.
    let deliveries = bundle.receiver.deliveries_to("/one");
    let successes: Vec<_> =
        (0..3000).filter(|&place| deliveries[place].answered == Some(200)).map(|place| place + 1).collect();
    assert_eq!(successes, [1000, 2000]);
    let attempts: Vec<_> = deliveries[2000..].iter().filter_map(|one| one.attempt()).collect();
    assert!(attempts.contains(&2) && attempts.contains(&3), "retries count");

    // The other type goes on; what comes of this one meets the block.
    bundle.receiver.set_behaviour("/one", Behaviour::default());
    let event = bundle.send(&account, "/bots/b/events", r#"{"category":"c"}"#).await;
    bundle.receiver.wait_for(|one| one.webhook_id() == Some(&event), SOON).await.unwrap();
    assert_eq!(bundle.status(&account, &webhook, "event").await["state"], "open");
    let held = bundle.status(&account, &webhook, "message").await["held"].as_u64().unwrap();
    bundle.send_many(&account, "message", 20).await;
    until(&bundle.client, &account, &webhook, "message", |status| status["held"].as_u64() >= Some(held + 20))
        .await;
    assert_eq!(bundle.count_at_rest("/one").await, 3001, "the event alone");
    bundle.stop().await;
}

/// The id of the block that a webhook's type `message` has.
async fn epoch(bundle: &Bundle, webhook: &Webhook) -> String {
    let rows = carteiro_tests::dynamodb::query(bundle, "StreakTable", &webhook.id).await;
    let row = rows.iter().find(|row| row["sk"]["S"].as_str().unwrap().ends_with("#message"));
    let row = row.unwrap_or_else(|| panic!("{rows:?}"));
    assert!(row.get("blocked_until").is_some(), "{row}");
    row["epoch"]["S"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn after_a_block_held_items_arrive_and_failures_block_again() {
    // No time is moved here: the block's twenty seconds pass.
    let (bundle, account) = Bundle::with_account([]).await;
    let settings =
        json!({"url": bundle.receiver.url("/s"), "items": ["message", "event"], "block_seconds": 20});
    let webhook = bundle.webhook_with(&account, settings).await;
    bundle.receiver.set_behaviour("/s", Behaviour::from(FAILING));
    let mut sent = bundle.send_many(&account, "message", 1100).await;
    let blocked = until(&bundle.client, &account, &webhook, "message", is_blocked).await;
    let first = epoch(&bundle, &webhook).await;
    let time = |field: &str| blocked[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let ends = time("blocked_until");
    assert_eq!(ends.as_millisecond() - time("blocked_at").as_millisecond(), 20_000);

    bundle.receiver.set_behaviour("/s", Behaviour::default());
    let event = bundle.send(&account, "/bots/b/events", r#"{"category":"c"}"#).await;
    sent.extend(bundle.send_many(&account, "message", 50).await);
    // A tick during the block plans the release to its end.
    bundle.tick().await;
    let in_time = |one: &Delivery| i64::try_from(one.received_at_ms).unwrap() < ends.as_millisecond();
    let ended = || bundle.stack.clock().now_ms() > u64::try_from(ends.as_millisecond()).unwrap();
    while !ended() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let deliveries = bundle.receiver.deliveries_to("/s");
    let of_type = |item_type: &'static str| {
        deliveries.iter().filter(move |one| one.header("carteiro-item-type") == Some(item_type))
    };
    let requested = of_type("message").filter(|one| in_time(one)).count();
    assert!((1000..=1200).contains(&requested), "{requested}: the threshold, and what was in flight");
    let events: Vec<_> = of_type("event").filter(|one| in_time(one)).map(|one| one.webhook_id()).collect();
    assert_eq!(events, [Some(event.as_str())], "the other type goes on during the block");

    // After it. A retry of what failed twice before the block may be half a minute away.
    let missing = || {
        let deliveries = bundle.receiver.deliveries_to("/s");
        let arrived = deliveries.iter().filter(|one| one.answered == Some(200));
        let arrived: HashSet<_> = arrived.filter_map(|one| one.webhook_id()).collect();
        sent.iter().filter(|id| !arrived.contains(id.as_str())).count()
    };
    comes_true(async || missing() == 0).await;
    assert_eq!(missing(), 0, "of {}", sent.len());
    let open = until(&bundle.client, &account, &webhook, "message", |status| status["held"] == 0).await;
    assert_eq!((&open["state"], &open["failures"]), (&json!("open"), &json!(0)));

    // And again, from zero.
    bundle.until_rest().await;
    bundle.receiver.clear();
    bundle.receiver.set_behaviour("/s", Behaviour::from(FAILING));
    bundle.send_many(&account, "message", 1000).await;
    until(&bundle.client, &account, &webhook, "message", is_blocked).await;
    assert!(bundle.receiver.count("/s") >= 1000);
    assert_ne!(epoch(&bundle, &webhook).await, first, "a block of its own");
    bundle.stop().await;
}

#[tokio::test]
async fn items_discarded_while_blocked_are_counted_and_never_sent() {
    let (bundle, account) = Bundle::with_account([("FailureThreshold", "5")]).await;
    let webhook = bundle.webhook_set(&account, "/d", &["event"], json!({"while_blocked": "discard"})).await;
    bundle.receiver.set_behaviour("/d", Behaviour::from(FAILING));
    bundle.send_many(&account, "event", 5).await;
    until(&bundle.client, &account, &webhook, "event", is_blocked).await;
    bundle.count_at_rest("/d").await;
    bundle.receiver.clear();
    bundle.send_many(&account, "event", 30).await;
    let blocked =
        until(&bundle.client, &account, &webhook, "event", |status| status["discarded"].as_u64() >= Some(30))
            .await;
    assert_eq!(blocked["held"], 0);
    assert_eq!(bundle.count_at_rest("/d").await, 0);
    bundle.stop().await;
}

#[tokio::test]
async fn an_unblock_or_a_new_url_releases_held_items_at_once() {
    let (bundle, account) = Bundle::with_account([("FailureThreshold", "5")]).await;
    let webhook = bundle.webhook(&account, "/u", &["event"]).await;
    let path = format!("/webhooks/{}", webhook.id);
    for ending in ["unblock", "new url"] {
        bundle.receiver.set_behaviour("/u", Behaviour::from(FAILING));
        let ids = bundle.send_many(&account, "event", 20).await;
        until(&bundle.client, &account, &webhook, "event", is_blocked).await;
        bundle.count_at_rest("/u").await;
        // What failed before the block and is to be retried soon meets the block, and is held too.
        bundle.advance(Duration::from_secs(8)).await;
        until(&bundle.client, &account, &webhook, "event", |status| status["held"] == 20).await;
        bundle.receiver.set_behaviour("/u", Behaviour::default());
        bundle.receiver.clear();
        let ended = if ending == "unblock" {
            bundle.client.post(&format!("{path}/unblock"), &account.key, "").await
        } else {
            bundle.client.patch(&path, &account.key, &json!({"url": bundle.receiver.url("/v")})).await
        };
        assert_eq!(ended.status, 200, "{}", ended.text());
        let arrived = if ending == "unblock" { "/u" } else { "/v" };
        bundle.receiver.wait_for_count(arrived, 20, SOON).await.unwrap();
        let counts = bundle.receiver.counts_by_webhook_id(arrived);
        assert!(ids.iter().all(|id| counts.contains_key(id)), "{ending}: {counts:?}");
        until(&bundle.client, &account, &webhook, "event", |status| {
            status["state"] == "open" && status["held"] == 0
        })
        .await;
    }
    bundle.stop().await;
}

#[tokio::test]
async fn a_url_that_fails_after_the_block_costs_one_first_step_a_tick() {
    let settings = [("FailureThreshold", "500"), ("BlockSeconds", "60")];
    let (bundle, account, webhook) = Bundle::with_webhook(settings, "/s", &["event"]).await;
    bundle.receiver.set_behaviour("/s", Behaviour::from(FAILING));
    bundle.send_many(&account, "event", 500).await;
    until(&bundle.client, &account, &webhook, "event", is_blocked).await;
    bundle.send_many(&account, "event", 100).await;
    bundle.count_at_rest("/s").await;
    bundle.advance(Duration::from_secs(10)).await;
    let held =
        until(&bundle.client, &account, &webhook, "event", |status| status["held"].as_u64() >= Some(590))
            .await;
    bundle.advance(Duration::from_secs(60)).await;
    for _ in 0..3 {
        bundle.receiver.clear();
        bundle.tick().await;
        bundle.receiver.wait_for_count("/s", 10, SOON).await.unwrap();
        assert_eq!(bundle.count_at_rest("/s").await, 10, "a first step, and no more");
        bundle.advance(Duration::from_secs(15 * 60)).await;
    }
    // None of them used up its schedule.
    let deliveries = bundle.receiver.deliveries_to("/s");
    assert!(deliveries.iter().all(|one| one.attempt() <= Some(2)), "{held}");
    bundle.stop().await;
}

#[tokio::test]
async fn an_account_is_notified_once_of_warnings_a_block_and_its_end() {
    let bundle = Bundle::start_with([("FailureThreshold", "40"), ("DeliverConcurrency", "2")]).await;
    let account = bundle.account().await;
    let failing = bundle.webhook(&account, "/f", &["event"]).await;
    bundle.webhook(&account, "/told", &["notice"]).await;
    bundle.receiver.set_behaviour("/f", Behaviour::from(FAILING));
    let told = |kind: &str| {
        let notices = bundle.receiver.deliveries_to("/told");
        let bodies = notices.iter().map(|one| serde_json::from_slice::<Value>(&one.body).unwrap());
        bodies.filter(|body| body["type"] == kind).collect::<Vec<_>>()
    };
    let wait = async |kind: &str, count: usize| {
        let mut patience = Patience::default();
        while patience.lasts().await {
            if told(kind).len() >= count {
                return told(kind);
            }
        }
        panic!("{kind} was not told: {:?}", told(kind));
    };
    bundle.send_many(&account, "event", 25).await;
    let warned = wait("webhook.failing", 1).await;
    assert_eq!((&warned[0]["data"]["percent"], &warned[0]["data"]["threshold"]), (&json!(50), &json!(40)));
    assert_eq!(warned[0]["data"]["webhook"], json!(failing.id));
    bundle.count_at_rest("/f").await;
    bundle.send_many(&account, "event", 15).await;
    let blocked = wait("webhook.blocked", 1).await;
    assert_eq!(blocked[0]["data"]["last_error"]["status"], 500);
    assert!(blocked[0]["data"]["message"]["pt-BR"].as_str().unwrap().contains("bloqueado"));
    bundle.receiver.set_behaviour("/f", Behaviour::default());
    bundle.advance(Duration::from_secs(4 * 3600 - 300)).await;
    bundle.tick().await;
    assert!(told("webhook.released").is_empty());
    bundle.advance(Duration::from_secs(310)).await;
    wait("webhook.released", 1).await;
    bundle.count_at_rest("/told").await;
    let counts = bundle.receiver.counts_by_webhook_id("/told");
    assert!(counts.values().all(|&count| count == 1), "{counts:?}");
    assert!((1..=3).contains(&told("webhook.failing").len()));
    assert_eq!((told("webhook.blocked").len(), told("webhook.released").len()), (1, 1));
    bundle.stop().await;
}
