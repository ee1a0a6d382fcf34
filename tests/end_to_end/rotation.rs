//! Secrets and key pairs of webhooks: given, rotated, shown once and never told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carteiro_core::signature::{PublicKey, Secret, verify};
use carteiro_local::{DynamodbCall, Fate, Fault, Verdict};
use carteiro_receiver::{Answer, Behaviour, Delivery, SignatureCheck};
use carteiro_tests::blocks::{is_blocked, until};
use carteiro_tests::client::Reply;
use carteiro_tests::{Account, Bundle, SOON, Webhook, assert_problem, dynamodb};
use http::StatusCode;
use serde_json::{Value, json};

const DAY: Duration = Duration::from_secs(24 * 3600);

const OWN: &str = "whsec_YW4gZXhhbXBsZSBvZiBhIHNlY3JldCwgMzIgYnl0ZXM=";

async fn rotate(bundle: &Bundle, account: &Account, webhook: &str, how: &Value) -> Reply {
    bundle.client.post(&format!("/webhooks/{webhook}/secret"), &account.key, how.to_string()).await
}

/// Rotates, which must succeed, and answers the webhook with its new secret.
async fn rotated(bundle: &Bundle, account: &Account, webhook: &Webhook, how: Value) -> Value {
    rotate(bundle, account, &webhook.id, &how).await.with_status(200).json()
}

fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().unwrap_or_else(|| panic!("no {field} in {answer}"))
}

/// Sends an item, and answers how it arrived.
async fn delivered(bundle: &Bundle, account: &Account) -> Arc<Delivery> {
    let id = bundle.send(account, "/bots/b/events", "{}").await;
    let is_it = |delivery: &Delivery| delivery.webhook_id() == Some(id.as_str());
    bundle.receiver.wait_for(is_it, SOON).await.unwrap()
}

/// Whether a delivery verifies by a secret.
fn is_signed_by(delivery: &Delivery, secret: &str) -> bool {
    let secret: Secret = secret.parse().unwrap();
    let [id, timestamp, signature] =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| delivery.header(name).unwrap());
    let now = i64::try_from(delivery.received_at_ms / 1000).unwrap();
    verify(&secret, id, timestamp, signature, &delivery.body, now).is_ok()
}

fn signatures(delivery: &Delivery) -> Vec<&str> {
    let signatures = delivery.header("webhook-signature").unwrap().split(' ');
    signatures.map(|one| one.split_once(',').unwrap().0).collect()
}

