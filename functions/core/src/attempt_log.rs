//! The attempt log, in which a webhook's owner reads the attempts that were made.
//!
//! It is for people to read and decides nothing. It is kept as far as that costs a delivery nothing: an entry that
//! cannot be written is missing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cause::{self, Cause};
use crate::id::{ItemId, ReplayId};
use crate::item::ItemType;
use crate::mask::Mask;
use crate::outcome::FailureKind;
use crate::webhook::AttemptLog;

/// How much of a failed response's body is kept, in bytes of UTF-8.
pub const MAX_EXCERPT_BYTES: usize = 1024;

/// How many of a failed response's headers are kept.
pub const MAX_SHOWN_HEADERS: usize = 20;

/// How many bytes of their names and values are kept.
pub const MAX_SHOWN_HEADER_BYTES: usize = 1024;

/// The most entries of a row. A larger batch has several.
pub const MAX_ENTRIES: usize = 10;

crate::named! {
    /// The fate of an item after an attempt.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum ItemFate {
        /// It arrived.
        Delivered,
        /// It is attempted again at a time of its own.
        Retry,
        /// It waits for its release: its type is blocked, its webhook disabled, or a step of its release failed.
        Held,
        /// It is dead.
        Dead,
        /// It is dropped, because its network no longer allows it to be kept.
        Dropped,
        /// The result could not be stored, so the queue hands the item out again.
        Unsettled,
    }
}

/// The step of a release that an attempt belonged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseStep {
    /// The first, whose failures use up nothing of an item's schedule.
    First,
    /// A later one.
    Later,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The item.
    pub item: ItemId,
    /// Its type.
    #[serde(rename = "type")]
    pub item_type: ItemType,
    /// The number of the attempt: 1, 2, …
    pub attempt: u32,
    /// When it ended.
    pub at: Timestamp,
    /// The webhook's revision.
    pub revision: u64,
    /// The class of the failure; none, where it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<FailureKind>,
    /// Why it failed, where more is known than its class and status say.
    #[serde(default, deserialize_with = "cause::read", skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The response's status, where one arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long it took.
    pub latency_ms: u64,
    /// The beginning of the response's body, of a failure that had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_body: Option<String>,
    /// Some of the response's headers, of a failure that had a response.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub response_headers: BTreeMap<String, String>,
    /// The step of a release that it belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_step: Option<ReleaseStep>,
    /// The replay that the item belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayId>,
    /// The item's fate.
    pub became: ItemFate,
    /// When it is attempted again, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

impl Entry {
    /// Whether the attempt succeeded.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.error.is_none()
    }
}

impl AttemptLog {
    /// Whether an attempt is logged.
    #[must_use]
    pub fn takes(self, success: bool) -> bool {
        match self {
            Self::Failures => !success,
            Self::All => true,
            Self::None => false,
        }
    }
}

/// The beginning of a response's body as text of at most `most` bytes, without credentials. Bytes that are no UTF-8,
/// and control characters other than line breaks and tabs, become U+FFFD. None where there is nothing.
#[must_use]
pub fn excerpt(body: &[u8], most: usize, mask: &Mask) -> Option<String> {
    // A character that is cut off at the end becomes U+FFFD, and a credential may go on behind the bound, so more is
    // read than is kept.
    let beginning = &body[..body.len().min(most + mask.longest() + 4)];
    let text = mask.out_of_cut(&String::from_utf8_lossy(beginning));
    let mut text = without_control(&text, &['\n', '\r', '\t']);
    text.truncate(text.floor_char_boundary(most));
    (!text.is_empty()).then_some(text)
}

/// The headers of a response that may be shown, by lower-case names: at most [`MAX_SHOWN_HEADERS`] and
/// [`MAX_SHOWN_HEADER_BYTES`], without credentials. A header whose name says that it holds one is left out; a challenge
/// shows its scheme alone, and a location no query. The values of a repeated name are joined.
pub fn shown_headers<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    mask: &Mask,
) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::<String, String>::new();
    let mut room = MAX_SHOWN_HEADER_BYTES;
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value);
        let Some(value) = shown_value(name, value.trim()) else { continue };
        let name = mask.out_of(&name.to_ascii_lowercase());
        let value = without_control(&mask.out_of(value), &[]);
        let bytes = name.len() + value.len() + 2;
        if bytes > room || shown.len() == MAX_SHOWN_HEADERS {
            continue;
        }
        room -= bytes;
        shown.entry(name).and_modify(|all| *all = format!("{all}, {value}")).or_insert(value);
    }
    shown
}

