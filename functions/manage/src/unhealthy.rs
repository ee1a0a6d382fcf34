//! `GET /unhealthy`: what is blocked, failing or disabled now, or has dead items, across accounts. The operator's.
//!
//! The indexes of the streaks and of the configuration hold the rows ([`carteiro_adapters::tables::unhealthy`]); what
//! they show is looked up, because a block ends by time and not by a write. The list is in a fixed order: part by part,
//! the streaks of a part by webhook and then its disabled webhooks. A page is bounded in queries, and may so be short,
//! even empty, and go on.

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::http_api::json;
use carteiro_adapters::tables::unhealthy::{PARTS, Place};
use carteiro_core::cursor;
use carteiro_core::id::{AccountId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::message::LastError;
use carteiro_core::problem::FieldError;
use carteiro_core::streak::{Details, Phase, State, shown_failures};
use carteiro_core::tally;
use carteiro_core::transition::Row;
use carteiro_core::webhook::Webhook;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::call::{Call, Response};
use crate::context::Manage;
use crate::openapi::examples;
use crate::webhooks::RESERVE;
use crate::{answers, lists};

/// The list, as cursors name it.
const LIST: &str = "unhealthy";

/// How many rows are looked up together: each may need a webhook, a streak and its account's slow attempts, and one
/// read takes a hundred.
const TOGETHER: u16 = 30;

/// The most queries of a page.
const MAX_QUERIES: usize = 64;

/// Up to how many dead items of a webhook and type are counted.
const EXACT: usize = 1000;

/// How many counts of dead items are made at once.
const COUNTS_AT_ONCE: usize = 4;

/// What is wrong with a webhook, or with one item type of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trouble {
    /// Nothing of the type is sent.
    Blocked,
    /// The last attempts of the type failed.
    Failing,
    /// The webhook is disabled.
    Disabled,
    /// Items of the type are dead.
    Dead,
}

impl Trouble {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Blocked, Self::Failing, Self::Disabled, Self::Dead];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Failing => "failing",
            Self::Disabled => "disabled",
            Self::Dead => "dead",
        }
    }
}

/// Where a page goes on: a part of the indexes, and the place in it.
struct Resume {
    /// Twice the part; odd for its disabled webhooks.
    step: u8,
    after: Option<Place>,
}

impl Resume {
    fn read(text: &str) -> Option<Self> {
        let (step, place) = text.split_once(' ')?;
        let step = step.parse().ok().filter(|step| *step < 2 * PARTS)?;
        let after = if place.is_empty() { None } else { Some(Place::read(place)?) };
        Some(Self { step, after })
    }

    fn text(&self) -> String {
        format!("{} {}", self.step, self.after.as_ref().map(Place::text).unwrap_or_default())
    }

    /// The place after a query that ended at `last`; None after the last part.
    fn next(step: u8, last: Option<Place>) -> Option<Self> {
        match last {
            Some(last) => Some(Self { step, after: Some(last) }),
            None => (step + 1 < 2 * PARTS).then_some(Self { step: step + 1, after: None }),
        }
    }
}

/// List what is unhealthy
///
/// What is blocked, failing or disabled now, or has dead items, across accounts. A type that is healthy is not in it,
/// nor is a block that is over. Dead items are listed where they died within 14 days. A page may be shorter than
/// `limit`, even empty, and go on at `next`. What an update found failing or disabled is listed from its next failure
/// or change on.
#[utoipa::path(
    get,
    path = "/unhealthy",
    operation_id = "listUnhealthy",
    tag = "accounts",
    security(("adminKey" = [])),
    responses(
        (
            status = 200, description = "A page of it.",
            body = answers::UnhealthyList,
            example = json!(examples::unhealthy()),
        ),
    ),
)]
pub(crate) async fn list(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    call.admin()?;
    let mut errors = Vec::new();
    let state =
        request.query("state").map(|name| Trouble::ALL.into_iter().find(|state| state.as_str() == name));
    if state == Some(None) {
        let names = Trouble::ALL.map(Trouble::as_str).join(", ");
        errors.push(FieldError::new("state", format!("one of {names} is expected")));
    }
    if request.query("account").is_some() {
        errors.push(FieldError::new("account", "this list is of all accounts"));
    }
    let state = state.flatten();
    let list = format!("{LIST} {}", state.map_or("", Trouble::as_str));
    let position = lists::position_after(errors, request, &list, |key| Resume::read(key).is_some())?;
    let mut at = position.after.as_deref().and_then(Resume::read).or(Some(Resume { step: 0, after: None }));
    let mut data = Vec::new();
    for _ in 0..MAX_QUERIES {
        let room = usize::from(position.limit) - data.len();
        let Some(resume) = at.take_if(|_| room > 0 && clock.left() >= RESERVE) else { break };
        let most = u16::try_from(room).unwrap_or(TOGETHER).min(TOGETHER);
        let (found, last) = page(manage, &resume, (most, state), clock.now()).await?;
        let wanted = found.into_iter().filter(|one| state.is_none_or(|state| one.trouble == state));
        data.extend(wanted.map(|one| one.shown));
        at = Resume::next(resume.step, last);
    }
    let next = at.map(|resume| cursor::encode(&list, &resume.text()));
    Ok(json(200, &answers::UnhealthyList { data, next }))
}

