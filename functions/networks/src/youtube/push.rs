//! YouTube's pushes: the Atom feeds of WebSub, with new and changed videos, and those that were taken away.
//!
//! A hub sends a feed of one or more entries to the [address](mod@crate::push::address) of a channel, signed with the
//! channel's own secret (`X-Hub-Signature: sha1=…`). A push without a valid signature is answered 2xx and is not
//! stored, as WebSub asks for. An entry is kept as JSON with the feed's own names.
//!
//! The hub asks at the address whether a subscription is wanted, before it begins, renews or ends it. It is, while
//! somebody has connected the channel; to end it is wanted when nobody has. Its challenge is answered only at an
//! address that we made.
//!
//! Feeds with a document type are not read: so no entity expands.
//!
//! Sources: developers.google.com/youtube/v3/guides/push_notifications; W3C "WebSub" (2018), "PubSubHubbub Core 0.4";
//! RFC 6721 ("deleted-entry").

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};

use crate::collected::By;
use crate::inbox::{Event, Shape, Update};
use crate::network::{Network, NetworkId};
use crate::push::signature::{AppSecret, ChallengeError, MAX_CHALLENGE_BYTES, hexadecimal, is_code};
use crate::push::{address, unknown};
use crate::spec::{ChallengeAnswer, PageIs, PushSpec, Query, Unsigned};
use crate::youtube::{PUSH_PARAMETER, subscription};

/// The header of the hub's signature: `sha1=<lower-case hexadecimal>`.
pub const HEADER: &str = "x-hub-signature";
const PREFIX: &str = "sha1=";

const ATOM: &str = "http://www.w3.org/2005/Atom";
const TOMBSTONES: &str = "http://purl.org/atompub/tombstones/1.0";

/// The most nodes of a feed that is read, and the most entries. A hub sends a few.
const MAX_NODES: u32 = 65_536;
const MAX_ENTRIES: usize = 1024;

/// How deep an entry is kept.
const MAX_DEPTH: u8 = 4;

/// What the topics of channels begin with. YouTube's documentation has both.
const TOPICS: [&str; 2] = [
    "https://www.youtube.com/xml/feeds/videos.xml?channel_id=",
    "https://www.youtube.com/feeds/videos.xml?channel_id=",
];

/// How YouTube's pushes are checked and split.
pub(super) static PUSH: PushSpec = PushSpec {
    secrets: "YOUTUBE_HUB_SECRET",
    signature_header: HEADER,
    is_genuine,
    unsigned: Unsigned::Ignored,
    page_parameter: Some(PUSH_PARAMETER),
    challenge_secrets: "YOUTUBE_HUB_SECRET",
    challenge,
    split: |_, body| split(body),
    subscription: Some(&subscription::SPEC),
};

/// The topic of a channel's videos.
pub(super) fn topic(channel: &NetworkId) -> String {
    format!("{}{channel}", TOPICS[0])
}

/// Whether a body is the hub's: `signature` is the value of [`HEADER`], made with any of the channel's secrets.
#[must_use]
pub fn is_genuine(secrets: &[AppSecret], signature: &str, body: &[u8]) -> bool {
    let code = |secret: &AppSecret| secret.mac_sha1(body).map(|mac| hexadecimal(&mac));
    signature.strip_prefix(PREFIX).is_some_and(|given| is_code(secrets, given, code))
}

/// The value of [`HEADER`] for a body, as the hub makes it.
#[must_use]
pub fn sign(secret: &AppSecret, body: &[u8]) -> String {
    secret.mac_sha1(body).map(|mac| format!("{PREFIX}{}", hexadecimal(&mac))).unwrap_or_default()
}

/// Answers the hub's question whether a subscription is to begin, to go on or to end.
fn challenge(secrets: &[AppSecret], query: Query<'_>) -> Result<ChallengeAnswer, ChallengeError> {
    let (mode, topic) = (query("hub.mode"), query("hub.topic"));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~+/=".contains(&b);
    let is_safe = |text: &&str| (1..=MAX_CHALLENGE_BYTES).contains(&text.len()) && text.bytes().all(plain);
    let text = query("hub.challenge").filter(is_safe).ok_or(ChallengeError::Malformed)?;
    let channel = address::page(&PUSH, query).ok_or(ChallengeError::Unwanted)?;
    let channel_of = |topic: &str| {
        TOPICS.iter().find_map(|beginning| topic.strip_prefix(beginning).map(|rest| rest == channel.as_str()))
    };
    let is_its_topic = topic.and_then(channel_of) == Some(true);
    if !is_its_topic || !address::is_ours(secrets, Network::Youtube, &channel, query) {
        return Err(ChallengeError::Unwanted);
    }
    let only_if = match mode {
        Some("subscribe") => PageIs::Connected(channel),
        Some("unsubscribe") => PageIs::NotConnected(channel),
        _ => return Err(ChallengeError::Malformed),
    };
    Ok(ChallengeAnswer { only_if: Some(only_if), ..ChallengeAnswer::new("text/plain", text.to_owned()) })
}

/// Splits a feed into its entries, if it is one.
pub(super) fn split(body: &[u8]) -> Option<Vec<Update>> {
    let text = std::str::from_utf8(body).ok()?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).ok()?;
    let root = document.root_element();
    let entries: Vec<Update> = root.children().filter_map(update).take(MAX_ENTRIES + 1).collect();
    let is_feed = root.has_tag_name((ATOM, "feed")) && entries.len() <= MAX_ENTRIES;
    is_feed.then_some(entries)
}

fn update(element: Node<'_, '_>) -> Option<Update> {
    let (shape, field) = if element.has_tag_name((ATOM, "entry")) {
        (Shape::YoutubeEntry, "entry")
    } else if element.has_tag_name((TOMBSTONES, "deleted-entry")) {
        (Shape::YoutubeDeletedEntry, "deleted-entry")
    } else {
        return None;
    };
    let value = object(element, MAX_DEPTH);
    let Ok(raw) = to_raw_value(&value) else { return Some(unknown(Network::Youtube, b"")) };
    let uri = value["by"]["uri"].as_str().and_then(|uri| uri.rsplit('/').next());
    let channel = value["channelId"].as_str().or(uri).and_then(|id| id.parse().ok());
    let (network, field) = (Network::Youtube, field.to_owned());
    let event = Event { network, by: By::Push, shape, field, sent_at: None, raw, beside: None };
    Some(Update { owners: channel.into_iter().collect(), event })
}

/// An element as JSON: its attributes and the elements in it by their names, a text where it has none of them. Of
/// elements with the same name the first is kept.
fn object(element: Node<'_, '_>, depth: u8) -> Value {
    let attributes = element.attributes().map(|one| (one.name().to_owned(), Value::from(one.value())));
    let mut members: Map<String, Value> = attributes.collect();
    for child in element.children().filter(|child| depth > 0 && child.is_element()) {
        let name = child.tag_name().name();
        if !members.contains_key(name) {
            members.insert(name.to_owned(), object(child, depth - 1));
        }
    }
    if members.is_empty() {
        let texts = element.children().filter_map(|child| child.text());
        return Value::from(texts.collect::<String>().trim());
    }
    Value::Object(members)
}

#[cfg(test)]
#[path = "push_tests.rs"]
mod tests;
