//! Accounts and their keys: the operator's.

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::http_api::{Failure, Request, empty, json};
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::config::Created;
use carteiro_adapters::tables::config::{Account, NewKey};
use carteiro_core::account_limit::Limited;
use carteiro_core::id::{AccountId, KeyId};
use carteiro_core::key::ApiKey;
use carteiro_core::problem::Problem;
use carteiro_core::time;
use serde_json::json;

use crate::call::{Call, Response, no_such_account};
use crate::{body, lists, pages, webhooks};

/// The longest name of an account, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// The list of accounts, as cursors name it.
const LIST: &str = "accounts";

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
        &json!({
            "id": account.id,
            "name": account.name,
            "created_at": time::shown(account.created_at),
            "key_id": new_key.id,
            "key": key.reveal(),
        }),
    ))
}

pub(crate) async fn list(call: &Call<'_>) -> Response {
    let Call { manage, request, .. } = *call;
    call.admin()?;
    let position = lists::position(request, LIST, |key| key.parse::<AccountId>().is_ok())?;
    let page = manage.config.list_accounts(position.limit, position.after.as_deref()).await?;
    let view = |account: Account| json!({"id": account.id, "name": account.name, "created_at": time::shown(account.created_at)});
    Ok(json(200, &lists::page(LIST, page, view)))
}

/// Deletes an account: it is closed and its keys go first, so that nobody adds to it; then its pages, so that nothing
/// more comes in, with their tokens; then its webhooks with their held and dead items; its own row last. The next
/// deletion finishes one that was cut short.
pub(crate) async fn delete(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    call.admin()?;
    let account = account(request)?;
    if !manage.config.close_account(&account).await? {
        return Err(no_such_account().into());
    }
    manage.config.delete_all_keys(&account).await?;
    let in_part = || Problem::unavailable("the account is deleted in part; repeat the request to go on");
    let mut dropped = pages::delete_all(manage, &account, clock).await?.ok_or_else(in_part)?;
    for webhook in manage.config.all_webhooks(&account).await? {
        if clock.left() < webhooks::RESERVE {
            return Err(in_part().into());
        }
        manage.config.delete_webhook(&account, &webhook.id).await?;
        dropped += webhooks::drop_waiting(manage, &webhook, clock).await?;
    }
    manage.config.drop_places(&account).await?;
    manage.config.delete_account_row(&account).await?;
    Ok(json(200, &dropped.view()))
}

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
    Ok(json(201, &json!({"id": new_key.id, "key": key.reveal()})))
}

pub(crate) async fn delete_key(call: &Call<'_>) -> Response {
    let Call { manage, request, .. } = *call;
    call.admin()?;
    let account = account(request)?;
    let key: Option<KeyId> = request.path("key").parse().ok();
    let key = key.ok_or_else(|| Problem::not_found("the account has no such key"))?;
    if manage.config.delete_key(&account, &key).await? {
        Ok(empty(204))
    } else {
        Err(Problem::not_found("the account has no such key").into())
    }
}

fn make_key() -> Result<(ApiKey, NewKey), AdapterError> {
    let key = ApiKey::from_random(random::bytes()?);
    let new_key = NewKey { id: KeyId::from_bits(random::bits128()?), hash: key.hash() };
    Ok((key, new_key))
}

fn account(request: &Request) -> Result<AccountId, Failure> {
    request.path("account").parse().map_err(|_| no_such_account().into())
}
