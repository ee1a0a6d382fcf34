//! The event that a function gets for a request: payload format 2.0.
//!
//! Source: API Gateway developer guide, "Create AWS Lambda proxy integrations for HTTP APIs".
//!
//! **The body.** "If the content type of the request is binary, the body is base64-encoded"; the guide does not say
//! which types are binary. Measured on the real service (ministackorg/ministack, pull request 766): only `text/*`,
//! `application/json`, `application/xml` and `application/javascript` are text; everything else is base64-encoded,
//! a missing content type and `application/x-www-form-urlencoded` included. A body of a text type that is not UTF-8
//! is base64-encoded here too, so that its bytes are not lost; what the real service does with it is not documented.
//!
//! **`rawPath`** is percent-decoded, as HTTP APIs deliver it (measured: middleapi/standard-server, pull request 93);
//! `rawQueryString` is not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::STAGE;
use super::routes::Match;
use crate::ids::API_ID;
use crate::moments;
use crate::template::ACCOUNT;

/// What is not in the request itself.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) request_id: String,
    pub(crate) trace_id: String,
    pub(crate) source_ip: String,
    pub(crate) port: u16,
    /// Platform time, milliseconds since the Unix epoch.
    pub(crate) now_ms: u64,
}

/// The event as JSON.
pub(crate) fn of_request(parts: &Parts, body: &Bytes, found: &Match, arrival: &Arrival) -> Bytes {
    let query = parts.uri.query().unwrap_or_default();
    let raw_path = percent_decode_str(parts.uri.path()).decode_utf8_lossy();
    let mut event = json!({
        "version": "2.0",
        "routeKey": found.route_key,
        "rawPath": raw_path,
        "rawQueryString": query,
        "headers": headers(&parts.headers, body.len(), arrival),
        "requestContext": context(parts, &raw_path, found, arrival),
        "isBase64Encoded": false,
    });
    let cookies = cookies(&parts.headers);
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !query.is_empty() {
        event["queryStringParameters"] = query_parameters(query);
    }
    if !found.path_parameters.is_empty() {
        event["pathParameters"] =
            found.path_parameters.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    }
    if !body.is_empty() {
        match text_body(&parts.headers, body) {
            Some(text) => event["body"] = json!(text),
            None => {
                event["body"] = json!(STANDARD.encode(body));
                event["isBase64Encoded"] = json!(true);
            }
        }
    }
    event.to_string().into()
}

fn text_body<'a>(headers: &HeaderMap, body: &'a Bytes) -> Option<&'a str> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = content_type.split(';').next()?.trim().to_ascii_lowercase();
    let text = essence.starts_with("text/")
        || matches!(essence.as_str(), "application/json" | "application/xml" | "application/javascript");
    if text { std::str::from_utf8(body).ok() } else { None }
}

/// Lower-case names; one name's values joined by commas; with what the gateway adds.
fn headers(from: &HeaderMap, body_length: usize, arrival: &Arrival) -> Value {
    let mut headers = Map::new();
    // Cookies have their own place, and how the body was framed ends at the gateway.
    let left_out = [header::CONNECTION, header::COOKIE, header::TRANSFER_ENCODING];
    for name in from.keys().filter(|name| !left_out.contains(name)) {
        let values: Vec<_> =
            from.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        headers.insert(name.as_str().to_owned(), json!(values.join(",")));
    }
    headers.insert("content-length".to_owned(), json!(body_length.to_string()));
    let forwarded = match headers.get("x-forwarded-for").and_then(Value::as_str) {
        Some(before) => format!("{before}, {}", arrival.source_ip),
        None => arrival.source_ip.clone(),
    };
    headers.insert("x-forwarded-for".to_owned(), json!(forwarded));
    headers.insert("x-forwarded-port".to_owned(), json!(arrival.port.to_string()));
    headers.insert("x-forwarded-proto".to_owned(), json!("http"));
    headers.insert("x-amzn-trace-id".to_owned(), json!(arrival.trace_id));
    Value::Object(headers)
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let mut cookies = Vec::new();
    for value in headers.get_all(header::COOKIE) {
        let text = String::from_utf8_lossy(value.as_bytes());
        cookies.extend(
            text.split(';')
                .map(|cookie| cookie.trim_matches([' ', '\t']))
                .filter(|cookie| !cookie.is_empty())
                .map(str::to_owned),
        );
    }
    cookies
}

fn query_parameters(query: &str) -> Value {
    let mut parameters: Map<String, Value> = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode_form(value);
        match parameters.get_mut(&decode_form(name)) {
            Some(Value::String(before)) => {
                before.push(',');
                before.push_str(&value);
            }
            _ => {
                parameters.insert(decode_form(name), Value::String(value));
            }
        }
    }
    Value::Object(parameters)
}

