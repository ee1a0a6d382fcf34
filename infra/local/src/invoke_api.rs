//! The Lambda API, as far as clients need it to run functions: Invoke, ListFunctions, GetFunction.
//!
//! Source: AWS Lambda API reference. Signatures are not checked. Logs (`X-Amz-Log-Type: Tail`) are not returned.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::http_server::{BodyError, Dropped, Reply, json_reply, read_body};
use crate::ids;
use crate::lambda::asynchronous::AsyncInvoker;
use crate::lambda::{InvokeError, Lambda, MAX_REQUEST_BYTES};
use crate::template::Function;

const PREFIX: &str = "/2015-03-31/functions";

/// The Lambda API.
#[derive(Clone, Debug)]
pub(crate) struct InvokeApi {
    lambda: Lambda,
    asynchronous: AsyncInvoker,
}

impl InvokeApi {
    pub(crate) fn new(lambda: Lambda, asynchronous: AsyncInvoker) -> Self {
        Self { lambda, asynchronous }
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Result<Reply, Dropped> {
        let request_id = ids::uuid();
        let mut reply = self.route(request, &request_id).await?;
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            reply.headers_mut().insert("x-amzn-requestid", value);
        }
        Ok(reply)
    }

    async fn route(&self, request: Request<Incoming>, request_id: &str) -> Result<Reply, Dropped> {
        let path = request.uri().path().to_owned();
        let Some(rest) = path.strip_prefix(PREFIX) else { return Ok(unknown_path(&path)) };
        let parts: Vec<String> = rest
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, []) => Ok(self.list()),
            (&Method::GET, [function]) => Ok(self.get(function)),
            (&Method::POST, [function, "invocations"]) => self.invoke(function, request, request_id).await,
            _ => Ok(unknown_path(&path)),
        }
    }

    fn list(&self) -> Reply {
        let functions: Vec<Value> = self.lambda.functions().map(describe).collect();
        json_reply(StatusCode::OK, json!({ "Functions": functions }).to_string())
    }

    fn get(&self, function: &str) -> Reply {
        let name = match name_of(function) {
            Ok(name) => name,
            Err(reply) => return *reply,
        };
        match self.lambda.functions().find(|known| known.name == name) {
            Some(known) => {
                json_reply(StatusCode::OK, json!({ "Configuration": describe(known) }).to_string())
            }
            None => refuse(&InvokeError::UnknownFunction(name)),
        }
    }

    async fn invoke(
        &self,
        function: &str,
        request: Request<Incoming>,
        request_id: &str,
    ) -> Result<Reply, Dropped> {
        let name = match name_of(function) {
            Ok(name) => name,
            Err(reply) => return Ok(*reply),
        };
        let kind = request
            .headers()
            .get("x-amz-invocation-type")
            .map_or(Ok("RequestResponse"), HeaderValue::to_str)
            .unwrap_or_default()
            .to_owned();
        let body = match read_body(request.into_body(), MAX_REQUEST_BYTES).await {
            Ok(body) => body,
            Err(BodyError::Broken) => return Err(Dropped),
            Err(BodyError::TooLarge) => {
                return Ok(refuse(&InvokeError::TooLarge { limit: MAX_REQUEST_BYTES }));
            }
        };
        let payload = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
        let result = match kind.as_str() {
            "RequestResponse" => self.synchronous(&name, payload).await,
            "Event" => self
                .asynchronous
                .accept(&name, payload, request_id.to_owned())
                .map(|()| empty(StatusCode::ACCEPTED)),
            "DryRun" => match self.lambda.functions().any(|known| known.name == name) {
                true => Ok(empty(StatusCode::NO_CONTENT)),
                false => Err(InvokeError::UnknownFunction(name)),
            },
            _ => {
                let message = format!("{kind} is not an invocation type");
                return Ok(error_reply(StatusCode::BAD_REQUEST, "InvalidParameterValueException", &message));
            }
        };
        Ok(result.unwrap_or_else(|error| refuse(&error)))
    }

    async fn synchronous(&self, name: &str, payload: Bytes) -> Result<Reply, InvokeError> {
        let invocation = self.lambda.invoke(name, payload).await?;
        let mut reply = json_reply(StatusCode::OK, invocation.payload);
        let headers = reply.headers_mut();
        headers.insert("x-amz-executed-version", HeaderValue::from_static("$LATEST"));
        if invocation.function_error {
            headers.insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
        }
        Ok(reply)
    }
}

/// The name in a name, a partial ARN or an ARN, each with or without `:$LATEST`.
fn name_of(function: &str) -> Result<String, Box<Reply>> {
    let (name, qualifier) = match function.split_once("function:") {
        Some((_, rest)) => {
            rest.split_once(':').map_or((rest, None), |(name, qualifier)| (name, Some(qualifier)))
        }
        None => {
            function.split_once(':').map_or((function, None), |(name, qualifier)| (name, Some(qualifier)))
        }
    };
    match qualifier {
        None | Some("$LATEST") => Ok(name.to_owned()),
        Some(_) => Err(Box::new(refuse(&InvokeError::UnknownFunction(function.to_owned())))),
    }
}

fn describe(function: &Function) -> Value {
    json!({
        "FunctionName": function.name,
        "FunctionArn": function.arn(),
        "Runtime": "provided.al2023",
        "Handler": function.handler,
        "Timeout": function.timeout.as_secs(),
        "MemorySize": function.memory_mb,
        "PackageType": "Zip",
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "Version": "$LATEST",
    })
}

fn empty(status: StatusCode) -> Reply {
    let mut reply = Reply::new(Full::default());
    *reply.status_mut() = status;
    reply
}

fn unknown_path(path: &str) -> Reply {
    error_reply(StatusCode::NOT_FOUND, "UnknownOperationException", &format!("no operation at {path}"))
}

fn refuse(error: &InvokeError) -> Reply {
    match error {
        InvokeError::UnknownFunction(name) => {
            let message = format!("Function not found: {}", crate::template::function_arn(name));
            error_reply(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message)
        }
        InvokeError::NotJson => {
            let message = "Could not parse request body into json";
            error_reply(StatusCode::BAD_REQUEST, "InvalidRequestContentException", message)
        }
        InvokeError::TooLarge { limit } => {
            let message =
                format!("Request must be smaller than {limit} bytes for the InvokeFunction operation");
            error_reply(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &message)
        }
        InvokeError::Throttled => {
            error_reply(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.")
        }
        InvokeError::CannotStart(_) | InvokeError::Stopping => {
            error_reply(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", &error.to_string())
        }
    }
}

fn error_reply(status: StatusCode, kind: &'static str, message: &str) -> Reply {
    let mut reply =
        json_reply(status, json!({"Type": "User", "Message": message, "message": message}).to_string());
    reply.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(kind));
    reply
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn a_function_is_named_by_its_name_or_arn() {
        for text in [
            "F",
            "F:$LATEST",
            "arn:aws:lambda:us-east-1:000000000000:function:F",
            "arn:aws:lambda:us-east-1:000000000000:function:F:$LATEST",
            "000000000000:function:F",
        ] {
            assert_eq!(name_of(text).unwrap(), "F", "{text}");
        }
        assert!(name_of("F:7").is_err());
    }
}
