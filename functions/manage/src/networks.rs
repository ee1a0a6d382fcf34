//! What the operator has to mend at the networks.

use carteiro_adapters::runtime::http_api::json;
use carteiro_adapters::tables::poll::StoredFault;
use carteiro_core::time;
use serde_json::{Value, json};

use crate::call::{Call, Response};

/// Lists what only the operator can mend, as polls met it last.
pub(crate) async fn list(call: &Call<'_>) -> Response {
    call.admin()?;
    let faults = call.manage.page_tables.polls.faults(call.clock.now()).await?;
    let data: Vec<Value> = faults.iter().map(|(fault, pages)| view(fault, *pages)).collect();
    Ok(json(200, &json!({"data": data, "next": null})))
}

/// A fault, with how many pages met it when they were last planned.
pub(crate) fn view(stored: &StoredFault, pages: u64) -> Value {
    json!({
        "network": stored.network,
        "cause": stored.fault,
        "message": stored.fault.message(stored.network),
        "since": time::shown(stored.since),
        "seen_at": time::shown(stored.seen_at),
        "pages": pages,
    })
}
