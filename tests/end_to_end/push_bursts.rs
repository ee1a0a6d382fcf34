//! Pushes of a thousand updates, and ticks over many waiting entries, cut short at any point.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use carteiro_core::id::{AccountId, PageId};
use carteiro_local::{
    Data, DynamodbCall, Fate, Fault, LogLines, LogSink, Ports, Stack, StackOptions, Verdict,
};
use carteiro_networks::page::NewPage;
use carteiro_tests::client::Client;
use carteiro_tests::{
    Bundle, Patience, dynamodb, functions, machine_clock, parameters, program, receiver, workspace,
};
use futures_util::StreamExt;
use futures_util::stream;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::killed;
use crate::networks::{
    Inbox, META_SECRET, SECRETS, comment, facebook, hand_on, inbox, not_marked, push, push_to, pushed,
};

const UPDATES: u32 = 1000;

/// A push of a thousand updates of these pages, none of which another number has.
fn thousand(number: u32, pages: u32) -> Value {
    let each = UPDATES / pages;
    let changes = |page: u32| {
        let first = number * UPDATES + page * each;
        (first..first + each).map(|number| comment(number, &format!("olá, comentário {number}"))).collect()
    };
    let ids: Vec<String> = (1..=pages).map(|page| page.to_string()).collect();
    let entries: Vec<(&str, Vec<Value>)> =
        ids.iter().zip(0..).map(|(id, page)| (id.as_str(), changes(page))).collect();
    facebook(&entries)
}

/// Connects pages of a network with these ids, past the API: its rows as it writes them, without tokens.
async fn connect_many(dynamodb: &str, account: &str, ids: impl Iterator<Item = u32>) {
    let account: AccountId = account.parse().unwrap();
    let mut rows = Vec::new();
    for id in ids {
        let given = json!({"network": "facebook", "network_id": id.to_string(), "name": "x", "access_token": "a-token-of-bursts"});
        let new = NewPage::from_json(given.as_object().unwrap()).unwrap();
        let page_id = PageId::from_bits(u128::from(id) << 64 | 7);
        let page = new.create(page_id, account.clone(), Timestamp::UNIX_EPOCH).0;
        let text = |text: &str| json!({"S": text});
        rows.push(json!({
            "pk": text(&format!("account#{account}")), "sk": text(&format!("page#{}", page.id)),
            "version": {"N": "1"}, "page": text(&serde_json::to_string(&page).unwrap()),
        }));
        rows.push(json!({
            "pk": text(&format!("network#facebook#{id}")), "sk": text(page.id.as_str()),
            "account": text(account.as_str()), "delivery": text("scheduled"),
        }));
    }
    for rows in rows.chunks(25) {
        let puts: Vec<Value> = rows.iter().map(|row| json!({"PutRequest": {"Item": row}})).collect();
        dynamodb::call_at(dynamodb, "BatchWriteItem", &json!({"RequestItems": {"ConfigTable": puts}})).await;
    }
}

/// Counts the calls to the tables: those that write into the inbox, and the others.
fn count_calls(bundle: &Bundle) -> [Arc<AtomicUsize>; 2] {
    let calls: [Arc<AtomicUsize>; 2] = Default::default();
    let [writes, others] = calls.clone();
    bundle.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
        let counted = if call.operation == "BatchExecuteStatement" { &writes } else { &others };
        counted.fetch_add(1, Ordering::SeqCst);
        Verdict::default()
    })));
    calls
}

#[expect(clippy::disallowed_methods, reason = "a duration is measured, no time is read")]
fn watch() -> Instant {
    Instant::now()
}

/// The processor's time that this process and the functions that it started have used, where the system says so.
fn processor_time() -> Option<Duration> {
    let own = std::process::id().to_string();
    let mut ticks = 0;
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
        // After the name, which may hold anything, in parentheses: state, parent, …, user and system time.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        if process.file_name() == own.as_str() || fields[1] == own {
            ticks += fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
        }
    }
    // A hundred ticks are a second on every Linux.
    Some(Duration::from_millis(ticks * 10))
}

