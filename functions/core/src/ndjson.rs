//! The bulk request's lines: `{"type":"message","item":{…},"key":…?}`, one a line. Lines stand alone: a bad one is
//! answered with its error, and the others are taken.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::idempotency::{IdempotencyKey, InvalidIdempotencyKey};
use crate::item::{self, ItemError, ItemHead, ItemType};
use crate::json::NotJson;

/// The largest bulk request, in bytes.
pub const MAX_BULK_BYTES: usize = 4 * 1024 * 1024;

/// The most lines of a bulk request.
pub const MAX_BULK_LINES: usize = 10_000;

/// A good line.
#[derive(Debug)]
pub struct Line<'a> {
    /// The item's type.
    pub item_type: ItemType,
    /// The item's bytes, as they stood in the line.
    pub item: &'a [u8],
    /// The fields that were read of the item.
    pub head: ItemHead,
    /// The line's own idempotency key.
    pub key: Option<IdempotencyKey>,
}

/// Why a line was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Not UTF-8.
    #[error("the line is not UTF-8: the byte at offset {offset} begins no character")]
    NotUtf8 {
        /// How many bytes of the line before it were good.
        offset: usize,
    },
    /// Not JSON, or not of the line's form.
    #[error("the line is not of the form {{\"type\":…,\"item\":{{…}},\"key\":…}}: {reason}")]
    Form {
        /// The fault and its place. It quotes nothing of the line.
        reason: NotJson,
    },
    /// A field that is needed.
    #[error("{0}: is needed")]
    Missing(&'static str),
    /// A type that bots do not produce.
    #[error("type: one of message, event, contact is expected")]
    Type,
    /// A key that is no text.
    #[error("key: a text is expected")]
    KeyForm,
    /// The item is none.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// The key is none.
    #[error("key: {0}")]
    Key(#[from] InvalidIdempotencyKey),
}

impl LineError {
    /// The field of the line that is wrong; none where it is the line itself.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::NotUtf8 { .. } | Self::Form { .. } => None,
            Self::Missing(field) => Some(field),
            Self::Type => Some("type"),
            Self::Item(_) => Some("item"),
            Self::KeyForm | Self::Key(_) => Some("key"),
        }
    }
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
    #[serde(rename = "type", borrow)]
    item_type: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
}

/// Splits a bulk request into its lines. A line feed after the last line is not a line more; a carriage return
/// before a line feed belongs to it. Blank lines are skipped, and are not counted.
///
/// # Errors
/// See [`BulkError`].
pub fn lines(body: &[u8]) -> Result<Vec<Result<Line<'_>, LineError>>, BulkError> {
    if body.len() > MAX_BULK_BYTES {
        return Err(BulkError::TooLarge { bytes: body.len() });
    }
    let lines: Vec<_> = body
        .split(|&b| b == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .take(MAX_BULK_LINES + 1)
        .collect();
    match lines.len() {
        0 => Err(BulkError::Empty),
        1..=MAX_BULK_LINES => Ok(lines.into_iter().map(line).collect()),
        _ => Err(BulkError::TooManyLines),
    }
}

fn line(bytes: &[u8]) -> Result<Line<'_>, LineError> {
    let form = |reason: NotJson| LineError::Form { reason };
    // The derived parser would take an array of the fields too.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(form(NotJson::OtherForm));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|error| LineError::NotUtf8 { offset: error.valid_up_to() })?;
    // A line is named by its place among the results, so the parser's own line number says nothing.
    let raw: RawLine<'_> = serde_json::from_str(text).map_err(|error| form(NotJson::of(&error)))?;
    let text_of = |value: &RawValue| serde_json::from_str::<String>(value.get()).ok();
    let item_type = text_of(raw.item_type.ok_or(LineError::Missing("type"))?);
    let item_type = ItemType::OF_BOTS.into_iter().find(|known| Some(known.as_str()) == item_type.as_deref());
    let item_type = item_type.ok_or(LineError::Type)?;
    let item = raw.item.ok_or(LineError::Missing("item"))?.get().as_bytes();
    let head = item::read_head(item)?;
    let key = raw.key.map(|key| text_of(key).ok_or(LineError::KeyForm)).transpose()?;
    let key = key.map(|key| key.parse()).transpose()?;
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
        assert_eq!(lines.len(), 6, "the blank line is skipped");
        let first = lines[0].as_ref().unwrap();
        assert_eq!(first.item, b"{\"id\" : \"a\",  \"n\":1.50}");
        assert_eq!(first.head.own_id.as_deref(), Some("a"));
        assert_eq!(first.key.as_ref().map(IdempotencyKey::as_str), Some("k"));
        assert!(matches!(lines[1], Err(LineError::Form { .. })));
        assert_eq!(lines[2].as_ref().unwrap_err(), &LineError::Type);
        assert!(matches!(lines[3], Err(LineError::Item(ItemError::NotAnObject { .. }))));
        assert!(matches!(lines[4], Err(LineError::Form { .. })), "a misspelt key would lose its idempotency");
        assert_eq!(lines[5].as_ref().unwrap().item_type, ItemType::CONTACT);
    }

    #[test]
    fn an_error_names_the_field_that_is_wrong() {
        for (line, field) in [
            (r#"{"item":{}}"#, Some("type")),
            (r#"{"type":1,"item":{}}"#, Some("type")),
            (r#"{"type":"ticket","item":{}}"#, Some("type")),
            (r#"{"type":"event"}"#, Some("item")),
            (r#"{"type":"event","item":7}"#, Some("item")),
            (r#"{"type":"event","item":{},"key":7}"#, Some("key")),
            (r#"{"type":"event","item":{},"key":""}"#, Some("key")),
            (r#"{"type":"event","item":{},"kind":7}"#, None),
            ("[]", None),
        ] {
            assert_eq!(lines(line.as_bytes()).unwrap()[0].as_ref().unwrap_err().field(), field, "{line}");
        }
        assert!(lines(br#"{"type":"event","item":{},"key":null}"#).unwrap()[0].is_ok());
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
        assert_eq!(lines(b"\n \r\n\t\n").unwrap_err(), BulkError::Empty);
        let most = "x\n\r\n".repeat(MAX_BULK_LINES);
        assert_eq!(lines(most.as_bytes()).unwrap().len(), MAX_BULK_LINES);
        let more = "x\n".repeat(MAX_BULK_LINES + 1);
        assert_eq!(lines(more.as_bytes()).unwrap_err(), BulkError::TooManyLines);
    }
}
