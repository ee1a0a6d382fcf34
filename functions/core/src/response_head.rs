//! Reads a response by the bytes of its head (HTTP/1).
//!
//! Heads are read as tolerantly as the common clients do. Where a head breaks the specification, others may read it in
//! another way, its length among them; so its connection is not used again.

use crate::cause::Code;

/// Recognises other protocols by the first bytes; None where they begin as HTTP does, or are too few.
#[must_use]
pub fn not_http(beginning: &[u8]) -> Option<Code> {
    let blank = beginning.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let bytes = &beginning[blank..];
    let is_begun = |with: &[u8]| bytes.starts_with(with) || with.starts_with(bytes);
    if bytes.is_empty() || is_begun(b"HTTP/1.0") || is_begun(b"HTTP/1.1") {
        return None;
    }
    let text: String = bytes.iter().take(16).map(|&byte| char::from(byte).to_ascii_lowercase()).collect();
    let first_line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\r' | 0x20..=0x7e | 0x80..);
    Some(if text.starts_with("http/") {
        Code::HttpVersion
    } else if text.starts_with("ssh-") {
        Code::NotHttpSsh
    } else if text.starts_with("220 ") || text.starts_with("220-") {
        Code::NotHttpMail
    } else if is_tls(bytes) {
        Code::NotHttpTls
    } else if is_settings(bytes) {
        Code::NotHttpFrames
    } else if text.trim_start().starts_with('<') {
        Code::NotHttpPage
    } else if std::str::from_utf8(first_line.get(..64).unwrap_or(first_line)).is_ok()
        && first_line.iter().all(is_text)
    {
        Code::NotHttpText
    } else {
        Code::NotHttpBinary
    })
}

/// An alert or a handshake of TLS (RFC 8446, 5.1).
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [21 | 22, 3, 0..=4, ..])
}

/// A SETTINGS or GOAWAY frame of HTTP/2 on the connection (RFC 9113, 4.1).
fn is_settings(bytes: &[u8]) -> bool {
    matches!(bytes, [0, _, _, 4 | 7, _, 0, 0, 0, 0, ..])
}

/// Whether the final head in these bytes, behind those of 1xx, is one that everybody reads in the same way. What
/// follows it is passed over.
#[must_use]
pub fn is_regular(mut bytes: &[u8]) -> bool {
    loop {
        let Some((informational, rest)) = regular_head(bytes) else { return false };
        if !informational {
            return true;
        }
        bytes = rest;
    }
}

/// Whether a regular head is that of a 1xx, and the bytes behind it; None where it is irregular or incomplete.
fn regular_head(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let (status_line, mut rest) = line(bytes)?;
    let status = status_line.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?;
    let informational = status.starts_with(b"1") && !status.starts_with(b"101");
    let mut lengths = 0;
    loop {
        let (header, behind) = line(rest)?;
        rest = behind;
        if header.is_empty() {
            return (lengths < 2).then_some((informational, rest));
        }
        let colon = header.iter().position(|&byte| byte == b':')?;
        let (name, value) = (&header[..colon], &header[colon..]);
        if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) || value.iter().any(is_control) {
            return None;
        }
        lengths += usize::from(is_framing(name));
    }
}

/// A line that ends with CR and LF, and the bytes behind it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let line = bytes[..end].strip_suffix(b"\r")?;
    (!line.contains(&b'\r')).then_some((line, &bytes[end + 1..]))
}

/// Whether a header of this name says where the body ends. Two that do may say different things.
fn is_framing(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_control(byte: &u8) -> bool {
    byte.is_ascii_control() && *byte != b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_http_is_told_by_its_first_bytes() {
        for (bytes, code) in [
            (&b""[..], None),
            (b"HT", None),
            (b"HTTP/1.1 99", None),
            (b"\r\nHTTP/1.0 200 OK", None),
            (b"HTTP/3.1 200 OK\r\n", Some(Code::HttpVersion)),
            (b"HTTP/2 200\r\n", Some(Code::HttpVersion)),
            (b"http/1.1 200 OK\r\n", Some(Code::HttpVersion)),
            (b"SSH-2.0-OpenSSH_9.6\r\n", Some(Code::NotHttpSsh)),
            (b"220 mail.example ESMTP\r\n", Some(Code::NotHttpMail)),
            (b"220-ftp.example\r\n", Some(Code::NotHttpMail)),
            (b"\x15\x03\x01\x00\x02\x02\x46", Some(Code::NotHttpTls)),
            (&[0, 0, 0, 4, 0, 0, 0, 0, 0], Some(Code::NotHttpFrames)),
            (&[0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3], Some(Code::NotHttpFrames)),
            (b"<html>", Some(Code::NotHttpPage)),
            (b"  <!DOCTYPE html>", Some(Code::NotHttpPage)),
            (b"Hello!\r\n\x00", Some(Code::NotHttpText)),
            ("Olá\n".as_bytes(), Some(Code::NotHttpText)),
            (b"\x80\x00\xff\x13", Some(Code::NotHttpBinary)),
            (b"ok\x01", Some(Code::NotHttpBinary)),
        ] {
            assert_eq!(not_http(bytes), code, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_head_that_could_be_read_in_two_ways_is_not_regular() {
        for head in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\nc:\td \r\n\r\n",
            "HTTP/1.0 204\u{20}\r\ncontent-length: 0\r\n\r\nHTTP/1.1",
            "HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nx: caf\u{e9}\r\n\r\n",
        ] {
            assert!(is_regular(head.as_bytes()), "{head}");
        }
        for head in [
            "",
            "HTTP/1.1 200 OK\r\na: b\r\n",
            "HTTP/1.1 200 OK\na: b\n\n",
            "HTTP/1.1 200 OK\r\nPHP Warning:  in line 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\x07\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
            "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\n: b\r\n\r\n",
            "HTTP/1.1 103 Hints\r\n\r\n",
        ] {
            assert!(!is_regular(head.as_bytes()), "{head}");
        }
    }
}
