//! The attempt log: what a webhook's owner can read of the attempts that were made.
//!
//! It is for people to read and decides nothing. It is kept as far as that costs a delivery nothing: an entry that
//! cannot be written is missing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{ItemId, ReplayId};
use crate::item::ItemType;
use crate::outcome::FailureKind;
use crate::webhook::AttemptLog;

/// How much of a failed response's body is kept, in bytes of UTF-8.
pub const MAX_EXCERPT_BYTES: usize = 1024;

/// The most entries of a row. A larger batch has several.
pub const MAX_ENTRIES: usize = 10;

/// What became of an item after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// It arrived.
    Delivered,
    /// It is attempted again at a time of its own.
    Retry,
    /// It waits for its release: its type is blocked, its webhook disabled, or a step of its release failed.
    Held,
    /// It is dead.
    Dead,
    /// It is dropped: its network does not let it be kept any more.
    Dropped,
    /// What came of the attempt could not be stored: the queue hands it out again.
    Unsettled,
}

impl Became {
    /// Everything that can become of an item.
    pub const ALL: [Self; 6] =
        [Self::Delivered, Self::Retry, Self::Held, Self::Dead, Self::Dropped, Self::Unsettled];
}

/// Which step of a release an attempt belonged to.
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
    /// The response's status, where one arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long it took.
    pub latency_ms: u64,
    /// The beginning of the response's body, of a failure that had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_body: Option<String>,
    /// The step of a release that it belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_step: Option<ReleaseStep>,
    /// The replay that the item belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayId>,
    /// What became of the item.
    pub became: Became,
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

/// The beginning of a response's body as text of at most [`MAX_EXCERPT_BYTES`]. What is no UTF-8, and control
/// characters but for line breaks and tabs, become U+FFFD. None where there is nothing.
#[must_use]
pub fn excerpt(body: &[u8]) -> Option<String> {
    let mut text = String::new();
    let shown = |c: char| if c.is_control() && !matches!(c, '\n' | '\r' | '\t') { '\u{fffd}' } else { c };
    // A character that is cut off at the end becomes U+FFFD too, so a few bytes more are read than are kept.
    let beginning = &body[..body.len().min(MAX_EXCERPT_BYTES + 4)];
    for c in String::from_utf8_lossy(beginning).chars().map(shown) {
        if text.len() + c.len_utf8() > MAX_EXCERPT_BYTES {
            break;
        }
        text.push(c);
    }
    (!text.is_empty()).then_some(text)
}

/// Which entries are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this type alone.
    pub item_type: Option<ItemType>,
    /// Those that succeeded, or those that failed.
    pub success: Option<bool>,
    /// Of this item alone.
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

    fn entry() -> Entry {
        Entry {
            item: ItemId::from_bits(1),
            item_type: ItemType::EVENT,
            attempt: 1,
            at: Timestamp::from_millisecond(1_795_000_000_123).unwrap(),
            revision: 1,
            error: Some(FailureKind::Status),
            status: Some(503),
            latency_ms: 12,
            response_body: Some("no".to_owned()),
            release_step: None,
            replay: None,
            became: Became::Retry,
            next_at: Some(Timestamp::from_millisecond(1_795_000_005_123).unwrap()),
        }
    }

    proptest! {
        #[test]
        fn an_excerpt_is_bounded_and_shows_no_control_characters(body in prop::collection::vec(any::<u8>(), 0..3000)) {
            let text = excerpt(&body).unwrap_or_default();
            prop_assert!(text.len() <= MAX_EXCERPT_BYTES);
            prop_assert!(text.len() + 3 > MAX_EXCERPT_BYTES.min(body.len()));
            prop_assert!(text.chars().all(|c| !c.is_control() || "\n\r\t".contains(c)));
        }
    }

    #[test]
    fn an_excerpt_is_the_beginning_as_text() {
        assert_eq!(excerpt(b""), None);
        assert_eq!(excerpt(b"a\0b\n\xff").as_deref(), Some("a\u{fffd}b\n\u{fffd}"));
        let long = "é".repeat(1000);
        assert_eq!(excerpt(long.as_bytes()).unwrap(), "é".repeat(512), "no half characters at the end");
    }

    #[test]
    fn a_row_of_the_largest_entries_is_less_than_64_kib() {
        let largest = Entry {
            item_type: "a".repeat(32).parse().unwrap(),
            attempt: u32::MAX,
            revision: u64::MAX,
            error: Some(FailureKind::ForbiddenAddress),
            status: Some(599),
            latency_ms: u64::MAX,
            // Quotes and line breaks grow to twice their size.
            response_body: excerpt(&[b'"'; 2000]),
            release_step: Some(ReleaseStep::Later),
            replay: Some(ReplayId::from_bits(u128::MAX)),
            became: Became::Unsettled,
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
