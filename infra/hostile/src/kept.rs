//! Receivers that misuse a connection which is kept for the next attempt.

use std::time::Duration;

use crate::{Hostile, Recorded, Stage, hostile};

const TCP: Stage = Stage::Tcp;

/// A whole answer that leaves the connection open.
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What a later attempt would be recorded as, if it took an answer that was there before it asked.
const SMUGGLED: &str = "HTTP/1.1 299 Smuggled\r\ncontent-length: 0\r\n\r\n";

pub(crate) fn receivers() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        pipelines_a_second_answer "sends a second answer right behind the first; no later attempt takes it"
        => Recorded::Success(200); {
            wire.answer_each(format!("{OK}{SMUGGLED}")).await
        }
        pipelines_a_second_answer_late "sends a second answer when the connection is idle; no later attempt takes it"
        => Recorded::Success(200); {
            wire.request().await?;
            wire.say(OK).await?;
            tokio::time::sleep(Duration::from_millis(30)).await;
            wire.say(SMUGGLED).await?;
            wire.answer_each(SMUGGLED).await
        }
        closes_the_kept_connection_at_once "promises to keep the connection and closes it behind the answer"
        => Recorded::Success(200); {
            wire.request().await?;
            wire.say(OK).await?;
            wire.half_close().await?;
            wire.listen().await
        }
        resets_the_kept_connection "promises to keep the connection and resets it 30 ms later"
        => Recorded::Success(200); {
            wire.request().await?;
            wire.say(OK).await?;
            tokio::time::sleep(Duration::from_millis(30)).await;
            wire.reset()
        }
        fills_the_kept_connection_with_noise "sends noise for ever behind its answer"
        => Recorded::Success(200); {
            wire.request().await?;
            wire.say(OK).await?;
            wire.flood([b'x'; 4096]).await
        }
    }
}
