//! Pages: an account's connections to its own pages on networks. Their tokens are taken and never answered: this
//! function can write them and not read them.

use std::collections::HashMap;
use std::fmt::Display;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::poll::Poll;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::http_api::{Failure, json};
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::config::Replaced;
use carteiro_adapters::tables::pages::CreatedPage;
use carteiro_core::account_limit::{Limited, MAX_PAGES_PER_ACCOUNT};
use carteiro_core::id::{AccountId, PageId};
use carteiro_core::problem::{FieldError, Problem};
use carteiro_networks::page::{NewPage, Page};
use carteiro_networks::token_state;
use futures_util::future::try_join;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::call::{Call, Response, no_such_page};
use crate::context::Manage;
use crate::openapi::{examples, refusals, requests};
use crate::read_only::{self, Compared};
use crate::webhooks::{CHANGE_TRIES, CONCURRENT_DROPS, Dropped, RESERVE};
use crate::{answers, body, lists, values, view};

/// How many of an account's pages, and of a page's entries, are read together when all are deleted.
const STEP: u16 = 50;

/// The fields of a page that its owner reads and does not set.
pub(crate) const READ_ONLY: [(&str, Compared); 11] = [
    ("id", Compared::Whole),
    ("proven", Compared::Whole),
    // Its message counts the days that are left.
    ("token", Compared::Without("message")),
    // It is renewed by itself.
    ("push", Compared::Not),
    ("every_minutes", Compared::Whole),
    ("created_at", Compared::Whole),
    ("updated_at", Compared::Whole),
    // These move with every tick.
    ("last_tick", Compared::Not),
    ("next_at", Compared::Not),
    ("silence", Compared::Not),
    ("freshness", Compared::Not),
];

/// How many pages' schedules are read together: as many as one read takes.
const TOGETHER: usize = 100;

/// Connect a page
///
/// An account has at most 1000 pages, and each page of a network once. Two accounts may connect the same one: these
/// are two pages. The tokens are stored under a key of their own and are in no answer, neither this one nor a later
/// one. Every push that arrives after this answer is the new page's too.
#[utoipa::path(
    post,
    path = "/pages",
    operation_id = "createPage",
    tag = "pages",
    security(("accountKey" = [])),
    request_body(
        content = requests::PageRequest,
        content_type = "application/json",
        description = "What the page is, and its tokens.",
        examples(
            ("complete" = (value = json!({"network": "youtube", "network_id": "UCxxxxxxxxxxxxxxxxxxxxxx", "name": "Acme", "access_token": "ya29.example", "refresh_token": "1//example", "expires_at": "2026-11-21T13:00:00Z", "delivery": "by_kind"}))),
            ("least" = (value = json!({"network": "facebook", "network_id": "1234567890321", "name": "Acme", "access_token": "EAAB-example"}))),
        ),
    ),
    responses(
        (
            status = 201, description = "The page, without its tokens.",
            body = answers::Page,
            example = json!(examples::page()),
        ),
        (status = 409, response = refusals::AlreadyExists),
    ),
    extensions(("x-max-pages" = json!(MAX_PAGES_PER_ACCOUNT))),
)]
pub(crate) async fn create(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let account = call.account()?;
    let new = NewPage::from_json(&body::object(request)?).map_err(Problem::invalid_fields)?;
    let (page, token) = new.create(PageId::from_bits(random::bits128()?), account, clock.now());
    match manage.config.create_page(&page, &token, &manage.page_tables).await? {
        CreatedPage::Done => shown(call, 201, &page).await,
        CreatedPage::Duplicate(existing) => Err(duplicate(existing).into()),
        CreatedPage::TooMany => Err(Limited::Pages.problem().into()),
        CreatedPage::NoAccount => Err(Problem::unauthorized("the account of this key was deleted").into()),
    }
}

pub(crate) fn duplicate(existing: impl Display) -> Problem {
    let detail = format!("the account has connected this page as {existing}; change that one instead");
    let errors = vec![FieldError::new("network_id", format!("is that of {existing}"))];
    Problem { errors, ..Problem::already_exists(detail) }
}

