//! Receivers that answer as they should, and what may happen to their connections: for tests of what is kept.

use std::time::Duration;

use carteiro_core::outcome::FailureKind::Protocol;

use crate::http2_frames::{begin, no_content, request};
use crate::{Certificate, Hostile, Recorded, Stage, broken_off, hostile};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers every request with 200, over HTTP/1.1 without TLS.
#[must_use]
pub fn over_http1() -> Hostile {
    hostile!(Stage::Tcp, answers, "answers", Recorded::Success(200), |wire| { wire.answer_each(OK).await })
}

/// Answers every request with 200, over HTTP/1.1 with TLS.
#[must_use]
pub fn over_tls() -> Hostile {
    hostile!(Stage::Tls(Certificate::Good), answers_over_tls, "answers", Recorded::Success(200), |wire| {
        wire.answer_each(OK).await
    })
}

/// Answers every request with 204, over HTTP/2.
#[must_use]
pub fn over_http2() -> Hostile {
    hostile!(Stage::Http2, answers_over_http_2, "answers", Recorded::Success(204), |wire| {
        begin(&mut wire, &[]).await?;
        loop {
            let stream = request(&mut wire).await?;
            wire.say(no_content(stream)).await?;
        }
    })
}

/// Answers the first request of a connection, and nothing after it: what a connection looks like whose other side was
/// lost without a word.
#[must_use]
pub fn vanishing() -> Hostile {
    hostile!(Stage::Tcp, vanishes, "vanishes", Recorded::Success(200), |wire| {
        wire.request().await?;
        wire.say(OK).await?;
        wire.listen().await
    })
}

/// The same over HTTP/2.
#[must_use]
pub fn vanishing_http2() -> Hostile {
    hostile!(Stage::Http2, vanishes_over_http_2, "vanishes", Recorded::Success(204), |wire| {
        begin(&mut wire, &[]).await?;
        let stream = request(&mut wire).await?;
        wire.say(no_content(stream)).await?;
        wire.listen().await
    })
}

/// Answers the first request of a connection, reads the second, and breaks the connection without an answer: whether it
/// did what it was asked to, nobody knows.
#[must_use]
pub fn breaking_at_the_second_request() -> Hostile {
    hostile!(Stage::Tcp, breaks, "breaks", broken_off(Protocol, 200), |wire| {
        wire.request().await?;
        wire.say(OK).await?;
        wire.request().await?;
        wire.reset()
    })
}

/// The same over HTTP/2.
#[must_use]
pub fn breaking_at_the_second_request_http2() -> Hostile {
    hostile!(Stage::Http2, breaks_over_http_2, "breaks", broken_off(Protocol, 204), |wire| {
        begin(&mut wire, &[]).await?;
        let stream = request(&mut wire).await?;
        wire.say(no_content(stream)).await?;
        request(&mut wire).await?;
        wire.reset()
    })
}

/// Answers each request after a while, over HTTP/2, so that several are under way at once.
#[must_use]
pub fn slow_over_http2() -> Hostile {
    hostile!(Stage::Http2, answers_slowly_over_http_2, "answers", Recorded::Success(204), |wire| {
        begin(&mut wire, &[]).await?;
        loop {
            let stream = request(&mut wire).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            wire.say(no_content(stream)).await?;
        }
    })
}
