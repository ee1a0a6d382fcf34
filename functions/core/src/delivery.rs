//! A delivery: one item on its way to one webhook, as the queue carries it: alone, or [with others](packing).
//!
//! The item's bytes are the message's body where SQS allows their characters, else base64 of them; everything else
//! stands in message attributes.

pub mod packing;

use std::collections::BTreeMap;
use std::fmt;
use std::num::ParseIntError;
use std::ops::Range;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::hop::Hop;
use crate::id::{AccountId, ItemId, WebhookId};
use crate::item::{ItemType, Source};
use crate::replay::Replayed;
use crate::retention::Retention;

/// The most entries of a send batch (SQS).
pub const MAX_BATCH_ENTRIES: usize = 10;

/// The most bytes of a send batch, bodies and attributes (SQS: 1 MiB).
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// One item on its way to one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The account of the item and the webhook.
    pub account: AccountId,
    /// Where it goes.
    pub webhook: WebhookId,
    /// The item's id, which receivers see as `webhook-id`.
    pub item: ItemId,
    /// The item's type.
    pub item_type: ItemType,
    /// Where it came from.
    pub source: Source,
    /// When it was accepted. It orders held items.
    pub accepted_at: Timestamp,
    /// The replay that it belongs to, where it died before.
    pub replayed: Option<Replayed>,
    /// The end of the storage term that its network sets, if any. From then on it is dropped wherever it is found.
    pub keep_until: Option<Timestamp>,
    /// How often it had passed through Carteiro when it was taken in.
    pub hop: Hop,
    /// The number of the next attempt: 1, 2, …
    pub attempt: u32,
    /// How many messages of its chain came before the one that it is in ([`crate::lane`]). An item that waits in a row
    /// is in no chain, and begins a new one.
    pub chain: u32,
    /// The webhook's revision when the message was sent. Only a hint: it lets a reader find the webhook and its streak
    /// in one call.
    pub revision: u64,
    /// The step of a release that it belongs to.
    pub step: Option<StepTag>,
    /// The item's bytes, which never change on the way.
    pub body: Vec<u8>,
}

/// A queue message, of one delivery or of [several](packing).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The message's body.
    pub body: String,
    /// The message's attributes, all of type String.
    pub attributes: BTreeMap<&'static str, String>,
}

/// Why a queue message is no delivery.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// An attribute is missing or malformed.
    #[error("the message's attribute {0} is missing or malformed")]
    Attribute(&'static str),
    /// The body is not of its encoding.
    #[error("the message's body is not of its encoding")]
    Body,
}

const ACCOUNT: &str = "account";
const WEBHOOK: &str = "webhook";
const ITEM: &str = "item";
const ITEM_TYPE: &str = "type";
const SOURCE: &str = "source";
const ACCEPTED_AT: &str = "accepted_at";
const ATTEMPT: &str = "attempt";
const REVISION: &str = "revision";
const STEP: &str = "step";
const ENCODING: &str = "encoding";

/// The encoding of a body that is the item's bytes.
const TEXT: &str = "text";

/// The names of the attributes that every message has. SQS takes ten.
pub const ATTRIBUTES: [&str; 9] =
    [ACCOUNT, WEBHOOK, ITEM, ITEM_TYPE, SOURCE, ACCEPTED_AT, ATTEMPT, REVISION, ENCODING];

impl Delivery {
    /// The delivery as a queue message.
    #[must_use]
    pub fn to_message(&self) -> Message {
        let (body, encoding) = match packing::text(&self.body) {
            Some(text) => (text.to_owned(), TEXT),
            None => (STANDARD.encode(&self.body), "base64"),
        };
        let mut attributes = self.target();
        attributes.extend(self.beside_the_target());
        attributes.insert(ENCODING, encoding.to_owned());
        Message { body, attributes }
    }

