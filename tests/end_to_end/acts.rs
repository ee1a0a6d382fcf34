//! What an owner's act releases: an unblock, a new URL, a rotation and enabling. Everything that was held by the state
//! before it, retries too, and what a batch under way holds by that state after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use carteiro_core::release::LONGEST_BATCH;
use carteiro_local::{DynamodbCall, Fate, Fault, Template, Verdict};
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::blocks::{is_blocked, until};
use carteiro_tests::{Account, Bundle, SOON, Webhook, parameters, workspace};
use http::StatusCode;
use serde_json::{Value, json};

/// How soon what an act released arrives.
const AT_ONCE: Duration = Duration::from_secs(20);

/// How long a receiver takes that keeps a batch under way.
const SLOW: Duration = Duration::from_secs(6);

/// How long after an act its release is looked at again, and a little more.
const SECOND_LOOK: Duration = Duration::from_secs(46);

/// What an owner may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Unblock,
    NewUrl,
    Rotate,
    Enable,
}

impl Act {
    const ALL: [Self; 4] = [Self::Unblock, Self::NewUrl, Self::Rotate, Self::Enable];

    /// Does it. A new URL is the path with `-new`.
    async fn act(self, bundle: &Bundle, account: &Account, webhook: &Webhook, path: &str) {
        let own = format!("/webhooks/{}", webhook.id);
        let post = async |act: &str| bundle.client.post(&format!("{own}/{act}"), &account.key, "").await;
        let reply = match self {
            Self::Unblock => post("unblock").await,
            Self::Rotate => post("secret").await,
            Self::Enable => post("enable").await,
            Self::NewUrl => {
                let url = json!({"url": bundle.receiver.url(&self.path_after(path))});
                bundle.client.patch(&own, &account.key, &url).await
            }
        };
        assert_eq!(reply.status, 200, "{self:?}: {}", reply.text());
        if self == Self::Rotate {
            let secret = reply.json()["secret"].as_str().unwrap().to_owned();
            bundle.receiver.add_secret(&secret).unwrap();
        }
    }

    /// Where deliveries go afterwards.
    fn path_after(self, path: &str) -> String {
        if self == Self::NewUrl { format!("{path}-new") } else { path.to_owned() }
    }
}

fn late(then: Answer) -> Behaviour {
    Answer::Delay { by: SLOW, then: Box::new(then) }.into()
}

async fn until_held(bundle: &Bundle, account: &Account, webhook: &Webhook, held: usize) {
    until(&bundle.client, account, webhook, "event", |status| status["held"] == held).await;
}

