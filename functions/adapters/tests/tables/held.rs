//! Held items and their release: claims, counts, and which rows stay.

use std::collections::{BTreeSet, HashSet};

use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::waiting::HeldTable;
use carteiro_adapters::tables::waiting::held::{Claim, Due, HeldClaim};
use carteiro_adapters::tables::waiting::keys::{HeldKey, ReleaseKey, SHARDS};
use carteiro_adapters::tables::waiting::reads::Span;
use carteiro_adapters::tables::waiting::release::{Release, ReleaseClaim};
use carteiro_core::delivery::Delivery;
use carteiro_core::holding::HeldFor;
use carteiro_core::holding::{LeftRelease, NewStep, Progress};
use carteiro_core::id::{AccountId, ItemId, WebhookId};
use carteiro_core::item::ItemType;
use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::database::{NOW_MS, at, embedded, new_webhook};
use crate::support::{self, later, new_held, now};

/// The bytes that a step may have in these tests, where they do not matter.
const MANY_BYTES: usize = 1 << 30;

/// When a worker's time is over.
const WORKER_MS: i64 = 840_000;

/// A table of its own, with a webhook.
fn table() -> (HeldTable, WebhookId) {
    (HeldTable::new(embedded().client(), new_held()), new_webhook())
}

/// An item whose id begins with random digits and ends in `last`, which decides its shards.
fn delivery(webhook: &WebhookId, last: u8, accepted_ms: i64) -> Delivery {
    let item = ItemId::from_bits((random::bits128().unwrap() << 8) | u128::from(last));
    Delivery { accepted_at: at(accepted_ms), ..support::delivery(webhook, item) }
}

fn release_of(webhook: &WebhookId) -> ReleaseKey {
    ReleaseKey { webhook: webhook.clone(), item_type: ItemType::MESSAGE }
}

async fn await_release(held: &HeldTable, webhook: &WebhookId, due_at: Timestamp) {
    held.releases.ensure(&release_of(webhook), &AccountId::from_bits(1), due_at).await.unwrap();
}

async fn claim_release(held: &HeldTable, webhook: &WebhookId, now_ms: i64, lease_ms: i64) -> Option<Release> {
    let (now, lease) = (later(now_ms), later(lease_ms));
    match held.releases.claim(&release_of(webhook), now, lease, later(WORKER_MS)).await.unwrap() {
        ReleaseClaim::Claimed(release) => Some(release),
        ReleaseClaim::Taken(_) | ReleaseClaim::Over => None,
    }
}

/// When the release is due, by the index.
async fn release_due(held: &HeldTable) -> Option<Timestamp> {
    all_due(held, later(1_000_000_000)).await.into_iter().find_map(|due| match due {
        Due::Release { due_at, .. } => Some(due_at),
        Due::Item(_) | Due::Replay { .. } => None,
    })
}

async fn all_due(held: &HeldTable, until: Timestamp) -> Vec<Due> {
    let mut found = Vec::new();
    for shard in 0..carteiro_adapters::tables::waiting::keys::DUE_SHARDS {
        let (due, mark) = held.items.due(shard, until, 100, None).await.unwrap();
        assert!(mark.is_none());
        found.extend(due);
    }
    found
}

/// The keys of all held rows of a webhook.
async fn keys(held: &HeldTable, webhook: &WebhookId) -> Vec<HeldKey> {
    let mut keys = Vec::new();
    for shard in 0..SHARDS {
        keys.extend(held.items.keys_of(webhook, shard, 1000).await.unwrap());
    }
    keys
}

async fn only_key(held: &HeldTable, webhook: &WebhookId) -> HeldKey {
    let mut keys = keys(held, webhook).await;
    assert_eq!(keys.len(), 1);
    keys.remove(0)
}

async fn hold(held: &HeldTable, delivery: &Delivery, due_ms: i64) {
    hold_seen(held, delivery, due_ms, 0).await;
}