    /// The attributes that say where it goes. Deliveries that share a message have them in common.
    fn target(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            (ACCOUNT, self.account.to_string()),
            (WEBHOOK, self.webhook.to_string()),
            (REVISION, self.revision.to_string()),
        ])
    }

    /// The other attributes, without the encoding of its body.
    fn beside_the_target(&self) -> BTreeMap<&'static str, String> {
        let mut attributes = BTreeMap::from([
            (ITEM, self.item.to_string()),
            (ITEM_TYPE, self.item_type.to_string()),
            (SOURCE, self.source.to_string()),
            (ACCEPTED_AT, self.times()),
            (ATTEMPT, Number { attempt: self.attempt, chain: self.chain, hop: self.hop }.to_string()),
        ]);
        attributes.extend(self.step.as_ref().map(|step| (STEP, step.to_string())));
        attributes
    }

    /// The time from which its retention counts: its acceptance, or when it was taken out of the dead again.
    #[must_use]
    pub fn kept_since(&self) -> Timestamp {
        self.replayed.as_ref().map_or(self.accepted_at, |replayed| replayed.at)
    }

    /// Whether its network no longer allows it to be kept.
    #[must_use]
    pub fn is_past_keep_until(&self, now: Timestamp) -> bool {
        self.keep_until.is_some_and(|until| until <= now)
    }

    /// A time, or the end of its storage term where that comes first.
    #[must_use]
    pub fn capped_at_keep_until(&self, at: Timestamp) -> Timestamp {
        self.keep_until.map_or(at, |until| at.min(until))
    }

    /// When it must leave wherever it is held: at the end of its retention or of its storage term.
    #[must_use]
    pub fn held_until(&self, retention: Retention) -> Timestamp {
        self.capped_at_keep_until(retention.held_until(self.kept_since()))
    }

    /// When it was accepted, until when it may be kept, and its replay: one attribute, for SQS takes ten.
    fn times(&self) -> String {
        let mut times = self.accepted_at.as_millisecond().to_string();
        if let Some(until) = self.keep_until {
            times = format!("{times}/{}", until.as_millisecond());
        }
        match &self.replayed {
            None => times,
            Some(replayed) => format!("{times}#{replayed}"),
        }
    }

    /// Reads a queue message. `attribute` gives an attribute's text by its name.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn from_message<'a>(
        body: &str,
        attribute: impl Fn(&'static str) -> Option<&'a str>,
    ) -> Result<Self, MessageError> {
        let Times { accepted_at, keep_until, replayed } =
            attribute(ACCEPTED_AT).and_then(read_times).ok_or(MessageError::Attribute(ACCEPTED_AT))?;
        let Number { attempt, chain, hop } = parsed(&attribute, ATTEMPT)?;
        let body = match attribute(ENCODING) {
            Some(TEXT) => body.as_bytes().to_vec(),
            Some("base64") => STANDARD.decode(body).map_err(|_| MessageError::Body)?,
            _ => return Err(MessageError::Attribute(ENCODING)),
        };
        Ok(Self {
            account: parsed(&attribute, ACCOUNT)?,
            webhook: parsed(&attribute, WEBHOOK)?,
            item: parsed(&attribute, ITEM)?,
            item_type: parsed(&attribute, ITEM_TYPE)?,
            source: parsed(&attribute, SOURCE)?,
            accepted_at,
            replayed,
            keep_until,
            hop,
            attempt,
            chain,
            revision: parsed(&attribute, REVISION)?,
            step: attribute(STEP).map(|_| parsed(&attribute, STEP)).transpose()?,
            body,
        })
    }
}

/// The attribute `attempt`: the attempt's number, after a plus how many messages of the chain came before, and after an
/// at sign the item's hops, each where it is not zero. They share one because SQS takes no more than ten. A build that
/// does not know hops gives such a message back to the queue, which keeps the count for one that does.
#[derive(Debug, PartialEq, Eq)]
struct Number {
    attempt: u32,
    chain: u32,
    hop: Hop,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempt, chain, hop } = self;
        write!(f, "{attempt}")?;
        if *chain > 0 {
            write!(f, "+{chain}")?;
        }
        if *hop > Hop::default() {
            write!(f, "@{}", hop.count())?;
        }
        Ok(())
    }
}

impl FromStr for Number {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (text, hop) = text.split_once('@').unwrap_or((text, "0"));
        let (attempt, chain) = text.split_once('+').unwrap_or((text, "0"));
        Ok(Self { attempt: attempt.parse()?, chain: chain.parse()?, hop: Hop::of_count(hop.parse()?) })
    }
}

fn parsed<'a, T: FromStr>(
    attribute: &impl Fn(&'static str) -> Option<&'a str>,
    name: &'static str,
) -> Result<T, MessageError> {
    attribute(name).and_then(|text| text.parse().ok()).ok_or(MessageError::Attribute(name))
}

/// The times in the attribute `accepted_at`.
#[derive(Debug, PartialEq, Eq)]
struct Times {
    accepted_at: Timestamp,
    keep_until: Option<Timestamp>,
    replayed: Option<Replayed>,
}

fn read_times(text: &str) -> Option<Times> {
    let (times, replayed) = match text.split_once('#') {
        Some((times, replayed)) => (times, Some(replayed.parse().ok()?)),
        None => (text, None),
    };
    let time = |text: &str| Timestamp::from_millisecond(text.parse().ok()?).ok();
    let (accepted_at, keep_until) = match times.split_once('/') {
        Some((accepted_at, keep_until)) => (accepted_at, Some(time(keep_until)?)),
        None => (times, None),
    };
    Some(Times { accepted_at: time(accepted_at)?, keep_until, replayed })
}

