//! A message on its way in and out: what is checked before a queue sees it, its size, and its digests.
//!
//! All of it is a function of the message alone, so that it runs in the caller's task and not in the writer's.
//! Sources: the API reference of `SendMessage` and the developer guide's pages "Amazon SQS message metadata" and
//! "Amazon SQS message quotas".

use std::collections::BTreeMap;

use md5::{Digest, Md5};

use crate::error::SqsError;

/// The longest message, in bytes: body, and names, types and values of its attributes. Also the longest batch.
pub const MAX_MESSAGE_BYTES: usize = 1_048_576;
/// How many attributes a message may have.
pub const MAX_ATTRIBUTES: usize = 10;
/// The longest delay of a message, in seconds.
pub const MAX_DELAY_SECONDS: u32 = 900;
const MAX_ATTRIBUTE_NAME: usize = 256;
const MAX_GROUP_ID: usize = 128;

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeData {
    /// Of type `String` or `Number`.
    Text(String),
    /// Of type `Binary`.
    Bytes(Vec<u8>),
}

impl AttributeData {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// One attribute of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageAttribute {
    /// `String`, `Number` or `Binary`, optionally with a suffix of the producer's own: `Number.int`.
    pub data_type: String,
    /// The value.
    pub data: AttributeData,
}

impl MessageAttribute {
    /// An attribute of type `String`.
    #[must_use]
    pub fn text(value: impl Into<String>) -> Self {
        Self { data_type: "String".to_owned(), data: AttributeData::Text(value.into()) }
    }

    /// An attribute of type `Number`, in decimal.
    #[must_use]
    pub fn number(value: impl std::fmt::Display) -> Self {
        Self { data_type: "Number".to_owned(), data: AttributeData::Text(value.to_string()) }
    }

    /// An attribute of type `Binary`.
    #[must_use]
    pub fn bytes(value: impl Into<Vec<u8>>) -> Self {
        Self { data_type: "Binary".to_owned(), data: AttributeData::Bytes(value.into()) }
    }

    fn check(&self, name: &str) -> Result<(), SqsError> {
        let wrong = |what: &str| {
            Err(SqsError::InvalidParameterValue(format!("The message attribute '{name}' {what}")))
        };
        let (base, suffix) = match self.data_type.split_once('.') {
            Some((base, suffix)) => (base, Some(suffix)),
            None => (self.data_type.as_str(), None),
        };
        let custom = suffix.is_none_or(|s| !s.is_empty() && s.bytes().all(is_name_byte));
        if self.data_type.len() > MAX_ATTRIBUTE_NAME || !custom {
            return wrong("has an invalid message attribute type.");
        }
        match (base, &self.data) {
            ("String" | "Number", AttributeData::Text(_)) | ("Binary", AttributeData::Bytes(_)) => {}
            ("String" | "Number" | "Binary", _) => {
                return wrong(&format!("with type '{base}' must use the field for that type."));
            }
            _ => {
                return wrong(
                    "has an invalid message attribute type, the set of supported type prefixes is Binary, Number, \
                     and String.",
                );
            }
        }
        if self.data.as_bytes().is_empty() {
            return wrong(&format!(
                "must contain non-empty message attribute value for message attribute type '{base}'."
            ));
        }
        if let AttributeData::Text(text) = &self.data {
            check_characters(text)?;
            if base == "Number" && !is_number(text) {
                return Err(SqsError::InvalidParameterValue(format!(
                    "Can't cast the value of message (user) attribute '{name}' to a number."
                )));
            }
        }
        Ok(())
    }
}

