//! Requests and answers of the HTTP API (API Gateway, payload format 2.0).

use std::borrow::Cow;
use std::collections::BTreeSet;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carteiro_core::hop::{self, Hop};
use carteiro_core::problem::{self, FieldError, Problem};
use http::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::error::AdapterError;

/// How gzip begins (RFC 1952, 2.3.1): as it is, and after the platform took it for text.
const GZIP: [&[u8]; 2] = [b"\x1f\x8b", "\x1f\u{fffd}".as_bytes()];

/// A request.
#[derive(Debug)]
pub struct Request {
    event: ApiGatewayV2httpRequest,
    /// The body's bytes, as they were sent.
    pub body: Vec<u8>,
}

impl Request {
    /// Reads the platform's event.
    ///
    /// # Errors
    /// 400 where the body is marked as base64 and is not.
    pub fn new(mut event: ApiGatewayV2httpRequest) -> Result<Self, Failure> {
        let body = event.body.take().unwrap_or_default();
        let body = if event.is_base64_encoded {
            STANDARD.decode(body).map_err(|_| Problem::bad_request("the body cannot be read"))?
        } else {
            body.into_bytes()
        };
        let sent = event.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let request = Self { event, body };
        if sent.is_some_and(|sent: usize| sent != request.body.len()) {
            // A body that is not text may have been damaged on the way.
            request.uncompressed()?;
            return Err(
                Problem::bad_request("the body did not arrive as it was sent: it is not UTF-8").into()
            );
        }
        Ok(request)
    }

    /// The body's bytes, where they are not compressed. Pushes are read as they came, for their signature is of that.
    ///
    /// # Errors
    /// 415 where the request says that they are, or where they begin as gzip does.
    pub fn uncompressed(&self) -> Result<&[u8], Problem> {
        let coding = self.header(CONTENT_ENCODING.as_str()).unwrap_or_default();
        let codings = coding.split(',').map(str::trim).filter(|coding| !coding.is_empty());
        let is_coded = codings.into_iter().any(|coding| !coding.eq_ignore_ascii_case("identity"));
        if is_coded || GZIP.iter().any(|beginning| self.body.starts_with(beginning)) {
            let detail = "the body is compressed, and compressed bodies are not taken; send it as it is, without \
                          Content-Encoding";
            return Err(Problem::unsupported_media(detail));
        }
        Ok(&self.body)
    }

    /// The route that took it: `POST /bots/{bot}/messages`.
    #[must_use]
    pub fn route(&self) -> &str {
        self.event.route_key.as_deref().unwrap_or_default()
    }

    /// The platform's id of the request, for the log.
    #[must_use]
    pub fn id(&self) -> &str {
        self.event.request_context.request_id.as_deref().unwrap_or_default()
    }

    /// A header's value, where it is there. Bytes that are no text become U+FFFD, which no check accepts.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.event.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
    }

    /// The request's cookies, each as `name=value`. The platform takes them out of the headers.
    pub fn cookies(&self) -> impl Iterator<Item = &str> {
        self.event.cookies.iter().flatten().map(String::as_str)
    }

    /// How often the request's content has passed through Carteiro.
    #[must_use]
    pub fn hop(&self) -> Hop {
        let counts = self.event.headers.get_all(hop::HEADER).iter();
        let counts: Vec<_> = counts.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        Hop::of_request((!counts.is_empty()).then(|| counts.join(",")).as_deref())
    }

    /// The id of the HTTP API that took it, and the domain by which it was reached.
    #[must_use]
    pub fn reached(&self) -> (Option<&str>, Option<&str>) {
        let context = &self.event.request_context;
        (context.apiid.as_deref(), context.domain_name.as_deref())
    }

    /// A part of the path, by the name that the route gives it.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        let part = self.event.path_parameters.get(name).map(String::as_str).unwrap_or_default();
        // The platform hands some of them over as they were sent, so that %40 may still stand for @.
        percent_decode_str(part).decode_utf8_lossy().into_owned()
    }

    /// All values of a query parameter; none where it is not there. The platform joins values with commas, so that one
    /// value with commas is as several.
    #[must_use]
    pub fn query_all(&self, name: &str) -> Vec<&str> {
        let values = self.event.query_string_parameters.all(name).unwrap_or_default();
        values.into_iter().flat_map(|value| value.split(',')).collect()
    }

    /// The method and the path, as they were sent.
    #[must_use]
    pub fn sent(&self) -> (&str, &str) {
        let path = self.event.raw_path.as_deref().unwrap_or_default();
        (self.event.request_context.http.method.as_str(), path)
    }

    /// Refuses a query with a parameter beside those that the route knows.
    ///
    /// # Errors
    /// 422 with each of the others.
    pub fn refuse_query_beside(&self, known: &[&str]) -> Result<(), Problem> {
        let sent: BTreeSet<&str> = self.event.query_string_parameters.iter().map(|(name, _)| name).collect();
        let unknown = sent.into_iter().filter(|name| !known.contains(name));
        let errors: Vec<_> = unknown.map(|name| FieldError::new(name, "no such parameter")).collect();
        if errors.is_empty() { Ok(()) } else { Err(Problem::invalid_fields(errors)) }
    }

    /// A query parameter's value; the last, where it is there more than once.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        self.event.query_string_parameters.all(name).and_then(|values| values.last().copied())
    }
}

/// The end of a request that does not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// An error of the caller, with its description.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// A table or queue failed. The caller is told whether to try again.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