/// The characters that SQS takes in a body: `#x9 | #xA | #xD | #x20-#xD7FF | #xE000-#xFFFD | #x10000-#x10FFFF`.
fn is_allowed_in_a_message(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

impl Message {
    /// The size that SQS counts: the body, and every attribute's name, type and value.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let attributes =
            self.attributes.iter().map(|(name, value)| name.len() + "String".len() + value.len());
        self.body.len() + attributes.sum::<usize>()
    }
}

/// Cuts messages of these sizes, in order, into send batches of at most [`MAX_BATCH_ENTRIES`] and
/// [`MAX_BATCH_BYTES`]. A message that is too large by itself stands alone, for the queue to refuse.
#[must_use]
pub fn batches(sizes: &[usize]) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0_usize);
    for (index, size) in sizes.iter().enumerate() {
        let full = index - start == MAX_BATCH_ENTRIES || bytes.saturating_add(*size) > MAX_BATCH_BYTES;
        if full && index > start {
            batches.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes = bytes.saturating_add(*size);
    }
    if start < sizes.len() {
        batches.push(start..sizes.len());
    }
    batches
}

/// The place of a delivery in a step of a release.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StepTag {
    /// The step's id, of random hexadecimal digits.
    pub id: String,
    /// Whether it is the first step.
    pub first: bool,
    /// The item's index in the step. An older version has none, and such an item is not counted.
    pub index: Option<u32>,
}

/// A text that names no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a step of a release")]
pub struct InvalidStep;

impl fmt::Display for StepTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", if self.first { "first" } else { "later" }, self.id)?;
        self.index.map_or(Ok(()), |index| write!(f, "#{index}"))
    }
}

impl FromStr for StepTag {
    type Err = InvalidStep;