/// A page of a part, and the place where it ended. Dead items are counted only where they are asked for.
async fn page(
    manage: &Manage,
    resume: &Resume,
    (most, state): (u16, Option<Trouble>),
    now: Timestamp,
) -> Result<(Vec<Unhealthy>, Option<Place>), AdapterError> {
    let (part, after) = (resume.step / 2, resume.after.as_ref());
    if resume.step % 2 == 1 {
        let (wanted, last) = manage.config.disabled(part, most, after).await?;
        if wanted.is_empty() {
            return Ok((Vec::new(), last));
        }
        let read = manage.config.find_webhooks(&wanted, &manage.streaks, &[]).await?;
        let webhooks = wanted.iter().filter_map(|(_, id)| read.webhooks.get(id)?.as_ref().ok());
        return Ok((webhooks.filter_map(Unhealthy::disabled).collect(), last));
    }
    let (keys, last) = manage.streaks.unhealthy(part, most, after).await?;
    if keys.is_empty() {
        return Ok((Vec::new(), last));
    }
    let mut wanted: Vec<(AccountId, WebhookId)> =
        keys.iter().map(|key| (key.account.clone(), key.webhook.clone())).collect();
    // A read of keys refuses one that is named twice.
    wanted.dedup();
    let read = manage.config.find_webhooks(&wanted, &manage.streaks, &keys).await?;
    let looks = stream::iter(&keys).map(|key| async {
        let Some(Ok(webhook)) = read.webhooks.get(&key.webhook) else { return Ok(None) };
        if key.revision == tally::REVISION && state.is_some_and(|state| state != Trouble::Dead) {
            return Ok(None);
        }
        if key.revision == tally::REVISION {
            let dead = manage.dead.count(&key.webhook, key.item_type.as_str(), EXACT, now).await?;
            return Ok(Unhealthy::dead(webhook, &key.item_type, dead));
        }
        // What an older revision left is nobody's any more.
        let row = read.streaks.get(key).filter(|_| key.revision == webhook.revision);
        Ok::<_, AdapterError>(Unhealthy::of_streak(webhook, manage.threshold, &key.item_type, row, now))
    });
    let found: Vec<Option<Unhealthy>> = looks.buffered(COUNTS_AT_ONCE).try_collect().await?;
    Ok((found.into_iter().flatten().collect(), last))
}

/// A webhook, or an item type of one, with which something is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Unhealthy {
    pub(crate) trouble: Trouble,
    pub(crate) shown: answers::Unhealthy,
}

impl Unhealthy {
    fn new(webhook: &Webhook, trouble: Trouble, item_type: Option<&ItemType>) -> Self {
        let shown = answers::Unhealthy {
            account: webhook.account.clone(),
            webhook: webhook.id.clone(),
            url: webhook.settings.url.redacted(),
            item_type: item_type.cloned(),
            state: trouble,
            failures: 0,
            threshold: None,
            blocked_at: None,
            blocked_until: None,
            disabled_by: webhook.disabled_by,
            last_error: None,
            dead: 0,
        };
        Self { trouble, shown }
    }

    /// A disabled webhook; None where it was enabled since the index showed it.
    pub(crate) fn disabled(webhook: &Webhook) -> Option<Self> {
        webhook.disabled_by.map(|_| Self::new(webhook, Trouble::Disabled, None))
    }

