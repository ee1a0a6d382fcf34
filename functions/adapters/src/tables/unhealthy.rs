//! What is unhealthy, across accounts: the index `unhealthy` of the streaks and of the configuration.
//!
//! A row is in it while it has the attribute `unhealthy`, a hexadecimal digit by its webhook, so that no key is shared
//! by all webhooks. The writes that begin and end a streak or a block, or disable and enable a webhook, set and remove
//! it; a healthy path makes none of them. Streaks are sorted by webhook, disabled webhooks likewise.

use aws_sdk_dynamodb::Client;

use crate::error::AdapterError;
use crate::tables::row::{Row, text};

/// The attribute, and the index.
pub(crate) const UNHEALTHY: &str = "unhealthy";

/// How many parts the index has.
pub const PARTS: u8 = 16;

/// The longest key of a row that is in the index.
const MAX_KEY_BYTES: usize = 96;

/// A row's key, as the place where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pk: String,
    sk: String,
}

impl Place {
    /// The place that a text names; None where it is none that [`Place::text`] gave.
    #[must_use]
    pub fn read(given: &str) -> Option<Self> {
        let is_key = |key: &str| {
            !key.is_empty()
                && key.len() <= MAX_KEY_BYTES
                && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_#".contains(&b))
        };
        let (pk, sk) = given.split_once(' ')?;
        (is_key(pk) && is_key(sk)).then(|| Self { pk: pk.to_owned(), sk: sk.to_owned() })
    }

    /// The place as a text.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} {}", self.pk, self.sk)
    }
}

/// The name of a webhook's part of the index, by the last character of its id.
pub(crate) fn shard_name(last: char) -> String {
    last.to_string()
}

/// A page of the keys in a part of a table's index.
pub(crate) async fn page(
    client: &Client,
    table: &str,
    part: u8,
    limit: u16,
    after: Option<&Place>,
) -> Result<(Vec<Row>, Option<Place>), AdapterError> {
    let part = text(format!("{:x}", part % PARTS));
    let start = after.map(|place| {
        Row::from([
            ("pk".to_owned(), text(place.pk.as_str())),
            ("sk".to_owned(), text(place.sk.as_str())),
            (UNHEALTHY.to_owned(), part.clone()),
        ])
    });
    let call = client
        .query()
        .table_name(table)
        .index_name(UNHEALTHY)
        .key_condition_expression("unhealthy = :part")
        .expression_attribute_values(":part", part)
        .limit(i32::from(limit))
        .set_exclusive_start_key(start);
    let answer = call.send().await.map_err(AdapterError::in_call("finding what is unhealthy"))?;
    let key = |row: &Row, name: &str| row.get(name).and_then(|value| value.as_s().ok()).cloned();
    let last =
        answer.last_evaluated_key.and_then(|row| Some(Place { pk: key(&row, "pk")?, sk: key(&row, "sk")? }));
    Ok((answer.items.unwrap_or_default(), last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_its_text_and_nothing_else_is_one() {
        for given in ["wh_0a 0000000001#message", "account#acc_1 webhook#wh_2"] {
            assert_eq!(Place::read(given).unwrap().text(), given);
        }
        let long = format!("{} b", "a".repeat(MAX_KEY_BYTES + 1));
        for given in ["", "a", " b", "a ", "A b", "a b c", "a\u{e9} b", &long] {
            assert!(Place::read(given).is_none(), "{given}");
        }
    }
}
