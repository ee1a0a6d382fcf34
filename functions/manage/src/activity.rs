//! `GET /webhooks/{webhook}/activity`: a webhook's last hours, from its attempt log.

use carteiro_adapters::runtime::http_api::json;
use carteiro_core::activity::{self, Hour, MAX_HOURS};
use carteiro_core::problem::Problem;
use carteiro_core::webhook::AttemptLog;
use serde::Serialize;
use utoipa::ToSchema;

use crate::call::{Call, Response};
use crate::openapi::examples;
use crate::values::{self, one_of};

/// A webhook's last hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Activity {
    /// The hours, the oldest first. The last one is under way.
    #[schema(value_type = Vec<values::Hour>)]
    pub(crate) data: Vec<Hour>,
    /// Which attempts the webhook logs, and so which counts there are.
    #[schema(
        value_type = String,
        extensions(("x-schema" = json!(one_of([AttemptLog::Failures, AttemptLog::All, AttemptLog::None])))),
    )]
    pub(crate) logged: AttemptLog,
    /// Whether the log has more than was read. Hours of which not all was read have no counts.
    pub(crate) more: bool,
}

/// Read a webhook's last hours
///
/// How many attempts failed and succeeded in each of the last hours, and after how many the item was held, from the
/// attempt log. A long log is read back for a part of the time alone.
#[utoipa::path(
    get,
    path = "/webhooks/{webhook}/activity",
    operation_id = "readActivity",
    tag = "webhooks",
    security(("accountKey" = []), ("adminKey" = [])),
    responses((
        status = 200,
        description = "The hours.",
        body = Activity,
        example = json!(examples::activity()),
    )),
)]
pub(crate) async fn read(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let hours = request
        .query("hours")
        .map_or(Some(MAX_HOURS), |hours| hours.parse().ok().filter(|hours| (1..=MAX_HOURS).contains(hours)));
    let detail = || format!("a whole number from 1 to {MAX_HOURS} is expected");
    let hours = hours.ok_or_else(|| Problem::invalid_field("hours", detail()))?;
    let webhook = call.webhook().await?;
    let (now, log) = (clock.now(), webhook.settings.log);
    let since = activity::begins(hours, now);
    let glimpse = manage.attempts.glimpse(&webhook.id, since, now).await?;
    let data = activity::count(&glimpse.attempts, log, hours, glimpse.whole_since, now);
    Ok(json(200, &Activity { data, logged: log, more: glimpse.whole_since > since }))
}
