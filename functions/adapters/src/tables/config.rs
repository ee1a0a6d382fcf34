//! The configuration: accounts, keys and webhooks.
//!
//! | what | `pk` | `sk` |
//! |---|---|---|
//! | account | `accounts` | account id |
//! | key, by its hash (to authenticate) | `key#<sha-256>` | `key` |
//! | key, by its account (to revoke) | `account#<id>` | `key#<key id>` |
//! | webhook | `account#<id>` | `webhook#<webhook id>` |
//!
//! The rows of pages are described in [`pages`](super::pages), those of alerts in [`alerts`](super::alerts). An account
//! that is being deleted is marked first (`closing`): nothing can be added to it from then on, so nothing remains of it
//! in the end.
//!
//! The time in `links_from` of an account's row ends the sign-in links that were made before it
//! ([`sessions`](super::sessions)).
//!
//! An account's row counts its webhooks, pages and keys ([`account_counts`](crate::tables::account_counts)).
//!
//! A webhook is one row, changed only on condition that its `version` is the one that was read, so no change overwrites
//! another. All reads that decide something are consistent: routing sees every webhook whose creation was answered
//! before.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, KeysAndAttributes, Put, TransactWriteItem};
use carteiro_core::account_limit::Limited;
use carteiro_core::id::{AccountId, KeyId, WebhookId};
use carteiro_core::key::KeyHash;
use carteiro_core::slow::SlowAttempts;
use carteiro_core::transition::{Row as CoreRow, Write};
use carteiro_core::webhook::Webhook;
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::tables::conditional::made;
use crate::tables::row::{Reader, Row, milliseconds, number, text};
use crate::tables::rows::{Rows, table};
use crate::tables::slow as slow_row;
use crate::tables::streak::{StreakKey, StreakTable};
use crate::tables::unhealthy::{self, Place, UNHEALTHY, shard_name};

pub(crate) const TABLE: &str = "config";

/// Nothing is at this key yet.
pub(crate) const IS_NEW: &str = "attribute_not_exists(pk)";
/// Something is at this key.
pub(crate) const EXISTS: &str = "attribute_exists(pk)";
/// The webhook or page was not changed since it was read. A deleted one has no version.
pub(crate) const IS_AS_READ: &str = "version = :read";

table! {
    /// Accounts, keys and webhooks.
    pub struct ConfigTable;
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name, in the operator's words.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A new key of an account, to be stored.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// Its stored part.
    pub hash: KeyHash,
}

/// How a change of a webhook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It is stored.
    Done,
    /// It was changed or deleted since it was read.
    ChangedMeanwhile,
}

/// The rows that one call found.
#[derive(Debug)]
pub struct Found {
    /// The webhooks that exist, or why one of them cannot be read.
    pub webhooks: HashMap<WebhookId, Result<Webhook, AdapterError>>,
    /// The streaks that there are.
    pub streaks: HashMap<StreakKey, CoreRow>,
    /// The slow attempts of the accounts that have any.
    pub slow: HashMap<AccountId, SlowAttempts>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage<T> {
    /// The entries.
    pub data: Vec<T>,
    /// The last sort key, where there is more.
    pub last: Option<String>,
}

/// How a creation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is stored.
    Done,
    /// There is one at the same place already.
    Exists,
    /// The account does not exist, or is being deleted. Its rows could never be found or deleted.
    NoAccount,
    /// The account has as many as it may have.
    TooMany,
}

