//! `DELETE /webhooks/{id}/held/{item}` and `DELETE /webhooks/{id}/held?type=`: cancels held items.
//!
//! A cancelled item is dropped and counted: in the answer, in the log, and in the replay that it belongs to. An item
//! that a mover has, or that is in the queue, is no longer held and is not cancelled.

use std::collections::HashMap;
use std::ops::AddAssign;
use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::http_api::{Failure, json};
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::attempts::DroppedItem;
use carteiro_adapters::tables::waiting::held_item::HeldPlace;
use carteiro_adapters::tables::waiting::keys::ReplayKey;
use carteiro_adapters::tables::waiting::keys::SHARDS;
use carteiro_core::id::{AccountId, ItemId, ReplayId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::item_state::DropCause;
use carteiro_core::problem::{FieldError, Problem};
use carteiro_core::replay::Counts;
use carteiro_core::retention::after;
use carteiro_core::webhook::Webhook;
use futures_util::stream::{self, StreamExt};

use crate::answers;
use crate::call::{Call, Response};
use crate::context::Manage;
use crate::openapi::examples;
use crate::webhooks::{CONCURRENT_DROPS, Dropped, RESERVE};

/// How many rows of a shard are read together.
const STEP: u16 = 100;

/// How long a row is claimed before it is deleted: longer than the function runs, so that no mover takes it meanwhile.
const LEASE: Duration = Duration::from_secs(60);

/// How long the rows of a step are noted at most.
const NOTING: Duration = Duration::from_secs(1);

/// The items that were cancelled.
#[derive(Debug, Default)]
struct Cancelled {
    rows: usize,
    /// How many of them belong to each replay.
    replays: HashMap<ReplayId, u64>,
    /// Whether there was no time for all.
    more: bool,
    /// The error of an item that could not be cancelled.
    failure: Option<AdapterError>,
}

impl AddAssign for Cancelled {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.more |= other.more;
        self.failure = self.failure.take().or(other.failure);
        for (replay, count) in other.replays {
            *self.replays.entry(replay).or_default() += count;
        }
    }
}

/// A request that cancels.
struct Canceller<'a> {
    manage: &'a Manage,
    account: AccountId,
    webhook: WebhookId,
    /// The request's id, by which a repeated write recognises itself.
    id: String,
    clock: InvocationClock,
}

/// Cancel a held item
///
/// Drops one item that is held for this webhook, and answers how many rows that were: more than one where a producer
/// sent it again under an id of its own. It is found by looking through an eighth of what is held for the webhook. An
/// item that is being moved to the queue, or is in it (a retry within 15 minutes is), is not held any more: that is a
/// 404. What a release has put into the queue this moment may still be attempted once. An item that belongs to a
/// replay is counted there as `dropped`.
#[utoipa::path(
    delete,
    path = "/webhooks/{webhook}/held/{item}",
    operation_id = "cancelHeldItem",
    tag = "webhooks",
    security(("accountKey" = [])),
    responses(
        (
            status = 200, description = "It is dropped.",
            body = answers::Dropped,
            example = json!(examples::dropped(1)),
        ),
    ),
)]
pub(crate) async fn item(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let canceller = Canceller::new(call).await?;
    let Ok(item) = request.path("item").parse::<ItemId>() else { return Err(not_held().into()) };
    let found = find(manage, &canceller.webhook, &item, clock).await?;
    let mut cancelled = canceller.cancel(&found.places).await;
    cancelled.more |= !found.is_whole;
    if cancelled.rows == 0 && cancelled.failure.is_none() {
        return Err(if found.is_whole { not_held() } else { too_much() }.into());
    }
    canceller.answer(cancelled, item.as_str()).await
}

/// Cancel the held items of a type
///
/// Drops every item of a type that is held for this webhook, whatever it is held for, and answers how many. An item
/// that is being moved to the queue, or is in it (a retry within 15 minutes is), is not held any more and is not
/// cancelled; what a release has put into the queue this moment may still be attempted once. An item that belongs to
/// a replay is counted there as `dropped`.
#[utoipa::path(
    delete,
    path = "/webhooks/{webhook}/held",
    operation_id = "cancelHeld",
    tag = "webhooks",
    security(("accountKey" = [])),
    responses(
        (
            status = 200, description = "They are dropped.",
            body = answers::Dropped,
            example = json!(examples::dropped(3)),
        ),
    ),
)]
pub(crate) async fn of_type(call: &Call<'_>) -> Response {
    let canceller = Canceller::new(call).await?;
    let Some(item_type) = call.request.query("type").and_then(ItemType::known) else {
        let error = FieldError::new("type", ItemType::expected());
        return Err(Problem::invalid_fields(vec![error]).into());
    };
    let shards = stream::iter(0..SHARDS).map(|shard| canceller.cancel_shard(&item_type, shard));
    let cancelled = shards.buffer_unordered(usize::from(SHARDS)).collect::<Vec<_>>().await;
    let cancelled = cancelled.into_iter().fold(Cancelled::default(), |mut all, shard| {
        all += shard;
        all
    });
    canceller.answer(cancelled, item_type.as_str()).await
}

