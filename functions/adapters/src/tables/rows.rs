//! The rows of a table: the client that reads and writes them, and the table's name.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;

use crate::tables::row::Row;

/// Declares the adapter of a table, or of a kind of its rows.
macro_rules! table {
    ($(#[$about:meta])* pub struct $name:ident;) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        pub struct $name {
            pub(crate) client: aws_sdk_dynamodb::Client,
            pub(crate) name: String,
        }

        impl $name {
            /// The rows of the table of this name.
            #[must_use]
            pub fn new(client: aws_sdk_dynamodb::Client, name: String) -> Self {
                Self { client, name }
            }
        }

        impl $crate::tables::rows::Rows for $name {
            fn table(&self) -> (&aws_sdk_dynamodb::Client, &str) {
                (&self.client, &self.name)
            }
        }
    };
}
pub(crate) use table;

/// The calls of a table.
pub(crate) trait Rows {
    /// The client, and the table's name.
    fn table(&self) -> (&Client, &str);

    fn get_item(&self, key: Row) -> GetItemFluentBuilder {
        let (client, name) = self.table();
        client.get_item().table_name(name).set_key(Some(key))
    }

    fn put_item(&self, row: Row) -> PutItemFluentBuilder {
        let (client, name) = self.table();
        client.put_item().table_name(name).set_item(Some(row))
    }

    fn update_item(&self, key: Row) -> UpdateItemFluentBuilder {
        let (client, name) = self.table();
        client.update_item().table_name(name).set_key(Some(key))
    }

    fn delete_item(&self, key: Row) -> DeleteItemFluentBuilder {
        let (client, name) = self.table();
        client.delete_item().table_name(name).set_key(Some(key))
    }

    fn query_rows(&self) -> QueryFluentBuilder {
        let (client, name) = self.table();
        client.query().table_name(name)
    }
}