/// The webhook's row, as the core wrote it.
async fn row(bundle: &Bundle, webhook: &str) -> Value {
    let rows = dynamodb::scan(bundle, "ConfigTable").await;
    let row = rows.into_iter().find(|row| row["sk"]["S"] == format!("webhook#{webhook}"));
    serde_json::from_str(row.expect("a row")["webhook"]["S"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn after_a_rotation_both_secrets_sign_for_24_hours() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/here", &["event"]).await;
    let new = rotated(&bundle, &account, &webhook, json!({})).await;
    assert_eq!((&new["revision"], &new["public_key"]), (&json!(2), &Value::Null));
    let until: jiff::Timestamp = text(&new, "replaced_until").parse().unwrap();
    let changed: jiff::Timestamp = text(&new, "updated_at").parse().unwrap();
    assert_eq!(until.as_millisecond() - changed.as_millisecond(), 86_400_000);
    let path = format!("/webhooks/{}", webhook.id);
    let patch = |description: &str| json!({"description": description});

    bundle.advance(DAY - Duration::from_secs(600)).await;
    let delivery = delivered(&bundle, &account).await;
    assert!(is_signed_by(&delivery, &webhook.secret) && is_signed_by(&delivery, text(&new, "secret")));
    assert_eq!(signatures(&delivery), ["v1", "v1"]);
    let shown = bundle.client.patch(&path, &account.key, &patch("still")).await.json();
    assert_eq!((&shown["replaced_until"], &shown["revision"]), (&new["replaced_until"], &json!(2)));
    assert_eq!(row(&bundle, &webhook.id).await["secrets"].as_array().unwrap().len(), 2);

    bundle.advance(Duration::from_secs(600)).await;
    let delivery = delivered(&bundle, &account).await;
    assert!(!is_signed_by(&delivery, &webhook.secret) && is_signed_by(&delivery, text(&new, "secret")));
    assert_eq!(signatures(&delivery), ["v1"]);
    let shown = bundle.client.get(&path, &account.key).await.json();
    assert_eq!(shown["replaced_until"], Value::Null);
    assert_eq!(
        row(&bundle, &webhook.id).await["secrets"].as_array().unwrap().len(),
        2,
        "nothing was written"
    );
    bundle.client.patch(&path, &account.key, &patch("over")).await;
    let row = row(&bundle, &webhook.id).await;
    assert_eq!(row["secrets"], json!([{"secret": new["secret"], "until": null}]));
    bundle.stop().await;
}

#[tokio::test]
async fn a_secret_that_leaked_is_revoked_at_once() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/here", &["event"]).await;
    let second = rotated(&bundle, &account, &webhook, json!({"overlap_seconds": 604_800})).await;
    let third = rotated(&bundle, &account, &webhook, json!({"overlap_seconds": 0})).await;
    assert_eq!((&third["replaced_until"], &third["revision"]), (&Value::Null, &json!(3)));
    let delivery = delivered(&bundle, &account).await;
    let by = |secret: &str| is_signed_by(&delivery, secret);
    assert_eq!(
        [by(&webhook.secret), by(text(&second, "secret")), by(text(&third, "secret"))],
        [false, false, true]
    );
    assert_eq!(row(&bundle, &webhook.id).await["secrets"].as_array().unwrap().len(), 1);
    bundle.stop().await;
}

#[tokio::test]
async fn a_rotation_ends_a_block_and_releases_held_items() {
    let (bundle, account, _) = Bundle::with_webhook([("FailureThreshold", "3")], "/told", &["notice"]).await;
    let webhook = bundle.webhook(&account, "/here", &["event"]).await;
    bundle.receiver.set_behaviour("/here", Answer::status(StatusCode::INTERNAL_SERVER_ERROR));
    let ids = bundle.send_many(&account, "event", 5).await;
    until(&bundle.client, &account, &webhook, "event", is_blocked).await;
    // What was refused, and what its retries will find blocked, comes by the release.
    bundle.receiver.set_behaviour("/here", Behaviour::default());
    bundle.advance(Duration::from_secs(60)).await;
    until(&bundle.client, &account, &webhook, "event", |status| status["held"] == 5).await;
    bundle.receiver.clear();
    let new = rotated(&bundle, &account, &webhook, json!({})).await;
    assert_eq!(new["revision"], 2);
    until(&bundle.client, &account, &webhook, "event", |status| {
        status["state"] == "open" && status["held"] == 0
    })
    .await;
    let deliveries = bundle.receiver.wait_for_count("/here", 5, SOON).await.unwrap();
    assert!(ids.iter().all(|id| deliveries.iter().any(|one| one.webhook_id() == Some(id))));
    assert!(deliveries.iter().all(|one| is_signed_by(one, text(&new, "secret"))));
    let is_told =
        |one: &Delivery| serde_json::from_slice::<Value>(&one.body).unwrap()["type"] == "webhook.released";
    bundle.receiver.wait_for(|one| &*one.path == "/told" && is_told(one), SOON).await.unwrap();
    bundle.stop().await;
}

#[tokio::test]
async fn concurrent_rotations_succeed_and_leave_one_current_secret() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/here", &["event"]).await;
    let how = json!({});
    let rotations = (0..3).map(|_| rotate(&bundle, &account, &webhook.id, &how));
    let mut secrets = vec![webhook.secret.clone()];
    for reply in futures_util::future::join_all(rotations).await {
        assert_eq!(reply.status, 200, "{}", reply.text());
        secrets.push(text(&reply.json(), "secret").to_owned());
    }
    let row = row(&bundle, &webhook.id).await;
    assert_eq!((&row["revision"], &row["version"]), (&json!(4), &json!(4)));
    let stored = row["secrets"].as_array().unwrap();
    assert_eq!(
        stored.iter().map(|one| one["until"].is_null()).collect::<Vec<_>>(),
        [true, false, false, false]
    );
    let delivery = delivered(&bundle, &account).await;
    for secret in secrets {
        assert!(is_signed_by(&delivery, &secret), "everybody's secret signs");
        assert!(stored.iter().any(|one| one["secret"] == secret.as_str()));
    }
    bundle.stop().await;
}

