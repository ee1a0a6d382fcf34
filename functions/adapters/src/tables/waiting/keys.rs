//! Keys, shards and row forms of held and dead items, releases and replays.

use aws_sdk_dynamodb::types::AttributeValue;
use carteiro_core::delivery::Delivery;
use carteiro_core::holding;
use carteiro_core::holding::HeldFor;
use carteiro_core::hop::Hop;
use carteiro_core::id::{AccountId, ItemId, ReplayId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::message::LastError;
use carteiro_core::replay::Replayed;
use jiff::Timestamp;

use crate::error::AdapterError;
use crate::runtime::random;
use crate::tables::row::{Reader, Row, bytes, milliseconds, number, seconds, sorted_digits, text};

pub(crate) const TABLE: &str = "held";

/// Over how many partitions a webhook's held rows are spread.
pub const SHARDS: u8 = 8;

/// The number of partitions of the index `due`.
pub const DUE_SHARDS: u8 = 16;

/// The item has no row, or one that waits for its release. A replay's transaction asks for it.
pub(crate) const HAS_NO_TIME: &str = "attribute_not_exists(due_at)";

/// Its network does not limit its storage, or the limit is not reached.
pub(crate) const MAY_BE_KEPT: &str = "attribute_not_exists(keep_until) OR keep_until > :now";

/// The end of the `pk` of a webhook's releases.
pub(crate) const RELEASES: &str = "#release";

/// The end of the `pk` of a webhook's replays.
pub(crate) const REPLAYS: &str = "#replay";

/// Where a held row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKey {
    pub(crate) pk: String,
    pub(crate) sk: String,
    /// The id of the hold; empty where the key was read from an index.
    pub(crate) holding: String,
}

impl HeldKey {
    /// The row's key, as logs name it.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{} {}", self.pk, self.sk)
    }

    pub(crate) fn of_row(row: &Row) -> Result<Self, AdapterError> {
        let row = Reader { table: TABLE, row };
        let holding = row.text(holding::HOLDING).unwrap_or_default().to_owned();
        Ok(Self { pk: row.text("pk")?.to_owned(), sk: row.text("sk")?.to_owned(), holding })
    }
}

/// Which release.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReleaseKey {
    /// The webhook.
    pub webhook: WebhookId,
    /// The item type.
    pub item_type: ItemType,
}

impl ReleaseKey {
    pub(crate) fn of(key: &HeldKey) -> Option<Self> {
        let webhook = key.pk.strip_suffix(RELEASES)?.parse().ok()?;
        Some(Self { webhook, item_type: key.sk.parse().ok()? })
    }

    pub(crate) fn row(&self) -> Row {
        Row::from([
            ("pk".to_owned(), text(format!("{}{RELEASES}", self.webhook))),
            ("sk".to_owned(), text(self.item_type.as_str())),
        ])
    }
}

/// Which replay.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplayKey {
    /// The webhook.
    pub webhook: WebhookId,
    /// The replay.
    pub replay: ReplayId,
}

impl ReplayKey {
    pub(crate) fn of(key: &HeldKey) -> Option<Self> {
        let webhook = key.pk.strip_suffix(REPLAYS)?.parse().ok()?;
        Some(Self { webhook, replay: key.sk.parse().ok()? })
    }

    pub(crate) fn row(&self) -> Row {
        row_key(&self.webhook, self.replay.as_str())
    }
}

pub(crate) fn row_key(webhook: &WebhookId, sk: &str) -> Row {
    Row::from([("pk".to_owned(), text(format!("{webhook}{REPLAYS}"))), ("sk".to_owned(), text(sk))])
}

/// A replay as it was requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The replay's key.
    pub key: ReplayKey,
    /// The webhook's account.
    pub account: AccountId,
    /// The items' type.
    pub item_type: ItemType,
    /// The one item, where it is one.
    pub item: Option<ItemId>,
    /// Items that were accepted then or later.
    pub from: Option<Timestamp>,
    /// Items that were accepted before then.
    pub to: Option<Timestamp>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it is forgotten.
    pub expires_at: Timestamp,
    /// For a replay of one item: its slot, below
    /// [`MAX_ITEMS_AT_ONCE`](carteiro_core::replay::MAX_ITEMS_AT_ONCE). It is assigned on creation.
    pub place: usize,
}