/// Asserts that these items arrive at a path and are taken, each once.
async fn assert_arrive(bundle: &Bundle, path: &str, ids: &[String], within: Duration, what: &str) {
    let taken = || {
        let deliveries = bundle.receiver.deliveries_to(path);
        let taken = deliveries.into_iter().filter(|one| one.answered == Some(200));
        taken.filter_map(|one| one.webhook_id().map(str::to_owned)).collect::<Vec<_>>()
    };
    let began = tokio::time::Instant::now();
    while !ids.iter().all(|id| taken().contains(id)) {
        let taken = taken();
        let missing: Vec<_> = ids.iter().filter(|id| !taken.contains(id)).collect();
        let logs = || bundle.logs.of("CollectFunction");
        assert!(began.elapsed() < within, "{what}: {missing:?} did not arrive: {:#?}", logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for id in ids {
        assert_eq!(taken().iter().filter(|one| *one == id).count(), 1, "{what}: {id}");
    }
}

#[tokio::test]
async fn each_act_releases_a_retry_that_is_two_hours_away() {
    let bundle = Bundle::start().await;
    for act in Act::ALL {
        let account = bundle.account().await;
        let path = format!("/{act:?}");
        let webhook = bundle.webhook(&account, &path, &["event"]).await;
        bundle.receiver.set_behaviour(&path, Answer::busy(7200));
        let ids = bundle.send_many(&account, "event", 12).await;
        until_held(&bundle, &account, &webhook, 12).await;
        if act == Act::Enable {
            bundle.set_enabled(&account, &webhook, false).await;
        }
        bundle.receiver.set_behaviour(&path, Behaviour::default());
        act.act(&bundle, &account, &webhook, &path).await;
        assert_arrive(&bundle, &act.path_after(&path), &ids, AT_ONCE, &format!("{act:?}")).await;
        until_held(&bundle, &account, &webhook, 0).await;
        let attempts = bundle.receiver.deliveries_to(&act.path_after(&path));
        assert!(attempts.iter().rev().take(12).all(|one| one.attempt() == Some(2)), "{act:?}");
    }
    bundle.stop().await;
}

#[tokio::test]
async fn a_retry_after_an_act_keeps_its_own_time() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/w", &["event"]).await;
    Act::Unblock.act(&bundle, &account, &webhook, "/w").await;
    // Longer than any clock is taken to be wrong.
    bundle.advance(Duration::from_secs(10)).await;
    bundle.receiver.set_behaviour("/w", Answer::busy(7200));
    bundle.send_many(&account, "event", 3).await;
    until_held(&bundle, &account, &webhook, 3).await;
    bundle.receiver.set_behaviour("/w", Behaviour::default());
    bundle.advance(SECOND_LOOK).await;
    bundle.rest(SOON).await;
    bundle.tick().await;
    bundle.rest(SOON).await;
    assert_eq!(bundle.receiver.count("/w"), 3, "they wait for two hours");
    until_held(&bundle, &account, &webhook, 3).await;
    let rows = carteiro_tests::dynamodb::scan(&bundle, "HeldTable").await;
    let releases = rows.iter().filter(|row| row["sk"]["S"] == "event").count();
    assert_eq!(releases, 0, "the release ended: {rows:?}");
    bundle.stop().await;
}

/// Sends items to two webhooks of an account, one of which keeps the batch under way until its owner has acted on the
/// other. Answers the items.
async fn act_in_the_middle(
    bundle: &Bundle,
    account: &Account,
    webhook: &Webhook,
    (act, path): (Act, &str),
) -> Vec<String> {
    bundle.rest(SOON).await;
    bundle.receiver.set_behaviour("/slow", late(Answer::status(StatusCode::OK)));
    let before = bundle.receiver.count("/slow");
    // Five items to two webhooks are one batch.
    let ids = bundle.send_many(account, "event", 5).await;
    bundle.receiver.wait_for_count("/slow", before + 5, SOON).await.unwrap();
    act.act(bundle, account, webhook, path).await;
    assert_eq!(bundle.receiver.answered("/slow"), before, "the batch is under way");
    ids
}

#[tokio::test]
async fn an_item_held_during_an_unblock_arrives_within_a_minute() {
    let (bundle, account) = Bundle::with_account([]).await;
    let week = 7 * 24 * 3600;
    let settings =
        json!({"url": bundle.receiver.url("/w"), "items": ["event"], "threshold": 3, "block_seconds": week});
    let webhook = bundle.webhook_with(&account, settings).await;
    bundle.webhook(&account, "/slow", &["event"]).await;
    bundle.receiver.set_behaviour("/w", Behaviour::from(StatusCode::INTERNAL_SERVER_ERROR));
    let mut ids = bundle.send_many(&account, "event", 3).await;
    until(&bundle.client, &account, &webhook, "event", is_blocked).await;
    bundle.advance(Duration::from_secs(10)).await;
    until_held(&bundle, &account, &webhook, 3).await;
    bundle.receiver.set_behaviour("/w", Behaviour::default());
    let late = act_in_the_middle(&bundle, &account, &webhook, (Act::Unblock, "/w")).await;
    assert_arrive(&bundle, "/w", &ids, AT_ONCE, "what was held before").await;
    until_held(&bundle, &account, &webhook, 5).await;
    bundle.advance(SECOND_LOOK).await;
    ids.extend(late);
    assert_arrive(&bundle, "/w", &ids, AT_ONCE, "what was held in the middle").await;
    until_held(&bundle, &account, &webhook, 0).await;
    bundle.stop().await;
}

#[tokio::test]
async fn an_item_held_during_enabling_arrives_within_a_minute() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/w", &["event"]).await;
    bundle.webhook(&account, "/slow", &["event"]).await;
    bundle.set_enabled(&account, &webhook, false).await;
    let ids = act_in_the_middle(&bundle, &account, &webhook, (Act::Enable, "/w")).await;
    until_held(&bundle, &account, &webhook, 5).await;
    bundle.advance(SECOND_LOOK).await;
    assert_arrive(&bundle, "/w", &ids, AT_ONCE, "what was held in the middle").await;
    bundle.stop().await;
}

