//! Pages, in the table of the configuration.
//!
//! | what | `pk` | `sk` |
//! |---|---|---|
//! | page | `account#<id>` | `page#<page id>` |
//! | that an account has it (to have it once) | `account#<id>` | `own-page#<network>#<network's id>` |
//! | route of its pushes | `network#<network>#<network's id>` | page id |
//!
//! The three rows of a page, its token and its schedule are written in one transaction and deleted in one. So a push is
//! never routed to a page that is gone, and no half-deleted page remains. A page is changed only on condition that its
//! `version` is the one that was read. All reads are consistent: a push is routed to every page whose creation was
//! answered before.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use carteiro_core::account_limit::Limited;
use carteiro_core::id::{AccountId, PageId};
use carteiro_networks::network::{Network, NetworkId};
use carteiro_networks::page::{Changed, Delivery, Page, Token};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::error::AdapterError;
use crate::tables::conditional::made;
use crate::tables::config::Created;
use crate::tables::config::{ConfigTable, EXISTS, IS_AS_READ, ListPage, Replaced, TABLE, account_pk};
use crate::tables::poll::PollTable;
use crate::tables::row::{Reader, Row, number, text};
use crate::tables::rows::Rows;
use crate::tables::tokens::TokenTable;

/// How many of a network's ids are looked up at once.
const CONCURRENT_LOOKUPS: usize = 8;

/// A page that a network's page is connected by: where its pushes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedPage {
    /// The page.
    pub page: PageId,
    /// Its account.
    pub account: AccountId,
    /// The network's id of it.
    pub network_id: NetworkId,
    /// When its pushes are dispatched.
    pub delivery: Delivery,
    /// Whether its network took its token as this page's.
    pub proven: bool,
}

/// The tables with a page's rows. They are written together.
#[derive(Clone, Debug)]
pub struct PageTables {
    /// Its token.
    pub tokens: TokenTable,
    /// When it is asked about, and how far that came.
    pub polls: PollTable,
}

/// How the creation of a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreatedPage {
    /// It is stored.
    Done,
    /// The account has connected this page of the network already.
    Duplicate(PageId),
    /// The account does not exist any more, or is being deleted.
    NoAccount,
    /// The account has as many pages as it may have.
    TooMany,
}

