//! The caller of a request: an account, by its key, or the operator, by the deployment's admin key.

use carteiro_adapters::runtime::http_api::{Failure, Request};
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_core::id::AccountId;
use carteiro_core::key::{ApiKey, KeyHash};
use carteiro_core::problem::Problem;

/// The caller of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The operator.
    Admin,
    /// A customer.
    Account(AccountId),
}

/// Finds the caller of a request. Without `admin`, the operator's key is not known.
///
/// # Errors
/// 401 where there is no key or none that is known.
pub async fn caller(
    request: &Request,
    table: &ConfigTable,
    admin: Option<&KeyHash>,
) -> Result<Caller, Failure> {
    let missing = || Problem::unauthorized("send the header Authorization: Bearer <key>");
    let header = request.header("authorization").ok_or_else(missing)?;
    let hash = ApiKey::from_authorization(&header).ok_or_else(missing)?.hash();
    if admin == Some(&hash) {
        return Ok(Caller::Admin);
    }
    let account = table.find_key(&hash).await?;
    let account = account.ok_or_else(|| Problem::unauthorized("this key is not known, or was revoked"))?;
    Ok(Caller::Account(account))
}

impl Caller {
    /// The account that asks.
    ///
    /// # Errors
    /// 403 for the operator, who has no webhooks or bots.
    pub fn account(self) -> Result<AccountId, Failure> {
        match self {
            Self::Account(account) => Ok(account),
            Self::Admin => {
                Err(Problem::forbidden("this is the admin key; an account's key is needed").into())
            }
        }
    }

    /// Makes sure that the operator asks.
    ///
    /// # Errors
    /// 403 for an account.
    pub fn admin(self) -> Result<(), Failure> {
        match self {
            Self::Admin => Ok(()),
            Self::Account(_) => Err(Problem::forbidden("the admin key is needed").into()),
        }
    }
}
