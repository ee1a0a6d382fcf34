//! Collected items: one form for what every network pushes or answers.
//!
//! A network's normaliser fills a [`Content`]; [`render`] makes the item's bytes of it. The same content and envelope
//! give the same bytes, so an item that is dispatched again after a crash is the same.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Number;
use serde_json::value::RawValue;

use crate::network::Network;
use carteiro_core::id::{ItemId, PageId};
use carteiro_core::item::{ItemType, MAX_ITEM_BYTES};

/// The form, as a JSON Schema (2020-12).
pub const SCHEMA: &str = include_str!("collected.schema.json");

/// The longest text of an item, in bytes: longer ones are cut. Networks bound theirs at a quarter of it or less
/// (Facebook's 63,206 characters are the longest).
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The most attachments that an item lists; the network's own JSON has them all.
pub const MAX_ATTACHMENTS: usize = 50;

/// The longest id, name or link in an item, in bytes: longer ones are left out.
pub const MAX_FIELD_BYTES: usize = 2048;

carteiro_core::named! {
    /// What a collected item is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Kind {
        /// A publication, of the page's or on the page.
        Post = "post",
        /// A comment on a publication.
        Comment = "comment",
        /// An answer to a comment, or to a post of X's.
        Reply = "reply",
        /// Somebody named the page.
        Mention = "mention",
        /// A like or another reaction.
        Reaction = "reaction",
        /// A direct message, in either direction.
        DirectMessage = "direct_message",
        /// A review or recommendation.
        Review = "review",
        /// A publication shared, quoted or posted again.
        Share = "share",
        /// Somebody followed, or ceased to.
        Follow = "follow",
        /// The numbers of a story that ended.
        StoryInsight = "story_insight",
        /// Anything else.
        Other = "other",
    }
}

carteiro_core::named! {
    /// What was done with the thing.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Action {
        /// It is new.
        Created = "created",
        /// Its text or attachments changed.
        Edited = "edited",
        /// It is gone, or was taken back.
        Deleted = "deleted",
        /// It is not shown any more.
        Hidden = "hidden",
        /// It is shown again.
        Unhidden = "unhidden",
    }
}

/// How an item was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The network pushed it.
    Push,
    /// The network was asked.
    Poll,
}

/// Who did it. At least one of the fields is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The network's id.
    pub id: Option<String>,
    /// The name that people read.
    pub name: Option<String>,
    /// The name that stands in links and mentions.
    pub username: Option<String>,
}

/// What the thing answers, is on, or shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The network's id.
    pub id: String,
    /// What that is, where it is known.
    pub kind: Option<Kind>,
}

/// A picture, a video, a file or a link with the thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// What it is, in the network's own word (`photo`, `video`, `image`, `sticker`, `share`, …).
    #[serde(rename = "type")]
    pub kind: String,
    /// The network's id, where it has one.
    pub id: Option<String>,
    /// Where it is. Networks' links to media expire.
    pub url: Option<String>,
}

/// How somebody rates the page or its app. At least one of the fields is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rating {
    /// From 1 to 5.
    pub stars: Option<u8>,
    /// Whether they recommend it: Facebook asks this in the place of stars.
    pub recommends: Option<bool>,
}

impl Rating {
    /// A rating; None where neither is given, or the stars are not from 1 to 5.
    #[must_use]
    pub fn new(stars: Option<i64>, recommends: Option<bool>) -> Option<Self> {
        let stars = stars.and_then(|stars| u8::try_from(stars).ok()).filter(|stars| (1..=5).contains(stars));
        let rating = Self { stars, recommends };
        (rating != Self::default()).then_some(rating)
    }
}

/// Where a thing was made, or the place that it shares. At least one of the fields is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The network's id of the place, where it is a place of the network's.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Degrees north of the equator, with the network's digits. It is there together with the longitude.
    pub latitude: Option<Number>,
    /// Degrees east of Greenwich.
    pub longitude: Option<Number>,
}

/// The ad that shows a publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ad {
    /// The network's id of the ad.
    pub id: String,
    /// Its name in its ad account.
    #[serde(default)]
    pub name: Option<String>,
}

