//! Pages, their routes and their tokens: which rows are written together, found, refused and deleted.

use std::collections::BTreeSet;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::config::Created;
use carteiro_adapters::tables::config::{ConfigTable, Replaced};
use carteiro_adapters::tables::pages::{ConnectedPage, CreatedPage, PageTables};
use carteiro_core::account_limit::Limited;
use carteiro_core::address::PrivateTargets;
use carteiro_core::credentials::Credentials;
use carteiro_core::id::{AccountId, PageId};
use carteiro_core::signature::Secret;
use carteiro_core::webhook::{Settings, Webhook};
use carteiro_networks::network::{Network, NetworkId};
use carteiro_networks::page::{Changed, Delivery, NewPage, Page, Token, TokenState};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::database::{NOW_MS, at, embedded, new_webhook};
use crate::support::{new_account, new_key, page_tables};

/// Tables of their own.
struct Tables {
    config: ConfigTable,
    others: PageTables,
    names: [String; 3],
}

impl Tables {
    fn new() -> Self {
        let (config, others, names) = page_tables();
        Self { config, others, names }
    }

    async fn account(&self) -> AccountId {
        new_account(&self.config).await
    }

    /// Connects a page of Facebook's.
    async fn connect(&self, account: &AccountId, network_id: &str) -> Page {
        let (page, token) = page(account, network_id);
        assert_eq!(self.create(&page, &token).await, CreatedPage::Done);
        page
    }

    async fn create(&self, page: &Page, token: &Token) -> CreatedPage {
        self.config.create_page(page, token, &self.others).await.unwrap()
    }

    async fn token(&self, page: &PageId) -> Option<Token> {
        self.others.tokens.find(page).await.unwrap().map(|stored| stored.token)
    }

    async fn find(&self, page: &Page) -> Option<Page> {
        self.config.find_page(&page.account, &page.id).await.unwrap()
    }

    async fn routes(&self, ids: &[&str]) -> Vec<ConnectedPage> {
        let ids: Vec<_> = ids.iter().map(|id| network_id(id)).collect();
        self.config.find_pages(Network::Facebook, &ids).await.unwrap()
    }

    async fn replace(&self, changed: &Changed) -> Replaced {
        self.config.replace_page(changed, &self.others).await.unwrap()
    }

    /// How many rows there are in both tables.
    fn rows(&self) -> usize {
        self.names.iter().map(|name| embedded().rows(name)).sum()
    }
}

fn network_id(text: &str) -> NetworkId {
    text.parse().unwrap()
}

fn page(account: &AccountId, network_id: &str) -> (Page, Token) {
    let given = json!({
        "network": "facebook", "network_id": network_id, "name": "Uma página", "access_token": "first",
        "refresh_token": "refresh", "expires_at": "2026-12-01T00:00:00Z",
    });
    let id = PageId::from_bits(random::bits128().unwrap());
    NewPage::from_json(given.as_object().unwrap()).unwrap().create(id, account.clone(), at(NOW_MS))
}

fn changed(page: &Page, patch: &Value) -> Changed {
    page.patched(patch.as_object().unwrap(), at(NOW_MS + 1000)).unwrap().unwrap()
}

fn route(page: &Page) -> ConnectedPage {
    ConnectedPage {
        page: page.id.clone(),
        account: page.account.clone(),
        network_id: page.network_id.clone(),
        delivery: page.delivery,
        proven: page.proven,
    }
}

#[tokio::test]
async fn a_page_is_found_by_account_and_network_id() {
    let tables = Tables::new();
    let account = tables.account().await;
    let (page, token) = page(&account, "1");
    assert_eq!(tables.create(&page, &token).await, CreatedPage::Done);
    assert_eq!(tables.find(&page).await, Some(page.clone()));
    assert_eq!(tables.routes(&["0", "1", "1"]).await, [route(&page)]);
    assert_eq!(tables.token(&page.id).await, Some(token));
    let stranger = tables.account().await;
    assert_eq!(tables.config.find_page(&stranger, &page.id).await.unwrap(), None);
    let elsewhere = tables.config.find_pages(Network::Instagram, &[network_id("1")]).await.unwrap();
    assert_eq!(elsewhere, []);
}

