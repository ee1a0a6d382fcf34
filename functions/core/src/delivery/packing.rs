//! Packing: several deliveries in one queue message.
//!
//! SQS bills a message by each begun 64 KiB, and an item has about 2 KiB. What is sent at once to one webhook therefore
//! travels together, up to [`MAX_PACKED`] deliveries and [`MAX_PACKED_BYTES`]: it is sent, received and deleted by a
//! fifth of the calls. Each delivery is still attempted by a request of its own and has its own outcome; what follows
//! from that travels alone.
//!
//! A packed message has its account, webhook and revision as attributes. Its body is, for each delivery, a line of JSON
//! with the rest, which ends with the number of the item's bytes, and then these bytes and a line feed. A build that
//! knows no packed messages finds an attribute missing and gives the message back to the queue, which keeps it for one
//! that does.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{Delivery, ENCODING, Message, MessageError, TEXT, is_allowed_in_a_message};
use crate::id::{AccountId, WebhookId};
use crate::lane;

/// How many deliveries a message has at most.
pub const MAX_PACKED: usize = 5;

/// How many bytes a message with several deliveries has at most, attributes included: what SQS bills as one request.
pub const MAX_PACKED_BYTES: usize = 64 * 1024;

/// More than a delivery has beside its item, in a message of its own or in a packed one.
const HEAD_BYTES: usize = 1024;

/// The encoding of a message with several deliveries.
const SEVERAL: &str = "several";

/// Deliveries that share a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Their indices, in order.
    pub members: Vec<usize>,
    /// At least the size of the message.
    pub bytes: usize,
}

/// Puts deliveries together that share a message: those to one revision of a webhook, in their order. Each comes with
/// whether it is sent without a delay; one that waits travels alone. So does one that follows another message of its
/// chain: it failed, its webhook is slow, or a batch had no time for it, and together they would be so again.
#[must_use]
pub fn packs<'a>(deliveries: impl IntoIterator<Item = (&'a Delivery, bool)>) -> Vec<Pack> {
    let mut packs: Vec<Pack> = Vec::new();
    let mut open: HashMap<(&AccountId, &WebhookId, u64), usize> = HashMap::new();
    for (index, (delivery, is_at_once)) in deliveries.into_iter().enumerate() {
        let text = text(&delivery.body);
        let bytes = text.map_or(delivery.body.len().div_ceil(3) * 4, str::len) + HEAD_BYTES;
        let target = (&delivery.account, &delivery.webhook, delivery.revision);
        if !is_at_once || delivery.chain > 0 || text.is_none() {
            packs.push(Pack { members: vec![index], bytes });
            continue;
        }
        let found = open.get(&target).and_then(|&at| packs.get_mut(at));
        match found.filter(|pack| pack.members.len() < MAX_PACKED && pack.bytes + bytes <= MAX_PACKED_BYTES) {
            Some(pack) => {
                pack.members.push(index);
                pack.bytes += bytes;
            }
            None => {
                open.insert(target, packs.len());
                packs.push(Pack { members: vec![index], bytes });
            }
        }
    }
    packs
}

/// The item's bytes as a message carries them, where SQS allows their characters.
pub(super) fn text(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    (!text.is_empty() && text.chars().all(is_allowed_in_a_message)).then_some(text)
}

/// What stands before an item in a packed message.
#[derive(Serialize, Deserialize)]
struct Head<Name: Ord> {
    /// What a message of its own would have as attributes, beside the target.
    #[serde(flatten)]
    attributes: BTreeMap<Name, String>,
    bytes: usize,
}

/// The message of the deliveries of a [pack](packs).
#[must_use]
pub fn message(deliveries: &[&Delivery]) -> Message {
    let [first, _, ..] = deliveries else {
        return deliveries.first().map(|only| only.to_message()).unwrap_or_default();
    };
    let mut message = Message { body: String::new(), attributes: first.target() };
    message.attributes.insert(ENCODING, SEVERAL.to_owned());
    for delivery in deliveries {
        let text = text(&delivery.body).unwrap_or_default();
        let head = Head { attributes: delivery.beside_the_target(), bytes: text.len() };
        message.body.push_str(&serde_json::to_string(&head).unwrap_or_default());
        message.body.extend(["\n", text, "\n"]);
    }
    message
}