/// What a normaliser reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Whether the page published it.
    pub published: Published,
    /// What it is.
    pub kind: Kind,
    /// What was done with it.
    pub action: Action,
    /// When, where the network says so.
    pub occurred_at: Option<Timestamp>,
    /// By whom, where the network says so.
    pub author: Option<Author>,
    /// What it says.
    pub text: Option<String>,
    /// What it answers, is on, or shares.
    pub parent: Option<Parent>,
    /// Where people see it.
    pub link: Option<String>,
    /// What is with it.
    pub attachments: Vec<Attachment>,
    /// Of a review: how good it is.
    pub rating: Option<Rating>,
    /// Of a reaction: which, in the network's own word, or as an emoji where that says more.
    pub reaction: Option<String>,
    /// Where it was made, or the place that it shares.
    pub location: Option<Location>,
    /// The ad that shows it, or that it is on.
    pub ad: Option<Ad>,
}

/// Whose doing it is: what makes the item's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The page itself made it, its own replies, messages and reactions too: `publication`.
    ByThePage,
    /// Somebody else made it, or nobody knows who: `interaction`.
    Interaction,
}

impl Published {
    /// The item type.
    #[must_use]
    pub fn item_type(self) -> ItemType {
        match self {
            Self::ByThePage => ItemType::PUBLICATION,
            Self::Interaction => ItemType::INTERACTION,
        }
    }
}

/// What an item says besides its content.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// The item's id; what receivers see as `webhook-id`.
    pub id: &'a ItemId,
    /// The network.
    pub network: Network,
    /// The page.
    pub page: &'a PageId,
    /// The network's id of the thing ([`Reading::network_id`](crate::inbox::Reading::network_id)).
    pub thing: Option<&'a str>,
    /// When it was stored.
    pub collected_at: Timestamp,
    /// How it was found.
    pub by: By,
}

#[derive(Serialize)]
struct Form<'a> {
    id: &'a ItemId,
    network: Network,
    page: &'a PageId,
    #[serde(rename = "type")]
    item_type: ItemType,
    kind: Kind,
    action: Action,
    occurred_at: Option<Timestamp>,
    collected_at: Timestamp,
    by: By,
    author: Option<Author>,
    text: Option<&'a str>,
    parent: Option<&'a Parent>,
    link: Option<&'a str>,
    attachments: Vec<&'a Attachment>,
    thing: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rating: Option<Rating>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reaction: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ad: Option<Ad>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    raw_omitted: bool,
}

/// The item's bytes: at most [`MAX_ITEM_BYTES`]. The network's own JSON is left out where it would pass that.
#[must_use]
pub fn render(content: &Content, envelope: &Envelope<'_>, raw: &RawValue) -> Vec<u8> {
    let mut longest = MAX_TEXT_BYTES;
    let fits = |bytes: &Vec<u8>| bytes.len() <= MAX_ITEM_BYTES;
    let mut form = form(content, envelope, raw, longest);
    let whole = bytes_of(&form);
    if fits(&whole) {
        return whole;
    }
    (form.raw, form.raw_omitted) = (None, true);
    loop {
        let bytes = bytes_of(&form);
        // A control character takes six bytes as an escape, so that even a text within its limit may be too long.
        if fits(&bytes) || longest == 0 {
            return bytes;
        }
        longest /= 2;
        form.text = content.text.as_deref().map(|text| cut(text, longest));
        form.attachments.clear();
    }
}

fn form<'a>(content: &'a Content, envelope: &Envelope<'a>, raw: &'a RawValue, longest: usize) -> Form<'a> {
    Form {
        id: envelope.id,
        network: envelope.network,
        page: envelope.page,
        item_type: content.published.item_type(),
        kind: content.kind,
        action: content.action,
        occurred_at: content.occurred_at,
        collected_at: envelope.collected_at,
        by: envelope.by,
        author: content.author.as_ref().and_then(bounded_author),
        text: content.text.as_deref().map(|text| cut(text, longest)),
        parent: content.parent.as_ref().filter(|parent| parent.id.len() <= MAX_FIELD_BYTES),
        link: content.link.as_deref().filter(|link| link.len() <= MAX_FIELD_BYTES),
        attachments: content.attachments.iter().filter(|one| is_bounded(one)).take(MAX_ATTACHMENTS).collect(),
        thing: envelope.thing.filter(|thing| thing.len() <= MAX_FIELD_BYTES),
        rating: content.rating,
        reaction: content.reaction.as_deref().filter(|reaction| reaction.len() <= MAX_FIELD_BYTES),
        location: content.location.as_ref().and_then(bounded_location),
        ad: content.ad.as_ref().and_then(bounded_ad),
        raw: Some(raw),
        raw_omitted: false,
    }
}

