//! `GET /items/{item}`: where an item is, on its way to each webhook.
//!
//! It puts together what is stored: the item's own id, which tells its acceptance; the rows of held, dead and dropped
//! items, which are found by the item's id; the inbox, for what was collected; and the attempt logs of the account's
//! webhooks. The cost of a lookup is bounded: 4 queries and 2 reads of keys for the rows, one query for the webhooks,
//! one or two reads for their streaks, and up to 8 queries for each of [`LOGS`] logs. An account has places for a few
//! at once.

use std::collections::HashMap;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::http_api::{Failure, json};
use carteiro_adapters::tables::attempts::{DroppedItem, FoundAttempts};
use carteiro_adapters::tables::inbox::CollectedAs;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_adapters::tables::test_slots::TestPlace;
use carteiro_adapters::tables::waiting::of_item::{DeadAs, HeldAs, ItemRow};
use carteiro_core::holding::HeldFor;
use carteiro_core::id::{AccountId, ItemId, WebhookId};
use carteiro_core::item::{self, Acceptance, ItemType, Source};
use carteiro_core::item_state::{Known, Stored, known, logs_every_attempt};
use carteiro_core::lane;
use carteiro_core::message::LastError;
use carteiro_core::problem::{FieldError, Problem};
use carteiro_core::retention::after;
use carteiro_core::slow::{Place, SlowAttempts};
use carteiro_core::streak::{Phase, State};
use carteiro_core::test_share::Shared;
use carteiro_core::webhook::{AttemptLog, Webhook};
use futures_util::future::try_join4;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::call::{Call, Response};
use crate::context::Manage;
use crate::openapi::{examples, refusals};
use crate::webhooks::RESERVE;
use crate::{answers, attempts};

/// The most logs that one lookup reads. `?webhook=` asks for another one.
pub(crate) const LOGS: usize = 10;

/// How many logs are read at once.
const LOGS_AT_ONCE: usize = 4;

/// How many streaks are read together, beside a webhook and the account's slow attempts.
const STREAKS_TOGETHER: usize = 98;

/// How long a lookup lasts at most: the function's timeout.
const LASTS: std::time::Duration = std::time::Duration::from_secs(29);

/// How far the clocks of two functions may be apart.
const SKEW: std::time::Duration = std::time::Duration::from_secs(60);

/// The rows of an item, whatever its account.
struct Rows {
    held: Vec<ItemRow<HeldAs>>,
    dead: Vec<ItemRow<DeadAs>>,
    dropped: Vec<DroppedItem>,
    collected: Option<CollectedAs>,
}

/// What is known of an item as a whole.
struct Item {
    id: ItemId,
    account: AccountId,
    item_type: Option<ItemType>,
    source: Option<Source>,
    accepted_at: Option<Timestamp>,
    /// What its id tells.
    told: Option<Acceptance>,
    /// No attempt of it ended before this.
    since: Option<Timestamp>,
    collected: Option<CollectedAs>,
}

/// How much of a webhook's log was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogRead {
    /// All since the item's acceptance.
    Whole,
    /// The newest rows, and those after the acceptance, as far as that is known.
    Part,
    /// Nothing: a row says where the item is, the webhook logs nothing, or other logs were read first.
    No,
}

impl LogRead {
    /// All.
    pub(crate) const ALL: [Self; 3] = [Self::Whole, Self::Part, Self::No];
}

/// Find an item
///
/// Where an item is, on its way to each webhook, within what is stored: a delivery that succeeds at once stores
/// nothing unless its webhook has `"log": "all"`. The logs of up to 10 webhooks are read; ask for another one with
/// `webhook`. An item that its producer named, or that an older version accepted, and that arrived without a logged
/// attempt is not known: 404, as for one that never was. With the admin key, `account` is needed where no row of the
/// item is stored. An account has at most 4 lookups under way at once and 60 a minute.
#[utoipa::path(
    get,
    path = "/items/{item}",
    operation_id = "getItem",
    tag = "webhooks",
    security(("accountKey" = []), ("adminKey" = [])),
    responses(
        (
            status = 200, description = "What is known.",
            body = answers::ItemStates,
            example = json!(examples::item()),
        ),
        (status = 429, response = refusals::TooManyLookups),
    ),
    extensions(("x-max-logs" = json!(LOGS))),
)]
pub(crate) async fn read(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let Ok(id) = request.path("item").parse::<ItemId>() else { return Err(no_such_item(call).into()) };
    let only = request.query("webhook").map(str::parse::<WebhookId>).transpose();
    let only =
        only.map_err(|error| Problem::invalid_fields(vec![FieldError::new("webhook", error.to_string())]))?;
    if call.is_operator() {
        return look_up(call, id, only.as_ref()).await;
    }
    let account = call.account()?;
    let place = match manage.config.take_place(&account, Shared::Lookups, LASTS, clock.now()).await? {
        TestPlace::Taken(owner) => owner,
        TestPlace::Refused { retry_after } => return Err(Shared::Lookups.problem(retry_after).into()),
    };
    let answer = look_up(call, id, only.as_ref()).await;
    if let Err(error) = manage.config.give_place_back(&account, Shared::Lookups, &place).await {
        // Its lease ends by itself.
        tracing::warn!(error = error.chain(), "lookup.place_not_given_back");
    }
    answer
}

