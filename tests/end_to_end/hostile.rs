//! Every receiver of the catalogue at once, as webhooks of one bundle, beside healthy ones; and the connections that
//! `deliver` keeps.

use std::collections::BTreeMap;
use std::time::Duration;

use carteiro_core::outcome::FailureKind;
use carteiro_hostile::{Authority, Hostile, Recorded, Running, catalogue, well_behaved};
use carteiro_tests::{Account, Bundle, SOON, Webhook};
use serde_json::{Value, json};

/// What a process of `deliver` may hold of memory at any time, in KiB: in an unoptimised build, with ten attempts of
/// 128 KiB at once. The function has 256 MiB.
const MAX_RESIDENT_KIB: u64 = 64 * 1024;

/// How many descriptors a process of `deliver` may have open when nothing is under way: those it has anyway, and the
/// connections to receivers that it keeps.
const MAX_DESCRIPTORS: usize = 120;

/// How many hostile receivers are webhooks of one account, and get an item at once.
const WAVE: usize = 30;

/// How many healthy webhooks each account has beside the hostile ones.
const HEALTHY: usize = 4;

/// A bundle whose functions trust this authority, in place of the system's.
async fn bundle_trusting(authority: &Authority, attempt_seconds: &str) -> (Bundle, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, authority.pem()).unwrap();
    let trusting = |template: &str| {
        let roots = format!("          SSL_CERT_FILE: {}\n          ATTEMPT_SECONDS:", roots.display());
        let edited = template.replace("          ATTEMPT_SECONDS:", &roots);
        assert_ne!(edited, template);
        edited
    };
    // Each attempt has a line of its own.
    let parameters = [("AttemptSeconds", attempt_seconds), ("LogLevel", "DEBUG")];
    (Bundle::start_edited(parameters, trusting).await, folder)
}

/// A line of `/proc/<pid>/status`, in KiB.
fn memory(process: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let value = status.lines().find_map(|one| one.strip_prefix(line)?.strip_prefix(':')).expect(line);
    value.trim().trim_end_matches(" kB").parse().unwrap()
}

fn descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

struct Attacked {
    account: Account,
    hostile: Vec<(Hostile, Running, Webhook)>,
}

/// An account with some hostile webhooks and some healthy ones.
async fn attacked(bundle: &Bundle, authority: &Authority, receivers: &[Hostile], path: &str) -> Attacked {
    let account = bundle.account().await;
    let mut hostile = Vec::new();
    for receiver in receivers {
        let running = Running::start(receiver, authority).await.unwrap();
        let webhook =
            bundle.client.webhook(&account, json!({"url": running.url, "items": ["message"]})).await;
        hostile.push((*receiver, running, webhook));
    }
    for n in 0..HEALTHY {
        bundle.webhook(&account, &format!("/{path}/{n}"), &["message"]).await;
    }
    Attacked { account, hostile }
}

/// What the status of a webhook says of the last failure; null where there was none.
async fn last_error(bundle: &Bundle, account: &Account, webhook: &Webhook) -> Value {
    let status = bundle.status(account, webhook, "message").await;
    let error = &status["last_error"];
    if error.is_null() { Value::Null } else { json!([error["error"], error["status"]]) }
}

fn expected(recorded: Recorded) -> Value {
    match recorded {
        Recorded::Success(_) => Value::Null,
        Recorded::Failure(kind, status) => json!([kind.as_str(), status]),
    }
}

