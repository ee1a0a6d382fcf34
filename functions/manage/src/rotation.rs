//! `POST /webhooks/{webhook}/secret`: a new secret for a webhook, and a new key pair where that is asked for. What they
//! replace signs beside them for a while.
//!
//! A rotation is a new revision, with all that follows. Two at once both succeed, one after the other: the row is
//! changed on condition that nobody else changed it, and the later one keeps what the earlier one made, as replaced.
//!
//! Not guaranteed: that a request which was answered with an error, or not at all, changed nothing. A repeat with a
//! secret of the customer's own changes nothing more; one without makes another.

use carteiro_adapters::runtime::http_api::json;
use carteiro_adapters::tables::config::Replaced;
use carteiro_core::credentials::{MAX_REPLACED, Rotation, RotationError};
use carteiro_core::problem::{FieldError, Problem};

use crate::call::{Call, Response};
use crate::openapi::{examples, refusals, requests};
use crate::webhooks::{self, CHANGE_TRIES};
use crate::{answers, body, view};

/// Rotate a webhook's secret
///
/// Gives the webhook a new secret, and a new key pair where that is asked for. What was there before signs beside it
/// for 24 hours, or for `overlap_seconds`: deliveries carry one signature for each. It is a new revision: it ends
/// every block and every count of failures, and releases what is held for them. Two rotations at once both succeed,
/// one after the other, and the earlier one's secret counts as replaced. At most 10 replaced secrets, and 10 replaced
/// key pairs, sign at a time; one more is refused until one has ended, or with `overlap_seconds` 0. Deliveries whose
/// batch read the webhook before this answer are signed as it was then: their attempts end within the deadline. A
/// repeat of a request that was not answered makes another secret, unless it names one.
#[utoipa::path(
    post,
    path = "/webhooks/{webhook}/secret",
    operation_id = "rotateSecret",
    tag = "webhooks",
    security(("accountKey" = [])),
    request_body(
        content = Option<requests::RotationRequest>,
        content_type = "application/json",
        description = "Nothing, or how to rotate.",
        examples(
            ("as-usual" = (value = json!({}))),
            ("leaked" = (value = json!({"overlap_seconds": 0, "key_pair": true}))),
            ("own-secret" = (value = json!({"secret": "whsec_YW4gZXhhbXBsZSBvZiBhIHNlY3JldCwgMzIgYnl0ZXM="}))),
        ),
    ),
    responses(
        (
            status = 200, description = "The webhook, with its new secret.",
            body = answers::WebhookWithSecret,
            example = json!(examples::rotated_webhook()),
        ),
        (status = 409, response = refusals::Conflict),
    ),
    extensions(("x-max-replaced" = json!(MAX_REPLACED))),
)]
pub(crate) async fn rotate(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    call.account()?;
    let given = body::optional_object(request)?;
    let rotation = Rotation::from_json(&given).map_err(Problem::invalid_fields)?;
    // Drawn once: where the answer to a write was lost and the write was made, the next try finds it made.
    let fresh = webhooks::fresh()?;
    let mut lost = None;
    for _ in 0..CHANGE_TRIES {
        let webhook = call.webhook().await?;
        let now = clock.now();
        let rotated = webhook.credentials.rotated(&rotation, &fresh, now).map_err(refused)?;
        let Some(changed) = webhook.recredentialed(&rotated, now) else {
            if let Some(old) = lost {
                webhooks::follow_up(manage, &old, &webhook, clock).await;
            }
            return Ok(json(200, &view::with_secret(&webhook, now)));
        };
        if manage.config.replace_webhook(&changed).await? == Replaced::Done {
            webhooks::follow_up(manage, &webhook, &changed, clock).await;
            return Ok(json(200, &view::with_secret(&changed, now)));
        }
        lost = Some(webhook);
    }
    Err(Problem::conflict("others changed this webhook at the same time; read it and try again").into())
}

fn refused(error: RotationError) -> Problem {
    match error {
        RotationError::NoKeyPair => {
            Problem::invalid_fields(vec![FieldError::new("key_pair", error.to_string())])
        }
        RotationError::TooMany => Problem::invalid(error.to_string()),
    }
}
