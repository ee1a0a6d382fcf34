//! The inbox: entries are stored once, found while they wait, claimed by one at a time, and remembered when dispatched.

use std::collections::HashSet;
use std::time::Instant;

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::inbox::{
    Claim, Entry, EntryState, InboxTable, MAX_PART_BYTES, NewEntry, READY_SHARDS, RowKey, Stored,
};
use carteiro_adapters::tables::packed_event::PackedEvent;
use carteiro_core::hop::Hop;
use carteiro_core::id::{AccountId, PageId};
use carteiro_networks::collected::By;
use carteiro_networks::inbox::{EntryKey, Event, Version};
use carteiro_networks::network::Network;
use carteiro_networks::push::{self, MAX_PUSH_BYTES};
use carteiro_networks::versions::Sighting;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::{Value, json};

use crate::database::{NOW_MS, at, embedded};

/// A table of a test's own.
fn table(name: &str) -> InboxTable {
    embedded().make_inbox(name);
    InboxTable::new(embedded().client(), name.to_owned())
}

fn page() -> PageId {
    PageId::from_bits(random::bits128().unwrap())
}

fn event(json: &Value) -> Event {
    push::split(Network::X, json.to_string().as_bytes()).remove(0).event
}

pub(crate) fn entry(page: &PageId, thing: &str, waiting: EntryState) -> NewEntry {
    NewEntry {
        page: page.clone(),
        account: AccountId::from_bits(1),
        owner: "123".parse().unwrap(),
        key: EntryKey::new(thing, &Version::of_content(Some("a"), [])),
        event: PackedEvent::of(&event(&json!({"thing": thing}))),
        says: true,
        sighting: None,
        hop: Hop::default(),
        waiting,
    }
}

fn entries(page: &PageId, things: std::ops::Range<u32>) -> Vec<NewEntry> {
    things.map(|thing| entry(page, &format!("comment:{thing}"), EntryState::Ready)).collect()
}

/// Everything that is ready, over all shards and pages of the index.
async fn ready(table: &InboxTable) -> Vec<RowKey> {
    let mut places = Vec::new();
    for shard in 0..READY_SHARDS {
        let mut mark = None;
        loop {
            let (found, next) = table.ready(shard, 7, mark).await.unwrap();
            places.extend(found);
            mark = next;
            if mark.is_none() {
                break;
            }
        }
    }
    places
}

async fn claim_all(table: &InboxTable, claim: &Claim, now_ms: i64) -> Vec<Entry> {
    let mut claimed = Vec::new();
    for place in ready(table).await {
        claimed.extend(table.claim(&place, claim, at(now_ms)).await.unwrap());
    }
    claimed
}

#[tokio::test]
async fn what_is_there_stays_and_only_what_is_missing_is_stored() {
    let (table, page) = (table("InboxMissing"), page());
    let all = entries(&page, 0..60);
    assert_eq!(table.store(&all[10..30], at(NOW_MS)).await.unwrap(), [Stored::New; 20]);
    let stored = table.store(&all, at(NOW_MS + 5)).await.unwrap();
    let new: Vec<bool> = stored.iter().map(|stored| *stored == Stored::New).collect();
    assert_eq!(new, (0..60).map(|index| !(10..30).contains(&index)).collect::<Vec<_>>());
    assert_eq!(table.store(&all, at(NOW_MS + 9)).await.unwrap(), [Stored::Known; 60]);
    let claim = Claim::new(at(NOW_MS + 60_000)).unwrap();
    let claimed = claim_all(&table, &claim, NOW_MS + 10).await;
    assert_eq!(claimed.len(), 60);
    let first_time = claimed.iter().filter(|entry| entry.received_at == at(NOW_MS)).count();
    assert_eq!(first_time, 20, "what was there kept its time");
}

