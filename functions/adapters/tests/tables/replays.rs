//! Replays: which dead items are taken, by which worker, and which stay; and attempt logs, page by page.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::attempts::{self, AttemptTable, LogSpan};
use carteiro_adapters::tables::waiting::HeldTable;
use carteiro_adapters::tables::waiting::dead::{DeadItem, DeadRow, DeadRows};
use carteiro_adapters::tables::waiting::held::{Due, Held};
use carteiro_adapters::tables::waiting::keys::{DUE_SHARDS, ReleaseKey, Replay, ReplayKey, SHARDS};
use carteiro_adapters::tables::waiting::reads::Span;
use carteiro_adapters::tables::waiting::release::ReleaseClaim;
use carteiro_adapters::tables::waiting::replay::{CreatedReplay, ReplayClaim, RunningReplay, Take};
use carteiro_core::attempt_log::{Entry, Filter, ItemFate};
use carteiro_core::delivery::Delivery;
use carteiro_core::holding::HeldFor;
use carteiro_core::holding::LeftRelease;
use carteiro_core::id::{AccountId, ItemId, ReplayId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::outcome::FailureKind;
use carteiro_core::replay::{Counts, MAX_ITEMS_AT_ONCE, Phase, Replayed};
use carteiro_core::settlement::DeathCause;
use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::database::{NOW_MS, at, clock, embedded, new_streak, new_webhook};
use crate::proxy::{Fate, Proxy};
use crate::support::{self, later, new_held, unique};

/// When the rows of these tests may be deleted.
const FAR_MS: i64 = NOW_MS + 1_000_000_000;

struct Tables {
    held: HeldTable,
    dead: DeadRows,
    webhook: WebhookId,
    held_name: String,
    dead_name: String,
}

fn tables() -> Tables {
    let (held, dead) = (new_held(), unique("Dead"));
    embedded().make_dead(&dead);
    Tables {
        held: HeldTable::new(embedded().client(), held.clone()),
        dead: DeadRows::new(embedded().client(), dead.clone()),
        webhook: new_webhook(),
        held_name: held,
        dead_name: dead,
    }
}

impl Tables {
    fn delivery(&self, accepted_ms: i64) -> Delivery {
        let item = ItemId::from_bits(random::bits128().unwrap());
        let body = b"{\"n\":1}".to_vec();
        let first = support::delivery(&self.webhook, item);
        Delivery { accepted_at: at(accepted_ms), attempt: 11, revision: 3, body, ..first }
    }

    async fn bury(&self, delivery: &Delivery, died_ms: i64) {
        self.dead.bury(delivery, (DeathCause::Exhausted, None), at(died_ms), at(FAR_MS)).await.unwrap();
    }

    fn asked(&self, item: Option<ItemId>, from: Option<i64>, to: Option<i64>) -> Replay {
        Replay {
            key: ReplayKey {
                webhook: self.webhook.clone(),
                replay: ReplayId::made_at(later(0), random::bits64().unwrap()),
            },
            account: AccountId::from_bits(1),
            item_type: ItemType::MESSAGE,
            item,
            from: from.map(at),
            to: to.map(at),
            created_at: later(0),
            expires_at: at(FAR_MS),
            place: 0,
        }
    }

    async fn created(&self, replay: &Replay) -> RunningReplay {
        assert_eq!(self.held.replays.create(replay).await.unwrap(), CreatedReplay::Done);
        self.claimed(replay, 0).await.unwrap()
    }

    async fn claimed(&self, replay: &Replay, now_ms: i64) -> Option<RunningReplay> {
        let (now, lease) = (later(now_ms), later(now_ms + 100));
        match self.held.replays.claim(&replay.key, now, lease, later(1000)).await.unwrap() {
            ReplayClaim::Claimed(running) => Some(*running),
            ReplayClaim::Taken | ReplayClaim::Over => None,
        }
    }

    /// The next dead items of a replay, and where they end.
    async fn part(&self, running: &RunningReplay, most: usize) -> (Vec<DeadRow>, Option<String>, bool) {
        let mut rows = self.dead.of_replay(&running.replay, running.place.as_deref());
        let limits = (most, 1 << 30);
        let part = self.dead.next_part(&mut rows, &running.replay, limits, later(0)).await.unwrap();
        (part.rows, part.place, part.is_last)
    }

    async fn take(&self, running: &RunningReplay, rows: &[DeadRow], place: &str) -> Take {
        let times = (later(5), later(200), at(FAR_MS));
        self.held.replays.take_dead(running, &self.dead, rows, (place, 0), times).await.unwrap()
    }

    async fn held(&self) -> Vec<Held> {
        let span =
            Span { webhook: &self.webhook, item_type: None, after: None, most: 1000, most_bytes: 1 << 30 };
        self.held.items.list(span).await.unwrap().data
    }

    async fn dead(&self) -> Vec<ItemId> {
        let span =
            Span { webhook: &self.webhook, item_type: None, after: None, most: 1000, most_bytes: 1 << 30 };
        self.dead.list(span).await.unwrap().data.into_iter().map(|one| one.delivery.item).collect()
    }

    async fn due_replays(&self) -> Vec<ReplayKey> {
        let mut found = Vec::new();
        for shard in 0..DUE_SHARDS {
            let (due, _) = self.held.items.due(shard, later(1000), 100, None).await.unwrap();
            found.extend(due.into_iter().filter_map(|due| match due {
                Due::Replay { replay, .. } => Some(replay),
                Due::Item(_) | Due::Release { .. } => None,
            }));
        }
        found
    }
}

#[tokio::test]
async fn taken_items_wait_for_their_release_as_first_attempts() {
    let tables = tables();
    let items: Vec<_> = (0..25).map(|n| tables.delivery(NOW_MS - 90_000_000 + n)).collect();
    for item in &items {
        tables.bury(item, NOW_MS - 10).await;
    }
    let replay = tables.asked(None, None, None);
    let mut running = tables.created(&replay).await;
    assert_eq!(tables.due_replays().await, std::slice::from_ref(&replay.key), "a tick finds it");
    loop {
        let (rows, place, is_last) = tables.part(&running, 10).await;
        if let Some(place) = &place {
            let Take::Taken(ours) = tables.take(&running, &rows, place).await else { panic!("it is ours") };
            running = *ours;
        }
        assert_eq!(tables.held().await.len() + tables.dead().await.len(), 25, "in one of the two");
        if is_last {
            break;
        }
    }
    assert!(tables.held.replays.end(&running, later(9)).await.unwrap());
    let held = tables.held().await;
    let at = later(5);
    let expected: Vec<_> = items
        .into_iter()
        .map(|item| {
            let replayed = Some(Replayed { replay: replay.key.replay.clone(), at });
            let delivery = Delivery { attempt: 1, replayed, ..item };
            Held { delivery, reason: HeldFor::Replay, last_error: None, due_at: None }
        })
        .collect();
    assert_eq!(held, expected, "in the order of acceptance");
    assert_eq!(tables.dead().await, []);
    assert_eq!(tables.due_replays().await, [], "it has taken all");
    let progress = tables.held.replays.find(&replay.key).await.unwrap().unwrap();
    assert_eq!((progress.counts.found, progress.counts.taken, progress.taken_at), (25, 25, Some(later(9))));
    assert_eq!(tables.claimed(&replay, 9999).await, None, "and is nobody's any more");
}

#[tokio::test]
async fn a_span_takes_its_items_and_one_item_alone() {
    let tables = tables();
    let accepted = |n: i64| NOW_MS - 1000 + n;
    let items: Vec<_> = (0..6).map(|n| tables.delivery(accepted(n))).collect();
    let beside = Delivery { accepted_at: at(accepted(2)), ..tables.delivery(0) };
    let event = Delivery { item_type: ItemType::EVENT, ..tables.delivery(accepted(2)) };
    for item in items.iter().chain([&beside, &event]) {
        tables.bury(item, NOW_MS).await;
    }
    let found = async |item, from, to| -> BTreeSet<ItemId> {
        let running = RunningReplay {
            replay: tables.asked(item, from, to),
            place: None,
            counts: Counts::default(),
            worker: String::new(),
        };
        let (rows, _, is_last) = tables.part(&running, 100).await;
        assert!(is_last);
        rows.into_iter().map(|row| row.delivery.item).collect()
    };
    let of = |numbers: &[usize]| numbers.iter().map(|&n| items[n].item.clone()).collect::<BTreeSet<_>>();
    let with_beside = |numbers: &[usize]| &of(numbers) | &BTreeSet::from([beside.item.clone()]);
    assert_eq!(found(None, Some(accepted(1)), Some(accepted(4))).await, with_beside(&[1, 2, 3]));
    assert_eq!(found(None, Some(accepted(3)), None).await, of(&[3, 4, 5]));
    assert_eq!(found(None, None, Some(accepted(1))).await, of(&[0]));
    let one = Some(items[2].item.clone());
    assert_eq!(found(one, Some(accepted(2)), Some(accepted(3))).await, of(&[2]));
    assert_eq!(found(None, Some(accepted(6)), None).await, of(&[]));
    let distant = Some("2400-01-01T00:00:00Z".parse::<Timestamp>().unwrap().as_millisecond());
    assert_eq!(
        found(None, Some(accepted(4)), distant).await,
        of(&[4, 5]),
        "times of more digits than places have"
    );
    assert_eq!(found(None, distant, None).await, of(&[]));
    let found = tables.dead.find_item(&tables.webhook, &event.item).await.unwrap();
    let (first_accepted, last_accepted) = (at(accepted(2)), at(accepted(2)));
    assert_eq!(found, Some(DeadItem { item_type: ItemType::EVENT, first_accepted, last_accepted }));
    assert_eq!(tables.dead.find_item(&new_webhook(), &event.item).await.unwrap(), None, "another's");
    assert_eq!(tables.dead.find_item(&tables.webhook, &ItemId::from_bits(9)).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_type_one_replay_runs_and_of_many_workers_one_has_it() {
    let tables = tables();
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        let (held, replay) = (tables.held.clone(), tables.asked(None, None, None));
        asking.spawn(async move { (held.replays.create(&replay).await.unwrap(), replay) });
    }
    let answers = asking.join_all().await;
    let made: Vec<_> = answers.iter().filter(|(created, _)| *created == CreatedReplay::Done).collect();
    let [(_, replay)] = made[..] else { panic!("{made:?}") };
    for (created, _) in answers.iter().filter(|(created, _)| *created != CreatedReplay::Done) {
        assert_eq!(*created, CreatedReplay::Running(replay.key.replay.clone()));
    }
    // One of an item, and one of another type, are beside it.
    let item = tables.asked(Some(ItemId::from_bits(1)), None, None);
    let event = Replay { item_type: ItemType::EVENT, ..tables.asked(None, None, None) };
    for beside in [item, event] {
        assert_eq!(tables.held.replays.create(&beside).await.unwrap(), CreatedReplay::Done);
        let running = tables.claimed(&beside, 0).await.unwrap();
        assert!(tables.held.replays.end(&running, later(1)).await.unwrap());
    }
    let first = tables.claimed(replay, 0).await.unwrap();
    assert_eq!(tables.claimed(replay, 99).await, None, "the lease runs");
    let second = tables.claimed(replay, 100).await.unwrap();
    let other = tables.asked(None, None, None);
    assert!(
        !tables.held.replays.end(&first, later(101)).await.unwrap(),
        "it is not the first worker's any more"
    );
    assert_ne!(tables.held.replays.create(&other).await.unwrap(), CreatedReplay::Done);
    assert!(tables.held.replays.end(&second, later(101)).await.unwrap());
    assert_eq!(tables.held.replays.create(&other).await.unwrap(), CreatedReplay::Done);
}

#[tokio::test]
async fn a_worker_that_was_replaced_changes_nothing_more() {
    let tables = tables();
    for n in 0..4 {
        tables.bury(&tables.delivery(NOW_MS - 100 + n), NOW_MS).await;
    }
    let replay = tables.asked(None, None, None);
    let first = tables.created(&replay).await;
    let (rows, place, _) = tables.part(&first, 2).await;
    let Take::Taken(first) = tables.take(&first, &rows, &place.unwrap()).await else { panic!() };
    let (stale_rows, stale_place, _) = tables.part(&first, 2).await;
    let second = tables.claimed(&replay, 200).await.unwrap();
    assert_eq!((&second.place, second.counts), (&first.place, first.counts));
    let late = tables.take(&first, &stale_rows, &stale_place.unwrap()).await;
    assert_eq!(late, Take::NotOurs);
    assert_eq!((tables.held().await.len(), tables.dead().await.len()), (2, 2));
    let (rows, place, _) = tables.part(&second, 9).await;
    assert!(matches!(tables.take(&second, &rows, &place.unwrap()).await, Take::Taken(_)));
    assert_eq!((tables.held().await.len(), tables.dead().await.len()), (4, 0));
}

#[tokio::test]
async fn items_that_changed_meanwhile_are_refused_alone() {
    let tables = tables();
    let items: Vec<_> = (0..3).map(|n| tables.delivery(NOW_MS - 100 + n)).collect();
    for item in &items {
        tables.bury(item, NOW_MS).await;
    }
    let replay = tables.asked(None, None, None);
    let running = tables.created(&replay).await;
    let (rows, place, _) = tables.part(&running, 9).await;
    // The first died once more since it was read, in another replay; the second waits for a retry.
    let again = Replayed { replay: ReplayId::made_at(later(1), 1), at: later(1) };
    tables.bury(&Delivery { replayed: Some(again.clone()), ..items[0].clone() }, NOW_MS).await;
    tables
        .held
        .items
        .hold(&items[1], (HeldFor::Retry, None), (later(500), later(0)), at(FAR_MS))
        .await
        .unwrap();
    let place = place.unwrap();
    assert_eq!(tables.take(&running, &rows, &place).await, Take::Refused(vec![0, 1]));
    assert_eq!(tables.held().await.len(), 1, "all or nothing");
    assert!(matches!(tables.take(&running, &rows[2..], &place).await, Take::Taken(_)));
    assert_eq!(tables.dead().await, [items[0].item.clone(), items[1].item.clone()]);
    // A dead item of another replay can be taken; one of this replay is skipped.
    let (rows, ..) = tables.part(&running, 9).await;
    assert_eq!(rows[0].delivery.replayed, Some(again));
    let own = Replayed { replay: replay.key.replay.clone(), at: later(1) };
    tables.bury(&Delivery { replayed: Some(own), ..items[0].clone() }, NOW_MS + 5).await;
    let (rows, ..) = tables.part(&running, 9).await;
    assert_eq!(rows.iter().map(|row| &row.delivery.item).collect::<Vec<_>>(), [&items[1].item]);
}

#[tokio::test]
async fn counts_add_up_and_replays_are_listed_newest_first() {
    let tables = tables();
    let mut asked = Vec::new();
    for n in 0..5 {
        let mut replay = tables.asked(Some(ItemId::from_bits(1)), None, None);
        replay.key.replay = ReplayId::made_at(later(n), 7);
        assert_eq!(tables.held.replays.create(&replay).await.unwrap(), CreatedReplay::Done);
        asked.push(replay);
    }
    for (n, replay) in asked.iter().enumerate().skip(2) {
        for _ in 0..n {
            let counts = Counts { delivered: 2, dead: 1, ..Counts::default() };
            tables.held.replays.count(&replay.key, counts, later(50), at(FAR_MS)).await.unwrap();
        }
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = tables.held.replays.list(&tables.webhook, 2, after.as_deref()).await.unwrap();
        listed.extend(page.data);
        after = page.last;
        if after.is_none() {
            break;
        }
    }
    let counted: Vec<_> = listed.iter().map(|one| (one.counts.delivered, one.counts.dead)).collect();
    assert_eq!(counted, [(8, 4), (6, 3), (4, 2), (0, 0), (0, 0)]);
    let keys: Vec<_> = listed.iter().map(|one| Replay { place: 0, ..one.replay.clone() }).collect();
    asked.reverse();
    assert_eq!(keys, asked);
    assert_eq!(listed[0].counts.phase(listed[0].taken_at.is_some()), Phase::Running);
    assert_eq!(tables.held.replays.find(&asked[0].key).await.unwrap().as_ref(), Some(&listed[0]));
    let unknown = ReplayKey { replay: ReplayId::from_bits(9), ..asked[0].key.clone() };
    assert_eq!(tables.held.replays.find(&unknown).await.unwrap(), None);
}

#[tokio::test]
async fn what_waited_too_long_is_found_behind_what_was_replayed() {
    let tables = tables();
    let old = NOW_MS - 1000;
    let over_since = at(NOW_MS - 500);
    let replayed = |at_ms: i64| Some(Replayed { replay: ReplayId::from_bits(1), at: at(at_ms) });
    let kept = Delivery { replayed: replayed(NOW_MS), ..tables.delivery(old) };
    let behind = tables.delivery(old + 1);
    let replayed_long_ago = Delivery { replayed: replayed(NOW_MS - 500), ..tables.delivery(old + 2) };
    let young = tables.delivery(NOW_MS - 499);
    for item in [&kept, &behind, &replayed_long_ago, &young] {
        tables
            .held
            .items
            .hold_for_release(item, (HeldFor::Blocked, None), later(0), at(FAR_MS))
            .await
            .unwrap();
    }
    let retried = tables.delivery(old + 3);
    tables.held.items.hold(&retried, (HeldFor::Retry, None), (later(9), later(0)), at(FAR_MS)).await.unwrap();
    let key = ReleaseKey { webhook: tables.webhook.clone(), item_type: ItemType::MESSAGE };
    let mut found = BTreeSet::new();
    for shard in 0..SHARDS {
        let (rows, mark) = tables.held.items.kept_too_long(&key, shard, over_since, None).await.unwrap();
        assert!(mark.is_none());
        found.extend(rows.into_iter().map(|(_, delivery)| delivery.item));
    }
    assert_eq!(found, BTreeSet::from([behind.item, replayed_long_ago.item]));
}

/// The tables as seen through a proxy that deals with the first calls of an operation as said, and lets the others
/// through.
async fn through_proxy(tables: &Tables, operation: &'static str, fates: &'static [Fate]) -> (Proxy, Tables) {
    let seen = AtomicUsize::new(0);
    let proxy = Proxy::start(&new_streak(), clock(NOW_MS, Duration::from_secs(30)), move |called, _| {
        match called == operation {
            true => fates.get(seen.fetch_add(1, Ordering::SeqCst)).copied().unwrap_or(Fate::Proceed),
            false => Fate::Proceed,
        }
    })
    .await;
    let through = Tables {
        held: HeldTable::new(proxy.client(), tables.held_name.clone()),
        dead: DeadRows::new(proxy.client(), tables.dead_name.clone()),
        webhook: tables.webhook.clone(),
        held_name: tables.held_name.clone(),
        dead_name: tables.dead_name.clone(),
    };
    (proxy, through)
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_ours_when_it_is_repeated() {
    let tables = tables();
    let replay = tables.asked(None, None, None);
    let (_proxy, through) = through_proxy(&tables, "UpdateItem", &[Fate::DropAfter, Fate::FailAfter]).await;
    let running = through.created(&replay).await;
    assert_eq!(tables.claimed(&replay, 50).await, None, "the lease runs");
    assert!(tables.held.replays.end(&running, later(60)).await.unwrap());
}

#[tokio::test]
async fn a_throttled_transaction_changes_nothing_and_says_so() {
    let tables = tables();
    tables.bury(&tables.delivery(NOW_MS - 1), NOW_MS).await;
    let replay = tables.asked(None, None, None);
    let running = tables.created(&replay).await;
    let (_proxy, through) = through_proxy(&tables, "TransactWriteItems", &[Fate::Cancel; 2]).await;
    let (rows, place, _) = tables.part(&running, 9).await;
    let place = place.unwrap();
    assert_eq!(through.take(&running, &rows, &place).await, Take::Throttled);
    assert_eq!((tables.held().await.len(), tables.dead().await.len()), (0, 1));
    assert_eq!(through.take(&running, &rows, &place).await, Take::Throttled);
    let Take::Taken(running) = through.take(&running, &rows, &place).await else { panic!("it is ours") };
    assert_eq!((tables.held().await.len(), tables.dead().await.len()), (1, 0));
    // Creating and ending a replay repeat by themselves for a short time.
    let (_proxy, through) = through_proxy(&tables, "TransactWriteItems", &[Fate::Cancel; 2]).await;
    assert!(through.held.replays.end(&running, later(9)).await.unwrap());
    let (_proxy, through) = through_proxy(&tables, "TransactWriteItems", &[Fate::Cancel; 9]).await;
    let other = tables.asked(None, None, None);
    assert!(through.held.replays.create(&other).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_worker_that_lost_an_answer_can_return_its_replay() {
    let tables = tables();
    tables.bury(&tables.delivery(NOW_MS - 1), NOW_MS).await;
    let replay = tables.asked(None, None, None);
    let running = tables.created(&replay).await;
    let (rows, place, _) = tables.part(&running, 9).await;
    let taken = tables.take(&running, &rows, &place.unwrap()).await;
    assert!(matches!(taken, Take::Taken(_)), "it is made, and the worker does not hear of it");
    tables.held.replays.return_to_index(&running, later(6)).await.unwrap();
    let second = tables.claimed(&replay, 7).await.expect("nobody has it");
    assert_eq!(second.counts.taken, 1);
    tables.held.replays.return_to_index(&running, later(8)).await.unwrap();
    assert_eq!(
        tables.claimed(&replay, 9).await,
        None,
        "the first worker does not give back what is another's"
    );
}

#[tokio::test]
async fn an_unreadable_row_stays_and_blocks_no_other() {
    let tables = tables();
    let items: Vec<_> = (0..3).map(|n| tables.delivery(NOW_MS - 100 + n)).collect();
    for item in &items {
        tables.bury(item, NOW_MS).await;
    }
    let broken = embedded()
        .all_rows(&tables.dead_name)
        .into_iter()
        .find(|row| row["item"]["S"] == items[1].item.as_str())
        .unwrap();
    let client = embedded().client();
    let own = |name: &str| AttributeValue::S(broken[name]["S"].as_str().unwrap().to_owned());
    let call = client.update_item().table_name(&tables.dead_name).key("pk", own("pk")).key("sk", own("sk"));
    call.update_expression("REMOVE cause").send().await.unwrap();
    let running = tables.created(&tables.asked(None, None, None)).await;
    let mut rows = tables.dead.of_replay(&running.replay, None);
    let part = tables.dead.next_part(&mut rows, &running.replay, (9, 1 << 30), later(0)).await.unwrap();
    let found: Vec<_> = part.rows.iter().map(|row| &row.delivery.item).collect();
    assert_eq!(found, [&items[0].item, &items[2].item]);
    let unreadable: Vec<_> = part.unreadable.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(unreadable, [broken["sk"]["S"].as_str().unwrap()]);
    assert!(part.is_last && part.place.as_deref() == Some(part.rows[1].place()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replays_of_single_items_are_limited_and_make_room() {
    let tables = tables();
    let mut created = Vec::new();
    for n in 0..MAX_ITEMS_AT_ONCE {
        let replay = tables.asked(Some(ItemId::from_bits(n as u128)), None, None);
        assert_eq!(tables.held.replays.create(&replay).await.unwrap(), CreatedReplay::Done, "{n}");
        created.push(replay);
    }
    let one_more = tables.asked(Some(ItemId::from_bits(99)), None, None);
    assert_eq!(tables.held.replays.create(&one_more).await.unwrap(), CreatedReplay::TooMany);
    let of_type = tables.asked(None, None, None);
    assert_eq!(tables.held.replays.create(&of_type).await.unwrap(), CreatedReplay::Done, "beside them");
    let running = tables.claimed(&created[7], 0).await.unwrap();
    assert!(tables.held.replays.end(&running, later(1)).await.unwrap());
    assert_eq!(tables.held.replays.create(&one_more).await.unwrap(), CreatedReplay::Done);
    let last = tables.asked(Some(ItemId::from_bits(98)), None, None);
    assert_eq!(tables.held.replays.create(&last).await.unwrap(), CreatedReplay::TooMany);
    let running = tables.claimed(&one_more, 2).await.unwrap();
    tables.held.replays.forget(&running.replay).await.unwrap();
    assert_eq!(tables.held.replays.create(&last).await.unwrap(), CreatedReplay::Done);
}

#[tokio::test]
async fn a_release_says_who_planned_it() {
    let tables = tables();
    let key = ReleaseKey { webhook: tables.webhook.clone(), item_type: ItemType::MESSAGE };
    let account = AccountId::from_bits(1);
    let plan = async |due: i64| tables.held.releases.plan(&key, &account, later(due)).await.unwrap();
    assert!(plan(50).await, "it is new");
    assert!(!plan(50).await && !plan(60).await, "it is planned");
    assert!(plan(40).await, "it is brought forward");
    assert!(!plan(40).await);
}

#[tokio::test]
async fn an_item_that_was_accepted_and_died_twice_is_taken_twice() {
    let tables = tables();
    let first = tables.delivery(NOW_MS - 9000);
    let again = Delivery { accepted_at: at(NOW_MS - 10), ..first.clone() };
    for item in [&again, &first, &tables.delivery(NOW_MS - 500)] {
        tables.bury(item, NOW_MS).await;
    }
    let found = tables.dead.find_item(&tables.webhook, &first.item).await.unwrap().unwrap();
    assert_eq!((found.first_accepted, found.last_accepted), (first.accepted_at, again.accepted_at));
    let replay = tables.asked(Some(first.item.clone()), Some(NOW_MS - 9000), Some(NOW_MS - 9));
    let running = tables.created(&replay).await;
    let (rows, place, is_last) = tables.part(&running, 9).await;
    assert!(is_last);
    let deliveries: Vec<_> = rows.iter().map(|row| row.delivery.clone()).collect();
    assert_eq!(deliveries, [first, again]);
    assert!(matches!(tables.take(&running, &rows, &place.unwrap()).await, Take::Taken(_)));
    assert_eq!((tables.held().await.len(), tables.dead().await.len()), (2, 1));
}

#[tokio::test]
async fn a_release_remembers_its_retention_sweep() {
    let tables = tables();
    let key = ReleaseKey { webhook: tables.webhook.clone(), item_type: ItemType::MESSAGE };
    tables.held.releases.ensure(&key, &AccountId::from_bits(1), later(0)).await.unwrap();
    let claim = async |now: i64| match tables
        .held
        .releases
        .claim(&key, later(now), later(now + 100), later(900))
        .await
    {
        Ok(ReleaseClaim::Claimed(release)) => release,
        other => panic!("{other:?}"),
    };
    let first = claim(1).await;
    assert_eq!(first.state.looked_behind_at, None);
    let looked =
        tables.held.releases.record_retention_sweep(&first, (later(2), later(150))).await.unwrap().unwrap();
    assert_eq!((looked.state.looked_behind_at, looked.lease), (Some(later(2)), later(150)));
    let postponed = tables.held.releases.postpone(&looked, later(200), false).await.unwrap();
    assert_eq!(postponed, LeftRelease::Done);
    assert_eq!(claim(300).await.state.looked_behind_at, Some(later(2)), "whoever has it next");
    assert_eq!(
        tables.held.releases.record_retention_sweep(&looked, (later(301), later(500))).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn a_deleted_webhooks_replays_and_log_are_dropped_and_no_others() {
    let tables = tables();
    let name = format!("Attempts{:032x}", random::bits128().unwrap());
    embedded().make_config(&name);
    let log = AttemptTable::new(embedded().client(), name.clone());
    let (gone, other) = (tables.webhook.clone(), new_webhook());
    for n in 0..30 {
        log.log(&gone, vec![entry(n, false)], later(n), at(FAR_MS)).await.unwrap();
    }
    log.log(&other, vec![entry(1, false)], later(1), at(FAR_MS)).await.unwrap();
    for shard in 0..attempts::SHARDS {
        while log.drop_rows(&gone, shard, 5).await.unwrap() > 0 {}
    }
    assert_eq!(embedded().rows(&name), 1);
    tables
        .held
        .items
        .hold(&tables.delivery(NOW_MS), (HeldFor::Retry, None), (later(9), later(0)), at(FAR_MS))
        .await
        .unwrap();
    let replay = tables.asked(None, None, None);
    let running = tables.created(&replay).await;
    let counts = Counts { delivered: 1, ..Counts::default() };
    tables.held.replays.count(&replay.key, counts, later(1), at(FAR_MS)).await.unwrap();
    assert_eq!(tables.held.replays.drop_all(&gone, 2).await.unwrap(), 2);
    assert_eq!(tables.held.replays.drop_all(&gone, 2).await.unwrap(), 1);
    assert_eq!(embedded().rows(&tables.held_name), 1, "what it held is not a replay's row");
    assert_eq!(tables.take(&running, &[], "message#9").await, Take::NotOurs, "its worker takes no more");
}

fn entry(n: i64, success: bool) -> Entry {
    Entry {
        item: ItemId::from_bits(u128::try_from(n).unwrap()),
        item_type: if n % 2 == 0 { ItemType::MESSAGE } else { ItemType::EVENT },
        attempt: 1,
        at: later(n),
        revision: 1,
        error: (!success).then_some(FailureKind::Timeout),
        cause: None,
        response_headers: std::collections::BTreeMap::new(),
        status: None,
        latency_ms: 5,
        response_body: None,
        release_step: None,
        replay: None,
        became: ItemFate::Retry,
        next_at: None,
    }
}

async fn logged(log: &AttemptTable, webhook: &WebhookId, filter: Filter, most: u16) -> (Vec<i64>, usize) {
    let (mut ids, mut pages, mut after) = (Vec::new(), 0, None::<String>);
    loop {
        let span = LogSpan { webhook, filter: &filter, after: after.as_deref(), most };
        let page = log.list(span, later(100_000)).await.unwrap();
        assert!(page.data.len() <= usize::from(most));
        ids.extend(page.data.iter().map(|one| one.at.as_millisecond() - NOW_MS));
        pages += 1;
        after = page.last;
        if after.is_none() {
            return (ids, pages);
        }
        assert!(pages < 100, "the pages do not end");
    }
}

#[tokio::test]
async fn a_log_is_listed_the_newest_first_page_by_page_and_filtered() {
    let name = format!("Attempts{:032x}", random::bits128().unwrap());
    embedded().make_config(&name);
    let log = AttemptTable::new(embedded().client(), name);
    let webhook = new_webhook();
    // Nine rows of up to ten, and one that is forgotten.
    for row in 0..9 {
        let entries = (row * 10..row * 10 + 10).map(|n| entry(n, n % 5 == 0)).collect();
        log.log(&webhook, entries, later(row * 10 + 10), at(FAR_MS)).await.unwrap();
    }
    log.log(&webhook, vec![entry(95, false)], later(96), later(90_000)).await.unwrap();
    log.log(&new_webhook(), vec![entry(1, false)], later(10), at(FAR_MS)).await.unwrap();
    let all: Vec<i64> = (0..90).rev().collect();
    for most in [1, 7, 10, 90, 200] {
        let (listed, _) = logged(&log, &webhook, Filter::default(), most).await;
        assert_eq!(listed, all, "{most} a page");
    }
    let failed = Filter { success: Some(false), item_type: Some(ItemType::EVENT), ..Filter::default() };
    let expected: Vec<i64> = all.iter().copied().filter(|n| n % 5 != 0 && n % 2 == 1).collect();
    assert_eq!(logged(&log, &webhook, failed, 4).await.0, expected);
    let span = Filter { from: Some(later(35)), to: Some(later(52)), ..Filter::default() };
    assert_eq!(logged(&log, &webhook, span, 200).await.0, (35..52).rev().collect::<Vec<_>>());
    let distant = Some("2400-01-01T00:00:00Z".parse().unwrap());
    let span = Filter { from: Some(later(85)), to: distant, ..Filter::default() };
    assert_eq!(logged(&log, &webhook, span, 200).await.0, (85..90).rev().collect::<Vec<_>>());
    let one = Filter { item: Some(ItemId::from_bits(42)), ..Filter::default() };
    assert_eq!(logged(&log, &webhook, one, 200).await.0, [42]);
    let nothing = Filter { from: Some(later(60)), to: Some(later(60)), ..Filter::default() };
    assert!(logged(&log, &webhook, nothing, 200).await.0.is_empty());
}

#[tokio::test]
async fn a_page_of_a_log_reads_a_bounded_number_of_rows() {
    let name = format!("Attempts{:032x}", random::bits128().unwrap());
    embedded().make_config(&name);
    let log = AttemptTable::new(embedded().client(), name);
    let webhook = new_webhook();
    for n in 0..450 {
        log.log(&webhook, vec![entry(n, n != 3)], later(n), at(FAR_MS)).await.unwrap();
    }
    let failed = Filter { success: Some(false), ..Filter::default() };
    let span = LogSpan { webhook: &webhook, filter: &failed, after: None, most: 50 };
    let first = log.list(span, later(100_000)).await.unwrap();
    assert!(first.data.is_empty() && first.last.is_some(), "{first:?}");
    assert_eq!(logged(&log, &webhook, failed, 50).await, (vec![3], 2));
}
