//! The Lambda Runtime API of one execution environment.
//!
//! Source: AWS Lambda developer guide, "Using the Lambda runtime API for custom runtimes" (version 2018-06-01).
//! Each environment has a listener of its own, so that a request needs no other sign of who sends it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::http_server::{BodyError, Dropped, Reply, Server, json_reply, read_body};

/// The most bytes of a synchronous answer: 6 MB and 100 bytes, as the service's own error message has it.
pub(crate) const MAX_RESPONSE_BYTES: usize = 6_291_556;

/// The environment asks for its next event; what is sent here is the answer.
pub(crate) type NextPoll = oneshot::Sender<Event>;

/// One event as the environment gets it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) request_id: String,
    pub(crate) function_arn: String,
    pub(crate) trace_id: String,
    /// Platform time, milliseconds since the Unix epoch.
    pub(crate) deadline_ms: u64,
    pub(crate) payload: Bytes,
}

/// How the environment ended an invocation.
#[derive(Debug)]
pub(crate) enum Finish {
    Response(Bytes),
    Error(Bytes),
}

#[derive(Debug)]
struct Current {
    request_id: String,
    finish: oneshot::Sender<Finish>,
}

/// The side of the Runtime API that the environment's owner holds.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    current: Arc<Mutex<Option<Current>>>,
    pub(crate) polls: mpsc::Receiver<NextPoll>,
    pub(crate) init_errors: mpsc::Receiver<Bytes>,
    pub(crate) address: String,
    server: Server,
}

#[derive(Clone)]
struct Front {
    current: Arc<Mutex<Option<Current>>>,
    polls: mpsc::Sender<NextPoll>,
    init_errors: mpsc::Sender<Bytes>,
}

impl RuntimeApi {
    /// Listens on a free port of the loopback interface.
    pub(crate) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let current = Arc::new(Mutex::new(None));
        let (poll_sender, polls) = mpsc::channel(4);
        let (init_sender, init_errors) = mpsc::channel(4);
        let front = Front { current: Arc::clone(&current), polls: poll_sender, init_errors: init_sender };
        let server = Server::start(listener, move |request, _| {
            let front = front.clone();
            async move { front.answer(request).await }
        });
        Ok(Self { current, polls, init_errors, address, server })
    }

    /// From now on answers to `request_id` are accepted, and end up in the receiver.
    pub(crate) fn expect(&self, request_id: &str) -> oneshot::Receiver<Finish> {
        let (finish, finished) = oneshot::channel();
        let current = Current { request_id: request_id.to_owned(), finish };
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(current);
        finished
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Result<Reply, Dropped> {
        let path = request.uri().path().to_owned();
        let Some(rest) = path.strip_prefix("/2018-06-01/runtime/") else {
            return Ok(refuse(StatusCode::NOT_FOUND, "UnknownPath", "no such path"));
        };
        let parts: Vec<&str> = rest.split('/').collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => {
                self.finish(id, request, Finish::Response).await
            }
            (&Method::POST, ["invocation", id, "error"]) => self.finish(id, request, Finish::Error).await,
            (&Method::POST, ["init", "error"]) => {
                let body = read_body(request.into_body(), MAX_RESPONSE_BYTES).await.map_err(|_| Dropped)?;
                self.init_errors.send(body).await.map_err(|_| Dropped)?;
                Ok(accepted())
            }
            _ => Ok(refuse(StatusCode::NOT_FOUND, "UnknownPath", "no such path")),
        }
    }

    async fn next(&self) -> Result<Reply, Dropped> {
        let (sender, receiver) = oneshot::channel();
        self.polls.send(sender).await.map_err(|_| Dropped)?;
        let event = receiver.await.map_err(|_| Dropped)?;
        let mut reply = Reply::new(Full::new(event.payload.clone()));
        put_headers(reply.headers_mut(), &event);
        Ok(reply)
    }

    async fn finish(
        &self,
        request_id: &str,
        request: Request<Incoming>,
        kind: fn(Bytes) -> Finish,
    ) -> Result<Reply, Dropped> {
        let (finish, reply) = match read_body(request.into_body(), MAX_RESPONSE_BYTES).await {
            Ok(body) => (kind(body), accepted()),
            Err(BodyError::Broken) => return Err(Dropped),
            Err(BodyError::TooLarge) => {
                let message = format!(
                    "Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
                );
                let kind = "Function.ResponseSizeTooLarge";
                let body = json!({"errorType": kind, "errorMessage": message}).to_string();
                (Finish::Error(body.into()), refuse(StatusCode::PAYLOAD_TOO_LARGE, kind, &message))
            }
        };
        let current = {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            if current.as_ref().is_some_and(|current| current.request_id == request_id) {
                current.take()
            } else {
                None
            }
        };
        // An answer that nobody waits for any more is as late as one to another request.
        let taken = current.is_some_and(|current| current.finish.send(finish).is_ok());
        Ok(if taken {
            reply
        } else {
            refuse(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
        })
    }
}

