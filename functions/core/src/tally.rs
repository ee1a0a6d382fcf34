//! Counts the items of each (webhook, item type) that ended without being delivered: those that died, and those that
//! were dropped because the webhook no longer takes them.
//!
//! A tally is a row beside the streaks, of revision 0, which no webhook has: it outlives revisions. Its counts are for
//! people to read and decide nothing, so a write whose answer was lost counts as made. A notice reports the first death
//! at once, and later ones at most once in [`NOTICE_INTERVAL`], with their number and the oldest of them
//! ([`crate::notice`]). A death that is counted while a notice is being sent is part of the next one.

use std::time::Duration;

use jiff::Timestamp;

use crate::delivery::Delivery;
use crate::id::{AccountId, WebhookId};
use crate::item::ItemType;
use crate::settlement::DeathCause;
use crate::streak::{DUE_AT, EXPIRES_AT};
use crate::transition::{Change, Condition, Effect, Row, Value, Write};

/// The revision of a tally's row. A webhook's own begin at 1.
pub const REVISION: u64 = 0;

/// The shortest time between two notices of deaths of one (webhook, item type).
pub const NOTICE_INTERVAL: Duration = Duration::from_secs(3600);

/// How long a tally is kept after the last death or drop that it counted.
const KEPT: Duration = Duration::from_secs(14 * 24 * 3600);

/// The pending notice: when it is due, in milliseconds, as text.
pub(crate) const DEAD_NOTICE: &str = "dead_notice";
/// The number of deaths that no notice has reported.
pub(crate) const DEAD_COUNT: &str = "dead_count";
/// The id of the item that was accepted first among them.
pub(crate) const DEAD_ITEM: &str = "dead_item";
/// When that item was accepted, in milliseconds.
pub(crate) const DEAD_ACCEPTED: &str = "dead_accepted";
/// Why that item died.
pub(crate) const DEAD_CAUSE: &str = "dead_cause";
/// When the last notice of deaths was sent, in milliseconds.
pub(crate) const DEAD_TOLD_AT: &str = "dead_told_at";
/// How many items were dropped because their webhook does not take them.
pub(crate) const DROPPED: &str = "dropped";

/// Deaths of one (webhook, item type), to be counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deaths {
    /// The account of the webhook.
    pub account: AccountId,
    /// The webhook.
    pub webhook: WebhookId,
    /// The item type.
    pub item_type: ItemType,
    /// How many items died; at least 1.
    pub items: u32,
    /// The one that was accepted first.
    pub oldest: OldestDeath,
}

/// The item that was accepted first among some that died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldestDeath {
    /// The item's id.
    pub item: String,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Why it died: [`DeathCause::as_str`].
    pub cause: String,
}

impl Deaths {
    /// Groups deaths by webhook and item type. Dead notices are left out: a notice of them would lead to another one.
    #[must_use]
    pub fn group<'a>(dead: impl IntoIterator<Item = (&'a Delivery, DeathCause)>) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for (delivery, cause) in dead {
            if delivery.item_type == ItemType::NOTICE {
                continue;
            }
            let death = OldestDeath {
                item: delivery.item.to_string(),
                accepted_at: delivery.accepted_at,
                cause: cause.as_str().to_owned(),
            };
            let group = groups
                .iter_mut()
                .find(|group| group.webhook == delivery.webhook && group.item_type == delivery.item_type);
            match group {
                Some(group) => {
                    group.items = group.items.saturating_add(1);
                    if death.accepted_at < group.oldest.accepted_at {
                        group.oldest = death;
                    }
                }
                None => groups.push(Self {
                    account: delivery.account.clone(),
                    webhook: delivery.webhook.clone(),
                    item_type: delivery.item_type.clone(),
                    items: 1,
                    oldest: death,
                }),
            }
        }
        groups
    }
}

