//! What one account's slow URLs do to another account's healthy deliveries.
//!
//! Each test measures the neighbour alone and then beside the flood, in the same run. The first wave of a flood may
//! take every copy of the function: nobody knows of it yet, and what waits then waits for one attempt's time. What
//! comes later is held against what the neighbour takes alone. A second is added to each bound: a busy machine takes
//! that long now and then, and the attempts of each flood take four times as long or never end.
//!
//! Fair queues are the embedded SQS's own, by the rules that the real one documents. How much they change there is up
//! to the real one.

#![expect(clippy::print_stdout, reason = "a test says what it measured")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carteiro_networks::network::Network;
use carteiro_receiver::{Answer, Behaviour};
use carteiro_tests::blocks::until_held;
use carteiro_tests::{Account, Bundle, SOON, comes_true};
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;

use crate::neighbours::connect;
use crate::release_neighbours;

/// The deadline of an attempt.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How long the flooded URL takes to answer 200.
const LATE: Duration = Duration::from_secs(4);

/// How many attempts the usual lane makes at once: `DeliverConcurrency` and `DeliverBatchSize`.
const AT_ONCE: usize = 200;

/// How many times as long as alone a neighbour's deliveries take beside a flood, after its first wave.
const FACTOR: u64 = 3;

/// What a busy machine may add to anything.
const NOISE: Duration = Duration::from_secs(1);

/// How long a neighbour's deliveries took, in milliseconds and in order.
struct Times(Vec<u64>);

impl Times {
    fn percentile(&self, percent: usize) -> u64 {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }

    /// The slowest of a few dozen is what one pause of a busy machine makes it, so these are compared up to their 90th
    /// percentile; the many of the combined attack, which needs a quiet machine, up to the 99th.
    fn assert_within_the_factor_of(&self, alone: &Self, highest: usize) {
        for percent in [50, highest] {
            let (with, without) = (self.percentile(percent), alone.percentile(percent));
            let most = FACTOR * without + u64::try_from(NOISE.as_millis()).unwrap();
            assert!(with <= most, "percentile {percent}: {with} ms beside the flood, {without} ms alone");
        }
    }
}

