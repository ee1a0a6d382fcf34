//! Sign-in links and sessions of the console. The rules are in [`carteiro_core::session`].
//!
//! | what | `pk` | `sk` | attributes |
//! |---|---|---|---|
//! | link, by the hash of its token | `link#<sha-256>` | `link` | `id`, `account`, `role`, `created_at`, `ends_at`; `used_by`: the hash of the session that it began |
//! | session, by the hash of its token | `session#<sha-256>` | `session` | `account`, `role`, `key` where a key began it, `created_at`, `ends_at`, `idle_at` |
//! | session, by its account (to end it) | `account#<id>` | `session#<beginning, 13 digits>#<sha-256>` | `key` |
//!
//! A request by cookie reads one row, as one by key does. What begins a session is checked in the transaction that
//! stores it: its link, its key, and that the account is not being deleted. So whoever deletes the key or the account,
//! or ends the account's links, and then ends the sessions that there are, leaves none. A repeat of that ends what an
//! interrupted one left.

use std::time::Duration;

use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem, Update};
use carteiro_core::id::{AccountId, KeyId};
use carteiro_core::key::KeyHash;
use carteiro_core::retention::after;
use carteiro_core::session::{
    self, Link, LinkFault, Role, SESSION_TIME, Session, ended_by_one_more, takes_link, takes_sessions,
};
use carteiro_core::transition::{Condition, Effect, Write};
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::tables::conditional::{self, Answer};
use crate::tables::config::{ConfigTable, EXISTS, account_pk};
use crate::tables::expression::Expressions;
use crate::tables::row::{Reader, Row, milliseconds, seconds, sorted_digits, text};
use crate::tables::rows::{Rows, table};
use crate::tables::transaction::{Transacted, transact_patiently};

const TABLE: &str = "sessions";

/// How long a row stays after its end, so that a late link is distinguished from one that never was.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How many sessions one transaction ends, of two rows each.
const ENDED_TOGETHER: usize = 25;

table! {
    /// Links and sessions.
    pub struct SessionTable;
}

/// What begins a session.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// A link, by the hash of its token.
    Link(&'a KeyHash, &'a Link),
    /// A key, by its hash.
    Key(&'a KeyHash),
}

/// How the beginning of a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is stored.
    Done,
    /// The link does not work, or not any more.
    Refused(LinkFault),
    /// The key was revoked, or its account is being deleted.
    Revoked,
}

/// A session as its account's row names it.
struct Listed {
    sk: String,
    hash: String,
    key: Option<KeyId>,
}

