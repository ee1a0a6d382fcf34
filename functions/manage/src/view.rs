//! Webhooks and pages, as a customer sees them.

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::tables::poll::Schedule;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::item::ItemType;
use carteiro_core::message::{self, Block, LastError};
use carteiro_core::streak::{Details, Phase, State, shown_failures};
use carteiro_core::tally;
use carteiro_core::time;
use carteiro_core::transition::Row;
use carteiro_core::webhook::Webhook;
use carteiro_networks::freshness::Counts;
use carteiro_networks::page::{Page, TickResult};
use carteiro_networks::page_notice;
use carteiro_networks::push::subscription::SubscriptionState;
use futures_util::future::try_join;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::context::Manage;

/// Up to how many held or dead items of a type are counted exactly.
const EXACT: usize = 1000;

/// A webhook, without its secret, its private key and the values of its headers.
pub(crate) fn webhook(webhook: &Webhook, now: Timestamp) -> Value {
    let (settings, credentials) = (&webhook.settings, &webhook.credentials);
    let public_key = credentials.public_key();
    json!({
        "id": webhook.id,
        "url": settings.url,
        "items": settings.items,
        "sources": settings.sources,
        "headers": settings.masked_headers(),
        "while_blocked": settings.while_blocked,
        "log": settings.log,
        "description": settings.description,
        "enabled": settings.enabled,
        "disabled_by": webhook.disabled_by,
        "threshold": settings.threshold,
        "block_seconds": settings.block_seconds,
        "key_pair": public_key.is_some(),
        "public_key": public_key,
        "replaced_until": credentials.replaced_until(now).map(time::shown),
        "revision": webhook.revision,
        "created_at": time::shown(webhook.created_at),
        "updated_at": time::shown(webhook.updated_at),
    })
}

/// A webhook with its secret: in the answer to what made that secret, and nowhere else.
pub(crate) fn with_secret(webhook: &Webhook, now: Timestamp) -> Value {
    let mut shown = self::webhook(webhook, now);
    shown["secret"] = Value::String(webhook.credentials.secret().reveal());
    shown
}

/// A page with its schedule and without its token; with its freshness, where that was read and something came.
pub(crate) fn page(
    page: &Page,
    schedule: Option<&Schedule>,
    freshness: Option<&Counts>,
    now: Timestamp,
) -> Value {
    let token = &page.token;
    let time = |at: Option<Timestamp>| at.map(time::shown);
    let last_tick = schedule.and_then(|schedule| schedule.last.as_ref()).map(|last| {
        json!({
            "at": time::shown(last.at), "result": last.result, "new": last.new, "calls": last.calls,
            "more": last.result == TickResult::More,
            "cause": last.cause,
            "message": last.cause.map(|cause| cause.message(page.network)),
        })
    });
    let silence = schedule.and_then(|schedule| schedule.silence.as_ref());
    json!({
        "id": page.id,
        "network": page.network,
        "network_id": page.network_id,
        "name": page.name,
        "delivery": page.delivery,
        "login": page.login,
        "ad_account": page.ad_account,
        "proven": page.proven,
        "token": {
            "state": token.state,
            "expires_at": time(token.expires_at),
            "consent_ends_at": time(token.consent_ends_at),
            "permission": token.permission,
            "since": time(token.since),
            "why": token.why,
            "message": page_notice::message(page, now),
        },
        "push": push(page, schedule, now),
        "last_tick": last_tick,
        "next_at": time(schedule.and_then(|schedule| schedule.next_at)),
        "every_minutes": schedule.and_then(|schedule| schedule.every_minutes),
        "silence": silence.map(|silence| {
            json!({"since": time::shown(silence.since), "usual_hours": silence.usual_hours})
        }),
        "freshness": freshness.filter(|counts| !counts.is_empty()).map(Counts::shown),
        "created_at": time::shown(page.created_at),
        "updated_at": time::shown(page.updated_at),
    })
}

/// The page's subscription to its network's pushes; null where the network is not asked for any page by page.
fn push(page: &Page, schedule: Option<&Schedule>, now: Timestamp) -> Value {
    if page.network.spec().push.and_then(|push| push.subscription).is_none() {
        return Value::Null;
    }
    let known = schedule.and_then(|schedule| schedule.push.as_ref());
    let state = known.map_or(SubscriptionState::Off, |known| known.state(now));
    let until = known.and_then(|known| known.in_force_until(now)).map(time::shown);
    json!({"state": state, "until": until})
}