/// An answer with a JSON body.
#[must_use]
pub fn json(status: u16, body: &impl Serialize) -> ApiGatewayV2httpResponse {
    let body = serde_json::to_string(body).unwrap_or_default();
    answer(status, "application/json", body)
}

/// An answer without a body.
#[must_use]
pub fn empty(status: u16) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = i64::from(status);
    response
}

/// An answer with a body of any text.
#[must_use]
pub fn answer(status: u16, content_type: &'static str, body: String) -> ApiGatewayV2httpResponse {
    let mut response = empty(status);
    response.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.body = Some(Body::Text(body));
    response
}

/// A problem as the answer to a request, with the request's id, which the log names, too.
#[derive(Serialize)]
struct NamedProblem<'a> {
    #[serde(flatten)]
    problem: &'a Problem,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// The answer to a request that failed. Failures of ours are logged here, once, and not described to the caller.
#[must_use]
pub fn failure(request_id: &str, route: &str, failure: Failure) -> ApiGatewayV2httpResponse {
    let problem = match failure {
        Failure::Problem(problem) => *problem,
        Failure::Adapter(error) => {
            tracing::error!(request_id, route, error = error.chain(), "request.failed");
            if error.is_transient() {
                Problem::unavailable("it could not be done now; try again")
            } else {
                Problem::internal("it could not be done; the cause is in the log")
            }
        }
    };
    let request_id = Some(request_id).filter(|id| !id.is_empty());
    let named = NamedProblem { problem: &problem, request_id };
    let mut response =
        answer(problem.status, problem::CONTENT_TYPE, serde_json::to_string(&named).unwrap_or_default());
    match problem.status {
        401 => _ = response.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        // RFC 9110, 12.5.3: which codings would have been taken.
        415 => _ = response.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        503 => _ = response.headers.insert(RETRY_AFTER, HeaderValue::from_static("1")),
        _ => {}
    }
    if let Some(Ok(methods)) = problem.allow.as_deref().map(HeaderValue::from_str) {
        response.headers.insert(ALLOW, methods);
    }
    if let Some(seconds) = problem.retry_after {
        response.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(coding: Option<&'static str>, body: &[u8], sent: usize) -> Result<Request, Failure> {
        let mut event = ApiGatewayV2httpRequest::default();
        if let Some(coding) = coding {
            event.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        event.headers.insert(CONTENT_LENGTH, HeaderValue::from(sent));
        event.is_base64_encoded = true;
        event.body = Some(STANDARD.encode(body));
        Request::new(event)
    }

    fn status(request: Result<Request, Failure>) -> u16 {
        match request.and_then(|request| Ok(request.uncompressed().map(|_| 200)?)) {
            Ok(status) => status,
            Err(Failure::Problem(problem)) => problem.status,
            Err(Failure::Adapter(_)) => 500,
        }
    }

    #[test]
    fn a_compressed_body_is_refused_as_such() {
        let gzip = b"\x1f\x8b\x08\0\0\0\0\0";
        // The platform took it for text, so it is longer than the original.
        let mangled = "\x1f\u{fffd}\x08\0\0\0\0\0".as_bytes();
        for (coding, body, sent, expected) in [
            (None, b"{}".as_slice(), 2, 200),
            (Some("identity"), b"{}", 2, 200),
            (Some(""), b"{}", 2, 200),
            (Some("gzip"), gzip, 8, 415),
            (None, gzip, 8, 415),
            (Some("br"), b"{}", 2, 415),
            (Some("identity, zstd"), b"{}", 2, 415),
            (Some("gzip"), mangled, 8, 415),
            (None, mangled, 8, 415),
            (None, "\u{fffd}".as_bytes(), 1, 400),
        ] {
            assert_eq!(status(request(coding, body, sent)), expected, "{coding:?} {body:?}");
        }
        let refused = failure("", "", Problem::unsupported_media("").into());
        assert_eq!(refused.headers[ACCEPT_ENCODING], "identity");
    }

    #[test]
    fn a_problem_names_its_request_and_the_methods_that_are_taken() {
        let problem = Problem { allow: Some("GET, POST".into()), ..Problem::method_not_allowed("") };
        let refused = failure("r-1", "$default", problem.into());
        assert_eq!(
            (refused.status_code, &refused.headers[ALLOW]),
            (405, &HeaderValue::from_static("GET, POST"))
        );
        let Some(Body::Text(text)) = refused.body else { panic!("no text") };
        let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&problem["request_id"], &problem["status"]), (&"r-1".into(), &405.into()));
        let refused = failure("r-2", "GET /webhooks", Problem::unauthorized("").into());
        assert_eq!(refused.headers[WWW_AUTHENTICATE], "Bearer");
        assert!(!refused.headers.contains_key(ALLOW));
    }

    #[test]
    fn a_query_may_have_what_its_route_knows_and_nothing_else() {
        let mut event = ApiGatewayV2httpRequest::default();
        let sent = [("limit", "1"), ("b", "2"), ("a", "3"), ("b", "4")];
        let sent = sent.map(|(name, value)| (name.to_owned(), vec![value.to_owned()]));
        event.query_string_parameters = std::collections::HashMap::from(sent).into();
        let request = Request::new(event).unwrap();
        let fields = |known: &[&str]| -> Vec<String> {
            let refused = request.refuse_query_beside(known).err();
            refused.into_iter().flat_map(|problem| problem.errors).map(|error| error.field).collect()
        };
        assert_eq!(fields(&["limit", "cursor"]), ["a", "b"]);
        assert!(fields(&["a", "b", "limit"]).is_empty());
    }
}
