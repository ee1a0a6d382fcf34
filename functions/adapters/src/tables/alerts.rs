//! Addresses that alerts go to, in the table of the configuration, and how often they were alerted, in the table of
//! streaks. The rules are in [`carteiro_core::alert`].
//!
//! | table | what | `pk` | `sk` |
//! |---|---|---|---|
//! | ConfigTable | an address | `account#<id>` | `alert#<alert id>` |
//! | | the codes of a day | `account#<id>` | `alert-codes` |
//! | StreakTable | the last alert of a kind about a thing to an address | alert id | `<kind>#<thing>` |
//! | | an account's alerts of a day | account id | `alert-mails#<day>`, `alert-chats#<day>` |
//!
//! An address is one document, changed only on condition that its `version` is the one that was read. An address that
//! this version cannot read is left out of lists, with a line in the log, so that it keeps no notice from its account.

use carteiro_core::account_limit::Limited;
use carteiro_core::alert::confirmation::{CodeShare, MaySend};
use carteiro_core::alert::pacing::{self, ATTRIBUTES, Room, Turn};
use carteiro_core::alert::{Alert, AlertKind, Raised};
use carteiro_core::id::{AccountId, AlertId, ItemId};
use carteiro_core::transition::Write;
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::runtime::random;
use crate::tables::conditional::{Answer, Written, made, write};
use crate::tables::config::{ConfigTable, Created, EXISTS, IS_AS_READ, IS_NEW, Replaced, TABLE, account_pk};
use crate::tables::expression::core_row;
use crate::tables::row::{Reader, Row, number, text};
use crate::tables::rows::{Rows, table};

const PREFIX: &str = "alert#";
/// Beside the addresses, and not among them.
const CODES: &str = "alert-codes";

/// The most addresses that one read answers. An account has fewer.
const MOST: i32 = 100;

/// How often a row is written anew that others changed meanwhile.
const TRIES: u32 = 5;

impl ConfigTable {
    /// Stores a new address.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn create_alert(&self, alert: &Alert) -> Result<Created, AdapterError> {
        let rows = [self.put(alert_row(alert))?];
        self.create_counted(&alert.account, Limited::Alerts, &rows, "creating an alert").await
    }

    /// An address of an account.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn find_alert(
        &self,
        account: &AccountId,
        alert: &AlertId,
    ) -> Result<Option<Alert>, AdapterError> {
        let row = self.get(account_pk(account), format!("{PREFIX}{alert}"), "finding an alert").await?;
        row.as_ref().map(read_alert).transpose()
    }

    /// The addresses of an account, in the order of their creation.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn all_alerts(&self, account: &AccountId) -> Result<Vec<Alert>, AdapterError> {
        let (rows, _) = self.query_page(&account_pk(account), PREFIX, MOST, None).await?;
        let read = |row: &Row| match read_alert(row) {
            Ok(alert) => Some(alert),
            Err(error) => {
                tracing::error!(account = account.as_str(), error = error.chain(), "alert.unreadable");
                None
            }
        };
        let mut alerts: Vec<Alert> = rows.iter().filter_map(read).collect();
        alerts.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(alerts)
    }

    /// Stores a changed address, if its version precedes the new one.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn replace_alert(&self, changed: &Alert) -> Result<Replaced, AdapterError> {
        let call = self.put_item(alert_row(changed));
        let call = call.condition_expression(IS_AS_READ);
        let call = call.expression_attribute_values(":read", number(changed.version - 1));
        let replaced = made(call.send().await, "changing an alert")?;
        Ok(if replaced.is_some() { Replaced::Done } else { Replaced::ChangedMeanwhile })
    }

    /// Deletes an address. False where there was none.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn delete_alert(&self, account: &AccountId, alert: &AlertId) -> Result<bool, AdapterError> {
        let rows = [self.delete_row(&account_pk(account), &format!("{PREFIX}{alert}"), Some(EXISTS))?];
        self.delete_counted(account, Limited::Alerts, &rows, "deleting an alert").await
    }

    /// Deletes all addresses of an account that nobody can add to any more, also unreadable ones, and the count of its
    /// codes.
    ///
    /// # Errors
    /// Where one cannot be deleted.
    pub async fn delete_all_alerts(&self, account: &AccountId) -> Result<(), AdapterError> {
        let (rows, _) = self.query_page(&account_pk(account), PREFIX, MOST, None).await?;
        for row in &rows {
            let sk = Reader { table: TABLE, row }.text("sk")?.to_owned();
            let rows = [self.delete_row(&account_pk(account), &sk, Some(EXISTS))?];
            self.delete_counted(account, Limited::Alerts, &rows, "deleting an alert").await?;
        }
        let call = self.client.delete_item().table_name(&self.name);
        let call = call.key("pk", text(account_pk(account))).key("sk", text(CODES));
        call.send().await.map(|_| ()).map_err(AdapterError::in_call("forgetting an account's codes"))
    }

    /// Takes one of the codes that may be sent for an account on this day. False where none is left.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn take_code(&self, account: &AccountId, now: Timestamp) -> Result<bool, AdapterError> {
        let sender = format!("{:032x}", random::bits128()?);
        for _ in 0..TRIES {
            let row = self.get(account_pk(account), CODES.to_owned(), "reading an account's codes").await?;
            let (share, read) = match &row {
                None => (CodeShare::default(), 0_u64),
                Some(row) => {
                    let row = Reader { table: TABLE, row };
                    (row.json("share")?, row.number("version")?)
                }
            };
            let share = match share.take(&sender, now) {
                MaySend::Send(share) => share,
                MaySend::IsCounted => return Ok(true),
                MaySend::NoneLeft => return Ok(false),
            };
            let row = Row::from([
                ("pk".to_owned(), text(account_pk(account))),
                ("sk".to_owned(), text(CODES)),
                ("share".to_owned(), text(serde_json::to_string(&share).unwrap_or_default())),
                ("version".to_owned(), number(read + 1)),
            ]);
            let call = self.put_item(row);
            let call = match read {
                0 => call.condition_expression(IS_NEW),
                read => {
                    call.condition_expression(IS_AS_READ).expression_attribute_values(":read", number(read))
                }
            };
            if made(call.send().await, "counting an account's codes")?.is_some() {
                return Ok(true);
            }
        }
        Err(AdapterError::contended("counting an account's codes"))
    }
}