#[tokio::test]
async fn a_retry_held_after_a_new_url_arrives_within_a_minute() {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/w", &["event"]).await;
    bundle.webhook(&account, "/slow", &["event"]).await;
    bundle.receiver.set_behaviour("/w", Answer::busy(7200));
    let ids = act_in_the_middle(&bundle, &account, &webhook, (Act::NewUrl, "/w")).await;
    until_held(&bundle, &account, &webhook, 5).await;
    bundle.advance(SECOND_LOOK).await;
    assert_arrive(&bundle, "/w-new", &ids, AT_ONCE, "the retries").await;
    bundle.stop().await;
}

/// A release is kept after an act for as long as such a batch may hold something.
#[test]
fn no_batch_runs_longer_than_a_release_is_kept_for_it() {
    let path = workspace().join("template.yaml");
    let template = Template::read(&path, &parameters([]), "http://127.0.0.1:1").unwrap();
    assert!(template.functions["DeliverFunction"].timeout <= LONGEST_BATCH);
}

/// A fifth of these operations on the held items is made and then not answered, or answered with an error.
fn lose(bundle: &Bundle, operations: &'static [&'static str], fate: Fate) -> Arc<AtomicU64> {
    let (calls, lost) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&lost);
    bundle.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
        let request: Value = serde_json::from_slice(call.body).unwrap_or_default();
        if !operations.contains(&call.operation) || request["TableName"] != "HeldTable" {
            return Verdict::default();
        }
        // Multiplying by a large odd number spreads the calls, the same way in each run.
        let draw = calls.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        if draw % 5 > 0 {
            return Verdict::default();
        }
        counted.fetch_add(1, Ordering::Relaxed);
        fate.clone().into()
    })));
    lost
}

async fn release_where_answers_are_lost(operations: &'static [&'static str], fate: Fate) {
    let (bundle, account, webhook) = Bundle::with_webhook([], "/w", &["event"]).await;
    bundle.set_enabled(&account, &webhook, false).await;
    let ids = bundle.send_many(&account, "event", 70).await;
    until_held(&bundle, &account, &webhook, 70).await;
    let lost = lose(&bundle, operations, fate);
    Act::Enable.act(&bundle, &account, &webhook, "/w").await;
    let arrived = async {
        while bundle.receiver.counts_by_webhook_id("/w").len() < ids.len() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(SOON, arrived).await;
    let arrived = bundle.receiver.counts_by_webhook_id("/w").len();
    assert!(waited.is_ok(), "{arrived} arrived: {:#?}", bundle.complaints());
    assert!(lost.load(Ordering::Relaxed) > 5, "{lost:?} answers were lost");
    bundle.stack.intercept_dynamodb(None);
    until_held(&bundle, &account, &webhook, 0).await;
    bundle.stop().await;
}

#[tokio::test]
async fn a_release_goes_on_where_a_fifth_of_its_updates_time_out() {
    release_where_answers_are_lost(&["UpdateItem"], Fate::DropAfter).await;
}

#[tokio::test]
async fn a_release_goes_on_where_a_fifth_of_all_writes_fail() {
    let fault = Fault {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code: "InternalServerError".to_owned(),
        message: "injected".to_owned(),
    };
    release_where_answers_are_lost(&["UpdateItem", "PutItem", "DeleteItem"], Fate::FailAfter(fault)).await;
}
