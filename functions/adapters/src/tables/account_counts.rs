//! How many webhooks, pages, keys and alerts an account has, counted in its row.
//!
//! | what | `pk` | `sk` | attributes |
//! |---|---|---|---|
//! | account | `accounts` | account id | `webhooks`, `pages`, `keys`, `alerts`; `changes` counts creations and deletions |
//!
//! A creation adds one and a deletion subtracts one, in the transaction that stores or deletes the rows. The condition
//! on the count is the limit. So concurrent creations never pass it together, and a deletion counts exactly once: a
//! repeat finds nothing to delete, and its transaction is refused as a whole.
//!
//! A count that is missing, or that differs from the rows, is corrected before a creation: the row is read, then the
//! rows are counted, and the count is stored on condition that `changes` is as read. Every creation and deletion
//! increments `changes`, so a stored count is exact. An older version does not increment it; the next creation finds
//! the rows that it created or deleted.

use std::time::Duration;

use aws_sdk_dynamodb::types::{Select, TransactWriteItem, Update};
use carteiro_core::account_limit::{self, Limited};
use carteiro_core::id::AccountId;

use crate::error::AdapterError;
use crate::runtime::random;
use crate::tables::config::{ConfigTable, Created, TABLE, account_pk};
use crate::tables::row::{Reader, Row, number, text};

/// The place of the account's row in a transaction that counts.
const ACCOUNT: usize = 0;

/// Retries of a transaction that conflicts with another one.
const CONFLICT_TRIES: u32 = 10;

/// The pause before the first such repeat, at least; it doubles.
const CONFLICT_PAUSE: Duration = Duration::from_millis(10);

/// Retries of a creation or deletion whose count changed meanwhile.
const COUNT_TRIES: u32 = 5;

/// The count of one kind in an account's row.
struct Recorded {
    count: Option<i64>,
    changes: Option<u64>,
    closing: bool,
}

impl ConfigTable {
    /// Stores rows of one new thing of an account, if its limit has room for it. Each row has its own condition.
    pub(crate) async fn create_counted(
        &self,
        account: &AccountId,
        limited: Limited,
        rows: &[TransactWriteItem],
        operation: &'static str,
    ) -> Result<Created, AdapterError> {
        for _ in 0..COUNT_TRIES {
            let Some(recorded) = self.recorded(account, limited).await? else {
                return Ok(Created::NoAccount);
            };
            if recorded.closing {
                return Ok(Created::NoAccount);
            }
            let there = self.count_rows(account, limited).await?;
            self.correct(account, limited, &recorded, there).await?;
            if there >= limited.most() {
                return Ok(Created::TooMany);
            }
            let mut writes = vec![self.one_more(account, limited)?];
            writes.extend(rows.iter().cloned());
            let refused = self.transact_patiently(&writes, operation).await?;
            if refused.is_empty() {
                return Ok(Created::Done);
            }
            if !refused.contains(&ACCOUNT) {
                return Ok(Created::Exists);
            }
        }
        Err(AdapterError::Contended { operation })
    }

    /// Deletes the rows of one thing of an account. False where a row's condition refuses: it is gone already.
    pub(crate) async fn delete_counted(
        &self,
        account: &AccountId,
        limited: Limited,
        rows: &[TransactWriteItem],
        operation: &'static str,
    ) -> Result<bool, AdapterError> {
        for _ in 0..COUNT_TRIES {
            let mut writes = vec![self.one_less(account, limited)?];
            writes.extend(rows.iter().cloned());
            let refused = self.transact_patiently(&writes, operation).await?;
            if refused.is_empty() {
                return Ok(true);
            }
            if refused.iter().any(|index| *index != ACCOUNT) {
                return Ok(false);
            }
            let Some(recorded) = self.recorded(account, limited).await? else {
                // Without an account there is no count.
                return self.transact_patiently(rows, operation).await.map(|refused| refused.is_empty());
            };
            let there = self.count_rows(account, limited).await?;
            self.correct(account, limited, &recorded, there).await?;
        }
        Err(AdapterError::Contended { operation })
    }

