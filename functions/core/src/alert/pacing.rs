//! How often people are alerted: at most once in an [interval](super::AlertEvent::interval) for each (address, kind of
//! notice, thing), and with [`MAILS_A_DAY`] e-mails and [`CHATS_A_DAY`] messages to chats a day for each account. What
//! was left out or given up is counted, and the next alert says how many there were.
//!
//! A row for each (address, kind of notice, thing) is claimed by the notice's id, so a repeat of the same alert finds
//! itself there; a lease keeps two workers from sending it at once. A row for each (account, kind of address, day)
//! has a number for each alert. The rows expire; reads compare the times themselves.
//!
//! Not guaranteed: an alert whose worker died after it was sent, and before that was noted, is sent again. An alert
//! that was left out while the one before it was being sent is not counted.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::confirmation::day_of;
use super::{AlertEvent, AlertKind};
use crate::id::{AlertId, ItemId, digest};
use crate::retention::after;
use crate::streak::EXPIRES_AT;
use crate::transition::{Change, Condition, Effect, Row, Value, Write};

/// The most e-mails of an account in a day.
pub const MAILS_A_DAY: usize = 50;

/// The most messages to chats of an account in a day. A chat that does not answer takes a worker's time for each.
pub const CHATS_A_DAY: usize = 200;

/// How long a worker may take to send an alert: longer than an e-mail or a chat takes, and shorter than a further try
/// waits.
const LEASE: Duration = Duration::from_secs(25);

/// The most alerts that a row counts as left out.
const MOST_MISSED: usize = 1000;

/// How long a row is kept after its interval or day.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The id of the notice that claimed the row last.
const NOTICE: &str = "notice";
/// The worker that sends its alert.
const WORKER: &str = "worker";
/// The end of that worker's lease, in milliseconds.
const LEASE_UNTIL: &str = "lease_until";
/// When the next notice may claim the row, in milliseconds.
const UNTIL: &str = "until_at";
/// The id of the notice that was sent last.
const SENT: &str = "sent";
/// Numbers of the notices that were left out since.
const MISSED: &str = "missed";
/// Numbers of a day's alerts.
const PLACES: &str = "places";
/// How often the row of a day was written.
const WRITES: &str = "writes";

/// All attributes, for adapters that read rows.
pub const ATTRIBUTES: [&str; 9] =
    [NOTICE, WORKER, LEASE_UNTIL, UNTIL, SENT, MISSED, PLACES, WRITES, EXPIRES_AT];

/// Whether an alert is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is sent.
    Send {
        /// How many were left out since the last one.
        missed: usize,
    },
    /// It was sent before.
    WasSent,
    /// Another worker is sending it, or died a moment ago.
    Busy,
    /// Another one was sent a short while ago.
    TooSoon,
}

/// Claims the row of an (address, kind of notice, thing) for a notice and a worker, unless another notice has it, or
/// another worker is sending this one.
#[must_use]
pub fn claim(notice: &ItemId, worker: &str, event: AlertEvent, now: Timestamp) -> Write {
    let (until, lease_until) = (after(now, event.interval()), after(now, LEASE));
    let is_over = |name| Condition::AtMost(name, now.as_millisecond());
    let is_ours = Condition::Is(WORKER, Value::Text(worker.to_owned()));
    Write {
        name: "claim_alert",
        condition: Condition::Any(vec![
            Condition::Missing(UNTIL),
            is_over(UNTIL),
            Condition::All(vec![is_of(notice), Condition::Any(vec![is_ours, is_over(LEASE_UNTIL)])]),
        ]),
        effect: Effect::Update(vec![
            Change::Set(NOTICE, Value::Text(notice.to_string())),
            Change::Set(WORKER, Value::Text(worker.to_owned())),
            Change::Set(LEASE_UNTIL, Value::Number(lease_until.as_millisecond())),
            Change::Set(UNTIL, Value::Number(until.as_millisecond())),
            keep_until(until),
        ]),
    }
}

/// What a claim that was made means, by the row as it is then.
#[must_use]
pub fn turn(row: &Row, notice: &ItemId) -> Turn {
    if is_sent(row, notice) {
        return Turn::WasSent;
    }
    Turn::Send { missed: numbers(Some(row), MISSED).map_or(0, BTreeSet::len) }
}

/// What a claim that was refused means, by the row that refused it.
#[must_use]
pub fn refused(row: Option<&Row>, notice: &ItemId) -> Turn {
    match row {
        Some(row) if is_sent(row, notice) => Turn::WasSent,
        Some(row) if row.get(NOTICE) == Some(&Value::Text(notice.to_string())) => Turn::Busy,
        _ => Turn::TooSoon,
    }
}

fn is_sent(row: &Row, notice: &ItemId) -> bool {
    row.get(SENT) == Some(&Value::Text(notice.to_string()))
}

