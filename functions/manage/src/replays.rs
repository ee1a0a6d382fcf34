//! `POST /webhooks/{id}/replay`, and the progress of replays.
//!
//! The request is stored before it is answered, and a tick finds it where the work message is lost. The collector does
//! the rest.

use std::fmt::Display;
use std::time::Duration;

use carteiro_adapters::queues::work::Work;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::http_api::{Failure, json};
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::waiting::held_item::HeldPlace;
use carteiro_adapters::tables::waiting::keys::{Replay, ReplayKey};
use carteiro_adapters::tables::waiting::replay::{CreatedReplay, ReplayProgress};
use carteiro_core::id::{ItemId, ReplayId};
use carteiro_core::item::ItemType;
use carteiro_core::problem::{FieldError, Problem};
use carteiro_core::replay::{Counts, MAX_ITEMS_AT_ONCE, Phase, Wanted};
use carteiro_core::retention::after;
use carteiro_core::webhook::Webhook;
use jiff::Timestamp;

use crate::call::{Call, Response};
use crate::context::Manage;
use crate::openapi::{examples, refusals, requests};
use crate::values::Time;
use crate::{answers, body, cancel, lists};

/// Send dead items again, or a held one now
///
/// Sends again one dead item, or all dead ones of a type that were accepted in a span of time. An item that is held
/// may be asked for by its id, too: its wait for a retry ends, and it is sent now, with the release of its type.
/// Nothing else can be replayed: of items that arrived nothing is kept, what was dropped or discarded is gone, and
/// what is in the queue is on its way. They go under the same `webhook-id`, with the same bytes and source, as first
/// attempts with a whole schedule and a whole retention before them, step by step as a release does, in the order of
/// their acceptance. So they wait for the end of a block, and for a disabled webhook to be enabled. One replay of a
/// type puts items on their way at a time; another is refused until then, for it would ask for the same items. Beside
/// it, 20 replays of single items may be taking theirs; many items are better asked for by their type and a span.
#[utoipa::path(
    post,
    path = "/webhooks/{webhook}/replay",
    operation_id = "replayDead",
    tag = "webhooks",
    security(("accountKey" = []), ("adminKey" = [])),
    request_body(
        content = requests::ReplayRequest,
        content_type = "application/json",
        description = "One item by its id, or a type, from a time on, up to another. Times are of acceptance; both may be left out.",
        examples(
            ("item" = (summary = "One item", value = json!({"item": "item_7d1a2b3c4d5e6f708192a3b4c5d6e7f8"}))),
            ("span" = (summary = "All messages that were accepted since a time", value = json!({"type": "message", "from": "2026-11-20T00:00:00Z"}))),
        ),
    ),
    responses(
        (
            status = 202, description = "It was stored, and begins. Ask for it by its id.",
            body = answers::Replay,
            example = json!(examples::new_replay()),
        ),
        (status = 409, response = refusals::ReplayRunning),
    ),
)]
pub(crate) async fn create(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    call.account()?;
    let wanted = Wanted::from_json(&body::object(request)?).map_err(Problem::invalid_fields)?;
    let webhook = call.webhook().await?;
    let replay = asked(manage, &webhook, wanted, clock).await?;
    match manage.held.replays.create(&replay).await? {
        CreatedReplay::Done => {}
        CreatedReplay::Running(other) => {
            return Err(running(other).into());
        }
        CreatedReplay::TooMany => {
            return Err(Problem::already_exists(format!(
                "{MAX_ITEMS_AT_ONCE} replays of single items are running for this webhook; wait a moment, or ask for all \
                 of a type and a span of time"
            ))
            .into());
        }
    }
    let ReplayKey { webhook, replay: id } = replay.key.clone();
    if call.is_operator() {
        let (account, webhook) = (replay.account.as_str(), webhook.as_str());
        tracing::info!(account, webhook, replay = id.as_str(), "replay.by_operator");
    }
    let work = Work::replay(replay.account.clone(), webhook, id);
    if let Err(error) = manage.work.send(&[(work, Duration::ZERO)]).await {
        let webhook = replay.key.webhook.as_str();
        tracing::warn!(webhook, error = error.chain(), "replay.not_hastened");
    }
    let progress = ReplayProgress { replay, counts: Counts::default(), taken_at: None, counted_at: None };
    Ok(json(202, &view(&progress)))
}