    /// How many there are, by their rows.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn count_rows(&self, account: &AccountId, limited: Limited) -> Result<usize, AdapterError> {
        let prefix = match limited {
            Limited::Webhooks => "webhook#",
            // Of the rows that a page has, these are the smallest.
            Limited::Pages => "own-page#",
            Limited::Keys => "key#",
            Limited::Alerts => "alert#",
        };
        let (mut counted, mut start) = (0, None);
        loop {
            let call = self.query(&account_pk(account), prefix);
            let call = call.select(Select::Count).set_exclusive_start_key(start);
            let answer = call.send().await;
            let answer = answer.map_err(AdapterError::in_call("counting what an account has"))?;
            counted += usize::try_from(answer.count).unwrap_or_default();
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(counted);
            }
        }
    }

    async fn recorded(
        &self,
        account: &AccountId,
        limited: Limited,
    ) -> Result<Option<Recorded>, AdapterError> {
        let row = self.get("accounts".to_owned(), account.to_string(), "reading an account").await?;
        let Some(row) = row else { return Ok(None) };
        let reader = Reader { table: TABLE, row: &row };
        let count = reader.optional_number(limited.as_str())?;
        let changes = reader.optional_number("changes")?;
        Ok(Some(Recorded { count, changes, closing: row.contains_key("closing") }))
    }

    /// Stores the right count where the account's row has another, unless something was created or deleted meanwhile.
    async fn correct(
        &self,
        account: &AccountId,
        limited: Limited,
        recorded: &Recorded,
        there: usize,
    ) -> Result<(), AdapterError> {
        let Some(count) = account_limit::correction(recorded.count, there) else { return Ok(()) };
        let is_as_read = match recorded.changes {
            Some(_) => "changes = :read",
            None => "attribute_not_exists(changes)",
        };
        let update = self
            .count_update(account, limited)
            .update_expression("SET #count = :count")
            .condition_expression(format!("attribute_exists(pk) AND {is_as_read}"))
            .expression_attribute_values(":count", number(count));
        let update = match recorded.changes {
            Some(read) => update.expression_attribute_values(":read", number(read)),
            None => update,
        };
        let update = update.build().map_err(AdapterError::not_built("building a write"))?;
        let corrected = self
            .transact(vec![TransactWriteItem::builder().update(update).build()], "correcting a count")
            .await;
        match corrected {
            // Others created or deleted in between: they have a count, or correct it themselves.
            Ok(_) | Err(AdapterError::Contended { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn one_more(&self, account: &AccountId, limited: Limited) -> Result<TransactWriteItem, AdapterError> {
        let most = i64::try_from(limited.most()).unwrap_or(i64::MAX);
        let update = self
            .count_update(account, limited)
            .update_expression("ADD #count :one, changes :one")
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(closing) AND #count < :most")
            .expression_attribute_values(":one", number(1_i64))
            .expression_attribute_values(":most", number(most));
        Ok(TransactWriteItem::builder()
            .update(update.build().map_err(AdapterError::not_built("building a write"))?)
            .build())
    }

    fn one_less(&self, account: &AccountId, limited: Limited) -> Result<TransactWriteItem, AdapterError> {
        let update = self
            .count_update(account, limited)
            .update_expression("ADD #count :less, changes :one")
            .condition_expression("attribute_exists(#count)")
            .expression_attribute_values(":less", number(-1_i64))
            .expression_attribute_values(":one", number(1_i64));
        Ok(TransactWriteItem::builder()
            .update(update.build().map_err(AdapterError::not_built("building a write"))?)
            .build())
    }

    fn count_update(
        &self,
        account: &AccountId,
        limited: Limited,
    ) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        let key: Row =
            Row::from([("pk".to_owned(), text("accounts")), ("sk".to_owned(), text(account.as_str()))]);
        Update::builder()
            .table_name(&self.name)
            .set_key(Some(key))
            .expression_attribute_names("#count", limited.as_str())
    }

    /// Makes a transaction, and repeats it on a conflict: all transactions of an account change the same row.
    async fn transact_patiently(
        &self,
        writes: &[TransactWriteItem],
        operation: &'static str,
    ) -> Result<Vec<usize>, AdapterError> {
        let mut pause = CONFLICT_PAUSE;
        for _ in 1..CONFLICT_TRIES {
            match self.refused_by(writes.to_vec(), operation).await {
                Err(AdapterError::Contended { .. }) => {
                    tokio::time::sleep(random::jittered(pause)?).await;
                    pause *= 2;
                }
                ended => return ended,
            }
        }
        self.refused_by(writes.to_vec(), operation).await
    }
}