fn not_held() -> Problem {
    Problem::not_found(
        "this item is not held for this webhook: it arrived, is in the queue (a retry within 15 minutes is), was dropped, \
         is dead, or was never there",
    )
}

fn too_much() -> Problem {
    Problem::unavailable(
        "so much is held for this webhook that there was no time to look through it; try again",
    )
}

impl<'a> Canceller<'a> {
    async fn new(call: &Call<'a>) -> Result<Self, Failure> {
        let Call { manage, clock, .. } = *call;
        let Webhook { id: webhook, account, .. } = call.webhook().await?;
        Ok(Self { manage, account, webhook, id: format!("{:032x}", random::bits128()?), clock })
    }

    async fn cancel_shard(&self, item_type: &ItemType, shard: u8) -> Cancelled {
        let (mut all, mut mark) = (Cancelled::default(), None);
        loop {
            if self.clock.left() < RESERVE {
                all.more = true;
                return all;
            }
            let now = self.clock.now();
            let page = self.manage.held.items.of_type(&self.webhook, item_type, shard, STEP, mark, now).await;
            let (places, next) = match page {
                Ok(page) => page,
                Err(error) => {
                    all.failure = Some(error);
                    return all;
                }
            };
            all += self.cancel(&places).await;
            mark = next;
            if mark.is_none() || all.failure.is_some() {
                return all;
            }
        }
    }

    /// Cancels rows. One that cannot be cancelled keeps none of the others.
    async fn cancel(&self, places: &[HeldPlace]) -> Cancelled {
        let cancels = stream::iter(places).map(|place| async move {
            let now = self.clock.now();
            (place, self.manage.held.items.cancel(place, &self.id, (now, after(now, LEASE))).await)
        });
        let (mut all, mut dropped) = (Cancelled::default(), Vec::new());
        for (place, cancelled) in cancels.buffer_unordered(CONCURRENT_DROPS).collect::<Vec<_>>().await {
            match cancelled {
                Ok(true) => {
                    all.rows += 1;
                    dropped.extend(self.dropped(place));
                    if let Some(replay) = place.replay.clone() {
                        *all.replays.entry(replay).or_default() += 1;
                    }
                }
                Ok(false) => {}
                Err(error) => all.failure = Some(error),
            }
        }
        self.note(&dropped).await;
        all
    }

    /// Notes cancelled items, at best: what was cancelled is still to be counted and answered.
    async fn note(&self, dropped: &[DroppedItem]) {
        let expires_at = self.manage.retention.dead_until(self.clock.now());
        let within = NOTING.min(self.clock.left().saturating_sub(RESERVE));
        self.manage.attempts.note_dropped(dropped, expires_at, within).await;
    }

    /// A cancelled row, as whoever asks for its item finds it.
    fn dropped(&self, place: &HeldPlace) -> Option<DroppedItem> {
        let (item_type, accepted_at) = place.type_and_acceptance()?;
        Some(DroppedItem {
            account: self.account.clone(),
            webhook: self.webhook.clone(),
            item: place.item()?,
            item_type,
            accepted_at,
            cause: DropCause::Cancelled,
            at: self.clock.now(),
        })
    }

    /// Counts and logs the cancelled items, and answers. The answer is an error only where nothing was cancelled: else
    /// the count would be lost.
    async fn answer(self, cancelled: Cancelled, what: &str) -> Response {
        let Self { manage, webhook, clock, .. } = &self;
        for (replay, &dropped) in &cancelled.replays {
            let key = ReplayKey { webhook: webhook.clone(), replay: replay.clone() };
            let (now, counts) = (clock.now(), Counts { dropped, ..Counts::default() });
            let expires = manage.retention.replay_expires(now);
            if manage.held.replays.count(&key, counts, now, expires).await.is_err() {
                tracing::warn!(webhook = webhook.as_str(), replay = replay.as_str(), "replay.not_counted");
            }
        }
        let (webhook, dropped) = (webhook.as_str(), cancelled.rows);
        if let Some(error) = cancelled.failure {
            tracing::warn!(webhook, what, error = error.chain(), "held.not_cancelled");
            if dropped == 0 {
                return Err(error.into());
            }
            tracing::info!(webhook, what, dropped, dropped_more = true, "held.cancelled");
            return Ok(json(200, &Dropped { rows: dropped, more: true }.view()));
        }
        tracing::info!(webhook, what, dropped, dropped_more = cancelled.more, "held.cancelled");
        Ok(json(200, &Dropped { rows: dropped, more: cancelled.more }.view()))
    }
}

/// The held rows of an item.
pub(crate) struct Found {
    pub(crate) places: Vec<HeldPlace>,
    /// False where there was no time to look through all that is held.
    pub(crate) is_whole: bool,
}

/// Finds the held rows of an item, as far as the time allows.
pub(crate) async fn find(
    manage: &Manage,
    webhook: &WebhookId,
    item: &ItemId,
    clock: InvocationClock,
) -> Result<Found, AdapterError> {
    let (mut places, mut mark) = (Vec::new(), None);
    loop {
        let (found, next) = manage.held.items.find(webhook, item, mark).await?;
        places.extend(found);
        mark = next;
        if mark.is_none() || clock.left() < RESERVE {
            return Ok(Found { places, is_whole: mark.is_none() });
        }
    }
}
