//! Times, ids, deliveries and tables that several files of these tests use.

use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::config::{Account, ConfigTable, NewKey};
use carteiro_adapters::tables::pages::PageTables;
use carteiro_adapters::tables::poll::PollTable;
use carteiro_adapters::tables::tokens::TokenTable;
use carteiro_core::delivery::Delivery;
use carteiro_core::hop::Hop;
use carteiro_core::id::{AccountId, ItemId, KeyId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::key::ApiKey;
use jiff::Timestamp;

use crate::database::{NOW_MS, at, embedded};

pub(crate) fn now() -> Timestamp {
    at(NOW_MS)
}

pub(crate) fn later(ms: i64) -> Timestamp {
    at(NOW_MS + ms)
}

/// A table name that no other test has.
pub(crate) fn unique(kind: &str) -> String {
    format!("{kind}{:032x}", random::bits128().unwrap())
}

/// A new table of held items, by its name.
pub(crate) fn new_held() -> String {
    let name = unique("Held");
    embedded().make_held(&name);
    name
}

/// A delivery of a message, accepted now.
pub(crate) fn delivery(webhook: &WebhookId, item: ItemId) -> Delivery {
    Delivery {
        account: AccountId::from_bits(1),
        webhook: webhook.clone(),
        item,
        item_type: ItemType::MESSAGE,
        source: "bot:b".parse().unwrap(),
        accepted_at: now(),
        attempt: 4,
        chain: 0,
        revision: 1,
        step: None,
        replayed: None,
        keep_until: None,
        hop: Hop::default(),
        body: b"{}".to_vec(),
    }
}

/// New tables of pages, tokens and schedules, and their names.
pub(crate) fn page_tables() -> (ConfigTable, PageTables, [String; 3]) {
    let names = ["Config", "Tokens", "Poll"].map(unique);
    embedded().make_config(&names[0]);
    embedded().make_tokens(&names[1]);
    embedded().make_config(&names[2]);
    let client = embedded().client();
    let others = PageTables {
        tokens: TokenTable::new(client.clone(), names[1].clone()),
        polls: PollTable::new(client.clone(), names[2].clone()),
    };
    (ConfigTable::new(client, names[0].clone()), others, names)
}

pub(crate) fn new_key() -> NewKey {
    let key = ApiKey::from_random(random::bytes().unwrap());
    NewKey { id: KeyId::from_bits(random::bits128().unwrap()), hash: key.hash() }
}

/// Creates an account that no other test has.
pub(crate) async fn new_account(config: &ConfigTable) -> AccountId {
    let id = AccountId::from_bits(random::bits128().unwrap());
    let account = Account { id: id.clone(), name: "a".into(), created_at: now() };
    config.create_account(&account, &new_key()).await.unwrap();
    id
}
