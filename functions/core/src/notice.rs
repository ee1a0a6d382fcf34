//! Notices of Carteiro to an account about its webhooks, as items of type `notice`.
//!
//! A pending notice stands on the streak's row, left by the write that caused it ([`crate::streak`]), and is removed
//! when it was sent. There is one id for each (streak or block, kind), so that a notice that is sent twice is
//! recognisable.
//!
//! The notice that a 410 disabled a webhook stands on a row of its own, for the revision as a whole, left together with
//! the change of the webhook; its id is of that change.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::id::{AccountId, ItemId, WebhookId};
use crate::item::ItemType;
use crate::message::LastError;
use crate::redacted_url::redacted;
use crate::situation::{self, Facts, Plight};
use crate::streak::{
    BLOCK_NOTICE, DISABLED_NOTICE, DUE_AT, Details, EPOCH, EXPIRES_AT, LAST_ERROR, RELEASE_NOTICE, Rule,
    State, TELLING_UNTIL, WARNING, block_of, shown_failures,
};
use crate::tally::{self, DEAD_NOTICE};
use crate::time;
use crate::transition::{Change, Condition, Effect, Row, Value, Write};
use crate::webhook::DisabledBy;

/// How long a row keeps the notice that its webhook was disabled. Ticks come far more often.
const DISABLED_NOTICE_KEPT: Duration = Duration::from_secs(14 * 24 * 3600);

/// The streak that a notice is about.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The webhook's account.
    pub account: &'a AccountId,
    /// The webhook.
    pub webhook: &'a WebhookId,
    /// Where it points, whole. A notice shows it without the values of its query: it goes to other receivers.
    pub url: &'a str,
    /// The item type; [`ItemType::WHOLE_WEBHOOK`] for a notice about the webhook as a whole.
    pub item_type: &'a ItemType,
}

/// A notice that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The item's id, which receivers see as `webhook-id`.
    pub id: ItemId,
    /// Its bytes, in the form of Standard Webhooks: `type`, `timestamp`, `data`.
    pub body: Vec<u8>,
    attribute: &'static str,
    value: String,
}

impl Notice {
    /// Whether it tells that a block ended.
    #[must_use]
    pub fn is_of_a_blocks_end(&self) -> bool {
        self.attribute == RELEASE_NOTICE
    }
}

/// The notices on a row that are due at `now`.
#[must_use]
pub fn due(row: &Row, subject: &Subject<'_>, rule: Rule, now: Timestamp) -> Vec<Notice> {
    let text = |name: &'static str| match row.get(name) {
        Some(Value::Text(text)) => Some((name, text.clone())),
        _ => None,
    };
    let block = block_of(row);
    let released = block.is_none_or(|(_, until)| until <= now);
    let dead = tally::notice_due_at(row).is_some_and(|due| due <= now.as_millisecond());
    let pending = [
        text(WARNING),
        text(BLOCK_NOTICE),
        text(RELEASE_NOTICE).filter(|_| released),
        text(DISABLED_NOTICE),
        text(DEAD_NOTICE).filter(|_| dead),
    ];
    let notice = |(attribute, value): (&'static str, String)| {
        let (kind, data) = content(attribute, &value, row, subject, rule, now);
        let body = json!({"type": kind, "timestamp": time::shown(now), "data": data});
        Notice { id: id(attribute, &value, subject), body: body.to_string().into_bytes(), attribute, value }
    };
    pending.into_iter().flatten().map(notice).collect()
}

fn id(attribute: &str, value: &str, subject: &Subject<'_>) -> ItemId {
    let parts = ["carteiro notice 1", subject.webhook.as_str(), subject.item_type.as_str(), attribute, value];
    ItemId::of_parts(parts.map(str::as_bytes))
}

fn content(
    attribute: &'static str,
    value: &str,
    row: &Row,
    subject: &Subject<'_>,
    rule: Rule,
    now: Timestamp,
) -> (&'static str, Json) {
    if attribute == DEAD_NOTICE {
        return ("webhook.dead", deaths(row, subject));
    }
    let last_error: Option<LastError> =
        Details::of(row).last_error.and_then(|text| serde_json::from_str(&text).ok());
    let url = redacted(subject.url);
    let told = last_error.as_ref().map(LastError::told);
    let mut data = json!({"webhook": subject.webhook, "url": url, "last_error": told});
    if attribute == DISABLED_NOTICE {
        data["disabled_by"] = json!(DisabledBy::Gone);
        return ("webhook.disabled", data);
    }
    data["item_type"] = json!(subject.item_type);
    data["threshold"] = json!(rule.threshold);
    match attribute {
        WARNING => {
            let percent = value.rsplit('#').next().and_then(|percent| percent.parse::<u32>().ok());
            data["percent"] = json!(percent);
            let failures = State::of(Some(row), now).failures();
            data["failures"] = json!(shown_failures(failures, rule.threshold));
            ("webhook.failing", data)
        }
        BLOCK_NOTICE => {
            data["failures"] = json!(rule.threshold);
            if let Some((at, until)) = block_of(row) {
                data["blocked_at"] = json!(time::shown(at));
                data["blocked_until"] = json!(time::shown(until));
                // A notice is of its streak's row alone: of other types and of held items it says nothing.
                let facts = Facts {
                    item_type: subject.item_type,
                    plight: Plight::Blocked { failures: rule.threshold, at, until },
                    going_on: &[],
                    also_blocked: &[],
                    held: None,
                    while_blocked: None,
                    discarded: 0,
                    last_error: last_error.as_ref(),
                };
                data["message"] = json!(situation::message(&facts));
            }
            ("webhook.blocked", data)
        }
        _ => ("webhook.released", data),
    }
}

