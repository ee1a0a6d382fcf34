//! The API's own description, OpenAPI 3.1.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::http_api::answer;

/// The description, as the repository holds it.
pub(crate) const DOCUMENT: &str = include_str!("openapi.json");

pub(crate) fn document() -> ApiGatewayV2httpResponse {
    answer(200, "application/json", DOCUMENT.to_owned())
}