/// The refusal of a replay beside another one of its type.
pub(crate) fn running(other: impl Display) -> Problem {
    Problem::already_exists(format!(
        "{other} is taking dead items of this type; wait until it is not running any more, or ask again for what it leaves"
    ))
}

async fn asked(
    manage: &Manage,
    webhook: &Webhook,
    wanted: Wanted,
    clock: InvocationClock,
) -> Result<Replay, Failure> {
    let now = clock.now();
    let (item_type, item, from, to) = match wanted {
        Wanted::Span { item_type, from, to } => (item_type, None, from, to),
        Wanted::Item(item) => {
            let found = match manage.dead.find_item(&webhook.id, &item).await? {
                Some(found) => Some((found.item_type, found.first_accepted, found.last_accepted)),
                None => held_span(manage, webhook, &item, clock).await?,
            };
            let Some((item_type, first, last)) = found else { return Err(not_waiting(&item).into()) };
            (item_type, Some(item), Some(first), Some(after(last, Duration::from_millis(1))))
        }
    };
    if !webhook.settings.items.contains(&item_type) {
        let detail = format!("the webhook does not take {item_type}; add it to its items first");
        return Err(Problem::invalid_fields(vec![FieldError::new("type", detail)]).into());
    }
    Ok(Replay {
        key: ReplayKey { webhook: webhook.id.clone(), replay: ReplayId::made_at(now, random::bits64()?) },
        account: webhook.account.clone(),
        item_type,
        item,
        from,
        to,
        created_at: now,
        expires_at: manage.retention.replay_expires(now),
        place: 0,
    })
}

/// The type of a held item, and when its first and its last row were accepted; None where it is not held.
async fn held_span(
    manage: &Manage,
    webhook: &Webhook,
    item: &ItemId,
    clock: InvocationClock,
) -> Result<Option<(ItemType, Timestamp, Timestamp)>, Failure> {
    let found = cancel::find(manage, &webhook.id, item, clock).await?;
    let mut rows = found.places.iter().filter_map(HeldPlace::type_and_acceptance);
    let Some((item_type, first)) = rows.next() else {
        if found.is_whole {
            return Ok(None);
        }
        let detail = "so much is held for this webhook that there was no time to look through it; try again";
        return Err(Problem::unavailable(detail).into());
    };
    // The rows of a shard come in the order of acceptance, and an id belongs to one type.
    let last = rows.map(|(_, accepted_at)| accepted_at).fold(first, Timestamp::max);
    Ok(Some((item_type, first, last)))
}

fn not_waiting(item: &ItemId) -> Problem {
    Problem::not_found(format!(
        "{item} is neither dead nor held for this webhook: it arrived, is in the queue (a retry within 15 minutes is), was \
         dropped, is forgotten, or was never there. Only what is listed at /dead or /held can be replayed"
    ))
}

/// Read how far a replay is
///
/// What was asked for, and what became of the items so far. The counts are for people to read: where a function died,
/// one may be missing or be there twice, and a replay may so stay `releasing`. The items themselves are not lost by
/// that: what is on its way is listed at `/held`, what died again at `/dead`.
#[utoipa::path(
    get,
    path = "/webhooks/{webhook}/replay/{replay}",
    operation_id = "readReplay",
    tag = "webhooks",
    security(("accountKey" = []), ("adminKey" = [])),
    responses(
        (
            status = 200, description = "The replay.",
            body = answers::Replay,
            example = json!(examples::replay()),
        ),
    ),
)]
pub(crate) async fn read(call: &Call<'_>) -> Response {
    let Call { manage, request, .. } = *call;
    let webhook = call.webhook().await?;
    let not_found = || Problem::not_found("there is no such replay");
    let replay = request.path("replay").parse().map_err(|_| not_found())?;
    let progress = manage.held.replays.find(&ReplayKey { webhook: webhook.id, replay }).await?;
    Ok(json(200, &view(&progress.ok_or_else(not_found)?)))
}