/// List pages
///
/// The account's pages, with the states of their tokens.
#[utoipa::path(
    get,
    path = "/pages",
    operation_id = "listPages",
    tag = "pages",
    security(("accountKey" = []), ("adminKey" = [])),
    responses(
        (
            status = 200, description = "A page of the list.",
            body = answers::PageList,
            example = json!(examples::pages()),
        ),
    ),
)]
pub(crate) async fn list(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let account = call.account()?;
    // The account is part of the name, so that a cursor is of no use to another.
    let list = format!("pages {account}");
    let position = lists::position(request, &list, is_page_key)?;
    let listed = manage.config.list_pages(&account, position.limit, position.after.as_deref()).await?;
    let mut schedules = HashMap::new();
    for pages in listed.data.chunks(TOGETHER) {
        let ids: Vec<_> = pages.iter().map(|page| page.id.clone()).collect();
        schedules.extend(manage.page_tables.polls.schedules(&ids).await?);
    }
    let now = clock.now();
    Ok(json(
        200,
        &lists::page::<_, answers::PageList>(&list, listed, |page| {
            view::page(&page, schedules.get(&page.id), None, now)
        }),
    ))
}

/// Read a page
///
/// The page, with the state of its token.
#[utoipa::path(
    get,
    path = "/pages/{page}",
    operation_id = "readPage",
    tag = "pages",
    security(("accountKey" = []), ("adminKey" = [])),
    responses(
        (
            status = 200, description = "The page.",
            body = answers::Page,
            example = json!(examples::read_page()),
        ),
    ),
)]
pub(crate) async fn read(call: &Call<'_>) -> Response {
    let page = call.page().await?;
    shown(call, 200, &page).await
}

/// Collect a page now
///
/// Asks for a collection of the page now, and for a look at its token. It is made within seconds, as far as the
/// account's part of the network's limits allows, and at most once a minute: a second request in a minute is taken
/// and makes none. With a token that is dead (`expired` or `revoked`) none is made: the answer is what is known,
/// until a new token is given. What came of it is in `last_tick` and `token` of a later answer. The request has no
/// body.
#[utoipa::path(
    post,
    path = "/pages/{page}/check",
    operation_id = "checkPage",
    tag = "pages",
    security(("accountKey" = [])),
    responses(
        (
            status = 202, description = "It is asked for. The page as it is before it.",
            body = answers::Page,
            example = json!(examples::page()),
        ),
    ),
)]
// Asks for a collection of the page now. The collector decides whether to make it: at most once a minute, and within
// the account's part of the network's limits. For a page whose token is dead the answer is what is known, because no
// call helps before it has a new one.
pub(crate) async fn check(call: &Call<'_>) -> Response {
    let page = call.page().await?;
    if token_state::is_dead(page.token.state) {
        return shown(call, 202, &page).await;
    }
    let check = Poll::Check { page: page.id.clone(), account: page.account.clone(), network: page.network };
    call.manage.polls.send(&[check]).await?;
    shown(call, 202, &page).await
}

/// An answer that shows a page, with the result of its last collection.
async fn shown(call: &Call<'_>, status: u16, page: &Page) -> Response {
    Ok(json(status, &view(call, page).await?))
}

async fn view(call: &Call<'_>, page: &Page) -> Result<answers::Page, AdapterError> {
    let (manage, now) = (call.manage, call.clock.now());
    let schedules = manage.page_tables.polls.schedules(std::slice::from_ref(&page.id));
    let (schedules, freshness) = try_join(schedules, manage.freshness.last_day(&page.id, now)).await?;
    Ok(view::page(page, schedules.get(&page.id), Some(&freshness), now))
}