impl ConfigTable {
    /// The key's account.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn find_key(&self, hash: &KeyHash) -> Result<Option<AccountId>, AdapterError> {
        let row = self.get(format!("key#{}", hash.as_str()), "key".to_owned(), "finding a key").await?;
        row.map(|row| Reader { table: TABLE, row: &row }.parsed("account")).transpose()
    }

    /// Stores an account with its first key.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn create_account(&self, account: &Account, key: &NewKey) -> Result<(), AdapterError> {
        let row = Row::from([
            ("pk".to_owned(), text("accounts")),
            ("sk".to_owned(), text(account.id.as_str())),
            ("name".to_owned(), text(account.name.as_str())),
            ("created_at".to_owned(), milliseconds(account.created_at)),
            (Limited::Webhooks.as_str().to_owned(), number(0_i64)),
            (Limited::Pages.as_str().to_owned(), number(0_i64)),
            (Limited::Keys.as_str().to_owned(), number(1_i64)),
            (Limited::Alerts.as_str().to_owned(), number(0_i64)),
        ]);
        let mut writes = vec![self.put(row)?];
        writes.extend(self.key_rows(&account.id, key, account.created_at)?);
        self.transact(writes, "creating an account").await.map(|_| ())
    }

    /// The accounts, in the order of their ids.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn list_accounts(
        &self,
        limit: u16,
        after: Option<&str>,
    ) -> Result<ListPage<Account>, AdapterError> {
        let (rows, last) = self.query_page("accounts", "acc_", i32::from(limit), after).await?;
        Ok(ListPage { data: rows.iter().map(read_account).collect::<Result<_, AdapterError>>()?, last })
    }

    /// An account, being deleted or not.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn find_account(&self, account: &AccountId) -> Result<Option<Account>, AdapterError> {
        let row = self.get("accounts".to_owned(), account.to_string(), "finding an account").await?;
        row.as_ref().map(read_account).transpose()
    }

    /// Whether an account exists and is not being deleted.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn account_is_open(&self, account: &AccountId) -> Result<bool, AdapterError> {
        let row = self.get("accounts".to_owned(), account.to_string(), "finding an account").await?;
        Ok(row.is_some_and(|row| !row.contains_key("closing")))
    }

    /// Marks an account as being deleted, the first step of deleting it: nothing is added to it any more. False where
    /// it does not exist.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn close_account(&self, account: &AccountId) -> Result<bool, AdapterError> {
        let call = self.client.update_item().table_name(&self.name);
        let call = call.key("pk", text("accounts")).key("sk", text(account.as_str()));
        let call = call.update_expression("SET closing = :yes").condition_expression(EXISTS);
        let call = call.expression_attribute_values(":yes", AttributeValue::Bool(true));
        Ok(made(call.send().await, "closing an account")?.is_some())
    }

    /// Deletes an account's row, the last step of deleting an account.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn delete_account_row(&self, account: &AccountId) -> Result<(), AdapterError> {
        self.delete("accounts".to_owned(), account.to_string(), "deleting an account").await.map(|_| ())
    }

    /// Stores a further key.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn create_key(
        &self,
        account: &AccountId,
        key: &NewKey,
        now: Timestamp,
    ) -> Result<Created, AdapterError> {
        let rows = self.key_rows(account, key, now)?;
        self.create_counted(account, Limited::Keys, &rows, "creating a key").await
    }

    /// Revokes a key. False where the account has none of this id.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn delete_key(&self, account: &AccountId, key: &KeyId) -> Result<bool, AdapterError> {
        let row = self.get(account_pk(account), format!("key#{key}"), "finding a key").await?;
        let Some(row) = row else { return Ok(false) };
        let hash = Reader { table: TABLE, row: &row }.text("hash")?.to_owned();
        let rows = [
            self.delete_row(&account_pk(account), &format!("key#{key}"), Some(EXISTS))?,
            self.delete_row(&format!("key#{hash}"), "key", None)?,
        ];
        self.delete_counted(account, Limited::Keys, &rows, "deleting a key").await
    }

    /// The ids of an account's keys.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn list_keys(&self, account: &AccountId) -> Result<Vec<KeyId>, AdapterError> {
        let rows = self.query_all(&account_pk(account), "key#").await?;
        let id = |row: &Row| {
            let reader = Reader { table: TABLE, row };
            let sk = reader.text("sk")?;
            let id = sk.strip_prefix("key#").and_then(|id| id.parse().ok());
            id.ok_or(AdapterError::Malformed { table: TABLE, attribute: "sk" })
        };
        rows.iter().map(id).collect()
    }

    /// Stores a new webhook.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn create_webhook(&self, webhook: &Webhook) -> Result<Created, AdapterError> {
        let rows = [self.put(webhook_row(webhook))?];
        self.create_counted(&webhook.account, Limited::Webhooks, &rows, "creating a webhook").await
    }

    /// A webhook of an account.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn find_webhook(
        &self,
        account: &AccountId,
        webhook: &WebhookId,
    ) -> Result<Option<Webhook>, AdapterError> {
        let row = self.get(account_pk(account), format!("webhook#{webhook}"), "finding a webhook").await?;
        row.as_ref().map(read_webhook).transpose()
    }

    /// The existing webhooks among these, these streaks, and the slow attempts of the webhooks' accounts, in one call.
    /// At most 100 rows in all. A webhook whose row cannot be read is an error of its own.
    ///
    /// # Errors
    /// Where the tables cannot be read, or only in part.
    pub async fn find_webhooks(
        &self,
        wanted: &[(AccountId, WebhookId)],
        streaks: &StreakTable,
        streak_keys: &[StreakKey],
    ) -> Result<Found, AdapterError> {
        const OPERATION: &str = "finding webhooks";
        let key = |(account, webhook): &(AccountId, WebhookId)| {
            Row::from([
                ("pk".to_owned(), text(account_pk(account))),
                ("sk".to_owned(), text(format!("webhook#{webhook}"))),
            ])
        };
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(wanted.iter().map(key).collect()))
            .consistent_read(true);
        let keys = keys.build().map_err(AdapterError::not_built(OPERATION))?;
        let mut left = HashMap::from([(self.name.clone(), keys)]);
        let accounts: BTreeSet<&AccountId> = wanted.iter().map(|(account, _)| account).collect();
        let (streak_table, mut streak_rows) = streaks.keys(streak_keys);
        streak_rows.extend(accounts.iter().map(|account| slow_row::key(account)));
        if !streak_rows.is_empty() {
            let keys = KeysAndAttributes::builder().set_keys(Some(streak_rows)).consistent_read(true).build();
            left.insert(streak_table, keys.map_err(AdapterError::not_built(OPERATION))?);
        }
        let (mut webhooks, mut streak_rows) = (HashMap::new(), Vec::new());
        for _ in 0..5 {
            let answer = self.client.batch_get_item().set_request_items(Some(left)).send().await;
            let answer = answer.map_err(AdapterError::in_call(OPERATION))?;
            for (table, rows) in answer.responses.into_iter().flatten() {
                if table == self.name {
                    webhooks
                        .extend(rows.iter().filter_map(|row| Some((webhook_id(row)?, read_webhook(row)))));
                } else {
                    streak_rows.extend(rows);
                }
            }
            left = answer.unprocessed_keys.unwrap_or_default();
            if left.is_empty() {
                let picked = streak_keys
                    .iter()
                    .filter_map(|key| Some((key.clone(), StreakTable::pick(&streak_rows, key)?)));
                let slow = accounts
                    .into_iter()
                    .filter_map(|account| Some((account.clone(), slow_row::pick(&streak_rows, account)?)));
                return Ok(Found { webhooks, streaks: picked.collect(), slow: slow.collect() });
            }
        }
        Err(AdapterError::Incomplete { operation: OPERATION })
    }

    /// All webhooks of an account.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn all_webhooks(&self, account: &AccountId) -> Result<Vec<Webhook>, AdapterError> {
        let rows = self.query_all(&account_pk(account), "webhook#").await?;
        rows.iter().map(read_webhook).collect()
    }

    /// A page of the disabled webhooks in a part of the index of what is unhealthy, and the place of the last one where
    /// there are more. One that an older version disabled is found after its next change.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub async fn disabled(
        &self,
        part: u8,
        limit: u16,
        after: Option<&Place>,
    ) -> Result<(Vec<(AccountId, WebhookId)>, Option<Place>), AdapterError> {
        let (rows, last) = unhealthy::page(&self.client, &self.name, part, limit, after).await?;
        let account = |row: &Row| row.get("pk")?.as_s().ok()?.strip_prefix("account#")?.parse().ok();
        Ok((rows.iter().filter_map(|row| Some((account(row)?, webhook_id(row)?))).collect(), last))
    }

    /// Whether there is such an account, being deleted or not.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn account_exists(&self, account: &AccountId) -> Result<bool, AdapterError> {
        let row = self.get("accounts".to_owned(), account.to_string(), "finding an account").await?;
        Ok(row.is_some())
    }

    /// Stores a changed webhook, if its version precedes the new one.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn replace_webhook(&self, changed: &Webhook) -> Result<Replaced, AdapterError> {
        let call = self.put_item(webhook_row(changed));
        let call = call.condition_expression(IS_AS_READ);
        let call = call.expression_attribute_values(":read", number(changed.version - 1));
        let replaced = made(call.send().await, "changing a webhook")?;
        Ok(if replaced.is_some() { Replaced::Done } else { Replaced::ChangedMeanwhile })
    }

    /// Stores a webhook that a 410 disabled, on the same condition, and in the same transaction the pending notice of
    /// it, on the row of `key`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn disable_webhook(
        &self,
        changed: &Webhook,
        streaks: &StreakTable,
        key: &StreakKey,
        notice: &Write,
    ) -> Result<Replaced, AdapterError> {
        const OPERATION: &str = "disabling a webhook";
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(webhook_row(changed)))
            .condition_expression(IS_AS_READ)
            .expression_attribute_values(":read", number(changed.version - 1))
            .build();
        let put = put.map_err(AdapterError::not_built(OPERATION))?;
        let writes =
            vec![TransactWriteItem::builder().put(put).build(), streaks.in_transaction(key, notice)?];
        let disabled = self.transact(writes, OPERATION).await?;
        Ok(if disabled { Replaced::Done } else { Replaced::ChangedMeanwhile })
    }

    /// Deletes a webhook. False where there was none.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn delete_webhook(
        &self,
        account: &AccountId,
        webhook: &WebhookId,
    ) -> Result<bool, AdapterError> {
        let rows = [self.delete_row(&account_pk(account), &format!("webhook#{webhook}"), Some(EXISTS))?];
        self.delete_counted(account, Limited::Webhooks, &rows, "deleting a webhook").await
    }

    pub(crate) async fn get(
        &self,
        pk: String,
        sk: String,
        operation: &'static str,
    ) -> Result<Option<Row>, AdapterError> {
        let call = self.client.get_item().table_name(&self.name).key("pk", text(pk)).key("sk", text(sk));
        let answer = call.consistent_read(true).send().await;
        answer.map(|answer| answer.item).map_err(AdapterError::in_call(operation))
    }

    async fn delete(&self, pk: String, sk: String, operation: &'static str) -> Result<bool, AdapterError> {
        let call = self.client.delete_item().table_name(&self.name).key("pk", text(pk)).key("sk", text(sk));
        Ok(made(call.condition_expression(EXISTS).send().await, operation)?.is_some())
    }

    pub(crate) async fn query_page(
        &self,
        pk: &str,
        prefix: &str,
        limit: i32,
        after: Option<&str>,
    ) -> Result<(Vec<Row>, Option<String>), AdapterError> {
        let start = after.map(|sk| Row::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))]));
        let call = self.query(pk, prefix).limit(limit).set_exclusive_start_key(start);
        let answer = call.send().await.map_err(AdapterError::in_call("reading the configuration"))?;
        let last = answer.last_evaluated_key.and_then(|key| match key.get("sk") {
            Some(AttributeValue::S(sk)) => Some(sk.clone()),
            _ => None,
        });
        Ok((answer.items.unwrap_or_default(), last))
    }

    /// The rows at `pk` whose `sk` has this prefix.
    pub(crate) fn query(&self, pk: &str, prefix: &str) -> QueryFluentBuilder {
        let call = self.query_rows().consistent_read(true);
        call.key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(pk))
            .expression_attribute_values(":prefix", text(prefix))
    }

    async fn query_all(&self, pk: &str, prefix: &str) -> Result<Vec<Row>, AdapterError> {
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let (page, last) = self.query_page(pk, prefix, 1000, after.as_deref()).await?;
            rows.extend(page);
            after = last;
            // All pages of it: a webhook that is left out here would never be routed to.
            if after.is_none() {
                return Ok(rows);
            }
        }
    }

    pub(crate) fn delete_row(
        &self,
        pk: &str,
        sk: &str,
        condition: Option<&str>,
    ) -> Result<TransactWriteItem, AdapterError> {
        let delete = Delete::builder()
            .table_name(&self.name)
            .key("pk", text(pk))
            .key("sk", text(sk))
            .set_condition_expression(condition.map(str::to_owned))
            .build();
        let delete = delete.map_err(AdapterError::not_built("building a write"))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    pub(crate) fn put(&self, row: Row) -> Result<TransactWriteItem, AdapterError> {
        let put =
            Put::builder().table_name(&self.name).set_item(Some(row)).condition_expression(IS_NEW).build();
        let put = put.map_err(AdapterError::not_built("building a write"))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    fn key_rows(
        &self,
        account: &AccountId,
        key: &NewKey,
        now: Timestamp,
    ) -> Result<[TransactWriteItem; 2], AdapterError> {
        let by_hash = Row::from([
            ("pk".to_owned(), text(format!("key#{}", key.hash.as_str()))),
            ("sk".to_owned(), text("key")),
            ("account".to_owned(), text(account.as_str())),
            ("key".to_owned(), text(key.id.as_str())),
        ]);
        let by_account = Row::from([
            ("pk".to_owned(), text(account_pk(account))),
            ("sk".to_owned(), text(format!("key#{}", key.id))),
            ("hash".to_owned(), text(key.hash.as_str())),
            ("created_at".to_owned(), milliseconds(now)),
        ]);
        Ok([self.put(by_hash)?, self.put(by_account)?])
    }

    /// False where a condition was refused; [`AdapterError::Contended`] on a conflict with another transaction.
    pub(crate) async fn transact(
        &self,
        writes: Vec<TransactWriteItem>,
        operation: &'static str,
    ) -> Result<bool, AdapterError> {
        self.refused_by(writes, operation).await.map(|refused| refused.is_empty())
    }

    /// Makes a transaction; where conditions refused it, which of its writes they are of.
    pub(crate) async fn refused_by(
        &self,
        writes: Vec<TransactWriteItem>,
        operation: &'static str,
    ) -> Result<Vec<usize>, AdapterError> {
        // The client gives the transaction a token of its own, so its repeats are one transaction.
        let sent = self.client.transact_write_items().set_transact_items(Some(writes)).send().await;
        let Err(error) = sent else { return Ok(Vec::new()) };
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error()
        else {
            return Err(AdapterError::of_call(operation, error));
        };
        let codes: Vec<&str> =
            canceled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or_default()).collect();
        let refused: Vec<usize> =
            (0..codes.len()).filter(|index| codes[*index] == "ConditionalCheckFailed").collect();
        if !refused.is_empty() {
            Ok(refused)
        } else if codes.contains(&"TransactionConflict") {
            Err(AdapterError::Contended { operation })
        } else {
            Err(AdapterError::unavailable(operation, error))
        }
    }

    /// Revokes every key of an account, the first step of deleting it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn delete_all_keys(&self, account: &AccountId) -> Result<(), AdapterError> {
        for key in self.list_keys(account).await? {
            self.delete_key(account, &key).await?;
        }
        Ok(())
    }
}