fn put_headers(headers: &mut HeaderMap, event: &Event) {
    let deadline = event.deadline_ms.to_string();
    for (name, value) in [
        ("content-type", "application/json"),
        ("lambda-runtime-aws-request-id", &event.request_id),
        ("lambda-runtime-deadline-ms", &deadline),
        ("lambda-runtime-invoked-function-arn", &event.function_arn),
        ("lambda-runtime-trace-id", &event.trace_id),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
}

fn accepted() -> Reply {
    json_reply(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
}

fn refuse(status: StatusCode, kind: &str, message: &str) -> Reply {
    json_reply(status, json!({"errorType": kind, "errorMessage": message}).to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;

    use super::*;

    async fn call(api: &str, method: Method, path: &str, body: &'static str) -> (u16, HeaderMap, Bytes) {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{api}/2018-06-01/runtime/{path}"))
            .body(Full::from(body))
            .unwrap();
        let (parts, body) = client.request(request).await.unwrap().into_parts();
        (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes())
    }

    fn event() -> Event {
        Event {
            request_id: "id".into(),
            function_arn: "arn".into(),
            trace_id: "trace".into(),
            deadline_ms: 1234,
            payload: Bytes::from_static(b"{}"),
        }
    }

    #[tokio::test]
    async fn the_next_event_carries_its_headers() {
        let mut api = RuntimeApi::start().await.unwrap();
        let address = api.address.clone();
        let polling = tokio::spawn(async move { call(&address, Method::GET, "invocation/next", "").await });
        api.polls.recv().await.unwrap().send(event()).unwrap();
        let (status, headers, body) = polling.await.unwrap();
        assert_eq!((status, body.as_ref()), (200, &b"{}"[..]));
        for (name, value) in [
            ("lambda-runtime-aws-request-id", "id"),
            ("lambda-runtime-deadline-ms", "1234"),
            ("lambda-runtime-invoked-function-arn", "arn"),
            ("lambda-runtime-trace-id", "trace"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        api.stop().await;
    }

    #[tokio::test]
    async fn only_the_first_answer_to_the_current_request_counts() {
        let api = RuntimeApi::start().await.unwrap();
        let finished = api.expect("id");
        let answer = |path, body| call(&api.address, Method::POST, path, body);
        assert_eq!(answer("invocation/other/response", "0").await.0, 400);
        assert_eq!(answer("invocation/id/response", "1").await.0, 202);
        assert_eq!(answer("invocation/id/response", "2").await.0, 400);
        assert_eq!(answer("invocation/id/error", "3").await.0, 400);
        assert!(matches!(finished.await.unwrap(), Finish::Response(body) if body == "1"));
        drop(api.expect("gone"));
        assert_eq!(answer("invocation/gone/response", "4").await.0, 400);
        assert_eq!(answer("unknown", "").await.0, 404);
        api.stop().await;
    }

    #[tokio::test]
    async fn an_init_error_is_passed_on() {
        let mut api = RuntimeApi::start().await.unwrap();
        let body = r#"{"errorType":"Runtime.InitError","errorMessage":"no"}"#;
        assert_eq!(call(&api.address, Method::POST, "init/error", body).await.0, 202);
        assert_eq!(api.init_errors.recv().await.unwrap(), body);
        api.stop().await;
    }

    #[tokio::test]
    async fn stopping_breaks_a_poll_that_waits() {
        let mut api = RuntimeApi::start().await.unwrap();
        let uri = format!("http://{}/2018-06-01/runtime/invocation/next", api.address).parse().unwrap();
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let polling = tokio::spawn(client.get(uri));
        let _poll = api.polls.recv().await.unwrap();
        api.stop().await;
        let broken = tokio::time::timeout(Duration::from_secs(10), polling).await.unwrap().unwrap();
        assert!(broken.is_err());
    }
}
