//! Replays: dead items are sent again.
//!
//! Only stored items can be replayed, which are those that died. A replay takes them, in the order of their acceptance,
//! out of the dead and makes them wait for the release of their type, which sends them step by step
//! ([`crate::release`]), under the id that they always had, as their first attempt. Their schedule and their retention
//! begin anew at that moment; their place among waiting items stays that of their acceptance.
//!
//! A delivery carries the replay that it belongs to, so that its end is counted. The counts are for the owner to read
//! and decide nothing: one may be missing, or be there twice, where a function died.

use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::field::{Field, unknown};
use crate::id::{ItemId, ReplayId};
use crate::item::ItemType;
use crate::problem::FieldError;
use crate::time;

/// How many items are taken out of the dead in one transaction: two writes each, and the replay's own, of at most 100
/// (DynamoDB).
pub const MAX_TAKEN: usize = 40;

/// The most bytes of items of one transaction, except for a single larger item. The rows count twice, as written and as
/// deleted, of at most 4 MB (DynamoDB).
pub const MAX_TAKEN_BYTES: usize = 1024 * 1024;

/// How many replays of a single item may be taking it at a time, of one webhook. Each is work of its own.
pub const MAX_ITEMS_AT_ONCE: usize = 20;

/// The replay that a delivery belongs to: the last one, where there were several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The replay's id.
    pub replay: ReplayId,
    /// When the item was taken out of the dead. Its retention counts from then.
    pub at: Timestamp,
}

/// A text that names no replay and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a replay and its time")]
pub struct InvalidReplayed;

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.at.as_millisecond(), self.replay)
    }
}

impl FromStr for Replayed {
    type Err = InvalidReplayed;

    fn from_str(text: &str) -> Result<Self, InvalidReplayed> {
        let (at, replay) = text.split_once('#').ok_or(InvalidReplayed)?;
        let at = at.parse().ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        Ok(Self { replay: replay.parse().map_err(|_| InvalidReplayed)?, at: at.ok_or(InvalidReplayed)? })
    }
}

/// How long a worker pauses first where the tables cannot take more, or others are in the way.
const PAUSE: Duration = Duration::from_millis(50);

/// The longest such pause, without its jitter.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// How many items are taken at once, and how long a worker pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The most items of one transaction.
    pub most: usize,
    /// The next pause, without its jitter.
    pub pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { most: MAX_TAKEN, pause: PAUSE }
    }
}

impl Pace {
    /// The pace after a transaction that was made.
    pub fn taken(&mut self) {
        *self = Self { most: (self.most * 2).min(MAX_TAKEN), pause: PAUSE };
    }

    /// The pace after one that the tables throttled.
    pub fn throttled(&mut self) {
        *self = Self { most: (self.most / 2).max(1), pause: (self.pause * 2).min(MAX_PAUSE) };
    }

    /// The pace after one that met other writes.
    pub fn in_the_way(&mut self) {
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }
}

/// The items that a customer wants to be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One item.
    Item(ItemId),
    /// All of a type that were accepted in a span of time.
    Span {
        /// The type.
        item_type: ItemType,
        /// Those accepted then or later.
        from: Option<Timestamp>,
        /// Those accepted before then.
        to: Option<Timestamp>,
    },
}

/// The fields of a request.
pub const FIELDS: [&str; 4] = ["item", "type", "from", "to"];

impl Wanted {
    /// Reads a customer's request: `{"item":…}`, or `{"type":…,"from":…?,"to":…?}`.
    ///
    /// # Errors
    /// Every wrong field; unknown ones are wrong, and so is anything beside an item.
    pub fn from_json(given: &Map<String, Value>) -> Result<Self, Vec<FieldError>> {
        let mut errors = unknown(given, &FIELDS);
        let item = Field::of(given, "item").optional(&mut errors, |value| {
            let item = value.as_str().and_then(|text| text.parse().ok());
            item.ok_or_else(|| "an item's id is expected: item_ and 32 hexadecimal digits".to_owned())
        });
        if given.get("item").is_some_and(|item| !item.is_null()) {
            let beside = FIELDS.into_iter().skip(1).filter(|name| given.contains_key(*name));
            errors.extend(beside.map(|name| FieldError::new(name, "is not taken beside an item")));
            return item.filter(|_| errors.is_empty()).map(Self::Item).ok_or(errors);
        }
        let item_type = Field::of(given, "type").required(&mut errors, known_type);
        let from = Field::of(given, "from").optional(&mut errors, time);
        let to = Field::of(given, "to").optional(&mut errors, time);
        if let (Some(from), Some(to)) = (from, to)
            && to <= from
        {
            errors.push(FieldError::new("to", "is not after from"));
        }
        let span = item_type.map(|item_type| Self::Span { item_type, from, to });
        span.filter(|_| errors.is_empty()).ok_or(errors)
    }
}

fn known_type(value: &Value) -> Result<ItemType, String> {
    value.as_str().and_then(ItemType::known).ok_or_else(ItemType::expected)
}

fn time(value: &Value) -> Result<Timestamp, String> {
    let time = value.as_str().and_then(time::read);
    time.ok_or_else(|| time::EXPECTED.to_owned())
}