/// The outcomes that `deliver` logged, by webhook.
fn logged(bundle: &Bundle) -> BTreeMap<String, Vec<(String, u64)>> {
    let mut outcomes: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for line in bundle.logs.of("DeliverFunction") {
        let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
        let fields = if line["fields"].is_object() { &line["fields"] } else { &line };
        if let (Some(webhook), Some(outcome), Some(latency)) =
            (fields["webhook"].as_str(), fields["outcome"].as_str(), fields["latency_ms"].as_u64())
        {
            outcomes.entry(webhook.to_owned()).or_default().push((outcome.to_owned(), latency));
        }
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_hostile_receivers_at_once_are_told_apart_and_harm_nobody() {
    let authority = Authority::new().unwrap();
    let (bundle, _folder) = bundle_trusting(&authority, "5").await;
    let receivers: Vec<Hostile> = catalogue().into_iter().flat_map(|group| group.receivers).collect();
    let item = format!(r#"{{"text":"{}"}}"#, "x".repeat(128 * 1024));
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    // One wave after the other, for the receivers' own floods share this machine; the retries of all go on meanwhile.
    for (n, some) in receivers.chunks(WAVE).enumerate() {
        let one = attacked(&bundle, &authority, some, &format!("healthy-{n}")).await;
        bundle.send(&one.account, "/bots/b/messages", item.clone()).await;
        healthy_have(&bundle, n, 1).await;
        wrong.extend(told_apart(&bundle, &one).await);
        all.push(one);
    }
    assert_eq!(wrong, Vec::<String>::new());
    // Once more, to all that is left of it.
    for (n, one) in all.iter().enumerate() {
        bundle.send(&one.account, "/bots/b/messages", "{}").await;
        healthy_have(&bundle, n, 2).await;
    }
    harmless(&bundle).await;
    drop(all);
    bundle.stop().await;
}

/// Waits until the healthy webhooks of a wave have a number of items.
async fn healthy_have(bundle: &Bundle, wave: usize, count: u64) {
    for healthy in 0..HEALTHY {
        let path = format!("/healthy-{wave}/{healthy}");
        bundle.receiver.wait_for_count(&path, count, SOON).await.unwrap();
    }
}

/// Waits until every receiver was attempted and recorded, and answers what is recorded wrongly.
async fn told_apart(bundle: &Bundle, one: &Attacked) -> Vec<String> {
    let mut wrong = Vec::new();
    for (receiver, _, webhook) in &one.hostile {
        let wanted = expected(receiver.recorded);
        let recorded = async {
            while !logged(bundle).contains_key(&webhook.id)
                || last_error(bundle, &one.account, webhook).await != wanted
            {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        // Time for a retry, where a busy machine made a timeout of the first attempt.
        if tokio::time::timeout(SOON, recorded).await.is_err() {
            let found = last_error(bundle, &one.account, webhook).await;
            let attempts = logged(bundle).remove(&webhook.id);
            wrong.push(format!("{}: {found} and not {wanted}; {attempts:?}", receiver.name));
        }
    }
    wrong
}

/// No function failed, and the processes of `deliver` hold little.
#[expect(clippy::print_stdout, reason = "the figures of a run")]
async fn harmless(bundle: &Bundle) {
    let forbidden = ["panicked", "attempt.not_made", "out_of_time", "Task timed out"];
    for line in bundle.complaints() {
        assert!(!forbidden.iter().any(|word| line.contains(word)), "{line}");
    }
    bundle.rest(Duration::from_secs(60)).await;
    let processes = bundle.stack.idle_processes("DeliverFunction").unwrap();
    assert!(!processes.is_empty());
    let peaks: Vec<u64> = processes.iter().map(|&process| memory(process, "VmHWM")).collect();
    let open: Vec<usize> = processes.iter().map(|&process| descriptors(process)).collect();
    println!("{} processes of deliver; peaks of memory {peaks:?} KiB; descriptors {open:?}", processes.len());
    assert!(peaks.iter().all(|&peak| peak < MAX_RESIDENT_KIB), "{peaks:?}");
    assert!(open.iter().all(|&open| open < MAX_DESCRIPTORS), "{open:?}");
    let slowest = logged(bundle).into_values().flatten().map(|(_, latency)| latency).max();
    println!("the slowest attempt took {slowest:?} ms");
    // The deadline of 5 s, and what a busy machine adds; nobody had the thread to himself until the function's end.
    assert!(slowest.is_some_and(|slowest| slowest < 20_000), "{slowest:?}");
}

#[tokio::test]
async fn sequential_deliveries_use_one_connection_of_an_environment() {
    let authority = Authority::new().unwrap();
    let (bundle, _folder) = bundle_trusting(&authority, "15").await;
    for hostile in [well_behaved::over_http1(), well_behaved::over_tls(), well_behaved::over_http2()] {
        let receiver = Running::start(&hostile, &authority).await.unwrap();
        let account = bundle.account().await;
        let webhook =
            bundle.client.webhook(&account, json!({"url": receiver.url, "items": ["message"]})).await;
        for n in 1..=8 {
            bundle.send(&account, "/bots/b/messages", "{}").await;
            arrived(&bundle, &webhook, n).await;
            // Else another environment takes the next one.
            bundle.until_rest().await;
        }
        // A busy machine's pause may be too long for a connection; one each would be eight.
        let connections = receiver.connections();
        println!("{}: 8 deliveries over {connections} connections", hostile.name);
        assert!(connections <= 4, "{connections}");
    }
    bundle.stop().await;
}

/// Waits until a number of attempts at a webhook have ended, which must be successes.
async fn arrived(bundle: &Bundle, webhook: &Webhook, count: usize) {
    let ended = async {
        loop {
            let outcomes = logged(bundle).remove(&webhook.id).unwrap_or_default();
            if outcomes.len() >= count {
                return outcomes;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let outcomes = tokio::time::timeout(SOON, ended).await.expect("the attempts end");
    assert!(outcomes.iter().all(|(outcome, _)| outcome == "success"), "{outcomes:?}");
}

#[tokio::test]
async fn an_environment_that_was_frozen_begins_with_a_new_connection() {
    let authority = Authority::new().unwrap();
    let (bundle, _folder) = bundle_trusting(&authority, "15").await;
    for hostile in [well_behaved::vanishing(), well_behaved::vanishing_http2()] {
        let receiver = Running::start(&hostile, &authority).await.unwrap();
        let account = bundle.account().await;
        let webhook =
            bundle.client.webhook(&account, json!({"url": receiver.url, "items": ["message"]})).await;
        for n in 1..=3 {
            bundle.send(&account, "/bots/b/messages", "{}").await;
            arrived(&bundle, &webhook, n).await;
            // The platform's time goes on while the function's own clock hardly moves.
            bundle.advance(Duration::from_secs(60)).await;
        }
        assert_eq!(receiver.connections(), 3);
    }
    bundle.stop().await;
}

#[tokio::test]
async fn a_webhook_whose_name_leads_to_a_private_address_is_not_saved() {
    let (bundle, account) = Bundle::with_account([("AllowedPrivateTargets", "")]).await;
    let settings = |url: &str| json!({"url": url, "items": ["message"]}).to_string();
    let refused = bundle.client.post("/webhooks", &account.key, settings("https://localhost:4443/")).await;
    let problem = carteiro_tests::assert_problem(&refused, 422, "invalid");
    assert_eq!(problem["errors"][0]["field"], "url", "{problem}");
    // A name that does not resolve yet may do so later.
    let taken = bundle.client.post("/webhooks", &account.key, settings("https://nowhere.invalid/")).await;
    assert_eq!(taken.status, 201, "{}", taken.text());
    let path = format!("/webhooks/{}", taken.json()["id"].as_str().unwrap());
    let patched = bundle.client.patch(&path, &account.key, &json!({"url": "https://localhost/"})).await;
    let problem = carteiro_tests::assert_problem(&patched, 422, "invalid");
    assert_eq!(problem["errors"][0]["field"], "url", "{problem}");
    bundle.client.patch(&path, &account.key, &json!({"description": "d"})).await.with_status(200);
    // And each attempt looks anew.
    let tested = bundle.client.post(&format!("{path}/test"), &account.key, "").await.json();
    assert_eq!(tested["error"], FailureKind::Dns.as_str(), "{tested}");
    bundle.stop().await;
}