/// Reads a queue message with one delivery or several. `attribute` gives an attribute's text by its name.
///
/// # Errors
/// See [`MessageError`]. A message of which one delivery cannot be read is refused as a whole.
pub fn unpack<'a>(
    body: &str,
    attribute: impl Fn(&'static str) -> Option<&'a str>,
) -> Result<Vec<Delivery>, MessageError> {
    if attribute(ENCODING) != Some(SEVERAL) {
        return Ok(vec![Delivery::from_message(body, attribute)?]);
    }
    let mut deliveries = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (head, items) = rest.split_once('\n').ok_or(MessageError::Body)?;
        let head: Head<String> = serde_json::from_str(head).map_err(|_| MessageError::Body)?;
        let (item, after) = items.split_at_checked(head.bytes).ok_or(MessageError::Body)?;
        rest = after.strip_prefix('\n').ok_or(MessageError::Body)?;
        deliveries.push(Delivery::from_message(item, |name| match name {
            ENCODING => Some(TEXT),
            name => head.attributes.get(name).map(String::as_str).or_else(|| attribute(name)),
        })?);
    }
    if deliveries.is_empty() { Err(MessageError::Body) } else { Ok(deliveries) }
}

/// What becomes of a message after its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It is done.
    Done,
    /// The queue hands it out again, as a whole: what finished of it is repeated.
    Whole,
    /// It is done once these of its deliveries, by their indices, are in the queue again by messages of their own.
    Apart(Vec<usize>),
}

/// Decides what becomes of a message, by whether each of its deliveries is finished (it arrived, or is durably
/// somewhere else), and by the longest chain of messages before one of them.
///
/// A message of which nothing finished goes back as it is: the queue waits before it hands it out again, and no chain
/// of messages gets longer. So does one whose chain has no room, though what finished of it is repeated then.
#[must_use]
pub fn rest(finished: &[bool], chain: u32) -> Rest {
    let left: Vec<usize> = (0..finished.len()).filter(|&index| !finished[index]).collect();
    if left.is_empty() {
        Rest::Done
    } else if left.len() == finished.len() || !lane::has_room(chain) {
        Rest::Whole
    } else {
        Rest::Apart(left)
    }
}

/// The parts into which a batch divides its deliveries: those of a part are attempted at once, and the parts of one
/// [`Share`] one after the other. `size` is how many of one webhook's are attempted at once.
///
/// What a batch attempts at once after it read a webhook's streak bounds how many requests follow a block, so a message
/// with several deliveries must not make that more. A webhook with more of them has a share of its own, so that none
/// waits for another webhook.
#[must_use]
pub fn shares<T>(batch: Vec<T>, size: usize, webhook: impl Fn(&T) -> &WebhookId) -> Vec<Share<T>> {
    let mut counts: BTreeMap<&WebhookId, usize> = BTreeMap::new();
    for one in &batch {
        *counts.entry(webhook(one)).or_default() += 1;
    }
    let many: Vec<WebhookId> =
        counts.into_iter().filter(|(_, count)| *count > size).map(|(webhook, _)| webhook.clone()).collect();
    let (mut left, first): (Vec<T>, Vec<T>) = batch.into_iter().partition(|one| many.contains(webhook(one)));
    let mut shares: Vec<Share<T>> = Vec::new();
    if !first.is_empty() {
        shares.push(vec![first]);
    }
    for of in many {
        let (own, others): (Vec<T>, Vec<T>) = left.into_iter().partition(|one| *webhook(one) == of);
        left = others;
        let mut own = own.into_iter().peekable();
        let parts = std::iter::from_fn(|| own.peek().is_some().then(|| own.by_ref().take(size).collect()));
        shares.push(parts.collect());
    }
    shares
}

