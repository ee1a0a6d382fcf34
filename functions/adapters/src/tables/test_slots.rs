//! The places for tests of an account's webhooks, lookups of its items and alerts to its chats, in the table of the
//! configuration.
//!
//! | what | `pk` | `sk` |
//! |---|---|---|
//! | tests under way, and how many there were in a minute | `account#<id>` | `tests` |
//! | lookups likewise | `account#<id>` | `lookups` |
//! | alerts to chats likewise | `account#<id>` | `chats` |
//!
//! The row is written on condition that its `version` is the one that was read. A write whose answer was lost is
//! recognised by the owner's id in the row. A place that is not returned is free when its lease expires.

use std::time::Duration;

use carteiro_core::id::AccountId;
use carteiro_core::test_share::{MayTest, Shared, TestShare};
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::runtime::random;
use crate::tables::conditional::made;
use crate::tables::config::{ConfigTable, IS_AS_READ, IS_NEW, TABLE, account_pk};
use crate::tables::row::{Reader, Row, number, text};
use crate::tables::rows::Rows;

/// How often a place is tried for while others of the account's change the row.
const TRIES: u32 = 5;

/// Whether a place was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestPlace {
    /// It was, by this owner.
    Taken(String),
    /// There is none now.
    Refused {
        /// After how many seconds there may be one.
        retry_after: u64,
    },
}

impl ConfigTable {
    /// Takes a place for what takes up to `lasts`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn take_place(
        &self,
        account: &AccountId,
        what: Shared,
        lasts: Duration,
        now: Timestamp,
    ) -> Result<TestPlace, AdapterError> {
        let owner = format!("{:032x}", random::bits128()?);
        for _ in 0..TRIES {
            let (share, version) = self.share(account, what).await?;
            let begun = match share.begin(what, &owner, lasts, now) {
                MayTest::Begin(begun) => begun,
                MayTest::HasBegun => return Ok(TestPlace::Taken(owner)),
                MayTest::Refused { retry_after } => return Ok(TestPlace::Refused { retry_after }),
            };
            if self.keep_share((account, what), &begun, version).await? {
                return Ok(TestPlace::Taken(owner));
            }
        }
        // Others of the same account took the places meanwhile.
        Ok(TestPlace::Refused { retry_after: 1 })
    }

    /// Gives a place back.
    ///
    /// # Errors
    /// Where it cannot be written. Then its lease ends by itself.
    pub async fn give_place_back(
        &self,
        account: &AccountId,
        what: Shared,
        owner: &str,
    ) -> Result<(), AdapterError> {
        for _ in 0..TRIES {
            let (share, version) = self.share(account, what).await?;
            let Some(ended) = share.ended(owner) else { return Ok(()) };
            if self.keep_share((account, what), &ended, version).await? {
                return Ok(());
            }
        }
        Err(AdapterError::contended("giving a test's place back"))
    }

    /// Deletes the rows of an account's tests, lookups and chats.
    ///
    /// # Errors
    /// Where one cannot be written.
    pub async fn drop_places(&self, account: &AccountId) -> Result<(), AdapterError> {
        for what in Shared::ALL {
            let call = self.client.delete_item().table_name(&self.name);
            let call = call.key("pk", text(account_pk(account))).key("sk", text(what.as_str()));
            call.send().await.map_err(AdapterError::in_call("forgetting an account's tests"))?;
        }
        Ok(())
    }

    async fn share(&self, account: &AccountId, what: Shared) -> Result<(TestShare, u64), AdapterError> {
        let row =
            self.get(account_pk(account), what.as_str().to_owned(), "reading an account's tests").await?;
        let Some(row) = row else { return Ok((TestShare::default(), 0)) };
        let row = Reader { table: TABLE, row: &row };
        // A row of another version's form covers a minute at most.
        Ok((row.json("share").unwrap_or_default(), row.number("version")?))
    }

    async fn keep_share(
        &self,
        (account, what): (&AccountId, Shared),
        share: &TestShare,
        read: u64,
    ) -> Result<bool, AdapterError> {
        let share = serde_json::to_string(share).unwrap_or_default();
        let row = Row::from([
            ("pk".to_owned(), text(account_pk(account))),
            ("sk".to_owned(), text(what.as_str())),
            ("share".to_owned(), text(share)),
            ("version".to_owned(), number(read + 1)),
        ]);
        let call = self.put_item(row);
        let call = match read {
            0 => call.condition_expression(IS_NEW),
            read => call.condition_expression(IS_AS_READ).expression_attribute_values(":read", number(read)),
        };
        Ok(made(call.send().await, "keeping an account's tests")?.is_some())
    }
}
