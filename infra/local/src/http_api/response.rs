//! The response that a function's answer stands for: payload format 2.0.
//!
//! Source: API Gateway developer guide, "Create AWS Lambda proxy integrations for HTTP APIs", "Lambda function
//! response for format 2.0". `multiValueHeaders` belongs to format 1.0 and is ignored, as the service ignores it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;

use crate::http_server::Reply;

/// The answer is not one that the gateway understands.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed answer: {0}")]
pub(crate) struct Malformed(&'static str);

/// Reads a function's answer.
pub(crate) fn of_answer(answer: &[u8]) -> Result<Reply, Malformed> {
    let value: Value = serde_json::from_slice(answer).map_err(|_| Malformed("not JSON"))?;
    match value.get("statusCode") {
        Some(status) => explicit(&value, status),
        None => Ok(inferred(value, answer)),
    }
}

/// "If your Lambda function returns valid JSON and doesn't return a statusCode": 200, JSON, the answer as the body.
fn inferred(value: Value, answer: &[u8]) -> Reply {
    let body = match value {
        Value::String(text) => Bytes::from(text),
        _ => Bytes::copy_from_slice(answer),
    };
    let mut reply = Response::new(Full::new(body));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

fn explicit(value: &Value, status: &Value) -> Result<Reply, Malformed> {
    let status = status
        .as_u64()
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (200..=599).contains(status))
        .and_then(|status| StatusCode::from_u16(status).ok())
        .ok_or(Malformed("statusCode"))?;
    let body = body(value)?;
    let has_body = !body.is_empty();
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    for (name, value) in members(value.get("headers"))? {
        let name: HeaderName = name.parse().map_err(|_| Malformed("headers"))?;
        // The gateway frames the body itself.
        if matches!(name, header::CONNECTION | header::CONTENT_LENGTH | header::TRANSFER_ENCODING) {
            continue;
        }
        let value = HeaderValue::from_str(&scalar(value)?).map_err(|_| Malformed("headers"))?;
        headers.insert(name, value);
    }
    if let Some(cookies) = value.get("cookies").filter(|cookies| !cookies.is_null()) {
        for cookie in cookies.as_array().ok_or(Malformed("cookies"))? {
            let cookie = cookie.as_str().ok_or(Malformed("cookies"))?;
            headers
                .append(header::SET_COOKIE, HeaderValue::from_str(cookie).map_err(|_| Malformed("cookies"))?);
        }
    }
    if has_body && !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
    }
    Ok(reply)
}

fn body(value: &Value) -> Result<Bytes, Malformed> {
    let text = match value.get("body") {
        None | Some(Value::Null) => return Ok(Bytes::new()),
        Some(Value::String(text)) => text,
        Some(_) => return Err(Malformed("body")),
    };
    match value.get("isBase64Encoded") {
        None | Some(Value::Null | Value::Bool(false)) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        Some(Value::Bool(true)) => STANDARD.decode(text).map(Bytes::from).map_err(|_| Malformed("body")),
        Some(_) => Err(Malformed("isBase64Encoded")),
    }
}

fn members(value: Option<&Value>) -> Result<Vec<(&String, &Value)>, Malformed> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(map)) => Ok(map.iter().collect()),
        Some(_) => Err(Malformed("headers")),
    }
}

fn scalar(value: &Value) -> Result<String, Malformed> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(Malformed("headers")),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn read(answer: &str) -> (u16, Vec<(String, String)>, Vec<u8>) {
        let reply = of_answer(answer.as_bytes()).unwrap();
        let (parts, body) = reply.into_parts();
        let headers = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        (parts.status.as_u16(), headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[tokio::test]
    async fn an_answer_with_a_status_is_taken_as_it_is() {
        let answer = r#"{"statusCode":201,"headers":{"X-A":"b","content-length":"9"},"cookies":["a=1","b=2"],"body":"hi"}"#;
        let expected = vec![
            pair("x-a", "b"),
            pair("set-cookie", "a=1"),
            pair("set-cookie", "b=2"),
            pair("content-type", "text/plain;charset=UTF-8"),
        ];
        let (status, mut headers, body) = read(answer).await;
        let mut expected = expected;
        headers.sort();
        expected.sort();
        assert_eq!((status, headers, body), (201, expected, b"hi".to_vec()));
    }

    #[tokio::test]
    async fn a_base64_body_is_decoded() {
        let (_, _, body) = read(r#"{"statusCode":200,"body":"/wA=","isBase64Encoded":true}"#).await;
        assert_eq!(body, [0xff, 0]);
    }

    #[tokio::test]
    async fn an_answer_without_a_status_is_the_body() {
        let json = vec![pair("content-type", "application/json")];
        assert_eq!(read(r#"{"a": 1}"#).await, (200, json.clone(), br#"{"a": 1}"#.to_vec()));
        assert_eq!(read(r#""Hello""#).await, (200, json.clone(), b"Hello".to_vec()));
        assert_eq!(read("null").await, (200, json, b"null".to_vec()));
    }

    #[test]
    fn a_malformed_answer_is_refused() {
        for answer in [
            "x",
            r#"{"statusCode":"ok"}"#,
            r#"{"statusCode":99}"#,
            r#"{"statusCode":200,"body":{}}"#,
            r#"{"statusCode":200,"headers":[]}"#,
            r#"{"statusCode":200,"headers":{"a b":"c"}}"#,
            r#"{"statusCode":200,"headers":{"a":"b\nc"}}"#,
            r#"{"statusCode":200,"cookies":"a"}"#,
            r#"{"statusCode":200,"body":"*","isBase64Encoded":true}"#,
        ] {
            assert!(of_answer(answer.as_bytes()).is_err(), "{answer}");
        }
    }
}
