//! Items: their types, their sources, and the bodies that are taken.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::id::{AccountId, ItemId, digest, half};
use crate::json::NotJson;

/// The largest item, in bytes.
pub const MAX_ITEM_BYTES: usize = 256 * 1024;

/// The longest name of a bot, in bytes.
pub const MAX_BOT_NAME_BYTES: usize = 128;

/// The type of an item: `message`, `event`, `contact` (from bots), `publication`, `interaction` (from pages) or
/// `notice` (from Carteiro itself).
///
/// The API takes only these; in storage the set is open, so that a row of a newer version can be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ItemType(Cow<'static, str>);

impl ItemType {
    /// A message that a bot sent or received.
    pub const MESSAGE: Self = Self(Cow::Borrowed("message"));
    /// An event track of a bot.
    pub const EVENT: Self = Self(Cow::Borrowed("event"));
    /// A bot's contact, whole, after a change of it.
    pub const CONTACT: Self = Self(Cow::Borrowed("contact"));
    /// A publication of a page.
    pub const PUBLICATION: Self = Self(Cow::Borrowed("publication"));
    /// An interaction with a page or its publications.
    pub const INTERACTION: Self = Self(Cow::Borrowed("interaction"));
    /// A notice of Carteiro itself.
    pub const NOTICE: Self = Self(Cow::Borrowed("notice"));
    /// No item's type: what stands in the place of one where a webhook is meant as a whole.
    pub const WHOLE_WEBHOOK: Self = Self(Cow::Borrowed("webhook"));

    /// Every type that the API takes, in the order of the documentation.
    pub const KNOWN: [Self; 6] =
        [Self::MESSAGE, Self::EVENT, Self::CONTACT, Self::PUBLICATION, Self::INTERACTION, Self::NOTICE];

    /// The types that bots produce.
    pub const OF_BOTS: [Self; 3] = [Self::MESSAGE, Self::EVENT, Self::CONTACT];

    /// The type's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type of this name, if the API takes it.
    #[must_use]
    pub fn known(name: &str) -> Option<Self> {
        Self::KNOWN.into_iter().find(|known| known.as_str() == name)
    }

    /// The error text where a request names no known type.
    #[must_use]
    pub fn expected() -> String {
        format!("one of {} is expected", Self::KNOWN.map(|known| known.to_string()).join(", "))
    }

    /// Whether the API takes this type.
    #[must_use]
    pub fn is_known(&self) -> bool {
        Self::KNOWN.contains(self)
    }
}

/// A text that cannot name an item type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an item type is 1 to 32 lower-case letters or underscores")]
pub struct InvalidItemType;

impl FromStr for ItemType {
    type Err = InvalidItemType;

    fn from_str(text: &str) -> Result<Self, InvalidItemType> {
        if let Some(known) = Self::known(text) {
            return Ok(known);
        }
        if (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(InvalidItemType)
        }
    }
}

crate::stored_as_text!(ItemType, |item_type| item_type.0.into_owned());

impl fmt::Display for ItemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A bot's name, as its account chose it: letters, digits and `. _ - @ + ~`, so that it can stand in a URL's path
/// and in a header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BotName(String);

/// A text that cannot name a bot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a bot's name is 1 to {MAX_BOT_NAME_BYTES} letters, digits or any of . _ - @ + ~")]
pub struct InvalidBotName;

impl BotName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BotName {
    type Err = InvalidBotName;

    fn from_str(text: &str) -> Result<Self, InvalidBotName> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-@+~".contains(&b);
        if (1..=MAX_BOT_NAME_BYTES).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidBotName)
        }
    }
}

/// Where an item came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// `bot:<name>`
    Bot(BotName),
    /// `page:<id>`
    Page(String),
    /// `carteiro`: Carteiro itself.
    Carteiro,
}

/// A text that names no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a source is bot:<name>, page:<id> or carteiro")]
pub struct InvalidSource;

