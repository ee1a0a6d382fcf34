//! A call of the API: an authenticated request, and the function's context.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::http_api::{Failure, Request};
use carteiro_core::id::{AccountId, PageId, WebhookId};
use carteiro_core::problem::Problem;
use carteiro_core::webhook::Webhook;
use carteiro_networks::page::Page;
use carteiro_services::authentication::{Caller, caller};

use crate::context::Manage;

/// A response, or the failure that becomes one.
pub(crate) type Response = Result<ApiGatewayV2httpResponse, Failure>;

/// A call of the API.
pub(crate) struct Call<'a> {
    pub(crate) manage: &'a Manage,
    pub(crate) request: &'a Request,
    pub(crate) clock: InvocationClock,
    caller: Caller,
}

impl<'a> Call<'a> {
    /// Authenticates a request.
    pub(crate) async fn new(
        manage: &'a Manage,
        request: &'a Request,
        clock: InvocationClock,
    ) -> Result<Self, Failure> {
        let caller = caller(request, &manage.config, Some(&manage.admin)).await?;
        Ok(Self { manage, request, clock, caller })
    }

    /// Makes sure that the operator calls.
    pub(crate) fn admin(&self) -> Result<(), Failure> {
        self.caller.clone().admin()
    }

    /// The account that calls.
    pub(crate) fn account(&self) -> Result<AccountId, Failure> {
        self.caller.clone().account()
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

/// The answer where an account has no such webhook.
pub(crate) fn no_such_webhook() -> Problem {
    Problem::not_found("there is no such webhook")
}

/// The answer where an account has no such page.
pub(crate) fn no_such_page() -> Problem {
    Problem::not_found("there is no such page")
}
