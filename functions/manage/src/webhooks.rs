//! Webhooks: an account's own.

use std::ops::AddAssign;
use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::http::sender::Refused;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::http_api::{Failure, Request, json};
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::attempts;
use carteiro_adapters::tables::config::Created;
use carteiro_adapters::tables::config::Replaced;
use carteiro_adapters::tables::waiting::keys::ReleaseKey;
use carteiro_adapters::tables::waiting::keys::{HeldKey, SHARDS};
use carteiro_core::account_limit::Limited;
use carteiro_core::address::WebhookUrl;
use carteiro_core::credentials::Fresh;
use carteiro_core::id::WebhookId;
use carteiro_core::item::ItemType;
use carteiro_core::own_hosts::OwnAddress;
use carteiro_core::problem::{FieldError, Problem};
use carteiro_core::webhook::{MAX_WEBHOOKS_PER_ACCOUNT, NewWebhook, Webhook};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::call::{Call, Response, no_such_webhook};
use crate::context::Manage;
use crate::openapi::{examples, refusals, requests};
use crate::read_only::{self, Compared};
use crate::{answers, body, release, revision, values, view};

/// How often a change is tried again when somebody else changed the same webhook or page meanwhile.
pub(crate) const CHANGE_TRIES: usize = 5;

/// The fields of a webhook that its owner reads and does not set.
pub(crate) const READ_ONLY: [(&str, Compared); 10] = [
    ("id", Compared::Whole),
    ("disabled_by", Compared::Whole),
    ("public_key", Compared::Whole),
    ("replaced_until", Compared::Whole),
    ("revision", Compared::Whole),
    ("created_at", Compared::Whole),
    ("updated_at", Compared::Whole),
    // Its counts move with every attempt.
    ("status", Compared::Each("state")),
    ("state", Compared::Whole),
    ("trouble", Compared::Not),
];

/// How long a host may take to resolve when its webhook is saved.
const RESOLVED_WITHIN: Duration = Duration::from_secs(2);

/// How many rows of a shard are read together.
const STEP: u16 = 100;

/// How many rows of a shard are dropped at once.
pub(crate) const CONCURRENT_DROPS: usize = 4;

/// Time that an answer needs. Nothing is begun in this last part.
pub(crate) const RESERVE: Duration = Duration::from_secs(3);

/// Create a webhook
///
/// An account has at most 100 webhooks. Every item that is taken after this answer goes to the new webhook too, if it
/// takes its type and source. The secret is in the answer and is never shown again, one of your own neither.
#[utoipa::path(
    post,
    path = "/webhooks",
    operation_id = "createWebhook",
    tag = "webhooks",
    security(("accountKey" = [])),
    request_body(
        content = requests::WebhookRequest,
        content_type = "application/json",
        description = "What the webhook is to be.",
        examples(
            ("complete" = (value = json!({"url": "https://hooks.example.com/carteiro", "items": ["message", "contact"], "sources": ["bot:support@example.com"], "headers": {"Authorization": "Bearer example-token"}, "description": "CRM", "key_pair": true}))),
            ("own-secret" = (value = json!({"url": "https://hooks.example.com/own", "items": ["event"], "secret": "whsec_YW4gZXhhbXBsZSBvZiBhIHNlY3JldCwgMzIgYnl0ZXM="}))),
            ("least" = (value = json!({"url": "https://hooks.example.com:8443/in?tenant=7", "items": ["event"]}))),
        ),
    ),
    responses(
        (
            status = 201, description = "The webhook, with its secret.",
            body = answers::WebhookWithSecret,
            example = json!(examples::created_webhook()),
        ),
    ),
    extensions(("x-max-webhooks" = json!(MAX_WEBHOOKS_PER_ACCOUNT))),
)]
pub(crate) async fn create(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let account = call.account()?;
    let given = body::object(request)?;
    let new = NewWebhook::from_json(&given, &manage.private_targets).map_err(Problem::invalid_fields)?;
    refuse_target(manage, request, "url", &new.settings.url).await?;
    let id = WebhookId::from_bits(random::bits128()?);
    let webhook = new.create(id, account, fresh()?, clock.now());
    match manage.config.create_webhook(&webhook).await? {
        Created::Done => {}
        Created::TooMany => return Err(Limited::Webhooks.problem().into()),
        Created::NoAccount => return Err(Problem::unauthorized("the account of this key was deleted").into()),
        Created::Exists => return Err(AdapterError::contended("creating a webhook").into()),
    }
    Ok(json(201, &view::with_secret(&webhook, clock.now())))
}

/// Random credentials for a webhook.
pub(crate) fn fresh() -> Result<Fresh, AdapterError> {
    Ok(Fresh::from_random(random::bytes()?, random::bytes()?))
}