/// A decimal number, with sign, fraction and exponent if it likes.
fn is_number(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    plain && text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// A message's attributes: at most ten, all of them checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageAttributes(BTreeMap<String, MessageAttribute>);

/// Bytes that are no encoded attributes: the store is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored attributes of a message cannot be read")]
pub struct DamagedAttributes;

impl MessageAttributes {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, in place of one of the same name.
    ///
    /// # Errors
    /// [`SqsError::InvalidParameterValue`] where the name, the type or the value is not one that the service takes,
    /// or it would be the eleventh; [`SqsError::InvalidMessageContents`] for a forbidden character.
    pub fn insert(&mut self, name: impl Into<String>, attribute: MessageAttribute) -> Result<(), SqsError> {
        let name = name.into();
        check_attribute_name(&name)?;
        attribute.check(&name)?;
        if self.0.len() >= MAX_ATTRIBUTES && !self.0.contains_key(&name) {
            return Err(SqsError::InvalidParameterValue(format!(
                "Number of message attributes [{}] exceeds the allowed maximum [{MAX_ATTRIBUTES}].",
                self.0.len() + 1
            )));
        }
        self.0.insert(name, attribute);
        Ok(())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&MessageAttribute> {
        self.0.get(name)
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &MessageAttribute)> {
        self.0.iter().map(|(name, attribute)| (name.as_str(), attribute))
    }

    /// Keeps those whose name `wanted` accepts.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| wanted(name));
    }

    /// What they count for in the message's size.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(|(name, a)| name.len() + a.data_type.len() + a.data.as_bytes().len()).sum()
    }

    /// The form of which `MD5OfMessageAttributes` is the digest (developer guide, "Calculating the MD5 message digest
    /// for message attributes"): for each, by name, the name, the type, one byte for the kind and the value, every
    /// text and value preceded by its length in four bytes. The store keeps attributes in it too.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size() + self.0.len() * 13);
        for (name, attribute) in &self.0 {
            push_field(&mut out, name.as_bytes());
            push_field(&mut out, attribute.data_type.as_bytes());
            out.push(match attribute.data {
                AttributeData::Text(_) => 1,
                AttributeData::Bytes(_) => 2,
            });
            push_field(&mut out, attribute.data.as_bytes());
        }
        out
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, DamagedAttributes> {
        let mut all = BTreeMap::new();
        while !bytes.is_empty() {
            let name = take_text(&mut bytes)?;
            let data_type = take_text(&mut bytes)?;
            let (kind, rest) = bytes.split_first().ok_or(DamagedAttributes)?;
            bytes = rest;
            let data = match kind {
                1 => AttributeData::Text(take_text(&mut bytes)?),
                2 => AttributeData::Bytes(take_field(&mut bytes)?.to_vec()),
                _ => return Err(DamagedAttributes),
            };
            all.insert(name, MessageAttribute { data_type, data });
        }
        Ok(Self(all))
    }

    /// `MD5OfMessageAttributes`; none where there are no attributes.
    #[must_use]
    pub fn md5(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| md5_hex(&self.encode()))
    }
}

fn push_field(out: &mut Vec<u8>, field: &[u8]) {
    // A field is at most a message long, so its length fits.
    out.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(field);
}

fn take_field<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], DamagedAttributes> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(DamagedAttributes)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| DamagedAttributes)?;
    let (field, rest) = rest.split_at_checked(length).ok_or(DamagedAttributes)?;
    *bytes = rest;
    Ok(field)
}

fn take_text(bytes: &mut &[u8]) -> Result<String, DamagedAttributes> {
    String::from_utf8(take_field(bytes)?.to_vec()).map_err(|_| DamagedAttributes)
}

fn check_attribute_name(name: &str) -> Result<(), SqsError> {
    let lower = name.to_ascii_lowercase();
    let form = !name.is_empty() && name.len() <= MAX_ATTRIBUTE_NAME && name.bytes().all(is_name_byte);
    let dots = !name.starts_with('.') && !name.ends_with('.') && !name.contains("..");
    if !form || !dots {
        return Err(SqsError::InvalidParameterValue(format!(
            "The message attribute name '{name}' is invalid. It can contain A-Z, a-z, 0-9, '_', '-' and '.', must not \
             start or end with '.' nor have successive ones, and is at most {MAX_ATTRIBUTE_NAME} characters long."
        )));
    }
    if lower.starts_with("aws.") || lower.starts_with("amazon.") {
        return Err(SqsError::InvalidParameterValue(format!(
            "The message attribute name '{name}' is invalid. It starts with a reserved prefix."
        )));
    }
    Ok(())
}

/// `#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF` (`SendMessage`, `MessageBody`).
pub(crate) fn check_characters(text: &str) -> Result<(), SqsError> {
    // A Rust string has no surrogates, so only the C0 controls and two non-characters are left to refuse.
    let forbidden =
        |c: char| (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}');
    if text.contains(forbidden) { Err(SqsError::InvalidMessageContents) } else { Ok(()) }
}

pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Md5::digest(bytes).iter().fold(String::with_capacity(32), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What [`crate::Sqs::send`] takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendMessage {
    /// The message: 1 byte to 1 MiB together with the attributes.
    pub body: String,
    /// Seconds until it can be received, 0 to 900; none for the queue's own `DelaySeconds`.
    pub delay_seconds: Option<i32>,
    /// Its attributes.
    pub attributes: MessageAttributes,
    /// The system attribute `AWSTraceHeader`. It does not count for the size.
    pub trace_header: Option<String>,
    /// For fair queues: messages of a group that takes much of the queue come after the others'.
    pub group_id: Option<String>,
    /// Refused: a standard queue has no deduplication.
    pub deduplication_id: Option<String>,
}

impl SendMessage {
    /// A message of that body and nothing else.
    #[must_use]
    pub fn new(body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// What the service counts as its length, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.len() + self.attributes.size()
    }

    /// Checks what does not depend on the queue.
    pub(crate) fn prepare(self) -> Result<Prepared, SqsError> {
        if self.body.is_empty() {
            return Err(SqsError::MissingParameter("MessageBody".to_owned()));
        }
        let size = self.size();
        check_size(size, MAX_MESSAGE_BYTES)?;
        check_characters(&self.body)?;
        let delay_seconds = self
            .delay_seconds
            .map(|delay| seconds_within(delay, "DelaySeconds", MAX_DELAY_SECONDS))
            .transpose()?;
        if let Some(id) = &self.deduplication_id {
            let reason = "The request include parameter that is not valid for this queue type";
            return Err(SqsError::invalid_parameter(id, "MessageDeduplicationId", reason));
        }
        if let Some(id) = &self.group_id {
            let form = !id.is_empty() && id.len() <= MAX_GROUP_ID && id.bytes().all(|b| b.is_ascii_graphic());
            if !form {
                let reason = "MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in \
                              length.";
                return Err(SqsError::invalid_parameter(id, "MessageGroupId", reason));
            }
        }
        let trace = self.trace_header.map(checked_trace).transpose()?;
        let md5_of_attributes = self.attributes.md5();
        Ok(Prepared {
            size,
            delay_seconds,
            md5_of_attributes,
            md5_of_system_attributes: trace.as_deref().and_then(trace_md5),
            payload: Payload {
                body_md5: md5_hex(self.body.as_bytes()),
                body: self.body,
                attributes: self.attributes.encode(),
                trace_header: trace,
                group_id: self.group_id,
            },
        })
    }
}

fn checked_trace(header: String) -> Result<String, SqsError> {
    MessageAttribute::text(header.as_str()).check("AWSTraceHeader")?;
    Ok(header)
}

fn trace_md5(header: &str) -> Option<String> {
    let all = BTreeMap::from([("AWSTraceHeader".to_owned(), MessageAttribute::text(header))]);
    MessageAttributes(all).md5()
}

pub(crate) fn check_size(size: usize, limit: usize) -> Result<(), SqsError> {
    if size <= limit {
        return Ok(());
    }
    Err(SqsError::InvalidParameterValue(format!(
        "One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes."
    )))
}

/// A number of seconds between 0 and `max`.
pub(crate) fn seconds_within(value: i32, name: &str, max: u32) -> Result<u32, SqsError> {
    u32::try_from(value).ok().filter(|seconds| *seconds <= max).ok_or_else(|| {
        SqsError::invalid_parameter(value, name, &format!("Must be >= 0 and <= {max}, if provided."))
    })
}

/// A message that only the queue's own limits can still refuse.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) size: usize,
    pub(crate) delay_seconds: Option<u32>,
    pub(crate) md5_of_attributes: Option<String>,
    pub(crate) md5_of_system_attributes: Option<String>,
    pub(crate) payload: Payload,
}

/// What is stored of a message and never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) body: String,
    pub(crate) body_md5: String,
    /// [`MessageAttributes::encode`].
    pub(crate) attributes: Vec<u8>,
    pub(crate) trace_header: Option<String>,
    pub(crate) group_id: Option<String>,
}

/// What is in a message that waits or is in flight, for who looks for what may not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The queue that it is in.
    pub queue: String,
    /// Its body.
    pub body: String,
    /// Its attributes, as they are stored: names and values in plain, among other bytes.
    pub attributes: Vec<u8>,
}