fn number(row: Option<&Row>, name: &str) -> Option<i64> {
    match row?.get(name)? {
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// Counts deaths on a tally as it was read, and leaves a notice where none is pending. It is refused where the notice,
/// its oldest item or the time of the last one changed since.
#[must_use]
pub fn count_deaths(row: Option<&Row>, deaths: &Deaths, now: Timestamp) -> Write {
    let as_read = |name: &'static str| match row.and_then(|row| row.get(name)) {
        Some(value) => Condition::Is(name, value.clone()),
        None => Condition::Missing(name),
    };
    let mut changes = vec![Change::Add(DEAD_COUNT, i64::from(deaths.items)), keep(now)];
    let is_pending = row.is_some_and(|row| row.contains_key(DEAD_NOTICE));
    let accepted_at = deaths.oldest.accepted_at.as_millisecond();
    if !is_pending || number(row, DEAD_ACCEPTED).is_none_or(|known| accepted_at < known) {
        changes.extend([
            Change::Set(DEAD_ITEM, Value::Text(deaths.oldest.item.clone())),
            Change::Set(DEAD_ACCEPTED, Value::Number(accepted_at)),
            Change::Set(DEAD_CAUSE, Value::Text(deaths.oldest.cause.clone())),
        ]);
    }
    if !is_pending {
        let interval = i64::try_from(NOTICE_INTERVAL.as_millis()).unwrap_or(i64::MAX);
        let earliest = number(row, DEAD_TOLD_AT).map_or(i64::MIN, |told| told.saturating_add(interval));
        let due = now.as_millisecond().max(earliest);
        changes.extend([
            Change::Set(DEAD_NOTICE, Value::Text(due.to_string())),
            Change::Set(DUE_AT, Value::Number(due)),
        ]);
    }
    Write {
        name: "count_deaths",
        condition: Condition::All([DEAD_NOTICE, DEAD_ACCEPTED, DEAD_TOLD_AT].map(as_read).to_vec()),
        effect: Effect::Update(changes),
    }
}

/// Counts items that were dropped because their webhook does not take them any more.
#[must_use]
pub fn count_dropped(items: u32, now: Timestamp) -> Write {
    Write {
        name: "count_dropped",
        condition: Condition::All(Vec::new()),
        effect: Effect::Update(vec![Change::Add(DROPPED, i64::from(items)), keep(now)]),
    }
}

fn keep(now: Timestamp) -> Change {
    let until = now.checked_add(KEPT).unwrap_or(Timestamp::MAX);
    Change::Set(EXPIRES_AT, Value::Number(until.as_second()))
}

/// When the pending notice of deaths is due.
pub(crate) fn notice_due_at(row: &Row) -> Option<i64> {
    match row.get(DEAD_NOTICE)? {
        Value::Text(due) => due.parse().ok(),
        _ => None,
    }
}

/// The number of deaths that no notice has reported.
pub(crate) fn unreported(row: &Row) -> i64 {
    number(Some(row), DEAD_COUNT).unwrap_or_default()
}

/// The oldest item among the deaths that no notice has reported.
pub(crate) fn oldest(row: &Row) -> Option<OldestDeath> {
    let text = |name: &str| match row.get(name) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    Some(OldestDeath {
        item: text(DEAD_ITEM)?,
        accepted_at: Timestamp::from_millisecond(number(Some(row), DEAD_ACCEPTED)?).ok()?,
        cause: text(DEAD_CAUSE)?,
    })
}

/// The changes by which a notice of deaths that was read from `row` is noted as sent at `now`.
pub(crate) fn sent(row: &Row, now: Timestamp) -> [Change; 6] {
    [
        Change::Remove(DEAD_NOTICE),
        // Not removed: a death that was counted since the row was read is part of the next notice.
        Change::Add(DEAD_COUNT, -unreported(row)),
        Change::Remove(DEAD_ITEM),
        Change::Remove(DEAD_ACCEPTED),
        Change::Remove(DEAD_CAUSE),
        Change::Set(DEAD_TOLD_AT, Value::Number(now.as_millisecond())),
    ]
}

/// How many items were dropped lately because their webhook does not take them any more.
#[must_use]
pub fn dropped(row: Option<&Row>) -> u64 {
    number(row, DROPPED).and_then(|items| u64::try_from(items).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::fixtures::at;
    use crate::id::ItemId;
    use crate::notice::{self, Subject};
    use crate::streak::Rule;

    fn delivery(item: u128, accepted: i64, item_type: &ItemType) -> Delivery {
        let attributes = [
            ("account", AccountId::from_bits(1).to_string()),
            ("webhook", WebhookId::from_bits(2).to_string()),
            ("item", ItemId::from_bits(item).to_string()),
            ("type", item_type.to_string()),
            ("source", "bot:b".to_owned()),
            ("accepted_at", at(accepted).as_millisecond().to_string()),
            ("attempt", "1".to_owned()),
            ("revision", "1".to_owned()),
            ("encoding", "text".to_owned()),
        ];
        let attribute =
            |name: &str| attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        Delivery::from_message("{}", attribute).unwrap()
    }

    fn deaths(item: u128, accepted: i64) -> Deaths {
        let dead = delivery(item, accepted, &ItemType::EVENT);
        Deaths::group([(&dead, DeathCause::Exhausted)]).remove(0)
    }

    fn notices(row: &Row, now: Timestamp) -> Vec<notice::Notice> {
        let (account, webhook) = (AccountId::from_bits(1), WebhookId::from_bits(2));
        let subject = Subject {
            account: &account,
            webhook: &webhook,
            url: "https://example.com/",
            item_type: &ItemType::EVENT,
        };
        let rule = Rule { threshold: 10, block: Duration::from_secs(60), raises_notices: true };
        notice::due(row, &subject, rule, now)
    }

    #[test]
    fn deaths_are_grouped_and_notices_left_out() {
        let dead = [
            delivery(1, 50, &ItemType::EVENT),
            delivery(2, 40, &ItemType::EVENT),
            delivery(3, 10, &ItemType::NOTICE),
            delivery(4, 60, &ItemType::MESSAGE),
        ];
        let groups = Deaths::group(dead.iter().map(|delivery| (delivery, DeathCause::RetentionOver)));
        let counts: Vec<_> = groups.iter().map(|group| (group.items, group.oldest.item.clone())).collect();
        let id = |bits| ItemId::from_bits(bits).to_string();
        assert_eq!(counts, [(2, id(2)), (1, id(4))]);
        assert_eq!(groups[0].oldest.cause, "retention_over");
    }

    #[test]
    fn the_first_death_is_told_at_once_and_more_after_an_hour() {
        let mut row = None;
        assert!(count_deaths(None, &deaths(1, 50), at(100)).apply(&mut row));
        assert!(count_deaths(row.clone().as_ref(), &deaths(2, 40), at(101)).apply(&mut row));
        let first = notices(row.as_ref().unwrap(), at(101));
        let body: Json = serde_json::from_slice(&first[0].body).unwrap();
        assert_eq!(body["type"], "webhook.dead");
        assert_eq!(body["data"]["items"], 2);
        assert_eq!(
            body["data"]["oldest"],
            json!({"id": ItemId::from_bits(2), "accepted_at": crate::time::shown(at(40)), "cause": "exhausted"})
        );
        assert!(notice::mark_sent(&row.clone().unwrap(), &first, at(102)).apply(&mut row));

        assert!(count_deaths(row.clone().as_ref(), &deaths(3, 60), at(200)).apply(&mut row));
        let due = 102 + 3600;
        assert_eq!(row.as_ref().unwrap().get(DUE_AT), Some(&Value::Number(due * 1000)));
        assert!(notices(row.as_ref().unwrap(), at(due - 1)).is_empty());
        // A look that comes too early leaves its time.
        assert!(notice::mark_sent(&row.clone().unwrap(), &[], at(300)).apply(&mut row));
        assert_eq!(row.as_ref().unwrap().get(DUE_AT), Some(&Value::Number(due * 1000)));
        let second = notices(row.as_ref().unwrap(), at(due));
        assert_eq!(second.len(), 1);
        assert_ne!(second[0].id, first[0].id);
    }

    #[test]
    fn a_death_that_comes_while_a_notice_is_sent_is_told_next() {
        let mut row = None;
        assert!(count_deaths(None, &deaths(1, 50), at(100)).apply(&mut row));
        let read = row.clone().unwrap();
        let sent = notices(&read, at(100));
        assert!(count_deaths(row.clone().as_ref(), &deaths(2, 60), at(101)).apply(&mut row));
        assert!(notice::mark_sent(&read, &sent, at(102)).apply(&mut row));
        assert!(count_deaths(row.clone().as_ref(), &deaths(3, 70), at(103)).apply(&mut row));
        assert_eq!(unreported(row.as_ref().unwrap()), 2);
    }

    #[test]
    fn a_tally_that_changed_since_it_was_read_refuses() {
        let mut row = None;
        assert!(count_deaths(None, &deaths(1, 50), at(100)).apply(&mut row));
        assert!(!count_deaths(None, &deaths(2, 40), at(100)).apply(&mut row));
    }

    #[test]
    fn drops_are_counted_and_kept_for_two_weeks() {
        let mut row = None;
        assert!(count_dropped(2, at(0)).apply(&mut row) && count_dropped(3, at(10)).apply(&mut row));
        assert_eq!(dropped(row.as_ref()), 5);
        assert_eq!(row.unwrap().get(EXPIRES_AT), Some(&Value::Number(10 + 14 * 24 * 3600)));
        assert_eq!(dropped(None), 0);
    }
}
