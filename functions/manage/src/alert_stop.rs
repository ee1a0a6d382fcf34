//! `/alert-stop/{link}`: how whoever reads an alert stops those that would follow, without a key.
//!
//! `GET` changes nothing, because programs that look through mail follow links: it answers a page with a button.
//! `POST` removes the address. It is also what a mail program sends by itself for `List-Unsubscribe` (RFC 8058).
//! The pages are in both languages, load nothing and have no script.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::runtime::http_api::{Request, answer};
use carteiro_core::alert::stop::StopLink;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

use crate::call::Response;
use crate::context::Manage;

const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const BUTTON: &str = "<p lang=\"pt-BR\">Este endereço não receberá mais alertas do Carteiro.</p>\
     <p lang=\"en\">This address will get no more alerts of Carteiro.</p>\
     <form method=\"post\"><button>Parar de receber alertas · Stop alerts</button></form>";

const DONE: &str = "<p lang=\"pt-BR\">Pronto: este endereço não recebe mais alertas.</p>\
     <p lang=\"en\">Done: this address gets no more alerts.</p>";

const NOT_GOOD: &str = "<p lang=\"pt-BR\">Este link não vale, ou o endereço já foi removido.</p>\
     <p lang=\"en\">This link is not good, or the address was removed already.</p>";

/// Show how to stop an address's alerts
///
/// A page with a button, for who reads an alert. It changes nothing: programs that look through mail follow links.
#[utoipa::path(
    get,
    path = "/alert-stop/{link}",
    operation_id = "showAlertStop",
    tag = "alerts",
    security(()),
    responses(
        (
            status = 200, description = "The page.",
            body = String,
            headers(("Content-Security-Policy" = String, description = "Allows a form of this page, and nothing else.")),
            content_type = "text/html",
        ),
    ),
)]
pub(crate) fn page() -> ApiGatewayV2httpResponse {
    html(BUTTON)
}

/// Stop an address's alerts
///
/// Removes the address that the link of an alert names. Mail programs send this for `List-Unsubscribe` (RFC 8058).
/// The body is not read.
#[utoipa::path(
    post,
    path = "/alert-stop/{link}",
    operation_id = "stopAlerts",
    tag = "alerts",
    security(()),
    responses(
        (
            status = 200, description = "A page that says whether it was removed.",
            body = String,
            headers(("Content-Security-Policy" = String, description = "Allows a form of this page, and nothing else.")),
            content_type = "text/html",
        ),
    ),
)]
pub(crate) async fn stop(manage: &Manage, request: &Request) -> Response {
    let Ok(link) = request.path("link").parse::<StopLink>() else { return Ok(html(NOT_GOOD)) };
    let alert = manage.config.find_alert(&link.account, &link.alert).await?;
    if !alert.is_some_and(|alert| link.is_of(&alert)) {
        return Ok(html(NOT_GOOD));
    }
    manage.config.delete_alert(&link.account, &link.alert).await?;
    tracing::info!(alert = link.alert.as_str(), "alert.stopped");
    Ok(html(DONE))
}

fn html(body: &str) -> ApiGatewayV2httpResponse {
    let page = format!(
        "<!doctype html><html lang=\"pt-BR\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Carteiro</title><main>{body}</main></html>"
    );
    let mut response = answer(200, "text/html; charset=utf-8", page);
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ] {
        response.headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