impl SessionTable {
    /// Stores a new link. False where its account does not exist or is being deleted.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn create_link(
        &self,
        config: &ConfigTable,
        hash: &KeyHash,
        link: &Link,
    ) -> Result<bool, AdapterError> {
        const OPERATION: &str = "making a sign-in link";
        let mut row = link_key(hash);
        row.extend([
            ("id".to_owned(), text(link.id.as_str())),
            ("account".to_owned(), text(link.account.as_str())),
            ("role".to_owned(), text(link.role.as_str())),
            ("created_at".to_owned(), milliseconds(link.created_at)),
            ("ends_at".to_owned(), milliseconds(link.ends_at)),
            ("expires_at".to_owned(), seconds(after(link.ends_at, KEPT))),
        ]);
        let writes = [self.put(row)?, check(config, account_key(&link.account), &takes_sessions())?];
        let transacted = transact_patiently(&self.client, &writes, OPERATION).await?;
        Ok(refused(transacted, OPERATION)?.is_empty())
    }

    /// A link, by the hash of its token.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn find_link(&self, hash: &KeyHash) -> Result<Option<Link>, AdapterError> {
        let row = self.get(link_key(hash), "finding a sign-in link").await?;
        row.as_ref().map(read_link).transpose()
    }

    /// Stores a session that begins, under the hash of its token; ends the oldest where there are too many.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn begin(
        &self,
        config: &ConfigTable,
        entry: Entry<'_>,
        (hash, session): (&KeyHash, &Session),
        now: Timestamp,
    ) -> Result<Begun, AdapterError> {
        const OPERATION: &str = "beginning a session";
        let account = &session.account;
        let entered = match entry {
            Entry::Link(link, of) => [
                self.update(link_key(link), &session::use_link(hash, now))?,
                check(config, account_key(account), &takes_link(of.created_at))?,
            ],
            Entry::Key(key) => [
                check(config, key_row(key), &Condition::Exists("account"))?,
                check(config, account_key(account), &takes_sessions())?,
            ],
        };
        let there = self.list(account, now).await?;
        let mut writes = Vec::from(entered);
        writes.extend(self.rows(hash, session)?);
        for oldest in there.iter().take(ended_by_one_more(there.len())) {
            writes.extend(self.deletions(account, oldest)?);
        }
        let transacted = transact_patiently(&self.client, &writes, OPERATION).await?;
        let refused = refused(transacted, OPERATION)?;
        match (entry, refused.first()) {
            (_, None) => Ok(Begun::Done),
            (Entry::Key(_), Some(0 | 1)) => Ok(Begun::Revoked),
            (Entry::Link(link, _), Some(0)) => {
                let link = self.find_link(link).await?;
                // What refused it was there a moment ago: somebody else was first.
                Ok(Begun::Refused(LinkFault::of(link.as_ref(), now).unwrap_or(LinkFault::Used)))
            }
            (Entry::Link(..), Some(1)) => Ok(Begun::Refused(LinkFault::Expired)),
            // Nothing else has a condition.
            (_, Some(_)) => Err(AdapterError::Contended { operation: OPERATION }),
        }
    }

    /// A session, by the hash of its token, also one whose time is over.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn find(&self, hash: &KeyHash) -> Result<Option<Session>, AdapterError> {
        let row = self.get(session_key(hash), "finding a session").await?;
        row.as_ref().map(read_session).transpose()
    }

    /// Moves a session's idle end, by the core's write. One that was ended meanwhile stays ended.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn touch(&self, hash: &KeyHash, touch: &Write) -> Result<(), AdapterError> {
        let table = (&self.client, self.name.as_str());
        conditional::write(table, session_key(hash), touch, &[], Answer::Outcome).await.map(|_| ())
    }

    /// Ends one session.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn end(&self, hash: &KeyHash, session: &Session) -> Result<(), AdapterError> {
        let sk = listed_sk(session.created_at, hash);
        self.delete(&session.account, &[Listed { sk, hash: hash.as_str().to_owned(), key: None }]).await
    }

    /// Ends all sessions of an account, or those that one of its keys began.
    ///
    /// # Errors
    /// Where they cannot be read or written. A repeat goes on.
    pub async fn end_all(
        &self,
        account: &AccountId,
        key: Option<&KeyId>,
        now: Timestamp,
    ) -> Result<(), AdapterError> {
        let mut ended = self.list(account, now).await?;
        ended.retain(|listed| key.is_none() || listed.key.as_ref() == key);
        for some in ended.chunks(ENDED_TOGETHER) {
            self.delete(account, some).await?;
        }
        Ok(())
    }

    async fn delete(&self, account: &AccountId, ended: &[Listed]) -> Result<(), AdapterError> {
        const OPERATION: &str = "ending sessions";
        let mut writes = Vec::new();
        for listed in ended {
            writes.extend(self.deletions(account, listed)?);
        }
        let transacted = transact_patiently(&self.client, &writes, OPERATION).await?;
        refused(transacted, OPERATION).map(|_| ())
    }

    /// The sessions of an account that began so late that their time may not be over, the oldest first.
    async fn list(&self, account: &AccountId, now: Timestamp) -> Result<Vec<Listed>, AdapterError> {
        let from = now.checked_sub(SESSION_TIME).unwrap_or(Timestamp::MIN);
        let (mut listed, mut start) = (Vec::new(), None);
        loop {
            let call = self.query_rows().consistent_read(true);
            let call = call
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
                .expression_attribute_values(":pk", text(account_pk(account)))
                .expression_attribute_values(":from", text(format!("session#{}", sorted_digits(from))))
                .expression_attribute_values(":to", text("session#~"))
                .set_exclusive_start_key(start);
            let answer = call.send().await.map_err(AdapterError::in_call("finding sessions"))?;
            for row in answer.items.unwrap_or_default() {
                listed.push(read_listed(&row)?);
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(listed);
            }
        }
    }

    async fn get(&self, key: Row, operation: &'static str) -> Result<Option<Row>, AdapterError> {
        let call = self.get_item(key).consistent_read(true);
        let answer = call.send().await;
        answer.map(|answer| answer.item).map_err(AdapterError::in_call(operation))
    }

    fn rows(&self, hash: &KeyHash, session: &Session) -> Result<[TransactWriteItem; 2], AdapterError> {
        let expires_at = ("expires_at".to_owned(), seconds(after(session.ends_at, KEPT)));
        let key = session.key.as_ref().map(|key| ("key".to_owned(), text(key.as_str())));
        let mut by_hash = session_key(hash);
        by_hash.extend([
            ("account".to_owned(), text(session.account.as_str())),
            ("role".to_owned(), text(session.role.as_str())),
            ("created_at".to_owned(), milliseconds(session.created_at)),
            ("ends_at".to_owned(), milliseconds(session.ends_at)),
            ("idle_at".to_owned(), milliseconds(session.idle_at)),
            expires_at.clone(),
        ]);
        by_hash.extend(key.clone());
        let mut by_account = row_key(account_pk(&session.account), listed_sk(session.created_at, hash));
        by_account.extend([expires_at]);
        by_account.extend(key);
        Ok([self.put(by_hash)?, self.put(by_account)?])
    }

    /// Stores a row under a random key, where nothing else can be: without a condition, a repeat is the same.
    fn put(&self, row: Row) -> Result<TransactWriteItem, AdapterError> {
        let put = Put::builder().table_name(&self.name).set_item(Some(row));
        let put = put.build().map_err(AdapterError::not_built("storing a session"))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    fn update(&self, key: Row, write: &Write) -> Result<TransactWriteItem, AdapterError> {
        let changes = match &write.effect {
            Effect::Update(changes) => changes.as_slice(),
            Effect::Delete => &[],
        };
        let mut expressions = Expressions::default();
        let condition = expressions.condition(&write.condition);
        let update = expressions.update(changes, &[]);
        let update = Update::builder()
            .table_name(&self.name)
            .set_key(Some(key))
            .condition_expression(condition)
            .update_expression(update)
            .set_expression_attribute_names(Some(expressions.names()))
            .set_expression_attribute_values(expressions.values())
            .build()
            .map_err(AdapterError::not_built(write.name))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// The deletions of a session's rows.
    fn deletions(
        &self,
        account: &AccountId,
        listed: &Listed,
    ) -> Result<[TransactWriteItem; 2], AdapterError> {
        let of = |key: Row| {
            let delete = Delete::builder().table_name(&self.name).set_key(Some(key)).build();
            let delete = delete.map_err(AdapterError::not_built("ending a session"))?;
            Ok::<_, AdapterError>(TransactWriteItem::builder().delete(delete).build())
        };
        let by_hash = row_key(format!("session#{}", listed.hash), "session".to_owned());
        Ok([of(by_hash)?, of(row_key(account_pk(account), listed.sk.clone()))?])
    }
}

impl ConfigTable {
    /// The account and the id of a key.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn find_key_with_id(&self, hash: &KeyHash) -> Result<Option<(AccountId, KeyId)>, AdapterError> {
        let row = self.get(format!("key#{}", hash.as_str()), "key".to_owned(), "finding a key").await?;
        let read = |row: Row| {
            let row = Reader { table: "config", row: &row };
            Ok((row.parsed("account")?, row.parsed("key")?))
        };
        row.map(read).transpose()
    }

    /// Ends all sign-in links of an account that were made up to now. False where it does not exist.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn end_links(&self, account: &AccountId, now: Timestamp) -> Result<bool, AdapterError> {
        let call = self.update_item(account_key(account));
        let call = call.update_expression("SET links_from = :now").condition_expression(EXISTS);
        let call = call.expression_attribute_values(":now", milliseconds(now));
        Ok(conditional::made(call.send().await, "ending sign-in links")?.is_some())
    }
}

