//! Rows that are not as this version writes them: they are logged and passed over.
//!
//! One such row does not keep the others from being listed, released or replayed, nor their notices from being sent. It
//! stays where it is: a version that can read it finds it there.

use crate::error::AdapterError;
use crate::tables::row::Row;

/// Logs which row cannot be read, and why, but nothing that it holds.
pub(crate) fn note(table: &'static str, row: &Row, error: &AdapterError) {
    let key = |name: &str| row.get(name).and_then(|value| value.as_s().ok()).map_or("", String::as_str);
    tracing::error!(table, pk = key("pk"), sk = key("sk"), error = error.chain(), "row.unreadable");
}

/// The value of a row; None where it cannot be read, which is logged.
pub(crate) fn readable<T>(table: &'static str, row: &Row, read: Result<T, AdapterError>) -> Option<T> {
    read.map_err(|error| note(table, row, &error)).ok()
}
