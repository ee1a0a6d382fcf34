//! Replays: what is dead is sent again, in steps, and nothing of it is lost.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carteiro_clock::Clock;
use carteiro_core::release::MAX_STEP;
use carteiro_local::{DynamodbCall, Fate, Fault, Verdict};
use carteiro_receiver::{Answer, Behaviour, Limits, Options, Receiver, SignatureCheck};
use carteiro_tests::{Account, Bundle, SOON, Webhook, assert_problem, dynamodb};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::release::{ANSWER_AFTER_MS, assert_released_in_steps, taken};

const HOUR: Duration = Duration::from_secs(3600);

/// The parameters of these tests: what waits dies after a day.
const SHORT: [(&str, &str); 1] = [("RetentionDays", "1")];

async fn listed(bundle: &Bundle, account: &Account, webhook: &Webhook, list: &str) -> Vec<Value> {
    let path = format!("/webhooks/{}/{list}?limit=200&items=true", webhook.id);
    bundle.client.all(&path, &account.key).await
}

fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

async fn until_rows(bundle: &Bundle, table: &str, webhook: &Webhook, count: usize) {
    let mut found = 0;
    let ends = Instant::now() + SOON;
    while Instant::now() < ends {
        let rows = dynamodb::scan(bundle, table).await;
        let own = |row: &&Value| row.get("item").is_some() && row["webhook"]["S"] == webhook.id;
        found = rows.iter().filter(own).count();
        if found == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{table} has {found} items, not {count}: {:#?}", bundle.complaints());
}

/// An enabled webhook whose items died while it was disabled: some in each hour, in the order of their acceptance.
async fn dead_items(
    bundle: &Bundle,
    account: &Account,
    path: &str,
    hours: &[usize],
) -> (Webhook, Vec<Value>) {
    let webhook = bundle.webhook_set(account, path, &["event"], json!({"enabled": false})).await;
    for count in hours {
        for part in (0..*count).step_by(500) {
            bundle.send_many(account, "event", (count - part).min(500)).await;
        }
        until_at_rest(bundle).await;
        bundle.advance(HOUR).await;
    }
    bundle.advance(HOUR * 24).await;
    bundle.tick().await;
    until_rows(bundle, "DeadTable", &webhook, hours.iter().sum()).await;
    until_at_rest(bundle).await;
    bundle.patch(account, &webhook, &json!({"enabled": true})).await;
    let dead = listed(bundle, account, &webhook, "dead").await;
    assert!(dead.iter().all(|row| row["cause"] == "retention_over"));
    (webhook, dead)
}

async fn until_at_rest(bundle: &Bundle) {
    assert!(bundle.rest(SOON).await, "{:#?}", bundle.complaints());
}

async fn ask(bundle: &Bundle, account: &Account, webhook: &Webhook, wanted: &Value) -> Value {
    let path = format!("/webhooks/{}/replay", webhook.id);
    let replay = bundle.client.post(&path, &account.key, wanted.to_string()).await.with_status(202).json();
    assert_eq!((&replay["state"], &replay["found"]), (&json!("running"), &json!(0)), "{replay}");
    replay
}

async fn progress(bundle: &Bundle, account: &Account, webhook: &Webhook, replay: &Value) -> Value {
    let path = format!("/webhooks/{}/replay/{}", webhook.id, replay["id"].as_str().unwrap());
    bundle.client.get(&path, &account.key).await.with_status(200).json()
}

async fn until_state(
    bundle: &Bundle,
    account: &Account,
    webhook: &Webhook,
    replay: &Value,
    state: &str,
) -> Value {
    let ends = Instant::now() + SOON;
    loop {
        let shown = progress(bundle, account, webhook, replay).await;
        if shown["state"] == state {
            return shown;
        }
        assert!(Instant::now() < ends, "not {state}: {shown}; {:#?}", bundle.complaints());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn counts(replay: &Value) -> [u64; 6] {
    ["found", "taken", "pending", "delivered", "dead", "dropped"].map(|name| replay[name].as_u64().unwrap())
}

/// The ids that arrived at a path and were answered with 200.
fn arrived(bundle: &Bundle, path: &str) -> BTreeSet<String> {
    taken(&bundle.receiver, path).iter().filter_map(|one| one.webhook_id().map(str::to_owned)).collect()
}

#[tokio::test]
async fn one_dead_item_is_replayed_unchanged_and_others_are_refused() {
    let (bundle, account) = Bundle::with_account(SHORT).await;
    let (webhook, dead) = dead_items(&bundle, &account, "/x", &[3]).await;
    let item = ids(&dead)[1].clone();
    let replay = ask(&bundle, &account, &webhook, &json!({"item": item})).await;
    assert_eq!(
        (&replay["item"], &replay["type"], &replay["from"]),
        (&json!(item), &json!("event"), &Value::Null)
    );
    let deliveries = bundle.receiver.wait_for_count("/x", 1, SOON).await.unwrap();
    let sent = &deliveries[0];
    assert_eq!((sent.webhook_id(), sent.attempt()), (Some(item.as_str()), Some(1)));
    assert_eq!(
        (sent.body.as_ref(), sent.header("carteiro-source")),
        (dead[1]["item"].as_str().unwrap().as_bytes(), Some("bot:b"))
    );
    assert_eq!((sent.signature, sent.header("carteiro-item-type")), (SignatureCheck::Valid, Some("event")));
    let done = until_state(&bundle, &account, &webhook, &replay, "done").await;
    assert_eq!(counts(&done), [1, 1, 0, 1, 0, 0], "{done}");
    for time in ["created_at", "taken_at", "finished_at"] {
        assert!(done[time].as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()), "{done}");
    }
    let left = listed(&bundle, &account, &webhook, "dead").await;
    assert_eq!(ids(&left), [ids(&dead)[0].clone(), ids(&dead)[2].clone()]);

    let path = format!("/webhooks/{}/replay", webhook.id);
    let refused = async |body: Value, status, kind| {
        assert_problem(&bundle.client.post(&path, &account.key, body.to_string()).await, status, kind)
    };
    let arrived = refused(json!({"item": item}), 404, "not-found").await;
    assert!(arrived["detail"].as_str().unwrap().contains("it arrived"), "{arrived}");
    refused(json!({"item": "item_0000000000000000000000000000002a"}), 404, "not-found").await;
    bundle.patch(&account, &webhook, &json!({"enabled": false})).await;
    let waiting = bundle.send(&account, "/bots/b/events", r#"{"category":"waits"}"#).await;
    until_rows(&bundle, "HeldTable", &webhook, 1).await;
    let wrong = refused(json!({"item": item, "to": "2026-11-21T00:00:00Z"}), 422, "invalid").await;
    assert_eq!(wrong["errors"][0]["field"], "to");
    refused(json!([]), 400, "bad-request").await;

    let stranger = bundle.account().await;
    let dead_one = json!({"item": left[0]["id"]}).to_string();
    assert_problem(&bundle.client.post(&path, &stranger.key, dead_one).await, 404, "not-found");
    let own = format!("{path}/{}", replay["id"].as_str().unwrap());
    for path in [&path, &own] {
        assert_problem(&bundle.client.get(path, &stranger.key).await, 404, "not-found");
    }
    for unknown in ["rep_0000000000000000000000000000002a", "rep_7", "running%23event"] {
        assert_problem(
            &bundle.client.get(&format!("{path}/{unknown}"), &account.key).await,
            404,
            "not-found",
        );
    }
    let list = bundle.client.get(&format!("{path}?limit=1"), &account.key).await.json();
    assert_eq!((list["data"][0]["id"].clone(), list["next"].clone()), (replay["id"].clone(), Value::Null));
    // An item that is held for a disabled webhook can be replayed, and waits until that is enabled.
    let of_held = ask(&bundle, &account, &webhook, &json!({"item": waiting})).await;
    until_at_rest(&bundle).await;
    assert_eq!(bundle.receiver.count("/x"), 1, "disabled");
    bundle.patch(&account, &webhook, &json!({"enabled": true})).await;
    // It waits for its release already, which is not the replay's to count.
    until_state(&bundle, &account, &webhook, &of_held, "done").await;
    bundle.receiver.wait_for_count("/x", 2, SOON).await.unwrap();
    assert!(self::arrived(&bundle, "/x").contains(&waiting));
    bundle.stop().await;
}

#[tokio::test]
async fn a_span_is_replayed_and_items_outside_it_stay_dead() {
    let (bundle, account) = Bundle::with_account(SHORT).await;
    let (webhook, dead) = dead_items(&bundle, &account, "/x", &[5, 7, 6]).await;
    let (first, third) = (dead[5]["accepted_at"].clone(), dead[12]["accepted_at"].clone());
    let wanted = json!({"type": "event", "from": first, "to": third});
    let replay = ask(&bundle, &account, &webhook, &wanted).await;
    assert_eq!((&replay["from"], &replay["to"]), (&first, &third));
    let done = until_state(&bundle, &account, &webhook, &replay, "done").await;
    assert_eq!(counts(&done), [7, 7, 0, 7, 0, 0], "{done}");
    let order = ids(&dead);
    assert_eq!(arrived(&bundle, "/x"), order[5..12].iter().cloned().collect());
    let left = ids(&listed(&bundle, &account, &webhook, "dead").await);
    assert_eq!(left, [&order[..5], &order[12..]].concat());
    bundle.patch(&account, &webhook, &json!({"items": ["event", "message"]})).await;
    let nothing = ask(&bundle, &account, &webhook, &json!({"type": "message"})).await;
    let nothing = until_state(&bundle, &account, &webhook, &nothing, "done").await;
    assert_eq!(counts(&nothing), [0; 6]);
    let rest = ask(&bundle, &account, &webhook, &json!({"type": "event"})).await;
    let done = until_state(&bundle, &account, &webhook, &rest, "done").await;
    assert_eq!(counts(&done), [11, 11, 0, 11, 0, 0], "{done}");
    assert_eq!(arrived(&bundle, "/x"), order.into_iter().collect());
    assert_eq!(bundle.receiver.count("/x"), 18, "each once");
    bundle.stop().await;
}

#[tokio::test]
async fn a_replay_waits_for_the_end_of_a_block_or_for_enabling() {
    let (bundle, account) = Bundle::with_account(SHORT).await;
    let (webhook, dead) = dead_items(&bundle, &account, "/x", &[15]).await;
    bundle.patch(&account, &webhook, &json!({"threshold": 1})).await;
    bundle.receiver.set_behaviour("/x", Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
    bundle.send_many(&account, "event", 1).await;
    until_at_rest(&bundle).await;
    assert_eq!(bundle.status(&account, &webhook, "event").await["state"], "blocked");
    bundle.receiver.set_behaviour("/x", Behaviour::default());
    let replay = ask(&bundle, &account, &webhook, &json!({"type": "event"})).await;
    let waiting = until_state(&bundle, &account, &webhook, &replay, "releasing").await;
    until_at_rest(&bundle).await;
    assert_eq!(counts(&waiting), [15, 15, 15, 0, 0, 0], "{waiting}");
    assert_eq!(bundle.receiver.count("/x"), 1, "what began the block");
    let held = listed(&bundle, &account, &webhook, "held").await;
    let replayed: Vec<_> = held.iter().filter(|row| row["held_for"] == "replay").cloned().collect();
    assert_eq!(ids(&replayed), ids(&dead), "in the order of acceptance");
    assert!(replayed.iter().all(|row| row["attempt"] == 1 && row["due_at"].is_null()), "{replayed:?}");
    // The one that began the block is to be retried in seconds, and is to find no open webhook either.
    bundle.patch(&account, &webhook, &json!({"enabled": false})).await;
    bundle.advance(HOUR * 4).await;
    bundle.tick().await;
    until_at_rest(&bundle).await;
    assert_eq!(bundle.receiver.count("/x"), 1, "disabled");
    bundle.patch(&account, &webhook, &json!({"enabled": true})).await;
    let done = until_state(&bundle, &account, &webhook, &replay, "done").await;
    assert_eq!(counts(&done), [15, 15, 0, 15, 0, 0], "{done}");
    assert!(arrived(&bundle, "/x").is_superset(&ids(&dead).into_iter().collect()));
    bundle.stop().await;
}

#[tokio::test]
async fn a_replay_to_a_failing_url_loses_nothing_and_dies_again() {
    let (bundle, account) = Bundle::with_account(SHORT).await;
    let (webhook, dead) = dead_items(&bundle, &account, "/x", &[30]).await;
    bundle.receiver.set_behaviour("/x", Behaviour::from(StatusCode::BAD_GATEWAY));
    let replay = ask(&bundle, &account, &webhook, &json!({"type": "event"})).await;
    bundle.receiver.wait_for_count("/x", 10, SOON).await.unwrap();
    until_at_rest(&bundle).await;
    assert_eq!(bundle.receiver.count("/x"), 10, "a first step");
    let shown = progress(&bundle, &account, &webhook, &replay).await;
    assert_eq!((&shown["state"], counts(&shown)), (&json!("releasing"), [30, 30, 30, 0, 0, 0]), "{shown}");
    // Twenty hours later than their acceptance would allow, they wait still.
    bundle.advance(HOUR * 20).await;
    bundle.tick().await;
    until_at_rest(&bundle).await;
    assert_eq!(ids(&listed(&bundle, &account, &webhook, "held").await), ids(&dead));
    let log = format!("/webhooks/{}/attempts", webhook.id);
    let attempt = bundle.client.get(&log, &account.key).await.json()["data"][0].clone();
    assert_eq!(
        (&attempt["release_step"], &attempt["became"]),
        (&json!("first"), &json!("held")),
        "{attempt}"
    );
    assert_eq!(attempt["replay"], replay["id"]);
    bundle.advance(HOUR * 5).await;
    bundle.tick().await;
    until_rows(&bundle, "DeadTable", &webhook, 30).await;
    let over = until_state(&bundle, &account, &webhook, &replay, "done").await;
    assert_eq!(counts(&over), [30, 30, 0, 0, 30, 0], "{over}");
    let again = listed(&bundle, &account, &webhook, "dead").await;
    assert_eq!(ids(&again), ids(&dead));
    assert!(again.iter().zip(&dead).all(|(again, dead)| again["item"] == dead["item"]), "the same bytes");

    bundle.receiver.set_behaviour("/x", Behaviour::default());
    let mended = ask(&bundle, &account, &webhook, &json!({"type": "event"})).await;
    let done = until_state(&bundle, &account, &webhook, &mended, "done").await;
    assert_eq!(counts(&done), [30, 30, 0, 30, 0, 0], "{done}");
    assert_eq!(arrived(&bundle, "/x"), ids(&dead).into_iter().collect());
    bundle.stop().await;
}

/// Items whose retention is over while they wait behind what was replayed: nothing but the replay is in their way.
#[tokio::test]
async fn an_item_behind_a_replay_dies_at_the_end_of_its_retention() {
    let (bundle, account) = Bundle::with_account(SHORT).await;
    let (webhook, dead) = dead_items(&bundle, &account, "/x", &[12]).await;
    bundle.patch(&account, &webhook, &json!({"enabled": false})).await;
    let behind = bundle.send_many(&account, "event", 3).await;
    until_rows(&bundle, "HeldTable", &webhook, 3).await;
    bundle.advance(HOUR * 20).await;
    let replay = ask(&bundle, &account, &webhook, &json!({"type": "event"})).await;
    until_state(&bundle, &account, &webhook, &replay, "releasing").await;
    until_rows(&bundle, "HeldTable", &webhook, 15).await;
    bundle.advance(HOUR * 5).await;
    bundle.tick().await;
    until_rows(&bundle, "DeadTable", &webhook, 3).await;
    let died: BTreeSet<_> = ids(&listed(&bundle, &account, &webhook, "dead").await).into_iter().collect();
    assert_eq!(died, behind.into_iter().collect());
    assert_eq!(ids(&listed(&bundle, &account, &webhook, "held").await), ids(&dead));
    bundle.stop().await;
}

#[tokio::test]
async fn during_a_replay_another_is_refused_and_faults_only_delay_it() {
    let (bundle, account) = Bundle::with_account(SHORT).await;
    let (webhook, dead) = dead_items(&bundle, &account, "/x", &[20]).await;
    let failing = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&failing);
    bundle.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
        let of_dead = call.body.windows(b"DeadTable".len()).any(|part| part == b"DeadTable");
        let fault = || Fault {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "InternalServerError".to_owned(),
            message: "injected".to_owned(),
        };
        let hit = call.operation == "TransactWriteItems" && of_dead && fails.load(Ordering::Relaxed);
        if hit { Fate::FailBefore(fault()).into() } else { Verdict::default() }
    })));
    let replay = ask(&bundle, &account, &webhook, &json!({"type": "event"})).await;
    let path = format!("/webhooks/{}/replay", webhook.id);
    let second = bundle.client.post(&path, &account.key, r#"{"type":"event"}"#).await;
    let problem = assert_problem(&second, 409, "already-exists");
    assert!(problem["detail"].as_str().unwrap().contains(replay["id"].as_str().unwrap()), "{problem}");
    // One item of it may be replayed beside it, and an item goes once.
    let ends = Instant::now() + SOON;
    while !bundle.complaints().iter().any(|line| line.contains("work.failed")) {
        assert!(Instant::now() < ends, "it did not fail");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(listed(&bundle, &account, &webhook, "dead").await.len(), 20);
    failing.store(false, Ordering::Relaxed);
    let one = ask(&bundle, &account, &webhook, &json!({"item": ids(&dead)[7]})).await;
    until_state(&bundle, &account, &webhook, &one, "done").await;
    bundle.advance(Duration::from_secs(15 * 60)).await;
    bundle.tick().await;
    let done = until_state(&bundle, &account, &webhook, &replay, "done").await;
    assert_eq!(counts(&done), [19, 19, 0, 19, 0, 0], "{done}");
    assert_eq!((arrived(&bundle, "/x").len(), bundle.receiver.count("/x")), (20, 20));
    bundle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn collectors_and_deliverers_killed_in_a_replay_lose_nothing() {
    const ITEMS: usize = 1000;
    let (bundle, account) = Bundle::with_account(SHORT).await;
    let (webhook, dead) = dead_items(&bundle, &account, "/x", &[ITEMS]).await;
    let replay = ask(&bundle, &account, &webhook, &json!({"type": "event"})).await;
    let mut killed = 0;
    // In the middle of taking; of what it took nothing is released yet.
    until_taken(&bundle, &account, &webhook, &replay, 100).await;
    killed += bundle.stack.kill_function("CollectFunction").await.unwrap();
    let at_kill = progress(&bundle, &account, &webhook, &replay).await;
    until_arrived_or_due(&bundle, 1).await;
    for arrivals in [50, 400] {
        until_arrived_or_due(&bundle, arrivals).await;
        killed += bundle.stack.kill_function("DeliverFunction").await.unwrap();
        killed += bundle.stack.kill_function("CollectFunction").await.unwrap();
    }
    until_arrived_or_due(&bundle, ITEMS as u64).await;
    let all: BTreeSet<String> = ids(&dead).into_iter().collect();
    for _ in 0..20 {
        if arrived(&bundle, "/x") == all {
            break;
        }
        bundle.advance(Duration::from_secs(15 * 60)).await;
        bundle.tick().await;
        bundle.rest(SOON).await;
    }
    let lost = all.difference(&arrived(&bundle, "/x")).count();
    let doubled = taken(&bundle.receiver, "/x").len() - arrived(&bundle, "/x").len();
    println!(
        "{ITEMS} items, {killed} processes killed: {lost} lost, {doubled} doubled; at the first: {at_kill}"
    );
    assert_eq!(lost, 0);
    // At each kill: a step of which no row was deleted yet, and the attempts under way.
    assert!(doubled <= 3 * (MAX_STEP as usize + 200), "{doubled} doubled");
    assert!(killed >= 3, "{killed}");
    until_rows(&bundle, "HeldTable", &webhook, 0).await;
    until_rows(&bundle, "DeadTable", &webhook, 0).await;
    let shown = progress(&bundle, &account, &webhook, &replay).await;
    assert_eq!((&shown["found"], &shown["taken"]), (&json!(ITEMS), &json!(ITEMS)), "{shown}");
    bundle.stop().await;
}

async fn until_taken(bundle: &Bundle, account: &Account, webhook: &Webhook, replay: &Value, least: u64) {
    let ends = Instant::now() + SOON;
    while progress(bundle, account, webhook, replay).await["taken"].as_u64() < Some(least) {
        assert!(Instant::now() < ends, "nothing is taken");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a number of items have arrived, moving the time with ticks where nothing goes on by itself.
async fn until_arrived_or_due(bundle: &Bundle, count: u64) {
    for _ in 0..20 {
        if bundle.receiver.wait_for_count("/x", count, Duration::from_secs(4)).await.is_ok() {
            return;
        }
        bundle.stack.clock().advance(Duration::from_secs(15 * 60));
        bundle.tick().await;
    }
    panic!(
        "the replay does not go on after {} arrivals: {:#?}",
        bundle.receiver.count("/x"),
        bundle.complaints()
    );
}

async fn roomy_receiver(clock: Clock) -> Receiver {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits = Limits { kept: 100_000, ..Limits::default() };
    Receiver::start(listener, Options { clock, limits }).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_dead_items_are_replayed_in_order_of_acceptance() {
    const ITEMS: usize = 2000;
    let bundle = Bundle::start_with(SHORT).await;
    let receiver = roomy_receiver(bundle.stack.clock().clone()).await;
    let account = bundle.account().await;
    let (webhook, dead) = dead_items(&bundle, &account, "/x", &[ITEMS / 2, ITEMS / 2]).await;
    bundle.patch(&account, &webhook, &json!({"url": receiver.url("/many")})).await;
    let ok = Answer::status(StatusCode::OK);
    receiver.set_behaviour(
        "/many",
        Answer::Delay { by: Duration::from_millis(ANSWER_AFTER_MS), then: Box::new(ok) },
    );
    let began = Instant::now();
    let replay = ask(&bundle, &account, &webhook, &json!({"type": "event"})).await;
    let done = until_state(&bundle, &account, &webhook, &replay, "done").await;
    let took = began.elapsed();
    assert_eq!(counts(&done), [2000, 2000, 0, 2000, 0, 0], "{done}");
    let released = assert_released_in_steps(&taken(&receiver, "/many"), &ids(&dead));
    println!(
        "{ITEMS} dead items replayed in {took:.1?}, of which the release took {released:.1?}; none lost, none doubled"
    );
    let distinct: HashSet<_> = ids(&dead).into_iter().collect();
    assert_eq!(distinct.len(), ITEMS);
    assert!(listed(&bundle, &account, &webhook, "dead").await.is_empty());
    receiver.stop().await;
    bundle.stop().await;
}
