//! Rows of tables: attributes by name, read with errors that name the table and the attribute.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::error::AdapterError;

pub(crate) type Row = HashMap<String, AttributeValue>;

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A whole number as DynamoDB writes it.
pub(crate) struct Number(String);

macro_rules! number_from {
    ($($kind:ty)*) => {
        $(impl From<$kind> for Number {
            fn from(value: $kind) -> Self {
                Self(value.to_string())
            }
        })*
    };
}

number_from!(i64 u32 u64 usize);

pub(crate) fn number(value: impl Into<Number>) -> AttributeValue {
    AttributeValue::N(value.into().0)
}

pub(crate) fn bytes(value: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// A time in milliseconds since the Unix epoch.
pub(crate) fn milliseconds(at: Timestamp) -> AttributeValue {
    number(at.as_millisecond())
}

/// A time in milliseconds in 13 digits, which sort as text as times do. Times outside 1970 to 2286 are those that are
/// nearest.
pub(crate) fn sorted_digits(at: Timestamp) -> String {
    format!("{:013}", at.as_millisecond().clamp(0, 9_999_999_999_999))
}

/// A time in seconds since the Unix epoch, as DynamoDB's own expiry reads it.
pub(crate) fn seconds(at: Timestamp) -> AttributeValue {
    number(at.as_second())
}

/// Reads a row of a table.
pub(crate) struct Reader<'a> {
    pub(crate) table: &'static str,
    pub(crate) row: &'a Row,
}

impl Reader<'_> {
    fn malformed(&self, attribute: &'static str) -> AdapterError {
        AdapterError::Malformed { table: self.table, attribute }
    }

    pub(crate) fn text(&self, attribute: &'static str) -> Result<&str, AdapterError> {
        let value = self.row.get(attribute).and_then(|value| value.as_s().ok());
        value.map(String::as_str).ok_or_else(|| self.malformed(attribute))
    }

    pub(crate) fn parsed<T: FromStr>(&self, attribute: &'static str) -> Result<T, AdapterError> {
        self.text(attribute)?.parse().map_err(|_| self.malformed(attribute))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, attribute: &'static str) -> Result<T, AdapterError> {
        serde_json::from_str(self.text(attribute)?).map_err(|_| self.malformed(attribute))
    }

    pub(crate) fn number<T: FromStr>(&self, attribute: &'static str) -> Result<T, AdapterError> {
        let value = self.row.get(attribute).and_then(|value| value.as_n().ok());
        value.and_then(|value| value.parse().ok()).ok_or_else(|| self.malformed(attribute))
    }

    pub(crate) fn optional_number<T: FromStr>(
        &self,
        attribute: &'static str,
    ) -> Result<Option<T>, AdapterError> {
        if self.row.contains_key(attribute) { self.number(attribute).map(Some) } else { Ok(None) }
    }

    pub(crate) fn milliseconds(&self, attribute: &'static str) -> Result<Timestamp, AdapterError> {
        Timestamp::from_millisecond(self.number(attribute)?).map_err(|_| self.malformed(attribute))
    }

    pub(crate) fn seconds(&self, attribute: &'static str) -> Result<Timestamp, AdapterError> {
        Timestamp::from_second(self.number(attribute)?).map_err(|_| self.malformed(attribute))
    }

    pub(crate) fn bytes(&self, attribute: &'static str) -> Result<Vec<u8>, AdapterError> {
        let value = self.row.get(attribute).and_then(|value| value.as_b().ok());
        value.map(|blob| blob.as_ref().to_vec()).ok_or_else(|| self.malformed(attribute))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sort_as_text_also_beyond_thirteen_digits() {
        let times =
            ["1969-01-01T00:00:00Z", "2026-11-22T00:00:00Z", "2286-11-20T17:46:40Z", "9999-01-01T00:00:00Z"];
        let digits = times.map(|time| sorted_digits(time.parse().unwrap()));
        assert!(digits.is_sorted() && digits.iter().all(|digits| digits.len() == 13), "{digits:?}");
    }
}
