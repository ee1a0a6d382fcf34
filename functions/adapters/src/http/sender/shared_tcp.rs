//! A TCP connection that others than its reader and writer can look at, and whose reader yields: parsing may be slow,
//! and a receiver that floods would otherwise keep the thread until every deadline of the batch has passed.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How much is read at once, and how often in a row before others run: 64 KiB of the smallest responses are parsed in a
/// fraction of a second, also by an unoptimised build.
const READ_BYTES: usize = 16 * 1024;
const READS_IN_A_ROW: u8 = 4;

/// The reader and writer of a connection. There is one for each.
#[derive(Debug)]
pub(crate) struct SharedTcp {
    tcp: Arc<TcpStream>,
    reads: u8,
}

/// Whether a connection is open and has no unread bytes. It asks the system, because the runtime learns of arrivals
/// only when it waits.
pub(crate) fn is_quiet(tcp: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    let peeked = SockRef::from(tcp).peek(&mut byte);
    peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl AsyncRead for SharedTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reads >= READS_IN_A_ROW {
            self.reads = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if self.tcp.poll_read_ready(context)?.is_pending() {
                self.reads = 0;
                return Poll::Pending;
            }
            let room = buffer.remaining().min(READ_BYTES);
            match self.tcp.try_read(buffer.initialize_unfilled_to(room)) {
                Ok(read) => {
                    buffer.advance(read);
                    self.reads += 1;
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl SharedTcp {
    pub(crate) fn new(tcp: Arc<TcpStream>) -> Self {
        Self { tcp, reads: 0 }
    }

    /// Writes as soon as the connection takes something.
    fn poll_with(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_write_ready(context))?;
            match write(&self.tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for SharedTcp {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_with(context, |tcp| tcp.try_write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.tcp).shutdown(Shutdown::Write))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(context, |tcp| tcp.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn written_bytes_arrive_and_are_seen_before_they_are_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = Arc::new(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        let (mut other, _) = listener.accept().await.unwrap();
        let mut ours = SharedTcp::new(Arc::clone(&tcp));
        assert!(is_quiet(&tcp));
        let large = vec![7; 4 << 20];
        let (written, read) = tokio::join!(
            async {
                ours.write_all(&large).await.unwrap();
                ours.shutdown().await.unwrap();
            },
            async {
                let mut read = Vec::new();
                other.read_to_end(&mut read).await.unwrap();
                read
            }
        );
        let () = written;
        assert_eq!(read, large);
        other.write_all(b"x").await.unwrap();
        while is_quiet(&tcp) {
            tokio::task::yield_now().await;
        }
        let mut byte = [0];
        ours.read_exact(&mut byte).await.unwrap();
        assert!(is_quiet(&tcp) && byte == *b"x");
        drop(other);
        while is_quiet(&tcp) {
            tokio::task::yield_now().await;
        }
    }
}
