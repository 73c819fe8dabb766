//! `Connection`: HTTP/1.1 as lean as it gets, so that what loads a server does not take its processor. It reads answers with a
//! `Content-Length`, which is all that the control plane's API sends.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

/// How long an answer may take, on a loaded machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);
/// The longest answer: 100 acknowledgements take some 200 KiB.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Seconds after which to come again, where the server says so.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

/// A connection that is kept.
pub struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
}

enum Stream {
    Plain(tokio::net::TcpStream),
    Tls(Box<TlsStream<tokio::net::TcpStream>>),
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self { stream: Stream::Plain(connect(address).await?), buffer: Vec::new() })
    }

    /// Connects and shakes hands with a server whose certificate is for `localhost`.
    ///
    /// # Errors
    /// When nobody listens, or it holds no such certificate.
    pub async fn open_with(connector: &TlsConnector, address: SocketAddr) -> Result<Self> {
        let name = ServerName::try_from("localhost")?;
        let stream = connector.connect(name, connect(address).await?).await?;
        Ok(Self { stream: Stream::Tls(Box::new(stream)), buffer: Vec::new() })
    }

    /// Sends a whole request and reads its answer.
    ///
    /// # Errors
    /// When the connection breaks, or the answer is none.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        tokio::time::timeout(ANSWER_LIMIT, async {
            match &mut self.stream {
                Stream::Plain(stream) => stream.write_all(request).await?,
                Stream::Tls(stream) => {
                    stream.write_all(request).await?;
                    stream.flush().await?;
                }
            }
            self.read().await
        })
        .await
        .context("no answer in time")?
    }

    async fn read(&mut self) -> Result<Answer> {
        self.buffer.clear();
        let mut expected = None;
        loop {
            if expected.is_none() {
                expected = head(&self.buffer)?;
            }
            if let Some(head) = &expected {
                let end = head.body_at + head.body_bytes;
                if self.buffer.len() >= end {
                    return Ok(Answer {
                        status: head.status,
                        retry_after: head.retry_after,
                        body: self.buffer[head.body_at..end].to_vec(),
                    });
                }
            }
            ensure!(self.buffer.len() < MAX_ANSWER_BYTES, "an answer of over {MAX_ANSWER_BYTES} bytes");
            let read = match &mut self.stream {
                Stream::Plain(stream) => stream.read_buf(&mut self.buffer).await?,
                Stream::Tls(stream) => stream.read_buf(&mut self.buffer).await?,
            };
            if read == 0 {
                bail!("the connection ended before the answer did");
            }
        }
    }
}

async fn connect(address: SocketAddr) -> Result<tokio::net::TcpStream> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    retry_after: Option<u64>,
    body_at: usize,
    body_bytes: usize,
}

/// The head, once all of it is there.
fn head(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end]).context("a head that is no text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?.parse()?;
    let header = |name: &str| {
        lines.clone().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let body_bytes = header("content-length").map_or(Ok(0), str::parse)?;
    let retry_after = header("retry-after").map(str::parse).transpose()?;
    Ok(Some(Head { status, retry_after, body_at: end + 4, body_bytes }))
}

/// Asks for one path, on a connection of its own.
///
/// # Errors
/// When nobody answers.
pub fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.take(MAX_ANSWER_BYTES as u64).read_to_end(&mut bytes)?;
    let head = head(&bytes)?.context("an answer without a head")?;
    let body = bytes.get(head.body_at..head.body_at + head.body_bytes).context("half an answer")?.to_vec();
    Ok(Answer { status: head.status, retry_after: head.retry_after, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 3\r\n\r\nxyz";
        assert_eq!(head(&answer[..40]).unwrap(), None);
        let expected = Head { status: 503, retry_after: Some(2), body_at: answer.len() - 3, body_bytes: 3 };
        assert_eq!(head(answer).unwrap(), Some(expected));
    }
}