/// A condition on a row of the configuration, in a transaction.
fn check(config: &ConfigTable, key: Row, condition: &Condition) -> Result<TransactWriteItem, AdapterError> {
    let mut expressions = Expressions::default();
    let condition = expressions.condition(condition);
    let check = ConditionCheck::builder()
        .table_name(&config.name)
        .set_key(Some(key))
        .condition_expression(condition)
        .set_expression_attribute_names(Some(expressions.names()))
        .set_expression_attribute_values(expressions.values())
        .build()
        .map_err(AdapterError::not_built("checking an account"))?;
    Ok(TransactWriteItem::builder().condition_check(check).build())
}

/// The writes of a transaction whose conditions did not hold.
fn refused(transacted: Transacted, operation: &'static str) -> Result<Vec<usize>, AdapterError> {
    match transacted {
        Transacted::Done => Ok(Vec::new()),
        Transacted::Refused(refused) => Ok(refused),
        Transacted::InTheWay | Transacted::Throttled => Err(AdapterError::Contended { operation }),
    }
}

fn row_key(pk: String, sk: String) -> Row {
    Row::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

fn link_key(hash: &KeyHash) -> Row {
    row_key(format!("link#{}", hash.as_str()), "link".to_owned())
}

fn session_key(hash: &KeyHash) -> Row {
    row_key(format!("session#{}", hash.as_str()), "session".to_owned())
}

/// The key of an account's row of the configuration.
fn account_key(account: &AccountId) -> Row {
    row_key("accounts".to_owned(), account.to_string())
}

/// The key of a key's row of the configuration.
fn key_row(hash: &KeyHash) -> Row {
    row_key(format!("key#{}", hash.as_str()), "key".to_owned())
}

fn listed_sk(created_at: Timestamp, hash: &KeyHash) -> String {
    format!("session#{}#{}", sorted_digits(created_at), hash.as_str())
}

fn read_role(row: &Reader<'_>) -> Result<Role, AdapterError> {
    Role::named(row.text("role")?).ok_or(AdapterError::Malformed { table: TABLE, attribute: "role" })
}

fn read_key(row: &Reader<'_>) -> Result<Option<KeyId>, AdapterError> {
    row.row.contains_key("key").then(|| row.parsed("key")).transpose()
}

fn read_link(row: &Row) -> Result<Link, AdapterError> {
    let row = Reader { table: TABLE, row };
    Ok(Link {
        id: row.parsed("id")?,
        account: row.parsed("account")?,
        role: read_role(&row)?,
        created_at: row.milliseconds("created_at")?,
        ends_at: row.milliseconds("ends_at")?,
        is_used: row.row.contains_key("used_by"),
    })
}

fn read_session(row: &Row) -> Result<Session, AdapterError> {
    let row = Reader { table: TABLE, row };
    Ok(Session {
        account: row.parsed("account")?,
        role: read_role(&row)?,
        key: read_key(&row)?,
        created_at: row.milliseconds("created_at")?,
        ends_at: row.milliseconds("ends_at")?,
        idle_at: row.milliseconds("idle_at")?,
    })
}

fn read_listed(row: &Row) -> Result<Listed, AdapterError> {
    let row = Reader { table: TABLE, row };
    let sk = row.text("sk")?.to_owned();
    let hash = sk.rsplit('#').next().unwrap_or_default().to_owned();
    Ok(Listed { hash, key: read_key(&row)?, sk })
}