/// Whether a text is a row's place in the order of a webhook's rows: type, time of acceptance, and item.
#[must_use]
pub fn is_place(text: &str, item_type: Option<&ItemType>) -> bool {
    let mut parts = text.split('#');
    let (Some(kind), Some(accepted), Some(item), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    kind.parse::<ItemType>().is_ok_and(|kind| item_type.is_none_or(|wanted| *wanted == kind))
        && accepted.len() == 13
        && accepted.bytes().all(|byte| byte.is_ascii_digit())
        && item.parse::<ItemId>().is_ok()
}

/// The type and the acceptance that a row's place names.
pub(crate) fn type_and_acceptance(place: &str) -> Option<(ItemType, Timestamp)> {
    let mut parts = place.split('#');
    let item_type = parts.next()?.parse().ok()?;
    let accepted_at = Timestamp::from_millisecond(parts.next()?.parse().ok()?).ok()?;
    Some((item_type, accepted_at))
}

/// An id of a claim, a worker or a time of holding.
pub(crate) fn new_id() -> Result<String, AdapterError> {
    Ok(format!("{:032x}", random::bits128()?))
}

pub(crate) fn pk(webhook: &WebhookId, shard: u8) -> String {
    format!("{webhook}#{shard:02}")
}

pub(crate) fn due_shard_name(shard: u8) -> String {
    format!("due#{shard:02}")
}

/// The shard that an item's id falls into; ids are random or digests, so shards fill evenly.
pub(crate) fn shard_of(delivery: &Delivery, shards: u8) -> u8 {
    shard_of_id(delivery.item.as_str(), shards)
}

pub(crate) fn shard_of_id(digits: &str, shards: u8) -> u8 {
    let last_two = &digits[digits.len() - 2..];
    u8::from_str_radix(last_two, 16).unwrap_or_default() % shards
}

pub(crate) fn held_row(
    delivery: &Delivery,
    reason: HeldFor,
    own: impl IntoIterator<Item = (&'static str, AttributeValue)>,
    expires_at: Timestamp,
) -> Row {
    let mut row = delivery_row(delivery);
    row.insert("held_for".to_owned(), text(reason.as_str()));
    row.insert("expires_at".to_owned(), seconds(delivery.capped_at_keep_until(expires_at)));
    row.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value)));
    row
}

/// A delivery as a row of the held or the dead items: the same key in both.
pub(crate) fn delivery_row(delivery: &Delivery) -> Row {
    let shard = shard_of(delivery, SHARDS);
    let place = format!("{}#{}#{}", delivery.item_type, sorted_digits(delivery.accepted_at), delivery.item);
    let mut row = Row::from([
        ("pk".to_owned(), text(pk(&delivery.webhook, shard))),
        ("sk".to_owned(), text(place)),
        ("account".to_owned(), text(delivery.account.as_str())),
        ("webhook".to_owned(), text(delivery.webhook.as_str())),
        ("item".to_owned(), text(delivery.item.as_str())),
        ("type".to_owned(), text(delivery.item_type.as_str())),
        ("source".to_owned(), text(delivery.source.to_string())),
        ("accepted_at".to_owned(), milliseconds(delivery.accepted_at)),
        ("attempt".to_owned(), number(delivery.attempt)),
        ("revision".to_owned(), number(delivery.revision)),
        ("body".to_owned(), bytes(&delivery.body)),
    ]);
    if let Some(until) = delivery.keep_until {
        row.insert("keep_until".to_owned(), milliseconds(until));
    }
    if delivery.hop > Hop::default() {
        row.insert("hop".to_owned(), number(delivery.hop.count()));
    }
    if let Some(replayed) = &delivery.replayed {
        row.insert("replay".to_owned(), text(replayed.replay.as_str()));
        row.insert("replayed_at".to_owned(), milliseconds(replayed.at));
    }
    row
}

pub(crate) fn read_delivery(table: &'static str, row: &Row) -> Result<Delivery, AdapterError> {
    let row = Reader { table, row };
    let replayed = match row.row.contains_key("replay") {
        true => Some(Replayed { replay: row.parsed("replay")?, at: row.milliseconds("replayed_at")? }),
        false => None,
    };
    let keep_until =
        if row.row.contains_key("keep_until") { Some(row.milliseconds("keep_until")?) } else { None };
    Ok(Delivery {
        account: row.parsed("account")?,
        webhook: row.parsed("webhook")?,
        item: row.parsed("item")?,
        item_type: row.parsed("type")?,
        source: row.parsed("source")?,
        accepted_at: row.milliseconds("accepted_at")?,
        replayed,
        keep_until,
        hop: Hop::of_count(row.optional_number("hop")?.unwrap_or_default()),
        attempt: row.number("attempt")?,
        chain: 0,
        revision: row.number("revision")?,
        step: None,
        body: row.bytes("body")?,
    })
}

