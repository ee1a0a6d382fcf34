//! Addresses that alerts go to: their rows, the counts of their codes, and how often they are alerted.

use std::collections::BTreeSet;

use carteiro_adapters::tables::alerts::AlertRows;
use carteiro_adapters::tables::config::{ConfigTable, Created, Replaced};
use carteiro_core::alert::confirmation::{CODES_A_DAY, Code, Tried};
use carteiro_core::alert::pacing::{MAILS_A_DAY, Turn};
use carteiro_core::alert::{
    Alert, AlertEvent, AlertKind, Language, MAX_ALERTS_PER_ACCOUNT, NewAlert, Raised, Target,
};
use carteiro_core::id::{AccountId, AlertId, ItemId};
use futures_util::future::join_all;
use serde_json::json;

use crate::database::embedded;
use crate::support::{later, new_account, now, unique};

fn config() -> (ConfigTable, String) {
    let name = unique("Config");
    embedded().make_config(&name);
    (ConfigTable::new(embedded().client(), name.clone()), name)
}

fn rows() -> AlertRows {
    let name = unique("Streaks");
    embedded().make_plain(&name);
    AlertRows::new(embedded().client(), name)
}

fn alert(account: &AccountId, bits: u128) -> Alert {
    let new = NewAlert {
        target: Target::Email(format!("a{bits}@example.com")),
        language: Language::English,
        events: BTreeSet::from(AlertEvent::ALL),
    };
    new.create((AlertId::from_bits(bits), 1), account.clone(), now())
}

fn raised(webhook: &str) -> Raised {
    let notice = json!({"type": "webhook.blocked", "data": {"webhook": webhook, "item_type": "event"}});
    Raised::of(notice.to_string().as_bytes()).unwrap()
}

fn notice(bits: u128) -> ItemId {
    ItemId::from_bits(bits)
}

#[tokio::test]
async fn an_address_is_stored_changed_and_deleted() {
    let (config, name) = config();
    let account = new_account(&config).await;
    let stored = alert(&account, 1);
    assert_eq!(config.create_alert(&stored).await.unwrap(), Created::Done);
    assert_eq!(config.create_alert(&stored).await.unwrap(), Created::Exists);
    assert_eq!(config.find_alert(&account, &stored.id).await.unwrap().as_ref(), Some(&stored));
    assert_eq!(config.find_alert(&AccountId::from_bits(9), &stored.id).await.unwrap(), None);

    let code = Code::from_random([7; 5]);
    let sent = stored.with(stored.confirmation.with_code(&stored.id, &code, now()));
    assert_eq!(config.replace_alert(&sent).await.unwrap(), Replaced::Done);
    assert_eq!(config.replace_alert(&sent).await.unwrap(), Replaced::ChangedMeanwhile, "by another version");
    let read = config.find_alert(&account, &stored.id).await.unwrap().unwrap();
    assert!(matches!(read.confirmation.tried(&stored.id, &code, later(1)), Tried::Confirmed(_)));

    assert!(config.delete_alert(&account, &stored.id).await.unwrap());
    assert!(!config.delete_alert(&account, &stored.id).await.unwrap());
    assert_eq!(
        config.replace_alert(&sent).await.unwrap(),
        Replaced::ChangedMeanwhile,
        "a deleted one stays so"
    );
    config.take_code(&account, now()).await.unwrap();
    config.create_alert(&stored).await.unwrap();
    config.delete_all_alerts(&account).await.unwrap();
    let left = embedded().all_rows(&name).into_iter().filter(|row| row.to_string().contains("alert-codes"));
    assert_eq!((config.all_alerts(&account).await.unwrap(), left.count()), (Vec::new(), 0));
}