/// Sends a neighbour's items one after the other, and answers how long each took to arrive.
async fn measured(bundle: &Bundle, account: &Account, what: &str, items: usize) -> Times {
    let mut sent = Vec::new();
    for n in 0..items {
        let began = bundle.stack.clock().now_ms();
        sent.push((bundle.send(account, "/bots/n/messages", json!({"n": n}).to_string()).await, began));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ends = Instant::now() + SOON;
    loop {
        let mut arrived: HashMap<String, u64> = HashMap::new();
        for one in bundle.receiver.deliveries() {
            if let Some(id) = one.webhook_id() {
                arrived.entry(id.to_owned()).or_insert(one.received_at_ms);
            }
        }
        let times: Option<Vec<u64>> =
            sent.iter().map(|(id, began)| Some(arrived.get(id)?.saturating_sub(*began))).collect();
        if let Some(mut times) = times {
            times.sort_unstable();
            let times = Times(times);
            let (median, last) = (times.percentile(50), times.percentile(99));
            println!("{what}: median {median} ms, 99th percentile {last} ms of {items}");
            return times;
        }
        assert!(Instant::now() < ends, "not everything of the neighbour arrived");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An account whose healthy URL is at this path, with its copies of the function started.
async fn neighbour(bundle: &Bundle, path: &str) -> Account {
    let account = bundle.account().await;
    bundle.webhook(&account, path, &["message"]).await;
    bundle.send_many(&account, "message", 300).await;
    bundle.receiver.wait_for_count(path, 300, SOON).await.unwrap();
    account
}

fn late() -> Behaviour {
    Behaviour::from(Answer::Delay { by: LATE, then: Box::new(Answer::status(StatusCode::OK)) })
}

/// Waits until a number of these items were moved to the slow lane.
async fn until_moved(bundle: &Bundle, items: &[String], least: usize) {
    let ends = Instant::now() + SOON;
    loop {
        let lines = bundle.logs.of("DeliverFunction");
        let moved: Vec<&String> = lines.iter().filter(|line| line.contains("moved_to_slow_lane")).collect();
        let is_moved = |item: &&String| moved.iter().any(|line| line.contains(item.as_str()));
        let count = items.iter().filter(is_moved).count();
        if count >= least {
            return;
        }
        assert!(Instant::now() < ends, "{count} of {} were moved, not {least}", items.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the first wave is over: no message of the usual lane waits or is under way.
async fn until_the_usual_lane_is_empty(bundle: &Bundle) {
    let came = comes_true(async || {
        let counts = bundle.stack.queues().describe_queue("DeliverQueue").await.unwrap().counts;
        counts.visible + counts.in_flight == 0
    })
    .await;
    assert!(came, "the usual lane does not become empty");
}

#[tokio::test]
async fn a_flood_of_a_url_that_answers_200_late_delays_no_neighbour() {
    let bundle = Bundle::start_with([("AttemptSeconds", "5")]).await;
    let neighbour = neighbour(&bundle, "/neighbour").await;
    let alone = measured(&bundle, &neighbour, "alone", 40).await;
    let flooding = bundle.account().await;
    bundle.webhook(&flooding, "/late", &["message"]).await;
    bundle.receiver.set_behaviour("/late", late());
    let flood = bundle.send_many(&flooding, "message", AT_ONCE + 200).await;
    let first = measured(&bundle, &neighbour, "in the first wave", 20).await;
    let most = LATE + NOISE + Duration::from_millis(FACTOR * alone.percentile(99));
    assert!(
        u128::from(first.percentile(100)) <= most.as_millis(),
        "one attempt's time: {first:?}",
        first = first.0
    );
    // What the first wave did not take was attempted in the slow lane alone.
    until_moved(&bundle, &flood, 200).await;
    let more = bundle.send_many(&flooding, "message", 400).await;
    let beside = measured(&bundle, &neighbour, "beside the flood", 60).await;
    until_moved(&bundle, &more, 400).await;
    beside.assert_within_the_factor_of(&alone, 90);
    bundle.stop().await;
}

#[tokio::test]
async fn sixty_webhooks_at_one_dead_host_delay_no_neighbour() {
    let bundle = Bundle::start_with([("AttemptSeconds", "5")]).await;
    let neighbour = neighbour(&bundle, "/neighbour").await;
    let alone = measured(&bundle, &neighbour, "alone", 40).await;
    let dead = DeadHost::start().await;
    let flooding = bundle.account().await;
    let mut webhooks = Vec::new();
    for n in 0..60 {
        let settings = json!({"url": dead.url(n), "items": ["message"], "enabled": false});
        webhooks.push(bundle.webhook_with(&flooding, settings).await);
    }
    bundle.send_many(&flooding, "message", 3).await;
    bundle.until_rest().await;
    for webhook in &webhooks {
        let path = format!("/webhooks/{}", webhook.id);
        bundle.client.patch(&path, &flooding.key, &json!({"enabled": true})).await.with_status(200);
    }
    // Of the 180 that are released now some are attempted before anybody knows, and nothing after that.
    let first = measured(&bundle, &neighbour, "in the first wave", 20).await;
    let most = ATTEMPT + NOISE + Duration::from_millis(FACTOR * alone.percentile(99));
    assert!(u128::from(first.percentile(100)) <= most.as_millis(), "one attempt's time: {:?}", first.0);
    until_the_usual_lane_is_empty(&bundle).await;
    let more = bundle.send_many(&flooding, "message", 5).await;
    let beside = measured(&bundle, &neighbour, "beside the flood", 60).await;
    until_moved(&bundle, &more, more.len()).await;
    beside.assert_within_the_factor_of(&alone, 90);
    bundle.stop().await;
}

#[tokio::test]
async fn a_host_that_takes_no_connection_is_dead_for_all_accounts() {
    let bundle = Bundle::start_with([("AttemptSeconds", "2"), ("DeliverConcurrency", "2")]).await;
    let dead = DeadHost::start().await;
    for n in 0..4 {
        let account = bundle.account().await;
        bundle.webhook_with(&account, json!({"url": dead.url(n), "items": ["message"]})).await;
        // Too few for the account's own row.
        bundle.send_many(&account, "message", 4).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let stranger = bundle.account().await;
    bundle.webhook_with(&stranger, json!({"url": dead.url(9), "items": ["message"]})).await;
    let items = bundle.send_many(&stranger, "message", 4).await;
    until_moved(&bundle, &items, 1).await;
    bundle.stop().await;
}

#[tokio::test]
async fn in_the_slow_lane_a_backlog_does_not_delay_another_account() {
    let bundle = Bundle::start_with([("AttemptSeconds", "5")]).await;
    let (flooding, other) = (bundle.account().await, bundle.account().await);
    bundle.webhook(&flooding, "/flood", &["message"]).await;
    bundle.webhook(&other, "/other", &["message"]).await;
    for (account, path) in [(&flooding, "/flood"), (&other, "/other")] {
        bundle.receiver.set_behaviour(path, late());
        bundle.send_many(account, "message", 5).await;
    }
    bundle.receiver.wait_for_count("/flood", 5, SOON).await.unwrap();
    bundle.receiver.wait_for_count("/other", 5, SOON).await.unwrap();
    bundle.until_rest().await;
    bundle.receiver.clear();
    let flood = bundle.send_many(&flooding, "message", 120).await;
    until_moved(&bundle, &flood, 120).await;
    bundle.receiver.wait_for_count("/flood", 1, SOON).await.unwrap();
    let items = bundle.send_many(&other, "message", 5).await;
    for item in &items {
        bundle.receiver.wait_for(|one| one.webhook_id() == Some(item), SOON).await.unwrap();
    }
    // Forty are under way or were when the first of the others came in. In the order of sending it would be all.
    let before = bundle.receiver.count("/flood");
    println!("{before} of 120 were attempted before the other account's 5");
    assert!(before < 100, "{before} of 120 came first");
    bundle.stop().await;
}

/// Longer than the pause between two checks of a page.
const CHECK_PAUSE: Duration = Duration::from_secs(61);

/// How long all attacks go on together.
const ATTACK: Duration = Duration::from_secs(120);

/// How often an attacker does something again until it is told to stop.
async fn again_and_again<F: Future>(stop: &AtomicBool, pause: Duration, act: impl Fn(usize) -> F) -> usize {
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        act(done).await;
        done += 1;
        tokio::time::sleep(pause).await;
    }
    done
}

/// Has a page polled now, and answers how long that took.
async fn checked(bundle: &Bundle, account: &Account, page: &str) -> Duration {
    let last = |shown: &Value| shown["last_tick"]["at"].clone();
    let before = last(&bundle.client.get(page, &account.key).await.json());
    let began = Instant::now();
    while last(&bundle.client.get(page, &account.key).await.json()) == before {
        bundle.client.post(&format!("{page}/check"), &account.key, "").await;
        assert!(began.elapsed() < SOON, "the page is not polled");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes four minutes and a quiet machine"]
async fn all_attacks_at_once_leave_a_neighbour_its_service() {
    let bundle = Bundle::start_with([("AttemptSeconds", "5")]).await;
    let neighbour = neighbour(&bundle, "/neighbour").await;
    let held = release_neighbours::disabled(&bundle, &neighbour, "/held", &["event"]).await;
    let real = "UC_planted_channel_000001";
    bundle.networks.connect(Network::Youtube, real, "a-real-token-of-the-page");
    let page = connect(&bundle, &neighbour, Network::Youtube, real, "a-real-token-of-the-page").await;
    bundle.tick().await;
    bundle.until_rest().await;
    bundle.advance(CHECK_PAUSE).await;
    let alone = measured(&bundle, &neighbour, "alone", 40).await;
    let release_alone = release_neighbours::hold_and_release(&bundle, &neighbour, &held, "/held").await;
    let check_alone = checked(&bundle, &neighbour, &page).await;
    bundle.until_rest().await;
    bundle.advance(CHECK_PAUSE).await;

    // Each attack is an account's of its own.
    let (unblocking, late_one, testing, pretending) =
        (bundle.account().await, bundle.account().await, bundle.account().await, bundle.account().await);
    let hole = release_neighbours::disabled(&bundle, &unblocking, "/hole", &["event"]).await;
    let tested = bundle.webhook(&testing, "/tested", &["contact"]).await;
    bundle.webhook(&late_one, "/late", &["message"]).await;
    let dead = DeadHost::start().await;
    for n in 0..60 {
        bundle.webhook_with(&late_one, json!({"url": dead.url(n), "items": ["contact"]})).await;
    }
    bundle.receiver.set_behaviour("/late", late());
    bundle.receiver.set_behaviour("/hole", Behaviour::from(Answer::hang()));
    bundle.receiver.set_behaviour("/tested", Behaviour::from(Answer::hang()));
    bundle.send_many(&unblocking, "event", 20).await;
    until_held(&bundle.client, &unblocking, &hole, "event", 20).await;
    bundle.set_enabled(&unblocking, &hole, true).await;

    let stop = AtomicBool::new(false);
    let unblocks = again_and_again(&stop, Duration::from_millis(300), |_| async {
        let path = format!("/webhooks/{}/unblock", hole.id);
        bundle.client.post(&path, &unblocking.key, "").await
    });
    let floods = again_and_again(&stop, Duration::from_secs(10), |_| async {
        bundle.send_many(&late_one, "message", 200).await;
        bundle.send_many(&late_one, "contact", 3).await;
    });
    // Thirty at once, each more than twice a second.
    let tests = join_all((0..30).map(|_| {
        again_and_again(&stop, Duration::from_millis(400), |_| async {
            bundle.client.post(&format!("/webhooks/{}/test", tested.id), &testing.key, "").await
        })
    }));
    let made_up = again_and_again(&stop, Duration::from_millis(500), |n| {
        let (bundle, pretending) = (&bundle, &pretending);
        async move {
            let id = format!("UC_made_up_{n:013}");
            let page =
                connect(bundle, pretending, Network::Youtube, &id, &format!("a-made-up-token-{n}")).await;
            bundle.client.post(&format!("{page}/check"), &pretending.key, "").await
        }
    });
    let observed = async {
        let began = Instant::now();
        // The first wave is the time of one attempt.
        tokio::time::sleep(LATE + ATTEMPT).await;
        let check = checked(&bundle, &neighbour, &page).await;
        let (mut times, mut releases) = (Vec::new(), Vec::new());
        while began.elapsed() < ATTACK {
            times.extend(measured(&bundle, &neighbour, "beside all", 60).await.0);
            releases.push(release_neighbours::hold_and_release(&bundle, &neighbour, &held, "/held").await);
        }
        stop.store(true, Ordering::Relaxed);
        times.sort_unstable();
        (Times(times), check, releases)
    };
    let (unblocks, floods, tests, made_up, (beside, check, releases)) =
        tokio::join!(unblocks, floods, tests, made_up, observed);
    println!(
        "{unblocks} unblocks, {floods} floods of 200, {} tests, {made_up} made-up pages; deliveries: median {} \
         and 99th percentile {} ms, alone {} and {}; a poll {check:?}, alone {check_alone:?}; {} releases of 30 items, the slowest in {:?}, \
         alone {release_alone:?}",
        tests.iter().sum::<usize>(),
        beside.percentile(50),
        beside.percentile(99),
        alone.percentile(50),
        alone.percentile(99),
        releases.len(),
        releases.iter().max(),
    );
    beside.assert_within_the_factor_of(&alone, 99);
    let most = check_alone * u32::try_from(FACTOR).unwrap() + NOISE;
    assert!(check <= most, "{check:?}, alone {check_alone:?}");
    let most = release_alone * u32::try_from(FACTOR).unwrap() + NOISE;
    assert!(releases.iter().all(|release| *release <= most), "{releases:?}, alone {release_alone:?}");
    assert_eq!(bundle.networks.over_limit(Network::Youtube), 0);
    bundle.receiver.set_behaviour("/hole", Behaviour::default());
    bundle.stop().await;
}

/// A port that takes no connection and refuses none, as a host does that is down behind its firewall: a full backlog.
struct DeadHost {
    address: std::net::SocketAddr,
    _listener: TcpListener,
    _filling: Vec<TcpStream>,
}

impl DeadHost {
    async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut filling = Vec::new();
        let connect = || tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address));
        while let Ok(Ok(stream)) = connect().await {
            filling.push(stream);
        }
        Self { address, _listener: listener, _filling: filling }
    }

    fn url(&self, n: usize) -> String {
        format!("http://{}/dead/{n}", self.address)
    }
}