/// The part of a header's value that may be shown; None where none may.
fn shown_value<'a>(name: &str, value: &'a str) -> Option<&'a str> {
    const SECRET: [&str; 11] = [
        "cookie",
        "auth",
        "token",
        "secret",
        "passw",
        "api-key",
        "apikey",
        "credential",
        "session",
        "signature",
        "jwt",
    ];
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "www-authenticate" | "proxy-authenticate" => value.split([' ', ',']).next(),
        "location" | "content-location" => {
            value.split(['?', '#']).next().filter(|shown| !shown.contains('@'))
        }
        // Links and the like, of which queries are a part.
        "link" | "refresh" => None,
        name if SECRET.iter().any(|word| name.contains(word)) => None,
        _ => Some(value),
    }
}

fn without_control(text: &str, but: &[char]) -> String {
    text.chars().map(|c| if c.is_control() && !but.contains(&c) { '\u{fffd}' } else { c }).collect()
}

/// A filter of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only entries of this type.
    pub item_type: Option<ItemType>,
    /// Those that succeeded, or those that failed.
    pub success: Option<bool>,
    /// Only entries of this item.
    pub item: Option<ItemId>,
    /// Those that ended then or later.
    pub from: Option<Timestamp>,
    /// Those that ended before then.
    pub to: Option<Timestamp>,
}

