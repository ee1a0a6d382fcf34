//! `HeldTable` where answers are lost: every write recognises that an earlier try of it was made.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use carteiro_adapters::tables::waiting::HeldTable;
use carteiro_adapters::tables::waiting::held::HeldClaim;
use carteiro_adapters::tables::waiting::keys::{ReleaseKey, SHARDS};
use carteiro_adapters::tables::waiting::release::ReleaseClaim;
use carteiro_core::holding::HeldFor;
use carteiro_core::holding::{LeftRelease, NewStep};
use carteiro_core::id::{AccountId, ItemId};
use carteiro_core::item::ItemType;

use crate::database::{NOW_MS, clock, new_streak, new_webhook};
use crate::proxy::{Fate, Proxy};
use crate::support::{delivery, later, new_held};

/// A table behind a proxy that makes each write `lost` times before it lets an answer through.
async fn table(lost: u64, fate: Fate) -> (Proxy, HeldTable) {
    let writes = AtomicU64::new(0);
    let proxy = Proxy::start(&new_streak(), clock(NOW_MS, Duration::from_secs(30)), move |called, _| {
        if !["PutItem", "UpdateItem", "DeleteItem"].contains(&called) {
            return Fate::Proceed;
        }
        let nth = writes.fetch_add(1, Ordering::Relaxed);
        if nth % (lost + 1) < lost { fate } else { Fate::Proceed }
    })
    .await;
    let held = HeldTable::new(proxy.client(), new_held());
    (proxy, held)
}

/// The client repeats each write by itself, three times at most.
const LOST: [(u64, Fate); 2] = [(1, Fate::DropAfter), (2, Fate::FailAfter)];

#[tokio::test]
async fn a_worker_recognises_what_it_did_where_answers_are_lost() {
    for (lost, fate) in LOST {
        let (_proxy, held) = table(lost, fate).await;
        let key = ReleaseKey { webhook: new_webhook(), item_type: ItemType::MESSAGE };
        let account = AccountId::from_bits(1);
        held.releases.ensure(&key, &account, later(0)).await.unwrap();
        held.releases.release_all(&key, &account, later(0)).await.unwrap();
        let claim = async |now: i64| match held
            .releases
            .claim(&key, later(now), later(now + 30), later(900))
            .await
            .unwrap()
        {
            ReleaseClaim::Claimed(release) => release,
            other => panic!("{other:?}"),
        };
        let release = claim(1).await;
        let release = held.releases.renew(&release, later(40)).await.unwrap().expect("renewed");
        let release = held
            .releases
            .record_retention_sweep(&release, (later(3), later(50)))
            .await
            .unwrap()
            .expect("noted");
        let step = NewStep { id: "s", items: 3, size: 10 };
        let release =
            held.releases.begin_step(&release, step, (later(3), later(60))).await.unwrap().expect("begun");
        let counted = BTreeSet::from([0, 2]);
        held.releases.count_finished(&key, "s", &counted, &BTreeSet::from([2])).await.unwrap();
        let release = held.releases.step_sent(&release, later(70)).await.unwrap().expect("noted");
        let step = release.state.step.unwrap();
        assert_eq!((step.left, step.failed, step.sent), (1, 1, true), "{lost} lost");
        assert_eq!(held.releases.postpone(&release, later(5), true).await.unwrap(), LeftRelease::Done);
        let release = claim(80).await;
        assert_eq!(release.state.step, Some(step));
        held.releases.return_to_index(&release, later(6)).await.unwrap();
        let release = claim(200).await;
        assert_eq!(held.releases.end(&release).await.unwrap(), LeftRelease::Done);
        let again = held.releases.claim(&key, later(300), later(400), later(900)).await.unwrap();
        assert_eq!(again, ReleaseClaim::Over, "{lost} lost");
    }
}

#[tokio::test]
async fn rows_are_held_moved_and_adopted_where_answers_are_lost() {
    for (lost, fate) in LOST {
        let (_proxy, held) = table(lost, fate).await;
        let key = ReleaseKey { webhook: new_webhook(), item_type: ItemType::MESSAGE };
        let keys = async || {
            let mut found = Vec::new();
            for shard in 0..SHARDS {
                found.extend(held.items.keys_of(&key.webhook, shard, 10).await.unwrap());
            }
            found
        };
        let item = delivery(&key.webhook, ItemId::from_bits(1));
        let hold = async || {
            held.items
                .hold(&item, (HeldFor::Retry, None), (later(5), later(0)), later(9_000_000))
                .await
                .unwrap();
            keys().await.remove(0)
        };
        let row = hold().await;
        let claimed = held.items.claim(&row, later(5), later(1), later(30)).await.unwrap();
        let HeldClaim::Claimed { claim, .. } = claimed else { panic!("{lost} lost: {claimed:?}") };
        held.items.finish(&row, &claim).await.unwrap();
        assert_eq!(keys().await, []);
        hold().await;
        let mut waiting = held.of_release(&key, Some(later(0)), later(1));
        let taken = waiting.take_part((10, 1000), later(2)).await.unwrap();
        assert_eq!(taken.len(), 1, "{lost} lost");
        held.items.delete_released(&taken[0].0).await.unwrap();
        assert_eq!(keys().await, []);
        held.items
            .hold_for_release(&item, (HeldFor::Blocked, None), later(0), later(9_000_000))
            .await
            .unwrap();
        assert_eq!(keys().await.len(), 1);
    }
}