#[tokio::test]
async fn a_rotation_whose_answer_is_lost_is_made_once() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/here", &["event"]).await;
    let lost = Arc::new(AtomicBool::new(false));
    let once = Arc::clone(&lost);
    bundle.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
        let is_change =
            call.operation == "PutItem" && String::from_utf8_lossy(call.body).contains("webhook#wh_");
        if !is_change || once.swap(true, Ordering::Relaxed) {
            return Verdict::default();
        }
        let fault = Fault {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "InternalServerError".to_owned(),
            message: "injected".to_owned(),
        };
        Fate::FailAfter(fault).into()
    })));
    let new = rotated(&bundle, &account, &webhook, json!({})).await;
    assert!(lost.load(Ordering::Relaxed));
    let row = row(&bundle, &webhook.id).await;
    assert_eq!((&row["revision"], &new["revision"]), (&json!(2), &json!(2)));
    assert_eq!(row["secrets"][0]["secret"], new["secret"]);
    assert_eq!(row["secrets"][1]["secret"], webhook.secret);
    let rows = dynamodb::scan(&bundle, "StreakTable").await;
    let retired = rows.iter().filter(|row| row["epoch"]["S"] == "retired").count();
    assert!(retired >= 6, "the old revision is over: {rows:?}");
    bundle.stop().await;
}

#[tokio::test]
async fn an_own_secret_signs_and_given_again_changes_nothing() {
    let (bundle, account) = Bundle::with_account([]).await;
    let webhook = bundle.webhook_set(&account, "/here", &["event"], json!({"secret": OWN})).await;
    assert_eq!(webhook.secret, OWN);
    assert!(is_signed_by(&*delivered(&bundle, &account).await, OWN));
    let unchanged = rotated(&bundle, &account, &webhook, json!({"secret": OWN})).await;
    assert_eq!((&unchanged["revision"], &unchanged["replaced_until"]), (&json!(1), &Value::Null));
    let longest = Secret::from_random([3; 32]).reveal();
    for _ in 0..2 {
        let new = rotated(&bundle, &account, &webhook, json!({"secret": longest})).await;
        assert_eq!((text(&new, "secret"), &new["revision"]), (longest.as_str(), &json!(2)));
    }
    let delivery = delivered(&bundle, &account).await;
    assert!(is_signed_by(&delivery, OWN) && is_signed_by(&delivery, &longest));
    // Back to the first one, before its end.
    let back = rotated(&bundle, &account, &webhook, json!({"secret": OWN, "overlap_seconds": 0})).await;
    assert_eq!(back["revision"], 3);
    let delivery = delivered(&bundle, &account).await;
    assert!(is_signed_by(&delivery, OWN) && !is_signed_by(&delivery, &longest));
    bundle.stop().await;
}

