//! The first bytes of a receiver's response, before they are parsed. They show which protocol a response has that is no
//! HTTP, and whether the connection can be trusted after a head that other parsers may read differently.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes that arrived since they were last taken, up to a bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(Arc<Mutex<Beginning>>);

#[derive(Debug, Default)]
struct Beginning {
    bytes: Vec<u8>,
    /// Whether the response's head is read, so that its body follows.
    is_over: bool,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, Beginning> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens for the next response. A greeting that a new connection sent before its first request is kept.
    pub(crate) fn begin(&self) {
        self.lock().is_over = false;
    }

    /// The bytes that arrived. Listening ends.
    pub(crate) fn end(&self) -> Vec<u8> {
        let mut heard = self.lock();
        heard.is_over = true;
        std::mem::take(&mut heard.bytes)
    }

    fn add(&self, bytes: &[u8], most: usize) {
        let mut heard = self.lock();
        if !heard.is_over {
            let room = most.saturating_sub(heard.bytes.len()).min(bytes.len());
            heard.bytes.extend_from_slice(&bytes[..room]);
        }
    }
}

/// A stream whose first bytes are recorded.
#[derive(Debug)]
pub(crate) struct Listening<S> {
    pub(crate) stream: S,
    pub(crate) heard: Heard,
    /// How many bytes are recorded.
    pub(crate) most: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Listening<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if matches!(read, Poll::Ready(Ok(()))) {
            self.heard.add(&buffer.filled()[before..], self.most);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listening<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