/// Refuses a URL that leads to an address that no attempt may dial, or to this deployment itself. A host that does not
/// resolve yet is taken, because every attempt looks again.
pub(crate) async fn refuse_target(
    manage: &Manage,
    request: &Request,
    field: &'static str,
    url: &WebhookUrl,
) -> Result<(), Failure> {
    let refused = match refuse_own(manage, request, url) {
        Ok(()) => manage.sender.check(url, RESOLVED_WITHIN).await,
        Err(own) => Err(own.into()),
    };
    let detail = match refused {
        Ok(()) => return Ok(()),
        Err(Refused::OwnAddress(_)) => {
            "leads to this deployment itself: what is delivered there would come in again, without end"
                .to_owned()
        }
        // The address that a name resolves to here, perhaps inside a private network, is not shown.
        Err(Refused::ForbiddenAddress(address)) => match url.literal_address() {
            Some(_) => format!("is not taken: {address}"),
            None => "its host leads to an address that is not taken: it is not public".to_owned(),
        },
    };
    Err(Problem::invalid_fields(vec![FieldError::new(field, detail)]).into())
}

/// Refuses a URL of a host by which a request reached the deployment.
pub(crate) fn refuse_own(manage: &Manage, request: &Request, url: &WebhookUrl) -> Result<(), OwnAddress> {
    let (api, domain) = request.reached();
    manage.own_hosts.and_of_request(api, manage.region.as_deref(), domain).refuse_name(url)
}

/// Read a webhook
///
/// The webhook, with the state of each item type that it takes.
#[utoipa::path(
    get,
    path = "/webhooks/{webhook}",
    operation_id = "readWebhook",
    tag = "webhooks",
    security(("accountKey" = []), ("adminKey" = [])),
    responses(
        (
            status = 200, description = "The webhook.",
            body = answers::WebhookWithStatus,
            example = json!(examples::webhook_with_status()),
        ),
    ),
)]
pub(crate) async fn read(call: &Call<'_>) -> Response {
    let Call { manage, clock, .. } = *call;
    let webhook = call.webhook().await?;
    Ok(json(200, &view::with_status(manage, &webhook, clock.now()).await?))
}

/// Change a webhook
///
/// A change of `url`, `headers` or `key_pair` is a new revision: it ends every block and every count of failures at
/// once, and releases what is held for them. A patch that changes nothing is none, and leaves `updated_at` as it is.
/// Setting `enabled` to true releases what was held meanwhile.
#[utoipa::path(
    patch,
    path = "/webhooks/{webhook}",
    operation_id = "changeWebhook",
    tag = "webhooks",
    security(("accountKey" = [])),
    request_body(
        content = requests::WebhookPatch,
        content_type = "application/merge-patch+json",
        description = "A JSON merge patch. The content type is not looked at.",
        examples(
            ("move" = (value = json!({"url": "https://hooks.example.com/v2"}))),
            ("enable" = (value = json!({"enabled": true}))),
            ("headers" = (value = json!({"headers": {"authorization": null, "x-tenant": "7"}}))),
            ("all-sources" = (value = json!({"sources": null}))),
            ("key-pair" = (value = json!({"key_pair": true}))),
        ),
    ),
    responses(
        (
            status = 200, description = "The webhook after the change.",
            body = answers::Webhook,
            example = json!(examples::changed_webhook()),
        ),
        (status = 409, response = refusals::Conflict),
    ),
)]
pub(crate) async fn change(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    call.account()?;
    let patch = body::object(request)?;
    let fresh = fresh()?;
    let mut checked = None;
    let mut lost = None;
    for _ in 0..CHANGE_TRIES {
        let webhook = call.webhook().await?;
        let shown = match ["status", "state", "trouble"].iter().any(|name| patch.contains_key(*name)) {
            true => values::value(&view::with_status(manage, &webhook, clock.now()).await?),
            false => values::value(&view::webhook(&webhook, clock.now())),
        };
        let (patch, read_only) = read_only::taken_out(&patch, &shown, &READ_ONLY);
        let patched = webhook.patched(&patch, &manage.private_targets);
        let patched = read_only::with_errors(patched, read_only)?;
        // Others may change it at the same time; the same URL is looked at once.
        let url = &patched.settings.url;
        if *url != webhook.settings.url && checked.as_ref() != Some(url) {
            refuse_target(manage, request, "url", url).await?;
            checked = Some(url.clone());
        }
        let credentials = webhook.credentials.with_key_pair(patched.key_pair, &fresh);
        let now = clock.now();
        let Some(changed) = webhook.changed(patched.settings, &credentials, now) else {
            // Where a write was refused because an earlier try of it was made, that one is to be followed up.
            if let Some(old) = lost {
                follow_up(manage, &old, &webhook, clock).await;
            }
            return Ok(json(200, &view::webhook(&webhook, now)));
        };
        if manage.config.replace_webhook(&changed).await? == Replaced::Done {
            follow_up(manage, &webhook, &changed, clock).await;
            return Ok(json(200, &view::webhook(&changed, now)));
        }
        lost = Some(webhook);
    }
    Err(Problem::conflict("others changed this webhook at the same time; read it and try again").into())
}

/// Follows up a change that was made: releases held items where they may go now, and retires the old revision where
/// there is a new one.
pub(crate) async fn follow_up(manage: &Manage, old: &Webhook, changed: &Webhook, clock: InvocationClock) {
    let is_new_revision = changed.revision != old.revision;
    if is_new_revision || changed.settings.enabled && !old.settings.enabled {
        release::release_all(manage, changed, clock).await;
    }
    if is_new_revision {
        revision::replaced(manage, old, clock).await;
    }
}

