//! Sign-in links and sessions: what begins one, what ends it, and what a race between the two leaves.

use std::sync::Arc;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::config::{Account, ConfigTable, NewKey};
use carteiro_adapters::tables::sessions::{Begun, Entry, SessionTable};
use carteiro_core::id::{AccountId, LinkId};
use carteiro_core::key::KeyHash;
use carteiro_core::session::{Link, LinkFault, LinkRequest, MAX_SESSIONS, Role, Session, Token, TokenOf};
use tokio::task::JoinSet;

use crate::database::embedded;
use crate::support::{later, new_key, now, unique};

/// Tables of their own, with an account and its key.
struct Tables {
    config: ConfigTable,
    sessions: SessionTable,
    account: AccountId,
    key: NewKey,
    /// The name of the sessions' table.
    name: String,
}

impl Tables {
    async fn new() -> Self {
        let names = ["Config", "Sessions"].map(unique);
        names.iter().for_each(|name| embedded().make_config(name));
        let config = ConfigTable::new(embedded().client(), names[0].clone());
        let account = AccountId::from_bits(random::bits128().unwrap());
        let key = new_key();
        let made = Account { id: account.clone(), name: "a".into(), created_at: now() };
        config.create_account(&made, &key).await.unwrap();
        let sessions = SessionTable::new(embedded().client(), names[1].clone());
        Self { config, sessions, account, key, name: names[1].clone() }
    }

    async fn link(&self) -> (KeyHash, Link) {
        let request = LinkRequest { role: Role::Look, seconds: 60, language: None, to: None };
        let link = Link::new(LinkId::from_bits(1), self.account.clone(), &request, now());
        let hash = Token::from_random(TokenOf::Link, random::bytes().unwrap()).hash();
        assert!(self.sessions.create_link(&self.config, &hash, &link).await.unwrap());
        (hash, link)
    }

    async fn begin(&self, entry: Entry<'_>, one: &(KeyHash, Session)) -> Result<Begun, AdapterError> {
        self.sessions.begin(&self.config, entry, (&one.0, &one.1), one.1.created_at).await
    }

    /// A session of this account that begins some milliseconds later.
    fn session(&self, ms: i64) -> (KeyHash, Session) {
        let hash = Token::from_random(TokenOf::Session, random::bytes().unwrap()).hash();
        (hash, Session::new(self.account.clone(), Role::Change, Some(self.key.id.clone()), later(ms)))
    }

    async fn is_there(&self, one: &(KeyHash, Session)) -> bool {
        self.sessions.find(&one.0).await.unwrap().is_some()
    }
}

#[tokio::test]
async fn of_many_that_use_a_link_at_once_one_begins_a_session() {
    let tables = Arc::new(Tables::new().await);
    let (hash, link) = tables.link().await;
    assert_eq!(tables.sessions.find_link(&hash).await.unwrap(), Some(link.clone()));
    let mut tasks = JoinSet::new();
    for _ in 0..12 {
        let (tables, hash, link) = (tables.clone(), hash.clone(), link.clone());
        tasks.spawn(async move { tables.begin(Entry::Link(&hash, &link), &tables.session(0)).await });
    }
    let mut begun = 0;
    for came in tasks.join_all().await {
        match came {
            Ok(Begun::Done) => begun += 1,
            Ok(Begun::Refused(LinkFault::Used)) | Err(AdapterError::Contended { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        (begun, embedded().rows(&tables.name)),
        (1, 3),
        "a link, and a session by its hash and account"
    );
    assert!(tables.sessions.find_link(&hash).await.unwrap().unwrap().is_used);
}

#[tokio::test]
async fn a_repeated_beginning_is_recognised_and_another_one_is_not() {
    let tables = Tables::new().await;
    let (hash, link) = tables.link().await;
    let (one, other) = (tables.session(0), tables.session(0));
    for _ in 0..2 {
        assert_eq!(tables.begin(Entry::Link(&hash, &link), &one).await.unwrap(), Begun::Done);
    }
    let refused = tables.begin(Entry::Link(&hash, &link), &other).await.unwrap();
    assert_eq!((refused, embedded().rows(&tables.name)), (Begun::Refused(LinkFault::Used), 3));
    assert_eq!(tables.sessions.find(&one.0).await.unwrap(), Some(one.1.clone()));
    let late = tables.link().await;
    let refused = tables.begin(Entry::Link(&late.0, &late.1), &tables.session(60_000)).await.unwrap();
    assert_eq!(refused, Begun::Refused(LinkFault::Expired));
}

#[tokio::test]
async fn what_was_revoked_or_ended_meanwhile_begins_nothing() {
    let tables = Tables::new().await;
    let key = Entry::Key(&tables.key.hash);
    let of_key = tables.session(0);
    assert_eq!(tables.begin(key, &of_key).await.unwrap(), Begun::Done);
    let (hash, link) = tables.link().await;
    assert!(tables.config.end_links(&tables.account, later(1)).await.unwrap());
    let refused = tables.begin(Entry::Link(&hash, &link), &tables.session(2)).await.unwrap();
    assert_eq!(refused, Begun::Refused(LinkFault::Expired));
    assert!(tables.config.delete_key(&tables.account, &tables.key.id).await.unwrap());
    assert_eq!(tables.begin(key, &tables.session(2)).await.unwrap(), Begun::Revoked);
    // The account closes.
    assert!(tables.config.close_account(&tables.account).await.unwrap());
    let hash = Token::from_random(TokenOf::Link, random::bytes().unwrap()).hash();
    assert!(!tables.sessions.create_link(&tables.config, &hash, &link).await.unwrap());
    assert!(tables.is_there(&of_key).await);
    tables.sessions.end_all(&tables.account, Some(&tables.key.id), later(3)).await.unwrap();
    assert!(!tables.is_there(&of_key).await);
}

#[tokio::test]
async fn an_ended_session_stays_ended_and_the_most_are_kept() {
    let tables = Tables::new().await;
    let key = Entry::Key(&tables.key.hash);
    let mut begun = Vec::new();
    for n in 0..=i64::try_from(MAX_SESSIONS).unwrap() {
        begun.push(tables.session(n));
        assert_eq!(tables.begin(key, begun.last().unwrap()).await.unwrap(), Begun::Done);
    }
    assert!(!tables.is_there(&begun[0]).await && tables.is_there(&begun[1]).await);
    assert_eq!(embedded().rows(&tables.name), 2 * MAX_SESSIONS);
    let touch = begun[1].1.touch(later(3_600_000)).unwrap();
    tables.sessions.touch(&begun[1].0, &touch).await.unwrap();
    let idle_at = tables.sessions.find(&begun[1].0).await.unwrap().unwrap().idle_at;
    assert_eq!(idle_at, later(3 * 3_600_000));
    tables.sessions.end(&begun[1].0, &begun[1].1).await.unwrap();
    tables.sessions.touch(&begun[1].0, &touch).await.unwrap();
    assert!(!tables.is_there(&begun[1]).await, "no touch brings it back");
    tables.sessions.end_all(&tables.account, None, later(1000)).await.unwrap();
    assert_eq!(embedded().rows(&tables.name), 0);
}