    fn from_str(text: &str) -> Result<Self, InvalidStep> {
        let (kind, rest) = text.split_once('#').ok_or(InvalidStep)?;
        let (id, index) = match rest.split_once('#') {
            Some((id, index)) => (id, Some(index.parse().map_err(|_| InvalidStep)?)),
            None => (rest, None),
        };
        let first = match kind {
            "first" => true,
            "later" => false,
            _ => return Err(InvalidStep),
        };
        if id.is_empty() || id.len() > 64 {
            return Err(InvalidStep);
        }
        Ok(Self { id: id.to_owned(), first, index })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::ReplayId;

    #[test]
    fn a_step_survives_its_text() {
        let tag = |id: &str, first, index| StepTag { id: id.to_owned(), first, index };
        for tag in [tag("ab", true, Some(0)), tag("cd", false, Some(999)), tag("ef", true, None)] {
            assert_eq!(tag.to_string().parse::<StepTag>().unwrap(), tag);
        }
        for text in ["", "first", "first#", "middle#a", "first#a#", "first#a#x", "first#a#1#2", "first##1"] {
            assert!(text.parse::<StepTag>().is_err(), "{text}");
        }
    }

    pub(crate) fn delivery(body: &[u8]) -> Delivery {
        Delivery {
            account: AccountId::from_bits(1),
            webhook: WebhookId::from_bits(2),
            item: ItemId::from_bits(3),
            item_type: ItemType::MESSAGE,
            source: "bot:b".parse().unwrap(),
            accepted_at: Timestamp::from_millisecond(1_795_000_000_123).unwrap(),
            replayed: None,
            keep_until: None,
            hop: Hop::default(),
            attempt: 4,
            chain: 3,
            revision: 3,
            step: Some(StepTag { id: "s".to_owned(), first: true, index: Some(3) }),
            body: body.to_vec(),
        }
    }

    fn there_and_back(delivery: &Delivery) -> Delivery {
        let message = delivery.to_message();
        Delivery::from_message(&message.body, |name| message.attributes.get(name).map(String::as_str))
            .unwrap()
    }

    proptest! {
        #[test]
        fn any_bytes_survive_the_queue(body: Vec<u8>) {
            prop_assert_eq!(&there_and_back(&delivery(&body)), &delivery(&body));
        }

        #[test]
        fn any_text_survives_the_queue_in_characters_that_it_allows(text: String) {
            let message = delivery(text.as_bytes()).to_message();
            prop_assert!(!message.body.is_empty() || text.is_empty());
            prop_assert!(message.body.chars().all(is_allowed_in_a_message));
            prop_assert_eq!(there_and_back(&delivery(text.as_bytes())).body, text.into_bytes());
        }

        #[test]
        fn batches_keep_the_order_and_both_limits(sizes in prop::collection::vec(0..600_000_usize, 0..60)) {
            let batches = batches(&sizes);
            let joined: Vec<usize> = batches.iter().cloned().flatten().collect();
            prop_assert_eq!(joined, (0..sizes.len()).collect::<Vec<_>>());
            for batch in batches {
                prop_assert!(batch.len() <= MAX_BATCH_ENTRIES);
                prop_assert!(batch.len() == 1 || sizes[batch].iter().sum::<usize>() <= MAX_BATCH_BYTES);
            }
        }
    }

    #[test]
    fn ordinary_json_travels_as_it_is() {
        let message = delivery("{\"a\":\"é😃\"}\n".as_bytes()).to_message();
        assert_eq!(message.body, "{\"a\":\"é😃\"}\n");
        assert_eq!(delivery("{\"a\":\"\u{ffff}\"}".as_bytes()).to_message().attributes[ENCODING], "base64");
    }

    #[test]
    fn a_replayed_delivery_keeps_its_acceptance_in_ten_attributes() {
        let once = delivery(b"{}");
        let at = Timestamp::from_millisecond(1_796_000_000_456).unwrap();
        let replayed = Some(Replayed { replay: ReplayId::made_at(at, 9), at });
        let again = Delivery { replayed, ..once.clone() };
        assert_eq!(there_and_back(&again), again);
        assert_eq!((once.kept_since(), again.kept_since()), (once.accepted_at, at));
        assert_eq!(again.to_message().attributes.len(), 10, "SQS takes ten");
        let limited = Delivery { keep_until: Some(at), ..again };
        assert_eq!(there_and_back(&limited), limited);
        let limited = Delivery { replayed: None, ..limited };
        assert_eq!(there_and_back(&limited), limited);
        assert_eq!(limited.to_message().attributes.len(), 10, "SQS takes ten");
        for times in ["", "#", "1795000000123#", "1795000000123#1#rep_1", "x", "1/", "/1", "1/x", "1/2/3"] {
            assert_eq!(read_times(times), None, "{times}");
        }
    }

    #[test]
    fn a_delivery_keeps_its_hops_in_ten_attributes() {
        for count in 0..=3 {
            let looped = Delivery { hop: Hop::of_count(count), ..delivery(b"{}") };
            assert_eq!(there_and_back(&looped), looped);
            assert_eq!(looped.to_message().attributes.len(), 10, "SQS takes ten");
        }
        let number = |attempt, chain, hop| Number { attempt, chain, hop: Hop::of_count(hop) };
        for (text, expected) in [
            ("4", number(4, 0, 0)),
            ("4+3", number(4, 3, 0)),
            ("4@1", number(4, 0, 1)),
            ("4+3@2", number(4, 3, 2)),
            ("4@200", number(4, 0, 3)),
        ] {
            assert_eq!(text.parse::<Number>().unwrap(), expected, "{text}");
        }
        for text in ["", "@1", "4@", "4@x", "4@1+3", "4@-1"] {
            assert!(text.parse::<Number>().is_err(), "{text}");
        }
        assert_eq!(number(4, 3, 0).to_string(), "4+3", "as builds that know no hops write and read it");
    }

    #[test]
    fn a_storage_term_ends_an_item_and_shortens_its_waits() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let limited = Delivery { keep_until: Some(at(10)), ..delivery(b"{}") };
        assert!(!limited.is_past_keep_until(at(9)) && limited.is_past_keep_until(at(10)));
        assert_eq!(
            (limited.capped_at_keep_until(at(9)), limited.capped_at_keep_until(at(11))),
            (at(9), at(10))
        );
        assert!(!delivery(b"{}").is_past_keep_until(Timestamp::MAX));
        assert_eq!(delivery(b"{}").capped_at_keep_until(at(11)), at(11));
        let retention = Retention::from_days(1);
        let accepted = Delivery { accepted_at: at(0), ..delivery(b"{}") };
        assert_eq!(accepted.held_until(retention), at(24 * 3_600_000));
        assert_eq!(Delivery { keep_until: Some(at(10)), ..accepted }.held_until(retention), at(10));
    }

    #[test]
    fn a_message_that_is_no_delivery_says_what_is_wrong_with_it() {
        let message = delivery(b"{}").to_message();
        for name in ATTRIBUTES {
            let without = |asked: &'static str| {
                message.attributes.get(asked).filter(|_| asked != name).map(String::as_str)
            };
            assert_eq!(Delivery::from_message(&message.body, without), Err(MessageError::Attribute(name)));
        }
    }
}
