//! Bytes as they are stored: deflated where that makes them smaller.
//!
//! A row of up to 1 KiB is one write unit, so few bytes are stored as they are. The first byte names the form, so that
//! a later version can add another.

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

pub(crate) const PLAIN: u8 = 0;
pub(crate) const DEFLATED: u8 = 1;

/// Bytes in the form in which they are stored: those of at least `deflated_from` bytes deflated where that is smaller.
pub(crate) fn pack(bytes: &[u8], deflated_from: usize) -> Vec<u8> {
    if bytes.len() >= deflated_from {
        let mut encoder = DeflateEncoder::new(vec![DEFLATED], Compression::fast());
        match encoder.write_all(bytes).and_then(|()| encoder.finish()) {
            Ok(deflated) if deflated.len() <= bytes.len() => return deflated,
            _ => {}
        }
    }
    [&[PLAIN], bytes].concat()
}

/// The bytes that were [packed](pack), at most this many of them; None where they are in no known form.
pub(crate) fn unpack(packed: &[u8], most: u64) -> Option<Cow<'_, [u8]>> {
    let (form, bytes) = packed.split_first()?;
    match *form {
        PLAIN => Some(Cow::Borrowed(bytes)),
        DEFLATED => {
            let mut plain = Vec::new();
            DeflateDecoder::new(bytes).take(most).read_to_end(&mut plain).ok()?;
            Some(Cow::Owned(plain))
        }
        _ => None,
    }
}