fn decode_form(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn context(parts: &Parts, path: &str, found: &Match, arrival: &Arrival) -> Value {
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = header(header::HOST);
    let domain = host.rsplit_once(':').map_or(host, |(name, _)| name);
    json!({
        "accountId": ACCOUNT,
        "apiId": API_ID,
        "domainName": domain,
        "domainPrefix": domain.split('.').next().unwrap_or_default(),
        "http": {
            "method": parts.method.as_str(),
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": arrival.source_ip,
            "userAgent": header(header::USER_AGENT),
        },
        "requestId": arrival.request_id,
        "routeKey": found.route_key,
        "stage": STAGE,
        "time": moments::common_log(arrival.now_ms),
        "timeEpoch": arrival.now_ms,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn event(request: http::Request<&'static [u8]>) -> Value {
        let (parts, body) = request.into_parts();
        let found = Match {
            function: "F".into(),
            route_key: "POST /a/{b}".into(),
            path_parameters: vec![("b".into(), "c d".into())],
            timeout: Duration::from_secs(30),
        };
        let arrival = Arrival {
            request_id: "id".into(),
            trace_id: "Root=1".into(),
            source_ip: "127.0.0.1".into(),
            port: 3000,
            now_ms: 1_795_296_850_123,
        };
        serde_json::from_slice(&of_request(&parts, &Bytes::from_static(body), &found, &arrival)).unwrap()
    }

    fn body_of(content_type: Option<&str>, body: &'static [u8]) -> (Value, bool) {
        let mut request = http::Request::post("/a/c").body(body).unwrap();
        if let Some(content_type) = content_type {
            request.headers_mut().insert("content-type", content_type.parse().unwrap());
        }
        let event = event(request);
        (event["body"].clone(), event["isBase64Encoded"].as_bool().unwrap())
    }

    #[test]
    fn a_body_of_a_text_type_is_passed_as_text() {
        for content_type in [
            "text/plain",
            "text/csv; charset=utf-8",
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/xml",
            "application/javascript",
        ] {
            assert_eq!(
                body_of(Some(content_type), b"{\"a\": 1}"),
                (json!("{\"a\": 1}"), false),
                "{content_type}"
            );
        }
    }

    #[test]
    fn any_other_body_is_base64_encoded() {
        for content_type in [
            None,
            Some("application/octet-stream"),
            Some("application/x-www-form-urlencoded"),
            Some("application/x-ndjson"),
            Some("application/problem+json"),
            Some("image/png"),
        ] {
            assert_eq!(body_of(content_type, b"abc"), (json!("YWJj"), true), "{content_type:?}");
        }
    }

    #[test]
    fn a_text_that_is_not_utf_8_keeps_its_bytes() {
        assert_eq!(body_of(Some("text/plain"), b"a\xff"), (json!("Yf8="), true));
    }

    #[test]
    fn a_request_without_a_body_has_none_in_its_event() {
        assert_eq!(body_of(Some("application/json"), b""), (Value::Null, false));
    }

    #[test]
    fn headers_cookies_and_query_have_their_documented_form() {
        let request = http::Request::post("/a/c%20d?x=1&y=a%20b&x=2&z&p=a+b")
            .header("Host", "127.0.0.1:3000")
            .header("X-Twice", "one")
            .header("X-Twice", "two")
            .header("Cookie", "a=1; b=2")
            .header("User-Agent", "test")
            .header("X-Forwarded-For", "10.0.0.1")
            .header("Connection", "close")
            .body(&b""[..])
            .unwrap();
        let event = event(request);
        assert_eq!(event["version"], "2.0");
        assert_eq!(event["rawPath"], "/a/c d");
        assert_eq!(event["rawQueryString"], "x=1&y=a%20b&x=2&z&p=a+b");
        assert_eq!(event["queryStringParameters"], json!({"x": "1,2", "y": "a b", "z": "", "p": "a b"}));
        assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
        assert_eq!(event["headers"]["x-twice"], "one,two");
        assert_eq!(event["headers"]["x-forwarded-for"], "10.0.0.1, 127.0.0.1");
        assert_eq!(event["headers"]["content-length"], "0");
        assert_eq!(event["headers"].get("cookie"), None);
        assert_eq!(event["headers"].get("connection"), None);
        assert_eq!(event["pathParameters"], json!({"b": "c d"}));
    }

    #[test]
    fn the_context_tells_the_platforms_time() {
        let event =
            event(http::Request::post("/a/c").header("Host", "api.local:3000").body(&b""[..]).unwrap());
        let context = &event["requestContext"];
        assert_eq!(context["time"], "21/Nov/2026:21:34:10 +0000");
        assert_eq!(context["timeEpoch"], 1_795_296_850_123_u64);
        assert_eq!(context["stage"], "$default");
        assert_eq!(context["domainName"], "api.local");
        assert_eq!(context["domainPrefix"], "api");
        assert_eq!(context["http"]["method"], "POST");
        assert_eq!(context["http"]["sourceIp"], "127.0.0.1");
    }
}