async fn look_up(call: &Call<'_>, id: ItemId, only: Option<&WebhookId>) -> Response {
    let Call { manage, clock, .. } = *call;
    let now = clock.now();
    let rows = rows(manage, &id, now).await?;
    let Some(account) = call.account_of_items().or_else(|| rows.account()) else {
        return Err(no_such_item(call).into());
    };
    let rows = rows.of(&account);
    let acceptance = item::acceptance(&id, &account).filter(|told| told.at <= after(now, SKEW));
    let mut item = rows.item(id, account, acceptance);
    let webhooks = manage.config.all_webhooks(&item.account).await?;
    let mut found = found(&rows, &webhooks, &item, only);
    read_logs(call, &item, &mut found).await?;
    let attempted = found.iter().find_map(|one| one.attempts.as_ref()?.last.as_ref());
    item.item_type = item.item_type.or_else(|| attempted.map(|entry| entry.item_type.clone()));
    if item.accepted_at.is_none() {
        // Nothing says that it was accepted for a webhook but an attempt.
        found.retain(OfWebhook::is_stored);
        if found.is_empty() {
            return Err(no_such_item(call).into());
        }
    }
    let health = read_health(manage, &item, &found, now).await?;
    let of_webhooks = found.iter().map(|one| one.view(&item, &health, now)).collect();
    Ok(json(200, &item.view(of_webhooks)))
}

/// The same for one that never was, a stranger's, and one of which nothing is stored.
fn no_such_item(call: &Call<'_>) -> Problem {
    if call.is_operator() && call.account_of_items().is_none() {
        return Problem::not_found(
            "no row of this item is stored; name its account with ?account= to look into its id and its account's logs",
        );
    }
    Problem::not_found(
        "nothing is stored of such an item of this account: it never was, or it has an id that its producer chose and \
         arrived, or what was stored of it expired",
    )
}

async fn rows(manage: &Manage, id: &ItemId, now: Timestamp) -> Result<Rows, AdapterError> {
    let (held, dead, dropped, collected) = try_join4(
        manage.held.items.of_item(id, now),
        manage.dead.of_item(id, now),
        manage.attempts.dropped(id, now),
        manage.inbox.of_item(id),
    )
    .await?;
    Ok(Rows { held, dead, dropped, collected })
}

impl Rows {
    /// The account of the item. All its rows have the same: ids are drawn or derived from it.
    fn account(&self) -> Option<AccountId> {
        let held = self.held.iter().map(|row| &row.account);
        let dead = self.dead.iter().map(|row| &row.account);
        let dropped = self.dropped.iter().map(|row| &row.account);
        let collected = self.collected.iter().map(|row| &row.account);
        held.chain(dead).chain(dropped).chain(collected).next().cloned()
    }

    /// Those of an account, the last acceptance first.
    fn of(mut self, account: &AccountId) -> Self {
        self.held.retain(|row| row.account == *account);
        self.dead.retain(|row| row.account == *account);
        self.dropped.retain(|row| row.account == *account);
        self.held.sort_by_key(|row| std::cmp::Reverse(row.accepted_at));
        self.dead.sort_by_key(|row| std::cmp::Reverse(row.accepted_at));
        self.dropped.sort_by_key(|row| std::cmp::Reverse(row.at));
        self.collected = self.collected.filter(|row| row.account == *account);
        self
    }

