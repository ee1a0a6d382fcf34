//! Pages' tokens, in a table of their own under a key of their own.
//!
//! | what | `pk` |
//! |---|---|
//! | token | page id |
//!
//! The configuration API writes here and reads nothing. Every write is a part of the transaction that changes the page
//! ([`pages`](super::pages)), so a page's `token_version` always equals its token's `version`, and no token of a
//! deleted page remains. Only the collector reads.
//!
//! A renewal is noted in the row before the network is called ([`TokenTable::begin_renewal`]), so that no two renewals
//! use one refresh token, which some networks accept once.

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem, Update};
use carteiro_core::id::PageId;
use carteiro_networks::page::{AccessToken, Set, Token, TokenChange};
use carteiro_networks::poll::refresh::RenewalAttempt;

use crate::error::AdapterError;
use crate::tables::conditional::made;
use crate::tables::row::{Reader, Row, milliseconds, number, text};
use crate::tables::rows::table;

const TABLE: &str = "tokens";

/// Nothing is at this key yet.
const IS_NEW: &str = "attribute_not_exists(pk)";
/// A token is at this key: a change is never the beginning of a row.
const EXISTS: &str = "attribute_exists(pk)";

/// The token is the one that was read.
const IS_AS_READ: &str = "version = :version";
/// No renewal has begun since the token was read.
const IS_NOT_BEING_RENEWED: &str = "(attribute_not_exists(renewal) OR renewal = :before)";

/// The renewal that is under way is this one.
const IS_THAT_RENEWAL: &str = "renewal = :attempt";

/// A page's token, and its renewal, where one was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    /// The token.
    pub token: Token,
    /// The renewal.
    pub renewal: Option<RenewalAttempt>,
}

table! {
    /// Pages' tokens.
    pub struct TokenTable;
}

impl TokenTable {
    /// A page's token. It may be newer than the token of a page that was read before: compare the versions.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn find(&self, page: &PageId) -> Result<Option<StoredToken>, AdapterError> {
        let call = self.client.get_item().table_name(&self.name).key("pk", text(page.as_str()));
        let answer = call.consistent_read(true).send().await;
        let row = answer.map_err(AdapterError::in_call("reading a token"))?.item;
        row.as_ref().map(read).transpose()
    }

    /// Notes that a token's renewal begins, if the token is the one that was read and no other renewal began meanwhile.
    /// False otherwise.
    ///
    /// # Errors
    /// Where it cannot be written. The network is not to be asked then.
    pub async fn begin_renewal(
        &self,
        page: &PageId,
        before: Option<RenewalAttempt>,
        attempt: RenewalAttempt,
    ) -> Result<bool, AdapterError> {
        let stored = |attempt: RenewalAttempt| text(serde_json::to_string(&attempt).unwrap_or_default());
        let call = self.client.update_item().table_name(&self.name).key("pk", text(page.as_str()));
        let call = call
            .condition_expression(format!("{IS_AS_READ} AND {IS_NOT_BEING_RENEWED}"))
            .update_expression("SET renewal = :attempt")
            .expression_attribute_values(":version", number(attempt.of))
            .expression_attribute_values(":attempt", stored(attempt))
            .expression_attribute_values(":before", before.map_or_else(|| text("-"), stored));
        Ok(made(call.send().await, "noting a renewal")?.is_some())
    }

    /// Takes back that a renewal began: the network was certainly not asked. One that was noted after it stays.
    ///
    /// # Errors
    /// Where it cannot be written. Then its answer counts as lost.
    pub async fn end_renewal(&self, page: &PageId, attempt: RenewalAttempt) -> Result<(), AdapterError> {
        let stored = serde_json::to_string(&attempt).unwrap_or_default();
        let call = self.client.update_item().table_name(&self.name).key("pk", text(page.as_str()));
        let call = call
            .condition_expression(IS_THAT_RENEWAL)
            .update_expression("REMOVE renewal")
            .expression_attribute_values(":attempt", text(stored));
        made(call.send().await, "taking a renewal back").map(|_| ())
    }

    /// The part of a transaction that stores a new page's token.
    pub(crate) fn create(&self, page: &PageId, token: &Token) -> Result<TransactWriteItem, AdapterError> {
        let mut row = Row::from([
            ("pk".to_owned(), text(page.as_str())),
            ("access_token".to_owned(), text(token.access_token.reveal())),
            ("version".to_owned(), number(token.version)),
        ]);
        if let Some(refresh) = &token.refresh_token {
            row.insert("refresh_token".to_owned(), text(refresh.reveal()));
        }
        if let Some(at) = token.expires_at {
            row.insert("expires_at".to_owned(), milliseconds(at));
        }
        let put = Put::builder().table_name(&self.name).set_item(Some(row)).condition_expression(IS_NEW);
        let put = put.build().map_err(AdapterError::not_built("building a write"))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// The part of a transaction that changes a page's token.
    pub(crate) fn change(
        &self,
        page: &PageId,
        change: &TokenChange,
    ) -> Result<TransactWriteItem, AdapterError> {
        let mut update = Update::builder()
            .table_name(&self.name)
            .key("pk", text(page.as_str()))
            .condition_expression(EXISTS)
            .expression_attribute_values(":version", number(change.version));
        let (mut set, mut remove) = (vec!["version = :version"], Vec::new());
        if let Some(access) = &change.access_token {
            set.push("access_token = :access");
            remove.push("renewal");
            update = update.expression_attribute_values(":access", text(access.reveal()));
        }
        match &change.refresh_token {
            Set::Keep => {}
            Set::Remove => remove.push("refresh_token"),
            Set::To(refresh) => {
                set.push("refresh_token = :refresh");
                update = update.expression_attribute_values(":refresh", text(refresh.reveal()));
            }
        }
        match change.expires_at {
            None => remove.push("expires_at"),
            Some(at) => {
                set.push("expires_at = :expires");
                update = update.expression_attribute_values(":expires", milliseconds(at));
            }
        }
        let mut expression = format!("SET {}", set.join(", "));
        if !remove.is_empty() {
            expression.push_str(" REMOVE ");
            expression.push_str(&remove.join(", "));
        }
        let update = update
            .update_expression(expression)
            .build()
            .map_err(AdapterError::not_built("building a write"))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// The part of a transaction that deletes a page's token, if it is there.
    pub(crate) fn delete(&self, page: &PageId) -> Result<TransactWriteItem, AdapterError> {
        let delete = Delete::builder().table_name(&self.name).key("pk", text(page.as_str()));
        let delete = delete.build().map_err(AdapterError::not_built("building a write"))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }
}

fn read(row: &Row) -> Result<StoredToken, AdapterError> {
    let row = Reader { table: TABLE, row };
    let secret = |name| row.text(name).map(|text| AccessToken::from_stored(text.to_owned()));
    let refresh_token =
        if row.row.contains_key("refresh_token") { Some(secret("refresh_token")?) } else { None };
    let expires_at =
        if row.row.contains_key("expires_at") { Some(row.milliseconds("expires_at")?) } else { None };
    let renewal = if row.row.contains_key("renewal") { Some(row.json("renewal")?) } else { None };
    let access_token = secret("access_token")?;
    let token = Token { access_token, refresh_token, expires_at, version: row.number("version")? };
    Ok(StoredToken { token, renewal })
}