impl ConfigTable {
    /// Stores a new page and its token, and has it asked about.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn create_page(
        &self,
        page: &Page,
        token: &Token,
        tables: &PageTables,
    ) -> Result<CreatedPage, AdapterError> {
        const OPERATION: &str = "creating a page";
        let rows = [
            self.put(page_row(page))?,
            self.put(own_row(page))?,
            self.put(route_row(page))?,
            tables.tokens.create(&page.id, token)?,
            tables.polls.set_going(page, page.created_at)?,
        ];
        match self.create_counted(&page.account, Limited::Pages, &rows, OPERATION).await? {
            Created::Done => return Ok(CreatedPage::Done),
            Created::NoAccount => return Ok(CreatedPage::NoAccount),
            Created::TooMany => return Ok(CreatedPage::TooMany),
            Created::Exists => {}
        }
        let row = self.get(account_pk(&page.account), own_sk(page), OPERATION).await?;
        match row {
            Some(row) => Ok(CreatedPage::Duplicate(Reader { table: TABLE, row: &row }.parsed("page")?)),
            // The conflicting page is gone by now.
            None => Err(AdapterError::Contended { operation: OPERATION }),
        }
    }

    /// A page of an account.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn find_page(&self, account: &AccountId, page: &PageId) -> Result<Option<Page>, AdapterError> {
        let row = self.get(account_pk(account), page_sk(page), "finding a page").await?;
        row.as_ref().map(read_page).transpose()
    }

    /// The pages, of all accounts, that any of these pages of a network is connected by.
    ///
    /// # Errors
    /// Where the table cannot be read, or only in part.
    pub async fn find_pages(
        &self,
        network: Network,
        ids: &[NetworkId],
    ) -> Result<Vec<ConnectedPage>, AdapterError> {
        let ids: BTreeSet<&NetworkId> = ids.iter().collect();
        let found = stream::iter(ids).map(|id| self.find_connected(network, id));
        let found: Vec<Vec<ConnectedPage>> = found.buffered(CONCURRENT_LOOKUPS).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn find_connected(
        &self,
        network: Network,
        id: &NetworkId,
    ) -> Result<Vec<ConnectedPage>, AdapterError> {
        let pk = route_pk(network, id);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (rows, last) = self.query_page(&pk, "page_", 1000, after.as_deref()).await?;
            for row in &rows {
                found.push(read_route(row, id)?);
            }
            after = last;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// Some of an account's pages, in the order of their ids.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn list_pages(
        &self,
        account: &AccountId,
        limit: u16,
        after: Option<&str>,
    ) -> Result<ListPage<Page>, AdapterError> {
        let (rows, last) = self.query_page(&account_pk(account), "page#", i32::from(limit), after).await?;
        Ok(ListPage { data: rows.iter().map(read_page).collect::<Result<_, _>>()?, last })
    }

    /// Stores a changed page and its changed token, if the page's version precedes the new one. With a new token the
    /// page is polled at once.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn replace_page(
        &self,
        changed: &Changed,
        tables: &PageTables,
    ) -> Result<Replaced, AdapterError> {
        let page = &changed.page;
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(page_row(page)))
            .condition_expression(IS_AS_READ)
            .expression_attribute_values(":read", number(page.version - 1));
        let put = put.build().map_err(AdapterError::not_built("building a write"))?;
        let mut writes = vec![TransactWriteItem::builder().put(put).build()];
        if changed.rerouted {
            writes.push(self.overwrite(route_row(page))?);
        }
        if let Some(change) = &changed.token {
            writes.push(tables.tokens.change(&page.id, change)?);
            writes.push(tables.polls.set_going(page, page.updated_at)?);
        }
        match self.transact(writes, "changing a page").await {
            Ok(true) => Ok(Replaced::Done),
            Ok(false) | Err(AdapterError::Contended { .. }) => Ok(Replaced::ChangedMeanwhile),
            Err(error) => Err(error),
        }
    }

    /// Stores a page whose token state changed, if its version precedes the new one. Its route and its token stay as
    /// they are.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn mark_page(&self, marked: &Page) -> Result<Replaced, AdapterError> {
        let call = self.put_item(page_row(marked));
        let call = call.condition_expression(IS_AS_READ);
        let call = call.expression_attribute_values(":read", number(marked.version - 1));
        let marked = made(call.send().await, "marking a page")?;
        Ok(if marked.is_some() { Replaced::Done } else { Replaced::ChangedMeanwhile })
    }

    /// Stores whether the network took the token as this page's, if the page's version precedes the new one. Pushes are
    /// routed by that from then on.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn prove_page(&self, marked: &Page) -> Result<Replaced, AdapterError> {
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(page_row(marked)))
            .condition_expression(IS_AS_READ)
            .expression_attribute_values(":read", number(marked.version - 1));
        let put = put.build().map_err(AdapterError::not_built("building a write"))?;
        let writes = vec![TransactWriteItem::builder().put(put).build(), self.overwrite(route_row(marked))?];
        match self.transact(writes, "noting whose a page is").await {
            Ok(true) => Ok(Replaced::Done),
            Ok(false) | Err(AdapterError::Contended { .. }) => Ok(Replaced::ChangedMeanwhile),
            Err(error) => Err(error),
        }
    }

    /// Deletes a page, its route and its token: from then on no push of its network goes to it. False where there was
    /// none.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn delete_page(&self, page: &Page, tables: &PageTables) -> Result<bool, AdapterError> {
        let account = account_pk(&page.account);
        let mut rows = vec![
            self.delete_row(&account, &page_sk(&page.id), Some(EXISTS))?,
            self.delete_row(&account, &own_sk(page), None)?,
            self.delete_row(&route_pk(page.network, &page.network_id), page.id.as_str(), None)?,
            tables.tokens.delete(&page.id)?,
        ];
        rows.extend(tables.polls.forget(&page.id)?);
        self.delete_counted(&page.account, Limited::Pages, &rows, "deleting a page").await
    }

    fn overwrite(&self, row: Row) -> Result<TransactWriteItem, AdapterError> {
        // The route of a page that is there is there: a page's own condition stands for both.
        let put = Put::builder().table_name(&self.name).set_item(Some(row)).build();
        let put = put.map_err(AdapterError::not_built("building a write"))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

fn page_sk(page: &PageId) -> String {
    format!("page#{page}")
}

fn own_sk(page: &Page) -> String {
    format!("own-page#{}#{}", page.network, page.network_id)
}

fn route_pk(network: Network, id: &NetworkId) -> String {
    format!("network#{network}#{id}")
}

fn page_row(page: &Page) -> Row {
    // Everything but the attributes of conditions is one document, in the core's own form. The token is not in it.
    let document = serde_json::to_string(page).unwrap_or_default();
    Row::from([
        ("pk".to_owned(), text(account_pk(&page.account))),
        ("sk".to_owned(), text(page_sk(&page.id))),
        ("version".to_owned(), number(page.version)),
        ("page".to_owned(), text(document)),
    ])
}

fn own_row(page: &Page) -> Row {
    Row::from([
        ("pk".to_owned(), text(account_pk(&page.account))),
        ("sk".to_owned(), text(own_sk(page))),
        ("page".to_owned(), text(page.id.as_str())),
    ])
}

fn route_row(page: &Page) -> Row {
    let (delivery, by_kind) = page.delivery.to_stored();
    Row::from([
        ("pk".to_owned(), text(route_pk(page.network, &page.network_id))),
        ("sk".to_owned(), text(page.id.as_str())),
        ("account".to_owned(), text(page.account.as_str())),
        ("delivery".to_owned(), text(delivery)),
        ("by_kind".to_owned(), AttributeValue::Bool(by_kind)),
        ("proven".to_owned(), AttributeValue::Bool(page.proven)),
    ])
}

fn read_page(row: &Row) -> Result<Page, AdapterError> {
    let document = Reader { table: TABLE, row }.text("page")?.to_owned();
    serde_json::from_str(&document).map_err(|_| AdapterError::Malformed { table: TABLE, attribute: "page" })
}

fn read_route(row: &Row, id: &NetworkId) -> Result<ConnectedPage, AdapterError> {
    let is_true = |name: &str| matches!(row.get(name), Some(AttributeValue::Bool(true)));
    let (proven, by_kind) = (is_true("proven"), is_true("by_kind"));
    let row = Reader { table: TABLE, row };
    let delivery = Delivery::from_stored(row.text("delivery")?, by_kind);
    Ok(ConnectedPage {
        page: row.parsed("sk")?,
        account: row.parsed("account")?,
        network_id: id.clone(),
        delivery: delivery.ok_or(AdapterError::Malformed { table: TABLE, attribute: "delivery" })?,
        proven,
    })
}