/// Notes that the alert of a notice was sent, with the count of those that were left out before it.
#[must_use]
pub fn sent(notice: &ItemId) -> Write {
    Write {
        name: "alert_sent",
        condition: is_of(notice),
        effect: Effect::Update(vec![
            Change::Set(SENT, Value::Text(notice.to_string())),
            Change::Remove(MISSED),
        ]),
    }
}

/// Gives up the alert of a notice: it is counted among those that were left out, and the next notice may claim the row
/// at once. A worker whose lease was over may give up what another one sent: then the next alert comes early.
#[must_use]
pub fn give_up(notice: &ItemId, now: Timestamp) -> Write {
    Write {
        name: "alert_given_up",
        condition: is_of(notice),
        effect: Effect::Update(vec![
            Change::Set(UNTIL, Value::Number(now.as_millisecond())),
            Change::Union(MISSED, [number_of([notice.as_str()])].into()),
            keep_until(now),
        ]),
    }
}

/// Counts a notice whose alert was left out. None where it is counted already, or too many are.
#[must_use]
pub fn miss(row: Option<&Row>, notice: &ItemId, now: Timestamp) -> Option<Write> {
    let number = number_of([notice.as_str()]);
    let known = numbers(row, MISSED);
    if known.is_some_and(|known| known.len() >= MOST_MISSED || known.contains(&number)) {
        return None;
    }
    Some(Write {
        name: "alert_left_out",
        // An expired row is gone, and nobody is to be told of this one.
        condition: Condition::Exists(NOTICE),
        effect: Effect::Update(vec![Change::Union(MISSED, [number].into()), keep_until(now)]),
    })
}

/// The sort key of an account's alerts to addresses of a kind on the day of `now`.
#[must_use]
pub fn day_key(kind: AlertKind, now: Timestamp) -> String {
    let kind = match kind {
        AlertKind::Email => "mails",
        AlertKind::Chat => "chats",
    };
    format!("alert-{kind}#{}", day_of(now))
}

/// Whether an account's day has room for an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// It has, once this is made.
    Take(Write),
    /// This alert has its place already.
    Taken,
    /// The day is full.
    Full,
}

/// Whether an account's day, as its row was read, has room for the alert of a notice to an address of a kind.
#[must_use]
pub fn room(
    row: Option<&Row>,
    (alert, kind): (&AlertId, AlertKind),
    notice: &ItemId,
    now: Timestamp,
) -> Room {
    let number = number_of([alert.as_str(), notice.as_str()]);
    let most = match kind {
        AlertKind::Email => MAILS_A_DAY,
        AlertKind::Chat => CHATS_A_DAY,
    };
    let places = numbers(row, PLACES);
    if places.is_some_and(|places| places.contains(&number)) {
        return Room::Taken;
    }
    if places.is_some_and(|places| places.len() >= most) {
        return Room::Full;
    }
    let writes = match row.and_then(|row| row.get(WRITES)) {
        Some(Value::Number(writes)) => *writes,
        _ => 0,
    };
    let as_read = match writes {
        0 => Condition::Missing(WRITES),
        writes => Condition::Is(WRITES, Value::Number(writes)),
    };
    Room::Take(Write {
        name: "take_alert",
        condition: as_read,
        effect: Effect::Update(vec![
            Change::Set(WRITES, Value::Number(writes.saturating_add(1))),
            Change::Union(PLACES, [number].into()),
            keep_until(now),
        ]),
    })
}

fn is_of(notice: &ItemId) -> Condition {
    Condition::Is(NOTICE, Value::Text(notice.to_string()))
}

fn keep_until(until: Timestamp) -> Change {
    Change::Set(EXPIRES_AT, Value::Number(after(until, KEPT).as_second()))
}

fn numbers<'a>(row: Option<&'a Row>, name: &str) -> Option<&'a BTreeSet<i64>> {
    match row?.get(name)? {
        Value::Numbers(numbers) => Some(numbers),
        _ => None,
    }
}