/// Change a page, or renew its token
///
/// A new `access_token`, `refresh_token` or `expires_at` sets the token's state to `unknown`, in one step with the
/// token itself. A new `access_token` without an `expires_at` has no known end. `network` and `network_id` cannot
/// change: connect another page instead. A patch that changes nothing is none, and leaves `updated_at` as it is; a
/// token that is given is always a change.
#[utoipa::path(
    patch,
    path = "/pages/{page}",
    operation_id = "changePage",
    tag = "pages",
    security(("accountKey" = [])),
    request_body(
        content = requests::PagePatch,
        content_type = "application/merge-patch+json",
        description = "A JSON merge patch. The content type is not looked at.",
        examples(
            ("renew" = (value = json!({"access_token": "EAAB-another-example", "expires_at": "2027-01-20T12:00:00Z"}))),
            ("at-once" = (value = json!({"delivery": "immediate"}))),
            ("no-end" = (value = json!({"expires_at": null}))),
        ),
    ),
    responses(
        (
            status = 200, description = "The page after the change.",
            body = answers::Page,
            example = json!(examples::changed_page()),
        ),
        (status = 409, response = refusals::Conflict),
    ),
)]
pub(crate) async fn change(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    call.account()?;
    let patch = body::object(request)?;
    for _ in 0..CHANGE_TRIES {
        let page = call.page().await?;
        let (patch, read_only) = if READ_ONLY.iter().any(|(name, _)| patch.contains_key(*name)) {
            read_only::taken_out(&patch, &values::value(&view(call, &page).await?), &READ_ONLY)
        } else {
            (patch.clone(), Vec::new())
        };
        let Some(changed) = read_only::with_errors(page.patched(&patch, clock.now()), read_only)? else {
            return shown(call, 200, &page).await;
        };
        if manage.config.replace_page(&changed, &manage.page_tables).await? == Replaced::Done {
            return shown(call, 200, &changed.page).await;
        }
    }
    Err(Problem::conflict("others changed this page at the same time; read it and try again").into())
}

/// Delete a page
///
/// Its tokens go with it, and from this answer on nothing that its network pushes is taken for it. What waits in its
/// inbox is dropped: what waits to be completed at once, which the answer counts, and what is ready to be handed on
/// with the next tick, which it does not.
#[utoipa::path(
    delete,
    path = "/pages/{page}",
    operation_id = "deletePage",
    tag = "pages",
    security(("accountKey" = [])),
    responses(
        (
            status = 200, description = "It is deleted.",
            body = answers::Dropped,
            example = json!(examples::dropped(0)),
        ),
    ),
)]
pub(crate) async fn delete(call: &Call<'_>) -> Response {
    let Call { manage, clock, .. } = *call;
    let page = call.page().await?;
    match delete_page(manage, &page, clock).await? {
        Some(dropped) => Ok(json(200, &dropped.view())),
        None => Err(no_such_page().into()),
    }
}

/// Deletes all pages of an account that nobody can add to any more. None where there was no time for all.
pub(crate) async fn delete_all(
    manage: &Manage,
    account: &AccountId,
    clock: InvocationClock,
) -> Result<Option<Dropped>, Failure> {
    let mut dropped = Dropped::default();
    loop {
        let pages = manage.config.list_pages(account, STEP, None).await?;
        if pages.data.is_empty() {
            return Ok(Some(dropped));
        }
        for page in &pages.data {
            if clock.left() < RESERVE {
                return Ok(None);
            }
            dropped += delete_page(manage, page, clock).await?.unwrap_or_default();
        }
    }
}

/// Deletes a page: its route, token and row, all at once, so that no more of its network's pushes come in; then the
/// incomplete entries of its inbox. The next tick drops the ready ones. None where it was deleted meanwhile.
async fn delete_page(
    manage: &Manage,
    page: &Page,
    clock: InvocationClock,
) -> Result<Option<Dropped>, Failure> {
    if !manage.config.delete_page(page, &manage.page_tables).await? {
        return Ok(None);
    }
    let (mut rows, mut mark) = (0, None);
    loop {
        if clock.left() < RESERVE {
            return Ok(Some(Dropped { rows, more: true }));
        }
        let (places, next) = manage.inbox.incomplete(&page.id, STEP, mark).await?;
        let drops = stream::iter(&places).map(|place| manage.inbox.drop_incomplete(place));
        let dropped: Vec<bool> = drops.buffer_unordered(CONCURRENT_DROPS).try_collect().await?;
        rows += dropped.into_iter().filter(|dropped| *dropped).count();
        mark = next;
        if mark.is_none() {
            return Ok(Some(Dropped { rows, more: false }));
        }
    }
}

fn is_page_key(key: &str) -> bool {
    key.strip_prefix("page#").is_some_and(|id| id.parse::<PageId>().is_ok())
}
