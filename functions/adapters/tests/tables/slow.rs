//! The rows of slow attempts: the next batch reads the noted attempts.

use std::collections::BTreeMap;

use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::streak::StreakTable;
use carteiro_core::address::{PrivateTargets, WebhookUrl};
use carteiro_core::id::AccountId;
use carteiro_core::lane::Lane;
use carteiro_core::slow::{Place, SlowAttempts};

use crate::database::{NOW_MS, STREAKS, at, embedded, new_webhook};
use crate::support::unique;

/// The place of another webhook.
fn new_place() -> Place {
    let url = WebhookUrl::check("https://example.com/", &PrivateTargets::default()).unwrap();
    Place::of(&new_webhook(), &url)
}

struct Slow {
    config: ConfigTable,
    streaks: StreakTable,
    account: AccountId,
}

impl Slow {
    fn new() -> Self {
        let name = unique("Config");
        embedded().make_config(&name);
        Self {
            config: ConfigTable::new(embedded().client(), name),
            streaks: StreakTable::new(embedded().client(), STREAKS.to_owned()),
            account: AccountId::from_bits(random::bits128().unwrap()),
        }
    }

    async fn read(&self) -> SlowAttempts {
        let wanted = [(self.account.clone(), new_webhook())];
        let mut found = self.config.find_webhooks(&wanted, &self.streaks, &[]).await.unwrap();
        found.slow.remove(&self.account).unwrap_or_default()
    }

    async fn note(&self, read: &SlowAttempts, seen: BTreeMap<Place, u32>, ms: i64) {
        let changes = read.note(&seen, Lane::Usual, at(ms));
        self.streaks.note_slow(&self.account, &changes).await.unwrap();
    }
}

#[tokio::test]
async fn slow_attempts_are_added_up_whoever_noted_them() {
    let (slow, place) = (Slow::new(), new_place());
    let nothing = slow.read().await;
    assert_eq!(nothing, SlowAttempts::default());
    for attempts in [2, 2] {
        slow.note(&nothing, BTreeMap::from([(place.clone(), attempts)]), NOW_MS).await;
        assert!(!slow.read().await.is_slow(&place, at(NOW_MS)));
    }
    let read = slow.read().await;
    slow.note(&read, BTreeMap::from([(place.clone(), 1)]), NOW_MS + 1).await;
    assert!(slow.read().await.is_slow(&place, at(NOW_MS + 2)));
    assert!(!slow.read().await.is_slow(&new_place(), at(NOW_MS + 2)));
}

#[tokio::test]
async fn a_row_forgets_what_is_over_and_has_a_date() {
    let slow = Slow::new();
    let old: BTreeMap<_, _> = (0..10).map(|_| (new_place(), 9)).collect();
    slow.note(&slow.read().await, old, NOW_MS).await;
    let (later, place) = (NOW_MS + 600_000, new_place());
    let read = slow.read().await;
    assert!(read.is_account_slow(at(later - 1)) && !read.is_account_slow(at(later)));
    slow.note(&read, BTreeMap::from([(place.clone(), 5)]), later).await;
    assert!(slow.read().await.is_slow(&place, at(later + 1)));
    let rows = embedded().all_rows(STREAKS);
    let row = rows.iter().find(|row| row["pk"]["S"] == slow.account.as_str()).unwrap();
    // The key, the date, and the numbers of one place.
    assert_eq!(row.as_object().unwrap().len(), 6, "{row}");
    assert_eq!(row["expires_at"]["N"], ((later + 600_000 + 3_600_000) / 1000).to_string());
}