#[tokio::test]
async fn a_push_of_a_thousand_updates_is_answered_in_time() {
    const PUSHES: u32 = 30;
    let (bundle, account) = Bundle::with_account(SECRETS).await;
    connect_many(&bundle.stack.addresses().dynamodb, &account.id, 1..11).await;
    let calls = count_calls(&bundle);
    for pages in [1, 10] {
        let mut times = Vec::new();
        let before = processor_time();
        calls.iter().for_each(|calls| calls.store(0, Ordering::SeqCst));
        for number in 0..=PUSHES {
            let body = thousand(number + pages * 100, pages).to_string();
            let began = watch();
            let reply = push_to(&bundle.client, "facebook", META_SECRET, body.as_bytes()).await.unwrap();
            let took = began.elapsed();
            assert_eq!(reply.status, 200, "{}", reply.text());
            // The first one is cold.
            if number > 0 {
                times.push(took);
            }
        }
        times.sort();
        let (half, most) = (times[times.len() / 2], times[times.len() - 1]);
        // None where functions of another test ended meanwhile, whose time was counted before.
        let spent = processor_time().zip(before).and_then(|(after, before)| after.checked_sub(before));
        let spent = spent.map(|time| time / (PUSHES + 1));
        println!(
            "{PUSHES} pushes of {UPDATES} updates of {pages} pages: half within {half:?}, all within {most:?}; \
             {spent:?} of processor each, function, database and client together"
        );
        // The function answers 503 where its own time ends first. How far it is from that is told by what it does, and
        // not by the time that passes on a machine that does other work too: full batches of 25 writes, and a look for
        // the accounts of each page. On a busy machine a client repeats a call now and then.
        let made = calls.each_ref().map(|calls| calls.load(Ordering::SeqCst));
        for (made, each) in made.into_iter().zip([UPDATES / 25, pages]) {
            let needed = usize::try_from((PUSHES + 1) * each).unwrap();
            assert!((needed..=needed + needed / 20 + 5).contains(&made), "{made} calls instead of {needed}");
        }
    }
    let all = usize::try_from(2 * (PUSHES + 1) * UPDATES).unwrap();
    assert_eq!(inbox(&bundle).await, Inbox { ready: all, ..Inbox::default() });
    bundle.stop().await;
}

#[tokio::test]
async fn a_push_interrupted_at_any_call_is_complete_after_a_repeat() {
    let (bundle, account) = Bundle::with_account(SECRETS).await;
    connect_many(&bundle.stack.addresses().dynamodb, &account.id, 1..2).await;
    let mut all = 0;
    for (number, fate) in [(1, "before"), (2, "after"), (3, "dropped"), (4, "killed")] {
        let body = facebook(&[("1", (0..UPDATES).map(|n| comment(number * UPDATES + n, "a")).collect())]);
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let cut = move |call: DynamodbCall<'_>| {
            if call.operation != "BatchExecuteStatement" || counted.fetch_add(1, Ordering::SeqCst) < 20 {
                return Verdict::default();
            }
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            let fault = Fault { status, code: "InternalServerError".into(), message: "no".into() };
            match fate {
                "before" => Fate::FailBefore(fault).into(),
                "after" => Fate::FailAfter(fault).into(),
                "dropped" => Fate::DropAfter.into(),
                // Time for the function to be killed in the middle.
                _ => Verdict { delay: Duration::from_secs(2), ..Verdict::default() },
            }
        };
        bundle.stack.intercept_dynamodb(Some(Arc::new(cut)));
        let killing = async {
            while fate == "killed" && calls.load(Ordering::SeqCst) < 22 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if fate == "killed" {
                assert_eq!(bundle.stack.kill_function("IngestFunction").await.unwrap(), 1);
            }
        };
        let (reply, ()) = tokio::join!(push(&bundle, "facebook", &body), killing);
        assert!(reply.status >= 500, "{fate}: {}", reply.status);
        bundle.stack.intercept_dynamodb(None);
        let stored = inbox(&bundle).await.ready - all;
        println!("{fate}: {stored} of {UPDATES} were stored, and the push was answered {}", reply.status);
        pushed(&bundle, "facebook", &body).await;
        all += usize::try_from(UPDATES).unwrap();
        assert_eq!(inbox(&bundle).await, Inbox { ready: all, ..Inbox::default() });
    }
    bundle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_in_the_middle_of_a_push_is_repaired_by_the_repeat() {
    let binary = program().await;
    let data = tempfile::tempdir().unwrap();
    let mut stack = killed::start(&binary, data.path());
    let account = killed::account(&stack).await;
    connect_many(&stack.dynamodb, &account.id, 1..2).await;
    // What the local stack sets.
    const SECRET: &str = "local-meta-secret";
    let mut all = 0;
    for (number, wait) in (1..).zip([30, 120, 300, 600]) {
        let changes = (0..UPDATES).map(|n| comment(number * UPDATES + n, "a")).collect();
        let body = facebook(&[("1", changes)]).to_string();
        let client = Client::new(&stack.api);
        let pushing = push_to(&client, "facebook", SECRET, body.as_bytes());
        let cut_short = tokio::time::timeout(Duration::from_millis(wait), pushing).await.is_err();
        stack.kill();
        stack = killed::start(&binary, data.path());
        let stored = dynamodb::scan_at(&stack.dynamodb, "InboxTable").await.len() - all;
        println!("killed after {wait} ms: answered {}, {stored} of {UPDATES} were stored", !cut_short);
        assert!(cut_short || stored == usize::try_from(UPDATES).unwrap(), "{stored}");
        let reply = push_to(&Client::new(&stack.api), "facebook", SECRET, body.as_bytes()).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        all += usize::try_from(UPDATES).unwrap();
        assert_eq!(dynamodb::scan_at(&stack.dynamodb, "InboxTable").await.len(), all);
    }
}

