//! A network's whole answer.

use std::fmt;
use std::io::Read;

use bytes::{Bytes, BytesMut};
use carteiro_networks::poll::NetworkResponse;
use flate2::read::MultiGzDecoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::{CallError, MAX_BODY_BYTES};

/// A network's answer. It prints nothing of its body, which may have tokens in it, nor of its headers.
#[derive(Clone)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, unpacked.
    pub body: Bytes,
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answered({}, {} bytes)", self.status, self.body.len())
    }
}

impl Answered {
    /// The part of an answer that is read where the network sent none: a status, and a header with a number.
    #[must_use]
    pub fn of_ours(status: u16, header: Option<(&'static str, i64)>) -> Self {
        let headers = header.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from(value)));
        Self { status, headers: headers.into_iter().collect(), body: Bytes::new() }
    }

    /// A header by its lower-case name; the first, where it is there more than once. One that is no visible ASCII is
    /// none.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Parses the answer with a network's reader.
    pub fn parse<T>(&self, read: impl FnOnce(&NetworkResponse<'_>) -> T) -> T {
        let header = |name: &str| self.header(name);
        read(&NetworkResponse { status: self.status, header: &header, body: &self.body })
    }

    /// Reads a response to its end.
    pub(super) async fn read(response: Response<Incoming>) -> Result<Self, CallError> {
        let (head, body) = response.into_parts();
        let packed = is_packed(&head.headers)?;
        let body = whole(body).await?;
        // A response without a body has none, whatever its coding says.
        let body = if packed && !body.is_empty() { unpacked(&body)? } else { body };
        Ok(Self { status: head.status.as_u16(), headers: head.headers, body })
    }
}

/// Whether a body is packed with gzip, the only coding that is asked for.
fn is_packed(headers: &HeaderMap) -> Result<bool, CallError> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    match (codings.next().map(|coding| coding.as_bytes().to_ascii_lowercase()).as_deref(), codings.next()) {
        (None | Some(b"" | b"identity"), None) => Ok(false),
        (Some(b"gzip" | b"x-gzip"), None) => Ok(true),
        _ => Err(CallError::Broken),
    }
}

async fn whole(mut body: Incoming) -> Result<Bytes, CallError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > MAX_BODY_BYTES {
        return Err(CallError::TooLarge);
    }
    let mut read = BytesMut::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| CallError::Broken)?;
        if let Some(data) = frame.data_ref() {
            if data.len() > MAX_BODY_BYTES - read.len() {
                return Err(CallError::TooLarge);
            }
            read.extend_from_slice(data);
        }
    }
    Ok(read.freeze())
}

/// Unpacks at most the limit of unpacked bodies: a few bytes can be packed gigabytes.
fn unpacked(packed: &[u8]) -> Result<Bytes, CallError> {
    let most = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX);
    let mut read = Vec::new();
    MultiGzDecoder::new(packed).take(most + 1).read_to_end(&mut read).map_err(|_| CallError::Broken)?;
    if read.len() > MAX_BODY_BYTES { Err(CallError::TooLarge) } else { Ok(read.into()) }
}
