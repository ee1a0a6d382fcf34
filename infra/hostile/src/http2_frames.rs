//! Frames of HTTP/2 (RFC 9113), written and read by hand.

use std::io;

use crate::Wire;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// `:status: 200` and `:status: 204`, by their numbers in HPACK's static table (RFC 7541, appendix A).
pub(crate) const STATUS_200: u8 = 0x88;
pub(crate) const STATUS_204: u8 = 0x89;

const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A whole answer without a body.
pub(crate) fn no_content(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &[STATUS_204])
}

/// The beginning of an answer.
pub(crate) fn ok(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &[STATUS_200])
}

/// A header field that is written out and not remembered (RFC 7541, 6.2.2); shorter than 127 bytes each.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, u8::try_from(name.len()).unwrap_or(0)];
    field.extend(name.as_bytes());
    field.push(u8::try_from(value.len()).unwrap_or(0));
    field.extend(value.as_bytes());
    field
}

/// Begins HTTP/2 with these settings (RFC 9113, 6.5.1: a number of two bytes, a value of four), acknowledges the
/// client's and reads past the client's preface.
pub(crate) async fn begin(wire: &mut Wire, settings: &[(u16, u32)]) -> io::Result<()> {
    let mut payload = Vec::new();
    for (number, value) in settings {
        payload.extend(number.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    wire.say(frame(SETTINGS, 0, 0, &payload)).await?;
    wire.say(frame(SETTINGS, ACK, 0, &[])).await?;
    while wire.ahead.len() < PREFACE {
        wire.read_some().await?;
    }
    wire.ahead.drain(..PREFACE);
    Ok(())
}

/// Reads up to the end of the next request, and answers its stream. What flow control holds back is let through.
pub(crate) async fn request(wire: &mut Wire) -> io::Result<u32> {
    loop {
        let frame = next_frame(wire).await?;
        let ends = frame.flags & END_STREAM != 0;
        if frame.kind == DATA && !frame.payload.is_empty() {
            let increment = u32::try_from(frame.payload.len()).unwrap_or(1).to_be_bytes();
            wire.say(self::frame(WINDOW_UPDATE, 0, 0, &increment)).await?;
            if !ends {
                wire.say(self::frame(WINDOW_UPDATE, 0, frame.stream, &increment)).await?;
            }
        }
        if (frame.kind == DATA || frame.kind == HEADERS) && ends {
            return Ok(frame.stream);
        }
    }
}

/// Reads up to the next request's head, and answers its stream.
pub(crate) async fn request_head(wire: &mut Wire) -> io::Result<u32> {
    loop {
        let frame = next_frame(wire).await?;
        if frame.kind == HEADERS {
            return Ok(frame.stream);
        }
    }
}

/// Waits until more may be sent on a stream, and answers how much.
pub(crate) async fn window(wire: &mut Wire) -> io::Result<u32> {
    loop {
        let frame = next_frame(wire).await?;
        if frame.kind == WINDOW_UPDATE && frame.stream != 0 {
            return Ok(frame.payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)));
        }
    }
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

async fn next_frame(wire: &mut Wire) -> io::Result<Frame> {
    loop {
        if let Some(&[a, b, c, kind, flags, d, e, f, g]) = wire.ahead.first_chunk::<FRAME_HEAD>() {
            let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
            if wire.ahead.len() >= FRAME_HEAD + length {
                let payload = wire.ahead.drain(..FRAME_HEAD + length).skip(FRAME_HEAD).collect();
                return Ok(Frame { kind, flags, stream: u32::from_be_bytes([d, e, f, g]), payload });
            }
        }
        wire.read_some().await?;
    }
}
