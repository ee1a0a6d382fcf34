//! The bulk request's lines: `{"type":"message","item":{…},"key":…?}`, one a line. Lines stand alone: a bad one is
//! answered with its error, and the others are taken.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::idempotency::{IdempotencyKey, InvalidIdempotencyKey};
use crate::item::{self, ItemError, ItemHead, ItemType, without_quotes};

/// The largest bulk request, in bytes.
pub const MAX_BULK_BYTES: usize = 4 * 1024 * 1024;

/// The most lines of a bulk request.
pub const MAX_BULK_LINES: usize = 10_000;

/// A good line.
#[derive(Debug)]
pub struct Line<'a> {
    /// What the item is.
    pub item_type: ItemType,
    /// The item's bytes, as they stood in the line.
    pub item: &'a [u8],
    /// What was read of the item.
    pub head: ItemHead,
    /// The line's own idempotency key.
    pub key: Option<IdempotencyKey>,
}

/// Why a line was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Not UTF-8, not JSON, or not of the line's form.
    #[error("the line is not of the form {{\"type\":…,\"item\":{{…}},\"key\":…}}: {reason}")]
    Form {
        /// What the parser met.
        reason: String,
    },
    /// A type that bots do not produce.
    #[error("type: one of message, event, contact is expected")]
    Type,
    /// The item is none.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// The key is none.
    #[error("key: {0}")]
    Key(#[from] InvalidIdempotencyKey),
}

/// Why a bulk request is refused whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BulkError {
    /// More than [`MAX_BULK_BYTES`].
    #[error("the request has {bytes} bytes; at most {MAX_BULK_BYTES} are taken")]
    TooLarge {
        /// How many bytes there were.
        bytes: usize,
    },
    /// More than [`MAX_BULK_LINES`].
    #[error("the request has more than {MAX_BULK_LINES} lines")]
    TooManyLines,
    /// Nothing at all.
    #[error("the request has no line")]
    Empty,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine<'a> {
    #[serde(rename = "type")]
    item_type: String,
    #[serde(borrow)]
    item: &'a RawValue,
    key: Option<String>,
}

/// Splits a bulk request into its lines. A line feed after the last line is not a line more; a carriage return
/// before a line feed belongs to it. An empty line among others is a line, and a bad one.
///
/// # Errors
/// See [`BulkError`].
pub fn lines(body: &[u8]) -> Result<Vec<Result<Line<'_>, LineError>>, BulkError> {
    if body.len() > MAX_BULK_BYTES {
        return Err(BulkError::TooLarge { bytes: body.len() });
    }
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    if body.trim_ascii().is_empty() {
        return Err(BulkError::Empty);
    }
    if body.iter().filter(|&&b| b == b'\n').count() >= MAX_BULK_LINES {
        return Err(BulkError::TooManyLines);
    }
    Ok(body.split(|&b| b == b'\n').map(line).collect())
}

fn line(bytes: &[u8]) -> Result<Line<'_>, LineError> {
    let form = |reason: String| LineError::Form { reason };
    // The derived parser would take an array of the fields too.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(form("a JSON object is expected".to_owned()));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| form(error.to_string()))?;
    let raw: RawLine<'_> = serde_json::from_str(text).map_err(|error| form(without_quotes(&error)))?;
    let item_type = ItemType::OF_BOTS.into_iter().find(|known| known.as_str() == raw.item_type);
    let item_type = item_type.ok_or(LineError::Type)?;
    let item = raw.item.get().as_bytes();
    let head = item::read_head(item)?;
    let key = raw.key.map(|key| key.parse()).transpose()?;
    Ok(Line { item_type, item, head, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_alone_and_keep_the_items_bytes() {
        let body = b"{\"type\":\"message\",\"item\": {\"id\" : \"a\",  \"n\":1.50} ,\"key\":\"k\"}\r\n\
            nonsense\n\
            \n\
            {\"type\":\"ticket\",\"item\":{}}\n\
            {\"type\":\"event\",\"item\":[]}\n\
            {\"type\":\"contact\",\"item\":{},\"keys\":1}\n\
            {\"type\":\"contact\",\"item\":{}}\n";
        let lines = lines(body).unwrap();
        assert_eq!(lines.len(), 7);
        let first = lines[0].as_ref().unwrap();
        assert_eq!(first.item, b"{\"id\" : \"a\",  \"n\":1.50}");
        assert_eq!(first.head.own_id.as_deref(), Some("a"));
        assert_eq!(first.key.as_ref().map(IdempotencyKey::as_str), Some("k"));
        assert!(matches!(lines[1], Err(LineError::Form { .. })));
        assert!(matches!(lines[2], Err(LineError::Form { .. })));
        assert_eq!(lines[3].as_ref().unwrap_err(), &LineError::Type);
        assert!(matches!(lines[4], Err(LineError::Item(ItemError::NotAnObject { .. }))));
        assert!(matches!(lines[5], Err(LineError::Form { .. })), "a misspelt key would lose its idempotency");
        assert_eq!(lines[6].as_ref().unwrap().item_type, ItemType::CONTACT);
    }

    #[test]
    fn an_error_quotes_nothing_of_its_line() {
        let long = "secret".repeat(1000);
        for line in [
            format!("{{\"{long}\":1}}"),
            format!("{{\"type\":\"event\",\"item\":\"{long}\"}}"),
            format!("{{\"type\":\"{long}\",\"item\":{{}}}}"),
            format!("{{\"type\":\"event\",\"item\":{{}},\"key\":[\"{long}\"]}}"),
        ] {
            let lines = lines(line.as_bytes()).unwrap();
            let error = lines[0].as_ref().unwrap_err().to_string();
            assert!(error.len() < 200 && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_request_is_refused_whole_only_for_its_size() {
        assert_eq!(lines(b"").unwrap_err(), BulkError::Empty);
        assert_eq!(lines(b"\n").unwrap_err(), BulkError::Empty);
        assert_eq!(
            lines(&vec![b'x'; MAX_BULK_BYTES + 1]).unwrap_err(),
            BulkError::TooLarge { bytes: MAX_BULK_BYTES + 1 }
        );
        let most = "x\n".repeat(MAX_BULK_LINES);
        assert_eq!(lines(most.as_bytes()).unwrap().len(), MAX_BULK_LINES);
        let more = "x\n".repeat(MAX_BULK_LINES + 1);
        assert_eq!(lines(more.as_bytes()).unwrap_err(), BulkError::TooManyLines);
    }
}
