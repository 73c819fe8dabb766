//! Traffic whose every byte is known: a sink and a source that check what arrives and count it in both directions.
//!
//! The source opens with 24 bytes: how much it will send, how much it wants, and at how many bytes a second each way (0 for
//! as fast as it goes), big endian. Both then send at the same time; last, the sink sends how much it has received.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::clock;

/// Bytes written or read at once.
const CHUNK_BYTES: usize = 32 * 1024;
/// The payload repeats after this many bytes, a prime, so that a chunk in the wrong place does not fit.
const PERIOD: usize = 65_521;
/// A transfer that stands still for longer has failed.
const NO_PROGRESS_LIMIT: Duration = Duration::from_secs(60);
/// Connections a sink serves at the same time.
const MAX_CONNECTIONS: usize = 64;

/// What a source asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Bytes from the source to the sink.
    pub up: u64,
    /// Bytes from the sink to the source.
    pub down: u64,
    /// The most in each direction; 0 for as fast as it goes.
    pub bytes_per_second: u64,
}

impl Order {
    const BYTES: usize = 24;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (place, number) in bytes.chunks_exact_mut(8).zip([self.up, self.down, self.bytes_per_second]) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let (numbers, _) = bytes.as_chunks::<8>();
        let [up, down, bytes_per_second] = [0, 1, 2].map(|place| u64::from_be_bytes(numbers[place]));
        Self { up, down, bytes_per_second }
    }
}

/// What a source prints when every byte was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Payload bytes that the sink has received and found right.
    pub sent_bytes: u64,
    /// Payload bytes that this source has received and found right.
    pub received_bytes: u64,
    /// How long it took.
    pub milliseconds: u64,
}

/// The two directions carry different bytes, so that an echo is no transfer.
#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

impl Direction {
    /// Two periods of the payload, so that a chunk from any place in the first lies in one piece.
    fn payload(self) -> Vec<u8> {
        let mut state: u64 = match self {
            Self::Up => 0x9e37_79b9_7f4a_7c15,
            Self::Down => 0xd1b5_4a32_d192_ed03,
        };
        let mut period = Vec::with_capacity(PERIOD + 8);
        while period.len() < PERIOD {
            // xorshift64 (Marsaglia, 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            period.extend_from_slice(&state.to_le_bytes());
        }
        period.truncate(PERIOD);
        period.repeat(2)
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset % PERIOD as u64).expect("below the period")
}

fn chunk(left: u64) -> usize {
    usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES)
}

/// Sends `bytes` of the payload, no faster than asked.
fn send(mut stream: &TcpStream, direction: Direction, bytes: u64, bytes_per_second: u64) -> io::Result<()> {
    let payload = direction.payload();
    let started = clock::now();
    let mut sent: u64 = 0;
    while sent < bytes {
        let start = place(sent);
        let length = chunk(bytes - sent);
        stream.write_all(&payload[start..start + length])?;
        sent += length as u64;
        if let Some(due) =
            u128::from(sent).saturating_mul(1_000_000).checked_div(u128::from(bytes_per_second))
        {
            let due = Duration::from_micros(u64::try_from(due).unwrap_or(u64::MAX));
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
    }
    Ok(())
}

/// Receives `bytes` of the payload and compares each.
fn receive(mut stream: &TcpStream, direction: Direction, bytes: u64) -> io::Result<()> {
    let payload = direction.payload();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut received: u64 = 0;
    while received < bytes {
        let length = stream.read(&mut buffer[..chunk(bytes - received)])?;
        if length == 0 {
            return Err(io::Error::other(format!("the other side ended after {received} of {bytes} bytes")));
        }
        let start = place(received);
        if buffer[..length] != payload[start..start + length] {
            return Err(io::Error::other(format!(
                "wrong payload between byte {received} and {length} later"
            )));
        }
        received += length as u64;
    }
    Ok(())
}

/// Serves sources until it is killed; a source that fails is named on standard error.
///
/// # Errors
/// When the address cannot be listened on.
pub fn sink(listen: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| format!("listen on {listen}"))?;
    eprintln!("listening on {listen}");
    let serving = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let stream = stream?;
            let serving = &serving;
            if serving.fetch_add(1, std::sync::atomic::Ordering::AcqRel) >= MAX_CONNECTIONS {
                serving.fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
                continue;
            }
            scope.spawn(move || {
                if let Err(error) = serve(&stream) {
                    eprintln!("a transfer failed: {error:#}");
                }
                serving.fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
            });
        }
        Ok(())
    })
}