#[tokio::test]
async fn a_network_page_is_connected_once_by_each_account() {
    let tables = Tables::new();
    let (account, other) = (tables.account().await, tables.account().await);
    let first = tables.connect(&account, "1").await;
    let (again, token) = page(&account, "1");
    let before = tables.rows();
    assert_eq!(tables.create(&again, &token).await, CreatedPage::Duplicate(first.id.clone()));
    assert_eq!((tables.rows(), tables.token(&again.id).await), (before, None));
    let second = tables.connect(&other, "1").await;
    let of_both: BTreeSet<_> = tables.routes(&["1"]).await.into_iter().map(|one| one.page).collect();
    assert_eq!(of_both, BTreeSet::from([first.id.clone(), second.id.clone()]));
    // Connected again after it was deleted.
    assert!(tables.config.delete_page(&first, &tables.others).await.unwrap());
    assert_eq!(tables.create(&again, &token).await, CreatedPage::Done);
}

#[tokio::test]
async fn of_many_creations_of_one_page_at_once_one_is_made() {
    let tables = std::sync::Arc::new(Tables::new());
    let account = tables.account().await;
    let mut tasks = JoinSet::new();
    for _ in 0..12 {
        let (tables, account) = (tables.clone(), account.clone());
        tasks.spawn(async move {
            let (page, token) = page(&account, "1");
            tables.config.create_page(&page, &token, &tables.others).await
        });
    }
    let mut made = 0;
    for came in tasks.join_all().await {
        match came {
            Ok(CreatedPage::Done) => made += 1,
            Ok(CreatedPage::Duplicate(_)) | Err(AdapterError::Contended { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((made, tables.routes(&["1"]).await.len()), (1, 1));
    assert_eq!(tables.config.count_rows(&account, Limited::Pages).await.unwrap(), 1);
}

#[tokio::test]
async fn page_route_and_token_change_together_or_not_at_all() {
    let tables = Tables::new();
    let account = tables.account().await;
    let before = tables.connect(&account, "1").await;
    let patch = json!({"name": "b", "delivery": "immediate", "access_token": "second"});
    let change = changed(&before, &patch);
    assert_eq!(tables.replace(&change).await, Replaced::Done);
    assert_eq!(tables.find(&before).await.as_ref(), Some(&change.page));
    assert_eq!(tables.routes(&["1"]).await[0].delivery, Delivery::Immediate);
    let token = tables.token(&before.id).await.unwrap();
    assert_eq!((token.access_token.reveal(), token.version), ("second", change.page.token_version));

    // A write by the state that was read before changes nothing any more.
    let stale = changed(&before, &json!({"name": "c", "access_token": "third", "refresh_token": null}));
    assert_eq!(tables.replace(&stale).await, Replaced::ChangedMeanwhile);
    assert_eq!(tables.find(&before).await, Some(change.page.clone()));
    assert_eq!(tables.token(&before.id).await, Some(token));
    assert!(tables.config.delete_page(&change.page, &tables.others).await.unwrap());
    let late = changed(&change.page, &json!({"delivery": "scheduled", "access_token": "fourth"}));
    let rows = tables.rows();
    assert_eq!(tables.replace(&late).await, Replaced::ChangedMeanwhile);
    assert_eq!(tables.rows(), rows, "a change never makes a row");
}

#[tokio::test]
async fn only_what_is_given_of_a_token_changes() {
    let tables = Tables::new();
    let account = tables.account().await;
    let mut page = tables.connect(&account, "1").await;
    let cases = [
        (json!({"access_token": "second"}), "second", Some("refresh"), false),
        (json!({"expires_at": "2027-01-01T00:00:00Z"}), "second", Some("refresh"), true),
        (json!({"refresh_token": "other"}), "second", Some("other"), true),
        (json!({"refresh_token": null, "expires_at": null}), "second", None, false),
    ];
    for (patch, access, refresh, ends) in cases {
        let change = changed(&page, &patch);
        assert_eq!(tables.replace(&change).await, Replaced::Done);
        page = change.page;
        let token = tables.token(&page.id).await.unwrap();
        assert_eq!(token.access_token.reveal(), access, "{patch}");
        assert_eq!(token.refresh_token.as_ref().map(|one| one.reveal()), refresh, "{patch}");
        assert_eq!(token.expires_at.is_some(), ends, "{patch}");
        assert_eq!((token.expires_at, token.version), (page.token.expires_at, page.token_version));
        assert_eq!(page.token.state, TokenState::Unknown);
    }
}

#[tokio::test]
async fn a_deleted_page_leaves_no_row() {
    let tables = Tables::new();
    let account = tables.account().await;
    let before = tables.rows();
    let page = tables.connect(&account, "1").await;
    assert_eq!(tables.rows(), before + 5);
    assert!(tables.config.delete_page(&page, &tables.others).await.unwrap());
    assert_eq!(tables.rows(), before);
    assert!(!tables.config.delete_page(&page, &tables.others).await.unwrap());
}

#[tokio::test]
async fn nothing_is_added_to_a_missing_or_closing_account() {
    let tables = Tables::new();
    let (closing, absent) = (tables.account().await, AccountId::from_bits(0));
    assert!(tables.config.close_account(&closing).await.unwrap());
    assert!(tables.config.close_account(&closing).await.unwrap(), "a repeat goes on");
    assert!(!tables.config.close_account(&absent).await.unwrap());
    let before = tables.rows();
    let settings = json!({"url": "https://example.com", "items": ["event"]});
    let settings = Settings::from_json(settings.as_object().unwrap(), &PrivateTargets::default()).unwrap();
    for account in [closing, absent] {
        let (page, token) = page(&account, "1");
        assert_eq!(tables.create(&page, &token).await, CreatedPage::NoAccount);
        let key = tables.config.create_key(&account, &new_key(), at(NOW_MS)).await.unwrap();
        assert_eq!(key, Created::NoAccount);
        let secret = Secret::from_random([1; 32]);
        let webhook = Webhook::new(
            new_webhook(),
            account,
            settings.clone(),
            Credentials::new(secret, None),
            at(NOW_MS),
        );
        assert_eq!(tables.config.create_webhook(&webhook).await.unwrap(), Created::NoAccount);
    }
    assert_eq!(tables.rows(), before);
}

#[tokio::test]
async fn pages_are_listed_and_counted_for_their_account_alone() {
    let tables = Tables::new();
    let (account, other) = (tables.account().await, tables.account().await);
    tables.connect(&other, "0").await;
    let mut connected = BTreeSet::new();
    for n in 0..7 {
        connected.insert(tables.connect(&account, &n.to_string()).await.id);
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = tables.config.list_pages(&account, 3, after.as_deref()).await.unwrap();
        listed.extend(page.data.into_iter().map(|page| page.id));
        after = page.last;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, Vec::from_iter(connected));
    assert_eq!(tables.config.count_rows(&account, Limited::Pages).await.unwrap(), 7);
    assert_eq!(tables.config.all_webhooks(&account).await.unwrap(), []);
}

#[tokio::test]
async fn pages_of_many_network_ids_are_found_at_once() {
    let tables = Tables::new();
    let account = tables.account().await;
    for n in 0..30 {
        tables.connect(&account, &n.to_string()).await;
    }
    let ids: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let found: BTreeSet<String> =
        tables.routes(&ids).await.into_iter().map(|one| one.network_id.to_string()).collect();
    assert_eq!(found, (0..30).map(|n| n.to_string()).collect());
}
