//! The block under concurrency: sixteen functions at once against URLs that fail.
//!
//! What the receiver had answered is looked at when a write to the streak's row reaches the table, before it is made:
//! whatever was recorded by then had been answered by then.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carteiro_local::{DynamodbCall, Verdict};
use carteiro_receiver::{Answer, Behaviour, DropAt, Receiver};
use carteiro_tests::chance::Chance;
use carteiro_tests::{Account, Bundle, Patience, SOON, Webhook, dynamodb};
use futures_util::future::join;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

const CONCURRENCY: u64 = 16;
/// Maximum concurrency times batch size.
const IN_FLIGHT: u64 = CONCURRENCY * 10;
const SEED: u64 = 2026;

/// A write to a streak's row that is on its way.
#[derive(Clone, Debug)]
struct Write {
    what: What,
    /// The epoch that it sets.
    epoch: String,
    /// The epoch that it is conditional on; none where there must be none, or it is not conditional.
    fence: Option<String>,
    /// How many requests the receiver had answered,
    answered: u64,
    /// and how many it had got.
    requested: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Block,
    Unblock,
}

/// The blocks and unblocks that reach the table while requests go to one path. Whether they are made is the table's.
#[derive(Clone, Default)]
struct Watch(Arc<Mutex<Vec<Write>>>);

impl Watch {
    fn start(bundle: &Bundle, path: &str) -> Self {
        let watch = Self::default();
        let (writes, receiver, path) = (Arc::clone(&watch.0), Arc::clone(&bundle.receiver), path.to_owned());
        bundle.stack.intercept_dynamodb(Some(Arc::new(move |call: DynamodbCall<'_>| {
            writes.lock().unwrap().extend(write(call, &receiver, &path));
            Verdict::default()
        })));
        watch
    }

    fn all(&self, what: What) -> Vec<Write> {
        self.0.lock().unwrap().iter().filter(|write| write.what == what).cloned().collect()
    }
}

fn write(call: DynamodbCall<'_>, receiver: &Receiver, path: &str) -> Option<Write> {
    if call.operation != "UpdateItem" {
        return None;
    }
    let request: Value = serde_json::from_slice(call.body).ok()?;
    let update = request["UpdateExpression"].as_str().filter(|_| request["TableName"] == "StreakTable")?;
    let epoch_in = |expression: &str| {
        let (_, value) = expression.split_once("#epoch = ")?;
        let value = value.split([',', ' ', ')']).next()?;
        request["ExpressionAttributeValues"][value]["S"].as_str().map(str::to_owned)
    };
    // Of the writes to a streak's row only these two set an epoch, and of these only the block sets its end.
    let epoch = epoch_in(update)?;
    let what = if update.contains("#blocked_until = ") { What::Block } else { What::Unblock };
    let fence = request["ConditionExpression"].as_str().and_then(epoch_in);
    Some(Write { what, epoch, fence, answered: receiver.answered(path), requested: receiver.count(path) })
}

/// What happens in a run beside failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Nothing,
    /// Its owner ends the streak on its way.
    UnblockBefore,
    /// Its owner ends the block, and as much fails again.
    UnblockAfter,
}

/// More items than may be requested until a block, so that a request too many has one to go with.
fn enough(threshold: u64) -> u64 {
    threshold + IN_FLIGHT + 10
}

/// How one run goes.
#[derive(Debug)]
struct Plan {
    turn: Turn,
    discard: bool,
    most_delay_ms: u64,
    kinds: Vec<&'static str>,
    /// How many items in each request, and the pause after it.
    bursts: Vec<(u64, u64)>,
    answers: u64,
}