/// The data of a notice of deaths: how many items died since the last one, and which of them was accepted first.
fn deaths(row: &Row, subject: &Subject<'_>) -> Json {
    let oldest = tally::oldest(row).map(|oldest| {
        json!({"id": oldest.item, "accepted_at": time::shown(oldest.accepted_at), "cause": oldest.cause})
    });
    json!({
        "webhook": subject.webhook,
        "url": redacted(subject.url),
        "item_type": subject.item_type,
        "items": tally::unreported(row),
        "oldest": oldest,
    })
}

/// Leaves the notice that a 410 disabled a webhook, on the row of its revision as a whole. `version` is the webhook's
/// after that change, so that a webhook that is enabled and gone again has another notice. `last_error` is the 410, as
/// a streak remembers its last failure.
#[must_use]
pub fn disabled(version: u64, last_error: &str, now: Timestamp) -> Write {
    let forgotten = now.checked_add(DISABLED_NOTICE_KEPT).unwrap_or(Timestamp::MAX);
    Write {
        name: "disabled",
        condition: Condition::All(Vec::new()),
        effect: Effect::Update(vec![
            Change::Set(DISABLED_NOTICE, Value::Text(version.to_string())),
            Change::Set(LAST_ERROR, Value::Text(last_error.to_owned())),
            Change::Set(DUE_AT, Value::Number(now.as_millisecond())),
            Change::Set(EXPIRES_AT, Value::Number(forgotten.as_second())),
        ]),
    }
}

/// The conditions that no other notice came since the row was read, and that no block was ended, which would bring a
/// release's time forward.
fn as_read(row: &Row) -> Vec<Condition> {
    let as_read = |name: &'static str| match row.get(name) {
        Some(value) => Condition::Is(name, value.clone()),
        None => Condition::Missing(name),
    };
    [WARNING, BLOCK_NOTICE, RELEASE_NOTICE, DISABLED_NOTICE, DEAD_NOTICE, EPOCH].map(as_read).to_vec()
}

/// Claims the sending of a row's notices until `until`, if nobody else has.
#[must_use]
pub fn claim(row: &Row, now: Timestamp, until: Timestamp) -> Write {
    let mut clauses = as_read(row);
    clauses.push(Condition::Any(vec![
        Condition::Missing(TELLING_UNTIL),
        Condition::AtMost(TELLING_UNTIL, now.as_millisecond()),
    ]));
    Write {
        name: "claim_telling",
        condition: Condition::All(clauses),
        effect: Effect::Update(vec![Change::Set(TELLING_UNTIL, Value::Number(until.as_millisecond()))]),
    }
}

/// Whether somebody is sending a row's notices.
#[must_use]
pub fn is_being_sent(row: &Row, now: Timestamp) -> bool {
    matches!(row.get(TELLING_UNTIL), Some(Value::Number(until)) if *until > now.as_millisecond())
}

/// Removes the notices that were sent, if no other came since the row was read. A notice that is left is due at its own
/// time: a release at the block's end, deaths when their interval is over.
#[must_use]
pub fn mark_sent(row: &Row, sent: &[Notice], now: Timestamp) -> Write {
    let is_sent = |attribute: &str| sent.iter().any(|notice| notice.attribute == attribute);
    let mut changes = Vec::new();
    for notice in sent {
        match notice.attribute {
            DEAD_NOTICE => changes.extend(tally::sent(row, now)),
            attribute => changes.push(Change::Remove(attribute)),
        }
    }
    let release = block_of(row).filter(|_| row.contains_key(RELEASE_NOTICE) && !is_sent(RELEASE_NOTICE));
    let release = release.map(|(_, until)| until.as_millisecond());
    let deaths = tally::notice_due_at(row).filter(|_| !is_sent(DEAD_NOTICE));
    changes.push(match release.or(deaths) {
        Some(due) => Change::Set(DUE_AT, Value::Number(due)),
        None => Change::Remove(DUE_AT),
    });
    changes.push(Change::Remove(TELLING_UNTIL));
    Write { name: "told", condition: Condition::All(as_read(row)), effect: Effect::Update(changes) }
}