fn bounded(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| text.len() <= MAX_FIELD_BYTES)
}

fn bounded_location(location: &Location) -> Option<Location> {
    let location = Location { id: bounded(&location.id), name: bounded(&location.name), ..location.clone() };
    (location != Location::default()).then_some(location)
}

fn bounded_ad(ad: &Ad) -> Option<Ad> {
    (ad.id.len() <= MAX_FIELD_BYTES).then(|| Ad { id: ad.id.clone(), name: bounded(&ad.name) })
}

fn bounded_author(author: &Author) -> Option<Author> {
    let author =
        Author { id: bounded(&author.id), name: bounded(&author.name), username: bounded(&author.username) };
    (author != Author::default()).then_some(author)
}

fn is_bounded(attachment: &Attachment) -> bool {
    let bounded = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= MAX_FIELD_BYTES);
    attachment.kind.len() <= 64 && bounded(&attachment.id) && bounded(&attachment.url)
}

fn cut(text: &str, longest: usize) -> &str {
    let mut end = text.len().min(longest);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn bytes_of(form: &Form<'_>) -> Vec<u8> {
    // Texts, numbers and JSON that was parsed before: none of it can fail to be written.
    serde_json::to_vec(form).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod test_support {
    use serde_json::Value;

    use super::*;
    use crate::inbox::Reading;

    /// What an item of a reading says, but for what every item has.
    fn item_of(reading: &Reading) -> Value {
        let envelope = Envelope {
            id: &ItemId::from_bits(1),
            network: Network::Facebook,
            page: &PageId::from_bits(1),
            thing: reading.network_id(),
            collected_at: Timestamp::UNIX_EPOCH,
            by: By::Push,
        };
        serde_json::from_slice(&render(&reading.content, &envelope, RawValue::NULL)).unwrap()
    }

    /// The names of the fields in which the items of two readings differ.
    pub(crate) fn differing(one: &Reading, other: &Reading) -> Vec<String> {
        let (one, other) = (item_of(one), item_of(other));
        let names = one.as_object().unwrap().keys().chain(other.as_object().unwrap().keys());
        let differing = names.filter(|name| one.get(*name) != other.get(*name)).cloned();
        differing.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::inbox::EntryKey;

    fn content(text: &str) -> Content {
        Content {
            published: Published::Interaction,
            kind: Kind::Comment,
            action: Action::Created,
            occurred_at: Some("2026-11-21T12:00:00Z".parse().unwrap()),
            author: Some(Author { id: Some("7".into()), name: Some("Ana".into()), username: None }),
            text: Some(text.to_owned()),
            parent: Some(Parent { id: "1_2".into(), kind: Some(Kind::Post) }),
            link: None,
            attachments: Vec::new(),
            rating: None,
            reaction: None,
            location: None,
            ad: None,
        }
    }

    fn rendered(content: &Content, raw: &str) -> Vec<u8> {
        let envelope = Envelope {
            id: &ItemId::from_bits(1),
            network: Network::Facebook,
            page: &PageId::from_bits(2),
            thing: Some("2_3"),
            collected_at: "2026-11-21T12:00:01Z".parse().unwrap(),
            by: By::Push,
        };
        render(content, &envelope, &RawValue::from_string(raw.to_owned()).unwrap())
    }

    #[test]
    fn kinds_and_actions_are_named_as_items_name_them() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for action in Action::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
    }

    #[test]
    fn the_schemas_example_is_what_a_push_of_a_comment_becomes() {
        let push = include_bytes!("../../../tests/fixtures/pushes/facebook/comment-and-its-edit.json");
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let example = &schema["examples"][0];
        let update = crate::push::split(Network::Facebook, push).remove(0);
        let reading = crate::normalise::read(&update.event, &update.owners[0]);
        let page = example["page"].as_str().unwrap().parse().unwrap();
        let item = EntryKey::new(&reading.thing, &reading.version).item(&page);
        let envelope = Envelope {
            id: &item,
            network: update.event.network,
            page: &page,
            thing: reading.network_id(),
            collected_at: example["collected_at"].as_str().unwrap().parse().unwrap(),
            by: update.event.by,
        };
        let rendered = render(&reading.content, &envelope, &update.event.raw);
        assert_eq!(&serde_json::from_slice::<Value>(&rendered).unwrap(), example);
    }

    #[test]
    fn an_item_has_every_field_and_the_networks_own_json() {
        let bytes = rendered(&content("olá"), r#"{"big": 12345678901234567890.10}"#);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(r#""raw":{"big": 12345678901234567890.10}"#), "{text}");
        let item: Value = serde_json::from_str(&text).unwrap();
        for field in
            ["id", "network", "page", "type", "kind", "action", "occurred_at", "collected_at", "by", "link"]
        {
            assert!(item.get(field).is_some(), "{field}: {text}");
        }
        assert_eq!((&item["type"], &item["kind"]), (&"interaction".into(), &"comment".into()));
        assert!(item.get("raw_omitted").is_none());
        assert_eq!(item["thing"], "2_3");
        for field in ["rating", "reaction", "location", "ad"] {
            assert!(item.get(field).is_none(), "{field} stands only where there is such: {text}");
        }
    }

    #[test]
    fn a_rating_a_place_or_an_ad_stands_where_there_is_such() {
        let mut content = content("a");
        content.rating = Rating::new(Some(4), None);
        content.reaction = Some("love".into());
        let number = |text: &str| Some(text.parse().unwrap());
        let (latitude, longitude) = (number("-23.5505199"), number("-46.6333"));
        content.location = Some(Location { name: Some("Loja".into()), latitude, longitude, id: None });
        let text = String::from_utf8(rendered(&content, "{}")).unwrap();
        assert!(text.contains(
            r#""rating":{"stars":4,"recommends":null},"reaction":"love","location":{"id":null,"name":"Loja","latitude":-23.5505199,"longitude":-46.6333}"#
        ), "{text}");
        content.ad = Some(Ad { id: "120".into(), name: None });
        let text = String::from_utf8(rendered(&content, "{}")).unwrap();
        assert!(text.contains(r#","ad":{"id":"120","name":null},"raw""#), "{text}");
        for (stars, recommends, is_one) in
            [(None, None, false), (Some(0), None, false), (Some(6), None, false), (None, Some(false), true)]
        {
            assert_eq!(Rating::new(stars, recommends).is_some(), is_one);
        }
    }

    #[test]
    fn an_item_that_is_too_large_leaves_the_raw_out() {
        let raw = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_ITEM_BYTES));
        let item: Value = serde_json::from_slice(&rendered(&content("olá"), &raw)).unwrap();
        assert_eq!((&item["raw_omitted"], item.get("raw")), (&Value::Bool(true), None));
        assert_eq!(item["text"], "olá");
    }

    #[test]
    fn whatever_the_text_the_item_is_within_its_limit() {
        for text in ["\u{1}".repeat(1024 * 1024), "é".repeat(300_000), "x".repeat(70_000)] {
            let bytes = rendered(&content(&text), r#"{"a":1}"#);
            assert!(bytes.len() <= MAX_ITEM_BYTES, "{}", bytes.len());
            let item: Value = serde_json::from_slice(&bytes).unwrap();
            assert!(text.starts_with(item["text"].as_str().unwrap()));
        }
    }

    #[test]
    fn endless_fields_are_left_out() {
        let mut content = content("a");
        let long = "x".repeat(MAX_FIELD_BYTES + 1);
        content.link = Some(long.clone());
        content.author = Some(Author { id: Some(long.clone()), ..Author::default() });
        let attachment = |url: &str| Attachment { kind: "photo".into(), id: None, url: Some(url.into()) };
        content.attachments = vec![attachment(&long); 3];
        content.attachments.extend(vec![attachment("https://example.com/a.jpg"); 60]);
        let item: Value = serde_json::from_slice(&rendered(&content, "{}")).unwrap();
        assert_eq!((&item["link"], &item["author"]), (&Value::Null, &Value::Null));
        assert_eq!(item["attachments"].as_array().unwrap().len(), MAX_ATTACHMENTS);
    }
}
