//! Ends blocks and enables webhooks, and releases at once the items that were held for them.
//!
//! Each such act, a new revision among them, releases everything that was held by the state before it, retries too. A
//! batch that read that state may hold more for as long as it runs, so the release is looked at twice: now, and when
//! all such batches have ended.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::work::Work;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::http_api::{Failure, json};
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::config::Replaced;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_adapters::tables::waiting::keys::ReleaseKey;
use carteiro_core::item::ItemType;
use carteiro_core::notice;
use carteiro_core::problem::Problem;
use carteiro_core::release::SECOND_LOOK;
use carteiro_core::streak::{self, Answer};
use carteiro_core::webhook::{Settings, Webhook};

use crate::call::{Call, Response};
use crate::context::Manage;
use crate::openapi::{examples, refusals};
use crate::{answers, view};

/// How often enabling is tried again when somebody else changed the same webhook meanwhile.
const TRIES: usize = 5;

/// End blocks
///
/// Ends every block of the webhook and every count of failures, and releases at once everything that is held for the
/// webhook, retries included; a retry that is already in the queue, at most 15 minutes ahead, keeps its time. It does
/// not enable a webhook. Where nothing is blocked it answers the same. The request has no body.
#[utoipa::path(
    post,
    path = "/webhooks/{webhook}/unblock",
    operation_id = "unblockWebhook",
    tag = "webhooks",
    security(("accountKey" = [])),
    responses(
        (
            status = 200, description = "The webhook, with the state of each item type that it takes.",
            body = answers::WebhookWithStatus,
            example = json!(examples::webhook_with_open_types()),
        ),
    ),
)]
pub(crate) async fn unblock(call: &Call<'_>) -> Response {
    let Call { manage, clock, .. } = *call;
    let webhook = call.webhook().await?;
    let mut work = Vec::new();
    for item_type in &webhook.settings.items {
        let key = StreakKey {
            account: webhook.account.clone(),
            webhook: webhook.id.clone(),
            revision: webhook.revision,
            item_type: item_type.clone(),
        };
        if unblock_row(manage, &key, clock).await? {
            let StreakKey { account, webhook, revision, item_type } = key;
            work.push((Work::Notify { account, webhook, revision, item_type }, Duration::ZERO));
        }
    }
    if let Err(error) = manage.work.send(&work).await {
        // A tick sends the notices.
        tracing::warn!(webhook = webhook.id.as_str(), error = error.chain(), "notices.not_hastened");
    }
    release_all(manage, &webhook, clock).await;
    Ok(json(200, &view::with_status(manage, &webhook, clock.now()).await?))
}

/// Ends block and streak of one row, and answers whether that leaves a notice.
async fn unblock_row(manage: &Manage, key: &StreakKey, clock: InvocationClock) -> Result<bool, Failure> {
    let epoch = format!("{:032x}", random::bits128()?);
    let now = clock.now();
    for write in [streak::unblock_untold(&epoch, now), streak::unblock(&epoch, now)] {
        match manage.streaks.write(key, &write, clock).await? {
            // A repeat of the request is welcome and does no harm.
            Answer::Lost => {
                return Err(
                    Problem::unavailable("it is not certain that the block was ended; try again").into()
                );
            }
            Answer::Made => return Ok(notice::is_left_by(&write)),
            // There is nothing to end.
            Answer::Refused(None) => return Ok(false),
            // The other write fits, or neither does.
            Answer::Refused(Some(_)) | Answer::Row(_) => {}
        }
    }
    Ok(false)
}

/// Enable a webhook
///
/// Enables a webhook that its owner or a 410 disabled, as `enabled: true` in a patch does, and releases at once what
/// was held meanwhile. It ends no block. Where it is enabled already it changes nothing and answers the same. The
/// request has no body.
#[utoipa::path(
    post,
    path = "/webhooks/{webhook}/enable",
    operation_id = "enableWebhook",
    tag = "webhooks",
    security(("accountKey" = [])),
    responses(
        (
            status = 200, description = "The webhook, with the state of each item type that it takes.",
            body = answers::WebhookWithStatus,
            example = json!(examples::webhook_with_open_types()),
        ),
        (status = 409, response = refusals::Conflict),
    ),
)]
pub(crate) async fn enable(call: &Call<'_>) -> Response {
    let Call { manage, clock, .. } = *call;
    call.account()?;
    for _ in 0..TRIES {
        let webhook = call.webhook().await?;
        let enabled = Settings { enabled: true, ..webhook.settings.clone() };
        let Some(changed) = webhook.set(enabled, clock.now()) else {
            // An earlier request may have enabled it and have been cut short.
            release_all(manage, &webhook, clock).await;
            return Ok(json(200, &view::with_status(manage, &webhook, clock.now()).await?));
        };
        if manage.config.replace_webhook(&changed).await? == Replaced::Done {
            release_all(manage, &changed, clock).await;
            return Ok(json(200, &view::with_status(manage, &changed, clock.now()).await?));
        }
    }
    Err(Problem::conflict("others changed this webhook at the same time; try again").into())
}

/// Releases at once the items of every type that were held for a webhook by the state before `now`: a batch under way
/// may be about to hold one of a type of which nothing is held yet. Where that fails, a tick does it at the time that
/// was set before: the block's end, the retry's, or within half an hour.
pub(crate) async fn release_all(manage: &Manage, webhook: &Webhook, clock: InvocationClock) {
    if let Err(error) = try_release_all(manage, webhook, clock).await {
        tracing::warn!(webhook = webhook.id.as_str(), error = error.chain(), "release.not_hastened");
    }
}

async fn try_release_all(
    manage: &Manage,
    webhook: &Webhook,
    clock: InvocationClock,
) -> Result<(), AdapterError> {
    let mut work = Vec::new();
    for item_type in ItemType::KNOWN {
        let key = ReleaseKey { webhook: webhook.id.clone(), item_type };
        // Not before the act itself was written: what read the state after that is none of it.
        manage.held.releases.release_all(&key, &webhook.account, clock.now()).await?;
        work.push(Work::release(webhook.account.clone(), key.webhook, key.item_type));
    }
    // After the rows were written: a look that is to come sees them.
    let Some(delay) = manage.held.releases.request_looks(&webhook.id, clock.now()).await? else {
        return Ok(());
    };
    let looks = work.into_iter().flat_map(|work| [(work.clone(), delay), (work, delay + SECOND_LOOK)]);
    manage.work.send(&looks.collect::<Vec<_>>()).await
}