#[tokio::test]
async fn an_entry_comes_back_as_it_was_stored() {
    let (table, page) = (table("InboxBack"), page());
    let new = entry(&page, "comment:1", EntryState::Ready);
    table.store(std::slice::from_ref(&new), at(NOW_MS)).await.unwrap();
    let claim = Claim::new(at(NOW_MS + 60_000)).unwrap();
    let read = claim_all(&table, &claim, NOW_MS).await.remove(0);
    let known = new.clone().into_claimed(new.event.read().unwrap(), at(NOW_MS));
    assert_eq!((&read.place, &read.page, &read.account), (&known.place, &page, &AccountId::from_bits(1)));
    assert_eq!((&read.owner, &read.key, read.item()), (&new.owner, &new.key, new.key.item(&page)));
    assert_eq!((read.received_at, read.since), (known.received_at, known.since));
    assert_eq!(read.event.raw.get(), r#"{"thing":"comment:1"}"#);
}

#[tokio::test]
async fn an_entry_is_claimed_by_one_until_its_lease_ends() {
    let (table, page) = (table("InboxClaim"), page());
    table.store(&entries(&page, 0..1), at(NOW_MS)).await.unwrap();
    let place = ready(&table).await.remove(0);
    let (first, second) = (Claim::new(at(NOW_MS + 100)).unwrap(), Claim::new(at(NOW_MS + 300)).unwrap());
    let entry = table.claim(&place, &first, at(NOW_MS)).await.unwrap().unwrap();
    assert!(table.claim(&place, &second, at(NOW_MS + 99)).await.unwrap().is_none());
    assert!(
        table.claim(&place, &first, at(NOW_MS)).await.unwrap().is_some(),
        "a repeat whose answer was lost"
    );
    assert!(table.claim(&place, &second, at(NOW_MS + 100)).await.unwrap().is_some());
    // The first one comes late: its writes change nothing.
    table.mark(&entry, &first, at(NOW_MS + 150)).await.unwrap();
    table.drop_entry(&entry, &first).await.unwrap();
    assert_eq!(ready(&table).await.len(), 1);
    table.mark(&entry, &second, at(NOW_MS + 200)).await.unwrap();
    assert!(ready(&table).await.is_empty());
    assert!(table.claim(&place, &second, at(NOW_MS + 999)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_dispatched_entry_leaves_a_marker_and_a_ready_one_stays() {
    let (table, page) = (table("InboxMarker"), page());
    let all = entries(&page, 0..3);
    table.store(&all, at(NOW_MS)).await.unwrap();
    let rows = embedded().all_rows("InboxMarker");
    assert!(rows.iter().all(|row| row.get("expires_at").is_none() && row.get("event").is_some()), "{rows:?}");
    let claim = Claim::new(at(NOW_MS + 60_000)).unwrap();
    for entry in claim_all(&table, &claim, NOW_MS).await {
        table.mark(&entry, &claim, at(NOW_MS + 1000)).await.unwrap();
    }
    for row in embedded().all_rows("InboxMarker") {
        let names: HashSet<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let left =
            ["pk", "sk", "account", "owner", "received_at", "says", "handed_on_at", "expires_at", "item"];
        assert_eq!(names, HashSet::from(left));
        assert_eq!(row["expires_at"]["N"], ((NOW_MS + 1000) / 1000 + 60 * 24 * 3600).to_string());
    }
    assert_eq!(table.store(&all, at(NOW_MS + 2000)).await.unwrap(), [Stored::Known; 3]);
    assert!(ready(&table).await.is_empty());
}

#[tokio::test]
async fn a_writers_entry_is_its_own_until_its_lease_ends() {
    let (table, page) = (table("InboxImmediate"), page());
    let claim = Claim::new(at(NOW_MS + 100)).unwrap();
    let new = entry(&page, "comment:1", EntryState::Claimed(claim.clone()));
    table.store(std::slice::from_ref(&new), at(NOW_MS)).await.unwrap();
    let other = Claim::new(at(NOW_MS + 500)).unwrap();
    assert!(claim_all(&table, &other, NOW_MS + 99).await.is_empty());
    assert_eq!(claim_all(&table, &other, NOW_MS + 100).await.len(), 1);
    let event = new.event.read().unwrap();
    let known = new.into_claimed(event, at(NOW_MS));
    table.mark(&known, &claim, at(NOW_MS + 101)).await.unwrap();
    assert_eq!(ready(&table).await.len(), 1, "its claim is not ours any more");
    table.mark(&known, &other, at(NOW_MS + 101)).await.unwrap();
    assert!(ready(&table).await.is_empty());
}

#[tokio::test]
async fn what_came_as_ids_only_waits_and_is_not_ready() {
    let (table, page) = (table("InboxIncomplete"), page());
    table.store(&[entry(&page, "mention:1", EntryState::Incomplete)], at(NOW_MS)).await.unwrap();
    assert!(ready(&table).await.is_empty());
    let row = embedded().all_rows("InboxIncomplete").remove(0);
    assert_eq!(row["waiting"]["S"], format!("incomplete#{page}"));
    let in_400_days = NOW_MS / 1000 + 400 * 24 * 3600;
    assert_eq!(row["expires_at"]["N"], in_400_days.to_string(), "should a deletion of its page miss it");
}

#[tokio::test]
async fn a_released_claim_can_be_taken_and_a_foreign_one_stays() {
    let (table, page) = (table("InboxGivenBack"), page());
    let claim = Claim::new(at(NOW_MS + 9000)).unwrap();
    let new = entry(&page, "comment:1", EntryState::Claimed(claim.clone()));
    table.store(std::slice::from_ref(&new), at(NOW_MS)).await.unwrap();
    let event = new.event.read().unwrap();
    let entry = new.into_claimed(event, at(NOW_MS));
    table.release_claim(&entry, &claim).await.unwrap();
    let second = Claim::new(at(NOW_MS + 9000)).unwrap();
    assert_eq!(claim_all(&table, &second, NOW_MS + 1).await.len(), 1);
    table.release_claim(&entry, &claim).await.unwrap();
    assert!(claim_all(&table, &claim, NOW_MS + 2).await.is_empty());
}

#[tokio::test]
async fn an_unreadable_row_is_quarantined_with_its_event() {
    let name = "InboxUnreadable";
    let (table, page) = (table(name), page());
    let mut all = entries(&page, 0..2);
    all[1].event = PackedEvent::of(&event(&json!({"text": noise(MAX_PUSH_BYTES)})));
    table.store(&all, at(NOW_MS)).await.unwrap();
    let rows = embedded().all_rows(name).len();
    assert!(rows > 3, "the second one has parts");
    let places = ready(&table).await;
    for row in embedded().all_rows(name).iter().filter(|row| row.get("waiting").is_some()) {
        let key = |name: &str| AttributeValue::S(row[name]["S"].as_str().unwrap().to_owned());
        let call = embedded().client().update_item().table_name(name);
        let call = call.key("pk", key("pk")).key("sk", key("sk")).update_expression("SET #owner = :broken");
        let call = call.expression_attribute_names("#owner", "owner");
        call.expression_attribute_values(":broken", AttributeValue::N("1".to_owned())).send().await.unwrap();
    }
    let (claim, late) = (Claim::new(at(NOW_MS + 100)).unwrap(), Claim::new(at(NOW_MS + 100)).unwrap());
    for place in &places {
        let error = table.claim(place, &claim, at(NOW_MS)).await.unwrap_err();
        assert!(matches!(error, AdapterError::Malformed { attribute: "owner", .. }), "{error}");
        assert!(!table.quarantine(place, &late, at(NOW_MS + 5000)).await.unwrap(), "it is not theirs");
        assert!(table.quarantine(place, &claim, at(NOW_MS + 5000)).await.unwrap());
        assert!(table.claim(place, &claim, at(NOW_MS + 200)).await.unwrap().is_none());
    }
    assert!(ready(&table).await.is_empty());
    let left = embedded().all_rows(name);
    assert_eq!(left.len(), rows);
    let expires = ((NOW_MS + 5000) / 1000).to_string();
    assert!(left.iter().all(|row| row["expires_at"]["N"] == expires.as_str()), "{left:?}");
    assert!(left.iter().any(|row| row.get("event").is_some()));
}

/// Text that no compression makes smaller.
fn noise(bytes: usize) -> String {
    let digit = |_| format!("{:032x}", random::bits128().unwrap());
    (0..bytes.div_ceil(32)).map(digit).collect::<String>()
}

#[tokio::test]
async fn a_large_event_is_stored_in_parts_and_leaves_none() {
    let (table, page) = (table("InboxLarge"), page());
    let mut new = entry(&page, "comment:1", EntryState::Ready);
    let large = event(&json!({"text": noise(2 * MAX_PUSH_BYTES)}));
    new.event = PackedEvent::of(&large);
    assert!(new.event.bytes().len() > 2 * MAX_PART_BYTES);
    table.store(std::slice::from_ref(&new), at(NOW_MS)).await.unwrap();
    let rows = embedded().all_rows("InboxLarge").len();
    assert_eq!(rows, 1 + new.event.bytes().len().div_ceil(MAX_PART_BYTES));
    // The same thing with another event, as a poll may find it: the first one stays, whole.
    let mut other = new.clone();
    other.event = PackedEvent::of(&event(&json!({"text": noise(2 * MAX_PUSH_BYTES)})));
    for again in [&other, &new] {
        let stored = table.store(std::slice::from_ref(again), at(NOW_MS + 1)).await.unwrap();
        assert_eq!(stored, [Stored::Known]);
        assert_eq!(embedded().all_rows("InboxLarge").len(), rows);
    }
    let claim = Claim::new(at(NOW_MS + 60_000)).unwrap();
    let read = claim_all(&table, &claim, NOW_MS).await.remove(0);
    assert_eq!(read.event.raw.get(), large.raw.get());
    assert_eq!(new.into_claimed(large, at(NOW_MS)).parts, read.parts);
    table.mark(&read, &claim, at(NOW_MS)).await.unwrap();
    assert_eq!(embedded().all_rows("InboxLarge").len(), 1);
}

#[tokio::test]
async fn a_dropped_entry_leaves_nothing() {
    let (table, page) = (table("InboxDrop"), page());
    let mut all = entries(&page, 0..2);
    all[0].event = PackedEvent::of(&event(&json!({"text": noise(MAX_PUSH_BYTES)})));
    table.store(&all, at(NOW_MS)).await.unwrap();
    let claim = Claim::new(at(NOW_MS + 60_000)).unwrap();
    for entry in claim_all(&table, &claim, NOW_MS).await {
        table.drop_entry(&entry, &claim).await.unwrap();
    }
    assert!(embedded().all_rows("InboxDrop").is_empty());
}

#[tokio::test]
async fn an_unrecognised_update_is_kept_once_until_it_expires() {
    let table = table("InboxUnrecognised");
    for (body, rows) in [(json!({"a": 1}), 1), (json!({"text": noise(MAX_PUSH_BYTES)}), 1 + 1 + 2)] {
        let event = event(&body);
        let packed = PackedEvent::of(&event);
        let events = [(EntryKey::of_unrecognised(&event), packed.clone())];
        for stored in [Stored::New, Stored::Known] {
            let kept = table.store_unrecognised(Network::X, &events, at(NOW_MS), at(NOW_MS + 9000));
            assert_eq!(kept.await.unwrap(), [stored]);
        }
        let there = embedded().all_rows("InboxUnrecognised");
        assert_eq!(there.len(), rows, "{}", packed.bytes().len());
        let expires = ((NOW_MS + 9000) / 1000).to_string();
        assert!(there.iter().all(|row| row["expires_at"]["N"] == expires.as_str()));
        assert!(there.iter().all(|row| row["pk"]["S"].as_str().unwrap().starts_with("unrecognised#x#0")));
    }
    assert!(ready(&table).await.is_empty());
}

#[tokio::test]
async fn many_at_once_store_a_push_that_they_share_once() {
    let (table, page) = (table("InboxShared"), page());
    let all = entries(&page, 0..100);
    let storing = (0..8).map(|_| table.store(&all, at(NOW_MS)));
    let stored = futures_util::future::join_all(storing).await;
    let new: usize =
        stored.into_iter().flatten().map(|one| one.iter().filter(|one| **one == Stored::New).count()).sum();
    assert_eq!((new, embedded().all_rows("InboxShared").len()), (100, 100));
}

/// The cost of storing a thousand entries, in three ways.
#[tokio::test]
#[ignore = "a measurement"]
async fn calls_of_25_store_a_thousand_entries_fastest() {
    let name = "InboxMeasured";
    let (table, client) = (table(name), embedded().client());
    let rows = |page: &PageId| -> Vec<std::collections::HashMap<String, AttributeValue>> {
        let text = |text: String| AttributeValue::S(text);
        let row = |thing: u32| {
            std::collections::HashMap::from([
                ("pk".to_owned(), text(page.to_string())),
                ("sk".to_owned(), text(format!("{thing:064}"))),
                ("waiting".to_owned(), text(format!("ready#{:02}", thing % 16))),
                ("since".to_owned(), AttributeValue::N(NOW_MS.to_string())),
                ("event".to_owned(), AttributeValue::B(vec![7_u8; 500].into())),
            ])
        };
        (0..1000).map(row).collect()
    };
    for _ in 0..3 {
        let began = watch();
        table.store(&entries(&page(), 0..1000), at(NOW_MS)).await.unwrap();
        let statements = began.elapsed();
        let began = watch();
        let puts = stream::iter(rows(&page())).map(|row| {
            let call = client.put_item().table_name(name).set_item(Some(row));
            call.condition_expression("attribute_not_exists(pk)").send()
        });
        assert_eq!(
            puts.buffer_unordered(64).filter(|put| std::future::ready(put.is_ok())).count().await,
            1000
        );
        let puts = began.elapsed();
        let began = watch();
        for rows in rows(&page()).chunks(100) {
            let put = |row: &std::collections::HashMap<String, AttributeValue>| {
                let put = Put::builder().table_name(name).set_item(Some(row.clone()));
                let put = put.condition_expression("attribute_not_exists(pk)").build().unwrap();
                TransactWriteItem::builder().put(put).build()
            };
            let writes = Some(rows.iter().map(put).collect());
            client.transact_write_items().set_transact_items(writes).send().await.unwrap();
        }
        println!(
            "1000 entries: statements {statements:?}, puts {puts:?}, transactions {:?}",
            began.elapsed()
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a duration is measured, no time is read")]
fn watch() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn a_later_version_of_a_things_text_is_found() {
    let table = table("InboxVersions");
    let page = page();
    let version = |text: &str, says: bool| NewEntry {
        key: EntryKey::new("comment:1", &Version::of_content(Some(text), [])),
        says,
        ..entry(&page, "comment:1", EntryState::Ready)
    };
    let stored = async |entry: NewEntry, ms: i64| {
        table.store(std::slice::from_ref(&entry), at(NOW_MS + ms)).await.unwrap();
        table.says_something_new(&entry.into_claimed(event(&json!({})), at(NOW_MS + ms))).await.unwrap()
    };
    assert!(!stored(version("hidden", false), 0).await);
    assert!(!stored(version("a", true), 1).await, "that it was hidden says nothing");
    assert!(stored(version("b", true), 2).await);
    let other =
        NewEntry { key: EntryKey::new("comment:11", &Version::of_content(None, [])), ..version("a", true) };
    assert!(!stored(other, 3).await);
}

/// A sighting of a comment that says a text, told at a second by the push of a number, or by an answer.
fn told(page: &PageId, text: &str, push: Option<u64>, second: i64) -> NewEntry {
    let key = EntryKey::new("comment:1", &Version::of_content(Some(text), []));
    let sighting = Sighting {
        of: key.thing_and_version().1.to_owned(),
        with: None,
        at: push.map(|_| at(NOW_MS + second * 1000)),
        push,
        by: if push.is_some() { By::Push } else { By::Poll },
        edited: push.is_some_and(|push| push > 0),
    };
    let state = if push.is_some() {
        EntryState::Ready
    } else {
        EntryState::Claimed(Claim::new(at(NOW_MS + 60_000)).unwrap())
    };
    NewEntry { key, sighting: Some(sighting), ..entry(page, "comment:1", state) }
}

#[tokio::test]
async fn an_edit_back_is_a_row_and_its_repeats_are_none() {
    let (table, page) = (table("InboxEditsBack"), page());
    let store = async |entries: Vec<NewEntry>, second: i64| {
        let stored = table.store_versions(entries, at(NOW_MS + second * 1000)).await.unwrap();
        stored.iter().map(|one| one.stored == Stored::New).collect::<Vec<_>>()
    };
    let (a, b, a_again) =
        (told(&page, "a", Some(0), 1), told(&page, "b", Some(1), 2), told(&page, "a", Some(2), 3));
    assert_eq!(store(vec![a.clone()], 1).await, [true]);
    assert_eq!(store(vec![b.clone()], 2).await, [true]);
    assert_eq!(store(vec![a_again.clone()], 3).await, [true]);
    for late in [&a_again, &b, &a, &b] {
        assert_eq!(store(vec![late.clone()], 9).await, [false], "a repeat");
    }
    assert_eq!(store(vec![told(&page, "a", None, 0)], 10).await, [false], "an answer that has the last");
    assert_eq!(store(vec![told(&page, "b", None, 0)], 7200).await, [false], "a list that is late");
    let two_hours_later =
        table.store_versions(vec![told(&page, "b", None, 0)], at(NOW_MS + 7_203_000)).await.unwrap();
    assert_eq!((two_hours_later[0].stored, two_hours_later[0].is_later), (Stored::New, Some(true)));
    let keys: HashSet<_> = ready(&table).await.into_iter().map(|place| place.sk().to_owned()).collect();
    assert_eq!(keys.len(), 4);
    let thing = a.key.thing();
    assert!(keys.iter().all(|key| key.starts_with(thing)));
    assert!(keys.contains(two_hours_later[0].entry.key.as_str()));
}

#[tokio::test]
async fn one_push_may_edit_and_edit_back_and_come_twice() {
    let (table, page) = (table("InboxOnePush"), page());
    let all =
        || vec![told(&page, "a", Some(0), 1), told(&page, "b", Some(1), 1), told(&page, "a", Some(2), 1)];
    let stored = table.store_versions(all(), at(NOW_MS)).await.unwrap();
    let keys: HashSet<_> = stored.iter().map(|one| one.entry.key.clone()).collect();
    assert!(stored.iter().all(|one| one.stored == Stored::New));
    assert_eq!(keys.len(), 3);
    let again = table.store_versions(all(), at(NOW_MS + 5000)).await.unwrap();
    assert!(again.iter().all(|one| one.stored == Stored::Known));
    let again = table.store_versions(all().split_off(1), at(NOW_MS + 6000)).await.unwrap();
    assert!(again.iter().all(|one| one.stored == Stored::Known), "in another batch");
    // What was cut short after two of three.
    let cut = told(&self::page(), "a", Some(0), 1).page;
    let of_cut = |entry: NewEntry| NewEntry { page: cut.clone(), ..entry };
    let all_of_cut = || all().into_iter().map(of_cut).collect::<Vec<_>>();
    table.store_versions(all_of_cut()[..2].to_vec(), at(NOW_MS)).await.unwrap();
    let stored = table.store_versions(all_of_cut(), at(NOW_MS + 5000)).await.unwrap();
    let new: Vec<_> = stored.iter().map(|one| one.stored == Stored::New).collect();
    assert_eq!(new, [false, false, true]);
}

#[tokio::test]
async fn rows_of_an_older_build_are_versions() {
    let (table, page) = (table("InboxOlderBuild"), page());
    let old = |text: &str| NewEntry { sighting: None, ..told(&page, text, Some(0), 0) };
    table.store(&[old("a")], at(NOW_MS)).await.unwrap();
    table.store(&[old("b")], at(NOW_MS + 600_000)).await.unwrap();
    let known = async |entry: NewEntry, ms: i64| {
        table.store_versions(vec![entry], at(NOW_MS + ms)).await.unwrap()[0].stored == Stored::Known
    };
    assert!(known(told(&page, "b", None, 0), 700_000).await);
    assert!(known(told(&page, "a", Some(1), 1), 700_000).await, "a push from before `b`");
    assert!(!known(told(&page, "a", Some(1), 700), 710_000).await, "one from after it");
    assert!(known(told(&page, "a", Some(1), 700), 720_000).await);
    let claim = Claim::new(at(NOW_MS + 900_000)).unwrap();
    let claimed = claim_all(&table, &claim, NOW_MS + 720_000).await;
    assert_eq!(claimed.len(), 3);
    for entry in &claimed {
        table.mark(entry, &claim, at(NOW_MS + 720_001)).await.unwrap();
    }
    assert!(known(told(&page, "a", Some(1), 700), 730_000).await, "a marker is compared likewise");
    assert_eq!(
        table.store(&[old("a")], at(NOW_MS + 740_000)).await.unwrap(),
        [Stored::Known],
        "by the older build"
    );
}