#[tokio::test]
async fn an_account_has_five_addresses_also_of_requests_at_once() {
    let (config, _) = config();
    let account = new_account(&config).await;
    let many: Vec<Alert> = (0..8).map(|bits| alert(&account, bits)).collect();
    let created = join_all(many.iter().map(|one| config.create_alert(one))).await;
    let done = created.iter().filter(|created| matches!(created, Ok(Created::Done))).count();
    assert!(done <= MAX_ALERTS_PER_ACCOUNT, "{created:?}");
    for one in &many {
        let _ = config.create_alert(one).await.unwrap();
    }
    assert_eq!(config.all_alerts(&account).await.unwrap().len(), MAX_ALERTS_PER_ACCOUNT);
    let gone = alert(&AccountId::from_bits(1), 1);
    assert_eq!(config.create_alert(&gone).await.unwrap(), Created::NoAccount);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_no_alert_back() {
    let (config, name) = config();
    let account = new_account(&config).await;
    config.create_alert(&alert(&account, 1)).await.unwrap();
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let put = embedded().client().put_item().table_name(&name);
    let put = put.item("pk", text(&format!("account#{account}"))).item("sk", text("alert#alert_0"));
    put.item("alert", text("{")).send().await.unwrap();
    assert_eq!(config.all_alerts(&account).await.unwrap().len(), 1);
    config.delete_all_alerts(&account).await.unwrap();
    assert_eq!(config.all_alerts(&account).await.unwrap().len(), 0);
}

#[tokio::test]
async fn the_codes_of_a_day_are_counted_for_an_account() {
    let (config, _) = config();
    let account = AccountId::from_bits(3);
    for _ in 0..CODES_A_DAY {
        assert!(config.take_code(&account, now()).await.unwrap());
    }
    assert!(!config.take_code(&account, now()).await.unwrap());
    assert!(config.take_code(&AccountId::from_bits(4), now()).await.unwrap());
    assert!(config.take_code(&account, later(86_400_000)).await.unwrap());
}

#[tokio::test]
async fn an_address_is_alerted_once_in_an_interval_for_each_thing() {
    let (rows, id) = (rows(), AlertId::from_bits(1));
    let turn = async |bits: u128, webhook: &str, ms: i64| {
        rows.claim(&id, &raised(webhook), &notice(bits), later(ms)).await.unwrap()
    };
    assert_eq!(turn(1, "wh_1", 0).await, Turn::Send { missed: 0 });
    assert_eq!(turn(1, "wh_1", 1).await, Turn::Busy, "another worker has it");
    assert_eq!(turn(1, "wh_1", 25_000).await, Turn::Send { missed: 0 }, "and may have died");
    rows.mark_sent(&id, &raised("wh_1"), &notice(1)).await.unwrap();
    assert_eq!(turn(1, "wh_1", 25_001).await, Turn::WasSent);
    for bits in [2, 3, 3] {
        assert_eq!(turn(bits, "wh_1", 25_002).await, Turn::TooSoon);
    }
    assert_eq!(turn(4, "wh_2", 3).await, Turn::Send { missed: 0 }, "another thing");
    assert_eq!(turn(5, "wh_1", 3_625_000).await, Turn::Send { missed: 2 });
    rows.give_up(&id, &raised("wh_1"), &notice(5), later(3_625_000)).await.unwrap();
    assert_eq!(turn(6, "wh_1", 3_625_001).await, Turn::Send { missed: 3 }, "at once");
}

#[tokio::test]
async fn an_account_has_fifty_mails_a_day_also_at_once() {
    let (rows, account, id) = (rows(), AccountId::from_bits(1), AlertId::from_bits(2));
    let email = (&id, AlertKind::Email);
    for bits in 0..MAILS_A_DAY as u128 {
        assert!(rows.take_place(&account, email, &notice(bits), now()).await.unwrap(), "{bits}");
    }
    assert!(!rows.take_place(&account, email, &notice(99), now()).await.unwrap());
    assert!(rows.take_place(&account, email, &notice(3), now()).await.unwrap(), "a repeat has its place");
    assert!(rows.take_place(&AccountId::from_bits(9), email, &notice(99), now()).await.unwrap());
    let other = AccountId::from_bits(10);
    let at_once = join_all((0..3).map(|bits| {
        let (rows, other, id) = (&rows, &other, &id);
        async move { rows.take_place(other, (id, AlertKind::Email), &notice(bits), now()).await }
    }));
    assert!(at_once.await.into_iter().all(|taken| taken.unwrap()));
}
