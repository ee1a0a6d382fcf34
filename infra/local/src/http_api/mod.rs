//! The HTTP API of API Gateway: routes of the template in front of Lambda, payload format 2.0.
//!
//! What fails is answered as the service answers it (API Gateway developer guide, "Troubleshooting HTTP API Lambda
//! integrations" and "Quotas for HTTP APIs"): no route, 404; a request line and headers above 10,240 bytes, 431; a body
//! above 10 MB, or an event above Lambda's 6 MB, 413; a function error or an answer that is not understood, 500;
//! no answer within the integration's timeout, or a throttled function, 503. There is no throttling by rate.

mod event;
mod response;
mod routes;

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use crate::http_server::{BodyError, Dropped, Reply, json_reply, read_body};
use crate::ids;
use crate::lambda::{Invocation, InvokeError, Lambda};
use crate::template::Route;
use event::Arrival;
use routes::{Match, Routes};

/// The stage that every request is of.
const STAGE: &str = "$default";

const MAX_BODY_BYTES: usize = 10_485_760;
const MAX_HEADER_BYTES: usize = 10_240;

/// The HTTP API.
#[derive(Debug)]
pub(crate) struct HttpApi {
    routes: Routes,
    lambda: Lambda,
    port: u16,
}

impl HttpApi {
    pub(crate) fn new(routes: Vec<Route>, lambda: Lambda, port: u16) -> Self {
        Self { routes: Routes::new(routes), lambda, port }
    }

    /// Answers one request.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Reply, Dropped> {
        let request_id = ids::short();
        let mut reply = match self.integrate(request, peer, &request_id).await {
            Ok(reply) => reply,
            Err(Failure::Answer(status, message)) => {
                json_reply(status, json!({"message": message}).to_string())
            }
            Err(Failure::Dropped) => return Err(Dropped),
        };
        self.lambda.usage().count_answer(reply.status());
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            reply.headers_mut().insert("apigw-requestid", value);
        }
        Ok(reply)
    }

    async fn integrate(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        request_id: &str,
    ) -> Result<Reply, Failure> {
        let (parts, body) = request.into_parts();
        let headers: usize =
            parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if headers + parts.uri.to_string().len() > MAX_HEADER_BYTES {
            return Err(Failure::Answer(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "Request Header Fields Too Large",
            ));
        }
        let body = match read_body(body, MAX_BODY_BYTES).await {
            Ok(body) => body,
            Err(BodyError::TooLarge) => return Err(TOO_LARGE),
            Err(BodyError::Broken) => return Err(Failure::Dropped),
        };
        let found = self
            .routes
            .find(parts.method.as_str(), parts.uri.path())
            .ok_or(Failure::Answer(StatusCode::NOT_FOUND, "Not Found"))?;
        let now_ms = self.lambda.clock().now_ms();
        let arrival = Arrival {
            request_id: request_id.to_owned(),
            trace_id: ids::trace_id(now_ms),
            source_ip: peer.ip().to_string(),
            port: self.port,
            now_ms,
        };
        let event = event::of_request(&parts, &body, &found, &arrival);
        let invocation = self.invoke(&found, event).await?;
        if invocation.function_error {
            return Err(INTERNAL);
        }
        response::of_answer(&invocation.payload).map_err(|error| {
            tracing::warn!(%error, function = %found.function, "answered 500");
            INTERNAL
        })
    }

    async fn invoke(&self, found: &Match, event: Bytes) -> Result<Invocation, Failure> {
        let invoked = tokio::time::timeout(found.timeout, self.lambda.invoke(&found.function, event));
        match invoked.await {
            Ok(Ok(invocation)) => Ok(invocation),
            Ok(Err(InvokeError::TooLarge { .. })) => Err(TOO_LARGE),
            Err(_) | Ok(Err(InvokeError::Throttled | InvokeError::Stopping)) => Err(UNAVAILABLE),
            Ok(Err(error)) => {
                tracing::warn!(%error, function = %found.function, "answered 500");
                Err(INTERNAL)
            }
        }
    }
}

/// Why there is no answer of the function's.
enum Failure {
    Answer(StatusCode, &'static str),
    Dropped,
}

const TOO_LARGE: Failure = Failure::Answer(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
const INTERNAL: Failure = Failure::Answer(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
const UNAVAILABLE: Failure = Failure::Answer(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
