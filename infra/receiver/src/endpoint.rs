//! The server: connections, and the answers of webhook endpoints.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use carteiro_http::{Bounds, stopped};
use futures_util::stream;
use http::header::{CONTENT_LENGTH, LOCATION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, request};
use http_body_util::{BodyExt as _, LengthLimitError, Limited, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::behaviour::{Answer, DropAt};
use crate::delivery::{Delivery, copy_headers};
use crate::response::{Body, closed, plain, whole};
use crate::secrets::Signed;
use crate::{Shared, control, page};

const MAX_CONNECTIONS: usize = 20_000;
/// How long a request's body may take.
const BODY_LIMIT: Duration = Duration::from_secs(60);
const LARGE_CHUNK: &[u8] = &[b'.'; 64 * 1024];

/// Serves until it is told to stop or the handle is gone.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    let bounds = Bounds { connections: MAX_CONNECTIONS, grace: None };
    carteiro_http::serve(listener, bounds, stopped(stop), whole, move |request, _| {
        let shared = Arc::clone(&shared);
        async move { answer(&shared, request).await }
    })
    .await;
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let for_people = parts.uri.path() == "/" && [Method::GET, Method::HEAD].contains(&parts.method);
    if for_people {
        return Ok(page::answer(shared, &parts));
    }
    let body = match read(body, shared.store.limits().body_bytes).await {
        Ok(body) => body,
        Err(ReadError::TooLarge) => {
            shared.store.add_refused();
            return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()));
        }
        Err(ReadError::CutShort) => {
            shared.store.add_cut_short();
            return Err(closed());
        }
    };
    if parts.uri.path().starts_with(control::PREFIX) {
        return Ok(control::answer(shared, &parts, &body));
    }
    let answer = shared.behaviours.next(parts.uri.path());
    shared.store.add(delivery(shared, &parts, &body, answer.seen_status()));
    let response = respond(answer).await;
    shared.store.add_answered(parts.uri.path());
    response
}

fn delivery(shared: &Shared, parts: &request::Parts, body: &[u8], answered: Option<u16>) -> Delivery {
    let received_at_ms = shared.clock.now_ms();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let signed = Signed {
        path: parts.uri.path(),
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        body,
    };
    let now = i64::try_from(received_at_ms / 1000).unwrap_or(i64::MAX);
    let signature = shared.secrets.check(&signed, now);
    Delivery {
        number: 0,
        received_at_ms,
        method: parts.method.clone(),
        path: parts.uri.path().into(),
        query: parts.uri.query().map(str::to_owned),
        headers: copy_headers(&parts.headers),
        // A copy, so that what is kept holds on to no more than its own bytes.
        body: Bytes::copy_from_slice(body),
        signature,
        answered,
    }
}

async fn respond(mut answer: Answer) -> io::Result<Response<Body>> {
    while let Answer::Delay { by, then } = answer {
        tokio::time::sleep(by).await;
        answer = *then;
    }
    match answer {
        Answer::Status { code, headers, body } => Ok(with_headers(plain(code, body), headers)),
        Answer::Hang { limit } => {
            // The connection notices when the client leaves, and drops this future.
            tokio::time::sleep(limit).await;
            Err(closed())
        }
        Answer::Drip { every, bytes } => Ok(Response::new(drip(every, bytes))),
        // The loop above has taken every delay off.
        Answer::Drop(DropAt::BeforeResponse) | Answer::Delay { .. } => Err(closed()),
        Answer::Drop(DropAt::InBody) => {
            let mut response = Response::new(half());
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(2 * HALF.len()));
            Ok(response)
        }
        Answer::Large { bytes } => {
            let mut response = Response::new(large(bytes));
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes));
            Ok(response)
        }
        Answer::Redirect { code, location } => {
            let mut response = plain(code, Bytes::new());
            response.headers_mut().insert(LOCATION, location);
            Ok(response)
        }
    }
}

fn with_headers(mut response: Response<Body>, mut headers: HeaderMap) -> Response<Body> {
    headers.remove(CONTENT_LENGTH);
    headers.remove(TRANSFER_ENCODING);
    response.headers_mut().extend(headers);
    response
}

fn drip(every: Duration, bytes: Option<u64>) -> Body {
    let frames = stream::unfold(bytes, move |left| async move {
        if left == Some(0) {
            return None;
        }
        tokio::time::sleep(every).await;
        Some((Ok(Frame::data(Bytes::from_static(b"."))), left.map(|left| left - 1)))
    });
    StreamBody::new(frames).boxed_unsync()
}

const HALF: &[u8] = &[b'.'; 512];

fn half() -> Body {
    let frames = stream::unfold(false, |sent| async move {
        if sent {
            // The connection flushes while it waits for more; an error at once would take the headers along.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Some((Err(closed()), true));
        }
        Some((Ok(Frame::data(Bytes::from_static(HALF))), true))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn large(bytes: u64) -> Body {
    let frames = stream::unfold(bytes, |left| async move {
        let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(LARGE_CHUNK.len());
        let rest = left - u64::try_from(chunk).unwrap_or(left);
        LARGE_CHUNK
            .get(..chunk)
            .filter(|chunk| !chunk.is_empty())
            .map(|chunk| (Ok(Frame::data(Bytes::from_static(chunk))), rest))
    });
    StreamBody::new(frames).boxed_unsync()
}

enum ReadError {
    TooLarge,
    CutShort,
}

async fn read(body: Incoming, limit: usize) -> Result<Bytes, ReadError> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limit {
        return Err(ReadError::TooLarge);
    }
    let whole = tokio::time::timeout(BODY_LIMIT, Limited::new(body, limit).collect());
    match whole.await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ReadError::TooLarge),
        Ok(Err(_)) | Err(_) => Err(ReadError::CutShort),
    }
}