fn alert_row(alert: &Alert) -> Row {
    Row::from([
        ("pk".to_owned(), text(account_pk(&alert.account))),
        ("sk".to_owned(), text(format!("{PREFIX}{}", alert.id))),
        ("version".to_owned(), number(alert.version)),
        ("alert".to_owned(), text(serde_json::to_string(alert).unwrap_or_default())),
    ])
}

fn read_alert(row: &Row) -> Result<Alert, AdapterError> {
    Reader { table: TABLE, row }.json("alert")
}

table! {
    /// How often addresses were alerted, in the table of streaks.
    pub struct AlertRows;
}

impl AlertRows {
    /// Whether an address is alerted of a notice now. One that is left out is counted.
    ///
    /// # Errors
    /// Where the table cannot be written.
    pub async fn claim(
        &self,
        alert: &AlertId,
        raised: &Raised,
        notice: &ItemId,
        now: Timestamp,
    ) -> Result<Turn, AdapterError> {
        let worker = format!("{:032x}", random::bits128()?);
        let claim = pacing::claim(notice, &worker, raised.event, now);
        match self.write(pace_key(alert, raised), &claim, Answer::Row).await? {
            Written::Made(row) => Ok(pacing::turn(&core_row(&row, &ATTRIBUTES), notice)),
            Written::Refused(row) => {
                let turn =
                    pacing::refused(row.as_ref().map(|row| core_row(row, &ATTRIBUTES)).as_ref(), notice);
                if turn == Turn::TooSoon {
                    self.leave_out(alert, raised, notice, row.as_ref(), now).await?;
                }
                Ok(turn)
            }
        }
    }

    /// Counts a notice that an address is not alerted of though it was its turn, and lets the next one have it.
    ///
    /// # Errors
    /// Where the table cannot be written.
    pub async fn give_up(
        &self,
        alert: &AlertId,
        raised: &Raised,
        notice: &ItemId,
        now: Timestamp,
    ) -> Result<(), AdapterError> {
        let key = pace_key(alert, raised);
        self.write(key, &pacing::give_up(notice, now), Answer::Outcome).await.map(|_| ())
    }

    async fn leave_out(
        &self,
        alert: &AlertId,
        raised: &Raised,
        notice: &ItemId,
        row: Option<&Row>,
        now: Timestamp,
    ) -> Result<(), AdapterError> {
        let row = row.map(|row| core_row(row, &ATTRIBUTES));
        let Some(miss) = pacing::miss(row.as_ref(), notice, now) else { return Ok(()) };
        self.write(pace_key(alert, raised), &miss, Answer::Outcome).await.map(|_| ())
    }

    /// Notes that an address was alerted of a notice.
    ///
    /// # Errors
    /// Where the table cannot be written. A repeat alerts again then.
    pub async fn mark_sent(
        &self,
        alert: &AlertId,
        raised: &Raised,
        notice: &ItemId,
    ) -> Result<(), AdapterError> {
        self.write(pace_key(alert, raised), &pacing::sent(notice), Answer::Outcome).await.map(|_| ())
    }

    /// Takes a place for an alert among those of an account on this day, for a notice to an address. False where none
    /// is left.
    ///
    /// # Errors
    /// Where the table cannot be read or written, or others kept taking them.
    pub async fn take_place(
        &self,
        account: &AccountId,
        alert: (&AlertId, AlertKind),
        notice: &ItemId,
        now: Timestamp,
    ) -> Result<bool, AdapterError> {
        let key = key(account.as_str(), &pacing::day_key(alert.1, now));
        for _ in 0..TRIES {
            let row = self.read(key.clone()).await?.map(|row| core_row(&row, &ATTRIBUTES));
            match pacing::room(row.as_ref(), alert, notice, now) {
                Room::Taken => return Ok(true),
                Room::Full => return Ok(false),
                Room::Take(take) => {
                    if self.write(key.clone(), &take, Answer::Outcome).await?.is_made() {
                        return Ok(true);
                    }
                }
            }
        }
        Err(AdapterError::contended("taking a place in an account's day"))
    }

    async fn read(&self, key: Row) -> Result<Option<Row>, AdapterError> {
        let call = self.get_item(key).consistent_read(true);
        let answer = call.send().await;
        answer
            .map(|answer| answer.item)
            .map_err(AdapterError::in_call("reading how often an address was alerted"))
    }

    async fn write(&self, key: Row, change: &Write, answer: Answer) -> Result<Written, AdapterError> {
        write(self.table(), key, change, &[], answer).await
    }
}

fn pace_key(alert: &AlertId, raised: &Raised) -> Row {
    key(alert.as_str(), &format!("{}#{}", raised.kind, raised.thing))
}

fn key(pk: &str, sk: &str) -> Row {
    Row::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}
