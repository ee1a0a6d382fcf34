//! Rows of freshness: counts of an hour add up, and hours show a page's habit.

use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::freshness::FreshnessRows;
use carteiro_core::id::PageId;
use carteiro_networks::collected::Kind;
use carteiro_networks::freshness::{Counts, Hour, SHOWN_HOURS};
use carteiro_networks::silence::HABIT_HOURS;

use crate::database::{NOW_MS, at, embedded};

fn counts(kind: Kind, seconds: &[u32]) -> Counts {
    let mut counts = Counts::default();
    seconds.iter().for_each(|seconds| counts.note(kind, *seconds));
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counts_of_the_last_day_add_up_by_kind_and_bucket() {
    embedded().make_inbox("freshness");
    let rows = FreshnessRows::new(embedded().client(), "freshness".to_owned());
    let [page, other] = [(); 2].map(|()| PageId::from_bits(random::bits128().unwrap()));
    let (now, hour) = (at(NOW_MS), Hour::of(at(NOW_MS)));
    assert_eq!(rows.newest(&page, now).await.unwrap(), None);
    let comments = counts(Kind::Comment, &[3, 700]);
    for (page, hour, counts) in [
        (&page, hour, &comments),
        (&page, hour, &comments),
        (&page, hour, &Counts::default()),
        (&page, hour.earlier(SHOWN_HOURS), &counts(Kind::DirectMessage, &[1])),
        (&page, hour.earlier(SHOWN_HOURS + 1), &comments),
        (&page, hour.earlier(HABIT_HOURS + 1), &comments),
        (&other, hour.earlier(2), &Counts::default()),
    ] {
        rows.add(page, hour, counts).await.unwrap();
    }
    let mut expected = counts(Kind::Comment, &[3, 3, 700, 700]);
    expected.note(Kind::DirectMessage, 1);
    assert_eq!(rows.last_day(&page, now).await.unwrap(), expected);
    assert_eq!(rows.newest(&page, now).await.unwrap(), Some(hour));
    assert_eq!(rows.newest(&other, now).await.unwrap(), Some(hour.earlier(2)), "nothing of it is counted");
    let habit = [hour.earlier(SHOWN_HOURS + 1), hour.earlier(SHOWN_HOURS), hour];
    assert_eq!(rows.habit(&page, hour).await.unwrap(), habit.into());
}