/// The counts of a replay's items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Dead items that were found so far.
    pub found: u64,
    /// Those of them that were put on their way. The others wait already, for a retry.
    pub taken: u64,
    /// Those that arrived.
    pub delivered: u64,
    /// Those that died again.
    pub dead: u64,
    /// Those that were dropped: a block began that discards.
    pub dropped: u64,
}

crate::named! {
    /// How far a replay is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Phase {
        /// Dead items are being put on their way.
        Running = "running",
        /// All of them are on their way, and some have not ended.
        Releasing = "releasing",
        /// By the counts, all items that were taken have ended: arrived, died again or dropped. An item that arrived
        /// twice is counted twice and hides one that has not ended, so this may come too early; nothing rests on it.
        Done = "done",
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.found += other.found;
        self.taken += other.taken;
        self.delivered += other.delivered;
        self.dead += other.dead;
        self.dropped += other.dropped;
    }
}

impl Counts {
    /// How many items are on their way still.
    #[must_use]
    pub fn pending(self) -> u64 {
        self.taken.saturating_sub(self.delivered).saturating_sub(self.dead).saturating_sub(self.dropped)
    }

    /// How far a replay with these counts is. `over` says that all of its items were put on their way.
    #[must_use]
    pub fn phase(self, over: bool) -> Phase {
        match (over, self.pending()) {
            (false, _) => Phase::Running,
            (true, 0) => Phase::Done,
            (true, _) => Phase::Releasing,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(given: &Value) -> Result<Wanted, Vec<String>> {
        let wanted = Wanted::from_json(given.as_object().unwrap());
        wanted.map_err(|errors| errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn a_replay_and_its_time_survive_their_text() {
        let at = Timestamp::from_millisecond(1_795_000_000_123).unwrap();
        let replayed = Replayed { replay: ReplayId::made_at(at, 7), at };
        assert_eq!(replayed.to_string().parse::<Replayed>().unwrap(), replayed);
        for text in ["", "1#", "#rep_1", "1795000000123", "x#rep_00000000000000000000000000000001"] {
            assert!(text.parse::<Replayed>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_item_or_a_type_and_a_span_is_asked_for() {
        let item = ItemId::from_bits(3);
        assert_eq!(wanted(&json!({"item": item})).unwrap(), Wanted::Item(item.clone()));
        let span = |from, to| Wanted::Span { item_type: ItemType::EVENT, from, to };
        assert_eq!(wanted(&json!({"type": "event", "from": null})).unwrap(), span(None, None));
        let (from, to) = ("2026-11-21T00:00:00Z", "2026-11-22T00:00:00+01:00");
        let given = json!({"type": "event", "from": from, "to": to});
        let expected = span(Some(from.parse().unwrap()), Some("2026-11-21T23:00:00Z".parse().unwrap()));
        assert_eq!(wanted(&given).unwrap(), expected);
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        let item = ItemId::from_bits(3);
        for (given, fields) in [
            (json!({}), vec!["type"]),
            (json!({"item": "x"}), vec!["item"]),
            (json!({"item": 7, "to": "x", "all": true}), vec!["all", "item", "to"]),
            (json!({"item": item, "type": "event"}), vec!["type"]),
            (json!({"type": "ticket", "from": "yesterday", "to": 5}), vec!["type", "from", "to"]),
            (
                json!({"type": "event", "from": "2026-11-21T00:00:00Z", "to": "2026-11-21T00:00:00Z"}),
                vec!["to"],
            ),
        ] {
            assert_eq!(wanted(&given).unwrap_err(), fields, "{given}");
        }
    }

    #[test]
    fn a_replay_is_done_when_all_it_took_has_ended() {
        let mut counts = Counts { found: 4, taken: 3, delivered: 1, dead: 1, dropped: 0 };
        assert_eq!((counts.phase(false), counts.phase(true)), (Phase::Running, Phase::Releasing));
        counts.dropped = 1;
        assert_eq!((counts.phase(false), counts.phase(true)), (Phase::Running, Phase::Done));
        // One that arrived twice was counted twice: it hides one that still waits.
        let early = Counts { found: 3, taken: 3, delivered: 2, dead: 1, dropped: 0 };
        assert_eq!((early.pending(), early.phase(true)), (0, Phase::Done));
        assert_eq!(early.phase(false), Phase::Running, "never before all were taken");
        counts.delivered = 9;
        assert_eq!((counts.pending(), counts.phase(true)), (0, Phase::Done));
        assert_eq!(Counts::default().phase(true), Phase::Done, "nothing was dead");
    }

    #[test]
    fn throttled_tables_slow_a_replay_down_until_it_takes_again() {
        let mut pace = Pace::default();
        for most in [20, 10, 5, 2, 1, 1] {
            pace.throttled();
            assert_eq!(pace.most, most);
        }
        assert_eq!(pace.pause, PAUSE * 64);
        pace.throttled();
        assert_eq!(pace.pause, MAX_PAUSE);
        pace.taken();
        assert_eq!(pace, Pace { most: 2, pause: PAUSE });
        pace.in_the_way();
        assert_eq!(pace, Pace { most: 2, pause: PAUSE * 2 });
    }
}