pub(crate) fn account_pk(account: &AccountId) -> String {
    format!("account#{account}")
}

fn read_account(row: &Row) -> Result<Account, AdapterError> {
    let row = Reader { table: TABLE, row };
    Ok(Account {
        id: row.parsed("sk")?,
        name: row.text("name")?.to_owned(),
        created_at: row.milliseconds("created_at")?,
    })
}

fn webhook_row(webhook: &Webhook) -> Row {
    // Everything but the attributes of conditions is one document, in the core's own form.
    let document = serde_json::to_string(webhook).unwrap_or_default();
    let mut row = Row::from([
        ("pk".to_owned(), text(account_pk(&webhook.account))),
        ("sk".to_owned(), text(format!("webhook#{}", webhook.id))),
        ("version".to_owned(), number(webhook.version)),
        ("webhook".to_owned(), text(document)),
    ]);
    // A disabled webhook is in the index of what is unhealthy.
    let last = webhook.id.as_str().chars().last().filter(|_| webhook.disabled_by.is_some());
    row.extend(last.map(|last| (UNHEALTHY.to_owned(), text(shard_name(last)))));
    row
}

fn webhook_id(row: &Row) -> Option<WebhookId> {
    row.get("sk")?.as_s().ok()?.strip_prefix("webhook#")?.parse().ok()
}

fn read_webhook(row: &Row) -> Result<Webhook, AdapterError> {
    let document = Reader { table: TABLE, row }.text("webhook").map(str::to_owned)?;
    serde_json::from_str(&document)
        .map_err(|_| AdapterError::Malformed { table: TABLE, attribute: "webhook" })
}