/// The last failure that a row of a held or dead item remembers. It is for people to read, so one of another version's
/// form is left out.
pub(crate) fn last_error_of(row: &Row) -> Option<LastError> {
    Reader { table: TABLE, row }.json("last_error").ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use carteiro_core::id::{AccountId, ItemId, ReplayId};
    use carteiro_core::item::ItemType;

    use super::*;

    pub(crate) fn delivery(item: u128, accepted_ms: i64) -> Delivery {
        Delivery {
            account: AccountId::from_bits(1),
            webhook: WebhookId::from_bits(2),
            item: ItemId::from_bits(item),
            item_type: ItemType::CONTACT,
            source: "bot:b".parse().unwrap(),
            accepted_at: Timestamp::from_millisecond(accepted_ms).unwrap(),
            replayed: None,
            keep_until: None,
            hop: Hop::default(),
            attempt: 3,
            chain: 0,
            revision: 2,
            step: None,
            body: vec![0, 255],
        }
    }

    #[test]
    fn a_delivery_survives_its_row() {
        let mut delivery = delivery(7, 1_795_000_000_123);
        assert_eq!(read_delivery(TABLE, &delivery_row(&delivery)).unwrap(), delivery);
        let at = Timestamp::from_millisecond(1_796_000_000_123).unwrap();
        delivery.replayed = Some(Replayed { replay: ReplayId::made_at(at, 1), at });
        delivery.keep_until = Some(at);
        delivery.hop = Hop::of_count(2);
        assert_eq!(read_delivery(TABLE, &delivery_row(&delivery)).unwrap(), delivery);
    }

    #[test]
    fn no_row_outlives_what_its_network_allows() {
        let time = |ms| Timestamp::from_millisecond(ms).unwrap();
        let expiry = |delivery: &Delivery| {
            let row = held_row(delivery, HeldFor::Blocked, [], time(9_000));
            Reader { table: TABLE, row: &row }.seconds("expires_at").unwrap()
        };
        let limited = Delivery { keep_until: Some(time(5_999)), ..delivery(7, 1) };
        assert_eq!((expiry(&delivery(7, 1)), expiry(&limited)), (time(9_000), time(5_000)));
    }

    #[test]
    fn rows_sort_by_acceptance_and_an_item_has_one_place() {
        let sk = |delivery: &Delivery| match &delivery_row(delivery)["sk"] {
            AttributeValue::S(sk) => sk.clone(),
            other => panic!("{other:?}"),
        };
        assert!(sk(&delivery(9, 999_999_999_999)) < sk(&delivery(1, 1_000_000_000_000)));
        let mut again = delivery(9, 5);
        again.attempt = 8;
        assert_eq!(sk(&again), sk(&delivery(9, 5)));
    }

    #[test]
    fn a_rows_place_is_known_and_nothing_else_is() {
        let row = delivery_row(&delivery(7, 1_795_000_000_123));
        let place = row["sk"].as_s().unwrap().as_str();
        assert!(is_place(place, None) && is_place(place, Some(&ItemType::CONTACT)));
        assert!(!is_place(place, Some(&ItemType::EVENT)));
        let longer = format!("{place}#");
        let upper = place.to_uppercase();
        let item = "item_00000000000000000000000000000007";
        let others = ["", "contact", "contact#", &longer, &upper, &format!("contact#179500000012#{item}")];
        for other in others {
            assert!(!is_place(other, None), "{other}");
        }
        assert!(!is_place(&format!("contact#179500000012x#{item}"), None));
        assert!(!is_place("contact#1795000000123#item_7", None));
    }

    #[test]
    fn a_missing_attribute_is_named() {
        let mut row = delivery_row(&delivery(1, 1));
        row.remove("body");
        let error = read_delivery(TABLE, &row).unwrap_err();
        assert_eq!(error.to_string(), "a row of the held table cannot be read: body");
        assert!(!error.is_transient());
    }

    #[test]
    fn a_place_that_is_not_as_it_is_written_names_no_type() {
        for place in ["", "event", "event#soon#item", "no type#1795000000123#item"] {
            assert_eq!(type_and_acceptance(place), None, "{place}");
        }
    }
}