    fn item(&self, id: ItemId, account: AccountId, acceptance: Option<Acceptance>) -> Item {
        let held = self.held.first().map(|row| (row.accepted_at, &row.item_type, Some(&row.source)));
        let dead = self.dead.first().map(|row| (row.accepted_at, &row.item_type, Some(&row.source)));
        let dropped = self.dropped.first().map(|row| (row.accepted_at, &row.item_type, None));
        let row = [held, dead, dropped].into_iter().flatten().max_by_key(|(at, ..)| *at);
        let page = self.collected.as_ref().map(|row| Source::Page(row.page.to_string()));
        let told = acceptance.as_ref();
        let collected = self.collected.as_ref();
        Item {
            item_type: row
                .map(|(_, item_type, _)| item_type.clone())
                .or(told.map(|told| told.item_type.clone())),
            source: row.and_then(|(_, _, source)| source.cloned()).or(page),
            accepted_at: row
                .map(|(at, ..)| at)
                .or(told.map(|told| told.at))
                .or(collected.map(|row| row.handed_on_at)),
            since: told
                .map(|told| told.at)
                .or(collected.map(|row| row.received_at))
                .or(row.map(|(at, ..)| at))
                .map(|at| at.checked_sub(SKEW).unwrap_or(at)),
            collected: self.collected.clone(),
            told: acceptance,
            id,
            account,
        }
    }
}

/// What was found of an item at one webhook.
struct OfWebhook<'a> {
    id: WebhookId,
    /// None where it was deleted.
    webhook: Option<&'a Webhook>,
    held: Option<&'a ItemRow<HeldAs>>,
    dead: Option<&'a ItemRow<DeadAs>>,
    dropped: Option<&'a DroppedItem>,
    attempts: Option<FoundAttempts>,
}

/// The webhooks that an item may have gone to: those with rows of it, and those that take it.
fn found<'a>(
    rows: &'a Rows,
    webhooks: &'a [Webhook],
    item: &Item,
    only: Option<&WebhookId>,
) -> Vec<OfWebhook<'a>> {
    let of = |id: &WebhookId, webhook| OfWebhook {
        id: id.clone(),
        webhook,
        held: rows.held.iter().find(|row| row.webhook == *id),
        dead: rows.dead.iter().find(|row| row.webhook == *id),
        dropped: rows.dropped.iter().find(|row| row.webhook == *id),
        attempts: None,
    };
    let mut found: Vec<_> = webhooks
        .iter()
        .map(|webhook| of(&webhook.id, Some(webhook)))
        .filter(|one| one.is_stored() || one.webhook.is_some_and(|webhook| may_take(webhook, item)))
        .collect();
    let held = rows.held.iter().map(|row| &row.webhook);
    let of_rows = held.chain(rows.dead.iter().map(|row| &row.webhook));
    for id in of_rows.chain(rows.dropped.iter().map(|row| &row.webhook)) {
        if found.iter().all(|one| one.id != *id) {
            found.push(of(id, None));
        }
    }
    found.retain(|one| only.is_none_or(|only| one.id == *only));
    found
}

/// Whether a webhook that is there now may have been given an item when that was accepted.
fn may_take(webhook: &Webhook, item: &Item) -> bool {
    // An id tells its time to the millisecond.
    let by = |accepted_at| after(accepted_at, std::time::Duration::from_millis(1));
    let was_there = item.accepted_at.is_none_or(|accepted_at| webhook.created_at < by(accepted_at));
    let takes = match (&item.item_type, &item.source) {
        (Some(item_type), Some(source)) => webhook.takes(item_type, source),
        (Some(item_type), None) => {
            let may_be = |source: &Source| item.told.as_ref().is_none_or(|told| told.may_be_of(source));
            let sources = webhook.settings.sources.as_ref();
            webhook.settings.items.contains(item_type)
                && sources.is_none_or(|sources| sources.iter().any(may_be))
        }
        // Collected: a publication or an interaction.
        (None, Some(source)) => [ItemType::PUBLICATION, ItemType::INTERACTION]
            .iter()
            .any(|item_type| webhook.takes(item_type, source)),
        (None, None) => true,
    };
    was_there && takes
}

/// Reads the logs of webhooks without a row that says where the item is: the first [`LOGS`] of them, while time is
/// left.
async fn read_logs(call: &Call<'_>, item: &Item, found: &mut [OfWebhook<'_>]) -> Result<(), AdapterError> {
    let Call { manage, clock, .. } = *call;
    let needed = found.iter_mut().filter(|one| {
        one.held.is_none()
            && one.dead.is_none()
            && one.webhook.is_some_and(|webhook| webhook.settings.log != AttemptLog::None)
    });
    let reads = stream::iter(needed.take(LOGS)).map(|one| async move {
        if clock.left() >= RESERVE {
            let reading = manage.attempts.of_item(&one.id, &item.id, item.since, clock.now());
            one.attempts = Some(reading.await?);
        }
        Ok::<_, AdapterError>(())
    });
    reads.buffer_unordered(LOGS_AT_ONCE).try_collect().await
}

/// The streaks of the webhooks for the item's type, and the account's slow attempts.
struct Health {
    streaks: HashMap<WebhookId, State>,
    slow: SlowAttempts,
}