/// Delete a webhook
///
/// Items that wait for it are dropped: the held ones at once, which the answer counts, and those in the queue as they
/// come out, which it does not. Its dead items, replays and attempt log are deleted too, uncounted, as far as the
/// time of the request allows; the rest of the log is forgotten when its time is over.
#[utoipa::path(
    delete,
    path = "/webhooks/{webhook}",
    operation_id = "deleteWebhook",
    tag = "webhooks",
    security(("accountKey" = [])),
    responses(
        (
            status = 200, description = "It is deleted.",
            body = answers::Dropped,
            example = json!(examples::dropped(3)),
        ),
    ),
)]
pub(crate) async fn delete(call: &Call<'_>) -> Response {
    let Call { manage, clock, .. } = *call;
    let account = call.account()?;
    let webhook = call.webhook().await?;
    if !manage.config.delete_webhook(&account, &webhook.id).await? {
        return Err(no_such_webhook().into());
    }
    Ok(json(200, &drop_waiting(manage, &webhook, clock).await?.view()))
}

/// How many items that waited were dropped with a webhook or page. A webhook's dead ones, which would never have been
/// sent, are not counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dropped {
    pub(crate) rows: usize,
    /// Whether there was no time for all; the rest is dropped when it comes due, or when its retention ends.
    pub(crate) more: bool,
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.more |= other.more;
    }
}

impl Dropped {
    pub(crate) fn view(self) -> answers::Dropped {
        answers::Dropped { dropped: self.rows, dropped_more: self.more }
    }
}

/// A table of a webhook's rows.
#[derive(Clone, Copy)]
enum Rows {
    Held,
    Dead,
}

impl Rows {
    async fn keys(
        self,
        manage: &Manage,
        webhook: &WebhookId,
        shard: u8,
    ) -> Result<Vec<HeldKey>, AdapterError> {
        match self {
            Self::Held => manage.held.items.keys_of(webhook, shard, STEP).await,
            Self::Dead => manage.dead.keys_of(webhook, shard, STEP).await,
        }
    }

    async fn drop(self, manage: &Manage, key: &HeldKey) -> Result<(), AdapterError> {
        match self {
            Self::Held => manage.held.items.drop_row(key).await,
            Self::Dead => manage.dead.drop_row(key).await,
        }
    }
}

/// Drops the held items of a deleted webhook, its dead items, replays and attempt log, and retires its streaks. Items
/// in the queue are dropped as they come out.
pub(crate) async fn drop_waiting(
    manage: &Manage,
    deleted: &Webhook,
    clock: InvocationClock,
) -> Result<Dropped, Failure> {
    let webhook = &deleted.id;
    revision::deleted(manage, deleted, clock).await;
    for item_type in ItemType::KNOWN {
        manage.held.releases.drop_row(&ReleaseKey { webhook: webhook.clone(), item_type }).await?;
    }
    manage.held.releases.forget_looks(webhook).await?;
    // Replays go before the items that they took, so that they take no more. Those that cannot be dropped here expire
    // in the table.
    while clock.left() >= RESERVE && manage.held.replays.drop_all(webhook, STEP).await? > 0 {}
    let held = drop_rows(manage, Rows::Held, webhook, clock).await?;
    let dead = drop_rows(manage, Rows::Dead, webhook, clock).await?;
    let logs = stream::iter(0..attempts::SHARDS).map(|shard| async move {
        while clock.left() >= RESERVE && manage.attempts.drop_rows(webhook, shard, STEP).await? > 0 {}
        Ok::<_, AdapterError>(())
    });
    logs.buffer_unordered(usize::from(attempts::SHARDS)).try_collect::<()>().await?;
    Ok(Dropped { rows: held.rows, more: held.more || dead.more })
}

async fn drop_rows(
    manage: &Manage,
    rows: Rows,
    webhook: &WebhookId,
    clock: InvocationClock,
) -> Result<Dropped, Failure> {
    let shards = stream::iter(0..SHARDS).map(|shard| drop_shard(manage, rows, webhook, shard, clock));
    let dropped: Vec<Dropped> = shards.buffer_unordered(usize::from(SHARDS)).try_collect().await?;
    Ok(dropped.into_iter().fold(Dropped::default(), |mut all, shard| {
        all += shard;
        all
    }))
}

async fn drop_shard(
    manage: &Manage,
    table: Rows,
    webhook: &WebhookId,
    shard: u8,
    clock: InvocationClock,
) -> Result<Dropped, Failure> {
    let mut rows = 0;
    loop {
        if clock.left() < RESERVE {
            return Ok(Dropped { rows, more: true });
        }
        let keys = table.keys(manage, webhook, shard).await?;
        if keys.is_empty() {
            return Ok(Dropped { rows, more: false });
        }
        let drops = stream::iter(&keys).map(|key| table.drop(manage, key)).buffer_unordered(CONCURRENT_DROPS);
        drops.try_collect::<()>().await?;
        rows += keys.len();
    }
}
