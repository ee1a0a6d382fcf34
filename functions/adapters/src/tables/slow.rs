//! The row of an account's slow attempts, in the table of streaks. The rules are in [`carteiro_core::slow`].
//!
//! Its `pk` is the account, its `sk` is `slow`. It is read together with the webhooks of a batch, and written by slow
//! attempts alone.

use aws_sdk_dynamodb::Client;
use carteiro_core::id::AccountId;
use carteiro_core::slow::{Change, SlowAttempts};

use crate::error::AdapterError;
use crate::tables::row::{Row, number, text};

const SK: &str = "slow";

pub(crate) fn key(account: &AccountId) -> Row {
    Row::from([("pk".to_owned(), text(account.as_str())), ("sk".to_owned(), text(SK))])
}

/// Finds, among rows of the table, the one of an account.
pub(crate) fn pick(rows: &[Row], account: &AccountId) -> Option<SlowAttempts> {
    let wanted = key(account);
    let row =
        rows.iter().find(|row| row.get("pk") == wanted.get("pk") && row.get("sk") == wanted.get("sk"))?;
    let numbers =
        row.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_n().ok()?.parse::<i64>().ok()?)));
    Some(SlowAttempts::of(numbers))
}

/// Makes these changes of an account's row, which is made where it is missing.
pub(crate) async fn write(
    client: &Client,
    table: &str,
    account: &AccountId,
    changes: &[Change],
) -> Result<(), AdapterError> {
    let (mut set, mut add, mut remove) = (Vec::new(), Vec::new(), Vec::new());
    let mut call = client.update_item().table_name(table).set_key(Some(key(account)));
    for (index, change) in changes.iter().enumerate() {
        let (name, value) = match change {
            Change::Set(name, value) => {
                set.push(format!("#{index} = :{index}"));
                (name, Some(*value))
            }
            Change::SetIfMissing(name, value) => {
                set.push(format!("#{index} = if_not_exists(#{index}, :{index})"));
                (name, Some(*value))
            }
            Change::Add(name, value) => {
                add.push(format!("#{index} :{index}"));
                (name, Some(*value))
            }
            Change::Remove(name) => {
                remove.push(format!("#{index}"));
                (name, None)
            }
        };
        call = call.expression_attribute_names(format!("#{index}"), name.as_str());
        if let Some(value) = value {
            call = call.expression_attribute_values(format!(":{index}"), number(value));
        }
    }
    let clause = |word: &str, parts: Vec<String>| {
        if parts.is_empty() { String::new() } else { format!("{word} {} ", parts.join(", ")) }
    };
    let update = [clause("SET", set), clause("ADD", add), clause("REMOVE", remove)].concat();
    let sent = call.update_expression(update.trim_end()).send().await;
    sent.map(|_| ()).map_err(AdapterError::in_call("noting slow attempts"))
}