impl Filter {
    /// Whether an entry is asked for.
    #[must_use]
    pub fn takes(&self, entry: &Entry) -> bool {
        self.item_type.as_ref().is_none_or(|wanted| *wanted == entry.item_type)
            && self.success.is_none_or(|wanted| wanted == entry.is_success())
            && self.item.as_ref().is_none_or(|wanted| *wanted == entry.item)
            && self.from.is_none_or(|from| from <= entry.at)
            && self.to.is_none_or(|to| entry.at < to)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cause::{Code, MAX_DETAIL_BYTES};

    const NAMES: [&str; 24] = [
        "a0", "b0", "c0", "d0", "e0", "f0", "g0", "h0", "i0", "j0", "k0", "l0", "m0", "n0", "o0", "p0", "q0",
        "r0", "s0", "t0", "u0", "v0", "w0", "x0",
    ];

    fn entry() -> Entry {
        Entry {
            item: ItemId::from_bits(1),
            item_type: ItemType::EVENT,
            attempt: 1,
            at: Timestamp::from_millisecond(1_795_000_000_123).unwrap(),
            revision: 1,
            error: Some(FailureKind::Status),
            cause: None,
            status: Some(503),
            latency_ms: 12,
            response_body: Some("no".to_owned()),
            response_headers: BTreeMap::new(),
            release_step: None,
            replay: None,
            became: ItemFate::Retry,
            next_at: Some(Timestamp::from_millisecond(1_795_000_005_123).unwrap()),
        }
    }

    proptest! {
        #[test]
        fn an_excerpt_is_bounded_and_shows_no_control_characters(body in prop::collection::vec(any::<u8>(), 0..3000)) {
            let text = excerpt(&body, MAX_EXCERPT_BYTES, &Mask::default()).unwrap_or_default();
            prop_assert!(text.len() <= MAX_EXCERPT_BYTES);
            // A character of four bytes may lie across the bound.
            prop_assert!(text.len() + 3 >= MAX_EXCERPT_BYTES.min(body.len()));
            prop_assert!(text.chars().all(|c| !c.is_control() || "\n\r\t".contains(c)));
        }
    }

    #[test]
    fn an_excerpt_is_the_beginning_as_text() {
        let excerpt = |body: &[u8]| excerpt(body, MAX_EXCERPT_BYTES, &Mask::default());
        assert_eq!(excerpt(b""), None);
        assert_eq!(excerpt(b"a\0b\n\xff").as_deref(), Some("a\u{fffd}b\n\u{fffd}"));
        let long = "é".repeat(1000);
        assert_eq!(excerpt(long.as_bytes()).unwrap(), "é".repeat(512), "no half characters at the end");
        let across = "a".repeat(MAX_EXCERPT_BYTES - 3) + "😃";
        assert_eq!(excerpt(across.as_bytes()).unwrap().len(), MAX_EXCERPT_BYTES - 3);
    }

    #[test]
    fn headers_are_shown_within_bounds_and_without_credentials() {
        let shown = shown_headers(
            [
                ("Content-Type", &b"text/html"[..]),
                ("via", b"a"),
                ("via", b"b\x07\xff"),
                ("set-cookie", b"session=1"),
                ("proxy-authenticate", b"Digest realm=\"r\", nonce=\"n\""),
                ("www-authenticate", b"Bearer"),
                ("x-csrf-token", b"t"),
                ("authorization", b"Bearer t"),
                ("location", b"https://b.example/x?token=t"),
                ("content-location", b"https://user:pw@b.example/"),
                ("link", b"<https://b.example/?token=t>"),
            ],
            &Mask::default(),
        );
        let expected = [
            ("content-type", "text/html"),
            ("location", "https://b.example/x"),
            ("proxy-authenticate", "Digest"),
            ("via", "a, b\u{fffd}\u{fffd}"),
            ("www-authenticate", "Bearer"),
        ];
        assert_eq!(shown, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let large = [b'x'; 2000];
        let many = NAMES.iter().map(|name| (*name, &b"v"[..]));
        let shown = shown_headers(many.chain([("y", &large[..])]), &Mask::default());
        assert_eq!((shown.len(), shown.contains_key("y")), (MAX_SHOWN_HEADERS, false));
    }

    #[test]
    fn a_row_of_the_largest_entries_is_less_than_64_kib() {
        let value = [b'"'; 42];
        let many = (0..50).map(|n| (NAMES[n % NAMES.len()], &value[..]));
        let largest = Entry {
            item_type: "a".repeat(32).parse().unwrap(),
            attempt: u32::MAX,
            revision: u64::MAX,
            error: Some(FailureKind::ForbiddenAddress),
            status: Some(599),
            latency_ms: u64::MAX,
            // Quotes and line breaks grow to twice their size.
            response_body: excerpt(&[b'"'; 2000], MAX_EXCERPT_BYTES, &Mask::default()),
            response_headers: shown_headers(many, &Mask::default()),
            cause: Some(Cause {
                code: Code::CertificateUntrusted,
                detail: Some("\"".repeat(MAX_DETAIL_BYTES)),
            }),
            release_step: Some(ReleaseStep::Later),
            replay: Some(ReplayId::from_bits(u128::MAX)),
            became: ItemFate::Unsettled,
            ..entry()
        };
        let row = serde_json::to_string(&vec![largest; MAX_ENTRIES]).unwrap();
        assert!(row.len() < 64 * 1024, "{}", row.len());
    }

    #[test]
    fn an_entry_survives_its_text_and_leaves_out_what_it_has_not() {
        let text = serde_json::to_string(&entry()).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry());
        assert!(!text.contains("replay") && !text.contains("null"), "{text}");
    }

    #[test]
    fn a_log_takes_what_it_says() {
        let takes = |log: AttemptLog| [log.takes(false), log.takes(true)];
        assert_eq!(takes(AttemptLog::Failures), [true, false]);
        assert_eq!(takes(AttemptLog::All), [true, true]);
        assert_eq!(takes(AttemptLog::None), [false, false]);
    }

    #[test]
    fn a_filter_takes_what_fits_all_of_it() {
        let at = entry().at;
        let takes = |filter: Filter| filter.takes(&entry());
        assert!(takes(Filter::default()));
        assert!(takes(Filter { from: Some(at), success: Some(false), ..Filter::default() }));
        assert!(takes(Filter {
            item: Some(entry().item),
            item_type: Some(ItemType::EVENT),
            ..Filter::default()
        }));
        assert!(!takes(Filter { to: Some(at), ..Filter::default() }));
        assert!(!takes(Filter { success: Some(true), ..Filter::default() }));
        assert!(!takes(Filter { item_type: Some(ItemType::MESSAGE), ..Filter::default() }));
        assert!(!takes(Filter { item: Some(ItemId::from_bits(2)), ..Filter::default() }));
    }
}