#[tokio::test]
async fn a_key_pair_signs_beside_the_secret_while_the_webhook_has_one() {
    let (bundle, account) = Bundle::with_account([]).await;
    let webhook = bundle
        .client
        .webhook(&account, json!({"url": bundle.receiver.url("/here"), "items": ["event"]}))
        .await;
    let path = format!("/webhooks/{}", webhook.id);
    assert_eq!(signatures(&*delivered(&bundle, &account).await), ["v1"]);
    assert_problem(&rotate(&bundle, &account, &webhook.id, &json!({"key_pair": true})).await, 422, "invalid");

    let patched = bundle.client.patch(&path, &account.key, &json!({"key_pair": true})).await.with_status(200);
    let patched = patched.json();
    let public_key = text(&patched, "public_key").to_owned();
    assert!(public_key.parse::<PublicKey>().is_ok() && patched["revision"] == 2, "{patched}");
    let again = bundle.client.patch(&path, &account.key, &json!({"key_pair": true})).await.json();
    assert_eq!(again, patched, "it has one already");
    // The receiver knows nothing but the public key.
    bundle.receiver.add_secret(&public_key).unwrap();
    let delivery = delivered(&bundle, &account).await;
    assert_eq!((signatures(&delivery), delivery.signature), (vec!["v1", "v1a"], SignatureCheck::Valid));

    let kept = rotated(&bundle, &account, &webhook, json!({})).await;
    assert_eq!(text(&kept, "public_key"), public_key);
    let new = rotated(&bundle, &account, &webhook, json!({"key_pair": true})).await;
    assert_ne!(text(&new, "public_key"), public_key);
    let delivery = delivered(&bundle, &account).await;
    assert_eq!(signatures(&delivery), ["v1", "v1", "v1", "v1a", "v1a"]);
    assert_eq!(delivery.signature, SignatureCheck::Valid, "the old key pair signs for a while");

    let taken = bundle.client.patch(&path, &account.key, &json!({"key_pair": null})).await.json();
    assert_eq!((&taken["key_pair"], &taken["public_key"]), (&json!(false), &Value::Null));
    assert_eq!(signatures(&*delivered(&bundle, &account).await), ["v1", "v1", "v1"]);
    assert_eq!(row(&bundle, &webhook.id).await.get("key_pairs"), None);
    bundle.stop().await;
}

#[tokio::test]
async fn an_eleventh_replaced_secret_is_refused_unless_the_others_end() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/here", &["event"]).await;
    for _ in 0..10 {
        rotated(&bundle, &account, &webhook, json!({})).await;
    }
    assert_eq!(signatures(&*delivered(&bundle, &account).await).len(), 11);
    let refused = rotate(&bundle, &account, &webhook.id, &json!({})).await;
    let problem = assert_problem(&refused, 422, "invalid");
    assert!(text(&problem, "detail").contains("overlap_seconds"), "{problem}");
    let new = rotated(&bundle, &account, &webhook, json!({"overlap_seconds": 0})).await;
    assert_eq!(new["revision"], 12);
    assert_eq!(signatures(&*delivered(&bundle, &account).await), ["v1"]);
    bundle.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_credentials_is_named_and_never_repeated() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/here", &["event"]).await;
    let path = format!("/webhooks/{}", webhook.id);
    let (short, long) = ("whsec_c2hvcnRzaG9ydA==", format!("whsec_{}", "c2hv".repeat(22)));
    let url = bundle.receiver.url("/there");
    let mut refusals = Vec::new();
    for secret in
        [json!(short), json!(long), json!(OWN.trim_end_matches('=')), json!("c2hvcnRzaG9ydA=="), json!(7)]
    {
        let new = json!({"url": url, "items": ["event"], "secret": secret, "key_pair": "c2hv"});
        let created = bundle.client.post("/webhooks", &account.key, new.to_string()).await;
        refusals.push((created, vec!["secret", "key_pair"]));
        let how = json!({"secret": secret, "overlap_seconds": 604_801, "until": "c2hv"});
        let rotation = rotate(&bundle, &account, &webhook.id, &how).await;
        refusals.push((rotation, vec!["until", "secret", "overlap_seconds"]));
    }
    let patched = bundle.client.patch(&path, &account.key, &json!({"secret": OWN, "key_pair": 1})).await;
    refusals.push((patched, vec!["secret", "key_pair"]));
    for (refused, fields) in refusals {
        let problem = assert_problem(&refused, 422, "invalid");
        let errors = problem["errors"].as_array().unwrap();
        let named: Vec<_> = errors.iter().map(|error| text(error, "field")).collect();
        assert_eq!(named, fields, "{problem}");
        for secret in ["c2hv", &OWN[6..20]] {
            assert!(!refused.text().contains(secret), "{problem}");
        }
    }
    let shown = bundle.client.get(&path, &account.key).await.json();
    assert_eq!(shown["revision"], 1);
    assert_problem(&rotate(&bundle, &account, &webhook.id, &json!([])).await, 400, "bad-request");

    let stranger = bundle.account().await;
    assert_problem(&rotate(&bundle, &stranger, &webhook.id, &json!({})).await, 404, "not-found");
    let nobodys = "wh_00000000000000000000000000000000";
    assert_problem(&rotate(&bundle, &account, nobodys, &json!({})).await, 404, "not-found");
    let no_key = Account { key: "ck_0".to_owned(), ..account.clone() };
    assert_problem(&rotate(&bundle, &no_key, &webhook.id, &json!({})).await, 401, "unauthorized");
    assert!(is_signed_by(&*delivered(&bundle, &account).await, &webhook.secret), "nothing changed");
    bundle.stop().await;
}

