//! A call of the API: an authenticated request, and the function's context.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::http_api::{Failure, Request};
use carteiro_core::id::{AccountId, PageId, WebhookId};
use carteiro_core::problem::Problem;
use carteiro_core::session::Role;
use carteiro_core::webhook::Webhook;
use carteiro_networks::page::Page;
use carteiro_services::authentication::{Caller, caller};

use crate::context::Manage;
use crate::openapi::parameters;
use crate::sessions::Entered;

/// A response, or the failure that becomes one.
pub(crate) type Response = Result<ApiGatewayV2httpResponse, Failure>;

/// A call of the API.
pub(crate) struct Call<'a> {
    pub(crate) manage: &'a Manage,
    pub(crate) request: &'a Request,
    pub(crate) clock: InvocationClock,
    caller: Caller,
    /// What the caller may do with what is the account's.
    role: Role,
    /// The account that the request names. The operator reads its things; its own key names no other.
    named: Option<AccountId>,
}

/// What the operator may do beside reading: send an account's dead items again.
const OPERATOR_ACTS: [&str; 1] = ["POST /webhooks/{webhook}/replay"];

/// Whether the operator may make a request for an account.
pub(crate) fn is_open_to_operator(route: &str) -> bool {
    route.starts_with("GET ") || OPERATOR_ACTS.contains(&route)
}

impl<'a> Call<'a> {
    /// Authenticates a request: by its key, or by the cookie of a session of the console, which may not make every
    /// request.
    pub(crate) async fn new(
        manage: &'a Manage,
        request: &'a Request,
        clock: InvocationClock,
    ) -> Result<Self, Failure> {
        let (caller, role) = if Entered::is_meant(request) {
            let entered = Entered::of(manage, request, clock).await?;
            entered.may(request)?;
            (Caller::Account(entered.session.account), entered.session.role)
        } else {
            let caller = caller(request, &manage.config, Some(&manage.admin)).await?;
            let role = if caller == Caller::Admin { Role::Look } else { Role::Change };
            (caller, role)
        };
        if caller == Caller::Admin
            && parameters::is_of_account(request.route())
            && !is_open_to_operator(request.route())
        {
            // Whatever else is wrong: an account's key is needed.
            caller.clone().account()?;
        }
        parameters::refuse_unknown(request)?;
        let named = match request.query("account") {
            Some(account) => named(manage, &caller, request.route(), account).await?,
            None => None,
        };
        Ok(Self { manage, request, clock, caller, role, named })
    }

    /// What the caller may do with what is the account's.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Whether the operator calls.
    pub(crate) fn is_operator(&self) -> bool {
        self.caller == Caller::Admin
    }

    /// Makes sure that the operator calls.
    pub(crate) fn admin(&self) -> Result<(), Failure> {
        self.caller.clone().admin()
    }

    /// The account that calls, or that the operator names.
    pub(crate) fn account(&self) -> Result<AccountId, Failure> {
        match &self.named {
            Some(account) => Ok(account.clone()),
            None if self.is_operator() && is_open_to_operator(self.request.route()) => {
                Err(Problem::forbidden("this is the admin key; name an account with ?account=").into())
            }
            None => self.caller.clone().account(),
        }
    }

    /// The account whose items are meant; None where the operator names none.
    pub(crate) fn account_of_items(&self) -> Option<AccountId> {
        self.account().ok()
    }

    /// The webhook that the path names, if it is the account's.
    pub(crate) async fn webhook(&self) -> Result<Webhook, Failure> {
        let account = self.account()?;
        let id: WebhookId = self.request.path("webhook").parse().map_err(|_| no_such_webhook())?;
        let webhook = self.manage.config.find_webhook(&account, &id).await?;
        webhook.ok_or_else(|| no_such_webhook().into())
    }

    /// The page that the path names, if it is the account's.
    pub(crate) async fn page(&self) -> Result<Page, Failure> {
        let account = self.account()?;
        let id: PageId = self.request.path("page").parse().map_err(|_| no_such_page())?;
        let page = self.manage.config.find_page(&account, &id).await?;
        page.ok_or_else(|| no_such_page().into())
    }
}

/// The account that a request names, where its caller may name it here.
async fn named(
    manage: &Manage,
    caller: &Caller,
    route: &str,
    account: &str,
) -> Result<Option<AccountId>, Failure> {
    let id: AccountId = account.parse().map_err(|_| no_such_account())?;
    let may = match caller {
        Caller::Account(own) => *own == id,
        // It is told that an account's key is needed.
        Caller::Admin if !is_open_to_operator(route) => return Ok(None),
        Caller::Admin => manage.config.account_exists(&id).await?,
    };
    if may { Ok(Some(id)) } else { Err(no_such_account().into()) }
}

/// The answer where there is no such account, or not for the caller.
pub(crate) fn no_such_account() -> Problem {
    Problem::not_found("there is no such account")
}

/// The answer where an account has no such webhook.
pub(crate) fn no_such_webhook() -> Problem {
    Problem::not_found("there is no such webhook")
}

/// The answer where an account has no such page.
pub(crate) fn no_such_page() -> Problem {
    Problem::not_found("there is no such page")
}