/// Parts of a batch that are attempted one after the other.
pub type Share<T> = Vec<Vec<T>>;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::delivery::tests::delivery as one;
    use crate::delivery::{ACCOUNT, ATTEMPT, REVISION, WEBHOOK};
    use crate::id::ItemId;

    fn there_and_back(deliveries: &[&Delivery]) -> Result<Vec<Delivery>, MessageError> {
        let message = message(deliveries);
        unpack(&message.body, |name| message.attributes.get(name).map(String::as_str))
    }

    /// A delivery to a webhook, by the first message of its chain.
    fn to(webhook: u128, body: &[u8]) -> Delivery {
        Delivery { webhook: WebhookId::from_bits(webhook), chain: 0, ..one(body) }
    }

    proptest! {
        #[test]
        fn any_texts_survive_one_message(texts in prop::collection::vec("[^\u{0}-\u{8}\u{b}\u{c}\u{e}-\u{1f}\u{fffe}\u{ffff}]{1,40}", 1..6)) {
            let deliveries: Vec<Delivery> = texts.iter().map(|text| one(text.as_bytes())).collect();
            let given: Vec<&Delivery> = deliveries.iter().collect();
            prop_assert_eq!(there_and_back(&given).unwrap(), deliveries);
        }

        #[test]
        fn every_delivery_is_in_one_pack_of_its_webhook_in_order(
            given in prop::collection::vec((0..4_u128, 1..40_000_usize, any::<bool>()), 0..40),
        ) {
            let deliveries: Vec<_> = given.iter().map(|(webhook, bytes, _)| to(*webhook, &vec![b'a'; *bytes])).collect();
            let packs = packs(deliveries.iter().zip(given.iter().map(|(_, _, together)| *together)));
            let mut all: Vec<usize> = packs.iter().flat_map(|pack| pack.members.clone()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..deliveries.len()).collect::<Vec<_>>());
            for pack in packs {
                let members: Vec<&Delivery> = pack.members.iter().map(|&at| &deliveries[at]).collect();
                prop_assert!(pack.members.is_sorted() && members.len() <= MAX_PACKED);
                prop_assert!(members.iter().all(|member| member.webhook == members[0].webhook));
                prop_assert!(members.len() == 1 || pack.members.iter().all(|&at| given[at].2));
                let bytes = message(&members).bytes();
                prop_assert!(bytes <= pack.bytes && (members.len() == 1 || pack.bytes <= MAX_PACKED_BYTES));
            }
        }

        #[test]
        fn shares_attempt_no_more_of_a_webhook_at_once(given in prop::collection::vec(0..4_u128, 0..60), size in 1..12_usize) {
            let batch: Vec<(usize, WebhookId)> =
                given.iter().map(|webhook| WebhookId::from_bits(*webhook)).enumerate().collect();
            let shares = shares(batch.clone(), size, |one| &one.1);
            let mut all: Vec<_> = shares.iter().flatten().flatten().cloned().collect();
            all.sort_unstable_by_key(|one| one.0);
            prop_assert_eq!(all, batch);
            for part in shares.iter().flatten() {
                for webhook in part.iter().map(|one| &one.1) {
                    prop_assert!(part.iter().filter(|one| one.1 == *webhook).count() <= size);
                }
            }
            for webhook in (0..4).map(WebhookId::from_bits) {
                let of = |share: &&Vec<Vec<(usize, WebhookId)>>| share.iter().flatten().any(|one| one.1 == webhook);
                prop_assert!(shares.iter().filter(of).count() <= 1, "parts of one webhook come one after the other");
            }
        }
    }

    #[test]
    fn a_message_has_few_attributes_and_its_items_as_they_are() {
        let (first, second) =
            (one(b"{\"a\":\"1\"}\n"), Delivery { step: None, ..one("{\"é\":2}".as_bytes()) });
        let message = message(&[&first, &second]);
        assert_eq!(
            message.attributes.keys().copied().collect::<Vec<_>>(),
            [ACCOUNT, ENCODING, REVISION, WEBHOOK]
        );
        assert!(message.body.contains("\n{\"a\":\"1\"}\n\n") && message.body.ends_with("\n{\"é\":2}\n"));
        assert_eq!(there_and_back(&[&first, &second]).unwrap(), [first, second]);
    }

    #[test]
    fn what_travels_alone_travels_as_before() {
        let first = to(1, b"{}");
        assert_eq!(message(&[&first]), first.to_message());
        let (binary, later) = (to(1, b"\xff"), Delivery { chain: 1, ..first.clone() });
        let packs = packs([(&first, true), (&binary, true), (&first, false), (&later, true), (&first, true)]);
        let members: Vec<_> = packs.iter().map(|pack| pack.members.clone()).collect();
        assert_eq!(members, [vec![0, 4], vec![1], vec![2], vec![3]]);
    }

    #[test]
    fn a_message_that_is_cut_is_refused_as_a_whole() {
        let message = message(&[&one(b"{\"a\":1}"), &Delivery { item: ItemId::from_bits(9), ..one(b"{}") }]);
        for end in 0..message.body.len() {
            let attribute = |name| message.attributes.get(name).map(String::as_str);
            // The first delivery alone is whole.
            let expected = message.body[..end].ends_with("\n{\"a\":1}\n");
            assert_eq!(unpack(&message.body[..end], attribute).is_ok(), expected, "{end}");
        }
        for name in [ACCOUNT, WEBHOOK, REVISION, ENCODING] {
            let without = |asked: &'static str| {
                message.attributes.get(asked).filter(|_| asked != name).map(String::as_str)
            };
            assert!(unpack(&message.body, without).is_err(), "{name}");
        }
        assert!(!message.attributes.contains_key(ATTEMPT));
    }

    #[test]
    fn a_message_is_done_when_the_rest_of_it_is_in_the_queue() {
        for (finished, chain, expected) in [
            (&[true, true][..], 0, Rest::Done),
            (&[false], 0, Rest::Whole),
            (&[false, false], 0, Rest::Whole),
            (&[true, false, true], 0, Rest::Apart(vec![1])),
            (&[false, true, false], 2, Rest::Apart(vec![0, 2])),
            (&[true, false], lane::MAX_CHAIN - 1, Rest::Whole),
            (&[true], lane::MAX_CHAIN - 1, Rest::Done),
        ] {
            assert_eq!(rest(finished, chain), expected, "{finished:?} {chain}");
        }
    }
}