#[tokio::test]
async fn secrets_are_shown_by_what_made_them_and_nowhere_else() {
    let (bundle, account) = Bundle::with_account([]).await;
    let settings =
        json!({"url": bundle.receiver.url("/here"), "items": ["event"], "secret": OWN, "key_pair": true});
    let created = bundle.client.post("/webhooks", &account.key, settings.to_string()).await.with_status(201);
    let mut answers = vec![created.text()];
    let created = created.json();
    let (id, first_key) = (text(&created, "id"), text(&created, "public_key"));
    let rotation = rotate(&bundle, &account, id, &json!({"key_pair": true})).await;
    answers.push(rotation.text());
    let new = rotation.json();
    delivered(&bundle, &account).await;

    let path = format!("/webhooks/{id}");
    let mut elsewhere = vec![
        bundle.client.get(&path, &account.key).await.text(),
        bundle.client.get("/webhooks", &account.key).await.text(),
        bundle.client.patch(&path, &account.key, &json!({"description": "d"})).await.text(),
        bundle.client.post(&format!("{path}/test"), &account.key, "").await.text(),
        bundle.client.post(&format!("{path}/unblock"), &account.key, "").await.text(),
        bundle.client.post(&format!("{path}/enable"), &account.key, "").await.text(),
    ];
    for answer in &elsewhere[..3] {
        assert!(answer.contains(text(&new, "public_key")) && !answer.contains(first_key), "{answer}");
    }
    let functions = ["IngestFunction", "DeliverFunction", "CollectFunction", "ManageFunction"];
    elsewhere.extend(functions.iter().flat_map(|function| bundle.logs.of(function)));
    assert!(elsewhere.len() > 10, "there are logs");
    for (made, secret) in answers.iter().zip([OWN, text(&new, "secret")]) {
        assert_eq!(made.matches("whsec_").count(), 1, "{made}");
        assert!(made.contains(secret));
    }
    // The private keys, as the row has them.
    let row = row(&bundle, id).await;
    let pairs = row["key_pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 2);
    let private = pairs.iter().map(|pair| text(pair, "secret"));
    let mut hidden: Vec<&str> = private.map(|key| &key["whsk_".len()..]["..".len()..40]).collect();
    answers.iter().for_each(|answer| assert!(!hidden.iter().any(|key| answer.contains(key))));
    hidden.extend(["whsec_", "whsk_", &OWN[6..], &text(&new, "secret")[6..]]);
    for place in &elsewhere {
        assert!(!hidden.iter().any(|secret| place.contains(secret)), "{place}");
    }
    bundle.stop().await;
}
