//! A connection of a receiver, and the ways to misuse it.

use std::io;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a receiver holds a connection that it neither reads nor writes. Longer than any attempt.
const HOLD: Duration = Duration::from_secs(60);

/// The pause between two bytes of a drip: some hundred bytes would take longer than any attempt.
pub(crate) const DRIP: Duration = Duration::from_millis(100);

/// A byte stream over TCP.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
}

impl ByteStream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl ByteStream for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A connection that a receiver accepted.
pub struct Wire {
    stream: Box<dyn ByteStream>,
    /// What was read and not looked at.
    pub(crate) ahead: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: impl ByteStream + 'static) -> Self {
        Self { stream: Box::new(stream), ahead: Vec::new() }
    }

    /// Reads some bytes behind what was read before. An error at the end.
    pub(crate) async fn read_some(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.ahead.extend_from_slice(&buffer[..read]);
        Ok(())
    }

    /// Reads one HTTP/1.1 request, whole.
    pub(crate) async fn request(&mut self) -> io::Result<()> {
        loop {
            if let Some(length) = request_length(&self.ahead)
                && self.ahead.len() >= length
            {
                self.ahead.drain(..length);
                return Ok(());
            }
            self.read_some().await?;
        }
    }

    /// Sends bytes.
    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// Sends bytes one by one, with a pause after each.
    pub(crate) async fn drip(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        for byte in bytes.as_ref() {
            self.say([*byte]).await?;
            tokio::time::sleep(DRIP).await;
        }
        Ok(())
    }

    /// Sends the same bytes for ever, as fast as they are taken, reading what comes meanwhile.
    pub(crate) async fn flood(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        let discard = async {
            let mut buffer = [0; 16 * 1024];
            while reader.read(&mut buffer).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        let pour = async {
            loop {
                writer.write_all(bytes.as_ref()).await?;
            }
        };
        tokio::select! {
            ended = discard => ended,
            ended = pour => ended,
        }
    }

    /// Holds the connection and reads nothing.
    pub(crate) async fn hold(&mut self) -> io::Result<()> {
        tokio::time::sleep(HOLD).await;
        Ok(())
    }

    /// Reads and says nothing, until the other side ends.
    pub(crate) async fn listen(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        while self.stream.read(&mut buffer).await? > 0 {}
        Ok(())
    }

    /// Ends its own direction, with whatever the layer below says at an end.
    pub(crate) async fn half_close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Ends its own direction of the TCP connection, without a word of the layer above.
    pub(crate) fn cut(&mut self) -> io::Result<()> {
        SockRef::from(self.stream.tcp()).shutdown(std::net::Shutdown::Write)
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) -> io::Result<()> {
        SockRef::from(self.stream.tcp()).set_linger(Some(Duration::ZERO))
    }

    /// Answers every request on the connection with the same bytes.
    pub(crate) async fn answer_each(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        loop {
            self.request().await?;
            self.say(bytes.as_ref()).await?;
        }
    }
}

/// The length of the request that begins these bytes, where its head is there.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(bytes.get(..head)?).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    Some(head + length.unwrap_or(0))
}