/// Whether a write leaves a notice.
#[must_use]
pub fn is_left_by(write: &Write) -> bool {
    match &write.effect {
        Effect::Delete => false,
        Effect::Update(changes) => changes.iter().any(|change| matches!(change, Change::Set(DUE_AT, _))),
    }
}

/// Whether a write leaves a notice that is due at `now`.
#[must_use]
pub fn is_left_by_now(write: &Write, now: Timestamp) -> bool {
    let is_due = |change: &Change| matches!(change, Change::Set(DUE_AT, Value::Number(due)) if *due <= now.as_millisecond());
    matches!(&write.effect, Effect::Update(changes) if changes.iter().any(is_due))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;
    use crate::outcome::FailureKind;
    use crate::streak::{self, Counted, Over};

    const RULE: Rule = Rule { threshold: 10, block: Duration::from_secs(60), raises_notices: true };

    fn kinds(row: Option<&Row>, now: Timestamp) -> Vec<(String, ItemId)> {
        let (account, webhook) = (AccountId::from_bits(1), WebhookId::from_bits(2));
        let subject = Subject {
            account: &account,
            webhook: &webhook,
            url: "https://example.com/",
            item_type: &ItemType::EVENT,
        };
        let notices = row.map(|row| due(row, &subject, RULE, now)).unwrap_or_default();
        let kind = |notice: &Notice| {
            let body: Json = serde_json::from_slice(&notice.body).unwrap();
            (body["type"].as_str().unwrap().to_owned(), notice.id.clone())
        };
        notices.iter().map(kind).collect()
    }

    fn tell(row: &mut Option<Row>, now: Timestamp) -> bool {
        let (account, webhook) = (AccountId::from_bits(1), WebhookId::from_bits(2));
        let subject = Subject {
            account: &account,
            webhook: &webhook,
            url: "https://example.com/",
            item_type: &ItemType::EVENT,
        };
        let before = row.clone().unwrap();
        let notices = due(&before, &subject, RULE, now);
        mark_sent(&before, &notices, at(0)).apply(row)
    }

    fn counted(failures: u32) -> Counted {
        Counted {
            failures,
            last_error: r#"{"error":"timeout","status":null,"at":"2026-11-21T12:00:00Z"}"#.into(),
            timeouts_only: true,
        }
    }

    #[test]
    fn a_warning_a_block_and_a_release_have_one_notice_each() {
        let mut row = None;
        let start = streak::start(None, &counted(6), RULE, "s", at(0));
        assert!(is_left_by(&start) && start.apply(&mut row));
        assert_eq!(kinds(row.as_ref(), at(1))[0].0, "webhook.failing");
        assert!(tell(&mut row, at(1)));
        assert!(kinds(row.as_ref(), at(1)).is_empty());
        assert!(streak::block(None, &counted(4), RULE, "e", at(2)).apply(&mut row));
        let blocked = kinds(row.as_ref(), at(3));
        assert_eq!(blocked.len(), 1);
        assert_eq!(blocked[0].0, "webhook.blocked");
        assert_eq!(kinds(row.as_ref(), at(3)), blocked, "the same id until it is told");
        assert!(tell(&mut row, at(3)));
        assert_eq!(
            row.as_ref().unwrap().get(DUE_AT),
            Some(&Value::Number(62_000)),
            "the release, at the block's end"
        );
        assert!(kinds(row.as_ref(), at(61)).is_empty());
        assert_eq!(kinds(row.as_ref(), at(62))[0].0, "webhook.released");
        assert!(tell(&mut row, at(62)));
        assert!(kinds(row.as_ref(), at(63)).is_empty() && !row.unwrap().contains_key(DUE_AT));
    }

    #[test]
    fn what_came_to_be_told_meanwhile_is_not_lost() {
        let mut row = None;
        assert!(streak::start(None, &counted(6), RULE, "s", at(0)).apply(&mut row));
        let read = row.clone().unwrap();
        assert!(streak::add(None, &counted(1), RULE, "s", 6, at(1)).apply(&mut row));
        assert!(!mark_sent(&read, &[], at(0)).apply(&mut row), "a further warning came");
        assert_eq!(kinds(row.as_ref(), at(1)).len(), 1);
    }

    #[test]
    fn one_at_a_time_tells_and_a_dead_one_is_followed_by_another() {
        let mut row = None;
        assert!(streak::start(None, &counted(6), RULE, "s", at(0)).apply(&mut row));
        let read = row.clone().unwrap();
        assert!(claim(&read, at(1), at(61)).apply(&mut row));
        assert!(!claim(&read, at(2), at(62)).apply(&mut row));
        assert!(
            is_being_sent(row.as_ref().unwrap(), at(60)) && !is_being_sent(row.as_ref().unwrap(), at(61))
        );
        assert!(claim(&read, at(61), at(121)).apply(&mut row));
        assert!(mark_sent(&read, &[], at(0)).apply(&mut row));
        assert!(!is_being_sent(row.as_ref().unwrap(), at(62)));
    }

    #[test]
    fn an_unblock_is_a_release_too() {
        let mut row = None;
        assert!(streak::block(None, &counted(10), RULE, "e", at(0)).apply(&mut row));
        assert!(streak::unblock("u", at(1)).apply(&mut row));
        let told: Vec<_> = kinds(row.as_ref(), at(1)).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(told, ["webhook.blocked", "webhook.released"]);
    }

    #[test]
    fn a_new_revision_brings_the_notice_of_a_release_forward() {
        let mut row = None;
        assert!(streak::block(None, &counted(10), RULE, "e", at(0)).apply(&mut row));
        let id = kinds(row.as_ref(), at(60))[1].clone();
        assert_eq!(id.0, "webhook.released");
        assert!(tell(&mut row, at(1)), "the block");
        assert!(streak::retire(Over::ReplacedWithRelease, at(2)).apply(&mut row));
        assert_eq!(row.as_ref().unwrap().get(DUE_AT), Some(&Value::Number(2000)));
        assert_eq!(kinds(row.as_ref(), at(2)), [id], "under the id that it would have had");
        assert!(tell(&mut row, at(2)));
        assert!(kinds(row.as_ref(), at(100)).is_empty() && !row.unwrap().contains_key(DUE_AT));
    }

    #[test]
    fn notifying_of_an_ended_block_does_not_delay_its_release() {
        for end in [streak::unblock("u", at(2)), streak::retire(Over::ReplacedWithRelease, at(2))] {
            let mut row = None;
            assert!(streak::block(None, &counted(10), RULE, "e", at(0)).apply(&mut row));
            let read = row.clone().unwrap();
            assert!(end.apply(&mut row));
            assert!(!mark_sent(&read, &[], at(0)).apply(&mut row), "{}", end.name);
            assert_eq!(row.unwrap().get(DUE_AT), Some(&Value::Number(2000)));
        }
    }

    #[test]
    fn each_disabling_is_told_once_with_the_response_that_did_it() {
        let error = r#"{"error":"status","status":410,"at":"2026-11-21T12:00:00Z"}"#;
        let (account, webhook) = (AccountId::from_bits(1), WebhookId::from_bits(2));
        let subject = Subject {
            account: &account,
            webhook: &webhook,
            url: "https://example.com/?token=s3cret",
            item_type: &ItemType::WHOLE_WEBHOOK,
        };
        let mut row = None;
        let mut ids = Vec::new();
        for version in [3, 5] {
            let write = disabled(version, error, at(0));
            assert!(is_left_by(&write) && write.apply(&mut row));
            let before = row.clone().unwrap();
            let notices = due(&before, &subject, RULE, at(0));
            assert_eq!(notices, due(&before, &subject, RULE, at(0)));
            assert_eq!(notices.len(), 1);
            let body: Json = serde_json::from_slice(&notices[0].body).unwrap();
            assert_eq!(body["type"], "webhook.disabled");
            let mut last_error: Json = serde_json::from_str(error).unwrap();
            last_error["at"] = json!("2026-11-21T12:00:00.000Z");
            last_error["message"] = json!(crate::message::failure(FailureKind::Status, Some(410)));
            assert_eq!(
                body["data"],
                json!({
                    "webhook": webhook, "url": "https://example.com/?token=***", "disabled_by": "gone",
                    "last_error": last_error,
                })
            );
            ids.push(notices[0].id.clone());
            assert!(mark_sent(&before, &notices, at(0)).apply(&mut row));
            let left = row.as_ref().unwrap();
            assert!(due(left, &subject, RULE, at(9)).is_empty() && !left.contains_key(DUE_AT));
            assert!(left.contains_key(EXPIRES_AT));
        }
        assert_ne!(ids[0], ids[1], "another disabling is another notice");
    }

    #[test]
    fn streaks_of_notices_leave_nothing_to_be_told() {
        let silent = Rule { raises_notices: false, ..RULE };
        let mut row = None;
        assert!(streak::start(None, &counted(9), silent, "s", at(0)).apply(&mut row));
        assert!(streak::block(None, &counted(1), silent, "e", at(1)).apply(&mut row));
        assert!(kinds(row.as_ref(), at(100)).is_empty());
    }
}