/// Holds for a retry, by a state that was read at `seen_ms`.
async fn hold_seen(held: &HeldTable, delivery: &Delivery, due_ms: i64, seen_ms: i64) {
    let times = (later(due_ms), later(seen_ms));
    held.items.hold(delivery, (HeldFor::Retry, None), times, later(1_000_000_000)).await.unwrap();
}

async fn hold_for_release(held: &HeldTable, delivery: &Delivery) {
    held.items
        .hold_for_release(delivery, (HeldFor::Blocked, None), now(), later(1_000_000_000))
        .await
        .unwrap();
}

async fn oldest(held: &HeldTable, webhook: &WebhookId, most: u32, bytes: usize) -> Vec<(HeldKey, Delivery)> {
    let mut waiting = held.of_release(&release_of(webhook), None, now());
    waiting.take_part((most, bytes), now()).await.unwrap()
}

/// The items that an owner's act until `until_ms` releases, retries included.
async fn released(held: &HeldTable, webhook: &WebhookId, until_ms: i64, now_ms: i64) -> Vec<Delivery> {
    let mut waiting = held.of_release(&release_of(webhook), Some(later(until_ms)), later(now_ms));
    let taken = waiting.take_part((1000, MANY_BYTES), later(now_ms)).await.unwrap();
    taken.into_iter().map(|(_, delivery)| delivery).collect()
}

/// The claim of a row that is claimed.
fn claim_of(claimed: HeldClaim) -> Claim {
    match claimed {
        HeldClaim::Claimed { claim, .. } => claim,
        HeldClaim::NotOurs => panic!("it is not claimed"),
    }
}

