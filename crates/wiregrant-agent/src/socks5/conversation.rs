//! One question to `wiregrant-socks5` and its answer, on a connection of their own, within a bounded time and size.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;
use wiregrant_core::FactError;
use wiregrant_core::socks5::metering::{Answer, MAX_LINE_BYTES, Question, Readings};

use crate::clock;

/// How long an answer may take: the service cuts connections before it answers who is to be served.
const PATIENCE: Duration = Duration::from_secs(8);
/// What is read at once.
const READ_BYTES: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Socks5Error {
    /// Nobody listens, or the conversation broke.
    #[error(
        "the SOCKS5 service at {socket}: {source}; is wiregrant-socks5 running, with this path as its --socket?"
    )]
    Io {
        /// Where.
        socket: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The answer is none.
    #[error("the SOCKS5 service at {socket}: {source}; run the wiregrant-socks5 of this agent's version")]
    Answer {
        /// Where.
        socket: String,
        /// What is wrong with it.
        source: FactError,
    },
    /// The service refused the question.
    #[error("the SOCKS5 service at {socket} refuses: {reason}")]
    Refused {
        /// Where.
        socket: String,
        /// Its reason.
        reason: String,
    },
}

/// Asks.
///
/// # Errors
/// When there is no answer in time, or another than readings.
pub fn ask(socket: &Path, question: &Question) -> Result<Readings, Socks5Error> {
    let shown = || socket.display().to_string();
    let line = exchange(socket, question.to_line().as_bytes())
        .map_err(|source| Socks5Error::Io { socket: shown(), source })?;
    match Answer::parse(&line).map_err(|source| Socks5Error::Answer { socket: shown(), source })? {
        Answer::Readings(readings) => Ok(readings),
        Answer::Refused { reason } => Err(Socks5Error::Refused { socket: shown(), reason }),
    }
}

/// Sends a line and gives the one that comes back.
fn exchange(socket: &Path, question: &[u8]) -> io::Result<Vec<u8>> {
    let begun = clock::now().monotonic;
    let left = || {
        let left = PATIENCE.saturating_sub(clock::now().monotonic.saturating_sub(begun));
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok::<_, io::Error>(left) }
    };
    let mut stream = UnixStream::connect(socket)?;
    let mut rest = question;
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left()?))?;
        match stream.write(rest)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => rest = &rest[written..],
        }
    }
    let (mut line, mut chunk) = (Vec::new(), vec![0; READ_BYTES]);
    loop {
        // One read at a time: a service that sends a byte now and then must not hold up the agent.
        stream.set_read_timeout(Some(left()?))?;
        let read = stream.read(&mut chunk)?;
        let arrived = &chunk[..read];
        if let Some(end) = arrived.iter().position(|byte| *byte == b'\n') {
            line.extend_from_slice(&arrived[..end]);
            return Ok(line);
        }
        line.extend_from_slice(arrived);
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("more than {MAX_LINE_BYTES} bytes without the end of a line"),
            ));
        }
    }
}
