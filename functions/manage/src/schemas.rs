//! `GET /schemas/collected-item.json`: the form of collected items, for their receivers.
//!
//! It is the core's own ([`SCHEMA`]), and the same for everybody, so that no key is needed.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::runtime::http_api::answer;
use carteiro_networks::collected::SCHEMA;
use http::header::{CACHE_CONTROL, HeaderValue};

/// An hour: a schema changes with a deployment at most.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// Read the schema of collected items
///
/// The form of the items of types `publication` and `interaction`, as a JSON Schema (2020-12) with an example: what
/// the schema `CollectedItem` is here. No key is needed.
#[utoipa::path(
    get,
    path = "/schemas/collected-item.json",
    operation_id = "readCollectedItemSchema",
    tag = "description",
    security(()),
    responses(
        (
            status = 200, description = "The schema. It may be kept for an hour.",
            body = Object,
            content_type = "application/schema+json",
            headers(("Cache-Control" = String, description = "How long it may be kept: `public, max-age=3600`.")),
        ),
    ),
)]
pub(crate) fn collected_item() -> ApiGatewayV2httpResponse {
    let mut response = answer(200, "application/schema+json", SCHEMA.to_owned());
    response.headers.insert(CACHE_CONTROL, KEPT);
    response
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::encodings::Body;

    use super::*;

    #[test]
    fn the_schema_is_answered_as_the_core_holds_it_and_may_be_kept() {
        let answered = collected_item();
        assert_eq!(answered.status_code, 200);
        assert_eq!(answered.headers["content-type"], "application/schema+json");
        assert_eq!(answered.headers["cache-control"], "public, max-age=3600");
        let Some(Body::Text(text)) = answered.body else { panic!("no text") };
        assert_eq!(text, SCHEMA);
    }
}