/// Stores waiting entries of many pages by pushes.
async fn fill(bundle: &Bundle, entries: u32, pages: u32) {
    let changes = |page: u32| {
        let of_page = (0..entries).filter(move |number| number % pages == page);
        of_page.map(|number| comment(number, &format!("comentário {number}"))).collect::<Vec<_>>()
    };
    let all: Vec<(String, Vec<Value>)> =
        (0..pages).map(|page| ((page + 1).to_string(), changes(page))).collect();
    let together = usize::try_from(UPDATES * pages / entries).unwrap().max(1);
    for some in all.chunks(together) {
        let some: Vec<(&str, Vec<Value>)> =
            some.iter().map(|(id, changes)| (id.as_str(), changes.clone())).collect();
        pushed(bundle, "facebook", &facebook(&some)).await;
    }
    let ready = usize::try_from(entries).unwrap();
    assert_eq!(inbox(bundle).await, Inbox { ready, ..Inbox::default() });
}

/// How often each item has arrived, when as many different ones as there are have.
async fn all_arrived(
    receiver: &carteiro_receiver::Receiver,
    path: &str,
    entries: usize,
) -> BTreeMap<String, u64> {
    let mut patience = Patience::default();
    while patience.lasts().await {
        let counts = receiver.counts_by_webhook_id(path);
        if counts.len() >= entries {
            return counts.into_iter().collect();
        }
    }
    panic!("{} of {entries} have arrived", receiver.counts_by_webhook_id(path).len());
}

/// Every entry has arrived, under one id, and no more than once but where it could not be marked.
fn assert_handed_on_once(bundle: &Bundle, counts: &BTreeMap<String, u64>, entries: usize) {
    let repeated = counts.values().filter(|&&count| count > 1).count();
    let not_marked = not_marked(bundle);
    assert!(
        counts.len() == entries && repeated <= not_marked,
        "{repeated} repeated, {not_marked} not marked"
    );
}

#[expect(clippy::print_stdout, reason = "a test says what it measured")]
async fn one_tick_hands_each_on_once(entries: u32, pages: u32) {
    let (bundle, account) = Bundle::with_account(SECRETS).await;
    // One of the pages has the id of the comments' author, whose comments are its publications.
    bundle.webhook(&account, "/all", &["interaction", "publication"]).await;
    connect_many(&bundle.stack.addresses().dynamodb, &account.id, 1..pages + 1).await;
    fill(&bundle, entries, pages).await;
    let began = watch();
    let handed_on = usize::try_from(entries).unwrap();
    assert_eq!(hand_on(&bundle).await, Inbox { handed_on, ..Inbox::default() });
    let took = began.elapsed();
    let counts = all_arrived(&bundle.receiver, "/all", handed_on).await;
    println!(
        "{entries} entries of {pages} pages dispatched in {took:?}, and delivered in {:?}",
        began.elapsed()
    );
    assert_handed_on_once(&bundle, &counts, handed_on);
    assert_eq!(bundle.tick().await["ready_shards"], 0);
    bundle.stop().await;
}

#[tokio::test]
async fn a_tick_over_many_waiting_entries_dispatches_each_once() {
    one_tick_hands_each_on_once(2000, 200).await;
}

#[tokio::test]
#[ignore = "on command: it takes minutes"]
async fn a_tick_over_ten_thousand_waiting_entries_sends_each_once() {
    one_tick_hands_each_on_once(10_000, 1000).await;
}

#[tokio::test]
async fn two_ticks_at_once_hand_each_entry_on_once() {
    let (bundle, account, _) = Bundle::with_webhook(SECRETS, "/all", &["interaction"]).await;
    connect_many(&bundle.stack.addresses().dynamodb, &account.id, 1..21).await;
    fill(&bundle, 1000, 20).await;
    tokio::join!(bundle.tick(), bundle.tick(), bundle.tick());
    hand_on(&bundle).await;
    let counts = all_arrived(&bundle.receiver, "/all", 1000).await;
    assert_handed_on_once(&bundle, &counts, 1000);
    bundle.stop().await;
}

