//! Receivers that misuse HTTP/2.

use std::io;

use carteiro_core::outcome::FailureKind::{Protocol, Timeout};

use crate::http2_frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PUSH_PROMISE, RST_STREAM, SETTINGS,
    STATUS_200, WINDOW_UPDATE, begin, field, frame, no_content, ok, request, request_head, window,
};
use crate::{Hostile, Recorded, Stage, Wire, broken_off, failure, hostile};

const H2: Stage = Stage::Http2;

/// Settings by their numbers (RFC 9113, 6.5.2).
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Begins, and reads a request.
async fn requested(wire: &mut Wire) -> io::Result<u32> {
    begin(wire, &[]).await?;
    request(wire).await
}

pub(crate) fn receivers() -> Vec<Hostile> {
    let mut all = floods();
    all.extend(refusals());
    all.extend(violations());
    all.extend(withheld());
    all.extend(endless_heads());
    all.extend(broken_heads());
    all.extend(bodies());
    all.extend(well_behaved());
    all
}

fn floods() -> Vec<Hostile> {
    hostile! { H2, |wire|
        floods_with_settings "sends SETTINGS for ever" => failure(Timeout); {
            begin(&mut wire, &[]).await?;
            wire.flood(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])).await
        }
        floods_with_pings "sends PING for ever" => failure(Timeout); {
            begin(&mut wire, &[]).await?;
            wire.flood(frame(PING, 0, 0, &[7; 8])).await
        }
        floods_with_pings_and_reads_nothing "sends PING for ever and reads no answer to them"
        => failure(Timeout); {
            begin(&mut wire, &[]).await?;
            loop {
                wire.say(frame(PING, 0, 0, &[7; 8])).await?;
            }
        }
        floods_with_empty_data "answers and sends empty DATA frames for ever" => broken_off(Protocol, 200); {
            let stream = requested(&mut wire).await?;
            wire.say(ok(stream)).await?;
            tokio::time::sleep(crate::wire::DRIP).await;
            wire.flood(frame(DATA, 0, stream, &[]).repeat(100)).await
        }
        floods_with_103_over_http_2 "sends 103 over HTTP/2 for ever" => failure(Timeout); {
            let stream = requested(&mut wire).await?;
            wire.flood(frame(HEADERS, END_HEADERS, stream, &field(":status", "103"))).await
        }
        floods_with_unknown_frames "sends frames of an unknown kind for ever" => failure(Timeout); {
            let stream = requested(&mut wire).await?;
            wire.flood(frame(0xfa, 0, stream, &[0; 1000])).await
        }
    }
}

fn refusals() -> Vec<Hostile> {
    hostile! { H2, |wire|
        resets_the_stream "resets every stream (INTERNAL_ERROR)" => failure(Protocol); {
            begin(&mut wire, &[]).await?;
            loop {
                let stream = request_head(&mut wire).await?;
                wire.say(frame(RST_STREAM, 0, stream, &[0, 0, 0, 2])).await?;
            }
        }
        refuses_every_stream "refuses every stream (REFUSED_STREAM)" => failure(Protocol); {
            begin(&mut wire, &[]).await?;
            loop {
                let stream = request_head(&mut wire).await?;
                wire.say(frame(RST_STREAM, 0, stream, &[0, 0, 0, 7])).await?;
            }
        }
        goes_away_at_once "sends GOAWAY before it has read anything" => failure(Protocol); {
            begin(&mut wire, &[]).await?;
            wire.say(frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11])).await?;
            wire.half_close().await?;
            wire.listen().await
        }
        answers_http_2_with_http_1 "agrees on HTTP/2 and answers in HTTP/1.1" => failure(Protocol); {
            wire.read_some().await?;
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
            wire.listen().await
        }
    }
}

fn violations() -> Vec<Hostile> {
    hostile! { H2, |wire|
        overflows_the_window "lets more through than a window can hold" => failure(Protocol); {
            requested(&mut wire).await?;
            let most = 0x7fff_ffff_u32.to_be_bytes();
            wire.say(frame(WINDOW_UPDATE, 0, 0, &most)).await?;
            wire.say(frame(WINDOW_UPDATE, 0, 0, &most)).await?;
            wire.listen().await
        }
        sends_a_frame_that_is_too_large "sends a frame of 1 MiB, unasked" => broken_off(Protocol, 200); {
            let stream = requested(&mut wire).await?;
            wire.say(ok(stream)).await?;
            tokio::time::sleep(crate::wire::DRIP).await;
            wire.say(frame(DATA, 0, stream, &vec![0; 1 << 20])).await?;
            wire.listen().await
        }
        sends_a_body_before_a_head "sends DATA on a stream without HEADERS" => failure(Protocol); {
            let stream = requested(&mut wire).await?;
            wire.say(frame(DATA, END_STREAM, stream, b"ok")).await?;
            wire.listen().await
        }
        pushes_what_nobody_asked_for "sends PUSH_PROMISE, which the client forbade" => failure(Protocol); {
            let stream = requested(&mut wire).await?;
            let mut promise = vec![0, 0, 0, 2];
            promise.extend([0x82, 0x86, 0x84]);
            wire.say(frame(PUSH_PROMISE, END_HEADERS, stream, &promise)).await?;
            wire.listen().await
        }
    }
}

