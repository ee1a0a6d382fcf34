//! Receivers that misuse the body of an HTTP/1 response.

use std::io::Write;

use carteiro_core::outcome::FailureKind::{Protocol, Redirect, Timeout};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::{Hostile, Recorded, Stage, broken_off, failure, hostile};

const TCP: Stage = Stage::Tcp;

/// The head of a chunked response.
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

pub(crate) fn receivers() -> Vec<Hostile> {
    let mut all = lengths();
    all.extend(codings());
    all.extend(unreadable_lengths());
    all.extend(incomplete());
    all.extend(without_bodies());
    all.extend(chunks());
    all.extend(ends_of_chunks());
    all.extend(trailers());
    all.extend(large());
    all
}

fn lengths() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        claims_more_than_it_sends "claims 100 bytes of body, sends 5 and closes"
        => broken_off(Protocol, 200); {
            wire.request().await?;
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello").await?;
            wire.half_close().await
        }
        sends_more_than_it_claims "claims 2 bytes of body and sends 1,000 more" => Recorded::Success(200); {
            wire.answer_each(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{}",
                "x".repeat(1000)
            ))
            .await
        }
        claims_two_lengths "claims two different lengths" => failure(Protocol); {
            wire.answer_each("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 4\r\n\r\nokok").await
        }
        claims_the_same_length_twice "claims the same length twice, on two lines and on one"
        => Recorded::Success(200); {
            let lengths = "content-length: 2\r\ncontent-length: 2, 2\r\n";
            wire.answer_each(format!("HTTP/1.1 200 OK\r\n{lengths}\r\nok")).await
        }
        claims_no_length_at_all "claims a length and leaves it empty" => failure(Protocol); {
            wire.answer_each("HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nok").await
        }
        answers_204_with_two_lengths "answers 204, which has no body, and claims two different lengths"
        => Recorded::Success(204); {
            wire.answer_each("HTTP/1.1 204 None\r\ncontent-length: 2\r\ncontent-length: 4\r\n\r\n").await
        }
    }
}

fn codings() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        says_chunked_in_http_1_0 "sends chunks in HTTP/1.0, which has none" => failure(Protocol); {
            wire.request().await?;
            wire.say("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await?;
            wire.half_close().await
        }
        names_a_coding_that_is_none "names the transfer coding `identity` and a length, and closes"
        => Recorded::Success(200); {
            wire.request().await?;
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\ncontent-length: 2\r\n\r\n";
            wire.say(format!("{head}ok")).await?;
            wire.half_close().await
        }
    }
}

fn unreadable_lengths() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        claims_a_negative_length "claims a length of -1" => failure(Protocol); {
            wire.answer_each("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nok").await
        }
        claims_a_length_beyond_numbers "claims a length of more than 64 bits" => failure(Protocol); {
            wire.answer_each("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nok").await
        }
    }
}

fn incomplete() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        claims_exabytes "claims 9 EB of body and sends nothing of it" => broken_off(Timeout, 200); {
            wire.request().await?;
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 9000000000000000000\r\n\r\n").await?;
            wire.listen().await
        }
        drips_its_body "sends its body a byte every 100 ms" => broken_off(Timeout, 200); {
            wire.request().await?;
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
            wire.drip([b'x'; 1000]).await
        }
    }
}

fn without_bodies() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        sends_a_body_with_204 "answers 204, which has no body, and sends one" => Recorded::Success(204); {
            wire.answer_each("HTTP/1.1 204 None\r\ncontent-length: 5\r\n\r\nhello").await
        }
        sends_a_body_with_304 "answers 304, which has no body, and sends one" => broken_off(Redirect, 304); {
            wire.answer_each("HTTP/1.1 304 Same\r\ncontent-length: 5\r\n\r\nhello").await
        }
    }
}

