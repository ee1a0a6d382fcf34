//! The server: connections, and the way of a call through faults, the network and the record.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use carteiro_http::{Bounds, stopped};
use http::{HeaderValue, Request as HttpRequest, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api;
use crate::call::Call;
use crate::fault::Fault;
use crate::limit::ms;
use crate::request::{Reply, Request};
use crate::shelf::Api;
use crate::shelf::Shelf;
use crate::{Shared, control, hub, ses};

const MAX_CONNECTIONS: usize = 4000;
/// The largest body that is read, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// Serves until it is told to stop or the handle is gone.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    let bounds = Bounds { connections: MAX_CONNECTIONS, grace: None };
    carteiro_http::serve(listener, bounds, stopped(stop), Full::new, move |request, _| {
        let shared = Arc::clone(&shared);
        async move { answer(&shared, request).await }
    })
    .await;
}

async fn answer(shared: &Shared, request: HttpRequest<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Err(closed());
    };
    let body = body.to_bytes();
    if parts.uri.path().starts_with(control::PREFIX) {
        return Ok(response(control::answer(shared, &parts, &body)));
    }
    if parts.uri.path() == hub::PATH {
        return Ok(response(hub::answer(shared, &parts, &body).await));
    }
    if parts.uri.path().starts_with(ses::PREFIX) {
        let reply = ses::answer(&mut shared.mails(), &parts, &body, shared.clock.now_ms());
        return reply.map(response).ok_or_else(closed);
    }
    let now_ms = shared.clock.now_ms();
    let Some(request) = Request::read(&parts, &body, now_ms) else {
        return Ok(response(Reply::problem(404, "there is no such network")));
    };
    let api = api::of(request.network);
    let Outcome { reply, wait } = settle(shared, api, &request);
    // The delay is in the machine's time, as is the client's patience.
    tokio::time::sleep(wait).await;
    reply.map(response).ok_or_else(closed)
}

/// What comes of a call.
struct Outcome {
    /// None where the connection is closed.
    reply: Option<Reply>,
    wait: Duration,
}

fn settle(shared: &Shared, api: &dyn Api, request: &Request) -> Outcome {
    let mut state = shared.state();
    state.calls += 1;
    let number = state.calls;
    let shelf = state.shelf(request.network);
    let (kind, token) = (api.kind(request), request.token().map(str::to_owned));
    let page = token.as_deref().and_then(|token| shelf.tokens.page_of(token));
    let fault = shelf.faults.next(&kind, &request.path, page.as_deref(), request.now_ms);
    if let (Some(Fault::Token(state)), Some(token)) = (&fault, &token) {
        shelf.tokens.set(token, state.clone());
    }
    let was_refused = token.as_deref().is_some_and(|token| shelf.tokens.was_refused(token));
    let reply = with_fault(shelf, api, request, fault.as_ref());
    if let (true, Some(token)) = (reply.refused_token, &token) {
        shelf.tokens.refuse(token);
    }
    let is_dropped = matches!(fault, Some(Fault::Dropped));
    shelf.calls.push(Call {
        number,
        at_ms: request.now_ms,
        kind,
        path: request.path.clone(),
        query: request.safe_query(),
        page,
        status: (!is_dropped).then_some(reply.status),
        units: reply.units,
        over_limit: reply.over_limit,
        dead_token: was_refused && reply.refused_token,
        fault: fault.as_ref().map(Fault::name),
    });
    let wait = if let Some(Fault::Slow(wait)) = fault { wait } else { Duration::ZERO };
    Outcome { reply: (!is_dropped).then_some(reply), wait }
}

fn with_fault(shelf: &mut Shelf, api: &dyn Api, request: &Request, fault: Option<&Fault>) -> Reply {
    match fault {
        Some(Fault::Unavailable(status)) => api.unavailable(*status),
        Some(Fault::Limited(wait)) => {
            let until_ms = request.now_ms.saturating_add(ms(*wait));
            api.limited(shelf, request, until_ms)
        }
        Some(Fault::Answer { status, body }) => {
            Reply::typed(*status, "application/json; charset=UTF-8", body.clone())
        }
        Some(Fault::Malformed) => {
            let mut reply = api.answer(shelf, request);
            reply.body.truncate(reply.body.len() / 2);
            reply
        }
        Some(Fault::Slow(_) | Fault::Dropped | Fault::Token(_)) | None => api.answer(shelf, request),
    }
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection is closed on purpose")
}