fn withheld() -> Vec<Hostile> {
    hostile! { H2, |wire|
        agrees_on_http_2_and_says_nothing "agrees on HTTP/2, reads, and never sends a frame"
        => failure(Timeout); {
            wire.listen().await
        }
        opens_no_window "allows no byte of a request's body, for ever" => failure(Timeout); {
            begin(&mut wire, &[(INITIAL_WINDOW_SIZE, 0)]).await?;
            wire.listen().await
        }
        allows_no_streams "allows no stream at all" => failure(Timeout); {
            begin(&mut wire, &[(MAX_CONCURRENT_STREAMS, 0)]).await?;
            wire.listen().await
        }
        never_ends_the_stream "answers 200 with part of a body, and never ends it"
        => broken_off(Timeout, 200); {
            let stream = requested(&mut wire).await?;
            wire.say(ok(stream)).await?;
            wire.say(frame(DATA, 0, stream, b"ok")).await?;
            wire.listen().await
        }
    }
}

fn endless_heads() -> Vec<Hostile> {
    hostile! { H2, |wire|
        continues_its_headers_for_ever "sends CONTINUATION frames for ever" => failure(Protocol); {
            let stream = requested(&mut wire).await?;
            wire.say(frame(HEADERS, 0, stream, &[STATUS_200])).await?;
            let fields = field("x-more", "and more").repeat(500);
            wire.flood(frame(CONTINUATION, 0, stream, &fields)).await
        }
        continues_its_headers_with_nothing "sends empty CONTINUATION frames for ever" => failure(Protocol); {
            let stream = requested(&mut wire).await?;
            wire.say(frame(HEADERS, 0, stream, &[STATUS_200])).await?;
            wire.flood(frame(CONTINUATION, 0, stream, &[]).repeat(100)).await
        }
        sends_a_header_bomb "remembers one header of 4 KB and repeats it 16,000 times by its number: 64 MB, unpacked"
        => failure(Protocol); {
            let stream = requested(&mut wire).await?;
            // Remembered (RFC 7541, 6.2.1): a name of one byte, and a value of 3,900, whose length takes three.
            let mut bomb = vec![STATUS_200, 0x40, 1, b'x', 0x7f];
            bomb.extend([0xbd, 0x1d]);
            bomb.extend([b'y'; 3900]);
            bomb.extend([0xbe; 12_000]);
            wire.say(frame(HEADERS, 0, stream, &bomb)).await?;
            wire.say(frame(CONTINUATION, END_HEADERS, stream, &[0xbe; 4_000])).await?;
            wire.say(frame(DATA, END_STREAM, stream, b"ok")).await?;
            wire.listen().await
        }
    }
}

fn broken_heads() -> Vec<Hostile> {
    hostile! { H2, |wire|
        names_no_number_of_the_header_table "names a header by a number that stands for none"
        => failure(Protocol); {
            let stream = requested(&mut wire).await?;
            wire.say(frame(HEADERS, END_HEADERS | END_STREAM, stream, &[STATUS_200, 0xfe])).await?;
            wire.listen().await
        }
        sends_no_status "answers with headers and no status" => failure(Protocol); {
            let stream = requested(&mut wire).await?;
            wire.say(frame(HEADERS, END_HEADERS | END_STREAM, stream, &field("x", "y"))).await?;
            wire.listen().await
        }
    }
}

fn bodies() -> Vec<Hostile> {
    hostile! { H2, |wire|
        sends_data_for_ever "answers with DATA for ever; 64 KiB are read" => Recorded::Success(200); {
            let stream = requested(&mut wire).await?;
            wire.say(ok(stream)).await?;
            // What the client allows at first (RFC 9113, 6.9.2), less a little; then what it lets through.
            wire.say(frame(DATA, 0, stream, &[b'x'; 16_000]).repeat(4)).await?;
            loop {
                let allowed = usize::try_from(window(&mut wire).await?).unwrap_or(0);
                for _ in 0..allowed / 16_000 {
                    wire.say(frame(DATA, 0, stream, &[b'x'; 16_000])).await?;
                }
            }
        }
        claims_more_than_it_sends_over_http_2 "claims 100 bytes of body over HTTP/2 and ends the stream after 5"
        => broken_off(Protocol, 200); {
            let stream = requested(&mut wire).await?;
            let mut head = vec![STATUS_200];
            head.extend(field("content-length", "100"));
            wire.say(frame(HEADERS, END_HEADERS, stream, &head)).await?;
            wire.say(frame(DATA, END_STREAM, stream, b"hello")).await?;
            wire.listen().await
        }
    }
}

fn well_behaved() -> Vec<Hostile> {
    hostile! { H2, |wire|
        goes_away_behind_each_answer "answers, then sends GOAWAY and closes, each time"
        => Recorded::Success(204); {
            let stream = requested(&mut wire).await?;
            wire.say(no_content(stream)).await?;
            let mut last = stream.to_be_bytes().to_vec();
            last.extend([0; 4]);
            wire.say(frame(GOAWAY, 0, 0, &last)).await?;
            wire.half_close().await?;
            wire.listen().await
        }
        pushes_an_answer_on_the_next_stream "sends an answer to a request that was not made yet"
        => Recorded::Success(204); {
            let stream = requested(&mut wire).await?;
            wire.say(no_content(stream)).await?;
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            wire.say(frame(HEADERS, END_HEADERS | END_STREAM, stream + 2, &[STATUS_200])).await?;
            wire.listen().await
        }
    }
}