    /// Dead items of a type; None where there are none any more.
    pub(crate) fn dead(webhook: &Webhook, item_type: &ItemType, dead: usize) -> Option<Self> {
        let mut one = (dead > 0).then(|| Self::new(webhook, Trouble::Dead, Some(item_type)))?;
        one.shown.dead = dead.min(EXACT);
        Some(one)
    }

    /// A blocked or failing type; None where it is open. `deployment_threshold` is in force where the webhook sets
    /// none.
    pub(crate) fn of_streak(
        webhook: &Webhook,
        deployment_threshold: u32,
        item_type: &ItemType,
        row: Option<&Row>,
        now: Timestamp,
    ) -> Option<Self> {
        let threshold = webhook.settings.threshold.unwrap_or(deployment_threshold);
        let (trouble, failures, block) = match State::of(row, now).phase {
            Phase::Open => return None,
            Phase::Blocked { at, until } => (Trouble::Blocked, threshold, Some((at, until))),
            Phase::Failing { failures, .. } => (Trouble::Failing, shown_failures(failures, threshold), None),
        };
        let mut one = Self::new(webhook, trouble, Some(item_type));
        let last_error = row.map(Details::of).and_then(|details| details.last_error);
        let last_error: Option<LastError> = last_error.and_then(|text| serde_json::from_str(&text).ok());
        one.shown.failures = failures;
        one.shown.threshold = Some(threshold);
        one.shown.blocked_at = block.map(|(at, _)| at.into());
        one.shown.blocked_until = block.map(|(_, until)| until.into());
        one.shown.last_error = last_error.as_ref().map(LastError::told);
        Some(one)
    }
}

#[cfg(test)]
mod tests {
    use carteiro_core::address::PrivateTargets;
    use carteiro_core::credentials::{Credentials, Fresh};
    use carteiro_core::transition::Value as Attribute;
    use carteiro_core::webhook::Settings;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_goes_on_where_it_ended_and_ends_after_the_last_part() {
        let place = Place::read("wh_0a 0000000001#message").unwrap();
        let next = Resume::next(3, Some(place.clone())).unwrap();
        assert_eq!(next.text(), "3 wh_0a 0000000001#message");
        let read = Resume::read(&next.text()).unwrap();
        assert_eq!((read.step, read.after), (3, Some(place)));
        let next = Resume::next(3, None).unwrap();
        assert_eq!((next.step, next.text()), (4, "4 ".to_owned()));
        assert!(Resume::read("4 ").unwrap().after.is_none());
        assert!(Resume::next(2 * PARTS - 1, None).is_none());
        for other in ["", "4", "32 ", "-1 ", "x ", "4 A b", "4 a"] {
            assert!(Resume::read(other).is_none(), "{other}");
        }
    }

    #[test]
    fn what_is_over_or_healthy_is_not_listed() {
        let given = json!({"url": "https://hooks.example.com/?key=1", "items": ["message"]});
        let settings = Settings::from_json(given.as_object().unwrap(), &PrivateTargets::default()).unwrap();
        let secret = Fresh::from_random([1; 32], [2; 32]).secret;
        let (id, account) = (WebhookId::from_bits(1), AccountId::from_bits(2));
        let webhook =
            Webhook::new(id, account, settings, Credentials::new(secret, None), Timestamp::UNIX_EPOCH);
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let block = Row::from([
            ("failures", Attribute::Number(1000)),
            ("epoch", Attribute::Text("e".to_owned())),
            ("blocked_at", Attribute::Number(now.as_millisecond())),
            ("blocked_until", Attribute::Number(now.as_millisecond() + 14_400_000)),
        ]);
        let of = |row, now| Unhealthy::of_streak(&webhook, 1000, &ItemType::MESSAGE, row, now);
        let shown = of(Some(&block), now).unwrap().shown;
        assert_eq!((shown.state, shown.failures, shown.threshold), (Trouble::Blocked, 1000, Some(1000)));
        assert_eq!(shown.url, "https://hooks.example.com/?key=***");
        assert!(of(Some(&block), "2026-11-21T16:00:00Z".parse().unwrap()).is_none());
        assert!(of(None, now).is_none() && Unhealthy::disabled(&webhook).is_none());
        assert!(Unhealthy::dead(&webhook, &ItemType::MESSAGE, 0).is_none());
        assert_eq!(Unhealthy::dead(&webhook, &ItemType::MESSAGE, 1001).unwrap().shown.dead, 1000);
    }
}