fn chunks() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        sends_a_chunk_of_an_impossible_size "begins a chunk whose size has more than 64 bits"
        => broken_off(Protocol, 200); {
            wire.answer_each(format!("{CHUNKED}FFFFFFFFFFFFFFFFFF\r\nok\r\n0\r\n\r\n")).await
        }
        sends_a_chunk_of_a_negative_size "begins a chunk of size -1" => broken_off(Protocol, 200); {
            wire.answer_each(format!("{CHUNKED}-1\r\nok\r\n0\r\n\r\n")).await
        }
        claims_a_chunk_of_exabytes "begins a chunk of 8 EB and sends nothing of it"
        => broken_off(Timeout, 200); {
            wire.request().await?;
            wire.say(format!("{CHUNKED}7000000000000000\r\n")).await?;
            wire.listen().await
        }
        floods_with_chunk_extensions "begins a chunk with an extension that never ends"
        => broken_off(Protocol, 200); {
            wire.request().await?;
            wire.say(format!("{CHUNKED}2;")).await?;
            wire.flood("x=y;".repeat(1024)).await
        }
    }
}

fn ends_of_chunks() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        never_sends_the_last_chunk "closes without the chunk that ends the body"
        => broken_off(Protocol, 200); {
            wire.request().await?;
            wire.say(format!("{CHUNKED}2\r\nok\r\n")).await?;
            wire.half_close().await
        }
        drips_chunk_sizes "sends a chunk's size, with leading zeros, a digit every 100 ms"
        => broken_off(Timeout, 200); {
            wire.request().await?;
            wire.say(CHUNKED).await?;
            wire.drip([b'0'; 1000]).await
        }
        says_chunked_and_a_length "names both a transfer coding and a length, as smugglers of requests do"
        => Recorded::Success(200); {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n";
            wire.answer_each(format!("{head}2\r\nok\r\n0\r\n\r\n")).await
        }
    }
}

fn trailers() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        drips_its_trailers "sends trailers a byte every 100 ms" => broken_off(Timeout, 200); {
            wire.request().await?;
            wire.say(format!("{CHUNKED}2\r\nok\r\n0\r\n")).await?;
            wire.drip(format!("x-trailer: {}\r\n\r\n", "x".repeat(1000))).await
        }
        sends_trailers_that_never_end "sends trailers for ever" => broken_off(Protocol, 200); {
            wire.request().await?;
            wire.say(format!("{CHUNKED}2\r\nok\r\n0\r\n")).await?;
            wire.flood("x-more: and more\r\n".repeat(100)).await
        }
    }
}

fn large() -> Vec<Hostile> {
    hostile! { TCP, |wire|
        sends_50_megabytes "answers with 50 MB as fast as they are read; 64 KiB are"
        => Recorded::Success(200); {
            wire.request().await?;
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n").await?;
            for _ in 0..500 {
                wire.say([b'x'; 100_000]).await?;
            }
            wire.listen().await
        }
        sends_a_body_that_never_ends "answers with a body without a length, for ever; 64 KiB are read"
        => Recorded::Success(200); {
            wire.request().await?;
            wire.say("HTTP/1.1 200 OK\r\n\r\n").await?;
            wire.flood([b'x'; 65_536]).await
        }
        sends_tiny_chunks_for_ever "answers with chunks of one byte, for ever; 64 KiB are read"
        => Recorded::Success(200); {
            wire.request().await?;
            wire.say(CHUNKED).await?;
            wire.flood("1\r\nx\r\n".repeat(4096)).await
        }
        sends_a_gzip_bomb "answers with 40 KB that unpack to 40 MB; nothing is unpacked"
        => Recorded::Success(200); {
            let bomb = gzip_bomb()?;
            let mut answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
                bomb.len()
            )
            .into_bytes();
            answer.extend(bomb);
            wire.answer_each(answer).await
        }
    }
}

fn gzip_bomb() -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..40 {
        encoder.write_all(&vec![0; 1_000_000])?;
    }
    encoder.finish()
}