/// List replays
///
/// This webhook's replays, the newest first. A replay is forgotten 7 days after the last of its items can have ended:
/// 21 days after it was asked for, unless the deployment's operator chose another retention.
#[utoipa::path(
    get,
    path = "/webhooks/{webhook}/replay",
    operation_id = "listReplays",
    tag = "webhooks",
    security(("accountKey" = []), ("adminKey" = [])),
    responses(
        (
            status = 200, description = "A page of them.",
            body = answers::ReplayList,
            example = json!(examples::replays()),
        ),
    ),
)]
pub(crate) async fn list(call: &Call<'_>) -> Response {
    let Call { manage, request, .. } = *call;
    let webhook = call.webhook().await?;
    let list = format!("replays {}", webhook.id);
    let position = lists::position(request, &list, |key| key.parse::<ReplayId>().is_ok())?;
    let page = manage.held.replays.list(&webhook.id, position.limit, position.after.as_deref()).await?;
    Ok(json(200, &lists::page::<_, answers::ReplayList>(&list, page, |progress| view(&progress))))
}

/// A replay, as its owner sees it.
pub(crate) fn view(progress: &ReplayProgress) -> answers::Replay {
    let ReplayProgress { replay, counts, taken_at, counted_at } = progress;
    let phase = counts.phase(taken_at.is_some());
    // Nothing that was dead is an end, too.
    let finished_at = (*counted_at).max(*taken_at).filter(|_| phase == Phase::Done);
    // The span of one item is how it is found, and nobody asked for it.
    let asked = |at: Option<Timestamp>| at.filter(|_| replay.item.is_none()).map(Time);
    answers::Replay {
        id: replay.key.replay.clone(),
        state: phase.as_str(),
        item: replay.item.clone(),
        item_type: replay.item_type.clone(),
        from: asked(replay.from),
        to: asked(replay.to),
        found: counts.found,
        taken: counts.taken,
        pending: counts.pending(),
        delivered: counts.delivered,
        dead: counts.dead,
        dropped: counts.dropped,
        created_at: replay.created_at.into(),
        taken_at: taken_at.map(Into::into),
        finished_at: finished_at.map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use carteiro_core::id::{AccountId, WebhookId};

    use super::*;

    #[test]
    fn a_replay_is_done_when_all_that_it_took_have_ended() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let created_at = time("2026-11-24T16:00:00Z");
        let replay = Replay {
            key: ReplayKey { webhook: WebhookId::from_bits(2), replay: ReplayId::made_at(created_at, 1) },
            account: AccountId::from_bits(1),
            item_type: ItemType::MESSAGE,
            item: None,
            from: Some(created_at),
            to: None,
            created_at,
            expires_at: created_at,
            place: 0,
        };
        let mut progress =
            ReplayProgress { replay, counts: Counts::default(), taken_at: None, counted_at: None };
        let state =
            |progress: &ReplayProgress| (view(progress).state, view(progress).finished_at.map(|at| at.0));
        assert_eq!(state(&progress), ("running", None));
        progress.counts = Counts { found: 1250, taken: 1250, delivered: 310, ..Counts::default() };
        progress.taken_at = Some(time("2026-11-24T16:00:07.25Z"));
        progress.counted_at = Some(time("2026-11-24T16:00:09Z"));
        assert_eq!(state(&progress), ("releasing", None));
        progress.counts.dead = 940;
        assert_eq!(state(&progress), ("done", progress.counted_at));
        assert_eq!(view(&progress).from.map(|at| at.0), Some(created_at));
        progress.replay.item = Some(ItemId::from_bits(3));
        assert!(view(&progress).from.is_none(), "the span of one item is how it is found");
    }
}