impl FromStr for Source {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        if text == "carteiro" {
            return Ok(Self::Carteiro);
        }
        if let Some(name) = text.strip_prefix("bot:") {
            return name.parse().map(Self::Bot).map_err(|_| InvalidSource);
        }
        // A page's id is bound like a bot's name, for it goes to the same places.
        let id = text.strip_prefix("page:").ok_or(InvalidSource)?;
        id.parse::<BotName>().map(|name| Self::Page(name.0)).map_err(|_| InvalidSource)
    }
}

crate::stored_as_text!(Source, |source| source.to_string());

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bot(name) => write!(f, "bot:{}", name.as_str()),
            Self::Page(id) => write!(f, "page:{id}"),
            Self::Carteiro => f.write_str("carteiro"),
        }
    }
}

/// Why bytes are no item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// More than [`MAX_ITEM_BYTES`].
    #[error("the item has {bytes} bytes; at most {MAX_ITEM_BYTES} are taken")]
    TooLarge {
        /// How many bytes there were.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("the item is not UTF-8: the byte at offset {offset} begins no character")]
    NotUtf8 {
        /// How many bytes before it were good.
        offset: usize,
    },
    /// Not one JSON object.
    #[error("the item is not one JSON object: {reason}")]
    NotAnObject {
        /// The fault and its place. It quotes nothing of the item.
        reason: NotJson,
    },
}

/// The fields that were read of an item. The bytes themselves stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemHead {
    /// The item's own `id`, where it is a text that is not empty. Of two, the last.
    pub own_id: Option<String>,
}

/// Checks that the bytes are one JSON object in UTF-8, of any depth, and reads its own id.
///
/// # Errors
/// See [`ItemError`].
pub fn read_head(bytes: &[u8]) -> Result<ItemHead, ItemError> {
    if bytes.len() > MAX_ITEM_BYTES {
        return Err(ItemError::TooLarge { bytes: bytes.len() });
    }
    let text =
        std::str::from_utf8(bytes).map_err(|error| ItemError::NotUtf8 { offset: error.valid_up_to() })?;
    let not_an_object = |error: serde_json::Error| ItemError::NotAnObject { reason: NotJson::of(&error) };
    let mut parser = serde_json::Deserializer::from_str(text);
    let own_id = parser.deserialize_map(OwnId).map_err(not_an_object)?;
    parser.end().map_err(not_an_object)?;
    Ok(ItemHead { own_id })
}

/// Walks over an object without building it. Values other than `id` are skipped, which needs no stack however deep
/// they are nested.
struct OwnId;

impl<'de> Visitor<'de> for OwnId {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut own_id = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if name == "id" {
                let value: &RawValue = map.next_value()?;
                own_id = serde_json::from_str::<String>(value.get()).ok().filter(|id| !id.is_empty());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(own_id)
    }
}

/// The id of a message that has an `id` of its own: a digest of where it came from, that id and the bytes, so that a
/// producer's repeat is recognisable by its `webhook-id`, and nothing else gets the same one.
#[must_use]
pub fn derived_id(
    account: &AccountId,
    source: &Source,
    item_type: &ItemType,
    own_id: &str,
    bytes: &[u8],
) -> ItemId {
    ItemId::of_parts([
        b"carteiro item 1".as_slice(),
        account.as_str().as_bytes(),
        source.to_string().as_bytes(),
        item_type.as_str().as_bytes(),
        own_id.as_bytes(),
        bytes,
    ])
}

/// How many of the first bits of an accepted item's id are its acceptance, in milliseconds since the Unix epoch: enough
/// until the year 2527. Its type has 4 bits, and a digest of its source 8.
const TIME_BITS: u32 = 44;
/// How many bits are random: ten thousand items of one millisecond have the same ones once in a hundred million times.
const RANDOM_BITS: u32 = 52;
/// How many of its last bits say that it was made for its account.
const CHECK_BITS: u32 = 20;