/// A number that stands for these texts in a set.
fn number_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> i64 {
    let digest = digest(texts.into_iter().map(str::as_bytes));
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;

    fn notice(bits: u128) -> ItemId {
        ItemId::from_bits(bits)
    }

    fn claimed_by(row: &mut Option<Row>, worker: &str, bits: u128, now: i64) -> Turn {
        let event = AlertEvent::Blocked;
        if claim(&notice(bits), worker, event, at(now)).apply(row) {
            return turn(row.as_ref().unwrap(), &notice(bits));
        }
        let turn = refused(row.as_ref(), &notice(bits));
        if let Some(write) = miss(row.as_ref(), &notice(bits), at(now)).filter(|_| turn == Turn::TooSoon) {
            assert!(write.apply(row));
        }
        turn
    }

    fn claimed(row: &mut Option<Row>, bits: u128, now: i64) -> Turn {
        claimed_by(row, "w", bits, now)
    }

    #[test]
    fn one_alert_in_an_hour_and_the_next_counts_those_between() {
        let mut row = None;
        assert_eq!(claimed(&mut row, 1, 0), Turn::Send { missed: 0 });
        assert!(sent(&notice(1)).apply(&mut row));
        for (bits, now) in [(2, 10), (3, 20), (3, 21)] {
            assert_eq!(claimed(&mut row, bits, now), Turn::TooSoon);
        }
        assert_eq!(claimed(&mut row, 4, 3600), Turn::Send { missed: 2 }, "a repeat counts once");
        assert!(sent(&notice(4)).apply(&mut row));
        assert_eq!(claimed(&mut row, 5, 7200), Turn::Send { missed: 0 });
    }

    #[test]
    fn a_repeat_finds_its_own_claim_and_is_sent_once() {
        let mut row = None;
        assert_eq!(claimed(&mut row, 1, 0), Turn::Send { missed: 0 });
        assert_eq!(claimed(&mut row, 1, 5), Turn::Send { missed: 0 }, "its worker died before it was sent");
        assert!(sent(&notice(1)).apply(&mut row));
        assert_eq!(claimed(&mut row, 1, 10), Turn::WasSent);
        assert_eq!(claimed(&mut row, 1, 9000), Turn::WasSent, "also when the interval is over");
        assert!(!sent(&notice(2)).apply(&mut row), "only the row's own notice is noted");
    }

    #[test]
    fn two_workers_do_not_send_one_alert_at_once() {
        let mut row = None;
        assert_eq!(claimed_by(&mut row, "a", 1, 0), Turn::Send { missed: 0 });
        assert_eq!(claimed_by(&mut row, "b", 1, 24), Turn::Busy);
        assert_eq!(
            claimed_by(&mut row, "a", 1, 24),
            Turn::Send { missed: 0 },
            "a repeated write finds itself"
        );
        assert_eq!(claimed_by(&mut row, "b", 1, 48), Turn::Busy);
        assert_eq!(claimed_by(&mut row, "b", 1, 49), Turn::Send { missed: 0 }, "the first one died");
        assert!(sent(&notice(1)).apply(&mut row));
        assert_eq!(claimed_by(&mut row, "c", 1, 50), Turn::WasSent);
        assert_eq!(claimed_by(&mut row, "c", 2, 50), Turn::TooSoon);
    }

    #[test]
    fn an_alert_that_is_given_up_keeps_none_back() {
        let mut row = None;
        assert_eq!(claimed(&mut row, 1, 0), Turn::Send { missed: 0 });
        for _ in 0..2 {
            assert!(give_up(&notice(1), at(60)).apply(&mut row), "a repeat changes nothing more");
        }
        assert_eq!(claimed(&mut row, 2, 61), Turn::Send { missed: 1 });
        assert!(!give_up(&notice(1), at(62)).apply(&mut row), "another notice has the row");
        assert_eq!(claimed(&mut row, 3, 63), Turn::TooSoon);
    }

    #[test]
    fn a_tokens_interval_is_a_day() {
        let mut row = None;
        assert!(claim(&notice(1), "w", AlertEvent::Token, at(0)).apply(&mut row));
        assert!(!claim(&notice(2), "w", AlertEvent::Token, at(86_399)).apply(&mut row));
        assert!(claim(&notice(2), "w", AlertEvent::Token, at(86_400)).apply(&mut row));
    }

    #[test]
    fn what_is_left_out_is_counted_up_to_a_bound() {
        let mut row = None;
        assert_eq!(claimed(&mut row, 0, 0), Turn::Send { missed: 0 });
        for bits in 1..=2000 {
            claimed(&mut row, bits, 1);
        }
        assert_eq!(claimed(&mut row, 5000, 3600), Turn::Send { missed: MOST_MISSED });
        let mut gone = None;
        assert!(!miss(None, &notice(1), at(0)).unwrap().apply(&mut gone), "an expired row is not made anew");
    }

    #[test]
    fn a_day_has_fifty_mails_and_a_repeat_has_its_place() {
        let (id, mut row) = (AlertId::from_bits(1), None);
        let alert = (&id, AlertKind::Email);
        for bits in 0..50 {
            let Room::Take(write) = room(row.as_ref(), alert, &notice(bits), at(5)) else { panic!("{bits}") };
            assert!(write.apply(&mut row));
            assert!(!write.apply(&mut row), "two at once do not take one place");
            assert_eq!(room(row.as_ref(), alert, &notice(bits), at(5)), Room::Taken);
        }
        assert_eq!(room(row.as_ref(), alert, &notice(50), at(5)), Room::Full);
        assert_eq!(room(row.as_ref(), alert, &notice(3), at(5)), Room::Taken);
        assert!(matches!(room(row.as_ref(), (&id, AlertKind::Chat), &notice(50), at(5)), Room::Take(_)));
        assert_ne!(day_key(AlertKind::Email, at(86_399)), day_key(AlertKind::Email, at(86_400)));
        assert_ne!(day_key(AlertKind::Email, at(0)), day_key(AlertKind::Chat, at(0)));
    }
}