async fn release_all(held: &HeldTable, webhook: &WebhookId, ms: i64) {
    held.releases.release_all(&release_of(webhook), &AccountId::from_bits(1), later(ms)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_movers_one_claims_a_row() {
    let (held, webhook) = table();
    for last in 0..10 {
        hold(&held, &delivery(&webhook, last, NOW_MS), 0).await;
    }
    for key in keys(&held, &webhook).await {
        let mut movers = JoinSet::new();
        for mover in 0..16 {
            let (held, key) = (held.clone(), key.clone());
            movers.spawn(
                async move { held.items.claim(&key, now(), now(), later(1000 + mover)).await.unwrap() },
            );
        }
        let claims = movers.join_all().await;
        assert_eq!(claims.iter().filter(|claim| **claim != HeldClaim::NotOurs).count(), 1);
    }
}

#[tokio::test]
async fn a_claim_ends_with_its_lease_and_only_the_last_one_deletes() {
    let (held, webhook) = table();
    let item = delivery(&webhook, 1, NOW_MS);
    hold(&held, &item, 5).await;
    let key = only_key(&held, &webhook).await;
    let first = held.items.claim(&key, later(5), now(), later(100)).await.unwrap();
    let HeldClaim::Claimed { delivery, due_at, .. } = &first else { panic!("{first:?}") };
    assert_eq!((&**delivery, *due_at), (&item, later(5)));
    assert_eq!(held.items.claim(&key, later(5), later(99), later(200)).await.unwrap(), HeldClaim::NotOurs);
    // Both end at the same time, as the claims of movers may.
    let second = held.items.claim(&key, later(5), later(100), later(100)).await.unwrap();
    held.items.finish(&key, &claim_of(first)).await.unwrap();
    assert_eq!(keys(&held, &webhook).await.len(), 1, "the first mover deleted what the second one has");
    held.items.finish(&key, &claim_of(second)).await.unwrap();
    assert_eq!(keys(&held, &webhook).await, []);
    assert_eq!(held.items.claim(&key, later(5), later(300), later(400)).await.unwrap(), HeldClaim::NotOurs);
}

#[tokio::test]
async fn only_due_rows_are_claimed() {
    let (held, webhook) = table();
    let item = delivery(&webhook, 1, NOW_MS);
    hold(&held, &item, 10).await;
    let key = only_key(&held, &webhook).await;
    assert_eq!(held.items.claim(&key, later(9), now(), later(100)).await.unwrap(), HeldClaim::NotOurs);
    held.items.drop_row(&key).await.unwrap();
    hold_for_release(&held, &item).await;
    assert_eq!(held.items.claim(&key, later(99), now(), later(100)).await.unwrap(), HeldClaim::NotOurs);
    assert_eq!(all_due(&held, later(1000)).await, []);
}

#[tokio::test]
async fn holding_again_keeps_the_place_and_outlives_the_old_claim() {
    let (held, webhook) = table();
    for for_release in [false, true] {
        let mut item = delivery(&webhook, 3, NOW_MS);
        hold(&held, &item, 0).await;
        let key = only_key(&held, &webhook).await;
        let claim = claim_of(held.items.claim(&key, now(), now(), later(100)).await.unwrap());
        // It was sent, failed, and is held again before its mover deletes the row.
        item.attempt += 1;
        if for_release {
            hold_for_release(&held, &item).await;
        } else {
            hold(&held, &item, 50).await;
        }
        held.items.finish(&key, &claim).await.unwrap();
        assert_eq!(only_key(&held, &webhook).await, key, "for release: {for_release}");
        held.items.drop_row(&key).await.unwrap();
    }
}

/// The queue may hand a message out twice: one copy's attempt fails, and the item is held for its retry; the other one
/// finds a block. Were the row to wait for a release now, and the second copy's function to die before it has seen to
/// one, nothing would ever move the item: the first copy deleted the message.
#[tokio::test]
async fn a_retry_keeps_its_time_though_a_copy_is_held_for_release() {
    let (held, webhook) = table();
    let copy = delivery(&webhook, 3, NOW_MS);
    let retried = Delivery { attempt: copy.attempt + 1, ..copy.clone() };
    hold(&held, &retried, 5).await;
    let key = only_key(&held, &webhook).await;
    hold_for_release(&held, &copy).await;
    assert_eq!(all_due(&held, later(5)).await.len(), 1, "no tick finds it");
    let claimed = held.items.claim(&key, later(5), now(), later(100)).await.unwrap();
    let HeldClaim::Claimed { delivery, due_at, claim } = claimed else { panic!("{claimed:?}") };
    assert_eq!((*delivery, due_at), (retried.clone(), later(5)));
    // Its mover has sent it, and that message finds the block before the row is deleted.
    hold_for_release(&held, &retried).await;
    held.items.finish(&key, &claim).await.unwrap();
    assert_eq!(all_due(&held, later(5)).await.len(), 1, "its mover deleted what was held again");
    let claim = claim_of(held.items.claim(&key, later(5), now(), later(200)).await.unwrap());
    held.items.finish(&key, &claim).await.unwrap();
    assert_eq!(keys(&held, &webhook).await, []);
}

#[tokio::test]
async fn what_was_held_again_is_not_deleted_as_released() {
    let (held, webhook) = table();
    let item = delivery(&webhook, 3, NOW_MS);
    hold_for_release(&held, &item).await;
    let (first, _) = oldest(&held, &webhook, 10, MANY_BYTES).await.remove(0);
    hold_for_release(&held, &item).await;
    held.items.delete_released(&first).await.unwrap();
    let (second, _) = oldest(&held, &webhook, 10, MANY_BYTES).await.remove(0);
    hold(&held, &item, 5).await;
    held.items.delete_released(&second).await.unwrap();
    assert_eq!(keys(&held, &webhook).await.len(), 1, "a retry was deleted as released");
    held.items.drop_row(&second).await.unwrap();
    hold_for_release(&held, &item).await;
    let (third, _) = oldest(&held, &webhook, 10, MANY_BYTES).await.remove(0);
    held.items.delete_released(&third).await.unwrap();
    assert_eq!(keys(&held, &webhook).await, []);
}

#[tokio::test]
async fn the_oldest_of_all_shards_are_taken_in_order_of_acceptance() {
    let (held, webhook) = table();
    let mut items: Vec<_> = (0..60_u8)
        .map(|n| delivery(&webhook, n.wrapping_mul(37), NOW_MS + i64::from(n.wrapping_mul(101)) / 3))
        .collect();
    for item in &items {
        hold_for_release(&held, item).await;
    }
    // Retries with their own times and another type have no part in it.
    hold(&held, &delivery(&webhook, 5, NOW_MS - 1000), 5).await;
    let mut other = delivery(&webhook, 6, NOW_MS - 1000);
    other.item_type = ItemType::EVENT;
    hold_for_release(&held, &other).await;
    items.sort_by(|a, b| (a.accepted_at, &a.item).cmp(&(b.accepted_at, &b.item)));
    for most in [1, 10, 25, 60, 100] {
        let found: Vec<_> = oldest(&held, &webhook, most, MANY_BYTES).await;
        let found: Vec<_> = found.into_iter().map(|(_, delivery)| delivery).collect();
        let wanted = usize::try_from(most).unwrap().min(60);
        assert_eq!(found, items[..wanted], "{most}");
    }
    let counted = held.items.count(&webhook, "message", 1000, at(NOW_MS)).await.unwrap();
    assert_eq!((counted.rows, counted.timed), (61, 1));
    assert!(counted.first_due.is_some(), "the retry has a time of its own");
}

#[tokio::test]
async fn an_item_past_its_storage_limit_is_not_counted() {
    let (held, webhook) = table();
    let limited = |n: u8| {
        let keep_until = Some(at(NOW_MS + 1000));
        Delivery { keep_until, ..delivery(&webhook, n, NOW_MS) }
    };
    hold_for_release(&held, &limited(1)).await;
    hold_for_release(&held, &delivery(&webhook, 2, NOW_MS)).await;
    held.items
        .hold(&limited(3), (HeldFor::Retry, None), (at(NOW_MS + 9000), now()), at(NOW_MS + 9000))
        .await
        .unwrap();
    for (now, count) in [(999, 3), (1000, 1)] {
        let counted = held.items.count(&webhook, "message", 10, at(NOW_MS + now)).await.unwrap();
        assert_eq!(counted.rows, count);
    }
    let span = Span { webhook: &webhook, item_type: None, after: None, most: 10, most_bytes: MANY_BYTES };
    let rows = held.items.list(span).await.unwrap().data;
    let due: Vec<_> = rows.into_iter().filter_map(|row| row.due_at).collect();
    assert_eq!(due, [at(NOW_MS + 1000)]);
}

#[tokio::test]
async fn a_step_is_bounded_in_bytes_and_has_at_least_one_item() {
    let (held, webhook) = table();
    // More than one page of the table's answers, all in one shard.
    for n in 0..12 {
        let mut item = delivery(&webhook, 8, NOW_MS + n);
        item.body = vec![b'x'; 200_000];
        hold_for_release(&held, &item).await;
    }
    for (bytes, wanted) in
        [(1, 1), (200_000, 1), (399_999, 1), (400_000, 2), (2_000_000, 10), (MANY_BYTES, 12)]
    {
        let found = oldest(&held, &webhook, 100, bytes).await;
        let accepted: Vec<_> = found.iter().map(|(_, delivery)| delivery.accepted_at).collect();
        let first: Vec<_> = (0..wanted).map(later).collect();
        assert_eq!(accepted, first, "{bytes}");
    }
    assert_eq!(oldest(&held, &new_webhook(), 10, MANY_BYTES).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_at_a_time_has_a_release() {
    let (held, webhook) = table();
    assert_eq!(claim_release(&held, &webhook, 0, 100).await, None, "there is none to claim");
    await_release(&held, &webhook, now()).await;
    let mut workers = JoinSet::new();
    for worker in 0..16 {
        let (held, webhook) = (held.clone(), webhook.clone());
        workers.spawn(async move { claim_release(&held, &webhook, 0, 100 + worker).await });
    }
    let claimed: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    let [dead] = claimed.as_slice() else { panic!("{claimed:?}") };
    // Its worker dies. Another one takes it over, and the dead one's late calls change nothing.
    let ours = claim_release(&held, &webhook, 200, 300).await.unwrap();
    assert_eq!(held.releases.renew(dead, later(900)).await.unwrap(), None);
    let step = NewStep { id: "dead", items: 1, size: 10 };
    assert_eq!(held.releases.begin_step(dead, step, (later(201), later(900))).await.unwrap(), None);
    assert_eq!(held.releases.step_sent(dead, later(900)).await.unwrap(), None);
    assert_eq!(held.releases.end(dead).await.unwrap(), LeftRelease::NotOurs);
    let postponed = held.releases.postpone(dead, later(5000), false).await.unwrap();
    assert_eq!(postponed, LeftRelease::NotOurs);
    held.releases.return_to_index(dead, later(5000)).await.unwrap();
    assert_eq!(release_due(&held).await, Some(later(WORKER_MS)), "its successor is planned");
    let key = release_of(&webhook);
    let other = held.releases.claim(&key, later(299), later(900), later(WORKER_MS)).await.unwrap();
    assert_eq!(other, ReleaseClaim::Taken(later(300)), "who comes meanwhile sees until when it is taken");
    assert!(held.releases.renew(&ours, later(400)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_release_does_not_end_while_something_is_held_meanwhile() {
    let (held, webhook) = table();
    await_release(&held, &webhook, now()).await;
    let release = claim_release(&held, &webhook, 0, 100).await.unwrap();
    await_release(&held, &webhook, later(50)).await;
    assert_eq!(held.releases.end(&release).await.unwrap(), LeftRelease::Touched);
    let release = held.releases.renew(&release, later(200)).await.unwrap().expect("the release is ours");
    assert_eq!(held.releases.end(&release).await.unwrap(), LeftRelease::Done);
    assert_eq!(claim_release(&held, &webhook, 500, 600).await, None);
    assert_eq!(release_due(&held).await, None);
}

#[tokio::test]
async fn a_release_is_due_at_the_earliest_planned_time() {
    let (held, webhook) = table();
    for (due_ms, wanted) in [(900, 900), (1000, 900), (300, 300), (300, 300), (400, 300)] {
        await_release(&held, &webhook, later(due_ms)).await;
        assert_eq!(release_due(&held).await, Some(later(wanted)), "{due_ms}");
    }
    release_all(&held, &webhook, 100).await;
    assert_eq!(release_due(&held).await, Some(later(100)));
    let (held, webhook) = table();
    release_all(&held, &webhook, 100).await;
    assert_eq!(release_due(&held).await, Some(later(100)), "an act makes a release");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_planned_by_many_at_once_is_due_at_the_earliest() {
    let (held, webhook) = table();
    let mut holders = JoinSet::new();
    for holder in 0..16 {
        let (held, webhook) = (held.clone(), webhook.clone());
        let due_ms = 100 + (holder * 7) % 16;
        holders.spawn(async move { await_release(&held, &webhook, later(due_ms)).await });
    }
    holders.join_all().await;
    assert_eq!(release_due(&held).await, Some(later(100)));
}

#[tokio::test]
async fn postponing_does_not_delay_items_that_came_meanwhile() {
    let (held, webhook) = table();
    for hastened in [false, true] {
        await_release(&held, &webhook, now()).await;
        let release = claim_release(&held, &webhook, 0, 100).await.unwrap();
        // The worker saw a block; now it is ended, or an older item is held.
        if hastened {
            release_all(&held, &webhook, 10).await;
        } else {
            await_release(&held, &webhook, later(10)).await;
        }
        let postponed = held.releases.postpone(&release, later(14_400_000), false).await.unwrap();
        assert_eq!(postponed, LeftRelease::Touched);
        assert!(release_due(&held).await.unwrap() <= later(10), "hastened: {hastened}");
        // It is the same worker's still, which looks again.
        let again = held.releases.renew(&release, later(200)).await.unwrap().expect("it is ours");
        assert_eq!(again.state.expedited - release.state.expedited, u64::from(hastened));
        let postponed = held.releases.postpone(&again, later(500), false).await.unwrap();
        assert_eq!(postponed, LeftRelease::Done);
        assert_eq!(release_due(&held).await, Some(later(500)), "hastened: {hastened}");
        let again = claim_release(&held, &webhook, 1, 100).await.expect("it was given back");
        await_release(&held, &webhook, later(90)).await;
        held.releases.return_to_index(&again, later(40)).await.unwrap();
        assert_eq!(release_due(&held).await, Some(later(40)), "whoever touched it");
        held.releases.drop_row(&release_of(&webhook)).await.unwrap();
    }
}

#[tokio::test]
async fn only_the_current_step_is_counted_and_each_item_once() {
    let (held, webhook) = table();
    let key = release_of(&webhook);
    let count = async |step: &str, finished: std::ops::Range<i64>, failed: std::ops::Range<i64>| {
        let (finished, failed): (BTreeSet<_>, BTreeSet<_>) = (finished.collect(), failed.collect());
        held.releases.count_finished(&key, step, &finished, &failed).await.unwrap();
    };
    let step = |release: Option<Release>| release.unwrap().state.step;
    await_release(&held, &webhook, now()).await;
    let release = claim_release(&held, &webhook, 0, 100).await.unwrap();
    assert_eq!(release.state.step, None);
    let one = NewStep { id: "one", items: 10, size: 10 };
    let release = held.releases.begin_step(&release, one, (now(), later(110))).await.unwrap().unwrap();
    count("one", 0..4, 0..1).await;
    count("one", 2..4, 0..1).await;
    count("one", 0..0, 0..0).await;
    count("other", 0..3, 0..3).await;
    held.releases.postpone(&release, now(), true).await.unwrap();
    let release = claim_release(&held, &webhook, 0, 200).await.unwrap();
    let began_at = now();
    let begun = Progress { size: 10, left: 6, failed: 1, began_at, sent: false, expedited: false };
    assert_eq!(release.state.step, Some(begun));
    let release = held.releases.step_sent(&release, later(210)).await.unwrap().unwrap();
    assert_eq!(release.state.step, Some(Progress { sent: true, ..begun }));
    release_all(&held, &webhook, 0).await;
    let release = held.releases.renew(&release, later(220)).await.unwrap().unwrap();
    assert_eq!(release.state.step, Some(Progress { sent: true, expedited: true, ..begun }));
    let times = (later(1), later(230));
    let two = NewStep { id: "two", items: 20, size: 20 };
    let release = held.releases.begin_step(&release, two, times).await.unwrap().unwrap();
    count("one", 4..10, 0..0).await;
    // The queue hands items out twice.
    count("two", 0..19, 0..0).await;
    count("two", 5..19, 0..0).await;
    held.releases.postpone(&release, now(), true).await.unwrap();
    let release = claim_release(&held, &webhook, 0, 300).await.unwrap();
    let progress =
        Progress { size: 20, left: 1, failed: 0, began_at: later(1), sent: false, expedited: false };
    assert_eq!(release.state.step, Some(progress));
    held.releases.postpone(&release, now(), false).await.unwrap();
    count("two", 0..5, 0..5).await;
    assert_eq!(step(claim_release(&held, &webhook, 0, 400).await), None);
    held.releases.drop_row(&key).await.unwrap();
    count("two", 0..5, 0..5).await;
    assert_eq!(claim_release(&held, &webhook, 500, 600).await, None, "a late count made a release");
}

#[tokio::test]
async fn an_act_releases_earlier_retries_the_oldest_first() {
    let (held, webhook) = table();
    let items: Vec<_> = (0..5).map(|n| delivery(&webhook, n, NOW_MS + i64::from(n))).collect();
    for (item, seen_ms) in items.iter().zip([50, 10, 101, 100, 0]) {
        hold_seen(&held, item, 7_200_000, seen_ms).await;
    }
    held.items.drop_row(&HeldKey::clone(&keys(&held, &webhook).await[4])).await.unwrap();
    hold_for_release(&held, &items[4]).await;
    assert_eq!(released(&held, &webhook, 9, 200).await, [items[4].clone()], "no retry is as old as that");
    let taken = released(&held, &webhook, 100, 200).await;
    let wanted = [0, 1, 3, 4].map(|index: usize| items[index].clone());
    assert_eq!(taken, wanted, "what was read after the act keeps its time");
    assert_eq!(all_due(&held, later(7_200_000)).await.len(), 1);
    // From now on they wait for their release like the others.
    let taken: Vec<_> = oldest(&held, &webhook, 10, MANY_BYTES).await;
    assert_eq!(taken.iter().map(|(_, delivery)| delivery.clone()).collect::<Vec<_>>(), wanted);
    for (key, _) in taken {
        held.items.delete_released(&key).await.unwrap();
    }
    assert_eq!(keys(&held, &webhook).await.len(), 1);
}

#[tokio::test]
async fn a_claimed_retry_is_left_to_its_mover_until_its_claim_ends() {
    let (held, webhook) = table();
    let item = delivery(&webhook, 1, NOW_MS);
    hold(&held, &item, 5).await;
    let key = only_key(&held, &webhook).await;
    let mut waiting = held.of_release(&release_of(&webhook), Some(later(50)), later(60));
    assert!(waiting.peek(10).await.unwrap().is_some());
    let claim = claim_of(held.items.claim(&key, later(5), later(60), later(100)).await.unwrap());
    let taken = waiting.take_part((10, MANY_BYTES), later(61)).await.unwrap();
    assert_eq!(taken, [], "it was claimed after it was read");
    assert_eq!(released(&held, &webhook, 50, 99).await, []);
    assert_eq!(released(&held, &webhook, 50, 100).await, [item]);
    held.items.finish(&key, &claim).await.unwrap();
    assert_eq!(keys(&held, &webhook).await.len(), 1, "its mover deleted what is released");
}

#[tokio::test]
async fn a_postponed_release_is_not_claimed_long_before_its_time() {
    let (held, webhook) = table();
    await_release(&held, &webhook, now()).await;
    let release = claim_release(&held, &webhook, 0, 100).await.unwrap();
    assert_eq!(held.releases.postpone(&release, later(900_000), false).await.unwrap(), LeftRelease::Done);
    let postponed = held.releases.postpone(&release, later(900_000), false).await.unwrap();
    assert_eq!(postponed, LeftRelease::Done, "a repeat");
    assert_eq!(claim_release(&held, &webhook, 100_000, 200_000).await, None);
    assert!(claim_release(&held, &webhook, 890_000, 990_000).await.is_some());
}

#[tokio::test]
async fn what_is_due_is_paged_once_each_the_earliest_first() {
    let (held, webhook) = table();
    // All in one shard of the index, several at the same time.
    for n in 0..23_i64 {
        hold(&held, &delivery(&webhook, 7, NOW_MS), (n * 5) % 7).await;
    }
    hold(&held, &delivery(&webhook, 7, NOW_MS), 100).await;
    let (mut found, mut mark, mut pages) = (Vec::new(), None, 0);
    loop {
        let (due, next) = held.items.due(7, later(99), 5, mark).await.unwrap();
        assert!(due.len() <= 5);
        found.extend(due);
        (mark, pages) = (next, pages + 1);
        if mark.is_none() {
            break;
        }
    }
    assert!((5..=6).contains(&pages), "{pages}");
    let mut times = Vec::new();
    let mut seen = HashSet::new();
    for due in found {
        let Due::Item(key) = due else { panic!("{due:?}") };
        assert!(seen.insert(format!("{key:?}")));
        let HeldClaim::Claimed { due_at, .. } =
            held.items.claim(&key, later(99), now(), later(500)).await.unwrap()
        else {
            panic!("{key:?} is not claimed");
        };
        times.push(due_at);
    }
    assert_eq!(times.len(), 23);
    assert!(times.is_sorted());
}

#[tokio::test]
async fn items_and_releases_come_due_at_their_times() {
    let (held, webhook) = table();
    hold(&held, &delivery(&webhook, 9, NOW_MS), 10).await;
    await_release(&held, &webhook, later(20)).await;
    assert_eq!(all_due(&held, later(9)).await, []);
    assert!(matches!(all_due(&held, later(10)).await.as_slice(), [Due::Item(_)]));
    let release = Due::Release { release: release_of(&webhook), due_at: later(20) };
    let due = all_due(&held, later(20)).await;
    assert!(due.len() == 2 && due.contains(&release), "{due:?}");
}