/// The acceptance of an item, as its id tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// When it was accepted, to the millisecond.
    pub at: Timestamp,
    /// Its type.
    pub item_type: ItemType,
    /// The digest of its source.
    source: u8,
}

impl Acceptance {
    /// Whether the item may be of this source. One source in 256 has the digest of another.
    #[must_use]
    pub fn may_be_of(&self, source: &Source) -> bool {
        u128::from(self.source) == source_bits(source)
    }
}

/// The id of an item that an account's bot sent: its acceptance, random bits, and a check by which the account's own
/// ids are told from all others. So an item that arrived, of which no table has a row, is still known by its id.
#[must_use]
pub fn accepted_id(
    account: &AccountId,
    source: &Source,
    item_type: &ItemType,
    at: Timestamp,
    random: u64,
) -> ItemId {
    let ms = u128::try_from(at.as_millisecond()).unwrap_or_default() & mask(TIME_BITS);
    let code = ItemType::KNOWN.iter().position(|known| known == item_type).map_or(0, |place| place + 1);
    let code = u128::try_from(code).unwrap_or_default();
    let head = (ms << 4 | code) << 8 | source_bits(source);
    let first = head << RANDOM_BITS | (u128::from(random) & mask(RANDOM_BITS));
    ItemId::from_bits(first << CHECK_BITS | check(account, first))
}

/// The acceptance of an item of this account, where its id tells it. Ids that were derived or drawn in another way, and
/// those of other accounts, tell nothing, but for one of them in a million.
#[must_use]
pub fn acceptance(id: &ItemId, account: &AccountId) -> Option<Acceptance> {
    let first = id.bits() >> CHECK_BITS;
    if id.bits() & mask(CHECK_BITS) != check(account, first) {
        return None;
    }
    let head = first >> RANDOM_BITS;
    let source = u8::try_from(head & mask(8)).ok()?;
    let code = usize::try_from((head >> 8) & mask(4)).ok()?;
    let item_type = ItemType::KNOWN.get(code.checked_sub(1)?)?.clone();
    let at = Timestamp::from_millisecond(i64::try_from(head >> 12).ok()?).ok()?;
    Some(Acceptance { at, item_type, source })
}

/// This many bits, all set.
const fn mask(bits: u32) -> u128 {
    (1 << bits) - 1
}

/// The check over the first bits of an accepted item's id.
fn check(account: &AccountId, first: u128) -> u128 {
    let parts = [b"carteiro accepted 1".as_slice(), account.as_str().as_bytes(), &first.to_be_bytes()];
    half(&digest(parts)) & mask(CHECK_BITS)
}