impl Plan {
    fn roll(dice: &mut Chance, threshold: u64) -> Self {
        let turn = match dice.below(16) {
            0 => Turn::UnblockBefore,
            1 => Turn::UnblockAfter,
            _ => Turn::Nothing,
        };
        let kinds = match dice.below(4) {
            0 => vec!["500"],
            1 => vec!["reset"],
            2 => vec!["cut short"],
            _ => vec!["500", "reset", "cut short"],
        };
        let mut items = enough(threshold) + dice.below(21);
        let answers = items + enough(threshold);
        let largest = [items, 200, 60][usize::try_from(dice.below(3)).unwrap()];
        let mut bursts = Vec::new();
        while items > 0 {
            let burst = (1 + dice.below(largest)).max(items / 8).min(items);
            bursts.push((burst, dice.below(31)));
            items -= burst;
        }
        let most_delay_ms = [0, 5, 15, 30][usize::try_from(dice.below(4)).unwrap()];
        Self { turn, discard: dice.below(4) != 0, most_delay_ms, kinds, bursts, answers }
    }

    fn behaviour(&self, dice: &mut Chance) -> Behaviour {
        let mut answer = || {
            let answer = match self.kinds[usize::try_from(dice.number()).unwrap() % self.kinds.len()] {
                "500" => Answer::status(StatusCode::INTERNAL_SERVER_ERROR),
                "reset" => Answer::Drop(DropAt::BeforeResponse),
                _ => Answer::Drop(DropAt::InBody),
            };
            match dice.below(self.most_delay_ms + 1) {
                0 => answer,
                ms => Answer::Delay { by: Duration::from_millis(ms), then: Box::new(answer) },
            }
        };
        let answers: Vec<_> = (0..self.answers).map(|_| answer()).collect();
        Behaviour::sequence(answers, Answer::status(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

/// What was seen in a run.
#[derive(Debug, Default)]
struct Seen {
    /// The ids of the blocks.
    epochs: Vec<String>,
    /// How many messages were with functions at once.
    in_flight: usize,
    /// Whether it took a tick to tell of a block.
    told_by_tick: bool,
}

/// One run after another of the same bundle.
struct Runs {
    bundle: Bundle,
    account: Account,
    threshold: u64,
}

impl Runs {
    async fn start(threshold: u64) -> Self {
        let own =
            [("FailureThreshold", threshold.to_string()), ("DeliverConcurrency", CONCURRENCY.to_string())];
        let bundle = Bundle::start_with(own.iter().map(|(name, value)| (*name, value.as_str()))).await;
        let account = bundle.account().await;
        bundle.webhook(&account, "/told", &["notice"]).await;
        Self { bundle, account, threshold }
    }

    /// The streak's row, where there is one.
    async fn row(&self, webhook: &Webhook) -> Option<Value> {
        dynamodb::query(&self.bundle, "StreakTable", &webhook.id).await.pop()
    }

    /// Waits for the next block, and looks at every state that comes by.
    async fn blocked(&self, webhook: &Webhook, seen: &mut Seen) {
        let until = Instant::now() + SOON;
        while Instant::now() < until {
            let queue = self.bundle.stack.queues().describe_queue("DeliverQueue").await.unwrap();
            seen.in_flight = seen.in_flight.max(queue.counts.in_flight);
            if let Some(row) = self.row(webhook).await {
                let failures: u64 =
                    row["failures"]["N"].as_str().map_or(0, |failures| failures.parse().unwrap());
                assert!(failures <= self.threshold, "{row}");
                if row.get("blocked_until").is_some() {
                    assert_eq!(failures, self.threshold, "{row}");
                    seen.epochs.push(row["epoch"]["S"].as_str().unwrap().to_owned());
                    return;
                }
                assert!(failures < self.threshold, "{row}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no block: {seen:?} {:?}", self.row(webhook).await);
    }

    async fn unblock(&self, webhook: &Webhook) {
        let path = format!("/webhooks/{}/unblock", webhook.id);
        self.bundle.client.post(&path, &self.account.key, "").await.with_status(200);
    }

    async fn send(&self, bursts: &[(u64, u64)]) {
        for &(items, pause_ms) in bursts {
            // In messages of their own, so that all functions are at it at once.
            self.bundle.send_apart(&self.account, "event", usize::try_from(items).unwrap()).await;
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    /// The ids of the notices that this webhook was blocked.
    fn told(&self, webhook: &Webhook) -> HashSet<String> {
        let notices = self.bundle.receiver.deliveries_to("/told");
        let of_block = notices.iter().filter(|one| {
            let body: Value = serde_json::from_slice(&one.body).unwrap();
            body["type"] == "webhook.blocked" && body["data"]["webhook"] == webhook.id.as_str()
        });
        of_block.filter_map(|one| one.webhook_id()).map(str::to_owned).collect()
    }

    /// How often a function said that it began a block of this webhook.
    fn said(&self, webhook: &Webhook) -> usize {
        let lines = self.bundle.logs.of("DeliverFunction");
        lines.iter().filter(|line| line.contains("\"streak.blocked\"") && line.contains(&webhook.id)).count()
    }

    /// Waits until as much was told and said of blocks, and asserts that it is no more. Answers whether it took a tick
    /// to tell it: where whoever was telling gave up, what is left is told by a tick, when that one's lease is over.
    async fn told_once_each(&self, webhook: &Webhook, blocks: usize) -> bool {
        let counts = || (self.told(webhook).len(), self.said(webhook));
        let enough = async || {
            while counts().0 < blocks || counts().1 < blocks {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let at_once = tokio::time::timeout(SOON / 3, enough()).await.is_ok();
        if !at_once {
            self.bundle.advance(Duration::from_secs(61)).await;
            self.bundle.tick().await;
            _ = tokio::time::timeout(SOON, enough()).await;
        }
        assert_eq!(counts(), (blocks, blocks), "notices told and blocks begun");
        !at_once
    }

    /// One run: as many failures as the plan says, with all functions at one URL.
    async fn run(&self, number: u64, seed: u64) -> (Plan, Seen, u64) {
        let mut dice = Chance(seed);
        let plan = Plan::roll(&mut dice, self.threshold);
        let path = format!("/run/{number}");
        self.bundle.receiver.clear();
        self.bundle.receiver.set_behaviour(&path, plan.behaviour(&mut dice));
        let watch = Watch::start(&self.bundle, &path);
        let while_blocked = if plan.discard { "discard" } else { "hold" };
        let url = self.bundle.receiver.url(&path);
        let settings = json!({"url": url, "items": ["event"], "while_blocked": while_blocked});
        let webhook = self.bundle.client.webhook(&self.account, settings).await;
        let mut seen = Seen::default();
        let (sending, again) = (self.send(&plan.bursts), [(enough(self.threshold), 0)]);
        match plan.turn {
            Turn::Nothing => {
                join(sending, self.blocked(&webhook, &mut seen)).await;
            }
            Turn::UnblockBefore => {
                let unblocking = async {
                    let half = self.bundle.receiver.wait_for_count(&path, self.threshold / 2, SOON);
                    half.await.unwrap();
                    self.unblock(&webhook).await;
                };
                join(sending, unblocking).await;
                join(self.send(&again), self.blocked(&webhook, &mut seen)).await;
            }
            Turn::UnblockAfter => {
                join(sending, self.blocked(&webhook, &mut seen)).await;
                // A block that is over and followed by another before it is told would be told as that one.
                seen.told_by_tick = self.told_once_each(&webhook, 1).await;
                self.unblock(&webhook).await;
                join(self.send(&again), self.blocked(&webhook, &mut seen)).await;
            }
        }
        self.bundle.until_rest().await;
        let requested = self.bundle.receiver.count(&path);
        let (blocks, beyond) = self.check(&plan, &watch, &seen, requested);
        // A block that came to the table together with the unblock was made or not.
        let raced = plan.turn == Turn::UnblockBefore && blocks == 2;
        let blocks = if raced { self.said(&webhook).clamp(1, 2) } else { blocks };
        // What is retried meets the block: nothing more is requested, and the block is still the same.
        seen.told_by_tick |= self.told_once_each(&webhook, blocks).await;
        self.bundle.advance(Duration::from_secs(7)).await;
        self.bundle.until_rest().await;
        assert_eq!(self.bundle.receiver.count(&path), requested);
        let row = self.row(&webhook).await.unwrap();
        assert_eq!(row["epoch"]["S"].as_str(), seen.epochs.last().map(String::as_str), "{row}");
        self.told_once_each(&webhook, blocks).await;
        let deleted =
            self.bundle.client.delete(&format!("/webhooks/{}", webhook.id), &self.account.key).await;
        assert_eq!(deleted.status, 200, "{}", deleted.text());
        (plan, seen, beyond)
    }

    /// No block began before its threshold was answered, and none let more than what was in flight pass. Answers how
    /// many blocks there were, and how many requests beyond the threshold the last one let pass.
    fn check(&self, plan: &Plan, watch: &Watch, seen: &Seen, requested: u64) -> (usize, u64) {
        let (blocks, unblocks) = (watch.all(What::Block), watch.all(What::Unblock));
        let last = blocks.iter().find(|write| Some(&write.epoch) == seen.epochs.last()).unwrap();
        let first = blocks.iter().find(|write| write.fence.is_none());
        if let Some(first) = first {
            // Nothing had ended a streak before it, so that it was made, or is the last.
            assert!(first.answered >= self.threshold, "{first:?}");
            assert!(first.requested <= self.threshold + IN_FLIGHT, "{first:?}");
        }
        // One unblock may be tried in two forms, of which the last is the one that was made, if any was.
        let asked: HashSet<_> = unblocks.iter().map(|unblock| &unblock.epoch).collect();
        assert_eq!(asked.len(), usize::from(plan.turn != Turn::Nothing));
        let ended = unblocks.iter().rfind(|unblock| last.fence.as_ref() == Some(&unblock.epoch));
        let Some(ended) = ended else {
            // There was no unblock, or it came before anything was recorded, and had nothing to end.
            assert!(last.fence.is_none() && plan.turn != Turn::UnblockAfter, "{last:?}");
            assert!(requested <= self.threshold + IN_FLIGHT, "{requested} requests");
            return (1, requested - self.threshold);
        };
        let answered = last.answered - ended.answered;
        assert!(answered >= self.threshold, "blocked again after {answered} answers");
        // What was in flight at the unblock is late, and goes on besides.
        let most = ended.answered + IN_FLIGHT + self.threshold;
        assert!(requested <= most + IN_FLIGHT, "{requested} requests, {ended:?}");
        (1 + usize::from(first.is_some()), requested.saturating_sub(most))
    }
}

/// A number of runs, each with other timings, one after another.
#[expect(clippy::print_stdout, reason = "a run that fails is repeated by its seed")]
async fn many_runs(threshold: u64, count: u64) {
    let runs = Runs::start(threshold).await;
    let began = Instant::now();
    let (mut turns, mut full, mut by_tick, mut most_beyond) = (HashMap::new(), 0_u64, 0_u64, 0);
    for number in 0..count {
        let seed = SEED + number;
        println!("run {number}: seed {seed}, {} ms", began.elapsed().as_millis());
        let (plan, seen, beyond) = runs.run(number, seed).await;
        *turns.entry(format!("{:?}", plan.turn)).or_insert(0_u64) += 1;
        full += u64::from(seen.in_flight as u64 > IN_FLIGHT / 2);
        by_tick += u64::from(seen.told_by_tick);
        most_beyond = most_beyond.max(beyond);
    }
    println!(
        "threshold {threshold}, {count} runs in {:?}: {turns:?}, {by_tick} told by a tick",
        began.elapsed()
    );
    println!(
        "{full} runs with more than half of {IN_FLIGHT} in flight; at most {most_beyond} requests beyond"
    );
    assert!(full >= count / 2, "the functions were at it at once in {full} of {count} runs");
    assert!(by_tick <= count / 20, "{by_tick} of {count} blocks were told late");
    runs.bundle.stop().await;
}

#[tokio::test]
async fn sixteen_functions_block_and_notify_once_at_a_low_threshold() {
    many_runs(100, 200).await;
}

#[tokio::test]
#[ignore = "on command: 200 runs at the real threshold take most of an hour"]
async fn sixteen_functions_block_and_notify_once_at_a_real_threshold() {
    many_runs(1000, 200).await;
}

#[tokio::test]
async fn sixteen_functions_never_block_a_url_with_a_success_in_500() {
    const ITEMS: usize = 2000;
    const EVERY: usize = 500;
    let concurrency = CONCURRENCY.to_string();
    let (bundle, account) = Bundle::with_account([("DeliverConcurrency", concurrency.as_str())]).await;
    let webhook = bundle.webhook(&account, "/rare", &["event"]).await;
    let mut dice = Chance(SEED);
    let answers: Vec<_> = (1..=4 * ITEMS)
        .map(|number| {
            let succeeds = number % EVERY == 0;
            let status = if succeeds { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
            let by = Duration::from_millis(1 + dice.below(30));
            Answer::Delay { by, then: Box::new(Answer::status(status)) }
        })
        .collect();
    bundle.receiver.set_behaviour("/rare", Behaviour::sequence(answers, Answer::status(StatusCode::OK)));
    let watch = Watch::start(&bundle, "/rare");
    let (mut most, mut expected) = (0, 0);
    let mut failed = ITEMS as u64;
    bundle.send_many(&account, "event", ITEMS).await;
    // Each item is attempted at once, after 5 s and after 30 s.
    for wait in [7, 37, 0] {
        expected += failed;
        while bundle.receiver.answered("/rare") < expected {
            let rows = dynamodb::query(&bundle, "StreakTable", &webhook.id).await;
            let failures = rows.first().and_then(|row| row["failures"]["N"].as_str()).unwrap_or("0");
            most = most.max(failures.parse::<u64>().unwrap());
            assert!(most < 1000 && rows.iter().all(|row| row.get("blocked_until").is_none()), "{rows:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        failed -= expected / EVERY as u64 - (expected - failed) / EVERY as u64;
        bundle.advance(Duration::from_secs(wait)).await;
    }
    let requested = bundle.receiver.count("/rare");
    println!(
        "{requested} requests, {} successes; at most {most} failures in a row",
        requested / EVERY as u64
    );
    assert!(requested > 5900 && most > 400, "{requested} requests, {most} failures");
    assert!(watch.all(What::Block).is_empty(), "nobody tried to begin a block");
    bundle.stop().await;
}

#[tokio::test]
async fn sixteen_functions_block_forty_urls_once_at_their_thresholds() {
    const THRESHOLD: u64 = 100;
    const URLS: usize = 40;
    let own = [("FailureThreshold", THRESHOLD.to_string()), ("DeliverConcurrency", CONCURRENCY.to_string())];
    let bundle = Bundle::start_with(own.iter().map(|(name, value)| (*name, value.as_str()))).await;
    let account = bundle.account().await;
    let mut webhooks = HashMap::new();
    for number in 0..URLS {
        let path = format!("/{number}");
        bundle.receiver.set_behaviour(&path, Behaviour::from(StatusCode::BAD_GATEWAY));
        webhooks.insert(bundle.webhook(&account, &path, &["event"]).await.id, path);
    }
    // A little at a time, so that what one item is at another is at too.
    for _ in 0..13 {
        bundle.send_many(&account, "event", 10).await;
    }
    let mut epochs: HashMap<String, String> = HashMap::new();
    let mut patience = Patience::default();
    while patience.lasts().await {
        for row in dynamodb::scan(&bundle, "StreakTable").await {
            let webhook = row["pk"]["S"].as_str().unwrap();
            let failures: u64 = row["failures"]["N"].as_str().map_or(0, |failures| failures.parse().unwrap());
            assert!(failures <= THRESHOLD, "{row}");
            let Some(epoch) = row["epoch"]["S"].as_str() else {
                assert!(failures < THRESHOLD, "{row}");
                continue;
            };
            assert!(row.get("blocked_until").is_some(), "{row}");
            assert!(bundle.receiver.answered(&webhooks[webhook]) >= THRESHOLD, "blocked too early: {row}");
            let first = epochs.entry(webhook.to_owned()).or_insert_with(|| epoch.to_owned());
            assert_eq!(first, epoch, "a second block in the same streak");
        }
        if epochs.len() == URLS {
            break;
        }
    }
    assert_eq!(epochs.values().collect::<HashSet<_>>().len(), URLS);
    bundle.until_rest().await;
    let most = webhooks.values().map(|path| bundle.receiver.count(path)).max().unwrap();
    assert!(most <= THRESHOLD + IN_FLIGHT, "{most} requests to one URL");
    println!("{URLS} blocks, one each; at most {most} requests to one URL");
    bundle.stop().await;
}
