//! Webhooks and pages, as a customer sees them.

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::tables::poll::Schedule;
use carteiro_core::webhook::Webhook;
use carteiro_networks::freshness::Counts;
use carteiro_networks::page::{Page, TickResult};
use carteiro_networks::page_notice;
use carteiro_networks::push::subscription::SubscriptionState;
use jiff::Timestamp;

use crate::context::Manage;
use crate::values::Time;
use crate::{answers, status};

/// A webhook, without its secret, its private key and the values of its headers.
pub(crate) fn webhook(webhook: &Webhook, now: Timestamp) -> answers::Webhook {
    let (settings, credentials) = (webhook.settings.clone(), &webhook.credentials);
    let public_key = credentials.public_key();
    answers::Webhook {
        id: webhook.id.clone(),
        headers: settings.masked_headers().into_iter().map(|(name, mask)| (name.to_owned(), mask)).collect(),
        url: settings.url,
        items: settings.items,
        sources: settings.sources,
        while_blocked: settings.while_blocked,
        log: settings.log,
        description: settings.description,
        enabled: settings.enabled,
        disabled_by: webhook.disabled_by,
        threshold: settings.threshold,
        block_seconds: settings.block_seconds,
        key_pair: public_key.is_some(),
        public_key,
        replaced_until: credentials.replaced_until(now).map(Time),
        revision: webhook.revision,
        created_at: webhook.created_at.into(),
        updated_at: webhook.updated_at.into(),
    }
}

/// A webhook with its secret: in the answer to what made that secret, and nowhere else.
pub(crate) fn with_secret(webhook: &Webhook, now: Timestamp) -> answers::WebhookWithSecret {
    let secret = webhook.credentials.secret().reveal();
    answers::WebhookWithSecret { webhook: self::webhook(webhook, now), secret }
}

/// A page with its schedule and without its token; with its freshness, where that was read and something came.
pub(crate) fn page(
    page: &Page,
    schedule: Option<&Schedule>,
    freshness: Option<&Counts>,
    now: Timestamp,
) -> answers::Page {
    let token = &page.token;
    let silence = schedule.and_then(|schedule| schedule.silence.as_ref());
    answers::Page {
        id: page.id.clone(),
        network: page.network,
        network_id: page.network_id.clone(),
        name: page.name.clone(),
        delivery: page.delivery,
        login: page.login,
        ad_account: page.ad_account.clone(),
        proven: page.proven,
        token: answers::PageToken {
            state: token.state,
            cause: token.cause,
            expires_at: token.expires_at.map(Time),
            consent_ends_at: token.consent_ends_at.map(Time),
            permission: token.permission.clone(),
            since: token.since.map(Time),
            why: token.why.clone(),
            message: page_notice::message(page, now),
        },
        push: push(page, schedule, now),
        last_tick: schedule.and_then(|schedule| last_tick(page, schedule)),
        next_at: schedule.and_then(|schedule| schedule.next_at).map(Time),
        every_minutes: schedule.and_then(|schedule| schedule.every_minutes),
        silence: silence.map(|silence| answers::PageSilence {
            since: silence.since.into(),
            usual_hours: silence.usual_hours,
        }),
        freshness: freshness.filter(|counts| !counts.is_empty()).map(Counts::shown),
        created_at: page.created_at.into(),
        updated_at: page.updated_at.into(),
    }
}

/// What came of asking the network about a page last.
fn last_tick(page: &Page, schedule: &Schedule) -> Option<answers::LastTick> {
    schedule.last.as_ref().map(|last| answers::LastTick {
        at: last.at.into(),
        result: last.result,
        new: last.new,
        calls: last.calls,
        more: last.result == TickResult::More,
        cause: last.cause,
        message: last.cause.map(|cause| cause.message(page.network)),
    })
}

/// The page's subscription to its network's pushes; None where the network is not asked for any page by page.
fn push(page: &Page, schedule: Option<&Schedule>, now: Timestamp) -> Option<answers::PagePush> {
    page.network.spec().push.and_then(|push| push.subscription)?;
    let known = schedule.and_then(|schedule| schedule.push.as_ref());
    let state = known.map_or(SubscriptionState::Off, |known| known.state(now));
    let until = known.and_then(|known| known.in_force_until(now)).map(Time);
    Some(answers::PagePush { state, until })
}

/// A webhook with its state, and with that of each item type that it takes.
pub(crate) async fn with_status(
    manage: &Manage,
    webhook: &Webhook,
    now: Timestamp,
) -> Result<answers::WebhookWithStatus, AdapterError> {
    let status::Status { state, trouble, status } = status::read(manage, webhook, now).await?;
    Ok(answers::WebhookWithStatus { webhook: self::webhook(webhook, now), state, trouble, status })
}