async fn read_health(
    manage: &Manage,
    item: &Item,
    found: &[OfWebhook<'_>],
    now: Timestamp,
) -> Result<Health, Failure> {
    let mut health = Health { streaks: HashMap::new(), slow: SlowAttempts::default() };
    let Some(item_type) = &item.item_type else { return Ok(health) };
    let key = |webhook: &Webhook| StreakKey {
        account: item.account.clone(),
        webhook: webhook.id.clone(),
        revision: webhook.revision,
        item_type: item_type.clone(),
    };
    let keys: Vec<_> = found.iter().filter_map(|one| one.webhook.map(key)).collect();
    for keys in keys.chunks(STREAKS_TOGETHER) {
        let wanted: Vec<_> =
            keys.iter().take(1).map(|key| (key.account.clone(), key.webhook.clone())).collect();
        let read = manage.config.find_webhooks(&wanted, &manage.streaks, keys).await?;
        let states = read.streaks.into_iter().map(|(key, row)| (key.webhook, State::of(Some(&row), now)));
        health.streaks.extend(states);
        health.slow = read.slow.get(&item.account).cloned().unwrap_or_default();
    }
    Ok(health)
}

impl OfWebhook<'_> {
    /// Whether a row or an attempt of the item is stored.
    fn is_stored(&self) -> bool {
        self.held.is_some()
            || self.dead.is_some()
            || self.dropped.is_some()
            || self.attempts.as_ref().is_some_and(|attempts| attempts.last.is_some())
    }

    fn view(&self, item: &Item, health: &Health, now: Timestamp) -> answers::ItemAtWebhook {
        let attempts = self.attempts.as_ref();
        let last_attempt = attempts.and_then(|attempts| attempts.last.as_ref());
        let is_whole = attempts.is_some_and(|attempts| attempts.is_whole) && item.since.is_some();
        let whole_log = is_whole
            && self.webhook.is_some_and(|webhook| {
                logs_every_attempt(webhook.settings.log, webhook.updated_at, item.accepted_at, now)
            });
        let stored = Stored {
            held: self.held.map(|row| (row.what.reason, row.what.due_at)),
            dead: self.dead.map(|row| (row.what.cause, row.what.died_at)),
            dropped: self.dropped.map(|row| (row.cause, row.at)),
            last_attempt,
            whole_log,
        };
        let known = known(&stored, now);
        let of_row = self.held.map(|row| (row.attempt, &row.last_error));
        let (attempt, last_error) = of_row.or(self.dead.map(|row| (row.attempt, &row.last_error))).unzip();
        let log_read = match attempts {
            Some(_) if is_whole => LogRead::Whole,
            Some(_) => LogRead::Part,
            None => LogRead::No,
        };
        let message = known.message();
        let Known { state, why, since, next_at } = known;
        answers::ItemAtWebhook {
            webhook: self.id.clone(),
            url: self.webhook.map(|webhook| webhook.settings.url.redacted()),
            state,
            why,
            message,
            since: since.map(Into::into),
            next_at: next_at.map(Into::into),
            attempt,
            blocked_until: self.blocked_until(health, now).map(Into::into),
            lane: self.lane(health, now),
            last_error: last_error.and_then(|error| error.as_ref().map(LastError::told)),
            last_attempt: last_attempt.map(attempts::view),
            log_read,
        }
    }

    /// The end of the block behind which it is held.
    fn blocked_until(&self, health: &Health, now: Timestamp) -> Option<Timestamp> {
        let behind_block = self.held.is_some_and(|row| row.what.reason == HeldFor::Blocked);
        match health.streaks.get(&self.id)?.phase {
            Phase::Blocked { until, .. } if behind_block && now < until => Some(until),
            _ => None,
        }
    }

    /// The lane that its next attempt takes, as far as the tables tell.
    fn lane(&self, health: &Health, now: Timestamp) -> Option<&'static str> {
        let webhook = self.webhook?;
        let is_slow = health.slow.is_slow(&Place::of(&webhook.id, &webhook.settings.url), now)
            || health.streaks.get(&self.id).is_some_and(lane::timed_out_only);
        Some(if is_slow { "slow" } else { "usual" })
    }
}

impl Item {
    fn view(self, webhooks: Vec<answers::ItemAtWebhook>) -> answers::ItemStates {
        let collected = self.collected.map(|row| answers::CollectedAs {
            page: row.page,
            received_at: row.received_at.into(),
            handed_on_at: row.handed_on_at.into(),
        });
        answers::ItemStates {
            id: self.id,
            account: self.account,
            item_type: self.item_type,
            source: self.source.map(|source| source.to_string()),
            accepted_at: self.accepted_at.map(Into::into),
            collected,
            webhooks,
        }
    }
}