/// The digest of a source in an accepted item's id.
fn source_bits(source: &Source) -> u128 {
    half(&digest([b"carteiro source 1".as_slice(), source.to_string().as_bytes()])) & mask(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_id(text: &str) -> Option<String> {
        read_head(text.as_bytes()).unwrap().own_id
    }

    #[test]
    fn one_json_object_is_an_item_whatever_it_holds() {
        assert_eq!(own_id(r#" {"id":"a","content":{"id":"inner"}} "#), Some("a".to_owned()));
        assert_eq!(own_id(r#"{"id":7}"#), None);
        assert_eq!(own_id(r#"{"id":""}"#), None);
        assert_eq!(own_id(r#"{"id":"a","id":"b"}"#), Some("b".to_owned()));
        assert_eq!(own_id(r#"{"i\u0064":"escaped"}"#), Some("escaped".to_owned()));
        assert_eq!(own_id("{}"), None);
    }

    #[test]
    fn deep_nesting_is_no_obstacle() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(own_id(&deep), None);
    }

    #[test]
    fn what_is_not_one_object_is_refused_with_its_reason() {
        for text in ["", "[]", "1", "null", "{", "{}{}", "{\"a\":}", "\u{feff}{}", "{'a':1}"] {
            let error = read_head(text.as_bytes()).unwrap_err();
            assert!(matches!(error, ItemError::NotAnObject { .. }), "{text}: {error}");
        }
        assert_eq!(read_head(b"{\"a\":\"\xff\"}"), Err(ItemError::NotUtf8 { offset: 6 }));
    }

    #[test]
    fn the_largest_item_is_taken_and_a_byte_more_is_not() {
        let largest = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_ITEM_BYTES - 8));
        assert_eq!(largest.len(), MAX_ITEM_BYTES);
        assert!(read_head(largest.as_bytes()).is_ok());
        let larger = format!("{largest} ");
        assert_eq!(read_head(larger.as_bytes()), Err(ItemError::TooLarge { bytes: MAX_ITEM_BYTES + 1 }));
    }

    #[test]
    fn a_derived_id_depends_on_every_part() {
        let account = AccountId::from_bits(1);
        let bot = |name: &str| Source::Bot(name.parse().unwrap());
        let base = derived_id(&account, &bot("a"), &ItemType::MESSAGE, "1", b"{}");
        assert_eq!(base, derived_id(&account, &bot("a"), &ItemType::MESSAGE, "1", b"{}"));
        for other in [
            derived_id(&AccountId::from_bits(2), &bot("a"), &ItemType::MESSAGE, "1", b"{}"),
            derived_id(&account, &bot("b"), &ItemType::MESSAGE, "1", b"{}"),
            derived_id(&account, &bot("a"), &ItemType::EVENT, "1", b"{}"),
            derived_id(&account, &bot("a"), &ItemType::MESSAGE, "2", b"{}"),
            derived_id(&account, &bot("a"), &ItemType::MESSAGE, "1", b"{ }"),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn an_accepted_items_id_tells_its_acceptance_to_its_account() {
        let (account, other) = (AccountId::from_bits(1), AccountId::from_bits(2));
        let source = Source::Bot("a".parse().unwrap());
        let at = Timestamp::from_millisecond(1_795_000_000_123).unwrap();
        for item_type in ItemType::KNOWN {
            for random in [0, 7, u64::MAX] {
                let id = accepted_id(&account, &source, &item_type, at, random);
                let told = acceptance(&id, &account).unwrap();
                assert_eq!((told.at, &told.item_type), (at, &item_type));
                assert!(told.may_be_of(&source) && !told.may_be_of(&Source::Carteiro));
                assert_eq!(acceptance(&id, &other), None, "a stranger's");
                assert_eq!(id.as_str().parse::<ItemId>().unwrap(), id);
            }
        }
        let id = |ms, random| {
            let at = Timestamp::from_millisecond(ms).unwrap();
            accepted_id(&account, &source, &ItemType::EVENT, at, random)
        };
        assert!(id(1, u64::MAX) < id(2, 0), "ids sort by acceptance");
        assert_ne!(id(1, 1), id(1, 2));
    }

    #[test]
    fn other_ids_tell_no_acceptance() {
        let account = AccountId::from_bits(1);
        let derived = derived_id(&account, &Source::Carteiro, &ItemType::MESSAGE, "1", b"{}");
        for id in [derived, ItemId::from_bits(0), ItemId::from_bits(u128::MAX)] {
            assert_eq!(acceptance(&id, &account), None, "{id}");
        }
    }

    #[test]
    fn sources_survive_their_text_and_others_are_refused() {
        for text in ["bot:my-bot@msging.net", "page:p1", "carteiro"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        for text in ["", "bot:", "bot:a b", "bot:é", "page:", "robot:x", "Carteiro", "bot:a/b"] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_stored_type_of_a_newer_version_is_read_and_not_known() {
        let ticket: ItemType = "ticket".parse().unwrap();
        assert!(!ticket.is_known());
        assert!(ItemType::KNOWN.iter().all(ItemType::is_known));
        assert!("Message".parse::<ItemType>().is_err());
    }
}
