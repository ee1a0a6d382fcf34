//! Accounts and their keys: the operator's.

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::http_api::{Failure, Request, empty, json};
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::config::Created;
use carteiro_adapters::tables::config::{Account, NewKey};
use carteiro_core::account_limit::{Limited, MAX_KEYS_PER_ACCOUNT};
use carteiro_core::id::{AccountId, KeyId};
use carteiro_core::key::ApiKey;
use carteiro_core::problem::Problem;

use crate::call::{Call, Response, no_such_account};
use crate::openapi::{examples, requests};
use crate::{answers, body, lists, pages, webhooks};

/// The longest name of an account, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 256;

/// The list of accounts, as cursors name it.
const LIST: &str = "accounts";

/// Create an account
///
/// Creates an account and its first key. The key is in the answer and is never shown again.
#[utoipa::path(
    post,
    path = "/accounts",
    operation_id = "createAccount",
    tag = "accounts",
    security(("adminKey" = [])),
    request_body(
        content = requests::AccountRequest,
        content_type = "application/json",
        description = "The account's name.",
        example = json!({"name": "Example Ltda"}),
    ),
    responses(
        (
            status = 201, description = "The account, with its first key.",
            body = answers::AccountWithKey,
            example = json!(examples::account_with_key()),
        ),
    ),
)]
pub(crate) async fn create(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    call.admin()?;
    let given = body::object(request)?;
    let mut errors = body::only(&given, &["name"]);
    let name =
        body::text(&given, "name", MAX_NAME_BYTES).map_err(|error| errors.push(error)).unwrap_or_default();
    if !errors.is_empty() {
        return Err(Problem::invalid_fields(errors).into());
    }
    let account = Account { id: AccountId::from_bits(random::bits128()?), name, created_at: clock.now() };
    let (key, new_key) = make_key()?;
    manage.config.create_account(&account, &new_key).await?;
    Ok(json(
        201,
        &answers::AccountWithKey {
            account: shown(account),
            key_id: new_key.id,
            key: key.reveal().to_owned(),
        },
    ))
}

/// List accounts
///
/// All accounts of the deployment.
#[utoipa::path(
    get,
    path = "/accounts",
    operation_id = "listAccounts",
    tag = "accounts",
    security(("adminKey" = [])),
    responses(
        (
            status = 200, description = "A page of accounts.",
            body = answers::AccountList,
            example = json!(examples::accounts()),
        ),
    ),
)]
pub(crate) async fn list(call: &Call<'_>) -> Response {
    let Call { manage, request, .. } = *call;
    call.admin()?;
    let position = lists::position(request, LIST, |key| key.parse::<AccountId>().is_ok())?;
    let page = manage.config.list_accounts(position.limit, position.after.as_deref()).await?;
    Ok(json(200, &lists::page::<_, answers::AccountList>(LIST, page, shown)))
}

/// An account, as the operator sees it.
fn shown(account: Account) -> answers::Account {
    answers::Account { id: account.id, name: account.name, created_at: account.created_at.into() }
}

/// Delete an account
///
/// Revokes the account's keys, then deletes its pages with their tokens, then its webhooks with the items that wait
/// for them, then the account. One that was cut short is finished by a repeat.
#[utoipa::path(
    delete,
    path = "/accounts/{account}",
    operation_id = "deleteAccount",
    tag = "accounts",
    security(("adminKey" = [])),
    responses(
        (
            status = 200, description = "It is deleted. The numbers are of all its webhooks and pages together.",
            body = answers::Dropped,
            example = json!(examples::dropped(12)),
        ),
    ),
)]
// Deletes an account: it is closed, and its keys and sessions go first, so that nobody adds to it; then its pages, so
// that nothing more comes in, with their tokens; then its webhooks with their held and dead items, and its alerts; its
// own row last. The next deletion finishes one that was cut short.
pub(crate) async fn delete(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    call.admin()?;
    let account = account(request)?;
    if !manage.config.close_account(&account).await? {
        return Err(no_such_account().into());
    }
    manage.config.delete_all_keys(&account).await?;
    manage.sessions.end_all(&account, None, clock.now()).await?;
    let in_part = || Problem::unavailable("the account is deleted in part; repeat the request to go on");
    let mut dropped = pages::delete_all(manage, &account, clock).await?.ok_or_else(in_part)?;
    for webhook in manage.config.all_webhooks(&account).await? {
        if clock.left() < webhooks::RESERVE {
            return Err(in_part().into());
        }
        manage.config.delete_webhook(&account, &webhook.id).await?;
        dropped += webhooks::drop_waiting(manage, &webhook, clock).await?;
    }
    manage.config.delete_all_alerts(&account).await?;
    manage.config.drop_places(&account).await?;
    manage.config.delete_account_row(&account).await?;
    Ok(json(200, &dropped.view()))
}

/// Create a key
///
/// Adds a key to an account, which has at most 100. The key is in the answer and is never shown again. The request
/// has no body.
#[utoipa::path(
    post,
    path = "/accounts/{account}/keys",
    operation_id = "createKey",
    tag = "accounts",
    security(("adminKey" = [])),
    responses(
        (
            status = 201, description = "The key.",
            body = answers::KeyWithSecret,
            example = json!(examples::key()),
        ),
    ),
    extensions(("x-max-keys" = json!(MAX_KEYS_PER_ACCOUNT))),
)]
pub(crate) async fn create_key(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    call.admin()?;
    let account = account(request)?;
    let (key, new_key) = make_key()?;
    match manage.config.create_key(&account, &new_key, clock.now()).await? {
        Created::Done => {}
        Created::TooMany => return Err(Limited::Keys.problem().into()),
        Created::NoAccount => return Err(no_such_account().into()),
        Created::Exists => return Err(AdapterError::contended("creating a key").into()),
    }
    let (id, key) = (new_key.id, key.reveal().to_owned());
    Ok(json(201, &answers::KeyWithSecret { id: id.clone(), key_id: id, key }))
}

/// Revoke a key
///
/// The key is refused from now on.
#[utoipa::path(
    delete,
    path = "/accounts/{account}/keys/{key}",
    operation_id = "deleteKey",
    tag = "accounts",
    security(("adminKey" = [])),
    responses(
        (status = 204, description = "It is revoked."),
    ),
)]
pub(crate) async fn delete_key(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    call.admin()?;
    let account = account(request)?;
    let key: Option<KeyId> = request.path("key").parse().ok();
    let key = key.ok_or_else(|| Problem::not_found("the account has no such key"))?;
    let is_revoked = manage.config.delete_key(&account, &key).await?;
    // Of a key that is gone, too: a revocation that was cut short may have left some.
    manage.sessions.end_all(&account, Some(&key), clock.now()).await?;
    if is_revoked { Ok(empty(204)) } else { Err(Problem::not_found("the account has no such key").into()) }
}

fn make_key() -> Result<(ApiKey, NewKey), AdapterError> {
    let key = ApiKey::from_random(random::bytes()?);
    let new_key = NewKey { id: KeyId::from_bits(random::bits128()?), hash: key.hash() };
    Ok((key, new_key))
}

fn account(request: &Request) -> Result<AccountId, Failure> {
    request.path("account").parse().map_err(|_| no_such_account().into())
}
