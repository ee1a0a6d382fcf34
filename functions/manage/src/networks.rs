//! What the operator has to mend at the networks.

use carteiro_adapters::runtime::http_api::json;
use carteiro_adapters::tables::poll::StoredFault;

use crate::answers;
use crate::call::{Call, Response};
use crate::openapi::examples;

/// List what the operator has to mend
///
/// What only the deployment's operator can mend: refusals of the app, and a version of an API that ends soon. One
/// element for each network and cause, without pages. An element goes when the network answers the pages without it;
/// one that no poll met again goes after 25 hours.
#[utoipa::path(
    get,
    path = "/networks",
    operation_id = "listNetworkFaults",
    tag = "networks",
    security(("adminKey" = [])),
    responses(
        (
            status = 200, description = "What there is to mend, in the order of the networks.",
            body = answers::NetworkFaultList,
            example = json!(examples::faults()),
        ),
    ),
)]
pub(crate) async fn list(call: &Call<'_>) -> Response {
    call.admin()?;
    let faults = call.manage.page_tables.polls.faults(call.clock.now()).await?;
    let data = faults.iter().map(|(fault, pages)| view(fault, *pages)).collect();
    Ok(json(200, &answers::NetworkFaultList { data, next: None }))
}

/// A fault, with how many pages met it when they were last planned.
fn view(stored: &StoredFault, pages: u64) -> answers::NetworkFault {
    answers::NetworkFault {
        network: stored.network,
        cause: stored.fault,
        message: stored.fault.message(stored.network),
        since: stored.since.into(),
        seen_at: stored.seen_at.into(),
        pages,
    }
}
