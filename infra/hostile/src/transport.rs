//! Receivers that misuse the TCP connection.

use carteiro_core::outcome::FailureKind::{Connect, Protocol, Status, Timeout};

use crate::{Hostile, Recorded, Stage, broken_off, failure, hostile};

const TCP: Stage = Stage::Tcp;

pub(crate) fn receivers() -> Vec<Hostile> {
    let mut all = unreachable();
    all.extend(resets());
    all.extend(closes());
    all.extend(unread());
    all
}

fn unreachable() -> Vec<Hostile> {
    vec![
        hostile!(Stage::Nobody, listens_nowhere, "nobody listens on its port", failure(Connect), |_wire| {
            Ok(())
        }),
        hostile!(
            Stage::FullBacklog,
            never_accepts_with_a_full_backlog,
            "its queue of connections is full, and nobody accepts one",
            failure(Timeout),
            |_wire| { Ok(()) }
        ),
        hostile!(
            TCP,
            accepts_and_says_nothing,
            "accepts, reads, and never answers",
            failure(Timeout),
            |wire| { wire.listen().await }
        ),
        hostile!(TCP, closes_on_accept, "closes every connection at once", failure(Protocol), |wire| {
            wire.half_close().await
        }),
    ]
}

fn resets() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        resets_on_accept "resets every connection 100 ms after it was accepted" => failure(Protocol); {
            // At once, the system may tell of it as of a connection that was not made.
            tokio::time::sleep(crate::wire::DRIP).await;
            wire.reset()
        }
        resets_in_the_middle_of_the_request "resets when it has read the first bytes of the request"
        => failure(Protocol); {
            wire.read_some().await?;
            wire.reset()
        }
        resets_after_the_request "reads the request, then resets" => failure(Protocol); {
            wire.request().await?;
            wire.reset()
        }
        resets_in_the_middle_of_the_head "resets in the middle of the response's head" => failure(Protocol); {
            wire.request().await?;
            wire.say("HTTP/1.1 200 OK\r\ncontent-le").await?;
            tokio::time::sleep(crate::wire::DRIP).await;
            wire.reset()
        }
        resets_in_the_middle_of_the_body "resets in the middle of the response's body"
        => broken_off(Protocol, 200); {
            wire.request().await?;
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nten bytes.").await?;
            tokio::time::sleep(crate::wire::DRIP).await;
            wire.reset()
        }
    }
}

fn closes() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        closes_after_the_request "reads the request, then closes without an answer" => failure(Protocol); {
            wire.request().await?;
            wire.half_close().await
        }
        half_closes_and_reads_on "ends its own direction at once and reads on for ever"
        => failure(Protocol); {
            wire.half_close().await?;
            wire.listen().await
        }
    }
}

fn unread() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        reads_nothing_of_a_large_request "accepts and reads nothing, so that a large request does not fit into the connection"
        => failure(Timeout); {
            wire.hold().await
        }
        answers_before_it_has_read "answers after the request's first bytes, and reads the rest later"
        => Recorded::Success(200); {
            wire.read_some().await?;
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
            tokio::time::sleep(crate::wire::DRIP).await;
            wire.listen().await
        }
        refuses_the_body_and_reads_no_more "answers 413 after the request's first bytes, and reads no more"
        => broken_off(Status, 413); {
            wire.read_some().await?;
            wire.say("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
            wire.hold().await
        }
    }
}