/// A webhook with the state of each item type that it takes.
pub(crate) async fn with_status(
    manage: &Manage,
    webhook: &Webhook,
    now: Timestamp,
) -> Result<Value, AdapterError> {
    let mut shown = self::webhook(webhook, now);
    shown["status"] = status(manage, webhook, now).await?;
    Ok(shown)
}

async fn status(manage: &Manage, webhook: &Webhook, now: Timestamp) -> Result<Value, AdapterError> {
    let key = |item_type: &ItemType| StreakKey {
        account: webhook.account.clone(),
        webhook: webhook.id.clone(),
        revision: webhook.revision,
        item_type: item_type.clone(),
    };
    let keys = ItemType::KNOWN.map(|item_type| key(&item_type));
    let tally =
        |key: &StreakKey| StreakKey::tally(key.account.clone(), key.webhook.clone(), key.item_type.clone());
    let wanted: Vec<_> = keys.iter().cloned().chain(keys.iter().map(tally)).collect();
    let rows = manage.streaks.read_all(&wanted).await?;
    let of_types = stream::iter(&keys).map(|key| async {
        let (id, item_type) = (&key.webhook, key.item_type.as_str());
        let counts = try_join(
            manage.held.items.count(id, item_type, EXACT, now),
            manage.dead.count(id, item_type, EXACT, now),
        );
        let (held, dead) = counts.await?;
        let waiting = Waiting { held, dead, dropped: tally::dropped(rows.get(&tally(key))) };
        // A type that is not taken is shown while items of it are held: they will not be sent.
        let is_shown = webhook.settings.items.contains(&key.item_type) || waiting.held > 0;
        let shown =
            is_shown.then(|| of_type(webhook, manage.threshold, &key.item_type, rows.get(key), waiting, now));
        Ok::<_, AdapterError>(shown.map(|shown| (item_type.to_owned(), shown)))
    });
    let of_types: Vec<Option<(String, Value)>> = of_types.buffered(3).try_collect().await?;
    Ok(Value::Object(Map::from_iter(of_types.into_iter().flatten())))
}

/// How many items of a type were not delivered, and where they are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    /// Held; counting ended above [`EXACT`].
    pub(crate) held: usize,
    /// Dead; counting ended above [`EXACT`].
    pub(crate) dead: usize,
    /// Dropped lately because the webhook does not take them any more.
    pub(crate) dropped: u64,
}

/// The state of one item type. `deployment_threshold` is in force where the webhook sets none.
pub(crate) fn of_type(
    webhook: &Webhook,
    deployment_threshold: u32,
    item_type: &ItemType,
    row: Option<&Row>,
    waiting: Waiting,
    now: Timestamp,
) -> Value {
    let threshold = webhook.settings.threshold.unwrap_or(deployment_threshold);
    let details = row.map(Details::of).unwrap_or_default();
    let phase = State::of(row, now).phase;
    let last_error: Option<LastError> = details.last_error.and_then(|text| serde_json::from_str(&text).ok());
    let (state, failures, block) = match phase {
        Phase::Blocked { at, until } => ("blocked", threshold, Some((at, until))),
        Phase::Failing { failures, .. } => ("open", shown_failures(failures, threshold), None),
        Phase::Open => ("open", 0, None),
    };
    let message = block.map(|(at, until)| {
        message::blocked(&Block { item_type, failures, at, until, last_error: last_error.as_ref() })
    });
    let mut status = json!({
        // A disabled webhook gets nothing, blocked or not.
        "state": if webhook.disabled_by.is_some() { "disabled" } else { state },
        "failures": failures,
        "threshold": threshold,
        "blocked_at": block.map(|(at, _)| time::shown(at)),
        "blocked_until": block.map(|(_, until)| time::shown(until)),
        "last_error": last_error.filter(|_| failures > 0).as_ref().map(LastError::told),
        "taken": webhook.settings.items.contains(item_type),
        "held": waiting.held.min(EXACT),
        "dead": waiting.dead.min(EXACT),
        "dropped": waiting.dropped,
        "discarded": if block.is_some() { details.discarded } else { 0 },
        "message": message,
    });
    if waiting.held > EXACT {
        status["held_more"] = Value::Bool(true);
    }
    if waiting.dead > EXACT {
        status["dead_more"] = Value::Bool(true);
    }
    status
}