#[tokio::test]
async fn functions_that_die_during_a_tick_lose_nothing_and_keep_ids() {
    const ENTRIES: u32 = 1000;
    let (bundle, account, _) = Bundle::with_webhook(SECRETS, "/all", &["interaction"]).await;
    connect_many(&bundle.stack.addresses().dynamodb, &account.id, 1..21).await;
    fill(&bundle, ENTRIES, 20).await;
    let all = usize::try_from(ENTRIES).unwrap();
    let mut killed = 0;
    for _ in 0..4 {
        bundle.tick().await;
        let before = inbox(&bundle).await.handed_on;
        // In the middle: some more were marked, and others are claimed, sent, or neither.
        for _ in 0..200 {
            if inbox(&bundle).await.handed_on > before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        killed += bundle.stack.kill_function("CollectFunction").await.unwrap();
        bundle.stack.clock().advance(Duration::from_secs(121));
    }
    assert!(killed > 0);
    assert_eq!(hand_on(&bundle).await, Inbox { handed_on: all, ..Inbox::default() });
    let counts = all_arrived(&bundle.receiver, "/all", all).await;
    assert_eq!(counts.len(), all, "each under one id");
    let doubled = counts.values().filter(|&&count| count > 1).count();
    println!("{killed} functions were killed in four ticks: 0 lost, {doubled} of {ENTRIES} repeated");
    bundle.stop().await;
}

/// SIGKILL of everything in the middle of a tick, and a start on the same state, some minutes later.
#[expect(clippy::print_stdout, reason = "a test says what it measured")]
async fn sigkill_in_mid_tick(entries: u32, pages: u32) {
    let binary = program().await;
    let data = tempfile::tempdir().unwrap();
    let customer = receiver(machine_clock()).await;
    let mut stack = killed::start(&binary, data.path());
    let account = killed::account(&stack).await;
    let client = Client::new(&stack.api);
    client.webhook(&account, json!({"url": customer.url("/all"), "items": ["interaction"]})).await;
    connect_many(&stack.dynamodb, &account.id, 1..pages + 1).await;
    let bodies = (0..pages).map(|page| {
        let of_page = (0..entries).filter(|number| number % pages == page);
        facebook(&[(&(page + 1).to_string(), of_page.map(|number| comment(number, "a")).collect())])
            .to_string()
    });
    let pushes = stream::iter(bodies.collect::<Vec<_>>()).map(|body| {
        let client = client.clone();
        async move { push_to(&client, "facebook", "local-meta-secret", body.as_bytes()).await.unwrap().status }
    });
    assert!(pushes.buffer_unordered(4).all(|status| std::future::ready(status == 200)).await);
    let tick = format!("{}/2015-03-31/functions/CollectFunction/invocations", stack.lambda);
    let (base, path) = tick.split_at(stack.lambda.len());
    Client::new(base).request(http::Method::POST, path, &[], "{}").await;
    let all = usize::try_from(entries).unwrap();
    while customer.counts_by_webhook_id("/all").len() < all / 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stack.kill();
    let marked = customer.counts_by_webhook_id("/all").len();
    // Later: what was claimed is free again. The state has the program's times, so the clock goes on from them.
    let clock = machine_clock();
    clock.advance(Duration::from_secs(16 * 60));
    let again = Stack::start(StackOptions {
        template: workspace().join("template.yaml"),
        parameters: parameters(SECRETS),
        ports: Ports::Free,
        data: Data::Folder(data.path().to_owned()),
        functions: functions().await,
        clock,
        function_logs: LogSink::Collect(LogLines::default()),
        schedules: false,
    });
    let again = again.await.expect("the stack starts again");
    again.invoke("CollectFunction", bytes::Bytes::from_static(b"{}")).await.expect("it is invoked");
    let counts = all_arrived(&customer, "/all", all).await;
    assert_eq!(counts.len(), all, "each under one id");
    let doubled = counts.values().filter(|&&count| count > 1).count();
    println!("killed when {marked} of {entries} had arrived: 0 lost, {doubled} arrived twice");
    again.stop().await;
    customer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_in_the_middle_of_a_tick_loses_nothing_and_keeps_ids() {
    sigkill_in_mid_tick(1000, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "on command: it takes minutes"]
async fn sigkill_in_a_tick_over_ten_thousand_entries_loses_nothing() {
    sigkill_in_mid_tick(10_000, 1000).await;
}