fn serve(stream: &TcpStream) -> Result<()> {
    bound_waiting(stream)?;
    let mut bytes = [0; Order::BYTES];
    (&mut &*stream).read_exact(&mut bytes)?;
    let order = Order::from_bytes(bytes);
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(stream, Direction::Down, order.down, order.bytes_per_second));
        let received = receive(stream, Direction::Up, order.up);
        if received.is_err() {
            stream.shutdown(Shutdown::Both)?;
        }
        let sent = sending.join().map_err(|_| anyhow!("the sending thread panicked"))?;
        received.context("receiving")?;
        sent.context("sending")?;
        (&mut &*stream).write_all(&order.up.to_be_bytes())?;
        eprintln!("received {} and sent {} bytes", order.up, order.down);
        Ok(())
    })
}

/// Runs one transfer.
///
/// # Errors
/// When a byte is wrong or missing in either direction, or nothing moves for a minute.
pub fn source(connect: SocketAddr, order: Order) -> Result<Transfer> {
    let started = clock::now();
    let stream = TcpStream::connect_timeout(&connect, NO_PROGRESS_LIMIT)
        .with_context(|| format!("connect to {connect}"))?;
    bound_waiting(&stream)?;
    (&stream).write_all(&order.to_bytes())?;
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(&stream, Direction::Up, order.up, order.bytes_per_second));
        let received = receive(&stream, Direction::Down, order.down);
        if received.is_err() {
            stream.shutdown(Shutdown::Both)?;
        }
        let sent = sending.join().map_err(|_| anyhow!("the sending thread panicked"))?;
        received.context("receiving")?;
        sent.context("sending")?;
        let mut confirmed = [0; 8];
        (&mut &stream).read_exact(&mut confirmed).context("the sink's confirmation")?;
        let confirmed = u64::from_be_bytes(confirmed);
        ensure!(confirmed == order.up, "the sink received {confirmed} of {} bytes", order.up);
        if (&mut &stream).read(&mut [0])? != 0 {
            bail!("the sink sent more than the {} bytes that were ordered", order.down);
        }
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Transfer { sent_bytes: order.up, received_bytes: order.down, milliseconds })
    })
}

fn bound_waiting(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(NO_PROGRESS_LIMIT))?;
    stream.set_write_timeout(Some(NO_PROGRESS_LIMIT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A sink for one connection.
    fn one_sink() -> (SocketAddr, thread::JoinHandle<Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (address, thread::spawn(move || serve(&listener.accept()?.0)))
    }

    #[test]
    fn every_byte_arrives_in_both_directions_and_is_counted() {
        for (up, down) in [(0, 0), (1, 0), (0, 1), (300_000, 1_000_001)] {
            let (address, sink) = one_sink();
            let transfer = source(address, Order { up, down, bytes_per_second: 0 }).unwrap();
            assert_eq!((transfer.sent_bytes, transfer.received_bytes), (up, down));
            sink.join().unwrap().unwrap();
        }
    }

    #[test]
    fn a_byte_that_was_changed_on_the_way_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let liar = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; Order::BYTES]).unwrap();
            let mut payload = Direction::Down.payload()[..100].to_vec();
            payload[99] ^= 1;
            stream.write_all(&payload).unwrap();
        });
        let error = source(address, Order { up: 0, down: 100, bytes_per_second: 0 }).unwrap_err();
        assert!(format!("{error:#}").contains("wrong payload"), "{error:#}");
        liar.join().unwrap();
    }

    #[test]
    fn an_asked_for_pace_is_kept() {
        let (address, sink) = one_sink();
        let transfer = source(address, Order { up: 0, down: 200_000, bytes_per_second: 1_000_000 }).unwrap();
        assert!(transfer.milliseconds >= 200, "{transfer:?}");
        sink.join().unwrap().unwrap();
    }

    proptest! {
        #[test]
        fn an_order_is_read_as_it_was_written(up: u64, down: u64, bytes_per_second: u64) {
            let order = Order { up, down, bytes_per_second };
            prop_assert_eq!(Order::from_bytes(order.to_bytes()), order);
        }
    }
}
