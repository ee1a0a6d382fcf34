//! What is found by an item's id, and what is unhealthy across accounts.

use std::time::Duration;

use carteiro_adapters::tables::attempts::{AttemptTable, DroppedItem, FoundAttempts};
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_adapters::tables::inbox::{self, Claim, EntryState, InboxTable};
use carteiro_adapters::tables::streak::{StreakKey, StreakTable};
use carteiro_adapters::tables::unhealthy::PARTS;
use carteiro_adapters::tables::waiting::HeldTable;
use carteiro_adapters::tables::waiting::dead::DeadRows;
use carteiro_core::address::PrivateTargets;
use carteiro_core::attempt_log::{Entry, ItemFate};
use carteiro_core::credentials::Credentials;
use carteiro_core::delivery::Delivery;
use carteiro_core::holding::HeldFor;
use carteiro_core::id::{ItemId, PageId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::item_state::DropCause;
use carteiro_core::message::LastError;
use carteiro_core::outcome::FailureKind;
use carteiro_core::settlement::DeathCause;
use carteiro_core::signature::Secret;
use carteiro_core::streak::{Answer, Counted, Rule, block, end, start, unblock};
use carteiro_core::webhook::{Settings, Webhook};
use serde_json::json;

use crate::database::{NOW_MS, STREAKS, clock, embedded, new_streak};
use crate::inbox::entry as stored_entry;
use crate::support::{delivery, later, new_account, new_held, now, unique};

fn item() -> ItemId {
    ItemId::from_bits(0x1234)
}

fn webhook(bits: u128) -> WebhookId {
    WebhookId::from_bits(bits)
}

fn failure() -> LastError {
    LastError { error: FailureKind::Status, status: Some(503), at: now(), cause: None }
}

#[tokio::test]
async fn an_item_is_found_at_every_webhook_that_holds_it() {
    let held = HeldTable::new(embedded().client(), new_held());
    let error = json!(failure()).to_string();
    let retried = delivery(&webhook(1), item());
    let times = (later(5000), now());
    held.items.hold(&retried, (HeldFor::Retry, Some(&error)), times, later(9_000_000)).await.unwrap();
    let waiting = delivery(&webhook(2), item());
    held.items.hold_for_release(&waiting, (HeldFor::Blocked, None), now(), later(9_000_000)).await.unwrap();
    // Neither another item, nor one that its network does not let be kept.
    let other = delivery(&webhook(2), ItemId::from_bits(7));
    held.items.hold_for_release(&other, (HeldFor::Blocked, None), now(), later(9_000_000)).await.unwrap();
    let limited = Delivery { keep_until: Some(later(1)), ..delivery(&webhook(3), item()) };
    held.items.hold(&limited, (HeldFor::Retry, None), times, later(9_000_000)).await.unwrap();
    let mut found = held.items.of_item(&item(), later(10)).await.unwrap();
    found.sort_by(|a, b| a.webhook.cmp(&b.webhook));
    let [first, second] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (&first.webhook, first.what.reason, first.what.due_at),
        (&webhook(1), HeldFor::Retry, Some(later(5000)))
    );
    assert_eq!((first.last_error.as_ref(), first.attempt), (Some(&failure()), 4));
    assert_eq!(
        (&second.webhook, second.what.reason, second.what.due_at),
        (&webhook(2), HeldFor::Blocked, None)
    );
    assert_eq!((&second.last_error, second.accepted_at, &second.source), (&None, now(), &waiting.source));
    assert!(held.items.of_item(&ItemId::from_bits(8), now()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_dead_item_is_found_until_it_is_forgotten() {
    let name = unique("Dead");
    embedded().make_dead(&name);
    let dead = DeadRows::new(embedded().client(), name);
    let error = json!(failure()).to_string();
    let died = delivery(&webhook(1), item());
    dead.bury(&died, (DeathCause::Exhausted, Some(&error)), later(1), later(60_000)).await.unwrap();
    let found = dead.of_item(&item(), later(59_000)).await.unwrap();
    let [row] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((row.what.cause, row.what.died_at), (DeathCause::Exhausted, later(1)));
    assert_eq!(row.last_error, Some(failure()));
    assert!(dead.of_item(&item(), later(60_000)).await.unwrap().is_empty());
}

/// A failed attempt, `attempt` seconds after now.
fn entry(item: &ItemId, attempt: u32) -> Entry {
    Entry {
        item: item.clone(),
        item_type: ItemType::MESSAGE,
        attempt,
        at: later(i64::from(attempt) * 1000),
        revision: 1,
        error: Some(FailureKind::Timeout),
        cause: None,
        status: None,
        latency_ms: 1,
        response_body: None,
        response_headers: Default::default(),
        release_step: None,
        replay: None,
        became: ItemFate::Retry,
        next_at: None,
    }
}

#[tokio::test]
async fn dropped_items_and_attempts_are_found_by_their_item() {
    let name = unique("Attempts");
    embedded().make_plain(&name);
    let attempts = AttemptTable::new(embedded().client(), name);
    let dropped: Vec<_> = DropCause::ALL
        .into_iter()
        .zip(1..)
        .map(|(cause, bits)| DroppedItem::of(&delivery(&webhook(bits), item()), cause, later(1)))
        .collect();
    attempts.note_dropped(&dropped, later(60_000), Duration::from_secs(10)).await;
    let mut found = attempts.dropped(&item(), later(59_000)).await.unwrap();
    found.sort_by(|a, b| a.webhook.cmp(&b.webhook));
    assert_eq!(found, dropped);
    assert!(attempts.dropped(&item(), later(60_000)).await.unwrap().is_empty(), "the table deletes late");
    let other = ItemId::from_bits(9);
    for attempt in [2, 1, 3] {
        let entries = vec![entry(&other, attempt + 10), entry(&item(), attempt)];
        attempts.log(&webhook(1), entries, later(i64::from(attempt) * 1000), later(60_000)).await.unwrap();
    }
    let last =
        |attempt: Option<u32>| FoundAttempts { last: attempt.map(|n| entry(&item(), n)), is_whole: true };
    let accepted = Some(now());
    assert_eq!(attempts.of_item(&webhook(1), &item(), accepted, later(4000)).await.unwrap(), last(Some(3)));
    assert_eq!(attempts.of_item(&webhook(1), &item(), None, later(4000)).await.unwrap(), last(Some(3)));
    assert_eq!(attempts.of_item(&webhook(2), &item(), accepted, later(4000)).await.unwrap(), last(None));
    assert_eq!(attempts.of_item(&webhook(1), &item(), accepted, later(60_000)).await.unwrap(), last(None));
}

#[tokio::test]
async fn a_glimpse_at_a_log_says_from_when_on_it_is_whole() {
    let name = unique("Attempts");
    embedded().make_plain(&name);
    let attempts = AttemptTable::new(embedded().client(), name);
    let (short, long, expires) = (webhook(1), webhook(2), later(9_000_000));
    for attempt in 1..=6 {
        let at = later(i64::from(attempt) * 1000);
        attempts.log(&short, vec![entry(&item(), attempt)], at, expires).await.unwrap();
    }
    let glimpse = attempts.glimpse(&short, later(3000), later(10_000)).await.unwrap();
    let mut seen: Vec<_> = glimpse.attempts.iter().map(|one| one.at).collect();
    seen.sort();
    assert_eq!((seen, glimpse.whole_since), ([3, 4, 5, 6].map(|n| later(n * 1000)).to_vec(), later(3000)));
    assert!(attempts.glimpse(&short, later(0), expires).await.unwrap().attempts.is_empty(), "over");
    // Of a log of several megabytes the latest part is read.
    let full = |attempt| {
        let one = Entry { response_body: Some("x".repeat(4000)), ..entry(&item(), attempt) };
        vec![one; 10]
    };
    for attempt in 1..=200 {
        attempts.log(&long, full(attempt), later(i64::from(attempt) * 1000), expires).await.unwrap();
    }
    let glimpse = attempts.glimpse(&long, later(0), later(300_000)).await.unwrap();
    let whole: Vec<_> = glimpse.attempts.iter().filter(|one| one.at >= glimpse.whole_since).collect();
    assert!(
        later(0) < glimpse.whole_since && glimpse.whole_since < later(200_000),
        "{}",
        glimpse.whole_since
    );
    let since = later(0).duration_until(glimpse.whole_since).as_secs();
    assert_eq!(i64::try_from(whole.len()).unwrap(), (200 - since) * 10, "all of each later second");
}

/// Where a webhook is among what is unhealthy.
async fn listed(table: &StreakTable, key: &StreakKey) -> bool {
    let mut found = Vec::new();
    for part in 0..PARTS {
        let mut after = None;
        loop {
            let (keys, last) = table.unhealthy(part, 2, after.as_ref()).await.unwrap();
            found.extend(keys);
            after = last;
            if after.is_none() {
                break;
            }
        }
    }
    found.contains(key)
}

#[tokio::test]
async fn a_streak_is_listed_from_its_start_to_its_end() {
    let (table, key) = (StreakTable::new(embedded().client(), STREAKS.to_owned()), new_streak());
    let counted = Counted { failures: 1, last_error: "e".to_owned(), timeouts_only: false };
    let rule = Rule { threshold: 2, block: Duration::from_secs(60), raises_notices: true };
    assert!(!listed(&table, &key).await);
    for (write, is_listed) in [
        (start(None, &counted, rule, "s", now()), true),
        (end(None, "s", now()), false),
        (start(None, &counted, rule, "t", now()), true),
        (block(None, &counted, rule, "e", now()), true),
        (unblock("f", later(1)), false),
        (start(Some("f"), &counted, rule, "u", later(2)), true),
        (end(Some("f"), "u", later(3)), false),
    ] {
        assert_eq!(
            table.write(&key, &write, clock(NOW_MS, Duration::from_secs(30))).await.unwrap(),
            Answer::Made,
            "{}",
            write.name
        );
        assert_eq!(listed(&table, &key).await, is_listed, "{}", write.name);
    }
}

#[tokio::test]
async fn a_dispatched_entry_is_found_by_what_it_became() {
    let name = unique("Inbox");
    embedded().make_inbox(&name);
    let table = InboxTable::new(embedded().client(), name);
    let page = PageId::from_bits(5);
    let new = stored_entry(&page, "comment:1", EntryState::Ready);
    table.store(std::slice::from_ref(&new), now()).await.unwrap();
    let became = new.key.item(&page);
    assert_eq!(table.of_item(&became).await.unwrap(), None, "it waits");
    let claim = Claim::new(later(60_000)).unwrap();
    let place = inbox::place(&page, &new.key);
    let entry = table.claim(&place, &claim, now()).await.unwrap().unwrap();
    table.mark(&entry, &claim, later(1000)).await.unwrap();
    let found = table.of_item(&became).await.unwrap().unwrap();
    assert_eq!((&found.account, &found.page), (&entry.account, &page));
    assert_eq!((found.received_at, found.handed_on_at), (now(), later(1000)));
}

#[tokio::test]
async fn a_webhook_is_listed_while_it_is_disabled() {
    let name = unique("Config");
    embedded().make_config(&name);
    let table = ConfigTable::new(embedded().client(), name);
    let account = new_account(&table).await;
    let settings = json!({"url": "https://example.com", "items": ["event"], "enabled": false});
    let settings = Settings::from_json(settings.as_object().unwrap(), &PrivateTargets::default()).unwrap();
    let credentials = Credentials::new(Secret::from_random([1; 32]), None);
    let mut webhook = Webhook::new(webhook(0x2b), account.clone(), settings, credentials, now());
    table.create_webhook(&webhook).await.unwrap();
    let listed = || async { table.disabled(0xb, 10, None).await.unwrap() };
    assert_eq!(listed().await, (vec![(account.clone(), webhook.id.clone())], None), "from its creation");
    for enabled in [true, false, true] {
        webhook = webhook.set(Settings { enabled, ..webhook.settings.clone() }, later(1)).unwrap();
        table.replace_webhook(&webhook).await.unwrap();
        let expected = if enabled { Vec::new() } else { vec![(account.clone(), webhook.id.clone())] };
        assert_eq!(listed().await, (expected, None));
    }
}