/// The answer to a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMessage {
    /// The message's id, a UUID: the same at every receive, and in the dead-letter queue.
    pub message_id: String,
    /// `MD5OfMessageBody`.
    pub md5_of_body: String,
    /// `MD5OfMessageAttributes`, where there are any.
    pub md5_of_attributes: Option<String>,
    /// `MD5OfMessageSystemAttributes`, where there is a trace header.
    pub md5_of_system_attributes: Option<String>,
}

/// What [`crate::Sqs::receive`] takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveRequest {
    /// 1 to 10; 1 if none.
    pub max_messages: Option<i32>,
    /// Seconds, 0 to 43,200, in place of the queue's own `VisibilityTimeout`.
    pub visibility_timeout: Option<i32>,
    /// Seconds to wait for a message, 0 to 20, in place of the queue's own `ReceiveMessageWaitTimeSeconds`.
    pub wait_seconds: Option<i32>,
}

/// A message received. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// The message's id.
    pub message_id: String,
    /// For deleting it and changing its visibility; another one at each receive.
    pub receipt_handle: String,
    /// The body.
    pub body: String,
    /// `MD5OfBody`.
    pub md5_of_body: String,
    /// All of its attributes.
    pub attributes: MessageAttributes,
    /// When it was first sent: before it came to a dead-letter queue.
    pub sent_ms: u64,
    /// How often it has been received, this time included; goes on counting in a dead-letter queue.
    pub receive_count: u32,
    /// When it was first received.
    pub first_receive_ms: u64,
    /// `MessageGroupId`, as sent.
    pub group_id: Option<String>,
    /// `AWSTraceHeader`, as sent.
    pub trace_header: Option<String>,
    /// In a dead-letter queue: the ARN of the queue that it came from.
    pub dead_letter_source: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(list: &[(&str, MessageAttribute)]) -> Result<MessageAttributes, SqsError> {
        let mut all = MessageAttributes::new();
        for (name, attribute) in list {
            all.insert(*name, attribute.clone())?;
        }
        Ok(all)
    }

    fn refusal(message: SendMessage) -> &'static str {
        message.prepare().unwrap_err().code()
    }

    #[test]
    fn the_digest_of_a_body_is_the_md5_of_its_bytes() {
        let prepared = SendMessage::new("hello world").prepare().unwrap();
        assert_eq!(prepared.payload.body_md5, "5eb63bbbe01eeed093cb22bb8f5acdc3");
    }

    #[test]
    fn the_digest_of_attributes_covers_name_type_kind_and_value() {
        let all =
            attributes(&[("b", MessageAttribute::bytes([7])), ("a", MessageAttribute::number(5))]).unwrap();
        let by_hand =
            b"\0\0\0\x01a\0\0\0\x06Number\x01\0\0\0\x015\0\0\0\x01b\0\0\0\x06Binary\x02\0\0\0\x01\x07";
        assert_eq!(all.encode(), by_hand);
        assert_eq!(all.md5(), Some(md5_hex(by_hand)));
        assert_eq!(MessageAttributes::decode(by_hand), Ok(all));
        assert_eq!(MessageAttributes::decode(&by_hand[..9]), Err(DamagedAttributes));
    }

    #[test]
    fn an_empty_body_is_a_missing_parameter() {
        assert_eq!(refusal(SendMessage::new("")), "MissingParameter");
    }

    #[test]
    fn a_body_takes_the_characters_of_xml_and_no_others() {
        for good in ["\t\n\r ~", "\u{7f}\u{85}", "\u{d7ff}\u{e000}\u{fffd}", "\u{10000}\u{10ffff}"] {
            assert!(SendMessage::new(good).prepare().is_ok(), "{good:?}");
        }
        for bad in ["\0", "\u{8}", "\u{b}", "\u{1f}", "\u{fffe}", "a\u{ffff}"] {
            assert_eq!(refusal(SendMessage::new(bad)), "InvalidMessageContents", "{bad:?}");
        }
    }

    #[test]
    fn a_message_of_one_mebibyte_is_taken_and_one_byte_more_is_not() {
        assert!(SendMessage::new("x".repeat(MAX_MESSAGE_BYTES)).prepare().is_ok());
        assert_eq!(refusal(SendMessage::new("x".repeat(MAX_MESSAGE_BYTES + 1))), "InvalidParameterValue");
    }

    #[test]
    fn names_types_and_values_of_attributes_count_for_the_size() {
        let attributes = attributes(&[("name", MessageAttribute::text("value"))]).unwrap();
        assert_eq!(attributes.size(), "name".len() + "String".len() + "value".len());
        let room = MAX_MESSAGE_BYTES - attributes.size();
        let message =
            |length| SendMessage { attributes: attributes.clone(), ..SendMessage::new("x".repeat(length)) };
        assert!(message(room).prepare().is_ok());
        assert_eq!(refusal(message(room + 1)), "InvalidParameterValue");
    }

    #[test]
    fn the_trace_header_does_not_count_for_the_size() {
        let body = "x".repeat(MAX_MESSAGE_BYTES);
        let message =
            SendMessage { trace_header: Some("Root=1-5759e988".to_owned()), ..SendMessage::new(body) };
        assert!(message.prepare().unwrap().md5_of_system_attributes.is_some());
    }

    #[test]
    fn a_delay_is_0_to_900_seconds() {
        for (delay, good) in [(0, true), (900, true), (901, false), (-1, false)] {
            let message = SendMessage { delay_seconds: Some(delay), ..SendMessage::new("x") };
            assert_eq!(message.prepare().is_ok(), good, "{delay}");
        }
    }

    #[test]
    fn a_group_id_is_kept_and_a_deduplication_id_refused() {
        let message = SendMessage { group_id: Some("tenant-1".to_owned()), ..SendMessage::new("x") };
        assert_eq!(message.prepare().unwrap().payload.group_id.as_deref(), Some("tenant-1"));
        let spaced = SendMessage { group_id: Some("a b".to_owned()), ..SendMessage::new("x") };
        assert_eq!(refusal(spaced), "InvalidParameterValue");
        let long = SendMessage { group_id: Some("g".repeat(129)), ..SendMessage::new("x") };
        assert_eq!(refusal(long), "InvalidParameterValue");
        let dedup = SendMessage { deduplication_id: Some("1".to_owned()), ..SendMessage::new("x") };
        assert_eq!(refusal(dedup), "InvalidParameterValue");
    }

    #[test]
    fn a_message_has_at_most_ten_attributes() {
        let mut all = MessageAttributes::new();
        for n in 0..10 {
            all.insert(format!("a{n}"), MessageAttribute::number(n)).unwrap();
        }
        assert_eq!(
            all.insert("a10", MessageAttribute::number(10)).unwrap_err().code(),
            "InvalidParameterValue"
        );
        all.insert("a9", MessageAttribute::number(1)).unwrap();
    }

    #[test]
    fn attribute_names_follow_the_rules() {
        let long = "n".repeat(256);
        for good in ["a", "A-b_c.9", long.as_str()] {
            assert!(check_attribute_name(good).is_ok(), "{good}");
        }
        let longer = "n".repeat(257);
        for bad in ["", ".a", "a.", "a..b", "a b", "á", "AWS.x", "amazon.x", "aws.", longer.as_str()] {
            assert!(check_attribute_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn attribute_types_are_the_three_with_an_optional_suffix() {
        let typed =
            |t: &str| MessageAttribute { data_type: t.to_owned(), data: AttributeData::Text("1".to_owned()) };
        for good in ["String", "Number", "Number.int", "String.my-own_type.2"] {
            assert!(typed(good).check("a").is_ok(), "{good}");
        }
        for bad in ["", "string", "Boolean", "String.", "Number.a b", "Binary", "Strings"] {
            assert!(typed(bad).check("a").is_err(), "{bad}");
        }
        assert!(MessageAttribute::bytes([0]).check("a").is_ok());
    }

    #[test]
    fn empty_attribute_values_are_refused() {
        assert!(MessageAttribute::text("").check("a").is_err());
        assert!(MessageAttribute::bytes([]).check("a").is_err());
        assert!(MessageAttribute::text("\0").check("a").is_err());
    }

    #[test]
    fn a_number_is_a_decimal_number() {
        for good in ["0", "-1", "+2.5", "1e10", "99999999999999999999999999999999999999"] {
            assert!(MessageAttribute::number(good).check("a").is_ok(), "{good}");
        }
        for bad in ["x", "inf", "NaN", "1 ", "0x10", "1e999", "--1"] {
            assert!(MessageAttribute::number(bad).check("a").is_err(), "{bad}");
        }
    }
}
